/* Student's t against tables, and the mean of a few values. */
#include "harness/measure/student.h"

#include "engine/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* printed tables give five digits: half a unit of the last */
static void quantiles_are_those_of_the_tables(void **state) {
    (void)state;
    static const struct { int dof; double p, t, tolerance; } cases[] = {
        {1, 0.05, 12.7062, 5e-5}, {2, 0.05, 4.30265, 5e-6}, {3, 0.05, 3.18245, 5e-6}, {4, 0.05, 2.77645, 5e-6}, {9, 0.05, 2.26216, 5e-6},
        {10, 0.01, 3.16927, 5e-6}, {30, 0.05, 2.04227, 5e-6}, {2, 0.01, 9.92484, 5e-6}, {120, 0.05, 1.97993, 5e-6}, {1, 0.5, 1.0, 1e-9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double t = student_quantile(cases[i].p, cases[i].dof);
        if (fabs(t - cases[i].t) > cases[i].tolerance) fail_msg("dof %d, p %g: %.7g, the table has %.7g", cases[i].dof, cases[i].p, t, cases[i].t);
        assert_true(fabs(student_two_sided(t, cases[i].dof) - cases[i].p) < 1e-12);       /* one undoes the other */
    }
    assert_true(student_two_sided(0, 5) == 1);
    assert_true(student_two_sided(INFINITY, 5) == 0);
}

static void interval_and_p_of_a_mean_agree_about_the_expected_value(void **state) {
    (void)state;
    static const double x[] = {1, 2, 3, 4, 5};
    const Student s = student_mean(x, 5, 3);
    assert_true(s.mean == 3);
    assert_true(fabs(s.sd - sqrt(2.5)) < 1e-15);
    assert_true(fabs(s.high - (3 + 2.7764451 * sqrt(0.5))) < 1e-6);
    assert_true(fabs(s.p - 1) < 1e-12);
    assert_true(fabs(student_mean(x, 5, s.low).p - 0.05) < 1e-9);                          /* at an end of the interval */
    assert_true(student_mean(x, 5, s.low - 0.1).p < 0.05);
    assert_true(student_mean(x, 5, s.low + 0.1).p > 0.05);
}

static void one_value_has_no_interval_and_equal_ones_a_point(void **state) {
    (void)state;
    static const double x[] = {2, 2, 2};
    const Student one = student_mean(x, 1, 0), three = student_mean(x, 3, 0);
    assert_true(one.mean == 2 && isnan(one.low) && isnan(one.high) && isnan(one.p) && isnan(one.sd));
    assert_true(three.low == 2 && three.high == 2 && three.p == 0);
    assert_true(student_mean(x, 3, 2).p == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_the_tables),
        cmocka_unit_test(interval_and_p_of_a_mean_agree_about_the_expected_value),
        cmocka_unit_test(one_value_has_no_interval_and_equal_ones_a_point),
    };
    return cmocka_run_group_tests_name("student", tests, NULL, NULL);
}
