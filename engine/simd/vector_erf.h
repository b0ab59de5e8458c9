/* The normal distribution's upper tail, and with it the exact (erf) GELU and its slope, on vectors of floats.
 *
 * Errors against double, measured over [-10,10] in tests/test_simd_rows.c: gelu <= 2^-23 max(1,|x|), slope <= 2e-7.
 * gelu(-inf) = 0, gelu(inf) = inf, NaN stays NaN. */
#ifndef ENGINE_SIMD_VECTOR_ERF_H
#define ENGINE_SIMD_VECTOR_ERF_H

#include "engine/simd/vector_math.h"

/* 2^u for -252 < u < 128 with a relative error of 2e-7, 1e-7 of it the polynomial's (degree 5, minimax on [-1/2,1/2]). */
static inline Vec vec_exp2_coarse(Vec u) {
    const Vec n = vec_round(u), f = u - n;
    Vec       p = vec_set1(1.3264723889e-3f);
    p = vec_fma(p, f, vec_set1(9.6715128695e-3f));
    p = vec_fma(p, f, vec_set1(5.5507337543e-2f));
    p = vec_fma(p, f, vec_set1(2.4022242080e-1f));
    p = vec_fma(p, f, vec_set1(6.9314697759e-1f));
    p = vec_fma(p, f, vec_set1(1.0f));
    return vec_scale_exponent(p, n);
}

/* Q(t) = 1 - Phi(t), 0 <= t <= 12, as 2^P(t): log2 Q is nearly a parabola, so a polynomial P of degree 8 does. Its
 * coefficients make the largest error of Q(t) (1 + t) + 1e-5 log Q on [0,6.5] least: 6e-8. Beyond, where Q < 1e-10, P only
 * goes on falling: 2^P(11.1) = 2^-127. */
#define VEC_TAIL_END 12.0f

static inline Vec vec_normal_tail(Vec t) {
    Vec p = vec_set1(-1.1871347771e-6f);
    p = vec_fma(p, t, vec_set1(2.0029258770e-5f));
    p = vec_fma(p, t, vec_set1(-9.6994088791e-5f));
    p = vec_fma(p, t, vec_set1(-3.4339214726e-4f));
    p = vec_fma(p, t, vec_set1(7.3179324107e-3f));
    p = vec_fma(p, t, vec_set1(-5.2658873931e-2f));
    p = vec_fma(p, t, vec_set1(-4.5916030063e-1f));
    p = vec_fma(p, t, vec_set1(-1.1511098601e+0f));
    p = vec_fma(p, t, vec_set1(-1.0f));
    return vec_exp2_coarse(p);
}

/* x Phi(x) = max(x,0) - |x| Q(|x|) */
static inline Vec vec_gelu(Vec x) {
    const Vec t = vec_min(vec_set1(VEC_TAIL_END), vec_abs(x));
    return vec_fnma(t, vec_normal_tail(t), vec_max(vec_set1(0.0f), x));
}

/* Phi(x) + x phi(x) = d for x < 0 and 1 - d otherwise, where d = Q(t) - t phi(t), t = |x|;
 * phi(t) = exp(-t^2/2) / sqrt(2 pi) = 2^(-t^2 log2(e)/2 - log2(2 pi)/2) */
static inline Vec vec_gelu_slope(Vec x) {
    const Vec t   = vec_min(vec_set1(VEC_TAIL_END), vec_abs(x));
    const Vec phi = vec_exp2_coarse(vec_fma(t * t, vec_set1(-0.72134752f), vec_set1(-1.32574806f)));
    const Vec d   = vec_fnma(t, phi, vec_normal_tail(t));
    return vec_select_less(x, vec_set1(0.0f), d, vec_set1(1.0f) - d);
}

#endif
