/* The loops of SimdMaps over the vectors of vector_math.h. Included once by each maps_<set>.c, which defines SIMD_NAME
 * ("avx2") and SIMD_RECORD (simd_maps_avx2) and is compiled for that instruction set.
 *
 * A vector holds neighbouring channels of one pixel. Depthwise: the taps of VEC_WIDTH channels stay in registers while an
 * output line passes, four pixels at a time, which share their inputs. */
#include "engine/simd/maps.h"
#include "engine/simd/vector_erf.h"

#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

enum { W = VEC_WIDTH };

/* The first n lanes, n <= W; W is tested first so that a constant n leaves one instruction. */
INLINE Vec  load(const float *p, int64_t n)         { return n == W ? vec_load(p) : vec_load_part(p, n, vec_set1(0)); }
INLINE void store(float *p, int64_t n, Vec v)       { if (n == W) vec_store(p, v); else vec_store_part(p, n, v); }
INLINE void increase(float *p, int64_t n, Vec v)    { store(p, n, load(p, n) + v); }

/* ---- depthwise convolution ---- */

/* One output line for n channels: what its pixels share. lines <= 3 input lines lie inside the map. */
typedef struct Line {
    int64_t      C, width, out_width, stride, n;
    const float *in[3];
    float       *y, *pre;
    bool         gelu;
} Line;

INLINE void put(const Line *l, int64_t ox, Vec sum) {
    if (l->pre != NULL) store(l->pre + ox * l->C, l->n, sum);
    store(l->y + ox * l->C, l->n, l->gelu ? vec_gelu(sum) : sum);
}

/* A pixel at an edge: taps outside are left out. */
INLINE Vec edge_pixel(const Line *l, int lines, int64_t n, const Vec taps[9], Vec bias, int64_t ox) {
    Vec sum = bias;
    for (int r = 0; r < lines; r++)
        for (int t = 0; t < 3; t++) {
            const int64_t x = ox * l->stride + t - 1;
            if (x >= 0 && x < l->width) sum = vec_fma(taps[3 * r + t], load(l->in[r] + x * l->C, n), sum);
        }
    return sum;
}

INLINE void one_line(const Line *l, int lines, int64_t n, int64_t stride, const Vec taps[9], Vec bias) {
    const int64_t C = l->C, inner = l->width < 2 ? 0 : (l->width - 2) / stride + 1;      /* pixels 1..inner-1 have all taps */
    int64_t       ox = 1;
    put(l, 0, edge_pixel(l, lines, n, taps, bias, 0));
    for (; stride == 1 && ox + 4 <= inner; ox += 4) {
        Vec sum[4] = {bias, bias, bias, bias};
        for (int r = 0; r < lines; r++) {
            const float *in = l->in[r] + (ox - 1) * C;
            const Vec    v[6] = {load(in, n), load(in + C, n), load(in + 2 * C, n), load(in + 3 * C, n), load(in + 4 * C, n),
                                 load(in + 5 * C, n)};
            for (int q = 0; q < 4; q++)
                for (int t = 0; t < 3; t++) sum[q] = vec_fma(taps[3 * r + t], v[q + t], sum[q]);
        }
        for (int q = 0; q < 4; q++) put(l, ox + q, sum[q]);
    }
    for (; ox < inner; ox++) {
        Vec sum = bias;
        for (int r = 0; r < lines; r++)
            for (int t = 0; t < 3; t++) sum = vec_fma(taps[3 * r + t], load(l->in[r] + (ox * stride + t - 1) * C, n), sum);
        put(l, ox, sum);
    }
    for (; ox < l->out_width; ox++) put(l, ox, edge_pixel(l, lines, n, taps, bias, ox));
}

/* The same for every number of lines, width of a vector and stride, so that all of them are constants in the loops. */
INLINE void line_of(const Line *l, int lines, int64_t n, const Vec taps[9], Vec bias) {
    if (l->stride == 1) one_line(l, lines, n, 1, taps, bias);
    else                one_line(l, lines, n, l->stride, taps, bias);
}
INLINE void line_of_width(const Line *l, int lines, const Vec taps[9], Vec bias) {
    if (l->n == W) line_of(l, lines, W, taps, bias);
    else           line_of(l, lines, l->n, taps, bias);
}

