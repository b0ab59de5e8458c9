/* What varies in an experiment: the block "vary", from JSON to the combinations of values that it stands for.
 *
 *   {"/model/recursions": [1, 2], "/train/lr": [1e-3, 1e-4]}     every combination; the same as {"product": {...}}
 *   {"zip": {...}}       first values together, second values together, ...
 *   {"around": {...}}    nothing changed, then every value alone
 *
 * Forms given together are multiplied. A value may be {"label": TEXT, "value": V}. */
#ifndef HARNESS_VARY_H
#define HARNESS_VARY_H

#include "harness/config.h"

/* Settings of one form, or with a label: so many files cost little, whatever they say. */
enum { VARY_POINTERS_MAX = 64 };

/* Shape: pointers into known blocks, lists, forms. */
bool vary_check(const json_t *vary, const char *path, Error *err);

/* An array of combinations, each an array of {"pointer", "value", "label"}; in "around" a pointer that stays as it is has no "value".
 * vary NULL: one combination of nothing. *out is the caller's; json_decref. */
bool vary_combinations(const json_t *vary, json_t **out, Error *err);

/* Sets the values of one combination. */
bool vary_apply(Config *c, const json_t *combination, Error *err);

#endif
