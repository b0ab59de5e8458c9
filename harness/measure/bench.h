/* The parts of `bench`: who measures (a worker, one process a turn), who decides when (the parent), and what they say to each
 * other.
 *
 *   cmd_bench.c         the parent: options, plan, turns, rows
 *   cmd_bench_worker.c  the worker: one cell, measured once, told as JSON
 *   bench_arm.c         a model with its images, as a Subject
 *   bench_plan.c        effort of the profiles, order of turns
 *   bench_worker.c      starting a worker and hearing what it says
 *   bench_result.c      what all processes of a cell said, as a Result
 *   bench_judge.c       what lowers its verdict */
#ifndef HARNESS_BENCH_H
#define HARNESS_BENCH_H

#include "engine/tape.h"
#include "harness/measure/measure.h"
#include "harness/measure/witness.h"
#include "harness/result.h"
#include "harness/session.h"
#include "harness/train/train.h"

/* -- effort -- */

/* What a profile asks of every cell at least (rule V17). */
typedef struct Effort {
    const char *name;
    int         processes, min_samples, max_samples, warmup_passes;
    double      min_seconds, warmup_seconds;     /* of each process */
    double      quiet_seconds;                   /* waited for other work to end, in the whole bench at most */
} Effort;

const Effort *effort_find(const char *name, Error *err);

/* The first setting of `made` that falls short of its profile, by its name in the command line; NULL: none. */
const char *effort_shortfall(const Effort *made);

/* -- turns -- */

/* order (n_blocks * n_cells): which cell's turn it is. Each block holds every cell once, in an order drawn from the seed. */
void plan_turns(int *order, int n_blocks, int n_cells, uint64_t seed);

/* Kendall's tau-b between a turn's cell and its place among all turns: near 0 when the order is random, near 1 or -1 when cells
 * come one after the other (rule V18: |tau| < 0.2). NAN for one cell. */
double plan_order_tau(const int *order, int n_blocks, int n_cells);

/* -- a cell's model and images -- */

enum { BENCH_TURNS = 4 };                        /* different batches */

typedef struct BenchArm {
    Model           *model;
    Dataset         *data;
    char             weights_sha256[65], warning[512];
    Tape            *tape;
    int              batch, channels, height, width, classes;
    float           *images, *fresh;             /* (n_images,C,H,W) and (batch,C,H,W) normalised */
    int32_t         *labels;
    int64_t         *ids;
    int              n_images, fresh_turn;
    int64_t          image_floats;
    uint8_t         *pixels;                     /* of one stored image, for passes end to end */
    float           *table;
    bool             train;
    TrainSettings    settings;
    const Optimizer *optimizer;
    int64_t          step;
    double           loss;
    Real            *logits;                     /* (batch,classes) of the last pass */
    ModelOutput      output;                     /* of the last forward pass; good until the next */
    StepReport       report;                     /* of the last training step */
    int              first;                      /* image that the last pass began with */
    Witness          witness;                    /* of the images timed: whoever asks for a pass's output adds to it */
} BenchArm;

typedef struct BenchChoice {
    ModelChoice model;
    DataChoice  data;                            /* name NULL: the block data of model.config, else generated images */
    int         batch;
    bool        train;
} BenchChoice;

/* without_images: model and data set only, for the parent, which measures nothing. */
bool bench_arm_open(BenchArm *arm, const BenchChoice *choice, bool without_images, Error *err);
void bench_arm_close(BenchArm *arm);

Subject bench_arm_model_only(BenchArm *arm);     /* from normalised images in memory to logits, or a training step */
Subject bench_arm_end_to_end(BenchArm *arm);     /* from stored pixels to logits */

/* -- workers -- */

/* Runs this program again as `argv` (ends with NULL; argv[0] is only shown) with padding_bytes more of environment (rule V26; -1: as it is)
 * and reads the one JSON object it writes to descriptor 3. A worker's own error comes back as err; one that dies without a word
 * is an error with the signal or status and the last line it wrote to stderr. *out is the caller's; json_decref. out NULL: nothing
 * is to be said, a status of 0 is enough. */
bool worker_run(json_t **out, const char *const argv[], int padding_bytes, Error *err);

enum { WORKER_FD = 3 };

/* -- results -- */

typedef struct BenchCell {
    BenchArm   *arm;                             /* opened without images; its model NULL where that failed, as failure says */
    char        label[96];
    int         batch;
    json_t    **said;                            /* (n_said) what each process told, with what the parent knows of its turn */
    int         n_said;
    Error       failure;                         /* message "" while there is none */
} BenchCell;

typedef struct BenchSettings {
    Effort      effort;                          /* of the profile, after overrides */
    bool        train;
    uint64_t    seed;
    double      order_tau;
    const char *session;                         /* one text for all that was measured in turns */
    const json_t *ceilings;                      /* of the machine, or NULL */
    int         argc;
    char *const *argv;
} BenchSettings;

/* The settings that decide the numbers: block "experiment". */
bool bench_experiment(const BenchSettings *s, const BenchCell *c, json_t **out, Error *err);

/* A result with everything but measurements. */
bool bench_result_begin(Result **out, const BenchSettings *s, const BenchCell *c, Error *err);

/* Warns of what lowers the worth of what the processes said; the numbers are in the result by then. */
bool bench_judge(Result *r, const BenchSettings *s, const BenchCell *c, Error *err);

/* Adds what the processes said, the statistics over them and the warnings they give reason for. */
bool bench_result_fill(Result *r, const BenchSettings *s, const BenchCell *c, Error *err);

#endif
