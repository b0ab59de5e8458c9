/* Where cells lie, whether they are done, and who works on them (sweep.h). */
#include "harness/sweep/sweep.h"

#include "engine/file.h"
#include "harness/options.h"
#include "harness/report/escape.h"
#include "harness/report/report.h"
#include "harness/result.h"
#include "harness/session.h"
#include "harness/train/train.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_PATH = 2 * SWEEP_PATH + 32 };

const char *const cell_states[] = {"missing", "begun", "failed", "done", "damaged"};

/* ---- finding ---- */

/* The entry of dir that ends in "-<id>"; "" when there is none. */
static void find_in(const char *dir, const char *id, char name[256]) {
    struct dirent *e;
    DIR           *d = opendir(dir);
    name[0] = '\0';
    while (d != NULL && name[0] == '\0' && (e = readdir(d)) != NULL) {
        const size_t n = strlen(e->d_name), m = strlen(id);
        if (n > m && e->d_name[n - m - 1] == '-' && strcmp(e->d_name + n - m, id) == 0) snprintf(name, 256, "%s", e->d_name);
    }
    if (d != NULL) closedir(d);
}

/* The same in the other experiments' directories, of those that are ours: what others put there is not taken over. */
static bool find_beside(const Sweep *s, const char *id, char path[SWEEP_PATH]) {
    struct dirent *e;
    DIR           *d     = opendir(s->root);
    bool           found = false;
    struct stat    st;
    while (d != NULL && !found && (e = readdir(d)) != NULL) {
        char dir[SWEEP_PATH], name[256];
        if (e->d_name[0] == '.' || snprintf(dir, sizeof dir, "%s/%s", s->root, e->d_name) >= SWEEP_PATH || strcmp(dir, s->dir) == 0) continue;
        find_in(dir, id, name);
        if (name[0] == '\0' || snprintf(path, SWEEP_PATH, "%s/%s/run.json", dir, name) >= SWEEP_PATH || access(path, F_OK) != 0) continue;
        found = snprintf(path, SWEEP_PATH, "%s/%s", dir, name) < SWEEP_PATH && stat(path, &st) == 0 && st.st_uid == geteuid();
    }
    if (d != NULL) closedir(d);
    return found;
}

static bool join(char path[SWEEP_PATH + 32], const char *dir, const char *name) {
    return snprintf(path, SWEEP_PATH + 32, "%s/%s", dir, name) < SWEEP_PATH + 32;
}

/* ---- state ---- */

static bool has_checkpoint(const char *dir) {
    struct dirent *e;
    DIR           *d     = opendir(dir);
    bool           found = false;
    while (d != NULL && !found && (e = readdir(d)) != NULL) found = strncmp(e->d_name, "checkpoint-", 11) == 0;
    if (d != NULL) closedir(d);
    return found;
}

/* "INVALID: unsteady, caching" */
static void put_reasons(const json_t *run, char text[512]) {
    const json_t *reasons = report_at(run, "/validity/reasons"), *one;
    size_t        i, n = (size_t)snprintf(text, 512, "INVALID");
    json_array_foreach(reasons, i, one)
        if (n < 480 && json_is_string(one)) n += (size_t)snprintf(text + n, 512 - n, "%s%.60s", i == 0 ? ": " : ", ", json_string_value(one));
}

static CellState state_of(const char *dir, char failure[512], bool *invalid) {
    char    path[SWEEP_PATH + 32];
    json_t *run   = NULL;
    Error   wrong = {0};
    failure[0] = '\0';
    *invalid   = false;
    join(path, dir, "run.json");
    if (access(path, F_OK) != 0) return has_checkpoint(dir) ? CELL_BEGUN : CELL_MISSING;
    if (!result_load(&run, path, &wrong)) {
        error_text(&wrong, failure, 512);
        return CELL_DAMAGED;
    }
    const char *status = json_string_value(json_object_get(run, "status")), *message = json_string_value(report_at(run, "/error/message"));
    CellState   state  = CELL_DONE;
    if (strcmp(status, "ok") != 0) {
        snprintf(failure, 512, "%s%s%.480s", status, message != NULL ? ": " : "", message != NULL ? message : "");
        state = CELL_FAILED;
    } else if (warnings_invalidate(json_object_get(run, "warnings"), json_object_get(run, "experiment"))) {
        put_reasons(run, failure);
        *invalid = true;
    }
    json_decref(run);
    return state;
}

/* A second name for a file, or where that cannot be, a copy. */
static bool link_or_copy(const char *from, const char *to, Error *err) {
    void  *bytes;
    size_t n;
    if (access(from, F_OK) != 0) return true;                   /* results are kept without weights, too */
    if (link(from, to) == 0 || errno == EEXIST) return true;
    if (!file_read_all(from, SIZE_MAX, &bytes, &n, err)) return false;
    const bool ok = file_write_durable(to, bytes, n, err);
    free(bytes);
    return ok;
}

