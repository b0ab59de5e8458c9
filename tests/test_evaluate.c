/* Counting right answers: with models whose answers are known beforehand. */
#include "harness/measure/evaluate.h"

#include "baselines/registry.h"
#include "harness/data/loader.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above */
#include <cmocka.h>

enum { CLASSES = 10, N_IMAGES = 137 };
static const char data_name[] = "synthetic:8x8x1:10:137";
static const char tiny[]      = "img_size=8 embed_dim=16 depth=2 num_heads=2";       /* over vit_..._28: 1 channel, 10 classes, 4 patches */

typedef struct Bench {
    Model   *model;
    Tape    *tape;
    Dataset *data;
    int      label_count[CLASSES];
} Bench;

static Evaluation  result;             /* 4 KB each: not on the stack of every test */
static Evaluation  other;

static int set_up(void **state) {
    Bench *b   = calloc(1, sizeof *b);
    Error  err = {0};
    uint8_t pixels[64];
    int     label;
    if (!model_from_preset(&b->model, "vit_d64_l6_p4_28", tiny, &err) || !tape_create(&b->tape, backend_default(), &err)
        || !dataset_open(&b->data, &(DatasetOptions){.name_or_dir = data_name}, &err)) {
        print_error("%s %s\n", err.field, err.message);
        return -1;
    }
    params_init(b->model->params, 7);
    for (int64_t i = 0; i < N_IMAGES; i++) {
        if (!dataset_read(b->data, i, pixels, &label, &err)) return -1;
        b->label_count[label]++;
    }
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    Bench *b = *state;
    dataset_close(b->data);
    tape_destroy(b->tape);
    model_destroy(b->model);
    free(b);
    return 0;
}

static void evaluated(Bench *b, Model *m, int batch_size, int loader_threads, Evaluation *out) {
    Error err = {0};
    if (!evaluate(m, b->tape, b->data, &(EvaluateOptions){batch_size, loader_threads, true, NULL, NULL}, out, &err)) fail_msg("%s", err.message);
}

/* The model then answers every image with these logits. */
static void force_logits(Model *m, const Real logits[CLASSES]) {
    Param *w = params_find(m->params, "head.weight"), *bias = params_find(m->params, "head.bias");
    memset(w->tensor->data, 0, (size_t)tensor_count(w->tensor) * sizeof(Real));
    memcpy(bias->tensor->data, logits, CLASSES * sizeof(Real));
    params_touch(m->params);
}

static void a_constant_answer_has_exactly_the_share_of_its_class(void **state) {
    Bench *b = *state;
    for (int c = 0; c < CLASSES; c++) {
        Real logits[CLASSES] = {0};
        logits[c] = 1;
        force_logits(b->model, logits);
        evaluated(b, b->model, 10, 1, &result);
        assert_int_equal(result.images_count, N_IMAGES);
        assert_int_equal(result.top1_count, b->label_count[c]);
    }
}

static void top5_counts_the_labels_among_the_five_best(void **state) {
    Bench     *b = *state;
    const Real logits[CLASSES] = {1, 9, 2, 8, 3, 7, 4, 6, 5, 0};        /* best five: 1 3 5 7 8 */
    force_logits(b->model, logits);
    evaluated(b, b->model, 10, 1, &result);
    const int *n = b->label_count;
    assert_int_equal(result.top1_count, n[1]);
    assert_int_equal(result.top5_count, n[1] + n[3] + n[5] + n[7] + n[8]);
}

static void among_equal_logits_the_lower_class_comes_first(void **state) {
    Bench     *b = *state;
    const Real zeros[CLASSES] = {0}, pair[CLASSES] = {0, 0, 0, 5, 0, 0, 5, 0, 0, 0};
    const int *n = b->label_count;
    force_logits(b->model, zeros);
    evaluated(b, b->model, 10, 1, &result);
    assert_int_equal(result.top1_count, n[0]);
    assert_int_equal(result.top5_count, n[0] + n[1] + n[2] + n[3] + n[4]);
    force_logits(b->model, pair);
    evaluated(b, b->model, 10, 1, &result);
    assert_int_equal(result.top1_count, n[3]);
    assert_int_equal(result.top5_count, n[3] + n[6] + n[0] + n[1] + n[2]);
    assert_int_equal(logits_best(pair, CLASSES), 3);
}

