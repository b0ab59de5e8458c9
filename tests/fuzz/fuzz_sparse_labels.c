/* Fuzz target: any bytes as a package of stored labels: first byte K, second the number of classes, then the keys up to a zero
 * byte, then the records. Refused with an error that says something, or accepted and then every row sums to 1. Build with
 * -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "harness/data/sparse_labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    if (n < 3) return 0;
    const int      K = bytes[0] % 16 + 1, n_classes = K + bytes[1] % 16;
    const uint8_t *keys = bytes + 2, *zero = memchr(keys, 0, n - 2);
    const size_t   n_keys = zero != NULL ? (size_t)(zero - keys) : n - 2, used = 2 + n_keys + (zero != NULL);
    SparseEntry   *e   = NULL;
    Error          err = {0};
    const int64_t  n_entries = sparse_parse((const char *)keys, n_keys, bytes + used, n - used, K, n_classes, &e, &err);
    if (n_entries < 0) {
        CHECK(e == NULL && err.message[0] != '\0', "refused without a word");
        return 0;
    }
    for (int64_t i = 0; i < n_entries; i++) {
        float  row[32];
        double sum = 0;
        sparse_expand(&e[i], K, n_classes, row);
        for (int c = 0; c < n_classes; c++) {
            CHECK(row[c] >= 0 && row[c] <= 1.001f, "a target of %g", (double)row[c]);
            sum += (double)row[c];
        }
        CHECK(fabs(sum - 1) < 1e-5, "targets sum to %g", sum);
    }
    free(e);
    return 0;
}
