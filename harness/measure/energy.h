/* Energy of the processor packages by RAPL, from /sys/class/powercap (rule V15).
 *
 *   energy_open -> energy_read before and after the work, in the same process and window as its time -> energy_between
 *
 * What the packages use includes what they use idle; idle power is measured apart by the caller and never subtracted.
 *
 * Ownership: plain data, nothing to free. */
#ifndef HARNESS_ENERGY_H
#define HARNESS_ENERGY_H

#include "engine/clock.h"

enum { ENERGY_MAX_PACKAGES = 8 };

typedef struct Energy {
    const char *root;                            /* as in harness/machine.h; borrowed */
    int         n_packages;
    int         package[ENERGY_MAX_PACKAGES];    /* number in the name of its folder */
    int64_t     wraps_at_uj[ENERGY_MAX_PACKAGES];/* the counter goes from this back to 0 */
    const char *reason;                          /* NULL: every package can be read */
} Energy;

typedef struct EnergyReading {
    int64_t     at_uj[ENERGY_MAX_PACKAGES];
    uint64_t    at_ns;
    const char *reason;
} EnergyReading;

void energy_open(Energy *out, const char *root);
void energy_read(EnergyReading *out, const Energy *e, Clock clock);

/* Joules of all packages between two readings; NAN with *reason: what could not be read, "not_supported" for a window under one
 * second (the counters move in steps of about a millisecond), "overflow" for a counter beyond its own range. One wrap is taken
 * into account; windows are far shorter than two. */
double energy_between(const Energy *e, const EnergyReading *from, const EnergyReading *to, const char **reason);

#endif
