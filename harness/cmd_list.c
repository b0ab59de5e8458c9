/* morbench list [models|experiments|datasets|machines|fields] [--json]: what there is to choose from.
 *
 * Models: every preset with its size and its cost for one image at its own image size, from the configuration alone.
 *   macs                 matrix products and convolutions
 *   macs_fvcore          macs + 5 layer-norm elements + 2 batch-norm elements: what most papers print as FLOPs
 *   macs_fvcore_folded   without the batch norms, which fold into convolutions
 *   macs_fvcore_sdpa     without the two n^2 products of attention, which a tracer of fused attention does not see
 *   flops_2x             2 macs;   flops_all: and every element operation
 *   params               each weight once;   params_unrolled: if every use of a shared block had weights of its own */
#include "baselines/registry.h"
#include "harness/commands.h"
#include "harness/config.h"
#include "harness/installed.h"
#include "harness/options.h"
#include "harness/report/escape.h"
#include "harness/sweep/experiment.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPERIMENTS_DIR "experiments"
#define MACHINES_DIR    "results/machines"

/* ---- models ---- */

typedef struct ModelLine {
    const char *name;
    ModelCounts counts;
    int64_t     params, params_unrolled, weights_bytes;
    int         channels, height, width, classes;
} ModelLine;

static int64_t fvcore(const ModelCounts *c) { return c->macs + 5 * c->layer_norm_elements + 2 * c->batch_norm_elements; }

static void put_model(JsonSink *list, const ModelLine *line, const Model *m) {
    const ModelCounts *c = &line->counts;
    JsonSink           sink;
    json_put_object(list, NULL, &sink);
    json_put_text (&sink, "name", line->name);
    json_put_text (&sink, "model", m->kind->name);
    json_put_count(&sink, "params", line->params);
    json_put_count(&sink, "params_unrolled", line->params_unrolled);
    json_put_count(&sink, "weights_bytes", line->weights_bytes);
    json_put_count(&sink, "macs", c->macs);
    json_put_count(&sink, "macs_attention", c->macs_attention);
    json_put_count(&sink, "macs_router", c->macs_router);
    json_put_count(&sink, "macs_fvcore", fvcore(c));
    json_put_count(&sink, "macs_fvcore_folded", fvcore(c) - 2 * c->batch_norm_elements);
    json_put_count(&sink, "macs_fvcore_sdpa", fvcore(c) - c->macs_attention);
    json_put_count(&sink, "flops_2x", 2 * c->macs);
    json_put_count(&sink, "flops_all", 2 * c->macs + c->elementwise);
    json_put_count(&sink, "activations", c->activations);
    json_put_count(&sink, "layer_norm_elements", c->layer_norm_elements);
    json_put_count(&sink, "batch_norm_elements", c->batch_norm_elements);
    json_put_count(&sink, "img_size", line->height);
    json_put_count(&sink, "in_chans", line->channels);
    json_put_count(&sink, "num_classes", line->classes);
    json_put_text (&sink, "paper", m->kind->paper);
    json_put      (&sink, "settings", fields_to_json(m->kind->fields, m->self));
}

static void print_model(const ModelLine *line) {
    char image[40];
    snprintf(image, sizeof image, "%dx%dx%d", line->height, line->width, line->channels);
    printf("%-36s %10.3f %9.3f %9.3f %9.3f %11s %8d\n", line->name, (double)line->params / 1e6, (double)line->counts.macs / 1e9,
           (double)fvcore(&line->counts) / 1e9, (double)line->counts.activations / 1e6, image, line->classes);
}

static bool list_models(JsonSink *list, Error *err) {
    if (list == NULL)
        printf("%-36s %10s %9s %9s %9s %11s %8s\n", "preset", "params", "macs", "macs", "activat.", "image", "classes");
    if (list == NULL) printf("%-36s %10s %9s %9s %9s %11s %8s\n", "", "M", "G", "fvcore, G", "M", "HxWxC", "");
    const char *name;
    for (int i = 0; (name = preset_name(i, NULL)) != NULL; i++) {
        Model    *m;
        ModelLine line = {.name = name};
        if (!model_from_preset(&m, name, NULL, err)) return false;
        m->kind->count(m->self, &(RouteCounts){0}, &line.counts);
        m->kind->image_shape(m->self, &line.channels, &line.height, &line.width, &line.classes);
        line.params          = params_elements(m->params);
        line.params_unrolled = params_elements_unrolled(m->params);
        line.weights_bytes   = params_bytes(m->params);
        if (list != NULL) put_model(list, &line, m);
        else              print_model(&line);
        model_destroy(m);
    }
    return true;
}

