/* In how many settings two runs differ (report.h). */
#include "harness/report/report.h"

#include "harness/config.h"
#include "harness/train/train.h"

#include <stdio.h>
#include <string.h>

/* No part of what was asked: repeats, and what cannot change a number. */
static bool is_ignored(const char *key) {
    static const char *const ignored[] = {"seed", "preset", "loader_threads", "checkpoint_s", "question", "vary"};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (strcmp(key, ignored[i]) == 0) return true;
    return false;
}

static bool is_fallback(const Field *f, const json_t *value) {
    switch (f != NULL ? f->type : FIELD_INTS) {
    case FIELD_INT:
    case FIELD_REAL: return json_is_number(value) && json_number_value(value) == f->fallback;
    case FIELD_BOOL: return json_is_boolean(value) && json_is_true(value) == (f->fallback != 0);
    case FIELD_WORD: return json_is_string(value) && strcmp(json_string_value(value), f->words[(int)f->fallback]) == 0;
    case FIELD_TEXT: return json_is_string(value) && strcmp(json_string_value(value), f->text_fallback != NULL ? f->text_fallback : "") == 0;
    default:         return false;
    }
}

bool report_setting_as_before(const char *path, const char *key, const json_t *value) {
    if (strcmp(path, "/train") == 0) return is_fallback(field_find(train_fields, key), value);
    if (strcmp(path, "/data") == 0) return is_fallback(field_find(data_fields, key), value);
    return path[0] == '\0' && strcmp(key, "backend") == 0;
}

typedef struct Difference { int n; char first[REPORT_SETTING_SIZE]; } Difference;

static void compare_objects(const json_t *a, const json_t *b, const char *path, Difference *d);

static void compare_values(const json_t *x, const json_t *y, const char *path, const char *key, Difference *d) {
    char below[REPORT_SETTING_SIZE];
    if (is_ignored(key) || json_equal(x, y)) return;
    if ((x == NULL || y == NULL) && report_setting_as_before(path, key, x != NULL ? x : y)) return;
    snprintf(below, sizeof below, "%.60s/%.60s", path, key);
    if (json_is_object(x) && json_is_object(y)) compare_objects(x, y, below, d);
    else if (d->n++ == 0) memcpy(d->first, below, sizeof below);
}

static void compare_objects(const json_t *a, const json_t *b, const char *path, Difference *d) {
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)a, key, value) {
        if (d->n > 1) return;                /* more is not asked */
        compare_values(value, json_object_get(b, key), path, key, d);
    }
    json_object_foreach((json_t *)b, key, value)
        if (json_object_get(a, key) == NULL) compare_values(value, NULL, path, key, d);
}

int report_differences(const ReportRow *a, const ReportRow *b, char first[REPORT_SETTING_SIZE]) {
    static const char *const data[] = {"/kind", "/data/digest", "/accuracy/images_count"};
    Difference d = {.n = 0};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++)
        if (!json_equal(report_at(a->run, data[i]), report_at(b->run, data[i]))) return 2;
    compare_objects(report_at(a->run, "/experiment"), report_at(b->run, "/experiment"), "", &d);
    memcpy(first, d.first, sizeof d.first);
    return d.n;
}
