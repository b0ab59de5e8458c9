/* Time and speed of every layer, in the order they run: one run a model, of those profiled the one with the largest batch. */
#include "harness/report/figure.h"

#include <math.h>
#include <string.h>

FIGURE_DRAWING(layers);

enum { MAX_LAYERS = 256 };

typedef struct Layer {
    size_t      length;        /* of its name in name */
    const char *name;
    double      ns, macs;
} Layer;

/* "recursions.1.stack.0.attn" -> "recursions.1.stack.0": up to the last number; without one, the whole. */
static size_t layer_length(const char *scope) {
    size_t end = 0, at = 0;
    while (scope[at] != '\0') {
        const size_t length = strcspn(scope + at, ".");
        if (length > 0 && strspn(scope + at, "0123456789") == length) end = at + length;
        at += length + (scope[at + length] == '.');
    }
    return end > 0 ? end : at;
}

/* Lines join layers that differ in their numbers alone: "blocks.3" and "blocks.4", not "recursions.0" and "recursions.0.stack.1". */
static bool same_kind(const Layer *a, const Layer *b) {
    const char *x = a->name, *y = b->name, *x_end = x + a->length, *y_end = y + b->length;
    for (;;) {
        while (x < x_end && *x >= '0' && *x <= '9') x++;
        while (y < y_end && *y >= '0' && *y <= '9') y++;
        if (x == x_end || y == y_end || *x != *y) return x == x_end && y == y_end;
        x++;
        y++;
    }
}

static int read_layers(Layer layer[MAX_LAYERS], const ReportRow *row) {
    const json_t *scopes = report_at(row->run, "/profile/scopes"), *scope;
    size_t        i;
    int           n = 0;
    json_array_foreach(scopes, i, scope) {
        const char  *name = json_string_value(json_object_get(scope, "scope")), *pass = json_string_value(json_object_get(scope, "pass"));
        const double ns = figure_at(scope, "elapsed_ns"), macs = figure_at(scope, "macs");
        if (name == NULL || pass == NULL || strcmp(pass, "forward") != 0 || !(ns > 0) || strcmp(name, "other") == 0) continue;
        const size_t length = layer_length(name);
        int          k      = 0;
        while (k < n && (layer[k].length != length || memcmp(layer[k].name, name, length) != 0)) k++;
        if (k == MAX_LAYERS) continue;
        if (k == n) layer[n++] = (Layer){.name = name, .length = length};
        layer[k].ns += ns;
        if (isfinite(macs)) layer[k].macs += macs;
    }
    return n;
}

/* The run of a model to show; NULL: none is profiled. */
static const ReportRow *profiled(const Report *r, int model) {
    const ReportRow *found = NULL;
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row = &r->row[i];
        const double     batch = report_number(row->run, "/metrics/batch_size_count");
        if (row->model_index != model || !figure_valid(row) || json_array_size(report_at(row->run, "/profile/scopes")) == 0 ||
            !(report_number(row->run, "/profile/images_count") > 0) ||
            strcmp(figure_text_at(row, "/metrics/latency_of", "forward"), "forward") != 0)
            continue;
        if (found == NULL || batch > report_number(found->run, "/metrics/batch_size_count")) found = row;
    }
    return found;
}

static bool write(Figure *f, int picture) {
    const Report *r = f->report;
    Layer         layer[MAX_LAYERS];
    int           n = 0, model[FIGURE_MAX_SERIES];
    (void)picture;
    figure_begin_data(f);
    for (int m = 0; m < r->n_models; m++) {
        const ReportRow *row      = profiled(r, m);
        const int        n_layers = row != NULL ? read_layers(layer, row) : 0;
        if (n_layers == 0) continue;
        if (n == FIGURE_MAX_SERIES) { f->n_left_out++; continue; }
        const double images = report_number(row->run, "/profile/images_count");
        figure_run(f, row);
        for (int k = 0; k < n_layers; k++) {
            if (k > 0 && !same_kind(&layer[k - 1], &layer[k])) fputc('\n', f->f);     /* breaks the line */
            figure_numbers(f, 3, k + 1.0, layer[k].ns/1e6/images, layer[k].macs > 0 ? 2*layer[k].macs/layer[k].ns : NAN);
        }
        figure_end_series(f);
        model[n++] = m;
    }
    figure_end_data(f);
    if (n == 0) return false;
    figure_series(f, n);
    for (int k = 0; k < n; k++) {
        char         label[256];
        const double batch = report_number(profiled(r, model[k])->run, "/metrics/batch_size_count");
        snprintf(label, sizeof label, isfinite(batch) ? "%.120s, batch %.0f" : "%.120s", r->model[model[k]].label, batch);
        figure_label(f, k, label);
        figure_style(f, k, model[k], 0);
    }
    figure_size(f, 860, f->narrow ? 2 : 1, f->narrow ? 200 : 260);
    return true;
}

const Plot plot_layers = {
    .name = "layers", .title = "Time and speed of every layer", .drawing = morbench_plot_layers, .write = write,
    .lacking = "no valid run has a profile",
    .caption = "Layers in the order they run, from the patch embedding to the head; the routing of a recursion is a layer of its own. Lines join layers of one kind. Speed counts 2 "
               "operations a multiply-accumulate of matrix products and convolutions. From profiled passes of one process, hence without intervals."};
