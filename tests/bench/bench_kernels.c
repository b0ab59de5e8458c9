/* Speed of the products and of attention at the sizes of Vision Transformers, backends in turns:
 *
 *   bench_kernels [seconds per line, default 0.3]      threads: OMP_NUM_THREADS
 *
 * GF/s = 1e9 multiplications and additions a second, from the fastest of many calls; peak: independent multiply-adds in
 * registers, all threads at once. Buffers are warm; weights are kept packed, as in inference, and the time to pack is
 * shown apart. */
#include "engine/backends/packed.h"
#include "engine/clock.h"
#include "engine/kernels.h"
#include "engine/simd/gemm.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double now_s(void) { return 1e-9 * (double)clock_now_ns(); }

static float *floats(int64_t n) {
    float *x = aligned_alloc(64, (size_t)(n + 15) / 16 * 64);
    if (x == NULL) abort();
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * 7919 % 1000) * 1e-3f - 0.5f;
    return x;
}

/* ---- peak ---- */

typedef float Lanes4  __attribute__((vector_size(16)));
typedef float Lanes8  __attribute__((vector_size(32)));
typedef float Lanes16 __attribute__((vector_size(64)));

#if !defined(MORBENCH_GENERIC) && defined(__x86_64__)
#define TARGET(name) __attribute__((target(name))) CONTRACT
#else
#define TARGET(name) CONTRACT
#endif
/* the build forbids fusing a * b + c; here it is what is measured */
#ifdef __clang__
#define CONTRACT
#define CONTRACT_INSIDE _Pragma("STDC FP_CONTRACT ON")
#else
#define CONTRACT __attribute__((optimize("fp-contract=fast")))
#define CONTRACT_INSIDE
#endif
#define EACH_12(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define START(i)    Lanes c##i = {0};
#define STEP(i)     c##i = c##i * x + x; __asm__ volatile("" : "+" REGISTER(c##i));
#if defined(__x86_64__)
#define REGISTER(v) "v"(v)
#elif defined(__aarch64__)
#define REGISTER(v) "w"(v)
#else
#define REGISTER(v) "m"(v)
#endif
#define LOOP(name, Type, target)                                   \
    TARGET(target) static void name(int64_t n, volatile float *sink) { \
        CONTRACT_INSIDE                                            \
        typedef Type Lanes;                                        \
        Lanes x = {0};                                             \
        EACH_12(START)                                             \
        for (int64_t i = 0; i < n; i++) { EACH_12(STEP) }          \
        *sink = c0[0] + c1[0];                                     \
    }
LOOP(loop_4, Lanes4, "sse2")
#if !defined(MORBENCH_GENERIC) && defined(__x86_64__)
LOOP(loop_8, Lanes8, "avx2,fma")
LOOP(loop_16, Lanes16, "avx512f,fma")
#endif

static double peak_gf(void) {
    void (*loop)(int64_t, volatile float *) = loop_4;
    double lanes = 4;
#if !defined(MORBENCH_GENERIC) && defined(__x86_64__)
    if (strcmp(simd_gemm()->name, "avx2") == 0)   loop = loop_8,  lanes = 8;
    if (strcmp(simd_gemm()->name, "avx512") == 0) loop = loop_16, lanes = 16;
#endif
    const int64_t n = 20000;
    double        best = 0;
    for (int round = 0; round < 500; round++) {
        const double from = now_s();
#pragma omp parallel
        {
            volatile float sink;
            loop(n, &sink);
        }
        const double gf = 24.0 * lanes * (double)n * omp_get_max_threads() / (now_s() - from) * 1e-9;
        if (gf > best) best = gf;
    }
    return best;
}

/* ---- lines ---- */

static const Backend *rivals[] = {NULL, NULL};
static double         budget_s = 0.3, peak;

/* Runs both backends in turns until the time is up; the fastest call of each, in seconds. */
static void race(void (*run)(const Backend *, void *), void *what, double fastest[2]) {
    fastest[0] = fastest[1] = 1e9;
    const double end = now_s() + budget_s;
    for (int round = 0; round < 4 || now_s() < end; round++)
        for (int i = 0; i < 2; i++) {
            const double from = now_s();
            run(rivals[i], what);
            const double took = now_s() - from;
            if (took < fastest[i]) fastest[i] = took;
        }
}

static void line(const char *name, double macs, const double fastest[2]) {
    const double gf[2] = {2e-9 * macs / fastest[0], 2e-9 * macs / fastest[1]};
    printf("%-44s %8.1f GF/s %3.0f %%   %8.1f GF/s %3.0f %%   %5.2fx\n", name, gf[0], 100 * gf[0] / peak, gf[1], 100 * gf[1] / peak,
           fastest[1] / fastest[0]);
    fflush(stdout);
}

static void run_gemm(const Backend *b, void *g) { b->gemm(g); }

