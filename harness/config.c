/* Reading of configuration blocks and whole files, see config.h. */
#include "harness/config.h"

#include "baselines/registry.h"
#include "harness/result.h"
#include "harness/sweep/experiment.h"
#include "harness/sweep/vary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const config_blocks[] = {"data", "model", "train", "measure", "vary", "question", "caption", "weights", "seeds", "cells", "evaluate", "sizes", "labels", NULL};
/* Blocks that make a file an experiment of many cells, which `run` expands. */
static const char *const sweep_blocks[] = {"vary", "weights", "seeds", "cells", "evaluate", "sizes", "labels", NULL};

/* ---- messages ---- */

void config_join_pointer(char text[CONFIG_POINTER_MAX], const char *path, const char *key) {
    size_t n = (size_t)snprintf(text, CONFIG_POINTER_MAX, "%s/", path);
    if (n >= CONFIG_POINTER_MAX) n = CONFIG_POINTER_MAX - 1;
    for (; *key != '\0' && n + 3 < CONFIG_POINTER_MAX; key++) {
        if (*key == '~' || *key == '/') {
            text[n++] = '~';
            text[n++] = *key == '~' ? '0' : '1';
        } else {
            text[n++] = *key;
        }
    }
    if (n < CONFIG_POINTER_MAX) text[n] = '\0';
}

/* "a whole number in [1, 64]", "one of topk, threshold" */
static void allowed_text(const Field *f, char *text, size_t size) {
    size_t n = 0;
    switch (f->type) {
    case FIELD_INT:   snprintf(text, size, "a whole number in [%.10g, %.10g]", f->min, f->max); break;
    case FIELD_REAL:  snprintf(text, size, "a number in [%.10g, %.10g]", f->min, f->max); break;
    case FIELD_BOOL:  snprintf(text, size, "true or false"); break;
    case FIELD_TEXT:  snprintf(text, size, "a text"); break;
    case FIELD_INTS:  snprintf(text, size, "a list of whole numbers in [%.10g, %.10g]", f->min, f->max); break;
    case FIELD_REALS: snprintf(text, size, "a list of numbers in [%.10g, %.10g]", f->min, f->max); break;
    case FIELD_SCHEDULE:
        snprintf(text, size, "a list of numbers in (0, 1], \"linear\", \"flat\" or {\"geometric\": ratio}");
        break;
    case FIELD_WORD:
        n = (size_t)snprintf(text, size, "one of");
        for (const char *const *w = f->words; *w != NULL && n < size; w++)
            n += (size_t)snprintf(text + n, size - n, "%s%s", w == f->words ? " " : ", ", *w);
        break;
    }
}

bool config_wrong_type(const json_t *value, const char *allowed, const char *path, Error *err) {
    char *given = json_canonical_text(value);
    FAIL(err, path, "must be %s, got %.60s", allowed, given != NULL ? given : "another type");
    free(given);
    return false;
}

static bool wrong_type(const Field *f, const json_t *value, const char *path, Error *err) {
    char allowed[256];
    allowed_text(f, allowed, sizeof allowed);
    return config_wrong_type(value, allowed, path, err);
}

const char *config_nearest(const char *const names[], const char *key) {
    enum { NAMES_MAX = 16 };
    Field field[NAMES_MAX + 1] = {{0}};
    for (int i = 0; names != NULL && names[i] != NULL && i < NAMES_MAX; i++) field[i].key = names[i];
    return field_nearest(field, key);
}

