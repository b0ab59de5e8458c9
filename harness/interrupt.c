/* Signals as a flag (interrupt.h). */
#include "harness/interrupt.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t caught;
static struct timespec       caught_at;

/* One Ctrl-C may come twice: to a whole process group, and from a parent of ours that passes it on; a batch system does alike. */
static void on_signal(int number) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    /* the limit of CPU time is told every second from then on, which is nobody's impatience */
    if (caught != 0 && number != SIGXCPU && now.tv_sec - caught_at.tv_sec > 1) _exit(128 + number);
    if (caught == 0) caught_at = now;
    caught = number;
}

/* One that whoever started us ignores, as nohup does, stays ignored. */
static void catch_unless_ignored(int number, const struct sigaction *action) {
    struct sigaction before;
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN) return;
    sigaction(number, action, NULL);
}

static bool has_parent;

bool interrupt_has_parent(void) { return has_parent; }

/* One that another process of ours started ends with it, saving what it has: nobody else would wait for it. */
static void end_with_parent(void) {
    const char *parent = getenv(INTERRUPT_PARENT);
    const bool  ours   = parent != NULL && atol(parent) == (long)getppid();
    unsetenv(INTERRUPT_PARENT);
    has_parent = ours;
    if (ours) prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (ours && getppid() == 1) raise(SIGTERM);                  /* it ended in between */
}

void interrupt_announce(void) {
    char text[24];
    snprintf(text, sizeof text, "%ld", (long)getpid());
    setenv(INTERRUPT_PARENT, text, 1);
}

void interrupt_catch(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    catch_unless_ignored(SIGHUP, &action);
    catch_unless_ignored(SIGXCPU, &action);
    end_with_parent();
}

bool interrupt_raised(void) { return caught != 0; }

bool interrupted(Error *err) {
    if (caught == 0) return false;
    const int   number = caught;
    const char *name   = number == SIGINT ? "SIGINT" : number == SIGHUP ? "SIGHUP, a terminal that closed" : number == SIGXCPU ? "SIGXCPU, the limit of CPU time" : "SIGTERM";
    FAIL_STATUS(err, number == SIGINT ? EXIT_INTERRUPTED : EXIT_TERMINATED, "", "interrupted by %s", name);
    return true;
}
