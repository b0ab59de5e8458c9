/* Preloaded into the program by test_sweep_kills.py: ends the whole process group with SIGKILL in the middle of one kind of work, after it
 * logged that this began and before it is complete.
 *
 *   KILL_PHASE   training     a matrix product of `train` has begun
 *                evaluating   the same of `eval`
 *                timing       the same of a process that bench started
 *                checkpoint   the first half of a piece of a checkpoint is in its temporary file
 *                write        the same of any other file
 *                sync         a file is written, not yet on disk
 *                rename       a file is on disk under its temporary name only
 *                placed       it has its name; its directory is not yet on disk
 *                claim        a cell's lock is held, nothing is done yet
 *   KILL_AT      in which occurrence of that, counted in each process, from 1
 *   KILL_LOG     gets one line */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int count;

static void end_here(const char *what) {
    char        line[600];
    const char *path = getenv("KILL_LOG");
    const int   n    = snprintf(line, sizeof line, "%s %s\n", getenv("KILL_PHASE"), what);
    const int   fd   = open(path != NULL ? path : "/dev/stderr", O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd >= 0 && write(fd, line, (size_t)n) == n) close(fd);
    kill(0, SIGKILL);
    for (;;) pause();
}

static int is_phase(const char *phase) {
    const char *wanted = getenv("KILL_PHASE");
    return wanted != NULL && strcmp(wanted, phase) == 0;
}

static int is_time(const char *phase) {
    const char *at = getenv("KILL_AT");
    return is_phase(phase) && at != NULL && ++count == atoi(at);
}

/* Whether this process was started as that command. */
static int is_command(const char *command) {
    char      line[4096] = "";
    const int fd = open("/proc/self/cmdline", O_RDONLY);
    const ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : 0;
    if (fd >= 0) close(fd);
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(line + i) + 1)
        if (strcmp(line + i, command) == 0) return 1;
    return 0;
}

/* The file that descriptor fd is of, when it has a temporary name. */
static int is_temporary(int fd, char path[512]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, 511);
    if (n <= 0) return 0;
    path[n] = '\0';
    return strstr(path, "/.tmp-") != NULL;
}

/* ---- matrix products ---- */

typedef void Gemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    static Gemm *real;
    static int   known, command;
    if (real == NULL) real = (Gemm *)dlsym(RTLD_NEXT, "cblas_sgemm");
    if (!known) {
        known = 1;
        command = is_phase("training") ? is_command("train") : is_phase("evaluating") ? is_command("eval") : is_phase("timing") ? is_command("bench-worker") : 0;
    }
    if (command && is_time(getenv("KILL_PHASE"))) end_here("a matrix product began");
    real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* ---- files ---- */

/* The header of one tells its state. */
static int is_checkpoint(const char *bytes, size_t n) {
    n = n < 4096 ? n : 4096;
    return memmem(bytes, n, "\"__metadata__\"", 14) != NULL && memmem(bytes, n, "\"state\"", 7) != NULL;
}

ssize_t write(int fd, const void *bytes, size_t n) {
    static ssize_t (*real)(int, const void *, size_t);
    static int checkpoint_fd = -1;
    char path[512];
    if (real == NULL) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if ((is_phase("checkpoint") || is_phase("write")) && is_temporary(fd, path)) {
        if (is_checkpoint(bytes, n)) checkpoint_fd = fd;
        if ((checkpoint_fd == fd) == is_phase("checkpoint") && is_time(getenv("KILL_PHASE"))) {
            (void)!real(fd, bytes, n / 2);
            end_here(path);
        }
    }
    return real(fd, bytes, n);
}

int fsync(int fd) {
    static int (*real)(int);
    char path[512];
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (is_phase("sync") && is_temporary(fd, path) && is_time("sync")) end_here(path);
    return real(fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    static int (*real)(int, const char *, int, const char *);
    if (real == NULL) real = (int (*)(int, const char *, int, const char *))dlsym(RTLD_NEXT, "renameat");
    if (is_phase("rename") && is_time("rename")) end_here(to);
    const int status = real(from_fd, from, to_fd, to);
    if (is_phase("placed") && is_time("placed")) end_here(to);
    return status;
}

int flock(int fd, int operation) {
    static int (*real)(int, int);
    char link[64], path[512];
    if (real == NULL) real = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    const int status = real(fd, operation);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    if (status == 0 && n > 0) {
        path[n] = '\0';
        if (strstr(path, "/.locks/") != NULL && is_time("claim")) end_here(path);
    }
    return status;
}
