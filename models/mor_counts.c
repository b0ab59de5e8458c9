/* Closed-form cost of one image through MoR-ViT, from its settings and from how many rows it had in each step; no op runs here.
 *   block, t queries, s keys, n rows whose keys and values are computed:  2 t D^2 + 2 n D^2 + 2 t D F + 2 t s D  MACs
 *   rule      n                                             s
 *   active    t                                             t
 *   share     T in recursion 1, else 0                      T
 *   update    t                                             T
 *   all       t + rows stopped since the slot's last use    T      (t = T: as active)
 * Router nets: per_recursion over the candidates, once over all T tokens. */
#include "models/mor_route.h"

typedef struct Cost { const MorVit *m; ModelCounts *out; int64_t D, F, H, T; } Cost;

/* rows x (in -> out) with optional bias, low-rank addition and what follows it */
static void products(const Cost *c, int64_t rows, int64_t in, int64_t out, bool bias, bool lora) {
    c->out->macs        += rows * in * out;
    c->out->activations += rows * out;
    c->out->elementwise += bias ? rows * out : 0;
    if (!lora) return;
    c->out->macs        += rows * c->m->lora_rank * (in + out);
    c->out->activations += rows * (c->m->lora_rank + out);
    c->out->elementwise += rows * out;                                  /* its sum with W x */
}

static void norms(const Cost *c, int64_t rows) {
    c->out->layer_norm_elements += rows * c->D;
    c->out->elementwise         += 5 * rows * c->D;
}

/* t queries; slot: keys of all T tokens, else those of the queries; `fresh` active and `frozen` stopped rows' are computed now */
static void block(const Cost *c, int64_t t, bool slot, int64_t fresh, int64_t frozen, bool conditioned) {
    const bool    lora = conditioned && c->m->loop_conditioning == LOOP_LORA, scale = conditioned && c->m->loop_conditioning == LOOP_SCALE;
    const int64_t D = c->D, s = slot ? c->T : t;
    norms(c, 2 * t + frozen);
    products(c, t, D, D, true, false);                                  /* queries; keys and values */
    products(c, fresh + frozen, D, 2 * D, true, false);
    if (lora) {
        const int64_t rank = c->m->lora_rank, added = t + 2 * (fresh + frozen);
        products(c, t + frozen, D, rank, false, false);
        c->out->macs        += added * D * rank;
        c->out->activations += added * D;
        c->out->elementwise += added * D;
    }
    c->out->macs           += 2 * t * s * D;
    c->out->macs_attention += 2 * t * s * D;
    c->out->activations    += t * D + c->H * t * s;
    c->out->elementwise    += 2 * c->H * t * s;
    products(c, t, D, D, true, lora);
    products(c, t, D, c->F, true, lora);
    products(c, t, c->F, D, true, lora);
    c->out->elementwise += t * c->F + (scale ? 4 : 2) * t * D;          /* GELU, residual sums */
}

/* ---- router ---- */

static void net(const Cost *c, int64_t rows, int64_t outputs) {
    const MorVit *m = c->m;
    const int64_t D = c->D, wide = 2 * D, macs = rows * router_net_macs(m, (int)outputs);
    c->out->macs        += macs;
    c->out->macs_router += macs;
    c->out->activations += rows * (outputs + (m->router_net == NET_MLP2 ? wide : m->router_net == NET_MLP3 ? 2 * wide : m->router_net == NET_SPATIAL ? D : 0));
    c->out->elementwise += rows * (m->router_net == NET_MLP2 ? wide : m->router_net == NET_MLP3 ? 2 * wide : 0);      /* GELU, ReLU */
}

static void router_at_start(const Cost *c) {
    const MorVit *m = c->m;
    if (!m->router->learned || m->router_placement != PLACEMENT_ONCE) return;
    const int64_t outputs = m->router->n_outputs(m);
    net(c, c->T, outputs);
    if (m->router->answer_cost != NULL) c->out->elementwise += m->router->answer_cost(m) * c->T * outputs;
}

