/* See choice.h. */
#include "harness/report/choice.h"

#include "harness/measure/student.h"
#include "harness/report/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -- data sets -- */

/* The data an accuracy is of: what a training was tested on. */
static const json_t *tested_on(const json_t *run) {
    const json_t *test = report_at(run, "/data/test/digest");
    return json_is_string(test) ? test : report_at(run, "/data/digest");
}

static bool has_accuracy(const ReportRow *row) {
    return row->accuracy == row->run && figure_valid(row) && isfinite(report_number(row->run, "/accuracy/top1_ratio"));
}

static bool same_data(const ReportRow *a, const ReportRow *b) {
    return json_equal(tested_on(a->run), tested_on(b->run)) && figure_same(a, b, "/accuracy/images_count");
}

static bool same_weights(const ReportRow *a, const ReportRow *b) {
    return a->model_index == b->model_index && figure_same(a, b, "/model/weights_sha256");
}

static bool is_forward(const ReportRow *row) {
    return figure_timed(row) && strcmp(figure_text_at(row, "/metrics/latency_of", ""), "forward") == 0;
}

/* -- candidates -- */

static bool differ_in_seed_alone(const ReportRow *a, const ReportRow *b) {
    char first[REPORT_SETTING_SIZE];
    return a != NULL && b != NULL && a->model_index == b->model_index && report_differences(a, b, first) == 0;
}

/* Two trainings; or two tests, done alike, of the weights of two trainings of another model. */
static bool are_seeds_of_one(const ReportRow *a, const ReportRow *b) {
    if (report_is_training(a->run) != report_is_training(b->run)) return false;
    if (report_is_training(a->run)) return differ_in_seed_alone(a, b);
    return differ_in_seed_alone(a->trained, b->trained) && figure_same(a, b, "/data/preprocess") && figure_same(a, b, "/data/split");
}

/* A candidate that the run belongs to already, or joins as another seed. */
static bool joins(Candidate *x, const ReportRow *row) {
    if (x->model != row->model_index) return false;
    for (int k = 0; k < x->n_seeds; k++)
        if (same_weights(x->seed[k], row)) return true;
    if (x->accuracy == NULL) return same_weights(x->timing, row);
    for (int k = 0; k < x->n_seeds; k++)                            /* each: what an older one does not tell makes it like any */
        if (!are_seeds_of_one(x->seed[k], row)) return false;
    if (x->n_seeds < CHOICE_SEEDS) x->seed[x->n_seeds++] = row;
    return true;
}

/* "..., trained with recursions=3" */
static void put_label(Candidate *x, const Report *r, const ReportRow *trained) {
    size_t      n       = (size_t)snprintf(x->label, sizeof x->label, "%.150s", r->model[x->model].label);
    const char *between = ", trained with ", *key;
    json_t     *value;
    if (trained == NULL) return;
    if (strcmp(r->model[trained->model_index].method, r->model[x->model].method) != 0) {
        snprintf(x->label + n, sizeof x->label - n, ", trained as %.60s", trained->model);
        return;
    }
    json_object_foreach((json_t *)report_at(trained->run, "/model/settings"), key, value) {
        const json_t *now = json_object_get(r->model[x->model].settings, key);
        if (now == NULL || json_equal(now, value)) continue;
        if (n > sizeof x->label - 80) {
            snprintf(x->label + n, sizeof x->label - n, " ...");
            return;
        }
        char       *dumped = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        const char *text   = dumped != NULL ? dumped : json_is_string(value) ? json_string_value(value) : "?";
        n += (size_t)snprintf(x->label + n, sizeof x->label - n, "%s%.20s=%.32s%s", between, key, text, strlen(text) > 32 ? "..." : "");
        free(dumped);
        between = " ";
    }
}

