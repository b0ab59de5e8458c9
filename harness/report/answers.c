/* Lines of an experiment out of its rows and runs, see answers.h. */
#include "harness/report/answers.h"

#include "engine/file.h"
#include "harness/measure/student.h"
#include "harness/measure/two_samples.h"
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

bool answer_equal(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return a == b || json_equal(a, b);
}

static const json_t *find_factor(const Answer *a, const char *name) {
    const json_t *f;
    size_t        i;
    json_array_foreach(json_object_get(a->experiment, "factors"), i, f)
        if (strcmp(text_of(f, "name"), name) == 0) return f;
    return NULL;
}

bool answer_in_testing(const Answer *a, const char *factor) { return json_is_true(json_object_get(find_factor(a, factor), "test_time")); }

void answer_label(const Answer *a, const char *factor, char out[96]) {
    const bool  tested = answer_in_testing(a, factor);
    const char *label  = text_of(find_factor(a, factor), "label");
    if (label[0] == '\0' || strcmp(label, factor) == 0) label = factor + (tested && strncmp(factor, "test_", 5) == 0 ? 5 : 0);
    snprintf(out, 96, "%s%.80s", tested ? "test-time " : "", label);
}

bool answer_uses(const Answer *a, const Report *r, const bool used[]) {
    const size_t n = strlen(a->dir);
    for (int i = 0; i < r->n_rows; i++)
        if (used[i] && (n == 0 || (strncmp(r->row[i].path, a->dir, n) == 0 && r->row[i].path[n] == '/'))) return true;
    return false;
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

char *answer_name(const Answer *a, const AnswerLine *line, bool (*left_out)(const char *factor, void *self), void *self) {
    char       *text = NULL;
    size_t      n;
    FILE       *f = open_memstream(&text, &n);
    const char *key, *between = "";
    json_t     *value;
    bool        tested = false;                /* what a test varies says that it is one */
    if (f == NULL) return NULL;
    json_object_foreach(line->factors, key, value) tested = tested || answer_in_testing(a, key);
    json_object_foreach(line->factors, key, value) {
        const bool named = strcmp(key, "cell") == 0 || strcmp(key, "evaluation") == 0;
        if ((tested && strcmp(key, "evaluation") == 0) || (left_out != NULL && left_out(key, self))) continue;
        char *other = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6)), label[96];
        answer_label(a, key, label);
        fprintf(f, "%s%s%s%s", between, named ? "" : label, named ? "" : " ", json_is_string(value) ? json_string_value(value) : other != NULL ? other : "?");
        free(other);
        between = ", ";
    }
    if (*between == '\0') fputs(a->name, f);
    return fclose(f) == 0 ? text : NULL;
}

static bool same_factors(const json_t *a, const json_t *b) {
    const char *key;
    json_t     *value;
    if (json_object_size(a) != json_object_size(b)) return false;
    json_object_foreach((json_t *)a, key, value)
        if (!answer_equal(value, json_object_get(b, key))) return false;
    return true;
}

