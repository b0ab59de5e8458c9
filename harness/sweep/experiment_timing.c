/* The cells that time others: one a configuration, batch size, number of threads and pass (experiment_parts.h). */
#include "harness/sweep/experiment_parts.h"

#include "harness/options.h"

#include <stdio.h>
#include <string.h>

const char *const measure_profiles[] = {"", "smoke", "standard", "paper", NULL};

enum { BATCH_MAX = 65536, MEASURE_THREADS_MAX = 1024 };
const Field measure_fields[] = {
    {.key = "batch", .type = FIELD_INTS, .offset = FIELD_AT(MeasureSettings, batch), .min = 1, .max = BATCH_MAX, .help = "batch sizes; [] no timing"},
    {.key = "threads", .type = FIELD_INTS, .offset = FIELD_AT(MeasureSettings, threads), .min = 1, .max = MEASURE_THREADS_MAX,
     .help = "threads to time with; left out: those of the command line"},
    BOOL_FIELD(MeasureSettings, train, false, "time training steps too"),
    WORD_FIELD(MeasureSettings, profile, measure_profiles, 0, "how long to measure"),
    TEXT_FIELD(MeasureSettings, backend, "", "kernels to compute with; left out: those of the command line"),
    FIELDS_END,
};

static bool read_measure(const Config *config, MeasureSettings *out, bool *asked, Error *err) {
    static const char *const lists[] = {"batch", "threads"};
    const json_t *block = config_block(config, "measure");
    fields_default(measure_fields, out);
    *asked = block != NULL;
    if (block == NULL) return true;
    json_t *copy = json_deep_copy(block);
    for (int i = 0; i < 2; i++) {
        json_t *value = json_object_get(copy, lists[i]);
        if (json_is_number(value)) json_object_set_new(copy, lists[i], json_pack("[O]", value));
        if (i == 0 && json_is_array(value) && json_array_size(value) == 0) {
            json_object_del(copy, lists[i]);
            *asked = false;
        }
    }
    bool ok = config_read_block(copy, measure_fields, out, "/measure", err);
    if (ok && out->backend[0] != '\0' && backend_find(out->backend) == NULL) ok = FAIL(err, "/measure/backend", "must be one of %s, got \"%.40s\"", backend_names(), out->backend);
    if (out->batch.n == 0) out->batch = (IntList){1, {1}};
    json_decref(copy);
    return ok;
}

static bool add_timing(Maker *mk, int draft, const Cell *like, const MeasureSettings *s, int batch, int threads, bool step, Error *err) {
    const Experiment *e = mk->e;
    Draft *d = &mk->drafts->at[draft];
    Model *m = NULL;
    Cell   c = cell_empty(CELL_TIME);
    int    index;
    c.batch      = batch;
    c.threads    = threads > 0 ? threads : runtime_threads();
    c.train_step = step;
    snprintf(c.backend, sizeof c.backend, "%.31s", s->backend[0] != '\0' ? s->backend : runtime_backend()->name);
    c.profile    = e->profile != NULL ? e->profile : s->profile > 0 ? measure_profiles[s->profile] : strcmp(e->size, "smoke") == 0 ? "smoke" : "standard";
    c.need[NEEDS_WEIGHTS] = like->need[NEEDS_WEIGHTS];
    snprintf(c.weights, sizeof c.weights, "%s", like->weights);
    bool ok = cell_read_settings(e, d, &c, &m, err);
    if (ok) {
        draft_fill_factors(d, c.settings);
        json_t *row = json_copy(d->factors);
        json_object_del(row, "seed");
        json_object_set_new(row, "batch", json_integer(batch));
        json_object_set_new(row, "threads", json_integer(c.threads));
        json_object_set_new(row, "pass", json_string(step ? "train_step" : "forward"));
        c.rows   = json_pack("[o]", row);
        c.config = json_deep_copy(d->config.tree);
        json_object_del(c.config, "train");
        cell_name(&c, d, m);
        ok = (c.rows != NULL && c.config != NULL) || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    }
    ok = ok && cell_add(mk, &c, &index, err);
    if (!ok) {
        draft_said(err, d);
        cell_free(&c);
    }
    model_destroy(m);
    return ok;
}

/* Of what nothing is asked of. */
static bool check_settings(const Experiment *e, Draft *d, Error *err) {
    Model     *m  = NULL;
    Cell       c  = cell_empty(CELL_TIME);
    c.profile     = "";
    const bool ok = cell_read_settings(e, d, &c, &m, err);
    cell_free(&c);
    model_destroy(m);
    return ok;
}

bool draft_time(Maker *mk, int i, Error *err) {
    const Draft    *d = &mk->drafts->at[i];
    MeasureSettings s;
    bool            asked, ok = read_measure(&d->config, &s, &asked, err) || draft_said(err, d);
    if (ok && !asked && d->kind == CELL_TRAIN && !draft_is_trained(d)) return check_settings(mk->e, &mk->drafts->at[i], err) || draft_said(err, d);
    if (!ok || !asked || d->seed_index > 0) return ok;
    Cell like = cell_empty(CELL_TIME);
    if (draft_is_trained(d)) like.need[NEEDS_WEIGHTS] = d->made;
    else if (d->made >= 0) {
        like.need[NEEDS_WEIGHTS] = mk->e->cell[d->made].need[NEEDS_WEIGHTS];
        snprintf(like.weights, sizeof like.weights, "%s", mk->e->cell[d->made].weights);
    } else if (!draft_take_references(mk, i, &like, err)) {
        return false;
    }
    const IntList none = {1, {0}}, *threads = s.threads.n > 0 ? &s.threads : &none;
    for (int k = 0; k < threads->n; k++)
        for (int b = 0; b < s.batch.n; b++)
            for (int step = 0; ok && step <= (s.train ? 1 : 0); step++)
                ok = add_timing(mk, i, &like, &s, s.batch.value[b], threads->value[k], step == 1, err);
    return ok;
}
