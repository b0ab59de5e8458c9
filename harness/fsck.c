/* Judges what lies in a directory of results, one directory at a time, then all results together (fsck.h). */
#include "harness/fsck.h"

#include "engine/digest.h"
#include "engine/file.h"
#include "harness/report/report.h"
#include "harness/result.h"
#include "harness/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 16, MAX_CHECKPOINTS = 64 };

/* experiment: the directory, with experiment.json, that the result's own lies in; NULL: none. */
struct FsckResult { char *path, *cell, *experiment; bool ok, is_duplicate; char started[40], digest[SHA256_TEXT_SIZE]; dev_t device; ino_t file; };

const char *fsck_kind_name(FsckKind kind) {
    static const char *const names[N_FSCK_KINDS] = {
#define FINDING(name, help) #name,
        FSCK_FINDINGS(FINDING)
#undef FINDING
    };
    return names[kind];
}

static bool no_memory(Error *err) { return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for what was found"); }

__attribute__((format(printf, 5, 6)))
static bool found(Fsck *f, FsckKind kind, const char *path, Error *err, const char *format, ...) {
    va_list arguments;
    if (f->n == f->capacity) {
        const int    capacity = 2 * f->capacity + 16;
        FsckFinding *grown    = realloc(f->finding, (size_t)capacity * sizeof *grown);
        if (grown == NULL) return no_memory(err);
        f->finding  = grown;
        f->capacity = capacity;
    }
    FsckFinding *one = &f->finding[f->n];
    *one = (FsckFinding){.kind = kind, .path = strdup(path)};
    va_start(arguments, format);
    const int n = vasprintf(&one->why, format, arguments);
    va_end(arguments);
    if (n < 0) one->why = NULL;
    f->n++;
    return (one->path != NULL && one->why != NULL) || no_memory(err);
}

void fsck_free(Fsck *f) {
    for (int i = 0; i < f->n; i++) {
        free(f->finding[i].path);
        free(f->finding[i].why);
    }
    for (int i = 0; i < f->n_results; i++) {
        free(f->result[i].path);
        free(f->result[i].cell);
        free(f->result[i].experiment);
    }
    free(f->finding);
    free(f->result);
    *f = (Fsck){0};
}

/* ---- one directory ---- */

/* The directory in hand: where it is, as the user named it and from the top, and what lies in it. */
typedef struct Place {
    const char     *dir, *below, *experiment;
    struct dirent **entry;
    int             n;
    json_t         *run;           /* its good run.json, NULL: none */
    bool            is_cell, busy;
} Place;

static bool path_to(char path[PATH_MAX], const char *dir, const char *name) {
    return snprintf(path, PATH_MAX, "%s%s%s", dir, dir[0] != '\0' ? "/" : "", name) < PATH_MAX;
}

static bool is_temporary(const char *name) {
    const size_t n = strlen(FILE_TEMPORARY_PREFIX);
    return strncmp(name, FILE_TEMPORARY_PREFIX, n) == 0 && strlen(name) == n + 16 && strspn(name + n, "0123456789abcdef") == 16;
}

static bool is_checkpoint(const char *name) { return fnmatch("checkpoint-[0-9]*.safetensors", name, 0) == 0; }

static bool is_known(const char *name) {
#define RESULT_FILE(pattern, help) if (fnmatch(pattern, name, 0) == 0) return true;
#include "harness/result_files.def"
#undef RESULT_FILE
    return false;
}

static bool is_regular(const Place *p, const char *name) {
    char        path[PATH_MAX];
    struct stat s;
    return path_to(path, p->dir, name) && lstat(path, &s) == 0 && S_ISREG(s.st_mode);
}

/* Whether a process of this machine, as far as it lets us see, has the file open. */
static bool is_open(const char *path) {
    char  real[PATH_MAX], name[PATH_MAX], target[PATH_MAX];
    bool  open = false;
    DIR  *processes = realpath(path, real) != NULL ? opendir("/proc") : NULL;
    if (processes == NULL) return false;
    for (const struct dirent *e; !open && (e = readdir(processes)) != NULL;) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9') continue;
        snprintf(name, sizeof name, "/proc/%.20s/fd", e->d_name);
        DIR *files = opendir(name);
        if (files == NULL) continue;
        for (const struct dirent *fd; !open && (fd = readdir(files)) != NULL;) {
            const ssize_t n = readlinkat(dirfd(files), fd->d_name, target, sizeof target - 1);
            if (n <= 0) continue;
            target[n] = '\0';
            open = strcmp(target, real) == 0;
        }
        closedir(files);
    }
    closedir(processes);
    return open;
}

