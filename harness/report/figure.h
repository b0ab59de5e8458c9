/* Plots of a Report. A plot is harness/plots/<name>.c, which writes data and labels, and scripts/plots/<name>.gp, which
 * draws them; plots.def lists all. The drawings are built into the program, so that it draws the same wherever it is
 * installed. gnuplot gets one script on its standard input and answers with the picture on its standard output: no file
 * name ever stands in a script. Texts from runs appear in single quotes only, data blocks hold numbers only.
 *
 * A method (vit, mor_vit, ...) has one hue in every plot of every report, its models have tones of it, and every model has
 * a symbol and a dash of its own, so that no plot needs its colours to be read. Runs that are INVALID are left out.
 *
 *     figure_begin -> plot->write -> figure_end -> figure_draw ... -> figure_free
 *
 * Ownership: a Figure holds its text until figure_free. */
#ifndef HARNESS_FIGURE_H
#define HARNESS_FIGURE_H

#include "harness/report/report.h"

enum { FIGURE_MAX_SERIES = 24 };

typedef struct Figure {
    FILE         *f;               /* the script, while it is written */
    const Report *report;
    bool          narrow;          /* for a telephone: 360 points, panels below each other */
    int           n_series, rows;  /* series with a label; rows of the legend */
    char        **label;           /* (n_series) */
    int           width, height;   /* of the picture, in points */
    char          title[160];      /* "" : the plot's */
    char          note[512];       /* what the caption says of this picture beside the plot's own, "" : nothing */
    int           n_left_out;      /* models, runs or cells there was no room for: the note then says so */
    bool         *used;            /* (rows of the report) runs the picture shows */
    char         *text;            /* data and labels, after figure_end the whole script without its terminal */
    size_t        n_text;
} Figure;

typedef struct Plot {
    const char *name;              /* of the files: a-z and _ */
    const char *title;
    const char *caption;           /* how to read it */
    const char *lacking;           /* why there is none: "no valid run has ..." */
    const char *drawing;           /* the .gp */
    int       (*count)(const Report *r);                 /* pictures there is data for; NULL: one, if write says so */
    bool      (*write)(Figure *f, int picture);          /* false: no data */
} Plot;

extern const Plot *const report_plots[];                 /* up to NULL */

bool figure_begin(Figure *f, const Report *r, bool narrow, Error *err);
/* Adds style and drawing. titled: the picture carries its title (in a page it stands above). */
bool figure_end(Figure *f, const Plot *plot, bool titled, Error *err);
/* terminal: svg, png or pdf. *out is the caller's; free(). */
bool figure_draw(const Figure *f, const char *terminal, void **out, size_t *n, Error *err);
void figure_free(Figure *f);

/* -- for plots -- */

#define FIGURE_DRAWING(name)                                                                     \
    __asm__(".pushsection .rodata, \"a\", %progbits\n"                                           \
            ".global morbench_plot_" #name "\n.hidden morbench_plot_" #name "\n"                 \
            "morbench_plot_" #name ":\n.incbin \"scripts/plots/" #name ".gp\"\n.byte 0\n"        \
            ".popsection\n");                                                                    \
    extern const char morbench_plot_##name[] __attribute__((visibility("hidden")))

/* The data block: series after series, each a list of runs' numbers. */
void figure_begin_data(Figure *f);
void figure_end_series(Figure *f);
void figure_end_data(Figure *f);
void figure_numbers(Figure *f, int n, ...);              /* doubles; not finite: NaN */
void figure_run(Figure *f, const ReportRow *row);        /* where the next numbers come from: a comment, and the caption's list */

/* Labels and styles of series 0 .. n-1. In the legend a label that is wider than the picture is shortened. */
void figure_series(Figure *f, int n);
void figure_label(Figure *f, int i, const char *text);
void figure_shorten(char *text, int most);               /* to so many bytes at most, in the middle, since long names differ at their ends */
void figure_style(Figure *f, int i, int model, int variant);   /* variant tells several series of one model apart */
void figure_paint(Figure *f, int i, unsigned colour, int symbol, int dash);
/* After the labels: room for legend and title around panels below each other, each so high that the legend fits beside one (gnuplot cuts it
 * otherwise). The legend has two columns where labels are short enough; gnuplot would leave out what does not fit in its width. */
void figure_size(Figure *f, int width, int panels_down, int panel_height);
void figure_text(Figure *f, const char *variable, const char *text);   /* variable = 'text' */
void figure_accuracy_axis(Figure *f, double low, double high);         /* y_low, y_high around percentages from low to high */
double figure_step(double most);                         /* between tics of an axis from 0 to most, so that there are four to seven; most > 0 */

unsigned figure_colour(const Report *r, int model);      /* 0xrrggbb */
unsigned figure_tone(int method, int tone);              /* the tone-th of a method's hue; both repeat after so many: */
enum { FIGURE_METHODS = 8, FIGURE_TONES = 6 };
int      figure_symbol(int model);

/* Caption i (0, 1, ...) of the experiments whose runs are used, each once: what a reader must know of the picture. NULL: no more. */
const char *figure_caption(const Report *r, const bool used[], int i);

/* -- questions plots share -- */

bool   figure_valid(const ReportRow *row);
/* As a run has it: executed where it was counted, else from the configuration. which: "", "_min", "_max" */
double figure_macs(const ReportRow *row, const char *which);
bool   figure_timed(const ReportRow *row);
bool   figure_same(const ReportRow *a, const ReportRow *b, const char *pointer);
const char *figure_text_at(const ReportRow *row, const char *pointer, const char *otherwise);
double figure_at(const json_t *object, const char *key); /* number of an object; NAN */

#endif
