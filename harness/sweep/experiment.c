/* Reading an experiment: base, size, named cells, what varies, seeds and evaluations, to one draft a combination (experiment.h). */
#include "harness/sweep/experiment_parts.h"

#include "harness/sweep/vary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cell_kinds[] = {"train", "eval", "bench"};

enum { FACTORS_MAX = 1024 };

static const char *const merged_blocks[]  = {"data", "model", "train", "measure", "weights", NULL};
static const char *const replaced_keys[]  = {"caption", "seeds", "vary", "cells", "evaluate", NULL};

/* What one expansion has in hand. */
typedef struct Expansion {
    Config       root;
    json_t      *names;              /* pointer -> factor name */
    json_t      *labels;             /* block "labels", borrowed, or NULL */
    Drafts      *drafts;
    int          n_overrides;
    char *const *override;
    const char  *size;
} Expansion;

/* ---- how blocks combine ---- */

/* change into *into: objects key by key, null takes away, all else replaces. */
static void merge(json_t *into, const json_t *change) {
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)change, key, value) {
        json_t *old = json_object_get(into, key);
        if (json_is_null(value)) json_object_del(into, key);
        else if (json_is_object(value) && json_is_object(old)) merge(old, value);
        else json_object_set_new(into, key, json_deep_copy(value));
    }
}

static void merge_blocks(json_t *tree, const json_t *change) {
    for (int i = 0; merged_blocks[i] != NULL; i++) {
        const char *name  = merged_blocks[i];
        json_t     *block = json_object_get(change, name), *one;
        if (block == NULL) continue;
        /* another model's settings would be unknown keys to this one */
        const bool new_model = strcmp(name, "model") == 0 && (json_object_get(block, "preset") != NULL || json_object_get(block, "model") != NULL);
        if (new_model || strcmp(name, "weights") == 0) json_object_del(tree, name);
        one = json_pack("{sO}", name, block);
        merge(tree, one);
        json_decref(one);
    }
}

/* The block of the innermost of three objects that has it. */
static const json_t *innermost(const char *key, const json_t *a, const json_t *b, const json_t *c) {
    const json_t *found = json_object_get(a, key);
    if (found == NULL) found = json_object_get(b, key);
    return found != NULL ? found : json_object_get(c, key);
}

/* ---- factors ---- */

static void name_pointers(json_t *names, const json_t *vary, const char *prefix) {
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)vary, key, value) {
        if (key[0] != '/') {
            name_pointers(names, value, prefix);
            continue;
        }
        char full[CONFIG_POINTER_MAX + 8];
        snprintf(full, sizeof full, "%s%s", prefix, key);
        if (json_object_get(names, full) == NULL) json_object_set_new(names, full, json_string(strrchr(key, '/') + 1));
    }
}

/* Two pointers that end alike are told apart by their blocks. */
static void disambiguate(json_t *names) {
    const char *a, *b;
    json_t     *x, *y;
    json_t     *last = json_deep_copy(names);
    json_object_foreach(last, a, x) json_object_foreach(last, b, y) {
        if (strcmp(a, b) == 0 || !json_equal(x, y) || (a[0] == '/') != (b[0] == '/')) continue;
        char full[CONFIG_POINTER_MAX];
        snprintf(full, sizeof full, "%s", strchr(a, '/') + 1);
        for (char *s = full; *s != '\0'; s++)
            if (*s == '/') *s = '.';
        json_object_set_new(names, a, json_string(full));
    }
    json_decref(last);
}

static bool name_factors(Expansion *x, const json_t *cells, const json_t *evaluate, const json_t *vary, Error *err) {
    const json_t *entry;
    size_t        i;
    name_pointers(x->names, vary, "");
    json_array_foreach(cells, i, entry) {
        const json_t *size = json_object_get(json_object_get(entry, "sizes"), x->size);
        name_pointers(x->names, innermost("vary", size, entry, NULL), "");
    }
    json_array_foreach(evaluate, i, entry) name_pointers(x->names, json_object_get(entry, "vary"), "test");
    if (json_object_size(x->names) > FACTORS_MAX) return FAIL(err, "/vary", "at most %d settings may vary in one file, got %zu", FACTORS_MAX, json_object_size(x->names));
    disambiguate(x->names);
    return true;
}

