/* harness/result: what run.json says, when it is refused, and when it may be written over. */
#include "baselines/registry.h"
#include "engine/file.h"
#include "harness/measure/stats.h"
#include "harness/result.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/morbench-result-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void good(bool ok, const Error *err) {
    char text[900];
    if (ok) return;
    error_text(err, text, sizeof text);
    fail_msg("%s", text);
}

static const char weights_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char weights_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static Result *begin(const char *kind, int batch, const char *argument) {
    char    program[] = "morbench", word[64], *argv[] = {program, word};
    Error   err = {0};
    Result *r   = NULL;
    json_t *experiment = json_pack("{s:i}", "batch_size_count", batch);
    snprintf(word, sizeof word, "%s", argument);
    good(result_begin(&r, &(ResultStart){.kind = kind, .experiment = experiment, .argc = 2, .argv = argv}, &err), &err);
    json_decref(experiment);
    return r;
}

/* With everything in it, as bench writes it. */
static Result *whole(const char *weights, const char *argument) {
    static Machine machine;
    char *const    no_env[] = {NULL};
    Error    err = {0};
    Model   *m   = NULL;
    Dataset *d   = NULL;
    Result  *r   = begin("bench", 4, argument);
    double   samples[120];
    for (int i = 0; i < 120; i++) samples[i] = 1e6 + 1e4*(i*37 % 120);
    machine_read(&machine, "tests/golden/machine/amd_vm", no_env, NULL);
    good(result_set_machine(r, &machine, &err), &err);
    good(model_from_preset(&m, "vit_d64_l6_p4_28", NULL, &err), &err);
    good(result_set_model(r, m, weights, &err), &err);
    good(dataset_open(&d, &(DatasetOptions){.name_or_dir = "synthetic:28x28x1:10:32"}, &err), &err);
    good(result_set_data(r, d, &err), &err);
    result_set_threads(r, &(ThreadsUsed){.requested = 2, .team = 2, .distinct = 2, .cpus = 2}, 2);
    good(result_set_latency(r, &(ResultLatency){.samples_ns = samples, .n = 120, .batch_size = 4}, &err), &err);
    result_set_accuracy(r, &(ResultAccuracy){.images_count = 263, .top1_count = 81, .top5_count = -1, .loss = 2.0});
    result_set_depth(r, (int64_t[]){0, 10, 54}, 2, 32, 2);
    result_set_macs_of_images(r, 5000000, 5000000, 1, 5000000, 5000000);
    result_add_point(r, &(ResultPoint){.epoch = 1, .step = 10, .train_loss = 2, .train_top1_ratio = NAN, .learning_rate = 1e-3,
                                       .grad_norm = NAN, .images_per_s = 100, .elapsed_ns = 5});
    Profile *p = calloc(1, sizeof *p);
    assert_non_null(p);
    profile_clear(p);
    const int block = profile_scope(p, profile_scope(p, 0, "blocks", 3), "attn", -1);
    p->scope[0].forward      = (ProfileWork){.calls = 1, .elapsed_ns = 7};
    p->scope[block].forward  = (ProfileWork){.calls = 2, .macs = 30, .bytes = 8, .elapsed_ns = 50};
    p->scope[block].backward = (ProfileWork){.calls = 2, .macs = 60, .bytes = 8, .elapsed_ns = 90};
    profile_kind(p, "linear")->forward = (ProfileWork){.calls = 3, .macs = 30, .elapsed_ns = 57};
    result_set_profile(r, p, 1, 4);
    free(p);
    dataset_close(d);
    model_destroy(m);
    return r;
}

static const char *path_in(const char *below) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, below);
    return path;
}

static json_t *written(Result *r, const char *below) {
    Error   err = {0};
    json_t *run = NULL;
    char    file[128];
    good(result_write(r, path_in(below), &err), &err);
    snprintf(file, sizeof file, "%s/%s/run.json", dir, below);
    good(result_load(&run, file, &err), &err);
    return run;
}

