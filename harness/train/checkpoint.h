/* The whole state of a training run in one file: weights, optimizer state, position, curve.
 *
 * DIR/checkpoint-<step>.safetensors with tensors weight.<name>, m.<name>, v.<name>, average.<name> (what there is of them) and the rest as text in its metadata,
 * under a digest of all of it. The two newest are kept: a damaged newest one falls back to the other. */
#ifndef HARNESS_CHECKPOINT_H
#define HARNESS_CHECKPOINT_H

#include "harness/train/train.h"

bool checkpoint_save(const Model *m, const TrainRun *run, const char *dir, Error *err);
/* Loads the newest good one; *found false when there are none. A damaged one is told on stderr and passed over; one of other
 * settings, and damaged ones alone (EXIT_IO), are errors, and leave the model as it was. Removes what a killed process left
 * half written in dir. */
bool checkpoint_load(Model *m, TrainRun *run, const char *dir, bool *found, Error *err);
/* Whether a file is a whole checkpoint, whatever of; settings gets the digest of those it was made under, why what is wrong. False
 * only when memory runs out. */
bool checkpoint_check(const char *path, char settings[17], bool *good, char why[600], Error *err);
/* Removes what training left once its weights are written. */
void checkpoint_remove_all(const char *dir);

#endif
