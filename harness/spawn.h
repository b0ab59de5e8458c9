/* This program once more, as a process of its own: posix_spawn of /proc/self/exe and no shell, standard input empty, no signal blocked. */
#ifndef HARNESS_SPAWN_H
#define HARNESS_SPAWN_H

#include "engine/error.h"

#include <sys/types.h>

typedef struct Spawn {
    const char *const *argv;         /* ends with NULL; argv[0] is only shown */
    char             **environment;  /* NULL: ours */
    int                out, log;     /* its standard output and error; out -1: nowhere */
    int                passed, as;   /* a descriptor it gets besides, under that number; passed -1: none */
} Spawn;

bool spawn_self(pid_t *pid, const Spawn *s, Error *err);

#endif
