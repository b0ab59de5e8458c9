/* harness/stats against scipy 1.10 on fixed samples, and the coverage of its interval by simulation. */
#include "harness/measure/stats.h"

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

/* Both sides compute in double from the same few terms; 1e-12 leaves room for another order of summation. */
static bool is_near(double got, double want) {
    const bool near = fabs(got - want) <= 1e-12 * fmax(1, fabs(want));
    if (!near) print_error("got %.17g, want %.17g\n", got, want);
    return near;
}

/* An interval goes through log-gamma, whose argument is large for many samples: 1e-9 of the samples' spread. */
static bool is_close(double got, double want) {
    const bool close = fabs(got - want) <= 1e-9 * fmax(1, fabs(want));
    if (!close) print_error("got %.17g, want %.17g\n", got, want);
    return close;
}

static const double twenty[20] = {12.9, 11.2, 14.8, 12.1, 13.3, 12.7, 99.0, 12.4, 13.9, 12.0,
                                  11.8, 12.6, 13.1, 12.2, 14.1, 12.5, 12.3, 13.6, 11.5, 12.8};

static Stats summarised(const double *samples, size_t n) {
    Stats s;
    Error err = {0};
    if (!stats_summarise(&s, samples, n, &err)) fail_msg("%s", err.message);
    return s;
}

/* np.mean, np.median, np.std(ddof=1), scipy.stats.median_abs_deviation(scale=1), np.percentile; the interval from
 * scipy.stats.binom.cdf by the formula of Hettmansperger & Sheather */
static void summary_agrees_with_scipy(void **state) {
    (void)state;
    const Stats s = summarised(twenty, 20);
    assert_int_equal(s.n, 20);
    assert_true(is_near(s.min, 11.2) && is_near(s.max, 99.0));
    assert_true(is_near(s.mean, 17.040000000000003));
    assert_true(is_near(s.median, 12.649999999999999));
    assert_true(is_near(s.sd, 19.311937949579814));
    assert_true(is_near(s.mad, 0.5999999999999988));
    assert_true(is_near(s.p50, 12.65));
    assert_true(is_close(s.median_low, 12.223523421588595));
    assert_true(is_close(s.median_high, 13.25295315682281));
}

static void comparison_with_scipy_notices_a_changed_sample(void **state) {
    (void)state;
    double changed[20];
    memcpy(changed, twenty, sizeof changed);
    changed[1] += 1e-9;
    const bool near = fabs(summarised(changed, 20).mean - 17.040000000000003) <= 1e-12 * 17.04;
    assert_false(near);
}

static void percentiles_agree_with_numpy(void **state) {
    (void)state;
    double roots[1000]; /* sqrt(1..1000), in an order that is not sorted */
    for (int i = 0; i < 1000; i++) roots[i] = sqrt((double)(i * 387 % 1000 + 1));
    const Stats s = summarised(roots, 1000);
    assert_true(is_near(s.p50, 22.37185453029864));
    assert_true(is_near(s.p90, 30.001666203960728));
    assert_true(is_near(s.p99, 31.464424315427447));
    assert_true(is_near(s.mean, 21.097455887480734));
    assert_true(is_near(s.sd, 7.446664211825866));
    assert_true(is_near(s.mad, 5.585703642236229));
    assert_true(is_close(s.median_low, 21.668709100088137));
    assert_true(is_close(s.median_high, 23.053563636051436));
}

static void percentiles_without_enough_samples_are_not_numbers(void **state) {
    (void)state;
    double same[1000];
    for (int i = 0; i < 1000; i++) same[i] = 7;
    assert_true(isnan(summarised(same, 19).p50) && summarised(same, 20).p50 == 7);
    assert_true(isnan(summarised(same, 99).p90) && summarised(same, 100).p90 == 7);
    assert_true(isnan(summarised(same, 999).p99) && summarised(same, 1000).p99 == 7);
}

static void median_uses_every_sample_whatever_its_place(void **state) {
    (void)state;
    static const double orders[6][3] = {{1, 2, 9}, {1, 9, 2}, {2, 1, 9}, {2, 9, 1}, {9, 1, 2}, {9, 2, 1}};
    for (int i = 0; i < 6; i++) assert_true(summarised(orders[i], 3).median == 2);
    assert_true(summarised((double[]){4, 1, 3, 2}, 4).median == 2.5);
    assert_true(summarised((double[]){5}, 1).median == 5);
}

