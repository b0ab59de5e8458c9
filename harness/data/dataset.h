/* Labelled images, one split at a time, behind one interface.
 *
 *   dataset_open, dataset_read and dataset_view (any number of threads), dataset_close
 *
 * A Dataset is plain data that does not change after dataset_open. Pixels are (H,W,C) uint8 after the preprocessing preset;
 * normalised values are (pixel/255 - mean)/sd per channel.
 *
 * Identity: `digest` is over content, not over archives, so that a recompressed copy has the same. For the named sets it is
 * the SHA-256 of the split's decoded files one after another (fashion_mnist: images then labels, as
 * `(zcat *images*; zcat *labels*) | sha256sum` prints; CIFAR: the batches in order); for folders the SHA-256 over, per file in
 * order, class name, '/', file name, NUL, size as 64-bit little-endian, bytes. Neither preprocessing nor `limit` enters.
 *
 * Errors: EXIT_BAD_INPUT for what is missing (the message says how to get it), malformed, or not known; EXIT_IO for truncated
 * or corrupt files, and for photographs that changed after their folder was opened; EXIT_MACHINE when memory runs out. The
 * error's input names the file. Sets in memory are read once, so what happens to their files later changes nothing.
 *
 * Ownership: dataset_open gives a Dataset to the caller, dataset_close takes it (NULL is fine); names live as long as it. */
#ifndef HARNESS_DATASET_H
#define HARNESS_DATASET_H

#include "engine/digest.h"
#include "engine/error.h"
#include "harness/data/image.h"
#include "harness/data/preprocess.h"
#include <stddef.h>
#include <stdint.h>

typedef struct Dataset     Dataset;
typedef struct DatasetKind DatasetKind;

enum { DATASET_PATH_BYTES = 4096 };

/* Training images may be divided: those trained on, and those held out to watch the training by. */
typedef enum DatasetPart { DATASET_WHOLE, DATASET_TRAINED_ON, DATASET_HELD_OUT } DatasetPart;

typedef struct DatasetOptions {
    const char *name_or_dir;   /* a name of datasets.def, "synthetic[:HxWxC[:classes[:images]]]", or the path of an image folder */
    const char *root;          /* where a named set's files lie; NULL: $MORBENCH_DATA/NAME, else the default places */
    const char *split;         /* "train" or "test"; NULL: "test" */
    int         image_size;    /* side after preprocessing; 0: native */
    const char *preprocess;    /* a preset of preprocess.h; NULL: "none" */
    int         limit;         /* at most so many images, evenly spread over the split; 0: all */
    uint64_t    seed;          /* synthetic only */
    DatasetPart part;          /* of what limit leaves: which side of the division */
    double      held_out_ratio;      /* share that is held out, in [0, 1), rounded to whole images; neither side may be empty */
    uint64_t    held_out_seed;       /* of the permutation whose end is held out */
    const char *classes;       /* only images of these, as class_choice.h reads it; NULL or "": all. Comes before the limit */
} DatasetOptions;

struct Dataset {
    const DatasetKind *kind;
    char        name[256];                     /* kind's name, or the folder's last component */
    char        split[8];                      /* "train", "test" */
    char        path[DATASET_PATH_BYTES];      /* directory read; "" when generated */
    int64_t     n_images;                      /* after limit and division */
    int64_t     n_images_split;                /* before both, and before the choice of classes */
    int64_t     n_images_classes;              /* of the classes chosen; else the same */
    int64_t     n_images_limited;              /* after limit, before division */
    DatasetPart part;
    int64_t    *chosen;                        /* (n_images) places of a part among the limited, ascending; NULL: the whole */
    int64_t    *of_classes;                    /* (n_images_classes) places of the classes' images in the split, ascending; NULL: all classes */
    int        *renumbered;                    /* new number of each of the kind's classes, -1 not chosen; NULL: all classes */
    char        classes[64];                   /* the choice as it was given; "": all */
    const char **chosen_names;                 /* owns class_names where classes are chosen */
    int         n_classes;                     /* 0: unlabelled, all labels -1 */
    const char *const *class_names;            /* n_classes strings */
    int         height, width, channels;       /* of what dataset_read writes */
    char        digest[SHA256_TEXT_SIZE];      /* "" for folders until asked: dataset_digest reads every file */
    Preprocess  preprocess;
    char        preprocess_text[PREPROCESS_TEXT_BYTES];
    float       mean[3], sd[3];                /* per channel */
    bool        synthetic;                     /* generated, never to be taken for data */
    bool        in_memory;                     /* reading costs a copy, not a decode */
    int64_t     source_bytes;                  /* content the digest covers; 0 when generated */
    void       *state;                         /* the kind's own */
};

