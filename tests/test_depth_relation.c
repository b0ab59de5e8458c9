/* Depth against edges and distance: hand-made images in which the answer is known. */
#include "harness/measure/depth_relation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 4, N = SIDE * SIDE, PIXELS = 8 };      /* 16 patches of 2x2 pixels */

static const Dataset grey = {.channels = 1, .height = PIXELS, .width = PIXELS, .sd = {0.5f}, .mean = {0.5f}};

/* A result block filled from depths (B, 1 + N) of images (B,C,8,8). */
static json_t *block_of(const Dataset *d, const int32_t *depth, const float *images, int B) {
    DepthRelation    *r   = NULL;
    Error             err = {0};
    JsonSink          sink;
    json_t           *tree = NULL;
    const ModelOutput y = {.depth = (int32_t *)(uintptr_t)depth, .n_tokens = 1 + N, .n_prefix = 1, .max_depth = 3};
    assert_true(depth_relation_create(&r, &err));
    assert_true(depth_relation_add(r, d, &y, images, B, &err));
    json_sink_begin(&sink);
    assert_true(depth_relation_put(r, &sink, &err));
    assert_true(json_sink_finish(&sink, &tree, &err));
    depth_relation_destroy(r);
    return tree;
}

static double number(const json_t *tree, const char *key) {
    const json_t *value = json_object_get(tree, key);
    assert_non_null(value);
    return json_is_null(value) ? NAN : json_number_value(value);
}

/* Light to the right of `edge`: columns edge - 1 and edge have a gradient of 4 (1 + 2 + 1), all others none. */
static void make_edge(float *image, int edge, float dark, float light) {
    for (int i = 0; i < PIXELS * PIXELS; i++) image[i] = i % PIXELS >= edge ? light : dark;
}

static void gradients_are_sobels_with_edge_pixels_repeated(void **state) {
    (void)state;
    int32_t image[PIXELS * PIXELS];
    double  mean[N];
    for (int i = 0; i < PIXELS * PIXELS; i++) image[i] = i % PIXELS >= 3 ? 1 : 0;
    depth_gradients(image, PIXELS, PIXELS, SIDE, mean);
    for (int i = 0; i < N; i++) assert_true(fabs(mean[i] - (i % SIDE == 1 ? 4 : 0)) < 1e-15);
    for (int i = 0; i < PIXELS * PIXELS; i++) image[i] = i;       /* 1 across and 8 down: 8 and 64 inside, half at the edge they run into */
    depth_gradients(image, PIXELS, PIXELS, SIDE, mean);
    assert_true(mean[5] == (double)(float)sqrt(8 * 8 + 64 * 64));
    const double corner = (sqrt(4 * 4 + 32 * 32) + sqrt(8 * 8 + 32 * 32) + sqrt(4 * 4 + 64 * 64) + sqrt(8 * 8 + 64 * 64)) / 4;
    assert_true(fabs(mean[0] - corner) < 0x1p-24 * corner);                /* a rounding to float */
}

/* 5 pixels on a grid of 2: pixel i falls into cell i * 2 / 5, so 3 and 2. */
static void cells_that_do_not_divide_the_image_still_hold_all_of_it_once(void **state) {
    (void)state;
    int32_t image[25];
    double  mean[4], sum, all[1];
    for (int i = 0; i < 25; i++) image[i] = (i * 7) % 11;
    depth_gradients(image, 5, 5, 2, mean);
    depth_gradients(image, 5, 5, 1, all);
    sum = mean[0] * 9 + mean[1] * 6 + mean[2] * 6 + mean[3] * 4;
    assert_true(fabs(sum - all[0] * 25) < 0x1p-23 * sum);                  /* roundings to float */
}

static void tokens_deep_at_edges_correlate_fully_and_at_flat_ones_inversely(void **state) {
    (void)state;
    float   image[2 * PIXELS * PIXELS];
    int32_t depth[2 * (1 + N)];
    make_edge(image, 3, -1, 1);
    make_edge(image + PIXELS * PIXELS, 5, 0, 1);
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < N; i++) depth[b * (1 + N) + 1 + i] = i % SIDE == (b == 0 ? 1 : 2) ? 3 : 1;
    depth[0] = depth[1 + N] = 0;                                  /* the class token counts for nothing */
    json_t *found = block_of(&grey, depth, image, 2);
    assert_true(fabs(number(found, "gradient_spearman") - 1) < 1e-12 && fabs(number(found, "gradient_pearson") - 1) < 1e-12);
    assert_int_equal((int)number(found, "gradient_images_count"), 2);
    assert_true(isnan(number(found, "gradient_spearman_low")));     /* two images have no interval */
    assert_string_equal(json_string_value(json_object_get(found, "gradient_spearman_low_reason")), "not_supported");
    json_decref(found);
    for (int i = 0; i < 2 * (1 + N); i++) depth[i] = 4 - depth[i] > 3 ? 3 : 4 - depth[i];
    found = block_of(&grey, depth, image, 2);
    assert_true(fabs(number(found, "gradient_spearman") + 1) < 1e-12);
    json_decref(found);
}

