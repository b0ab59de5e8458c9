/* Augmentation of training images on uint8 pixels. Every draw is addressed by (epoch, image), so it does not depend on
 * threads, order or batch size. */
#ifndef HARNESS_AUGMENT_H
#define HARNESS_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Augment {
    uint64_t seed;
    int      crop_padding;           /* zero pixels a side before a random crop of the original size */
    bool     flip;                   /* horizontally, every second time */
} Augment;

/* A LoaderTransform: pixels (h,w,c) in place; self is an Augment. */
void augment_image(void *self, uint8_t *hwc, int h, int w, int c, int64_t image_id, int64_t epoch);

#endif
