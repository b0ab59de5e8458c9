/* The ceilings of a roofline: what this machine does at most with so many threads, measured here and now (rule V16).
 *
 *   multiply-adds   independent chains in registers, all threads together
 *   reading         arrays that fit half of each cache (4 MiB a thread of the last one at most), each thread its own; and arrays
 *                   four times the last cache, at most 1 GiB
 *   triad           a = b + 3 c in memory; bytes read and written, without what a cache line costs to be owned
 *
 * Each is the best of several runs: a ceiling is what is possible, and noise only takes away. */
#ifndef HARNESS_PEAKS_H
#define HARNESS_PEAKS_H

#include "engine/json.h"
#include "harness/machine.h"

typedef struct Peaks {
    const char *kernels;                 /* "avx512": with which instructions */
    bool        of_cpu;                  /* they are the widest the CPU has; else others' code may exceed them */
    int         threads;
    double      flops_per_s;             /* a multiply-add as 2 */
    double      l1_bytes_per_s, l2_bytes_per_s, l3_bytes_per_s; /* NAN: no such cache known */
    double      memory_bytes_per_s, triad_bytes_per_s;
    int64_t     memory_array_bytes;      /* read by all threads together */
} Peaks;

/* runs: of each; seconds: each run takes about so long. Threads as OpenMP gives them, pinned by the caller. */
bool peaks_measure(Peaks *out, const Machine *m, int runs, double seconds, Error *err);

/* The block "roofline" of a result: threads_count, fma_peak_flops_2x_per_s, l1_read_bytes_per_s, ... *out: json_decref. */
bool peaks_to_json(const Peaks *p, json_t **out, Error *err);

#endif