/* run.json last: with it the cell is done. */
static bool adopt(const char *from, const char *dir, Error *err) {
    static const char *const files[] = {"config.json", "weights.safetensors", "run.json"};
    if (!file_make_dirs(dir, err)) return false;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char a[SWEEP_PATH + 32], b[SWEEP_PATH + 32];
        join(a, from, files[i]);
        join(b, dir, files[i]);
        if (!link_or_copy(a, b, err)) return false;
    }
    return true;
}

bool store_look(Sweep *s, int i, Error *err) {
    const Cell *c = &s->e->cell[i];
    Place      *p = &s->at[i];
    char        name[256], beside[SWEEP_PATH], why[512];
    bool        invalid;
    find_in(s->dir, c->id, name);
    if (name[0] == '\0') snprintf(name, sizeof name, "%s-%s", c->name, c->id);
    if (snprintf(p->dir, sizeof p->dir, "%s/%s", s->dir, name) >= SWEEP_PATH) return FAIL(err, "--out", "the path is too long");
    p->state = state_of(p->dir, p->failure, &p->invalid);
    /* timings of another session are not comparable with ours as if they had taken turns */
    if (p->state == CELL_DONE || p->state == CELL_DAMAGED || c->kind == CELL_TIME || !find_beside(s, c->id, beside) || state_of(beside, why, &invalid) != CELL_DONE)
        return true;
    if (!s->take_over) {
        p->state   = CELL_DONE;
        p->invalid = invalid;
        snprintf(p->failure, sizeof p->failure, "%s", why);
        snprintf(p->dir, sizeof p->dir, "%s", beside);
        return true;
    }
    if (p->state == CELL_FAILED && !store_clear_failure(s, i, err)) return false;
    if (!adopt(beside, p->dir, err)) return false;
    if (!s->quiet) {
        fprintf(stderr, "%s: taken over from ", c->name);
        escape_terminal(stderr, beside);
        fputc('\n', stderr);
    }
    p->state = state_of(p->dir, p->failure, &p->invalid);
    return true;
}

/* ---- locks ---- */

static bool lock_path(const Sweep *s, int i, char path[LOCK_PATH], Error *err) {
    const char *name = strrchr(s->dir, '/');
    if (!file_make_dirs(s->locks, err)) return false;
    if (i >= 0) snprintf(path, LOCK_PATH, "%s/%s", s->locks, s->e->cell[i].id);
    else        snprintf(path, LOCK_PATH, "%s/%s-%s", s->locks, i == STORE_PLAN ? "plan" : "timing", name != NULL ? name + 1 : s->dir);
    return true;
}

bool store_choose_locks(Sweep *s, Error *err) {
    Error wrong = {0};
    snprintf(s->locks, sizeof s->locks, "%s/.locks", s->root);
    if (file_make_output_dir(s->locks, &wrong)) return true;
    snprintf(s->locks, sizeof s->locks, "%s/.locks", s->dir);
    if (wrong.exit_status != EXIT_BAD_INPUT || !file_make_output_dir(s->locks, err)) {
        *err = wrong;
        return false;
    }
    if (s->quiet) return true;
    fputs("morbench: warning: ", stderr);
    escape_terminal(stderr, wrong.input);
    fprintf(stderr, ": %s: locks lie in .locks of the experiment's own directory, which those beside it do not ask\n", wrong.message);
    return true;
}

bool store_lock_is_left(const Sweep *s, int i) {
    char  path[LOCK_PATH];
    Error unused = {0};
    return lock_path(s, i, path, &unused) && access(path, F_OK) == 0;
}

