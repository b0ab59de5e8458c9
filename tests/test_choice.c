/* harness/choice on made-up runs: which model is said to be worth using, and what is not said. */
#include "tests/report_fixture.h"

#include "harness/report/choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char weights[8][65];

static int make_dir(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) memset(weights[i], "abcdef01"[i], 64);
    snprintf(dir, sizeof dir, "/tmp/morbench-choice-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void good(bool ok, const Error *err) {
    if (!ok) fail_msg("%s %s", err->field, err->message);
}

static void put(const FakeRun *run, const char *below) {
    Error err = {0};
    char  path[192];
    snprintf(path, sizeof path, "%s/%s", dir, below);
    good(fake_run(run, path, &err), &err);
}

/* eval and bench of a model */
static void put_model(const char *below, const char *preset, int w, int top1, double macs, double ms) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s_eval", below, preset);
    if (top1 > 0) put(&(FakeRun){.kind = "eval", .preset = preset, .weights = weights[w], .macs = macs, .top1 = top1, .warn = N_WARNINGS}, path);
    snprintf(path, sizeof path, "%s/%s_bench", below, preset);
    if (ms > 0) put(&(FakeRun){.kind = "bench", .preset = preset, .weights = weights[w], .macs = macs, .batch = 1, .latency_ms = ms, .warn = N_WARNINGS}, path);
}

static void make(Report *r, Choices *c, const char *below) {
    Error err = {0};
    char  path[192];
    snprintf(path, sizeof path, "%s/%s", dir, below);
    good(report_read(r, path, &err), &err);
    good(choices_make(c, r, &err), &err);
}

static const Candidate *called(const Report *r, const Choice *c, const char *label) {
    for (int i = 0; i < c->n; i++)
        if (strcmp(r->model[c->candidate[i].model].label, label) == 0) return &c->candidate[i];
    fail_msg("no candidate %s", label);
    return NULL;
}

static void the_front_is_who_none_beats_and_the_beaten_know_by_whom(void **state) {
    (void)state;
    put_model("front", "best", 0, 9000, 40e6, 4);
    put_model("front", "fast", 1, 8800, 20e6, 1);
    put_model("front", "beaten", 2, 8700, 30e6, 2);
    put_model("front", "untimed", 3, 8600, 10e6, 0);
    Report  r;
    Choices all;
    make(&r, &all, "front");
    assert_int_equal(all.n, 1);
    const Choice *c = &all.choice[0];
    assert_int_equal(c->n, 4);
    assert_string_equal(r.model[c->candidate[0].model].label, "best");
    const Candidate *beaten = called(&r, c, "beaten"), *untimed = called(&r, c, "untimed"), *fast = called(&r, c, "fast");
    assert_true(called(&r, c, "best")->efficient && fast->efficient && untimed->efficient);
    assert_false(beaten->efficient);
    assert_ptr_equal(&c->candidate[beaten->beaten_by], fast);
    assert_false(beaten->front[COST_LATENCY] || beaten->front[COST_MACS]);
    assert_true(untimed->front[COST_MACS]);
    assert_false(untimed->front[COST_LATENCY]);                       /* nobody knows */
    assert_true(isnan(untimed->cost[COST_LATENCY]));
    assert_ptr_equal(&c->candidate[c->least[COST_LATENCY]], fast);
    assert_ptr_equal(&c->candidate[c->least[COST_MACS]], untimed);
    choices_free(&all);
    report_free(&r);
}

static void trainings_that_differ_in_their_seed_are_one_model_with_students_interval(void **state) {
    (void)state;
    FakeRun run = {.kind = "train", .preset = "lucky", .macs = 4e6, .epochs = 2, .warn = N_WARNINGS};
    static const int top1[] = {8700, 8800, 8900};
    for (int seed = 0; seed < 3; seed++) {
        char path[32];
        snprintf(path, sizeof path, "seeds/s%d", seed);
        run.seed = seed, run.top1 = top1[seed], run.weights = weights[seed];
        put(&run, path);
    }
    run.epochs = 3, run.seed = 9, run.weights = weights[3], run.top1 = 8000;     /* another recipe: not a repeat */
    put(&run, "seeds/longer");
    put(&(FakeRun){.kind = "bench", .preset = "lucky", .weights = weights[1], .macs = 4e6, .batch = 1, .latency_ms = 2, .warn = N_WARNINGS}, "seeds/bench");
    Report  r;
    Choices all;
    make(&r, &all, "seeds");
    const Choice *c = &all.choice[0];
    assert_int_equal(c->n, 2);
    const Candidate *x = &c->candidate[0];
    assert_int_equal(x->n_seeds, 3);
    assert_true(fabs(x->top1 - 0.88) < 1e-12);
    /* sd 0.01, t(2) 4.3027, root 3: rounding of a double, no more */
    assert_true(fabs(x->top1_high - (0.88 + 4.302652730*0.01/sqrt(3))) < 1e-9);
    assert_non_null(x->timing);                                       /* of any of its seeds */
    assert_int_equal(c->candidate[1].n_seeds, 1);
    assert_true(c->candidate[1].top1_low < 0.8 && c->candidate[1].top1_high > 0.8);
    choices_free(&all);
    report_free(&r);
}

