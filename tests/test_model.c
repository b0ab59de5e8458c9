/* Models and weight files: what is refused and in which words, what is ignored, resampled or left out, and that saving and loading
 * keep every bit. (The values of resampling are timm's: tests/test_parity.c.) */
#include "baselines/registry.h"
#include "baselines/vit.h"
#include "engine/safetensors.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/failing.h"

#define SMALL "img_size=8 patch_size=4 in_chans=1 embed_dim=4 depth=1 num_heads=2 num_classes=3 mlp_ratio=2"

static char folder[] = "/tmp/test_model.XXXXXX";
static char path[64], second_path[64];

static int make_folder(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    snprintf(second_path, sizeof second_path, "%s/v.safetensors", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    unlink(second_path);
    return rmdir(folder);
}

static Model *vit_of(const char *settings, uint64_t seed) {
    Model *m   = NULL;
    Error  err = {0};
    assert_true(model_new(&m, &model_vit, &err));
    if (!fields_set_from_text(model_vit.fields, m->self, settings, "/model", &err) || !model_build(m, &err)) fail_msg("%s %s", err.field, err.message);
    params_init(m->params, seed);
    return m;
}

static void check(bool ok, const Error *err) {
    char text[1200];
    if (ok) return;
    error_text(err, text, sizeof text);
    fail_msg("%s", text);
}

static void save(const Model *m) {
    Error err = {0};
    check(model_save(m, path, NULL, &err), &err);
}

/* A weight file of m's tensors with changes, in the order of the list; kind decides. */
typedef enum ChangeKind { LEAVE_OUT, ADD, RESHAPE, SPOIL, AS_DTYPE } ChangeKind;
typedef struct Change {
    ChangeKind  kind;
    const char *name;
    int         n_dims;          /* ADD, RESHAPE: filled with 0.5 */
    int64_t     dim[4];
    SafeDtype   dtype;           /* ADD, AS_DTYPE */
    float       value;           /* SPOIL: put at element `at` */
    int         at;
} Change;

static const Change *change_of(const Change *changes, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (changes[i].kind != ADD && strcmp(changes[i].name, name) == 0) return &changes[i];
    return NULL;
}

static void write_changed(const Model *m, const Change *changes, int n) {
    static unsigned char zeros[1 << 16];
    SafeWriter *w   = NULL;
    Error       err = {0};
    float      *kept[64];
    int         n_kept = 0;
    check(safe_writer_create(&w, &err), &err);
    for (int i = 0; i < params_count(m->params); i++) {
        const Param  *p = params_at(m->params, i);
        const Tensor *t = p->tensor;
        const Change *c = change_of(changes, n, p->name);
        if (c != NULL && c->kind == LEAVE_OUT) continue;
        if (c != NULL && c->kind == AS_DTYPE) {
            check(safe_writer_add(w, p->name, c->dtype, t->n_dims, t->dim, zeros, &err), &err);
            continue;
        }
        const bool     reshaped = c != NULL && c->kind == RESHAPE;
        const int      n_dims   = reshaped ? c->n_dims : t->n_dims;
        const int64_t *dim      = reshaped ? c->dim : t->dim;
        int64_t        count    = 1;
        for (int d = 0; d < n_dims; d++) count *= dim[d];
        float *x = kept[n_kept++] = malloc((size_t)count * sizeof *x + 1);
        assert_non_null(x);
        for (int64_t k = 0; k < count; k++) x[k] = reshaped ? 0.5f : (float)t->data[k];
        if (c != NULL && c->kind == SPOIL) x[c->at] = c->value;
        check(safe_writer_add(w, p->name, SAFE_F32, n_dims, dim, x, &err), &err);
    }
    for (int i = 0; i < n; i++)
        if (changes[i].kind == ADD) check(safe_writer_add(w, changes[i].name, changes[i].dtype, changes[i].n_dims, changes[i].dim, zeros, &err), &err);
    check(safe_writer_save(w, path, NULL, &err), &err);
    safe_writer_destroy(w);
    while (n_kept > 0) free(kept[--n_kept]);
}

static void assert_refused(Model *m, LoadOptions options, const char *field, const char *message) {
    Error err = {0};
    if (model_load(m, path, options, NULL, NULL, &err)) fail_msg("the file was taken");
    assert_string_equal(err.message, message);
    assert_string_equal(err.field, field);
    assert_string_equal(err.input, path);
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
}

static bool same_weights(const Model *a, const Model *b) {
    for (int i = 0; i < params_count(a->params); i++) {
        const Tensor *x = params_at(a->params, i)->tensor, *y = params_find(b->params, params_at(a->params, i)->name)->tensor;
        if (tensor_count(x) != tensor_count(y) || memcmp(x->data, y->data, (size_t)tensor_count(x) * sizeof(Real)) != 0) return false;
    }
    return true;
}

/* ---- saving and loading ---- */

static void saving_and_loading_keeps_every_bit(void **state) {
    (void)state;
    Model *m = vit_of(SMALL " distilled=true", 1), *n = vit_of(SMALL " distilled=true", 2);
    Error  err = {0};
    char   written[65], read[65], again[65], warning[512];
    Real *tokens = params_find(m->params, "cls_token")->tensor->data;       /* numbers that a text would not keep */
    tokens[0] = (Real)-0.0f;
    tokens[1] = (Real)0x1p-149f;
    tokens[2] = (Real)0x1.fffffep127f;
    tokens[3] = (Real)0.1f;
    assert_false(same_weights(m, n));
    check(model_save(m, path, written, &err), &err);
    check(model_load(n, path, (LoadOptions){0}, read, warning, &err), &err);
    assert_true(same_weights(m, n));
    assert_string_equal(written, read);
    assert_int_equal(strlen(read), 64);
    assert_string_equal(warning, "");
    check(model_save(n, second_path, again, &err), &err);
    assert_string_equal(again, written);
    model_destroy(m);
    model_destroy(n);
}

static void a_load_gives_every_tensor_a_new_version_even_when_it_fails(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1), *n = vit_of(SMALL, 2);
    Error  err = {0};
    uint64_t before = 0;
    for (int failing = 0; failing < 2; failing++) {
        const Change missing = {.kind = LEAVE_OUT, .name = "head.bias"};
        write_changed(m, &missing, failing);
        for (int i = 0; i < params_count(n->params); i++)
            if (params_at(n->params, i)->tensor->version > before) before = params_at(n->params, i)->tensor->version;
        assert_int_equal(model_load(n, path, (LoadOptions){0}, NULL, NULL, &err), !failing);
        for (int i = 0; i < params_count(n->params); i++) assert_true(params_at(n->params, i)->tensor->version > before);
    }
    write_changed(m, NULL, 0);
    params_init(n->params, 3);
    check(model_load(n, path, (LoadOptions){0}, NULL, NULL, &err), &err);   /* and a good load after a failed one is good */
    assert_true(same_weights(m, n));
    model_destroy(m);
    model_destroy(n);
}

