/* Progress on stderr: one line that rewrites itself on a terminal, plain lines at long intervals otherwise, with the
 * time that is left. Never on stdout, which belongs to results. */
#ifndef HARNESS_PROGRESS_H
#define HARNESS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    const char *what;                /* "train" */
    int64_t     total;               /* units of work in all */
    int64_t     first;               /* units done before this process started (resumed) */
    uint64_t    started_ns, shown_ns;
    bool        terminal, quiet;
} Progress;

void progress_begin(Progress *p, const char *what, int64_t first, int64_t total, bool quiet);
/* Shows at most ten times a second on a terminal, every 30 s otherwise; now: at once. text: loss, accuracy and the like. */
void progress_show(Progress *p, int64_t done, bool now, const char *text);
void progress_end(Progress *p);
/* "1:02:03" or "2:05" into text[32]. */
void duration_text(double seconds, char text[32]);

#endif
