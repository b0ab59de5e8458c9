/* Texts from outside (names, labels, paths) on their way into another language: written so that the reader of that
 * language sees the same text and nothing of it acts.
 *
 * Common to all: control characters go (tab and line ends become a blank), bytes that are not UTF-8 become '?', and
 * characters that turn the direction of writing (U+202A..E, U+2066..9) are dropped. Nothing is cut: everything goes to
 * a stream, so that no escape is ever halved. */
#ifndef HARNESS_ESCAPE_H
#define HARNESS_ESCAPE_H

#include <stdio.h>

/* A single-quoted gnuplot string, quotes included. Double quotes would run what stands in backquotes; single-quoted
 * strings are inert. An apostrophe inside becomes U+2019 instead of being doubled: gnuplot 5.4 refuses strings with two
 * of them in a row, or one that comes first. A backquote becomes U+2018. The terminal must be "noenhanced". */
void escape_gnuplot(FILE *out, const char *text);

/* LaTeX text for a cell of a table. */
void escape_latex(FILE *out, const char *text);

/* One CSV cell (RFC 4180), quoted where needed. A first character that makes a spreadsheet compute (= + - @) gets an
 * apostrophe before it. Not for numbers. */
void escape_csv(FILE *out, const char *text);

/* Inline Markdown, fit for a cell of a table. Underscores inside words stay, since they mean nothing there. */
void escape_markdown(FILE *out, const char *text);

/* HTML text, and inside a double-quoted attribute. */
void escape_html(FILE *out, const char *text);

/* For a terminal. */
void escape_terminal(FILE *out, const char *text);

/* The same, filled with blanks to a width. */
void escape_terminal_field(FILE *out, const char *text, int width);

/* Characters (not bytes) that the above would show. */
int escape_terminal_width(const char *text);

#endif
