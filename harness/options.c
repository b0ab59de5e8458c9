/* Parsing of the command line, see options.h, and what its process settings do. */
#include "harness/options.h"

#include "engine/backends/blas_info.h"
#include "engine/field.h"
#include "harness/blas_check.h"
#include "harness/machine.h"

#include <errno.h>
#include <getopt.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { OPTIONS_MAX = 48 };

/* ---- a command's own options ---- */

bool option_count(const char *name, const char *text, int low, int high, int *out, Error *err) {
    char where[64], *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (text[0] == '\0' || text[0] == ' ' || *end != '\0' || errno != 0 || value < low || value > high) {
        snprintf(where, sizeof where, "--%s", name);
        return FAIL(err, where, "must be a whole number in [%d, %d], got '%.60s'", low, high, text);
    }
    *out = (int)value;
    return true;
}

char *option_list_item(const char *list, int n) {
    for (; n > 0 && list != NULL; n--) {
        list = strchr(list, ',');
        if (list != NULL) list++;
    }
    return list != NULL ? strndup(list, strcspn(list, ",")) : NULL;
}

int option_list_length(const char *list) {
    int n = 1;
    for (; (list = strchr(list, ',')) != NULL; list++) n++;
    return n;
}

static int count_options(const Option *options) {
    int n = 0;
    while (options[n].name != NULL) n++;
    CHECK(n < OPTIONS_MAX, "a command has %d options", n);
    return n;
}

static const char *nearest_option(const Option *options, const char *given) {
    Field     field[OPTIONS_MAX + 1] = {{0}};
    char      name[64];
    const int n = count_options(options);
    for (int i = 0; i < n; i++) field[i].key = options[i].name;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(given, "="), given);
    return field_nearest(field, name);
}

static bool unknown_option(const Usage *usage, const char *given, Error *err) {
    const char *near = strncmp(given, "--", 2) == 0 ? nearest_option(usage->options, given + 2) : NULL;
    if (near != NULL) return FAIL(err, given, "no such option; did you mean --%s?", near);
    return FAIL(err, given, "no such option; `morbench help %s` lists them", usage->command);
}

static void print_option(const Option *o, int width) {
    const int n = printf("  --%s%s%s", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
    printf("%*s%s\n", width + 6 - n, "", o->help);
}

static int widest(const Option *options) {
    int width = 0;
    for (const Option *o = options; o->name != NULL; o++) {
        const int n = (int)(strlen(o->name) + (o->value != NULL ? strlen(o->value) + 1 : 0));
        if (n > width) width = n;
    }
    return width;
}

static void print_usage(const Usage *usage) {
    printf("usage: morbench %s", usage->command);
    for (const Option *o = usage->options; o->name != NULL; o++)
        if (o->required) printf(" --%s %s", o->name, o->value);
    printf("%s%s [options]\n\n%s\n\n", usage->operands[0] != '\0' ? " " : "", usage->operands, usage->help);
    for (const Option *o = usage->options; o->name != NULL; o++) print_option(o, widest(usage->options));
    printf("\nOf every command:\n");
    runtime_print_help();
}

static struct { UsageTaker take; void *self; } describing;

void options_describe(UsageTaker take, void *self) {
    describing.take = take;
    describing.self = self;
}

/* The argument getopt looked at last: the wrong one, when one is wrong. */
static const char *last_argument(int argc, char **argv) { return optind > 0 && optind <= argc ? argv[optind - 1] : ""; }

/* The argument that getopt took an option from; value: of the option, which may be an argument of its own. */
static const char *word_of(char **argv, const char *value) { return argv[optind - 1] == value ? argv[optind - 2] : argv[optind - 1]; }

/* getopt takes abbreviations, which whoever reads a stored command line would not know. */
static bool is_whole_name(const char *word, const char *name) {
    const size_t n = strlen(name);
    return strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, n) == 0 && (word[2 + n] == '\0' || word[2 + n] == '=');
}

