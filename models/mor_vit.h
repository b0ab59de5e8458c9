/* MoR-ViT, a Vision Transformer with Mixture-of-Recursions: settings, weights, and what its routers see of a forward pass.
 *
 * Sources: Bae et al. 2025, Mixture-of-Recursions (sharing, expert and token choice, keys and values); Li 2025, MOR-ViT, as
 * its author's code has it (router `layer`). models/README.md says which line is which equation.
 *
 *   mor_vit.c      settings, weights, the forward pass          routers/      who goes on, and with which gate
 *   mor_block.c    a block whose keys may be other rows         mor_route.c   lists of active rows, selection, losses
 *   mor_counts.c   closed-form cost; runs no op                 router_net.c  linear, mlp2, mlp3, spatial
 *
 * Letters: B images, N patches, T = N+1 tokens (class token first), D width, K blocks of a recursion, R recursions,
 * L unrolled blocks. A step is what a router decides about: a recursion, or for the router `layer` a block. */
#ifndef MODELS_MOR_VIT_H
#define MODELS_MOR_VIT_H

#include "models/vit_parts.h"

enum { MOR_MAX_RECURSIONS = 32, MOR_MAX_BLOCKS = 16, MOR_MAX_STACK = 62 };

typedef enum MorSharing { SHARING_CYCLE, SHARING_MIDDLE_CYCLE, SHARING_SEQUENCE, SHARING_MIDDLE_SEQUENCE, SHARING_NONE } MorSharing;
typedef enum MorNet { NET_AUTO, NET_LINEAR, NET_MLP2, NET_MLP3, NET_SPATIAL } MorNet;
typedef enum MorPlacement { PLACEMENT_AUTO, PLACEMENT_PER_RECURSION, PLACEMENT_ONCE } MorPlacement;
typedef enum MorCombine { COMBINE_RULE_DELTA, COMBINE_RULE_PAPER, COMBINE_RULE_REPLACE, COMBINE_RULE_SOFT } MorCombine;
typedef enum MorKv { KV_AUTO, KV_ACTIVE, KV_SHARE, KV_UPDATE, KV_ALL } MorKv;
typedef enum MorSelect { SELECT_TOPK, SELECT_THRESHOLD, SELECT_BATCHK } MorSelect;
typedef enum MorPool { POOL_TOKEN, POOL_MEAN } MorPool;
typedef enum MorCls { CLS_ALWAYS, CLS_ROUTED } MorCls;
typedef enum MorTail { TAIL_ALL, TAIL_ACTIVE, TAIL_CLS } MorTail;
typedef enum MorLoop { LOOP_NONE, LOOP_STEP_EMBED, LOOP_NORM, LOOP_SCALE, LOOP_LORA } MorLoop;

/* Scores of tokens: dw (D,1,3,3) or NULL, then n_layers matrices without biases; activations GELU, then ReLU. */
typedef struct RouterNet {
    Tensor *dw, *w[3];
    int     n_layers;
} RouterNet;

/* W + B A of the four products of a block: qkv, proj, fc1, fc2 (Bae et al. 2024, Relaxed Recursive Transformers). */
typedef struct MorLora { Tensor *a, *b; } MorLora;               /* (rank,in) (out,rank) */

/* What one recursion has of its own in one block; NULL where the block's own or nothing is used. */
typedef struct MorCondition {
    Tensor *norm1_w, *norm1_b, *norm2_w, *norm2_b;
    Tensor *scale1, *scale2;
    MorLora qkv, proj, fc1, fc2;
} MorCondition;

typedef struct MorVit MorVit;
typedef struct MorRun MorRun;
typedef struct MorRoute MorRoute;

