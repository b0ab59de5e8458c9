/* The MoR-ViT author's router: one net on the embedded tokens gives every token logits z of L depths, first and last block
 * counted; a token is updated by layers 1..d and then frozen, and stays visible as key and value (rule `all`).
 *   training: y = softmax((z + Gumbel) / temperature), o = hard one-hot of its argmax, straight-through; gate_l = 1 - sum_{j<l} o_j
 *             h <- h + gate_l (Block_l(h) - h); the gate's gradient <dh', Block(h) - h> needs gated-off rows too: dense
 *   inference: d = argmax z, no noise; only rows with d >= l are computed.   Class token: d = L.
 * given.noise: (B,T,L) Gumbel draws. */
#include "models/mor_route.h"

#include "engine/clock.h"
#include "engine/rng.h"

#include <string.h>

static int n_outputs(const MorVit *m) { return m->n_layers; }

static Tensor *gumbel(MorRun *run, int L) {
    Tensor         *noise  = tensor_matrix(run->tape, run->all->n, L);
    const TapeStep  step   = tape_step(run->tape);
    const RngStream stream = rng_stream(step.seed, "router");
    if (tape_failed(run->tape)) return noise;
    if (run->in->given != NULL && run->in->given->noise != NULL) {
        memcpy(noise->data, run->in->given->noise, (size_t)tensor_count(noise) * sizeof *noise->data);
        return noise;
    }
#pragma omp parallel for schedule(static)
    for (int b = 0; b < run->B; b++)
        for (int i = run->all->rows.offset[b]; i < run->all->rows.offset[b + 1]; i++)
            for (int l = 0; l < L; l++)
                noise->data[(int64_t)i * L + l] = (Real)rng_gumbel(stream, (RngKey){.step = step.step, .image = run->in->image_id[b], .layer = l,
                                                                                    .patch = run->all->rows.patch[i]});
    return noise;
}

static void decide(MorRun *run, const Tensor *z) {
    const int      L     = run->m->n_layers;
    const int32_t *given = run->in->given != NULL ? run->in->given->depth : NULL;
    const uint64_t began = clock_now_ns();
    scope_open(run->tape, "select", -1);
    for (int i = 0; i < run->all->n; i++) {
        const Real *logit = z->data + (int64_t)i * L;
        int         best  = 0;
        for (int l = 1; l < L; l++)
            if (logit[l] > logit[best]) best = l;
        run->depth[i] = given != NULL ? given[i] : run->all->rows.patch[i] < 0 ? L : best + 1;
        CHECK(run->depth[i] >= 1 && run->depth[i] <= L, "token %d is given depth %d of %d", i, run->depth[i], L);
    }
    tape_count_time(run->tape, "select", began);
    scope_close_many(run->tape, NULL, 0);
}

static void embedded(MorRun *run, Tensor *x) {
    const MorVit *m = run->m;
    Tape         *t = run->tape;
    scope_open(t, "router", -1);
    Tensor *z = router_net_scores(run, &m->net[0], m->router_detach ? detached(t, x) : x, &run->all->rows);
    run_add_router_losses(run, z, NULL, run->patch_rows, (int64_t)run->B * m->n_patches);
    if (run->training) z = op_add(t, z, gumbel(run, m->n_layers));
    if (!tape_failed(t)) decide(run, z);
    if (run->training) run->gates = op_depth_gates(t, op_softmax(t, m->temperature == 1 ? z : op_scale(t, z, 1 / m->temperature)), run->depth);
    run->gates = scope_close(t, run->gates);
}

static void choose(MorRun *run, Tensor *h, int l, MorRoute *route) {
    const int L    = run->m->n_layers;
    uint8_t  *mark = tape_alloc(run->tape, (size_t)run->all->n + 1);
    (void)h;
    if (mark == NULL) return;
    for (int i = 0; i < run->all->n; i++) mark[i] = run->training || run->depth[i] > l;
    route_keep(run, route, mark);
    if (!run->training) return;
    route->gate = run->gates;
    for (int i = 0; i < route->next->n; i++)
        if (route->next->rows.patch[i] >= 0) route->gate_at[i] = route->next->index[i] * L + l;
}

const Router router_layer = {.name = "layer", .paper = "Li 2025, MOR-ViT, the author's code", .by_layer = true, .learned = true,
                             .n_outputs = n_outputs, .embedded = embedded, .choose = choose};
