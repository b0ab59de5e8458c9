/* Tables of a Report for programs: CSV, JSON, JSON Lines; every column, base units, nothing rounded. */
#include "harness/report/report_grid.h"

#include "harness/report/answers.h"
#include "harness/report/escape.h"
#include "harness/report/factors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool report_write_csv(FILE *out, const Report *r, const Grid *g) {
    (void)g;
    fputs("run,path,model,speed_only,accuracy_run", out);
    for (int c = 0; c < report_n_columns; c++) fprintf(out, ",%s", report_columns[c].key);
    fputs(",missing\n", out);
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row = &r->row[i];
        fprintf(out, "%s,", report_run_id(row->run));
        escape_csv(out, row->path);
        fputc(',', out);
        escape_csv(out, row->model);
        fprintf(out, ",%d,%s", row->speed_only, row->accuracy != NULL ? report_run_id(row->accuracy) : "");
        for (int c = 0; c < report_n_columns; c++) {
            const json_t *value = report_cell(row, &report_columns[c]);
            fputc(',', out);
            if (strcmp(report_columns[c].key, "verdict") == 0) fputs(row->verdict, out);
            else if (json_is_integer(value))            fprintf(out, "%" PRId64, (int64_t)json_integer_value(value));
            else if (json_is_real(value))               fprintf(out, "%.17g", json_real_value(value));
            else if (json_is_string(value))             escape_csv(out, json_string_value(value));
        }
        fputs(",\"", out);
        bool first = true;
        for (int c = 0; c < report_n_columns; c++) {
            if (strcmp(report_columns[c].key, "verdict") == 0 || report_cell(row, &report_columns[c]) != NULL) continue;
            fprintf(out, "%s%s: ", first ? "" : " | ", report_columns[c].key);
            const char *why = report_reason(row, &report_columns[c]);   /* its own cell's quotes are open already */
            for (const char *s = why; *s != '\0'; s++) fputc((*s >= 'a' && *s <= 'z') || *s == '_' ? *s : '?', out);
            first = false;
        }
        fputs("\"\n", out);
    }
    return true;
}

/* A row as an object; what is missing is null with its reason beside it. */
static void put_row(JsonSink *sink, const ReportRow *row) {
    json_put_text(sink, "run", report_run_id(row->run));
    json_put_text(sink, "path", row->path);
    json_put_text(sink, "model", row->model);
    json_put_bool(sink, "speed_only", row->speed_only);
    if (row->accuracy != NULL) json_put_text(sink, "accuracy_run", report_run_id(row->accuracy));
    else                       json_put_missing(sink, "accuracy_run", "not_requested");
    for (int c = 0; c < report_n_columns; c++) {
        json_t *value = (json_t *)report_cell(row, &report_columns[c]);
        char    key[128];
        if (strcmp(report_columns[c].key, "verdict") == 0) json_put_text(sink, "verdict", row->verdict);
        else if (value != NULL)                            json_put(sink, report_columns[c].key, json_incref(value));
        else {
            snprintf(key, sizeof key, "%s_reason", report_columns[c].key);
            json_put(sink, report_columns[c].key, json_null());
            json_put_text(sink, key, report_reason(row, &report_columns[c]));
        }
    }
}

static void put_factors(JsonSink *root, const Report *r) {
    static const char *const kinds[] = {"bench", "eval", "train"};
    JsonSink all, list;
    json_put_object(root, "factors", &all);
    for (int k = 0; k < 3; k++) {
        Factors f;
        report_factors(r, kinds[k], &f);
        json_put_array(&all, kinds[k], &list);
        for (int i = 0; i < f.n; i++) json_put_text(&list, NULL, f.name[i]);
    }
}

bool report_write_json(FILE *out, const Report *r, const Grid *g) {
    JsonSink root, experiments, rows, sink;
    json_t  *tree = NULL;
    char    *text = NULL;
    (void)g;
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.table/1");
    put_factors(&root, r);
    json_put_array(&root, "experiments", &experiments);
    answers_put_json(r, &experiments);
    json_put_array(&root, "rows", &rows);
    for (int i = 0; i < r->n_rows; i++) {
        json_put_object(&rows, NULL, &sink);
        put_row(&sink, &r->row[i]);
    }
    if (json_sink_finish(&root, &tree, NULL)) text = json_to_text(tree);
    if (text != NULL) fputs(text, out);
    json_decref(tree);
    free(text);
    return text != NULL;
}

bool report_write_jsonl(FILE *out, const Report *r, const Grid *g) {
    bool ok = true;
    (void)g;
    for (int i = 0; ok && i < r->n_rows; i++) {
        JsonSink root;
        json_t  *tree = NULL;
        json_sink_begin(&root);
        put_row(&root, &r->row[i]);
        ok = json_sink_finish(&root, &tree, NULL) && json_dumpf(tree, out, JSON_COMPACT) == 0;
        fputc('\n', out);
        json_decref(tree);
    }
    return ok;
}
