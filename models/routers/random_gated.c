/* The draws of router random with the gates of router expert: the control that differs from expert in the choice alone. Nothing of
 * the choice is learned, so there is no BCE; the net learns what a drawn token's update is worth. Every candidate is scored, as
 * by expert, so the two cost the same. Without a gate (combine replace) it would be router random: refused. */
#include "models/mor_route.h"

static void choose(MorRun *run, Tensor *h, int r, MorRoute *route) {
    Candidates c;
    Tensor    *scores = NULL, *gates = NULL;
    if (!candidates_of(run, &c)) return;
    scope_open(run->tape, "select", -1);
    candidates_draw(run, &c, r);
    scope_close_many(run->tape, NULL, 0);
    router_gates(run, h, r, &c, &scores, &gates);
    if (tape_failed(run->tape)) return;
    scope_open(run->tape, "select", -1);
    candidates_route(run, route, &c, gates);
    scope_close_many(run->tape, NULL, 0);
    router_gates_losses(run, r, scores, &c);
}

const Router router_random_gated = {.name = "random_gated", .paper = "control", .capacities = true, .learned = true, .drawn = true,
                                    .n_outputs = router_gates_outputs, .embedded = router_gates_embedded, .choose = choose,
                                    .gated_rows = router_gates_rows, .answer_cost = router_gates_answer_cost};
