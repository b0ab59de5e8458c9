/* Augmentation against a naive crop and mirror: what is drawn depends on seed, epoch and image and on nothing else. */
#include "harness/data/augment.h"
#include "harness/data/loader.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above */
#include <cmocka.h>

enum { H = 7, W = 9, C = 3, BYTES = H * W * C };

/* 1..189, every one once: a pixel says where it came from, and 0 that it came from outside. */
static void fill(uint8_t image[BYTES]) {
    for (int i = 0; i < BYTES; i++) image[i] = (uint8_t)(i + 1);
}

static void naive_shift(const uint8_t *in, uint8_t *out, int dy, int dx) {
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < C; c++) {
                const int from_y = y + dy, from_x = x + dx;
                const bool inside = from_y >= 0 && from_y < H && from_x >= 0 && from_x < W;
                out[(y * W + x) * C + c] = inside ? in[(from_y * W + from_x) * C + c] : 0;
            }
}

static void naive_mirror(const uint8_t *in, uint8_t *out) {
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) memcpy(out + (y * W + x) * C, in + (y * W + W - 1 - x) * C, C);
}

static void augmented(Augment a, int64_t id, int64_t epoch, uint8_t out[BYTES]) {
    fill(out);
    augment_image(&a, out, H, W, C, id, epoch);
}

/* Which shift and mirroring makes `image` of the filled one; false: none does. */
static bool explain(const uint8_t image[BYTES], int padding, int *dy, int *dx, bool *mirrored) {
    uint8_t plain[BYTES], moved[BYTES], other[BYTES];
    fill(plain);
    for (*dy = -padding; *dy <= padding; ++*dy)
        for (*dx = -padding; *dx <= padding; ++*dx) {
            naive_shift(plain, moved, *dy, *dx);
            naive_mirror(moved, other);
            *mirrored = memcmp(image, other, BYTES) == 0;
            if (*mirrored || memcmp(image, moved, BYTES) == 0) return true;
        }
    return false;
}

static void without_settings_pixels_stay(void **state) {
    (void)state;
    uint8_t plain[BYTES], out[BYTES];
    fill(plain);
    for (int64_t id = 0; id < 20; id++) {
        augmented((Augment){.seed = 1}, id, 3, out);
        assert_memory_equal(out, plain, BYTES);
    }
}

static void a_crop_keeps_every_pixel_that_stays_and_zeroes_what_enters(void **state) {
    (void)state;
    enum { P = 3, SIDE = 2 * P + 1 };
    int     seen[SIDE][SIDE] = {{0}}, dy, dx, n_seen = 0;
    bool    mirrored;
    uint8_t out[BYTES];
    for (int64_t id = 0; id < 1000; id++) {
        augmented((Augment){.seed = 1, .crop_padding = P}, id, 0, out);
        assert_true(explain(out, P, &dy, &dx, &mirrored));
        assert_false(mirrored);
        seen[dy + P][dx + P]++;
    }
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) n_seen += seen[y][x] > 0;
    assert_int_equal(n_seen, SIDE * SIDE);        /* 1000 draws from 49: one is missed with probability 49 (48/49)^1000 < 1e-7 */
}

static void explain_notices_a_wrong_pixel(void **state) {
    (void)state;
    uint8_t out[BYTES];
    int     dy, dx;
    bool    mirrored;
    augmented((Augment){.seed = 1, .crop_padding = 2, .flip = true}, 5, 0, out);
    assert_true(explain(out, 2, &dy, &dx, &mirrored));
    out[BYTES / 2] ^= 1;
    assert_false(explain(out, 2, &dy, &dx, &mirrored));
}

static void padding_wider_than_the_image_is_fine(void **state) {
    (void)state;
    enum { P = 12 };
    uint8_t out[BYTES];
    int     dy, dx;
    bool    mirrored;
    for (int64_t id = 0; id < 200; id++) {
        augmented((Augment){.seed = 2, .crop_padding = P, .flip = true}, id, 0, out);
        assert_true(explain(out, P, &dy, &dx, &mirrored));
    }
}

static void half_of_the_images_are_mirrored(void **state) {
    (void)state;
    enum { N = 2000 };
    uint8_t plain[BYTES], mirror[BYTES], out[BYTES];
    int     n = 0;
    fill(plain);
    naive_mirror(plain, mirror);
    for (int64_t id = 0; id < N; id++) {
        augmented((Augment){.seed = 1, .flip = true}, id, 0, out);
        const bool mirrored = memcmp(out, mirror, BYTES) == 0;
        assert_true(mirrored || memcmp(out, plain, BYTES) == 0);
        n += mirrored;
    }
    assert_true(fabs(n - N / 2.0) < 5 * sqrt(N / 4.0));        /* five standard deviations of a fair coin */
}

static void mirroring_twice_is_the_identity(void **state) {
    (void)state;
    Augment a = {.seed = 1, .flip = true};
    uint8_t plain[BYTES], out[BYTES];
    fill(plain);
    for (int64_t id = 0; id < 50; id++) {
        memcpy(out, plain, BYTES);
        augment_image(&a, out, H, W, C, id, 0);
        augment_image(&a, out, H, W, C, id, 0);
        assert_memory_equal(out, plain, BYTES);
    }
}

