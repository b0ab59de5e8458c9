/* The packed copies of parameters: a hash table with open addressing, never more than half full. */
#include "engine/backends/packed.h"

#ifdef REAL_DOUBLE

int64_t packed_bytes(void)  { return 0; }
void    packed_forget(void) {}

#else

#include "engine/simd/variants.h"

#include <stdlib.h>

typedef struct Copy {
    const Tensor *parameter;      /* NULL: an empty place */
    const float  *b;
    int64_t       K, N, ldb;
    bool          trans_b;
    uint64_t      version;
    float        *panels;
} Copy;

static struct { Copy *place; size_t n_places, n_used; int64_t bytes; } table;

static int64_t panels_of(int64_t N) { const int nr = simd_gemm()->nr; return (N + nr - 1) / nr; }

static size_t hash(const Tensor *parameter, const float *b, bool trans_b) {
    uint64_t h = (uint64_t)(uintptr_t)parameter * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)b;
    h = (h + trans_b) * 0xbf58476d1ce4e5b9u;
    return (size_t)(h ^ h >> 32);
}

static bool holds(const Copy *c, const Gemm *g) {
    return c->parameter == g->parameter && c->b == g->b && c->K == g->K && c->N == g->N && c->ldb == g->ldb &&
           c->trans_b == g->trans_b;
}

/* Where g's copy is, or the empty place where it belongs. */
static Copy *find(const Gemm *g) {
    size_t i = hash(g->parameter, g->b, g->trans_b) & (table.n_places - 1);
    while (table.place[i].parameter != NULL && !holds(&table.place[i], g)) i = (i + 1) & (table.n_places - 1);
    return &table.place[i];
}

static bool make_room(void) {
    if (2 * (table.n_used + 1) <= table.n_places) return true;
    const size_t n_new = table.n_places == 0 ? 64 : 2 * table.n_places;
    Copy        *place = calloc(n_new, sizeof *place);
    if (place == NULL) return false;
    for (size_t i = 0; i < table.n_places; i++) {
        const Copy *c = &table.place[i];
        if (c->parameter == NULL) continue;
        size_t j = hash(c->parameter, c->b, c->trans_b) & (n_new - 1);
        while (place[j].parameter != NULL) j = (j + 1) & (n_new - 1);
        place[j] = *c;
    }
    free(table.place);
    table.place    = place;
    table.n_places = n_new;
    return true;
}

static void pack(const Copy *c) {
    const SimdVariant *variant  = simd_variant();
    const int64_t      n_panels = panels_of(c->N);
#pragma omp parallel for schedule(static) if (c->K * c->N > 20000)
    for (int64_t p = 0; p < n_panels; p++) variant->pack_panels(c->K, c->N, c->b, c->ldb, c->trans_b, p, p + 1, c->panels);
}

const float *packed_weights(const Gemm *g) {
    if (g->parameter == NULL || !make_room()) return NULL;
    Copy *c = find(g);
    if (c->parameter == NULL) {
        const size_t bytes  = (size_t)(panels_of(g->N) * simd_gemm()->nr * g->K) * sizeof(float);
        float       *panels = aligned_alloc(64, (bytes + 63) / 64 * 64);
        if (panels == NULL) return NULL;
        *c = (Copy){g->parameter, g->b, g->K, g->N, g->ldb, g->trans_b, g->parameter->version, panels};
        table.n_used++;
        table.bytes += (int64_t)bytes;
        pack(c);
    } else if (c->version != g->parameter->version) {
        c->version = g->parameter->version;
        pack(c);
    }
    return c->panels;
}

int64_t packed_bytes(void) { return table.bytes; }

void packed_forget(void) {
    for (size_t i = 0; i < table.n_places; i++) free(table.place[i].panels);
    free(table.place);
    table.place    = NULL;
    table.n_places = table.n_used = 0;
    table.bytes    = 0;
}

#endif
