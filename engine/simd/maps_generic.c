/* Loops over maps for any CPU: SSE2, NEON or plain C, by the compiler's own vectors. */
#ifndef REAL_DOUBLE

#define SIMD_NAME   "generic"
#define SIMD_RECORD simd_maps_generic
#include "engine/simd/maps_body.h"

#endif
