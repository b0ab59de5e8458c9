/* Golden cases: small models with known answers in tests/golden/<case>/ (model.json, weights, expected). */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include "engine/json.h"
#include "engine/safetensors.h"
#include "baselines/registry.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline void golden_check(bool ok, const Error *err) {
    if (ok) return;
    char text[900];
    error_text(err, text, sizeof text);
    fail_msg("%s", text);
}

/* The model of a case, built and loaded; img_size 0: as model.json says. */
static inline Model *golden_model(const char *name, int img_size) {
    char    path[256];
    json_t *json = NULL;
    Model  *m    = NULL;
    Error   err  = {0};
    snprintf(path, sizeof path, "tests/golden/%s/model.json", name);
    golden_check(json_load_file_checked(&json, path, 0, &err), &err);
    const ModelKind *kind = model_find(json_string_value(json_object_get(json, "model")));
    assert_non_null(kind);
    golden_check(model_new(&m, kind, &err), &err);
    const char *key;
    json_t     *value;
    json_object_foreach(json, key, value) {
        if (strcmp(key, "model") == 0) continue;
        const Field *f = field_find(kind->fields, key);
        assert_non_null(f);
        double list[FIELD_LIST_MAX];
        for (size_t i = 0; i < json_array_size(value) && i < FIELD_LIST_MAX; i++) list[i] = json_number_value(json_array_get(value, i));
        golden_check(json_is_array(value) ? field_set_list(f, m->self, list, (int)json_array_size(value), key, &err)
                     : json_is_boolean(value) ? field_set_bool(f, m->self, json_is_true(value), key, &err)
                     : json_is_string(value) ? field_set_text(f, m->self, json_string_value(value), key, &err)
                                             : field_set_number(f, m->self, json_number_value(value), key, &err), &err);
    }
    json_decref(json);
    if (img_size > 0) golden_check(field_set_number(field_find(kind->fields, "img_size"), m->self, img_size, "img_size", &err), &err);
    golden_check(model_build(m, &err), &err);
    snprintf(path, sizeof path, "tests/golden/%s/weights.safetensors", name);
    golden_check(model_load(m, path, (LoadOptions){0}, NULL, NULL, &err), &err);
    return m;
}

static inline SafeFile *golden_expected(const char *name) {
    char      path[256];
    SafeFile *f   = NULL;
    Error     err = {0};
    snprintf(path, sizeof path, "tests/golden/%s/expected.safetensors", name);
    golden_check(safetensors_open(&f, path, &err), &err);
    return f;
}

/* A float tensor of the file as doubles; free with free(). */
static inline double *golden_values(const SafeFile *f, const char *name, int64_t *count) {
    const SafeEntry *e   = safetensors_find(f, name);
    Error            err = {0};
    if (e == NULL) fail_msg("no tensor %s", name);
    double *x = malloc((size_t)e->n_values * sizeof *x + 8);
    assert_non_null(x);
    golden_check(safetensors_to_double(e, x, &err), &err);
    if (count != NULL) *count = e->n_values;
    return x;
}

/* Tensor `input` (B,C,H,W) in the tape's memory. */
static inline Tensor *golden_input(Tape *tape, const SafeFile *f) {
    const SafeEntry *e = safetensors_find(f, "input");
    assert_non_null(e);
    double *x = golden_values(f, "input", NULL);
    Tensor *t = tensor_new(tape, e->n_dims, e->dim);
    for (int64_t i = 0; i < e->n_values; i++) t->data[i] = (Real)x[i];
    free(x);
    return t;
}

static inline double largest_difference(const Real *a, const double *b, int64_t n) {
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
    }
    return worst;
}

#endif
