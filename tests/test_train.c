/* The training loop: its schedule, what it counts, and above all that a run cut short anywhere and resumed ends with the
 * bytes of an undisturbed one. Cuts are made by writes that fail: the calls below stand in for those of the C library. */
#include "harness/train/train.h"

#include "baselines/registry.h"
#include "engine/digest.h"
#include "harness/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

/* ---- the learning rate ---- */

static TrainSettings defaults(void) {
    TrainSettings s;
    fields_default(train_fields, &s);
    return s;
}

/* the rates are a handful of double operations on values of at most 1 */
static bool near(double a, double b) { return fabs(a - b) <= 8 * 0x1p-53; }

static void the_warm_up_is_linear_and_ends_at_the_top(void **state) {
    (void)state;
    TrainSettings s = defaults();
    s.lr = 1, s.warmup_lr = 0.1, s.warmup_epochs = 2;
    for (int64_t step = 0; step < 20; step++) assert_true(near(train_learning_rate(&s, step, 10, 100), 0.1 + 0.9 * (double)(step + 1) / 20));
    assert_true(near(train_learning_rate(&s, 19, 10, 100), 1));
    assert_true(near(train_learning_rate(&s, 20, 10, 100), 1));
}

static void a_warm_up_of_a_fraction_of_a_step_never_passes_the_top(void **state) {
    (void)state;
    TrainSettings s = defaults();
    for (int k = 1; k < 100; k++) {
        s.warmup_epochs = 0.01 * k;
        for (int64_t step = 0; step < 30; step++) {
            const double lr = train_learning_rate(&s, step, 7, 30);
            assert_true(lr > 0 && lr <= s.lr);
        }
    }
}

static void without_warm_up_the_first_step_has_the_top_rate(void **state) {
    (void)state;
    TrainSettings s = defaults();
    s.warmup_epochs = 0;
    for (s.schedule = SCHEDULE_COSINE; s.schedule <= SCHEDULE_STEP; s.schedule++) assert_true(near(train_learning_rate(&s, 0, 10, 100), s.lr));
}

static void the_cosine_falls_from_the_top_towards_its_end(void **state) {
    (void)state;
    TrainSettings s = defaults();
    s.lr = 1, s.min_lr = 0.2, s.warmup_epochs = 0;
    assert_true(near(train_learning_rate(&s, 50, 10, 100), 0.6));
    assert_true(near(train_learning_rate(&s, 25, 10, 100), 0.2 + 0.4 * (1 + sqrt(0.5))));
    assert_true(near(train_learning_rate(&s, 100, 10, 100), 0.2));
    for (int64_t step = 1; step <= 100; step++) assert_true(train_learning_rate(&s, step, 10, 100) < train_learning_rate(&s, step - 1, 10, 100));
}

static void the_step_schedule_multiplies_every_so_many_epochs(void **state) {
    (void)state;
    TrainSettings s = defaults();
    s.lr = 1, s.schedule = SCHEDULE_STEP, s.step_epochs = 3, s.step_factor = 0.5, s.warmup_epochs = 0;
    assert_true(near(train_learning_rate(&s, 29, 10, 100), 1));
    assert_true(near(train_learning_rate(&s, 30, 10, 100), 0.5));
    assert_true(near(train_learning_rate(&s, 99, 10, 100), 0.125));
}

static void the_constant_schedule_stays(void **state) {
    (void)state;
    TrainSettings s = defaults();
    s.schedule = SCHEDULE_CONSTANT, s.warmup_epochs = 1;
    for (int64_t step = 10; step < 100; step++) assert_true(near(train_learning_rate(&s, step, 10, 100), s.lr));
}

static void a_warm_up_longer_than_the_run_fills_it(void **state) {
    (void)state;
    TrainSettings s = defaults();
    s.warmup_epochs = 1000;
    for (int64_t step = 1; step < 30; step++) assert_true(train_learning_rate(&s, step, 10, 30) > train_learning_rate(&s, step - 1, 10, 30));
    assert_true(near(train_learning_rate(&s, 29, 10, 30), s.lr));
}

