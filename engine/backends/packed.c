/* Products on packed weights and attention per head, by the kernels of engine/simd; everything else by
 * engine/backends/parallel.h.
 *
 * A product is cut into blocks of output, whole register tiles each, that go to the threads in a fixed order; a block is
 * finished, bias, GELU and residual included, while it is in cache. Where B is a parameter its packed copy is kept
 * (packed.h); elsewhere each thread packs what it needs of B, in pieces of K. The gradient of a weight (trans_a, K = rows of
 * the batch) packs A as well, without transposing it; for small weights K itself is shared among the threads, and their
 * sums are added in order.
 *
 * The bits of an output row do not depend on M, nor on the thread count unless K was cut. */
#ifndef REAL_DOUBLE

#include "engine/backends/packed.h"
#include "engine/backends/parallel.h"
#include "engine/scratch.h"
#include "engine/simd/attention.h"
#include "engine/simd/policy.h"
#include "engine/simd/rows.h"

#include <omp.h>
#include <string.h>

enum {
    BLOCK_ROWS    = 224,          /* with BLOCK_COLUMNS: 168 KiB of output stay in L2 */
    BLOCK_COLUMNS = 192,
    WHOLE_FLOATS  = 1 << 22,      /* B up to 16 MiB is packed whole for one call when the epilogue then runs block by block */
    CUT_OUTPUTS   = 1 << 18,      /* K is cut only for outputs up to 1 MiB: each part has its own sums */
    WORTH_THREADS = 100000        /* multiply-adds below which one thread is faster */
};

/* How a product is shared out. Block (r, c) has tiles [first_tile(r), first_tile(r+1)) and likewise panels. */
typedef struct Plan {
    int     threads, block_threads;     /* all; those that share the blocks of one part of K */
    int64_t tiles, panels;              /* of mr rows, of nr columns */
    int64_t row_blocks, column_blocks;
    int64_t k_parts;
} Plan;

typedef struct Range { int64_t first, end; } Range;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t smaller(int64_t a, int64_t b)  { return a < b ? a : b; }

/* Part i of n of `units`, in items: parts differ by one unit, units by one item. */
static Range share(int64_t items, int64_t units, int64_t i, int64_t n) {
    return (Range){items * (units * i / n) / units, items * (units * (i + 1) / n) / units};
}

static Range block_rows(const Gemm *g, const Plan *p, int64_t i) { return share(g->M, p->tiles, i, p->row_blocks); }
static Range block_columns(const Gemm *g, const SimdVariant *v, const Plan *p, int64_t i) {
    const int64_t nr = v->gemm.nr, first = p->panels * i / p->column_blocks, end = p->panels * (i + 1) / p->column_blocks;
    return (Range){first * nr, smaller(end * nr, g->N)};
}

/* Time in units of one register tile: the slowest thread's blocks, each with a price for fetching its B and A and for
 * starting. These prices are estimates; they only break ties between equally balanced cuts. */
static void choose_blocks(Plan *p, const SimdVariant *v) {
    const int64_t most_tiles = BLOCK_ROWS / v->gemm.mr, most_panels = BLOCK_COLUMNS / v->gemm.nr;
    double        best = -1;
    for (int64_t tall = smaller(most_tiles, p->tiles); tall >= 1; tall--)
        for (int64_t wide = smaller(most_panels, p->panels); wide >= 1; wide--) {
            const int64_t rows = ceil_div(p->tiles, tall), columns = ceil_div(p->panels, wide);
            const double  block   = (double)(tall * wide) + 0.3 * (double)wide + 0.1 * (double)tall + 0.3;
            const double  slowest = (double)ceil_div(rows * columns, p->block_threads) * block;
            if (best < 0 || slowest < best) {
                best = slowest;
                p->row_blocks    = rows;
                p->column_blocks = columns;
            }
            if (p->block_threads == 1) return;
        }
}

