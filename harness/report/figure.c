/* What all plots write, see figure.h. */
#include "harness/report/figure.h"

#include "harness/config.h"
#include "harness/report/answers.h"
#include "harness/report/escape.h"
#include "harness/report/gnuplot.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

FIGURE_DRAWING(style);

enum { GNUPLOT_SECONDS = 30 };

/* Okabe & Ito's colours, distinct to the colour-blind too; of the methods that this program knows, the first four. */
static const unsigned hue[FIGURE_METHODS] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0x56b4e9, 0xe69f00, 0x5b4b8a, 0xa08c00};
/* Towards black (below 0) or white: what tells the models of one method apart beside symbol and dash. */
static const double tone[FIGURE_TONES] = {0, -0.45, 0.4, -0.7, 0.62, -0.25};
static const int    symbols[] = {7, 5, 9, 13, 11, 15, 6, 4, 8, 12, 10, 14};    /* filled, then open */

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

unsigned figure_tone(int method, int which) {
    const unsigned base  = hue[method % FIGURE_METHODS];
    const double   t     = tone[which % FIGURE_TONES];
    unsigned       mixed = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        const double c = (base >> shift) & 255u;
        mixed |= (unsigned)lround(t < 0 ? c*(1 + t) : c + (255 - c)*t) << shift;
    }
    return mixed;
}

unsigned figure_colour(const Report *r, int model) { return figure_tone(r->model[model].method_index, r->model[model].tone); }

int figure_symbol(int model) { return symbols[model % COUNT_OF(symbols)]; }

/* -- the script -- */

bool figure_begin(Figure *f, const Report *r, bool narrow, Error *err) {
    *f = (Figure){.report = r, .narrow = narrow, .width = narrow ? 360 : 640, .height = narrow ? 380 : 480};
    f->used = calloc((size_t)r->n_rows, sizeof *f->used);
    f->f    = open_memstream(&f->text, &f->n_text);
    if (f->used != NULL && f->f != NULL) {
        fprintf(f->f, "narrow = %d\n", narrow);
        return true;
    }
    if (f->f != NULL) fclose(f->f);
    figure_free(f);
    return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a plot");
}

const char *figure_caption(const Report *r, const bool used[], int i) {
    for (int k = 0; k < r->n_answers; k++) {
        const Answer *a = &r->answer[k];
        bool shown = false, told = a->caption[0] == '\0';
        for (int j = 0; j < k && !told; j++) told = strcmp(r->answer[j].caption, a->caption) == 0;
        if (told) continue;
        for (int j = 0; j < r->n_answers && !shown; j++)
            shown = strcmp(r->answer[j].caption, a->caption) == 0 && answer_uses(&r->answer[j], r, used);
        if (shown && i-- == 0) return a->caption;
    }
    return NULL;
}

/* Below the title, a line each; what is longer than experiments may give themselves is cut. Then what is not shown. */
static void put_captions(Figure *f) {
    enum { MOST = 3 };
    int n = 0;
    fprintf(f->f, "array caption[%d]\n", MOST + 1);
    for (const char *text; n < MOST && (text = figure_caption(f->report, f->used, n)) != NULL; n++) {
        char line[CONFIG_CAPTION_MAX + 4], variable[32];
        snprintf(line, sizeof line, strlen(text) > CONFIG_CAPTION_MAX ? "%.97s..." : "%s", text);
        snprintf(variable, sizeof variable, "caption[%d]", n + 1);
        figure_text(f, variable, line);
    }
    if (f->n_left_out > 0) {
        char line[64], variable[32];
        snprintf(line, sizeof line, "%d more there was no room for.", f->n_left_out);
        snprintf(variable, sizeof variable, "caption[%d]", ++n);
        figure_text(f, variable, line);
    }
    fprintf(f->f, "n_captions = %d\n", n);
    f->height += 18*n;
}

static bool put_labels(Figure *f) {
    for (int i = 0; i < f->n_series; i++) {
        char name[32];
        if (f->label == NULL || f->label[i] == NULL) return false;
        snprintf(name, sizeof name, "label[%d]", i + 1);
        figure_text(f, name, f->label[i]);
    }
    fprintf(f->f, "rows = %d\n", f->rows);
    return true;
}

bool figure_end(Figure *f, const Plot *plot, bool titled, Error *err) {
    const size_t noted   = strlen(f->note);
    const bool   labeled = put_labels(f);
    if (f->n_left_out > 0)
        snprintf(f->note + noted, sizeof f->note - noted, "%s%d more there was no room for; the table has them.", noted > 0 ? " " : "", f->n_left_out);
    if (titled) put_captions(f);
    else        fputs("n_captions = 0\n", f->f);
    figure_text(f, "picture_title", !titled ? "" : f->title[0] != '\0' ? f->title : plot->title);
    fprintf(f->f, "titled = %d\nwidth = %d\nheight = %d\n", titled, f->width, f->height);
    fputs(morbench_plot_style, f->f);
    fputs(plot->drawing, f->f);
    const bool ok = fclose(f->f) == 0 && labeled;
    f->f = NULL;
    return ok || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a plot");
}

