/* A filled table of a paper (paper.h) as text, Markdown, LaTeX and CSV. Published and measured numbers stand in columns of their own. */
#include "harness/report/paper.h"

#include "engine/file.h"
#include "harness/report/escape.h"
#include "harness/report/sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* ---- the table as cells of text ---- */

static bool any_cell(const json_t *rows, size_t k, const char *side) {
    const json_t *row;
    size_t        i;
    json_array_foreach(rows, i, row)
        if (!json_is_null(json_object_get(json_array_get(json_object_get(row, "cells"), k), side))) return true;
    return false;
}

/* The place of a source among the table's, as a letter: a, b, ... */
static char letter_of(const json_t *sources, const char *name) {
    const char *key;
    json_t     *value;
    char        letter = 'a';
    json_object_foreach((json_t *)sources, key, value) {
        if (strcmp(key, name) == 0) return letter;
        if (letter < 'z') letter++;
    }
    return '?';
}

static void put_scaled(FILE *out, const json_t *column, const json_t *cell, double v) {
    const json_t *digits = json_object_get(cell, "digits");
    if (digits == NULL) digits = json_object_get(column, "digits");
    fprintf(out, "%.*f", (int)json_integer_value(digits), v*json_number_value(json_object_get(column, "scale")));
}

/* Timed with a profile that is not the one for papers. */
static bool is_below_paper(const json_t *cell) {
    const char *profile = text_of(cell, "profile");
    return profile[0] != '\0' && strcmp(profile, "paper") != 0;
}

static void put_cell(FILE *out, const json_t *table, const json_t *column, const json_t *cell, bool published) {
    if (json_is_null(cell)) return;
    put_scaled(out, column, cell, json_number_value(json_object_get(cell, "value")));
    if (published) {
        fprintf(out, " (%c)", letter_of(json_object_get(table, "sources"), text_of(cell, "source")));
        return;
    }
    const json_t *low = json_object_get(cell, "low"), *high = json_object_get(cell, "high");
    if (low != NULL && high != NULL) {
        fputs(" [", out);
        put_scaled(out, column, cell, json_number_value(low));
        fputs(", ", out);
        put_scaled(out, column, cell, json_number_value(high));
        fputs("]", out);
    }
    const int n_seeds = (int)json_integer_value(json_object_get(cell, "seeds_count"));
    if (n_seeds > 1) fprintf(out, ", %d seeds", n_seeds);
    if (strncmp(text_of(column, "pointer"), "/metrics/", 9) != 0) return;            /* counts are what they are */
    if (json_is_true(json_object_get(cell, "speed_only"))) fputs(" †", out);
    if (is_below_paper(cell)) fputs(" ‡", out);
    if (strcmp(text_of(cell, "verdict"), "SMOKE") == 0) fputs(" (smoke)", out);
    else if (json_is_true(json_object_get(cell, "noisy"))) fputs(" (noisy)", out);
}

/* Columns that no row fills are left out. */
static bool make_sheet(Sheet *s, const json_t *table) {
    const json_t *columns = json_object_get(table, "columns"), *rows = json_object_get(table, "rows"), *row, *column;
    size_t        i, k;
    int           n = 1;
    for (k = 0; k < json_array_size(columns); k++) n += any_cell(rows, k, "published") + any_cell(rows, k, "measured");
    if (!sheet_begin(s, n, (int)json_array_size(rows))) return false;
    int to = 1;
    json_array_foreach(columns, k, column)
        for (int side = 0; side < 2; side++) {
            const char *name = side == 0 ? "published" : "measured";
            if (!any_cell(rows, k, name)) continue;
            FILE *heading = sheet_cell(s, -1, to);
            if (heading == NULL) return false;
            fprintf(heading, "%s%s", text_of(column, "heading"), side == 0 ? ", published" : "");
            fclose(heading);
            json_array_foreach(rows, i, row) {
                FILE *f = sheet_cell(s, (int)i, to);
                if (f == NULL) return false;
                put_cell(f, table, column, json_object_get(json_array_get(json_object_get(row, "cells"), k), name), side == 0);
                fclose(f);
            }
            to++;
        }
    json_array_foreach(rows, i, row) {
        sheet_put(s, (int)i, 0, text_of(row, "label"));
        if (n > 1 && text_of(row, "not_available")[0] != '\0' && sheet_text(s, (int)i, 1)[0] == '\0') sheet_put(s, (int)i, 1, "not available");
    }
    return sheet_end(s);
}

/* ---- what stands below ---- */

typedef void Escape(FILE *out, const char *text);

