/* Cells of a table of runs as text, and what must be said beside them; see report_grid.h. */
#include "harness/report/report_grid.h"

#include "harness/report/factors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOW_HIGH(start, end) start "low" end, start "high" end
#define NONE NULL, NULL
#define COLUMN(key_, heading_, form_, where_, ...) EXPAND(key_, heading_, form_, where_, __VA_ARGS__)
#define EXPAND(key_, heading_, form_, where_, low_, high_) {#key_, heading_, where_, low_, high_, form_},
const Column report_columns[] = {
#include "harness/report/report_columns.def"
};
#undef COLUMN
#undef EXPAND
const int report_n_columns = sizeof report_columns / sizeof *report_columns;

enum { MAX_COLUMNS = sizeof report_columns / sizeof *report_columns };

/* The linked accuracy run has the right to answer for /accuracy. */
static const json_t *source(const ReportRow *row, const Column *c) {
    return row->accuracy != NULL && strncmp(c->where, "/accuracy/", 10) == 0 ? row->accuracy : row->run;
}

const json_t *report_cell(const ReportRow *row, const Column *c) {
    if (strcmp(c->key, "verdict") == 0) return NULL; /* the row's own, below */
    const json_t *value = report_at(source(row, c), c->where);
    return json_is_number(value) || json_is_string(value) ? value : NULL;
}

const char *report_reason(const ReportRow *row, const Column *c) {
    char pointer[160];
    snprintf(pointer, sizeof pointer, "%s_reason", c->where);
    const char *text = json_string_value(report_at(source(row, c), pointer));
    return text != NULL ? text : "not_requested";
}

const char *report_run_id(const json_t *run) { return json_string_value(report_at(run, "/id")); }

/* -- for people -- */

/* Three significant digits. */
static void print_3(FILE *out, double v) {
    const double a = fabs(v);
    fprintf(out, "%.*f", a == 0 || a >= 99.95 ? 0 : a >= 9.995 ? 1 : a >= 0.9995 ? 2 : 3, v);
}

static double divisor(Form form, double v, const char **unit) {
    static const struct { Form form; double from, by; const char *unit; } scale[] = {
        {SCALED, 1e9, 1e9, " G"},   {SCALED, 1e6, 1e6, " M"},           {SCALED, 1e3, 1e3, " k"},
        {TIME, 3.6e12, 3.6e12, " h"}, {TIME, 6e10, 6e10, " min"},       {TIME, 1e9, 1e9, " s"},
        {TIME, 1e6, 1e6, " ms"},    {TIME, 1e3, 1e3, " us"},            {TIME, 0, 1, " ns"},
        {BYTES, 0x1p30, 0x1p30, " GiB"}, {BYTES, 0x1p20, 0x1p20, " MiB"}, {BYTES, 0x1p10, 0x1p10, " KiB"},
        {BYTES, 0, 1, " B"},        {PERCENT, -1, 0.01, " %"},
    };
    *unit = "";
    for (size_t i = 0; i < sizeof scale / sizeof *scale; i++)
        if (scale[i].form == form && v >= scale[i].from) {
            *unit = scale[i].unit;
            return scale[i].by;
        }
    return 1;
}

static void print_scaled(FILE *out, Form form, double v) {
    if (form == COUNT)        fprintf(out, "%.0f", v);
    else if (form == PERCENT) fprintf(out, "%.2f", v);
    else                      print_3(out, v);
}

void grid_print_number(FILE *out, Form form, double v) {
    const char  *unit;
    const double by = divisor(form, v, &unit);
    print_scaled(out, form, v/by);
    fputs(unit, out);
}

void grid_print_interval(FILE *out, Form form, double v, double low, double high) {
    const char  *unit;
    const double by = divisor(form, v, &unit);
    fputc('[', out);
    print_scaled(out, form, low/by);
    fputs(", ", out);
    print_scaled(out, form, high/by);
    fputc(']', out);
}