static void router_of_recursion(const Cost *c, int64_t candidates) {
    if (!c->m->router->learned || c->m->router_placement == PLACEMENT_ONCE) return;
    net(c, candidates, 1);
    c->out->elementwise += c->m->router->answer_cost(c->m) * candidates;
}

/* ---- steps ---- */

/* Rows of step s: as they were, or by the schedule; routers that decide depths have none and are counted at full depth. */
static int64_t rows_of(const MorVit *m, const RouteCounts *route, int s) {
    if (route != NULL && route->n_steps > 0) return route->active[s];
    return m->router->capacities ? mor_keep(m, mor_capacity(m, s)) + (m->cls == CLS_ALWAYS) : m->T;
}

static bool slot_stays(const MorVit *m) {
    return m->sharing != SHARING_NONE && m->loop_conditioning != LOOP_NORM && m->loop_conditioning != LOOP_LORA;
}

static void steps(const Cost *c, const RouteCounts *route) {
    const MorVit *m = c->m;
    const int     per_step = m->router->by_layer ? 1 : m->blocks_per_recursion, first = m->middle && !m->router->by_layer ? 1 : 0;
    int64_t       before = c->T, last_use[MOR_MAX_BLOCKS];                      /* rows when a slot was used last; T: never */
    for (int k = 0; k < MOR_MAX_BLOCKS; k++) last_use[k] = c->T;
    for (int s = 0; s < m->n_steps; s++) {
        const int64_t t = rows_of(m, route, s);
        router_of_recursion(c, before - (m->cls == CLS_ALWAYS));
        if (m->loop_conditioning == LOOP_STEP_EMBED) c->out->elementwise += t * c->D;
        for (int i = 0; i < per_step; i++) {
            const int     position = mor_stack_position(m, first + s * per_step + i);
            const bool    slot = m->kv != KV_ACTIVE && (m->kv != KV_ALL || t < c->T);
            const int64_t fresh = m->kv == KV_SHARE && s > 0 ? 0 : t;
            int64_t       frozen = 0;
            if (slot && m->kv == KV_ALL) {
                const bool stays = position >= 0 && slot_stays(m);
                frozen = (stays ? last_use[position % m->blocks_per_recursion] : c->T) - t;
                if (stays) last_use[position % m->blocks_per_recursion] = t;
            }
            block(c, t, slot, fresh, frozen, position >= 0);
        }
        const bool last = s == m->n_steps - 1;
        if (m->router->gated_rows != NULL) c->out->elementwise += 2 * c->D * m->router->gated_rows(m, t, last ? 0 : rows_of(m, route, s + 1), last);
        before = t;
    }
    if (!m->middle || m->router->by_layer) return;
    if (m->tail_tokens == TAIL_ALL) {
        block(c, c->T, false, c->T, 0, false);
        return;
    }
    const int64_t t = m->tail_tokens == TAIL_CLS ? 1 : before;
    const bool    slot = m->tail_tokens == TAIL_CLS || m->kv != KV_ACTIVE;
    block(c, t, slot, t, slot ? c->T - t : 0, false);
}

void mor_vit_count(const void *self, const RouteCounts *route, ModelCounts *out) {
    const MorVit *m = self;
    const int64_t N = m->n_patches, D = m->embed_dim, C = m->num_classes, T = m->T;
    const Cost    c = {m, out, D, m->mlp_width, m->num_heads, T};
    *out = (ModelCounts){.macs = N * m->in_chans * m->patch_size * m->patch_size * D, .activations = N * D, .elementwise = N * D + T * D};
    const bool deep = route != NULL && route->training && m->deep_supervision > 0 && !m->router->by_layer;
    for (int r = 0; deep && r < m->recursions - 1; r++) {     /* answers of the class token */
        norms(&c, 1);
        products(&c, 1, D, C, true, false);
    }
    router_at_start(&c);
    if (m->middle && !m->router->by_layer) block(&c, T, false, T, 0, false);
    steps(&c, route);
    norms(&c, m->pool == POOL_MEAN ? T : 1);
    if (m->pool == POOL_MEAN) out->elementwise += T * D;
    products(&c, 1, D, C, true, false);
}
