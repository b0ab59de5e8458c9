/* Reads the fingerprint of a machine: see harness/machine.def for what comes from where. */
#include "harness/machine.h"

#include "harness/sysfile.h"

#include <dirent.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void know(FactText *fact, const char *value) {
    snprintf(fact->value, sizeof fact->value, "%.*s", (int)sizeof fact->value - 1, value);
    fact->reason = NULL;
}

static void know_count(FactCount *fact, int64_t value) {
    *fact = (FactCount){.value = value, .reason = NULL};
}

static void read_fact(FactText *fact, const char *root, const char *path) {
    fact->reason = sysfile_read(root, path, fact->value, sizeof fact->value);
}

static void read_fact_count(FactCount *fact, const char *root, const char *path, int64_t scale) {
    fact->reason = sysfile_read_count(root, path, scale, &fact->value);
}

static void line_fact(FactText *fact, const char *text, const char *key, const char *reason) {
    fact->reason = sysfile_line(text, key, fact->value, sizeof fact->value) ? NULL : reason;
}

/* -- the CPU -- */

typedef struct NumberName {
    long        number;
    const char *name;
} NumberName;

/* Arm gives numbers only; these are the makers and the cores met in servers and small boards. */
static const NumberName arm_makers[] = {
    {0x41, "Arm"}, {0x42, "Broadcom"}, {0x43, "Cavium"}, {0x46, "Fujitsu"}, {0x48, "HiSilicon"}, {0x4e, "NVIDIA"},
    {0x50, "APM"}, {0x51, "Qualcomm"}, {0x61, "Apple"}, {0x6d, "Microsoft"}, {0xc0, "Ampere"}, {0, NULL}};
static const NumberName arm_cores[] = {
    {0xd03, "Cortex-A53"}, {0xd04, "Cortex-A35"}, {0xd05, "Cortex-A55"}, {0xd07, "Cortex-A57"}, {0xd08, "Cortex-A72"},
    {0xd09, "Cortex-A73"}, {0xd0a, "Cortex-A75"}, {0xd0b, "Cortex-A76"}, {0xd0c, "Neoverse-N1"}, {0xd40, "Neoverse-V1"},
    {0xd49, "Neoverse-N2"}, {0xd4f, "Neoverse-V2"}, {0, NULL}};

static const char *name_of(const NumberName *table, long number) {
    for (; table->name != NULL; table++)
        if (table->number == number) return table->name;
    return NULL;
}

static void read_arm(Machine *m, const char *text) {
    char        maker_text[32], part_text[32] = "", variant[32], revision[32];
    const long  maker = sysfile_line(text, "CPU implementer", maker_text, sizeof maker_text) ? strtol(maker_text, NULL, 0) : 0;
    const char *maker_name = name_of(arm_makers, maker);
    know(&m->cpu_vendor, maker_name != NULL ? maker_name : maker_text);
    line_fact(&m->cpu_family, text, "CPU architecture", sysfile_not_supported);
    line_fact(&m->cpu_model_number, text, "CPU part", sysfile_not_supported);
    if (sysfile_line(text, "CPU part", part_text, sizeof part_text) && m->cpu_model.reason != NULL) {
        const char *core = maker == 0x41 ? name_of(arm_cores, strtol(part_text, NULL, 0)) : NULL;
        char        name[640];
        snprintf(name, sizeof name, "%s %s%s", m->cpu_vendor.value, core != NULL ? "" : "part ", core != NULL ? core : part_text);
        know(&m->cpu_model, name);
    }
    if (sysfile_line(text, "CPU variant", variant, sizeof variant) && sysfile_line(text, "CPU revision", revision, sizeof revision)) {
        snprintf(m->cpu_stepping.value, sizeof m->cpu_stepping.value, "r%ldp%ld", strtol(variant, NULL, 0), strtol(revision, NULL, 0));
        m->cpu_stepping.reason = NULL;
    }
}

