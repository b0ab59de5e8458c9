/* Running an experiment's cells: where each lies, which are done, who holds one, how long the rest takes.
 *
 *   sweep_open -> sweep_estimate -> sweep_run, sweep_time -> sweep_close
 *
 *   sweep.c            the plan of one process: shards, order, what is left
 *   sweep_store.c      a cell's directory: is it done, taken over from another experiment, locked
 *   sweep_child.c      one of our own commands as a process: its progress, its end
 *   sweep_cells.c      training and evaluating: each cell a process, so that one that crashes leaves the others
 *   sweep_timing.c     timing: alone on the machine, all cells in turns
 *   sweep_estimate.c   how long, how much disk
 *
 * A cell is done when its directory holds a run.json with a good digest and status ok, and by nothing else. Whoever works on a cell
 * holds ROOT/.locks/<id> with flock, and so does the process it starts: a lock ends with its holders, however they end. ROOT is the
 * directory above the experiment's, so that experiments side by side share cells; where nothing may be written in it, DIR/.locks does. */
#ifndef HARNESS_SWEEP_H
#define HARNESS_SWEEP_H

#include "harness/sweep/experiment.h"

typedef enum CellState { CELL_MISSING, CELL_BEGUN, CELL_FAILED, CELL_DONE, CELL_DAMAGED, N_CELL_STATES } CellState;
extern const char *const cell_states[];

enum { SWEEP_PATH = 4096 };

typedef struct Place {
    char      dir[SWEEP_PATH];
    CellState state;
    char      failure[512];          /* of a cell that failed: what it said; of one that is invalid: why */
    bool      invalid;               /* done, but its numbers do not count (warnings_invalidate) */
    bool      mine;                  /* of this shard, or timed; and among the cells asked for, or needed by one */
    bool      given_up;              /* failed in this process, or needs one that did */
    double    work_macs, seconds;    /* estimated; seconds NAN: unknown */
    int64_t   disk_bytes;
} Place;

typedef struct Sweep {
    Experiment   *e;
    char          dir[SWEEP_PATH], root[SWEEP_PATH], locks[SWEEP_PATH + 8];
    Place        *at;                /* one a cell */
    double        macs_per_s;        /* of training; NAN: unknown */
    char          rate_from[160];    /* where that comes from */
    double        took_s, guessed_s; /* cells done by this process: really, and as estimated */
    char          data_missing[512]; /* why the data cannot be opened, "" when it can */
    uint64_t      deadline_ns;       /* 0: none */
    bool          quiet, take_over;
    const char   *cells;             /* names of cells in the file, with commas between; NULL: all */
} Sweep;

typedef struct Shard { int index, count; } Shard;           /* index 1 .. count */
/* "2/4"; NULL: all of it. */
bool sweep_shard_option(const char *text, Shard *out, Error *err);

/* dir NULL: results/NAME, or results/NAME-SIZE. Reads which cells are done. take_over: what experiments beside it have done becomes its own;
 * else nothing is written. Keeps quiet, deadline_ns and cells. */
bool sweep_open(Sweep *s, Experiment *e, const char *dir, Shard shard, bool take_over, Error *err);
void sweep_close(Sweep *s);
/* Puts seconds, work and disk. Times one training step where nothing was measured yet. */
bool sweep_estimate(Sweep *s, Error *err);

/* Trains and evaluates what is missing and mine. A cell that fails is remembered and leaves the others; false only when the sweep
 * itself cannot go on: interrupted, out of time (EXIT_TERMINATED), or a disk that is full. */
bool sweep_run(Sweep *s, Error *err);
/* Times what is missing, after all of it is trained. */
bool sweep_time(Sweep *s, Error *err);

/* DIR/experiment.json: which cell is which row. */
bool sweep_write_plan(const Sweep *s, Error *err);
json_t *sweep_to_json(const Sweep *s);

/* ---- between the files of the sweep ---- */

/* Reads the state of cell i from its directory; one that another experiment beside this has done is taken over. */
bool store_look(Sweep *s, int i, Error *err);
/* *fd -1: another process holds it. i STORE_PLAN: DIR/experiment.json; STORE_TIMING: DIR/.timing. */
enum { STORE_PLAN = -1, STORE_TIMING = -2 };
bool store_lock(const Sweep *s, int i, int *fd, Error *err);
/* ROOT/.locks, or where that cannot be written DIR/.locks; made. */
bool store_choose_locks(Sweep *s, Error *err);
void store_unlock(const Sweep *s, int i, int fd);
/* The file of a lock is there: somebody holds it, or was killed. */
bool store_lock_is_left(const Sweep *s, int i);
/* Of a cell that is done: takes away what a process left that was killed right after. */
bool store_tidy(const Sweep *s, int i, Error *err);
/* DIR/config.json of cell i, its needs resolved to paths. *threads and backend: of the run that a checkpoint there is of, else as now. */
bool store_write_config(const Sweep *s, int i, int *threads, char backend[32], Error *err);
/* Moves a run.json that failed out of the way of the next try. */
bool store_clear_failure(const Sweep *s, int i, Error *err);
/* A run.json that says why there is none; best effort. */
void store_write_failure(const Sweep *s, int i, int argc, char *const argv[], const Error *why);
void store_weights_path(const Sweep *s, int i, char path[SWEEP_PATH + 32]);    /* that cell i starts from or is about; "" random */

typedef struct Child {
    const char *prefix;              /* before each line of its progress */
    int         lock;                /* a descriptor that it holds too; -1: none */
    uint64_t    deadline_ns;         /* then it is asked to save and end; 0: never */
    bool        quiet;
} Child;
/* Runs this program as argv (NULL-terminated). True: it ended with status 0. Else *err has its status and last line; *stopped: since we
 * asked it to. */
bool child_run(const char *const argv[], const Child *how, bool *stopped, Error *err);

/* This machine, for all runs on it: shared by those that train, alone for one that times. *fd -1: another has it, or (where nothing can be
 * locked) nobody asks; *busy tells which. */
void machine_lock(bool alone, int *fd, bool *busy);
/* The same, waited for: false when interrupted or out of time. */
bool machine_lock_wait(const Sweep *s, bool alone, int *fd, Error *err);

/* True when the time given is over. */
bool sweep_out_of_time(const Sweep *s);

#endif
