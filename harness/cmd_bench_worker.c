/* morbench bench-worker: measures one cell once, in this process, and writes what it found as one JSON object to a descriptor
 * (--tell; else to standard output). `bench` starts one for each turn; people can too, to see what a turn does.
 *
 * In this order, so that nothing disturbs the times: images into memory, threads pinned and counted, a fixed loop of integer
 * operations, warm-up, timing (with energy and faults of the same window), peak memory, end to end, repeated input, counters,
 * profile, the fixed loop again. */
#include "harness/measure/bench.h"

#include "engine/backends/packed.h"
#include "harness/commands.h"
#include "harness/interrupt.h"
#include "harness/measure/counter_set.h"
#include "harness/measure/energy.h"
#include "harness/options.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PROFILE_PASSES = 3, MAX_COUNTERS = 64 };

typedef struct Task {
    BenchArm    arm;
    MeasurePlan plan;
    Clock       clock;
    bool        profile, counters;
    const char *events;
    double      pass_ns;             /* mean, once it was timed */
} Task;

static void put_numbers(JsonSink *to, const char *key, const double *x, int n) {
    JsonSink list;
    json_put_array(to, key, &list);
    for (int i = 0; i < n; i++) json_put_number(&list, NULL, x[i]);
}

static bool put_threads(JsonSink *to, Error *err) {
    ThreadsUsed used;
    int         n_pinned = 0;
    if (!runtime_pin(true, &n_pinned, err) || !machine_threads_used(&used, runtime_threads(), err)) return false;
    json_put_count(to, "threads_requested_count", used.requested);
    json_put_count(to, "threads_effective_count", used.distinct);
    json_put_count(to, "threads_cpus_count", used.cpus);
    json_put_count(to, "threads_pinned_count", n_pinned);
    return true;
}

/* -- timing -- */

/* What is read when the timing begins and when it ends. */
typedef struct Window {
    Clock         clock;
    Energy        energy;
    EnergyReading energy_from, energy_to;
    struct rusage from, to;
} Window;

static void window_open(void *self) {
    Window *w = self;
    energy_read(&w->energy_from, &w->energy, w->clock);
    getrusage(RUSAGE_SELF, &w->from);
}
static void window_close(void *self) {
    Window *w = self;
    getrusage(RUSAGE_SELF, &w->to);
    energy_read(&w->energy_to, &w->energy, w->clock);
}

static bool put_latency(Task *t, JsonSink *to, Error *err) {
    const Subject subject = bench_arm_model_only(&t->arm);
    MeasurePlan   plan    = t->plan;
    Window        w       = {.clock = t->clock};
    Measurement   m;
    const char   *reason;
    energy_open(&w.energy, "");
    plan.window = &w;
    plan.open   = window_open;
    plan.close  = window_close;
    if (!measure_subject(&m, &subject, &plan, t->clock, err)) return false;
    const double passes = (double)m.n * m.passes_per_sample, joules = energy_between(&w.energy, &w.energy_from, &w.energy_to, &reason);
    t->pass_ns = (double)m.timed_ns / passes;
    put_numbers(to, "latency_ns", m.sample_ns, m.n);
    json_put_count(to, "passes_per_sample_count", m.passes_per_sample);
    json_put_count(to, "warmup_passes_count", m.warmup_passes);
    json_put_number(to, "warmup_ns", m.warmup_ns);
    json_put_bool(to, "warmup_settled", m.settled);
    json_put_number(to, "timed_ns", m.timed_ns);
    json_put_count(to, "minor_faults_count", w.to.ru_minflt - w.from.ru_minflt);
    json_put_count(to, "major_faults_count", w.to.ru_majflt - w.from.ru_majflt);
    json_put_count(to, "involuntary_switches_count", w.to.ru_nivcsw - w.from.ru_nivcsw);
    if (reason == NULL) json_put_number(to, "energy_joules", joules / passes);
    else                json_put_missing(to, "energy_joules", reason);
    json_put_count(to, "outputs_compared_count", m.outputs_compared);
    json_put_count(to, "outputs_differ_count", m.outputs_differ);
    json_put_text(to, "output_sha256", m.output_sha256);
    witness_put(&t->arm.witness, to);
    measurement_free(&m);
    return true;
}

