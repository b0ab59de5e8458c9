/* Memory that runs out at any request of a tape: while it is made, in every op's samples, in inference and in a training step.
 * The tape is then marked, results have no rows, nothing crashes, and the next step is as good as ever. */
#include "baselines/registry.h"
#include "baselines/vit.h"
#include "harness/train/train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/scratch.h"
#include "tests/failing.h"

/* The tape's requests of its arena and the kernels' of their scratch can fail too; and chunks start small, so that new ones
 * are asked for. */
static bool moving;                    /* between the halves of a rewind: that memory is there */

bool   __real_arena_create(Arena **out, size_t first_bytes, Error *err);
void  *__real_arena_alloc(Arena *a, size_t bytes);
void   __real_arena_rewind_keeping(Arena *a, ArenaMark mark);
void   __real_arena_poison_rest(Arena *a, ArenaMark mark);
float *__real_scratch_floats(ScratchSlot slot, size_t n);
bool   __wrap_arena_create(Arena **out, size_t first_bytes, Error *err);
void  *__wrap_arena_alloc(Arena *a, size_t bytes);
void   __wrap_arena_rewind_keeping(Arena *a, ArenaMark mark);
void   __wrap_arena_poison_rest(Arena *a, ArenaMark mark);
float *__wrap_scratch_floats(ScratchSlot slot, size_t n);

bool __wrap_arena_create(Arena **out, size_t first_bytes, Error *err) {
    return __real_arena_create(out, first_bytes < 4096 ? first_bytes : 4096, err);
}
void *__wrap_arena_alloc(Arena *a, size_t bytes) { return !moving && request_fails() ? NULL : __real_arena_alloc(a, bytes); }
void __wrap_arena_rewind_keeping(Arena *a, ArenaMark mark) {
    __real_arena_rewind_keeping(a, mark);
    moving = true;
}
void __wrap_arena_poison_rest(Arena *a, ArenaMark mark) {
    __real_arena_poison_rest(a, mark);
    moving = false;
}
float *__wrap_scratch_floats(ScratchSlot slot, size_t n) {
    if (!request_fails()) return __real_scratch_floats(slot, n);
    scratch_fail();
    return NULL;
}

static const TapeStep training = {.seed = 7, .step = 3, .training = true};

static Tape *new_tape(const Backend *backend, bool recording) {
    Tape *tape = NULL;
    Error err  = {0};
    assert_true(tape_create(&tape, backend, &err));
    tape_begin(tape, recording, (TapeStep){0});
    return tape;
}

static Model *model_of(const ModelKind *kind, const char *settings) {
    Model *m   = NULL;
    Error  err = {0};
    assert_true(model_new(&m, kind, &err));
    if (!fields_set_from_text(kind->fields, m->self, settings, "/model", &err) || !model_build(m, &err)) fail_msg("%s %s", err.field, err.message);
    params_init(m->params, 5);
    return m;
}

static Model *vit_of(const char *settings) { return model_of(&model_vit, settings); }

static const int64_t ids[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/* Images of the model's own shape, the same numbers every time. */
static Tensor *images_of(Tape *tape, const Model *m, int B) {
    const Vit *v = m->self;
    return sample_tensor(tape, 0, 4, (int64_t[]){B, v->in_chans, v->img_size, v->img_size});
}

#define SMALL_VIT "img_size=8 patch_size=4 in_chans=2 embed_dim=8 num_heads=2 num_classes=5 mlp_ratio=2"

static void creation_survives_every_failed_request(void **state) {
    (void)state;
    for (long nth = 0;; nth++) {
        Tape *tape = NULL;
        Error err  = {0};
        fail_request(nth, ONCE);
        const bool ok    = tape_create(&tape, &backend_reference, &err);
        const long asked = fail_never();
        if (ok) tape_destroy(tape);
        else    assert_int_equal(err.exit_status, EXIT_MACHINE);
        if (asked <= nth) {
            assert_true(ok && nth == 4);                      /* tape, profile, arena and its chunk */
            return;
        }
        assert_false(ok);
    }
}

/* Every op's samples, recorded and run backward, with each of their requests failing once. */
static void an_op_survives_every_failed_request(void **state) {
    const OpKind *kind = *state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tape *tape = new_tape(backend, true);
        for (int variant = 0; variant < 10; variant++) {
            bool over = false;
            for (long nth = 0;; nth++) {
                tape_begin(tape, true, training);
                fail_request(nth, nth % 2 == 0 ? ONCE : LASTING);
                Tensor *y = kind->sample(tape, variant);
                if (y == NULL) over = true;
                else {
                    if (tape_failed(tape) && !scratch_failed()) assert_int_equal(y->dim[0], 0);
                    y->grad = tape_alloc(tape, (size_t)(tensor_count(y) + 2) * sizeof(Real));
                    for (int64_t i = 0; y->grad != NULL && i < tensor_count(y); i++) y->grad[i] = 1;
                    tape_backward_from(tape, y);
                }
                const long asked = fail_never();
                if (over || asked <= nth) {
                    assert_false(tape_failed(tape));
                    break;
                }
            }
            if (over) break;
        }
        tape_destroy(tape);
    }
}

