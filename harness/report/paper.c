/* Reads a paper's table and fills in what was measured (paper.h). */
#include "harness/report/paper.h"

#include "harness/measure/student.h"
#include "harness/report/claim_measures.h"
#include "harness/strict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* ---- is it well-formed? ---- */

static bool check_sources(const json_t *sources, Error *err) {
    const char *key;
    json_t     *source;
    char        at[128];
    if (!json_is_object(sources)) return FAIL(err, "/sources", "must be an object: name of a source, {\"text\", \"counts\"}");
    json_object_foreach((json_t *)sources, key, source) {
        snprintf(at, sizeof at, "/sources/%.80s", key);
        if (!strict_keys(source, at, (const char *const[]){"text", "counts", NULL}, err)) return false;
        if (text_of(source, "text")[0] == '\0' || text_of(source, "counts")[0] == '\0')
            return FAIL(err, at, "must have \"text\", where the numbers are published, and \"counts\", what they count");
    }
    return true;
}

static bool check_column(const json_t *column, const char *where, Error *err) {
    static const char *const keys[] = {"key", "heading", "pointer", "low", "high", "scale", "digits", "where", "made_by", NULL};
    const json_t *scale = json_object_get(column, "scale"), *digits = json_object_get(column, "digits"), *chosen = json_object_get(column, "where");
    if (!strict_keys(column, where, keys, err)) return false;
    const char *pointer = text_of(column, "pointer");
    if (text_of(column, "key")[0] == '\0' || text_of(column, "heading")[0] == '\0') return FAIL(err, where, "must have \"key\" and \"heading\" (with the unit)");
    if (pointer[0] != '\0' && pointer[0] != '/') return FAIL(err, where, "pointer must be a JSON pointer into run.json; left out: published numbers only");
    if (!json_is_number(scale) || !(json_number_value(scale) > 0)) return FAIL(err, where, "scale must be a number above 0: what the value is multiplied by for its unit");
    if (!json_is_integer(digits) || json_integer_value(digits) < 0 || json_integer_value(digits) > 9) return FAIL(err, where, "digits must be in [0, 9]");
    return chosen == NULL || claim_selection_check(chosen, where, err);
}

static bool has_column(const json_t *paper, const char *key) {
    const json_t *column;
    size_t        i;
    json_array_foreach(json_object_get(paper, "columns"), i, column)
        if (strcmp(text_of(column, "key"), key) == 0) return true;
    return false;
}

static bool check_published(const json_t *paper, const json_t *published, const char *where, Error *err) {
    const char *key;
    json_t     *entry;
    char        at[128];
    if (published != NULL && !json_is_object(published)) return FAIL(err, where, "published must be an object: column, {\"value\", \"source\"}");
    json_object_foreach((json_t *)published, key, entry) {
        snprintf(at, sizeof at, "%.60s/published/%.40s", where, key);
        const json_t *digits = json_object_get(entry, "digits");
        if (!has_column(paper, key)) return FAIL(err, at, "there is no column of this key");
        if (!strict_keys(entry, at, (const char *const[]){"value", "digits", "source", NULL}, err)) return false;
        if (!json_is_number(json_object_get(entry, "value"))) return FAIL(err, at, "value must be a number, in base units");
        if (digits != NULL && (!json_is_integer(digits) || json_integer_value(digits) < 0 || json_integer_value(digits) > 9))
            return FAIL(err, at, "digits must be in [0, 9]");
        if (json_object_get(json_object_get(paper, "sources"), text_of(entry, "source")) == NULL)
            return FAIL(err, at, "source \"%.40s\" is not among /sources", text_of(entry, "source"));
    }
    return true;
}

static bool check_row(const json_t *paper, const json_t *row, const char *where, Error *err) {
    static const char *const keys[] = {"label", "select", "published", "not_available", NULL};
    const json_t *select = json_object_get(row, "select"), *absent = json_object_get(row, "not_available");
    if (!strict_keys(row, where, keys, err)) return false;
    if (text_of(row, "label")[0] == '\0') return FAIL(err, where, "must have a \"label\"");
    if (absent != NULL && !json_is_string(absent)) return FAIL(err, where, "not_available must be a text that says why");
    if (select != NULL && !claim_selection_check(select, where, err)) return false;
    return check_published(paper, json_object_get(row, "published"), where, err);
}

static bool check_list(const json_t *paper, const char *name, bool (*check)(const json_t *paper, const json_t *one, const char *where, Error *err), Error *err) {
    const json_t *list = json_object_get(paper, name), *one;
    char          at[64];
    size_t        i;
    snprintf(at, sizeof at, "/%s", name);
    if (json_array_size(list) == 0) return FAIL(err, at, "must be a list, not empty");
    json_array_foreach(list, i, one) {
        snprintf(at, sizeof at, "/%s/%zu", name, i);
        if (!check(paper, one, at, err)) return false;
    }
    return true;
}

static bool check_column_of(const json_t *paper, const json_t *column, const char *where, Error *err) {
    (void)paper;
    return check_column(column, where, err);
}