static bool has_word(const char *words, const char *word) {
    const size_t length = strlen(word);
    for (const char *p = words; (p += strspn(p, " ")), *p != '\0';) {
        const size_t n = strcspn(p, " ");
        if (n == length && strncmp(p, word, n) == 0) return true;
        p += n;
    }
    return false;
}

static void read_simd(Machine *m, const char *words) {
#define SIMD(name, word) m->simd[SIMD_##name] = has_word(words, word) || has_word(words, #name);
#include "harness/simd_flags.def"
}

static void read_cpuinfo(Machine *m, const char *root) {
    char        text[16384], words[8192];
    const char *reason = sysfile_read(root, "/proc/cpuinfo", text, sizeof text);
    char       *second = strstr(text, "\n\n"); /* one block a CPU: the first tells for all */
    if (second != NULL) *second = '\0';
    const bool x86 = sysfile_line(text, "vendor_id", words, sizeof words);
    const bool arm = sysfile_line(text, "CPU implementer", words, sizeof words);
    if (reason == NULL) reason = sysfile_not_supported; /* of every line that is not there */

    line_fact(&m->cpu_vendor, text, "vendor_id", reason);
    line_fact(&m->cpu_model, text, "model name", reason);
    if (m->cpu_model.reason != NULL) line_fact(&m->cpu_model, text, "cpu", reason);   /* POWER */
    if (m->cpu_model.reason != NULL) line_fact(&m->cpu_model, text, "uarch", reason); /* RISC-V */
    line_fact(&m->cpu_family, text, "cpu family", reason);
    line_fact(&m->cpu_model_number, text, "model", reason);
    line_fact(&m->cpu_stepping, text, "stepping", reason);
    line_fact(&m->cpu_microcode, text, "microcode", reason);
    if (arm) read_arm(m, text);

    read_fact(&m->architecture, root, "/proc/sys/kernel/arch");
    if (m->architecture.reason != NULL && x86) know(&m->architecture, "x86_64");
    if (m->architecture.reason != NULL && arm)
        know(&m->architecture, strtol(m->cpu_family.value, NULL, 10) >= 8 ? "aarch64" : "arm");

    m->simd_reason = NULL;
    if (sysfile_line(text, "flags", words, sizeof words) || sysfile_line(text, "Features", words, sizeof words))
        read_simd(m, words);
    else
        m->simd_reason = reason;

    read_fact_count(&m->frequency_now_hz, root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1000);
    char *end;
    if (m->frequency_now_hz.reason != NULL && sysfile_line(text, "cpu MHz", words, sizeof words)) {
        const double mhz = strtod(words, &end);
        if (end != words && mhz > 0 && mhz < 1e6) know_count(&m->frequency_now_hz, llrint(mhz * 1e6));
    }
}

/* Arm and others do not say in cpuinfo that they are virtual; firmware names give it away. */
static bool names_a_hypervisor(const char *name) {
    static const char *const known[] = {"QEMU", "KVM", "VMware", "VirtualBox", "Virtual Machine", "Google Compute Engine", "OpenStack",
                                        "Xen", "HVM domU", "BHYVE"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strstr(name, known[i]) != NULL) return true;
    return strstr(name, "Amazon EC2") != NULL && strstr(name, ".metal") == NULL;
}

static void read_hypervisor(Machine *m, const char *root) {
    char        text[16384], words[8192], vendor[128], product[128], name[272];
    const char *reason = sysfile_read(root, "/proc/cpuinfo", text, sizeof text);
    const bool  flags  = sysfile_line(text, "flags", words, sizeof words);
    const bool  told   = flags && has_word(words, "hypervisor");
    sysfile_read(root, "/sys/class/dmi/id/sys_vendor", vendor, sizeof vendor);
    sysfile_read(root, "/sys/class/dmi/id/product_name", product, sizeof product);
    snprintf(name, sizeof name, "%s%s%s", vendor, vendor[0] != '\0' && product[0] != '\0' ? " " : "", product);

    read_fact(&m->hypervisor, root, "/sys/hypervisor/type");
    if (m->hypervisor.reason == NULL) return;
    if (names_a_hypervisor(name) || (told && name[0] != '\0'))
        know(&m->hypervisor, name);
    else if (told)
        know(&m->hypervisor, "unnamed");
    else if (flags) /* x86 without the flag */
        know(&m->hypervisor, "none");
    else if (sysfile_read(root, "/proc/device-tree/hypervisor/compatible", name, sizeof name) == NULL)
        know(&m->hypervisor, name);
    else
        m->hypervisor.reason = reason != NULL ? reason : sysfile_not_supported;
}

