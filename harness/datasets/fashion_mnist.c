/* Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 28x28 grey images of clothing, 10 classes, 60,000 to train, 10,000 to test.
 * Two IDX files a split, plain or gzip: images (n,28,28), labels (n). Loaded whole: 47 MB. */
#include "engine/file.h"
#include "harness/data/gunzip.h"
#include "harness/data/idx.h"
#include "harness/datasets/in_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 28, N_CLASSES = 10 };

/* four times what the real set holds; a file beyond is not this set */
static const size_t MAX_CONTENT_BYTES = (size_t)192 << 20;

static const char *const class_names[N_CLASSES] = {"t-shirt/top", "trouser", "pullover", "dress", "coat",
                                                   "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};

/* mean and sd of the training pixels */
static const float MEAN = 0.2860f, SD = 0.3530f;

typedef struct File {
    char     path[DATASET_PATH_BYTES];
    uint8_t *content;                   /* decompressed */
    size_t   n_bytes;
} File;

static bool read_file(File *f, const char *dir, const char *name, Error *err) {
    bool     ok    = false;
    void    *bytes = NULL;
    size_t   n     = 0;
    struct stat st;
    if (snprintf(f->path, sizeof f->path, "%s/%s.gz", dir, name) >= (int)sizeof f->path)
        return FAIL(err, "", "path of more than %zu bytes", sizeof f->path - 1);
    if (lstat(f->path, &st) != 0) f->path[strlen(f->path) - 3] = '\0';
    if (!file_read_all(f->path, MAX_CONTENT_BYTES, &bytes, &n, err)) goto done;
    if (gunzip_is_gzip(bytes, n)) {
        if (!gunzip(bytes, n, MAX_CONTENT_BYTES, &f->content, &f->n_bytes, err)) goto done;
    } else {
        f->content = bytes;
        f->n_bytes = n;
        bytes      = NULL;
    }
    ok = true;
done:
    free(bytes);
    return ok ? true : error_in(err, f->path);
}

static bool read_split(File *images, File *labels, const char *dir, const char *split, Error *err) {
    const char *prefix = strcmp(split, "train") == 0 ? "train" : "t10k";
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", prefix);
    if (!read_file(images, dir, name, err)) return false;
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", prefix);
    return read_file(labels, dir, name, err);
}

static bool digest_of(const File *images, const File *labels, char hex[SHA256_TEXT_SIZE], Error *err) {
    Sha256 *sum = NULL;
    if (!sha256_create(&sum, err)) return false;
    sha256_add(sum, images->content, images->n_bytes);
    sha256_add(sum, labels->content, labels->n_bytes);
    const bool ok = sha256_finish(sum, hex, err);
    sha256_destroy(sum);
    return ok;
}

static bool check_images(const Idx *images, Error *err) {
    if (images->dim[1] != SIDE || images->dim[2] != SIDE)
        return FAIL(err, "", "images must be %dx%d, got %lldx%lld", SIDE, SIDE, (long long)images->dim[2],
                    (long long)images->dim[1]);
    return true;
}

static bool check_labels(const Idx *labels, int64_t n_images, Error *err) {
    if (labels->dim[0] != n_images)
        return FAIL(err, "", "%lld labels for %lld images", (long long)labels->dim[0], (long long)n_images);
    for (int64_t i = 0; i < n_images; i++)
        if (labels->data[i] >= N_CLASSES)
            return FAIL(err, "", "label of image %lld must be below %d, got %d", (long long)i, N_CLASSES, labels->data[i]);
    return true;
}

static bool open_split(Dataset *d, const DatasetOptions *o, const char *arguments, Error *err) {
    bool ok = false;
    Idx  images, labels;
    File image_file = {0}, label_file = {0};
    (void)o; (void)arguments;

    if (!read_split(&image_file, &label_file, d->path, d->split, err)) goto done;
    if (!idx_parse(&images, image_file.content, image_file.n_bytes, 3, err) || !check_images(&images, err)) {
        error_in(err, image_file.path);
        goto done;
    }
    if (!idx_parse(&labels, label_file.content, label_file.n_bytes, 1, err) ||
        !check_labels(&labels, images.dim[0], err)) {
        error_in(err, label_file.path);
        goto done;
    }
    if (!digest_of(&image_file, &label_file, d->digest, err)) goto done;
    InMemory *m = calloc(1, sizeof *m);
    if (m == NULL) { FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", sizeof *m); goto done; }
    *m = (InMemory){.height = SIDE, .width = SIDE, .pixels_owner = image_file.content, .labels_owner = label_file.content};
    m->pixels = image_file.content + (images.data - image_file.content);
    m->labels = label_file.content + (labels.data - label_file.content);
    d->source_bytes = (int64_t)(image_file.n_bytes + label_file.n_bytes);
    image_file.content = label_file.content = NULL;      /* m owns them now */
    d->state       = m;
    d->n_images    = images.dim[0];
    d->n_classes   = N_CLASSES;
    d->class_names = class_names;
    d->height = d->width = SIDE;
    d->channels    = 1;
    d->mean[0]     = MEAN;
    d->sd[0]       = SD;
    d->in_memory   = true;
    ok = true;
done:
    free(image_file.content);
    free(label_file.content);
    return ok;
}

static bool digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err) {
    File images = {0}, labels = {0};
    const bool ok = read_split(&images, &labels, d->path, d->split, err) && digest_of(&images, &labels, hex, err);
    free(images.content);
    free(labels.content);
    return ok;
}

const DatasetKind dataset_kind_fashion_mnist = {
    .name = "fashion_mnist", .title = "Fashion-MNIST, 28x28 grey, 10 classes",
    .open = open_split, .view = in_memory_view, .label = in_memory_label, .digest = digest, .close = in_memory_close,
    .probe      = {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte"},
    .system_dir = "/usr/share/datasets/fashion-mnist",
    .advice     = "install the package dataset-fashion-mnist or run: morbench data fetch fashion_mnist",
    .known_digest = {"d9ef4273af5c2e360155dad0c06bd939447bf37a6620db007d69fc79e4732045",
                     "30214f3fe91405cb8ea60b11ecf0914a65dd6a6ca8e13c13a62eb434f2d9fe56"},
};
