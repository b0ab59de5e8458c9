/* Arrays of floats that end exactly where readable memory ends: a read or write past the last element, even by a masked or
 * vector access that no sanitizer sees, is a fault. Values are drawn from [-1, 1). */
#ifndef TESTS_GUARDED_H
#define TESTS_GUARDED_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Guarded { float *data; void *map; size_t bytes; } Guarded;

static uint64_t guarded_state = 1;

static inline float random_float(void) {
    guarded_state = guarded_state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(guarded_state >> 32) * 0x1p-31f;
}

static inline Guarded guarded_floats(int64_t n) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (size_t)n * sizeof(float);
    Guarded      g = {.bytes = (used + page - 1) / page * page + page};
    g.map = mmap(NULL, g.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect((char *)g.map + g.bytes - page, page, PROT_NONE) != 0) abort();
    g.data = (float *)(void *)((char *)g.map + g.bytes - page - used);
    for (int64_t i = 0; i < n; i++) g.data[i] = random_float();
    return g;
}

static inline void guarded_free(Guarded *g) { munmap(g->map, g->bytes); }

#endif
