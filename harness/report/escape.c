/* Writes texts from outside into gnuplot, LaTeX, CSV, Markdown, HTML and terminals, see escape.h. */
#include "harness/report/escape.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The next harmless character into c[5]; its first byte is returned, 0 at the end. */
static char next(const char **text, char c[5]) {
    for (;;) {
        const unsigned char *s = (const unsigned char *)*text;
        int                  n = 1;
        uint32_t             code = s[0];
        memset(c, 0, 5);
        if (s[0] == 0) return 0;
        if (s[0] >= 0x80) {
            n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
            code = n == 2 ? s[0] & 0x1fu : n == 3 ? s[0] & 0x0fu : s[0] & 0x07u;
            for (int i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80) { n = 0; break; }
                code = code << 6 | (s[i] & 0x3fu);
            }
            const uint32_t least = n == 2 ? 0x80 : n == 3 ? 0x800 : 0x10000;
            if (n == 0 || code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
                *text += 1;
                return c[0] = '?';
            }
        }
        *text += n;
        if (code == '\t' || code == '\n' || code == '\r' || code == 0x2028 || code == 0x2029) return c[0] = ' ';
        if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
            (code >= 0x2066 && code <= 0x2069))
            continue;
        memcpy(c, s, (size_t)n);
        return c[0];
    }
}

void escape_gnuplot(FILE *out, const char *text) {
    char c[5];
    fputc('\'', out);
    while (next(&text, c) != 0) fputs(c[0] == '\'' ? "\xe2\x80\x99" : c[0] == '`' ? "\xe2\x80\x98" : c, out);
    fputc('\'', out);
}

void escape_latex(FILE *out, const char *text) {
    char c[5];
    while (next(&text, c) != 0) {
        switch (c[0]) {
        case '\\': fputs("\\textbackslash{}", out); break;
        case '^':  fputs("\\textasciicircum{}", out); break;
        case '~':  fputs("\\textasciitilde{}", out); break;
        case '`':  fputs("\\textasciigrave{}", out); break;
        case '<':  fputs("\\textless{}", out); break;
        case '>':  fputs("\\textgreater{}", out); break;
        case '|':  fputs("\\textbar{}", out); break;
        case '"':  fputs("\\textquotedbl{}", out); break;
        case '{': case '}': case '$': case '&': case '#': case '_': case '%': fprintf(out, "\\%s", c); break;
        case '[': case ']': case '*': fprintf(out, "{%s}", c); break; /* after the end of a line they would be its options */
        default: fputs(c, out);
        }
    }
}

void escape_csv(FILE *out, const char *text) {
    char        c[5];
    const char *first  = text + strspn(text, " \t\r\n");
    const bool  quotes = strpbrk(text, ",\"; ") != NULL || *text == '\t' || *text == '\r' || *text == '\n';
    if (quotes) fputc('"', out);
    while (next(&first, c) == ' ') {}
    if (c[0] == '=' || c[0] == '+' || c[0] == '-' || c[0] == '@') fputc('\'', out);
    while (next(&text, c) != 0) fputs(c[0] == '"' ? "\"\"" : c, out);
    if (quotes) fputc('"', out);
}

void escape_markdown(FILE *out, const char *text) {
    char c[5], last = ' ';
    while (next(&text, c) != 0) {
        const bool in_word = c[0] == '_' && isalnum((unsigned char)last) && isalnum((unsigned char)*text);
        if (c[1] == 0 && strchr("\\`*_[]<>&|~#$!", c[0]) != NULL && !in_word) fputc('\\', out);
        fputs(c, out);
        last = c[0];
    }
}

void escape_html(FILE *out, const char *text) {
    char c[5];
    while (next(&text, c) != 0) {
        switch (c[0]) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        case '\'': fputs("&#39;", out); break;
        case '`': fputs("&#96;", out); break;
        default: fputs(c, out);
        }
    }
}

void escape_terminal(FILE *out, const char *text) {
    char c[5];
    while (next(&text, c) != 0) fputs(c, out);
}

void escape_terminal_field(FILE *out, const char *text, int width) {
    escape_terminal(out, text);
    for (int i = escape_terminal_width(text); i < width; i++) fputc(' ', out);
}

int escape_terminal_width(const char *text) {
    char c[5];
    int  n = 0;
    while (next(&text, c) != 0) n++;
    return n;
}
