/* State of a training run to and from one file, under a digest; the two newest are kept (checkpoint.h). */
#include "harness/train/checkpoint.h"

#include "engine/digest.h"
#include "engine/file.h"
#include "engine/json.h"
#include "engine/safetensors.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT = 2, MAX_FOUND = 64, PATH_BYTES = 4400 };

/* --- the run's numbers as text; reals as %a, which reads back bit for bit --- */

#define RUN_COUNTS(X) X(epoch) X(step_in_epoch) X(step) X(steps_per_epoch) X(n_steps) X(correct_count) X(seen_count) \
                      X(elapsed_epoch_ns) X(macs_per_step) X(epoch_macs) X(epoch_peak_bytes)

/* Names hold no blank: they are those of losses in the code. */
static void put_parts(FILE *f, const char *key, const TrainParts *parts) {
    if (parts->n == 0) return;
    fprintf(f, "%s", key);
    for (int i = 0; i < parts->n; i++) fprintf(f, " %s %a", parts->name[i], parts->value[i]);
    fprintf(f, "\n");
}

static bool read_parts(TrainParts *parts, const char *text) {
    int length;
    *parts = (TrainParts){0};
    for (; *text != '\0'; text += length) {
        const int i = parts->n;
        if (i == TRAIN_PARTS_MAX || sscanf(text, "%31s %la%n", parts->name[i], &parts->value[i], &length) != 2) return false;
        parts->n++;
    }
    return true;
}

static char *state_text(const TrainRun *r) {
    char  *text = NULL;
    size_t size = 0;
    FILE  *f    = open_memstream(&text, &size);
    if (f == NULL) return NULL;
#define X(member) fprintf(f, #member " %" PRId64 "\n", (int64_t)r->member);
    RUN_COUNTS(X)
#undef X
    fprintf(f, "elapsed_ns %" PRIu64 "\npeak_activation_bytes %zu\nresumed_count %d\nloss_sum %a\ngrad_norm_sum %a\nconfig %s\n",
            r->elapsed_ns, r->peak_activation_bytes, r->resumed_count, r->loss_sum, r->grad_norm_sum, r->config_digest);
    put_parts(f, "parts_sum", &r->parts_sum);
    for (int i = 0; i < r->n_points; i++) {
        const TrainPoint *p = &r->point[i];
        fprintf(f, "point %" PRId64 " %" PRId64 " %a %a %a %a %a %d %a %a %" PRIu64 "\n", p->epoch, p->step, p->train_loss,
                p->train_top1_ratio, p->grad_norm, p->lr, p->images_per_s, (int)p->tested, p->test_loss, p->test_top1_ratio, p->elapsed_ns);
        fprintf(f, "point_work %" PRId64 " %" PRId64 "\n", p->macs_count, p->peak_bytes);
        put_parts(f, "point_parts", &p->parts);
    }
    const bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad) {
        free(text);
        return NULL;
    }
    return text;
}

static bool add_point(TrainRun *r, const char *text) {
    TrainPoint p = {.macs_count = -1, .peak_bytes = -1};
    int        tested;
    if (sscanf(text, "%" SCNd64 " %" SCNd64 " %la %la %la %la %la %d %la %la %" SCNu64, &p.epoch, &p.step, &p.train_loss, &p.train_top1_ratio,
               &p.grad_norm, &p.lr, &p.images_per_s, &tested, &p.test_loss, &p.test_top1_ratio, &p.elapsed_ns) != 11) return false;
    p.tested = tested != 0;
    if (r->n_points == r->capacity) {
        const int   capacity = r->capacity > 0 ? 2 * r->capacity : 64;
        TrainPoint *grown    = realloc(r->point, (size_t)capacity * sizeof *grown);
        if (grown == NULL) return false;
        r->point    = grown;
        r->capacity = capacity;
    }
    r->point[r->n_points++] = p;
    return true;
}

