/* Timing: alone on the machine, by `bench`, whose cells take turns (sweep.h).
 *
 * A session is one bench of all missing cells of equal batch size, threads, pass, profile, kernels and data. It writes to DIR/.timing, from where
 * each result moves to its cell's directory; what a killed process left there is moved by the next. */
#include "harness/sweep/sweep.h"

#include "engine/clock.h"
#include "engine/file.h"
#include "harness/interrupt.h"
#include "harness/result.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { SESSION_CELLS = 32, SESSION_WORDS = 40, LIST_BYTES = SESSION_CELLS * 600 };

/* ---- the machine ---- */

static const char *machine_file = "/tmp/morbench-machine.lock";

/* Another file for those who share a machine but not their work (tests). Not of the cells' environment. */
static void choose_machine_file(void) {
    static char chosen[SWEEP_PATH];
    const char *given = getenv("MORBENCH_MACHINE_LOCK");
    if (given == NULL) return;
    snprintf(chosen, sizeof chosen, "%s", given);
    if (chosen[0] != '\0') machine_file = chosen;
    unsetenv("MORBENCH_MACHINE_LOCK");
}

void machine_lock(bool alone, int *fd, bool *busy) {
    choose_machine_file();
    *busy = false;
    *fd   = open(machine_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (*fd < 0) *fd = open(machine_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);      /* another user's */
    if (*fd >= 0 && flock(*fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return;
    *busy = *fd >= 0 && errno == EWOULDBLOCK;
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

bool machine_lock_wait(const Sweep *s, bool alone, int *fd, Error *err) {
    bool busy, told = false;
    for (;;) {
        machine_lock(alone, fd, &busy);
        if (*fd >= 0 || !busy) return true;
        if (!told && !s->quiet) fprintf(stderr, alone ? "waiting until nothing else runs on this machine (%s)\n" : "waiting for a timing on this machine (%s)\n", machine_file);
        told = true;
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
        if (interrupted(err)) return false;
        if (sweep_out_of_time(s)) return FAIL_STATUS(err, EXIT_TERMINATED, "--minutes", "time is up while other work had the machine; the same command goes on");
    }
}

/* ---- sessions ---- */

static bool is_missing(const Sweep *s, int i) {
    return s->e->cell[i].kind == CELL_TIME && s->at[i].mine && s->at[i].state != CELL_DONE && !s->at[i].given_up;
}

static bool has_data(const Cell *c) { return json_object_get(c->config, "data") != NULL; }

/* Whether they are timed on the same images. */
static bool same_data(const Cell *a, const Cell *b) {
    if (has_data(a) != has_data(b)) return false;
    const DatasetOptions x = data_settings_options(&a->data, false), y = data_settings_options(&b->data, false);
    return !has_data(a)
        || (strcmp(x.name_or_dir, y.name_or_dir) == 0 && strcmp(a->data.root, b->data.root) == 0 && strcmp(x.split, y.split) == 0
            && strcmp(x.preprocess, y.preprocess) == 0 && strcmp(x.classes, y.classes) == 0 && x.image_size == y.image_size && x.limit == y.limit
            && x.seed == y.seed);
}

static bool together(const Cell *a, const Cell *b) {
    return a->batch == b->batch && a->threads == b->threads && a->train_step == b->train_step && strcmp(a->profile, b->profile) == 0
        && strcmp(a->backend, b->backend) == 0 && same_data(a, b);
}

/* What it needs is there; else it is given up with the reason. */
static bool is_ready(Sweep *s, int i) {
    Place    *p    = &s->at[i];
    const int need = s->e->cell[i].need[NEEDS_WEIGHTS];
    char      path[SWEEP_PATH + 32];
    store_weights_path(s, i, path);
    if (need >= 0 && s->at[need].state != CELL_DONE)
        snprintf(p->failure, sizeof p->failure, "needs the weights of %.100s, which is %s", s->e->cell[need].name, cell_states[s->at[need].state]);
    else if (path[0] != '\0' && access(path, R_OK) != 0)
        snprintf(p->failure, sizeof p->failure, "its weights are not there: %.400s", path);
    else if (strchr(path, ',') != NULL)
        snprintf(p->failure, sizeof p->failure, "its weights must be in a path without commas: %.400s", path);
    else return true;
    p->given_up = true;
    return false;
}

static void append(char *list, const char *item) {
    const size_t n = strlen(list);
    snprintf(list + n, LIST_BYTES - n, "%s%s", n > 0 ? "," : "", item);
}

static void session_dir(const Sweep *s, char path[SWEEP_PATH + 32]) { snprintf(path, SWEEP_PATH + 32, "%s/.timing", s->dir); }

/* Where bench puts the result of cell i. */
static void result_dir(const Sweep *s, int i, char path[SWEEP_PATH + 256]) {
    const Cell *c = &s->e->cell[i];
    snprintf(path, SWEEP_PATH + 256, "%s/.timing/%s-%s_b%d_t%d%s", s->dir, c->name, c->id, c->batch, c->threads, c->train_step ? "_train" : "");
}

static bool is_interrupted(const char *path) {
    json_t    *run    = NULL;
    Error      unused = {0};
    const bool loaded = result_load(&run, path, &unused);
    const bool yes    = loaded && strcmp(json_string_value(json_object_get(run, "status")), "interrupted") == 0;
    json_decref(run);
    return yes;
}

/* Moves what a session left to the cells' directories, run.json last. */
static bool collect(Sweep *s, Error *err) {
    for (int i = 0; i < s->e->n_cells; i++) {
        char from[SWEEP_PATH + 272], to[SWEEP_PATH + 32], dir[SWEEP_PATH + 256];
        if (s->e->cell[i].kind != CELL_TIME || s->at[i].state == CELL_DONE) continue;
        result_dir(s, i, dir);
        snprintf(from, sizeof from, "%s/run.json", dir);
        snprintf(to, sizeof to, "%s/run.json", s->at[i].dir);
        if (access(from, F_OK) != 0) continue;
        if (is_interrupted(from)) {                              /* it is measured anew */
            unlink(from);
            continue;
        }
        if (!file_make_dirs(s->at[i].dir, err)) return false;
        if (rename(from, to) != 0) {
            FAIL_STATUS(err, file_exit_status(errno), "", "cannot be moved to its place: %s", strerror(errno));
            return error_in(err, from);
        }
        rmdir(dir);
        if (!store_look(s, i, err)) return false;
    }
    return true;
}

typedef struct Session {
    int  cell[SESSION_CELLS], n;
    char configs[LIST_BYTES], labels[LIST_BYTES], weights[LIST_BYTES];
} Session;

/* All that can take turns with cell `first`. */
static bool gather(Sweep *s, int first, Session *out, Error *err) {
    *out = (Session){0};
    for (int i = first; i < s->e->n_cells && out->n < SESSION_CELLS; i++) {
        char path[SWEEP_PATH + 32], backend[32];
        int  threads;
        if (!is_missing(s, i) || !together(&s->e->cell[first], &s->e->cell[i])) continue;
        if (s->at[i].state == CELL_FAILED && !store_clear_failure(s, i, err)) return false;
        if (!store_write_config(s, i, &threads, backend, err)) return false;
        snprintf(path, sizeof path, "%s/config.json", s->at[i].dir);
        append(out->configs, path);
        store_weights_path(s, i, path);
        append(out->weights, path[0] != '\0' ? path : "-");
        snprintf(path, sizeof path, "%s-%s", s->e->cell[i].name, s->e->cell[i].id);
        append(out->labels, path);
        out->cell[out->n++] = i;
    }
    return strlen(out->configs) + 1 < LIST_BYTES && strlen(out->weights) + 1 < LIST_BYTES ? true : FAIL(err, "--out", "the paths are too long to time these cells together");
}

static bool measure(Sweep *s, const Session *m, int hold, bool *stopped, Error *err) {
    const Cell *c = &s->e->cell[m->cell[0]];
    char        threads[16], batch[16], dir[SWEEP_PATH + 32], prefix[64];
    const char *argv[SESSION_WORDS];
    int         n = 0;
    session_dir(s, dir);
    snprintf(threads, sizeof threads, "%d", c->threads);
    snprintf(batch, sizeof batch, "%d", c->batch);
    snprintf(prefix, sizeof prefix, "[timing, batch %d, %d threads] ", c->batch, c->threads);
    const char *const fixed[] = {"morbench", "--threads", threads, "--backend", c->backend, "bench", "--config", m->configs, "--label", m->labels, "--weights", m->weights,
                                 "--batch", batch, "--profile", c->profile, "--out", dir};
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++) argv[n++] = fixed[k];
    if (c->train_step) argv[n++] = "--train";
    argv[n] = NULL;
    return child_run(argv, &(Child){prefix, hold, s->deadline_ns, s->quiet}, stopped, err);
}

static bool run_session(Sweep *s, Session *m, int hold, Error *err) {
    bool  stopped;
    Error why = {0};
    int   lock = -1;
    const bool smoke = strcmp(s->e->cell[m->cell[0]].profile, "smoke") == 0;      /* says nothing that a busy machine could spoil */
    if (!smoke && !machine_lock_wait(s, true, &lock, err)) return false;
    if (!s->quiet) fprintf(stderr, "timing %d cells, batch %d, %d threads, %s\n", m->n, s->e->cell[m->cell[0]].batch, s->e->cell[m->cell[0]].threads, s->e->cell[m->cell[0]].profile);
    const bool ok = measure(s, m, hold, &stopped, &why);
    if (lock >= 0) close(lock);
    if (interrupted(err)) return false;
    if (stopped) return FAIL_STATUS(err, EXIT_TERMINATED, "--minutes", "time is up while cells were timed; the same command times them anew");
    if (!collect(s, err)) return false;
    if (!ok && why.disk_full) {                                 /* the next session would end alike */
        *err = why;
        return false;
    }
    for (int k = 0; k < m->n; k++) {
        Place *p = &s->at[m->cell[k]];
        if (p->state == CELL_DONE) continue;
        p->given_up = true;
        if (p->failure[0] == '\0') snprintf(p->failure, sizeof p->failure, "%s", ok ? "bench left no result" : why.message);
    }
    return true;
}

/* One process at a time writes to .timing; others wait, and then find what it did. *fd is also its bench's. */
static bool hold_timing(Sweep *s, int *fd, Error *err) {
    bool told = false;
    for (;;) {
        if (!store_lock(s, STORE_TIMING, fd, err)) return false;
        if (*fd >= 0) break;
        if (!told && !s->quiet) fprintf(stderr, "waiting for another process that times cells of %s\n", s->dir);
        told = true;
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
        if (interrupted(err)) return false;
        if (sweep_out_of_time(s)) return FAIL_STATUS(err, EXIT_TERMINATED, "--minutes", "time is up while another process timed; the same command goes on");
    }
    for (int i = 0; i < s->e->n_cells; i++)
        if (s->e->cell[i].kind == CELL_TIME && s->at[i].state != CELL_DONE && !store_look(s, i, err)) return false;
    return true;
}

static bool time_all(Sweep *s, Session *m, int hold, Error *err) {
    for (int i = 0; i < s->e->n_cells; i++) {
        if (!is_missing(s, i) || !is_ready(s, i)) continue;
        for (int k = i + 1; k < s->e->n_cells; k++)
            if (is_missing(s, k) && together(&s->e->cell[i], &s->e->cell[k])) is_ready(s, k);
        if (!gather(s, i, m, err) || !run_session(s, m, hold, err)) return false;
        if (sweep_out_of_time(s)) return FAIL_STATUS(err, EXIT_TERMINATED, "--minutes", "time is up; the same command goes on");
    }
    return true;
}

bool sweep_time(Sweep *s, Error *err) {
    char dir[SWEEP_PATH + 32];
    int  hold = -1;
    session_dir(s, dir);
    bool any = access(dir, F_OK) == 0 || store_lock_is_left(s, STORE_TIMING);       /* one that was killed may have left them */
    for (int i = 0; i < s->e->n_cells; i++) any |= is_missing(s, i);
    if (!any) return true;
    Session *m  = malloc(sizeof *m);
    bool     ok = m != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    ok = ok && hold_timing(s, &hold, err) && collect(s, err) && time_all(s, m, hold, err);
    if (ok) file_remove_tree(dir);
    store_unlock(s, STORE_TIMING, hold);
    free(m);
    return ok;
}