/* -- which CPUs -- */

static void read_topology(Machine *m, const char *root) {
    enum { MAX_SOCKETS = 1024, MAX_CPUS = 8192 };
    char        online[4096], siblings[4096], path[128];
    bool        seen[MAX_SOCKETS] = {false};
    int64_t     cores = 0, sockets = 0;
    int         most = 0, n_cpus = 0;
    const char *reason = sysfile_read(root, "/sys/devices/system/cpu/online", online, sizeof online);
    const int   n      = reason == NULL ? sysfile_list_count(online) : -1;
    if (reason == NULL && (n < 0 || n > MAX_CPUS)) reason = sysfile_not_supported;
    m->cpus_online_count = (FactCount){.value = n, .reason = reason};

    const char *list = online;
    for (int first, last; reason == NULL && sysfile_next_range(&list, &first, &last);)
        for (int cpu = first; reason == NULL && cpu <= last; cpu++) {
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
            reason = sysfile_read(root, path, siblings, sizeof siblings);
            if (reason != NULL) break;
            const char *p = siblings;
            int         lowest, to;
            const int   threads = sysfile_list_count(siblings);
            if (threads < 0 || !sysfile_next_range(&p, &lowest, &to)) {
                reason = sysfile_not_supported;
                break;
            }
            if (threads > most) most = threads;
            if (lowest == cpu) cores++;
            int64_t package;
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
            reason = sysfile_read_count(root, path, 1, &package);
            if (package < 0 || package >= MAX_SOCKETS) package = 0; /* -1: the firmware does not say */
            if (reason == NULL && !seen[package]) {
                seen[package] = true;
                sockets++;
            }
            n_cpus++;
        }
    if (reason == NULL && n_cpus == 0) reason = sysfile_not_supported;
    m->cores_count            = (FactCount){.value = cores, .reason = reason};
    m->sockets_count          = (FactCount){.value = sockets, .reason = reason};
    m->threads_per_core_count = (FactCount){.value = most, .reason = reason};
}

static void read_allowed(Machine *m, const char *root) {
    char        text[8192], list[512] = "";
    const char *reason = sysfile_read(root, "/proc/self/status", text, sizeof text);
    if (reason == NULL && !sysfile_line(text, "Cpus_allowed_list", list, sizeof list)) reason = sysfile_not_supported;
    const int n = reason == NULL ? sysfile_list_count(list) : -1;
    if (reason == NULL && n < 0) reason = sysfile_not_supported;
    m->cpus_allowed_count = (FactCount){.value = n, .reason = reason};
    know(&m->cpus_allowed_list, list);
    m->cpus_allowed_list.reason = reason;
}

static void read_caches(Machine *m, const char *root) {
    const int max = (int)(sizeof m->cache / sizeof m->cache[0]);
    for (int i = 0; i < max; i++) {
        char     path[128], text[1024], unit = ' ';
        CpuCache c = {0};
        int64_t  level;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        if (sysfile_read_count(root, path, 1, &level) != NULL || level < 0 || level > 9) return;
        c.level = (int)level;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        sysfile_read(root, path, c.type, sizeof c.type);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        long long size;
        if (sysfile_read(root, path, text, sizeof text) != NULL || sscanf(text, "%9lld%c", &size, &unit) < 1) return;
        c.size_bytes = size * (unit == 'K' ? 1024 : unit == 'M' ? 1024 * 1024 : 1);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/shared_cpu_list", i);
        if (sysfile_read(root, path, text, sizeof text) != NULL) return;
        c.shared_by_count = sysfile_list_count(text);
        if (c.shared_by_count < 0) return;
        m->cache[m->n_caches++] = c;
    }
}

