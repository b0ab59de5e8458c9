/* Learning-rate factors and freezing, tensor by tensor (train_groups.h). */
#include "harness/train/train_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 64 };

typedef struct Rule {
    const char *prefix;              /* "*": every name */
    size_t      n;
    double      value;
    bool        used;                /* some tensor begins so */
} Rule;

/* A setting that gives tensors numbers by the beginning of their names: "head=10 blocks.0.=0". */
typedef struct RuleList {
    const char *field, *what, *example;
    double      most;
    Rule        rule[RULES_MAX];     /* they point into the setting's text */
    int         n;
} RuleList;

static bool parse(RuleList *l, const char *text, Error *err) {
    static const char separators[] = " ,\t\n";
    for (const char *at = text + strspn(text, separators); *at != '\0'; at += strspn(at, separators)) {
        const size_t length = strcspn(at, separators);
        const char  *equals = memchr(at, '=', length);
        char        *end    = NULL;
        if (l->n == RULES_MAX) return FAIL(err, l->field, "has more than %d entries", RULES_MAX);
        const double value = equals != NULL && equals + 1 < at + length ? strtod(equals + 1, &end) : NAN;
        if (equals == at || end != at + length || !(value >= 0 && value <= l->most))
            return FAIL(err, l->field, "must be a list of NAME=%s in [0, %g], as in \"%s\"; got \"%.*s\"", l->what, l->most, l->example,
                        (int)(length < 60 ? length : 60), at);
        l->rule[l->n++] = (Rule){.prefix = at, .n = (size_t)(equals - at), .value = value};
        at += length;
    }
    return true;
}

static bool begins(const Rule *r, const char *name) {
    return (r->n == 1 && r->prefix[0] == '*') || strncmp(name, r->prefix, r->n) == 0;
}

/* The value of the first rule that fits, every one that does being marked; fallback: none does. */
static double value_for(RuleList *l, const char *name, double fallback) {
    double value = fallback;
    for (int k = l->n - 1; k >= 0; k--)
        if (begins(&l->rule[k], name)) {
            l->rule[k].used = true;
            value           = l->rule[k].value;
        }
    return value;
}

static bool all_used(const RuleList *l, Params *params, Error *err) {
    for (int k = 0; k < l->n; k++)
        if (!l->rule[k].used)
            return FAIL(err, l->field, "no tensor's name begins with \"%.*s\"; the first is %s", (int)(l->rule[k].n < 60 ? l->rule[k].n : 60),
                        l->rule[k].prefix, params_at(params, 0)->name);
    return true;
}

bool train_groups_apply(Params *params, const TrainSettings *s, int64_t steps_per_epoch, Error *err) {
    RuleList scale = {.field = "/train/lr_scale", .what = "FACTOR", .example = "head=10 *=0.1", .most = 1e6};
    RuleList delay = {.field = "/train/lr_delay", .what = "EPOCHS", .example = "score_predictor=0 *=5", .most = 1e5};
    int      top = 0, top_rate = 0, n_training = 0;
    if (!parse(&scale, s->lr_scale, err) || !parse(&delay, s->lr_delay, err)) return false;
    for (int i = 0; i < params_count(params); i++) {
        const Param *p = params_at(params, i);
        if (p->depth > top) top = p->depth;
        if (p->depth >= 0 && p->depth + p->rate_shift > top_rate) top_rate = p->depth + p->rate_shift;
    }
    for (int i = 0; i < params_count(params); i++) {
        Param       *p      = params_at(params, i);
        const int    depth  = p->depth < 0 ? top : p->depth;
        const double factor = value_for(&scale, p->name, 1);
        p->lr_scale = factor * pow(s->layer_decay, p->depth < 0 ? 0 : top_rate - (depth + p->rate_shift));
        p->lr_delay = (int64_t)ceil(value_for(&delay, p->name, 0) * (double)steps_per_epoch);
        p->frozen   = p->role != PARAM_BUFFER && (factor == 0 || depth < s->freeze_depth);
        n_training += p->role != PARAM_BUFFER && !p->frozen;
    }
    if (!all_used(&scale, params, err) || !all_used(&delay, params, err)) return false;
    if (n_training == 0)
        return FAIL(err, s->freeze_depth > 0 ? "/train/freeze_depth" : "/train/lr_scale", "leaves no tensor to train; groups end at %d", top);
    return true;
}
