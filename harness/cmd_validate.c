/* morbench validate FILE...: is each file whole and well-formed? What a file is, its content tells: a model, training or
 * experiment configuration, a result, another document of this program, weights, a checkpoint, image data; a directory is that of a
 * data set. One line a file; the worst decides the exit status. */
#include "engine/file.h"
#include "engine/safetensors.h"
#include "harness/commands.h"
#include "harness/config.h"
#include "harness/data/validate_data.h"
#include "harness/documents.h"
#include "harness/options.h"
#include "harness/report/claims.h"
#include "harness/report/escape.h"
#include "harness/report/paper.h"
#include "harness/result.h"
#include "harness/sweep/experiment.h"
#include "harness/train/checkpoint.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WHAT_MAX = VALIDATE_WHAT_MAX, HEAD_BYTES = VALIDATE_HEAD_BYTES };

/* ---- configurations and results ---- */

static void say_model(const Model *m, char what[WHAT_MAX]) {
    snprintf(what, WHAT_MAX, "model configuration, %s, %" PRId64 " parameters", m->kind->name, params_elements(m->params));
}

/* One cell, as it would run. */
static bool check_cell(const Config *c, Error *err) {
    DataSettings  data;
    TrainSettings train;
    Model        *m  = NULL;
    const bool    ok = config_data(c, &data, err) && config_train(c, &train, err) && config_model(c, &m, err);
    model_destroy(m);
    return ok;
}

/* Every cell of every size. */
static bool check_sizes(const char *path, const json_t *sizes, char what[WHAT_MAX], Error *err) {
    const char *size = json_object_iter_key(json_object_iter((json_t *)sizes));
    int         n    = snprintf(what, WHAT_MAX, "experiment");
    do {
        Experiment e;
        if (!experiment_load(&e, &(ExperimentChoice){.path = path, .size = size}, err)) return false;
        n += snprintf(what + n, (size_t)(WHAT_MAX - n), "%s%.10s%s%d combinations of settings, %d cells", size != NULL ? "; " : ", ", size != NULL ? size : "",
                      size != NULL ? ": " : "", e.n_combinations, e.n_cells);
        experiment_free(&e);
        size = size != NULL ? json_object_iter_key(json_object_iter_next((json_t *)sizes, json_object_iter_at((json_t *)sizes, size))) : NULL;
    } while (size != NULL);
    return true;
}

/* How a single cell is to be timed, which only `run` reads. */
static bool check_measure(const char *path, Error *err) {
    Experiment e;
    if (!experiment_load(&e, &(ExperimentChoice){.path = path}, err)) return false;
    experiment_free(&e);
    return true;
}

static bool check_experiment(const char *path, char what[WHAT_MAX], Error *err) {
    Config c;
    if (!config_load(&c, path, 0, NULL, err)) return false;
    const bool one = config_is_sweep(&c) == NULL;
    const bool ok  = !one ? check_sizes(path, config_block(&c, "sizes"), what, err)
                          : check_cell(&c, err) && (config_block(&c, "measure") == NULL || check_measure(path, err));
    if (one) snprintf(what, WHAT_MAX, "%s configuration", config_block(&c, "train") != NULL ? "training" : "experiment");
    config_release(&c);
    return ok;
}

static bool check_result(const json_t *tree, char what[WHAT_MAX], Error *err) {
    if (!result_check(tree, err)) return false;
    const char *kind = json_string_value(json_object_get(tree, "kind")), *status = json_string_value(json_object_get(tree, "status"));
    const char *verdict = json_string_value(json_object_get(json_object_get(tree, "validity"), "verdict"));
    snprintf(what, WHAT_MAX, "result of %.20s, status %.20s, %.20s", kind, status, verdict);
    return true;
}

