/* Recording and back-propagation, scopes that hand memory back, executed MACs (tape.h has the contract). */
#include "engine/tape.h"

#include "engine/clock.h"
#include "engine/scratch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SCOPE_DEPTH = 32, N_EMPTY = 64, N_POOL_SIZES = 64, TENSOR_HEADER_BYTES = 192 };

static const size_t first_chunk_bytes = (size_t)64 << 20;

/* A build without counting shows what counting costs (scripts/overhead.sh); nothing else uses it. */
#ifdef MORBENCH_UNCOUNTED
enum { COUNTED = 0 };
#else
enum { COUNTED = 1 };
#endif

typedef struct OpenScope { ArenaMark mark; int profile; } OpenScope;

/* Gradient buffers whose node is done, by size, as a list through their own first bytes: the backward pass keeps few
 * buffers warm instead of walking through fresh memory. */
typedef struct FreeGrads { int64_t count; void *first; } FreeGrads;

struct Tape {
    Arena         *arena;
    const Backend *backend;
    TapeStep       step;
    bool           recording, failed;
    Node          *last;
    Profile       *profile;
    OpenScope      open[MAX_SCOPE_DEPTH];
    int            n_open;
    ProfileWork   *counting;                  /* where executed MACs go right now */
    FreeGrads      pool[N_POOL_SIZES];
    int            n_pool;
    Tensor         empty[N_EMPTY];            /* results of ops after a failure: zero rows, right widths */
    int            n_empty;
    Node           failed_node;
    unsigned char  failed_saved[512];
    bool         (*stop)(void);
    TraceSink     *trace;
    void          *trace_self;
};

_Static_assert(sizeof(Tensor) <= TENSOR_HEADER_BYTES, "tensor header grew");

bool tape_create(Tape **out, const Backend *backend, Error *err) {
    Tape *t = calloc(1, sizeof *t);
    if (t == NULL || (t->profile = calloc(1, sizeof *t->profile)) == NULL) {
        tape_destroy(t);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a tape");
    }
    if (!arena_create(&t->arena, first_chunk_bytes, err)) {
        tape_destroy(t);
        return false;
    }
    t->backend = backend;
    profile_clear(t->profile);
    tape_begin(t, false, (TapeStep){0});
    *out = t;
    return true;
}

void tape_destroy(Tape *t) {
    if (t == NULL) return;
    arena_destroy(t->arena);
    free(t->profile);
    free(t);
}

void tape_begin(Tape *t, bool recording, TapeStep step) {
    arena_rewind(t->arena, (ArenaMark){0});
    t->recording = recording;
    t->step      = step;
    t->failed    = false;
    t->last      = NULL;
    t->n_pool    = 0;
    t->n_open    = 0;
    t->counting  = &t->profile->scope[0].forward;
    scratch_clear();
}

void           tape_set_stop(Tape *t, bool (*stop)(void)) { t->stop = stop; }
bool           tape_failed(const Tape *t)    { return t->failed || scratch_failed(); }
bool           tape_recording(const Tape *t) { return t->recording; }
TapeStep       tape_step(const Tape *t)      { return t->step; }
Arena         *tape_arena(Tape *t)           { return t->arena; }
const Backend *tape_backend(const Tape *t)   { return t->backend; }
Node          *tape_last(const Tape *t)      { return t->last; }
Profile       *tape_profile(Tape *t)         { return t->profile; }

/* ---------------------------------------------------------------- tensors */

void *tape_alloc(Tape *t, size_t bytes) {
    void *p = t->failed ? NULL : arena_alloc(t->arena, bytes);
    if (p == NULL) t->failed = true;
    return p;
}

static Tensor *tensor_empty(Tape *t, int n_dims, const int64_t dim[]) {
    Tensor *e = &t->empty[t->n_empty++ % N_EMPTY];
    *e = (Tensor){.n_dims = n_dims};
    for (int i = 1; i < n_dims; i++) e->dim[i] = dim[i];
    return e;
}

static void dims_check(int n_dims, const int64_t dim[]) {
    CHECK(n_dims >= 1 && n_dims <= TENSOR_MAX_DIMS, "a tensor of %d dimensions", n_dims);
    for (int i = 0; i < n_dims; i++) CHECK(dim[i] >= 0, "dimension %d is %lld", i, (long long)dim[i]);
}

