/* Pillow's resize with 22-bit coefficients, crops, and the published presets (preprocess.h). */
#include "harness/data/preprocess.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- presets ---- */

enum { DEFAULT_SIDE = 224, MAX_SIDE = 1024, BIG_SIDE = 384 };

#define IMAGENET_MEAN {0.485f, 0.456f, 0.406f}
#define IMAGENET_SD   {0.229f, 0.224f, 0.225f}
#define HALF_MEAN     {0.5f, 0.5f, 0.5f}
#define HALF_SD       {0.5f, 0.5f, 0.5f}

/* From the side of the crop to the side resized to. */
typedef struct Plan { Geometry geometry; int resize_side; } Plan;

/* trunc(size * 256/224), as all pipelines descended from DeiT's write it: 224 -> 256, 384 -> 438 */
static Plan plan_short_256(int size) { return (Plan){GEOMETRY_SHORT_SIDE, size * 256 / 224}; }

static Plan plan_squash(int size) { return (Plan){GEOMETRY_SQUASH, size}; }

static Plan plan_squash_256(int size) { return (Plan){GEOMETRY_SQUASH, size * 256 / 224}; }

static Plan plan_short_256_big_squash(int size) { return size < BIG_SIDE ? plan_short_256(size) : plan_squash(size); }

/* crop share 0.9, and 1 for the models trained at 384: 224 -> 248, 384 -> 384 */
static Plan plan_short_90(int size) { return (Plan){GEOMETRY_SHORT_SIDE, size < BIG_SIDE ? size * 10 / 9 : size}; }

/* crop share 0.95, 1 at 384, squashed above: 224 -> 235 */
static Plan plan_short_95(int size) {
    return size < BIG_SIDE ? (Plan){GEOMETRY_SHORT_SIDE, size * 100 / 95}
                           : (Plan){size <= BIG_SIDE ? GEOMETRY_SHORT_SIDE : GEOMETRY_SQUASH, size};
}

static Plan plan_native(int size) { return (Plan){GEOMETRY_NATIVE, size}; }

/* PRESET(name, plan, filter, mean, sd): whose evaluation it is */
#define PRESETS(PRESET)                                                                                                \
    PRESET(none,          plan_native,               FILTER_BICUBIC,  IMAGENET) /* decoded pixels, all of one size */  \
    PRESET(deit,          plan_short_256,            FILTER_BICUBIC,  IMAGENET) /* official DeiT */                    \
    PRESET(vit,           plan_short_90,             FILTER_BICUBIC,  HALF)     /* timm's ViT, AugReg and original */  \
    PRESET(dynamic_vit,   plan_short_256_big_squash, FILTER_BICUBIC,  IMAGENET) /* official DynamicViT */              \
    PRESET(tiny_vit,      plan_short_256_big_squash, FILTER_BICUBIC,  IMAGENET) /* official TinyViT */                 \
    PRESET(timm_deit,     plan_short_90,             FILTER_BICUBIC,  IMAGENET) /* timm's DeiT */                      \
    PRESET(timm_tiny_vit, plan_short_95,             FILTER_BICUBIC,  IMAGENET) /* timm's TinyViT */                   \
    PRESET(hf_deit,       plan_squash_256,           FILTER_BICUBIC,  IMAGENET) /* transformers' DeiT processor */     \
    PRESET(torchvision,   plan_short_256,            FILTER_BILINEAR, IMAGENET) /* torchvision's reference scripts */  \
    PRESET(squash,        plan_squash,               FILTER_BICUBIC,  IMAGENET) /* whole picture, shape not kept */

typedef struct Preset {
    const char *name;
    Plan      (*plan)(int size);
    Filter      filter;
    float       mean[3], sd[3];
} Preset;

#define PRESET_ROW(id, plan_of, filter_of, statistics) {#id, plan_of, filter_of, statistics##_MEAN, statistics##_SD},
static const Preset presets[] = {PRESETS(PRESET_ROW)};

