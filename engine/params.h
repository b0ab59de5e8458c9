/* The parameter registry: every weight of a model once, by name.
 *
 * A model declares its weights in one walk (ModelKind.each_param); creating, counting, initialising, loading, saving,
 * decaying and optimising all use what that walk left here. A tied weight is declared once and used often.
 *
 * Ownership: the registry belongs to the caller of params_create; tensors, names and optimizer state to the registry. */
#ifndef ENGINE_PARAMS_H
#define ENGINE_PARAMS_H

#include "engine/arena.h"
#include "engine/rng.h"
#include "engine/kernels.h"

typedef enum Init {
    INIT_ZERO, INIT_ONE,
    INIT_NORMAL_002,            /* N(0, 0.02): timm's truncated normal, whose cut at 2 is 100 sd away */
    INIT_NORMAL_1E6,            /* N(0, 1e-6): class token of current timm */
    INIT_CONV_DEFAULT           /* uniform +-1/sqrt(fan_in), fan_in from the tensor's own dims (PyTorch's default) */
} Init;

typedef enum ParamRole { PARAM_DECAYED, PARAM_PLAIN, PARAM_BUFFER } ParamRole;   /* a buffer is saved, not optimised */

enum { PARAM_NAME_MAX = 96 };

typedef struct Param {
    char      name[PARAM_NAME_MAX];
    Tensor   *tensor;
    Init      init;
    int       fan_in;           /* INIT_CONV_DEFAULT of a bias: the weight's; 0: from the dims */
    ParamRole role;
    int       depth;            /* for layer-wise learning rates: 0 embedding, i+1 block i, ... ; -1 head */
    bool      classifier;       /* depends on the classes: new where a trained model learns others */
    int       rate_shift;       /* groups by which layer-wise rates place it above depth: stems that go with the first block, say */
    int       uses;             /* how often a pass applies it at most: above 1 it is shared */
    double    lr_scale;         /* of the learning rate; 1 unless training says otherwise */
    int64_t   lr_delay;         /* steps taken at rate 0 before that; optimizer state gathers in them */
    bool      frozen;           /* stays as it is: no gradient, no optimizer state, no decay */
    Real     *m, *v;            /* optimizer state, NULL until an optimizer asks */
    Real     *average;          /* running average of the data, NULL until training asks */
} Param;

typedef struct Params Params;

typedef struct ParamSpec {
    Init      init;
    ParamRole role;
    int       depth, fan_in;
} ParamSpec;

bool   params_create(Params **out, Error *err);
void   params_destroy(Params *p);
/* Declares one tensor: allocates data, puts it into *slot. Names are unique (CHECK). Sticky on failure. */
void   param_add(Params *p, Tensor **slot, ParamSpec spec, int n_dims, const int64_t dim[], const char *name_format, ...)
    __attribute__((format(printf, 6, 7)));
bool   params_failed(const Params *p);

int          params_count(const Params *p);
Param       *params_at(Params *p, int i);
Param       *params_find(Params *p, const char *name);
int64_t      params_elements(const Params *p);                      /* trainable numbers, unique */
int64_t      params_elements_unrolled(const Params *p);             /* the same if every use had weights of its own */
int64_t      params_bytes(const Params *p);

/* Numbers computed from weights and kept with them, such as folded convolutions: neither saved, optimised nor counted.
 * NULL when there is no memory, which is sticky as in param_add. */
Tensor *param_derived(Params *p, int n_dims, const int64_t dim[]);
void    tensor_touch(Tensor *t);                                    /* its data changed; of parameters and derived tensors */

void params_init(Params *p, uint64_t seed);                         /* stream "init", addressed by name: order does not matter */
bool params_want_grads(Params *p, Error *err);                      /* allocates gradients; frozen ones get none */
void params_zero_grads(Params *p);                                  /* marks them fresh; no memory is touched */
void params_settle_grads(Params *p);                                /* zeroes those nothing arrived at */
double params_grad_norm(Params *p, const Backend *backend);  /* L2 over all */
bool params_want_state(Params *p, Error *err);                      /* allocates m and v, zeroed */
/* The running average of all tensors, buffers too: begins at what they are now. */
bool params_want_average(Params *p, Error *err);
void params_average(Params *p, const Backend *backend, double decay);   /* average += (1 - decay) (data - average) */
void params_swap_average(Params *p);                                /* data and average change places; twice is as before */
void params_touch(Params *p);                                       /* data changed: packed copies are stale */
void param_touch(Param *p);

#endif
