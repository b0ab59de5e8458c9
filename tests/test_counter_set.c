/* Counting on every thread: the arithmetic against a pretended provider in which everything that can go wrong does; PAPI's
 * event sets against our own software-defined events, which need no PMU; the kernel's software events. */
#include "harness/measure/counter_set.h"
#include "harness/sysfile.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

/* -- a provider that does as it is told: reading number 0 and 1 of each thread -- */

typedef struct Script { CounterReading reading[2]; } Script;
static Script script[8][4];                     /* [thread][event] */
static int    n_open, n_closed;

typedef struct FakeThread { int thread, n, reads; } FakeThread;

static void *fake_open(void *self, const CounterEvent *const event[], int n) {
    FakeThread *t = malloc(sizeof *t);
    (void)self, (void)event;
    *t = (FakeThread){omp_get_thread_num(), n, 0};
#pragma omp atomic
    n_open++;
    return t;
}
static void fake_read(void *thread, CounterReading reading[]) {
    FakeThread *t = thread;
    for (int i = 0; i < t->n; i++) reading[i] = script[t->thread][i].reading[t->reads > 0];
    t->reads++;
}
static void fake_close(void *thread) {
    free(thread);
#pragma omp atomic
    n_closed++;
}
static const CounterProvider fake = {.name = "fake", .open = fake_open, .read = fake_read, .close = fake_close};

static const CounterEvent cycles = {COUNTER_HARDWARE, "cycles_count", "", -1, 0}, instructions = {COUNTER_HARDWARE, "instructions_count", "", -1, 0},
                          misses = {COUNTER_HARDWARE, "branch_misses_count", "", -1, 0}, faults = {COUNTER_SOFTWARE, "page_faults_count", "", -1, 0};
static const CounterEvent *const four[] = {&cycles, &instructions, &misses, &faults};

static int threads(void **state) {
    (void)state;
    omp_set_dynamic(0);
    omp_set_num_threads(3);
    memset(script, 0, sizeof script);
    for (int thread = 0; thread < 3; thread++)
        for (int i = 0; i < 4; i++) {
            const uint64_t from = 1000u * (unsigned)thread, count = 100u * (unsigned)(i + 1) + (unsigned)thread;
            script[thread][i] = (Script){{{.count = from, .enabled_ns = 10, .running_ns = 10}, {.count = from + count, .enabled_ns = 1010, .running_ns = 1010}}};
        }
    n_open = n_closed = 0;
    return 0;
}

static void counted(CounterTotal total[4]) {
    CounterSet *s   = NULL;
    Error       err = {0};
    assert_true(counter_set_open(&s, &(CounterGroup){&fake, four, 4}, 1, &err));
    assert_int_equal(counter_set_size(s), 4);
    counter_set_start(s);
    counter_set_stop(s, total);
    counter_set_close(s);
    assert_int_equal(n_open, 3);
    assert_int_equal(n_closed, 3);
}

static void differences_are_summed_over_every_thread(void **state) {
    (void)state;
    CounterTotal t[4];
    counted(t);
    for (int i = 0; i < 4; i++) {
        assert_null(t[i].reason);
        assert_true(t[i].count == 300 * (i + 1) + 3);
        assert_true(t[i].running_ratio == 1 && !t[i].shared);
        assert_int_equal(t[i].n_threads, 3);
    }
}

static void a_counter_denied_on_one_thread_has_no_sum(void **state) {
    (void)state;
    CounterTotal t[4];
    script[1][0].reading[0].reason = script[1][0].reading[1].reason = sysfile_no_permission;
    counted(t);
    assert_ptr_equal(t[0].reason, sysfile_no_permission);
    assert_true(isnan(t[0].count));
    assert_null(t[1].reason);
}

static void a_counter_that_vanishes_half_way_has_no_sum(void **state) {
    (void)state;
    CounterTotal t[4];
    script[2][2].reading[1] = (CounterReading){.reason = sysfile_not_supported};
    counted(t);
    assert_ptr_equal(t[2].reason, sysfile_not_supported);
    assert_true(isnan(t[2].count) && t[3].reason == NULL);
}

static void counters_that_took_turns_are_scaled_and_labelled_down_to_half_the_time(void **state) {
    (void)state;
    CounterTotal t[4];
    script[0][2].reading[1].running_ns = 10 + 800;           /* 102 of thread 0 counted in 800 of 1000 ns */
    script[1][3].reading[1].running_ns = 10 + 499;
    counted(t);
    assert_true(t[2].shared && t[2].reason == NULL);
    assert_true(fabs(t[2].count - (300 / 0.8 + 301 + 302)) < 1e-9);
    assert_true(t[2].running_ratio == 0.8);
    assert_string_equal(t[3].reason, "multiplexed");
    assert_true(isnan(t[3].count));
    assert_true(!t[0].shared);
}