static void depth_that_falls_with_distance_is_ranked_with_its_ties(void **state) {
    (void)state;
    float   image[PIXELS * PIXELS];
    int32_t depth[1 + N] = {0};
    make_edge(image, 3, 0, 1);
    /* three distances: 4 patches in the middle, 8 beside them, 4 corners */
    for (int i = 0; i < N; i++) {
        const int row = i / SIDE, column = i % SIDE, inner = (row == 1 || row == 2) + (column == 1 || column == 2);
        depth[1 + i] = 1 + inner;
    }
    json_t *found = block_of(&grey, depth, image, 1);
    assert_true(fabs(number(found, "centre_distance_spearman") + 1) < 1e-12);
    const double r[3] = {sqrt(0.5), sqrt(2.5), sqrt(4.5)}, mean = (4 * r[0] + 8 * r[1] + 4 * r[2]) / 16;
    const double squares = (4 * r[0] * r[0] + 8 * r[1] * r[1] + 4 * r[2] * r[2]) - 16 * mean * mean;
    assert_true(fabs(number(found, "centre_distance_pearson") - 4 * (r[0] - r[2]) / sqrt(8 * squares)) < 1e-12);
    json_decref(found);
}

static void colours_weigh_as_luminance_and_by_their_deviation(void **state) {
    (void)state;
    Dataset d = {.channels = 3, .height = PIXELS, .width = PIXELS, .sd = {0.5f, 0.25f, 1.0f}};
    float   image[3 * PIXELS * PIXELS] = {0};
    int32_t depth[1 + N] = {0};
    /* red edge at column 3, green at 5, blue at 1: strengths in luminance 0.299 * 0.5 = 0.1495, 0.587 * 0.25 = 0.14675, 0.114 */
    make_edge(image, 3, 0, 1);
    make_edge(image + PIXELS * PIXELS, 5, 0, 1);
    make_edge(image + 2 * PIXELS * PIXELS, 1, 0, 1);
    const int rank[SIDE] = {1, 3, 2, 0};                          /* of the columns of patches by that strength */
    for (int i = 0; i < N; i++) depth[1 + i] = rank[i % SIDE];
    json_t *found = block_of(&d, depth, image, 1);
    assert_true(fabs(number(found, "gradient_spearman") - 1) < 1e-12);
    json_decref(found);
}

static void images_in_which_one_of_both_is_constant_are_left_out(void **state) {
    (void)state;
    float   image[3 * PIXELS * PIXELS] = {0};                     /* flat, edge, edge */
    int32_t depth[3 * (1 + N)];
    make_edge(image + PIXELS * PIXELS, 3, 0, 1);
    make_edge(image + 2 * PIXELS * PIXELS, 3, 0, 1);
    for (int b = 0; b < 3; b++)
        for (int i = 0; i <= N; i++) depth[b * (1 + N) + i] = b == 2 ? 2 : i % 4;
    json_t *found = block_of(&grey, depth, image, 3);
    assert_int_equal((int)number(found, "gradient_images_count"), 1);
    assert_int_equal((int)number(found, "centre_distance_images_count"), 2);
    json_decref(found);
}

static void a_model_without_depths_of_its_own_has_nothing_to_correlate(void **state) {
    (void)state;
    float   image[PIXELS * PIXELS];
    make_edge(image, 3, 0, 1);
    json_t *found = block_of(&grey, NULL, image, 1);
    assert_true(isnan(number(found, "gradient_spearman")));
    assert_string_equal(json_string_value(json_object_get(found, "gradient_spearman_reason")), "not_supported");
    assert_int_equal((int)number(found, "gradient_images_count"), 0);
    json_decref(found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_sobels_with_edge_pixels_repeated),
        cmocka_unit_test(cells_that_do_not_divide_the_image_still_hold_all_of_it_once),
        cmocka_unit_test(tokens_deep_at_edges_correlate_fully_and_at_flat_ones_inversely),
        cmocka_unit_test(depth_that_falls_with_distance_is_ranked_with_its_ties),
        cmocka_unit_test(colours_weigh_as_luminance_and_by_their_deviation),
        cmocka_unit_test(images_in_which_one_of_both_is_constant_are_left_out),
        cmocka_unit_test(a_model_without_depths_of_its_own_has_nothing_to_correlate),
    };
    return cmocka_run_group_tests_name("depth_relation", tests, NULL, NULL);
}
