/* Plots of a Report: data and labels are written here, drawing is scripts/plots/<name>.gp, which are built into the program,
 * so that it draws the same wherever it is installed. gnuplot gets one script on its standard input and answers with the
 * picture on its standard output: no file name ever stands in a script. Texts from runs appear in single quotes only,
 * data blocks hold numbers only.
 *
 * Every model has one colour and one symbol in all plots (Okabe & Ito's colours, distinct also to the colour-blind). Runs
 * that are INVALID are left out. */
#include "harness/report.h"

#include "engine/file.h"
#include "harness/escape.h"
#include "harness/gnuplot.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE(name)                                                                           \
    __asm__(".pushsection .rodata, \"a\", %progbits\n"                                           \
            ".global morbench_plot_" #name "\n.hidden morbench_plot_" #name "\n"                 \
            "morbench_plot_" #name ":\n.incbin \"scripts/plots/" #name ".gp\"\n.byte 0\n"        \
            ".popsection\n");                                                                    \
    extern const char morbench_plot_##name[] __attribute__((visibility("hidden")))
TEMPLATE(style);
TEMPLATE(accuracy);
TEMPLATE(batch);
TEMPLATE(curves);
TEMPLATE(profile);
TEMPLATE(training);

enum { MAX_SERIES = 24, MAX_PARTS = 7, GNUPLOT_SECONDS = 30 };

static const int okabe_ito[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x000000, 0xa08c00};
static const int symbols[]   = {7, 5, 9, 13, 11, 15, 6, 4, 8, 12, 10, 14};    /* filled, then open */
/* From dark to light, so that neighbours differ in grey as well; not the colours of models. */
static const int part_colour[MAX_PARTS + 1] = {0x2d2a5a, 0x565fa3, 0x7f93c6, 0x9cb8d4, 0xb9d6da, 0xd5e8d8, 0xeef5dc, 0xc8c8c8};

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

typedef struct Script {
    FILE *f;
    int   n_series, rows;    /* rows of the legend */
    int   width, height;     /* of the picture, in points */
} Script;

static void begin_data(Script *s) { fputs("$data << END_OF_DATA\n", s->f); }

/* The end of one block; numbers follow for the next. */
static void end_series(Script *s) { fputs("\n\n", s->f); }

static void end_data(Script *s) { fputs("END_OF_DATA\n", s->f); }

static void put_numbers(Script *s, int n, ...) {
    va_list v;
    va_start(v, n);
    for (int i = 0; i < n; i++) {
        const double x = va_arg(v, double);
        if (isfinite(x)) fprintf(s->f, "%s%.10g", i > 0 ? " " : "", x);
        else             fprintf(s->f, "%sNaN", i > 0 ? " " : "");
    }
    va_end(v);
    fputc('\n', s->f);
}

