/* The weights a training begins with: drawn from the seed, read from a file, or taken over from a model of another kind. */
#ifndef HARNESS_START_WEIGHTS_H
#define HARNESS_START_WEIGHTS_H

#include "engine/json.h"
#include "harness/train/train_settings.h"
#include "models/model.h"

typedef struct StartingWeights {
    char    sha256[65];              /* of the file read; "" when drawn */
    char    warning[512];            /* what reading resampled or left out; "" */
    json_t *source;                  /* the settings of the other kind's model, the caller's; NULL: none */
} StartingWeights;

/* Fills the parameters of m. file: weights of m's own kind, a classifier of another size staying new; NULL: none. Else, with
 * s->init_from: that model with s->init_from_weights, handed to ModelKind.init_from with s->init_rule. Errors name the file, or
 * /train/init_from; what a kind refuses is its own message. */
bool start_weights(Model *m, const TrainSettings *s, const char *file, StartingWeights *out, Error *err);

#endif
