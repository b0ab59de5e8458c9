/* For tests of training: a small ViT on images of 8x8, batches of noise, digests of weights, a directory for checkpoints. */
#ifndef TESTS_TRAINING_H
#define TESTS_TRAINING_H

#include "baselines/registry.h"
#include "engine/digest.h"
#include "harness/train/train.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 8, CLASSES = 10, PIXELS = SIDE * SIDE };

#define SMALL_VIT "img_size=8 embed_dim=16 depth=3 num_heads=2 mlp_ratio=2"

static inline void good(bool ok, const Error *err) {
    char text[1024];
    error_text(err, text, sizeof text);
    if (!ok) fail_msg("%s", text);
}

/* Four patches an image; other is NULL or further settings. */
static inline Model *small_vit(const char *other, uint64_t seed) {
    char   settings[256];
    Model *m   = NULL;
    Error  err = {0};
    snprintf(settings, sizeof settings, SMALL_VIT " %s", other != NULL ? other : "");
    good(model_from_preset(&m, "vit_d64_l6_p4_28", settings, &err), &err);
    params_init(m->params, seed);
    /* N(0, 0.02) leaves next to nothing of one image's difference from another in the logits */
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        for (int64_t k = 0; p->tensor->n_dims >= 2 && k < tensor_count(p->tensor); k++) p->tensor->data[k] *= 10;
    }
    params_touch(m->params);
    return m;
}

static inline Tape *new_tape(void) {
    Tape *tape = NULL;
    Error err  = {0};
    good(tape_create(&tape, backend_default(), &err), &err);
    return tape;
}

static inline TrainSettings settings_of(const char *text) {
    TrainSettings s;
    Error         err = {0};
    fields_default(train_fields, &s);
    good(fields_set_from_text(train_fields, &s, text, "/train", &err), &err);
    return s;
}

/* n images of noise with their labels and ids. */
typedef struct Noise { float images[16 * PIXELS]; int32_t labels[16]; int64_t ids[16]; } Noise;
static inline Noise noise(uint64_t seed) {
    Noise           x;
    const RngStream s = rng_stream(seed, "test noise");
    for (int b = 0; b < 16; b++) {
        for (int i = 0; i < PIXELS; i++) x.images[b * PIXELS + i] = (float)rng_normal(s, (RngKey){.image = b, .channel = i});
        x.labels[b] = (int32_t)rng_below(s, (RngKey){.image = b, .step = 1}, CLASSES);
        x.ids[b]    = 100 + b;
    }
    return x;
}
static inline TrainBatch part_of(const Noise *x, int first, int n) {
    return (TrainBatch){x->images + first * PIXELS, x->labels + first, x->ids + first, n};
}

static inline void digest_weights(const Model *m, char sha256[SHA256_TEXT_SIZE]) {
    Sha256 *sum = NULL;
    Error   err = {0};
    good(sha256_create(&sum, &err), &err);
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p     = params_at(m->params, i);
        const size_t bytes = (size_t)tensor_count(p->tensor) * sizeof(Real);
        sha256_add(sum, p->tensor->data, bytes);
        if (p->average != NULL) sha256_add(sum, p->average, bytes);
    }
    good(sha256_finish(sum, sha256, &err), &err);
    sha256_destroy(sum);
}

static char directory[64];

static inline void empty_directory(void) {
    DIR *d = opendir(directory);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL) closedir(d);
}
static inline int in_new_directory(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/test_training.XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}
static inline int remove_directory(void **state) {
    (void)state;
    empty_directory();
    return rmdir(directory);
}

/* threads that wait by spinning take minutes on a busy machine, and OpenMP reads this before main */
#define WAIT_PASSIVELY(argc, argv) \
    if ((argc) > 0 && getenv("OMP_WAIT_POLICY") == NULL && setenv("OMP_WAIT_POLICY", "passive", 1) == 0) execv("/proc/self/exe", (argv))

#endif