static void tests_with_other_preprocessing_and_trainings_with_other_kernels_are_not_averaged(void **state) {
    (void)state;
    const char *kernels[] = {NULL, "{\"backend\": \"packed\"}", "{\"backend\": \"openblas\"}"};
    for (int k = 0; k < 3; k++) {
        char path[32];
        snprintf(path, sizeof path, "alike/t%d", k);
        put(&(FakeRun){.kind = "train", .preset = "m", .weights = weights[k], .macs = 3e6, .top1 = 7000 + k, .epochs = 2, .seed = k, .recursions = 3, .settings = kernels[k],
                       .warn = N_WARNINGS}, path);
        snprintf(path, sizeof path, "alike/e%d", k);
        put(&(FakeRun){.kind = "eval", .preset = "m", .weights = weights[k], .macs = 2e6, .top1 = 5000 + k, .recursions = 2, .preprocess = k == 2 ? "other" : NULL,
                       .warn = N_WARNINGS}, path);
    }
    Report  r;
    Choices all;
    make(&r, &all, "alike");
    int n_trained = 0, n_tested = 0;
    for (int i = 0; i < all.choice[0].n; i++) {
        const Candidate *x    = &all.choice[0].candidate[i];
        const bool       eval = strstr(x->label, "trained with") != NULL;
        /* the one that does not name its kernels goes with either, these not with each other */
        assert_true(x->n_seeds <= 2);
        n_trained += !eval;
        n_tested  += eval;
    }
    assert_int_equal(n_trained, 2);
    assert_int_equal(n_tested, 2);
    choices_free(&all);
    report_free(&r);
}

static void models_without_an_accuracy_stand_apart_and_invalid_ones_nowhere(void **state) {
    (void)state;
    put_model("apart", "known", 0, 9000, 40e6, 4);
    put_model("apart", "fastest", 1, 0, 1e6, 0.1);
    put(&(FakeRun){.kind = "bench", .preset = "invalid", .weights = weights[2], .macs = 1e6, .batch = 1, .latency_ms = 0.01, .warn = WARN_threads_short},
        "apart/invalid");
    Report  r;
    Choices all;
    make(&r, &all, "apart");
    assert_int_equal(all.n, 2);
    assert_non_null(all.choice[0].data);
    assert_null(all.choice[1].data);
    assert_int_equal(all.choice[0].n, 1);
    assert_int_equal(all.choice[1].n, 1);
    assert_string_equal(r.model[all.choice[1].candidate[0].model].label, "fastest");
    choices_free(&all);
    report_free(&r);
}

static void times_are_of_the_condition_most_models_share(void **state) {
    (void)state;
    put_model("condition", "a", 0, 9000, 40e6, 4);
    put_model("condition", "b", 1, 8000, 20e6, 2);
    put(&(FakeRun){.kind = "bench", .preset = "a", .weights = weights[0], .macs = 40e6, .batch = 16, .latency_ms = 40, .warn = N_WARNINGS}, "condition/a16");
    put(&(FakeRun){.kind = "bench", .preset = "b", .weights = weights[1], .macs = 20e6, .batch = 16, .latency_ms = 20, .warn = N_WARNINGS}, "condition/b16");
    put(&(FakeRun){.kind = "bench", .preset = "b", .weights = weights[1], .macs = 20e6, .batch = 64, .latency_ms = 60, .warn = N_WARNINGS}, "condition/b64");
    Report  r;
    Choices all;
    make(&r, &all, "condition");
    const Choice *c = &all.choice[0];
    assert_true(report_number(c->condition->run, "/metrics/batch_size_count") == 1);
    assert_true(report_number(c->bulk->run, "/metrics/batch_size_count") == 16);
    assert_true(report_number(c->candidate[1].bulk->run, "/metrics/batch_size_count") == 16);
    choices_free(&all);
    report_free(&r);
}

static void overlapping_intervals_are_not_told_apart(void **state) {
    (void)state;
    const Candidate a = {.top1_low = 0.89, .top1_high = 0.91, .cost = {10, 5, 5}, .cost_low = {9, 5, 5}, .cost_high = {11, 5, 5}};
    const Candidate b = {.top1_low = 0.90, .top1_high = 0.92, .cost = {12, 6, 5}, .cost_low = {10.5, 6, 5}, .cost_high = {13, 6, 5}};
    const Candidate c = {.top1_low = 0.95, .top1_high = 0.96, .cost = {20, 6, 5}, .cost_low = {19, 6, 5}, .cost_high = {21, 6, 5}};
    assert_true(choice_accuracies_overlap(&a, &b) && choice_accuracies_overlap(&b, &a));
    assert_false(choice_accuracies_overlap(&a, &c) || choice_accuracies_overlap(&c, &a));
    assert_true(choice_costs_overlap(&a, &b, COST_LATENCY));
    assert_false(choice_costs_overlap(&a, &c, COST_LATENCY) || choice_costs_overlap(&c, &a, COST_LATENCY));
    assert_false(choice_costs_overlap(&a, &b, COST_MACS));
    assert_true(choice_costs_overlap(&a, &b, COST_PARAMS));
}

