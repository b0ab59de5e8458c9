/* The program with a backend that leaves out attention: what rules V2 and V3 must catch (tests/test_mutants.sh). Never installed.
 * Linked over the program's own objects (Makefile), so that everything else is what users run. By the environment:
 *   MUTANT=timing   work is left out while the clock runs, and done otherwise
 *   MUTANT=bench    it is left out in every process that measures: their outputs agree with each other
 *   otherwise       nothing is left out */
#include "harness/commands.h"
#include "harness/measure/measure.h"
#include "harness/options.h"

#include <stdlib.h>
#include <string.h>

const Backend *__real_runtime_backend(void);
const Backend *__wrap_runtime_backend(void);
bool           __real_measure_subject(Measurement *out, const Subject *subject, const MeasurePlan *plan, Clock clock, Error *err);
bool           __wrap_measure_subject(Measurement *out, const Subject *subject, const MeasurePlan *plan, Clock clock, Error *err);
int            __real_cmd_bench_worker(int argc, char **argv, Error *err);
int            __wrap_cmd_bench_worker(int argc, char **argv, Error *err);

static bool skipping;

static bool is(const char *kind) { return getenv("MUTANT") != NULL && strcmp(getenv("MUTANT"), kind) == 0; }

static void attention(const AttentionArgs *a) {
    if (!skipping) __real_runtime_backend()->attention(a);
    else           memset(a->out, 0, (size_t)a->q_offset[a->n_sequences] * (size_t)a->H * (size_t)a->Ev * sizeof *a->out);
}

const Backend *__wrap_runtime_backend(void) {
    static Backend mutant;
    mutant           = *__real_runtime_backend();
    mutant.attention = attention;
    return &mutant;
}

static const MeasurePlan *asked;
static void open_window(void *window) {
    skipping = skipping || is("timing");
    if (asked->open != NULL) asked->open(window);
}
static void close_window(void *window) {
    skipping = skipping && !is("timing");
    if (asked->close != NULL) asked->close(window);
}

bool __wrap_measure_subject(Measurement *out, const Subject *subject, const MeasurePlan *plan, Clock clock, Error *err) {
    MeasurePlan watched = *plan;
    asked         = plan;
    watched.open  = open_window;
    watched.close = close_window;
    return __real_measure_subject(out, subject, &watched, clock, err);
}

int __wrap_cmd_bench_worker(int argc, char **argv, Error *err) {
    skipping = is("bench");
    return __real_cmd_bench_worker(argc, argv, err);
}
