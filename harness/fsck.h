/* Looks through a directory of results for what a killed process, a full disk or a careless copy leaves behind. Nothing is ever
 * deleted: what is found can be moved into DIR/.fsck-<time>/, under the path it had.
 *
 *   fsck_scan -> fsck_move_aside (or not) -> fsck_free
 *
 * What another process has open, and the directory of a training that is going on, are left alone. Links are not followed, hidden
 * directories and other hidden files not looked at. */
#ifndef HARNESS_FSCK_H
#define HARNESS_FSCK_H

#include "engine/json.h"

#include <stdbool.h>

/* Kinds of findings:  FINDING(name, what it means) */
#define FSCK_FINDINGS(FINDING) \
    FINDING(half_written,       "a file that a process was writing when it ended")                                                  \
    FINDING(damaged_result,     "a run.json that cannot be read or does not fit its digest: the cell counts as not done")           \
    FINDING(duplicate,          "a run.json of a cell that another directory has, of the same machine and session, and no two experiments share") \
    FINDING(other_weights,      "weights.safetensors with another digest than the run.json beside it tells")                        \
    FINDING(damaged_checkpoint, "a checkpoint that cannot be read or does not fit its digest")                                      \
    FINDING(left_checkpoint,    "a checkpoint beside the result of a finished run")                                                 \
    FINDING(strange_checkpoint, "a checkpoint of other settings than the newest one beside it")                                     \
    FINDING(unknown_file,       "a file in the directory of a cell that no command writes (harness/result_files.def)")

typedef enum FsckKind {
#define FINDING(name, help) FSCK_##name,
    FSCK_FINDINGS(FINDING)
#undef FINDING
    N_FSCK_KINDS
} FsckKind;

const char *fsck_kind_name(FsckKind kind);

typedef struct FsckFinding {
    FsckKind kind;
    char    *path;                 /* from the directory looked through */
    char    *why;
    bool     moved;
} FsckFinding;

typedef struct FsckResult FsckResult;     /* what is remembered of a good run.json */

typedef struct Fsck {
    FsckFinding *finding;
    FsckResult  *result;
    int          n, capacity, n_results, results_capacity, n_checkpoints, n_busy;
    char         aside[64];        /* name below the directory, once something was moved */
} Fsck;

bool fsck_scan(Fsck *out, const char *dir, Error *err);
/* Moves every finding, and writes what they were into fsck.json beside them. */
bool fsck_move_aside(Fsck *f, const char *dir, Error *err);
void fsck_free(Fsck *f);

/* directory, counts, findings. */
void fsck_put(const Fsck *f, const char *dir, JsonSink *into);

#endif
