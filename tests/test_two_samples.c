/* Ratios of two arms against scipy 1.10, and what the intervals, judgements and the gate do over simulated experiments with
 * fixed seeds. */
#include "harness/measure/two_samples.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* sums of a few hundred terms in double */
static bool is_near(double got, double want) {
    const bool near = fabs(got - want) <= 1e-11 * fmax(1, fabs(want));
    if (!near) print_error("got %.17g, want %.17g\n", got, want);
    return near;
}

static const double nine[] = {10.2, 10.4, 10.1, 10.9, 11.0, 11.3, 11.15, 11.2, 9.8};
static const double ten[]  = {10.95, 10.75, 11.4, 10.55, 11.6, 12.0, 10.3, 11.35, 11.9, 10.65};

static void independent_arms_agree_with_scipy(void **state) {
    (void)state;
    TwoSamples t;
    Error      err = {0};
    assert_true(two_samples_independent(&t, nine, 9, ten, 10, &err));
    assert_true(is_near(t.p, 0.11275411894606942));          /* mannwhitneyu(ten, nine, method='exact'): U = 65 */
    assert_true(is_near(t.slower_share, 65.0 / 90));
    assert_true(is_near(t.ratio, 1.0443360284145198));       /* exp(np.median of the 90 log ratios) */
    assert_true(is_near(t.low, 0.9776785714285715));         /* the 21st from each end, by the distribution of U */
    assert_true(is_near(t.high, 1.0969387755102038));
}

static void paired_arms_agree_with_scipy(void **state) {
    (void)state;
    static const double first[] = {10.2, 10.4, 10.1, 10.9, 11.0, 11.3, 11.15, 11.2, 9.8, 10.0};
    TwoSamples t;
    Error      err = {0};
    assert_true(two_samples_paired(&t, first, ten, 10, &err));
    assert_true(is_near(t.p, 0.083984375));                  /* wilcoxon(np.log(ten/first), mode='exact'): W = 10 */
    assert_true(is_near(t.ratio, 1.053402964410991));
    assert_true(is_near(t.low, 0.9918728039385017));         /* the 9th Walsh average from each end */
    assert_true(is_near(t.high, 1.1093008921783825));
}

static void ties_and_many_units_agree_with_scipys_approximation(void **state) {
    (void)state;
    TwoSamples t;
    Error      err = {0};
    assert_true(two_samples_independent(&t, (double[]){10, 10, 11, 12, 13}, 5, (double[]){10, 12, 14, 15}, 4, &err));
    assert_true(is_near(t.p, 0.3168900548229616));           /* mannwhitneyu(method='asymptotic') */
    double a[45], b[50];
    for (int i = 0; i < 45; i++) a[i] = 100 + i * 37 % 101 * 0.1;
    for (int i = 0; i < 50; i++) b[i] = 101 + i * 53 % 103 * 0.1;
    assert_true(two_samples_independent(&t, a, 45, b, 50, &err));
    assert_true(fabs(t.p - 0.26192743890639136) < 1e-3);     /* 101 + 0.1 k and 100 + 0.1 j may tie or not, by the last bit */
}

static void arms_changed_about_give_the_inverse(void **state) {
    (void)state;
    TwoSamples t, u;
    Error      err = {0};
    assert_true(two_samples_independent(&t, nine, 9, ten, 10, &err) && two_samples_independent(&u, ten, 10, nine, 9, &err));
    assert_true(is_near(t.ratio * u.ratio, 1) && is_near(t.low * u.high, 1) && is_near(t.high * u.low, 1) && is_near(t.p, u.p));
    assert_true(is_near(t.slower_share + u.slower_share, 1));
}

static void too_few_units_have_no_interval(void **state) {
    (void)state;
    TwoSamples t;
    Error      err = {0};
    assert_true(two_samples_independent(&t, nine, 3, ten, 3, &err));    /* 20 orders: 1 in 20 at each end */
    assert_true(isnan(t.low) && isnan(t.high) && isfinite(t.ratio) && isfinite(t.p));
    assert_true(two_samples_independent(&t, nine, 4, ten, 4, &err));
    assert_true(isfinite(t.low));                                       /* 70 orders: 1 in 70 */
    assert_true(two_samples_paired(&t, nine, ten, 5, &err));
    assert_true(isnan(t.low));
    assert_true(two_samples_paired(&t, nine, ten, 6, &err));
    assert_true(isfinite(t.low));
}

