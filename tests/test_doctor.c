/* harness/doctor: what it says of machines that lie in copied trees. */
#include "harness/doctor.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define TREE(name) "tests/golden/machine/" name

static Machine  machine;
static Counters counters;
static Doctor   doctor;

static int all_count(uint32_t type, uint64_t config, uint64_t *count) {
    (void)type;
    (void)config;
    *count = 1000;
    return 0;
}
static int no_hardware(uint32_t type, uint64_t config, uint64_t *count) {
    return type == PERF_TYPE_HARDWARE ? ENOENT : all_count(type, config, count);
}
static int forbidden(uint32_t type, uint64_t config, uint64_t *count) {
    return type == PERF_TYPE_HARDWARE ? EACCES : all_count(type, config, count);
}

static const BlasInfo cooperlake = {.library = "openblas", .config = "c", .core = "Cooperlake"};
static const BlasInfo haswell    = {.library = "openblas", .config = "c", .core = "Haswell"};
static const BlasInfo zen        = {.library = "openblas", .config = "c", .core = "Zen"};
static char *const    no_env[]   = {NULL};

static DoctorFacts facts_of(const char *tree, char *const env[], const BlasInfo *blas, PerfTry *perf) {
    machine_read(&machine, tree, env, blas);
    counters_probe(&counters, tree, perf);
    return (DoctorFacts){.machine = &machine, .counters = &counters, .clock_overhead_ns = 40, .own_kernels = "avx512", .n_pinned = 2,
                         .threads = {.requested = 2, .team = 2, .distinct = 2, .cpus = 2, .in_process = 2}};
}

static void examine(const char *tree, char *const env[], const BlasInfo *blas, PerfTry *perf) {
    const DoctorFacts facts = facts_of(tree, env, blas, perf);
    doctor_examine(&doctor, &facts);
}

static DoctorMark mark_of(const char *topic) {
    const DoctorFinding *f = doctor_find(&doctor, topic);
    if (f == NULL) fail_msg("nothing is said of %s", topic);
    return f->mark;
}

static bool says(const char *topic, const char *words) {
    const DoctorFinding *f = doctor_find(&doctor, topic);
    return f != NULL && (strstr(f->text, words) != NULL || strstr(f->advice, words) != NULL);
}

static void quiet_virtual_machine_gets_notes_and_no_warning_but_the_build(void **state) {
    (void)state;
    examine(TREE("amd_vm"), no_env, &cooperlake, no_hardware);
    for (int i = 0; i < doctor.n_findings; i++)
        if (doctor.finding[i].mark >= DOCTOR_WARN && strcmp(doctor.finding[i].topic, "build") != 0) /* tests may be built with sanitizers */
            fail_msg("%s: %s", doctor.finding[i].topic, doctor.finding[i].text);
    assert_int_equal(mark_of("blas"), DOCTOR_OK);
    assert_int_equal(mark_of("simd"), DOCTOR_OK);
    assert_int_equal(mark_of("threads"), DOCTOR_OK);
    assert_int_equal(mark_of("hardware_counters"), DOCTOR_NOTE);
    assert_true(says("hardware_counters", "not_supported") && says("hardware_counters", "virtual machine"));
    assert_int_equal(mark_of("software_counters"), DOCTOR_OK);
    assert_int_equal(mark_of("virtual"), DOCTOR_NOTE);
    assert_int_equal(mark_of("governor"), DOCTOR_NOTE);
    assert_int_equal(mark_of("energy"), DOCTOR_NOTE);
    assert_int_equal(mark_of("cgroup"), DOCTOR_OK);
    assert_int_equal(mark_of("load"), DOCTOR_OK);
    assert_int_equal(mark_of("swap"), DOCTOR_OK);
}

static void kernels_forced_by_the_environment_are_a_warning_with_the_way_out(void **state) {
    (void)state;
    char *const env[] = {"OPENBLAS_CORETYPE=Haswell", "OPENBLAS_L2_SIZE=512", NULL};
    examine(TREE("amd_vm"), env, &haswell, no_hardware);
    assert_int_equal(mark_of("blas"), DOCTOR_WARN);
    assert_true(says("blas", "--blas-core auto"));
    assert_int_equal(mark_of("blas_tiles"), DOCTOR_WARN);
    assert_int_equal(mark_of("environment"), DOCTOR_NOTE);
    examine(TREE("amd_vm"), no_env, &zen, no_hardware);
    assert_int_equal(mark_of("blas"), DOCTOR_NOTE);
    assert_true(says("blas", "--blas-core SkylakeX"));
}