static void nothing_has_no_statistics(void **state) {
    (void)state;
    const Stats s = summarised(NULL, 0);
    assert_int_equal(s.n, 0);
    const double all[] = {s.min, s.median, s.mean, s.max, s.sd, s.mad, s.median_low, s.median_high, s.p50, s.p90, s.p99};
    for (size_t i = 0; i < COUNT(all); i++) assert_true(isnan(all[i]));
    assert_int_equal(s.n_suspect + s.n_mild + s.n_severe, 0);
}

static void sd_of_one_sample_is_not_a_number_rather_than_zero(void **state) {
    (void)state;
    const double one = 3;
    assert_true(isnan(summarised(&one, 1).sd));
    assert_true(summarised(&one, 1).mad == 0);
    assert_true(isnan(summarised(&one, 1).median_low));
}

static void sd_survives_a_large_offset(void **state) {
    (void)state;
    /* sum of squares minus square of sums would lose everything: 1e9^2 has no room for 1 in a double */
    assert_true(is_near(summarised((double[]){1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 4}, 4).sd, 1.2909944487358056));
}

static void outliers_are_counted_and_kept(void **state) {
    (void)state;
    Stats s = summarised(twenty, 20); /* np.percentile: quartiles 12.175 and 13.375, fences 10.375, 15.175 and 16.975 */
    assert_int_equal(s.n_severe, 1);
    assert_int_equal(s.n_mild, 0);
    assert_int_equal(s.n_suspect, 1); /* 99 lies 97 scaled MADs away, 14.8 only 2.4 */
    assert_true(s.max == 99);
    double mild[20];
    memcpy(mild, twenty, sizeof mild);
    mild[6] = 16; /* in the place of 99: the quartiles stay */
    s       = summarised(mild, 20);
    assert_int_equal(s.n_severe, 0);
    assert_int_equal(s.n_mild, 1);
    assert_int_equal(s.n_suspect, 0);
    mild[1] = -50; /* and below */
    s       = summarised(mild, 20);
    assert_int_equal(s.n_severe, 1);
    assert_int_equal(s.n_suspect, 1);
}

static void a_sample_that_is_not_finite_is_an_error_with_its_index(void **state) {
    (void)state;
    const double bad[][3] = {{1, 2, NAN}, {1, INFINITY, 3}, {-INFINITY, 2, 3}};
    const char  *index[]  = {"sample 2", "sample 1", "sample 0"};
    for (size_t i = 0; i < 3; i++) {
        Stats         s;
        StatsInterval interval;
        StatsRatio    ratio;
        Error         err = {0};
        assert_false(stats_summarise(&s, bad[i], 3, &err));
        assert_non_null(strstr(err.message, index[i]));
        assert_false(stats_process_interval(&interval, bad[i], NULL, 3, &err));
        assert_false(stats_paired_ratio(&ratio, twenty, bad[i], NULL, 3, &err));
    }
}

/* the same formula with scipy.stats.binom.cdf, on the samples 1..n */
static void interval_agrees_with_scipy_for_few_and_for_many_samples(void **state) {
    (void)state;
    static const struct {
        size_t n;
        double low, high;
    } known[] = {{6, 1.3571428571428577, 5.642857142857142},
                 {7, 1.7333333333333336, 6.266666666666667},
                 {10, 2.6576576576576585, 8.342342342342342},
                 {100, 40.76320061634009, 60.23679938365991},
                 {100000, 49690.60470115263, 50310.395298847376}};
    double *ranks = calloc(100000, sizeof *ranks);
    assert_non_null(ranks);
    for (int i = 0; i < 100000; i++) ranks[i] = i + 1;
    for (size_t i = 0; i < COUNT(known); i++) {
        const Stats s = summarised(ranks, known[i].n);
        assert_true(is_close(s.median_low, known[i].low));
        assert_true(is_close(s.median_high, known[i].high));
    }
    assert_true(isnan(summarised(ranks, 5).median_low) && isnan(summarised(ranks, 5).median_high));
    free(ranks);
}

/* nine processes of four samples; the second arm ran beside them */
static const double nine[36] = {10.2, 10.4, 10.1, 10.9, 11.0, 11.3, 11.1, 11.2, 9.8,  9.9,  10.0, 12.0,
                                10.5, 10.6, 10.4, 10.7, 10.0, 10.3, 10.2, 10.1, 10.8, 10.9, 10.7, 11.5,
                                9.7,  9.6,  9.9,  9.5,  10.3, 10.2, 10.4, 10.6, 11.9, 12.0, 11.8, 12.4};
