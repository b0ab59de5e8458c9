/* Mixup and cutmix of a batch with itself reversed, and the soft targets of that. */
#include "harness/data/augment.h"

#include "engine/rng.h"

#include <math.h>

enum { DRAW_KIND, DRAW_Y, DRAW_X, DRAW_FIRST, DRAW_SECOND };      /* the last two: the gammas of a Beta */
enum { GAMMA_NORMAL, GAMMA_ACCEPT, GAMMA_BOOST };

static double uniform(RngStream s, RngKey k, int layer, int channel) {
    k.layer   = layer;
    k.channel = channel;
    return rng_uniform(s, k);
}

/* log of a Gamma(alpha,1): Marsaglia & Tsang 2000 for alpha+1, times U^(1/alpha); the logarithm does not underflow when alpha is small. */
static double log_gamma_draw(RngStream s, RngKey k, int draw, double alpha) {
    alpha = fmax(alpha, 1e-9);                        /* below it nothing changes: the weight is 0 or 1 */
    const double d = alpha + 1 - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (k.patch = 0;; k.patch++) {
        k.layer   = draw;
        k.channel = GAMMA_NORMAL;
        const double x = rng_normal(s, k), v = 1 + c * x;
        if (v <= 0 || !(log(1 - uniform(s, k, draw, GAMMA_ACCEPT)) < 0.5 * x * x + d - d * v * v * v + 3 * d * log(v))) continue;
        k.patch = 0;
        return log(d) + 3 * log(v) + log(1 - uniform(s, k, draw, GAMMA_BOOST)) / alpha;
    }
}

static double beta_draw(RngStream s, RngKey k, double alpha) {
    return 1 / (1 + exp(log_gamma_draw(s, k, DRAW_SECOND, alpha) - log_gamma_draw(s, k, DRAW_FIRST, alpha)));
}

typedef struct Span { int from, end; } Span;

/* `length` around a centre in [0,n), cut off at the ends. */
static Span span(RngStream s, RngKey k, int draw, int n, int length) {
    k.layer = draw;
    const int centre = (int)rng_below(s, k, n), from = centre - length / 2, end = centre + length / 2;
    return (Span){from < 0 ? 0 : from, end > n ? n : end};
}

static void mix(float *a, float *b, int64_t n, float lambda) {
    for (int64_t i = 0; i < n; i++) {
        const float one = a[i], other = b[i];
        a[i] = one * lambda + other * (1 - lambda);
        b[i] = other * lambda + one * (1 - lambda);
    }
}

static void swap_box(float *a, float *b, int c, int h, int w, Span y, Span x) {
    for (int k = 0; k < c; k++)
        for (int row = y.from; row < y.end; row++)
            for (int column = x.from; column < x.end; column++) {
                const int64_t i   = ((int64_t)k * h + row) * w + column;
                const float   one = a[i];
                a[i] = b[i];
                b[i] = one;
            }
}

static void soft_targets(const int32_t *labels, int n, int n_classes, double smoothing, double lambda, float *soft) {
    const double off = smoothing / n_classes, on = 1 - smoothing;
    for (int i = 0; i < n; i++) {
        float *row = soft + (int64_t)i * n_classes;
        CHECK(labels[i] >= 0 && labels[i] < n_classes, "label %d of %d classes", labels[i], n_classes);
        for (int k = 0; k < n_classes; k++) row[k] = (float)off;
        if (labels[i] == labels[n - 1 - i]) {
            row[labels[i]] = (float)(off + on);
        } else {
            row[labels[i]]         = (float)(off + on * lambda);
            row[labels[n - 1 - i]] = (float)(off + on * (1 - lambda));
        }
    }
}

bool augment_batch(const Augment *a, float *images, int n, int c, int h, int w, const int32_t *labels, int n_classes, double smoothing,
                   int64_t epoch, int64_t batch_index, float *soft) {
    const RngStream s    = rng_stream(a->seed, "augment.mix");
    const RngKey    key  = {.step = epoch, .image = batch_index};
    const int64_t   size = (int64_t)c * h * w;
    if ((a->mixup <= 0 && a->cutmix <= 0) || (a->mixup_off_epoch > 0 && epoch >= a->mixup_off_epoch)) return false;
    const bool cut    = a->cutmix > 0 && (a->mixup <= 0 || uniform(s, key, DRAW_KIND, 0) < a->mixup_switch);
    double     lambda = beta_draw(s, key, cut ? a->cutmix : a->mixup);
    if (cut) {
        const double side = sqrt(1 - lambda);
        const Span   y = span(s, key, DRAW_Y, h, (int)(h * side)), x = span(s, key, DRAW_X, w, (int)(w * side));
        for (int i = 0; i < n / 2; i++) swap_box(images + i * size, images + (n - 1 - i) * size, c, h, w, y, x);
        lambda = 1 - (double)(y.end - y.from) * (x.end - x.from) / ((double)h * w);       /* of the box inside the image */
    } else {
        for (int i = 0; i < n / 2; i++) mix(images + i * size, images + (n - 1 - i) * size, size, (float)lambda);
    }
    soft_targets(labels, n, n_classes, smoothing, lambda, soft);
    return true;
}
