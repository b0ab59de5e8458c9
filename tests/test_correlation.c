/* Pearson's correlation and ranks against hand-made cases and a formula of its own. */
#include "harness/measure/correlation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_line_correlates_fully_whatever_its_slope(void **state) {
    (void)state;
    const double x[] = {1, 2, 3, 7}, up[] = {-3, -1, 1, 9}, down[] = {4, 3.5, 3, 1};
    assert_true(fabs(correlation_pearson(x, up, 4) - 1) < 1e-15);
    assert_true(fabs(correlation_pearson(x, down, 4) + 1) < 1e-15);
}

static void a_hand_worked_case_comes_out(void **state) {
    (void)state;
    /* means 3 and 4; deviations -2 -1 0 1 2 and -2 0 1 -1 2: products 4 0 0 -1 4 = 7, squares 10 and 10 */
    const double x[] = {1, 2, 3, 4, 5}, y[] = {2, 4, 5, 3, 6};
    assert_true(fabs(correlation_pearson(x, y, 5) - 0.7) < 1e-15);
}

static void a_constant_has_no_correlation_even_where_its_mean_is_rounded(void **state) {
    (void)state;
    const double x[] = {0.1, 0.1, 0.1}, y[] = {1, 2, 3};
    assert_true(isnan(correlation_pearson(x, y, 3)));
    assert_true(isnan(correlation_pearson(y, x, 3)));
    assert_true(isnan(correlation_pearson(y, y, 1)));
}

static void tied_values_share_the_mean_of_their_ranks(void **state) {
    (void)state;
    const double x[] = {30, 10, 20, 10, 20, 20}, wanted[] = {6, 1.5, 4, 1.5, 4, 4};
    int          order[6];
    double       rank[6];
    correlation_ranks(x, 6, order, rank);
    for (int i = 0; i < 6; i++) assert_true(rank[i] == wanted[i]);
}

/* Without ties rho is 1 - 6 sum d^2 / (n (n^2 - 1)), which needs no means. */
static void ranks_give_spearmans_rho(void **state) {
    (void)state;
    enum { N = 40 };
    double x[N], y[N], a[N], b[N], squares = 0;
    int    order[N];
    for (int i = 0; i < N; i++) {
        x[i] = (i * 17) % 41;
        y[i] = exp(0.1 * ((i * 23) % 41)) + (i % 3 == 0 ? 40 : 0.01 * i);
    }
    correlation_ranks(x, N, order, a);
    correlation_ranks(y, N, order, b);
    for (int i = 0; i < N; i++) squares += (a[i] - b[i]) * (a[i] - b[i]);
    assert_true(fabs(correlation_pearson(a, b, N) - (1 - 6 * squares / (N * (N * N - 1.0)))) < 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_correlates_fully_whatever_its_slope),
        cmocka_unit_test(a_hand_worked_case_comes_out),
        cmocka_unit_test(a_constant_has_no_correlation_even_where_its_mean_is_rounded),
        cmocka_unit_test(tied_values_share_the_mean_of_their_ranks),
        cmocka_unit_test(ranks_give_spearmans_rho),
    };
    return cmocka_run_group_tests_name("correlation", tests, NULL, NULL);
}
