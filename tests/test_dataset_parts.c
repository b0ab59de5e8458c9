/* Division into images trained on and held out, images that two sets share, and photographs that change while a run goes on. */
#include "harness/data/dataset.h"

#include <fcntl.h>
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

static void good(bool ok, const Error *err) {
    char text[1024];
    error_text(err, text, sizeof text);
    if (!ok) fail_msg("%s", text);
}

static Dataset *opened(const DatasetOptions *o) {
    Dataset *d   = NULL;
    Error    err = {0};
    good(dataset_open(&d, o, &err), &err);
    return d;
}

/* ---- division ---- */

/* Which of 100 images each place of a part shows: their first pixels tell them apart. */
static void pixels_of(const Dataset *d, uint8_t pixels[][16]) {
    Error err = {0};
    int   label;
    for (int64_t i = 0; i < d->n_images; i++) good(dataset_read(d, i, pixels[i], &label, &err), &err);
}

static void both_parts_together_are_the_whole_each_image_once(void **state) {
    (void)state;
    static const double ratio[] = {0.01, 0.1, 0.333, 0.9};
    static uint8_t whole[100][16], part[100][16];
    DatasetOptions o = {.name_or_dir = "synthetic:4x4x1:10:100", .split = "train"};
    Dataset *d = opened(&o);
    pixels_of(d, whole);
    dataset_close(d);
    for (size_t k = 0; k < sizeof ratio / sizeof *ratio; k++) {
        int seen[100] = {0}, n_held = 0;
        for (o.part = DATASET_TRAINED_ON; o.part <= DATASET_HELD_OUT; o.part++) {
            o.held_out_ratio = ratio[k];
            d = opened(&o);
            pixels_of(d, part);
            assert_int_equal(d->n_images_split, 100);
            assert_int_equal(d->n_images_limited, 100);
            for (int64_t i = 0, from = 0; i < d->n_images; i++, from++) {
                while (from < 100 && memcmp(whole[from], part[i], 16) != 0) from++;        /* in the order of the whole */
                assert_true(from < 100);
                seen[from]++;
            }
            n_held = (int)d->n_images;
            dataset_close(d);
        }
        for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
        assert_int_equal(n_held, (int)(100 * ratio[k] + 0.5));
    }
}

static void the_seed_decides_which_are_held_out(void **state) {
    (void)state;
    static uint8_t first[20][16], again[20][16], other[20][16];
    DatasetOptions o = {.name_or_dir = "synthetic:4x4x1:10:100", .split = "train", .part = DATASET_HELD_OUT, .held_out_ratio = 0.2};
    uint8_t (*const into[])[16] = {first, again, other};
    for (int k = 0; k < 3; k++) {
        o.held_out_seed = k == 2;
        Dataset *d = opened(&o);
        assert_int_equal(d->n_images, 20);
        pixels_of(d, into[k]);
        dataset_close(d);
    }
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
}

static void a_limit_comes_first_and_empty_sides_are_refused(void **state) {
    (void)state;
    DatasetOptions o = {.name_or_dir = "synthetic:4x4x1:10:100", .split = "train", .part = DATASET_HELD_OUT, .held_out_ratio = 0.25, .limit = 20};
    Dataset *d   = opened(&o);
    Error    err = {0};
    assert_int_equal(d->n_images, 5);
    assert_int_equal(d->n_images_limited, 20);
    dataset_close(d);
    static const double ratio[] = {0, 0.01, 0.99};
    for (int k = 0; k < 3; k++) {
        o.held_out_ratio = ratio[k];
        err = (Error){0};
        assert_false(dataset_open(&d, &o, &err));
        assert_string_equal(err.field, "/data/held_out");
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    }
}

/* ---- images in both ---- */

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/test_dataset_parts.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void copy_to(const char *golden, const char *name) {
    char from[160], to[160];
    char bytes[1 << 16];
    snprintf(from, sizeof from, "tests/golden/images/%s", golden);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    const size_t n = fread(bytes, 1, sizeof bytes, in);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    fclose(out);
}

/* Two classes; train holds rgb.jpg, grey.jpg and cmyk.jpg. */
static void make_tree(void) {
    static const char *const folders[] = {"train", "train/a", "train/b", "test", "test/a", "test/b"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        mkdir(path, 0700);
    }
    copy_to("rgb.jpg", "train/a/1.jpg");
    copy_to("grey.jpg", "train/a/2.jpg");
    copy_to("cmyk.jpg", "train/b/1.jpg");
    copy_to("progressive.jpg", "test/a/1.jpg");
    copy_to("rgb8.png", "test/b/1.png");
}

