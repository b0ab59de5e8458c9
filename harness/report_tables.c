/* Tables of a Report: for people (terminal, Markdown, LaTeX; scaled units, columns nobody fills left out, one footnote
 * for each reason why a cell is empty) and for programs (CSV, JSON; every column, base units, nothing rounded). Each row
 * names its run. */
#include "harness/report.h"

#include "engine/file.h"
#include "harness/escape.h"
#include "harness/factors.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Form { TEXT, COUNT, REAL, SCALED, PERCENT, TIME, BYTES, RATE } Form;

typedef struct Column {
    const char *key, *heading, *where, *low, *high;
    Form        form;
} Column;

#define LOW_HIGH(start, end) start "low" end, start "high" end
#define NONE NULL, NULL
#define COLUMN(key_, heading_, form_, where_, ...) EXPAND(key_, heading_, form_, where_, __VA_ARGS__)
#define EXPAND(key_, heading_, form_, where_, low_, high_) {#key_, heading_, where_, low_, high_, form_},
static const Column columns[] = {
#include "harness/report_columns.def"
};
#undef COLUMN
#undef EXPAND
enum { N_COLUMNS = sizeof columns / sizeof *columns };

/* Where a column looks: the linked accuracy run has the right to answer for /accuracy. */
static const json_t *source(const ReportRow *row, const Column *c) {
    return row->accuracy != NULL && strncmp(c->where, "/accuracy/", 10) == 0 ? row->accuracy : row->run;
}

static const json_t *cell(const ReportRow *row, const Column *c) {
    if (strcmp(c->key, "verdict") == 0) return NULL; /* the row's own, below */
    const json_t *value = report_at(source(row, c), c->where);
    return json_is_number(value) || json_is_string(value) ? value : NULL;
}

static const char *reason(const ReportRow *row, const Column *c) {
    char pointer[160];
    snprintf(pointer, sizeof pointer, "%s_reason", c->where);
    const char *text = json_string_value(report_at(source(row, c), pointer));
    return text != NULL ? text : "not_requested";
}

static const char *run_id(const json_t *run) { return json_string_value(report_at(run, "/id")); }

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

static void print_cell(FILE *out, const ReportRow *row, const Column *c) {
    if (strcmp(c->key, "verdict") == 0) {
        fputs(row->verdict, out);
        return;
    }
    const json_t *value = cell(row, c);
    const char   *unit;
    if (value == NULL) return;
    if (json_is_string(value)) {
        fputs(json_string_value(value), out);
        return;
    }
    const double v = json_number_value(value), by = divisor(c->form, v, &unit);
    print_scaled(out, c->form, v/by);
    fputs(unit, out);
    if (c->low == NULL) return;
    const double low = report_number(source(row, c), c->low), high = report_number(source(row, c), c->high);
    if (!isfinite(low) || !isfinite(high)) return;
    fputs(" [", out);
    print_scaled(out, c->form, low/by);
    fputs(", ", out);
    print_scaled(out, c->form, high/by);
    fputs("]", out);
}

/* The table as text: rows x n cells, line by line; column 0 is the model, the last the run. */
typedef struct Grid {
    int    n, n_rows;
    int    column[N_COLUMNS + 2];  /* index into columns; -1: model, -2: run */
    char **text;                   /* n_rows * n */
} Grid;

static void grid_free(Grid *g) {
    for (int i = 0; g->text != NULL && i < g->n*g->n_rows; i++) free(g->text[i]);
    free(g->text);
    *g = (Grid){0};
}

static const char *heading(const Grid *g, int k) {
    return g->column[k] == -1 ? "model" : g->column[k] == -2 ? "run" : columns[g->column[k]].heading;
}

static bool is_text(const Grid *g, int k) { return g->column[k] < 0 || columns[g->column[k]].form == TEXT; }

static bool grid_make(Grid *g, const Report *r, Error *err) {
    *g = (Grid){.n = 1, .n_rows = r->n_rows, .column = {-1}};
    for (int c = 0; c < N_COLUMNS; c++) {
        bool filled = strcmp(columns[c].key, "verdict") == 0;
        for (int i = 0; i < r->n_rows; i++) filled = filled || cell(&r->row[i], &columns[c]) != NULL;
        if (filled && columns[c].heading[0] != '\0') g->column[g->n++] = c;
    }
    g->column[g->n++] = -2;
    g->text = calloc((size_t)(g->n*g->n_rows), sizeof *g->text);
    for (int i = 0; i < r->n_rows; i++)
        for (int k = 0; k < g->n; k++) {
            size_t size;
            FILE  *f = g->text != NULL ? open_memstream(&g->text[i*g->n + k], &size) : NULL;
            if (f != NULL && g->column[k] == -1)      fprintf(f, "%s%s", r->row[i].model, r->row[i].speed_only ? " †" : "");
            else if (f != NULL && g->column[k] == -2) fputs(run_id(r->row[i].run), f);
            else if (f != NULL)                       print_cell(f, &r->row[i], &columns[g->column[k]]);
            if (f == NULL || fclose(f) != 0) {
                grid_free(g);
                return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a table of %d rows", r->n_rows);
            }
        }
    return true;
}

