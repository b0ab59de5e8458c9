/* The operations of RandAugment against Pillow's results (tests/golden/augment/make.py), their levels against timm's arithmetic, how
 * they are drawn, and what else happens to one image: random resized crop and erasing. */
#include "harness/data/augment_ops.h"
#include "engine/clock.h"
#include "engine/rng.h"
#include "harness/data/augment.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above */
#include <cmocka.h>

/* ---- single operations ---- */

typedef struct Case {
    char           name[17];
    double         argument;
    int32_t        c, w, h;
    const uint8_t *fill, *before, *after;
} Case;

static uint8_t *read_cases(size_t *n) {
    FILE *f = fopen("tests/golden/augment/ops.bin", "rb");
    if (f == NULL) fail_msg("no tests/golden/augment/ops.bin");
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*n);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static const uint8_t *next_case(const uint8_t *p, Case *out) {
    memset(out, 0, sizeof *out);
    memcpy(out->name, p, 16);
    memcpy(&out->argument, p + 16, 8);
    memcpy(&out->c, p + 24, 4);
    memcpy(&out->w, p + 28, 4);
    memcpy(&out->h, p + 32, 4);
    const size_t n = (size_t)out->c * (size_t)out->w * (size_t)out->h;
    out->fill   = p + 36;
    out->before = p + 39;
    out->after  = out->before + n;
    return out->after + n;
}

static const AugmentOp *op_named(const char *name) {
    for (int i = 0; i < AUGMENT_OPS; i++)
        if (strcmp(augment_ops[i].name, name) == 0) return &augment_ops[i];
    return NULL;
}

/* Bytes that differ from the expected ones. Buffers of exact size, so that the sanitizer sees a step outside. */
static int differences(const Case *k, double argument) {
    const size_t n   = (size_t)k->c * (size_t)k->w * (size_t)k->h;
    uint8_t     *hwc = malloc(n), *spare = malloc(n), fill[3];
    int          different = 0;
    memcpy(hwc, k->before, n);
    memcpy(fill, k->fill, 3);
    const AugmentOp *op = op_named(k->name);
    if (op == NULL) fail_msg("no operation %s", k->name);
    op->apply(&(Pixels){hwc, spare, k->h, k->w, k->c, fill}, argument);
    for (size_t i = 0; i < n; i++) different += hwc[i] != k->after[i];
    free(hwc);
    free(spare);
    return different;
}

/* No tolerance: the arithmetic is Pillow's, integer or in the same order of IEEE operations, so that nothing may differ. */
static void every_operation_gives_the_bytes_of_pillow(void **state) {
    (void)state;
    size_t   n;
    uint8_t *bytes = read_cases(&n);
    int      n_of[AUGMENT_OPS] = {0}, n_cases = 0;
    Case     k;
    for (const uint8_t *p = bytes; p < bytes + n; n_cases++) {
        p = next_case(p, &k);
        assert_true(p <= bytes + n);
        const int different = differences(&k, k.argument);
        if (different > 0) fail_msg("%s(%g) on %dx%dx%d: %d bytes differ", k.name, k.argument, k.h, k.w, k.c, different);
        n_of[op_named(k.name) - augment_ops]++;
    }
    for (int i = 0; i < AUGMENT_OPS; i++)
        if (n_of[i] < 8) fail_msg("%s: %d cases", augment_ops[i].name, n_of[i]);
    assert_int_equal(n_cases, 2 * (5 * 41 + 1));
    free(bytes);
}

/* The comparison sees an argument that is a little off, for each operation that has one, and names that are swapped. */
static void the_comparison_notices_a_wrong_argument(void **state) {
    (void)state;
    size_t   n;
    uint8_t *bytes = read_cases(&n);
    bool     noticed[AUGMENT_OPS] = {false}, mistaken = false;
    Case     k;
    for (const uint8_t *p = bytes; p < bytes + n;) {
        p = next_case(p, &k);
        const bool   whole = strcmp(k.name, "posterize") == 0 || strncmp(k.name, "solarize", 8) == 0;
        const double other = whole ? k.argument + (k.argument > 3 ? -1 : 1) : k.argument + 0.05;
        noticed[op_named(k.name) - augment_ops] |= differences(&k, other) > 0;
        if (strcmp(k.name, "shear_x") == 0) {
            strcpy(k.name, "shear_y");
            mistaken |= differences(&k, k.argument) > 0;
        }
    }
    for (int i = AUGMENT_OP_rotate; i < AUGMENT_OPS; i++)
        if (!noticed[i]) fail_msg("%s", augment_ops[i].name);
    assert_true(mistaken);
    free(bytes);
}

