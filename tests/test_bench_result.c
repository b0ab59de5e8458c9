/* What a bench makes of what its processes say: statistics over processes, and every rule that lowers a verdict, each broken
 * once. The processes are made up. */
#include "harness/measure/bench.h"
#include "harness/options.h"
#include "harness/report/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PROCESSES = 9, SAMPLES = 30 };

static BenchArm      arm;
static BenchCell     cell;
static BenchSettings settings;
static char          word[] = "morbench", *argv_[] = {word};

static uint64_t random_state;
static double uniform(void) {
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}

static double flat(int process, int i) { (void)process, (void)i; return 0; }
static double (*shape)(int process, int i) = flat;

static json_t *process(int p) {
    JsonSink root, list, counters, profile, empty;
    json_t  *said = NULL;
    Error    err  = {0};
    const int64_t macs = 16716416;
    json_sink_begin(&root);
    json_put_number(&root, "clock_overhead_ns", 25);
    for (int i = 0; i < 4; i++) json_put_count(&root, (const char *[]){"threads_requested_count", "threads_effective_count", "threads_cpus_count", "threads_pinned_count"}[i], runtime_threads());
    json_put_array(&root, "latency_ns", &list);
    for (int i = 0; i < SAMPLES; i++) json_put_number(&list, NULL, 1e6 * (1 + 0.01 * p + 0.002 * uniform() + shape(p, i)));
    json_put_array(&root, "end_to_end_latency_ns", &list);
    for (int i = 0; i < SAMPLES; i++) json_put_number(&list, NULL, 1.5e6 * (1 + 0.01 * p + 0.002 * uniform()));
    json_put_count(&root, "passes_per_sample_count", 1);
    json_put_count(&root, "warmup_passes_count", 8);
    json_put_bool(&root, "warmup_settled", true);
    json_put_number(&root, "timed_ns", 3e9);
    for (int i = 0; i < 4; i++) json_put_count(&root, (const char *[]){"minor_faults_count", "major_faults_count", "involuntary_switches_count", "outputs_differ_count"}[i], 0);
    json_put_count(&root, "outputs_compared_count", SAMPLES);
    json_put_count(&root, "end_to_end_differ_count", 0);
    json_put_text(&root, "output_sha256", "aa");
    json_put_text(&root, "end_to_end_output_sha256", "aa");
    json_put_number(&root, "energy_joules", 0.5);
    json_put_number(&root, "repeat_ratio", 1 + 0.01 * p);
    json_put_number(&root, "spin_before_ns", 1e6);
    json_put_number(&root, "spin_after_ns", 1.01e6);
    json_put_count(&root, "peak_resident_bytes", 20000000 + p);
    json_put_count(&root, "packed_weights_bytes", 1000);
    json_put_object(&root, "counters", &counters);
    json_put_number(&counters, "cycles_count", 1000);
    json_put_number(&counters, "instructions_count", 2500);
    json_put_number(&counters, "branches_count", 200);
    json_put_number(&counters, "branch_misses_count", 10);
    json_put_missing(&counters, "last_level_misses_count", "no_permission");
    json_put_missing(&counters, "last_level_references_count", "no_permission");
    json_put_number(&counters, "float_operations_count", 33995178);
    json_put_text(&counters, "provider", "fake");
    json_put_number(&root, "cpu_waiting_ratio", 0.01);
    json_put_number(&root, "steal_ratio", 0);
    json_put_count(&root, "position_count", p);
    json_put_count(&root, "block_count", p);
    json_put_count(&root, "padding_bytes", 7);
    json_put_array(&root, "flags", &list);
    if (p == 0) {
        json_put_count(&root, "peak_activation_bytes", 5000);
        json_put_count(&root, "forward_macs", 3 * macs);
        json_put_count(&root, "expected_macs", 3 * macs);
        json_put_count(&root, "forward_elementwise_count", 3 * (33995178 - 2 * macs));
        json_put_count(&root, "least_macs", macs);
        json_put_count(&root, "most_macs", macs);
        json_put_count(&root, "backward_macs", 0);
        json_put_count(&root, "profiled_images_count", 3);
        json_put_count(&root, "profiled_passes_count", 3);
        json_put_array(&root, "depth_tokens_count", &list);
        for (int d = 0; d <= 6; d++) json_put_count(&list, NULL, d < 6 ? 0 : 150);
        json_put_count(&root, "tokens_per_image_count", 50);
        json_put_object(&root, "profile", &profile);
        json_put_count(&profile, "passes_count", 3);
        json_put_count(&profile, "images_count", 3);
        for (int i = 0; i < 3; i++) json_put_array(&profile, (const char *[]){"scopes", "ops", "parts"}[i], &empty);
    }
    assert_true(json_sink_finish(&root, &said, &err));
    return said;
}

