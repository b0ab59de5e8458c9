/* MoR-ViT: a stack of K shared blocks applied R times; a router lets each token choose how often (mor_vit.h names the sources).
 *
 *   x = patch_embed(image) + class token + positions (B T,D);  middle sharing: h = first(x), else h = x
 *   for r = 1..R:  A_r = rows that go on;  y = gather(h, A_r);  y = stack(y);  h[A_r] = combine(h[A_r], y, gate)
 *   middle: h = last(h);  logits = head(norm(class token, or mean of the patches))
 *
 * Rows of all images are packed in one matrix: what is not active costs nothing. One gather and one combine a recursion. */
#include "models/mor_block.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BALANCE_AUTO = BALANCE_TARGET + 1 };

#define THRESHOLD_MIDDLE 0.5         /* sigmoid of a score of 0 */

static const char *const sharings[] = {[SHARING_CYCLE] = "cycle", [SHARING_MIDDLE_CYCLE] = "middle_cycle", [SHARING_SEQUENCE] = "sequence", [SHARING_MIDDLE_SEQUENCE] = "middle_sequence", [SHARING_NONE] = "none", NULL};
static const char *const nets[] = {[NET_AUTO] = "auto", [NET_LINEAR] = "linear", [NET_MLP2] = "mlp2", [NET_MLP3] = "mlp3", [NET_SPATIAL] = "spatial", NULL};
static const char *const placements[] = {[PLACEMENT_AUTO] = "auto", [PLACEMENT_PER_RECURSION] = "per_recursion", [PLACEMENT_ONCE] = "once", NULL};
static const char *const combines[] = {[COMBINE_RULE_DELTA] = "delta", [COMBINE_RULE_PAPER] = "paper", [COMBINE_RULE_REPLACE] = "replace", [COMBINE_RULE_SOFT] = "soft", NULL};
static const char *const kv_rules[] = {[KV_AUTO] = "auto", [KV_ACTIVE] = "active", [KV_SHARE] = "share", [KV_UPDATE] = "update", [KV_ALL] = "all", NULL};
static const char *const selections[] = {[SELECT_TOPK] = "topk", [SELECT_THRESHOLD] = "threshold", [SELECT_BATCHK] = "batchk", NULL};
static const char *const pools[] = {[POOL_TOKEN] = "token", [POOL_MEAN] = "mean", NULL};
static const char *const activations[] = {[GATE_SIGMOID] = "sigmoid", [GATE_TANH] = "tanh", [GATE_NONE] = "none", NULL};
static const char *const cls_rules[] = {[CLS_ALWAYS] = "always", [CLS_ROUTED] = "routed", NULL};
static const char *const tails[] = {[TAIL_ALL] = "all", [TAIL_ACTIVE] = "active", [TAIL_CLS] = "cls", NULL};
static const char *const loops[] = {[LOOP_NONE] = "none", [LOOP_STEP_EMBED] = "step_embed", [LOOP_NORM] = "norm", [LOOP_SCALE] = "scale", [LOOP_LORA] = "lora", NULL};
static const char *const balances[] = {[BALANCE_NONE] = "none", [BALANCE_SWITCH] = "switch", [BALANCE_HINGE_VAR] = "hinge_var", [BALANCE_LOSSFREE] = "lossfree", [BALANCE_TARGET] = "target", [BALANCE_AUTO] = "auto", NULL};

static const Router *const routers[] = {
#define ROUTER(name) &router_##name,
#include "models/routers/routers.def"
#undef ROUTER
};
static const char *const router_names[] = {
#define ROUTER(name) #name,
#include "models/routers/routers.def"
#undef ROUTER
    NULL};
enum {
#define ROUTER(name) ROUTER_##name,
#include "models/routers/routers.def"
#undef ROUTER
};

