/* Fuzz target: any bytes as the configuration of a model, a training or an experiment. Refused with an error that says something; or accepted,
 * and then its cells are sound, can be written, and are the same of the file's canonical form. Build with -fsanitize=fuzzer, or with replay.c
 * to run the corpus. */
#include "tests/fuzz/experiment_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool refused(const Error *err) {
    CHECK(err->message[0] != '\0' && err->exit_status != EXIT_OK, "refused without a word");
    return true;
}

static void try_model(const json_t *tree) {
    Model *m   = NULL, *again = NULL;
    Error  err = {0};
    if (!config_read_model(tree, &m, "", &err)) {
        refused(&err);
        return;
    }
    json_t *written = model_to_json(m);
    CHECK(written != NULL && config_read_model(written, &again, "", &err), "what was accepted and written is refused: %s %s", err.field, err.message);
    json_t *twice = model_to_json(again);
    CHECK(json_equal(written, twice), "written again, it is another model");
    json_decref(twice);
    json_decref(written);
    model_destroy(again);
    model_destroy(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    json_t    *tree = NULL;
    Experiment e;
    Error      err  = {0};
    if (!json_load_bytes(&tree, bytes, n, &err)) return refused(&err), 0;
    try_model(tree);
    err = (Error){0};
    if (experiment_load(&e, &(ExperimentChoice){.path = bytes_file(bytes, n)}, &err)) {
        check_experiment(&e);
        check_canonical(&e, tree);
        experiment_free(&e);
    } else {
        refused(&err);
    }
    json_decref(tree);
    return 0;
}