static void narrow_and_wide_floats_are_read(void **state) {
    (void)state;
    static const SafeDtype dtypes[] = {SAFE_F16, SAFE_BF16, SAFE_F64};
    Model *m = vit_of(SMALL, 1);
    for (int i = 0; i < 3; i++) {
        const Change change = {.kind = AS_DTYPE, .name = "cls_token", .dtype = dtypes[i]};
        Error err = {0};
        write_changed(m, &change, 1);
        Model *n = vit_of(SMALL, 2);
        check(model_load(n, path, (LoadOptions){0}, NULL, NULL, &err), &err);
        for (int k = 0; k < 4; k++) assert_true(params_find(n->params, "cls_token")->tensor->data[k] == 0);
        assert_false(same_weights(m, n));
        model_destroy(n);
    }
    model_destroy(m);
}

/* ---- what does not fit ---- */

static void one_error_names_all_that_does_not_fit(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1);
    const Change changes[] = {
        {.kind = LEAVE_OUT, .name = "norm.bias"},
        {.kind = LEAVE_OUT, .name = "blocks.0.mlp.fc1.bias"},
        {.kind = RESHAPE, .name = "head.weight", .n_dims = 2, .dim = {4, 3}},
        {.kind = RESHAPE, .name = "head.bias", .n_dims = 2, .dim = {1, 3}},
        {.kind = AS_DTYPE, .name = "cls_token", .dtype = SAFE_I64},
        {.kind = SPOIL, .name = "norm.weight", .value = NAN, .at = 2},
        {.kind = ADD, .name = "dist_token", .n_dims = 3, .dim = {1, 1, 4}, .dtype = SAFE_F32},
    };
    write_changed(m, changes, 7);
    assert_refused(m, (LoadOptions){0}, "", "does not fit model vit: missing (2): blocks.0.mlp.fc1.bias, norm.bias; misshaped (2): head.weight "
                   "is (4,3), must be (3,4), head.bias is (1,3), must be (3); not of floats (1): cls_token is I64; not finite (1): norm.weight at element 2; "
                   "not of this model (1): dist_token");
    model_destroy(m);
}

