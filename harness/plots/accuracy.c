/* Accuracy against what it costs, a panel a cost, on each data set: models, intervals, Pareto fronts. */
#include "harness/report/choice.h"
#include "harness/report/figure.h"

#include <math.h>
#include <string.h>

FIGURE_DRAWING(accuracy);

static const double unit[N_COSTS] = {[COST_LATENCY] = 1e6, [COST_MACS] = 1e6, [COST_PARAMS] = 1e6};
static const Cost   order[N_COSTS] = {COST_MACS, COST_PARAMS, COST_LATENCY};

static int count(const Report *r) {
    Choices all;
    int     n = 0;
    if (!choices_make(&all, r, NULL)) return 0;
    while (n < all.n && all.choice[n].data != NULL) n++;
    choices_free(&all);
    return n;
}

static bool is_known(const Choice *c, Cost cost) { return c->least[cost] >= 0; }

static void write_points(Figure *f, const Choice *c, Cost cost) {
    for (int i = 0; i < c->n; i++) {
        const Candidate *x = &c->candidate[i];
        for (int k = 0; k < x->n_seeds; k++) figure_run(f, x->seed[k]);
        if (cost == COST_LATENCY && x->timing != NULL) figure_run(f, x->timing);
        const double at = x->cost[cost]/unit[cost], low = x->cost_low[cost]/unit[cost], high = x->cost_high[cost]/unit[cost];
        figure_numbers(f, 6, at, isfinite(low) ? low : at, isfinite(high) ? high : at, 100*x->top1, 100*x->top1_low, 100*x->top1_high);
        figure_end_series(f);
    }
}

/* The front by rising cost; candidates come by falling accuracy. */
static void write_front(Figure *f, const Choice *c, Cost cost) {
    for (int i = c->n - 1; i >= 0; i--)
        if (c->candidate[i].front[cost]) figure_numbers(f, 2, c->candidate[i].cost[cost]/unit[cost], 100*c->candidate[i].top1);
    figure_end_series(f);
}

static void write_axes(Figure *f, const Choice *c) {
    double low = 100, high = 0;
    for (int i = 0; i < c->n; i++) {
        const Candidate *x = &c->candidate[i];
        low  = fmin(low, 100*(isfinite(x->top1_low) ? x->top1_low : x->top1));
        high = fmax(high, 100*(isfinite(x->top1_high) ? x->top1_high : x->top1));
    }
    const double step = high - low < 4 ? 1 : high - low < 20 ? 5 : 10;
    fprintf(f->f, "y_low = %g\ny_high = %g\n", fmax(0, step*floor((low - step/5)/step)), fmin(100, step*ceil((high + step/5)/step)));
}

static void write_panels(Figure *f, const Choice *c) {
    static const char *const name[N_COSTS] = {[COST_LATENCY] = "latency, ms", [COST_MACS] = "MACs an image, millions",
                                              [COST_PARAMS] = "parameters, millions"};
    int n = 0;
    for (int k = 0; k < N_COSTS; k++) n += is_known(c, order[k]);
    fprintf(f->f, "n_panels = %d\narray panel[%d]\narray x_log[%d]\narray x_step[%d]\narray first[%d]\n", n, n, n, n, n);
    for (int k = 0, p = 0; k < N_COSTS; k++) {
        if (!is_known(c, order[k])) continue;
        double least = INFINITY, most = 0, end = 0;
        char   text[96], variable[32];
        for (int i = 0; i < c->n; i++) {
            least = fmin(least, c->candidate[i].cost[order[k]]);
            most  = fmax(most, c->candidate[i].cost[order[k]]);
            end   = fmax(end, fmax(most, c->candidate[i].cost_high[order[k]]));
        }
        const bool log = most > 10*least;
        snprintf(text, sizeof text, "%s", name[order[k]]);
        if (order[k] == COST_LATENCY)
            snprintf(text, sizeof text, "ms, batch %.0f, %.0f thread%s", report_number(c->condition->run, "/metrics/batch_size_count"),
                     report_number(c->condition->run, "/metrics/threads_effective_count"),
                     report_number(c->condition->run, "/metrics/threads_effective_count") == 1 ? "" : "s");
        if (log) snprintf(text + strlen(text), sizeof text - strlen(text), " (log.)");
        snprintf(variable, sizeof variable, "panel[%d]", p + 1);
        figure_text(f, variable, text);
        fprintf(f->f, "x_log[%d] = %d\nx_step[%d] = %g\nfirst[%d] = %d\n", p + 1, log, p + 1, figure_step(end/unit[order[k]]), p + 1, p*(c->n + 1));
        p++;
    }
    figure_size(f, n == 1 ? 640 : 300 + 240*n, f->narrow ? n : 1, f->narrow ? 210 : 280);
}

/* Where there are more models than series: those that none beats first, then the most accurate. They stay in their order. */
static void keep_what_fits(Choice *c, Figure *f) {
    int n_efficient = 0, n = 0;
    for (int i = 0; i < c->n; i++) n_efficient += c->candidate[i].efficient;
    int room = FIGURE_MAX_SERIES - n_efficient;
    for (int i = 0; i < c->n; i++) {
        const bool kept = n < FIGURE_MAX_SERIES && (c->candidate[i].efficient || room-- > 0);
        if (kept) c->candidate[n++] = c->candidate[i];
    }
    f->n_left_out = c->n - n;
    c->n          = n;
}

static bool write(Figure *f, int picture) {
    Choices all;
    if (!choices_make(&all, f->report, NULL)) return false;
    Choice    *c    = picture < all.n ? &all.choice[picture] : NULL;
    const bool made = c != NULL && c->data != NULL;
    if (made) keep_what_fits(c, f);
    if (made) {
        const char *data = figure_text_at(c->data, "/data/name", "unnamed data");
        snprintf(f->title, sizeof f->title, "Accuracy against cost, %.60s, %.0f images", data, c->images_count);
        figure_begin_data(f);
        for (int k = 0; k < N_COSTS; k++) {
            if (!is_known(c, order[k])) continue;
            write_points(f, c, order[k]);
            write_front(f, c, order[k]);
        }
        figure_end_data(f);
        figure_series(f, c->n);
        for (int i = 0; i < c->n; i++) {
            int variant = 0;
            for (int j = 0; j < i; j++) variant += c->candidate[j].model == c->candidate[i].model;
            figure_label(f, i, c->candidate[i].label);
            figure_style(f, i, c->candidate[i].model, variant);
        }
        write_axes(f, c);
        write_panels(f, c);
    }
    choices_free(&all);
    return made;
}

const Plot plot_accuracy = {
    .name = "accuracy", .title = "Accuracy against cost", .drawing = morbench_plot_accuracy, .count = count, .write = write,
    .lacking = "no valid run has an accuracy",
    .caption = "One point a model. Vertical bars: 95 % intervals of accuracy, over the choice of images, or over seeds where there are several. Horizontal bars: least and "
               "most MACs of an image; 95 % intervals of times. The grey steps are the Pareto front: no model above and left of it "
               "was measured. The accuracy axis does not start at 0."};
