/* Training and evaluating what is missing, each cell by a process of its own (sweep.h). */
#include "harness/sweep/sweep.h"

#include "engine/clock.h"
#include "engine/file.h"
#include "harness/interrupt.h"
#include "harness/options.h"
#include "harness/progress.h"
#include "harness/report/escape.h"
#include "harness/report/report.h"
#include "harness/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool is_work(const Sweep *s, int i) { return s->e->cell[i].kind != CELL_TIME && s->at[i].mine; }

/* Seconds that all cells left take, as estimated and as those done here took beside their estimate; NAN: unknown. */
static double seconds_left(const Sweep *s) {
    double sum = 0;
    for (int i = 0; i < s->e->n_cells; i++)
        if (is_work(s, i) && s->at[i].state != CELL_DONE && !s->at[i].given_up) sum += s->at[i].seconds;
    return s->guessed_s > 0 ? sum * s->took_s / s->guessed_s : sum;
}

static void count(const Sweep *s, int *done, int *all) {
    *done = *all = 0;
    for (int i = 0; i < s->e->n_cells; i++) {
        if (!is_work(s, i)) continue;
        ++*all;
        *done += s->at[i].state == CELL_DONE;
    }
}

static void say(const Sweep *s, int i, const char *what) {
    int  done, all;
    char left[32];
    if (s->quiet) return;
    count(s, &done, &all);
    const double seconds = seconds_left(s);
    duration_text(seconds, left);
    fprintf(stderr, "[%d/%d] %s: ", done, all, s->e->cell[i].name);
    escape_terminal(stderr, what);                               /* perhaps of a file, or of a process's last line */
    fprintf(stderr, "%s%s\n", isfinite(seconds) && seconds > 0 ? "; all: ETA " : "", isfinite(seconds) && seconds > 0 ? left : "");
}

/* ---- one cell ---- */

static void say_done(const Sweep *s, int i, double seconds) {
    char    path[SWEEP_PATH + 32], text[120], took[32];
    json_t *run    = NULL;
    Error   unused = {0};
    snprintf(path, sizeof path, "%s/run.json", s->at[i].dir);
    const double top1 = result_load(&run, path, &unused) ? report_number(run, "/accuracy/top1_ratio") : NAN;
    duration_text(seconds, took);
    snprintf(text, sizeof text, isfinite(top1) ? "done in %s, top-1 %.2f %%" : "done in %s", took, 100 * top1);
    say(s, i, text);
    json_decref(run);
}

/* Whether it evaluates weights with another number of recursions than they were trained with. */
static bool other_recursions(const Sweep *s, int i) {
    const Cell *c = &s->e->cell[i];
    if (c->kind != CELL_EVALUATE || c->need[NEEDS_WEIGHTS] < 0) return false;
    const json_t *now = report_at(c->settings, "/model/recursions"), *trained = report_at(s->e->cell[c->need[NEEDS_WEIGHTS]].settings, "/model/recursions");
    return now != NULL && trained != NULL && !json_equal(now, trained);
}

/* The cell's own command. Its words live in what it is given. */
static void command(const Sweep *s, int i, const char *argv[20], const char *threads, const char *backend, const char *config, const char *weights) {
    const bool training = s->e->cell[i].kind == CELL_TRAIN;
    int        n        = 0;
    const char *const fixed[] = {"morbench", "--threads", threads, "--backend", backend, cell_kinds[s->e->cell[i].kind]};
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++) argv[n++] = fixed[k];
    if (!training) argv[n++] = "--config";
    argv[n++] = config;
    if (weights[0] != '\0') argv[n++] = "--weights", argv[n++] = weights;
    if (other_recursions(s, i)) argv[n++] = "--other-recursions";
    argv[n++] = "--out";
    argv[n++] = s->at[i].dir;
    argv[n]   = NULL;
}

/* Failed in this process: said, and written as its run.json where it did not do so itself. */
static void give_up(Sweep *s, int i, const char *const argv[], const Error *why) {
    enum { FIRST_WORD = 5 };                                    /* of the command, behind the settings of the process */
    Place *p = &s->at[i];
    char   text[640];
    int    n = 0;
    while (argv[n] != NULL) n++;
    p->given_up = true;
    store_write_failure(s, i, n - FIRST_WORD, (char *const *)(argv + FIRST_WORD), why);
    snprintf(p->failure, sizeof p->failure, "%s", why->message);
    snprintf(text, sizeof text, "FAILED: %.600s", why->message);
    say(s, i, text);
}

static bool work_on(Sweep *s, int i, int lock, Error *err) {
    Place *p = &s->at[i];
    char   config[SWEEP_PATH + 32], weights[SWEEP_PATH + 32], backend[32], number[16], prefix[CELL_NAME_MAX + 32];
    int    threads, done, all;
    bool   stopped;
    Error  why = {0};
    const char *argv[20];
    if (!store_write_config(s, i, &threads, backend, err) || (p->state == CELL_FAILED && !store_clear_failure(s, i, err))) return false;
    snprintf(number, sizeof number, "%d", threads);
    snprintf(config, sizeof config, "%s/config.json", p->dir);
    store_weights_path(s, i, weights);
    command(s, i, argv, number, backend, config, weights);
    const bool begun = p->state == CELL_BEGUN;
    say(s, i, begun ? "goes on" : "begins");
    count(s, &done, &all);
    snprintf(prefix, sizeof prefix, "[%d/%d] %s: ", done, all, s->e->cell[i].name);
    const uint64_t from_ns = clock_now_ns();
    const bool     ok      = child_run(argv, &(Child){prefix, lock, s->deadline_ns, s->quiet}, &stopped, &why);
    p->state = CELL_MISSING;
    if (!store_look(s, i, err)) return false;
    if (ok && p->state == CELL_DONE) {
        const double took_s = (double)(clock_now_ns() - from_ns) / 1e9;
        if (!begun && p->seconds > 0) s->took_s += took_s, s->guessed_s += p->seconds;
        say_done(s, i, took_s);
        return true;
    }
    if (stopped || interrupt_raised()) return true;             /* the caller asks why */
    if (ok) FAIL_STATUS(&why, EXIT_IO, "", "it ended well and left no result");
    if (why.disk_full) {                                        /* the next cell would end alike */
        *err = why;
        return false;
    }
    give_up(s, i, argv, &why);
    return true;
}

