/* morbench man: the manual page morbench(1) as roff, from the tables that --help prints from. `man -l <(morbench man)` shows it. */
#include "harness/commands.h"

#include <stdio.h>
#include <string.h>

/* Text in which nothing is a request or an escape: backslashes, hyphens that are to stay, dots and quotes that begin a line. */
static void put_roff(const char *text) {
    for (bool begins = true; *text != '\0'; begins = *text == '\n', text++) {
        if (begins && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        if (*text == '\\')      fputs("\\e", stdout);
        else if (*text == '-')  fputs("\\-", stdout);
        else if (*text == '`')  fputs("\\(ga", stdout);
        else if (*text == '^')  fputs("\\(ha", stdout);
        else if (*text == '~')  fputs("\\(ti", stdout);
        else                    putchar(*text);
    }
}

static void put_bold(const char *before, const char *text) {
    printf("\\fB%s", before);
    put_roff(text);
    fputs("\\fR", stdout);
}

static void put_item(const char *name, const char *value, const char *help) {
    fputs(".TP\n", stdout);
    put_bold("\\-\\-", name);
    if (value != NULL) {
        fputs(" \\fI", stdout);
        put_roff(value);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_roff(help);
    putchar('\n');
}

static void put_command(void *self, const Usage *usage) {
    (void)self;
    fputs(".SS morbench ", stdout);
    put_roff(usage->command);
    fputs("\n", stdout);
    put_bold("morbench ", usage->command);
    for (const Option *o = usage->options; o->name != NULL; o++)
        if (o->required) {
            fputs(" \\-\\-", stdout);
            put_roff(o->name);
            putchar(' ');
            put_roff(o->value);
        }
    putchar(' ');
    put_roff(usage->operands);
    fputs(" [options]\n.PP\n", stdout);
    put_roff(usage->help);
    putchar('\n');
    for (const Option *o = usage->options; o->name != NULL; o++) put_item(o->name, o->value, o->help);
}

typedef struct Named { const char *name, *help; } Named;

static const Named environment[] = {
    {"MORBENCH_DATA", "where data sets are looked for and fetched to, each in a folder of its name; default ~/.cache/morbench"},
    {"MORBENCH_SCRIPTS", "the folder of fetch_data.sh, when it does not lie with the program"},
    {"MORBENCH_DEBUG", "1: an error also tells the source line that noticed it"},
    {"OMP_NUM_THREADS", "threads to compute with, when --threads does not say"},
    {"OPENBLAS_CORETYPE", "kernels that OpenBLAS picks; warned of when they are slower than the CPU allows, --blas-core overrides it"},
    {"MORBENCH_MACHINE_LOCK", "the file that trainings of run share and a timing has alone; default /tmp/morbench-machine.lock"},
    {"TMPDIR", "where rerun works"},
    {0},
};

static const Named files[] = {
    {"DIR/run.json", "one measured cell; the only mark that it is done"},
    {"DIR/weights.safetensors", "weights that a training ended with"},
    {"DIR/checkpoint-STEP.safetensors", "the two newest states of a training that goes on, or was ended"},
    {"DIR/.tmp-*", "a file half written by a process that was killed; the next training there, or fsck, clears it away"},
    {"DIR/.fsck-TIME/", "what fsck moved aside"},
    {0},
};

static void put_named(const char *section, const Named *list) {
    printf(".SH %s\n", section);
    for (; list->name != NULL; list++) {
        fputs(".TP\n", stdout);
        put_bold("", list->name);
        putchar('\n');
        put_roff(list->help);
        putchar('\n');
    }
}

int cmd_man(int argc, char **argv, Error *err) {
    const Option options[] = {OPTIONS_END};
    const int    first     = options_parse(argc, argv, &(Usage){"man", "", "Prints the manual page of the program, as roff.", options, 0, 0}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    printf(".\\\" made by `morbench man`\n.TH MORBENCH 1 \"\" \"morbench %s\" \"User Commands\"\n", MORBENCH_VERSION);
    printf(".SH NAME\nmorbench \\- train, run and measure Vision Transformers\n.SH SYNOPSIS\n\\fBmorbench\\fR \\fICOMMAND\\fR [options]\n"
           ".SH DESCRIPTION\nTrains, runs and measures MoR\\-ViT beside ViT, DeiT, DynamicViT and TinyViT on CPUs, counts every "
           "multiply\\-accumulate that ran, and answers with JSON, tables and plots.\n");
    for (const Command *c = commands; c->name != NULL; c++) {
        fputs(".TP\n", stdout);
        put_bold("", c->name);
        putchar('\n');
        put_roff(c->help);
        putchar('\n');
    }
    printf(".SH COMMANDS\n");
    if (!commands_describe(put_command, NULL, err)) return err->exit_status;
    printf(".SH OPTIONS OF EVERY COMMAND\n");
    for (const Option *o = runtime_settings(); o->name != NULL; o++) put_item(o->name, o->value, o->help);
    put_item("help", NULL, "what the command takes");
    printf(".SH EXIT STATUS\n");
    for (const ExitStatus *e = exit_statuses; e->status != NULL; e++) {
        fputs(".TP\n", stdout);
        put_bold("", e->status);
        putchar('\n');
        put_roff(e->meaning);
        putchar('\n');
    }
    put_named("ENVIRONMENT", environment);
    put_named("FILES", files);
    return EXIT_OK;
}
