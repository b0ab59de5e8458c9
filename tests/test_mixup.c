/* Mixup, cutmix and repeated augmentation: the mixed batch and its targets say the same, the weights follow their Beta distributions,
 * and what is drawn depends on seed, epoch and batch. */
#include "baselines/registry.h"
#include "engine/digest.h"
#include "engine/rng.h"
#include "harness/data/augment.h"
#include "harness/train/train.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

enum { N = 6, C = 2, H = 10, W = 14, SIZE = C * H * W, CLASSES = 5 };

static const int32_t labels[N] = {0, 1, 2, 3, 1, 4};      /* 1 and 4 are partners of one label */

typedef struct Batch { float images[N * SIZE], soft[N * CLASSES]; } Batch;

static void fill(float *images, int n) {
    for (int i = 0; i < n * SIZE; i++) images[i] = (float)(i % 97) - 40 + (float)(i / SIZE);
}

static bool mixed(const Augment *a, double smoothing, int64_t epoch, int64_t batch, Batch *out) {
    fill(out->images, N);
    memset(out->soft, 0, sizeof out->soft);
    return augment_batch(a, out->images, N, C, H, W, labels, CLASSES, smoothing, epoch, batch, out->soft);
}

/* The weight of its own label in the first row, whose partner has another. */
static double weight_of(const Batch *b, double smoothing) { return (b->soft[labels[0]] - smoothing / CLASSES) / (1 - smoothing); }

/* Whether every row is what the weight says: (1-smoothing)(w own + (1-w) partner's) + smoothing/classes. */
static bool targets_fit(const Batch *b, double smoothing, double weight) {
    for (int i = 0; i < N; i++)
        for (int k = 0; k < CLASSES; k++) {
            const double hard = weight * (labels[i] == k) + (1 - weight) * (labels[N - 1 - i] == k);
            if (fabs(b->soft[i * CLASSES + k] - ((1 - smoothing) * hard + smoothing / CLASSES)) > 2e-7) return false;      /* float of numbers below 1 */
        }
    return true;
}

static void without_alphas_nothing_is_touched(void **state) {
    (void)state;
    const Augment a = {.seed = 1, .mixup_switch = 0.5};
    Batch         b;
    float         plain[N * SIZE];
    fill(plain, N);
    assert_false(mixed(&a, 0.1, 0, 0, &b));
    assert_memory_equal(b.images, plain, sizeof plain);
}

static void mixup_weighs_pixels_and_targets_alike(void **state) {
    (void)state;
    const Augment a = {.seed = 1, .mixup = 0.8};
    float         plain[N * SIZE];
    Batch         b;
    fill(plain, N);
    for (int64_t batch = 0; batch < 50; batch++) {
        const double smoothing = batch % 2 == 0 ? 0.1 : 0;
        assert_true(mixed(&a, smoothing, 3, batch, &b));
        const double weight = weight_of(&b, smoothing);
        assert_true(weight >= -1e-6 && weight <= 1 + 1e-6);
        assert_true(targets_fit(&b, smoothing, weight));
        assert_false(targets_fit(&b, smoothing, weight + 0.01));             /* the check can fail */
        for (int i = 0; i < N; i++)
            for (int k = 0; k < SIZE; k++) {
                const double want = weight * plain[i * SIZE + k] + (1 - weight) * plain[(N - 1 - i) * SIZE + k];
                assert_true(fabs(b.images[i * SIZE + k] - want) < 5e-5);      /* float, values to 60; the weight is read back from a float */
            }
    }
}

static void cutmix_swaps_one_box_whose_share_is_the_weight(void **state) {
    (void)state;
    const Augment a = {.seed = 1, .cutmix = 1};
    float         plain[N * SIZE];
    Batch         b;
    int           n_clipped = 0;
    fill(plain, N);
    for (int64_t batch = 0; batch < 200; batch++) {
        assert_true(mixed(&a, 0.1, 0, batch, &b));
        int n = 0, top = H, left = W, bottom = -1, right = -1;
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                const bool swapped = b.images[y * W + x] != plain[y * W + x];
                for (int i = 0; i < N; i++)
                    for (int c = 0; c < C; c++) {
                        const int k = (c * H + y) * W + x;
                        assert_true(b.images[i * SIZE + k] == plain[(swapped ? N - 1 - i : i) * SIZE + k]);
                    }
                if (!swapped) continue;
                n++;
                top    = y < top ? y : top;
                left   = x < left ? x : left;
                bottom = y > bottom ? y : bottom;
                right  = x > right ? x : right;
            }
        if (n > 0) {
            assert_int_equal(n, (bottom - top + 1) * (right - left + 1));
            n_clipped += top == 0 || left == 0 || bottom == H - 1 || right == W - 1;
        }
        const double weight = 1 - (double)n / (H * W);
        assert_true(targets_fit(&b, 0.1, weight));
    }
    assert_true(n_clipped > 50);                             /* boxes cut off at a side are among them: the weight counts what is left */
}

