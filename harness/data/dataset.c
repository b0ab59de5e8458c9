/* Finds, opens and reads data sets of every kind; what a kind does itself is in datasets/ (dataset.h). */
#include "harness/data/dataset.h"

#include "engine/rng.h"
#include "harness/data/class_choice.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const DatasetKind *const dataset_kinds[] = {
#define DATASET(name) &dataset_kind_##name,
#include "harness/datasets/datasets.def"
#undef DATASET
    NULL};

const DatasetKind *dataset_find(const char *name) {
    for (int i = 0; dataset_kinds[i] != NULL; i++)
        if (strcmp(dataset_kinds[i]->name, name) == 0) return dataset_kinds[i];
    return NULL;
}

const char *dataset_names(void) {
    static const char joined[] =
#define DATASET(name) ", " #name
#include "harness/datasets/datasets.def"
#undef DATASET
        ;
    return joined + 2;
}

static bool is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool join(char path[DATASET_PATH_BYTES], const char *a, const char *b, const char *c, Error *err) {
    if (snprintf(path, DATASET_PATH_BYTES, "%s%s%s", a, b, c) >= DATASET_PATH_BYTES)
        return FAIL(err, "", "path of more than %d bytes", DATASET_PATH_BYTES - 1);
    return true;
}

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool cache_dir(const char *name, char dir[DATASET_PATH_BYTES], Error *err) {
    const char *home = environment("HOME");
    if (home == NULL) return FAIL(err, "", "neither MORBENCH_DATA nor HOME is set, so there is no place for data");
    return join(dir, home, "/.cache/morbench/", name, err);
}

bool dataset_fetch_dir(const char *name, char dir[DATASET_PATH_BYTES], Error *err) {
    const char *data = environment("MORBENCH_DATA");
    if (data != NULL)
        return join(dir, data, "/", name, err);
    return cache_dir(name, dir, err);
}

static bool holds(const char *dir, const char *probe) {
    char path[DATASET_PATH_BYTES];
    struct stat st;
    return (join(path, dir, "/", probe, NULL) && stat(path, &st) == 0) ||
           (snprintf(path, sizeof path, "%s/%s.gz", dir, probe) < DATASET_PATH_BYTES && stat(path, &st) == 0);
}

bool dataset_locate(const DatasetKind *kind, const char *root, const char *split, char dir[DATASET_PATH_BYTES], Error *err) {
    const char *probe = kind->probe[strcmp(split, "train") == 0 ? 0 : 1];
    CHECK(probe != NULL, "%s has no place of its own", kind->name);
    if (root != NULL) {
        if (!join(dir, root, "", "", err)) return false;
        if (holds(dir, probe)) return true;
        if (join(dir, root, "/", kind->name, NULL) && holds(dir, probe)) return true;
        FAIL(err, "", "no data set %s here (looked for %s): %s", kind->name, probe, kind->advice);
        return error_in(err, root);
    }
    if (dataset_fetch_dir(kind->name, dir, NULL) && holds(dir, probe)) return true;
    if (kind->system_dir != NULL) {
        if (!join(dir, kind->system_dir, "", "", err)) return false;
        if (holds(dir, probe)) return true;
    }
    if (cache_dir(kind->name, dir, NULL) && holds(dir, probe)) return true;
    return FAIL(err, "", "data set %s is not on this machine: %s", kind->name, kind->advice);
}

/* "cifar10" names a kind, "synthetic:28x28x1" a kind with arguments, anything else must be a directory. */
static const DatasetKind *resolve(const char *name_or_dir, const char **arguments, Error *err) {
    char name[32];
    const char *colon = strchr(name_or_dir, ':');
    const size_t n = colon != NULL ? (size_t)(colon - name_or_dir) : strlen(name_or_dir);
    *arguments = "";
    if (n < sizeof name) {
        memcpy(name, name_or_dir, n);
        name[n] = '\0';
        const DatasetKind *kind = dataset_find(name);
        if (kind != NULL && !kind->needs_path) {
            if (colon != NULL) *arguments = colon + 1;
            return kind;
        }
    }
    if (is_directory(name_or_dir)) return &dataset_kind_image_folder;
    FAIL(err, "/data/name", "no data set '%s'; known: %s; or the path of an image folder", name_or_dir, dataset_names());
    return NULL;
}

static bool choose_split(char split[8], const char *wanted, Error *err) {
    const char *name = wanted == NULL || strcmp(wanted, "val") == 0 ? "test" : wanted;
    if (strcmp(name, "train") != 0 && strcmp(name, "test") != 0)
        return FAIL(err, "/data/split", "must be train or test, got '%s'", wanted);
    strcpy(split, name);
    return true;
}

