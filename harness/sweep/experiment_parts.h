/* What the files behind experiment.h share. */
#ifndef HARNESS_EXPERIMENT_PARTS_H
#define HARNESS_EXPERIMENT_PARTS_H

#include "harness/sweep/experiment.h"

/* One combination of settings before anything is checked. */
typedef struct Draft {
    CellKind kind;
    Config   config;                             /* blocks question data model train measure weights */
    json_t  *factors;                            /* of its row; value null: to be read from the settings */
    json_t  *pointers;                           /* factor name -> pointer */
    char     cell[CELL_NAME_MAX];                /* the named cell it belongs to, "" */
    int      source;                             /* draft whose weights an evaluation takes; -1 */
    int      made;                               /* cell it became; -1 not yet, -2 in hand */
    int      seed_index;
} Draft;

typedef struct Drafts { Draft *at; int n, capacity; } Drafts;

typedef struct Maker {
    Experiment *e;
    Drafts     *drafts;
    int         capacity;            /* of e->cell */
} Maker;

/* Whether the file, after its size was taken, has the shape of an experiment; and its sizes, before. */
bool experiment_check_shape(const json_t *root, Error *err);
bool experiment_check_sizes(const json_t *sizes, Error *err);
/* Of the file as it is, before a size replaces what varies: texts for settings that some vary has. */
bool experiment_check_labels(const json_t *root, Error *err);
bool experiment_check_seeds(const json_t *seeds, Error *err);
/* Names that an evaluation is of. */
bool experiment_check_of(const json_t *of, const json_t *cells, const char *path, Error *err);

/* Cells from drafts; takes nothing. */
bool experiment_make_cells(Experiment *e, Drafts *d, Error *err);

/* c->id. */
bool cell_identify(const Experiment *e, Cell *c, const Model *m, Error *err);
/* The draft's factors that are still null, from its settings. */
void draft_fill_factors(Draft *d, json_t *settings);
/* The value at a pointer; NULL: none. */
json_t *cell_value_at(json_t *tree, const char *pointer);
void cell_name(Cell *c, const Draft *d, const Model *m);

Cell cell_empty(CellKind kind);
void cell_free(Cell *c);
/* Adds a cell, or the rows of one that is there already. Takes what c owns. *index: of it. */
bool cell_add(Maker *mk, Cell *c, int *index, Error *err);
/* Settings, model and identity of a cell whose needs are known. */
bool cell_read_settings(const Experiment *e, Draft *d, Cell *c, Model **m, Error *err);
bool draft_is_trained(const Draft *d);
/* Cells that d needs, made, into c. */
bool draft_take_references(Maker *mk, int draft, Cell *c, Error *err);
/* Adds to *err which cell it is about; false. */
bool draft_said(Error *err, const Draft *d);
/* The timings that draft i asks for. */
bool draft_time(Maker *mk, int i, Error *err);

#endif