/* Header and data are one block, so that a survivor of a scope moves in one piece. */
Tensor *tensor_new(Tape *t, int n_dims, const int64_t dim[]) {
    dims_check(n_dims, dim);
    size_t bytes = sizeof(Real);
    bool   fits  = true;
    for (int i = 0; i < n_dims; i++) fits = fits && !__builtin_mul_overflow(bytes, (size_t)dim[i], &bytes);
    fits = fits && !__builtin_add_overflow(bytes, (size_t)TENSOR_HEADER_BYTES, &bytes);
    if (!fits) t->failed = true;
    unsigned char *block = tape_alloc(t, bytes);
    if (block == NULL) return tensor_empty(t, n_dims, dim);
    Tensor *x = (Tensor *)(void *)block;
    *x = (Tensor){.data = (Real *)(void *)(block + TENSOR_HEADER_BYTES), .n_dims = n_dims};
    memcpy(x->dim, dim, (size_t)n_dims * sizeof dim[0]);
    return x;
}

Tensor *tensor_matrix(Tape *t, int64_t rows, int64_t width) { return tensor_new(t, 2, (int64_t[]){rows, width}); }

Tensor *tensor_from(Tape *t, int n_dims, const int64_t dim[], Real *data, bool needs_grad) {
    dims_check(n_dims, dim);
    Tensor *x = tape_alloc(t, TENSOR_HEADER_BYTES);
    if (x == NULL) return tensor_empty(t, n_dims, dim);
    *x = (Tensor){.data = data, .n_dims = n_dims, .needs_grad = needs_grad};
    memcpy(x->dim, dim, (size_t)n_dims * sizeof dim[0]);
    return x;
}

/* ---------------------------------------------------------------- ops */

Node *node_begin(Tape *t, const OpKind *kind, size_t saved_bytes) {
    Node *n     = tape_alloc(t, sizeof *n);
    void *saved = tape_alloc(t, saved_bytes);
    if (n == NULL || saved == NULL) {
        CHECK(saved_bytes <= sizeof t->failed_saved, "%s saves %zu bytes", kind->name, saved_bytes);
        n     = &t->failed_node;
        saved = t->failed_saved;
    }
    memset(saved, 0, saved_bytes);
    *n = (Node){.kind = kind, .tape = t, .saved = saved};
    return n;
}

static int scope_now(const Tape *t) { return t->n_open > 0 ? t->open[t->n_open - 1].profile : 0; }

static void count_op(ProfileWork *scope, ProfileWork *kind, const OpCost *cost, uint64_t elapsed_ns, int64_t macs) {
    scope->calls++;
    scope->elapsed_ns += elapsed_ns;
    kind->calls++;
    kind->elapsed_ns += elapsed_ns;
    kind->macs       += macs;
    if (cost == NULL) return;
    scope->elementwise += cost->elementwise;
    scope->bytes       += cost->bytes;
    kind->elementwise  += cost->elementwise;
    kind->bytes        += cost->bytes;
}

Tensor *node_run(Node *n, Tensor *out) {
    Tape *t = n->tape;
    n->out  = out;
    if (t->stop != NULL && t->stop()) t->failed = true;
    if (t->failed) return out;
    n->scope = scope_now(t);
    t->counting = &t->profile->scope[n->scope].forward;
    if (COUNTED) {
        const int64_t  macs_before = t->counting->macs;
        const uint64_t started_ns  = clock_now_ns();
        n->kind->forward(n);
        const uint64_t elapsed_ns  = clock_now_ns() - started_ns;
        const OpCost   cost        = n->kind->cost(n);
        count_op(t->counting, &profile_kind(t->profile, n->kind->name)->forward, &cost, elapsed_ns,
                 t->counting->macs - macs_before);
    } else {
        n->kind->forward(n);
    }
    if (t->recording) {
        for (int i = 0; i < NODE_MAX_INPUTS; i++)
            if (n->in[i] != NULL && n->in[i]->needs_grad) out->needs_grad = true;
        n->previous = t->last;
        t->last     = n;
    }
    return out;
}

/* ---------------------------------------------------------------- gradients */

static Real *pool_take(Tape *t, int64_t count) {
    for (int i = 0; i < t->n_pool; i++)
        if (t->pool[i].count == count && t->pool[i].first != NULL) {
            void *buffer = t->pool[i].first;
            memcpy(&t->pool[i].first, buffer, sizeof t->pool[i].first);
            return buffer;
        }
    const size_t bytes = (size_t)count * sizeof(Real);
    return tape_alloc(t, bytes < sizeof(void *) ? sizeof(void *) : bytes);
}

static void pool_give(Tape *t, int64_t count, Real *buffer) {
    int i = 0;
    while (i < t->n_pool && t->pool[i].count != count) i++;
    if (i == N_POOL_SIZES) return;
    if (i == t->n_pool) t->pool[t->n_pool++] = (FreeGrads){.count = count};
    memcpy(buffer, &t->pool[i].first, sizeof t->pool[i].first);
    t->pool[i].first = buffer;
}

Real *grad_cover(Node *n, Tensor *t, bool *assign) {
    if (t == NULL || !t->needs_grad || n->tape->failed) return NULL;
    if (t->grad == NULL) {
        t->grad       = pool_take(n->tape, tensor_count(t));
        t->grad_fresh = true;
        if (t->grad == NULL) return NULL;
    }
    *assign       = t->grad_fresh;
    t->grad_fresh = false;
    return t->grad;
}

