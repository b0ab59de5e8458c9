/* harness/machine and harness/blas_check on copied trees of several machines, and on the one at hand. */
#include "harness/blas_check.h"
#include "harness/machine.h"
#include "harness/sysfile.h"

#include <omp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TREE(name) "tests/golden/machine/" name

static Machine m; /* tens of kilobytes: not on the stack of every test */

static const BlasInfo haswell = {.library = "openblas", .config = "OpenBLAS 0.3.21 DYNAMIC_ARCH", .core = "Haswell", .threads = 2};
static const BlasInfo zen     = {.library = "openblas", .config = "OpenBLAS 0.3.21 DYNAMIC_ARCH", .core = "Zen", .threads = 2};
static const BlasInfo skylake = {.library = "openblas", .config = "OpenBLAS 0.3.21 DYNAMIC_ARCH", .core = "SkylakeX", .threads = 2};
static char *const    no_env[] = {NULL};

static void assert_text(const FactText *fact, const char *value) {
    assert_null(fact->reason);
    assert_string_equal(fact->value, value);
}
static void assert_count(const FactCount *fact, int64_t value) {
    assert_null(fact->reason);
    assert_true(fact->value == value);
}
static void assert_unknown(const char *reason) {
    assert_ptr_equal(reason, sysfile_not_supported);
}

static void virtual_machine_is_read_whole(void **state) {
    (void)state;
    machine_read(&m, TREE("amd_vm"), no_env, NULL);
    assert_text(&m.architecture, "x86_64");
    assert_text(&m.cpu_vendor, "AuthenticAMD");
    assert_text(&m.cpu_model, "AMD EPYC");
    assert_text(&m.cpu_family, "25");
    assert_text(&m.cpu_model_number, "17");
    assert_text(&m.cpu_stepping, "1");
    assert_text(&m.cpu_microcode, "0x1000065");
    assert_count(&m.cpus_online_count, 2);
    assert_count(&m.cpus_allowed_count, 2);
    assert_text(&m.cpus_allowed_list, "0-1");
    assert_ptr_equal(m.cgroup_cpu_quota_count.reason, sysfile_not_requested);
    assert_count(&m.cores_count, 2);
    assert_count(&m.sockets_count, 1);
    assert_count(&m.threads_per_core_count, 1);
    assert_text(&m.smt_control, "notsupported");
    assert_count(&m.numa_nodes_count, 1);
    assert_unknown(m.frequency_governor.reason);
    assert_unknown(m.turbo.reason);
    assert_count(&m.frequency_now_hz, 2596140000);
    assert_text(&m.clock_source, "tsc");
    assert_text(&m.hypervisor, "unnamed");
    assert_int_equal(machine_is_virtual(&m), 1);
    assert_text(&m.kernel_release, "6.1.0-28-cloud-amd64");
    assert_text(&m.hostname, "vm");
    assert_text(&m.huge_pages_transparent, "madvise");
    assert_text(&m.huge_pages_defrag, "madvise");
    assert_count(&m.page_size_bytes, 4096);
    assert_text(&m.address_randomisation, "full");
    assert_text(&m.address_randomisation_of_process, "on");
    assert_count(&m.memory_total_bytes, INT64_C(24684092) * 1024);
    assert_count(&m.swap_total_bytes, 0);
    assert_text(&m.limit_locked_memory, "8388608");
    assert_text(&m.limit_address_space, "unlimited");
    assert_text(&m.limit_open_files, "1024");
    assert_count(&m.perf_event_paranoid, 2);
    assert_true(m.simd[SIMD_avx2] && m.simd[SIMD_fma] && m.simd[SIMD_avx512f] && m.simd[SIMD_avx512_bf16] && m.simd[SIMD_avx512_vnni]);
    assert_false(m.simd[SIMD_avx_vnni] || m.simd[SIMD_amx_tile] || m.simd[SIMD_neon]);
    assert_int_equal(m.n_caches, 4);
    assert_int_equal(m.cache[3].level, 3);
    assert_string_equal(m.cache[3].type, "Unified");
    assert_true(m.cache[3].size_bytes == 32 * 1024 * 1024 && m.cache[3].shared_by_count == 2);
    assert_int_equal(m.n_mitigations, 3);
    assert_string_equal(m.mitigation[0].name, "meltdown");
    assert_string_equal(m.mitigation[0].value, "Not affected");
    assert_true(m.load.load_1min.reason == NULL && m.load.load_1min.value == 0.12);
    assert_true(m.load.cpu_waiting_ratio.value == 0.23 / 100);
    assert_count(&m.load.cpu_ticks_count, 6307 + 5008 + 140576 + 1089 + 185 + 262);
    assert_count(&m.load.steal_ticks_count, 262);
}

