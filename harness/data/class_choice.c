/* Reads "0-4,7" (class_choice.h). */
#include "harness/data/class_choice.h"

#include <stdlib.h>
#include <string.h>

static const char field[] = "/data/classes";

/* A number of at most 6 digits; false: there is none. */
static bool read_number(const char **text, int *out) {
    const size_t n = strspn(*text, "0123456789");
    if (n == 0 || n > 6) return false;
    *out = atoi(*text);
    *text += n;
    return true;
}

bool class_choice_parse(const char *text, int n_classes, int renumbered[], int *n_chosen, Error *err) {
    if (n_classes == 0) return FAIL(err, field, "is \"%.60s\", but the data has no labels", text);
    for (int i = 0; i < n_classes; i++) renumbered[i] = -1;
    for (const char *s = text;; s++) {
        int from, to;
        bool ok = read_number(&s, &from);
        to = from;
        if (ok && *s == '-') {
            s++;
            ok = read_number(&s, &to);
        }
        if (!ok || (*s != ',' && *s != '\0')) return FAIL(err, field, "must be class numbers and ranges, as in \"0-4,7\", got \"%.60s\"", text);
        if (to < from) return FAIL(err, field, "has the range %d-%d, which runs backwards", from, to);
        if (to >= n_classes) return FAIL(err, field, "has class %d, and there are %d, numbered from 0", to, n_classes);
        for (int c = from; c <= to; c++) {
            if (renumbered[c] >= 0) return FAIL(err, field, "names class %d twice", c);
            renumbered[c] = 0;
        }
        if (*s == '\0') break;
    }
    *n_chosen = 0;
    for (int i = 0; i < n_classes; i++)
        if (renumbered[i] >= 0) renumbered[i] = (*n_chosen)++;
    return true;
}
