/* IDX files of bytes, the format of MNIST and its kin: two zero bytes, type 0x08, number of dimensions, each dimension as
 * 32-bit big-endian, then the product of the dimensions in bytes, last index fastest. */
#ifndef HARNESS_IDX_H
#define HARNESS_IDX_H

#include "engine/error.h"
#include <stddef.h>
#include <stdint.h>

enum { IDX_MAX_DIMS = 3 };

typedef struct Idx {
    int            n_dims;
    int64_t        dim[IDX_MAX_DIMS];
    const uint8_t *data;             /* into the bytes given */
} Idx;

/* Reads the header and checks it against n_bytes, the size of the whole content. n_dims is what the caller expects.
 * Errors: EXIT_BAD_INPUT for another type, other dimensions, zero or absurd sizes, bytes behind the end; EXIT_IO when
 * bytes are missing. */
bool idx_parse(Idx *idx, const uint8_t *bytes, size_t n_bytes, int n_dims, Error *err);

#endif
