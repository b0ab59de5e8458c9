/* What must hold of every experiment that is accepted: for fuzz targets. */
#ifndef TESTS_FUZZ_EXPERIMENT_INVARIANTS_H
#define TESTS_FUZZ_EXPERIMENT_INVARIANTS_H

#include "harness/documents.h"
#include "harness/sweep/experiment.h"
#include "tests/fuzz/bytes_file.h"

#include <stdlib.h>
#include <string.h>

static inline void check_experiment(const Experiment *e) {
    CHECK(e->n_cells >= 0 && e->n_cells <= EXPERIMENT_CELLS_MAX, "%d cells", e->n_cells);
    for (int i = 0; i < e->n_cells; i++) {
        const Cell *c = &e->cell[i];
        CHECK(strlen(c->id) == 16 && strspn(c->id, "0123456789abcdef") == 16, "cell %d has the id '%s'", i, c->id);
        CHECK(c->name[0] != '\0' && strpbrk(c->name, "/\n\x1b") == NULL && c->name[0] != '.', "a directory cannot be called '%s'", c->name);
        CHECK(json_array_size(c->rows) > 0, "cell %d is of no row", i);
        for (int k = 0; k < N_CELL_ROLES; k++) CHECK(c->need[k] < i, "cell %d needs cell %d, which comes later", i, c->need[k]);
        for (int k = 0; k < i; k++) CHECK(strcmp(c->id, e->cell[k].id) != 0, "cells %d and %d are one", k, i);
    }
    Error   err  = {0};
    json_t *tree = experiment_to_json(e, NULL, NULL);
    CHECK(tree != NULL, "what was accepted cannot be written");
    CHECK(document_check(document_find("morbench.experiment/1"), tree, &err), "what is written is no document: %s %s", err.field, err.message);
    json_decref(tree);
}

/* The file in its canonical form asks for the same cells, in another order where what varies was in another. */
static inline void check_canonical(const Experiment *e, const json_t *file) {
    Experiment again;
    Error      err  = {0};
    char      *text = json_canonical_text(file);
    CHECK(text != NULL, "no canonical form");
    CHECK(experiment_load(&again, &(ExperimentChoice){.path = bytes_file(text, strlen(text))}, &err), "its canonical form is refused: %s %s", err.field, err.message);
    CHECK(again.n_cells == e->n_cells, "its canonical form asks for %d cells, not %d", again.n_cells, e->n_cells);
    for (int i = 0; i < e->n_cells; i++) {
        int k = 0;
        while (k < again.n_cells && strcmp(again.cell[k].id, e->cell[i].id) != 0) k++;
        CHECK(k < again.n_cells, "cell %d is not in its canonical form", i);
    }
    experiment_free(&again);
    free(text);
}

#endif
