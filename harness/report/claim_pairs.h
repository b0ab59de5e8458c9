/* The models that a part of a claim is about: runs of one model make a group, and two groups may be a pair.
 *
 * Ownership: claim_groups_find fills, also when it fails; claim_groups_free. claim_group_name gives a new reference. */
#ifndef HARNESS_CLAIM_PAIRS_H
#define HARNESS_CLAIM_PAIRS_H

#include "harness/report/claim_runs.h"

typedef struct ClaimGroup { const char *key; int *row, n; } ClaimGroup;    /* rows of the Report; the key is the ClaimRuns' */
typedef struct ClaimGroups { ClaimGroup *group; int n; } ClaimGroups;

/* The models that a selection chooses; NULL: none. False: no memory. */
bool claim_groups_find(ClaimGroups *out, const ClaimRuns *c, const json_t *selection);
void claim_groups_free(ClaimGroups *g);

/* Every run of the group's model, selected or not: free(out->row). False: no memory. */
bool claim_group_all(ClaimGroup *out, const ClaimRuns *c, const ClaimGroup *g);

/* Whether the two agree in all that a part's "match" and "factors" ask for. */
bool claim_is_pair(const ClaimRuns *c, const ClaimGroup *a, const ClaimGroup *b, const json_t *part);

/* The preset, and what tells it from others of this name among a and b. */
json_t *claim_group_name(const ClaimRuns *c, const ClaimGroup *g, const ClaimGroups *a, const ClaimGroups *b);

#endif
