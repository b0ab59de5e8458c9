/* y_b = x_b + tile for each of the B equal parts of x: a position embedding added to every image.
 *   x (B n,D), tile (n,D) -> y (B n,D);   dx = dy, dtile = sum_b dy_b */
#include "engine/ops.h"

static int64_t n_tiles(const Node *n) { return tensor_count(n->in[0]) / tensor_count(n->in[1]); }

static void forward(Node *n) {
    const int64_t count = tensor_count(n->in[1]);
    for (int64_t b = 0; b < n_tiles(n); b++)
        tape_backend(n->tape)->add(count, n->in[0]->data + b * count, n->in[1]->data, n->out->data + b * count);
}

static void backward(Node *n) {
    const int64_t count = tensor_count(n->in[1]);
    Real *dtile = grad_add(n, n->in[1]);
    if (dtile != NULL) tape_backend(n->tape)->column_sums(n_tiles(n), count, n->out->grad, count, dtile);
    grad_pass(n, n->in[0]);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = count, .bytes = (2 * count + tensor_count(n->in[1])) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    return op_add_tiled(tape, sample_tensor(tape, 0, 2, (int64_t[]){6, 4}), sample_tensor(tape, 1, 2, (int64_t[]){3, 4}));
}

Tensor *op_add_tiled(Tape *tape, Tensor *x, Tensor *tile) {
    CHECK(tape_failed(tape) || (tensor_count(tile) > 0 && tensor_count(x) % tensor_count(tile) == 0), "add_tiled: %lld elements by tiles of %lld",
          (long long)tensor_count(x), (long long)tensor_count(tile));
    Node *n  = node_begin(tape, &op_kind_add_tiled, 0);
    n->in[0] = x; n->in[1] = tile;
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_add_tiled = {"add_tiled", forward, backward, cost, sample};
