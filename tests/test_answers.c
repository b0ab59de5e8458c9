/* harness/report/answers: what a report makes of an experiment's rows, on made-up runs. */
#include "tests/report_fixture.h"

#include "engine/file.h"
#include "harness/report/answers.h"
#include "harness/report/figure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char weights[65];

static int make_dir(void **state) {
    (void)state;
    memset(weights, 'a', 64);
    snprintf(dir, sizeof dir, "/tmp/morbench-answers-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void good(bool ok, const Error *err) {
    char text[900];
    if (ok) return;
    error_text(err, text, sizeof text);
    fail_msg("%s", text);
}

static void put(const char *below, const FakeRun *run) {
    char  path[192];
    Error err = {0};
    snprintf(path, sizeof path, "%s/%s", dir, below);
    good(fake_run(run, path, &err), &err);
}

static void trained(const char *below, const char *preset, int seed, int top1, double macs) {
    put(below, &(FakeRun){.kind = "train", .preset = preset, .weights = weights, .macs = macs, .top1 = top1, .seed = seed, .warn = N_WARNINGS});
}

static void write_experiment(const char *below, const char *factors, const char *cells) {
    char  path[192], *text = NULL;
    Error err = {0};
    snprintf(path, sizeof path, "%s/%sexperiment.json", dir, below);
    const int n = asprintf(&text, "{\"schema\": \"morbench.experiment/1\", \"experiment\": \"e\", \"size\": \"small\", \"question\": \"Why?\", \"caption\": \"Short.\", "
                                  "\"factors\": [{\"name\": \"cell\", \"label\": \"cell\"}, %s{\"name\": \"seed\", \"label\": \"seed\"}], \"cells\": [%s]}", factors, cells);
    assert_true(n > 0);
    good(file_write_durable(path, text, (size_t)n, &err), &err);
    free(text);
}

#define ROW(kind, factors, directory) "{\"kind\": \"" kind "\", \"factors\": {" factors "}, \"directory\": \"" directory "\"}"

static void close_to(double a, double b) {
    if (!(fabs(a - b) < 1e-9)) fail_msg("%.12g is not %.12g", a, b);
}

static void trainings_that_differ_in_their_seed_are_one_line_with_students_interval(void **state) {
    Report r;
    Error  err = {0};
    (void)state;
    trained("a1", "a", 1, 6000, 10e6);
    trained("a2", "a", 2, 6100, 10e6);
    trained("a3", "a", 3, 6200, 10e6);
    trained("b2", "b", 2, 6500, 20e6);
    trained("b3", "b", 3, 6400, 20e6);
    write_experiment("", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"a\", \"seed\": 2", "a2") ","
                             ROW("train", "\"cell\": \"a\", \"seed\": 3", "a3") "," ROW("train", "\"cell\": \"b\", \"seed\": 1", "b1") ","
                             ROW("train", "\"cell\": \"b\", \"seed\": 2", "b2") "," ROW("train", "\"cell\": \"b\", \"seed\": 3", "b3"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    assert_int_equal(r.n_answers, 1);
    const Answer *a = &r.answer[0];
    assert_int_equal(a->n_lines, 2);
    assert_int_equal(a->n_missing, 1);
    assert_string_equal(a->line[0].name, "a");
    assert_int_equal(a->line[0].n_runs, 3);
    close_to(a->line[0].top1, 0.61);
    /* t(0.975, 2) = 4.302653 times 0.01 / sqrt 3 */
    assert_true(fabs(a->line[0].top1_high - 0.61 - 4.302653*0.01/sqrt(3)) < 1e-4);
    assert_int_equal(a->line[1].n_asked, 3);
    assert_int_equal(a->line[1].n_runs, 2);
    close_to(a->line[1].top1, 0.645);
    close_to(a->line[1].macs, 20e6);
    /* seed by seed: 0.04 and 0.02, not 0.645 - 0.61 */
    assert_int_equal(a->line[1].n_pairs, 2);
    close_to(a->line[1].difference, 0.03);
    assert_true(fabs(a->line[1].difference_low - (0.03 - 12.7062*0.01)) < 1e-4);
    report_free(&r);
}

static void one_seed_has_the_interval_over_images_and_an_invalid_run_counts_as_missing(void **state) {
    Report r;
    Error  err = {0};
    (void)state;
    trained("a1", "a", 1, 6000, 10e6);
    put("b1", &(FakeRun){.kind = "train", .preset = "b", .weights = weights, .macs = 1e6, .top1 = 9000, .seed = 1, .warn = WARN_threads_short});
    write_experiment("", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"b\", \"seed\": 1", "b1"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    const AnswerLine *l = r.answer[0].line;
    close_to(l[0].top1_low, report_number(l[0].run[0]->run, "/accuracy/top1_low_ratio"));
    assert_true(isnan(l[0].difference));
    assert_int_equal(l[1].n_runs, 0);
    assert_true(isnan(l[1].top1) && isnan(l[1].macs));
    assert_int_equal(r.answer[0].n_missing, 1);
    report_free(&r);
}

static void timings_stand_beside_the_line_of_the_same_factors_below_their_condition(void **state) {
    Report r;
    Error  err = {0};
    (void)state;
    trained("r1", "a", 1, 6000, 10e6);
    trained("r2", "b", 1, 6000, 20e6);
    put("t2", &(FakeRun){.kind = "bench", .preset = "b", .weights = weights, .macs = 20e6, .batch = 16, .latency_ms = 7, .warn = N_WARNINGS});
    write_experiment("", "{\"name\": \"recursions\", \"label\": \"R\"},",
                     ROW("train", "\"cell\": \"a\", \"recursions\": 1, \"seed\": 1", "r1") "," ROW("train", "\"cell\": \"a\", \"recursions\": 2, \"seed\": 1", "r2") ","
                     ROW("bench", "\"cell\": \"a\", \"recursions\": 2, \"batch\": 16, \"threads\": 2, \"pass\": \"forward\"", "t2"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    const Answer *a = &r.answer[0];
    assert_int_equal(a->n_lines, 2);
    assert_int_equal(a->n_timings, 1);
    assert_int_equal(a->timing[0].batch, 16);
    assert_string_equal(a->line[1].name, "a, R 2");
    assert_null(a->line[0].timed[0]);
    assert_non_null(a->line[1].timed[0]);
    report_free(&r);
}

static void evaluations_are_lines_of_their_own_named_by_what_the_test_varies(void **state) {
    Report r;
    Error  err = {0};
    (void)state;
    trained("a1", "a", 1, 6000, 10e6);
    put("e1", &(FakeRun){.kind = "eval", .preset = "a", .weights = weights, .macs = 5e6, .top1 = 4000, .warn = N_WARNINGS});
    write_experiment("", "{\"name\": \"evaluation\", \"label\": \"evaluation\"}, {\"name\": \"test_recursions\", \"label\": \"R\", \"test_time\": true},",
                     ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1") ","
                     ROW("eval", "\"cell\": \"a\", \"seed\": 1, \"evaluation\": \"depth\", \"test_recursions\": 2", "e1"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    assert_int_equal(r.answer[0].n_lines, 2);
    assert_string_equal(r.answer[0].line[1].name, "a, test-time R 2");
    close_to(r.answer[0].line[1].macs, 5e6);
    report_free(&r);
}

/* One cell of two lines, one of one line, and a test of the second line. */
static void a_line_is_held_against_its_cells_first_an_evaluation_against_its_training_and_differences_are_corrected_together(void **state) {
    static const int top1[][3] = {{5000, 5100, 5200}, {6000, 6101, 6199}, {5050, 5300, 5100}, {5800, 5903, 5997}};
    static const char *const name[] = {"a1", "a2", "b", "e"};
    static const int         base[] = {-1, 0, 0, 1};
    char  *cells = NULL;
    size_t n = 0;
    Report r;
    Error  err = {0};
    (void)state;
    FILE *f = open_memstream(&cells, &n);
    for (int i = 0; i < 4; i++)
        for (int seed = 1; seed <= 3; seed++) {
            char below[16];
            snprintf(below, sizeof below, "%s%d", name[i], seed);
            if (i < 3) trained(below, name[i], seed, top1[i][seed - 1], 10e6);
            else put(below, &(FakeRun){.kind = "eval", .preset = "a2", .weights = weights, .macs = 5e6, .top1 = top1[i][seed - 1], .warn = N_WARNINGS});
            fprintf(f, "%s{\"kind\": \"%s\", \"factors\": {\"cell\": \"%s\", ", i + seed > 1 ? "," : "", i < 3 ? "train" : "eval", i == 2 ? "b" : "a");
            if (i != 2) fprintf(f, "\"w\": %d, ", i > 0 ? 2 : 1);
            fprintf(f, "%s\"seed\": %d}, \"directory\": \"%s\"}", i == 3 ? "\"evaluation\": \"depth\", \"test_w\": 1, " : "", seed, below);
        }
    fclose(f);
    write_experiment("", "{\"name\": \"w\", \"label\": \"w\"}, {\"name\": \"evaluation\", \"label\": \"evaluation\"}, {\"name\": \"test_w\", \"label\": \"w\", \"test_time\": true},", cells);
    free(cells);
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    const Answer *a = &r.answer[0];
    assert_int_equal(a->n_lines, 4);
    for (int i = 0; i < 4; i++) assert_int_equal(a->line[i].base, base[i]);
    assert_int_equal(a->n_differences, 3);
    assert_true(isnan(a->line[0].p) && a->line[1].p < 0.001 && a->line[2].p > 0.3 && a->line[3].p < 0.001);
    close_to(a->line[3].difference, -0.02);
    assert_true(a->line[1].p_corrected >= 2*a->line[1].p && a->line[2].p_corrected == a->line[2].p);        /* Holm: times 3, 2, 1 by size */
    char *text = NULL;
    f = open_memstream(&text, &n);
    answers_write_md(&r, f);
    fclose(f);
    const char *second = strstr(text, "| b "), *first = strstr(text, "| a, w 2 ");
    assert_non_null(first);
    assert_non_null(second);
    assert_non_null(strstr(text, "| base |"));
    assert_true(strstr(first, " \\*") < strchr(first, '\n') && strstr(first, " \\*") != NULL);
    assert_true(strstr(second, " \\*") == NULL || strstr(second, " \\*") > strchr(second, '\n'));
    free(text);
    report_free(&r);
}

/* The second line predicts what the first does; the third is as often right by other predictions. */
static void what_predicts_the_same_as_its_base_is_no_comparison(void **state) {
    char  *text = NULL;
    size_t n = 0;
    Report r;
    Error  err = {0};
    (void)state;
    for (int i = 0; i < 6; i++) {
        const char *said[] = {"01", "02", "01", "02", "01", "f2"};
        char        below[8];
        snprintf(below, sizeof below, "%c%d", 'a' + i/2, i % 2 + 1);
        put(below, &(FakeRun){.kind = "train", .preset = below, .weights = weights, .macs = 1e6, .top1 = 6000 + (i >= 4 ? 1 - i % 2 : i % 2), .predictions = said[i], .seed = i % 2 + 1, .warn = N_WARNINGS});
    }
    write_experiment("", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"a\", \"seed\": 2", "a2") ","
                             ROW("train", "\"cell\": \"b\", \"seed\": 1", "b1") "," ROW("train", "\"cell\": \"b\", \"seed\": 2", "b2") ","
                             ROW("train", "\"cell\": \"c\", \"seed\": 1", "c1") "," ROW("train", "\"cell\": \"c\", \"seed\": 2", "c2"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    const Answer *a = &r.answer[0];
    assert_int_equal(a->n_lines, 3);
    assert_true(a->line[1].same && a->line[1].n_pairs == 2 && a->line[1].difference == 0 && isnan(a->line[1].p));
    assert_true(!a->line[2].same && a->line[2].n_pairs == 2 && a->line[2].difference == 0 && isfinite(a->line[2].p));
    assert_int_equal(a->n_differences, 1);
    FILE *f = open_memstream(&text, &n);
    answers_write_md(&r, f);
    fclose(f);
    const char *line = strstr(text, "| b ");
    assert_non_null(line);
    assert_true(strstr(line, "| the same |") < strchr(line, '\n') && strstr(line, "| the same |") != NULL);
    free(text);
    report_free(&r);
}

static void one_number_is_one_line_however_it_is_written(void **state) {
    Report r;
    Error  err = {0};
    (void)state;
    trained("a1", "a", 1, 6000, 10e6);
    trained("a2", "a", 2, 6100, 10e6);
    write_experiment("", "{\"name\": \"w\", \"label\": \"w\"},",
                     ROW("train", "\"cell\": \"a\", \"w\": 0, \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"a\", \"w\": 0.0, \"seed\": 2", "a2"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    assert_int_equal(r.answer[0].n_lines, 1);
    assert_int_equal(r.answer[0].line[0].n_runs, 2);
    report_free(&r);
}

static void a_run_or_seed_named_twice_counts_once(void **state) {
    Report r;
    Error  err = {0};
    (void)state;
    trained("a1", "a", 1, 6000, 10e6);
    trained("a2", "a", 2, 6100, 10e6);
    write_experiment("", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"a\", \"seed\": 3", "a1") ","
                             ROW("train", "\"cell\": \"a\", \"seed\": 1", "a2") "," ROW("train", "\"cell\": \"a\", \"seed\": \"x\"", "a2"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    assert_int_equal(r.answer[0].line[0].n_runs, 2);
    assert_int_equal(r.answer[0].n_double, 2);
    assert_int_equal(r.answer[0].line[0].seed[1], -1);         /* no seed to pair by */
    report_free(&r);
}

static void every_condition_of_timing_has_its_column(void **state) {
    char  *cells = NULL;
    size_t n = 0;
    Report r;
    Error  err = {0};
    (void)state;
    FILE *f = open_memstream(&cells, &n);
    for (int i = 1; i <= 20; i++) {
        char below[16];
        snprintf(below, sizeof below, "t%d", i);
        put(below, &(FakeRun){.kind = "bench", .preset = "b", .weights = weights, .macs = 20e6, .batch = i, .latency_ms = 7, .warn = N_WARNINGS});
        fprintf(f, "%s" ROW("bench", "\"cell\": \"a\", \"batch\": %d, \"threads\": 2, \"pass\": \"%s\"", "%s"), i > 1 ? "," : "", i, i % 2 ? "forward" : "train_step", below);
    }
    fclose(f);
    write_experiment("", "", cells);
    free(cells);
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    assert_int_equal(r.answer[0].n_timings, 20);
    for (int k = 0; k < 20; k++) assert_non_null(r.answer[0].line[0].timed[k]);
    assert_true(r.answer[0].timing[1].train_step);
    report_free(&r);
}

/* The script of picture k. */
static char *drawn(const Report *r, int k) {
    Figure      f;
    Error       err = {0};
    const Plot *plot = report_plots[0];
    assert_string_equal(plot->name, "answers");
    good(figure_begin(&f, r, false, &err), &err);
    assert_true(plot->write(&f, k));
    good(figure_end(&f, plot, true, &err), &err);
    char *text = strdup(f.text);
    figure_free(&f);
    return text;
}

static void has_text(const char *script, const char *wanted) {
    if (strstr(script, wanted) == NULL) fail_msg("no \"%s\" in the script: %.3000s", wanted, script);
}

/* Two cells varied along R, one of them by W too; a third without R. */
static void pictures_are_along_each_number_and_of_names_where_some_line_is_in_none(void **state) {
    static const struct { const char *below, *factors; int top1; } rows[] = {
        {"p1", "\"cell\": \"p\", \"R\": 1", 5000}, {"p2", "\"cell\": \"p\", \"R\": 2", 6000},
        {"q1", "\"cell\": \"q\", \"R\": 1, \"W\": 8", 5100}, {"q2", "\"cell\": \"q\", \"R\": 2, \"W\": 8", 6100},
        {"q3", "\"cell\": \"q\", \"R\": 1, \"W\": 9", 5200}, {"q4", "\"cell\": \"q\", \"R\": 2, \"W\": 9", 6200},
        {"d", "\"cell\": \"50 % dense\"", 7000}};
    char  *cells = NULL;
    size_t n = 0;
    Report r;
    Error  err = {0};
    (void)state;
    FILE *f = open_memstream(&cells, &n);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        trained(rows[i].below, rows[i].below, 1, rows[i].top1, 10e6);
        fprintf(f, "%s" ROW("train", "%s, \"seed\": 1", "%s"), i > 0 ? "," : "", rows[i].factors, rows[i].below);
    }
    fclose(f);
    write_experiment("", "{\"name\": \"R\", \"label\": \"R\"}, {\"name\": \"W\", \"label\": \"W\"},", cells);
    free(cells);
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    assert_int_equal(report_plots[0]->count(&r), 3);
    char *along_r = drawn(&r, 0), *along_w = drawn(&r, 1), *names = drawn(&r, 2);
    has_text(along_r, "n_series = 3\n");
    has_text(along_r, "label[1] = 'p'\n");
    has_text(along_r, "label[2] = 'q, W 8'\n");
    has_text(along_r, "factor = 'R'\n");
    has_text(along_w, "n_series = 2\n");
    has_text(along_w, "label[2] = 'q, R 2'\n");
    has_text(names, "n_series = 7\n");
    has_text(names, "label[7] = '50 % dense'\n");
    has_text(names, "tic[7] = '50 %% dense'\n");              /* gnuplot takes tics for formats */
    has_text(names, "caption[1] = 'Short.'\n");
    free(along_r);
    free(along_w);
    free(names);
    report_free(&r);
}

/* All seeds at chance: an axis that is empty would end gnuplot, and with it every figure. */
static void gnuplot_takes_pictures_of_equal_accuracies(void **state) {
    Report r;
    Error  err = {0};
    int    n_plots = 0;
    (void)state;
    if (system("command -v gnuplot >/dev/null") != 0) skip();
    for (int i = 1; i <= 6; i++) {
        char below[16];
        snprintf(below, sizeof below, "a%d", i);
        trained(below, i % 2 ? "a" : "b", (i + 1)/2, 1000, 10e6);
    }
    write_experiment("", "", ROW("train", "\"cell\": \"a %s\", \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"a %s\", \"seed\": 2", "a3") ","
                             ROW("train", "\"cell\": \"b\", \"seed\": 1", "a2") "," ROW("train", "\"cell\": \"b\", \"seed\": 2", "a4"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err) && report_write_plots(&r, dir, &n_plots, &err), &err);
    char path[192];
    snprintf(path, sizeof path, "%s/plots/answers.svg", dir);
    assert_int_equal(access(path, R_OK), 0);
    report_free(&r);
}

static void an_experiment_below_is_found_and_a_damaged_one_left_out(void **state) {
    char   path[192];
    Report r;
    Error  err = {0};
    (void)state;
    trained("x/a1", "a", 1, 6000, 10e6);
    trained("v/a1", "a", 1, 6000, 10e6);
    write_experiment("x/", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1"));
    snprintf(path, sizeof path, "%s/v/experiment.json", dir);
    good(file_write_durable(path, "{\"schema\": \"other\"}", 19, &err), &err);
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err), &err);
    assert_int_equal(r.n_answers, 1);
    assert_string_equal(r.answer[0].dir, "x");
    assert_int_equal(r.answer[0].line[0].n_runs, 1);
    assert_int_equal(r.n_unreadable, 1);
    report_free(&r);
}

static void tables_have_the_question_the_caption_and_every_line(void **state) {
    char   path[192];
    Report r;
    Error  err = {0};
    void  *bytes = NULL;
    size_t n = 0;
    (void)state;
    trained("a1", "a", 1, 6000, 10e6);
    write_experiment("", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1"));
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err) && report_write_tables(&r, dir, REPORT_MD | REPORT_CSV | REPORT_TEX | REPORT_JSON, &err), &err);
    report_free(&r);
    const struct { const char *file, *text; } wanted[] = {
        {"table.md", "Why?"}, {"table.md", "Note: Short."}, {"table.md", "60.00 \\[59.04, 60.96\\], 1 seed"}, {"table.tex", "\\emph{Short.}"},
        {"answers.csv", "e,small,a,top1_ratio,0.59999999999999998,"}, {"table.json", "\"experiment\": \"e\""}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, wanted[i].file);
        good(file_read_all(path, SIZE_MAX, &bytes, &n, &err), &err);
        char *text = strndup(bytes, n);
        if (strstr(text, wanted[i].text) == NULL) fail_msg("%s has no %s: %s", wanted[i].file, wanted[i].text, text);
        free(text);
        free(bytes);
    }
}

static char *table_of(const char *file) {
    char   path[192];
    Report r;
    Error  err = {0};
    void  *bytes = NULL;
    size_t n = 0;
    good(report_read(&r, dir, &err) && answers_make(&r, dir, &err) && report_write_tables(&r, dir, REPORT_MD | REPORT_TEX, &err), &err);
    report_free(&r);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    good(file_read_all(path, SIZE_MAX, &bytes, &n, &err), &err);
    char *text = strndup(bytes, n);
    free(bytes);
    return text;
}

static void a_line_without_any_run_is_named_below_the_table_where_others_have_some(void **state) {
    (void)state;
    trained("b1", "b", 1, 6000, 10e6);
    trained("d1", "d", 1, 6000, 10e6);
    write_experiment("", "", ROW("train", "\"cell\": \"a_1\", \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"b\", \"seed\": 1", "b1") ","
                             ROW("train", "\"cell\": \"c\", \"seed\": 1", "c1") "," ROW("train", "\"cell\": \"d\", \"seed\": 1", "d1"));
    char *md = table_of("table.md"), *tex = table_of("table.tex");
    assert_non_null(strstr(md, "- Without a run that counts: a_1; c.\n"));
    assert_non_null(strstr(md, "\n| b |"));
    assert_non_null(strstr(md, "\n| d |"));
    assert_null(strstr(md, "\n| a_1 |"));
    assert_null(strstr(md, "\n| c |"));
    /* the comment above a row is of its own line's runs */
    const char *first = strstr(tex, "% runs"), *row = first != NULL ? strchr(first, '\n') : NULL;
    assert_true(row != NULL && strncmp(row, "\nb &", 4) == 0);
    assert_non_null(strstr(tex, "Without a run that counts: a\\_1; c.\\\\\n"));
    free(md);
    free(tex);
}

static void an_experiment_without_any_run_shows_all_that_it_asks_for(void **state) {
    (void)state;
    trained("elsewhere", "z", 1, 6000, 10e6);
    write_experiment("", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1") "," ROW("train", "\"cell\": \"b\", \"seed\": 1", "b1"));
    char *md = table_of("table.md");
    assert_non_null(strstr(md, "\n| a |\n| b |\n"));
    assert_null(strstr(md, "Without a run"));
    free(md);
}

int main(void) {
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        CLAIM(trainings_that_differ_in_their_seed_are_one_line_with_students_interval),
        CLAIM(one_seed_has_the_interval_over_images_and_an_invalid_run_counts_as_missing),
        CLAIM(timings_stand_beside_the_line_of_the_same_factors_below_their_condition),
        CLAIM(evaluations_are_lines_of_their_own_named_by_what_the_test_varies),
        CLAIM(a_line_is_held_against_its_cells_first_an_evaluation_against_its_training_and_differences_are_corrected_together),
        CLAIM(what_predicts_the_same_as_its_base_is_no_comparison),
        CLAIM(one_number_is_one_line_however_it_is_written),
        CLAIM(a_run_or_seed_named_twice_counts_once),
        CLAIM(every_condition_of_timing_has_its_column),
        CLAIM(pictures_are_along_each_number_and_of_names_where_some_line_is_in_none),
        CLAIM(gnuplot_takes_pictures_of_equal_accuracies),
        CLAIM(an_experiment_below_is_found_and_a_damaged_one_left_out),
        CLAIM(tables_have_the_question_the_caption_and_every_line),
        CLAIM(a_line_without_any_run_is_named_below_the_table_where_others_have_some),
        CLAIM(an_experiment_without_any_run_shows_all_that_it_asks_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
