/* A worker: this program once more, in a process of its own, heard through a pipe (bench.h).
 *
 * The worker's stdout and stderr go to a temporary file that is shown only when it
 * dies without a word; what it has to say comes through descriptor 3 as one JSON object. */
#include "harness/measure/bench.h"

#include "harness/interrupt.h"
#include "harness/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char padding_name[] = "MORBENCH_PADDING=";

/* environ and one variable of n bytes more, none when n < 0; free(). */
static char **padded_environment(int n, char **padding) {
    size_t count = 0, kept = 0;
    while (environ[count] != NULL) count++;
    char **copy = calloc(count + 2, sizeof *copy);
    *padding    = malloc(sizeof padding_name + (size_t)(n > 0 ? n : 0));
    if (copy == NULL || *padding == NULL) {
        free(copy);
        free(*padding);
        *padding = NULL;
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], padding_name, sizeof padding_name - 1) != 0) copy[kept++] = environ[i];
    if (n < 0) return copy;
    memcpy(*padding, padding_name, sizeof padding_name - 1);
    memset(*padding + sizeof padding_name - 1, 'x', (size_t)n);
    (*padding)[sizeof padding_name - 1 + (size_t)n] = '\0';
    copy[kept] = *padding;
    return copy;
}

static bool start(pid_t *pid, const char *const argv[], int padding_bytes, int to_parent, int log, Error *err) {
    char      *padding     = NULL;
    char     **environment = padded_environment(padding_bytes, &padding);
    const bool ok = environment != NULL ? spawn_self(pid, &(Spawn){.argv = argv, .environment = environment, .out = log, .log = log, .passed = to_parent, .as = WORKER_FD}, err)
                                        : FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to start a process");
    free(environment);
    free(padding);
    return ok;
}

typedef struct Text { char *bytes; size_t n, capacity; } Text;

/* Everything until the worker closes its end. An interrupt of ours becomes the worker's, once, and is waited for. */
static bool hear(Text *t, int from, pid_t pid, Error *err) {
    bool told = false;
    for (;;) {
        if (interrupt_raised() && !told) {
            kill(pid, SIGTERM);
            told = true;
        }
        struct pollfd ready = {.fd = from, .events = POLLIN};
        const int     some  = poll(&ready, 1, 200);
        if (some < 0 && errno != EINTR) return FAIL_STATUS(err, EXIT_IO, "", "cannot hear a worker: %s", strerror(errno));
        if (some <= 0) continue;
        if (t->capacity - t->n < 65536) {
            const size_t capacity = 2 * t->capacity + 65536;
            char        *grown    = realloc(t->bytes, capacity);
            if (grown == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for what a worker says");
            t->bytes    = grown;
            t->capacity = capacity;
        }
        const ssize_t got = read(from, t->bytes + t->n, t->capacity - t->n);
        if (got == 0) return true;
        if (got < 0 && errno != EINTR && errno != EAGAIN) return FAIL_STATUS(err, EXIT_IO, "", "cannot hear a worker: %s", strerror(errno));
        if (got > 0) t->n += (size_t)got;
    }
}

/* The last line in the log that is not empty. */
static void last_line(int log, char *line, size_t size) {
    char          text[2048];
    const off_t   end  = lseek(log, 0, SEEK_END);
    const off_t   from = end > (off_t)sizeof text - 1 ? end - (off_t)sizeof text + 1 : 0;
    const ssize_t n    = end > 0 ? pread(log, text, sizeof text - 1, from) : 0;
    size_t        stop = n > 0 ? (size_t)n : 0;
    while (stop > 0 && (text[stop - 1] == '\n' || text[stop - 1] == ' ')) stop--;
    size_t start = stop;
    while (start > 0 && text[start - 1] != '\n') start--;
    snprintf(line, size, "%.*s", (int)(stop - start), text + start);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* What a worker says went wrong, as our own error. */
static bool pass_on(const json_t *said, Error *err) {
    const json_t *wrong = json_object_get(said, "error");
    if (wrong == NULL) return true;
    const int status = (int)json_integer_value(json_object_get(wrong, "exit_status"));
    FAIL_STATUS(err, status > 0 ? status : EXIT_BAD_INPUT, text_of(wrong, "field"), "%s", text_of(wrong, "message"));
    if (text_of(wrong, "input")[0] != '\0') error_in(err, text_of(wrong, "input"));
    return false;
}

static bool died(int status, int log, Error *err) {
    char line[256];
    last_line(log, line, sizeof line);
    const char *colon = line[0] != '\0' ? ": " : "";
    if (WIFSIGNALED(status))
        return FAIL_STATUS(err, WTERMSIG(status) == SIGKILL ? EXIT_MACHINE : EXIT_CELLS, "", "the measuring process was ended by signal %d (%s)%s%s", WTERMSIG(status),
                           strsignal(WTERMSIG(status)), colon, line);
    return FAIL_STATUS(err, EXIT_CELLS, "", "the measuring process ended with status %d and said nothing%s%s", WEXITSTATUS(status), colon, line);
}

/* Of one that says nothing but its status and a last line for people. */
static bool ended_well(int status, int log, Error *err) {
    static const char ours[] = "morbench: ";
    char line[400];
    if (!WIFEXITED(status)) return died(status, log, err);
    if (WEXITSTATUS(status) == EXIT_OK) return true;
    last_line(log, line, sizeof line);
    return FAIL_STATUS(err, WEXITSTATUS(status), "", "%s", strncmp(line, ours, sizeof ours - 1) == 0 ? line + sizeof ours - 1 : line);
}

bool worker_run(json_t **out, const char *const argv[], int padding_bytes, Error *err) {
    int     ends[2] = {-1, -1}, status = 0;
    pid_t   pid  = -1;
    Text    text = {0};
    json_t *said = NULL;
    bool    ok   = false;
    const int log = memfd_create("worker", MFD_CLOEXEC);
    if (log < 0 || pipe2(ends, O_CLOEXEC) != 0) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot open a pipe: %s", strerror(errno));
        goto done;
    }
    if (!start(&pid, argv, padding_bytes, ends[1], log, err)) goto done;
    close(ends[1]);
    ends[1] = -1;
    ok = hear(&text, ends[0], pid, err);
    if (!ok) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (!ok) goto done;
    if (interrupted(err)) ok = false;
    else if (out == NULL) ok = ended_well(status, log, err);
    else if (text.n == 0) ok = died(status, log, err);
    else {
        Error wrong = {0};
        ok = json_load_bytes(&said, text.bytes, text.n, &wrong);
        if (!ok) ok = died(status, log, err);                    /* cut off in mid-sentence */
        else ok = pass_on(said, err) && (WIFEXITED(status) && WEXITSTATUS(status) == 0 ? true : died(status, log, err));
    }
done:
    if (ok && out != NULL) *out = said;
    else json_decref(said);
    free(text.bytes);
    if (ends[0] >= 0) close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
    if (log >= 0) close(log);
    return ok;
}