static const Field fields[] = {
    INT_FIELD (MorVit, img_size,    1, 4096,  224, "side of the square image in pixels; a multiple of patch_size"),
    INT_FIELD (MorVit, patch_size,  1, 512,   16,  "P, side of a patch"),
    INT_FIELD (MorVit, in_chans,    1, 64,    3,   "C, channels of the image"),
    INT_FIELD (MorVit, embed_dim,   1, 16384, 768, "D, width of a token"),
    INT_FIELD (MorVit, num_heads,   0, 256,   12,  "H, divides embed_dim; 0: embed_dim/64 from 192 up, else embed_dim/32"),
    REAL_FIELD(MorVit, mlp_ratio,   0.01, 64, 4,   "F/D, hidden width of the MLP in units of embed_dim"),
    INT_FIELD (MorVit, num_classes, 1, 1000000, 1000, "classes"),
    WORD_FIELD(MorVit, sharing,     sharings, SHARING_MIDDLE_CYCLE, "which unrolled blocks are one; middle: first and last have their own; none: no two"),
    INT_FIELD (MorVit, blocks_per_recursion, 1, MOR_MAX_BLOCKS, 1, "K, blocks of the stack that a recursion applies"),
    INT_FIELD (MorVit, recursions,  1, MOR_MAX_RECURSIONS, 3, "R, how often the stack is applied at most"),
    {.key = "router", .type = FIELD_WORD, .offset = offsetof(MorVit, router_index), .words = router_names, .fallback = ROUTER_expert, .help = "who decides which tokens go on"},
    WORD_FIELD(MorVit, router_net,  nets, NET_AUTO, "linear; mlp2 D-2D-out; mlp3 D-2D-2D-out; spatial 3x3 depthwise, then linear; auto: mlp3 for router layer, else linear"),
    WORD_FIELD(MorVit, router_placement, placements, PLACEMENT_AUTO, "a net for each recursion, or one on the embedded tokens; auto: per_recursion for expert"),
    SCHEDULE_FIELD(MorVit, capacity, "share of the patches that each recursion keeps, not increasing; expert, random and random_gated need it"),
    REAL_FIELD(MorVit, alpha,       0, 100,   1,   "factor of the gate"),
    WORD_FIELD(MorVit, combine,     combines, COMBINE_RULE_DELTA, "delta h + g (y - h); paper h + g y; replace y; soft (router token): every token takes all recursions, and their outputs are mixed by the router's softmax"),
    WORD_FIELD(MorVit, kv,          kv_rules, KV_AUTO, "keys and values: of active tokens; of recursion 1; of recursion 1 with active rows overwritten; of all tokens. auto: active (router layer: all)"),
    WORD_FIELD(MorVit, select,      selections, SELECT_TOPK, "at inference: best k of each image; gate activation above threshold (in recursions of a capacity below 1); best k of the batch, whose answers to an image hang on the others"),
    REAL_FIELD(MorVit, threshold,   -100, 100, THRESHOLD_MIDDLE, "select threshold: tokens whose activation exceeds it go on; 0.5 is a score of 0, hence stands for 0 with activations tanh and none"),
    WORD_FIELD(MorVit, pool,        pools, POOL_TOKEN, "what the head reads: the class token or the mean of the patches"),
    WORD_FIELD(MorVit, activation,  activations, GATE_SIGMOID, "of the gate"),
    WORD_FIELD(MorVit, cls,         cls_rules, CLS_ALWAYS, "the class token takes every recursion, or competes with the patches"),
    WORD_FIELD(MorVit, tail_tokens, tails, TAIL_ALL, "tokens that the last block of middle sharing updates"),
    WORD_FIELD(MorVit, loop_conditioning, loops, LOOP_NONE, "what each recursion has of its own: an embedding added to its tokens, layer norms, scales of the residual branches, low-rank weights"),
    INT_FIELD (MorVit, lora_rank,   1, 1024, 4,    "loop_conditioning lora: rank"),
    REAL_FIELD(MorVit, temperature, 1e-6, 1e6, 1,  "by which router logits are divided before gates, losses of balance and softmax"),
    BOOL_FIELD(MorVit, router_detach, false,       "no gradient from the router into the tokens it reads"),
    REAL_FIELD(MorVit, capacity_warmup, 0, 1, 0,   "share of the training steps in which capacities fall from 1 to their values, by a cosine"),
    REAL_FIELD(MorVit, aux_weight,  0, 100, 1e-3,  "router expert: of the auxiliary BCE"),
    REAL_FIELD(MorVit, z_weight,    -1, 100, -1,   "of the z-loss of router logits; -1: 1e-3 for token and layer, else 0"),
    WORD_FIELD(MorVit, balance,     balances, BALANCE_AUTO, "routers token and layer: loss of the mean depth probabilities; lossfree: a bias instead (token). auto: switch for token, hinge_var for layer"),
    REAL_FIELD(MorVit, balance_weight, 0, 100, 0.1, "of the balance loss"),
    REAL_FIELD(MorVit, balance_tolerance, 0, 1, 0, "balance hinge_var: variance that costs nothing"),
    REAL_FIELD(MorVit, balance_target, 0, 64, 0,   "balance target: mean depth aimed at; 0: half of the largest"),
    REAL_FIELD(MorVit, balance_rate, 0, 1, 1e-3,   "balance lossfree: step of the bias"),
    REAL_FIELD(MorVit, deep_supervision, 0, 100, 0, "of the mean loss of the class token's answers after earlier recursions"),
    FIELDS_END,
};

#define TI "img_size=224 patch_size=16 in_chans=3 num_classes=1000 embed_dim=192 num_heads=3 "
#define SM "img_size=224 patch_size=16 in_chans=3 num_classes=1000 embed_dim=384 num_heads=6 "
#define BA "img_size=224 patch_size=16 in_chans=3 num_classes=1000 embed_dim=768 num_heads=12 "
#define F28 "img_size=28 in_chans=1 num_classes=10 num_heads=0 "
#define C32 "img_size=32 in_chans=3 num_classes=10 num_heads=0 "
#define KXR "{blocks_per_recursion}x{recursions}"
/* full depth for every token; capacities R/R, (R-1)/R, ... 1/R; capacities q^(r-1) */
#define SIZE(name, settings, c, mc)                                                                                                   \
    {"mor_" name "_c" KXR "_full",  settings "sharing=cycle router=none",                         "mor_" name "_c" c "_full"},        \
    {"mor_" name "_c" KXR "_lin",   settings "sharing=cycle router=expert capacity=linear",       "mor_" name "_c" c "_lin"},         \
    {"mor_" name "_c" KXR "_{capacity}",  settings "sharing=cycle router=expert",                 "mor_" name "_c" c "_q39"},         \
    {"mor_" name "_mc" KXR "_full", settings "sharing=middle_cycle router=none",                  "mor_" name "_mc" mc "_full"},      \
    {"mor_" name "_mc" KXR "_lin",  settings "sharing=middle_cycle router=expert capacity=linear", "mor_" name "_mc" mc "_lin"},      \
    {"mor_" name "_mc" KXR "_{capacity}", settings "sharing=middle_cycle router=expert",          "mor_" name "_mc" mc "_q645"},      \
    {"mor_" name "_mc" KXR "_mlp3_{capacity}", settings "sharing=middle_cycle router=expert router_net=mlp3 router_placement=once",   \
     "mor_" name "_mc" mc "_mlp3_q563"},                                                                                              \
    {"mor_" name "_author", settings "sharing=middle_cycle blocks_per_recursion=1 recursions=10 router=layer", NULL}
