/* Combinations of varied settings (vary.h). */
#include "harness/sweep/vary.h"

#include <stdio.h>
#include <string.h>

enum { COMBINATIONS_MAX = 4096 };

static const char *const blocks[] = {"data", "model", "train", "measure", "weights", NULL};
static const char *const forms[]  = {"product", "zip", "around", NULL};

/* ---- shape ---- */

static bool check_values(const json_t *object, const char *path, Error *err) {
    const char *pointer;
    json_t     *values;
    if (json_object_size(object) > VARY_POINTERS_MAX) return FAIL(err, path, "must have at most %d settings, got %zu", VARY_POINTERS_MAX, json_object_size(object));
    json_object_foreach((json_t *)object, pointer, values) {
        char where[CONFIG_POINTER_MAX], block[16] = "";
        config_join_pointer(where, path, pointer);
        sscanf(pointer, "/%15[^/]", block);
        if (pointer[0] != '/' || !config_is_one_of(blocks, block))
            return FAIL(err, where, "must be the JSON pointer of a setting, such as /train/seed");
        if (!json_is_array(values) || json_array_size(values) == 0) return FAIL(err, where, "must be a list of at least one value");
    }
    return true;
}

static bool is_plain(const json_t *vary) {
    return json_object_size(vary) == 0 || json_object_iter_key(json_object_iter((json_t *)vary))[0] == '/';
}

bool vary_check(const json_t *vary, const char *path, Error *err) {
    const char *form, *key;
    json_t     *object, *values;
    if (!json_is_object(vary)) return FAIL(err, path, "must be an object {...}");
    if (is_plain(vary)) return check_values(vary, path, err);
    json_object_foreach((json_t *)vary, form, object) {
        char   where[CONFIG_POINTER_MAX];
        size_t n = 0;
        config_join_pointer(where, path, form);
        if (!config_is_one_of(forms, form)) {
            const char *near = config_nearest(forms, form);
            return near != NULL ? FAIL(err, where, "unknown form; did you mean \"%s\"?", near)
                                : FAIL(err, where, "must be the JSON pointer of a setting, such as /train/seed, or one of product, zip, around");
        }
        if (!json_is_object(object)) return FAIL(err, where, "must be an object {\"/train/lr\": [...], ...}");
        if (!check_values(object, where, err)) return false;
        if (strcmp(form, "zip") != 0) continue;
        json_object_foreach(object, key, values) {
            if (n > 0 && json_array_size(values) != n)
                return FAIL(err, where, "the lists must be of one length, got %zu and %zu", n, json_array_size(values));
            n = json_array_size(values);
        }
    }
    return true;
}

/* ---- combinations ---- */

/* One setting of a combination; value NULL: it stays as it is. */
static json_t *choice(const char *pointer, json_t *value) {
    json_t *c     = json_object();
    json_t *label = json_object_size(value) == 2 ? json_object_get(value, "label") : NULL;
    json_t *named = json_is_string(label) ? json_object_get(value, "value") : NULL;
    json_object_set_new(c, "pointer", json_string(pointer));
    if (value != NULL) json_object_set(c, "value", named != NULL ? named : value);
    if (named != NULL) json_object_set(c, "label", label);
    return c;
}

/* Every entry of a with every entry of b behind it; takes both. */
static json_t *multiplied(json_t *a, json_t *b) {
    json_t *out = json_array(), *x, *y;
    size_t  i, k;
    json_array_foreach(a, i, x) json_array_foreach(b, k, y) {
        json_t *both = json_copy(x);
        json_array_extend(both, y);
        json_array_append_new(out, both);
    }
    json_decref(a);
    json_decref(b);
    return out;
}

static json_t *product_of(const json_t *object) {
    json_t     *all = json_pack("[[]]"), *values, *value;
    const char *pointer;
    size_t      i;
    json_object_foreach((json_t *)object, pointer, values) {
        if (json_array_size(all) * json_array_size(values) > COMBINATIONS_MAX) {
            json_decref(all);
            return NULL;
        }
        json_t *one = json_array();
        json_array_foreach(values, i, value) json_array_append_new(one, json_pack("[o]", choice(pointer, value)));
        all = multiplied(all, one);
    }
    return all;
}

static json_t *zip_of(const json_t *object) {
    const size_t n = json_array_size(json_object_iter_value(json_object_iter((json_t *)object)));
    if (n > COMBINATIONS_MAX) return NULL;
    json_t     *all = json_array(), *values;
    const char *pointer;
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_array();
        json_object_foreach((json_t *)object, pointer, values) json_array_append_new(row, choice(pointer, json_array_get(values, i)));
        json_array_append_new(all, row);
    }
    if (n == 0) json_array_append_new(all, json_array());
    return all;
}

static json_t *around_of(const json_t *object) {
    json_t     *values, *value, *row;
    const char *pointer, *other;
    size_t      i, n = 1;
    void       *at;
    json_object_foreach((json_t *)object, pointer, values) n += json_array_size(values);
    if (n > COMBINATIONS_MAX) return NULL;
    json_t *all = json_array(), *still = json_array();
    json_object_foreach((json_t *)object, pointer, values) json_array_append_new(still, choice(pointer, NULL));
    json_array_append_new(all, still);
    json_object_foreach((json_t *)object, pointer, values) {
        json_array_foreach(values, i, value) {
            row = json_array();
            for (at = json_object_iter((json_t *)object); at != NULL; at = json_object_iter_next((json_t *)object, at)) {
                other = json_object_iter_key(at);
                json_array_append_new(row, choice(other, strcmp(other, pointer) == 0 ? value : NULL));
            }
            json_array_append_new(all, row);
        }
    }
    return all;
}

bool vary_combinations(const json_t *vary, json_t **out, Error *err) {
    json_t     *all = json_pack("[[]]"), *more, *object;
    const char *form;
    if (is_plain(vary)) {
        json_decref(all);
        all = product_of(vary);
    } else {
        json_object_foreach((json_t *)vary, form, object) {
            more = strcmp(form, "zip") == 0 ? zip_of(object) : strcmp(form, "around") == 0 ? around_of(object) : product_of(object);
            if (more == NULL || json_array_size(all) * json_array_size(more) > COMBINATIONS_MAX) {
                json_decref(all);
                json_decref(more);
                all = NULL;
                break;
            }
            all = multiplied(all, more);
        }
    }
    if (all == NULL) return FAIL(err, "/vary", "has more than %d combinations", COMBINATIONS_MAX);
    *out = all;
    return true;
}

bool vary_apply(Config *c, const json_t *combination, Error *err) {
    json_t *one;
    size_t  i;
    json_array_foreach(combination, i, one) {
        json_t *value = json_object_get(one, "value");
        if (value != NULL && !config_set(c, json_string_value(json_object_get(one, "pointer")), json_deep_copy(value), err)) return false;
    }
    return true;
}
