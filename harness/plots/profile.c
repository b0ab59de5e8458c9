/* Where the time of one image goes: by part of the model, blocks added up. */
#include "harness/report/figure.h"

#include "harness/report/escape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

FIGURE_DRAWING(profile);

enum { MAX_PARTS = 7 };

/* From dark to light, so that neighbours differ in grey as well; not the colours of models. */
static const unsigned part_colour[MAX_PARTS + 1] = {0x2d2a5a, 0x565fa3, 0x7f93c6, 0x9cb8d4, 0xb9d6da, 0xd5e8d8, 0xeef5dc, 0xc8c8c8};

/* "blocks.3.attn" -> "blocks.attn": what repeats is added up. */
static void part_name(const char *scope, char text[64]) {
    size_t n = 0;
    while (*scope != '\0') {
        const size_t length = strcspn(scope, ".");
        if (strspn(scope, "0123456789") < length && n + length + 2 < 64) {
            if (n > 0) text[n++] = '.';
            memcpy(text + n, scope, length);
            n += length;
        }
        scope += length + (scope[length] == '.');
    }
    text[n] = '\0';
}

typedef struct Part {
    char   name[64];
    double ms[FIGURE_MAX_SERIES];    /* by bar */
    double total;
} Part;

typedef struct Parts {
    Part part[256];
    int  n, n_bars;
} Parts;

static void add_part(Parts *parts, const char *scope, double ms) {
    enum { MOST = sizeof parts->part / sizeof *parts->part };
    char name[64];
    int  i = 0;
    part_name(scope, name);
    while (i < parts->n && strcmp(parts->part[i].name, name) != 0) i++;
    if (i == MOST) i--;
    if (i == parts->n) {
        memset(&parts->part[i], 0, sizeof parts->part[i]);
        memcpy(parts->part[i].name, name, sizeof name);
        parts->n++;
    }
    parts->part[i].ms[parts->n_bars] += ms;
    parts->part[i].total             += ms;
}

/* Largest first; what is called "other" last. */
static int by_total(const void *a, const void *b) {
    const Part *x = a, *y = b;
    const int   x_other = strcmp(x->name, "other") == 0, y_other = strcmp(y->name, "other") == 0;
    return x_other != y_other ? x_other - y_other : (x->total < y->total) - (x->total > y->total);
}

static void put_bar_label(Figure *f, const ReportRow *row, const char *pass, int bar) {
    const double batch = report_number(row->run, "/metrics/batch_size_count");
    const double threads = report_number(row->run, "/metrics/threads_effective_count");
    char         size[32] = "", on[32] = "", text[256];
    if (isfinite(batch)) snprintf(size, sizeof size, ", batch %.0f", batch);
    if (isfinite(threads)) snprintf(on, sizeof on, ", %.0f thread%s", threads, threads == 1 ? "" : "s");
    snprintf(text, sizeof text, "%.100s%s%s%s%s", row->model, size, on, strcmp(pass, "backward") == 0 ? ", backward" : "",
             strcmp(figure_text_at(row, "/kind", ""), "train") == 0 ? ", training" : "");
    fputs("set label ", f->f);
    escape_gnuplot(f->f, text);
    fprintf(f->f, " at graph 0, first %.2f left offset 0.3,0\n", bar - 0.42);
}

static void add_bar(Figure *f, Parts *parts, const ReportRow *row, const char *pass) {
    const json_t *scopes = report_at(row->run, "/profile/scopes"), *scope;
    const double  images = report_number(row->run, "/profile/images_count");
    size_t        k;
    bool          any = false;
    if (!(images > 0) || !figure_valid(row)) return;
    json_array_foreach(scopes, k, scope) {
        const char  *name = json_string_value(json_object_get(scope, "scope")), *of = json_string_value(json_object_get(scope, "pass"));
        const double ns   = figure_at(scope, "elapsed_ns");
        if (name == NULL || of == NULL || strcmp(of, pass) != 0 || !(ns > 0)) continue;
        if (parts->n_bars == FIGURE_MAX_SERIES) { f->n_left_out++; return; }
        add_part(parts, name, ns/1e6/images);
        any = true;
    }
    if (!any) return;
    figure_run(f, row);
    put_bar_label(f, row, pass, parts->n_bars++);
}

/* The largest stay, the rest becomes "other". */
static void merge_small(Parts *parts) {
    qsort(parts->part, (size_t)parts->n, sizeof *parts->part, by_total);
    while (parts->n > MAX_PARTS + 1 || (parts->n == MAX_PARTS + 1 && strcmp(parts->part[MAX_PARTS].name, "other") != 0)) {
        Part *last = &parts->part[parts->n - 1], *into = &parts->part[parts->n - 2];
        for (int b = 0; b < parts->n_bars; b++) into->ms[b] += last->ms[b];
        snprintf(into->name, sizeof into->name, "other");
        parts->n--;
    }
}

static void put_bars(Figure *f, const Parts *parts) {
    double reached[FIGURE_MAX_SERIES] = {0}, total[FIGURE_MAX_SERIES] = {0};
    for (int k = 0; k < parts->n; k++)
        for (int b = 0; b < parts->n_bars; b++) total[b] += parts->part[k].ms[b];
    figure_begin_data(f);
    for (int k = 0; k < parts->n; k++) {
        for (int b = 0; b < parts->n_bars; b++) {
            const double ms = parts->part[k].ms[b];
            figure_numbers(f, 4, reached[b], reached[b] + ms, (double)b, 100*ms/total[b]);
            reached[b] += ms;
        }
        figure_end_series(f);
    }
    figure_end_data(f);
    figure_series(f, parts->n);
    double longest = 0;
    for (int b = 0; b < parts->n_bars; b++) longest = fmax(longest, total[b]);
    fprintf(f->f, "n_bars = %d\nlongest = %.10g\narray ink[%d]\n", parts->n_bars, longest, parts->n);
    for (int k = 0; k < parts->n; k++) {
        const bool other = strcmp(parts->part[k].name, "other") == 0;
        figure_label(f, k, parts->part[k].name);
        figure_paint(f, k, part_colour[other ? MAX_PARTS : k], 0, 1);
        fprintf(f->f, "ink[%d] = 0x%06x\n", k + 1, k < 2 && !other ? 0xffffff : 0x000000);
    }
}

static bool write(Figure *f, int picture) {
    Parts *parts = calloc(1, sizeof *parts);
    bool   made;
    (void)picture;
    if (parts == NULL) return false;
    for (int i = 0; i < f->report->n_rows; i++) {
        add_bar(f, parts, &f->report->row[i], "forward");
        add_bar(f, parts, &f->report->row[i], "backward");
    }
    made = parts->n_bars > 0;
    if (made) {
        merge_small(parts);
        put_bars(f, parts);
        figure_size(f, 860, 1, 20 + 50*parts->n_bars);
    }
    free(parts);
    return made;
}

const Plot plot_profile = {
    .name = "profile", .title = "Time of one image by part of the model", .drawing = morbench_plot_profile, .write = write,
    .lacking = "no valid run has a profile",
    .caption = "Time of each part's own work, layers added up, from profiled passes, which are not the timed ones. Colours are parts here, not models."};
