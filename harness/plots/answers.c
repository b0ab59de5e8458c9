/* What an experiment found (answers.h): accuracy, MACs and time along each number that it varies, a line a cell of its file; where
 * names vary, a row a configuration. */
#include "harness/report/figure.h"

#include "harness/report/answers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

FIGURE_DRAWING(answers);

enum { MAX_PICTURES = 12, MAX_LINES = 200, MAX_NAMED = 40 };
enum { TOP1, MACS, PARAMS, TIME_OF, N_PANELS };

/* A picture to come: of one experiment along a factor, or of its names. */
typedef struct View {
    const Answer *a;
    const char   *factor;                 /* NULL: names */
    int           n_series, n_lines;
    int           series[MAX_LINES];      /* (n_lines) of line[k] */
    const AnswerLine *line[MAX_LINES];
} View;

static double number_at(const AnswerLine *l, const char *factor) {
    const json_t *value = answer_value(l, factor);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Timings of the smallest batch, the most threads, forward. */
static int timing_of(const Answer *a) {
    int best = -1;
    for (int k = 0; k < a->n_timings; k++) {
        const AnswerTiming *t = &a->timing[k], *b = best >= 0 ? &a->timing[best] : NULL;
        if (strcmp(t->pass, "forward") == 0 && (b == NULL || t->batch < b->batch || (t->batch == b->batch && t->threads > b->threads))) best = k;
    }
    return best;
}

static double y_of(const Answer *a, const AnswerLine *l, int panel, double *low, double *high) {
    const int        t   = timing_of(a);
    const ReportRow *row = t >= 0 ? l->timed[t] : NULL;
    *low = *high = NAN;
    switch (panel) {
    case TOP1:   *low = 100*l->top1_low; *high = 100*l->top1_high; return 100*l->top1;
    case MACS:   return l->macs/1e6;
    case PARAMS: return l->params/1e6;
    default:
        if (row == NULL) return NAN;
        *low  = report_number(row->run, "/metrics/latency_low_ns")/1e6;
        *high = report_number(row->run, "/metrics/latency_high_ns")/1e6;
        return report_number(row->run, "/metrics/latency_ns")/1e6;
    }
}

static bool shows(const AnswerLine *l) { return isfinite(l->macs); }

/* -- which pictures -- */

/* Equal but for the factor; of one cell and evaluation, where that is enough to tell every x apart. */
static bool same_rest(const AnswerLine *a, const AnswerLine *b, const char *factor) {
    const char *key;
    json_t     *value;
    if (json_object_size(a->factors) != json_object_size(b->factors)) return false;
    json_object_foreach(a->factors, key, value)
        if (strcmp(key, factor) != 0 && !json_equal(value, json_object_get(b->factors, key))) return false;
    return true;
}

static bool same_cell(const AnswerLine *a, const AnswerLine *b) { return strcmp(a->cell, b->cell) == 0 && strcmp(a->evaluation, b->evaluation) == 0; }

static bool cell_tells(const View *v, const AnswerLine *l, const char *factor) {
    for (int i = 0; i < v->n_lines; i++)
        for (int k = 0; k < i; k++)
            if (same_cell(v->line[i], l) && same_cell(v->line[k], l) && number_at(v->line[i], factor) == number_at(v->line[k], factor)) return false;
    return true;
}

static bool joined(const View *v, const AnswerLine *a, const AnswerLine *b, const char *factor) {
    return same_cell(a, b) && (cell_tells(v, a, factor) || same_rest(a, b, factor));
}

/* Series of one point say nothing along a factor. */
static void drop_single(View *v) {
    int kept = 0, renamed[MAX_LINES], n = 0;
    for (int s = 0; s < v->n_series; s++) {
        int size = 0;
        for (int i = 0; i < v->n_lines; i++) size += v->series[i] == s;
        renamed[s] = size > 1 ? n++ : -1;
    }
    for (int i = 0; i < v->n_lines; i++)
        if (renamed[v->series[i]] >= 0) {
            v->line[kept]     = v->line[i];
            v->series[kept++] = renamed[v->series[i]];
        }
    v->n_lines  = kept;
    v->n_series = n;
}

static bool make_along(View *v, const Answer *a, const char *factor) {
    *v = (View){.a = a, .factor = factor};
    for (int i = 0; i < a->n_lines && v->n_lines < MAX_LINES; i++) {
        const AnswerLine *l = &a->line[i];
        /* what is varied in testing is for evaluations, what is varied in training for trained models as they are */
        if (!shows(l) || !isfinite(number_at(l, factor)) || (l->evaluation[0] != '\0') != (answer_in_testing(factor))) continue;
        v->line[v->n_lines++] = l;
    }
    for (int i = 0; i < v->n_lines; i++) {
        v->series[i] = v->n_series;
        for (int k = 0; k < i; k++)
            if (joined(v, v->line[i], v->line[k], factor)) v->series[i] = v->series[k];
        if (v->series[i] == v->n_series) v->n_series++;
    }
    drop_single(v);
    return v->n_series > 0;
}

/* Whether what this view shows moves together with the factor of an earlier one: settings that were varied as one. */
static bool told_by(const View *v, const View *earlier) {
    if (earlier->factor == NULL || earlier->a != v->a) return false;
    for (int i = 0; i < v->n_lines; i++)
        for (int k = 0; k < i; k++)
            if (v->series[i] == v->series[k] && number_at(v->line[i], earlier->factor) == number_at(v->line[k], earlier->factor)) return false;
    return isfinite(number_at(v->line[0], earlier->factor));
}

static bool make_names(View *v, const Answer *a) {
    *v = (View){.a = a};
    for (int i = 0; i < a->n_lines && v->n_lines < MAX_LINES; i++)
        if (shows(&a->line[i])) v->line[v->n_lines++] = &a->line[i];
    return v->n_lines > 1;
}

static bool covered(const View *views, int n, const AnswerLine *l) {
    for (int k = 0; k < n; k++)
        for (int i = 0; i < views[k].n_lines; i++)
            if (views[k].line[i] == l) return true;
    return false;
}

static int views_of(const Answer *a, View views[], int n) {
    const json_t *f;
    size_t        i;
    const int     first = n;
    bool          all   = true;
    json_array_foreach(json_object_get(a->experiment, "factors"), i, f) {
        const char *name = json_string_value(json_object_get(f, "name"));
        bool        told = name == NULL || n == MAX_PICTURES || !make_along(&views[n], a, name);
        for (int k = first; !told && k < n; k++) told = told_by(&views[n], &views[k]);
        n += !told;
    }
    for (int k = 0; k < a->n_lines; k++) all = all && (!shows(&a->line[k]) || covered(views + first, n - first, &a->line[k]));
    if (!all && n < MAX_PICTURES && make_names(&views[n], a)) n++;
    return n;
}

/* The caller's; NULL: no memory. *n: how many. */
static View *all_views(const Report *r, int *n) {
    View *views = malloc(MAX_PICTURES*sizeof *views);
    *n = 0;
    for (int i = 0; views != NULL && i < r->n_answers; i++) *n = views_of(&r->answer[i], views, *n);
    return views;
}

static int count(const Report *r) {
    int n;
    free(all_views(r, &n));
    return n;
}

/* -- one picture -- */

static bool has(const View *v, int panel) {
    double low, high;
    for (int i = 0; i < v->n_lines; i++)
        if (isfinite(y_of(v->a, v->line[i], panel, &low, &high))) return true;
    return false;
}

/* The models of a line's points; the first that ran. */
static int model_of(const AnswerLine *l) {
    if (l->n_runs > 0) return l->run[0]->model_index;
    for (int k = 0; k < ANSWER_MAX_TIMINGS; k++)
        if (l->timed[k] != NULL) return l->timed[k]->model_index;
    return 0;
}

static void put_point(Figure *f, const View *v, const AnswerLine *l, int panel, double x) {
    double low, high;
    const double y = y_of(v->a, l, panel, &low, &high);
    const int    t = timing_of(v->a);
    for (int i = 0; i < l->n_runs; i++) figure_run(f, l->run[i]);
    if (t >= 0 && l->timed[t] != NULL) figure_run(f, l->timed[t]);
    figure_numbers(f, 4, x, y, isfinite(low) ? low : y, isfinite(high) ? high : y);
}

static int by_x(const AnswerLine *a, const AnswerLine *b, const char *factor) {
    const double x = number_at(a, factor), y = number_at(b, factor);
    return (x > y) - (x < y);
}

static void write_panels(Figure *f, const View *v, const int panel[], int n_panels) {
    const int t = timing_of(v->a);
    fprintf(f->f, "n_panels = %d\narray panel[%d]\narray from_zero[%d]\n", n_panels, n_panels, n_panels);
    for (int p = 0; p < n_panels; p++) {
        char text[96] = "", variable[32];
        switch (panel[p]) {
        case TOP1:   snprintf(text, sizeof text, "top-1 accuracy, %%"); break;
        case MACS:   snprintf(text, sizeof text, "MACs of one image, millions"); break;
        case PARAMS: snprintf(text, sizeof text, "parameters, millions"); break;
        default:     snprintf(text, sizeof text, "ms, batch %d, %d thread%s", v->a->timing[t].batch, v->a->timing[t].threads, v->a->timing[t].threads == 1 ? "" : "s");
        }
        snprintf(variable, sizeof variable, "panel[%d]", p + 1);
        figure_text(f, variable, text);
        fprintf(f->f, "from_zero[%d] = %d\n", p + 1, panel[p] != TOP1);
    }
}

static void write_accuracy_axis(Figure *f, const View *v) {
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < v->n_lines; i++) {
        double       from, to;
        const double y = y_of(v->a, v->line[i], TOP1, &from, &to);
        low  = fmin(low, isfinite(from) ? from : y);
        high = fmax(high, isfinite(to) ? to : y);
    }
    if (low <= high) figure_accuracy_axis(f, low, high);
}