static const double beside[36] = {8.1, 8.3, 8.2, 8.0, 9.0, 8.8, 8.9, 9.1, 7.7, 7.9, 7.8, 7.6, 8.6, 8.4, 8.5, 8.3, 7.9, 8.0,
                                  8.1, 7.8, 8.7, 8.5, 8.6, 8.8, 7.5, 7.7, 7.6, 7.4, 8.2, 8.4, 8.3, 8.1, 9.5, 9.6, 9.4, 9.7};

static void processes_are_the_units_where_there_are_several(void **state) {
    (void)state;
    int           process[36];
    StatsInterval s;
    Error         err = {0};
    for (int i = 0; i < 36; i++) process[i] = 1000 - i / 4; /* any numbers, in any order */
    assert_true(stats_process_interval(&s, nine, process, 36, &err));
    assert_int_equal(s.n_units, 9);
    assert_true(is_near(s.median, 10.350000000000001)); /* np.median(np.median(x, axis=1)) */
    assert_true(is_close(s.low, 9.995581395348836));
    assert_true(is_close(s.high, 11.081627906976742));

    double mixed[36]; /* the same, in the order in which processes that take turns would be measured */
    int    owner[36];
    for (int i = 0; i < 36; i++) {
        mixed[i] = nine[i % 9 * 4 + i / 9];
        owner[i] = i % 9;
    }
    StatsInterval again;
    assert_true(stats_process_interval(&again, mixed, owner, 36, &err));
    assert_true(again.low == s.low && again.high == s.high && again.median == s.median);
}

static void samples_are_the_units_of_one_process(void **state) {
    (void)state;
    StatsInterval s;
    Error         err     = {0};
    const int     same[20] = {0};
    const Stats   whole   = summarised(twenty, 20);
    assert_true(stats_process_interval(&s, twenty, NULL, 20, &err));
    assert_true(s.n_units == 20 && s.low == whole.median_low && s.high == whole.median_high);
    assert_true(stats_process_interval(&s, twenty, same, 20, &err));
    assert_true(s.n_units == 20 && s.low == whole.median_low);
}

static void few_processes_have_no_interval_however_many_samples(void **state) {
    (void)state;
    StatsInterval s;
    Error         err = {0};
    int           process[36];
    for (int i = 0; i < 36; i++) process[i] = i % 5;
    assert_true(stats_process_interval(&s, nine, process, 36, &err));
    assert_int_equal(s.n_units, 5);
    assert_true(isnan(s.low) && isnan(s.high) && !isnan(s.median));
}

static void paired_ratio_agrees_with_numpy(void **state) {
    (void)state;
    int        process[36];
    StatsRatio r;
    Error      err = {0};
    for (int i = 0; i < 36; i++) process[i] = i / 4;
    assert_true(stats_paired_ratio(&r, nine, beside, process, 36, &err));
    assert_int_equal(r.n_units, 9);
    assert_true(is_near(r.ratio, 1.2545454545454546)); /* np.median(np.median(a,1)/np.median(b,1)) */
    assert_true(is_close(r.low, 1.2491561581184976));
    assert_true(is_close(r.high, 1.277822948177379));
    assert_true(is_near(r.ratio_of_medians, 1.2545454545454546));

    assert_true(stats_paired_ratio(&r, nine, beside, NULL, 36, &err)); /* one process: every pair a unit */
    assert_int_equal(r.n_units, 36);
    assert_true(is_near(r.ratio, 1.2592592592592593));
    assert_true(is_close(r.low, 1.2529113679235924));
    assert_true(is_close(r.high, 1.2821311074834063));
    assert_true(is_near(r.ratio_of_medians, 1.2590361445783131));
}

static void pairing_cancels_a_drift_that_hits_both(void **state) {
    (void)state;
    double     first[40], second[40];
    StatsRatio r;
    Error      err = {0};
    for (int i = 0; i < 40; i++) { /* the machine slows down threefold while two arms, 10 % apart, take turns */
        const double drift = 1 + 2.0 * i / 39;
        first[i]           = 110 * drift;
        second[i]          = 100 * drift;
    }
    assert_true(stats_paired_ratio(&r, first, second, NULL, 40, &err));
    assert_true(is_near(r.ratio, 1.1) && is_near(r.low, 1.1) && is_near(r.high, 1.1));
}

static void a_ratio_wants_positive_samples(void **state) {
    (void)state;
    StatsRatio r;
    Error      err = {0};
    assert_false(stats_paired_ratio(&r, (double[]){1, 2}, (double[]){1, 0}, NULL, 2, &err));
    assert_non_null(strstr(err.message, "pair 1"));
    assert_false(stats_paired_ratio(&r, (double[]){-1, 2}, (double[]){1, 1}, NULL, 2, &err));
    assert_non_null(strstr(err.message, "pair 0"));
}

/* -- coverage -- */

