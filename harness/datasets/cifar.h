/* CIFAR's binary files: records of n_label_bytes labels, then 3072 pixel bytes, red, green and blue planes of 32x32.
 * The two CIFAR kinds differ in files, label bytes and names only. */
#ifndef HARNESS_DATASETS_CIFAR_H
#define HARNESS_DATASETS_CIFAR_H

#include "harness/data/dataset.h"

enum { CIFAR_SIDE = 32, CIFAR_PIXEL_BYTES = 3 * CIFAR_SIDE * CIFAR_SIDE, CIFAR_MAX_FILES = 5 };

typedef struct CifarFiles {
    const char *name[CIFAR_MAX_FILES];
    int         n_files, n_records;          /* records in each file */
    int         n_label_bytes;               /* the last of them is the label used; the others are checked too */
    int         n_labels[2];                 /* label byte i is below n_labels[i] */
} CifarFiles;

/* Fills d but for class names and statistics. The whole split is loaded. */
bool cifar_open(Dataset *d, const CifarFiles *files, Error *err);
bool cifar_digest(const Dataset *d, const CifarFiles *files, char hex[SHA256_TEXT_SIZE], Error *err);

/* One file's content into pixels (n_records,32,32,3) and labels (n_records). */
bool cifar_parse(const CifarFiles *files, const uint8_t *content, size_t n_bytes, uint8_t *pixels, uint8_t *labels,
                 Error *err);

#endif