bool config_unknown_key(const Field *fields, const char *const others[], const char *key, const char *path, Error *err) {
    char        where[CONFIG_POINTER_MAX], known[400] = "";
    const char *near = fields != NULL ? field_nearest(fields, key) : NULL;
    size_t      n    = 0;
    if (near == NULL) near = config_nearest(others, key);
    config_join_pointer(where, path, key);
    if (near != NULL) return FAIL(err, where, "unknown key; did you mean \"%s\"?", near);
    for (int i = 0; others != NULL && others[i] != NULL && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", others[i]);
    for (const Field *f = fields; f != NULL && f->key != NULL && n < sizeof known; f++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", f->key);
    return FAIL(err, where, "unknown key; known: %s", known);
}

/* ---- blocks ---- */

static bool read_list(const json_t *array, const Field *f, void *self, const char *path, Error *err) {
    double value[FIELD_LIST_MAX] = {0};
    size_t i, n = json_array_size(array);
    json_t *entry;
    json_array_foreach(array, i, entry) {
        char where[CONFIG_POINTER_MAX], index[24];
        if (i >= FIELD_LIST_MAX) break;
        snprintf(index, sizeof index, "%zu", i);
        config_join_pointer(where, path, index);
        if (!json_is_number(entry))
            return FAIL(err, where, "must be a number in [%.10g, %.10g]", f->min, f->max);
        value[i] = json_number_value(entry);
    }
    return field_set_list(f, self, value, n > FIELD_LIST_MAX ? FIELD_LIST_MAX + 1 : (int)n, path, err);
}

static bool read_value(const json_t *value, const Field *f, void *self, const char *path, Error *err) {
    switch (f->type) {
    case FIELD_INT:
    case FIELD_REAL:
        if (json_is_number(value)) return field_set_number(f, self, json_number_value(value), path, err);
        break;
    case FIELD_BOOL:
        if (json_is_boolean(value)) return field_set_bool(f, self, json_is_true(value), path, err);
        break;
    case FIELD_WORD:
    case FIELD_TEXT:
        if (json_is_string(value)) return field_set_text(f, self, json_string_value(value), path, err);
        break;
    case FIELD_INTS:
    case FIELD_REALS:
        if (json_is_array(value)) return read_list(value, f, self, path, err);
        break;
    case FIELD_SCHEDULE:
        if (json_is_array(value)) return read_list(value, f, self, path, err);
        if (json_is_string(value)) return field_set_text(f, self, json_string_value(value), path, err);
        if (json_object_size(value) == 1 && json_is_number(json_object_get(value, "geometric"))) {
            char where[CONFIG_POINTER_MAX];
            config_join_pointer(where, path, "geometric");
            return field_set_geometric(f, self, json_number_value(json_object_get(value, "geometric")), where, err);
        }
        break;
    }
    return wrong_type(f, value, path, err);
}

bool config_is_one_of(const char *const names[], const char *key) {
    for (int i = 0; names != NULL && names[i] != NULL; i++)
        if (strcmp(names[i], key) == 0) return true;
    return false;
}

/* The keys of object into self; others: keys that the caller reads. */
static bool read_keys(const json_t *object, const Field *fields, void *self, const char *const others[], const char *path, Error *err) {
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)object, key, value) {
        char         where[CONFIG_POINTER_MAX];
        const Field *f = field_find(fields, key);
        if (config_is_one_of(others, key)) continue;
        if (f == NULL) return config_unknown_key(fields, others, key, path, err);
        config_join_pointer(where, path, key);
        if (!read_value(value, f, self, where, err)) return false;
    }
    return true;
}

bool config_read_block(const json_t *object, const Field *fields, void *self, const char *path, Error *err) {
    fields_default(fields, self);
    if (!json_is_object(object)) return FAIL(err, path, "must be an object {...}");
    return read_keys(object, fields, self, NULL, path, err);
}

/* ---- models ---- */

static const char *const model_keys[] = {"model", "preset", NULL};

/* The text at block/key; NULL in *text when there is none. */
static bool read_text(const json_t *block, const char *key, const char **text, const char *path, Error *err) {
    char          where[CONFIG_POINTER_MAX];
    const json_t *value = json_object_get(block, key);
    *text = NULL;
    if (value == NULL) return true;
    config_join_pointer(where, path, key);
    if (!json_is_string(value)) return FAIL(err, where, "must be a text");
    *text = json_string_value(value);
    return true;
}

/* Moves what an inner call said into field `where`. */
static bool said_of(Error *err, const char *where) {
    const Error inner = *err;
    error_fail(err, inner.file, inner.line, inner.exit_status, where, "%s%s%s", inner.field[0] == '/' ? inner.field + 1 : inner.field,
               inner.field[0] != '\0' ? " " : "", inner.message);
    return false;
}

