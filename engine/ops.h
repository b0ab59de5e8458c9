/* Ops: functions of tensors that a tape can differentiate. One file each in engine/ops/, listed in ops.def.
 * Each returns its result, owned by the tape; impossible shapes stop the program, a failed tape makes them do nothing. */
#ifndef ENGINE_OPS_H
#define ENGINE_OPS_H

#include "engine/tape.h"

/* One of query, key, value: head h of row i starts at column + h head_stride of row i of a matrix. Separate matrices or
 * column ranges of one (timm's qkv: thirds; TinyViT's: per head) alike. */
typedef struct HeadView {
    Tensor *rows;                /* (M, width) */
    int     column, head_stride;
} HeadView;

typedef struct AttentionInput {
    HeadView         q, k, v;
    int              n_heads, qk_width, v_width;    /* H, E, Ev */
    double           scale;
    const TokenRows *query_rows, *key_rows;         /* same number of images */
    Tensor          *bias;                          /* (H,Nq,Nk) added to the scores, or NULL */
} AttentionInput;

/* How routed rows come back to the residual stream (op combine_rows). */
typedef struct CombineRule {
    const int32_t *index;            /* (n) their rows in h, distinct */
    const int32_t *gate_at;          /* (n) place of a row's gate in `gate`, COMBINE_CONSTANT or COMBINE_PLAIN (kernels.h) */
    double         constant;         /* gate of the rows that have none of their own */
    bool           paper;            /* base + g y; else base + g (y - base) */
    const Tensor  *before;           /* (n,D) what the rows of h held: put back by the backward pass; NULL: nobody reads them again */
} CombineRule;

typedef enum Balance { BALANCE_NONE, BALANCE_SWITCH, BALANCE_HINGE_VAR, BALANCE_LOSSFREE, BALANCE_TARGET } Balance;
/* A map of B images: packed rows in NHWC (kernels.h). */
typedef struct MapShape { int64_t B, height, width; } MapShape;

static inline MapShape map_after(MapShape m, int stride) {
    return (MapShape){m.B, map_side(m.height, stride), map_side(m.width, stride)};
}

/* What batch normalisation knows besides its input. In training (TapeStep) it uses the batch's own mean and variance and
 * leaves them in batch_mean and batch_var, the latter with divisor M-1; otherwise, or frozen, running_* as constants. All (C). */
typedef struct BatchStatistics {
    bool          frozen;
    const Tensor *running_mean, *running_var;
    Tensor       *batch_mean, *batch_var;
} BatchStatistics;

#define OP(name, ...)                               \
    Tensor *op_##name(Tape *tape, __VA_ARGS__);     \
    extern const OpKind op_kind_##name;
#include "engine/ops/ops.def"
#undef OP

/* z + x W^T + b. While the tape does not record, written over z itself: the residual stream then needs no second buffer
 * and no copy out of a scope. z must not be used afterwards. */
Tensor *op_linear_onto(Tape *tape, Tensor *x, Tensor *w, Tensor *bias, Tensor *z);

/* Self-attention over timm's fused projection: qkv (M,3D), thirds q, k, v, heads in order. */
AttentionInput attention_qkv(Tensor *qkv, int n_heads, const TokenRows *rows);

/* For samples: a tensor of N(0,1) draws, that wants a gradient. which separates the inputs of one sample. */
Tensor    *sample_tensor(Tape *tape, int which, int n_dims, const int64_t dim[]);
TokenRows *sample_rows(Tape *tape, int n_images, const int lengths[]);
int32_t   *sample_index(Tape *tape, int n, const int32_t index[]);

#endif
