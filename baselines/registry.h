/* Finds models by kind and by preset; the only place that knows all kinds. */
#ifndef BASELINES_REGISTRY_H
#define BASELINES_REGISTRY_H

#include "models/model.h"

int              model_kind_count(void);
const ModelKind *model_kind_at(int i);
const ModelKind *model_find(const char *name);                      /* NULL when unknown */
const char      *model_names(void);                                 /* "vit, mor_vit, ..." */

/* A built model from a preset's name ("vit_small_patch16_224", "vit_d192_l6_p4_28"). override: "key=value ..." or NULL. */
bool model_from_preset(Model **out, const char *preset, const char *override, Error *err);
/* Applies a preset to a model not yet built; false when the name is unknown (with the nearest known one). */
bool preset_find(const char *preset, const ModelKind **kind, char *settings, int size, Error *err);
/* Names to list, in order; NULL past the end. */
const char *preset_name(int i, const ModelKind **kind);

#define MODEL(name) extern const ModelKind model_##name;
#include "baselines/baselines.def"
#undef MODEL

#endif