#define SMALL(suffix, settings, c, mc)                                                                                                \
    {"mor_d{embed_dim}_c" KXR "_p{patch_size}_full_" suffix,  settings "sharing=cycle router=none",                          "mor_d96_c" c "_p4_full_" suffix},   \
    {"mor_d{embed_dim}_c" KXR "_p{patch_size}_lin_" suffix,   settings "sharing=cycle router=expert capacity=linear",        "mor_d96_c" c "_p4_lin_" suffix},    \
    {"mor_d{embed_dim}_c" KXR "_p{patch_size}_{capacity}_" suffix,  settings "sharing=cycle router=expert",                  "mor_d96_c" c "_p4_q50_" suffix},    \
    {"mor_d{embed_dim}_mc" KXR "_p{patch_size}_full_" suffix, settings "sharing=middle_cycle router=none",                   "mor_d96_mc" mc "_p4_full_" suffix}, \
    {"mor_d{embed_dim}_mc" KXR "_p{patch_size}_lin_" suffix,  settings "sharing=middle_cycle router=expert capacity=linear", "mor_d96_mc" mc "_p4_lin_" suffix},  \
    {"mor_d{embed_dim}_mc" KXR "_p{patch_size}_{capacity}_" suffix, settings "sharing=middle_cycle router=expert",           "mor_d96_mc" mc "_p4_q50_" suffix}

static const Preset presets[] = {
    SIZE("ti", TI, "3x4", "1x10"),
    SIZE("s",  SM, "3x4", "1x10"),
    {"mor_s_mc1x10_mlp3_q731", SM "sharing=middle_cycle blocks_per_recursion=1 recursions=10 router=expert router_net=mlp3 router_placement=once capacity=q731", NULL},
    {"mor_s_mc2x5_q52", SM "sharing=middle_cycle blocks_per_recursion=2 recursions=5 router=expert capacity=q52", NULL},
    SIZE("b",  BA, "3x4", "1x10"),
    SMALL("28", F28, "2x3", "1x4"),
    SMALL("32", C32, "2x3", "1x10"),
    {NULL, NULL, NULL},
};

/* ---- settings ---- */

int mor_stack_position(const MorVit *m, int l) {
    if (!m->middle) return l;
    return l == 0 || l == m->n_layers - 1 ? -1 : l - 1;
}

/* cycle: l mod K; sequence: floor(l / R); none: l */
static int stack_index(const MorVit *m, int position) {
    switch (m->sharing) {
    case SHARING_SEQUENCE:
    case SHARING_MIDDLE_SEQUENCE: return position / m->recursions;
    case SHARING_NONE:            return position;
    default:                      return position % m->blocks_per_recursion;
    }
}

VitBlock *mor_block_at(MorVit *m, int l) {
    const int position = mor_stack_position(m, l);
    return position < 0 ? (l == 0 ? &m->first : &m->last) : &m->stack[stack_index(m, position)];
}

double mor_capacity(const MorVit *m, int r) { return m->router->capacities ? schedule_value(&m->capacity, m->recursions, r) : 1; }

int mor_keep(const MorVit *m, double capacity) {
    const int n = m->n_patches + (m->cls == CLS_ROUTED), keep = (int)floor(capacity * n + 1e-9);
    return keep < 1 ? 1 : keep;
}

static bool check_capacity(const MorVit *m, Error *err) {
    const StepSchedule *c = &m->capacity;
    char                where[64];
    if (!m->router->capacities) return true;
    if (c->form == SCHEDULE_UNSET) return FAIL(err, "/model/capacity", "must be given for router %s: a list of %d, \"linear\", \"flat\" or {\"geometric\": ratio}", m->router->name, m->recursions);
    if (c->form == SCHEDULE_LIST && c->list.n != m->recursions)
        return FAIL(err, "/model/capacity", "must have one entry for each of the %d recursions, got %d", m->recursions, c->list.n);
    for (int r = 1; r < m->recursions; r++) {
        snprintf(where, sizeof where, "/model/capacity/%d", r);
        if (mor_capacity(m, r) > mor_capacity(m, r - 1))
            return FAIL(err, where, "must not exceed the capacity before it, %g, since tokens never come back; got %g", mor_capacity(m, r - 1), mor_capacity(m, r));
    }
    if ((m->kv == KV_SHARE || m->kv == KV_UPDATE) && mor_capacity(m, 0) < 1)
        return FAIL(err, "/model/capacity/0", "must be 1 with kv %s, whose keys and values are those of all tokens in recursion 1; got %g", kv_rules[m->kv], mor_capacity(m, 0));
    return true;
}