static void inference_survives_every_failed_request(void **state) {
    (void)state;
    Model *m = vit_of(SMALL_VIT " depth=2 distilled=true");
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tape *tape = new_tape(backend, false);
        Real  right[10];
        int   n_failures = 0;
        for (int how = ONCE; how <= LASTING; how++)
            for (long nth = 0;; nth++) {
                ModelOutput y;
                tape_begin(tape, false, (TapeStep){0});
                fail_request(1000000, ONCE);
                Tensor *images = images_of(tape, m, 2);
                fail_request(nth, how);
                m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = ids}, &y);
                const long asked = fail_never();
                if (asked <= nth) {
                    assert_false(tape_failed(tape));
                    if (how == ONCE) memcpy(right, y.logits->data, sizeof right);
                    else assert_memory_equal(right, y.logits->data, sizeof right);        /* nothing of the failures is left */
                    break;
                }
                /* a packed copy that cannot be made is done without */
                if (tape_failed(tape) && !scratch_failed()) assert_int_equal(y.logits->dim[0], 0);
                if (tape_failed(tape)) assert_int_equal(y.logits->dim[1], 5);
                n_failures += tape_failed(tape);
            }
        assert_true(n_failures > 80);
        tape_destroy(tape);
    }
    model_destroy(m);
}

/* Of 8 x 8 images in 2 channels, 5 classes; folded weights and given-up folds are part of what is walked. */
typedef struct OtherModel { const ModelKind *kind; const char *settings; } OtherModel;
static const OtherModel tiny_vit = {&model_tiny_vit, "img_size=8 in_chans=2 embed_dims=[4,4,8,8] depths=[1,1,1,1] num_heads=[1,1,2,2] "
                                    "window_sizes=[1,2,1,1] num_classes=5 mlp_ratio=2 mbconv_expand_ratio=2"};
static const OtherModel padded_tiny_vit = {&model_tiny_vit, "img_size=8 in_chans=2 embed_dims=[4,4,8,8] depths=[1,1,1,1] num_heads=[1,1,2,2] "
                                           "window_sizes=[1,2,2,3] num_classes=5 mlp_ratio=2 mbconv_expand_ratio=2"};
static const OtherModel dynamic_vit = {&model_dynamic_vit, "img_size=8 patch_size=2 in_chans=2 embed_dim=8 depth=2 num_heads=2 num_classes=5 mlp_ratio=2 "
                                       "pruning_loc=[0,1] token_ratio=[0.5,0.25]"};

#define SMALL_MOR "img_size=8 patch_size=2 in_chans=2 embed_dim=8 num_heads=2 num_classes=5 mlp_ratio=2 recursions=2 "
static const OtherModel mor_expert = {&model_mor_vit, SMALL_MOR "capacity=[0.8,0.4] kv=all loop_conditioning=lora lora_rank=2 router_net=spatial deep_supervision=0.1"};
static const OtherModel mor_token  = {&model_mor_vit, SMALL_MOR "router=token kv=update tail_tokens=cls loop_conditioning=scale"};
static const OtherModel mor_soft   = {&model_mor_vit, SMALL_MOR "router=token combine=soft pool=mean"};
static const OtherModel mor_layer  = {&model_mor_vit, SMALL_MOR "router=layer"};
static const OtherModel mor_share  = {&model_mor_vit, SMALL_MOR "capacity=[1,0.4] kv=share router_net=mlp2 router_placement=once combine=paper tail_tokens=active"};

