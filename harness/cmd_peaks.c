/* morbench peaks [--out FILE] [--json]: the ceilings of this machine for so many threads, for rooflines. */
#include "engine/clock.h"
#include "engine/json.h"
#include "harness/commands.h"
#include "harness/measure/peaks.h"
#include "harness/options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void print_rate(const char *name, double rate, const char *unit) {
    if (isfinite(rate)) printf("%-26s %10.1f %s\n", name, rate / 1e9, unit);
    else                printf("%-26s %10s\n", name, "unknown");
}

int cmd_peaks(int argc, char **argv, Error *err) {
    static Machine machine;                      /* 40 KB */
    const char *out = NULL, *tell = NULL;
    int         fd = STDOUT_FILENO;
    bool        json = false;
    const Option options[] = {
        {.name = "out", .value = "FILE", .help = "write them as JSON", .text = &out},
        {.name = "json", .help = "print them as JSON", .flag = &json},
        {.name = "tell", .value = "FD", .help = "the same to a descriptor", .text = &tell},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"peaks", "", "Measures what this machine does at most: multiply-adds and memory, with as many threads as asked for.", options, 0, 0}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    if (tell != NULL && !option_count("tell", tell, 1, 1023, &fd, err)) return EXIT_BAD_INPUT;
    Peaks    p;
    BlasInfo blas;
    int      n_pinned;
    char     id[MACHINE_ENV_ID_SIZE], utc[CLOCK_UTC_SIZE];
    json_t  *tree = NULL;
    machine_read(&machine, "", environ, blas_info(&blas) ? &blas : NULL);
    if (!runtime_pin(true, &n_pinned, err) || !peaks_measure(&p, &machine, 7, 0.05, err) || !peaks_to_json(&p, &tree, err) || !machine_env_id(&machine, id, err))
        return err->exit_status;
    clock_utc_text(utc);
    JsonSink root = {.at = tree};
    json_put_text(&root, "schema", "morbench.peaks/1");
    json_put_text(&root, "env_id", id);
    json_put_text(&root, "time", utc);
    bool ok = out == NULL || json_save_file(tree, out, err);
    if (ok && (json || tell != NULL)) {
        char *text = json_to_text(tree);
        ok = text != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the ceilings");
        if (ok) ok = dprintf(fd, "%s", text) >= 0 || FAIL_STATUS(err, EXIT_IO, "", "nobody reads the ceilings");
        free(text);
    } else if (ok) {
        printf("%-26s %10d, %s\n", "threads, kernels", p.threads, p.kernels);
        print_rate("multiply-adds", p.flops_per_s, "G operations/s, a multiply-add as 2");
        print_rate("read, first cache", p.l1_bytes_per_s, "GB/s");
        print_rate("read, second cache", p.l2_bytes_per_s, "GB/s");
        print_rate("read, third cache", p.l3_bytes_per_s, "GB/s");
        print_rate("read, memory", p.memory_bytes_per_s, "GB/s");
        print_rate("triad, memory", p.triad_bytes_per_s, "GB/s");
    }
    json_decref(tree);
    return ok ? EXIT_OK : err->exit_status;
}
