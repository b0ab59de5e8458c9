/* Memory in stack order: chunks that double, blocks on 64 bytes, poisoned when freed (arena.h has the rules). */
#include "engine/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifdef ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
enum { GAP_BYTES = 64 };
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { GAP_BYTES = 0 };
#endif

enum { ALIGN_BYTES = 64, MAX_CHUNKS = 48 };
static const size_t huge_page_bytes = (size_t)2 << 20;

typedef struct Chunk { unsigned char *memory; size_t size, used, readable; } Chunk;   /* [0, readable) is not poisoned */

struct Arena {
    Chunk  chunk[MAX_CHUNKS];
    int    n_chunks, current;
    size_t total, peak;
};

static size_t round_up(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

/* Chunks of a huge page or more are aligned to it and ask for huge pages: first touch then faults 512 times less. */
static bool chunk_add(Arena *a, size_t bytes) {
    if (a->n_chunks == MAX_CHUNKS || bytes > SIZE_MAX / 2) return false;
    const size_t step = bytes >= huge_page_bytes ? huge_page_bytes : (size_t)ALIGN_BYTES;
    const size_t size = round_up(bytes, step);
    unsigned char *memory = aligned_alloc(step, size);
    if (memory == NULL) return false;
    if (step == huge_page_bytes) (void)madvise(memory, size, MADV_HUGEPAGE);   /* advice: refusal changes nothing */
    POISON(memory, size);
    a->chunk[a->n_chunks++] = (Chunk){memory, size, 0, 0};
    return true;
}

bool arena_create(Arena **out, size_t first_bytes, Error *err) {
    Arena *a = calloc(1, sizeof *a);
    if (a == NULL || !chunk_add(a, first_bytes > 0 ? first_bytes : 1)) {
        free(a);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot reserve %zu bytes", first_bytes);
    }
    *out = a;
    return true;
}

void arena_destroy(Arena *a) {
    if (a == NULL) return;
    for (int i = 0; i < a->n_chunks; i++) {
        UNPOISON(a->chunk[i].memory, a->chunk[i].size);
        free(a->chunk[i].memory);
    }
    free(a);
}

void *arena_alloc(Arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 4) return NULL;
    const size_t need = round_up(bytes > 0 ? bytes : 1, ALIGN_BYTES) + GAP_BYTES;
    while (a->chunk[a->current].size - a->chunk[a->current].used < need) {
        if (a->current + 1 == a->n_chunks) {
            const size_t last = a->chunk[a->current].size;
            const size_t want = need > last * 2 ? need : last * 2;       /* doubling: few chunks however large the model */
            if (!chunk_add(a, want) && !chunk_add(a, need)) return NULL;
        }
        a->current++;
    }
    Chunk         *c = &a->chunk[a->current];
    unsigned char *p = c->memory + c->used;
    c->used  += need;
    a->total += need;
    if (a->total > a->peak) a->peak = a->total;
    UNPOISON(p, bytes > 0 ? bytes : 1);
    if (c->used > c->readable) c->readable = c->used;
    return p;
}

void *arena_zeroed(Arena *a, size_t bytes) {
    void *p = arena_alloc(a, bytes);
    if (p != NULL) memset(p, 0, bytes);
    return p;
}

ArenaMark arena_mark(const Arena *a) {
    return (ArenaMark){a->current, a->chunk[a->current].used, a->total};
}

void arena_rewind_keeping(Arena *a, ArenaMark mark) {
    CHECK(mark.chunk <= a->current && mark.total <= a->total, "arena_rewind: the mark is ahead of the arena");
    for (int i = mark.chunk; i <= a->current; i++) a->chunk[i].used = i == mark.chunk ? mark.used : 0;
    a->current = mark.chunk;
    a->total   = mark.total;
}

void arena_poison_rest(Arena *a, ArenaMark mark) {
    for (int i = mark.chunk; i < a->n_chunks; i++) {
        Chunk *c = &a->chunk[i];
        if (c->readable > c->used) POISON(c->memory + c->used, c->readable - c->used);
        c->readable = c->used;
    }
}

void arena_rewind(Arena *a, ArenaMark mark) {
    arena_rewind_keeping(a, mark);
    arena_poison_rest(a, mark);
}

bool arena_is_after(const Arena *a, ArenaMark mark, const void *p) {
    const unsigned char *at = p;
    for (int i = mark.chunk; i <= a->current; i++) {
        const Chunk  *c    = &a->chunk[i];
        const size_t  from = i == mark.chunk ? mark.used : 0;
        if (at >= c->memory + from && at < c->memory + c->used) return true;
    }
    return false;
}

static int chunk_of(const Arena *a, const void *p) {
    const unsigned char *at = p;
    for (int i = 0; i < a->n_chunks; i++)
        if (at >= a->chunk[i].memory && at < a->chunk[i].memory + a->chunk[i].size) return i;
    CHECK(false, "arena_is_before: not memory of this arena");
    return -1;
}

bool arena_is_before(const Arena *a, const void *p, const void *q) {
    const int i = chunk_of(a, p), j = chunk_of(a, q);
    return i < j || (i == j && (const unsigned char *)p < (const unsigned char *)q);
}

size_t arena_bytes(const Arena *a) { return a->total; }
size_t arena_peak_bytes(const Arena *a) { return a->peak; }
void   arena_reset_peak(Arena *a) { a->peak = a->total; }