static void depthwise(const DepthwiseArgs *a, int64_t first, int64_t end) {
    const int64_t C = a->C, rows = map_side(a->height, a->stride), columns = map_side(a->width, a->stride);
    for (int64_t at = first; at < end; at++) {
        const int64_t b = at / rows, oy = at % rows;
        for (int64_t c = 0; c < C; c += W) {
            Line l = {.C = C, .width = a->width, .out_width = columns, .stride = a->stride, .n = C - c < W ? C - c : W,
                      .y = a->y + at * columns * C + c, .pre = a->pre_activation == NULL ? NULL : a->pre_activation + at * columns * C + c,
                      .gelu = a->activation == ACTIVATION_GELU};
            Vec taps[9], bias = a->bias != NULL ? load(a->bias + c, l.n) : vec_set1(0);
            int lines = 0;
            for (int r = 0; r < 3; r++) {
                const int64_t y = oy * a->stride + r - 1;
                if (y < 0 || y >= a->height) continue;
                l.in[lines] = a->x + (b * a->height + y) * a->width * C + c;
                for (int t = 0; t < 3; t++) taps[3 * lines + t] = load(a->taps + (3 * r + t) * C + c, l.n);
                lines++;
            }
            if (lines == 3)      line_of_width(&l, 3, taps, bias);
            else if (lines == 2) line_of_width(&l, 2, taps, bias);
            else                 line_of_width(&l, 1, taps, bias);
        }
    }
}

/* One input line x under three taps and the output line dy that they lead to, stride 1: every pixel meets its three outputs. */
INLINE void backward_line(int64_t width, int64_t C, int64_t n, const float *x, float *dx, const float *dy, const Vec taps[3], Vec dtaps[3]) {
    Vec before = vec_set1(0), here = load(dy, n);
    for (int64_t i = 0; i < width; i++) {
        const Vec after = i + 1 < width ? load(dy + (i + 1) * C, n) : vec_set1(0), v = load(x + i * C, n);
        dtaps[0] = vec_fma(after, v, dtaps[0]);
        dtaps[1] = vec_fma(here, v, dtaps[1]);
        dtaps[2] = vec_fma(before, v, dtaps[2]);
        if (dx != NULL) store(dx + i * C, n, vec_fma(taps[0], after, vec_fma(taps[1], here, vec_fma(taps[2], before, load(dx + i * C, n)))));
        before = here;
        here   = after;
    }
}

/* The same for any stride: every output pixel meets its taps inside. */
INLINE void backward_line_apart(const DepthwiseArgs *a, int64_t n, const float *x, float *dx, const float *dy, const Vec taps[3], Vec dtaps[3]) {
    for (int64_t ox = 0; ox < map_side(a->width, a->stride); ox++) {
        const Vec g = load(dy + ox * a->C, n);
        for (int t = 0; t < 3; t++) {
            const int64_t at = ox * a->stride + t - 1;
            if (at < 0 || at >= a->width) continue;
            dtaps[t] = vec_fma(g, load(x + at * a->C, n), dtaps[t]);
            if (dx != NULL) store(dx + at * a->C, n, vec_fma(g, taps[t], load(dx + at * a->C, n)));
        }
    }
}

/* Sums of an output line are kept apart before they join the rest: the error of dtaps grows with lines + columns, not with their product. */
INLINE void backward_vector(const DepthwiseArgs *a, int64_t c, int64_t n) {
    const int64_t C = a->C, rows = map_side(a->height, a->stride), columns = map_side(a->width, a->stride);
    Vec           taps[9], dtaps[9], dbias = vec_set1(0);
    for (int t = 0; t < 9; t++) {
        taps[t]  = load(a->taps + t * C + c, n);
        dtaps[t] = vec_set1(0);
    }
    for (int64_t at = 0; at < a->B * rows; at++) {
        const float *dy = a->dy + at * columns * C + c;
        Vec          line_bias = vec_set1(0);
        for (int64_t ox = 0; a->dbias != NULL && ox < columns; ox++) line_bias = line_bias + load(dy + ox * C, n);
        dbias = dbias + line_bias;
        for (int r = 0; r < 3; r++) {
            const int64_t y = at % rows * a->stride + r - 1, from = (at / rows * a->height + y) * a->width * C + c;
            if (y < 0 || y >= a->height) continue;
            Vec    line[3] = {vec_set1(0), vec_set1(0), vec_set1(0)};
            float *dx = a->dx == NULL ? NULL : a->dx + from;
            if (a->stride == 1) backward_line(a->width, C, n, a->x + from, dx, dy, taps + 3 * r, line);
            else                backward_line_apart(a, n, a->x + from, dx, dy, taps + 3 * r, line);
            for (int t = 0; t < 3; t++) dtaps[3 * r + t] = dtaps[3 * r + t] + line[t];
        }
    }
    for (int t = 0; a->dtaps != NULL && t < 9; t++) increase(a->dtaps + t * C + c, n, dtaps[t]);
    if (a->dbias != NULL) increase(a->dbias + c, n, dbias);
}

