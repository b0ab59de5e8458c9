/* harness/report on made-up runs: what the tables say, where every number comes from, and what hostile runs can do. */
#include "tests/report_fixture.h"

#include "engine/file.h"
#include "harness/commands.h"
#include "harness/report/factors.h"
#include "harness/report/figure.h"
#include "harness/report/gnuplot.h"
#include "harness/report/html.h"
#include "harness/report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char weights_a[65], weights_b[65];

static int make_dir(void **state) {
    (void)state;
    memset(weights_a, 'a', 64);
    memset(weights_b, 'b', 64);
    snprintf(dir, sizeof dir, "/tmp/morbench-report-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static const char *in_dir(const char *below) {
    static char path[2][192];
    static int  turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, below);
    return path[turn];
}

static void good(bool ok, const Error *err) {
    char text[900];
    if (ok) return;
    error_text(err, text, sizeof text);
    fail_msg("%s", text);
}

static void put(const FakeRun *run, const char *below) {
    Error err = {0};
    good(fake_run(run, in_dir(below), &err), &err);
}

static char *contents(const char *below) {
    void  *bytes = NULL;
    size_t n;
    Error  err = {0};
    good(file_read_all(in_dir(below), SIZE_MAX, &bytes, &n, &err), &err);
    return bytes;
}

static bool exists(const char *below) {
    struct stat s;
    return lstat(in_dir(below), &s) == 0;
}

/* A model with training, accuracy and timings, and one timed only. */
static void put_two_models(const char *below) {
    char path[64];
    snprintf(path, sizeof path, "%s/a/train", below);
    put(&(FakeRun){.kind = "train", .preset = "vit_a", .weights = weights_a, .macs = 46e6, .top1 = 8900, .epochs = 3,
                   .warn = N_WARNINGS}, path);
    for (int batch = 1; batch <= 16; batch *= 16) {
        snprintf(path, sizeof path, "%s/a/bench%d", below, batch);
        put(&(FakeRun){.kind = "bench", .preset = "vit_a", .weights = weights_a, .macs = 46e6, .batch = batch,
                       .latency_ms = 2*batch, .profile = true, .warn = N_WARNINGS}, path);
    }
    snprintf(path, sizeof path, "%s/b/bench", below);
    put(&(FakeRun){.kind = "bench", .preset = "vit_b", .weights = weights_b, .macs = 20e6, .batch = 1, .latency_ms = 1,
                   .warn = N_WARNINGS}, path);
}

static Report read_in(const char *below) {
    Report r;
    Error  err = {0};
    good(report_read(&r, in_dir(below), &err), &err);
    return r;
}

static void runs_are_found_below_and_read_in_the_order_of_their_paths(void **state) {
    (void)state;
    put_two_models("order");
    Report r = read_in("order");
    assert_int_equal(r.n_rows, 4);
    assert_string_equal(r.row[0].path, "a/bench1/run.json");
    assert_string_equal(r.row[1].path, "a/bench16/run.json");
    assert_string_equal(r.row[2].path, "a/train/run.json");
    assert_string_equal(r.row[3].path, "b/bench/run.json");
    assert_int_equal(r.n_models, 2);
    assert_int_equal(r.row[0].model_index, r.row[2].model_index);
    report_free(&r);
}

static void a_timing_takes_the_accuracy_of_equal_weights_only(void **state) {
    (void)state;
    put_two_models("link");
    Report r = read_in("link");
    assert_ptr_equal(r.row[0].accuracy, r.row[2].run);
    assert_string_equal(r.row[0].verdict, "VALID");
    assert_null(r.row[3].accuracy);
    assert_true(r.row[3].speed_only);
    assert_string_equal(r.row[3].verdict, "SPEED_ONLY");
    report_free(&r);
}

