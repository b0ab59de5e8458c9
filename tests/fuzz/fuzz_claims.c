/* Fuzz target: any bytes as a file of claims or as a paper's table. Refused with an error that says something; or accepted, and then
 * judged or filled against four made-up runs and printed in every form. Build with -fsanitize=fuzzer, or with replay.c to run the corpus. */
#include "harness/report/claims.h"
#include "harness/report/paper.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { N_RUNS = 4 };
static const char *const texts[N_RUNS] = {
    "{\"id\": \"0\", \"kind\": \"train\", \"status\": \"ok\", \"model\": {\"name\": \"vit\", \"preset\": \"v\", \"classes_count\": 10, \"height_count\": 32, \"params_count\": 9,"
    " \"weights_sha256\": \"a\", \"settings\": {\"embed_dim\": 96, \"depth\": 6}}, \"experiment\": {\"train\": {\"seed\": 1}}, \"data\": {\"digest\": \"d\"}, \"accuracy\": {\"top1_ratio\": 0.5}}",
    "{\"id\": \"1\", \"kind\": \"train\", \"status\": \"ok\", \"model\": {\"name\": \"mor_vit\", \"preset\": \"m\", \"classes_count\": 10, \"height_count\": 32, \"params_count\": 3,"
    " \"weights_sha256\": \"b\", \"settings\": {\"embed_dim\": 96, \"sharing\": \"cycle\", \"blocks_per_recursion\": 2, \"recursions\": 3}}, \"experiment\": {\"train\": {\"seed\": 1}},"
    " \"data\": {\"digest\": \"d\"}, \"accuracy\": {\"top1_ratio\": 0.4}}",
    "{\"id\": \"2\", \"kind\": \"bench\", \"status\": \"ok\", \"env_id\": \"e\", \"model\": {\"name\": \"vit\", \"preset\": \"v\", \"classes_count\": 10, \"height_count\": 32,"
    " \"settings\": {\"embed_dim\": 96, \"depth\": 6}}, \"metrics\": {\"latency_ns\": 5.0, \"batch_size_count\": 1}, \"samples\": {\"latency_ns\": [5.0, 6.0], \"latency_process\": [0, 1]}}",
    "{\"id\": \"3\", \"kind\": \"eval\", \"status\": \"ok\", \"model\": {\"name\": \"mor_vit\", \"preset\": \"m\", \"weights_sha256\": \"b\","
    " \"settings\": {\"embed_dim\": 96, \"sharing\": \"cycle\", \"blocks_per_recursion\": 2, \"recursions\": 2}}, \"data\": {\"digest\": \"d\"}, \"accuracy\": {\"top1_ratio\": 0.3}}",
};

static const Report *runs(void) {
    static ReportRow row[N_RUNS];
    static char      path[] = "run.json";
    static Report    report = {.row = row, .n_rows = N_RUNS};
    for (int i = 0; row[i].run == NULL; i = (i + 1) % N_RUNS) {
        row[i] = (ReportRow){.path = path, .run = json_loads(texts[i], 0, NULL), .verdict = "VALID"};
        CHECK(row[i].run != NULL, "made-up run %d is no JSON", i);
        row[i].model = json_string_value(report_at(row[i].run, "/model/preset"));
    }
    return &report;
}

static void judge(const json_t *claims, FILE *out) {
    json_t *judged = NULL;
    Error   err    = {0};
    if (!claims_judge(&judged, claims, runs(), &err)) {
        CHECK(err.message[0] != '\0', "not judged, without a word");
        return;
    }
    claims_print(judged, out);
    claims_write_md(judged, out);
    json_decref(judged);
}

static void fill(const json_t *paper, FILE *out) {
    json_t *table = NULL;
    Error   err   = {0};
    CHECK(paper_fill(&table, paper, runs(), "DIR", &err), "not filled: %s", err.message);
    paper_print(table, out);
    paper_write_md(table, out);
    paper_write_tex(table, out);
    paper_write_csv(table, out);
    json_decref(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static FILE *out;
    json_t *tree = NULL;
    Error   err  = {0};
    if (out == NULL) out = fopen("/dev/null", "w");
    CHECK(out != NULL, "no /dev/null");
    if (!json_load_bytes(&tree, bytes, n, &err)) return 0;
    const char *schema   = json_string_value(json_object_get(tree, "schema"));
    const bool  is_paper = schema != NULL && strcmp(schema, PAPER_SCHEMA) == 0;
    if (!(is_paper ? paper_check(tree, &err) : claims_check(tree, &err))) CHECK(err.message[0] != '\0', "refused without a word");
    else if (is_paper) fill(tree, out);
    else               judge(tree, out);
    json_decref(tree);
    return 0;
}
