/* engine/clock: the real clock, its text, and a clock handed in. */
#include "engine/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void real_clock_never_goes_back(void **state) {
    (void)state;
    uint64_t last = clock_now_ns();
    for (int i = 0; i < 100000; i++) {
        const uint64_t now = clock_now_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void real_clock_counts_nanoseconds(void **state) {
    (void)state;
    const Clock           clock = clock_real();
    const struct timespec pause = {.tv_nsec = 20000000};
    const uint64_t        from  = clock.now_ns(clock.self);
    assert_int_equal(nanosleep(&pause, NULL), 0);
    const uint64_t slept_ns = clock.now_ns(clock.self) - from;
    /* never less than asked, but for the two clocks' difference in rate (500 ppm at most); a busy machine may oversleep
     * by a lot, and a wrong unit would be off by a thousand */
    assert_in_range(slept_ns, 19990000, 10000000000u);
}

static void text_is_the_date_in_utc_with_milliseconds_cut(void **state) {
    (void)state;
    /* date -u -d @N +%FT%T */
    static const struct {
        int64_t     seconds, nanoseconds;
        const char *text;
    } known[] = {{0, 0, "1970-01-01T00:00:00.000Z"},
                 {951782400, 1999999, "2000-02-29T00:00:00.001Z"},
                 {1772357400, 125000000, "2026-03-01T09:30:00.125Z"},
                 {4102444799, 999999999, "2099-12-31T23:59:59.999Z"},
                 {-1, 0, "1969-12-31T23:59:59.000Z"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[CLOCK_UTC_SIZE];
        clock_utc_text_at(known[i].seconds, known[i].nanoseconds, text);
        assert_string_equal(text, known[i].text);
    }
}

static void text_of_now_is_now(void **state) {
    (void)state;
    char         before[CLOCK_UTC_SIZE], text[CLOCK_UTC_SIZE], after[CLOCK_UTC_SIZE];
    const time_t from = time(NULL);
    clock_utc_text_at(from - 1, 0, before);
    clock_utc_text(text);
    clock_utc_text_at(from + 60, 0, after);
    assert_true(strcmp(before, text) <= 0 && strcmp(text, after) <= 0); /* such texts sort as their times do */
}

static uint64_t tick(void *self) {
    uint64_t *now = self;
    return *now += 40;
}

static void overhead_of_a_clock_that_ticks_at_each_reading_is_its_tick(void **state) {
    (void)state;
    uint64_t     now   = 123;
    const Clock  clock = {&now, tick};
    const double ns    = clock_overhead_ns(clock);
    assert_true(ns == 40);
}

static void overhead_of_the_real_clock_is_above_zero_and_below_a_millisecond(void **state) {
    (void)state;
    const double ns = clock_overhead_ns(clock_real());
    assert_true(ns > 0 && ns < 1e6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_clock_never_goes_back),
        cmocka_unit_test(real_clock_counts_nanoseconds),
        cmocka_unit_test(text_is_the_date_in_utc_with_milliseconds_cut),
        cmocka_unit_test(text_of_now_is_now),
        cmocka_unit_test(overhead_of_a_clock_that_ticks_at_each_reading_is_its_tick),
        cmocka_unit_test(overhead_of_the_real_clock_is_above_zero_and_below_a_millisecond),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
