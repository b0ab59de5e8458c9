/* Tables of a Report for people: terminal, Markdown, LaTeX; and all of them as files. Each row names its run. */
#include "harness/report/report_grid.h"

#include "engine/file.h"
#include "harness/report/answers.h"
#include "harness/report/escape.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void write_terminal(FILE *out, const Report *r, const Grid *g) {
    for (int i = -1; i < g->n_rows; i++) {
        for (int k = 0; k < g->n; k++) {
            int         width = escape_terminal_width(grid_heading(g, k));
            const char *text  = i < 0 ? grid_heading(g, k) : g->text[i*g->n + k];
            for (int j = 0; j < g->n_rows; j++) {
                const int w = escape_terminal_width(g->text[j*g->n + k]);
                if (w > width) width = w;
            }
            const int blanks = width - escape_terminal_width(text);
            if (k > 0) fputs("  ", out);
            if (!grid_is_text(g, k)) fprintf(out, "%*s", blanks, "");
            escape_terminal(out, text);
            if (grid_is_text(g, k) && k < g->n - 1) fprintf(out, "%*s", blanks, "");
        }
        fputc('\n', out);
    }
    fputc('\n', out);
    grid_notes(out, r, g, escape_terminal, "", "\n");
}

static bool write_md(FILE *out, const Report *r, const Grid *g) {
    answers_write_md(r, out);
    for (int k = 0; k < g->n; k++) {
        fputs("| ", out);
        escape_markdown(out, grid_heading(g, k));
        fputc(' ', out);
    }
    fputs("|\n", out);
    for (int k = 0; k < g->n; k++) fputs(grid_is_text(g, k) ? "|---" : "|---:", out);
    fputs("|\n", out);
    for (int i = 0; i < g->n_rows; i++) {
        const bool invalid = strcmp(r->row[i].verdict, "INVALID") == 0;
        for (int k = 0; k < g->n; k++) {
            const char *text   = g->text[i*g->n + k];
            const bool  struck = invalid && text[0] != '\0' && !grid_is_text(g, k);
            fputs(struck ? "| ~~" : "| ", out);
            escape_markdown(out, text);
            fputs(struck ? "~~ " : " ", out);
        }
        fputs("|\n", out);
    }
    fputc('\n', out);
    grid_notes(out, r, g, escape_markdown, "- ", "\n");
    return true;
}

/* For \usepackage{booktabs}, with UTF-8 input. */
static bool write_tex(FILE *out, const Report *r, const Grid *g) {
    answers_write_tex(r, out);
    fputs("% needs booktabs and textcomp\n\\begin{tabular}{", out);
    for (int k = 0; k < g->n; k++) fputc(grid_is_text(g, k) ? 'l' : 'r', out);
    fputs("}\n\\toprule\n", out);
    for (int i = -1; i < g->n_rows; i++) {
        if (i >= 0) {
            fprintf(out, "%% run %s, ", report_run_id(r->row[i].run));
            escape_terminal(out, r->row[i].path);
            fputc('\n', out);
        }
        for (int k = 0; k < g->n; k++) {
            if (k > 0) fputs(" & ", out);
            escape_latex(out, i < 0 ? grid_heading(g, k) : g->text[i*g->n + k]);
        }
        fputs(i < 0 ? " \\\\\n\\midrule\n" : " \\\\\n", out);
    }
    fputs("\\bottomrule\n\\end{tabular}\n\n\\begin{small}\n", out);
    grid_notes(out, r, g, escape_latex, "", "\\\\\n");
    fputs("\\end{small}\n", out);
    return true;
}

/* -- files -- */

static bool write_answers_csv(FILE *out, const Report *r, const Grid *g) {
    (void)g;
    answers_write_csv(r, out);
    return true;
}

/* False: no memory. */
typedef bool Writer(FILE *out, const Report *r, const Grid *g);

static bool save(Writer *write, const Report *r, const Grid *g, const char *path, Error *err) {
    char  *text = NULL;
    size_t n    = 0;
    FILE  *f    = open_memstream(&text, &n);
    bool   ok   = f != NULL;
    if (ok) ok = write(f, r, g);
    if (f != NULL) ok = fclose(f) == 0 && ok;
    ok = ok || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a table of %d rows", r->n_rows);
    ok = ok && file_write_durable(path, text, n, err);
    free(text);
    return ok;
}

bool report_print(const Report *r, FILE *out, Error *err) {
    Grid g;
    if (!grid_make(&g, r, err)) return false;
    write_terminal(out, r, &g);
    answers_print(r, out);
    grid_free(&g);
    return fflush(out) == 0 || FAIL_STATUS(err, EXIT_IO, "", "cannot write to standard output");
}

bool report_write_tables(const Report *r, const char *dir, int formats, Error *err) {
    static const struct { int format; const char *name; Writer *write; } files[] = {
        {REPORT_MD, "table.md", write_md}, {REPORT_TEX, "table.tex", write_tex}, {REPORT_CSV, "table.csv", report_write_csv}, {REPORT_CSV, "answers.csv", write_answers_csv},
        {REPORT_JSONL, "table.jsonl", report_write_jsonl}, {REPORT_JSON, "table.json", report_write_json}};
    Grid g;
    bool ok = grid_make(&g, r, err);
    for (size_t i = 0; ok && i < sizeof files / sizeof *files; i++) {
        char path[PATH_MAX];
        if ((formats & files[i].format) == 0 || (files[i].write == write_answers_csv && r->n_answers == 0)) continue;
        const int n = snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
        ok = (n > 0 && n < PATH_MAX) || FAIL(err, "", "the path of the report is too long");
        ok = ok && save(files[i].write, r, &g, path, err);
    }
    grid_free(&g);
    return ok;
}
