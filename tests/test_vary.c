/* What "vary" stands for (harness/sweep/vary.c). */
#include "harness/sweep/vary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The combinations of a vary, one a line: "/a=1 /b=x\n"; values left as they are as "/a". */
static char *combinations(const char *text) {
    json_t *vary = json_loads(text, 0, NULL), *all = NULL, *combination, *one;
    Error   err  = {0};
    char   *out  = calloc(1, 4096);
    size_t  i, k;
    assert_non_null(vary);
    assert_true(vary_check(vary, "/vary", &err));
    assert_true(vary_combinations(vary, &all, &err));
    json_array_foreach(all, i, combination) {
        json_array_foreach(combination, k, one) {
            const json_t *value = json_object_get(one, "value");
            char         *shown = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
            strcat(out, k > 0 ? " " : "");
            strcat(out, json_string_value(json_object_get(one, "pointer")));
            if (shown != NULL) strcat(strcat(out, "="), shown);
            if (json_object_get(one, "label") != NULL) strcat(strcat(out, ":"), json_string_value(json_object_get(one, "label")));
            free(shown);
        }
        strcat(out, "\n");
    }
    json_decref(all);
    json_decref(vary);
    return out;
}

static void stand_for(const char *vary, const char *lines) {
    char *got = combinations(vary);
    assert_string_equal(got, lines);
    free(got);
}

static void the_plain_form_is_every_combination_the_last_pointer_fastest(void **state) {
    (void)state;
    stand_for("{\"/train/lr\": [1, 2], \"/model/a\": [3, 4]}",
              "/train/lr=1 /model/a=3\n/train/lr=1 /model/a=4\n/train/lr=2 /model/a=3\n/train/lr=2 /model/a=4\n");
    stand_for("{\"product\": {\"/train/lr\": [1, 2]}}", "/train/lr=1\n/train/lr=2\n");
}

static void nothing_varied_is_one_combination(void **state) {
    (void)state;
    stand_for("{}", "\n");
    json_t *all = NULL;
    Error   err = {0};
    assert_true(vary_combinations(NULL, &all, &err));
    assert_int_equal(json_array_size(all), 1);
    json_decref(all);
}

static void a_zip_takes_values_of_one_place(void **state) {
    (void)state;
    stand_for("{\"zip\": {\"/model/a\": [1, 2, 3], \"/model/b\": [3, 2, 1]}}", "/model/a=1 /model/b=3\n/model/a=2 /model/b=2\n/model/a=3 /model/b=1\n");
}

static void around_is_the_base_and_every_value_alone(void **state) {
    (void)state;
    stand_for("{\"around\": {\"/model/a\": [1, 2], \"/model/b\": [3]}}", "/model/a /model/b\n/model/a=1 /model/b\n/model/a=2 /model/b\n/model/a /model/b=3\n");
}

static void forms_are_multiplied(void **state) {
    (void)state;
    stand_for("{\"zip\": {\"/model/a\": [1, 2]}, \"product\": {\"/train/lr\": [3, 4]}}",
              "/model/a=1 /train/lr=3\n/model/a=1 /train/lr=4\n/model/a=2 /train/lr=3\n/model/a=2 /train/lr=4\n");
}

static void a_value_may_have_a_name_and_be_anything(void **state) {
    (void)state;
    stand_for("{\"/model/capacity\": [{\"label\": \"half\", \"value\": {\"geometric\": 0.5}}, {\"geometric\": 0.25}]}",
              "/model/capacity={\"geometric\": 0.5}:half\n/model/capacity={\"geometric\": 0.25}\n");
}

static void combinations_are_set_where_their_pointers_say(void **state) {
    (void)state;
    json_t *vary = json_loads("{\"around\": {\"/model/a\": [7], \"/train/lr\": [8]}}", 0, NULL), *all = NULL;
    Config  c    = {.tree = json_loads("{\"model\": {\"a\": 1}}", 0, NULL)};
    Error   err  = {0};
    assert_true(vary_combinations(vary, &all, &err));
    assert_true(vary_apply(&c, json_array_get(all, 0), &err));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(c.tree, "model"), "a")), 1);
    assert_true(vary_apply(&c, json_array_get(all, 2), &err));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(c.tree, "train"), "lr")), 8);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(c.tree, "model"), "a")), 1);
    json_decref(all);
    json_decref(vary);
    config_release(&c);
}

static void too_many_combinations_are_refused(void **state) {
    (void)state;
    json_t *values = json_array(), *vary, *all = NULL;
    Error   err    = {0};
    for (int i = 0; i < 100; i++) json_array_append_new(values, json_integer(i));
    vary = json_pack("{sOsO}", "/model/a", values, "/model/b", values);
    assert_false(vary_combinations(vary, &all, &err));
    assert_non_null(strstr(err.message, "more than 4096"));
    json_decref(vary);
    vary = json_pack("{s{sO}s{sO}}", "product", "/model/a", values, "zip", "/model/b", values);
    err  = (Error){0};
    assert_false(vary_combinations(vary, &all, &err));
    json_decref(vary);
    json_decref(values);
}

static void wrong_shapes_are_refused_by_their_place(void **state) {
    static const char *const cases[][2] = {
        {"{\"/question/x\": [1]}", "/vary/~1question~1x"}, {"{\"/model/a\": 1}", "/vary/~1model~1a"}, {"{\"/model/a\": []}", "/vary/~1model~1a"},
        {"{\"zip\": {\"/model/a\": [1], \"/model/b\": [1, 2]}}", "/vary/zip"}, {"{\"zip\": [1]}", "/vary/zip"}, {"{\"zipp\": {}}", "/vary/zipp"},
        {"{\"around\": {\"model.a\": [1]}}", "/vary/around/model.a"}, {"[1]", "/vary"}, {"{\"/model/a\": [1], \"zip\": {}}", "/vary/zip"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *vary = json_loads(cases[i][0], 0, NULL);
        Error   err  = {0};
        assert_non_null(vary);
        assert_false(vary_check(vary, "/vary", &err));
        assert_string_equal(err.field, cases[i][1]);
        json_decref(vary);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_form_is_every_combination_the_last_pointer_fastest),
        cmocka_unit_test(nothing_varied_is_one_combination),
        cmocka_unit_test(a_zip_takes_values_of_one_place),
        cmocka_unit_test(around_is_the_base_and_every_value_alone),
        cmocka_unit_test(forms_are_multiplied),
        cmocka_unit_test(a_value_may_have_a_name_and_be_anything),
        cmocka_unit_test(combinations_are_set_where_their_pointers_say),
        cmocka_unit_test(too_many_combinations_are_refused),
        cmocka_unit_test(wrong_shapes_are_refused_by_their_place),
    };
    return cmocka_run_group_tests_name("vary", tests, NULL, NULL);
}
