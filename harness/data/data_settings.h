/* The "data" block of a configuration: which images a run trains on and is tested on. */
#ifndef HARNESS_DATA_SETTINGS_H
#define HARNESS_DATA_SETTINGS_H

#include "engine/field.h"
#include "harness/data/dataset.h"

typedef struct DataSettings {
    FieldText name;            /* of datasets.def, or synthetic[:HxWxC[:classes[:images]]]; "" with dir */
    FieldText dir;             /* an image folder, instead of a name */
    FieldText root;            /* where a named set's files lie; "": the usual places */
    FieldText preprocess;      /* a preset of preprocess.h */
    int       image_size;      /* 0: native (with a preset: its own) */
    int       train_split, test_split;   /* index into data_splits */
    int       limit, test_limit;         /* images of each split, evenly spread; 0: all */
    int       seed;            /* of the synthetic set */
    double    held_out;        /* share of the training images held out for the curve; 0: none */
    int       held_out_seed;
    FieldText classes;         /* only these, numbered anew; "": all */
} DataSettings;

extern const Field       data_fields[];
extern const char *const data_splits[];  /* "train", "test", NULL */

/* Checks what no single field can: either name or dir, a preprocess preset there is. With neither, name becomes
 * fashion_mnist. */
bool data_settings_check(DataSettings *s, Error *err);

/* Options for the images trained on, or those for testing; borrow from s. */
DatasetOptions data_settings_options(const DataSettings *s, bool train);
/* For the training images held out; there are some when s->held_out is above 0. */
DatasetOptions data_settings_held_out(const DataSettings *s);

#endif
