/* The closed-form cost of a ViT (baselines/vit_counts.c, models/vit_counts.c) against what a forward pass really ran: MACs handed
 * to the backend, element operations of all ops, outputs of products; and that a forward doing more than it should is noticed. */
#include "baselines/registry.h"
#include "baselines/vit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a backend that counts the outputs of products ---- */

static Backend counting;
static int64_t n_outputs;                /* of products; of attention: scores and mixed values, as its two products make them */

static void counting_gemm(const Gemm *g) {
    n_outputs += g->M * g->N;
    backend_reference.gemm(g);
}
static void counting_attention(const AttentionArgs *a) {
    for (int s = 0; s < a->n_sequences; s++) {
        const int64_t Nq = a->q_offset[s + 1] - a->q_offset[s], Nk = a->k_offset[s + 1] - a->k_offset[s];
        n_outputs += a->H * Nq * (Nk + a->Ev);
    }
    backend_reference.attention(a);
}

static Tape *counting_tape(void) {
    Tape *tape = NULL;
    Error err  = {0};
    counting           = backend_reference;
    counting.gemm      = counting_gemm;
    counting.attention = counting_attention;
    assert_true(tape_create(&tape, &counting, &err));
    return tape;
}

/* ---- models ---- */

static Model *vit_of(const char *settings) {
    Model *m   = NULL;
    Error  err = {0};
    assert_true(model_new(&m, &model_vit, &err));
    if (!fields_set_from_text(model_vit.fields, m->self, settings, "/model", &err) || !model_build(m, &err)) fail_msg("%s: %s %s", settings, err.field, err.message);
    params_init(m->params, 5);
    return m;
}

static const int64_t ids[8] = {0, 1, 2, 3, 4, 5, 6, 7};

static void run(const Model *m, Tape *tape, int B, bool recording, ModelOutput *y) {
    const Vit *v = m->self;
    profile_clear(tape_profile(tape));
    n_outputs = 0;
    tape_begin(tape, recording, (TapeStep){0});
    Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){B, v->in_chans, v->img_size, v->img_size});
    images->needs_grad = false;
    m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = ids}, y);
    assert_false(tape_failed(tape));
}

static uint32_t dice_state = 1;
static int dice(int sides) {
    dice_state = dice_state * 1664525u + 1013904223u;
    return (int)((dice_state >> 8) % (uint32_t)sides);
}

static Model *random_vit(int round) {
    static const char *const ratios[] = {"0.5", "1", "2.7", "4"};
    char      settings[400];
    const int patch = dice(5) + 1, heads = dice(4) + 1;
    dice_state += (uint32_t)round;
    snprintf(settings, sizeof settings, "img_size=%d patch_size=%d in_chans=%d embed_dim=%d depth=%d num_heads=%d mlp_ratio=%s num_classes=%d distilled=%s",
             patch * (dice(5) + 1), patch, dice(4) + 1, heads * (2 * dice(4) + 2), dice(4) + 1, heads, ratios[dice(4)], dice(20) + 1,
             dice(2) == 0 ? "true" : "false");
    return vit_of(settings);
}

static ModelCounts counts_of(const Model *m) {
    ModelCounts c;
    m->kind->count(m->self, &(RouteCounts){0}, &c);
    return c;
}

/* ---- claims ---- */

static void what_runs_is_what_the_closed_form_says_for_any_settings_and_batch(void **state) {
    (void)state;
    Tape *tape = counting_tape();
    for (int round = 0; round < 60; round++) {
        Model            *m = random_vit(round);
        const ModelCounts c = counts_of(m);
        const int         B = dice(4) + 1;
        for (int recording = 0; recording < 2; recording++) {
            ModelOutput y;
            run(m, tape, B, recording, &y);
            const ProfileWork whole = profile_total(tape_profile(tape), 0, 0);
            assert_int_equal(whole.macs, B * c.macs);
            assert_int_equal(whole.elementwise, B * c.elementwise);
            assert_int_equal(n_outputs, B * c.activations);
            assert_int_equal(profile_kind(tape_profile(tape), "layer_norm")->forward.elementwise, 5 * B * c.layer_norm_elements);
            assert_int_equal(profile_kind(tape_profile(tape), "attention")->forward.macs, B * c.macs_attention);
            assert_int_equal(c.macs_router, 0);
            assert_int_equal(c.batch_norm_elements, 0);
        }
        model_destroy(m);
    }
    tape_destroy(tape);
}

static void sums_by_kind_are_the_sum_by_scope(void **state) {
    (void)state;
    Tape       *tape = counting_tape();
    Model      *m    = random_vit(3);
    ModelOutput y;
    run(m, tape, 2, false, &y);
    const Profile    *p     = tape_profile(tape);
    const ProfileWork whole = profile_total(p, 0, 0);
    ProfileWork       kinds = {0};
    for (int k = 0; k < p->n_kinds; k++) {
        kinds.calls += p->kind[k].forward.calls;
        kinds.macs += p->kind[k].forward.macs;
        kinds.elementwise += p->kind[k].forward.elementwise;
        kinds.bytes += p->kind[k].forward.bytes;
        kinds.elapsed_ns += p->kind[k].forward.elapsed_ns;
    }
    assert_memory_equal(&kinds, &whole, sizeof kinds);
    model_destroy(m);
    tape_destroy(tape);
}

