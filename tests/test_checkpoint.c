/* Checkpoints: back bit for bit, every kind of damage noticed, never without a good one. The calls below stand in for those
 * of the C library, to fail on request. */
#include "harness/train/checkpoint.h"

#include "baselines/registry.h"
#include "engine/file.h"
#include "engine/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

/* ---- calls that fail on request ---- */

static long fail_after = -1;             /* this many calls work, the next fails; -1: none fails */
static int  fail_errno;

static bool fails_now(void) {
    if (fail_after < 0 || fail_after-- > 0) return false;
    fail_after = -1;
    errno      = fail_errno;
    return true;
}

ssize_t write(int fd, const void *bytes, size_t n) {
    if (fd > STDERR_FILENO && fails_now()) return -1;
    return syscall(SYS_write, fd, bytes, n);
}

/* The disk itself is not under test: thousands of real ones take minutes. */
int fsync(int fd) {
    (void)fd;
    return fails_now() ? -1 : 0;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    return fails_now() ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

/* ---- a directory, a model, a run ---- */

enum { PATH = 160 };
static char directory[64], said[4096];
static int  kept_stderr = -1;

static void path_of(char path[PATH], long step) { snprintf(path, PATH, "%s/checkpoint-%ld.safetensors", directory, step); }

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static int n_files(void) {
    int  n = 0;
    DIR *d = opendir(directory);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return n;
}

static void empty_directory(void) {
    DIR *d = opendir(directory);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static int in_new_directory(void **state) {
    (void)state;
    fail_after = -1;
    snprintf(directory, sizeof directory, "/tmp/test_checkpoint.XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state) {
    (void)state;
    empty_directory();
    return rmdir(directory);
}

/* What is written to stderr between these two is kept in `said`. */
static void listen_to_stderr(void) {
    fflush(stderr);
    kept_stderr  = dup(STDERR_FILENO);
    FILE *heard  = tmpfile();
    assert_non_null(heard);
    dup2(fileno(heard), STDERR_FILENO);
    fclose(heard);
}

static void stop_listening(void) {
    fflush(stderr);
    const ssize_t n = pread(STDERR_FILENO, said, sizeof said - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
}

static Model *small_model(const char *settings) {
    Model *m   = NULL;
    Error  err = {0};
    if (!model_from_preset(&m, "vit_d64_l6_p4_28", settings, &err) || !params_want_state(m->params, &err)) fail_msg("%s %s", err.field, err.message);
    return m;
}

static const char one_block[] = "img_size=4 embed_dim=4 depth=1 num_heads=2 mlp_ratio=1 num_classes=3";

/* Any bits but those of a NaN, which no tensor has when it is saved: tiny, huge, subnormal, both zeros. */
static void fill_values(int64_t n, Real *x, RngStream s, int64_t salt) {
    for (int64_t i = 0; i < n; i++) {
        const uint64_t bits = rng_bits(s, (RngKey){.step = salt, .channel = i});
        x[i] = (Real)ldexp((double)(int64_t)bits, (int)(bits % 200) - 190);
        if (i % 7 == 3) x[i] = bits & 1 ? (Real)-0.0 : (Real)0.0;
    }
}

static void fill_model(Model *m, uint64_t seed) {
    for (int i = 0; i < params_count(m->params); i++) {
        Param        *p = params_at(m->params, i);
        const int64_t n = tensor_count(p->tensor);
        const RngStream s = rng_stream(seed, p->name);
        fill_values(n, p->tensor->data, s, 0);
        fill_values(n, p->m, s, 1);
        fill_values(n, p->v, s, 2);
    }
}

static bool same_models(const Model *a, const Model *b) {
    for (int i = 0; i < params_count(a->params); i++) {
        const Param *p = params_at(a->params, i), *q = params_at(b->params, i);
        const size_t bytes = (size_t)tensor_count(p->tensor) * sizeof(Real);
        if (memcmp(p->tensor->data, q->tensor->data, bytes) != 0 || memcmp(p->m, q->m, bytes) != 0 || memcmp(p->v, q->v, bytes) != 0) return false;
    }
    return true;
}

static TrainPoint points[] = {
    {.epoch = 1, .step = 7, .train_loss = 0.1 + 0.2, .train_top1_ratio = 1.0 / 3, .grad_norm = 1e-300, .lr = 1e-3, .images_per_s = 12345.678,
     .tested = true, .test_loss = 2.302585092994046, .test_top1_ratio = 0.1, .elapsed_ns = UINT64_MAX,
     .macs_count = INT64_C(1) << 60, .peak_bytes = 12345, .parts = {.n = 2, .name = {"labels", "aux_bce"}, .value = {0.1 + 0.7, 5e-324}}},
    {.epoch = 2, .step = 14, .train_loss = 5e-324, .train_top1_ratio = 0, .grad_norm = 1e308, .lr = 0, .images_per_s = 1, .elapsed_ns = 0, .macs_count = -1, .peak_bytes = -1},
};

/* At step `step` of settings "0123456789abcdef". */
static TrainRun run_at(int64_t step) {
    return (TrainRun){.epoch = 2, .step_in_epoch = 3, .step = step, .steps_per_epoch = 7, .n_steps = 70, .loss_sum = 0.1 * 3, .grad_norm_sum = 1.0 / 7,
                      .correct_count = 11, .seen_count = 24, .elapsed_epoch_ns = 123456789012, .elapsed_ns = 9876543210987, .point = points, .n_points = 2,
                      .macs_per_step = INT64_C(1) << 50, .peak_activation_bytes = (size_t)1 << 40, .resumed_count = 2,
                      .epoch_macs = 77, .epoch_peak_bytes = 88, .parts_sum = {.n = 1, .name = {"tokens"}, .value = {-1.0 / 3}}, .config_digest = "0123456789abcdef"};
}

static void saved(const Model *m, int64_t step) {
    Error    err = {0};
    TrainRun run = run_at(step);
    if (!checkpoint_save(m, &run, directory, &err)) fail_msg("%s", err.message);
}

/* As train_run does it: only the digest of the settings is known beforehand. */
static bool loaded(Model *m, TrainRun *run, bool *found, Error *err) {
    *run = (TrainRun){.config_digest = "0123456789abcdef"};
    *err = (Error){0};
    listen_to_stderr();
    const bool ok = checkpoint_load(m, run, directory, found, err);
    stop_listening();
    return ok;
}

static unsigned char *read_bytes(const char *path, size_t *n) {
    void *bytes;
    Error err = {0};
    if (!file_read_all(path, SIZE_MAX, &bytes, n, &err)) fail_msg("%s", err.message);
    return bytes;
}

static void write_bytes(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* ---- whole ---- */

static void a_run_comes_back_bit_for_bit(void **state) {
    (void)state;
    Model   *m = small_model(one_block), *back = small_model(one_block);
    TrainRun run, want = run_at(17);
    Error    err;
    bool     found;
    fill_model(m, 1);
    saved(m, 17);
    assert_true(loaded(back, &run, &found, &err));
    assert_true(found);
    assert_string_equal(said, "");
    assert_true(same_models(m, back));
    assert_int_equal(run.epoch, want.epoch);
    assert_int_equal(run.step_in_epoch, want.step_in_epoch);
    assert_int_equal(run.step, want.step);
    assert_int_equal(run.steps_per_epoch, want.steps_per_epoch);
    assert_int_equal(run.n_steps, want.n_steps);
    assert_int_equal(run.correct_count, want.correct_count);
    assert_int_equal(run.seen_count, want.seen_count);
    assert_int_equal(run.elapsed_epoch_ns, want.elapsed_epoch_ns);
    assert_int_equal(run.elapsed_ns, want.elapsed_ns);
    assert_int_equal(run.macs_per_step, want.macs_per_step);
    assert_int_equal(run.peak_activation_bytes, want.peak_activation_bytes);
    assert_int_equal(run.resumed_count, want.resumed_count + 1);
    assert_int_equal(run.epoch_macs, want.epoch_macs);
    assert_int_equal(run.epoch_peak_bytes, want.epoch_peak_bytes);
    assert_memory_equal(&run.parts_sum, &want.parts_sum, sizeof run.parts_sum);
    assert_memory_equal(&run.loss_sum, &want.loss_sum, sizeof run.loss_sum);
    assert_memory_equal(&run.grad_norm_sum, &want.grad_norm_sum, sizeof run.grad_norm_sum);
    assert_string_equal(run.config_digest, want.config_digest);
    assert_int_equal(run.n_points, want.n_points);
    for (int i = 0; i < run.n_points; i++) {
        const TrainPoint *p = &run.point[i], *q = &want.point[i];
        assert_int_equal(p->epoch, q->epoch);
        assert_int_equal(p->step, q->step);
        assert_int_equal(p->tested, q->tested);
        assert_int_equal(p->elapsed_ns, q->elapsed_ns);
        const double a[] = {p->train_loss, p->train_top1_ratio, p->grad_norm, p->lr, p->images_per_s, p->test_loss, p->test_top1_ratio};
        const double b[] = {q->train_loss, q->train_top1_ratio, q->grad_norm, q->lr, q->images_per_s, q->test_loss, q->test_top1_ratio};
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(p->macs_count, q->macs_count);
        assert_int_equal(p->peak_bytes, q->peak_bytes);
        assert_memory_equal(&p->parts, &q->parts, sizeof p->parts);
    }
    train_run_free(&run);
    model_destroy(m);
    model_destroy(back);
}

static void same_models_notices_one_bit(void **state) {
    (void)state;
    Model *m = small_model(one_block), *back = small_model(one_block);
    fill_model(m, 1);
    fill_model(back, 1);
    assert_true(same_models(m, back));
    ((unsigned char *)params_at(back->params, 3)->v)[5] ^= 1;
    assert_false(same_models(m, back));
    model_destroy(m);
    model_destroy(back);
}

static void the_same_run_makes_the_same_bytes(void **state) {
    (void)state;
    Model *m = small_model(one_block);
    char   path[PATH];
    size_t n, n_again;
    fill_model(m, 1);
    saved(m, 17);
    path_of(path, 17);
    unsigned char *first = read_bytes(path, &n);
    saved(m, 17);
    unsigned char *again = read_bytes(path, &n_again);
    assert_int_equal(n, n_again);
    assert_memory_equal(first, again, n);
    free(first);
    free(again);
    model_destroy(m);
}

static void an_empty_or_missing_directory_holds_no_run(void **state) {
    (void)state;
    Model   *m = small_model(one_block), *before = small_model(one_block);
    TrainRun run = {.config_digest = "0123456789abcdef"};
    Error    err = {0};
    bool     found = true;
    fill_model(m, 4);
    fill_model(before, 4);
    assert_true(checkpoint_load(m, &run, directory, &found, &err));
    assert_false(found);
    found = true;
    assert_true(checkpoint_load(m, &run, "/nowhere/at/all", &found, &err));
    assert_false(found);
    assert_true(same_models(m, before));
    model_destroy(m);
    model_destroy(before);
}

static void two_generations_are_kept(void **state) {
    (void)state;
    Model *m = small_model(one_block);
    char   path[PATH];
    fill_model(m, 1);
    const long steps[] = {5, 90, 100, 1000};
    for (int i = 0; i < 4; i++) saved(m, steps[i]);
    assert_int_equal(n_files(), 2);
    path_of(path, 100);
    assert_true(exists(path));
    path_of(path, 1000);
    assert_true(exists(path));
    checkpoint_remove_all(directory);
    assert_int_equal(n_files(), 0);
    model_destroy(m);
}

static void only_checkpoints_are_removed(void **state) {
    (void)state;
    const char *const others[] = {"weights.safetensors", "checkpoint-5.safetensors.mine", "checkpoint-x.safetensors", "mycheckpoint-5.safetensors", "run.json"};
    Model *m = small_model(one_block);
    char   path[PATH];
    fill_model(m, 1);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, others[i]);
        write_bytes(path, "x", 1);
    }
    saved(m, 1);
    checkpoint_remove_all(directory);
    assert_int_equal(n_files(), 5);
    model_destroy(m);
}

static void what_a_killed_process_left_half_written_is_removed(void **state) {
    (void)state;
    Model   *m = small_model(one_block);
    TrainRun run;
    Error    err;
    bool     found;
    char     path[PATH];
    snprintf(path, sizeof path, "%s/" FILE_TEMPORARY_PREFIX "0123456789abcdef", directory);
    write_bytes(path, "half", 4);
    fill_model(m, 1);
    saved(m, 1);
    assert_true(loaded(m, &run, &found, &err));
    assert_false(exists(path));
    assert_int_equal(n_files(), 1);
    train_run_free(&run);
    model_destroy(m);
}

/* ---- damaged ---- */

/* The two checkpoints of every test below: steps 10 and 20 of different weights. */
typedef struct Pair {
    Model         *old, *young, *into;
    char           path[PATH];           /* of the younger */
    unsigned char *bytes;                /* its contents, and room to damage them */
    size_t         n, n_header;          /* n_header: with the 8 bytes of its length */
} Pair;

static Pair pair_new(void) {
    Pair p = {.old = small_model(one_block), .young = small_model(one_block), .into = small_model(one_block)};
    fill_model(p.old, 10);
    fill_model(p.young, 20);
    saved(p.old, 10);
    saved(p.young, 20);
    path_of(p.path, 20);
    p.bytes = read_bytes(p.path, &p.n);
    for (int i = 7; i >= 0; i--) p.n_header = p.n_header << 8 | p.bytes[i];
    p.n_header += 8;
    assert_true(p.n_header < p.n);
    return p;
}

static void pair_free(Pair *p) {
    free(p->bytes);
    model_destroy(p->old);
    model_destroy(p->young);
    model_destroy(p->into);
}

/* The younger is passed over with a word, and the older comes back whole. */
static void assert_falls_back(Pair *p, const char *what, size_t at) {
    TrainRun run;
    Error    err;
    bool     found;
    for (int i = 0; i < params_count(p->into->params); i++) {
        const Param *into = params_at(p->into->params, i);
        into->tensor->data[0] = into->m[0] = into->v[0] = 30;
    }
    if (!loaded(p->into, &run, &found, &err)) fail_msg("%s at %zu: %s", what, at, err.message);
    if (!found || run.step != 10 || !same_models(p->into, p->old)) fail_msg("%s at %zu went unnoticed", what, at);
    if (strstr(said, "checkpoint-20") == NULL || strstr(said, "passed over") == NULL) fail_msg("%s at %zu: nothing was said", what, at);
    train_run_free(&run);
}

static void the_pair_is_good_before_it_is_damaged(void **state) {
    (void)state;
    Pair     p = pair_new();
    TrainRun run;
    Error    err;
    bool     found;
    assert_true(loaded(p.into, &run, &found, &err));
    assert_int_equal(run.step, 20);
    assert_true(same_models(p.into, p.young));
    train_run_free(&run);
    pair_free(&p);
}

static void every_truncation_falls_back(void **state) {
    (void)state;
    Pair p = pair_new();
    for (size_t n = 0; n < p.n; n += n < p.n_header + 16 || n + 64 > p.n ? 1 : 29) {        /* each length of header and end, some between */
        write_bytes(p.path, p.bytes, n);
        assert_falls_back(&p, "truncation", n);
    }
    pair_free(&p);
}

static void every_changed_byte_of_the_header_falls_back(void **state) {
    (void)state;
    Pair p = pair_new();
    for (size_t i = 0; i < p.n_header; i++)
        for (int k = 0; k < (i % 4 == 0 ? 2 : 1); k++) {
            const unsigned char before = p.bytes[i];
            p.bytes[i] = (unsigned char)(before ^ (k == 0 ? 1 << i % 8 : 0x20));        /* one bit; upper case for lower */
            write_bytes(p.path, p.bytes, p.n);
            assert_falls_back(&p, "changed header byte", i);
            p.bytes[i] = before;
        }
    pair_free(&p);
}

static void any_changed_bit_of_the_data_falls_back(void **state) {
    (void)state;
    Pair p = pair_new();
    for (int k = 0; k < 1000; k++) {
        const uint64_t draw = rng_bits(rng_stream(1, "damage"), (RngKey){.step = k});
        const size_t   i    = p.n_header + (size_t)(draw >> 8) % (p.n - p.n_header);
        p.bytes[i] ^= (unsigned char)(1u << draw % 8);
        write_bytes(p.path, p.bytes, p.n);
        assert_falls_back(&p, "changed data bit", i);
        p.bytes[i] ^= (unsigned char)(1u << draw % 8);
    }
    pair_free(&p);
}

static void zeroed_exchanged_and_lengthened_files_fall_back(void **state) {
    (void)state;
    Pair p = pair_new();
    unsigned char *zeros = calloc(p.n, 1), *longer = calloc(p.n + 1, 1);
    char           older[PATH];
    write_bytes(p.path, zeros, p.n);
    assert_falls_back(&p, "zeros", 0);
    memcpy(longer, p.bytes, p.n);
    memset(longer + p.n_header, 0, p.n - p.n_header);
    write_bytes(p.path, longer, p.n);
    assert_falls_back(&p, "zeroed data", 0);
    memcpy(longer, p.bytes, p.n);
    write_bytes(p.path, longer, p.n + 1);
    assert_falls_back(&p, "one byte more", 0);
    /* tensors of the one and the state of the other */
    size_t         n_old;
    path_of(older, 10);
    unsigned char *other = read_bytes(older, &n_old);
    assert_int_equal(n_old, p.n);                        /* all numbers of both states have as many digits */
    memcpy(longer, p.bytes, p.n_header);
    memcpy(longer + p.n_header, other + p.n_header, p.n - p.n_header);
    write_bytes(p.path, longer, p.n);
    assert_falls_back(&p, "data of another step", 0);
    free(zeros);
    free(longer);
    free(other);
    pair_free(&p);
}

static void two_tensors_in_each_other_s_place_fall_back(void **state) {
    (void)state;
    Pair p = pair_new();
    Model *m = small_model(one_block);
    fill_model(m, 20);
    Param *a = params_find(m->params, "norm.weight"), *b = params_find(m->params, "norm.bias");
    const size_t bytes = (size_t)tensor_count(a->tensor) * sizeof(Real);
    memcpy(a->tensor->data, params_find(p.young->params, "norm.bias")->tensor->data, bytes);
    memcpy(b->tensor->data, params_find(p.young->params, "norm.weight")->tensor->data, bytes);
    size_t n;
    saved(m, 20);
    unsigned char *swapped = read_bytes(p.path, &n);
    memcpy(swapped, p.bytes, p.n_header);                /* the digest is the other's */
    write_bytes(p.path, swapped, n);
    assert_falls_back(&p, "exchanged tensors", 0);
    free(swapped);
    model_destroy(m);
    pair_free(&p);
}

static void a_directory_in_its_place_falls_back(void **state) {
    (void)state;
    Pair p = pair_new();
    unlink(p.path);
    assert_int_equal(mkdir(p.path, 0777), 0);
    assert_falls_back(&p, "a directory", 0);
    rmdir(p.path);
    pair_free(&p);
}

static void damaged_ones_alone_are_an_error_that_leaves_the_model_as_it_was(void **state) {
    (void)state;
    Pair     p = pair_new();
    TrainRun run;
    Error    err;
    bool     found;
    char     older[PATH];
    path_of(older, 10);
    unlink(older);
    p.bytes[p.n - 1] ^= 1;                               /* the last byte: all before it is as it was */
    write_bytes(p.path, p.bytes, p.n);
    fill_model(p.into, 30);
    fill_model(p.old, 30);
    assert_false(loaded(p.into, &run, &found, &err));
    assert_false(found);
    assert_int_equal(err.exit_status, EXIT_IO);
    assert_string_equal(err.input, directory);
    assert_true(same_models(p.into, p.old));
    assert_int_equal(n_files(), 1);
    pair_free(&p);
}

static void a_damaged_one_does_not_take_a_place_among_the_kept(void **state) {
    (void)state;
    Pair     p = pair_new();
    TrainRun run;
    Error    err;
    bool     found;
    char     path[PATH];
    write_bytes(p.path, p.bytes, p.n / 2);
    assert_true(loaded(p.into, &run, &found, &err));
    assert_int_equal(run.step, 10);
    train_run_free(&run);
    saved(p.into, 15);
    assert_int_equal(n_files(), 2);
    assert_false(exists(p.path));
    path_of(path, 10);
    assert_true(exists(path));
    path_of(path, 15);
    assert_true(exists(path));
    pair_free(&p);
}

/* ---- of something else ---- */

static void other_settings_are_refused_and_nothing_is_touched(void **state) {
    (void)state;
    Pair     p = pair_new();
    TrainRun run = {.config_digest = "fedcba9876543210"};
    Error    err = {0};
    bool     found;
    size_t   n;
    fill_model(p.into, 30);
    fill_model(p.old, 30);
    assert_false(checkpoint_load(p.into, &run, directory, &found, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_string_equal(err.input, directory);
    assert_non_null(strstr(err.message, "other settings"));
    assert_true(same_models(p.into, p.old));
    unsigned char *after = read_bytes(p.path, &n);
    assert_int_equal(n, p.n);
    assert_memory_equal(after, p.bytes, n);
    free(after);
    pair_free(&p);
}

static void another_model_is_refused_before_it_sees_a_byte(void **state) {
    (void)state;
    static const char *const others[] = {
        "img_size=4 embed_dim=4 depth=2 num_heads=2 mlp_ratio=1 num_classes=3",      /* tensors missing */
        "img_size=4 embed_dim=8 depth=1 num_heads=2 mlp_ratio=1 num_classes=3",     /* wider */
        "img_size=4 embed_dim=4 depth=1 num_heads=2 mlp_ratio=1 num_classes=4",      /* the last tensors only */
    };
    Pair p = pair_new();
    for (int i = 0; i < 3; i++) {
        Model   *m = small_model(others[i]), *before = small_model(others[i]);
        TrainRun run;
        Error    err;
        bool     found;
        fill_model(m, 30);
        fill_model(before, 30);
        assert_false(loaded(m, &run, &found, &err));         /* these say the same settings, which another model never does */
        assert_int_equal(err.exit_status, EXIT_IO);
        assert_true(same_models(m, before));
        run = (TrainRun){.config_digest = "fedcba9876543210"};
        err = (Error){0};
        assert_false(checkpoint_load(m, &run, directory, &found, &err));
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
        assert_true(same_models(m, before));
        model_destroy(m);
        model_destroy(before);
    }
    pair_free(&p);
}

/* ---- writes that fail ---- */

static void whichever_write_fails_a_good_one_is_left(void **state) {
    (void)state;
    static const int reasons[] = {ENOSPC, EIO, EDQUOT};
    for (int r = 0; r < 3; r++)
        for (long nth = 0;; nth++) {
            empty_directory();
            Pair     p   = pair_new();
            Model   *m   = small_model(one_block);
            Error    err = {0}, loading;
            TrainRun run = run_at(30), read;
            bool     found;
            fill_model(m, 40);
            fail_errno = reasons[r];
            fail_after = nth;
            const bool ok = checkpoint_save(m, &run, directory, &err);
            const bool all = fail_after >= 0;
            fail_after = -1;
            assert_true(loaded(p.into, &read, &found, &loading));
            assert_true(found);
            assert_string_equal(said, "");
            if (!ok) assert_int_equal(err.exit_status, EXIT_IO);
            /* the last step is the directory's fsync: then the new one is there already */
            assert_true(read.step == 20 ? same_models(p.into, p.young) : read.step == 30 && same_models(p.into, m));
            assert_true(ok ? read.step == 30 : true);
            assert_int_equal(n_files(), ok ? 2 : read.step == 30 ? 3 : 2);        /* and no temporary */
            train_run_free(&read);
            model_destroy(m);
            pair_free(&p);
            if (all) {
                assert_true(ok);
                assert_in_range(nth, 10, 1000);          /* the failures were really walked through */
                break;
            }
        }
}

int main(void) {
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, in_new_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(a_run_comes_back_bit_for_bit),
        IN_DIRECTORY(same_models_notices_one_bit),
        IN_DIRECTORY(the_same_run_makes_the_same_bytes),
        IN_DIRECTORY(an_empty_or_missing_directory_holds_no_run),
        IN_DIRECTORY(two_generations_are_kept),
        IN_DIRECTORY(only_checkpoints_are_removed),
        IN_DIRECTORY(what_a_killed_process_left_half_written_is_removed),
        IN_DIRECTORY(the_pair_is_good_before_it_is_damaged),
        IN_DIRECTORY(every_truncation_falls_back),
        IN_DIRECTORY(every_changed_byte_of_the_header_falls_back),
        IN_DIRECTORY(any_changed_bit_of_the_data_falls_back),
        IN_DIRECTORY(zeroed_exchanged_and_lengthened_files_fall_back),
        IN_DIRECTORY(two_tensors_in_each_other_s_place_fall_back),
        IN_DIRECTORY(a_directory_in_its_place_falls_back),
        IN_DIRECTORY(damaged_ones_alone_are_an_error_that_leaves_the_model_as_it_was),
        IN_DIRECTORY(a_damaged_one_does_not_take_a_place_among_the_kept),
        IN_DIRECTORY(other_settings_are_refused_and_nothing_is_touched),
        IN_DIRECTORY(another_model_is_refused_before_it_sees_a_byte),
        IN_DIRECTORY(whichever_write_fails_a_good_one_is_left),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
