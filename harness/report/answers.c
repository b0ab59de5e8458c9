/* Lines of an experiment out of its rows and runs, see answers.h. */
#include "harness/report/answers.h"

#include "engine/file.h"
#include "harness/measure/stats.h"
#include "harness/report/escape.h"
#include "harness/report/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a line has not: it is over all seeds, and timings stand beside it. */
static bool is_aside(const char *factor) {
    static const char *const aside[] = {"seed", "batch", "threads", "pass"};
    for (size_t i = 0; i < sizeof aside / sizeof *aside; i++)
        if (strcmp(factor, aside[i]) == 0) return true;
    return false;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

const json_t *answer_value(const AnswerLine *line, const char *factor) {
    const json_t *value = json_object_get(line->factors, factor);
    return json_is_null(value) ? NULL : value;
}

bool answer_in_testing(const char *factor) { return strncmp(factor, "test_", 5) == 0; }

void answer_label(const Answer *a, const char *factor, char out[96]) {
    const char   *label = factor + (answer_in_testing(factor) ? 5 : 0);
    const json_t *f;
    size_t        i;
    json_array_foreach(json_object_get(a->experiment, "factors"), i, f)
        if (strcmp(text_of(f, "name"), factor) == 0 && strcmp(text_of(f, "label"), factor) != 0) label = text_of(f, "label");
    snprintf(out, 96, "%s%.80s", answer_in_testing(factor) ? "test-time " : "", label);
}

void answers_caption(const Report *r, char *out, size_t size) {
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < r->n_answers; i++) {
        bool told = r->answer[i].caption[0] == '\0';
        for (int k = 0; k < i && !told; k++) told = strcmp(r->answer[k].caption, r->answer[i].caption) == 0;
        if (!told && n < size) n += (size_t)snprintf(out + n, size - n, "%s%s", n > 0 ? " " : "", r->answer[i].caption);
    }
}

/* -- lines -- */

static json_t *line_factors(const Answer *a, const json_t *row) {
    json_t       *out = json_object(), *value;
    const json_t *f;
    size_t        i;
    json_array_foreach(json_object_get(a->experiment, "factors"), i, f) {
        const char *name = text_of(f, "name");
        if (!is_aside(name) && (value = json_object_get(json_object_get(row, "factors"), name)) != NULL && !json_is_null(value)) json_object_set(out, name, value);
    }
    return out;
}

/* "fixed_blocks, recursion depth R 2" */
static char *line_name(const Answer *a, const json_t *factors) {
    char       *text = NULL;
    size_t      n;
    FILE       *f = open_memstream(&text, &n);
    const char *key, *between = "";
    json_t     *value;
    bool        tested = false;                /* what a test varies says that it is one */
    if (f == NULL) return NULL;
    json_object_foreach((json_t *)factors, key, value) tested = tested || answer_in_testing(key);
    json_object_foreach((json_t *)factors, key, value) {
        if (tested && strcmp(key, "evaluation") == 0) continue;
        char *other = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
        char label[96];
        answer_label(a, key, label);
        fputs(between, f);
        if (strcmp(key, "cell") != 0 && strcmp(key, "evaluation") != 0) fprintf(f, "%s ", label);
        fputs(json_is_string(value) ? json_string_value(value) : other != NULL ? other : "?", f);
        free(other);
        between = ", ";
    }
    if (*between == '\0') fputs(a->name, f);
    return fclose(f) == 0 ? text : NULL;
}

