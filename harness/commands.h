/* The commands' entry points: argv[0] is the command's name; each returns the exit status, with *err filled when it is not 0. */
#ifndef HARNESS_COMMANDS_H
#define HARNESS_COMMANDS_H

#include "engine/error.h"
#include "harness/options.h"

#define COMMAND(name, help) int cmd_##name(int argc, char **argv, Error *err);
#include "harness/commands.def"
#undef COMMAND
int cmd_bench_worker(int argc, char **argv, Error *err);   /* what bench starts; not listed */

typedef struct Command {
    const char *name, *help;
    int       (*run)(int argc, char **argv, Error *err);
} Command;
extern const Command commands[];                           /* ends with name NULL */

/* What the program's exit status means; ends with status NULL. */
typedef struct ExitStatus { const char *status, *meaning; } ExitStatus;
extern const ExitStatus exit_statuses[];

/* The Usage of every command, in the order of the table, each followed by those of its sub-commands ("data list"). */
bool commands_describe(UsageTaker take, void *self, Error *err);

/* The n-th sub-command that operands such as "list [DIR...] | fetch NAME" name; false past the last. */
enum { COMMAND_WORD_SIZE = 40 };
bool command_word(const char *operands, int n, char word[COMMAND_WORD_SIZE]);

#endif
