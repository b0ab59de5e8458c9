/* Memory that runs out at a request of our choice. Link with -Wl,--wrap=... of the functions below (LDFLAGS_test_<file> in
 * the Makefile); then requests of the linked objects come through here, those of shared libraries do not.
 *   for (long nth = 0; ; nth++) {
 *       fail_request(nth, ONCE);
 *       ... the code under test ...
 *       if (fail_never() <= nth) break;          // nothing failed any more: every failure has been seen
 *   } */
#ifndef TESTS_FAILING_H
#define TESTS_FAILING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { ONCE, LASTING };      /* only that request fails, or it and all later ones */

static atomic_long n_requests;
static long        failing_request = -1;
static int         failing_how;

static inline void fail_request(long nth, int how) {
    atomic_store(&n_requests, 0);
    failing_request = nth;
    failing_how     = how;
}

/* Back to normal; how many requests came since fail_request. */
static inline long fail_never(void) {
    failing_request = -1;
    return atomic_load(&n_requests);
}

static inline bool request_fails(void) {
    if (failing_request < 0) return false;
    const long now = atomic_fetch_add(&n_requests, 1);
    return now == failing_request || (failing_how == LASTING && now > failing_request);
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);

void *__wrap_malloc(size_t bytes)                       { return request_fails() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t n, size_t bytes)             { return request_fails() ? NULL : __real_calloc(n, bytes); }
void *__wrap_realloc(void *p, size_t bytes)             { return request_fails() ? NULL : __real_realloc(p, bytes); }
void *__wrap_aligned_alloc(size_t align, size_t bytes)  { return request_fails() ? NULL : __real_aligned_alloc(align, bytes); }

#endif
