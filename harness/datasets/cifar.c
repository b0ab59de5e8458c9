/* The binary format of CIFAR-10 and CIFAR-100: label bytes, then 3072 bytes of channel planes (cifar.h). */
#include "harness/datasets/cifar.h"

#include "engine/file.h"
#include "harness/datasets/in_memory.h"

#include <stdio.h>
#include <stdlib.h>

bool cifar_parse(const CifarFiles *files, const uint8_t *content, size_t n_bytes, uint8_t *pixels, uint8_t *labels,
                 Error *err) {
    const size_t record = (size_t)files->n_label_bytes + CIFAR_PIXEL_BYTES, expected = record * (size_t)files->n_records;
    const size_t plane  = CIFAR_SIDE * CIFAR_SIDE;
    if (n_bytes < expected)
        return FAIL_STATUS(err, EXIT_IO, "", "truncated: %zu bytes of %zu (%d records of %zu)", n_bytes, expected,
                           files->n_records, record);
    if (n_bytes > expected)
        return FAIL(err, "", "must be %zu bytes (%d records of %zu), got %zu", expected, files->n_records, record, n_bytes);
    for (int i = 0; i < files->n_records; i++) {
        const uint8_t *from = content + (size_t)i * record;
        for (int k = 0; k < files->n_label_bytes; k++)
            if (from[k] >= files->n_labels[k])
                return FAIL(err, "", "label %d of record %d must be below %d, got %d", k, i, files->n_labels[k], from[k]);
        labels[i] = from[files->n_label_bytes - 1];
        from += files->n_label_bytes;
        uint8_t *to = pixels + (size_t)i * CIFAR_PIXEL_BYTES;
        for (size_t p = 0; p < plane; p++) {
            to[3*p]     = from[p];
            to[3*p + 1] = from[plane + p];
            to[3*p + 2] = from[2*plane + p];
        }
    }
    return true;
}

/* File i of d->path; twice its right size is read at most, enough to say how it is wrong. */
static bool read_file(const Dataset *d, const CifarFiles *files, int i, void **bytes, size_t *n, char path[DATASET_PATH_BYTES],
                      Error *err) {
    const size_t record = (size_t)files->n_label_bytes + CIFAR_PIXEL_BYTES;
    if (snprintf(path, DATASET_PATH_BYTES, "%s/%s", d->path, files->name[i]) >= DATASET_PATH_BYTES)
        return FAIL(err, "", "path of more than %d bytes", DATASET_PATH_BYTES - 1);
    return file_read_all(path, 2 * record * (size_t)files->n_records, bytes, n, err);
}

bool cifar_open(Dataset *d, const CifarFiles *files, Error *err) {
    bool    ok = false;
    void   *bytes = NULL;
    Sha256 *sum   = NULL;
    char    path[DATASET_PATH_BYTES];
    size_t  n;

    const size_t n_images = (size_t)files->n_files * (size_t)files->n_records;
    InMemory *m = calloc(1, sizeof *m);
    d->state = m;                        /* dataset_close frees it, whatever happens below */
    if (m != NULL) {
        m->pixels = m->pixels_owner = malloc(n_images * CIFAR_PIXEL_BYTES);
        m->labels = m->labels_owner = malloc(n_images);
    }
    if (m == NULL || m->pixels == NULL || m->labels == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", n_images * CIFAR_PIXEL_BYTES);
        goto done;
    }
    m->height = m->width = CIFAR_SIDE;
    if (!sha256_create(&sum, err)) goto done;
    for (int i = 0; i < files->n_files; i++) {
        if (!read_file(d, files, i, &bytes, &n, path, err)) goto done;
        const size_t first = (size_t)i * (size_t)files->n_records;
        if (!cifar_parse(files, bytes, n, m->pixels + first * CIFAR_PIXEL_BYTES, m->labels + first, err)) {
            error_in(err, path);
            goto done;
        }
        sha256_add(sum, bytes, n);
        d->source_bytes += (int64_t)n;
        free(bytes);
        bytes = NULL;
    }
    if (!sha256_finish(sum, d->digest, err)) goto done;
    d->n_images  = (int64_t)n_images;
    d->n_classes = files->n_labels[files->n_label_bytes - 1];
    d->height = d->width = CIFAR_SIDE;
    d->channels  = 3;
    d->in_memory = true;
    ok = true;
done:
    free(bytes);
    sha256_destroy(sum);
    return ok;
}

bool cifar_digest(const Dataset *d, const CifarFiles *files, char hex[SHA256_TEXT_SIZE], Error *err) {
    bool    ok    = false;
    void   *bytes = NULL;
    size_t  n;
    char    path[DATASET_PATH_BYTES];
    Sha256 *sum = NULL;
    if (!sha256_create(&sum, err)) return false;
    for (int i = 0; i < files->n_files; i++) {
        if (!read_file(d, files, i, &bytes, &n, path, err)) goto done;
        sha256_add(sum, bytes, n);
        free(bytes);
        bytes = NULL;
    }
    ok = sha256_finish(sum, hex, err);
done:
    free(bytes);
    sha256_destroy(sum);
    return ok;
}
