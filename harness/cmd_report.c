/* morbench report DIR [--md --tex --csv --jsonl --html] : tables, plots and a page from the run.json files below DIR and the experiment.json beside them. */
#include "engine/file.h"
#include "harness/options.h"
#include "harness/report/answers.h"
#include "harness/report/claims.h"
#include "harness/report/paper.h"
#include "harness/report/report.h"

#include "harness/report/escape.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool print_json(const char *dir, Error *err) {
    char   path[4400];
    void  *bytes = NULL;
    size_t n     = 0;
    snprintf(path, sizeof path, "%.4300s/table.json", dir);
    const bool ok = file_read_all(path, SIZE_MAX, &bytes, &n, err) && (fwrite(bytes, 1, n, stdout) == n || FAIL_STATUS(err, EXIT_IO, "", "cannot write to standard output"));
    free(bytes);
    return ok;
}

int cmd_report(int argc, char **argv, Error *err) {
    const char *factors = NULL;
    bool md = false, csv = false, tex = false, jsonl = false, json = false, html = false, claims = false;
    const char *claims_path = CLAIMS_DEFAULT_PATH, *paper = NULL;
    const Option options[] = {
        {.name = "md", .help = "write DIR/table.md", .flag = &md},
        {.name = "csv", .help = "write DIR/table.csv: every column, base units", .flag = &csv},
        {.name = "tex", .help = "write DIR/table.tex, for booktabs", .flag = &tex},
        {.name = "json", .help = "print the table as JSON, what goes into DIR/table.json, instead of text", .flag = &json},
        {.name = "jsonl", .help = "write DIR/table.jsonl: the same, a row a line", .flag = &jsonl},
        {.name = "html", .help = "write DIR/report.html, a page in one file: which model to use and why, figures, all runs", .flag = &html},
        {.name = "factors", .value = "NAME,...", .help = "what rows may differ in, as the table names it (model, model.recursions, batch size, threads, ...); else refused", .text = &factors},
        {.name = "claims", .help = "judge what papers claim by these runs instead: holds, fails, undecided; also DIR/claims.json, claims.md", .flag = &claims},
        {.name = "claims-file", .value = "FILE", .help = "claims to judge, default " CLAIMS_DEFAULT_PATH, .text = &claims_path},
        {.name = "paper", .value = "FILE", .help = "make a paper's table of experiments/paper/ instead, published numbers beside these runs'", .text = &paper},
        OPTIONS_END,
    };
    const Usage usage = {"report", "DIR",
                         "Reads every run.json below DIR and what experiments asked (experiment.json), prints tables, and writes\n"
                         "DIR/table.json, tables (Markdown and CSV when none is named) and DIR/plots/*.svg, *.png, *.pdf and their gnuplot scripts.",
                         options, 1, 1};
    const int first = options_parse(argc, argv, &usage, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    const char *dir     = argv[first];
    const int   formats = REPORT_JSON | (md ? REPORT_MD : 0) | (csv ? REPORT_CSV : 0) | (tex ? REPORT_TEX : 0) |
                          (jsonl ? REPORT_JSONL : 0) | (!md && !csv && !tex && !jsonl ? REPORT_MD | REPORT_CSV : 0);
    Report report;
    int    n_plots = 0, n_figures = 0, status = EXIT_OK;
    if (claims && paper != NULL) return FAIL(err, "--paper", "cannot be given beside --claims: ask for one after the other"), EXIT_BAD_INPUT;
    if (claims || paper != NULL) {
        const bool ok = report_read(&report, dir, err) && (!claims || report_claims(&report, dir, claims_path, json, err)) &&
                        (paper == NULL || report_paper(&report, dir, paper, formats, json, err));
        report_free(&report);
        return ok ? EXIT_OK : err->exit_status;
    }
    if (!report_read(&report, dir, err) || !answers_make(&report, dir, err) || (factors != NULL && !report_declare(&report, factors, err)) || (!json && !report_print(&report, stdout, err)) ||
        !report_write_tables(&report, dir, formats, err) || (json && !print_json(dir, err))) {
        status = err->exit_status;
        goto done;
    }
    Error plain = {0};
    if (!report_write_plots(&report, dir, &n_plots, &plain)) {
        char text[1024];
        error_text(&plain, text, sizeof text);
        fprintf(stderr, "morbench: warning: no plots: ");
        escape_terminal(stderr, text);
        fprintf(stderr, "; the tables are complete (apt install gnuplot-nox, then report again)\n");
    }
    if (html && !report_write_html(&report, dir, &n_figures, err)) {
        status = err->exit_status;
        goto done;
    }
    FILE *told = json ? stderr : stdout;             /* stdout is then JSON and nothing else */
    fprintf(told, "\nwritten below ");
    escape_terminal(told, dir);
    fprintf(told, ": table.json%s%s%s%s%s", formats & REPORT_MD ? ", table.md" : "", formats & REPORT_CSV ? ", table.csv" : "",
            formats & REPORT_CSV && report.n_answers > 0 ? ", answers.csv" : "",
            formats & REPORT_TEX ? ", table.tex" : "", formats & REPORT_JSONL ? ", table.jsonl" : "");
    if (n_plots > 0) fprintf(told, ", %d plots in plots/", n_plots);
    if (html) fprintf(told, ", report.html with %d figures", n_figures);
    fputc('\n', told);
    if (report.n_unreadable > 0) {
        FAIL_STATUS(err, EXIT_IO, "", "%d run.json or experiment.json could not be read and %s left out", report.n_unreadable,
                    report.n_unreadable == 1 ? "is" : "are");
        error_in(err, dir);
        status = EXIT_IO;
    }
done:
    report_free(&report);
    return status;
}