/* K is cut for small outputs of long sums (gradients of weights): then every thread packs only what it alone needs. A part
 * has at least two pieces of max_k, so that adding the parts up stays cheap, and parts divide the threads. */
static Plan make_plan(const Gemm *g, const SimdVariant *v) {
    Plan p = {.tiles = ceil_div(g->M, v->gemm.mr), .panels = ceil_div(g->N, v->gemm.nr), .k_parts = 1};
    p.threads = omp_in_parallel() || (double)g->M * (double)g->N * (double)g->K < WORTH_THREADS ? 1 : omp_get_max_threads();
    if (g->parameter == NULL && g->M * g->N <= CUT_OUTPUTS)
        for (p.k_parts = p.threads; p.k_parts > 1 && (p.threads % p.k_parts != 0 || g->K < 2 * v->max_k * p.k_parts);) p.k_parts--;
    p.block_threads = p.threads / (int)p.k_parts;
    choose_blocks(&p, v);
    return p;
}

/* x (n) holds the product of row m, columns from n0 */
static void finish_row(const Gemm *g, int64_t m, int64_t n0, int64_t n, float *x, const float *residual) {
    simd_rows()->bias_gelu_row(n, g->bias == NULL ? NULL : g->bias + n0, x,
                               g->pre_activation == NULL ? NULL : g->pre_activation + m * g->N + n0,
                               g->activation == ACTIVATION_GELU, residual == NULL ? NULL : residual + m * g->N + n0);
}

static bool has_epilogue(const Gemm *g) {
    return g->bias != NULL || g->pre_activation != NULL || g->activation != ACTIVATION_NONE || g->residual != NULL;
}

/* C (rows, columns) = A[.., ks] B[ks, ..] + beta C. packed: B[ks, ..]; n_columns: all of B's. */
static void product(const Gemm *g, const SimdVariant *v, Range rows, Range columns, Range ks, const float *packed, float beta,
                    float *c, int64_t ldc) {
    const int64_t K = ks.end - ks.first;
    const float  *a = g->trans_a ? g->a + ks.first * g->lda + rows.first : g->a + rows.first * g->lda + ks.first;
    (g->trans_a ? v->multiply_transposed : v->gemm.multiply)(rows.end - rows.first, columns.end - columns.first, K, a, g->lda,
                                                             packed + columns.first * K, beta, c, ldc);
}

/* The whole of K at once for one block, and its epilogue. */
static void finish_block(const Gemm *g, const SimdVariant *v, Range rows, Range columns, const float *packed) {
    const int64_t n = columns.end - columns.first;
    const Range   all = {0, g->K};
    float        *c = g->c + rows.first * g->ldc + columns.first;
    const bool    in_place = g->residual != NULL && g->residual == g->c;
    if (in_place && (g->beta != 0.0f || g->pre_activation != NULL || g->activation != ACTIVATION_NONE)) {
        /* the residual is needed after the product: the product may not pass through c */
        float *block = scratch_floats(SCRATCH_BLOCK, (size_t)((rows.end - rows.first) * n));
        if (block == NULL) return;
        for (int64_t m = rows.first; g->beta != 0.0f && m < rows.end; m++)
            memcpy(block + (m - rows.first) * n, g->c + m * g->ldc + columns.first, (size_t)n * sizeof *block);
        product(g, v, rows, columns, all, packed, g->beta, block, n);
        for (int64_t m = rows.first; m < rows.end; m++) {
            finish_row(g, m, columns.first, n, block + (m - rows.first) * n, g->residual);
            memcpy(g->c + m * g->ldc + columns.first, block + (m - rows.first) * n, (size_t)n * sizeof *block);
        }
        return;
    }
    product(g, v, rows, columns, all, packed, in_place ? 1.0f : g->beta, c, g->ldc);
    if (!has_epilogue(g)) return;
    for (int64_t m = rows.first; m < rows.end; m++)
        finish_row(g, m, columns.first, n, g->c + m * g->ldc + columns.first, in_place ? NULL : g->residual);
}

