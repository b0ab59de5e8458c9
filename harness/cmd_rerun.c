/* morbench rerun RUN.json: the same cell again, in a directory of its own that is removed afterwards; every field that does not
 * depend on time must come out byte for byte the same (rule V1). A bench is repeated with the smoke profile: what it times is not
 * compared.
 *
 * Exit status: 0 the same; 4 something differs, each field named; else what kept it from running. */
#include "engine/file.h"
#include "harness/commands.h"
#include "harness/config.h"
#include "harness/interrupt.h"
#include "harness/measure/bench.h"
#include "harness/options.h"
#include "harness/report/escape.h"
#include "harness/report/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_WORDS = 256 };

typedef struct Words { char *word[MAX_WORDS + 1]; int n; } Words;

static void words_free(Words *w) {
    for (int i = 0; i < w->n; i++) free(w->word[i]);
}

static bool add(Words *w, const char *text, Error *err) {
    if (w->n == MAX_WORDS) return FAIL(err, "/provenance/command_line", "has more than %d words", MAX_WORDS);
    w->word[w->n] = strdup(text);
    return w->word[w->n++] != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
}

static const char *text_at(const json_t *run, const char *pointer) {
    const char *text = json_string_value(report_at(run, pointer));
    return text != NULL ? text : "";
}

/* Value of option `name` among the words of the command line, NULL: not given. */
static const char *given(const json_t *line, const char *name) {
    const size_t n = strlen(name);
    const char  *found = NULL;
    for (size_t i = 1; i < json_array_size(line); i++) {
        const char *word = json_string_value(json_array_get(line, i));
        if (word == NULL || strncmp(word, name, n) != 0) continue;
        if (word[n] == '=') found = word + n + 1;
        else if (word[n] == '\0') found = json_string_value(json_array_get(line, i + 1));
    }
    return found;
}

/* Options that are said anew, or say nothing about the numbers. */
static const struct { const char *name; bool value; } dropped[] = {
    {"--out", true}, {"--json", false}, {"--quiet", false}, {"--layers", false}, {"--profile", true}, {"--processes", true}, {"--samples", true},
    {"--seconds", true}, {"--warmup-seconds", true}, {"--events", true}, {"--no-counters", false}, {"--depths", true}, {"--depth-maps", true}, {"--images", true},
    {"--preset", true}, {"--weights", true}, {"--batch", true}, {"--config", true}, {"--label", true}};

/* Which of a list of model files has the settings of this run; -1: none that is still there. */
static int config_of(const char *list, const json_t *run) {
    char *file;
    int   found = -1;
    for (int i = 0; found < 0 && (file = option_list_item(list, i)) != NULL; i++) {
        Model *m       = NULL;
        Error  unused  = {0};
        json_t *settings = config_load_model_file(file, &m, &unused) ? fields_to_json(m->kind->fields, m->self) : NULL;
        if (settings != NULL && json_equal(settings, report_at(run, "/model/settings"))) found = i;
        json_decref(settings);
        model_destroy(m);
        free(file);
    }
    return found;
}

/* Only of a bench, which may have measured many cells: this one of them. */
static bool add_cell(Words *w, const json_t *run, const json_t *line, Error *err) {
    const char *presets = given(line, "--preset"), *weights = given(line, "--weights"), *configs = given(line, "--config");
    char        batch[32];
    int         index = 0;
    if (presets != NULL) {
        char *name = NULL;
        for (; (name = option_list_item(presets, index)) != NULL && strcmp(name, text_at(run, "/model/preset")) != 0; index++) free(name);
        if (name == NULL) return FAIL(err, "/provenance/command_line", "does not name the preset '%.60s' of this run", text_at(run, "/model/preset"));
        const bool ok = add(w, "--preset", err) && add(w, name, err);
        free(name);
        if (!ok) return false;
    }
    if (configs != NULL) {
        if ((index = config_of(configs, run)) < 0)
            return FAIL(err, "/provenance/command_line", "none of the files %.200s has the settings of this run any more", configs);
        char      *file = option_list_item(configs, index);
        const bool ok   = file != NULL && add(w, "--config", err) && add(w, file, err);
        free(file);
        if (!ok) return false;
    }
    if (weights != NULL) {
        char      *file = option_list_item(weights, index);
        const bool ok   = file != NULL && add(w, "--weights", err) && add(w, file, err);
        free(file);
        if (!ok) return false;
    }
    snprintf(batch, sizeof batch, "%lld", (long long)json_integer_value(report_at(run, "/metrics/batch_size_count")));
    const char *const rest[] = {"--batch", batch, "--profile", "smoke", "--no-counters"};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        if (!add(w, rest[i], err)) return false;
    return true;
}

/* Whether file is the config.json that a sweep writes into the directory of the cell. */
static bool of_a_sweep(const json_t *line, const char *file) {
    const char *out = given(line, "--out");
    const size_t n  = out != NULL ? strlen(out) : 0;
    return n > 0 && strncmp(file, out, n) == 0 && strcmp(file + n, "/config.json") == 0;
}

