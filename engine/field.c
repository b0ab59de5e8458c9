/* Settings tables at work: defaults, ranges, nearest known key, texts of presets and overrides (field.h). */
#include "engine/field.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *at(const Field *f, void *self) { return (char *)self + f->offset; }

void fields_default(const Field *fields, void *self) {
    for (const Field *f = fields; f->key != NULL; f++)
        switch (f->type) {
        case FIELD_INT:
        case FIELD_WORD:  *(int *)at(f, self) = (int)f->fallback; break;
        case FIELD_REAL:  *(double *)at(f, self) = f->fallback; break;
        case FIELD_BOOL:  *(bool *)at(f, self) = f->fallback != 0; break;
        case FIELD_TEXT:  snprintf(at(f, self), FIELD_TEXT_MAX, "%s", f->text_fallback != NULL ? f->text_fallback : ""); break;
        case FIELD_INTS:  ((IntList *)at(f, self))->n = 0; break;
        case FIELD_REALS: ((RealList *)at(f, self))->n = 0; break;
        case FIELD_SCHEDULE: *(StepSchedule *)at(f, self) = (StepSchedule){0}; break;
        }
}

const Field *field_find(const Field *fields, const char *key) {
    for (const Field *f = fields; f->key != NULL; f++)
        if (strcmp(f->key, key) == 0) return f;
    return NULL;
}

/* Levenshtein distance, cut off at keys of 63 characters. */
static int edit_distance(const char *a, const char *b) {
    enum { LONGEST = 63 };
    const int n = (int)strnlen(a, LONGEST), m = (int)strnlen(b, LONGEST);
    int row[LONGEST + 1];
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            const int above  = row[j];
            const int change = diagonal + (a[i - 1] != b[j - 1]);
            const int gap    = 1 + (above < row[j - 1] ? above : row[j - 1]);
            row[j]   = change < gap ? change : gap;
            diagonal = above;
        }
    }
    return row[m];
}

const char *field_nearest(const Field *fields, const char *key) {
    const char *best = NULL;
    int         best_distance = 4;
    for (const Field *f = fields; f->key != NULL; f++) {
        const int d = edit_distance(key, f->key);
        if (d < best_distance) {
            best_distance = d;
            best          = f->key;
        }
    }
    return best;
}

static bool in_range(const Field *f, double v, bool integer, const char *path, Error *err) {
    if (!isfinite(v)) return FAIL(err, path, "must be a finite number");
    if (integer && v != floor(v)) return FAIL(err, path, "must be a whole number, got %g", v);
    if (v < f->min || v > f->max) return FAIL(err, path, "must be in [%.10g, %.10g], got %.10g", f->min, f->max, v);
    return true;
}

static const char *type_text(const Field *f) {
    switch (f->type) {
    case FIELD_INT:   return "a whole number";
    case FIELD_REAL:  return "a number";
    case FIELD_BOOL:  return "true or false";
    case FIELD_WORD:  return "a word";
    case FIELD_TEXT:  return "a text";
    case FIELD_INTS:  return "a list of whole numbers";
    case FIELD_REALS: return "a list of numbers";
    case FIELD_SCHEDULE: return "a list of numbers, \"linear\", \"flat\" or {\"geometric\": ratio}";
    }
    return "";
}

bool field_set_number(const Field *f, void *self, double value, const char *path, Error *err) {
    if (f->type == FIELD_INTS || f->type == FIELD_REALS || f->type == FIELD_SCHEDULE) return field_set_list(f, self, &value, 1, path, err);
    if (f->type != FIELD_INT && f->type != FIELD_REAL) return FAIL(err, path, "must be %s, got a number", type_text(f));
    if (!in_range(f, value, f->type == FIELD_INT, path, err)) return false;
    if (f->type == FIELD_INT) *(int *)at(f, self) = (int)value;
    else                      *(double *)at(f, self) = value;
    return true;
}

