/* harness/report/figure: legends and axes that can be read whatever is in them. */
#include "harness/report/figure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void good(bool ok, const Error *err) {
    if (!ok) fail_msg("%s %s", err->field, err->message);
}

/* Texts of the picture that end in it; what a series is called without being shown stands elsewhere. */
static int n_shown(const char *svg, const char *label) {
    char text[600];
    int  n = 0;
    snprintf(text, sizeof text, "%s</text>", label);
    for (const char *at = svg; (at = strstr(at, text)) != NULL; at++) n++;
    return n;
}

/* A picture of n series with labels of so many letters (or characters of double width), numbered at their end, or in the middle of long ones;
 * returns how many different ones can be read. */
static int legend(int n, int letters, bool narrow, bool wide_letters, bool middle) {
    static const Plot plot = {.name = "test", .title = "A test", .drawing = "eval panels(1)\nset yrange [0:1]\nset xrange [0:1]\n"
                                                                            "plot for [i=1:n_series] NaN with linespoints title label[i]\nunset multiplot\n"};
    Report r     = {0};
    Error  err   = {0};
    Figure f;
    void  *svg   = NULL;
    size_t bytes = 0;
    int    shown = 0;
    good(figure_begin(&f, &r, narrow, &err), &err);
    figure_series(&f, n);
    for (int i = 0; i < n; i++) {
        char label[400] = "";
        for (int k = 0; k < letters; k++) {
            if (k == (middle ? letters/2 : letters - 2)) snprintf(label + strlen(label), 8, "%02d", i);
            else if (k != (middle ? letters/2 : letters - 2) + 1) strcat(label, wide_letters ? "\xe6\xbc\xa2" : (char[]){(char)('a' + k%26), '\0'});
        }
        figure_label(&f, i, label);
        figure_paint(&f, i, 0x404040, 5, 1);
    }
    figure_size(&f, 860, 1, 200);
    good(figure_end(&f, &plot, true, &err), &err);
    good(figure_draw(&f, "svg", &svg, &bytes, &err), &err);
    char *text = strndup(svg, bytes);
    for (int i = 0; i < n; i++) {
        bool first = true;
        for (int k = 0; k < i; k++) first = first && strcmp(f.label[k], f.label[i]) != 0;
        shown += first && n_shown(text, f.label[i]) == 1;
    }
    free(text);
    free(svg);
    figure_free(&f);
    return shown;
}

static void a_legend_shows_every_series_however_long_its_name(void **state) {
    (void)state;
    if (system("command -v gnuplot >/dev/null") != 0) skip();
    for (int n = 1; n <= FIGURE_MAX_SERIES; n += n < 4 ? 1 : 5)
        for (int letters = 5; letters <= 125; letters += 24)
            for (int how = 0; how < 8; how++) {
                const bool narrow = how & 1, wide = how & 2, middle = how & 4;
                const int  shown = legend(n, letters, narrow, wide, middle);
                if (shown != n)
                    fail_msg("%d of %d series with %d %scharacters each, told apart %s, are in the legend of a %s picture", shown, n, letters, wide ? "wide " : "",
                             middle ? "in the middle" : "at the end", narrow ? "narrow" : "wide");
            }
}

static void a_name_is_shortened_in_its_middle_between_characters(void **state) {
    (void)state;
    char whole[] = "short", text[] = "abcdefghijklmnopqrstuvwxyz", umlauts[] = "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4";
    figure_shorten(whole, 5);
    assert_string_equal(whole, "short");
    figure_shorten(text, 12);
    assert_string_equal(text, "abcd...vwxyz");
    figure_shorten(umlauts, 13);
    assert_string_equal(umlauts, "\xc3\xa4\xc3\xb6...\xc3\xbc\xc3\xa4");
}

static void an_axis_from_zero_has_four_to_seven_steps(void **state) {
    (void)state;
    for (double most = 1e-6; most < 1e9; most *= 1.03) {
        const double step = figure_step(most), n = ceil(most/step - 1e-9);
        if (!(n >= 4 && n <= 7)) fail_msg("%g is %g steps of %g", most, n, step);
    }
    for (double decade = 1e-6; decade < 1e9; decade *= 10)
        for (int k = 2; k < 40; k++) {
            const double most = decade*k/2, n = ceil(most/figure_step(most) - 1e-9);
            if (!(n >= 4 && n <= 7)) fail_msg("%g is %g steps of %g", most, n, figure_step(most));
        }
    assert_true(figure_step(0) > 0 && figure_step(NAN) > 0 && figure_step(INFINITY) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_legend_shows_every_series_however_long_its_name),
        cmocka_unit_test(a_name_is_shortened_in_its_middle_between_characters),
        cmocka_unit_test(an_axis_from_zero_has_four_to_seven_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
