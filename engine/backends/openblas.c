/* Products by OpenBLAS, called with one thread from each of ours; everything else by engine/backends/parallel.h.
 *
 * The output is split into contiguous rows or columns, one part a thread. A part goes through the BLAS in chunks of rows
 * whose output is still in cache when bias, GELU and residual are applied to it; a chunk costs one packing of B, so it is
 * tall. Splits and chunks depend on the sizes and on omp_get_max_threads() alone.
 * The only file that knows cblas.h. */
#include "engine/backends/blas_info.h"

#ifdef REAL_DOUBLE

bool blas_info(BlasInfo *out) {
    (void)out;
    return false;
}

#else

#include "engine/backends/parallel.h"
#include "engine/error.h"
#include "engine/simd/rows.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdatomic.h>
#include <string.h>

enum {
    ROW_UNIT = 8, COLUMN_UNIT = 16,      /* parts begin at multiples of the BLAS kernels' tiles */
    PART_MACS = 1 << 18,                 /* least work of a part: about as long as it takes to wake a thread */
    CHUNK_ROWS = 1024,                   /* fewer, and packing B for each chunk costs more than a cold epilogue: */
    CHUNK_FLOATS = 1 << 19,              /* 256 rows lose 2 to 8 %; but 2 MiB of output where rows are short */
    TILE_ROWS = 32, TILE_COLUMNS = 256
};

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* c (m,n) = rows m0.. of A times columns n0.. of B, + beta c */
static void product(const Gemm *g, int64_t m0, int64_t m, int64_t n0, int64_t n, float beta, float *c, int64_t ldc) {
    cblas_sgemm(CblasRowMajor, g->trans_a ? CblasTrans : CblasNoTrans, g->trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
                (int)g->K, 1.0f, g->a + (g->trans_a ? m0 : m0 * g->lda), (int)larger(1, g->lda),
                g->b + (g->trans_b ? n0 * g->ldb : n0), (int)larger(1, g->ldb), beta, c, (int)ldc);
}


/* The residual is c itself and something comes between product and sum: the product may not pass through c. */
static void through_tiles(const Gemm *g, int64_t m0, int64_t m, int64_t n0, int64_t n) {
    float tile[TILE_ROWS * TILE_COLUMNS];
    for (int64_t i = 0; i < m; i += TILE_ROWS)
        for (int64_t j = 0; j < n; j += TILE_COLUMNS) {
            const int64_t height = smaller(TILE_ROWS, m - i), width = smaller(TILE_COLUMNS, n - j);
            for (int64_t r = 0; g->beta != 0 && r < height; r++)
                memcpy(tile + r * width, g->c + (m0 + i + r) * g->ldc + n0 + j, (size_t)width * sizeof *tile);
            product(g, m0 + i, height, n0 + j, width, g->beta, tile, width);
            for (int64_t r = 0; r < height; r++) {
                const int64_t row = m0 + i + r, column = n0 + j;
                float        *c   = g->c + row * g->ldc + column;
                simd_rows()->bias_gelu_row(width, g->bias == NULL ? NULL : g->bias + column, tile + r * width,
                                           g->pre_activation == NULL ? NULL : g->pre_activation + row * g->N + column,
                                           g->activation == ACTIVATION_GELU, g->residual + row * g->N + column);
                memcpy(c, tile + r * width, (size_t)width * sizeof *c);
            }
        }
}

static void through_chunks(const Gemm *g, int64_t m0, int64_t m, int64_t n0, int64_t n) {
    const float  *residual = g->residual;
    float         beta     = g->beta;
    if (residual == g->c) {              /* c + product + bias: the residual is one more beta */
        residual = NULL;
        beta     = beta + 1;
    }
    const bool    epilogue = g->bias != NULL || g->pre_activation != NULL || g->activation != ACTIVATION_NONE || residual != NULL;
    const int64_t most     = larger(CHUNK_ROWS, CHUNK_FLOATS / n), n_chunks = epilogue ? (m + most - 1) / most : 1;
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        const int64_t first = parallel_first(m, ROW_UNIT, (int)chunk, (int)n_chunks),
                      end   = parallel_first(m, ROW_UNIT, (int)chunk + 1, (int)n_chunks);
        if (first == end) continue;
        product(g, m0 + first, end - first, n0, n, beta, g->c + (m0 + first) * g->ldc + n0, g->ldc);
        for (int64_t row = m0 + first; epilogue && row < m0 + end; row++)
            simd_rows()->bias_gelu_row(n, g->bias == NULL ? NULL : g->bias + n0, g->c + row * g->ldc + n0,
                                       g->pre_activation == NULL ? NULL : g->pre_activation + row * g->N + n0,
                                       g->activation == ACTIVATION_GELU, residual == NULL ? NULL : residual + row * g->N + n0);
    }
}

