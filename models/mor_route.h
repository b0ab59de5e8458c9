/* Routes: which rows of the residual stream take a step, their gates, and what a forward pass keeps about them.
 *
 * Everything here lies in the tape's arena outside the step's own scope, since the next step and the backward pass read it.
 * When memory runs out the tape is marked and the functions do nothing. */
#ifndef MODELS_MOR_ROUTE_H
#define MODELS_MOR_ROUTE_H

#include "models/mor_vit.h"

/* Rows of h (B T,D) that are on their way, ascending, packed by image. */
typedef struct ActiveRows {
    TokenRows rows;              /* offsets, patch indices, image identities */
    int32_t  *index;             /* (n) row of h */
    int       n;
} ActiveRows;

/* One step. gate: any shape; gate_at and constant as in CombineRule. */
struct MorRoute {
    ActiveRows *next;
    Tensor     *gate;
    int32_t    *gate_at;         /* (n of next) */
    double      constant;
    Tensor     *base;            /* (B T,D) rows that the gates start from, or NULL: those of h */
    bool        all_plain;       /* every row goes, ungated: the stream itself takes the step */
};

/* A forward pass. */
struct MorRun {
    MorVit           *m;
    Tape             *tape;
    const ModelInput *in;
    ModelOutput      *out;
    int               B;
    ActiveRows       *all, *active;
    int32_t          *depth;     /* (B T) steps that each row has taken, or, once decided, will take */
    int32_t          *taken;     /* (B T) steps taken */
    int32_t          *patch_rows;/* (B N) rows of h that are patches */
    Tensor           *scores;    /* of a net asked once: (B T, outputs) */
    Tensor           *gates;     /* made of them, or NULL */
    Tensor           *h0;        /* router token: input of recursion 1 */
    Tensor           *mixed;     /* combine soft: weighted sum of the recursions so far */
    Tensor           *aux_bce, *z_loss;     /* sums over the recursions so far */
    bool              training, losses;     /* losses: also recording, so that they have a gradient */
};

/* All rows active, nothing taken; out->active becomes (B,n_steps). in, out and m are borrowed for the pass. False: out of memory, the
 * tape is marked. */
bool run_begin(MorRun *run, MorVit *m, Tape *tape, const ModelInput *in, ModelOutput *out);

/* Room for a step's route: at most the rows now active. False: out of memory. */
bool route_begin(MorRun *run, MorRoute *route);
/* Keeps the active rows of h for which keep says so (mark[row] != 0), in order. gate_at is PLAIN for all. */
void route_keep(MorRun *run, MorRoute *route, const uint8_t mark[]);
/* After choose: counts depths and active rows of step s; the route's rows become the active ones. */
void route_end(MorRun *run, MorRoute *route, int s);

/* Candidates of a selection: of active rows, the patches (and with a routed class token, it). */
typedef struct Candidates {
    int      n;
    int32_t *row, *offset;       /* (n) row of h; (B+1) */
    int32_t *at;                 /* (n) place of the score */
    uint8_t *chosen;             /* (n) */
} Candidates;

/* Of the rows active now, in their order, image by image: none chosen, at[i] = i. False: out of memory, the tape is marked. */
bool candidates_of(MorRun *run, Candidates *c);
/* Marks the chosen of recursion r by score[at[i]]: the best of each image, those above a threshold, or the batch's best; ties go to the
 * lower row. RouteGiven.depth decides instead where it is given. */
void candidates_choose(const MorRun *run, Candidates *c, const Real *score, int r);
/* The same by uniform draws, addressed by (step, image, recursion, patch) in stream "router"; c->at must be as candidates_of left it. */
void candidates_draw(const MorRun *run, Candidates *c, int r);
/* The route of what was chosen; gates from `gate` at the scores' places. */
void candidates_route(MorRun *run, MorRoute *route, const Candidates *c, Tensor *gate);

/* Adds weight * value to the auxiliary loss; weight 0: nothing is recorded. */
void run_add_loss(MorRun *run, const char *name, Tensor *value, double weight);
/* z-loss and balance of logits z (M,outputs); rows: those the balance is over, z_rows of the z-loss (NULL: all). */
void run_add_router_losses(MorRun *run, Tensor *z, const int32_t *z_rows, const int32_t *rows, int64_t n_rows);

/* The scores of tokens: x (n,D) of the rows given -> (n,outputs). rows: whose neighbours a spatial net looks at. */
Tensor *router_net_scores(MorRun *run, const RouterNet *net, Tensor *x, const TokenRows *rows);
/* Declares "<prefix>.weight", or "<prefix>.fc1.weight" ..., and of a spatial net "<prefix>.dw.weight". */
void    router_net_params(RouterNet *net, Params *p, const MorVit *m, int n_outputs, const char *prefix);
/* Multiply-accumulates a token. */
int64_t router_net_macs(const MorVit *m, int n_outputs);

/* Gates of routers that score the candidates of each recursion (router_gates.c); four of them stand in a Router as they are. */
int     router_gates_outputs(const MorVit *m);
int64_t router_gates_rows(const MorVit *m, int64_t t, int64_t after, bool last);
int     router_gates_answer_cost(const MorVit *m);
void    router_gates_embedded(MorRun *run, Tensor *x);
/* Scores and gates (combine replace: NULL) of the candidates; c->at: where in them each finds its own. */
void    router_gates(MorRun *run, Tensor *h, int r, Candidates *c, Tensor **scores, Tensor **gates);
/* Sums BCE(scores, chosen), unless the choice is drawn, and the z-loss over the recursions; the last one adds them to the loss. */
void    router_gates_losses(MorRun *run, int r, Tensor *scores, const Candidates *c);

/* The same memory, but no gradient flows back (router_detach). */
Tensor *detached(Tape *tape, Tensor *x);

#endif
