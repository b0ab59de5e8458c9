/* One training step: batches whose gradients add up, the terms of the loss, what a teacher's answers do, running averages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/training.h"

/* The gradient of every tensor one after another; the caller frees. */
static double *gradients(const Model *m, int64_t *n) {
    *n = params_elements(m->params);
    double *all = malloc((size_t)*n * sizeof *all);
    int64_t at  = 0;
    for (int i = 0; i < params_count(m->params); i++) {
        const Tensor *t = params_at(m->params, i)->tensor;
        for (int64_t k = 0; k < tensor_count(t); k++) all[at++] = t->grad != NULL ? (double)t->grad[k] : 0;
    }
    return all;
}

static double distance(const double *a, const double *b, double factor, int64_t n, double *norm) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        difference += (a[i] - factor * b[i]) * (a[i] - factor * b[i]);
        size       += a[i] * a[i];
    }
    *norm = sqrt(size);
    return sqrt(difference);
}

static Model *ready(const char *other) {
    Model *m   = small_vit(other, 1);
    Error  err = {0};
    good(params_want_grads(m->params, &err) && params_want_state(m->params, &err), &err);
    return m;
}

static void pass(Model *m, Tape *tape, const TrainSettings *s, const TrainPass *p, TrainBatch batch, StepReport *report) {
    Error err = {0};
    good(train_pass(m, tape, s, p, &batch, report, &err), &err);
}

/* ---- accumulation ---- */

static void batches_that_add_up_are_one_batch_of_all_their_images(void **state) {
    (void)state;
    Model        *m     = ready(NULL);
    Tape         *tape  = new_tape();
    const Noise   x     = noise(1);
    TrainSettings s     = settings_of("dropout=0.2 drop_path=0.3");        /* both are drawn by image, not by place */
    StepReport    report[3];
    int64_t       n;
    double        norm;
    pass(m, tape, &s, &(TrainPass){.step = 3}, part_of(&x, 0, 12), &report[0]);
    const double whole_norm = train_settle(m, tape, &s);
    double      *whole      = gradients(m, &n);
    s.accumulate = 3;
    for (int k = 0; k < 3; k++) pass(m, tape, &s, &(TrainPass){.step = 3, .index = k}, part_of(&x, 4 * k, 4), &report[k]);
    const double parts_norm = train_settle(m, tape, &s);
    double      *parts      = gradients(m, &n);
    /* sums of floats in another order: some hundred roundings of 2^-24 each */
    assert_true(distance(whole, parts, 1.0 / 3, n, &norm) <= 1e-5 * norm);
    assert_true(norm > 0.1 && fabs(whole_norm - parts_norm) <= 1e-5 * whole_norm);
    free(parts);
    /* the comparison notices a batch that is left out, and one that begins anew */
    for (int k = 0; k < 3; k++) pass(m, tape, &s, &(TrainPass){.step = 3, .index = k == 1 ? 0 : k}, part_of(&x, 4 * k, 4), &report[k]);
    train_settle(m, tape, &s);
    parts = gradients(m, &n);
    assert_true(distance(whole, parts, 1.0 / 3, n, &norm) > 1e-2 * norm);
    free(parts);
    free(whole);
    tape_destroy(tape);
    model_destroy(m);
}

