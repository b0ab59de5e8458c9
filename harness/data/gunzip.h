/* gzip in memory, for data sets that come as .gz.  The only file that includes zlib.h is gunzip.c. */
#ifndef HARNESS_GUNZIP_H
#define HARNESS_GUNZIP_H

#include "engine/error.h"
#include <stddef.h>
#include <stdint.h>

/* Output beyond the first MiB may be at most this many times the input: data sets of images shrink 2 to 10 times, a bomb
 * a thousand times. */
enum { GUNZIP_MAX_RATIO = 100 };

bool gunzip_is_gzip(const uint8_t *bytes, size_t n_bytes);

/* Inflates one or several gzip members into *out (the caller frees it), at most max_bytes. Errors: EXIT_IO for truncated
 * or corrupt data (the checksum of each member is verified), EXIT_BAD_INPUT beyond the caps or for bytes that follow the
 * last member, EXIT_MACHINE without memory. */
bool gunzip(const uint8_t *bytes, size_t n_bytes, size_t max_bytes, uint8_t **out, size_t *n_out, Error *err);

#endif
