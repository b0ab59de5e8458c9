/* Lists of active rows, selection among candidates, and the router's losses (mor_route.h). */
#include "models/mor_route.h"

#include "engine/clock.h"
#include "engine/rng.h"
#include "models/select.h"

#include <math.h>
#include <string.h>

/* ---- a pass ---- */

bool run_begin(MorRun *run, MorVit *m, Tape *tape, const ModelInput *in, ModelOutput *out) {
    const int        B    = (int)in->images->dim[0];
    const TokenRows *rows = vit_rows(tape, B, 1, m->n_patches, in->image_id);
    const int64_t    n    = (int64_t)B * m->T;
    *run = (MorRun){.m = m, .tape = tape, .in = in, .out = out, .B = B, .training = tape_step(tape).training};
    run->losses = run->training && tape_recording(tape);
    run->all        = tape_alloc(tape, sizeof *run->all);      /* backward passes read it too */
    int32_t *index  = tape_alloc(tape, (size_t)n * sizeof *index);
    if (rows == NULL || run->all == NULL || index == NULL) return false;
    *run->all       = (ActiveRows){*rows, index, (int)n};
    run->depth      = tape_alloc(tape, (size_t)n * sizeof *run->depth);
    run->taken      = tape_alloc(tape, (size_t)n * sizeof *run->taken);
    run->patch_rows = tape_alloc(tape, (size_t)n * sizeof *run->patch_rows);
    out->active     = tape_alloc(tape, (size_t)B * (size_t)m->n_steps * sizeof *out->active);
    if (tape_failed(tape)) return false;
    for (int i = 0, k = 0; i < n; i++) {
        run->all->index[i] = i;
        if (rows->patch[i] >= 0) run->patch_rows[k++] = i;
    }
    memset(run->depth, 0, (size_t)n * sizeof *run->depth);
    memset(run->taken, 0, (size_t)n * sizeof *run->taken);
    run->active = run->all;
    return true;
}

/* ---- routes ---- */

bool route_begin(MorRun *run, MorRoute *route) {
    const size_t n = (size_t)run->active->n + 1;
    ActiveRows  *next   = tape_alloc(run->tape, sizeof *next);
    int32_t     *index  = tape_alloc(run->tape, n * sizeof *index), *patch = tape_alloc(run->tape, n * sizeof *patch);
    int32_t     *offset = tape_alloc(run->tape, (size_t)(run->B + 1) * sizeof *offset);
    *route = (MorRoute){.next = next, .gate_at = tape_alloc(run->tape, n * sizeof *route->gate_at), .constant = 1};
    if (tape_failed(run->tape)) return false;
    *next = (ActiveRows){{.n_images = run->B, .offset = offset, .patch = patch, .image_id = run->in->image_id}, index, 0};
    return true;
}

void route_keep(MorRun *run, MorRoute *route, const uint8_t mark[]) {
    const ActiveRows *from = run->active;
    ActiveRows       *to   = route->next;
    int32_t *offset = (int32_t *)(uintptr_t)to->rows.offset, *patch = (int32_t *)(uintptr_t)to->rows.patch;
    int      n = 0;
    for (int b = 0; b < run->B; b++) {
        offset[b] = n;
        for (int i = from->rows.offset[b]; i < from->rows.offset[b + 1]; i++) {
            if (!mark[from->index[i]]) continue;
            route->gate_at[n] = COMBINE_PLAIN;
            patch[n]          = from->rows.patch[i];
            to->index[n++]    = from->index[i];
        }
    }
    offset[run->B] = to->n = n;
}

void route_end(MorRun *run, MorRoute *route, int s) {
    const ActiveRows *next = route->next;
    CHECK(s > 0 || next->n == run->all->n || (run->m->kv != KV_SHARE && run->m->kv != KV_UPDATE),
          "recursion 1 has %d of %d tokens, but all must leave their keys and values there", next->n, run->all->n);
    route->all_plain = next->n == run->all->n && route->base == NULL;
    for (int i = 0; i < next->n; i++) {
        route->all_plain = route->all_plain && route->gate_at[i] == COMBINE_PLAIN;
        run->taken[next->index[i]]++;
    }
    for (int b = 0; b < run->B; b++) run->out->active[b * run->m->n_steps + s] = next->rows.offset[b + 1] - next->rows.offset[b];
    run->active = route->next;
}