static void each_fault_alone_is_named(void **state) {
    (void)state;
    static const struct { Change change; const char *message; } cases[] = {
        {{.kind = LEAVE_OUT, .name = "pos_embed"}, "missing (1): pos_embed"},
        {{.kind = ADD, .name = "head_dist.weight", .n_dims = 2, .dim = {3, 4}, .dtype = SAFE_F32}, "not of this model (1): head_dist.weight"},
        {{.kind = ADD, .name = "a\x1b[31m\"b", .n_dims = 0, .dtype = SAFE_F32}, "not of this model (1): a\\x1b[31m\\x22b"},
        {{.kind = RESHAPE, .name = "norm.weight", .n_dims = 1, .dim = {5}}, "misshaped (1): norm.weight is (5), must be (4)"},
        {{.kind = RESHAPE, .name = "norm.weight", .n_dims = 0}, "misshaped (1): norm.weight is (), must be (4)"},
        {{.kind = RESHAPE, .name = "norm.weight", .n_dims = 1, .dim = {0}}, "misshaped (1): norm.weight is (0), must be (4)"},
        {{.kind = RESHAPE, .name = "blocks.0.attn.qkv.weight", .n_dims = 2, .dim = {4, 12}}, "misshaped (1): blocks.0.attn.qkv.weight is (4,12), must be (12,4)"},
        {{.kind = SPOIL, .name = "blocks.0.attn.qkv.bias", .value = INFINITY, .at = 11}, "not finite (1): blocks.0.attn.qkv.bias at element 11"},
        {{.kind = SPOIL, .name = "cls_token", .value = -INFINITY, .at = 0}, "not finite (1): cls_token at element 0"},
        {{.kind = AS_DTYPE, .name = "head.bias", .dtype = SAFE_BOOL}, "not of floats (1): head.bias is BOOL"},
        {{.kind = AS_DTYPE, .name = "norm.bias", .dtype = SAFE_U8}, "not of floats (1): norm.bias is U8"},
    };
    Model *m = vit_of(SMALL, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[300];
        snprintf(message, sizeof message, "does not fit model vit: %s", cases[i].message);
        write_changed(m, &cases[i].change, 1);
        assert_refused(m, (LoadOptions){0}, "", message);
    }
    model_destroy(m);
}

static void a_long_list_is_cut_and_still_counts(void **state) {
    (void)state;
    Model *m = vit_of("img_size=8 patch_size=4 in_chans=1 embed_dim=4 depth=40 num_heads=2 num_classes=3", 1);
    Error  err = {0};
    Model *small = vit_of(SMALL, 1);
    save(small);
    assert_false(model_load(m, path, (LoadOptions){0}, NULL, NULL, &err));
    assert_non_null(strstr(err.message, "missing (468): blocks.1.norm1.weight, blocks.1.norm1.bias"));      /* 39 blocks of 12 */
    assert_non_null(strstr(err.message, "; misshaped (3): blocks.0.mlp.fc1.weight"));                       /* another MLP width */
    assert_true(strlen(err.message) < sizeof err.message - 1);
    save(m);
    assert_false(model_load(small, path, (LoadOptions){0}, NULL, NULL, &err));
    assert_non_null(strstr(err.message, "not of this model (468): blocks.1."));
    assert_string_equal(err.message + strlen(err.message) - 3, "...");
    model_destroy(m);
    model_destroy(small);
}

