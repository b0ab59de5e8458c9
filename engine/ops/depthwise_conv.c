/* Depthwise 3 x 3 convolution on a map, one pixel of padding, each channel by itself (Howard et al. 2017), and its activation.
 *   x (B H W, C), w (C,1,3,3) as PyTorch stores it, or (9,C) as folded weights have it, bias (C) or NULL -> (B H' W', C)
 *   with z = the sum before the activation: dz = act'(z) dy; dx_(p+t) += w_t dz_p;  dw_t = sum_p x_(p+t) dz_p;  dbias = sum_p dz_p */
#include "engine/ops.h"

typedef struct DepthwiseConv {
    MapShape   map;
    int        stride;
    Activation activation;
    Real      *z;                /* as out; NULL when not needed */
    Real      *taps;             /* (9,C), of a w in PyTorch's order; else NULL */
} DepthwiseConv;

static DepthwiseArgs args(const Node *n) {
    const DepthwiseConv *op = n->saved;
    const Tensor        *bias = n->in[2];
    return (DepthwiseArgs){.B = op->map.B, .C = n->out->dim[1], .height = op->map.height, .width = op->map.width, .stride = op->stride,
                           .x = n->in[0]->data, .taps = op->taps != NULL ? op->taps : n->in[1]->data,
                           .bias = bias != NULL ? bias->data : NULL, .activation = op->activation, .pre_activation = op->z,
                           .y = n->out->data};
}

static void forward(Node *n) {
    const DepthwiseConv *op = n->saved;
    const DepthwiseArgs  a  = args(n);
    for (int64_t c = 0; op->taps != NULL && c < a.C; c++)
        for (int t = 0; t < 9; t++) op->taps[t * a.C + c] = n->in[1]->data[c * 9 + t];
    tape_depthwise(n->tape, &a, false);
}

static void backward(Node *n) {
    const DepthwiseConv *op = n->saved;
    const Backend       *be = tape_backend(n->tape);
    DepthwiseArgs        a  = args(n);
    Real                *dz = n->out->grad;
    if (op->activation == ACTIVATION_GELU) be->gelu_backward(tensor_count(n->out), op->z, dz, dz, true);
    Real *dw = grad_add(n, n->in[1]);
    a.dy    = dz;
    a.dbias = grad_add(n, n->in[2]);
    a.dtaps = dw;
    if (dw != NULL && op->taps != NULL) {
        a.dtaps = tape_alloc(n->tape, (size_t)(9 * a.C) * sizeof *dw);
        for (int64_t i = 0; a.dtaps != NULL && i < 9 * a.C; i++) a.dtaps[i] = 0;
    }
    a.dx = grad_cover(n, n->in[0], &a.dx_assign);
    if (tape_failed(n->tape) || (a.dx == NULL && a.dtaps == NULL && a.dbias == NULL)) return;
    tape_depthwise(n->tape, &a, true);
    for (int64_t c = 0; dw != NULL && op->taps != NULL && c < a.C; c++)
        for (int t = 0; t < 9; t++) dw[c * 9 + t] += a.dtaps[t * a.C + c];
}

static OpCost cost(const Node *n) {
    const DepthwiseConv *op = n->saved;
    const int64_t        count = tensor_count(n->out);
    return (OpCost){.macs = 9 * count, .elementwise = count * ((n->in[2] != NULL) + (op->activation != ACTIVATION_NONE)),
                    .bytes = (tensor_count(n->in[0]) + count + tensor_count(n->in[1])) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 2) return NULL;
    Tensor *x = sample_tensor(tape, 0, 2, (int64_t[]){2 * 5 * 4, 3});
    Tensor *w = variant == 2 ? sample_tensor(tape, 1, 2, (int64_t[]){9, 3}) : sample_tensor(tape, 1, 4, (int64_t[]){3, 1, 3, 3});
    Tensor *b = variant == 1 ? NULL : sample_tensor(tape, 2, 1, (int64_t[]){3});
    return op_depthwise_conv(tape, x, (MapShape){2, 5, 4}, w, b, variant == 1 ? 2 : 1, variant == 0 ? ACTIVATION_GELU : ACTIVATION_NONE);
}

Tensor *op_depthwise_conv(Tape *tape, Tensor *x, MapShape map, Tensor *w, Tensor *bias, int stride, Activation activation) {
    const bool    failed = tape_failed(tape), ready = w->n_dims == 2;
    const int64_t C = x->dim[1];
    CHECK(failed || (stride >= 1 && tensor_count(w) == 9 * C && (ready ? w->dim[0] == 9 : w->dim[0] == C)),
          "depthwise_conv: %lld channels meet weights of %lld elements", (long long)C, (long long)tensor_count(w));
    CHECK(failed || (map.height >= 1 && map.width >= 1 && x->dim[0] == map.B * map.height * map.width),
          "depthwise_conv: %lld rows are no %lld maps of %lld x %lld", (long long)x->dim[0], (long long)map.B, (long long)map.height,
          (long long)map.width);
    CHECK(failed || bias == NULL || tensor_count(bias) == C, "depthwise_conv: a bias of %lld for %lld channels",
          (long long)(bias != NULL ? tensor_count(bias) : 0), (long long)C);
    const MapShape to = map_after(map, stride);
    const int64_t  M  = map.B * to.height * to.width;
    Node          *n  = node_begin(tape, &op_kind_depthwise_conv, sizeof(DepthwiseConv));
    DepthwiseConv *op = n->saved;
    n->in[0] = x; n->in[1] = w; n->in[2] = bias;
    *op = (DepthwiseConv){.map = map, .stride = stride, .activation = activation};
    if (tape_recording(tape) && activation != ACTIVATION_NONE) op->z = tape_alloc(tape, (size_t)(M * C) * sizeof(Real));
    if (!ready) op->taps = tape_alloc(tape, (size_t)(9 * C) * sizeof(Real));
    return node_run(n, tensor_matrix(tape, M, C));
}

const OpKind op_kind_depthwise_conv = {"depthwise_conv", forward, backward, cost, sample};