/* CPUs that the files of one control group allow; INFINITY: no limit; NAN: no such files, or not readable. */
static double group_quota(const char *root, const char *dir, bool version_2, const char **reason) {
    char        path[1024], text[128];
    long long   quota, period;
    snprintf(path, sizeof path, "%s/%s", dir, version_2 ? "cpu.max" : "cpu.cfs_quota_us");
    const char *why = sysfile_read(root, path, text, sizeof text);
    if (why == sysfile_no_permission) *reason = why;
    if (why != NULL) return NAN;
    if (version_2) {
        if (strncmp(text, "max", 3) == 0) return INFINITY;
        if (sscanf(text, "%18lld %18lld", &quota, &period) != 2) return NAN;
    } else {
        if (sscanf(text, "%18lld", &quota) != 1) return NAN;
        if (quota < 0) return INFINITY;
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
        if (sysfile_read(root, path, text, sizeof text) != NULL || sscanf(text, "%18lld", &period) != 1) return NAN;
    }
    return quota > 0 && period > 0 ? (double)quota / (double)period : NAN;
}

/* The tightest quota from a group up to the top of its hierarchy. A container may not see its own path; then only the
 * top is found, which is its own. */
static double tightest_quota(const char *root, const char *mount, const char *group, bool version_2, const char **reason) {
    char dir[896];
    const size_t top = strlen(mount);
    snprintf(dir, sizeof dir, "%s%s", mount, strcmp(group, "/") == 0 ? "" : group);
    double least = group_quota(root, dir, version_2, reason);
    while (strlen(dir) > top) {
        *strrchr(dir, '/') = '\0';
        least = fmin(least, group_quota(root, dir, version_2, reason)); /* fmin passes over NAN */
    }
    return least;
}

static void read_quota(Machine *m, const char *root) {
    char        text[4096];
    double      least  = NAN;
    const char *reason = sysfile_read(root, "/proc/self/cgroup", text, sizeof text);
    if (reason == NULL) reason = sysfile_not_supported;
    for (char *line = text, *next; line != NULL && *line != '\0'; line = next) { /* "4:cpu,cpuacct:/group", "0::/group" */
        char controllers[128] = "", group[768] = "";
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (sscanf(line, "%*[0-9]::%767[^\n]", group) == 1 && group[0] == '/') {
            least = fmin(least, tightest_quota(root, "/sys/fs/cgroup", group, true, &reason));
            least = fmin(least, tightest_quota(root, "/sys/fs/cgroup/unified", group, true, &reason));
        } else if (sscanf(line, "%*[0-9]:%127[^:]:%767[^\n]", controllers, group) == 2 && group[0] == '/') {
            char padded[132];
            snprintf(padded, sizeof padded, ",%s,", controllers);
            if (strstr(padded, ",cpu,") == NULL) continue;
            least = fmin(least, tightest_quota(root, "/sys/fs/cgroup/cpu", group, false, &reason));
            least = fmin(least, tightest_quota(root, "/sys/fs/cgroup/cpu,cpuacct", group, false, &reason));
        }
    }
    if (isnan(least))
        m->cgroup_cpu_quota_count = (FactNumber){.value = NAN, .reason = reason};
    else if (isinf(least))
        m->cgroup_cpu_quota_count = (FactNumber){.value = NAN, .reason = sysfile_not_requested};
    else
        m->cgroup_cpu_quota_count = (FactNumber){.value = least, .reason = NULL};
}

static void read_turbo(Machine *m, const char *root) {
    int64_t     value;
    const char *reason = sysfile_read_count(root, "/sys/devices/system/cpu/intel_pstate/no_turbo", 1, &value);
    if (reason == NULL) {
        know(&m->turbo, value == 0 ? "on" : "off");
        return;
    }
    reason = sysfile_read_count(root, "/sys/devices/system/cpu/cpufreq/boost", 1, &value);
    if (reason == NULL)
        know(&m->turbo, value != 0 ? "on" : "off");
    else
        m->turbo.reason = reason;
}

/* -- the system and the process -- */