bool field_set_bool(const Field *f, void *self, bool value, const char *path, Error *err) {
    if (f->type != FIELD_BOOL) return FAIL(err, path, "must be %s, got %s", type_text(f), value ? "true" : "false");
    *(bool *)at(f, self) = value;
    return true;
}

static void words_text(const Field *f, char *text, size_t size) {
    text[0] = '\0';
    for (const char *const *w = f->words; *w != NULL; w++) {
        const size_t n = strlen(text);
        snprintf(text + n, size - n, "%s%s", n > 0 ? ", " : "", *w);
    }
}

/* The rules that are a word; q39 is {"geometric": 0.39}, as names of presets write it. */
static bool set_rule(StepSchedule *s, const char *word) {
    char         text[24];
    const size_t digits = word[0] == 'q' ? strspn(word + 1, "0123456789") : 0;
    if (strcmp(word, "linear") == 0) *s = (StepSchedule){.form = SCHEDULE_LINEAR};
    else if (strcmp(word, "flat") == 0) *s = (StepSchedule){.form = SCHEDULE_FLAT};
    else if (digits >= 1 && digits <= 15 && word[1 + digits] == '\0' && strspn(word + 1, "0") < digits) {
        snprintf(text, sizeof text, "0.%s", word + 1);
        *s = (StepSchedule){.form = SCHEDULE_GEOMETRIC, .ratio = strtod(text, NULL)};
    } else return false;
    return true;
}

bool field_set_geometric(const Field *f, void *self, double ratio, const char *path, Error *err) {
    if (f->type != FIELD_SCHEDULE) return FAIL(err, path, "must be %s, got a rule", type_text(f));
    if (!in_range(f, ratio, false, path, err)) return false;
    *(StepSchedule *)at(f, self) = (StepSchedule){.form = SCHEDULE_GEOMETRIC, .ratio = ratio};
    return true;
}

double schedule_value(const StepSchedule *s, int n, int i) {
    switch (s->form) {
    case SCHEDULE_LIST:      return s->list.value[i];
    case SCHEDULE_LINEAR:    return (double)(n - i) / n;
    case SCHEDULE_GEOMETRIC: return pow(s->ratio, i);
    default:                 return 1;
    }
}

bool field_set_text(const Field *f, void *self, const char *value, const char *path, Error *err) {
    if (f->type == FIELD_TEXT) {
        if (strlen(value) >= FIELD_TEXT_MAX) return FAIL(err, path, "must be shorter than %d bytes, got %zu", FIELD_TEXT_MAX, strlen(value));
        snprintf(at(f, self), FIELD_TEXT_MAX, "%s", value);
        return true;
    }
    if (f->type == FIELD_SCHEDULE && set_rule(at(f, self), value)) return true;
    if (f->type != FIELD_WORD) return FAIL(err, path, "must be %s, got \"%.60s\"", type_text(f), value);
    for (int i = 0; f->words[i] != NULL; i++)
        if (strcmp(f->words[i], value) == 0) {
            *(int *)at(f, self) = i;
            return true;
        }
    char known[256];
    words_text(f, known, sizeof known);
    return FAIL(err, path, "must be one of %s; got \"%.60s\"", known, value);
}

bool field_set_list(const Field *f, void *self, const double *value, int n, const char *path, Error *err) {
    if (f->type != FIELD_INTS && f->type != FIELD_REALS && f->type != FIELD_SCHEDULE)
        return FAIL(err, path, "must be %s, got a list", type_text(f));
    if (n < 1 || n > FIELD_LIST_MAX) return FAIL(err, path, "must have 1 to %d entries, got %d", FIELD_LIST_MAX, n);
    for (int i = 0; i < n; i++) {
        char entry[160];
        snprintf(entry, sizeof entry, "%s/%d", path, i);
        if (!in_range(f, value[i], f->type == FIELD_INTS, entry, err)) return false;
    }
    if (f->type == FIELD_INTS) {
        IntList *list = at(f, self);
        list->n = n;
        for (int i = 0; i < n; i++) list->value[i] = (int)value[i];
    } else {
        RealList *list = f->type == FIELD_REALS ? at(f, self) : &((StepSchedule *)at(f, self))->list;
        if (f->type == FIELD_SCHEDULE) *(StepSchedule *)at(f, self) = (StepSchedule){.form = SCHEDULE_LIST};
        list->n = n;
        for (int i = 0; i < n; i++) list->value[i] = value[i];
    }
    return true;
}

