/* What a model said of the first images of a data set, kept so that two runs can be held against each other: a timing and the
 * accuracy that is shown beside it (rules V2 and V3). Bits depend on the batch and the machine, so numbers are kept, not a digest.
 *
 *   for every image:  witness_add
 *   witness_put (into a result)  ...  witness_compare (of two results) */
#ifndef HARNESS_WITNESS_H
#define HARNESS_WITNESS_H

#include "engine/json.h"
#include "engine/tensor.h"

enum { WITNESS_IMAGES = 64 };

typedef struct Witness {
    bool    seen[WITNESS_IMAGES];
    int32_t best[WITNESS_IMAGES];                /* class of the largest logit */
    double  logit[WITNESS_IMAGES];               /* that logit */
    double  gap[WITNESS_IMAGES];                 /* of the two largest */
    double  log_sum_exp[WITNESS_IMAGES];         /* of all of them: no class can change unnoticed */
} Witness;

/* image: its place in the whole split. Those from WITNESS_IMAGES on, and those seen before, are left out. */
void witness_add(Witness *w, int64_t image, const Real *logits, int n_classes);

/* witness {image_index, best_class_index, best_logit, best_gap, log_sum_exp_nats}, arrays of one length; nothing when no image was seen. */
void witness_put(const Witness *w, JsonSink *into);

typedef struct WitnessAgreement {
    int    n_compared, n_differ;                 /* images that both have; of these, those of which they say something else */
    double largest;                              /* difference of a number, relative to max(1, its size) */
} WitnessAgreement;

/* The numbers may differ by this: what another batch size, thread count or order of additions does in single precision stays
 * below it, a block left out does not. */
#define WITNESS_TOLERANCE 1e-3

/* a, b: what witness_put wrote; NULL: none. Anything else than such numbers counts as no image. */
WitnessAgreement witness_compare(const json_t *a, const json_t *b);

#endif
