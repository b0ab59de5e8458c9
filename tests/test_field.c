/* Settings as a table of fields: every type through every setter, ranges, lists, presets, and the exact words of each error. */
#include "engine/field.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct Settings {
    int       depth, seed, shape;
    double    lr;
    bool      flip;
    FieldText name, empty;
    IntList   dims;
    RealList  rates;
} Settings;

static const char *const shapes[] = {"round", "square", "flat", NULL};

static const Field fields[] = {
    INT_FIELD(Settings, depth, 1, 64, 12, "layers"),
    INT_FIELD  (Settings, seed, INT_MIN, INT_MAX, 0, "any"),
    WORD_FIELD(Settings, shape, shapes, 1, "form"),
    REAL_FIELD(Settings, lr, 0, 1, 0.25, "rate"),
    BOOL_FIELD(Settings, flip, true, "mirrored"),
    TEXT_FIELD(Settings, name, "fallback", "text"),
    TEXT_FIELD(Settings, empty, NULL, "text without fallback"),
    {.key = "dims", .type = FIELD_INTS, .offset = offsetof(Settings, dims), .min = 1, .max = 100, .help = "list"},
    {.key = "rates", .type = FIELD_REALS, .offset = offsetof(Settings, rates), .min = 0, .max = 1, .help = "list"},
    FIELDS_END,
};

static const Field *field(const char *key) {
    const Field *f = field_find(fields, key);
    assert_non_null(f);
    return f;
}

static Settings defaults(void) {
    Settings s;
    memset(&s, 0x5a, sizeof s);
    s.seed = 0;
    fields_default(fields, &s);
    return s;
}

#define assert_refused(call, message_text, field_text) do {      \
        Error err = {0};                                         \
        assert_false(call);                                      \
        assert_string_equal(err.message, message_text);          \
        assert_string_equal(err.field, field_text);              \
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);       \
    } while (0)

#define assert_taken(call) do { Error err = {0}; if (!(call)) fail_msg("%s %s", err.field, err.message); } while (0)

static void fallbacks_of_every_type_are_set(void **state) {
    (void)state;
    const Settings s = defaults();
    assert_int_equal(s.depth, 12);
    assert_int_equal(s.shape, 1);
    assert_true(s.lr == 0.25);
    assert_true(s.flip);
    assert_string_equal(s.name, "fallback");
    assert_string_equal(s.empty, "");
    assert_int_equal(s.dims.n, 0);
    assert_int_equal(s.rates.n, 0);
}

static void a_field_is_found_by_its_whole_name(void **state) {
    (void)state;
    for (const Field *f = fields; f->key != NULL; f++) assert_ptr_equal(field_find(fields, f->key), f);
    assert_null(field_find(fields, "dept"));
    assert_null(field_find(fields, "Depth"));
    assert_null(field_find(fields, ""));
}

static void the_nearest_key_is_named_up_to_three_letters_away(void **state) {
    (void)state;
    assert_string_equal(field_nearest(fields, "dept"), "depth");          /* one left out */
    assert_string_equal(field_nearest(fields, "dpeth"), "depth");         /* two changed places */
    assert_string_equal(field_nearest(fields, "ddepths"), "depth");
    assert_string_equal(field_nearest(fields, "ratios"), "rates");
    assert_string_equal(field_nearest(fields, "rates"), "rates");
    assert_string_equal(field_nearest(fields, "xxxdepth"), "depth");      /* three are near enough */
    assert_null(field_nearest(fields, "xxxxdepth"));                      /* four are not */
    assert_null(field_nearest(fields, "learning_rate"));
    char long_key[500];
    memset(long_key, 'k', sizeof long_key);
    long_key[sizeof long_key - 1] = '\0';
    assert_null(field_nearest(fields, long_key));
}

static void numbers_are_taken_to_the_ends_of_their_range_and_no_further(void **state) {
    (void)state;
    Settings s = defaults();
    const double good[] = {1, 64, 33}, bad[] = {0, 65, -1};
    for (int i = 0; i < 3; i++) {
        assert_taken(field_set_number(field("depth"), &s, good[i], "/d", &err));
        assert_int_equal(s.depth, (int)good[i]);
    }
    for (int i = 0; i < 3; i++) {
        Error err = {0};
        assert_false(field_set_number(field("depth"), &s, bad[i], "/d", &err));
        assert_int_equal(s.depth, 33);                                    /* as it was */
    }
    assert_refused(field_set_number(field("depth"), &s, 0, "/model/depth", &err), "must be in [1, 64], got 0", "/model/depth");
    assert_refused(field_set_number(field("lr"), &s, 1.5, "/lr", &err), "must be in [0, 1], got 1.5", "/lr");
    assert_refused(field_set_number(field("lr"), &s, -1e-300, "/lr", &err), "must be in [0, 1], got -1e-300", "/lr");
    assert_taken(field_set_number(field("lr"), &s, 0, "/lr", &err));
    assert_taken(field_set_number(field("lr"), &s, 1, "/lr", &err));
    assert_taken(field_set_number(field("seed"), &s, INT_MIN, "/seed", &err));
    assert_int_equal(s.seed, INT_MIN);
    assert_taken(field_set_number(field("seed"), &s, INT_MAX, "/seed", &err));
    assert_int_equal(s.seed, INT_MAX);
    assert_refused(field_set_number(field("seed"), &s, 2147483648.0, "/seed", &err), "must be in [-2147483648, 2147483647], got 2147483648", "/seed");
    assert_refused(field_set_number(field("seed"), &s, DBL_MAX, "/seed", &err), "must be in [-2147483648, 2147483647], got 1.797693135e+308", "/seed");
}

