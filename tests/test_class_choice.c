/* Which classes a text chooses, and what a data set of some classes hands out. */
#include "harness/data/class_choice.h"
#include "harness/data/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void good(bool ok, const Error *err) {
    char text[1024];
    error_text(err, text, sizeof text);
    if (!ok) fail_msg("%s", text);
}

static void numbers_and_ranges_are_numbered_anew_in_their_old_order(void **state) {
    (void)state;
    static const struct { const char *text; int n, renumbered[10]; } cases[] = {
        {"0-4",   5, {0, 1, 2, 3, 4, -1, -1, -1, -1, -1}},
        {"5-9",   5, {-1, -1, -1, -1, -1, 0, 1, 2, 3, 4}},
        {"7,0-1", 3, {0, 1, -1, -1, -1, -1, -1, 2, -1, -1}},
        {"3",     1, {-1, -1, -1, 0, -1, -1, -1, -1, -1, -1}},
        {"0-9",  10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int   n, renumbered[10];
        Error err = {0};
        good(class_choice_parse(cases[i].text, 10, renumbered, &n, &err), &err);
        assert_int_equal(n, cases[i].n);
        assert_memory_equal(renumbered, cases[i].renumbered, sizeof renumbered);
    }
}

static void what_is_no_choice_is_refused_with_the_reason(void **state) {
    (void)state;
    static const struct { const char *text, *why; } cases[] = {
        {"", "class numbers and ranges"},     {"a", "class numbers and ranges"},  {"1,", "class numbers and ranges"},
        {"1-", "class numbers and ranges"},   {"-1", "class numbers and ranges"}, {"1;2", "class numbers and ranges"},
        {"1 2", "class numbers and ranges"},  {"4-2", "runs backwards"},          {"0-10", "there are 10"},
        {"1234567", "class numbers and ranges"}, {"0-4,3", "class 3 twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int   n, renumbered[10];
        Error err = {0};
        assert_false(class_choice_parse(cases[i].text, 10, renumbered, &n, &err));
        assert_string_equal(err.field, "/data/classes");
        assert_non_null(strstr(err.message, cases[i].why));
    }
}

static void a_set_of_some_classes_has_their_images_in_order_and_no_others(void **state) {
    (void)state;
    Dataset *whole, *some;
    Error    err = {0};
    DatasetOptions o = {.name_or_dir = "synthetic:4x4x1:10:400"};
    good(dataset_open(&whole, &o, &err), &err);
    o.classes = "2,5-7";
    good(dataset_open(&some, &o, &err), &err);
    static const int renumbered[10] = {-1, -1, 0, -1, -1, 1, 2, 3, -1, -1};
    int64_t at = 0;
    for (int64_t i = 0; i < whole->n_images; i++) {
        uint8_t a[16], b[16];
        int     label, new_label;
        good(dataset_read(whole, i, a, &label, &err), &err);
        if (renumbered[label] < 0) continue;
        assert_true(at < some->n_images);
        good(dataset_read(some, at++, b, &new_label, &err), &err);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(new_label, renumbered[label]);
    }
    assert_int_equal(at, some->n_images);
    assert_int_equal(some->n_classes, 4);
    assert_string_equal(some->class_names[1], "class 5");
    assert_string_equal(some->digest, whole->digest);          /* content is what it was */
    dataset_close(whole);
    dataset_close(some);
}

static void a_limit_and_held_out_images_are_of_the_chosen_classes(void **state) {
    (void)state;
    Dataset *d;
    Error    err = {0};
    DatasetOptions o = {.name_or_dir = "synthetic:4x4x1:10:400", .split = "train", .classes = "0-4", .limit = 40};
    int counted[2] = {0, 0};
    for (int part = 0; part < 3; part++) {
        o.part           = (DatasetPart)part;
        o.held_out_ratio = 0.25;
        good(dataset_open(&d, &o, &err), &err);
        assert_int_equal(d->n_images, part == 0 ? 40 : part == 1 ? 30 : 10);
        for (int64_t i = 0; i < d->n_images; i++) {
            uint8_t pixels[16];
            int     label;
            good(dataset_read(d, i, pixels, &label, &err), &err);
            assert_in_range(label, 0, 4);
            if (part > 0) counted[part - 1]++;
        }
        dataset_close(d);
    }
    assert_int_equal(counted[0] + counted[1], 40);
}

static void a_class_without_images_and_a_set_without_labels_are_refused(void **state) {
    (void)state;
    Dataset *d = NULL;
    Error    err = {0};
    DatasetOptions o = {.name_or_dir = "synthetic:4x4x1:1000:3", .classes = "999"};
    bool opened = dataset_open(&d, &o, &err);
    if (opened) dataset_close(d);                              /* one of three images may be of it, in another stream */
    else assert_string_equal(err.field, "/data/classes");
    assert_false(opened);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_ranges_are_numbered_anew_in_their_old_order),
        cmocka_unit_test(what_is_no_choice_is_refused_with_the_reason),
        cmocka_unit_test(a_set_of_some_classes_has_their_images_in_order_and_no_others),
        cmocka_unit_test(a_limit_and_held_out_images_are_of_the_chosen_classes),
        cmocka_unit_test(a_class_without_images_and_a_set_without_labels_are_refused),
    };
    return cmocka_run_group_tests_name("class_choice", tests, NULL, NULL);
}
