/* Image data as files and as directories (validate_data.h). Readers are those of the data sets. */
#include "harness/data/validate_data.h"

#include "engine/file.h"
#include "harness/data/dataset.h"
#include "harness/data/gunzip.h"
#include "harness/data/idx.h"
#include "harness/data/image.h"
#include "harness/datasets/cifar.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DATA_MAX_BYTES = 1 << 30 };

static bool has_suffix(const char *path, const char *suffix) {
    const size_t n = strlen(path), m = strlen(suffix);
    return n > m && strcmp(path + n - m, suffix) == 0;
}

static bool is_photograph(const uint8_t *b, size_t n) { return n >= 4 && ((b[0] == 0xff && b[1] == 0xd8) || memcmp(b, "\x89PNG", 4) == 0); }

bool validate_is_data(const char *path, const uint8_t head[], size_t n) {
    return gunzip_is_gzip(head, n) || (n >= 4 && head[0] == 0 && head[1] == 0) || is_photograph(head, n) || has_suffix(path, ".bin");
}

/* ---- files ---- */

static bool check_idx(const uint8_t *bytes, size_t n, bool zipped, char what[VALIDATE_WHAT_MAX], Error *err) {
    Idx          idx;
    const int    n_dims = n >= 4 ? bytes[3] : 1;
    const char  *how    = zipped ? " gzipped" : "";
    if (n >= 4 && (n_dims < 1 || n_dims > IDX_MAX_DIMS)) return FAIL(err, "", "IDX of %d dimensions, must have 1 to %d", n_dims, IDX_MAX_DIMS);
    if (!idx_parse(&idx, bytes, n, n_dims, err)) return false;
    if (n_dims == 3)
        snprintf(what, VALIDATE_WHAT_MAX, "IDX%s, %" PRId64 " images of %" PRId64 "x%" PRId64, how, idx.dim[0], idx.dim[1], idx.dim[2]);
    else
        snprintf(what, VALIDATE_WHAT_MAX, "IDX%s, %" PRId64 "%s", how, idx.dim[0], n_dims == 1 ? " labels" : " rows");
    return true;
}

static bool check_gzip(const uint8_t *bytes, size_t n, char what[VALIDATE_WHAT_MAX], Error *err) {
    uint8_t *unzipped = NULL;
    size_t   n_unzipped = 0;
    bool     ok = gunzip(bytes, n, DATA_MAX_BYTES, &unzipped, &n_unzipped, err);
    if (ok && (n_unzipped < 2 || unzipped[0] != 0 || unzipped[1] != 0)) ok = FAIL(err, "", "gzip, but what is in it is no IDX data");
    ok = ok && check_idx(unzipped, n_unzipped, true, what, err);
    free(unzipped);
    return ok;
}

static bool check_photograph(const uint8_t *bytes, size_t n, char what[VALIDATE_WHAT_MAX], Error *err) {
    Image image;
    if (!image_decode(&image, bytes, n, err)) return false;
    snprintf(what, VALIDATE_WHAT_MAX, "%s, %dx%d, %s", bytes[0] == 0xff ? "JPEG" : "PNG", image.width, image.height, image.channels == 1 ? "grey" : "colour");
    const int n_warnings = image.n_warnings;
    image_free(&image);
    return n_warnings == 0 || FAIL_STATUS(err, EXIT_IO, "", "can be read only past damage");
}

/* Which of the two CIFARs a file is, its size tells: one label byte a record, or two. */
static bool check_cifar(const uint8_t *bytes, size_t n, char what[VALIDATE_WHAT_MAX], Error *err) {
    for (int labels = 1; labels <= 2; labels++) {
        const size_t record = (size_t)labels + CIFAR_PIXEL_BYTES;
        if (n == 0 || n % record != 0) continue;
        const CifarFiles files = {.name = {""}, .n_files = 1, .n_records = (int)(n / record), .n_label_bytes = labels,
                                  .n_labels = {labels == 1 ? 10 : 20, 100}};
        uint8_t *pixels = malloc(n), *label = malloc((size_t)files.n_records);
        bool     ok     = (pixels != NULL && label != NULL) || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu bytes", n);
        ok = ok && cifar_parse(&files, bytes, n, pixels, label, err);
        if (ok) snprintf(what, VALIDATE_WHAT_MAX, "CIFAR-%s, %d images", labels == 1 ? "10" : "100", files.n_records);
        free(pixels);
        free(label);
        return ok;
    }
    return FAIL_STATUS(err, EXIT_IO, "", "%zu bytes are no whole number of CIFAR's records of %d or %d", n, CIFAR_PIXEL_BYTES + 1, CIFAR_PIXEL_BYTES + 2);
}

