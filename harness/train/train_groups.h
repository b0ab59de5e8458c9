/* Which tensors train how fast: layer-wise decay, factors by name, freezing. */
#ifndef HARNESS_TRAIN_GROUPS_H
#define HARNESS_TRAIN_GROUPS_H

#include "engine/params.h"
#include "harness/train/train_settings.h"

/* Sets lr_scale, lr_delay (in steps) and frozen of every tensor: layer_decay^(top - depth) times the factor of lr_scale (Clark et al. 2020, as BEiT
 * groups: embedding 0, block i at i+1, last norm and head at the top; Param.rate_shift where a model's own rule differs). The running
 * statistics of a batch norm stay, and are what it uses, while its gain is frozen. Call it before gradients are allocated. Errors name /train/lr_scale, /train/lr_delay or /train/freeze_depth: a text that is no list of NAME=NUMBER, a
 * beginning that no tensor has, nothing left to train. */
bool train_groups_apply(Params *params, const TrainSettings *s, int64_t steps_per_epoch, Error *err);

#endif
