/* Products on packed panels, for the instruction set of the file that includes this, which first defines
 *
 *   EACH_ROW(DO)        DO(0) DO(1) .. DO(MR-1)
 *   MR                  rows of the register tile, at most 14; the tile is NR = 2 VEC_WIDTH columns wide
 *
 * Order of sums: an element of C is one chain of multiply-adds over k = 0, 1, .. inside each block of K, and the blocks
 * depend on K alone. So the bits of a row do not depend on M, on its place in the matrix or on how a caller split M or N.
 *
 * Blocking: K in blocks of at most KC, so that MR rows of A (21 KiB) stay in L1; N in blocks of NC columns, so that the
 * panels of a block (288 KiB) stay in L2 while all rows of A pass. */
#include "engine/simd/variants.h"
#include "engine/simd/vector_math.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    NR = 2 * VEC_WIDTH,
    KC = 384,
    NC = 192,
    AHEAD = 32,                                                  /* rows of a panel, 4 KiB, that are asked for before they are needed: the
                                                                    hardware's own reading ahead stops at every page */
    A_STRIDE   = KC + 16,                                        /* floats; not a multiple of 4096 bytes */
    PACKED_ROW = (MR + VEC_WIDTH - 1) / VEC_WIDTH * VEC_WIDTH    /* what pack_row may load of a row */
};

/* How many of n elements the first vector takes; none when n < 0. */
INLINE int64_t part_of(int64_t n) { return n < 0 ? 0 : n < VEC_WIDTH ? n : VEC_WIDTH; }

/* Where element (i,k) of a tile's A lies. */
typedef enum Layout {
    ROWS_APART,      /* a[i stride + k] */
    ROWS_TOGETHER    /* a[i + k stride] */
} Layout;

typedef void Tile(int64_t K, const float *a, int64_t stride, const float *b, bool add, float *c, int64_t ldc, int64_t width);

/* Row i lies i strides (of bytes) from row 0. base + {1,2,4,8} * register reaches 14 rows with seven registers that hold odd
 * multiples of the stride, instead of fourteen running pointers. */
#ifdef __AVX2__
#define HIDE_MULTIPLES(a, b, c) __asm__("" : "+r"(a), "+r"(b), "+r"(c))    /* else each product would get a register */
#else
#define HIDE_MULTIPLES(a, b, c)
#endif
#define OFFSET_0  0
#define OFFSET_1  s1
#define OFFSET_2  s1 * 2
#define OFFSET_3  s3
#define OFFSET_4  s1 * 4
#define OFFSET_5  s5
#define OFFSET_6  s3 * 2
#define OFFSET_7  s7
#define OFFSET_8  s1 * 8
#define OFFSET_9  s9
#define OFFSET_10 s5 * 2
#define OFFSET_11 s11
#define OFFSET_12 s3 * 4
#define OFFSET_13 s13

/* C (rows, width) = A (rows,K) B + (add ? C : 0); b is one panel; (vecs-1) VEC_WIDTH < width <= vecs VEC_WIDTH. rows,
 * vecs and layout are constants where this is inlined, so that all but the wanted accumulators vanish. */
