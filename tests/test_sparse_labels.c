/* Stored labels of a teacher: the bytes of the format, numbers of half precision, dense targets, several ranks, and what is refused. */
#include "harness/data/sparse_labels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/test_sparse_labels.XXXXXX";

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) == NULL;
}
static int remove_dir(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command);
}

static void check(bool ok, const Error *err) {
    if (!ok) fail_msg("%s %s", err->field, err->message);
}

static void put(const char *name, const void *bytes, size_t n) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* ---- half precision ---- */

static void every_half_survives_the_way_to_float_and_back(void **state) {
    (void)state;
    for (int h = 0; h < 65536; h++) {
        const float x = sparse_float_of((uint16_t)h);
        if ((h & 0x7fff) > 0x7c00) assert_true(isnan(x) && isnan(sparse_float_of(sparse_half_of(x))));
        else                       assert_int_equal(sparse_half_of(x), h);
    }
}

static void halves_round_to_the_nearest_even(void **state) {
    (void)state;
    for (int h = 0; h < 0x7bff; h++) {
        const float low = sparse_float_of((uint16_t)h), high = sparse_float_of((uint16_t)(h + 1)), middle = low + (high - low) / 2;
        assert_int_equal(sparse_half_of(middle), h + (h & 1));
        assert_int_equal(sparse_half_of(nextafterf(middle, low)), h);
        assert_int_equal(sparse_half_of(nextafterf(middle, high)), h + 1);
    }
    assert_int_equal(sparse_half_of(65519.996f), 0x7bff);
    assert_int_equal(sparse_half_of(65520.0f), 0x7c00);
    assert_int_equal(sparse_half_of(-0.0f), 0x8000);
}

/* ---- bytes ---- */

static void a_record_is_seed_classes_and_halves_in_falling_order(void **state) {
    (void)state;
    SparseWriter *w   = NULL;
    Error         err = {0};
    const double  p[] = {0.125, 0.5, 0, 0.25, 0.125};
    char          path[256], text[64] = "";
    uint8_t       bytes[64];
    check(sparse_writer_open(&w, dir, 3, 4, &err), &err);
    check(sparse_writer_add(w, 17, -2, p, 5, &err) && sparse_writer_add(w, 0, 1, (const double[]){0.25, 0.25, 0.25, 0.25, 0}, 5, &err), &err);
    snprintf(path, sizeof path, "%s/logits_top3_epoch4/rank0-keys.txt", dir);
    assert_int_not_equal(access(path, F_OK), 0);                 /* nothing before it is whole */
    check(sparse_writer_commit(w, &err), &err);
    sparse_writer_close(w);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof text, f), 5);
    fclose(f);
    assert_string_equal(text, "17\n0\n");
    snprintf(path, sizeof path, "%s/logits_top3_epoch4/rank0-values.bin", dir);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, sizeof bytes, f), 32);
    fclose(f);
    const uint8_t expected[] = {0xfe, 0xff, 0xff, 0xff, 1, 0, 3, 0, 0, 0, 0, 0x38, 0, 0x34, 0, 0x30,     /* class 0 before its equal, 4 */
                                1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0x34, 0, 0x34, 0, 0x34};
    assert_memory_equal(bytes, expected, sizeof expected);
}

static void what_is_not_stored_is_shared_evenly(void **state) {
    (void)state;
    const uint8_t record[] = {0, 0, 0, 0, 1, 0, 3, 0, 0, 0x38, 0, 0x34};          /* 0.5 of class 1, 0.25 of class 3 */
    SparseEntry  *e   = NULL;
    Error         err = {0};
    float         row[6];
    assert_int_equal(sparse_parse("5\n", 2, record, sizeof record, 2, 6, &e, &err), 1);
    sparse_expand(e, 2, 6, row);
    const float expected[] = {0.0625f, 0.5f, 0.0625f, 0.25f, 0.0625f, 0.0625f};
    assert_memory_equal(row, expected, sizeof row);
    free(e);
    const uint8_t all[] = {0, 0, 0, 0, 1, 0, 0, 0, 0xff, 0x3b, 0, 0x14};         /* rounded: the sum is above 1 */
    assert_int_equal(sparse_parse("5", 1, all, sizeof all, 2, 2, &e, &err), 1);
    sparse_expand(e, 2, 2, row);
    assert_true(fabs((double)row[0] + (double)row[1] - 1) < 1e-6 && row[1] > 0.998f);
    free(e);
}

