/* Where the program's own files lie, by where the program lies (installed.h). */
#include "harness/installed.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool installed_find(char path[PATH_MAX], const char *below) {
    static const char *const places[] = {"", "/..", "/../..", "/../share/morbench"};
    char          program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) return false;
    program[n] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (snprintf(path, PATH_MAX, "%s%s/%s", program, places[i], below) < PATH_MAX && access(path, R_OK) == 0) return true;
    return false;
}
