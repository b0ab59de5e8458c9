/* Tries each counter once and keeps why it cannot be had (counters.h). */
#include "harness/measure/counters.h"

#include "harness/sysfile.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef HAVE_PAPI
#include <papi.h>
#endif

const char *counters_reason_of_errno(int error) {
    switch (error) {
    case 0: return NULL;
    case EACCES:
    case EPERM: return sysfile_no_permission;
    default: return sysfile_not_supported; /* ENOENT, EOPNOTSUPP, ENODEV: no such counter; ENOSYS: no such call */
    }
}

int counters_perf_try(uint32_t type, uint64_t config, uint64_t *count) {
    struct perf_event_attr event = {.size = sizeof event, .type = type, .config = config, .disabled = 1,
                                    .exclude_kernel = 1, .exclude_hv = 1}; /* what perf_event_paranoid 2 allows */
    const int fd = (int)syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) return errno;
    int               error = 0;
    volatile unsigned sum   = 0;
    if (ioctl(fd, PERF_EVENT_IOC_ENABLE, 0) != 0) error = errno;
    for (unsigned i = 0; i < 20000; i++) sum = sum + i;
    if (error == 0 && ioctl(fd, PERF_EVENT_IOC_DISABLE, 0) != 0) error = errno;
    const ssize_t n = read(fd, count, sizeof *count);
    if (error == 0 && n < 0) error = errno;
    if (error == 0 && n != (ssize_t)sizeof *count) error = ENODATA; /* an event in error state reads as nothing */
    close(fd);
    return error;
}

static void probe_perf(Counters *c, PerfTry *perf) {
    static const struct {
        const char *name;
        uint32_t    type;
        uint64_t    config;
        bool        counts_in_a_loop;
    } events[] = {
#define PERF_EVENT(name, type, config, counts) [COUNTER_##name] = {#name, type, config, counts},
        PERF_EVENTS
#undef PERF_EVENT
    };
    for (int i = 0; i < N_COUNTERS; i++) {
        uint64_t  count = 0;
        const int error = perf(events[i].type, events[i].config, &count);
        c->perf[i]      = (CounterProbe){.name = events[i].name, .error = error, .reason = counters_reason_of_errno(error)};
        if (error == 0 && count == 0 && events[i].counts_in_a_loop) c->perf[i].reason = sysfile_not_supported;
    }
}

/* -- PAPI -- */

#ifdef HAVE_PAPI

const char *counters_reason_of_papi(int code) {
    switch (code) {
    case PAPI_OK: return NULL;
    case PAPI_EPERM: return sysfile_no_permission;
    case PAPI_ECNFLCT:
    case PAPI_EMULPASS: return "multiplexed"; /* only by taking turns with others */
    default: return sysfile_not_supported;
    }
}

static void probe_papi(Counters *c) {
    const bool was_ready = PAPI_is_initialized() != PAPI_NOT_INITED;
    const int  wanted    = (int)PAPI_VER_CURRENT;
    const int  version   = was_ready ? wanted : PAPI_library_init(wanted);
    if (version != wanted) {
        c->papi_reason = version < 0 ? counters_reason_of_papi(version) : sysfile_not_supported;
        snprintf(c->papi_message, sizeof c->papi_message, "%s", version < 0 ? PAPI_strerror(version) : "another version than at build");
        return;
    }
    snprintf(c->papi_version, sizeof c->papi_version, "%d.%d.%d", PAPI_VERSION_MAJOR(version), PAPI_VERSION_MINOR(version),
             PAPI_VERSION_REVISION(version));
    const int max       = (int)(sizeof c->component / sizeof c->component[0]);
    const int available = PAPI_num_components();
    for (int i = 0; i < available && c->n_components < max; i++) {
        const PAPI_component_info_t *info = PAPI_get_component_info(i);
        if (info == NULL) continue;
        PapiComponent *p = &c->component[c->n_components++];
        snprintf(p->name, sizeof p->name, "%.31s", info->name);
        p->enabled = info->disabled == 0;
        if (!p->enabled) snprintf(p->why_not, sizeof p->why_not, "%.127s", info->disabled_reason);
    }
    const int hardware        = PAPI_num_cmp_hwctrs(0);
    c->papi_hardware_counters = hardware > 0 ? hardware : 0;

    int set  = PAPI_NULL;
    int code = PAPI_create_eventset(&set);
    if (code == PAPI_OK) {
        code = PAPI_add_event(set, PAPI_TOT_INS);
        PAPI_cleanup_eventset(set);
        PAPI_destroy_eventset(&set);
    }
    c->papi_instructions_code   = code;
    c->papi_instructions_reason = counters_reason_of_papi(code);
    if (!was_ready) PAPI_shutdown();
}

