/* Single-precision loops over maps: depthwise convolution and batch normalisation, single-threaded, chosen for the CPU at run
 * time. Callers hand out output rows, channels or rows of the map to threads. */
#ifndef ENGINE_SIMD_MAPS_H
#define ENGINE_SIMD_MAPS_H

#include "engine/kernels.h"

typedef struct SimdMaps {
    const char *name;
    /* Output lines first..end-1; line b H' + y is row y of image b. */
    void (*depthwise)(const DepthwiseArgs *a, int64_t first, int64_t end);
    /* Channels first..end-1 of everything: dx is added to. */
    void (*depthwise_backward)(const DepthwiseArgs *a, int64_t first, int64_t end);
    /* (M,C): sums_c += sum (x - mean), squares_c += sum (x - mean)^2 */
    void (*column_squares)(int64_t M, int64_t C, const float *x, const float *mean, float *sums, float *squares);
    /* sums_c += sum dy, dots_c += sum dy (x - mean) */
    void (*column_dots)(int64_t M, int64_t C, const float *x, const float *mean, const float *dy, float *sums, float *dots);
    /* y = (x - mean) scale + shift, a column each */
    void (*normalise)(int64_t M, int64_t C, const float *x, const float *mean, const float *scale, const float *shift, float *y);
    /* dx (+)= scale (dy - level - (x - mean) slope) */
    void (*normalise_backward)(int64_t M, int64_t C, const float *x, const float *mean, const float *scale, const float *level,
                               const float *slope, const float *dy, float *dx, bool assign);
} SimdMaps;

const SimdMaps *simd_maps(void);
const SimdMaps *simd_maps_variant(int i);          /* those of simd_gemm_variant(i); NULL past the last */

#endif
