/* Bytes as a file, for readers that take a path: a file in memory, the same one for every input. */
#ifndef TESTS_FUZZ_BYTES_FILE_H
#define TESTS_FUZZ_BYTES_FILE_H

#include "engine/error.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static inline const char *bytes_file(const void *bytes, size_t n) {
    static int  fd = -1;
    static char path[32];
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, bytes, n, 0) == (ssize_t)n, "no file in memory");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

#endif