/* What a router leaves undecided. Decides: who goes on and when is the router's own matter, by depths (token, layer). */
static void fill_in(MorVit *m, bool decides) {
    const Router *router = m->router;
    if (m->router_net == NET_AUTO) m->router_net = router->by_layer ? NET_MLP3 : NET_LINEAR;
    if (m->router_placement == PLACEMENT_AUTO) m->router_placement = decides ? PLACEMENT_ONCE : PLACEMENT_PER_RECURSION;
    if (m->kv == KV_AUTO)          m->kv       = router->by_layer ? KV_ALL : KV_ACTIVE;
    /* a fallback of its own would give every model another identity */
    if (m->threshold == THRESHOLD_MIDDLE && m->select == SELECT_THRESHOLD && m->activation != GATE_SIGMOID) m->threshold = 0;
    if (m->z_weight < 0)           m->z_weight = decides ? 1e-3 : 0;
    if (m->balance == BALANCE_AUTO) m->balance = !decides ? BALANCE_NONE : router->by_layer ? BALANCE_HINGE_VAR : BALANCE_SWITCH;
}

/* What a setting needs to have an effect. */
enum { USES_NET = 1, USES_CAPACITIES = 2, USES_GATES_OF_SCORES = 4, USES_EARLIER_ANSWERS = 8 };

static int uses_of(const MorVit *m) {
    const Router *router = m->router;
    return (router->learned ? USES_NET : 0) | (router->capacities ? USES_CAPACITIES : 0) | (router->learned && router->capacities ? USES_GATES_OF_SCORES : 0)
         | (!router->by_layer && m->recursions > 1 ? USES_EARLIER_ANSWERS : 0);
}

/* Settings of what a router may not have, and the one value that they may have then. A number that belongs to another setting's
 * value (lora_rank, threshold, balance_..., aux_weight) is not looked at while that is not chosen. */
static const struct { const char *key; double only; int needs; const char *without; } needs[] = {
    {"router_net",       NET_LINEAR,              USES_NET,             "which has no net"},
    {"router_placement", PLACEMENT_PER_RECURSION, USES_NET,             "which has no net"},
    {"router_detach",    false,                   USES_NET,             "which has no net"},
    {"temperature",      1,                       USES_NET,             "which has no logits"},
    {"z_weight",         0,                       USES_NET,             "which has no logits"},
    {"alpha",            1,                       USES_CAPACITIES,      "whose gate it does not scale"},
    {"activation",       GATE_SIGMOID,            USES_GATES_OF_SCORES, "which does not use it"},
    {"select",           SELECT_TOPK,             USES_CAPACITIES,      "which selects by no score"},
    {"cls",              CLS_ALWAYS,              USES_CAPACITIES,      "which selects by no score"},
    {"capacity_warmup",  0,                       USES_CAPACITIES,      "which has no capacities"},
    {"deep_supervision", 0,                       USES_EARLIER_ANSWERS, "where no recursion comes before the last"},
};

/* What would stand in results as if it had done something. Capacities alone may stand beside any router, so that a sweep over
 * routers is one file. */
static bool check_uses(const MorVit *m, Error *err) {
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
        const Field *f = field_find(fields, needs[i].key);
        const double value = field_number(f, m);
        char         where[48];
        if ((uses_of(m) & needs[i].needs) != 0 || value == needs[i].only) continue;
        snprintf(where, sizeof where, "/model/%s", f->key);
        if (f->words != NULL)
            return FAIL(err, where, "must be %s for router %s, %s; got %s", f->words[(int)needs[i].only], m->router->name, needs[i].without, f->words[(int)value]);
        return FAIL(err, where, "must be %g for router %s, %s; got %g", needs[i].only, m->router->name, needs[i].without, value);
    }
    return true;
}

static bool check_router(MorVit *m, Error *err) {
    const Router *router  = m->router;
    const bool    decides = router->learned && !router->capacities, gated = router->capacities || (decides && !router->by_layer);
    if (router != &router_none && (m->sharing == SHARING_SEQUENCE || m->sharing == SHARING_MIDDLE_SEQUENCE))
        return FAIL(err, "/model/router", "must be none with sharing %s, which repeats one block before the next; got %s", sharings[m->sharing], router->name);
    fill_in(m, decides);
    if (!check_uses(m, err)) return false;
    if (decides && m->router_placement != PLACEMENT_ONCE)
        return FAIL(err, "/model/router_placement", "must be once for router %s, which decides once", router->name);
    if (m->router_net == NET_SPATIAL && m->cls == CLS_ROUTED)
        return FAIL(err, "/model/router_net", "must not be spatial with cls routed, since the class token has no neighbours to be scored by");
    if (m->combine == COMBINE_RULE_SOFT && !router->depth_weights)
        return FAIL(err, "/model/combine", "soft is for router token, whose softmax mixes the recursions; got router %s", router->name);
    if (!gated && m->combine != COMBINE_RULE_DELTA && m->combine != COMBINE_RULE_REPLACE)
        return FAIL(err, "/model/combine", "must be delta or replace for router %s, which has no gate of its own; got %s", router->name, combines[m->combine]);
    if (router->by_layer && m->kv != KV_ALL)
        return FAIL(err, "/model/kv", "must be all for router layer, whose frozen tokens stay visible; got %s", kv_rules[m->kv]);
    if (router->drawn && m->select == SELECT_THRESHOLD)
        return FAIL(err, "/model/select", "must be topk or batchk for router %s, whose scores mean nothing; got threshold", router->name);
    if (router->drawn && router->learned && m->combine == COMBINE_RULE_REPLACE)
        return FAIL(err, "/model/combine", "must be delta or paper for router %s, which without its gate is router random; got replace", router->name);
    if (m->balance == BALANCE_LOSSFREE && (!router->depth_weights || m->combine == COMBINE_RULE_SOFT))
        return FAIL(err, "/model/balance", "lossfree is for router token where tokens stop, whose depths have a bias; got router %s, combine %s", router->name, combines[m->combine]);
    if (m->balance != BALANCE_NONE && !decides)
        return FAIL(err, "/model/balance", "must be none for router %s, whose budget is given; got %s", router->name, balances[m->balance]);
    if (m->z_weight > 0 && !decides && m->router_placement == PLACEMENT_ONCE)
        return FAIL(err, "/model/z_weight", "must be 0 for router %s with placement once; got %g", router->name, m->z_weight);
    return true;
}

