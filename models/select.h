/* The best k of n scores, for every model that keeps some tokens: one rule, so that differences come from the method. */
#ifndef MODELS_SELECT_H
#define MODELS_SELECT_H

#include "engine/tensor.h"

/* chosen[i] = whether i is among the k of largest score[at[i]], i = 0 .. n-1. Ties go to the lower i; a score that is no number
 * comes last. Linear in n on average. order: n ints of working memory. */
void select_best(int n, const Real *score, const int32_t at[], int k, uint8_t chosen[], int32_t order[]);

#endif
