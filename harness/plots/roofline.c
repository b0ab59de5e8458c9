/* Where every kind of operation stands below the ceilings of the machine, for each machine and number of threads that ceilings
 * were measured with (rule V16: a point above them makes the picture invalid, and it says so). */
#include "harness/report/figure.h"

#include <math.h>
#include <string.h>

FIGURE_DRAWING(roofline);

enum { MAX_KINDS = 32, MAX_MODELS = 8 };
static const double above_ceiling_ratio = 1.05;    /* rule V16 */

typedef struct Ceilings { const ReportRow *row[16]; int n; } Ceilings;

#define FMA "/roofline/fma_peak_flops_2x_per_s"
#define L1  "/roofline/l1_read_bytes_per_s"

static bool has_ceilings(const ReportRow *row) {
    return figure_valid(row) && report_number(row->run, FMA) > 0 && report_number(row->run, L1) > 0 &&
           json_array_size(report_at(row->run, "/profile/ops")) > 0 &&
           strcmp(figure_text_at(row, "/metrics/latency_of", ""), "forward") == 0;
}

static bool same_ceilings(const ReportRow *a, const ReportRow *b) {
    return figure_same(a, b, "/env_id") && figure_same(a, b, "/metrics/threads_effective_count") && figure_same(a, b, FMA);
}

static Ceilings find_ceilings(const Report *r) {
    Ceilings c = {.n = 0};
    for (int i = 0; i < r->n_rows; i++) {
        int k = 0;
        if (!has_ceilings(&r->row[i])) continue;
        while (k < c.n && !same_ceilings(c.row[k], &r->row[i])) k++;
        if (k == c.n && c.n < (int)(sizeof c.row / sizeof *c.row)) c.row[c.n++] = &r->row[i];
    }
    return c;
}

static int count(const Report *r) { return find_ceilings(r).n; }

/* Of each model the run with the largest batch. */
static int choose_runs(const ReportRow *run[MAX_MODELS], Figure *f, const ReportRow *ceilings) {
    const Report *r = f->report;
    int           n = 0;
    for (int i = 0; i < r->n_rows; i++) {
        const ReportRow *row = &r->row[i];
        int              k   = 0;
        if (!has_ceilings(row) || !same_ceilings(row, ceilings)) continue;
        while (k < n && run[k]->model_index != row->model_index) k++;
        if (k == MAX_MODELS) { f->n_left_out++; continue; }
        if (k == n) run[n++] = row;
        else if (report_number(row->run, "/metrics/batch_size_count") > report_number(run[k]->run, "/metrics/batch_size_count")) run[k] = row;
    }
    return n;
}

typedef struct Kinds {
    const char *name[MAX_KINDS];     /* with a point */
    const char *still[MAX_KINDS];    /* that compute nothing */
    int         n, n_still;
    bool        above;               /* a point above the ceilings */
} Kinds;

static int find(const char *const name[], int *n, const char *wanted, const char **add) {
    int k = 0;
    while (k < *n && strcmp(name[k], wanted) != 0) k++;
    if (k == *n && k < MAX_KINDS) add[(*n)++] = wanted;
    return k < MAX_KINDS ? k : MAX_KINDS - 1;
}

/* 1 operations a byte, 2 GFLOP/s, 3 which kind */
static void put_points(Figure *f, const ReportRow *row, Kinds *kinds) {
    const json_t *ops = report_at(row->run, "/profile/ops"), *op;
    size_t        i;
    figure_run(f, row);
    json_array_foreach(ops, i, op) {
        const char  *name = json_string_value(json_object_get(op, "op")), *pass = json_string_value(json_object_get(op, "pass"));
        const double work = 2*figure_at(op, "macs") + figure_at(op, "elementwise_count"), bytes = figure_at(op, "moved_bytes");
        const double ns   = figure_at(op, "elapsed_ns");
        if (name == NULL || pass == NULL || strcmp(pass, "forward") != 0) continue;
        if (!(work > 0) || !(bytes > 0) || !(ns > 0)) {
            find(kinds->still, &kinds->n_still, name, kinds->still);
            continue;
        }
        const double peak = fmin(report_number(row->run, FMA), report_number(row->run, L1)*work/bytes);
        if (work/ns*1e9 > above_ceiling_ratio*peak) kinds->above = true;
        figure_numbers(f, 3, work/bytes, work/ns, (double)find(kinds->name, &kinds->n, name, kinds->name) + 1);
    }
    figure_end_series(f);
    figure_numbers(f, 2, report_number(row->run, "/roofline/flops_2x_per_moved_byte"), report_number(row->run, "/roofline/achieved_flops_2x_per_s")/1e9);
    figure_end_series(f);
}

