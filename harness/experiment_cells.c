/* From combinations of settings to cells: every setting after fallbacks, what a cell is called, which cells it needs (experiment.h). */
#include "harness/experiment.h"

#include "engine/digest.h"
#include "harness/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const measure_profiles[] = {"", "smoke", "standard", "paper", NULL};

enum { BATCH_MAX = 65536, MEASURE_THREADS_MAX = 1024 };
const Field measure_fields[] = {
    {.key = "batch", .type = FIELD_INTS, .offset = FIELD_AT(MeasureSettings, batch), .min = 1, .max = BATCH_MAX, .help = "batch sizes; [] no timing"},
    {.key = "threads", .type = FIELD_INTS, .offset = FIELD_AT(MeasureSettings, threads), .min = 1, .max = MEASURE_THREADS_MAX,
     .help = "threads to time with; left out: those of the command line"},
    BOOL_FIELD(MeasureSettings, train, false, "time training steps too"),
    WORD_FIELD(MeasureSettings, profile, measure_profiles, 0, "how long to measure"),
    TEXT_FIELD(MeasureSettings, backend, "", "kernels to compute with; left out: those of the command line"),
    FIELDS_END,
};

static const char *const role_names[] = {"weights", "teacher", "init_from"};

typedef struct Maker {
    Experiment *e;
    Drafts     *drafts;
    int         capacity;
} Maker;

/* ---- identity ---- */

static bool is_fallback(const Field *f, const void *self) {
    const char *at = (const char *)self + f->offset;
    switch (f->type) {
    case FIELD_TEXT:     return strcmp(at, f->text_fallback != NULL ? f->text_fallback : "") == 0;
    case FIELD_INTS:     return ((const IntList *)(const void *)at)->n == 0;
    case FIELD_REALS:    return ((const RealList *)(const void *)at)->n == 0;
    case FIELD_SCHEDULE: return ((const StepSchedule *)(const void *)at)->form == SCHEDULE_UNSET;
    default:             return !f->required && field_number(f, self) == f->fallback;
    }
}

/* Settings at their fallbacks say nothing: one that a later version adds leaves the identities of earlier cells alone. */
static void drop_fallbacks(json_t *block, const Field *fields, const void *self) {
    for (const Field *f = fields; f->key != NULL; f++)
        if (is_fallback(f, self)) json_object_del(block, f->key);
}

static bool put_file_digest(json_t *into, const char *key, const char *path, Error *err) {
    char sha256[SHA256_TEXT_SIZE];
    if (path[0] == '\0') return true;
    if (!digest_sha256_file(path, sha256, err)) return false;
    json_object_set_new(into, key, json_string(sha256));
    return true;
}

static bool identify(const Experiment *e, Cell *c, const Model *m, Error *err) {
    json_t *all = json_pack("{ss}", "kind", cell_kinds[c->kind]), *model = model_to_json(m), *data = fields_to_json(data_fields, &c->data);
    char    sum[SHA256_TEXT_SIZE];
    bool    ok = true;
    drop_fallbacks(model, m->kind->fields, m->self);
    drop_fallbacks(data, data_fields, &c->data);
    json_object_del(data, "root");
    json_object_set_new(all, "model", model);
    json_object_set_new(all, "data", data);
    if (c->kind == CELL_TRAIN) {
        json_t *train = fields_to_json(train_fields, &c->train);
        drop_fallbacks(train, train_fields, &c->train);
        static const char *const aside[] = {"checkpoint_s", "loader_threads", "teacher_weights", "init_from_weights"};
        for (size_t i = 0; i < sizeof aside / sizeof *aside; i++) json_object_del(train, aside[i]);
        if (c->need[NEEDS_TEACHER] >= 0) json_object_del(train, "teacher");
        else ok = put_file_digest(train, "teacher_sha256", c->train.teacher_weights, err);
        if (c->need[NEEDS_SOURCE] >= 0) json_object_del(train, "init_from");
        else ok = ok && put_file_digest(train, "init_sha256", c->train.init_from_weights, err);
        json_object_set_new(all, "train", train);
    }
    if (c->kind == CELL_TIME)
        json_object_set_new(all, "measure", json_pack("{si si sb ss ss}", "batch", c->batch, "threads", c->threads, "train", (int)c->train_step, "profile",
                                                          c->profile, "backend", c->backend));
    for (int r = 0; r < N_CELL_ROLES; r++)
        if (c->need[r] >= 0) json_object_set_new(all, role_names[r], json_string(e->cell[c->need[r]].id));
    ok = ok && put_file_digest(all, "weights_sha256", c->weights, err);
    char *text = ok ? json_canonical_text(all) : NULL;
    if (ok && text == NULL) ok = FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    ok = ok && digest_sha256(text, strlen(text), sum, err);
    if (ok) snprintf(c->id, sizeof c->id, "%.16s", sum);
    free(text);
    json_decref(all);
    return ok;
}

