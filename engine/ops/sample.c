/* Inputs for the samples of ops: the same numbers on every machine. */
#include "engine/ops.h"
#include "engine/rng.h"

#include <string.h>

Tensor *sample_tensor(Tape *tape, int which, int n_dims, const int64_t dim[]) {
    Tensor *x = tensor_new(tape, n_dims, dim);
    const RngStream stream = rng_stream(1, "sample");
    for (int64_t i = 0; x->data != NULL && i < tensor_count(x); i++)
        x->data[i] = (Real)rng_normal(stream, (RngKey){.layer = which, .channel = i});
    x->needs_grad = true;
    return x;
}

int32_t *sample_index(Tape *tape, int n, const int32_t index[]) {
    int32_t *copy = tape_alloc(tape, (size_t)n * sizeof *copy);
    if (copy != NULL) memcpy(copy, index, (size_t)n * sizeof *copy);
    return copy;
}

TokenRows *sample_rows(Tape *tape, int n_images, const int lengths[]) {
    TokenRows *rows = tape_alloc(tape, sizeof *rows);
    int M = 0;
    for (int b = 0; b < n_images; b++) M += lengths[b];
    int32_t *offset = tape_alloc(tape, (size_t)(n_images + 1) * sizeof *offset);
    int32_t *patch  = tape_alloc(tape, (size_t)M * sizeof *patch);
    int64_t *image  = tape_alloc(tape, (size_t)n_images * sizeof *image);
    if (rows == NULL || offset == NULL || patch == NULL || image == NULL) return NULL;
    offset[0] = 0;
    for (int b = 0; b < n_images; b++) {
        offset[b + 1] = offset[b] + lengths[b];
        image[b]      = 100 + b;
        for (int i = 0; i < lengths[b]; i++) patch[offset[b] + i] = i - 1;
    }
    *rows = (TokenRows){.n_images = n_images, .offset = offset, .patch = patch, .image_id = image};
    return rows;
}