static void seed_epoch_and_image_each_change_the_draw(void **state) {
    (void)state;
    uint8_t a[BYTES], b[BYTES];
    int     n_seed = 0, n_epoch = 0, n_image = 0;
    for (int64_t id = 0; id < 100; id++) {
        const Augment one = {.seed = 1, .crop_padding = 4, .flip = true}, two = {.seed = 2, .crop_padding = 4, .flip = true};
        augmented(one, id, 0, a);
        augmented(two, id, 0, b);
        n_seed += memcmp(a, b, BYTES) != 0;
        augmented(one, id, 1, b);
        n_epoch += memcmp(a, b, BYTES) != 0;
        augmented(one, id + 100, 0, b);
        n_image += memcmp(a, b, BYTES) != 0;
    }
    /* 162 outcomes: 100 pairs agree 0.6 times on average, more than 8 times with probability < 1e-6 */
    assert_in_range(n_seed, 92, 100);
    assert_in_range(n_epoch, 92, 100);
    assert_in_range(n_image, 92, 100);
}

static void cropping_and_mirroring_draw_apart(void **state) {
    (void)state;
    uint8_t both[BYTES], crop[BYTES], mirror[BYTES];
    int     dy, dx, dy2, dx2;
    bool    mirrored, no;
    for (int64_t id = 0; id < 100; id++) {
        augmented((Augment){.seed = 1, .crop_padding = 2, .flip = true}, id, 0, both);
        augmented((Augment){.seed = 1, .crop_padding = 2}, id, 0, crop);
        augmented((Augment){.seed = 1, .flip = true}, id, 0, mirror);
        assert_true(explain(both, 2, &dy, &dx, &mirrored));
        assert_true(explain(crop, 2, &dy2, &dx2, &no));
        assert_int_equal(dy, dy2);
        assert_int_equal(dx, dx2);
        assert_true(explain(mirror, 2, &dy, &dx, &no));
        assert_int_equal(mirrored, no);
    }
}

/* ---- through the loader ---- */

enum { N_IMAGES = 61, FLOATS = N_IMAGES * BYTES };

/* Every image of an epoch by its place in the data set. */
static void epoch_by_id(const Dataset *d, int n_threads, int batch_size, int64_t stride, int64_t epoch, float *by_id) {
    Augment a = {.seed = 3, .crop_padding = 2, .flip = true};
    Loader *l = NULL;
    int64_t order[N_IMAGES];
    Error   err = {0};
    for (int64_t i = 0; i < N_IMAGES; i++) order[i] = i * stride % N_IMAGES;
    assert_true(loader_create(&l, d, &(LoaderOptions){.batch_size = batch_size, .n_threads = n_threads, .transform = augment_image, .transform_self = &a}, &err));
    assert_true(loader_start(l, order, N_IMAGES, epoch, &err));
    for (;;) {
        const LoaderBatch *b;
        assert_true(loader_next(l, &b, &err));
        if (b == NULL) break;
        for (int i = 0; i < b->n_images; i++) memcpy(by_id + b->ids[i] * BYTES, b->images + i * BYTES, BYTES * sizeof *by_id);
    }
    loader_destroy(l);
}

static void draws_do_not_depend_on_threads_order_or_batch(void **state) {
    (void)state;
    Dataset *d    = NULL;
    Error    err  = {0};
    float   *want = malloc(FLOATS * sizeof *want), *got = malloc(FLOATS * sizeof *got);
    assert_true(dataset_open(&d, &(DatasetOptions){.name_or_dir = "synthetic:7x9x3:10:61"}, &err));
    epoch_by_id(d, 0, 8, 1, 5, want);
    const int threads[] = {0, 1, 2, 4, 2, 1}, batches[] = {61, 8, 8, 8, 5, 1}, strides[] = {1, 1, 1, 7, 13, 60};
    for (int k = 0; k < 6; k++) {
        memset(got, 0, FLOATS * sizeof *got);
        epoch_by_id(d, threads[k], batches[k], strides[k], 5, got);
        assert_memory_equal(got, want, FLOATS * sizeof *want);
    }
    epoch_by_id(d, 2, 8, 1, 6, got);
    assert_memory_not_equal(got, want, FLOATS * sizeof *want);
    dataset_close(d);
    free(want);
    free(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_settings_pixels_stay),
        cmocka_unit_test(a_crop_keeps_every_pixel_that_stays_and_zeroes_what_enters),
        cmocka_unit_test(explain_notices_a_wrong_pixel),
        cmocka_unit_test(padding_wider_than_the_image_is_fine),
        cmocka_unit_test(half_of_the_images_are_mirrored),
        cmocka_unit_test(mirroring_twice_is_the_identity),
        cmocka_unit_test(seed_epoch_and_image_each_change_the_draw),
        cmocka_unit_test(cropping_and_mirroring_draw_apart),
        cmocka_unit_test(draws_do_not_depend_on_threads_order_or_batch),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
