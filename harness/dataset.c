/* Finds, opens and reads data sets of every kind; what a kind does itself is in datasets/ (dataset.h). */
#include "harness/dataset.h"

#include <errno.h>
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
    if (options->limit > 0 && options->limit < d->n_images) d->n_images = options->limit;
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
    free(d);
}

/* Limited: every (n_images_split/n_images)th, so that a split sorted by class keeps all its classes. */
static int64_t source_of(const Dataset *d, int64_t index) {
    CHECK(index >= 0 && index < d->n_images, "image %lld of %lld", (long long)index, (long long)d->n_images);
    return d->n_images == d->n_images_split ? index : (int64_t)((__int128)index * d->n_images_split / d->n_images);
}

bool dataset_view(const Dataset *d, int64_t index, Image *image, int *label, Error *err) {
    *image = (Image){0};
    const bool ok = d->kind->view(d, source_of(d, index), image, label, err) &&
                    (!d->preprocess.apply_exif || image_apply_orientation(image, err));
    if (!ok) image_free(image);
    return ok;
}

bool dataset_read(const Dataset *d, int64_t index, uint8_t *pixels, int *label, Error *err) {
    const int64_t source = source_of(d, index);
    Image image = {0};
    bool  ok    = d->kind->view(d, source, &image, label, err);
    if (ok && d->preprocess.geometry == GEOMETRY_NATIVE && (image.width != d->width || image.height != d->height)) {
        ok = FAIL(err, "", "image %lld is %dx%d, the first one %dx%d; preprocess must be one of: %s", (long long)source,
                  image.width, image.height, d->width, d->height, preprocess_names());
        error_in(err, d->path);
    }
    ok = ok && preprocess_apply(&d->preprocess, &image, pixels, err);
    image_free(&image);
    return ok;
}

bool dataset_digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err) { return d->kind->digest(d, hex, err); }
