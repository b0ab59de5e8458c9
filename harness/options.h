/* The command line: settings of the whole process, which every command takes, and each command's own options.
 *
 * main takes the process settings out of argv, wherever they stand, before the command sees it:
 *
 *     --threads N   --backend NAME   --blas-core auto|NAME   --pin on|off
 *
 * A command that computes calls runtime_begin before it does. Its own options are a table:
 *
 *     const char  *config = NULL;
 *     bool         trace  = false;
 *     const Option options[] = {
 *         {.name = "config", .value = "MODEL.json", .help = "...", .text = &config, .required = true},
 *         {.name = "trace", .help = "...", .flag = &trace},
 *         OPTIONS_END,
 *     };
 *     const int first = options_parse(argc, argv, &(Usage){"forward", "", "Runs a model ...", options, 0, 0}, err);
 *     if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
 *
 * Errors are EXIT_BAD_INPUT and name the option, unless said otherwise. */
#ifndef HARNESS_OPTIONS_H
#define HARNESS_OPTIONS_H

#include "engine/kernels.h"
#include "engine/error.h"

#include <stdbool.h>

/* ---- a command's own options ---- */

typedef struct Option {
    const char  *name;         /* "config" stands for --config */
    const char  *value;        /* what it takes, as help shows it ("FILE"); NULL: it is a switch */
    const char  *help;
    const char **text;         /* receives the value, which lives as long as argv; the last one given counts */
    bool        *flag;         /* of a switch: set to true */
    bool         required;
} Option;

#define OPTIONS_END {.name = NULL}

typedef struct Usage {
    const char   *command;     /* "forward" */
    const char   *operands;    /* "CONFIG.json [key=value ...]", "" when there are none */
    const char   *help;        /* what the command does, a few lines */
    const Option *options;
    int           min_operands, max_operands;
} Usage;

/* Index of the first operand in argv (argc when there is none); operands are moved behind the options. 0: --help was
 * asked for and printed; -1: *err is filled. argv[0] is the command's name. */
int options_parse(int argc, char **argv, const Usage *usage, Error *err);

/* Who wants the tables instead of having a command run: until it is called again with NULL, a command asked for --help hands its
 * Usage here and prints nothing. So help, manual page and completions cannot differ. */
typedef void (*UsageTaker)(void *self, const Usage *usage);
void options_describe(UsageTaker take, void *self);

/* A whole number in [low, high] from the value of --name. */
bool option_count(const char *name, const char *text, int low, int high, int *out, Error *err);

/* The n-th item of a comma-separated list, "" between two commas; NULL past the end, of no list, or without memory. free(). */
char *option_list_item(const char *list, int n);
int   option_list_length(const char *list);

/* ---- settings of the process ---- */

enum { THREADS_MAX = 1024 };

typedef enum PinChoice { PIN_UNSAID, PIN_ON, PIN_OFF } PinChoice;

typedef struct RuntimeOptions {
    int            n_threads;  /* 0: not given, which is OMP_NUM_THREADS or the allowed CPUs */
    const Backend *backend;    /* NULL: not given, which is backend_default() */
    const char    *blas_core;  /* "auto" or a name as OPENBLAS_CORETYPE takes it; NULL: not given, the environment stays */
    PinChoice      pin;        /* PIN_UNSAID: commands that measure pin, others do not */
} RuntimeOptions;

/* Takes the process settings out of argv, up to "--", and sets the threads of OpenMP. Where --blas-core needs another
 * environment, the process is replaced by itself: the matrix library reads it when it is loaded. Called once, by main,
 * before anything else and before there are other threads. */
bool runtime_take_options(int *argc, char **argv, Error *err);

/* As taken; static. */
const RuntimeOptions *runtime_options(void);

/* For a command that computes, before it does: makes sure that backend and kernels asked for can run here (else
 * EXIT_MACHINE), and says in one line on stderr when the environment forces slower kernels than the CPU has. */
bool runtime_begin(Error *err);

const Backend *runtime_backend(void);      /* asked for, or the default; complete */
int            runtime_threads(void);      /* requested, or by default; >= 1 */

/* Pins the threads where asked to, or unless told not to when the caller measures. *n_pinned: threads that stay. */
bool runtime_pin(bool measuring, int *n_pinned, Error *err);

/* The process settings as a table, which ends with name NULL; static. */
const Option *runtime_settings(void);
/* One line of help for each of them. */
void runtime_print_help(void);

#endif