#define PRESET_NAME(id, plan_of, filter_of, statistics) ", " #id
const char *preprocess_names(void) { return &(PRESETS(PRESET_NAME))[2]; }

static const char EXIF_SUFFIX[] = "+exif";

bool preprocess_find(Preprocess *out, const char *name, int image_size, Error *err) {
    if (name == NULL) name = "none";
    const size_t n         = strlen(name), n_suffix = sizeof EXIF_SUFFIX - 1;
    const bool   with_exif = n > n_suffix && strcmp(name + n - n_suffix, EXIF_SUFFIX) == 0;
    const size_t n_base    = with_exif ? n - n_suffix : n;
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        const Preset *p = &presets[i];
        if (strlen(p->name) != n_base || memcmp(p->name, name, n_base) != 0) continue;
        const int size = image_size == 0 ? DEFAULT_SIDE : image_size;
        if (p->plan != plan_native && (size < 1 || size > MAX_SIDE))
            return FAIL(err, "/data/image_size", "must be in [1, %d], got %d", MAX_SIDE, image_size);
        const Plan plan = p->plan(size);
        if (with_exif && plan.geometry == GEOMETRY_NATIVE)
            return FAIL(err, "/data/preprocess", "none leaves pixels as they are and takes no %s", EXIF_SUFFIX);
        *out = (Preprocess){.geometry = plan.geometry, .filter = p->filter, .resize_side = plan.resize_side,
                            .crop_side = size, .apply_exif = with_exif};
        snprintf(out->name, sizeof out->name, "%s", name);
        memcpy(out->mean, p->mean, sizeof out->mean);
        memcpy(out->sd, p->sd, sizeof out->sd);
        return true;
    }
    return FAIL(err, "/data/preprocess", "no preset '%s'; known: %s; all but none also with %s", name, preprocess_names(),
                EXIF_SUFFIX);
}

void preprocess_text(const Preprocess *p, const float mean[], const float sd[], int channels,
                     char text[PREPROCESS_TEXT_BYTES]) {
    static const char *const filter_names[] = {[FILTER_BILINEAR] = "bilinear", [FILTER_BICUBIC] = "bicubic"};
    char geometry[128], numbers[2][64] = {"", ""};
    if (p->geometry == GEOMETRY_NATIVE)
        snprintf(geometry, sizeof geometry, "native size");
    else
        snprintf(geometry, sizeof geometry, "%s %d %s antialiased, centre crop %d",
                 p->geometry == GEOMETRY_SQUASH ? "squashed to side" : "short side", p->resize_side,
                 filter_names[p->filter], p->crop_side);
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < 2; i++) {
            const size_t used = strlen(numbers[i]);
            snprintf(numbers[i] + used, sizeof numbers[i] - used, " %.6g", (double)(i == 0 ? mean : sd)[c]);
        }
    snprintf(text, PREPROCESS_TEXT_BYTES, "%s: %s, EXIF orientation %s, mean%s, sd%s", p->name, geometry,
             p->apply_exif ? "applied" : "ignored", numbers[0], numbers[1]);
}

/* ---- resize ---- */

/* The kernel works on LANES neighbouring bytes at once; 16 rows of 3 channels or 48 of 1 make the same number. */
enum { LANES = 48, FRACTION_BITS = 22 };

typedef void (*WeighLanes)(const uint8_t *from, size_t stride, const int32_t *weight, int n, uint8_t *to);

/* to[j] = round(sum over k of weight[k] * from[k*stride + j]), clipped to a byte, j < LANES. The sum fits: weights sum to
 * 2^22, their magnitudes to less than 1.5 * 2^22, and 1.5 * 255 * 2^22 < 2^31. */