static void the_loss_is_the_mean_cross_entropy(void **state) {
    Bench     *b = *state;
    const Real logits[CLASSES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    double     sum = 0, want = 0;
    force_logits(b->model, logits);
    evaluated(b, b->model, 10, 1, &result);
    for (int c = 0; c < CLASSES; c++) sum += exp(c);
    for (int c = 0; c < CLASSES; c++) want += b->label_count[c] * (log(sum) - c) / N_IMAGES;
    assert_true(fabs(result.loss - want) < 1e-12 * N_IMAGES);          /* sums in double of 137 terms below 10 */
}

static void large_logits_do_not_overflow_the_loss(void **state) {
    Bench     *b = *state;
    const Real logits[CLASSES] = {(Real)3e38, (Real)-3e38};
    force_logits(b->model, logits);
    evaluated(b, b->model, 10, 1, &result);
    assert_true(isfinite(result.loss));
    assert_int_equal(result.top1_count, b->label_count[0]);
}

static void logits_that_are_not_finite_are_no_answer(void **state) {
    Bench *b = *state;
    for (int k = 0; k < 2; k++) {
        Real  logits[CLASSES] = {0};
        Error err = {0};
        logits[4] = k == 0 ? (Real)NAN : (Real)INFINITY;
        force_logits(b->model, logits);
        assert_false(evaluate(b->model, b->tape, b->data, &(EvaluateOptions){10, 1, true, NULL, NULL}, &result, &err));
        assert_int_equal(err.exit_status, EXIT_CELLS);
        assert_non_null(strstr(err.message, "not finite"));
    }
}

/* Smallest distance between the label's logit and another one, over all images, in units of the largest logit. */
static double smallest_gap(Bench *b) {
    static float   images[N_IMAGES * 64];
    static int64_t ids[N_IMAGES];
    static int     labels[N_IMAGES];
    uint8_t        pixels[64];
    float          table[256];
    Error          err = {0};
    double         gap = INFINITY, largest = 0;
    ModelOutput    y;
    loader_table(b->data->mean, b->data->sd, 1, table);
    for (int i = 0; i < N_IMAGES; i++) {
        assert_true(dataset_read(b->data, i, pixels, &labels[i], &err));
        loader_normalise(pixels, 8, 8, 1, table, images + i * 64);
        ids[i] = i;
    }
    tape_begin(b->tape, false, (TapeStep){0});
    b->model->kind->forward(b->model->self, b->tape, &(ModelInput){.images = batch_tensor(b->tape, images, N_IMAGES, 1, 8, 8), .image_id = ids}, &y);
    for (int i = 0; i < N_IMAGES; i++)
        for (int c = 0; c < CLASSES; c++) {
            const double at = (double)y.logits->data[i * CLASSES + c], label = (double)y.logits->data[i * CLASSES + labels[i]];
            largest = fmax(largest, fabs(at));
            if (c != labels[i]) gap = fmin(gap, fabs(at - label));
        }
    return gap / largest;
}

static void batch_size_and_threads_change_no_count(void **state) {
    Bench *b = *state;
    /* the bits of a product depend on its rows: relative errors of sums of 16 and 64 floats stay below 64 2^-24 < 1e-5, and
     * no logit of these weights is nearer to the label's */
    assert_true(smallest_gap(b) > 2e-5);
    evaluated(b, b->model, 16, 1, &result);
    assert_in_range(result.top1_count, 1, N_IMAGES - 1);
    const int batches[] = {1, 7, 16, 64, 137, 500}, threads[] = {0, 2, 4, 1, 0, 2};
    for (int k = 0; k < 6; k++) {
        evaluated(b, b->model, batches[k], threads[k], &other);
        assert_int_equal(other.images_count, result.images_count);
        assert_int_equal(other.top1_count, result.top1_count);
        assert_int_equal(other.top5_count, result.top5_count);
        assert_int_equal(other.macs_executed, result.macs_executed);
        assert_string_equal(other.predictions_sha256, result.predictions_sha256);
        assert_memory_equal(other.depth_histogram, result.depth_histogram, sizeof result.depth_histogram);
        assert_true(fabs(other.loss - result.loss) < 1e-5 * result.loss);       /* the same bound */
    }
}

static void executed_macs_are_the_analytic_ones(void **state) {
    Bench      *b = *state;
    ModelCounts counts;
    b->model->kind->count(b->model->self, NULL, &counts);
    evaluated(b, b->model, 16, 1, &result);
    assert_int_equal(result.macs_executed, N_IMAGES * counts.macs);
}

static void every_token_of_a_plain_vit_has_full_depth(void **state) {
    Bench *b = *state;
    evaluated(b, b->model, 16, 1, &result);
    assert_int_equal(result.max_depth, 2);
    assert_int_equal(result.n_tokens, 5);
    assert_int_equal(result.depth_histogram[2], N_IMAGES * 5);
    assert_int_equal(result.depth_histogram[0] + result.depth_histogram[1], 0);
}

static void memory_of_a_step_before_is_no_part_of_the_peak(void **state) {
    Bench *b = *state;
    evaluated(b, b->model, 16, 1, &result);
    tape_begin(b->tape, true, (TapeStep){0});
    assert_non_null(tape_alloc(b->tape, (size_t)16 << 20));
    evaluated(b, b->model, 16, 1, &other);
    assert_int_equal(other.peak_activation_bytes, result.peak_activation_bytes);
}

/* ---- a model of another kind: answers with the image's identity, at depths of its own ---- */

enum { TOKENS = 6, MAX_DEPTH = 4 };
typedef struct Fake { int classes, side; } Fake;

static void fake_forward(void *self, Tape *t, const ModelInput *in, ModelOutput *out) {
    const Fake   *f = self;
    const int64_t B = in->images->dim[0];
    *out = (ModelOutput){.logits = tensor_matrix(t, B, f->classes), .n_tokens = TOKENS, .max_depth = MAX_DEPTH};
    out->depth = tape_alloc(t, (size_t)B * TOKENS * sizeof *out->depth);
    for (int64_t b = 0; b < B; b++) {
        for (int c = 0; c < f->classes; c++) out->logits->data[b * f->classes + c] = c == in->image_id[b] % f->classes;
        for (int k = 0; k < TOKENS; k++) out->depth[b * TOKENS + k] = (int32_t)((in->image_id[b] + k * k) % MAX_DEPTH);
    }
}

static void fake_shape(const void *self, int *channels, int *height, int *width, int *classes) {
    const Fake *f = self;
    *channels = 1;
    *height = *width = f->side;
    *classes = f->classes;
}

static void fake_count(const void *self, const RouteCounts *route, ModelCounts *out) {
    (void)self; (void)route;
    *out = (ModelCounts){0};
}
static const ModelKind fake_kind = {.name = "fake", .forward = fake_forward, .image_shape = fake_shape, .count = fake_count};

static void the_depth_histogram_counts_each_token_of_each_image_once(void **state) {
    Bench  *b = *state;
    Fake    f = {CLASSES, 8};
    Model   m = {.kind = &fake_kind, .self = &f};
    int64_t want[MAX_DEPTH + 1] = {0}, sum = 0;
    for (int64_t id = 0; id < N_IMAGES; id++)
        for (int k = 0; k < TOKENS; k++) want[(id + k * k) % MAX_DEPTH]++;
    for (int batch = 1; batch < 200; batch += 45) {
        sum = 0;
        evaluated(b, &m, batch, 1, &result);
        for (int d = 0; d <= MAX_DEPTH; d++) {
            assert_int_equal(result.depth_histogram[d], want[d]);
            sum += result.depth_histogram[d];
        }
        assert_int_equal(sum, N_IMAGES * TOKENS);
        assert_int_equal(result.n_tokens, TOKENS);
        assert_int_equal(result.max_depth, MAX_DEPTH);
    }
}

static void predictions_are_hashed_in_image_order(void **state) {
    Bench   *b = *state;
    Fake     f = {CLASSES, 8};
    Model    m = {.kind = &fake_kind, .self = &f};
    int32_t  answer[N_IMAGES];
    char     want[SHA256_TEXT_SIZE];
    Error    err = {0};
    for (int i = 0; i < N_IMAGES; i++) answer[i] = i % CLASSES;
    assert_true(digest_sha256(answer, sizeof answer, want, &err));
    evaluated(b, &m, 10, 2, &result);
    assert_string_equal(result.predictions_sha256, want);
    f.classes = 11;
    evaluated(b, &m, 10, 2, &result);
    assert_string_not_equal(result.predictions_sha256, want);
}

static void images_of_another_shape_or_too_many_classes_are_refused(void **state) {
    Bench *b = *state;
    Fake   f = {CLASSES, 9};
    Model  m = {.kind = &fake_kind, .self = &f};
    Error  err = {0};
    assert_false(evaluate(&m, b->tape, b->data, &(EvaluateOptions){10, 1, true, NULL, NULL}, &result, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_non_null(strstr(err.message, "8x8x1"));
    assert_non_null(strstr(err.message, "9x9x1"));
    f = (Fake){CLASSES - 1, 8};
    err = (Error){0};
    assert_false(evaluate(&m, b->tape, b->data, &(EvaluateOptions){10, 1, true, NULL, NULL}, &result, &err));
    assert_string_equal(err.field, "/model/num_classes");
}

/* The images of another set with one label changed. */
typedef struct Relabelled { const Dataset *real; int64_t index; int label; } Relabelled;

static bool relabelled_view(const Dataset *d, int64_t index, Image *image, int *label, Error *err) {
    const Relabelled *r = d->state;
    if (!r->real->kind->view(r->real, index, image, label, err)) return false;
    if (index == r->index) *label = r->label;
    return true;
}

static void a_label_that_is_none_of_the_model_s_classes_stops_the_count(void **state) {
    Bench            *b    = *state;
    const DatasetKind kind = {.name = "relabelled", .view = relabelled_view};
    const int         bad[] = {-1, CLASSES, 1000000};
    for (int k = 0; k < 3; k++) {
        Relabelled r = {b->data, 41, bad[k]};
        Dataset    d = *b->data;
        Error      err = {0};
        d.kind  = &kind;
        d.state = &r;
        assert_false(evaluate(b->model, b->tape, &d, &(EvaluateOptions){10, 1, true, NULL, NULL}, &result, &err));
        assert_non_null(strstr(err.message, "image 41"));
    }
}

static void data_without_labels_are_refused(void **state) {
    Bench  *b = *state;
    Dataset d = *b->data;
    Error   err = {0};
    d.n_classes = 0;
    assert_false(evaluate(b->model, b->tape, &d, &(EvaluateOptions){10, 1, true, NULL, NULL}, &result, &err));
    assert_non_null(strstr(err.message, "no labels"));
}

int main(void) {
#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_BENCH(a_constant_answer_has_exactly_the_share_of_its_class),
        WITH_BENCH(top5_counts_the_labels_among_the_five_best),
        WITH_BENCH(among_equal_logits_the_lower_class_comes_first),
        WITH_BENCH(the_loss_is_the_mean_cross_entropy),
        WITH_BENCH(large_logits_do_not_overflow_the_loss),
        WITH_BENCH(logits_that_are_not_finite_are_no_answer),
        WITH_BENCH(batch_size_and_threads_change_no_count),
        WITH_BENCH(executed_macs_are_the_analytic_ones),
        WITH_BENCH(every_token_of_a_plain_vit_has_full_depth),
        WITH_BENCH(memory_of_a_step_before_is_no_part_of_the_peak),
        WITH_BENCH(the_depth_histogram_counts_each_token_of_each_image_once),
        WITH_BENCH(predictions_are_hashed_in_image_order),
        WITH_BENCH(images_of_another_shape_or_too_many_classes_are_refused),
        WITH_BENCH(a_label_that_is_none_of_the_model_s_classes_stops_the_count),
        WITH_BENCH(data_without_labels_are_refused),
    };
    return cmocka_run_group_tests_name("evaluate", tests, NULL, NULL);
}
