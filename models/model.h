/* What a model is to the rest of the suite: a record of functions (ModelKind), and a built instance (Model).
 *
 * A new method is one file with a `const ModelKind model_<name>` and one line in baselines/baselines.def.
 *
 *   model_new -> settings by its field table (defaults, preset, JSON) -> model_build -> model_load or params_init
 *
 * Ownership: a Model belongs to the caller of model_new / model_from_preset; release with model_destroy. */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include "engine/field.h"
#include "engine/ops.h"
#include "engine/params.h"

/* What a routed model decides, given from outside instead: for analyses, for dense twins and for parity cases. */
typedef struct RouteGiven {
    const int32_t *depth;            /* (B,n_tokens) recursions (or layers, blocks) of every token, or NULL: the router decides */
    const Real    *noise;            /* random draws of the router in training, laid out as the kind says, or NULL: drawn */
} RouteGiven;

typedef struct ModelInput {
    Tensor           *images;        /* (B,C,H,W), normalised */
    const int64_t    *image_id;      /* (B) identity in the data set */
    const RouteGiven *given;         /* NULL: nothing is given */
    bool              want_tokens;   /* ModelOutput.tokens are asked for (they cost a copy) */
} ModelInput;

/* One term of the auxiliary loss: auxiliary_loss is the sum of weight times value. */
typedef struct LossPart {
    const char *name;                /* "aux_bce" */
    Tensor     *value;               /* (1), unweighted */
    double      weight;
} LossPart;

enum { LOSS_PARTS_MAX = 8, ROUTE_STEPS_MAX = 64 };

typedef struct ModelOutput {
    Tensor  *logits;                 /* (B,classes); of a distilled pair: the mean of both heads */
    Tensor  *logits_class, *logits_dist;   /* (B,classes) each head of a distilled pair, else NULL */
    Tensor  *tokens;                 /* (M,D) tokens after the last norm, for distillation of tokens, when asked for; NULL: the kind has none */
    const TokenRows *rows;           /* of tokens */
    Tensor  *auxiliary_loss;         /* (1) added to the task's loss in training, or NULL */
    LossPart loss_part[LOSS_PARTS_MAX];
    int      n_loss_parts;
    Tensor  *logits_deep[ROUTE_STEPS_MAX]; /* (B,classes) of earlier recursions, for deep supervision in training */
    int      n_logits_deep;
    double   deep_weight;            /* of the mean of their cross entropies */
    int32_t *depth;                  /* (B,n_tokens) blocks or recursions applied to each token, or NULL: all alike */
    int      n_tokens, max_depth;    /* depth of every token when depth is NULL */
    int      n_prefix;               /* of n_tokens, those before the patches: class token, distillation token; patches follow row by row */
    int32_t *active;                 /* (B,n_steps) rows that each image had in each step (RouteCounts), or NULL: not routed */
    int      n_steps;
} ModelOutput;

/* Closed-form cost of one image, from the configuration alone. The names of the counting rules are in
 * harness/README.md: macs are matrix products and convolutions. */
typedef struct ModelCounts {
    int64_t macs;
    int64_t macs_attention;          /* of these: the two products with n^2 terms */
    int64_t macs_router;             /* of these: routers or predictors */
    int64_t layer_norm_elements, batch_norm_elements;
    int64_t activations;             /* outputs of matrix products and convolutions */
    int64_t elementwise;             /* softmax, GELU, residual and bias additions, norms (5 an element) */
} ModelCounts;

/* For routed models: tokens active at each step of one image; n_steps 0 means the nominal schedule. training: the forward pass of a
 * training step, where a kind may only mask what it skips at inference. */
typedef struct RouteCounts { int n_steps; int active[ROUTE_STEPS_MAX]; bool training; } RouteCounts;

typedef struct Preset {
    const char *name;                /* may hold {key}: an integer setting read from the name, "vit_d{embed_dim}_l{depth}_..." */
    const char *settings;            /* "key=value key=value" */
    const char *examples;            /* of a pattern: names listed, separated by blanks; else NULL */
} Preset;

