/* From combinations of settings to cells: every setting after fallbacks, and which cell needs which (experiment_parts.h). */
#include "harness/sweep/experiment_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

static bool has_row(const Cell *c, const json_t *row) {
    const json_t *one;
    size_t        i;
    json_array_foreach(c->rows, i, one)
        if (json_equal(one, row)) return true;
    return false;
}

static bool note_row(Experiment *e, int cell, json_t *row) {
    if (e->order == NULL) e->order = json_array();
    return json_array_append_new(e->order, json_pack("[iO]", cell, row)) == 0;
}

/* Adds a cell, or the rows of one that is there already. Takes what c owns. *index: of it. */
bool cell_add(Maker *mk, Cell *c, int *index, Error *err) {
    Experiment *e = mk->e;
    for (int i = 0; i < e->n_cells; i++) {
        if (strcmp(e->cell[i].id, c->id) != 0) continue;
        json_t    *row = json_array_get(c->rows, 0);
        const bool ok  = has_row(&e->cell[i], row) || (json_array_append(e->cell[i].rows, row) == 0 && note_row(e, i, row));
        json_decref(c->rows);
        json_decref(c->config);
        json_decref(c->settings);
        *index = i;
        return ok || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the rows of an experiment");
    }
    if (e->n_cells == mk->capacity) {
        const int capacity = 2 * mk->capacity + 32;
        Cell     *grown    = capacity <= 4 * EXPERIMENT_CELLS_MAX ? realloc(e->cell, (size_t)capacity * sizeof *grown) : NULL;
        if (grown == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d cells", capacity);
        e->cell      = grown;
        mk->capacity = capacity;
    }
    if (!note_row(e, e->n_cells, json_array_get(c->rows, 0))) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the rows of an experiment");
    *index = e->n_cells;
    e->cell[e->n_cells++] = *c;
    return true;
}

/* ---- cells that others need ---- */

static bool make_draft(Maker *mk, int i, Error *err);

bool draft_is_trained(const Draft *d) { return d->kind == CELL_TRAIN && json_object_get(d->config.tree, "train") != NULL; }

/* The same values of what both vary. */
static bool agree(const Draft *a, const Draft *b) {
    const char *name;
    json_t     *pointer;
    json_object_foreach(a->pointers, name, pointer) {
        if (json_object_get(b->pointers, name) == NULL) continue;
        const json_t *x = cell_value_at(a->config.tree, json_string_value(pointer)), *y = cell_value_at(b->config.tree, json_string_value(pointer));
        if ((x == NULL) != (y == NULL) || (x != NULL && !json_equal(x, y))) return false;
    }
    return true;
}

/* The trained draft of that name for draft d. */
static bool find_named(const Maker *mk, const Draft *d, const char *name, const char *where, int *found, Error *err) {
    int n_named = 0, n_same = 0, n_first = 0, same = -1, first = -1;
    for (int i = 0; i < mk->drafts->n; i++) {
        const Draft *o = &mk->drafts->at[i];
        if (!draft_is_trained(o) || strcmp(o->cell, name) != 0 || ++n_named == 0 || !agree(d, o)) continue;
        const json_t *a = json_object_get(o->factors, "seed"), *b = json_object_get(d->factors, "seed");
        if (a == b || (a != NULL && b != NULL && json_equal(a, b))) n_same++, same = i;
        if (o->seed_index == 0) n_first++, first = i;
    }
    if (n_named == 0) return FAIL(err, where, "\"%.40s\" is the name of no cell that is trained", name);
    const int n = n_same > 0 ? n_same : n_first;
    if (n != 1) return FAIL(err, where, "\"%.40s\" stands for %d cells, which differ in settings that this cell does not vary", name, n);
    *found = n_same > 0 ? same : first;
    return true;
}

/* holder[key], when it is {"cell": NAME}: a text takes its place until the cell has a directory. */
static bool take_reference(Maker *mk, int draft, Cell *c, const char *block, const char *key, CellRole role, Error *err) {
    Draft  *d      = &mk->drafts->at[draft];
    json_t *holder = block != NULL ? json_object_get(d->config.tree, block) : d->config.tree, *value = json_object_get(holder, key);
    char    where[CONFIG_POINTER_MAX];
    int     found = -1;
    if (block == NULL && !config_check_weights(value, "/weights", err)) return false;
    if (!json_is_object(value)) return true;
    snprintf(where, sizeof where, "%s%s/%s", block != NULL ? "/" : "", block != NULL ? block : "", key);
    const char *name = json_string_value(json_object_get(value, "cell"));
    if (name == NULL || json_object_size(value) != 1) return FAIL(err, where, "must be a file, or {\"cell\": NAME}");
    if (!find_named(mk, d, name, where, &found, err) || !make_draft(mk, found, err)) return false;
    d = &mk->drafts->at[draft];
    if (c->need[role] >= 0 && c->need[role] != mk->drafts->at[found].made) return FAIL(err, where, "must be the cell that its weights are of");
    c->need[role] = mk->drafts->at[found].made;
    json_object_set_new(holder, key, json_sprintf("cell:%s", name));
    return true;
}

/* A cell given for the model or for the weights is both. */
static void complete_pair(json_t *train, const char *model, const char *weights) {
    json_t *a = json_object_get(train, model), *b = json_object_get(train, weights);
    if (a != NULL && b == NULL && json_is_object(a)) json_object_set(train, weights, a);
    if (b != NULL && a == NULL && json_is_object(b)) json_object_set(train, model, b);
}

bool draft_take_references(Maker *mk, int i, Cell *c, Error *err) {
    json_t *tree = mk->drafts->at[i].config.tree, *train = json_object_get(tree, "train");
    complete_pair(train, "teacher", "teacher_weights");
    complete_pair(train, "init_from", "init_from_weights");
    if (!take_reference(mk, i, c, "train", "teacher", NEEDS_TEACHER, err) || !take_reference(mk, i, c, "train", "teacher_weights", NEEDS_TEACHER, err)
        || !take_reference(mk, i, c, "train", "init_from", NEEDS_SOURCE, err) || !take_reference(mk, i, c, "train", "init_from_weights", NEEDS_SOURCE, err)
        || !take_reference(mk, i, c, NULL, "weights", NEEDS_WEIGHTS, err))
        return false;
    const char *file = json_string_value(json_object_get(tree, "weights"));
    if (file != NULL && c->need[NEEDS_WEIGHTS] < 0) snprintf(c->weights, sizeof c->weights, "%s", file);
    return true;
}

/* ---- one draft ---- */

bool draft_said(Error *err, const Draft *d) {
    const size_t n = strlen(err->message);
    char        *row = json_dumps(d->factors, JSON_COMPACT);
    if (row != NULL && json_object_size(d->factors) > 0 && strstr(err->message, " (cell ") == NULL)
        snprintf(err->message + n, sizeof err->message - n, " (cell %.150s)", row);
    free(row);
    return false;
}

static void drop_nulls(json_t *value) {
    const char *key;
    json_t     *member;
    void       *next;
    json_object_foreach_safe(value, next, key, member) {
        if (json_is_null(member)) json_object_del(value, key);
        else drop_nulls(member);
    }
}

/* Settings, model and identity of a cell whose needs are known. */
bool cell_read_settings(const Experiment *e, Draft *d, Cell *c, Model **m, Error *err) {
    ModelCounts counts = {0};
    if (!config_data(&d->config, &c->data, err) || (c->kind == CELL_TRAIN && !config_train(&d->config, &c->train, err)) || !config_model(&d->config, m, err))
        return false;
    (*m)->kind->count((*m)->self, &(RouteCounts){0}, &counts);
    c->params   = params_elements((*m)->params);
    c->macs     = counts.macs;
    c->settings = settings_to_json(&c->data, *m, c->kind == CELL_TRAIN ? &c->train : NULL);
    if (c->settings == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    return cell_identify(e, c, *m, err);
}

Cell cell_empty(CellKind kind) {
    Cell c = {.kind = kind};
    for (int r = 0; r < N_CELL_ROLES; r++) c.need[r] = -1;
    return c;
}

void cell_free(Cell *c) {
    json_decref(c->config);
    json_decref(c->settings);
    json_decref(c->rows);
}

static bool make_draft(Maker *mk, int i, Error *err) {
    Draft *d = &mk->drafts->at[i];
    Model *m = NULL;
    Cell   c = cell_empty(d->kind);
    if (d->made >= 0) return true;
    if (d->made == -2) return FAIL(err, "/cells", "cell \"%.40s\" needs weights that come of itself", d->cell);
    d->made = -2;
    drop_nulls(d->config.tree);
    bool ok = draft_take_references(mk, i, &c, err);
    d = &mk->drafts->at[i];
    if (ok && d->source >= 0) {
        Draft *source = &mk->drafts->at[d->source];
        if (!draft_is_trained(source)) draft_fill_factors(source, NULL);
        json_object_update(d->factors, source->factors);        /* as it was trained, whatever varies now */
        if (draft_is_trained(source)) {
            c.need[NEEDS_WEIGHTS] = source->made;
            c.weights[0] = '\0';
        }
        if (c.need[NEEDS_WEIGHTS] < 0 && c.weights[0] == '\0') ok = FAIL(err, "/evaluate", "is of a cell that is not trained and has no weights");
    }
    ok = ok && cell_read_settings(mk->e, d, &c, &m, err);
    if (ok) {
        draft_fill_factors(d, c.settings);
        c.rows   = json_pack("[O]", d->factors);
        c.config = json_deep_copy(d->config.tree);
        cell_name(&c, d, m);
        ok = (c.rows != NULL && c.config != NULL) || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    }
    int made = -1;
    ok = ok && cell_add(mk, &c, &made, err);
    if (ok) mk->drafts->at[i].made = made;
    else {
        draft_said(err, d);
        cell_free(&c);
    }
    model_destroy(m);
    return ok;
}

/* ---- all of them ---- */

bool experiment_make_cells(Experiment *e, Drafts *d, Error *err) {
    Maker mk = {.e = e, .drafts = d};
    bool  ok = true, timed = false;
    for (int i = 0; ok && i < d->n; i++)
        if (d->at[i].kind != CELL_TRAIN || draft_is_trained(&d->at[i])) ok = make_draft(&mk, i, err);
    for (int i = 0; ok && i < d->n; i++) ok = draft_time(&mk, i, err);
    e->n_combinations = d->n;
    for (int i = 0; i < e->n_cells; i++) timed |= e->cell[i].kind == CELL_TIME;
    static const char *const of_timing[] = {"batch", "threads", "pass"};
    for (int i = 0; timed && i < 3; i++)
        json_array_append_new(e->factors, json_pack("{ss ss sn}", "name", of_timing[i], "label", of_timing[i], "pointer"));
    return ok;
}
