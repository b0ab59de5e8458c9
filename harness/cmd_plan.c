/* morbench plan EXPERIMENT.json: which cells an experiment asks for, which of them are done, how long the rest takes and what it writes. Starts
 * nothing and writes nothing. */
#include "harness/commands.h"
#include "harness/options.h"
#include "harness/progress.h"
#include "harness/report/escape.h"
#include "harness/sweep/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Sum { int all, done; double seconds; int64_t bytes; } Sum;

static Sum sum_of(const Sweep *s, CellKind kind) {
    Sum sum = {0};
    for (int i = 0; i < s->e->n_cells; i++) {
        if (s->e->cell[i].kind != kind || !s->at[i].mine) continue;
        sum.all++;
        sum.bytes += s->at[i].disk_bytes;
        if (s->at[i].state == CELL_DONE) sum.done++;
        else sum.seconds += s->at[i].seconds;
    }
    return sum;
}

/* Most that checkpoints take while one cell trains: two of them, weights with two moments and perhaps an average. */
static int64_t checkpoint_bytes(const Sweep *s) {
    int64_t most = 0;
    for (int i = 0; i < s->e->n_cells; i++) {
        const Cell   *c = &s->e->cell[i];
        const int64_t n = c->kind == CELL_TRAIN ? 2 * 4 * c->params * (c->train.ema_decay > 0 ? 4 : 3) : 0;
        if (n > most) most = n;
    }
    return most;
}

static void print(const Sweep *s) {
    static const struct { const char *title; CellKind kind; } phases[] = {{"train", CELL_TRAIN}, {"evaluate", CELL_EVALUATE}, {"time", CELL_TIME}};
    double  seconds = 0;
    int64_t bytes   = checkpoint_bytes(s);
    printf("%-52s %-8s %-8s %10s %9s %9s\n", "cell", "what", "state", "time left", "params M", "MMAC/img");
    for (int i = 0; i < s->e->n_cells; i++) {
        const Cell  *c = &s->e->cell[i];
        const Place *p = &s->at[i];
        char         time[32] = "-";
        if (!p->mine) continue;
        if (p->state != CELL_DONE && isfinite(p->seconds)) duration_text(p->seconds, time);
        printf("%-52s %-8s %-8s %10s %9.3f %9.3f\n", c->name, cell_kinds[c->kind], cell_states[p->state], time, (double)c->params / 1e6, (double)c->macs / 1e6);
        if (p->state == CELL_FAILED || p->state == CELL_DAMAGED || p->invalid) {
            fputs("    ", stdout);
            escape_terminal(stdout, p->failure);                 /* comes out of a file */
            putchar('\n');
        }
    }
    for (size_t k = 0; k < sizeof phases / sizeof *phases; k++) {
        const Sum sum = sum_of(s, phases[k].kind);
        char      time[32] = "unknown";
        if (sum.all == 0) continue;
        if (isfinite(sum.seconds)) duration_text(sum.seconds, time);
        printf("%-10s %4d cells, %d done; %s left\n", phases[k].title, sum.all, sum.done, time);
        seconds += sum.seconds;
        bytes   += sum.bytes;
    }
    char time[32] = "unknown";
    if (isfinite(seconds)) duration_text(seconds, time);
    printf("together   %s left with %d threads; %.1f MB on disk at most, in %s\n", time, runtime_threads(), (double)bytes / 1e6, s->dir);
    if (s->rate_from[0] != '\0') printf("times from %s: %.2f GMAC/s in training; equal models by their own steps where there were any\n", s->rate_from, s->macs_per_s / 1e9);
    if (s->data_missing[0] != '\0') printf("data       %s\n", s->data_missing);
}

