/* Judges files and directories of images for `morbench validate`: whole and well-formed, and what they are. */
#ifndef HARNESS_VALIDATE_DATA_H
#define HARNESS_VALIDATE_DATA_H

#include "engine/error.h"

#include <stddef.h>
#include <stdint.h>

enum { VALIDATE_WHAT_MAX = 200, VALIDATE_HEAD_BYTES = 9 };

/* Whether a file that begins with head (n bytes) and has this path is one of image data: IDX, also gzipped; CIFAR's; JPEG; PNG. */
bool validate_is_data(const char *path, const uint8_t head[], size_t n);
bool validate_data(const char *path, char what[VALIDATE_WHAT_MAX], Error *err);

/* The directory of a named data set, or a folder of images by class: every image is read. */
bool validate_directory(const char *path, char what[VALIDATE_WHAT_MAX], Error *err);

#endif
