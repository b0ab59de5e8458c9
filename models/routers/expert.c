/* Expert choice (Bae et al. 2025, section 2.2): recursion r keeps the k_r best-scored of the tokens that recursion r-1 kept, with
 * scores and gates as router_gates.c has them. Selections are nested; a token that leaves never comes back. The class token always
 * goes on (cls: always) or competes. Training adds BCE(s, chosen), averaged over the candidates of the batch and summed over the
 * recursions. */
#include "models/mor_route.h"

static void choose(MorRun *run, Tensor *h, int r, MorRoute *route) {
    Candidates c;
    Tensor    *scores = NULL, *gates = NULL;
    if (!candidates_of(run, &c)) return;
    router_gates(run, h, r, &c, &scores, &gates);
    if (tape_failed(run->tape)) return;
    scope_open(run->tape, "select", -1);
    candidates_choose(run, &c, scores->data, r);
    if (!tape_failed(run->tape)) candidates_route(run, route, &c, gates);
    scope_close_many(run->tape, NULL, 0);
    router_gates_losses(run, r, scores, &c);
}

const Router router_expert = {.name = "expert", .paper = "Bae et al. 2025, Mixture-of-Recursions, expert choice", .capacities = true, .learned = true,
                              .n_outputs = router_gates_outputs, .embedded = router_gates_embedded, .choose = choose,
                              .gated_rows = router_gates_rows, .answer_cost = router_gates_answer_cost};
