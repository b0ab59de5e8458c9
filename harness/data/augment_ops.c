/* The operations of RandAugment on uint8 pixels (H,W,C), equal to those of Pillow byte for byte (augment_ops.h). */
#include "harness/data/augment_ops.h"

#include <math.h>
#include <string.h>

static size_t count(const Pixels *p) { return (size_t)p->h * (size_t)p->w * (size_t)p->c; }

/* ---- arguments from levels: timm's, in its order of operations, since int() cuts ---- */

static double signed_if(double v, bool negative) { return negative ? -v : v; }

static double nothing  (double level, bool negative) { (void)level; (void)negative; return 0; }
static double degrees  (double level, bool negative) { return signed_if(level / 10 * 30, negative); }
static double slope    (double level, bool negative) { return signed_if(level / 10 * 0.3, negative); }
static double share    (double level, bool negative) { return signed_if(level / 10 * 0.45, negative); }
static double factor   (double level, bool negative) { return fmax(0.1, 1 + signed_if(level / 10 * 0.9, negative)); }
static double bits     (double level, bool negative) { (void)negative; return 4 - trunc(level / 10 * 4); }
static double threshold(double level, bool negative) { (void)negative; return 256 - fmin(256, trunc(level / 10 * 256)); }
static double addend   (double level, bool negative) { (void)negative; return fmin(128, trunc(level / 10 * 110)); }

/* ---- through a table of 256 values ---- */

static void map(const Pixels *p, int channel, int step, const uint8_t table[256]) {
    const size_t n = count(p);
    for (size_t i = (size_t)channel; i < n; i += (size_t)step) p->hwc[i] = table[p->hwc[i]];
}

static void map_all(const Pixels *p, const uint8_t table[256]) { map(p, 0, 1, table); }

static void histogram(const Pixels *p, int channel, int n_of[256]) {
    const size_t n = count(p);
    memset(n_of, 0, 256 * sizeof *n_of);
    for (size_t i = (size_t)channel; i < n; i += (size_t)p->c) n_of[p->hwc[i]]++;
}

/* Stretches each channel to the whole range. */
static void auto_contrast(const Pixels *p, double argument) {
    (void)argument;
    for (int k = 0; k < p->c; k++) {
        int     n_of[256], low = 0, high = 255;
        uint8_t table[256];
        histogram(p, k, n_of);
        while (low < 255 && n_of[low] == 0) low++;
        while (high > 0 && n_of[high] == 0) high--;
        if (high <= low) continue;
        const double scale = 255.0 / (high - low), offset = -low * scale;
        for (int v = 0; v < 256; v++) table[v] = (uint8_t)fmax(0, fmin(255, trunc(v * scale + offset)));
        map(p, k, p->c, table);
    }
}

/* Makes the values of each channel equally frequent. */
static void equalize(const Pixels *p, double argument) {
    (void)argument;
    for (int k = 0; k < p->c; k++) {
        int     n_of[256], last = 255;
        uint8_t table[256];
        histogram(p, k, n_of);
        while (n_of[last] == 0) last--;
        const int step = (p->h * p->w - n_of[last]) / 255;
        if (step == 0) continue;
        int64_t below = step / 2;
        for (int v = 0; v < 256; v++) {
            table[v] = (uint8_t)(below / step < 255 ? below / step : 255);
            below += n_of[v];
        }
        map(p, k, p->c, table);
    }
}

static void invert(const Pixels *p, double argument) {
    (void)argument;
    const size_t n = count(p);
    for (size_t i = 0; i < n; i++) p->hwc[i] = (uint8_t)(255 - p->hwc[i]);
}

static void posterize(const Pixels *p, double argument) {
    const size_t  n    = count(p);
    const uint8_t mask = (uint8_t)(0xff << (8 - (int)argument));
    for (size_t i = 0; i < n; i++) p->hwc[i] &= mask;
}

static void solarize(const Pixels *p, double argument) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++) table[v] = (uint8_t)(v < argument ? v : 255 - v);
    map_all(p, table);
}

static void solarize_add(const Pixels *p, double argument) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++) table[v] = (uint8_t)(v < 128 ? fmin(255, v + argument) : v);
    map_all(p, table);
}

/* ---- away from, or towards, a plainer image ---- */

/* plain + alpha (v - plain), in float and cut as Pillow does it. */
static inline uint8_t blended(int plain, int v, float alpha) {
    const float mixed = (float)plain + alpha * (float)(v - plain);
    return mixed <= 0 ? 0 : mixed >= 255 ? 255 : (uint8_t)mixed;
}

static void blend_with(const Pixels *p, int plain, double alpha) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++) table[v] = blended(plain, v, (float)alpha);
    map_all(p, table);
}

/* Luma of ITU-R 601, 16 bits after the point. */
static inline int grey(const uint8_t *rgb) { return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16; }

static void color(const Pixels *p, double argument) {
    if (p->c != 3) return;
    const size_t n = count(p);
    for (size_t i = 0; i < n; i += 3) {
        const int plain = grey(p->hwc + i);
        for (size_t k = 0; k < 3; k++) p->hwc[i + k] = blended(plain, p->hwc[i + k], (float)argument);
    }
}