static int begin(void **state) {
    Error err = {0};
    (void)state;
    random_state = 1;
    shape        = flat;
    if (arm.model == NULL) {
        const BenchChoice choice = {.model = {.preset = "vit_d64_l6_p4_28", .seed = 1}, .batch = 1};
        if (!bench_arm_open(&arm, &choice, true, &err)) { print_error("%s\n", err.message); return 1; }
    }
    settings = (BenchSettings){.effort = *effort_find("standard", &err), .seed = 1, .order_tau = 0.05, .session = "s", .argc = 1, .argv = argv_};
    cell     = (BenchCell){.arm = &arm, .label = "vit", .batch = 1, .said = calloc(PROCESSES, sizeof *cell.said), .n_said = PROCESSES};
    for (int p = 0; p < PROCESSES; p++) cell.said[p] = process(p);
    return 0;
}

static int end(void **state) {
    (void)state;
    for (int p = 0; p < cell.n_said; p++) json_decref(cell.said[p]);
    free(cell.said);
    return 0;
}

static Result *filled(void) {
    Result *r   = NULL;
    Error   err = {0};
    if (!bench_result_begin(&r, &settings, &cell, &err) || !bench_result_fill(r, &settings, &cell, &err)) fail_msg("%s", err.message);
    return r;
}

static bool warned(Result *r, const char *code) {
    const json_t *list = result_block(r, "warnings")->at, *w;
    size_t        i;
    json_array_foreach(list, i, w)
        if (strcmp(json_string_value(json_object_get(w, "code")), code) == 0) return true;
    return false;
}

static const json_t *metrics(Result *r) { return result_block(r, "metrics")->at; }

/* The codes that a change brings, and that nothing did without it. */
static void set_all(int n, const char *key, json_t *value) {
    for (int p = 0; p < n; p++) json_object_set(cell.said[p], key, value);
    json_decref(value);
}

static void brings(const char *code) {
    Result *r = filled();
    if (!warned(r, code)) fail_msg("no warning %s", code);
    result_destroy(r);
}
static void does_not_bring(const char *code) {
    Result *r = filled();
    if (warned(r, code)) fail_msg("a warning %s", code);
    result_destroy(r);
}

static void good_processes_lower_nothing_but_what_random_weights_do(void **state) {
    (void)state;
    Result *r = filled();
    const json_t *list = result_block(r, "warnings")->at, *w;
    size_t        i;
    json_array_foreach(list, i, w) {
        const char *code = json_string_value(json_object_get(w, "code"));
        if (strcmp(code, "untrained") != 0 && strcmp(code, "synthetic_data") != 0 && strcmp(code, "dirty_build") != 0 && strcmp(code, "unoptimised_build") != 0 && strcmp(code, "slow_blas_core") != 0 && strcmp(code, "threads_sleep") != 0)
            fail_msg("%s", code);
    }
    result_destroy(r);
}