/* A third of the effort: the rest of the work is the same, and was measured. */
static bool put_end_to_end(Task *t, JsonSink *to, Error *err) {
    const Subject subject = bench_arm_end_to_end(&t->arm);
    MeasurePlan   plan    = t->plan;
    Measurement   m;
    plan.min_samples    = (plan.min_samples + 2) / 3;
    plan.min_seconds   /= 3;
    plan.warmup_seconds = 0;
    plan.warmup_passes  = 2;
    if (!measure_subject(&m, &subject, &plan, t->clock, err)) return false;
    put_numbers(to, "end_to_end_latency_ns", m.sample_ns, m.n);
    json_put_count(to, "end_to_end_differ_count", m.outputs_differ);
    json_put_text(to, "end_to_end_output_sha256", m.output_sha256);
    measurement_free(&m);
    return true;
}

/* -- counters -- */

static void put_total(JsonSink *to, const char *key, const CounterTotal *total, int passes) {
    char         name[128];
    const double count = total->count / passes;
    if (total->reason != NULL) json_put_missing(to, key, total->reason);
    else                       json_put_number(to, key, count);
    if (!total->shared) return;
    snprintf(name, sizeof name, "%s_running_ratio", key);
    if (isfinite(total->running_ratio)) json_put_number(to, name, total->running_ratio);
    else                                json_put_missing(to, name, "not_supported");
}

static int64_t depth_of(const ModelOutput *y, int batch) {
    int64_t       sum = 0;
    const int64_t n   = (int64_t)batch * y->n_tokens;
    for (int64_t i = 0; i < n; i++) sum += y->depth != NULL ? y->depth[i] : y->max_depth;
    return sum;
}

static int64_t macs_so_far(Task *t) {
    const Profile *p = tape_profile(t->arm.tape);
    return profile_total(p, 0, 0).macs + profile_total(p, 0, 1).macs;
}

static bool put_counters(Task *t, JsonSink *to, Error *err) {
    const Subject subject = bench_arm_model_only(&t->arm);
    CounterSet   *set     = NULL;
    CounterTotal  total[MAX_COUNTERS];
    double        loop    = NAN;
    if (!counter_set_standard(&set, t->events, err)) return false;
    CHECK(counter_set_size(set) <= MAX_COUNTERS, "%d events", counter_set_size(set));
    const CounterProvider *hardware = counter_papi_has_hardware() ? counter_provider_papi() : &counter_provider_perf;
    bool ok = counter_loop_ratio(hardware, &loop, err);
    counter_set_start(set);
    for (int i = 0; ok && i < BENCH_TURNS; i++) {
        const int64_t before = macs_so_far(t);
        ok = subject.run(subject.self, i, err);
        if (ok) counters_published_add(macs_so_far(t) - before, t->arm.train ? 0 : (int64_t)t->arm.batch * t->arm.output.n_tokens, t->arm.train ? 0 : depth_of(&t->arm.output, t->arm.batch));
    }
    counter_set_stop(set, total);
    const bool plausible = !(fabs(loop - 1) > 0.02);         /* NAN: nothing to compare with */
    JsonSink block;
    if (ok) {
        json_put_object(to, "counters", &block);
        for (int i = 0; i < counter_set_size(set); i++) {
            const CounterEvent *e = counter_set_event(set, i);
            if (!plausible && total[i].reason == NULL && (e->kind == COUNTER_HARDWARE || e->kind == COUNTER_NATIVE)) total[i].reason = "not_supported";
            put_total(&block, e->key, &total[i], BENCH_TURNS);
        }
        if (isfinite(loop)) json_put_number(&block, "loop_ratio", loop);
        else                json_put_missing(&block, "loop_ratio", "not_supported");
        json_put_text(&block, "provider", hardware->name);
    }
    counter_set_close(set);
    return ok;
}

/* -- profile, memory, depth -- */

