/* SHA-256 through libcrypto (which uses the processor's instructions for it), XXH64 through libxxhash; the one file
 * that includes either. */
#include "engine/digest.h"

#include "engine/file.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { SHA256_BYTES = 32, PIECE_BYTES = 1 << 20 };

struct Sha256 {
    EVP_MD_CTX *context;
    bool        failed;
};

bool sha256_create(Sha256 **out, Error *err) {
    Sha256 *sum = calloc(1, sizeof *sum);
    if (sum == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "SHA-256: out of memory");
    sum->context = EVP_MD_CTX_new();
    if (sum->context == NULL || EVP_DigestInit_ex(sum->context, EVP_sha256(), NULL) != 1) {
        sha256_destroy(sum);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "libcrypto has no SHA-256 for us");
    }
    *out = sum;
    return true;
}

void sha256_add(Sha256 *sum, const void *bytes, size_t n) {
    if (n > 0 && EVP_DigestUpdate(sum->context, bytes, n) != 1) sum->failed = true;
}

bool sha256_finish(Sha256 *sum, char text[SHA256_TEXT_SIZE], Error *err) {
    static const char digits[] = "0123456789abcdef";
    unsigned char     bytes[EVP_MAX_MD_SIZE];
    unsigned          n = 0;
    if (sum->failed || EVP_DigestFinal_ex(sum->context, bytes, &n) != 1 || n != SHA256_BYTES)
        return FAIL_STATUS(err, EXIT_MACHINE, "", "libcrypto failed to compute a SHA-256");
    for (int i = 0; i < SHA256_BYTES; i++) {
        text[2*i]     = digits[bytes[i] >> 4];
        text[2*i + 1] = digits[bytes[i] & 15];
    }
    text[2*SHA256_BYTES] = '\0';
    return true;
}

void sha256_destroy(Sha256 *sum) {
    if (sum == NULL) return;
    EVP_MD_CTX_free(sum->context);
    free(sum);
}

bool digest_sha256(const void *bytes, size_t n, char text[SHA256_TEXT_SIZE], Error *err) {
    Sha256 *sum = NULL;
    if (!sha256_create(&sum, err)) return false;
    sha256_add(sum, bytes, n);
    const bool ok = sha256_finish(sum, text, err);
    sha256_destroy(sum);
    return ok;
}

bool digest_sha256_file(const char *path, char text[SHA256_TEXT_SIZE], Error *err) {
    bool     ok    = false;
    int      fd    = -1;
    uint64_t left  = 0;
    Sha256  *sum   = NULL;
    char    *piece = NULL;
    if (!file_open_read(&fd, &left, path, err)) return false;
    if (!sha256_create(&sum, err)) {
        error_in(err, path);
        goto done;
    }
    if ((piece = malloc(PIECE_BYTES)) == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "SHA-256: out of memory");
        error_in(err, path);
        goto done;
    }
    while (left > 0) {
        const size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        if (!file_read_exactly(fd, piece, n, path, err)) goto done;
        sha256_add(sum, piece, n);
        left -= n;
    }
    if (!file_read_end(fd, path, err)) goto done;
    if (!sha256_finish(sum, text, err)) {
        error_in(err, path);
        goto done;
    }
    ok = true;
done:
    close(fd);
    free(piece);
    sha256_destroy(sum);
    return ok;
}

uint64_t digest_xxh64(const void *bytes, size_t n) {
    return XXH64(n > 0 ? bytes : "", n, 0);
}
