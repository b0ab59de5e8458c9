/* Augmentation of training images. In this order, each with a switch:
 *
 *   decoded image    random resized crop                  augment_crop       (torchvision's and timm's rule)
 *   uint8 (h,w,c)    shifted crop, mirror                 augment_image
 *                    RandAugment                          augment_distort    (timm's rand-m{m}-n{n}-mstd{s}-inc1)
 *   float (c,h,w)    random erasing, after normalising    augment_finish
 *   float (n,c,h,w)  mixup, cutmix; soft targets          augment_batch
 *   the epoch        repeated augmentation                augment_epoch_order
 *
 * Every draw is addressed by (seed, epoch, image, repeat), that of a batch by (seed, epoch, batch): none depends on threads, order or
 * batch size. Each row has a stream of its own (shifted crop and mirror share "augment"; then "augment.crop", "augment.randaugment",
 * "augment.erasing", "augment.mix"), so switching one on leaves what the others draw. */
#ifndef HARNESS_AUGMENT_H
#define HARNESS_AUGMENT_H

#include "engine/field.h"
#include "harness/data/loader.h"

enum { ERASING_CONST, ERASING_PIXEL };
extern const char *const augment_filters[];           /* words of rrc_filter, in the order of Filter */
extern const char *const augment_erasing_modes[];

/* The settings as members and as keys, once each. A struct that has these keys beside its own, such as TrainSettings, has them as members of
 * its own (AUGMENT_SETTINGS) and in its table (AUGMENT_FIELDS). */
#define AUGMENT_MEMBERS                                                        \
    int    crop_padding;                                                       \
    bool   flip, random_resized_crop;                                          \
    double rrc_scale_min, rrc_scale_max, rrc_ratio_min, rrc_ratio_max;         \
    int    rrc_filter;                                /* Filter */             \
    int    randaugment_n;                                                      \
    double randaugment_m, randaugment_mstd;                                    \
    double erasing;                                                            \
    int    erasing_mode;                              /* ERASING_ */           \
    double mixup, cutmix, mixup_switch;                                        \
    int    mixup_off_epoch, repeats;

typedef struct AugmentSettings { AUGMENT_MEMBERS } AugmentSettings;

#define AUGMENT_SETTINGS(name) union { AugmentSettings name; struct { AUGMENT_MEMBERS }; }

#define AUGMENT_FIELDS(Type)                                                                                                              \
    INT_FIELD (Type, crop_padding,        0, 64, 0,         "random crop after padding by so many zero pixels a side"),                   \
    BOOL_FIELD(Type, flip,                false,            "horizontal flip of every second image"),                                     \
    BOOL_FIELD(Type, random_resized_crop, false,            "a random part of the image as decoded, resized, in place of the preset's resize and centre crop"), \
    REAL_FIELD(Type, rrc_scale_min,       0.001, 1, 0.08,   "random resized crop: least share of the area"),                              \
    REAL_FIELD(Type, rrc_scale_max,       0.001, 1, 1,      "random resized crop: largest share of the area"),                            \
    REAL_FIELD(Type, rrc_ratio_min,       0.01, 100, 3.0/4, "random resized crop: least width/height"),                                   \
    REAL_FIELD(Type, rrc_ratio_max,       0.01, 100, 4.0/3, "random resized crop: largest width/height"),                                 \
    WORD_FIELD(Type, rrc_filter,          augment_filters, FILTER_BICUBIC, "random resized crop: bilinear or bicubic, antialiased"),      \
    INT_FIELD (Type, randaugment_n,       0, 16, 0,         "RandAugment: operations an image, each skipped every second time; 0: none"), \
    REAL_FIELD(Type, randaugment_m,       0, 10, 9,         "RandAugment: mean magnitude"),                                               \
    REAL_FIELD(Type, randaugment_mstd,    0, 10, 0.5,       "RandAugment: standard deviation of the magnitude"),                          \
    REAL_FIELD(Type, erasing,             0, 1, 0,          "probability that a rectangle of an image is erased"),                        \
    WORD_FIELD(Type, erasing_mode,        augment_erasing_modes, ERASING_PIXEL, "erased to the data's mean (const) or to normal noise a pixel and channel (pixel)"), \
    REAL_FIELD(Type, mixup,               0, 1000, 0,       "mixup: alpha of the Beta distribution of its weight; 0: none"),              \
    REAL_FIELD(Type, cutmix,              0, 1000, 0,       "cutmix: alpha of the Beta distribution of its area; 0: none"),               \
    REAL_FIELD(Type, mixup_switch,        0, 1, 0.5,        "with both mixup and cutmix: probability that a batch gets cutmix"),          \
    INT_FIELD (Type, mixup_off_epoch,     0, 100000, 0,     "epoch from which neither is done any more; 0: never"),                       \
    INT_FIELD (Type, repeats,             1, 64, 1,         "each image so many times in an epoch of unchanged length, drawn anew each time")

extern const Field augment_fields[];

/* The settings made ready. All zero: nothing happens. */
typedef struct Augment {
    uint64_t seed;
    AUGMENT_SETTINGS(settings);
    uint8_t  fill[3];                                 /* what RandAugment moves in from outside the image */
} Augment;

/* Ranges that are empty: an error naming "/train/KEY". */
bool augment_check(const AugmentSettings *s, Error *err);

/* fill is the data set's mean (channels). */
Augment augment_create(const AugmentSettings *s, uint64_t seed, const float mean[], int channels);

/* Sets those of the loader's hooks that there is work for; a must outlive the loader. */
void augment_hook(Augment *a, LoaderOptions *options);

/* The hooks; self is an Augment, id an entry of the order (loader.h). */
void augment_crop   (void *self, int height, int width, int64_t id, int64_t epoch, CropBox *box);
void augment_image  (void *self, uint8_t *hwc, int h, int w, int c, int64_t id, int64_t epoch);
void augment_distort(void *self, uint8_t *hwc, uint8_t *spare, int h, int w, int c, int64_t id, int64_t epoch);
void augment_finish (void *self, float *chw, int c, int h, int w, int64_t id, int64_t epoch);

/* Mixup or cutmix of one batch of the epoch with itself reversed (Zhang et al. 2018, Yun et al. 2019; timm's batch mode): images
 * (n,c,h,w) in place, labels (n) in [0,n_classes) -> soft (n,n_classes), smoothed. False: neither is wanted, nothing was touched. */
bool augment_batch(const Augment *a, float *images, int n, int c, int h, int w, const int32_t *labels, int n_classes, double smoothing,
                   int64_t epoch, int64_t batch_index, float *soft);

/* The n_images entries of an epoch's order (loader.h). With repeats the first 1/repeats of the epoch's permutation of (seed, "shuffle"),
 * each entry beside its repeats, so that they meet in a batch (Berman et al. 2019). */
void augment_epoch_order(const Augment *a, int64_t epoch, int64_t n_images, int64_t *order);

#endif
