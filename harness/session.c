/* Model, data, machine and result of one command (session.h). */
#include "harness/session.h"

#include "baselines/registry.h"
#include "engine/backends/packed.h"
#include "harness/config.h"
#include "harness/options.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

bool session_model(Model **out, const ModelChoice *c, char sha256[65], char warning[512], Error *err) {
    Model *m = NULL;
    sha256[0]  = '\0';
    warning[0] = '\0';
    if ((c->preset != NULL) == (c->config != NULL)) return FAIL(err, "", "give either --preset NAME or --config MODEL.json");
    if (c->preset != NULL ? !model_from_preset(&m, c->preset, NULL, err) : !config_load_model_file(c->config, &m, err)) return false;
    if (c->weights == NULL || c->new_head) params_init(m->params, c->seed);
    if (c->weights != NULL && !model_load(m, c->weights, (LoadOptions){.new_head = c->new_head, .other_recursions = c->other_recursions}, sha256, warning, err)) {
        model_destroy(m);
        return false;
    }
    if (warning[0] != '\0') fprintf(stderr, "morbench: warning: %s: %s\n", c->weights, warning);
    *out = m;
    return true;
}

void session_warn_loading(Result *r, const char *warning) {
    if (warning[0] == '\0') return;
    if (strstr(warning, "resampled from") != NULL) result_warn_detail(r, WARN_resampled_weights, "%s", warning);
    if (strstr(warning, "left at its initial values") != NULL) result_warn_detail(r, WARN_new_head, "%s", warning);
}

bool session_data(Dataset **out, const DataChoice *c, const Model *m, Error *err) {
    int channels, height, width, classes;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(c->name_or_dir, ":"), c->name_or_dir);
    const DatasetKind *kind   = dataset_find(name);
    const bool         folder = kind == NULL || kind->needs_path;
    const char        *preset = c->preprocess != NULL ? c->preprocess : folder ? "deit" : "none";
    return dataset_open(out, &(DatasetOptions){.name_or_dir = c->name_or_dir, .split = c->split, .preprocess = preset,
                                               .image_size = strcmp(preset, "none") == 0 ? 0 : height, .limit = c->limit, .classes = c->classes}, err);
}

bool session_config_data(Dataset **out, const char *path, const DataChoice *over, const Model *m, Error *err) {
    Config       config = {.tree = NULL};
    DataSettings settings;
    int          channels, height, width, classes;
    *out = NULL;
    if (!json_load_file_checked(&config.tree, path, 0, err)) return false;
    snprintf(config.path, sizeof config.path, "%s", path);
    const bool there = config_block(&config, "data") != NULL, ok = !there || config_data(&config, &settings, err);
    config_release(&config);
    if (!ok || !there) return ok;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    DatasetOptions options = data_settings_options(&settings, false);
    if (over->split != NULL) options.split = over->split;
    if (over->preprocess != NULL) options.preprocess = over->preprocess;
    if (over->classes != NULL) options.classes = over->classes;
    if (over->limit > 0) options.limit = over->limit;
    if (options.image_size == 0 && strcmp(options.preprocess, "none") != 0) options.image_size = height;
    return dataset_open(out, &options, err);
}

bool session_result_of_machine(Result **out, const char *kind, const json_t *experiment, int argc, char *const *argv, Error *err) {
    static Machine machine;                       /* 40 KB, and the same for the whole process */
    BlasInfo blas;
    Result  *r = NULL;
    machine_read(&machine, "", environ, blas_info(&blas) ? &blas : NULL);
    if (!result_begin(&r, &(ResultStart){.kind = kind, .experiment = experiment, .argc = argc, .argv = argv}, err) || !result_set_machine(r, &machine, err)) {
        result_destroy(r);
        return false;
    }
    *out = r;
    return true;
}

bool session_result(Result **out, const char *kind, const json_t *experiment, bool measuring, int argc, char *const *argv, Error *err) {
    ThreadsUsed used;
    Result     *r        = NULL;
    int         n_pinned = 0;
    if (!session_result_of_machine(&r, kind, experiment, argc, argv, err)) return false;
    if (!runtime_pin(measuring, &n_pinned, err) || !machine_threads_used(&used, runtime_threads(), err)) {
        result_destroy(r);
        return false;
    }
    result_set_threads(r, &used, n_pinned);
    *out = r;
    return true;
}

int64_t session_peak_resident_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : -1;
}
