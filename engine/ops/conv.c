/* Convolution with an odd square kernel and k/2 zeros of padding, as a product with columns (im2col), and its activation.
 *   x: a map (B H W, C), or images (B,C,H,W);   w (O,C,k,k) as PyTorch stores it, or (O, k k C) with the order row, column,
 *   channel, as folded weights have it;   bias (O) or NULL -> map (B H' W', O)
 *   dw = dz^T columns,  dcolumns = dz w,  dx = the columns' elements added up where they came from,  dbias = column sums of dz
 * Columns are made for some images at a time, and again in the backward pass: kept, they would be the largest tensor of all. */
#include "engine/ops.h"

typedef struct Conv {
    MapShape   map;
    int        k, stride;
    Activation activation;
    Real      *z;                /* as out: before the activation; NULL when not needed */
    Real      *weights;          /* (O, k k C), of a w in PyTorch's order; else NULL */
    Real      *columns;          /* of `images` images */
    int64_t    images;
} Conv;

enum { COLUMNS_FLOATS = 1 << 19 };     /* 2 MiB: they stay in L2 or L3 between being made and used */

typedef struct Sizes { int64_t C, O, K, pixels, side_by_side; } Sizes;      /* pixels: of one output image */

static bool is_images(const Node *n) { return n->in[0]->n_dims == 4; }

static Sizes sizes(const Node *n) {
    const Conv    *op = n->saved;
    const MapShape to = map_after(op->map, op->stride);
    const int64_t  C = n->in[0]->dim[1], O = n->in[1]->dim[0];
    return (Sizes){C, O, op->k * op->k * C, to.height * to.width, op->map.height * op->map.width * C};
}

static ConvColumnsArgs columns_of(const Node *n, int64_t first, int64_t count) {
    const Conv *op = n->saved;
    const Sizes s  = sizes(n);
    return (ConvColumnsArgs){.B = count, .C = s.C, .height = op->map.height, .width = op->map.width, .k = op->k, .stride = op->stride,
                             .channels_first = is_images(n), .x = n->in[0]->data + first * s.side_by_side, .columns = op->columns};
}

/* (O,C,k,k) -> (O,k,k,C), or back and added */
static void reorder(const Node *n, const Real *from, Real *to, bool back) {
    const Conv *op = n->saved;
    const Sizes s  = sizes(n);
    const int   kk = op->k * op->k;
    for (int64_t o = 0; o < s.O; o++)
        for (int64_t c = 0; c < s.C; c++)
            for (int t = 0; t < kk; t++) {
                const int64_t torch = (o * s.C + c) * kk + t, ours = (o * kk + t) * s.C + c;
                if (back) to[torch] += from[ours];
                else      to[ours] = from[torch];
            }
}

static void forward(Node *n) {
    const Conv    *op = n->saved;
    const Sizes    s  = sizes(n);
    const Tensor  *bias = n->in[2];
    const Backend *be = tape_backend(n->tape);
    if (op->weights != NULL) reorder(n, n->in[1]->data, op->weights, false);
    for (int64_t first = 0; first < op->map.B; first += op->images) {
        const int64_t         count = op->map.B - first < op->images ? op->map.B - first : op->images, from = first * s.pixels * s.O;
        const ConvColumnsArgs a = columns_of(n, first, count);
        be->conv_columns(&a);
        tape_gemm(n->tape, &(Gemm){.M = count * s.pixels, .N = s.O, .K = s.K, .trans_b = true, .a = op->columns, .lda = s.K,
                                   .b = op->weights != NULL ? op->weights : n->in[1]->data, .ldb = s.K, .c = n->out->data + from,
                                   .ldc = s.O, .bias = bias != NULL ? bias->data : NULL,
                                   .pre_activation = op->z != NULL ? op->z + from : NULL, .activation = op->activation,
                                   .parameter = op->weights != NULL ? NULL : n->in[1]});
    }
}