int options_parse(int argc, char **argv, const Usage *usage, Error *err) {
    enum { FIRST_VALUE = 256 };
    struct option known[OPTIONS_MAX + 2] = {{0}};
    bool          given[OPTIONS_MAX]     = {false};
    const int     n                      = count_options(usage->options);
    for (int i = 0; i < n; i++)
        known[i] = (struct option){usage->options[i].name, usage->options[i].value != NULL ? required_argument : no_argument, NULL,
                                   FIRST_VALUE + i};
    known[n] = (struct option){"help", no_argument, NULL, 'h'};
    opterr   = 0;                          /* the Error tells, not getopt */
    optind   = 0;                          /* from the start, whatever was read before */
    for (int c; (c = getopt_long(argc, argv, ":h", known, NULL)) != -1;) {
        if (c == 'h') {
            const char *word = word_of(argv, NULL);
            if (word[0] == '-' && word[1] == '-' && !is_whole_name(word, "help")) {
                unknown_option(usage, word, err);
                return -1;
            }
            if (describing.take != NULL) describing.take(describing.self, usage);
            else                         print_usage(usage);
            return 0;
        }
        if (c == ':') {
            FAIL(err, last_argument(argc, argv), "needs a value: %s", usage->options[optopt - FIRST_VALUE].value);
            return -1;
        }
        if (c < FIRST_VALUE) {
            if (optopt >= FIRST_VALUE) FAIL(err, last_argument(argc, argv), "is a switch and takes no value");
            else                       unknown_option(usage, last_argument(argc, argv), err);
            return -1;
        }
        const Option *o = &usage->options[c - FIRST_VALUE];
        if (!is_whole_name(word_of(argv, o->value != NULL ? optarg : NULL), o->name)) {
            unknown_option(usage, word_of(argv, o->value != NULL ? optarg : NULL), err);
            return -1;
        }
        if (o->text != NULL) *o->text = optarg;
        if (o->flag != NULL) *o->flag = true;
        given[c - FIRST_VALUE] = true;
    }
    for (int i = 0; i < n; i++)
        if (usage->options[i].required && !given[i]) {
            char where[64];
            snprintf(where, sizeof where, "--%s", usage->options[i].name);
            FAIL(err, where, "must be given: %s, %s", usage->options[i].value, usage->options[i].help);
            return -1;
        }
    if (argc - optind > usage->max_operands) {
        FAIL(err, argv[optind + usage->max_operands], "unexpected argument; usage: morbench %s %s", usage->command,
             usage->operands[0] != '\0' ? usage->operands : "takes options only");
        return -1;
    }
    if (argc - optind < usage->min_operands) {
        FAIL(err, "", "%s needs %s", usage->command, usage->operands);
        return -1;
    }
    return optind;
}

/* ---- settings of the process ---- */

static RuntimeOptions runtime;
static const char     exec_marker[] = "MORBENCH_BLAS_CORE";

const RuntimeOptions *runtime_options(void) { return &runtime; }

static bool set_threads(const char *value, Error *err) {
    return option_count("threads", value, 1, THREADS_MAX, &runtime.n_threads, err);
}

static bool set_backend(const char *value, Error *err) {
    runtime.backend = backend_find(value);
    return runtime.backend != NULL || FAIL(err, "--backend", "must be one of %s; got '%.60s'", backend_names(), value);
}

static bool set_blas_core(const char *value, Error *err) {
    if (value[0] == '\0' || strlen(value) > 40 || strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(value))
        return FAIL(err, "--blas-core", "must be auto or the name of a core such as Haswell, SkylakeX or Zen; got '%.60s'", value);
    runtime.blas_core = value;
    return true;
}

static bool set_pin(const char *value, Error *err) {
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) return FAIL(err, "--pin", "must be on or off; got '%.60s'", value);
    runtime.pin = strcmp(value, "on") == 0 ? PIN_ON : PIN_OFF;
    return true;
}

static const struct {
    const char *name, *value, *help;
    bool      (*set)(const char *value, Error *err);
} settings[] = {
    {"--threads", "N", "threads to compute with (default: OMP_NUM_THREADS, else the CPUs allowed)", set_threads},
    {"--backend", "NAME", "kernels to compute with", set_backend},              /* the names are added to the help */
    {"--blas-core", "auto|NAME", "kernels OpenBLAS picks, whatever OPENBLAS_CORETYPE says: its own choice, or those named", set_blas_core},
    {"--pin", "on|off", "keep each thread on one CPU (default: only while measuring)", set_pin},
};

enum { N_SETTINGS = sizeof settings / sizeof *settings };

const Option *runtime_settings(void) {
    static Option table[N_SETTINGS + 1];
    static char   backends[200];
    snprintf(backends, sizeof backends, "kernels to compute with: %s (default: %s)", backend_names(), backend_default()->name);
    for (int i = 0; i < N_SETTINGS; i++)
        table[i] = (Option){.name = settings[i].name + 2, .value = settings[i].value, .help = settings[i].set == set_backend ? backends : settings[i].help};
    return table;
}

void runtime_print_help(void) {
    const Option *table = runtime_settings();
    for (const Option *o = table; o->name != NULL; o++) print_option(o, widest(table));
}

