/* The tape: what scopes hand back and what survives them, gradients of graphs, and the account of work. First chunks are small
 * here, so that a few kilobytes of tensors spread over many chunks. (Memory that runs out: tests/test_tape_failures.c.) */
#include "baselines/registry.h"
#include "baselines/vit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/dies.h"

/* Tapes start with a chunk of this many bytes, by standing in for the arena's own function (see the Makefile). */
static size_t first_chunk = 4096;
bool __real_arena_create(Arena **out, size_t first_bytes, Error *err);
bool __wrap_arena_create(Arena **out, size_t first_bytes, Error *err);
bool __wrap_arena_create(Arena **out, size_t first_bytes, Error *err) {
    return __real_arena_create(out, first_bytes < first_chunk ? first_bytes : first_chunk, err);
}

static const TapeStep training = {.seed = 7, .step = 3, .training = true};

static Tape *new_tape(const Backend *backend, bool recording) {
    Tape *tape = NULL;
    Error err  = {0};
    assert_true(tape_create(&tape, backend, &err));
    tape_begin(tape, recording, (TapeStep){0});
    return tape;
}

static Tensor *filled(Tape *tape, int64_t rows, int64_t width, double from) {
    Tensor *x = tensor_matrix(tape, rows, width);
    for (int64_t i = 0; i < rows * width; i++) x->data[i] = (Real)(from + (double)i);
    return x;
}

static void assert_filled(const Tensor *x, int64_t rows, int64_t width, double from) {
    assert_int_equal(x->n_dims, 2);
    assert_int_equal(x->dim[0], rows);
    assert_int_equal(x->dim[1], width);
    for (int64_t i = 0; i < rows * width; i++)
        if (x->data[i] != (Real)(from + (double)i)) fail_msg("element %lld is %g, was %g", (long long)i, (double)x->data[i], from + (double)i);
}

static Model *vit_of(const char *settings) {
    Model *m   = NULL;
    Error  err = {0};
    assert_true(model_new(&m, &model_vit, &err));
    if (!fields_set_from_text(model_vit.fields, m->self, settings, "/model", &err) || !model_build(m, &err)) fail_msg("%s %s", err.field, err.message);
    params_init(m->params, 5);
    return m;
}

