/* A trained model of the suite that another one learns from: it answers each batch, after the batch's augmentation, without recording.
 *
 * Ownership: teacher_create gives to the caller, teacher_destroy takes (NULL is fine). Answers live until the next one. */
#ifndef HARNESS_TEACHER_H
#define HARNESS_TEACHER_H

#include "harness/train/train_settings.h"
#include "models/model.h"

typedef struct Teacher Teacher;

/* A built model by preset name or by a model file (ending in .json). field: "/train/teacher", for errors. */
bool model_from_name_or_file(Model **out, const char *name_or_file, const char *field, Error *err);

/* The teacher of the settings with its weights read; sha256 is theirs. Errors name /train/teacher, or the weights' file. */
bool teacher_create(Teacher **out, const TrainSettings *s, const Backend *backend, char sha256[65], Error *err);
void teacher_destroy(Teacher *t);
const Model *teacher_model(const Teacher *t);

/* Whether student can learn from it what the settings ask for: image shape, classes, and for tokens their width and grid, which one
 * forward of each on an empty image shows. */
bool teacher_fits(Teacher *t, Model *student, Tape *tape, const TrainSettings *s, Error *err);

/* images (n,C,H,W) -> the teacher's output, tokens when want_tokens. False: out of memory, or interrupted. */
bool teacher_answer(Teacher *t, const float *images, const int64_t *ids, int n, bool want_tokens, const ModelOutput **out, Error *err);

/* For every row of student the row of teacher that shows the same patch of the same image, -1 where there is none and for class and
 * distillation tokens: (M) in the tape's memory. NULL: it ran out. */
const int32_t *teacher_match_rows(Tape *tape, const TokenRows *student, const TokenRows *teacher);

/* MACs executed since the last call, and the most memory its tensors took. */
int64_t teacher_take_macs(Teacher *t);
size_t  teacher_peak_bytes(const Teacher *t);

#endif
