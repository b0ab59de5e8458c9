/* Building, loading and saving of any model; every complaint about a weight file in one error (model.h). */
#include "models/model.h"

#include "engine/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool model_new(Model **out, const ModelKind *kind, Error *err) {
    Model *m = calloc(1, sizeof *m);
    if (m == NULL || (m->self = calloc(1, kind->size_bytes)) == NULL) {
        free(m);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a model");
    }
    m->kind = kind;
    fields_default(kind->fields, m->self);
    *out = m;
    return true;
}

bool model_build(Model *m, Error *err) {
    if (!m->kind->prepare(m->self, err)) return false;
    if (!params_create(&m->params, err)) return false;
    m->kind->each_param(m->self, m->params);
    if (params_failed(m->params)) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the model's weights");
    return true;
}

void model_destroy(Model *m) {
    if (m == NULL) return;
    params_destroy(m->params);
    free(m->self);
    free(m);
}

ModelTraits model_traits(const Model *m) {
    ModelTraits t = m->kind->traits != NULL ? m->kind->traits(m->self) : (ModelTraits){0};
    if (t.depth_unit == NULL) t.depth_unit = "blocks";
    return t;
}

void model_count_images(const Model *m, const ModelOutput *y, int B, bool training, int64_t *sum, int64_t *min, int64_t *max) {
    for (int b = 0; b < B; b++) {
        RouteCounts route = {.training = training};
        ModelCounts c;
        if (y->active != NULL) {
            route.n_steps = y->n_steps;
            for (int s = 0; s < y->n_steps; s++) route.active[s] = y->active[b * y->n_steps + s];
        }
        m->kind->count(m->self, &route, &c);
        *sum += c.macs;
        if (c.macs < *min) *min = c.macs;
        if (c.macs > *max) *max = c.macs;
    }
}

/* A list of at most a few hundred bytes that says how much it left out. */
typedef struct Complaints { char text[400]; int n; } Complaints;

static void complain(Complaints *c, const char *name, const char *what) {
    const size_t n = strlen(c->text);
    if (n < 320) snprintf(c->text + n, sizeof c->text - n, "%s%.90s%s%s", n > 0 ? ", " : "", name, what[0] != '\0' ? " " : "", what);
    else if (n < sizeof c->text - 8 && c->text[n - 1] != '.') snprintf(c->text + n, sizeof c->text - n, ", ...");
    c->n++;
}

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool ignorable(const char *name) {
    return ends_with(name, ".num_batches_tracked") || ends_with(name, ".attention_bias_idxs");
}

static bool same_shape(const SafeEntry *e, const Tensor *t) {
    if (e->n_dims != t->n_dims) return false;
    for (int i = 0; i < t->n_dims; i++)
        if (e->dim[i] != t->dim[i]) return false;
    return true;
}

static void shape_text(char *text, size_t size, int n_dims, const int64_t dim[]) {
    size_t n = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < n_dims && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%lld", i > 0 ? "," : "", (long long)dim[i]);
    if (n < size) snprintf(text + n, size - n, ")");
}

static bool to_real(const SafeEntry *e, Real *out, Error *err) {
#ifdef REAL_DOUBLE
    return safetensors_to_double(e, out, err);
#else
    return safetensors_to_float(e, out, err);
#endif
}

static bool is_float(const SafeEntry *e) {
    return e->dtype == SAFE_F64 || e->dtype == SAFE_F32 || e->dtype == SAFE_F16 || e->dtype == SAFE_BF16;
}

/* A tensor of another shape: resampled by the model if it knows how. False with an empty *err: it does not. */
static bool adapt(const Model *m, const Param *p, const SafeEntry *e, Error *err) {
    *err = (Error){0};
    if (m->kind->adapt == NULL || e->n_dims > TENSOR_MAX_DIMS) return false;
    int64_t dim[TENSOR_MAX_DIMS] = {0}, count;
    for (int i = 0; i < e->n_dims; i++) dim[i] = e->dim[i];
    count = e->n_values;
    if (count <= 0) return false;
    float *data = malloc((size_t)count * sizeof *data);
    const bool ok = (data != NULL || FAIL_STATUS(err, EXIT_MACHINE, p->name, "no memory to resample it")) && safetensors_to_float(e, data, err)
                 && m->kind->adapt(m->self, p, e->n_dims, dim, data, p->tensor->data);
    free(data);
    return ok;
}