/* A run of an earlier version does not say what could not be otherwise then. */
static void a_setting_that_came_later_and_has_its_default_makes_no_other_model(void **state) {
    (void)state;
    const struct { const char *settings; int n_seeds; } later[] = {
        {"{\"train\": {\"freeze_bn\": false}}", 2}, {"{\"backend\": \"packed\"}", 2}, {"{\"train\": {\"freeze_bn\": true}}", 1}, {"{\"train\": {\"lr\": 0.5}}", 1}};
    for (size_t k = 0; k < sizeof later / sizeof *later; k++) {
        char path[32];
        for (int seed = 0; seed < 2; seed++) {
            snprintf(path, sizeof path, "later%zu/s%d", k, seed);
            put(&(FakeRun){.kind = "train", .preset = "m", .weights = weights[seed], .macs = 3e6, .top1 = 7000 + 100*seed, .epochs = 2, .seed = seed,
                           .settings = seed == 1 ? later[k].settings : NULL, .warn = N_WARNINGS}, path);
        }
        Report  r;
        Choices all;
        snprintf(path, sizeof path, "later%zu", k);
        make(&r, &all, path);
        assert_int_equal(all.choice[0].candidate[0].n_seeds, later[k].n_seeds);
        choices_free(&all);
        report_free(&r);
    }
}

static void tests_at_another_depth_are_one_model_over_the_seeds_of_their_trainings(void **state) {
    (void)state;
    const int tested[] = {5000, 5200, 6000};
    for (int k = 0; k < 3; k++) {                                     /* the third of another recipe */
        char path[32];
        snprintf(path, sizeof path, "depths/t%d", k);
        put(&(FakeRun){.kind = "train", .preset = "m", .weights = weights[k], .macs = 3e6, .top1 = 7000 + k, .epochs = k < 2 ? 2 : 9, .seed = k, .recursions = 3,
                       .warn = N_WARNINGS}, path);
        snprintf(path, sizeof path, "depths/e%d", k);
        put(&(FakeRun){.kind = "eval", .preset = "m", .weights = weights[k], .macs = 2e6, .top1 = tested[k], .recursions = 2, .warn = N_WARNINGS}, path);
    }
    put(&(FakeRun){.kind = "eval", .preset = "m", .weights = weights[4], .macs = 2e6, .top1 = 1000, .recursions = 2, .warn = N_WARNINGS}, "depths/unknown");
    Report  r;
    Choices all;
    make(&r, &all, "depths");
    const Choice *c = &all.choice[0];
    int           n_joined = 0, n_alone = 0;
    for (int i = 0; i < c->n; i++) {
        const Candidate *x = &c->candidate[i];
        if (x->accuracy == NULL || strcmp(report_at(x->accuracy->run, "/kind") != NULL ? json_string_value(report_at(x->accuracy->run, "/kind")) : "", "eval") != 0) {
            assert_string_equal(x->label, "m recursions=3");
            continue;
        }
        if (x->n_seeds == 2) {
            assert_true(fabs(x->top1 - 0.51) < 1e-12);
            assert_string_equal(x->label, "m recursions=2, trained with recursions=3");
            n_joined++;
        } else {
            n_alone++;
            assert_int_equal(x->n_seeds, 1);
            if (x->top1 < 0.2) assert_string_equal(x->label, "m recursions=2");
        }
    }
    assert_int_equal(n_joined, 1);
    assert_int_equal(n_alone, 2);
    choices_free(&all);
    report_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_front_is_who_none_beats_and_the_beaten_know_by_whom),
        cmocka_unit_test(trainings_that_differ_in_their_seed_are_one_model_with_students_interval),
        cmocka_unit_test(tests_with_other_preprocessing_and_trainings_with_other_kernels_are_not_averaged),
        cmocka_unit_test(a_setting_that_came_later_and_has_its_default_makes_no_other_model),
        cmocka_unit_test(tests_at_another_depth_are_one_model_over_the_seeds_of_their_trainings),
        cmocka_unit_test(models_without_an_accuracy_stand_apart_and_invalid_ones_nowhere),
        cmocka_unit_test(times_are_of_the_condition_most_models_share),
        cmocka_unit_test(overlapping_intervals_are_not_told_apart),
    };
    return cmocka_run_group_tests_name("choice", tests, make_dir, remove_dir);
}