static bool prepare(void *self, Error *err) {
    MorVit *m = self;
    m->router = routers[m->router_index];
    if (!vit_check_sizes(m->img_size, m->patch_size, m->embed_dim, m->mlp_ratio, &m->num_heads, &m->n_patches, &m->mlp_width, err)) return false;
    const int unrolled = m->blocks_per_recursion * m->recursions;
    if (unrolled > MOR_MAX_STACK)
        return FAIL(err, "/model/recursions", "times blocks_per_recursion must be at most %d, got %d x %d", MOR_MAX_STACK, m->recursions, m->blocks_per_recursion);
    m->T         = m->n_patches + 1;
    m->middle    = m->sharing == SHARING_MIDDLE_CYCLE || m->sharing == SHARING_MIDDLE_SEQUENCE;
    m->n_layers  = unrolled + (m->middle ? 2 : 0);
    m->n_stack   = m->sharing == SHARING_NONE ? unrolled : m->blocks_per_recursion;
    m->n_steps   = m->router->by_layer ? m->n_layers : m->recursions;
    if (!check_router(m, err) || !check_capacity(m, err)) return false;
    if (m->tail_tokens != TAIL_ALL && (!m->middle || m->router->by_layer))
        return FAIL(err, "/model/tail_tokens", "must be all %s; got %s", m->middle ? "for router layer, which routes the last block too" : "without middle sharing, which has the last block",
                    tails[m->tail_tokens]);
    if (m->tail_tokens == TAIL_CLS && m->pool == POOL_MEAN)
        return FAIL(err, "/model/tail_tokens", "must not be cls with pool mean, which reads the patches");
    if (m->deep_supervision > 0 && m->pool == POOL_MEAN)
        return FAIL(err, "/model/deep_supervision", "must be 0 with pool mean: earlier recursions answer by the class token; got %g", m->deep_supervision);
    if (m->loop_conditioning == LOOP_STEP_EMBED && m->router->by_layer)
        return FAIL(err, "/model/loop_conditioning", "must not be step_embed for router layer, which has no recursions of its own");
    if (m->balance == BALANCE_TARGET && m->balance_target == 0) m->balance_target = 0.5 * m->n_steps;
    return true;
}

/* ---- weights ---- */

/* Depth, for rates by layer, of the block of the stack that recursion r applies k-th. */
static int owner_depth(const MorVit *m, int r, int k) { return stack_index(m, r * m->blocks_per_recursion + k) + (m->middle ? 2 : 1); }

static void condition_params(MorVit *m, Params *p, int r, int k) {
    MorCondition   *c = &m->condition[r * m->blocks_per_recursion + k];
    const int       D = m->embed_dim, F = m->mlp_width, depth = owner_depth(m, r, k);
    const ParamSpec one = {INIT_ONE, PARAM_PLAIN, depth, 0}, zero = {INIT_ZERO, PARAM_PLAIN, depth, 0};
    const ParamSpec weight = {INIT_NORMAL_002, PARAM_DECAYED, depth, 0}, none = {INIT_ZERO, PARAM_DECAYED, depth, 0};
    if (m->loop_conditioning == LOOP_NORM) {
        param_add(p, &c->norm1_w, one,  1, (int64_t[]){D}, "loop.%d.stack.%d.norm1.weight", r, k);
        param_add(p, &c->norm1_b, zero, 1, (int64_t[]){D}, "loop.%d.stack.%d.norm1.bias", r, k);
        param_add(p, &c->norm2_w, one,  1, (int64_t[]){D}, "loop.%d.stack.%d.norm2.weight", r, k);
        param_add(p, &c->norm2_b, zero, 1, (int64_t[]){D}, "loop.%d.stack.%d.norm2.bias", r, k);
    } else if (m->loop_conditioning == LOOP_SCALE) {
        param_add(p, &c->scale1, one, 1, (int64_t[]){D}, "loop.%d.stack.%d.ls1.gamma", r, k);
        param_add(p, &c->scale2, one, 1, (int64_t[]){D}, "loop.%d.stack.%d.ls2.gamma", r, k);
    } else if (m->loop_conditioning == LOOP_LORA) {
        const struct { MorLora *lora; const char *name; int out, in; } of[] = {
            {&c->qkv, "attn.qkv", 3 * D, D}, {&c->proj, "attn.proj", D, D}, {&c->fc1, "mlp.fc1", F, D}, {&c->fc2, "mlp.fc2", D, F}};
        for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
            param_add(p, &of[i].lora->a, weight, 2, (int64_t[]){m->lora_rank, of[i].in}, "loop.%d.stack.%d.%s.lora_a", r, k, of[i].name);
            param_add(p, &of[i].lora->b, none, 2, (int64_t[]){of[i].out, m->lora_rank}, "loop.%d.stack.%d.%s.lora_b", r, k, of[i].name);
        }
    }
}