/* Moments of Beta(a,a): mean 1/2, variance 1/(4(2a+1)); five standard errors of the seeded sample. */
static void weights_follow_the_beta_distribution(void **state) {
    (void)state;
    enum { DRAWS = 4000 };
    static const double alphas[] = {0.1, 0.8, 1, 4, 40};
    const int32_t       two[2] = {0, 1};
    for (int k = 0; k < 5; k++) {
        const Augment a = {.seed = 9, .mixup = alphas[k]};
        double        sum = 0, squares = 0, fourth = 0;
        for (int64_t batch = 0; batch < DRAWS; batch++) {
            float pixel[2] = {1, 0}, soft[4];
            assert_true(augment_batch(&a, pixel, 2, 1, 1, 1, two, 2, 0, 0, batch, soft));
            const double d = pixel[0] - 0.5;
            assert_true(d >= -0.5 && d <= 0.5);
            assert_true(fabs(soft[0] - pixel[0]) < 1e-6);
            sum += d;
            squares += d * d;
            fourth += d * d * d * d;
        }
        const double variance = 1 / (4 * (2 * alphas[k] + 1)), spread = sqrt(fourth / DRAWS - variance * variance);
        assert_true(fabs(sum / DRAWS) < 5 * sqrt(variance / DRAWS));
        if (fabs(squares / DRAWS - variance) > 5 * spread / sqrt(DRAWS)) fail_msg("alpha %g: variance %g, not %g", alphas[k], squares / DRAWS, variance);
    }
}

static void extreme_alphas_give_numbers(void **state) {
    (void)state;
    static const double alphas[] = {1e-300, 1e-5, 1000};
    for (int k = 0; k < 3; k++)
        for (int64_t batch = 0; batch < 100; batch++) {
            const Augment a = {.seed = 2, .mixup = alphas[k], .cutmix = alphas[k], .mixup_switch = 0.5};
            Batch         b;
            assert_true(mixed(&a, 0, 0, batch, &b));
            const double weight = weight_of(&b, 0);
            assert_true(weight >= 0 && weight <= 1);
            assert_true(targets_fit(&b, 0, weight));
        }
}

static void the_switch_chooses_between_mixup_and_cutmix(void **state) {
    (void)state;
    enum { DRAWS = 1000 };
    static const double switches[] = {0, 0.5, 1};
    for (int k = 0; k < 3; k++) {
        const Augment a = {.seed = 4, .mixup = 1, .cutmix = 1, .mixup_switch = switches[k]};
        int           n_cut = 0;
        for (int64_t batch = 0; batch < DRAWS; batch++) {
            float soft[4], pixels[2 * 400];                    /* 20x20 of 1 and of 0: a mixed one has other values */
            for (int i = 0; i < 800; i++) pixels[i] = i < 400;
            assert_true(augment_batch(&a, pixels, 2, 1, 20, 20, (const int32_t[]){0, 1}, 2, 0, 1, batch, soft));
            bool cut = true;
            for (int i = 0; i < 800; i++) cut &= pixels[i] == 0 || pixels[i] == 1;
            n_cut += cut;
        }
        assert_true(fabs(n_cut - DRAWS * switches[k]) <= 5 * sqrt(DRAWS * switches[k] * (1 - switches[k])));
    }
}

static void it_ends_at_the_epoch_set(void **state) {
    (void)state;
    const Augment a = {.seed = 1, .mixup = 1, .mixup_off_epoch = 3};
    Batch         b;
    assert_true(mixed(&a, 0, 2, 0, &b));
    assert_false(mixed(&a, 0, 3, 0, &b));
    assert_false(mixed(&a, 0, 9, 0, &b));
}