/* A kind of data set: one file in harness/datasets/, one line in datasets.def. */
struct DatasetKind {
    const char *name, *title;
    bool   (*open)(Dataset *d, const DatasetOptions *o, const char *arguments, Error *err);
                                               /* kind, name, split and, with a probe, path are set; fills the rest up to
                                                  sd except preprocess*; (height,width) native;
                                                  arguments: what follows "name:", else "" */
    bool   (*view)(const Dataset *d, int64_t index, Image *image, int *label, Error *err);
                                               /* native pixels, d->channels of them; index before limit */
    int    (*label)(const Dataset *d, int64_t index);    /* of an image before limit, without decoding it */
    bool   (*digest)(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err);   /* reads the sources again */
    void   (*close)(Dataset *d);
    bool   (*hash)(const Dataset *d, int64_t index, uint64_t *hash, Error *err);
                                               /* of what tells one image from another, without decoding it; index before
                                                  limit; NULL: the pixels do */
    int64_t (*damaged)(const Dataset *d, const char **first);
                                               /* images read so far past damage, and the name of one; NULL: cannot be */
    const char *known_digest[2];               /* train, test; NULL when none is known */
    const char *probe[2];                      /* train, test: a file by which the set is found, with or without .gz; NULL: the
                                                  kind reads no files of its own, or a path is given */
    const char *system_dir;                    /* where a package puts it; NULL: nowhere */
    const char *advice;                        /* how to get it */
    bool   needs_path;                         /* only opened by directory */
};

#define DATASET(name) extern const DatasetKind dataset_kind_##name;
#include "harness/datasets/datasets.def"
#undef DATASET

extern const DatasetKind *const dataset_kinds[];   /* ends with NULL */
const DatasetKind *dataset_find(const char *name);  /* NULL when there is none */
const char        *dataset_names(void);             /* "fashion_mnist, cifar10, ..." */

bool dataset_open (Dataset **out, const DatasetOptions *options, Error *err);
void dataset_close(Dataset *d);

/* Image `index` in [0, n_images): writes height*width*channels bytes and the label (-1: none). Thread-safe. */
bool dataset_read(const Dataset *d, int64_t index, uint8_t *pixels, int *label, Error *err);

/* The place of image `index` in the whole split, before limit and division. */
int64_t dataset_source(const Dataset *d, int64_t index);

/* The same image before resizing and cropping: of its own size, upright where the preset asks for it, d->channels channels. The
 * caller's: image_free. Thread-safe. */
bool dataset_view(const Dataset *d, int64_t index, Image *image, int *label, Error *err);

/* The digest of the source files as they are on disk now: equal to that of another time when nothing changed between. */
bool dataset_digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err);

/* How many images of b are also in a, byte for byte: decoded pixels, of folders the files' bytes. Reads every image once. */
bool dataset_count_shared(const Dataset *a, const Dataset *b, int64_t *n_shared, Error *err);

/* How many images of b are also in a, byte for byte: decoded pixels, of folders the files' bytes. Reads every image once. */
bool dataset_count_shared(const Dataset *a, const Dataset *b, int64_t *n_shared, Error *err);

/* Images read so far in which the decoder met damage it could read past, as Pillow does without a word; first gets the name of one of
 * them, or "". */
int64_t dataset_damaged(const Dataset *d, char first[DATASET_PATH_BYTES]);

/* $MORBENCH_DATA/NAME, or ~/.cache/morbench/NAME: where `data fetch` puts a set. */
bool dataset_fetch_dir(const char *name, char dir[DATASET_PATH_BYTES], Error *err);

/* The first place that holds the kind's probe of the split: root, root/NAME (root given: only these), the fetch directory,
 * system_dir, ~/.cache/morbench/NAME. None: an error that says how to get the data. */
bool dataset_locate(const DatasetKind *kind, const char *root, const char *split, char dir[DATASET_PATH_BYTES], Error *err);

#endif
