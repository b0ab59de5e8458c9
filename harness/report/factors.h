/* In what two runs differ, by names people use: what a comparison or a table is about, and what it should not be about as well
 * (rules V6 and V36).
 *
 *   "model" when the kinds differ, else "model.recursions" for each setting; training settings "train.lr"; and weights, data,
 *   preprocessing, batch size, threads, backend, matrix kernels, seed, what is timed, machine, code.
 * What follows from another factor is none of its own: another model has other weights, and images of its own size. */
#ifndef HARNESS_FACTORS_H
#define HARNESS_FACTORS_H

#include "engine/json.h"

enum { FACTORS_MAX = 64, FACTOR_NAME = 64 };

struct Factors {
    char name[FACTORS_MAX][FACTOR_NAME];
    int  n;
};
typedef struct Factors Factors;

/* Adds those in which a and b differ, each once; more than FACTORS_MAX are not told apart. */
void factors_between(Factors *f, const json_t *a, const json_t *b);

/* The same without machine and code, and "model" once for all its settings: what one run against one other may differ in. */
void factors_of_pair(Factors *f, const json_t *a, const json_t *b);

/* Whether a list such as "model, batch size" names the factor, or a whole it is part of ("model": "model.recursions"). */
bool factors_declared(const char *list, const char *name);

/* "model, threads" */
void factors_text(const Factors *f, char *text, size_t size);

#endif