/* One line; what follows a point belongs to it. */
static bool state_line(TrainRun *r, const char *key, const char *value) {
    TrainPoint *last = r->n_points > 0 ? &r->point[r->n_points - 1] : NULL;
    if (strcmp(key, "point") == 0)       return add_point(r, value);
    if (strcmp(key, "point_work") == 0)  return last != NULL && sscanf(value, "%" SCNd64 " %" SCNd64, &last->macs_count, &last->peak_bytes) == 2;
    if (strcmp(key, "point_parts") == 0) return last != NULL && read_parts(&last->parts, value);
    if (strcmp(key, "parts_sum") == 0)   return read_parts(&r->parts_sum, value);
#define X(member) if (strcmp(key, #member) == 0) return r->member = strtoll(value, NULL, 10), true;
    RUN_COUNTS(X)
#undef X
    if (strcmp(key, "elapsed_ns") == 0)                 r->elapsed_ns = strtoull(value, NULL, 10);
    else if (strcmp(key, "peak_activation_bytes") == 0) r->peak_activation_bytes = strtoull(value, NULL, 10);
    else if (strcmp(key, "resumed_count") == 0)         r->resumed_count = (int)strtol(value, NULL, 10);
    else if (strcmp(key, "loss_sum") == 0)              r->loss_sum = strtod(value, NULL);
    else if (strcmp(key, "grad_norm_sum") == 0)         r->grad_norm_sum = strtod(value, NULL);
    else if (strcmp(key, "config") == 0)                snprintf(r->config_digest, sizeof r->config_digest, "%.16s", value);
    else return false;
    return true;
}

static bool state_read(TrainRun *r, const char *text) {
    r->epoch_macs = r->epoch_peak_bytes = -1;             /* of an older version's file, which does not say */
    for (const char *line = text; *line != '\0';) {
        const char *end = strchr(line, '\n');
        char        key[32], rest[1024];
        if (end == NULL || end - line >= (long)sizeof rest) return false;
        memcpy(rest, line, (size_t)(end - line));
        rest[end - line] = '\0';
        line = end + 1;
        const char *blank = strchr(rest, ' ');
        if (blank == NULL || blank - rest >= (long)sizeof key) return false;
        memcpy(key, rest, (size_t)(blank - rest));
        key[blank - rest] = '\0';
        if (!state_line(r, key, blank + 1)) return false;
    }
    if (r->step_in_epoch == 0 && r->epoch_macs < 0) r->epoch_macs = r->epoch_peak_bytes = 0;      /* nothing of the epoch is unknown */
    return r->epoch >= 0 && r->step >= 0 && r->step_in_epoch >= 0 && r->step_in_epoch <= r->steps_per_epoch;
}

/* --- the digest: over the state's text and every tensor's bytes, in the order of the file, which is the registry's --- */

static uint64_t digest_add(uint64_t sum, const void *bytes, size_t n) {
    const uint64_t pair[2] = {sum, digest_xxh64(bytes, n)};
    return digest_xxh64(pair, sizeof pair);
}

static void digest_of_model(const char *state, const Model *m, char text[17]) {
    uint64_t sum = digest_add(0, state, strlen(state));
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p     = params_at(m->params, i);
        const size_t bytes = (size_t)tensor_count(p->tensor) * sizeof(Real);
        sum = digest_add(sum, p->tensor->data, bytes);
        if (p->m != NULL) sum = digest_add(digest_add(sum, p->m, bytes), p->v, bytes);
        if (p->average != NULL) sum = digest_add(sum, p->average, bytes);
    }
    snprintf(text, 17, "%016" PRIx64, sum);
}

static void digest_of_file(const char *state, const SafeFile *f, char text[17]) {
    uint64_t sum = digest_add(0, state, strlen(state));
    for (int i = 0; i < safetensors_count(f); i++) sum = digest_add(sum, safetensors_entry(f, i)->data, safetensors_entry(f, i)->bytes);
    snprintf(text, 17, "%016" PRIx64, sum);
}