/* What a model does in training it need not do at inference: masks where it would drop, answers early. */
static void the_closed_form_counts_the_forward_pass_of_a_training_step(void **state) {
    (void)state;
    static const struct { const char *preset, *override; bool as_inference; } of[] = {
        {"vit_d64_l6_p4_28", "", true},
        {"dynamicvit_d64_l6_p4_0.7_28", "", false},
        {"tiny_vit_d32_28", "", true},
        {"mor_d64_c2x3_p4_lin_28", "", true},
        {"mor_d64_c2x3_p4_lin_28", "deep_supervision=0.5", false},
        {"mor_d64_c2x3_p4_full_28", "router=token", false},
        {"mor_d64_c2x3_p4_full_28", "router=layer", true},           /* nominally every token goes through every layer */
    };
    enum { B = 3, PIXELS_28 = 28 * 28 };
    const TrainSettings s        = settings_of("");
    const int32_t       labels[] = {1, 2, 3};
    const int64_t       ids[]    = {0, 1, 2};
    static float        images[B * PIXELS_28];
    for (int i = 0; i < B * PIXELS_28; i++) images[i] = (float)sin(0.37 * i * (1 + i / PIXELS_28));
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        Model      *m    = NULL;
        Tape       *tape = new_tape();
        Error       err  = {0};
        ModelCounts nominal;
        StepReport  report;
        good(model_from_preset(&m, of[k].preset, of[k].override, &err), &err);
        params_init(m->params, 1);
        good(params_want_grads(m->params, &err) && params_want_state(m->params, &err), &err);
        pass(m, tape, &s, &(TrainPass){0}, (TrainBatch){images, labels, ids, B}, &report);
        m->kind->count(m->self, &(RouteCounts){0}, &nominal);
        const int64_t executed = profile_total(tape_profile(tape), 0, 0).macs;
        if (executed != report.macs_counted)
            fail_msg("%s %s: %lld executed, %lld counted", of[k].preset, of[k].override, (long long)executed, (long long)report.macs_counted);
        if ((executed == B * nominal.macs) != of[k].as_inference) fail_msg("%s %s: nominal %lld", of[k].preset, of[k].override, (long long)nominal.macs);
        assert_true(report.macs_min <= report.macs_max && report.macs_min * B <= executed && executed <= report.macs_max * B);
        tape_destroy(tape);
        model_destroy(m);
    }
}

/* All weights, one after another; the caller frees. */
static double *weights(const Model *m, int64_t *n) {
    *n = params_elements(m->params);
    double *all = malloc((size_t)*n * sizeof *all);
    int64_t at  = 0;
    for (int i = 0; i < params_count(m->params); i++)
        for (int64_t k = 0; k < tensor_count(params_at(m->params, i)->tensor); k++) all[at++] = (double)params_at(m->params, i)->tensor->data[k];
    return all;
}

static void the_update_is_by_the_mean_gradient_and_clips_its_norm(void **state) {
    (void)state;
    const Noise x = noise(1);
    double     *after[2], norm;
    int64_t     n = 0;
    for (int twice = 0; twice < 2; twice++) {
        Model            *m      = ready(NULL);
        Tape             *tape   = new_tape();
        TrainSettings     s      = settings_of("clip_grad=0.01 optimizer=sgd momentum=0 weight_decay=0 lr=0.5");
        double           *before = weights(m, &n);
        const Optimizer  *o;
        OptimizerSettings settings;
        StepReport        report;
        Error             err = {0};
        good(train_optimizer(&s, &o, &settings, &err), &err);
        s.accumulate = 1 + twice;
        for (int k = 0; k <= twice; k++) pass(m, tape, &s, &(TrainPass){.index = k}, part_of(&x, 0, 8), &report);      /* the same batch again */
        const double settled = train_settle(m, tape, &s);
        assert_true(settled > 10 * s.clip_grad);
        train_update(m, tape, &s, o, 1, s.lr, settled);
        after[twice] = weights(m, &n);
        /* all moved by lr clip_grad in all; each weight is rounded to 2^-24 of at most 1, of some 10,000 */
        assert_true(fabs(distance(after[twice], before, 1, n, &norm) - 0.005) <= 5e-6);
        free(before);
        tape_destroy(tape);
        model_destroy(m);
    }
    assert_true(distance(after[0], after[1], 1, n, &norm) <= 5e-6);
    free(after[0]);
    free(after[1]);
}

/* ---- running averages ---- */

