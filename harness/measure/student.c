/* Student's t for whole degrees of freedom, as finite sums (Abramowitz & Stegun 26.7.3 and 26.7.4). See student.h. */
#include "harness/measure/student.h"

#include "engine/error.h"

#include <math.h>

/* With theta = atan(t/sqrt(dof)), A = P(|T| < t):
 *   dof odd   2/pi (theta + sin theta (cos theta + 2/3 cos^3 theta + ... up to cos^(dof-2)))
 *   dof even  sin theta (1 + 1/2 cos^2 theta + 1 3/(2 4) cos^4 theta + ... up to cos^(dof-2)) */
double student_two_sided(double t, int dof) {
    CHECK(dof >= 1 && t >= 0, "t %g with %d degrees of freedom", t, dof);
    if (isinf(t)) return 0;
    const double theta = atan(t / sqrt((double)dof)), c = cos(theta), s = sin(theta);
    double       sum = 0, term = dof % 2 == 1 ? c : 1;
    for (int power = dof % 2 == 1 ? 1 : 0; power <= dof - 2; power += 2) {
        sum += term;
        term *= c * c * (power + 1) / (power + 2);
    }
    const double inside = dof % 2 == 1 ? 2 / M_PI * (theta + s * sum) : s * sum;
    return fmax(0, 1 - inside);
}

double student_quantile(double p, int dof) {
    double low = 0, high = 1;
    CHECK(p > 0 && p < 1, "quantile for p = %g", p);
    while (student_two_sided(high, dof) > p && high < 1e12) high *= 2;
    for (int i = 0; i < 200 && low < high; i++) {                      /* halves until the two are neighbours */
        const double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high) break;
        if (student_two_sided(middle, dof) > p) low = middle;
        else                                    high = middle;
    }
    return high;
}

Student student_mean(const double *x, size_t n, double expected) {
    Student s = {.n = n, .sd = NAN, .low = NAN, .high = NAN, .p = NAN};
    double  m2 = 0;
    CHECK(n >= 1, "mean of no values");
    for (size_t i = 0; i < n; i++) {
        const double d = x[i] - s.mean;
        s.mean += d / (double)(i + 1);
        m2     += d * (x[i] - s.mean);
    }
    if (n < 2) return s;
    const int    dof   = (int)n - 1;
    const double error = sqrt(m2 / dof / (double)n), reach = student_quantile(0.05, dof) * error;
    s.sd   = sqrt(m2 / dof);
    s.low  = s.mean - reach;
    s.high = s.mean + reach;
    s.p    = error > 0 ? student_two_sided(fabs(s.mean - expected) / error, dof) : s.mean == expected ? 1 : 0;
    return s;
}
