/* The reference's kernels of convolutions on maps, batch normalisation and window attention (engine/kernels.h has the formulas). */
#ifndef ENGINE_BACKENDS_REFERENCE_MAPS_H
#define ENGINE_BACKENDS_REFERENCE_MAPS_H

#include "engine/kernels.h"

void reference_conv_columns(const ConvColumnsArgs *a);
void reference_conv_columns_backward(const ConvColumnsArgs *a);
void reference_depthwise(const DepthwiseArgs *a);
void reference_depthwise_backward(const DepthwiseArgs *a);
void reference_batch_norm(const BatchNormArgs *a);
void reference_batch_norm_backward(const BatchNormArgs *a);
void reference_window_bias(int64_t H, int64_t side, const Real *table, Real *bias);
void reference_window_bias_backward(int64_t H, int64_t side, const Real *dbias, Real *dtable);

#endif