static bool put_profile(Task *t, JsonSink *to, Error *err) {
    BenchArm     *a       = &t->arm;
    const Subject subject = bench_arm_model_only(a);
    int64_t       tokens[EVALUATE_MAX_DEPTH + 1] = {0}, expected = 0, least = INT64_MAX, most = 0;
    int           max_depth = -1, n_tokens = 0;
    bool          routed = false;
    uint64_t      whole_ns = 0;
    profile_clear(tape_profile(a->tape));
    tape_begin(a->tape, false, (TapeStep){0});               /* hands back what the last pass held */
    arena_reset_peak(tape_arena(a->tape));
    for (int i = 0; i < PROFILE_PASSES; i++) {
        const uint64_t from = clock_now_ns();
        if (!subject.run(subject.self, i, err)) return false;
        whole_ns += clock_now_ns() - from;
        if (a->train) {
            expected += a->report.macs_counted;
            if (a->report.macs_min < least) least = a->report.macs_min;
            if (a->report.macs_max > most) most = a->report.macs_max;
            continue;
        }
        const ModelOutput *y = &a->output;
        max_depth = y->max_depth;
        n_tokens  = y->n_tokens;
        CHECK(max_depth <= EVALUATE_MAX_DEPTH, "a depth of %d", max_depth);
        for (int64_t k = 0; k < (int64_t)a->batch * n_tokens; k++) tokens[y->depth != NULL ? y->depth[k] : max_depth]++;
        routed = routed || y->active != NULL;
        model_count_images(a->model, y, a->batch, false, &expected, &least, &most);
    }
    JsonSink       profile, list;
    const int64_t  forward = profile_total(tape_profile(a->tape), 0, 0).macs, backward = profile_total(tape_profile(a->tape), 0, 1).macs;
    json_put_count(to, "peak_activation_bytes", (int64_t)arena_peak_bytes(tape_arena(a->tape)));
    json_put_count(to, "profiled_ns", (int64_t)whole_ns);
    json_put_count(to, "forward_macs", forward);
    json_put_count(to, "backward_macs", backward);
    json_put_count(to, "forward_elementwise_count", profile_total(tape_profile(a->tape), 0, 0).elementwise);
    json_put_count(to, "profiled_images_count", (int64_t)PROFILE_PASSES * a->batch);
    json_put_count(to, "profiled_passes_count", PROFILE_PASSES);
    if (routed) json_put_bool(to, "routed", true);
    json_put_count(to, "expected_macs", expected);
    json_put_count(to, "least_macs", least);
    json_put_count(to, "most_macs", most);
    if (max_depth >= 0) {
        json_put_array(to, "depth_tokens_count", &list);
        for (int d = 0; d <= max_depth; d++) json_put_count(&list, NULL, tokens[d]);
        json_put_count(to, "tokens_per_image_count", n_tokens);
    }
    json_put_object(to, "profile", &profile);
    result_put_profile(&profile, tape_profile(a->tape), PROFILE_PASSES, (int64_t)PROFILE_PASSES * a->batch);
    return true;
}

/* What the packages draw while this process does nothing: told beside the energy, never taken off it (rule V15). */
static void put_idle_power(Task *t, JsonSink *to) {
    Energy        energy;
    EnergyReading from, until;
    const char   *reason;
    energy_open(&energy, "");
    if (energy.reason != NULL) return;
    energy_read(&from, &energy, t->clock);
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
    energy_read(&until, &energy, t->clock);
    const double joules = energy_between(&energy, &from, &until, &reason);
    if (reason == NULL) json_put_number(to, "idle_joules_per_s", joules / ((double)(until.at_ns - from.at_ns) / 1e9));
}

static bool work(Task *t, JsonSink *to, Error *err) {
    enum { MAX_PAIRS = 15, LEAST_PAIRS = 5 };
    if (t->profile) put_idle_power(t, to);                   /* one process of a cell */
    json_put_number(to, "clock_overhead_ns", t->plan.clock_overhead_ns);
    json_put_text(to, "weights_sha256", t->arm.weights_sha256);  /* of the bytes this process read */
    json_put_text(to, "data_digest", t->arm.data->digest);
    if (!put_threads(to, err)) return false;
    json_put_number(to, "spin_before_ns", measure_spin_ns(t->clock));
    if (!put_latency(t, to, err)) return false;
    json_put_count(to, "peak_resident_bytes", session_peak_resident_bytes());
    if (strcmp(runtime_backend()->name, "packed") == 0) json_put_count(to, "packed_weights_bytes", packed_bytes());
    if (!t->arm.train) {
        const Subject subject = bench_arm_model_only(&t->arm);
        /* three passes each: of long ones fewer, since their medians are of all processes and scatter less */
        const double  seconds = t->pass_ns * 3 * MAX_PAIRS / 1e9;
        const int     most    = seconds > t->plan.min_seconds ? LEAST_PAIRS : MAX_PAIRS;
        const int     pairs   = t->plan.min_samples < most ? t->plan.min_samples : most;
        double        ratio;
        if (!put_end_to_end(t, to, err) || !measure_repeat_ratio(&ratio, &subject, BENCH_TURNS, pairs, t->clock, err)) return false;
        json_put_number(to, "repeat_ratio", ratio);
    }
    if (t->counters && !put_counters(t, to, err)) return false;
    if (t->profile && !put_profile(t, to, err)) return false;
    json_put_number(to, "spin_after_ns", measure_spin_ns(t->clock));
    return true;
}

/* -- what is said -- */

