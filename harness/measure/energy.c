/* RAPL counters of processor packages (energy.h). */
#include "harness/measure/energy.h"

#include "harness/sysfile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *read_file(const Energy *e, int package, const char *file, int64_t *value) {
    char path[128];
    snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/%s", package, file);
    return sysfile_read_count(e->root, path, 1, value);
}

void energy_open(Energy *out, const char *root) {
    *out = (Energy){.root = root, .reason = sysfile_not_supported};
    for (int package = 0; package < ENERGY_MAX_PACKAGES; package++) {
        char        path[128], name[32];
        int64_t     now;
        snprintf(path, sizeof path, "/sys/class/powercap/intel-rapl:%d/name", package);
        if (sysfile_read(root, path, name, sizeof name) != NULL || strncmp(name, "package", 7) != 0) continue; /* psys holds others */
        const int k = out->n_packages++;
        out->package[k]    = package;
        const char *reason = read_file(out, package, "energy_uj", &now);
        if (reason == NULL) reason = read_file(out, package, "max_energy_range_uj", &out->wraps_at_uj[k]);
        if (k == 0 || out->reason == NULL) out->reason = reason;
    }
}

void energy_read(EnergyReading *out, const Energy *e, Clock clock) {
    *out = (EnergyReading){.at_ns = clock.now_ns(clock.self), .reason = e->reason};
    for (int k = 0; k < e->n_packages && out->reason == NULL; k++) out->reason = read_file(e, e->package[k], "energy_uj", &out->at_uj[k]);
}

double energy_between(const Energy *e, const EnergyReading *from, const EnergyReading *to, const char **reason) {
    double joules = 0;
    *reason = from->reason != NULL ? from->reason : to->reason;
    if (*reason == NULL && to->at_ns - from->at_ns < 1000000000u) *reason = sysfile_not_supported;
    for (int k = 0; k < e->n_packages && *reason == NULL; k++) {
        int64_t used = to->at_uj[k] - from->at_uj[k];
        if (from->at_uj[k] < 0 || to->at_uj[k] < 0 || from->at_uj[k] > e->wraps_at_uj[k] || to->at_uj[k] > e->wraps_at_uj[k]) *reason = "overflow";
        if (used < 0) used += e->wraps_at_uj[k] + 1;
        joules += (double)used / 1e6;
    }
    return *reason == NULL ? joules : NAN;
}
