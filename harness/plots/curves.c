/* Training: loss and accuracy by epoch; and what it did meanwhile. */
#include "harness/report/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

FIGURE_DRAWING(curves);
FIGURE_DRAWING(training);

static bool has_curve(const ReportRow *row) { return json_array_size(report_at(row->run, "/curves")) > 0 && figure_valid(row); }

/* Of each row how many runs of its model come before it, -1 where it has no curve; free(). NULL: no memory. */
static int *places_in_models(const Report *r, int *n_all) {
    int *place = malloc((size_t)r->n_rows*sizeof *place), *n_met = calloc((size_t)r->n_models + 1, sizeof *n_met);
    for (int i = 0; place != NULL && n_met != NULL && i < r->n_rows; i++) {
        place[i] = has_curve(&r->row[i]) ? n_met[r->row[i].model_index]++ : -1;
        *n_all  += place[i] >= 0;
    }
    if (n_met == NULL) {
        free(place);
        place = NULL;
    }
    free(n_met);
    return place;
}

/* The valid runs that have a curve, in their order; where there are too many, no model has two before every model has one, and so on. */
static int trained_runs(Figure *f, const ReportRow *row[FIGURE_MAX_SERIES]) {
    const Report *r     = f->report;
    int           n_all = 0, n = 0, chosen[FIGURE_MAX_SERIES];
    int          *place = places_in_models(r, &n_all);
    for (int round = 0; place != NULL && n < n_all && n < FIGURE_MAX_SERIES; round++)
        for (int i = 0; i < r->n_rows && n < FIGURE_MAX_SERIES; i++) {
            if (place[i] != round) continue;
            int at = n++;
            for (; at > 0 && chosen[at - 1] > i; at--) chosen[at] = chosen[at - 1];
            chosen[at] = i;
        }
    for (int k = 0; k < n; k++) row[k] = &r->row[chosen[k]];
    f->n_left_out = n_all - n;
    free(place);
    return n;
}

static long long seed_of(const ReportRow *row) {
    const json_t *seed = report_at(row->run, "/experiment/train/seed");
    return json_is_integer(seed) ? json_integer_value(seed) : -1;
}

/* Two runs of one model are told apart by their seeds, or where these are the same, or something else differs, by their ids. */
static void put_runs(Figure *f, const ReportRow *const row[], int n, double epochs) {
    figure_series(f, n);
    for (int k = 0; k < n; k++) {
        char label[256], first[REPORT_SETTING_SIZE];
        int  variant = 0, others = 0;
        bool by_seed = seed_of(row[k]) >= 0;
        for (int j = 0; j < n; j++) {
            if (row[j]->model_index != row[k]->model_index || j == k) continue;
            variant += j < k;
            others++;
            for (int i = 0; i < j; i++)
                if (row[i]->model_index == row[k]->model_index && seed_of(row[i]) == seed_of(row[j])) by_seed = false;
            if (seed_of(row[j]) == seed_of(row[k]) || report_differences(row[j], row[k], first) != 0) by_seed = false;
        }
        if (others == 0)  snprintf(label, sizeof label, "%.200s", row[k]->model);
        else if (by_seed) snprintf(label, sizeof label, "%.200s, seed %lld", row[k]->model, seed_of(row[k]));
        else              snprintf(label, sizeof label, "%.200s, run %.8s", row[k]->model, figure_text_at(row[k], "/id", "?"));
        figure_label(f, k, label);
        figure_style(f, k, row[k]->model_index, variant);
    }
    fprintf(f->f, "x_step = %g\n", ceil(epochs/10));
}

