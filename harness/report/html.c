/* Small parts of a page, see html.h. */
#include "harness/report/html.h"

#include "harness/report/escape.h"
#include "harness/report/figure.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

void html_print(FILE *out, const char *format, ...) {
    va_list v;
    va_start(v, format);
    for (const char *c = format; *c != '\0'; c++) {
        if (*c != '%') { fputc(*c, out); continue; }
        c++;
        if (*c == 's')      escape_html(out, va_arg(v, const char *));
        else if (*c == 'd') fprintf(out, "%d", va_arg(v, int));
        else                fputc(*c, out);
    }
    va_end(v);
}

void html_number(FILE *out, Form form, double v) {
    if (isfinite(v)) grid_print_number(out, form, v);
    else             fputs("&ndash;", out);
}

void html_interval(FILE *out, Form form, double v, double low, double high) {
    if (!isfinite(v) || !isfinite(low) || !isfinite(high)) return;
    fputs(" <span class=\"ci\">", out);
    grid_print_interval(out, form, v, low, high);
    fputs("</span>", out);
}

void html_badge(FILE *out, const char *verdict) {
    html_print(out, "<span class=\"badge %s\">%s</span>", verdict, verdict);
}

/* The forms of gnuplot's point types that figure_symbol gives. */
static void put_swatch(FILE *out, const Report *r, int model) {
    const unsigned colour = figure_colour(r, model);
    const int      symbol = figure_symbol(model);
    const bool     open   = symbol % 2 == 0;
    const char    *shape  = symbol == 4 || symbol == 5    ? "<rect x=\"2\" y=\"2\" width=\"8\" height=\"8\"/>"
                            : symbol == 6 || symbol == 7   ? "<circle cx=\"6\" cy=\"6\" r=\"4.4\"/>"
                            : symbol == 8 || symbol == 9   ? "<path d=\"M6 1.4 11 10H1z\"/>"
                            : symbol == 10 || symbol == 11 ? "<path d=\"M6 10.6 1 2h10z\"/>"
                            : symbol == 12 || symbol == 13 ? "<path d=\"M6 1 11 6 6 11 1 6z\"/>"
                                                           : "<path d=\"M6 1l5 3.7-1.9 5.9H2.9L1 4.7z\"/>";
    fprintf(out, "<svg class=\"swatch\" viewBox=\"0 0 12 12\" aria-hidden=\"true\"><g fill=\"%s\" stroke=\"rgb(%3u, %3u, %3u)\" stroke-width=\"1.6\" color=\"rgb(%3u, %3u, %3u)\">%s</g></svg>",
            open ? "none" : "currentColor", colour >> 16, colour >> 8 & 255u, colour & 255u, colour >> 16, colour >> 8 & 255u, colour & 255u, shape);
}

void html_model(FILE *out, const Report *r, int model, const char *text) {
    fputs("<span class=\"model\">", out);
    put_swatch(out, r, model);
    html_print(out, "<span>%s</span></span>", text != NULL ? text : r->model[model].label);
}

void html_run_link(FILE *out, const Report *r, const ReportRow *row) {
    html_print(out, "<a href=\"#r%d\"><code>%s</code></a>", (int)(row - r->row), report_run_id(row->run));
}

void html_shell_word(FILE *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%";
    if (*word != '\0' && strspn(word, plain) == strlen(word)) {
        fputs(word, out);
        return;
    }
    fputs("&#39;", out);
    for (;;) {
        const size_t n = strcspn(word, "'");
        char         part[256];
        snprintf(part, sizeof part, "%.*s", (int)(n < 255 ? n : 255), word);
        escape_html(out, part);
        word += n < 255 ? n : 255;
        if (*word == '\0') break;
        if (*word == '\'') {
            fputs("&#39;\\&#39;&#39;", out);
            word++;
        }
    }
    fputs("&#39;", out);
}

void html_command(FILE *out, const json_t *words) {
    const json_t *word;
    size_t        i;
    fputs("<code class=\"command\">morbench", out);
    json_array_foreach(words, i, word) {
        fputc(' ', out);
        html_shell_word(out, json_is_string(word) ? json_string_value(word) : "?");
    }
    fputs("</code>", out);
}

void html_base64(FILE *out, const void *bytes, size_t n) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t    *b = bytes;
    for (size_t i = 0; i < n; i += 3) {
        const size_t   left = n - i;
        const uint32_t v = (uint32_t)b[i] << 16 | (left > 1 ? (uint32_t)b[i + 1] << 8 : 0) | (left > 2 ? b[i + 2] : 0u);
        fputc(digit[v >> 18], out);
        fputc(digit[v >> 12 & 63], out);
        fputc(left > 1 ? digit[v >> 6 & 63] : '=', out);
        fputc(left > 2 ? digit[v & 63] : '=', out);
    }
}

/* -- pictures of gnuplot -- */

/* One line with the names in it made the picture's own: two pictures of a page define the same ones. */
static void put_line(FILE *out, const char *line, size_t n, const char *name) {
    static const struct { const char *from, *to; } rule[] = {
        {" id=\"", " id=\""}, {" id='", " id='"}, {"xlink:href='#", "href='#"}, {"url(#", "url(#"}};
    const char *end = line + n;
    while (line < end) {
        size_t k = 0, length = 0;
        for (; k < sizeof rule / sizeof *rule; k++) {
            length = strlen(rule[k].from);
            if ((size_t)(end - line) >= length && memcmp(line, rule[k].from, length) == 0) break;
        }
        if (k == sizeof rule / sizeof *rule) {
            fputc(*line++, out);
            continue;
        }
        fprintf(out, "%s%s-", rule[k].to, name);
        line += length;
    }
    fputc('\n', out);
}

static bool starts(const char *line, const char *text) { return strncmp(line, text, strlen(text)) == 0; }

void html_svg(FILE *out, const char *svg, const char *name, const char *style, int width, int height, const char *title, const char *description) {
    static const char first[] = "<g id=\"gnuplot_canvas\">";
    const char       *line    = strstr(svg, first);
    if (line == NULL) return;
    fprintf(out, "<svg class=\"plot %s\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-labelledby=\"%s-title %s-text\">\n", style,
            width, height, width, height, name, name);
    html_print(out, "<title id=\"%s-title\">%s</title><desc id=\"%s-text\">%s</desc>\n", name, title, name, description);
    for (const char *next; line != NULL && *line != '\0'; line = next) {
        const char  *end = strchr(line, '\n');
        const size_t n   = end != NULL ? (size_t)(end - line) : strlen(line);
        const char  *at  = line + strspn(line, " \t");
        next = end != NULL ? end + 1 : NULL;
        if (n == 0) continue;
        /* most groups hold nothing */
        if (starts(line, "<g fill=") && next != NULL && starts(next, "</g>\n")) { next += 5; continue; }
        if (starts(at, "<text")) { fwrite(line, 1, n, out); fputc('\n', out); continue; }     /* a name may look like anything */
        const char *plot = strstr(line, "><title>gnuplot_plot_");
        put_line(out, line, plot != NULL && plot < line + n ? (size_t)(plot + 1 - line) : n, name);
    }
}
