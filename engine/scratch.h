/* Working memory of kernels: per thread, grown on demand, kept until the thread ends.
 *
 * Kernels have no way to report that memory ran out. They then leave their output as it was and the flag stays raised until
 * the tape asks. */
#ifndef ENGINE_SCRATCH_H
#define ENGINE_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Users that may hold memory at the same time in one thread. */
typedef enum ScratchSlot {
    SCRATCH_ATTENTION,        /* one (sequence, head) */
    SCRATCH_PACKED_B,         /* products: the packed right-hand side of one call */
    SCRATCH_PACKED_A,         /* and left-hand side */
    SCRATCH_PARTIAL,          /* products: sums of parts of K; attention: sums of bias gradients */
    SCRATCH_BLOCK,            /* products: one block of output before its epilogue */
    SCRATCH_ROWS,             /* partial sums of elementwise kernels */
    SCRATCH_SLOTS
} ScratchSlot;

/* At least n floats, aligned to 64 bytes, contents undefined; valid until the next call with this slot in this thread.
 * NULL when memory ran out, and the flag is raised. n = 0 gives a valid pointer. */
float  *scratch_floats(ScratchSlot slot, size_t n);

/* Raises the flag by hand: for kernels whose own allocations failed. */
void    scratch_fail(void);
/* Whether any thread failed since the last scratch_clear. */
bool    scratch_failed(void);
void    scratch_clear(void);

/* Bytes held now by all threads. */
int64_t scratch_bytes(void);

#endif