bool store_lock(const Sweep *s, int i, int *fd, Error *err) {
    char        path[LOCK_PATH];
    struct stat held, there;
    *fd = -1;
    if (!lock_path(s, i, path, err)) return false;
    for (;;) {
        const int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (f < 0) {
            FAIL_STATUS(err, file_exit_status(errno), "", "cannot open: %s", strerror(errno));
            return error_in(err, path);
        }
        if (flock(f, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(f);
            return true;
        }
        /* its holder may have removed it between our open and our lock */
        if (fstat(f, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev) {
            *fd = f;
            return true;
        }
        close(f);
    }
}

void store_unlock(const Sweep *s, int i, int fd) {
    char  path[LOCK_PATH];
    Error unused = {0};
    if (fd < 0) return;
    if (lock_path(s, i, path, &unused)) unlink(path);
    close(fd);
}

/* A cell that was finished just before its process was killed. */
bool store_tidy(const Sweep *s, int i, Error *err) {
    char path[LOCK_PATH];
    int  fd;
    if (!lock_path(s, i, path, err)) return false;
    if (access(path, F_OK) != 0 && !has_checkpoint(s->at[i].dir)) return true;
    if (!store_lock(s, i, &fd, err)) return false;
    if (fd < 0) return true;                                    /* somebody else is at it */
    file_remove_temporaries(s->at[i].dir);
    train_forget(s->at[i].dir);
    store_unlock(s, i, fd);
    return true;
}

/* ---- what a cell's own command reads ---- */

void store_weights_path(const Sweep *s, int i, char path[SWEEP_PATH + 32]) {
    const Cell *c = &s->e->cell[i];
    if (c->need[NEEDS_WEIGHTS] >= 0) join(path, s->at[c->need[NEEDS_WEIGHTS]].dir, "weights.safetensors");
    else snprintf(path, SWEEP_PATH + 32, "%s", c->weights);
}

static bool put_need(const Sweep *s, int i, CellRole role, json_t *train, const char *model, const char *weights, Error *err) {
    char path[SWEEP_PATH + 32];
    if (s->e->cell[i].need[role] < 0) return true;
    if (!json_is_utf8(s->at[s->e->cell[i].need[role]].dir)) return FAIL(err, "--out", "must be UTF-8, since the files of cells name others in it");
    join(path, s->at[s->e->cell[i].need[role]].dir, "config.json");
    json_object_set_new(train, model, json_string(path));
    join(path, s->at[s->e->cell[i].need[role]].dir, "weights.safetensors");
    json_object_set_new(train, weights, json_string(path));
    return true;
}

/* What the run was begun with that is there as checkpoints: other threads or kernels would make another run of it. */
static void begun_with(const char *path, int *threads, char backend[32]) {
    json_t *old = NULL;
    Error   unused = {0};
    if (access(path, F_OK) != 0 || !json_load_file_checked(&old, path, 0, &unused)) return;
    const json_t *measure = json_object_get(old, "measure");
    const int     n = (int)json_integer_value(json_object_get(measure, "threads"));
    const char   *b = json_string_value(json_object_get(measure, "backend"));
    if (n >= 1 && n <= THREADS_MAX) *threads = n;
    if (b != NULL && backend_find(b) != NULL) snprintf(backend, 32, "%s", b);
    json_decref(old);
}

bool store_write_config(const Sweep *s, int i, int *threads, char backend[32], Error *err) {
    const Cell *c = &s->e->cell[i];
    char        path[SWEEP_PATH + 32];
    *threads = runtime_threads();
    snprintf(backend, 32, "%s", runtime_backend()->name);
    join(path, s->at[i].dir, "config.json");
    if (!file_make_output_dir(s->at[i].dir, err)) return false;
    file_remove_temporaries(s->at[i].dir);
    if (c->kind == CELL_TRAIN && has_checkpoint(s->at[i].dir)) begun_with(path, threads, backend);
    json_t *config = json_deep_copy(c->config), *train = json_object_get(config, "train");
    bool    ok = put_need(s, i, NEEDS_TEACHER, train, "teacher", "teacher_weights", err) && put_need(s, i, NEEDS_SOURCE, train, "init_from", "init_from_weights", err);
    json_object_del(config, "weights");
    json_object_set_new(config, "measure", json_pack("{si ss}", "threads", *threads, "backend", backend));
    ok = ok && json_save_file(config, path, err);
    json_decref(config);
    return ok;
}

/* ---- failures ---- */

bool store_clear_failure(const Sweep *s, int i, Error *err) {
    char from[SWEEP_PATH + 32], to[SWEEP_PATH + 32];
    join(from, s->at[i].dir, "run.json");
    join(to, s->at[i].dir, "failed.json");
    if (rename(from, to) == 0 || errno == ENOENT) return true;
    FAIL_STATUS(err, file_exit_status(errno), "", "cannot be moved out of the way: %s", strerror(errno));
    return error_in(err, from);
}

void store_write_failure(const Sweep *s, int i, int argc, char *const argv[], const Error *why) {
    const Cell *c     = &s->e->cell[i];
    Result     *r     = NULL;
    Error       wrong = {0};
    char        path[SWEEP_PATH + 32];
    join(path, s->at[i].dir, "run.json");
    if (access(path, F_OK) == 0) return;                        /* it said so itself */
    bool ok = session_result_of_machine(&r, cell_kinds[c->kind], c->settings, argc, argv, &wrong);
    if (ok) result_set_status(r, why->exit_status == EXIT_MACHINE ? "oom" : "failed", why);
    ok = ok && result_write(r, s->at[i].dir, &wrong);
    if (!ok) fprintf(stderr, "morbench: warning: %s: %s\n", s->at[i].dir, wrong.message);
    result_destroy(r);
}
