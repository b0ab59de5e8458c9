/* What a cell is, what it is called and which rows it has (experiment_parts.h). */
#include "harness/sweep/experiment_parts.h"

#include "engine/digest.h"
#include "harness/data/sparse_labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const role_names[] = {"weights", "teacher", "init_from"};

/* ---- identity ---- */

/* Settings at their fallbacks say nothing: one that a later version adds leaves the identities of earlier cells alone. */
static void drop_fallbacks(json_t *block, const Field *fields, const void *self) {
    for (const Field *f = fields; f->key != NULL; f++)
        if (field_is_fallback(f, self)) json_object_del(block, f->key);
}

static bool put_file_digest(json_t *into, const char *key, const char *path, Error *err) {
    char sha256[SHA256_TEXT_SIZE];
    if (path[0] == '\0') return true;
    if (!digest_sha256_file(path, sha256, err)) return false;
    json_object_set_new(into, key, json_string(sha256));
    return true;
}

static bool put_labels_digest(json_t *train, const char *dir, Error *err) {
    char sha256[SHA256_TEXT_SIZE];
    if (dir[0] == '\0') return true;
    if (!sparse_labels_digest(dir, sha256, err)) return false;
    json_object_set_new(train, "sparse_labels_sha256", json_string(sha256));
    return true;
}

bool cell_identify(const Experiment *e, Cell *c, const Model *m, Error *err) {
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
        static const char *const aside[] = {"checkpoint_s", "loader_threads", "teacher_weights", "init_from_weights", "sparse_labels"};
        for (size_t i = 0; i < sizeof aside / sizeof *aside; i++) json_object_del(train, aside[i]);
        if (c->need[NEEDS_TEACHER] >= 0) json_object_del(train, "teacher");
        else ok = put_file_digest(train, "teacher_sha256", c->train.teacher_weights, err);
        if (c->need[NEEDS_SOURCE] >= 0) json_object_del(train, "init_from");
        else ok = ok && put_file_digest(train, "init_sha256", c->train.init_from_weights, err);
        ok = ok && put_labels_digest(train, c->train.sparse_labels, err);
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

json_t *cell_value_at(json_t *tree, const char *pointer) {
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

/* JSON text without spaces, keys in their order, each number with the fewest digits that read back. free(). */
static char *short_text(const json_t *value) {
    char *text = json_canonical_text(value), *out = text;        /* never longer than with 17 digits */
    bool  quoted = false;
    for (const char *at = text; at != NULL && *at != '\0';) {
        if (*at == '"') quoted = !quoted;
        if (quoted && *at == '\\' && at[1] != '\0') *out++ = *at++;
        if (quoted || (*at != '-' && (*at < '0' || *at > '9'))) {
            *out++ = *at++;
            continue;
        }
        char         number[32], *end;
        const double wanted = strtod(at, &end);
        int          digits = 15;
        do snprintf(number, sizeof number, "%.*g", digits, wanted);
        while (digits++ < 17 && strtod(number, NULL) != wanted);
        const size_t n = strcspn(at, ".e") < (size_t)(end - at) && strlen(number) < (size_t)(end - at) ? strlen(number) : (size_t)(end - at);
        memmove(out, n < (size_t)(end - at) ? number : at, n);
        out += n;
        at   = end;
    }
    if (out != NULL) *out = '\0';
    return text;
}

/* A factor's value: a number, a text, true or false, or any other value as its JSON text. One number has one form: 0, not 0.0. */
static json_t *as_factor(json_t *value) {
    const double number = json_number_value(value);
    if (value == NULL) return json_null();
    if (json_is_real(value) && fabs(number) < 1e15 && number == (double)(json_int_t)number) return json_integer((json_int_t)number);
    if (!json_is_array(value) && !json_is_object(value)) return json_incref(value);
    char   *text = short_text(value);
    json_t *out  = json_string(text != NULL ? text : "");
    free(text);
    return out;
}

void draft_fill_factors(Draft *d, json_t *settings) {
    const char *name;
    json_t     *value, *pointer;
    json_object_foreach(d->factors, name, value) {
        if (!json_is_null(value) || (pointer = json_object_get(d->pointers, name)) == NULL) continue;
        json_t *given = cell_value_at(d->config.tree, json_string_value(pointer));
        json_object_set_new(d->factors, name, as_factor(given != NULL ? given : cell_value_at(settings, json_string_value(pointer))));
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
void cell_name(Cell *c, const Draft *d, const Model *m) {
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

json_t *experiment_to_json(const Experiment *e, const char *(*directory)(void *self, int cell), void *self) {
    JsonSink out, cells, one;
    json_t  *tree = NULL, *row;
    size_t   k;
    json_sink_begin(&out);
    json_put_text(&out, "schema", "morbench.experiment/1");
    json_put_text(&out, "experiment", e->name);
    json_put_text(&out, "size", e->size);
    json_put_text(&out, "question", e->question);
    json_put_text(&out, "caption", e->caption);
    json_put(&out, "factors", json_incref(e->factors));
    json_put_array(&out, "cells", &cells);
    json_array_foreach(e->order, k, row) {
        const int   i = (int)json_integer_value(json_array_get(row, 0));
        const Cell *c = &e->cell[i];
        json_put_object(&cells, NULL, &one);
        json_put_text(&one, "id", c->id);
        json_put_text(&one, "name", c->name);
        json_put_text(&one, "kind", cell_kinds[c->kind]);
        json_put(&one, "factors", json_incref(json_array_get(row, 1)));
        if (directory != NULL) json_put_text(&one, "directory", directory(self, i));
    }
    return json_sink_finish(&out, &tree, NULL) ? tree : NULL;
}