/* Against timm's formulas worked out by hand; int() cuts, and 9/10*4 is 3.6. */
static void levels_become_the_arguments_of_the_increasing_variant(void **state) {
    (void)state;
    static const struct { const char *name; double level; bool negative; double argument; } cases[] = {
        {"rotate", 9, false, 27},        {"rotate", 9, true, -27},          {"rotate", 0, false, 0},        {"shear_x", 10, false, 0.3},
        {"shear_y", 5, true, -0.15},     {"translate_x", 9, false, 0.405},  {"translate_y", 10, true, -0.45}, {"posterize", 0, false, 4},
        {"posterize", 2.49, false, 4},   {"posterize", 2.5, true, 3},       {"posterize", 9, false, 1},     {"posterize", 10, false, 0},
        {"solarize", 0, false, 256},     {"solarize", 9, false, 26},        {"solarize", 10, false, 0},     {"solarize_add", 9, false, 99},
        {"solarize_add", 10, false, 110}, {"color", 9, false, 1.81},        {"contrast", 9, true, 0.19},    {"brightness", 10, true, 0.1},
        {"sharpness", 0, true, 1},       {"invert", 9, true, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double got = op_named(cases[i].name)->argument(cases[i].level, cases[i].negative);
        if (!(fabs(got - cases[i].argument) < 1e-12))                /* a few roundings of numbers up to 256 */
            fail_msg("%s(%g): %.17g", cases[i].name, cases[i].level, got);
    }
}

static void colour_of_a_grey_image_stays(void **state) {
    (void)state;
    uint8_t grey[4] = {1, 2, 100, 255}, spare[4];
    const uint8_t fill[1] = {0}, before[4] = {1, 2, 100, 255};
    op_named("color")->apply(&(Pixels){grey, spare, 2, 2, 1, fill}, 0.1);
    assert_memory_equal(grey, before, 4);
}

/* ---- as they are drawn ---- */

enum { SIDE = 8, BYTES = SIDE * SIDE * 3 };

static Augment with_settings(const char *text) {
    AugmentSettings a;
    Error           err;
    fields_default(augment_fields, &a);
    if (!fields_set_from_text(augment_fields, &a, text, "/train", &err) || !augment_check(&a, &err)) fail_msg("%s", err.message);
    return augment_create(&a, 5, (const float[]){0.485f, 0.456f, 0.406f}, 3);
}

static void pattern(uint8_t *out, int n) {
    for (int i = 0; i < n; i++) out[i] = (uint8_t)(37 * i + i * i % 11);
}

static void distorted(Augment *a, int64_t id, int64_t epoch, uint8_t out[BYTES]) {
    uint8_t spare[BYTES];
    pattern(out, BYTES);
    augment_distort(a, out, spare, SIDE, SIDE, 3, id, epoch);
}

static void defaults_change_nothing_and_fill_is_the_mean(void **state) {
    (void)state;
    Augment       a = with_settings("");
    LoaderOptions o = {0};
    assert_memory_equal(a.fill, ((const uint8_t[]){124, 116, 104}), 3);        /* as timm rounds it */
    augment_hook(&a, &o);
    assert_true(o.crop == NULL && o.transform == NULL && o.distort == NULL && o.finish == NULL);
    assert_int_equal(a.repeats, 1);
    a = with_settings("flip=true randaugment_n=2 erasing=0.25 random_resized_crop=true");
    augment_hook(&a, &o);
    assert_true(o.crop == augment_crop && o.transform == augment_image && o.distort == augment_distort && o.finish == augment_finish);
    assert_true(o.transform_self == &a);
}

static void empty_ranges_are_refused(void **state) {
    (void)state;
    AugmentSettings a;
    Error           err = {0};
    fields_default(augment_fields, &a);
    a.rrc_scale_min = 0.9;
    a.rrc_scale_max = 0.5;
    assert_false(augment_check(&a, &err));
    assert_string_equal(err.field, "/train/rrc_scale_min");
    fields_default(augment_fields, &a);
    a.rrc_ratio_min = 2;
    assert_false(augment_check(&a, &err));
    assert_string_equal(err.field, "/train/rrc_ratio_min");
}

/* Magnitude 9 without spread, one operation: the result is that of an operation with either argument, or the image itself. Counts of
 * binomials lie within five standard deviations; seeded, so they do so always or never. */
static void operations_are_drawn_evenly_and_half_are_skipped(void **state) {
    (void)state;
    enum { N = 6000 };
    Augment a = with_settings("randaugment_n=1 randaugment_mstd=0");
    uint8_t plain[BYTES], out[BYTES], spare[BYTES], made[AUGMENT_OPS][2][BYTES];
    int     n_of[AUGMENT_OPS][2] = {{0}}, n_plain = 0;
    pattern(plain, BYTES);
    for (int i = 0; i < AUGMENT_OPS; i++)
        for (int negative = 0; negative < 2; negative++) {
            memcpy(made[i][negative], plain, BYTES);
            augment_ops[i].apply(&(Pixels){made[i][negative], spare, SIDE, SIDE, 3, a.fill}, augment_ops[i].argument(9, negative));
        }
    for (int64_t id = 0; id < N; id++) {
        distorted(&a, id, 0, out);
        bool found = memcmp(out, plain, BYTES) == 0;
        n_plain += found;
        for (int i = 0; i < AUGMENT_OPS && !found; i++)
            for (int negative = 0; negative < 2 && !found; negative++)
                if (memcmp(out, made[i][negative], BYTES) == 0) {
                    found = true;
                    n_of[i][negative]++;
                }
        assert_true(found);
    }
    /* auto contrast and equalize leave this image as it is: it has all values */
    int n_idle = 0;
    for (int i = 0; i < AUGMENT_OPS; i++) {
        if (memcmp(made[i][0], plain, BYTES) == 0) {
            n_idle++;
            continue;
        }
        const bool   both  = memcmp(made[i][0], made[i][1], BYTES) != 0;
        const double share = 0.5 / AUGMENT_OPS / (both ? 2 : 1);
        for (int negative = 0; negative < (both ? 2 : 1); negative++)
            if (fabs(n_of[i][negative] - N * share) > 5 * sqrt(N * share)) fail_msg("%s: %d", augment_ops[i].name, n_of[i][negative]);
    }
    assert_true(n_idle <= 2);
    const double skipped = 0.5 + 0.5 * n_idle / AUGMENT_OPS;
    assert_true(fabs(n_plain - N * skipped) < 5 * sqrt(N * skipped * (1 - skipped)));
}

/* The level of brightness read back from a white pixel of 100: 100 (1 + 0.09 level). */
static void levels_are_spread_as_asked_and_stay_in_range(void **state) {
    (void)state;
    enum { N = 40000 };
    double  sum = 0, squares = 0;
    int     n = 0;
    Augment a = with_settings("randaugment_n=1 randaugment_m=5 randaugment_mstd=0.5");
    for (int64_t id = 0; id < N; id++) {
        uint8_t grey[BYTES], spare[BYTES];
        memset(grey, 100, sizeof grey);
        grey[0] = 50;                    /* so that no other operation gives one value to all but the first */
        augment_distort(&a, grey, spare, SIDE, SIDE, 3, id, 0);
        const double level = (grey[BYTES - 1] / 100.0 - 1) / 0.09;
        if (grey[0] * 2 > grey[BYTES - 1] + 2 || grey[0] * 2 < grey[BYTES - 1] - 2 || level < 1) continue;
        n++;
        sum += level;
        squares += level * level;
    }
    const double mean = sum / n, sd = sqrt(squares / n - mean * mean);
    assert_in_range(n, 400, 1000);       /* one in sixty: brightness, upwards */
    assert_true(fabs(mean - 5) < 0.15);  /* 0.06 from cutting to whole values, and 4 standard errors of 0.5/sqrt(600) */
    assert_true(fabs(sd - 0.5) < 0.08);
    a = with_settings("randaugment_n=4 randaugment_m=10 randaugment_mstd=10");
    for (int64_t id = 0; id < 500; id++) {
        uint8_t out[BYTES];
        distorted(&a, id, 0, out);       /* a level out of [0,10] would shift by a negative number of bits: the sanitizer sees it */
    }
}

static void seed_epoch_image_and_repeat_change_the_draw_and_nothing_else_does(void **state) {
    (void)state;
    Augment a = with_settings("randaugment_n=3"), b = a;
    int     n_different[4] = {0};
    b.seed++;
    b.crop_padding = 4;
    uint8_t one[BYTES], other[BYTES];
    for (int64_t id = 0; id < 200; id++) {
        distorted(&a, id, 3, one);
        distorted(&b, id, 3, other);
        n_different[0] += memcmp(one, other, BYTES) != 0;
        distorted(&a, id, 4, other);
        n_different[1] += memcmp(one, other, BYTES) != 0;
        distorted(&a, id + 200, 3, other);
        n_different[2] += memcmp(one, other, BYTES) != 0;
        distorted(&a, order_entry(id, 1), 3, other);
        n_different[3] += memcmp(one, other, BYTES) != 0;
        distorted(&a, id, 3, other);
        assert_memory_equal(one, other, BYTES);
    }
    for (int i = 0; i < 4; i++) assert_in_range(n_different[i], 150, 200);     /* both unchanged: (1/2)^6, and a few that agree */
}

/* ---- mirror and shifted crop: what a checkpoint of an older run goes on with ---- */

static void draws_of_mirror_and_crop_are_those_of_the_first_version(void **state) {
    (void)state;
    /* written down from the first version, seed 7: per image whether mirrored, then top and left in [0,4] for padding 2 */
    enum { H = 9, W = 7 };
    Augment a = {.seed = 7, .crop_padding = 2, .flip = true};
    int     k = 0;
    static const char expected[] = "113114111000032104122032103024014101143044014020134041001112"
                                   "034132142143144130042121110103142112104024112100102133021044"
                                   "024131142010044042121004021112112000004010010030022100140123";
    for (int64_t epoch = 0; epoch < 3; epoch++)
        for (int64_t id = 0; id < 20; id++) {
            uint8_t image[H * W];
            for (int i = 0; i < H * W; i++) image[i] = (uint8_t)(i + 1);
            augment_image(&a, image, H, W, 1, id * 3001, epoch);
            const int  centre   = image[H / 2 * W + W / 2] - 1, dy = centre / W - H / 2, dx = centre % W - W / 2;
            const bool mirrored = image[H / 2 * W + W / 2 + 1] < image[H / 2 * W + W / 2];
            assert_int_equal(expected[k++], '0' + mirrored);
            assert_int_equal(expected[k++], '0' + dy + 2);
            assert_int_equal(expected[k++], '0' + dx + 2);
        }
    assert_int_equal(strlen(expected), k);
}

/* ---- random resized crop ---- */

static void crops_have_the_area_and_ratio_asked_for(void **state) {
    (void)state;
    enum { N = 4000, H = 375, W = 500 };
    Augment a = with_settings("random_resized_crop=true");
    double  area_sum = 0, log_ratio_sum = 0;
    CropBox box;
    for (int64_t id = 0; id < N; id++) {
        augment_crop(&a, H, W, id, 2, &box);
        assert_true(box.top >= 0 && box.left >= 0 && box.top + box.height <= H && box.left + box.width <= W);
        assert_int_equal(box.filter, FILTER_BICUBIC);
        const double area = (double)box.height * box.width / (H * W), ratio = (double)box.width / box.height;
        assert_true(area > 0.078 && area <= 1);                                /* sides of 100 and more are rounded by half a pixel */
        assert_true(ratio > 0.745 && ratio < 1.345);
        area_sum += area;
        log_ratio_sum += log(ratio);
    }
    /* the rule drawn 200000 times with another generator gives means 0.4328 (large areas rarely fit) and 0.0309, deviations 0.217 and 0.16:
     * five standard errors */
    assert_true(fabs(area_sum / N - 0.4328) < 5 * 0.217 / sqrt(N));
    assert_true(fabs(log_ratio_sum / N - 0.0309) < 5 * 0.16 / sqrt(N));
}

static void positions_of_crops_are_even(void **state) {
    (void)state;
    enum { N = 6000 };
    Augment a = with_settings("random_resized_crop=true rrc_scale_min=0.25 rrc_scale_max=0.25 rrc_ratio_min=1 rrc_ratio_max=1 rrc_filter=bilinear");
    int     n_top[7] = {0}, n_left[7] = {0};
    CropBox box;
    for (int64_t id = 0; id < N; id++) {
        augment_crop(&a, 12, 12, id, 0, &box);
        assert_true(box.height == 6 && box.width == 6 && box.filter == FILTER_BILINEAR);
        n_top[box.top]++;
        n_left[box.left]++;
    }
    for (int i = 0; i < 7; i++) {                                              /* binomial, five standard deviations */
        assert_true(fabs(n_top[i] - N / 7.0) < 5 * sqrt(N / 7.0 * 6 / 7));
        assert_true(fabs(n_left[i] - N / 7.0) < 5 * sqrt(N / 7.0 * 6 / 7));
    }
}

static void an_image_too_long_for_any_crop_gives_its_centre(void **state) {
    (void)state;
    Augment a = with_settings("random_resized_crop=true rrc_scale_min=0.9");
    CropBox box;
    augment_crop(&a, 30, 300, 1, 0, &box);                                     /* 4/3 of 30 is 40 */
    assert_true(box.top == 0 && box.height == 30 && box.width == 40 && box.left == 130);
    augment_crop(&a, 301, 30, 1, 0, &box);                                     /* 30/(3/4) is 40, (301-40)/2 is cut */
    assert_true(box.top == 130 && box.height == 40 && box.width == 30 && box.left == 0);
    augment_crop(&a, 1, 1, 1, 0, &box);
    assert_true(box.top == 0 && box.left == 0 && box.height == 1 && box.width == 1);
}

static void a_crop_is_resized_without_what_lies_around_it(void **state) {
    (void)state;
    enum { H = 11, W = 13 };
    uint8_t picture[H * W * 3], part[5 * 7 * 3], got[8 * 8 * 3], want[8 * 8 * 3];
    for (int i = 0; i < H * W * 3; i++) picture[i] = (uint8_t)(i * 91);
    for (int y = 0; y < 5; y++) memcpy(part + y * 7 * 3, picture + ((y + 2) * W + 4) * 3, 7 * 3);
    const Image whole = {.width = W, .height = H, .channels = 3, .pixels = picture}, alone = {.width = 7, .height = 5, .channels = 3, .pixels = part};
    assert_true(resize_crop(&whole, &(CropBox){2, 4, 5, 7, FILTER_BICUBIC}, 8, 8, got, NULL));
    assert_true(resize_box(&alone, &(ResizeTarget){.height = 8, .width = 8, .box_height = 8, .box_width = 8}, FILTER_BICUBIC, want, NULL));
    assert_memory_equal(got, want, sizeof want);
    assert_true(resize_crop(&whole, &(CropBox){2, 5, 5, 7, FILTER_BICUBIC}, 8, 8, got, NULL));
    assert_memory_not_equal(got, want, sizeof want);
}

/* Number 3 of the photographs' folder is exif6_small.jpg, stored as 20x10 and to be turned by a quarter. */
static void a_view_is_the_decoded_image_upright_where_the_preset_says_so(void **state) {
    (void)state;
    static const char *const presets[] = {"deit", "deit+exif"};
    for (int upright = 0; upright < 2; upright++) {
        Dataset *d   = NULL;
        Error    err = {0};
        Image    image;
        int      label;
        if (!dataset_open(&d, &(DatasetOptions){.name_or_dir = "tests/golden/images", .preprocess = presets[upright]}, &err) ||
            !dataset_view(d, 3, &image, &label, &err))
            fail_msg("%s: %s", err.input, err.message);
        assert_int_equal(image.width, upright ? 10 : 20);
        assert_int_equal(image.height, upright ? 20 : 10);
        assert_int_equal(image.channels, 3);
        assert_int_equal(d->height, 224);
        image_free(&image);
        dataset_close(d);
    }
}

/* ---- erasing ---- */

enum { E_H = 20, E_W = 24, E_N = E_H * E_W };

static void erased_rectangles_have_area_and_ratio_of_the_rule(void **state) {
    (void)state;
    enum { N = 4000 };
    Augment a = with_settings("erasing=0.25 erasing_mode=const");
    int     n_erased = 0;
    for (int64_t id = 0; id < N; id++) {
        float image[2][E_N];
        int   top = E_H, left = E_W, bottom = -1, right = -1, n = 0;
        for (int i = 0; i < E_N; i++) image[0][i] = image[1][i] = 7;
        augment_finish(&a, image[0], 2, E_H, E_W, id, 0);
        assert_memory_equal(image[0], image[1], sizeof image[0]);
        for (int i = 0; i < E_N; i++) {
            if (image[0][i] == 7) continue;
            assert_true(image[0][i] == 0);
            const int y = i / E_W, x = i % E_W;
            top    = y < top ? y : top;
            left   = x < left ? x : left;
            bottom = y > bottom ? y : bottom;
            right  = x > right ? x : right;
            n++;
        }
        if (n == 0) continue;
        n_erased++;
        const int height = bottom - top + 1, width = right - left + 1;
        assert_int_equal(n, height * width);
        assert_true(height < E_H && width < E_W);
        /* sides from rounding reals: half a pixel each */
        assert_true((height + 0.5) * (width + 0.5) >= 0.02 * E_N && (height - 0.5) * (width - 0.5) <= E_N / 3.0);
        assert_true((height + 0.5) / (width - 0.5) >= 0.3 && (height - 0.5) / (width + 0.5) <= 1 / 0.3);
    }
    assert_true(fabs(n_erased - N * 0.25) < 5 * sqrt(N * 0.25 * 0.75));
}

static void erased_pixels_become_standard_normal_noise(void **state) {
    (void)state;
    Augment a = with_settings("erasing=1");
    double  sum = 0, squares = 0, between_channels = 0;
    int     n = 0;
    for (int64_t id = 0; id < 200; id++) {
        float image[2][E_N];
        for (int i = 0; i < E_N; i++) image[0][i] = image[1][i] = 99;
        augment_finish(&a, image[0], 2, E_H, E_W, id, 0);
        for (int i = 0; i < E_N; i++) {
            assert_true((image[0][i] == 99) == (image[1][i] == 99));
            if (image[0][i] == 99) continue;
            n++;
            sum += image[0][i];
            squares += image[0][i] * image[0][i];
            between_channels += image[0][i] * image[1][i];
        }
    }
    assert_true(n > 8000);                                     /* a sixth of 200 * 480 on average */
    assert_true(fabs(sum / n) < 5 / sqrt(n));                  /* standard errors of mean, variance and product: 1, sqrt 2 and 1 over sqrt n */
    assert_true(fabs(squares / n - 1) < 5 * sqrt(2.0 / n));
    assert_true(fabs(between_channels / n) < 5 / sqrt(n));
}

/* ---- through the loader ---- */

enum { N_IMAGES = 23 };

static void epoch_through_loader(const Dataset *d, int n_threads, int batch_size, int64_t stride, float *by_id) {
    const int64_t size = (int64_t)d->height * d->width * d->channels;
    Augment       a = with_settings("flip=true crop_padding=1 random_resized_crop=true randaugment_n=2 erasing=0.5 repeats=2");
    LoaderOptions o = {.batch_size = batch_size, .n_threads = n_threads};
    Loader       *l = NULL;
    int64_t       order[2 * N_IMAGES];
    Error         err = {0};
    for (int64_t i = 0; i < 2 * N_IMAGES; i++) order[i] = order_entry(i * stride % N_IMAGES, (int)(i / N_IMAGES));
    augment_hook(&a, &o);
    assert_true(loader_create(&l, d, &o, &err) && loader_start(l, order, 2 * N_IMAGES, 5, &err));
    for (;;) {
        const LoaderBatch *b;
        assert_true(loader_next(l, &b, &err));
        if (b == NULL) break;
        for (int i = 0; i < b->n_images; i++)
            memcpy(by_id + (order_image(b->ids[i]) + N_IMAGES * order_repeat(b->ids[i])) * size, b->images + i * size,
                   (size_t)size * sizeof *by_id);
    }
    loader_destroy(l);
}

static void check_independence(const char *name, int image_size, const char *preprocess) {
    Dataset *d   = NULL;
    Error    err = {0};
    if (!dataset_open(&d, &(DatasetOptions){.name_or_dir = name, .image_size = image_size, .preprocess = preprocess}, &err))
        fail_msg("%s", err.message);
    const size_t size = (size_t)(d->height * d->width * d->channels), n = 2 * N_IMAGES * size;
    float       *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);
    epoch_through_loader(d, 0, 8, 1, want);
    const int threads[] = {0, 1, 2, 3}, batches[] = {46, 5, 8, 1}, strides[] = {1, 7, 22, 5};
    for (int k = 0; k < 4; k++) {
        memset(got, 0, n * sizeof *got);
        epoch_through_loader(d, threads[k], batches[k], strides[k], got);
        assert_memory_equal(got, want, n * sizeof *want);
    }
    for (size_t i = 0; i < N_IMAGES; i++)                      /* the second time is drawn anew */
        assert_memory_not_equal(want + i * size, want + (N_IMAGES + i) * size, size * sizeof *want);
    dataset_close(d);
    free(want);
    free(got);
}