static void malformed_packages_are_refused_with_the_record(void **state) {
    (void)state;
    static const uint8_t good[] = {0, 0, 0, 0, 1, 0, 0, 0x38}, class_7[] = {0, 0, 0, 0, 7, 0, 0, 0x38}, negative[] = {0, 0, 0, 0, 255, 255, 0, 0x38},
                         above[] = {0, 0, 0, 0, 1, 0, 1, 0x3c}, nan_p[] = {0, 0, 0, 0, 1, 0, 0, 0x7e};
    static const struct { const char *keys; const uint8_t *values; size_t n; const char *message; } wrong[] = {
        {"1\n", good, 7, "7 bytes are no whole number of records of 8, which top 1 has"},
        {"1\n2\n", good, 8, "more keys than the 1 records"},
        {"", good, 8, "0 keys for 1 records"},
        {"cat.jpg\n", good, 8, "line 1 of the keys is no number of an image"},
        {"\n", good, 8, "line 1 of the keys is no number of an image"},
        {"12345678901234567890\n", good, 8, "line 1 of the keys is no number of an image"},
        {"1\n", class_7, 8, "record 1 has class 7, must be in [0, 6]"},
        {"1\n", negative, 8, "record 1 has class -1, must be in [0, 6]"},
        {"1\n", above, 8, "record 1 has a probability of 1.00098, must be in [0, 1]"},
        {"1\n", nan_p, 8, "record 1 has a probability of nan, must be in [0, 1]"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        SparseEntry *e   = NULL;
        Error        err = {0};
        assert_int_equal(sparse_parse(wrong[i].keys, strlen(wrong[i].keys), wrong[i].values, wrong[i].n, 1, 7, &e, &err), -1);
        assert_null(e);
        assert_string_equal(err.message, wrong[i].message);
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    }
    static const uint8_t rising[] = {0, 0, 0, 0, 1, 0, 2, 0, 0, 0x34, 0, 0x38}, too_much[] = {0, 0, 0, 0, 1, 0, 2, 0, 0, 0x3a, 0, 0x38};
    SparseEntry *e   = NULL;
    Error        err = {0};
    assert_int_equal(sparse_parse("1\n", 2, rising, 12, 2, 7, &e, &err), -1);
    assert_string_equal(err.message, "record 1 is not sorted: 0.5 after 0.25");
    assert_int_equal(sparse_parse("1\n", 2, too_much, 12, 2, 7, &e, &err), -1);
    assert_string_equal(err.message, "record 1 has probabilities that sum to 1.25");
    static const uint8_t twice[] = {0, 0, 0, 0, 2, 0, 2, 0, 0, 0x34, 0, 0x34};
    assert_int_equal(sparse_parse("1\n", 2, twice, 12, 2, 7, &e, &err), -1);
    assert_string_equal(err.message, "record 1 has class 2 twice");
}

/* ---- directories ---- */

static void use(void *self, uint8_t *hwc, int h, int w, int c, int64_t id, int64_t epoch) {
    (void)self, (void)hwc, (void)h, (void)w, (void)c, (void)id, (void)epoch;
}

static TrainSettings settings_of(const char *sub) {
    TrainSettings s;
    fields_default(train_fields, &s);
    snprintf(s.sparse_labels, sizeof s.sparse_labels, "%s/%s", dir, sub);
    return s;
}

static void make_sub(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void all_ranks_are_read_and_each_image_is_found(void **state) {
    (void)state;
    static const uint8_t first[] = {1, 0, 0, 0, 0, 0, 0, 0x38, 1, 0, 0, 0, 1, 0, 0, 0x3c}, second[] = {1, 0, 0, 0, 2, 0, 0, 0x3c, 1, 0, 0, 0, 2, 0, 0, 0x38};
    SparseLabels *l = NULL;
    Error         err = {0};
    float         soft[9];
    make_sub("two");
    make_sub("two/logits_top1_epoch0");
    put("two/logits_top1_epoch0/rank0-keys.txt", "9\n3\n", 4);
    put("two/logits_top1_epoch0/rank0-values.bin", first, sizeof first);
    put("two/logits_top1_epoch0/rank1-keys.txt", "4\n3\n", 4);
    put("two/logits_top1_epoch0/rank1-values.bin", second, sizeof second);
    TrainSettings s = settings_of("two");
    check(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 3, &err), &err);
    check(sparse_labels_batch(l, 5, (const int64_t[]){4, 9, 3}, 3, soft, &err), &err);      /* nothing is augmented: epoch 0 serves */
    const float expected[] = {0, 0, 1, 0.5f, 0.25f, 0.25f, 0, 1, 0};                        /* 3 as rank 0 has it */
    assert_memory_equal(soft, expected, sizeof expected);
    assert_false(sparse_labels_batch(l, 5, (const int64_t[]){8}, 1, soft, &err));
    assert_non_null(strstr(err.message, "has no label of image 8 in epoch 0"));
    sparse_labels_close(l);

    check(sparse_labels_open(&l, &s, &(LoaderOptions){.transform = use}, 3, &err), &err);   /* augmented: its own epoch, and the seed */
    assert_false(sparse_labels_batch(l, 5, (const int64_t[]){4}, 1, soft, &err));
    assert_non_null(strstr(err.message, "no labels of epoch 5"));
    check(sparse_labels_batch(l, 0, (const int64_t[]){4}, 1, soft, &err), &err);
    sparse_labels_close(l);
    s.seed = 2;
    check(sparse_labels_open(&l, &s, &(LoaderOptions){.transform = use}, 3, &err), &err);
    assert_false(sparse_labels_batch(l, 0, (const int64_t[]){4}, 1, soft, &err));
    assert_string_equal(err.field, "/train/seed");
    sparse_labels_close(l);
    put("two/logits_top1_epoch0/rank1-values.bin", second, 9);
    check(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 3, &err), &err);
    assert_false(sparse_labels_batch(l, 0, (const int64_t[]){4}, 1, soft, &err));
    assert_non_null(strstr(err.input, "rank1-values.bin"));
    sparse_labels_close(l);
}

