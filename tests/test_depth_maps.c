/* Depth maps: which images are chosen, which colour lands on which pixel, and that the file holds it. */
#include "engine/file.h"
#include "harness/data/canvas.h"
#include "harness/report/depth_maps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static DepthRecord *record_of(const int32_t *depth, int n_images, int n_patches, int max_depth) {
    DepthRecord      *r   = NULL;
    Error             err = {0};
    const ModelOutput y = {.depth = (int32_t *)(uintptr_t)depth, .n_tokens = n_patches, .max_depth = max_depth};
    assert_true(depth_record_create(&r, &err));
    depth_record_keep(r);
    assert_true(depth_record_add(r, &y, n_images, &err));
    return r;
}

static void the_deepest_and_shallowest_come_in_order_and_ties_by_index(void **state) {
    (void)state;
    const int32_t depth[] = {1, 1, 3, 3, 2, 2, 3, 3, 0, 1, 2, 2};      /* means 1 3 2 3 0.5 2 */
    DepthRecord  *r = record_of(depth, 6, 2, 3);
    int64_t       index[4];
    depth_maps_extremes(r, true, index, 4);
    assert_true(index[0] == 1 && index[1] == 3 && index[2] == 2 && index[3] == 5);
    depth_maps_extremes(r, false, index, 4);
    assert_true(index[0] == 4 && index[1] == 0 && index[2] == 2 && index[3] == 5);
    depth_maps_extremes(r, false, index, 1);
    assert_true(index[0] == 4);
    depth_record_destroy(r);
}

static void lists_of_images_are_read_whole_or_refused_by_name(void **state) {
    (void)state;
    int64_t *list;
    int      n;
    Error    err = {0};
    assert_true(depth_maps_parse("3,17,0", 20, &list, &n, &err));
    assert_true(n == 3 && list[0] == 3 && list[1] == 17 && list[2] == 0);
    free(list);
    assert_true(depth_maps_parse(NULL, 20, &list, &n, &err) && n == 0);
    free(list);
    const char *const bad[] = {"20", "-1", "3,", "", "a", "3,,4", "3 ,4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(depth_maps_parse(bad[i], 20, &list, &n, &err));
        assert_string_equal(err.field, "--images");
        free(list);
    }
}

static Colour pixel(const Image *image, int x, int y) {
    const uint8_t *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
    return (Colour){p[0], p[1], p[2]};
}

static bool same(Colour a, Colour b) { return a.r == b.r && a.g == b.g && a.b == b.b; }

/* 4x4 pixels, 2x2 patches, two pixels on the canvas each. */
static void every_pixel_has_the_colour_of_its_patch_over_its_own_lightness(void **state) {
    (void)state;
    uint8_t       pixels[16];
    const uint8_t depth[4] = {0, 1, 2, 3};
    Image         canvas;
    Error         err = {0};
    for (int i = 0; i < 16; i++) pixels[i] = (uint8_t)(15 * i);
    const Image image = {.width = 4, .height = 4, .channels = 1, .pixels = pixels};
    assert_true(canvas_create(&canvas, 20, 20, &err));
    depth_map_draw(&canvas, 5, 7, &image, depth, 2, 3, 2);
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++) {
            const Colour c = canvas_scale(depth[y / 2 * 2 + x / 2] / 3.0);
            const int    grey = 15 * (4 * y + x);
            const Colour wanted = {(uint8_t)((2 * c.r + grey) / 3), (uint8_t)((2 * c.g + grey) / 3), (uint8_t)((2 * c.b + grey) / 3)};
            for (int k = 0; k < 4; k++) assert_true(same(pixel(&canvas, 5 + 2 * x + k % 2, 7 + 2 * y + k / 2), wanted));
        }
    assert_true(same(pixel(&canvas, 4, 7), (Colour){255, 255, 255}) && same(pixel(&canvas, 13, 14), (Colour){255, 255, 255}));
    image_free(&canvas);
}

static double lightness(Colour c) { return 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b; }

static void the_scale_rises_in_lightness_so_that_grey_print_shows_it(void **state) {
    (void)state;
    for (int i = 1; i <= 100; i++) assert_true(lightness(canvas_scale(i / 100.0)) >= lightness(canvas_scale((i - 1) / 100.0)));
    assert_true(lightness(canvas_scale(1)) - lightness(canvas_scale(0)) > 180);
    assert_true(same(canvas_scale(-1), canvas_scale(0)) && same(canvas_scale(2), canvas_scale(1)));
}

static void what_reaches_beyond_the_canvas_is_cut_off(void **state) {
    (void)state;
    Image canvas;
    Error err = {0};
    assert_true(canvas_create(&canvas, 6, 6, &err));
    canvas_fill(&canvas, (Place){-5, -5, 100, 100}, (Colour){1, 2, 3});
    canvas_text(&canvas, 3, 3, 3, "0123456789 abc");
    canvas_dot(&canvas, 6, 0, (Colour){9, 9, 9});
    assert_true(same(pixel(&canvas, 0, 0), (Colour){1, 2, 3}));
    image_free(&canvas);
}

static void a_picture_reads_back_as_it_was_drawn(void **state) {
    (void)state;
    Error  err = {0};
    Image  canvas, read;
    void  *bytes;
    size_t n;
    char   path[] = "/tmp/morbench_test_png_XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    if (!image_can_write(&err)) skip();
    assert_true(canvas_create(&canvas, 37, 11, &err));
    for (int i = 0; i < 37 * 11 * 3; i++) canvas.owner[i] = (uint8_t)(i * 7);
    assert_true(image_write_png(&canvas, path, &err));
    assert_true(file_read_all(path, 1 << 20, &bytes, &n, &err));
    assert_true(image_decode(&read, bytes, n, &err));
    assert_true(read.width == 37 && read.height == 11 && read.channels == 3);
    assert_memory_equal(read.pixels, canvas.pixels, 37 * 11 * 3);
    free(bytes);
    image_free(&read);
    assert_false(image_write_png(&canvas, "/nowhere/at/all.png", &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_string_equal(err.input, "/nowhere/at/all.png");
    image_free(&canvas);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_deepest_and_shallowest_come_in_order_and_ties_by_index),
        cmocka_unit_test(lists_of_images_are_read_whole_or_refused_by_name),
        cmocka_unit_test(every_pixel_has_the_colour_of_its_patch_over_its_own_lightness),
        cmocka_unit_test(the_scale_rises_in_lightness_so_that_grey_print_shows_it),
        cmocka_unit_test(what_reaches_beyond_the_canvas_is_cut_off),
        cmocka_unit_test(a_picture_reads_back_as_it_was_drawn),
    };
    return cmocka_run_group_tests_name("depth_maps", tests, NULL, NULL);
}
