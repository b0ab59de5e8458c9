/* Learning-rate factors by depth and by name, freezing, and what freezing spares. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/train/train_groups.h"
#include "tests/training.h"

static Param *param_of(Model *m, const char *name) {
    Param *p = params_find(m->params, name);
    if (p == NULL) fail_msg("no tensor %s", name);
    return p;
}

static void apply(Model *m, const char *settings) {
    const TrainSettings s   = settings_of(settings);
    Error               err = {0};
    good(train_groups_apply(m->params, &s, 10, &err), &err);
}

static void without_settings_all_train_at_one_rate(void **state) {
    (void)state;
    Model *m = small_vit(NULL, 1);
    apply(m, "");
    for (int i = 0; i < params_count(m->params); i++) assert_true(params_at(m->params, i)->lr_scale == 1 && !params_at(m->params, i)->frozen);
    model_destroy(m);
}

static void rates_fall_by_one_factor_a_block_from_the_head_down(void **state) {
    (void)state;
    Model *m = small_vit(NULL, 1);                       /* three blocks */
    apply(m, "layer_decay=0.5");
    assert_true(param_of(m, "head.weight")->lr_scale == 1 && param_of(m, "norm.bias")->lr_scale == 1);
    assert_true(param_of(m, "blocks.2.mlp.fc1.weight")->lr_scale == 0.5);
    assert_true(param_of(m, "blocks.0.norm1.bias")->lr_scale == 0.125);
    assert_true(param_of(m, "patch_embed.proj.weight")->lr_scale == 0.0625 && param_of(m, "pos_embed")->lr_scale == 0.0625);
    model_destroy(m);
}

/* Wu et al.'s fine-tuning: block i of 12 has the rate times 0.8^(11-i), the stem block 0's, a merging that of the block before it, norm and
 * head 1. Freezing still counts the stem as a group of its own. */
static void the_rates_of_a_tiny_vit_count_its_blocks_alone(void **state) {
    (void)state;
    static const struct { const char *name; int exponent; } at[] = {
        {"patch_embed.conv1.conv.weight", 11}, {"stages.0.blocks.0.conv1.conv.weight", 11}, {"stages.0.blocks.1.conv3.bn.bias", 10},
        {"stages.1.downsample.conv2.conv.weight", 10}, {"stages.1.blocks.0.attn.qkv.weight", 9}, {"stages.2.blocks.5.mlp.fc1.bias", 2},
        {"stages.3.downsample.conv1.conv.weight", 2}, {"stages.3.blocks.1.attn.attention_biases", 0}, {"head.norm.weight", 0}, {"head.fc.weight", 0}};
    Model *m   = NULL;
    Error  err = {0};
    good(model_from_preset(&m, "tiny_vit_d32_28", "", &err), &err);
    apply(m, "layer_decay=0.8");
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const double rate = param_of(m, at[i].name)->lr_scale;
        if (fabs(rate - pow(0.8, at[i].exponent)) > 1e-12) fail_msg("%s has 0.8^%g, not 0.8^%d", at[i].name, log(rate) / log(0.8), at[i].exponent);
    }
    apply(m, "freeze_depth=1");
    assert_true(param_of(m, "patch_embed.conv2.bn.weight")->frozen && !param_of(m, "stages.0.blocks.0.conv1.conv.weight")->frozen);
    apply(m, "freeze_depth=13");
    assert_true(param_of(m, "stages.3.blocks.1.mlp.fc2.bias")->frozen && !param_of(m, "head.norm.bias")->frozen);
    model_destroy(m);
}

static void a_depth_of_minus_one_is_the_top(void **state) {
    (void)state;
    Params *p   = NULL;
    Tensor *slot[3];
    Error   err = {0};
    const TrainSettings s = settings_of("layer_decay=0.5");
    good(params_create(&p, &err), &err);
    const int depth[] = {0, 2, -1};
    for (int i = 0; i < 3; i++) param_add(p, &slot[i], (ParamSpec){INIT_ZERO, PARAM_DECAYED, depth[i], 0}, 1, (int64_t[]){2}, "w%d", i);
    good(train_groups_apply(p, &s, 10, &err), &err);
    assert_true(params_at(p, 0)->lr_scale == 0.25 && params_at(p, 1)->lr_scale == 1 && params_at(p, 2)->lr_scale == 1);
    params_destroy(p);
}

static void the_first_name_that_fits_decides_and_zero_freezes(void **state) {
    (void)state;
    Model *m = small_vit(NULL, 1);
    apply(m, "lr_scale=head=4,blocks.1.mlp=0,blocks.1.=2,*=0.25");
    assert_true(param_of(m, "head.bias")->lr_scale == 4);
    assert_true(param_of(m, "blocks.1.mlp.fc2.bias")->frozen && !param_of(m, "blocks.1.attn.qkv.weight")->frozen);
    assert_true(param_of(m, "blocks.1.attn.qkv.weight")->lr_scale == 2);
    assert_true(param_of(m, "blocks.0.attn.qkv.weight")->lr_scale == 0.25 && param_of(m, "cls_token")->lr_scale == 0.25);
    apply(m, "lr_scale=head=4 layer_decay=0.5");         /* both factors */
    assert_true(param_of(m, "head.bias")->lr_scale == 4 && param_of(m, "blocks.2.norm1.bias")->lr_scale == 0.5);
    assert_false(param_of(m, "blocks.1.mlp.fc2.bias")->frozen);
    model_destroy(m);
}

