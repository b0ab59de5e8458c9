/* Which models a part of a claim compares, and what they are called (claim_pairs.h). */
#include "harness/report/claim_pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

void claim_groups_free(ClaimGroups *g) {
    for (int i = 0; i < g->n; i++) free(g->group[i].row);
    free(g->group);
    *g = (ClaimGroups){0};
}

static bool add_row(ClaimGroups *g, const char *key, int row, int n_rows) {
    int i = 0;
    while (i < g->n && strcmp(g->group[i].key, key) != 0) i++;
    if (i == g->n) {
        ClaimGroup *grown = realloc(g->group, (size_t)(g->n + 1) * sizeof *grown);
        int        *rows  = grown != NULL ? calloc((size_t)n_rows, sizeof *rows) : NULL;
        if (grown != NULL) g->group = grown;
        if (rows == NULL) return false;
        g->group[g->n++] = (ClaimGroup){.key = key, .row = rows};
    }
    g->group[i].row[g->group[i].n++] = row;
    return true;
}

bool claim_groups_find(ClaimGroups *g, const ClaimRuns *c, const json_t *selection) {
    const int n_rows = c->report->n_rows;
    *g = (ClaimGroups){0};
    for (int i = 0; selection != NULL && i < n_rows; i++)
        if (claim_selects(c, selection, i) && !add_row(g, c->model_key[i], i, n_rows)) return false;
    return true;
}

bool claim_group_all(ClaimGroup *out, const ClaimRuns *c, const ClaimGroup *g) {
    *out = (ClaimGroup){.row = calloc((size_t)c->report->n_rows + 1, sizeof *out->row)};
    for (int i = 0; out->row != NULL && i < c->report->n_rows; i++)
        if (strcmp(c->model_key[i], g->key) == 0) out->row[out->n++] = i;
    return out->row != NULL;
}

/* ---- pairs ---- */

static bool within(const json_t *a, const json_t *b, double share) {
    if (!json_is_number(a) || !json_is_number(b)) return share == 0 && json_equal((json_t *)a, (json_t *)b);
    const double x = json_number_value(a), y = json_number_value(b);
    return fabs(x - y) <= share * fabs(y);
}

/* Of the first run of the model that has it; of numbers their mean over the runs that have one, since what ran may differ by seed. */
static json_t *value_of(const ClaimRuns *c, const ClaimGroup *g, const char *pointer) {
    json_t *value = NULL;
    double  sum   = 0;
    int     n     = 0;
    for (int i = 0; i < g->n && (value == NULL || json_is_number(value)); i++) {
        json_t *one = claim_at(c, g->row[i], pointer);
        if (json_is_number(one)) sum += json_number_value(one), n++;
        if (value == NULL) value = one;
        else               json_decref(one);
    }
    if (n < 2) return value;
    json_decref(value);
    return json_real(sum/n);
}

static bool agree_at(const ClaimRuns *c, const ClaimGroup *a, const ClaimGroup *b, const char *pointer, double share) {
    json_t    *x = value_of(c, a, pointer), *y = value_of(c, b, pointer);
    const bool agree = x != NULL && y != NULL && within(x, y, share);
    json_decref(x);
    json_decref(y);
    return agree;
}

static bool named(const json_t *list, const char *text) {
    const json_t *one;
    size_t        i;
    json_array_foreach(list, i, one)
        if (strcmp(json_string_value(one), text) == 0) return true;
    return false;
}

/* With factors: models of one kind that differ in these settings at most. */
static bool differ_in_factors_only(const ClaimRuns *c, const ClaimGroup *a, const ClaimGroup *b, const json_t *factors) {
    const json_t *x = report_at(c->report->row[a->row[0]].run, "/model/settings"), *y = report_at(c->report->row[b->row[0]].run, "/model/settings");
    const char   *key;
    json_t       *value;
    if (factors == NULL) return true;
    if (!agree_at(c, a, b, "/model/name", 0) || json_object_size(x) != json_object_size(y)) return false;
    json_object_foreach((json_t *)x, key, value) {
        const json_t *other = json_object_get(y, key);
        if (!named(factors, key) && (other == NULL || !within(value, other, 0))) return false;
    }
    return true;
}

bool claim_is_pair(const ClaimRuns *c, const ClaimGroup *a, const ClaimGroup *b, const json_t *part) {
    const json_t *one;
    json_t       *share;
    const char   *pointer;
    size_t        i;
    if (a->row[0] == b->row[0] || !differ_in_factors_only(c, a, b, json_object_get(part, "factors"))) return false;
    json_array_foreach(json_object_get(part, "match"), i, one) {
        if (json_is_string(one) && !agree_at(c, a, b, json_string_value(one), 0)) return false;
        json_object_foreach((json_t *)one, pointer, share)
            if (!agree_at(c, a, b, pointer, json_number_value(share))) return false;
    }
    return true;
}

/* ---- names of things in the outcome ---- */

static const ReportRow *first_row(const ClaimRuns *c, const ClaimGroup *g) { return &c->report->row[g->row[0]]; }

/* Whether models of the same name in these groups differ in a setting from g. */
static bool differs(const ClaimRuns *c, const ClaimGroups *groups, const ClaimGroup *g, const char *key, const json_t *value) {
    for (int i = 0; i < groups->n; i++) {
        const ReportRow *row = first_row(c, &groups->group[i]);
        const json_t *other = json_object_get(report_at(row->run, "/model/settings"), key);
        if (strcmp(row->model, first_row(c, g)->model) == 0 && other != NULL && !within(value, other, 0)) return true;
    }
    return false;
}

/* The preset, and what tells it from others of this name in the part: "mor_d96_c2x3_p4_lin_32 router random". */
json_t *claim_group_name(const ClaimRuns *c, const ClaimGroup *g, const ClaimGroups *a, const ClaimGroups *b) {
    const ReportRow *row = first_row(c, g);
    const char      *key;
    json_t          *value;
    char             text[512];
    const char      *kind = json_string_value(report_at(row->run, "/model/name"));
    snprintf(text, sizeof text, "%s", row->model[0] != '\0' ? row->model : kind != NULL ? kind : "?");
    json_object_foreach((json_t *)report_at(row->run, "/model/settings"), key, value) {
        if (!differs(c, a, g, key, value) && !differs(c, b, g, key, value)) continue;
        char *shown = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        const size_t n = strlen(text);
        if (shown != NULL) snprintf(text + n, sizeof text - n, " %s %s", key, shown);
        free(shown);
    }
    return json_string(text);
}
