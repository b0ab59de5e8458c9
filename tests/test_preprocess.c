/* Decoding and resizing held against what Pillow makes of the same files (tests/golden/images/make.py,
 * tests/golden/preprocess/), and files that are damaged or hostile. */
#include "harness/data/preprocess.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above */
#include <cmocka.h>

static uint8_t *get(const char *folder, const char *name, const char *ending, size_t *n) {
    char path[256];
    snprintf(path, sizeof path, "tests/golden/%s/%s%s", folder, name, ending);
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("no %s", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

typedef struct Difference { int largest; size_t n_different; } Difference;

static Difference compare(const uint8_t *a, const uint8_t *b, size_t n) {
    Difference d = {0, 0};
    for (size_t i = 0; i < n; i++) {
        const int one = abs(a[i] - b[i]);
        if (one > d.largest) d.largest = one;
        d.n_different += one != 0;
    }
    return d;
}

/* Versions of libjpeg differ by a level here and there; with the one Pillow was linked to, nothing differs. */
static bool close_enough(Difference d, size_t n) { return d.largest <= 1 && d.n_different <= n / 100; }

static void check_decoded(const char *name, bool upright) {
    size_t   n, n_expected;
    Image    image;
    Error    err = {0};
    uint8_t *bytes = get("images", name, "", &n), *expected = get("images", name, upright ? ".upright.rgb" : ".rgb", &n_expected);
    if (!image_decode(&image, bytes, n, &err) || !image_to_rgb(&image, &err) ||
        (upright && !image_apply_orientation(&image, &err)))
        fail_msg("%s: %s", name, err.message);
    assert_int_equal((size_t)image.width * (size_t)image.height * 3, n_expected);
    const Difference d = compare(image.pixels, expected, n_expected);
    const bool lossy = strstr(name, ".jpg") != NULL;
    if (lossy ? !close_enough(d, n_expected) : d.n_different > 0)
        fail_msg("%s: %zu of %zu values differ, by up to %d", name, d.n_different, n_expected, d.largest);
    assert_int_equal(image.n_warnings, 0);
    image_free(&image);
    free(bytes);
    free(expected);
}

static void every_kind_of_jpeg_decodes_as_pillow_does(void **state) {
    (void)state;
    static const char *const names[] = {"rgb.jpg", "grey.jpg", "cmyk.jpg", "progressive.jpg", "small.jpg", "exif6_small.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_decoded(names[i], false);
}

static void every_kind_of_png_decodes_as_pillow_does(void **state) {
    (void)state;
#ifdef HAVE_PNG
    static const char *const names[] = {"rgb8.png",  "rgba8.png",  "palette8.png", "palette2.png", "grey1.png",       "grey2.png",
                                        "grey4.png", "grey8.png",  "grey16.png",   "rgb16.png",    "grey_alpha8.png", "grey_alpha16.png",
                                        "rgba16.png"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check_decoded(names[i], false);
#else
    skip();
#endif
}

static void orientation_is_applied_as_pillow_does_and_only_when_asked(void **state) {
    (void)state;
    static const char *const names[] = {"exif3_small.jpg", "exif5_small.jpg", "exif6_small.jpg", "exif8_small.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_decoded(names[i], false);
        check_decoded(names[i], true);
    }
    size_t     n;
    uint8_t   *bytes = get("images", "exif6_small.jpg", "", &n), plain[27], turned[27];
    Image      image;
    Preprocess p;
    assert_true(image_decode(&image, bytes, n, NULL));
    assert_int_equal(image.orientation, 6);
    assert_int_equal(image.width, 20);
    assert_true(preprocess_find(&p, "squash", 3, NULL));
    assert_true(preprocess_apply(&p, &image, plain, NULL));
    assert_true(preprocess_find(&p, "squash+exif", 3, NULL));
    assert_true(preprocess_apply(&p, &image, turned, NULL));
    assert_memory_not_equal(plain, turned, sizeof plain);
    assert_int_equal(image.width, 20);                     /* the image itself is only read */
    image_free(&image);
    free(bytes);
}

/* All eight, on a picture of two pixels: where does each land? */
static void orientations_that_no_file_shows_are_right_too(void **state) {
    (void)state;
    static const struct { int orientation, width; uint8_t pixels[6]; } cases[] = {
        /* 1 2 3     */
        /* 4 5 6     */
        {1, 3, {1, 2, 3, 4, 5, 6}}, {2, 3, {3, 2, 1, 6, 5, 4}}, {3, 3, {6, 5, 4, 3, 2, 1}}, {4, 3, {4, 5, 6, 1, 2, 3}},
        {5, 2, {1, 4, 2, 5, 3, 6}}, {6, 2, {4, 1, 5, 2, 6, 3}}, {7, 2, {6, 3, 5, 2, 4, 1}}, {8, 2, {3, 6, 2, 5, 1, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Image image;
        assert_true(image_create(&image, 3, 2, 1, NULL));
        for (int k = 0; k < 6; k++) image.owner[k] = (uint8_t)(k + 1);
        image.orientation = cases[i].orientation;
        assert_true(image_apply_orientation(&image, NULL));
        assert_int_equal(image.width, cases[i].width);
        assert_memory_equal(image.pixels, cases[i].pixels, 6);
        image_free(&image);
    }
}

static void exif_blocks_are_read_within_their_bounds(void **state) {
    (void)state;
    uint8_t tiff[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6};
    assert_int_equal(image_exif_orientation(tiff, sizeof tiff), 6);
    for (size_t n = 0; n < 22; n++) assert_int_equal(image_exif_orientation(tiff, n), 1);
    tiff[19] = 9;
    assert_int_equal(image_exif_orientation(tiff, sizeof tiff), 1);
    tiff[19] = 6;
    tiff[9]  = 255;
    assert_int_equal(image_exif_orientation(tiff, sizeof tiff), 1);
    tiff[9] = 1;
    memset(tiff + 4, 0xff, 4);
    assert_int_equal(image_exif_orientation(tiff, sizeof tiff), 1);
}

static void whole_presets_match_pillow_and_torchvision(void **state) {
    (void)state;
    static const struct { const char *name, *preset; } cases[] = {
        {"n01440764_tench", "deit"}, {"n01440764_tench", "vit"}, {"n02096051_Airedale", "vit"}, {"n01753488_horned_viper", "deit"}};
    uint8_t *pixels = malloc(224 * 224 * 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char       ending[16];
        size_t     n, n_expected;
        Image      image;
        Preprocess p;
        snprintf(ending, sizeof ending, ".%s.rgb", cases[i].preset);
        uint8_t *bytes = get("preprocess", cases[i].name, ".JPEG", &n), *expected = get("preprocess", cases[i].name, ending, &n_expected);
        assert_true(image_decode(&image, bytes, n, NULL) && image_to_rgb(&image, NULL));
        assert_true(preprocess_find(&p, cases[i].preset, 224, NULL));
        assert_true(preprocess_apply(&p, &image, pixels, NULL));
        assert_int_equal(n_expected, 224 * 224 * 3);
        const Difference d = compare(pixels, expected, n_expected);
        if (!close_enough(d, n_expected)) fail_msg("%s: %zu values differ, by up to %d", cases[i].name, d.n_different, d.largest);
        /* the comparison itself notices a crop that is off by one */
        assert_false(close_enough(compare(pixels + 3, expected, n_expected - 3), n_expected - 3));
        image_free(&image);
        free(bytes);
        free(expected);
    }
    free(pixels);
}

static int32_t next_int(const uint8_t **at) {
    const uint8_t *p = *at;
    *at += 4;
    return (int32_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

static void resizing_is_pillows_to_the_bit_whole_or_in_boxes(void **state) {
    (void)state;
    size_t         n;
    uint8_t       *bytes = get("preprocess/resize", "cases", ".bin", &n);
    const uint8_t *at    = bytes;
    while (at < bytes + n) {
        const int channels = next_int(&at), filter = next_int(&at), w = next_int(&at), h = next_int(&at), to_w = next_int(&at),
                  to_h = next_int(&at);
        const Image    image    = {.width = w, .height = h, .channels = channels, .pixels = at};
        const uint8_t *expected = at + w * h * channels;
        const size_t   n_out    = (size_t)(to_w * to_h * channels);
        uint8_t       *pixels   = malloc(n_out);
        ResizeTarget   whole    = {.width = to_w, .height = to_h, .box_width = to_w, .box_height = to_h};
        assert_true(resize_box(&image, &whole, filter == 1 ? FILTER_BICUBIC : FILTER_BILINEAR, pixels, NULL));
        if (memcmp(pixels, expected, n_out) != 0) fail_msg("%dx%dx%d to %dx%d differs", w, h, channels, to_w, to_h);
        ResizeTarget box = whole;
        box.left         = to_w / 3;
        box.top          = to_h / 4;
        box.box_width    = to_w - box.left - to_w / 5;
        box.box_height   = to_h - box.top - to_h / 3;
        assert_true(resize_box(&image, &box, filter == 1 ? FILTER_BICUBIC : FILTER_BILINEAR, pixels, NULL));
        for (int y = 0; y < box.box_height; y++)
            assert_memory_equal(pixels + y * box.box_width * channels,
                                expected + ((box.top + y) * to_w + box.left) * channels, (size_t)(box.box_width * channels));
        free(pixels);
        at = expected + n_out;
    }
    free(bytes);
}

static void presets_resize_to_the_published_sides(void **state) {
    (void)state;
    static const struct { const char *preset; int size, side; Geometry geometry; } cases[] = {
        {"deit", 224, 256, GEOMETRY_SHORT_SIDE},       {"deit", 384, 438, GEOMETRY_SHORT_SIDE},
        {"vit", 224, 248, GEOMETRY_SHORT_SIDE},        {"vit", 384, 384, GEOMETRY_SHORT_SIDE},
        {"timm_deit", 224, 248, GEOMETRY_SHORT_SIDE},  {"timm_deit", 384, 384, GEOMETRY_SHORT_SIDE},
        {"dynamic_vit", 224, 256, GEOMETRY_SHORT_SIDE}, {"dynamic_vit", 384, 384, GEOMETRY_SQUASH},
        {"tiny_vit", 224, 256, GEOMETRY_SHORT_SIDE},   {"tiny_vit", 512, 512, GEOMETRY_SQUASH},
        {"timm_tiny_vit", 224, 235, GEOMETRY_SHORT_SIDE}, {"timm_tiny_vit", 384, 384, GEOMETRY_SHORT_SIDE},
        {"timm_tiny_vit", 512, 512, GEOMETRY_SQUASH},  {"hf_deit", 224, 256, GEOMETRY_SQUASH},
        {"deit", 0, 256, GEOMETRY_SHORT_SIDE},
    };
    Preprocess p;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(preprocess_find(&p, cases[i].preset, cases[i].size, NULL));
        assert_int_equal(p.resize_side, cases[i].side);
        assert_int_equal(p.geometry, cases[i].geometry);
    }
    assert_true(preprocess_find(&p, "vit", 224, NULL));
    assert_true(p.mean[0] == 0.5f && p.sd[2] == 0.5f);
    Error err = {0};
    assert_false(preprocess_find(&p, "none+exif", 0, &err));
    assert_false(preprocess_find(&p, "deit", 1025, &err));
    assert_false(preprocess_find(&p, "deit", -1, &err));
    assert_string_equal(err.message, "must be in [1, 1024], got -1");
}

/* A picture whose pixels are their column shows where the crop was taken. */
static void crop_offsets_round_halves_to_even(void **state) {
    (void)state;
    static const struct { int width, left; } cases[] = {{235, 6}, {226, 1}, {225, 0}, {227, 2}, {331, 54}, {313, 44}};
    uint8_t *pixels = malloc(224 * 224);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Image      image;
        Preprocess p;
        assert_true(image_create(&image, cases[i].width, 224, 1, NULL));
        for (int k = 0; k < cases[i].width * 224; k++) image.owner[k] = (uint8_t)(k % cases[i].width);
        assert_true(preprocess_find(&p, "vit", 224, NULL));
        p.resize_side = 224;                               /* nothing resized, only cropped */
        assert_true(preprocess_apply(&p, &image, pixels, NULL));
        assert_int_equal(pixels[0], cases[i].left);
        image_free(&image);
    }
    free(pixels);
}

/* ---- damage ---- */

static void assert_undecodable(const uint8_t *bytes, size_t n, int status, const char *part) {
    /* exactly n bytes, so that a sanitizer sees a read beyond */
    uint8_t *exact = malloc(n > 0 ? n : 1);
    memcpy(exact, bytes, n);
    Image image = {0};
    Error err   = {0};
    const bool ok = image_decode(&image, exact, n, &err);
    free(exact);
    if (ok || err.exit_status != status || strstr(err.message, part) == NULL)
        fail_msg("wanted exit %d and '%s', got exit %d: %s", status, part, err.exit_status, ok ? "decoded" : err.message);
    assert_null(image.owner);
}

static void truncated_jpeg_is_refused_wherever_it_ends(void **state) {
    (void)state;
    static const char *const names[] = {"rgb.jpg", "grey.jpg", "cmyk.jpg", "progressive.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t   n;
        uint8_t *bytes = get("images", names[i], "", &n);
        for (size_t keep = 3; keep < n * 9 / 10; keep += 13) assert_undecodable(bytes, keep, EXIT_IO, "JPEG");
        free(bytes);
    }
    assert_undecodable((const uint8_t *)"", 0, EXIT_BAD_INPUT, "neither a JPEG nor a PNG file");
}

static void jpeg_that_declares_what_it_cannot_hold_is_refused(void **state) {
    (void)state;
    size_t   n, at = 0;
    uint8_t *bytes = get("images", "rgb.jpg", "", &n);
    for (size_t i = 0; i + 1 < n && at == 0; i++)
        if (bytes[i] == 0xff && bytes[i + 1] == 0xc0) at = i;
    assert_true(at > 0);
    memset(bytes + at + 5, 0xff, 4);                       /* 65535 x 65535: beyond libjpeg */
    assert_undecodable(bytes, n, EXIT_BAD_INPUT, "Maximum supported image dimension");
    const uint8_t size[2][4] = {{0xea, 0x60, 0xea, 0x60}, {0x1f, 0x40, 0x1f, 0x40}};
    memcpy(bytes + at + 5, size[0], 4);
    assert_undecodable(bytes, n, EXIT_BAD_INPUT, "an image of 60000x60000 is larger than allowed");
    memcpy(bytes + at + 5, size[1], 4);
    assert_undecodable(bytes, n, EXIT_BAD_INPUT, "declares 8000x8000 pixels in");
    memset(bytes + at + 5, 0, 4);
    assert_undecodable(bytes, n, EXIT_IO, "cannot decode JPEG");
    free(bytes);
}

/* A progressive file whose last scan comes again and again: cheap to write, dear to decode. */
static void jpeg_of_many_scans_is_refused(void **state) {
    (void)state;
    size_t   n, last = 0;
    uint8_t *bytes = get("images", "progressive.jpg", "", &n);
    for (size_t i = 0; i + 1 < n; i++)
        if (bytes[i] == 0xff && bytes[i + 1] == 0xda) last = i;
    const size_t scan = n - 2 - last;
    uint8_t *many = malloc(n + 200 * scan);
    memcpy(many, bytes, n - 2);
    for (size_t i = 0; i < 200; i++) memcpy(many + n - 2 + i * scan, bytes + last, scan);
    memcpy(many + n - 2 + 200 * scan, "\xff\xd9", 2);
    assert_undecodable(many, n + 200 * scan, EXIT_BAD_INPUT, "in more than 100 scans");
    free(many);
    free(bytes);
}

static void damaged_png_is_refused(void **state) {
    (void)state;
#ifdef HAVE_PNG
    size_t   n;
    uint8_t *bytes = get("images", "rgb8.png", "", &n);
    for (size_t keep = 8; keep < n; keep += 11) assert_undecodable(bytes, keep, EXIT_IO, "PNG");
    assert_undecodable(bytes, n - 1, EXIT_IO, "PNG");
    for (size_t i = 50; i < n; i += 97) {
        bytes[i] ^= 0x40;
        assert_undecodable(bytes, n, EXIT_IO, "cannot decode PNG");
        bytes[i] ^= 0x40;
    }
    bytes[16] = 0x80;                                      /* 2^31 wide: its checksum is wrong too */
    assert_undecodable(bytes, n, EXIT_IO, "cannot decode PNG");
    free(bytes);
    /* sizes within libpng's limits, above ours, with right checksums */
    static const uint8_t wide[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x80\0\0\0\x80\0\x08\x02\0\0\0\x4b\x1e\x34\x28"
                                  "\0\0\0\x01IDAT\0";
    uint8_t copy[sizeof wide];
    memcpy(copy, wide, sizeof wide);
    assert_undecodable(copy, sizeof copy - 1, EXIT_BAD_INPUT, "an image of 32768x32768 is larger than allowed");
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_jpeg_decodes_as_pillow_does),
        cmocka_unit_test(every_kind_of_png_decodes_as_pillow_does),
        cmocka_unit_test(orientation_is_applied_as_pillow_does_and_only_when_asked),
        cmocka_unit_test(orientations_that_no_file_shows_are_right_too),
        cmocka_unit_test(exif_blocks_are_read_within_their_bounds),
        cmocka_unit_test(whole_presets_match_pillow_and_torchvision),
        cmocka_unit_test(resizing_is_pillows_to_the_bit_whole_or_in_boxes),
        cmocka_unit_test(presets_resize_to_the_published_sides),
        cmocka_unit_test(crop_offsets_round_halves_to_even),
        cmocka_unit_test(truncated_jpeg_is_refused_wherever_it_ends),
        cmocka_unit_test(jpeg_that_declares_what_it_cannot_hold_is_refused),
        cmocka_unit_test(jpeg_of_many_scans_is_refused),
        cmocka_unit_test(damaged_png_is_refused),
    };
    return cmocka_run_group_tests_name("preprocess", tests, NULL, NULL);
}
