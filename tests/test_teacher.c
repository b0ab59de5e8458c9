/* Teachers: rows of two models brought together by patch, and what is refused before training. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/train/start_weights.h"
#include "tests/training.h"

static void rows_are_matched_by_image_and_patch(void **state) {
    (void)state;
    Tape *tape = new_tape();
    /* the student kept patches 3 and 1 of image 0, none of image 1, and 2 of image 2; the teacher dropped patch 1 of image 2's grid of four */
    static const int32_t s_offset[] = {0, 3, 4, 6}, s_patch[] = {-1, 3, 1, -1, 2, 9};
    static const int32_t t_offset[] = {0, 6, 11, 15}, t_patch[] = {-1, -2, 0, 1, 2, 3, -1, 0, 1, 2, 3, -1, 3, 2, 0};
    static const int64_t id[] = {0, 1, 2};
    const TokenRows student = {3, s_offset, s_patch, id}, teacher = {3, t_offset, t_patch, id};
    const int32_t  *match = teacher_match_rows(tape, &student, &teacher);
    static const int32_t want[] = {-1, 5, 3, -1, 13, -1};
    assert_non_null(match);
    assert_memory_equal(match, want, sizeof want);
    tape_destroy(tape);
}

/* ---- refusals ---- */

static void write_model(const char *path, const char *preset, const char *keys) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"preset\": \"%s\"%s}", preset, keys);
    fclose(f);
}

static TrainSettings teacher_settings(const char *preset, const char *override, const char *keys, const char *text) {
    TrainSettings s = settings_of(text);
    Model        *m = NULL;
    Error         err = {0};
    snprintf(s.teacher, sizeof s.teacher, "%s/teacher.json", directory);
    snprintf(s.teacher_weights, sizeof s.teacher_weights, "%s/teacher.safetensors", directory);
    write_model(s.teacher, preset, keys);
    good(model_from_preset(&m, preset, override, &err), &err);
    params_init(m->params, 1);
    good(model_save(m, s.teacher_weights, NULL, &err), &err);
    model_destroy(m);
    return s;
}

