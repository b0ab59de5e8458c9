/* Elementwise and row-wise single-precision loops, single-threaded, chosen for the CPU at run time. */
#ifndef ENGINE_SIMD_ROWS_H
#define ENGINE_SIMD_ROWS_H

#include "engine/kernels.h"

typedef struct SimdRows {
    const char *name;
    void   (*exp)(int64_t n, const float *x, float *y);         /* for the tests, which scan the exp of all loops here */
    void   (*gelu)(int64_t n, const float *x, float *y);
    void   (*gelu_backward)(int64_t n, const float *x, const float *dy, float *dx, bool assign);
    void   (*bias_gelu_row)(int64_t n, const float *bias, float *x /* in: product, out: y */, float *pre, bool gelu,
                            const float *residual); /* the GEMM epilogue of one row; bias, pre, residual may be NULL */
    void   (*layer_norm)(const LayerNormArgs *a);                /* rows of *a, dgain/dbias: the caller's partial sums */
    void   (*layer_norm_backward)(const LayerNormArgs *a);
    void   (*softmax_rows)(int64_t M, int64_t N, const float *x, float *y);
    void   (*softmax_rows_backward)(int64_t M, int64_t N, const float *y, const float *dy, float *dx);
    void   (*add)(int64_t n, const float *a, const float *b, float *y);
    void   (*axpy)(int64_t n, float alpha, const float *x, float *y);
    void   (*scale)(int64_t n, float alpha, const float *x, float *y);
    void   (*column_sums)(int64_t M, int64_t N, const float *x, int64_t ld, float *sums);
    float  (*dot)(int64_t n, const float *x, const float *y);
    double (*sum_squares)(int64_t n, const float *x);
    void   (*adamw)(const AdamwArgs *a);
} SimdRows;

const SimdRows *simd_rows(void);
const SimdRows *simd_rows_variant(int i);

#endif