/* Where a number came from, as a comment. Of the path only what can mean nothing to gnuplot even there. */
static void put_run(Script *s, const ReportRow *row) {
    fprintf(s->f, "# run %s, ", json_string_value(report_at(row->run, "/id")));
    for (const char *c = row->path; *c != '\0'; c++)
        fputc((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || strchr("0123456789._-/", *c) != NULL ? *c : '?', s->f);
    fputc('\n', s->f);
}

static void put_arrays(Script *s, int n) {
    s->n_series = n;
    s->rows     = n <= 4 ? n : (n + 1)/2;
    fprintf(s->f, "rows = %d\n", s->rows);
    fprintf(s->f, "n_series = %d\narray label[%d]\narray colour[%d]\narray point[%d]\narray dash[%d]\n", n, n, n, n, n);
}

/* Series i (from 0) of a model; variant tells apart several of one model. */
static void put_style(Script *s, int i, int model, int variant) {
    fprintf(s->f, "colour[%d] = 0x%06x\npoint[%d] = %d\ndash[%d] = %d\n", i + 1, okabe_ito[model % COUNT_OF(okabe_ito)], i + 1,
            symbols[(model + model/COUNT_OF(okabe_ito)) % COUNT_OF(symbols)], i + 1, 1 + variant % 5);
}

static void put_label(Script *s, int i, const char *text) {
    fprintf(s->f, "label[%d] = ", i + 1);
    escape_gnuplot(s->f, text);
    fputc('\n', s->f);
}

static bool is_valid(const ReportRow *row) { return strcmp(row->verdict, "INVALID") != 0; }

/* -- accuracy against cost -- */

static double cost_of(const ReportRow *row, const char *which) {
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/model/counts/macs_executed%s", which);
    const double executed = report_number(row->run, pointer);
    return (isfinite(executed) ? executed : report_number(row->run, "/model/counts/macs"))/1e6;
}

static bool has_accuracy(const ReportRow *row) {
    return row->accuracy == row->run && is_valid(row) && isfinite(report_number(row->run, "/accuracy/top1_ratio")) &&
           isfinite(cost_of(row, ""));
}

static bool write_accuracy(Script *s, const Report *r) {
    double least = INFINITY, most = 0, low = 100, high = 0;
    int    n = 0;
    begin_data(s);
    for (int m = 0; m < r->n_models; m++) {
        int n_points = 0;
        for (int i = 0; i < r->n_rows; i++) {
            const ReportRow *row = &r->row[i];
            if (row->model_index != m || !has_accuracy(row)) continue;
            const double x = cost_of(row, ""), y = 100*report_number(row->run, "/accuracy/top1_ratio");
            const double y_low = 100*report_number(row->run, "/accuracy/top1_low_ratio");
            put_run(s, row);
            const double y_high = 100*report_number(row->run, "/accuracy/top1_high_ratio");
            put_numbers(s, 6, x, cost_of(row, "_min"), cost_of(row, "_max"), y, y_low, y_high);
            least = fmin(least, x);
            most  = fmax(most, x);
            low   = fmin(low, isfinite(y_low) ? y_low : y);
            high  = fmax(high, isfinite(y_high) ? y_high : y);
            n_points++;
        }
        if (n_points == 0) continue;
        end_series(s);
        n++;
    }
    end_data(s);
    if (n == 0) return false;
    put_arrays(s, n);
    n = 0;
    for (int m = 0; m < r->n_models; m++) {
        bool found = false;
        for (int i = 0; i < r->n_rows && !found; i++) {
            if (r->row[i].model_index != m || !has_accuracy(&r->row[i])) continue;
            put_label(s, n, r->row[i].model);
            put_style(s, n++, m, 0);
            found = true;
        }
    }
    const double step = high - low < 4 ? 1 : high - low < 20 ? 5 : 10;
    fprintf(s->f, "y_low = %g\ny_high = %g\nx_log = %d\n", fmax(0, step*floor((low - step/5)/step)),
            fmin(100, step*ceil((high + step/5)/step)), most > 10*least);
    s->height = 420 + 16*s->rows;
    return true;
}

/* -- time and throughput by batch size -- */

typedef struct Series {
    const ReportRow *row[64];
    int              n;
    double           threads;
    int              variant;
} Series;

static bool is_timed(const ReportRow *row) {
    return is_valid(row) && isfinite(report_number(row->run, "/metrics/latency_ns")) &&
           isfinite(report_number(row->run, "/metrics/batch_size_count"));
}

static bool same_pass(const ReportRow *a, const ReportRow *b) {
    return json_equal(report_at(a->run, "/metrics/latency_of"), report_at(b->run, "/metrics/latency_of"));
}

static bool same_env(const ReportRow *a, const ReportRow *b) {
    return json_equal(report_at(a->run, "/env_id"), report_at(b->run, "/env_id"));
}

static int by_batch(const void *a, const void *b) {
    const double x = report_number((*(const ReportRow *const *)a)->run, "/metrics/batch_size_count");
    const double y = report_number((*(const ReportRow *const *)b)->run, "/metrics/batch_size_count");
    return (x > y) - (x < y);
}

/* Lines join one model at one thread count on one machine, forward passes or training steps. */
static int group_by_batch(Series series[MAX_SERIES], const Report *r) {
    int n = 0;
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row     = &r->row[i];
        const double     threads = report_number(row->run, "/metrics/threads_effective_count");
        int              k       = 0, variant = 0;
        if (!is_timed(row)) continue;
        for (; k < n; k++) {
            const bool same_model = series[k].row[0]->model_index == row->model_index;
            if (same_model && (series[k].threads == threads || (isnan(series[k].threads) && isnan(threads))) &&
                same_env(series[k].row[0], row) && same_pass(series[k].row[0], row))
                break;
            variant += same_model;
        }
        if (k == MAX_SERIES) continue;
        if (k == n) series[n++] = (Series){.threads = threads, .variant = variant};
        if (series[k].n < COUNT_OF(series[k].row)) series[k].row[series[k].n++] = row;
    }
    for (int k = 0; k < n; k++) qsort(series[k].row, (size_t)series[k].n, sizeof *series[k].row, by_batch);
    return n;
}