/* SplitMix64 and Box-Muller: fixed draws, the same on every machine up to the last bits of log and cos */
static uint64_t random_state;
static double uniform(void) { /* (0,1) */
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}
static double normal(void) {
    return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

/* One process of n samples, as machines make them: its own offset, and noise of a kind. */
typedef enum Noise { NOISE_NORMAL, NOISE_LOG_NORMAL, NOISE_BIMODAL, NOISE_AUTOCORRELATED, N_NOISES } Noise;
static const char *const noise_names[] = {"normal", "log-normal", "bimodal", "autocorrelated"};

/* Of a process's offset, and of its samples but for log-normal ones, which keep their long tail. */
static double spread = 0.02;

static void simulate_process(double *x, int n, Noise noise) {
    const double offset = 1 + spread * normal();
    const double mode   = uniform() < 0.3 ? 1.1 : 1; /* an unlucky layout of addresses */
    double       wander = normal() / sqrt(1 - 0.9 * 0.9);
    for (int i = 0; i < n; i++) {
        const double e = normal();
        wander         = 0.9 * wander + e;
        switch (noise) {
        case NOISE_NORMAL: x[i] = 100 * offset + 100 * spread * e; break;
        case NOISE_LOG_NORMAL: x[i] = 100 * offset * exp(0.3 * e); break;
        case NOISE_BIMODAL: x[i] = 100 * offset * mode + 100 * spread * e; break;
        default: x[i] = 100 * offset + 100 * spread * wander; break;
        }
    }
}

static int by_size(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

enum { SAMPLES = 21, EXPERIMENTS = 2000 };

/* The centre of the distribution of process medians, to about a tenth of what an interval's end may be off. */
static double true_centre(Noise noise) {
    enum { PROCESSES = 20001 };
    static double medians[PROCESSES];
    double        x[SAMPLES];
    if (noise != NOISE_BIMODAL) return 100; /* by symmetry, of the logarithm in one case */
    for (int i = 0; i < PROCESSES; i++) {
        simulate_process(x, SAMPLES, noise);
        qsort(x, SAMPLES, sizeof *x, by_size);
        medians[i] = x[SAMPLES / 2];
    }
    qsort(medians, PROCESSES, sizeof *medians, by_size);
    return medians[PROCESSES / 2];
}

/* Share of simulated experiments whose interval, narrowed by `shrink` towards its middle, holds the truth. */
static double coverage(Noise noise, int n_processes, bool as_one_process, double shrink) {
    double    x[15 * SAMPLES];
    int       process[15 * SAMPLES], n_held = 0;
    const int n = n_processes * SAMPLES;
    assert_true(n_processes <= 15);
    for (int i = 0; i < n; i++) process[i] = i / SAMPLES;
    const double truth = true_centre(noise);
    for (int e = 0; e < EXPERIMENTS; e++) {
        StatsInterval s;
        Error         err = {0};
        for (int p = 0; p < n_processes; p++) simulate_process(x + p * SAMPLES, SAMPLES, noise);
        assert_true(stats_process_interval(&s, x, as_one_process ? NULL : process, (size_t)n, &err));
        const double middle = 0.5 * (s.low + s.high), half = 0.5 * shrink * (s.high - s.low);
        if (fabs(truth - middle) <= half) n_held++;
    }
    return (double)n_held / EXPERIMENTS;
}

static void interval_covers_the_truth_95_times_in_100_whatever_the_noise(void **state) {
    (void)state;
    double least = 1, most = 0;
    random_state = 1;
    for (int noise = 0; noise < N_NOISES; noise++)
        for (int i = 0; i < 4; i++) {
            const int n_processes = i % 2 == 0 ? 9 : 15;
            spread = i < 2 ? 0.02 : 0.1;
            const double share = coverage((Noise)noise, n_processes, false, 1);
            least = fmin(least, share);
            most  = fmax(most, share);
            /* 2000 experiments scatter by 0.005; the interpolation itself is off by up to 0.01 */
            if (share < 0.93 || share > 0.97) fail_msg("%s of %g, %d processes: %.3f", noise_names[noise], spread, n_processes, share);
        }
    spread = 0.02;
    printf("           of %d experiments each, intervals cover the truth in %.1f to %.1f %%\n", EXPERIMENTS, 100 * least, 100 * most);
}

static void coverage_check_notices_an_interval_that_is_too_narrow(void **state) {
    (void)state;
    random_state = 2;
    assert_true(coverage(NOISE_NORMAL, 10, false, 0.8) < 0.93);
}

static void coverage_check_notices_that_processes_were_ignored(void **state) {
    (void)state;
    random_state = 3;
    assert_true(coverage(NOISE_NORMAL, 10, true, 1) < 0.93);
}

/* Samples of one process whose speed wanders: each 0.9 of the last deviation plus noise. */
static void wander_about_100(double *x, int n) {
    double at = normal() / sqrt(1 - 0.9 * 0.9);
    for (int i = 0; i < n; i++) x[i] = 100 + (at = 0.9 * at + normal());
}

static void blocks_cover_the_truth_where_samples_as_units_do_not(void **state) {
    (void)state;
    enum { N = 600, RUNS = 1000 };
    static double x[N];
    int blocks_hit = 0, samples_hit = 0, trends = 0;
    random_state   = 11;
    for (int run = 0; run < RUNS; run++) {
        Error         err = {0};
        StatsInterval blocks, samples;
        double        z;
        wander_about_100(x, N);
        assert_true(stats_block_interval(&blocks, &z, x, N, &err));
        assert_true(stats_process_interval(&samples, x, NULL, N, &err));
        assert_int_equal(blocks.n_units, STATS_BLOCKS);
        blocks_hit  += blocks.low <= 100 && 100 <= blocks.high;
        samples_hit += samples.low <= 100 && 100 <= samples.high;
        trends += fabs(z) > 2.58;
    }
    printf("           of %d: blocks cover %d, samples as units %d; trends seen %d\n", RUNS, blocks_hit, samples_hit, trends);
    /* blocks of 30 samples still share about a tenth of their wandering: near 95 %, not at it */
    assert_true(blocks_hit > 0.88 * RUNS && samples_hit < 0.6 * RUNS);
    assert_true(trends < 0.05 * RUNS);
}

static void a_run_that_slows_down_steadily_shows_a_trend(void **state) {
    (void)state;
    double        x[60], z;
    Error         err = {0};
    StatsInterval interval;
    random_state = 5;
    for (int i = 0; i < 60; i++) x[i] = 100 + 0.2 * i + normal();
    assert_true(stats_block_interval(&interval, &z, x, 60, &err));
    assert_true(z > 2.58);
    for (int i = 0; i < 60; i++) x[i] = 100 + normal();
    assert_true(stats_block_interval(&interval, &z, x, 60, &err));
    assert_true(fabs(z) < 2.58);
}

static void few_samples_are_their_own_units(void **state) {
    (void)state;
    const double  x[] = {5, 3, 4, 1, 2, 9, 7};
    double        z;
    Error         err = {0};
    StatsInterval blocks, samples;
    assert_true(stats_block_interval(&blocks, &z, x, 7, &err));
    assert_true(stats_process_interval(&samples, x, NULL, 7, &err));
    assert_int_equal(blocks.n_units, 7);
    assert_true(blocks.median == samples.median && blocks.low == samples.low && blocks.high == samples.high);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_agrees_with_scipy),
        cmocka_unit_test(comparison_with_scipy_notices_a_changed_sample),
        cmocka_unit_test(percentiles_agree_with_numpy),
        cmocka_unit_test(percentiles_without_enough_samples_are_not_numbers),
        cmocka_unit_test(median_uses_every_sample_whatever_its_place),
        cmocka_unit_test(nothing_has_no_statistics),
        cmocka_unit_test(sd_of_one_sample_is_not_a_number_rather_than_zero),
        cmocka_unit_test(sd_survives_a_large_offset),
        cmocka_unit_test(outliers_are_counted_and_kept),
        cmocka_unit_test(a_sample_that_is_not_finite_is_an_error_with_its_index),
        cmocka_unit_test(interval_agrees_with_scipy_for_few_and_for_many_samples),
        cmocka_unit_test(processes_are_the_units_where_there_are_several),
        cmocka_unit_test(samples_are_the_units_of_one_process),
        cmocka_unit_test(few_processes_have_no_interval_however_many_samples),
        cmocka_unit_test(paired_ratio_agrees_with_numpy),
        cmocka_unit_test(pairing_cancels_a_drift_that_hits_both),
        cmocka_unit_test(a_ratio_wants_positive_samples),
        cmocka_unit_test(interval_covers_the_truth_95_times_in_100_whatever_the_noise),
        cmocka_unit_test(coverage_check_notices_an_interval_that_is_too_narrow),
        cmocka_unit_test(coverage_check_notices_that_processes_were_ignored),
        cmocka_unit_test(blocks_cover_the_truth_where_samples_as_units_do_not),
        cmocka_unit_test(a_run_that_slows_down_steadily_shows_a_trend),
        cmocka_unit_test(few_samples_are_their_own_units),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
