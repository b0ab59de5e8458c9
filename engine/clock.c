/* Monotonic nanoseconds, UTC texts, and what one reading costs (clock.h). */
#include "engine/clock.h"

#include "engine/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t clock_now_ns(void) {
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC_RAW, &t) == 0, "CLOCK_MONOTONIC_RAW: %s", strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t real_now_ns(void *self) {
    (void)self;
    return clock_now_ns();
}

Clock clock_real(void) {
    return (Clock){.self = NULL, .now_ns = real_now_ns};
}

void clock_utc_text_at(int64_t unix_seconds, int64_t nanoseconds, char text[CLOCK_UTC_SIZE]) {
    CHECK(nanoseconds >= 0 && nanoseconds < 1000000000, "%lld ns in a second", (long long)nanoseconds);
    const time_t seconds = (time_t)unix_seconds;
    struct tm    day;
    CHECK(gmtime_r(&seconds, &day) != NULL && day.tm_year >= -1900 && day.tm_year <= 9999 - 1900,
          "second %lld lies outside the years 0 to 9999", (long long)unix_seconds);
    /* the remainders change nothing; they bound each field, so that the text is seen to fit */
    snprintf(text, CLOCK_UTC_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(day.tm_year + 1900) % 10000u,
             (unsigned)(day.tm_mon + 1) % 100u, (unsigned)day.tm_mday % 100u, (unsigned)day.tm_hour % 100u,
             (unsigned)day.tm_min % 100u, (unsigned)day.tm_sec % 100u, (unsigned)(nanoseconds / 1000000) % 1000u);
}

void clock_utc_text(char text[CLOCK_UTC_SIZE]) {
    struct timespec t;
    CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0, "CLOCK_REALTIME: %s", strerror(errno));
    clock_utc_text_at(t.tv_sec, t.tv_nsec, text);
}

double clock_overhead_ns(Clock clock) {
    enum { N_RUNS = 16, N_READINGS = 256 }; /* 4096 readings: about 0.2 ms */
    double least = 0;
    for (int run = 0; run < N_RUNS; run++) {
        const uint64_t from = clock.now_ns(clock.self);
        uint64_t       to   = from;
        for (int i = 0; i < N_READINGS; i++) to = clock.now_ns(clock.self);
        const double mean = (double)(to - from) / N_READINGS;
        if (run == 0 || mean < least) least = mean;
    }
    return least;
}
