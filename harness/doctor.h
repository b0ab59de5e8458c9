/* What a machine can measure, and what would spoil a measurement, as findings with advice. Looks only at facts that
 * were gathered before, so that any machine can be examined in a test.
 *
 * Ownership: plain data, nothing to free. */
#ifndef HARNESS_DOCTOR_H
#define HARNESS_DOCTOR_H

#include "harness/machine.h"
#include "harness/measure/counters.h"

typedef enum DoctorMark {
    DOCTOR_OK,
    DOCTOR_NOTE,    /* good to know; figures stay sound */
    DOCTOR_WARN,    /* figures would not be what they seem */
    DOCTOR_FAIL     /* the program cannot run here */
} DoctorMark;

const char *doctor_mark_name(DoctorMark mark); /* "OK" */

typedef struct DoctorFinding {
    DoctorMark  mark;
    const char *topic;       /* static: "blas" */
    char        text[640];   /* one line */
    char        advice[320]; /* one line; "" where nothing need be done */
} DoctorFinding;

typedef struct Doctor {
    DoctorFinding finding[40];
    int           n_findings;
} Doctor;

typedef struct DoctorFacts {
    const Machine  *machine;
    const Counters *counters;
    ThreadsUsed     threads;
    int             n_pinned;          /* threads that stay where they are when told to */
    double          clock_overhead_ns;
    const char     *own_kernels;       /* "avx512", "avx2", "generic": what our own loops run */
    const char     *events_counted;    /* keys that bench counts here on every thread, separated by blanks; NULL: not tried */
    const char     *events_missing;    /* and those it cannot, with reasons in brackets behind */
    double          loop_ratio;        /* instructions counted over those of a loop of known length; NAN: not counted */
} DoctorFacts;

void doctor_examine(Doctor *out, const DoctorFacts *facts);
int  doctor_count(const Doctor *d, DoctorMark mark);

/* The finding of a topic; NULL if it was not raised. */
const DoctorFinding *doctor_find(const Doctor *d, const char *topic);

#endif