void figure_free(Figure *f) {
    if (f->f != NULL) fclose(f->f);
    for (int i = 0; i < f->n_series && f->label != NULL; i++) free(f->label[i]);
    free(f->label);
    free(f->text);
    free(f->used);
    *f = (Figure){0};
}

/* A PNG has twice the points, for print; a PDF is as large as the SVG at 96 points an inch. key_spacing: what makes a line of the legend
 * nearly 18 points high, as it is in SVG; at 18 gnuplot finds that it does not fit. */
bool figure_draw(const Figure *f, const char *terminal, void **out, size_t *n, Error *err) {
    char *script = NULL;
    int   length;
    if (strcmp(terminal, "png") == 0)
        length = asprintf(&script, "set terminal pngcairo noenhanced size %d,%d font 'sans,9' fontscale 2 linewidth 2 pointscale 2 "
                                   "background '#ffffff'\nkey_spacing = 1.15\n%.*s", 2*f->width, 2*f->height, (int)f->n_text, f->text);
    else if (strcmp(terminal, "pdf") == 0)
        length = asprintf(&script, "set terminal pdfcairo noenhanced size %.3fin,%.3fin font 'sans,9' background '#ffffff'\nkey_spacing = 1.15\n%.*s",
                          f->width/96.0, f->height/96.0, (int)f->n_text, f->text);
    else
        length = asprintf(&script, "set terminal svg noenhanced size %d,%d font 'sans,12'%s\nkey_spacing = 1\n%.*s", f->width, f->height,
                          strcmp(terminal, "svg") == 0 ? " background '#ffffff'" : "", (int)f->n_text, f->text);
    if (length < 0) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a plot");
    const bool ok = gnuplot_run(script, (size_t)length, GNUPLOT_SECONDS, out, n, err);
    free(script);
    return ok;
}

void figure_begin_data(Figure *f) { fputs("$data << END_OF_DATA\n", f->f); }
void figure_end_series(Figure *f) { fputs("\n\n", f->f); }
void figure_end_data(Figure *f) { fputs("END_OF_DATA\n", f->f); }

void figure_numbers(Figure *f, int n, ...) {
    va_list v;
    va_start(v, n);
    for (int i = 0; i < n; i++) {
        const double x = va_arg(v, double);
        if (isfinite(x)) fprintf(f->f, "%s%.10g", i > 0 ? " " : "", x);
        else             fprintf(f->f, "%sNaN", i > 0 ? " " : "");
    }
    va_end(v);
    fputc('\n', f->f);
}

/* Of the path only what can mean nothing to gnuplot even in a comment. */
void figure_run(Figure *f, const ReportRow *row) {
    f->used[row - f->report->row] = true;
    fprintf(f->f, "# run %s, ", figure_text_at(row, "/id", "?"));
    for (const char *c = row->path; *c != '\0'; c++)
        fputc((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || strchr("0123456789._-/", *c) != NULL ? *c : '?', f->f);
    fputc('\n', f->f);
}

void figure_series(Figure *f, int n) {
    f->n_series = n;
    f->label    = calloc((size_t)n + 1, sizeof *f->label);
    fprintf(f->f, "n_series = %d\n", n);
    fprintf(f->f, "array label[%d]\narray colour[%d]\narray point[%d]\narray dash[%d]\n", n, n, n, n);
}

void figure_paint(Figure *f, int i, unsigned colour, int symbol, int dash) {
    fprintf(f->f, "colour[%d] = 0x%06x\npoint[%d] = %d\ndash[%d] = %d\n", i + 1, colour, i + 1, symbol, i + 1, dash);
}

void figure_style(Figure *f, int i, int model, int variant) {
    figure_paint(f, i, figure_colour(f->report, model), figure_symbol(model + 5*variant), 1 + (f->report->model[model].tone + variant) % 5);
}

void figure_shorten(char *text, int most) {
    const size_t n = strlen(text);
    if (n <= (size_t)most) return;
    size_t head = (size_t)most/2 - 2, tail = n - ((size_t)most/2 - 1);
    while (head > 0 && ((unsigned char)text[head] & 0xc0u) == 0x80) head--;             /* not inside a character */
    while (tail < n && ((unsigned char)text[tail] & 0xc0u) == 0x80) tail++;
    memmove(text + head + 3, text + tail, n - tail + 1);
    memcpy(text + head, "...", 3);
}

/* As gnuplot counts them: characters of three bytes and more are mostly of double width. */
static int columns_of(const char *text) {
    int n = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) n += (*c & 0xc0u) != 0x80 ? 1 + (*c >= 0xe0u) : 0;
    return n;
}

/* The end of a text, in so many bytes. */
static void keep_end(char *text, const char *whole, int most) {
    size_t at = strlen(whole) - ((size_t)most - 3);
    while (((unsigned char)whole[at] & 0xc0u) == 0x80) at++;
    memcpy(text, "...", 3);
    memcpy(text + 3, whole + at, strlen(whole + at) + 1);
}