static void products(int64_t M, int64_t D) {
    const struct { const char *name; int64_t N, K; bool gelu, residual; } layers[] = {
        {"qkv", 3 * D, D, false, false}, {"proj", D, D, false, true}, {"fc1", 4 * D, D, true, false}, {"fc2", D, 4 * D, false, true}};
    float *x = floats(M * 4 * D), *y = floats(M * 4 * D), *w = floats(4 * D * D), *dw = floats(4 * D * D), *bias = floats(4 * D),
          *rest = floats(M * D);
    for (int i = 0; i < 4; i++) {
        const int64_t N = layers[i].N, K = layers[i].K;
        const Tensor  parameter = {.data = w, .version = 1};
        char          name[64];
        double        fastest[2];
        Gemm forward = {.M = M, .N = N, .K = K, .trans_b = true, .a = x, .lda = K, .b = w, .ldb = K, .c = y, .ldc = N, .bias = bias,
                        .activation = layers[i].gelu ? ACTIVATION_GELU : ACTIVATION_NONE,
                        .residual = layers[i].residual ? rest : NULL, .parameter = &parameter};
        Gemm dx = {.M = M, .N = K, .K = N, .a = y, .lda = N, .b = w, .ldb = K, .c = x, .ldc = K, .parameter = &parameter};
        Gemm dweight = {.M = N, .N = K, .K = M, .trans_a = true, .a = y, .lda = N, .b = x, .ldb = K, .beta = 1, .c = dw, .ldc = K};
        const double macs = (double)M * (double)N * (double)K;
        snprintf(name, sizeof name, "M %5ld D %4ld %-4s forward + epilogue", (long)M, (long)D, layers[i].name);
        race(run_gemm, &forward, fastest), line(name, macs, fastest);
        snprintf(name, sizeof name, "M %5ld D %4ld %-4s dX", (long)M, (long)D, layers[i].name);
        race(run_gemm, &dx, fastest), line(name, macs, fastest);
        snprintf(name, sizeof name, "M %5ld D %4ld %-4s dW", (long)M, (long)D, layers[i].name);
        race(run_gemm, &dweight, fastest), line(name, macs, fastest);
        memset(dw, 0, (size_t)(4 * D * D) * sizeof *dw);
        for (int64_t j = 0; j < M * 4 * D; j++) x[j] = y[j] = (float)(j % 1000) * 1e-3f - 0.5f;
        packed_forget();
    }
    free(x), free(y), free(w), free(dw), free(bias), free(rest);
}

static void run_attention(const Backend *b, void *a)          { b->attention(a); }
static void run_attention_backward(const Backend *b, void *a) { b->attention_backward(a); }

static void attention(int B, int N, int H, int E) {
    const int64_t D = (int64_t)H * E, M = (int64_t)B * N;
    int32_t      *offset = malloc((size_t)(B + 1) * sizeof *offset);
    if (offset == NULL) abort();
    for (int b = 0; b <= B; b++) offset[b] = b * N;
    float *qkv = floats(M * 3 * D), *dqkv = floats(M * 3 * D), *out = floats(M * D), *dout = floats(M * D), *lse = floats(M * H);
    AttentionArgs a = {.n_sequences = B, .H = H, .E = E, .Ev = E, .q_offset = offset, .k_offset = offset, .scale = 0.125f, .q = qkv,
                       .k = qkv + D, .v = qkv + 2 * D, .q_ld = 3 * D, .k_ld = 3 * D, .v_ld = 3 * D, .q_head = E, .k_head = E,
                       .v_head = E, .out = out, .lse = lse, .dout = dout, .dq = dqkv, .dk = dqkv + D, .dv = dqkv + 2 * D,
                       .assign = true};
    const double macs = 2.0 * B * (double)N * N * (double)D;
    char         name[64];
    double       fastest[2];
    snprintf(name, sizeof name, "attention B %3d N %3d H %d E %d forward", B, N, H, E);
    race(run_attention, &a, fastest), line(name, macs, fastest);
    snprintf(name, sizeof name, "attention B %3d N %3d H %d E %d backward", B, N, H, E);
    race(run_attention_backward, &a, fastest), line(name, 2.5 * macs, fastest);
    free(offset), free(qkv), free(dqkv), free(out), free(dout), free(lse);
}

int main(int argc, char **argv) {
    rivals[0] = backend_find("packed");
    rivals[1] = backend_find("openblas");
    if (argc > 1) budget_s = atof(argv[1]);
    peak = peak_gf();
    printf("%s, %d threads, peak %.1f GF/s\n%-44s %20s   %20s\n", simd_gemm()->name, omp_get_max_threads(), peak, "", rivals[0]->name,
           rivals[1]->name);
    attention(128, 50, 3, 64);
    attention(1, 197, 6, 64);
    attention(16, 197, 6, 64);
    static const int64_t Ds[] = {192, 384, 768}, Ms[] = {50, 197, 3152, 6400};
    for (int d = 0; d < 3; d++)
        for (int m = 0; m < 4; m++) products(Ms[m], Ds[d]);
    return 0;
}
