/* morbench bench: speed, memory and cost of models, measured in turns.
 *
 * A cell is a model at a batch size (with --train: a training step of it). A turn is one process that measures one cell: it
 * loads, warms up, times and ends (cmd_bench_worker.c). Turns come in blocks; a block holds one turn of every cell, in a random
 * order drawn anew from the seed, so that drift of the machine falls on all alike. The processes of a cell are the units of its
 * interval, so what a process does to all its samples at once widens the interval as it should. Every sample is kept. */
#include "harness/measure/bench.h"

#include "engine/clock.h"
#include "engine/file.h"
#include "engine/rng.h"
#include "harness/commands.h"
#include "harness/interrupt.h"
#include "harness/machine.h"
#include "harness/measure/peaks.h"
#include "harness/options.h"
#include "harness/progress.h"
#include "harness/report/escape.h"
#include "harness/report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_MODELS = 32, MAX_BATCHES = 16, MAX_CELLS = 128, MAX_PROCESSES = 1000, PADDING_MOST = 4096 };

typedef struct Bench {
    BenchSettings s;
    BenchChoice   choice[MAX_MODELS];    /* batch aside */
    char         *weights_file[MAX_MODELS], *preset[MAX_MODELS], *config[MAX_MODELS], *label[MAX_MODELS];   /* of each: from a list, or NULL */
    BenchArm      arm[MAX_MODELS];
    Error         unopened[MAX_MODELS];  /* why not; message "" of those that are open */
    BenchCell     cell[MAX_CELLS];
    int           model_of[MAX_CELLS];
    int           n_models, n_cells, batch[MAX_BATCHES], n_batches;
    bool          quiet, no_counters;
    const char   *events, *out_dir;
    double        waited_seconds;        /* for a quiet machine, so far */
    json_t       *ceilings;
    char          session[CLOCK_UTC_SIZE + 24];
} Bench;

static void bench_free(Bench *b) {
    if (b == NULL) return;
    for (int i = 0; i < b->n_cells; i++) {
        for (int k = 0; k < b->cell[i].n_said; k++) json_decref(b->cell[i].said[k]);
        free(b->cell[i].said);
    }
    for (int i = 0; i < b->n_models; i++) {
        bench_arm_close(&b->arm[i]);
        free(b->weights_file[i]);
        free(b->preset[i]);
        free(b->config[i]);
        free(b->label[i]);
    }
    json_decref(b->ceilings);
    free(b);
}

/* ---------------------------------------------------------------- what is to be measured */