static const int64_t ids[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/* Images of the model's own shape, the same numbers every time. */
static Tensor *images_of(Tape *tape, const Model *m, int B) {
    const Vit *v = m->self;
    return sample_tensor(tape, 0, 4, (int64_t[]){B, v->in_chans, v->img_size, v->img_size});
}

/* ---- scopes ---- */

static void a_scope_hands_back_all_but_its_survivor(void **state) {
    (void)state;
    Tape   *tape  = new_tape(&backend_reference, false);
    Arena  *arena = tape_arena(tape);
    Tensor *outer = filled(tape, 3, 5, 100);
    const size_t before = arena_bytes(arena);
    Tensor *alone = filled(tape, 50, 9, 0);
    const size_t size_of_one = arena_bytes(arena) - before;
    scope_open(tape, "s", -1);
    for (int i = 0; i < 10; i++) filled(tape, 40, 7, i);
    Tensor *kept = filled(tape, 50, 9, 1000);
    for (int i = 0; i < 10; i++) filled(tape, 40, 7, i);
    kept = scope_close(tape, kept);
    assert_int_equal(arena_bytes(arena), before + 2 * size_of_one);
    filled(tape, 500, 9, -1);                                 /* later tensors do not touch it */
    assert_filled(kept, 50, 9, 1000);
    assert_filled(alone, 50, 9, 0);
    assert_filled(outer, 3, 5, 100);
    tape_destroy(tape);
}

static void a_survivor_from_before_the_scope_stays_where_it_is(void **state) {
    (void)state;
    Tape   *tape  = new_tape(&backend_reference, false);
    Tensor *outer = filled(tape, 3, 5, 100);
    const size_t before = arena_bytes(tape_arena(tape));
    scope_open(tape, "s", -1);
    filled(tape, 40, 7, 0);
    assert_ptr_equal(scope_close(tape, outer), outer);
    assert_filled(outer, 3, 5, 100);
    scope_open(tape, "s", -1);
    assert_null(scope_close(tape, NULL));
    assert_int_equal(arena_bytes(tape_arena(tape)), before);
    tape_destroy(tape);
}

static void survivors_are_kept_in_any_order_with_gaps_and_twice(void **state) {
    (void)state;
    Tape   *tape  = new_tape(&backend_reference, false);
    Tensor *outer = filled(tape, 2, 2, -50);
    scope_open(tape, "s", -1);
    Tensor *t[6];
    for (int i = 0; i < 6; i++) t[i] = filled(tape, 10 + 60 * i, 3, 1000 * i);      /* 0.3 to 4 KB: over several chunks */
    Tensor *late = t[5], *early = t[0], *middle = t[3], *again = t[3], *none = NULL;
    scope_close_many(tape, (Tensor **[]){&late, &middle, &none, &outer, &early, &again}, 6);
    assert_filled(late, 310, 3, 5000);
    assert_filled(middle, 190, 3, 3000);
    assert_filled(early, 10, 3, 0);
    assert_filled(outer, 2, 2, -50);
    assert_ptr_equal(again, middle);
    assert_null(none);
    tape_destroy(tape);
}

static void borrowed_data_stays_in_place_and_only_its_header_moves(void **state) {
    (void)state;
    Tape   *tape = new_tape(&backend_reference, false);
    Real    mine[6] = {1, 2, 3, 4, 5, 6};
    Tensor *outer   = filled(tape, 2, 3, 10);
    scope_open(tape, "s", -1);
    filled(tape, 40, 7, 0);
    Tensor *borrowed = tensor_from(tape, 2, (int64_t[]){2, 3}, mine, false), *view = tensor_from(tape, 2, (int64_t[]){3, 2}, outer->data, false);
    scope_close_many(tape, (Tensor **[]){&borrowed, &view}, 2);
    filled(tape, 40, 7, 0);
    assert_ptr_equal(borrowed->data, mine);
    assert_filled(borrowed, 2, 3, 1);
    assert_ptr_equal(view->data, outer->data);
    assert_filled(view, 3, 2, 10);
    tape_destroy(tape);
}

static void survivor_that_borrows_from_its_scope(void *unused) {
    (void)unused;
    Tape *tape = NULL;
    Error err;
    if (!tape_create(&tape, &backend_reference, &err)) return;
    scope_open(tape, "s", -1);
    Tensor *x = tensor_matrix(tape, 4, 4);
    scope_close(tape, tensor_from(tape, 1, (int64_t[]){16}, x->data, false));
}

static void close_without_open(void *unused) {
    (void)unused;
    Tape *tape = NULL;
    Error err;
    if (tape_create(&tape, &backend_reference, &err)) scope_close(tape, NULL);
}

static void open_too_deep(void *unused) {
    (void)unused;
    Tape *tape = NULL;
    Error err;
    if (!tape_create(&tape, &backend_reference, &err)) return;
    for (int i = 0; i < 33; i++) scope_open(tape, "s", i);
}

static void misuse_of_scopes_stops_the_program(void **state) {
    (void)state;
    assert_check_fails(survivor_that_borrows_from_its_scope, NULL, "borrows memory of the scope");
    assert_check_fails(close_without_open, NULL, "scope_close without scope_open");
    assert_check_fails(open_too_deep, NULL, "nested too deep");
}

static void an_empty_tensor_survives(void **state) {
    (void)state;
    Tape *tape = new_tape(&backend_reference, false);
    Tensor *none = NULL, *next = NULL;
    scope_open(tape, "outer", -1);
    scope_open(tape, "inner", -1);
    filled(tape, 40, 7, 0);
    none = tensor_matrix(tape, 0, 7);
    next = filled(tape, 2, 2, 5);
    scope_close_many(tape, (Tensor **[]){&none, &next}, 2);
    scope_close_many(tape, (Tensor **[]){&next, &none}, 2);
    assert_int_equal(tensor_count(none), 0);
    assert_int_equal(none->dim[1], 7);
    assert_filled(next, 2, 2, 5);
    tape_destroy(tape);
}

/* Random trees of scopes: at each closing some tensors of the scope and of those around it are named as survivors. */
typedef struct Live { Tensor *tensor; int64_t rows, width; double from; int depth; } Live;

static uint32_t dice_state = 1;
static int dice(int sides) {
    dice_state = dice_state * 1664525u + 1013904223u;
    return (int)((dice_state >> 8) % (uint32_t)sides);
}

static void survivors_keep_their_values_in_every_nesting(void **state) {
    (void)state;
    enum { MOST = 40 };
    for (int round = 0; round < 300; round++) {
        first_chunk = (size_t)(256 << dice(6));
        Tape *tape = new_tape(&backend_reference, false);
        Live  live[MOST];
        int   n = 0, depth = 0;
        for (int event = 0; event < 60; event++) {
            const int what = dice(4);
            if (what == 0 && depth < 8) {
                scope_open(tape, "s", depth++);
            } else if (what == 1 && depth > 0) {
                Tensor **survivor[MOST];
                int n_survivors = 0, n_left = 0;
                for (int i = 0; i < n; i++) {
                    if (live[i].depth == depth && dice(2) == 0) continue;             /* dies with its scope */
                    live[n_left] = live[i];
                    if (live[n_left].depth == depth) live[n_left].depth--;
                    n_left++;
                }
                n = n_left;
                for (int i = 0; i < n; i++) survivor[i] = &live[i].tensor;            /* also those from further out */
                n_survivors = n;
                for (int i = n_survivors - 1; i > 0; i--) {                           /* named in any order */
                    const int j = dice(i + 1);
                    Tensor **swap = survivor[i];
                    survivor[i] = survivor[j];
                    survivor[j] = swap;
                }
                scope_close_many(tape, survivor, n_survivors);
                depth--;
            } else if (n < MOST) {
                Live x = {.rows = dice(60), .width = dice(20) + 1, .from = 1000.0 * event, .depth = depth};
                x.tensor = filled(tape, x.rows, x.width, x.from);
                live[n++] = x;
            }
            for (int i = 0; i < n; i++) assert_filled(live[i].tensor, live[i].rows, live[i].width, live[i].from);
        }
        tape_destroy(tape);
    }
    first_chunk = 4096;
}

/* The tape's real first chunk of 64 MB, a survivor in it and one in the second, which the system likes to put below the first:
 * moved first, the second would overwrite the other. */
static void large_survivors_of_a_large_scope_come_through(void **state) {
    (void)state;
    first_chunk = SIZE_MAX;
    Tape *tape = new_tape(backend_default(), false);
    scope_open(tape, "s", -1);
    tensor_matrix(tape, 3 << 20, 1);                          /* 12 MB, never touched */
    Tensor *early = tensor_matrix(tape, 1 << 20, 1);
    tensor_matrix(tape, 9 << 20, 1);
    Tensor *late = tensor_matrix(tape, 10 << 20, 1);
    for (int64_t i = 0; i < 10 << 20; i += 4099) late->data[i] = (Real)i;
    for (int64_t i = 0; i < 1 << 20; i += 511)   early->data[i] = (Real)-i;
    scope_close_many(tape, (Tensor **[]){&early, &late}, 2);
    for (int64_t i = 0; i < 10 << 20; i += 4099) assert_true(late->data[i] == (Real)i);
    for (int64_t i = 0; i < 1 << 20; i += 511)   assert_true(early->data[i] == (Real)-i);
    tape_destroy(tape);
    first_chunk = 4096;
}

static size_t peak_of_forward(const char *settings, bool recording) {
    Model *m    = vit_of(settings);
    Tape  *tape = new_tape(&backend_reference, recording);
    ModelOutput y;
    m->kind->forward(m->self, tape, &(ModelInput){.images = images_of(tape, m, 2), .image_id = ids}, &y);
    assert_false(tape_failed(tape));
    const size_t peak = arena_peak_bytes(tape_arena(tape));
    tape_destroy(tape);
    model_destroy(m);
    return peak;
}

#define SMALL_VIT "img_size=12 patch_size=4 in_chans=2 embed_dim=16 num_heads=2 num_classes=5 mlp_ratio=2"

static void inference_of_twice_the_depth_needs_the_same_memory(void **state) {
    (void)state;
    const size_t three = peak_of_forward(SMALL_VIT " depth=3", false), six = peak_of_forward(SMALL_VIT " depth=6", false);
    assert_int_equal(three, six);
    assert_int_equal(peak_of_forward(SMALL_VIT " depth=12", false), six);
    /* recording keeps what each block made: so the same check notices a forward without scopes */
    const size_t kept3 = peak_of_forward(SMALL_VIT " depth=3", true), kept6 = peak_of_forward(SMALL_VIT " depth=6", true);
    assert_true(kept3 > three && kept6 - kept3 > three / 2);
    assert_int_equal(peak_of_forward(SMALL_VIT " depth=9", true) - kept6, kept6 - kept3);
}

static void recording_keeps_every_tensor_where_it_is(void **state) {
    (void)state;
    Tape   *tape = new_tape(&backend_reference, true);
    Tensor *t[20];
    for (int i = 0; i < 20; i++) {
        scope_open(tape, "s", i);
        t[i] = filled(tape, 30, 4, 100 * i);
        assert_ptr_equal(scope_close(tape, t[i]), t[i]);
        scope_open(tape, "s", i);
        filled(tape, 9, 9, 0);
        scope_close(tape, NULL);
    }
    for (int i = 0; i < 20; i++) assert_filled(t[i], 30, 4, 100 * i);
    tape_destroy(tape);
}

static void a_new_step_starts_empty(void **state) {
    (void)state;
    Tape *tape = new_tape(&backend_reference, true);
    op_gelu(tape, sample_tensor(tape, 0, 2, (int64_t[]){30, 30}));
    assert_non_null(tape_last(tape));
    scope_open(tape, "left open", -1);
    tape_begin(tape, false, training);
    assert_int_equal(arena_bytes(tape_arena(tape)), 0);
    assert_null(tape_last(tape));
    assert_false(tape_recording(tape));
    assert_int_equal(tape_step(tape).step, 3);
    assert_int_equal(tape_step(tape).seed, 7);
    assert_true(tape_step(tape).training);
    op_gelu(tape, filled(tape, 1, 1, 0));                     /* counted at the root again */
    assert_int_equal(tape_profile(tape)->scope[0].forward.calls, 2);
    tape_destroy(tape);
}

/* ---- gradients ---- */

/* A random graph of linear ops over integers: its derivative is its value at a unit vector, exactly. Tensors are used several
 * times, sums take the same tensor twice, and every op that hands its gradient on (grad_pass) comes up. */
enum { ROWS = 4, WIDTH = 3, CELLS = ROWS * WIDTH, N_LEAVES = 3, N_STEPS = 12 };

static Tensor *integers(Tape *tape, int64_t rows, int64_t width, int salt) {
    Tensor *x = tensor_matrix(tape, rows, width);
    for (int64_t i = 0; i < rows * width; i++) x->data[i] = (Real)((i * 7 + salt * 5) % 3 - 1);
    return x;
}

static Tensor *random_graph(Tape *tape, uint32_t seed, Tensor *leaf[N_LEAVES]) {
    Tensor *made[N_LEAVES + N_STEPS];
    int     n = N_LEAVES;
    for (int i = 0; i < N_LEAVES; i++) made[i] = leaf[i];
    dice_state = seed;
    for (int step = 0; step < N_STEPS; step++, n++) {
        Tensor *a = made[dice(n)], *b = made[dice(n)];
        const TokenRows *rows = sample_rows(tape, 2, (int[]){3, 1});
        switch (dice(7)) {
        case 0: made[n] = op_add(tape, a, b); break;
        case 1: made[n] = op_add(tape, a, a); break;
        case 2: made[n] = op_scale(tape, a, dice(2) == 0 ? -1 : 2); break;
        case 3: made[n] = op_add_tiled(tape, a, op_gather_rows(tape, b, sample_index(tape, 2, (int32_t[]){dice(ROWS), dice(ROWS)}), 2)); break;
        case 4: made[n] = op_gather_rows(tape, a, sample_index(tape, ROWS, (int32_t[]){dice(ROWS), dice(ROWS), -1, dice(ROWS)}), ROWS); break;
        case 5: made[n] = op_linear(tape, a, integers(tape, WIDTH, WIDTH, step), NULL, ACTIVATION_NONE, b); break;
        default: made[n] = op_drop_path(tape, a, b, rows, 0.5, step); break;      /* kept branches are doubled */
        }
    }
    return op_add(tape, made[n - 1], op_add(tape, made[n - 2], made[dice(n)]));
}

static double weighted_sum(const Tensor *y) {
    double sum = 0;
    for (int i = 0; i < CELLS; i++) sum += (double)(i % 5 - 2) * (double)y->data[i];
    return sum;
}

static double value_at(Tape *tape, uint32_t seed, int which, int cell) {
    Tensor *leaf[N_LEAVES];
    tape_begin(tape, false, training);
    for (int k = 0; k < N_LEAVES; k++) {
        leaf[k] = tensor_matrix(tape, ROWS, WIDTH);
        for (int i = 0; i < CELLS; i++) leaf[k]->data[i] = k == which && i == cell;
    }
    return weighted_sum(random_graph(tape, seed, leaf));
}

static int count_wrong_gradients(uint32_t seed, const Backend *backend, bool spoil) {
    Tape   *tape = new_tape(backend, true), *other = new_tape(&backend_reference, false);
    Tensor *leaf[N_LEAVES];
    int     n_wrong = 0;
    tape_begin(tape, true, training);
    for (int k = 0; k < N_LEAVES; k++) {
        leaf[k] = integers(tape, ROWS, WIDTH, k);
        leaf[k]->needs_grad = true;
    }
    Tensor *y = random_graph(tape, seed, leaf);
    y->grad = tape_alloc(tape, (CELLS + 2) * sizeof *y->grad);
    for (int i = 0; i < CELLS; i++) y->grad[i] = (Real)(i % 5 - 2);
    if (spoil) y->grad[0] += 1;
    tape_backward_from(tape, y);
    assert_false(tape_failed(tape));
    for (int k = 0; k < N_LEAVES; k++)
        for (int i = 0; i < CELLS; i++)
            n_wrong += (leaf[k]->grad != NULL ? (double)leaf[k]->grad[i] : 0) != value_at(other, seed, k, i);
    tape_destroy(other);
    tape_destroy(tape);
    return n_wrong;
}

static void gradients_of_random_graphs_are_exact(void **state) {
    (void)state;
    int n_noticed = 0;
    for (uint32_t seed = 1; seed <= 150; seed++) {
        const int n_wrong = count_wrong_gradients(seed, &backend_reference, false);
        if (n_wrong > 0) fail_msg("graph %u: %d wrong", seed, n_wrong);
        if (seed <= 20) n_noticed += count_wrong_gradients(seed, &backend_reference, true) > 0;
        if (seed <= 20) assert_int_equal(count_wrong_gradients(seed, backend_default(), false), 0);
    }
    assert_true(n_noticed >= 15);                             /* in some graphs no path leads from a leaf to the first cell */
}

static void a_residual_stream_collects_the_gradients_of_all_its_readers(void **state) {
    (void)state;
    Tape   *tape = new_tape(&backend_reference, true);
    Tensor *x    = integers(tape, 2, 2, 1);
    x->needs_grad = true;
    Tensor *a = op_add(tape, x, op_scale(tape, x, 10));       /* 11 x; hands its gradient on to x */
    Tensor *b = op_add(tape, a, op_scale(tape, a, 100));      /* 101 a */
    Tensor *side = op_scale(tape, a, 7);                      /* read again after it was handed on */
    Tensor *y = op_add(tape, op_add(tape, b, side), x);       /* 11 (101 + 7) + 1 = 1189 */
    y->grad = tape_alloc(tape, 64);
    for (int i = 0; i < 4; i++) y->grad[i] = (Real)(i + 1);
    tape_backward_from(tape, y);
    for (int i = 0; i < 4; i++) assert_true(x->grad[i] == (Real)(1189 * (i + 1)));
    tape_destroy(tape);
}

static void tied_weights_collect_the_gradients_of_every_use(void **state) {
    (void)state;
    const Backend *backend = backend_default();
    Tape  *tape = new_tape(backend, true);
    Real   grad_of_both[9] = {0}, tied[9];
    Tensor *w = NULL, *v = NULL;
    Params *p = NULL;
    Error   err = {0};
    assert_true(params_create(&p, &err));
    param_add(p, &w, (ParamSpec){INIT_NORMAL_002, PARAM_DECAYED, 0, 0}, 2, (int64_t[]){3, 3}, "w");
    param_add(p, &v, (ParamSpec){INIT_NORMAL_002, PARAM_DECAYED, 0, 0}, 2, (int64_t[]){3, 3}, "v");
    params_init(p, 1);
    memcpy(v->data, w->data, sizeof tied);
    params_touch(p);
    assert_true(params_want_grads(p, &err));
    for (int is_tied = 0; is_tied < 2; is_tied++) {
        params_zero_grads(p);
        tape_begin(tape, true, training);
        Tensor *y = op_linear(tape, op_linear(tape, integers(tape, 4, 3, 1), w, NULL, ACTIVATION_GELU, NULL), is_tied ? w : v, NULL, ACTIVATION_NONE, NULL);
        y->grad = tape_alloc(tape, 14 * sizeof(Real));
        for (int i = 0; i < 12; i++) y->grad[i] = (Real)sin(i);
        tape_backward_from(tape, y);
        params_settle_grads(p);
        for (int i = 0; i < 9; i++) {
            if (!is_tied) grad_of_both[i] = w->grad[i] + v->grad[i];
            else          tied[i] = w->grad[i];
        }
    }
    for (int i = 0; i < 9; i++) {
        assert_true(v->grad[i] == 0);
        assert_true(fabs((double)(tied[i] - grad_of_both[i])) <= 1e-7);      /* values of at most 0.1, added in another order */
    }
    tape_destroy(tape);
    params_destroy(p);
}

static void a_second_backward_adds_to_the_parameters(void **state) {
    (void)state;
    Tape   *tape = new_tape(&backend_reference, true);
    Tensor *w    = NULL;
    Params *p    = NULL;
    Error   err  = {0};
    assert_true(params_create(&p, &err));
    param_add(p, &w, (ParamSpec){INIT_ONE, PARAM_DECAYED, 0, 0}, 2, (int64_t[]){2, 3}, "w");
    params_init(p, 1);
    assert_true(params_want_grads(p, &err));
    params_zero_grads(p);
    for (int pass = 1; pass <= 3; pass++) {
        tape_begin(tape, true, training);
        Tensor *y = op_linear(tape, filled(tape, 1, 3, 1), w, NULL, ACTIVATION_NONE, NULL);
        y->grad = tape_alloc(tape, 64);
        y->grad[0] = 1;
        y->grad[1] = 10;
        tape_backward_from(tape, y);
        for (int i = 0; i < 6; i++) assert_true(w->grad[i] == (Real)(pass * (i / 3 == 0 ? 1 : 10) * (i % 3 + 1)));
    }
    tape_destroy(tape);
    params_destroy(p);
}

/* Its gradient is the registry's buffer and stays so: it is added to, not exchanged for the buffer of a sum. */
static void a_parameter_may_be_a_term_of_a_sum(void **state) {
    (void)state;
    Tape   *tape = new_tape(&backend_reference, true);
    Tensor *w    = NULL;
    Params *p    = NULL;
    Error   err  = {0};
    assert_true(params_create(&p, &err));
    param_add(p, &w, (ParamSpec){INIT_ONE, PARAM_DECAYED, 0, 0}, 2, (int64_t[]){2, 2}, "w");
    params_init(p, 1);
    assert_true(params_want_grads(p, &err));
    params_zero_grads(p);
    const Real *grad = w->grad;
    Tensor *y = op_add(tape, w, op_add(tape, w, w));          /* 3 w */
    y->grad = tape_alloc(tape, 64);
    for (int i = 0; i < 4; i++) y->grad[i] = (Real)(i + 1);
    tape_backward_from(tape, y);
    assert_ptr_equal(w->grad, grad);
    for (int i = 0; i < 4; i++) assert_true(w->grad[i] == (Real)(3 * (i + 1)));
    tape_destroy(tape);
    params_destroy(p);
}

typedef enum BadBackward { NOT_RECORDED, SEVERAL_LOSSES, NO_GRADIENT } BadBackward;
static void bad_backward(void *which) {
    Tape *tape = NULL;
    Error err;
    if (!tape_create(&tape, &backend_reference, &err)) return;
    tape_begin(tape, *(BadBackward *)which != NOT_RECORDED, training);
    Tensor *y = op_gelu(tape, sample_tensor(tape, 0, 1, (int64_t[]){*(BadBackward *)which == SEVERAL_LOSSES ? 2 : 1}));
    if (*(BadBackward *)which == NO_GRADIENT) tape_backward_from(tape, y);
    else                                      tape_backward(tape, y);
}

static void a_backward_pass_that_cannot_be_stops_the_program(void **state) {
    (void)state;
    assert_check_fails(bad_backward, &(BadBackward){NOT_RECORDED}, "the tape does not record");
    assert_check_fails(bad_backward, &(BadBackward){SEVERAL_LOSSES}, "the loss has 2 elements");
    assert_check_fails(bad_backward, &(BadBackward){NO_GRADIENT}, "no gradient arrives");
}

static void what_no_gradient_reaches_is_left_alone(void **state) {
    (void)state;
    Tape   *tape = new_tape(&backend_reference, true);
    Tensor *x = sample_tensor(tape, 0, 2, (int64_t[]){2, 2}), *unused = sample_tensor(tape, 1, 2, (int64_t[]){2, 2});
    Tensor *constant = filled(tape, 2, 2, 0);
    op_gelu(tape, unused);
    Tensor *y = op_add(tape, x, op_scale(tape, constant, 2));
    y->grad = tape_alloc(tape, 64);
    for (int i = 0; i < 4; i++) y->grad[i] = 1;
    tape_backward_from(tape, y);
    assert_non_null(x->grad);
    assert_null(unused->grad);
    assert_null(constant->grad);
    tape_destroy(tape);
}

/* ---- the account of work ---- */

static void calls_and_products_are_counted_in_the_open_scope_and_by_kind(void **state) {
    (void)state;
    Tape    *tape    = new_tape(&backend_reference, true);
    Profile *profile = tape_profile(tape);
    Tensor  *x = sample_tensor(tape, 0, 2, (int64_t[]){5, 4}), *w = sample_tensor(tape, 1, 2, (int64_t[]){3, 4});
    scope_open(tape, "a", 0);
    Tensor *y = op_linear(tape, x, w, NULL, ACTIVATION_NONE, NULL);
    scope_open(tape, "b", -1);
    y = scope_close(tape, op_gelu(tape, y));
    y = scope_close(tape, op_scale(tape, y, 2));
    y->grad = tape_alloc(tape, 17 * sizeof(Real));
    memset(y->grad, 0, 17 * sizeof(Real));
    tape_backward_from(tape, y);
    const int a = profile_scope(profile, 0, "a", 0), b = profile_scope(profile, a, "b", -1);
    assert_int_equal(profile->n_scopes, 3);
    assert_int_equal(profile->scope[0].forward.calls, 0);
    assert_int_equal(profile->scope[a].forward.calls, 2);
    assert_int_equal(profile->scope[b].forward.calls, 1);
    assert_int_equal(profile->scope[a].forward.macs, 5 * 3 * 4);
    assert_int_equal(profile->scope[b].forward.macs, 0);
    assert_int_equal(profile->scope[a].forward.elementwise, 15);           /* the scale */
    assert_int_equal(profile->scope[b].forward.elementwise, 15);
    assert_int_equal(profile->scope[a].backward.macs, 2 * 5 * 3 * 4);      /* dx and dw */
    assert_int_equal(profile->scope[a].backward.calls, 2);
    assert_int_equal(profile->scope[b].backward.calls, 1);
    assert_int_equal(profile_total(profile, 0, 0).calls, 3);
    assert_int_equal(profile_kind(profile, "linear")->forward.calls, 1);
    assert_int_equal(profile_kind(profile, "linear")->forward.macs, 60);
    assert_int_equal(profile_kind(profile, "linear")->backward.macs, 120);
    assert_int_equal(profile_kind(profile, "gelu")->forward.calls, 1);
    tape_destroy(tape);
}

/* ---- weights that are no parameters ---- */

/* An activation as weight has no version: a backend that keeps packed copies must not take the last step's for this one's. */
static void a_weight_that_changes_between_steps_is_never_stale(void **state) {
    (void)state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tape *tape = new_tape(backend, false);
        for (int step = 1; step <= 3; step++) {
            tape_begin(tape, false, (TapeStep){0});
            Tensor *x = filled(tape, 2, 4, 1), *w = filled(tape, 3, 4, 0);
            for (int i = 0; i < 12; i++) w->data[i] = (Real)step;
            const Tensor *y = op_linear(tape, x, w, NULL, ACTIVATION_NONE, NULL);
            for (int i = 0; i < 6; i++) assert_true(y->data[i] == (Real)(step * (i / 3 == 0 ? 10 : 26)));
        }
        tape_destroy(tape);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_hands_back_all_but_its_survivor),
        cmocka_unit_test(a_survivor_from_before_the_scope_stays_where_it_is),
        cmocka_unit_test(survivors_are_kept_in_any_order_with_gaps_and_twice),
        cmocka_unit_test(borrowed_data_stays_in_place_and_only_its_header_moves),
        cmocka_unit_test(misuse_of_scopes_stops_the_program),
        cmocka_unit_test(an_empty_tensor_survives),
        cmocka_unit_test(survivors_keep_their_values_in_every_nesting),
        cmocka_unit_test(large_survivors_of_a_large_scope_come_through),
        cmocka_unit_test(inference_of_twice_the_depth_needs_the_same_memory),
        cmocka_unit_test(recording_keeps_every_tensor_where_it_is),
        cmocka_unit_test(a_new_step_starts_empty),
        cmocka_unit_test(gradients_of_random_graphs_are_exact),
        cmocka_unit_test(a_residual_stream_collects_the_gradients_of_all_its_readers),
        cmocka_unit_test(tied_weights_collect_the_gradients_of_every_use),
        cmocka_unit_test(a_second_backward_adds_to_the_parameters),
        cmocka_unit_test(a_parameter_may_be_a_term_of_a_sum),
        cmocka_unit_test(a_backward_pass_that_cannot_be_stops_the_program),
        cmocka_unit_test(what_no_gradient_reaches_is_left_alone),
        cmocka_unit_test(calls_and_products_are_counted_in_the_open_scope_and_by_kind),
        cmocka_unit_test(a_weight_that_changes_between_steps_is_never_stale),
    };
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
