/* Checks a document against the keys that its line of documents.def asks for (documents.h). */
#include "harness/documents.h"

#include <stdio.h>
#include <string.h>

static const Document documents[] = {
#define DOCUMENT(schema, what, list, keys) {schema, what, list, keys},
#include "harness/documents.def"
#undef DOCUMENT
};

const Document *document_find(const char *schema) {
    for (size_t i = 0; schema != NULL && i < sizeof documents / sizeof *documents; i++)
        if (strcmp(documents[i].schema, schema) == 0) return &documents[i];
    return NULL;
}

static const struct { char letter; const char *must; } types[] = {
    {'T', "must be a text"}, {'C', "must be a whole number, 0 or more"}, {'N', "must be a number, or null with a reason"},
    {'B', "must be true or false"}, {'A', "must be an array"}, {'O', "must be an object"},
};

static bool is_of_type(const json_t *value, char letter, const json_t *reason) {
    switch (letter) {
    case 'T': return json_is_string(value);
    case 'C': return json_is_integer(value) && json_integer_value(value) >= 0;
    case 'N': return json_is_number(value) || (json_is_null(value) && json_is_string(reason));
    case 'B': return json_is_boolean(value);
    case 'A': return json_is_array(value);
    default:  return json_is_object(value);
    }
}

static const char *must_be(char letter) {
    size_t i = 0;
    while (types[i].letter != letter) i++;
    return types[i].must;
}

/* The keys of one object at a place, as far as a closing bracket or the end; what follows is returned. With object NULL they are only passed
 * over. *ok stays as it is unless a key is wrong. */
static const char *check_keys(const json_t *object, const char *keys, const char *where, bool *ok, Error *err) {
    while (*keys != '\0' && *keys != ']') {
        if (*keys == ' ') {
            keys++;
            continue;
        }
        const char letter = *keys++;
        const bool may_be_null = *keys == '?';
        keys += may_be_null + 1;
        char         key[64], reason[72], at[128], entry[128];
        const size_t n = strcspn(keys, " []");
        snprintf(key, sizeof key, "%.*s", (int)n, keys);
        snprintf(reason, sizeof reason, "%s_reason", key);
        snprintf(at, sizeof at, "%.60s/%.60s", where, key);
        keys += n;
        const json_t *value = json_object_get(object, key), *one;
        if (*ok && object != NULL && !(may_be_null && json_is_null(value)) && !is_of_type(value, letter, json_object_get(object, reason)))
            *ok = FAIL(err, at, "%s%s", must_be(letter), may_be_null ? ", or null" : "");
        if (*keys != '[') continue;
        const char *inner = keys + 1;
        size_t      i;
        keys = check_keys(letter == 'O' && json_is_object(value) ? value : NULL, inner, at, ok, err) + 1;
        if (letter == 'A') json_array_foreach(value, i, one) {
            snprintf(entry, sizeof entry, "%.100s/%zu", at, i);
            if (*ok && !json_is_object(one)) *ok = FAIL(err, entry, "must be an object");
            check_keys(one, inner, entry, ok, err);
        }
    }
    return keys;
}

bool document_check(const Document *d, const json_t *tree, Error *err) {
    bool ok = true;
    check_keys(tree, d->keys, "", &ok, err);
    return ok;
}