/* The factors of one combination behind those of `of`; test: they are test-time ones. */
static void add_factors(const Expansion *x, Draft *d, const json_t *combination, bool test) {
    const json_t *one;
    size_t        i;
    json_array_foreach(combination, i, one) {
        const char *pointer = json_string_value(json_object_get(one, "pointer"));
        char        full[CONFIG_POINTER_MAX + 8], name[CONFIG_POINTER_MAX + 8];
        snprintf(full, sizeof full, "%s%s", test ? "test" : "", pointer);
        snprintf(name, sizeof name, "%s%s", test ? "test_" : "", json_string_value(json_object_get(x->names, full)));
        json_t *label = json_object_get(one, "label");
        json_object_set_new(d->factors, name, label != NULL ? json_incref(label) : json_null());
        json_object_set_new(d->pointers, name, json_string(pointer));
    }
}

/* ---- drafts ---- */

static Draft *add_draft(Expansion *x, CellKind kind, const json_t *tree, Error *err) {
    Drafts *all = x->drafts;
    if (all->n == EXPERIMENT_CELLS_MAX) {
        FAIL(err, "", "asks for more than %d cells", EXPERIMENT_CELLS_MAX);
        return NULL;
    }
    if (all->n == all->capacity) {
        const int capacity = 2 * all->capacity + 16;
        Draft    *grown    = realloc(all->at, (size_t)capacity * sizeof *grown);
        if (grown == NULL) {
            FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d cells", capacity);
            return NULL;
        }
        all->at       = grown;
        all->capacity = capacity;
    }
    Draft *d = &all->at[all->n++];
    *d = (Draft){.kind = kind, .config = {.tree = json_deep_copy(tree)}, .factors = json_object(), .pointers = json_object(), .source = -1, .made = -1};
    snprintf(d->config.path, sizeof d->config.path, "%s", x->root.path);
    if (d->config.tree != NULL && d->factors != NULL && d->pointers != NULL) return d;
    FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a cell");
    return NULL;
}

/* Blocks the command line overrides in every cell; the others were overridden in the file's root. */
static bool of_cells(const char *override) {
    char block[16] = "";
    sscanf(override, "%15[^.=]", block);
    return config_is_one_of(merged_blocks, block);
}

static bool apply_overrides(const Expansion *x, Config *c, Error *err) {
    for (int i = 0; i < x->n_overrides; i++)
        if (of_cells(x->override[i]) && !config_override(c, x->override[i], err)) return error_in(err, "command line");
    return true;
}

/* The base with what one named cell changes. */
static json_t *cell_tree(const Expansion *x, const json_t *entry) {
    json_t *tree = json_object(), *question = json_object_get(x->root.tree, "question");
    if (question != NULL) json_object_set(tree, "question", question);
    merge_blocks(tree, x->root.tree);
    merge_blocks(tree, json_object_get(json_object_get(x->root.tree, "sizes"), x->size));
    merge_blocks(tree, entry);
    merge_blocks(tree, json_object_get(json_object_get(entry, "sizes"), x->size));
    return tree;
}

/* All combinations of one named cell (entry NULL: of a file without names) with seed number seed_index. *more: there are further seeds. */
static bool draft_cell(Expansion *x, const json_t *entry, int seed_index, bool *more, Error *err) {
    const json_t *own = json_object_get(json_object_get(entry, "sizes"), x->size), *combination;
    const json_t *seeds = innermost("seeds", own, entry, x->root.tree), *vary = innermost("vary", own, entry, x->root.tree);
    if (seed_index > 0 && (size_t)seed_index >= json_array_size(seeds)) return true;
    json_t       *all = NULL, *tree = cell_tree(x, entry);
    const bool    trained  = json_object_get(tree, "train") != NULL;
    const int     n_seeds  = trained && json_is_array(seeds) ? (int)json_array_size(seeds) : 0;
    bool          ok       = experiment_check_seeds(n_seeds > 0 ? seeds : NULL, err) && vary_combinations(json_is_object(vary) ? vary : NULL, &all, err);
    size_t        i;
    if (seed_index + 1 < n_seeds) *more = true;
    if (seed_index >= (n_seeds > 0 ? n_seeds : 1)) json_array_clear(all);
    json_array_foreach(all, i, combination) {
        Draft *d = ok ? add_draft(x, CELL_TRAIN, tree, err) : NULL;
        if (!(ok = d != NULL)) break;
        d->seed_index = seed_index;
        if (entry != NULL) {
            snprintf(d->cell, sizeof d->cell, "%s", json_string_value(json_object_get(entry, "name")));
            json_object_set_new(d->factors, "cell", json_string(d->cell));
        }
        add_factors(x, d, combination, false);
        ok = vary_apply(&d->config, combination, err);
        if (ok && n_seeds > 0) {
            json_object_set(d->factors, "seed", json_array_get(seeds, (size_t)seed_index));
            ok = config_set(&d->config, "/train/seed", json_incref(json_array_get(seeds, (size_t)seed_index)), err);
        }
        ok = ok && apply_overrides(x, &d->config, err);
    }
    json_decref(all);
    json_decref(tree);
    return ok;
}

