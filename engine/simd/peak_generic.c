/* Loops of peak.h for any CPU. */
#define SIMD_NAME   "generic"
#define SIMD_RECORD simd_peak_generic
#include "engine/simd/peak_body.h"
