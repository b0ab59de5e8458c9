/* Token choice (Bae et al. 2025, section 2.2, as the official code has it): before recursion 1 one net gives every token
 * logits z of R depths; p = softmax(z / temperature), depth d = argmax p (+ bias of the loss-free balance), weight w = p_d.
 * Recursion r has the tokens with d >= r. Unfinished rows pass on unweighted; a row that finishes becomes
 *   delta: h0 + w (Y - h0)     paper: h0 + w Y     h0 = input of recursion 1.     Class token: d = R, w = 1.
 * combine soft (after SoftMoR): no token stops, and the result is sum_r p_r Y^r. */
#include "models/mor_route.h"

#include "engine/clock.h"

#include <string.h>

static int n_outputs(const MorVit *m) { return m->recursions; }

static int best_depth(int R, const Real *p, const Real *bias) {
    int best = 0;
    for (int j = 1; j < R; j++)
        if (p[j] + (bias != NULL ? bias[j] : 0) > p[best] + (bias != NULL ? bias[best] : 0)) best = j;
    return best + 1;
}

static void decide(MorRun *run, const Tensor *p) {
    MorVit        *m     = run->m;
    const int32_t *given = run->in->given != NULL ? run->in->given->depth : NULL;
    const uint64_t began = clock_now_ns();
    scope_open(run->tape, "select", -1);
    for (int i = 0; i < run->all->n; i++) {
        const bool cls = run->all->rows.patch[i] < 0;
        run->depth[i]  = m->combine == COMBINE_RULE_SOFT ? m->recursions : given != NULL ? given[i] : cls ? m->recursions
                       : best_depth(m->recursions, p->data + (int64_t)i * m->recursions, m->router_bias != NULL ? m->router_bias->data : NULL);
        CHECK(run->depth[i] >= 1 && run->depth[i] <= m->recursions, "token %d is given depth %d of %d", i, run->depth[i], m->recursions);
        if (run->losses && !cls) m->load[run->depth[i] - 1]++;
    }
    tape_count_time(run->tape, "select", began);
    scope_close_many(run->tape, NULL, 0);
}

static void begin(MorRun *run, Tensor *h) {
    MorVit       *m = run->m;
    Tape         *t = run->tape;
    const int64_t n_patches = (int64_t)run->B * m->n_patches;
    scope_open(t, "router", -1);
    Tensor *z = router_net_scores(run, &m->net[0], m->router_detach ? detached(t, h) : h, &run->all->rows);
    run_add_router_losses(run, z, run->patch_rows, run->patch_rows, n_patches);
    run->gates = op_softmax(t, m->temperature == 1 ? z : op_scale(t, z, 1 / m->temperature));
    run->gates = scope_close(t, run->gates);
    if (m->combine == COMBINE_RULE_DELTA || m->combine == COMBINE_RULE_PAPER) run->h0 = h;
    if (!tape_failed(t)) decide(run, run->gates);
}

static void choose(MorRun *run, Tensor *h, int r, MorRoute *route) {
    const MorVit *m    = run->m;
    uint8_t      *mark = tape_alloc(run->tape, (size_t)run->all->n + 1);
    (void)h;
    if (mark == NULL) return;
    for (int i = 0; i < run->all->n; i++) mark[i] = run->depth[i] > r;
    route_keep(run, route, mark);
    if (m->combine == COMBINE_RULE_REPLACE || m->combine == COMBINE_RULE_SOFT) return;
    route->gate = run->gates;
    route->base = run->h0;
    for (int i = 0; i < route->next->n; i++) {
        const int row = route->next->index[i];
        if (run->depth[row] != r + 1) continue;
        if (route->next->rows.patch[i] >= 0)          route->gate_at[i] = row * m->recursions + r;
        else if (m->combine == COMBINE_RULE_PAPER)    route->gate_at[i] = COMBINE_CONSTANT;
    }
}

/* Rows that finish; soft: all, into the mixture. The class token is a row of its own but under paper. */
static int64_t gated_rows(const MorVit *m, int64_t t, int64_t after, bool last) {
    if (m->combine == COMBINE_RULE_SOFT)    return last ? t - 1 : t;
    if (m->combine == COMBINE_RULE_REPLACE) return 0;
    return last ? t - (m->combine == COMBINE_RULE_DELTA) : t - after;
}

/* Temperature and softmax. */
static int answer_cost(const MorVit *m) { return (m->temperature != 1) + 2; }

const Router router_token = {.name = "token", .paper = "Bae et al. 2025, Mixture-of-Recursions, token choice", .learned = true, .depth_weights = true,
                             .n_outputs = n_outputs, .begin = begin, .choose = choose, .gated_rows = gated_rows, .answer_cost = answer_cost};