static bool start_from_preset(Model **out, const char *preset, const char *kind_name, const char *path, Error *err) {
    char             settings[1024], where[CONFIG_POINTER_MAX];
    const ModelKind *kind;
    config_join_pointer(where, path, "preset");
    if (!preset_find(preset, &kind, settings, sizeof settings, err)) return said_of(err, where);
    if (kind_name != NULL && strcmp(kind_name, kind->name) != 0)
        return FAIL(err, where, "\"%.60s\" is a preset of %s, but model is \"%.60s\"", preset, kind->name, kind_name);
    if (!model_new(out, kind, err)) return false;
    snprintf((*out)->preset, sizeof (*out)->preset, "%s", preset);
    return fields_set_from_text(kind->fields, (*out)->self, settings, "", err) || said_of(err, where);
}

static bool start_from_kind(Model **out, const char *kind_name, const char *path, Error *err) {
    char             where[CONFIG_POINTER_MAX];
    const ModelKind *kind = kind_name != NULL ? model_find(kind_name) : NULL;
    config_join_pointer(where, path, "model");
    if (kind_name == NULL) return FAIL(err, where, "must be given, one of %s; or \"preset\"", model_names());
    if (kind == NULL) return FAIL(err, where, "must be one of %s; got \"%.60s\"", model_names(), kind_name);
    return model_new(out, kind, err);
}

/* A model's own checks name "/model/key", wherever the block lies. */
static void move_field(Error *err, const char *path) {
    static const char usual[] = "/model/";
    char              field[sizeof err->field];
    if (strncmp(err->field, usual, sizeof usual - 1) != 0) return;
    snprintf(field, sizeof field, "%s/%s", path, err->field + sizeof usual - 1);
    snprintf(err->field, sizeof err->field, "%s", field);
}

bool config_read_model(const json_t *block, Model **out, const char *path, Error *err) {
    const char *preset, *kind_name;
    Model      *m  = NULL;
    bool        ok = false;
    if (!json_is_object(block)) return FAIL(err, path, "must be an object {...}");
    if (!read_text(block, "preset", &preset, path, err) || !read_text(block, "model", &kind_name, path, err)) return false;
    if (preset != NULL ? !start_from_preset(&m, preset, kind_name, path, err) : !start_from_kind(&m, kind_name, path, err)) goto done;
    if (!read_keys(block, m->kind->fields, m->self, model_keys, path, err)) goto done;
    if (!model_build(m, err)) {
        move_field(err, path);
        goto done;
    }
    *out = m;
    m    = NULL;
    ok   = true;
done:
    model_destroy(m);
    return ok;
}

bool config_load_model_file(const char *path, Model **out, Error *err) {
    json_t *tree = NULL;
    if (!json_load_file_checked(&tree, path, 0, err)) return false;
    const json_t *block   = json_object_get(tree, "model");
    const bool    is_flat = !json_is_object(block);
    const bool    ok      = config_read_model(is_flat ? tree : block, out, is_flat ? "" : "/model", err) || error_in(err, path);
    json_decref(tree);
    return ok;
}

/* ---- back to JSON ---- */

json_t *fields_to_json(const Field *fields, const void *self) {
    JsonSink sink;
    json_t  *tree = NULL;
    json_sink_begin(&sink);
    result_put_settings(&sink, fields, self);
    return json_sink_finish(&sink, &tree, NULL) ? tree : NULL;
}

json_t *model_to_json(const Model *m) {
    JsonSink sink;
    json_t  *tree = NULL;
    json_sink_begin(&sink);
    json_put_text(&sink, "model", m->kind->name);
    result_put_settings(&sink, m->kind->fields, m->self);
    return json_sink_finish(&sink, &tree, NULL) ? tree : NULL;
}

json_t *settings_to_json(const DataSettings *data, const Model *model, const TrainSettings *train) {
    JsonSink sink;
    json_t  *tree = NULL;
    json_sink_begin(&sink);
    if (data != NULL)  json_put(&sink, "data", fields_to_json(data_fields, data));
    if (model != NULL) json_put(&sink, "model", model_to_json(model));
    if (train != NULL) json_put(&sink, "train", fields_to_json(train_fields, train));
    return json_sink_finish(&sink, &tree, NULL) ? tree : NULL;
}

