/* Do tokens go deeper where the image has edges, or where its middle is? In each image, the depths of its patches are correlated
 * with the mean gradient magnitude (Sobel, of the luminance 0.299 R + 0.587 G + 0.114 B, edge pixels repeated) of the pixels of
 * each patch, and with its distance from the centre. The units are images: a figure is the median over those images in which
 * both quantities vary, with its interval (stats.h). Where depths do not vary at all there is no figure: null, not_supported. */
#ifndef HARNESS_DEPTH_RELATION_H
#define HARNESS_DEPTH_RELATION_H

#include "engine/json.h"
#include "harness/data/dataset.h"
#include "models/model.h"

typedef struct DepthRelation DepthRelation;

bool depth_relation_create(DepthRelation **out, Error *err);
void depth_relation_destroy(DepthRelation *r);
/* B more images of d as the model got them: normalised, (B,C,H,W). */
bool depth_relation_add(DepthRelation *r, const Dataset *d, const ModelOutput *y, const float *images, int64_t B, Error *err);
/* Into the block depth_histogram of a result. */
bool depth_relation_put(const DepthRelation *r, JsonSink *into, Error *err);
/* One line for people for each of the two, of what was found. */
bool depth_relation_print(const DepthRelation *r, Error *err);

/* The side of the square grid that n patches lie on, row by row; 0: they lie on none. */
int depth_grid_side(int n_patches);
/* Mean gradient magnitude of grey (height,width) in each cell of a grid (side,side) laid over it. In whole numbers up to the root, and
 * rounded to a float at the end, so that equal patches are ties whatever the order of their pixels. */
void depth_gradients(const int32_t *grey, int height, int width, int side, double *mean);

#endif