static AnswerLine *find_line(Answer *a, const json_t *row, Error *err) {
    json_t *factors = line_factors(a, row);
    for (int i = 0; i < a->n_lines; i++)
        if (same_factors(a->line[i].factors, factors)) {
            json_decref(factors);
            return &a->line[i];
        }
    AnswerLine *grown = factors != NULL ? realloc(a->line, (size_t)(a->n_lines + 1)*sizeof *grown) : NULL;
    if (grown != NULL) {
        a->line = grown;
        AnswerLine *line = &a->line[a->n_lines];
        *line = (AnswerLine){.factors = factors, .cell = text_of(factors, "cell"), .evaluation = text_of(factors, "evaluation"),
                             .top1 = NAN, .top1_low = NAN, .top1_high = NAN, .difference = NAN, .difference_low = NAN, .difference_high = NAN,
                             .p = NAN, .p_corrected = NAN, .params = NAN, .macs = NAN};
        line->name  = answer_name(a, line, NULL, NULL);
        line->timed = calloc((size_t)a->n_timings + 1, sizeof *line->timed);
        a->n_lines++;
        if (line->name != NULL && line->timed != NULL) return line;
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

static bool timing_of(const json_t *row, AnswerTiming *t) {
    const json_t *factors = json_object_get(row, "factors");
    const char   *pass = text_of(factors, "pass");
    *t = (AnswerTiming){(int)json_integer_value(json_object_get(factors, "batch")), (int)json_integer_value(json_object_get(factors, "threads")), strcmp(pass, "train_step") == 0};
    return t->batch > 0 && t->threads > 0 && (t->train_step || strcmp(pass, "forward") == 0);
}

static int find_timing(const Answer *a, const AnswerTiming *t) {
    for (int k = 0; k < a->n_timings; k++)
        if (a->timing[k].batch == t->batch && a->timing[k].threads == t->threads && a->timing[k].train_step == t->train_step) return k;
    return -1;
}

/* The conditions come first, so that every line has a place for each. */
static bool collect_timings(Answer *a, Error *err) {
    const json_t *row;
    size_t        i;
    json_array_foreach(json_object_get(a->experiment, "cells"), i, row) {
        AnswerTiming t;
        if (strcmp(text_of(row, "kind"), "bench") != 0 || !timing_of(row, &t) || find_timing(a, &t) >= 0) continue;
        AnswerTiming *grown = realloc(a->timing, (size_t)(a->n_timings + 1)*sizeof *grown);
        if (grown == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for an experiment's timings");
        a->timing = grown;
        a->timing[a->n_timings++] = t;
    }
    return true;
}

static bool has_run(const AnswerLine *line, const ReportRow *run, int seed) {
    for (int i = 0; i < line->n_runs; i++)
        if (line->run[i] == run || line->seed[i] == seed) return true;
    return false;
}

static bool add_run(Answer *a, AnswerLine *line, const json_t *row, const ReportRow *run, Error *err) {
    const json_t     *given = json_object_get(json_object_get(row, "factors"), "seed");
    const int         seed  = json_is_integer(given) ? (int)json_integer_value(given) : -1;
    if (has_run(line, run, seed)) {
        a->n_double++;
        return true;
    }
    const ReportRow **runs  = realloc(line->run, (size_t)(line->n_runs + 1)*sizeof *runs);
    if (runs != NULL) line->run = runs;
    int              *seeds = runs != NULL ? realloc(line->seed, (size_t)(line->n_runs + 1)*sizeof *seeds) : NULL;
    if (seeds == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for an experiment's runs");
    line->seed = seeds;
    line->run[line->n_runs]    = run;
    line->seed[line->n_runs++] = seed;
    return true;
}

static void add_timed(Answer *a, AnswerLine *line, const json_t *row, const ReportRow *run) {
    AnswerTiming t;
    const int    k = timing_of(row, &t) ? find_timing(a, &t) : -1;
    if (k < 0 || line->timed[k] != NULL) a->n_double++;
    else                                 line->timed[k] = run;
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
        if (run == NULL) a->n_missing++;
        else if (timed) add_timed(a, line, row, run);
        else if (isfinite(report_number(run->run, "/accuracy/top1_ratio"))) {
            if (!add_run(a, line, row, run, err)) return false;
        } else a->n_missing++;
    }
    return true;
}

/* -- figures -- */

static double top1_of(const ReportRow *row) { return report_number(row->run, "/accuracy/top1_ratio"); }

/* Of the first run or timing that has one. */
static double first_number(const Answer *a, const AnswerLine *line, double (*of)(const ReportRow *row)) {
    double v = NAN;
    for (int i = 0; !isfinite(v) && i < line->n_runs; i++) v = of(line->run[i]);
    for (int k = 0; !isfinite(v) && k < a->n_timings; k++)
        if (line->timed[k] != NULL) v = of(line->timed[k]);
    return v;
}

static double params_of(const ReportRow *row) { return report_number(row->run, "/model/params_count"); }
static double macs_of(const ReportRow *row)   { return figure_macs(row, ""); }

/* x: room for as many numbers as the line has runs. */
static void describe(const Answer *a, AnswerLine *line, double *x) {
    double macs   = 0;
    int    n_macs = 0;
    for (int i = 0; i < line->n_runs; i++) {
        const double m = macs_of(line->run[i]);
        x[i] = top1_of(line->run[i]);
        if (!isfinite(m)) continue;
        macs += m;
        n_macs++;
    }
    if (line->n_runs > 0) {
        const Student s = student_mean(x, (size_t)line->n_runs, 0);
        line->top1 = s.mean, line->top1_low = s.low, line->top1_high = s.high;
    }
    if (line->n_runs == 1) {
        line->top1_low  = report_number(line->run[0]->run, "/accuracy/top1_low_ratio");
        line->top1_high = report_number(line->run[0]->run, "/accuracy/top1_high_ratio");
    }
    line->macs   = n_macs > 0 ? macs/n_macs : first_number(a, line, macs_of);
    line->params = first_number(a, line, params_of);
}

static bool predict_alike(const ReportRow *x, const ReportRow *y) {
    const char *a = json_string_value(report_at(x->run, "/accuracy/predictions_sha256")), *b = json_string_value(report_at(y->run, "/accuracy/predictions_sha256"));
    return a != NULL && b != NULL && a[0] != '\0' && strcmp(a, b) == 0;
}

/* Seed by seed. What predicts the same by necessity, as a test at the trained depth does, is no comparison and has no p. x: room for as many
 * numbers as the line has runs. */
static void hold_against_base(const Answer *a, AnswerLine *line, double *x) {
    if (line->base < 0) return;
    const AnswerLine *base  = &a->line[line->base];
    bool              alike = true;
    for (int i = 0; i < line->n_runs; i++)
        for (int k = 0; k < base->n_runs; k++)
            if (base->seed[k] == line->seed[i] && line->seed[i] >= 0) {
                x[line->n_pairs++] = top1_of(line->run[i]) - top1_of(base->run[k]);
                alike = alike && predict_alike(line->run[i], base->run[k]);
            }
    if (line->n_pairs == 0) return;
    const Student s = student_mean(x, (size_t)line->n_pairs, 0);
    line->difference = s.mean, line->difference_low = s.low, line->difference_high = s.high, line->same = alike;
    if (!alike) line->p = s.p;
}

static bool is_sibling(const AnswerLine *x, const AnswerLine *y) { return x->evaluation[0] == '\0' && y->evaluation[0] == '\0' && strcmp(x->cell, y->cell) == 0; }

/* The line of the training whose weights an evaluation tests. */
static bool is_training_of(const Answer *a, const AnswerLine *training, const AnswerLine *evaluation) {
    const char *key;
    json_t     *value;
    if (training->evaluation[0] != '\0') return false;
    json_object_foreach(evaluation->factors, key, value) {
        if (strcmp(key, "evaluation") == 0 || answer_in_testing(a, key)) continue;
        if (!answer_equal(value, json_object_get(training->factors, key))) return false;
    }
    return true;
}

/* Of an evaluation the line of its training; in a cell of several lines the first of them; else the first of all. */
static int base_of(const Answer *a, int i) {
    const AnswerLine *line = &a->line[i];
    int               first = -1, n_siblings = 0;
    for (int k = 0; k < a->n_lines; k++) {
        if (line->evaluation[0] != '\0' && is_training_of(a, &a->line[k], line)) return k;
        if (!is_sibling(line, &a->line[k])) continue;
        if (first < 0) first = k;
        n_siblings++;
    }
    const int base = n_siblings > 1 ? first : 0;
    return base == i ? -1 : base;
}

/* Holm over all differences of the table. */
static bool correct(Answer *a, double *p, Error *err) {
    size_t n = 0;
    for (int i = 0; i < a->n_lines; i++)
        if (isfinite(a->line[i].p)) p[n++] = a->line[i].p;
    a->n_differences = (int)n;
    if (!holm_correct(p, n, err)) return false;
    n = 0;
    for (int i = 0; i < a->n_lines; i++)
        if (isfinite(a->line[i].p)) a->line[i].p_corrected = p[n++];
    return true;
}

static bool is_known(const Answer *a, const AnswerLine *line) {
    bool timed = false;
    for (int k = 0; k < a->n_timings; k++) timed = timed || line->timed[k] != NULL;
    return timed || line->n_runs > 0;
}

/* Of an experiment that has no run at all the table says what is asked. */
static void choose_rows(Answer *a) {
    bool any = false;
    for (int i = 0; i < a->n_lines; i++) any = any || is_known(a, &a->line[i]);
    for (int i = 0; i < a->n_lines; i++) a->line[i].row = any && !is_known(a, &a->line[i]) ? -1 : a->n_rows++;
}

/* -- files -- */

static bool is_experiment(const json_t *tree) {
    return strcmp(text_of(tree, "schema"), "morbench.experiment/1") == 0 && json_is_array(json_object_get(tree, "cells")) &&
           json_is_array(json_object_get(tree, "factors"));
}

static bool make_one(const Report *r, Answer *a, Error *err) {
    int most = 1;                              /* numbers that are worked on at once */
    a->name     = text_of(a->experiment, "experiment");
    a->size     = text_of(a->experiment, "size");
    a->question = text_of(a->experiment, "question");
    a->caption  = text_of(a->experiment, "caption");
    if (!collect_timings(a, err) || !collect(r, a, err)) return false;
    choose_rows(a);
    if (a->n_lines > most) most = a->n_lines;
    for (int i = 0; i < a->n_lines; i++)
        if (a->line[i].n_runs > most) most = a->line[i].n_runs;
    double *x = malloc((size_t)most*sizeof *x);
    if (x == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for an experiment's figures");
    for (int i = 0; i < a->n_lines; i++) describe(a, &a->line[i], x);
    for (int i = 0; i < a->n_lines; i++) {
        a->line[i].base = base_of(a, i);
        hold_against_base(a, &a->line[i], x);
    }
    const bool ok = correct(a, x, err);
    free(x);
    return ok;
}

static void free_one(Answer *a) {
    for (int k = 0; k < a->n_lines; k++) {
        free(a->line[k].name);
        free(a->line[k].run);
        free(a->line[k].seed);
        free(a->line[k].timed);
        json_decref(a->line[k].factors);
    }
    free(a->line);
    free(a->timing);
    free(a->dir);
    json_decref(a->experiment);
}

static void say_damaged(Error *wrong, const char *path) {
    char text[1024];
    error_in(wrong, path);
    error_text(wrong, text, sizeof text);
    fprintf(stderr, "warning: left out: ");
    escape_terminal(stderr, text);
    fputc('\n', stderr);
}

bool answers_make(Report *r, const char *dir, Error *err) {
    int kept = 0;
    for (int i = 0; i < r->n_answers; i++) {
        char   path[4400];
        Error  wrong = {0};
        Answer a = r->answer[i];
        r->answer[i] = (Answer){0};
        snprintf(path, sizeof path, "%.2100s/%.2100s%sexperiment.json", dir, a.dir, a.dir[0] != '\0' ? "/" : "");
        const bool read = json_load_file_checked(&a.experiment, path, 0, &wrong) && (is_experiment(a.experiment) || FAIL(&wrong, "/schema", "must be what morbench run wrote"));
        const bool ok   = !read || make_one(r, &a, err);
        if (read && ok) {
            r->answer[kept++] = a;
            continue;
        }
        if (!read) say_damaged(&wrong, path);
        free_one(&a);
        r->n_unreadable++;
        if (!ok) return false;
    }
    r->n_answers = kept;
    return true;
}

void answers_free(Report *r) {
    for (int i = 0; i < r->n_answers; i++) free_one(&r->answer[i]);
    free(r->answer);
    r->answer    = NULL;
    r->n_answers = 0;
}