static void numbers_are_of_processes(void **state) {
    (void)state;
    Result       *r = filled();
    const json_t *m = metrics(r);
    assert_int_equal(report_number(m, "/latency_units_count"), PROCESSES);
    assert_int_equal(report_number(m, "/latency_samples_count"), PROCESSES * SAMPLES);
    assert_string_equal(json_string_value(report_at(m, "/latency_interval_level")), "process");
    assert_true(fabs(report_number(m, "/latency_ns") / 1e6 - 1.041) < 0.001);      /* the fifth of nine processes 1 % apart */
    assert_true(report_number(m, "/latency_low_ns") < 1.02e6 && report_number(m, "/latency_high_ns") > 1.06e6);
    assert_true(fabs(report_number(m, "/end_to_end_latency_ns") / 1.5e6 - 1.041) < 0.001);
    assert_true(isfinite(report_number(m, "/end_to_end_images_low_per_s")));
    assert_int_equal(report_number(m, "/peak_resident_bytes"), 20000004);
    assert_int_equal(report_number(m, "/processes_count"), PROCESSES);
    assert_string_equal(json_string_value(report_at(m, "/output_sha256")), "aa");
    assert_int_equal(json_array_size(result_block(r, "processes")->at), PROCESSES);
    assert_null(json_object_get(json_array_get(result_block(r, "processes")->at, 0), "latency_ns"));
    assert_true(isnan(report_number(m, "/latency_p99_ns")) && isfinite(report_number(m, "/latency_p90_ns")));
    result_destroy(r);
}

static void counters_are_medians_with_what_follows_from_them_or_a_reason(void **state) {
    (void)state;
    Result       *r = filled();
    const json_t *c = result_block(r, "counters")->at;
    assert_int_equal(report_number(c, "/cycles_count"), 1000);
    assert_true(report_number(c, "/instructions_per_cycle") == 2.5 && report_number(c, "/branch_miss_ratio") == 0.05);
    assert_true(json_is_null(report_at(c, "/memory_bytes_per_mac")));
    assert_string_equal(json_string_value(report_at(c, "/memory_bytes_per_mac_reason")), "no_permission");
    assert_string_equal(json_string_value(report_at(c, "/last_level_miss_ratio_reason")), "no_permission");
    assert_true(report_number(c, "/energy_joules") == 0.5 && report_number(c, "/energy_per_image_joules") == 0.5);
    assert_null(report_at(c, "/idle_joules_per_s"));
    assert_string_equal(json_string_value(report_at(c, "/provider")), "fake");
    result_destroy(r);
}

static void a_shared_counter_is_labelled(void **state) {
    (void)state;
    for (int p = 0; p < PROCESSES; p++) json_object_set_new(json_object_get(cell.said[p], "counters"), "cycles_count_running_ratio", json_real(0.7));
    Result *r = filled();
    assert_true(warned(r, "counters_shared"));
    assert_true(report_number(result_block(r, "counters")->at, "/cycles_count_running_ratio") == 0.7);
    result_destroy(r);
}

static void the_least_of_any_process_counts_for_threads(void **state) {   /* V22 */
    (void)state;
    json_object_set_new(cell.said[3], "threads_effective_count", json_integer(0));
    Result *r = filled();
    assert_int_equal(report_number(metrics(r), "/threads_effective_count"), 0);
    assert_true(warned(r, "threads_short"));
    result_destroy(r);
}

static void too_little_effort_is_invalid(void **state) {                  /* V17 */
    (void)state;
    does_not_bring("too_short");
    settings.effort.min_seconds = 1;
    brings("too_short");
}

static void an_order_that_is_not_random_is_invalid(void **state) {        /* V18 */
    (void)state;
    settings.order_tau = 0.19;
    does_not_bring("order_not_random");
    settings.order_tau = -0.2;
    brings("order_not_random");
    settings.order_tau = NAN;                                             /* one cell has no order */
    does_not_bring("order_not_random");
}

static double slope(int process, int i) { (void)process; return -0.03 * i / SAMPLES; }
static double own_slope(int process, int i) { return (process % 2 == 0 ? 1 : -1) * 0.05 * i / SAMPLES; }
static double little_slope(int process, int i) { (void)process; return -0.005 * i / SAMPLES; }

static void again(double (*as)(int, int)) {
    shape = as;
    for (int p = 0; p < PROCESSES; p++) {
        json_decref(cell.said[p]);
        cell.said[p] = process(p);
    }
}

static void a_drift_in_all_processes_alike_is_invalid(void **state) {     /* V20 */
    (void)state;
    again(slope);
    Result *r = filled();
    assert_true(warned(r, "unsteady"));
    assert_int_equal(result_verdict(r), VERDICT_INVALID);
    result_destroy(r);
}
static void drifts_that_go_either_way_are_noise(void **state) {
    (void)state;
    again(own_slope);
    does_not_bring("unsteady");
    brings("trend");
}
static void a_drift_too_small_to_matter_is_left_alone(void **state) {
    (void)state;
    again(little_slope);
    does_not_bring("unsteady");
    does_not_bring("trend");
}