static void backward(Node *n) {
    const Conv    *op = n->saved;
    const Sizes    s  = sizes(n);
    const Backend *be = tape_backend(n->tape);
    Real          *dz = n->out->grad, *grad;
    const Real    *w  = op->weights != NULL ? op->weights : n->in[1]->data;
    if (op->activation == ACTIVATION_GELU) be->gelu_backward(tensor_count(n->out), op->z, dz, dz, true);
    if ((grad = grad_add(n, n->in[2])) != NULL) be->column_sums(op->map.B * s.pixels, s.O, dz, s.O, grad);
    Real *dw = grad_add(n, n->in[1]), *dx = grad_add(n, n->in[0]), *sums = dw;
    if (dw != NULL && op->weights != NULL) sums = tape_alloc(n->tape, (size_t)(s.O * s.K) * sizeof *sums);
    Real *dcolumns = dx != NULL ? tape_alloc(n->tape, (size_t)(op->images * s.pixels * s.K) * sizeof *dcolumns) : NULL;
    if (tape_failed(n->tape)) return;
    for (int64_t first = 0; first < op->map.B; first += op->images) {
        const int64_t   count = op->map.B - first < op->images ? op->map.B - first : op->images;
        ConvColumnsArgs a = columns_of(n, first, count);
        const Real     *dz_of = dz + first * s.pixels * s.O;
        if (dw != NULL) {
            be->conv_columns(&a);
            tape_gemm(n->tape, &(Gemm){.M = s.O, .N = s.K, .K = count * s.pixels, .trans_a = true, .a = dz_of, .lda = s.O, .b = op->columns,
                                       .ldb = s.K, .beta = sums != dw && first == 0 ? 0 : 1, .c = sums, .ldc = s.K});
        }
        if (dx != NULL) {
            tape_gemm(n->tape, &(Gemm){.M = count * s.pixels, .N = s.K, .K = s.O, .a = dz_of, .lda = s.O, .b = w, .ldb = s.K,
                                       .c = dcolumns, .ldc = s.K});
            a.columns = dcolumns;
            a.dx      = dx + first * s.side_by_side;
            be->conv_columns_backward(&a);
        }
    }
    if (dw != NULL && sums != dw && op->map.B > 0) reorder(n, sums, dw, true);
}

static OpCost cost(const Node *n) {
    const Conv   *op = n->saved;
    const Sizes   s  = sizes(n);
    const int64_t M  = op->map.B * s.pixels;
    return (OpCost){.macs = M * s.O * s.K, .elementwise = M * s.O * ((n->in[2] != NULL) + (op->activation != ACTIVATION_NONE)),
                    .bytes = (int64_t)sizeof(Real) * (tensor_count(n->in[0]) + M * s.K + s.O * s.K + M * s.O)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 3) return NULL;
    const bool     images = variant == 1;
    const MapShape map = {2, variant == 3 ? 1 : 5, 4};
    const int      k = variant == 3 ? 1 : 3;
    Tensor *x = images ? sample_tensor(tape, 0, 4, (int64_t[]){2, 3, 5, 4}) : sample_tensor(tape, 0, 2, (int64_t[]){map.B * map.height * map.width, 3});
    Tensor *w = variant == 2 ? sample_tensor(tape, 1, 2, (int64_t[]){4, 27}) : sample_tensor(tape, 1, 4, (int64_t[]){4, 3, k, k});
    Tensor *b = variant == 1 ? NULL : sample_tensor(tape, 2, 1, (int64_t[]){4});
    return op_conv(tape, x, map, w, b, variant == 2 ? 1 : 2, variant == 2 ? ACTIVATION_NONE : ACTIVATION_GELU);
}

Tensor *op_conv(Tape *tape, Tensor *x, MapShape map, Tensor *w, Tensor *bias, int stride, Activation activation) {
    const bool    failed = tape_failed(tape), ready = w->n_dims == 2;
    const int64_t C = x->dim[1];
    int           k = 1;
    if (ready) while (k * k * C < w->dim[1]) k += 2;
    else       k = (int)w->dim[3];
    CHECK(k % 2 == 1 && stride >= 1 && (ready ? w->dim[1] == k * k * C : w->n_dims == 4 && w->dim[1] == C && w->dim[2] == k),
          "conv: %lld channels meet weights (%lld,%lld,..)", (long long)C, (long long)w->dim[0], (long long)w->dim[1]);
    CHECK(failed || (map.B >= 0 && map.height >= 1 && map.width >= 1 && tensor_count(x) == map.B * map.height * map.width * C),
          "conv: %lld elements are no %lld maps of %lld x %lld x %lld", (long long)tensor_count(x), (long long)map.B,
          (long long)map.height, (long long)map.width, (long long)C);
    CHECK(failed || bias == NULL || tensor_count(bias) == w->dim[0], "conv: a bias of %lld for %lld channels",
          (long long)(bias != NULL ? tensor_count(bias) : 0), (long long)w->dim[0]);
    const MapShape to = map_after(map, stride);
    const int64_t  M = map.B * to.height * to.width, one = to.height * to.width * k * k * C;
    Node *n  = node_begin(tape, &op_kind_conv, sizeof(Conv));
    Conv *op = n->saved;
    n->in[0] = x; n->in[1] = w; n->in[2] = bias;
    *op = (Conv){.map = map, .k = k, .stride = stride, .activation = activation};
    op->images = one < 1 || COLUMNS_FLOATS / one < 1 ? 1 : COLUMNS_FLOATS / one;
    if (op->images > map.B) op->images = map.B > 0 ? map.B : 1;
    if (tape_recording(tape) && activation != ACTIVATION_NONE) op->z = tape_alloc(tape, (size_t)(M * w->dim[0]) * sizeof(Real));
    if (!ready) op->weights = tape_alloc(tape, (size_t)tensor_count(w) * sizeof(Real));
    op->columns = tape_alloc(tape, (size_t)(op->images * one) * sizeof(Real));
    return node_run(n, tensor_matrix(tape, M, w->dim[0]));
}

const OpKind op_kind_conv = {"conv", forward, backward, cost, sample};
