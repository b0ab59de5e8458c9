/* One measured cell as a file: DIR/run.json, schema "morbench.run/1" (results/README.md has every field,
 * results/schema/run.schema.json the same for machines).
 *
 *     result_begin -> result_set_... , json_put_...(result_block(r, "metrics"), ...), result_warn -> result_write
 *
 *     Result *run = NULL;
 *     if (!result_begin(&run, &(ResultStart){.kind = "eval", .experiment = settings, .argc = argc, .argv = argv}, err)) ...
 *     ok = result_set_machine(run, &machine, err) && result_set_model(run, model, sha256, err)
 *       && result_set_data(run, dataset, err);
 *     json_put_count(result_block(run, "metrics"), "batch_size_count", 16);
 *     ok = ok && result_set_latency(run, &(ResultLatency){.samples_ns = t, .n = n, .batch_size = 16}, err)
 *             && result_write(run, out_dir, err);
 *     result_destroy(run);
 *
 * Every key of harness/result_keys.def is there from the beginning as null with the reason "not_requested"; who puts a
 * value replaces it, and result_write takes the reason away. Other keys may be added; each needs a unit at its end
 * (_ns _bytes _joules _hz _per_s _ratio _count). A put that fails is remembered and told by result_write.
 *
 * Ownership
 *   result_begin   the caller; result_destroy (NULL is fine). What is handed in is copied.
 *   result_block   lives as long as the Result
 *   result_load    *out is the caller's; json_decref */
#ifndef HARNESS_RESULT_H
#define HARNESS_RESULT_H

#include "engine/error.h"
#include "engine/json.h"
#include "engine/profile.h"
#include "harness/data/dataset.h"
#include "harness/machine.h"
#include "models/model.h"

#include <stdint.h>

#define RESULT_SCHEMA "morbench.run/1"

enum { RESULT_ID_SIZE = 17 };     /* 16 hexadecimal digits and the zero */

typedef struct Result Result;

typedef struct ResultStart {
    const char   *kind;           /* "train", "eval", "bench" */
    const json_t *experiment;     /* object: every setting that decides the numbers, after all fallbacks; no output
                                     paths, no weights paths (their digests count), nothing of the machine */
    int           argc;           /* the command line, for the record */
    char *const  *argv;
} ResultStart;

bool result_begin(Result **out, const ResultStart *start, Error *err);
void result_destroy(Result *r);

/* One of: experiment model data env provenance metrics samples counters depth_histogram accuracy curves (an array)
 * profile validity warnings (an array) processes (an array) roofline. Never NULL. */
JsonSink *result_block(Result *r, const char *name);

/* env and env_id; compiler and flags. */
bool result_set_machine(Result *r, const Machine *m, Error *err);

/* Name, preset, settings, size and analytic counts of a built model. weights_sha256: the file its weights came from,
 * NULL or "" when they are random (eval and bench are then warned: untrained). For "train": the weights it starts from. */
bool result_set_model(Result *r, const Model *model, const char *weights_sha256, Error *err);

/* Of a training run: the weights it ended with. They are then the block's weights_sha256. */
void result_set_trained_weights(Result *r, const char *weights_sha256);

/* MACs that really ran, an image: mean, least and most over images (counts.macs_executed, _min, _max). counted is the closed form's sum
 * over the same images, each by its own rows where it was routed, and must be the sum executed (else counts_disagree). */
void result_set_macs_of_images(Result *r, int64_t executed, int64_t counted, int64_t images_count, int64_t min, int64_t max);
/* After that: elementwise operations that really ran, mean over images; with them counts.flops_2x_executed and flops_all_executed. */
void result_set_elementwise_executed(Result *r, double mean);

/* The data measured or trained on; NULL is fine: none. Training adds the split it is tested on. Reads a folder's files
 * for the digest when that is not known yet. */
bool result_set_data(Result *r, const Dataset *d, Error *err);
bool result_set_test_data(Result *r, const Dataset *d, Error *err);

/* After both: training images held out (NULL: none), and how many images of the test split and of those held out are also trained
 * on, byte for byte (< 0: not counted). Warned when there are any. */
void result_set_division(Result *r, const Dataset *held_out, int64_t test_shared, int64_t held_out_shared);

/* After all images were read: warned when the decoder had to read past damage in some. NULL is fine. */
void result_warn_damaged(Result *r, const Dataset *d);

/* Requested, effective and pinned threads. Of a bench, fewer effective than requested, or than CPUs, is warned. */
void result_set_threads(Result *r, const ThreadsUsed *used, int n_pinned);

typedef struct ResultLatency {
    const double *samples_ns;     /* (n) each of one batch, in the order measured; > 0 */
    const int    *process;        /* (n) which process each came from, or NULL: all from one */
    size_t        n;
    int           batch_size;
    bool          end_to_end;     /* false: model only, from normalised images in memory to logits; true: from stored
                                     pixels, normalising included. The keys then begin with end_to_end_ */
    double        clock_overhead_ns; /* of one reading; 0: not known */
    int           passes_per_sample; /* passes that one sample is the mean of; 0 stands for 1 */
    bool          train_step;     /* of a whole training step instead: forward, loss, backward, update */
} ResultLatency;

/* Median with interval, percentiles, spread, throughput, and the samples. Fewer than 10 samples, and percentiles for
 * which they do not suffice, are said so. */