static bool print_json(const Sweep *s, Error *err) {
    JsonSink out, cells;
    json_t  *tree = NULL;
    int64_t  bytes = checkpoint_bytes(s);
    double   seconds = 0;
    json_sink_begin(&out);
    json_put_text(&out, "experiment", s->e->name);
    json_put_text(&out, "size", s->e->size);
    json_put_text(&out, "question", s->e->question);
    json_put_text(&out, "directory", s->dir);
    json_put(&out, "factors", json_incref(s->e->factors));
    json_put_array(&out, "cells", &cells);
    for (int i = 0; i < s->e->n_cells; i++) {
        const Cell  *c = &s->e->cell[i];
        const Place *p = &s->at[i];
        JsonSink     cell;
        if (!p->mine) continue;
        json_put_object(&cells, NULL, &cell);
        json_put_text(&cell, "id", c->id);
        json_put_text(&cell, "name", c->name);
        json_put_text(&cell, "kind", cell_kinds[c->kind]);
        json_put_text(&cell, "state", cell_states[p->state]);
        json_put_text(&cell, "directory", p->dir);
        json_put(&cell, "rows", json_incref(c->rows));
        json_put(&cell, "settings", json_incref(c->settings));
        json_put_count(&cell, "params_count", c->params);
        json_put_count(&cell, "macs", c->macs);
        json_put_number(&cell, "estimated_ns", p->seconds * 1e9);
        json_put_count(&cell, "disk_bytes", p->disk_bytes);
        bytes += p->disk_bytes;
        if (p->state != CELL_DONE) seconds += p->seconds;
    }
    json_put_number(&out, "left_ns", seconds * 1e9);
    json_put_count(&out, "disk_bytes", bytes);
    json_put_count(&out, "threads_count", runtime_threads());
    json_put_number(&out, "train_macs_per_s", s->macs_per_s);
    json_put_text(&out, "estimated_from", s->rate_from);
    json_put_text(&out, "data_missing", s->data_missing);
    if (!json_sink_finish(&out, &tree, err)) return false;
    char *text = json_to_text(tree);
    if (text != NULL) fputs(text, stdout);
    json_decref(tree);
    const bool ok = text != NULL;
    free(text);
    return ok || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
}

int cmd_plan(int argc, char **argv, Error *err) {
    const char *size = NULL, *profile = NULL, *shard_text = NULL, *cells = NULL, *out_dir = NULL;
    Experiment  e    = {0};
    Sweep       s    = {0};
    Shard       shard;
    bool        json = false;
    const Option options[] = {
        {.name = "size", .value = "smoke|small|full", .help = "default small", .text = &size},
        {.name = "profile", .value = "smoke|standard|paper", .help = "of timings; default: as the file says, else standard (size smoke: smoke)", .text = &profile},
        {.name = "shard", .value = "I/N", .help = "only part I of N", .text = &shard_text},
        {.name = "cells", .value = "NAME[,NAME...]", .help = "only these cells of the file, and what they need", .text = &cells},
        {.name = "out", .value = "DIR", .help = "where results are; default results/NAME, or results/NAME-SIZE for sizes other than small", .text = &out_dir},
        {.name = "json", .help = "as JSON, with every setting of every cell", .flag = &json},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"plan", "EXPERIMENT.json [key=value ...]",
        "Says which cells `run` would train, evaluate and time, which are done, how long the rest takes and how much it writes.", options, 1, 256}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    s.quiet = true;
    s.cells = cells;
    const ExperimentChoice choice = {.path = argv[first], .size = size, .profile = profile, .n_overrides = argc - first - 1, .override = argv + first + 1};
    bool ok = sweep_shard_option(shard_text, &shard, err) && runtime_begin(err) && experiment_load(&e, &choice, err) && experiment_asks(&e, err) && sweep_open(&s, &e, out_dir, shard, false, err)
           && sweep_estimate(&s, err);
    if (ok && json) ok = print_json(&s, err);
    else if (ok) print(&s);
    sweep_close(&s);
    experiment_free(&e);
    return ok ? EXIT_OK : err->exit_status;
}