typedef struct Router {
    const char *name, *paper;
    bool        by_layer;            /* decides on every block, first and last included */
    bool        capacities;          /* keeps a share of the tokens in each recursion, which must be given */
    bool        learned;             /* has a net */
    bool        drawn;               /* who goes on is drawn: no score of a net stands behind it */
    bool        depth_weights;       /* its softmax over depths is the gate (token) */
    int       (*n_outputs)(const MorVit *m);                     /* of a net that is asked once */
    void      (*embedded)(MorRun *run, Tensor *x);               /* before any block: x (B T,D). NULL: nothing to do */
    void      (*begin)(MorRun *run, Tensor *h);                  /* before the first step: h (B T,D). NULL */
    /* Step s: route->next becomes the rows that go on, with their gates. Between route_begin and route_end. */
    void      (*choose)(MorRun *run, Tensor *h, int s, MorRoute *route);
    /* Closed form: rows of a step of t rows, `after` in the next one, that come back through a gate (no arithmetic otherwise);
     * element operations on each answer of the net at inference. NULL: none. */
    int64_t   (*gated_rows)(const MorVit *m, int64_t t, int64_t after, bool last);
    int       (*answer_cost)(const MorVit *m);
} Router;

#define ROUTER(name) extern const Router router_##name;
#include "models/routers/routers.def"
#undef ROUTER

struct MorVit {
    int          img_size, patch_size, in_chans, embed_dim, num_heads, num_classes;
    double       mlp_ratio;
    int          sharing, blocks_per_recursion, recursions;
    int          router_index, router_net, router_placement, combine, kv, select, pool, activation, cls, tail_tokens, loop_conditioning;
    StepSchedule capacity;
    double       alpha, threshold, temperature, capacity_warmup;
    bool         router_detach;
    int          lora_rank;
    double       aux_weight, z_weight, balance_weight, balance_tolerance, balance_target, balance_rate, deep_supervision;
    int          balance;

    /* derived */
    const Router *router;
    int           n_patches, T, mlp_width, n_stack, n_layers, n_steps;   /* N, T, F, unique stack blocks, L, steps */
    bool          middle;                                                /* a first and a last block of their own */

    Tensor      *cls_token, *pos_embed, *patch_w, *patch_b;      /* (1,1,D) (1,T,D) (D,C,P,P) (D) */
    VitBlock     first, last, stack[MOR_MAX_STACK];
    Tensor      *step_embed[MOR_MAX_RECURSIONS];                 /* (1,D) */
    MorCondition condition[MOR_MAX_STACK];                       /* of unrolled stack block r K + k */
    RouterNet    net[MOR_MAX_RECURSIONS];                        /* one a recursion, or the first alone */
    Tensor      *router_bias;                                    /* (R) buffer of the loss-free balance, or NULL */
    Tensor      *norm_w, *norm_b, *head_w, *head_b;
    double       load[MOR_MAX_RECURSIONS];                       /* rows that chose each depth in the training passes since the last step */
};

/* Unrolled block l = 0 .. L-1: its weights. */
VitBlock *mor_block_at(MorVit *m, int l);
/* Number of the unrolled stack block, r K + k; -1 for the first and the last block. */
int       mor_stack_position(const MorVit *m, int l);
/* Patches (with a routed class token: tokens) that a recursion of capacity c keeps of an image: max(1, floor(c n + 1e-9)). */
int       mor_keep(const MorVit *m, double capacity);
/* Share of the patches that recursion r = 0 .. R-1 keeps; 1 where the router knows no capacities. */
double    mor_capacity(const MorVit *m, int r);

/* ModelKind.count (mor_counts.c has the formulas): of an image whose rows active in each step are route->active, or, with no steps or
 * NULL, of the nominal schedule. */
void mor_vit_count(const void *self, const RouteCounts *route, ModelCounts *out);
/* ModelKind.init_from (mor_init.c has the rules, after Bae et al. 2025): a vit of the same width. False names the rule, the tensor or
 * the depth that does not fit; weights may then be part old, part new. */
bool mor_vit_init_from(void *self, const Model *source, const char *rule, Error *err);

#endif
