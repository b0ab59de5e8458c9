/* Time: a monotonic nanosecond count for durations, UTC text for the record.
 *
 * Durations come from CLOCK_MONOTONIC_RAW, which no time service bends. Whoever measures takes a Clock, so that a test
 * hands in a clock of its own and knows every reading beforehand. */
#ifndef ENGINE_CLOCK_H
#define ENGINE_CLOCK_H

#include <stdint.h>

typedef struct Clock {
    void     *self;
    uint64_t (*now_ns)(void *self); /* never decreases; the origin means nothing */
} Clock;

Clock    clock_real(void);
uint64_t clock_now_ns(void); /* of the real clock */

enum { CLOCK_UTC_SIZE = 32 };

/* "2026-03-01T09:30:00.125Z": ISO 8601, UTC, milliseconds (cut, not rounded). */
void clock_utc_text(char text[CLOCK_UTC_SIZE]);
void clock_utc_text_at(int64_t unix_seconds, int64_t nanoseconds, char text[CLOCK_UTC_SIZE]); /* 0 <= nanoseconds < 1e9 */

/* What one reading costs: the least mean of several short runs of readings, ns. A timed sample should be a thousand
 * times longer. */
double clock_overhead_ns(Clock clock);

#endif
