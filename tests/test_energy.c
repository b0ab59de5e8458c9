/* Energy counters below a pretended /sys that a test writes: packages, wrapping, refusal, windows too short. */
#include "harness/measure/energy.h"
#include "harness/sysfile.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/test_energy.XXXXXX";
static uint64_t time_ns;
static uint64_t fake_now(void *self) { (void)self; return time_ns; }
static const Clock clock_fake = {.now_ns = fake_now};

static void put(int package, const char *file, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "mkdir -p '%s/sys/class/powercap/intel-rapl:%d'", root, package);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:%d/%s", root, package, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int machine(void **state) {
    (void)state;
    put(0, "name", "package-0\n");
    put(0, "energy_uj", "1000000\n");
    put(0, "max_energy_range_uj", "262143328850\n");
    put(1, "name", "package-1\n");
    put(1, "energy_uj", "262143000000\n");
    put(1, "max_energy_range_uj", "262143328850\n");
    put(2, "name", "psys\n");                                /* the whole board: not a package, would count twice */
    put(2, "energy_uj", "5\n");
    put(2, "max_energy_range_uj", "10\n");
    time_ns = 5;
    return 0;
}

static double used(const char *first, const char *second, uint64_t elapsed_ns, const char **reason) {
    Energy        e;
    EnergyReading from, to;
    energy_open(&e, root);
    energy_read(&from, &e, clock_fake);
    if (first != NULL) put(0, "energy_uj", first);
    if (second != NULL) put(1, "energy_uj", second);
    time_ns += elapsed_ns;
    energy_read(&to, &e, clock_fake);
    return energy_between(&e, &from, &to, reason);
}

static void packages_are_summed_and_a_wrap_goes_on(void **state) {
    (void)state;
    const char *reason;
    Energy      e;
    energy_open(&e, root);
    assert_int_equal(e.n_packages, 2);
    /* 2.5 J; and 328850 uJ to the end of the range, one step to 0, then 671149 more: 1 J */
    assert_true(fabs(used("3500000", "671149", 2000000000, &reason) - 3.5) < 1e-9);
    assert_null(reason);
}

static void a_window_under_a_second_has_no_energy(void **state) {
    (void)state;
    const char *reason;
    assert_true(isnan(used("3500000", NULL, 999999999, &reason)));
    assert_ptr_equal(reason, sysfile_not_supported);
    assert_true(!isnan(used("4500000", NULL, 1000000000u, &reason)));
}

static void a_counter_beyond_its_own_range_is_no_counter(void **state) {
    (void)state;
    const char *reason;
    assert_true(isnan(used("262143328851", NULL, 2000000000, &reason)));
    assert_string_equal(reason, "overflow");
}

static void a_counter_that_vanishes_or_holds_no_number_has_a_reason(void **state) {
    (void)state;
    const char *reason;
    assert_true(isnan(used("", NULL, 2000000000, &reason)));
    assert_ptr_equal(reason, sysfile_not_supported);
}

static void a_machine_without_such_counters_says_so(void **state) {
    (void)state;
    Energy        e;
    EnergyReading r;
    const char   *reason;
    energy_open(&e, "tests/golden/machine/empty");
    assert_int_equal(e.n_packages, 0);
    energy_read(&r, &e, clock_fake);
    assert_true(isnan(energy_between(&e, &r, &r, &reason)));
    assert_ptr_equal(reason, sysfile_not_supported);
}

static int begin(void **state) { (void)state; return mkdtemp(root) == NULL; }
static int end(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(packages_are_summed_and_a_wrap_goes_on, machine),
        cmocka_unit_test_setup(a_window_under_a_second_has_no_energy, machine),
        cmocka_unit_test_setup(a_counter_beyond_its_own_range_is_no_counter, machine),
        cmocka_unit_test_setup(a_counter_that_vanishes_or_holds_no_number_has_a_reason, machine),
        cmocka_unit_test(a_machine_without_such_counters_says_so),
    };
    return cmocka_run_group_tests_name("energy", tests, begin, end);
}
