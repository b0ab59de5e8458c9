/* Which runs are of one model, and how it is called (report.h). */
#include "harness/report/report.h"

#include "baselines/registry.h"

#include <stdlib.h>
#include <string.h>

static const char *text_at(const json_t *run, const char *pointer) { return json_string_value(report_at(run, pointer)); }

/* Keys that both have; a run of an earlier version lacks those that came later. */
static bool same_settings(const json_t *a, const json_t *b) {
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)a, key, value) {
        const json_t *other = json_object_get(b, key);
        if (other != NULL && !json_equal(value, other)) return false;
    }
    return true;
}

/* Whether a setting differs among the models of one base. */
static bool differs(const Report *r, const ReportModel *m, const char *key) {
    const json_t *mine = json_object_get(m->settings, key);
    for (int k = 0; k < r->n_models; k++) {
        const json_t *other = json_object_get(r->model[k].settings, key);
        if (strcmp(r->model[k].base, m->base) == 0 && other != NULL && mine != NULL && !json_equal(mine, other)) return true;
    }
    return false;
}

static bool make_label(const Report *r, ReportModel *m) {
    enum { SHOWN = 3 };
    size_t      n;
    FILE       *f = open_memstream(&m->label, &n);
    const char *key;
    json_t     *value;
    int         n_shown = 0;
    if (f == NULL) return false;
    fputs(m->base, f);
    json_object_foreach((json_t *)m->settings, key, value) {
        if (!differs(r, m, key)) continue;
        if (++n_shown > SHOWN) continue;
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        fprintf(f, " %.40s=%.40s", key, text != NULL ? text : json_is_string(value) ? json_string_value(value) : "?");
        free(text);
    }
    if (n_shown > SHOWN) fputs(" ...", f);
    return fclose(f) == 0;
}

/* The methods of this program have fixed places, others follow as they are met. */
static void place(Report *r) {
    r->n_methods = model_kind_count();
    for (int i = 0; i < r->n_models; i++) {
        ReportModel *m = &r->model[i];
        m->method_index = -1;
        for (int k = 0; k < model_kind_count(); k++)
            if (strcmp(m->method, model_kind_at(k)->name) == 0) m->method_index = k;
        for (int k = 0; k < i; k++)
            if (strcmp(m->method, r->model[k].method) == 0) {
                m->method_index = r->model[k].method_index;
                m->tone         = r->model[k].tone + 1;
            }
        if (m->method_index < 0) m->method_index = r->n_methods++;
    }
}

typedef struct Weights { const char *sha256; int row; } Weights;

static int by_weights(const void *a, const void *b) {
    const Weights *x = a, *y = b;
    const int      c = strcmp(x->sha256, y->sha256);
    return c != 0 ? c : x->row - y->row;
}

static int by_weights_alone(const void *a, const void *b) { return strcmp(((const Weights *)a)->sha256, ((const Weights *)b)->sha256); }

/* Which training the weights of each other run come from. */
static bool link_trainings(Report *r) {
    int      n       = 0;
    Weights *trained = malloc((size_t)r->n_rows*sizeof *trained + 1);
    if (trained == NULL) return false;
    for (int i = 0; i < r->n_rows; i++) {
        const char *sha256 = text_at(r->row[i].run, "/model/weights_sha256");
        if (sha256 != NULL && sha256[0] != '\0' && report_is_training(r->row[i].run)) trained[n++] = (Weights){sha256, i};
    }
    qsort(trained, (size_t)n, sizeof *trained, by_weights);
    for (int i = 0; i < r->n_rows; i++) {
        const char    *sha256 = text_at(r->row[i].run, "/model/weights_sha256");
        const Weights *found  = sha256 != NULL && !report_is_training(r->row[i].run) ? bsearch(&(Weights){sha256, 0}, trained, (size_t)n, sizeof *trained, by_weights_alone) : NULL;
        if (found != NULL && r->row[found->row].model_index != r->row[i].model_index) r->row[i].trained = &r->row[found->row];
    }
    free(trained);
    return true;
}

bool report_name_models(Report *r, Error *err) {
    bool ok = (r->model = calloc((size_t)r->n_rows, sizeof *r->model)) != NULL;
    for (int i = 0; ok && i < r->n_rows; i++) {
        ReportRow  *row  = &r->row[i];
        const char *name = text_at(row->run, "/model/name"), *base = text_at(row->run, "/model/preset");
        ReportModel m    = {.base = base != NULL ? base : name != NULL ? name : "(no model)", .method = name != NULL ? name : "",
                            .settings = report_at(row->run, "/model/settings")};
        int         k    = 0;
        while (k < r->n_models && (strcmp(r->model[k].base, m.base) != 0 || strcmp(r->model[k].method, m.method) != 0 ||
                                   !same_settings(r->model[k].settings, m.settings)))
            k++;
        if (k == r->n_models) r->model[r->n_models++] = m;
        row->model_index = k;
    }
    for (int k = 0; ok && k < r->n_models; k++) ok = make_label(r, &r->model[k]);
    ok = ok && link_trainings(r);
    if (!ok) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the names of models");
    for (int i = 0; i < r->n_rows; i++) r->row[i].model = r->model[r->row[i].model_index].label;
    place(r);
    return true;
}
