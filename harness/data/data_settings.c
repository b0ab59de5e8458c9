/* Fields of the "data" block, see data_settings.h. */
#include "harness/data/data_settings.h"

#include <stdio.h>

const char *const data_splits[] = {"train", "test", NULL};

static const char default_name[] = "fashion_mnist";

enum { LIMIT_MAX = 1 << 30, SIDE_MAX = 4096, SEED_MAX = 0x7fffffff };

const Field data_fields[] = {
    TEXT_FIELD(DataSettings, name,        "", "a data set (`morbench data list`), or synthetic:HxWxC:classes:images; default fashion_mnist"),
    TEXT_FIELD(DataSettings, dir,         "", "an image folder with train/CLASS/FILE and test/CLASS/FILE, instead of a name"),
    TEXT_FIELD(DataSettings, root,        "", "directory of a named set's files; else $MORBENCH_DATA/NAME and the usual places"),
    TEXT_FIELD(DataSettings, preprocess,  "none", "resizing, cropping and normalisation: none, deit, ..."),
    INT_FIELD (DataSettings, image_size,  0, SIDE_MAX, 0, "side in pixels after preprocessing; 0: as stored, or the preset's own"),
    WORD_FIELD(DataSettings, train_split, data_splits, 0, "split to train on"),
    WORD_FIELD(DataSettings, test_split,  data_splits, 1, "split to test on"),
    INT_FIELD (DataSettings, limit,       0, LIMIT_MAX, 0, "images to train on, evenly spread over the split; 0: all"),
    INT_FIELD (DataSettings, test_limit,  0, LIMIT_MAX, 0, "images to test on, evenly spread over the split; 0: all"),
    INT_FIELD (DataSettings, seed,        0, SEED_MAX, 0, "of synthetic images"),
    REAL_FIELD(DataSettings, held_out,    0, 0.9, 0, "share of the training images set apart: the curve is then of these, not of the test split"),
    INT_FIELD (DataSettings, held_out_seed, 0, SEED_MAX, 0, "which images are set apart"),
    TEXT_FIELD(DataSettings, classes,     "", "only images of these classes, \"0-4,7\", numbered anew from 0; empty: all"),
    FIELDS_END,
};

bool data_settings_check(DataSettings *s, Error *err) {
    Preprocess preprocess;
    if (s->name[0] != '\0' && s->dir[0] != '\0')
        return FAIL(err, "/data/dir", "must not be given beside name \"%.60s\"", s->name);
    if (s->dir[0] != '\0' && s->root[0] != '\0') return FAIL(err, "/data/root", "belongs to a named data set, not to dir");
    if (s->name[0] == '\0' && s->dir[0] == '\0') snprintf(s->name, sizeof s->name, "%s", default_name);
    return preprocess_find(&preprocess, s->preprocess, s->image_size, err);
}

DatasetOptions data_settings_options(const DataSettings *s, bool train) {
    return (DatasetOptions){
        .name_or_dir = s->dir[0] != '\0' ? s->dir : s->name,
        .root        = s->root[0] != '\0' ? s->root : NULL,
        .split       = data_splits[train ? s->train_split : s->test_split],
        .image_size  = s->image_size,
        .preprocess  = s->preprocess,
        .limit       = train ? s->limit : s->test_limit,
        .seed        = (uint64_t)s->seed,
        .part           = train && s->held_out > 0 ? DATASET_TRAINED_ON : DATASET_WHOLE,
        .held_out_ratio = s->held_out,
        .held_out_seed  = (uint64_t)s->held_out_seed,
        .classes        = s->classes,
    };
}

DatasetOptions data_settings_held_out(const DataSettings *s) {
    DatasetOptions options = data_settings_options(s, true);
    options.part = DATASET_HELD_OUT;
    return options;
}
