/* The loops of peak.h over the vectors of vector_math.h. Included once by each peak_<set>.c, which defines SIMD_NAME and
 * SIMD_RECORD and is compiled for that instruction set. */
#include "engine/simd/peak.h"
#include "engine/simd/vector_math.h"

/* 12 chains hide a latency of up to 6 cycles at two multiply-adds a cycle and leave registers for the factors even where there
 * are 16. Factors near 1 keep every number normal: subnormal ones take microcode on some CPUs. */
enum { CHAINS = 12 };

#define EACH_CHAIN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

static void multiply_add(int64_t rounds, float *keep) {
    volatile float one_ = 1.0f - 0x1p-20f, little_ = 0x1p-20f;     /* unknown to the compiler */
    const Vec one = vec_set1(one_), little = vec_set1(little_);
#define START(i) Vec v##i = vec_set1(1.0f + 0x1p-8f * (float)(i));
    EACH_CHAIN(START)
    for (int64_t r = 0; r < rounds; r++) {
#define STEP(i) v##i = vec_fma(v##i, one, little);
        EACH_CHAIN(STEP)
    }
    Vec sum = vec_set1(0);
#define SUM(i) sum = sum + v##i;
    EACH_CHAIN(SUM)
    float lanes[VEC_WIDTH];
    vec_store(lanes, sum);
    *keep = lanes[0];
}

static float read_all(const float *x, int64_t n) {
    Vec a = vec_set1(0), b = a, c = a, d = a;
    for (int64_t i = 0; i < n; i += 4 * VEC_WIDTH) {
        a = a + vec_load(x + i);
        b = b + vec_load(x + i + VEC_WIDTH);
        c = c + vec_load(x + i + 2 * VEC_WIDTH);
        d = d + vec_load(x + i + 3 * VEC_WIDTH);
    }
    float lanes[VEC_WIDTH];
    vec_store(lanes, (a + b) + (c + d));
    return lanes[0];
}

static void triad(float *a, const float *b, const float *c, int64_t n) {
    const Vec three = vec_set1(3);
    for (int64_t i = 0; i < n; i += VEC_WIDTH) vec_store(a + i, vec_fma(three, vec_load(c + i), vec_load(b + i)));
}

extern const SimdPeak SIMD_RECORD;
const SimdPeak SIMD_RECORD = {.name = SIMD_NAME, .flops_per_round = 2 * CHAINS * VEC_WIDTH, .multiply_add = multiply_add, .read = read_all, .triad = triad};
