/* Fuzz target: what the kernel tells of a machine. Any bytes as files of /proc and /sys, each a byte that says which and its text up to a zero byte.
 * Whatever they hold, the fingerprint is read, every fact is a value or has a reason of the closed list, and it can be written. Build with
 * -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "harness/machine.h"

#include "harness/sysfile.h"

#include <ftw.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define CPU "/sys/devices/system/cpu"
static const char *const files[] = {
    "/proc/cpuinfo", "/proc/meminfo", "/proc/self/status", "/proc/self/cgroup", "/proc/self/limits", "/proc/self/smaps", "/proc/self/personality",
    "/proc/loadavg", "/proc/pressure/cpu", "/proc/stat", "/proc/sys/kernel/arch", "/proc/sys/kernel/randomize_va_space", "/proc/sys/kernel/perf_event_paranoid",
    CPU "/online", CPU "/cpu0/topology/thread_siblings_list", CPU "/cpu0/topology/physical_package_id", CPU "/cpu0/cache/index0/level",
    CPU "/cpu0/cache/index0/type", CPU "/cpu0/cache/index0/size", CPU "/cpu0/cache/index0/shared_cpu_list", CPU "/cpu0/cpufreq/cpuinfo_max_freq",
    CPU "/cpufreq/boost", CPU "/vulnerabilities/meltdown", CPU "/smt/control", "/sys/devices/cpu_atom/cpus", "/sys/devices/system/node/online",
    "/sys/class/dmi/id/sys_vendor", "/sys/hypervisor/type", "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/a/cpu.max", "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "/sys/kernel/mm/transparent_hugepage/enabled",
};
enum { N_FILES = sizeof files / sizeof *files };

static char root[64];

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at) {
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static void remove_root(void) { nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static void path_of(char path[PATH_MAX], int i) { snprintf(path, PATH_MAX, "%s%s", root, files[i]); }

/* An empty tree, in memory where there is such a place, with the folders of all files. */
static void make_root(void) {
    snprintf(root, sizeof root, "%s/morbench-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(root) != NULL, "no folder");
    atexit(remove_root);
    for (int i = 0; i < N_FILES; i++) {
        char path[PATH_MAX];
        path_of(path, i);
        for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
            *slash = '\0';
            mkdir(path, 0777);
            *slash = '/';
        }
    }
}

static void check_reason(const char *reason) {
    CHECK(reason == NULL || reason == sysfile_not_supported || reason == sysfile_no_permission || reason == sysfile_not_requested, "reason %s", reason);
}

static void check(const Machine *m) {
    json_t *tree = NULL;
    char    id[MACHINE_ENV_ID_SIZE];
    Error   err  = {0};
#define CHECK_TEXT(fact)   CHECK(memchr(fact.value, 0, sizeof fact.value) != NULL, "a text without end")
#define CHECK_COUNT(fact)
#define CHECK_NUMBER(fact) CHECK(fact.reason != NULL || isfinite(fact.value), "%g", fact.value)
#define FACT(form, part, key, where) check_reason(m->key.reason); CHECK_##form(m->key);
#include "harness/machine.def"
    CHECK(m->n_caches >= 0 && m->n_caches <= 16 && m->n_mitigations >= 0 && m->n_mitigations <= 64, "%d caches, %d mitigations", m->n_caches, m->n_mitigations);
    const bool written = machine_to_json(m, &tree, &err) && machine_env_id(m, id, &err);
    CHECK(written && strlen(id) == 16, "cannot be written: %s", err.message);
    json_decref(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static Machine m;
    static char   *no_environment[] = {NULL};
    bool           made[N_FILES]    = {false};
    char           path[PATH_MAX];
    if (root[0] == '\0') make_root();
    while (n > 0) {
        const int      i    = bytes[0] % N_FILES;
        const uint8_t *zero = memchr(bytes + 1, 0, n - 1);
        const size_t   used = zero != NULL ? (size_t)(zero - bytes) : n;
        path_of(path, i);
        FILE *f = fopen(path, "wb");
        CHECK(f != NULL && fwrite(bytes + 1, 1, used - 1, f) == used - 1 && fclose(f) == 0, "cannot write %s", path);
        made[i] = true;
        bytes += used + (zero != NULL);
        n     -= used + (zero != NULL);
    }
    machine_read(&m, root, no_environment, NULL);
    check(&m);
    for (int i = 0; i < N_FILES; i++) {
        path_of(path, i);
        if (made[i]) unlink(path);
    }
    return 0;
}
