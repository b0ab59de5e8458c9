/* One variant whole: what gemm.h shows, and what attention and the packed backend need besides.
 *
 * A variant is one file gemm_<isa>.c, compiled for its instruction set, that includes the bodies; gemm.c knows which ones
 * this CPU runs. */
#ifndef ENGINE_SIMD_VARIANTS_H
#define ENGINE_SIMD_VARIANTS_H

#include "engine/kernels.h"
#include "engine/simd/gemm.h"

#ifndef REAL_DOUBLE

typedef struct SimdVariant {
    SimdGemm gemm;
    /* C (M,N) = A^T B + beta C with A stored (K,M), otherwise as gemm.multiply */
    void (*multiply_transposed)(int64_t M, int64_t N, int64_t K, const float *a, int64_t lda, const float *packed,
                                float beta, float *c, int64_t ldc);
    /* The same in two steps, for a left-hand side that meets many columns: tiles first..end-1 of A stored (K,M) are packed
     * ((M + mr - 1) / mr tiles in all, of K mr floats each), and multiplied. K <= max_k. c is row 0 of C. */
    int  max_k;
    void (*pack_a)(int64_t M, int64_t K, const float *a, int64_t lda, int64_t first, int64_t end, float *packed_a);
    void (*multiply_tiles)(int64_t M, int64_t first, int64_t end, int64_t N, int64_t K, const float *packed_a,
                           const float *packed, float beta, float *c, int64_t ldc);
    /* panels first..end-1 of gemm.pack_b alone, at their places in packed: for packing in parallel */
    void (*pack_panels)(int64_t K, int64_t N, const float *b, int64_t ldb, bool trans_b, int64_t first, int64_t end,
                        float *packed);
    /* Attention of query rows first..end-1 of one sequence and head; numbering starts at the sequence. */
    void (*attention)(const AttentionArgs *a, int sequence, int head, int64_t first, int64_t end);
    /* Its backward pass, all rows. dbias (H,Nq,Nk) += or NULL, instead of a->dbias, so that threads can have their own. */
    void (*attention_backward)(const AttentionArgs *a, int sequence, int head, float *dbias);
    /* The same under a policy, all rows; the backward pass adds to everything, to p->dpolicy too. */
    void (*policy_attention)(const PolicyAttentionArgs *p, int sequence, int head);
    void (*policy_attention_backward)(const PolicyAttentionArgs *p, int sequence, int head);
} SimdVariant;

const SimdVariant *simd_variant(void);              /* the whole of simd_gemm() */
const SimdVariant *simd_variant_of(int i);          /* the whole of simd_gemm_variant(i) */

extern const SimdVariant simd_variant_generic;
#ifndef MORBENCH_GENERIC
extern const SimdVariant simd_variant_avx2, simd_variant_avx512;
#endif

#endif
#endif