static void the_limits_of_sharing_are_where_they_are_said_to_be(void **state) {
    (void)state;
    const CounterReading from = {.count = 0, .enabled_ns = 1, .running_ns = 1};
    static const struct { uint64_t running; bool shared, counts; } known[] = {{1000, false, true}, {950, false, true}, {949, true, true}, {500, true, true}, {499, true, false}, {0, true, false}};
    for (int i = 0; i < COUNT(known); i++) {
        const CounterReading to = {.count = 77, .enabled_ns = 1001, .running_ns = 1 + known[i].running};
        const CounterTotal   t  = counter_difference(&from, &to);
        assert_true(t.shared == known[i].shared);
        assert_true((t.reason == NULL) == known[i].counts);
    }
}

static void a_counter_that_wraps_goes_on_and_one_that_falls_is_lost(void **state) {
    (void)state;
    CounterReading from = {.count = (1ull << 48) - 5, .wraps_at = 1ull << 48}, to = {.count = 7, .wraps_at = 1ull << 48};
    assert_true(counter_difference(&from, &to).count == 12);
    from.wraps_at = to.wraps_at = 0;
    assert_string_equal(counter_difference(&from, &to).reason, "overflow");
    from.wraps_at = to.wraps_at = 100;                       /* beyond its own range: not that kind of counter */
    assert_string_equal(counter_difference(&from, &to).reason, "overflow");
}

static void hardware_counts_of_a_clock_that_stands_still_are_not_believed(void **state) {
    (void)state;
    CounterTotal t[4];
    for (int thread = 0; thread < 3; thread++) script[thread][0].reading[1].count = script[thread][0].reading[0].count;
    counted(t);
    for (int i = 0; i < 3; i++) assert_ptr_equal(t[i].reason, sysfile_not_supported);
    assert_null(t[3].reason);                                /* the kernel's own events are another matter */
}

static void no_faults_are_no_reason_for_disbelief(void **state) {
    (void)state;
    CounterTotal t[4];
    for (int thread = 0; thread < 3; thread++) script[thread][3].reading[1].count = script[thread][3].reading[0].count;
    counted(t);
    for (int i = 0; i < 4; i++) assert_null(t[i].reason);
    assert_true(t[3].count == 0);
}

static void the_loop_of_known_length_finds_a_counter_that_lies(void **state) {
    (void)state;
    double ratio;
    Error  err = {0};
    script[0][0] = (Script){{{.count = 5}, {.count = 5 + COUNTER_LOOP}}};
    assert_true(counter_loop_ratio(&fake, &ratio, &err));
#if defined(__x86_64__) || defined(__aarch64__)
    assert_true(ratio == 1);
    script[0][0].reading[1].count = 5 + COUNTER_LOOP * 103ull / 100;
    assert_true(counter_loop_ratio(&fake, &ratio, &err));
    assert_true(fabs(ratio - 1.03) < 1e-6);
#endif
    script[0][0].reading[1].reason = sysfile_no_permission;
    assert_true(counter_loop_ratio(&fake, &ratio, &err));
    assert_true(isnan(ratio));
}

static void the_kernel_counts_the_time_of_every_thread(void **state) {
    (void)state;
    static const CounterEvent clock = {COUNTER_SOFTWARE, "task_clock_ns", "", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK},
                              none  = {COUNTER_HARDWARE, "nothing", "", -1, 0};
    const CounterEvent *const two[] = {&clock, &none};
    CounterSet   *s   = NULL;
    Error         err = {0};
    CounterTotal  t[2];
    assert_true(counter_set_open(&s, &(CounterGroup){&counter_provider_perf, two, 2}, 1, &err));
    counter_set_start(s);
    double used = 0;
#pragma omp parallel reduction(+ : used)
    {
        struct timespec from, to;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        while (1e9 * (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) < 2e6);
        used += 2e6;
    }
    counter_set_stop(s, t);
    counter_set_close(s);
    assert_ptr_equal(t[1].reason, sysfile_not_supported);
    if (t[0].reason != NULL) skip();                         /* not allowed here */
    assert_true(t[0].count >= used);                         /* each thread burned its share between the two readings */
}