/* ---- selection ---- */

bool candidates_of(MorRun *run, Candidates *c) {
    const ActiveRows *from = run->active;
    const size_t      n    = (size_t)from->n + 1;
    *c = (Candidates){.row = tape_alloc(run->tape, n * sizeof *c->row), .offset = tape_alloc(run->tape, (size_t)(run->B + 1) * sizeof *c->offset),
                      .at = tape_alloc(run->tape, n * sizeof *c->at), .chosen = tape_alloc(run->tape, n)};
    if (tape_failed(run->tape)) return false;
    for (int b = 0; b < run->B; b++) {
        c->offset[b] = c->n;
        for (int i = from->rows.offset[b]; i < from->rows.offset[b + 1]; i++) {
            if (from->rows.patch[i] < 0 && run->m->cls == CLS_ALWAYS) continue;
            c->at[c->n]    = c->n;
            c->row[c->n++] = from->index[i];
        }
    }
    c->offset[run->B] = c->n;
    return true;
}

/* Capacity of recursion r now: warm-up lets all tokens in at first (Bae et al.'s official code, cosine). */
static double capacity_now(const MorRun *run, int r) {
    const double   c = mor_capacity(run->m, r);
    const TapeStep s = tape_step(run->tape);
    const double   steps = run->m->capacity_warmup * (double)s.n_steps;
    if (!run->training || steps <= 0 || (double)s.step >= steps) return c;
    return c + (1 - c) * 0.5 * (1 + cos(3.14159265358979323846 * (double)s.step / steps));
}

static double activation(const MorVit *m, double s) {
    switch ((GateActivation)m->activation) {
    case GATE_SIGMOID: return 1 / (1 + exp(-s));
    case GATE_TANH:    return tanh(s);
    default:           return s;
    }
}

static void choose_best_of_each(const MorRun *run, Candidates *c, const Real *score, int keep, int32_t order[]) {
    for (int b = 0; b < run->B; b++) {
        const int from = c->offset[b], n = c->offset[b + 1] - from;
        select_best(n, score, c->at + from, keep, c->chosen + from, order);
    }
}

void candidates_choose(const MorRun *run, Candidates *c, const Real *score, int r) {
    const MorVit  *m     = run->m;
    const double   capacity = capacity_now(run, r);
    const int      keep  = mor_keep(m, capacity);
    const uint64_t began = clock_now_ns();
    int32_t       *order = tape_alloc(run->tape, (size_t)(c->n + 1) * sizeof *order);
    if (order == NULL) return;
    if (run->in->given != NULL && run->in->given->depth != NULL)
        for (int i = 0; i < c->n; i++) c->chosen[i] = run->in->given->depth[c->row[i]] > r;
    else if (capacity >= 1)                              /* nothing to select, by threshold neither: all go on */
        memset(c->chosen, 1, (size_t)c->n);
    else if (m->select == SELECT_THRESHOLD && !run->training)
        for (int i = 0; i < c->n; i++) c->chosen[i] = activation(m, (double)score[c->at[i]]) > m->threshold;
    else if (m->select == SELECT_BATCHK && !run->training)
        select_best(c->n, score, c->at, keep * run->B, c->chosen, order);
    else
        choose_best_of_each(run, c, score, keep, order);
    /* no image loses its last token: where nothing is always on its way, the best candidate is */
    for (int b = 0; m->cls == CLS_ROUTED && b < run->B; b++) {
        const int from = c->offset[b], n = c->offset[b + 1] - from;
        int       kept = 0;
        for (int i = 0; i < n; i++) kept += c->chosen[from + i];
        if (kept == 0) select_best(n, score, c->at + from, 1, c->chosen + from, order);
    }
    tape_count_time(run->tape, "select", began);
}