static void add_candidate(Choice *c, const Report *r, const ReportRow *row) {
    for (int i = 0; i < c->n; i++)
        if (joins(&c->candidate[i], row)) return;
    Candidate *x = &c->candidate[c->n++];
    *x = (Candidate){.model = row->model_index, .beaten_by = -1, .top1 = NAN, .top1_low = NAN, .top1_high = NAN};
    if (c->data != NULL) {
        x->accuracy = row;
        x->seed[x->n_seeds++] = row;
    } else {
        x->timing = row;       /* until the condition is known */
    }
    put_label(x, r, row->trained);
    for (int k = 0; k < N_COSTS; k++) x->cost[k] = x->cost_low[k] = x->cost_high[k] = NAN;
    x->cost[COST_MACS]      = figure_macs(row, "");
    x->cost_low[COST_MACS]  = figure_macs(row, "_min");
    x->cost_high[COST_MACS] = figure_macs(row, "_max");
    x->cost[COST_PARAMS]    = report_number(row->run, "/model/params_count");
}

/* Mean over seeds; of a single one with its own interval. */
static void average(Candidate *x) {
    double y[CHOICE_SEEDS];
    for (int k = 0; k < x->n_seeds; k++) y[k] = report_number(x->seed[k]->run, "/accuracy/top1_ratio");
    if (x->n_seeds == 0) return;
    const Student s = student_mean(y, (size_t)x->n_seeds, 0);
    x->top1      = s.mean;
    x->top1_low  = x->n_seeds > 1 ? s.low : report_number(x->accuracy->run, "/accuracy/top1_low_ratio");
    x->top1_high = x->n_seeds > 1 ? s.high : report_number(x->accuracy->run, "/accuracy/top1_high_ratio");
}

/* A timing that tells of a candidate: of an accuracy of it by rule V2, else of the same weights. */
static bool tells_of(const ReportRow *timing, const Candidate *x) {
    if (!is_forward(timing)) return false;
    if (x->accuracy == NULL) return timing->accuracy == NULL && same_weights(timing, x->timing);
    for (int k = 0; k < x->n_seeds; k++)
        if (timing->accuracy != NULL && same_weights(timing, x->seed[k])) return true;
    return false;
}

/* -- the condition of timings -- */

static bool same_condition(const ReportRow *a, const ReportRow *b, bool batch) {
    return figure_same(a, b, "/env_id") && figure_same(a, b, "/metrics/threads_effective_count") &&
           (!batch || figure_same(a, b, "/metrics/batch_size_count"));
}

static int covered(const Report *r, const Choice *c, const ReportRow *condition) {
    int n = 0;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < r->n_rows; k++)
            if (tells_of(&r->row[k], &c->candidate[i]) && same_condition(&r->row[k], condition, true)) {
                n++;
                break;
            }
    return n;
}

static bool tells_of_any(const ReportRow *row, const Choice *c) {
    for (int i = 0; i < c->n; i++)
        if (tells_of(row, &c->candidate[i])) return true;
    return false;
}

/* The condition that most candidates were timed in, of these the smallest batch, then the largest on the same machine and threads. */
static void find_condition(Choice *c, const Report *r) {
    enum { MOST = 256 };
    const ReportRow *tried[MOST];
    int              n_tried = 0, most = 0;
    for (int k = 0; k < r->n_rows && n_tried < MOST; k++) {
        const ReportRow *row = &r->row[k];
        int              same = 0;
        if (!is_forward(row)) continue;
        while (same < n_tried && !same_condition(tried[same], row, true)) same++;
        if (same < n_tried || !tells_of_any(row, c)) continue;
        tried[n_tried++] = row;
        const int    n     = covered(r, c, row);
        const double batch = report_number(row->run, "/metrics/batch_size_count");
        if (n > most || (n == most && batch < report_number(c->condition->run, "/metrics/batch_size_count"))) c->condition = row;
        if (n > most) most = n;
    }
    if (c->condition == NULL) return;
    double largest = report_number(c->condition->run, "/metrics/batch_size_count");
    for (int k = 0; k < n_tried; k++) {
        const double batch = report_number(tried[k]->run, "/metrics/batch_size_count");
        if (!(batch > largest) || !same_condition(tried[k], c->condition, false) || covered(r, c, tried[k]) < most) continue;
        c->bulk = tried[k];
        largest = batch;
    }
}

