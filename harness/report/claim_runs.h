/* The runs of a Report as claims see them: selected by what they are, grouped by model, and told apart by how they were made.
 *
 * A pointer is a JSON pointer into run.json, or begins with
 *   /trained/   the same in the training run that made these weights (a training run itself; else the one of equal weights)
 *   /derived/   layers: blocks a token of full depth goes through
 *               least_capacity: smallest share of the patches that a recursion keeps
 *               image_depth_spread: sd over images of their mean depth, over that of patches that each draw theirs alone
 *
 * A selection is {pointer: wanted}. Wanted is a value; a list, any of which will do; or an object of conditions: "min", "max",
 * "not" (a value or a list), and against another pointer "unlike", "less_than", "more_than". What a run does not have it does not match.
 *
 * Ownership: a ClaimRuns borrows its Report; claim_runs_close. claim_at gives a new reference. */
#ifndef HARNESS_CLAIM_RUNS_H
#define HARNESS_CLAIM_RUNS_H

#include "harness/report/report.h"

typedef struct ClaimRuns {
    const Report  *report;
    const json_t **trained;          /* of each row: the training run of its weights; NULL: none */
    char         **model_key;        /* of each row: what tells one model from another, kind and settings, and those it was trained
                                        with where they differ */
} ClaimRuns;

bool claim_runs_open(ClaimRuns *out, const Report *report, Error *err);
void claim_runs_close(ClaimRuns *c);

json_t *claim_at(const ClaimRuns *c, int row, const char *pointer);

bool claim_selection_check(const json_t *selection, const char *where, Error *err);
bool claim_selects(const ClaimRuns *c, const json_t *selection, int row);
/* "router token, kv share": the last names of the pointers and what is wanted. free(); NULL: no memory. */
char *claim_selection_text(const json_t *selection);

/* How a trained model came about and was tested, seed aside: runs that agree in it differ in their model only. free(); NULL: no memory. */
char *claim_training_key(const ClaimRuns *c, int row);
/* Which repetition of that it is: its seed; without a training run its weights. "": cannot be told. */
void claim_seed(const ClaimRuns *c, int row, char seed[80]);

#endif
