/* The figures of the page: plots of figure.h, each drawn for a screen and for a telephone, and pictures that lie beside runs. */
#include "harness/report/html.h"

#include "engine/file.h"
#include "harness/report/escape.h"
#include "harness/report/figure.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* -- where a figure's numbers come from -- */

static void put_run_list(const Page *p, const bool used[]) {
    FILE *out = p->out;
    int   n   = 0;
    fputs("<p class=\"from\">Runs: ", out);
    for (int i = 0; i < p->report->n_rows; i++) {
        if (!used[i]) continue;
        if (n++ > 0) fputs(", ", out);
        html_run_link(out, p->report, &p->report->row[i]);
    }
    fputs(".</p>\n", out);
}

/* The commands that measured, each once. */
static void put_commands(const Page *p, const bool used[], const char *drawn_as) {
    const Report *r   = p->report;
    FILE         *out = p->out;
    fputs("<details><summary>Commands</summary><ul class=\"commands\">\n", out);
    for (int i = 0; i < r->n_rows; i++) {
        const json_t *words = report_at(r->row[i].run, "/provenance/command_line");
        bool          told  = !used[i];
        for (int k = 0; k < i && !told; k++) told = used[k] && json_equal(words, report_at(r->row[k].run, "/provenance/command_line"));
        if (told) continue;
        fputs("<li>", out);
        html_command(out, words);
        fputs("</li>\n", out);
    }
    if (drawn_as != NULL) {
        fputs("<li>drawn by <code class=\"command\">morbench report ", out);
        html_shell_word(out, p->dir);
        html_print(out, " --html</code>; script and data: <code>plots/%s.gp</code></li>\n", drawn_as);
    }
    fputs("</ul></details>\n", out);
}

/* -- plots -- */

static bool put_drawing(const Page *p, const Plot *plot, int picture, bool narrow, const char *id, char note[512], bool **used, Error *err) {
    Figure f;
    void  *svg = NULL;
    size_t n   = 0;
    char   name[64], text[1024];
    if (!figure_begin(&f, p->report, narrow, err)) return false;
    const bool made = plot->write(&f, picture);
    bool       ok   = figure_end(&f, plot, false, err);
    ok = ok && (!made || figure_draw(&f, "inline", &svg, &n, err));
    if (ok && made) {
        snprintf(name, sizeof name, "%s-%s", id, narrow ? "n" : "w");
        snprintf(text, sizeof text, "%.500s %.500s", plot->caption, f.note);
        html_svg(p->out, svg, name, narrow ? "narrow" : "wide", f.width, f.height, f.title[0] != '\0' ? f.title : plot->title, text);
        snprintf(note, 512, "%s", f.note);
    }
    if (*used == NULL) {
        *used  = f.used;
        f.used = NULL;
    }
    free(svg);
    figure_free(&f);
    return ok;
}

/* Heading and caption are known only after writing, and stand before the picture: the picture is written aside. */
static bool put_figure(Page *p, const Plot *plot, int picture, Error *err) {
    FILE  *page = p->out;
    char  *pictures = NULL, id[48], number[16] = "", note[512] = "";
    bool  *used = NULL;
    size_t n = 0;
    Figure f;
    if (picture > 0) snprintf(number, sizeof number, "_%d", picture + 1);
    snprintf(id, sizeof id, "%s%s", plot->name, number);
    if (!figure_begin(&f, p->report, false, err)) return false;
    const bool there = plot->write(&f, picture);
    char        title[sizeof f.title];
    const char *said;
    snprintf(title, sizeof title, "%s", f.title[0] != '\0' ? f.title : plot->title);
    figure_free(&f);
    if (!there) return true;
    p->out = open_memstream(&pictures, &n);
    bool ok = p->out != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a figure");
    ok = ok && put_drawing(p, plot, picture, false, id, note, &used, err) && put_drawing(p, plot, picture, true, id, note, &used, err);
    if (p->out != NULL) ok = fclose(p->out) == 0 && ok;
    p->out = page;
    if (ok) {
        html_print(page, "<figure id=\"fig-%s\"><figcaption><h3>%s</h3>", id, title);
        for (int k = 0; (said = figure_caption(p->report, used, k)) != NULL; k++) html_print(page, "<p class=\"caption\">%s</p>", said);
        html_print(page, "<p>%s %s</p></figcaption>\n", plot->caption, note);
        fwrite(pictures, 1, n, page);
        put_run_list(p, used);
        put_commands(p, used, id);
        fputs("</figure>\n", page);
        p->n_figures++;
    }
    free(used);
    free(pictures);
    return ok;
}