static void every_list_keeps_its_share_of_a_crowded_message(void **state) {
    (void)state;
    Model *m = vit_of("img_size=8 patch_size=4 in_chans=1 embed_dim=4 depth=4 num_heads=2 num_classes=3", 1);
    Change changes[45];
    char   names[45][PARAM_NAME_MAX];
    int    n = 0;
    for (int i = 0; i < 4; i++) {
        static const char *const parts[] = {"norm1.weight", "attn.qkv.bias", "norm2.weight", "mlp.fc1.bias"};
        for (int k = 0; k < 4; k++, n++) {
            snprintf(names[n], sizeof names[n], "blocks.%d.%s", i, parts[k]);
            changes[n] = k == 0 ? (Change){.kind = LEAVE_OUT} : k == 1 ? (Change){.kind = RESHAPE, .n_dims = 1, .dim = {7}}
                       : k == 2 ? (Change){.kind = AS_DTYPE, .dtype = SAFE_I32} : (Change){.kind = SPOIL, .value = NAN};
            changes[n].name = names[n];
        }
    }
    for (int i = 0; i < 8; i++, n++) {
        snprintf(names[n], sizeof names[n], "a_rather_long_name_that_is_of_no_model_at_all.%d", i);
        changes[n] = (Change){.kind = ADD, .name = names[n], .n_dims = 1, .dim = {1}, .dtype = SAFE_F32};
    }
    write_changed(m, changes, n);
    Error err = {0};
    assert_false(model_load(m, path, (LoadOptions){0}, NULL, NULL, &err));
    static const char *const parts[] = {"missing (4): blocks.0.norm1.weight", "; misshaped (4): blocks.0.attn.qkv.bias is (7), must be (12)",
        "; not of floats (4): blocks.0.norm2.weight is I32", "; not finite (4): blocks.0.mlp.fc1.bias at element 0",
        "; not of this model (8): a_rather_long_name_that_is_of_no_model_at_all.0"};
    for (int i = 0; i < 5; i++)
        if (strstr(err.message, parts[i]) == NULL) fail_msg("no \"%s\" in: %s", parts[i], err.message);
    assert_string_equal(err.message + strlen(err.message) - 3, "...");        /* the message itself was not cut */
    assert_true(strlen(err.message) < sizeof err.message - 1);
    model_destroy(m);
}

static void a_wide_number_beyond_float_is_refused(void **state) {
    (void)state;
    Model      *m   = vit_of(SMALL, 1);
    SafeWriter *w   = NULL;
    Error       err = {0};
    double      wide[4] = {1, 1e39, 2, 3};
    check(safe_writer_create(&w, &err), &err);
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p    = params_at(m->params, i);
        const bool   this = strcmp(p->name, "norm.bias") == 0;
        check(safe_writer_add(w, p->name, this ? SAFE_F64 : SAFE_F32, p->tensor->n_dims, p->tensor->dim, this ? (const void *)wide : p->tensor->data, &err), &err);
    }
    check(safe_writer_save(w, path, NULL, &err), &err);
    safe_writer_destroy(w);
    assert_refused(m, (LoadOptions){0}, "norm.bias", "value 1e+39 at index 1 is beyond float");
    model_destroy(m);
}

static void values_that_are_not_finite_pass_when_allowed(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1);
    Error  err = {0};
    const Change change = {.kind = SPOIL, .name = "norm.weight", .value = NAN, .at = 1};
    write_changed(m, &change, 1);
    check(model_load(m, path, (LoadOptions){.allow_nonfinite = true}, NULL, NULL, &err), &err);
    assert_true(isnan((double)params_find(m->params, "norm.weight")->tensor->data[1]));
    model_destroy(m);
}