/* The setting that argument names, with "=value" or alone. */
static int setting_of(const char *argument, const char **value) {
    for (int i = 0; i < N_SETTINGS; i++) {
        const size_t n = strlen(settings[i].name);
        if (strncmp(argument, settings[i].name, n) != 0 || (argument[n] != '\0' && argument[n] != '=')) continue;
        *value = argument[n] == '=' ? argument + n + 1 : NULL;
        return i;
    }
    return -1;
}

/* The environment in which the library makes the wanted choice; true when it is like that already. */
static bool prepare_environment(const char *core) {
    const bool  automatic = strcmp(core, "auto") == 0;
    const char *now       = getenv("OPENBLAS_CORETYPE"), *marker = getenv(exec_marker);
    const bool  fits      = automatic ? now == NULL : now != NULL && strcmp(now, core) == 0;
    if ((fits && getenv("OPENBLAS_L2_SIZE") == NULL) || (marker != NULL && strcmp(marker, core) == 0)) return true;
    unsetenv("OPENBLAS_L2_SIZE");
    if (automatic) unsetenv("OPENBLAS_CORETYPE");
    else           setenv("OPENBLAS_CORETYPE", core, 1);
    setenv(exec_marker, core, 1);           /* should the environment come out otherwise, we do not go round for ever */
    return false;
}

bool runtime_take_options(int *argc, char **argv, Error *err) {
    int    kept  = 1, i = 1;
    char **whole = calloc((size_t)*argc + 1, sizeof *whole);
    if (whole == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate the command line");
    memcpy(whole, argv, (size_t)*argc * sizeof *whole);
    for (bool taking = true; i < *argc; i++) {
        const char *value;
        const int   s = taking ? setting_of(argv[i], &value) : -1;
        if (strcmp(argv[i], "--") == 0) taking = false;
        if (s < 0) {
            argv[kept++] = argv[i];
            continue;
        }
        if (value == NULL && ++i < *argc) value = argv[i];
        if (value == NULL ? !FAIL(err, settings[s].name, "needs a value") : !settings[s].set(value, err)) {
            free(whole);
            return false;
        }
    }
    argv[kept] = NULL;
    *argc      = kept;
    bool ok = true;
    if (runtime.blas_core != NULL && !prepare_environment(runtime.blas_core)) {
        execv("/proc/self/exe", whole);
        ok = FAIL_STATUS(err, EXIT_MACHINE, "--blas-core", "cannot start anew with another environment: %s", strerror(errno));
    }
    free(whole);
    if (!ok) return false;
    if (runtime.n_threads > 0) omp_set_num_threads(runtime.n_threads);
    if (omp_get_max_threads() > THREADS_MAX)
        return FAIL(err, "OMP_NUM_THREADS", "must be in [1, %d], got %d", THREADS_MAX, omp_get_max_threads());
    return true;
}

const Backend *runtime_backend(void) { return runtime.backend != NULL ? runtime.backend : backend_default(); }

int runtime_threads(void) { return omp_get_max_threads(); }

bool runtime_begin(Error *err) {
    const Backend *backend = runtime_backend();
    BlasInfo       blas;
    const bool     has_blas = blas_info(&blas);
    if (backend->usable != NULL && !backend->usable())
        return FAIL_STATUS(err, EXIT_MACHINE, "--backend", "%s cannot run on this CPU", backend->name);
    if (runtime.blas_core != NULL && strcmp(runtime.blas_core, "auto") != 0 && has_blas && blas.core != NULL &&
        strcasecmp(blas.core, runtime.blas_core) != 0)
        return FAIL_STATUS(err, EXIT_MACHINE, "--blas-core", "%s has no kernels '%s', it took %s", blas.library, runtime.blas_core, blas.core);
    if (runtime.blas_core == NULL && getenv("OPENBLAS_CORETYPE") != NULL) {
        Machine machine;
        char    text[512];
        machine_read(&machine, "", environ, has_blas ? &blas : NULL);
        if (blas_check(&machine, text, sizeof text) == BLAS_FORCED_NARROW)
            fprintf(stderr, "morbench: warning: %s; --blas-core auto takes the faster ones\n", text);
    }
    return true;
}

bool runtime_pin(bool measuring, int *n_pinned, Error *err) {
    *n_pinned = 0;
    if (runtime.pin == PIN_OFF || (runtime.pin == PIN_UNSAID && !measuring)) return true;
    return machine_pin_threads(true, n_pinned, err);
}
