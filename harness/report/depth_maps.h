/* Pictures of where in an image a model worked how much: the image beside its depth map, laid over the image in colours of the scale
 * cividis, with a legend; and one picture of the eight images with the most and the eight with the least depth.
 *
 * DIR/image-<index>.png, DIR/extremes.png. Depths are of patches, in the order of rows; each colours its part of the image. */
#ifndef HARNESS_DEPTH_MAPS_H
#define HARNESS_DEPTH_MAPS_H

#include "harness/data/dataset.h"
#include "harness/measure/depth_record.h"

enum { DEPTH_MAPS_MAX = 1000, DEPTH_EXTREMES = 8 };

/* Indices "3,17,..." of images in [0, n_images); *list is the caller's, free(). text NULL: none. */
bool depth_maps_parse(const char *text, int64_t n_images, int64_t **list, int *n, Error *err);

/* depths keeps those of the images of d, in their order. dir is made. */
bool depth_maps_write(const Dataset *d, const DepthRecord *depths, const char *dir, const int64_t *images, int n, Error *err);

/* The n images of most (or least) mean depth, the lower index first where that is equal. */
void depth_maps_extremes(const DepthRecord *depths, bool deepest, int64_t *index, int n);

/* image (height,width) with the depths of its grid (side,side) laid over it, each pixel `scale` wide, at (x,y) of canvas. */
void depth_map_draw(Image *canvas, int x, int y, const Image *image, const uint8_t *depth, int side, int max_depth, int scale);

#endif
