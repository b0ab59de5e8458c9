/* Runs gnuplot: a script in, a picture out; the one place that starts a program. No shell is involved, and nothing of
 * the user's gnuplot settings is read.
 *
 * Ownership: *out is the caller's; free(). */
#ifndef HARNESS_GNUPLOT_H
#define HARNESS_GNUPLOT_H

#include "engine/error.h"

#include <stddef.h>

/* Feeds script (n bytes) to `gnuplot` of $PATH and returns what it writes to its standard output. Fails (EXIT_MACHINE)
 * when there is none, and (EXIT_IO) when it takes over seconds (then it is killed), ends with an error or writes nothing. */
bool gnuplot_run(const char *script, size_t n, int seconds, void **out, size_t *out_bytes, Error *err);

#endif
