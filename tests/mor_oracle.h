/* A dense, masked MoR-ViT in double precision, one image at a time, for given depths: every token is there in every step, and
 * who takes part is a matter of masks. Written from the equations (specification D.2 to D.5 of models/README.md), shares no code
 * with models/mor_*.c but the names of settings and weights. */
#ifndef TESTS_MOR_ORACLE_H
#define TESTS_MOR_ORACLE_H

#include "models/mor_vit.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORACLE_T = 65, ORACLE_D = 32, ORACLE_F = 96, ORACLE_R = 8, ORACLE_L = 24 };

typedef struct Oracle {
    Model         *model;
    const MorVit  *m;
    const int32_t *depth;                            /* (T) given */
    int            T, D, F, H;
    double         h[ORACLE_T][ORACLE_D];
    double         embedded[ORACLE_T][ORACLE_D];
    double         before[ORACLE_R][ORACLE_T][ORACLE_D];   /* the stream as recursion r found it */
    double         score[ORACLE_R][ORACLE_T];        /* of recursion r; of patches (and a routed class token) */
    double         once[ORACLE_T][ORACLE_L];         /* answers of a net asked once */
    double         kv[ORACLE_L][ORACLE_T][2 * ORACLE_D];   /* saved keys and values of a stack position */
    double         logits[32];
} Oracle;