static void server_shows_sockets_threads_turbo_and_the_quota_of_a_group_above(void **state) {
    (void)state;
    machine_read(&m, TREE("intel_metal"), no_env, NULL);
    assert_text(&m.architecture, "x86_64"); /* an old kernel does not say; cpuinfo has the form of x86 */
    assert_text(&m.cpu_model, "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz");
    assert_count(&m.cpus_online_count, 8);
    assert_count(&m.cpus_allowed_count, 4);
    assert_count(&m.cores_count, 4);
    assert_count(&m.sockets_count, 2);
    assert_count(&m.threads_per_core_count, 2);
    assert_count(&m.numa_nodes_count, 2);
    assert_true(m.cgroup_cpu_quota_count.reason == NULL && m.cgroup_cpu_quota_count.value == 1.5);
    assert_text(&m.frequency_driver, "intel_pstate");
    assert_text(&m.frequency_governor, "powersave");
    assert_count(&m.frequency_max_hz, 3700000000);
    assert_count(&m.frequency_now_hz, 1000052000);
    assert_text(&m.turbo, "on");
    assert_text(&m.hypervisor, "none");
    assert_int_equal(machine_is_virtual(&m), 0);
    assert_text(&m.huge_pages_transparent, "always");
    assert_count(&m.huge_pages_reserved_count, 16);
    assert_text(&m.address_randomisation, "partial");
    assert_text(&m.address_randomisation_of_process, "off");
    assert_unknown(m.load.cpu_waiting_ratio.reason); /* a kernel without PSI */
    assert_count(&m.load.steal_ticks_count, 0);
    assert_int_equal(cpu_kernel_level(&m), KERNELS_AVX512);
}

static void arm_server_gets_names_from_its_numbers(void **state) {
    (void)state;
    machine_read(&m, TREE("arm_server"), no_env, NULL);
    assert_text(&m.architecture, "aarch64");
    assert_text(&m.cpu_vendor, "Arm");
    assert_text(&m.cpu_model, "Arm Neoverse-N1");
    assert_text(&m.cpu_model_number, "0xd0c");
    assert_text(&m.cpu_stepping, "r3p1");
    assert_unknown(m.cpu_microcode.reason);
    assert_true(m.simd[SIMD_neon] && m.simd[SIMD_neon_fp16] && m.simd[SIMD_neon_dot]);
    assert_false(m.simd[SIMD_sve] || m.simd[SIMD_avx2]);
    assert_text(&m.cpus_allowed_list, "1,3");
    assert_count(&m.cpus_allowed_count, 2);
    assert_count(&m.sockets_count, 1); /* the firmware numbers it -1 */
    assert_count(&m.page_size_bytes, 65536);
    assert_true(m.cgroup_cpu_quota_count.value == 2); /* its own path is not to be seen from inside */
    assert_text(&m.turbo, "off");
    assert_text(&m.frequency_governor, "performance");
    assert_unknown(m.hypervisor.reason);
    assert_int_equal(machine_is_virtual(&m), -1);
    assert_true(m.cache[2].size_bytes == 1024 * 1024);
    assert_int_equal(cpu_kernel_level(&m), KERNELS_NEON);
}

static void hybrid_laptop_shows_its_slower_cores(void **state) {
    (void)state;
    machine_read(&m, TREE("hybrid_laptop"), no_env, NULL);
    assert_text(&m.efficiency_cpus_list, "2-3");
    assert_count(&m.cores_count, 3);
    assert_count(&m.threads_per_core_count, 2);
    assert_true(m.simd[SIMD_avx_vnni] && !m.simd[SIMD_avx512f]);
    assert_int_equal(cpu_kernel_level(&m), KERNELS_AVX2);
    assert_count(&m.swap_free_bytes, INT64_C(1500000) * 1024);
    assert_true(m.load.cpu_waiting_ratio.value == 0.125);
}

