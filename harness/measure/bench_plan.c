/* How much is measured, and in which order (bench.h). */
#include "harness/measure/bench.h"

#include "engine/rng.h"

#include <math.h>
#include <string.h>

static const Effort efforts[] = {
    {.name = "smoke",    .processes = 6,  .min_samples = 3,   .max_samples = 200,  .warmup_passes = 2, .min_seconds = 0.02, .warmup_seconds = 0.05},
    {.name = "standard", .processes = 9,  .min_samples = 30,  .max_samples = 4000, .warmup_passes = 8, .min_seconds = 3, .warmup_seconds = 10, .quiet_seconds = 20},
    {.name = "paper",    .processes = 10, .min_samples = 100, .max_samples = 4000, .warmup_passes = 8, .min_seconds = 6, .warmup_seconds = 30, .quiet_seconds = 60},
};
enum { N_EFFORTS = sizeof efforts / sizeof *efforts };

const Effort *effort_find(const char *name, Error *err) {
    for (int i = 0; i < N_EFFORTS; i++)
        if (strcmp(efforts[i].name, name) == 0) return &efforts[i];
    FAIL(err, "--profile", "must be smoke, standard or paper; got \"%.40s\"", name);
    return NULL;
}

const char *effort_shortfall(const Effort *made) {
    Error         unused;
    const Effort *asked = effort_find(made->name, &unused);
    CHECK(asked != NULL, "a profile '%s'", made->name);
    if (made->processes < asked->processes) return "--processes";
    if (made->min_samples < asked->min_samples) return "--samples";
    if (made->min_seconds < asked->min_seconds) return "--seconds";
    return NULL;
}

void plan_turns(int *order, int n_blocks, int n_cells, uint64_t seed) {
    enum { MAX = 4096 };
    int64_t block[MAX];
    CHECK(n_cells >= 1 && n_cells <= MAX, "%d cells in a block", n_cells);
    for (int b = 0; b < n_blocks; b++) {
        rng_permutation(rng_stream(seed, "bench"), b, n_cells, block);
        for (int i = 0; i < n_cells; i++) order[b * n_cells + i] = (int)block[i];
    }
}

/* Kendall's tau-b between cell index and place in time. Places are the turns' numbers, so random blocks give about 0 and cells
 * measured one after another about 1. */
double plan_order_tau(const int *order, int n_blocks, int n_cells) {
    const int n = n_blocks * n_cells;
    double    rises = 0, pairs = 0;
    if (n_cells < 2) return NAN;
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            if (order[i] == order[k]) continue;              /* tied in the cell */
            rises += order[k] > order[i] ? 1 : -1;
            pairs++;
        }
    /* tau-b: places have no ties, cells have n_cells groups of n_blocks */
    const double all = 0.5 * n * (n - 1.0);
    return rises / sqrt(all * pairs);
}
