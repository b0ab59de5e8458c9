/* Tables and plots from the run.json files below a directory and the experiment.json beside them, and from nothing else.
 *
 *   report_read -> (answers_make, answers.h) -> report_print, report_write_tables, report_write_plots -> report_free
 *
 * Ownership: a Report holds its runs until report_free (fine after a failed read). */
#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include "engine/error.h"
#include "engine/json.h"

#include <stdio.h>

typedef struct ReportRow {
    char         *path;            /* of run.json, from the report's directory */
    json_t       *run;
    const json_t *accuracy;        /* the run whose accuracy counts: itself, or one of equal weights and data; NULL: none */
    const json_t *contradicted_by; /* a run of the same weights and images that says something else of them: the row is INVALID; or NULL */
    const struct ReportRow *trained;   /* of another run than a training: the training of its weights, where that was of another model; or NULL */
    const char   *model;           /* how tables and plots call it: report->model[model_index].label */
    int           model_index;
    bool          noisy;           /* something disturbed it, whatever else its verdict says */
    const char   *verdict;
    bool          speed_only;      /* no accuracy belongs to it (rule V2), or the run says so itself */
} ReportRow;

/* Runs are of one model where preset (else name) and settings are the same. Where settings differ below one preset, the
 * label says in what: "mor_d96_c2x3_p4_lin_28 router=random". */
typedef struct ReportModel {
    char         *label;
    const char   *base;            /* preset, else name */
    const char   *method;          /* vit, mor_vit, ...: its hue */
    const json_t *settings;
    int           method_index;    /* the same number in every report for the methods of this program */
    int           tone;            /* which of its method's models */
} ReportModel;

typedef struct Answer Answer;      /* answers.h */

typedef struct Report {
    ReportRow   *row;
    int          n_rows, capacity;
    ReportModel *model;
    int          n_models, n_methods;
    Answer      *answer;           /* what the experiments below the directory found, once answers_make was called */
    int          n_answers;
    int          n_unreadable;     /* run.json that could not be read or did not fit their digest, and experiment.json */
} Report;

/* Every run.json below dir, in the order of their paths; links are not followed. What cannot be read is said on stderr and
 * counted. Fails when there is none at all. */
bool report_read(Report *out, const char *dir, Error *err);
void report_free(Report *r);

/* In what the rows of one kind (trainings, evaluations, benches) differ: what the table is about (rule V36). */
typedef struct Factors Factors;
void report_factors(const Report *r, const char *kind, Factors *out);
/* Refuses a table whose rows differ in what the list, "model, batch size", does not name. */
bool report_declare(const Report *r, const char *list, Error *err);

/* Part of report_read: finds the models of the rows. */
bool report_name_models(Report *r, Error *err);

/* Settings of the experiment in which two runs differ, seeds and what changes no number left out; first: the pointer of one, if
 * any. Two stands for any more; runs of another kind, or on other data, differ in 2. */
enum { REPORT_SETTING_SIZE = 128 };
int report_differences(const ReportRow *a, const ReportRow *b, char first[REPORT_SETTING_SIZE]);

/* Whether a setting of the block path ("/train", "/data", "" for the experiment itself) says no more than its absence does in a run of an
 * earlier version, which had no other value: its default; or the kernels of a training, which were not told. */
bool report_setting_as_before(const char *path, const char *key, const json_t *value);

/* The value at a JSON pointer ("/a/b", objects only); NULL when there is none. */
const json_t *report_at(const json_t *run, const char *pointer);
/* Whether it is of kind train. */
bool report_is_training(const json_t *run);
/* The number there; NAN when there is none. */
double report_number(const json_t *run, const char *pointer);

/* The aligned table for a terminal. */
bool report_print(const Report *r, FILE *out, Error *err);

enum { REPORT_MD = 1, REPORT_CSV = 2, REPORT_TEX = 4, REPORT_JSON = 8, REPORT_JSONL = 16 };
/* DIR/table.md, ...csv, .tex, .json, .jsonl */
bool report_write_tables(const Report *r, const char *dir, int formats, Error *err);

/* DIR/plots/<name>.svg, .png, .pdf and the script they came from, .gp. *n_plots: how many there was data for. Says on stderr why
 * one is left out. False when gnuplot cannot be run: the caller's to take as a warning. */
bool report_write_plots(const Report *r, const char *dir, int *n_plots, Error *err);

/* DIR/report.html: one file that needs nothing else. *n_figures: of gnuplot and of depth_*.png, *.svg beside the runs. Says on
 * stderr when gnuplot cannot be run; the page then says so where figures would be. */
bool report_write_html(const Report *r, const char *dir, int *n_figures, Error *err);

#endif