/* VALID before NOISY before SPEED_ONLY before SMOKE */
static int worth(const ReportRow *row) {
    static const char *const order[] = {"SMOKE", "SPEED_ONLY", "NOISY", "VALID"};
    for (int i = 0; i < 4; i++)
        if (strcmp(row->verdict, order[i]) == 0) return i;
    return -1;
}

static const ReportRow *timing_in(const Report *r, const Candidate *x, const ReportRow *condition) {
    const ReportRow *found = NULL;
    for (int k = 0; k < r->n_rows && condition != NULL; k++) {
        const ReportRow *row = &r->row[k];
        if (tells_of(row, x) && same_condition(row, condition, true) && (found == NULL || worth(row) > worth(found))) found = row;
    }
    return found;
}

static void take_timings(Choice *c, const Report *r) {
    find_condition(c, r);
    for (int i = 0; i < c->n; i++) {
        Candidate       *x      = &c->candidate[i];
        const ReportRow *timing = timing_in(r, x, c->condition), *bulk = timing_in(r, x, c->bulk);
        x->timing = timing;
        x->bulk   = bulk;
        if (timing == NULL) continue;
        x->cost[COST_LATENCY]      = report_number(timing->run, "/metrics/latency_ns");
        x->cost_low[COST_LATENCY]  = report_number(timing->run, "/metrics/latency_low_ns");
        x->cost_high[COST_LATENCY] = report_number(timing->run, "/metrics/latency_high_ns");
    }
}

/* -- fronts -- */

/* 1: a is better, -1: b is; 0: the same, or not known of both. Smaller is better. */
static int better(double a, double b) { return isfinite(a) && isfinite(b) ? (a < b) - (a > b) : 0; }

static bool beats(const Candidate *a, const Candidate *b) {
    bool strictly = better(-a->top1, -b->top1) > 0;
    if (better(-a->top1, -b->top1) < 0) return false;
    for (int k = 0; k < N_COSTS; k++) {
        if (better(a->cost[k], b->cost[k]) < 0 || (isfinite(b->cost[k]) && !isfinite(a->cost[k]))) return false;
        strictly = strictly || better(a->cost[k], b->cost[k]) > 0;
    }
    return strictly;
}

static void find_fronts(Choice *c) {
    for (int k = 0; k < N_COSTS; k++) {
        c->least[k] = -1;
        for (int i = 0; i < c->n; i++) {
            Candidate *x = &c->candidate[i];
            x->front[k] = isfinite(x->cost[k]) && (c->data == NULL || isfinite(x->top1));
            for (int j = 0; j < c->n && x->front[k]; j++) {
                const Candidate *y = &c->candidate[j];
                const int cheaper = better(y->cost[k], x->cost[k]), finer = better(-y->top1, -x->top1);
                if (isfinite(y->cost[k]) && cheaper >= 0 && finer >= 0 && cheaper + finer > 0) x->front[k] = false;
            }
            if (isfinite(x->cost[k]) && (c->least[k] < 0 || x->cost[k] < c->candidate[c->least[k]].cost[k])) c->least[k] = i;
        }
    }
    for (int i = 0; i < c->n; i++) {
        c->candidate[i].efficient = true;
        for (int j = 0; j < c->n && c->candidate[i].efficient; j++)
            if (beats(&c->candidate[j], &c->candidate[i])) {
                c->candidate[i].efficient = false;
                c->candidate[i].beaten_by = j;
            }
    }
}

