/* In what two runs differ (factors.h). */
#include "harness/report/factors.h"

#include "harness/report/report.h"

#include <stdio.h>
#include <string.h>

static bool differ_at(const json_t *a, const json_t *b, const char *pointer) {
    const json_t *x = report_at(a, pointer), *y = report_at(b, pointer);
    return (x == NULL) != (y == NULL) || (x != NULL && !json_equal(x, y));
}

static void add(Factors *f, const char *name) {
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->name[i], name) == 0) return;
    if (f->n < FACTORS_MAX) snprintf(f->name[f->n++], FACTOR_NAME, "%s", name);
}

/* Members of an object, "model.recursions" each; those of a only or b only too. */
static void add_settings(Factors *f, const char *of, const json_t *a, const json_t *b) {
    const json_t *sides[] = {a, b};
    for (int side = 0; side < 2; side++) {
        const char *key;
        json_t     *value;
        json_object_foreach((json_t *)sides[side], key, value) {
            char name[FACTOR_NAME];
            snprintf(name, sizeof name, "%.16s.%.40s", of, key);
            const json_t *other = json_object_get(sides[1 - side], key);
            const bool    later = other == NULL && sides[1 - side] != NULL && strcmp(of, "train") == 0 && report_setting_as_before("/train", key, value);
            if (!json_equal(value, other) && !later) add(f, name);
        }
    }
}

static bool both_synthetic(const json_t *a, const json_t *b) {
    return json_is_true(report_at(a, "/data/synthetic")) && json_is_true(report_at(b, "/data/synthetic"));
}

/* Whether the models differ: by kind, or by settings (of a training among those of its file). */
static bool model_differs(const json_t *a, const json_t *b, bool *of_kind) {
    *of_kind = differ_at(a, b, "/experiment/model_kind") || differ_at(a, b, "/model/name");
    return *of_kind || differ_at(a, b, "/experiment/model") || differ_at(a, b, "/model/settings");
}

static void add_all(Factors *f, const json_t *a, const json_t *b, bool whole_model, bool places) {
    bool       kind;
    const bool model = model_differs(a, b, &kind), synthetic = both_synthetic(a, b);
    const bool training = report_is_training(a) && report_is_training(b);
    if (differ_at(a, b, "/kind") || differ_at(a, b, "/experiment/mode")) add(f, "what is timed");
    if (model && (kind || whole_model)) add(f, "model");
    else if (model) add_settings(f, "model", report_at(a, "/model/settings"), report_at(b, "/model/settings"));
    /* another model has other weights, and images made or resized to its size; a training's are its result */
    if (!model && differ_at(a, b, training ? "/model/initial_weights_sha256" : "/model/weights_sha256")) add(f, "weights");
    if (!synthetic && differ_at(a, b, "/data/digest")) add(f, "data");    /* generated images are as many as the batch needs */
    if (!model && differ_at(a, b, "/data/preprocess")) add(f, "preprocessing");
    if (differ_at(a, b, "/experiment/batch_size_count")) add(f, "batch size");
    if (differ_at(a, b, "/experiment/threads_requested_count")) add(f, "threads");
    /* trainings of earlier versions do not tell theirs */
    const bool untold = training && (report_at(a, "/experiment/backend") == NULL) != (report_at(b, "/experiment/backend") == NULL);
    if (!untold && differ_at(a, b, "/experiment/backend")) add(f, "backend");
    if (differ_at(a, b, "/env/blas_core") || differ_at(a, b, "/env/blas_config")) add(f, "matrix kernels");
    if (differ_at(a, b, "/experiment/seed")) add(f, "seed");
    add_settings(f, "train", report_at(a, "/experiment/train"), report_at(b, "/experiment/train"));
    if (places && differ_at(a, b, "/env_id")) add(f, "machine");
    if (places && (differ_at(a, b, "/provenance/commit") || differ_at(a, b, "/provenance/version") || differ_at(a, b, "/provenance/build_flags"))) add(f, "code");
}

void factors_between(Factors *f, const json_t *a, const json_t *b) { add_all(f, a, b, false, true); }
void factors_of_pair(Factors *f, const json_t *a, const json_t *b) { add_all(f, a, b, true, false); }

bool factors_declared(const char *list, const char *name) {
    const size_t whole = strcspn(name, ".");
    while (*list != '\0') {
        list += strspn(list, " ,");
        size_t n = strcspn(list, ",");
        const char *end = list + n;
        while (n > 0 && list[n - 1] == ' ') n--;
        if (n > 0 && strncmp(list, name, n) == 0 && (name[n] == '\0' || n == whole)) return true;
        list = end;
    }
    return false;
}

void factors_text(const Factors *f, char *text, size_t size) {
    text[0] = '\0';
    for (int i = 0; i < f->n; i++) {
        const size_t at = strlen(text);
        snprintf(text + at, size - at, "%s%s", i > 0 ? ", " : "", f->name[i]);
    }
}