static void averages_follow_the_weights_by_their_decay(void **state) {
    (void)state;
    Model            *m    = ready(NULL);
    Tape             *tape = new_tape();
    const Noise       x    = noise(1);
    TrainSettings     s    = settings_of("ema_decay=0.9 ema_warmup=true lr=0.01");
    const Optimizer  *o;
    OptimizerSettings settings;
    StepReport        report;
    Error             err  = {0};
    const Param      *head = params_find(m->params, "head.weight");
    double            want = (double)head->tensor->data[3];
    good(train_optimizer(&s, &o, &settings, &err) && params_want_average(m->params, &err), &err);
    for (int t = 1; t <= 100; t++) {
        const double decay = fmin(0.9, (1.0 + t) / (10.0 + t));
        pass(m, tape, &s, &(TrainPass){.step = t}, part_of(&x, 0, 4), &report);
        train_update(m, tape, &s, o, t, s.lr, train_settle(m, tape, &s));
        want += (1 - decay) * ((double)head->tensor->data[3] - want);
        assert_true(fabs((double)head->average[3] - want) <= 1e-6);        /* weights below 1, three roundings of 2^-24 a step, damped */
    }
    assert_true(fabs((double)head->average[3] - (double)head->tensor->data[3]) > 1e-4);
    assert_true(train_ema_decay(&s, 1) == 2.0 / 11 && train_ema_decay(&s, 1000) == 0.9);
    s.ema_warmup = false;
    assert_true(train_ema_decay(&s, 1) == 0.9);
    tape_destroy(tape);
    model_destroy(m);
}

/* ---- what a model sees and says ---- */

static TapeStep seen;
static void (*real_forward)(void *self, Tape *tape, const ModelInput *in, ModelOutput *out);

/* The ViT with two auxiliary losses and its own logits as deep ones. */
static void forward_with_auxiliaries(void *self, Tape *tape, const ModelInput *in, ModelOutput *out) {
    real_forward(self, tape, in, out);
    seen = tape_step(tape);
    static const int32_t zeros[16];
    Tensor *first = op_cross_entropy(tape, out->logits, zeros, NULL, 0), *second = op_cross_entropy(tape, out->logits, zeros, NULL, 0.5);
    out->auxiliary_loss = op_add(tape, op_scale(tape, first, 0.25), op_scale(tape, second, 2));
    out->loss_part[0]   = (LossPart){"aux_first", first, 0.25};
    out->loss_part[1]   = (LossPart){"aux_second", second, 2};
    out->n_loss_parts   = 2;
    out->logits_deep[0] = out->logits;
    out->n_logits_deep  = 1;
    out->deep_weight    = 0.5;
}

static double part(const StepReport *r, const char *name) {
    for (int i = 0; i < r->parts.n; i++)
        if (strcmp(r->parts.name[i], name) == 0) return r->parts.value[i];
    fail_msg("no part %s", name);
    return NAN;
}

static void the_parts_of_a_loss_are_named_and_sum_to_it(void **state) {
    (void)state;
    Model        *m    = ready(NULL);
    Tape         *tape = new_tape();
    const Noise   x    = noise(1);
    TrainSettings s    = settings_of("label_weight=0.75");
    StepReport    plain, with;
    ModelKind     kind = *m->kind;
    pass(m, tape, &s, &(TrainPass){0}, part_of(&x, 0, 8), &plain);
    assert_int_equal(plain.parts.n, 1);
    assert_true(fabs(part(&plain, "labels") - plain.loss) <= 1e-7 * plain.loss);       /* one float rounding apart */
    real_forward = kind.forward;
    kind.forward = forward_with_auxiliaries;
    m->kind      = &kind;
    pass(m, tape, &s, &(TrainPass){.step = 5, .n_steps = 70}, part_of(&x, 0, 8), &with);
    assert_int_equal(with.parts.n, 4);
    assert_true(part(&with, "labels") == part(&plain, "labels"));
    assert_true(fabs(part(&with, "deep") - 0.5 / 0.75 * part(&plain, "labels")) <= 1e-6);
    assert_true(part(&with, "aux_second") > part(&with, "aux_first") && part(&with, "aux_first") > 0);
    double sum = 0;
    for (int i = 0; i < with.parts.n; i++) sum += with.parts.value[i];
    assert_true(fabs(sum - with.loss) <= 5 * 0x1p-24 * with.loss);                     /* five float operations */
    tape_destroy(tape);
    model_destroy(m);
}

