/* The plots of a Report as files: DIR/plots/<name>.gp, .svg, .png, .pdf (figure.h). */
#include "harness/report/report.h"

#include "engine/file.h"
#include "harness/report/escape.h"
#include "harness/report/figure.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PLOT(name) extern const Plot plot_##name;
#include "harness/plots/plots.def"
#undef PLOT

#define PLOT(name) &plot_##name,
const Plot *const report_plots[] = {
#include "harness/plots/plots.def"
    NULL};
#undef PLOT

/* *refused: gnuplot did not take this picture. */
static bool save(const Figure *f, const char *path, const char *ending, bool *refused, Error *err) {
    void  *picture = NULL;
    size_t n       = 0;
    if (strcmp(ending, "gp") == 0) return file_write_durable(path, f->text, f->n_text, err);
    const bool drawn = figure_draw(f, ending, &picture, &n, err);
    *refused = !drawn && err->exit_status == EXIT_IO;
    const bool ok = drawn && file_write_durable(path, picture, n, err);
    free(picture);
    return ok;
}

typedef enum Made { NO_DATA, MADE, REFUSED } Made;

/* The picture-th of a plot; the first has the plot's name, others a number behind it. A refused one leaves its script. */
static bool make(const Report *r, const Plot *plot, int picture, const char *dir, Made *made, Error *err) {
    static const char *const endings[] = {"gp", "svg", "png", "pdf"};
    char   path[PATH_MAX], number[16] = "";
    bool   refused = false;
    Figure f;
    *made = NO_DATA;
    if (!figure_begin(&f, r, false, err)) return false;
    const bool data = plot->write(&f, picture);
    bool       ok   = figure_end(&f, plot, true, err);
    if (picture > 0) snprintf(number, sizeof number, "_%d", picture + 1);
    for (size_t i = 0; ok && data && i < sizeof endings / sizeof *endings; i++) {
        const int length = snprintf(path, sizeof path, "%s/plots/%s%s.%s", dir, plot->name, number, endings[i]);
        ok = (length > 0 && length < PATH_MAX) || FAIL(err, "", "the path of the report is too long");
        ok = ok && save(&f, path, endings[i], &refused, err);
    }
    if (refused) {
        char text[1024];
        error_text(err, text, sizeof text);
        fprintf(stderr, "note: no plot %s%s: ", plot->name, number);
        escape_terminal(stderr, text);
        fputc('\n', stderr);
    }
    if (data) *made = refused ? REFUSED : MADE;
    figure_free(&f);
    return ok || refused;
}

bool report_write_plots(const Report *r, const char *dir, int *n_plots, Error *err) {
    char      path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/plots", dir);
    int       n_refused = 0;
    *n_plots = 0;
    if (n < 0 || n >= PATH_MAX) return FAIL(err, "", "the path of the report is too long");
    if (!file_make_dirs(path, err)) return false;
    for (int i = 0; report_plots[i] != NULL; i++) {
        const Plot *plot  = report_plots[i];
        const int   count = plot->count != NULL ? plot->count(r) : 1;
        bool        any   = false;
        for (int k = 0; k < count; k++) {
            Made made;
            if (!make(r, plot, k, dir, &made, err)) return false;
            any        = any || made != NO_DATA;
            *n_plots  += made == MADE;
            n_refused += made == REFUSED;
        }
        if (!any) fprintf(stderr, "note: no plot of %s: %s\n", plot->name, plot->lacking);
    }
    return *n_plots > 0 || n_refused == 0;          /* all refused: not the pictures' fault; err has the last complaint */
}