/* ---- whole files ---- */

/* One token of a pointer, n bytes, without its escapes. False: too long, empty or not UTF-8. */
static bool unescape(const char *token, size_t n, char *key, size_t size) {
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        if (length + 1 >= size) return false;
        if (token[i] == '~' && i + 1 < n && (token[i + 1] == '0' || token[i + 1] == '1'))
            key[length++] = token[++i] == '0' ? '~' : '/';
        else
            key[length++] = token[i];
    }
    key[length] = '\0';
    return n > 0 && json_is_utf8(key);
}

/* The entry of array that key counts to; false when there is none. */
static bool array_index(const json_t *array, const char *key, size_t *index) {
    if (key[0] == '\0' || strspn(key, "0123456789") != strlen(key) || strlen(key) > 9) return false;
    *index = (size_t)atol(key);
    return *index < json_array_size(array);
}

/* Goes along *rest, "/a/b": to member a of *at, made as an object where there is none, and leaves the last token in key. */
static bool walk(json_t **at, const char **rest, char *key, size_t size, const char *pointer, Error *err) {
    const size_t n = strcspn(*rest + 1, "/");
    size_t       index;
    if (!unescape(*rest + 1, n, key, size)) return FAIL(err, pointer, "is no path to a setting");
    *rest += 1 + n;
    if (**rest == '\0') return true;
    json_t *next = json_object_get(*at, key);
    if (json_is_array(*at) && array_index(*at, key, &index)) next = json_array_get(*at, index);
    if (next == NULL && json_is_object(*at)) {
        next = json_object();
        if (json_object_set_new(*at, key, next) != 0) return FAIL_STATUS(err, EXIT_MACHINE, pointer, "no memory for this setting");
    }
    if (!json_is_object(next) && !json_is_array(next)) return FAIL(err, pointer, "\"%.60s\" in it is neither object nor list", key);
    *at = next;
    return walk(at, rest, key, size, pointer, err);
}

bool config_set(Config *c, const char *pointer, json_t *value, Error *err) {
    json_t     *at = c->tree;
    const char *rest = pointer;
    char        key[128];
    size_t      index = 0;
    bool        ok    = false;
    if (value == NULL) return FAIL(err, pointer, "the value is not UTF-8");
    if (pointer[0] != '/') {
        FAIL(err, pointer, "is no JSON pointer such as /train/seed");
        goto done;
    }
    const size_t n = strcspn(pointer + 1, "/");
    if (!unescape(pointer + 1, n, key, sizeof key) || !config_is_one_of(config_blocks, key)) {
        config_unknown_key(NULL, config_blocks, key, "", err);
        goto done;
    }
    if (!walk(&at, &rest, key, sizeof key, pointer, err)) goto done;
    if (json_is_object(at)) {
        ok = json_object_set(at, key, value) == 0 || FAIL_STATUS(err, EXIT_MACHINE, pointer, "no memory for this setting");
    } else if (array_index(at, key, &index)) {
        ok = json_array_set(at, index, value) == 0 || FAIL_STATUS(err, EXIT_MACHINE, pointer, "no memory for this setting");
    } else {
        FAIL(err, pointer, "there is no entry %.40s; the list has %zu, counted from 0", key, json_array_size(at));
    }
done:
    json_decref(value);
    return ok;
}

bool config_override(Config *c, const char *text, Error *err) {
    char        pointer[CONFIG_POINTER_MAX];
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || equals - text + 2 > CONFIG_POINTER_MAX)
        return FAIL(err, "", "an override is key=value, as in train.epochs=2; got \"%.60s\"", text);
    snprintf(pointer, sizeof pointer, "/%.*s", (int)(equals - text), text);
    for (char *s = pointer; *s != '\0'; s++)
        if (*s == '.') *s = '/';
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    return config_set(c, pointer, value != NULL ? value : json_string(equals + 1), err);
}

bool config_check_caption(const json_t *value, const char *path, Error *err) {
    if (!json_is_string(value)) return FAIL(err, path, "must be a text");
    return json_string_length(value) <= CONFIG_CAPTION_MAX ||
           FAIL(err, path, "must have at most %d bytes, to stand in every figure; got %zu", CONFIG_CAPTION_MAX, json_string_length(value));
}