static void a_delay_is_in_epochs_and_the_first_name_that_fits_decides(void **state) {
    (void)state;
    Model *m = small_vit(NULL, 1);
    apply(m, "lr_delay=head=0,blocks.1.=0.25,*=5 lr_scale=head=1,*=0.5");
    assert_int_equal(param_of(m, "head.bias")->lr_delay, 0);
    assert_int_equal(param_of(m, "blocks.1.attn.qkv.weight")->lr_delay, 3);          /* 2.5 steps: the third is still at 0 */
    assert_int_equal(param_of(m, "cls_token")->lr_delay, 50);
    assert_true(!param_of(m, "cls_token")->frozen && param_of(m, "cls_token")->lr_scale == 0.5);
    apply(m, "");
    assert_int_equal(param_of(m, "cls_token")->lr_delay, 0);
    model_destroy(m);
}

static void what_cannot_be_is_named(void **state) {
    (void)state;
    static const struct { const char *text, *field, *part; } wrong[] = {
        {"lr_scale=head", "/train/lr_scale", "got \"head\""},
        {"lr_scale=head=", "/train/lr_scale", "got \"head=\""},
        {"lr_scale==2", "/train/lr_scale", "got \"=2\""},
        {"lr_scale=head=-1", "/train/lr_scale", "got \"head=-1\""},
        {"lr_scale=head=nan", "/train/lr_scale", "got \"head=nan\""},
        {"lr_scale=head=2x", "/train/lr_scale", "got \"head=2x\""},
        {"lr_scale=*=1,hedd=2", "/train/lr_scale", "begins with \"hedd\""},
        {"lr_scale=*=0", "/train/lr_scale", "leaves no tensor to train"},
        {"lr_delay=head=-1", "/train/lr_delay", "NAME=EPOCHS"},
        {"lr_delay=hedd=1", "/train/lr_delay", "begins with \"hedd\""},
        {"freeze_depth=5", "/train/freeze_depth", "leaves no tensor to train; groups end at 4"},
    };
    Model *m = small_vit(NULL, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const TrainSettings s   = settings_of(wrong[i].text);
        Error               err = {0};
        assert_false(train_groups_apply(m->params, &s, 10, &err));
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
        assert_string_equal(err.field, wrong[i].field);
        if (strstr(err.message, wrong[i].part) == NULL) fail_msg("'%s': %s", wrong[i].text, err.message);
    }
    model_destroy(m);
}

/* MACs of a forward and backward, and the gradients of the head in text form. */
static int64_t macs_with(const char *settings, Real head[CLASSES * 16]) {
    Model        *m    = small_vit(NULL, 1);
    Tape         *tape = new_tape();
    const Noise   x    = noise(1);
    TrainSettings s    = settings_of(settings);
    StepReport    report;
    Error         err  = {0};
    const TrainBatch batch = part_of(&x, 0, 8);
    good(train_groups_apply(m->params, &s, 10, &err) && params_want_grads(m->params, &err), &err);
    profile_clear(tape_profile(tape));
    good(train_gradients(m, tape, &s, 0, &batch, &report, &err), &err);
    memcpy(head, param_of(m, "head.weight")->tensor->grad, CLASSES * 16 * sizeof *head);
    const int64_t macs = profile_total(tape_profile(tape), 0, 0).macs + profile_total(tape_profile(tape), 0, 1).macs;
    tape_destroy(tape);
    model_destroy(m);
    return macs;
}

static void freezing_spares_work_and_leaves_other_gradients_alone(void **state) {
    (void)state;
    Real          all[CLASSES * 16], some[CLASSES * 16];
    const int64_t whole = macs_with("", all), embedding = macs_with("freeze_depth=1", some);
    assert_memory_equal(all, some, sizeof all);
    const int64_t block = macs_with("freeze_depth=2", some), only_head = macs_with("lr_scale=head=1,*=0", some);
    assert_memory_equal(all, some, sizeof all);
    assert_true(embedding < whole && block < embedding && only_head < block);
    /* every kind of tensor frozen alone: ops do without the gradient of any of their inputs */
    static const char *const alone[] = {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "blocks.0.norm1.weight",
                                        "blocks.0.norm1.bias", "blocks.1.attn.qkv.weight", "blocks.1.attn.qkv.bias", "blocks.2.attn.proj.weight",
                                        "blocks.1.mlp.fc1.weight", "blocks.1.mlp.fc1.bias", "blocks.1.mlp.fc2.weight", "norm.weight", "norm.bias", "head.bias"};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        char text[64];
        snprintf(text, sizeof text, "lr_scale=%s=0", alone[i]);
        assert_true(macs_with(text, some) <= whole);
        assert_memory_equal(all, some, sizeof all);
    }
}

int main(int argc, char **argv) {
    WAIT_PASSIVELY(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_settings_all_train_at_one_rate),
        cmocka_unit_test(rates_fall_by_one_factor_a_block_from_the_head_down),
        cmocka_unit_test(the_rates_of_a_tiny_vit_count_its_blocks_alone),
        cmocka_unit_test(a_depth_of_minus_one_is_the_top),
        cmocka_unit_test(the_first_name_that_fits_decides_and_zero_freezes),
        cmocka_unit_test(a_delay_is_in_epochs_and_the_first_name_that_fits_decides),
        cmocka_unit_test(what_cannot_be_is_named),
        cmocka_unit_test(freezing_spares_work_and_leaves_other_gradients_alone),
    };
    return cmocka_run_group_tests_name("train_groups", tests, NULL, NULL);
}