static bool say(JsonSink *root, const Error *wrong, int fd, Error *err) {
    json_t  *tree = NULL;
    JsonSink what;
    if (wrong != NULL) {
        json_put_object(root, "error", &what);
        json_put_text(&what, "message", wrong->message);
        json_put_text(&what, "field", wrong->field);
        json_put_text(&what, "input", wrong->input);
        json_put_count(&what, "exit_status", wrong->exit_status);
    }
    if (!json_sink_finish(root, &tree, err)) return false;
    char *text = json_to_text(tree);
    json_decref(tree);
    bool ok = text != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for what was measured");
    for (size_t done = 0, n = ok ? strlen(text) : 0; ok && done < n;) {
        const ssize_t put = write(fd, text + done, n - done);
        if (put < 0) ok = FAIL_STATUS(err, EXIT_IO, "", "nobody listens to what was measured");
        else done += (size_t)put;
    }
    free(text);
    return ok;
}

static bool real_of(const char *name, const char *text, double least, double most, double *out, Error *err) {
    char *end, where[32];
    *out = strtod(text, &end);
    snprintf(where, sizeof where, "--%s", name);
    return (end != text && *end == '\0' && *out >= least && *out <= most) || FAIL(err, where, "must be a number in [%g, %g], got '%.40s'", least, most, text);
}

int cmd_bench_worker(int argc, char **argv, Error *err) {
    const char *batch = "1", *samples = "30", *most = "4000", *seconds = "3", *warmup_seconds = "10", *warmup_passes = "8", *seed = "1", *tell = "1";
    BenchChoice choice = {0};
    Task        t      = {.clock = clock_real()};
    int         seed_number, fd = STDOUT_FILENO;
    const Option options[] = {
        {.name = "preset", .value = "NAME", .help = "model by name", .text = &choice.model.preset},
        {.name = "config", .value = "MODEL.json", .help = "model by its settings", .text = &choice.model.config},
        {.name = "weights", .value = "FILE", .help = "default random", .text = &choice.model.weights},
        {.name = "data", .value = "NAME|DIR", .help = "as of bench", .text = &choice.data.name_or_dir},
        {.name = "preprocess", .value = "PRESET", .help = "as of bench", .text = &choice.data.preprocess},
        {.name = "batch", .value = "N", .help = "default 1", .text = &batch},
        {.name = "train", .help = "time training steps", .flag = &choice.train},
        {.name = "seed", .value = "N", .help = "of random weights", .text = &seed},
        {.name = "samples", .value = "N", .help = "at least", .text = &samples},
        {.name = "most-samples", .value = "N", .help = "passes are taken together to stay below", .text = &most},
        {.name = "seconds", .value = "S", .help = "of timing, at least", .text = &seconds},
        {.name = "warmup-seconds", .value = "S", .help = "at most", .text = &warmup_seconds},
        {.name = "warmup-passes", .value = "N", .help = "at least", .text = &warmup_passes},
        {.name = "profile", .help = "profiled passes too", .flag = &t.profile},
        {.name = "counters", .help = "counted passes too", .flag = &t.counters},
        {.name = "tell", .value = "FD", .help = "write to this descriptor instead of standard output", .text = &tell},
        {.name = "events", .value = "NAME,...", .help = "native events of PAPI beside the standard ones", .text = &t.events},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"bench-worker", "", "Measures one cell once, for bench.", options, 0, 0}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    prctl(PR_SET_PDEATHSIG, SIGTERM);                        /* never outlives who asked */
    interrupt_catch();
    JsonSink root;
    Error    wrong = {0};
    json_sink_begin(&root);
    bool ok = option_count("tell", tell, 1, 1023, &fd, &wrong) && option_count("batch", batch, 1, 65536, &choice.batch, &wrong) && option_count("seed", seed, 0, 2147483647, &seed_number, &wrong)
           && option_count("samples", samples, 1, 1000000, &t.plan.min_samples, &wrong)
           && option_count("most-samples", most, t.plan.min_samples, 1000000, &t.plan.max_samples, &wrong)
           && option_count("warmup-passes", warmup_passes, 1, 1000000, &t.plan.warmup_passes, &wrong)
           && real_of("seconds", seconds, 0, 1e6, &t.plan.min_seconds, &wrong) && real_of("warmup-seconds", warmup_seconds, 0, 1e6, &t.plan.warmup_seconds, &wrong);
    if (ok) {
        choice.model.seed        = (uint64_t)seed_number;
        t.plan.n_turns           = BENCH_TURNS;
        t.plan.clock_overhead_ns = clock_overhead_ns(t.clock);
        ok = runtime_begin(&wrong) && bench_arm_open(&t.arm, &choice, false, &wrong) && work(&t, &root, &wrong);
        bench_arm_close(&t.arm);
    }
    if (!say(&root, ok ? NULL : &wrong, fd, err)) return err->exit_status;
    if (ok) return EXIT_OK;
    *err = wrong;
    return wrong.exit_status;
}