/* "always [madvise] never" -> "madvise" */
static void read_choice(FactText *fact, const char *root, const char *path) {
    read_fact(fact, root, path);
    char *from = strchr(fact->value, '[');
    char *to   = from != NULL ? strchr(from, ']') : NULL;
    if (to == NULL) return;
    *to = '\0';
    memmove(fact->value, from + 1, strlen(from + 1) + 1);
}

/* "MemTotal:       24684092 kB" -> bytes; without a unit: as it is */
static void line_count(FactCount *fact, const char *text, const char *key, const char *reason) {
    char      value[64];
    long long count;
    int       used = 0;
    fact->reason   = reason;
    if (!sysfile_line(text, key, value, sizeof value) || sscanf(value, "%18lld%n", &count, &used) != 1) return;
    if (strcmp(value + used, " kB") == 0 && __builtin_mul_overflow(count, 1024, &count)) return;
    know_count(fact, count);
}

static void read_memory(Machine *m, const char *root) {
    char        text[8192];
    const char *reason = sysfile_read(root, "/proc/meminfo", text, sizeof text);
    if (reason == NULL) reason = sysfile_not_supported;
    line_count(&m->memory_total_bytes, text, "MemTotal", reason);
    line_count(&m->memory_available_bytes, text, "MemAvailable", reason);
    line_count(&m->swap_total_bytes, text, "SwapTotal", reason);
    line_count(&m->swap_free_bytes, text, "SwapFree", reason);
    line_count(&m->huge_pages_reserved_count, text, "HugePages_Total", reason);
    reason = sysfile_read(root, "/proc/self/smaps", text, sizeof text);
    line_count(&m->page_size_bytes, text, "KernelPageSize", reason != NULL ? reason : sysfile_not_supported);
    read_choice(&m->huge_pages_transparent, root, "/sys/kernel/mm/transparent_hugepage/enabled");
    read_choice(&m->huge_pages_defrag, root, "/sys/kernel/mm/transparent_hugepage/defrag");
}

static void read_limits(Machine *m, const char *root) {
    char        text[4096];
    const char *reason = sysfile_read(root, "/proc/self/limits", text, sizeof text);
    const struct {
        const char *key;
        FactText   *fact;
    } limits[] = {{"Max locked memory ", &m->limit_locked_memory}, {"Max stack size ", &m->limit_stack},
                  {"Max address space ", &m->limit_address_space}, {"Max open files ", &m->limit_open_files}};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        const char *p = sysfile_after(text, limits[i].key);
        char        soft[64];
        if (p != NULL && sscanf(p, "%63s", soft) == 1)
            know(limits[i].fact, soft);
        else
            limits[i].fact->reason = reason != NULL ? reason : sysfile_not_supported;
    }
}

static void read_randomisation(Machine *m, const char *root) {
    static const char *const level[] = {"off", "partial", "full"};
    enum { ADDR_NO_RANDOMIZE = 0x0040000 }; /* a bit of personality(2) */
    int64_t value;
    char    text[32];
    m->address_randomisation.reason = sysfile_read_count(root, "/proc/sys/kernel/randomize_va_space", 1, &value);
    if (m->address_randomisation.reason == NULL) {
        if (value >= 0 && value <= 2)
            know(&m->address_randomisation, level[value]);
        else
            m->address_randomisation.reason = sysfile_not_supported;
    }
    m->address_randomisation_of_process.reason = sysfile_read(root, "/proc/self/personality", text, sizeof text);
    if (m->address_randomisation_of_process.reason == NULL)
        know(&m->address_randomisation_of_process, (strtoul(text, NULL, 16) & ADDR_NO_RANDOMIZE) != 0 ? "off" : "on");
}