/* The run with one value put in, and a digest that fits. */
static void change(const char *below, const char *pointer, json_t *value) {
    char    path[192], digest[SHA256_TEXT_SIZE], key[64];
    json_t *run = NULL;
    Error   err = {0};
    snprintf(path, sizeof path, "%s", in_dir(below));
    good(result_load(&run, path, &err), &err);
    const char *last = strrchr(pointer, '/');
    snprintf(key, sizeof key, "%.*s", (int)(last - pointer), pointer);
    json_object_set_new((json_t *)report_at(run, key), last + 1, value);
    good(result_digest(run, digest, &err), &err);
    json_object_set_new(run, "digest", json_string(digest));
    good(json_save_file(run, path, &err), &err);
    json_decref(run);
}

static const ReportRow *row_of(const Report *r, const char *path) {
    for (int i = 0; i < r->n_rows; i++)
        if (strcmp(r->row[i].path, path) == 0) return &r->row[i];
    fail_msg("no row %s", path);
    return NULL;
}

/* Rule V2: each digest changed in turn, in the timing. */
static void an_accuracy_of_another_model_data_code_or_arithmetic_is_not_taken(void **state) {
    (void)state;
    static const char *const pointers[] = {"/model/name", "/model/weights_sha256", "/data/preprocess", "/data/digest", "/provenance/version", "/provenance/commit",
                                           "/provenance/build_flags", "/env/blas_core", "/env/blas_config", "/experiment/backend", "/model/settings"};
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++) {
        char below[32], path[64];
        snprintf(below, sizeof below, "v2.%zu", i);
        put_two_models(below);
        snprintf(path, sizeof path, "%s/a/train/run.json", below);
        change(path, "/experiment/backend", json_string("packed"));
        for (int batch = 1; batch <= 16; batch *= 16) {
            snprintf(path, sizeof path, "%s/a/bench%d/run.json", below, batch);
            change(path, "/experiment/backend", json_string("packed"));
        }
        change(path, pointers[i], strcmp(pointers[i], "/model/settings") == 0 ? json_pack("{s:i}", "depth", 7)
                                : json_string(strstr(pointers[i], "digest") != NULL || strstr(pointers[i], "sha256") != NULL ? weights_b : "another"));
        Report r = read_in(below);
        assert_non_null(row_of(&r, "a/bench1/run.json")->accuracy);
        if (row_of(&r, "a/bench16/run.json")->accuracy != NULL) fail_msg("%s changed unnoticed", pointers[i]);
        assert_string_equal(row_of(&r, "a/bench16/run.json")->verdict, "SPEED_ONLY");
        report_free(&r);
    }
}

static json_t *witness(double logit) {
    return json_pack("{s:[i,i], s:[i,i], s:[f,f], s:[f,f], s:[f,f]}", "image_index", 0, 1, "best_class_index", 3, 5, "best_logit", 2.5, logit, "best_gap", 1.0, 1.0,
                     "log_sum_exp_nats", 3.0, 3.5);
}

/* Rule V3. */
static void logits_of_timed_images_must_be_those_of_the_accuracy_run(void **state) {
    (void)state;
    put_two_models("witness");
    change("witness/a/train/run.json", "/accuracy/witness", witness(4));
    change("witness/a/bench1/run.json", "/metrics/witness", witness(4.0001));
    change("witness/a/bench1/run.json", "/provenance/commit", json_string("later"));
    change("witness/a/bench16/run.json", "/metrics/witness", witness(4.1));
    Error  err = {0};
    Report r   = read_in("witness");
    const ReportRow *agrees = row_of(&r, "a/bench1/run.json"), *differs = row_of(&r, "a/bench16/run.json");
    assert_non_null(agrees->accuracy);                                    /* shown to compute the same, whatever the code */
    assert_string_equal(agrees->verdict, "VALID");
    assert_null(differs->accuracy);
    assert_non_null(differs->contradicted_by);
    assert_string_equal(differs->verdict, "INVALID");
    good(report_write_tables(&r, in_dir("witness"), REPORT_MD | REPORT_JSON, &err), &err);
    char *md = contents("witness/table.md");
    assert_non_null(strstr(md, "its logits are not those of run"));
    assert_non_null(strstr(md, "~~"));
    free(md);
    report_free(&r);
}

