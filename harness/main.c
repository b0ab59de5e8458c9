/* morbench: finds the command, runs it, prints what went wrong on one line and chooses the exit status. */
#include "engine/field.h"
#include "harness/commands.h"
#include "harness/interrupt.h"
#include "harness/options.h"
#include "harness/report/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_COMMANDS = 64 };

static void print_help(FILE *to) {
    fprintf(to, "morbench %s: train, run and measure Vision Transformers\n\nusage: morbench COMMAND [options]\n\n", MORBENCH_VERSION);
    for (const Command *c = commands; c->name != NULL; c++) fprintf(to, "  %-10s %s\n", c->name, c->help);
    fprintf(to, "  %-10s %s\n", "help", "help [COMMAND]: this text, or that of a command");
}

/* Started by bench in processes of their own; not listed. */
static const Command worker = {"bench-worker", "", cmd_bench_worker};

static const Command *find_command(const char *name, Error *err) {
    Field field[MAX_COMMANDS] = {{0}};
    if (strcmp(name, worker.name) == 0) return &worker;
    for (int i = 0; commands[i].name != NULL; i++) {
        CHECK(i < MAX_COMMANDS - 1, "more than %d commands", i);
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
        field[i].key = commands[i].name;
    }
    const char *near = field_nearest(field, name);
    if (near != NULL) FAIL(err, name, "no such command; did you mean %s?", near);
    else              FAIL(err, name, "no such command; `morbench help` lists them");
    return NULL;
}

static int run_help(int argc, char **argv, Error *err) {
    if (argc > 2) return FAIL(err, argv[2], "help takes one command at most"), EXIT_BAD_INPUT;
    if (argc < 2) {
        print_help(stdout);
        printf("\nOf every command:\n");
        runtime_print_help();
        printf("\nExit status:\n");
        for (const ExitStatus *e = exit_statuses; e->status != NULL; e++) printf("  %-9s %s\n", e->status, e->meaning);
        return EXIT_OK;
    }
    const Command *command = find_command(argv[1], err);
    if (command == NULL) return EXIT_BAD_INPUT;
    char *asking[] = {argv[1], (char[]){"--help"}, NULL};
    return command->run(2, asking, err);
}

/* argv: without the process settings. */
static int run_command(int argc, char **argv, Error *err) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_BAD_INPUT;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("morbench %s\n", MORBENCH_VERSION);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return run_help(argc - 1, argv + 1, err);
    if (argv[1][0] == '-')
        return FAIL(err, argv[1], "no such option before a command; `morbench help` lists them"), EXIT_BAD_INPUT;
    const Command *command = find_command(argv[1], err);
    return command == NULL ? EXIT_BAD_INPUT : command->run(argc - 1, argv + 1, err);
}

/* A closed standard stream would lend its number to the next file opened, and what is meant for the terminal would end
 * up in there. Its place is taken such that output to it fails. */
static void hold_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDONLY) != fd) _exit(EXIT_IO);
}

/* A reader that goes away must not kill a training that also reports to it: the write fails instead. A handler and not
 * SIG_IGN, so that programs we start have the usual behaviour. */
static volatile sig_atomic_t reader_left;

static void on_broken_pipe(int signal_number) {
    (void)signal_number;
    reader_left = 1;
}

/* A file that reaches the limit of file sizes likewise: the write fails with EFBIG, is told, and what was half written is removed. */
static void on_file_too_large(int signal_number) { (void)signal_number; }

static void survive_failing_writes(void) {
    struct sigaction action = {.sa_handler = on_broken_pipe, .sa_flags = SA_RESTART};
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = on_file_too_large;
    sigaction(SIGXFSZ, &action, NULL);
}

/* A line made of several pieces is one write: processes that share a log (shards of a job, those of one sweep) do not
 * write into each other's lines. */
static void write_whole_lines(void) {
    static char line[PIPE_BUF];                                 /* a pipe takes as much at once (POSIX) */
    setvbuf(stderr, line, _IOLBF, sizeof line);
}

/* What could not be written is an error, said unless the reader simply left. */
static int finish_output(int status, Error *err) {
    errno = 0;
    const bool failed = fflush(stdout) != 0 || ferror(stdout) != 0;
    const int  why    = errno;
    if (!failed) return status;
    if (status == EXIT_OK && !reader_left) FAIL_STATUS(err, EXIT_IO, "standard output", "%s", why != 0 ? strerror(why) : "cannot be written");
    return status == EXIT_OK ? EXIT_IO : status;
}

int main(int argc, char **argv) {
    Error err    = {0};
    int   status = EXIT_BAD_INPUT;
    hold_standard_streams();
    survive_failing_writes();
    write_whole_lines();
    if (runtime_take_options(&argc, argv, &err)) status = run_command(argc, argv, &err);
    status = finish_output(status, &err);
    if (status == EXIT_OK || err.message[0] == '\0') return status;

    char text[sizeof err];
    error_text(&err, text, sizeof text);
    fputs("morbench: ", stderr);
    escape_terminal(stderr, text);               /* names of files and keys come from outside */
    fputc('\n', stderr);
    const char *debug = getenv("MORBENCH_DEBUG");
    if (debug != NULL && strcmp(debug, "1") == 0) fprintf(stderr, "  (noticed at %s:%d)\n", err.file, err.line);
    if (err.disk_full && interrupt_has_parent()) return EXIT_DISK_FULL;
    return err.exit_status != EXIT_OK ? err.exit_status : status;
}
