/* How deep tokens go: a histogram a model, of the run that saw most images. */
#include "harness/report/figure.h"

#include <math.h>
#include <string.h>

FIGURE_DRAWING(depth);

enum { MAX_PANELS = 12, MAX_DEPTHS = 64 };

static const ReportRow *counted(const Report *r, int model) {
    const ReportRow *found = NULL;
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row    = &r->row[i];
        const double     images = report_number(row->run, "/depth_histogram/images_count");
        if (row->model_index != model || !figure_valid(row) || json_array_size(report_at(row->run, "/depth_histogram/tokens_count")) == 0 ||
            !(images > 0))
            continue;
        if (found == NULL || images > report_number(found->run, "/depth_histogram/images_count")) found = row;
    }
    return found;
}

/* What a model's depth counts. Files of before depth_unit: recursions where tokens take at most as many as are set, else layers. */
static const char *unit_of(const ReportRow *row) {
    const double recursions = report_number(row->run, "/model/settings/recursions");
    const size_t depths     = json_array_size(report_at(row->run, "/depth_histogram/tokens_count"));
    return figure_text_at(row, "/model/depth_unit", !(recursions > 0) ? "blocks" : (double)depths == recursions + 1 ? "recursions" : "layers");
}

static double total_of(const json_t *tokens) {
    double        total = 0;
    const json_t *n;
    size_t        d;
    json_array_foreach(tokens, d, n) total += json_is_number(n) ? json_number_value(n) : 0;
    return total;
}

static bool write(Figure *f, int picture) {
    const Report    *r = f->report;
    const ReportRow *row[MAX_PANELS];
    int              n = 0, deepest = 1;
    (void)picture;
    figure_begin_data(f);
    for (int m = 0; m < r->n_models; m++) {
        const ReportRow *found  = counted(r, m);
        const json_t    *tokens = found != NULL ? report_at(found->run, "/depth_histogram/tokens_count") : NULL, *count;
        const double     total  = total_of(tokens);
        size_t           d;
        if (!(total > 0)) continue;
        if (n == MAX_PANELS) { f->n_left_out++; continue; }
        figure_run(f, found);
        json_array_foreach(tokens, d, count) {
            if (d >= MAX_DEPTHS) break;
            const double share = 100*(json_is_number(count) ? json_number_value(count) : 0)/total;
            figure_numbers(f, 2, (double)d, share);
            if (share > 0 && (int)d > deepest) deepest = (int)d;
        }
        figure_end_series(f);
        row[n++] = found;
    }
    figure_end_data(f);
    if (n == 0) return false;
    figure_series(f, n);
    fprintf(f->f, "deepest = %d\narray mean[%d]\narray unit[%d]\ncolumns = %d\n", deepest, n, n, n < 3 ? n : 3);
    for (int k = 0; k < n; k++) {
        char         name[32], label[200];
        const double images = report_number(row[k]->run, "/depth_histogram/images_count"), mean = report_number(row[k]->run, "/depth_histogram/mean_depth_count");
        snprintf(label, sizeof label, "%.100s", row[k]->model);
        figure_label(f, k, label);
        figure_style(f, k, row[k]->model_index, 0);
        fprintf(f->f, "mean[%d] = %.10g\n", k + 1, isfinite(mean) ? mean : -1);
        snprintf(name, sizeof name, "unit[%d]", k + 1);
        snprintf(label, sizeof label, "%s, %.0f image%s", unit_of(row[k]), images, images == 1 ? "" : "s");
        figure_text(f, name, label);
    }
    const int lines = f->narrow ? n : (n + 2)/3;
    f->width  = f->narrow ? 360 : n == 1 ? 420 : n == 2 ? 700 : 1000;
    f->height = 60 + 200*lines;
    return true;
}

const Plot plot_depth = {
    .name = "depth", .title = "How deep tokens go", .drawing = morbench_plot_depth, .write = write,
    .lacking = "no valid run has a depth histogram",
    .caption = "Share of all tokens that took so many recursions, layers or blocks, over all images of the run, the class token with "
               "them. The dashed line is the mean. A model without routing sends every token through everything."};
