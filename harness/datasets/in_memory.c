/* Data sets whose pixels and labels lie in memory (in_memory.h). */
#include "harness/datasets/in_memory.h"

#include <stdlib.h>

bool in_memory_view(const Dataset *d, int64_t index, Image *image, int *label, Error *err) {
    (void)err;
    const InMemory *m     = d->state;
    const int64_t   bytes = (int64_t)m->height * m->width * d->channels;
    *image = (Image){.width = m->width, .height = m->height, .channels = d->channels, .orientation = 1,
                     .pixels = m->pixels + index * bytes};
    *label = m->labels[index];
    return true;
}

int in_memory_label(const Dataset *d, int64_t index) {
    const InMemory *m = d->state;
    return m->labels[index];
}

void in_memory_close(Dataset *d) {
    InMemory *m = d->state;
    if (m == NULL) return;
    free(m->pixels_owner);
    free(m->labels_owner);
    free(m);
    d->state = NULL;
}
