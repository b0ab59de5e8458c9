/* Selecting, grouping and telling apart the runs that decide claims (claim_runs.h). */
#include "harness/report/claim_runs.h"

#include "harness/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *text_at(const json_t *run, const char *pointer) { return json_string_value(report_at(run, pointer)); }

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* ---- which training made these weights ---- */

static const json_t *training_of(const Report *r, const json_t *run) {
    const char *kind = text_at(run, "/kind"), *weights = text_at(run, "/model/weights_sha256");
    if (kind != NULL && strcmp(kind, "train") == 0) return run;
    for (int i = 0; weights != NULL && i < r->n_rows; i++) {
        const json_t *other  = r->row[i].run;
        const char   *theirs = text_at(other, "/model/weights_sha256"), *its_kind = text_at(other, "/kind");
        if (theirs != NULL && its_kind != NULL && strcmp(its_kind, "train") == 0 && strcmp(theirs, weights) == 0) return other;
    }
    return NULL;
}

/* ---- values ---- */

static json_t *layers(const json_t *run) {
    const json_t *depth = report_at(run, "/model/settings/depth"), *K = report_at(run, "/model/settings/blocks_per_recursion");
    const json_t *R = report_at(run, "/model/settings/recursions");
    const char   *sharing = text_at(run, "/model/settings/sharing");
    if (json_is_integer(depth)) return json_integer(json_integer_value(depth));
    if (!json_is_integer(K) || !json_is_integer(R) || sharing == NULL) return NULL;
    return json_integer(json_integer_value(K) * json_integer_value(R) + (begins(sharing, "middle") ? 2 : 0));
}

static double number_at(const json_t *run, const char *pointer) { return json_number_value(report_at(run, pointer)); }

/* The smallest share of the patches that a recursion keeps: 1 where every token goes everywhere. */
static json_t *least_capacity(const json_t *run) {
    const json_t *capacity = report_at(run, "/model/settings/capacity"), *R = report_at(run, "/model/settings/recursions");
    const json_t *ratio    = json_object_get(capacity, "geometric");
    const char   *form     = json_string_value(capacity);
    if (!json_is_integer(R) || capacity == NULL) return NULL;
    const double n = (double)json_integer_value(R);
    if (json_is_array(capacity)) return json_real(json_number_value(json_array_get(capacity, json_array_size(capacity) - 1)));
    if (json_is_number(ratio)) return json_real(pow(json_number_value(ratio), n - 1));
    return form != NULL ? json_real(strcmp(form, "linear") == 0 ? 1/n : 1) : NULL;
}

/* The standard deviation over images of their patches' mean depth, over that if each patch drew its depth alone from the depths of all:
 * what a random router without a budget for the image would leave. A class token that always goes on is in the histogram, no patch. */
static json_t *image_depth_spread(const json_t *run) {
    const json_t *sd = report_at(run, "/depth_histogram/image_mean_depth_sd_count"), *tokens = report_at(run, "/depth_histogram/tokens_count"), *one;
    const char   *cls = text_at(run, "/model/settings/cls");
    const double  images = number_at(run, "/depth_histogram/images_count"), each = number_at(run, "/depth_histogram/tokens_per_image_count");
    const bool    apart  = cls != NULL && strcmp(cls, "always") == 0;
    double        n = 0, sum = 0, squares = 0;
    size_t        depth;
    json_array_foreach(tokens, depth, one) {
        const double k = json_number_value(one) - (apart && depth + 1 == json_array_size(tokens) ? images : 0);
        n += k, sum += k*(double)depth, squares += k*(double)depth*(double)depth;
    }
    const double variance = squares/n - (sum/n)*(sum/n), alone = sqrt(variance/(each - apart));
    return json_is_number(sd) && n > 0 && alone > 0 ? json_real(json_number_value(sd)/alone) : NULL;
}

static const struct { const char *name; json_t *(*of)(const json_t *run); } derived[] = {
    {"layers", layers}, {"least_capacity", least_capacity}, {"image_depth_spread", image_depth_spread},
};

json_t *claim_at(const ClaimRuns *c, int row, const char *pointer) {
    const json_t *run = c->report->row[row].run;
    if (begins(pointer, "/trained/")) {
        run = c->trained[row];
        pointer += strlen("/trained");
    }
    for (size_t i = 0; begins(pointer, "/derived/") && i < sizeof derived/sizeof *derived; i++)
        if (strcmp(pointer + strlen("/derived/"), derived[i].name) == 0) return derived[i].of(run);
    json_t *value = (json_t *)report_at(run, pointer);
    return value == NULL || json_is_null(value) ? NULL : json_incref(value);
}

/* ---- selections ---- */

static bool is_scalar(const json_t *v) { return json_is_string(v) || json_is_number(v) || json_is_boolean(v); }