/* Blocks of one column follow one another, so that their panels of B stay in L2. */
static void with_packed(const Gemm *g, const SimdVariant *v, const Plan *p, const float *packed) {
#pragma omp parallel for schedule(static) num_threads(p->threads) if (p->threads > 1)
    for (int64_t task = 0; task < p->row_blocks * p->column_blocks; task++)
        finish_block(g, v, block_rows(g, p, task % p->row_blocks), block_columns(g, v, p, task / p->row_blocks), packed);
}

/* What one thread computes of a product whose B is packed for the call: blocks first..end-1 in the order of with_packed,
 * over pieces `pieces` of K. packed_a (tiles of M, max_k; unused unless A is transposed) and packed_b (max_k, N) are its
 * own: sharing them would cost two barriers and the way from one core's cache to another's. */
typedef struct Share { Range blocks, pieces; float *packed_a, *packed_b; } Share;

/* sums (M,N), row distance ld: += the share's product, or = where beta is 0. Piece by piece of K, so that a column's panels
 * stay in L2 while its blocks of A pass. */
static void multiply_share(const Gemm *g, const SimdVariant *v, const Plan *p, const Share *own, float beta, float *sums,
                           int64_t ld) {
    const int64_t n_pieces = ceil_div(g->K, v->max_k), rb = p->row_blocks, last = own->blocks.end - 1;
    if (own->blocks.first > last) return;
    const bool    one_column = own->blocks.first / rb == last / rb;
    const int64_t from_row = one_column ? own->blocks.first % rb : 0, to_row = one_column ? last % rb + 1 : rb;
    const int64_t from_panel = p->panels * (own->blocks.first / rb) / p->column_blocks,
                  to_panel = p->panels * (last / rb + 1) / p->column_blocks;
    for (int64_t i = own->pieces.first; i < own->pieces.end; i++) {
        const Range   ks = {g->K * i / n_pieces, g->K * (i + 1) / n_pieces};
        const int64_t K = ks.end - ks.first;
        v->pack_panels(K, g->N, g->trans_b ? g->b + ks.first : g->b + ks.first * g->ldb, g->ldb, g->trans_b, from_panel, to_panel,
                       own->packed_b);
        if (g->trans_a)
            v->pack_a(g->M, K, g->a + ks.first * g->lda, g->lda, p->tiles * from_row / rb, p->tiles * to_row / rb, own->packed_a);
        for (int64_t block = own->blocks.first; block <= last; block++) {
            const int64_t row = block % rb;
            const Range   columns = block_columns(g, v, p, block / rb), rows = block_rows(g, p, row);
            if (g->trans_a)
                v->multiply_tiles(g->M, p->tiles * row / rb, p->tiles * (row + 1) / rb, columns.end - columns.first, K,
                                  own->packed_a, own->packed_b + columns.first * K, beta, sums + columns.first, ld);
            else
                product(g, v, rows, columns, ks, own->packed_b, beta, sums + rows.first * ld + columns.first, ld);
        }
        beta = 1.0f;
    }
}

/* sums: k_parts matrices (M,N); part 0 takes beta. Threads t .. of a part follow one another. */
static void in_pieces(const Gemm *g, const SimdVariant *v, const Plan *p, float beta, float *sums, int64_t ld) {
    const int64_t n_pieces = ceil_div(g->K, v->max_k), n_blocks = p->row_blocks * p->column_blocks;
#pragma omp parallel for schedule(static, 1) num_threads(p->threads) if (p->threads > 1)
    for (int t = 0; t < p->threads; t++) {
        const int64_t part = t / p->block_threads, of_part = t % p->block_threads, n = p->block_threads;
        const Share   own = {
            .blocks   = {n_blocks * of_part / n, n_blocks * (of_part + 1) / n},
            .pieces   = {n_pieces * part / p->k_parts, n_pieces * (part + 1) / p->k_parts},
            .packed_a = scratch_floats(SCRATCH_PACKED_A, g->trans_a ? (size_t)(p->tiles * v->gemm.mr * v->max_k) : 0),
            .packed_b = scratch_floats(SCRATCH_PACKED_B, (size_t)(p->panels * v->gemm.nr * v->max_k))};
        if (own.packed_a == NULL || own.packed_b == NULL) continue;
        multiply_share(g, v, p, &own, part == 0 ? beta : 0.0f, sums + part * g->M * g->N, ld);
    }
}

