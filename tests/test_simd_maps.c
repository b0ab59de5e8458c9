/* Loops over maps, and attention under a policy, of every instruction set this CPU runs: the trials of test_backends.c, whose
 * bounds they must keep, with each set in turn. Batch norm is put together here as engine/backends/parallel_maps.c does. */
#include "engine/simd/maps.h"
#include "engine/simd/variants.h"
#include "tests/backend_trial.h"
#include "tests/backend_trial_maps.h"
#include "tests/backend_trial_policy.h"

static const SimdMaps    *set;               /* on trial */
static const SimdVariant *variant;

static void depthwise(const DepthwiseArgs *a) {
    const int64_t lines = a->B * map_side(a->height, a->stride), middle = lines / 2;
    set->depthwise(a, 0, middle);
    set->depthwise(a, middle, lines);
}

static void depthwise_backward(const DepthwiseArgs *a) {
    const int64_t middle = a->C / 2;
    for (int64_t i = 0; a->dx != NULL && a->dx_assign && i < a->B * a->height * a->width * a->C; i++) a->dx[i] = 0;
    set->depthwise_backward(a, 0, middle);
    set->depthwise_backward(a, middle, a->C);
}

static void batch_norm(const BatchNormArgs *a) {
    float       *sums = calloc((size_t)(3 * a->C + 1), sizeof *sums), *squares = sums + a->C, *scale = squares + a->C;
    const double M = a->M > 0 ? (double)a->M : 1;
    for (int64_t c = 0; !a->given && c < a->C; c++) {
        double sum = 0;
        for (int64_t m = 0; m < a->M; m++) sum += (double)a->x[m * a->C + c];
        a->mean[c] = (float)(sum / M);
    }
    if (!a->given) set->column_squares(a->M, a->C, a->x, a->mean, sums, squares);
    for (int64_t c = 0; c < a->C; c++) {
        if (!a->given) a->variance[c] = (float)fmax(0, (double)squares[c] / M - (double)sums[c] / M * (double)sums[c] / M);
        scale[c] = (float)((double)a->gain[c] / sqrt((double)a->variance[c] + (double)a->eps));
    }
    set->normalise(a->M, a->C, a->x, a->mean, scale, a->bias, a->y);
    free(sums);
}

static void batch_norm_backward(const BatchNormArgs *a) {
    float       *sums = calloc((size_t)(5 * a->C + 1), sizeof *sums), *dots = sums + a->C, *scale = dots + a->C, *level = scale + a->C,
                *slope = level + a->C;
    const double M = a->M > 0 ? (double)a->M : 1;
    set->column_dots(a->M, a->C, a->x, a->mean, a->dy, sums, dots);
    for (int64_t c = 0; c < a->C; c++) {
        const double inv_sd = 1 / sqrt((double)a->variance[c] + (double)a->eps);
        a->dbias[c] = (float)((double)a->dbias[c] + (double)sums[c]);
        a->dgain[c] = (float)((double)a->dgain[c] + (double)dots[c] * inv_sd);
        scale[c] = (float)((double)a->gain[c] * inv_sd);
        level[c] = a->given ? 0 : (float)((double)sums[c] / M);
        slope[c] = a->given ? 0 : (float)((double)dots[c] / M * inv_sd * inv_sd);
    }
    if (a->dx != NULL) set->normalise_backward(a->M, a->C, a->x, a->mean, scale, level, slope, a->dy, a->dx, a->dx_assign);
    free(sums);
}

static void policy_attention(const PolicyAttentionArgs *p) {
    for (int s = 0; s < p->a.n_sequences; s++)
        for (int h = 0; h < p->a.H; h++) variant->policy_attention(p, s, h);
}
static void policy_attention_backward(const PolicyAttentionArgs *p) {
    for (int s = 0; s < p->a.n_sequences; s++)
        for (int h = 0; h < p->a.H; h++) variant->policy_attention_backward(p, s, h);
}

static const struct { const char *name; void (*trial)(Trial *t); } trials[] = {
    {"depthwise", trial_depthwise}, {"depthwise_backward", trial_depthwise_backward}, {"batch_norm", trial_batch_norm},
    {"batch_norm_backward", trial_batch_norm_backward}, {"policy_attention", trial_policy_attention},
    {"policy_attention_backward", trial_policy_attention_backward}};
/* those that no instruction set has a loop of its own for */
static void (*const others[])(Trial *t) = {trial_conv_columns, trial_conv_columns_backward, trial_window_bias, trial_window_bias_backward,
                                           trial_pool_half, trial_pool_half_backward};

static const char *try_one(int at, bool spoil) {
    static Trial   t;
    static Backend one;
    one = backend_reference;
    one.name                      = "one set";
    one.depthwise                 = depthwise;
    one.depthwise_backward        = depthwise_backward;
    one.batch_norm                = batch_norm;
    one.batch_norm_backward       = batch_norm_backward;
    one.policy_attention          = policy_attention;
    one.policy_attention_backward = policy_attention_backward;
    t = (Trial){.run = {&backend_reference, &one, &one}, .spoil = spoil, .random_state = 77};
    trials[at].trial(&t);
    release(&t);
    assert_true(t.n_compared > 0);
    return t.found;
}

static void every_set_keeps_the_bounds_of_its_trials(void **state) {
    (void)state;
    (void)others;
    (void)below;
    int n_sets = 0;
    for (; (set = simd_maps_variant(n_sets)) != NULL; n_sets++) {
        variant = simd_variant_of(n_sets);
        for (size_t at = 0; at < sizeof trials / sizeof *trials; at++) {
            const char *found = try_one((int)at, false);
            if (found[0] != '\0') fail_msg("%s %s: %s", set->name, trials[at].name, found);
            if (try_one((int)at, true)[0] == '\0') fail_msg("%s %s: one output off by a thousandth passed", set->name, trials[at].name);
        }
        print_message("%s: %zu kernels\n", set->name, sizeof trials / sizeof *trials);
    }
    assert_true(n_sets >= 1);
    assert_null(simd_maps_variant(-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_set_keeps_the_bounds_of_its_trials)};
    return cmocka_run_group_tests_name("simd_maps", tests, NULL, NULL);
}
