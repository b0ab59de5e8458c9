/* The plan of one process: where cells lie, which are its own, and the file that says which cell is which row (sweep.h). */
#include "harness/sweep/sweep.h"

#include "engine/clock.h"
#include "engine/file.h"
#include "harness/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a cell costs beside others, from the settings alone, so that every shard divides alike: images times MACs. */
static double rough_cost(const Cell *c) {
    const double unknown = 50000;                /* images of a split, where no limit says fewer */
    if (c->kind == CELL_TIME) return 0;
    if (c->kind == CELL_EVALUATE) return (c->data.test_limit > 0 ? c->data.test_limit : unknown / 5) * (double)c->macs;
    const double images = c->train.steps > 0 ? (double)c->train.steps * c->train.batch_size * c->train.accumulate
                                             : c->train.epochs * (c->data.limit > 0 ? c->data.limit : unknown);
    return 3 * images * (double)c->macs;
}

static int group_of(const int *parent, int i) {
    while (parent[i] != i) i = parent[i];
    return i;
}

/* Cells that need each other stay together; the dearest groups are dealt first, each to the shard with the least so far. */
static bool divide(Sweep *s, Shard shard, Error *err) {
    const int n      = s->e->n_cells;
    int      *parent = malloc((size_t)n * sizeof *parent);
    double   *cost   = calloc((size_t)n, sizeof *cost), *load = calloc((size_t)shard.count, sizeof *load);
    const bool ok    = (parent != NULL && cost != NULL && load != NULL) || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    for (int i = 0; ok && i < n; i++) {
        const Cell *c = &s->e->cell[i];
        parent[i] = i;
        if (c->kind == CELL_TIME) continue;
        for (int r = 0; r < N_CELL_ROLES; r++)
            if (c->need[r] >= 0) parent[group_of(parent, c->need[r])] = group_of(parent, i);
    }
    for (int i = 0; ok && i < n; i++) cost[group_of(parent, i)] += rough_cost(&s->e->cell[i]);
    for (int left = n; ok && left > 0; left--) {
        int dearest = -1, least = 0;
        for (int i = 0; i < n; i++)
            if (cost[i] >= 0 && parent[i] == i && (dearest < 0 || cost[i] > cost[dearest])) dearest = i;
        if (dearest < 0) break;
        for (int k = 1; k < shard.count; k++)
            if (load[k] < load[least]) least = k;
        load[least] += cost[dearest];
        cost[dearest] = -1;
        for (int i = 0; i < n; i++)
            if (group_of(parent, i) == dearest) s->at[i].mine = s->e->cell[i].kind == CELL_TIME || least == shard.index - 1;
    }
    free(parent);
    free(cost);
    free(load);
    return ok;
}

static const char *row_name(const json_t *row) { return json_string_value(json_object_get(row, "cell")); }

/* True when a row of cell i is of the file's cell of that name. */
static bool is_of(const Sweep *s, int i, const char *name) {
    size_t        k;
    const json_t *row;
    json_array_foreach(s->e->cell[i].rows, k, row)
        if (row_name(row) != NULL && strcmp(row_name(row), name) == 0) return true;
    return false;
}

static bool no_such_cell(const Sweep *s, const char *name, Error *err) {
    char   known[512] = "";
    size_t n = 0;
    json_t *told = json_object();
    for (int i = 0; i < s->e->n_cells; i++) {
        size_t        k;
        const json_t *row;
        json_array_foreach(s->e->cell[i].rows, k, row) {
            const char *one = row_name(row);
            if (one == NULL || json_object_get(told, one) != NULL || n >= sizeof known) continue;
            json_object_set_new(told, one, json_true());
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", one);
        }
    }
    json_decref(told);
    return FAIL(err, "--cells", "\"%.60s\" is no name of a cell of %.200s; %s%s", name, s->e->path, known[0] != '\0' ? "there are " : "its cells have no names", known);
}