Real *grad_add(Node *n, Tensor *t) {
    bool  assign = false;
    Real *grad   = grad_cover(n, t, &assign);
    if (grad != NULL && assign) memset(grad, 0, (size_t)tensor_count(t) * sizeof *grad);
    return grad;
}

Real *grad_or_nowhere(Node *n, Tensor *t) {
    Real *grad = grad_add(n, t);
    if (grad != NULL || n->tape->failed) return grad;
    const size_t bytes = (size_t)tensor_count(t) * sizeof *grad;
    grad = tape_alloc(n->tape, bytes);
    return grad != NULL ? memset(grad, 0, bytes) : NULL;
}

void grad_pass(Node *n, Tensor *t) {
    if (t == NULL || !t->needs_grad || n->tape->failed) return;
    CHECK(tensor_count(t) == tensor_count(n->out), "%s: grad_pass between different sizes", n->kind->name);
    if (t->grad == NULL) {
        t->grad       = n->out->grad;
        t->grad_fresh = false;
        n->out->grad  = NULL;
        return;
    }
    bool  assign = false;
    Real *grad   = grad_cover(n, t, &assign);
    if (assign) n->tape->backend->copy(tensor_count(t), n->out->grad, grad);
    else        n->tape->backend->axpy(tensor_count(t), 1, n->out->grad, grad);
}

void tape_backward_from(Tape *t, Tensor *out) {
    CHECK(t->recording, "tape_backward: the tape does not record");
    CHECK(tape_failed(t) || out->grad != NULL, "tape_backward: no gradient arrives");
    for (Node *n = t->last; n != NULL && !tape_failed(t); n = n->previous) {
        if (n->undo != NULL) n->undo(n);
        if (n->out->grad == NULL || n->out->grad_fresh) continue;
        if (t->stop != NULL && t->stop()) t->failed = true;
        if (t->failed) break;
        t->counting = &t->profile->scope[n->scope].backward;
        const int64_t  macs_before = t->counting->macs;
        const uint64_t started_ns  = clock_now_ns();
        n->kind->backward(n);
        const uint64_t elapsed_ns  = clock_now_ns() - started_ns;
        count_op(t->counting, &profile_kind(t->profile, n->kind->name)->backward, NULL, elapsed_ns,
                 t->counting->macs - macs_before);
        if (n->out->grad != NULL) pool_give(t, tensor_count(n->out), n->out->grad);
        n->out->grad = NULL;
    }
}

void tape_backward(Tape *t, Tensor *loss) {
    if (tape_failed(t)) return;
    CHECK(tensor_count(loss) == 1, "tape_backward: the loss has %lld elements", (long long)tensor_count(loss));
    loss->grad = tape_alloc(t, sizeof(Real) + sizeof(void *));
    if (loss->grad == NULL) return;
    loss->grad[0]    = 1;
    loss->grad_fresh = false;
    tape_backward_from(t, loss);
}

/* ---------------------------------------------------------------- scopes */

void scope_open(Tape *t, const char *name, int index) {
    CHECK(t->n_open < MAX_SCOPE_DEPTH, "scope '%s': nested too deep", name);
    const int profile = COUNTED ? profile_scope(t->profile, scope_now(t), name, index) : 0;
    t->open[t->n_open++] = (OpenScope){arena_mark(t->arena), profile};
}

/* In the arena's order, so that none is overwritten before it is moved. */
static void sort_survivors(const Arena *a, Tensor **survivor[], int n) {
    for (int i = 1; i < n; i++) {
        Tensor **const at = survivor[i];
        int j = i;
        for (; j > 0 && arena_is_before(a, *at, *survivor[j - 1]); j--) survivor[j] = survivor[j - 1];
        survivor[j] = at;
    }
}

/* Moves a survivor to the arena's end, which is at or below where it lies. */
static Tensor *survivor_move(Tape *t, Tensor *x, size_t bytes) {
    unsigned char *to = arena_alloc(t->arena, bytes), *from = (unsigned char *)x;
    CHECK(to != NULL && !arena_is_before(t->arena, from, to), "a survivor found no room where it already lay");
    if (to == from) return x;
    const size_t data_bytes = bytes - TENSOR_HEADER_BYTES;
    const Tensor header     = *x;
    if (to + bytes <= from || from + bytes <= to)
        t->backend->copy((int64_t)(data_bytes / sizeof(Real)), (Real *)(void *)(from + TENSOR_HEADER_BYTES),
                         (Real *)(void *)(to + TENSOR_HEADER_BYTES));
    else
        memmove(to + TENSOR_HEADER_BYTES, from + TENSOR_HEADER_BYTES, data_bytes);
    Tensor *moved = (Tensor *)(void *)to;
    *moved = header;
    if (data_bytes > 0) moved->data = (Real *)(void *)(to + TENSOR_HEADER_BYTES);
    return moved;
}