static void put_sources(FILE *out, const json_t *table, Escape *escape, const char *start, const char *end) {
    const json_t *sources = json_object_get(table, "sources");
    const char   *key;
    json_t       *source;
    json_object_foreach((json_t *)sources, key, source) {
        fprintf(out, "%s(%c) published: ", start, letter_of(sources, key));
        escape(out, text_of(source, "text"));
        fputs("; counts: ", out);
        escape(out, text_of(source, "counts"));
        fputs(end, out);
    }
}

/* "DeiT-S: parameters, MACs: run 0123 (a/run.json), VALID" */
static void put_runs_of(FILE *out, const json_t *table, const json_t *row, Escape *escape, const char *start, const char *end) {
    const json_t *columns = json_object_get(table, "columns"), *cells = json_object_get(row, "cells");
    const size_t  n = json_array_size(cells);
    for (size_t k = 0; k < n; k++) {
        const json_t *m = json_object_get(json_array_get(cells, k), "measured");
        bool told = !json_is_object(m);
        for (size_t i = 0; !told && i < k; i++) told = strcmp(text_of(json_object_get(json_array_get(cells, i), "measured"), "run"), text_of(m, "run")) == 0;
        if (told) continue;
        fputs(start, out);
        escape(out, text_of(row, "label"));
        for (size_t i = k; i < n; i++) {
            if (strcmp(text_of(json_object_get(json_array_get(cells, i), "measured"), "run"), text_of(m, "run")) != 0) continue;
            fputs(i == k ? ": " : "; ", out);
            escape(out, text_of(json_array_get(columns, i), "heading"));
        }
        fprintf(out, ": run %s (", text_of(m, "run"));
        escape(out, text_of(m, "path"));
        fputs("), ", out);
        escape(out, text_of(m, "verdict"));
        const long long others = (long long)json_integer_value(json_object_get(m, "runs_count")) - 1;
        const long long seeds = (long long)json_integer_value(json_object_get(m, "seeds_count"));
        if (seeds > 1) fprintf(out, ", and %lld more seeds", seeds - 1);
        else if (others > 0) fprintf(out, ", the best and latest of %lld", others + 1);
        fputs(end, out);
    }
}

static void put_note(FILE *out, Escape *escape, const char *start, const char *end, const char *text) {
    fputs(start, out);
    escape(out, text);
    fputs(end, out);
}

static bool any_measured(const json_t *table, bool (*is)(const json_t *cell)) {
    const json_t *row, *cell;
    size_t        i, k;
    json_array_foreach(json_object_get(table, "rows"), i, row)
        json_array_foreach(json_object_get(row, "cells"), k, cell)
            if (is(json_object_get(cell, "measured"))) return true;
    return false;
}

static void put_notes(FILE *out, const json_t *table, Escape *escape, const char *start, const char *end) {
    const json_t *note, *row, *fill;
    size_t        i;
    json_array_foreach(json_object_get(table, "notes"), i, note) {
        fputs(start, out);
        escape(out, json_string_value(note));
        fputs(end, out);
    }
    put_note(out, escape, start, end, "†: SPEED_ONLY, no accuracy of the same weights on the same data belongs to it.");
    if (any_measured(table, is_below_paper)) put_note(out, escape, start, end, "‡: timed with a profile below \"paper\" (--profile paper), which is shorter.");
    put_note(out, escape, start, end, "In brackets 95 % intervals: of times over processes; of an accuracy over images (Wilson), or of the mean of several seeds over these (Student).");
    put_sources(out, table, escape, start, end);
    json_array_foreach(json_object_get(table, "rows"), i, row) {
        if (text_of(row, "not_available")[0] == '\0') continue;
        fputs(start, out);
        escape(out, text_of(row, "label"));
        fputs(": not available: ", out);
        escape(out, text_of(row, "not_available"));
        fputs(end, out);
    }
    json_array_foreach(json_object_get(table, "rows"), i, row) put_runs_of(out, table, row, escape, start, end);
    json_array_foreach(json_object_get(table, "to_fill"), i, fill) {
        const char *presets = text_of(fill, "presets"), *comma = strchr(presets, ',');
        fprintf(out, "%sEmpty cells are filled by: ", start);
        escape(out, text_of(fill, "command"));
        if (comma != NULL && strstr(text_of(fill, "command"), presets) == NULL) {
            fputs(", likewise for ", out);
            escape(out, comma + 1);
        }
        fputs(end, out);
    }
}

/* ---- formats ---- */