static bool write_curves(Figure *f, int picture) {
    const ReportRow *row[FIGURE_MAX_SERIES];
    const int        n = trained_runs(f, row);
    double           low = 100, epochs = 1;
    (void)picture;
    if (n == 0) return false;
    figure_begin_data(f);
    for (int i = 0; i < n; i++) {
        const json_t *curve = report_at(row[i]->run, "/curves"), *point;
        size_t        k;
        figure_run(f, row[i]);
        json_array_foreach(curve, k, point) {
            const bool   last  = k + 1 == json_array_size(curve), held_out = json_object_get(point, "held_out_top1_ratio") != NULL;
            const double train = 100*figure_at(point, "train_top1_ratio");
            double       test  = 100*figure_at(point, held_out ? "held_out_top1_ratio" : "test_top1_ratio");
            double       loss  = figure_at(point, held_out ? "held_out_loss" : "test_loss");
            if (last && !held_out && !isfinite(test)) { /* the run's accuracy is that of its end */
                test = 100*report_number(row[i]->run, "/accuracy/top1_ratio");
                loss = report_number(row[i]->run, "/accuracy/loss");
            }
            figure_numbers(f, 5, figure_at(point, "epoch"), figure_at(point, "train_loss"), loss, train, test);
            epochs = fmax(epochs, figure_at(point, "epoch"));
            low = fmin(low, fmin(isfinite(train) ? train : 100, isfinite(test) ? test : 100));
        }
        figure_end_series(f);
    }
    figure_end_data(f);
    put_runs(f, row, n, epochs);
    fprintf(f->f, "y_low = %g\n", low < 20 ? 0 : 10*floor((low - 1)/10));
    figure_size(f, 860, f->narrow ? 2 : 1, f->narrow ? 200 : 260);
    return true;
}

static bool write_training(Figure *f, int picture) {
    enum { N_COLUMNS = 5 };
    static const struct { const char *key; double unit; } column[N_COLUMNS] = {
        {"learning_rate", 1}, {"grad_norm", 1}, {"images_per_s", 1}, {"train_macs_count", 1e9}, {"peak_activation_bytes", 1048576}};
    const ReportRow *row[FIGURE_MAX_SERIES];
    const int        n = trained_runs(f, row);
    double           epochs = 1;
    int              n_measured[N_COLUMNS] = {0};
    (void)picture;
    if (n == 0) return false;
    figure_begin_data(f);
    for (int i = 0; i < n; i++) {
        const json_t *curve = report_at(row[i]->run, "/curves"), *point;
        size_t        k;
        figure_run(f, row[i]);
        json_array_foreach(curve, k, point) {
            double value[N_COLUMNS];
            for (int c = 0; c < N_COLUMNS; c++) {
                value[c] = figure_at(point, column[c].key)/column[c].unit;
                n_measured[c] += isfinite(value[c]);
            }
            figure_numbers(f, 1 + N_COLUMNS, figure_at(point, "epoch"), value[0], value[1], value[2], value[3], value[4]);
            epochs = fmax(epochs, figure_at(point, "epoch"));
        }
        figure_end_series(f);
    }
    figure_end_data(f);
    put_runs(f, row, n, epochs);
    fprintf(f->f, "array n_measured[%d]\n", N_COLUMNS + 1);
    for (int c = 0; c < N_COLUMNS; c++) fprintf(f->f, "n_measured[%d] = %d\n", c + 2, n_measured[c]);
    figure_size(f, 1080, f->narrow ? 5 : 2, f->narrow ? 150 : 170);
    return true;
}

const Plot plot_curves = {
    .name = "curves", .title = "Training: loss and accuracy", .drawing = morbench_plot_curves, .write = write_curves,
    .lacking = "no valid run was trained",
    .caption = "Symbols: on the test split, or on held-out training images where a run has some. Thin dotted lines: on training "
               "batches, as they were augmented. One seed a line."};
const Plot plot_training = {
    .name = "training", .title = "Training: what it took, by epoch", .drawing = morbench_plot_training, .write = write_training,
    .lacking = "no valid run was trained",
    .caption = "Gradient norms are before clipping. Speed tells of the machine too, which may have been shared. Memory is that of "
               "one step's tensors."};
