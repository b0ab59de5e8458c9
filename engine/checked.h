/* Arithmetic on sizes that come out of a file: every sum and product of such numbers goes through here, so that
 * none can wrap. All return false on overflow and leave *out alone then. */
#ifndef ENGINE_CHECKED_H
#define ENGINE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

/* The next multiple of `step` (> 0) that is not below a. */
static inline bool checked_round_up(uint64_t a, uint64_t step, uint64_t *out) {
    const uint64_t past = a % step;
    return checked_add(a, past == 0 ? 0 : step - past, out);
}

/* A 64-bit size as one of this machine's. */
static inline bool checked_size(uint64_t a, size_t *out) {
    if (a > SIZE_MAX) return false;
    *out = (size_t)a;
    return true;
}

#endif