static void contrast(const Pixels *p, double argument) {
    const size_t n   = count(p), step = (size_t)p->c;
    int64_t      sum = 0;
    for (size_t i = 0; i < n; i += step) sum += p->c == 3 ? grey(p->hwc + i) : p->hwc[i];
    blend_with(p, (int)((double)sum / (double)(n / step) + 0.5), argument);
}

static void brightness(const Pixels *p, double argument) { blend_with(p, 0, argument); }

/* The plain image is smoothed by (1 1 1, 1 5 1, 1 1 1)/13; the outermost pixels stay. */
static void sharpness(const Pixels *p, double argument) {
    const int   c = p->c, pitch = p->w * c;
    const float alpha = (float)argument;
    if (p->h < 3 || p->w < 3) return;
    memcpy(p->spare, p->hwc, count(p));
    for (int y = 1; y < p->h - 1; y++) {
        const uint8_t *from = p->spare + (int64_t)y * pitch;
        uint8_t       *to   = p->hwc + (int64_t)y * pitch;
        for (int i = c; i < pitch - c; i++) {
            const uint8_t *above = from + i - pitch, *here = from + i, *below = from + i + pitch;
            const int sum = above[-c] + above[0] + above[c] + here[-c] + 5 * here[0] + here[c] + below[-c] + below[0] + below[c];
            to[i] = blended((2 * sum + 13) / 26, here[0], alpha);        /* 13 is odd, so halves do not occur */
        }
    }
}

/* ---- moved ---- */

/* The cubic with a = -1 through four values, at d in [0,1) between the middle two: Pillow's polynomial, in its order. */
static inline double cubic(double a, double b, double c, double e, double d) {
    const double p1 = b, p2 = -a + c, p3 = 2 * (a - b) + c - e, p4 = -a + b - c + e;
    return p1 + d * (p2 + d * (p3 + d * p4));
}

static int clamp(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* Pixel (x,y) becomes what lies at (m0 x + m1 y + m2, m3 x + m4 y + m5), pixel centres at halves; outside lies the fill. */
static void affine(const Pixels *p, const double m[6]) {
    const int w = p->w, h = p->h, c = p->c;
    memcpy(p->spare, p->hwc, count(p));
    uint8_t *to = p->hwc;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, to += c) {
            const double sx = m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2], sy = m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5];
            if (!(sx >= 0 && sx < w && sy >= 0 && sy < h)) {
                memcpy(to, p->fill, (size_t)c);
                continue;
            }
            const int    x0 = (int)floor(sx - 0.5), y0 = (int)floor(sy - 0.5);
            const double dx = sx - 0.5 - x0, dy = sy - 0.5 - y0;
            int            across[4];
            const uint8_t *row[4];
            for (int i = 0; i < 4; i++) {
                across[i] = clamp(x0 - 1 + i, w) * c;
                row[i]    = p->spare + (int64_t)clamp(y0 - 1 + i, h) * w * c;
            }
            for (int k = 0; k < c; k++) {
                double v[4];
                /* at dx = 0 or dy = 0 the polynomial is its first term exactly, and most of the work can be left out */
                for (int i = dy == 0 ? 1 : 0; i < (dy == 0 ? 2 : 4); i++) {
                    const uint8_t *r = row[i] + k;
                    v[i] = dx == 0 ? r[across[1]] : cubic(r[across[0]], r[across[1]], r[across[2]], r[across[3]], dx);
                }
                const double value = dy == 0 ? v[1] : cubic(v[0], v[1], v[2], v[3], dy);
                to[k] = value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
            }
        }
}

/* Fifteen decimals, as Pillow has them: a right angle is then exact. */
static double rounded(double v) { return rint(v * 1e15) / 1e15; }

static void rotate(const Pixels *p, double argument) {
    const double angle = -argument * (3.14159265358979323846 / 180), x = p->w / 2.0, y = p->h / 2.0;
    const double along = rounded(cos(angle)), across = rounded(sin(angle));
    if (fmod(argument, 360) == 0) return;
    affine(p, (const double[]){along, across, along * -x + across * -y + x, -across, along, -across * -x + along * -y + y});
}

static void shear_x(const Pixels *p, double argument)     { affine(p, (const double[]){1, argument, 0, 0, 1, 0}); }
static void shear_y(const Pixels *p, double argument)     { affine(p, (const double[]){1, 0, 0, argument, 1, 0}); }
static void translate_x(const Pixels *p, double argument) { affine(p, (const double[]){1, 0, argument * p->w, 0, 1, 0}); }
static void translate_y(const Pixels *p, double argument) { affine(p, (const double[]){1, 0, 0, 0, 1, argument * p->h}); }

#define OP(id, argument_of) [AUGMENT_OP_##id] = {#id, argument_of, id},
const AugmentOp augment_ops[AUGMENT_OPS] = {AUGMENT_OP_LIST(OP)};
#undef OP
