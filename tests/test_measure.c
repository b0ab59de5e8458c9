/* Measuring with a clock and a subject of the test's own: the schedule of passes, the rule that ends a warm-up, and that work
 * left out while the clock runs is found. */
#include "harness/measure/measure.h"
#include "harness/measure/steady.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* -- a subject whose passes take the time the test says -- */

typedef struct Fake {
    uint64_t now_ns, readings;
    double (*pass_ns)(int n);                    /* of the n-th pass of all */
    int      n_passes, fail_at, remembered;
    bool     skips, remembers;                   /* mutants: leaves work out while the clock runs; remembers the last input */
    int      computed, turn[100000];
} Fake;
static Fake fake;

static uint64_t read_clock(void *self) { Fake *f = self; f->readings++; return f->now_ns; }
static const Clock clock_fake = {.self = &fake, .now_ns = read_clock};

static bool run(void *self, int turn, Error *err) {
    Fake *f = self;
    if (f->fail_at == f->n_passes + 1) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    double ns = f->pass_ns(f->n_passes);
    if (f->remembers && f->remembered == turn) ns /= 10;
    f->remembered = turn;
    if (f->n_passes < 100000) f->turn[f->n_passes] = turn;
    f->n_passes++;
    f->now_ns += (uint64_t)ns;
    if (!(f->skips && f->readings % 2 == 1)) f->computed = 1000 + turn;   /* an odd number of readings: a time is being taken */
    return true;
}
static bool prepare(void *self, int turn, Error *err) { (void)self, (void)turn, (void)err; return true; }
static const void *output(void *self, size_t *n) { Fake *f = self; *n = sizeof f->computed; return &f->computed; }
static const Subject subject = {&fake, run, prepare, output};

static double even(int n) { return 1000000 + (n % 2 == 0 ? 1000 : 0); }
static double cooling(int n) { return n < 40 ? 2000000 - 20000 * n : even(n); }   /* slow at first: faster with each pass */
static double never(int n) { return 1000000 + 1000 * n; }

static int fresh(void **state) { (void)state; fake = (Fake){.pass_ns = even, .remembered = -1}; return 0; }

static const MeasurePlan plan = {.min_samples = 30, .max_samples = 4000, .min_seconds = 0.1, .warmup_seconds = 1, .warmup_passes = 8, .n_turns = 4, .clock_overhead_ns = 25};

static Measurement measured(const MeasurePlan *p) {
    Measurement m;
    Error       err = {0};
    if (!measure_subject(&m, &subject, p, clock_fake, &err)) fail_msg("%s", err.message);
    return m;
}

static void passes_are_as_planned_to_the_last_one(void **state) {
    (void)state;
    Measurement m = measured(&plan);
    assert_int_equal(m.warmup_passes, 8);
    assert_true(m.settled);
    assert_int_equal(m.passes_per_sample, 1);
    assert_int_equal(m.n, 100);                              /* 0.1 s of 1 and 1.001 ms: the 100th passes the mark */
    assert_true(m.timed_ns == 50 * 1000000.0 + 50 * 1001000.0);
    for (int i = 0; i < m.n; i++) assert_true(m.sample_ns[i] == even(8 + i));
    assert_int_equal(fake.n_passes, 8 + 100 + 4);            /* and each turn once more */
    for (int i = 0; i < 100; i++) assert_int_equal(fake.turn[8 + i], i % 4);
    measurement_free(&m);
}

static void note(void *window) { *(int *)window = *(int *)window * 1000 + fake.n_passes; }

static void the_window_holds_the_timed_passes_and_no_others(void **state) {
    (void)state;
    int         passes = 0;
    MeasurePlan p      = plan;
    p.window = &passes;
    p.open = p.close = note;
    Measurement m = measured(&p);
    assert_int_equal(passes, 8 * 1000 + 8 + 100);
    measurement_free(&m);
}

static void samples_are_enough_even_when_the_time_is(void **state) {
    (void)state;
    MeasurePlan p = plan;
    p.min_seconds = 0.001;
    Measurement m = measured(&p);
    assert_int_equal(m.n, 30);
    measurement_free(&m);
}

static void warm_up_goes_on_until_nothing_changes_any_more(void **state) {
    (void)state;
    fake.pass_ns  = cooling;
    Measurement m = measured(&plan);
    assert_true(m.settled);
    assert_in_range(m.warmup_passes, 40, 48);                /* the window left the slope behind, at least by half */
    assert_true(m.sample_ns[0] < 1010000);
    measurement_free(&m);
}

