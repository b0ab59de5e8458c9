/* The report as a page: DIR/report.html, one file that needs nothing else; style and script are scripts/report/, built in.
 *
 * Written to be read without its script, which sorts tables and does nothing more. Its policy forbids every other script,
 * style, picture and connection. */
#include "harness/report/html.h"

#include "engine/digest.h"
#include "engine/file.h"
#include "harness/report/answers.h"
#include "harness/report/escape.h"
#include "harness/report/figure.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PART(name, file)                                                                                                  \
    __asm__(".pushsection .rodata, \"a\", %progbits\n.global morbench_page_" #name "\n.hidden morbench_page_" #name "\n"    \
            "morbench_page_" #name ":\n.incbin \"scripts/report/" file "\"\n.byte 0\n.popsection\n");                        \
    extern const char morbench_page_##name[] __attribute__((visibility("hidden")))
PART(style, "page.css");
PART(script, "page.js");

/* 'sha256-...' of the script, by which the policy knows it. */
static bool put_script_hash(FILE *out, Error *err) {
    char    text[SHA256_TEXT_SIZE];
    uint8_t bytes[32];
    if (!digest_sha256(morbench_page_script, strlen(morbench_page_script), text, err)) return false;
    for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)strtoul((char[]){text[2*i], text[2*i + 1], '\0'}, NULL, 16);
    fputs("'sha256-", out);
    html_base64(out, bytes, sizeof bytes);
    fputc('\'', out);
    return true;
}

/* On a dark page the dark tones of models are lightened until they stand out. Three attributes carry gnuplot's colours. */
static void put_dark_colours(Page *p) {
    fputs("@media screen and (prefers-color-scheme: dark) {\n", p->out);
    bool told[FIGURE_METHODS] = {false};
    for (int m = 0; m < p->report->n_models*FIGURE_TONES; m++) {        /* all tones of the methods there are */
        const int method = p->report->model[m/FIGURE_TONES].method_index % FIGURE_METHODS;
        if (told[method]) continue;
        told[method] = m % FIGURE_TONES == FIGURE_TONES - 1;
        const unsigned colour = figure_tone(method, m % FIGURE_TONES);
        unsigned       part[3] = {colour >> 16 & 255u, colour >> 8 & 255u, colour & 255u}, light[3];
        const double   shine = (0.3*part[0] + 0.59*part[1] + 0.11*part[2])/255, least = 0.42;
        const double   towards_white = shine < least ? (least - shine)/(1 - shine) : 0;
        for (int i = 0; i < 3; i++) light[i] = part[i] + (unsigned)(towards_white*(255 - part[i]));
        static const char *const attribute[] = {"stroke", "color", "fill"};
        for (int i = 0; i < 3; i++)
            fprintf(p->out, "svg [%s=\"rgb(%3u, %3u, %3u)\"] { %s: rgb(%u, %u, %u); }\n", attribute[i], part[0], part[1], part[2], attribute[i],
                    light[0], light[1], light[2]);
    }
    fputs("}\n", p->out);
}

static bool put_head(Page *p, Error *err) {
    FILE *out = p->out;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src ", out);
    if (!put_script_hash(out, err)) return false;
    fputs("; base-uri 'none'; form-action 'none'\">\n<link rel=\"icon\" href=\"data:,\">\n", out);
    html_print(out, "<title>morbench report: %s</title>\n<style>\n", p->dir);
    fputs(morbench_page_style, out);
    put_dark_colours(p);
    fputs("</style>\n</head>\n", out);
    return true;
}

static int different(const Report *r, const char *pointer) {
    int n = 0;
    for (int i = 0; i < r->n_rows; i++) {
        bool told = false;
        for (int k = 0; k < i && !told; k++) told = figure_same(&r->row[k], &r->row[i], pointer);
        n += !told;
    }
    return n;
}

static void put_counted(FILE *out, int n, const char *noun) { fprintf(out, "%d %s%s", n, noun, n == 1 ? "" : "s"); }

static void put_summary(Page *p) {
    const Report *r   = p->report;
    FILE         *out = p->out;
    const char   *first = NULL, *last = NULL;
    for (int i = 0; i < r->n_rows; i++) {
        const char *at = figure_text_at(&r->row[i], "/provenance/started_utc", NULL);
        if (at == NULL) continue;
        if (first == NULL || strcmp(at, first) < 0) first = at;
        if (last == NULL || strcmp(at, last) > 0) last = at;
    }
    html_print(out, "<header><h1>morbench report</h1>\n<p class=\"summary\"><code>%s</code>: ", p->dir);
    put_counted(out, r->n_rows, "run");
    fputs(" of ", out);
    put_counted(out, r->n_models, "model");
    fputs(" on ", out);
    put_counted(out, different(r, "/env_id"), "machine");
    if (first != NULL) {
        char day[2][11];
        snprintf(day[0], sizeof day[0], "%s", first);
        snprintf(day[1], sizeof day[1], "%s", last);
        if (strcmp(day[0], day[1]) == 0) html_print(out, ", %s", day[0]);
        else                             html_print(out, ", %s to %s", day[0], day[1]);
    }
    fputs(".", out);
    if (r->n_unreadable > 0) html_print(out, " <b>%d more run.json or experiment.json could not be read and are left out.</b>", r->n_unreadable);
    fprintf(out, "</p>\n<nav aria-label=\"Sections\"><a href=\"#choice\">Which model</a> %s", r->n_answers > 0 ? "<a href=\"#answers\">What was asked</a> " : "");
    fputs("<a href=\"#figures\">Figures</a> <a href=\"#table\">All runs</a> "
          "<a href=\"#warnings\">Warnings</a> <a href=\"#runs\">Commands</a> <a href=\"#machines\">Machines</a></nav>\n</header>\n<main>\n", out);
}

static bool put_page(Page *p, Error *err) {
    if (!put_head(p, err)) return false;
    fputs("<body>\n", p->out);
    put_summary(p);
    if (!html_choices(p, err)) return false;
    answers_write_html(p->report, p->out);
    if (!html_figures(p, err) || !html_table(p, err)) return false;
    html_warnings(p);
    html_runs(p);
    html_machines(p);
    fputs("</main>\n<footer><p>Made by <code>morbench report ", p->out);
    html_shell_word(p->out, p->dir);
    fputs(" --html</code> from run.json and experiment.json files alone. Brackets: 95 % intervals, of accuracy over the choice of images (Wilson), of times over "
          "processes or samples. MACs are multiply-accumulates of matrix products and convolutions, executed ones where they were counted.</p></footer>\n<script>", p->out);
    fputs(morbench_page_script, p->out);
    fputs("</script>\n</body>\n</html>\n", p->out);
    return true;
}

bool report_write_html(const Report *r, const char *dir, int *n_figures, Error *err) {
    char   path[PATH_MAX];
    char  *text = NULL;
    size_t n    = 0;
    Page   page = {.out = open_memstream(&text, &n), .report = r, .dir = dir};
    *n_figures = 0;
    if (page.out == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a page");
    bool ok = put_page(&page, err);
    ok = (fclose(page.out) == 0 || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a page")) && ok;
    const int length = snprintf(path, sizeof path, "%s/report.html", dir);
    ok = ok && ((length > 0 && length < PATH_MAX) || FAIL(err, "", "the path of the report is too long"));
    ok = ok && file_write_durable(path, text, n, err);
    free(text);
    *n_figures = page.n_figures;
    return ok;
}
