/* Trials of the kernels that routing needs; included by test_backends.c alone. Inputs are at most 3 in magnitude. */
#ifndef TESTS_BACKEND_ROUTING_TRIALS_H
#define TESTS_BACKEND_ROUTING_TRIALS_H

#include "tests/backend_trial.h"

static int32_t *distinct_rows(Trial *t, int64_t n, int64_t n_rows) {
    int32_t *index = block(t, (size_t)n * sizeof *index);
    for (int64_t i = 0; i < n; i++) index[i] = (int32_t)((i * 7 + 3) % n_rows);       /* distinct for n_rows = 7 n + 2 */
    return index;
}

typedef struct CombineTrial { CombineArgs a; int64_t n_rows; int32_t *gate_at; } CombineTrial;

static CombineTrial combine_trial(Trial *t, int64_t n, int64_t D, bool paper) {
    CombineTrial c = {.n_rows = 7 * n + 2, .gate_at = block(t, (size_t)n * sizeof(int32_t))};
    c.a = (CombineArgs){.n = n, .D = D, .paper = paper, .index = distinct_rows(t, n, c.n_rows), .gate_at = c.gate_at, .gate = reals(t, n + 1),
                        .constant = (Real)0.3, .y = reals(t, n * D), .base = reals(t, n * D)};
    for (int64_t i = 0; i < n; i++) c.gate_at[i] = i % 4 == 1 ? COMBINE_PLAIN : i % 4 == 2 ? COMBINE_CONSTANT : (int32_t)(n - i);
    return c;
}

static void trial_combine_rows(Trial *t) {
    EACH_MATRIX(t, n, D) for (int choice = 0; choice < 4; choice++) {
        CombineTrial c = combine_trial(t, n, D, choice & 1);
        const Output h = output(t, c.n_rows * D);
        if (choice & 2) c.a.base = NULL;
        EACH_RUN(t, be) {
            c.a.h = h.of[run];
            be->combine_rows(&c.a);
        }
        compare_simple(t, "h", c.n_rows * D, h, 2 * eps, 4 * eps * 3 * (3 + 1));      /* (1-g) base + g y, |g| <= 3 */
    }
}

static void trial_combine_rows_backward(Trial *t) {
    EACH_MATRIX(t, n, D) for (int paper = 0; paper < 2; paper++) {
        CombineTrial c = combine_trial(t, n, D, paper);
        const Output dh = output(t, c.n_rows * D), dy = output(t, n * D), dbase = output(t, n * D), dgate = output(t, n + 1);
        EACH_RUN(t, be) {
            c.a.dh    = dh.of[run];
            c.a.dy    = dy.of[run];
            c.a.dbase = dbase.of[run];
            c.a.dgate = dgate.of[run];
            be->combine_rows_backward(&c.a);
        }
        compare_simple(t, "dh", c.n_rows * D, dh, 0, 0);
        compare_simple(t, "dy", n * D, dy, 2 * eps, 4 * eps * 3 * 3);
        compare_simple(t, "dbase", n * D, dbase, 2 * eps, 4 * eps * 4 * 3);
        compare_simple(t, "dgate", n + 1, dgate, 2 * eps, ((double)D + 4) * eps * (double)D * 3);      /* sum of D products, about N(0,2) each */
    }
}

static void trial_row_dots(Trial *t) {
    EACH_MATRIX(t, n, D) {
        const int32_t *index = distinct_rows(t, n, 7 * n + 2);
        const Real    *x = reals(t, (7 * n + 2) * D), *w = reals(t, D);
        const Output   y = output(t, n);
        EACH_RUN(t, be) be->row_dots(n, D, x, index, w, y.of[run]);
        compare_simple(t, "y", n, y, 0, ((double)D + 4) * eps * (double)D);
    }
}

static void trial_row_dots_backward(Trial *t) {
    EACH_MATRIX(t, n, D) for (int choice = 0; choice < 3; choice++) {
        const int32_t *index = distinct_rows(t, n, 7 * n + 2);
        const Real    *x = reals(t, (7 * n + 2) * D), *w = reals(t, D), *dy = reals(t, n);
        const Output   dx = output(t, (7 * n + 2) * D), dw = output(t, D);
        EACH_RUN(t, be) be->row_dots_backward(n, D, x, index, w, dy, choice == 1 ? NULL : dx.of[run], choice == 2 ? NULL : dw.of[run]);
        compare_simple(t, "dx", (7 * n + 2) * D, dx, 0, 4 * eps * 9);
        compare_simple(t, "dw", D, dw, 2 * eps, ((double)n + 4) * eps * (double)(n + 3));
    }
}

static void trial_relu(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *x = reals(t, n);
        const Output y = output(t, n);
        EACH_RUN(t, be) be->relu(n, x, y.of[run]);
        compare_simple(t, "y", n, y, 0, 0);
    }
}

static void trial_relu_backward(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *x = reals(t, n), *dy = reals(t, n);
        const Output dx = output(t, n);
        EACH_RUN(t, be) be->relu_backward(n, x, dy, dx.of[run]);
        compare_simple(t, "dx", n, dx, 0, 0);
    }
}

static void trial_scaled_columns_add(Trial *t) {
    EACH_MATRIX(t, M, D) {
        const Real  *x = reals(t, M * D), *gain = reals(t, D);
        const Output y = output(t, M * D);
        EACH_RUN(t, be) be->scaled_columns_add(M, D, x, gain, y.of[run]);
        compare_simple(t, "y", M * D, y, 0, 3 * eps * 12);
    }
}