enum { N_COMPLAINTS = 5 };

static int cut_length(const Complaints *const all[N_COMPLAINTS], int share) {
    int sum = 0;
    for (int i = 0; i < N_COMPLAINTS; i++) sum += (int)strnlen(all[i]->text, (size_t)share);
    return sum;
}

/* One error of all lists. Too long ones are cut to the same length, as much as the message has room for. */
static void complain_of_all(const Model *m, const Complaints *const all[N_COMPLAINTS], Error *err) {
    static const char *const title[N_COMPLAINTS] = {"missing", "misshaped", "not of floats", "not finite", "not of this model"};
    enum { AROUND = 30 };                        /* the longest title with its count and punctuation */
    char text[sizeof err->message] = "";
    int  room = (int)sizeof err->message - 40, share = 0;    /* 40: the sentence's beginning */
    for (int i = 0; i < N_COMPLAINTS; i++) room -= all[i]->n > 0 ? AROUND : 0;
    while (share < (int)sizeof all[0]->text && cut_length(all, share + 1) <= room) share++;
    for (int i = 0; i < N_COMPLAINTS; i++) {
        const size_t n = strlen(text);
        if (all[i]->n > 0)
            snprintf(text + n, sizeof text - n, "%s%s (%d): %.*s%s", n > 0 ? "; " : "", title[i], all[i]->n, share, all[i]->text,
                     strlen(all[i]->text) > (size_t)share ? "..." : "");
    }
    FAIL(err, "", "does not fit model %s: %s", m->kind->name, text);
}

/* The entry that holds p, under its own name or the other one it is known as; NULL: none. */
static const SafeEntry *entry_of(const Model *m, const SafeFile *file, const Param *p) {
    char             other[PARAM_NAME_MAX];
    const SafeEntry *e = safetensors_find(file, p->name);
    return e == NULL && m->kind->known_as != NULL && m->kind->known_as(p->name, other) ? safetensors_find(file, other) : e;
}

/* Recursion R and the rest of a name that each recursion has of its own, "routers.R.rest" and "loop.R.rest". */
static bool of_recursion(const char *name, const char **group, int *r, const char **rest) {
    static const char *const groups[] = {"routers", "loop"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        const size_t n   = strlen(groups[i]);
        int          end = 0;
        if (strncmp(name, groups[i], n) != 0 || sscanf(name + n, ".%d.%n", r, &end) != 1 || end == 0) continue;
        *group = groups[i];
        *rest  = name + n + end;
        return true;
    }
    return false;
}

/* That of the last recursion before p's that has one; NULL: p is of no recursion, or none has. */
static const SafeEntry *entry_of_earlier(const SafeFile *file, const Param *p) {
    const SafeEntry *e = NULL;
    const char      *group, *rest;
    int              r;
    if (!of_recursion(p->name, &group, &r, &rest)) return NULL;
    while (e == NULL && --r >= 0) {
        char name[PARAM_NAME_MAX];
        snprintf(name, sizeof name, "%s.%d.%s", group, r, rest);
        e = safetensors_find(file, name);
    }
    return e;
}

/* Entries that hold a parameter; free with free(). */
static bool *entries_taken(const Model *m, const SafeFile *file) {
    bool *taken = calloc((size_t)safetensors_count(file) + 1, sizeof *taken);
    for (int i = 0; taken != NULL && i < params_count(m->params); i++) {
        const SafeEntry *e = entry_of(m, file, params_at(m->params, i));
        for (int k = 0; e != NULL && k < safetensors_count(file); k++) taken[k] = taken[k] || safetensors_entry(file, k) == e;
    }
    return taken;
}

