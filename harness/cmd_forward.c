/* morbench forward: runs a model on given inputs, for comparison with other implementations.
 *
 *   input (B,C,H,W) F32, normalised  ->  logits (B,classes) F32; depth (B,tokens) I32 of models whose tokens differ in it;
 *   with --trace every named intermediate tensor as trace.<name>, packed rows (B n,D) of equal lengths as (B,n,D) */
#include "engine/json.h"
#include "engine/safetensors.h"
#include "harness/commands.h"
#include "harness/config.h"
#include "harness/interrupt.h"
#include "harness/measure/evaluate.h"
#include "harness/options.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Images that go through the model at once: enough rows for the kernels, and memory that does not grow with the file. */
enum { CHUNK_IMAGES = 64, TRACES_MAX = 4096, TRACE_NAME_MAX = 128 };

/* One intermediate tensor, chunk after chunk. */
typedef struct Trace {
    char    name[TRACE_NAME_MAX];       /* "trace.blocks.0" */
    int     n_dims;
    int64_t dim[TENSOR_MAX_DIMS];       /* dim[0]: of all chunks so far */
    float  *value;
} Trace;

typedef struct Forward {
    Model   *model;
    Tape    *tape;
    char     weights_sha256[65];
    int64_t  B;
    int      channels, height, width, classes;
    float   *images;                    /* (B,C,H,W) */
    int64_t *image_id;                  /* (B) place in the file */
    float   *logits;                    /* (B,classes) */
    int32_t *depth;                     /* (B,n_tokens), NULL: all tokens alike */
    int      n_tokens;
    Trace   *trace;                     /* NULL: not asked for */
    int      n_traces;
    bool     trace_ok;                  /* false: trace_error says why */
    Error    trace_error;
} Forward;

static void release(Forward *f) {
    for (int i = 0; i < f->n_traces; i++) free(f->trace[i].value);
    free(f->trace);
    free(f->depth);
    free(f->logits);
    free(f->image_id);
    free(f->images);
    tape_destroy(f->tape);
    model_destroy(f->model);
}

static bool take_input(Forward *f, const SafeFile *file, Error *err) {
    char             has[SAFE_SHAPE_TEXT_SIZE];
    const SafeEntry *e = safetensors_find(file, "input");
    f->model->kind->image_shape(f->model->self, &f->channels, &f->height, &f->width, &f->classes);
    if (e == NULL) return FAIL(err, "input", "there is no tensor of this name among the %d of the file", safetensors_count(file));
    safetensors_shape_text(e, has);
    if (e->dtype != SAFE_F32 || e->n_dims != 4 || e->dim[0] < 1 || e->dim[1] != f->channels || e->dim[2] != f->height ||
        e->dim[3] != f->width)
        return FAIL(err, "input", "must be F32 (B,%d,%d,%d) with B at least 1, is %s", f->channels, f->height, f->width, has);
    const int64_t bad = safetensors_first_nonfinite(e);
    if (bad >= 0) return FAIL(err, "input", "value %" PRId64 " is not a finite number", bad);
    f->B        = e->dim[0];
    f->images   = malloc(e->bytes);
    f->image_id = calloc((size_t)f->B, sizeof *f->image_id);
    f->logits   = calloc((size_t)f->B, (size_t)f->classes * sizeof *f->logits);
    if (f->images == NULL || f->image_id == NULL || f->logits == NULL)
        return FAIL_STATUS(err, EXIT_MACHINE, "input", "no memory for %" PRId64 " images", f->B);
    for (int64_t i = 0; i < f->B; i++) f->image_id[i] = i;
    return safetensors_to_float(e, f->images, err);
}

static bool read_input(Forward *f, const char *path, Error *err) {
    SafeFile  *file = NULL;
    const bool ok   = safetensors_open(&file, path, err) && take_input(f, file, err);
    safetensors_close(file);
    return ok || error_in(err, path);
}

static void copy_reals(float *to, const Real *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = (float)from[i];
}

/* ---- intermediate tensors ---- */

