/* Vectors of floats of the width the file is compiled for, and exp on them.
 *
 * One source, three instruction sets: a file compiled with -mavx512f gets 16 lanes, with -mavx2 -mfma 8, otherwise 4
 * (SSE2 or NEON through the compiler's vector extension). Vec supports + - * / and unary minus; Veci likewise.
 * vec_fma rounds once where the machine has fused multiply-add, twice otherwise.
 *
 * vec_exp: error <= 1.02 ulp in [-87.3, 88.72], measured over every third float (tests/test_simd_gemm.c samples it);
 * below, the result is subnormal or 0 and its error <= 1 smallest subnormal; +inf above 88.73; exp(-inf) = 0; NaN stays
 * NaN. */
#ifndef ENGINE_SIMD_VECTOR_MATH_H
#define ENGINE_SIMD_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && defined(__AVX2__)
#include <immintrin.h>

enum { VEC_WIDTH = 16 };
typedef __m512  Vec;
typedef __m512i Veci;

static inline Vec  vec_set1(float x)                   { return _mm512_set1_ps(x); }
static inline Vec  vec_load(const float *p)            { return _mm512_loadu_ps(p); }
static inline void vec_store(float *p, Vec v)          { _mm512_storeu_ps(p, v); }
/* The first n lanes, 0 <= n <= VEC_WIDTH; the others are `rest` and their memory is not touched. */
static inline __mmask16 vec_mask(int64_t n)            { return (__mmask16)((1u << n) - 1u); }
static inline Vec  vec_load_part(const float *p, int64_t n, Vec rest) { return _mm512_mask_loadu_ps(rest, vec_mask(n), p); }
static inline void vec_store_part(float *p, int64_t n, Vec v)         { _mm512_mask_storeu_ps(p, vec_mask(n), v); }
/* The first n lanes of v, the others of rest. */
static inline Vec  vec_first(Vec v, int64_t n, Vec rest) { return _mm512_mask_blend_ps(vec_mask(n), rest, v); }
static inline Vec  vec_fma(Vec a, Vec b, Vec c)        { return _mm512_fmadd_ps(a, b, c); }      /* a b + c */
static inline Vec  vec_fnma(Vec a, Vec b, Vec c)       { return _mm512_fnmadd_ps(a, b, c); }     /* c - a b */
/* When either is NaN: b. */
static inline Vec  vec_max(Vec a, Vec b)               { return _mm512_max_ps(a, b); }
static inline Vec  vec_min(Vec a, Vec b)               { return _mm512_min_ps(a, b); }
static inline Vec  vec_abs(Vec a)                      { return _mm512_abs_ps(a); }
static inline Vec  vec_sqrt(Vec a)                     { return _mm512_sqrt_ps(a); }
static inline Vec  vec_copysign(Vec magnitude, Vec sign) {
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_set1_epi32(INT32_MIN), _mm512_castps_si512(sign),
                                                         _mm512_castps_si512(magnitude), 0xca));
}
/* a < b ? yes : no, lane by lane */
static inline Vec  vec_select_less(Vec a, Vec b, Vec yes, Vec no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
static inline Vec  vec_round(Vec a)                    { return _mm512_roundscale_ps(a, 0x08); }  /* to nearest even */
/* a 2^n for whole n; right for subnormal results and overflow */
static inline Vec  vec_scale_exponent(Vec a, Vec n)    { return _mm512_scalef_ps(a, n); }
static inline float vec_sum(Vec a)                     { return _mm512_reduce_add_ps(a); }
static inline float vec_highest(Vec a)                 { return _mm512_reduce_max_ps(a); }

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

enum { VEC_WIDTH = 8 };
typedef __m256  Vec;
typedef __m256i Veci;

static inline Vec  vec_set1(float x)                   { return _mm256_set1_ps(x); }
static inline Vec  vec_load(const float *p)            { return _mm256_loadu_ps(p); }
static inline void vec_store(float *p, Vec v)          { _mm256_storeu_ps(p, v); }
static inline Veci vec_mask(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline Vec  vec_load_part(const float *p, int64_t n, Vec rest) {
    const Veci m = vec_mask(n);
    return _mm256_blendv_ps(rest, _mm256_maskload_ps(p, m), _mm256_castsi256_ps(m));
}
static inline Vec  vec_first(Vec v, int64_t n, Vec rest) {
    return _mm256_blendv_ps(rest, v, _mm256_castsi256_ps(vec_mask(n)));
}
/* Not vmaskmovps: as a store it is microcoded on AMD. */
static inline void vec_store_part(float *p, int64_t n, Vec v) {
    __m128 low = _mm256_castps256_ps128(v);
    if (n >= 8) { _mm256_storeu_ps(p, v); return; }
    if (n & 4)  { _mm_storeu_ps(p, low); p += 4; low = _mm256_extractf128_ps(v, 1); }
    if (n & 2)  { _mm_storel_pi((__m64 *)(void *)p, low); p += 2; low = _mm_movehl_ps(low, low); }
    if (n & 1)  _mm_store_ss(p, low);
}
static inline Vec  vec_fma(Vec a, Vec b, Vec c)        { return _mm256_fmadd_ps(a, b, c); }
static inline Vec  vec_fnma(Vec a, Vec b, Vec c)       { return _mm256_fnmadd_ps(a, b, c); }
static inline Vec  vec_max(Vec a, Vec b)               { return _mm256_max_ps(a, b); }
static inline Vec  vec_min(Vec a, Vec b)               { return _mm256_min_ps(a, b); }
static inline Vec  vec_abs(Vec a)                      { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline Vec  vec_sqrt(Vec a)                     { return _mm256_sqrt_ps(a); }
static inline Vec  vec_copysign(Vec magnitude, Vec sign) {
    const Vec s = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(s, magnitude), _mm256_and_ps(s, sign));
}
static inline Vec  vec_select_less(Vec a, Vec b, Vec yes, Vec no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline Vec  vec_round(Vec a)                    { return _mm256_round_ps(a, 0x08); }
/* Two factors of 2^(n/2): one alone would leave the exponent's range for n in (-252, -126) and n = 128. */
static inline Vec  vec_scale_exponent(Vec a, Vec n) {
    const Veci whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
    const Veci bias  = _mm256_set1_epi32(127);
    const Vec  f = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const Vec  g = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return a * f * g;
}
static inline float vec_sum(Vec a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float vec_highest(Vec a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#else
#ifdef __aarch64__
#include <arm_neon.h>
#endif

enum { VEC_WIDTH = 4 };
typedef float   Vec  __attribute__((vector_size(16)));
typedef int32_t Veci __attribute__((vector_size(16)));

static inline Vec  vec_set1(float x)                   { return (Vec){x, x, x, x}; }
static inline Vec  vec_load(const float *p)            { Vec v; memcpy(&v, p, sizeof v); return v; }
static inline void vec_store(float *p, Vec v)          { memcpy(p, &v, sizeof v); }
static inline Vec  vec_load_part(const float *p, int64_t n, Vec rest) {
    for (int i = 0; i < n; i++) rest[i] = p[i];
    return rest;
}
static inline void vec_store_part(float *p, int64_t n, Vec v) {
    for (int i = 0; i < n; i++) p[i] = v[i];
}
static inline Vec  vec_first(Vec v, int64_t n, Vec rest) {
    for (int i = 0; i < n; i++) rest[i] = v[i];
    return rest;
}
static inline Vec  vec_pick(Veci mask, Vec yes, Vec no) { return (Vec)((mask & (Veci)yes) | (~mask & (Veci)no)); }
#ifdef __aarch64__
/* The one operation that the vector extension cannot spell: the build forbids the compiler to fuse a * b + c. */
static inline Vec  vec_fma(Vec a, Vec b, Vec c)        { return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#else
static inline Vec  vec_fma(Vec a, Vec b, Vec c)        { return a * b + c; }
#endif
static inline Vec  vec_fnma(Vec a, Vec b, Vec c)       { return vec_fma(-a, b, c); }
static inline Vec  vec_max(Vec a, Vec b)               { return vec_pick((Veci)(a > b), a, b); }
static inline Vec  vec_min(Vec a, Vec b)               { return vec_pick((Veci)(a < b), a, b); }
static inline Vec  vec_abs(Vec a)                      { return (Vec)((Veci)a & INT32_MAX); }
static inline Vec  vec_sqrt(Vec a)                     { return (Vec){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }
static inline Vec  vec_copysign(Vec magnitude, Vec sign) {
    return (Vec)(((Veci)magnitude & INT32_MAX) | ((Veci)sign & INT32_MIN));
}
static inline Vec  vec_select_less(Vec a, Vec b, Vec yes, Vec no) { return vec_pick((Veci)(a < b), yes, no); }
/* Adding 1.5 2^23 leaves no room for a fraction: to nearest even for |a| < 2^22. */
static inline Vec  vec_round(Vec a)                    { const Vec big = vec_set1(0x1.8p23f); return (a + big) - big; }
static inline Vec  vec_scale_exponent(Vec a, Vec n) {
    const Veci whole = __builtin_convertvector(n, Veci), half = whole >> 1, rest = whole - half;
    return a * (Vec)((half + 127) << 23) * (Vec)((rest + 127) << 23);
}
static inline float vec_sum(Vec a)                     { return (a[0] + a[2]) + (a[1] + a[3]); }
static inline float vec_highest(Vec a) {
    const float p = a[0] > a[2] ? a[0] : a[2], q = a[1] > a[3] ? a[1] : a[3];
    return p > q ? p : q;
}

#endif

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2: ln 2 in two parts (Cody & Waite) and a polynomial for
 * (exp(r) - 1 - r) / r^2 of degree 4, its coefficients the minimax ones of the Cephes library. */
static inline Vec vec_exp(Vec x) {
    x = vec_min(vec_set1(89.0f), vec_max(vec_set1(-105.0f), x));      /* keeps a NaN: it is the second operand */
    const Vec n = vec_round(x * vec_set1(0x1.715476p0f));
    Vec       r = vec_fnma(n, vec_set1(0x1.63p-1f), x);               /* n ln2_high is exact: 9 bits times 8 */
    r           = vec_fnma(n, vec_set1(-0x1.bd0106p-13f), r);
    Vec p = vec_set1(1.9875691500e-4f);
    p = vec_fma(p, r, vec_set1(1.3981999507e-3f));
    p = vec_fma(p, r, vec_set1(8.3334519073e-3f));
    p = vec_fma(p, r, vec_set1(4.1665795894e-2f));
    p = vec_fma(p, r, vec_set1(1.6666665459e-1f));
    p = vec_fma(p, r, vec_set1(5.0000001201e-1f));
    p = vec_fma(p, r * r, r) + vec_set1(1.0f);
    return vec_scale_exponent(p, n);
}

#endif