bool model_load(Model *m, const char *path, LoadOptions options, char sha256[65], char warning[512], Error *err) {
    SafeFile  *file    = NULL;
    bool       ok      = false, *taken = NULL;
    Complaints missing = {0}, extra = {0}, shaped = {0}, typed = {0}, nonfinite = {0}, noted = {0};
    if (warning != NULL) warning[0] = '\0';
    if (!safetensors_open(&file, path, err)) goto done;
    taken = entries_taken(m, file);
    if (taken == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to read a weight file");
        goto done;
    }

    for (int i = 0; i < safetensors_count(file); i++) {
        const SafeEntry *e = safetensors_entry(file, i);
        char        printable[100], left_out[160];
        const char *group, *rest;
        int         r;
        if (taken[i] || ignorable(e->name)) continue;
        safetensors_escape(e->name, printable, sizeof printable);
        if (options.other_recursions && of_recursion(e->name, &group, &r, &rest)) {
            snprintf(left_out, sizeof left_out, "%s left out", printable);
            complain(&noted, left_out, "");
            continue;
        }
        complain(&extra, printable, "");
    }
    for (int i = 0; i < params_count(m->params); i++) {
        Param           *p = params_at(m->params, i);
        const SafeEntry *e = entry_of(m, file, p);
        char             has[64], wants[64], text[320];
        if (e == NULL && options.other_recursions && (e = entry_of_earlier(file, p)) != NULL) {
            snprintf(text, sizeof text, "%s taken from %s", p->name, e->name);
            complain(&noted, text, "");
        }
        if (e == NULL) {
            complain(&missing, p->name, "");
            continue;
        }
        shape_text(has, sizeof has, e->n_dims, e->dim);
        shape_text(wants, sizeof wants, p->tensor->n_dims, p->tensor->dim);
        const int64_t bad = safetensors_first_nonfinite(e);
        if (bad >= 0 && !options.allow_nonfinite) {
            snprintf(text, sizeof text, "at element %lld", (long long)bad);
            complain(&nonfinite, p->name, text);
            continue;
        }
        if (!is_float(e)) {
            snprintf(text, sizeof text, "is %s", safe_dtype_name(e->dtype));
            complain(&typed, p->name, text);
        } else if (options.any_head_new && p->classifier) {
            snprintf(text, sizeof text, "%s left at its initial values, as asked for", p->name);
            complain(&noted, text, "");
        } else if (same_shape(e, p->tensor)) {
            if (!to_real(e, p->tensor->data, err)) goto done;
        } else if (adapt(m, p, e, err)) {
            snprintf(text, sizeof text, "%s resampled from %s to %s", p->name, has, wants);
            complain(&noted, text, "");
        } else if (options.new_head && p->classifier) {
            snprintf(text, sizeof text, "%s left at its initial values (file has %s, model %s)", p->name, has, wants);
            complain(&noted, text, "");
        } else {
            if (err->message[0] != '\0') goto done;
            snprintf(text, sizeof text, "is %s, must be %s", has, wants);
            complain(&shaped, p->name, text);
        }
    }
    if (missing.n + shaped.n + typed.n + nonfinite.n + extra.n > 0) {
        const Complaints *all[] = {&missing, &shaped, &typed, &nonfinite, &extra};
        complain_of_all(m, all, err);
        goto done;
    }
    if (sha256 != NULL && !safetensors_sha256(file, sha256, err)) goto done;
    if (warning != NULL) snprintf(warning, 512, "%s", noted.text);
    ok = true;
done:
    params_touch(m->params);                     /* also of a load that failed half-way */
    if (!ok) error_in(err, path);
    free(taken);
    safetensors_close(file);
    return ok;
}

bool model_save(const Model *m, const char *path, char sha256[65], Error *err) {
    SafeWriter *writer = NULL;
    bool        ok     = false;
    if (!safe_writer_create(&writer, err)) goto done;
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        const SafeDtype dtype = sizeof(Real) == sizeof(float) ? SAFE_F32 : SAFE_F64;
        if (!safe_writer_add(writer, p->name, dtype, p->tensor->n_dims, p->tensor->dim, p->tensor->data, err)) goto done;
    }
    ok = safe_writer_save(writer, path, sha256, err);
done:
    safe_writer_destroy(writer);
    return ok;
}
