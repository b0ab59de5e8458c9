/* The table of models and the names of their presets.
 *
 * A preset's name may hold placeholders, "vit_d{embed_dim}_l{depth}_p{patch_size}_28": each stands for decimal digits,
 * which become the setting of that name; q and digits are a geometric schedule (field.h). The names that `list` shows are the plain ones and a pattern's examples. */
#include "baselines/registry.h"

#include <stdio.h>
#include <string.h>

static const ModelKind *const kinds[] = {
#define MODEL(name) &model_##name,
#include "baselines/baselines.def"
#undef MODEL
};

enum { N_KINDS = sizeof kinds / sizeof *kinds, NAMES_MAX = 512, SETTINGS_MAX = 512 };

int              model_kind_count(void) { return N_KINDS; }
const ModelKind *model_kind_at(int i)   { return kinds[i]; }

const ModelKind *model_find(const char *name) {
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i]->name, name) == 0) return kinds[i];
    return NULL;
}

const char *model_names(void) {
    static const char names[] =
#define MODEL(name) ", " #name
#include "baselines/baselines.def"
#undef MODEL
        ;
    return names + 2;
}

/* ---- names to list ---- */

typedef struct ListedName {
    char             text[sizeof ((Model *)NULL)->preset];
    const ModelKind *kind;
} ListedName;

static int add_names(ListedName name[NAMES_MAX], int n, const ModelKind *kind, const Preset *p) {
    for (const char *s = p->examples != NULL ? p->examples : p->name; *s != '\0';) {
        const size_t length = strcspn(s, " ");
        CHECK(n < NAMES_MAX && length < sizeof name[n].text, "preset %s: too many names, or too long a one", p->name);
        memcpy(name[n].text, s, length);
        name[n++].kind = kind;
        s += length;
        s += strspn(s, " ");
    }
    return n;
}

/* Filled at the first call, by the main thread before others run. */
static const ListedName *listed_names(int *n_names) {
    static ListedName name[NAMES_MAX];
    static int        n;
    if (n == 0)
        for (int k = 0; k < N_KINDS; k++)
            for (const Preset *p = kinds[k]->presets; p != NULL && p->name != NULL; p++) n = add_names(name, n, kinds[k], p);
    *n_names = n;
    return name;
}

const char *preset_name(int i, const ModelKind **kind) {
    int               n;
    const ListedName *name = listed_names(&n);
    if (i < 0 || i >= n) return NULL;
    if (kind != NULL) *kind = name[i].kind;
    return name[i].text;
}

static const char *nearest_name(const char *preset) {
    Field             field[NAMES_MAX + 1] = {{0}};
    int               n;
    const ListedName *name = listed_names(&n);
    for (int i = 0; i < n; i++) field[i].key = name[i].text;
    return field_nearest(field, preset);
}

/* ---- patterns ---- */

/* Whether name has the form of pattern; then "key=digits ..." of its placeholders is added to settings. */
static bool matches(const char *pattern, const char *name, char *settings, size_t size) {
    size_t used = 0;
    settings[0] = '\0';
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *name++) return false;
            continue;
        }
        const size_t key = strcspn(pattern, "}") - 1, rule = *name == 'q', digits = rule + strspn(name + rule, "0123456789");
        if (digits == rule) return false;
        used += (size_t)snprintf(settings + used, size - used, " %.*s=%.*s", (int)key, pattern + 1, (int)digits, name);
        if (used >= size) return false;                  /* digits without end name no size */
        pattern += key + 2;
        name    += digits;
    }
    return *name == '\0';
}

bool preset_find(const char *preset, const ModelKind **kind, char *settings, int size, Error *err) {
    for (int k = 0; k < N_KINDS; k++)
        for (const Preset *p = kinds[k]->presets; p != NULL && p->name != NULL; p++) {
            char from_name[SETTINGS_MAX];
            if (!matches(p->name, preset, from_name, sizeof from_name)) continue;
            const int n = snprintf(settings, (size_t)size, "%s%s", p->settings, from_name);
            CHECK(n < size, "preset %s: its settings need %d bytes", p->name, n);
            *kind = kinds[k];
            return true;
        }
    const char *near = nearest_name(preset);
    if (near != NULL)
        return FAIL(err, "", "unknown preset '%.80s'; did you mean '%s'? `morbench list models` names them all", preset, near);
    return FAIL(err, "", "unknown preset '%.80s'; `morbench list models` names those there are", preset);
}

bool model_from_preset(Model **out, const char *preset, const char *override, Error *err) {
    char             settings[2 * SETTINGS_MAX];
    const ModelKind *kind;
    Model           *m = NULL;
    if (!preset_find(preset, &kind, settings, sizeof settings, err)) return false;
    if (!model_new(&m, kind, err)) return false;
    snprintf(m->preset, sizeof m->preset, "%s", preset);
    if (!fields_set_from_text(kind->fields, m->self, settings, "/model", err) ||
        !fields_set_from_text(kind->fields, m->self, override != NULL ? override : "", "/model", err) || !model_build(m, err)) {
        model_destroy(m);
        return error_in(err, preset);
    }
    *out = m;
    return true;
}