static void names_that_carry_no_weights_are_ignored(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1), *n = vit_of(SMALL, 2);
    Error  err = {0};
    char   warning[512];
    const Change ignored[] = {{.kind = ADD, .name = "patch_embed.bn.num_batches_tracked", .n_dims = 0, .dtype = SAFE_I64},
                              {.kind = ADD, .name = "stages.1.attention_bias_idxs", .n_dims = 2, .dim = {4, 4}, .dtype = SAFE_I64}};
    const Change alike[]   = {{.kind = ADD, .name = "num_batches_tracked", .n_dims = 0, .dtype = SAFE_I64},
                              {.kind = ADD, .name = "x.attention_bias_idxs.y", .n_dims = 0, .dtype = SAFE_I64}};
    write_changed(m, ignored, 2);
    check(model_load(n, path, (LoadOptions){0}, NULL, warning, &err), &err);
    assert_true(same_weights(m, n));
    assert_string_equal(warning, "");
    write_changed(m, alike, 2);
    assert_refused(n, (LoadOptions){0}, "", "does not fit model vit: not of this model (2): num_batches_tracked, x.attention_bias_idxs.y");
    model_destroy(m);
    model_destroy(n);
}

static void a_file_that_is_not_there_or_none_is_named(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1);
    Error  err = {0};
    char   missing[80];
    snprintf(missing, sizeof missing, "%s/none.safetensors", folder);
    assert_false(model_load(m, missing, (LoadOptions){0}, NULL, NULL, &err));
    assert_string_equal(err.input, missing);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("not a weight file", f);
    fclose(f);
    assert_false(model_load(m, path, (LoadOptions){0}, NULL, NULL, &err));
    assert_string_equal(err.input, path);
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    model_destroy(m);
}

/* An error of before does not count: what is in *err is only looked at when something fails now. */
static void an_old_error_does_not_disturb_a_load(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1), *n = vit_of("img_size=16 patch_size=4 in_chans=1 embed_dim=4 depth=1 num_heads=2 num_classes=9 mlp_ratio=2", 2);
    Error  err = {0};
    save(m);
    FAIL(&err, "/old", "an old error");
    check(model_load(n, path, (LoadOptions){.new_head = true}, NULL, NULL, &err), &err);
    FAIL(&err, "/old", "an old error");
    assert_false(model_load(n, path, (LoadOptions){0}, NULL, NULL, &err));
    assert_string_equal(err.message, "does not fit model vit: misshaped (2): head.weight is (3,4), must be (9,4), head.bias is (3), must be (9)");
    assert_string_equal(err.field, "");
    model_destroy(m);
    model_destroy(n);
}

/* ---- another head, another grid ---- */

static void a_classifier_of_another_size_is_left_out_on_request_only(void **state) {
    (void)state;
    for (int distilled = 0; distilled < 2; distilled++) {
        char   settings[2][200], warning[512];
        Error  err = {0};
        for (int i = 0; i < 2; i++)
            snprintf(settings[i], sizeof settings[i], "img_size=8 patch_size=4 in_chans=1 embed_dim=4 depth=1 num_heads=2 mlp_ratio=2 num_classes=%d distilled=%s",
                     i == 0 ? 3 : 5, distilled ? "true" : "false");
        Model *m = vit_of(settings[0], 1), *n = vit_of(settings[1], 2), *untouched = vit_of(settings[1], 2);
        save(m);
        assert_false(model_load(n, path, (LoadOptions){0}, NULL, NULL, &err));
        assert_non_null(strstr(err.message, distilled ? "misshaped (4): head.weight is (3,4), must be (5,4), head.bias is (3), must be (5), head_dist."
                                                      : "misshaped (2): head.weight is (3,4), must be (5,4), head.bias is (3), must be (5)"));
        params_init(n->params, 2);
        check(model_load(n, path, (LoadOptions){.new_head = true}, NULL, warning, &err), &err);
        for (int i = 0; i < params_count(n->params); i++) {
            const Param  *p     = params_at(n->params, i);
            const bool    head  = strncmp(p->name, "head", 4) == 0;
            const Tensor *equal = params_find((head ? untouched : m)->params, p->name)->tensor;
            assert_memory_equal(p->tensor->data, equal->data, (size_t)tensor_count(equal) * sizeof(Real));
        }
        static const char said[] = "head.weight left at its initial values (file has (3,4), model (5,4)), head.bias left at its initial values "
                                   "(file has (3), model (5))";
        assert_memory_equal(warning, said, sizeof said - 1);
        model_destroy(m);
        model_destroy(n);
        model_destroy(untouched);
    }
}

