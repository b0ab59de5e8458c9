/* Depths over a data set: loads, entropy, MaxVio, dead positions in blocks of 500 images, maps of every image. */
#include "harness/measure/depth_record.h"

#include "engine/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { T = 5 };

static DepthRecord *record_of(int64_t B, int max_depth, const int32_t *depth) {
    DepthRecord *r   = NULL;
    Error        err = {0};
    assert_true(depth_record_create(&r, &err));
    depth_record_keep(r);
    for (int64_t b = 0; b < B; b += 3) {                       /* in batches of three, the last one smaller */
        const ModelOutput y = {.depth = (int32_t *)(uintptr_t)(depth + b * T), .n_tokens = T, .n_prefix = 1, .max_depth = max_depth};
        assert_true(depth_record_add(r, &y, B - b < 3 ? B - b : 3, &err));
    }
    return r;
}

static void figures_are_those_of_a_hand_count(void **state) {
    (void)state;
    /* two images, class token first: patches 1 1 2 4 and 1 2 2 4 of 4 */
    const int32_t depth[] = {4, 1, 1, 2, 4, 4, 1, 2, 2, 4};
    DepthRecord *r = record_of(2, 4, depth);
    const DepthSummary s = depth_record_summary(r);
    const double p[] = {3.0 / 8, 3.0 / 8, 2.0 / 8};
    double entropy = 0;
    for (int i = 0; i < 3; i++) entropy -= p[i] * log(p[i]);
    assert_true(fabs(s.entropy_nats - entropy) < 1e-12);
    assert_true(fabs(s.max_violation_ratio - (3 - 2) / 2.0) < 1e-12);       /* loads 3 3 0 2, mean 2 */
    assert_true(s.always_ratio == 0.25 && s.never_ratio == 0.75 && s.dead_ratio == 0.75);
    assert_true(fabs(s.image_depth_sd - fabs(2.0 - 2.25) / sqrt(2)) < 1e-12);
    int n;
    const double *mean = depth_record_positions(r, &n);
    assert_int_equal(n, T);
    assert_true(mean[0] == 4 && mean[1] == 1 && mean[2] == 1.5 && mean[3] == 2 && mean[4] == 4);
    depth_record_destroy(r);
}

static void one_image_has_no_spread_and_equal_loads_no_violation(void **state) {
    (void)state;
    const int32_t depth[] = {4, 1, 2, 3, 4};
    DepthRecord *r = record_of(1, 4, depth);
    const DepthSummary s = depth_record_summary(r);
    assert_true(isnan(s.image_depth_sd));
    assert_true(fabs(s.max_violation_ratio) < 1e-12 && fabs(s.entropy_nats - log(4)) < 1e-12);
    depth_record_destroy(r);
}

/* Dead within a block of 500 images; alive once in the whole set is not enough. */
static void a_position_is_dead_by_blocks_of_500_images(void **state) {
    (void)state;
    enum { B = 1200 };
    int32_t *depth = malloc(B * T * sizeof *depth);
    assert_non_null(depth);
    for (int b = 0; b < B; b++)
        for (int i = 0; i < T; i++) depth[b * T + i] = i == 1 || (i == 2 && b == 700) ? 2 : 1;
    DepthRecord *r = record_of(B, 2, depth);
    const DepthSummary s = depth_record_summary(r);
    assert_true(fabs(s.dead_ratio - (3 + 2) / 2.0 / 4) < 1e-12);            /* two whole blocks: 3 and 2 of 4 positions */
    assert_true(s.never_ratio == 0.5 && s.always_ratio == 0.25);
    free(depth);
    depth_record_destroy(r);
}

static void the_map_of_every_image_is_kept(void **state) {
    (void)state;
    const int32_t depth[] = {2, 0, 1, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0, 0, 1};
    char          path[] = "/tmp/morbench_test_depths_XXXXXX";
    const int     fd = mkstemp(path);
    DepthRecord  *r = record_of(4, 2, depth);
    SafeFile     *file = NULL;
    Error         err = {0};
    assert_true(fd >= 0);
    close(fd);
    assert_true(depth_record_save(r, path, &err));
    assert_true(safetensors_open(&file, path, &err));
    const SafeEntry *e = safetensors_find(file, "depth");
    assert_non_null(e);
    assert_true(e->dtype == SAFE_U8 && e->n_dims == 2 && e->dim[0] == 4 && e->dim[1] == T);
    for (int i = 0; i < 4 * T; i++) assert_int_equal(((const uint8_t *)e->data)[i], depth[i]);
    safetensors_close(file);
    unlink(path);
    depth_record_destroy(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_a_hand_count),
        cmocka_unit_test(one_image_has_no_spread_and_equal_loads_no_violation),
        cmocka_unit_test(a_position_is_dead_by_blocks_of_500_images),
        cmocka_unit_test(the_map_of_every_image_is_kept),
    };
    return cmocka_run_group_tests_name("depth_record", tests, NULL, NULL);
}
