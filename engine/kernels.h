/* Backends: records of kernels, the only way ops reach numbers.
 *
 * kernels.def lists every kernel once. `reference` has them all: plain loops, double accumulation, never tuned. Another
 * backend overrides what it does better and inherits the rest (backend_complete). A kernel that accumulates says so
 * (+=); all others assign. Kernels may use every OpenMP thread but give the same bits at a fixed thread count: work is
 * split by index and partial sums are added in the order of the threads. Matrices are row-major; ld is the distance
 * between rows in elements. */
#ifndef ENGINE_KERNELS_H
#define ENGINE_KERNELS_H

#include "engine/tensor.h"

#include <stddef.h>

typedef enum Activation { ACTIVATION_NONE, ACTIVATION_GELU } Activation;

/* C (M,N) = A B + beta C, then the epilogue in this order: + bias, keep pre_activation, activation, + residual.
 * A is stored (M,K), or (K,M) with trans_a; B is stored (K,N), or (N,K) with trans_b. */
typedef struct Gemm {
    int64_t     M, N, K;
    bool        trans_a, trans_b;
    const Real *a, *b;
    int64_t     lda, ldb;
    Real        beta;                /* 0 or 1; with 0, c is not read */
    Real       *c;
    int64_t     ldc;
    const Real *bias;                /* (N) or NULL */
    Real       *pre_activation;      /* (M,N), ld = N, or NULL: not kept */
    Activation  activation;
    const Real *residual;            /* (M,N), ld = N, or NULL; may be c itself */
    const Tensor *parameter;         /* whose data b is, or NULL: key of packed copies together with its version */
} Gemm;

/* y = (x - mean) inv_sd gain + bias over the last dimension. x, y (M,D); mean, inv_sd (M), NULL: not kept. */
typedef struct LayerNormArgs {
    int64_t     M, D;
    Real        eps;
    const Real *x, *gain, *bias;
    Real       *y, *mean, *inv_sd;
    /* backward only */
    const Real *dy;
    Real       *dx;                  /* NULL: not wanted */
    bool        dx_assign;           /* assign dx instead of adding to it */
    Real       *dgain, *dbias;       /* += */
} LayerNormArgs;

/* out_i = sum_j softmax_j(scale q_i.k_j + bias_ij) v_j within each sequence and head; queries and keys have row offsets
 * of their own. Head h of query row i starts at q + i q_ld + h q_head. lse keeps log-sum-exp rows instead of (N,N). */
typedef struct AttentionArgs {
    int            n_sequences, H, E, Ev;           /* heads; width of q and k; width of v, a head */
    const int32_t *q_offset, *k_offset;             /* (n_sequences+1) */
    Real           scale;
    const Real    *q, *k, *v;
    int64_t        q_ld, k_ld, v_ld, q_head, k_head, v_head;
    const Real    *bias;                            /* (H,Nq,Nk), all sequences then have these lengths; or NULL */
    Real          *out;                             /* (Mq, H Ev) */
    Real          *lse;                             /* (Mq,H), NULL: not kept */
    /* backward only: reads out and lse */
    const Real    *dout;                            /* (Mq, H Ev) */
    Real          *dq, *dk, *dv;                    /* laid out as q, k, v; NULL: not wanted (all three or none) */
    bool           assign;                          /* assign dq, dk, dv instead of adding */
    Real          *dbias;                           /* += (H,Nq,Nk), or NULL */
} AttentionArgs;

/* Attention whose keys weigh as much as a policy p says (Rao et al. 2021, DynamicViT), each row keeping its own key:
 *   e_ij = exp(s_ij - max_j s_ij),  G_ij = 1 if i = j else p_j,  P_ij = (e_ij G_ij + eps/n) / (sum_j e_ij G_ij + eps),  out = P v
 * Queries and keys are the same rows, n of them a sequence; no bias table, no lse. */
typedef struct PolicyAttentionArgs {
    AttentionArgs a;
    const Real   *policy;                           /* (Mk) */
    Real          eps;
    Real         *maximum, *sum;                    /* (Mq,H) max_j s_ij and sum_j e_ij G_ij + eps; NULL: not kept; backward reads them */
    Real         *dpolicy;                          /* backward: += (Mk), or NULL */
} PolicyAttentionArgs;