static void a_classifier_of_the_same_size_is_loaded_even_so(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1), *n = vit_of(SMALL, 2);
    Error  err = {0};
    char   warning[512];
    save(m);
    check(model_load(n, path, (LoadOptions){.new_head = true}, NULL, warning, &err), &err);
    assert_true(same_weights(m, n));
    assert_string_equal(warning, "");
    model_destroy(m);
    model_destroy(n);
}

static void a_classifier_for_other_classes_stays_new_whatever_its_size(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1), *n = vit_of(SMALL, 2), *untouched = vit_of(SMALL, 2);
    Error  err = {0};
    char   warning[512];
    save(m);
    check(model_load(n, path, (LoadOptions){.new_head = true, .any_head_new = true}, NULL, warning, &err), &err);
    for (int i = 0; i < params_count(n->params); i++) {
        const Param  *p     = params_at(n->params, i);
        const bool    head  = strncmp(p->name, "head", 4) == 0;
        const Tensor *equal = params_find((head ? untouched : m)->params, p->name)->tensor;
        assert_memory_equal(p->tensor->data, equal->data, (size_t)tensor_count(equal) * sizeof(Real));
    }
    assert_string_equal(warning, "head.weight left at its initial values, as asked for, head.bias left at its initial values, as asked for");
    model_destroy(m);
    model_destroy(n);
    model_destroy(untouched);
}

/* Every kind: other classes make the classifier new, and nothing else, whatever its name begins with. */
static void the_classifier_alone_is_new_in_every_kind(void **state) {
    (void)state;
    static const char *const presets[] = {"vit_d64_l6_p4_28", "mor_d64_c2x3_p7_lin_28", "dynamicvit_d64_l6_p7_0.7_28", "tiny_vit_d32_28"};
    for (size_t k = 0; k < sizeof presets / sizeof *presets; k++)
        for (int same = 0; same < 2; same++) {
            Model *m = NULL, *n = NULL, *untouched = NULL;
            Error  err = {0};
            char   warning[512];
            const char *classes = same ? "" : "num_classes=7";
            int    n_new = 0;
            check(model_from_preset(&m, presets[k], "", &err) && model_from_preset(&n, presets[k], classes, &err) && model_from_preset(&untouched, presets[k], classes, &err), &err);
            params_init(m->params, 1);
            params_init(n->params, 2);
            params_init(untouched->params, 2);
            for (int i = 0; i < params_count(m->params); i++) params_at(m->params, i)->tensor->data[0] += 1;     /* ones and zeros tell apart too */
            save(m);
            check(model_load(n, path, (LoadOptions){.new_head = true, .any_head_new = same}, NULL, warning, &err), &err);
            for (int i = 0; i < params_count(n->params); i++) {
                const Param  *p     = params_at(n->params, i);
                const bool    head  = strncmp(p->name, strstr(presets[k], "tiny") != NULL ? "head.fc." : "head.", strstr(presets[k], "tiny") != NULL ? 8 : 5) == 0;
                const Tensor *equal = params_find((head ? untouched : m)->params, p->name)->tensor;
                if (memcmp(p->tensor->data, equal->data, (size_t)tensor_count(equal) * sizeof(Real)) != 0) fail_msg("%s: %s", presets[k], p->name);
                n_new += head;
            }
            assert_int_equal(n_new, 2);
            model_destroy(m);
            model_destroy(n);
            model_destroy(untouched);
        }
}

static void only_the_classifier_may_be_of_another_size(void **state) {
    (void)state;
    Model *m = vit_of(SMALL, 1);
    const Change change = {.kind = RESHAPE, .name = "norm.weight", .n_dims = 1, .dim = {5}};
    write_changed(m, &change, 1);
    assert_refused(m, (LoadOptions){.new_head = true}, "", "does not fit model vit: misshaped (1): norm.weight is (5), must be (4)");
    model_destroy(m);
}