static void a_model_sees_where_in_the_run_it_is(void **state) {
    (void)state;
    Model        *m    = ready(NULL);
    Tape         *tape = new_tape();
    const Noise   x    = noise(1);
    TrainSettings s    = settings_of("seed=9 drop_path=0.25");
    StepReport    report;
    ModelKind     kind = *m->kind;
    real_forward = kind.forward;
    kind.forward = forward_with_auxiliaries;
    m->kind      = &kind;
    pass(m, tape, &s, &(TrainPass){.step = 5, .n_steps = 70}, part_of(&x, 0, 8), &report);
    assert_int_equal(seen.step, 5);
    assert_int_equal(seen.n_steps, 70);
    assert_int_equal(seen.seed, 9);
    assert_true(seen.training && seen.drop_path == 0.25);
    tape_destroy(tape);
    model_destroy(m);
}

static void parts_add_up_by_name(void **state) {
    (void)state;
    TrainParts sum = {0};
    const TrainParts a = {.n = 2, .name = {"labels", "aux"}, .value = {1, 2}}, b = {.n = 2, .name = {"aux", "tokens"}, .value = {10, 20}};
    train_parts_add(&sum, &a, 1);
    train_parts_add(&sum, &b, 0.5);
    assert_int_equal(sum.n, 3);
    assert_string_equal(sum.name[2], "tokens");
    assert_true(sum.value[0] == 1 && sum.value[1] == 7 && sum.value[2] == 10);
}

/* ---- a teacher ---- */

typedef struct Lesson {
    Model        *student;
    Tape         *tape;
    TrainSettings s;
    Teacher      *teacher;
} Lesson;

/* A teacher whose weights are those of small_vit(teacher, seed). */
static Lesson lesson(const char *student, const char *teacher, uint64_t teacher_seed, const char *settings) {
    Lesson l   = {.student = ready(student), .tape = new_tape(), .s = settings_of(settings)};
    Model *m   = small_vit(teacher, teacher_seed);
    Error  err = {0};
    char   sha256[65];
    snprintf(l.s.teacher, sizeof l.s.teacher, "%s/teacher.json", directory);
    snprintf(l.s.teacher_weights, sizeof l.s.teacher_weights, "%s/teacher.safetensors", directory);
    FILE *f = fopen(l.s.teacher, "w");
    assert_non_null(f);
    fprintf(f, "{\"preset\": \"vit_d64_l6_p4_28\", \"img_size\": 8, \"embed_dim\": %d, \"depth\": 3, \"num_heads\": 2, \"mlp_ratio\": 2, \"distilled\": %s}",
            (int)field_number(field_find(m->kind->fields, "embed_dim"), m->self), teacher != NULL && strstr(teacher, "distilled=true") != NULL ? "true" : "false");
    fclose(f);
    good(model_save(m, l.s.teacher_weights, NULL, &err), &err);
    model_destroy(m);
    good(teacher_create(&l.teacher, &l.s, backend_default(), sha256, &err), &err);
    good(teacher_fits(l.teacher, l.student, l.tape, &l.s, &err), &err);
    return l;
}

static void lesson_free(Lesson *l) {
    teacher_destroy(l->teacher);
    tape_destroy(l->tape);
    model_destroy(l->student);
}

static double norm_of(const Model *m, const char *name) {
    const Tensor *t = params_find(((Model *)(uintptr_t)m)->params, name)->tensor;
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(t); i++) sum += (double)t->grad[i] * (double)t->grad[i];
    return sqrt(sum);
}

