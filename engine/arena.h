/* Memory in stack order. Weights live in one arena as long as the model; a step's tensors in another until it ends.
 *
 * Blocks are 64-byte aligned. Under AddressSanitizer a gap after every block is poisoned, and so is what a rewind freed.
 * Grows by chunks that are kept for reuse, so that a steady step allocates nothing. Its high water is a metric. */
#ifndef ENGINE_ARENA_H
#define ENGINE_ARENA_H

#include "engine/error.h"

#include <stddef.h>

typedef struct Arena Arena;
typedef struct ArenaMark { int chunk; size_t used, total; } ArenaMark;

/* first_bytes: size of the first chunk, reserved at once. The caller owns it; release with arena_destroy. */
bool      arena_create(Arena **out, size_t first_bytes, Error *err);
void      arena_destroy(Arena *a);                       /* NULL is fine */

/* 64-byte aligned, uninitialised; NULL when memory is out. bytes 0 gives a valid pointer. */
void     *arena_alloc(Arena *a, size_t bytes);
void     *arena_zeroed(Arena *a, size_t bytes);

ArenaMark arena_mark(const Arena *a);
void      arena_rewind(Arena *a, ArenaMark mark);        /* frees all that was allocated since the mark */
/* The two halves of a rewind that moves blocks down: first the memory is handed back but stays readable, then whatever
 * was not allocated again since is poisoned. */
void      arena_rewind_keeping(Arena *a, ArenaMark mark);
void      arena_poison_rest(Arena *a, ArenaMark mark);
bool      arena_is_after(const Arena *a, ArenaMark mark, const void *p);  /* was p allocated since the mark? */
bool      arena_is_before(const Arena *a, const void *p, const void *q);  /* order in the arena; chunks have no order of addresses */

size_t    arena_bytes(const Arena *a);                   /* in use now */
size_t    arena_peak_bytes(const Arena *a);              /* high water since creation or arena_reset_peak */
void      arena_reset_peak(Arena *a);

#endif