static void block(const Gemm *g, int64_t m0, int64_t m, int64_t n0, int64_t n) {
    if (m <= 0 || n <= 0) return;
    const bool between = g->pre_activation != NULL || g->activation != ACTIVATION_NONE;
    if (g->residual != NULL && g->residual == g->c && between) through_tiles(g, m0, m, n0, n);
    else                                                       through_chunks(g, m0, m, n0, n);
}

static void check_sizes(const Gemm *g) {
    const int64_t sizes[] = {g->M, g->N, g->K, g->lda, g->ldb, g->ldc};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(sizes[i] >= 0 && sizes[i] <= INT_MAX, "gemm: %lld is no size for a BLAS (M %lld, N %lld, K %lld)",
              (long long)sizes[i], (long long)g->M, (long long)g->N, (long long)g->K);
    CHECK(g->lda >= (g->trans_a ? g->M : g->K) && g->ldb >= (g->trans_b ? g->K : g->N) && g->ldc >= g->N,
          "gemm: rows of A, B, C are %lld, %lld, %lld apart with M %lld, N %lld, K %lld", (long long)g->lda,
          (long long)g->ldb, (long long)g->ldc, (long long)g->M, (long long)g->N, (long long)g->K);
    CHECK(g->residual != g->c || g->c == NULL || g->ldc == g->N, "gemm: residual is c, whose rows are %lld apart, not %lld",
          (long long)g->ldc, (long long)g->N);
}

/* An OpenBLAS built with threads of its own obeys this call; one built with OpenMP also changes our thread count, which is
 * put back, and then looks at that count and at omp_in_parallel() instead. */
static void set_one_blas_thread(void) {
    static atomic_bool done;
    if (atomic_exchange(&done, true)) return;
    const int threads = omp_get_max_threads();
    openblas_set_num_threads(1);
    omp_set_num_threads(threads);
}

static void gemm(const Gemm *g) {
    check_sizes(g);
    if (g->M == 0 || g->N == 0) return;
    set_one_blas_thread();
    const bool    by_rows  = g->M >= g->N;
    const int64_t unit     = by_rows ? ROW_UNIT : COLUMN_UNIT, split = by_rows ? g->M : g->N;
    const int64_t unit_macs = larger(1, unit * (by_rows ? g->N : g->M) * g->K);
    const int     parts    = parallel_parts((split + unit - 1) / unit, (PART_MACS + unit_macs - 1) / unit_macs);
    if (parts > 1) {
        PARALLEL_PARTS(part, parts) {
            const int64_t first = parallel_first(split, unit, part, parts), end = parallel_first(split, unit, part + 1, parts);
            if (by_rows) block(g, first, end - first, 0, g->N);
            else         block(g, 0, g->M, first, end - first);
        }
    } else {
        const bool outside = !omp_in_parallel();
        const int  threads = omp_get_max_threads();
        if (outside) omp_set_num_threads(1);
        block(g, 0, g->M, 0, g->N);
        if (outside) omp_set_num_threads(threads);
    }
}

/* A BLAS has nothing for attention: the fused loops of the backend `packed`. */
static void attention(const AttentionArgs *a) { backend_packed.attention(a); }
static void attention_backward(const AttentionArgs *a) { backend_packed.attention_backward(a); }
static void policy_attention(const PolicyAttentionArgs *p) { backend_packed.policy_attention(p); }
static void policy_attention_backward(const PolicyAttentionArgs *p) { backend_packed.policy_attention_backward(p); }

bool blas_info(BlasInfo *out) {
    *out = (BlasInfo){.library = "OpenBLAS",
                      .config  = openblas_get_config(),
                      .core    = openblas_get_corename(),
                      .threads = openblas_get_num_threads()};
    return true;
}

const Backend backend_openblas = {
    .name = "openblas",
    .help = "OpenBLAS for products, own vector loops for the rest, every OpenMP thread",
    .gemm = gemm,
    .attention = attention,
    .attention_backward = attention_backward,
    .policy_attention = policy_attention,
    .policy_attention_backward = policy_attention_backward,
    PARALLEL_FIELDS
};

#endif
