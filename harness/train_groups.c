/* Learning-rate factors and freezing, tensor by tensor (train_groups.h). */
#include "harness/train_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RULES_MAX = 64 };
static const double FACTOR_MAX = 1e6;

typedef struct Rule {
    const char *prefix;              /* "*": every name */
    size_t      n;
    double      factor;
    bool        used;                /* some tensor begins so */
} Rule;

/* "head=10 blocks.0.=0": n rules that point into text. */
static bool parse(const char *text, Rule rule[RULES_MAX], int *n_rules, Error *err) {
    static const char separators[] = " ,\t\n";
    *n_rules = 0;
    for (const char *at = text + strspn(text, separators); *at != '\0'; at += strspn(at, separators)) {
        const size_t length = strcspn(at, separators);
        const char  *equals = memchr(at, '=', length);
        char        *end    = NULL;
        if (*n_rules == RULES_MAX) return FAIL(err, "/train/lr_scale", "has more than %d entries", RULES_MAX);
        const double factor = equals != NULL && equals + 1 < at + length ? strtod(equals + 1, &end) : NAN;
        if (equals == at || end != at + length || !(factor >= 0 && factor <= FACTOR_MAX))
            return FAIL(err, "/train/lr_scale", "must be a list of NAME=FACTOR with factors in [0, %g], as in \"head=10 *=0.1\"; got \"%.*s\"",
                        FACTOR_MAX, (int)(length < 60 ? length : 60), at);
        rule[(*n_rules)++] = (Rule){.prefix = at, .n = (size_t)(equals - at), .factor = factor};
        at += length;
    }
    return true;
}

static bool begins(const Rule *r, const char *name) {
    return (r->n == 1 && r->prefix[0] == '*') || strncmp(name, r->prefix, r->n) == 0;
}

bool train_groups_apply(Params *params, const TrainSettings *s, Error *err) {
    Rule rule[RULES_MAX];
    int  n_rules, top = 0, n_training = 0;
    if (!parse(s->lr_scale, rule, &n_rules, err)) return false;
    for (int i = 0; i < params_count(params); i++)
        if (params_at(params, i)->depth > top) top = params_at(params, i)->depth;
    for (int i = 0; i < params_count(params); i++) {
        Param    *p      = params_at(params, i);
        const int depth  = p->depth < 0 ? top : p->depth;
        double    factor = 1;
        for (int k = n_rules - 1; k >= 0; k--)               /* backwards, so that the first stands in the end */
            if (begins(&rule[k], p->name)) {
                rule[k].used = true;
                factor       = rule[k].factor;
            }
        p->lr_scale = factor * pow(s->layer_decay, top - depth);
        p->frozen   = p->role != PARAM_BUFFER && (factor == 0 || depth < s->freeze_depth);
        n_training += p->role != PARAM_BUFFER && !p->frozen;
    }
    for (int k = 0; k < n_rules; k++)
        if (!rule[k].used)
            return FAIL(err, "/train/lr_scale", "no tensor's name begins with \"%.*s\"; the first is %s", (int)(rule[k].n < 60 ? rule[k].n : 60),
                        rule[k].prefix, params_at(params, 0)->name);
    if (n_training == 0)
        return FAIL(err, s->freeze_depth > 0 ? "/train/freeze_depth" : "/train/lr_scale", "leaves no tensor to train; groups end at %d", top);
    return true;
}