static void seed_epoch_and_batch_address_the_draw(void **state) {
    (void)state;
    const Augment a = {.seed = 1, .mixup = 1}, other_seed = {.seed = 2, .mixup = 1}, wider = {.seed = 1, .mixup = 1, .repeats = 3, .erasing = 1};
    Batch         one, other;
    mixed(&a, 0, 1, 5, &one);
    mixed(&a, 0, 1, 5, &other);
    assert_memory_equal(&one, &other, sizeof one);
    mixed(&wider, 0, 1, 5, &other);
    assert_memory_equal(&one, &other, sizeof one);
    mixed(&other_seed, 0, 1, 5, &other);
    assert_memory_not_equal(one.soft, other.soft, sizeof one.soft);
    mixed(&a, 0, 2, 5, &other);
    assert_memory_not_equal(one.soft, other.soft, sizeof one.soft);
    mixed(&a, 0, 1, 6, &other);
    assert_memory_not_equal(one.soft, other.soft, sizeof one.soft);
}

static void the_middle_of_an_odd_batch_stays(void **state) {
    (void)state;
    const Augment a = {.seed = 1, .mixup = 1};
    float         images[5 * SIZE], plain[5 * SIZE], soft[5 * CLASSES];
    fill(images, 5);
    fill(plain, 5);
    assert_true(augment_batch(&a, images, 5, C, H, W, labels, CLASSES, 0.1, 0, 0, soft));
    assert_memory_equal(images + 2 * SIZE, plain + 2 * SIZE, SIZE * sizeof *plain);
    assert_memory_not_equal(images + 1 * SIZE, plain + 1 * SIZE, SIZE * sizeof *plain);
    for (int k = 0; k < CLASSES; k++)
        assert_true(fabs(soft[2 * CLASSES + k] - ((k == labels[2] ? 0.9 : 0) + 0.02)) < 2e-7);
    assert_true(augment_batch(&a, images, 1, C, H, W, labels, CLASSES, 0, 0, 0, soft));
    assert_true(soft[0] == 1);
}

/* ---- repeated augmentation ---- */

static void one_repeat_is_the_plain_permutation(void **state) {
    (void)state;
    enum { IMAGES = 101 };
    int64_t order[IMAGES], plain[IMAGES];
    for (int repeats = 0; repeats < 2; repeats++)
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            augment_epoch_order(&(Augment){.seed = 6, .repeats = repeats}, epoch, IMAGES, order);
            rng_permutation(rng_stream(6, "shuffle"), epoch, IMAGES, plain);
            assert_memory_equal(order, plain, sizeof plain);
        }
}

static void repeats_stand_together_and_leave_the_length(void **state) {
    (void)state;
    enum { IMAGES = 100, REPEATS = 3 };
    int64_t order[IMAGES], plain[IMAGES];
    augment_epoch_order(&(Augment){.seed = 6, .repeats = REPEATS}, 4, IMAGES, order);
    rng_permutation(rng_stream(6, "shuffle"), 4, IMAGES, plain);
    for (int i = 0; i < IMAGES; i++) {
        assert_int_equal(order_image(order[i]), plain[i / REPEATS]);
        assert_int_equal(order_repeat(order[i]), i % REPEATS);
        assert_true(order[i] == order_entry(plain[i / REPEATS], i % REPEATS));
    }
}

/* A third of the images an epoch, another third the next: over many epochs all come equally often. */
static void all_images_come_in_the_long_run(void **state) {
    (void)state;
    enum { IMAGES = 50, EPOCHS = 300 };
    int     n_of[IMAGES] = {0};
    int64_t order[IMAGES];
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        augment_epoch_order(&(Augment){.seed = 6, .repeats = 2}, epoch, IMAGES, order);
        for (int i = 0; i < IMAGES; i++) n_of[order_image(order[i])]++;
    }
    for (int i = 0; i < IMAGES; i++) assert_true(abs(n_of[i] - EPOCHS) < 5 * sqrt(EPOCHS));      /* 2 binomial(300, 1/2): deviation sqrt(300) */
}