/* The backend that a run was made with; "" : the default. Trainings of earlier versions do not tell it: then what --backend says now, else, of
 * a sweep's, what its file says. */
static const char *backend_of(const json_t *run, const json_t *line, json_t **config) {
    const char *told = text_at(run, "/experiment/backend"), *file = json_string_value(json_array_get(line, json_array_size(line) - 1)), *found = "";
    Error       unused = {0};
    *config = NULL;
    if (told[0] != '\0' || strcmp(text_at(run, "/kind"), "train") != 0) return told;
    if (runtime_options()->backend != NULL) return runtime_options()->backend->name;
    if (file != NULL && of_a_sweep(line, file) && json_load_file_checked(config, file, 0, &unused)) found = text_at(*config, "/measure/backend");
    fprintf(stderr, "morbench: warning: the run does not name its backend; ");
    if (found[0] != '\0') fprintf(stderr, "it is run again with that of its config.json, ");
    else                  fprintf(stderr, "it is run again with the default, ");
    escape_terminal(stderr, found[0] != '\0' ? found : runtime_backend()->name);
    fputs(" (--backend names another)\n", stderr);
    return found;
}

static bool make_words(Words *w, const json_t *run, const char *out, Error *err) {
    const json_t *line  = report_at(run, "/provenance/command_line");
    const bool    bench = strcmp(text_at(run, "/kind"), "bench") == 0;
    char          threads[32];
    if (json_array_size(line) == 0 || strcmp(json_string_value(json_array_get(line, 0)) != NULL ? json_string_value(json_array_get(line, 0)) : "", text_at(run, "/kind")) != 0)
        return FAIL(err, "/provenance/command_line", "must begin with %s to be run again", text_at(run, "/kind"));
    snprintf(threads, sizeof threads, "%lld", (long long)json_integer_value(report_at(run, "/metrics/threads_requested_count")));
    if (!add(w, "morbench", err) || (strcmp(threads, "0") != 0 && (!add(w, "--threads", err) || !add(w, threads, err)))) return false;
    json_t     *config;
    const char *backend = backend_of(run, line, &config);
    const bool  named   = backend[0] == '\0' || (add(w, "--backend", err) && add(w, backend, err));
    json_decref(config);
    if (!named) return false;
    for (size_t i = 0; i < json_array_size(line); i++) {
        const char *word = json_string_value(json_array_get(line, i));
        bool        skip = false;
        for (size_t k = 0; word != NULL && !skip && k < sizeof dropped / sizeof *dropped; k++) {
            const size_t n = strlen(dropped[k].name);
            /* eval and train keep what names the cell */
            if (!bench && k >= sizeof dropped / sizeof *dropped - 5) break;
            if (strncmp(word, dropped[k].name, n) != 0 || (word[n] != '\0' && word[n] != '=')) continue;
            skip = true;
            if (dropped[k].value && word[n] == '\0') i++;
        }
        if (word != NULL && !skip && !add(w, word, err)) return false;
    }
    return (!bench || add_cell(w, run, line, err)) && add(w, "--quiet", err) && add(w, "--out", err) && add(w, out, err);
}

/* A bench that ended because its timing came out INVALID: what it timed is not compared. One that failed has another status, or differs in it. */
static bool timed_invalid(const json_t *was, Error *err) {
    if (strcmp(text_at(was, "/kind"), "bench") != 0 || err->exit_status != EXIT_CELLS) return false;
    *err = (Error){0};
    return true;
}

/* -- comparing -- */

/* Takes what depends on time out of work lists and curves. */
static void drop_times(json_t *value) {
    static const char *const timed[] = {"elapsed_ns", "images_per_s", "images_per_s_reason", "passes_elapsed_ns", "unaccounted_ns"};
    const char *key;
    json_t     *member;
    size_t      i;
    for (size_t k = 0; k < sizeof timed / sizeof *timed && json_is_object(value); k++) json_object_del(value, timed[k]);
    if (json_is_object(value)) json_object_foreach(value, key, member) drop_times(member);
    if (json_is_array(value)) json_array_foreach(value, i, member) drop_times(member);
}

static const char *const deterministic[] = {"/kind", "/status", "/model", "/data", "/accuracy", "/depth_histogram", "/curves", "/profile", "/metrics/peak_activation_bytes",
                                            "/metrics/weights_bytes", "/metrics/output_sha256", "/metrics/train_step_macs_count", "/metrics/epochs_count", "/metrics/steps_count"};

/* Keys of now that was has not: fields that came with a later version, which an older file cannot have. *n counts them. */
static void drop_added(json_t *now, const json_t *was, int *n) {
    const char *key;
    json_t     *member;
    void       *next;
    size_t      i;
    if (json_is_object(now) && json_is_object(was))
        json_object_foreach_safe(now, next, key, member) {
            const json_t *before = json_object_get(was, key);
            if (before != NULL) drop_added(member, before, n);
            else {
                json_object_del(now, key);
                ++*n;
            }
        }
    if (json_is_array(now) && json_is_array(was))
        json_array_foreach(now, i, member) drop_added(member, json_array_get(was, i), n);
}