/* Of each sequence: y_i = [first half of x_i, sum_j p_j second half of x_j / sum_j p_j]; zeros where all p_j are 0. */
typedef struct PoolHalfArgs {
    int            n_sequences;
    int64_t        D;                               /* even */
    const int32_t *offset;                          /* (n_sequences+1) */
    const Real    *x, *policy;                      /* (M,D); (M), or NULL: all 1 */
    Real          *y;                               /* (M,D) */
    /* backward reads y as well */
    const Real    *dy;
    Real          *dx;                              /* +=, or NULL */
    Real          *dpolicy;                         /* += (M), or NULL */
} PoolHalfArgs;

/* Images (B,C,side,side) to rows (B n n, C P P), n = side/P: channel-major, then patch row, then column. */
typedef struct PatchArgs {
    int64_t     B, C, height, width, P;
    const Real *images;
    Real       *rows;
    Real       *dimages;                            /* backward: += from rows */
} PatchArgs;

/* Maps are packed rows in NHWC: pixel (y,x) of image b is row (b height + y) width + x, of C channels. Convolutions have odd
 * kernels and pad k/2 zeros a side, so a side of n becomes one of map_side(n, stride). */
static inline int64_t map_side(int64_t side, int64_t stride) { return (side - 1) / stride + 1; }

/* What a convolution multiplies: for each output pixel its k x k taps, (B H' W', k k C) in the order row, column, channel. */
typedef struct ConvColumnsArgs {
    int64_t     B, C, height, width, k, stride;
    bool        channels_first;                     /* x is (B,C,height,width) instead of a map */
    const Real *x;
    Real       *columns;
    Real       *dx;                                 /* backward: += from columns */
} ConvColumnsArgs;

/* Depthwise 3 x 3 convolution: y_pc = act(sum_t taps_tc x_(p+t)c + bias_c). */
typedef struct DepthwiseArgs {
    int64_t     B, C, height, width, stride;        /* of the input; the output has map_side of each side */
    const Real *x, *taps;                           /* taps (9,C): row by row */
    const Real *bias;                               /* (C) or NULL */
    Activation  activation;
    Real       *pre_activation;                     /* as y, or NULL: not kept */
    Real       *y;
    /* backward: of the sum, before the activation */
    const Real *dy;
    Real       *dx;                                 /* NULL: not wanted */
    bool        dx_assign;                          /* assign dx instead of adding to it */
    Real       *dtaps, *dbias;                      /* += (9,C), (C); NULL: not wanted */
} DepthwiseArgs;

/* y = (x - mean) inv_sd gain + bias over the rows, a column C at a time: mean and variance (divisor M) are of these rows, or
 * with `given` those of the arguments. */
typedef struct BatchNormArgs {
    int64_t     M, C;
    Real        eps;
    bool        given;
    const Real *x, *gain, *bias;
    Real       *y;
    Real       *mean, *variance;                    /* (C) written, or with `given` read; backward reads them */
    /* backward */
    const Real *dy;
    Real       *dx;                                 /* NULL: not wanted */
    bool        dx_assign;
    Real       *dgain, *dbias;                      /* += */
} BatchNormArgs;

/* loss_i = -(sum_c target_ic log softmax_c(logits_i)); target is one-hot(label) or soft, then smoothed:
 * (1-eps) target + eps/C. dlogits_i = scale (softmax - target), NULL: not wanted; += */
typedef struct CrossEntropyArgs {
    int64_t        B, C;
    const Real    *logits;
    const int32_t *labels;                          /* (B) in [0,C), or NULL with soft */
    const Real    *soft;                            /* (B,C) rows that sum to 1, or NULL with labels */
    Real           smoothing;
    double        *loss;                            /* (B), NULL: not wanted */
    Real           scale;
    Real          *dlogits;
} CrossEntropyArgs;

/* y = x keep ? x / (1 - rate) : 0 per element; the draw is addressed by (seed, stream, step, image, layer, patch,
 * channel), see rng.h. With per_image the draw is one for the whole image (drop path). */
