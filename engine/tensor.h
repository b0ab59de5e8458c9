/* Real numbers, tensors and packed token rows: the data that ops work on.
 *
 * Shape letters, the same everywhere: B images, M rows (all tokens of all images), N tokens of one image, D width,
 * H heads, E = D/H, F width of the MLP, C classes, P patch side. (M,D) is row-major, last index fastest.
 *
 * Ownership
 *   Tensor       lives in the arena of the tape (activations) or of the model (parameters); never freed singly
 *   TokenRows    same; its arrays are not changed after creation */
#ifndef ENGINE_TENSOR_H
#define ENGINE_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

/* float; double in the build that checks gradients against central differences (make REAL=double). */
#ifdef REAL_DOUBLE
typedef double Real;
#else
typedef float Real;
#endif

enum { TENSOR_MAX_DIMS = 4 };

typedef struct Tensor {
    Real    *data;
    Real    *grad;                   /* same shape; NULL until a gradient arrives */
    int64_t  dim[TENSOR_MAX_DIMS];
    int      n_dims;
    bool     needs_grad;
    bool     grad_fresh;             /* grad is allocated but holds nothing yet: the first writer assigns */
    uint64_t version;                /* of a parameter: new at every change of its data, so packed copies know */
} Tensor;

/* Packed sequences: image b owns rows offset[b] .. offset[b+1]-1 of an (M,D) matrix. */
typedef struct TokenRows {
    int            n_images;
    const int32_t *offset;           /* (n_images+1) */
    const int32_t *patch;            /* (M) original patch index of a row; -1 class token, -2 distillation token */
    const int64_t *image_id;         /* (n_images) identity in the data set: the address of random draws */
} TokenRows;

static inline int64_t tensor_count(const Tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->n_dims; i++) n *= t->dim[i];
    return n;
}

/* Rows of the matrix that a tensor is read as: every dimension but the last. */
static inline int64_t tensor_rows(const Tensor *t) {
    int64_t n = 1;
    for (int i = 0; i + 1 < t->n_dims; i++) n *= t->dim[i];
    return n;
}

static inline int64_t tensor_width(const Tensor *t) { return t->dim[t->n_dims - 1]; }

static inline int64_t token_rows_count(const TokenRows *r) { return r->offset[r->n_images]; }

#endif