void scope_close_many(Tape *t, Tensor **survivor[], int n) {
    CHECK(t->n_open > 0, "scope_close without scope_open");
    const OpenScope scope = t->open[--t->n_open];
    if (t->recording || t->failed) return;
    enum { MAX_SURVIVORS = 64 };
    CHECK(n <= MAX_SURVIVORS, "scope_close: %d survivors", n);
    Tensor **inside[MAX_SURVIVORS];
    size_t   bytes[MAX_SURVIVORS];
    int      n_inside = 0;
    for (int i = 0; i < n; i++)
        if (*survivor[i] != NULL && arena_is_after(t->arena, scope.mark, *survivor[i])) inside[n_inside++] = survivor[i];
    sort_survivors(t->arena, inside, n_inside);
    for (int i = 0; i < n_inside; i++) {
        const Tensor *x = *inside[i];
        const bool owns = (const unsigned char *)x->data == (const unsigned char *)x + TENSOR_HEADER_BYTES;
        CHECK(owns || tensor_count(x) == 0 || !arena_is_after(t->arena, scope.mark, x->data),
              "scope_close: survivor %d borrows memory of the scope", i);
        bytes[i] = TENSOR_HEADER_BYTES + (owns ? (size_t)tensor_count(x) * sizeof(Real) : 0);
    }
    arena_rewind_keeping(t->arena, scope.mark);
    Tensor *from = NULL, *to = NULL;
    for (int i = 0; i < n_inside; i++) {
        if (*inside[i] != from) {
            from = *inside[i];
            to   = survivor_move(t, from, bytes[i]);
        }
        *inside[i] = to;
    }
    arena_poison_rest(t->arena, scope.mark);
}

Tensor *scope_close(Tape *t, Tensor *survivor) {
    scope_close_many(t, (Tensor **[]){&survivor}, 1);
    return survivor;
}

/* ---------------------------------------------------------------- trace and counting */

void tape_set_trace(Tape *t, TraceSink *sink, void *self) {
    t->trace      = sink;
    t->trace_self = self;
}

bool tape_tracing(const Tape *t) { return t->trace != NULL; }

void tape_trace(Tape *t, const Tensor *value, const char *format, ...) {
    if (t->trace == NULL || t->failed) return;
    char    name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    t->trace(t->trace_self, name, value);
}

void tape_gemm(Tape *t, const Gemm *g) {
    Gemm counted = *g;
    /* no version: not a parameter but an activation, whose address soon holds other numbers */
    if (counted.parameter != NULL && counted.parameter->version == 0) counted.parameter = NULL;
    t->counting->macs += g->M * g->N * g->K;
    t->backend->gemm(&counted);
}

void tape_count_macs(Tape *t, int64_t macs) { t->counting->macs += macs; }

void tape_count_time(Tape *t, const char *kind, uint64_t started_ns) {
    if (t->failed) return;
    count_op(&t->profile->scope[scope_now(t)].forward, &profile_kind(t->profile, kind)->forward, NULL, clock_now_ns() - started_ns, 0);
}

/* Forward: scores and weighted sum. Backward: scores again, dV, dP, dQ, dK. */
static int64_t attention_macs(const AttentionArgs *a, bool backward) {
    int64_t pairs = 0;
    for (int s = 0; s < a->n_sequences; s++)
        pairs += (int64_t)(a->q_offset[s + 1] - a->q_offset[s]) * (a->k_offset[s + 1] - a->k_offset[s]);
    return pairs * a->H * (backward ? 3 * (int64_t)a->E + 2 * (int64_t)a->Ev : (int64_t)a->E + a->Ev);
}

void tape_attention(Tape *t, const AttentionArgs *a, bool backward) {
    t->counting->macs += attention_macs(a, backward);
    if (backward) t->backend->attention_backward(a);
    else          t->backend->attention(a);
}

void tape_policy_attention(Tape *t, const PolicyAttentionArgs *p, bool backward) {
    t->counting->macs += attention_macs(&p->a, backward);
    if (backward) t->backend->policy_attention_backward(p);
    else          t->backend->policy_attention(p);
}

void tape_depthwise(Tape *t, const DepthwiseArgs *a, bool backward) {
    const int64_t macs = 9 * a->C * a->B * map_side(a->height, a->stride) * map_side(a->width, a->stride);
    if (backward) {
        t->counting->macs += macs * ((a->dx != NULL) + (a->dtaps != NULL));
        t->backend->depthwise_backward(a);
    } else {
        t->counting->macs += macs;
        t->backend->depthwise(a);
    }
}
