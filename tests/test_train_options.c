/* Whole runs with everything on that goes beyond plain steps: accumulation, averaged weights, held-out images, a teacher, frozen parts.
 * What they count and report, and that a run cut anywhere ends with the bytes of an undisturbed one. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/train/checkpoint.h"
#include "tests/training.h"

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

typedef struct Outcome {
    bool       ok;
    Error      err;
    TrainRun   run;
    char       sha256[SHA256_TEXT_SIZE];     /* over weights and averages */
    Evaluation end;                          /* of the weights reported, on the test split */
} Outcome;

static const char train_name[] = "synthetic:8x8x1:10:60", test_name[] = "synthetic:8x8x1:10:20";

/* One process's worth of a run. teacher_seed 0: no teacher. */
static Outcome session(const TrainSettings *settings, double held_out, uint64_t teacher_seed) {
    TrainSettings s    = *settings;
    Outcome       o    = {.run = {.config_digest = "0123456789abcdef"}};
    Model        *m    = small_vit(NULL, (uint64_t)s.seed);
    Tape         *tape = new_tape();
    Dataset      *train = NULL, *curve = NULL, *test = NULL;
    Teacher      *teacher = NULL;
    const DatasetPart part = held_out > 0 ? DATASET_TRAINED_ON : DATASET_WHOLE;
    good(dataset_open(&train, &(DatasetOptions){.name_or_dir = train_name, .split = "train", .part = part, .held_out_ratio = held_out}, &o.err)
         && dataset_open(&test, &(DatasetOptions){.name_or_dir = test_name}, &o.err), &o.err);
    if (held_out > 0)
        good(dataset_open(&curve, &(DatasetOptions){.name_or_dir = train_name, .split = "train", .part = DATASET_HELD_OUT, .held_out_ratio = held_out}, &o.err), &o.err);
    if (teacher_seed > 0) {
        char   sha256[65];
        Model *master = small_vit(NULL, teacher_seed);
        snprintf(s.teacher, sizeof s.teacher, "%s.json", directory);
        snprintf(s.teacher_weights, sizeof s.teacher_weights, "%s.safetensors", directory);
        FILE *f = fopen(s.teacher, "w");
        assert_non_null(f);
        fputs("{\"preset\": \"vit_d64_l6_p4_28\", \"img_size\": 8, \"embed_dim\": 16, \"depth\": 3, \"num_heads\": 2, \"mlp_ratio\": 2}", f);
        fclose(f);
        const long limit = fail_after;
        fail_after = -1;
        good(model_save(master, s.teacher_weights, NULL, &o.err) && teacher_create(&teacher, &s, backend_default(), sha256, &o.err), &o.err);
        fail_after = limit;
        n_syncs    = 0;
        unlink(s.teacher);
        unlink(s.teacher_weights);
        model_destroy(master);
    }
    o.ok = train_run(m, tape, &(TrainSources){.train = train, .curve = held_out > 0 ? curve : test, .held_out = held_out > 0, .teacher = teacher}, &s,
                     directory, true, &o.run, &o.err);
    digest_weights(m, o.sha256);
    if (o.ok) {
        train_take_reported(m, &s);
        good(evaluate(m, tape, test, &(EvaluateOptions){10, 0, true, NULL, NULL}, &o.end, &o.err), &o.err);
    }
    teacher_destroy(teacher);
    dataset_close(train);
    dataset_close(curve);
    dataset_close(test);
    tape_destroy(tape);
    model_destroy(m);
    return o;
}

static Outcome whole_run(const TrainSettings *s, double held_out, uint64_t teacher_seed) {
    empty_directory();
    Outcome o = session(s, held_out, teacher_seed);
    good(o.ok, &o.err);
    return o;
}

static TrainSettings everything(void) {
    return settings_of("batch_size=4 accumulate=3 epochs=3 flip=true crop_padding=2 mixup=0.8 cutmix=1 drop_path=0.2 dropout=0.1 clip_grad=0.5 warmup_epochs=0.5 "
                       "lr=0.01 eval_batch_size=7 loader_threads=0 ema_decay=0.9 ema_warmup=true report=ema layer_decay=0.8 freeze_depth=1 lr_delay=head=1 "
                       "distill=soft distill_temperature=2 distill_tokens=0.25 checkpoint_s=1e-9");
}

