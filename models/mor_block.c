/* One block of MoR-ViT (mor_block.h): vit_block where nothing is special, else the same two residual branches,
 *   z + attention(q of the active rows, keys and values of the slot), then z + mlp(z)
 * Under `all`, a row that stopped gets its keys and values once, W_kv norm1(h), since neither h nor the shared weights change. */
#include "models/mor_block.h"

#include <math.h>
#include <string.h>

/* W x + b, or (W + B A) x + b */
static Tensor *project(Tape *t, Tensor *x, Tensor *w, Tensor *b, const MorLora *lora) {
    if (lora == NULL || lora->a == NULL) return op_linear(t, x, w, b, ACTIVATION_NONE, NULL);
    Tensor *low = op_linear(t, x, lora->a, NULL, ACTIVATION_NONE, NULL);
    return op_linear(t, x, w, b, ACTIVATION_NONE, op_linear(t, low, lora->b, NULL, ACTIVATION_NONE, NULL));
}

/* A x, or NULL without low-rank weights. */
static Tensor *low_rank(Tape *t, Tensor *x, const MorCondition *c) {
    return c != NULL && c->qkv.a != NULL ? op_linear(t, x, c->qkv.a, NULL, ACTIVATION_NONE, NULL) : NULL;
}

/* Rows first .. first+n-1 of qkv alone. */
static Tensor *project_part(Tape *t, Tensor *x, Tensor *low, const VitBlock *w, const MorCondition *c, int64_t first, int64_t n) {
    Tensor *part = op_linear_part(t, x, w->qkv_w, w->qkv_b, first, n);
    return low == NULL ? part : op_add(t, part, op_linear_part(t, low, c->qkv.b, NULL, first, n));
}

static Tensor *add_branch(MorRun *run, Tensor *z, Tensor *x, Tensor *w, Tensor *b, const MorLora *lora, Tensor *scale, const BlockUse *use,
                          int place) {
    Tape      *t     = run->tape;
    const bool drops = tape_step(t).training && use->drop_path > 0;
    if ((lora == NULL || lora->a == NULL) && scale == NULL && !drops) return op_linear_onto(t, x, w, b, z);
    Tensor *branch = project(t, x, w, b, lora);
    if (scale == NULL) return op_drop_path(t, z, branch, &use->active->rows, use->drop_path, 2 * use->layer + place);
    if (drops) {
        Tensor *nothing = tensor_matrix(t, branch->dim[0], branch->dim[1]);
        if (!tape_failed(t)) memset(nothing->data, 0, (size_t)tensor_count(nothing) * sizeof(Real));
        branch = op_drop_path(t, nothing, branch, &use->active->rows, use->drop_path, 2 * use->layer + place);
    }
    return op_add_scaled(t, z, branch, scale);
}

static Tensor *norm1(Tape *t, const VitBlock *w, const MorCondition *c, Tensor *z) {
    return c != NULL && c->norm1_w != NULL ? op_layer_norm(t, z, c->norm1_w, c->norm1_b, VIT_NORM_EPS)
                                           : op_layer_norm(t, z, w->norm1_w, w->norm1_b, VIT_NORM_EPS);
}

/* Rows that are not active now and were when the slot was used last (ever, if it was not), ascending. */
static int stopped_rows(const MorRun *run, const BlockUse *use, int32_t *index) {
    int n = 0;
    for (int i = 0, next = 0; i < run->all->n; i++) {
        if (next < use->active->n && use->active->index[next] == i) next++;
        else if (run->taken[i] > use->slot->last_step)              index[n++] = i;
    }
    return n;
}

/* The slot as this block sees it: x = norm1 of the active rows, low = A x or NULL. */
static Tensor *visible_rows(MorRun *run, const VitBlock *w, Tensor *x, Tensor *low, const BlockUse *use) {
    Tape         *t = run->tape;
    const int64_t D = run->m->embed_dim;
    Tensor       *rows = use->slot->rows;
    if (use->fresh) rows = op_replace_rows(t, rows, project_part(t, x, low, w, use->condition, D, 2 * D), use->active->index);
    if (use->frozen) {
        int32_t  *index = tape_alloc(t, (size_t)run->all->n * sizeof *index);
        const int n     = index != NULL ? stopped_rows(run, use, index) : 0;
        if (n > 0) {
            scope_open(t, "frozen", -1);
            Tensor *stopped = norm1(t, w, use->condition, op_gather_rows(t, use->h, index, n));
            rows = op_replace_rows(t, rows, project_part(t, stopped, low_rank(t, stopped, use->condition), w, use->condition, D, 2 * D), index);
            scope_close_many(t, NULL, 0);
        }
    }
    use->slot->rows      = rows;
    use->slot->last_step = use->step;
    return rows;
}

Tensor *mor_block(MorRun *run, const VitBlock *w, Tensor *z, const BlockUse *use) {
    const MorVit       *m = run->m;
    const MorCondition *c = use->condition;
    Tape               *t = run->tape;
    const int           D = m->embed_dim, E = D / m->num_heads;
    if (use->slot == NULL && c == NULL) return vit_block(t, w, z, &use->active->rows, m->num_heads, use->layer, use->drop_path, NULL);
    scope_open(t, "attn", -1);
    Tensor *x = norm1(t, w, c, z);
    if (use->slot == NULL) {
        x = op_attention(t, attention_qkv(project(t, x, w->qkv_w, w->qkv_b, &c->qkv), m->num_heads, &use->active->rows));
    } else {
        Tensor *low = low_rank(t, x, c), *q = project_part(t, x, low, w, c, 0, D), *kv = visible_rows(run, w, x, low, use);
        x = op_attention(t, (AttentionInput){.q = {q, 0, E}, .k = {kv, 0, E}, .v = {kv, D, E}, .n_heads = m->num_heads, .qk_width = E,
                                             .v_width = E, .scale = 1 / sqrt((double)E), .query_rows = &use->active->rows,
                                             .key_rows = &run->all->rows});
    }
    z = scope_close(t, add_branch(run, z, x, w->proj_w, w->proj_b, c != NULL ? &c->proj : NULL, c != NULL ? c->scale1 : NULL, use, 0));

    scope_open(t, "mlp", -1);
    x = c != NULL && c->norm2_w != NULL ? op_layer_norm(t, z, c->norm2_w, c->norm2_b, VIT_NORM_EPS)
                                        : op_layer_norm(t, z, w->norm2_w, w->norm2_b, VIT_NORM_EPS);
    x = c != NULL && c->fc1.a != NULL ? op_gelu(t, project(t, x, w->fc1_w, w->fc1_b, &c->fc1))
                                      : op_linear(t, x, w->fc1_w, w->fc1_b, ACTIVATION_GELU, NULL);
    x = op_dropout(t, x, &use->active->rows, tape_step(t).dropout, use->layer);
    return scope_close(t, add_branch(run, z, x, w->fc2_w, w->fc2_b, c != NULL ? &c->fc2 : NULL, c != NULL ? c->scale2 : NULL, use, 1));
}