static void a_unit_that_is_no_time_is_an_error(void **state) {
    (void)state;
    TwoSamples t;
    Error      err = {0};
    assert_false(two_samples_independent(&t, (double[]){1, 0}, 2, (double[]){1}, 1, &err));
    assert_non_null(strstr(err.message, "unit 1 of the first arm"));
    assert_false(two_samples_paired(&t, (double[]){1}, (double[]){NAN}, 1, &err));
    assert_non_null(strstr(err.message, "unit 0 of the second arm"));
}

/* R: p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.5), "holm") */
static void holm_agrees_with_r(void **state) {
    (void)state;
    double p[] = {0.01, 0.04, 0.03, 0.005, 0.5};
    Error  err = {0};
    assert_true(holm_correct(p, 5, &err));
    const double want[] = {0.04, 0.09, 0.09, 0.025, 0.5};
    for (int i = 0; i < 5; i++) assert_true(is_near(p[i], want[i]));
    assert_true(holm_correct(p, 0, &err));
}

static void judgements_follow_interval_p_and_margin(void **state) {
    (void)state;
    static const struct { double ratio, low, high, p; size_t n; Judgement want; bool regressed; } known[] = {
        {1.05,  1.04,  1.06,  0.001, 9, JUDGED_SLOWER, true},
        {1.05,  1.04,  1.06,  0.001, 8, JUDGED_INSUFFICIENT, false},
        {1.05,  1.04,  1.06,  0.011, 9, JUDGED_SLOWER, false},           /* sure enough to tell, not to fail a build */
        {1.05,  1.04,  1.06,  0.06,  9, JUDGED_UNCERTAIN_LARGE, false},  /* not after correction */
        {1.05,  0.99,  1.11,  0.001, 9, JUDGED_UNCERTAIN_LARGE, false},
        {1.029, 1.02,  1.04,  0.001, 9, JUDGED_SLOWER, false},           /* below the floor */
        {1.01,  0.985, 1.025, 0.3,   9, JUDGED_UNCERTAIN, false},
        {1.01,  1.005, 1.02,  0.001, 9, JUDGED_EQUIVALENT, false},       /* sure, and of no account */
        {0.95,  0.94,  0.96,  0.001, 9, JUDGED_FASTER, false},
        {1.05,  NAN,   NAN,   0.001, 9, JUDGED_INSUFFICIENT, false},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        const TwoSamples t = {.n_first = known[i].n, .n_second = 9, .ratio = known[i].ratio, .low = known[i].low, .high = known[i].high};
        if (two_samples_judge(&t, known[i].p, 0.02) != known[i].want) fail_msg("case %zu: %s", i, judgement_name(two_samples_judge(&t, known[i].p, 0.02)));
        if (two_samples_regressed(&t, known[i].p, 0.03) != known[i].regressed) fail_msg("case %zu: the gate", i);
    }
}

/* -- simulated experiments: each arm 9 processes of 31 samples -- */

static uint64_t random_state;
static double uniform(void) {
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}
static double normal(void) { return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform()); }

typedef enum Noise { NOISE_NORMAL, NOISE_LOG_NORMAL, NOISE_BIMODAL, NOISE_AUTOCORRELATED, N_NOISES } Noise;
static const char *const noise_names[] = {"normal", "log-normal", "bimodal", "autocorrelated"};