bool result_set_latency(Result *r, const ResultLatency *latency, Error *err);

/* Any other series of samples; key with unit, "energy_joules". */
void result_set_samples(Result *r, const char *key, const double *samples, size_t n);

typedef struct ResultAccuracy {
    int64_t images_count, top1_count, top5_count;   /* top5_count < 0: fewer than five classes, not reported */
    double  loss;                                   /* mean cross entropy, nats */
} ResultAccuracy;
void result_set_accuracy(Result *r, const ResultAccuracy *accuracy);   /* with the Wilson 95 % interval of top-1 */

/* tokens_count[d], d = 0 .. max_depth: tokens that took d recursions (layers, blocks), over all images. They must sum to
 * images * tokens an image, else the run is INVALID. */
void result_set_depth(Result *r, const int64_t tokens_count[], int max_depth, int64_t images_count, int tokens_per_image);

/* Own work of every scope and op, over passes_count passes of images_count images together. */
void result_set_profile(Result *r, const Profile *p, int64_t passes_count, int64_t images_count);
/* The same into any object: scopes, ops, and parts: what routed models do beside their blocks, summed over all layers. */
void result_put_profile(JsonSink *into, const Profile *p, int64_t passes_count, int64_t images_count);

enum { RESULT_PARTS_MAX = 16 };
typedef struct ResultPoint {
    int64_t  epoch, step;         /* finished ones */
    double   train_loss, train_top1_ratio;   /* means since the last point; NAN ratio: not measured */
    bool     tested;
    bool     held_out;            /* the run has held-out training images: what was tested are these */
    double   test_loss, test_top1_ratio;     /* of those, or of the test split, when tested */
    double   learning_rate, grad_norm, images_per_s;   /* the last two: NAN when not measured */
    uint64_t elapsed_ns;          /* of training, sessions before this one included */
    int64_t  macs_count, peak_bytes;         /* executed since the last point; most memory of a step's tensors; < 0: not measured */
    int      n_parts;             /* terms of train_loss, weights included; 0: it has one */
    const char   *part_name[RESULT_PARTS_MAX];
    double        part_value[RESULT_PARTS_MAX];
} ResultPoint;
void result_add_point(Result *r, const ResultPoint *point);   /* to curves */

/* -- verdict -- */

/* From best to worst; a run gets the worst it was given. */
typedef enum Verdict { VERDICT_VALID, VERDICT_NOISY, VERDICT_SPEED_ONLY, VERDICT_SMOKE, VERDICT_INVALID } Verdict;

#define WARNING(code, verdict, text, advice) WARN_##code,
typedef enum Warning {
#include "harness/warnings.def"
    N_WARNINGS
} Warning;
#undef WARNING

/* Stores code, text and advice once, lowers the verdict as warnings.def says and prints nothing. The detail is one
 * sentence with the figures: "load average 3.1". */
void result_warn(Result *r, Warning code);
void result_warn_detail(Result *r, Warning code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "text; advice" of a warning, for the terminal. */
const char *warning_code(Warning code);
Verdict     warning_verdict(Warning code);
const char *warning_text(Warning code);
const char *warning_advice(Warning code);
int         result_warning_count(const Result *r);
Verdict     result_verdict(const Result *r);
const char *verdict_name(Verdict v);   /* "VALID", ... */

/* Whether an exit status has to tell that a run is INVALID: of the blocks "warnings" and "experiment" of a result. The smoke profile shows that it
 * works and no more, so what chance or a short measurement does to its verdict is not told. */
bool warnings_invalidate(const json_t *warnings, const json_t *experiment);

/* "ok" is presumed. failed, interrupted, oom, timeout; err may be NULL. A failed run is INVALID (rule V46). */
void result_set_status(Result *r, const char *status, const Error *err);

/* -- the file -- */

/* First 16 digits of the SHA-256 over kind, experiment, code version, and digests of data and (starting) weights; so
 * call it after those are set. The machine is not in it. */
bool result_id(Result *r, char id[RESULT_ID_SIZE], Error *err);

/* Whether DIR holds this very run, finished: then there is nothing to do. A different or damaged run in DIR is an error
 * (advice: another --out), so ask before the work. */
bool result_is_done(Result *r, const char *dir, bool *done, Error *err);

/* DIR/run.json, durably; DIR is made. What lies there is replaced only when it is the same run (id and env_id) and
 * unfinished or by the same command line; else an error. */
bool result_write(Result *r, const char *dir, Error *err);

/* The same JSON on standard output. */
bool result_print(Result *r, Error *err);

/* Reads and checks: JSON, schema, all blocks, id forms, digest. A digest that does not fit is EXIT_IO. */
bool result_load(json_t **out, const char *path, Error *err);
/* The same for a tree that is loaded already. */
bool result_check(const json_t *run, Error *err);

/* SHA-256 of the canonical text without the key "digest". */
bool result_digest(const json_t *run, char digest[SHA256_TEXT_SIZE], Error *err);

/* -- shared with `list` and others -- */

/* The counts of one image under every counting rule: macs, macs_fvcore, ..., flops_2x, flops_all, activations_count. */
void result_put_counts(JsonSink *into, const ModelCounts *counts);
/* Every setting of a field table. */
void result_put_settings(JsonSink *into, const Field *fields, const void *self);

#endif