typedef void Escape(FILE *out, const char *text);

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
    if (row->contradicted_by != NULL) fprintf(out, "INVALID: its logits are not those of run %s, of the same weights and images", run_id(row->contradicted_by));
    if (row->accuracy != NULL && row->accuracy != row->run)
        fprintf(out, "Accuracy from run %s, of the same weights and data", run_id(row->accuracy));
}

/* "Empty: latency, images/s (not_requested)", a list for each reason. */
static void empty_note(FILE *out, const ReportRow *row, const Grid *g, Escape *escape) {
    bool told[N_COLUMNS + 2] = {false}, any = false;
    for (int k = 0; k < g->n; k++) told[k] = g->column[k] < 0 || strcmp(columns[g->column[k]].key, "verdict") == 0 ||
                                             cell(row, &columns[g->column[k]]) != NULL;
    for (int k = 0; k < g->n; k++) {
        if (told[k]) continue;
        const char *why = reason(row, &columns[g->column[k]]);
        fputs(any ? "; " : "Empty: ", out);
        for (int j = k; j < g->n; j++) {
            if (told[j] || strcmp(reason(row, &columns[g->column[j]]), why) != 0) continue;
            if (j > k) fputs(", ", out);
            escape(out, heading(g, j));
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
        fprintf(out, "%s%s: run %s", start, text[i], run_id(r->row[i].run));
        for (int j = i + 1; j < r->n_rows; j++)
            if (text[j] != NULL && strcmp(text[j], text[i]) == 0) {
                fprintf(out, ", %s", run_id(r->row[j].run));
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
static void print_notes(FILE *out, const Report *r, const Grid *g, Escape *escape, const char *start, const char *end) {
    int  n_speed_only = 0;
    bool intervals    = false;
    for (int i = 0; i < r->n_rows; i++) n_speed_only += r->row[i].speed_only;
    for (int k = 0; k < g->n; k++) intervals = intervals || (g->column[k] >= 0 && columns[g->column[k]].low != NULL);
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

static void write_terminal(FILE *out, const Report *r, const Grid *g) {
    for (int i = -1; i < g->n_rows; i++) {
        for (int k = 0; k < g->n; k++) {
            int         width = escape_terminal_width(heading(g, k));
            const char *text  = i < 0 ? heading(g, k) : g->text[i*g->n + k];
            for (int j = 0; j < g->n_rows; j++) {
                const int w = escape_terminal_width(g->text[j*g->n + k]);
                if (w > width) width = w;
            }
            const int blanks = width - escape_terminal_width(text);
            if (k > 0) fputs("  ", out);
            if (!is_text(g, k)) fprintf(out, "%*s", blanks, "");
            escape_terminal(out, text);
            if (is_text(g, k) && k < g->n - 1) fprintf(out, "%*s", blanks, "");
        }
        fputc('\n', out);
    }
    fputc('\n', out);
    print_notes(out, r, g, escape_terminal, "", "\n");
}

static void write_md(FILE *out, const Report *r, const Grid *g) {
    for (int k = 0; k < g->n; k++) {
        fputs("| ", out);
        escape_markdown(out, heading(g, k));
        fputc(' ', out);
    }
    fputs("|\n", out);
    for (int k = 0; k < g->n; k++) fputs(is_text(g, k) ? "|---" : "|---:", out);
    fputs("|\n", out);
    for (int i = 0; i < g->n_rows; i++) {
        const bool invalid = strcmp(r->row[i].verdict, "INVALID") == 0;
        for (int k = 0; k < g->n; k++) {
            const char *text   = g->text[i*g->n + k];
            const bool  struck = invalid && text[0] != '\0' && !is_text(g, k);
            fputs(struck ? "| ~~" : "| ", out);
            escape_markdown(out, text);
            fputs(struck ? "~~ " : " ", out);
        }
        fputs("|\n", out);
    }
    fputc('\n', out);
    print_notes(out, r, g, escape_markdown, "- ", "\n");
}

/* For \usepackage{booktabs}, with UTF-8 input. */
static void write_tex(FILE *out, const Report *r, const Grid *g) {
    fputs("% needs booktabs and textcomp\n\\begin{tabular}{", out);
    for (int k = 0; k < g->n; k++) fputc(is_text(g, k) ? 'l' : 'r', out);
    fputs("}\n\\toprule\n", out);
    for (int i = -1; i < g->n_rows; i++) {
        if (i >= 0) {
            fprintf(out, "%% run %s, ", run_id(r->row[i].run));
            escape_terminal(out, r->row[i].path);
            fputc('\n', out);
        }
        for (int k = 0; k < g->n; k++) {
            if (k > 0) fputs(" & ", out);
            escape_latex(out, i < 0 ? heading(g, k) : g->text[i*g->n + k]);
        }
        fputs(i < 0 ? " \\\\\n\\midrule\n" : " \\\\\n", out);
    }
    fputs("\\bottomrule\n\\end{tabular}\n\n\\begin{small}\n", out);
    print_notes(out, r, g, escape_latex, "", "\\\\\n");
    fputs("\\end{small}\n", out);
}

/* -- for programs -- */

static void write_csv(FILE *out, const Report *r, const Grid *g) {
    (void)g;
    fputs("run,path,model,speed_only,accuracy_run", out);
    for (int c = 0; c < N_COLUMNS; c++) fprintf(out, ",%s", columns[c].key);
    fputs(",missing\n", out);
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row = &r->row[i];
        fprintf(out, "%s,", run_id(row->run));
        escape_csv(out, row->path);
        fputc(',', out);
        escape_csv(out, row->model);
        fprintf(out, ",%d,%s", row->speed_only, row->accuracy != NULL ? run_id(row->accuracy) : "");
        for (int c = 0; c < N_COLUMNS; c++) {
            const json_t *value = cell(row, &columns[c]);
            fputc(',', out);
            if (strcmp(columns[c].key, "verdict") == 0) fputs(row->verdict, out);
            else if (json_is_integer(value))            fprintf(out, "%" PRId64, (int64_t)json_integer_value(value));
            else if (json_is_real(value))               fprintf(out, "%.17g", json_real_value(value));
            else if (json_is_string(value))             escape_csv(out, json_string_value(value));
        }
        fputs(",\"", out);
        bool first = true;
        for (int c = 0; c < N_COLUMNS; c++) {
            if (strcmp(columns[c].key, "verdict") == 0 || cell(row, &columns[c]) != NULL) continue;
            fprintf(out, "%s%s: ", first ? "" : " | ", columns[c].key);
            const char *why = reason(row, &columns[c]);   /* its own cell's quotes are open already */
            for (const char *s = why; *s != '\0'; s++) fputc((*s >= 'a' && *s <= 'z') || *s == '_' ? *s : '?', out);
            first = false;
        }
        fputs("\"\n", out);
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

static bool write_json(const Report *r, const char *path, Error *err) {
    JsonSink root, rows, sink;
    json_t  *tree = NULL;
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.table/1");
    put_factors(&root, r);
    json_put_array(&root, "rows", &rows);
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row = &r->row[i];
        json_put_object(&rows, NULL, &sink);
        json_put_text(&sink, "run", run_id(row->run));
        json_put_text(&sink, "path", row->path);
        json_put_text(&sink, "model", row->model);
        json_put_bool(&sink, "speed_only", row->speed_only);
        if (row->accuracy != NULL) json_put_text(&sink, "accuracy_run", run_id(row->accuracy));
        else                       json_put_missing(&sink, "accuracy_run", "not_requested");
        for (int c = 0; c < N_COLUMNS; c++) {
            json_t *value = (json_t *)cell(row, &columns[c]);
            char    key[128];
            if (strcmp(columns[c].key, "verdict") == 0) json_put_text(&sink, "verdict", row->verdict);
            else if (value != NULL)                     json_put(&sink, columns[c].key, json_incref(value));
            else {
                snprintf(key, sizeof key, "%s_reason", columns[c].key);
                json_put(&sink, columns[c].key, json_null());
                json_put_text(&sink, key, reason(row, &columns[c]));
            }
        }
    }
    const bool ok = json_sink_finish(&root, &tree, err) && json_save_file(tree, path, err);
    json_decref(tree);
    return ok;
}

/* -- files -- */

typedef void Writer(FILE *out, const Report *r, const Grid *g);

static bool save(Writer *write, const Report *r, const Grid *g, const char *path, Error *err) {
    char  *text = NULL;
    size_t n    = 0;
    FILE  *f    = open_memstream(&text, &n);
    bool   ok   = f != NULL;
    if (ok) write(f, r, g);
    ok = (ok && fclose(f) == 0) || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a table of %d rows", r->n_rows);
    ok = ok && file_write_durable(path, text, n, err);
    free(text);
    return ok;
}

bool report_print(const Report *r, FILE *out, Error *err) {
    Grid g;
    if (!grid_make(&g, r, err)) return false;
    write_terminal(out, r, &g);
    grid_free(&g);
    return fflush(out) == 0 || FAIL_STATUS(err, EXIT_IO, "", "cannot write to standard output");
}

bool report_write_tables(const Report *r, const char *dir, int formats, Error *err) {
    static const struct { int format; const char *name; Writer *write; } files[] = {
        {REPORT_MD, "table.md", write_md}, {REPORT_CSV, "table.csv", write_csv}, {REPORT_TEX, "table.tex", write_tex},
        {REPORT_JSON, "table.json", NULL}};
    Grid g;
    bool ok = grid_make(&g, r, err);
    for (size_t i = 0; ok && i < sizeof files / sizeof *files; i++) {
        char path[PATH_MAX];
        if ((formats & files[i].format) == 0) continue;
        const int n = snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
        if (n < 0 || n >= PATH_MAX)    ok = FAIL(err, "", "the path of the report is too long");
        else if (files[i].write == NULL) ok = write_json(r, path, err);
        else                             ok = save(files[i].write, r, &g, path, err);
    }
    grid_free(&g);
    return ok;
}