void paper_print(const json_t *table, FILE *out) {
    Sheet s;
    if (!make_sheet(&s, table)) fputs("no memory for the table\n", out);
    else {
        escape_terminal(out, text_of(table, "title"));
        fputs("\n\n", out);
        sheet_print(&s, out);
        fputc('\n', out);
        put_notes(out, table, escape_terminal, "", "\n");
    }
    sheet_free(&s);
}

void paper_write_md(const json_t *table, FILE *out) {
    Sheet s;
    if (make_sheet(&s, table)) {
        fputs("# ", out);
        escape_markdown(out, text_of(table, "title"));
        fputs("\n\n", out);
        sheet_write_md(&s, out);
        fputc('\n', out);
        put_notes(out, table, escape_markdown, "- ", "\n");
    }
    sheet_free(&s);
}

static void put_run_comment(FILE *out, void *table, int row) {
    put_runs_of(out, table, json_array_get(json_object_get(table, "rows"), (size_t)row), escape_terminal, "% ", "\n");
}

void paper_write_tex(const json_t *table, FILE *out) {
    Sheet s;
    if (make_sheet(&s, table)) {
        sheet_write_tex(&s, out, put_run_comment, (void *)table);
        fputs("\n\\begin{small}\n", out);
        put_notes(out, table, escape_latex, "", "\\\\\n");
        fputs("\\end{small}\n", out);
    }
    sheet_free(&s);
}

static void csv_line(FILE *out, const json_t *row, const json_t *column, const json_t *cell, const char *side, const char *from) {
    if (json_is_null(cell)) return;
    escape_csv(out, text_of(row, "label"));
    fputc(',', out);
    escape_csv(out, text_of(column, "key"));
    fprintf(out, ",%s,%.17g,", side, json_number_value(json_object_get(cell, "value")));
    if (json_object_get(cell, "low") != NULL) fprintf(out, "%.17g", json_number_value(json_object_get(cell, "low")));
    fputc(',', out);
    if (json_object_get(cell, "high") != NULL) fprintf(out, "%.17g", json_number_value(json_object_get(cell, "high")));
    fputc(',', out);
    escape_csv(out, text_of(cell, from));
    fprintf(out, ",%s\n", text_of(cell, "verdict"));
}

/* A line a number, base units: where each comes from stands beside it. */
void paper_write_csv(const json_t *table, FILE *out) {
    const json_t *row, *column, *columns = json_object_get(table, "columns");
    size_t        i, k;
    fputs("row,column,kind,value,low,high,source_or_run,verdict\n", out);
    json_array_foreach(json_object_get(table, "rows"), i, row)
        json_array_foreach(columns, k, column) {
            const json_t *cell = json_array_get(json_object_get(row, "cells"), k);
            csv_line(out, row, column, json_object_get(cell, "published"), "published", "source");
            csv_line(out, row, column, json_object_get(cell, "measured"), "measured", "run");
        }
}

/* ---- files ---- */

typedef void Writer(const json_t *table, FILE *out);

static bool save(Writer *write, const json_t *table, const char *path, Error *err) {
    char  *text = NULL;
    size_t n    = 0;
    FILE  *f    = open_memstream(&text, &n);
    bool   ok   = f != NULL;
    if (ok) write(table, f);
    ok = (ok && fclose(f) == 0 && n > 0) || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the table");
    ok = ok && file_write_durable(path, text, n, err);
    free(text);
    return ok;
}

bool report_paper(const Report *report, const char *dir, const char *path, int formats, bool json, Error *err) {
    static const struct { int format; const char *ending; Writer *write; } files[] = {
        {REPORT_MD, "md", paper_write_md}, {REPORT_TEX, "tex", paper_write_tex}, {REPORT_CSV, "csv", paper_write_csv}, {REPORT_JSON, "json", NULL}};
    json_t     *paper = NULL, *table = NULL;
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path, *dot = strrchr(base, '.');
    const int   length = dot != NULL ? (int)(dot - base) : (int)strlen(base);
    bool        ok = paper_load(&paper, path, err) && paper_fill(&table, paper, report, dir, err);
    for (size_t i = 0; ok && i < sizeof files / sizeof *files; i++) {
        char name[4600];
        if ((formats & files[i].format) == 0) continue;
        snprintf(name, sizeof name, "%.4200s/paper_%.*s.%s", dir, length, base, files[i].ending);
        ok = files[i].write == NULL ? json_save_file(table, name, err) : save(files[i].write, table, name, err);
    }
    if (ok && json) {
        char *text = json_to_text(table);
        ok = text != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to print the table");
        if (ok) fputs(text, stdout);
        free(text);
    } else if (ok) {
        paper_print(table, stdout);
    }
    json_decref(paper);
    json_decref(table);
    return ok;
}
