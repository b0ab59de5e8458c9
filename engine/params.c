/* The registry of weights: declaring, initialising, gradients and optimizer state (params.h). */
#include "engine/params.h"

#include "engine/backends/packed.h"
#include "engine/kernels.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Params {
    Arena *arena;                  /* the numbers */
    Arena *headers;                /* tensor structs, apart: a model that is only counted never touches its weights' memory */
    Param *item;
    int    n, capacity;
    bool   failed;
};

/* Never the same twice in a process: a packed copy of a freed tensor cannot be taken for that of its successor. */
static uint64_t next_version(void) {
    static uint64_t version;
    return ++version;
}

bool params_create(Params **out, Error *err) {
    Params *p = calloc(1, sizeof *p);
    if (p == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate the parameter registry");
    if (!arena_create(&p->arena, (size_t)1 << 20, err) || !arena_create(&p->headers, (size_t)1 << 16, err)) {
        params_destroy(p);
        return false;
    }
    *out = p;
    return true;
}

void params_destroy(Params *p) {
    if (p == NULL) return;
    packed_forget();
    arena_destroy(p->arena);
    arena_destroy(p->headers);
    free(p->item);
    free(p);
}

void param_add(Params *p, Tensor **slot, ParamSpec spec, int n_dims, const int64_t dim[], const char *name_format, ...) {
    if (p->failed) return;
    if (p->n == p->capacity) {
        const int capacity = p->capacity > 0 ? p->capacity * 2 : 64;
        Param    *item     = realloc(p->item, (size_t)capacity * sizeof *item);
        if (item == NULL) {
            p->failed = true;
            return;
        }
        p->item     = item;
        p->capacity = capacity;
    }
    Param *it = &p->item[p->n];
    *it = (Param){.init = spec.init, .role = spec.role, .depth = spec.depth, .fan_in = spec.fan_in, .uses = 1, .lr_scale = 1};
    va_list args;
    va_start(args, name_format);
    const int length = vsnprintf(it->name, sizeof it->name, name_format, args);
    va_end(args);
    CHECK(length > 0 && length < PARAM_NAME_MAX, "a parameter name of %d bytes", length);
    CHECK(params_find(p, it->name) == NULL, "parameter %s is declared twice", it->name);
    size_t count = 1;
    for (int i = 0; i < n_dims; i++)
        if (__builtin_mul_overflow(count, (size_t)dim[i], &count)) p->failed = true;
    if (p->failed || count > SIZE_MAX / sizeof(Real) / 4) {
        p->failed = true;
        return;
    }
    Tensor *t = arena_zeroed(p->headers, sizeof *t);
    Real   *x = arena_alloc(p->arena, count * sizeof *x);
    if (t == NULL || x == NULL) {
        p->failed = true;
        return;
    }
    *t = (Tensor){.data = x, .n_dims = n_dims, .needs_grad = false, .version = next_version()};
    memcpy(t->dim, dim, (size_t)n_dims * sizeof dim[0]);
    it->tensor = t;
    *slot      = t;
    p->n++;
}

Tensor *param_derived(Params *p, int n_dims, const int64_t dim[]) {
    size_t bytes = sizeof(Real);
    for (int i = 0; i < n_dims; i++)
        if (__builtin_mul_overflow(bytes, (size_t)dim[i], &bytes)) p->failed = true;
    Tensor *t = p->failed ? NULL : arena_zeroed(p->headers, sizeof *t);
    Real   *x = t == NULL ? NULL : arena_alloc(p->arena, bytes);
    if (x == NULL) {
        p->failed = true;
        return NULL;
    }
    *t = (Tensor){.data = x, .n_dims = n_dims, .version = next_version()};
    memcpy(t->dim, dim, (size_t)n_dims * sizeof dim[0]);
    return t;
}

bool   params_failed(const Params *p)     { return p->failed; }
int    params_count(const Params *p)      { return p->n; }
Param *params_at(Params *p, int i)        { return &p->item[i]; }

Param *params_find(Params *p, const char *name) {
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->item[i].name, name) == 0) return &p->item[i];
    return NULL;
}

int64_t params_elements(const Params *p) {
    int64_t n = 0;
    for (int i = 0; i < p->n; i++)
        if (p->item[i].role != PARAM_BUFFER) n += tensor_count(p->item[i].tensor);
    return n;
}

int64_t params_elements_unrolled(const Params *p) {
    int64_t n = 0;
    for (int i = 0; i < p->n; i++)
        if (p->item[i].role != PARAM_BUFFER) n += p->item[i].uses * tensor_count(p->item[i].tensor);
    return n;
}

int64_t params_bytes(const Params *p) {
    int64_t n = 0;
    for (int i = 0; i < p->n; i++) n += tensor_count(p->item[i].tensor) * (int64_t)sizeof(Real);
    return n;
}

/* Inner size of the product a weight stands for: all dimensions but the first. */
static int64_t fan_in(const Param *it) {
    if (it->fan_in > 0) return it->fan_in;
    const int64_t first = it->tensor->dim[0];
    return first > 0 ? tensor_count(it->tensor) / first : 1;
}