/* ---- files in a directory ---- */

static int is_json_name(const struct dirent *entry) {
    const size_t n = strlen(entry->d_name);
    return entry->d_name[0] != '.' && n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0;
}

/* Calls each for every JSON file of dir, by name; a directory that is not there has none, which is said on stderr. */
static bool each_json_file(const char *dir, bool (*each)(const char *name, const char *path, JsonSink *list, Error *err), JsonSink *list,
                           Error *err) {
    struct dirent **entry;
    bool            ok = true;
    const int       n  = scandir(dir, &entry, is_json_name, alphasort);
    if (n < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        fprintf(stderr, "morbench: there is no directory %s here\n", dir);
        return true;
    }
    if (n < 0) {
        FAIL_STATUS(err, errno == ENOMEM ? EXIT_MACHINE : EXIT_IO, "", "%s", strerror(errno));
        return error_in(err, dir);
    }
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX + 256], name[256];
        snprintf(path, sizeof path, "%s/%.255s", dir, entry[i]->d_name);
        snprintf(name, sizeof name, "%.*s", (int)strlen(entry[i]->d_name) - 5, entry[i]->d_name);
        ok = ok && each(name, path, list, err);
        free(entry[i]);
    }
    free(entry);
    return ok;
}

/* Both come from outside. */
static void print_line(const char *name, const char *text) {
    escape_terminal_field(stdout, name, 28);
    fputc(' ', stdout);
    escape_terminal(stdout, text);
    fputc('\n', stdout);
}

/* One that cannot be read is listed with the reason: the others are still worth seeing. Cells are those of the size that `run` takes by
 * itself. */
static bool list_experiment(const char *name, const char *path, JsonSink *list, Error *err) {
    Experiment e     = {0};
    json_t    *tree  = NULL;
    Error      wrong = {0};
    const bool other = json_load_file_checked(&tree, path, 0, NULL) && json_object_get(tree, "schema") != NULL;
    json_decref(tree);
    if (other) return true;                                /* claims.json and the like: no experiment */
    char       why[sizeof wrong] = "";
    const bool ok = experiment_load(&e, &(ExperimentChoice){.path = path}, &wrong);
    if (!ok && wrong.exit_status == EXIT_MACHINE) {
        *err = wrong;
        return false;
    }
    if (!ok) error_text(&wrong, why, sizeof why);
    const char *question = ok && e.question[0] != '\0' ? e.question : NULL;
    if (list == NULL) {
        escape_terminal_field(stdout, name, 32);
        if (ok) printf(" %4d cell%s ", e.n_cells, e.n_cells == 1 ? " " : "s");
        fputc(' ', stdout);
        escape_terminal(stdout, !ok ? why : question != NULL ? question : "(no question)");
        fputc('\n', stdout);
    } else {
        JsonSink sink;
        json_put_object(list, NULL, &sink);
        json_put_text(&sink, "name", name);
        json_put_text(&sink, "file", path);
        json_put(&sink, "question", question != NULL ? json_string(question) : json_null());
        json_put_count(&sink, "cells_count", e.n_cells);
        json_put_text(&sink, "size", e.size);
        if (ok) json_put(&sink, "error", json_null());
        else    json_put_text(&sink, "error", why);
    }
    experiment_free(&e);
    return true;
}

/* Those of the folder one works in; where it has none, those that came with the program. */
static bool list_experiments(JsonSink *list, Error *err) {
    char       path[PATH_MAX];
    const bool here = access(EXPERIMENTS_DIR, F_OK) == 0 || !installed_find(path, EXPERIMENTS_DIR);
    if (!here && list == NULL) printf("in %s:\n", path);
    return each_json_file(here ? EXPERIMENTS_DIR : path, list_experiment, list, err);
}

static json_t *copied(const json_t *object, const char *key) {
    json_t *value = json_object_get(object, key);
    return value != NULL ? json_incref(value) : json_null();
}