bool paper_check(const json_t *paper, Error *err) {
    if (!strict_keys(paper, "", (const char *const[]){"schema", "title", "notes", "sources", "columns", "rows", NULL}, err)) return false;
    if (strcmp(text_of(paper, "schema"), PAPER_SCHEMA) != 0) return FAIL(err, "/schema", "must be \"" PAPER_SCHEMA "\"");
    if (text_of(paper, "title")[0] == '\0') return FAIL(err, "/title", "must be a text");
    return strict_list_of_texts(json_object_get(paper, "notes"), "/notes", err) && check_sources(json_object_get(paper, "sources"), err) && check_list(paper, "columns", check_column_of, err) && check_list(paper, "rows", check_row, err);
}

bool paper_load(json_t **out, const char *path, Error *err) {
    if (!json_load_file_checked(out, path, 0, err)) return false;
    if (paper_check(*out, err)) return true;
    json_decref(*out);
    *out = NULL;
    return error_in(err, path);
}

/* ---- filling ---- */

static int worth(const char *verdict) {
    static const char *const order[] = {"VALID", "NOISY", "SPEED_ONLY", "SMOKE"};
    for (int i = 0; i < 4; i++)
        if (strcmp(verdict, order[i]) == 0) return 4 - i;
    return 0;                                            /* INVALID */
}

static bool answers_for(const ClaimRuns *c, const json_t *select, const json_t *column, int i) {
    const json_t    *where = json_object_get(column, "where");
    const ReportRow *row   = &c->report->row[i];
    return worth(row->verdict) > 0 && strcmp(text_of(row->run, "status"), "ok") == 0 && claim_selects(c, select, i) && (where == NULL || claim_selects(c, where, i)) &&
           isfinite(report_number(row->run, text_of(column, "pointer")));
}

/* The row of the Report that answers for a cell; -1: none. *n: how many could. */
static int find_run(const ClaimRuns *c, const json_t *select, const json_t *column, int *n) {
    int best = -1;
    *n = 0;
    for (int i = 0; select != NULL && i < c->report->n_rows; i++) {
        const ReportRow *row = &c->report->row[i];
        if (!answers_for(c, select, column, i)) continue;
        (*n)++;
        if (best < 0) {
            best = i;
            continue;
        }
        const ReportRow *held = &c->report->row[best];
        const int better = worth(row->verdict) - worth(held->verdict);
        const char *start = json_string_value(report_at(row->run, "/provenance/started_utc")), *theirs = json_string_value(report_at(held->run, "/provenance/started_utc"));
        if (better > 0 || (better == 0 && start != NULL && theirs != NULL && strcmp(start, theirs) > 0)) best = i;
    }
    return best;
}

/* Of an accuracy: those trained and tested as run i, one a seed, into x. How many; 0: no memory. */
static size_t seeds_of(const ClaimRuns *c, const json_t *select, const json_t *column, int i, double x[CLAIM_UNITS_MOST]) {
    char  *key = claim_training_key(c, i), seed[CLAIM_UNITS_MOST][80];
    size_t n   = 0;
    for (int k = 0; key != NULL && k < c->report->n_rows && n < CLAIM_UNITS_MOST; k++) {
        char  *theirs = strcmp(c->model_key[k], c->model_key[i]) == 0 && answers_for(c, select, column, k) ? claim_training_key(c, k) : NULL;
        bool   joins  = theirs != NULL && strcmp(theirs, key) == 0;
        claim_seed(c, k, seed[n]);
        for (size_t s = 0; s < n; s++) joins = joins && strcmp(seed[s], seed[n]) != 0;
        if (joins) x[n++] = report_number(c->report->row[k].run, text_of(column, "pointer"));
        free(theirs);
    }
    free(key);
    return n;
}

static json_t *measured_cell(const ClaimRuns *c, const json_t *select, const json_t *column) {
    int       n;
    const int i = find_run(c, select, column, &n);
    if (i < 0) return json_null();
    const ReportRow *row = &c->report->row[i];
    JsonSink sink = {.at = json_object()};
    double       x[CLAIM_UNITS_MOST], low = report_number(row->run, text_of(column, "low")), high = report_number(row->run, text_of(column, "high"));
    const size_t n_seeds = strncmp(text_of(column, "pointer"), "/accuracy/", 10) == 0 ? seeds_of(c, select, column, i, x) : 0;
    if (n_seeds > 1) {                                   /* their mean: the best or the last one is luck */
        const Student s = student_mean(x, n_seeds, 0);
        json_put_number(&sink, "value", s.mean);
        low = s.low, high = s.high;
    } else json_put(&sink, "value", json_incref((json_t *)report_at(row->run, text_of(column, "pointer"))));
    if ((n_seeds > 1 || text_of(column, "low")[0] != '\0') && isfinite(low) && isfinite(high)) {
        json_put_number(&sink, "low", low);
        json_put_number(&sink, "high", high);
    }
    json_put_text(&sink, "run", text_of(row->run, "id"));
    json_put_text(&sink, "path", row->path);
    json_put_text(&sink, "verdict", row->verdict);
    json_put_bool(&sink, "speed_only", row->speed_only);
    json_put_bool(&sink, "noisy", row->noisy);
    json_put_text(&sink, "profile", text_of(json_object_get(row->run, "experiment"), "profile"));
    json_put_count(&sink, "seeds_count", (int64_t)n_seeds);
    json_put_count(&sink, "runs_count", n);
    if (!sink.failed) return sink.at;
    json_decref(sink.at);
    return NULL;
}

