/* Batches of a data set, made ahead of their use by threads of its own.
 *
 *   loader_create; per epoch loader_start(order), loader_next until the batch is NULL; loader_destroy
 *
 * A batch is images (B,C,H,W) float32, (pixel/255 - mean)/sd per channel computed in float32 in that order, as PyTorch does;
 * labels (B) int32, -1 when unlabelled; ids (B), the entries of the order. What a batch holds depends on the order given
 * and the epoch alone, never on the number of threads.
 *
 * An entry of an order is a position in the data set; an epoch that shows an image more than once tells its times apart by a
 * repeat, which every draw for the image then depends on (order_entry).
 *
 * Hooks change images on their way: crop (decoded image), transform, distort (uint8 pixels), finish (normalised). They are called by
 * several threads at once and for entries in any order, so everything drawn must be keyed by (id, epoch).
 *
 * Errors reach the caller at the batch they belong to, the one of the earliest image first, whatever the threads; after
 * one the epoch is over, and another may be started.
 *
 * Ownership: loader_create gives to the caller; loader_destroy (NULL is fine) joins the threads. The data set, and what the
 * hooks point at, must outlive the loader. A batch is the loader's, good until the next call of any of these; its images may be
 * written to. A loader is used by one thread at a time. */
#ifndef HARNESS_LOADER_H
#define HARNESS_LOADER_H

#include "harness/data/dataset.h"

enum { ORDER_REPEAT_BIT = 40 };
static inline int64_t order_entry (int64_t image, int repeat) { return (int64_t)repeat << ORDER_REPEAT_BIT | image; }
static inline int64_t order_image (int64_t entry) { return entry & (((int64_t)1 << ORDER_REPEAT_BIT) - 1); }
static inline int     order_repeat(int64_t entry) { return (int)(entry >> ORDER_REPEAT_BIT); }

/* Chooses the part of a decoded image (height,width) that is resized to the data set's shape, in place of the preset's resize and
 * centre crop. Images are then decoded every time: there is nothing to keep. */
typedef void (*LoaderCrop)(void *self, int height, int width, int64_t id, int64_t epoch, CropBox *box);
/* Changes pixels (h,w,c) in place before they are normalised. */
typedef void (*LoaderTransform)(void *self, uint8_t *hwc, int h, int w, int c, int64_t id, int64_t epoch);
/* The same, after it, with h*w*c bytes of working memory. */
typedef void (*LoaderDistort)(void *self, uint8_t *hwc, uint8_t *spare, int h, int w, int c, int64_t id, int64_t epoch);
/* Changes the normalised image (c,h,w) in place. */
typedef void (*LoaderFinish)(void *self, float *chw, int c, int h, int w, int64_t id, int64_t epoch);

typedef struct LoaderOptions {
    int             batch_size;       /* >= 1 */
    int             n_threads;        /* 0: images are made in loader_next */
    int             n_ahead;          /* batches made ahead; 0: 2 */
    bool            drop_last;        /* leave out a last batch that is not full */
    int64_t         cache_bytes;      /* keep decoded pixels when all of them fit; 0: 256 MiB; -1: never */
    LoaderCrop      crop;             /* each: NULL is none */
    LoaderTransform transform;
    LoaderDistort   distort;
    LoaderFinish    finish;
    void           *transform_self;   /* of all four */
} LoaderOptions;

typedef struct LoaderBatch {
    int            n_images;          /* batch_size, but for the last */
    int64_t        index;             /* 0, 1, ... within the epoch */
    float         *images;            /* (n_images,C,H,W) */
    const int32_t *labels;            /* (n_images) */
    const int64_t *ids;               /* (n_images) */
} LoaderBatch;

typedef struct Loader Loader;

bool loader_create(Loader **out, const Dataset *d, const LoaderOptions *options, Error *err);
void loader_destroy(Loader *l);

/* Begins an epoch over the entries order[0..n-1], which are copied. An epoch not finished is given up. */
bool loader_start(Loader *l, const int64_t order[], int64_t n, int64_t epoch, Error *err);

/* The next batch, or *batch NULL when the epoch is over. */
bool loader_next(Loader *l, const LoaderBatch **batch, Error *err);

int64_t loader_n_batches(const Loader *l);     /* of the epoch started */

/* (pixel/255 - mean)/sd: pixels (H,W,C) uint8 -> images (C,H,W) float32, of one image. table is (C,256) and comes from
 * loader_table. */
void loader_table(const float mean[], const float sd[], int channels, float table[]);
void loader_normalise(const uint8_t *pixels, int height, int width, int channels, const float table[], float *image);

#endif
