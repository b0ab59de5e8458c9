/* Puts the same k tokens (class, distillation) before the patches of every image.
 *   prefix (k,D), patches (B n,D) -> (B (k+n),D);   dprefix = sum over images, dpatches = its rows of dy */
#include "engine/ops.h"

typedef struct ConcatTokens { int64_t B; } ConcatTokens;

typedef struct Sizes { int64_t B, k, n, D; } Sizes;

static Sizes sizes(const Node *node) {
    const int64_t B = ((const ConcatTokens *)node->saved)->B;
    return (Sizes){B, tensor_rows(node->in[0]), node->in[1]->dim[0] / B, node->in[1]->dim[1]};
}

static void forward(Node *node) {
    const Sizes    s  = sizes(node);
    const Backend *be = tape_backend(node->tape);
    for (int64_t b = 0; b < s.B; b++) {
        Real *image = node->out->data + b * (s.k + s.n) * s.D;
        be->copy(s.k * s.D, node->in[0]->data, image);
        be->copy(s.n * s.D, node->in[1]->data + b * s.n * s.D, image + s.k * s.D);
    }
}

static void backward(Node *node) {
    const Sizes    s  = sizes(node);
    const Backend *be = tape_backend(node->tape);
    const Real    *dy = node->out->grad;
    const int64_t  image = (s.k + s.n) * s.D;
    Real *dprefix = grad_add(node, node->in[0]);
    if (dprefix != NULL) be->column_sums(s.B, s.k * s.D, dy, image, dprefix);
    bool  assign;
    Real *dpatches = grad_cover(node, node->in[1], &assign);
    for (int64_t b = 0; dpatches != NULL && b < s.B; b++) {
        const Real *from = dy + b * image + s.k * s.D;
        if (assign) be->copy(s.n * s.D, from, dpatches + b * s.n * s.D);
        else        be->axpy(s.n * s.D, 1, from, dpatches + b * s.n * s.D);
    }
}

static OpCost cost(const Node *node) { return (OpCost){.bytes = 2 * tensor_count(node->out) * (int64_t)sizeof(Real)}; }

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    return op_concat_tokens(tape, sample_tensor(tape, 0, 2, (int64_t[]){2, 3}), sample_tensor(tape, 1, 2, (int64_t[]){8, 3}), 2);
}

Tensor *op_concat_tokens(Tape *tape, Tensor *prefix, Tensor *patches, int64_t n_images) {
    CHECK(tape_failed(tape) || (n_images >= 1 && tensor_width(prefix) == tensor_width(patches) && patches->dim[0] % n_images == 0),
          "concat_tokens: prefix is %lld wide, %lld patches are %lld wide, of %lld images", (long long)tensor_width(prefix),
          (long long)patches->dim[0], (long long)tensor_width(patches), (long long)n_images);
    Node         *n  = node_begin(tape, &op_kind_concat_tokens, sizeof(ConcatTokens));
    ConcatTokens *op = n->saved;
    n->in[0] = prefix; n->in[1] = patches;
    op->B = n_images;
    return node_run(n, tensor_matrix(tape, patches->dim[0] + n_images * tensor_rows(prefix), patches->dim[1]));
}

const OpKind op_kind_concat_tokens = {"concat_tokens", forward, backward, cost, sample};
