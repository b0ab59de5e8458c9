/* Starting this program as a process of its own (spawn.h). */
#include "harness/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

static int set_files(posix_spawn_file_actions_t *actions, const Spawn *s) {
    int error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (error == 0)
        error = s->out >= 0 ? posix_spawn_file_actions_adddup2(actions, s->out, STDOUT_FILENO) : posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, s->log, STDERR_FILENO);
    /* last, since the log may be what has this number now; onto itself, dup2 would leave it to be closed by exec */
    if (error != 0 || s->passed < 0) return error;
    if (s->passed != s->as) return posix_spawn_file_actions_adddup2(actions, s->passed, s->as);
    return fcntl(s->passed, F_SETFD, 0) == 0 ? 0 : errno;
}

bool spawn_self(pid_t *pid, const Spawn *s, Error *err) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t          attributes;
    sigset_t none;
    int      error = posix_spawn_file_actions_init(&actions);
    sigemptyset(&none);
    if (error == 0 && (error = posix_spawnattr_init(&attributes)) == 0) {
        error = set_files(&actions, s);
        if (error == 0) error = posix_spawnattr_setsigmask(&attributes, &none);
        if (error == 0) error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        if (error == 0) error = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, (char *const *)s->argv, s->environment != NULL ? s->environment : environ);
        if (s->passed >= 0 && s->passed == s->as) fcntl(s->passed, F_SETFD, FD_CLOEXEC);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
    }
    return error == 0 || FAIL_STATUS(err, EXIT_MACHINE, "", "cannot start a process: %s", strerror(error));
}