/* Rules V6 and V36. */
static void a_table_says_what_its_rows_differ_in_and_refuses_more_than_is_declared(void **state) {
    (void)state;
    put_two_models("factors");
    change("factors/a/bench16/run.json", "/experiment/threads_requested_count", json_integer(7));
    Error  err = {0};
    Report r   = read_in("factors");
    Factors f;
    report_factors(&r, "train", &f);
    assert_int_equal(f.n, 0);                                             /* one row */
    good(report_write_tables(&r, in_dir("factors"), REPORT_MD | REPORT_JSON, &err), &err);
    char *md = contents("factors/table.md"), *json = contents("factors/table.json");
    assert_non_null(strstr(md, "Rows of kind bench differ in: "));
    assert_non_null(strstr(md, "threads"));
    assert_non_null(strstr(json, "\"factors\""));
    free(md);
    free(json);
    assert_false(report_declare(&r, "model, batch size", &err));
    assert_string_equal(err.field, "--factors");
    assert_non_null(strstr(err.message, "kind bench differ in more than it declares: "));
    assert_non_null(strstr(err.message, "threads"));
    assert_null(strstr(err.message, "batch size"));
    err = (Error){0};
    good(report_declare(&r, "weights, batch size,threads", &err), &err);
    report_free(&r);
}

static void smoke_and_noise_are_not_hidden_by_an_accuracy(void **state) {
    (void)state;
    put_two_models("verdicts");
    FakeRun run = {.kind = "bench", .preset = "vit_a", .weights = weights_a, .macs = 46e6, .batch = 2, .latency_ms = 3};
    run.warn = WARN_smoke_profile;
    put(&run, "verdicts/c/smoke");
    run.batch = 3, run.warn = WARN_machine_busy;
    put(&run, "verdicts/d/busy");
    run.batch = 4, run.warn = WARN_no_accuracy;
    put(&run, "verdicts/e/linked_later");
    Report r = read_in("verdicts");
    assert_string_equal(r.row[4].verdict, "SMOKE");
    assert_string_equal(r.row[5].verdict, "NOISY");
    assert_string_equal(r.row[6].verdict, "VALID");
    report_free(&r);
}

static void every_row_names_its_run_and_empty_cells_have_reasons(void **state) {
    (void)state;
    put_two_models("tables");
    Error  err = {0};
    Report r   = read_in("tables");
    good(report_write_tables(&r, in_dir("tables"), REPORT_MD | REPORT_CSV | REPORT_TEX | REPORT_JSON, &err), &err);
    static const char *const names[] = {"tables/table.md", "tables/table.csv", "tables/table.tex", "tables/table.json"};
    for (int k = 0; k < 4; k++) {
        char *text = contents(names[k]);
        for (int i = 0; i < r.n_rows; i++)
            assert_non_null(strstr(text, json_string_value(json_object_get(r.row[i].run, "id"))));
        assert_non_null(strstr(text, k == 2 ? "not\\_requested" : "not_requested"));
        free(text);
    }
    json_t *table = NULL;
    good(json_load_file_checked(&table, in_dir("tables/table.json"), 0, &err), &err);
    const json_t *row = json_array_get(json_object_get(table, "rows"), 3);
    assert_true(json_is_null(json_object_get(row, "top1_ratio")));
    assert_string_equal(json_string_value(json_object_get(row, "top1_ratio_reason")), "not_requested");
    /* base units, unrounded, and the value of the run itself */
    assert_true(json_equal(json_object_get(row, "latency_ns"), report_at(r.row[3].run, "/metrics/latency_ns")));
    json_decref(table);
    report_free(&r);
}

/* Fields of the record that begins at *text, which moves past it; quotes respected. */
static int csv_fields(const char **text) {
    int  n      = 1;
    bool quoted = false;
    for (; **text != '\0' && (quoted || **text != '\n'); (*text)++) {
        if (**text == '"') quoted = !quoted;
        if (**text == ',' && !quoted) n++;
    }
    assert_false(quoted);
    *text += **text == '\n';
    return n;
}