/* "[1, 0.5]" into value[]; -1 when it is none. */
static int parse_list(const char *text, double value[FIELD_LIST_MAX]) {
    int n = 0;
    if (*text++ != '[') return -1;
    for (;;) {
        char *end;
        if (n == FIELD_LIST_MAX) return -1;
        value[n++] = strtod(text, &end);
        if (end == text) return -1;
        while (*end == ' ') end++;
        if (*end == ']') return end[1] == '\0' ? n : -1;
        if (*end != ',') return -1;
        text = end + 1;
    }
}

bool field_set_from_text(const Field *f, void *self, const char *value, const char *path, Error *err) {
    if (f->type == FIELD_WORD || f->type == FIELD_TEXT) return field_set_text(f, self, value, path, err);
    if (f->type == FIELD_BOOL) {
        if (strcmp(value, "true") == 0)  return field_set_bool(f, self, true, path, err);
        if (strcmp(value, "false") == 0) return field_set_bool(f, self, false, path, err);
        return FAIL(err, path, "must be true or false, got \"%.60s\"", value);
    }
    double list[FIELD_LIST_MAX];
    const int n = parse_list(value, list);
    if (f->type == FIELD_SCHEDULE && n < 0) return field_set_text(f, self, value, path, err);
    if (n >= 0) return field_set_list(f, self, list, n, path, err);
    char *end;
    const double number = strtod(value, &end);
    if (end == value || *end != '\0') return FAIL(err, path, "must be %s, got \"%.60s\"", type_text(f), value);
    return field_set_number(f, self, number, path, err);
}

bool fields_set_from_text(const Field *fields, void *self, const char *assignments, const char *path, Error *err) {
    for (const char *s = assignments; *s != '\0';) {
        while (*s == ' ') s++;
        if (*s == '\0') break;
        const size_t length = strcspn(s, " ");
        char pair[256], where[512];
        if (length >= sizeof pair) return FAIL(err, path, "an assignment of %zu bytes is too long", length);
        memcpy(pair, s, length);
        pair[length] = '\0';
        s += length;
        char *equals = strchr(pair, '=');
        if (equals == NULL) return FAIL(err, path, "expected key=value, got \"%.60s\"", pair);
        *equals = '\0';
        snprintf(where, sizeof where, "%.200s/%s", path, pair);
        const Field *f = field_find(fields, pair);
        if (f == NULL) {
            const char *near = field_nearest(fields, pair);
            return near != NULL ? FAIL(err, where, "unknown key; did you mean \"%s\"?", near) : FAIL(err, where, "unknown key");
        }
        if (!field_set_from_text(f, self, equals + 1, where, err)) return false;
    }
    return true;
}

bool field_is_fallback(const Field *f, const void *self) {
    const char *at = (const char *)self + f->offset;
    switch (f->type) {
    case FIELD_TEXT:     return strcmp(at, f->text_fallback != NULL ? f->text_fallback : "") == 0;
    case FIELD_INTS:     return ((const IntList *)(const void *)at)->n == 0;
    case FIELD_REALS:    return ((const RealList *)(const void *)at)->n == 0;
    case FIELD_SCHEDULE: return ((const StepSchedule *)(const void *)at)->form == SCHEDULE_UNSET;
    default:             return field_number(f, self) == f->fallback;
    }
}

double field_number(const Field *f, const void *self) {
    const char *p = (const char *)self + f->offset;
    switch (f->type) {
    case FIELD_INT:
    case FIELD_WORD: return *(const int *)(const void *)p;
    case FIELD_REAL: return *(const double *)(const void *)p;
    case FIELD_BOOL: return *(const bool *)(const void *)p;
    default:         return NAN;
    }
}
