/* What a table is about: the factors in which its rows differ (rules V6 and V36). */
#include "harness/report/report.h"

#include "harness/report/factors.h"

#include <string.h>

static bool is_kind(const ReportRow *row, const char *kind) {
    const char *of = json_string_value(report_at(row->run, "/kind"));
    return of != NULL && strcmp(of, kind) == 0;
}

void report_factors(const Report *r, const char *kind, Factors *out) {
    const ReportRow *first = NULL;
    *out = (Factors){.n = 0};
    for (int i = 0; i < r->n_rows; i++) {
        if (!is_kind(&r->row[i], kind)) continue;
        if (first == NULL) first = &r->row[i];
        else factors_between(out, first->run, r->row[i].run);    /* where any two differ, one of them differs from the first */
    }
}

bool report_declare(const Report *r, const char *list, Error *err) {
    static const char *const kinds[] = {"bench", "eval", "train"};
    for (int k = 0; k < 3; k++) {
        Factors f;
        Factors undeclared = {.n = 0};
        char    text[160];
        report_factors(r, kinds[k], &f);
        for (int i = 0; i < f.n; i++)
            if (!factors_declared(list, f.name[i])) memcpy(undeclared.name[undeclared.n++], f.name[i], FACTOR_NAME);
        if (undeclared.n == 0) continue;
        factors_text(&undeclared, text, sizeof text);
        return FAIL(err, "--factors", "rows of kind %s differ in more than it declares: %s", kinds[k], text);
    }
    return true;
}