static int64_t shared(const Dataset *a, const Dataset *b) {
    Error   err = {0};
    int64_t n   = -1;
    good(dataset_count_shared(a, b, &n, &err), &err);
    return n;
}

static DatasetOptions split(const char *name) { return (DatasetOptions){.name_or_dir = folder, .split = name, .preprocess = "deit", .image_size = 32}; }

static void a_file_in_both_splits_is_counted_wherever_it_lies(void **state) {
    (void)state;
    const DatasetOptions train = split("train"), test = split("test");
    make_tree();
    Dataset *a = opened(&train), *b = opened(&test);
    assert_int_equal(shared(a, b), 0);
    assert_int_equal(shared(a, a), 3);
    dataset_close(b);
    copy_to("grey.jpg", "test/b/other.jpg");                /* another name, another class */
    copy_to("grey.jpg", "test/b/twice.jpg");
    b = opened(&test);
    assert_int_equal(shared(a, b), 2);
    assert_int_equal(shared(b, a), 1);
    char hex[SHA256_TEXT_SIZE];
    good(dataset_digest(a, hex, NULL) && dataset_digest(b, hex, NULL), &(Error){0});
    assert_int_equal(shared(a, b), 2);                      /* the same from what the digest left behind */
    dataset_close(a);
    dataset_close(b);
}

static void put_idx(const char *name, const uint8_t *header, size_t n_header, const uint8_t *data, size_t n) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(header, 1, n_header, f), n_header);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

/* 8 training images and 4 test images of which the last is training image 5 with another label. */
static void an_image_in_both_idx_files_is_counted_by_its_pixels(void **state) {
    (void)state;
    enum { PIXELS = 784 };
    static uint8_t train[8 * PIXELS], test[4 * PIXELS], labels[8];
    for (int i = 0; i < 8 * PIXELS; i++) train[i] = (uint8_t)(i * 7 + i / PIXELS);
    for (int i = 0; i < 3 * PIXELS; i++) test[i] = (uint8_t)(i * 3 + 100 + i / PIXELS);
    memcpy(test + 3 * PIXELS, train + 5 * PIXELS, PIXELS);
    put_idx("train-images-idx3-ubyte", (uint8_t[]){0, 0, 8, 3, 0, 0, 0, 8, 0, 0, 0, 28, 0, 0, 0, 28}, 16, train, sizeof train);
    put_idx("train-labels-idx1-ubyte", (uint8_t[]){0, 0, 8, 1, 0, 0, 0, 8}, 8, labels, 8);
    put_idx("t10k-images-idx3-ubyte", (uint8_t[]){0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 28, 0, 0, 0, 28}, 16, test, sizeof test);
    put_idx("t10k-labels-idx1-ubyte", (uint8_t[]){0, 0, 8, 1, 0, 0, 0, 4}, 8, (uint8_t[]){1, 1, 1, 1}, 4);
    DatasetOptions o = {.name_or_dir = "fashion_mnist", .root = folder, .split = "train"};
    Dataset *a = opened(&o);
    o.split = "test";
    Dataset *b = opened(&o);
    assert_int_equal(shared(a, b), 1);
    o.limit = 3;                                            /* images 0, 1, 2 of 4: without the copy */
    Dataset *c = opened(&o);
    assert_int_equal(shared(a, c), 0);
    dataset_close(a);
    dataset_close(b);
    dataset_close(c);
}

/* ---- photographs that change ---- */

static void assert_changed(const Dataset *d, int64_t index, const char *name) {
    uint8_t pixels[32 * 32 * 3];
    int     label;
    Error   err = {0};
    char    text[1024];
    assert_false(dataset_read(d, index, pixels, &label, &err));
    error_text(&err, text, sizeof text);
    assert_int_equal(err.exit_status, EXIT_IO);
    if (strstr(text, name) == NULL || strstr(text, "changed or replaced while the run was going on") == NULL) fail_msg("%s", text);
}

