/* morbench run EXPERIMENT.json: trains, evaluates and times what the experiment asks for and is not there yet.
 *
 * Exit status: 0 all of it (of the shard) is done; 4 some cells failed or are INVALID, the others are done; 130, 143 interrupted or out of time
 * with the state saved: the same command goes on. What failed is tried again by the same command. What is invalid is not: a timing counts beside
 * those it took turns with, so that a second try would be a session of its own; who wants it removes the directory. */
#include "engine/clock.h"
#include "harness/commands.h"
#include "harness/interrupt.h"
#include "harness/options.h"
#include "harness/report/escape.h"
#include "harness/sweep/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sum { int all, done, failed, invalid; } Sum;

static bool is_failed(const Place *p)  { return p->given_up; }
static bool is_invalid(const Place *p) { return p->mine && p->state == CELL_DONE && p->invalid; }

static void count(const Sweep *s, bool timing, Sum *sum) {
    for (int i = 0; i < s->e->n_cells; i++) {
        const Place *p = &s->at[i];
        if (timing != (s->e->cell[i].kind == CELL_TIME) || !p->mine) continue;
        sum->all++;
        sum->done    += p->state == CELL_DONE;
        sum->failed  += p->given_up;
        sum->invalid += is_invalid(p);
    }
}

static void put_cells(const Sweep *s, JsonSink *out, const char *key, bool (*is)(const Place *)) {
    JsonSink list, one;
    json_put_array(out, key, &list);
    for (int i = 0; i < s->e->n_cells; i++) {
        if (!is(&s->at[i])) continue;
        json_put_object(&list, NULL, &one);
        json_put_text(&one, "id", s->e->cell[i].id);
        json_put_text(&one, "name", s->e->cell[i].name);
        json_put_text(&one, "directory", s->at[i].dir);
        json_put_text(&one, "message", s->at[i].failure);
    }
}

static bool print_json(const Sweep *s, const Sum *sum, Error *err) {
    JsonSink out;
    json_t  *tree = NULL;
    json_sink_begin(&out);
    json_put_text(&out, "experiment", s->e->name);
    json_put_text(&out, "directory", s->dir);
    json_put_count(&out, "cells_count", sum->all);
    json_put_count(&out, "done_count", sum->done);
    json_put_count(&out, "failed_count", sum->failed);
    json_put_count(&out, "invalid_count", sum->invalid);
    put_cells(s, &out, "failed", is_failed);
    put_cells(s, &out, "invalid", is_invalid);
    const bool ok = json_sink_finish(&out, &tree, err) && json_print(tree, err);
    json_decref(tree);
    return ok;
}

static void print_cells(const Sweep *s, const char *what, bool (*is)(const Place *)) {
    for (int i = 0; i < s->e->n_cells; i++) {
        if (!is(&s->at[i])) continue;
        printf("%s: %s: ", what, s->e->cell[i].name);
        escape_terminal(stdout, s->at[i].failure);               /* of a file, or of a process's last line */
        fputs("\n        ", stdout);
        escape_terminal(stdout, s->at[i].dir);
        putchar('\n');
    }
}

/* What failed and what is invalid, cell by cell, and the sum of it. False, with EXIT_CELLS, when anything did or is. */
static bool report_cells(const Sweep *s, bool trains, bool times, bool json, Error *err) {
    Sum sum = {0};
    if (trains) count(s, false, &sum);
    if (times) count(s, true, &sum);
    if (json && !print_json(s, &sum, err)) return false;
    if (!json) {
        print_cells(s, "failed", is_failed);
        print_cells(s, "invalid", is_invalid);
        printf("%d of %d cells done, %d failed", sum.done, sum.all, sum.failed);
        if (sum.invalid > 0) printf(", %d invalid", sum.invalid);
        fputs("; ", stdout);
        escape_terminal(stdout, s->dir);
        putchar('\n');
    }
    if (sum.failed > 0) return FAIL_STATUS(err, EXIT_CELLS, "", "%d of %d cells failed; the same command tries them again", sum.failed, sum.all);
    return sum.invalid == 0 || FAIL_STATUS(err, EXIT_CELLS, "", "%d of %d cells are invalid; once their directories are removed, the same command does them anew", sum.invalid, sum.all);
}

typedef struct Words { const char *size, *shard, *cells, *profile, *out, *minutes, *only; } Words;

static bool run(Experiment *e, Sweep *s, const Words *w, const ExperimentChoice *choice, bool json, Error *err) {
    Shard shard;
    int   minutes = 0;
    const bool trains = w->only == NULL || strcmp(w->only, "train") == 0, timing = w->only == NULL || strcmp(w->only, "time") == 0;
    if (!trains && !timing) return FAIL(err, "--only", "must be train or time; got \"%.40s\"", w->only);
    if (!sweep_shard_option(w->shard, &shard, err) || (w->minutes != NULL && !option_count("minutes", w->minutes, 1, 100000, &minutes, err))) return false;
    if (minutes > 0) s->deadline_ns = clock_now_ns() + (uint64_t)minutes * 60u * 1000000000u;
    const bool times = timing && (shard.count == 1 || w->only != NULL);
    if (!runtime_begin(err) || !experiment_load(e, choice, err) || !experiment_asks(e, err) || !sweep_open(s, e, w->out, shard, true, err) || !sweep_write_plan(s, err) || !sweep_estimate(s, err))
        return false;
    if (s->data_missing[0] != '\0') return FAIL(err, "/data", "%s", s->data_missing);
    if ((trains && !sweep_run(s, err)) || (times && !sweep_time(s, err))) return false;
    return report_cells(s, trains, times, json, err);
}

int cmd_run(int argc, char **argv, Error *err) {
    Words      w    = {0};
    Experiment e    = {0};
    Sweep      s    = {0};
    bool       json = false, quiet = false;
    const Option options[] = {
        {.name = "size", .value = "smoke|small|full", .help = "which cells, and how much they train; default small", .text = &w.size},
        {.name = "profile", .value = "smoke|standard|paper", .help = "how long each timing takes; default: as the file says, else standard (size smoke: smoke)", .text = &w.profile},
        {.name = "shard", .value = "I/N", .help = "only part I of N, without timing: one process or machine of several", .text = &w.shard},
        {.name = "cells", .value = "NAME[,NAME...]", .help = "only these cells of the file, and what they need", .text = &w.cells},
        {.name = "minutes", .value = "M", .help = "save and stop after so long; the same command goes on", .text = &w.minutes},
        {.name = "only", .value = "train|time", .help = "only training and evaluating, or only timing; default both, one after the other", .text = &w.only},
        {.name = "out", .value = "DIR", .help = "default results/NAME, or results/NAME-SIZE for sizes other than small", .text = &w.out},
        {.name = "json", .help = "print what came of it as JSON", .flag = &json},
        {.name = "quiet", .help = "no progress", .flag = &quiet},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"run", "EXPERIMENT.json [key=value ...]",
        "Trains, evaluates and times every cell of an experiment that is not done yet; cells that failed are tried again.\n"
        "Several processes may work in one DIR at once. key=value overrides a setting in every cell.", options, 1, 256}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    interrupt_catch();
    s.quiet = quiet;
    s.cells = w.cells;
    const ExperimentChoice choice = {.path = argv[first], .size = w.size, .profile = w.profile, .n_overrides = argc - first - 1, .override = argv + first + 1};
    const bool ok = run(&e, &s, &w, &choice, json, err);
    sweep_close(&s);
    experiment_free(&e);
    return ok ? EXIT_OK : err->exit_status;
}