/* How many of the unrolled blocks are block k of the stack. */
static int stack_uses(const MorVit *m, int k) {
    int n = 0;
    for (int position = 0; position < m->blocks_per_recursion * m->recursions; position++) n += stack_index(m, position) == k;
    return n;
}

static void each_param(void *self, Params *p) {
    MorVit   *m = self;
    const int D = m->embed_dim, P = m->patch_size, C = m->num_classes, F = m->mlp_width, end = m->n_stack + (m->middle ? 3 : 1);
    const ParamSpec plain = {INIT_NORMAL_002, PARAM_PLAIN, 0, 0};
    param_add(p, &m->cls_token, (ParamSpec){INIT_NORMAL_1E6, PARAM_PLAIN, 0, 0}, 3, (int64_t[]){1, 1, D}, "cls_token");
    param_add(p, &m->pos_embed, plain, 3, (int64_t[]){1, m->T, D}, "pos_embed");
    param_add(p, &m->patch_w, (ParamSpec){INIT_CONV_DEFAULT, PARAM_DECAYED, 0, 0}, 4, (int64_t[]){D, m->in_chans, P, P}, "patch_embed.proj.weight");
    param_add(p, &m->patch_b, (ParamSpec){INIT_CONV_DEFAULT, PARAM_PLAIN, 0, m->in_chans * P * P}, 1, (int64_t[]){D}, "patch_embed.proj.bias");
    if (m->middle) vit_block_params(&m->first, p, D, F, 1, "first.");
    for (int k = 0; k < m->n_stack; k++) {
        char prefix[32];
        const int before = params_count(p);
        snprintf(prefix, sizeof prefix, "stack.%d.", k);
        vit_block_params(&m->stack[k], p, D, F, k + (m->middle ? 2 : 1), prefix);
        for (int i = before; i < params_count(p); i++) params_at(p, i)->uses = stack_uses(m, k);
    }
    if (m->middle) vit_block_params(&m->last, p, D, F, end - 1, "last.");
    for (int r = 0; r < m->recursions; r++) {
        if (m->loop_conditioning == LOOP_STEP_EMBED) param_add(p, &m->step_embed[r], (ParamSpec){INIT_NORMAL_002, PARAM_PLAIN, owner_depth(m, r, 0), 0}, 2, (int64_t[]){1, D}, "loop.%d.embed", r);
        for (int k = 0; k < m->blocks_per_recursion; k++) condition_params(m, p, r, k);
    }
    if (m->router->learned && m->router_placement == PLACEMENT_ONCE) {
        router_net_params(&m->net[0], p, m, m->router->n_outputs(m), "router");
    } else if (m->router->learned) {
        for (int r = 0; r < m->recursions; r++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "routers.%d", r);
            router_net_params(&m->net[r], p, m, 1, prefix);
        }
    }
    if (m->balance == BALANCE_LOSSFREE) param_add(p, &m->router_bias, (ParamSpec){INIT_ZERO, PARAM_BUFFER, end, 0}, 1, (int64_t[]){m->recursions}, "router.bias");
    vit_norm_params(p, &m->norm_w, &m->norm_b, D, end, "", "norm");
    vit_classifier_params(p, &m->head_w, &m->head_b, C, D, end, "head");
}

/* Loss-free balance (Wang et al. 2024): b_j += u sign(mean load - load_j), after every optimizer step. */
static void after_step(void *self) {
    MorVit *m = self;
    if (m->router_bias == NULL) return;
    double sum = 0;
    for (int j = 0; j < m->recursions; j++) sum += m->load[j];
    for (int j = 0; j < m->recursions; j++) {
        const double lacks = sum / m->recursions - m->load[j];
        m->router_bias->data[j] += (Real)(lacks > 0 ? m->balance_rate : lacks < 0 ? -m->balance_rate : 0);
    }
    memset(m->load, 0, sizeof m->load);                  /* counted over all passes of a step */
}

/* ---- keys and values ---- */

/* Slots of the stack: one for each position k while what a slot holds stays valid from recursion to recursion, else one for
 * each unrolled block, used once. */
static bool slots_outlive_recursions(const MorVit *m) {
    return m->kv != KV_ALL || (m->sharing != SHARING_NONE && m->loop_conditioning != LOOP_NORM && m->loop_conditioning != LOOP_LORA);
}

static void slot_open(MorRun *run, KvSlot *slot) {
    slot->rows      = tensor_matrix(run->tape, run->all->n, 2 * (int64_t)run->m->embed_dim);
    slot->last_step = -1;
}

/* Unrolled block l on rows z of step s. Under `all` no slot is needed while every row is active: all keys are fresh. */
static Tensor *apply_block(MorRun *run, KvSlot slots[], Tensor *h, Tensor *z, int l, int s) {
    MorVit   *m = run->m;
    const int position = mor_stack_position(m, l);
    BlockUse  use = {.active = run->active, .step = s, .h = h, .layer = l, .drop_path = vit_drop_path(run->tape, l, m->n_layers)};
    KvSlot    once;
    if (position >= 0 && m->loop_conditioning > LOOP_STEP_EMBED) use.condition = &m->condition[position];
    if (slots != NULL && (m->kv != KV_ALL || run->active->n < run->all->n)) {
        if (position >= 0 && slots_outlive_recursions(m)) {
            use.slot = &slots[position % m->blocks_per_recursion];
        } else {
            use.slot = &once;
            slot_open(run, &once);
        }
        use.fresh  = m->kv != KV_SHARE || s == 0;
        use.frozen = m->kv == KV_ALL;
    }
    return mor_block(run, mor_block_at(m, l), z, &use);
}