static void warm_up_that_never_ends_is_cut_off_and_said_so(void **state) {
    (void)state;
    fake.pass_ns  = never;
    Measurement m = measured(&plan);
    assert_false(m.settled);
    assert_true(m.warmup_ns >= 1e9 && m.warmup_ns < 1.01e9 + 2e6);
    measurement_free(&m);
}

static double microscopic(int n) { (void)n; return 100; }

static void a_pass_short_beside_the_clock_is_taken_many_times_a_sample(void **state) {
    (void)state;
    MeasurePlan p = plan;
    fake.pass_ns  = microscopic;
    p.min_seconds = 0.0001;
    Measurement m = measured(&p);
    assert_int_equal(m.passes_per_sample, 250);              /* 1000 readings of 25 ns in passes of 100 ns */
    assert_true(m.sample_ns[0] == 100 && m.sample_ns[m.n - 1] == 100);
    measurement_free(&m);
}

static void quick_passes_do_not_make_millions_of_samples(void **state) {
    (void)state;
    MeasurePlan p = plan;
    p.min_seconds = 40;                                      /* 1 ms passes: 40,000 of them */
    Measurement m = measured(&p);
    assert_int_equal(m.passes_per_sample, 10);
    assert_in_range(m.n, 3990, 4000);
    measurement_free(&m);
}

static void outputs_are_compared_and_digested(void **state) {
    (void)state;
    Measurement first = measured(&plan), second = measured(&plan);
    assert_int_equal(first.outputs_compared, first.n);
    assert_int_equal(first.outputs_differ, 0);
    assert_string_equal(first.output_sha256, second.output_sha256);
    assert_int_equal(strlen(first.output_sha256), 64);
    measurement_free(&first);
    measurement_free(&second);
}

/* Rule V3. The mutant's outputs while timing are those of the pass before the clock was read. */
static void work_left_out_while_the_clock_runs_is_found(void **state) {
    (void)state;
    fake.skips    = true;
    Measurement m = measured(&plan);
    assert_true(m.outputs_differ >= m.n * 3 / 4);            /* a stale output fits one turn in four */
    measurement_free(&m);
}

static void a_subject_without_output_has_no_digest(void **state) {
    (void)state;
    Subject mute = subject;
    mute.output  = NULL;
    Measurement m;
    Error       err = {0};
    assert_true(measure_subject(&m, &mute, &plan, clock_fake, &err));
    assert_int_equal(m.outputs_compared, 0);
    assert_string_equal(m.output_sha256, "");
    assert_int_equal(fake.n_passes, 8 + 100);
    measurement_free(&m);
}

static void an_error_of_the_subject_is_the_measurements_whenever_it_comes(void **state) {
    (void)state;
    for (int at = 1; at <= 8 + 100 + 4; at++) {
        Measurement m;
        Error       err = {0};
        fresh(NULL);
        fake.fail_at = at;
        assert_false(measure_subject(&m, &subject, &plan, clock_fake, &err));
        assert_int_equal(err.exit_status, EXIT_MACHINE);
    }
}

/* Rule V4. */
static void a_subject_that_remembers_is_found_by_repeating_an_input(void **state) {
    (void)state;
    double ratio;
    Error  err = {0};
    assert_true(measure_repeat_ratio(&ratio, &subject, 4, 9, clock_fake, &err));
    assert_true(ratio > 0.99 && ratio < 1.01);
    fake.remembers = true;
    assert_true(measure_repeat_ratio(&ratio, &subject, 4, 9, clock_fake, &err));
    assert_true(ratio < 0.11);
}

/* -- steadiness (rule V20) -- */

static uint64_t random_state;
static double uniform(void) {
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}
static double normal(void) { return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform()); }

enum { N = 120, RUNS = 1000 };
typedef double Shape(int i);
static double flat(int i) { (void)i; return 0; }
static double ramp(int i) { return 8.0 * i / N; }            /* percent */
static double level(int i) { return i < N / 3 ? 0 : 5; }
static double saw(int i) { return 8.0 * (i % 24) / 24; }

static double share_unsteady(Shape *shape, double noise_percent) {
    int found = 0;
    for (int run_ = 0; run_ < RUNS; run_++) {
        double     x[N];
        Steadiness s;
        Error      err = {0};
        for (int i = 0; i < N; i++) x[i] = 100 + shape(i) + noise_percent * normal();
        assert_true(steady_judge(&s, x, N, 0.02, &err));
        found += s.trending || s.stepped || s.swinging;
    }
    return (double)found / RUNS;
}