void candidates_draw(const MorRun *run, Candidates *c, int r) {
    const TapeStep  step   = tape_step(run->tape);
    const RngStream stream = rng_stream(step.seed, "router");
    Real           *score  = tape_alloc(run->tape, (size_t)(c->n + 1) * sizeof *score);
    if (score == NULL) return;
    for (int b = 0; b < run->B; b++)
        for (int i = c->offset[b]; i < c->offset[b + 1]; i++)
            score[i] = (Real)rng_uniform(stream, (RngKey){.step = step.step, .image = run->in->image_id[b], .layer = r,
                                                          .patch = run->all->rows.patch[c->row[i]]});
    candidates_choose(run, c, score, r);
}

void candidates_route(MorRun *run, MorRoute *route, const Candidates *c, Tensor *gate) {
    const MorVit  *m     = run->m;
    const uint64_t began = clock_now_ns();
    uint8_t       *mark  = tape_alloc(run->tape, (size_t)run->all->n + 1);
    int32_t       *place = tape_alloc(run->tape, (size_t)run->all->n * sizeof *place);
    if (tape_failed(run->tape)) return;
    memset(mark, 0, (size_t)run->all->n);
    for (int i = 0; i < run->active->n; i++) {
        const int row = run->active->index[i];
        mark[row]  = m->cls == CLS_ALWAYS && run->active->rows.patch[i] < 0;
        place[row] = COMBINE_CONSTANT;
    }
    for (int i = 0; i < c->n; i++) {
        mark[c->row[i]]  = c->chosen[i];
        place[c->row[i]] = gate != NULL ? c->at[i] : COMBINE_CONSTANT;
    }
    route_keep(run, route, mark);
    route->gate     = gate;
    route->constant = m->alpha;
    const bool gated = m->combine != COMBINE_RULE_REPLACE, delta = m->combine == COMBINE_RULE_DELTA;
    for (int i = 0; gated && i < route->next->n; i++) {
        const bool cls = route->next->rows.patch[i] < 0 && m->cls == CLS_ALWAYS;
        const int  at  = place[route->next->index[i]];
        /* delta with a gate of one is the row itself: no rounding */
        route->gate_at[i] = delta && (cls || (at < 0 && m->alpha == 1)) ? COMBINE_PLAIN : at;
    }
    if (!gated) route->gate = NULL;
    tape_count_time(run->tape, "select", began);
}

/* ---- losses ---- */

void run_add_loss(MorRun *run, const char *name, Tensor *value, double weight) {
    ModelOutput *out = run->out;
    if (!run->losses || weight == 0 || tape_failed(run->tape)) return;
    CHECK(out->n_loss_parts < LOSS_PARTS_MAX, "more than %d terms of loss", LOSS_PARTS_MAX);
    out->loss_part[out->n_loss_parts++] = (LossPart){name, value, weight};
    Tensor *term = weight == 1 ? value : op_scale(run->tape, value, weight);
    out->auxiliary_loss = out->auxiliary_loss == NULL ? term : op_add(run->tape, out->auxiliary_loss, term);
}

void run_add_router_losses(MorRun *run, Tensor *z, const int32_t *z_rows, const int32_t *rows, int64_t n_rows) {
    const MorVit *m = run->m;
    Tape         *t = run->tape;
    if (!run->losses || tape_failed(t)) return;
    if (m->z_weight > 0)
        run_add_loss(run, "z_loss", op_z_loss(t, z_rows == NULL ? z : op_gather_rows(t, z, z_rows, n_rows)), m->z_weight);
    if (m->balance_weight <= 0 || m->balance == BALANCE_NONE || m->balance == BALANCE_LOSSFREE) return;
    Tensor *of = op_gather_rows(t, z, rows, n_rows);
    if (m->temperature != 1) of = op_scale(t, of, 1 / m->temperature);
    run_add_loss(run, "balance_loss", op_balance_loss(t, of, (Balance)m->balance,
                                                      m->balance == BALANCE_TARGET ? m->balance_target : m->balance_tolerance), m->balance_weight);
}
