/* What an experiment found: the rows of its experiment.json as lines, one a configuration. Trainings that differ in their seed alone
 * are one line with their mean, and what was timed of them stands beside it.
 *
 *   answers_make -> answers_print, _write_md, ..., plots -> answers_free
 *
 * Rows and runs are matched by the cell's directory; lines by the factors of a row without the seed and without what only timings
 * have (batch, threads, pass). INVALID runs count as missing.
 *
 * Ownership: answers_free frees all but the runs, which are the Report's. */
#ifndef HARNESS_ANSWERS_H
#define HARNESS_ANSWERS_H

#include "harness/report/report.h"

enum { ANSWER_MAX_TIMINGS = 12 };

/* A condition under which cells were timed. */
typedef struct AnswerTiming {
    int  batch, threads;
    char pass[16];                 /* forward, train_step */
} AnswerTiming;

typedef struct AnswerLine {
    char            *name;         /* "fixed_blocks, recursion depth R 2" */
    const char      *cell, *evaluation;                  /* as the file calls them; "" where it does not */
    json_t          *factors;      /* of the line, in the order of the experiment's */
    int              n_asked;      /* trainings or evaluations that the experiment asks for, a seed each */
    int              n_runs;
    const ReportRow **run;         /* (n_runs) those with an accuracy that counts */
    int             *seed;         /* (n_runs) */
    double           top1, top1_low, top1_high;           /* ratio: mean, Student's 95 % over seeds; of one run Wilson's over images; NAN: none */
    double           difference, difference_low, difference_high;   /* from the first line, seed by seed; NAN below two pairs, the mean below one */
    int              n_pairs;
    double           params, macs; /* of one image: mean of the executed ones, else the analytic; NAN */
    const ReportRow *timed[ANSWER_MAX_TIMINGS];
} AnswerLine;

struct Answer {
    char         *dir;             /* from the report's directory; "" is that itself */
    json_t       *experiment;      /* the file */
    const char   *name, *size, *question, *caption;
    AnswerLine   *line;
    int           n_lines, n_timings, n_cells, n_missing;
    AnswerTiming  timing[ANSWER_MAX_TIMINGS];
};

/* Of every experiment.json that report_read met. One that is damaged is said on stderr and left out. */
bool answers_make(Report *r, const char *dir, Error *err);
void answers_free(Report *r);

const json_t *answer_value(const AnswerLine *line, const char *factor);   /* NULL: the line has no such factor */
/* How tables and plots call a factor; "test-time ..." for what only evaluations vary. */
void          answer_label(const Answer *a, const char *factor, char out[96]);
bool          answer_in_testing(const char *factor);
/* The captions of all experiments, each once: what a reader must know of every figure. */
void          answers_caption(const Report *r, char *out, size_t size);

/* -- tables of all experiments; nothing where there is none (answers_print.c) -- */

void answers_print(const Report *r, FILE *out);
void answers_write_md(const Report *r, FILE *out);
void answers_write_tex(const Report *r, FILE *out);
void answers_write_csv(const Report *r, FILE *out);     /* a line a number, base units */
void answers_write_html(const Report *r, FILE *out);
/* [{"experiment", "size", "question", "caption", "lines": [...]}] */
void answers_put_json(const Report *r, JsonSink *list);

#endif
