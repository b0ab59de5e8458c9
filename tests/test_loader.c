/* Batches must be the same whatever the number of threads, and errors must arrive where they belong. The data set here is a
 * fake whose pixels say which image they are, and which fails, or is slow, at the images asked for. */
#include "harness/data/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

enum { H = 3, W = 5, C = 3, N = 103, IMAGE_BYTES = H * W * C };

typedef struct Fake {
    int64_t    bad[4];                    /* images that cannot be read; -1: none */
    atomic_int n_reads;
    int        delay_us;                  /* of every third image */
} Fake;

static uint8_t pixel_of(int64_t index, int i) { return (uint8_t)(index * 31 + i * 7); }

static bool fake_view(const Dataset *d, int64_t index, Image *image, int *label, Error *err) {
    Fake *f = d->state;
    atomic_fetch_add(&f->n_reads, 1);
    if (f->delay_us > 0 && index % 3 == 0) usleep((useconds_t)f->delay_us);
    for (int i = 0; i < 4; i++)
        if (f->bad[i] == index) return FAIL_STATUS(err, EXIT_IO, "", "image %lld is bad", (long long)index);
    if (!image_create(image, W, H, C, err)) return false;
    for (int i = 0; i < IMAGE_BYTES; i++) image->owner[i] = pixel_of(index, i);
    *label = (int)(index % 10);
    return true;
}

static bool fake_open(Dataset *d, const DatasetOptions *o, const char *arguments, Error *err) {
    (void)d; (void)o; (void)arguments;
    return FAIL(err, "", "a fake is not opened by name");
}

static bool fake_digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err) {
    (void)d; (void)hex;
    return FAIL(err, "", "a fake has no digest");
}

static void fake_close(Dataset *d) { (void)d; }

static const DatasetKind fake_kind = {.name = "fake", .title = "fake", .open = fake_open, .view = fake_view, .digest = fake_digest,
                                      .close = fake_close};

static Dataset fake_dataset(Fake *f) {
    Dataset d = {.kind = &fake_kind, .n_images = N, .n_images_split = N, .n_classes = 10, .height = H, .width = W, .channels = C,
                 .mean = {0.1f, 0.2f, 0.3f}, .sd = {0.5f, 0.6f, 0.7f}, .state = f};
    assert_true(preprocess_find(&d.preprocess, "none", 0, NULL));
    *f = (Fake){.bad = {-1, -1, -1, -1}};
    return d;
}

static void shuffled(int64_t order[N]) {
    for (int64_t i = 0; i < N; i++) order[i] = i * 37 % N;          /* 37 and 103 share no factor */
}

/* Everything an epoch gives, end to end; returns the number of images before the end or an error. */
typedef struct Epoch { float images[N * IMAGE_BYTES]; int32_t labels[N]; int64_t ids[N]; int n, n_batches; Error err; bool failed; } Epoch;

static void run_epoch(Loader *l, int64_t epoch, Epoch *e) {
    int64_t order[N];
    const LoaderBatch *b;
    memset(e, 0, sizeof *e);
    shuffled(order);
    assert_true(loader_start(l, order, N, epoch, NULL));
    for (;;) {
        if (!loader_next(l, &b, &e->err)) {
            e->failed = true;
            assert_null(b);
            return;
        }
        if (b == NULL) return;
        assert_int_equal(b->index, e->n_batches);
        memcpy(e->images + (size_t)e->n * IMAGE_BYTES, b->images, (size_t)b->n_images * IMAGE_BYTES * sizeof(float));
        memcpy(e->labels + e->n, b->labels, (size_t)b->n_images * sizeof *b->labels);
        memcpy(e->ids + e->n, b->ids, (size_t)b->n_images * sizeof *b->ids);
        e->n += b->n_images;
        e->n_batches++;
    }
}

static Loader *created(const Dataset *d, LoaderOptions o) {
    Loader *l   = NULL;
    Error   err = {0};
    if (!loader_create(&l, d, &o, &err)) fail_msg("%s", err.message);
    return l;
}

static void a_batch_is_planar_normalised_and_in_the_order_given(void **state) {
    (void)state;
    Fake    f;
    Dataset d = fake_dataset(&f);
    int64_t order[N];
    Epoch  *e = malloc(sizeof *e);
    Loader *l = created(&d, (LoaderOptions){.batch_size = 10});
    shuffled(order);
    run_epoch(l, 0, e);
    assert_int_equal(loader_n_batches(l), 11);
    assert_int_equal(e->n, N);
    assert_int_equal(e->n_batches, 11);
    for (int i = 0; i < N; i++) {
        assert_int_equal(e->ids[i], order[i]);
        assert_int_equal(e->labels[i], order[i] % 10);
        for (int c = 0; c < C; c++)
            for (int p = 0; p < H * W; p++) {
                /* the same three float operations: equal to the bit */
                const float expected = ((float)pixel_of(order[i], p * C + c) / 255.0f - d.mean[c]) / d.sd[c];
                assert_memory_equal(&e->images[i * IMAGE_BYTES + c * H * W + p], &expected, sizeof expected);
            }
    }
    loader_destroy(l);
    free(e);
}