#define GRID(side, more) "img_size=" #side " patch_size=1 in_chans=1 embed_dim=4 depth=1 num_heads=2 num_classes=3 mlp_ratio=2" more

/* Position embedding of `from` cells a side with value f(d, y, x) loaded into a model of `to` cells. */
static const Tensor *resampled(const char *from_settings, const char *to_settings, Real (*f)(int d, double y, double x), Model **out, char warning[512]) {
    Model     *m = vit_of(from_settings, 1), *n = vit_of(to_settings, 2);
    const Vit *v = m->self;
    Error      err = {0};
    for (int y = 0; y < v->img_size; y++)
        for (int x = 0; x < v->img_size; x++)
            for (int d = 0; d < 4; d++)
                v->pos_embed->data[(v->n_prefix + y * v->img_size + x) * 4 + d] = f(d, (y + 0.5) / v->img_size, (x + 0.5) / v->img_size);
    save(m);
    check(model_load(n, path, (LoadOptions){0}, NULL, warning, &err), &err);
    for (int i = 0; i < v->n_prefix * 4; i++) assert_true(((const Vit *)n->self)->pos_embed->data[i] == v->pos_embed->data[i]);      /* prefix rows stay */
    model_destroy(m);
    *out = n;
    return ((const Vit *)n->self)->pos_embed;
}

static Real constant(int d, double y, double x) { (void)y; (void)x; return (Real)(d + 1); }
static Real ramp(int d, double y, double x)     { return (Real)(d % 2 == 0 ? x : y); }

static void positions_of_another_grid_are_resampled_with_a_warning(void **state) {
    (void)state;
    Model *n;
    char   warning[512];
    const Tensor *pos = resampled(GRID(3, ""), GRID(7, ""), constant, &n, warning);
    for (int i = 4; i < tensor_count(pos); i++) assert_true(fabs((double)pos->data[i] - (i % 4 + 1)) <= 4 * 0x1p-23);    /* weights sum to 1; one rounding */
    assert_string_equal(warning, "pos_embed resampled from (1,10,4) to (1,50,4)");
    model_destroy(n);
    pos = resampled(GRID(7, " distilled=true"), GRID(4, " distilled=true"), constant, &n, warning);
    for (int i = 8; i < tensor_count(pos); i++) assert_true(fabs((double)pos->data[i] - (i % 4 + 1)) <= 4 * 0x1p-23);
    assert_string_equal(warning, "pos_embed resampled from (1,51,4) to (1,18,4)");
    model_destroy(n);
    /* A cubic filter keeps a ramp away from the edges: rows are y, columns x, and neither is turned or swapped. */
    pos = resampled(GRID(8, ""), GRID(16, ""), ramp, &n, warning);
    for (int y = 5; y < 11; y++)
        for (int x = 5; x < 11; x++)
            for (int d = 0; d < 4; d++)
                assert_true(fabs((double)pos->data[(1 + y * 16 + x) * 4 + d] - ((d % 2 == 0 ? x : y) + 0.5) / 16) <= 1e-6);
    model_destroy(n);
}

static void positions_that_are_no_square_grid_are_refused(void **state) {
    (void)state;
    static const struct { int n_dims; int64_t dim[4]; const char *is; } cases[] = {
        {3, {1, 4, 4, 0}, "(1,4,4)"},        /* 3 cells */
        {3, {1, 7, 4, 0}, "(1,7,4)"},        /* 6 cells: 2x3 */
        {3, {1, 6, 4, 0}, "(1,6,4)"},        /* a distilled model's: one prefix row more */
        {3, {1, 1, 4, 0}, "(1,1,4)"},        /* the class token alone */
        {3, {1, 10, 8, 0}, "(1,10,8)"},      /* another width */
        {3, {2, 10, 4, 0}, "(2,10,4)"},
        {2, {10, 4, 0, 0}, "(10,4)"},
        {4, {1, 3, 3, 4}, "(1,3,3,4)"},
        {3, {1, 0, 4, 0}, "(1,0,4)"},
    };
    Model *m = vit_of(SMALL, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Change change = {.kind = RESHAPE, .name = "pos_embed", .n_dims = cases[i].n_dims};
        char   message[200];
        memcpy(change.dim, cases[i].dim, sizeof change.dim);
        snprintf(message, sizeof message, "does not fit model vit: misshaped (1): pos_embed is %s, must be (1,5,4)", cases[i].is);
        write_changed(m, &change, 1);
        assert_refused(m, (LoadOptions){0}, "", message);
    }
    model_destroy(m);
}