static int64_t macs_of_scope(const Profile *p, const char *path) {
    char text[80];
    for (int s = 0; s < p->n_scopes; s++) {
        profile_path(p, s, text, sizeof text);
        if (strcmp(text, path) == 0) return profile_total(p, s, 0).macs;
    }
    fail_msg("no scope %s", path);
    return -1;
}

static void every_scope_has_its_own_part(void **state) {
    (void)state;
    Tape       *tape = counting_tape();
    Model      *m    = vit_of("img_size=15 patch_size=3 in_chans=2 embed_dim=24 depth=3 num_heads=4 mlp_ratio=3 num_classes=7 distilled=true");
    ModelOutput y;
    run(m, tape, 2, false, &y);
    const Profile *p = tape_profile(tape);
    const int64_t  B = 2, N = 25, n = 27, D = 24, F = 72, C = 7;
    assert_int_equal(macs_of_scope(p, "patch_embed"), B * N * 2 * 3 * 3 * D);
    for (int i = 0; i < 3; i++) {
        char path[40];
        snprintf(path, sizeof path, "blocks.%d.attn", i);
        assert_int_equal(macs_of_scope(p, path), B * (4 * n * D * D + 2 * n * n * D));
        snprintf(path, sizeof path, "blocks.%d.mlp", i);
        assert_int_equal(macs_of_scope(p, path), B * 2 * n * D * F);
    }
    assert_int_equal(macs_of_scope(p, "head"), B * 2 * D * C);
    assert_int_equal(p->scope[0].forward.calls, 0);           /* nothing outside the named parts */
    model_destroy(m);
    tape_destroy(tape);
}

/* A product's backward is two products, of an attention five half ones (scores again, dV, dP, dQ, dK); images want no gradient. */
static void a_backward_pass_costs_its_products(void **state) {
    (void)state;
    Tape *tape = counting_tape();
    for (int round = 0; round < 10; round++) {
        Model            *m = random_vit(round);
        const Vit        *v = m->self;
        const ModelCounts c = counts_of(m);
        const int64_t     B = 2, patches = (int64_t)v->n_patches * v->in_chans * v->patch_size * v->patch_size * v->embed_dim;
        Error             err = {0};
        ModelOutput       y;
        assert_true(params_want_grads(m->params, &err));
        params_zero_grads(m->params);
        run(m, tape, (int)B, true, &y);
        tape_backward(tape, op_cross_entropy(tape, y.logits, (int32_t[]){0, 0}, NULL, 0.1));
        assert_false(tape_failed(tape));
        assert_int_equal(profile_total(tape_profile(tape), 0, 1).macs, B * (2 * (c.macs - c.macs_attention) - patches) + 5 * (B * c.macs_attention / 2));
        model_destroy(m);
    }
    tape_destroy(tape);
}

/* The model's forward once more, out of its parts; wasteful: its head reads every token and all but one answer is dropped. */
static void forward_of_parts(const Model *m, Tape *t, int B, bool wasteful) {
    Vit *v = m->self;
    profile_clear(tape_profile(t));
    tape_begin(t, false, (TapeStep){0});
    Tensor          *images = sample_tensor(t, 0, 4, (int64_t[]){B, v->in_chans, v->img_size, v->img_size});
    const TokenRows *rows   = vit_rows(t, B, 1, v->n_patches, ids);
    Tensor *z = op_add_tiled(t, op_concat_tokens(t, v->cls_token, op_patch_embed(t, images, v->patch_w, v->patch_b), B), v->pos_embed);
    for (int i = 0; i < v->depth; i++) z = vit_block(t, &v->block[i], z, rows, v->num_heads, i, 0, NULL);
    z = op_layer_norm(t, z, v->norm_w, v->norm_b, VIT_NORM_EPS);
    const int32_t *first = vit_token_index(t, rows, 0);
    if (wasteful) z = op_gather_rows(t, op_linear(t, z, v->head_w, v->head_b, ACTIVATION_NONE, NULL), first, B);
    else          z = op_linear(t, op_gather_rows(t, z, first, B), v->head_w, v->head_b, ACTIVATION_NONE, NULL);
    assert_false(tape_failed(t));
}

static void rows_computed_for_nothing_are_counted_and_noticed(void **state) {
    (void)state;
    Tape             *tape = counting_tape();
    Model            *m    = vit_of("img_size=12 patch_size=4 in_chans=1 embed_dim=16 depth=2 num_heads=2 num_classes=5");
    const ModelCounts c    = counts_of(m);
    forward_of_parts(m, tape, 3, false);
    assert_int_equal(profile_total(tape_profile(tape), 0, 0).macs, 3 * c.macs);
    assert_int_equal(profile_total(tape_profile(tape), 0, 0).elementwise, 3 * c.elementwise);
    forward_of_parts(m, tape, 3, true);
    assert_int_equal(profile_total(tape_profile(tape), 0, 0).macs - 3 * c.macs, 3 * 9 * 16 * 5);         /* nine patches an image too many */
    assert_int_equal(profile_total(tape_profile(tape), 0, 0).elementwise - 3 * c.elementwise, 3 * 9 * 5);
    model_destroy(m);
    tape_destroy(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_runs_is_what_the_closed_form_says_for_any_settings_and_batch),
        cmocka_unit_test(sums_by_kind_are_the_sum_by_scope),
        cmocka_unit_test(every_scope_has_its_own_part),
        cmocka_unit_test(a_backward_pass_costs_its_products),
        cmocka_unit_test(rows_computed_for_nothing_are_counted_and_noticed),
    };
    return cmocka_run_group_tests_name("vit_counts", tests, NULL, NULL);
}
