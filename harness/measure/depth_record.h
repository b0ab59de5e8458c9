/* What routing did over a data set: depths of every token, as histogram, by place in the image, and as figures of balance.
 *
 * Figures are over patches; class and distillation tokens (ModelOutput.n_prefix) are in the histogram of tokens alone. Definitions: Bae et al. 2025,
 * section 4 (dead tokens, MaxVio, entropy of loads); load_d is the number of patches with depth d = 1..max_depth. */
#ifndef HARNESS_DEPTH_RECORD_H
#define HARNESS_DEPTH_RECORD_H

#include "engine/json.h"
#include "models/model.h"

typedef struct DepthRecord DepthRecord;

typedef struct DepthSummary {
    double entropy_nats;             /* -sum p_d ln p_d of the loads */
    double max_violation_ratio;      /* (largest load - mean load) / mean load */
    double dead_ratio;               /* patch positions that never reach the last step within 500 images, mean over such blocks */
    double always_ratio, never_ratio;    /* positions that reach the last step in every image, in none */
    double image_depth_sd;           /* of the mean depth of an image's patches, over images; NAN below 2 images */
} DepthSummary;

bool depth_record_create(DepthRecord **out, Error *err);
void depth_record_destroy(DepthRecord *r);
/* Depths of B more images, in order; a model without depths of its own gives every token max_depth. */
bool depth_record_add(DepthRecord *r, const ModelOutput *y, int64_t B, Error *err);
/* Keeps the depths of every image too (1 byte a token), for depth_record_save. Before the first add. */
void depth_record_keep(DepthRecord *r);

DepthSummary depth_record_summary(const DepthRecord *r);
/* Mean depth of each token position, n_tokens entries; valid until the next add. */
const double *depth_record_positions(DepthRecord *r, int *n_tokens);
int64_t depth_record_images(const DepthRecord *r);
/* Mean depth of the patches of image i, in the order added. */
double depth_record_image_depth(const DepthRecord *r, int64_t i);
/* Depths of the patches of image i, of a record that keeps them; valid until the next add. */
const uint8_t *depth_record_patches(const DepthRecord *r, int64_t i, int *n_patches, int *max_depth);
/* Into the block depth_histogram of a result: figures, mean depth by position, quartiles of the images' mean depths. */
bool depth_record_put(DepthRecord *r, JsonSink *into, Error *err);
/* As safetensors: depth (images, tokens) U8, the map of every image, and histogram (images, depths) I32, its tokens by depth. */
bool depth_record_save(const DepthRecord *r, const char *path, Error *err);

#endif
