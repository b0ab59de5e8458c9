/* The tape: computes each op at once and, when it records, remembers what its backward pass needs.
 *
 *   tape_begin       a new step: memory of the last one is handed back
 *   op_...           one function a kind, see ops.h; returns the result
 *   tape_backward    gradients of everything recorded, latest first
 *
 * Memory. All tensors of a step lie in the tape's arena. While the tape does not record, a scope hands its memory back
 * when it closes; the tensors named as survivors move to the enclosing scope. So inference needs a few layers' memory.
 *
 * Failure. The first allocation that fails marks the tape; later ops do nothing and return tensors of zero rows. The
 * caller asks tape_failed() once a step.
 *
 * Accounting. Executed MACs are added where a backend is entered (tape_gemm, tape_attention), to the scope open at that
 * moment; time and bytes by op. Nothing here knows a particular op.
 *
 * Ownership: the tape and what it holds belong to the caller of tape_create; tensors to the tape until tape_begin. */
#ifndef ENGINE_TAPE_H
#define ENGINE_TAPE_H

#include "engine/arena.h"
#include "engine/kernels.h"
#include "engine/profile.h"

typedef struct Tape Tape;
typedef struct Node Node;

typedef struct OpCost {
    int64_t macs;                /* matrix products and convolutions, forward */
    int64_t elementwise;         /* element operations of the forward pass */
    int64_t bytes;               /* read and written once each, forward */
} OpCost;

/* An op kind is four functions and a name; nothing else in the engine mentions a particular op. */
typedef struct OpKind {
    const char *name;
    void      (*forward) (Node *);                 /* out->data from in[]->data, at once */
    void      (*backward)(Node *);                 /* in[]->grad += ...; out->grad is the gradient that arrived */
    OpCost    (*cost)    (const Node *);           /* from the sizes at hand, so a routed token counts once */
    Tensor   *(*sample)  (Tape *, int variant);    /* small typical uses for tests and benchmarks; NULL past the last */
} OpKind;

enum { NODE_MAX_INPUTS = 6 };

struct Node {
    const OpKind *kind;
    Tape         *tape;
    Tensor       *out;
    Tensor       *in[NODE_MAX_INPUTS];             /* unused and optional inputs are NULL */
    void         *saved;                           /* the op's private struct */
    Node         *previous;
    int           scope;
    void        (*undo)(Node *);                   /* puts back what an in-place op wrote over, before the gradients of ops recorded
                                                      earlier; called whether or not a gradient arrives. NULL: nothing to put back */
};

/* Identity of the step: where random draws of dropout, drop path and routers are addressed. */
typedef struct TapeStep {
    uint64_t seed;
    int64_t  step, n_steps;      /* n_steps: of the whole run, for schedules; 0: unknown */
    bool     training;           /* dropout, drop path, batch statistics */
    bool     freeze_bn;          /* but of the last: batch norms use their running ones, which stay */
    double   dropout, drop_path; /* rates; drop path grows linearly with depth to this one */
} TapeStep;

bool     tape_create(Tape **out, const Backend *backend, Error *err);
void     tape_destroy(Tape *t);

/* Starts a step; recording: for a backward pass. Invalidates every tensor of the step before. */
void     tape_begin(Tape *t, bool recording, TapeStep step);
bool     tape_failed(const Tape *t);
/* Asked before every op and every backward: true marks the tape as failed, so that a long step ends early. NULL: never. */
void     tape_set_stop(Tape *t, bool (*stop)(void));
bool     tape_recording(const Tape *t);
TapeStep tape_step(const Tape *t);
Arena   *tape_arena(Tape *t);
const Backend *tape_backend(const Tape *t);
Profile *tape_profile(Tape *t);

/* Back-propagates from a (1) tensor with gradient 1. Gradients of parameters add to what they hold. */
void     tape_backward(Tape *t, Tensor *loss);
/* The same from any output whose gradient the caller has put into out->grad (tests). */
void     tape_backward_from(Tape *t, Tensor *out);

/* The node recorded last, or NULL: for tests and micro-benchmarks. */
Node    *tape_last(const Tape *t);

/* --- scopes: named parts of the forward pass --- */
void     scope_open (Tape *t, const char *name, int index);              /* index < 0: none; name must outlive the tape */
/* survivor may be NULL; use what it returns. Data that a survivor borrows (tensor_from) must lie outside the scope. */
Tensor  *scope_close(Tape *t, Tensor *survivor);
void     scope_close_many(Tape *t, Tensor **survivor[], int n);          /* *survivor[i] are replaced; NULLs are fine */

/* --- named intermediate tensors (forward --trace) --- */
typedef void TraceSink(void *self, const char *name, const Tensor *value);
void     tape_set_trace(Tape *t, TraceSink *sink, void *self);           /* NULL: off */
bool     tape_tracing(const Tape *t);
void     tape_trace(Tape *t, const Tensor *value, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* --- for op files --- */
void    *tape_alloc(Tape *t, size_t bytes);                              /* NULL marks the tape as failed */
Tensor  *tensor_new(Tape *t, int n_dims, const int64_t dim[]);           /* uninitialised data */
Tensor  *tensor_matrix(Tape *t, int64_t rows, int64_t width);
Tensor  *tensor_from(Tape *t, int n_dims, const int64_t dim[], Real *data, bool needs_grad);   /* borrows data */
Node    *node_begin(Tape *t, const OpKind *kind, size_t saved_bytes);    /* never NULL; saved is zeroed */
Tensor  *node_run(Node *n, Tensor *out);                                 /* forward, cost, record; out is the result */
/* The gradient buffer of t, zeroed when nothing arrived yet; NULL when t is NULL or wants none. */
Real    *grad_add(Node *n, Tensor *t);
/* The same for a writer that covers every element: *assign says whether to assign instead of adding. */
Real    *grad_cover(Node *n, Tensor *t, bool *assign);
/* The gradient buffer of t, or zeroed memory that nobody reads where t wants none: for kernels that write several gradients at once. */
Real    *grad_or_nowhere(Node *n, Tensor *t);
/* Hands out's gradient buffer on to t (t += out->grad); moves it when t has none yet. Last use of out->grad. */
void     grad_pass(Node *n, Tensor *t);

/* Counting entries to the backend. */
void     tape_gemm(Tape *t, const Gemm *g);
void     tape_attention(Tape *t, const AttentionArgs *a, bool backward);
/* For products that enter by another kernel: called beside the kernel, with the sizes handed to it. */
void     tape_count_macs(Tape *t, int64_t macs);
/* Time of work that is no op (choosing rows): one call of `kind` in the scope that is open. From clock_now_ns(). */
void     tape_count_time(Tape *t, const char *kind, uint64_t started_ns);
void     tape_policy_attention(Tape *t, const PolicyAttentionArgs *p, bool backward);
void     tape_depthwise(Tape *t, const DepthwiseArgs *a, bool backward);   /* every tap counts, those on padding too */

#endif
