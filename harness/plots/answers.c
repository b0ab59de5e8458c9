/* What an experiment found (answers.h): accuracy, MACs and time along each number that it varies, a line a cell of its file; where
 * names vary, a row a configuration. */
#include "harness/report/figure.h"

#include "harness/report/answers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

FIGURE_DRAWING(answers);

enum { MAX_NAMED = 40, NAME_BYTES = 48 };
enum { TOP1, MACS, PARAMS, TIME_OF };

/* A line of a picture, at x of its series. */
typedef struct Point { const AnswerLine *line; double x; int series; } Point;

/* A picture to come: of one experiment along a factor, or of its names. */
typedef struct View {
    const Answer *a;
    const char   *factor;          /* NULL: names */
    Point        *point;
    int           n_points, n_series;
} View;

typedef struct Views { View *at; int n; } Views;

static double number_at(const AnswerLine *l, const char *factor) {
    const json_t *value = answer_value(l, factor);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Timings of the smallest batch, the most threads, forward. */
static int timing_of(const Answer *a) {
    int best = -1;
    for (int k = 0; k < a->n_timings; k++) {
        const AnswerTiming *t = &a->timing[k], *b = best >= 0 ? &a->timing[best] : NULL;
        if (!t->train_step && (b == NULL || t->batch < b->batch || (t->batch == b->batch && t->threads > b->threads))) best = k;
    }
    return best;
}

static const ReportRow *timed(const Answer *a, const AnswerLine *l) {
    const int t = timing_of(a);
    return t >= 0 ? l->timed[t] : NULL;
}

static double y_of(const Answer *a, const AnswerLine *l, int panel, double *low, double *high) {
    const ReportRow *row = timed(a, l);
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

static bool shows(const AnswerLine *l) { return isfinite(l->macs) || isfinite(l->top1); }

/* -- which pictures -- */

static bool same_cell(const AnswerLine *a, const AnswerLine *b) { return strcmp(a->cell, b->cell) == 0 && strcmp(a->evaluation, b->evaluation) == 0; }

/* Equal but for the factor. */
static bool same_rest(const AnswerLine *a, const AnswerLine *b, const char *factor) {
    const char *key;
    json_t     *value;
    if (json_object_size(a->factors) != json_object_size(b->factors)) return false;
    json_object_foreach(a->factors, key, value)
        if (strcmp(key, factor) != 0 && !answer_equal(value, json_object_get(b->factors, key))) return false;
    return true;
}

/* For each point whether its cell alone tells every x apart; then the cell is the series. */
static bool *cells_that_tell(const View *v) {
    bool *tells = calloc((size_t)v->n_points + 1, sizeof *tells);
    for (int i = 0; tells != NULL && i < v->n_points; i++) {
        int first = 0;
        tells[i]  = true;
        while (!same_cell(v->point[first].line, v->point[i].line)) first++;
        for (int k = first; k < i && tells[i]; k++) tells[i] = !same_cell(v->point[k].line, v->point[i].line) || v->point[k].x != v->point[i].x;
        tells[first] = tells[first] && tells[i];         /* the first speaks for its cell */
    }
    return tells;
}

static bool find_series(View *v) {
    bool *tells = cells_that_tell(v);
    if (tells == NULL) return false;
    for (int i = 0; i < v->n_points; i++) {
        int first = 0;
        while (!same_cell(v->point[first].line, v->point[i].line)) first++;
        v->point[i].series = -1;
        for (int k = 0; k < i && v->point[i].series < 0; k++)
            if (same_cell(v->point[k].line, v->point[i].line) && (tells[first] || same_rest(v->point[k].line, v->point[i].line, v->factor)))
                v->point[i].series = v->point[k].series;
        if (v->point[i].series < 0) v->point[i].series = v->n_series++;
    }
    free(tells);
    return true;
}

/* Series of one x say nothing along a factor. */
static bool drop_single(View *v) {
    int *renamed = calloc((size_t)v->n_series + 1, sizeof *renamed), kept = 0, n = 0;
    if (renamed == NULL) return false;
    for (int s = 0; s < v->n_series; s++) {
        double least = INFINITY, most = -INFINITY;
        for (int i = 0; i < v->n_points; i++) {
            if (v->point[i].series != s) continue;
            least = fmin(least, v->point[i].x);
            most  = fmax(most, v->point[i].x);
        }
        renamed[s] = most > least ? n++ : -1;
    }
    for (int i = 0; i < v->n_points; i++) {
        const Point p = v->point[i];
        if (renamed[p.series] >= 0) v->point[kept++] = (Point){p.line, p.x, renamed[p.series]};
    }
    v->n_points = kept;
    v->n_series = n;
    free(renamed);
    return true;
}

/* False: no memory. A view without points is none. */
static bool make_along(View *v, const Answer *a, const char *factor) {
    const bool tested = answer_in_testing(a, factor);
    *v = (View){.a = a, .factor = factor, .point = calloc((size_t)a->n_lines + 1, sizeof *v->point)};
    for (int i = 0; v->point != NULL && i < a->n_lines; i++) {
        const AnswerLine *l = &a->line[i];
        const double      x = number_at(l, factor);
        /* what is varied in testing is for evaluations, what is varied in training for trained models as they are */
        if (shows(l) && isfinite(x) && (l->evaluation[0] != '\0') == tested) v->point[v->n_points++] = (Point){l, x, 0};
    }
    return v->point != NULL && find_series(v) && drop_single(v);
}

/* Whether what this view shows moves together with the factor of an earlier one: settings that were varied as one. */
static bool told_by(const View *v, const View *earlier) {
    if (earlier->factor == NULL || earlier->a != v->a) return false;
    for (int i = 0; i < v->n_points; i++) {
        const double x = number_at(v->point[i].line, earlier->factor);
        if (!isfinite(x)) return false;
        for (int k = 0; k < i; k++)
            if (v->point[i].series == v->point[k].series && x == number_at(v->point[k].line, earlier->factor)) return false;
    }
    return true;
}

static bool make_names(View *v, const Answer *a) {
    *v = (View){.a = a, .point = calloc((size_t)a->n_lines + 1, sizeof *v->point)};
    for (int i = 0; v->point != NULL && i < a->n_lines; i++)
        if (shows(&a->line[i])) v->point[v->n_points++] = (Point){&a->line[i], 0, 0};
    return v->point != NULL;
}

static void views_free(Views *v) {
    for (int i = 0; i < v->n; i++) free(v->at[i].point);
    free(v->at);
    *v = (Views){0};
}

static View *add_view(Views *v) {
    View *grown = realloc(v->at, (size_t)(v->n + 1)*sizeof *grown);
    if (grown == NULL) return NULL;
    v->at = grown;
    grown[v->n] = (View){0};
    return &grown[v->n++];
}

static void drop_last(Views *v) { free(v->at[--v->n].point); }

static bool covered(const Views *v, int first, const AnswerLine *l) {
    for (int k = first; k < v->n; k++)
        for (int i = 0; i < v->at[k].n_points; i++)
            if (v->at[k].point[i].line == l) return true;
    return false;
}

static bool views_of(const Answer *a, Views *v) {
    const json_t *f;
    size_t        i;
    const int     first = v->n;
    bool          all   = true;
    json_array_foreach(json_object_get(a->experiment, "factors"), i, f) {
        const char *name = json_string_value(json_object_get(f, "name"));
        View       *next = name != NULL ? add_view(v) : NULL;
        if (name == NULL) continue;
        if (next == NULL || !make_along(next, a, name)) return false;
        bool told = next->n_series == 0;
        for (int k = first; !told && k < v->n - 1; k++) told = told_by(next, &v->at[k]);
        if (told) drop_last(v);
    }
    for (int k = 0; all && k < a->n_lines; k++) all = !shows(&a->line[k]) || covered(v, first, &a->line[k]);
    if (all) return true;
    View *names = add_view(v);
    if (names == NULL || !make_names(names, a)) return false;
    if (names->n_points < 2) drop_last(v);
    return true;
}

/* views_free; no memory: none. */
static Views all_views(const Report *r) {
    Views v = {0};
    for (int i = 0; i < r->n_answers; i++)
        if (!views_of(&r->answer[i], &v)) {
            views_free(&v);
            break;
        }
    return v;
}

static int count(const Report *r) {
    Views     v = all_views(r);
    const int n = v.n;
    views_free(&v);
    return n;
}

/* -- one picture -- */

static bool has(const View *v, int panel) {
    double low, high;
    for (int i = 0; i < v->n_points; i++)
        if (isfinite(y_of(v->a, v->point[i].line, panel, &low, &high))) return true;
    return false;
}

/* The model of a line: of the first run or timing there is. */
static int model_of(const Answer *a, const AnswerLine *l) {
    if (l->n_runs > 0) return l->run[0]->model_index;
    for (int k = 0; k < a->n_timings; k++)
        if (l->timed[k] != NULL) return l->timed[k]->model_index;
    return 0;
}

static void put_point(Figure *f, const View *v, const AnswerLine *l, int panel, double x) {
    double           low, high;
    const double     y   = y_of(v->a, l, panel, &low, &high);
    const ReportRow *row = timed(v->a, l);
    for (int i = 0; i < l->n_runs; i++) figure_run(f, l->run[i]);
    if (row != NULL) figure_run(f, row);
    figure_numbers(f, 4, x, y, isfinite(low) ? low : y, isfinite(high) ? high : y);
}

static void write_panels(Figure *f, const View *v, const int panel[], int n_panels) {
    const int t = timing_of(v->a);
    fprintf(f->f, "n_panels = %d\narray panel[%d]\narray from_zero[%d]\narray step[%d]\n", n_panels, n_panels, n_panels, n_panels);
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
        double end = 0;
        for (int i = 0; i < v->n_points; i++) {
            double low, high;
            end = fmax(end, y_of(v->a, v->point[i].line, panel[p], &low, &high));
            end = fmax(end, high);
        }
        fprintf(f->f, "from_zero[%d] = %d\nstep[%d] = %g\n", p + 1, panel[p] != TOP1, p + 1, figure_step(end));
    }
    double least = INFINITY, most = -INFINITY;
    for (int i = 0; i < v->n_points; i++) {
        double       low, high;
        const double y = y_of(v->a, v->point[i].line, TOP1, &low, &high);
        least = fmin(least, isfinite(low) ? low : y);
        most  = fmax(most, isfinite(high) ? high : y);
    }
    if (least <= most) figure_accuracy_axis(f, least, most);
}

/* Lines of a view, or of one of its series, as seen by a factor. */
typedef struct Alike { const View *v; int series; } Alike;

static bool is_alike(const View *v, int series, const char *factor, bool inside) {
    const json_t *first = NULL;
    bool          any   = false;
    for (int i = 0; i < v->n_points; i++) {
        if (inside && v->point[i].series != series) continue;
        const json_t *value = answer_value(v->point[i].line, factor);
        if (any && !answer_equal(first, value)) return false;
        first = value;
        any   = true;
    }
    return true;
}

/* Of a series' name: what varies along it, and what all series have. The cell stays. */
static bool says_nothing_of_series(const char *factor, void *self) {
    const Alike *a = self;
    if (strcmp(factor, "cell") == 0) return false;
    return strcmp(factor, a->v->factor) == 0 || !is_alike(a->v, a->series, factor, true) || is_alike(a->v, 0, factor, false);
}

/* Of a row's name: what all rows have. */
static bool says_nothing_of_row(const char *factor, void *self) { return is_alike(((const Alike *)self)->v, 0, factor, false); }

/* gnuplot takes a tic's text for a format. */
static void write_tic(Figure *f, int at, const char *name) {
    char text[2*NAME_BYTES + 8], variable[32];
    size_t n = 0;
    for (const char *c = name; *c != '\0' && n + 3 < sizeof text; c++) {
        if (*c == '%') text[n++] = '%';
        text[n++] = *c;
    }
    text[n] = '\0';
    snprintf(variable, sizeof variable, "tic[%d]", at + 1);
    figure_text(f, variable, text);
}

static void write_label(Figure *f, int at, const View *v, const AnswerLine *l, bool series) {
    Alike alike = {v, series ? at : 0};
    char *name  = answer_name(v->a, l, series ? says_nothing_of_series : says_nothing_of_row, &alike);
    if (name != NULL && !series) figure_shorten(name, NAME_BYTES);
    figure_label(f, at, name != NULL ? name : "?");
    if (!series) write_tic(f, at, name != NULL ? name : "?");
    free(name);
}

static int by_x(const void *a, const void *b) {
    const Point *x = a, *y = b;
    return x->x != y->x ? (x->x > y->x) - (x->x < y->x) : x->series - y->series;
}

/* A series a cell of the file, its lines by x. */
static void write_along(Figure *f, View *v, const int panel[], int n_panels) {
    const AnswerLine *first[FIGURE_MAX_SERIES] = {NULL};
    const int         n = v->n_series < FIGURE_MAX_SERIES ? v->n_series : FIGURE_MAX_SERIES;
    double            least = INFINITY, most = -INFINITY;
    char              axis[96];
    f->n_left_out = v->n_series - n;
    qsort(v->point, (size_t)v->n_points, sizeof *v->point, by_x);
    figure_begin_data(f);
    for (int p = 0; p < n_panels; p++)
        for (int s = 0; s < n; s++) {
            for (int i = 0; i < v->n_points; i++) {
                const Point *at = &v->point[i];
                if (at->series != s) continue;
                if (first[s] == NULL) first[s] = at->line;
                least = fmin(least, at->x);
                most  = fmax(most, at->x);
                put_point(f, v, at->line, panel[p], at->x);
            }
            figure_end_series(f);
        }
    figure_end_data(f);
    figure_series(f, n);
    for (int s = 0; s < n; s++) {
        /* series are many models: tones and symbols are theirs, the hue is the method's */
        const int method = f->report->model[model_of(v->a, first[s])].method_index;
        int       which  = 0;
        for (int k = 0; k < s; k++) which += f->report->model[model_of(v->a, first[k])].method_index == method;
        write_label(f, s, v, first[s], true);
        figure_paint(f, s, figure_tone(method, which), figure_symbol(s), 1 + which % 5);
    }
    write_panels(f, v, panel, n_panels);
    answer_label(v->a, v->factor, axis);
    figure_text(f, "factor", axis);
    fprintf(f->f, "numeric = 1\nx_low = %.10g\nx_high = %.10g\nx_log = %d\n", least, most, least > 0 && most > 20*least);
    snprintf(f->title, sizeof f->title, "%.60s: %.80s", v->a->name, axis);
    figure_size(f, n_panels == 1 ? 640 : 300 + 240*n_panels, f->narrow ? n_panels : 1, f->narrow ? 200 : 280);
}

/* A row a line, from the top. */
static void write_names(Figure *f, View *v, const int panel[], int n_panels) {
    const int n = v->n_points < MAX_NAMED ? v->n_points : MAX_NAMED;
    f->n_left_out = v->n_points - n;
    v->n_points   = n;
    figure_begin_data(f);
    for (int p = 0; p < n_panels; p++)
        for (int i = 0; i < n; i++) {
            put_point(f, v, v->point[i].line, panel[p], n - i);
            figure_end_series(f);
        }
    figure_end_data(f);
    figure_series(f, n);
    fprintf(f->f, "array tic[%d]\n", n);
    for (int i = 0; i < n; i++) {
        write_label(f, i, v, v->point[i].line, false);
        figure_style(f, i, model_of(v->a, v->point[i].line), 0);
    }
    write_panels(f, v, panel, n_panels);
    const int names_width = f->narrow ? 130 : 7*NAME_BYTES*3/4;
    fprintf(f->f, "numeric = 0\nnames_width = %d\n", names_width);
    snprintf(f->title, sizeof f->title, "%.120s", v->a->name);
    f->width  = f->narrow ? 360 : names_width + 24 + 210*n_panels;
    f->height = 110 + (f->narrow ? n_panels*(18*n + 70) : 22*n + 20);
}

static bool write(Figure *f, int picture) {
    static const int order[] = {TOP1, MACS, TIME_OF, PARAMS};
    int   panel[4], n_panels = 0;
    Views views = all_views(f->report);
    View *v     = picture < views.n ? &views.at[picture] : NULL;
    for (int p = 0; v != NULL && p < 4; p++)
        if (has(v, order[p]) && (order[p] != PARAMS || v->factor == NULL)) panel[n_panels++] = order[p];
    const bool made = n_panels > 0;
    if (made) {
        if (v->factor != NULL) write_along(f, v, panel, n_panels);
        else                   write_names(f, v, panel, n_panels);
        snprintf(f->note, sizeof f->note, "%.400s", v->a->question);
    }
    views_free(&views);
    return made;
}

const Plot plot_answers = {
    .name = "answers", .title = "What was asked", .drawing = morbench_plot_answers, .count = count, .write = write,
    .lacking = "no experiment has two configurations to show",
    .caption = "Points of several seeds: mean, with Student's 95 % interval over seeds; of one seed: the interval over the choice of images. Times: "
               "95 % intervals over processes."};
