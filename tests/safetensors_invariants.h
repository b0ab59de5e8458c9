/* What must hold of every safetensors file that the reader accepts, told from the file's bytes by other means than
 * the reader's. For the tests and the fuzz target. */
#ifndef TESTS_SAFETENSORS_INVARIANTS_H
#define TESTS_SAFETENSORS_INVARIANTS_H

#include "engine/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static inline const char *broken_values(const SafeEntry *e) {
    const bool    is_float = e->dtype == SAFE_F64 || e->dtype == SAFE_F32 || e->dtype == SAFE_F16 || e->dtype == SAFE_BF16;
    const size_t  n        = (size_t)e->n_values;
    const int64_t bad      = safetensors_first_nonfinite(e);
    const char   *broken   = NULL;
    Error         err      = {0};
    double       *wide     = malloc(n * sizeof *wide);
    float        *narrow   = malloc(n * sizeof *narrow);
    if (n > 0 && (wide == NULL || narrow == NULL)) goto done;
    if (safetensors_to_double(e, wide, &err) != is_float) broken = "floats, and only floats, convert to double";
    else if (!is_float && bad != -1) broken = "integers are finite";
    if (broken != NULL || !is_float) goto done;
    int64_t first = -1;
    for (size_t i = 0; i < n && first < 0; i++)
        if (!isfinite(wide[i])) first = (int64_t)i;
    if (first != bad) broken = "the first non-finite value is where it is said to be";
    if (!safetensors_to_float(e, narrow, &err)) {
        if (e->dtype != SAFE_F64) broken = "floats not wider than float convert to it";
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        if (!(isnan(narrow[i]) && isnan(wide[i])) && narrow[i] != (float)wide[i]) broken = "float and double agree";
done:
    free(wide);
    free(narrow);
    return broken;
}

/* The first that does not hold, NULL when all do. f was made from bytes[n]. */
static inline const char *broken_invariant(const SafeFile *f, const uint8_t *bytes, size_t n) {
    uint64_t header = 0;
    if (n < 8) return "a file has a length";
    memcpy(&header, bytes, 8);
    if (header < 2 || header > n - 8) return "the header lies in the file";
    if (bytes[8] != '{') return "the header is an object";
    const uint8_t *covered = bytes + 8 + header;
    for (int i = 0; i < safetensors_count(f); i++) {
        const SafeEntry *e      = safetensors_entry(f, i);
        __uint128_t      values = 1; /* each factor is below 2^63, and the product is stopped above 2^64 */
        if (e->data != covered) return "each tensor begins where the one before ends";
        covered += e->bytes;
        if (covered > bytes + n) return "tensors lie in the file";
        if (e->n_dims < 0 || e->n_dims > 8) return "the rank is at most 8";
        for (int d = 0; d < e->n_dims; d++) {
            if (e->dim[d] < 0) return "dimensions are not negative";
            values *= (__uint128_t)e->dim[d];
            if (values >> 64 != 0) return "the number of values is a 64-bit number";
        }
        if (values != (__uint128_t)e->n_values) return "the shape tells the number of values";
        if (values * safe_dtype_bytes(e->dtype) != e->bytes) return "shape and dtype tell the number of bytes";
        if (strlen(e->name) > 512) return "names have at most 512 bytes";
        if (safetensors_find(f, e->name) != e) return "a tensor is found by its name";
        if (strcmp(e->name, "__metadata__") == 0) return "metadata is no tensor";
        const char *broken = broken_values(e);
        if (broken != NULL) return broken;
    }
    return covered == bytes + n ? NULL : "tensors reach to the end of the file";
}

#endif