static void a_student_that_knows_all_learns_nothing_from_its_teacher(void **state) {
    (void)state;
    const Noise x = noise(1);
    StepReport  report;
    Lesson      l = lesson(NULL, NULL, 1, "distill=soft distill_temperature=3 label_weight=0 distill_weight=1 distill_tokens=1");
    pass(l.student, l.tape, &l.s, &(TrainPass){.teacher = l.teacher}, part_of(&x, 0, 8), &report);
    /* recording or not, the same kernels on the same rows give the same bits */
    assert_true(part(&report, "logits") == 0 && part(&report, "tokens") == 0);
    assert_true(train_settle(l.student, l.tape, &l.s) <= 1e-6);
    lesson_free(&l);
    l = lesson(NULL, NULL, 2, "distill=soft distill_temperature=3 label_weight=0 distill_weight=1 distill_tokens=1");
    pass(l.student, l.tape, &l.s, &(TrainPass){.teacher = l.teacher}, part_of(&x, 0, 8), &report);
    assert_true(part(&report, "logits") > 1e-3 && part(&report, "tokens") > 1e-3 && train_settle(l.student, l.tape, &l.s) > 1e-3);
    lesson_free(&l);
}

static void soft_and_hard_losses_follow_their_formulas(void **state) {
    (void)state;
    enum { B = 8 };
    const Noise x = noise(1);
    for (int hard = 0; hard < 2; hard++) {
        Lesson             l = lesson(NULL, NULL, 2, hard ? "distill=hard distill_weight=0.75" : "distill=soft distill_weight=0.75 distill_temperature=2");
        const ModelOutput *theirs;
        ModelOutput        own;
        StepReport         report;
        Error              err = {0};
        double             sum = 0;
        const double       T   = 2;
        pass(l.student, l.tape, &l.s, &(TrainPass){.teacher = l.teacher}, part_of(&x, 0, B), &report);
        good(teacher_answer(l.teacher, x.images, x.ids, B, false, &theirs, &err), &err);
        tape_begin(l.tape, false, (TapeStep){0});
        l.student->kind->forward(l.student->self, l.tape, &(ModelInput){.images = batch_tensor(l.tape, x.images, B, 1, SIDE, SIDE), .image_id = x.ids}, &own);
        for (int b = 0; b < B; b++) {
            const Real *t = theirs->logits->data + b * CLASSES, *z = own.logits->data + b * CLASSES;
            double      zt = 0, zs = 0, zs1 = 0;
            for (int c = 0; c < CLASSES; c++) zt += exp((double)t[c] / T), zs += exp((double)z[c] / T), zs1 += exp((double)z[c]);
            if (hard) sum += log(zs1) - (double)z[logits_best(t, CLASSES)];
            for (int c = 0; !hard && c < CLASSES; c++) {
                const double p = exp((double)t[c] / T) / zt;
                sum += T * T * p * (log(p) - ((double)z[c] / T - log(zs)));
            }
        }
        assert_true(fabs(part(&report, "logits") - 0.75 * sum / B) <= 1e-5 * sum / B);      /* float logits of size 1 */
        assert_true(fabs(part(&report, "labels") + part(&report, "logits") - report.loss) <= 1e-6);
        lesson_free(&l);
    }
}

static void the_heads_of_a_pair_learn_from_labels_and_teacher_apart(void **state) {
    (void)state;
    const Noise x = noise(1);
    StepReport  report;
    for (int hard = 0; hard < 2; hard++) {
        char text[100];
        snprintf(text, sizeof text, "distill=%s label_weight=0 distill_weight=1", hard ? "hard" : "soft");
        Lesson l = lesson("distilled=true", NULL, 2, text);
        pass(l.student, l.tape, &l.s, &(TrainPass){.teacher = l.teacher}, part_of(&x, 0, 8), &report);
        train_settle(l.student, l.tape, &l.s);
        assert_true(norm_of(l.student, "head.weight") == 0 && norm_of(l.student, "head_dist.weight") > 1e-3);
        l.s.label_weight = 1, l.s.distill_weight = 0;
        pass(l.student, l.tape, &l.s, &(TrainPass){.teacher = l.teacher}, part_of(&x, 0, 8), &report);
        train_settle(l.student, l.tape, &l.s);
        assert_true(norm_of(l.student, "head.weight") > 1e-3 && norm_of(l.student, "head_dist.weight") == 0);
        lesson_free(&l);
    }
}