static AnswerLine *find_line(Answer *a, const json_t *row, Error *err) {
    json_t *factors = line_factors(a, row);
    for (int i = 0; i < a->n_lines; i++)
        if (json_equal(a->line[i].factors, factors)) {
            json_decref(factors);
            return &a->line[i];
        }
    AnswerLine *grown = factors != NULL ? realloc(a->line, (size_t)(a->n_lines + 1)*sizeof *grown) : NULL;
    if (grown != NULL) {
        a->line = grown;
        AnswerLine *line = &a->line[a->n_lines];
        *line = (AnswerLine){.factors = factors, .name = line_name(a, factors), .cell = text_of(factors, "cell"), .evaluation = text_of(factors, "evaluation"),
                             .top1 = NAN, .top1_low = NAN, .top1_high = NAN, .difference = NAN, .difference_low = NAN, .difference_high = NAN,
                             .params = NAN, .macs = NAN};
        a->n_lines++;
        if (line->name != NULL) return line;
    } else json_decref(factors);
    FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for an experiment's lines");
    return NULL;
}

static const ReportRow *run_at(const Report *r, const Answer *a, const char *directory) {
    char path[4400];
    snprintf(path, sizeof path, "%.2100s%s%.2100s/run.json", a->dir, a->dir[0] != '\0' ? "/" : "", directory);
    for (int i = 0; directory[0] != '\0' && i < r->n_rows; i++)
        if (strcmp(r->row[i].path, path) == 0) return figure_valid(&r->row[i]) ? &r->row[i] : NULL;
    return NULL;
}

static void add_timed(Answer *a, AnswerLine *line, const json_t *row, const ReportRow *run) {
    const json_t *factors = json_object_get(row, "factors");
    AnswerTiming  t = {.batch = (int)json_integer_value(json_object_get(factors, "batch")), .threads = (int)json_integer_value(json_object_get(factors, "threads"))};
    int           k = 0;
    snprintf(t.pass, sizeof t.pass, "%s", text_of(factors, "pass"));
    while (k < a->n_timings && !(a->timing[k].batch == t.batch && a->timing[k].threads == t.threads && strcmp(a->timing[k].pass, t.pass) == 0)) k++;
    if (k == ANSWER_MAX_TIMINGS) return;
    if (k == a->n_timings) a->timing[a->n_timings++] = t;
    line->timed[k] = run;
}

static bool add_run(AnswerLine *line, const json_t *row, const ReportRow *run, Error *err) {
    const ReportRow **runs  = realloc(line->run, (size_t)(line->n_runs + 1)*sizeof *runs);
    if (runs != NULL) line->run = runs;
    int              *seeds = runs != NULL ? realloc(line->seed, (size_t)(line->n_runs + 1)*sizeof *seeds) : NULL;
    if (seeds == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for an experiment's runs");
    line->seed = seeds;
    line->run[line->n_runs]    = run;
    line->seed[line->n_runs++] = (int)json_integer_value(json_object_get(json_object_get(row, "factors"), "seed"));
    return true;
}

static bool collect(const Report *r, Answer *a, Error *err) {
    const json_t *row;
    size_t        i;
    json_array_foreach(json_object_get(a->experiment, "cells"), i, row) {
        AnswerLine      *line  = find_line(a, row, err);
        const ReportRow *run   = run_at(r, a, text_of(row, "directory"));
        const bool       timed = strcmp(text_of(row, "kind"), "bench") == 0;
        if (line == NULL) return false;
        a->n_cells++;
        line->n_asked += !timed;
        if (run == NULL) {
            a->n_missing++;
            continue;
        }
        if (timed) add_timed(a, line, row, run);
        else if (isfinite(report_number(run->run, "/accuracy/top1_ratio")) && !add_run(line, row, run, err)) return false;
    }
    return true;
}

/* -- figures -- */

static double top1_of(const ReportRow *row) { return report_number(row->run, "/accuracy/top1_ratio"); }

/* Mean of x (n) and Student's interval, which needs two. */
static void summarise(const double *x, int n, double *mean, double *low, double *high) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    *mean = n > 0 ? sum/n : NAN;
    *low = *high = NAN;
    if (n < 2) return;
    for (int i = 0; i < n; i++) squares += (x[i] - *mean)*(x[i] - *mean);
    const double half = stats_student(n - 1)*sqrt(squares/(n - 1)/n);
    *low  = *mean - half;
    *high = *mean + half;
}

