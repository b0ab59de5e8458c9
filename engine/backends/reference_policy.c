/* Attention under a policy and pooled halves as their formulas say: sums in double, one thread, never tuned. */
#include "engine/backends/reference_policy.h"

#include <math.h>

enum { SPAN = 1024 };                  /* entries of a head summed at a time: wider heads are gone through span by span */

/* scale q_i.k_j; rows of the whole batch */
static double score(const AttentionArgs *a, int h, int64_t i, int64_t j) {
    const Real *q = a->q + i * a->q_ld + h * a->q_head, *k = a->k + j * a->k_ld + h * a->k_head;
    double      dot = 0;
    for (int e = 0; e < a->E; e++) dot += (double)q[e] * (double)k[e];
    return dot * (double)a->scale;
}

static double weight_of(const PolicyAttentionArgs *p, int64_t i, int64_t j) { return i == j ? 1.0 : (double)p->policy[j]; }

void reference_policy_attention(const PolicyAttentionArgs *p) {
    const AttentionArgs *a = &p->a;
    for (int s = 0; s < a->n_sequences; s++)
        for (int h = 0; h < a->H; h++)
            for (int64_t first = a->q_offset[s], end = a->q_offset[s + 1], i = first; i < end; i++) {
                double max = -INFINITY, sum = 0;
                for (int64_t j = first; j < end; j++) max = fmax(max, score(a, h, i, j));
                for (int from = 0; from < a->Ev; from += SPAN) {
                    const int n = a->Ev - from < SPAN ? a->Ev - from : SPAN;
                    double    mixed[SPAN] = {0};
                    sum = 0;
                    for (int64_t j = first; j < end; j++) {
                        const double A = exp(score(a, h, i, j) - max) * weight_of(p, i, j);
                        const Real  *v = a->v + j * a->v_ld + h * a->v_head + from;
                        sum += A;
                        for (int e = 0; e < n; e++) mixed[e] += (A + (double)p->eps / (double)(end - first)) * (double)v[e];
                    }
                    for (int e = 0; e < n; e++) a->out[(i * a->H + h) * a->Ev + from + e] = (Real)(mixed[e] / (sum + (double)p->eps));
                }
                if (p->maximum != NULL) p->maximum[i * a->H + h] = (Real)max;
                if (p->sum != NULL)     p->sum[i * a->H + h] = (Real)(sum + (double)p->eps);
            }
}

static void add_to(double x, Real *to) { *to = (Real)((double)*to + x); }

/* Row i of head h: adds to every gradient. */
static void backward_row(const PolicyAttentionArgs *p, int h, int64_t first, int64_t end, int64_t i) {
    const AttentionArgs *a = &p->a;
    const double         max = (double)p->maximum[i * a->H + h], S = (double)p->sum[i * a->H + h], share = (double)p->eps / (double)(end - first);
    const Real          *dout = a->dout + (i * a->H + h) * a->Ev, *out = a->out + (i * a->H + h) * a->Ev, *q = a->q + i * a->q_ld + h * a->q_head;
    Real                *dq = a->dq + i * a->q_ld + h * a->q_head;
    double               r = 0, all = 0, highest = -INFINITY;
    int64_t              best = first;
    for (int e = 0; e < a->Ev; e++) r += (double)dout[e] * (double)out[e];
    for (int pass = 0; pass < 2; pass++)                       /* the second knows how much the maximum's key gives back */
        for (int64_t j = first; j < end; j++) {
            const Real  *v = a->v + j * a->v_ld + h * a->v_head, *k = a->k + j * a->k_ld + h * a->k_head;
            const double s = score(a, h, i, j), e_ij = exp(s - max), A = e_ij * weight_of(p, i, j);
            double       g = 0;
            for (int e = 0; e < a->Ev; e++) g += (double)dout[e] * (double)v[e];
            const double dA = (g - r) / S;
            if (pass == 0) {
                all += dA * A;
                if (s > highest) {
                    highest = s;
                    best    = j;
                }
                continue;
            }
            const double ds = (double)a->scale * (dA * A - (j == best ? all : 0));
            for (int e = 0; e < a->E; e++) {
                add_to(ds * (double)k[e], &dq[e]);
                add_to(ds * (double)q[e], &a->dk[j * a->k_ld + h * a->k_head + e]);
            }
            for (int e = 0; e < a->Ev; e++) add_to((A + share) / S * (double)dout[e], &a->dv[j * a->v_ld + h * a->v_head + e]);
            if (p->dpolicy != NULL && i != j) add_to(dA * e_ij, &p->dpolicy[j]);
        }
}

void reference_policy_attention_backward(const PolicyAttentionArgs *p) {
    for (int s = 0; s < p->a.n_sequences; s++)
        for (int h = 0; h < p->a.H; h++)
            for (int64_t i = p->a.q_offset[s]; i < p->a.q_offset[s + 1]; i++) backward_row(p, h, p->a.q_offset[s], p->a.q_offset[s + 1], i);
}

static double policy_sum(const PoolHalfArgs *a, int s) {
    double sum = 0;
    for (int64_t i = a->offset[s]; i < a->offset[s + 1]; i++) sum += a->policy != NULL ? (double)a->policy[i] : 1;
    return sum;
}

void reference_pool_half(const PoolHalfArgs *a) {
    const int64_t half = a->D / 2;
    for (int s = 0; s < a->n_sequences; s++) {
        const double total = policy_sum(a, s);
        for (int64_t d = 0; d < half; d++) {
            double sum = 0;
            for (int64_t i = a->offset[s]; i < a->offset[s + 1]; i++)
                sum += (a->policy != NULL ? (double)a->policy[i] : 1) * (double)a->x[i * a->D + half + d];
            for (int64_t i = a->offset[s]; i < a->offset[s + 1]; i++) {
                a->y[i * a->D + d]        = a->x[i * a->D + d];
                a->y[i * a->D + half + d] = (Real)(total != 0 ? sum / total : 0);
            }
        }
    }
}

void reference_pool_half_backward(const PoolHalfArgs *a) {
    const int64_t half = a->D / 2;
    for (int s = 0; s < a->n_sequences; s++) {
        const double total = policy_sum(a, s);
        for (int64_t d = 0; d < half; d++) {
            double G = 0;
            for (int64_t i = a->offset[s]; i < a->offset[s + 1]; i++) G += (double)a->dy[i * a->D + half + d];
            for (int64_t i = a->offset[s]; i < a->offset[s + 1]; i++) {
                const double p = a->policy != NULL ? (double)a->policy[i] : 1;
                if (a->dx != NULL) add_to((double)a->dy[i * a->D + d], &a->dx[i * a->D + d]);
                if (total == 0) continue;
                if (a->dx != NULL) add_to(p * G / total, &a->dx[i * a->D + half + d]);
                if (a->dpolicy != NULL)
                    add_to(G * ((double)a->x[i * a->D + half + d] - (double)a->y[i * a->D + half + d]) / total, &a->dpolicy[i]);
            }
        }
    }
}