static void hostile_names_stay_in_their_cells(void **state) {
    (void)state;
    char label[400];
    snprintf(label, sizeof label, "=cmd|'`touch %s/pwned`'!A1,\"x\"\n|<b>| & \\input{x} \x1b[31m'; system('touch %s/pwned'); ''; system(\"touch %s/pwned\"); #", dir, dir, dir);
    put(&(FakeRun){.kind = "train", .preset = label, .weights = weights_a, .macs = 4e6, .top1 = 8000, .batch = 4, .latency_ms = 1,
                   .epochs = 2, .profile = true, .warn = N_WARNINGS}, "hostile/`touch pwned`'; $(touch pwned)\n!touch pwned\n\\");
    put(&(FakeRun){.kind = "bench", .preset = "vit_a", .weights = weights_b, .macs = 4e6, .batch = 4, .latency_ms = 1,
                   .warn = N_WARNINGS}, "hostile/plain");
    Error  err = {0};
    Report r   = read_in("hostile");
    int    n_plots = 0;
    good(report_write_tables(&r, in_dir("hostile"), REPORT_MD | REPORT_CSV | REPORT_TEX | REPORT_JSON, &err), &err);
    char       *csv = contents("hostile/table.csv"), *md = contents("hostile/table.md"), *tex = contents("hostile/table.tex");
    const char *at  = csv;
    const int   n   = csv_fields(&at);
    assert_true(n > 40);
    for (int i = 0; i < 2; i++) assert_int_equal(csv_fields(&at), n);
    assert_int_equal(*at, '\0');
    assert_null(strstr(csv, ",="));
    assert_null(strstr(csv, ",\"="));
    assert_null(strstr(md, "<b>") == NULL ? NULL : strstr(md, "|<b>"));
    assert_null(strstr(tex, "\\input"));
    assert_null(strchr(md, '\x1b'));
    const bool drawn = report_write_plots(&r, in_dir("hostile"), &n_plots, &err);
    if (!drawn && err.exit_status != EXIT_MACHINE) fail_msg("%s", err.message);
    assert_false(exists("pwned") || exists("hostile/pwned") || access("pwned", F_OK) == 0);
    if (drawn) assert_int_equal(n_plots, 6);
    char *script = contents("hostile/plots/accuracy.gp");
    assert_null(strchr(script, '`'));
    free(script);
    free(csv);
    free(md);
    free(tex);
    report_free(&r);
    if (!drawn) skip();
}

static void plots_are_drawn_with_intervals_and_marked_axes(void **state) {
    (void)state;
    put_two_models("plots");
    Error  err = {0};
    Report r   = read_in("plots");
    int    n_plots = 0;
    const bool drawn = report_write_plots(&r, in_dir("plots"), &n_plots, &err);
    if (!drawn && err.exit_status != EXIT_MACHINE) fail_msg("%s", err.message);
    if (drawn) {
        static const char *const names[] = {"accuracy", "batch", "curves", "profile", "training", "layers"};
        assert_int_equal(n_plots, 6);
        for (int i = 0; i < 6; i++) {
            char name[64];
            snprintf(name, sizeof name, "plots/plots/%s.svg", names[i]);
            char *svg = contents(name);
            assert_non_null(strstr(svg, "</svg>"));
            free(svg);
            snprintf(name, sizeof name, "plots/plots/%s.png", names[i]);
            char *png = contents(name);
            assert_memory_equal(png, "\x89PNG", 4);
            free(png);
            snprintf(name, sizeof name, "plots/plots/%s.gp", names[i]);
            char *script = contents(name); /* rule V45, and that no file is named */
            assert_null(strstr(script, "set output"));
            assert_non_null(strstr(script, "# run "));
            if (i < 2) assert_non_null(strstr(script, "error"));
            if (i == 0) assert_non_null(strstr(script, "axis starts at"));
            free(script);
        }
    }
    report_free(&r);
    if (!drawn) skip();
}