static void assert_misfit(const char *preset, const char *override, const char *keys, const char *text, const char *field, const char *part) {
    const TrainSettings s = teacher_settings(preset, override, keys, text);
    Model   *student = small_vit(NULL, 1);
    Tape    *tape    = new_tape();
    Teacher *t       = NULL;
    Error    err     = {0};
    char     sha256[65];
    good(teacher_create(&t, &s, backend_default(), sha256, &err), &err);
    assert_int_equal(strlen(sha256), 64);
    assert_false(teacher_fits(t, student, tape, &s, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_string_equal(err.field, field);
    if (strstr(err.message, part) == NULL) fail_msg("wanted '%s', got '%s'", part, err.message);
    teacher_destroy(t);
    tape_destroy(tape);
    model_destroy(student);
}

static void teachers_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const char vit[] = "vit_d64_l6_p4_28";
    assert_misfit(vit, "img_size=12 depth=1", ", \"img_size\": 12, \"depth\": 1", "distill=soft", "/train/teacher", "takes images of 12x12x1, the model 8x8x1");
    assert_misfit(vit, "img_size=8 depth=1 num_classes=7", ", \"img_size\": 8, \"depth\": 1, \"num_classes\": 7", "distill=hard", "/train/teacher", "has 7 classes, the model 10");
    assert_misfit(vit, "img_size=8 depth=1", ", \"img_size\": 8, \"depth\": 1", "distill_tokens=1", "/train/distill_tokens", "teacher's have 64, the model's 16");
    assert_misfit(vit, "img_size=8 depth=1 embed_dim=16 num_heads=2 patch_size=2", ", \"img_size\": 8, \"depth\": 1, \"embed_dim\": 16, \"num_heads\": 2, \"patch_size\": 2",
                  "distill_tokens=1", "/train/distill_tokens", "the teacher has 16, the model 4");
}

/* Its rows are the patches it kept, without the class token. */
static void a_vit_teaches_tokens_to_a_model_that_drops_some(void **state) {
    (void)state;
    const TrainSettings s = teacher_settings("vit_d64_l6_p4_28", "", "", "distill_tokens=1");
    Model   *student = NULL;
    Tape    *tape    = new_tape();
    Teacher *t       = NULL;
    Error    err     = {0};
    char     sha256[65];
    good(model_from_preset(&student, "dynamicvit_d64_l6_p4_0.7_28", "", &err), &err);
    params_init(student->params, 1);
    good(teacher_create(&t, &s, backend_default(), sha256, &err), &err);
    good(teacher_fits(t, student, tape, &s, &err), &err);
    teacher_destroy(t);
    tape_destroy(tape);
    model_destroy(student);
}

static void a_teacher_that_cannot_be_read_is_named(void **state) {
    (void)state;
    TrainSettings s = settings_of("distill=soft teacher=vit_d64_l6_p5_28 teacher_weights=nowhere.safetensors");
    Teacher      *t = NULL;
    Error         err = {0};
    char          sha256[65], text[1024];
    assert_false(teacher_create(&t, &s, backend_default(), sha256, &err));      /* a patch that does not divide the image */
    assert_string_equal(err.field, "/train/teacher");
    err = (Error){0};
    snprintf(s.teacher, sizeof s.teacher, "vit_d64_l6_p4_28");
    assert_false(teacher_create(&t, &s, backend_default(), sha256, &err));
    error_text(&err, text, sizeof text);
    assert_non_null(strstr(text, "nowhere.safetensors"));
    err = (Error){0};
    snprintf(s.teacher, sizeof s.teacher, "%s/absent.json", directory);
    assert_false(teacher_create(&t, &s, backend_default(), sha256, &err));
    error_text(&err, text, sizeof text);
    assert_non_null(strstr(text, "absent.json"));
    assert_null(t);
}

/* ---- weights from another kind ---- */

static const char *rule_seen;

/* The rule "twice": every tensor is twice the one of the same name. */
static bool init_twice(void *self, const Model *source, const char *rule, Error *err) {
    Params *own = *(Params **)self;
    rule_seen   = rule;
    if (strcmp(rule, "twice") != 0) return FAIL(err, "/train/init_rule", "must be twice, got '%s'", rule);
    for (int i = 0; i < params_count(own); i++) {
        const Param *from = params_find(source->params, params_at(own, i)->name);
        for (int64_t k = 0; k < tensor_count(from->tensor); k++) params_at(own, i)->tensor->data[k] = 2 * from->tensor->data[k];
    }
    return true;
}

static void weights_of_another_kind_come_by_its_rule(void **state) {
    (void)state;
    TrainSettings   s    = teacher_settings("vit_d64_l6_p4_28", SMALL_VIT, ", \"img_size\": 8, \"embed_dim\": 16, \"depth\": 3, \"num_heads\": 2, \"mlp_ratio\": 2", "");
    Model          *m    = small_vit(NULL, 9), hooked = *m;
    ModelKind       kind = *m->kind;
    StartingWeights w;
    Error           err  = {0};
    char            sha256[65];
    snprintf(s.init_from, sizeof s.init_from, "%s", s.teacher);
    snprintf(s.init_from_weights, sizeof s.init_from_weights, "%s", s.teacher_weights);
    assert_false(start_weights(m, &s, NULL, &w, &err));                         /* a ViT has no such rule */
    assert_string_equal(err.field, "/train/init_from");
    assert_non_null(strstr(err.message, "vit cannot be started from another kind"));
    kind.init_from = init_twice;
    hooked.kind    = &kind;
    hooked.self    = &hooked.params;                                            /* all that init_twice needs */
    err = (Error){0};
    snprintf(s.init_rule, sizeof s.init_rule, "thrice");
    assert_false(start_weights(&hooked, &s, NULL, &w, &err));
    assert_string_equal(err.field, "/train/init_rule");
    snprintf(s.init_rule, sizeof s.init_rule, "twice");
    const Param   *head    = params_find(m->params, "head.weight");
    const uint64_t version = head->tensor->version;
    good(start_weights(&hooked, &s, NULL, &w, &err), &err);
    assert_string_equal(rule_seen, "twice");
    assert_true(head->tensor->version > version);                               /* packed copies are told */
    Model *source = small_vit(NULL, 1);
    good(model_load(source, s.init_from_weights, (LoadOptions){0}, sha256, NULL, &err), &err);
    assert_string_equal(w.sha256, sha256);
    assert_string_equal(json_string_value(json_object_get(w.source, "model")), "vit");
    assert_true(head->tensor->data[7] == 2 * params_find(source->params, "head.weight")->tensor->data[7]);
    json_decref(w.source);
    assert_false(start_weights(&hooked, &s, "file.safetensors", &w, &err));
    assert_non_null(strstr(err.message, "beside --weights"));
    model_destroy(source);
    model_destroy(m);
}

static void without_a_source_weights_are_drawn_or_read(void **state) {
    (void)state;
    const TrainSettings s = settings_of("seed=3");
    Model          *a = small_vit(NULL, 1), *b = small_vit(NULL, 2);
    StartingWeights w;
    Error           err = {0};
    char            path[128], one[SHA256_TEXT_SIZE], other[SHA256_TEXT_SIZE];
    snprintf(path, sizeof path, "%s/w.safetensors", directory);
    good(start_weights(a, &s, NULL, &w, &err), &err);
    assert_true(w.sha256[0] == '\0' && w.source == NULL);
    good(model_save(a, path, NULL, &err), &err);
    good(start_weights(b, &s, path, &w, &err), &err);
    assert_int_equal(strlen(w.sha256), 64);
    digest_weights(a, one);
    digest_weights(b, other);
    assert_string_equal(one, other);
    model_destroy(a);
    model_destroy(b);
}

int main(int argc, char **argv) {
    WAIT_PASSIVELY(argc, argv);
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, in_new_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_matched_by_image_and_patch),
        IN_DIRECTORY(teachers_that_do_not_fit_are_refused),
        IN_DIRECTORY(a_vit_teaches_tokens_to_a_model_that_drops_some),
        IN_DIRECTORY(a_teacher_that_cannot_be_read_is_named),
        IN_DIRECTORY(weights_of_another_kind_come_by_its_rule),
        IN_DIRECTORY(without_a_source_weights_are_drawn_or_read),
    };
    return cmocka_run_group_tests_name("teacher", tests, NULL, NULL);
}