/* Item i of a list into *item; NULL where there is no list. */
static bool take_item(const char *option, const char *list, int i, char **item, Error *err) {
    if (list == NULL) return true;
    *item = option_list_item(list, i);
    if (*item == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    return (*item)[0] != '\0' || FAIL(err, option, "name %d of the list is empty", i + 1);
}

typedef struct ModelLists { const char *presets, *configs, *weights, *labels; } ModelLists;

static bool fits(const char *option, const char *list, int n_models, const char *of_each, Error *err) {
    return list == NULL || option_list_length(list) == n_models
        || FAIL(err, option, "must name one %s for each of the %d models; got %d", of_each, n_models, option_list_length(list));
}

/* A model that cannot be opened is a failure of its cells; one at least must be. */
static bool add_models(Bench *b, const ModelLists *l, const DataChoice *data, bool train, Error *err) {
    const int n_models = option_list_length(l->configs != NULL ? l->configs : l->presets);
    int       n_open   = 0;
    if (!fits("--weights", l->weights, n_models, "file (- for random)", err) || !fits("--label", l->labels, n_models, "label", err)) return false;
    for (int i = 0; i < n_models; i++) {
        if (b->n_models == MAX_MODELS) return FAIL(err, "--preset", "at most %d models at once", MAX_MODELS);
        b->n_models++;
        if (!take_item("--preset", l->presets, i, &b->preset[i], err) || !take_item("--config", l->configs, i, &b->config[i], err)
            || !take_item("--weights", l->weights, i, &b->weights_file[i], err) || !take_item("--label", l->labels, i, &b->label[i], err))
            return false;
        const bool random = l->weights == NULL || strcmp(b->weights_file[i], "-") == 0;
        b->choice[i] = (BenchChoice){.model = {.preset = b->preset[i], .config = b->config[i], .weights = random ? NULL : b->weights_file[i], .seed = b->s.seed},
                                     .data = *data, .batch = 1, .train = train};
        if (bench_arm_open(&b->arm[i], &b->choice[i], true, &b->unopened[i])) n_open++;
        else if (n_open == 0 && i + 1 == n_models) *err = b->unopened[0];
    }
    return n_open > 0;
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* How model i is called in tables and directories. */
static const char *label_of(const Bench *b, int i) {
    if (b->label[i] != NULL) return b->label[i];
    if (b->arm[i].model == NULL) return b->preset[i] != NULL ? b->preset[i] : file_name(b->config[i]);
    return b->arm[i].model->preset[0] != '\0' ? b->arm[i].model->preset : b->arm[i].model->kind->name;
}

static bool read_batches(Bench *b, const char *batches, Error *err) {
    for (char *item; (item = option_list_item(batches, b->n_batches)) != NULL; b->n_batches++) {
        bool ok = b->n_batches < MAX_BATCHES || FAIL(err, "--batch", "at most %d sizes at once", MAX_BATCHES);
        ok = ok && option_count("batch", item, 1, 65536, &b->batch[b->n_batches], err);
        for (int k = 0; ok && k < b->n_batches; k++)
            if (b->batch[k] == b->batch[b->n_batches]) ok = FAIL(err, "--batch", "%d is given twice", b->batch[k]);
        free(item);
        if (!ok) return false;
    }
    return true;
}

static bool add_cells(Bench *b, Error *err) {
    for (int i = 0; i < b->n_models; i++) {
        const char *name = label_of(b, i);
        for (int k = 0; b->out_dir != NULL && k < i; k++)        /* a cell's directory is called after its model */
            if (strcmp(label_of(b, k), name) == 0)
                return FAIL(err, b->label[i] != NULL ? "--label" : "--preset", "%s is given twice, which --out has one directory for; give a --label to each", name);
        for (int k = 0; k < b->n_batches; k++) {
            if (b->n_cells == MAX_CELLS) return FAIL(err, "", "at most %d models times batch sizes at once", MAX_CELLS);
            b->model_of[b->n_cells] = i;
            BenchCell *c = &b->cell[b->n_cells++];
            *c = (BenchCell){.arm = &b->arm[i], .batch = b->batch[k], .failure = b->unopened[i], .said = calloc((size_t)b->s.effort.processes, sizeof *c->said)};
            snprintf(c->label, sizeof c->label, "%s", name);
            if (c->said == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
        }
    }
    return true;
}

static void cell_dir(const Bench *b, const BenchCell *c, char dir[4400]) {
    snprintf(dir, 4400, "%s/%s_b%d_t%d%s", b->out_dir, c->label, c->batch, runtime_threads(), b->s.train ? "_train" : "");
}

/* A directory that holds another run is refused before the measuring, not after it. */
static bool check_out(const Bench *b, Error *err) {
    bool ok = true, done;
    for (int i = 0; ok && b->out_dir != NULL && i < b->n_cells; i++) {
        Result *r = NULL;
        char    dir[4400];
        if (b->cell[i].arm->model == NULL) continue;
        cell_dir(b, &b->cell[i], dir);
        ok = bench_result_begin(&r, &b->s, &b->cell[i], err) && result_is_done(r, dir, &done, err);
        result_destroy(r);
    }
    return ok;
}

/* ---------------------------------------------------------------- turns */

/* Waits for other work to end, if there is waiting left to do. *waiting: share of time in which tasks waited for a CPU, NAN unknown. */
static void wait_for_quiet(Bench *b, double *waiting) {
    for (;;) {
        MachineLoad load;
        machine_read_load(&load, "");
        *waiting = load.cpu_waiting_ratio.reason == NULL ? load.cpu_waiting_ratio.value : NAN;
        if (!(*waiting > 0.05) || b->waited_seconds >= b->s.effort.quiet_seconds || interrupt_raised()) return;
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        b->waited_seconds += 1;
    }
}

static double stolen_between(const MachineLoad *from, const MachineLoad *to) {
    if (from->cpu_ticks_count.reason != NULL || to->cpu_ticks_count.reason != NULL) return NAN;
    const double ticks = (double)(to->cpu_ticks_count.value - from->cpu_ticks_count.value);
    return ticks > 0 ? (double)(to->steal_ticks_count.value - from->steal_ticks_count.value) / ticks : 0;
}

/* One process for cell i. profile: also the passes that are profiled, which one process of a cell does for all. */
static bool take_turn(Bench *b, int i, int block, int position, bool profile, Error *err) {
    BenchCell         *c      = &b->cell[i];
    const BenchChoice *choice = &b->choice[b->model_of[i]];
    const Effort      *e      = &b->s.effort;
    char               number[8][32];
    const char        *argv[64];
    int                n = 0;
    snprintf(number[0], 32, "%d", runtime_threads());
    snprintf(number[1], 32, "%d", c->batch);
    snprintf(number[2], 32, "%llu", (unsigned long long)b->s.seed);
    snprintf(number[3], 32, "%d", e->min_samples);
    snprintf(number[4], 32, "%d", e->max_samples > e->min_samples ? e->max_samples : e->min_samples);
    snprintf(number[5], 32, "%.17g", e->min_seconds);
    snprintf(number[6], 32, "%.17g", e->warmup_seconds);
    snprintf(number[7], 32, "%d", e->warmup_passes);
    const char *const fixed[] = {"morbench", "--threads", number[0], "--backend", runtime_backend()->name, "--pin", runtime_options()->pin == PIN_OFF ? "off" : "on",
                                 "bench-worker", "--tell", "3", "--batch", number[1], "--seed", number[2], "--samples", number[3], "--most-samples", number[4],
                                 "--seconds", number[5], "--warmup-seconds", number[6], "--warmup-passes", number[7],
                                 choice->model.config != NULL ? "--config" : "--preset", choice->model.config != NULL ? choice->model.config : choice->model.preset};
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++) argv[n++] = fixed[k];
    const char *const optional[][2] = {{"--weights", choice->model.weights}, {"--data", choice->data.name_or_dir}, {"--preprocess", choice->data.preprocess},
                                       {"--events", b->events}};
    for (size_t k = 0; k < sizeof optional / sizeof *optional; k++)
        if (optional[k][1] != NULL) argv[n++] = optional[k][0], argv[n++] = optional[k][1];
    if (choice->train) argv[n++] = "--train";
    if (profile) argv[n++] = "--profile";
    if (!b->no_counters) argv[n++] = "--counters";
    argv[n] = NULL;

    const int   padding = (int)rng_below(rng_stream(b->s.seed, "bench.padding"), (RngKey){.step = block, .image = i}, PADDING_MOST + 1);
    MachineLoad from, to;
    double      waiting;
    json_t     *said = NULL;
    wait_for_quiet(b, &waiting);
    machine_read_load(&from, "");
    if (!worker_run(&said, argv, padding, err)) return false;
    machine_read_load(&to, "");
    JsonSink sink = {.at = said}, flags;
    json_put_count(&sink, "position_count", position);
    json_put_count(&sink, "block_count", block);
    json_put_count(&sink, "padding_bytes", padding);
    json_put_number(&sink, "cpu_waiting_ratio", waiting);
    json_put_number(&sink, "steal_ratio", stolen_between(&from, &to));
    json_put_array(&sink, "flags", &flags);
    c->said[c->n_said++] = said;
    return !sink.failed || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for what was measured");
}

/* All turns. A cell that fails is given up and the others go on; an interrupt ends everything. */
static bool measure(Bench *b, Error *err) {
    const int n_blocks = b->s.effort.processes, n_turns = n_blocks * b->n_cells;
    int      *order    = calloc((size_t)n_turns, sizeof *order);
    bool      ok       = order != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d turns", n_turns);
    Progress  progress;
    progress_begin(&progress, "bench", 0, n_turns, b->quiet);
    if (ok) plan_turns(order, n_blocks, b->n_cells, b->s.seed);
    if (ok) b->s.order_tau = plan_order_tau(order, n_blocks, b->n_cells);
    for (int t = 0; ok && t < n_turns; t++) {
        BenchCell *c = &b->cell[order[t]];
        char       text[160];
        snprintf(text, sizeof text, "process %d of %d: %s, batch %d", t / b->n_cells + 1, n_blocks, c->label, c->batch);
        progress_show(&progress, t, t == 0, text);
        if (c->failure.message[0] != '\0') continue;
        Error wrong = {0};
        if (take_turn(b, order[t], t / b->n_cells, t, c->n_said == 0, &wrong)) continue;
        c->failure = wrong;
        if (interrupted(err)) ok = false;
    }
    progress_end(&progress);
    free(order);
    return ok;
}

/* The ceilings, by a process of its own like everything else. What goes wrong costs the roofline, not the measurement. */
static void measure_ceilings(Bench *b) {
    char  threads[32];
    Error wrong = {0};
    snprintf(threads, sizeof threads, "%d", runtime_threads());
    const char *const argv[] = {"morbench", "--threads", threads, "--pin", runtime_options()->pin == PIN_OFF ? "off" : "on", "peaks", "--tell", "3", NULL};
    if (worker_run(&b->ceilings, argv, 0, &wrong)) b->s.ceilings = b->ceilings;
    else if (!interrupt_raised()) fprintf(stderr, "morbench: warning: no ceilings: %s\n", wrong.message);
}

/* ---------------------------------------------------------------- results */

static bool cell_result(const Bench *b, const BenchCell *c, Result **out, Error *err) {
    Result *r  = NULL;
    bool    ok = bench_result_begin(&r, &b->s, c, err);
    if (ok && c->failure.message[0] != '\0')
        result_set_status(r, c->failure.exit_status == EXIT_MACHINE ? "oom" : "failed", &c->failure);
    else if (ok) ok = bench_result_fill(r, &b->s, c, err);
    if (ok) *out = r;
    else    result_destroy(r);
    return ok;
}

/* What an interrupted bench has so far, as runs that say so; the same command measures these cells anew. */
static void save_interrupted(const Bench *b) {
    for (int i = 0; b->out_dir != NULL && i < b->n_cells; i++) {
        const BenchCell *c = &b->cell[i];
        Result *r     = NULL;
        Error   wrong = {0};
        char    dir[4400];
        if (c->n_said == 0) continue;
        cell_dir(b, c, dir);
        bool ok = bench_result_begin(&r, &b->s, c, &wrong) && bench_result_fill(r, &b->s, c, &wrong);
        if (ok) result_set_status(r, "interrupted", NULL);
        ok = ok && result_write(r, dir, &wrong);
        if (!ok) fprintf(stderr, "morbench: warning: %s: %s\n", dir, wrong.message);
        result_destroy(r);
    }
}

static void print_row(const Bench *b, const BenchCell *c, Result *r) {
    const json_t *metrics = result_block(r, "metrics")->at, *model = result_block(r, "model")->at;
    if (c->failure.message[0] != '\0') {
        char text[1024];
        error_text(&c->failure, text, sizeof text);
        printf("%-28s %5d  failed: %s\n", c->label, c->batch, text);
        return;
    }
    const double macs = b->s.train ? report_number(metrics, "/train_step_macs_count") : report_number(model, "/counts/macs_executed") * c->batch;
    printf("%-28s %5d %10.3f [%9.3f, %9.3f] %10.1f %9.3f %9.2f %8.1f %9.1f %9.1f  %s\n", c->label, c->batch, report_number(metrics, "/latency_ns") / 1e6,
           report_number(metrics, "/latency_low_ns") / 1e6, report_number(metrics, "/latency_high_ns") / 1e6, report_number(metrics, "/images_per_s"),
           macs / c->batch / 1e9, report_number(model, "/params_count") / 1e6, 2 * macs / report_number(metrics, "/latency_ns"),
           report_number(metrics, "/peak_activation_bytes") / 1048576.0, report_number(metrics, "/peak_resident_bytes") / 1048576.0, verdict_name(result_verdict(r)));
}

/* Whatever lowered verdicts, each once with the cells it is about and what to do about it. */
static void print_reasons(const Bench *b, Result *const result[]) {
    for (Warning w = 0; w < N_WARNINGS; w++) {
        const char *detail = "";
        int         n = 0, first = 0;
        for (int i = 0; i < b->n_cells; i++) {
            const json_t *list = result[i] != NULL ? result_block(result[i], "warnings")->at : NULL, *one;
            size_t        k;
            json_array_foreach(list, k, one) {
                if (strcmp(json_string_value(json_object_get(one, "code")), warning_code(w)) != 0) continue;
                if (n++ == 0) {
                    detail = json_string_value(json_object_get(one, "detail"));
                    first  = i;
                }
            }
        }
        if (n == 0 || warning_verdict(w) == VERDICT_VALID) continue;
        if (n == b->n_cells) printf("%s: %s", verdict_name(warning_verdict(w)), warning_text(w));
        else printf("%s (%d of %d cells): %s", verdict_name(warning_verdict(w)), n, b->n_cells, warning_text(w));
        if (detail[0] != '\0') printf(" (%s, batch %d: %s)", b->cell[first].label, b->cell[first].batch, detail);
        printf(" -> %s\n", warning_advice(w));
    }
}

/* total: ns of all passes, which the shares are of. */
static void print_work(const json_t *list, const char *name, const char *title, const BenchCell *c, double passes, double total) {
    const json_t *w;
    size_t        i;
    if (json_array_size(list) == 0) return;
    printf("\n%s, batch %d: time by %s\n", c->label, c->batch, title);
    json_array_foreach(list, i, w) {
        const double ns = report_number(w, "/elapsed_ns"), macs = report_number(w, "/macs");
        if (ns > 0)
            printf("  %-28s %-8s %9.3f ms  %5.1f %%  %10.3f MMAC  %7.1f GFLOP/s as 2 per MAC  %9.2f MB\n", json_string_value(json_object_get(w, name)),
                   json_string_value(json_object_get(w, "pass")), ns / passes / 1e6, 100 * ns / total, macs / passes / 1e6, 2 * macs / ns,
                   report_number(w, "/moved_bytes") / passes / 1e6);
    }
}

/* Results, each written where --out says so. One that cannot be leaves the others: *wrong is the first of what went wrong, a full
 * disk before all else; message "": nothing. */
static void make_results(const Bench *b, Result *result[], Error *wrong) {
    for (int i = 0; i < b->n_cells; i++) {
        Error why = {0};
        char  dir[4400];
        if (b->out_dir != NULL) cell_dir(b, &b->cell[i], dir);
        if (cell_result(b, &b->cell[i], &result[i], &why) && (b->out_dir == NULL || result_write(result[i], dir, &why))) continue;
        if (wrong->message[0] == '\0' || (why.disk_full && !wrong->disk_full)) *wrong = why;
    }
}

static bool print_results(const Bench *b, Result *const result[], Error *err) {
    bool ok = true, first = true;
    printf("[\n");
    for (int i = 0; ok && i < b->n_cells; i++) {
        if (result[i] == NULL) continue;
        if (!first) printf(",\n");
        first = false;
        ok    = result_print(result[i], err);
    }
    if (ok) printf("]\n");
    return ok;
}

static void print_layers(const BenchCell *c, Result *r) {
    const json_t *p = result_block(r, "profile")->at, *op;
    const double  passes = report_number(p, "/passes_count");
    double        total  = 0;
    size_t        k;
    json_array_foreach(report_at(p, "/ops"), k, op) total += report_number(op, "/elapsed_ns");
    print_work(report_at(p, "/ops"), "op", "op", c, passes, total);
    print_work(report_at(p, "/scopes"), "scope", "layer", c, passes, total);
    print_work(report_at(p, "/parts"), "part", "part of routing", c, passes, total);
}

static void print_table(const Bench *b, Result *const result[], bool layers) {
    printf("%-28s %5s %10s %24s %10s %9s %9s %8s %9s %9s  %s\n", b->s.train ? "model (training step)" : "model", "batch", "median ms", "95 % interval", "images/s",
           "GMAC/img", "params M", "GFLOP/s*", "peak MiB", "proc. MiB", "verdict");
    for (int i = 0; i < b->n_cells; i++)
        if (result[i] != NULL) print_row(b, &b->cell[i], result[i]);
    printf("* executed multiply-accumulates of matrix products and convolutions, 2 operations each, over the median time; peak: of a pass's tensors, without weights;\n"
           "  proc.: of a whole process; medians and intervals are over %d processes a cell, which took turns\n", b->s.effort.processes);
    print_reasons(b, result);
    for (int i = 0; layers && i < b->n_cells; i++)
        if (result[i] != NULL) print_layers(&b->cell[i], result[i]);
    if (b->out_dir == NULL) return;
    fputs("written: ", stdout);
    escape_terminal(stdout, b->out_dir);
    fputs("/*/run.json\n", stdout);
}

static bool report(Bench *b, bool json, bool layers, Error *err) {
    Result *result[MAX_CELLS] = {NULL};
    Error   wrong = {0};
    int     n_failed = 0, n_invalid = 0;
    bool    ok = true;
    make_results(b, result, &wrong);
    for (int i = 0; i < b->n_cells; i++) {
        const bool failed = b->cell[i].failure.message[0] != '\0';
        n_failed  += failed;
        n_invalid += !failed && result[i] != NULL && warnings_invalidate(result_block(result[i], "warnings")->at, result_block(result[i], "experiment")->at);
    }
    if (n_failed == b->n_cells) {                                /* nothing to show */
        *err = wrong.disk_full ? wrong : b->cell[0].failure;
        ok   = false;
    } else if (json) {
        ok = print_results(b, result, err);
    } else {
        print_table(b, result, layers);
    }
    for (int i = 0; i < b->n_cells; i++) result_destroy(result[i]);
    if (ok && wrong.message[0] != '\0') {
        *err = wrong;
        return false;
    }
    if (ok && n_failed > 0) return FAIL_STATUS(err, EXIT_CELLS, "", "%d of %d cells failed", n_failed, b->n_cells);
    if (ok && n_invalid > 0) return FAIL_STATUS(err, EXIT_CELLS, "", "%d of %d cells are INVALID", n_invalid, b->n_cells);
    return ok;
}

/* ---------------------------------------------------------------- the command */

static bool seconds_of(const char *name, const char *text, double *out, Error *err) {
    char  *end, where[32];
    double value;
    if (text == NULL) return true;
    snprintf(where, sizeof where, "--%s", name);
    value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= 86400)) return FAIL(err, where, "must be seconds in [0, 86400], got '%.40s'", text);
    *out = value;
    return true;
}