/* --- files --- */

typedef struct Found { int64_t step; } Found;

static int newest_first(const void *a, const void *b) {
    const int64_t x = ((const Found *)a)->step, y = ((const Found *)b)->step;
    return x > y ? -1 : x < y;
}

static int find(const char *dir, Found found[MAX_FOUND]) {
    int  n = 0;
    DIR *d = opendir(dir);
    if (d == NULL) return 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        int64_t step;
        int     end = 0;
        if (sscanf(e->d_name, "checkpoint-%" SCNd64 ".safetensors%n", &step, &end) == 1 && end > 0 && e->d_name[end] == '\0' && n < MAX_FOUND)
            found[n++].step = step;
    }
    closedir(d);
    qsort(found, (size_t)n, sizeof *found, newest_first);
    return n;
}

static void path_of(char path[PATH_BYTES], const char *dir, int64_t step) {
    snprintf(path, PATH_BYTES, "%s/checkpoint-%" PRId64 ".safetensors", dir, step);
}

/* All but the `keep` newest up to step `newest`. Later ones were passed over as damaged and are overtaken. */
static void remove_old(const char *dir, int keep, int64_t newest) {
    Found found[MAX_FOUND];
    const int n = find(dir, found);
    for (int i = 0, kept = 0; i < n; i++) {
        char path[PATH_BYTES];
        if (found[i].step <= newest && kept++ < keep) continue;
        path_of(path, dir, found[i].step);
        (void)unlink(path);                        /* one that stays does no harm */
    }
}

static const SafeDtype dtype = sizeof(Real) == sizeof(float) ? SAFE_F32 : SAFE_F64;

static bool add(SafeWriter *w, const char *kind, const Param *p, const Real *data, Error *err) {
    char name[PARAM_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s.%s", kind, p->name);
    return safe_writer_add(w, name, dtype, p->tensor->n_dims, p->tensor->dim, data, err);
}

bool checkpoint_save(const Model *m, const TrainRun *run, const char *dir, Error *err) {
    SafeWriter *w     = NULL;
    char       *state = state_text(run), digest[17], path[PATH_BYTES];
    bool        ok    = false;
    if (state == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the state of the run");
        goto done;
    }
    digest_of_model(state, m, digest);
    if (!safe_writer_create(&w, err) || !safe_writer_metadata(w, "state", state, err) || !safe_writer_metadata(w, "digest", digest, err))
        goto done;
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        if (!add(w, "weight", p, p->tensor->data, err)) goto done;
        if (p->m != NULL && (!add(w, "m", p, p->m, err) || !add(w, "v", p, p->v, err))) goto done;
        if (p->average != NULL && !add(w, "average", p, p->average, err)) goto done;
    }
    path_of(path, dir, run->step);
    ok = safe_writer_save(w, path, NULL, err);
    if (ok) remove_old(dir, KEPT, run->step);
done:
    safe_writer_destroy(w);
    free(state);
    return ok;
}

