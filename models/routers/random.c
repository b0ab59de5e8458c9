/* Random choice at the capacities of expert choice: the control for what is learned. Scores are uniform draws, addressed by
 * (step, image, recursion, patch) in stream "router"; the gate is the constant alpha, for a random one would only add noise. */
#include "models/mor_route.h"

#include "engine/rng.h"

static void choose(MorRun *run, Tensor *h, int r, MorRoute *route) {
    Candidates     c;
    const TapeStep step = tape_step(run->tape);
    (void)h;
    if (!candidates_of(run, &c)) return;
    scope_open(run->tape, "select", -1);
    Real           *score  = tape_alloc(run->tape, (size_t)(c.n + 1) * sizeof *score);
    const RngStream stream = rng_stream(step.seed, "router");
    for (int b = 0; score != NULL && b < run->B; b++)
        for (int i = c.offset[b]; i < c.offset[b + 1]; i++)
            score[i] = (Real)rng_uniform(stream, (RngKey){.step = step.step, .image = run->in->image_id[b], .layer = r,
                                                          .patch = run->all->rows.patch[c.row[i]]});
    if (score != NULL) candidates_choose(run, &c, score, r);
    if (!tape_failed(run->tape)) candidates_route(run, route, &c, NULL);
    scope_close_many(run->tape, NULL, 0);
}

static int64_t gated_rows(const MorVit *m, int64_t t, int64_t after, bool last) {
    (void)after; (void)last;
    const bool delta = m->combine == COMBINE_RULE_DELTA;
    return m->combine == COMBINE_RULE_REPLACE || (delta && m->alpha == 1) ? 0 : t - (m->cls == CLS_ALWAYS && delta);
}

const Router router_random = {.name = "random", .paper = "control", .capacities = true, .choose = choose, .gated_rows = gated_rows};