/* ---- the paper's idea ---- */

/* Blocks first .. first+n-1 for the rows that the router lets go on: one step. */
static Tensor *take_step(MorRun *run, KvSlot slots[], Tensor *h, int s, int first, int n, const char *name, int index) {
    MorVit  *m = run->m;
    Tape    *t = run->tape;
    MorRoute route;
    if (!route_begin(run, &route)) return h;
    scope_open(t, name, index);
    m->router->choose(run, h, s, &route);
    if (!tape_failed(t)) route_end(run, &route, s);
    if (!tape_failed(t) && run->active->n > 0) {
        Tensor *y = h, *x = NULL;
        if (!route.all_plain) {
            scope_open(t, "gather", -1);
            y = x = scope_close(t, op_gather_rows(t, h, run->active->index, run->active->n));
        }
        if (m->loop_conditioning == LOOP_STEP_EMBED && !m->router->by_layer) y = op_add_tiled(t, y, m->step_embed[s]);
        for (int i = 0; i < n; i++) {
            const bool many = n > 1;
            if (many) scope_open(t, "stack", i);
            y = apply_block(run, slots, h, y, first + i, s);
            if (many) y = scope_close(t, y);
        }
        if (route.all_plain) {
            h = y;
        } else if (!tape_failed(t)) {
            scope_open(t, "combine", -1);
            Tensor *base = route.base != NULL ? op_gather_rows(t, route.base, run->active->index, run->active->n) : tape_recording(t) ? x : NULL;
            h = op_combine_rows(t, h, y, base, route.gate, (CombineRule){
                .index = run->active->index, .gate_at = route.gate_at, .constant = route.constant,
                .paper = m->combine == COMBINE_RULE_PAPER && !m->router->by_layer, .before = tape_recording(t) ? x : NULL});
            h = scope_close(t, h);
        }
    }
    return scope_close(t, h);
}

/* combine soft: mixed += p_r h, token by token, p the softmax over recursions; the class token is that of the last recursion. */
static void mix_in(MorRun *run, Tensor *h, int r) {
    MorVit    *m = run->m;
    Tape      *t = run->tape;
    const bool last = r == m->recursions - 1;
    if (run->mixed == NULL) {
        run->mixed = tensor_matrix(t, run->all->n, m->embed_dim);
        if (tape_failed(t)) return;
        memset(run->mixed->data, 0, (size_t)tensor_count(run->mixed) * sizeof(Real));
    }
    int32_t *gate_at = tape_alloc(t, (size_t)run->all->n * sizeof *gate_at);
    if (gate_at == NULL) return;
    for (int i = 0; i < run->all->n; i++)
        gate_at[i] = run->all->rows.patch[i] >= 0 ? i * m->recursions + r : last ? COMBINE_PLAIN : COMBINE_CONSTANT;
    scope_open(t, "combine", -1);
    Tensor *base = tape_recording(t) ? op_gather_rows(t, run->mixed, run->all->index, run->all->n) : NULL;
    run->mixed = op_combine_rows(t, run->mixed, h, base, run->gates, (CombineRule){.index = run->all->index, .gate_at = gate_at, .constant = 0,
                                                                                  .paper = true});
    run->mixed = scope_close(t, run->mixed);
}

/* Head on the class token of h, or on the mean of its patches. */
static Tensor *answer(MorRun *run, Tensor *h, bool keep_tokens) {
    MorVit *m = run->m;
    Tape   *t = run->tape;
    if (m->pool == POOL_TOKEN && !keep_tokens) h = op_gather_rows(t, h, vit_token_index(t, &run->all->rows, 0), run->B);
    h = op_layer_norm(t, h, m->norm_w, m->norm_b, VIT_NORM_EPS);
    if (keep_tokens) {
        run->out->tokens = h;
        run->out->rows   = &run->all->rows;
    }
    if (m->pool == POOL_MEAN) h = op_mean_pool(t, h, &run->all->rows, 1);
    else if (keep_tokens)     h = op_gather_rows(t, h, vit_token_index(t, &run->all->rows, 0), run->B);
    return op_linear(t, h, m->head_w, m->head_b, ACTIVATION_NONE, NULL);
}

/* The last block of middle sharing for other tokens than all: active ones, or the class token, which sees all. */
static Tensor *partial_tail(MorRun *run, Tensor *h) {
    MorVit  *m = run->m;
    Tape    *t = run->tape;
    MorRoute route;
    uint8_t *mark = tape_alloc(t, (size_t)run->all->n + 1);
    if (m->tail_tokens == TAIL_CLS) run->active = run->all;
    if (mark == NULL || !route_begin(run, &route)) return h;
    memset(mark, 0, (size_t)run->all->n);
    for (int i = 0; i < run->active->n; i++)
        mark[run->active->index[i]] = m->tail_tokens == TAIL_ACTIVE || run->active->rows.patch[i] < 0;
    route_keep(run, &route, mark);
    run->active = route.next;
    BlockUse use = {.active = route.next, .step = m->n_steps, .h = h, .layer = m->n_layers - 1, .drop_path = vit_drop_path(t, m->n_layers - 1, m->n_layers)};
    KvSlot   once;
    if (m->tail_tokens == TAIL_CLS || m->kv != KV_ACTIVE) {
        slot_open(run, &once);
        use.slot  = &once;
        use.fresh = use.frozen = true;                   /* all others have stopped */
    }
    Tensor *x = op_gather_rows(t, h, run->active->index, run->active->n);
    Tensor *y = mor_block(run, &m->last, x, &use);
    return op_combine_rows(t, h, y, NULL, NULL, (CombineRule){.index = run->active->index, .gate_at = route.gate_at, .constant = 1,
                                                              .before = tape_recording(t) ? x : NULL});
}