static bool check_wanted(const json_t *wanted, const char *where, Error *err) {
    const char   *key;
    json_t       *value;
    const json_t *one;
    size_t        i;
    if (is_scalar(wanted)) return true;
    if (json_is_array(wanted)) {
        json_array_foreach(wanted, i, one)
            if (!is_scalar(one)) return FAIL(err, where, "must be a list of texts, numbers or booleans");
        return json_array_size(wanted) > 0 || FAIL(err, where, "must not be an empty list");
    }
    if (!json_is_object(wanted)) return FAIL(err, where, "must be a value, a list of values, or {\"min\", \"max\", \"not\", \"unlike\", \"less_than\", \"more_than\"}");
    json_object_foreach((json_t *)wanted, key, value) {
        const bool bound = strcmp(key, "min") == 0 || strcmp(key, "max") == 0;
        const bool other = strcmp(key, "unlike") == 0 || strcmp(key, "less_than") == 0 || strcmp(key, "more_than") == 0;
        if (!bound && !other && strcmp(key, "not") != 0)
            return FAIL(err, where, "has the key \"%.40s\"; there are min, max, not, unlike, less_than and more_than", key);
        if (bound && !json_is_number(value)) return FAIL(err, where, "%s must be a number", key);
        if (other && (!json_is_string(value) || json_string_value(value)[0] != '/')) return FAIL(err, where, "%s must be a JSON pointer", key);
    }
    return true;
}

bool claim_selection_check(const json_t *selection, const char *where, Error *err) {
    const char *pointer;
    json_t     *wanted;
    char        at[128];
    if (!json_is_object(selection) || json_object_size(selection) == 0) return FAIL(err, where, "must be an object {JSON pointer: wanted}, not empty");
    json_object_foreach((json_t *)selection, pointer, wanted) {
        snprintf(at, sizeof at, "%.40s/%.80s", where, pointer);
        if (pointer[0] != '/') return FAIL(err, at, "must be a JSON pointer into run.json, such as /model/settings/router");
        if (!check_wanted(wanted, at, err)) return false;
    }
    return true;
}

static bool equal(const json_t *a, const json_t *b) {
    return json_is_number(a) && json_is_number(b) ? json_number_value(a) == json_number_value(b) : json_equal((json_t *)a, (json_t *)b) != 0;
}

static bool equals_one_of(const json_t *value, const json_t *list) {
    const json_t *one;
    size_t        i;
    if (!json_is_array(list)) return equal(value, list);
    json_array_foreach(list, i, one)
        if (equal(value, one)) return true;
    return false;
}

/* Against another value of the same run: unlike, less_than, more_than. */
static bool fits_other(const ClaimRuns *c, int row, const json_t *value, const json_t *wanted, const char *how) {
    const char *pointer = json_string_value(json_object_get(wanted, how));
    if (pointer == NULL) return true;
    json_t      *other   = claim_at(c, row, pointer);
    const bool   numbers = json_is_number(value) && json_is_number(other);
    const double x = json_number_value(value), y = json_number_value(other);
    const bool   fit = strcmp(how, "unlike") == 0 ? other != NULL && !equal(value, other) : numbers && (strcmp(how, "less_than") == 0 ? x < y : x > y);
    json_decref(other);
    return fit;
}

static bool fits(const ClaimRuns *c, int row, const json_t *value, const json_t *wanted) {
    if (!json_is_object(wanted)) return equals_one_of(value, wanted);
    const json_t *min = json_object_get(wanted, "min"), *max = json_object_get(wanted, "max"), *not = json_object_get(wanted, "not");
    if ((min != NULL || max != NULL) && !json_is_number(value)) return false;
    if (min != NULL && json_number_value(value) < json_number_value(min)) return false;
    if (max != NULL && json_number_value(value) > json_number_value(max)) return false;
    if (not != NULL && equals_one_of(value, not)) return false;
    return fits_other(c, row, value, wanted, "unlike") && fits_other(c, row, value, wanted, "less_than") && fits_other(c, row, value, wanted, "more_than");
}

bool claim_selects(const ClaimRuns *c, const json_t *selection, int row) {
    const char *pointer;
    json_t     *wanted;
    json_object_foreach((json_t *)selection, pointer, wanted) {
        json_t    *value = claim_at(c, row, pointer);
        const bool fit   = value != NULL && fits(c, row, value, wanted);
        json_decref(value);
        if (!fit) return false;
    }
    return true;
}

char *claim_selection_text(const json_t *selection) {
    const char *pointer;
    json_t     *wanted;
    char       *text = NULL;
    size_t      n;
    FILE       *f = open_memstream(&text, &n);
    if (f == NULL) return NULL;
    bool first = true;
    json_object_foreach((json_t *)selection, pointer, wanted) {
        char       *value = json_is_string(wanted) ? strdup(json_string_value(wanted)) : json_dumps(wanted, JSON_ENCODE_ANY | JSON_COMPACT);
        const char *last  = strrchr(pointer, '/') + 1;
        fprintf(f, "%s%s%s %s", first ? "" : ", ", begins(pointer, "/trained/") ? "trained " : "", last, value != NULL ? value : "?");
        free(value);
        first = false;
    }
    if (fclose(f) == 0) return text;
    free(text);
    return NULL;
}

