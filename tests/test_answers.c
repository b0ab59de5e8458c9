/* harness/report/answers: what a report makes of an experiment's rows, on made-up runs. */
#include "tests/report_fixture.h"

#include "engine/file.h"
#include "harness/report/answers.h"

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
    good(report_read(&r, dir, &err), &err);
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
    good(report_read(&r, dir, &err), &err);
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
    good(report_read(&r, dir, &err), &err);
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
    write_experiment("", "{\"name\": \"evaluation\", \"label\": \"evaluation\"}, {\"name\": \"test_recursions\", \"label\": \"R\"},",
                     ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1") ","
                     ROW("eval", "\"cell\": \"a\", \"seed\": 1, \"evaluation\": \"depth\", \"test_recursions\": 2", "e1"));
    good(report_read(&r, dir, &err), &err);
    assert_int_equal(r.answer[0].n_lines, 2);
    assert_string_equal(r.answer[0].line[1].name, "a, test-time R 2");
    close_to(r.answer[0].line[1].macs, 5e6);
    report_free(&r);
}

static void an_experiment_below_is_found_and_a_damaged_one_left_out(void **state) {
    char   path[192];
    Report r;
    Error  err = {0};
    (void)state;
    trained("x/a1", "a", 1, 6000, 10e6);
    trained("y/a1", "a", 1, 6000, 10e6);
    write_experiment("x/", "", ROW("train", "\"cell\": \"a\", \"seed\": 1", "a1"));
    snprintf(path, sizeof path, "%s/y/experiment.json", dir);
    good(file_write_durable(path, "{\"schema\": \"other\"}", 19, &err), &err);
    good(report_read(&r, dir, &err), &err);
    assert_int_equal(r.n_answers, 1);
    assert_string_equal(r.answer[0].dir, "x");
    assert_int_equal(r.answer[0].line[0].n_runs, 1);
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
    good(report_read(&r, dir, &err) && report_write_tables(&r, dir, REPORT_MD | REPORT_CSV | REPORT_TEX | REPORT_JSON, &err), &err);
    report_free(&r);
    const struct { const char *file, *text; } wanted[] = {
        {"table.md", "Why?"}, {"table.md", "*Short.*"}, {"table.md", "60.00 \\[59.04, 60.96\\], 1 seed"}, {"table.tex", "\\emph{Short.}"},
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

int main(void) {
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        CLAIM(trainings_that_differ_in_their_seed_are_one_line_with_students_interval),
        CLAIM(one_seed_has_the_interval_over_images_and_an_invalid_run_counts_as_missing),
        CLAIM(timings_stand_beside_the_line_of_the_same_factors_below_their_condition),
        CLAIM(evaluations_are_lines_of_their_own_named_by_what_the_test_varies),
        CLAIM(an_experiment_below_is_found_and_a_damaged_one_left_out),
        CLAIM(tables_have_the_question_the_caption_and_every_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