static void numbers_that_are_none_are_refused(void **state) {
    (void)state;
    Settings s = defaults();
    assert_refused(field_set_number(field("lr"), &s, NAN, "/lr", &err), "must be a finite number", "/lr");
    assert_refused(field_set_number(field("lr"), &s, INFINITY, "/lr", &err), "must be a finite number", "/lr");
    assert_refused(field_set_number(field("depth"), &s, -INFINITY, "/d", &err), "must be a finite number", "/d");
    assert_refused(field_set_number(field("depth"), &s, 2.5, "/d", &err), "must be a whole number, got 2.5", "/d");
    assert_true(s.lr == 0.25 && s.depth == 12);
}

static void values_of_another_type_are_refused_by_name(void **state) {
    (void)state;
    Settings     s    = defaults();
    const double list[] = {1, 2};
    assert_refused(field_set_number(field("flip"), &s, 1, "/x", &err), "must be true or false, got a number", "/x");
    assert_refused(field_set_number(field("shape"), &s, 1, "/x", &err), "must be a word, got a number", "/x");
    assert_refused(field_set_number(field("name"), &s, 1, "/x", &err), "must be a text, got a number", "/x");
    assert_refused(field_set_bool(field("depth"), &s, true, "/x", &err), "must be a whole number, got true", "/x");
    assert_refused(field_set_bool(field("lr"), &s, false, "/x", &err), "must be a number, got false", "/x");
    assert_refused(field_set_bool(field("dims"), &s, false, "/x", &err), "must be a list of whole numbers, got false", "/x");
    assert_refused(field_set_text(field("depth"), &s, "six", "/x", &err), "must be a whole number, got \"six\"", "/x");
    assert_refused(field_set_text(field("flip"), &s, "yes", "/x", &err), "must be true or false, got \"yes\"", "/x");
    assert_refused(field_set_text(field("rates"), &s, "all", "/x", &err), "must be a list of numbers, got \"all\"", "/x");
    assert_refused(field_set_list(field("depth"), &s, list, 2, "/x", &err), "must be a whole number, got a list", "/x");
    assert_refused(field_set_list(field("name"), &s, list, 2, "/x", &err), "must be a text, got a list", "/x");
}

static void a_word_is_one_of_its_list(void **state) {
    (void)state;
    Settings s = defaults();
    for (int i = 0; shapes[i] != NULL; i++) {
        assert_taken(field_set_text(field("shape"), &s, shapes[i], "/shape", &err));
        assert_int_equal(s.shape, i);
    }
    assert_refused(field_set_text(field("shape"), &s, "oval", "/shape", &err), "must be one of round, square, flat; got \"oval\"", "/shape");
    assert_refused(field_set_text(field("shape"), &s, "", "/shape", &err), "must be one of round, square, flat; got \"\"", "/shape");
    assert_refused(field_set_text(field("shape"), &s, "roun", "/shape", &err), "must be one of round, square, flat; got \"roun\"", "/shape");
    assert_int_equal(s.shape, 2);
}

static void a_text_is_taken_up_to_its_room(void **state) {
    (void)state;
    Settings s = defaults();
    char     text[FIELD_TEXT_MAX + 1];
    memset(text, 't', sizeof text);
    text[FIELD_TEXT_MAX - 1] = '\0';
    assert_taken(field_set_text(field("name"), &s, text, "/name", &err));
    assert_string_equal(s.name, text);
    text[FIELD_TEXT_MAX - 1] = 't';
    text[FIELD_TEXT_MAX]     = '\0';
    assert_refused(field_set_text(field("name"), &s, text, "/name", &err), "must be shorter than 512 bytes, got 512", "/name");
    assert_taken(field_set_text(field("name"), &s, "", "/name", &err));
    assert_string_equal(s.name, "");
}

