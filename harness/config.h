/* Configuration files: JSON read through field tables, so that every key is consumed, checked and named when it is wrong.
 *
 *     model file        {"model": "vit", "img_size": 32, ...}  or  {"preset": "vit_d96_l6_p4_28", "depth": 4}
 *     training or       {"question": "...", "data": {...}, "model": {...}, "train": {...}, "measure": {...},
 *     experiment file    "vary": {"/train/seed": [1, 2, 3]}}
 *
 * A command line may override: train.epochs=2 sets /train/epochs. The value is JSON if it parses, else a text.
 * Errors are EXIT_BAD_INPUT and name the file and the JSON pointer.
 *
 * Ownership
 *   config_load          fills a Config of the caller's; config_release
 *   config_read_model    *out is the caller's; model_destroy
 *   fields_to_json, ...  the caller; json_decref */
#ifndef HARNESS_CONFIG_H
#define HARNESS_CONFIG_H

#include "engine/field.h"
#include "engine/json.h"
#include "harness/data/data_settings.h"
#include "harness/train/train_settings.h"
#include "models/model.h"

/* Sets every field of *self: from object, else to its fallback. A key that is in no field, a value of the wrong type or out of
 * range are errors. path: JSON pointer of the object, "" for a file's root. */
bool config_read_block(const json_t *object, const Field *fields, void *self, const char *path, Error *err);

/* A built model, its weights uninitialised, from a block with "model" or "preset" (whose settings further keys override).
 * EXIT_MACHINE when there is no memory for it. */
bool config_read_model(const json_t *block, Model **out, const char *path, Error *err);

/* From a model file, or the "model" block of a training or experiment file. */
bool config_load_model_file(const char *path, Model **out, Error *err);

/* Every field with its value; NULL: no memory. */
json_t *fields_to_json(const Field *fields, const void *self);
/* The same with "model": kind first; the preset it came from is left out, since it decides nothing more. */
json_t *model_to_json(const Model *m);
/* {"data": ..., "model": ..., "train": ...} with every setting that holds, NULLs left out. NULL: no memory. */
json_t *settings_to_json(const DataSettings *data, const Model *model, const TrainSettings *train);

/* path/key with the two characters escaped that a JSON pointer reserves. */
enum { CONFIG_POINTER_MAX = 192, CONFIG_CAPTION_MAX = 100 };
/* "must be <allowed>, got <value>"; false. */
bool config_wrong_type(const json_t *value, const char *allowed, const char *path, Error *err);
/* A file, {"cell": NAME}, null, or nothing. */
bool config_check_weights(const json_t *value, const char *path, Error *err);
/* A text that figures have room for. */
bool config_check_caption(const json_t *value, const char *path, Error *err);
void config_join_pointer(char text[CONFIG_POINTER_MAX], const char *path, const char *key);
/* False, with an error that names the nearest known key, or all: of fields (or NULL) and of others (or NULL). */
bool config_unknown_key(const Field *fields, const char *const others[], const char *key, const char *path, Error *err);
bool config_is_one_of(const char *const names[], const char *key);
const char *config_nearest(const char *const names[], const char *key);      /* NULL: none is near */

typedef struct Config {
    json_t *tree;              /* an object; overrides applied */
    char    path[256];         /* of the file, for messages */
} Config;

/* Which blocks a root may have: data model train measure question, and those of an experiment of many cells. */
extern const char *const config_blocks[];

/* Reads a training or experiment file and applies overrides "key.key=value" in their order. Checks that there are no
 * other blocks, that question is a text and the rest are objects, and vary; the blocks' keys are checked when they are read. */
bool config_load(Config *out, const char *path, int n_overrides, char *const override[], Error *err);
void config_release(Config *c);                    /* zeroed is fine */
bool config_override(Config *c, const char *text, Error *err);          /* one "key.key=value" */
/* A block that makes the file an experiment of many cells, for `run`; NULL: none. */
const char *config_is_sweep(const Config *c);

/* NULL when the file has none. */
const json_t *config_block(const Config *c, const char *name);

/* Sets the value at a JSON pointer into one of the blocks ("/train/epochs"), making objects on the way. Takes the
 * reference to value, also when it fails. */
bool config_set(Config *c, const char *pointer, json_t *value, Error *err);

/* The blocks as settings; one that is missing is all fallbacks (model: an error). */
bool config_data (const Config *c, DataSettings *out, Error *err);
bool config_train(const Config *c, TrainSettings *out, Error *err);
bool config_model(const Config *c, Model **out, Error *err);

#endif
