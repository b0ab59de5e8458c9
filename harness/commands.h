/* The commands' entry points: argv[0] is the command's name; returns the exit status, with *err filled when it is not 0. */
#ifndef HARNESS_COMMANDS_H
#define HARNESS_COMMANDS_H

#include "engine/error.h"

#define COMMAND(name, help) int cmd_##name(int argc, char **argv, Error *err);
#include "harness/commands.def"
#undef COMMAND
int cmd_bench_worker(int argc, char **argv, Error *err);   /* what bench starts; not listed */

#endif