static void put_ceilings(Figure *f, const ReportRow *row) {
    static const struct { const char *label, *pointer; } roof[] = {
        {"L1", L1}, {"L2", "/roofline/l2_read_bytes_per_s"}, {"L3", "/roofline/l3_read_bytes_per_s"},
        {"memory", "/roofline/memory_triad_bytes_per_s"}};
    int n = 0;
    fprintf(f->f, "peak = %.10g\narray roof[4]\narray roof_name[4]\n", report_number(row->run, FMA)/1e9);
    for (int k = 0; k < 4; k++) {
        const double bytes_per_s = report_number(row->run, roof[k].pointer);
        if (!(bytes_per_s > 0)) continue;
        fprintf(f->f, "roof[%d] = %.10g\nroof_name[%d] = '%s'\n", n + 1, bytes_per_s/1e9, n + 1, roof[k].label);
        n++;
    }
    fprintf(f->f, "n_roofs = %d\n", n);
}

/* What the caption adds: who computes nothing, and whether points lie too high. */
static void put_note(Figure *f, const Kinds *kinds) {
    size_t n = 0;
    f->note[0] = '\0';
    if (kinds->above) n += (size_t)snprintf(f->note, sizeof f->note, "INVALID: a point lies above the measured ceilings. ");
    for (int k = 0; k < kinds->n_still && n < sizeof f->note; k++)
        n += (size_t)snprintf(f->note + n, sizeof f->note - n, "%s%.40s", k == 0 ? "Without a place here, since they only move bytes: " : ", ", kinds->still[k]);
    if (kinds->n_still > 0 && n < sizeof f->note) snprintf(f->note + n, sizeof f->note - n, ".");
}

static bool write(Figure *f, int picture) {
    const Ceilings   all = find_ceilings(f->report);
    const ReportRow *run[MAX_MODELS];
    Kinds            kinds = {.n = 0};
    if (picture >= all.n) return false;
    const int n = choose_runs(run, f, all.row[picture]);
    figure_begin_data(f);
    for (int i = 0; i < n; i++) put_points(f, run[i], &kinds);
    figure_end_data(f);
    if (kinds.n == 0) return false;
    figure_series(f, n + kinds.n);
    fprintf(f->f, "n_models = %d\n", n);
    for (int i = 0; i < n; i++) {
        char label[160];
        snprintf(label, sizeof label, "%.100s, batch %.0f", run[i]->model, report_number(run[i]->run, "/metrics/batch_size_count"));
        figure_label(f, i, label);
        figure_style(f, i, run[i]->model_index, 0);
    }
    for (int k = 0; k < kinds.n; k++) {
        static const int symbol[] = {5, 7, 9, 11, 13, 15, 4, 6, 8, 10, 12, 14, 1, 2, 3};
        figure_label(f, n + k, kinds.name[k]);
        figure_paint(f, n + k, 0x404040, symbol[k % (int)(sizeof symbol / sizeof *symbol)], 1);
    }
    put_ceilings(f, all.row[picture]);
    put_note(f, &kinds);
    const double threads = report_number(all.row[picture]->run, "/metrics/threads_effective_count");
    snprintf(f->title, sizeof f->title, "%sRoofline, %.0f thread%s, machine %.8s", kinds.above ? "INVALID: " : "", threads, threads == 1 ? "" : "s",
             figure_text_at(all.row[picture], "/env_id", "?"));
    figure_size(f, 860, 1, f->narrow ? 240 : 330);
    return true;
}

const Plot plot_roofline = {
    .name = "roofline", .title = "Roofline", .drawing = morbench_plot_roofline, .count = count, .write = write,
    .lacking = "no valid run has ceilings and a profile",
    .caption = "A symbol a kind of operation, a colour a model; large rings are whole models. Ceilings: multiply-adds in registers, and bytes read from each "
               "cache and from memory, measured by the same bench with the same threads. Operations are 2 a multiply-accumulate and 1 an element; "
               "bytes are what an operation reads and writes, each once, so an operation may stand above the ceiling of memory when its data lie in a cache."};
