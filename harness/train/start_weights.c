/* Drawn, read, or taken over from another kind (start_weights.h). */
#include "harness/train/start_weights.h"

#include "harness/config.h"
#include "harness/train/teacher.h"

#include <stdio.h>

static bool from_other(Model *m, const TrainSettings *s, StartingWeights *out, Error *err) {
    Model *other = NULL;
    bool   ok    = false;
    if (m->kind->init_from == NULL)
        return FAIL(err, "/train/init_from", "%s cannot be started from another kind of model; leave it out, or give --weights of its own", m->kind->name);
    if (!model_from_name_or_file(&other, s->init_from, "/train/init_from", err)
        || !model_load(other, s->init_from_weights, (LoadOptions){0}, out->sha256, out->warning, err)
        || !m->kind->init_from(m->self, other, s->init_rule, err))
        goto done;
    params_touch(m->params);
    out->source = model_to_json(other);
    ok = out->source != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
done:
    model_destroy(other);
    return ok;
}

bool start_weights(Model *m, const TrainSettings *s, const char *file, StartingWeights *out, Error *err) {
    *out = (StartingWeights){0};
    if (file != NULL && s->init_from[0] != '\0') return FAIL(err, "/train/init_from", "cannot be given beside --weights");
    if (file == NULL && s->new_head) return FAIL(err, "/train/new_head", "is for starting weights of the same kind (--weights), and there are none");
    params_init(m->params, (uint64_t)s->seed);
    if (s->init_from[0] != '\0') {
        if (!from_other(m, s, out, err)) return false;
        file = s->init_from_weights;
    } else if (file != NULL && !model_load(m, file, (LoadOptions){.new_head = true, .any_head_new = s->new_head}, out->sha256, out->warning, err)) {
        return false;
    }
    if (out->warning[0] != '\0') fprintf(stderr, "morbench: warning: %s: %s\n", file, out->warning);
    return true;
}
