/* From a decoded photograph to the pixels a network sees: resize, centre crop, and the mean and deviation to normalise
 * with, as the published evaluations do it.
 *
 *   image (H,W,C) uint8  ->  pixels (S,S,C) uint8
 *
 * Resizing is Pillow's, bit for bit: antialiased (the filter widens when shrinking), horizontal pass first, its result
 * rounded to 8 bits, then vertical; coefficients with 22 fractional bits. A pass is skipped when that side stays.
 * Only what the crop needs is computed, which changes no pixel. */
#ifndef HARNESS_PREPROCESS_H
#define HARNESS_PREPROCESS_H

#include "harness/data/image.h"

typedef enum Filter { FILTER_BILINEAR, FILTER_BICUBIC } Filter;

typedef enum Geometry {
    GEOMETRY_NATIVE,             /* pixels as decoded; all images must have one size */
    GEOMETRY_SHORT_SIDE,         /* short side to resize_side, the other to trunc(resize_side*long/short), then crop */
    GEOMETRY_SQUASH              /* both sides to resize_side whatever the shape, then crop */
} Geometry;

enum { PREPROCESS_TEXT_BYTES = 384 };

typedef struct Preprocess {
    char     name[32];           /* "deit", "deit+exif" */
    Geometry geometry;
    Filter   filter;
    int      resize_side, crop_side;
    bool     apply_exif;         /* timm and torchvision do not, so only presets that end in "+exif" do */
    float    mean[3], sd[3];     /* of values in [0,1]; for three channels */
} Preprocess;

/* The preset `name` ("none", "deit", ...; NULL is "none") at image_size: in [1,1024], 0 meaning 224; unused by "none".
 * An unknown name is an error that lists the known ones. */
bool preprocess_find(Preprocess *out, const char *name, int image_size, Error *err);
const char *preprocess_names(void);

/* One line for results: "deit: short side 256 bicubic antialiased, centre crop 224, EXIF orientation ignored,
 * mean ..., sd ..."; the mean and sd that are used in the end, channels of them. */
void preprocess_text(const Preprocess *p, const float mean[], const float sd[], int channels,
                     char text[PREPROCESS_TEXT_BYTES]);

/* Applies p to *image (C 1 or 3), writing crop_side^2 * C bytes (native: all of them). The image is only read. */
bool preprocess_apply(const Preprocess *p, const Image *image, uint8_t *pixels, Error *err);

/* image resized to (height,width), of which the box (box_height,box_width) at (top,left) is written to
 * pixels (box_height,box_width,C). */
typedef struct ResizeTarget {
    int height, width;
    int top, left, box_height, box_width;
} ResizeTarget;
bool resize_box(const Image *image, const ResizeTarget *target, Filter filter, uint8_t *pixels, Error *err);

/* A part of an image, cut out before it is resized: nothing around it bleeds in. */
typedef struct CropBox {
    int    top, left, height, width;
    Filter filter;
} CropBox;
/* The box of *image resized to pixels (height,width,C). */
bool resize_crop(const Image *image, const CropBox *box, int height, int width, uint8_t *pixels, Error *err);

#endif