/* The entry of one tensor, NULL when the file has none of its shape. */
static const SafeEntry *entry_of(const SafeFile *f, const char *kind, const Param *p) {
    char name[PARAM_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s.%s", kind, p->name);
    const SafeEntry *e = safetensors_find(f, name);
    if (e == NULL || e->dtype != dtype || e->n_dims != p->tensor->n_dims) return NULL;
    for (int i = 0; i < e->n_dims; i++)
        if (e->dim[i] != p->tensor->dim[i]) return NULL;
    return e;
}

/* Puts all tensors into the model; false, with the model as it was, unless every one is there. */
static bool put_tensors(Model *m, const SafeFile *f) {
    for (int write = 0; write < 2; write++)
        for (int i = 0; i < params_count(m->params); i++) {
            const Param *p     = params_at(m->params, i);
            Real *const  to[]  = {p->tensor->data, p->m, p->v, p->average};
            for (int k = 0; k < 4; k++) {
                if (to[k] == NULL) continue;             /* a frozen tensor has no state, and not every run has averages */
                const SafeEntry *e = entry_of(f, (const char *[]){"weight", "m", "v", "average"}[k], p);
                if (e == NULL) return false;
                if (write) memcpy(to[k], e->data, e->bytes);
            }
        }
    return true;
}

typedef enum Loaded { LOADED, DAMAGED, OTHER_SETTINGS, NO_MEMORY } Loaded;

/* The file, when it fits its digest and its state can be read. */
static Loaded open_whole(SafeFile **f, TrainRun *run, const char *path, char why[600]) {
    Error inner = {0};
    char  digest[17];
    if (!safetensors_open(f, path, &inner)) {
        snprintf(why, 600, "%s", inner.message);
        return inner.exit_status == EXIT_MACHINE ? NO_MEMORY : DAMAGED;
    }
    snprintf(why, 600, "its digest does not fit");
    const char *state = safetensors_metadata(*f, "state"), *saved = safetensors_metadata(*f, "digest");
    if (state == NULL || saved == NULL) return DAMAGED;
    digest_of_file(state, *f, digest);
    if (strcmp(digest, saved) != 0) return DAMAGED;
    snprintf(why, 600, "its state cannot be read");
    return state_read(run, state) ? LOADED : DAMAGED;
}

/* One file whole, or nothing of it. It is judged by its own digest before its settings are, and by them before the model
 * sees any of it. DAMAGED fills why. */
static Loaded load_one(Model *m, TrainRun *run, const char *config_digest, const char *path, char why[600]) {
    SafeFile *f      = NULL;
    Loaded    result = open_whole(&f, run, path, why);
    if (result == LOADED && strcmp(run->config_digest, config_digest) != 0) result = OTHER_SETTINGS;
    if (result == LOADED && !put_tensors(m, f)) {
        snprintf(why, 600, "it lacks tensors of the model");
        result = DAMAGED;
    }
    safetensors_close(f);
    return result;
}

bool checkpoint_check(const char *path, char settings[17], bool *good, char why[600], Error *err) {
    SafeFile    *f   = NULL;
    TrainRun     run = {0};
    const Loaded is  = open_whole(&f, &run, path, why);
    snprintf(settings, 17, "%s", run.config_digest);
    *good = is == LOADED;
    safetensors_close(f);
    train_run_free(&run);
    if (is != NO_MEMORY) return true;
    FAIL_STATUS(err, EXIT_MACHINE, "", "%.400s", why);
    return error_in(err, path);
}

bool checkpoint_load(Model *m, TrainRun *run, const char *dir, bool *found_one, Error *err) {
    Found     found[MAX_FOUND];
    const int n = find(dir, found);
    *found_one = false;
    file_remove_temporaries(dir);
    for (int i = 0; i < n; i++) {
        TrainRun read = {0};
        char     why[600], path[PATH_BYTES];
        path_of(path, dir, found[i].step);
        const Loaded loaded = load_one(m, &read, run->config_digest, path, why);
        if (loaded == LOADED) {
            read.resumed_count++;
            *run = read;
            params_touch(m->params);
            *found_one = true;
            return true;
        }
        train_run_free(&read);
        if (loaded == OTHER_SETTINGS) {
            FAIL(err, "", "holds a run with other settings, data, backend or threads; choose another --out, or remove its checkpoints to start again");
            return error_in(err, dir);
        }
        if (loaded == NO_MEMORY) {
            FAIL_STATUS(err, EXIT_MACHINE, "", "%.400s", why);
            return error_in(err, path);
        }
        fprintf(stderr, "morbench: warning: %s is damaged (%s); passed over for the one before\n", path, why);
    }
    if (n == 0) return true;
    FAIL_STATUS(err, EXIT_IO, "", "none of its %d checkpoints is good; remove them to start again", n);
    return error_in(err, dir);
}

void checkpoint_remove_all(const char *dir) { remove_old(dir, 0, INT64_MAX); }