static bool list_machine(const char *name, const char *path, JsonSink *list, Error *err) {
    static const char *const keys[] = {"cpu_model", "cpus_allowed_count", "memory_total_bytes", "hypervisor", "kernel_release", "blas_core"};
    json_t *tree = NULL;
    if (!json_load_file_checked(&tree, path, 0, err)) return false;
    const json_t *env = json_is_object(json_object_get(tree, "env")) ? json_object_get(tree, "env") : tree;
    if (list == NULL) {
        const char *cpu = json_string_value(json_object_get(env, "cpu_model"));
        print_line(name, cpu != NULL ? cpu : "(unknown CPU)");
    } else {
        JsonSink sink;
        json_put_object(list, NULL, &sink);
        json_put_text(&sink, "name", name);
        json_put_text(&sink, "file", path);
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) json_put(&sink, keys[i], copied(env, keys[i]));
    }
    json_decref(tree);
    return true;
}

static int is_folder_name(const struct dirent *e) { return e->d_name[0] != '.' && strchr(e->d_name, '.') == NULL; }

/* Files, and the folders that `make hardware` writes, which hold what the doctor said. */
static bool list_machines(JsonSink *list, Error *err) {
    struct dirent **entry;
    if (!each_json_file(MACHINES_DIR, list_machine, list, err)) return false;
    bool      ok = true;
    const int n  = scandir(MACHINES_DIR, &entry, is_folder_name, alphasort);
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%.256s/doctor.json", MACHINES_DIR, entry[i]->d_name);
        if (ok && access(path, F_OK) == 0) ok = list_machine(entry[i]->d_name, path, list, err);
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    return ok;
}

/* ---- fields of results ---- */

static bool list_fields(JsonSink *list, Error *err) {
    static const struct { const char *block, *key, *help; bool later; } fields[] = {
#define KEY(block, key, help)       {#block, #key, help, false},
#define KEY_LATER(block, key, help) {#block, #key, help, true},
#include "harness/result_keys.def"
#undef KEY
#undef KEY_LATER
    };
    (void)err;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        JsonSink sink;
        if (list == NULL) {
            printf("/%s/%-*s %s\n", fields[i].block, 46 - (int)strlen(fields[i].block), fields[i].key, fields[i].help);
            continue;
        }
        json_put_object(list, NULL, &sink);
        json_put_text(&sink, "block", fields[i].block);
        json_put_text(&sink, "key", fields[i].key);
        json_put_text(&sink, "help", fields[i].help);
        json_put_bool(&sink, "in_every_run", !fields[i].later);
    }
    return true;
}

/* ---- data sets ---- */

/* The same as `morbench data list`. */
static int list_datasets(bool json, Error *err) {
    char *arguments[] = {(char[]){"data"}, (char[]){"list"}, json ? (char[]){"--json"} : NULL, NULL};
    return cmd_data(json ? 3 : 2, arguments, err);
}

/* ---- the command ---- */

static const struct {
    const char *name;
    bool      (*list)(JsonSink *list, Error *err);     /* NULL: print for people */
} lists[] = {{"models", list_models}, {"experiments", list_experiments}, {"machines", list_machines}, {"fields", list_fields}};

static bool print_json(bool (*fill)(JsonSink *, Error *), Error *err) {
    JsonSink sink = {.at = json_array()};
    char    *text = NULL;
    bool     ok   = sink.at != NULL && fill(&sink, err);
    if (ok && !sink.failed) text = json_to_text(sink.at);
    if (text != NULL) fputs(text, stdout);
    else if (ok || sink.at == NULL) ok = FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory while listing");
    free(text);
    json_decref(sink.at);
    return ok;
}

int cmd_list(int argc, char **argv, Error *err) {
    bool         json      = false;
    const Option options[] = {{.name = "json", .help = "JSON on standard output", .flag = &json}, OPTIONS_END};
    const Usage  usage     = {"list", "[models|experiments|datasets|machines|fields]",
                              "Names what there is: models (default; size and cost for one image), the experiments in ./" EXPERIMENTS_DIR
                              "\nor, where there are none, those installed with the program; the data sets, the machines in ./" MACHINES_DIR
                              ",\nor the numbers that results have.", options, 0, 1};
    const int    first     = options_parse(argc, argv, &usage, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    const char *what = first < argc ? argv[first] : "models";
    if (strcmp(what, "datasets") == 0) return list_datasets(json, err);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (strcmp(lists[i].name, what) == 0) {
            const bool ok = json ? print_json(lists[i].list, err) : lists[i].list(NULL, err);
            return ok ? EXIT_OK : err->exit_status;
        }
    return FAIL(err, what, "must be one of models, experiments, datasets, machines, fields"), EXIT_BAD_INPUT;
}