static void every_default_is_within_its_range(void **state) {
    (void)state;
    const TrainSettings s = defaults();
    for (const Field *f = train_fields; f->key != NULL; f++)
        if (f->type != FIELD_TEXT && f->type != FIELD_WORD) {
            assert_true(field_number(f, &s) >= f->min);
            assert_true(field_number(f, &s) <= f->max);
        }
}

/* ---- a small run ---- */

static long fail_after = -1;             /* this many fsyncs work, the next fails; -1: none fails */
static int  n_syncs;

int fsync(int fd) {
    (void)fd;
    n_syncs++;
    if (fail_after < 0 || fail_after-- > 0) return 0;
    fail_after = -1;
    errno      = ENOSPC;
    return -1;
}

static char directory[64];

static void empty_directory(void) {
    DIR *d = opendir(directory);
    if (d == NULL) return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static int in_new_directory(void **state) {
    (void)state;
    fail_after = -1;
    snprintf(directory, sizeof directory, "/tmp/test_train.XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state) {
    (void)state;
    empty_directory();
    return rmdir(directory);
}

/* 29 images in batches of 8: 3 steps an epoch, 5 images left out. */
static const char train_name[] = "synthetic:8x8x1:10:29";
enum { STEPS_PER_EPOCH = 3 };

/* Everything that draws is on. */
static TrainSettings small_settings(void) {
    TrainSettings s = defaults();
    s.batch_size = 8, s.epochs = 3, s.flip = true, s.crop_padding = 2, s.drop_path = 0.3, s.dropout = 0.2, s.clip_grad = 0.5;
    s.warmup_epochs = 0.5, s.lr = 0.01, s.eval_batch_size = 10, s.loader_threads = 0;
    return s;
}

typedef struct Outcome {
    bool     ok;
    Error    err;
    TrainRun run;
    char     sha256[SHA256_TEXT_SIZE];       /* over weights and optimizer state */
    bool     finite;
    size_t   arena_bytes;                    /* most the tape held */
    double   bias[3][10];                    /* head.bias, its m and v */
} Outcome;

static void (*arrange)(Model *m);            /* changes the initial weights; NULL: not */

static void digest_params(const Model *m, Outcome *o) {
    Sha256 *sum = NULL;
    assert_true(sha256_create(&sum, &o->err));
    o->finite = true;
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        const Real  *data[] = {p->tensor->data, p->m, p->v};
        for (int k = 0; k < 3; k++) sha256_add(sum, data[k], (size_t)tensor_count(p->tensor) * sizeof(Real));
        for (int64_t k = 0; k < tensor_count(p->tensor); k++) o->finite = o->finite && isfinite(p->tensor->data[k]);
    }
    const Param *bias = params_find(m->params, "head.bias");
    for (int k = 0; k < 10; k++) o->bias[0][k] = (double)bias->tensor->data[k], o->bias[1][k] = (double)bias->m[k], o->bias[2][k] = (double)bias->v[k];
    assert_true(sha256_finish(sum, o->sha256, &(Error){0}));
    sha256_destroy(sum);
}

/* One process's worth of a run: a new model, whatever lies in the directory, up to the end or a failure. */
static Outcome session(const TrainSettings *s) {
    Outcome  o     = {.run = {.config_digest = "0123456789abcdef"}};
    Model   *m     = NULL;
    Tape    *tape  = NULL;
    Dataset *train = NULL, *test = NULL;
    if (!model_from_preset(&m, "vit_d64_l6_p4_28", "img_size=8 embed_dim=16 depth=2 num_heads=2 mlp_ratio=2", &o.err) || !tape_create(&tape, backend_default(), &o.err)
        || !dataset_open(&train, &(DatasetOptions){.name_or_dir = train_name, .split = "train"}, &o.err)
        || !dataset_open(&test, &(DatasetOptions){.name_or_dir = "synthetic:8x8x1:10:20"}, &o.err))
        fail_msg("%s %s", o.err.field, o.err.message);
    params_init(m->params, (uint64_t)s->seed);
    if (arrange != NULL) arrange(m);
    o.ok = train_run(m, tape, &(TrainSources){.train = train, .curve = test}, s, directory, true, &o.run, &o.err);
    o.arena_bytes = arena_peak_bytes(tape_arena(tape));
    if (params_at(m->params, 0)->m != NULL) digest_params(m, &o);
    dataset_close(train);
    dataset_close(test);
    tape_destroy(tape);
    model_destroy(m);
    return o;
}

static Outcome whole_run(const TrainSettings *s) {
    empty_directory();
    Outcome o = session(s);
    if (!o.ok) fail_msg("%s %s", o.err.field, o.err.message);
    return o;
}

/* All but times. */
static void assert_same_run(const Outcome *a, const Outcome *b) {
    assert_string_equal(a->sha256, b->sha256);
    assert_int_equal(a->run.step, b->run.step);
    assert_int_equal(a->run.epoch, b->run.epoch);
    assert_int_equal(a->run.macs_per_step, b->run.macs_per_step);
    assert_int_equal(a->run.n_points, b->run.n_points);
    for (int i = 0; i < a->run.n_points; i++) {
        const TrainPoint *p = &a->run.point[i], *q = &b->run.point[i];
        const double x[] = {(double)p->epoch, (double)p->step, p->train_loss, p->train_top1_ratio, p->grad_norm, p->lr, p->tested, p->test_loss, p->test_top1_ratio};
        const double y[] = {(double)q->epoch, (double)q->step, q->train_loss, q->train_top1_ratio, q->grad_norm, q->lr, q->tested, q->test_loss, q->test_top1_ratio};
        assert_memory_equal(x, y, sizeof x);
    }
}

static void a_run_counts_its_steps_epochs_and_points(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    Outcome       o = whole_run(&s);
    assert_int_equal(o.run.steps_per_epoch, STEPS_PER_EPOCH);
    assert_int_equal(o.run.step, 3 * STEPS_PER_EPOCH);
    assert_int_equal(o.run.epoch, 3);
    assert_int_equal(o.run.n_points, 3);
    assert_int_equal(o.run.resumed_count, 0);
    for (int i = 0; i < 3; i++) {
        const TrainPoint *p = &o.run.point[i];
        assert_int_equal(p->epoch, i + 1);
        assert_int_equal(p->step, (i + 1) * STEPS_PER_EPOCH);
        assert_int_equal(p->tested, i < 2);              /* the end is tested by the caller, from the weights it saves */
        assert_true(isfinite(p->train_loss) && p->train_loss > 0 && p->grad_norm > 0 && p->images_per_s > 0);
        assert_true(i == 0 || p->elapsed_ns > o.run.point[i - 1].elapsed_ns);
        assert_true(near(p->lr, train_learning_rate(&s, p->step - 1, STEPS_PER_EPOCH, 9)));
    }
    assert_true(o.run.elapsed_ns >= o.run.point[2].elapsed_ns);
    train_run_free(&o.run);
}

static void steps_end_a_run_in_mid_epoch(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    const int steps[] = {1, 2, 3, 4, 8};
    for (int i = 0; i < 5; i++) {
        s.steps = steps[i];
        Outcome o = whole_run(&s);
        assert_int_equal(o.run.step, steps[i]);
        assert_int_equal(o.run.n_points, (steps[i] + STEPS_PER_EPOCH - 1) / STEPS_PER_EPOCH);
        assert_int_equal(o.run.point[o.run.n_points - 1].step, steps[i]);
        Outcome again = session(&s);                     /* its checkpoint says that all is done */
        assert_true(again.ok);
        assert_same_run(&o, &again);
        assert_int_equal(again.run.resumed_count, 1);
        train_run_free(&o.run);
        train_run_free(&again.run);
    }
}

static void two_runs_of_one_seed_are_equal_and_of_another_are_not(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    Outcome a = whole_run(&s), b = whole_run(&s);
    assert_same_run(&a, &b);
    s.seed = 2;
    Outcome c = whole_run(&s);
    assert_string_not_equal(a.sha256, c.sha256);
    train_run_free(&a.run);
    train_run_free(&b.run);
    train_run_free(&c.run);
}

static void loader_threads_tests_and_checkpoints_change_nothing(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    Outcome want = whole_run(&s);
    const int threads[] = {1, 2, 4};
    for (int i = 0; i < 3; i++) {
        s.loader_threads = threads[i];
        Outcome o = whole_run(&s);
        assert_same_run(&want, &o);
        train_run_free(&o.run);
    }
    s.checkpoint_s = 1e-9;
    Outcome often = whole_run(&s);
    assert_same_run(&want, &often);
    s.eval_every = 0;
    Outcome untested = whole_run(&s);
    assert_string_equal(untested.sha256, want.sha256);
    assert_false(untested.run.point[0].tested);
    train_run_free(&want.run);
    train_run_free(&often.run);
    train_run_free(&untested.run);
}

/* The weights stay: what differs between epochs is what was drawn. */
static void every_epoch_shuffles_and_augments_anew(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    s.lr = s.min_lr = s.warmup_lr = 0, s.drop_path = s.dropout = 0;
    s.batch_size = 29, s.crop_padding = 0, s.flip = false;
    Outcome same = whole_run(&s);
    s.flip = true;
    Outcome flipped = whole_run(&s);
    s.flip = false, s.crop_padding = 2;
    Outcome moved = whole_run(&s);
    s.crop_padding = 0, s.batch_size = 8;                /* 5 of 29 images left out, others each time */
    Outcome shuffled = whole_run(&s);
    for (int i = 1; i < 3; i++) {
        /* the mean of 29 floats near 2.3 in another order: 29 2^-24 2.3 < 4e-6; draws change it by far more */
        assert_true(fabs(same.run.point[i].train_loss - same.run.point[0].train_loss) < 4e-6);
        assert_true(fabs(flipped.run.point[i].train_loss - flipped.run.point[i - 1].train_loss) > 1e-5);
        assert_true(fabs(moved.run.point[i].train_loss - moved.run.point[i - 1].train_loss) > 1e-5);
        assert_true(fabs(shuffled.run.point[i].train_loss - shuffled.run.point[i - 1].train_loss) > 1e-5);
    }
    train_run_free(&same.run);
    train_run_free(&flipped.run);
    train_run_free(&moved.run);
    train_run_free(&shuffled.run);
}

static void the_optimizer_counts_steps_from_the_run_s_beginning(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    s.schedule = SCHEDULE_CONSTANT, s.warmup_epochs = 0, s.clip_grad = 0;
    for (s.steps = 1; s.steps < 8; s.steps++) {
        Outcome before = whole_run(&s);
        s.steps++;
        Outcome after = whole_run(&s);
        for (int k = 0; k < 10; k++) {                   /* AdamW without decay: biases have none */
            const double mean = after.bias[1][k] / (1 - pow(s.beta1, s.steps)), square = after.bias[2][k] / (1 - pow(s.beta2, s.steps));
            const double want = before.bias[0][k] - s.lr * mean / (sqrt(square) + s.eps);
            assert_true(fabs(after.bias[0][k] - want) < 1e-6 * (s.lr + fabs(want)));        /* a dozen float roundings */
        }
        s.steps--;
        train_run_free(&before.run);
        train_run_free(&after.run);
    }
}

/* A checkpoint after every step and two fsyncs each: this cuts before and after every step, every epoch's end and the run's. */
static void a_run_cut_anywhere_ends_with_the_same_bytes(void **state) {
    (void)state;
    static const int n_steps[] = {0, 7};                 /* whole epochs; the middle of one, and every augmentation there is */
    for (int k = 0; k < 2; k++) {
        TrainSettings s = small_settings();
        s.steps        = n_steps[k];
        s.checkpoint_s = 1e-9;
        if (k == 1) s.randaugment_n = 2, s.erasing = 0.5, s.mixup = 0.8, s.cutmix = 1, s.repeats = 2;
        n_syncs        = 0;
        Outcome   want = whole_run(&s);
        const int n    = n_syncs;
        assert_in_range(n, 2 * want.run.n_steps, 1000);
        for (int cut = 0; cut < n; cut++) {
            empty_directory();
            fail_after  = cut;
            Outcome one = session(&s);
            assert_false(one.ok);
            assert_int_equal(one.err.exit_status, EXIT_IO);
            fail_after  = -1;
            Outcome two = session(&s);
            if (!two.ok) fail_msg("cut %d: %s", cut, two.err.message);
            assert_same_run(&want, &two);
            train_run_free(&one.run);
            train_run_free(&two.run);
        }
        train_run_free(&want.run);
    }
}

static void a_run_cut_again_and_again_ends_with_the_same_bytes(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    s.checkpoint_s = 1e-9;
    Outcome want = whole_run(&s), o;
    int     n_cuts = 0;
    empty_directory();
    for (;;) {
        fail_after = 4;                                  /* two checkpoints, then a cut: always at least one step further */
        o = session(&s);
        if (o.ok) break;
        train_run_free(&o.run);
        assert_true(++n_cuts < 30);
    }
    fail_after = -1;
    assert_in_range(n_cuts, 3, 30);
    assert_same_run(&want, &o);
    assert_true(o.run.resumed_count >= 3);
    train_run_free(&want.run);
    train_run_free(&o.run);
}

static void elapsed_time_adds_up_over_sessions(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    s.checkpoint_s = 1e-9;
    empty_directory();
    fail_after  = 9;
    Outcome one = session(&s);
    assert_false(one.ok);
    fail_after  = -1;
    Outcome two = session(&s);
    assert_true(two.ok);
    for (int i = 1; i < two.run.n_points; i++) assert_true(two.run.point[i].elapsed_ns > two.run.point[i - 1].elapsed_ns);
    assert_true(two.run.elapsed_ns >= two.run.point[two.run.n_points - 1].elapsed_ns);
    assert_true(two.run.elapsed_ns > one.run.elapsed_ns);
    train_run_free(&one.run);
    train_run_free(&two.run);
}

static void memory_does_not_grow_with_the_steps(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    s.eval_every = 0;
    s.steps      = 2;
    Outcome few  = whole_run(&s);
    s.steps      = 60;
    Outcome many = whole_run(&s);
    assert_int_equal(many.arena_bytes, few.arena_bytes);
    assert_int_equal(many.run.peak_activation_bytes, few.run.peak_activation_bytes);
    train_run_free(&few.run);
    train_run_free(&many.run);
}

/* ---- what goes wrong ---- */

/* Rates that blow the weights up within a few steps. */
static TrainSettings exploding_settings(void) {
    TrainSettings s = small_settings();
    snprintf(s.optimizer, sizeof s.optimizer, "sgd");
    s.lr = 100, s.weight_decay = 100, s.momentum = 0.99, s.warmup_epochs = 0, s.clip_grad = 0, s.schedule = SCHEDULE_CONSTANT, s.checkpoint_s = 1e-9;
    return s;
}

static void a_loss_that_is_not_finite_stops_the_run_and_keeps_good_checkpoints(void **state) {
    (void)state;
    TrainSettings s = exploding_settings();
    s.steps = 1000;
    empty_directory();
    Outcome o = session(&s);
    assert_false(o.ok);
    assert_int_equal(o.err.exit_status, EXIT_CELLS);
    assert_non_null(strstr(o.err.message, "not finite"));
    assert_in_range(o.run.step, 1, 200);
    Outcome again = session(&s);                         /* what was kept loads, and leads to the same end */
    assert_false(again.ok);
    assert_int_equal(again.err.exit_status, EXIT_CELLS);
    assert_int_equal(again.run.step, o.run.step);
    assert_true(again.run.resumed_count > 0);
    assert_string_equal(again.sha256, o.sha256);
    train_run_free(&o.run);
    train_run_free(&again.run);
}

static void no_run_ends_well_with_weights_that_are_not_finite(void **state) {
    (void)state;
    TrainSettings s = exploding_settings();
    int n_good = 0, n_bad = 0;
    for (s.steps = 1; s.steps < 40; s.steps++) {
        empty_directory();
        Outcome o = session(&s);
        if (o.ok) assert_true(o.finite);
        else      assert_int_equal(o.err.exit_status, EXIT_CELLS);
        n_good += o.ok;
        n_bad  += !o.ok;
        train_run_free(&o.run);
    }
    assert_true(n_good > 0 && n_bad > 0);                /* both were really seen */
}

/* Logits 0 whatever the head, and a head that one step of decay makes infinite. */
static void at_the_brink(Model *m) {
    Tensor *norm = params_find(m->params, "norm.weight")->tensor, *head = params_find(m->params, "head.weight")->tensor;
    for (int64_t i = 0; i < tensor_count(norm); i++) norm->data[i] = 0;
    for (int64_t i = 0; i < tensor_count(head); i++) head->data[i] = (Real)1e35;
    params_touch(m->params);
}

static void an_overflow_in_the_last_update_is_noticed_though_no_loss_tells(void **state) {
    (void)state;
    TrainSettings s = exploding_settings();
    arrange = at_the_brink;
    s.steps = 1;
    empty_directory();
    Outcome o = session(&s);
    arrange = NULL;
    assert_int_equal(o.run.step, 1);                     /* the step itself went through */
    assert_false(o.finite);
    assert_false(o.ok);
    assert_int_equal(o.err.exit_status, EXIT_CELLS);
    assert_string_not_equal(o.err.field, "/train");      /* names the tensor */
    train_run_free(&o.run);
}

static void settings_that_cannot_be_are_named(void **state) {
    (void)state;
    TrainSettings s = small_settings();
    s.batch_size = 30;
    Outcome o = session(&s);
    assert_false(o.ok);
    assert_string_equal(o.err.field, "/train/batch_size");
    assert_int_equal(o.err.exit_status, EXIT_BAD_INPUT);
    s = small_settings();
    snprintf(s.optimizer, sizeof s.optimizer, "adam");
    o = session(&s);
    assert_false(o.ok);
    assert_string_equal(o.err.field, "/train/optimizer");
    assert_non_null(strstr(o.err.message, "adamw"));
}

static void a_directory_is_held_by_one_process_at_a_time(void **state) {
    (void)state;
    int   first = -1, second = -1;
    Error err = {0};
    assert_true(train_lock(directory, &first, &err));
    assert_false(train_lock(directory, &second, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_string_equal(err.input, directory);
    assert_int_equal(second, -1);
    close(first);
    assert_true(train_lock(directory, &second, &err));
    close(second);
}

int main(int argc, char **argv) {
    /* threads that wait by spinning take minutes on a busy machine, and OpenMP reads this before main */
    if (argc > 0 && getenv("OMP_WAIT_POLICY") == NULL && setenv("OMP_WAIT_POLICY", "passive", 1) == 0) execv("/proc/self/exe", argv);
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, in_new_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_warm_up_is_linear_and_ends_at_the_top),
        cmocka_unit_test(a_warm_up_of_a_fraction_of_a_step_never_passes_the_top),
        cmocka_unit_test(without_warm_up_the_first_step_has_the_top_rate),
        cmocka_unit_test(the_cosine_falls_from_the_top_towards_its_end),
        cmocka_unit_test(the_step_schedule_multiplies_every_so_many_epochs),
        cmocka_unit_test(the_constant_schedule_stays),
        cmocka_unit_test(a_warm_up_longer_than_the_run_fills_it),
        cmocka_unit_test(every_default_is_within_its_range),
        IN_DIRECTORY(a_run_counts_its_steps_epochs_and_points),
        IN_DIRECTORY(steps_end_a_run_in_mid_epoch),
        IN_DIRECTORY(two_runs_of_one_seed_are_equal_and_of_another_are_not),
        IN_DIRECTORY(loader_threads_tests_and_checkpoints_change_nothing),
        IN_DIRECTORY(every_epoch_shuffles_and_augments_anew),
        IN_DIRECTORY(the_optimizer_counts_steps_from_the_run_s_beginning),
        IN_DIRECTORY(a_run_cut_anywhere_ends_with_the_same_bytes),
        IN_DIRECTORY(a_run_cut_again_and_again_ends_with_the_same_bytes),
        IN_DIRECTORY(elapsed_time_adds_up_over_sessions),
        IN_DIRECTORY(memory_does_not_grow_with_the_steps),
        IN_DIRECTORY(a_loss_that_is_not_finite_stops_the_run_and_keeps_good_checkpoints),
        IN_DIRECTORY(no_run_ends_well_with_weights_that_are_not_finite),
        IN_DIRECTORY(an_overflow_in_the_last_update_is_noticed_though_no_loss_tells),
        IN_DIRECTORY(settings_that_cannot_be_are_named),
        IN_DIRECTORY(a_directory_is_held_by_one_process_at_a_time),
    };
    return cmocka_run_group_tests_name("train", tests, NULL, NULL);
}