static bool choose_shape(Dataset *d, int image_size, Error *err) {
    const Preprocess *p = &d->preprocess;
    if (p->geometry != GEOMETRY_NATIVE) {
        d->height = d->width = p->crop_side;
        if (d->channels == 3) {
            memcpy(d->mean, p->mean, sizeof d->mean);
            memcpy(d->sd, p->sd, sizeof d->sd);
        }
        return true;
    }
    if (image_size != 0 && (d->height != image_size || d->width != image_size))
        return FAIL(err, "/data/image_size", "is %d but the images are %dx%d and preprocess is none; choose one of: %s",
                    image_size, d->width, d->height, preprocess_names());
    return true;
}

/* Keeps the images of some classes, in their order, and gives these classes new numbers. */
static bool choose_classes(Dataset *d, const char *classes, Error *err) {
    d->n_images_classes = d->n_images_split;
    if (classes == NULL || classes[0] == '\0') return true;
    if (strlen(classes) >= sizeof d->classes) return FAIL(err, "/data/classes", "must have at most %zu characters", sizeof d->classes - 1);
    int n_chosen = 0, n_classes = d->n_classes;
    d->renumbered = malloc(((size_t)n_classes + 1) * sizeof *d->renumbered);
    d->of_classes = malloc((size_t)(d->n_images_split + 1) * sizeof *d->of_classes);
    if (d->renumbered == NULL || d->of_classes == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to choose among %lld images", (long long)d->n_images_split);
    if (!class_choice_parse(classes, n_classes, d->renumbered, &n_chosen, err)) return false;
    d->chosen_names = malloc((size_t)n_chosen * sizeof *d->chosen_names);
    if (d->chosen_names == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d class names", n_chosen);
    for (int c = 0; c < n_classes; c++)
        if (d->renumbered[c] >= 0) d->chosen_names[d->renumbered[c]] = d->class_names[c];
    d->n_images_classes = 0;
    for (int64_t i = 0; i < d->n_images_split; i++)
        if (d->renumbered[d->kind->label(d, i)] >= 0) d->of_classes[d->n_images_classes++] = i;
    if (d->n_images_classes == 0) return FAIL(err, "/data/classes", "leaves none of the %lld images of %s", (long long)d->n_images_split, d->name);
    snprintf(d->classes, sizeof d->classes, "%s", classes);
    d->n_images    = d->n_images_classes;
    d->n_classes   = n_chosen;
    d->class_names = d->chosen_names;
    return true;
}

/* The end of a permutation is held out; both sides keep the order of the files. */
static bool divide(Dataset *d, const DatasetOptions *o, Error *err) {
    const int64_t n = d->n_images, n_held = llround((double)n * o->held_out_ratio);
    d->part = o->part;
    if (o->part == DATASET_WHOLE) return true;
    if (n_held < 1 || n_held >= n)
        return FAIL(err, "/data/held_out", "leaves %lld of %lld images to train on and %lld held out; neither may be empty", (long long)(n - n_held),
                    (long long)n, (long long)n_held);
    const bool held  = o->part == DATASET_HELD_OUT;
    int64_t   *order = malloc((size_t)n * sizeof *order);
    bool      *out   = calloc((size_t)n, sizeof *out);
    d->n_images = held ? n_held : n - n_held;
    d->chosen   = malloc((size_t)d->n_images * sizeof *d->chosen);
    const bool ok = order != NULL && out != NULL && d->chosen != NULL;
    if (ok) {
        int64_t k = 0;
        rng_permutation(rng_stream(o->held_out_seed, "held out"), 0, n, order);
        for (int64_t i = n - n_held; i < n; i++) out[order[i]] = true;
        for (int64_t i = 0; i < n; i++)
            if (out[i] == held) d->chosen[k++] = i;
    } else {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to divide %lld images", (long long)n);
    }
    free(order);
    free(out);
    return ok;
}

bool dataset_open(Dataset **out, const DatasetOptions *options, Error *err) {
    bool        ok = false;
    const char *arguments;
    *out = NULL;
    if (options->name_or_dir == NULL || options->name_or_dir[0] == '\0')
        return FAIL(err, "/data/name", "no data set named; known: %s; or the path of an image folder", dataset_names());
    if (options->limit < 0) return FAIL(err, "/data/limit", "must not be negative, got %d", options->limit);
    Dataset *d = calloc(1, sizeof *d);
    if (d == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", sizeof *d);

    const DatasetKind *kind = resolve(options->name_or_dir, &arguments, err);
    if (kind == NULL) goto done;
    if (!choose_split(d->split, options->split, err)) goto done;
    if (!preprocess_find(&d->preprocess, options->preprocess, options->image_size, err)) goto done;
    snprintf(d->name, sizeof d->name, "%s", kind->name);
    d->kind = kind;
    if (kind->probe[0] != NULL && !dataset_locate(kind, options->root, d->split, d->path, err)) goto done;
    if (!kind->open(d, options, arguments, err)) goto done;
    if (!choose_shape(d, options->image_size, err)) goto done;
    preprocess_text(&d->preprocess, d->mean, d->sd, d->channels, d->preprocess_text);
    d->n_images_split = d->n_images;
    if (!choose_classes(d, options->classes, err)) goto done;
    if (options->limit > 0 && options->limit < d->n_images) d->n_images = options->limit;
    d->n_images_limited = d->n_images;
    if (!divide(d, options, err)) goto done;
    *out = d;
    d    = NULL;
    ok   = true;
done:
    dataset_close(d);
    return ok;
}

void dataset_close(Dataset *d) {
    if (d == NULL) return;
    if (d->kind != NULL) d->kind->close(d);
    free(d->chosen);
    free(d->of_classes);
    free(d->renumbered);
    free(d->chosen_names);
    free(d);
}

/* Limited: every (n_images_classes/n_images)th, so that a split sorted by class keeps all its classes. */
int64_t dataset_source(const Dataset *d, int64_t index) {
    CHECK(index >= 0 && index < d->n_images, "image %lld of %lld", (long long)index, (long long)d->n_images);
    const int64_t n = d->chosen != NULL ? d->n_images_limited : d->n_images;
    if (d->chosen != NULL) index = d->chosen[index];
    const int64_t whole = d->of_classes != NULL ? d->n_images_classes : d->n_images_split;
    if (n != whole) index = (int64_t)((__int128)index * whole / n);
    return d->of_classes != NULL ? d->of_classes[index] : index;
}

static int renumbered(const Dataset *d, int label) { return d->renumbered != NULL && label >= 0 ? d->renumbered[label] : label; }

bool dataset_view(const Dataset *d, int64_t index, Image *image, int *label, Error *err) {
    *image = (Image){0};
    const bool ok = d->kind->view(d, dataset_source(d, index), image, label, err) &&
                    (!d->preprocess.apply_exif || image_apply_orientation(image, err));
    if (ok) *label = renumbered(d, *label);
    else    image_free(image);
    return ok;
}

bool dataset_read(const Dataset *d, int64_t index, uint8_t *pixels, int *label, Error *err) {
    const int64_t source = dataset_source(d, index);
    Image image = {0};
    bool  ok    = d->kind->view(d, source, &image, label, err);
    if (ok && d->preprocess.geometry == GEOMETRY_NATIVE && (image.width != d->width || image.height != d->height)) {
        ok = FAIL(err, "", "image %lld is %dx%d, the first one %dx%d; preprocess must be one of: %s", (long long)source,
                  image.width, image.height, d->width, d->height, preprocess_names());
        error_in(err, d->path);
    }
    ok = ok && preprocess_apply(&d->preprocess, &image, pixels, err);
    if (ok) *label = renumbered(d, *label);
    image_free(&image);
    return ok;
}

bool dataset_digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err) { return d->kind->digest(d, hex, err); }

int64_t dataset_damaged(const Dataset *d, char first[DATASET_PATH_BYTES]) {
    const char *name = "";
    const int64_t n  = d != NULL && d->kind->damaged != NULL ? d->kind->damaged(d, &name) : 0;
    snprintf(first, DATASET_PATH_BYTES, "%s", name);
    return n;
}

/* ---- images in two sets ---- */

static bool hash_of(const Dataset *d, int64_t index, uint64_t *hash, Error *err) {
    const int64_t source = dataset_source(d, index);
    Image         image  = {0};
    int           label;
    if (d->kind->hash != NULL) return d->kind->hash(d, source, hash, err);
    if (!d->kind->view(d, source, &image, &label, err)) return false;
    const uint64_t parts[2] = {digest_xxh64(image.pixels, (size_t)image.width * (size_t)image.height * (size_t)image.channels),
                               (uint64_t)image.width << 32 | (uint64_t)image.height};
    *hash = digest_xxh64(parts, sizeof parts);
    image_free(&image);
    return true;
}

static bool hashes_of(const Dataset *d, uint64_t *hash, Error *err) {
    for (int64_t i = 0; i < d->n_images; i++)
        if (!hash_of(d, i, &hash[i], err)) return false;
    return true;
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool dataset_count_shared(const Dataset *a, const Dataset *b, int64_t *n_shared, Error *err) {
    uint64_t *of_a = malloc((size_t)(a->n_images + 1) * sizeof *of_a), *of_b = malloc((size_t)(b->n_images + 1) * sizeof *of_b);
    bool      ok   = of_a != NULL && of_b != NULL;
    *n_shared = 0;
    if (!ok) FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to compare %lld with %lld images", (long long)a->n_images, (long long)b->n_images);
    ok = ok && hashes_of(a, of_a, err) && hashes_of(b, of_b, err);
    if (ok) {
        qsort(of_a, (size_t)a->n_images, sizeof *of_a, by_value);
        for (int64_t i = 0; i < b->n_images; i++)
            *n_shared += bsearch(&of_b[i], of_a, (size_t)a->n_images, sizeof *of_a, by_value) != NULL;
    }
    free(of_a);
    free(of_b);
    return ok;
}
