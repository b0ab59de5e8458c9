/* Router nets: scores of tokens. linear D -> out; mlp2 D -> 2D, GELU -> out; mlp3 D -> 2D, GELU -> 2D, ReLU -> out (the MoR-ViT
 * author's); spatial: depthwise 3x3 over the tokens that are there, then linear. No biases. x (n,D) -> (n,out) */
#include "models/mor_route.h"

#include <stdio.h>

void router_net_params(RouterNet *net, Params *p, const MorVit *m, int n_outputs, const char *prefix) {
    const ParamSpec weight = {INIT_NORMAL_002, PARAM_DECAYED, -1, 0};      /* new, as the head: the highest rate */
    const int       D = m->embed_dim, wide = 2 * D;
    net->n_layers = m->router_net == NET_MLP2 ? 2 : m->router_net == NET_MLP3 ? 3 : 1;
    net->dw       = NULL;
    if (m->router_net == NET_SPATIAL) param_add(p, &net->dw, weight, 4, (int64_t[]){D, 1, 3, 3}, "%s.dw.weight", prefix);
    for (int i = 0; i < net->n_layers; i++) {
        const int64_t dim[] = {i == net->n_layers - 1 ? n_outputs : wide, i == 0 ? D : wide};
        if (net->n_layers == 1) param_add(p, &net->w[i], weight, 2, dim, "%s.weight", prefix);
        else                    param_add(p, &net->w[i], weight, 2, dim, "%s.fc%d.weight", prefix, i + 1);
    }
}

int64_t router_net_macs(const MorVit *m, int n_outputs) {
    const int64_t D = m->embed_dim;
    switch (m->router_net) {
    case NET_MLP2:    return 2 * D * D + 2 * D * n_outputs;
    case NET_MLP3:    return 6 * D * D + 2 * D * n_outputs;
    case NET_SPATIAL: return 9 * D + D * n_outputs;
    default:          return D * n_outputs;
    }
}

/* Row of each of the nine cells around every row's patch, within its image; -1: no such row, or a class token. */
static int32_t *neighbours(MorRun *run, const TokenRows *rows) {
    const int side = run->m->img_size / run->m->patch_size;
    int32_t  *near = tape_alloc(run->tape, (size_t)(9 * token_rows_count(rows) + 1) * sizeof *near);
    int32_t  *at   = tape_alloc(run->tape, (size_t)run->m->n_patches * sizeof *at);        /* patch -> row */
    if (near == NULL || at == NULL) return NULL;
    for (int b = 0; b < rows->n_images; b++) {
        for (int p = 0; p < run->m->n_patches; p++) at[p] = -1;
        for (int32_t i = rows->offset[b]; i < rows->offset[b + 1]; i++)
            if (rows->patch[i] >= 0) at[rows->patch[i]] = i;
        for (int32_t i = rows->offset[b]; i < rows->offset[b + 1]; i++)
            for (int j = 0; j < 9; j++) {
                const int y = rows->patch[i] / side + j / 3 - 1, x = rows->patch[i] % side + j % 3 - 1;
                near[9 * i + j] = rows->patch[i] >= 0 && y >= 0 && y < side && x >= 0 && x < side ? at[y * side + x] : -1;
            }
    }
    return near;
}

Tensor *router_net_scores(MorRun *run, const RouterNet *net, Tensor *x, const TokenRows *rows) {
    Tape *t = run->tape;
    if (net->dw != NULL) {
        const int32_t *near = neighbours(run, rows);
        if (near == NULL) return tensor_matrix(t, 0, net->w[0]->dim[0]);
        x = op_neighbour_mix(t, x, net->dw, near);
    }
    for (int i = 0; i < net->n_layers; i++) {
        const bool last = i == net->n_layers - 1;
        x = op_linear(t, x, net->w[i], NULL, !last && i == 0 ? ACTIVATION_GELU : ACTIVATION_NONE, NULL);
        if (!last && i == 1) x = op_relu(t, x);
    }
    return x;
}

Tensor *detached(Tape *tape, Tensor *x) { return tensor_from(tape, x->n_dims, x->dim, x->data, false); }
