/* The table of models and presets: names with sizes in them, misspelt ones, and the published sizes of known ones. */
#include "baselines/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static Model *built(const char *preset, const char *override) {
    Model *m   = NULL;
    Error  err = {0};
    if (!model_from_preset(&m, preset, override, &err)) fail_msg("%s: %s %s", preset, err.field, err.message);
    return m;
}

static int setting(const Model *m, const char *key) {
    const Field *f = field_find(m->kind->fields, key);
    assert_non_null(f);
    return (int)field_number(f, m->self);
}

static void every_listed_preset_builds_and_has_a_cost(void **state) {
    (void)state;
    const char      *name;
    const ModelKind *kind;
    int              n = 0;
    for (; (name = preset_name(n, &kind)) != NULL; n++) {
        Model      *m = built(name, NULL);
        ModelCounts counts;
        assert_ptr_equal(m->kind, kind);
        assert_string_equal(m->preset, name);
        assert_null(strchr(name, '{'));
        m->kind->count(m->self, &(RouteCounts){0}, &counts);
        assert_true(counts.macs > 0 && counts.activations > 0 && params_elements(m->params) > 0);
        model_destroy(m);
    }
    assert_true(n >= 23);
    assert_null(preset_name(-1, NULL));
}

static void no_preset_is_listed_twice(void **state) {
    (void)state;
    for (int i = 0; preset_name(i, NULL) != NULL; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(preset_name(i, NULL), preset_name(j, NULL));
}

/* Sizes as timm's tables give them; the MACs are those of products alone. */
static void known_presets_have_their_published_size(void **state) {
    (void)state;
    static const struct { const char *name; int64_t params, macs; } known[] = {
        {"vit_tiny_patch16_224",  5717416,  1253683200},
        {"vit_small_patch16_224", 22050664, 4598882304},
        {"deit_base_patch16_224", 86567656, 17563828224},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        Model      *m = built(known[i].name, NULL);
        ModelCounts counts;
        m->kind->count(m->self, &(RouteCounts){0}, &counts);
        assert_true(params_elements(m->params) == known[i].params && params_elements_unrolled(m->params) >= known[i].params);
        assert_true(counts.macs == known[i].macs);
        model_destroy(m);
    }
}

static void sizes_are_read_from_a_name_that_is_not_listed(void **state) {
    (void)state;
    Model *m = built("vit_d128_l3_p7_28", NULL);
    assert_int_equal(setting(m, "embed_dim"), 128);
    assert_int_equal(setting(m, "depth"), 3);
    assert_int_equal(setting(m, "patch_size"), 7);
    assert_int_equal(setting(m, "img_size"), 28);
    assert_int_equal(setting(m, "in_chans"), 1);
    model_destroy(m);
}

static void an_override_beats_the_preset(void **state) {
    (void)state;
    Model *m = built("vit_d96_l6_p4_28", "depth=2 num_classes=7");
    assert_int_equal(setting(m, "depth"), 2);
    assert_int_equal(setting(m, "num_classes"), 7);
    assert_int_equal(setting(m, "embed_dim"), 96);
    model_destroy(m);
}

static void a_misspelt_preset_is_told_the_nearest_and_how_to_list_all(void **state) {
    (void)state;
    Model *m = NULL;
    Error  err = {0};
    assert_false(model_from_preset(&m, "vit_smal_patch16_224", NULL, &err));
    assert_non_null(strstr(err.message, "'vit_small_patch16_224'"));
    assert_non_null(strstr(err.message, "morbench list models"));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_false(model_from_preset(&m, "resnet50", NULL, &err));
    assert_null(strstr(err.message, "did you mean"));
    assert_non_null(strstr(err.message, "morbench list models"));
}

static void a_pattern_matches_the_whole_name_only(void **state) {
    (void)state;
    static const char *const wrong[] = {"vit_d96_l6_p4_28x", "vit_d_l6_p4_28", "xvit_d96_l6_p4_28", "vit_d-96_l6_p4_28", "vit_d96_l6_p4",
                                        "vit_d96.5_l6_p4_28", "vit_d{embed_dim}_l{depth}_p{patch_size}_28", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Model *m   = NULL;
        Error  err = {0};
        if (model_from_preset(&m, wrong[i], NULL, &err)) fail_msg("'%s' was taken for a preset", wrong[i]);
    }
}

static void sizes_out_of_range_are_refused_by_name(void **state) {
    (void)state;
    Model *m = NULL;
    Error  err = {0};
    assert_false(model_from_preset(&m, "vit_d99999_l6_p4_28", NULL, &err));
    assert_string_equal(err.field, "/model/embed_dim");
    assert_false(model_from_preset(&m, "vit_d96_l99999999999999999999_p4_28", NULL, &err));
    assert_string_equal(err.field, "/model/depth");
    assert_false(model_from_preset(&m, "vit_d96_l6_p5_28", NULL, &err));          /* 5 does not divide 28 */
    assert_string_equal(err.field, "/model/patch_size");
    char longest[2000];
    snprintf(longest, sizeof longest, "vit_d%01500d_l6_p4_28", 96);
    assert_false(model_from_preset(&m, longest, NULL, &err));
    assert_false(model_from_preset(&m, "vit_d96_l6_p4_28", "dept=2", &err));
    assert_non_null(strstr(err.message, "\"depth\""));
}

static void kinds_are_found_by_name_and_by_no_other(void **state) {
    (void)state;
    for (int i = 0; i < model_kind_count(); i++) {
        const ModelKind *kind = model_kind_at(i);
        assert_ptr_equal(model_find(kind->name), kind);
        assert_non_null(strstr(model_names(), kind->name));
    }
    assert_null(model_find("vit2"));
    assert_null(model_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_listed_preset_builds_and_has_a_cost),
        cmocka_unit_test(no_preset_is_listed_twice),
        cmocka_unit_test(known_presets_have_their_published_size),
        cmocka_unit_test(sizes_are_read_from_a_name_that_is_not_listed),
        cmocka_unit_test(an_override_beats_the_preset),
        cmocka_unit_test(a_misspelt_preset_is_told_the_nearest_and_how_to_list_all),
        cmocka_unit_test(a_pattern_matches_the_whole_name_only),
        cmocka_unit_test(sizes_out_of_range_are_refused_by_name),
        cmocka_unit_test(kinds_are_found_by_name_and_by_no_other),
    };
    return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
