/* Fuzz target: any bytes as a text on its way into gnuplot, LaTeX, CSV, Markdown, HTML and a terminal. Nothing in what is written can act; and
 * read back as that language reads it, it is the text that a terminal gets. Build with -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "engine/error.h"
#include "engine/json.h"
#include "harness/report/escape.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static char *escaped(void (*escape)(FILE *out, const char *text), const char *text) {
    char  *out = NULL;
    size_t n;
    FILE  *f = open_memstream(&out, &n);
    CHECK(f != NULL, "no memory");
    escape(f, text);
    CHECK(fclose(f) == 0 && strlen(out) == n, "a zero byte was written");
    return out;
}

/* No control character of C0 or C1, nothing that turns the direction of writing, UTF-8 throughout. */
static void check_plain(const char *what, const char *text) {
    CHECK(json_is_utf8(text), "%s: not UTF-8", what);
    for (const unsigned char *s = (const unsigned char *)text; *s != '\0'; s++) {
        CHECK(*s >= 0x20 && *s != 0x7f, "%s: control character %d", what, *s);
        CHECK(*s != 0xc2 || s[1] >= 0xa0, "%s: control character of two bytes", what);
        CHECK(*s != 0xe2 || s[1] != 0x80 || s[2] < 0xa8 || s[2] > 0xae, "%s: turns the writing", what);
        CHECK(*s != 0xe2 || s[1] != 0x81 || s[2] < 0xa6 || s[2] > 0xa9, "%s: turns the writing", what);
    }
}

/* *at begins with word: goes behind it. */
static bool take(const char **at, const char *word) {
    const size_t n = strlen(word);
    if (strncmp(*at, word, n) != 0) return false;
    *at += n;
    return true;
}

typedef struct Pair { const char *written, *read; } Pair;

static const Pair html[]  = {{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&#96;", "`"}, {NULL, NULL}};
static const Pair latex[] = {{"\\textbackslash{}", "\\"}, {"\\textasciicircum{}", "^"}, {"\\textasciitilde{}", "~"}, {"\\textasciigrave{}", "`"},
                             {"\\textless{}", "<"}, {"\\textgreater{}", ">"}, {"\\textbar{}", "|"}, {"\\textquotedbl{}", "\""}, {"\\{", "{"}, {"\\}", "}"}, {"\\$", "$"},
                             {"\\&", "&"}, {"\\#", "#"}, {"\\_", "_"}, {"\\%", "%"}, {"{[}", "["}, {"{]}", "]"}, {"{*}", "*"}, {NULL, NULL}};

/* Reads what was written, by pairs and else byte by byte; a byte of `active` outside of a pair acts. */
static void check_read_back(const char *what, const char *written, const Pair *pairs, const char *active, const char *want) {
    const char *at = written, *wanted = want;
    while (*at != '\0') {
        const Pair *p = pairs;
        while (p->written != NULL && !take(&at, p->written)) p++;
        if (p->written != NULL) {
            CHECK(take(&wanted, p->read), "%s: %s in place of %.20s", what, p->written, wanted);
            continue;
        }
        CHECK(strchr(active, *at) == NULL, "%s: %c acts", what, *at);
        CHECK(*at == *wanted, "%s: other text at %.20s", what, at);
        at++;
        wanted++;
    }
    CHECK(*wanted == '\0', "%s: %.20s is missing", what, wanted);
}

static void check_gnuplot(const char *written) {
    const size_t n = strlen(written);
    CHECK(n >= 2 && written[0] == '\'' && written[n - 1] == '\'', "gnuplot: not quoted");
    CHECK(memchr(written + 1, '\'', n - 2) == NULL && memchr(written, '`', n) == NULL, "gnuplot: the quotes end early");
}

static void check_csv(const char *written, const char *want) {
    const bool  quoted = written[0] == '"';
    const char *at     = written + quoted;
    char       *cell   = malloc(strlen(written) + 1), *end = cell;
    CHECK(cell != NULL, "no memory");
    bool        closed = false;
    for (; *at != '\0'; at++) {
        if (quoted && *at == '"' && *++at == '\0') {
            closed = true;
            break;
        }
        if (quoted) CHECK(*at != '"' || at[-1] == '"', "csv: the cell ends early");
        else        CHECK(strchr(",\"", *at) == NULL, "csv: the cell ends early");
        *end++ = *at;
    }
    CHECK(closed == quoted, "csv: the quotes do not end");
    *end = '\0';
    const char *first = cell + strspn(cell, " ");
    CHECK(*first == '\0' || strchr("=+-@", *first) == NULL, "csv: computes");
    const char *text = cell;
    if (*text == '\'' && strcmp(text, want) != 0) text++;
    CHECK(strcmp(text, want) == 0, "csv: another text");
    free(cell);
}

/* Every character that means something has a backslash; an underscore inside a word means nothing. */
static void check_markdown(const char *written, const char *want) {
    const char *wanted = want;
    for (const char *at = written; *at != '\0'; at++, wanted++) {
        if (*at == '\\') at++;
        else CHECK(strchr("\\`*[]<>&|~#$!", *at) == NULL, "markdown: %c acts", *at);
        CHECK(*at == *wanted && *at != '\0', "markdown: another text");
    }
    CHECK(*wanted == '\0', "markdown: %.20s is missing", wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char *text = malloc(n + 1);
    CHECK(text != NULL, "no memory");
    memcpy(text, bytes, n);
    text[n] = '\0';
    static const struct { const char *name; void (*escape)(FILE *out, const char *text); } languages[] = {
        {"terminal", escape_terminal}, {"gnuplot", escape_gnuplot}, {"latex", escape_latex}, {"csv", escape_csv}, {"markdown", escape_markdown}, {"html", escape_html}};
    char *out[6];
    for (int i = 0; i < 6; i++) {
        out[i] = escaped(languages[i].escape, text);
        check_plain(languages[i].name, out[i]);
    }
    check_gnuplot(out[1]);
    check_read_back("latex", out[2], latex, "\\^~`<>|\"{}$&#_%[]*", out[0]);
    check_csv(out[3], out[0]);
    check_markdown(out[4], out[0]);
    check_read_back("html", out[5], html, "&<>\"'`", out[0]);
    int width = 0;
    for (const char *s = out[0]; *s != '\0'; s++) width += ((unsigned char)*s & 0xc0) != 0x80;
    CHECK(width == escape_terminal_width(text), "%d characters, said to be %d", width, escape_terminal_width(text));
    for (int i = 0; i < 6; i++) free(out[i]);
    free(text);
    return 0;
}