/* The cell's name where it says all, else with what tells its series apart. */
static void write_label(Figure *f, const View *v, int series, const AnswerLine *const first[], int n) {
    const AnswerLine *l = first[series];
    const char       *key;
    json_t           *value;
    char              label[200];
    bool              alone = l->cell[0] != '\0';
    for (int k = 0; k < n; k++) alone = alone && (k == series || !same_cell(first[k], l));
    snprintf(label, sizeof label, "%.90s", l->cell);
    if (!alone) json_object_foreach(l->factors, key, value) {
        bool  varies = strcmp(key, v->factor) == 0;          /* along the line, or nowhere: says nothing */
        bool  differs = false;
        for (int i = 0; i < v->n_lines; i++) {
            const bool equal = json_equal(answer_value(v->line[i], key), value);
            if (v->series[i] == series) varies = varies || !equal;
            else                        differs = differs || !equal;
        }
        char *text = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)), name[96];
        answer_label(v->a, key, name);
        const size_t at = strlen(label);
        if (!varies && differs && strcmp(key, "cell") != 0) snprintf(label + at, sizeof label - at, "%s%s %s", at > 0 ? ", " : "", name, text != NULL ? text : "?");
        free(text);
    }
    figure_label(f, series, label[0] != '\0' ? label : v->a->name);
}