static bool check_document(json_t *tree, char what[WHAT_MAX], Error *err) {
    const char *schema = json_string_value(json_object_get(tree, "schema"));
    if (schema != NULL && strcmp(schema, CLAIMS_SCHEMA) == 0) {
        snprintf(what, WHAT_MAX, "claims, %zu of them", json_array_size(json_object_get(tree, "claims")));
        return claims_check(tree, err);
    }
    if (schema != NULL && strcmp(schema, PAPER_SCHEMA) == 0) {
        snprintf(what, WHAT_MAX, "table of a paper, %zu rows", json_array_size(json_object_get(tree, "rows")));
        return paper_check(tree, err);
    }
    const Document *d = document_find(schema);
    if (d == NULL) return check_result(tree, what, err);
    if (d->list != NULL) snprintf(what, WHAT_MAX, "%s, %zu entries", d->what, json_array_size(json_object_get(tree, d->list)));
    else                 snprintf(what, WHAT_MAX, "%s", d->what);
    return document_check(d, tree, err);
}

static bool check_json(const char *path, char what[WHAT_MAX], Error *err) {
    json_t *tree = NULL;
    Model  *m    = NULL;
    bool    ok   = false, is_experiment = false;
    if (!json_load_file_checked(&tree, path, 0, err)) return false;
    for (int i = 0; config_blocks[i] != NULL; i++)
        is_experiment |= strcmp(config_blocks[i], "model") != 0 && json_object_get(tree, config_blocks[i]) != NULL;
    is_experiment |= json_is_object(json_object_get(tree, "model"));
    if (json_object_get(tree, "schema") != NULL) {
        ok = check_document(tree, what, err);
    } else if (is_experiment) {
        ok = check_experiment(path, what, err);
    } else if (json_object_get(tree, "model") != NULL || json_object_get(tree, "preset") != NULL) {
        ok = config_read_model(tree, &m, "", err);
        if (ok) say_model(m, what);
    } else {
        FAIL(err, "", "JSON, but neither configuration (\"model\", \"preset\", \"data\", \"train\", ...) nor result (\"schema\")");
    }
    model_destroy(m);
    json_decref(tree);
    return ok;
}

/* ---- weights ---- */

static bool check_checkpoint(const char *path, char what[WHAT_MAX], Error *err) {
    char why[600], settings[17];
    bool good;
    if (!checkpoint_check(path, settings, &good, why, err)) return false;
    if (!good) return FAIL_STATUS(err, EXIT_IO, "", "a checkpoint, but %.400s", why);
    if (strlen(settings) != 16 || strspn(settings, "0123456789abcdef") != 16)
        return FAIL_STATUS(err, EXIT_IO, "", "a checkpoint, but its settings are no digest of 16 hexadecimal digits");
    snprintf(what, WHAT_MAX, "checkpoint of a training, settings %s", settings);
    return true;
}

static bool check_safetensors(const char *path, char what[WHAT_MAX], Error *err) {
    SafeFile *file     = NULL;
    int64_t   n_values = 0;
    if (!safetensors_open(&file, path, err)) return false;
    bool ok = true;
    for (int i = 0; ok && i < safetensors_count(file); i++) {
        const SafeEntry *e   = safetensors_entry(file, i);
        const int64_t    bad = safetensors_first_nonfinite(e);
        char             name[100];
        safetensors_escape(e->name, name, sizeof name);
        if (bad >= 0) ok = FAIL(err, name, "value %" PRId64 " is not a finite number", bad);
        n_values += e->n_values;
    }
    if (ok && safetensors_metadata(file, "state") != NULL) ok = check_checkpoint(path, what, err);
    else if (ok) snprintf(what, WHAT_MAX, "safetensors, %d tensors, %" PRId64 " values", safetensors_count(file), n_values);
    safetensors_close(file);
    return ok;
}

/* ---- which is which ---- */

static bool read_head(const char *path, uint8_t head[HEAD_BYTES], size_t *n, uint64_t *size, Error *err) {
    int fd = -1;
    if (!file_open_read(&fd, size, path, err)) return false;
    *n = *size < HEAD_BYTES ? (size_t)*size : HEAD_BYTES;
    const bool ok = file_read_exactly(fd, head, *n, path, err);
    close(fd);
    return ok;
}

