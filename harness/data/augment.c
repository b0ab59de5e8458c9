/* Geometric augmentation and its settings, every draw addressed by epoch, image and repeat (augment.h). */
#include "harness/data/augment.h"

#include "engine/rng.h"
#include "harness/data/augment_ops.h"

#include <math.h>
#include <string.h>

enum { TRIES = 10 };                                  /* for a rectangle that fits, as torchvision and timm have it */

const char *const augment_filters[]       = {[FILTER_BILINEAR] = "bilinear", [FILTER_BICUBIC] = "bicubic", NULL};
const char *const augment_erasing_modes[] = {[ERASING_CONST] = "const", [ERASING_PIXEL] = "pixel", NULL};

const Field augment_fields[] = {AUGMENT_FIELDS(AugmentSettings), FIELDS_END};

bool augment_check(const AugmentSettings *s, Error *err) {
    if (s->rrc_scale_min > s->rrc_scale_max)
        return FAIL(err, "/train/rrc_scale_min", "must be at most rrc_scale_max %g, got %g", s->rrc_scale_max, s->rrc_scale_min);
    if (s->rrc_ratio_min > s->rrc_ratio_max)
        return FAIL(err, "/train/rrc_ratio_min", "must be at most rrc_ratio_max %g, got %g", s->rrc_ratio_max, s->rrc_ratio_min);
    return true;
}

Augment augment_create(const AugmentSettings *s, uint64_t seed, const float mean[], int channels) {
    Augment a = {.seed = seed, .settings = *s};
    CHECK(channels == 1 || channels == 3, "augmentation of %d channels", channels);
    for (int c = 0; c < channels; c++) a.fill[c] = (uint8_t)fmin(255, rint(255 * (double)mean[c]));
    return a;
}

void augment_hook(Augment *a, LoaderOptions *options) {
    options->transform_self = a;
    options->crop           = a->random_resized_crop ? augment_crop : NULL;
    options->transform      = a->crop_padding > 0 || a->flip ? augment_image : NULL;
    options->distort        = a->randaugment_n > 0 ? augment_distort : NULL;
    options->finish         = a->erasing > 0 ? augment_finish : NULL;
}

static RngKey key_of(int64_t id, int64_t epoch) {
    return (RngKey){.step = epoch, .image = order_image(id), .patch = order_repeat(id)};
}

/* ---- order ---- */

void augment_epoch_order(const Augment *a, int64_t epoch, int64_t n_images, int64_t *order) {
    rng_permutation(rng_stream(a->seed, "shuffle"), epoch, n_images, order);
    /* from the end: the entry read lies before those written */
    if (a->repeats > 1)
        for (int64_t i = n_images - 1; i >= 0; i--) order[i] = order_entry(order[i / a->repeats], (int)(i % a->repeats));
}

/* ---- rectangles of random area and shape ---- */

enum { DRAW_AREA, DRAW_RATIO, DRAW_TOP, DRAW_LEFT, DRAW_WHETHER };

typedef struct Shape { double area_min, area_max, ratio_min, ratio_max; } Shape;    /* share of the area; width/height, log-uniform */

static double between(RngStream s, RngKey k, int draw, double low, double high) {
    k.channel = draw;
    return low + (high - low) * rng_uniform(s, k);
}

static int below(RngStream s, RngKey k, int draw, int n) {
    k.channel = draw;
    return (int)rng_below(s, k, n);
}

/* The first of TRIES rectangles that lies in (height,width) and is at most (most_height,most_width). False: none. */
static bool draw_box(RngStream s, RngKey k, const Shape *shape, int height, int width, int most_height, int most_width, CropBox *box) {
    for (int i = 0; i < TRIES; i++) {
        k.layer = i;
        const double area  = between(s, k, DRAW_AREA, shape->area_min, shape->area_max) * height * width;
        const double ratio = exp(between(s, k, DRAW_RATIO, log(shape->ratio_min), log(shape->ratio_max)));
        const double h = rint(sqrt(area / ratio)), w = rint(sqrt(area * ratio));
        if (h < 1 || w < 1 || h > most_height || w > most_width) continue;
        box->height = (int)h;
        box->width  = (int)w;
        box->top    = below(s, k, DRAW_TOP, height - box->height + 1);
        box->left   = below(s, k, DRAW_LEFT, width - box->width + 1);
        return true;
    }
    return false;
}

void augment_crop(void *self, int height, int width, int64_t id, int64_t epoch, CropBox *box) {
    const Augment *a     = self;
    const Shape    shape = {a->rrc_scale_min, a->rrc_scale_max, a->rrc_ratio_min, a->rrc_ratio_max};
    *box = (CropBox){.height = height, .width = width, .filter = (Filter)a->rrc_filter};
    if (draw_box(rng_stream(a->seed, "augment.crop"), key_of(id, epoch), &shape, height, width, height, width, box)) return;
    /* too long an image: its centre, as long as the ratio allows */
    const double ratio = (double)width / height;
    if (ratio < shape.ratio_min) box->height = (int)fmin(height, fmax(1, rint(width / shape.ratio_min)));
    if (ratio > shape.ratio_max) box->width  = (int)fmin(width,  fmax(1, rint(height * shape.ratio_max)));
    box->top  = (height - box->height) / 2;
    box->left = (width - box->width) / 2;
}

