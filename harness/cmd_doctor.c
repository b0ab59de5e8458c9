/* morbench doctor [--json]: what this machine can measure, and what would spoil a measurement. */
#include "engine/backends/blas_info.h"
#include "engine/clock.h"
#include "engine/json.h"
#include "engine/simd/rows.h"
#include "harness/doctor.h"
#include "harness/measure/counter_set.h"
#include "harness/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_findings(const Doctor *d) {
    for (int i = 0; i < d->n_findings; i++) {
        const DoctorFinding *f = &d->finding[i];
        printf("%-4s  %-17s  %s\n", doctor_mark_name(f->mark), f->topic, f->text);
        if (f->advice[0] != '\0') printf("%25s-> %s\n", "", f->advice);
    }
    printf("\nok %d, notes %d, warnings %d", doctor_count(d, DOCTOR_OK), doctor_count(d, DOCTOR_NOTE), doctor_count(d, DOCTOR_WARN));
    puts(doctor_count(d, DOCTOR_FAIL) > 0 ? "; the program cannot run here" : "");
}

static bool print_json(const Doctor *d, const DoctorFacts *facts, Error *err) {
    bool     ok   = false;
    json_t  *part = NULL, *tree = NULL;
    char    *text = NULL, now[CLOCK_UTC_SIZE];
    JsonSink root, list, item;
    json_sink_begin(&root);
    clock_utc_text(now);
    json_put_text(&root, "schema", "morbench.doctor/1");
    json_put_text(&root, "time", now);
    json_put_array(&root, "findings", &list);
    for (int i = 0; i < d->n_findings; i++) {
        json_put_object(&list, NULL, &item);
        json_put_text(&item, "mark", doctor_mark_name(d->finding[i].mark));
        json_put_text(&item, "topic", d->finding[i].topic);
        json_put_text(&item, "text", d->finding[i].text);
        if (d->finding[i].advice[0] != '\0') json_put_text(&item, "advice", d->finding[i].advice);
    }
    json_put_object(&root, "threads", &item);
    json_put_count(&item, "requested_count", facts->threads.requested);
    json_put_count(&item, "effective_count", facts->threads.distinct);
    json_put_count(&item, "cpus_count", facts->threads.cpus);
    json_put_count(&item, "in_process_count", facts->threads.in_process);
    json_put_count(&item, "pinned_count", facts->n_pinned);
    json_put_number(&root, "clock_overhead_ns", facts->clock_overhead_ns);
    json_put_text(&root, "own_kernels", facts->own_kernels);
    json_put_text(&root, "events_counted", facts->events_counted);
    json_put_text(&root, "events_missing", facts->events_missing);
    if (machine_to_json(facts->machine, &part, err)) {
        json_put(&root, "env", part);
        if (counters_to_json(facts->counters, &part, err)) {
            json_put(&root, "counters", part);
            ok = true;
        }
    }
    ok = json_sink_finish(&root, &tree, ok ? err : NULL) && ok;
    if (ok && (text = json_to_text(tree)) == NULL) ok = FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate the text of the findings");
    if (ok) fputs(text, stdout);
    free(text);
    json_decref(tree);
    return ok;
}

/* What the counted passes of bench would find: the same events, on the same threads. */
typedef struct Events { char counted[1024], missing[1024]; } Events;

static bool try_events(Events *e, double *loop_ratio, Error *err) {
    enum { MAX = 64 };
    CounterSet  *set = NULL;
    CounterTotal total[MAX];
    *e = (Events){.counted = ""};
    if (!counter_set_standard(&set, NULL, err)) return false;
    counter_set_start(set);
    counter_loop();
    counter_set_stop(set, total);
    for (int i = 0; i < counter_set_size(set) && i < MAX; i++) {
        char        *into = total[i].reason == NULL ? e->counted : e->missing;
        const size_t used = strlen(into);
        snprintf(into + used, sizeof e->counted - used, "%s%s", used > 0 ? " " : "", counter_set_event(set, i)->key);
        if (total[i].reason == NULL) continue;
        bool last = true;                                    /* of neighbours with the same reason: it is told behind them */
        if (i + 1 < counter_set_size(set)) last = total[i + 1].reason == NULL || strcmp(total[i + 1].reason, total[i].reason) != 0;
        if (last) snprintf(into + strlen(into), sizeof e->missing - strlen(into), " (%s)", total[i].reason);
    }
    counter_set_close(set);
    return counter_loop_ratio(counter_papi_has_hardware() ? counter_provider_papi() : &counter_provider_perf, loop_ratio, err);
}

/* Gathers the facts. The fingerprint comes before pinning, which narrows the allowed CPUs. */
static bool examine(DoctorFacts *facts, Machine *machine, Counters *counters, Events *events, Error *err) {
    BlasInfo  blas;
    int       n_released;
    const int n_threads = runtime_threads();
    machine_read(machine, "", environ, blas_info(&blas) ? &blas : NULL);
    counters_probe(counters, "", counters_perf_try);
    *facts = (DoctorFacts){.machine = machine, .counters = counters, .clock_overhead_ns = clock_overhead_ns(clock_real()),
                           .own_kernels = simd_rows()->name, .events_counted = events->counted, .events_missing = events->missing};
    if (!try_events(events, &facts->loop_ratio, err)) return false;
    return machine_pin_threads(true, &facts->n_pinned, err) && machine_threads_used(&facts->threads, n_threads, err) &&
           machine_pin_threads(false, &n_released, err);
}

int cmd_doctor(int argc, char **argv, Error *err) {
    static Machine  machine; /* some 60 KB together: too much for a small stack */
    static Counters counters;
    static Doctor   doctor;
    static Events   events;
    DoctorFacts     facts;
    bool            json      = false;
    const Option    options[] = {{.name = "json", .help = "findings, machine and counters as JSON", .flag = &json}, OPTIONS_END};
    const int       first     = options_parse(argc, argv, &(Usage){"doctor", "",
                                    "Says what this machine can measure, and what would spoil a measurement.", options, 0, 0}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;

    if (!runtime_begin(err) || !examine(&facts, &machine, &counters, &events, err)) return err->exit_status;
    doctor_examine(&doctor, &facts);
    if (!json)
        print_findings(&doctor);
    else if (!print_json(&doctor, &facts, err))
        return err->exit_status;
    if (fflush(stdout) != 0) {
        FAIL_STATUS(err, EXIT_IO, "", "cannot write the findings");
        return err->exit_status;
    }
    return doctor_count(&doctor, DOCTOR_FAIL) > 0 ? EXIT_MACHINE : EXIT_OK;
}