/* Every fact that is read below the root must be null with a reason; those of the process itself stay. */
static void a_machine_that_tells_nothing_has_a_reason_for_everything(void **state) {
    (void)state;
    Error   err  = {0};
    json_t *json = NULL;
    machine_read(&m, TREE("empty"), no_env, NULL);
    static const char *const own[] = {"libc", "compiler", "build_flags", "build_kind"};
#define FACT(form, part, key, where)                                                       \
    {                                                                                      \
        bool of_process = false;                                                           \
        for (int i = 0; i < 4; i++) of_process = of_process || strcmp(own[i], #key) == 0;   \
        if (!of_process && m.key.reason == NULL) fail_msg("%s is known", #key);            \
    }
#include "harness/machine.def"
    assert_unknown(m.simd_reason);
    assert_unknown(m.load.load_1min.reason);
    assert_unknown(m.load.steal_ticks_count.reason);
    assert_true(machine_to_json(&m, &json, &err));
    assert_true(json_is_null(json_object_get(json, "cpu_model")));
    assert_string_equal(json_string_value(json_object_get(json, "cpu_model_reason")), "not_supported");
    assert_true(json_is_null(json_object_get(json, "simd")));
    assert_string_equal(json_string_value(json_object_get(json, "simd_reason")), "not_supported");
    json_decref(json);
    machine_read(&m, "/nowhere/at/all", no_env, NULL);
    assert_unknown(m.cpu_model.reason);
}

static void json_has_every_fact_with_a_value_or_a_reason(void **state) {
    (void)state;
    static const char *const trees[] = {TREE("amd_vm"), TREE("intel_metal"), TREE("arm_server"), TREE("hybrid_laptop"), TREE("empty"), ""};
    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++) {
        Error   err  = {0};
        json_t *json = NULL;
        machine_read(&m, trees[i], environ, &skylake);
        assert_true(machine_to_json(&m, &json, &err));
#define FACT(form, part, key, where)                                                                                \
    {                                                                                                               \
        const json_t *value = json_object_get(json, #key), *reason = json_object_get(json, #key "_reason");         \
        if (value == NULL || json_is_null(value) != json_is_string(reason)) fail_msg("%s of %s", #key, trees[i]);   \
    }
#include "harness/machine.def"
        assert_int_equal(json_string_length(json_object_get(json, "env_id")), 16);
        assert_true(json_is_object(json_object_get(json, "load")) && json_is_array(json_object_get(json, "caches")));
        json_decref(json);
    }
}

static void id_of(const char *root, char *const env[], const BlasInfo *blas, char id[MACHINE_ENV_ID_SIZE]) {
    Error err = {0};
    machine_read(&m, root, env, blas);
    assert_true(machine_env_id(&m, id, &err));
}

static void env_id_follows_what_moves_numbers_and_nothing_else(void **state) {
    (void)state;
    char        id[MACHINE_ENV_ID_SIZE], other[MACHINE_ENV_ID_SIZE];
    char *const forced[] = {"OPENBLAS_CORETYPE=Haswell", "HOME=/root", NULL};
    char *const home[]   = {"HOME=/root", NULL};
    Error       err      = {0};
    id_of(TREE("amd_vm"), no_env, &skylake, id);
    assert_int_equal(strlen(id), 16);
    assert_int_equal(strspn(id, "0123456789abcdef"), 16);
    id_of(TREE("amd_vm"), home, &skylake, other);
    assert_string_equal(id, other);
    strcpy(m.hostname.value, "elsewhere");
    m.load.load_1min.value = 7;
    m.memory_total_bytes.value += 4096;
    assert_true(machine_env_id(&m, other, &err));
    assert_string_equal(id, other);

    strcpy(m.cpu_microcode.value, "0x1000066");
    assert_true(machine_env_id(&m, other, &err));
    assert_string_not_equal(id, other);
    id_of(TREE("amd_vm"), no_env, &haswell, other);
    assert_string_not_equal(id, other);
    id_of(TREE("amd_vm"), forced, &skylake, other);
    assert_string_not_equal(id, other);
    id_of(TREE("intel_metal"), no_env, &skylake, other);
    assert_string_not_equal(id, other);
}

static void environment_keeps_what_matters_and_no_secrets(void **state) {
    (void)state;
    char *const env[] = {"PATH=/bin", "OMP_NUM_THREADS=4", "API_TOKEN=hush", "OPENBLAS_L2_SIZE=512", "OMP_NUM_THREADS=8", "MALLOC_ARENA_MAX=1",
                         "LD_PRELOAD=/lib/x.so\033[31m", "NOTHING", "LD_PRELOADED=1", NULL};
    machine_read(&m, TREE("amd_vm"), env, NULL);
    assert_int_equal(m.n_environment, 4);
    assert_string_equal(m.environment[0].name, "LD_PRELOAD");
    assert_string_equal(m.environment[0].value, "/lib/x.so?[31m"); /* no escape reaches a terminal */
    assert_string_equal(machine_environment(&m, "OMP_NUM_THREADS"), "4");
    assert_null(machine_environment(&m, "API_TOKEN"));
}

static void too_large_an_environment_is_cut_and_counted(void **state) {
    (void)state;
    static char names[70][32], longest[80];
    static char *env[73];
    for (int i = 0; i < 70; i++) {
        snprintf(names[i], sizeof names[i], "OMP_%d=1", i);
        env[i] = names[i];
    }
    snprintf(longest, sizeof longest, "OMP_%060d=1", 0);
    env[70] = longest;
    machine_read(&m, TREE("empty"), env, NULL);
    assert_int_equal(m.n_environment, 64);
    assert_int_equal(m.n_environment_left_out, 7);
}

static BlasVerdict verdict(const char *tree, char *const env[], const BlasInfo *blas, char text[512]) {
    machine_read(&m, tree, env, blas);
    return blas_check(&m, text, 512);
}

static void forced_narrow_kernels_are_told_from_the_library_s_own_choice(void **state) {
    (void)state;
    char        text[512];
    char *const forced[] = {"OPENBLAS_CORETYPE=haswell", NULL};
    char *const bogus[]  = {"OPENBLAS_CORETYPE=nonsense", NULL};
    assert_int_equal(verdict(TREE("amd_vm"), forced, &haswell, text), BLAS_FORCED_NARROW);
    assert_non_null(strstr(text, "OPENBLAS_CORETYPE=haswell"));
    assert_int_equal(verdict(TREE("amd_vm"), no_env, &zen, text), BLAS_NARROW);
    assert_int_equal(verdict(TREE("amd_vm"), bogus, &zen, text), BLAS_NARROW); /* the library passes over such a name */
    assert_int_equal(verdict(TREE("amd_vm"), no_env, &skylake, text), BLAS_FITS);
    assert_int_equal(verdict(TREE("hybrid_laptop"), forced, &haswell, text), BLAS_FITS);
    assert_int_equal(verdict(TREE("empty"), no_env, &haswell, text), BLAS_UNKNOWN);
    assert_int_equal(verdict(TREE("amd_vm"), no_env, NULL, text), BLAS_UNKNOWN);
    assert_int_equal(verdict(TREE("arm_server"), no_env, &haswell, text), BLAS_UNKNOWN);
    assert_int_equal(blas_core_level("Prescott"), KERNELS_SSE);
    assert_int_equal(blas_core_level("Sandybridge"), KERNELS_AVX);
    assert_int_equal(blas_core_level("COOPERLAKE"), KERNELS_AVX512);
    assert_int_equal(blas_core_level("neoversen1"), KERNELS_NEON);
    assert_int_equal(blas_core_level("Pentium"), KERNELS_UNKNOWN);
}

static void cpu_lists_are_counted_and_malformed_ones_refused(void **state) {
    (void)state;
    assert_int_equal(sysfile_list_count("0"), 1);
    assert_int_equal(sysfile_list_count("0-3,8,10-11"), 7);
    const char *bad[] = {"", "x", "3-1", "1,", "1-", "-1", "1--2", "1 2", "99999999999999999999", "0-99999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_int_equal(sysfile_list_count(bad[i]), -1);
}

static void lines_are_found_by_their_whole_key(void **state) {
    (void)state;
    char value[8];
    assert_true(sysfile_line("model name : x\nmodel : 17", "model", value, sizeof value));
    assert_string_equal(value, "17");
    assert_false(sysfile_line("model name : x\nmodels : 17\nmodel", "model", value, sizeof value));
    assert_true(sysfile_line("a:b\nkey:\tlonger than there is room", "key", value, sizeof value));
    assert_string_equal(value, "longer ");
    int64_t count;
    assert_true(sysfile_parse_count("42\n", &count) && count == 42);
    assert_false(sysfile_parse_count("42x", &count) || sysfile_parse_count("", &count) || sysfile_parse_count("9999999999999999999999", &count));
}

static void this_machine_can_be_read(void **state) {
    (void)state;
    machine_read(&m, "", environ, NULL);
    assert_null(m.cpus_allowed_count.reason);
    assert_true(m.cpus_allowed_count.value >= 1);
    assert_null(m.kernel_release.reason);
    assert_null(m.libc.reason);
    if (m.page_size_bytes.reason == NULL) assert_true(m.page_size_bytes.value == sysconf(_SC_PAGESIZE));
}

static void threads_are_counted_by_the_kernel(void **state) {
    (void)state;
    ThreadsUsed used;
    Error       err = {0};
    for (int n = 1; n <= 3; n++) {
        assert_true(machine_threads_used(&used, n, &err));
        assert_int_equal(used.requested, n);
        assert_int_equal(used.team, n);
        assert_int_equal(used.distinct, n);
        assert_in_range(used.cpus, 1, n);
        assert_true(used.in_process == 0 || used.in_process >= n);
    }
}

static void a_team_that_is_smaller_than_requested_is_noticed(void **state) {
    (void)state;
    ThreadsUsed used;
    Error       err     = {0};
    const int   dynamic = omp_get_max_active_levels();
    omp_set_max_active_levels(0); /* every region then has one thread */
    assert_true(machine_threads_used(&used, 2, &err));
    omp_set_max_active_levels(dynamic);
    assert_int_equal(used.requested, 2);
    assert_int_equal(used.distinct, 1);
}

static int allowed_now(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0; /* 0: more CPUs than a plain set holds */
}

static void pinned_threads_have_one_cpu_each_and_get_all_back(void **state) {
    (void)state;
    const int before = allowed_now();
    int       n, n_one = 0;
    Error     err = {0};
    if (before == 0 || omp_get_proc_bind() != omp_proc_bind_false) skip();
    omp_set_num_threads(2);
    assert_true(machine_pin_threads(true, &n, &err));
    assert_int_equal(n, 2);
#pragma omp parallel num_threads(2) reduction(+ : n_one)
    n_one += allowed_now() == 1;
    assert_int_equal(n_one, 2);
    ThreadsUsed used;
    assert_true(machine_threads_used(&used, 2, &err));
    assert_int_equal(used.cpus, before >= 2 ? 2 : 1); /* pinned apart, if there is room */
    assert_true(machine_pin_threads(false, &n, &err));
    assert_int_equal(n, 0);
    int n_whole = 0;
#pragma omp parallel num_threads(2) reduction(+ : n_whole)
    n_whole += allowed_now() == before;
    assert_int_equal(n_whole, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(virtual_machine_is_read_whole),
        cmocka_unit_test(server_shows_sockets_threads_turbo_and_the_quota_of_a_group_above),
        cmocka_unit_test(arm_server_gets_names_from_its_numbers),
        cmocka_unit_test(hybrid_laptop_shows_its_slower_cores),
        cmocka_unit_test(a_machine_that_tells_nothing_has_a_reason_for_everything),
        cmocka_unit_test(json_has_every_fact_with_a_value_or_a_reason),
        cmocka_unit_test(env_id_follows_what_moves_numbers_and_nothing_else),
        cmocka_unit_test(environment_keeps_what_matters_and_no_secrets),
        cmocka_unit_test(too_large_an_environment_is_cut_and_counted),
        cmocka_unit_test(forced_narrow_kernels_are_told_from_the_library_s_own_choice),
        cmocka_unit_test(cpu_lists_are_counted_and_malformed_ones_refused),
        cmocka_unit_test(lines_are_found_by_their_whole_key),
        cmocka_unit_test(this_machine_can_be_read),
        cmocka_unit_test(threads_are_counted_by_the_kernel),
        cmocka_unit_test(a_team_that_is_smaller_than_requested_is_noticed),
        cmocka_unit_test(pinned_threads_have_one_cpu_each_and_get_all_back),
    };
    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
