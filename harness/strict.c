/* Unknown keys and missing texts, see strict.h. */
#include "harness/strict.h"

#include <stdio.h>
#include <string.h>

bool strict_keys(const json_t *object, const char *where, const char *const keys[], Error *err) {
    const char *key;
    json_t     *value;
    char        known[256] = "";
    if (!json_is_object(object)) return FAIL(err, where, "must be an object {...}");
    for (int i = 0; keys[i] != NULL; i++) snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "", keys[i]);
    json_object_foreach((json_t *)object, key, value) {
        bool found = false;
        for (int i = 0; keys[i] != NULL; i++) found = found || strcmp(keys[i], key) == 0;
        if (!found) return FAIL(err, where, "has the unknown key \"%.40s\"; known: %s", key, known);
    }
    return true;
}

bool strict_texts(const json_t *object, const char *where, const char *const keys[], Error *err) {
    for (int i = 0; keys[i] != NULL; i++)
        if (json_string_length(json_object_get(object, keys[i])) == 0) return FAIL(err, where, "must have a text \"%s\"", keys[i]);
    return true;
}

bool strict_list_of_texts(const json_t *list, const char *where, Error *err) {
    const json_t *one;
    size_t        i;
    if (list != NULL && !json_is_array(list)) return FAIL(err, where, "must be a list of texts");
    json_array_foreach(list, i, one)
        if (!json_is_string(one)) return FAIL(err, where, "must be a list of texts, entry %zu is none", i);
    return true;
}
