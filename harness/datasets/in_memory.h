/* What kinds share that hold a whole split as pixels (n,H,W,C) and labels (n). */
#ifndef HARNESS_DATASETS_IN_MEMORY_H
#define HARNESS_DATASETS_IN_MEMORY_H

#include "harness/data/dataset.h"

typedef struct InMemory {
    int      height, width;                    /* native; the Dataset has those after preprocessing */
    uint8_t *pixels, *labels;
    uint8_t *pixels_owner, *labels_owner;      /* what to free; pixels and labels may point inside */
} InMemory;

bool in_memory_view (const Dataset *d, int64_t index, Image *image, int *label, Error *err);
int  in_memory_label(const Dataset *d, int64_t index);
void in_memory_close(Dataset *d);

#endif
