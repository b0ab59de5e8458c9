/* Texts of a table and how each format sets them, see sheet.h. */
#include "harness/report/sheet.h"

#include "harness/report/escape.h"

#include <stdlib.h>
#include <string.h>

bool sheet_begin(Sheet *s, int n, int n_rows) {
    *s = (Sheet){.n = n, .n_rows = n_rows, .text = calloc((size_t)n*(size_t)(n_rows + 1), sizeof *s->text)};
    s->failed = s->text == NULL;
    return !s->failed;
}

static char **at(const Sheet *s, int row, int column) { return &s->text[(row + 1)*s->n + column]; }

const char *sheet_text(const Sheet *s, int row, int column) {
    const char *text = *at(s, row, column);
    return text != NULL ? text : "";
}

FILE *sheet_cell(Sheet *s, int row, int column) {
    free(*at(s, row, column));
    *at(s, row, column) = NULL;
    FILE *f = open_memstream(at(s, row, column), &s->length);
    s->failed = s->failed || f == NULL;
    return f;
}

void sheet_put(Sheet *s, int row, int column, const char *text) {
    free(*at(s, row, column));
    *at(s, row, column) = strdup(text);
    s->failed = s->failed || *at(s, row, column) == NULL;
}

bool sheet_end(const Sheet *s) { return !s->failed; }

void sheet_free(Sheet *s) {
    for (int i = 0; s->text != NULL && i < s->n*(s->n_rows + 1); i++) free(s->text[i]);
    free(s->text);
    *s = (Sheet){0};
}

void sheet_print(const Sheet *s, FILE *out) {
    for (int i = -1; i < s->n_rows; i++) {
        for (int k = 0; k < s->n; k++) {
            int width = 0;
            for (int j = -1; j < s->n_rows; j++) {
                const int w = escape_terminal_width(sheet_text(s, j, k));
                if (w > width) width = w;
            }
            const int blanks = width - escape_terminal_width(sheet_text(s, i, k));
            if (k > 0) fprintf(out, "  %*s", blanks, "");
            escape_terminal(out, sheet_text(s, i, k));
            if (k == 0 && s->n > 1) fprintf(out, "%*s", blanks, "");
        }
        fputc('\n', out);
    }
}

void sheet_write_md(const Sheet *s, FILE *out) {
    for (int i = -1; i < s->n_rows; i++) {
        for (int k = 0; k < s->n; k++) {
            fputs("| ", out);
            escape_markdown(out, sheet_text(s, i, k));
            fputc(' ', out);
        }
        fputs("|\n", out);
        for (int k = 0; i < 0 && k < s->n; k++) fputs(k == 0 ? "|---" : "|---:", out);
        if (i < 0) fputs("|\n", out);
    }
}

void sheet_write_tex(const Sheet *s, FILE *out, void (*before)(FILE *out, void *self, int row), void *self) {
    fputs("% needs booktabs and textcomp\n\\begin{tabular}{l", out);
    for (int k = 1; k < s->n; k++) fputc('r', out);
    fputs("}\n\\toprule\n", out);
    for (int i = -1; i < s->n_rows; i++) {
        if (i >= 0 && before != NULL) before(out, self, i);
        for (int k = 0; k < s->n; k++) {
            if (k > 0) fputs(" & ", out);
            escape_latex(out, sheet_text(s, i, k));
        }
        fputs(i < 0 ? " \\\\\n\\midrule\n" : " \\\\\n", out);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", out);
}

void sheet_write_html(const Sheet *s, FILE *out) {
    fputs("<thead>", out);
    for (int i = -1; i < s->n_rows; i++) {
        fputs("<tr>", out);
        for (int k = 0; k < s->n; k++) {
            fputs(k == 0 ? i < 0 ? "<th scope=\"col\">" : "<th scope=\"row\">" : i < 0 ? "<th scope=\"col\" class=\"n\">" : "<td class=\"n\">", out);
            escape_html(out, sheet_text(s, i, k));
            fputs(i < 0 || k == 0 ? "</th>" : "</td>", out);
        }
        fputs(i < 0 ? "</tr></thead><tbody>\n" : "</tr>\n", out);
    }
    fputs("</tbody>", out);
}
