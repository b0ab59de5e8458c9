/* A Report as a grid of texts, for tables that people read: scaled units, columns that no run fills left out.
 *
 * Ownership: grid_make gives the texts to the caller, grid_free. */
#ifndef HARNESS_REPORT_GRID_H
#define HARNESS_REPORT_GRID_H

#include "harness/report/report.h"

#include <stdio.h>

typedef enum Form { TEXT, COUNT, REAL, SCALED, PERCENT, TIME, BYTES, RATE } Form;

/* A line of report_columns.def. */
typedef struct Column {
    const char *key, *heading, *where, *low, *high;
    Form        form;
} Column;

extern const Column report_columns[];
extern const int    report_n_columns;

/* A row's value in a column, a number or text; NULL: none, or the row's verdict, which is the Report's to say. */
const json_t *report_cell(const ReportRow *row, const Column *c);
const char   *report_reason(const ReportRow *row, const Column *c);      /* why there is none */
const char   *report_run_id(const json_t *run);

/* Line by line; column 0 is the model, the last the run. */
typedef struct Grid {
    int    n, n_rows;
    int    column[128];            /* (n) index into report_columns; -1: model, -2: run */
    char **text;                   /* n_rows * n */
} Grid;

bool        grid_make(Grid *g, const Report *r, Error *err);
void        grid_free(Grid *g);
const char *grid_heading(const Grid *g, int k);
bool        grid_is_text(const Grid *g, int k);

/* A number as people read it: three digits and a unit. */
void grid_print_number(FILE *out, Form form, double v);
/* "[low, high]" in the unit of v. */
void grid_print_interval(FILE *out, Form form, double v, double low, double high);

typedef void Escape(FILE *out, const char *text);

/* What the reader must know beside the cells: intervals, marks, where accuracies come from, verdicts, why cells are empty.
 * Each sentence between start and end. */
void grid_notes(FILE *out, const Report *r, const Grid *g, Escape *escape, const char *start, const char *end);

/* -- tables for programs; false: no memory -- */

bool report_write_csv(FILE *out, const Report *r, const Grid *g);
bool report_write_json(FILE *out, const Report *r, const Grid *g);
bool report_write_jsonl(FILE *out, const Report *r, const Grid *g);

#endif
