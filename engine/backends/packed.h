/* Weights packed once: the copies that the backend `packed` keeps of parameters, laid out for its products.
 *
 * A copy is found by the parameter, its matrix (data, sizes, distance between rows) and the side that is transposed; when
 * the parameter's version has moved on, it is packed again in place. So two copies may exist of a weight in training: one for
 * the forward product, one for the gradient of the input. A copy outlives its parameter until packed_forget: whoever frees
 * parameters calls it, since a new tensor at the same address with the same version could not be told from the old one.
 * Used from the main thread only, like the kernels. */
#ifndef ENGINE_BACKENDS_PACKED_H
#define ENGINE_BACKENDS_PACKED_H

#include "engine/kernels.h"

/* Bytes of all copies held now. */
int64_t packed_bytes(void);

/* Frees all copies; the next product packs again. */
void    packed_forget(void);

#ifndef REAL_DOUBLE
/* The packed copy of g->b, current; NULL when g->parameter is NULL or there is no memory for a copy. */
const float *packed_weights(const Gemm *g);
#endif

#endif
