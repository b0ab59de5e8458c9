/* The table of backends: finds one by name and fills its gaps with the reference's kernels. */
#include "engine/kernels.h"

#include <string.h>

static const Backend *const partial_backends[] = {
#define BACKEND(name) &backend_##name,
#include "engine/backends/backends.def"
#undef BACKEND
};

enum { N_BACKENDS = sizeof partial_backends / sizeof *partial_backends };

Backend backend_complete(const Backend *partial) {
    Backend whole = *partial;
#define KERNEL(name, parameters) \
    if (whole.name == NULL) whole.name = backend_reference.name;
#include "engine/kernels.def"
#undef KERNEL
    return whole;
}

/* First called from the main thread, before any other thread asks: the table is filled once and then only read. */
const Backend *backend_find(const char *name) {
    static Backend whole_backends[N_BACKENDS];
    if (whole_backends[0].name == NULL)
        for (int i = N_BACKENDS - 1; i >= 0; i--) whole_backends[i] = backend_complete(partial_backends[i]);
    for (int i = 0; i < N_BACKENDS; i++)
        if (strcmp(whole_backends[i].name, name) == 0) return &whole_backends[i];
    return NULL;
}

const char *backend_names(void) {
    static const char names[] =
#define BACKEND(name) ", " #name
#include "engine/backends/backends.def"
#undef BACKEND
        ;
    return names + 2;
}

int backend_count(void) { return N_BACKENDS; }

const Backend *backend_partial(int i) { return i >= 0 && i < N_BACKENDS ? partial_backends[i] : NULL; }

const Backend *backend_default(void) {
    const Backend *openblas = backend_find("openblas");
    return openblas != NULL && (openblas->usable == NULL || openblas->usable()) ? openblas : backend_find("reference");
}
