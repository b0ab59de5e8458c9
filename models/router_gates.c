/* What a scored token's update is worth, of the routers that keep shares of the tokens by a net (expert, random_gated):
 *   s = net_r(h) / temperature (or, with placement once, entry r of one net's answer on the embedded tokens),  g = alpha act(s) */
#include "models/mor_route.h"

int router_gates_outputs(const MorVit *m) { return m->recursions; }

int64_t router_gates_rows(const MorVit *m, int64_t t, int64_t after, bool last) {
    (void)after; (void)last;
    if (m->combine == COMBINE_RULE_REPLACE) return 0;
    return t - (m->cls == CLS_ALWAYS && m->combine == COMBINE_RULE_DELTA);       /* whose gate is one */
}

/* Temperature and gate. */
int router_gates_answer_cost(const MorVit *m) {
    return (m->temperature != 1) + (m->router_placement == PLACEMENT_ONCE || m->combine != COMBINE_RULE_REPLACE);
}

static Tensor *tempered(const MorRun *run, Tensor *scores) {
    return run->m->temperature == 1 ? scores : op_scale(run->tape, scores, 1 / run->m->temperature);
}

void router_gates_embedded(MorRun *run, Tensor *x) {
    const MorVit *m = run->m;
    if (m->router_placement != PLACEMENT_ONCE) return;
    scope_open(run->tape, "router", -1);
    run->scores = tempered(run, router_net_scores(run, &m->net[0], m->router_detach ? detached(run->tape, x) : x, &run->all->rows));
    run->gates  = op_gate(run->tape, run->scores, (GateActivation)m->activation, m->alpha);
    scope_close_many(run->tape, (Tensor **[]){&run->scores, &run->gates}, 2);
}

void router_gates(MorRun *run, Tensor *h, int r, Candidates *c, Tensor **scores, Tensor **gates) {
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

void router_gates_losses(MorRun *run, int r, Tensor *scores, const Candidates *c) {
    const double aux = run->m->router->drawn ? 0 : run->m->aux_weight, z = run->m->z_weight;
    if (!run->losses || (aux == 0 && z == 0) || tape_failed(run->tape)) return;
    scope_open(run->tape, "router", -1);
    if (aux > 0) sum_up(run, &run->aux_bce, op_selection_bce(run->tape, scores, c->at, c->chosen, c->n));
    if (z > 0)   sum_up(run, &run->z_loss, op_z_loss(run->tape, scores));
    if (r == run->m->recursions - 1) {
        if (aux > 0) run_add_loss(run, "aux_bce", run->aux_bce, aux);
        if (z > 0)   run_add_loss(run, "z_loss", run->z_loss, z);
    }
    scope_close_many(run->tape, NULL, 0);
}
