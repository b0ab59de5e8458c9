/* Fuzz target: any bytes as a run.json, given the digest that fits. Refused with an error that says something; or accepted, and then written and
 * read again it is the same, and a report of it alone can be made in every form. Build with -fsanitize=fuzzer, or with replay.c to run the
 * corpus. */
#include "harness/report/answers.h"
#include "harness/report/report_grid.h"
#include "harness/result.h"

#include "engine/digest.h"
#include "tests/fuzz/bytes_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void report(json_t *run, FILE *out) {
    static char path[] = "cell/run.json";
    ReportRow   row    = {.path = path, .run = run, .verdict = json_string_value(report_at(run, "/validity/verdict"))};
    Report      r      = {.row = &row, .n_rows = 1};
    Grid        g;
    Error       err    = {0};
    if (!report_name_models(&r, &err)) {
        CHECK(err.message[0] != '\0', "no report, without a word");
        return;
    }
    const bool ok = report_print(&r, out, &err) && grid_make(&g, &r, &err);
    CHECK(ok, "no table: %s", err.message);
    CHECK(report_write_csv(out, &r, &g) && report_write_json(out, &r, &g) && report_write_jsonl(out, &r, &g), "no table of a result");
    grid_free(&g);
    r.row      = NULL;                    /* which is not the report's to free */
    r.n_rows   = 0;
    report_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static FILE *out;
    json_t *run = NULL, *again = NULL;
    char    digest[SHA256_TEXT_SIZE];
    Error   err = {0};
    if (out == NULL) out = fopen("/dev/null", "w");
    CHECK(out != NULL, "no /dev/null");
    if (!json_load_bytes(&run, bytes, n, &err)) return 0;
    if (json_is_object(run) && json_object_get(run, "digest") != NULL) {
        CHECK(result_digest(run, digest, &err), "no digest: %s", err.message);
        json_object_set_new(run, "digest", json_string(digest));
    }
    if (!result_check(run, &err)) {
        CHECK(err.message[0] != '\0' && err.exit_status != EXIT_OK, "refused without a word");
    } else {
        char *text = json_to_text(run);
        CHECK(text != NULL && result_load(&again, bytes_file(text, strlen(text)), &err), "written, it is refused: %s %s", err.field, err.message);
        CHECK(json_equal(run, again), "written, it is another");
        free(text);
        json_decref(again);
        report(run, out);
    }
    json_decref(run);
    return 0;
}
