/* Runs gnuplot, see gnuplot.h. Its three standard streams are memory files, so that no pipe can fill up and stall
 * either side, and waiting is all that is left to do. */
#include "harness/report/gnuplot.h"

#include "engine/clock.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_OUTPUT_BYTES = 64 << 20 };

static bool write_all(int fd, const char *bytes, size_t n) {
    while (n > 0) {
        const ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        bytes += done;
        n     -= (size_t)done;
    }
    return lseek(fd, 0, SEEK_SET) == 0;
}

/* All of a memory file, with a zero behind; NULL: no memory. */
static char *read_all(int fd, size_t *n) {
    struct stat s;
    if (fstat(fd, &s) != 0 || s.st_size > MAX_OUTPUT_BYTES) return NULL;
    char *bytes = malloc((size_t)s.st_size + 1);
    *n = 0;
    while (bytes != NULL && *n < (size_t)s.st_size) {
        const ssize_t got = pread(fd, bytes + *n, (size_t)s.st_size - *n, (off_t)*n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        *n += (size_t)got;
    }
    if (bytes != NULL) bytes[*n] = '\0';
    return bytes;
}

/* "NAME=value" of our environment, or "". */
static void copy_variable(const char *name, char *text, size_t size) {
    const char *value = getenv(name);
    const int   n     = value != NULL ? snprintf(text, size, "%s=%s", name, value) : 0;
    if (n <= 0 || (size_t)n >= size) text[0] = '\0';
}

static bool wait_for(pid_t child, int seconds, int *status, Error *err) {
    const uint64_t until = clock_now_ns() + (uint64_t)seconds*1000000000u;
    for (;;) {
        const pid_t ended = waitpid(child, status, WNOHANG);
        if (ended == child) return true;
        if (ended < 0 && errno != EINTR) return FAIL_STATUS(err, EXIT_IO, "", "gnuplot: %s", strerror(errno));
        if (clock_now_ns() > until) break;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    kill(child, SIGKILL);
    while (waitpid(child, status, 0) < 0 && errno == EINTR) {}
    return FAIL_STATUS(err, EXIT_IO, "", "gnuplot took over %d seconds and was ended", seconds);
}

bool gnuplot_run(const char *script, size_t n, int seconds, void **out, size_t *out_bytes, Error *err) {
    bool  ok = false, actions_made = false;
    int   stream[3] = {-1, -1, -1}, status = 0;
    char *picture = NULL, *complaint = NULL, variable[4][4096];
    char *const argv[] = {"gnuplot", "-d", NULL};   /* -d: no initialisation files */
    char *environment[6];
    pid_t child;
    size_t n_complaint = 0;
    posix_spawn_file_actions_t actions;
    for (int i = 0; i < 3; i++)
        if ((stream[i] = memfd_create("gnuplot", MFD_CLOEXEC)) < 0) {
            FAIL_STATUS(err, EXIT_MACHINE, "", "memfd_create: %s", strerror(errno));
            goto done;
        }
    if (!write_all(stream[0], script, n)) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a plot script of %zu bytes", n);
        goto done;
    }
    if (posix_spawn_file_actions_init(&actions) != 0) { FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory"); goto done; }
    actions_made = true;
    for (int i = 0; i < 3; i++)
        if (posix_spawn_file_actions_adddup2(&actions, stream[i], i) != 0) {
            FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
            goto done;
        }
    int n_environment = 0;
    static const char *const kept[] = {"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME"};   /* fonts are cached below the last */
    for (int i = 0; i < 4; i++) {
        copy_variable(kept[i], variable[i], sizeof variable[i]);
        if (variable[i][0] != '\0') environment[n_environment++] = variable[i];
    }
    environment[n_environment++] = "LC_ALL=C.UTF-8";
    environment[n_environment]   = NULL;
    const int failed = posix_spawnp(&child, "gnuplot", &actions, NULL, argv, environment);
    if (failed != 0) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot run gnuplot: %s", strerror(failed));
        goto done;
    }
    if (!wait_for(child, seconds, &status, err)) goto done;
    picture   = read_all(stream[1], out_bytes);
    complaint = read_all(stream[2], &n_complaint);
    if (picture == NULL || complaint == NULL) { FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a picture"); goto done; }
    const char *said = complaint + strspn(complaint, " \n\t");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || *out_bytes == 0) {
        FAIL_STATUS(err, EXIT_IO, "", "gnuplot %s%d: %.300s", WIFSIGNALED(status) ? "ended by signal " : "ended with status ",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), said);
        goto done;
    }
    *out    = picture;
    picture = NULL;
    ok      = true;
done:
    if (actions_made) posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 3; i++)
        if (stream[i] >= 0) close(stream[i]);
    free(picture);
    free(complaint);
    return ok;
}
