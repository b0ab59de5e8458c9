/* Register-tiled single-precision products on packed panels, single-threaded, chosen for the CPU at run time.
 *
 * B (K,N) is packed into ceil(N/nr) panels of nr columns, each (K,nr) contiguous, the last one padded with zeros. */
#ifndef ENGINE_SIMD_GEMM_H
#define ENGINE_SIMD_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SimdGemm {
    const char *name;                /* "avx512", "avx2", "generic" */
    int         mr, nr;              /* register tile */
    /* packed size in floats: nr * ceil(N/nr) * K */
    void (*pack_b)(int64_t K, int64_t N, const float *b, int64_t ldb, bool trans_b, float *packed);
    /* C (M,N) = A (M,K) B + beta C for packed B; beta 0 or 1 */
    void (*multiply)(int64_t M, int64_t N, int64_t K, const float *a, int64_t lda, const float *packed, float beta,
                     float *c, int64_t ldc);
} SimdGemm;

const SimdGemm *simd_gemm(void);                     /* the best this CPU runs; MORBENCH_SIMD=generic|avx2|avx512 lowers it */
const SimdGemm *simd_gemm_variant(int i);            /* every variant this CPU can run, NULL past the end: for tests */

#endif
