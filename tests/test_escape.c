/* harness/escape: hostile texts in every language we write, and the real gnuplot as judge of its own. */
#include "harness/report/escape.h"
#include "harness/report/gnuplot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef void Escape(FILE *out, const char *text);

static void expect(Escape *escape, const char *text, const char *expected) {
    char  *got = NULL;
    size_t n;
    FILE  *f = open_memstream(&got, &n);
    assert_non_null(f);
    escape(f, text);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(got, expected);
    free(got);
}

static void gnuplot_strings_are_single_quoted_without_backquotes(void **state) {
    (void)state;
    expect(escape_gnuplot, "vit_d96_l6", "'vit_d96_l6'");
    expect(escape_gnuplot, "it's `id`", "'it\xe2\x80\x99s \xe2\x80\x98id\xe2\x80\x98'");
    expect(escape_gnuplot, "a\nset output 'x'", "'a set output \xe2\x80\x99x\xe2\x80\x99'");
    expect(escape_gnuplot, "\x1b[2J\x01", "'[2J'");
}

static void control_characters_and_broken_utf8_reach_nobody(void **state) {
    (void)state;
    expect(escape_terminal, "a\x1b]0;title\x07z\x7f", "a]0;titlez");
    expect(escape_terminal, "\xc2\x9b" "31m", "31m");                          /* C1: one-byte escape of some terminals */
    expect(escape_terminal, "\xe2\x80\xaegnp.exe", "gnp.exe");                 /* right-to-left override */
    expect(escape_terminal, "caf\xc3\xa9 \xff\xc0\xaf", "caf\xc3\xa9 ???");    /* c0 af: an overlong '/' */
    expect(escape_terminal, "\xed\xa0\x80", "???");                            /* a surrogate */
    expect(escape_terminal, "\xe2\x82", "??");                                 /* cut short */
    expect(escape_terminal, "tab\tline\nend", "tab line end");
    assert_int_equal(escape_terminal_width("caf\xc3\xa9\x1b \xff"), 6);
}

static void latex_commands_are_texts(void **state) {
    (void)state;
    expect(escape_latex, "\\input{/etc/passwd}", "\\textbackslash{}input\\{/etc/passwd\\}");
    expect(escape_latex, "50% & $x_1^2$ #~`", "50\\% \\& \\$x\\_1\\textasciicircum{}2\\$ \\#\\textasciitilde{}\\textasciigrave{}");
    expect(escape_latex, "[1ex] *", "{[}1ex{]} {*}");
}

static void html_is_text_in_an_element_and_in_an_attribute(void **state) {
    (void)state;
    expect(escape_html, "<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;");
    expect(escape_html, "\" onload='x' `y` &amp;", "&quot; onload=&#39;x&#39; &#96;y&#96; &amp;amp;");
    expect(escape_html, "caf\xc3\xa9\n\x1b<", "caf\xc3\xa9 &lt;");
}

static void fields_are_as_wide_as_they_look(void **state) {
    char  *got = NULL;
    size_t n;
    FILE  *f = open_memstream(&got, &n);
    (void)state;
    assert_non_null(f);
    escape_terminal_field(f, "caf\xc3\xa9\x1b", 6);
    escape_terminal_field(f, "longer", 2);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(got, "caf\xc3\xa9  longer");
    free(got);
}

static void spreadsheets_compute_nothing(void **state) {
    (void)state;
    expect(escape_csv, "=HYPERLINK(1)", "'=HYPERLINK(1)");
    expect(escape_csv, "+1", "'+1");
    expect(escape_csv, "-1", "'-1");
    expect(escape_csv, "@SUM(A1)", "'@SUM(A1)");
    expect(escape_csv, "\t=1", "\"' =1\"");
    expect(escape_csv, "  =1", "\"'  =1\"");
    expect(escape_csv, "\x01=1", "'=1");
    expect(escape_csv, "a,\"b\"", "\"a,\"\"b\"\"\"");
    expect(escape_csv, "two\nlines", "two lines");
    expect(escape_csv, "vit-d96=x", "vit-d96=x");
}

static void markdown_is_neither_markup_nor_html_nor_a_new_cell(void **state) {
    (void)state;
    expect(escape_markdown, "a|b", "a\\|b");
    expect(escape_markdown, "<script>alert(1)</script>", "\\<script\\>alert(1)\\</script\\>");
    expect(escape_markdown, "[x](http://y) ![i](z)", "\\[x\\](http://y) \\!\\[i\\](z)");
    expect(escape_markdown, "*b* _i_ `c`", "\\*b\\* \\_i\\_ \\`c\\`");
    expect(escape_markdown, "vit_d96_l6", "vit_d96_l6");
    expect(escape_markdown, "row\n|new|", "row \\|new\\|");
}

/* -- the real gnuplot -- */

static char dir[64];

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/morbench-escape-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static bool no_gnuplot(void) {
    static const char script[] = "set terminal svg\nplot x\n";
    void  *out = NULL;
    size_t n;
    Error  err = {0};
    const bool ok = gnuplot_run(script, sizeof script - 1, 30, &out, &n, &err);
    free(out);
    return !ok && err.exit_status == EXIT_MACHINE;
}

static bool exists(const char *name) {
    char        path[128];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return lstat(path, &s) == 0;
}

typedef void Quote(FILE *out, const char *text);

static void in_double_quotes(FILE *out, const char *text) { fprintf(out, "\"%s\"", text); }

