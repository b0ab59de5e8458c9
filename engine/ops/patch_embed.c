/* Patch convolution, kernel = stride = P, no padding: cut images into patches and multiply (Dosovitskiy et al. 2021, eq. 1).
 *   images (B,C,S,S'), w (D,C,P,P), bias (D) -> (B n,D), n = (S/P)(S'/P) patches in row-major order
 * The product's inner dimension runs channel, patch row, patch column, as w is stored. Keeps the cut patches (B n, C P P). */
#include "engine/ops.h"

typedef struct PatchEmbed { Real *patches; } PatchEmbed;

typedef struct Sizes { int64_t M, D, K; } Sizes;

static Sizes sizes(const Node *n) {
    const Tensor *w = n->in[1];
    return (Sizes){n->out->dim[0], w->dim[0], w->dim[1] * w->dim[2] * w->dim[3]};
}

static PatchArgs cut(const Node *n) {
    const Tensor *x = n->in[0];
    return (PatchArgs){.B = x->dim[0], .C = x->dim[1], .height = x->dim[2], .width = x->dim[3], .P = n->in[1]->dim[2],
                       .images = x->data, .rows = ((const PatchEmbed *)n->saved)->patches};
}

static void forward(Node *n) {
    const Sizes     s = sizes(n);
    const PatchArgs a = cut(n);
    tape_backend(n->tape)->patch_rows(&a);
    tape_gemm(n->tape, &(Gemm){.M = s.M, .N = s.D, .K = s.K, .trans_b = true, .a = a.rows, .lda = s.K, .b = n->in[1]->data,
                               .ldb = s.K, .c = n->out->data, .ldc = s.D, .bias = n->in[2]->data, .parameter = n->in[1]});
}

static void backward(Node *n) {
    const Sizes    s  = sizes(n);
    const Backend *be = tape_backend(n->tape);
    const Real    *dy = n->out->grad;
    PatchArgs a = cut(n);
    bool      assign;
    Real     *grad;
    if ((grad = grad_add(n, n->in[2])) != NULL) be->column_sums(s.M, s.D, dy, s.D, grad);
    if ((grad = grad_cover(n, n->in[1], &assign)) != NULL)
        tape_gemm(n->tape, &(Gemm){.M = s.D, .N = s.K, .K = s.M, .trans_a = true, .a = dy, .lda = s.D, .b = a.rows, .ldb = s.K,
                                   .beta = assign ? 0 : 1, .c = grad, .ldc = s.K});
    if ((grad = grad_add(n, n->in[0])) != NULL) {
        Real *drows = tape_alloc(n->tape, (size_t)(s.M * s.K) * sizeof *drows);
        if (drows == NULL) return;
        tape_gemm(n->tape, &(Gemm){.M = s.M, .N = s.K, .K = s.D, .a = dy, .lda = s.D, .b = n->in[1]->data, .ldb = s.K,
                                   .c = drows, .ldc = s.K, .parameter = n->in[1]});
        a.rows    = drows;
        a.dimages = grad;
        be->patch_rows_backward(&a);
    }
}

static OpCost cost(const Node *n) {
    const Sizes s = sizes(n);
    return (OpCost){.macs = s.M * s.D * s.K, .elementwise = s.M * s.D,
                    .bytes = (int64_t)sizeof(Real) * (s.M * s.K + s.K * s.D + s.M * s.D)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    return op_patch_embed(tape, sample_tensor(tape, 0, 4, (int64_t[]){2, 2, 4, 6}), sample_tensor(tape, 1, 4, (int64_t[]){3, 2, 2, 2}),
                          sample_tensor(tape, 2, 1, (int64_t[]){3}));
}

Tensor *op_patch_embed(Tape *tape, Tensor *images, Tensor *w, Tensor *bias) {
    CHECK(images->n_dims == 4 && w->n_dims == 4 && images->dim[1] == w->dim[1] && w->dim[2] == w->dim[3]
              && images->dim[2] % w->dim[2] == 0 && images->dim[3] % w->dim[3] == 0,
          "patch_embed: images (%lld,%lld,%lld,%lld), w (%lld,%lld,%lld,%lld)", (long long)images->dim[0], (long long)images->dim[1],
          (long long)images->dim[2], (long long)images->dim[3], (long long)w->dim[0], (long long)w->dim[1], (long long)w->dim[2],
          (long long)w->dim[3]);
    const int64_t P = w->dim[2], M = images->dim[0] * (images->dim[2] / P) * (images->dim[3] / P);
    Node *n = node_begin(tape, &op_kind_patch_embed, sizeof(PatchEmbed));
    n->in[0] = images; n->in[1] = w; n->in[2] = bias;
    ((PatchEmbed *)n->saved)->patches = tape_alloc(tape, (size_t)(M * w->dim[1] * P * P) * sizeof(Real));
    return node_run(n, tensor_matrix(tape, M, w->dim[0]));
}

const OpKind op_kind_patch_embed = {"patch_embed", forward, backward, cost, sample};
