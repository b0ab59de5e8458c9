/* What a condition of a claim measures: a field of two models' runs, their difference or ratio, and how sure that is.
 *
 * Ownership: claim_units gives a new reference. Nothing else outlives a call. */
#ifndef HARNESS_CLAIM_MEASURES_H
#define HARNESS_CLAIM_MEASURES_H

#include "harness/report/claim_runs.h"

typedef enum ClaimRepeats { CLAIM_EXACT, CLAIM_SEEDS, CLAIM_PROCESSES } ClaimRepeats;
typedef enum ClaimForm { CLAIM_PLAIN, CLAIM_PERCENT } ClaimForm;

typedef struct ClaimField {
    const char  *name, *pointer, *what, *same;
    ClaimRepeats repeats;
    ClaimForm    form;
} ClaimField;

const ClaimField *claim_field_find(const char *name);       /* NULL: no such field */
const char       *claim_field_names(void);                  /* "params, macs, ..." */

enum { CLAIM_SEEDS_LEAST = 3, CLAIM_PROCESSES_LEAST = 9, CLAIM_POINTS_LEAST = 3, CLAIM_UNITS_MOST = 64 };

/* One side's values: {context: {unit: {"value": number, "row": index of the Report}}}. Runs of one context differ in their model and
 * in nothing else that matters to the field; a unit is a repetition: a seed, a session of timing. rows (n): of one model. */
json_t *claim_units(const ClaimRuns *c, const ClaimField *f, const json_t *where, const int *rows, int n);

/* What came out, for one context. */
typedef struct ClaimEstimate {
    double      value, low, high;     /* low and high: 95 %; NAN where exact */
    double      p;                    /* two-sided: the truth is the threshold; NAN: exact */
    size_t      n_units;
    const char *method;               /* of the interval; "exact" */
    char        lacks[160];           /* why there is no answer; "": there is one */
} ClaimEstimate;

/* An arm with the x it stands at, when a measure is over several. */
typedef struct ClaimArms {
    const ClaimRuns *runs;
    const json_t    *a, *b;           /* {unit: {"value", "row"}} of one context; b NULL: the claim is about one model */
    double           x;
} ClaimArms;

typedef struct ClaimMeasure {
    const char *name, *what;
    bool        two_arms, over;       /* over: of all pairs together, along a setting */
    bool      (*estimate)(ClaimEstimate *out, const ClaimField *f, const ClaimArms *arms, int n, double threshold, Error *err);
} ClaimMeasure;

const ClaimMeasure *claim_measure_find(const char *name);
const char         *claim_measure_names(void);

#endif
