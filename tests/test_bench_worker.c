/* Starting a process that measures and hearing what it says. The process is this very program, run again, which then does as
 * its second argument says: speaks, errs, dies, or breaks off. */
#include "harness/measure/bench.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void tell(const char *text) {
    if (write(WORKER_FD, text, strlen(text)) < 0) _exit(9);
}

static int act(const char *what) {
    fprintf(stderr, "first line\nlast line of %s\n", what);
    printf("and something on stdout\n");
    fflush(stdout);
    fprintf(stderr, "the very last\n\n");
    if (strcmp(what, "speak") == 0) tell("{\"latency_ns\": [1.5, 2.5]}");
    if (strcmp(what, "padding") == 0) {
        const char *padding = getenv("MORBENCH_PADDING");
        char        text[64];
        snprintf(text, sizeof text, "{\"bytes\": %zu}", padding != NULL ? strlen(padding) : 0);
        tell(text);
    }
    if (strcmp(what, "much") == 0) {                         /* more than a pipe holds */
        tell("[0");
        for (int i = 1; i < 200000; i++) tell(",1");
        tell("]");
    }
    if (strcmp(what, "err") == 0) {
        tell("{\"error\": {\"message\": \"no memory for 7 images\", \"field\": \"/model\", \"input\": \"m.json\", \"exit_status\": 2}}");
        return 2;
    }
    if (strcmp(what, "break") == 0) { tell("{\"latency_ns\": [1.5,"); return 0; }
    if (strcmp(what, "lie") == 0) { tell("{}"); return 7; }  /* a status that does not fit what was said */
    if (strcmp(what, "die") == 0) {
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    if (strcmp(what, "killed") == 0) raise(SIGKILL);
    return strcmp(what, "silent") == 0 ? 5 : 0;
}

static bool run(const char *what, int padding, json_t **out, Error *err) {
    const char *const argv[] = {"test", "--act", what, NULL};
    *out = NULL;
    return worker_run(out, argv, padding, err);
}

static void what_is_said_is_heard_whole(void **state) {
    (void)state;
    json_t *said;
    Error   err = {0};
    assert_true(run("speak", 0, &said, &err));
    assert_int_equal(json_array_size(json_object_get(said, "latency_ns")), 2);
    json_decref(said);
    assert_true(run("much", 0, &said, &err));
    assert_int_equal(json_array_size(said), 200000);
    json_decref(said);
}

static void the_environment_is_padded_by_so_many_bytes(void **state) {
    (void)state;
    static const int bytes[] = {0, 1, 4096};
    for (int i = 0; i < 3; i++) {
        json_t *said;
        Error   err = {0};
        assert_true(run("padding", bytes[i], &said, &err));
        assert_int_equal(json_integer_value(json_object_get(said, "bytes")), bytes[i]);
        json_decref(said);
    }
}

static void its_error_comes_back_as_ours(void **state) {
    (void)state;
    json_t *said;
    Error   err = {0};
    assert_false(run("err", 0, &said, &err));
    assert_int_equal(err.exit_status, EXIT_MACHINE);
    assert_string_equal(err.message, "no memory for 7 images");
    assert_string_equal(err.field, "/model");
    assert_string_equal(err.input, "m.json");
    assert_null(said);
}

static void a_death_is_told_with_its_signal_and_last_line(void **state) {
    (void)state;
    static const struct { const char *what, *says; int status; } known[] = {
        {"die",    "ended by signal 6",                           EXIT_CELLS},
        {"killed", "ended by signal 9",                           EXIT_MACHINE},   /* what happens when memory runs out */
        {"silent", "ended with status 5 and said nothing",        EXIT_CELLS},
        {"break",  "ended with status 0 and said nothing",        EXIT_CELLS},
        {"lie",    "ended with status 7",                         EXIT_CELLS},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        json_t *said;
        Error   err = {0};
        assert_false(run(known[i].what, 0, &said, &err));
        if (strstr(err.message, known[i].says) == NULL) fail_msg("%s: %s", known[i].what, err.message);
        assert_int_equal(err.exit_status, known[i].status);
        assert_non_null(strstr(err.message, "the very last"));
    }
}

/* The descriptor that the worker speaks through may be free or taken here; its log must not end up in there. */
static void descriptors_in_any_order_do_not_mix_what_is_said_with_the_log(void **state) {
    (void)state;
    for (int n_taken = 0; n_taken < 5; n_taken++) {
        int     taken[8];
        json_t *said;
        Error   err = {0};
        for (int i = 0; i < n_taken; i++) taken[i] = dup(STDERR_FILENO);
        assert_true(run("speak", 0, &said, &err));
        json_decref(said);
        for (int i = 0; i < n_taken; i++) close(taken[i]);
    }
}

static void no_descriptor_is_lost(void **state) {
    (void)state;
    const int before = dup(STDERR_FILENO);
    close(before);
    for (int i = 0; i < 20; i++) {
        json_t *said;
        Error   err = {0};
        run(i % 2 == 0 ? "speak" : "silent", 0, &said, &err);
        json_decref(said);
    }
    const int after = dup(STDERR_FILENO);
    close(after);
    assert_int_equal(before, after);
}

/* -- turns -- */

static void each_block_holds_every_cell_once_in_an_order_of_the_seed(void **state) {
    (void)state;
    int a[9 * 8], b[9 * 8], c[9 * 8];
    plan_turns(a, 9, 8, 1);
    plan_turns(b, 9, 8, 1);
    plan_turns(c, 9, 8, 2);
    assert_memory_equal(a, b, sizeof a);
    assert_true(memcmp(a, c, sizeof a) != 0 && memcmp(a, a + 8, 8 * sizeof *a) != 0);
    for (int block = 0; block < 9; block++) {
        int seen[8] = {0};
        for (int i = 0; i < 8; i++) seen[a[block * 8 + i]]++;
        for (int i = 0; i < 8; i++) assert_int_equal(seen[i], 1);
    }
}

/* scipy.stats.kendalltau([0,0,0,1,1,1], range(6)) and ([0,1,1,0,0,1], range(6)) */
static void order_is_judged_by_kendalls_tau(void **state) {
    (void)state;
    const double in_turn = plan_order_tau((int[]){0, 0, 0, 1, 1, 1}, 3, 2), mixed = plan_order_tau((int[]){0, 1, 1, 0, 0, 1}, 3, 2);
    assert_true(in_turn - 0.7745966692414834 < 1e-12 && in_turn - 0.7745966692414834 > -1e-12);
    assert_true(mixed - 0.08606629658238704 < 1e-12 && mixed - 0.08606629658238704 > -1e-12);
    int order[9 * 12];
    for (uint64_t seed = 0; seed < 200; seed++)
        for (int cells = 2; cells <= 12; cells++) {
            plan_turns(order, 9, cells, seed);
            const double tau = plan_order_tau(order, 9, cells);
            if (!(tau < 0.2 && tau > -0.2)) fail_msg("seed %d, %d cells: %.3f", (int)seed, cells, tau);
        }
}

static void effort_that_falls_short_names_the_setting(void **state) {
    (void)state;
    Error        err = {0};
    const Effort standard = *effort_find("standard", &err), paper = *effort_find("paper", &err);
    assert_true(standard.processes == 9 && standard.min_samples == 30 && standard.min_seconds == 3);
    assert_true(paper.processes == 10 && paper.min_samples == 100 && paper.processes * paper.min_seconds == 60);
    assert_null(effort_shortfall(&standard));
    Effort e = standard;
    e.processes = 8;
    assert_string_equal(effort_shortfall(&e), "--processes");
    e = standard;
    e.min_samples = 29;
    assert_string_equal(effort_shortfall(&e), "--samples");
    e = standard;
    e.min_seconds = 2.99;
    assert_string_equal(effort_shortfall(&e), "--seconds");
    e.min_seconds = 4;
    e.processes   = 20;
    assert_null(effort_shortfall(&e));
    assert_null(effort_find("fast", &err));
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--act") == 0) return act(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_said_is_heard_whole),
        cmocka_unit_test(the_environment_is_padded_by_so_many_bytes),
        cmocka_unit_test(its_error_comes_back_as_ours),
        cmocka_unit_test(a_death_is_told_with_its_signal_and_last_line),
        cmocka_unit_test(descriptors_in_any_order_do_not_mix_what_is_said_with_the_log),
        cmocka_unit_test(no_descriptor_is_lost),
        cmocka_unit_test(each_block_holds_every_cell_once_in_an_order_of_the_seed),
        cmocka_unit_test(order_is_judged_by_kendalls_tau),
        cmocka_unit_test(effort_that_falls_short_names_the_setting),
    };
    return cmocka_run_group_tests_name("bench_worker", tests, NULL, NULL);
}
