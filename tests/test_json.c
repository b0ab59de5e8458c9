/* JSON in and out: what is refused, that no key is ever lost, that numbers survive. */
#include "engine/json.h"

#include "engine/file.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

static char path[64];

static int choose_path(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/test_json.%d", (int)getpid());
    return 0;
}

static int remove_path(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

static bool accepted(const char *text) {
    json_t    *value = NULL;
    Error      err   = {0};
    const bool ok    = json_load_bytes(&value, text, strlen(text), &err);
    json_decref(value);
    assert_true(ok == (err.message[0] == '\0'));
    return ok;
}

/* ---- reading ---- */

static void json_that_leaves_doubt_is_refused(void **state) {
    (void)state;
    assert_true(accepted("{\"a\": 1, \"b\": [true, null, 1.5e3]}\n"));
    assert_false(accepted("{\"a\": 1, \"a\": 2}"));          /* twice */
    assert_false(accepted("{\"a\": 1, \"\\u0061\": 2}"));    /* twice, spelt otherwise */
    assert_false(accepted("{\"a\": 1} x"));
    assert_false(accepted("{\"a\": 1} {}"));
    assert_false(accepted("{\"a\": 1e400}"));
    assert_false(accepted("{\"a\": 9223372036854775808}"));
    assert_true(accepted("{\"a\": -9223372036854775808}"));
    assert_false(accepted("{\"a\": \"\\u0000\"}"));
    assert_false(accepted("{\"a\": NaN}"));
    assert_false(accepted("{\"a\": \"\xff\"}"));
    assert_false(accepted("{\"a\": \"\\ud800\"}"));
    assert_false(accepted("{// no\n}"));
    assert_false(accepted("{\"a\": 1,}"));
    assert_false(accepted("1"));
    assert_false(accepted(""));
    assert_false(accepted("{"));
    assert_false(accepted("{\"a\\"));
}

static void nesting_is_allowed_to_64_levels_and_brackets_in_texts_do_not_count(void **state) {
    (void)state;
    char text[160] = "";
    for (int i = 0; i < 64; i++) strcat(text, "[");
    for (int i = 0; i < 64; i++) strcat(text, "]");
    assert_true(accepted(text));
    char deeper[512];
    snprintf(deeper, sizeof deeper, "[\n%s\n]", text);
    json_t *value = NULL;
    Error   err   = {0};
    assert_false(json_load_bytes(&value, deeper, strlen(deeper), &err));
    assert_int_equal(err.input_line, 2);
    assert_non_null(strstr(err.message, "64"));
    snprintf(deeper, sizeof deeper, "[\"\\\"%.*s\"]", 64, text);
    assert_true(accepted(deeper));
}

static void number_of_values_is_bounded(void **state) {
    (void)state;
    const size_t n    = 2*(size_t)JSON_MAX_VALUES + 3;
    char        *text = malloc(n + 1);
    assert_non_null(text);
    text[0] = '[';
    for (size_t i = 0; i < JSON_MAX_VALUES; i++) memcpy(text + 1 + 2*i, "1,", 2);
    memcpy(text + n - 2, "1]", 2);
    text[n] = '\0';
    json_t *value = NULL;
    Error   err   = {0};
    assert_false(json_load_bytes(&value, text, n, &err));
    assert_non_null(strstr(err.message, "values"));
    free(text);
}

static void error_of_a_file_names_the_file_and_the_line(void **state) {
    (void)state;
    json_t *value = NULL;
    Error   err   = {0};
    assert_true(file_write_durable(path, "{\n\"a\": 1,\n\"a\": 2}\n", 18, &err));
    assert_false(json_load_file_checked(&value, path, 0, &err));
    assert_string_equal(err.input, path);
    assert_int_equal(err.input_line, 3);
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_false(json_load_file_checked(&value, path, 17, &err)); /* one byte too many */
    assert_non_null(strstr(err.message, "at most 17"));
    assert_false(json_load_file_checked(&value, "/tmp", 0, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_false(json_load_file_checked(&value, "/nonexistent", 0, &err));
    assert_string_equal(err.input, "/nonexistent");
    assert_null(value);
}

/* ---- sinks ---- */

static char *text_of(JsonSink *sink) {
    json_t *value = NULL;
    Error   err   = {0};
    assert_true(json_sink_finish(sink, &value, &err));
    char *text = json_to_text(value);
    assert_non_null(text);
    json_decref(value);
    return text;
}

static void number_that_is_not_finite_becomes_null_with_a_reason(void **state) {
    (void)state;
    JsonSink sink;
    json_sink_begin(&sink);
    assert_true(json_put_number(&sink, "loss", (double)NAN));
    assert_true(json_put_number(&sink, "rate", -(double)INFINITY));
    assert_true(json_put_number(&sink, "fine", 0.1));
    char *text = text_of(&sink);
    assert_string_equal(text, "{\n  \"loss\": null,\n  \"loss_reason\": \"non_finite\",\n"
                              "  \"rate\": null,\n  \"rate_reason\": \"non_finite\",\n  \"fine\": 0.1\n}\n");
    free(text);
}

static void missing_value_has_a_reason_from_the_closed_list(void **state) {
    (void)state;
    const char *reasons[] = {"not_supported", "no_permission", "multiplexed", "not_requested", "non_finite", "overflow"};
    for (size_t i = 0; i < 6; i++) {
        JsonSink sink;
        json_sink_begin(&sink);
        assert_true(json_put_missing(&sink, "cycles", reasons[i]));
        assert_true(json_is_null(json_object_get(sink.at, "cycles")));
        assert_string_equal(json_string_value(json_object_get(sink.at, "cycles_reason")), reasons[i]);
        json_sink_finish(&sink, NULL, NULL);
    }
}

static void unknown_reason_stops_the_program(void **state) {
    (void)state;
    int         status = 0;
    const pid_t child  = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        JsonSink            sink;
        setrlimit(RLIMIT_CORE, &none);
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(0);
        signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        json_sink_begin(&sink);
        json_put_missing(&sink, "cycles", "because");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void all_kinds_of_value_are_written_in_the_order_put(void **state) {
    (void)state;
    JsonSink run, model, cells, samples, empty;
    json_sink_begin(&run);
    json_put_text(&run, "z", "a\"b\\c\nd\te\x01\xc3\xa4");
    json_put_object(&run, "model", &model);
    json_put_count(&model, "most", INT64_MAX);
    json_put_count(&model, "least", INT64_MIN);
    json_put_bool(&model, "yes", true);
    json_put_bool(&run, "no", false);
    json_put_array(&run, "samples_ns", &samples);
    json_put_number(&samples, NULL, 1);
    json_put_number(&samples, NULL, 2.5);
    json_put_number(&samples, NULL, (double)NAN);
    json_put_array(&run, "cells", &cells);
    json_put_object(&cells, NULL, &empty);
    json_put(&cells, NULL, json_integer(7));
    char *text = text_of(&run);
    assert_string_equal(text, "{\n  \"z\": \"a\\\"b\\\\c\\nd\\te\\u0001\xc3\xa4\",\n  \"model\": {\n"
                              "    \"most\": 9223372036854775807,\n    \"least\": -9223372036854775808,\n"
                              "    \"yes\": true\n  },\n  \"no\": false,\n  \"samples_ns\": [1.0, 2.5, null],\n"
                              "  \"cells\": [\n    {},\n    7\n  ]\n}\n");
    free(text);
}

static void text_that_is_not_utf8_is_repaired_and_not_lost(void **state) {
    (void)state;
    JsonSink sink;
    json_sink_begin(&sink);
    assert_true(json_put_text(&sink, "cpu", "a\xff" "b\xc3"));
    assert_true(json_put_text(&sink, "k\x80", "\xed\xa0\x80"));      /* a surrogate: three bytes, none a character */
    assert_true(json_put_text(&sink, "same", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
    assert_string_equal(json_string_value(json_object_get(sink.at, "cpu")), "a\xef\xbf\xbd" "b\xef\xbf\xbd");
    assert_string_equal(json_string_value(json_object_get(sink.at, "k\xef\xbf\xbd")),
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(json_string_value(json_object_get(sink.at, "same")), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    json_sink_finish(&sink, NULL, NULL);
    assert_true(json_is_utf8("\xf4\x8f\xbf\xbf"));
    assert_false(json_is_utf8("\xf4\x90\x80\x80"));
    assert_false(json_is_utf8("\xc0\x80"));
    assert_false(json_is_utf8("\xe0\x9f\xbf"));
    assert_false(json_is_utf8("\xf0\x8f\xbf\xbf"));
    assert_false(json_is_utf8("\xf8\x88\x80\x80\x80"));
}

/* jansson's requests for memory: this many are granted, the next is refused; -1: all are granted */
static long granted = -1;

static void *scarce_malloc(size_t n) {
    if (granted == 0) {
        granted = -1;
        return NULL;
    }
    if (granted > 0) granted--;
    return malloc(n);
}

static void fill(JsonSink *run) {
    JsonSink child, list;
    json_sink_begin(run);
    json_put_object(run, "a", &child);
    json_put_number(&child, "number", 1.5);
    json_put_number(&child, "nan", (double)NAN);
    json_put_array(&child, "list", &list);
    for (int i = 0; i < 20; i++) json_put_count(&list, NULL, i);
    json_put_missing(&child, "joules", "not_supported");
    json_put_text(run, "text", "t");
    json_put_bool(run, "flag", true);
}

static void key_lost_for_want_of_memory_is_never_unnoticed(void **state) {
    (void)state;
    JsonSink run;
    int      n_failed = 0;
    fill(&run);
    char *whole = text_of(&run);
    json_set_alloc_funcs(scarce_malloc, free);
    for (long nth = 0;; nth++) {
        json_t *value = NULL;
        Error   err   = {0};
        granted       = nth;
        fill(&run);
        const bool all_granted = granted >= 0;
        granted                = -1;
        const bool ok          = json_sink_finish(&run, &value, &err);
        assert_int_equal(ok, all_granted);
        if (!ok) {
            n_failed++;
            assert_null(value);
            assert_int_equal(err.exit_status, EXIT_MACHINE);
            continue;
        }
        char *text = json_to_text(value);
        assert_string_equal(text, whole);
        free(text);
        json_decref(value);
        break;
    }
    json_set_alloc_funcs(malloc, free);
    free(whole);
    assert_true(n_failed > 30); /* at least one for each value put */
}

static void reading_without_memory_fails_with_a_message(void **state) {
    (void)state;
    static const char text[] = "{\"a\": [1, 2.5, \"x\"]}";
    json_set_alloc_funcs(scarce_malloc, free);
    long nth = 0, n_machine = 0;
    for (;; nth++) {
        json_t *value    = NULL;
        Error   err      = {0};
        granted          = nth;
        const bool ok    = json_load_bytes(&value, text, sizeof text - 1, &err);
        const bool spent = granted < 0;
        granted          = -1;
        json_decref(value);
        assert_int_equal(ok, !spent);
        if (ok) break;
        assert_true(err.message[0] != '\0');
        n_machine += err.exit_status == EXIT_MACHINE;
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(nth > 5 && n_machine > nth / 2); /* the rest look like wrong tokens: see json_load_bytes */
}

/* ---- texts ---- */

static void number_reads_back_equal_and_as_short_as_it_can(void **state) {
    (void)state;
    const struct { double value; const char *text; } known[] = {
        {0.1, "[0.1]\n"}, {1.0/3, "[0.3333333333333333]\n"}, {0.1 + 0.2, "[0.30000000000000004]\n"}, {1e300, "[1e+300]\n"},
        {100, "[100.0]\n"}, {-0.0, "[-0.0]\n"}, {5e-324, "[4.94065645841247e-324]\n"}};
    uint64_t bits = 88172645463325252u;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        json_t *array = json_pack("[f]", known[i].value);
        char   *text  = json_to_text(array);
        assert_string_equal(text, known[i].text);
        free(text);
        json_decref(array);
    }
    for (int i = 0; i < 2000; i++) {
        double value;
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        json_t *array = json_pack("[f]", value), *again = NULL;
        Error   err   = {0};
        char   *texts[2] = {json_to_text(array), json_canonical_text(array)};
        for (int k = 0; k < 2; k++) {
            assert_true(json_load_bytes(&again, texts[k], strlen(texts[k]), &err));
            assert_true(json_number_value(json_array_get(again, 0)) == value);
            json_decref(again);
            free(texts[k]);
        }
        json_decref(array);
    }
}

static void canonical_text_does_not_depend_on_order_or_spelling(void **state) {
    (void)state;
    json_t *a = NULL, *b = NULL, *c = NULL;
    Error   err        = {0};
    const char *one    = "{\"b\": [1, 0.1, {\"y\": 1, \"x\": \"\\u00e4\"}], \"a\": 1.0, \"B\": null}";
    const char *other  = "{\"B\":null,\n\"a\":1,\"b\":[1.0,1e-1,{\"x\":\"\xc3\xa4\",\"y\":1}]}";
    const char *third  = "{\"B\":null,\"a\":1,\"b\":[1.0,0.2,{\"x\":\"\xc3\xa4\",\"y\":1}]}";
    assert_true(json_load_bytes(&a, one, strlen(one), &err) && json_load_bytes(&b, other, strlen(other), &err) &&
                json_load_bytes(&c, third, strlen(third), &err));
    char *text_a = json_canonical_text(a), *text_b = json_canonical_text(b), *text_c = json_canonical_text(c);
    assert_string_equal(text_a, "{\"B\":null,\"a\":1,\"b\":[1,0.10000000000000001,{\"x\":\"\xc3\xa4\",\"y\":1}]}");
    assert_string_equal(text_b, text_a);
    assert_string_not_equal(text_c, text_a);
    free(text_a), free(text_b), free(text_c);
    json_decref(a), json_decref(b), json_decref(c);
}

static void numbers_have_a_point_in_a_locale_of_commas(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "tr_TR.UTF-8", "ps_AF.UTF-8"};
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && found == NULL; i++) found = setlocale(LC_ALL, names[i]);
    if (found == NULL) skip();
    json_t *array = json_pack("[f,f]", 0.5, 1e-7), *again = NULL;
    Error   err   = {0};
    char   *text  = json_to_text(array), *canonical = json_canonical_text(array);
    const bool read = json_load_bytes(&again, "[0.5]", 5, &err);
    setlocale(LC_ALL, "C");
    assert_string_equal(text, "[0.5, 1e-07]\n");
    assert_string_equal(canonical, "[0.5,9.9999999999999995e-08]");
    assert_true(read && json_real_value(json_array_get(again, 0)) == 0.5);
    free(text);
    free(canonical);
    json_decref(array);
    json_decref(again);
}

static void file_is_read_back_equal_and_ends_in_a_newline(void **state) {
    (void)state;
    JsonSink run;
    json_t  *value = NULL, *again = NULL;
    void    *bytes = NULL;
    size_t   n     = 0;
    Error    err   = {0};
    fill(&run);
    assert_true(json_sink_finish(&run, &value, &err));
    assert_true(json_save_file(value, path, &err));
    assert_true(json_load_file_checked(&again, path, 0, &err));
    assert_true(json_equal(value, again));
    assert_true(file_read_all(path, 10000, &bytes, &n, &err));
    assert_int_equal(((char *)bytes)[n - 1], '\n');
    free(bytes);
    json_decref(value);
    json_decref(again);
}

static void tree_that_nobody_could_read_again_is_not_saved(void **state) {
    (void)state;
    Error   err   = {0};
    json_t *value = json_array();
    for (int i = 1; i < 64; i++) value = json_pack("[o]", value);
    assert_true(json_save_file(value, path, &err));
    value = json_pack("{so}", "a", value);
    assert_false(json_save_file(value, path, &err));
    assert_string_equal(err.input, path);
    assert_false(json_save_file(json_object_get(value, "a"), "/nonexistent/a", &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    json_decref(value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_that_leaves_doubt_is_refused),
        cmocka_unit_test(nesting_is_allowed_to_64_levels_and_brackets_in_texts_do_not_count),
        cmocka_unit_test(number_of_values_is_bounded),
        cmocka_unit_test_setup_teardown(error_of_a_file_names_the_file_and_the_line, choose_path, remove_path),
        cmocka_unit_test(number_that_is_not_finite_becomes_null_with_a_reason),
        cmocka_unit_test(missing_value_has_a_reason_from_the_closed_list),
        cmocka_unit_test(unknown_reason_stops_the_program),
        cmocka_unit_test(all_kinds_of_value_are_written_in_the_order_put),
        cmocka_unit_test(text_that_is_not_utf8_is_repaired_and_not_lost),
        cmocka_unit_test(key_lost_for_want_of_memory_is_never_unnoticed),
        cmocka_unit_test(reading_without_memory_fails_with_a_message),
        cmocka_unit_test(number_reads_back_equal_and_as_short_as_it_can),
        cmocka_unit_test(canonical_text_does_not_depend_on_order_or_spelling),
        cmocka_unit_test(numbers_have_a_point_in_a_locale_of_commas),
        cmocka_unit_test_setup_teardown(file_is_read_back_equal_and_ends_in_a_newline, choose_path, remove_path),
        cmocka_unit_test_setup_teardown(tree_that_nobody_could_read_again_is_not_saved, choose_path, remove_path),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