/* Whether an evaluation is of the named cell; of: a name, a list, or NULL for all. */
static bool is_of(const json_t *of, const char *cell) {
    const json_t *name;
    size_t        i;
    if (of == NULL) return true;
    if (json_is_string(of)) return strcmp(json_string_value(of), cell) == 0;
    json_array_foreach(of, i, name)
        if (json_is_string(name) && strcmp(json_string_value(name), cell) == 0) return true;
    return false;
}

static bool draft_evaluation(Expansion *x, const json_t *entry, int source, Error *err) {
    const json_t *combination;
    json_t       *all = NULL;
    size_t        i;
    if (!vary_combinations(json_object_get(entry, "vary"), &all, err)) return false;
    bool ok = true;
    json_array_foreach(all, i, combination) {
        Draft *d = add_draft(x, CELL_EVALUATE, x->drafts->at[source].config.tree, err);
        if (!(ok = d != NULL)) break;
        const Draft *from = &x->drafts->at[source];
        d->source     = source;
        d->seed_index = from->seed_index;
        snprintf(d->cell, sizeof d->cell, "%s", from->cell);
        json_object_update(d->factors, from->factors);
        json_object_update(d->pointers, from->pointers);
        json_object_set(d->factors, "evaluation", json_object_get(entry, "name"));
        json_object_del(d->config.tree, "train");
        json_object_del(d->config.tree, "measure");
        merge_blocks(d->config.tree, entry);
        add_factors(x, d, combination, true);
        if (!(ok = vary_apply(&d->config, combination, err))) break;
    }
    json_decref(all);
    return ok;
}

/* ---- the whole ---- */

static bool take_size(Expansion *x, const char *size, Error *err) {
    const json_t *sizes = config_block(&x->root, "sizes");
    x->size = "";
    if (sizes == NULL) return size == NULL || FAIL(err, "--size", "the file has no sizes; leave it out");
    if (!experiment_check_sizes(sizes, err)) return false;
    if (size == NULL) size = json_object_get(sizes, "small") != NULL ? "small" : json_object_iter_key(json_object_iter((json_t *)sizes));
    if (size == NULL) return FAIL(err, "/sizes", "must have at least one of smoke, small and full");
    const json_t *chosen = json_object_get(sizes, size);
    if (chosen == NULL) return FAIL(err, "--size", "must be one of those that the file has, smoke, small or full; got \"%.40s\"", size);
    for (int i = 0; replaced_keys[i] != NULL; i++) {
        json_t *value = json_object_get(chosen, replaced_keys[i]);
        if (json_is_null(value)) json_object_del(x->root.tree, replaced_keys[i]);
        else if (value != NULL)  json_object_set(x->root.tree, replaced_keys[i], value);
    }
    x->size = size;
    return true;
}

static bool override_root(Expansion *x, Error *err) {
    for (int i = 0; i < x->n_overrides; i++)
        if (!of_cells(x->override[i]) && !config_override(&x->root, x->override[i], err)) return error_in(err, "command line");
    return true;
}

static bool expand(Expansion *x, Error *err) {
    const json_t *cells = config_block(&x->root, "cells"), *evaluate = config_block(&x->root, "evaluate"), *vary = config_block(&x->root, "vary"), *entry;
    size_t        i;
    bool          more = true, ok = true;
    if (!experiment_check_shape(x->root.tree, err)) return false;
    if (!name_factors(x, cells, evaluate, vary, err)) return false;
    for (int seed = 0; ok && more; seed++) {                     /* seeds last: the first of all cells are worth a look early */
        more = false;
        if (cells == NULL) ok = draft_cell(x, NULL, seed, &more, err);
        else json_array_foreach(cells, i, entry) ok = ok && draft_cell(x, entry, seed, &more, err);
    }
    const int n_trained = x->drafts->n;
    json_array_foreach(evaluate, i, entry) {
        char path[64];
        snprintf(path, sizeof path, "/evaluate/%zu", i);
        ok = ok && experiment_check_of(json_object_get(entry, "of"), cells, path, err);
        for (int k = 0; ok && k < n_trained; k++)
            if (is_of(json_object_get(entry, "of"), x->drafts->at[k].cell)) ok = draft_evaluation(x, entry, k, err);
    }
    return ok;
}

