/* In what two runs differ, named as people name it. */
#include "harness/report/factors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static json_t *run(void) {
    return json_pack("{s:s, s:{s:s, s:s, s:{s:i}, s:i, s:i, s:s, s:i}, s:{s:s, s:{s:i, s:s}, s:s}, s:{s:s, s:s, s:b}, s:{s:s, s:s}, s:s, s:{s:s, s:s}}", "kind", "bench",
                     "experiment", "mode", "forward", "model_kind", "mor_vit", "model", "recursions", 3, "batch_size_count", 1, "threads_requested_count", 2, "backend", "packed",
                     "seed", 1, "model", "name", "mor_vit", "settings", "recursions", 3, "router", "expert", "weights_sha256", "aa", "data", "digest", "dd", "preprocess", "none",
                     "synthetic", 0, "env", "blas_core", "SkylakeX", "blas_config", "OpenBLAS", "env_id", "e1", "provenance", "commit", "c1", "version", "1");
}

static void put(json_t *r, const char *block, const char *key, json_t *value) { json_object_set_new(block != NULL ? json_object_get(r, block) : r, key, value); }

/* The factors between a run and the same changed by one value. */
static Factors changed(const char *block, const char *key, json_t *value, bool pair) {
    json_t *a = run(), *b = run();
    Factors f = {.n = 0};
    put(b, block, key, value);
    if (pair) factors_of_pair(&f, a, b);
    else      factors_between(&f, a, b);
    json_decref(a);
    json_decref(b);
    return f;
}

static void every_factor_is_found_by_its_name(void **state) {
    (void)state;
    static const struct { const char *block, *key, *name; } known[] = {
        {NULL, "kind", "what is timed"}, {"experiment", "mode", "what is timed"}, {"model", "weights_sha256", "weights"}, {"data", "digest", "data"},
        {"data", "preprocess", "preprocessing"}, {"experiment", "batch_size_count", "batch size"}, {"experiment", "threads_requested_count", "threads"},
        {"experiment", "backend", "backend"}, {"env", "blas_core", "matrix kernels"}, {"env", "blas_config", "matrix kernels"}, {"experiment", "seed", "seed"},
        {NULL, "env_id", "machine"}, {"provenance", "commit", "code"}, {"provenance", "version", "code"}, {"model", "name", "model"}, {"experiment", "model_kind", "model"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const Factors f = changed(known[i].block, known[i].key, json_string("other"), false);
        if (f.n != 1 || strcmp(f.name[0], known[i].name) != 0) fail_msg("%s: %d factors, %s", known[i].key, f.n, f.n > 0 ? f.name[0] : "none");
    }
    assert_int_equal(changed("experiment", "processes_count", json_integer(5), false).n, 0);     /* effort is no factor */
}

static void a_setting_of_trainings_that_came_later_is_a_factor_but_at_its_default(void **state) {
    (void)state;
    for (int frozen = 0; frozen < 2; frozen++)
        for (int swap = 0; swap < 2; swap++) {
            json_t *a = run(), *b = run();
            Factors f = {.n = 0};
            put(a, "experiment", "train", json_pack("{s:i}", "epochs", 8));
            put(b, "experiment", "train", json_pack("{s:i, s:b}", "epochs", 8, "freeze_bn", frozen));
            factors_between(&f, swap ? b : a, swap ? a : b);
            assert_int_equal(f.n, frozen);
            if (frozen) assert_string_equal(f.name[0], "train.freeze_bn");
            json_decref(a);
            json_decref(b);
        }
}

static void a_backend_that_an_older_training_does_not_tell_is_no_factor(void **state) {
    (void)state;
    for (int training = 0; training < 2; training++) {
        json_t *a = run(), *b = run();
        Factors f = {.n = 0};
        json_object_del(json_object_get(a, "experiment"), "backend");
        if (training) put(a, NULL, "kind", json_string("train")), put(b, NULL, "kind", json_string("train"));
        factors_between(&f, a, b);
        assert_int_equal(f.n, !training);
        json_decref(a);
        json_decref(b);
    }
}

static void settings_of_one_kind_of_model_are_factors_each_and_its_weights_are_none(void **state) {
    (void)state;
    json_t *a = run(), *b = run();
    Factors f = {.n = 0}, pair = {.n = 0};
    json_t *settings = json_pack("{s:i, s:s, s:s}", "recursions", 4, "router", "expert", "kv", "share");
    put(b, "experiment", "model", json_incref(settings));
    put(b, "model", "settings", settings);
    put(b, "model", "weights_sha256", json_string("bb"));
    factors_between(&f, a, b);
    assert_int_equal(f.n, 2);
    assert_true(strcmp(f.name[0], "model.recursions") == 0 && strcmp(f.name[1], "model.kv") == 0);
    factors_of_pair(&pair, a, b);
    assert_true(pair.n == 1 && strcmp(pair.name[0], "model") == 0);
    json_decref(a);
    json_decref(b);
}

static void trainings_differ_by_their_settings_and_not_by_what_they_learned(void **state) {
    (void)state;
    json_t *a = run(), *b = run();
    Factors f = {.n = 0};
    put(a, NULL, "kind", json_string("train"));
    put(b, NULL, "kind", json_string("train"));
    put(a, "experiment", "train", json_pack("{s:i, s:f}", "seed", 1, "lr", 0.001));
    put(b, "experiment", "train", json_pack("{s:i, s:f}", "seed", 2, "lr", 0.001));
    put(b, "model", "weights_sha256", json_string("bb"));
    factors_between(&f, a, b);
    assert_true(f.n == 1 && strcmp(f.name[0], "train.seed") == 0);
    json_decref(a);
    json_decref(b);
}

static void of_a_pair_machine_and_code_are_told_elsewhere(void **state) {
    (void)state;
    assert_int_equal(changed(NULL, "env_id", json_string("e2"), true).n, 0);
    assert_int_equal(changed("provenance", "commit", json_string("c2"), true).n, 0);
    assert_int_equal(changed("env", "blas_core", json_string("Haswell"), true).n, 1);
}

static void a_declared_whole_covers_its_parts(void **state) {
    (void)state;
    assert_true(factors_declared("model", "model.recursions") && factors_declared("threads, batch size ,model.recursions", "model.recursions"));
    assert_true(factors_declared("threads, batch size ,x", "batch size"));
    assert_false(factors_declared("model.router", "model.recursions"));
    assert_false(factors_declared("mod", "model.recursions") || factors_declared("batch", "batch size") || factors_declared("", "threads"));
    assert_false(factors_declared("model.recursions", "model"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_factor_is_found_by_its_name),
        cmocka_unit_test(a_setting_of_trainings_that_came_later_is_a_factor_but_at_its_default),
        cmocka_unit_test(a_backend_that_an_older_training_does_not_tell_is_no_factor),
        cmocka_unit_test(settings_of_one_kind_of_model_are_factors_each_and_its_weights_are_none),
        cmocka_unit_test(trainings_differ_by_their_settings_and_not_by_what_they_learned),
        cmocka_unit_test(of_a_pair_machine_and_code_are_told_elsewhere),
        cmocka_unit_test(a_declared_whole_covers_its_parts),
    };
    return cmocka_run_group_tests_name("factors", tests, NULL, NULL);
}
