/* Fuzz target: any bytes as an IDX file, plain or gzip. Refused with an error that says something, or accepted and then the
 * dimensions multiply to exactly the bytes there are. Build with -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "harness/data/gunzip.h"
#include "harness/data/idx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void try_dims(const uint8_t *content, size_t n, int n_dims) {
    Idx   idx;
    Error err = {0};
    if (!idx_parse(&idx, content, n, n_dims, &err)) {
        CHECK(err.message[0] != '\0' && (err.exit_status == EXIT_BAD_INPUT || err.exit_status == EXIT_IO), "refused without a word");
        return;
    }
    int64_t n_elements = 1;
    for (int i = 0; i < n_dims; i++) n_elements *= idx.dim[i];
    CHECK(idx.data + n_elements == content + n, "accepted, but the data ends elsewhere");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    enum { MAX_BYTES = 4 << 20 };
    uint8_t *content = NULL;
    size_t   n_content;
    Error    err = {0};
    if (gunzip_is_gzip(bytes, n)) {
        if (!gunzip(bytes, n, MAX_BYTES, &content, &n_content, &err)) {
            CHECK(content == NULL && err.message[0] != '\0', "refused without a word");
            return 0;
        }
        CHECK(n_content <= MAX_BYTES, "inflated beyond the limit");
        bytes = content;
        n     = n_content;
    }
    for (int n_dims = 1; n_dims <= IDX_MAX_DIMS; n_dims++) try_dims(bytes, n, n_dims);
    free(content);
    return 0;
}
