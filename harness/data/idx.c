/* The IDX format: magic, big-endian dimensions, bytes (idx.h). */
#include "harness/data/idx.h"

#include <string.h>

bool idx_parse(Idx *idx, const uint8_t *bytes, size_t n_bytes, int n_dims, Error *err) {
    CHECK(n_dims >= 1 && n_dims <= IDX_MAX_DIMS, "idx of %d dimensions", n_dims);
    const size_t header_bytes = 4 + 4 * (size_t)n_dims;
    memset(idx, 0, sizeof *idx);
    if (n_bytes < 4)
        return FAIL_STATUS(err, EXIT_IO, "", "truncated IDX header: %zu bytes", n_bytes);
    if (bytes[0] != 0 || bytes[1] != 0)
        return FAIL(err, "", "not an IDX file: begins with %02x%02x, not 0000", bytes[0], bytes[1]);
    if (bytes[2] != 0x08)
        return FAIL(err, "", "IDX element type must be 0x08 (unsigned bytes), got 0x%02x", bytes[2]);
    if (bytes[3] != n_dims)
        return FAIL(err, "", "IDX must have %d dimensions, got %d", n_dims, bytes[3]);
    if (n_bytes < header_bytes)
        return FAIL_STATUS(err, EXIT_IO, "", "truncated IDX header: %zu bytes of %zu", n_bytes, header_bytes);
    uint64_t n_elements = 1;
    for (int i = 0; i < n_dims; i++) {
        const uint8_t *p = bytes + 4 + 4*i;
        const uint32_t dim = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        if (dim == 0) return FAIL(err, "", "IDX dimension %d is 0", i);
        if (__builtin_mul_overflow(n_elements, (uint64_t)dim, &n_elements) || n_elements > INT64_MAX)
            return FAIL(err, "", "IDX dimensions multiply to more than can be addressed");
        idx->dim[i] = dim;
    }
    const uint64_t n_present = n_bytes - header_bytes;
    if (n_present < n_elements)
        return FAIL_STATUS(err, EXIT_IO, "", "truncated IDX data: %llu bytes of %llu", (unsigned long long)n_present,
                           (unsigned long long)n_elements);
    if (n_present > n_elements)
        return FAIL(err, "", "%llu bytes follow the end of the IDX data", (unsigned long long)(n_present - n_elements));
    idx->n_dims = n_dims;
    idx->data   = bytes + header_bytes;
    return true;
}
