/* A fuzz target's corpus as an ordinary test: every file named runs through LLVMFuzzerTestOneInput, which aborts on a
 * finding. An empty corpus is not a pass, and a file that cannot be read is not skipped. */
#include "engine/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool replay_file(const char *path) {
    void  *bytes = NULL;
    size_t n     = 0;
    Error  err   = {0};
    char   text[1024];
    if (!file_read_all(path, SIZE_MAX, &bytes, &n, &err)) {
        error_text(&err, text, sizeof text);
        fprintf(stderr, "%s\n", text);
        return false;
    }
    uint8_t *exact = malloc(n); /* without the zero behind it, so that the sanitizer sees a read beyond the end */
    if (exact == NULL && n > 0) {
        fprintf(stderr, "%s: no memory for %zu bytes\n", path, n);
        free(bytes);
        return false;
    }
    if (n > 0) memcpy(exact, bytes, n);
    free(bytes);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return true;
}

int main(int argc, char **argv) {
    bool ok = argc > 1;
    for (int i = 1; i < argc; i++) ok = replay_file(argv[i]) && ok;
    printf("replayed %d inputs\n", argc - 1);
    return ok ? 0 : 1;
}
