/* Per-thread working memory of kernels: one block a slot, freed by a pthread key when its thread ends. */
#include "engine/scratch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct Block { float *data; size_t n; } Block;

/* 1 TiB: more is a mistake or an overflow, and not worth asking for. */
static const size_t most_floats = (size_t)1 << (sizeof(size_t) > 4 ? 38 : 28);

static _Thread_local Block blocks[SCRATCH_SLOTS];
static _Thread_local bool  registered;
static atomic_bool         failed;
static _Atomic int64_t     bytes;
static pthread_key_t       key;
static pthread_once_t      key_once = PTHREAD_ONCE_INIT;
static bool                key_usable;

static void release(void *own_blocks) {
    Block *b = own_blocks;
    for (int i = 0; i < SCRATCH_SLOTS; i++) {
        atomic_fetch_sub(&bytes, (int64_t)(b[i].n * sizeof(float)));
        free(b[i].data);
        b[i] = (Block){0};
    }
}

static void create_key(void) { key_usable = pthread_key_create(&key, release) == 0; }

/* Without a key the memory is lost when its thread ends, but correct: no reason to fail. */
static void register_thread(void) {
    pthread_once(&key_once, create_key);
    if (key_usable) pthread_setspecific(key, blocks);
    registered = true;
}

float *scratch_floats(ScratchSlot slot, size_t n) {
    Block *b = &blocks[slot];
    if (b->data != NULL && n <= b->n) return b->data;
    if (!registered) register_thread();
    if (n < 1024) n = 1024;
    atomic_fetch_sub(&bytes, (int64_t)(b->n * sizeof(float)));
    free(b->data);
    *b = (Block){0};
    if (n > most_floats) {
        scratch_fail();
        return NULL;
    }
    const size_t whole = (n * sizeof(float) + 63) / 64 * 64;
    b->data = aligned_alloc(64, whole);
    if (b->data == NULL) {
        scratch_fail();
        return NULL;
    }
    b->n = whole / sizeof(float);
    atomic_fetch_add(&bytes, (int64_t)whole);
    return b->data;
}

void    scratch_fail(void)   { atomic_store(&failed, true); }
bool    scratch_failed(void) { return atomic_load(&failed); }
void    scratch_clear(void)  { atomic_store(&failed, false); }
int64_t scratch_bytes(void)  { return atomic_load(&bytes); }
