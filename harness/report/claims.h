/* Claims as JSON (experiments/claims.json), and what the runs of a Report say to each: holds, fails or undecided.
 *
 *   claims_load -> claims_judge -> claims_print, claims_write_md -> json_decref of both
 *
 * A claim has parts, all of which must hold. A part compares models A with models B, both chosen by selections (claim_runs.h), in
 * pairs that agree in `match` and, with `factors`, in every setting but those. Each pair must meet all conditions; the part holds
 * where any pair does ("over": "any"; it fails where none of at least `at_least` does) or all do ("all", and there are `at_least` of them). A condition is a measure
 * (claim_measures.c) of a field (claim_fields.def) against a threshold, once for each context that both models have.
 *
 * Exact values are compared. Of others the answer is certain when p < 0.05, two-sided, for the truth being the threshold: after Holm's
 * correction over all comparisons of the part, but where all must hold and one does, since that needs none (intersection-union test);
 * else undecided. What has too few seeds or runs, and in an "any" of several kinds of conditions what an exact one rules out, is not
 * counted and bars no verdict. So a claim may hold, fail, or wait for more runs; missing ones are named with the command that makes them.
 *
 * Ownership: claims_load and claims_judge give new references. */
#ifndef HARNESS_CLAIMS_H
#define HARNESS_CLAIMS_H

#include "harness/report/report.h"

#define CLAIMS_SCHEMA "morbench.claims/1"
#define CLAIMS_REPORT_SCHEMA "morbench.claims_report/1"
#define CLAIMS_DEFAULT_PATH "experiments/claims.json"

bool claims_load(json_t **out, const char *path, Error *err);
/* Also puts shared selections where claims name them. */
bool claims_check(json_t *claims, Error *err);

/* {"schema": ..., "claims": [{"id", "claim", "source", "statement", "verdict", "parts": [...]}]}, see results/README.md. */
bool claims_judge(json_t **out, const json_t *claims, const Report *report, Error *err);

void claims_print(const json_t *judged, FILE *out);
void claims_write_md(const json_t *judged, FILE *out);

/* DIR/claims.json and DIR/claims.md, and on standard output the text, or with json the JSON. */
bool report_claims(const Report *report, const char *dir, const char *claims_path, bool json, Error *err);

#endif