/* Leaves those that were asked for, and what they need. */
static bool choose(Sweep *s, Error *err) {
    const int n      = s->e->n_cells;
    bool     *chosen = calloc((size_t)n, sizeof *chosen), ok = chosen != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    for (int k = 0; ok && k < option_list_length(s->cells); k++) {
        char *name  = option_list_item(s->cells, k);
        bool  found = false;
        for (int i = 0; name != NULL && i < n; i++)
            if (is_of(s, i, name)) found = chosen[i] = true;
        ok = found || (name != NULL ? no_such_cell(s, name, err) : FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory"));
        free(name);
    }
    for (bool more = ok; more;) {
        more = false;
        for (int i = 0; i < n; i++)
            for (int r = 0; r < N_CELL_ROLES && chosen[i]; r++) {
                const int need = s->e->cell[i].need[r];
                if (need >= 0 && !chosen[need]) more = chosen[need] = true;
            }
    }
    for (int i = 0; ok && i < n; i++) s->at[i].mine = s->at[i].mine && chosen[i];
    free(chosen);
    return ok;
}

bool sweep_shard_option(const char *text, Shard *out, Error *err) {
    int end = 0;
    *out = (Shard){1, 1};
    if (text == NULL) return true;
    if (sscanf(text, "%d/%d%n", &out->index, &out->count, &end) == 2 && text[end] == '\0' && out->count >= 1 && out->count <= 10000 && out->index >= 1
        && out->index <= out->count)
        return true;
    return FAIL(err, "--shard", "must be I/N with I in [1, N], as in 2/4; got \"%.40s\"", text);
}

bool sweep_open(Sweep *s, Experiment *e, const char *dir, Shard shard, bool take_over, Error *err) {
    *s = (Sweep){.e = e, .macs_per_s = NAN, .quiet = s->quiet, .deadline_ns = s->deadline_ns, .cells = s->cells, .take_over = take_over, .at = calloc((size_t)e->n_cells, sizeof *s->at)};
    if (s->at == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    const bool usual = e->size[0] == '\0' || strcmp(e->size, "small") == 0;
    const int  n     = dir != NULL ? snprintf(s->dir, sizeof s->dir, "%s", dir)
                                   : snprintf(s->dir, sizeof s->dir, "results/%s%s%s", e->name, usual ? "" : "-", usual ? "" : e->size);
    size_t     end   = strlen(s->dir);
    if (n <= 0 || n >= SWEEP_PATH - 200) return FAIL(err, "--out", "must be a path of at most %d bytes", SWEEP_PATH - 201);
    if (strchr(s->dir, ',') != NULL) return FAIL(err, "--out", "must be a path without commas, which join the paths of models that are timed; got \"%.200s\"", s->dir);
    while (end > 1 && s->dir[end - 1] == '/') s->dir[--end] = '\0';
    const char *slash = strrchr(s->dir, '/');
    if (slash == NULL) snprintf(s->root, sizeof s->root, ".");
    else snprintf(s->root, sizeof s->root, "%.*s", slash == s->dir ? 1 : (int)(slash - s->dir), s->dir);
    if (take_over && !store_choose_locks(s, err)) return false;
    if (!divide(s, shard, err) || (s->cells != NULL && !choose(s, err))) return false;
    for (int i = 0; i < e->n_cells; i++) {
        s->at[i].seconds = NAN;
        if (!store_look(s, i, err)) return false;
    }
    return true;
}

void sweep_close(Sweep *s) {
    free(s->at);
    s->at = NULL;
}

bool sweep_out_of_time(const Sweep *s) { return s->deadline_ns != 0 && clock_now_ns() >= s->deadline_ns; }

static const char *directory_of(void *self, int i) {
    const Sweep *s     = self;
    const char  *slash = strrchr(s->at[i].dir, '/');
    return slash != NULL ? slash + 1 : s->at[i].dir;
}

json_t *sweep_to_json(const Sweep *s) { return experiment_to_json(s->e, directory_of, (void *)s); }

/* Another process may be at it with the same text: then it is left to that one. */
bool sweep_write_plan(const Sweep *s, Error *err) {
    char    path[SWEEP_PATH + 32];
    json_t *tree = sweep_to_json(s), *old = NULL;
    Error   unused = {0};
    int     fd     = -1;
    snprintf(path, sizeof path, "%s/experiment.json", s->dir);
    bool ok = tree != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    ok = ok && file_make_output_dir(s->dir, err) && store_lock(s, STORE_PLAN, &fd, err);
    if (ok && fd >= 0) {
        file_remove_temporaries(s->dir);
        const bool same = json_load_file_checked(&old, path, 0, &unused) && json_equal(old, tree);
        ok = same || json_save_file(tree, path, err);
        store_unlock(s, STORE_PLAN, fd);
    }
    json_decref(old);
    json_decref(tree);
    return ok;
}