static inline __attribute__((always_inline)) void weigh_lanes(const uint8_t *restrict from, size_t stride,
                                                              const int32_t *restrict weight, int n, uint8_t *restrict to) {
    int32_t sum[LANES];
    for (int j = 0; j < LANES; j++) sum[j] = 1 << (FRACTION_BITS - 1);
    for (int k = 0; k < n; k++) {
        const uint8_t *row = from + (size_t)k * stride;
        const int32_t  w   = weight[k];
        for (int j = 0; j < LANES; j++) sum[j] += w * row[j];
    }
    for (int j = 0; j < LANES; j++) {
        const int32_t v = sum[j] >> FRACTION_BITS;
        to[j] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static void weigh_lanes_generic(const uint8_t *from, size_t stride, const int32_t *weight, int n, uint8_t *to) {
    weigh_lanes(from, stride, weight, n, to);
}

#if defined(__x86_64__) && !defined(MORBENCH_GENERIC)
__attribute__((target("avx2")))
static void weigh_lanes_avx2(const uint8_t *from, size_t stride, const int32_t *weight, int n, uint8_t *to) {
    weigh_lanes(from, stride, weight, n, to);
}

static WeighLanes weigh_lanes_for_this_cpu(void) {
    return __builtin_cpu_supports("avx2") ? weigh_lanes_avx2 : weigh_lanes_generic;
}
#else
static WeighLanes weigh_lanes_for_this_cpu(void) { return weigh_lanes_generic; }
#endif

static double bilinear(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Keys' cubic with a = -1/2 */
static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* For outputs [first, first+n): from which inputs, with which weights. */
typedef struct Taps {
    int      n, max_taps;
    int     *from, *n_taps;      /* n each */
    int32_t *weight;             /* (n, max_taps) */
    int      in_first, in_end;   /* inputs used by any */
} Taps;

static void taps_free(Taps *t) {
    free(t->from);
    free(t->n_taps);
    free(t->weight);
    *t = (Taps){0};
}

static bool taps_create(Taps *t, int n_in, int n_out, int first, int n, Filter filter, Error *err) {
    double (*const shape)(double) = filter == FILTER_BICUBIC ? bicubic : bilinear;
    const double scale   = (double)n_in / n_out;
    const double widened = scale < 1 ? 1 : scale;            /* antialias: never narrower than an output pixel */
    const double support = (filter == FILTER_BICUBIC ? 2.0 : 1.0) * widened;
    double *exact = NULL;
    bool    ok    = false;

    *t = (Taps){.n = n, .max_taps = (int)ceil(support) * 2 + 1, .in_first = n_in, .in_end = 0};
    t->from   = calloc((size_t)n, sizeof *t->from);
    t->n_taps = calloc((size_t)n, sizeof *t->n_taps);
    t->weight = calloc((size_t)n * (size_t)t->max_taps, sizeof *t->weight);
    exact     = calloc((size_t)t->max_taps, sizeof *exact);
    if (t->from == NULL || t->n_taps == NULL || t->weight == NULL || exact == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate resize weights for %d of %d pixels", n, n_in);
        goto done;
    }
    for (int i = 0; i < n; i++) {
        const double centre = (first + i + 0.5) * scale;
        int from = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        if (from < 0)   from = 0;
        if (end > n_in) end = n_in;
        double total = 0;
        for (int k = 0; k < end - from; k++) {
            exact[k] = shape((k + from - centre + 0.5) * (1 / widened));
            total   += exact[k];
        }
        int32_t *weight = t->weight + (size_t)i * (size_t)t->max_taps;
        for (int k = 0; k < end - from; k++) {
            const double w = (total != 0 ? exact[k] / total : exact[k]) * (1 << FRACTION_BITS);
            weight[k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        t->from[i]   = from;
        t->n_taps[i] = end - from;
        if (from < t->in_first) t->in_first = from;
        if (end > t->in_end)    t->in_end   = end;
    }
    ok = true;
done:
    free(exact);
    if (!ok) taps_free(t);
    return ok;
}

/* Rows [y_first, y_end) of image to `to`, whose rows are to_stride bytes apart: outputs of t, C channels. Strips of rows are
 * turned so that one tap of all rows lies together, then weighed as lanes. `strip` holds the turned inputs,
 * (in_end-in_first)*LANES bytes. */
static void resize_rows(const Image *image, const Taps *t, int y_first, int y_end, uint8_t *to, size_t to_stride,
                        uint8_t *strip, WeighLanes weigh) {
    const int    C      = image->channels, rows = LANES / C;
    const size_t stride = (size_t)image->width * (size_t)C;
    const int    n_in   = (t->in_end - t->in_first) * C;
    uint8_t      out[LANES];
    for (int y = y_first; y < y_end; y += rows) {
        const int n_rows = y_end - y < rows ? y_end - y : rows;
        for (int r = 0; r < rows; r++) {
            /* past the last row its copy fills the lanes: they must hold something defined */
            const int source = y + (r < n_rows ? r : n_rows - 1);
            const uint8_t *restrict from = image->pixels + (size_t)source * stride + (size_t)t->in_first * (size_t)C;
            uint8_t *restrict lane = strip + r;
            for (int i = 0; i < n_in; i++) lane[(size_t)i * (size_t)rows] = from[i];
        }
        for (int x = 0; x < t->n; x++) {
            weigh(strip + (size_t)(t->from[x] - t->in_first) * LANES, LANES,
                  t->weight + (size_t)x * (size_t)t->max_taps, t->n_taps[x], out);
            uint8_t *column = to + (size_t)(y - y_first) * to_stride + (size_t)x * (size_t)C;
            for (int r = 0; r < n_rows; r++)
                for (int c = 0; c < C; c++) column[(size_t)r * to_stride + (size_t)c] = out[c * rows + r];
        }
    }
}

bool resize_box(const Image *image, const ResizeTarget *g, Filter filter, uint8_t *pixels, Error *err) {
    CHECK(image->channels == 1 || image->channels == 3, "resize: %d channels", image->channels);
    CHECK(g->left >= 0 && g->top >= 0 && g->box_width >= 1 && g->box_height >= 1 && g->left <= g->width - g->box_width &&
          g->top <= g->height - g->box_height, "resize: box %dx%d at %d,%d of %dx%d", g->box_width, g->box_height, g->left,
          g->top, g->width, g->height);
    const WeighLanes weigh = weigh_lanes_for_this_cpu();
    const size_t C = (size_t)image->channels, box_bytes = (size_t)g->box_width * C;
    const size_t between_stride = (box_bytes + LANES - 1) / LANES * LANES;
    const bool across = g->width != image->width, down = g->height != image->height;
    bool     ok = false;
    Taps     x_taps = {0}, y_taps = {0};
    uint8_t *between = NULL, *strip = NULL;

    if (across && !taps_create(&x_taps, image->width, g->width, g->left, g->box_width, filter, err)) goto done;
    if (down && !taps_create(&y_taps, image->height, g->height, g->top, g->box_height, filter, err)) goto done;
    const int y_first = down ? y_taps.in_first : g->top, y_end = down ? y_taps.in_end : g->top + g->box_height;
    const size_t strip_bytes = across ? (size_t)(x_taps.in_end - x_taps.in_first) * LANES : 1;
    const size_t between_bytes = (size_t)(y_end - y_first) * between_stride;
    between = malloc(between_bytes);
    strip   = malloc(strip_bytes);
    if (between == NULL || strip == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes to resize %dx%d", between_bytes + strip_bytes,
                    image->width, image->height);
        goto done;
    }
    if (across) {
        resize_rows(image, &x_taps, y_first, y_end, between, between_stride, strip, weigh);
    } else {
        for (int y = y_first; y < y_end; y++)
            memcpy(between + (size_t)(y - y_first) * between_stride,
                   image->pixels + ((size_t)y * (size_t)image->width + (size_t)g->left) * C, box_bytes);
    }
    /* lanes beyond the box are weighed too, and dropped: give them a value */
    for (int y = 0; y < y_end - y_first; y++)
        memset(between + (size_t)y * between_stride + box_bytes, 0, between_stride - box_bytes);
    for (int y = 0; y < g->box_height; y++) {
        uint8_t *to = pixels + (size_t)y * box_bytes;
        if (!down) {
            memcpy(to, between + (size_t)y * between_stride, box_bytes);
            continue;
        }
        const uint8_t *from   = between + (size_t)(y_taps.from[y] - y_first) * between_stride;
        const int32_t *weight = y_taps.weight + (size_t)y * (size_t)y_taps.max_taps;
        size_t j = 0;
        for (; j + LANES <= box_bytes; j += LANES) weigh(from + j, between_stride, weight, y_taps.n_taps[y], to + j);
        if (j < box_bytes) {
            uint8_t last[LANES];
            weigh(from + j, between_stride, weight, y_taps.n_taps[y], last);
            memcpy(to + j, last, box_bytes - j);
        }
    }
    ok = true;
done:
    taps_free(&x_taps);
    taps_free(&y_taps);
    free(between);
    free(strip);
    return ok;
}

bool resize_crop(const Image *image, const CropBox *box, int height, int width, uint8_t *pixels, Error *err) {
    const size_t       C = (size_t)image->channels, row_bytes = (size_t)box->width * C;
    const ResizeTarget whole = {.height = height, .width = width, .box_height = height, .box_width = width};
    Image              part;
    CHECK(box->left >= 0 && box->top >= 0 && box->width >= 1 && box->height >= 1 && box->left <= image->width - box->width &&
          box->top <= image->height - box->height, "crop: box %dx%d at %d,%d of %dx%d", box->width, box->height, box->left, box->top,
          image->width, image->height);
    if (!image_create(&part, box->width, box->height, image->channels, err)) return false;
    for (int y = 0; y < box->height; y++)
        memcpy(part.owner + (size_t)y * row_bytes,
               image->pixels + ((size_t)(box->top + y) * (size_t)image->width + (size_t)box->left) * C, row_bytes);
    const bool ok = resize_box(&part, &whole, box->filter, pixels, err);
    image_free(&part);
    return ok;
}

/* ---- a photograph to a network's input ---- */

/* round((length - crop)/2), halves to the even neighbour */
static int crop_offset(int length, int crop) {
    const int twice = length - crop;
    return twice / 2 + (twice % 2 != 0 && twice / 2 % 2 != 0 ? 1 : 0);
}

static bool place(ResizeTarget *g, const Preprocess *p, int width, int height, Error *err) {
    const int64_t side = p->resize_side, shorter = width < height ? width : height, longer = width < height ? height : width;
    const int64_t other = p->geometry == GEOMETRY_SQUASH ? side : side * longer / shorter;
    if (other > IMAGE_MAX_PIXELS)
        return FAIL(err, "", "an image of %dx%d is too narrow for a short side of %lld", width, height, (long long)side);
    g->width  = (int)(width <= height ? side : other);
    g->height = (int)(width <= height ? other : side);
    g->left   = crop_offset(g->width, p->crop_side);
    g->top    = crop_offset(g->height, p->crop_side);
    g->box_width = g->box_height = p->crop_side;
    return true;
}

bool preprocess_apply(const Preprocess *p, const Image *image, uint8_t *pixels, Error *err) {
    bool ok = false;
    Image upright = *image;              /* borrows, until an orientation makes a copy */
    upright.owner = NULL;
    ResizeTarget target;
    if (p->apply_exif && !image_apply_orientation(&upright, err)) goto done;
    if (p->geometry == GEOMETRY_NATIVE)
        memcpy(pixels, upright.pixels, (size_t)upright.width * (size_t)upright.height * (size_t)upright.channels);
    else if (!place(&target, p, upright.width, upright.height, err) ||
             !resize_box(&upright, &target, p->filter, pixels, err))
        goto done;
    ok = true;
done:
    image_free(&upright);
    return ok;
}