static bool has_suffix(const char *path, const char *suffix) {
    const size_t n = strlen(path), m = strlen(suffix);
    return n > m && strcmp(path + n - m, suffix) == 0;
}

/* The first bytes decide; where they are damaged, the name does, for the better message. */
static bool check_file(const char *path, char what[WHAT_MAX], Error *err) {
    uint8_t     head[HEAD_BYTES] = {0};
    size_t      n = 0, blank = 0;
    uint64_t    size = 0, header = 0;
    struct stat s;
    if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) return validate_directory(path, what, err);
    if (!read_head(path, head, &n, &size, err)) return false;
    for (int i = 7; i >= 0; i--) header = header << 8 | head[i];
    if ((n == HEAD_BYTES && header <= size - 8 && head[8] == '{') || has_suffix(path, ".safetensors")) return check_safetensors(path, what, err);
    while (blank < n && (head[blank] == ' ' || head[blank] == '\n' || head[blank] == '\t' || head[blank] == '\r')) blank++;
    if ((blank < n && (head[blank] == '{' || head[blank] == '[')) || has_suffix(path, ".json")) return check_json(path, what, err);
    if (validate_is_data(path, head, n)) return validate_data(path, what, err);
    return FAIL(err, "", n == 0 ? "is empty" : "is neither JSON, safetensors, IDX, CIFAR, JPEG nor PNG");
}

int cmd_validate(int argc, char **argv, Error *err) {
    bool         json      = false;
    const Option options[] = {{.name = "json", .help = "one JSON object for each file, in an array", .flag = &json}, OPTIONS_END};
    const Usage usage = {"validate", "FILE...", "Checks configurations of models, trainings and experiments, results (run.json) and other JSON of this program, weights and\n"
                         "checkpoints (safetensors), image data (IDX, also gzipped; CIFAR; JPEG; PNG) and directories of data sets, and prints one\n"
                         "line for each. Exit status 1: some are bad; 5: some are corrupt.",
                         options, 1, INT_MAX};
    const int   first  = options_parse(argc, argv, &usage, err);
    int         status = EXIT_OK, n_bad = 0;
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    JsonSink root, entry;
    json_sink_begin(&root);
    JsonSink list;
    json_put_array(&root, "files", &list);
    for (int i = first; i < argc; i++) {
        Error wrong = {0};
        char  what[WHAT_MAX] = "", text[sizeof wrong];
        const bool ok = check_file(argv[i], what, &wrong);
        error_in(&wrong, argv[i]);             /* which also makes the name printable */
        json_put_object(&list, NULL, &entry);
        json_put_text(&entry, "file", wrong.input);
        json_put_bool(&entry, "ok", ok);
        if (ok) {
            json_put_text(&entry, "what", what);
            if (json) continue;
            printf("ok: %s: ", wrong.input);
            escape_terminal(stdout, what);
            putchar('\n');
            continue;
        }
        json_put_text(&entry, "field", wrong.field);
        json_put_text(&entry, "message", wrong.message);
        json_put_count(&entry, "exit_status", wrong.exit_status);
        error_text(&wrong, text, sizeof text);
        if (!json) printf("bad: %s\n", text);
        if (wrong.exit_status > status) status = wrong.exit_status;
        n_bad++;
    }
    json_t *tree = NULL;
    if (!json_sink_finish(&root, &tree, err)) return err->exit_status;
    char *printed = json ? json_to_text(json_object_get(tree, "files")) : NULL;
    json_decref(tree);
    if (json && printed == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d findings", argc - first), EXIT_MACHINE;
    if (json) fputs(printed, stdout);
    free(printed);
    if (n_bad > 0) FAIL_STATUS(err, status, "", "%d of %d files are bad", n_bad, argc - first);
    return status;
}