static void lists_have_entries_within_the_range_each_named_by_its_place(void **state) {
    (void)state;
    Settings     s      = defaults();
    const double ints[] = {64, 1, 100}, reals[] = {1, 0.5, 0}, bad_range[] = {1, 2, 101}, bad_whole[] = {1, 1.5};
    assert_taken(field_set_list(field("dims"), &s, ints, 3, "/dims", &err));
    assert_int_equal(s.dims.n, 3);
    for (int i = 0; i < 3; i++) assert_int_equal(s.dims.value[i], (int)ints[i]);
    assert_taken(field_set_list(field("rates"), &s, reals, 3, "/rates", &err));
    assert_int_equal(s.rates.n, 3);
    assert_memory_equal(s.rates.value, reals, sizeof reals);
    assert_refused(field_set_list(field("dims"), &s, bad_range, 3, "/dims", &err), "must be in [1, 100], got 101", "/dims/2");
    assert_refused(field_set_list(field("dims"), &s, bad_whole, 2, "/dims", &err), "must be a whole number, got 1.5", "/dims/1");
    assert_int_equal(s.dims.n, 3);
    assert_refused(field_set_list(field("dims"), &s, ints, 0, "/dims", &err), "must have 1 to 32 entries, got 0", "/dims");
    double many[FIELD_LIST_MAX + 1];
    for (int i = 0; i <= FIELD_LIST_MAX; i++) many[i] = 1;
    assert_taken(field_set_list(field("dims"), &s, many, FIELD_LIST_MAX, "/dims", &err));
    assert_int_equal(s.dims.n, FIELD_LIST_MAX);
    assert_refused(field_set_list(field("dims"), &s, many, FIELD_LIST_MAX + 1, "/dims", &err), "must have 1 to 32 entries, got 33", "/dims");
    assert_taken(field_set_number(field("rates"), &s, 0.75, "/rates", &err));      /* one number is a list of one */
    assert_int_equal(s.rates.n, 1);
    assert_true(s.rates.value[0] == 0.75);
}

static void overrides_are_read_from_text(void **state) {
    (void)state;
    Settings s = defaults();
    assert_taken(field_set_from_text(field("depth"), &s, "7", "/x", &err));
    assert_taken(field_set_from_text(field("lr"), &s, "1e-3", "/x", &err));
    assert_taken(field_set_from_text(field("flip"), &s, "false", "/x", &err));
    assert_taken(field_set_from_text(field("shape"), &s, "flat", "/x", &err));
    assert_taken(field_set_from_text(field("name"), &s, "12", "/x", &err));        /* a text that looks like a number stays a text */
    assert_taken(field_set_from_text(field("dims"), &s, "[3, 4,5]", "/x", &err));
    assert_taken(field_set_from_text(field("rates"), &s, "[0.5]", "/x", &err));
    assert_true(s.depth == 7 && s.lr == 1e-3 && !s.flip && s.shape == 2 && s.dims.n == 3 && s.dims.value[2] == 5 && s.rates.n == 1);
    assert_string_equal(s.name, "12");
    assert_taken(field_set_from_text(field("dims"), &s, "9", "/x", &err));
    assert_true(s.dims.n == 1 && s.dims.value[0] == 9);
    assert_taken(field_set_from_text(field("flip"), &s, "true", "/x", &err));
    assert_true(s.flip);
}

static void overrides_that_do_not_read_are_refused(void **state) {
    (void)state;
    Settings s = defaults();
    assert_refused(field_set_from_text(field("depth"), &s, "7x", "/x", &err), "must be a whole number, got \"7x\"", "/x");
    assert_refused(field_set_from_text(field("depth"), &s, "", "/x", &err), "must be a whole number, got \"\"", "/x");
    assert_refused(field_set_from_text(field("depth"), &s, "[1,2]", "/x", &err), "must be a whole number, got a list", "/x");
    assert_refused(field_set_from_text(field("lr"), &s, "nan", "/x", &err), "must be a finite number", "/x");
    assert_refused(field_set_from_text(field("lr"), &s, "inf", "/x", &err), "must be a finite number", "/x");
    assert_refused(field_set_from_text(field("flip"), &s, "True", "/x", &err), "must be true or false, got \"True\"", "/x");
    assert_refused(field_set_from_text(field("flip"), &s, "1", "/x", &err), "must be true or false, got \"1\"", "/x");
    const char *const no_lists[] = {"[]", "[1", "[1,]", "[,1]", "[1]x", "[1 2]", "[a]", "1,2"};
    for (size_t i = 0; i < sizeof no_lists / sizeof *no_lists; i++) {
        char text[100];
        snprintf(text, sizeof text, "must be a list of whole numbers, got \"%s\"", no_lists[i]);
        assert_refused(field_set_from_text(field("dims"), &s, no_lists[i], "/x", &err), text, "/x");
    }
    char long_list[200] = "[1";
    for (int i = 1; i <= FIELD_LIST_MAX; i++) strcat(long_list, ",1");
    strcat(long_list, "]");
    Error err = {0};
    assert_false(field_set_from_text(field("dims"), &s, long_list, "/x", &err));
    assert_int_equal(s.dims.n, 0);
}

