#include "harness/commands.h"
int cmd_compare(int argc, char **argv, Error *err) { (void)argc, (void)argv; return FAIL(err, "", "not yet"), EXIT_BAD_INPUT; }
