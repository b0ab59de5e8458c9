/* Convolution followed by batch normalisation, the unit that convolutional parts of Vision Transformers are made of.
 *
 * In training the convolution has no bias and the norm uses the batch (engine/ops/batch_norm.c); where its gain wants no gradient
 * (frozen), or the step freezes them all, the running statistics, which then stay as they are. While a pass is neither
 * training nor recorded the norm is folded into the convolution: w' = w g, b' = bias - mean g, g = gain / sqrt(var + eps), in
 * double. Folded weights are kept beside the unit and made again when any of the five tensors they come from has changed. */
#ifndef MODELS_CONV_PARTS_H
#define MODELS_CONV_PARTS_H

#include "models/model.h"

#define CONV_BN_EPS      1e-5
#define CONV_BN_MOMENTUM 0.1         /* running = 0.9 running + 0.1 of the batch */

typedef enum ConvForm { CONV_FULL /* 3 x 3 */, CONV_POINT /* 1 x 1: a product of rows */, CONV_DEPTHWISE /* 3 x 3 */ } ConvForm;

typedef struct ConvBn {
    ConvForm form;
    int      stride;                 /* of CONV_POINT: 1 */
    Tensor  *w;                      /* (O,C,3,3), (O,C,1,1) or (O,1,3,3) */
    Tensor  *gain, *bias;            /* (O) */
    Tensor  *running_mean, *running_var;                                /* (O) */
    Tensor  *batch_mean, *batch_var, *next_mean, *next_var;             /* (O) of the last training pass; running ones after it; derived */
    Tensor  *folded_w, *folded_b;    /* (O,9C), (O,C) or (9,O); (O); derived */
    uint64_t folded_from[5];
} ConvBn;

/* Declares "<prefix>.conv.weight" and "<prefix>.bn.*". gain: INIT_ONE, or INIT_ZERO for the last of a residual branch. */
void conv_bn_params(ConvBn *u, Params *params, ConvForm form, int stride, int in, int out, Init gain, int depth, const char *prefix);

/* Map (B H W, C) or images (B,C,H,W) -> map (B H' W', O); *map becomes the output's. */
Tensor *conv_bn(Tape *tape, ConvBn *u, Tensor *x, MapShape *map, Activation activation);

/* z + drop(unit(x)) for a CONV_POINT; drop_path is its rate, rows the images' (op_drop_path). z is overwritten while nothing is recorded. */
Tensor *conv_bn_add(Tape *tape, ConvBn *u, Tensor *x, MapShape map, Tensor *z, const TokenRows *rows, int layer, double drop_path);

/* Running statistics move once for every training pass of a step (ModelKind.after_pass), and are what they became when the step is done. */
void conv_bn_after_pass(ConvBn *u, int index);
void conv_bn_after_step(ConvBn *u);

/* The analytic twin of an inference pass over the map: adds to *counts; *map becomes the output's. C -> O channels. */
void conv_bn_count(ModelCounts *counts, MapShape *map, ConvForm form, int stride, int64_t C, int64_t O, bool gelu);

#endif
