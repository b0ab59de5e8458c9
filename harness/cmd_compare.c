/* morbench compare A B [--gate 3%]: two results, or directories of them, side by side.
 *
 * Exit status: 0 compared; 3 with --gate: a confident regression of B; 4 with --gate: there was no cell that the gate could
 * count, so that nothing was shown either way; 1 and 5 for what cannot be read or compared. */
#include "harness/commands.h"
#include "harness/options.h"
#include "harness/report/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "3%" or "0.03" */
static bool share_of(const char *name, const char *text, double *out, Error *err) {
    char  *end, where[32];
    double value = strtod(text, &end);
    const bool percent = strcmp(end, "%") == 0;
    snprintf(where, sizeof where, "--%s", name);
    if (percent) value /= 100;
    if (end == text || (*end != '\0' && !percent) || !(value > 0 && value < 1)) return FAIL(err, where, "must be a share above 0 and below 1, such as 3%% or 0.03; got '%.40s'", text);
    *out = value;
    return true;
}

int cmd_compare(int argc, char **argv, Error *err) {
    const char    *gate = NULL, *margin = NULL, *metric = "latency";
    bool           json = false;
    CompareOptions o = {.margin = 0.02, .gate = NAN};
    const Option options[] = {
        {.name = "gate", .value = "SHARE", .help = "exit with 3 when B is surely slower, by this much or more: 3%", .text = &gate},
        {.name = "margin", .value = "SHARE", .help = "differences within it are equivalence, default 2%", .text = &margin},
        {.name = "metric", .value = "latency|end_to_end", .help = "model only, or from stored pixels; default latency", .text = &metric},
        {.name = "json", .help = "print the comparison as JSON", .flag = &json},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"compare", "A B", "Compares two run.json, or two directories of them, cell by cell: B against A.", options, 2, 2}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    if ((gate != NULL && !share_of("gate", gate, &o.gate, err)) || (margin != NULL && !share_of("margin", margin, &o.margin, err))) return EXIT_BAD_INPUT;
    if (strcmp(metric, "latency") == 0)         o.metric = COMPARE_LATENCY;
    else if (strcmp(metric, "end_to_end") == 0) o.metric = COMPARE_END_TO_END;
    else return FAIL(err, "--metric", "must be latency or end_to_end; got '%.40s'", metric), EXIT_BAD_INPUT;

    static Comparison c;                     /* 120 KB of differences */
    json_t *tree = NULL;
    bool    ok   = compare_read(&c, argv[first], argv[first + 1], &o, err) && compare_judge(&c, err);
    if (ok && json) {
        char *text = compare_to_json(&c, &tree, err) ? json_to_text(tree) : NULL;
        ok = text != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a comparison");
        if (ok) fputs(text, stdout);
        free(text);
        json_decref(tree);
    } else if (ok) {
        compare_print(&c, stdout);
    }
    int status = ok ? EXIT_OK : err->exit_status;
    if (ok && isfinite(o.gate) && c.n_regressed > 0) {
        FAIL_STATUS(err, EXIT_REGRESSION, "", "B is slower than A in %d of %d cells counted", c.n_regressed, c.n_gated);
        status = EXIT_REGRESSION;
    } else if (ok && isfinite(o.gate) && c.n_gated == 0) {
        FAIL_STATUS(err, EXIT_CELLS, "", "none of the %d cells could be counted by the gate", c.n_pairs);
        status = EXIT_CELLS;
    }
    compare_free(&c);
    return status;
}