/* Something that differs by image and epoch and would show if it were applied twice, as to a cached image. */
static void add_to_pixels(void *self, uint8_t *hwc, int h, int w, int c, int64_t image_id, int64_t epoch) {
    const int step = *(int *)self;
    for (int i = 0; i < h * w * c; i++) hwc[i] = (uint8_t)(hwc[i] + step * (image_id + epoch * 11));
}

static void batches_do_not_depend_on_threads_or_cache(void **state) {
    (void)state;
    static const struct { int threads, ahead; int64_t cache; } ways[] = {{1, 0, 0}, {2, 1, -1}, {3, 4, 0}, {7, 0, N * IMAGE_BYTES},
                                                                         {2, 3, N * IMAGE_BYTES - 1}, {16, 30, -1}};
    Fake    f;
    Dataset d = fake_dataset(&f);
    int     step = 3;
    Epoch  *expected = malloc(3 * sizeof *expected), *got = malloc(sizeof *got);
    LoaderOptions o = {.batch_size = 8, .cache_bytes = -1, .transform = add_to_pixels, .transform_self = &step};
    Loader *l = created(&d, o);
    for (int epoch = 0; epoch < 3; epoch++) run_epoch(l, epoch, &expected[epoch]);
    loader_destroy(l);
    assert_memory_not_equal(expected[0].images, expected[1].images, sizeof expected[0].images);
    f.delay_us = 300;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        o.n_threads   = ways[i].threads;
        o.n_ahead     = ways[i].ahead;
        o.cache_bytes = ways[i].cache;
        l = created(&d, o);
        for (int epoch = 0; epoch < 3; epoch++) {
            run_epoch(l, epoch, got);
            assert_false(got->failed);
            assert_int_equal(got->n, N);
            assert_memory_equal(got->images, expected[epoch].images, sizeof got->images);
            assert_memory_equal(got->labels, expected[epoch].labels, sizeof got->labels);
            assert_memory_equal(got->ids, expected[epoch].ids, sizeof got->ids);
        }
        loader_destroy(l);
    }
    free(expected);
    free(got);
}

static void images_that_fit_the_cache_are_decoded_once(void **state) {
    (void)state;
    Fake    f;
    Dataset d = fake_dataset(&f);
    Epoch  *e = malloc(sizeof *e);
    for (int threads = 0; threads <= 2; threads += 2) {
        atomic_store(&f.n_reads, 0);
        Loader *l = created(&d, (LoaderOptions){.batch_size = 8, .n_threads = threads});
        for (int epoch = 0; epoch < 3; epoch++) run_epoch(l, epoch, e);
        assert_int_equal(atomic_load(&f.n_reads), N);
        loader_destroy(l);
    }
    atomic_store(&f.n_reads, 0);
    Loader *l = created(&d, (LoaderOptions){.batch_size = 8, .cache_bytes = N * IMAGE_BYTES - 1});
    for (int epoch = 0; epoch < 3; epoch++) run_epoch(l, epoch, e);
    assert_int_equal(atomic_load(&f.n_reads), 3 * N);
    loader_destroy(l);
    free(e);
}

static void error_arrives_at_its_batch_and_is_the_earliest(void **state) {
    (void)state;
    Fake    f;
    Dataset d = fake_dataset(&f);
    int64_t order[N];
    Epoch  *e = malloc(sizeof *e);
    shuffled(order);
    static const int threads[] = {0, 1, 2, 5};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        /* two in batch 4, listed late first, and one in a later batch */
        const int64_t bad[4] = {order[4 * 8 + 7], order[4 * 8 + 2], order[9 * 8], -1};
        memcpy(f.bad, bad, sizeof bad);
        Loader *l = created(&d, (LoaderOptions){.batch_size = 8, .n_threads = threads[i], .n_ahead = 12});
        char    expected[64];
        snprintf(expected, sizeof expected, "image %lld is bad", (long long)order[4 * 8 + 2]);
        run_epoch(l, 0, e);
        assert_true(e->failed);
        assert_int_equal(e->n_batches, 4);
        assert_string_equal(e->err.message, expected);
        assert_int_equal(e->err.exit_status, EXIT_IO);
        const LoaderBatch *b;
        assert_true(loader_next(l, &b, NULL));             /* the epoch is over, not repeated */
        assert_null(b);
        for (int k = 0; k < 4; k++) f.bad[k] = -1;
        run_epoch(l, 1, e);                                /* and the loader still works */
        assert_false(e->failed);
        assert_int_equal(e->n, N);
        loader_destroy(l);
    }
    free(e);
}

