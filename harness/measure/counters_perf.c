/* Events of the kernel by perf_event_open: one descriptor an event and thread, user space only (counter_set.h). */
#include "harness/measure/counter_set.h"
#include "harness/measure/counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct PerfThread {
    int         n;
    int         fd[48];
    const char *reason[48];
} PerfThread;

static int open_event(const CounterEvent *e) {
    struct perf_event_attr attr = {.size = sizeof attr, .type = (uint32_t)e->perf_type, .config = e->perf_config, .exclude_hv = 1,
                                   .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING};
    attr.exclude_kernel = 1;                                 /* what perf_event_paranoid 2 allows */
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void *perf_open(void *self, const CounterEvent *const event[], int n) {
    (void)self;
    PerfThread *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    CHECK(n <= (int)(sizeof t->fd / sizeof *t->fd), "%d events", n);
    t->n = n;
    for (int i = 0; i < n; i++) {
        t->fd[i]     = event[i]->perf_type >= 0 ? open_event(event[i]) : -1;
        t->reason[i] = t->fd[i] >= 0 ? NULL : counters_reason_of_errno(event[i]->perf_type >= 0 ? errno : ENOENT);
    }
    return t;
}

static void perf_read(void *thread, CounterReading reading[]) {
    PerfThread *t = thread;
    for (int i = 0; i < t->n; i++) {
        uint64_t value[3] = {0};                             /* count, enabled, running */
        reading[i] = (CounterReading){.reason = t->reason[i]};
        if (t->reason[i] != NULL) continue;
        const ssize_t got = read(t->fd[i], value, sizeof value);
        if (got != (ssize_t)sizeof value)                    /* an event in error state reads as nothing */
            t->reason[i] = reading[i].reason = counters_reason_of_errno(got < 0 ? errno : ENODATA);
        reading[i].count      = value[0];
        reading[i].enabled_ns = value[1];
        reading[i].running_ns = value[2];
    }
}

static void perf_close(void *thread) {
    PerfThread *t = thread;
    for (int i = 0; i < t->n; i++)
        if (t->fd[i] >= 0) close(t->fd[i]);
    free(t);
}

const CounterProvider counter_provider_perf = {.name = "perf", .open = perf_open, .read = perf_read, .close = perf_close};