static int not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static void read_mitigations(Machine *m, const char *root) {
    static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
    char              path[PATH_MAX];
    struct dirent   **entry = NULL;
    snprintf(path, sizeof path, "%s%s", root, dir);
    const int n   = scandir(path, &entry, not_hidden, alphasort);
    const int max = (int)(sizeof m->mitigation / sizeof m->mitigation[0]);
    for (int i = 0; i < n; i++) {
        NamedText *t = &m->mitigation[m->n_mitigations];
        snprintf(path, sizeof path, "%s/%s", dir, entry[i]->d_name);
        if (m->n_mitigations < max && strlen(entry[i]->d_name) < sizeof t->name && sysfile_read(root, path, t->value, sizeof t->value) == NULL) {
            strcpy(t->name, entry[i]->d_name);
            m->n_mitigations++;
        }
        free(entry[i]);
    }
    free(entry);
}

static bool matters(const char *variable) {
    static const char *const starts[] = {"OMP_", "OPENBLAS_", "GOMP_", "MALLOC_", "KMP_", "MORBENCH_",
                                         "GLIBC_TUNABLES=", "LD_PRELOAD=", "LD_LIBRARY_PATH="};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(variable, starts[i], strlen(starts[i])) == 0) return true;
    return false;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const NamedText *)a)->name, ((const NamedText *)b)->name);
}

static void read_environment(Machine *m, char *const env[]) {
    const int max = (int)(sizeof m->environment / sizeof m->environment[0]);
    for (; env != NULL && *env != NULL; env++) {
        const char *equals = strchr(*env, '=');
        if (equals == NULL || !matters(*env)) continue;
        NamedText    t      = {.name = ""};
        const size_t length = (size_t)(equals - *env);
        if (length >= sizeof t.name || m->n_environment == max) {
            m->n_environment_left_out++;
            continue;
        }
        memcpy(t.name, *env, length);
        snprintf(t.value, sizeof t.value, "%s", equals + 1);
        for (char *p = t.value; *p != '\0'; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
        if (machine_environment(m, t.name) == NULL) m->environment[m->n_environment++] = t; /* the first counts, as for getenv */
    }
    qsort(m->environment, (size_t)m->n_environment, sizeof m->environment[0], by_name);
}

const char *machine_environment(const Machine *m, const char *name) {
    for (int i = 0; i < m->n_environment; i++)
        if (strcmp(m->environment[i].name, name) == 0) return m->environment[i].value;
    return NULL;
}

const char *machine_sleeping_threads(const Machine *m) {
    static const struct { const char *name, *value; } waits[] = {{"OMP_WAIT_POLICY", "passive"}, {"GOMP_SPINCOUNT", "0"}, {"KMP_BLOCKTIME", "0"}};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        const char *value = machine_environment(m, waits[i].name);
        if (value != NULL && strcasecmp(value, waits[i].value) == 0) return waits[i].name;
    }
    return NULL;
}

static void read_build(Machine *m) {
    char text[128];
    snprintf(text, sizeof text, "glibc %s", gnu_get_libc_version());
    know(&m->libc, text);
#if defined(__clang__)
    know(&m->compiler, "clang " __clang_version__);
#elif defined(__GNUC__)
    know(&m->compiler, "gcc " __VERSION__);
#else
    m->compiler.reason = sysfile_not_supported;
#endif
#ifdef MORBENCH_BUILD_FLAGS
    know(&m->build_flags, MORBENCH_BUILD_FLAGS);
#else
    m->build_flags.reason = sysfile_not_supported;
#endif
#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define SANITIZER " with address sanitizer"
#elif defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#define SANITIZER " with thread sanitizer"
#else
#define SANITIZER ""
#endif
#ifdef __OPTIMIZE__
    know(&m->build_kind, "optimised" SANITIZER);
#else
    know(&m->build_kind, "unoptimised" SANITIZER);
#endif
}

static void know_or_not(FactText *fact, const char *value) {
    if (value != NULL)
        know(fact, value);
    else
        fact->reason = sysfile_not_supported;
}