static void an_epoch_can_be_given_up_at_any_batch(void **state) {
    (void)state;
    Fake    f;
    Dataset d = fake_dataset(&f);
    int64_t order[N];
    Epoch  *e = malloc(sizeof *e);
    shuffled(order);
    f.delay_us = 200;
    Loader *l = created(&d, (LoaderOptions){.batch_size = 8, .n_threads = 3, .cache_bytes = -1});
    for (int stop = 0; stop < 13; stop++) {
        const LoaderBatch *b;
        assert_true(loader_start(l, order, N, 0, NULL));
        for (int i = 0; i < stop; i++) assert_true(loader_next(l, &b, NULL));
    }
    run_epoch(l, 0, e);
    assert_int_equal(e->n, N);
    assert_true(loader_start(l, order, N, 0, NULL));
    loader_destroy(l);                                     /* in the middle of work */
    l = created(&d, (LoaderOptions){.batch_size = 8, .n_threads = 3});
    loader_destroy(l);                                     /* never started */
    loader_destroy(NULL);
    free(e);
}

static void last_batch_is_short_or_left_out(void **state) {
    (void)state;
    Fake    f;
    Dataset d = fake_dataset(&f);
    Epoch  *e = malloc(sizeof *e);
    int64_t one = 5;
    const LoaderBatch *b;
    for (int threads = 0; threads < 3; threads++) {
        Loader *l = created(&d, (LoaderOptions){.batch_size = 50, .n_threads = threads, .drop_last = true});
        run_epoch(l, 0, e);
        assert_int_equal(e->n, 100);
        assert_int_equal(loader_n_batches(l), 2);
        assert_true(loader_start(l, &one, 1, 0, NULL));
        assert_true(loader_next(l, &b, NULL));
        assert_null(b);
        loader_destroy(l);
        l = created(&d, (LoaderOptions){.batch_size = 50, .n_threads = threads});
        assert_true(loader_start(l, &one, 1, 0, NULL));
        assert_true(loader_next(l, &b, NULL));
        assert_int_equal(b->n_images, 1);
        assert_int_equal(b->ids[0], 5);
        assert_true(loader_next(l, &b, NULL));
        assert_null(b);
        assert_true(loader_start(l, &one, 0, 0, NULL));    /* nothing at all */
        assert_true(loader_next(l, &b, NULL));
        assert_null(b);
        loader_destroy(l);
    }
    free(e);
}

static void a_batch_stays_whole_until_the_next_is_asked_for(void **state) {
    (void)state;
    Fake    f;
    Dataset d = fake_dataset(&f);
    int64_t order[N];
    shuffled(order);
    Loader *l = created(&d, (LoaderOptions){.batch_size = 4, .n_threads = 4, .n_ahead = 1});
    const LoaderBatch *b;
    assert_true(loader_start(l, order, N, 0, NULL));
    for (int i = 0; i < 5; i++) {
        float copy[4 * IMAGE_BYTES];
        assert_true(loader_next(l, &b, NULL));
        memcpy(copy, b->images, sizeof copy);
        usleep(2000);                                      /* the threads run ahead as far as they may */
        assert_memory_equal(copy, b->images, sizeof copy);
    }
    /* 5 given and 1 ahead: no image beyond batch 6 was touched */
    assert_true(atomic_load(&f.n_reads) <= 6 * 4);
    loader_destroy(l);
}

static void impossible_options_are_refused(void **state) {
    (void)state;
    Fake    f;
    Dataset d = fake_dataset(&f);
    Loader *l;
    Error   err = {0};
    LoaderOptions o = {.batch_size = 0};
    assert_false(loader_create(&l, &d, &o, &err));
    assert_string_equal(err.message, "must be at least 1, got 0");
    assert_null(l);
    o = (LoaderOptions){.batch_size = 1, .n_threads = -1};
    assert_false(loader_create(&l, &d, &o, &err));
    o = (LoaderOptions){.batch_size = 1, .n_ahead = 5000};
    assert_false(loader_create(&l, &d, &o, &err));
    o = (LoaderOptions){.batch_size = 1 << 30, .n_ahead = 1000, .n_threads = 1};
    d.height = d.width = 1024;
    assert_false(loader_create(&l, &d, &o, &err));         /* 12 PiB */
    assert_int_equal(err.exit_status, EXIT_MACHINE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_planar_normalised_and_in_the_order_given),
        cmocka_unit_test(batches_do_not_depend_on_threads_or_cache),
        cmocka_unit_test(images_that_fit_the_cache_are_decoded_once),
        cmocka_unit_test(error_arrives_at_its_batch_and_is_the_earliest),
        cmocka_unit_test(an_epoch_can_be_given_up_at_any_batch),
        cmocka_unit_test(last_batch_is_short_or_left_out),
        cmocka_unit_test(a_batch_stays_whole_until_the_next_is_asked_for),
        cmocka_unit_test(impossible_options_are_refused),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