void augment_finish(void *self, float *chw, int c, int h, int w, int64_t id, int64_t epoch) {
    static const Shape shape = {0.02, 1.0 / 3, 0.3, 1 / 0.3};
    const Augment  *a      = self;
    const RngStream stream = rng_stream(a->seed, "augment.erasing");
    RngKey          key    = key_of(id, epoch);
    CropBox         box;
    if (!(between(stream, key, DRAW_WHETHER, 0, 1) < a->erasing)) return;
    if (!draw_box(stream, key, &shape, h, w, h - 1, w - 1, &box)) return;      /* never a whole side, as in timm */
    key.layer = TRIES;                                /* the noise draws apart from the rectangle */
    double  noise[4] = {0};
    int64_t n = 0;
    for (int k = 0; k < c; k++)
        for (int y = box.top; y < box.top + box.height; y++)
            for (int x = box.left; x < box.left + box.width; x++, n++) {
                key.channel = n / 4;
                if (a->erasing_mode == ERASING_PIXEL && n % 4 == 0) rng_normals(stream, key, noise);
                chw[((int64_t)k * h + y) * w + x] = (float)noise[n % 4];
            }
}

/* ---- shifted crop and mirror ---- */

enum { DRAW_FLIP, DRAW_DOWN, DRAW_ACROSS };

static void flip(uint8_t *hwc, int h, int w, int c) {
    for (int y = 0; y < h; y++) {
        uint8_t *row = hwc + (int64_t)y * w * c;
        for (int x = 0; x < w / 2; x++)
            for (int k = 0; k < c; k++) {
                const uint8_t left = row[x * c + k];
                row[x * c + k]           = row[(w - 1 - x) * c + k];
                row[(w - 1 - x) * c + k] = left;
            }
    }
}

/* Moves the image by (-dy,-dx); what enters is zero. Rows go in the order that never overwrites one still to be read. */
static void shift(uint8_t *hwc, int h, int w, int c, int dy, int dx) {
    const int64_t pitch = (int64_t)w * c;
    for (int i = 0; i < h; i++) {
        const int y = dy >= 0 ? i : h - 1 - i, from = y + dy;
        uint8_t  *row = hwc + y * pitch;
        if (from < 0 || from >= h) {
            memset(row, 0, (size_t)pitch);
            continue;
        }
        const uint8_t *source = hwc + from * pitch;
        const int      kept   = w - (dx >= 0 ? dx : -dx);
        if (kept <= 0) memset(row, 0, (size_t)pitch);
        else if (dx >= 0) {
            memmove(row, source + (int64_t)dx * c, (size_t)kept * (size_t)c);
            memset(row + (int64_t)kept * c, 0, (size_t)dx * (size_t)c);
        } else {
            memmove(row - (int64_t)dx * c, source, (size_t)kept * (size_t)c);
            memset(row, 0, (size_t)-dx * (size_t)c);
        }
    }
}

void augment_image(void *self, uint8_t *hwc, int h, int w, int c, int64_t id, int64_t epoch) {
    const Augment  *a      = self;
    const RngStream stream = rng_stream(a->seed, "augment");
    const RngKey    key    = key_of(id, epoch);
    if (a->crop_padding > 0) {
        const int n = 2 * a->crop_padding + 1;
        shift(hwc, h, w, c, below(stream, key, DRAW_DOWN, n) - a->crop_padding, below(stream, key, DRAW_ACROSS, n) - a->crop_padding);
    }
    if (a->flip && (rng_bits(stream, key) & 1) != 0) flip(hwc, h, w, c);
}

/* ---- RandAugment ---- */

enum { DRAW_OP, DRAW_SKIP, DRAW_LEVEL, DRAW_SIGN };

void augment_distort(void *self, uint8_t *hwc, uint8_t *spare, int h, int w, int c, int64_t id, int64_t epoch) {
    const Augment  *a      = self;
    const RngStream stream = rng_stream(a->seed, "augment.randaugment");
    const Pixels    pixels = {hwc, spare, h, w, c, a->fill};
    RngKey          key    = key_of(id, epoch);
    for (int i = 0; i < a->randaugment_n; i++) {
        key.layer = i;
        const AugmentOp *op = &augment_ops[below(stream, key, DRAW_OP, AUGMENT_OPS)];
        if (between(stream, key, DRAW_SKIP, 0, 1) < 0.5) continue;
        key.channel = DRAW_LEVEL;
        const double level = a->randaugment_m + a->randaugment_mstd * rng_normal(stream, key);
        op->apply(&pixels, op->argument(fmax(0, fmin(10, level)), between(stream, key, DRAW_SIGN, 0, 1) < 0.5));
    }
}