/* ---- rows and names ---- */

static json_t *value_at(json_t *tree, const char *pointer) {
    char key[128];
    while (tree != NULL && *pointer == '/') {
        const size_t n = strcspn(++pointer, "/");
        snprintf(key, sizeof key, "%.*s", (int)n, pointer);
        json_t *next = json_object_get(tree, key);
        tree = json_is_array(tree) && key[0] >= '0' && key[0] <= '9' ? json_array_get(tree, (size_t)atoi(key)) : next;
        pointer += n;
    }
    return tree;
}

/* A factor's value: a number, a text, true or false, or any other value as its JSON text. */
static json_t *as_factor(json_t *value) {
    if (value == NULL) return json_null();
    if (!json_is_array(value) && !json_is_object(value)) return json_incref(value);
    char   *text = json_canonical_text(value);
    json_t *out  = json_string(text != NULL ? text : "");
    free(text);
    return out;
}

static void fill_factors(Draft *d, json_t *settings) {
    const char *name;
    json_t     *value, *pointer;
    json_object_foreach(d->factors, name, value) {
        if (!json_is_null(value) || (pointer = json_object_get(d->pointers, name)) == NULL) continue;
        json_t *given = value_at(d->config.tree, json_string_value(pointer));
        json_object_set_new(d->factors, name, as_factor(given != NULL ? given : value_at(settings, json_string_value(pointer))));
    }
}

static void append_name(char name[CELL_NAME_MAX], const char *text) {
    size_t n = strlen(name);
    for (; *text != '\0' && n + 1 < 90; text++) {
        const bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') || strchr("_.+-", *text) != NULL;
        if (plain) name[n++] = *text;
        else if (n > 0 && name[n - 1] != '_') name[n++] = '_';
    }
    name[n] = '\0';
}

static const char *short_name(const char *factor) {
    static const char *const known[][2] = {{"seed", "s"}, {"evaluation", ""}, {"batch", "b"}, {"threads", "t"}, {"pass", ""}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i][0], factor) == 0) return known[i][1];
    return factor;
}

/* "recursive-recursions3-s1" */
static void name_cell(Cell *c, const Draft *d, const Model *m) {
    const char *key;
    json_t     *value;
    append_name(c->name, d->cell[0] != '\0' ? d->cell : m->preset[0] != '\0' ? m->preset : m->kind->name);
    json_object_foreach(json_array_get(c->rows, 0), key, value) {
        if (strcmp(key, "cell") == 0 || json_is_null(value)) continue;
        char   *text  = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        append_name(c->name, "-");
        append_name(c->name, short_name(key));
        append_name(c->name, text != NULL ? text : "");
        free(text);
    }
}

static bool has_row(const Cell *c, const json_t *row) {
    const json_t *one;
    size_t        i;
    json_array_foreach(c->rows, i, one)
        if (json_equal(one, row)) return true;
    return false;
}

