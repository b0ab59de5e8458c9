/* Accuracy of a model on a data set: every image once, in order, no augmentation, no recording. */
#ifndef HARNESS_EVALUATE_H
#define HARNESS_EVALUATE_H

#include "harness/data/dataset.h"
#include "harness/measure/depth_record.h"
#include "harness/measure/depth_relation.h"
#include "harness/measure/witness.h"
#include "models/model.h"

enum { EVALUATE_MAX_DEPTH = 512 };

typedef struct Evaluation {
    int64_t  images_count;
    int64_t  top1_count, top5_count;
    double   loss;                                   /* mean cross entropy, no smoothing */
    int64_t  macs_executed, elementwise_executed;    /* of all images */
    int64_t  macs_counted, macs_min, macs_max;       /* closed form, each image by its own rows: of all, of the cheapest and dearest */
    uint64_t elapsed_ns;                             /* loading included */
    int64_t  depth_histogram[EVALUATE_MAX_DEPTH + 1];/* tokens by blocks or recursions applied */
    int      max_depth, n_tokens;
    size_t   peak_activation_bytes;
    Witness  witness;                                /* of the split's first images */
    char     predictions_sha256[65];                 /* over the predicted classes, int32 little-endian, in image order */
} Evaluation;

typedef struct EvaluateOptions {
    int  batch_size, loader_threads;
    bool quiet;
    DepthRecord   *depths;                           /* gets every token's depth; NULL: not wanted */
    DepthRelation *relation;                         /* gets it with the image it belongs to; NULL: not wanted */
} EvaluateOptions;

/* Fails when the model's image shape or classes do not fit the data, and with EXIT_CELLS when a logit is not finite. */
bool evaluate(Model *m, Tape *tape, const Dataset *d, const EvaluateOptions *options, Evaluation *out, Error *err);

/* Whether images of d can go into m: shape and labels. */
bool model_fits_data(const Model *m, const Dataset *d, bool needs_labels, Error *err);

/* A batch as the model's input: borrows the floats, or converts them in the double build. */
Tensor *batch_tensor(Tape *tape, const float *images, int64_t n, int channels, int height, int width);

/* Class of the largest logit, the lower index on ties. */
int logits_best(const Real *logits, int n_classes);

#endif
