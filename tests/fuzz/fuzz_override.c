/* Fuzz target: any bytes as overrides of the command line, one a line, on a small experiment. Refused with an error that says something; or
 * accepted, and then the file with them in it reads as the same, in as many combinations of what varies, and its cells are sound. Build with
 * -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "harness/sweep/vary.h"
#include "tests/fuzz/experiment_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char base[] =
    "{\"question\": \"?\", \"data\": {\"name\": \"synthetic:8x8x1:4:16\"},"
    " \"model\": {\"model\": \"vit\", \"img_size\": 8, \"patch_size\": 4, \"in_chans\": 1, \"embed_dim\": 8, \"depth\": 1, \"num_heads\": 1, \"num_classes\": 4},"
    " \"train\": {\"epochs\": 1, \"batch_size\": 4}, \"seeds\": [1, 2], \"measure\": {\"batch\": [1]},"
    " \"vary\": {\"zip\": {\"/model/depth\": [1, 2]}, \"around\": {\"/train/lr\": [0.1, {\"label\": \"low\", \"value\": 0.01}]}}}";

static int depth(const json_t *value) {
    const json_t *inner;
    const char   *key;
    size_t        i;
    int           most = 0;
    json_object_foreach((json_t *)value, key, inner) most = depth(inner) > most ? depth(inner) : most;
    json_array_foreach(value, i, inner) most = depth(inner) > most ? depth(inner) : most;
    return most + 1;
}

/* Overrides may nest deeper than a file may. */
static void check_written(const Config *c) {
    Config again;
    Error  err  = {0};
    char  *text = json_to_text(c->tree);
    CHECK(text != NULL, "cannot be written");
    if (depth(c->tree) < JSON_MAX_DEPTH) {
        CHECK(config_load(&again, bytes_file(text, strlen(text)), 0, NULL, &err), "written, it is refused: %s %s", err.field, err.message);
        CHECK(json_equal(c->tree, again.tree), "written, it is another");
        config_release(&again);
    }
    free(text);
}

static void check_vary(const Config *c) {
    json_t *all = NULL, *one;
    Error   err = {0};
    size_t  i;
    if (!vary_combinations(config_block(c, "vary"), &all, &err)) {
        CHECK(err.message[0] != '\0', "refused without a word");
        return;
    }
    CHECK(json_array_size(all) > 0 && json_array_size(all) <= 4096, "%zu combinations", json_array_size(all));
    json_array_foreach(all, i, one) {
        Config changed = {.tree = json_deep_copy(c->tree)};
        if (!vary_apply(&changed, one, &err)) CHECK(err.message[0] != '\0', "not applied, without a word");
        config_release(&changed);
    }
    json_decref(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    enum { MAX_OVERRIDES = 16 };
    char      *text = malloc(n + 1), *override[MAX_OVERRIDES], *left = text;
    int        n_overrides = 0;
    Config     c;
    Experiment e;
    Error      err = {0};
    CHECK(text != NULL, "no memory");
    memcpy(text, bytes, n);
    text[n] = '\0';
    for (char *line; n_overrides < MAX_OVERRIDES && (line = strsep(&left, "\n")) != NULL;) override[n_overrides++] = line;
    if (config_load(&c, bytes_file(base, sizeof base - 1), n_overrides, override, &err)) {
        check_written(&c);
        check_vary(&c);
        config_release(&c);
        const ExperimentChoice choice = {.path = bytes_file(base, sizeof base - 1), .n_overrides = n_overrides, .override = override};
        if (experiment_load(&e, &choice, &err)) {
            check_experiment(&e);
            experiment_free(&e);
        } else {
            CHECK(err.message[0] != '\0', "refused without a word");
        }
    } else {
        CHECK(err.message[0] != '\0' && err.exit_status == EXIT_BAD_INPUT, "refused without a word");
    }
    free(text);
    return 0;
}