static inline const Real *oracle_weight(const Oracle *o, const char *format, ...) {
    char    name[PARAM_NAME_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const Param *p = params_find(o->model->params, name);
    return p != NULL ? p->tensor->data : NULL;
}

/* y (n_out) = W x + b, W (n_out,n_in) */
static inline void oracle_linear(const Real *w, const Real *b, int n_in, int n_out, const double *x, double *y) {
    for (int o = 0; o < n_out; o++) {
        double sum = b != NULL ? (double)b[o] : 0;
        for (int i = 0; i < n_in; i++) sum += (double)w[o * n_in + i] * x[i];
        y[o] = sum;
    }
}

static inline void oracle_norm(const Real *gain, const Real *bias, int D, const double *x, double *y) {
    double mean = 0, variance = 0;
    for (int d = 0; d < D; d++) mean += x[d] / D;
    for (int d = 0; d < D; d++) variance += (x[d] - mean) * (x[d] - mean) / D;
    for (int d = 0; d < D; d++) y[d] = (x[d] - mean) / sqrt(variance + 1e-6) * (double)gain[d] + (double)bias[d];
}

static inline double oracle_gelu(double x) { return 0.5 * x * (1 + erf(x / sqrt(2))); }

/* ---- blocks ---- */

typedef struct OracleBlock { char prefix[40], loop[40]; } OracleBlock;     /* "stack.1."; "loop.2.stack.1." or "" */

/* The product of one of the block's weights, with its low-rank part where the recursion has one. */
static inline void oracle_product(const Oracle *o, const OracleBlock *b, const char *name, int n_in, int n_out, const double *x, double *y) {
    oracle_linear(oracle_weight(o, "%s%s.weight", b->prefix, name), oracle_weight(o, "%s%s.bias", b->prefix, name), n_in, n_out, x, y);
    const Real *a = b->loop[0] != '\0' ? oracle_weight(o, "%s%s.lora_a", b->loop, name) : NULL;
    if (a == NULL) return;
    const Real *low_to_out = oracle_weight(o, "%s%s.lora_b", b->loop, name);
    double      low[64], more[3 * ORACLE_D + ORACLE_F];
    oracle_linear(a, NULL, n_in, o->m->lora_rank, x, low);
    oracle_linear(low_to_out, NULL, o->m->lora_rank, n_out, low, more);
    for (int i = 0; i < n_out; i++) y[i] += more[i];
}

static inline void oracle_block_norm(const Oracle *o, const OracleBlock *b, const char *name, const double *x, double *y) {
    const Real *own = b->loop[0] != '\0' ? oracle_weight(o, "%s%s.weight", b->loop, name) : NULL;
    if (own != NULL) oracle_norm(own, oracle_weight(o, "%s%s.bias", b->loop, name), o->D, x, y);
    else             oracle_norm(oracle_weight(o, "%s%s.weight", b->prefix, name), oracle_weight(o, "%s%s.bias", b->prefix, name), o->D, x, y);
}

static inline void oracle_kv(const Oracle *o, const OracleBlock *b, const double *x, double *kv) {
    double normed[ORACLE_D], qkv[3 * ORACLE_D];
    oracle_block_norm(o, b, "norm1", x, normed);
    oracle_product(o, b, "attn.qkv", o->D, 3 * o->D, normed, qkv);
    memcpy(kv, qkv + o->D, (size_t)(2 * o->D) * sizeof *kv);
}

/* x of the tokens in `query`; keys and values of the tokens in `visible`. */
static inline void oracle_block(const Oracle *o, const OracleBlock *b, double x[][ORACLE_D], const bool query[], double kv[][2 * ORACLE_D],
                                const bool visible[]) {
    const int D = o->D, E = D / o->H;
    for (int i = 0; i < o->T; i++) {
        double normed[ORACLE_D], qkv[3 * ORACLE_D], mixed[ORACLE_D] = {0}, out[ORACLE_D], hidden[ORACLE_F];
        if (!query[i]) continue;
        oracle_block_norm(o, b, "norm1", x[i], normed);
        oracle_product(o, b, "attn.qkv", D, 3 * D, normed, qkv);
        for (int head = 0; head < o->H; head++) {
            double s[ORACLE_T], max = -INFINITY, sum = 0;
            for (int j = 0; j < o->T; j++) {
                s[j] = visible[j] ? 0 : -INFINITY;
                for (int e = 0; visible[j] && e < E; e++) s[j] += qkv[head * E + e] * kv[j][head * E + e] / sqrt(E);
                max = fmax(max, s[j]);
            }
            for (int j = 0; j < o->T; j++) sum += s[j] = exp(s[j] - max);
            for (int j = 0; j < o->T; j++)
                for (int e = 0; visible[j] && e < E; e++) mixed[head * E + e] += s[j] / sum * kv[j][D + head * E + e];
        }
        const Real *scale1 = b->loop[0] != '\0' ? oracle_weight(o, "%sls1.gamma", b->loop) : NULL;
        const Real *scale2 = b->loop[0] != '\0' ? oracle_weight(o, "%sls2.gamma", b->loop) : NULL;
        oracle_product(o, b, "attn.proj", D, D, mixed, out);
        for (int d = 0; d < D; d++) x[i][d] += (scale1 != NULL ? (double)scale1[d] : 1) * out[d];
        oracle_block_norm(o, b, "norm2", x[i], normed);
        oracle_product(o, b, "mlp.fc1", D, o->F, normed, hidden);
        for (int f = 0; f < o->F; f++) hidden[f] = oracle_gelu(hidden[f]);
        oracle_product(o, b, "mlp.fc2", o->F, D, hidden, out);
        for (int d = 0; d < D; d++) x[i][d] += (scale2 != NULL ? (double)scale2[d] : 1) * out[d];
    }
}

/* A block over all tokens, or over `query` with every token's keys from h. */
static inline void oracle_whole_block(Oracle *o, const char *prefix, const bool query[], bool only_active_visible) {
    double      kv[ORACLE_T][2 * ORACLE_D];
    bool        all[ORACLE_T];
    OracleBlock b = {.loop = ""};
    snprintf(b.prefix, sizeof b.prefix, "%s", prefix);
    for (int i = 0; i < o->T; i++) {
        all[i] = true;
        oracle_kv(o, &b, o->h[i], kv[i]);
    }
    oracle_block(o, &b, o->h, query != NULL ? query : all, kv, only_active_visible && query != NULL ? query : all);
}

/* ---- routers ---- */

/* The net `prefix` on token i's row of x; there: tokens that a spatial net sees. */
static inline void oracle_net(const Oracle *o, const char *prefix, double x[][ORACLE_D], int i, const bool there[], int n_out, double *y) {
    const int   D = o->D, side = o->m->img_size / o->m->patch_size;
    const Real *dw = oracle_weight(o, "%s.dw.weight", prefix), *w = oracle_weight(o, "%s.weight", prefix);
    double      mixed[ORACLE_D] = {0}, first[2 * ORACLE_D], second[2 * ORACLE_D];
    memcpy(mixed, x[i], sizeof mixed);
    if (dw != NULL) {
        memset(mixed, 0, sizeof mixed);
        for (int j = 0; i > 0 && j < 9; j++) {
            const int row = (i - 1) / side + j / 3 - 1, column = (i - 1) % side + j % 3 - 1, at = 1 + row * side + column;
            if (row < 0 || row >= side || column < 0 || column >= side || !there[at]) continue;
            for (int d = 0; d < D; d++) mixed[d] += (double)dw[d * 9 + j] * x[at][d];
        }
    }
    if (w != NULL) {
        oracle_linear(w, NULL, D, n_out, mixed, y);
        return;
    }
    const Real *w3 = oracle_weight(o, "%s.fc3.weight", prefix);
    oracle_linear(oracle_weight(o, "%s.fc1.weight", prefix), NULL, D, 2 * D, mixed, first);
    for (int d = 0; d < 2 * D; d++) first[d] = oracle_gelu(first[d]);
    oracle_linear(oracle_weight(o, "%s.fc2.weight", prefix), NULL, 2 * D, w3 != NULL ? 2 * D : n_out, first, w3 != NULL ? second : y);
    if (w3 == NULL) return;
    for (int d = 0; d < 2 * D; d++) second[d] = fmax(0, second[d]);
    oracle_linear(w3, NULL, 2 * D, n_out, second, y);
}

static inline void oracle_ask_once(Oracle *o, double x[][ORACLE_D], int n_out) {
    bool all[ORACLE_T];
    for (int i = 0; i < o->T; i++) all[i] = true;
    for (int i = 0; i < o->T; i++) oracle_net(o, "router", x, i, all, n_out, o->once[i]);
}

static inline double oracle_act(const MorVit *m, double s) {
    return m->activation == GATE_SIGMOID ? 1 / (1 + exp(-s)) : m->activation == GATE_TANH ? tanh(s) : s;
}

/* Whose gates come from a net that scores the candidates, whoever chooses among them. */
static inline bool oracle_scores_shares(const MorVit *m) { return m->router == &router_expert || m->router == &router_random_gated; }

/* ---- the pass ---- */

static inline void oracle_block_name(const MorVit *m, int l, OracleBlock *b) {
    const int K = m->blocks_per_recursion, R = m->recursions, p = l - (m->middle ? 1 : 0);
    const int u = m->sharing == SHARING_NONE ? p : m->sharing == SHARING_SEQUENCE || m->sharing == SHARING_MIDDLE_SEQUENCE ? p / R : p % K;
    b->loop[0] = '\0';
    if (m->middle && l == 0)                   snprintf(b->prefix, sizeof b->prefix, "first.");
    else if (m->middle && l == m->n_layers - 1) snprintf(b->prefix, sizeof b->prefix, "last.");
    else {
        snprintf(b->prefix, sizeof b->prefix, "stack.%d.", u);
        snprintf(b->loop, sizeof b->loop, "loop.%d.stack.%d.", p / K, p % K);
    }
}

/* Step s, whose blocks are first .. first+n-1: x becomes what the active tokens come out as. */
static inline void oracle_stack(Oracle *o, int s, int first, int n, const bool active[], double x[][ORACLE_D]) {
    const MorVit *m = o->m;
    bool          all[ORACLE_T];
    for (int i = 0; i < o->T; i++) all[i] = true;
    for (int k = 0; k < n; k++) {
        double      fresh[ORACLE_T][2 * ORACLE_D];
        OracleBlock b;
        oracle_block_name(m, first + k, &b);
        for (int i = 0; i < o->T; i++) oracle_kv(o, &b, active[i] ? x[i] : o->h[i], fresh[i]);
        double(*kv)[2 * ORACLE_D] = fresh;
        if (m->kv == KV_SHARE || m->kv == KV_UPDATE) {
            for (int i = 0; i < o->T; i++)
                if (s == 0 || (m->kv == KV_UPDATE && active[i])) memcpy(o->kv[k][i], fresh[i], sizeof fresh[i]);
            kv = o->kv[k];
        }
        oracle_block(o, &b, x, active, kv, m->kv == KV_ACTIVE ? active : all);
    }
}

static inline void oracle_recursion(Oracle *o, int r, int first, double h0[][ORACLE_D]) {
    const MorVit *m = o->m;
    const int     R = m->recursions;
    bool          active[ORACLE_T], candidate[ORACLE_T];
    double        x[ORACLE_T][ORACLE_D];
    const Real   *embed = oracle_weight(o, "loop.%d.embed", r);
    char          name[32];
    snprintf(name, sizeof name, "routers.%d", r);
    memcpy(o->before[r], o->h, sizeof o->h);
    for (int i = 0; i < o->T; i++) {
        active[i]    = o->depth[i] > r;
        candidate[i] = o->depth[i] >= r && (i > 0 || m->cls == CLS_ROUTED);
    }
    for (int i = 0; i < o->T; i++) {
        if (oracle_scores_shares(m) && candidate[i]) {
            if (m->router_placement == PLACEMENT_ONCE) o->score[r][i] = o->once[i][r];
            else                                       oracle_net(o, name, o->h, i, candidate, 1, &o->score[r][i]);
            o->score[r][i] /= m->temperature;
        }
        for (int d = 0; d < o->D; d++) x[i][d] = o->h[i][d] + (embed != NULL && active[i] ? (double)embed[d] : 0);
    }
    oracle_stack(o, r, first, m->blocks_per_recursion, active, x);
    for (int i = 0; i < o->T; i++) {
        if (!active[i]) continue;
        const bool free_cls = i == 0 && m->cls == CLS_ALWAYS;
        double     g = 1, *base = o->h[i];
        bool       replace = m->router == &router_none || m->combine == COMBINE_RULE_REPLACE;
        if (oracle_scores_shares(m))     g = free_cls ? (m->combine == COMBINE_RULE_PAPER ? m->alpha : 1) : m->alpha * oracle_act(m, o->score[r][i]);
        if (m->router == &router_random) g = free_cls && m->combine != COMBINE_RULE_PAPER ? 1 : m->alpha;
        if (m->router == &router_token) {
            double max = -INFINITY, sum = 0;
            for (int j = 0; j < R; j++) max = fmax(max, o->once[i][j] / m->temperature);
            for (int j = 0; j < R; j++) sum += exp(o->once[i][j] / m->temperature - max);
            g       = i == 0 ? 1 : exp(o->once[i][o->depth[i] - 1] / m->temperature - max) / sum;
            base    = h0[i];
            replace = replace || o->depth[i] != r + 1 || m->combine == COMBINE_RULE_SOFT;
        }
        for (int d = 0; d < o->D; d++)
            o->h[i][d] = replace ? x[i][d] : m->combine == COMBINE_RULE_PAPER ? base[d] + g * x[i][d] : base[d] + g * (x[i][d] - base[d]);
    }
}

static inline void oracle_run(Oracle *o, Model *model, const Real *image, const int32_t *depth) {
    const MorVit *m = model->self;
    const int     P = m->patch_size, side = m->img_size / P, C = m->in_chans;
    *o = (Oracle){.model = model, .m = m, .depth = depth, .T = m->T, .D = m->embed_dim, .F = m->mlp_width, .H = m->num_heads};
    const Real *pos = oracle_weight(o, "pos_embed"), *cls = oracle_weight(o, "cls_token");
    for (int i = 0; i < o->T; i++) {
        double pixels[3 * 8 * 8];
        for (int c = 0; i > 0 && c < C; c++)
            for (int y = 0; y < P; y++)
                for (int x = 0; x < P; x++)
                    pixels[(c * P + y) * P + x] = (double)image[(c * m->img_size + (i - 1) / side * P + y) * m->img_size + (i - 1) % side * P + x];
        if (i > 0) oracle_linear(oracle_weight(o, "patch_embed.proj.weight"), oracle_weight(o, "patch_embed.proj.bias"), C * P * P, o->D, pixels, o->h[i]);
        for (int d = 0; d < o->D; d++) o->h[i][d] = (i == 0 ? (double)cls[d] : o->h[i][d]) + (double)pos[i * o->D + d];
    }
    memcpy(o->embedded, o->h, sizeof o->h);
    if (oracle_scores_shares(m) && m->router_placement == PLACEMENT_ONCE) oracle_ask_once(o, o->embedded, m->recursions);
    if (m->router->by_layer) {
        oracle_ask_once(o, o->embedded, m->n_layers);
        for (int l = 0; l < m->n_layers; l++) {
            bool   active[ORACLE_T];
            double x[ORACLE_T][ORACLE_D];
            for (int i = 0; i < o->T; i++) active[i] = depth[i] > l;
            memcpy(x, o->h, sizeof x);
            oracle_stack(o, l, l, 1, active, x);
            for (int i = 0; i < o->T; i++)
                if (active[i]) memcpy(o->h[i], x[i], sizeof x[i]);
        }
    } else {
        double h0[ORACLE_T][ORACLE_D];
        if (m->middle) oracle_whole_block(o, "first.", NULL, false);
        memcpy(h0, o->h, sizeof h0);
        if (m->router == &router_token) oracle_ask_once(o, h0, m->recursions);
        double mixed[ORACLE_T][ORACLE_D] = {{0}};
        for (int r = 0; r < m->recursions; r++) {
            oracle_recursion(o, r, (m->middle ? 1 : 0) + r * m->blocks_per_recursion, h0);
            for (int i = 1; m->combine == COMBINE_RULE_SOFT && i < o->T; i++) {
                double sum = 0;
                for (int j = 0; j < m->recursions; j++) sum += exp((o->once[i][j] - o->once[i][r]) / m->temperature);
                for (int d = 0; d < o->D; d++) mixed[i][d] += o->h[i][d] / sum;
            }
        }
        for (int i = 1; m->combine == COMBINE_RULE_SOFT && i < o->T; i++) memcpy(o->h[i], mixed[i], sizeof mixed[i]);
        if (m->middle) {
            bool query[ORACLE_T];
            for (int i = 0; i < o->T; i++) query[i] = m->tail_tokens == TAIL_ALL || (m->tail_tokens == TAIL_CLS ? i == 0 : depth[i] == m->recursions);
            oracle_whole_block(o, "last.", query, m->tail_tokens == TAIL_ACTIVE && m->kv == KV_ACTIVE);
        }
    }
    double readout[ORACLE_D] = {0};
    for (int i = 0; i < o->T; i++) {
        double normed[ORACLE_D];
        if (m->pool == POOL_TOKEN ? i > 0 : i == 0) continue;
        oracle_norm(oracle_weight(o, "norm.weight"), oracle_weight(o, "norm.bias"), o->D, o->h[i], normed);
        for (int d = 0; d < o->D; d++) readout[d] += normed[d] / (m->pool == POOL_TOKEN ? 1 : o->T - 1);
    }
    oracle_linear(oracle_weight(o, "head.weight"), oracle_weight(o, "head.bias"), o->D, m->num_classes, readout, o->logits);
}

#endif
