/* Random choice at the capacities of expert choice: the control for what is learned. Scores are uniform draws, addressed by
 * (step, image, recursion, patch) in stream "router"; the gate is the constant alpha, for a random one would only add noise. */
#include "models/mor_route.h"

static void choose(MorRun *run, Tensor *h, int r, MorRoute *route) {
    Candidates c;
    (void)h;
    if (!candidates_of(run, &c)) return;
    scope_open(run->tape, "select", -1);
    candidates_draw(run, &c, r);
    if (!tape_failed(run->tape)) candidates_route(run, route, &c, NULL);
    scope_close_many(run->tape, NULL, 0);
}

static int64_t gated_rows(const MorVit *m, int64_t t, int64_t after, bool last) {
    (void)after; (void)last;
    const bool delta = m->combine == COMBINE_RULE_DELTA;
    return m->combine == COMBINE_RULE_REPLACE || (delta && m->alpha == 1) ? 0 : t - (m->cls == CLS_ALWAYS && delta);
}

const Router router_random = {.name = "random", .paper = "control", .capacities = true, .drawn = true, .choose = choose, .gated_rows = gated_rows};