typedef struct DropArgs {
    int64_t          M, D;
    const Real      *x;
    Real            *y;                             /* assigned; may be x; with accumulate: += */
    bool             accumulate;
    const TokenRows *rows;
    double           rate;
    uint64_t         seed;
    const char      *stream;
    int64_t          step;
    int              layer;
    bool             per_image;
} DropArgs;

/* Routed rows come back: h_index[i] = delta: base_i + g_i (y_i - base_i);  paper: base_i + g_i y_i.
 * gate_at[i]: place of g_i in gate; COMBINE_CONSTANT: g_i is constant; COMBINE_PLAIN: the row is y_i itself. */
enum { COMBINE_CONSTANT = -1, COMBINE_PLAIN = -2 };
typedef struct CombineArgs {
    int64_t        n, D;
    bool           paper;
    const int32_t *index, *gate_at;                 /* (n) distinct rows of h; (n) */
    const Real    *gate;                            /* NULL: no row has one of its own */
    Real           constant;
    const Real    *y, *base;                        /* (n,D); base NULL: the rows of h */
    Real          *h;                               /* (M,D) */
    /* backward: base is given; the rows of dh become zero */
    Real          *dh;                              /* (M,D) */
    Real          *dy, *dbase, *dgate;              /* +=; NULL: not wanted */
} CombineArgs;

/* y_i = sum_j w_j x_neighbour(i,j) over the nine cells around row i's, itself the fifth: a depthwise 3x3 convolution, zero
 * outside. neighbour -1: no row there. w (D,9). */
typedef struct NeighbourArgs {
    int64_t        n, D;
    const int32_t *neighbour;                       /* (n,9) */
    const Real    *x, *w;                           /* (n,D) (D,9) */
    Real          *y;                               /* (n,D) */
    const Real    *dy;
    Real          *dx, *dw;                         /* +=; NULL: not wanted */
} NeighbourArgs;

typedef enum GateActivation { GATE_SIGMOID, GATE_TANH, GATE_NONE } GateActivation;

/* loss = mean_i BCE(sigmoid(s_at[i]), target_i), from logits; ds_at[i] += scale (sigmoid(s) - target) / n */
typedef struct BceArgs {
    int64_t        n;
    const Real    *s;
    const int32_t *at;                              /* (n) distinct */
    const uint8_t *target;                          /* (n) 0 or 1 */
    double        *loss;                            /* (1), NULL: not wanted */
    Real           scale;
    Real          *ds;                              /* NULL: not wanted */
} BceArgs;

/* Decoupled AdamW (Loshchilov & Hutter 2019), one tensor: p -= lr weight_decay p; m, v averages of g = grad_scale grad;
 * p -= lr (m/bias1) / (sqrt(v/bias2) + eps). */
typedef struct AdamwArgs {
    int64_t     n;
    Real       *p, *m, *v;
    const Real *grad;
    double      lr, beta1, beta2, eps, weight_decay, bias1, bias2, grad_scale;
} AdamwArgs;

/* m = momentum m + (grad_scale grad + weight_decay p); p -= lr m */
typedef struct SgdArgs {
    int64_t     n;
    Real       *p, *m;
    const Real *grad;
    double      lr, momentum, weight_decay, grad_scale;
} SgdArgs;

typedef struct Backend {
    const char *name;
    const char *help;
    bool      (*usable)(void);        /* NULL: always */
#define KERNEL(name, parameters) void (*name) parameters;
#include "engine/kernels.def"
#undef KERNEL
} Backend;

/* The backend with its gaps filled by the reference. */
Backend backend_complete(const Backend *partial);

/* Backends by name (engine/backends/backends.def). backend_find: complete and ready, static; NULL when unknown. */
const Backend *backend_find(const char *name);
const char    *backend_names(void);
int            backend_count(void);
const Backend *backend_partial(int i);      /* as its file declares it: gaps are NULL */
const Backend *backend_default(void);

#define BACKEND(name) extern const Backend backend_##name;
#include "engine/backends/backends.def"
#undef BACKEND

#endif
