/* How two quantities go together, in [-1, 1]: Pearson's r of the values, Spearman's rho of their ranks (ties share the mean of
 * theirs). NAN where either has one value only, and for n < 2: there is nothing to correlate. */
#ifndef HARNESS_CORRELATION_H
#define HARNESS_CORRELATION_H

double correlation_pearson(const double *x, const double *y, int n);

/* Ranks 1..n of x into rank (n); order (n) is working memory. Spearman's rho is the Pearson correlation of two such. */
void correlation_ranks(const double *x, int n, int *order, double *rank);

#endif
