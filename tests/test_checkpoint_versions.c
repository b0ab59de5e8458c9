/* Checkpoints of other contents: of the version before curves knew work and parts, with averages, with frozen tensors. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/safetensors.h"
#include "harness/train/checkpoint.h"
#include "tests/training.h"

static TrainPoint point = {.epoch = 1, .step = 7, .train_loss = 0.3, .lr = 1e-3, .images_per_s = 10, .macs_count = 5, .peak_bytes = 6,
                           .parts = {.n = 2, .name = {"labels", "aux"}, .value = {0.2, 0.1}}};

static TrainRun run_of(int64_t step_in_epoch) {
    return (TrainRun){.epoch = 1, .step_in_epoch = step_in_epoch, .step = 7 + step_in_epoch, .steps_per_epoch = 7, .n_steps = 70, .epoch_macs = 3,
                      .epoch_peak_bytes = 4, .point = &point, .n_points = 1, .config_digest = "0123456789abcdef"};
}

static Model *with_state(void) {
    Model *m   = small_vit(NULL, 1);
    Error  err = {0};
    good(params_want_state(m->params, &err), &err);
    return m;
}

static uint64_t digest_add(uint64_t sum, const void *bytes, size_t n) {
    const uint64_t pair[2] = {sum, digest_xxh64(bytes, n)};
    return digest_xxh64(pair, sizeof pair);
}

/* The file without the lines an older version did not write, under a digest that fits. */
static void make_old(const char *path) {
    static const char *const later[] = {"epoch_macs ", "epoch_peak_bytes ", "point_work ", "point_parts ", "parts_sum "};
    SafeFile   *f   = NULL;
    SafeWriter *w   = NULL;
    Error       err = {0};
    char        digest[17], state[4096] = "";
    good(safetensors_open(&f, path, &err) && safe_writer_create(&w, &err), &err);
    const char *line = safetensors_metadata(f, "state");
    for (const char *end; *line != '\0' && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        bool drop = false;
        for (int i = 0; i < 5; i++) drop = drop || strncmp(line, later[i], strlen(later[i])) == 0;
        if (!drop) strncat(state, line, (size_t)(end + 1 - line));
    }
    assert_true(strlen(state) + 40 < strlen(safetensors_metadata(f, "state")));
    uint64_t sum = digest_add(0, state, strlen(state));
    for (int i = 0; i < safetensors_count(f); i++) sum = digest_add(sum, safetensors_entry(f, i)->data, safetensors_entry(f, i)->bytes);
    snprintf(digest, sizeof digest, "%016" PRIx64, sum);
    good(safe_writer_metadata(w, "state", state, &err) && safe_writer_metadata(w, "digest", digest, &err), &err);
    for (int i = 0; i < safetensors_count(f); i++) {
        const SafeEntry *e = safetensors_entry(f, i);
        good(safe_writer_add(w, e->name, e->dtype, e->n_dims, e->dim, e->data, &err), &err);
    }
    good(safe_writer_save(w, path, NULL, &err), &err);
    safe_writer_destroy(w);
    safetensors_close(f);
}

static void an_older_version_s_file_goes_on_and_what_it_did_not_say_stays_unknown(void **state) {
    (void)state;
    for (int64_t step = 0; step < 2; step++) {
        Model   *m = with_state();
        TrainRun saved = run_of(step), run = {.config_digest = "0123456789abcdef"};
        Error    err = {0};
        bool     found = false;
        char     path[128];
        empty_directory();
        good(checkpoint_save(m, &saved, directory, &err), &err);
        snprintf(path, sizeof path, "%s/checkpoint-%d.safetensors", directory, 7 + (int)step);
        make_old(path);
        good(checkpoint_load(m, &run, directory, &found, &err), &err);
        assert_true(found);
        assert_int_equal(run.step, 7 + step);
        assert_int_equal(run.n_points, 1);
        assert_true(run.point[0].train_loss == 0.3 && run.point[0].parts.n == 0);
        assert_int_equal(run.point[0].macs_count, -1);
        assert_int_equal(run.point[0].peak_bytes, -1);
        /* an epoch not begun has nothing unknown in it */
        assert_int_equal(run.epoch_macs, step == 0 ? 0 : -1);
        assert_int_equal(run.epoch_peak_bytes, step == 0 ? 0 : -1);
        train_run_free(&run);
        model_destroy(m);
    }
}

static void averages_come_back_and_frozen_tensors_need_no_state(void **state) {
    (void)state;
    Model   *m[2];
    TrainRun saved = run_of(1), run = {.config_digest = "0123456789abcdef"};
    Error    err   = {0};
    bool     found = false;
    char     sha256[2][SHA256_TEXT_SIZE];
    for (int k = 0; k < 2; k++) {
        m[k] = small_vit(NULL, 1 + (uint64_t)k);
        params_find(m[k]->params, "pos_embed")->frozen = true;
        good(params_want_state(m[k]->params, &err) && params_want_average(m[k]->params, &err), &err);
    }
    for (int i = 0; i < params_count(m[0]->params); i++) params_at(m[0]->params, i)->average[0] = (Real)(1000 + i);
    good(checkpoint_save(m[0], &saved, directory, &err), &err);
    good(checkpoint_load(m[1], &run, directory, &found, &err), &err);
    assert_true(found);
    for (int k = 0; k < 2; k++) digest_weights(m[k], sha256[k]);
    assert_string_equal(sha256[0], sha256[1]);
    train_run_free(&run);
    for (int k = 0; k < 2; k++) model_destroy(m[k]);
}

static void a_changed_average_is_noticed(void **state) {
    (void)state;
    Model   *m     = with_state();
    TrainRun saved = run_of(1), run = {.config_digest = "0123456789abcdef"};
    Error    err   = {0};
    bool     found = false;
    char     path[128], sha256[2][SHA256_TEXT_SIZE];
    good(params_want_average(m->params, &err), &err);
    /* a pattern that is found again in the file */
    memcpy(params_at(m->params, 3)->average, "AVERAGE!", 8);
    good(checkpoint_save(m, &saved, directory, &err), &err);
    snprintf(path, sizeof path, "%s/checkpoint-8.safetensors", directory);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    static char bytes[1 << 20];
    const size_t n  = fread(bytes, 1, sizeof bytes, f);
    const char  *at = memmem(bytes, n, "AVERAGE!", 8);
    assert_non_null(at);
    assert_int_equal(fseek(f, (long)(at - bytes), SEEK_SET), 0);
    assert_int_equal(fputc('B', f), 'B');
    fclose(f);
    digest_weights(m, sha256[0]);
    assert_false(checkpoint_load(m, &run, directory, &found, &err));
    assert_int_equal(err.exit_status, EXIT_IO);
    digest_weights(m, sha256[1]);
    assert_string_equal(sha256[0], sha256[1]);
    model_destroy(m);
}

int main(int argc, char **argv) {
    WAIT_PASSIVELY(argc, argv);
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, in_new_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(an_older_version_s_file_goes_on_and_what_it_did_not_say_stays_unknown),
        IN_DIRECTORY(averages_come_back_and_frozen_tensors_need_no_state),
        IN_DIRECTORY(a_changed_average_is_noticed),
    };
    return cmocka_run_group_tests_name("checkpoint_versions", tests, NULL, NULL);
}
