/* Configuration files: every key consumed, every wrong one named by its JSON pointer, overrides, and what is written back
 * reads as the same. */
#include "harness/config.h"

#include "engine/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a table with every type ---- */

static const char *const colours[] = {"red", "green", "blue", NULL};

typedef struct Sample {
    int       count, colour;
    double    ratio;
    bool      flag;
    FieldText label;
    IntList   sizes;
    RealList  weights;
    int       needed;
} Sample;

static const Field sample_fields[] = {
    INT_FIELD (Sample, count, 1, 64, 8, "things"),
    REAL_FIELD(Sample, ratio, 0, 1, 0.5, "share"),
    BOOL_FIELD(Sample, flag, true, "yes or no"),
    WORD_FIELD(Sample, colour, colours, 1, "of things"),
    TEXT_FIELD(Sample, label, "none", "a name"),
    {.key = "sizes", .type = FIELD_INTS, .offset = FIELD_AT(Sample, sizes), .min = 1, .max = 9, .help = "each"},
    {.key = "weights", .type = FIELD_REALS, .offset = FIELD_AT(Sample, weights), .min = 0, .max = 1, .help = "each"},
    INT_FIELD  (Sample, needed, 0, 5, 0, "another number"),
    FIELDS_END,
};

static bool read_sample(const char *text, Sample *out, Error *err) {
    json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(tree);
    *err = (Error){0};
    const bool ok = config_read_block(tree, sample_fields, out, "/sample", err);
    json_decref(tree);
    return ok;
}

static void a_block_sets_every_type_and_falls_back_for_the_rest(void **state) {
    (void)state;
    Sample s;
    Error  err;
    assert_true(read_sample("{\"needed\": 3, \"ratio\": 1, \"colour\": \"blue\", \"sizes\": [1, 9], \"weights\": [0.25]}", &s, &err));
    assert_int_equal(s.needed, 3);
    assert_int_equal(s.count, 8);
    assert_true(s.ratio == 1 && s.flag);
    assert_int_equal(s.colour, 2);
    assert_string_equal(s.label, "none");
    assert_int_equal(s.sizes.n, 2);
    assert_int_equal(s.sizes.value[1], 9);
    assert_true(s.weights.n == 1 && s.weights.value[0] == 0.25);
}

