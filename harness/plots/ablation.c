/* One setting, all else equal: accuracy and executed MACs of trainings that differ in that setting alone, a picture a setting.
 * Runs that differ in nothing but their seed are repeats: mean and Student's interval; a single one has Wilson's, over images. */
#include "harness/report/figure.h"

#include "harness/measure/student.h"
#include "harness/report/escape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

FIGURE_DRAWING(ablation);

enum { MAX_FACTORS = 8, MAX_VALUES = 32, MAX_TRAINED = 256, FACTOR_SIZE = REPORT_SETTING_SIZE };

static int trained(const Report *r, const ReportRow *row[MAX_TRAINED]) {
    int n = 0;
    for (int i = 0; i < r->n_rows && n < MAX_TRAINED; i++)
        if (strcmp(figure_text_at(&r->row[i], "/kind", ""), "train") == 0 && figure_valid(&r->row[i]) &&
            isfinite(report_number(r->row[i].run, "/accuracy/top1_ratio")))
            row[n++] = &r->row[i];
    return n;
}

/* Settings in which some two runs differ alone. */
static int find_factors(const Report *r, char factor[MAX_FACTORS][FACTOR_SIZE]) {
    const ReportRow *row[MAX_TRAINED];
    const int        n_rows = trained(r, row);
    int              n = 0;
    for (int i = 0; i < n_rows; i++)
        for (int j = 0; j < i; j++) {
            char first[FACTOR_SIZE];
            int  k = 0;
            if (report_differences(row[i], row[j], first) != 1) continue;
            while (k < n && strcmp(factor[k], first) != 0) k++;
            if (k == n && n < MAX_FACTORS) memcpy(factor[n++], first, FACTOR_SIZE);
        }
    return n;
}

static int count(const Report *r) {
    char factor[MAX_FACTORS][FACTOR_SIZE];
    return find_factors(r, factor);
}

typedef struct Place { const json_t *value; double x; } Place;

static const json_t *value_of(const ReportRow *row, const char *factor) {
    char pointer[FACTOR_SIZE + 16];
    snprintf(pointer, sizeof pointer, "/experiment%s", factor);
    return report_at(row->run, pointer);
}

/* The values met, in order: numbers by size, others as they come. */
static int find_places(Place place[MAX_VALUES], const ReportRow *const row[], int n_rows, const char *factor, bool *numeric) {
    int n = 0;
    *numeric = true;
    for (int i = 0; i < n_rows; i++) {
        const json_t *value = value_of(row[i], factor);
        int           k     = 0;
        while (k < n && !(place[k].value == value || json_equal(place[k].value, value))) k++;
        if (k < n || n == MAX_VALUES) continue;
        place[n++] = (Place){value, 0};
        *numeric = *numeric && json_is_number(value);
    }
    for (int k = 0; k < n; k++) place[k].x = *numeric ? json_number_value(place[k].value) : k;
    for (int k = 1; k < n && *numeric; k++)
        for (int j = k; j > 0 && place[j].x < place[j - 1].x; j--) {
            const Place p = place[j];
            place[j]     = place[j - 1];
            place[j - 1] = p;
        }
    return n;
}

typedef struct Extent { double low, high; } Extent;

/* 1 value, 2 accuracy %, 3 low, 4 high, 5 MMACs an image, 6 runs */
static int put_point(Figure *f, Extent *seen, const ReportRow *const member[], int n_members, const char *factor, const Place *place) {
    double *y = calloc((size_t)n_members + 1, sizeof *y), macs = 0, low = NAN, high = NAN;
    int     n = 0;
    for (int i = 0; y != NULL && i < n_members; i++) {
        if (!(value_of(member[i], factor) == place->value || json_equal(value_of(member[i], factor), place->value))) continue;
        figure_run(f, member[i]);
        y[n++] = 100*report_number(member[i]->run, "/accuracy/top1_ratio");
        macs += figure_macs(member[i], "")/1e6;
        low  = 100*report_number(member[i]->run, "/accuracy/top1_low_ratio");
        high = 100*report_number(member[i]->run, "/accuracy/top1_high_ratio");
    }
    const Student s = n > 0 ? student_mean(y, (size_t)n, 0) : (Student){0};
    free(y);
    if (n == 0) return 0;
    if (n > 1) low = s.low, high = s.high;
    seen->low  = fmin(seen->low, isfinite(low) ? low : s.mean);
    seen->high = fmax(seen->high, isfinite(high) ? high : s.mean);
    figure_numbers(f, 6, place->x, s.mean, low, high, macs/n, (double)n);
    return n;
}

