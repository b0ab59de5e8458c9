/* What an experiment found: the rows of its experiment.json as lines, one a configuration. Trainings that differ in their seed alone
 * are one line with their mean, and what was timed of them stands beside it.
 *
 *   report_read -> answers_make -> answers_print, _write_md, ..., plots -> report_free
 *
 * Rows and runs are matched by the cell's directory; lines by the factors of a row without the seed and without what only timings
 * have (batch, threads, pass). A line's base is, of an evaluation, the line of its training; in a cell of several lines the first of
 * them; else the first line of all. INVALID runs count as missing; a run or a seed that a line has already is left out and counted.
 *
 * Ownership: report_free frees all but the runs, which are the Report's. */
#ifndef HARNESS_ANSWERS_H
#define HARNESS_ANSWERS_H

#include "harness/report/report.h"

/* A condition under which cells were timed. */
typedef struct AnswerTiming { int batch, threads; bool train_step; } AnswerTiming;

typedef struct AnswerLine {
    char            *name;         /* "fixed_blocks, recursions R 2" */
    const char      *cell, *evaluation;                  /* as the file calls them; "" where it does not */
    json_t          *factors;      /* of the line, in the order of the experiment's */
    int              n_asked;      /* trainings or evaluations that the experiment asks for, a seed each */
    int              n_runs;
    int              row;          /* of the table; -1: in none, since nothing is known of it though something of others */
    const ReportRow **run;         /* (n_runs) those with an accuracy that counts */
    int             *seed;         /* (n_runs); -1: it has none */
    double           top1, top1_low, top1_high;           /* ratio: mean, Student's 95 % over seeds; of one run Wilson's over images; NAN: none */
    int              base;         /* the line it is held against, see below; -1: it is one itself */
    double           difference, difference_low, difference_high;   /* from the base, seed by seed: mean, Student's 95 %; NAN: no pairs, one pair */
    double           p, p_corrected;                      /* that there is none; after Holm over all of the answer; NAN: below two pairs, or same */
    int              n_pairs;
    bool             same;         /* as the base: every prediction, in every pair */
    double           params, macs; /* of one image: mean of the executed ones, else the analytic; NAN */
    const ReportRow **timed;       /* (n_timings of the answer) NULL: not timed so */
} AnswerLine;

struct Answer {
    char         *dir;             /* from the report's directory; "" is that itself */
    json_t       *experiment;      /* the file; NULL: it could not be read */
    const char   *name, *size, *question, *caption;
    AnswerLine   *line;
    AnswerTiming *timing;
    int           n_lines, n_rows, n_timings, n_cells, n_missing, n_double;
    int           n_differences;   /* with a p */
};

/* Of every experiment.json that report_read met. One that is damaged is said on stderr, and counted as what could not be read. */
bool answers_make(Report *r, const char *dir, Error *err);
void answers_free(Report *r);

const json_t *answer_value(const AnswerLine *line, const char *factor);   /* NULL: the line has no such factor */
/* Equal, numbers by their value. */
bool          answer_equal(const json_t *a, const json_t *b);
/* How tables and plots call a factor; "test-time ..." for what only evaluations vary. */
void          answer_label(const Answer *a, const char *factor, char out[96]);
bool          answer_in_testing(const Answer *a, const char *factor);
/* The line's name without the factors that `left_out` names; free(), NULL: no memory. */
char         *answer_name(const Answer *a, const AnswerLine *line, bool (*left_out)(const char *factor, void *self), void *self);

/* Whether any of the rows marked (one a row of the report) is a run of the experiment: lies in its directory. */
bool          answer_uses(const Answer *a, const Report *r, const bool used[]);

/* -- tables of all experiments; nothing where there is none (answers_print.c) -- */

void answers_print(const Report *r, FILE *out);
void answers_write_md(const Report *r, FILE *out);
void answers_write_tex(const Report *r, FILE *out);
void answers_write_csv(const Report *r, FILE *out);     /* a line a number, base units */
void answers_write_html(const Report *r, FILE *out);
/* [{"experiment", "size", "question", "caption", "lines": [...]}] */
void answers_put_json(const Report *r, JsonSink *list);

#endif
