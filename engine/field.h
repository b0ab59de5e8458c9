/* Settings as a table of fields: key, range, fallback, help. The JSON reader, overrides, presets, `list`, schema and
 * help come from it; models never see JSON. */
#ifndef ENGINE_FIELD_H
#define ENGINE_FIELD_H

#include "engine/error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum FieldType { FIELD_INT, FIELD_REAL, FIELD_BOOL, FIELD_WORD, FIELD_TEXT, FIELD_INTS, FIELD_REALS, FIELD_SCHEDULE } FieldType;

enum { FIELD_LIST_MAX = 32, FIELD_TEXT_MAX = 512 };
typedef struct IntList  { int n; int    value[FIELD_LIST_MAX]; } IntList;
typedef struct RealList { int n; double value[FIELD_LIST_MAX]; } RealList;
typedef char FieldText[FIELD_TEXT_MAX];

/* A value for each of n steps: listed, or by a rule. JSON: [1, 0.5], "linear", "flat", {"geometric": 0.39}; as text also q39. */
typedef enum ScheduleForm { SCHEDULE_UNSET, SCHEDULE_LIST, SCHEDULE_LINEAR, SCHEDULE_FLAT, SCHEDULE_GEOMETRIC } ScheduleForm;
typedef struct StepSchedule { ScheduleForm form; double ratio; RealList list; } StepSchedule;
/* Of step i = 0 .. n-1: list entry, (n-i)/n, 1, ratio^i. */
double schedule_value(const StepSchedule *s, int n, int i);

typedef struct Field {
    const char *key;
    FieldType   type;
    size_t      offset;              /* of an int, double, bool, int (index into words), FieldText, IntList, RealList, StepSchedule */
    double      min, max;            /* inclusive; of a list: of every entry */
    double      fallback;            /* of FIELD_WORD: index */
    const char *text_fallback;       /* FIELD_TEXT only */
    const char *const *words;        /* FIELD_WORD: NULL-terminated */
    const char *help;
} Field;

#define FIELDS_END {.key = NULL}
#define FIELD_AT(Type, member) offsetof(Type, member)
#define INT_FIELD(Type, member, low, high, value, text) \
    {.key = #member, .type = FIELD_INT, .offset = offsetof(Type, member), .min = low, .max = high, .fallback = value, .help = text}
#define REAL_FIELD(Type, member, low, high, value, text) \
    {.key = #member, .type = FIELD_REAL, .offset = offsetof(Type, member), .min = low, .max = high, .fallback = value, .help = text}
#define BOOL_FIELD(Type, member, value, text) \
    {.key = #member, .type = FIELD_BOOL, .offset = offsetof(Type, member), .min = 0, .max = 1, .fallback = value, .help = text}
#define WORD_FIELD(Type, member, list, value, text) \
    {.key = #member, .type = FIELD_WORD, .offset = offsetof(Type, member), .words = list, .fallback = value, .help = text}
#define SCHEDULE_FIELD(Type, member, text) \
    {.key = #member, .type = FIELD_SCHEDULE, .offset = offsetof(Type, member), .min = 1e-9, .max = 1, .help = text}
#define TEXT_FIELD(Type, member, value, text) \
    {.key = #member, .type = FIELD_TEXT, .offset = offsetof(Type, member), .text_fallback = value, .help = text}

void         fields_default(const Field *fields, void *self);
const Field *field_find(const Field *fields, const char *key);
/* The known key nearest to a misspelt one (edit distance at most 3), or NULL. */
const char  *field_nearest(const Field *fields, const char *key);
/* Setters check type and range; path is the JSON pointer named in the error. */
bool field_set_number(const Field *f, void *self, double value, const char *path, Error *err);
bool field_set_bool  (const Field *f, void *self, bool value, const char *path, Error *err);
bool field_set_text  (const Field *f, void *self, const char *value, const char *path, Error *err);
bool field_set_geometric(const Field *f, void *self, double ratio, const char *path, Error *err);      /* of SCHEDULE */
bool field_set_list  (const Field *f, void *self, const double *value, int n, const char *path, Error *err);
/* From the text of an override or a preset: a number, true/false, a word, [a,b,c]. */
bool field_set_from_text(const Field *f, void *self, const char *value, const char *path, Error *err);
/* "key=value key=value", as presets are written. */
bool fields_set_from_text(const Field *fields, void *self, const char *assignments, const char *path, Error *err);
/* Whether it has its fallback. Identities leave such settings out, so that one which a later version adds leaves those of
 * earlier runs alone: what this says of a type must not change. */
bool   field_is_fallback(const Field *f, const void *self);
double field_number(const Field *f, const void *self);      /* of INT, REAL, BOOL, WORD (index) */

#endif
