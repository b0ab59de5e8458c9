/* A MoR-ViT begins as a trained ViT of the same width (Bae et al. 2025, section 3.1, after Bae et al. 2024, Relaxed Recursive
 * Transformers). With U unique blocks of the stack, taken from the layers a..b-1 of the ViT (middle sharing: its first and
 * last layer become the first and last block, as the MoR-ViT author does):
 *   stepwise  block k = layer a + round(k (b-1-a) / (U-1)), a single block the middle one (halves away from zero)
 *   average   block k = mean of the layers that it stands for
 *   lower     block k = layer a + k                              upper     block k = layer b - U + k
 *   random    only embeddings, first and last block, norm and head are taken; the stack stays as drawn
 * Embeddings, positions, final norm and head are copied; routers and what recursions have of their own stay as drawn. */
#include "models/mor_vit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum Rule { STEPWISE, AVERAGE, LOWER, UPPER, RANDOM, N_RULES } Rule;
static const char *const rules[] = {[STEPWISE] = "stepwise", [AVERAGE] = "average", [LOWER] = "lower", [UPPER] = "upper", [RANDOM] = "random"};

static int layers_of(const Model *source) {
    int  n = 0;
    char name[PARAM_NAME_MAX];
    for (;; n++) {
        snprintf(name, sizeof name, "blocks.%d.norm1.weight", n);
        if (params_find(source->params, name) == NULL) return n;
    }
}

/* Mean of the layers a + p whose position p the block k stands for; positions past the unrolled stack are left out. */
static bool average(MorVit *m, int k, const Model *source, int a, int n, Error *err) {
    const int unrolled = m->n_layers - (m->middle ? 2 : 0);
    int       used = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int p = 0, taken = 0; p < n && p < unrolled; p++) {
            if (mor_block_at(m, p + (m->middle ? 1 : 0)) != &m->stack[k]) continue;
            if (pass == 0) used++;
            else if (!vit_take_block(&m->stack[k], source, a + p, 1.0 / used, taken++ > 0, err)) return false;
        }
    return used > 0 || FAIL(err, "/model/recursions", "block %d stands for none of the %d layers to average", k, n);
}

bool mor_vit_init_from(void *self, const Model *source, const char *rule, Error *err) {
    MorVit   *m = self;
    const int layers = layers_of(source), a = m->middle ? 1 : 0, b = layers - (m->middle ? 1 : 0), n = b - a, U = m->n_stack;
    int       kind = STEPWISE;
    while (kind < N_RULES && strcmp(rules[kind], rule) != 0) kind++;
    if (kind == N_RULES) return FAIL(err, "", "unknown rule \"%.40s\" of initialisation; known: stepwise, average, lower, upper, random", rule);
    if (n < U && kind != RANDOM) return FAIL(err, "", "a ViT of %d layers is too shallow for a stack of %d blocks%s", layers, U, m->middle ? " between first and last" : "");
    const struct { Tensor *to; const char *name; } part[] = {
        {m->cls_token, "cls_token"}, {m->pos_embed, "pos_embed"}, {m->patch_w, "patch_embed.proj.weight"}, {m->patch_b, "patch_embed.proj.bias"},
        {m->norm_w, "norm.weight"}, {m->norm_b, "norm.bias"}, {m->head_w, "head.weight"}, {m->head_b, "head.bias"}};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (!vit_take(part[i].to, source, 1, false, part[i].name, err)) return false;
    if (m->middle && (!vit_take_block(&m->first, source, 0, 1, false, err) || !vit_take_block(&m->last, source, layers - 1, 1, false, err))) return false;
    for (int k = 0; k < U && kind != RANDOM; k++) {
        const int stepwise = a + (int)lround(U > 1 ? (double)k * (n - 1) / (U - 1) : (n - 1) / 2.0);
        const int layer    = kind == STEPWISE ? stepwise : kind == LOWER ? a + k : b - U + k;
        if (kind == AVERAGE ? !average(m, k, source, a, n, err) : !vit_take_block(&m->stack[k], source, layer, 1, false, err)) return false;
    }
    return true;
}
