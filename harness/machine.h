/* The fingerprint of machine and process that goes into every result, and the threads a process really gets.
 *
 * Everything the kernel tells is read below a root (normally ""), so that a copied tree stands in for another machine.
 * An unknown fact has a reason instead of a value, and reading never fails for want of one.
 *
 * Ownership: a Machine is plain data; nothing to free. It is about 40 KB. */
#ifndef HARNESS_MACHINE_H
#define HARNESS_MACHINE_H

#include "engine/backends/blas_info.h"
#include "engine/error.h"
#include "engine/json.h"

#include <stdint.h>

/* Known when reason is NULL; else reason is of the closed list (harness/sysfile.h). */
typedef struct FactText   { char value[512]; const char *reason; } FactText;
typedef struct FactCount  { int64_t value;   const char *reason; } FactCount;
typedef struct FactNumber { double value;    const char *reason; } FactNumber;

typedef struct CpuCache {
    int     level;
    char    type[16];        /* "Data", "Instruction", "Unified" */
    int64_t size_bytes;
    int     shared_by_count; /* CPUs that share it */
} CpuCache;

typedef struct NamedText {
    char name[48], value[256];
} NamedText;

#define SIMD(name, word) SIMD_##name,
typedef enum SimdFlag {
#include "harness/simd_flags.def"
    N_SIMD_FLAGS
} SimdFlag;

/* How busy the machine is. Waiting is the share of the last ten seconds in which some task waited (PSI "some" avg10);
 * ticks are since boot, for the caller to subtract two readings. */
typedef struct MachineLoad {
    FactNumber load_1min, load_5min, load_15min; /* runnable tasks */
    FactNumber cpu_waiting_ratio, memory_waiting_ratio, io_waiting_ratio;
    FactCount  cpu_ticks_count, steal_ticks_count; /* of all CPUs together, idle included; taken away by the hypervisor */
} MachineLoad;

typedef struct Machine {
#define FORM_TEXT   FactText
#define FORM_COUNT  FactCount
#define FORM_NUMBER FactNumber
#define FACT(form, part, key, where) FORM_##form key;
#include "harness/machine.def"
#undef FORM_TEXT
#undef FORM_COUNT
#undef FORM_NUMBER
    bool        simd[N_SIMD_FLAGS]; /* all false also when unknown: then simd_reason says why */
    const char *simd_reason;
    CpuCache    cache[16];      /* of CPU 0 */
    int         n_caches;
    NamedText   mitigation[64]; /* /sys/devices/system/cpu/vulnerabilities */
    int         n_mitigations;
    NamedText   environment[64];/* the variables that matter, in the order of their names */
    int         n_environment;
    int         n_environment_left_out; /* more than there is room for */
    MachineLoad load;
} Machine;

/* env: "NAME=value" strings up to NULL, of which only OMP_*, OPENBLAS_*, GOMP_*, MALLOC_*, KMP_*, MORBENCH_*,
 * GLIBC_TUNABLES, LD_PRELOAD and LD_LIBRARY_PATH are kept. blas: NULL when there is none. Call it before pinning
 * threads, which narrows the allowed CPUs. */
void machine_read(Machine *out, const char *root, char *const env[], const BlasInfo *blas);
void machine_read_load(MachineLoad *out, const char *root);

/* The value of a kept environment variable; NULL if not set. */
const char *machine_environment(const Machine *m, const char *name);

/* The variable that makes OpenMP's threads sleep wherever they wait, so that each operation has to wake them; NULL: none does. */
const char *machine_sleeping_threads(const Machine *m);

/* Whether it is a virtual machine: 1 yes, 0 no, -1 unknown. */
int machine_is_virtual(const Machine *m);

/* First 16 hexadecimal digits of the SHA-256 of the part that stays: pairs results of one environment. */
enum { MACHINE_ENV_ID_SIZE = 17 };
bool machine_env_id(const Machine *m, char id[MACHINE_ENV_ID_SIZE], Error *err);

/* The block "env" of a result. *out is the caller's; json_decref. */
bool machine_to_json(const Machine *m, json_t **out, Error *err);

/* -- threads -- */

typedef struct ThreadsUsed {
    int requested;       /* as asked */
    int team;            /* threads OpenMP gave */
    int distinct;        /* kernel threads that ran, by their ids: the threads_effective of a result */
    int cpus;            /* CPUs seen under them while all were busy; fewer than distinct: they take turns */
    int in_process;      /* /proc/self/task, all threads there are; 0: unknown */
} ThreadsUsed;

/* Runs a parallel region of `requested` (>= 1) threads that all compute for about a millisecond, and counts. */
bool machine_threads_used(ThreadsUsed *out, int requested, Error *err);

/* Pins OpenMP thread i to the i-th (of n, modulo n) CPU this process was allowed at the first call, or gives all their
 * CPUs back. *n_pinned: threads of the team that now stay where they are; where the OpenMP runtime was told to bind
 * threads (OMP_PROC_BIND, GOMP_CPU_AFFINITY) it is left to it, and its threads with a place are counted. A machine
 * that forbids it is not an error: *n_pinned is then 0. */
bool machine_pin_threads(bool pin, int *n_pinned, Error *err);

#endif