static void a_preset_is_keys_and_values_with_blanks_between(void **state) {
    (void)state;
    Settings s = defaults();
    assert_taken(fields_set_from_text(fields, &s, "  depth=3   shape=round lr=0.5  flip=false dims=[1,2] name=a=b ", "/model", &err));
    assert_true(s.depth == 3 && s.shape == 0 && s.lr == 0.5 && !s.flip && s.dims.n == 2);
    assert_string_equal(s.name, "a=b");                                   /* cut at the first = */
    assert_taken(fields_set_from_text(fields, &s, "", "/model", &err));
    assert_taken(fields_set_from_text(fields, &s, "   ", "/model", &err));
    assert_taken(fields_set_from_text(fields, &s, "depth=1 depth=2", "/model", &err));    /* the later wins */
    assert_int_equal(s.depth, 2);
}

static void a_preset_that_does_not_read_names_the_key(void **state) {
    (void)state;
    Settings s = defaults();
    assert_refused(fields_set_from_text(fields, &s, "depth", "/model", &err), "expected key=value, got \"depth\"", "/model");
    assert_refused(fields_set_from_text(fields, &s, "depht=3", "/model", &err), "unknown key; did you mean \"depth\"?", "/model/depht");
    assert_refused(fields_set_from_text(fields, &s, "depth=3 warp_factor=9", "/model", &err), "unknown key", "/model/warp_factor");
    assert_int_equal(s.depth, 3);                                         /* what stood before it was set */
    assert_refused(fields_set_from_text(fields, &s, "depth=99", "/model", &err), "must be in [1, 64], got 99", "/model/depth");
    assert_refused(fields_set_from_text(fields, &s, "dims=[1,200]", "/model", &err), "must be in [1, 100], got 200", "/model/dims/1");
    char text[400] = "name=";
    memset(text + 5, 'x', 300);
    assert_refused(fields_set_from_text(fields, &s, text, "/model", &err), "an assignment of 305 bytes is too long", "/model");
}

static void a_field_is_read_back_as_a_number(void **state) {
    (void)state;
    const Settings s = defaults();
    assert_true(field_number(field("depth"), &s) == 12);
    assert_true(field_number(field("shape"), &s) == 1);
    assert_true(field_number(field("lr"), &s) == 0.25);
    assert_true(field_number(field("flip"), &s) == 1);
    assert_true(isnan(field_number(field("name"), &s)));
    assert_true(isnan(field_number(field("dims"), &s)));
}

static void a_fallback_is_known_whatever_its_type(void **state) {
    (void)state;
    Error    err = {0};
    Settings s   = defaults();
    for (const Field *f = fields; f->key != NULL; f++) {
        static const char *const other[] = {"13", "7", "flat", "0.5", "false", "another", "some", "[1]", "[0.5]"};
        assert_true(field_is_fallback(f, &s));
        assert_true(field_set_from_text(f, &s, other[f - fields], "", &err));
        assert_false(field_is_fallback(f, &s));
    }
    StepSchedule set = {.form = SCHEDULE_LINEAR}, unset = {.form = SCHEDULE_UNSET};
    const Field  schedule = {.key = "capacity", .type = FIELD_SCHEDULE};
    assert_true(field_is_fallback(&schedule, &unset));
    assert_false(field_is_fallback(&schedule, &set));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fallbacks_of_every_type_are_set),
        cmocka_unit_test(a_field_is_found_by_its_whole_name),
        cmocka_unit_test(the_nearest_key_is_named_up_to_three_letters_away),
        cmocka_unit_test(numbers_are_taken_to_the_ends_of_their_range_and_no_further),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(values_of_another_type_are_refused_by_name),
        cmocka_unit_test(a_word_is_one_of_its_list),
        cmocka_unit_test(a_text_is_taken_up_to_its_room),
        cmocka_unit_test(lists_have_entries_within_the_range_each_named_by_its_place),
        cmocka_unit_test(overrides_are_read_from_text),
        cmocka_unit_test(overrides_that_do_not_read_are_refused),
        cmocka_unit_test(a_preset_is_keys_and_values_with_blanks_between),
        cmocka_unit_test(a_preset_that_does_not_read_names_the_key),
        cmocka_unit_test(a_field_is_read_back_as_a_number),
        cmocka_unit_test(a_fallback_is_known_whatever_its_type),
    };
    return cmocka_run_group_tests_name("field", tests, NULL, NULL);
}
