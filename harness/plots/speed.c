/* Time and throughput by batch size, and by threads: a line a model, for each machine and kind of pass, all else equal. */
#include "harness/report/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

FIGURE_DRAWING(speed);

#define BATCH   "/metrics/batch_size_count"
#define THREADS "/metrics/threads_effective_count"

typedef struct Series {
    const ReportRow *row[64];
    int              n, variant;
} Series;

/* along: what a line runs over; fixed: what is the same on it. */
typedef struct Axes { const char *along, *fixed; } Axes;

static bool on_one_line(const ReportRow *a, const ReportRow *b, const Axes *x) {
    return a->model_index == b->model_index && figure_same(a, b, x->fixed) && figure_same(a, b, "/env_id") &&
           figure_same(a, b, "/metrics/latency_of") && figure_same(a, b, "/model/weights_sha256");
}

static int compare_numbers(const void *a, const void *b, const char *pointer) {
    const double x = report_number((*(const ReportRow *const *)a)->run, pointer), y = report_number((*(const ReportRow *const *)b)->run, pointer);
    return (x > y) - (x < y);
}
static int by_batch(const void *a, const void *b) { return compare_numbers(a, b, BATCH); }
static int by_threads(const void *a, const void *b) { return compare_numbers(a, b, THREADS); }

static int group(Series series[FIGURE_MAX_SERIES], Figure *f, const Axes *x) {
    const Report *r = f->report;
    int           n = 0;
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row = &r->row[i];
        int              k   = 0, variant = 0;
        if (!figure_timed(row) || !isfinite(report_number(row->run, x->along))) continue;
        for (; k < n && !on_one_line(series[k].row[0], row, x); k++) variant += series[k].row[0]->model_index == row->model_index;
        if (k == FIGURE_MAX_SERIES) { f->n_left_out++; continue; }
        if (k == n) series[n++] = (Series){.variant = variant};
        if (series[k].n < (int)(sizeof series[k].row / sizeof *series[k].row)) series[k].row[series[k].n++] = row;
    }
    for (int k = 0; k < n; k++)
        qsort(series[k].row, (size_t)series[k].n, sizeof *series[k].row, strcmp(x->along, BATCH) == 0 ? by_batch : by_threads);
    return n;
}

static void put_point(Figure *f, const ReportRow *row, const char *along) {
    static const struct { const char *start, *unit; double by; } value[] = {{"latency", "_ns", 1e6}, {"images", "_per_s", 1}};
    double v[2][3];
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++) {
            char pointer[64];
            snprintf(pointer, sizeof pointer, "/metrics/%s%s%s", value[k].start, (const char *[]){"", "_low", "_high"}[i], value[k].unit);
            v[k][i] = report_number(row->run, pointer)/value[k].by;
            if (!isfinite(v[k][i])) v[k][i] = v[k][0];
        }
    figure_run(f, row);
    figure_numbers(f, 7, report_number(row->run, along), v[0][0], v[0][1], v[0][2], v[1][0], v[1][1], v[1][2]);
}

/* The model, and what tells its lines apart. */
static void put_labels(Figure *f, const Series series[], int n, const Axes *x) {
    for (int k = 0; k < n; k++) {
        const ReportRow *row = series[k].row[0];
        const double     fixed = report_number(row->run, x->fixed);
        char             label[256], env[40] = "", weights[40] = "";
        for (int j = 0; j < n; j++) {
            if (!figure_same(series[j].row[0], row, "/env_id")) snprintf(env, sizeof env, ", machine %.8s", figure_text_at(row, "/env_id", "?"));
            if (j != k && series[j].row[0]->model_index == row->model_index && !figure_same(series[j].row[0], row, "/model/weights_sha256"))
                snprintf(weights, sizeof weights, ", weights %.8s", figure_text_at(row, "/model/weights_sha256", "random"));
        }
        char       fixed_text[48];
        const bool by_batches = strcmp(x->along, BATCH) == 0, train = strcmp(figure_text_at(row, "/metrics/latency_of", ""), "train_step") == 0;
        if (by_batches) snprintf(fixed_text, sizeof fixed_text, "%.0f thread%s", fixed, fixed == 1 ? "" : "s");
        else            snprintf(fixed_text, sizeof fixed_text, "batch %.0f", fixed);
        snprintf(label, sizeof label, "%.100s%s%s, %s%s%s", row->model, row->speed_only ? " †" : "", train ? ", training step" : "",
                 isfinite(fixed) ? fixed_text : "threads not counted", env, weights);
        figure_label(f, k, label);
        figure_style(f, k, row->model_index, series[k].variant);
    }
}

static bool write_lines(Figure *f, const Axes *x) {
    Series   *series = calloc(FIGURE_MAX_SERIES, sizeof *series);
    const int n      = series != NULL ? group(series, f, x) : 0;
    double    least = INFINITY, most = 0;
    for (int k = 0; k < n; k++) {
        least = fmin(least, report_number(series[k].row[0]->run, x->along));
        most  = fmax(most, report_number(series[k].row[series[k].n - 1]->run, x->along));
    }
    const bool by_batches = strcmp(x->along, BATCH) == 0;
    const bool made       = n > 0 && (by_batches || most > least);
    if (made) {
        figure_begin_data(f);
        for (int k = 0; k < n; k++) {
            for (int i = 0; i < series[k].n; i++) put_point(f, series[k].row[i], x->along);
            figure_end_series(f);
        }
        figure_end_data(f);
        figure_series(f, n);
        put_labels(f, series, n, x);
        fprintf(f->f, "x_low = %g\nx_high = %g\n", least/1.3, most*1.3);
        figure_text(f, "x_name", by_batches ? "batch size (logarithmic)" : "threads (logarithmic)");
        figure_size(f, 860, f->narrow ? 2 : 1, f->narrow ? 200 : 260);
    }
    free(series);
    return made;
}

static bool write_batch(Figure *f, int picture) { (void)picture; return write_lines(f, &(Axes){BATCH, THREADS}); }
static bool write_threads(Figure *f, int picture) { (void)picture; return write_lines(f, &(Axes){THREADS, BATCH}); }

#define READ_SPEED "Bars: 95 % intervals; a point without one has too few samples. Times are of one batch, images already in memory. " \
                   "† no accuracy of these weights is known."

const Plot plot_batch = {.name = "batch", .title = "Speed by batch size", .drawing = morbench_plot_speed, .write = write_batch,
                         .lacking = "no valid run was timed", .caption = READ_SPEED};
const Plot plot_threads = {.name = "threads", .title = "Speed by threads", .drawing = morbench_plot_speed, .write = write_threads,
                           .lacking = "no model was timed with different numbers of threads", .caption = READ_SPEED};