/* A picture that gnuplot refuses is left out and said; false: none could be drawn. */
static bool put_plots(Page *p, Error *err) {
    bool refused = false;
    for (int i = 0; report_plots[i] != NULL; i++) {
        const int count = report_plots[i]->count != NULL ? report_plots[i]->count(p->report) : 1;
        for (int k = 0; k < count; k++) {
            char text[1024];
            if (put_figure(p, report_plots[i], k, err)) continue;
            if (err->exit_status != EXIT_IO) return false;
            error_text(err, text, sizeof text);
            html_print(p->out, "<p class=\"missing\">A figure is missing, %s: %s.</p>\n", report_plots[i]->name, text);
            refused = true;
        }
    }
    return p->n_figures > 0 || !refused;
}

/* -- pictures beside runs -- */

enum { MAX_PICTURE_BYTES = 4 << 20, MAX_EMBEDDED_BYTES = 48 << 20 };

static const char *type_of(const char *name) {
    const char *dot = strrchr(name, '.');
    if (strncmp(name, "depth_", 6) != 0 || dot == NULL) return NULL;
    return strcmp(dot, ".png") == 0 ? "image/png" : strcmp(dot, ".svg") == 0 ? "image/svg+xml" : NULL;
}

static int is_picture(const struct dirent *e) { return type_of(e->d_name) != NULL; }

/* In an img nothing of an SVG acts: no script, nothing is fetched. */
static void put_picture(Page *p, const ReportRow *row, const char *path, const char *name) {
    struct stat s;
    void       *bytes = NULL;
    size_t      n     = 0;
    Error       err   = {0};
    if (lstat(path, &s) != 0 || !S_ISREG(s.st_mode) || s.st_size > MAX_PICTURE_BYTES || p->n_embedded + (size_t)s.st_size > MAX_EMBEDDED_BYTES ||
        !file_read_all(path, MAX_PICTURE_BYTES, &bytes, &n, &err)) {
        fprintf(stderr, "note: left out of the page: ");
        escape_terminal(stderr, path);
        fputs(" (too large, or cannot be read)\n", stderr);
        return;
    }
    const bool png = strcmp(type_of(name), "image/png") == 0;
    if (!png || (n > 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)) {
        html_print(p->out, "<figure class=\"picture\"><img alt=\"%s of %s\" src=\"data:%s;base64,", name, row->model, type_of(name));
        html_base64(p->out, bytes, n);
        html_print(p->out, "\"><figcaption><p>%s: <code>%s</code>, run ", row->model, name);
        html_run_link(p->out, p->report, row);
        fputs("</p></figcaption></figure>\n", p->out);
        p->n_embedded += n;
        p->n_figures++;
    }
    free(bytes);
}

static bool put_pictures(Page *p, Error *err) {
    bool any = false;
    for (int i = 0; i < p->report->n_rows; i++) {
        const ReportRow *row = &p->report->row[i];
        struct dirent  **entry = NULL;
        char            *dir   = NULL;
        const char      *slash = strrchr(row->path, '/');
        if (asprintf(&dir, "%s/%.*s", p->dir, slash != NULL ? (int)(slash - row->path) : 0, row->path) < 0)
            return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a path");
        const int n = scandir(dir, &entry, is_picture, versionsort);
        for (int k = 0; k < n; k++) {
            char *path = NULL;
            if (!any) fputs("<h3>Depth over images</h3><div class=\"pictures\">\n", p->out);
            any = true;
            if (asprintf(&path, "%s/%s", dir, entry[k]->d_name) >= 0) {
                put_picture(p, row, path, entry[k]->d_name);
                free(path);
            }
            free(entry[k]);
        }
        if (n >= 0) free(entry);
        free(dir);
    }
    if (any) fputs("</div>\n", p->out);
    return true;
}

bool html_figures(Page *p, Error *err) {
    Error wrong = {0};
    fputs("<section id=\"figures\"><h2>Figures</h2>\n"
          "<p>A method has one hue in all figures, its models have tones of it; every model has its own symbol. INVALID runs are left out.</p>\n", p->out);
    if (!put_plots(p, &wrong)) {
        char text[1024];
        p->no_gnuplot = true;
        error_text(&wrong, text, sizeof text);
        html_print(p->out, "<p class=\"missing\">No figures could be drawn: %s. The numbers are in the tables.</p>\n", text);
        fprintf(stderr, "warning: no figures in the page: ");
        escape_terminal(stderr, text);
        fputc('\n', stderr);
    }
    const bool ok = put_pictures(p, err);
    fputs("</section>\n", p->out);
    return ok;
}