static void depths_are_drawn_in_the_unit_that_a_run_tells(void **state) {
    (void)state;
    static const struct { const char *dir, *unit; int depths, recursions; const char *drawn; } of[] = {
        {"told", "strides", 3, 3, "strides, 4 images"}, {"recursive", NULL, 3, 3, "recursions, 4 images"}, {"layered", NULL, 5, 3, "layers, 4 images"},
        {"plain", NULL, 6, 0, "blocks, 4 images"}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        char   run[64], name[64];
        Error  err = {0};
        int    n_plots = 0;
        snprintf(run, sizeof run, "units_%s/a", of[i].dir);
        put(&(FakeRun){.kind = "eval", .preset = "x", .weights = weights_a, .macs = 4e6, .top1 = 9000, .depths = of[i].depths, .recursions = of[i].recursions,
                       .depth_unit = of[i].unit, .warn = N_WARNINGS}, run);
        snprintf(name, sizeof name, "units_%s", of[i].dir);
        Report     r = read_in(name);
        const bool drawn = report_write_plots(&r, in_dir(name), &n_plots, &err);
        report_free(&r);
        if (!drawn && err.exit_status == EXIT_MACHINE) skip();
        good(drawn, &err);
        snprintf(name, sizeof name, "units_%s/plots/depth.gp", of[i].dir);
        char *script = contents(name);
        if (strstr(script, of[i].drawn) == NULL) fail_msg("%s: no \"%s\"", of[i].dir, of[i].drawn);
        free(script);
    }
}

static void invalid_runs_are_struck_through_and_not_drawn(void **state) {
    (void)state;
    put(&(FakeRun){.kind = "bench", .preset = "vit_a", .weights = weights_a, .macs = 4e6, .batch = 4, .latency_ms = 1, .top1 = 9000,
                   .warn = WARN_threads_short}, "invalid/a");
    Error  err = {0};
    Report r   = read_in("invalid");
    int    n_plots = -1;
    good(report_write_tables(&r, in_dir("invalid"), REPORT_MD, &err), &err);
    char *md = contents("invalid/table.md");
    assert_non_null(strstr(md, "| ~~"));
    assert_non_null(strstr(md, "threads\\_short") != NULL ? md : strstr(md, "threads_short"));
    good(report_write_plots(&r, in_dir("invalid"), &n_plots, &err), &err);
    assert_int_equal(n_plots, 0);
    free(md);
    report_free(&r);
}

static void a_damaged_run_is_left_out_and_counted(void **state) {
    (void)state;
    put_two_models("damaged");
    Error   err = {0};
    json_t *run = NULL;
    good(result_load(&run, in_dir("damaged/b/bench/run.json"), &err), &err);
    json_object_set_new(json_object_get(run, "metrics"), "latency_ns", json_real(1));
    good(json_save_file(run, in_dir("damaged/b/bench/run.json"), &err), &err);
    json_decref(run);
    good(file_make_dirs(in_dir("damaged/c"), &err) && file_write_durable(in_dir("damaged/c/run.json"), "{", 1, &err), &err);
    Report r = read_in("damaged");
    assert_int_equal(r.n_rows, 3);
    assert_int_equal(r.n_unreadable, 2);
    report_free(&r);
    char  program[] = "report", *argv[] = {program, (char *)in_dir("damaged"), NULL};
    Error told = {0};
    char  path[4096];
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    setenv("PATH", dir, 1); /* no gnuplot there: the tables are written all the same */
    assert_int_equal(cmd_report(2, argv, &told), EXIT_IO);
    setenv("PATH", path, 1);
    assert_true(exists("damaged/table.md") && exists("damaged/table.csv") && exists("damaged/table.json"));
}

