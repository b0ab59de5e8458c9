/* A small table of texts for people: a column of names, then columns of numbers. As text, Markdown, LaTeX and HTML.
 *
 *   sheet_begin -> sheet_cell ... -> sheet_end -> sheet_print ... -> sheet_free (fine after a failure)
 *
 * Ownership: the sheet holds its texts. */
#ifndef HARNESS_SHEET_H
#define HARNESS_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct Sheet {
    int    n, n_rows;              /* column 0 holds the names */
    char **text;                   /* (1 + n_rows) * n, headings first */
    bool   failed;                 /* no memory for some text */
    size_t length;                 /* of the text that is being written */
} Sheet;

/* Texts are empty until written. False: no memory. */
bool sheet_begin(Sheet *s, int n, int n_rows);
/* The text of a cell is what is written to this until fclose; row -1: its heading. NULL: no memory, and sheet_end says so. */
FILE *sheet_cell(Sheet *s, int row, int column);
void sheet_put(Sheet *s, int row, int column, const char *text);
const char *sheet_text(const Sheet *s, int row, int column);
bool sheet_end(const Sheet *s);
void sheet_free(Sheet *s);

void sheet_print(const Sheet *s, FILE *out);
void sheet_write_md(const Sheet *s, FILE *out);
/* For \usepackage{booktabs,textcomp}. before: a comment above a row, or NULL. */
void sheet_write_tex(const Sheet *s, FILE *out, void (*before)(FILE *out, void *self, int row), void *self);
void sheet_write_html(const Sheet *s, FILE *out);       /* thead and tbody, without the table around them */

#endif