static void tokens_are_compared_patch_by_patch_whatever_else_the_models_carry(void **state) {
    (void)state;
    enum { B = 3 };
    const Noise        x = noise(1);
    Lesson             l = lesson(NULL, "distilled=true", 2, "distill_tokens=0.5");      /* its rows: class, distillation, patches */
    const ModelOutput *theirs;
    ModelOutput        own;
    StepReport         report;
    Error              err = {0};
    double             sum = 0;
    pass(l.student, l.tape, &l.s, &(TrainPass){.teacher = l.teacher}, part_of(&x, 0, B), &report);
    good(teacher_answer(l.teacher, x.images, x.ids, B, true, &theirs, &err), &err);
    tape_begin(l.tape, false, (TapeStep){0});
    l.student->kind->forward(l.student->self, l.tape, &(ModelInput){.images = batch_tensor(l.tape, x.images, B, 1, SIDE, SIDE), .image_id = x.ids, .want_tokens = true}, &own);
    assert_int_equal(own.tokens->dim[0], B * 5);
    assert_int_equal(theirs->tokens->dim[0], B * 6);
    for (int b = 0; b < B; b++)
        for (int p = 0; p < 4; p++)
            for (int d = 0; d < 16; d++)
                sum += pow((double)own.tokens->data[(b * 5 + 1 + p) * 16 + d] - (double)theirs->tokens->data[(b * 6 + 2 + p) * 16 + d], 2);
    assert_true(fabs(part(&report, "tokens") - 0.5 * sum / (B * 4 * 16)) <= 1e-5 * sum / (B * 4 * 16));
    lesson_free(&l);
}

static void a_teacher_costs_what_it_executes_and_never_changes(void **state) {
    (void)state;
    const Noise x = noise(1);
    StepReport  report;
    Lesson      l = lesson(NULL, NULL, 2, "distill=soft");
    char        before[SHA256_TEXT_SIZE], after[SHA256_TEXT_SIZE];
    ModelCounts counts;
    teacher_model(l.teacher)->kind->count(teacher_model(l.teacher)->self, NULL, &counts);
    digest_weights(teacher_model(l.teacher), before);
    for (int k = 0; k < 2; k++) pass(l.student, l.tape, &l.s, &(TrainPass){.teacher = l.teacher}, part_of(&x, 0, 8), &report);
    digest_weights(teacher_model(l.teacher), after);
    assert_string_equal(before, after);
    assert_int_equal(teacher_take_macs(l.teacher), 16 * counts.macs);
    assert_int_equal(teacher_take_macs(l.teacher), 0);
    lesson_free(&l);
}

int main(int argc, char **argv) {
    WAIT_PASSIVELY(argc, argv);
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, in_new_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_closed_form_counts_the_forward_pass_of_a_training_step),
        cmocka_unit_test(batches_that_add_up_are_one_batch_of_all_their_images),
        cmocka_unit_test(the_update_is_by_the_mean_gradient_and_clips_its_norm),
        cmocka_unit_test(averages_follow_the_weights_by_their_decay),
        cmocka_unit_test(the_parts_of_a_loss_are_named_and_sum_to_it),
        cmocka_unit_test(a_model_sees_where_in_the_run_it_is),
        cmocka_unit_test(parts_add_up_by_name),
        IN_DIRECTORY(a_student_that_knows_all_learns_nothing_from_its_teacher),
        IN_DIRECTORY(soft_and_hard_losses_follow_their_formulas),
        IN_DIRECTORY(the_heads_of_a_pair_learn_from_labels_and_teacher_apart),
        IN_DIRECTORY(tokens_are_compared_patch_by_patch_whatever_else_the_models_carry),
        IN_DIRECTORY(a_teacher_costs_what_it_executes_and_never_changes),
    };
    return cmocka_run_group_tests_name("train_step", tests, NULL, NULL);
}