/* All but times. */
static void assert_same_run(const Outcome *a, const Outcome *b) {
    assert_string_equal(a->sha256, b->sha256);
    assert_string_equal(a->end.predictions_sha256, b->end.predictions_sha256);
    assert_true(a->end.loss == b->end.loss);
    assert_int_equal(a->run.step, b->run.step);
    assert_int_equal(a->run.n_points, b->run.n_points);
    for (int i = 0; i < a->run.n_points; i++) {
        const TrainPoint *p = &a->run.point[i], *q = &b->run.point[i];
        const double x[] = {(double)p->step, p->train_loss, p->train_top1_ratio, p->grad_norm, p->lr, p->tested, p->test_loss, p->test_top1_ratio, (double)p->macs_count};
        const double y[] = {(double)q->step, q->train_loss, q->train_top1_ratio, q->grad_norm, q->lr, q->tested, q->test_loss, q->test_top1_ratio, (double)q->macs_count};
        assert_memory_equal(x, y, sizeof x);
        assert_int_equal(p->parts.n, q->parts.n);
        for (int k = 0; k < p->parts.n; k++) {
            assert_string_equal(p->parts.name[k], q->parts.name[k]);
            assert_true(p->parts.value[k] == q->parts.value[k]);
        }
    }
}

static void a_run_with_everything_counts_steps_macs_memory_and_parts(void **state) {
    (void)state;
    const TrainSettings s = everything();
    Outcome o = whole_run(&s, 0.2, 5);
    assert_int_equal(o.run.steps_per_epoch, 4);          /* 48 of 60 images in steps of 12 */
    assert_int_equal(o.run.step, 12);
    assert_int_equal(o.run.n_points, 3);
    for (int i = 0; i < 3; i++) {
        const TrainPoint *p = &o.run.point[i];
        assert_true(p->tested);                          /* held-out images also at the end: the test split is for the result alone */
        assert_int_equal(p->macs_count, 4 * o.run.macs_per_step);
        assert_true(p->peak_bytes > 0 && (size_t)p->peak_bytes <= o.run.peak_activation_bytes);
        assert_int_equal(p->parts.n, 3);
        assert_string_equal(p->parts.name[0], "labels");
        assert_string_equal(p->parts.name[1], "logits");
        assert_string_equal(p->parts.name[2], "tokens");
        /* sums of floats and of their doubles part by part: 4 steps of 3 batches, 2^-24 each at most */
        assert_true(fabs(p->parts.value[0] + p->parts.value[1] + p->parts.value[2] - p->train_loss) <= 1e-6 * p->train_loss);
    }
    train_run_free(&o.run);
}

static void a_run_with_everything_cut_anywhere_ends_with_the_same_bytes(void **state) {
    (void)state;
    const TrainSettings s    = everything();
    Outcome             want = whole_run(&s, 0.2, 5);
    const int           n    = n_syncs;
    assert_in_range(n, 2 * 12, 200);
    for (int cut = 0; cut < n; cut++) {
        empty_directory();
        fail_after  = cut;
        Outcome one = session(&s, 0.2, 5);
        assert_false(one.ok);
        assert_int_equal(one.err.exit_status, EXIT_IO);
        fail_after  = -1;
        Outcome two = session(&s, 0.2, 5);
        if (!two.ok) fail_msg("cut %d: %s", cut, two.err.message);
        assert_same_run(&want, &two);
        train_run_free(&one.run);
        train_run_free(&two.run);
    }
    train_run_free(&want.run);
}

static void loader_threads_change_nothing_of_it(void **state) {
    (void)state;
    TrainSettings s    = everything();
    Outcome       want = whole_run(&s, 0.2, 5);
    static const int threads[] = {1, 2, 4};
    for (int i = 0; i < 3; i++) {
        s.loader_threads = threads[i];
        Outcome o = whole_run(&s, 0.2, 5);
        assert_same_run(&want, &o);
        train_run_free(&o.run);
    }
    train_run_free(&want.run);
}

/* One setting at a time is taken back, and each is seen in the weights or averages. */
static void every_option_changes_the_run(void **state) {
    (void)state;
    static const char *const back[] = {"accumulate=2", "ema_decay=0.5", "ema_warmup=false", "layer_decay=1", "freeze_depth=0", "lr_scale=head=2", "lr_delay=",
                                       "distill=hard", "distill_weight=0.25", "label_weight=0.5", "distill_temperature=1", "distill_tokens=0.5"};
    TrainSettings s    = everything();
    Outcome       want = whole_run(&s, 0.2, 5);
    for (size_t i = 0; i < sizeof back / sizeof *back; i++) {
        Error err = {0};
        s = everything();
        good(fields_set_from_text(train_fields, &s, back[i], "/train", &err), &err);
        Outcome o = whole_run(&s, 0.2, 5);
        if (strcmp(o.sha256, want.sha256) == 0) fail_msg("%s changes nothing", back[i]);
        train_run_free(&o.run);
    }
    s = everything();
    Outcome other_teacher = whole_run(&s, 0.2, 6), other_division = whole_run(&s, 0.25, 5);
    assert_string_not_equal(other_teacher.sha256, want.sha256);
    assert_string_not_equal(other_division.sha256, want.sha256);
    train_run_free(&other_teacher.run);
    train_run_free(&other_division.run);
    train_run_free(&want.run);
}