static void wrong_settings_are_refused(void **state) {
    (void)state;
    SparseLabels *l = NULL;
    Error         err = {0};
    TrainSettings s = settings_of("none");
    assert_false(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 3, &err));
    assert_non_null(strstr(err.message, "cannot open"));
    make_sub("empty");
    s = settings_of("empty");
    assert_false(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 3, &err));
    assert_non_null(strstr(err.message, "holds no directory logits_top{K}_epoch{e}"));
    make_sub("empty/logits_top4_epoch0");
    assert_false(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 3, &err));
    assert_non_null(strstr(err.message, "holds the top 4 of more classes than the 3 of the model"));
    make_sub("empty/logits_top5_epoch0");
    assert_false(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 30, &err));
    assert_non_null(strstr(err.message, "holds labels of top"));
    s.mixup = 0.5;
    assert_false(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 30, &err));
    assert_non_null(strstr(err.message, "needs mixup and cutmix to be 0"));
    s.sparse_labels[0] = '\0';
    l = (SparseLabels *)&s;
    check(sparse_labels_open(&l, &s, &(LoaderOptions){0}, 30, &err), &err);
    assert_null(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives_the_way_to_float_and_back),
        cmocka_unit_test(halves_round_to_the_nearest_even),
        cmocka_unit_test(a_record_is_seed_classes_and_halves_in_falling_order),
        cmocka_unit_test(what_is_not_stored_is_shared_evenly),
        cmocka_unit_test(malformed_packages_are_refused_with_the_record),
        cmocka_unit_test(all_ranks_are_read_and_each_image_is_found),
        cmocka_unit_test(wrong_settings_are_refused),
    };
    return cmocka_run_group_tests_name("sparse_labels", tests, make_dir, remove_dir);
}