static Trace *find_trace(Forward *f, const char *name) {
    for (int i = 0; i < f->n_traces; i++)
        if (strcmp(f->trace[i].name, name) == 0) return &f->trace[i];
    if (f->n_traces == TRACES_MAX) return NULL;
    Trace *t = &f->trace[f->n_traces++];
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

/* A TraceSink: adds the rows of this chunk. */
static void keep_trace(void *self, const char *name, const Tensor *value) {
    Forward      *f = self;
    char          full[TRACE_NAME_MAX];
    const int64_t n = tensor_count(value), per_row = value->dim[0] > 0 ? n / value->dim[0] : 0;
    if (!f->trace_ok) return;
    snprintf(full, sizeof full, "trace.%.*s", TRACE_NAME_MAX - 8, name);
    Trace *t = find_trace(f, full);
    if (t == NULL) {
        f->trace_ok = FAIL(&f->trace_error, full, "more than %d intermediate tensors", TRACES_MAX);
        return;
    }
    const int64_t kept  = t->value != NULL ? t->dim[0] : 0;
    float        *grown = realloc(t->value, (size_t)((kept + value->dim[0]) * per_row) * sizeof *grown + 1);
    if (grown == NULL) {
        f->trace_ok = FAIL_STATUS(&f->trace_error, EXIT_MACHINE, full, "no memory to keep it");
        return;
    }
    copy_reals(grown + kept * per_row, value->data, n);
    t->value  = grown;
    t->n_dims = value->n_dims;
    memcpy(t->dim, value->dim, sizeof t->dim);
    t->dim[0] += kept;
}

/* ---- the pass ---- */

static bool run_chunk(Forward *f, int64_t first, int64_t n, Error *err) {
    const int64_t values = (int64_t)f->channels * f->height * f->width;
    ModelOutput   y;
    tape_begin(f->tape, false, (TapeStep){0});
    Tensor *x = batch_tensor(f->tape, f->images + first * values, n, f->channels, f->height, f->width);
    f->model->kind->forward(f->model->self, f->tape, &(ModelInput){.images = x, .image_id = f->image_id + first}, &y);
    if (tape_failed(f->tape)) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to run %" PRId64 " images at once", n);
    if (!f->trace_ok) {
        *err = f->trace_error;
        return false;
    }
    for (int64_t i = 0; i < n * f->classes; i++)
        if (!isfinite((double)y.logits->data[i]))
            return FAIL_STATUS(err, EXIT_CELLS, "input", "the logits of image %" PRId64 " are not finite: its values are too large for these weights",
                               first + i / f->classes);
    copy_reals(f->logits + first * f->classes, y.logits->data, n * f->classes);
    if (y.depth == NULL) return true;
    f->n_tokens = y.n_tokens;
    if (f->depth == NULL) f->depth = calloc((size_t)f->B, (size_t)y.n_tokens * sizeof *f->depth);
    if (f->depth == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "depth", "no memory for %" PRId64 " images", f->B);
    memcpy(f->depth + first * y.n_tokens, y.depth, (size_t)(n * y.n_tokens) * sizeof *f->depth);
    return true;
}

static bool run_all(Forward *f, bool trace, Error *err) {
    if (!tape_create(&f->tape, runtime_backend(), err)) return false;
    f->trace_ok = true;
    if (trace) {
        f->trace = calloc(TRACES_MAX, sizeof *f->trace);
        if (f->trace == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for intermediate tensors");
        tape_set_trace(f->tape, keep_trace, f);
    }
    for (int64_t first = 0; first < f->B; first += CHUNK_IMAGES) {
        if (interrupted(err)) return false;
        if (!run_chunk(f, first, f->B - first < CHUNK_IMAGES ? f->B - first : CHUNK_IMAGES, err)) return false;
    }
    return true;
}

/* ---- output ---- */

/* Rows (B n,D) as (B,n,D); what is no whole number of rows an image stays packed. How many dimensions. */
static int trace_shape(const Trace *t, int64_t B, int64_t shape[TENSOR_MAX_DIMS]) {
    const bool rows = t->n_dims == 2 && t->dim[0] % B == 0 && t->dim[0] > B;
    memcpy(shape, rows ? (int64_t[TENSOR_MAX_DIMS]){B, t->dim[0] / B, t->dim[1]} : t->dim, sizeof t->dim);
    return rows ? 3 : t->n_dims;
}

static bool add_trace(SafeWriter *w, const Trace *t, int64_t B, Error *err) {
    int64_t   shape[TENSOR_MAX_DIMS];
    const int n = trace_shape(t, B, shape);
    return safe_writer_add(w, t->name, SAFE_F32, n, shape, t->value, err);
}

static bool write_output(const Forward *f, const char *path, Error *err) {
    SafeWriter *w  = NULL;
    bool        ok = safe_writer_create(&w, err);
    ok = ok && safe_writer_metadata(w, "model", f->model->kind->name, err) && safe_writer_metadata(w, "weights_sha256", f->weights_sha256, err);
    ok = ok && safe_writer_add(w, "logits", SAFE_F32, 2, (int64_t[]){f->B, f->classes}, f->logits, err);
    if (ok && f->depth != NULL) ok = safe_writer_add(w, "depth", SAFE_I32, 2, (int64_t[]){f->B, f->n_tokens}, f->depth, err);
    for (int i = 0; ok && i < f->n_traces; i++) ok = add_trace(w, &f->trace[i], f->B, err);
    ok = ok && safe_writer_save(w, path, NULL, err);
    safe_writer_destroy(w);
    return ok || error_in(err, path);
}

/* Class of the largest logit of image b. */
static int best_class(const Forward *f, int64_t b) {
    const float *logits = f->logits + b * f->classes;
    int          best   = 0;
    for (int c = 1; c < f->classes; c++)
        if (logits[c] > logits[best]) best = c;
    return best;
}

static void put_tensor(JsonSink *list, const char *name, const char *dtype, int n_dims, const int64_t dim[]) {
    JsonSink entry, shape;
    json_put_object(list, NULL, &entry);
    json_put_text(&entry, "name", name);
    json_put_text(&entry, "dtype", dtype);
    json_put_array(&entry, "shape", &shape);
    for (int d = 0; d < n_dims; d++) json_put_count(&shape, NULL, dim[d]);
}

/* What was run and what the file holds, on standard output. */
static bool print_json(const Forward *f, const char *path, Error *err) {
    JsonSink root, list;
    json_t  *tree = NULL;
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.forward/1");
    json_put_text(&root, "model", f->model->kind->name);
    json_put_text(&root, "weights_sha256", f->weights_sha256);
    json_put_text(&root, "backend", runtime_backend()->name);
    json_put_count(&root, "images_count", f->B);
    json_put_number(&root, "macs_executed", (double)profile_total(tape_profile(f->tape), 0, 0).macs / (double)f->B);
    json_put_array(&root, "best_class_index", &list);
    for (int64_t b = 0; b < f->B; b++) json_put_count(&list, NULL, best_class(f, b));
    json_put_text(&root, "output", path);
    json_put_array(&root, "tensors", &list);
    put_tensor(&list, "logits", "F32", 2, (int64_t[]){f->B, f->classes});
    if (f->depth != NULL) put_tensor(&list, "depth", "I32", 2, (int64_t[]){f->B, f->n_tokens});
    for (int i = 0; i < f->n_traces; i++) {
        int64_t   shape[TENSOR_MAX_DIMS];
        const int n = trace_shape(&f->trace[i], f->B, shape);
        put_tensor(&list, f->trace[i].name, "F32", n, shape);
    }
    const bool ok = json_sink_finish(&root, &tree, err) && json_print(tree, err);
    json_decref(tree);
    return ok;
}

int cmd_forward(int argc, char **argv, Error *err) {
    const char  *config = NULL, *weights = NULL, *input = NULL, *output = NULL;
    bool         trace = false, json = false, ok = false;
    char         warning[512];
    Forward      f         = {0};
    const Option options[] = {
        {.name = "config", .value = "MODEL.json", .help = "the model's configuration", .text = &config, .required = true},
        {.name = "weights", .value = "W.safetensors", .help = "its weights", .text = &weights, .required = true},
        {.name = "input", .value = "X.safetensors", .help = "holds tensor input (B,C,H,W) F32, normalised", .text = &input, .required = true},
        {.name = "output", .value = "Y.safetensors", .help = "receives logits, depth and traces", .text = &output, .required = true},
        {.name = "trace", .help = "write the intermediate tensors too", .flag = &trace},
        {.name = "json", .help = "say on standard output what was run and what the file holds, as JSON", .flag = &json},
        OPTIONS_END,
    };
    const Usage usage = {"forward", "", "Runs a model on the images of a file and writes its outputs. Weights of another image size have their\n"
                         "position embedding resampled, with a warning.", options, 0, 0};
    const int first = options_parse(argc, argv, &usage, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    interrupt_catch();
    if (!runtime_begin(err)) goto done;
    if (!config_load_model_file(config, &f.model, err)) goto done;
    if (!model_load(f.model, weights, (LoadOptions){0}, f.weights_sha256, warning, err)) goto done;
    if (warning[0] != '\0') fprintf(stderr, "morbench: warning: %s: %s\n", weights, warning);
    ok = read_input(&f, input, err) && run_all(&f, trace, err) && write_output(&f, output, err) && (!json || print_json(&f, output, err));
done:
    release(&f);
    return ok ? EXIT_OK : err->exit_status;
}
