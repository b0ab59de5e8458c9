/* Parts of the page that `report --html` writes; report_html.c puts them together.
 *
 * Whatever comes from a file goes through escape_html (or the number formats of report_grid.h), and the page's own policy
 * allows no script but the one built in, so that nothing of a run could act even if it came through. */
#ifndef HARNESS_HTML_H
#define HARNESS_HTML_H

#include "harness/report/choice.h"
#include "harness/report/report_grid.h"

typedef struct Page {
    FILE         *out;
    const Report *report;
    const char   *dir;             /* of the report */
    int           n_figures;
    size_t        n_embedded;      /* bytes of pictures found beside runs */
    bool          no_gnuplot;      /* it could not be run: said once */
} Page;

/* Which model should I use: one screen, from the data (choice.h). False: no memory. */
bool html_choices(Page *page, Error *err);
void html_doubts(const Page *page, const Choice *choice);
/* Every plot of figure.h there is data for, and pictures named depth_*.png or .svg beside a run.json. */
bool html_figures(Page *page, Error *err);
/* The table of all runs. */
bool html_table(Page *page, Error *err);
/* What lowers their worth, how they were made, and on what. */
void html_warnings(Page *page);
void html_runs(Page *page);
void html_machines(Page *page);

/* -- small parts -- */

/* printf whose %s are escaped: the format is ours and HTML, and knows %s, %d and %% only. */
void html_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void html_number(FILE *out, Form form, double v);                          /* as tables print it */
void html_interval(FILE *out, Form form, double v, double low, double high);   /* " [low, high]", in the unit of v; nothing when unknown */
void html_badge(FILE *out, const char *verdict);
void html_model(FILE *out, const Report *r, int model, const char *text);  /* with the colour and symbol of plots; NULL: its label */
void html_run_link(FILE *out, const Report *r, const ReportRow *row);
/* A command line that a shell would read as these words. */
void html_command(FILE *out, const json_t *words);
void html_shell_word(FILE *out, const char *word);
void html_base64(FILE *out, const void *bytes, size_t n);
/* A picture of gnuplot as a part of the page: names of its own, title and description, colours that a style can turn. */
void html_svg(FILE *out, const char *svg, const char *name, const char *style, int width, int height, const char *title, const char *description);

#endif