static void a_short_sample_beside_the_clock_is_noise(void **state) {      /* V21 */
    (void)state;
    set_all(PROCESSES, "clock_overhead_ns", json_real(2000));
    brings("clock_coarse");
    set_all(PROCESSES, "passes_per_sample_count", json_integer(100));     /* taken together, they are long enough */
    Result *r = filled();
    assert_false(warned(r, "clock_coarse"));
    assert_true(isnan(report_number(metrics(r), "/latency_p90_ns")));     /* and means have no tails */
    result_destroy(r);
}

static void more_than_a_tenth_of_the_processes_disturbed_is_noise(void **state) {  /* V23, V24 */
    (void)state;
    static const struct { const char *key, *code; double value; } known[] = {
        {"cpu_waiting_ratio", "machine_busy", 0.06}, {"involuntary_switches_count", "machine_busy", 1e6}, {"steal_ratio", "cpu_stolen", 0.02},
        {"spin_after_ns", "frequency_drift", 1.03e6}, {"spin_after_ns", "frequency_drift", 0.97e6}, {"major_faults_count", "major_faults", 1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        end(NULL);
        begin(NULL);
        does_not_bring(known[i].code);
        json_t *value = strstr(known[i].key, "_count") != NULL ? json_integer((int64_t)known[i].value) : json_real(known[i].value);
        set_all(1, known[i].key, value);
        Result       *r     = filled();
        const json_t *flags = json_object_get(json_array_get(result_block(r, "processes")->at, 0), "flags");
        assert_string_equal(json_string_value(json_array_get(flags, 0)), known[i].code);
        assert_true(warned(r, known[i].code));                            /* of nine, one is more than a tenth */
        assert_int_equal(result_verdict(r), VERDICT_SPEED_ONLY);          /* noise, and no more: random weights weigh more */
        result_destroy(r);
    }
}

static void faults_of_memory_while_timing_are_noise(void **state) {       /* V25 */
    (void)state;
    set_all(PROCESSES, "minor_faults_count", json_integer(SAMPLES - 1));
    does_not_bring("minor_faults");
    set_all(PROCESSES, "minor_faults_count", json_integer(SAMPLES));
    brings("minor_faults");
}

static void outputs_must_be_true_and_the_same_in_every_process(void **state) {  /* V3, V5, V33 */
    (void)state;
    json_object_set_new(cell.said[8], "outputs_differ_count", json_integer(1));
    brings("outputs_differ");
    json_object_set_new(cell.said[8], "outputs_differ_count", json_integer(0));
    json_object_set_new(cell.said[8], "end_to_end_differ_count", json_integer(1));
    brings("outputs_differ");
    json_object_set_new(cell.said[8], "end_to_end_differ_count", json_integer(0));
    does_not_bring("outputs_differ");
    json_object_set_new(cell.said[8], "output_sha256", json_string("bb"));
    brings("outputs_vary");
    json_object_set_new(cell.said[8], "output_sha256", json_string("aa"));
    does_not_bring("outputs_vary");
    json_object_set_new(cell.said[8], "end_to_end_output_sha256", json_string("bb"));
    brings("outputs_vary");
}

static void a_model_that_remembers_is_invalid(void **state) {             /* V4 */
    (void)state;
    for (int p = 0; p < PROCESSES; p++) json_object_set_new(cell.said[p], "repeat_ratio", json_real(0.8 + 0.01 * p));
    brings("caching");
    for (int p = 0; p < PROCESSES; p++) json_object_set_new(cell.said[p], "repeat_ratio", json_real(0.85 + 0.02 * p));   /* noise reaches beyond 0.9 */
    does_not_bring("caching");
}

static void counts_must_agree(void **state) {                             /* V9, V11 */
    (void)state;
    json_object_set_new(cell.said[0], "forward_macs", json_integer(3 * 16716416 + 3));
    brings("counts_disagree");
    json_object_set_new(cell.said[0], "expected_macs", json_integer(3 * 16716416 + 3));
    does_not_bring("counts_disagree");
    json_object_set_new(cell.said[0], "tokens_per_image_count", json_integer(49));
    brings("depth_disagrees");
}

static void work_of(json_t *list, const char *name, double ns) {
    json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:f}", name, "x", "pass", "forward", "calls_count", 1, "macs", 1, "elementwise_count", 0, "moved_bytes", 4, "elapsed_ns", ns));
}

