/* Expert choice (Bae et al. 2025, section 2.2): recursion r keeps the k_r best-scored of the tokens that recursion r-1 kept.
 *   s = net_r(h) / temperature (or, with placement once, entry r of one net's answer on the embedded tokens),  g = alpha act(s)
 * Selections are nested; a token that leaves never comes back. The class token always goes on (cls: always) or competes.
 * Training adds BCE(s, chosen), averaged over the candidates of the batch and summed over the recursions. */
#include "models/mor_route.h"

static int n_outputs(const MorVit *m) { return m->recursions; }

static int64_t gated_rows(const MorVit *m, int64_t t, int64_t after, bool last) {
    (void)after; (void)last;
    if (m->combine == COMBINE_RULE_REPLACE) return 0;
    return t - (m->cls == CLS_ALWAYS && m->combine == COMBINE_RULE_DELTA);       /* whose gate is one */
}

/* Temperature and gate. */
static int answer_cost(const MorVit *m) { return (m->temperature != 1) + (m->router_placement == PLACEMENT_ONCE || m->combine != COMBINE_RULE_REPLACE); }

static Tensor *tempered(const MorRun *run, Tensor *scores) {
    return run->m->temperature == 1 ? scores : op_scale(run->tape, scores, 1 / run->m->temperature);
}

static void embedded(MorRun *run, Tensor *x) {
    const MorVit *m = run->m;
    if (m->router_placement != PLACEMENT_ONCE) return;
    scope_open(run->tape, "router", -1);
    run->scores = tempered(run, router_net_scores(run, &m->net[0], m->router_detach ? detached(run->tape, x) : x, &run->all->rows));
    run->gates  = op_gate(run->tape, run->scores, (GateActivation)m->activation, m->alpha);
    scope_close_many(run->tape, (Tensor **[]){&run->scores, &run->gates}, 2);
}

/* Scores and gates of the candidates, and where in them each finds its own. */
static void score(MorRun *run, Tensor *h, int r, Candidates *c, Tensor **scores, Tensor **gates) {
    const MorVit *m = run->m;
    Tape         *t = run->tape;
    if (m->router_placement == PLACEMENT_ONCE) {
        for (int i = 0; i < c->n; i++) c->at[i] = c->row[i] * m->recursions + r;
        *scores = run->scores;
        *gates  = run->gates;
        return;
    }
    scope_open(t, "router", -1);
    const RouterNet *net = &m->net[r];
    Tensor          *x   = m->router_detach ? detached(t, h) : h;
    if (m->router_net == NET_LINEAR) {
        *scores = op_row_scores(t, x, net->w[0], c->row, c->n);
    } else {
        int32_t *patch = tape_alloc(t, (size_t)(c->n + 1) * sizeof *patch);
        for (int i = 0; patch != NULL && i < c->n; i++) patch[i] = run->all->rows.patch[c->row[i]];
        const TokenRows rows = {run->B, c->offset, patch, run->in->image_id};
        *scores = router_net_scores(run, net, op_gather_rows(t, x, c->row, patch != NULL ? c->n : 0), &rows);
    }
    *scores = tempered(run, *scores);
    *gates = m->combine == COMBINE_RULE_REPLACE ? NULL : op_gate(t, *scores, (GateActivation)m->activation, m->alpha);
    scope_close_many(t, (Tensor **[]){scores, gates}, 2);
}

static void sum_up(MorRun *run, Tensor **sum, Tensor *value) { *sum = *sum == NULL ? value : op_add(run->tape, *sum, value); }

static void choose(MorRun *run, Tensor *h, int r, MorRoute *route) {
    Candidates c;
    Tensor    *scores = NULL, *gates = NULL;
    if (!candidates_of(run, &c)) return;
    score(run, h, r, &c, &scores, &gates);
    if (tape_failed(run->tape)) return;
    scope_open(run->tape, "select", -1);
    candidates_choose(run, &c, scores->data, r);
    if (!tape_failed(run->tape)) candidates_route(run, route, &c, gates);
    scope_close_many(run->tape, NULL, 0);
    if (!run->losses || (run->m->aux_weight == 0 && run->m->z_weight == 0) || tape_failed(run->tape)) return;
    scope_open(run->tape, "router", -1);
    sum_up(run, &run->aux_bce, op_selection_bce(run->tape, scores, c.at, c.chosen, c.n));
    if (run->m->z_weight > 0) sum_up(run, &run->z_loss, op_z_loss(run->tape, scores));
    if (r == run->m->recursions - 1) {
        run_add_loss(run, "aux_bce", run->aux_bce, run->m->aux_weight);
        if (run->z_loss != NULL) run_add_loss(run, "z_loss", run->z_loss, run->m->z_weight);
    }
    scope_close_many(run->tape, NULL, 0);
}

const Router router_expert = {.name = "expert", .paper = "Bae et al. 2025, Mixture-of-Recursions, expert choice", .capacities = true,
                              .learned = true, .n_outputs = n_outputs, .embedded = embedded, .choose = choose, .gated_rows = gated_rows, .answer_cost = answer_cost};