static void put_with_interval(Script *s, double value, double low, double high) {
    fputc(' ', s->f);
    fprintf(s->f, "%.10g %.10g %.10g", value, isfinite(low) ? low : value, isfinite(high) ? high : value);
}

static bool write_batch(Script *s, const Report *r) {
    Series    series[MAX_SERIES];
    const int n = group_by_batch(series, r);
    if (n == 0) return false;
    begin_data(s);
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < series[k].n; i++) {
            const json_t *run = series[k].row[i]->run;
            put_run(s, series[k].row[i]);
            fprintf(s->f, "%.10g", report_number(run, "/metrics/batch_size_count"));
            put_with_interval(s, report_number(run, "/metrics/latency_ns")/1e6, report_number(run, "/metrics/latency_low_ns")/1e6,
                              report_number(run, "/metrics/latency_high_ns")/1e6);
            put_with_interval(s, report_number(run, "/metrics/images_per_s"), report_number(run, "/metrics/images_low_per_s"),
                              report_number(run, "/metrics/images_high_per_s"));
            fputc('\n', s->f);
        }
        end_series(s);
    }
    end_data(s);
    put_arrays(s, n);
    for (int k = 0; k < n; k++) {
        char        label[256], env[64] = "";
        const char *id = json_string_value(report_at(series[k].row[0]->run, "/env_id"));
        for (int j = 0; j < n; j++)
            if (!same_env(series[j].row[0], series[k].row[0])) snprintf(env, sizeof env, ", machine %.8s", id);
        const char *pass  = json_string_value(report_at(series[k].row[0]->run, "/metrics/latency_of"));
        const bool  train = pass != NULL && strcmp(pass, "train_step") == 0;
        snprintf(label, sizeof label, "%.120s%s%s, %.0f thread%s%s", series[k].row[0]->model, series[k].row[0]->speed_only ? " †" : "",
                 train ? ", training step" : "", series[k].threads, series[k].threads == 1 ? "" : "s", env);
        put_label(s, k, label);
        put_style(s, k, series[k].row[0]->model_index, series[k].variant);
    }
    double least = INFINITY, most = 0;
    for (int k = 0; k < n; k++) {
        least = fmin(least, report_number(series[k].row[0]->run, "/metrics/batch_size_count"));
        most  = fmax(most, report_number(series[k].row[series[k].n - 1]->run, "/metrics/batch_size_count"));
    }
    fprintf(s->f, "x_low = %g\nx_high = %g\n", least/1.3, most*1.3);
    s->width  = 860;
    s->height = 380 + 16*s->rows;
    return true;
}

/* -- training curves -- */