static void trial_scaled_columns_add_backward(Trial *t) {
    EACH_MATRIX(t, M, D) for (int choice = 0; choice < 3; choice++) {
        const Real  *x = reals(t, M * D), *gain = reals(t, D), *dy = reals(t, M * D);
        const Output dx = output(t, M * D), dgain = output(t, D);
        EACH_RUN(t, be) be->scaled_columns_add_backward(M, D, x, gain, dy, choice == 1 ? NULL : dx.of[run], choice == 2 ? NULL : dgain.of[run]);
        compare_simple(t, "dx", M * D, dx, 0, 3 * eps * 12);
        compare_simple(t, "dgain", D, dgain, 2 * eps, ((double)M + 4) * eps * (double)(M + 3));
    }
}

/* Rows in a ring, some neighbours missing. */
static NeighbourArgs ring(Trial *t, int64_t n, int64_t D) {
    int32_t *near = block(t, (size_t)(9 * n) * sizeof *near);
    for (int64_t k = 0; k < 9 * n; k++) near[k] = below(t, 3) == 0 ? -1 : (int32_t)((k / 9 + k % 9) % n);
    return (NeighbourArgs){.n = n, .D = D, .neighbour = near, .x = reals(t, n * D), .w = reals(t, 9 * D), .dy = reals(t, n * D)};
}

static void trial_neighbour_mix(Trial *t) {
    EACH_MATRIX(t, n, D) {
        NeighbourArgs a = ring(t, n, D);
        const Output  y = output(t, n * D);
        EACH_RUN(t, be) {
            a.y = y.of[run];
            be->neighbour_mix(&a);
        }
        compare_simple(t, "y", n * D, y, 0, 11 * eps * 9 * 9);
    }
}

static void trial_neighbour_mix_backward(Trial *t) {
    EACH_MATRIX(t, n, D) {
        NeighbourArgs a  = ring(t, n, D);
        const Output  dx = output(t, n * D), dw = output(t, 9 * D);
        EACH_RUN(t, be) {
            a.dx = dx.of[run];
            a.dw = dw.of[run];
            be->neighbour_mix_backward(&a);
        }
        compare_simple(t, "dx", n * D, dx, 0, 40 * eps * 9 * 9);
        compare_simple(t, "dw", 9 * D, dw, 2 * eps, ((double)n + 4) * eps * (double)(n + 3));
    }
}

static void trial_gate(Trial *t) {
    EACH_LENGTH(t, n) for (int kind = 0; kind < 3; kind++) {
        const Real  *x = reals(t, n);
        const Output y = output(t, n);
        EACH_RUN(t, be) be->gate(n, (GateActivation)kind, (Real)0.7, x, y.of[run]);
        compare_simple(t, "y", n, y, 4 * eps, 4 * eps);
    }
}

static void trial_gate_backward(Trial *t) {
    EACH_LENGTH(t, n) for (int kind = 0; kind < 3; kind++) {
        const Real  *x = reals(t, n), *dy = reals(t, n);
        const Output dx = output(t, n);
        EACH_RUN(t, be) be->gate_backward(n, (GateActivation)kind, (Real)0.7, x, dy, dx.of[run]);
        compare_simple(t, "dx", n, dx, 4 * eps, 8 * eps);
    }
}

static void trial_binary_cross_entropy(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *s = reals(t, 7 * n + 2);
        uint8_t     *target = block(t, (size_t)n);
        const Output ds = output(t, 7 * n + 2), loss = output(t, 1);
        BceArgs      a = {.n = n, .s = s, .at = distinct_rows(t, n, 7 * n + 2), .target = target, .scale = (Real)0.5};
        for (int64_t i = 0; i < n; i++) target[i] = (uint8_t)below(t, 2);
        EACH_RUN(t, be) {
            double mean;
            a.loss = &mean;
            a.ds   = ds.of[run];
            be->binary_cross_entropy(&a);
            loss.of[run][0] = (Real)mean;
        }
        compare_simple(t, "ds", 7 * n + 2, ds, 2 * eps, n > 0 ? 4 * eps : 0);
        compare_simple(t, "loss", 1, loss, 4 * eps, 0);
    }
}

static void trial_log_sum_exp_rows(Trial *t) {
    EACH_MATRIX(t, M, N) {
        const Real  *x = reals(t, M * N);
        const Output lse = output(t, M);
        EACH_RUN(t, be) be->log_sum_exp_rows(M, N, x, lse.of[run]);
        compare_simple(t, "lse", M, lse, 4 * eps, ((double)N + 16) * eps);
    }
}

static int32_t *depths(Trial *t, int64_t M, int64_t L) {
    int32_t *depth = block(t, (size_t)M * sizeof *depth);
    for (int64_t i = 0; i < M; i++) depth[i] = 1 + below(t, (int)L);
    return depth;
}

static void trial_depth_gates(Trial *t) {
    EACH_MATRIX(t, M, L) {
        const Real    *soft = reals(t, M * L), *anchor = reals(t, M * L);
        const int32_t *depth = depths(t, M, L);
        const Output   gate = output(t, M * L);
        EACH_RUN(t, be) be->depth_gates(M, L, depth, soft, anchor, gate.of[run]);
        compare_simple(t, "gate", M * L, gate, 2 * eps, (double)L * (double)L * 6 * eps);
    }
}

static void trial_depth_gates_backward(Trial *t) {
    EACH_MATRIX(t, M, L) {
        const Real  *dgate = reals(t, M * L);
        const Output dsoft = output(t, M * L);
        EACH_RUN(t, be) be->depth_gates_backward(M, L, dgate, dsoft.of[run]);
        compare_simple(t, "dsoft", M * L, dsoft, 2 * eps, (double)L * (double)L * 3 * eps);
    }
}

#endif
