/* Whether a file has the shape of an experiment: known keys, lists, names (experiment_parts.h). */
#include "harness/sweep/experiment_parts.h"

#include "harness/sweep/vary.h"

#include <stdio.h>
#include <string.h>

static const char *const size_names[]     = {"smoke", "small", "full", NULL};
static const char *const cell_keys[]      = {"name", "data", "model", "train", "measure", "weights", "vary", "seeds", "sizes", NULL};
static const char *const cell_size_keys[] = {"data", "model", "train", "measure", "weights", "vary", "seeds", NULL};
static const char *const size_keys[]      = {"caption", "data", "model", "train", "measure", "weights", "seeds", "vary", "cells", "evaluate", NULL};
static const char *const evaluate_keys[]  = {"name", "of", "data", "model", "measure", "vary", NULL};

static bool check_keys(const json_t *object, const char *const known[], const char *path, Error *err) {
    const char *key;
    json_t     *value;
    if (!json_is_object(object)) return FAIL(err, path, "must be an object {...}");
    json_object_foreach((json_t *)object, key, value) {
        char where[CONFIG_POINTER_MAX];
        config_join_pointer(where, path, key);
        if (!config_is_one_of(known, key)) return config_unknown_key(NULL, known, key, path, err);
        if (strcmp(key, "vary") == 0 && !json_is_null(value) && !vary_check(value, where, err)) return false;
        if (strcmp(key, "caption") == 0 && !json_is_null(value) && !config_check_caption(value, where, err)) return false;
        const bool list = config_is_one_of((const char *const[]){"seeds", "cells", "evaluate", NULL}, key);
        if (list && !json_is_array(value) && !json_is_null(value)) return FAIL(err, where, "must be a list");
        if (strcmp(key, "weights") == 0 && !config_check_weights(value, where, err)) return false;
        const bool block = config_is_one_of((const char *const[]){"data", "model", "train", "measure", "sizes", NULL}, key);
        if (block && !json_is_object(value) && !json_is_null(value)) return FAIL(err, where, "must be an object {...}");
    }
    return true;
}

static bool check_sizes(const json_t *sizes, const char *const keys[], const char *path, Error *err) {
    const char *name;
    json_t     *size;
    if (sizes == NULL) return true;
    if (!check_keys(sizes, size_names, path, err)) return false;
    json_object_foreach((json_t *)sizes, name, size) {
        char where[CONFIG_POINTER_MAX];
        config_join_pointer(where, path, name);
        if (!check_keys(size, keys, where, err)) return false;
    }
    return true;
}

bool experiment_check_seeds(const json_t *seeds, Error *err) {
    const json_t *seed;
    size_t        i;
    if (seeds != NULL && json_array_size(seeds) == 0) return FAIL(err, "/seeds", "must be a list of at least one whole number");
    json_array_foreach(seeds, i, seed)
        if (!json_is_integer(seed) || json_integer_value(seed) < 0 || json_integer_value(seed) > 2147483647)
            return FAIL(err, "/seeds", "must be whole numbers in [0, 2147483647]");
    return true;
}

/* A name as directories have them. */
static bool check_name(const json_t *entry, const char *path, Error *err) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
    char        where[CONFIG_POINTER_MAX];
    const char *name = json_string_value(json_object_get(entry, "name"));
    config_join_pointer(where, path, "name");
    if (name == NULL) return FAIL(err, where, "must be given, a text");
    if (name[0] == '\0' || name[0] == '.' || strlen(name) > 40 || strspn(name, allowed) != strlen(name))
        return FAIL(err, where, "must be letters, digits, _ . + or -, 40 at most; got \"%.60s\"", name);
    return true;
}

static bool check_list(const json_t *list, const char *const keys[], const char *path, Error *err) {
    const json_t *entry;
    size_t        i;
    if (json_array_size(list) > EXPERIMENT_CELLS_MAX) return FAIL(err, path, "must have at most %d entries, got %zu", EXPERIMENT_CELLS_MAX, json_array_size(list));
    json_array_foreach(list, i, entry) {
        char where[CONFIG_POINTER_MAX], index[24], sizes[CONFIG_POINTER_MAX];
        snprintf(index, sizeof index, "%zu", i);
        config_join_pointer(where, path, index);
        config_join_pointer(sizes, where, "sizes");
        if (!check_keys(entry, keys, where, err) || !check_name(entry, where, err)
            || !check_sizes(json_object_get(entry, "sizes"), cell_size_keys, sizes, err))
            return false;
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_object_get(json_array_get(list, k), "name"), json_object_get(entry, "name")))
                return FAIL(err, where, "\"%.60s\" is the name of another one too", json_string_value(json_object_get(entry, "name")));
    }
    return true;
}

bool experiment_check_of(const json_t *of, const json_t *cells, const char *path, Error *err) {
    char          where[CONFIG_POINTER_MAX];
    const json_t *entry;
    size_t        i, k;
    const size_t  n = json_is_array(of) ? json_array_size(of) : of != NULL ? 1 : 0;
    config_join_pointer(where, path, "of");
    for (k = 0; k < n; k++) {
        const json_t *name  = json_is_array(of) ? json_array_get(of, k) : of;
        bool          known = false;
        json_array_foreach(cells, i, entry) known |= json_equal(json_object_get(entry, "name"), name);
        if (!known) return FAIL(err, where, "must be the name of a cell, or a list of them; got %.60s", json_is_string(name) ? json_string_value(name) : "no text");
    }
    return true;
}

bool experiment_check_sizes(const json_t *sizes, Error *err) { return check_sizes(sizes, size_keys, "/sizes", err); }

/* Whether some object in value, at any depth, has the key. */
static bool has_key(const json_t *value, const char *key) {
    const char *name;
    json_t     *member;
    size_t      i;
    if (json_object_get(value, key) != NULL) return true;
    if (json_is_object(value)) json_object_foreach((json_t *)value, name, member)
        if (strcmp(name, "labels") != 0 && has_key(member, key)) return true;
    if (json_is_array(value)) json_array_foreach(value, i, member)
        if (has_key(member, key)) return true;
    return false;
}

bool experiment_check_labels(const json_t *root, Error *err) {
    const json_t *labels = json_object_get(root, "labels");
    const char   *pointer;
    json_t       *label;
    if (json_object_size(labels) > VARY_POINTERS_MAX) return FAIL(err, "/labels", "must be %d at most, got %zu", VARY_POINTERS_MAX, json_object_size(labels));
    json_object_foreach((json_t *)labels, pointer, label) {
        char where[CONFIG_POINTER_MAX];
        config_join_pointer(where, "/labels", pointer);
        if (!json_is_string(label)) return config_wrong_type(label, "a text", where, err);
        if (!has_key(root, pointer)) return FAIL(err, where, "must be the JSON pointer of a setting that some vary has; none has \"%.80s\"", pointer);
    }
    return true;
}

bool experiment_check_shape(const json_t *root, Error *err) {
    const json_t *cells = json_object_get(root, "cells");
    if (!check_keys(root, config_blocks, "", err) || !experiment_check_seeds(json_object_get(root, "seeds"), err) || !check_list(cells, cell_keys, "/cells", err)
        || !check_list(json_object_get(root, "evaluate"), evaluate_keys, "/evaluate", err))
        return false;
    return cells == NULL || json_array_size(cells) > 0 || FAIL(err, "/cells", "must be a list of at least one cell");
}
