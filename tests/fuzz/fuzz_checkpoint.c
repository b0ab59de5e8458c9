/* Fuzz target: a checkpoint. First byte even: the bytes behind it are the file. Odd: they are the state of a run, up to a zero byte, then the
 * bytes of its one tensor; header and digest are made to fit. Whole, or damaged with a reason. Build with -fsanitize=fuzzer, or with replay.c to
 * run the corpus. */
#include "harness/train/checkpoint.h"

#include "engine/digest.h"
#include "engine/json.h"
#include "tests/fuzz/bytes_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static uint64_t digest_add(uint64_t sum, const void *bytes, size_t n) {
    const uint64_t pair[2] = {sum, digest_xxh64(bytes, n)};
    return digest_xxh64(pair, sizeof pair);
}

/* A whole checkpoint around a state; NULL: the state is not UTF-8. *n_file: its bytes. */
static uint8_t *made(const char *state, const uint8_t *tensor, size_t n_tensor, size_t *n_file) {
    char    digest[17];
    json_t *header = json_pack("{s{ss ss} s{ss s[I] s[ii]}}", "__metadata__", "state", state, "digest", "", "weight.one", "dtype", "U8", "shape", (json_int_t)n_tensor, "data_offsets",
                               0, (int)n_tensor);
    if (header == NULL) return NULL;
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)digest_add(digest_add(0, state, strlen(state)), tensor, n_tensor));
    json_object_set_new(json_object_get(header, "__metadata__"), "digest", json_string(digest));
    char          *text = json_dumps(header, JSON_COMPACT);
    const uint64_t size = strlen(text);
    uint8_t       *file = malloc(8 + size + n_tensor);
    CHECK(file != NULL, "no memory");
    memcpy(file, &size, 8);
    memcpy(file + 8, text, size);
    memcpy(file + 8 + size, tensor, n_tensor);
    *n_file = 8 + size + n_tensor;
    free(text);
    json_decref(header);
    return file;
}

static void check(const uint8_t *bytes, size_t n, bool must_fit) {
    char  why[600] = "", settings[17] = "";
    bool  good = false;
    Error err  = {0};
    if (!checkpoint_check(bytes_file(bytes, n), settings, &good, why, &err)) {
        CHECK(err.message[0] != '\0', "refused without a word");
        return;
    }
    CHECK(good || why[0] != '\0', "damaged without a word");
    CHECK(!must_fit || strstr(why, "digest does not fit") == NULL, "the digest of the target is not the program's");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    if (n == 0) return 0;
    if (bytes[0] % 2 == 0) {
        check(bytes + 1, n - 1, false);
        return 0;
    }
    const uint8_t *zero    = memchr(bytes + 1, 0, n - 1);
    const size_t   n_state = zero != NULL ? (size_t)(zero - bytes - 1) : n - 1, used = 1 + n_state + (zero != NULL);
    size_t         n_file  = 0;
    char          *state   = malloc(n_state + 1);
    CHECK(state != NULL, "no memory");
    memcpy(state, bytes + 1, n_state);
    state[n_state] = '\0';
    uint8_t *file = made(state, bytes + used, n - used, &n_file);
    if (file != NULL) check(file, n_file, true);
    free(file);
    free(state);
    return 0;
}