/* Inference and a training step (with tokens asked for), each request failing once; afterwards the answer is the right one. */
static void this_model_survives_every_failed_request(void **state) {
    const OtherModel *other = *state;
    Model            *m     = model_of(other->kind, other->settings);
    Error             err   = {0};
    assert_true(params_want_grads(m->params, &err));
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        for (int training_too = 0; training_too < 2; training_too++) {
            Tape *tape = new_tape(backend, training_too);
            Real  right[10];
            int   n_failures = 0;
            for (int how = ONCE; how <= LASTING; how++)
                for (long nth = 0;; nth++) {
                    ModelOutput y;
                    tape_begin(tape, training_too, training_too ? training : (TapeStep){0});
                    fail_request(1000000, ONCE);
                    Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){2, 2, 8, 8});
                    fail_request(nth, how);
                    m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = ids, .want_tokens = true}, &y);
                    if (training_too) {
                        params_zero_grads(m->params);
                        Tensor *loss = op_cross_entropy(tape, y.logits, (int32_t[]){1, 4}, NULL, 0);
                        if (y.auxiliary_loss != NULL) loss = op_add(tape, loss, y.auxiliary_loss);
                        tape_backward(tape, loss);
                    }
                    const long asked = fail_never();
                    if (asked <= nth) {
                        assert_false(tape_failed(tape));
                        if (how == ONCE) memcpy(right, y.logits->data, sizeof right);
                        else assert_memory_equal(right, y.logits->data, sizeof right);
                        break;
                    }
                    if (tape_failed(tape) && !scratch_failed() && !training_too) assert_int_equal(y.logits->dim[0], 0);
                    n_failures += tape_failed(tape);
                }
            assert_true(n_failures > 80);
            tape_destroy(tape);
        }
    }
    model_destroy(m);
}

static void images_without_memory_are_survived(void **state) {
    (void)state;
    Model *m    = vit_of(SMALL_VIT " depth=1");
    Tape  *tape = new_tape(&backend_reference, false);
    ModelOutput y;
    fail_request(0, ONCE);
    Tensor *images = images_of(tape, m, 2);
    fail_never();
    assert_true(tape_failed(tape));
    m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = ids}, &y);
    assert_int_equal(tensor_count(y.logits), 0);
    tape_destroy(tape);
    model_destroy(m);
}

static void a_training_step_survives_every_failed_request(void **state) {
    (void)state;
    Model *m   = vit_of(SMALL_VIT " depth=2");
    Error  err = {0};
    assert_true(params_want_grads(m->params, &err));
    float   images[2 * 2 * 8 * 8];
    int32_t labels[2] = {1, 4};
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) images[i] = (float)sin((double)i);
    TrainSettings s;
    fields_default(train_fields, &s);
    s.drop_path = 0.1;
    s.dropout = 0.1;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tape  *tape = new_tape(backend, true);
        double loss = NAN, grad_norm = NAN;
        for (int how = ONCE; how <= LASTING; how++)
            for (long nth = 0;; nth++) {
                StepReport report = {0};
                err = (Error){0};
                fail_request(nth, how);
                const bool ok    = train_gradients(m, tape, &s, 5, &(TrainBatch){images, labels, ids, 2}, &report, &err);
                const long asked = fail_never();
                if (!ok) {
                    assert_int_equal(err.exit_status, EXIT_MACHINE);
                    assert_string_equal(err.field, "/train/batch_size");
                }
                if (asked <= nth) {
                    assert_true(ok);
                    if (how == ONCE) loss = report.loss, grad_norm = report.grad_norm;
                    else assert_true(loss == report.loss && grad_norm == report.grad_norm);
                    break;
                }
            }
        tape_destroy(tape);
    }
    model_destroy(m);
}

static void a_tensor_beyond_the_address_space_marks_the_tape(void **state) {
    (void)state;
    Tape   *tape = new_tape(&backend_reference, false);
    Tensor *x    = tensor_new(tape, 3, (int64_t[]){INT64_C(1) << 31, INT64_C(1) << 31, 4});
    assert_true(tape_failed(tape));
    assert_int_equal(tensor_count(x), 0);
    assert_int_equal(x->dim[1], INT64_C(1) << 31);
    assert_null(tape_alloc(tape, 1));                         /* nothing more until the next step */
    tape_begin(tape, false, (TapeStep){0});
    assert_false(tape_failed(tape));
    assert_non_null(tape_alloc(tape, 1));
    tape_destroy(tape);
    tape_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation_survives_every_failed_request),
#define OP(name, ...) {#name "_survives_every_failed_request", an_op_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&op_kind_##name},
#include "engine/ops/ops.def"
#undef OP
        cmocka_unit_test(inference_survives_every_failed_request),
        {"tiny_vit_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&tiny_vit},
        {"tiny_vit_with_padding_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&padded_tiny_vit},
        {"mor_vit_expert_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&mor_expert},
        {"mor_vit_token_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&mor_token},
        {"mor_vit_soft_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&mor_soft},
        {"mor_vit_layer_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&mor_layer},
        {"mor_vit_share_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&mor_share},
        {"dynamic_vit_survives_every_failed_request", this_model_survives_every_failed_request, NULL, NULL, (void *)(uintptr_t)&dynamic_vit},
        cmocka_unit_test(images_without_memory_are_survived),
        cmocka_unit_test(a_training_step_survives_every_failed_request),
        cmocka_unit_test(a_tensor_beyond_the_address_space_marks_the_tape),
    };
    return cmocka_run_group_tests_name("tape_failures", tests, NULL, NULL);
}