#ifdef HAVE_PAPI
/* Without a PMU this is how the event sets of PAPI are tested: the same calls on the same threads, exact values. */
static void papi_reads_our_own_counts_on_every_thread(void **state) {
    (void)state;
    const CounterProvider *papi = counter_provider_papi();
    if (papi == NULL || !counters_publish()) skip();
    assert_true(counters_publish());                         /* twice is once */
    static const CounterEvent macs   = {COUNTER_OWN, "macs", "sde:::morbench::macs", -1, 0}, tokens = {COUNTER_OWN, "tokens", "sde:::morbench::tokens", -1, 0},
                              depth  = {COUNTER_OWN, "depth", "sde:::morbench::depth", -1, 0}, absent = {COUNTER_OWN, "absent", "sde:::morbench::nothing", -1, 0},
                              preset = {COUNTER_HARDWARE, "instructions_count", "PAPI_TOT_INS", -1, 0};
    const CounterEvent *const all[] = {&macs, &absent, &tokens, &preset, &depth};
    CounterSet   *s   = NULL;
    Error         err = {0};
    CounterTotal  t[5];
#pragma omp parallel
    counters_published_add(999, 999, 999);                   /* before: not counted */
    assert_true(counter_set_open(&s, &(CounterGroup){papi, all, 5}, 1, &err));
    for (int round = 1; round <= 2; round++) {
        counter_set_start(s);
#pragma omp parallel
        counters_published_add(1000000007ll * round + omp_get_thread_num(), 197, 12 * 197);
        counter_set_stop(s, t);
        assert_null(t[0].reason);
        assert_true(t[0].count == 3.0 * 1000000007 * round + 3);
        assert_true(t[2].reason == NULL && t[2].count == 3 * 197);
        assert_true(t[4].reason == NULL && t[4].count == 3 * 12 * 197);
        assert_ptr_equal(t[1].reason, sysfile_not_supported);
        if (!counter_papi_has_hardware()) assert_non_null(t[3].reason);
        assert_true(!t[0].shared);
    }
    counter_set_close(s);
}
#endif

static void the_standard_set_has_a_number_or_a_reason_for_every_event(void **state) {
    (void)state;
    CounterSet  *s   = NULL;
    Error        err = {0};
    CounterTotal t[64];
    assert_true(counter_set_standard(&s, NULL, &err));
    counter_set_start(s);
    counter_loop();
    counter_set_stop(s, t);
    assert_true(counter_set_size(s) >= 13);
    for (int i = 0; i < counter_set_size(s); i++) {
        if (t[i].reason == NULL) assert_true(isfinite(t[i].count) && t[i].count >= 0);
        else assert_true(isnan(t[i].count));
    }
    counter_set_close(s);
}

static void unknown_native_events_have_a_reason_and_empty_names_are_refused(void **state) {
    (void)state;
    CounterSet  *s   = NULL;
    Error        err = {0};
    CounterTotal t[64];
    if (counter_provider_papi() == NULL) {
        assert_false(counter_set_standard(&s, "a", &err));
        return;
    }
    assert_true(counter_set_standard(&s, "no_such::EVENT", &err));
    counter_set_start(s);
    counter_set_stop(s, t);
    const int last = counter_set_size(s) - 1;
    assert_string_equal(counter_set_event(s, last)->key, "no_such::EVENT");
    assert_ptr_equal(t[last].reason, sysfile_not_supported);
    counter_set_close(s);
    assert_false(counter_set_standard(&s, "a,,b", &err));
    assert_string_equal(err.message, "name 2 of the list is empty");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(differences_are_summed_over_every_thread, threads),
        cmocka_unit_test_setup(a_counter_denied_on_one_thread_has_no_sum, threads),
        cmocka_unit_test_setup(a_counter_that_vanishes_half_way_has_no_sum, threads),
        cmocka_unit_test_setup(counters_that_took_turns_are_scaled_and_labelled_down_to_half_the_time, threads),
        cmocka_unit_test(the_limits_of_sharing_are_where_they_are_said_to_be),
        cmocka_unit_test(a_counter_that_wraps_goes_on_and_one_that_falls_is_lost),
        cmocka_unit_test_setup(hardware_counts_of_a_clock_that_stands_still_are_not_believed, threads),
        cmocka_unit_test_setup(no_faults_are_no_reason_for_disbelief, threads),
        cmocka_unit_test_setup(the_loop_of_known_length_finds_a_counter_that_lies, threads),
        cmocka_unit_test_setup(the_kernel_counts_the_time_of_every_thread, threads),
#ifdef HAVE_PAPI
        cmocka_unit_test_setup(papi_reads_our_own_counts_on_every_thread, threads),
#endif
        cmocka_unit_test_setup(the_standard_set_has_a_number_or_a_reason_for_every_event, threads),
        cmocka_unit_test_setup(unknown_native_events_have_a_reason_and_empty_names_are_refused, threads),
    };
    return cmocka_run_group_tests_name("counter_set", tests, NULL, NULL);
}
