/* What the matrix library says of itself, for the fingerprint of a machine; the backend that links it answers. */
#ifndef ENGINE_BACKENDS_BLAS_INFO_H
#define ENGINE_BACKENDS_BLAS_INFO_H

#include <stdbool.h>

typedef struct BlasInfo {
    const char *library; /* "openblas" */
    const char *config;  /* its build, one line; NULL: it does not say */
    const char *core;    /* the kernels it runs here, "SkylakeX"; NULL: it does not say */
    int         threads; /* what it would use when called outside a parallel region; 0: unknown */
} BlasInfo;

/* False, and *out empty, when this build has no such library. The texts are static. */
bool blas_info(BlasInfo *out);

#endif