/* Whether only evaluations of cells trained before have this factor. */
static bool of_tests_alone(const Expansion *x, const char *factor) {
    for (int i = 0; i < x->drafts->n; i++)
        if (x->drafts->at[i].kind != CELL_EVALUATE && json_object_get(x->drafts->at[i].factors, factor) != NULL) return false;
    return strncmp(factor, "test_", 5) == 0;
}

static void list_factors(Experiment *e, const Expansion *x) {
    const json_t *factors = json_object();
    const char   *name;
    json_t       *value;
    for (int i = 0; i < x->drafts->n; i++) json_object_update_missing((json_t *)factors, x->drafts->at[i].factors);
    json_object_foreach((json_t *)factors, name, value) {
        json_t *factor = json_object(), *pointer = NULL, *label = NULL;
        for (int i = 0; pointer == NULL && i < x->drafts->n; i++) pointer = json_object_get(x->drafts->at[i].pointers, name);
        if (pointer != NULL) label = json_object_get(x->labels, json_string_value(pointer));
        json_object_set_new(factor, "name", json_string(name));
        json_object_set_new(factor, "label", json_is_string(label) ? json_incref(label) : json_string(name));
        json_object_set_new(factor, "pointer", pointer != NULL ? json_incref(pointer) : json_null());
        json_object_set_new(factor, "test_time", json_boolean(of_tests_alone(x, name)));
        json_array_append_new(e->factors, factor);
    }
    json_decref((json_t *)factors);
}

bool experiment_load(Experiment *out, const ExperimentChoice *choice, Error *err) {
    const char *path   = choice->path;
    Drafts      drafts = {0};
    Expansion   x = {.drafts = &drafts, .n_overrides = choice->n_overrides, .override = choice->override, .names = json_object()};
    *out = (Experiment){.factors = json_array()};
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path, *dot = strrchr(base, '.');
    snprintf(out->name, sizeof out->name, "%.*s", dot != NULL ? (int)(dot - base) : (int)strlen(base), base);
    snprintf(out->path, sizeof out->path, "%s", path);
    bool ok = config_load(&x.root, path, 0, NULL, err);
    ok = ok && ((experiment_check_labels(x.root.tree, err) && take_size(&x, choice->size, err) && override_root(&x, err) && expand(&x, err)) || error_in(err, path));
    if (ok) {
        const char *question = json_string_value(config_block(&x.root, "question")), *caption = json_string_value(config_block(&x.root, "caption"));
        snprintf(out->size, sizeof out->size, "%s", x.size);
        out->profile  = choice->profile;
        out->question = strdup(question != NULL ? question : "");
        out->caption  = strdup(caption != NULL ? caption : "");
        x.labels      = json_object_get(x.root.tree, "labels");
        list_factors(out, &x);
        ok = experiment_make_cells(out, &drafts, err) || error_in(err, path);
    }
    for (int i = 0; i < drafts.n; i++) {
        config_release(&drafts.at[i].config);
        json_decref(drafts.at[i].factors);
        json_decref(drafts.at[i].pointers);
    }
    free(drafts.at);
    json_decref(x.names);
    config_release(&x.root);
    if (!ok) experiment_free(out);
    return ok;
}

bool experiment_asks(const Experiment *e, Error *err) {
    if (e->n_cells > 0) return true;
    FAIL(err, "", "asks for nothing: there is neither a block train nor a block measure");
    return error_in(err, e->path);
}

void experiment_free(Experiment *e) {
    for (int i = 0; i < e->n_cells; i++) {
        json_decref(e->cell[i].config);
        json_decref(e->cell[i].settings);
        json_decref(e->cell[i].rows);
    }
    free(e->cell);
    free(e->question);
    free(e->caption);
    json_decref(e->factors);
    json_decref(e->order);
    *e = (Experiment){0};
}