static void print_cell(FILE *out, const ReportRow *row, const Column *c) {
    if (strcmp(c->key, "verdict") == 0) {
        fputs(row->verdict, out);
        return;
    }
    const json_t *value = report_cell(row, c);
    if (value == NULL) return;
    if (json_is_string(value)) {
        fputs(json_string_value(value), out);
        return;
    }
    const double v = json_number_value(value);
    grid_print_number(out, c->form, v);
    if (c->low == NULL) return;
    const double low = report_number(source(row, c), c->low), high = report_number(source(row, c), c->high);
    if (!isfinite(low) || !isfinite(high)) return;
    fputc(' ', out);
    grid_print_interval(out, c->form, v, low, high);
}

void grid_free(Grid *g) {
    for (int i = 0; g->text != NULL && i < g->n*g->n_rows; i++) free(g->text[i]);
    free(g->text);
    *g = (Grid){0};
}

const char *grid_heading(const Grid *g, int k) {
    return g->column[k] == -1 ? "model" : g->column[k] == -2 ? "run" : report_columns[g->column[k]].heading;
}

bool grid_is_text(const Grid *g, int k) { return g->column[k] < 0 || report_columns[g->column[k]].form == TEXT; }

bool grid_make(Grid *g, const Report *r, Error *err) {
    *g = (Grid){.n = 1, .n_rows = r->n_rows, .column = {-1}};
    for (int c = 0; c < MAX_COLUMNS; c++) {
        bool filled = strcmp(report_columns[c].key, "verdict") == 0;
        for (int i = 0; i < r->n_rows; i++) filled = filled || report_cell(&r->row[i], &report_columns[c]) != NULL;
        if (filled && report_columns[c].heading[0] != '\0') g->column[g->n++] = c;
    }
    g->column[g->n++] = -2;
    g->text = calloc((size_t)(g->n*g->n_rows), sizeof *g->text);
    for (int i = 0; i < r->n_rows; i++)
        for (int k = 0; k < g->n; k++) {
            size_t size;
            FILE  *f = g->text != NULL ? open_memstream(&g->text[i*g->n + k], &size) : NULL;
            if (f != NULL && g->column[k] == -1)      fprintf(f, "%s%s", r->row[i].model, r->row[i].speed_only ? " †" : "");
            else if (f != NULL && g->column[k] == -2) fputs(report_run_id(r->row[i].run), f);
            else if (f != NULL)                       print_cell(f, &r->row[i], &report_columns[g->column[k]]);
            if (f == NULL || fclose(f) != 0) {
                grid_free(g);
                return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a table of %d rows", r->n_rows);
            }
        }
    return true;
}

/* One sentence about a row, or nothing. */
typedef void Note(FILE *out, const ReportRow *row, const Grid *g, Escape *escape);

static void verdict_note(FILE *out, const ReportRow *row, const Grid *g, Escape *escape) {
    const json_t *reasons = report_at(row->run, "/validity/reasons"), *code;
    size_t        i;
    (void)g;
    if (json_array_size(reasons) == 0) return;
    escape(out, row->verdict);
    fputs(" (", out);
    json_array_foreach(reasons, i, code) {
        if (i > 0) fputs(", ", out);
        escape(out, json_is_string(code) ? json_string_value(code) : "?");
    }
    fputs(")", out);
}

static void accuracy_note(FILE *out, const ReportRow *row, const Grid *g, Escape *escape) {
    (void)g, (void)escape;
    if (row->contradicted_by != NULL)
        fprintf(out, "INVALID: its logits are not those of run %s, of the same weights and images", report_run_id(row->contradicted_by));
    if (row->accuracy != NULL && row->accuracy != row->run)
        fprintf(out, "Accuracy from run %s, of the same weights and data", report_run_id(row->accuracy));
}