static void images_do_not_depend_on_threads_order_or_batch(void **state) {
    (void)state;
    check_independence("synthetic:9x11x3:10:23", 0, NULL);
    check_independence("synthetic:9x11x1:10:23", 0, NULL);
    check_independence("synthetic:30x20x3:10:23", 16, "deit");
}

/* ---- speed: printed; the bounds are ten times what was measured, for machines that do other things as well ---- */

static double best_us(Augment *a, int side, int c) {
    enum { N = 400 };
    uint8_t image[32 * 32 * 3], spare[32 * 32 * 3];
    double  best = 1e9;
    for (int round = 0; round < 5; round++) {
        const uint64_t start = clock_now_ns();
        for (int64_t id = 0; id < N; id++) {
            pattern(image, 16);
            if (a->randaugment_n > 0) augment_distort(a, image, spare, side, side, c, id, round);
            else augment_image(a, image, side, side, c, id, round);
        }
        best = fmin(best, (double)(clock_now_ns() - start) / 1000 / N);
    }
    return best;
}

static void augmentation_costs_microseconds(void **state) {
    (void)state;
    Augment      shifted = with_settings("flip=true crop_padding=2"), rand = with_settings("randaugment_n=2");
    const double small = best_us(&shifted, 28, 1), large = best_us(&rand, 32, 3);
    print_message("flip and crop, 28x28x1: %.2f us an image; RandAugment n=2, 32x32x3: %.2f us\n", small, large);
    assert_true(small < 300 && large < 6000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_gives_the_bytes_of_pillow),
        cmocka_unit_test(the_comparison_notices_a_wrong_argument),
        cmocka_unit_test(levels_become_the_arguments_of_the_increasing_variant),
        cmocka_unit_test(colour_of_a_grey_image_stays),
        cmocka_unit_test(defaults_change_nothing_and_fill_is_the_mean),
        cmocka_unit_test(empty_ranges_are_refused),
        cmocka_unit_test(operations_are_drawn_evenly_and_half_are_skipped),
        cmocka_unit_test(levels_are_spread_as_asked_and_stay_in_range),
        cmocka_unit_test(seed_epoch_image_and_repeat_change_the_draw_and_nothing_else_does),
        cmocka_unit_test(draws_of_mirror_and_crop_are_those_of_the_first_version),
        cmocka_unit_test(crops_have_the_area_and_ratio_asked_for),
        cmocka_unit_test(positions_of_crops_are_even),
        cmocka_unit_test(an_image_too_long_for_any_crop_gives_its_centre),
        cmocka_unit_test(a_crop_is_resized_without_what_lies_around_it),
        cmocka_unit_test(a_view_is_the_decoded_image_upright_where_the_preset_says_so),
        cmocka_unit_test(erased_rectangles_have_area_and_ratio_of_the_rule),
        cmocka_unit_test(erased_pixels_become_standard_normal_noise),
        cmocka_unit_test(images_do_not_depend_on_threads_order_or_batch),
        cmocka_unit_test(augmentation_costs_microseconds),
    };
    return cmocka_run_group_tests_name("augment_ops", tests, NULL, NULL);
}