static void a_distilled_models_weights_do_not_fit_a_plain_one_nor_the_reverse(void **state) {
    (void)state;
    Model *plain = vit_of(SMALL, 1), *distilled = vit_of(SMALL " distilled=true", 1);
    save(distilled);
    assert_refused(plain, (LoadOptions){0}, "", "does not fit model vit: misshaped (1): pos_embed is (1,6,4), must be (1,5,4); "
                   "not of this model (3): dist_token, head_dist.weight, head_dist.bias");
    save(plain);
    assert_refused(distilled, (LoadOptions){0}, "", "does not fit model vit: missing (3): dist_token, head_dist.weight, head_dist.bias; "
                   "misshaped (1): pos_embed is (1,5,4), must be (1,6,4)");
    model_destroy(plain);
    model_destroy(distilled);
}

/* ---- memory ---- */

static void every_failed_request_of_building_saving_and_loading_is_reported(void **state) {
    (void)state;
    Model *saved = vit_of(GRID(2, ""), 1);
    save(saved);
    for (int how = ONCE; how <= LASTING; how++)
        for (long nth = 0;; nth++) {
            Model *m   = NULL;
            Error  err = {0};
            fail_request(nth, how);
            bool ok = model_new(&m, &model_vit, &err) && fields_set_from_text(model_vit.fields, m->self, GRID(3, ""), "/model", &err) && model_build(m, &err)
                   && model_load(m, path, (LoadOptions){0}, NULL, NULL, &err) && model_save(m, second_path, NULL, &err);
            const long asked = fail_never();
            model_destroy(m);
            if (asked <= nth) {
                assert_true(ok);
                break;
            }
            if (!ok && err.exit_status != EXIT_MACHINE) fail_msg("request %ld: exit %d: %s %s", nth, err.exit_status, err.field, err.message);
        }
    model_destroy(saved);
    model_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving_and_loading_keeps_every_bit),
        cmocka_unit_test(a_load_gives_every_tensor_a_new_version_even_when_it_fails),
        cmocka_unit_test(narrow_and_wide_floats_are_read),
        cmocka_unit_test(one_error_names_all_that_does_not_fit),
        cmocka_unit_test(each_fault_alone_is_named),
        cmocka_unit_test(a_long_list_is_cut_and_still_counts),
        cmocka_unit_test(every_list_keeps_its_share_of_a_crowded_message),
        cmocka_unit_test(a_wide_number_beyond_float_is_refused),
        cmocka_unit_test(values_that_are_not_finite_pass_when_allowed),
        cmocka_unit_test(names_that_carry_no_weights_are_ignored),
        cmocka_unit_test(a_file_that_is_not_there_or_none_is_named),
        cmocka_unit_test(an_old_error_does_not_disturb_a_load),
        cmocka_unit_test(a_classifier_of_another_size_is_left_out_on_request_only),
        cmocka_unit_test(a_classifier_of_the_same_size_is_loaded_even_so),
        cmocka_unit_test(a_classifier_for_other_classes_stays_new_whatever_its_size),
        cmocka_unit_test(the_classifier_alone_is_new_in_every_kind),
        cmocka_unit_test(only_the_classifier_may_be_of_another_size),
        cmocka_unit_test(positions_of_another_grid_are_resampled_with_a_warning),
        cmocka_unit_test(positions_that_are_no_square_grid_are_refused),
        cmocka_unit_test(a_distilled_models_weights_do_not_fit_a_plain_one_nor_the_reverse),
        cmocka_unit_test(every_failed_request_of_building_saving_and_loading_is_reported),
    };
    return cmocka_run_group_tests_name("model", tests, make_folder, remove_folder);
}