/* "Empty: latency, images/s (not_requested)", a list for each reason. */
static void empty_note(FILE *out, const ReportRow *row, const Grid *g, Escape *escape) {
    bool told[MAX_COLUMNS + 2] = {false}, any = false;
    for (int k = 0; k < g->n; k++) told[k] = g->column[k] < 0 || strcmp(report_columns[g->column[k]].key, "verdict") == 0 ||
                                             report_cell(row, &report_columns[g->column[k]]) != NULL;
    for (int k = 0; k < g->n; k++) {
        if (told[k]) continue;
        const char *why = report_reason(row, &report_columns[g->column[k]]);
        fputs(any ? "; " : "Empty: ", out);
        for (int j = k; j < g->n; j++) {
            if (told[j] || strcmp(report_reason(row, &report_columns[g->column[j]]), why) != 0) continue;
            if (j > k) fputs(", ", out);
            escape(out, grid_heading(g, j));
            told[j] = true;
        }
        fputs(" (", out);
        escape(out, why);
        fputs(")", out);
        any = true;
    }
}

/* Each sentence once, with the runs it is about. No memory: the sentence is left out, and the write fails later. */
static void print_grouped(FILE *out, const Report *r, const Grid *g, Note *note, Escape *escape, const char *start,
                          const char *end) {
    char **text = calloc((size_t)r->n_rows, sizeof *text);
    for (int i = 0; text != NULL && i < r->n_rows; i++) {
        size_t size;
        FILE  *f = open_memstream(&text[i], &size);
        if (f == NULL) continue;
        note(f, &r->row[i], g, escape);
        fclose(f);
    }
    for (int i = 0; text != NULL && i < r->n_rows; i++) {
        if (text[i] == NULL || text[i][0] == '\0') continue;
        fprintf(out, "%s%s: run %s", start, text[i], report_run_id(r->row[i].run));
        for (int j = i + 1; j < r->n_rows; j++)
            if (text[j] != NULL && strcmp(text[j], text[i]) == 0) {
                fprintf(out, ", %s", report_run_id(r->row[j].run));
                text[j][0] = '\0';
            }
        fputs(end, out);
    }
    for (int i = 0; text != NULL && i < r->n_rows; i++) free(text[i]);
    free(text);
}

/* Rule V36: what a table of several rows of a kind is about. */
static void print_factors(FILE *out, const Report *r, Escape *escape, const char *start, const char *end) {
    static const char *const kinds[] = {"bench", "eval", "train"};
    for (int k = 0; k < 3; k++) {
        Factors f;
        char    text[1024];
        report_factors(r, kinds[k], &f);
        if (f.n == 0) continue;
        factors_text(&f, text, sizeof text);
        fprintf(out, "%sRows of kind %s differ in: ", start, kinds[k]);
        escape(out, text);
        fputs(end, out);
    }
}

/* What the reader must know beside the cells: intervals, marks, where accuracies come from, and why cells are empty. */
void grid_notes(FILE *out, const Report *r, const Grid *g, Escape *escape, const char *start, const char *end) {
    int  n_speed_only = 0;
    bool intervals    = false;
    for (int i = 0; i < r->n_rows; i++) n_speed_only += r->row[i].speed_only;
    for (int k = 0; k < g->n; k++) intervals = intervals || (g->column[k] >= 0 && report_columns[g->column[k]].low != NULL);
    if (intervals) {
        fputs(start, out);
        escape(out, "In brackets: 95 % intervals, of accuracy over the choice of images, of times over samples or processes.");
        fputs(end, out);
    }
    print_factors(out, r, escape, start, end);
    if (n_speed_only > 0)
        fprintf(out, "%s† speed only: no accuracy of the same weights on the same data is known.%s", start, end);
    print_grouped(out, r, g, accuracy_note, escape, start, end);
    print_grouped(out, r, g, verdict_note, escape, start, end);
    print_grouped(out, r, g, empty_note, escape, start, end);
}