static void a_photograph_that_changes_while_the_set_is_open_ends_its_use(void **state) {
    (void)state;
    const DatasetOptions o = split("train");
    uint8_t pixels[32 * 32 * 3];
    int     label;
    char    path[128], new_path[128];
    Error   err = {0};
    make_tree();
    Dataset *d = opened(&o);
    for (int i = 0; i < 3; i++) good(dataset_read(d, i, pixels, &label, &err), &err);
    /* replaced by another */
    snprintf(path, sizeof path, "%s/train/a/1.jpg", folder);
    snprintf(new_path, sizeof new_path, "%s/new", folder);
    copy_to("progressive.jpg", "new");
    assert_int_equal(rename(new_path, path), 0);
    assert_changed(d, 0, "train/a/1.jpg");
    good(dataset_read(d, 1, pixels, &label, &err), &err);   /* the others are as they were */
    /* one byte written over, size and name as before */
    snprintf(path, sizeof path, "%s/train/a/2.jpg", folder);
    usleep(20000);                                          /* clocks of file systems tick every few milliseconds */
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, "x", 1, 200) == 1 && close(fd) == 0);
    assert_changed(d, 1, "train/a/2.jpg");
    /* replaced by the very same bytes: still not the file whose digest was taken */
    snprintf(path, sizeof path, "%s/train/b/1.jpg", folder);
    copy_to("cmyk.jpg", "new");
    assert_int_equal(rename(new_path, path), 0);
    assert_changed(d, 2, "train/b/1.jpg");
    dataset_close(d);
}

static void a_photograph_that_shrinks_or_goes_is_an_error_too(void **state) {
    (void)state;
    const DatasetOptions o = split("train");
    uint8_t pixels[32 * 32 * 3];
    int     label;
    char    path[128];
    Error   err = {0};
    make_tree();
    Dataset *d = opened(&o);
    snprintf(path, sizeof path, "%s/train/a/1.jpg", folder);
    assert_int_equal(truncate(path, 100), 0);
    assert_changed(d, 0, "train/a/1.jpg");
    assert_int_equal(unlink(path), 0);
    assert_false(dataset_read(d, 0, pixels, &label, &err));
    assert_non_null(strstr(err.input, "train/a/1.jpg"));
    dataset_close(d);
}

/* ---- damage that a decoder reads past ---- */

/* rgb.jpg with one byte changed so that libjpeg warns and goes on. */
static void copy_damaged(const char *name) {
    char  from[] = "tests/golden/images/rgb.jpg", to[160];
    static uint8_t bytes[1 << 16];
    FILE *in = fopen(from, "rb");
    assert_non_null(in);
    const size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    for (size_t at = n / 2; at < n - 4; at++) {
        const uint8_t kept  = bytes[at];
        Image         image = {0};
        bytes[at] ^= 0x55;
        const bool ok = image_decode(&image, bytes, n, NULL), warned = ok && image.n_warnings > 0;
        image_free(&image);
        if (warned) {
            snprintf(to, sizeof to, "%s/%s", folder, name);
            FILE *out = fopen(to, "wb");
            assert_non_null(out);
            assert_int_equal(fwrite(bytes, 1, n, out), n);
            fclose(out);
            return;
        }
        bytes[at] = kept;
    }
    fail_msg("no byte of rgb.jpg makes the decoder warn");
}

static void damage_read_past_is_counted_once_an_image_and_named(void **state) {
    (void)state;
    const DatasetOptions o = split("train");
    uint8_t pixels[32 * 32 * 3];
    int     label;
    char    first[DATASET_PATH_BYTES];
    Error   err = {0};
    make_tree();
    copy_damaged("train/b/0.jpg");
    Dataset *d = opened(&o);
    assert_int_equal(dataset_damaged(d, first), 0);
    assert_string_equal(first, "");
    for (int times = 0; times < 2; times++)
        for (int i = 0; i < 4; i++) good(dataset_read(d, i, pixels, &label, &err), &err);
    assert_int_equal(dataset_damaged(d, first), 1);
    assert_string_equal(first, "b/0.jpg");
    dataset_close(d);
    assert_int_equal(dataset_damaged(NULL, first), 0);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_parts_together_are_the_whole_each_image_once),
        cmocka_unit_test(the_seed_decides_which_are_held_out),
        cmocka_unit_test(a_limit_comes_first_and_empty_sides_are_refused),
        IN_FOLDER(a_file_in_both_splits_is_counted_wherever_it_lies),
        IN_FOLDER(an_image_in_both_idx_files_is_counted_by_its_pixels),
        IN_FOLDER(a_photograph_that_changes_while_the_set_is_open_ends_its_use),
        IN_FOLDER(damage_read_past_is_counted_once_an_image_and_named),
        IN_FOLDER(a_photograph_that_shrinks_or_goes_is_an_error_too),
    };
    return cmocka_run_group_tests_name("dataset_parts", tests, NULL, NULL);
}
