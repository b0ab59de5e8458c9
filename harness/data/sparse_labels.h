/* Sparse labels of a teacher, stored once and learnt from often (fast pretraining distillation, Wu et al. 2022, TinyViT), in the
 * format of its code. For epoch e, with the K likeliest classes of each image:
 *
 *   DIR/logits_top{K}_epoch{e}/rank{r}-keys.txt      a line for each image: the decimal number of its entry (loader.h)
 *   DIR/logits_top{K}_epoch{e}/rank{r}-values.bin    a record for each line, in the same order:
 *       int32 seed of the augmentation, K x int16 class, K x float16 probability, falling; little-endian
 *
 * Probabilities are taken of all classes before the cut. The target of a class that is not stored is an even share of what is
 * missing to 1: (1 - sum) / (classes - K). Writers write rank 0; readers take every rank there is, of two records of one image
 * the first.
 *
 * Our augmentation draws by (seed, epoch, image, repeat), so the images of epoch e are the teacher's again when the seed is: it is
 * checked. Errors are EXIT_BAD_INPUT and name the file; EXIT_MACHINE when memory runs out. */
#ifndef HARNESS_SPARSE_LABELS_H
#define HARNESS_SPARSE_LABELS_H

#include "engine/digest.h"
#include "engine/error.h"
#include "harness/data/loader.h"
#include "harness/train/train_settings.h"

enum { SPARSE_CLASSES_MAX = 32767 };

/* ---- one package: a keys file and a values file in memory ---- */

typedef struct SparseEntry { int64_t key; int32_t seed; const uint8_t *classes, *probabilities; } SparseEntry;

/* Number of records, in *entry (the caller's, free()), which point into values; -1: *err says what is wrong, without a file name. */
int64_t sparse_parse(const char *keys, size_t n_keys, const uint8_t *values, size_t n_values, int K, int n_classes, SparseEntry **entry, Error *err);

/* The dense row of an entry: n_classes probabilities that sum to 1. */
void sparse_expand(const SparseEntry *e, int K, int n_classes, float *row);

uint16_t sparse_half_of(float x);                  /* to nearest even; IEEE binary16 */
float    sparse_float_of(uint16_t half);

/* ---- writing ---- */

typedef struct SparseWriter SparseWriter;

/* Begins epoch's directory below dir; nothing is in place before sparse_writer_commit. */
bool sparse_writer_open(SparseWriter **out, const char *dir, int K, int64_t epoch, Error *err);
/* The K largest of probability (n_classes), the lower class on ties; n_classes >= K. */
bool sparse_writer_add(SparseWriter *w, int64_t key, int32_t seed, const double *probability, int n_classes, Error *err);
bool sparse_writer_commit(SparseWriter *w, Error *err);
void sparse_writer_close(SparseWriter *w);         /* NULL is fine */

/* ---- reading ---- */

typedef struct SparseLabels SparseLabels;

/* *out is NULL when s->sparse_labels names no directory. Refuses mixup and cutmix, which blend labels of their own. Without any
 * hook in options every epoch shows the same images, and the labels of epoch 0 serve all. */
bool sparse_labels_open(SparseLabels **out, const TrainSettings *s, const LoaderOptions *options, int n_classes, Error *err);
/* soft (n,n_classes) for the entries ids of an epoch, whose labels are read when it is first asked for. */
bool sparse_labels_batch(SparseLabels *l, int64_t epoch, const int64_t ids[], int n, float *soft, Error *err);
void sparse_labels_close(SparseLabels *l);         /* NULL is fine */

/* Of all packages below dir, names and contents; reads them whole. */
bool sparse_labels_digest(const char *dir, char sha256[SHA256_TEXT_SIZE], Error *err);

#endif
