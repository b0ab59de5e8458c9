/* The kernels that are not matrix products, over all OpenMP threads: the loops of engine/simd/rows.h on parts of the work.
 *
 * Signatures and meanings are those of engine/kernels.def. How work is split depends on its size and on
 * omp_get_max_threads() alone, so the bits are the same in every run with that many threads. Small work, and work started
 * from inside a parallel region, runs on the calling thread. */
#ifndef ENGINE_BACKENDS_PARALLEL_H
#define ENGINE_BACKENDS_PARALLEL_H

#include "engine/kernels.h"

#ifndef REAL_DOUBLE

#define PARALLEL_KERNELS(X)                                                                                          \
    X(column_sums) X(gelu) X(gelu_backward) X(layer_norm) X(layer_norm_backward) X(softmax_rows)                     \
    X(softmax_rows_backward) X(add) X(axpy) X(approach) X(scale) X(copy) X(gather_rows) X(scatter_add_rows) X(put_rows)          \
    X(patch_rows) X(patch_rows_backward) X(segment_mean) X(segment_mean_backward) X(cross_entropy) X(drop)           \
    X(sum_squares) X(adamw) X(sgd) X(combine_rows) X(combine_rows_backward) X(row_dots) X(row_dots_backward)          \
    X(relu) X(relu_backward) X(scaled_columns_add) X(scaled_columns_add_backward) X(neighbour_mix) X(neighbour_mix_backward)      \
    X(conv_columns) X(conv_columns_backward) X(depthwise) X(depthwise_backward) X(batch_norm) X(batch_norm_backward) \
    X(window_bias) X(window_bias_backward) X(pool_half) X(pool_half_backward)

/* For a backend's record: .gelu = parallel_gelu, and so on for all of them. */
#define PARALLEL_FIELD(name) .name = parallel_##name,
#define PARALLEL_FIELDS PARALLEL_KERNELS(PARALLEL_FIELD)

void parallel_column_sums(int64_t M, int64_t N, const float *x, int64_t ld, float *sums);
void parallel_gelu(int64_t n, const float *x, float *y);
void parallel_gelu_backward(int64_t n, const float *x, const float *dy, float *dx, bool assign);
void parallel_layer_norm(const LayerNormArgs *a);
void parallel_layer_norm_backward(const LayerNormArgs *a);
void parallel_softmax_rows(int64_t M, int64_t N, const float *x, float *y);
void parallel_softmax_rows_backward(int64_t M, int64_t N, const float *y, const float *dy, float *dx);
void parallel_add(int64_t n, const float *a, const float *b, float *y);
void parallel_axpy(int64_t n, float alpha, const float *x, float *y);
void parallel_approach(int64_t n, float alpha, const float *x, float *y);
void parallel_scale(int64_t n, float alpha, const float *x, float *y);
void parallel_copy(int64_t n, const float *x, float *y);
void parallel_gather_rows(int64_t n_rows, int64_t D, const float *x, const int32_t *index, float *y);
void parallel_scatter_add_rows(int64_t n_rows, int64_t D, const float *x, const int32_t *index, float *y);
void parallel_put_rows(int64_t n_rows, int64_t D, const float *x, const int32_t *index, float *y);
void parallel_patch_rows(const PatchArgs *a);
void parallel_patch_rows_backward(const PatchArgs *a);
void parallel_segment_mean(int n, const int32_t *first, const int32_t *end, int64_t D, const float *x, float *y);
void parallel_segment_mean_backward(int n, const int32_t *first, const int32_t *end, int64_t D, const float *dy, float *dx);
void parallel_cross_entropy(const CrossEntropyArgs *a);
void parallel_drop(const DropArgs *a);
void parallel_sum_squares(int64_t n, const float *x, double *sum);
void parallel_adamw(const AdamwArgs *a);
void parallel_sgd(const SgdArgs *a);
/* parallel_policy.c */
void parallel_pool_half(const PoolHalfArgs *a);
void parallel_pool_half_backward(const PoolHalfArgs *a);
/* parallel_maps.c */
void parallel_conv_columns(const ConvColumnsArgs *a);
void parallel_conv_columns_backward(const ConvColumnsArgs *a);
void parallel_depthwise(const DepthwiseArgs *a);
void parallel_depthwise_backward(const DepthwiseArgs *a);
void parallel_batch_norm(const BatchNormArgs *a);
void parallel_batch_norm_backward(const BatchNormArgs *a);
void parallel_window_bias(int64_t H, int64_t side, const float *table, float *bias);
void parallel_window_bias_backward(int64_t H, int64_t side, const float *dbias, float *dtable);

void parallel_combine_rows(const CombineArgs *a);
void parallel_combine_rows_backward(const CombineArgs *a);
void parallel_row_dots(int64_t n, int64_t D, const float *x, const int32_t *index, const float *w, float *y);
void parallel_row_dots_backward(int64_t n, int64_t D, const float *x, const int32_t *index, const float *w, const float *dy, float *dx, float *dw);
void parallel_relu(int64_t n, const float *x, float *y);
void parallel_relu_backward(int64_t n, const float *x, const float *dy, float *dx);
void parallel_scaled_columns_add(int64_t M, int64_t D, const float *x, const float *gain, float *y);
void parallel_scaled_columns_add_backward(int64_t M, int64_t D, const float *x, const float *gain, const float *dy, float *dx, float *dgain);
void parallel_neighbour_mix(const NeighbourArgs *a);
void parallel_neighbour_mix_backward(const NeighbourArgs *a);

/* Parts that work of `items`, at least `grain` of them a part, is split into: 1 from inside a parallel region. */
int parallel_parts(int64_t items, int64_t grain);

/* Where part `part` of `parts` begins, a multiple of `unit`; part `parts` is the end. */
static inline int64_t parallel_first(int64_t items, int64_t unit, int part, int parts) {
    const int64_t units = (items + unit - 1) / unit, first = units * part / parts * unit;
    return first < items ? first : items;
}

/* Runs body for part = 0 .. parts-1, each whole on one thread; fewer threads than parts give the same result. */
#define PARALLEL_PARTS(part, parts)                                                        \
    _Pragma("omp parallel for schedule(static, 1) num_threads(parts) if(parts > 1)")      \
    for (int part = 0; part < parts; part++)

#endif
#endif
