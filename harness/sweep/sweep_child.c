/* One command of ours as a process of its own: progress passed on line by line, an end that is told apart (sweep.h). */
#include "harness/sweep/sweep.h"

#include "engine/clock.h"
#include "harness/interrupt.h"
#include "harness/report/escape.h"
#include "harness/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The line in hand, and the last whole one. */
typedef struct Lines {
    char        line[600], last[600];
    size_t      n;
    const char *prefix;
    bool        quiet;
} Lines;

static void end_line(Lines *l) {
    l->line[l->n] = '\0';
    if (l->n > 0) {
        memcpy(l->last, l->line, l->n + 1);
        if (!l->quiet) {
            fputs(l->prefix, stderr);
            escape_terminal(stderr, l->line);
            fputc('\n', stderr);
        }
    }
    l->n = 0;
}

static void take(Lines *l, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') end_line(l);
        else if (l->n + 1 < sizeof l->line) l->line[l->n++] = (unsigned char)bytes[i] < ' ' ? ' ' : bytes[i];
    }
}

/* Passes on what it says until it ends; an interrupt of ours, or the end of our time, becomes its own, once, and is waited for. */
static void follow(Lines *l, int from, pid_t pid, uint64_t deadline_ns, bool *stopped) {
    char bytes[4096];
    for (;;) {
        if (!*stopped && (interrupt_raised() || (deadline_ns != 0 && clock_now_ns() >= deadline_ns))) {
            kill(pid, SIGTERM);
            *stopped = true;
        }
        struct pollfd ready = {.fd = from, .events = POLLIN};
        if (poll(&ready, 1, 200) <= 0) continue;
        const ssize_t n = read(from, bytes, sizeof bytes);
        if (n > 0) take(l, bytes, (size_t)n);
        else if (n == 0 || (errno != EINTR && errno != EAGAIN)) break;
    }
    end_line(l);
}

bool child_run(const char *const argv[], const Child *how, bool *stopped, Error *err) {
    static const char ours[] = "morbench: ";
    Lines lines = {.prefix = how->prefix, .quiet = how->quiet};
    int   ends[2], status = 0;
    pid_t pid = -1;
    *stopped  = false;
    if (pipe2(ends, O_CLOEXEC) != 0) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot open a pipe: %s", strerror(errno));
    interrupt_announce();
    const bool started = spawn_self(&pid, &(Spawn){.argv = argv, .out = -1, .log = ends[1], .passed = how->lock, .as = how->lock}, err);
    close(ends[1]);
    if (started) {
        follow(&lines, ends[0], pid, how->deadline_ns, stopped);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    }
    close(ends[0]);
    if (!started) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_OK) return true;
    const char *last = strncmp(lines.last, ours, sizeof ours - 1) == 0 ? lines.last + sizeof ours - 1 : lines.last;
    if (WIFEXITED(status)) return FAIL_STATUS(err, WEXITSTATUS(status), "", "%.480s", last[0] != '\0' ? last : "it ended without a word");
    return FAIL_STATUS(err, WTERMSIG(status) == SIGKILL ? EXIT_MACHINE : EXIT_CELLS, "", "the process was ended by signal %d (%s)%s%.300s", WTERMSIG(status),
                       strsignal(WTERMSIG(status)), last[0] != '\0' ? ", after: " : "", last);
}