/* Plots with label as title, axis label, label and legend. */
static bool plot_with(const char *label, Quote *quote, void **svg, size_t *n_svg, Error *err) {
    char  *script = NULL;
    size_t n;
    FILE  *f = open_memstream(&script, &n);
    assert_non_null(f);
    fputs("set terminal svg noenhanced\n", f);
    static const char *const uses[] = {"set title ", "set xlabel ", "set label ", "array label[1]\nlabel[1] = "};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        fputs(uses[i], f);
        quote(f, label);
        fputs(i == 2 ? " at graph 0, graph 0\n" : "\n", f);
    }
    fputs("$data << END\n1 2\nEND\nplot $data using 1:2 with points title label[1]\n", f);
    assert_int_equal(fclose(f), 0);
    const bool ok = gnuplot_run(script, n, 30, svg, n_svg, err);
    free(script);
    return ok;
}

static void hostile_labels_run_no_command_in_gnuplot(void **state) {
    (void)state;
    if (no_gnuplot()) skip();
    static const char *const hostile[] = {
        "`touch %s/pwned`", "a''; system(\"touch %s/pwned\"); #", "'; system('touch %s/pwned'); '", "\"; system(\"touch %s/pwned\"); \"", "\n!touch %s/pwned\n",
        "'\n!touch %s/pwned\n'", "$(touch %s/pwned)", "END\n!touch %s/pwned\n", "| touch %s/pwned", "< touch %s/pwned", "\\'; system('touch %s/pwned') #",
        "x' at 0,0; set output '|touch %s/pwned'; #", "@GPVAL_X_MIN `touch %s/pwned` \\", "%%s %%n`touch %s/pwned`",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        char   label[256];
        void  *svg = NULL;
        size_t n   = 0;
        Error  err = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(label, sizeof label, hostile[i], dir);
#pragma GCC diagnostic pop
        if (!plot_with(label, escape_gnuplot, &svg, &n, &err)) fail_msg("label %zu: %s", i, err.message);
        if (exists("pwned")) fail_msg("label %zu ran a command", i);
        free(svg);
    }
}

static void the_hole_is_real_and_this_test_would_see_it(void **state) {
    (void)state;
    if (no_gnuplot()) skip();
    char   label[128];
    void  *svg = NULL;
    size_t n   = 0;
    Error  err = {0};
    snprintf(label, sizeof label, "`touch %s/pwned`", dir);
    plot_with(label, in_double_quotes, &svg, &n, &err);
    assert_true(exists("pwned"));
    free(svg);
}

static void labels_with_markup_stay_text_in_svg(void **state) {
    (void)state;
    if (no_gnuplot()) skip();
    void  *svg = NULL;
    size_t n   = 0;
    Error  err = {0};
    assert_true(plot_with("<script>alert('x')</script>&", escape_gnuplot, &svg, &n, &err));
    assert_null(memmem(svg, n, "<script", 7));
    assert_non_null(memmem(svg, n, "&lt;script", 10));
    free(svg);
}

static void gnuplots_complaints_and_delays_are_errors(void **state) {
    (void)state;
    if (no_gnuplot()) skip();
    void  *out = NULL;
    size_t n   = 0;
    Error  err = {0};
    const char wrong[] = "set terminal svg\nplot no_such_thing(x)\n", slow[] = "set terminal svg\npause 20\nplot x\n", silent[] = "a = 1\n";
    assert_false(gnuplot_run(wrong, sizeof wrong - 1, 30, &out, &n, &err));
    assert_non_null(strstr(err.message, "no_such_thing"));
    assert_false(gnuplot_run(slow, sizeof slow - 1, 1, &out, &n, &err));
    assert_non_null(strstr(err.message, "over 1 seconds"));
    assert_int_equal(err.exit_status, EXIT_IO);
    assert_false(gnuplot_run(silent, sizeof silent - 1, 30, &out, &n, &err));
}

static void without_gnuplot_the_machine_is_said_to_lack_it(void **state) {
    (void)state;
    char   kept[4096], *path = getenv("PATH");
    void  *out = NULL;
    size_t n   = 0;
    Error  err = {0};
    snprintf(kept, sizeof kept, "%s", path != NULL ? path : "");
    setenv("PATH", dir, 1);
    const bool ok = gnuplot_run("plot x\n", 7, 30, &out, &n, &err);
    setenv("PATH", kept, 1);
    assert_false(ok);
    assert_int_equal(err.exit_status, EXIT_MACHINE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gnuplot_strings_are_single_quoted_without_backquotes),
        cmocka_unit_test(control_characters_and_broken_utf8_reach_nobody),
        cmocka_unit_test(latex_commands_are_texts),
        cmocka_unit_test(html_is_text_in_an_element_and_in_an_attribute),
        cmocka_unit_test(fields_are_as_wide_as_they_look),
        cmocka_unit_test(spreadsheets_compute_nothing),
        cmocka_unit_test(markdown_is_neither_markup_nor_html_nor_a_new_cell),
        cmocka_unit_test(hostile_labels_run_no_command_in_gnuplot),
        cmocka_unit_test(the_hole_is_real_and_this_test_would_see_it),
        cmocka_unit_test(labels_with_markup_stay_text_in_svg),
        cmocka_unit_test(gnuplots_complaints_and_delays_are_errors),
        cmocka_unit_test(without_gnuplot_the_machine_is_said_to_lack_it),
    };
    return cmocka_run_group_tests_name("escape", tests, make_dir, remove_dir);
}
