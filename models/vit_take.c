/* Weights of a trained model, by name, as the beginning of another (vit_parts.h). */
#include "models/vit_parts.h"

#include <stdio.h>
#include <string.h>

static bool same_shape(const Tensor *a, const Tensor *b) {
    return a->n_dims == b->n_dims && memcmp(a->dim, b->dim, (size_t)a->n_dims * sizeof *a->dim) == 0;
}

bool vit_take(Tensor *to, const Model *source, double factor, bool add, const char *name, Error *err) {
    const Param *from = params_find(source->params, name);
    if (from == NULL) return FAIL(err, name, "the model to start from (%s) has no tensor of this name", source->kind->name);
    if (!same_shape(to, from->tensor))
        return FAIL(err, name, "the model to start from has it in another shape: first dimension %lld, this one %lld", (long long)from->tensor->dim[0], (long long)to->dim[0]);
    for (int64_t i = 0; i < tensor_count(to); i++) to->data[i] = (Real)((add ? (double)to->data[i] : 0) + factor * (double)from->tensor->data[i]);
    tensor_touch(to);
    return true;
}

bool vit_take_block(VitBlock *b, const Model *source, int layer, double factor, bool add, Error *err) {
    const struct { Tensor *to; const char *name; } part[] = {
        {b->norm1_w, "norm1.weight"}, {b->norm1_b, "norm1.bias"}, {b->qkv_w, "attn.qkv.weight"}, {b->qkv_b, "attn.qkv.bias"},
        {b->proj_w, "attn.proj.weight"}, {b->proj_b, "attn.proj.bias"}, {b->norm2_w, "norm2.weight"}, {b->norm2_b, "norm2.bias"},
        {b->fc1_w, "mlp.fc1.weight"}, {b->fc1_b, "mlp.fc1.bias"}, {b->fc2_w, "mlp.fc2.weight"}, {b->fc2_b, "mlp.fc2.bias"}};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        char name[PARAM_NAME_MAX];
        snprintf(name, sizeof name, "blocks.%d.%s", layer, part[i].name);
        if (!vit_take(part[i].to, source, factor, add, name, err)) return false;
    }
    return true;
}
