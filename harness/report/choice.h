/* Which model to use, as far as the runs of a Report say: what each is worth and costs on one data set, and which are on
 * the Pareto front. Measured values are compared as they are; where intervals overlap, that is said beside it and nothing
 * is called better. INVALID runs count for nothing.
 *
 * Ownership: choices_make gives to the caller, choices_free; rows stay the Report's, which must outlive it. */
#ifndef HARNESS_CHOICE_H
#define HARNESS_CHOICE_H

#include "harness/report/report.h"

typedef enum Cost { COST_LATENCY, COST_MACS, COST_PARAMS, N_COSTS } Cost;

/* One model: one set of weights, or trainings that differ in their seed alone (or tests of their weights at another depth), then with their
 * mean and Student's interval, so that a lucky seed is not what is recommended. */
enum { CHOICE_SEEDS = 32 };
typedef struct Candidate {
    int              model;             /* of the report */
    char             label[256];        /* the model's, and as what its weights were trained where that was another */
    const ReportRow *accuracy;          /* the first of seed; NULL: none known */
    const ReportRow *seed[CHOICE_SEEDS];
    int              n_seeds;
    const ReportRow *timing, *bulk;     /* at the choice's batch, and at its large batch; NULL: not timed so */
    double           top1, top1_low, top1_high;                 /* ratios; NAN */
    double           cost[N_COSTS], cost_low[N_COSTS], cost_high[N_COSTS];   /* ns, MACs an image, parameters; NAN: unknown */
    bool             front[N_COSTS];    /* none is as accurate for less */
    bool             efficient;         /* none is at least as good in everything known of both and better in something */
    int              beaten_by;         /* a candidate that is; -1: none */
} Candidate;

typedef struct Choice {
    const ReportRow *data;              /* a run on the data set of the accuracies; NULL: no accuracies */
    double           images_count;      /* of it */
    const ReportRow *condition, *bulk;  /* runs with the machine, threads and batch sizes of all timings; NULL: no timings */
    Candidate       *candidate;         /* by accuracy, the highest first; without accuracies by latency */
    int              n;
    int              least[N_COSTS];    /* which costs least; -1: unknown */
} Choice;

typedef struct Choices {
    Choice *choice;                     /* a data set each, that with most models first; last the models without accuracy */
    int     n;
} Choices;

bool choices_make(Choices *out, const Report *r, Error *err);
void choices_free(Choices *c);

/* Whether two are as accurate as each other, as far as measured: intervals overlap. */
bool choice_accuracies_overlap(const Candidate *a, const Candidate *b);
bool choice_costs_overlap(const Candidate *a, const Candidate *b, Cost cost);   /* times only; counts are exact */

#endif