bool validate_data(const char *path, char what[VALIDATE_WHAT_MAX], Error *err) {
    void  *bytes = NULL;
    size_t n = 0;
    if (!file_read_all(path, DATA_MAX_BYTES, &bytes, &n, err)) return false;
    bool ok;
    if (gunzip_is_gzip(bytes, n))        ok = check_gzip(bytes, n, what, err);
    else if (is_photograph(bytes, n))    ok = check_photograph(bytes, n, what, err);
    else if (has_suffix(path, ".bin"))   ok = check_cifar(bytes, n, what, err);
    else                                 ok = check_idx(bytes, n, false, what, err);
    free(bytes);
    return ok;
}

/* ---- directories ---- */

static const char *const split_names[2] = {"train", "test"};

/* Every image, decoded: a folder's are not read when it is opened. */
static bool read_all(const Dataset *d, Error *err) {
    char first[DATASET_PATH_BYTES];
    for (int64_t i = 0; !d->in_memory && i < d->n_images; i++) {
        Image image;
        int   label;
        if (!dataset_view(d, i, &image, &label, err)) return false;
        image_free(&image);
    }
    const int64_t n_damaged = dataset_damaged(d, first);
    if (n_damaged == 0) return true;
    FAIL_STATUS(err, EXIT_IO, "", "can be read only past damage, the first of %" PRId64 " such images", n_damaged);
    return error_in(err, first);
}

static bool check_split(const DatasetOptions *o, char *what, Error *err) {
    Dataset *d = NULL;
    if (!dataset_open(&d, o, err)) return false;
    const int   side  = strcmp(o->split, "test") == 0;
    const char *known = d->kind->known_digest[side];
    const size_t n    = strlen(what);
    snprintf(what + n, VALIDATE_WHAT_MAX - n, "%s%" PRId64 " %s images%s", n > 0 ? ", " : "", d->n_images, o->split,
             known == NULL ? "" : strcmp(known, d->digest) == 0 ? " as known" : ", NOT the known ones");
    const bool ok = read_all(d, err);
    dataset_close(d);
    return ok;
}

/* A named set lies there when one of its files does. */
static bool check_named(const DatasetKind *kind, const char *path, bool *found, char what[VALIDATE_WHAT_MAX], Error *err) {
    char splits[VALIDATE_WHAT_MAX] = "", dir[DATASET_PATH_BYTES];
    *found = false;
    for (int i = 0; i < 2; i++) {
        Error missing = {0};
        if (kind->probe[i] == NULL || !dataset_locate(kind, path, split_names[i], dir, &missing)) continue;
        *found = true;
        if (!check_split(&(DatasetOptions){.name_or_dir = kind->name, .root = path, .split = split_names[i]}, splits, err)) return false;
    }
    if (*found) snprintf(what, VALIDATE_WHAT_MAX, "data set %s: %.150s", kind->name, splits);
    return true;
}

static bool has_folder(const char *path, const char *name) {
    char below[PATH_MAX];
    return snprintf(below, sizeof below, "%s/%s", path, name) < (int)sizeof below && access(below, X_OK) == 0;
}

bool validate_directory(const char *path, char what[VALIDATE_WHAT_MAX], Error *err) {
    for (int i = 0; dataset_kinds[i] != NULL; i++) {
        bool found;
        if (dataset_kinds[i]->needs_path) continue;
        if (!check_named(dataset_kinds[i], path, &found, what, err)) return false;
        if (found) return true;
    }
    char       splits[VALIDATE_WHAT_MAX] = "";
    const bool train = has_folder(path, "train"), test = has_folder(path, "test") || has_folder(path, "val");
    for (int i = 0; i < 2; i++) {
        if (i == 0 ? !train : train && !test) continue;           /* a folder of classes without splits is read once */
        const DatasetOptions o = {.name_or_dir = path, .split = split_names[i], .preprocess = "deit", .image_size = 224};
        if (!check_split(&o, splits, err)) return false;
    }
    snprintf(what, VALIDATE_WHAT_MAX, "folder of images: %.150s", splits);
    return true;
}