/* A training holds the lock of its directory (train_lock). */
static bool is_locked(const char *dir) {
    const int  fd     = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) close(fd);
    return locked;
}

static const char *text_at(const json_t *run, const char *pointer) {
    const char *text = json_string_value(report_at(run, pointer));
    return text != NULL ? text : "";
}

static bool is_ok(const json_t *run) { return strcmp(text_at(run, "/status"), "ok") == 0; }

static bool remember(Fsck *f, const Place *p, const char *path, const char *below, Error *err) {
    const json_t *run = p->run;
    struct stat s = {0};
    if (f->n_results == f->results_capacity) {
        const int   capacity = 2 * f->results_capacity + 64;
        FsckResult *grown    = realloc(f->result, (size_t)capacity * sizeof *grown);
        if (grown == NULL) return no_memory(err);
        f->result           = grown;
        f->results_capacity = capacity;
    }
    FsckResult *r = &f->result[f->n_results++];
    stat(path, &s);
    *r = (FsckResult){.path = strdup(below), .ok = is_ok(run), .device = s.st_dev, .file = s.st_ino};
    snprintf(r->started, sizeof r->started, "%.39s", text_at(run, "/provenance/started_utc"));
    snprintf(r->digest, sizeof r->digest, "%.64s", text_at(run, "/digest"));
    if (p->experiment != NULL && (r->experiment = strdup(p->experiment)) == NULL) return no_memory(err);
    if (asprintf(&r->cell, "%s %s %s", text_at(run, "/id"), text_at(run, "/env_id"), text_at(run, "/provenance/session")) < 0) r->cell = NULL;
    return (r->path != NULL && r->cell != NULL) || no_memory(err);
}

static bool look_at_result(Fsck *f, Place *p, Error *err) {
    char  path[PATH_MAX], below[PATH_MAX];
    Error wrong = {0};
    if (!is_regular(p, "run.json") || !path_to(path, p->dir, "run.json") || !path_to(below, p->below, "run.json")) return true;
    if (result_load(&p->run, path, &wrong)) return remember(f, p, path, below, err);
    if (wrong.exit_status == EXIT_MACHINE) {
        *err = wrong;
        return false;
    }
    return found(f, FSCK_damaged_result, below, err, "%s%s%s", wrong.field, wrong.field[0] != '\0' ? ": " : "", wrong.message);
}

static int by_step(const struct dirent **a, const struct dirent **b) { return strverscmp((*a)->d_name, (*b)->d_name); }

/* From the newest: the first good one tells which settings the others must have. */
static bool look_at_checkpoints(Fsck *f, const Place *p, Error *err) {
    char newest[17] = "";
    for (int i = p->n - 1; i >= 0; i--) {
        char path[PATH_MAX], below[PATH_MAX], why[600], settings[17];
        if (!is_checkpoint(p->entry[i]->d_name) || !is_regular(p, p->entry[i]->d_name)) continue;
        if (!path_to(path, p->dir, p->entry[i]->d_name) || !path_to(below, p->below, p->entry[i]->d_name)) continue;
        f->n_checkpoints++;
        bool good = false;
        if (!checkpoint_check(path, settings, &good, why, err)) return false;
        if (!good) {
            if (!found(f, FSCK_damaged_checkpoint, below, err, "%s", why)) return false;
        } else if (p->run != NULL && is_ok(p->run)) {
            if (!found(f, FSCK_left_checkpoint, below, err, "the run beside it is finished")) return false;
        } else if (newest[0] != '\0' && strcmp(newest, settings) != 0) {
            if (!found(f, FSCK_strange_checkpoint, below, err, "of settings %s, the newest is of %s", settings, newest)) return false;
        } else snprintf(newest, sizeof newest, "%s", settings);
    }
    return true;
}

static bool look_at_weights(Fsck *f, const Place *p, Error *err) {
    char        path[PATH_MAX], below[PATH_MAX], digest[SHA256_TEXT_SIZE];
    const char *told = text_at(p->run, "/model/weights_sha256");
    if (p->run == NULL || strcmp(text_at(p->run, "/kind"), "train") != 0 || told[0] == '\0' || !is_regular(p, "weights.safetensors")) return true;
    if (!path_to(path, p->dir, "weights.safetensors") || !path_to(below, p->below, "weights.safetensors")) return true;
    if (!digest_sha256_file(path, digest, err)) return false;
    return strcmp(digest, told) == 0 || found(f, FSCK_other_weights, below, err, "have digest %.16s..., the result tells %.16s...", digest, told);
}