static void every_repeat_is_drawn_anew(void **state) {
    (void)state;
    Augment a = {.seed = 1, .crop_padding = 3, .flip = true};
    int     n_same = 0;
    for (int64_t id = 0; id < 100; id++) {
        uint8_t one[49], other[49];
        for (int i = 0; i < 49; i++) one[i] = other[i] = (uint8_t)(i + 1);
        augment_image(&a, one, 7, 7, 1, order_entry(id, 0), 0);
        augment_image(&a, other, 7, 7, 1, order_entry(id, 1), 0);
        n_same += memcmp(one, other, sizeof one) == 0;
        for (int i = 0; i < 49; i++) other[i] = (uint8_t)(i + 1);
        augment_image(&a, other, 7, 7, 1, id, 0);             /* repeat 0 is the image as it always was */
        assert_memory_equal(one, other, sizeof one);
    }
    assert_in_range(n_same, 0, 10);                            /* 98 outcomes: once on average */
}

/* ---- in training ---- */

static Model *small_model(Tape **tape) {
    Model *m   = NULL;
    Error  err = {0};
    if (!model_from_preset(&m, "vit_d64_l6_p4_28", "img_size=8 embed_dim=16 depth=2 num_heads=2 mlp_ratio=2", &err) ||
        !tape_create(tape, backend_default(), &err))
        fail_msg("%s %s", err.field, err.message);
    params_init(m->params, 1);
    return m;
}

static void soft_targets_of_one_label_train_as_the_label_does(void **state) {
    (void)state;
    enum { B = 4, K = 10 };
    static const int32_t own[B] = {3, 0, 9, 3};
    static const int64_t ids[B] = {0, 1, 2, 3};
    float         images[B * 64], soft[B * K];
    Tape         *tape = NULL;
    Model        *m    = small_model(&tape);
    TrainSettings s;
    StepReport    hard = {0}, smooth = {0};
    Error         err  = {0};
    fields_default(train_fields, &s);
    assert_true(params_want_grads(m->params, &err));
    for (int i = 0; i < B * 64; i++) images[i] = (float)(i % 13) / 6 - 1;
    for (int i = 0; i < B * K; i++) soft[i] = (float)(s.label_smoothing / K + (1 - s.label_smoothing) * (own[i / K] == i % K));
    const TrainBatch batch = {images, own, ids, B};
    assert_true(train_gradients(m, tape, &s, 0, &batch, &hard, &err));
    assert_true(train_gradients_soft(m, tape, &s, 0, &batch, soft, &smooth, &err));
    assert_true(fabs(hard.loss - smooth.loss) < 1e-6 && fabs(hard.grad_norm - smooth.grad_norm) < 1e-5 * hard.grad_norm);      /* floats */
    assert_int_equal(hard.correct_count, smooth.correct_count);
    soft[3] -= 0.5f;
    soft[4] += 0.5f;
    assert_true(train_gradients_soft(m, tape, &s, 0, &batch, soft, &smooth, &err));
    assert_true(fabs(hard.loss - smooth.loss) > 1e-4);
    tape_destroy(tape);
    model_destroy(m);
}

/* A training with the settings given in a new directory, by as many sessions as interrupts ask for; the digest of its weights. */
static int trained(const char *settings, char sha256[SHA256_TEXT_SIZE]) {
    char          directory[] = "/tmp/test_mixup.XXXXXX";
    Error         err         = {0};
    Dataset      *train = NULL, *test = NULL;
    TrainSettings s;
    int           n_sessions = 0;
    bool          ok         = false;
    fields_default(train_fields, &s);
    assert_true(fields_set_from_text(train_fields, &s, settings, "/train", &err));
    assert_non_null(mkdtemp(directory));
    assert_true(dataset_open(&train, &(DatasetOptions){.name_or_dir = "synthetic:8x8x1:10:29", .split = "train"}, &err));
    assert_true(dataset_open(&test, &(DatasetOptions){.name_or_dir = "synthetic:8x8x1:10:20"}, &err));
    while (!ok) {
        Tape    *tape = NULL;
        Model   *m    = small_model(&tape);
        TrainRun run  = {.config_digest = "0123456789abcdef"};
        Sha256  *sum  = NULL;
        ok = train_run(m, tape, &(TrainSources){.train = train, .curve = test}, &s, directory, true, &run, &err);
        if (!ok && err.exit_status != EXIT_INTERRUPTED) fail_msg("%s %s", err.field, err.message);
        assert_true(sha256_create(&sum, &err));
        for (int i = 0; i < params_count(m->params); i++)
            sha256_add(sum, params_at(m->params, i)->tensor->data, (size_t)tensor_count(params_at(m->params, i)->tensor) * sizeof(Real));
        assert_true(sha256_finish(sum, sha256, &err));
        sha256_destroy(sum);
        train_run_free(&run);
        tape_destroy(tape);
        model_destroy(m);
        assert_true(++n_sessions < 20);
    }
    DIR *d = opendir(directory);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    assert_int_equal(rmdir(directory), 0);
    dataset_close(train);
    dataset_close(test);
    return n_sessions;
}

