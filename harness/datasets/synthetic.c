/* Seeded noise in the shape of a data set, for speed and for trying things out: `synthetic[:HxWxC[:classes[:images]]]`.
 * Without arguments image_size (224) square, 3 channels, 1000 classes, `limit` (1024) images. Every pixel and label is
 * uniform and drawn by its address (split, image, eight pixels), so neither order nor threads matter.
 * Its digest is that of its description. */
#include "engine/rng.h"
#include "harness/data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 4096, MAX_CLASSES = 100000, MAX_IMAGES = 1 << 30 };

typedef struct Synthetic {
    RngStream pixels, labels;
    int       height, width, n_classes;
    char      description[128];
    char    (*names)[24];
    const char **name_pointers;
} Synthetic;

/* One decimal number in [low, high] followed by `after` (0: the end); advances *text. */
static bool parse_number(const char **text, char after, int low, int high, int *value) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    const long long v = strtoll(*text, &end, 10);
    if (v < low || v > high || *end != after) return false;
    *value = (int)v;
    *text  = after != '\0' ? end + 1 : end;
    return true;
}

static bool parse(const char *text, int *height, int *width, int *channels, int *n_classes, int *n_images, Error *err) {
    const char *const whole = text;
    if (*text == '\0') return true;
    bool more = strchr(text, ':') != NULL;
    bool good = parse_number(&text, 'x', 1, MAX_SIDE, height) && parse_number(&text, 'x', 1, MAX_SIDE, width) &&
                parse_number(&text, more ? ':' : '\0', 1, 3, channels) && *channels != 2;
    if (good && more) {
        more = strchr(text, ':') != NULL;
        good = parse_number(&text, more ? ':' : '\0', 1, MAX_CLASSES, n_classes) &&
               (!more || parse_number(&text, '\0', 1, MAX_IMAGES, n_images));
    }
    if (!good)
        return FAIL(err, "/data/name", "after 'synthetic:' comes HxWxC[:classes[:images]] with C 1 or 3, got '%s'", whole);
    return true;
}

static bool make_names(Synthetic *s, int n_classes, Error *err) {
    s->names         = calloc((size_t)n_classes, sizeof *s->names);
    s->name_pointers = calloc((size_t)n_classes, sizeof *s->name_pointers);
    if (s->names == NULL || s->name_pointers == NULL)
        return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate the names of %d classes", n_classes);
    for (int i = 0; i < n_classes; i++) {
        snprintf(s->names[i], sizeof s->names[i], "class %d", i);
        s->name_pointers[i] = s->names[i];
    }
    return true;
}

static bool open_split(Dataset *d, const DatasetOptions *o, const char *arguments, Error *err) {
    int height = o->image_size > 0 && o->image_size <= MAX_SIDE ? o->image_size : 224;
    int width = height, channels = 3, n_classes = 1000, n_images = o->limit > 0 ? o->limit : 1024;
    if (!parse(arguments, &height, &width, &channels, &n_classes, &n_images, err)) return false;
    Synthetic *s = calloc(1, sizeof *s);
    d->state = s;                        /* dataset_close frees it, whatever happens below */
    if (s == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", sizeof *s);
    if (!make_names(s, n_classes, err)) return false;
    const bool train = strcmp(d->split, "train") == 0;
    s->pixels = rng_stream(o->seed, train ? "synthetic train pixels" : "synthetic test pixels");
    s->labels = rng_stream(o->seed, train ? "synthetic train labels" : "synthetic test labels");
    s->height = height;
    s->width  = width;
    s->n_classes = n_classes;
    snprintf(s->description, sizeof s->description, "synthetic:%dx%dx%d:%d:%d %s seed %llu", height, width, channels,
             n_classes, n_images, d->split, (unsigned long long)o->seed);
    d->n_images    = n_images;
    d->n_classes   = n_classes;
    d->class_names = s->name_pointers;
    d->height      = height;
    d->width       = width;
    d->channels    = channels;
    d->synthetic   = true;
    for (int c = 0; c < 3; c++) {
        d->mean[c] = 0.5f;
        d->sd[c]   = 0.2887f;            /* of a uniform value in [0,1]: 1/sqrt(12) */
    }
    return d->kind->digest(d, d->digest, err);
}

/* Among all its classes, of which a data set may keep some. */
static int label_of(const Dataset *d, int64_t index) {
    const Synthetic *s = d->state;
    return (int)rng_below(s->labels, (RngKey){.image = index}, s->n_classes);
}

static bool view(const Dataset *d, int64_t index, Image *image, int *label, Error *err) {
    const Synthetic *s = d->state;
    if (!image_create(image, s->width, s->height, d->channels, err)) return false;
    const int64_t n = (int64_t)s->width * s->height * d->channels;
    for (int64_t i = 0; i < n; i += 8) {
        const uint64_t bits = rng_bits(s->pixels, (RngKey){.image = index, .channel = i});
        for (int64_t j = 0; j < 8 && i + j < n; j++) image->owner[i + j] = (uint8_t)(bits >> (8*j));
    }
    *label = label_of(d, index);
    return true;
}

static bool digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err) {
    const Synthetic *s = d->state;
    return digest_sha256(s->description, strlen(s->description), hex, err);
}

static void close_split(Dataset *d) {
    Synthetic *s = d->state;
    if (s == NULL) return;
    free(s->names);
    free(s->name_pointers);
    free(s);
    d->state = NULL;
}

const DatasetKind dataset_kind_synthetic = {
    .name = "synthetic", .title = "seeded noise of any shape, not data",
    .open = open_split, .view = view, .label = label_of, .digest = digest, .close = close_split,
};