static void what_is_wrong_is_named_with_what_is_allowed(void **state) {
    (void)state;
    static const struct { const char *text, *field, *message; } wrong[] = {
        {"{\"needed\": 1, \"cuont\": 2}",          "/sample/cuont",     "did you mean \"count\"?"},
        {"{\"needed\": 1, \"wholly_else\": 2}",    "/sample/wholly_else", "known: count, ratio"},
        {"{\"needed\": 1, \"a/b~c\": 2}",          "/sample/a~1b~0c",   "unknown key"},
        {"{\"needed\": 1, \"count\": 0}",          "/sample/count",     "must be in [1, 64], got 0"},
        {"{\"needed\": 1, \"count\": 65}",         "/sample/count",     "must be in [1, 64], got 65"},
        {"{\"needed\": 1, \"count\": 1.5}",        "/sample/count",     "whole number"},
        {"{\"needed\": 1, \"count\": 9223372036854775807}", "/sample/count", "must be in [1, 64]"},
        {"{\"needed\": 1, \"count\": \"8\"}",      "/sample/count",     "a whole number in [1, 64], got \"8\""},
        {"{\"needed\": 1, \"count\": true}",       "/sample/count",     "got true"},
        {"{\"needed\": 1, \"count\": null}",       "/sample/count",     "got null"},
        {"{\"needed\": 1, \"count\": [8]}",        "/sample/count",     "got [8]"},
        {"{\"needed\": 1, \"count\": {}}",         "/sample/count",     "got {}"},
        {"{\"needed\": 1, \"ratio\": 1.01}",       "/sample/ratio",     "must be in [0, 1], got 1.01"},
        {"{\"needed\": 1, \"flag\": 1}",           "/sample/flag",      "true or false"},
        {"{\"needed\": 1, \"colour\": \"pink\"}",  "/sample/colour",    "one of red, green, blue"},
        {"{\"needed\": 1, \"colour\": 1}",         "/sample/colour",    "one of red, green, blue, got 1"},
        {"{\"needed\": 1, \"label\": 1}",          "/sample/label",     "a text, got 1"},
        {"{\"needed\": 1, \"sizes\": 3}",          "/sample/sizes",     "a list of whole numbers in [1, 9], got 3"},
        {"{\"needed\": 1, \"sizes\": []}",         "/sample/sizes",     "1 to 32 entries, got 0"},
        {"{\"needed\": 1, \"sizes\": [1, 10]}",    "/sample/sizes/1",   "must be in [1, 9], got 10"},
        {"{\"needed\": 1, \"sizes\": [1, \"x\"]}", "/sample/sizes/1",   "must be a number"},
        {"{\"needed\": 1, \"weights\": [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]}",
         "/sample/weights", "1 to 32 entries, got 33"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Sample s;
        Error  err;
        if (read_sample(wrong[i].text, &s, &err)) fail_msg("%s was taken", wrong[i].text);
        assert_string_equal(err.field, wrong[i].field);
        if (strstr(err.message, wrong[i].message) == NULL) fail_msg("%s: \"%s\"", wrong[i].text, err.message);
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    }
}

static void a_block_that_is_no_object_is_refused(void **state) {
    (void)state;
    Sample  s;
    Error   err  = {0};
    json_t *list = json_array();
    assert_false(config_read_block(list, sample_fields, &s, "/sample", &err));
    assert_string_equal(err.field, "/sample");
    assert_false(config_read_block(NULL, sample_fields, &s, "/sample", &err));
    json_decref(list);
}

static void fields_written_as_json_read_back_equal(void **state) {
    (void)state;
    Sample  s, again;
    Error   err;
    assert_true(read_sample("{\"needed\": 5, \"ratio\": 0.1, \"flag\": false, \"label\": \"a \\\"b\\\" \\u00e9\", \"sizes\": [3, 2, 1], "
                            "\"weights\": [0.6666666666666666, 1]}", &s, &err));
    json_t *first = fields_to_json(sample_fields, &s);
    assert_non_null(first);
    assert_int_equal(json_object_size(first), 8);
    assert_true(config_read_block(first, sample_fields, &again, "", &err));
    json_t *second = fields_to_json(sample_fields, &again);
    assert_true(json_equal(first, second));
    assert_true(json_is_integer(json_object_get(first, "needed")) && json_is_real(json_object_get(first, "ratio")));
    assert_string_equal(json_string_value(json_object_get(first, "colour")), "green");
    json_decref(first);
    json_decref(second);
}

/* ---- models ---- */

static bool read_model(const char *text, Model **out, const char *path, Error *err) {
    json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(tree);
    *err = (Error){0};
    const bool ok = config_read_model(tree, out, path, err);
    json_decref(tree);
    return ok;
}

static void a_preset_and_its_keys_written_out_are_the_same_model(void **state) {
    (void)state;
    Model *a = NULL, *b = NULL;
    Error  err;
    assert_true(read_model("{\"preset\": \"vit_d64_l6_p4_28\", \"depth\": 2}", &a, "/model", &err));
    json_t *written = model_to_json(a);
    assert_true(json_object_get(written, "preset") == NULL);
    assert_true(config_read_model(written, &b, "/model", &err));
    json_t *again = model_to_json(b);
    assert_true(json_equal(written, again));
    assert_true(params_elements(a->params) == params_elements(b->params));
    assert_string_equal(a->preset, "vit_d64_l6_p4_28");
    assert_string_equal(b->preset, "");
    json_decref(written);
    json_decref(again);
    model_destroy(a);
    model_destroy(b);
}

static void a_wrong_model_is_told_where(void **state) {
    (void)state;
    static const struct { const char *text, *path, *field, *message; } wrong[] = {
        {"{}",                                                   "",       "/model",            "must be given, one of"},
        {"{\"model\": \"resnet\"}",                              "/model", "/model/model",      "must be one of"},
        {"{\"model\": 3}",                                       "",       "/model",            "must be a text"},
        {"{\"modle\": \"vit\"}",                                 "",       "/model",            "must be given"},
        {"{\"preset\": \"vit_d64_l6_p4_29\"}",                   "/model", "/model/preset",     "did you mean"},
        {"{\"preset\": \"vit_d99999_l6_p4_28\"}",                "/model", "/model/preset",     "embed_dim must be in"},
        {"{\"preset\": \"vit_d64_l6_p4_28\", \"model\": \"x\"}", "",       "/preset",           "is a preset of vit"},
        {"{\"model\": \"vit\", \"embed_dmi\": 4}",               "",       "/embed_dmi",        "\"embed_dim\""},
        {"{\"model\": \"vit\", \"embed_dim\": -4}",              "/model", "/model/embed_dim",  "got -4"},
        {"{\"model\": \"vit\", \"patch_size\": 5}",              "",       "/patch_size",       "must divide img_size"},
        {"{\"model\": \"vit\", \"patch_size\": 5}",              "/model", "/model/patch_size", "must divide img_size"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Model *m = NULL;
        Error  err;
        if (read_model(wrong[i].text, &m, wrong[i].path, &err)) fail_msg("%s was taken", wrong[i].text);
        assert_string_equal(err.field, wrong[i].field);
        if (strstr(err.message, wrong[i].message) == NULL) fail_msg("%s: \"%s\"", wrong[i].text, err.message);
    }
}

/* ---- files and overrides ---- */

static char directory[] = "/tmp/morbench-config-XXXXXX";
static char file_path[64];

static int make_directory(void **state) {
    (void)state;
    if (mkdtemp(directory) == NULL) return 1;
    snprintf(file_path, sizeof file_path, "%s/c.json", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    unlink(file_path);
    return rmdir(directory);
}

static bool load(Config *c, const char *text, int n_overrides, char *const override[], Error *err) {
    *err = (Error){0};
    assert_true(file_write_durable(file_path, text, strlen(text), err));
    return config_load(c, file_path, n_overrides, override, err);
}

static const char usual[] = "{\"question\": \"why?\", \"data\": {\"name\": \"synthetic:28x28x1:10:64\", \"limit\": 32},\n"
                            " \"model\": {\"preset\": \"vit_d64_l6_p4_28\"}, \"train\": {\"epochs\": 3, \"seed\": 7}}";

static void a_file_gives_its_blocks_and_fallbacks(void **state) {
    (void)state;
    Config        c;
    DataSettings  data;
    TrainSettings train;
    Model        *m = NULL;
    Error         err;
    assert_true(load(&c, usual, 0, NULL, &err));
    assert_true(config_data(&c, &data, &err) && config_train(&c, &train, &err) && config_model(&c, &m, &err));
    assert_int_equal(train.epochs, 3);
    assert_int_equal(train.seed, 7);
    assert_int_equal(train.batch_size, (int)field_find(train_fields, "batch_size")->fallback);
    assert_int_equal(data.limit, 32);
    const DatasetOptions options = data_settings_options(&data, true), test = data_settings_options(&data, false);
    assert_string_equal(options.name_or_dir, "synthetic:28x28x1:10:64");
    assert_string_equal(options.split, "train");
    assert_string_equal(test.split, "test");
    assert_int_equal(options.limit, 32);
    assert_int_equal(test.limit, 0);
    assert_null(config_block(&c, "vary"));
    assert_string_equal(json_string_value(config_block(&c, "question")), "why?");
    json_t *whole = settings_to_json(&data, m, &train);
    assert_int_equal(json_object_size(whole), 3);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(whole, "model"), "embed_dim")), 64);
    json_decref(whole);
    model_destroy(m);
    config_release(&c);
}