typedef struct Words { const char *presets, *config, *weights, *labels, *batches, *profile, *seed, *processes, *samples, *seconds, *warmup_seconds; } Words;

static bool set_up(Bench *b, const Words *w, const DataChoice *data, Error *err) {
    int seed = 1;
    if ((w->presets == NULL) == (w->config == NULL)) return FAIL(err, "", "give either --preset NAME,... or --config MODEL.json,...");
    const Effort *effort = effort_find(w->profile, err);
    if (effort == NULL) return false;
    b->s.effort = *effort;
    if ((w->seed != NULL && !option_count("seed", w->seed, 0, 2147483647, &seed, err)) ||
        (w->processes != NULL && !option_count("processes", w->processes, 1, MAX_PROCESSES, &b->s.effort.processes, err)) ||
        (w->samples != NULL && !option_count("samples", w->samples, 1, 1000000, &b->s.effort.min_samples, err)) ||
        !seconds_of("seconds", w->seconds, &b->s.effort.min_seconds, err) || !seconds_of("warmup-seconds", w->warmup_seconds, &b->s.effort.warmup_seconds, err) ||
        !read_batches(b, w->batches, err) || (b->out_dir != NULL && !file_make_output_dir(b->out_dir, err)) || !runtime_begin(err))
        return false;
    b->s.seed = (uint64_t)seed;
    char utc[CLOCK_UTC_SIZE];
    clock_utc_text(utc);
    snprintf(b->session, sizeof b->session, "%s-%llx", utc, (unsigned long long)(clock_now_ns() & 0xffffff));
    b->s.session = b->session;
    return add_models(b, &(ModelLists){w->presets, w->config, w->weights, w->labels}, data, b->s.train, err) && add_cells(b, err) && check_out(b, err);
}