/* Adds a cell, or the rows of one that is there already. Takes what c owns. *index: of it. */
static bool add_cell(Maker *mk, Cell *c, int *index, Error *err) {
    Experiment *e = mk->e;
    for (int i = 0; i < e->n_cells; i++) {
        if (strcmp(e->cell[i].id, c->id) != 0) continue;
        if (!has_row(&e->cell[i], json_array_get(c->rows, 0))) json_array_append(e->cell[i].rows, json_array_get(c->rows, 0));
        json_decref(c->rows);
        json_decref(c->config);
        json_decref(c->settings);
        *index = i;
        return true;
    }
    if (e->n_cells == mk->capacity) {
        const int capacity = 2 * mk->capacity + 32;
        Cell     *grown    = capacity <= 4 * EXPERIMENT_CELLS_MAX ? realloc(e->cell, (size_t)capacity * sizeof *grown) : NULL;
        if (grown == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d cells", capacity);
        e->cell      = grown;
        mk->capacity = capacity;
    }
    *index = e->n_cells;
    e->cell[e->n_cells++] = *c;
    return true;
}

/* ---- cells that others need ---- */

static bool make_draft(Maker *mk, int i, Error *err);

static bool is_trained(const Draft *d) { return d->kind == CELL_TRAIN && json_object_get(d->config.tree, "train") != NULL; }

/* The same values of what both vary. */
static bool agree(const Draft *a, const Draft *b) {
    const char *name;
    json_t     *pointer;
    json_object_foreach(a->pointers, name, pointer) {
        if (json_object_get(b->pointers, name) == NULL) continue;
        const json_t *x = value_at(a->config.tree, json_string_value(pointer)), *y = value_at(b->config.tree, json_string_value(pointer));
        if ((x == NULL) != (y == NULL) || (x != NULL && !json_equal(x, y))) return false;
    }
    return true;
}

/* The trained draft of that name for draft d. */
static bool find_named(const Maker *mk, const Draft *d, const char *name, const char *where, int *found, Error *err) {
    int n_named = 0, n_same = 0, n_first = 0, same = -1, first = -1;
    for (int i = 0; i < mk->drafts->n; i++) {
        const Draft *o = &mk->drafts->at[i];
        if (!is_trained(o) || strcmp(o->cell, name) != 0 || ++n_named == 0 || !agree(d, o)) continue;
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

static bool take_references(Maker *mk, int i, Cell *c, Error *err) {
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

static bool said_of_cell(Error *err, const Draft *d) {
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
static bool read_settings(const Experiment *e, Draft *d, Cell *c, Model **m, Error *err) {
    ModelCounts counts = {0};
    if (!config_data(&d->config, &c->data, err) || (c->kind == CELL_TRAIN && !config_train(&d->config, &c->train, err)) || !config_model(&d->config, m, err))
        return false;
    (*m)->kind->count((*m)->self, &(RouteCounts){0}, &counts);
    c->params   = params_elements((*m)->params);
    c->macs     = counts.macs;
    c->settings = settings_to_json(&c->data, *m, c->kind == CELL_TRAIN ? &c->train : NULL);
    if (c->settings == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    return identify(e, c, *m, err);
}

static Cell empty_cell(CellKind kind) {
    Cell c = {.kind = kind};
    for (int r = 0; r < N_CELL_ROLES; r++) c.need[r] = -1;
    return c;
}

static void cell_free(Cell *c) {
    json_decref(c->config);
    json_decref(c->settings);
    json_decref(c->rows);
}

static bool make_draft(Maker *mk, int i, Error *err) {
    Draft *d = &mk->drafts->at[i];
    Model *m = NULL;
    Cell   c = empty_cell(d->kind);
    if (d->made >= 0) return true;
    if (d->made == -2) return FAIL(err, "/cells", "cell \"%.40s\" needs weights that come of itself", d->cell);
    d->made = -2;
    drop_nulls(d->config.tree);
    bool ok = take_references(mk, i, &c, err);
    d = &mk->drafts->at[i];
    if (ok && d->source >= 0) {
        Draft *source = &mk->drafts->at[d->source];
        if (!is_trained(source)) fill_factors(source, NULL);
        json_object_update(d->factors, source->factors);        /* as it was trained, whatever varies now */
        if (is_trained(source)) {
            c.need[NEEDS_WEIGHTS] = source->made;
            c.weights[0] = '\0';
        }
        if (c.need[NEEDS_WEIGHTS] < 0 && c.weights[0] == '\0') ok = FAIL(err, "/evaluate", "is of a cell that is not trained and has no weights");
    }
    ok = ok && read_settings(mk->e, d, &c, &m, err);
    if (ok) {
        fill_factors(d, c.settings);
        c.rows   = json_pack("[O]", d->factors);
        c.config = json_deep_copy(d->config.tree);
        name_cell(&c, d, m);
        ok = (c.rows != NULL && c.config != NULL) || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    }
    int made = -1;
    ok = ok && add_cell(mk, &c, &made, err);
    if (ok) mk->drafts->at[i].made = made;
    else {
        said_of_cell(err, d);
        cell_free(&c);
    }
    model_destroy(m);
    return ok;
}

/* ---- timing ---- */

static bool read_measure(const Config *config, MeasureSettings *out, bool *asked, Error *err) {
    static const char *const lists[] = {"batch", "threads"};
    const json_t *block = config_block(config, "measure");
    fields_default(measure_fields, out);
    *asked = block != NULL;
    if (block == NULL) return true;
    json_t *copy = json_deep_copy(block);
    for (int i = 0; i < 2; i++) {
        json_t *value = json_object_get(copy, lists[i]);
        if (json_is_number(value)) json_object_set_new(copy, lists[i], json_pack("[O]", value));
        if (i == 0 && json_is_array(value) && json_array_size(value) == 0) {
            json_object_del(copy, lists[i]);
            *asked = false;
        }
    }
    const bool ok = config_read_block(copy, measure_fields, out, "/measure", err);
    if (out->batch.n == 0) out->batch = (IntList){1, {1}};
    json_decref(copy);
    return ok;
}

static bool add_timing(Maker *mk, int draft, const Cell *like, const MeasureSettings *s, int batch, int threads, bool step, Error *err) {
    const Experiment *e = mk->e;
    Draft *d = &mk->drafts->at[draft];
    Model *m = NULL;
    Cell   c = empty_cell(CELL_TIME);
    int    index;
    c.batch      = batch;
    c.threads    = threads > 0 ? threads : runtime_threads();
    c.train_step = step;
    snprintf(c.backend, sizeof c.backend, "%.31s", s->backend[0] != '\0' ? s->backend : runtime_backend()->name);
    c.profile    = e->profile != NULL ? e->profile : s->profile > 0 ? measure_profiles[s->profile] : strcmp(e->size, "smoke") == 0 ? "smoke" : "standard";
    c.need[NEEDS_WEIGHTS] = like->need[NEEDS_WEIGHTS];
    snprintf(c.weights, sizeof c.weights, "%s", like->weights);
    bool ok = read_settings(e, d, &c, &m, err);
    if (ok) {
        json_t *row = json_copy(d->factors);
        json_object_del(row, "seed");
        json_object_set_new(row, "batch", json_integer(batch));
        json_object_set_new(row, "threads", json_integer(c.threads));
        json_object_set_new(row, "pass", json_string(step ? "train_step" : "forward"));
        c.rows   = json_pack("[o]", row);
        c.config = json_deep_copy(d->config.tree);
        json_object_del(c.config, "train");
        name_cell(&c, d, m);
        ok = (c.rows != NULL && c.config != NULL) || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    }
    ok = ok && add_cell(mk, &c, &index, err);
    if (!ok) {
        said_of_cell(err, d);
        cell_free(&c);
    }
    model_destroy(m);
    return ok;
}

/* Of what nothing is asked of. */
static bool check_settings(const Experiment *e, Draft *d, Error *err) {
    Model     *m  = NULL;
    Cell       c  = empty_cell(CELL_TIME);
    c.profile     = "";
    const bool ok = read_settings(e, d, &c, &m, err);
    cell_free(&c);
    model_destroy(m);
    return ok;
}

static bool time_draft(Maker *mk, int i, Error *err) {
    const Draft    *d = &mk->drafts->at[i];
    MeasureSettings s;
    bool            asked, ok = read_measure(&d->config, &s, &asked, err) || said_of_cell(err, d);
    if (ok && !asked && d->kind == CELL_TRAIN && !is_trained(d)) return check_settings(mk->e, &mk->drafts->at[i], err) || said_of_cell(err, d);
    if (!ok || !asked || d->seed_index > 0) return ok;
    Cell like = empty_cell(CELL_TIME);
    if (is_trained(d)) like.need[NEEDS_WEIGHTS] = d->made;
    else if (d->made >= 0) {
        like.need[NEEDS_WEIGHTS] = mk->e->cell[d->made].need[NEEDS_WEIGHTS];
        snprintf(like.weights, sizeof like.weights, "%s", mk->e->cell[d->made].weights);
    } else if (!take_references(mk, i, &like, err)) {
        return false;
    }
    const IntList none = {1, {0}}, *threads = s.threads.n > 0 ? &s.threads : &none;
    for (int k = 0; k < threads->n; k++)
        for (int b = 0; b < s.batch.n; b++)
            for (int step = 0; ok && step <= (s.train ? 1 : 0); step++)
                ok = add_timing(mk, i, &like, &s, s.batch.value[b], threads->value[k], step == 1, err);
    return ok;
}

bool experiment_make_cells(Experiment *e, Drafts *d, Error *err) {
    Maker mk = {.e = e, .drafts = d};
    bool  ok = true, timed = false;
    for (int i = 0; ok && i < d->n; i++)
        if (d->at[i].kind != CELL_TRAIN || is_trained(&d->at[i])) ok = make_draft(&mk, i, err);
    for (int i = 0; ok && i < d->n; i++) ok = time_draft(&mk, i, err);
    e->n_combinations = d->n;
    for (int i = 0; i < e->n_cells; i++) timed |= e->cell[i].kind == CELL_TIME;
    static const char *const of_timing[] = {"batch", "threads", "pass"};
    for (int i = 0; timed && i < 3; i++)
        json_array_append_new(e->factors, json_pack("{ss ss sn}", "name", of_timing[i], "label", of_timing[i], "pointer"));
    return ok;
}

json_t *experiment_to_json(const Experiment *e, const char *(*directory)(void *self, int cell), void *self) {
    json_t *cells = json_array(), *row;
    size_t  k;
    for (int i = 0; i < e->n_cells; i++) {
        const Cell *c = &e->cell[i];
        json_array_foreach(c->rows, k, row) {
            json_t *entry = json_pack("{ss ss ss sO}", "id", c->id, "name", c->name, "kind", cell_kinds[c->kind], "factors", row);
            if (directory != NULL) json_object_set_new(entry, "directory", json_string(directory(self, i)));
            json_array_append_new(cells, entry);
        }
    }
    return json_pack("{ss ss ss ss sO so}", "schema", "morbench.experiment/1", "experiment", e->name, "size", e->size, "question", e->question, "factors",
                     e->factors, "cells", cells);
}