static int by_worth(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (isfinite(x->top1) || isfinite(y->top1)) {
        const int finer = better(-x->top1, -y->top1);
        if (finer != 0) return -finer;
    }
    for (int k = 0; k < N_COSTS; k++) {
        const bool x_known = isfinite(x->cost[k]), y_known = isfinite(y->cost[k]);
        if (x_known != y_known) return y_known - x_known;
        if (x_known && x->cost[k] != y->cost[k]) return x->cost[k] < y->cost[k] ? -1 : 1;
    }
    return x->model - y->model;
}

static int by_size(const void *a, const void *b) {
    const Choice *x = a, *y = b;
    if ((x->data == NULL) != (y->data == NULL)) return (x->data == NULL) - (y->data == NULL);
    if (x->n != y->n) return y->n - x->n;
    return x->data == NULL || x->data == y->data ? 0 : x->data < y->data ? -1 : 1;
}

static bool begin_choice(Choices *out, const Report *r, const ReportRow *data, Error *err) {
    Choice *c = &out->choice[out->n++];
    *c = (Choice){.data = data, .candidate = calloc((size_t)r->n_rows, sizeof *c->candidate)};
    if (data != NULL) c->images_count = report_number(data->run, "/accuracy/images_count");
    return c->candidate != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d models", r->n_rows);
}

static bool gather(Choices *out, const Report *r, Error *err) {
    Choice *unknown = NULL;
    for (int i = 0; i < 2*r->n_rows; i++) {                       /* trainings first: only they tell of their seeds */
        const ReportRow *row = &r->row[i % r->n_rows];
        int              k   = 0;
        if (!has_accuracy(row) || report_is_training(row->run) != (i < r->n_rows)) continue;
        while (k < out->n && !same_data(out->choice[k].data, row)) k++;
        if (k == out->n && !begin_choice(out, r, row, err)) return false;
        add_candidate(&out->choice[k], r, row);
    }
    for (int i = 0; i < r->n_rows; i++) {
        if (!is_forward(&r->row[i]) || r->row[i].accuracy != NULL) continue;
        if (unknown == NULL && !begin_choice(out, r, NULL, err)) return false;
        unknown = &out->choice[out->n - 1];
        add_candidate(unknown, r, &r->row[i]);
    }
    return true;
}

bool choices_make(Choices *out, const Report *r, Error *err) {
    *out = (Choices){.choice = calloc((size_t)r->n_rows + 1, sizeof *out->choice)};
    if (out->choice == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d models", r->n_rows);
    if (!gather(out, r, err)) {
        choices_free(out);
        return false;
    }
    qsort(out->choice, (size_t)out->n, sizeof *out->choice, by_size);
    for (int i = 0; i < out->n; i++) {
        Choice *c = &out->choice[i];
        take_timings(c, r);
        for (int k = 0; k < c->n; k++) average(&c->candidate[k]);
        qsort(c->candidate, (size_t)c->n, sizeof *c->candidate, by_worth);
        find_fronts(c);
    }
    return true;
}

void choices_free(Choices *c) {
    for (int i = 0; i < c->n; i++) free(c->choice[i].candidate);
    free(c->choice);
    *c = (Choices){0};
}

/* -- what intervals allow to say -- */

static bool overlap(double a_low, double a_high, double b_low, double b_high) { return a_low <= b_high && b_low <= a_high; }

bool choice_accuracies_overlap(const Candidate *a, const Candidate *b) {
    return overlap(a->top1_low, a->top1_high, b->top1_low, b->top1_high);
}

bool choice_costs_overlap(const Candidate *a, const Candidate *b, Cost cost) {
    if (cost != COST_LATENCY) return a->cost[cost] == b->cost[cost];
    if (!isfinite(a->cost_low[cost]) || !isfinite(b->cost_low[cost])) return isfinite(a->cost[cost]) && isfinite(b->cost[cost]);
    return overlap(a->cost_low[cost], a->cost_high[cost], b->cost_low[cost], b->cost_high[cost]);
}