static int by_size(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

enum { UNITS = 9, SAMPLES = 31 };

/* The median of a process whose own offset has the spread, and so have its samples. */
static double process_median(Noise noise, double spread) {
    double x[SAMPLES], wander = normal() / sqrt(1 - 0.81);
    const double offset = noise == NOISE_LOG_NORMAL ? exp(spread * normal()) : 1 + spread * normal(), mode = uniform() < 0.3 ? 1 + 2 * spread : 1;
    for (int i = 0; i < SAMPLES; i++) {
        const double e = normal();
        wander = 0.9 * wander + e;
        x[i] = 100 * offset * (noise == NOISE_BIMODAL ? mode : 1) * (noise == NOISE_LOG_NORMAL ? exp(spread * e) : 1 + spread * (noise == NOISE_AUTOCORRELATED ? 0.44 * wander : e));
    }
    qsort(x, SAMPLES, sizeof *x, by_size);
    return x[SAMPLES / 2];
}

/* Two arms of processes, the second slower by a factor. */
static void experiment(TwoSamples *t, Noise noise, double spread, double factor, bool paired) {
    double a[UNITS], b[UNITS];
    Error  err = {0};
    for (int i = 0; i < UNITS; i++) {
        const double block = paired ? exp(0.3 * normal()) : 1;           /* drift that hits both arms of a block */
        a[i] = block * fmax(1, process_median(noise, spread));
        b[i] = block * factor * fmax(1, process_median(noise, spread));
    }
    assert_true(paired ? two_samples_paired(t, a, b, UNITS, &err) : two_samples_independent(t, a, UNITS, b, UNITS, &err));
}

static double coverage(Noise noise, double spread, bool paired, double shrink) {
    enum { EXPERIMENTS = 2000 };
    int held = 0;
    for (int i = 0; i < EXPERIMENTS; i++) {
        TwoSamples t;
        experiment(&t, noise, spread, 1.05, paired);
        const double middle = 0.5 * (t.low + t.high), half = 0.5 * shrink * (t.high - t.low);
        held += fabs(1.05 - middle) <= half;
    }
    return (double)held / EXPERIMENTS;
}

static void intervals_cover_a_known_ratio_95_times_in_100(void **state) {
    (void)state;
    double least = 1, most = 0;
    random_state = 21;
    for (int noise = 0; noise < N_NOISES; noise++)
        for (int spread = 2; spread <= 10; spread += 8)
            for (int paired = 0; paired < 2; paired++) {
                const double share = coverage((Noise)noise, spread / 100.0, paired, 1);
                least = fmin(least, share);
                most  = fmax(most, share);
                /* 2000 experiments scatter by 0.005; exact ranks of 9 and 9 units cover 95.8 % (independent), 96.1 % (paired) */
                if (share < 0.93 || share > 0.97) fail_msg("%s, %d %%, %s: %.3f", noise_names[noise], spread, paired ? "paired" : "independent", share);
            }
    printf("           of 2000 experiments each, intervals cover the ratio in %.1f to %.1f %%\n", 100 * least, 100 * most);
}

static void the_coverage_check_notices_a_narrow_interval(void **state) {
    (void)state;
    random_state = 22;
    assert_true(coverage(NOISE_NORMAL, 0.02, false, 0.8) < 0.93);
}

/* Holm of one comparison is p itself. */
static double share_regressed(Noise noise, double spread, double factor, bool paired, double gate) {
    enum { PAIRS = 1000 };
    int found = 0;
    for (int i = 0; i < PAIRS; i++) {
        TwoSamples t;
        experiment(&t, noise, spread, factor, paired);
        found += two_samples_regressed(&t, t.p, gate);
    }
    return (double)found / PAIRS;
}

static void the_gate_lets_equal_arms_pass(void **state) {
    (void)state;
    double most = 0;
    random_state = 23;
    for (int noise = 0; noise < N_NOISES; noise++)
        for (int spread = 2; spread <= 10; spread += 8)
            for (int paired = 0; paired < 2; paired++) {
                const double share = share_regressed((Noise)noise, spread / 100.0, 1, paired, 0.03);
                most = fmax(most, share);
                if (share > 0.01) fail_msg("%s, %d %%, %s: %.1f %% false alarms", noise_names[noise], spread, paired ? "paired" : "independent", 100 * share);
            }
    printf("           of 1000 equal pairs each, at most %.1f %% alarm\n", 100 * most);
}

static void the_gate_catches_a_slowdown_of_5_percent(void **state) {
    (void)state;
    random_state = 24;
    /* of two runs, as before and after a change: arms of one bench are different cells, which no gate is asked about */
    const double share = share_regressed(NOISE_NORMAL, 0.02, 1.05, false, 0.03);
    printf("           5 %% slower at 2 %% spread: caught %.1f %%\n", 100 * share);
    assert_true(share >= 0.9);
    assert_true(share_regressed(NOISE_NORMAL, 0.02, 1 / 1.05, false, 0.03) == 0);    /* faster is no regression */
}

/* Two sessions as compare judges them: times, and times in units of a fixed loop of the same process, which takes as long as the clock
 * has it and scatters by 0.3 %. clock: spread of it between sessions and between processes. Shares by the whole rule, and by times alone. */
static void share_at_clock(double spread, double clock, double factor, double *both, double *alone) {
    enum { PAIRS = 1000 };
    int n_both = 0, n_alone = 0;
    for (int i = 0; i < PAIRS; i++) {
        double     x[2][UNITS], y[2][UNITS];
        TwoSamples t, c;
        Error      err = {0};
        for (int arm = 0; arm < 2; arm++) {
            const double session = exp(clock * normal());
            for (int k = 0; k < UNITS; k++) {
                const double slow = session * exp(clock * normal());
                x[arm][k] = slow * (arm == 1 ? factor : 1) * fmax(1, process_median(NOISE_NORMAL, spread));
                y[arm][k] = x[arm][k] / (slow * (1 + 0.003 * normal()));
            }
        }
        assert_true(two_samples_independent(&t, x[0], UNITS, x[1], UNITS, &err) && two_samples_independent(&c, y[0], UNITS, y[1], UNITS, &err));
        const double p = fmax(t.p, c.p);
        n_alone += two_samples_regressed(&t, t.p, 0.03);
        n_both  += two_samples_regressed(&t, p, 0.03) && two_samples_regressed(&c, p, 0.03);
    }
    *both  = (double)n_both / PAIRS;
    *alone = (double)n_alone / PAIRS;
}

static void between_sessions_the_whole_rule_lets_equal_arms_pass_and_catches_5_percent(void **state) {
    double both, alone;
    (void)state;
    random_state = 26;
    share_at_clock(0.02, 0, 1.05, &both, &alone);
    printf("           5 %% slower at 2 %% spread, one clock: caught %.1f %%, by times alone %.1f %%\n", 100 * both, 100 * alone);
    assert_true(both >= 0.9);
    share_at_clock(0.02, 0, 1, &both, &alone);
    assert_true(both <= 0.01);
    share_at_clock(0.02, 0.02, 1, &both, &alone);
    printf("           equal arms, a clock that wanders by 2 %%: %.1f %% alarm, by times alone %.1f %%\n", 100 * both, 100 * alone);
    assert_true(both <= 0.01);
    assert_true(alone > 0.01);                               /* what the rule is for */
}

static void of_a_hundred_null_comparisons_none_is_judged_more_often_than_one_table_in_twenty(void **state) {
    (void)state;
    enum { TABLES = 200, CELLS = 100 };
    int tables_with_any = 0, without_correction = 0;
    random_state = 25;
    for (int table = 0; table < TABLES; table++) {
        TwoSamples t[CELLS];
        double     p[CELLS];
        Error      err = {0};
        bool       any = false, any_plain = false;
        for (int i = 0; i < CELLS; i++) {
            double a[UNITS], b[UNITS];                       /* 30 % spread: no equivalence hides a judgement */
            for (int k = 0; k < UNITS; k++) a[k] = exp(0.3 * normal()), b[k] = exp(0.3 * normal());
            assert_true(two_samples_independent(&t[i], a, UNITS, b, UNITS, &err));
            p[i] = t[i].p;
        }
        for (int i = 0; i < CELLS; i++) any_plain = any_plain || two_samples_judge(&t[i], p[i], 0.02) <= JUDGED_SLOWER;
        assert_true(holm_correct(p, CELLS, &err));
        for (int i = 0; i < CELLS; i++) any = any || two_samples_judge(&t[i], p[i], 0.02) <= JUDGED_SLOWER;
        tables_with_any += any;
        without_correction += any_plain;
    }
    assert_true(tables_with_any <= TABLES / 20 + 9);         /* three standard deviations of a count of 10 */
    assert_true(without_correction > TABLES * 9 / 10);       /* and the correction is what does it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(independent_arms_agree_with_scipy),
        cmocka_unit_test(paired_arms_agree_with_scipy),
        cmocka_unit_test(ties_and_many_units_agree_with_scipys_approximation),
        cmocka_unit_test(arms_changed_about_give_the_inverse),
        cmocka_unit_test(too_few_units_have_no_interval),
        cmocka_unit_test(a_unit_that_is_no_time_is_an_error),
        cmocka_unit_test(holm_agrees_with_r),
        cmocka_unit_test(judgements_follow_interval_p_and_margin),
        cmocka_unit_test(intervals_cover_a_known_ratio_95_times_in_100),
        cmocka_unit_test(the_coverage_check_notices_a_narrow_interval),
        cmocka_unit_test(the_gate_lets_equal_arms_pass),
        cmocka_unit_test(the_gate_catches_a_slowdown_of_5_percent),
        cmocka_unit_test(between_sessions_the_whole_rule_lets_equal_arms_pass_and_catches_5_percent),
        cmocka_unit_test(of_a_hundred_null_comparisons_none_is_judged_more_often_than_one_table_in_twenty),
    };
    return cmocka_run_group_tests_name("two_samples", tests, NULL, NULL);
}
