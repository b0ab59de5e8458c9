/* morbench run EXPERIMENT.json: trains, evaluates and times what the experiment asks for and is not there yet.
 *
 * Exit status: 0 all of it (of the shard) is done; 4 some cells failed, the others are done; 130, 143 interrupted or out of time with the
 * state saved: the same command goes on. */
#include "engine/clock.h"
#include "harness/commands.h"
#include "harness/interrupt.h"
#include "harness/options.h"
#include "harness/sweep/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void count(const Sweep *s, bool timing, int *all, int *done, int *failed) {
    for (int i = 0; i < s->e->n_cells; i++) {
        if (timing ? s->e->cell[i].kind != CELL_TIME : s->e->cell[i].kind == CELL_TIME || !s->at[i].mine) continue;
        ++*all;
        *done   += s->at[i].state == CELL_DONE;
        *failed += s->at[i].given_up;
    }
}

/* What failed, cell by cell, and the sum of it. False, with EXIT_CELLS, when anything did. */
static bool report_failures(const Sweep *s, bool trains, bool times, bool json, Error *err) {
    int all = 0, done = 0, failed = 0;
    if (trains) count(s, false, &all, &done, &failed);
    if (times) count(s, true, &all, &done, &failed);
    if (json) {
        json_t *out = json_pack("{ss ss si si si s[]}", "experiment", s->e->name, "directory", s->dir, "cells_count", all, "done_count", done, "failed_count",
                                failed, "failed");
        for (int i = 0; i < s->e->n_cells; i++)
            if (s->at[i].given_up)
                json_array_append_new(json_object_get(out, "failed"), json_pack("{ss ss ss ss}", "id", s->e->cell[i].id, "name", s->e->cell[i].name,
                                                                               "directory", s->at[i].dir, "message", s->at[i].failure));
        char *text = json_to_text(out);
        if (text != NULL) fputs(text, stdout);
        free(text);
        json_decref(out);
    } else {
        for (int i = 0; i < s->e->n_cells; i++)
            if (s->at[i].given_up) printf("failed: %s: %s\n        %s\n", s->e->cell[i].name, s->at[i].failure, s->at[i].dir);
        printf("%d of %d cells done, %d failed; %s\n", done, all, failed, s->dir);
    }
    return failed == 0 || FAIL_STATUS(err, EXIT_CELLS, "", "%d of %d cells failed; the same command tries them again", failed, all);
}

typedef struct Words { const char *size, *shard, *profile, *out, *minutes, *only; } Words;

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
    return report_failures(s, trains, times, json, err);
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
    const ExperimentChoice choice = {.path = argv[first], .size = w.size, .profile = w.profile, .n_overrides = argc - first - 1, .override = argv + first + 1};
    const bool ok = run(&e, &s, &w, &choice, json, err);
    sweep_close(&s);
    experiment_free(&e);
    return ok ? EXIT_OK : err->exit_status;
}