static void a_directory_without_runs_is_bad_input(void **state) {
    (void)state;
    Error  err = {0};
    Report r;
    good(file_make_dirs(in_dir("empty"), &err), &err);
    assert_false(report_read(&r, in_dir("empty"), &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    report_free(&r);
    assert_false(report_read(&r, in_dir("not_there"), &err));
    report_free(&r);
}

static void models_of_one_preset_are_called_by_what_differs(void **state) {
    (void)state;
    FakeRun run = {.kind = "eval", .preset = "mor", .weights = weights_a, .macs = 4e6, .top1 = 8000, .warn = N_WARNINGS, .router = "expert"};
    put(&run, "names/a");
    run.weights = weights_b, run.router = "random";
    put(&run, "names/b");
    run.preset = "other";
    put(&run, "names/c");
    Report r = read_in("names");
    assert_int_equal(r.n_models, 3);
    assert_string_equal(r.row[0].model, "mor router=expert");
    assert_string_equal(r.row[1].model, "mor router=random");
    assert_string_equal(r.row[2].model, "other");
    assert_int_equal(r.model[0].method_index, r.model[2].method_index);      /* one hue a method */
    assert_int_not_equal(figure_colour(&r, 0), figure_colour(&r, 1));
    assert_int_not_equal(figure_symbol(0), figure_symbol(1));
    report_free(&r);
}

static void a_picture_of_gnuplot_becomes_a_part_of_a_page_whatever_its_labels_say(void **state) {
    (void)state;
    static const char svg[] = "<?xml version=\"1.0\"?>\n<svg>\n<title>Gnuplot</title>\n<g id=\"gnuplot_canvas\">\n<circle id='gpDot' r='0.5'/>\n"
                              "<g fill=\"none\">\n</g>\n\t<g id=\"gnuplot_plot_1\" ><title>gnuplot_plot_1</title>\n<use xlink:href='#gpDot'/>\n"
                              "\t<text> id=\"x\" &lt;b></text>\n</g>\n</g>\n</svg>\n";
    char  *text = NULL;
    size_t n;
    FILE  *out = open_memstream(&text, &n);
    assert_non_null(out);
    html_svg(out, svg, "p", "wide", 10, 20, "a <title>", "\"text\"");
    fclose(out);
    assert_non_null(strstr(text, "viewBox=\"0 0 10 20\""));
    assert_non_null(strstr(text, "<title id=\"p-title\">a &lt;title&gt;</title><desc id=\"p-text\">&quot;text&quot;</desc>"));
    assert_non_null(strstr(text, "<circle id='p-gpDot'"));
    assert_non_null(strstr(text, "href='#p-gpDot'"));
    assert_non_null(strstr(text, "<text> id=\"x\" &lt;b></text>"));         /* a label stays as it is */
    assert_null(strstr(text, "<g fill=\"none\">"));
    assert_null(strstr(text, "gnuplot_plot_1</title>"));
    assert_null(strstr(text, "<?xml"));
    free(text);
}

static void what_a_plot_has_no_room_for_is_counted_and_said(void **state) {
    (void)state;
    for (int i = 0; i < FIGURE_MAX_SERIES + 2; i++) {
        char preset[16], path[32], weights[65];
        snprintf(preset, sizeof preset, "m%d", i);
        snprintf(path, sizeof path, "crowd/%d", i);
        snprintf(weights, sizeof weights, "%064d", i);
        /* the last two are beaten by the first, and of the others each is cheaper or better */
        const bool beaten = i >= FIGURE_MAX_SERIES;
        put(&(FakeRun){.kind = "eval", .preset = preset, .weights = weights, .macs = beaten ? 9e6 : 1e6 + 1e5*i, .top1 = beaten ? 7000 : 8000 + i,
                       .warn = N_WARNINGS}, path);
    }
    Error  err = {0};
    Report r   = read_in("crowd");
    Figure f;
    int         which = 0;
    while (strcmp(report_plots[which]->name, "accuracy") != 0) which++;
    const Plot *accuracy = report_plots[which];
    good(figure_begin(&f, &r, false, &err), &err);
    assert_true(accuracy->write(&f, 0));
    good(figure_end(&f, accuracy, true, &err), &err);
    assert_int_equal(f.n_left_out, 2);
    assert_non_null(strstr(f.note, "2 more"));
    assert_non_null(strstr(f.text, "'m0'"));
    assert_null(strstr(f.text, "'m24'"));
    figure_free(&f);
    report_free(&r);
}

static void where_there_are_too_many_curves_each_model_has_one_before_any_has_three(void **state) {
    (void)state;
    enum { MODELS = 10, SEEDS = 3 };
    for (int i = 0; i < MODELS*SEEDS; i++) {
        char preset[16], path[32], weights[65];
        snprintf(preset, sizeof preset, "m%d", i/SEEDS);
        snprintf(path, sizeof path, "curves/%02d", i);
        snprintf(weights, sizeof weights, "%064d", i);
        put(&(FakeRun){.kind = "train", .preset = preset, .weights = weights, .macs = 1e6, .top1 = 7000 + i, .epochs = 2, .seed = 1 + i%SEEDS, .warn = N_WARNINGS}, path);
    }
    Error  err = {0};
    Report r   = read_in("curves");
    Figure f;
    int    which = 0;
    while (strcmp(report_plots[which]->name, "curves") != 0) which++;
    good(figure_begin(&f, &r, false, &err), &err);
    assert_true(report_plots[which]->write(&f, 0));
    good(figure_end(&f, report_plots[which], true, &err), &err);
    assert_int_equal(f.n_left_out, MODELS*SEEDS - FIGURE_MAX_SERIES);
    assert_non_null(strstr(f.text, "= '6 more there was no room for.'"));
    for (int m = 0; m < MODELS; m++)
        for (int seed = 1; seed <= SEEDS; seed++) {
            char label[32];
            snprintf(label, sizeof label, "= 'm%d, seed %d'", m, seed);
            assert_true((strstr(f.text, label) != NULL) == (seed < 3 || m < FIGURE_MAX_SERIES - 2*MODELS));
        }
    figure_free(&f);
    report_free(&r);
}

static void a_page_without_gnuplot_has_its_numbers_and_says_so(void **state) {
    (void)state;
    put_two_models("bare");
    Error  err = {0};
    Report r   = read_in("bare");
    char   path[4096];
    int    n_figures = -1;
    snprintf(path, sizeof path, "%s", getenv("PATH"));
    setenv("PATH", dir, 1);
    good(report_write_html(&r, in_dir("bare"), &n_figures, &err), &err);
    setenv("PATH", path, 1);
    assert_int_equal(n_figures, 0);
    char *page = contents("bare/report.html");
    assert_non_null(strstr(page, "No figures could be drawn"));
    assert_non_null(strstr(page, "Which model should I use?"));
    for (int i = 0; i < r.n_rows; i++) assert_non_null(strstr(page, json_string_value(json_object_get(r.row[i].run, "id"))));
    free(page);
    report_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_are_found_below_and_read_in_the_order_of_their_paths),
        cmocka_unit_test(a_timing_takes_the_accuracy_of_equal_weights_only),
        cmocka_unit_test(an_accuracy_of_another_model_data_code_or_arithmetic_is_not_taken),
        cmocka_unit_test(logits_of_timed_images_must_be_those_of_the_accuracy_run),
        cmocka_unit_test(a_table_says_what_its_rows_differ_in_and_refuses_more_than_is_declared),
        cmocka_unit_test(smoke_and_noise_are_not_hidden_by_an_accuracy),
        cmocka_unit_test(every_row_names_its_run_and_empty_cells_have_reasons),
        cmocka_unit_test(hostile_names_stay_in_their_cells),
        cmocka_unit_test(plots_are_drawn_with_intervals_and_marked_axes),
        cmocka_unit_test(depths_are_drawn_in_the_unit_that_a_run_tells),
        cmocka_unit_test(invalid_runs_are_struck_through_and_not_drawn),
        cmocka_unit_test(a_damaged_run_is_left_out_and_counted),
        cmocka_unit_test(a_directory_without_runs_is_bad_input),
        cmocka_unit_test(models_of_one_preset_are_called_by_what_differs),
        cmocka_unit_test(a_picture_of_gnuplot_becomes_a_part_of_a_page_whatever_its_labels_say),
        cmocka_unit_test(what_a_plot_has_no_room_for_is_counted_and_said),
        cmocka_unit_test(where_there_are_too_many_curves_each_model_has_one_before_any_has_three),
        cmocka_unit_test(a_page_without_gnuplot_has_its_numbers_and_says_so),
    };
    return cmocka_run_group_tests_name("report", tests, make_dir, remove_dir);
}