/* c = beta c + the sum over parts, in their order; then the epilogue */
static void add_parts(const Gemm *g, const Plan *p, float *sums) {
#pragma omp parallel for schedule(static) num_threads(p->threads) if (p->threads > 1)
    for (int64_t m = 0; m < g->M; m++) {
        float *c   = g->c + m * g->ldc;
        float *row = sums + m * g->N;           /* of part 0: takes the sum */
        for (int64_t part = 1; part < p->k_parts; part++)
            for (int64_t n = 0; n < g->N; n++) row[n] += sums[(part * g->M + m) * g->N + n];
        for (int64_t n = 0; g->beta != 0.0f && n < g->N; n++) row[n] += c[n];
        if (has_epilogue(g)) finish_row(g, m, 0, g->N, row, g->residual);
        memcpy(c, row, (size_t)g->N * sizeof *c);
    }
}

static void without_packed(const Gemm *g, const SimdVariant *v, const Plan *p) {
    if (p->k_parts == 1 && !has_epilogue(g)) {
        in_pieces(g, v, p, g->beta, g->c, g->ldc);
        return;
    }
    const int64_t all = g->K * p->panels * v->gemm.nr;
    if (p->k_parts == 1 && all <= WHOLE_FLOATS) {
        float *packed = scratch_floats(SCRATCH_PACKED_B, (size_t)all);
        if (packed == NULL) return;
#pragma omp parallel for schedule(static) num_threads(p->threads) if (p->threads > 1)
        for (int64_t panel = 0; panel < p->panels; panel++)
            v->pack_panels(g->K, g->N, g->b, g->ldb, g->trans_b, panel, panel + 1, packed);
        with_packed(g, v, p, packed);
        return;
    }
    float *sums = scratch_floats(SCRATCH_PARTIAL, (size_t)(p->k_parts * g->M * g->N));
    if (sums == NULL) return;
    in_pieces(g, v, p, 0.0f, sums, g->N);
    if (!scratch_failed()) add_parts(g, p, sums);
}

static void gemm(const Gemm *g) {
    if (g->M <= 0 || g->N <= 0) return;
    const SimdVariant *v = simd_variant();
    const Plan         p = make_plan(g, v);
    const float       *packed = g->K > 0 ? packed_weights(g) : NULL;
    if (packed != NULL || g->K <= 0) with_packed(g, v, &p, packed != NULL ? packed : g->c);
    else without_packed(g, v, &p);
}

static void attention(const AttentionArgs *a)          { simd_attention(simd_variant(), a); }
static void attention_backward(const AttentionArgs *a) { simd_attention_backward(simd_variant(), a); }

static void policy_attention(const PolicyAttentionArgs *p)          { simd_policy_attention(simd_variant(), p); }
static void policy_attention_backward(const PolicyAttentionArgs *p) { simd_policy_attention_backward(simd_variant(), p); }

const Backend backend_packed = {
    .name               = "packed",
    .help               = "own AVX-512, AVX2 or portable kernels; weights packed once, attention fused per head",
    .gemm               = gemm,
    .attention          = attention,
    .attention_backward = attention_backward,
    .policy_attention          = policy_attention,
    .policy_attention_backward = policy_attention_backward,
    PARALLEL_FIELDS
};

#endif
