/* One line that rewrites itself on a terminal, plain lines elsewhere (progress.h). */
#include "harness/progress.h"

#include "engine/clock.h"

#include <stdio.h>
#include <unistd.h>

void duration_text(double seconds, char text[32]) {
    if (!(seconds >= 0 && seconds < 1e9)) seconds = 0;
    const long s = (long)(seconds + 0.5);
    if (s >= 3600) snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else           snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
}

void progress_begin(Progress *p, const char *what, int64_t first, int64_t total, bool quiet) {
    *p = (Progress){.what = what, .total = total, .first = first, .started_ns = clock_now_ns(),
                    .terminal = isatty(STDERR_FILENO) != 0, .quiet = quiet};
    p->shown_ns = p->started_ns;
}

void progress_show(Progress *p, int64_t done, bool now, const char *text) {
    if (p->quiet) return;
    const uint64_t at_ns = clock_now_ns(), every_ns = p->terminal ? 100000000u : 30000000000u;
    if (!now && at_ns - p->shown_ns < every_ns) return;
    p->shown_ns = at_ns;
    const double elapsed_s = (double)(at_ns - p->started_ns) / 1e9;
    const int64_t here = done - p->first;
    char left[32] = "?";
    if (here > 0) duration_text(elapsed_s / (double)here * (double)(p->total - done), left);
    const double percent = p->total > 0 ? 100.0 * (double)done / (double)p->total : 100;
    if (p->terminal) {
        char bar[21];
        for (int i = 0; i < 20; i++) bar[i] = i * 5 < (int)percent ? '#' : '.';
        bar[20] = '\0';
        fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %s  ETA %s", p->what, bar, percent, text, left);
    } else {
        fprintf(stderr, "%s %5.1f %%  %s  ETA %s\n", p->what, percent, text, left);
    }
    fflush(stderr);
}

void progress_end(Progress *p) {
    if (!p->quiet && p->terminal) fprintf(stderr, "\n");
}