static void ramps_steps_and_saw_teeth_are_found_and_noise_is_not(void **state) {
    (void)state;
    random_state = 7;
    for (int percent = 2; percent <= 10; percent += 8) {
        const double by_chance = share_unsteady(flat, percent);
        printf("           noise of %d %%: %.1f %% found by chance\n", percent, 100 * by_chance);
        assert_true(by_chance <= 0.02);
    }
    assert_true(share_unsteady(ramp, 2) >= 0.95);
    assert_true(share_unsteady(level, 2) >= 0.95);
    assert_true(share_unsteady(saw, 2) >= 0.95);
}

static void movements_too_small_to_matter_are_left_alone(void **state) {
    (void)state;
    double     x[N];
    Steadiness s;
    Error      err = {0};
    for (int i = 0; i < N; i++) x[i] = 100 + 0.01 * i;       /* as clear as can be, and 1.2 % */
    assert_true(steady_judge(&s, x, N, 0.02, &err));
    assert_true(s.trend_z > 5 && !s.trending);
    assert_true(steady_judge(&s, x, N, 0.01, &err));
    assert_true(s.trending);
}

/* numpy and scipy.stats.rankdata 1.10 on the formulas; kendalltau gives tau 0.606, the same 40 pairs over 66 */
static void rank_statistics_agree_with_their_formulas(void **state) {
    (void)state;
    static const double x[12] = {3, 1, 4, 1.5, 5, 9, 2, 6, 5.3, 5.8, 9.7, 9.3};
    Steadiness s;
    Error      err = {0};
    assert_true(steady_judge(&s, x, 12, 0, &err));
    assert_true(fabs(s.trend_z - 2.7429019252949667) < 1e-12);
    assert_true(fabs(s.step_p - 0.13501550707032092) < 1e-12);
    assert_true(fabs(s.swing_z - 1.464448246420039) < 1e-12);
}

/* Share of 2,000 cells of nine processes in which a drift common to all is found, where each drifts by `common` and wanders by `own`
 * of its own, in percent. Samples are not needed: one process is one number. */
static double share_common(double common, double own) {
    int found = 0;
    random_state = 20;
    for (int cell = 0; cell < 2000; cell++) {
        double drift[9], mean = 0;
        for (int i = 0; i < 9; i++) {
            drift[i] = 0.01 * (common + own * normal());
            mean += drift[i] / 9;
        }
        found += fabs(mean) > 0.01 && steady_common(drift, drift, 9);
    }
    return found / 2000.;
}

static void what_each_process_does_on_its_own_is_no_common_drift(void **state) {
    (void)state;
    assert_true(share_common(0, 1) <= 0.02);
    assert_true(share_common(0, 3) <= 0.02);
    assert_true(share_common(0, 10) <= 0.02);
    assert_true(share_common(3, 1) >= 0.95);
    assert_true(share_common(-3, 1) >= 0.95);
    const double twice[] = {0.03, 0.03}, either[] = {3, -3}, both[] = {1.9, 1.9}, one[] = {2.6}, none[] = {1.7, 1.7};     /* of two: 2.69 and 2.40 together */
    assert_true(steady_common(twice, both, 2) && steady_common(twice, one, 1));
    assert_false(steady_common(twice, either, 2) || steady_common(twice, none, 2) || steady_common(NULL, NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(passes_are_as_planned_to_the_last_one, fresh),
        cmocka_unit_test_setup(the_window_holds_the_timed_passes_and_no_others, fresh),
        cmocka_unit_test_setup(samples_are_enough_even_when_the_time_is, fresh),
        cmocka_unit_test_setup(warm_up_goes_on_until_nothing_changes_any_more, fresh),
        cmocka_unit_test_setup(warm_up_that_never_ends_is_cut_off_and_said_so, fresh),
        cmocka_unit_test_setup(a_pass_short_beside_the_clock_is_taken_many_times_a_sample, fresh),
        cmocka_unit_test_setup(quick_passes_do_not_make_millions_of_samples, fresh),
        cmocka_unit_test_setup(outputs_are_compared_and_digested, fresh),
        cmocka_unit_test_setup(work_left_out_while_the_clock_runs_is_found, fresh),
        cmocka_unit_test_setup(a_subject_without_output_has_no_digest, fresh),
        cmocka_unit_test_setup(an_error_of_the_subject_is_the_measurements_whenever_it_comes, fresh),
        cmocka_unit_test_setup(a_subject_that_remembers_is_found_by_repeating_an_input, fresh),
        cmocka_unit_test(ramps_steps_and_saw_teeth_are_found_and_noise_is_not),
        cmocka_unit_test(movements_too_small_to_matter_are_left_alone),
        cmocka_unit_test(rank_statistics_agree_with_their_formulas),
        cmocka_unit_test(what_each_process_does_on_its_own_is_no_common_drift),
    };
    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