#else

const char *counters_reason_of_papi(int code) {
    return code == 0 ? NULL : sysfile_not_supported;
}

static void probe_papi(Counters *c) {
    c->papi_reason = c->papi_instructions_reason = sysfile_not_supported;
    snprintf(c->papi_message, sizeof c->papi_message, "this program was built without PAPI");
}

#endif

/* -- energy -- */

/* The packages are intel-rapl:0, :1, ...; their parts (cores, memory) intel-rapl:0:0, ... AMD uses the same names. */
static void probe_energy(Counters *c, const char *root) {
    enum { MAX_PACKAGES = 8, MAX_PARTS = 4, PACKAGE_ITSELF = -1 };
    const int max    = (int)(sizeof c->energy / sizeof c->energy[0]);
    c->energy_reason = sysfile_not_supported;
    for (int package = 0; package < MAX_PACKAGES; package++)
        for (int part = PACKAGE_ITSELF; part < MAX_PARTS; part++) {
            char dir[64], path[128], text[32];
            if (part == PACKAGE_ITSELF)
                snprintf(dir, sizeof dir, "/sys/class/powercap/intel-rapl:%d", package);
            else
                snprintf(dir, sizeof dir, "/sys/class/powercap/intel-rapl:%d:%d", package, part);
            snprintf(path, sizeof path, "%s/name", dir);
            if (sysfile_read(root, path, text, sizeof text) != NULL || c->n_energy == max) continue;
            EnergyDomain *domain = &c->energy[c->n_energy++];
            int64_t       microjoules;
            snprintf(domain->name, sizeof domain->name, "%s", text);
            snprintf(path, sizeof path, "%s/energy_uj", dir);
            domain->reason = sysfile_read_count(root, path, 1, &microjoules);
            if (domain->reason == NULL)
                c->energy_reason = NULL;
            else if (domain->reason == sysfile_no_permission && c->energy_reason != NULL)
                c->energy_reason = sysfile_no_permission;
        }
}

void counters_probe(Counters *out, const char *root, PerfTry *perf) {
    memset(out, 0, sizeof *out);
    probe_perf(out, perf);
    probe_papi(out);
    probe_energy(out, root);
}

/* true, or null with the reason. */
static void put_available(JsonSink *sink, const char *key, const char *reason) {
    if (reason == NULL)
        json_put_bool(sink, key, true);
    else
        json_put_missing(sink, key, reason);
}

bool counters_to_json(const Counters *c, json_t **out, Error *err) {
    JsonSink root, block, list, item;
    json_sink_begin(&root);
    json_put_object(&root, "perf", &block);
    for (int i = 0; i < N_COUNTERS; i++) put_available(&block, c->perf[i].name, c->perf[i].reason);

    json_put_object(&root, "papi", &block);
    put_available(&block, "available", c->papi_reason);
    if (c->papi_reason == NULL) {
        json_put_text(&block, "version", c->papi_version);
        json_put_count(&block, "hardware_counters_count", c->papi_hardware_counters);
        put_available(&block, "PAPI_TOT_INS", c->papi_instructions_reason);
        json_put_array(&block, "components", &list);
        for (int i = 0; i < c->n_components; i++) {
            json_put_object(&list, NULL, &item);
            json_put_text(&item, "name", c->component[i].name);
            json_put_bool(&item, "enabled", c->component[i].enabled);
            if (!c->component[i].enabled) json_put_text(&item, "message", c->component[i].why_not);
        }
    } else {
        json_put_text(&block, "message", c->papi_message);
    }

    json_put_object(&root, "energy", &block);
    put_available(&block, "available", c->energy_reason);
    json_put_array(&block, "domains", &list);
    for (int i = 0; i < c->n_energy; i++) {
        json_put_object(&list, NULL, &item);
        json_put_text(&item, "name", c->energy[i].name);
        put_available(&item, "readable", c->energy[i].reason);
    }
    return json_sink_finish(&root, out, err);
}