static void threads_that_sleep_between_operations_are_a_warning(void **state) {
    (void)state;
    static char *const env[][2] = {{"OMP_WAIT_POLICY=PASSIVE", NULL}, {"GOMP_SPINCOUNT=0", NULL}, {"KMP_BLOCKTIME=0", NULL}};
    static const char *const unset[] = {"unset OMP_WAIT_POLICY", "unset GOMP_SPINCOUNT", "unset KMP_BLOCKTIME"};
    for (int i = 0; i < 3; i++) {
        examine(TREE("amd_vm"), env[i], &cooperlake, no_hardware);
        assert_int_equal(mark_of("waiting"), DOCTOR_WARN);
        assert_true(says("waiting", unset[i]));
    }
    char *const active[] = {"OMP_WAIT_POLICY=active", NULL};
    examine(TREE("amd_vm"), active, &cooperlake, no_hardware);
    for (int i = 0; i < doctor.n_findings; i++) assert_string_not_equal(doctor.finding[i].topic, "waiting");
}

static void own_loops_below_the_cpu_are_a_warning(void **state) {
    (void)state;
    char *const env[] = {"MORBENCH_SIMD=avx2", NULL};
    DoctorFacts facts = facts_of(TREE("amd_vm"), env, &cooperlake, all_count);
    facts.own_kernels = "avx2";
    doctor_examine(&doctor, &facts);
    assert_int_equal(mark_of("simd"), DOCTOR_WARN);
    assert_true(says("simd", "MORBENCH_SIMD"));
    facts             = facts_of(TREE("amd_vm"), no_env, &cooperlake, all_count);
    facts.own_kernels = "generic";
    doctor_examine(&doctor, &facts);
    assert_true(says("simd", "ARCH=native"));
}

static void server_is_told_of_its_quota_threads_and_turbo(void **state) {
    (void)state;
    examine(TREE("intel_metal"), no_env, &cooperlake, forbidden);
    assert_int_equal(mark_of("cgroup"), DOCTOR_WARN);
    assert_true(says("cgroup", "1.50 CPUs") && says("cgroup", "--threads 1"));
    assert_int_equal(mark_of("smt"), DOCTOR_NOTE);
    assert_int_equal(mark_of("turbo"), DOCTOR_NOTE);
    assert_true(says("turbo", "no_turbo"));
    assert_int_equal(mark_of("governor"), DOCTOR_NOTE);
    assert_true(says("hardware_counters", "perf_event_paranoid=1 (it is 3)"));
    assert_int_equal(mark_of("virtual"), DOCTOR_OK);
    assert_int_equal(mark_of("energy"), DOCTOR_OK);
    assert_int_equal(mark_of("load"), DOCTOR_WARN); /* 3.5, and no PSI to say that nobody waits */
}

static void laptop_is_told_of_slow_cores_load_memory_and_clock(void **state) {
    (void)state;
    DoctorFacts facts = facts_of(TREE("hybrid_laptop"), no_env, &haswell, all_count);
    facts.own_kernels = "avx2";
    doctor_examine(&doctor, &facts);
    static const char *const warned[] = {"hybrid", "load", "memory", "clock", "governor"};
    for (size_t i = 0; i < 5; i++) assert_int_equal(mark_of(warned[i]), DOCTOR_WARN);
    assert_int_equal(mark_of("blas"), DOCTOR_OK);
    assert_int_equal(mark_of("hardware_counters"), DOCTOR_OK);
    assert_int_equal(mark_of("swap"), DOCTOR_NOTE);
    assert_int_equal(mark_of("huge_pages"), DOCTOR_NOTE);
    assert_true(says("turbo", "cpufreq/boost"));
}