/* Runs that differ from the first one, if at all, in the factor alone. They are moved to the front; how many is returned. */
static int take_group(const ReportRow *row[], int n, const char *factor) {
    int taken = 1;
    for (int i = 1; i < n; i++) {
        char      first[FACTOR_SIZE];
        const int n_differences = report_differences(row[0], row[i], first);
        if (n_differences > 1 || (n_differences == 1 && strcmp(first, factor) != 0)) continue;
        const ReportRow *keep = row[taken];
        row[taken++] = row[i];
        row[i]       = keep;
    }
    return taken;
}

static void put_axis(Figure *f, const Place place[], int n, bool numeric, const char *factor) {
    double least = place[0].x, most = place[n - 1].x;
    figure_text(f, "factor", strrchr(factor, '/') + 1);
    fprintf(f->f, "numeric = %d\nx_low = %.10g\nx_high = %.10g\nx_log = %d\n", numeric, least, most, numeric && least > 0 && most > 20*least);
    if (numeric) return;
    fputs("set xtics (", f->f);
    for (int k = 0; k < n; k++) {
        char *text = json_is_string(place[k].value) || place[k].value == NULL ? NULL : json_dumps(place[k].value, JSON_COMPACT | JSON_ENCODE_ANY);
        char  cut[32];
        snprintf(cut, sizeof cut, "%.20s", text != NULL ? text : place[k].value == NULL ? "(none)" : json_string_value(place[k].value));
        if (k > 0) fputs(", ", f->f);
        escape_gnuplot(f->f, cut);
        fprintf(f->f, " %d", k);
        free(text);
    }
    fputs(")\n", f->f);
}

static bool write(Figure *f, int picture) {
    char             factor[MAX_FACTORS][FACTOR_SIZE];
    const ReportRow *row[MAX_TRAINED], *first[FIGURE_MAX_SERIES];
    Place            place[MAX_VALUES];
    bool             numeric, repeated = false, single = false;
    if (picture >= find_factors(f->report, factor)) return false;
    const char *name   = factor[picture];
    const int   n_rows = trained(f->report, row);
    int         n      = 0, kept = 0;
    /* only groups in which the factor varies count for the axis */
    for (int at = 0, group; at < n_rows; at += group) {
        group = take_group(row + at, n_rows - at, name);
        if (find_places(place, row + at, group, name, &numeric) < 2) continue;
        for (int i = 0; i < group; i++) {
            const ReportRow *other = row[kept];
            row[kept++]  = row[at + i];
            row[at + i] = other;
        }
    }
    const int n_places = find_places(place, row, kept, name, &numeric);
    Extent y = {100, 0};
    if (n_places < 2) return false;
    figure_begin_data(f);
    for (int at = 0, group; at < kept; at += group) {
        group = take_group(row + at, kept - at, name);
        if (n == FIGURE_MAX_SERIES) { f->n_left_out++; continue; }
        first[n++] = row[at];
        for (int k = 0; k < n_places; k++) {
            const int repeats = put_point(f, &y, row + at, group, name, &place[k]);
            repeated = repeated || repeats > 1;
            single   = single || repeats == 1;
        }
        figure_end_series(f);
    }
    figure_end_data(f);
    figure_series(f, n);
    for (int k = 0; k < n; k++) {
        int variant = 0;
        for (int j = 0; j < k; j++) variant += first[j]->model_index == first[k]->model_index;
        char label[200];
        snprintf(label, sizeof label, "%.100s%s%.8s", f->report->model[first[k]->model_index].base, n > 1 ? ", as run " : "",
                 n > 1 ? figure_text_at(first[k], "/id", "?") : "");
        figure_label(f, k, label);
        figure_style(f, k, first[k]->model_index, variant);
    }
    put_axis(f, place, n_places, numeric, name);
    figure_accuracy_axis(f, y.low, y.high);
    snprintf(f->title, sizeof f->title, "One setting, all else equal: %.60s", strrchr(name, '/') + 1);
    snprintf(f->note, sizeof f->note, "%s%s", repeated ? "Points of several seeds: mean, with Student's 95 % interval. " : "",
             single ? "Points of one seed: the bar is the 95 % interval over the choice of images and says nothing of other seeds." : "");
    figure_size(f, 860, f->narrow ? 2 : 1, f->narrow ? 200 : 260);
    return true;
}

const Plot plot_ablation = {
    .name = "ablation", .title = "One setting, all else equal", .drawing = morbench_plot_ablation, .count = count, .write = write,
    .lacking = "no two trainings differ in one setting alone",
    .caption = "Trainings that differ in this setting and in nothing else but their seed. Lines join numbers only."};
