/* Loops that show what a core can do at most: multiply-adds in registers, and reading and copying memory. Single-threaded;
 * chosen for the CPU at run time like the other loops here. */
#ifndef ENGINE_SIMD_PEAK_H
#define ENGINE_SIMD_PEAK_H

#include <stdint.h>

typedef struct SimdPeak {
    const char *name;                            /* "avx512", "avx2", "generic" */
    int         flops_per_round;                 /* operations of one round, a multiply-add as 2 */
    void   (*multiply_add)(int64_t rounds, float *keep);           /* keep (1): something of the result, so that it is computed */
    float  (*read)(const float *x, int64_t n);   /* every element once; n a multiple of 128 */
    void   (*triad)(float *a, const float *b, const float *c, int64_t n);   /* a = b + 3 c; n as above */
} SimdPeak;

const SimdPeak *simd_peak(void);

#endif