/* ---- all of them ---- */

/* Whether cell i can be worked on; what it needs failed: it is given up. */
static bool is_ready(Sweep *s, int i) {
    for (int r = 0; r < N_CELL_ROLES; r++) {
        const int need = s->e->cell[i].need[r];
        if (need < 0 || s->at[need].state == CELL_DONE) continue;
        if (s->at[need].given_up && !s->at[i].given_up) {
            s->at[i].given_up = true;
            snprintf(s->at[i].failure, sizeof s->at[i].failure, "needs the weights of %.100s, which failed", s->e->cell[need].name);
            say(s, i, "left out, since a cell it needs failed");
        }
        return false;
    }
    return true;
}

static bool weights_are_there(Sweep *s, int i, Error *why) {
    for (int r = 0; r < N_CELL_ROLES; r++) {
        char path[SWEEP_PATH + 32];
        const int need = s->e->cell[i].need[r];
        if (need < 0) continue;
        snprintf(path, sizeof path, "%s/weights.safetensors", s->at[need].dir);
        if (access(path, R_OK) != 0)
            return FAIL(why, "", "needs the weights of %.100s, which were not kept; to train them again remove %.250s/run.json", s->e->cell[need].name, s->at[need].dir);
    }
    return true;
}

/* Locked, and still to be done: *worked says that something was. */
static bool try_cell(Sweep *s, int i, bool *worked, bool *busy, Error *err) {
    int   lock;
    Error why = {0};
    if (!store_lock(s, i, &lock, err)) return false;
    if (lock < 0) {
        *busy = true;
        return true;
    }
    bool ok = store_look(s, i, err);
    if (ok && s->at[i].state == CELL_DAMAGED) {
        s->at[i].given_up = true;
        say(s, i, s->at[i].failure);
    } else if (ok && s->at[i].state != CELL_DONE) {
        *worked = true;
        if (weights_are_there(s, i, &why)) {
            int machine;
            ok = machine_lock_wait(s, false, &machine, err) && work_on(s, i, lock, err);
            if (machine >= 0) close(machine);
        } else {
            s->at[i].given_up = true;
            snprintf(s->at[i].failure, sizeof s->at[i].failure, "%s", why.message);
            say(s, i, why.message);
        }
    }
    store_unlock(s, i, lock);
    return ok;
}

/* One walk through all cells in their order. */
static bool walk(Sweep *s, bool *worked, bool *busy, int *left, Error *err) {
    *worked = *busy = false;
    *left   = 0;
    for (int i = 0; i < s->e->n_cells; i++) {
        if (!is_work(s, i) || s->at[i].state == CELL_DONE || s->at[i].given_up || !is_ready(s, i)) {
            *left += is_work(s, i) && s->at[i].state != CELL_DONE && !s->at[i].given_up;
            continue;
        }
        if (!try_cell(s, i, worked, busy, err)) return false;
        if (interrupted(err)) {
            int done, all;
            count(s, &done, &all);
            const size_t n = strlen(err->message);
            snprintf(err->message + n, sizeof err->message - n, " with %d of %d cells done, state saved; the same command goes on", done, all);
            return false;
        }
        if (sweep_out_of_time(s)) {
            int done, all;
            count(s, &done, &all);
            if (done < all) return FAIL_STATUS(err, EXIT_TERMINATED, "--minutes", "time is up with %d of %d cells done, state saved; the same command goes on", done, all);
        }
        *left += s->at[i].state != CELL_DONE && !s->at[i].given_up;
    }
    return true;
}

static bool tidy(const Sweep *s, Error *err) {
    for (int i = 0; i < s->e->n_cells; i++)
        if (is_work(s, i) && s->at[i].state == CELL_DONE && !store_tidy(s, i, err)) return false;
    return true;
}

static bool run_all(Sweep *s, Error *err) {
    bool worked = true, busy = false, told = false;
    int  left;
    for (;;) {
        if (!walk(s, &worked, &busy, &left, err)) return false;
        if (left == 0) return true;
        if (worked) continue;
        if (!busy) return true;                                 /* what is left needs what cannot be had */
        if (!told && !s->quiet) fprintf(stderr, "waiting for %d cells that other processes work on\n", left);
        told = true;
        for (int i = 0; i < 10 && !interrupt_raised(); i++) nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
        for (int i = 0; i < s->e->n_cells; i++)
            if (is_work(s, i) && s->at[i].state != CELL_DONE && !store_look(s, i, err)) return false;
    }
}

bool sweep_run(Sweep *s, Error *err) { return tidy(s, err) && run_all(s, err) && tidy(s, err); }
