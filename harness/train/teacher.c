/* Builds, checks and asks the teacher of a distillation (teacher.h). */
#include "harness/train/teacher.h"

#include "baselines/registry.h"
#include "harness/config.h"
#include "harness/interrupt.h"
#include "harness/measure/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Teacher {
    Model      *model;
    Tape       *tape;                /* its own: what it answers outlives the student's step */
    ModelOutput answer;
};

static bool ends_in(const char *text, const char *ending) {
    const size_t n = strlen(text), e = strlen(ending);
    return n >= e && strcmp(text + n - e, ending) == 0;
}

bool model_from_name_or_file(Model **out, const char *name_or_file, const char *field, Error *err) {
    if (ends_in(name_or_file, ".json")) return config_load_model_file(name_or_file, out, err);
    Error inner = {0};
    if (model_from_preset(out, name_or_file, NULL, &inner)) return true;
    return FAIL_STATUS(err, inner.exit_status, field, "%.400s", inner.message);
}

bool teacher_create(Teacher **out, const TrainSettings *s, const Backend *backend, char sha256[65], Error *err) {
    char     warning[512];
    Teacher *t = calloc(1, sizeof *t);
    if (t == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "/train/teacher", "out of memory");
    if (!model_from_name_or_file(&t->model, s->teacher, "/train/teacher", err)
        || !model_load(t->model, s->teacher_weights, (LoadOptions){0}, sha256, warning, err) || !tape_create(&t->tape, backend, err)) {
        teacher_destroy(t);
        return false;
    }
    if (warning[0] != '\0') fprintf(stderr, "morbench: warning: %s: %s\n", s->teacher_weights, warning);
    tape_set_stop(t->tape, interrupt_raised);
    *out = t;
    return true;
}

void teacher_destroy(Teacher *t) {
    if (t == NULL) return;
    tape_destroy(t->tape);
    model_destroy(t->model);
    free(t);
}

const Model *teacher_model(const Teacher *t) { return t->model; }

bool teacher_answer(Teacher *t, const float *images, const int64_t *ids, int n, bool want_tokens, const ModelOutput **out, Error *err) {
    int channels, height, width, classes;
    t->model->kind->image_shape(t->model->self, &channels, &height, &width, &classes);
    tape_begin(t->tape, false, (TapeStep){0});
    const ModelInput in = {.images = batch_tensor(t->tape, images, n, channels, height, width), .image_id = ids, .want_tokens = want_tokens};
    t->model->kind->forward(t->model->self, t->tape, &in, &t->answer);
    if (tape_failed(t->tape))
        return interrupted(err) ? false : FAIL_STATUS(err, EXIT_MACHINE, "/train/batch_size", "out of memory when the teacher sees %d images; try a smaller batch", n);
    *out = &t->answer;
    return true;
}

/* Patches of the grid an output's tokens come from, of which a model may have dropped some. */
static int n_patches(const ModelOutput *y) { return y->n_tokens - y->n_prefix; }

static bool tokens_fit(Teacher *t, Model *student, Tape *tape, const float *image, int channels, int height, int width, Error *err) {
    const ModelOutput *theirs;
    ModelOutput        own;
    const int64_t      id = 0;
    if (!teacher_answer(t, image, &id, 1, true, &theirs, err)) return false;
    tape_begin(tape, false, (TapeStep){0});
    student->kind->forward(student->self, tape,
                           &(ModelInput){.images = batch_tensor(tape, image, 1, channels, height, width), .image_id = &id, .want_tokens = true}, &own);
    if (tape_failed(tape)) return interrupted(err) ? false : FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    if (theirs->tokens == NULL || own.tokens == NULL)
        return FAIL(err, "/train/distill_tokens", "%s has no tokens to compare", theirs->tokens == NULL ? t->model->kind->name : student->kind->name);
    if (tensor_width(own.tokens) != tensor_width(theirs->tokens))
        return FAIL(err, "/train/distill_tokens", "needs tokens of one width: the teacher's have %lld, the model's %lld",
                    (long long)tensor_width(theirs->tokens), (long long)tensor_width(own.tokens));
    if (n_patches(&own) != n_patches(theirs))
        return FAIL(err, "/train/distill_tokens", "needs one grid of patches: the teacher has %d, the model %d", n_patches(theirs), n_patches(&own));
    return true;
}

bool teacher_fits(Teacher *t, Model *student, Tape *tape, const TrainSettings *s, Error *err) {
    int c, h, w, classes, own_c, own_h, own_w, own_classes;
    t->model->kind->image_shape(t->model->self, &c, &h, &w, &classes);
    student->kind->image_shape(student->self, &own_c, &own_h, &own_w, &own_classes);
    if (c != own_c || h != own_h || w != own_w)
        return FAIL(err, "/train/teacher", "takes images of %dx%dx%d, the model %dx%dx%d (height, width, channels)", h, w, c, own_h, own_w, own_c);
    if (s->distill != DISTILL_NONE && classes != own_classes)
        return FAIL(err, "/train/teacher", "has %d classes, the model %d", classes, own_classes);
    if (s->distill_tokens == 0) return true;
    float *image = calloc((size_t)c * (size_t)h * (size_t)w, sizeof *image);
    if (image == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    const bool ok = tokens_fit(t, student, tape, image, c, h, w, err);
    (void)teacher_take_macs(t);
    profile_clear(tape_profile(tape));
    free(image);
    return ok;
}

const int32_t *teacher_match_rows(Tape *tape, const TokenRows *student, const TokenRows *teacher) {
    CHECK(student->n_images == teacher->n_images, "teacher_match_rows: %d and %d images", student->n_images, teacher->n_images);
    const int64_t M    = token_rows_count(student);
    int32_t       most = 0;
    for (int32_t row = 0; row < token_rows_count(teacher); row++)
        if (teacher->patch[row] > most) most = teacher->patch[row];
    int32_t *match = tape_alloc(tape, (size_t)(M + 1) * sizeof *match);
    int32_t *at    = tape_alloc(tape, (size_t)(most + 1) * sizeof *at);        /* row of each patch of the image at hand */
    if (match == NULL || at == NULL) return NULL;
    for (int b = 0; b < student->n_images; b++) {
        for (int32_t i = 0; i <= most; i++) at[i] = -1;
        for (int32_t row = teacher->offset[b]; row < teacher->offset[b + 1]; row++)
            if (teacher->patch[row] >= 0) at[teacher->patch[row]] = row;
        for (int32_t row = student->offset[b]; row < student->offset[b + 1]; row++) {
            const int32_t patch = student->patch[row];
            match[row] = patch >= 0 && patch <= most ? at[patch] : -1;
        }
    }
    return match;
}

int64_t teacher_take_macs(Teacher *t) {
    const int64_t macs = profile_total(tape_profile(t->tape), 0, 0).macs;
    profile_clear(tape_profile(t->tape));
    return macs;
}

size_t teacher_peak_bytes(const Teacher *t) { return arena_peak_bytes(tape_arena(t->tape)); }