static double at(const json_t *point, const char *key) {
    const json_t *value = json_object_get(point, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Runs in turn, their labels and styles: two of one model are told apart by their ids. */
static void put_runs(Script *s, const ReportRow *const row[], int n, double epochs) {
    put_arrays(s, n);
    for (int k = 0; k < n; k++) {
        char label[256];
        int  variant = 0, others = 0;
        for (int j = 0; j < n; j++) {
            const bool same = row[j]->model_index == row[k]->model_index;
            variant += same && j < k;
            others  += same && j != k;
        }
        if (others > 0)
            snprintf(label, sizeof label, "%.120s, run %.8s", row[k]->model, json_string_value(report_at(row[k]->run, "/id")));
        else snprintf(label, sizeof label, "%.120s", row[k]->model);
        put_label(s, k, label);
        put_style(s, k, row[k]->model_index, variant);
    }
    fprintf(s->f, "x_step = %g\n", ceil(epochs/10));
}

/* The valid runs that have a curve. */
static int trained_runs(const Report *r, const ReportRow *row[MAX_SERIES]) {
    int n = 0;
    for (int i = 0; i < r->n_rows && n < MAX_SERIES; i++)
        if (json_array_size(report_at(r->row[i].run, "/curves")) > 0 && is_valid(&r->row[i])) row[n++] = &r->row[i];
    return n;
}

static bool write_curves(Script *s, const Report *r) {
    const ReportRow *row[MAX_SERIES];
    const int        n   = trained_runs(r, row);
    double           low = 100, epochs = 1;
    if (n == 0) return false;
    begin_data(s);
    for (int i = 0; i < n; i++) {
        const json_t *curve = report_at(row[i]->run, "/curves"), *point;
        size_t        k;
        put_run(s, row[i]);
        json_array_foreach(curve, k, point) {
            const bool   last  = k + 1 == json_array_size(curve), held_out = json_object_get(point, "held_out_top1_ratio") != NULL;
            const double train = 100*at(point, "train_top1_ratio");
            double       test  = 100*at(point, held_out ? "held_out_top1_ratio" : "test_top1_ratio");
            double       loss  = at(point, held_out ? "held_out_loss" : "test_loss");
            if (last && !held_out && !isfinite(test)) { /* the run's accuracy is that of its end */
                test = 100*report_number(row[i]->run, "/accuracy/top1_ratio");
                loss = report_number(row[i]->run, "/accuracy/loss");
            }
            put_numbers(s, 5, at(point, "epoch"), at(point, "train_loss"), loss, train, test);
            epochs = fmax(epochs, at(point, "epoch"));
            low = fmin(low, fmin(isfinite(train) ? train : 100, isfinite(test) ? test : 100));
        }
        end_series(s);
    }
    end_data(s);
    put_runs(s, row, n, epochs);
    fprintf(s->f, "y_low = %g\n", low < 20 ? 0 : 10*floor((low - 1)/10));
    s->width  = 860;
    s->height = 380 + 16*s->rows;
    return true;
}

static bool write_training(Script *s, const Report *r) {
    enum { N_COLUMNS = 5 };
    static const struct { const char *key; double unit; } column[N_COLUMNS] = {
        {"learning_rate", 1}, {"grad_norm", 1}, {"images_per_s", 1}, {"train_macs_count", 1e9}, {"peak_activation_bytes", 1048576}};
    const ReportRow *row[MAX_SERIES];
    const int        n = trained_runs(r, row);
    double           epochs = 1;
    int              n_measured[N_COLUMNS] = {0};
    if (n == 0) return false;
    begin_data(s);
    for (int i = 0; i < n; i++) {
        const json_t *curve = report_at(row[i]->run, "/curves"), *point;
        size_t        k;
        put_run(s, row[i]);
        json_array_foreach(curve, k, point) {
            double value[N_COLUMNS];
            for (int c = 0; c < N_COLUMNS; c++) {
                value[c] = at(point, column[c].key)/column[c].unit;
                n_measured[c] += isfinite(value[c]);
            }
            put_numbers(s, 1 + N_COLUMNS, at(point, "epoch"), value[0], value[1], value[2], value[3], value[4]);
            epochs = fmax(epochs, at(point, "epoch"));
        }
        end_series(s);
    }
    end_data(s);
    put_runs(s, row, n, epochs);
    fprintf(s->f, "array n_measured[%d]\n", N_COLUMNS + 1);
    for (int c = 0; c < N_COLUMNS; c++) fprintf(s->f, "n_measured[%d] = %d\n", c + 2, n_measured[c]);
    s->width  = 1080;
    s->height = 560 + 16*s->rows;
    return true;
}

/* -- time by part -- */

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
    double ms[MAX_SERIES];    /* by bar */
    double total;
} Part;

typedef struct Parts {
    Part part[256];
    int  n;
} Parts;

static void add_part(Parts *parts, const char *scope, int bar, double ms) {
    char name[64];
    int  i = 0;
    part_name(scope, name);
    while (i < parts->n && strcmp(parts->part[i].name, name) != 0) i++;
    if (i == COUNT_OF(parts->part)) i--;
    if (i == parts->n) {
        memset(&parts->part[i], 0, sizeof parts->part[i]);
        memcpy(parts->part[i].name, name, sizeof name);
        parts->n++;
    }
    parts->part[i].ms[bar] += ms;
    parts->part[i].total   += ms;
}

/* Largest first; what is called "other" last. */
static int by_total(const void *a, const void *b) {
    const Part *x = a, *y = b;
    const int   x_other = strcmp(x->name, "other") == 0, y_other = strcmp(y->name, "other") == 0;
    return x_other != y_other ? x_other - y_other : (x->total < y->total) - (x->total > y->total);
}

static void bar_label(const ReportRow *row, const char *pass, char text[256]) {
    const double batch = report_number(row->run, "/metrics/batch_size_count");
    char         size[32] = "";
    if (isfinite(batch)) snprintf(size, sizeof size, ", batch %.0f", batch);
    snprintf(text, 256, "%.100s, %.8s %s%s", row->model, json_string_value(report_at(row->run, "/kind")), pass, size);
}

static bool write_profile(Script *s, const Report *r) {
    static const char *const passes[] = {"forward", "backward"};
    Parts *parts = calloc(1, sizeof *parts);
    int    n_bars = 0;
    if (parts == NULL) return false;
    for (int i = 0; i < r->n_rows; i++)
        for (int p = 0; p < 2; p++) {
            const json_t *scopes = report_at(r->row[i].run, "/profile/scopes"), *scope;
            const double  images = report_number(r->row[i].run, "/profile/images_count");
            size_t        k;
            bool          any = false;
            char          label[256];
            if (!(images > 0) || n_bars == MAX_SERIES || !is_valid(&r->row[i])) continue;
            json_array_foreach(scopes, k, scope) {
                const char *name = json_string_value(json_object_get(scope, "scope"));
                const char *pass = json_string_value(json_object_get(scope, "pass"));
                const double ns  = at(scope, "elapsed_ns");
                if (name == NULL || pass == NULL || strcmp(pass, passes[p]) != 0 || !(ns > 0)) continue;
                add_part(parts, name, n_bars, ns/1e6/images);
                any = true;
            }
            if (!any) continue;
            put_run(s, &r->row[i]);
            bar_label(&r->row[i], passes[p], label);
            fputs("set label ", s->f);
            escape_gnuplot(s->f, label);
            fprintf(s->f, " at graph 0, first %.2f left offset 0.3,0\n", n_bars++ - 0.42);
        }
    qsort(parts->part, (size_t)parts->n, sizeof *parts->part, by_total);
    while (parts->n > MAX_PARTS + 1 || (parts->n == MAX_PARTS + 1 && strcmp(parts->part[MAX_PARTS].name, "other") != 0)) {
        Part *last = &parts->part[parts->n - 1], *into = &parts->part[parts->n - 2];
        for (int b = 0; b < n_bars; b++) into->ms[b] += last->ms[b];
        snprintf(into->name, sizeof into->name, "other");
        parts->n--;
    }
    double reached[MAX_SERIES] = {0}, total[MAX_SERIES] = {0};
    for (int k = 0; k < parts->n; k++)
        for (int b = 0; b < n_bars; b++) total[b] += parts->part[k].ms[b];
    if (n_bars > 0) {
        begin_data(s);
        for (int k = 0; k < parts->n; k++) {
            for (int b = 0; b < n_bars; b++) {
                const double ms = parts->part[k].ms[b];
                put_numbers(s, 4, reached[b], reached[b] + ms, (double)b, 100*ms/total[b]);
                reached[b] += ms;
            }
            end_series(s);
        }
        end_data(s);
        put_arrays(s, parts->n);
        fprintf(s->f, "n_bars = %d\narray ink[%d]\n", n_bars, parts->n);
    }
    for (int k = 0; k < parts->n && n_bars > 0; k++) {
        const bool other = strcmp(parts->part[k].name, "other") == 0;
        put_label(s, k, parts->part[k].name);
        fprintf(s->f, "colour[%d] = 0x%06x\nink[%d] = 0x%06x\n", k + 1, part_colour[other ? MAX_PARTS : k], k + 1,
                k < 2 && !other ? 0xffffff : 0x000000);
    }
    s->width  = 900;
    s->height = 150 + 18*s->rows + 52*n_bars;
    free(parts);
    return n_bars > 0;
}

/* -- pictures -- */

static const struct Plot {
    const char *name, *drawing, *lacking;
    bool      (*write)(Script *s, const Report *r);
} plots[] = {
    {"accuracy", morbench_plot_accuracy, "no valid run has an accuracy", write_accuracy},
    {"batch", morbench_plot_batch, "no valid run was timed", write_batch},
    {"curves", morbench_plot_curves, "no valid run was trained", write_curves},
    {"profile", morbench_plot_profile, "no valid run has a profile", write_profile},
    {"training", morbench_plot_training, "no valid run was trained", write_training},
};

static bool draw(const char *body, size_t n, const Script *s, const char *terminal, const char *path, Error *err) {
    const bool png = strcmp(terminal, "png") == 0;
    char      *script = NULL;
    void      *picture = NULL;
    size_t     n_picture = 0;
    /* a PNG has twice the points, for print */
    const int  length = png ? asprintf(&script, "set terminal pngcairo noenhanced size %d,%d font 'sans,9' fontscale 2 linewidth 2 "
                                       "pointscale 2 background '#ffffff'\n%.*s", 2*s->width, 2*s->height, (int)n, body)
                            : asprintf(&script, "set terminal svg noenhanced size %d,%d font 'sans,12' background '#ffffff'\n%.*s",
                                       s->width, s->height, (int)n, body);
    if (length < 0) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a plot");
    const bool ok = gnuplot_run(script, (size_t)length, GNUPLOT_SECONDS, &picture, &n_picture, err) &&
                    file_write_durable(path, picture, n_picture, err);
    free(script);
    free(picture);
    return ok;
}

static bool make(const Report *r, const struct Plot *plot, const char *dir, bool *made, Error *err) {
    char  *text = NULL, path[PATH_MAX];
    size_t n    = 0;
    Script s    = {.f = open_memstream(&text, &n), .width = 640, .height = 480};
    if (s.f == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a plot");
    *made = plot->write(&s, r);
    fputs(morbench_plot_style, s.f);
    fputs(plot->drawing, s.f);
    bool ok = fclose(s.f) == 0 || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a plot");
    if (ok && !*made) fprintf(stderr, "note: no plot of %s: %s\n", plot->name, plot->lacking);
    for (int i = 0; ok && *made && i < 3; i++) {
        static const char *const endings[] = {"gp", "svg", "png"};
        const int length = snprintf(path, sizeof path, "%s/plots/%s.%s", dir, plot->name, endings[i]);
        if (length < 0 || length >= PATH_MAX) ok = FAIL(err, "", "the path of the report is too long");
        else if (i == 0)                      ok = file_write_durable(path, text, n, err);
        else                                  ok = draw(text, n, &s, endings[i], path, err);
    }
    free(text);
    return ok;
}

bool report_write_plots(const Report *r, const char *dir, int *n_plots, Error *err) {
    char      path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/plots", dir);
    *n_plots = 0;
    if (n < 0 || n >= PATH_MAX) return FAIL(err, "", "the path of the report is too long");
    if (!file_make_dirs(path, err)) return false;
    for (int i = 0; i < COUNT_OF(plots); i++) {
        bool made = false;
        if (!make(r, &plots[i], dir, &made, err)) return false;
        *n_plots += made;
    }
    return true;
}