static void describe(AnswerLine *line, const AnswerLine *first, double *x) {
    double macs = 0;
    for (int i = 0; i < line->n_runs; i++) {
        x[i] = top1_of(line->run[i]);
        macs += figure_macs(line->run[i], "");
    }
    summarise(x, line->n_runs, &line->top1, &line->top1_low, &line->top1_high);
    if (line->n_runs == 1) {
        line->top1_low  = report_number(line->run[0]->run, "/accuracy/top1_low_ratio");
        line->top1_high = report_number(line->run[0]->run, "/accuracy/top1_high_ratio");
    }
    const ReportRow *any = line->n_runs > 0 ? line->run[0] : NULL;
    for (int k = 0; any == NULL && k < ANSWER_MAX_TIMINGS; k++) any = line->timed[k];
    line->macs   = line->n_runs > 0 ? macs/line->n_runs : any != NULL ? figure_macs(any, "") : NAN;
    line->params = any != NULL ? report_number(any->run, "/model/params_count") : NAN;
    if (line == first) return;
    for (int i = 0; i < line->n_runs; i++)
        for (int k = 0; k < first->n_runs; k++)
            if (first->seed[k] == line->seed[i]) {
                x[line->n_pairs++] = top1_of(line->run[i]) - top1_of(first->run[k]);
                break;
            }
    summarise(x, line->n_pairs, &line->difference, &line->difference_low, &line->difference_high);
}

static bool is_experiment(const json_t *tree) {
    return strcmp(text_of(tree, "schema"), "morbench.experiment/1") == 0 && json_is_array(json_object_get(tree, "cells")) &&
           json_is_array(json_object_get(tree, "factors"));
}

static bool make_one(const Report *r, Answer *a, Error *err) {
    int most = 1;
    a->name     = text_of(a->experiment, "experiment");
    a->size     = text_of(a->experiment, "size");
    a->question = text_of(a->experiment, "question");
    a->caption  = text_of(a->experiment, "caption");
    if (!collect(r, a, err)) return false;
    for (int i = 0; i < a->n_lines; i++)
        if (a->line[i].n_runs > most) most = a->line[i].n_runs;
    double *x = malloc((size_t)most*sizeof *x);
    if (x == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for an experiment's figures");
    for (int i = 0; i < a->n_lines; i++) describe(&a->line[i], &a->line[0], x);
    free(x);
    return true;
}

bool answers_make(Report *r, const char *dir, Error *err) {
    for (int i = 0; i < r->n_answers; i++) {
        char  path[4400];
        Error wrong = {0};
        Answer *a = &r->answer[i];
        snprintf(path, sizeof path, "%.2100s/%.2100s%sexperiment.json", dir, a->dir, a->dir[0] != '\0' ? "/" : "");
        if ((json_load_file_checked(&a->experiment, path, 0, &wrong) && (is_experiment(a->experiment) || FAIL(&wrong, "/schema", "must be what morbench run wrote")))) {
            if (!make_one(r, a, err)) return false;
            continue;
        }
        char text[1024];
        error_in(&wrong, path);
        error_text(&wrong, text, sizeof text);
        fprintf(stderr, "warning: left out: ");
        escape_terminal(stderr, text);
        fputc('\n', stderr);
        json_decref(a->experiment);
        free(a->dir);
        memmove(a, a + 1, (size_t)(r->n_answers - i - 1)*sizeof *a);
        r->n_answers--;
        i--;
    }
    return true;
}

void answers_free(Report *r) {
    for (int i = 0; i < r->n_answers; i++) {
        Answer *a = &r->answer[i];
        for (int k = 0; k < a->n_lines; k++) {
            free(a->line[k].name);
            free(a->line[k].run);
            free(a->line[k].seed);
            json_decref(a->line[k].factors);
        }
        free(a->line);
        free(a->dir);
        json_decref(a->experiment);
    }
    free(r->answer);
    r->answer    = NULL;
    r->n_answers = 0;
}