/* Whether another label, that was not the same when it was whole, looks the same. */
static bool is_confused(const Figure *f, char *const whole[], int i) {
    for (int k = 0; k < f->n_series; k++)
        if (k != i && strcmp(f->label[k], f->label[i]) == 0 && strcmp(whole[k], whole[i]) != 0) return true;
    return false;
}

/* Labels in so many columns at most: cut in the middle; those that then look the same at their beginning; and what still does is numbered. */
static void fit_labels(Figure *f, int most) {
    bool   ok    = f->label != NULL;
    char **whole = calloc((size_t)f->n_series + 1, sizeof *whole);
    bool  *again = calloc((size_t)f->n_series + 1, sizeof *again);
    for (int i = 0; ok && i < f->n_series; i++) ok = f->label[i] != NULL && whole != NULL && again != NULL && (whole[i] = strdup(f->label[i])) != NULL;
    for (int i = 0; ok && i < f->n_series; i++)
        if (columns_of(f->label[i]) > most) figure_shorten(f->label[i], most);          /* no byte is more than a column */
    for (int i = 0; ok && i < f->n_series; i++) again[i] = strlen(whole[i]) > (size_t)most && is_confused(f, whole, i);
    for (int i = 0; ok && i < f->n_series; i++)
        if (again[i]) keep_end(f->label[i], whole[i], most);
    for (int i = 0; ok && i < f->n_series; i++) again[i] = strlen(whole[i]) > (size_t)most && is_confused(f, whole, i);
    for (int i = 0; ok && i < f->n_series; i++) {
        if (!again[i]) continue;
        figure_shorten(f->label[i], most - 4);
        const size_t n = strlen(f->label[i]);
        snprintf(f->label[i] + n, strlen(whole[i]) + 1 - n, " #%d", i + 1);
    }
    for (int i = 0; whole != NULL && i < f->n_series; i++) free(whole[i]);
    free(whole);
    free(again);
}

/* A label and its sample, in points: what gnuplot reckons with at letters of 12; they come out a bit narrower. */
enum { SAMPLE_POINTS = 60 };
static const double letter_points = 7.4;

void figure_size(Figure *f, int width, int panels_down, int panel_height) {
    f->width = f->narrow ? 360 : width;
    int widest = 0;
    fit_labels(f, (int)((f->width - SAMPLE_POINTS)/letter_points));
    for (int i = 0; i < f->n_series && f->label != NULL; i++)
        if (f->label[i] != NULL && columns_of(f->label[i]) > widest) widest = columns_of(f->label[i]);
    const int columns = f->n_series > 3 && 2*(SAMPLE_POINTS + letter_points*widest) <= f->width ? 2 : 1;
    f->rows = (f->n_series + columns - 1)/columns;
    const int least = 18*f->rows + 30, gap = 76;
    f->height = 95 + 18*f->rows + panels_down*(panel_height > least ? panel_height : least) + (panels_down - 1)*gap;
}

void figure_label(Figure *f, int i, const char *text) {
    if (f->label == NULL) return;
    free(f->label[i]);
    f->label[i] = strdup(text);
}

void figure_text(Figure *f, const char *variable, const char *text) {
    fprintf(f->f, "%s = ", variable);
    escape_gnuplot(f->f, text);
    fputc('\n', f->f);
}

void figure_accuracy_axis(Figure *f, double low, double high) {
    const double step = high - low < 4 ? 0.5 : high - low < 20 ? 2 : 10;
    double       from = fmax(0, step*floor(low/step)), to = fmin(100, step*ceil(high/step));
    if (to <= from) {                                    /* all alike, and on a tic */
        from = fmax(0, from - step);
        to   = fmin(100, to + step);
    }
    fprintf(f->f, "y_low = %g\ny_high = %g\n", from, to);
}

double figure_step(double most) {
    if (!(most > 0 && isfinite(most))) return 1;
    const double decade = pow(10, floor(log10(most))), share = most/decade*(1 - 1e-9);
    return decade*(share <= 1.5 ? 0.25 : share <= 3 ? 0.5 : share <= 7 ? 1 : 2);
}

/* -- questions -- */

bool figure_valid(const ReportRow *row) { return strcmp(row->verdict, "INVALID") != 0; }

double figure_macs(const ReportRow *row, const char *which) {
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/model/counts/macs_executed%s", which);
    const double executed = report_number(row->run, pointer);
    return isfinite(executed) ? executed : report_number(row->run, "/model/counts/macs");
}

bool figure_timed(const ReportRow *row) {
    return figure_valid(row) && report_number(row->run, "/metrics/latency_ns") > 0 &&
           report_number(row->run, "/metrics/batch_size_count") > 0;
}

bool figure_same(const ReportRow *a, const ReportRow *b, const char *pointer) {
    return json_equal(report_at(a->run, pointer), report_at(b->run, pointer));
}

const char *figure_text_at(const ReportRow *row, const char *pointer, const char *otherwise) {
    const char *text = json_string_value(report_at(row->run, pointer));
    return text != NULL ? text : otherwise;
}

double figure_at(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}
