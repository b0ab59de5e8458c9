/* Data sets as they should be, and as they should not: small copies of each format are written to a temporary folder
 * and then damaged one way at a time. */
#include "harness/data/dataset.h"
#include "harness/data/gunzip.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
/* cmocka needs the above */
#include <cmocka.h>

/* ---- a folder to work in ---- */

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/morbench-test-XXXXXX");
    unsetenv("MORBENCH_DATA");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *at(const char *name) {
    static char paths[4][256];
    static int  next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(at(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static uint8_t *get(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static void put_gzip(const char *name, const void *bytes, size_t n) {
    gzFile f = gzopen(at(name), "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, bytes, (unsigned)n), (int)n);
    gzclose(f);
}

static void assert_refused(const DatasetOptions *o, int status, const char *part) {
    Dataset *d   = NULL;
    Error    err = {0};
    char     text[1024];
    const bool opened = dataset_open(&d, o, &err);
    error_text(&err, text, sizeof text);
    if (opened || err.exit_status != status || strstr(text, part) == NULL) {
        dataset_close(d);
        fail_msg("wanted exit %d and '%s', got %s, exit %d: %s", status, part, opened ? "an open data set" : "a refusal",
                 err.exit_status, text);
    }
    assert_null(d);
    assert_null(strchr(text, '\n'));
}

static Dataset *opened(const DatasetOptions *o) {
    Dataset *d   = NULL;
    Error    err = {0};
    if (!dataset_open(&d, o, &err)) fail_msg("%s: %s", err.input, err.message);
    return d;
}

/* ---- a Fashion-MNIST of N images ---- */

enum { N = 20, PIXELS = 28 * 28, IMAGES_BYTES = 16 + N * PIXELS, LABELS_BYTES = 8 + N };
static uint8_t images[IMAGES_BYTES + 8], labels[LABELS_BYTES + 8];

static void make_fashion(void) {
    static const uint8_t images_header[16] = {0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, 28, 0, 0, 0, 28};
    static const uint8_t labels_header[8]  = {0, 0, 8, 1, 0, 0, 0, N};
    memcpy(images, images_header, 16);
    memcpy(labels, labels_header, 8);
    for (int i = 0; i < N * PIXELS; i++) images[16 + i] = (uint8_t)(i * 7 + i / PIXELS);
    for (int i = 0; i < N; i++) labels[8 + i] = (uint8_t)(i % 10);
}

static void put_fashion(size_t images_bytes, size_t labels_bytes) {
    put_gzip("train-images-idx3-ubyte.gz", images, images_bytes);
    put_gzip("train-labels-idx1-ubyte.gz", labels, labels_bytes);
}

static DatasetOptions fashion(void) { return (DatasetOptions){.name_or_dir = "fashion_mnist", .root = folder, .split = "train"}; }

static void fashion_mnist_gives_the_pixels_and_labels_of_its_files(void **state) {
    (void)state;
    make_fashion();
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    const DatasetOptions o = fashion();
    Dataset *d = opened(&o);
    assert_int_equal(d->n_images, N);
    assert_int_equal(d->n_classes, 10);
    assert_string_equal(d->class_names[9], "ankle boot");
    assert_int_equal(d->height, 28);
    assert_int_equal(d->width, 28);
    assert_int_equal(d->channels, 1);
    assert_int_equal(d->source_bytes, IMAGES_BYTES + LABELS_BYTES);
    for (int i = 0; i < N; i++) {
        uint8_t pixels[PIXELS];
        int     label = -1;
        assert_true(dataset_read(d, i, pixels, &label, NULL));
        assert_int_equal(label, i % 10);
        assert_memory_equal(pixels, images + 16 + i * PIXELS, PIXELS);
    }
    dataset_close(d);
}

static void digest_is_over_content_so_recompressing_keeps_it_and_a_changed_pixel_does_not(void **state) {
    (void)state;
    char again[SHA256_TEXT_SIZE], both[SHA256_TEXT_SIZE];
    uint8_t joined[IMAGES_BYTES + LABELS_BYTES];
    make_fashion();
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    const DatasetOptions o = fashion();
    Dataset *d = opened(&o);
    memcpy(joined, images, IMAGES_BYTES);
    memcpy(joined + IMAGES_BYTES, labels, LABELS_BYTES);
    assert_true(digest_sha256(joined, sizeof joined, both, NULL));
    assert_string_equal(d->digest, both);

    unlink(at("train-images-idx3-ubyte.gz"));
    put("train-images-idx3-ubyte", images, IMAGES_BYTES);
    Dataset *plain = opened(&o);
    assert_string_equal(plain->digest, both);
    assert_true(dataset_digest(plain, again, NULL));
    assert_string_equal(again, both);

    images[100] ^= 1;
    put("train-images-idx3-ubyte", images, IMAGES_BYTES);
    assert_true(dataset_digest(plain, again, NULL));
    assert_string_not_equal(again, plain->digest);       /* the files changed under the open data set */
    dataset_close(plain);
    dataset_close(d);
    unlink(at("train-images-idx3-ubyte"));
}

static void limit_spreads_over_the_split(void **state) {
    (void)state;
    make_fashion();
    for (int i = 0; i < N; i++) labels[8 + i] = (uint8_t)(i / 2);      /* sorted by class */
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    DatasetOptions o = fashion();
    o.limit = 10;
    Dataset *d = opened(&o);
    assert_int_equal(d->n_images, 10);
    assert_int_equal(d->n_images_split, N);
    for (int i = 0; i < 10; i++) {
        uint8_t pixels[PIXELS];
        int     label;
        assert_true(dataset_read(d, i, pixels, &label, NULL));
        assert_int_equal(label, i);
    }
    dataset_close(d);
}

static void missing_set_is_bad_usage_and_says_how_to_get_it(void **state) {
    (void)state;
    char empty[80];
    snprintf(empty, sizeof empty, "%s/empty", folder);
    mkdir(empty, 0700);
    DatasetOptions o = fashion();
    o.root = empty;
    assert_refused(&o, EXIT_BAD_INPUT, "install the package dataset-fashion-mnist or run: morbench data fetch fashion_mnist");
    o.name_or_dir = "cifar10";
    assert_refused(&o, EXIT_BAD_INPUT, "run: morbench data fetch cifar10");
    make_fashion();
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    unlink(at("train-labels-idx1-ubyte.gz"));
    o = fashion();
    assert_refused(&o, EXIT_BAD_INPUT, "train-labels-idx1-ubyte");
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
}

static void unknown_names_are_refused_with_the_known_ones(void **state) {
    (void)state;
    DatasetOptions o = {.name_or_dir = "fashion_mnits"};
    assert_refused(&o, EXIT_BAD_INPUT, "no data set 'fashion_mnits'; known: fashion_mnist, cifar10, cifar100, image_folder, synthetic");
    o.name_or_dir = "image_folder";
    assert_refused(&o, EXIT_BAD_INPUT, "path of an image folder");
    o = fashion();
    o.split = "trian";
    assert_refused(&o, EXIT_BAD_INPUT, "must be train or test, got 'trian'");
    o = fashion();
    o.preprocess = "diet";
    assert_refused(&o, EXIT_BAD_INPUT, "no preset 'diet'; known: none, deit");
    o = fashion();
    o.image_size = 32;
    assert_refused(&o, EXIT_BAD_INPUT, "is 32 but the images are 28x28");
    o.limit = -1;
    assert_refused(&o, EXIT_BAD_INPUT, "must not be negative");
}

static void damaged_idx_files_are_refused(void **state) {
    (void)state;
    const DatasetOptions o = fashion();
    /* every way of ending early or late: by a byte, by a record */
    static const struct { int images_by, labels_by, status; const char *part; } lengths[] = {
        {-1, 0, EXIT_IO, "truncated IDX data"},       {-PIXELS, 0, EXIT_IO, "truncated IDX data"},
        {-PIXELS - 1, 0, EXIT_IO, "truncated IDX data"}, {-PIXELS + 1, 0, EXIT_IO, "truncated IDX data"},
        {1, 0, EXIT_BAD_INPUT, "1 bytes follow"},     {0, -1, EXIT_IO, "truncated IDX data"},
        {0, 1, EXIT_BAD_INPUT, "1 bytes follow"},     {-IMAGES_BYTES, 0, EXIT_IO, "truncated IDX header"},
        {-IMAGES_BYTES + 3, 0, EXIT_IO, "truncated IDX header"}, {-IMAGES_BYTES + 15, 0, EXIT_IO, "truncated IDX header"},
    };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        make_fashion();
        put_fashion((size_t)(IMAGES_BYTES + lengths[i].images_by), (size_t)(LABELS_BYTES + lengths[i].labels_by));
        assert_refused(&o, lengths[i].status, lengths[i].part);
    }
    static const struct { int at; uint8_t value; const char *part; } image_bytes[] = {
        {0, 1, "not an IDX file"},         {2, 9, "element type must be 0x08"}, {3, 1, "must have 3 dimensions, got 1"},
        {7, 0, "IDX dimension 0 is 0"},    {11, 14, "follow the end"},
    };
    for (size_t i = 0; i < sizeof image_bytes / sizeof *image_bytes; i++) {
        make_fashion();
        images[image_bytes[i].at] = image_bytes[i].value;
        put_fashion(IMAGES_BYTES, LABELS_BYTES);
        assert_refused(&o, EXIT_BAD_INPUT, image_bytes[i].part);
    }
    make_fashion();
    images[11] = 14;                       /* the same number of pixels in another shape */
    images[15] = 56;
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    assert_refused(&o, EXIT_BAD_INPUT, "images must be 28x28, got 56x14");
    make_fashion();
    memset(images + 4, 0xff, 12);
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    assert_refused(&o, EXIT_BAD_INPUT, "more than can be addressed");
    make_fashion();
    labels[8 + 13] = 10;
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    assert_refused(&o, EXIT_BAD_INPUT, "label of image 13 must be below 10, got 10");
    make_fashion();
    labels[7] = N - 1;
    put_fashion(IMAGES_BYTES, LABELS_BYTES - 1);
    assert_refused(&o, EXIT_BAD_INPUT, "19 labels for 20 images");
}

static void damaged_gzip_is_refused_wherever_it_is_damaged(void **state) {
    (void)state;
    const DatasetOptions o = fashion();
    size_t n;
    make_fashion();
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    uint8_t *good = get(at("train-images-idx3-ubyte.gz"), &n);
    for (size_t keep = 3; keep < n; keep += n / 16) {
        put("train-images-idx3-ubyte.gz", good, keep);
        assert_refused(&o, EXIT_IO, "gzip data");
    }
    put("train-images-idx3-ubyte.gz", good, n - 1);                    /* within the length at the end */
    assert_refused(&o, EXIT_IO, "truncated gzip data");
    good[n - 6] ^= 1;                                                  /* the checksum */
    put("train-images-idx3-ubyte.gz", good, n);
    assert_refused(&o, EXIT_IO, "corrupt gzip data");
    good[n - 6] ^= 1;
    good[n / 2] ^= 0x10;
    put("train-images-idx3-ubyte.gz", good, n);
    assert_refused(&o, EXIT_IO, "corrupt gzip data");
    good[n / 2] ^= 0x10;
    good[n] = 'x';
    put("train-images-idx3-ubyte.gz", good, n + 1);
    assert_refused(&o, EXIT_BAD_INPUT, "1 bytes follow the end of the gzip data");
    free(good);
}

static void decompression_bomb_is_refused_before_it_fills_memory(void **state) {
    (void)state;
    enum { BOMB_BYTES = 16 << 20 };
    uint8_t *zeros = calloc(1, BOMB_BYTES), *out;
    size_t   n, n_out;
    Error    err = {0};
    make_fashion();
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    put_gzip("train-images-idx3-ubyte.gz", zeros, BOMB_BYTES);
    const DatasetOptions o = fashion();
    assert_refused(&o, EXIT_BAD_INPUT, "decompression bomb");
    put_gzip("small.gz", zeros, 1000);
    uint8_t *gz = get(at("small.gz"), &n);
    assert_false(gunzip(gz, n, 999, &out, &n_out, &err));              /* the cap itself, off by one */
    assert_true(gunzip(gz, n, 1000, &out, &n_out, &err));
    assert_int_equal(n_out, 1000);
    free(out);
    free(gz);
    free(zeros);
}

static void members_of_gzip_are_joined(void **state) {
    (void)state;
    size_t   n, n_out;
    uint8_t *out;
    put_gzip("a.gz", "morb", 4);
    uint8_t *one = get(at("a.gz"), &n), *two = malloc(2 * n);
    memcpy(two, one, n);
    memcpy(two + n, one, n);
    assert_true(gunzip(two, 2 * n, 100, &out, &n_out, NULL));
    assert_int_equal(n_out, 8);
    assert_memory_equal(out, "morbmorb", 8);
    free(out);
    free(one);
    free(two);
}

static void what_is_no_regular_file_is_refused_and_does_not_hang(void **state) {
    (void)state;
    const DatasetOptions o = fashion();
    const char *name = "train-images-idx3-ubyte.gz";
    make_fashion();
    put_fashion(IMAGES_BYTES, LABELS_BYTES);
    unlink(at(name));
    assert_int_equal(mkfifo(at(name), 0600), 0);
    assert_refused(&o, EXIT_BAD_INPUT, name);
    unlink(at(name));
    assert_int_equal(symlink("/dev/zero", at(name)), 0);
    assert_refused(&o, EXIT_BAD_INPUT, name);
    unlink(at(name));
    assert_int_equal(symlink(name, at(name)), 0);                       /* points at itself */
    assert_refused(&o, EXIT_BAD_INPUT, "train-images-idx3-ubyte");
    unlink(at(name));
    assert_int_equal(mkdir(at(name), 0700), 0);
    assert_refused(&o, EXIT_BAD_INPUT, name);
    rmdir(at(name));
}

static void morbench_data_is_looked_in_first(void **state) {
    (void)state;
    char path[DATASET_PATH_BYTES], expected[128];
    make_fashion();
    mkdir(at("data"), 0700);
    mkdir(at("data/fashion_mnist"), 0700);
    put_gzip("data/fashion_mnist/train-images-idx3-ubyte.gz", images, IMAGES_BYTES);
    put_gzip("data/fashion_mnist/train-labels-idx1-ubyte.gz", labels, LABELS_BYTES);
    setenv("MORBENCH_DATA", at("data"), 1);
    const DatasetOptions o = {.name_or_dir = "fashion_mnist", .split = "train"};
    Dataset *d = opened(&o);
    snprintf(expected, sizeof expected, "%s/data/fashion_mnist", folder);
    assert_string_equal(d->path, expected);
    assert_true(dataset_fetch_dir("fashion_mnist", path, NULL));
    assert_string_equal(path, expected);
    dataset_close(d);
    unsetenv("MORBENCH_DATA");
}

static void installed_fashion_mnist_has_the_known_digest(void **state) {
    (void)state;
    if (access("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz", R_OK) != 0) skip();
    const DatasetOptions o = {.name_or_dir = "fashion_mnist", .split = "test", .root = "/usr/share/datasets/fashion-mnist"};
    Dataset *d = opened(&o);
    assert_int_equal(d->n_images, 10000);
    assert_string_equal(d->digest, dataset_kind_fashion_mnist.known_digest[1]);
    dataset_close(d);
}

/* ---- CIFAR ---- */

/* A file of n records of which only labels and a few pixels are not zero: sparse, so cheap. */
static void put_cifar(const char *name, int n_label_bytes, int n_records, int extra_bytes) {
    const off_t record = n_label_bytes + 3072;
    const int   fd     = open(at(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, record * n_records + extra_bytes), 0);
    const uint8_t fine = 7, rgb[3] = {10, 20, 30};
    assert_int_equal(pwrite(fd, &fine, 1, 5 * record + n_label_bytes - 1), 1);
    for (int c = 0; c < 3; c++) assert_int_equal(pwrite(fd, &rgb[c], 1, 5 * record + n_label_bytes + 1024 * c + 33), 1);
    close(fd);
}

static void poke(const char *name, off_t where, uint8_t value) {
    const int fd = open(at(name), O_WRONLY);
    assert_int_equal(pwrite(fd, &value, 1, where), 1);
    close(fd);
}

static void check_cifar(const char *name, const char *file, int n_label_bytes) {
    const off_t record = n_label_bytes + 3072;
    const DatasetOptions o = {.name_or_dir = name, .root = folder, .split = "test"};
    uint8_t pixels[3072], pixel[3] = {10, 20, 30};
    char    digest[SHA256_TEXT_SIZE];
    int     label;
    put_cifar(file, n_label_bytes, 10000, 0);
    Dataset *d = opened(&o);
    assert_int_equal(d->n_images, 10000);
    assert_true(dataset_read(d, 5, pixels, &label, NULL));
    assert_int_equal(label, 7);
    assert_memory_equal(pixels + 3 * 33, pixel, 3);                     /* planes became interleaved */
    assert_true(dataset_digest(d, digest, NULL));
    assert_string_equal(digest, d->digest);
    dataset_close(d);

    put_cifar(file, n_label_bytes, 10000, -1);
    assert_refused(&o, EXIT_IO, "truncated");
    put_cifar(file, n_label_bytes, 9999, 0);
    assert_refused(&o, EXIT_IO, "truncated");
    put_cifar(file, n_label_bytes, 10000, 1);
    assert_refused(&o, EXIT_BAD_INPUT, "must be");
    put_cifar(file, n_label_bytes, 10001, 0);
    assert_refused(&o, EXIT_BAD_INPUT, "10000 records");
    put_cifar(file, n_label_bytes, 0, 0);
    assert_refused(&o, EXIT_IO, "truncated");
    for (int k = 0; k < n_label_bytes; k++) {
        put_cifar(file, n_label_bytes, 10000, 0);
        poke(file, 77 * record + k, 100);
        assert_refused(&o, EXIT_BAD_INPUT, "of record 77 must be below");
    }
    unlink(at(file));
}

static void cifar10_is_read_and_damage_refused(void **state) {
    (void)state;
    check_cifar("cifar10", "test_batch.bin", 1);
}

static void cifar100_is_read_and_damage_refused(void **state) {
    (void)state;
    check_cifar("cifar100", "test.bin", 2);
    assert_int_equal(dataset_find("cifar100") == &dataset_kind_cifar100, true);
}

static void cifar10_train_needs_all_five_files(void **state) {
    (void)state;
    const DatasetOptions o = {.name_or_dir = "cifar10", .root = folder, .split = "train"};
    char name[32];
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        put_cifar(name, 1, 10000, 0);
    }
    Dataset *d = opened(&o);
    assert_int_equal(d->n_images, 50000);
    assert_string_equal(d->class_names[9], "truck");
    dataset_close(d);
    unlink(at("data_batch_3.bin"));
    assert_refused(&o, EXIT_BAD_INPUT, "data_batch_3.bin");
}

/* ---- image folders ---- */

static void copy_image(const char *golden, const char *name) {
    char   path[256];
    size_t n;
    snprintf(path, sizeof path, "tests/golden/images/%s", golden);
    uint8_t *bytes = get(path, &n);
    put(name, bytes, n);
    free(bytes);
}

static void make_tree(void) {
    remove_folder(NULL);
    mkdir(folder, 0700);
    static const char *const folders[] = {"train", "train/b", "train/a", "train/B", "val", "val/b", "val/a", "val/B"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) mkdir(at(folders[i]), 0700);
    copy_image("rgb8.png", "train/B/2.PNG");
    copy_image("rgb8.png", "train/B/10.png");
    copy_image("rgb.jpg", "train/a/x.Jpeg");
    copy_image("grey.jpg", "train/b/y.jpg");
    copy_image("rgb8.png", "val/a/x.png");
    copy_image("rgb8.png", "val/b/x.png");
    copy_image("rgb8.png", "val/B/x.png");
    put("train/b/notes.txt", "no image", 8);
    put("train/a/.hidden.png", "no image", 8);
}

static DatasetOptions tree(const char *split) { return (DatasetOptions){.name_or_dir = folder, .split = split}; }

static void image_folder_is_sorted_by_bytes_and_labelled_by_folder(void **state) {
    (void)state;
    static const int expected[4] = {0, 0, 1, 2};
    make_tree();
    const DatasetOptions o = tree("train");
    Dataset *d = opened(&o);
    assert_int_equal(d->n_images, 4);
    assert_int_equal(d->n_classes, 3);
    assert_string_equal(d->class_names[0], "B");
    assert_string_equal(d->class_names[1], "a");
    assert_string_equal(d->class_names[2], "b");
    assert_int_equal(d->channels, 3);
    uint8_t *pixels = malloc((size_t)(d->height * d->width * 3));
    for (int i = 0; i < 4; i++) {
        int label = -1;
        assert_true(dataset_read(d, i, pixels, &label, NULL));
        assert_int_equal(label, expected[i]);
    }
    free(pixels);
    assert_string_equal(d->digest, "");
    char once[SHA256_TEXT_SIZE], again[SHA256_TEXT_SIZE];
    assert_true(dataset_digest(d, once, NULL));
    copy_image("rgb.jpg", "train/B/2.PNG");
    assert_true(dataset_digest(d, again, NULL));
    assert_string_not_equal(once, again);
    dataset_close(d);
    const DatasetOptions test = tree("test");
    d = opened(&test);
    assert_int_equal(d->n_images, 3);
    dataset_close(d);
}

static void folder_without_classes_is_unlabelled(void **state) {
    (void)state;
    make_tree();
    char path[80];
    snprintf(path, sizeof path, "%s/train/B/", folder);
    const DatasetOptions o = {.name_or_dir = path, .preprocess = "deit", .image_size = 24};
    Dataset *d = opened(&o);
    uint8_t  pixels[24 * 24 * 3];
    int      label = 0;
    assert_string_equal(d->name, "B");
    assert_int_equal(d->n_images, 2);
    assert_int_equal(d->n_classes, 0);
    assert_true(dataset_read(d, 0, pixels, &label, NULL));
    assert_int_equal(label, -1);
    assert_non_null(strstr(d->preprocess_text, "deit: short side 27 bicubic antialiased, centre crop 24"));
    dataset_close(d);
}

static void ambiguous_folders_are_refused(void **state) {
    (void)state;
    const DatasetOptions train = tree("train"), test = tree("test");
    make_tree();
    mkdir(at("train/c"), 0700);
    put("train/c/notes.txt", "no image", 8);
    assert_refused(&train, EXIT_BAD_INPUT, "train/c: a class folder without .jpg");
    make_tree();
    mkdir(at("train/a/deeper"), 0700);
    assert_refused(&train, EXIT_BAD_INPUT, "a folder inside a class folder: deeper");
    make_tree();
    copy_image("rgb8.png", "train/loose.png");
    assert_refused(&train, EXIT_BAD_INPUT, "photographs beside them, such as loose.png");
    make_tree();
    rename(at("val/b"), at("val/c"));
    assert_refused(&test, EXIT_BAD_INPUT, "class 2 is 'c' here and 'b' there");
    make_tree();
    char command[96];
    snprintf(command, sizeof command, "rm -r %s/val", folder);
    assert_int_equal(system(command), 0);
    assert_refused(&test, EXIT_BAD_INPUT, "holds train but no test or val");
    snprintf(command, sizeof command, "rm -r %s/train", folder);
    assert_int_equal(system(command), 0);
    assert_refused(&test, EXIT_BAD_INPUT, "no class folders and no .jpg, .jpeg or .png files");
}

static void assert_unreadable(int index, int status, const char *part) {
    const DatasetOptions o = tree("train");
    Dataset *d   = opened(&o);
    Error    err = {0};
    uint8_t *pixels = malloc((size_t)(d->height * d->width * 3));
    int      label;
    char     text[1024];
    const bool ok = dataset_read(d, index, pixels, &label, &err);
    error_text(&err, text, sizeof text);
    free(pixels);
    dataset_close(d);
    if (ok || err.exit_status != status || strstr(text, part) == NULL)
        fail_msg("wanted exit %d and '%s', got exit %d: %s", status, part, err.exit_status, text);
}

static void file_that_cannot_be_decoded_is_named(void **state) {
    (void)state;
    make_tree();
    put("train/b/y.jpg", "plain text", 10);
    assert_unreadable(3, EXIT_BAD_INPUT, "train/b/y.jpg: neither a JPEG nor a PNG file");
    unlink(at("train/b/y.jpg"));
    assert_int_equal(symlink("nowhere", at("train/b/y.jpg")), 0);
    assert_unreadable(3, EXIT_BAD_INPUT, "train/b/y.jpg");
    unlink(at("train/b/y.jpg"));
    copy_image("small.jpg", "train/b/y.jpg");
    assert_unreadable(3, EXIT_BAD_INPUT, "preprocess must be one of");
}

/* ---- synthetic ---- */

static void synthetic_depends_on_seed_split_and_index_only(void **state) {
    (void)state;
    DatasetOptions o = {.name_or_dir = "synthetic:5x7x3:4:100", .seed = 3};
    uint8_t a[105], b[105];
    int     label_a, label_b, seen = 0;
    Dataset *d = opened(&o), *same = opened(&o);
    assert_true(d->synthetic);
    assert_int_equal(d->n_images, 100);
    assert_int_equal(d->height, 5);
    assert_int_equal(d->width, 7);
    assert_string_equal(d->digest, same->digest);
    for (int i = 0; i < 100; i++) {
        assert_true(dataset_read(d, i, a, &label_a, NULL));
        assert_true(label_a >= 0 && label_a < 4);
        seen |= 1 << label_a;
    }
    assert_int_equal(seen, 15);
    assert_true(dataset_read(same, 99, b, &label_b, NULL));
    assert_memory_equal(a, b, sizeof a);
    o.seed = 4;
    Dataset *other = opened(&o);
    assert_true(dataset_read(other, 99, b, &label_b, NULL));
    assert_memory_not_equal(a, b, sizeof a);
    assert_string_not_equal(d->digest, other->digest);
    dataset_close(other);
    o.seed  = 3;
    o.split = "train";
    other   = opened(&o);
    assert_true(dataset_read(other, 99, b, &label_b, NULL));
    assert_memory_not_equal(a, b, sizeof a);
    dataset_close(other);
    dataset_close(same);
    dataset_close(d);
}

static void synthetic_shapes_are_checked(void **state) {
    (void)state;
    static const char *const bad[] = {"synthetic:0x4x3", "synthetic:4x4", "synthetic:4x4x2", "synthetic:4x4x3:", "synthetic:4x4x3:0",
                                      "synthetic:4x4x3:5:", "synthetic:4x4x3:5:0", "synthetic:-4x4x3", "synthetic:4x4x3:5:6:7",
                                      "synthetic:99999999999999999999x4x3", "synthetic:4x4x3 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const DatasetOptions o = {.name_or_dir = bad[i]};
        assert_refused(&o, EXIT_BAD_INPUT, "after 'synthetic:' comes HxWxC");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fashion_mnist_gives_the_pixels_and_labels_of_its_files),
        cmocka_unit_test(digest_is_over_content_so_recompressing_keeps_it_and_a_changed_pixel_does_not),
        cmocka_unit_test(limit_spreads_over_the_split),
        cmocka_unit_test(missing_set_is_bad_usage_and_says_how_to_get_it),
        cmocka_unit_test(unknown_names_are_refused_with_the_known_ones),
        cmocka_unit_test(damaged_idx_files_are_refused),
        cmocka_unit_test(damaged_gzip_is_refused_wherever_it_is_damaged),
        cmocka_unit_test(decompression_bomb_is_refused_before_it_fills_memory),
        cmocka_unit_test(members_of_gzip_are_joined),
        cmocka_unit_test(what_is_no_regular_file_is_refused_and_does_not_hang),
        cmocka_unit_test(morbench_data_is_looked_in_first),
        cmocka_unit_test(installed_fashion_mnist_has_the_known_digest),
        cmocka_unit_test(cifar10_is_read_and_damage_refused),
        cmocka_unit_test(cifar100_is_read_and_damage_refused),
        cmocka_unit_test(cifar10_train_needs_all_five_files),
        cmocka_unit_test(image_folder_is_sorted_by_bytes_and_labelled_by_folder),
        cmocka_unit_test(folder_without_classes_is_unlabelled),
        cmocka_unit_test(ambiguous_folders_are_refused),
        cmocka_unit_test(file_that_cannot_be_decoded_is_named),
        cmocka_unit_test(synthetic_depends_on_seed_split_and_index_only),
        cmocka_unit_test(synthetic_shapes_are_checked),
    };
    return cmocka_run_group_tests_name("dataset", tests, make_folder, remove_folder);
}
