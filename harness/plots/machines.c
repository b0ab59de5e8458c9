/* The same cells on different machines, or builds: cells pair by id. */
#include "harness/report/figure.h"

#include "harness/report/escape.h"

#include <math.h>
#include <string.h>

FIGURE_DRAWING(machines);

enum { MAX_CELLS = 24, MAX_MACHINES = 8 };

static bool is_paired(const Report *r, const ReportRow *row) {
    for (int i = 0; i < r->n_rows; i++)
        if (figure_timed(&r->row[i]) && figure_same(&r->row[i], row, "/id") && !figure_same(&r->row[i], row, "/env_id")) return true;
    return false;
}

static void put_cell_label(Figure *f, const ReportRow *row, int at) {
    char         text[256];
    const double threads = report_number(row->run, "/metrics/threads_effective_count");
    snprintf(text, sizeof text, "%.100s, batch %.0f, %.0f thread%s%s", row->model, report_number(row->run, "/metrics/batch_size_count"), threads,
             threads == 1 ? "" : "s", strcmp(figure_text_at(row, "/metrics/latency_of", ""), "train_step") == 0 ? ", training step" : "");
    fputs("set label ", f->f);
    escape_gnuplot(f->f, text);
    fprintf(f->f, " at graph 0, first %.2f left offset 0.3,0\n", at - 0.36);
}

static bool write(Figure *f, int picture) {
    const Report    *r = f->report;
    const ReportRow *cell[MAX_CELLS], *machine[MAX_MACHINES];
    int              n_cells = 0, n_machines = 0;
    (void)picture;
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row = &r->row[i];
        int              c = 0, m = 0;
        if (!figure_timed(row) || !is_paired(r, row)) continue;
        while (c < n_cells && !figure_same(cell[c], row, "/id")) c++;
        if (c == n_cells && n_cells < MAX_CELLS) cell[n_cells++] = row;
        else if (c == n_cells) f->n_left_out++;
        while (m < n_machines && !figure_same(machine[m], row, "/env_id")) m++;
        if (m == n_machines && n_machines < MAX_MACHINES) machine[n_machines++] = row;
    }
    if (n_machines < 2) return false;
    figure_begin_data(f);
    for (int m = 0; m < n_machines; m++) {
        for (int i = 0; i < r->n_rows; i++) {
            const ReportRow *row = &r->row[i];
            int              c   = 0;
            if (!figure_timed(row) || !figure_same(row, machine[m], "/env_id")) continue;
            while (c < n_cells && !figure_same(cell[c], row, "/id")) c++;
            if (c == n_cells) continue;
            figure_run(f, row);
            const double v = report_number(row->run, "/metrics/images_per_s"), low = report_number(row->run, "/metrics/images_low_per_s");
            const double high = report_number(row->run, "/metrics/images_high_per_s");
            figure_numbers(f, 4, v, isfinite(low) ? low : v, isfinite(high) ? high : v, (double)c);
        }
        figure_end_series(f);
    }
    figure_end_data(f);
    figure_series(f, n_machines);
    fprintf(f->f, "n_cells = %d\n", n_cells);
    for (int m = 0; m < n_machines; m++) {
        static const unsigned grey[] = {0x111111, 0x6b6b6b, 0x9d9d9d};
        static const int      symbol[MAX_MACHINES] = {7, 4, 9, 12, 5, 6, 13, 8};
        char                  label[160];
        snprintf(label, sizeof label, "%.40s, machine %.8s", figure_text_at(machine[m], "/env/cpu_model", "unknown CPU"), figure_text_at(machine[m], "/env_id", "?"));
        figure_label(f, m, label);
        figure_paint(f, m, grey[m % 3], symbol[m], 1);
    }
    for (int c = 0; c < n_cells; c++) put_cell_label(f, cell[c], c);
    figure_size(f, 860, 1, 20 + 50*n_cells);
    return true;
}

const Plot plot_machines = {
    .name = "machines", .title = "Different machines, the same cells", .drawing = morbench_plot_machines, .write = write,
    .lacking = "no cell was timed on two machines",
    .caption = "Different machines or builds of the program, which is no comparison of models. Cells are the same experiment by their ids. Bars: "
               "95 % intervals. Symbols are machines here, not models."};