/* A series a cell of the file, its lines by x. */
static void write_along(Figure *f, View *v, const int panel[], int n_panels) {
    const AnswerLine *first[FIGURE_MAX_SERIES];
    const int         n = v->n_series < FIGURE_MAX_SERIES ? v->n_series : FIGURE_MAX_SERIES;
    double            least = INFINITY, most = -INFINITY;
    f->n_left_out = v->n_series - n;
    for (int i = 1; i < v->n_lines; i++)
        for (int k = i; k > 0 && by_x(v->line[k], v->line[k - 1], v->factor) < 0; k--) {
            const AnswerLine *l = v->line[k];
            const int         s = v->series[k];
            v->line[k] = v->line[k - 1];
            v->series[k] = v->series[k - 1];
            v->line[k - 1] = l;
            v->series[k - 1] = s;
        }
    figure_begin_data(f);
    for (int p = 0; p < n_panels; p++)
        for (int s = 0; s < n; s++) {
            bool any = false;
            for (int i = 0; i < v->n_lines; i++) {
                if (v->series[i] != s) continue;
                const double x = number_at(v->line[i], v->factor);
                if (!any) first[s] = v->line[i];
                any   = true;
                least = fmin(least, x);
                most  = fmax(most, x);
                put_point(f, v, v->line[i], panel[p], x);
            }
            figure_end_series(f);
        }
    figure_end_data(f);
    figure_series(f, n);
    for (int s = 0; s < n; s++) {
        /* series are many models: tones and symbols are theirs, the hue is the method's */
        const int method = f->report->model[model_of(first[s])].method_index;
        int       which  = 0;
        for (int k = 0; k < s; k++) which += f->report->model[model_of(first[k])].method_index == method;
        write_label(f, v, s, first, n);
        figure_paint(f, s, figure_tone(method, which), figure_symbol(s), 1 + which % 5);
    }
    write_accuracy_axis(f, v);
    write_panels(f, v, panel, n_panels);
    char axis[96];
    answer_label(v->a, v->factor, axis);
    figure_text(f, "factor", axis);
    fprintf(f->f, "numeric = 1\nx_low = %.10g\nx_high = %.10g\nx_log = %d\n", least, most, least > 0 && most > 20*least);
    snprintf(f->title, sizeof f->title, "%.60s: %.80s", v->a->name, axis);
    figure_size(f, n_panels == 1 ? 640 : 300 + 240*n_panels, f->narrow ? n_panels : 1, f->narrow ? 200 : 280);
}

