/* Code that is meant to stop the program (CHECK, a report of AddressSanitizer), run in a child process. */
#ifndef TESTS_DIES_H
#define TESTS_DIES_H

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Death {
    int  signal, status;     /* what ended it: a signal, or 0 and its exit status */
    char text[4096];         /* the first of what it wrote to stderr */
} Death;

/* The child must not enter a parallel region: threads do not survive a fork. status 77: it lived. */
static inline Death death_of(void (*body)(void *), void *argument) {
    Death death = {0};
    int   end[2], status = 0;
    fflush(NULL);
    if (pipe(end) != 0) abort();
    const pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(end[1], STDERR_FILENO);
        close(end[0]);
        close(end[1]);
        body(argument);
        _exit(77);
    }
    close(end[1]);
    size_t n = 0;
    char   rest[512];
    for (ssize_t got; (got = read(end[0], rest, sizeof rest)) > 0;) {
        const size_t fits = (size_t)got < sizeof death.text - 1 - n ? (size_t)got : sizeof death.text - 1 - n;
        memcpy(death.text + n, rest, fits);
        n += fits;
    }
    close(end[0]);
    waitpid(child, &status, 0);
    death.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    death.status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    return death;
}

/* A CHECK failed and said `text`. */
static inline void assert_check_fails(void (*body)(void *), void *argument, const char *text) {
    const Death death = death_of(body, argument);
    if (death.signal != SIGABRT) fail_msg("it ended with signal %d, status %d", death.signal, death.status);
    if (strstr(death.text, text) == NULL) fail_msg("it said: %s", death.text);
}

#endif