static void threads_that_did_not_run_or_share_cpus_are_a_warning(void **state) {
    (void)state;
    DoctorFacts facts = facts_of(TREE("amd_vm"), no_env, &cooperlake, all_count);
    facts.threads     = (ThreadsUsed){.requested = 4, .team = 2, .distinct = 2, .cpus = 2};
    doctor_examine(&doctor, &facts);
    assert_int_equal(mark_of("threads"), DOCTOR_WARN);
    assert_true(says("threads", "4 threads requested, 2 ran"));
    facts.threads  = (ThreadsUsed){.requested = 4, .team = 4, .distinct = 4, .cpus = 2};
    facts.n_pinned = 0;
    doctor_examine(&doctor, &facts);
    assert_int_equal(mark_of("threads"), DOCTOR_WARN);
    assert_true(says("threads", "--threads 2"));
    assert_int_equal(mark_of("affinity"), DOCTOR_WARN);
}

static void a_machine_that_tells_nothing_can_still_run(void **state) {
    (void)state;
    examine(TREE("empty"), no_env, NULL, forbidden);
    assert_int_equal(doctor_count(&doctor, DOCTOR_FAIL), 0);
    static const char *const noted[] = {"blas", "cgroup", "governor", "turbo", "virtual", "load", "memory", "huge_pages", "energy"};
    for (size_t i = 0; i < sizeof noted / sizeof noted[0]; i++) assert_int_equal(mark_of(noted[i]), DOCTOR_NOTE);
}

static void every_warning_says_what_to_do(void **state) {
    (void)state;
    static const char *const trees[] = {TREE("amd_vm"), TREE("intel_metal"), TREE("arm_server"), TREE("hybrid_laptop"), TREE("empty")};
    char *const              env[]   = {"OPENBLAS_CORETYPE=Haswell", "OPENBLAS_L2_SIZE=512", "LD_PRELOAD=x.so", NULL};
    int                      n       = 0;
    for (size_t i = 0; i < 5; i++) {
        examine(trees[i], env, &haswell, forbidden);
        for (int k = 0; k < doctor.n_findings; k++) {
            const DoctorFinding *f = &doctor.finding[k];
            assert_true(strchr(f->text, '\n') == NULL && strchr(f->advice, '\n') == NULL);
            if (f->mark < DOCTOR_WARN) continue;
            n++;
            if (f->advice[0] == '\0') fail_msg("%s: %s", f->topic, f->text);
        }
    }
    assert_true(n >= 8);
}

static void events_are_named_and_a_counter_that_lies_is_a_warning(void **state) {
    (void)state;
    static Doctor d;
    DoctorFacts   facts = facts_of(TREE("amd_vm"), no_env, &cooperlake, all_count);
    doctor_examine(&d, &facts);
    assert_null(doctor_find(&d, "events"));                  /* not tried */
    facts.events_counted = "task_clock_ns published_macs_count";
    facts.events_missing = "cycles_count (not_supported)";
    facts.loop_ratio     = NAN;
    doctor_examine(&d, &facts);
    const DoctorFinding *f = doctor_find(&d, "events");
    assert_non_null(strstr(f->text, "bench counts task_clock_ns published_macs_count; not cycles_count (not_supported)"));
    assert_int_equal(f->mark, DOCTOR_NOTE);
    assert_string_equal(f->advice, "");
    facts.events_missing = "";
    facts.loop_ratio     = 1.019;
    doctor_examine(&d, &facts);
    assert_int_equal(doctor_find(&d, "events")->mark, DOCTOR_OK);
    facts.loop_ratio = 1.021;
    doctor_examine(&d, &facts);
    assert_int_equal(doctor_find(&d, "events")->mark, DOCTOR_WARN);
    facts.loop_ratio     = 1;
    facts.events_counted = "task_clock_ns";
    doctor_examine(&d, &facts);
    assert_non_null(strstr(doctor_find(&d, "events")->advice, "libsde"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_named_and_a_counter_that_lies_is_a_warning),
        cmocka_unit_test(quiet_virtual_machine_gets_notes_and_no_warning_but_the_build),
        cmocka_unit_test(kernels_forced_by_the_environment_are_a_warning_with_the_way_out),
        cmocka_unit_test(threads_that_sleep_between_operations_are_a_warning),
        cmocka_unit_test(own_loops_below_the_cpu_are_a_warning),
        cmocka_unit_test(server_is_told_of_its_quota_threads_and_turbo),
        cmocka_unit_test(laptop_is_told_of_slow_cores_load_memory_and_clock),
        cmocka_unit_test(threads_that_did_not_run_or_share_cpus_are_a_warning),
        cmocka_unit_test(a_machine_that_tells_nothing_can_still_run),
        cmocka_unit_test(every_warning_says_what_to_do),
    };
    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
