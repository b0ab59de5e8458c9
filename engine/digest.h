/* Digests: SHA-256 for identity (the same that `sha256sum` prints), XXH64 for speed where nobody is hostile.
 * Texts are lower-case hexadecimal, zero-terminated.
 *
 * Ownership: sha256_create gives to the caller; sha256_destroy. */
#ifndef ENGINE_DIGEST_H
#define ENGINE_DIGEST_H

#include "engine/error.h"

#include <stddef.h>
#include <stdint.h>

enum { SHA256_TEXT_SIZE = 65 }; /* 64 digits and the zero */

/* A digest of bytes that come in pieces. A failure of an addition is remembered and told by sha256_finish, after
 * which the digest can only be destroyed. */
typedef struct Sha256 Sha256;
bool sha256_create(Sha256 **out, Error *err);
void sha256_add(Sha256 *sum, const void *bytes, size_t n);
bool sha256_finish(Sha256 *sum, char text[SHA256_TEXT_SIZE], Error *err);
void sha256_destroy(Sha256 *sum); /* NULL is fine */

bool digest_sha256(const void *bytes, size_t n, char text[SHA256_TEXT_SIZE], Error *err);

/* Of a regular file, read in pieces. */
bool digest_sha256_file(const char *path, char text[SHA256_TEXT_SIZE], Error *err);

/* XXH64, seed 0. */
uint64_t digest_xxh64(const void *bytes, size_t n);

#endif
