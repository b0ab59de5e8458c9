/* harness/counters with a pretended kernel and copied trees, and on the machine at hand. */
#include "harness/measure/counters.h"
#include "harness/sysfile.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TREE(name) "tests/golden/machine/" name

static int full_kernel(uint32_t type, uint64_t config, uint64_t *count) {
    (void)config;
    *count = type == PERF_TYPE_HARDWARE ? 60000 : 0;
    if (type == PERF_TYPE_SOFTWARE && config == PERF_COUNT_SW_TASK_CLOCK) *count = 12345;
    return 0;
}
static int kernel_without_pmu(uint32_t type, uint64_t config, uint64_t *count) {
    return type == PERF_TYPE_HARDWARE ? ENOENT : full_kernel(type, config, count);
}
static int forbidding_kernel(uint32_t type, uint64_t config, uint64_t *count) {
    (void)type;
    (void)config;
    (void)count;
    return EACCES;
}
static int kernel_whose_counters_stand_still(uint32_t type, uint64_t config, uint64_t *count) {
    (void)type;
    (void)config;
    *count = 0;
    return 0;
}

static Counters probed(const char *root, PerfTry *perf) {
    Counters c;
    counters_probe(&c, root, perf);
    return c;
}

static void counters_that_count_are_available(void **state) {
    (void)state;
    const Counters c = probed(TREE("empty"), full_kernel);
    for (int i = 0; i < N_COUNTERS; i++) assert_null(c.perf[i].reason);
    assert_string_equal(c.perf[COUNTER_cycles].name, "cycles");
    assert_string_equal(c.perf[COUNTER_context_switches].name, "context_switches");
}

static void missing_hardware_leaves_software_events(void **state) {
    (void)state;
    const Counters c = probed(TREE("empty"), kernel_without_pmu);
    assert_ptr_equal(c.perf[COUNTER_cycles].reason, sysfile_not_supported);
    assert_ptr_equal(c.perf[COUNTER_instructions].reason, sysfile_not_supported);
    assert_int_equal(c.perf[COUNTER_instructions].error, ENOENT);
    for (int i = COUNTER_task_clock; i < N_COUNTERS; i++) assert_null(c.perf[i].reason);
}

static void refusal_is_told_from_absence(void **state) {
    (void)state;
    const Counters c = probed(TREE("empty"), forbidding_kernel);
    for (int i = 0; i < N_COUNTERS; i++) assert_ptr_equal(c.perf[i].reason, sysfile_no_permission);
    assert_ptr_equal(counters_reason_of_errno(EPERM), sysfile_no_permission);
    assert_ptr_equal(counters_reason_of_errno(EOPNOTSUPP), sysfile_not_supported);
    assert_ptr_equal(counters_reason_of_errno(ENOSYS), sysfile_not_supported);
    assert_null(counters_reason_of_errno(0));
}

static void a_counter_that_opens_but_stands_still_is_not_supported(void **state) {
    (void)state;
    const Counters c = probed(TREE("empty"), kernel_whose_counters_stand_still);
    assert_ptr_equal(c.perf[COUNTER_cycles].reason, sysfile_not_supported);
    assert_ptr_equal(c.perf[COUNTER_instructions].reason, sysfile_not_supported);
    assert_ptr_equal(c.perf[COUNTER_task_clock].reason, sysfile_not_supported);
    assert_null(c.perf[COUNTER_page_faults].reason); /* none in the loop is what one would expect */
    assert_int_equal(c.perf[COUNTER_cycles].error, 0);
}

static void energy_domains_are_found_or_a_reason_is_given(void **state) {
    (void)state;
    Counters c = probed(TREE("intel_metal"), full_kernel);
    assert_null(c.energy_reason);
    assert_int_equal(c.n_energy, 3);
    assert_string_equal(c.energy[0].name, "package-0");
    assert_string_equal(c.energy[1].name, "dram");
    assert_string_equal(c.energy[2].name, "package-1");
    assert_null(c.energy[2].reason);
    c = probed(TREE("amd_vm"), full_kernel);
    assert_ptr_equal(c.energy_reason, sysfile_not_supported);
    assert_int_equal(c.n_energy, 0);
}

#ifdef HAVE_PAPI
static void papi_codes_have_reasons(void **state) {
    (void)state;
    assert_null(counters_reason_of_papi(0));
    assert_ptr_equal(counters_reason_of_papi(-25), sysfile_not_supported); /* component disabled: no PMU */
    assert_ptr_equal(counters_reason_of_papi(-7), sysfile_not_supported);  /* no such event */
    assert_ptr_equal(counters_reason_of_papi(-15), sysfile_no_permission);
    assert_string_equal(counters_reason_of_papi(-8), "multiplexed"); /* not beside the others */
}

static void papi_is_asked_twice_and_answers_alike(void **state) {
    (void)state;
    const Counters first = probed("", counters_perf_try), second = probed("", counters_perf_try);
    assert_null(first.papi_reason);
    assert_true(first.papi_version[0] != '\0' && first.n_components >= 1);
    assert_true((first.papi_instructions_reason == NULL) == (first.papi_instructions_code == 0));
    assert_int_equal(first.papi_hardware_counters, second.papi_hardware_counters);
    assert_int_equal(first.papi_instructions_code, second.papi_instructions_code);
    assert_int_equal(first.n_components, second.n_components);
}
#else
static void without_papi_it_is_said(void **state) {
    (void)state;
    const Counters c = probed(TREE("empty"), full_kernel);
    assert_ptr_equal(c.papi_reason, sysfile_not_supported);
    assert_non_null(strstr(c.papi_message, "without PAPI"));
}
#endif

static void this_machine_answers_every_event_with_yes_or_a_reason(void **state) {
    (void)state;
    const Counters c = probed("", counters_perf_try);
    for (int i = 0; i < N_COUNTERS; i++)
        if (c.perf[i].reason != NULL) assert_true(c.perf[i].reason == sysfile_not_supported || c.perf[i].reason == sysfile_no_permission);
}

static void json_is_true_or_null_with_a_reason(void **state) {
    (void)state;
    Error          err  = {0};
    json_t        *json = NULL;
    const Counters c    = probed(TREE("intel_metal"), kernel_without_pmu);
    assert_true(counters_to_json(&c, &json, &err));
    const json_t *perf = json_object_get(json, "perf");
    assert_true(json_is_null(json_object_get(perf, "instructions")));
    assert_string_equal(json_string_value(json_object_get(perf, "instructions_reason")), "not_supported");
    assert_true(json_is_true(json_object_get(perf, "page_faults")));
    assert_null(json_object_get(perf, "page_faults_reason"));
    assert_int_equal(json_array_size(json_object_get(json_object_get(json, "energy"), "domains")), 3);
    assert_true(json_is_object(json_object_get(json, "papi")));
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_that_count_are_available),
        cmocka_unit_test(missing_hardware_leaves_software_events),
        cmocka_unit_test(refusal_is_told_from_absence),
        cmocka_unit_test(a_counter_that_opens_but_stands_still_is_not_supported),
        cmocka_unit_test(energy_domains_are_found_or_a_reason_is_given),
#ifdef HAVE_PAPI
        cmocka_unit_test(papi_codes_have_reasons),
        cmocka_unit_test(papi_is_asked_twice_and_answers_alike),
#else
        cmocka_unit_test(without_papi_it_is_said),
#endif
        cmocka_unit_test(this_machine_answers_every_event_with_yes_or_a_reason),
        cmocka_unit_test(json_is_true_or_null_with_a_reason),
    };
    return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
