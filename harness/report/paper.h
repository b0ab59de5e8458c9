/* A paper's table as JSON (experiments/paper/): published numbers with their sources, and beside them what runs below a directory
 * measured. experiments/paper/README.md has every key.
 *
 *   paper_load -> paper_fill -> paper_write_md, _tex, _csv, or the filled tree as JSON
 *
 * A row is a model, chosen among runs by a selection (claim_runs.h); a column is a pointer into run.json, with a selection of its own.
 * Of several runs the one of the best verdict is taken, then the latest; INVALID ones never. A measured number has its run's id, a
 * published one its source; what neither has is left empty.
 *
 * Ownership: paper_load and paper_fill give new references. */
#ifndef HARNESS_PAPER_H
#define HARNESS_PAPER_H

#include "harness/report/report.h"

#define PAPER_SCHEMA "morbench.paper/1"
#define PAPER_TABLE_SCHEMA "morbench.paper_table/1"

bool paper_load(json_t **out, const char *path, Error *err);
bool paper_check(const json_t *paper, Error *err);

/* {"schema", "title", "notes", "sources", "columns", "rows": [{"label", "cells": [{"published", "measured"}]}], "to_fill"}; cells stand in
 * the order of columns. */
bool paper_fill(json_t **out, const json_t *paper, const Report *report, const char *dir, Error *err);

void paper_print(const json_t *table, FILE *out);
void paper_write_md(const json_t *table, FILE *out);
void paper_write_tex(const json_t *table, FILE *out);
void paper_write_csv(const json_t *table, FILE *out);

/* DIR/paper_NAME.json and the formats asked for (REPORT_MD, ...), NAME being the file's; and on standard output the table, or with json
 * the JSON. */
bool report_paper(const Report *report, const char *dir, const char *path, int formats, bool json, Error *err);

#endif
