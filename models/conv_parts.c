/* Convolution and batch normalisation in training, folded into one at inference (conv_parts.h). */
#include "models/conv_parts.h"

#include <math.h>
#include <string.h>

void conv_bn_params(ConvBn *u, Params *p, ConvForm form, int stride, int in, int out, Init gain, int depth, const char *prefix) {
    const int     k = form == CONV_POINT ? 1 : 3, C = form == CONV_DEPTHWISE ? 1 : in;
    const int64_t each[] = {out};
    u->form   = form;
    u->stride = stride;
    param_add(p, &u->w, (ParamSpec){INIT_CONV_DEFAULT, PARAM_DECAYED, depth, 0}, 4, (int64_t[]){out, C, k, k}, "%s.conv.weight", prefix);
    param_add(p, &u->gain, (ParamSpec){gain, PARAM_PLAIN, depth, 0}, 1, each, "%s.bn.weight", prefix);
    param_add(p, &u->bias, (ParamSpec){INIT_ZERO, PARAM_PLAIN, depth, 0}, 1, each, "%s.bn.bias", prefix);
    param_add(p, &u->running_mean, (ParamSpec){INIT_ZERO, PARAM_BUFFER, depth, 0}, 1, each, "%s.bn.running_mean", prefix);
    param_add(p, &u->running_var, (ParamSpec){INIT_ONE, PARAM_BUFFER, depth, 0}, 1, each, "%s.bn.running_var", prefix);
    u->batch_mean = param_derived(p, 1, each);
    u->batch_var  = param_derived(p, 1, each);
    u->next_mean  = param_derived(p, 1, each);
    u->next_var   = param_derived(p, 1, each);
    u->folded_b   = param_derived(p, 1, each);
    u->folded_w   = form == CONV_DEPTHWISE ? param_derived(p, 2, (int64_t[]){9, out})
                                           : param_derived(p, 2, (int64_t[]){out, (int64_t)k * k * C});
    if (!params_failed(p)) u->batch_mean->version = u->next_mean->version = 0;       /* nothing in them yet */
}

static void fold(ConvBn *u) {
    const uint64_t now[] = {u->w->version, u->gain->version, u->bias->version, u->running_mean->version, u->running_var->version};
    if (memcmp(now, u->folded_from, sizeof now) == 0) return;
    memcpy(u->folded_from, now, sizeof now);
    const int64_t O = u->w->dim[0], C = u->w->dim[1], kk = u->w->dim[2] * u->w->dim[3];
    for (int64_t o = 0; o < O; o++) {
        const double g = (double)u->gain->data[o] / sqrt((double)u->running_var->data[o] + CONV_BN_EPS);
        u->folded_b->data[o] = (Real)((double)u->bias->data[o] - (double)u->running_mean->data[o] * g);
        for (int64_t c = 0; c < C; c++)
            for (int64_t t = 0; t < kk; t++)
                u->folded_w->data[u->form == CONV_DEPTHWISE ? t * O + o : (o * kk + t) * C + c] = (Real)(g * (double)u->w->data[(o * C + c) * kk + t]);
    }
    tensor_touch(u->folded_w);
    tensor_touch(u->folded_b);
}

static bool folds(const Tape *t) { return !tape_recording(t) && !tape_step(t).training; }

static Tensor *convolve(Tape *t, const ConvBn *u, Tensor *x, MapShape map, Tensor *w, Tensor *b, Activation activation) {
    switch (u->form) {
    case CONV_POINT: return op_linear(t, x, w, b, activation, NULL);
    case CONV_FULL:  return op_conv(t, x, map, w, b, u->stride, activation);
    default:         return op_depthwise_conv(t, x, map, w, b, u->stride, activation);
    }
}

Tensor *conv_bn(Tape *t, ConvBn *u, Tensor *x, MapShape *map, Activation activation) {
    const MapShape from = *map;
    *map = map_after(from, u->stride);
    if (folds(t)) {
        fold(u);
        return convolve(t, u, x, from, u->folded_w, u->folded_b, activation);
    }
    x = convolve(t, u, x, from, u->w, NULL, ACTIVATION_NONE);
    const bool frozen = !u->gain->needs_grad || tape_step(t).freeze_bn;
    x = op_batch_norm(t, x, u->gain, u->bias, (BatchStatistics){frozen, u->running_mean, u->running_var, u->batch_mean, u->batch_var}, CONV_BN_EPS);
    if (tape_step(t).training && !frozen) u->batch_mean->version = 1;                           /* filled */
    return activation == ACTIVATION_GELU ? op_gelu(t, x) : x;
}

Tensor *conv_bn_add(Tape *t, ConvBn *u, Tensor *x, MapShape map, Tensor *z, const TokenRows *rows, int layer, double drop_path) {
    if (folds(t)) {
        fold(u);
        return op_linear_onto(t, x, u->folded_w, u->folded_b, z);
    }
    return op_drop_path(t, z, conv_bn(t, u, x, &map, ACTIVATION_NONE), rows, drop_path, layer);
}

static void move(const Tensor *from, const Tensor *batch, Tensor *to) {
    for (int64_t c = 0; c < to->dim[0]; c++)
        to->data[c] = (Real)((1 - CONV_BN_MOMENTUM) * (double)from->data[c] + CONV_BN_MOMENTUM * (double)batch->data[c]);
}

void conv_bn_after_pass(ConvBn *u, int index) {
    if (index == 0) u->next_mean->version = 0;           /* what a step that was given up had gathered */
    if (u->batch_mean->version == 0) return;
    const bool further = u->next_mean->version != 0;
    move(further ? u->next_mean : u->running_mean, u->batch_mean, u->next_mean);
    move(further ? u->next_var : u->running_var, u->batch_var, u->next_var);
    u->batch_mean->version = 0;
    u->next_mean->version  = 1;
}

void conv_bn_after_step(ConvBn *u) {
    if (u->next_mean->version == 0) return;
    u->next_mean->version = 0;
    memcpy(u->running_mean->data, u->next_mean->data, (size_t)tensor_count(u->next_mean) * sizeof(Real));
    memcpy(u->running_var->data, u->next_var->data, (size_t)tensor_count(u->next_var) * sizeof(Real));
    tensor_touch(u->running_mean);
    tensor_touch(u->running_var);
}
