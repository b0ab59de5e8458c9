/* Errors as plain data: what they carry, how long texts are cut, and that a failed CHECK stops the program. */
#include "engine/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/dies.h"

static void a_failure_fills_every_field_and_is_false(void **state) {
    (void)state;
    Error err;
    memset(&err, 'x', sizeof err);
    const int line = __LINE__ + 1;
    assert_false(FAIL(&err, "/model/depth", "must be in [%d, %d], got %d", 1, 12, 0));
    assert_string_equal(err.message, "must be in [1, 12], got 0");
    assert_string_equal(err.field, "/model/depth");
    assert_string_equal(err.input, "");
    assert_int_equal(err.input_line, 0);
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_string_equal(err.file, __FILE__);
    assert_int_equal(err.line, line);
}

static void a_failure_asks_for_the_exit_status_it_is_given(void **state) {
    (void)state;
    Error err = {0};
    assert_false(FAIL_STATUS(&err, EXIT_MACHINE, "", "no memory"));
    assert_int_equal(err.exit_status, EXIT_MACHINE);
    assert_false(FAIL_STATUS(&err, EXIT_IO, "", "no disk"));
    assert_int_equal(err.exit_status, EXIT_IO);
    assert_false(err.disk_full);
    assert_false(FAIL_STATUS(&err, EXIT_DISK_FULL, "", "no room"));
    assert_int_equal(err.exit_status, EXIT_IO);
    assert_true(err.disk_full);
}

static void exit_statuses_are_the_documented_numbers(void **state) {
    (void)state;
    const int statuses[] = {EXIT_OK, EXIT_BAD_INPUT, EXIT_MACHINE, EXIT_REGRESSION, EXIT_CELLS, EXIT_IO, EXIT_INTERRUPTED, EXIT_TERMINATED};
    const int documented[] = {0, 1, 2, 3, 4, 5, 130, 143};
    assert_memory_equal(statuses, documented, sizeof statuses);
}

static void nobody_who_listens_is_fine(void **state) {
    (void)state;
    assert_false(FAIL(NULL, "/x", "%s", "unheard"));
    assert_false(error_in(NULL, "file"));
}

static void control_characters_become_question_marks(void **state) {
    (void)state;
    Error err = {0};
    FAIL(&err, "a\nb\x7f", "red \x1b[31m\ttext\r");
    error_in(&err, "dir/\x1b]0;title\a.json");
    assert_string_equal(err.message, "red ?[31m?text?");
    assert_string_equal(err.field, "a?b?");
    assert_string_equal(err.input, "dir/?]0;title?.json");
    FAIL(&err, "", "d\xc3\xa9j\xc3\xa0 vu");          /* letters beyond ASCII stay */
    assert_string_equal(err.message, "d\xc3\xa9j\xc3\xa0 vu");
}

static void texts_that_are_too_long_are_cut_and_end(void **state) {
    (void)state;
    char long_text[2000];
    memset(long_text, 'm', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    Error err = {0};
    FAIL(&err, long_text, "%s", long_text);
    error_in(&err, long_text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(strlen(err.field), sizeof err.field - 1);
    assert_int_equal(strlen(err.input), sizeof err.input - 1);
}

static void the_innermost_file_is_the_one_at_fault(void **state) {
    (void)state;
    Error err = {0};
    FAIL(&err, "", "bad");
    assert_false(error_in(&err, "inner.json"));
    assert_false(error_in(&err, "outer.json"));
    assert_string_equal(err.input, "inner.json");
    FAIL(&err, "", "another");                         /* a new failure knows no file yet */
    assert_string_equal(err.input, "");
}

static void an_error_may_be_told_again_in_its_own_words(void **state) {
    (void)state;
    Error err = {0};
    FAIL(&err, "/depth", "got 0");
    FAIL(&err, err.field, "after a look: %s", err.message);
    assert_string_equal(err.message, "after a look: got 0");
    assert_string_equal(err.field, "/depth");
}

static const char *text_of(const Error *err) {
    static char text[1200];
    error_text(err, text, sizeof text);
    return text;
}

static void its_text_names_file_line_and_field_when_there_are_any(void **state) {
    (void)state;
    Error err = {0};
    FAIL(&err, "", "no memory");
    assert_string_equal(text_of(&err), "no memory");
    FAIL(&err, "/lr", "must be positive");
    assert_string_equal(text_of(&err), "/lr: must be positive");
    error_in(&err, "a.json");
    assert_string_equal(text_of(&err), "a.json: /lr: must be positive");
    err.input_line = 12;
    assert_string_equal(text_of(&err), "a.json:12: /lr: must be positive");
    err.field[0] = '\0';
    assert_string_equal(text_of(&err), "a.json:12: must be positive");
}

static void its_text_is_cut_to_the_room_there_is(void **state) {
    (void)state;
    Error err = {0};
    char  text[8] = "1234567";
    FAIL(&err, "", "much too long");
    error_text(&err, text, 5);
    assert_memory_equal(text, "much\0" "67", 8);
}

static void check_that_holds(void *unused) { (void)unused; CHECK(1 + 1 == 2, "arithmetic"); }
static void check_that_fails(void *n) { CHECK(*(int *)n == 3, "x is %d", *(int *)n); }

static void a_check_that_holds_does_nothing(void **state) {
    (void)state;
    const Death death = death_of(check_that_holds, NULL);
    assert_int_equal(death.status, 77);
    assert_string_equal(death.text, "");
}

static void a_check_that_fails_prints_both_sides_and_aborts(void **state) {
    (void)state;
    int n = 4;
    assert_check_fails(check_that_fails, &n, "x is 4");
    assert_check_fails(check_that_fails, &n, "test_error.c");
    assert_check_fails(check_that_fails, &n, "*(int *)n == 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_fills_every_field_and_is_false),
        cmocka_unit_test(a_failure_asks_for_the_exit_status_it_is_given),
        cmocka_unit_test(exit_statuses_are_the_documented_numbers),
        cmocka_unit_test(nobody_who_listens_is_fine),
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(texts_that_are_too_long_are_cut_and_end),
        cmocka_unit_test(the_innermost_file_is_the_one_at_fault),
        cmocka_unit_test(an_error_may_be_told_again_in_its_own_words),
        cmocka_unit_test(its_text_names_file_line_and_field_when_there_are_any),
        cmocka_unit_test(its_text_is_cut_to_the_room_there_is),
        cmocka_unit_test(a_check_that_holds_does_nothing),
        cmocka_unit_test(a_check_that_fails_prints_both_sides_and_aborts),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