/* A row a line, from the top. */
static void write_names(Figure *f, const View *v, const int panel[], int n_panels) {
    const int n = v->n_lines < MAX_NAMED ? v->n_lines : MAX_NAMED;
    f->n_left_out = v->n_lines - n;
    figure_begin_data(f);
    for (int p = 0; p < n_panels; p++)
        for (int i = 0; i < n; i++) {
            put_point(f, v, v->line[i], panel[p], n - i);
            figure_end_series(f);
        }
    figure_end_data(f);
    figure_series(f, n);
    int width = 0;
    for (int i = 0; i < n; i++) {
        char label[64];
        snprintf(label, sizeof label, strlen(v->line[i]->name) > 40 ? "%.37s..." : "%.40s", v->line[i]->name);
        const int length = (int)strlen(label);
        width = length > width ? length : width;
        figure_label(f, i, label);
        figure_style(f, i, model_of(v->line[i]), 0);
    }
    write_panels(f, v, panel, n_panels);
    write_accuracy_axis(f, v);
    fprintf(f->f, "numeric = 0\nnames_width = %d\n", 7*width + 16);
    snprintf(f->title, sizeof f->title, "%.120s", v->a->name);
    f->rows   = 0;
    f->width  = f->narrow ? 360 : 7*width + 40 + 210*n_panels;
    f->height = 110 + (f->narrow ? n_panels*(18*n + 70) : 22*n + 20);
}

static bool write(Figure *f, int picture) {
    static const int order[] = {TOP1, MACS, TIME_OF};
    int   n, panel[N_PANELS], n_panels = 0;
    View *views = all_views(f->report, &n), *v = views != NULL && picture < n ? &views[picture] : NULL;
    if (v != NULL) {
        for (int p = 0; p < 3; p++)
            if (has(v, order[p])) panel[n_panels++] = order[p];
        if (v->factor == NULL) panel[n_panels++] = PARAMS;
        if (v->factor != NULL) write_along(f, v, panel, n_panels);
        else                   write_names(f, v, panel, n_panels);
        snprintf(f->note, sizeof f->note, "%.300s", v->a->question);
        snprintf(f->caption, sizeof f->caption, "%.190s", v->a->caption);
    }
    free(views);
    return v != NULL;
}

const Plot plot_answers = {
    .name = "answers", .title = "What was asked", .drawing = morbench_plot_answers, .count = count, .write = write,
    .lacking = "no experiment.json of morbench run is there",
    .caption = "Points of several seeds: mean, with Student's 95 % interval over seeds; of one seed: the interval over the choice of images. Times: "
               "95 % intervals over processes."};