void machine_read_load(MachineLoad *out, const char *root) {
    char   text[1024];
    double load[3];
    *out = (MachineLoad){0};

    const char *reason = sysfile_read(root, "/proc/loadavg", text, sizeof text);
    if (reason == NULL && sscanf(text, "%lf %lf %lf", &load[0], &load[1], &load[2]) != 3) reason = sysfile_not_supported;
    FactNumber *const loads[] = {&out->load_1min, &out->load_5min, &out->load_15min};
    for (int i = 0; i < 3; i++) *loads[i] = (FactNumber){.value = reason == NULL ? load[i] : NAN, .reason = reason};

    const struct {
        const char *path;
        FactNumber *fact;
    } pressures[] = {{"/proc/pressure/cpu", &out->cpu_waiting_ratio},
                     {"/proc/pressure/memory", &out->memory_waiting_ratio},
                     {"/proc/pressure/io", &out->io_waiting_ratio}};
    for (int i = 0; i < 3; i++) {
        reason        = sysfile_read(root, pressures[i].path, text, sizeof text);
        double      percent = NAN;
        const char *p = sysfile_after(text, "some avg10=");
        if (reason == NULL && (p == NULL || sscanf(p, "%lf", &percent) != 1)) reason = sysfile_not_supported;
        *pressures[i].fact = (FactNumber){.value = percent / 100, .reason = reason};
    }

    reason           = sysfile_read(root, "/proc/stat", text, sizeof text);
    const char *p    = sysfile_after(text, "cpu ");
    long long   t[8] = {0}; /* user nice system idle iowait irq softirq steal; guest time is in user already */
    if (reason == NULL && (p == NULL || sscanf(p, "%18lld %18lld %18lld %18lld %18lld %18lld %18lld %18lld", &t[0], &t[1], &t[2],
                                               &t[3], &t[4], &t[5], &t[6], &t[7]) != 8))
        reason = sysfile_not_supported;
    int64_t sum = 0;
    for (int i = 0; i < 8; i++) sum += t[i];
    out->cpu_ticks_count   = (FactCount){.value = sum, .reason = reason};
    out->steal_ticks_count = (FactCount){.value = t[7], .reason = reason};
}

void machine_read(Machine *out, const char *root, char *const env[], const BlasInfo *blas) {
    memset(out, 0, sizeof *out);
    read_cpuinfo(out, root);
    read_hypervisor(out, root);
    read_topology(out, root);
    read_allowed(out, root);
    read_quota(out, root);
    read_caches(out, root);
    read_turbo(out, root);
    read_fact(&out->smt_control, root, "/sys/devices/system/cpu/smt/control");
    read_fact(&out->efficiency_cpus_list, root, "/sys/devices/cpu_atom/cpus");
    char        nodes[512];
    const char *reason = sysfile_read(root, "/sys/devices/system/node/online", nodes, sizeof nodes);
    const int   n      = sysfile_list_count(nodes);
    if (reason == NULL && n < 0) reason = sysfile_not_supported;
    out->numa_nodes_count = (FactCount){.value = n, .reason = reason};
    read_fact(&out->frequency_driver, root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver");
    read_fact(&out->frequency_governor, root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    read_fact_count(&out->frequency_max_hz, root, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", 1000);
    read_fact(&out->clock_source, root, "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    read_fact(&out->kernel_release, root, "/proc/sys/kernel/osrelease");
    read_fact(&out->kernel_version, root, "/proc/sys/kernel/version");
    read_fact(&out->hostname, root, "/proc/sys/kernel/hostname");
    read_fact(&out->boot_id, root, "/proc/sys/kernel/random/boot_id");
    read_fact_count(&out->perf_event_paranoid, root, "/proc/sys/kernel/perf_event_paranoid", 1);
    read_memory(out, root);
    read_limits(out, root);
    read_randomisation(out, root);
    read_mitigations(out, root);
    read_build(out);
    read_environment(out, env);
    know_or_not(&out->blas_library, blas != NULL ? blas->library : NULL);
    know_or_not(&out->blas_config, blas != NULL ? blas->config : NULL);
    know_or_not(&out->blas_core, blas != NULL ? blas->core : NULL);
    machine_read_load(&out->load, root);
}

int machine_is_virtual(const Machine *m) {
    if (m->hypervisor.reason != NULL) return -1;
    return strcmp(m->hypervisor.value, "none") == 0 ? 0 : 1;
}