/* The curve of a longer run passes through the ends of shorter ones only if it tests the weights that would be reported. */
static void the_curve_tests_the_weights_that_would_be_reported(void **state) {
    (void)state;
    static const char plan[] = "batch_size=12 lr=0.02 schedule=constant warmup_epochs=0 eval_batch_size=10 loader_threads=0 ema_decay=0.8 ";
    double loss[2] = {0};
    for (int ema = 0; ema < 2; ema++) {
        char text[256];
        snprintf(text, sizeof text, "%sepochs=2 report=%s", plan, ema ? "ema" : "final");
        TrainSettings s    = settings_of(text);
        Outcome       both = whole_run(&s, 0, 0);
        s.epochs           = 1;
        Outcome       one  = whole_run(&s, 0, 0);
        assert_true(both.run.point[0].tested);
        assert_true(both.run.point[0].test_loss == one.end.loss);
        loss[ema] = one.end.loss;
        assert_false(one.run.point[0].tested);           /* the end is the caller's */
        train_run_free(&both.run);
        train_run_free(&one.run);
    }
    assert_true(fabs(loss[0] - loss[1]) > 1e-4);
}

static void averages_change_nothing_of_the_training(void **state) {
    (void)state;
    static const char plan[] = "batch_size=12 epochs=2 lr=0.02 loader_threads=0";
    TrainSettings s       = settings_of(plan);
    Outcome       without = whole_run(&s, 0, 0);
    s.ema_decay           = 0.9;
    Outcome       with    = whole_run(&s, 0, 0);
    assert_true(with.end.loss == without.end.loss);      /* final weights are reported in both */
    assert_string_equal(with.end.predictions_sha256, without.end.predictions_sha256);
    assert_true(without.run.point[0].train_loss == with.run.point[0].train_loss && without.run.point[1].grad_norm == with.run.point[1].grad_norm);
    assert_int_equal(without.run.point[0].parts.n, 0);   /* one term needs no list */
    train_run_free(&without.run);
    train_run_free(&with.run);
}

/* A checkpoint that lacks what its settings ask for is not taken for whole. */
static void a_checkpoint_without_averages_is_refused_where_they_are_asked_for(void **state) {
    (void)state;
    TrainSettings s = settings_of("batch_size=12 epochs=1 loader_threads=0");
    Outcome       o = whole_run(&s, 0, 0);
    train_run_free(&o.run);
    s.ema_decay = 0.9;                                   /* the digest of settings, which the caller makes, is the same here */
    Outcome again = session(&s, 0, 0);
    assert_false(again.ok);
    assert_int_equal(again.err.exit_status, EXIT_IO);
    train_run_free(&again.run);
}

static void settings_that_ask_for_each_other_are_checked(void **state) {
    (void)state;
    static const struct { const char *text, *field, *part; } wrong[] = {
        {"report=ema", "/train/report", "ema_decay is 0"},
        {"distill=soft", "/train/teacher", "must be given"},
        {"distill_tokens=1", "/train/teacher", "must be given"},
        {"distill=hard teacher=vit_d64_l6_p4_28", "/train/teacher_weights", "must be given"},
        {"teacher=vit_d64_l6_p4_28 teacher_weights=x", "/train/distill", "must be soft or hard"},
        {"init_from_weights=x", "/train/init_from", "must be given"},
        {"init_rule=x", "/train/init_from", "must be given"},
        {"init_from=vit_d64_l6_p4_28", "/train/init_from_weights", "must be given"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const TrainSettings s   = settings_of(wrong[i].text);
        Error               err = {0};
        assert_false(train_settings_check(&s, &err));
        assert_string_equal(err.field, wrong[i].field);
        if (strstr(err.message, wrong[i].part) == NULL) fail_msg("'%s': %s", wrong[i].text, err.message);
    }
    TrainSettings s = settings_of("batch_size=30 accumulate=3");
    empty_directory();
    Outcome o = session(&s, 0, 0);
    assert_false(o.ok);
    assert_string_equal(o.err.field, "/train/accumulate");
    assert_non_null(strstr(o.err.message, "at most the 60 training images, got 3"));
    train_run_free(&o.run);
}

int main(int argc, char **argv) {
    WAIT_PASSIVELY(argc, argv);
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, in_new_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(a_run_with_everything_counts_steps_macs_memory_and_parts),
        IN_DIRECTORY(a_run_with_everything_cut_anywhere_ends_with_the_same_bytes),
        IN_DIRECTORY(loader_threads_change_nothing_of_it),
        IN_DIRECTORY(every_option_changes_the_run),
        IN_DIRECTORY(the_curve_tests_the_weights_that_would_be_reported),
        IN_DIRECTORY(averages_change_nothing_of_the_training),
        IN_DIRECTORY(a_checkpoint_without_averages_is_refused_where_they_are_asked_for),
        IN_DIRECTORY(settings_that_ask_for_each_other_are_checked),
    };
    return cmocka_run_group_tests_name("train_options", tests, NULL, NULL);
}
