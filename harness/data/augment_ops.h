/* The operations of RandAugment (Cubuk et al. 2020) on uint8 pixels, in the set, with the magnitudes, of timm's "increasing" variant,
 * which DeiT and its descendants train with: a larger level always distorts more.
 *
 * Pixels come out as Pillow makes them, bit for bit, on grey and RGB images: the colour of grey images cannot change, so `color`
 * does nothing there; all others work on both. Moved images are resampled by Pillow's cubic of affine transforms (a = -1, no antialias). */
#ifndef HARNESS_AUGMENT_OPS_H
#define HARNESS_AUGMENT_OPS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Pixels {
    uint8_t       *hwc;                               /* (h,w,c), changed in place */
    uint8_t       *spare;                             /* h*w*c bytes of working memory */
    int            h, w, c;                           /* c: 1 or 3 */
    const uint8_t *fill;                              /* (c) what lies outside the image */
} Pixels;

typedef struct AugmentOp {
    const char *name;
    double    (*argument)(double level, bool negative);   /* of a level in [0,10]; negative: the other direction, where there are two */
    void      (*apply)(const Pixels *p, double argument);
} AugmentOp;

/* OP(name, argument from level): what the argument is */
#define AUGMENT_OP_LIST(OP)                                                        \
    OP(auto_contrast, nothing)       /* - */                                       \
    OP(equalize,      nothing)       /* - */                                       \
    OP(invert,        nothing)       /* - */                                       \
    OP(rotate,        degrees)       /* degrees, counter-clockwise */              \
    OP(posterize,     bits)          /* bits kept */                               \
    OP(solarize,      threshold)     /* values from it on are inverted */          \
    OP(solarize_add,  addend)        /* added to values below 128 */               \
    OP(color,         factor)        /* 0: grey, 1: unchanged */                   \
    OP(contrast,      factor)        /* 0: the mean everywhere, 1: unchanged */    \
    OP(brightness,    factor)        /* 0: black, 1: unchanged */                  \
    OP(sharpness,     factor)        /* 0: smoothed, 1: unchanged */               \
    OP(shear_x,       slope)         /* columns a row */                           \
    OP(shear_y,       slope)         /* rows a column */                           \
    OP(translate_x,   share)         /* of the width */                            \
    OP(translate_y,   share)         /* of the height */

#define OP(name, argument_of) AUGMENT_OP_##name,
enum { AUGMENT_OP_LIST(OP) AUGMENT_OPS };
#undef OP

extern const AugmentOp augment_ops[AUGMENT_OPS];

#endif