static void overrides_set_numbers_texts_lists_and_new_blocks(void **state) {
    (void)state;
    Config c;
    Error  err;
    char  *override[] = {(char[]){"train.epochs=2"}, (char[]){"train.lr=1e-2"}, (char[]){"data.name=fashion_mnist"}, (char[]){"model.depth=4"},
                         (char[]){"measure.batch=[1, 16]"}, (char[]){"measure.batch.1=8"}, (char[]){"train.flip=true"},
                         (char[]){"train.epochs=5"}, (char[]){"data.dir="}};
    assert_true(load(&c, usual, 9, override, &err));
    TrainSettings train;
    assert_true(config_train(&c, &train, &err));
    assert_int_equal(train.epochs, 5);                     /* the last one counts */
    assert_true(train.lr == 1e-2 && train.flip);
    assert_int_equal(json_integer_value(json_object_get(config_block(&c, "model"), "depth")), 4);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(config_block(&c, "measure"), "batch"), 1)), 8);
    assert_string_equal(json_string_value(json_object_get(config_block(&c, "data"), "dir")), "");
    config_release(&c);
}

static void bad_overrides_are_refused_by_name(void **state) {
    (void)state;
    static const struct { const char *text, *field; } wrong[] = {
        {"train.epochs", ""}, {"=3", ""}, {"trian.epochs=3", "/trian"}, {"epochs=3", "/epochs"}, {"train=3", "/train"}, {"question=3", "/question"},
        {"train.epochs.x=1", "/train/epochs/x"}, {"train..epochs=1", "/train//epochs"}, {"vary.x=1", "/vary/x"}, {".=1", "/"},
        {"train.lr=\xff", "/train/lr"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Config c;
        Error  err;
        char   text[64];
        char  *override[] = {text};
        snprintf(text, sizeof text, "%s", wrong[i].text);
        if (load(&c, usual, 1, override, &err)) fail_msg("'%s' was taken", wrong[i].text);
        assert_string_equal(err.field, wrong[i].field);
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
        assert_null(c.tree);
    }
}

static void a_misspelt_override_is_named_when_its_block_is_read(void **state) {
    (void)state;
    Config        c;
    TrainSettings train;
    Error         err;
    char         *override[] = {(char[]){"train.epohcs=2"}};
    assert_true(load(&c, usual, 1, override, &err));
    assert_false(config_train(&c, &train, &err));
    assert_string_equal(err.field, "/train/epohcs");
    assert_string_equal(err.input, file_path);
    assert_non_null(strstr(err.message, "\"epochs\""));
    config_release(&c);
}

static void a_wrong_file_is_told_where(void **state) {
    (void)state;
    static const struct { const char *text, *field; } wrong[] = {
        {"{\"trian\": {}}", "/trian"}, {"{\"train\": []}", "/train"}, {"{\"question\": 1}", "/question"}, {"[]", ""}, {"{\"train\": {}", ""},
        {"{\"train\": {}, \"train\": {}}", ""}, {"", ""}, {"{\"vary\": {\"/train/seed\": 1}}", "/vary/~1train~1seed"},
        {"{\"vary\": {\"/train/seed\": []}}", "/vary/~1train~1seed"}, {"{\"vary\": {\"train.seed\": [1]}}", "/vary/train.seed"},
        {"{\"vary\": {\"/question\": [\"a\"]}}", "/vary/~1question"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Config c;
        Error  err;
        if (load(&c, wrong[i].text, 0, NULL, &err)) fail_msg("%s was taken", wrong[i].text);
        assert_string_equal(err.field, wrong[i].field);
        assert_string_equal(err.input, file_path);
    }
}

static void a_missing_model_block_is_an_error_and_a_missing_train_block_is_not(void **state) {
    (void)state;
    Config        c;
    TrainSettings train;
    DataSettings  data;
    Model        *m = NULL;
    Error         err;
    assert_true(load(&c, "{}", 0, NULL, &err));
    assert_true(config_train(&c, &train, &err) && config_data(&c, &data, &err));
    assert_string_equal(data.name, "fashion_mnist");
    assert_false(config_model(&c, &m, &err));
    assert_string_equal(err.field, "/model");
    config_release(&c);
}

static void data_is_named_or_a_directory_but_not_both(void **state) {
    (void)state;
    static const struct { const char *text, *field; } wrong[] = {
        {"{\"data\": {\"name\": \"cifar10\", \"dir\": \"x\"}}", "/data/dir"}, {"{\"data\": {\"dir\": \"x\", \"root\": \"y\"}}", "/data/root"},
        {"{\"data\": {\"preprocess\": \"dait\"}}", "/data/preprocess"}, {"{\"data\": {\"limit\": -1}}", "/data/limit"},
        {"{\"data\": {\"train_split\": \"valid\"}}", "/data/train_split"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Config       c;
        DataSettings data;
        Error        err;
        assert_true(load(&c, wrong[i].text, 0, NULL, &err));
        assert_false(config_data(&c, &data, &err));
        assert_string_equal(err.field, wrong[i].field);
        config_release(&c);
    }
}

static void a_model_file_is_flat_or_lies_in_its_block(void **state) {
    (void)state;
    static const char *const texts[] = {"{\"model\": \"vit\", \"img_size\": 8, \"patch_size\": 4, \"embed_dim\": 8, \"num_heads\": 2, \"depth\": 1}",
                                        "{\"preset\": \"vit_d64_l6_p4_28\"}", "{\"model\": {\"preset\": \"vit_d64_l6_p4_28\"}, \"train\": {}}"};
    Error err = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Model *m = NULL;
        assert_true(file_write_durable(file_path, texts[i], strlen(texts[i]), &err));
        assert_true(config_load_model_file(file_path, &m, &err));
        model_destroy(m);
    }
    Model *m = NULL;
    assert_true(file_write_durable(file_path, "{\"model\": {\"preset\": 1}}", 24, &err));
    assert_false(config_load_model_file(file_path, &m, &err));
    assert_string_equal(err.field, "/model/preset");
    assert_string_equal(err.input, file_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_sets_every_type_and_falls_back_for_the_rest),
        cmocka_unit_test(what_is_wrong_is_named_with_what_is_allowed),
        cmocka_unit_test(a_block_that_is_no_object_is_refused),
        cmocka_unit_test(fields_written_as_json_read_back_equal),
        cmocka_unit_test(a_preset_and_its_keys_written_out_are_the_same_model),
        cmocka_unit_test(a_wrong_model_is_told_where),
        cmocka_unit_test(a_file_gives_its_blocks_and_fallbacks),
        cmocka_unit_test(overrides_set_numbers_texts_lists_and_new_blocks),
        cmocka_unit_test(bad_overrides_are_refused_by_name),
        cmocka_unit_test(a_misspelt_override_is_named_when_its_block_is_read),
        cmocka_unit_test(a_wrong_file_is_told_where),
        cmocka_unit_test(a_missing_model_block_is_an_error_and_a_missing_train_block_is_not),
        cmocka_unit_test(data_is_named_or_a_directory_but_not_both),
        cmocka_unit_test(a_model_file_is_flat_or_lies_in_its_block),
    };
    return cmocka_run_group_tests_name("config", tests, make_directory, remove_directory);
}