/* In an array, so that what is there and what is not are both JSON. */
static json_t *timeless(const json_t *run, const char *pointer) {
    const json_t *value = report_at(run, pointer);
    json_t       *copy  = value != NULL ? json_pack("[o]", json_deep_copy(value)) : json_array();
    if (copy != NULL) drop_times(copy);
    return copy;
}

/* fields: gets {field, same} for each; NULL: they are printed. */
static bool compare_runs(const json_t *was, const json_t *now, JsonSink *fields, int *n_differ, Error *err) {
    const bool same_code = strcmp(text_at(was, "/provenance/commit"), text_at(now, "/provenance/commit")) == 0;
    int        n_added   = 0;
    *n_differ = 0;
    for (size_t i = 0; i < sizeof deterministic / sizeof *deterministic; i++) {
        json_t *x = timeless(was, deterministic[i]), *y = timeless(now, deterministic[i]);
        if (!same_code && y != NULL) drop_added(y, x, &n_added);
        char *a = x != NULL ? json_canonical_text(x) : NULL, *b = y != NULL ? json_canonical_text(y) : NULL;
        const bool ok = a != NULL && b != NULL, same = ok && strcmp(a, b) == 0;
        if (ok && fields == NULL) printf("%-36s %s\n", deterministic[i], same ? "the same" : "DIFFERS");
        else if (ok) {
            JsonSink field;
            json_put_object(fields, NULL, &field);
            json_put_text(&field, "field", deterministic[i]);
            json_put_bool(&field, "same", same);
        }
        *n_differ += ok && !same;
        free(a);
        free(b);
        json_decref(x);
        json_decref(y);
        if (!ok) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a comparison");
    }
    if (n_added > 0) printf("%d fields are new: the code that made the result did not write them yet\n", n_added);
    return true;
}

static bool tell(const json_t *was, const json_t *now, bool json, int *n_differ, Error *err) {
    const bool same_env = strcmp(text_at(was, "/env_id"), text_at(now, "/env_id")) == 0;
    JsonSink   root, fields;
    json_t    *tree = NULL;
    if (!json) {
        if (!same_env) printf("another machine, build or environment: bits may differ\n");
        return compare_runs(was, now, NULL, n_differ, err);
    }
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.rerun/1");
    json_put_text(&root, "id", text_at(was, "/id"));
    json_put_bool(&root, "same_environment", same_env);
    json_put_array(&root, "fields", &fields);
    bool ok = compare_runs(was, now, &fields, n_differ, err);
    json_put_count(&root, "differing_count", *n_differ);
    ok = json_sink_finish(&root, &tree, ok ? err : NULL) && ok && json_print(tree, err);
    json_decref(tree);
    return ok;
}

int cmd_rerun(int argc, char **argv, Error *err) {
    bool         json      = false;
    const Option options[] = {{.name = "json", .help = "say what came out the same as JSON", .flag = &json}, OPTIONS_END};
    const int    first     = options_parse(argc, argv, &(Usage){"rerun", "RUN.json", "Runs the cell of a result again and checks that all but times comes out the same.", options, 1, 1}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    const char *folder = getenv("TMPDIR");
    char        dir[512], result[600];
    Report      report = {0};
    json_t     *was = NULL;
    Words       words = {0};
    int         status = EXIT_BAD_INPUT, n_differ = 0;
    interrupt_catch();
    if (!result_load(&was, argv[first], err)) return err->exit_status;
    snprintf(dir, sizeof dir, "%.400s/morbench-rerun-XXXXXX", folder != NULL && folder[0] != '\0' ? folder : "/tmp");
    if (mkdtemp(dir) == NULL) {
        FAIL_STATUS(err, file_exit_status(errno), "", "cannot make a directory to run in: %s", strerror(errno));
        error_in(err, dir);
        json_decref(was);
        return err->exit_status;
    }
    snprintf(result, sizeof result, "%s/again", dir);
    bool ok = make_words(&words, was, result, err) || error_in(err, argv[first]);
    ok = ok && (worker_run(NULL, (const char *const *)words.word, -1, err) || timed_invalid(was, err)) && report_read(&report, result, err);
    if (ok && report.n_rows != 1) ok = FAIL(err, "", "%d results came of running it again", report.n_rows);
    if (ok) ok = tell(was, report.row[0].run, json, &n_differ, err);
    if (ok && n_differ > 0) ok = FAIL_STATUS(err, EXIT_CELLS, "", "%d fields differ when it is run again", n_differ);
    status = ok ? EXIT_OK : err->exit_status;
    report_free(&report);
    words_free(&words);
    json_decref(was);
    if (!file_remove_tree(dir)) fprintf(stderr, "morbench: warning: %s could not be removed whole\n", dir);
    return status;
}