/* ---- keys ---- */

static char *canonical(json_t *tree) {
    char *text = tree != NULL ? json_canonical_text(tree) : NULL;
    json_decref(tree);
    return text;
}

static bool put(json_t *to, const char *key, const json_t *value) {
    return json_object_set_new(to, key, value != NULL ? json_incref((json_t *)value) : json_null()) == 0;
}

static char *model_key(const ClaimRuns *c, int row) {
    const json_t *run = c->report->row[row].run, *settings = report_at(run, "/model/settings"), *trained = report_at(c->trained[row], "/model/settings");
    json_t       *key = json_object();
    bool          ok  = put(key, "name", report_at(run, "/model/name")) && put(key, "settings", settings);
    if (ok && trained != NULL && !equal(trained, settings)) ok = put(key, "trained", trained);
    if (ok) return canonical(key);
    json_decref(key);
    return NULL;
}

/* Digests of starting weights and teachers differ from seed to seed. */
static void drop_digests(json_t *object) {
    const char *key;
    json_t     *value;
    json_object_del(object, "weights_sha256");
    json_object_foreach(object, key, value) drop_digests(value);
}

/* With what a run of an earlier version did not write yet, since it had no other value. */
static json_t *train_settings(const json_t *run) {
    static const char *const apart[] = {"seed", "loader_threads", "checkpoint_s", "eval_every", "eval_batch_size"};
    TrainSettings fallbacks;
    fields_default(train_fields, &fallbacks);
    json_t *all = fields_to_json(train_fields, &fallbacks), *own = json_deep_copy(report_at(run, "/experiment/train"));
    if (all == NULL || (own != NULL && json_object_update(all, own) != 0)) {
        json_decref(all);
        all = NULL;
    }
    json_decref(own);
    for (size_t i = 0; all != NULL && i < sizeof apart / sizeof *apart; i++) json_object_del(all, apart[i]);
    if (all != NULL) drop_digests(all);
    return all;
}

char *claim_training_key(const ClaimRuns *c, int row) {
    static const char *const trained_on[] = {"/data/digest", "/data/preprocess", "/data/images_count"};
    const json_t *run = c->report->row[row].run, *trained = c->trained[row];
    const json_t *tested = report_at(run, "/data/test/digest") != NULL ? report_at(run, "/data/test/digest") : report_at(run, "/data/digest");
    json_t       *key    = json_object();
    bool          ok     = put(key, "tested", tested) && put(key, "images", report_at(run, "/accuracy/images_count"));
    if (trained != NULL) {
        ok = ok && json_object_set_new(key, "train", train_settings(trained)) == 0;
        for (size_t i = 0; i < sizeof trained_on / sizeof *trained_on; i++) ok = ok && put(key, trained_on[i], report_at(trained, trained_on[i]));
        const char *classes = text_at(trained, "/experiment/data/classes");         /* runs of an earlier version have all, and do not say so */
        ok = ok && json_object_set_new(key, "classes", json_string(classes != NULL ? classes : "")) == 0;
        ok = ok && json_object_set_new(key, "from weights", json_boolean(json_is_string(report_at(trained, "/model/initial_weights_sha256")))) == 0;
    }
    if (ok) return canonical(key);
    json_decref(key);
    return NULL;
}

void claim_seed(const ClaimRuns *c, int row, char seed[80]) {
    const json_t *trained = c->trained[row], *value = report_at(trained, "/experiment/train/seed");
    const char   *weights = text_at(c->report->row[row].run, "/model/weights_sha256");
    if (json_is_integer(value)) snprintf(seed, 80, "seed %lld", (long long)json_integer_value(value));
    else snprintf(seed, 80, "%s%s", weights != NULL ? "weights " : "", weights != NULL ? weights : "");
}

/* ---- together ---- */

bool claim_runs_open(ClaimRuns *out, const Report *report, Error *err) {
    const size_t n = (size_t)report->n_rows + 1;
    *out = (ClaimRuns){.report = report, .trained = calloc(n, sizeof *out->trained), .model_key = calloc(n, sizeof *out->model_key)};
    bool ok = out->trained != NULL && out->model_key != NULL;
    for (int i = 0; ok && i < report->n_rows; i++) out->trained[i] = training_of(report, report->row[i].run);
    for (int i = 0; ok && i < report->n_rows; i++) ok = (out->model_key[i] = model_key(out, i)) != NULL;
    return ok || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d runs", report->n_rows);
}

void claim_runs_close(ClaimRuns *c) {
    for (int i = 0; c->model_key != NULL && i < c->report->n_rows; i++) free(c->model_key[i]);
    free(c->model_key);
    free(c->trained);
    *c = (ClaimRuns){0};
}