/* Half-written files anywhere; strange ones where a cell lies. */
static bool look_at_names(Fsck *f, const Place *p, Error *err) {
    for (int i = 0; i < p->n; i++) {
        const char *name = p->entry[i]->d_name;
        char        path[PATH_MAX], below[PATH_MAX];
        if (!path_to(path, p->dir, name) || !path_to(below, p->below, name) || !is_regular(p, name)) continue;
        if (is_temporary(name)) {
            if (is_open(path)) f->n_busy++;
            else if (!found(f, FSCK_half_written, below, err, "was never given its name")) return false;
        } else if (p->is_cell && name[0] != '.' && !is_known(name)) {
            if (!found(f, FSCK_unknown_file, below, err, "no command writes such a file")) return false;
        }
    }
    return true;
}

static int not_dots(const struct dirent *e) { return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0; }

static bool walk(Fsck *f, const char *dir, const char *below, const char *experiment, int depth, Error *err) {
    Place p  = {.dir = dir, .below = below, .experiment = experiment};
    bool  ok = true;
    p.n = scandir(dir, &p.entry, not_dots, by_step);
    if (p.n < 0) {
        FAIL_STATUS(err, file_exit_status(errno), "", "%s", strerror(errno));
        return error_in(err, dir);
    }
    for (int i = 0; i < p.n; i++) p.is_cell |= strcmp(p.entry[i]->d_name, "run.json") == 0 || is_checkpoint(p.entry[i]->d_name);
    for (int i = 0; i < p.n; i++)
        if (strcmp(p.entry[i]->d_name, "experiment.json") == 0) experiment = below;
    p.busy = is_locked(dir);
    if (p.busy) f->n_busy++;
    else ok = look_at_result(f, &p, err) && look_at_checkpoints(f, &p, err) && look_at_weights(f, &p, err) && look_at_names(f, &p, err);
    for (int i = 0; ok && depth < MAX_DEPTH && i < p.n; i++) {
        char        path[PATH_MAX], name[PATH_MAX];
        struct stat s;
        if (p.entry[i]->d_name[0] == '.' || !path_to(path, dir, p.entry[i]->d_name) || !path_to(name, below, p.entry[i]->d_name)) continue;
        if (lstat(path, &s) == 0 && S_ISDIR(s.st_mode)) ok = walk(f, path, name, experiment, depth + 1, err);
    }
    for (int i = 0; i < p.n; i++) free(p.entry[i]);
    free(p.entry);
    json_decref(p.run);
    return ok;
}

/* ---- all results together ---- */

/* The one to keep of a cell: finished before unfinished, then the oldest, then one that an experiment has, then by path. */
static int better_first(const void *a, const void *b) {
    const FsckResult *x = a, *y = b;
    const int cell = strcmp(x->cell, y->cell), started = strcmp(x->started, y->started), at_home = (y->experiment != NULL) - (x->experiment != NULL);
    return cell != 0 ? cell : x->ok != y->ok ? y->ok - x->ok : started != 0 ? started : at_home != 0 ? at_home : strcmp(x->path, y->path);
}

/* A cell that one experiment took over from another: one file under two names, or, since copying and git break links, the same bytes. */
static bool is_shared(const FsckResult *a, const FsckResult *b) {
    if (a->device == b->device && a->file == b->file) return true;
    return a->experiment != NULL && b->experiment != NULL && strcmp(a->experiment, b->experiment) != 0 && strcmp(a->digest, b->digest) == 0;
}

static bool look_for_duplicates(Fsck *f, Error *err) {
    FsckResult *r = f->result;
    if (f->n_results > 0) qsort(r, (size_t)f->n_results, sizeof *r, better_first);
    for (int i = 1, first = 0; i < f->n_results; i++) {
        if (strcmp(r[i].cell, r[first].cell) != 0) first = i;
        for (int kept = first; kept < i && !r[i].is_duplicate; kept++) {
            r[i].is_duplicate = !r[kept].is_duplicate && !is_shared(&r[i], &r[kept]);
            if (r[i].is_duplicate && !found(f, FSCK_duplicate, r[i].path, err, "the cell of %s", r[kept].path)) return false;
        }
    }
    return true;
}

bool fsck_scan(Fsck *out, const char *dir, Error *err) {
    *out = (Fsck){0};
    return walk(out, dir, "", NULL, 0, err) && look_for_duplicates(out, err);
}