static void times_of_parts_sum_to_the_whole_or_the_run_is_invalid(void **state) {   /* V28 */
    (void)state;
    json_t *profile = json_object_get(cell.said[0], "profile");
    work_of(json_object_get(profile, "scopes"), "scope", 4000);
    work_of(json_object_get(profile, "scopes"), "scope", 5000);
    work_of(json_object_get(profile, "ops"), "op", 9000);
    json_object_set_new(cell.said[0], "profiled_ns", json_integer(9100));
    Result *r = filled();
    assert_false(warned(r, "parts_disagree"));
    assert_true(report_number(result_block(r, "profile")->at, "/passes_elapsed_ns") == 9100 && report_number(result_block(r, "profile")->at, "/unaccounted_ns") == 100);
    assert_non_null(json_string_value(report_at(metrics(r), "/latency_includes")));
    assert_non_null(json_string_value(report_at(metrics(r), "/end_to_end_includes")));
    result_destroy(r);
    work_of(json_object_get(profile, "ops"), "op", 300);                  /* in no layer */
    brings("parts_disagree");
    work_of(json_object_get(profile, "scopes"), "scope", 300);            /* alike, and more than there was time for */
    brings("parts_disagree");
    json_object_set_new(cell.said[0], "profiled_ns", json_integer(9300));
    does_not_bring("parts_disagree");
}

static void what_was_said_of_the_timed_images_is_kept(void **state) {     /* V3: for the accuracy run to agree with */
    (void)state;
    json_object_set_new(cell.said[0], "witness", json_pack("{s:[i]}", "image_index", 3));
    Result *r = filled();
    assert_int_equal(json_integer_value(json_array_get(report_at(metrics(r), "/witness/image_index"), 0)), 3);
    assert_null(json_object_get(json_array_get(result_block(r, "processes")->at, 0), "witness"));
    result_destroy(r);
}

static void hardware_that_counts_other_operations_is_told(void **state) { /* V14: of one thread */
    (void)state;
    if (runtime_threads() != 1) skip();
    does_not_bring("operations_differ");
    for (int p = 0; p < PROCESSES; p++) json_object_set_new(json_object_get(cell.said[p], "counters"), "float_operations_count", json_real(1.1 * 33995178));
    brings("operations_differ");
}

static void a_point_above_the_roof_is_invalid(void **state) {             /* V16 */
    (void)state;
    json_t *high = json_pack("{s:f, s:b}", "fma_peak_flops_2x_per_s", 1e11, "kernels_are_the_widest", 1);
    json_t *low  = json_pack("{s:f, s:b}", "fma_peak_flops_2x_per_s", 1e10, "kernels_are_the_widest", 1);
    json_t *not_ours = json_pack("{s:f, s:b}", "fma_peak_flops_2x_per_s", 1e10, "kernels_are_the_widest", 0);
    settings.ceilings = high;
    Result *r = filled();
    assert_false(warned(r, "above_peak"));
    assert_true(fabs(report_number(result_block(r, "roofline")->at, "/peak_ratio") - 2 * 16716416 / 1.041e-3 / 1e11) < 1e-3);
    result_destroy(r);
    settings.ceilings = low;
    brings("above_peak");
    const double rate = 2 * 16716416 / 1.041e-3;                          /* 1.06 of this roof, and 1.03 at the slow end of the interval */
    json_t      *near = json_pack("{s:f, s:b}", "fma_peak_flops_2x_per_s", rate / 1.06, "kernels_are_the_widest", 1);
    settings.ceilings = near;
    does_not_bring("above_peak");
    settings.ceilings = not_ours;                                         /* a build of narrower loops knows no roof */
    does_not_bring("above_peak");
    json_decref(near);
    json_decref(high);
    json_decref(low);
    json_decref(not_ours);
}

