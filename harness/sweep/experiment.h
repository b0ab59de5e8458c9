/* An experiment file, expanded into the cells it asks for (experiments/README.md has the format).
 *
 *   experiment_load -> cells in the order they run, each behind those whose weights it takes -> experiment_free
 *
 *   experiment.c           the file, its size, how blocks combine: one draft a combination
 *   experiment_shape.c     whether the file has the shape of one
 *   vary.c                 combinations of values
 *   experiment_cells.c     drafts to cells: settings after all fallbacks, which cell needs which
 *   experiment_identity.c  what a cell is, what it is called, which rows it has
 *   experiment_timing.c    the cells that time others
 *
 * Ownership: an Experiment is the caller's; experiment_free (zeroed is fine). */
#ifndef HARNESS_EXPERIMENT_H
#define HARNESS_EXPERIMENT_H

#include "harness/config.h"

enum { CELL_ID_SIZE = 17, CELL_NAME_MAX = 128, EXPERIMENT_CELLS_MAX = 4096 };

typedef enum CellKind { CELL_TRAIN, CELL_EVALUATE, CELL_TIME } CellKind;
extern const char *const cell_kinds[];           /* "train", "eval", "bench": the command that makes it, and the kind of its result */

/* What a cell may take from another. */
typedef enum CellRole { NEEDS_WEIGHTS, NEEDS_TEACHER, NEEDS_SOURCE, N_CELL_ROLES } CellRole;

typedef struct MeasureSettings {
    IntList   batch, threads;                    /* threads empty: those of the command line */
    bool      train;
    int       profile;                           /* index into measure_profiles; 0: not said */
    FieldText backend;                           /* "": that of the command line */
} MeasureSettings;
extern const Field       measure_fields[];
extern const char *const measure_profiles[];

typedef struct Cell {
    CellKind      kind;
    char          id[CELL_ID_SIZE];              /* of what decides its numbers */
    char          name[CELL_NAME_MAX];           /* for people, and the beginning of its directory's name */
    json_t       *config;                        /* blocks as the file has them; where it says {"cell": ...} the path is still to come */
    json_t       *settings;                      /* "data", "model", "train" after all fallbacks */
    json_t       *rows;                          /* array of objects: the factors of every row that is this cell */
    int           need[N_CELL_ROLES];            /* cells whose weights it takes; -1: none */
    char          weights[512];                  /* a file to start from, of a cell without need[NEEDS_WEIGHTS]; "" random */
    int           batch, threads;                /* of CELL_TIME */
    char          backend[32];
    bool          train_step;
    const char   *profile;                       /* of CELL_TIME */
    int64_t       params, macs;                  /* macs of one image's forward pass, nominal */
    DataSettings  data;
    TrainSettings train;                         /* of CELL_TRAIN */
} Cell;

typedef struct Experiment {
    char     name[128], path[256], size[16];     /* size "" where the file has none */
    char    *question, *caption;
    json_t  *factors;                            /* array of {"name", "label", "pointer"} */
    json_t  *order;                              /* every row once, in the order of the file: [index of its cell, factors] */
    Cell    *cell;
    int      n_cells, n_combinations;            /* of settings, seeds included, before those that come out alike became one cell */
    const char *profile;                         /* of the command line, or NULL */
} Experiment;

typedef struct ExperimentChoice {
    const char  *path, *size, *profile;          /* size NULL: "small" where the file has sizes; profile NULL: as the file says, else by the size */
    int          n_overrides;
    char *const *override;                       /* come last, on every cell */
} ExperimentChoice;

bool experiment_load(Experiment *out, const ExperimentChoice *choice, Error *err);
void experiment_free(Experiment *e);
/* An error when there is nothing to do in it. */
bool experiment_asks(const Experiment *e, Error *err);

/* {"experiment", "size", "question", "caption", "factors", "cells": [...]}: what DIR/experiment.json holds. directory: of cell i, or NULL. */
json_t *experiment_to_json(const Experiment *e, const char *(*directory)(void *self, int cell), void *self);

#endif