bool config_check_weights(const json_t *value, const char *path, Error *err) {
    return value == NULL || json_is_string(value) || json_is_object(value) || json_is_null(value) || config_wrong_type(value, "a file, or {\"cell\": NAME}", path, err);
}

/* Of a file that is trained alone nobody else looks at it. */
static bool check_measure(const json_t *value, const char *path, Error *err) {
    const char *key;
    json_t     *setting;
    if (!json_is_object(value)) return FAIL(err, path, "must be an object {...}");
    json_object_foreach((json_t *)value, key, setting)
        if (field_find(measure_fields, key) == NULL) return config_unknown_key(measure_fields, NULL, key, path, err);
    return true;
}

static bool check_block(const char *key, const json_t *value, const char *path, Error *err) {
    if (strcmp(key, "question") == 0) return json_is_string(value) || FAIL(err, path, "must be a text");
    if (strcmp(key, "caption") == 0) return config_check_caption(value, path, err);
    if (strcmp(key, "weights") == 0) return config_check_weights(value, path, err);
    if (strcmp(key, "measure") == 0) return check_measure(value, path, err);
    if (config_is_one_of((const char *const[]){"seeds", "cells", "evaluate", NULL}, key)) return json_is_array(value) || FAIL(err, path, "must be a list");
    return json_is_object(value) || FAIL(err, path, "must be an object {...}");
}

static bool check_blocks(const Config *c, Error *err) {
    const char *key;
    json_t     *value;
    if (!json_is_object(c->tree)) return FAIL(err, "", "must be an object {...}");
    json_object_foreach(c->tree, key, value) {
        char where[CONFIG_POINTER_MAX];
        config_join_pointer(where, "", key);
        if (!config_is_one_of(config_blocks, key)) return config_unknown_key(NULL, config_blocks, key, "", err);
        if (!check_block(key, value, where, err)) return false;
    }
    const json_t *vary = config_block(c, "vary");
    return vary == NULL || vary_check(vary, "/vary", err);
}

bool config_load(Config *out, const char *path, int n_overrides, char *const override[], Error *err) {
    *out = (Config){0};
    snprintf(out->path, sizeof out->path, "%s", path);
    bool ok = json_load_file_checked(&out->tree, path, 0, err) && check_blocks(out, err);
    for (int i = 0; ok && i < n_overrides; i++)
        if (!config_override(out, override[i], err)) {
            error_in(err, "command line");
            ok = false;
        }
    ok = ok && (n_overrides == 0 || check_blocks(out, err));
    if (ok) return true;
    error_in(err, path);
    config_release(out);
    return false;
}

const char *config_is_sweep(const Config *c) {
    for (int i = 0; sweep_blocks[i] != NULL; i++)
        if (config_block(c, sweep_blocks[i]) != NULL) return sweep_blocks[i];
    return NULL;
}

void config_release(Config *c) {
    json_decref(c->tree);
    *c = (Config){0};
}

const json_t *config_block(const Config *c, const char *name) { return json_object_get(c->tree, name); }

bool config_data(const Config *c, DataSettings *out, Error *err) {
    const json_t *block = config_block(c, "data");
    fields_default(data_fields, out);
    return ((block == NULL || config_read_block(block, data_fields, out, "/data", err)) && data_settings_check(out, err)) ||
           error_in(err, c->path);
}

bool config_train(const Config *c, TrainSettings *out, Error *err) {
    const json_t *block = config_block(c, "train");
    fields_default(train_fields, out);
    return ((block == NULL || config_read_block(block, train_fields, out, "/train", err)) && train_settings_check(out, err)) ||
           error_in(err, c->path);
}

bool config_model(const Config *c, Model **out, Error *err) {
    const json_t *block = config_block(c, "model");
    if (block == NULL) FAIL(err, "/model", "must be given: {\"preset\": ...} or {\"model\": one of %s, ...}", model_names());
    return (block != NULL && config_read_model(block, out, "/model", err)) || error_in(err, c->path);
}
