/* Attention: how sequences, heads and query rows are shared among threads. */
#include "engine/simd/attention.h"

#ifndef REAL_DOUBLE

#include "engine/scratch.h"

#include <omp.h>
#include <string.h>

/* Below this many multiply-adds waking the other threads costs more than they bring (a few microseconds). */
static const int64_t worth_threads = 200000;

static int64_t macs(const AttentionArgs *a) {
    int64_t pairs = 0;
    for (int s = 0; s < a->n_sequences; s++)
        pairs += (int64_t)(a->q_offset[s + 1] - a->q_offset[s]) * (a->k_offset[s + 1] - a->k_offset[s]);
    return pairs * a->H * (a->E + a->Ev);
}

/* The fewest parts a head's query rows are cut into that keep nine tenths of the threads busy; each part packs the keys and
 * values again, which is cheap but not free. */
static int query_parts(int64_t n_heads, int64_t longest, int threads) {
    for (int parts = 1; parts <= 8 && longest / parts >= 16; parts++) {
        const int64_t tasks = n_heads * parts, rounds = (tasks + threads - 1) / threads;
        if (tasks * 10 >= rounds * threads * 9) return parts;
    }
    return 1;
}

/* Work is handed out in runs of this many tasks, on demand: sequences differ in length, and the bits do not depend on who
 * computes what. Runs, because inputs of the following task are prefetched (attention_body.h). */
static int run_length(int64_t tasks, int threads) {
    const int64_t n = tasks / (8 * (int64_t)threads);
    return n < 1 ? 1 : n > 64 ? 64 : (int)n;
}

void simd_attention(const SimdVariant *variant, const AttentionArgs *a) {
    int64_t longest = 0;
    for (int s = 0; s < a->n_sequences; s++)
        if (a->q_offset[s + 1] - a->q_offset[s] > longest) longest = a->q_offset[s + 1] - a->q_offset[s];
    const bool    threaded = macs(a) >= worth_threads;
    const int64_t n_heads = (int64_t)a->n_sequences * a->H;
    const int     parts = threaded ? query_parts(n_heads, longest, omp_get_max_threads()) : 1;
    const int     run = run_length(n_heads * parts, omp_get_max_threads());
#pragma omp parallel for schedule(dynamic, run) if (threaded)
    for (int64_t task = 0; task < n_heads * parts; task++) {
        const int     s = (int)(task / parts / a->H), h = (int)(task / parts % a->H);
        const int64_t part = task % parts, Nq = a->q_offset[s + 1] - a->q_offset[s];
        variant->attention(a, s, h, Nq * part / parts, Nq * (part + 1) / parts);
    }
}

/* Every sequence adds to the same dbias: thread t takes a run of sequences and sums in a table of its own, and the tables
 * are added in the order of the threads. */
static void backward_with_bias(const SimdVariant *variant, const AttentionArgs *a) {
    const int64_t Nq = a->q_offset[1] - a->q_offset[0], Nk = a->k_offset[1] - a->k_offset[0], table = a->H * Nq * Nk;
    const int     threads = omp_get_max_threads(), runs = a->n_sequences < threads ? a->n_sequences : threads;
    float        *tables = scratch_floats(SCRATCH_PARTIAL, (size_t)(runs * table));
    if (tables == NULL) return;
#pragma omp parallel for schedule(static)
    for (int64_t task = 0; task < (int64_t)runs * a->H; task++) {
        const int64_t run = task / a->H, h = task % a->H;
        float        *own = tables + run * table;
        memset(own + h * Nq * Nk, 0, (size_t)(Nq * Nk) * sizeof *own);
        for (int64_t s = a->n_sequences * run / runs; s < a->n_sequences * (run + 1) / runs; s++)
            variant->attention_backward(a, (int)s, (int)h, own);
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < table; i++)
        for (int run = 0; run < runs; run++) a->dbias[i] += tables[run * table + i];
}

void simd_attention_backward(const SimdVariant *variant, const AttentionArgs *a) {
    if (a->n_sequences == 0) return;
    if (a->dbias != NULL) {
        backward_with_bias(variant, a);
        return;
    }
    const int run = run_length((int64_t)a->n_sequences * a->H, omp_get_max_threads());
#pragma omp parallel for schedule(dynamic, run) if (macs(a) >= worth_threads)
    for (int64_t task = 0; task < (int64_t)a->n_sequences * a->H; task++)
        variant->attention_backward(a, (int)(task / a->H), (int)(task % a->H), NULL);
}

#endif
