/* What train, eval and bench do alike: build the model, open the data, begin a result with the machine in it. */
#ifndef HARNESS_SESSION_H
#define HARNESS_SESSION_H

#include "harness/data/dataset.h"
#include "harness/result.h"
#include "models/model.h"

typedef struct ModelChoice {
    const char *preset, *config;     /* one of them; config is a model file */
    const char *weights;             /* safetensors; NULL: random, of `seed` */
    bool        new_head, other_recursions;      /* LoadOptions */
    uint64_t    seed;
} ModelChoice;

/* Built and filled. sha256 is "" for random weights; what loading resampled or left out goes to stderr and into warning. */
bool session_model(Model **out, const ModelChoice *choice, char sha256[65], char warning[512], Error *err);

/* What session_model or model_load told about the weights, as warnings of the result. */
void session_warn_loading(Result *r, const char *warning);

typedef struct DataChoice {
    const char *name_or_dir, *split, *preprocess;   /* split NULL: test; preprocess NULL: deit for folders, else none */
    int         limit;
    const char *classes;             /* data.classes; NULL: all */
} DataChoice;

/* At the model's image size. */
bool session_data(Dataset **out, const DataChoice *choice, const Model *m, Error *err);

/* The test images of the block "data" in the file the model is of, likewise; what `over` gives besides a name stands above it. *out NULL: there is
 * no such block. */
bool session_config_data(Dataset **out, const char *config, const DataChoice *over, const Model *m, Error *err);

/* A result with machine and threads; measuring: threads are pinned unless told not to. experiment is borrowed. */
bool session_result(Result **out, const char *kind, const json_t *experiment, bool measuring, int argc, char *const *argv, Error *err);

/* The same without a look at this process's threads: for one that starts others to measure. */
bool session_result_of_machine(Result **out, const char *kind, const json_t *experiment, int argc, char *const *argv, Error *err);

/* Most memory this process had, bytes; -1 when unknown. */
int64_t session_peak_resident_bytes(void);

#endif