#define ALL_ON "batch_size=8 epochs=3 eval_every=0 flip=true crop_padding=2 random_resized_crop=true randaugment_n=2 erasing=0.25 " \
               "mixup=0.8 cutmix=1 mixup_off_epoch=2 repeats=3 loader_threads="

static void every_augmentation_changes_the_training_and_threads_do_not(void **state) {
    (void)state;
    static const char *const one_off[] = {"flip=false", "crop_padding=0", "random_resized_crop=false", "randaugment_n=0", "erasing=0", "mixup=0", "cutmix=0",
                                          "mixup_off_epoch=0", "repeats=1", "erasing_mode=const", "rrc_filter=bilinear", "mixup_switch=1"};
    char want[SHA256_TEXT_SIZE], got[SHA256_TEXT_SIZE], settings[400];
    trained(ALL_ON "0", want);
    trained(ALL_ON "3", got);
    assert_string_equal(got, want);
    for (size_t i = 0; i < sizeof one_off / sizeof *one_off; i++) {
        snprintf(settings, sizeof settings, ALL_ON "0 %s", one_off[i]);
        trained(settings, got);
        if (strcmp(got, want) == 0) fail_msg("%s changes nothing", one_off[i]);
    }
}

/* An interrupt that comes while every step's update is made: the step counts, then the session ends. The program is linked
 * with --wrap for both, since a real signal would give the next session's first step up. */
static bool interrupting, updated;
void __real_optimizer_step(const Optimizer *o, Params *params, const Backend *backend, const OptimizerStep *s);
void __wrap_optimizer_step(const Optimizer *o, Params *params, const Backend *backend, const OptimizerStep *s);
void __wrap_optimizer_step(const Optimizer *o, Params *params, const Backend *backend, const OptimizerStep *s) {
    __real_optimizer_step(o, params, backend, s);
    updated = true;
}
bool __wrap_interrupted(Error *err);
bool __wrap_interrupted(Error *err) {
    if (!interrupting || !updated) return false;
    updated = false;
    FAIL_STATUS(err, EXIT_INTERRUPTED, "", "interrupted by the test");
    return true;
}

static void a_training_interrupted_after_every_step_ends_with_the_same_weights(void **state) {
    (void)state;
    char want[SHA256_TEXT_SIZE], got[SHA256_TEXT_SIZE];
    assert_int_equal(trained(ALL_ON "1", want), 1);
    interrupting = true;
    updated      = false;
    assert_true(trained(ALL_ON "1", got) >= 9);
    interrupting = false;
    assert_string_equal(got, want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_alphas_nothing_is_touched),
        cmocka_unit_test(mixup_weighs_pixels_and_targets_alike),
        cmocka_unit_test(cutmix_swaps_one_box_whose_share_is_the_weight),
        cmocka_unit_test(weights_follow_the_beta_distribution),
        cmocka_unit_test(extreme_alphas_give_numbers),
        cmocka_unit_test(the_switch_chooses_between_mixup_and_cutmix),
        cmocka_unit_test(it_ends_at_the_epoch_set),
        cmocka_unit_test(seed_epoch_and_batch_address_the_draw),
        cmocka_unit_test(the_middle_of_an_odd_batch_stays),
        cmocka_unit_test(one_repeat_is_the_plain_permutation),
        cmocka_unit_test(repeats_stand_together_and_leave_the_length),
        cmocka_unit_test(all_images_come_in_the_long_run),
        cmocka_unit_test(every_repeat_is_drawn_anew),
        cmocka_unit_test(soft_targets_of_one_label_train_as_the_label_does),
        cmocka_unit_test(every_augmentation_changes_the_training_and_threads_do_not),
        cmocka_unit_test(a_training_interrupted_after_every_step_ends_with_the_same_weights),
    };
    return cmocka_run_group_tests_name("mixup", tests, NULL, NULL);
}