INLINE void tile(const int rows, const int vecs, const Layout layout, int64_t K, const float *a, int64_t stride,
                 const float *b, bool add, float *c, int64_t ldc, int64_t width) {
#define CLEAR(i) Vec c##i##_0 = vec_set1(0.0f), c##i##_1 = vec_set1(0.0f);
    EACH_ROW(CLEAR)
#undef CLEAR
    /* gone from L1 since the last block of K; the loop below hides the way from L2 */
    for (int i = 0; i < rows; i++) {
        __builtin_prefetch(c + i * ldc, 1);
        if (vecs > 1) __builtin_prefetch(c + i * ldc + VEC_WIDTH, 1);
    }
    int64_t       s1 = stride * 4, s3 = s1 * 3, s5 = s1 * 5;
    const int64_t s7 = s1 * 7, s9 = s1 * 9, s11 = s1 * 11, s13 = s1 * 13;
    (void)s3, (void)s5, (void)s7, (void)s9, (void)s11, (void)s13;
    for (int64_t k = 0; k < K; k++) {
        HIDE_MULTIPLES(s1, s3, s5);
        __builtin_prefetch(b + AHEAD * NR);
        if (vecs > 1) __builtin_prefetch(b + AHEAD * NR + VEC_WIDTH);
        const Vec b0 = vec_load(b), b1 = vecs > 1 ? vec_load(b + VEC_WIDTH) : b0;
#define MULTIPLY(i)                                                                                                  \
        if (rows > i) {                                                                                              \
            const Vec s = vec_set1(layout == ROWS_APART ? *(const float *)((const char *)a + OFFSET_##i) : a[i]);    \
            c##i##_0    = vec_fma(s, b0, c##i##_0);                                                                  \
            if (vecs > 1) c##i##_1 = vec_fma(s, b1, c##i##_1);                                                       \
        }
        EACH_ROW(MULTIPLY)
#undef MULTIPLY
        a += layout == ROWS_APART ? 1 : stride;
        b += NR;
    }
    const int64_t part = width - (vecs - 1) * VEC_WIDTH;        /* columns of the last vector */
    const bool    whole = part == VEC_WIDTH;
#define PUT(i)                                                                                        \
    if (rows > i) {                                                                                   \
        float *first = c + i * ldc, *second = first + VEC_WIDTH, *last = vecs > 1 ? second : first;   \
        Vec    sum   = vecs > 1 ? c##i##_1 : c##i##_0;                                                \
        if (vecs > 1) {                                                                               \
            if (add) c##i##_0 += vec_load(first);                                                     \
            vec_store(first, c##i##_0);                                                               \
        }                                                                                             \
        if (whole) {                                                                                  \
            if (add) sum += vec_load(last);                                                           \
            vec_store(last, sum);                                                                     \
        } else {                                                                                      \
            if (add) sum += vec_load_part(last, part, vec_set1(0.0f));                                \
            vec_store_part(last, part, sum);                                                          \
        }                                                                                             \
    }
    EACH_ROW(PUT)
#undef PUT
}

#define TILE_FUNCTION(name, rows, vecs, layout)                                                                  \
    static void name(int64_t K, const float *a, int64_t stride, const float *b, bool add, float *c, int64_t ldc, \
                     int64_t width) {                                                                            \
        tile(rows, vecs, layout, K, a, stride, b, add, c, ldc, width);                                           \
    }
#define TILE_FUNCTIONS(i)                                \
    TILE_FUNCTION(apart_##i##_1, i + 1, 1, ROWS_APART)   \
    TILE_FUNCTION(apart_##i##_2, i + 1, 2, ROWS_APART)   \
    TILE_FUNCTION(together_##i##_1, i + 1, 1, ROWS_TOGETHER) \
    TILE_FUNCTION(together_##i##_2, i + 1, 2, ROWS_TOGETHER)
EACH_ROW(TILE_FUNCTIONS)

/* [layout][vecs - 1][rows - 1] */
static Tile *const tiles[2][2][MR] = {
#define ENTRY(i) apart_##i##_1,
    {{EACH_ROW(ENTRY)},
#undef ENTRY
#define ENTRY(i) apart_##i##_2,
     {EACH_ROW(ENTRY)}},
#undef ENTRY
#define ENTRY(i) together_##i##_1,
    {{EACH_ROW(ENTRY)},
#undef ENTRY
#define ENTRY(i) together_##i##_2,
     {EACH_ROW(ENTRY)}},
#undef ENTRY
};

/* The rows of A start in so few sets of an 8-way L1 (64 lines of 64 bytes each way) that they would evict one another. */
static bool rows_collide(int64_t lda, int rows) {
    const int64_t lines = lda * 4 / 64;
    int64_t       g = 64;
    while (lines % g != 0) g /= 2;
    return lda * 4 % 64 == 0 && rows * g > 4 * 64;
}

/* Rows of a tile: of equal height but for one row, so that no short last tile is left over. */
typedef struct Rows { int64_t first, n; } Rows;

static int64_t tile_count(int64_t M) { return (M + MR - 1) / MR; }

INLINE Rows tile_rows(int64_t M, int64_t n_tiles, int64_t t) {
    const int64_t first = M * t / n_tiles;
    return (Rows){first, M * (t + 1) / n_tiles - first};
}

/* to[i] = from[i], i < rows <= MR; the rest of MR is undefined. readable: PACKED_ROW elements may be loaded. */
INLINE void pack_row(const float *from, int64_t rows, bool readable, float *to) {
    for (int64_t i = 0; i < MR; i += VEC_WIDTH)
        vec_store_part(to + i, MR - i < VEC_WIDTH ? MR - i : VEC_WIDTH,
                       readable ? vec_load(from + i) : vec_load_part(from + (i < rows ? i : 0), part_of(rows - i), vec_set1(0.0f)));
}

/* Tiles first..end-1 of A stored (K,M), side by side: element (i,k) of tile t goes to packed[(t K + k) MR + i]. A row's
 * elements of many tiles are moved before the next row's, so that memory is read in long runs. */
static void pack_a(int64_t M, int64_t K, const float *a, int64_t lda, int64_t first, int64_t end, float *packed) {
    enum { GROUP = 16 };
    for (int64_t t0 = first; t0 < end; t0 += GROUP) {
        const int64_t n = end - t0 < GROUP ? end - t0 : GROUP;
        Rows          r[GROUP];
        for (int64_t t = 0; t < n; t++) r[t] = tile_rows(M, tile_count(M), t0 + t);
        for (int64_t k = 0; k < K; k++)
            for (int64_t t = 0; t < n; t++)
                pack_row(a + k * lda + r[t].first, r[t].n, r[t].first + PACKED_ROW <= M, packed + ((t0 + t) * K + k) * MR);
    }
}

/* The part'th of `parts` of rows[n][kc], on its way to L2 while something else is computed. */
INLINE void prefetch_part(const float *from, int64_t stride, int64_t n, int64_t kc, int64_t part, int64_t parts) {
    for (int64_t i = n * part / parts; i < n * (part + 1) / parts; i++)
        for (int64_t k = 0; k < kc; k += 16) __builtin_prefetch(from + i * stride + k, 0, 2);
}

/* One tile of rows against panels that cover width columns. next: the rows of the following tile (next_rows, kc), which
 * are prefetched a few with every panel: waiting for them to come from L3 cost 5 to 8 % of large products. */
INLINE void multiply_tile(Layout layout, int64_t rows, int64_t kc, const float *a, int64_t stride, const float *next,
                          int64_t next_stride, int64_t next_rows, int64_t N, int64_t K, const float *panel, bool add, float *c,
                          int64_t ldc) {
    const int64_t n_panels = (N + NR - 1) / NR;
    for (int64_t p = 0; p < n_panels; p++) {
        const int64_t width = N - p * NR < NR ? N - p * NR : NR;
        prefetch_part(next, next_stride, next_rows, kc, p, n_panels);
        tiles[layout][width > VEC_WIDTH][rows - 1](kc, a, stride, panel + p * NR * K, add, c + p * NR, ldc, width);
    }
}

/* C = beta C: what is left of a product when K = 0. */
static void multiply_nothing(int64_t M, int64_t N, float beta, float *c, int64_t ldc) {
    for (int64_t i = 0; beta == 0.0f && i < M; i++) memset(c + i * ldc, 0, (size_t)N * sizeof *c);
}

/* One tile of rows: B is read once, so it is read in the order in which it lies, whole panels, which memory brings fastest. The blocks
 * of K are those of the other orders, and so are the bits. */
static void multiply_few_rows(int64_t M, int64_t N, int64_t K, int64_t n_blocks, const float *a, int64_t lda, const float *packed, bool add,
                              float *c, int64_t ldc) {
    for (int64_t n = 0; n < N; n += NR)
        for (int64_t block = 0; block < n_blocks; block++) {
            const int64_t k0 = K * block / n_blocks, kc = K * (block + 1) / n_blocks - k0, width = N - n < NR ? N - n : NR;
            tiles[ROWS_APART][width > VEC_WIDTH][M - 1](kc, a + k0, lda, packed + n * K + k0 * NR, block > 0 || add, c + n, ldc, width);
        }
}

static void multiply(int64_t M, int64_t N, int64_t K, const float *a, int64_t lda, const float *packed, float beta,
                     float *c, int64_t ldc) {
    if (M <= 0 || N <= 0) return;
    if (K <= 0) {
        multiply_nothing(M, N, beta, c, ldc);
        return;
    }
    float buffer[MR * A_STRIDE] __attribute__((aligned(64)));
    const int64_t n_blocks = (K + KC - 1) / KC, n_tiles = tile_count(M);
    const bool    collide = rows_collide(lda, (int)(M < MR ? M : MR));
    if (n_tiles == 1 && !collide) {
        multiply_few_rows(M, N, K, n_blocks, a, lda, packed, beta != 0.0f, c, ldc);
        return;
    }
    for (int64_t block = 0; block < n_blocks; block++) {
        const int64_t k0 = K * block / n_blocks, kc = K * (block + 1) / n_blocks - k0;
        for (int64_t n0 = 0; n0 < N; n0 += NC)
            for (int64_t t = 0; t < n_tiles; t++) {
                const Rows   r = tile_rows(M, n_tiles, t), next = t + 1 < n_tiles ? tile_rows(M, n_tiles, t + 1) : (Rows){0, 0};
                const float *from = a + r.first * lda + k0;
                int64_t      stride = lda;
                if (collide) {
                    for (int64_t i = 0; i < r.n; i++) memcpy(buffer + i * A_STRIDE, from + i * lda, (size_t)kc * sizeof *a);
                    from   = buffer;
                    stride = A_STRIDE;
                }
                multiply_tile(ROWS_APART, r.n, kc, from, stride, a + next.first * lda + k0, lda, next.n,
                              N - n0 < NC ? N - n0 : NC, K, packed + n0 * K + k0 * NR, block > 0 || beta != 0.0f,
                              c + r.first * ldc + n0, ldc);
            }
    }
}

static void multiply_transposed(int64_t M, int64_t N, int64_t K, const float *a, int64_t lda, const float *packed,
                                float beta, float *c, int64_t ldc) {
    if (M <= 0 || N <= 0) return;
    if (K <= 0) {
        multiply_nothing(M, N, beta, c, ldc);
        return;
    }
    float buffer[MR * KC] __attribute__((aligned(64)));
    const int64_t n_blocks = (K + KC - 1) / KC, n_tiles = tile_count(M);
    for (int64_t block = 0; block < n_blocks; block++) {
        const int64_t k0 = K * block / n_blocks, kc = K * (block + 1) / n_blocks - k0;
        for (int64_t n0 = 0; n0 < N; n0 += NC)
            for (int64_t t = 0; t < n_tiles; t++) {
                const Rows r = tile_rows(M, n_tiles, t);
                for (int64_t k = 0; k < kc; k++)
                    pack_row(a + (k0 + k) * lda + r.first, r.n, r.first + PACKED_ROW <= M, buffer + k * MR);
                multiply_tile(ROWS_TOGETHER, r.n, kc, buffer, MR, buffer, 0, 0, N - n0 < NC ? N - n0 : NC, K,
                              packed + n0 * K + k0 * NR, block > 0 || beta != 0.0f, c + r.first * ldc + n0, ldc);
            }
    }
}

/* K <= KC: with packed A the caller cuts K. */
static void multiply_tiles(int64_t M, int64_t first, int64_t end, int64_t N, int64_t K, const float *packed_a,
                           const float *packed, float beta, float *c, int64_t ldc) {
    const int64_t n_tiles = tile_count(M);
    for (int64_t n0 = 0; n0 < N; n0 += NC)
        for (int64_t t = first; t < end; t++) {
            const Rows   r = tile_rows(M, n_tiles, t);
            const float *from = packed_a + t * K * MR;
            multiply_tile(ROWS_TOGETHER, r.n, K, from, MR, from + K * MR, K, t + 1 < end ? MR : 0, N - n0 < NC ? N - n0 : NC, K,
                          packed + n0 * K, beta != 0.0f, c + r.first * ldc + n0, ldc);
        }
}

/* to[k NR + j] = row[j][k] for j < 8, k < 8 */
#if defined(__AVX2__)
INLINE void transpose_8(const float *const row[8], float *to) {
    const __m256 r0 = _mm256_loadu_ps(row[0]), r1 = _mm256_loadu_ps(row[1]), r2 = _mm256_loadu_ps(row[2]),
                 r3 = _mm256_loadu_ps(row[3]), r4 = _mm256_loadu_ps(row[4]), r5 = _mm256_loadu_ps(row[5]),
                 r6 = _mm256_loadu_ps(row[6]), r7 = _mm256_loadu_ps(row[7]);
    const __m256 a0 = _mm256_unpacklo_ps(r0, r1), a1 = _mm256_unpackhi_ps(r0, r1), a2 = _mm256_unpacklo_ps(r2, r3),
                 a3 = _mm256_unpackhi_ps(r2, r3), a4 = _mm256_unpacklo_ps(r4, r5), a5 = _mm256_unpackhi_ps(r4, r5),
                 a6 = _mm256_unpacklo_ps(r6, r7), a7 = _mm256_unpackhi_ps(r6, r7);
    const __m256 b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xee),
                 b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xee),
                 b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xee),
                 b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xee);
    _mm256_storeu_ps(to,          _mm256_permute2f128_ps(b0, b4, 0x20));
    _mm256_storeu_ps(to + NR,     _mm256_permute2f128_ps(b1, b5, 0x20));
    _mm256_storeu_ps(to + 2 * NR, _mm256_permute2f128_ps(b2, b6, 0x20));
    _mm256_storeu_ps(to + 3 * NR, _mm256_permute2f128_ps(b3, b7, 0x20));
    _mm256_storeu_ps(to + 4 * NR, _mm256_permute2f128_ps(b0, b4, 0x31));
    _mm256_storeu_ps(to + 5 * NR, _mm256_permute2f128_ps(b1, b5, 0x31));
    _mm256_storeu_ps(to + 6 * NR, _mm256_permute2f128_ps(b2, b6, 0x31));
    _mm256_storeu_ps(to + 7 * NR, _mm256_permute2f128_ps(b3, b7, 0x31));
}
#else
INLINE void transpose_8(const float *const row[8], float *to) {
    for (int k = 0; k < 8; k++)
        for (int j = 0; j < 8; j++) to[k * NR + j] = row[j][k];
}
#endif

/* A panel of `width` columns of B, which is stored (N,K): b is where the first of them begins. */
static void pack_transposed(int64_t K, int64_t width, const float *b, int64_t ldb, float *to) {
    static const float zeros[8];
    for (int64_t j0 = 0; j0 < NR; j0 += 8) {
        const float *row[8];
        int64_t      step[8], k = 0;
        for (int64_t j = 0; j < 8; j++) {
            step[j] = j0 + j < width ? 8 : 0;
            row[j]  = step[j] > 0 ? b + (j0 + j) * ldb : zeros;
        }
        for (; k + 8 <= K; k += 8) {
            transpose_8(row, to + k * NR + j0);
            for (int64_t j = 0; j < 8; j++) row[j] += step[j];
        }
        for (int64_t i = 0; k + i < K; i++)
            for (int64_t j = 0; j < 8; j++) to[(k + i) * NR + j0 + j] = row[j][i];
    }
}

static void pack_panels(int64_t K, int64_t N, const float *b, int64_t ldb, bool trans_b, int64_t first, int64_t end,
                        float *packed) {
    for (int64_t p = first; p < end; p++) {
        const int64_t n = p * NR, width = N - n < NR ? N - n : NR;
        float        *to = packed + n * K;
        if (trans_b) {
            pack_transposed(K, width, b + n * ldb, ldb, to);
        } else if (width == NR) {
            for (int64_t k = 0; k < K; k++) {
                vec_store(to + k * NR, vec_load(b + k * ldb + n));
                vec_store(to + k * NR + VEC_WIDTH, vec_load(b + k * ldb + n + VEC_WIDTH));
            }
        } else {
            for (int64_t k = 0; k < K; k++)
                for (int64_t v = 0; v < NR; v += VEC_WIDTH) {
                    const int64_t left = part_of(width - v);
                    vec_store(to + k * NR + v, vec_load_part(b + k * ldb + n + (left > 0 ? v : 0), left, vec_set1(0.0f)));
                }
        }
    }
}

static void pack_b(int64_t K, int64_t N, const float *b, int64_t ldb, bool trans_b, float *packed) {
    pack_panels(K, N, b, ldb, trans_b, 0, (N + NR - 1) / NR, packed);
}