static void forward(void *self, Tape *t, const ModelInput *in, ModelOutput *out) {
    MorVit *m = self;
    MorRun  run;
    KvSlot  slot[MOR_MAX_BLOCKS], *slots = m->kv == KV_ACTIVE ? NULL : slot;
    const int B = (int)in->images->dim[0], K = m->blocks_per_recursion, R = m->recursions;
    *out = (ModelOutput){.n_tokens = m->T, .n_prefix = 1, .max_depth = m->n_steps, .n_steps = m->n_steps, .deep_weight = m->deep_supervision};
    if (!run_begin(&run, m, t, in, out)) goto failed;

    scope_open(t, "patch_embed", -1);
    Tensor *h = op_patch_embed(t, in->images, m->patch_w, m->patch_b);
    h = scope_close(t, op_add_tiled(t, op_concat_tokens(t, m->cls_token, h, B), m->pos_embed));
    if (m->router->embedded != NULL) m->router->embedded(&run, h);
    if (tape_failed(t)) goto failed;
    for (int k = 0; slots != NULL && slots_outlive_recursions(m) && k < K; k++) slot_open(&run, &slots[k]);

    if (m->router->by_layer) {
        for (int l = 0; l < m->n_layers && !tape_failed(t); l++) h = take_step(&run, slots, h, l, l, 1, "blocks", l);
    } else {
        const int first = m->middle ? 1 : 0;
        if (m->middle) {
            scope_open(t, "first", -1);
            h = scope_close(t, apply_block(&run, NULL, h, h, 0, -1));
        }
        if (m->router->begin != NULL) m->router->begin(&run, h);
        if (run.h0 != NULL && !tape_failed(t)) h = op_gather_rows(t, h, run.all->index, run.all->n);      /* h0 stays as it is */
        for (int r = 0; r < R && !tape_failed(t); r++) {
            h = take_step(&run, slots, h, r, first + r * K, K, "recursions", r);
            if (m->combine == COMBINE_RULE_SOFT && !tape_failed(t)) mix_in(&run, h, r);
            if (run.losses && m->deep_supervision > 0 && r < R - 1 && !tape_failed(t)) {
                scope_open(t, "deep", r);
                out->logits_deep[out->n_logits_deep++] = answer(&run, h, false);
                scope_close_many(t, NULL, 0);
            }
        }
        if (run.mixed != NULL) h = run.mixed;
        if (m->middle && !tape_failed(t)) {
            scope_open(t, "last", -1);
            if (m->tail_tokens == TAIL_ALL) run.active = run.all;
            h = m->tail_tokens == TAIL_ALL ? apply_block(&run, NULL, h, h, m->n_layers - 1, m->n_steps) : partial_tail(&run, h);
            h = scope_close(t, h);
        }
    }
    if (tape_failed(t)) goto failed;
    scope_open(t, "head", -1);
    out->logits = answer(&run, h, in->want_tokens);
    scope_close_many(t, (Tensor **[]){&out->logits, &out->tokens}, 2);
    out->depth = m->router->by_layer && run.training ? run.depth : run.taken;
    return;
failed:
    out->depth  = out->active = NULL;
    out->tokens = out->auxiliary_loss = NULL;
    out->n_loss_parts = out->n_logits_deep = 0;
    out->logits = tensor_matrix(t, B, m->num_classes);
}

static void image_shape(const void *self, int *channels, int *height, int *width, int *classes) {
    const MorVit *m = self;
    *channels = m->in_chans;
    *height   = *width = m->img_size;
    *classes  = m->num_classes;
}

static ModelTraits traits(const void *self) {
    const MorVit *m = self;
    const bool    decides = m->router->learned && !m->router->capacities && m->combine != COMBINE_RULE_SOFT;
    return (ModelTraits){.depth_unit = m->router->by_layer ? "layers" : "recursions", .routed = m->router != &router_none,
                         .decides_depth = decides || m->select == SELECT_THRESHOLD, .batch_dependent = m->select == SELECT_BATCHK};
}

static bool adapt(const void *self, const Param *p, int n_dims, const int64_t dim[], const float *data, Real *out) {
    const MorVit *m = self;
    return vit_adapt_positions(m->pos_embed, 1, p, n_dims, dim, data, out);
}

const ModelKind model_mor_vit = {
    .name = "mor_vit", .paper = "Li 2025, MOR-ViT; Bae et al. 2025, Mixture-of-Recursions",
    .fields = fields, .presets = presets, .size_bytes = sizeof(MorVit), .prepare = prepare, .each_param = each_param, .forward = forward,
    .count = mor_vit_count, .image_shape = image_shape, .traits = traits, .after_step = after_step, .init_from = mor_vit_init_from, .adapt = adapt,
};
