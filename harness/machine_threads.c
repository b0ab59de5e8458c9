/* The threads a process really gets: counted in a parallel region, and pinned. What was asked for, and what a library
 * reports, are not trusted. */
#include "harness/machine.h"

#include "engine/clock.h"

#include <dirent.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static int count_distinct(int *x, int n) {
    int distinct = 0;
    for (int i = 0; i < n; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++) seen = seen || x[k] == x[i];
        if (!seen) distinct++;
    }
    return distinct;
}

static int count_tasks(void) {
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL) return 0;
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') n++;
    closedir(dir);
    return n;
}

/* One look: where each thread is after all have been busy for busy_ns together. */
static int look(int requested, uint64_t busy_ns, int *tid, int *cpu) {
    int team = 1;
#pragma omp parallel num_threads(requested) default(none) shared(team, tid, cpu, busy_ns)
    {
#pragma omp barrier
        const uint64_t from = clock_now_ns();
        while (clock_now_ns() - from < busy_ns) {}
        const int i = omp_get_thread_num();
        tid[i]      = (int)gettid();
        cpu[i]      = sched_getcpu();
#pragma omp single
        team = omp_get_num_threads();
    }
    return team;
}

bool machine_threads_used(ThreadsUsed *out, int requested, Error *err) {
    CHECK(requested >= 1, "%d threads requested", requested);
    bool      ok  = false;
    int      *tid = calloc((size_t)requested, sizeof *tid);
    int      *cpu = calloc((size_t)requested, sizeof *cpu);
    *out          = (ThreadsUsed){.requested = requested};
    if (tid == NULL || cpu == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate room for %d threads", requested);
        goto done;
    }
    /* A thread that has just been woken may share a CPU for a moment: the best of a few looks counts, and a machine on
     * which the threads are apart is done after the first. */
    for (int n_looks = 0; n_looks < 4; n_looks++) {
        out->team           = look(requested, 1000000, tid, cpu);
        const int cpus      = count_distinct(cpu, out->team);
        out->distinct       = count_distinct(tid, out->team);
        if (cpus > out->cpus) out->cpus = cpus;
        if (out->cpus >= out->distinct) break;
    }
    out->in_process = count_tasks();
    ok              = true;
done:
    free(tid);
    free(cpu);
    return ok;
}

/* The CPUs allowed when first asked, before anything here narrowed them. Kept for the life of the process. */
static cpu_set_t *allowed;
static size_t     allowed_bytes;

static bool find_allowed(Error *err) {
    if (allowed != NULL) return true;
    for (int n_cpus = 1024; n_cpus <= 1 << 20; n_cpus *= 2) { /* the kernel refuses a set smaller than its own */
        cpu_set_t *set = CPU_ALLOC((size_t)n_cpus);
        if (set == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a set of %d CPUs", n_cpus);
        if (sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)n_cpus), set) == 0) {
            allowed       = set;
            allowed_bytes = CPU_ALLOC_SIZE((size_t)n_cpus);
            return true;
        }
        CPU_FREE(set);
    }
    return FAIL_STATUS(err, EXIT_MACHINE, "", "the kernel does not tell which CPUs are allowed");
}

static int nth_allowed(int n) {
    const int n_bits = (int)(allowed_bytes * 8);
    for (int cpu = 0; cpu < n_bits; cpu++)
        if (CPU_ISSET_S((size_t)cpu, allowed_bytes, allowed) && n-- == 0) return cpu;
    return 0;
}

bool machine_pin_threads(bool pin, int *n_pinned, Error *err) {
    *n_pinned = 0;
    if (!find_allowed(err)) return false;
    const int  n_allowed  = CPU_COUNT_S(allowed_bytes, allowed);
    const bool by_runtime = omp_get_proc_bind() != omp_proc_bind_false;
    int        count      = 0;
    bool       no_memory  = false;
#pragma omp parallel reduction(+ : count) reduction(|| : no_memory)
    {
        if (by_runtime) {
            if (omp_get_place_num() >= 0) count++;
        } else if (pin) {
            cpu_set_t *one = CPU_ALLOC(allowed_bytes * 8);
            if (one != NULL) {
                CPU_ZERO_S(allowed_bytes, one);
                CPU_SET_S((size_t)nth_allowed(omp_get_thread_num() % n_allowed), allowed_bytes, one);
                if (sched_setaffinity(0, allowed_bytes, one) == 0) count++;
                CPU_FREE(one);
            } else {
                no_memory = true;
            }
        } else {
            sched_setaffinity(0, allowed_bytes, allowed);
        }
    }
    if (no_memory) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a set of CPUs");
    *n_pinned = count;
    return true;
}
