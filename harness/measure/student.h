/* Mean of a few independent values with its interval by Student's t: for seeds, of which there are too few for anything that
 * assumes less. The values are taken as normal; differences of two models trained with equal seeds are used as pairs.
 *
 * Ownership: nothing outlives a call. */
#ifndef HARNESS_STUDENT_H
#define HARNESS_STUDENT_H

#include <stddef.h>

#define STUDENT_INTERVAL_METHOD "student_t95"

typedef struct Student {
    size_t n;
    double mean, sd;                 /* sd: divisor n-1; NAN for n < 2 */
    double low, high;                /* 95 % interval of the mean; NAN for n < 2 */
    double p;                        /* two-sided: the mean is `expected`; NAN for n < 2 */
} Student;

/* n >= 1 finite values. Values without any spread have an interval of one point, and p is 0 or 1. */
Student student_mean(const double *x, size_t n, double expected);

/* P(|T| > t) of Student's distribution with dof >= 1 degrees of freedom; t >= 0. */
double student_two_sided(double t, int dof);
/* t that leaves p beside it, on both sides together; 0 < p < 1. */
double student_quantile(double p, int dof);

#endif
