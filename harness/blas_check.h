/* Whether the matrix library runs kernels as wide as the CPU allows, and if not, who decided so. An environment variable
 * that forces older kernels (it may come from a cluster's profile, unnoticed) halves the speed on an AVX-512 CPU, and
 * figures for new hardware are then figures for old kernels. */
#ifndef HARNESS_BLAS_CHECK_H
#define HARNESS_BLAS_CHECK_H

#include "harness/machine.h"

/* Width of vector kernels; comparable within x86 and within Arm only. */
typedef enum KernelLevel {
    KERNELS_UNKNOWN,
    KERNELS_SSE, KERNELS_AVX, KERNELS_AVX2, KERNELS_AVX512,
    KERNELS_NEON, KERNELS_SVE
} KernelLevel;

const char *kernel_level_name(KernelLevel level); /* "AVX-512" */
KernelLevel cpu_kernel_level(const Machine *m);
KernelLevel blas_core_level(const char *core);    /* of an OpenBLAS core name, in any case of letters */

typedef enum BlasVerdict {
    BLAS_FITS,          /* as wide as the CPU has */
    BLAS_UNKNOWN,       /* no library, a core we do not know, or a CPU that does not tell its features */
    BLAS_NARROW,        /* narrower, by the library's own choice */
    BLAS_FORCED_NARROW  /* narrower, since OPENBLAS_CORETYPE says so */
} BlasVerdict;

/* Looks at blas_core and the kept environment; text (size >= 1) becomes one sentence. */
BlasVerdict blas_check(const Machine *m, char *text, size_t size);

#endif