static void other_weights_or_images_than_at_first_are_invalid(void **state) {   /* V31 */
    (void)state;
    set_all(PROCESSES, "weights_sha256", json_string(""));                /* random, as here */
    does_not_bring("data_changed");
    json_object_set_new(cell.said[5], "weights_sha256", json_string("cc"));
    brings("data_changed");
}

/* The model is made to be one with a router by what its result says of it. */
static bool warned_with(bool routed, bool decides_depth, const char *code) {
    Result *r   = NULL;
    Error   err = {0};
    assert_true(bench_result_begin(&r, &settings, &cell, &err));
    json_t *of = result_block(r, "model")->at;
    json_object_set_new(of, "routed", json_boolean(routed));
    json_object_set_new(of, "decides_depth", json_boolean(decides_depth));
    assert_true(bench_result_fill(r, &settings, &cell, &err));
    const bool found = warned(r, code);
    result_destroy(r);
    return found;
}

static void routing_by_random_weights_or_on_generated_images_is_labelled(void **state) {  /* V30 */
    (void)state;
    assert_false(warned_with(false, false, "untrained_routing"));
    assert_true(warned_with(true, false, "untrained_routing") && warned_with(true, false, "synthetic_routing"));
    assert_false(warned_with(true, false, "untrained_speed"));            /* capacities fix the work */
    assert_true(warned_with(true, true, "untrained_speed"));
}

static void a_paper_needs_a_committed_optimised_build(void **state) {     /* V32 */
    (void)state;
    Error err = {0};
    settings.effort = *effort_find("paper", &err);
    for (int i = 0; i < 3; i++) {
        Result *r = NULL;
        assert_true(bench_result_begin(&r, &settings, &cell, &err));
        json_put_text(result_block(r, "provenance"), "commit", i == 1 ? "abc-dirty" : "abc");
        json_put_text(result_block(r, "env"), "build_kind", i == 2 ? "unoptimised" : "optimised");
        assert_true(bench_result_fill(r, &settings, &cell, &err));
        assert_true(warned(r, "paper_build") == (i > 0));
        result_destroy(r);
    }
}

static void smoke_stays_smoke(void **state) {
    (void)state;
    Error err = {0};
    settings.effort = *effort_find("smoke", &err);
    Result *r = filled();
    assert_true(warned(r, "smoke_profile") && !warned(r, "too_short"));
    assert_int_equal(result_verdict(r), VERDICT_SMOKE);
    result_destroy(r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(good_processes_lower_nothing_but_what_random_weights_do),
        CASE(numbers_are_of_processes),
        CASE(counters_are_medians_with_what_follows_from_them_or_a_reason),
        CASE(a_shared_counter_is_labelled),
        CASE(the_least_of_any_process_counts_for_threads),
        CASE(too_little_effort_is_invalid),
        CASE(an_order_that_is_not_random_is_invalid),
        CASE(a_drift_in_all_processes_alike_is_invalid),
        CASE(drifts_that_go_either_way_are_noise),
        CASE(a_drift_too_small_to_matter_is_left_alone),
        CASE(a_short_sample_beside_the_clock_is_noise),
        CASE(more_than_a_tenth_of_the_processes_disturbed_is_noise),
        CASE(faults_of_memory_while_timing_are_noise),
        CASE(outputs_must_be_true_and_the_same_in_every_process),
        CASE(a_model_that_remembers_is_invalid),
        CASE(counts_must_agree),
        CASE(times_of_parts_sum_to_the_whole_or_the_run_is_invalid),
        CASE(what_was_said_of_the_timed_images_is_kept),
        CASE(hardware_that_counts_other_operations_is_told),
        CASE(a_point_above_the_roof_is_invalid),
        CASE(other_weights_or_images_than_at_first_are_invalid),
        CASE(routing_by_random_weights_or_on_generated_images_is_labelled),
        CASE(a_paper_needs_a_committed_optimised_build),
        CASE(smoke_stays_smoke),
    };
    const int failed = cmocka_run_group_tests_name("bench_result", tests, NULL, NULL);
    bench_arm_close(&arm);
    return failed;
}
