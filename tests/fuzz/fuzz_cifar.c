/* Fuzz target: any bytes as a CIFAR file of two records; the first byte chooses CIFAR-10 or CIFAR-100. Refused with an error
 * that says something, or accepted with labels in range. Build with -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "harness/datasets/cifar.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const CifarFiles kinds[2] = {{.name = {"f"}, .n_files = 1, .n_records = 2, .n_label_bytes = 1, .n_labels = {10}},
                                        {.name = {"f"}, .n_files = 1, .n_records = 2, .n_label_bytes = 2, .n_labels = {20, 100}}};
    uint8_t pixels[2 * CIFAR_PIXEL_BYTES], labels[2];
    Error   err = {0};
    if (n == 0) return 0;
    const CifarFiles *kind = &kinds[bytes[0] & 1];
    if (!cifar_parse(kind, bytes + 1, n - 1, pixels, labels, &err)) {
        CHECK(err.message[0] != '\0' && (err.exit_status == EXIT_BAD_INPUT || err.exit_status == EXIT_IO), "refused without a word");
        return 0;
    }
    for (int i = 0; i < 2; i++) CHECK(labels[i] < kind->n_labels[kind->n_label_bytes - 1], "accepted label %d", labels[i]);
    return 0;
}