int cmd_bench(int argc, char **argv, Error *err) {
    Words      w    = {.batches = "1", .profile = "standard"};
    DataChoice data = {0};
    bool       json = false, layers = false;
    int        status = EXIT_OK;
    Bench     *b = calloc(1, sizeof *b);
    if (b == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory"), EXIT_MACHINE;
    const Option options[] = {
        {.name = "preset", .value = "NAME,...", .help = "models by name", .text = &w.presets},
        {.name = "config", .value = "MODEL.json,...", .help = "models by their settings, instead", .text = &w.config},
        {.name = "label", .value = "NAME,...", .help = "what each model is called in the table and in --out; default: its preset, or its kind", .text = &w.labels},
        {.name = "weights", .value = "FILE,...", .help = "one for each model, - for random; default random", .text = &w.weights},
        {.name = "data", .value = "NAME|DIR", .help = "real images; default: the block data of --config, else generated ones", .text = &data.name_or_dir},
        {.name = "preprocess", .value = "PRESET", .help = "default: deit for folders, none for named sets", .text = &data.preprocess},
        {.name = "batch", .value = "N,...", .help = "batch sizes, default 1", .text = &w.batches},
        {.name = "train", .help = "time training steps instead of inference", .flag = &b->s.train},
        {.name = "profile", .value = "smoke|standard|paper", .help = "how long to measure, default standard", .text = &w.profile},
        {.name = "processes", .value = "N", .help = "of each cell; default of the profile: 6, 9, 10", .text = &w.processes},
        {.name = "samples", .value = "N", .help = "of each process at least; default 3, 30, 100", .text = &w.samples},
        {.name = "seconds", .value = "S", .help = "of timing in each process at least; default 0.02, 3, 6", .text = &w.seconds},
        {.name = "warmup-seconds", .value = "S", .help = "of each process at most; default 0.05, 10, 30", .text = &w.warmup_seconds},
        {.name = "events", .value = "NAME,...", .help = "native events of PAPI to count beside the usual ones", .text = &b->events},
        {.name = "no-counters", .help = "leave the counted passes out", .flag = &b->no_counters},
        {.name = "layers", .help = "print the time by op and layer too (it is always in the JSON)", .flag = &layers},
        {.name = "seed", .value = "N", .help = "of the order of turns and of random weights, default 1", .text = &w.seed},
        {.name = "out", .value = "DIR", .help = "write DIR/<cell>/run.json", .text = &b->out_dir},
        {.name = "json", .help = "print the results as a JSON array", .flag = &json},
        {.name = "quiet", .help = "no progress", .flag = &b->quiet},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"bench", "", "Measures speed, memory and cost of models, in turns, each turn a process.", options, 0, 0}, err);
    if (first <= 0) {
        bench_free(b);
        return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    }
    interrupt_catch();
    b->s.argc = argc;
    b->s.argv = argv;
    bool ok = set_up(b, &w, &data, err);
    if (ok && strcmp(b->s.effort.name, "smoke") != 0) measure_ceilings(b);
    const bool measured = ok && measure(b, err);
    if (ok && !measured && interrupt_raised()) save_interrupted(b);
    ok = measured && report(b, json, layers, err);
    if (!ok) status = err->exit_status != EXIT_OK ? err->exit_status : EXIT_BAD_INPUT;
    bench_free(b);
    return status;
}