static void fill_normal(RngStream s, double sd, int64_t count, Real *x) {
#pragma omp parallel for schedule(static) if (count > 4096)
    for (int64_t block = 0; block < (count + 3) / 4; block++) {
        double draw[4];
        rng_normals(s, (RngKey){.channel = block}, draw);
        for (int64_t k = 4 * block; k < 4 * block + 4 && k < count; k++) x[k] = (Real)(sd * draw[k - 4 * block]);
    }
}

static void fill_uniform(RngStream s, double bound, int64_t count, Real *x) {
    for (int64_t k = 0; k < count; k++) x[k] = (Real)(bound * (2 * rng_uniform(s, (RngKey){.channel = k}) - 1));
}

void params_init(Params *p, uint64_t seed) {
    for (int i = 0; i < p->n; i++) {
        Param *it = &p->item[i];
        char   name[PARAM_NAME_MAX + 8];
        snprintf(name, sizeof name, "init:%s", it->name);
        const RngStream s     = rng_stream(seed, name);
        const int64_t   count = tensor_count(it->tensor);
        Real           *x     = it->tensor->data;
        switch (it->init) {
        case INIT_ZERO:         memset(x, 0, (size_t)count * sizeof *x); break;
        case INIT_ONE:          for (int64_t k = 0; k < count; k++) x[k] = 1; break;
        case INIT_NORMAL_002:   fill_normal(s, 0.02, count, x); break;
        case INIT_NORMAL_1E6:   fill_normal(s, 1e-6, count, x); break;
        case INIT_CONV_DEFAULT: fill_uniform(s, 1 / sqrt((double)fan_in(it)), count, x); break;
        }
    }
    params_touch(p);
}

bool params_want_grads(Params *p, Error *err) {
    for (int i = 0; i < p->n; i++) {
        Tensor *t = p->item[i].tensor;
        if (p->item[i].role == PARAM_BUFFER || p->item[i].frozen || t->grad != NULL) continue;
        t->grad = arena_alloc(p->arena, (size_t)tensor_count(t) * sizeof *t->grad);
        if (t->grad == NULL) return FAIL_STATUS(err, EXIT_MACHINE, p->item[i].name, "no memory for its gradient");
        t->needs_grad = true;
        t->grad_fresh = true;
    }
    return true;
}

void params_zero_grads(Params *p) {
    for (int i = 0; i < p->n; i++) p->item[i].tensor->grad_fresh = p->item[i].tensor->grad != NULL;
}

void params_settle_grads(Params *p) {
    for (int i = 0; i < p->n; i++) {
        Tensor *t = p->item[i].tensor;
        if (t->grad == NULL || !t->grad_fresh) continue;
        memset(t->grad, 0, (size_t)tensor_count(t) * sizeof *t->grad);
        t->grad_fresh = false;
    }
}

double params_grad_norm(Params *p, const Backend *backend) {
    double sum = 0;
    for (int i = 0; i < p->n; i++) {
        const Tensor *t = p->item[i].tensor;
        if (t->grad == NULL || t->grad_fresh) continue;
        double part;
        backend->sum_squares(tensor_count(t), t->grad, &part);
        sum += part;
    }
    return sqrt(sum);
}

bool params_want_state(Params *p, Error *err) {
    for (int i = 0; i < p->n; i++) {
        Param *it = &p->item[i];
        if (it->role == PARAM_BUFFER || it->frozen) continue;
        const size_t bytes = (size_t)tensor_count(it->tensor) * sizeof *it->m;
        if (it->m == NULL) it->m = arena_zeroed(p->arena, bytes);
        if (it->v == NULL) it->v = arena_zeroed(p->arena, bytes);
        if (it->m == NULL || it->v == NULL) return FAIL_STATUS(err, EXIT_MACHINE, it->name, "no memory for its optimizer state");
    }
    return true;
}

bool params_want_average(Params *p, Error *err) {
    for (int i = 0; i < p->n; i++) {
        Param       *it    = &p->item[i];
        const size_t bytes = (size_t)tensor_count(it->tensor) * sizeof *it->average;
        if (it->average == NULL) it->average = arena_alloc(p->arena, bytes);
        if (it->average == NULL) return FAIL_STATUS(err, EXIT_MACHINE, it->name, "no memory for its average");
        memcpy(it->average, it->tensor->data, bytes);
    }
    return true;
}

void params_average(Params *p, const Backend *backend, double decay) {
    for (int i = 0; i < p->n; i++) {
        const Param *it = &p->item[i];
        CHECK(it->average != NULL, "params: %s has no average", it->name);
        backend->approach(tensor_count(it->tensor), (Real)(1 - decay), it->tensor->data, it->average);
    }
}

void params_swap_average(Params *p) {
    for (int i = 0; i < p->n; i++) {
        Param *it = &p->item[i];
        CHECK(it->average != NULL, "params: %s has no average", it->name);
        Real *data = it->tensor->data;
        it->tensor->data = it->average;
        it->average      = data;
        param_touch(it);
    }
}

void params_touch(Params *p) {
    for (int i = 0; i < p->n; i++) param_touch(&p->item[i]);
}

void param_touch(Param *p) { tensor_touch(p->tensor); }

void tensor_touch(Tensor *t) { t->version = next_version(); }
