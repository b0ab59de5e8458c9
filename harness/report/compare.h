/* Two results, or two directories of them, side by side: which cells are the same, what else differs, who is faster.
 *
 *   compare_read -> compare_judge -> compare_print or compare_to_json -> compare_free
 *
 * Cells pair by id. The id has the code's version in it; where that differs, they pair by the same settings, weights and data
 * (effort of measuring aside). One run against one other need not be the same cell: then exactly one factor may differ, which
 * is the one under study (rule V6).
 *
 * Ownership: a Comparison holds its runs until compare_free (fine after a failed read). */
#ifndef HARNESS_COMPARE_H
#define HARNESS_COMPARE_H

#include "engine/json.h"
#include "harness/measure/two_samples.h"

#include <stdio.h>

enum { COMPARE_DIFFERENCES_MAX = 200 };

typedef enum CompareMetric { COMPARE_LATENCY, COMPARE_END_TO_END } CompareMetric;

typedef struct CompareOptions {
    CompareMetric metric;
    double        margin;            /* of equivalence; 0.02 */
    double        gate;              /* floor of a regression; NAN: no gate */
} CompareOptions;

typedef struct CompareRun {
    char   *path;
    json_t *run;
    char    cell[17];                /* of settings, weights and data, without the code's version and the effort */
    int     partner;                 /* in the other list; -1: none */
} CompareRun;

typedef struct CompareLeftOut { int n_samples, n_processes; } CompareLeftOut;

typedef struct ComparePair {
    const CompareRun *a, *b;
    bool              same_env, timed;   /* timed: both have samples of the metric */
    bool              same_session;      /* arms of one bench: paired by block */
    TwoSamples        t;                 /* when timed */
    double            a_value, b_value;  /* medians of process medians, ns */
    double            p;                 /* corrected; where there is at_clock, the larger of both */
    Judgement         judgement;
    bool              has_clock;         /* two sessions, and every process followed the clock */
    TwoSamples        at_clock;          /* the same of times in units of the process' fixed loop */
    double            clock_ratio;       /* median of B's fixed loops over A's */
    TwoSamples        without, without_at_clock;   /* the same without outliers (rule V39), for the reader only */
    CompareLeftOut    left_out;          /* of both arms together */
    double            without_p;         /* corrected */
    Judgement         judgement_without;
    const char       *barred;            /* verdict of A or B that bars a judgement; NULL */
    const char       *not_gated;         /* why the gate cannot count it; NULL: it can */
    bool              regressed;
} ComparePair;

typedef struct CompareDifference { char field[96], a[256], b[256]; } CompareDifference;

typedef struct Comparison {
    CompareRun       *run[2];
    int               n_runs[2];
    ComparePair      *pair;
    int               n_pairs, n_judged, n_gated, n_regressed;
    CompareDifference difference[COMPARE_DIFFERENCES_MAX];   /* of machines, builds and code, over all pairs */
    int               n_differences, n_more;                 /* and so many that there was no room for */
    bool              different_machines;
    CompareOptions    options;
    const char       *name[2];                               /* as given */
} Comparison;

/* name[]: files or directories. A directory's run.json are found at any depth. */
bool compare_read(Comparison *out, const char *a, const char *b, const CompareOptions *options, Error *err);
bool compare_judge(Comparison *c, Error *err);
void compare_free(Comparison *c);

/* Medians of the processes of a run in the order of its samples, *n of them; free(). Without outliers: over the samples within
 * Tukey's fences of their process (1.5 interquartile ranges beyond the quartiles), and NAN for a process beyond the fences of
 * all; *left_out gets more by what that leaves out. */
bool compare_units(const json_t *run, CompareMetric metric, bool without_outliers, double **unit, size_t *n, CompareLeftOut *left_out, Error *err);

/* Units (n) over the mean of the fixed loop before and after in their process (rule V24), a loop that always takes the same cycles:
 * what is left does not move with the clock. *loop_ns: median of the loops. free(); NULL: a process has no loop. */
double *compare_at_clock(const json_t *run, CompareMetric metric, const double *unit, size_t n, double *loop_ns);

void compare_print(const Comparison *c, FILE *out);
bool compare_to_json(const Comparison *c, json_t **out, Error *err);

#endif
