/* How wide the kernels of a matrix library are, by its core names, against what the CPU has (blas_check.h). */
#include "harness/blas_check.h"

#include <stdio.h>
#include <strings.h>

static const struct {
    const char *core;
    KernelLevel level;
} cores[] = {
    {"Prescott", KERNELS_SSE}, {"Core2", KERNELS_SSE}, {"Penryn", KERNELS_SSE}, {"Dunnington", KERNELS_SSE},
    {"Nehalem", KERNELS_SSE}, {"Atom", KERNELS_SSE}, {"Nano", KERNELS_SSE}, {"Katmai", KERNELS_SSE},
    {"Coppermine", KERNELS_SSE}, {"Northwood", KERNELS_SSE}, {"Banias", KERNELS_SSE}, {"Athlon", KERNELS_SSE},
    {"Opteron", KERNELS_SSE}, {"Opteron_SSE3", KERNELS_SSE}, {"Barcelona", KERNELS_SSE}, {"Bobcat", KERNELS_SSE},
    {"Sandybridge", KERNELS_AVX}, {"Bulldozer", KERNELS_AVX}, {"Piledriver", KERNELS_AVX}, {"Steamroller", KERNELS_AVX},
    {"Excavator", KERNELS_AVX}, /* has AVX2, but Steamroller's kernels */
    {"Haswell", KERNELS_AVX2}, {"Zen", KERNELS_AVX2},
    {"SkylakeX", KERNELS_AVX512}, {"Cooperlake", KERNELS_AVX512}, {"Sapphirerapids", KERNELS_AVX512},
    {"armv8", KERNELS_NEON}, {"cortexa53", KERNELS_NEON}, {"cortexa55", KERNELS_NEON}, {"cortexa57", KERNELS_NEON},
    {"cortexa72", KERNELS_NEON}, {"cortexa73", KERNELS_NEON}, {"falkor", KERNELS_NEON}, {"thunderx", KERNELS_NEON},
    {"thunderx2t99", KERNELS_NEON}, {"thunderx3t110", KERNELS_NEON}, {"tsv110", KERNELS_NEON}, {"emag8180", KERNELS_NEON},
    {"neoversen1", KERNELS_NEON}, {"vortex", KERNELS_NEON}, {"vortexm4", KERNELS_NEON},
    {"armv8sve", KERNELS_SVE}, {"a64fx", KERNELS_SVE}, {"neoversev1", KERNELS_SVE}, {"neoversen2", KERNELS_SVE},
    {"neoversev2", KERNELS_SVE}};

const char *kernel_level_name(KernelLevel level) {
    static const char *const names[] = {[KERNELS_UNKNOWN] = "unknown", [KERNELS_SSE] = "SSE", [KERNELS_AVX] = "AVX",
                                        [KERNELS_AVX2] = "AVX2", [KERNELS_AVX512] = "AVX-512", [KERNELS_NEON] = "NEON", [KERNELS_SVE] = "SVE"};
    return names[level];
}

KernelLevel blas_core_level(const char *core) {
    for (size_t i = 0; i < sizeof cores / sizeof cores[0]; i++)
        if (strcasecmp(core, cores[i].core) == 0) return cores[i].level;
    return KERNELS_UNKNOWN;
}

KernelLevel cpu_kernel_level(const Machine *m) {
    const bool *has = m->simd;
    if (m->simd_reason != NULL) return KERNELS_UNKNOWN;
    if (has[SIMD_avx512f] && has[SIMD_avx512dq] && has[SIMD_avx512bw] && has[SIMD_avx512vl]) return KERNELS_AVX512;
    if (has[SIMD_avx2] && has[SIMD_fma]) return KERNELS_AVX2;
    if (has[SIMD_avx]) return KERNELS_AVX;
    if (has[SIMD_sve]) return KERNELS_SVE;
    if (has[SIMD_neon]) return KERNELS_NEON;
    return has[SIMD_sse4_2] ? KERNELS_SSE : KERNELS_UNKNOWN;
}

BlasVerdict blas_check(const Machine *m, char *text, size_t size) {
    if (m->blas_core.reason != NULL) {
        snprintf(text, size, "no matrix library, or it does not name its kernels");
        return BLAS_UNKNOWN;
    }
    const char       *core = m->blas_core.value;
    const KernelLevel runs = blas_core_level(core), cpu = cpu_kernel_level(m);
    if (runs == KERNELS_UNKNOWN || cpu == KERNELS_UNKNOWN || (runs >= KERNELS_NEON) != (cpu >= KERNELS_NEON)) {
        snprintf(text, size, "%s runs its '%s' kernels; whether this CPU could run faster ones is not known", m->blas_library.value, core);
        return BLAS_UNKNOWN;
    }
    if (runs >= cpu) {
        snprintf(text, size, "%s runs its %s kernels (%s)", m->blas_library.value, core, kernel_level_name(runs));
        return BLAS_FITS;
    }
    const char *forced = machine_environment(m, "OPENBLAS_CORETYPE");
    if (forced != NULL && strcasecmp(forced, core) == 0) {
        snprintf(text, size, "OPENBLAS_CORETYPE=%s forces %s kernels, but this CPU has %s", forced, kernel_level_name(runs), kernel_level_name(cpu));
        return BLAS_FORCED_NARROW;
    }
    snprintf(text, size, "%s chose its %s kernels (%s), but this CPU has %s", m->blas_library.value, core, kernel_level_name(runs),
             kernel_level_name(cpu));
    return BLAS_NARROW;
}