static void depthwise_backward(const DepthwiseArgs *a, int64_t first, int64_t end) {
    int64_t c = first;
    for (; c + W <= end; c += W) backward_vector(a, c, W);
    if (c < end) backward_vector(a, c, end - c);
}

/* ---- batch normalisation ---- */

enum { BLOCK = 64 };            /* rows summed apart before they join the rest */

INLINE void squares_of(int64_t M, int64_t C, const float *x, Vec mean, float *sums, float *squares, int64_t n) {
    for (int64_t first = 0; first < M; first += BLOCK) {
        const int64_t end = first + BLOCK < M ? first + BLOCK : M;
        Vec           s = vec_set1(0), q = s;
        for (int64_t m = first; m < end; m++) {
            const Vec d = load(x + m * C, n) - mean;
            s = s + d;
            q = vec_fma(d, d, q);
        }
        increase(sums, n, s);
        increase(squares, n, q);
    }
}

static void column_squares(int64_t M, int64_t C, const float *x, const float *mean, float *sums, float *squares) {
    int64_t c = 0;
    for (; c + W <= C; c += W) squares_of(M, C, x + c, vec_load(mean + c), sums + c, squares + c, W);
    if (c < C) squares_of(M, C, x + c, load(mean + c, C - c), sums + c, squares + c, C - c);
}

INLINE void dots_of(int64_t M, int64_t C, const float *x, Vec mean, const float *dy, float *sums, float *dots, int64_t n) {
    for (int64_t first = 0; first < M; first += BLOCK) {
        const int64_t end = first + BLOCK < M ? first + BLOCK : M;
        Vec           s = vec_set1(0), q = s;
        for (int64_t m = first; m < end; m++) {
            const Vec g = load(dy + m * C, n);
            s = s + g;
            q = vec_fma(g, load(x + m * C, n) - mean, q);
        }
        increase(sums, n, s);
        increase(dots, n, q);
    }
}

static void column_dots(int64_t M, int64_t C, const float *x, const float *mean, const float *dy, float *sums, float *dots) {
    int64_t c = 0;
    for (; c + W <= C; c += W) dots_of(M, C, x + c, vec_load(mean + c), dy + c, sums + c, dots + c, W);
    if (c < C) dots_of(M, C, x + c, load(mean + c, C - c), dy + c, sums + c, dots + c, C - c);
}

static void normalise(int64_t M, int64_t C, const float *x, const float *mean, const float *scale, const float *shift, float *y) {
    for (int64_t m = 0; m < M; m++, x += C, y += C) {
        int64_t c = 0;
        for (; c + W <= C; c += W) vec_store(y + c, vec_fma(vec_load(x + c) - vec_load(mean + c), vec_load(scale + c), vec_load(shift + c)));
        if (c < C) store(y + c, C - c, vec_fma(load(x + c, C - c) - load(mean + c, C - c), load(scale + c, C - c), load(shift + c, C - c)));
    }
}

static void normalise_backward(int64_t M, int64_t C, const float *x, const float *mean, const float *scale, const float *level,
                               const float *slope, const float *dy, float *dx, bool assign) {
    for (int64_t m = 0; m < M; m++, x += C, dy += C, dx += C)
        for (int64_t c = 0; c < C; c += W) {
            const int64_t n = C - c < W ? C - c : W;
            const Vec     g = vec_fnma(load(x + c, n) - load(mean + c, n), load(slope + c, n), load(dy + c, n) - load(level + c, n));
            const Vec     d = g * load(scale + c, n);
            if (assign) store(dx + c, n, d);
            else        increase(dx + c, n, d);
        }
}

extern const SimdMaps SIMD_RECORD;
const SimdMaps SIMD_RECORD = {
    .name               = SIMD_NAME,
    .depthwise          = depthwise,
    .depthwise_backward = depthwise_backward,
    .column_squares     = column_squares,
    .column_dots        = column_dots,
    .normalise          = normalise,
    .normalise_backward = normalise_backward,
};
