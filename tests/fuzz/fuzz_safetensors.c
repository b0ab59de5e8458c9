/* Fuzz target: any bytes as a safetensors file. Refused with an error that says something, or accepted and then
 * sound; nothing else. Build with -fsanitize=fuzzer, or with replay.c to run the corpus as an ordinary test. */
#include "tests/safetensors_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    SafeFile *file = NULL;
    Error     err  = {0};
    if (!safetensors_parse(&file, bytes, n, &err)) {
        CHECK(file == NULL && err.message[0] != '\0' && err.exit_status == EXIT_BAD_INPUT, "refused without a word");
        return 0;
    }
    const char *broken = broken_invariant(file, bytes, n);
    CHECK(broken == NULL, "accepted, although not so: %s", broken);
    safetensors_close(file);
    return 0;
}
