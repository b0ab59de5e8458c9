/* Inflates a gzip file up to a bound and a ratio, whatever it claims (gunzip.h). */
#include "harness/data/gunzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

bool gunzip_is_gzip(const uint8_t *bytes, size_t n_bytes) {
    return n_bytes >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

bool gunzip(const uint8_t *bytes, size_t n_bytes, size_t max_bytes, uint8_t **out, size_t *n_out, Error *err) {
    enum { GZIP_WRAPPER = 16, FREE_BYTES = 1 << 20 };
    bool     ok = false, inflating = false;
    uint8_t *plain = NULL;
    size_t   n = 0, room = 0;
    z_stream z = {0};

    *out   = NULL;
    *n_out = 0;
    if (n_bytes > UINT_MAX)    { FAIL(err, "", "a gzip file of %zu bytes is too large", n_bytes); goto done; }
    z.next_in  = (z_const Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)n_bytes;
    if (inflateInit2(&z, GZIP_WRAPPER + MAX_WBITS) != Z_OK) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot start inflating: %s", z.msg ? z.msg : "no memory");
        goto done;
    }
    inflating = true;
    size_t limit = n_bytes > max_bytes / GUNZIP_MAX_RATIO ? max_bytes : n_bytes * GUNZIP_MAX_RATIO;
    if (limit < FREE_BYTES) limit = max_bytes < FREE_BYTES ? max_bytes : FREE_BYTES;
    for (;;) {
        if (n == room) {
            /* one byte beyond the limit, so that "full" and "too much" differ */
            if (n > limit) {
                FAIL(err, "", "inflates to more than %zu bytes from %zu; refused as a decompression bomb", limit, n_bytes);
                goto done;
            }
            room = room == 0 ? (limit + 1 < 65536 ? limit + 1 : 65536) : room * 2;
            if (room > limit + 1) room = limit + 1;
            uint8_t *larger = realloc(plain, room);
            if (larger == NULL) { FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", room); goto done; }
            plain = larger;
        }
        const size_t free_bytes = room - n;
        z.next_out  = plain + n;
        z.avail_out = free_bytes > UINT_MAX ? UINT_MAX : (uInt)free_bytes;
        const uInt offered = z.avail_out;
        const int  status  = inflate(&z, Z_NO_FLUSH);
        n += offered - z.avail_out;
        if (status == Z_STREAM_END) {
            if (z.avail_in == 0) break;
            if (!gunzip_is_gzip(z.next_in, z.avail_in)) {
                FAIL(err, "", "%u bytes follow the end of the gzip data", z.avail_in);
                goto done;
            }
            if (inflateReset(&z) != Z_OK) { FAIL_STATUS(err, EXIT_IO, "", "corrupt gzip data"); goto done; }
            continue;
        }
        if (status == Z_MEM_ERROR) { FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to inflate"); goto done; }
        if (status != Z_OK && status != Z_BUF_ERROR) {
            FAIL_STATUS(err, EXIT_IO, "", "corrupt gzip data: %s", z.msg ? z.msg : "unexpected end");
            goto done;
        }
        if (z.avail_in == 0 && z.avail_out > 0) {
            FAIL_STATUS(err, EXIT_IO, "", "truncated gzip data: ends after %zu bytes", n_bytes);
            goto done;
        }
    }
    if (n > limit) {
        FAIL(err, "", "inflates to more than %zu bytes from %zu; refused as a decompression bomb", limit, n_bytes);
        goto done;
    }
    *out   = plain;
    *n_out = n;
    plain  = NULL;
    ok     = true;
done:
    if (inflating) inflateEnd(&z);
    free(plain);
    return ok;
}