typedef struct Model Model;

/* What a built model does that those who measure and draw it must know. */
typedef struct ModelTraits {
    const char *depth_unit;          /* what a token's depth counts; NULL: "blocks" */
    bool        routed;              /* which tokens go on hangs on weights, images or draws */
    bool        decides_depth;       /* how many do as well: no setting fixes the work */
    bool        batch_dependent;     /* the answer to an image hangs on the others of its batch */
} ModelTraits;

typedef struct ModelKind {
    const char   *name, *paper;
    const Field  *fields;
    const Preset *presets;           /* ends with name NULL */
    size_t        size_bytes;        /* of self */
    bool   (*prepare)(void *self, Error *err);                       /* derived sizes; refuses impossible settings by name */
    void   (*each_param)(void *self, Params *params);                /* declares every weight */
    void   (*forward)(void *self, Tape *tape, const ModelInput *in, ModelOutput *out);
    void   (*count)(const void *self, const RouteCounts *route, ModelCounts *out);   /* in another file; runs no op */
    void   (*image_shape)(const void *self, int *channels, int *height, int *width, int *classes);
    ModelTraits (*traits)(const void *self);                         /* NULL: none of them */
    /* State that is not learned by gradients (buffers). NULL: nothing to do.
     *   after_pass  after each training pass of a step, which may have several (accumulation): index counts from 0. What lasts must
     *               not change yet, for the step may still be given up and be taken again.
     *   after_step  after every optimizer step. */
    void   (*after_pass)(void *self, int index);
    void   (*after_step)(void *self);
    /* Initialises from a trained model of another kind by a named rule; false names what cannot be. NULL: never. */
    bool   (*init_from)(void *self, const Model *source, const char *rule, Error *err);
    /* Fits a tensor of other dimensions from a weight file to p (resampling); false: cannot. NULL: never. */
    bool   (*adapt)(const void *self, const Param *p, int n_dims, const int64_t dim[], const float *data, Real *out);
    /* Another name under which weight files may hold the parameter `name`; false: there is none. NULL: never. */
    bool   (*known_as)(const char *name, char other[PARAM_NAME_MAX]);
} ModelKind;

struct Model {
    const ModelKind *kind;
    void            *self;
    Params          *params;         /* after model_build */
    char             preset[64];     /* "" when configured by keys */
};

bool model_new(Model **out, const ModelKind *kind, Error *err);         /* settings at their fallbacks */
bool model_build(Model *m, Error *err);                                  /* prepare and declare; weights uninitialised */
void model_destroy(Model *m);

ModelTraits model_traits(const Model *m);                                /* of a built model; depth_unit is never NULL */

/* Closed-form MACs of the B images of a forward pass, each by the rows that it had active (ModelOutput.active; without them: the
 * nominal cost). Adds to *sum, and widens *min and *max. */
void model_count_images(const Model *m, const ModelOutput *y, int B, bool training, int64_t *sum, int64_t *min, int64_t *max);

typedef struct LoadOptions {
    bool new_head;                   /* leave out a classifier of another size, keeping the initial one */
    bool any_head_new;               /* and one of the same size too: the classes are others */
    bool allow_nonfinite;
    bool other_recursions;           /* trained with another number of recursions: what each has of its own (routers.R., loop.R.) is left out where there
                                        are fewer now, and further ones take those of the last trained one */
} LoadOptions;

/* Reads every tensor by name. Missing, extra, misshaped, non-finite ones and those that hold no floats are listed in one error;
 * the weights then are part old and part new. sha256 (65 bytes or
 * NULL) gets the digest of the very bytes read; warning (512 bytes or NULL) what was resampled or left out, "" if nothing. */
bool model_load(Model *m, const char *path, LoadOptions options, char sha256[65], char warning[512], Error *err);
bool model_save(const Model *m, const char *path, char sha256[65], Error *err);

#endif