static const char *preset_of(const json_t *row) { return text_of(json_object_get(row, "select"), "/model/preset"); }

/* A command with {preset}, {presets} and {dir} filled in; presets: those that lack it, ",a,b". free(). */
static char *filled(const char *pattern, const char *presets, const char *dir) {
    char  *text = NULL;
    size_t n;
    FILE  *f = open_memstream(&text, &n);
    if (f == NULL) return NULL;
    const int first = (int)strcspn(presets + 1, ",");
    while (*pattern != '\0') {
        if (strncmp(pattern, "{presets}", 9) == 0)     fputs(presets + 1, f), pattern += 9;
        else if (strncmp(pattern, "{preset}", 8) == 0) fprintf(f, "%.*s", first, presets + 1), pattern += 8;
        else if (strncmp(pattern, "{dir}", 5) == 0)    fputs(dir, f), pattern += 5;
        else                                           fputc(*pattern++, f);
    }
    if (fclose(f) == 0) return text;
    free(text);
    return NULL;
}

/* Whether a row lacks any cell that this command makes. */
static bool lacks(const json_t *columns, const json_t *cells, const char *made_by) {
    const json_t *column;
    size_t        k;
    json_array_foreach(columns, k, column)
        if (strcmp(text_of(column, "made_by"), made_by) == 0 && json_is_null(json_object_get(json_array_get(cells, k), "measured"))) return true;
    return false;
}

/* The commands that would fill empty cells, each once: {"command", "presets"}; one with {preset} is for the first of them and goes
 * likewise for the others. */
static bool to_fill(json_t *out, const json_t *paper, const json_t *rows, const char *dir) {
    const json_t *column, *row, *columns = json_object_get(paper, "columns");
    size_t        k, i, before, n;
    bool          ok = true;
    json_array_foreach(columns, k, column) {
        char       *presets = NULL, *command;
        const char *made_by = text_of(column, "made_by");
        for (before = 0; before < k && strcmp(text_of(json_array_get(columns, before), "made_by"), made_by) != 0;) before++;
        if (made_by[0] == '\0' || before < k) continue;
        FILE *f = open_memstream(&presets, &n);
        if (f == NULL) return false;
        json_array_foreach(json_object_get(paper, "rows"), i, row)
            if (preset_of(row)[0] != '\0' && lacks(columns, json_object_get(json_array_get(rows, i), "cells"), made_by)) fprintf(f, ",%s", preset_of(row));
        ok = fclose(f) == 0 && ok;
        command = presets[0] != '\0' ? filled(made_by, presets, dir) : NULL;
        if (command != NULL) ok = json_array_append_new(out, json_pack("{s:s, s:s}", "command", command, "presets", presets + 1)) == 0 && ok;
        free(command);
        free(presets);
    }
    return ok;
}

bool paper_fill(json_t **out, const json_t *paper, const Report *report, const char *dir, Error *err) {
    static const char *const copied[] = {"title", "notes", "sources", "columns"};
    ClaimRuns     runs;
    const json_t *row, *column;
    size_t        i, k;
    json_t       *rows = json_array(), *commands = json_array(), *table = json_pack("{s:s}", "schema", PAPER_TABLE_SCHEMA);
    bool          ok   = rows != NULL && commands != NULL && table != NULL && claim_runs_open(&runs, report, err);
    *out = NULL;
    json_array_foreach(json_object_get(paper, "rows"), i, row) {
        json_t *cells = json_array(), *filled_row = json_pack("{s:O, s:o}", "label", json_object_get(row, "label"), "cells", cells);
        if (json_object_get(row, "not_available") != NULL) json_object_set(filled_row, "not_available", json_object_get(row, "not_available"));
        json_array_foreach(json_object_get(paper, "columns"), k, column) {
            json_t *published = json_object_get(json_object_get(row, "published"), text_of(column, "key"));
            ok = ok && json_array_append_new(cells, json_pack("{s:o, s:o}", "published", published != NULL ? json_incref(published) : json_null(), "measured",
                                                              measured_cell(&runs, json_object_get(row, "select"), column))) == 0;
        }
        ok = ok && json_array_append_new(rows, filled_row) == 0;
    }
    ok = ok && to_fill(commands, paper, rows, dir);
    for (size_t c = 0; ok && c < sizeof copied / sizeof *copied; c++)
        if (json_object_get(paper, copied[c]) != NULL) ok = json_object_set(table, copied[c], json_object_get(paper, copied[c])) == 0;
    ok = ok && json_object_set(table, "rows", rows) == 0 && json_object_set(table, "to_fill", commands) == 0;
    json_decref(rows);
    json_decref(commands);
    if (ok) *out = table;
    else    json_decref(table);
    claim_runs_close(&runs);
    return ok || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the table");
}