static double number(const json_t *run, const char *block, const char *key) {
    const json_t *value = json_object_get(json_object_get(run, block), key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static const char *text(const json_t *run, const char *block, const char *key) {
    const char *value = json_string_value(json_object_get(block != NULL ? json_object_get(run, block) : run, key));
    assert_non_null(value);
    return value;
}

static bool has_reason(const json_t *run, const char *code) {
    size_t        i;
    const json_t *reason;
    json_array_foreach(json_object_get(json_object_get(run, "validity"), "reasons"), i, reason)
        if (strcmp(json_string_value(reason), code) == 0) return true;
    return false;
}

static void put_digest(json_t *run) {
    char  digest[SHA256_TEXT_SIZE];
    Error err = {0};
    good(result_digest(run, digest, &err), &err);
    json_object_set_new(run, "digest", json_string(digest));
}

/* -- contents -- */

static void what_was_not_measured_is_null_with_a_reason_and_what_was_has_none(void **state) {
    (void)state;
    Result *r   = whole(weights_a, "reasons");
    json_t *run = written(r, "reasons"), *metrics = json_object_get(run, "metrics");
    assert_true(json_is_null(json_object_get(metrics, "end_to_end_latency_ns")));
    assert_string_equal(text(run, "metrics", "end_to_end_latency_ns_reason"), "not_requested");
    assert_true(json_is_number(json_object_get(metrics, "latency_ns")));
    assert_null(json_object_get(metrics, "latency_ns_reason"));
    assert_string_equal(text(run, "accuracy", "top5_ratio_reason"), "not_supported");
    json_decref(run);
    result_destroy(r);
}

static void percentiles_have_the_samples_they_need_or_a_reason(void **state) {
    (void)state;
    Result *r   = whole(weights_a, "percentiles"); /* 120 samples: p90 needs 100, p99 needs 1000 */
    json_t *run = written(r, "percentiles"), *metrics = json_object_get(run, "metrics");
    assert_true(json_is_number(json_object_get(metrics, "latency_p90_ns")));
    assert_true(json_is_null(json_object_get(metrics, "latency_p99_ns")));
    assert_string_equal(text(run, "metrics", "latency_p99_ns_reason"), "not_supported");
    assert_int_equal(json_array_size(json_object_get(json_object_get(run, "samples"), "latency_ns")), 120);
    assert_string_equal(text(run, "metrics", "latency_interval_method"), STATS_INTERVAL_METHOD);
    json_decref(run);
    result_destroy(r);
}

static void throughput_and_its_interval_are_batch_over_latency(void **state) {
    (void)state;
    Result      *r   = whole(weights_a, "throughput");
    json_t      *run = written(r, "throughput");
    const double ns = number(run, "metrics", "latency_ns"), low = number(run, "metrics", "latency_low_ns");
    /* one division and one product apart: two roundings of 2^-53 each */
    assert_true(fabs(number(run, "metrics", "images_per_s")*ns/4e9 - 1) < 4*0x1p-53);
    assert_true(fabs(number(run, "metrics", "images_high_per_s")*low/4e9 - 1) < 4*0x1p-53);
    assert_true(low <= ns && ns <= number(run, "metrics", "latency_high_ns"));
    json_decref(run);
    result_destroy(r);
}

static void the_interval_of_accuracy_is_wilsons(void **state) {
    (void)state;
    Result *r   = whole(weights_a, "wilson");
    json_t *run = written(r, "wilson");
    /* 81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I), printed with four digits */
    assert_true(fabs(number(run, "accuracy", "top1_low_ratio") - 0.2553) < 5e-5);
    assert_true(fabs(number(run, "accuracy", "top1_high_ratio") - 0.3662) < 5e-5);
    json_decref(run);
    result_destroy(r);
    r = begin("eval", 1, "all right");
    result_set_accuracy(r, &(ResultAccuracy){.images_count = 10, .top1_count = 10, .top5_count = 10, .loss = 0});
    run = written(r, "all_right");
    assert_true(number(run, "accuracy", "top1_high_ratio") == 1);
    json_decref(run);
    result_destroy(r);
}

static void counting_rules_reproduce_the_published_figures_of_deit_tiny(void **state) {
    (void)state;
    /* patch 16, 224x224, 197 tokens, 12 blocks: 25 layer norms over 197x192; two attention products of 197x197x192 a block */
    const ModelCounts c = {.macs = 1253683200, .macs_attention = 12LL*2*197*197*192, .layer_norm_elements = 25LL*197*192,
                           .activations = 5974636};
    JsonSink sink;
    json_t  *counts = NULL;
    json_sink_begin(&sink);
    result_put_counts(&sink, &c);
    Error err = {0};
    good(json_sink_finish(&sink, &counts, &err), &err);
    assert_true(json_integer_value(json_object_get(counts, "macs_fvcore")) == 1258411200);
    assert_true(json_integer_value(json_object_get(counts, "flops_2x")) == 2507366400);
    assert_true(json_integer_value(json_object_get(counts, "macs_fvcore_sdpa")) == 1258411200 - 12LL*2*197*197*192);
    json_decref(counts);
}

static void times_of_scopes_sum_to_those_of_the_pass(void **state) {
    (void)state;
    Result *r   = whole(weights_a, "scopes");
    json_t *run = written(r, "scopes"), *scopes = json_object_get(json_object_get(run, "profile"), "scopes"), *scope;
    double  forward = 0, backward = 0;
    size_t  i;
    json_array_foreach(scopes, i, scope) {
        const double ns = json_number_value(json_object_get(scope, "elapsed_ns"));
        if (strcmp(json_string_value(json_object_get(scope, "pass")), "forward") == 0) forward += ns;
        else backward += ns;
    }
    assert_true(forward == 57 && backward == 90);
    assert_string_equal(json_string_value(json_object_get(json_array_get(scopes, 0), "scope")), "other");
    assert_string_equal(json_string_value(json_object_get(json_array_get(scopes, 1), "scope")), "blocks.3.attn");
    json_decref(run);
    result_destroy(r);
}

static void a_loss_that_is_no_number_is_null_and_makes_the_run_invalid(void **state) {
    (void)state;
    Result *r = begin("train", 1, "diverged");
    result_add_point(r, &(ResultPoint){.epoch = 1, .step = 1, .train_loss = NAN, .train_top1_ratio = NAN, .learning_rate = 1,
                                       .grad_norm = INFINITY, .images_per_s = 1});
    json_t *run = written(r, "diverged"), *point = json_array_get(json_object_get(run, "curves"), 0);
    assert_true(json_is_null(json_object_get(point, "train_loss")));
    assert_string_equal(json_string_value(json_object_get(point, "train_loss_reason")), "non_finite");
    assert_string_equal(text(run, "validity", "verdict"), "INVALID");
    assert_true(has_reason(run, "loss_not_finite"));
    json_decref(run);
    result_destroy(r);
}

/* -- verdicts -- */

static void the_worst_warning_decides_and_all_are_kept(void **state) {
    (void)state;
    Result *r = begin("bench", 1, "verdicts");
    assert_int_equal(result_verdict(r), VERDICT_VALID);
    result_warn(r, WARN_smoke_profile);
    result_warn_detail(r, WARN_machine_busy, "load average %.1f", 3.1);
    result_warn(r, WARN_machine_busy); /* a second time changes nothing */
    json_t *run = written(r, "verdicts");
    assert_string_equal(text(run, "validity", "verdict"), "SMOKE");
    assert_true(has_reason(run, "smoke_profile") && has_reason(run, "machine_busy"));
    size_t n_busy = 0, i;
    json_t *warning;
    json_array_foreach(json_object_get(run, "warnings"), i, warning)
        n_busy += strcmp(json_string_value(json_object_get(warning, "code")), "machine_busy") == 0;
    assert_int_equal(n_busy, 1);
    json_decref(run);
    result_destroy(r);
}

static void random_weights_give_speed_only_and_training_may_start_from_them(void **state) {
    (void)state;
    Error   err = {0};
    Model  *m   = NULL;
    Result *r   = begin("bench", 1, "random");
    good(model_from_preset(&m, "vit_d64_l6_p4_28", NULL, &err), &err);
    good(result_set_model(r, m, "", &err), &err);
    assert_int_equal(result_verdict(r), VERDICT_SPEED_ONLY);
    result_destroy(r);
    r = begin("train", 1, "random");
    good(result_set_model(r, m, NULL, &err), &err);
    assert_int_equal(result_verdict(r), VERDICT_VALID);
    result_set_trained_weights(r, weights_b);
    json_t *run = written(r, "trained");
    assert_string_equal(text(run, "model", "weights_sha256"), weights_b);
    assert_string_equal(text(run, "model", "initial_weights_sha256_reason"), "not_requested");
    json_decref(run);
    result_destroy(r);
    model_destroy(m);
}

static void what_a_model_does_to_its_tokens_is_told_and_a_batch_that_matters_warned_of(void **state) {
    (void)state;
    for (int batchk = 0; batchk < 2; batchk++) {
        Error   err = {0};
        Model  *m   = NULL;
        Result *r   = begin("eval", 4, batchk ? "batchk" : "topk");
        good(model_from_preset(&m, "mor_d32_c1x2_p7_lin_28", batchk ? "select=batchk" : NULL, &err), &err);
        good(result_set_model(r, m, weights_a, &err), &err);
        json_t *run = written(r, batchk ? "batchk" : "topk");
        assert_string_equal(text(run, "model", "depth_unit"), "recursions");
        assert_true(json_is_true(json_object_get(json_object_get(run, "model"), "routed")));
        assert_true(json_is_false(json_object_get(json_object_get(run, "model"), "decides_depth")));
        bool          warned = false;
        size_t        i;
        const json_t *warning;
        json_array_foreach(json_object_get(run, "warnings"), i, warning)
            warned = warned || strcmp(json_string_value(json_object_get(warning, "code")), "batch_dependent") == 0;
        assert_int_equal(warned, batchk);
        assert_string_equal(text(run, "validity", "verdict"), "VALID");
        json_decref(run);
        result_destroy(r);
        model_destroy(m);
    }
}

static void a_failed_run_is_invalid_and_says_why(void **state) {
    (void)state;
    Error   why = {0};
    Result *r   = begin("bench", 1, "failed");
    FAIL(&why, "/model/depth", "must be in [1, 64], got 0");
    result_set_status(r, "failed", &why);
    json_t *run = written(r, "failed");
    assert_string_equal(text(run, "validity", "verdict"), "INVALID");
    assert_string_equal(text(run, NULL, "status"), "failed");
    assert_string_equal(text(run, "error", "field"), "/model/depth");
    json_decref(run);
    result_destroy(r);
}

static void a_depth_histogram_that_lost_tokens_is_invalid(void **state) {
    (void)state;
    Result *r = begin("eval", 1, "depth");
    result_set_depth(r, (int64_t[]){1, 2, 3}, 2, 3, 2);
    assert_int_equal(result_verdict(r), VERDICT_VALID);
    result_set_depth(r, (int64_t[]){1, 2, 2}, 2, 3, 2);
    assert_int_equal(result_verdict(r), VERDICT_INVALID);
    result_destroy(r);
}

static void threads_that_lack_or_share_a_cpu_lower_timings_only(void **state) {
    (void)state;
    Result *r = begin("bench", 1, "threads");
    result_set_threads(r, &(ThreadsUsed){.requested = 2, .team = 2, .distinct = 2, .cpus = 1}, 0);
    assert_int_equal(result_verdict(r), VERDICT_NOISY);
    result_set_threads(r, &(ThreadsUsed){.requested = 2, .team = 1, .distinct = 1, .cpus = 1}, 0);
    assert_int_equal(result_verdict(r), VERDICT_INVALID);
    result_destroy(r);
    r = begin("eval", 1, "threads");
    result_set_threads(r, &(ThreadsUsed){.requested = 2, .team = 1, .distinct = 1, .cpus = 1}, 0);
    assert_int_equal(result_verdict(r), VERDICT_VALID);
    result_destroy(r);
}

static bool is_warned(Result *r, const char *code) {
    size_t  i;
    json_t *one;
    json_array_foreach(result_block(r, "warnings")->at, i, one)
        if (strcmp(json_string_value(json_object_get(one, "code")), code) == 0) return true;
    return false;
}

static void threads_that_sleep_between_operations_are_told_where_several_are_timed(void **state) {
    (void)state;
    static const struct { const char *kind; int threads; bool told; } cases[] = {{"bench", 2, true}, {"bench", 1, false}, {"eval", 2, false}};
    static Machine machine;
    char *const    env[] = {"OMP_WAIT_POLICY=passive", NULL};
    Error          err   = {0};
    machine_read(&machine, "tests/golden/machine/amd_vm", env, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Result   *r = begin(cases[i].kind, 1, "threads");
        const int n = cases[i].threads;
        good(result_set_machine(r, &machine, &err), &err);
        result_set_threads(r, &(ThreadsUsed){.requested = n, .team = n, .distinct = n, .cpus = n}, n);
        assert_int_equal(is_warned(r, "threads_sleep"), cases[i].told);
        result_destroy(r);
    }
}

/* -- identity -- */

static void the_id_follows_settings_and_weights_but_not_machine_time_or_command(void **state) {
    (void)state;
    char    id[4][RESULT_ID_SIZE];
    Error   err = {0};
    Result *r[4] = {whole(weights_a, "one"), whole(weights_a, "another command"), whole(weights_b, "one"), begin("bench", 5, "one")};
    static Machine other;
    char *const    no_env[] = {NULL};
    machine_read(&other, "tests/golden/machine/nowhere", no_env, NULL);
    good(result_set_machine(r[1], &other, &err), &err);
    for (int i = 0; i < 4; i++) good(result_id(r[i], id[i], &err), &err);
    assert_string_equal(id[0], id[1]);
    assert_string_not_equal(id[0], id[2]);
    assert_string_not_equal(id[0], id[3]);
    for (int i = 0; i < 4; i++) result_destroy(r[i]);
}

static void the_id_of_a_training_does_not_wait_for_its_end(void **state) {
    (void)state;
    char    before[RESULT_ID_SIZE], after[RESULT_ID_SIZE];
    Error   err = {0};
    Model  *m   = NULL;
    Result *r   = begin("train", 1, "train");
    good(model_from_preset(&m, "vit_d64_l6_p4_28", NULL, &err), &err);
    good(result_set_model(r, m, NULL, &err), &err);
    good(result_id(r, before, &err), &err);
    result_set_trained_weights(r, weights_a);
    good(result_id(r, after, &err), &err);
    assert_string_equal(before, after);
    result_destroy(r);
    model_destroy(m);
}

/* -- the file -- */

static void a_changed_figure_is_noticed_by_the_digest(void **state) {
    (void)state;
    Error   err = {0};
    Result *r   = whole(weights_a, "digest");
    json_t *run = written(r, "digest");
    json_object_set_new(json_object_get(run, "accuracy"), "top1_ratio", json_real(0.99));
    assert_false(result_check(run, &err));
    assert_int_equal(err.exit_status, EXIT_IO);
    assert_string_equal(err.field, "/digest");
    put_digest(run);
    good(result_check(run, &err), &err);
    json_decref(run);
    result_destroy(r);
}

static void a_result_without_any_one_of_its_numbers_is_refused(void **state) {
    (void)state;
    Result *r   = whole(weights_a, "numbers");
    json_t *run = written(r, "numbers");
    int     n   = 0;
#define KEY(block, key, help)                                                                   \
    {                                                                                           \
        json_t *copy = json_deep_copy(run);                                                     \
        Error   err  = {0};                                                                     \
        json_object_del(json_object_get(copy, #block), #key);                                   \
        put_digest(copy);                                                                       \
        assert_false(result_check(copy, &err));                                                 \
        assert_string_equal(err.field, "/" #block "/" #key);                                    \
        json_decref(copy);                                                                      \
        n++;                                                                                    \
    }
#define KEY_LATER(block, key, help)
#include "harness/result_keys.def"
#undef KEY_LATER
#undef KEY
    assert_true(n > 40);
    json_decref(run);
    result_destroy(r);
}

static void a_result_without_any_one_of_its_blocks_is_refused(void **state) {
    (void)state;
    static const char *const keys[] = {"schema", "digest", "id", "env_id", "kind", "status", "validity", "experiment", "model",
                                       "data", "env", "provenance", "metrics", "samples", "counters", "depth_histogram",
                                       "accuracy", "curves", "profile", "warnings"};
    Result *r   = whole(weights_a, "blocks");
    json_t *run = written(r, "blocks");
    static const char *const later[] = {"processes", "roofline"};   /* files from before are read without them */
    assert_int_equal(json_object_size(run), sizeof keys / sizeof *keys + sizeof later / sizeof *later);
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        json_t *copy = json_deep_copy(run);
        Error   err  = {0};
        json_object_del(copy, later[i]);
        put_digest(copy);
        assert_true(result_check(copy, &err));
        json_object_set_new(copy, later[i], json_string("neither"));
        put_digest(copy);
        assert_false(result_check(copy, &err));
        assert_string_equal(err.field + 1, later[i]);
        json_decref(copy);
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *copy = json_deep_copy(run);
        Error   err  = {0};
        json_object_del(copy, keys[i]);
        if (strcmp(keys[i], "digest") != 0) put_digest(copy);
        assert_false(result_check(copy, &err));
        assert_string_equal(err.field + 1, keys[i]);
        json_decref(copy);
    }
    json_decref(run);
    result_destroy(r);
}

static void parts_of_routing_are_summed_over_all_layers_and_do_not_overlap(void **state) {
    (void)state;
    Profile *p = calloc(1, sizeof *p);
    assert_non_null(p);
    profile_clear(p);
    int64_t total = 0;
    for (int r = 0; r < 3; r++) {                            /* recursion r: router with a selection inside, rows moved, a block */
        const int of = profile_scope(p, 0, "recursion", r), router = profile_scope(p, of, "router", -1), block = profile_scope(p, of, "blocks", 0);
        const struct { int at; int64_t macs; } work[] = {{router, 100}, {profile_scope(p, router, "select", -1), 10}, {profile_scope(p, router, "fc", 1), 7},
                                                         {profile_scope(p, of, "gather", -1), 1}, {profile_scope(p, of, "combine", -1), 2}, {block, 5000},
                                                         {profile_scope(p, block, "attn", -1), 600}};
        for (size_t i = 0; i < sizeof work / sizeof *work; i++) {
            p->scope[work[i].at].forward.calls += 1;
            p->scope[work[i].at].forward.macs += work[i].macs;
            total += work[i].macs;
        }
    }
    JsonSink root;
    json_t  *out = NULL;
    Error    err = {0};
    json_sink_begin(&root);
    result_put_profile(&root, p, 1, 1);
    assert_true(json_sink_finish(&root, &out, &err));
    static const struct { const char *part; int64_t macs, calls; } want[] = {{"router", 3 * 107, 6}, {"select", 30, 3}, {"gather", 3, 3}, {"combine", 6, 3}};
    const json_t *parts = json_object_get(out, "parts"), *scope;
    assert_int_equal(json_array_size(parts), 4);             /* no predictor here, hence no line */
    for (size_t i = 0; i < 4; i++) {
        const json_t *one = json_array_get(parts, i);
        assert_string_equal(json_string_value(json_object_get(one, "part")), want[i].part);
        assert_int_equal(json_integer_value(json_object_get(one, "macs")), want[i].macs);
        assert_int_equal(json_integer_value(json_object_get(one, "calls_count")), want[i].calls);
    }
    int64_t scopes = 0;
    size_t  i;
    json_array_foreach(json_object_get(out, "scopes"), i, scope) scopes += json_integer_value(json_object_get(scope, "macs"));
    assert_int_equal(scopes, total);                         /* nothing is taken out of the scopes */
    json_decref(out);
    free(p);
}

static int64_t part_macs(const json_t *parts, const char *name, bool *there) {
    const json_t *one;
    size_t        i;
    *there = false;
    json_array_foreach(parts, i, one) {
        if (strcmp(json_string_value(json_object_get(one, "part")), name) != 0) continue;
        *there = true;
        return json_integer_value(json_object_get(one, "macs"));
    }
    return 0;
}

/* What the closed form gives the router is the line of the router, or of the predictor; choosing and moving have theirs. */
static void every_kind_that_routes_has_its_cost_as_lines_of_its_own(void **state) {
    (void)state;
    static const char *const overrides[] = {"", "router=token", "router=layer", "router=random_gated capacity=linear"};
    int n = 0;
    for (int i = 0; preset_name(i, NULL) != NULL; i++)
        for (int k = 0; k < 4; k++) {
            const char  *preset = preset_name(i, NULL);
            Model       *model  = NULL;
            Tape        *tape   = NULL;
            Error        err    = {0};
            const size_t length = strlen(preset);
            if (length < 3 || strcmp(preset + length - 3, "_28") != 0 || (k > 0 && (strstr(preset, "mor_") == NULL || strstr(preset, "_full_") == NULL))) continue;
            good(model_from_preset(&model, preset, overrides[k], &err), &err);
            params_init(model->params, 1);
            good(tape_create(&tape, backend_default(), &err), &err);
            tape_begin(tape, false, (TapeStep){0});
            Tensor     *x = sample_tensor(tape, 0, 4, (int64_t[]){1, 1, 28, 28});
            ModelOutput y;
            ModelCounts counts;
            RouteCounts route = {0};
            model->kind->forward(model->self, tape, &(ModelInput){.images = x, .image_id = (int64_t[]){0}}, &y);
            route.n_steps = y.active != NULL ? y.n_steps : 0;
            for (int s = 0; s < route.n_steps; s++) route.active[s] = y.active[s];
            model->kind->count(model->self, &route, &counts);
            if (counts.macs_router > 0) {
                JsonSink root;
                json_t  *out = NULL;
                bool     router, predictor, select, gather;
                json_sink_begin(&root);
                result_put_profile(&root, tape_profile(tape), 1, 1);
                good(json_sink_finish(&root, &out, &err), &err);
                const json_t *parts = json_object_get(out, "parts");
                const int64_t macs  = part_macs(parts, "router", &router) + part_macs(parts, "predictor", &predictor);
                part_macs(parts, "select", &select);
                part_macs(parts, "gather", &gather);
                if (macs != counts.macs_router || router == predictor || !select)
                    fail_msg("%s %s: %lld MACs in parts, %lld by the closed form; select %s", preset, overrides[k], (long long)macs, (long long)counts.macs_router,
                             select ? "there" : "missing");
                if (strstr(preset, "dynamicvit") != NULL) assert_true(gather);
                n++;
                json_decref(out);
            }
            tape_destroy(tape);
            model_destroy(model);
        }
    assert_true(n >= 10);
}

static void unknown_keys_are_tolerated(void **state) {
    (void)state;
    Error   err = {0};
    Result *r   = whole(weights_a, "unknown");
    json_t *run = written(r, "unknown");
    json_object_set_new(run, "from_a_later_version", json_true());
    put_digest(run);
    good(result_check(run, &err), &err);
    json_decref(run);
    result_destroy(r);
}

static void another_run_in_the_directory_is_never_written_over(void **state) {
    (void)state;
    Error   err  = {0};
    bool    done = false;
    Result *first = whole(weights_a, "over"), *second = whole(weights_b, "over");
    json_decref(written(first, "over"));
    assert_false(result_is_done(second, path_in("over"), &done, &err));
    assert_false(result_write(second, path_in("over"), &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_non_null(strstr(err.message, "another --out"));
    result_destroy(first);
    result_destroy(second);
}

static void the_same_command_may_repeat_its_run_and_is_told_it_is_done(void **state) {
    (void)state;
    Error   err  = {0};
    bool    done = false;
    Result *first = whole(weights_a, "same"), *second = whole(weights_a, "same"), *other = whole(weights_a, "other");
    good(result_is_done(first, path_in("same"), &done, &err), &err);
    assert_false(done);
    json_decref(written(first, "same"));
    good(result_is_done(second, path_in("same"), &done, &err), &err);
    assert_true(done);
    json_decref(written(second, "same"));
    assert_false(result_write(other, path_in("same"), &err)); /* equal in everything but the command */
    result_destroy(first);
    result_destroy(second);
    result_destroy(other);
}

static void an_unfinished_run_is_replaced_by_the_same_run(void **state) {
    (void)state;
    Error   err  = {0};
    bool    done = true;
    Result *first = whole(weights_a, "first session"), *second = whole(weights_a, "second session");
    result_set_status(first, "interrupted", NULL);
    json_decref(written(first, "session"));
    good(result_is_done(second, path_in("session"), &done, &err), &err);
    assert_false(done);
    json_t *run = written(second, "session");
    assert_string_equal(text(run, NULL, "status"), "ok");
    json_decref(run);
    result_destroy(first);
    result_destroy(second);
}

static void a_damaged_file_in_the_directory_is_not_written_over(void **state) {
    (void)state;
    Error   err = {0};
    Result *r   = whole(weights_a, "damaged");
    json_t *run = written(r, "damaged");
    json_object_set_new(run, "status", json_string("failed"));
    good(json_save_file(run, path_in("damaged/run.json"), &err), &err);
    assert_false(result_write(r, path_in("damaged"), &err));
    assert_int_equal(err.exit_status, EXIT_IO);
    json_decref(run);
    result_destroy(r);
}

/* -- the schema file -- */

static void the_schema_demands_every_number(void **state) {
    (void)state;
    Error   err = {0};
    json_t *schema = NULL;
    good(json_load_file_checked(&schema, "results/schema/run.schema.json", 0, &err), &err);
#define KEY(block, key, help)                                                                                             \
    {                                                                                                                     \
        const json_t *of = json_object_get(json_object_get(schema, "properties"), #block), *one;                         \
        size_t        i;                                                                                                  \
        bool          found = false;                                                                                      \
        json_array_foreach(json_object_get(of, "required"), i, one) found = found || strcmp(json_string_value(one), #key) == 0; \
        if (!found) fail_msg("the schema does not demand /%s/%s", #block, #key);                                          \
    }
#define KEY_LATER(block, key, help)                                                                                      \
    if (json_object_get(json_object_get(json_object_get(json_object_get(schema, "properties"), #block), "properties"), #key) == NULL) \
        fail_msg("the schema does not know /%s/%s", #block, #key);
#include "harness/result_keys.def"
#undef KEY_LATER
#undef KEY
    json_decref(schema);
}

/* The exit status of tests/run_schema.py; 77: the package for it is not installed. */
static int run_schema(const char *run) {
    char command[512];
    int  status = 77 << 8;
    for (int i = 0; i < 2 && WEXITSTATUS(status) == 77; i++) { /* the system's python has packages others lack */
        snprintf(command, sizeof command, "%s tests/run_schema.py results/schema/run.schema.json %s",
                 i == 0 ? "/usr/bin/python3" : "python3", run);
        status = system(command);
        if (WEXITSTATUS(status) == 127) status = 77 << 8;
    }
    return WEXITSTATUS(status);
}

static void the_schema_accepts_what_is_written_and_notices_every_removal(void **state) {
    (void)state;
    Error   err = {0};
    Result *r   = whole(weights_a, "schema");
    json_t *run = written(r, "schema");
    int     status = run_schema(path_in("schema/run.json"));
    if (status != 77) {
        assert_int_equal(status, 0);
        json_object_del(json_object_get(run, "metrics"), "latency_ns");
        good(json_save_file(run, path_in("without.json"), &err), &err);
        status = run_schema(path_in("without.json"));
        assert_int_equal(status, 1);
    }
    json_decref(run);
    result_destroy(r);
    if (status == 77) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_measured_is_null_with_a_reason_and_what_was_has_none),
        cmocka_unit_test(percentiles_have_the_samples_they_need_or_a_reason),
        cmocka_unit_test(throughput_and_its_interval_are_batch_over_latency),
        cmocka_unit_test(the_interval_of_accuracy_is_wilsons),
        cmocka_unit_test(counting_rules_reproduce_the_published_figures_of_deit_tiny),
        cmocka_unit_test(times_of_scopes_sum_to_those_of_the_pass),
        cmocka_unit_test(a_loss_that_is_no_number_is_null_and_makes_the_run_invalid),
        cmocka_unit_test(the_worst_warning_decides_and_all_are_kept),
        cmocka_unit_test(random_weights_give_speed_only_and_training_may_start_from_them),
        cmocka_unit_test(what_a_model_does_to_its_tokens_is_told_and_a_batch_that_matters_warned_of),
        cmocka_unit_test(a_failed_run_is_invalid_and_says_why),
        cmocka_unit_test(a_depth_histogram_that_lost_tokens_is_invalid),
        cmocka_unit_test(threads_that_lack_or_share_a_cpu_lower_timings_only),
        cmocka_unit_test(threads_that_sleep_between_operations_are_told_where_several_are_timed),
        cmocka_unit_test(the_id_follows_settings_and_weights_but_not_machine_time_or_command),
        cmocka_unit_test(the_id_of_a_training_does_not_wait_for_its_end),
        cmocka_unit_test(a_changed_figure_is_noticed_by_the_digest),
        cmocka_unit_test(a_result_without_any_one_of_its_numbers_is_refused),
        cmocka_unit_test(a_result_without_any_one_of_its_blocks_is_refused),
        cmocka_unit_test(parts_of_routing_are_summed_over_all_layers_and_do_not_overlap),
        cmocka_unit_test(every_kind_that_routes_has_its_cost_as_lines_of_its_own),
        cmocka_unit_test(unknown_keys_are_tolerated),
        cmocka_unit_test(another_run_in_the_directory_is_never_written_over),
        cmocka_unit_test(the_same_command_may_repeat_its_run_and_is_told_it_is_done),
        cmocka_unit_test(an_unfinished_run_is_replaced_by_the_same_run),
        cmocka_unit_test(a_damaged_file_in_the_directory_is_not_written_over),
        cmocka_unit_test(the_schema_demands_every_number),
        cmocka_unit_test(the_schema_accepts_what_is_written_and_notices_every_removal),
    };
    return cmocka_run_group_tests_name("result", tests, make_dir, remove_dir);
}
