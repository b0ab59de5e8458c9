/* morbench fsck DIR: what in a directory of results is half, damaged, double or strange; moved aside, never deleted. */
#include "harness/commands.h"
#include "harness/fsck.h"
#include "harness/report/escape.h"

#include <stdio.h>
#include <stdlib.h>

static bool print_json(const Fsck *f, const char *dir, Error *err) {
    JsonSink root;
    json_t  *tree = NULL;
    json_sink_begin(&root);
    fsck_put(f, dir, &root);
    if (!json_sink_finish(&root, &tree, err)) return false;
    char *text = json_to_text(tree);
    json_decref(tree);
    if (text == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d findings", f->n);
    fputs(text, stdout);
    free(text);
    return true;
}

static void print(const Fsck *f, const char *dir) {
    for (int i = 0; i < f->n; i++) {
        printf("%-18s ", fsck_kind_name(f->finding[i].kind));
        escape_terminal(stdout, f->finding[i].path);
        fputs(": ", stdout);
        escape_terminal(stdout, f->finding[i].why);
        fputc('\n', stdout);
    }
    printf("%d results, %d checkpoints, %d findings", f->n_results, f->n_checkpoints, f->n);
    if (f->n_busy > 0) printf(", %d in use and left alone", f->n_busy);
    fputc('\n', stdout);
    if (f->aside[0] == '\0') return;
    fputs("moved to ", stdout);
    escape_terminal(stdout, dir);
    printf("/%s, with fsck.json that says why\n", f->aside);
}

int cmd_fsck(int argc, char **argv, Error *err) {
    bool         dry = false, json = false;
    const Option options[] = {
        {.name = "dry-run", .help = "only say what is found", .flag = &dry},
        {.name = "json", .help = "print the findings as JSON", .flag = &json},
        OPTIONS_END,
    };
    const Usage usage = {"fsck", "DIR",
                         "Looks through results for half-written files, damaged or double run.json, checkpoints and weights that do not belong\n"
                         "there, and files that no command writes. They are moved into DIR/.fsck-TIME/, never deleted. Exit status 5 when\n"
                         "there is anything. What a running process holds is left alone.",
                         options, 1, 1};
    const int first = options_parse(argc, argv, &usage, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    Fsck f;
    bool ok = fsck_scan(&f, argv[first], err);
    const bool moved = !ok || dry || fsck_move_aside(&f, argv[first], err);
    if (ok && json) ok = print_json(&f, argv[first], moved ? err : &(Error){0});
    else if (ok)    print(&f, argv[first]);
    if (ok && moved && f.n > 0) {
        FAIL_STATUS(err, EXIT_IO, "", "%d findings%s", f.n, dry ? "; nothing was moved" : ", moved aside");
        error_in(err, argv[first]);
    }
    const int status = ok && moved && f.n == 0 ? EXIT_OK : err->exit_status;
    fsck_free(&f);
    return status;
}
