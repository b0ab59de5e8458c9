/* Measures the ceilings of a roofline (peaks.h). */
#include "harness/measure/peaks.h"

#include "engine/clock.h"
#include "engine/simd/peak.h"
#include "harness/blas_check.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_FLOATS = 128 };                      /* what the loops take at once, at most */

/* A thread's part of the last cache: a virtual machine is told the whole of it and gets what its neighbours leave. */
static const int64_t tenant_bytes = 4 << 20, memory_most_bytes = 1 << 30;

typedef enum Loop { LOOP_MULTIPLY_ADD, LOOP_READ, LOOP_TRIAD } Loop;

static volatile float sink;                      /* what was computed goes somewhere */

/* Seconds that the slowest thread needs for `repeats` of the loop, all starting together. n: floats of each thread's array; a: one
 * of three such arrays a thread. */
static double timed(Loop loop, int64_t repeats, float *const *array, int64_t n) {
    const SimdPeak *peak    = simd_peak();
    uint64_t        longest = 0;
#pragma omp parallel reduction(max : longest)
    {
        float       *a    = array != NULL ? array[omp_get_thread_num()] : NULL;
        float        keep = 0;
#pragma omp barrier
        const uint64_t from = clock_now_ns();
        switch (loop) {
        case LOOP_MULTIPLY_ADD: peak->multiply_add(repeats, &keep); break;
        case LOOP_READ:
            for (int64_t r = 0; r < repeats; r++) keep += peak->read(a, n);
            break;
        case LOOP_TRIAD:
            for (int64_t r = 0; r < repeats; r++) peak->triad(a, a + n, a + 2 * n, n);
            keep = a[0];
            break;
        }
        longest = clock_now_ns() - from;
        sink    = keep;
    }
    return (double)longest / 1e9;
}

/* The most repeats a second over the runs. */
static double best_rate(Loop loop, float *const *array, int64_t n, int runs, double seconds) {
    int64_t repeats = 1;
    double  took    = timed(loop, repeats, array, n), best = 0;
    while (took < seconds / 4 && repeats < (int64_t)1 << 40) {
        repeats *= 2;
        took = timed(loop, repeats, array, n);
    }
    for (int run = 0; run < runs; run++) best = fmax(best, (double)repeats / timed(loop, repeats, array, n));
    return best;
}

/* Each thread its own array, written by it first so that its pages lie near it. */
static void free_arrays(float **array, int threads) {
    for (int i = 0; array != NULL && i < threads; i++) free(array[i]);
    free(array);
}

static bool make_arrays(float ***out, int threads, int64_t n, Error *err) {
    float **array = calloc((size_t)threads, sizeof *array);
    bool    ok    = array != NULL;
    for (int i = 0; ok && i < threads; i++) ok = (array[i] = aligned_alloc(4096, (size_t)(n * 4 + 4095) / 4096 * 4096)) != NULL;
    if (!ok) {
        free_arrays(array, threads);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for arrays of %lld bytes in %d threads", (long long)n * 4, threads);
    }
#pragma omp parallel
    for (int64_t i = 0; i < n; i++) array[omp_get_thread_num()][i] = 1;
    *out = array;
    return true;
}

/* Bytes a second of reading (or of the triad) in arrays of so many bytes a thread; three arrays for the triad. */
static bool bandwidth(double *out, Loop loop, int64_t bytes, int threads, int runs, double seconds, Error *err) {
    float       **array = NULL;
    const int     arrays = loop == LOOP_TRIAD ? 3 : 1;
    const int64_t n      = bytes / 4 / arrays / LINE_FLOATS * LINE_FLOATS;
    *out = NAN;
    if (n < LINE_FLOATS) return true;
    if (!make_arrays(&array, threads, arrays * n, err)) return false;
    *out = best_rate(loop, array, n, runs, seconds) * (double)(4 * arrays * n) * threads;
    free_arrays(array, threads);
    return true;
}

static const CpuCache *cache_of(const Machine *m, int level) {
    for (int i = 0; i < m->n_caches; i++)
        if (m->cache[i].level == level && strcmp(m->cache[i].type, "Instruction") != 0) return &m->cache[i];
    return NULL;
}

bool peaks_measure(Peaks *out, const Machine *m, int runs, double seconds, Error *err) {
    const int threads = omp_get_max_threads();
    double   *to[]    = {NULL, &out->l1_bytes_per_s, &out->l2_bytes_per_s, &out->l3_bytes_per_s};
    int64_t   last    = 8 << 20;                 /* of the last cache; where it is not told, a common size */
    *out = (Peaks){.kernels = simd_peak()->name, .threads = threads, .l1_bytes_per_s = NAN, .l2_bytes_per_s = NAN, .l3_bytes_per_s = NAN};
    const KernelLevel level = cpu_kernel_level(m);
    out->of_cpu = level == KERNELS_AVX512 ? strcmp(out->kernels, "avx512") == 0 : level == KERNELS_AVX2 ? strcmp(out->kernels, "avx2") == 0
                : level == KERNELS_SSE || level == KERNELS_NEON;
    out->flops_per_s = best_rate(LOOP_MULTIPLY_ADD, NULL, 0, runs, seconds) * simd_peak()->flops_per_round * threads;
    for (int l = 1; l <= 3; l++) {
        const CpuCache *c = cache_of(m, l);
        if (c == NULL || c->size_bytes <= 0) continue;
        const int sharing = c->shared_by_count < threads ? c->shared_by_count > 0 ? c->shared_by_count : 1 : threads;
        last = c->size_bytes > last ? c->size_bytes : last;
        int64_t bytes = c->size_bytes / 2 / sharing;
        if (l == 3 && bytes > tenant_bytes) bytes = tenant_bytes;
        if (!bandwidth(to[l], LOOP_READ, bytes, threads, runs, seconds, err)) return false;
    }
    int64_t whole = 4 * last < 64 << 20 ? 64 << 20 : 4 * last;
    if (whole > memory_most_bytes) whole = memory_most_bytes;
    if (m->memory_available_bytes.reason == NULL && whole > m->memory_available_bytes.value / 4) whole = m->memory_available_bytes.value / 4;
    out->memory_array_bytes = whole;
    return bandwidth(&out->memory_bytes_per_s, LOOP_READ, whole / threads, threads, runs, seconds, err)
        && bandwidth(&out->triad_bytes_per_s, LOOP_TRIAD, whole / threads, threads, runs, seconds, err);
}

static void put(JsonSink *to, const char *key, double value) {
    if (isfinite(value)) json_put_number(to, key, value);
    else                 json_put_missing(to, key, "not_supported");
}

bool peaks_to_json(const Peaks *p, json_t **out, Error *err) {
    JsonSink root;
    json_sink_begin(&root);
    json_put_count(&root, "threads_count", p->threads);
    json_put_text(&root, "kernels", p->kernels);
    json_put_bool(&root, "kernels_are_the_widest", p->of_cpu);
    put(&root, "fma_peak_flops_2x_per_s", p->flops_per_s);
    put(&root, "l1_read_bytes_per_s", p->l1_bytes_per_s);
    put(&root, "l2_read_bytes_per_s", p->l2_bytes_per_s);
    put(&root, "l3_read_bytes_per_s", p->l3_bytes_per_s);
    put(&root, "memory_read_bytes_per_s", p->memory_bytes_per_s);
    put(&root, "memory_triad_bytes_per_s", p->triad_bytes_per_s);
    json_put_count(&root, "memory_array_bytes", p->memory_array_bytes);
    return json_sink_finish(&root, out, err);
}
