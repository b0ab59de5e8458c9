/* Is a file of claims well-formed? Every key is known, every measure and field there is, and what belongs together is together. */
#include "harness/report/claims.h"

#include "harness/report/claim_measures.h"
#include "harness/strict.h"

#include <string.h>

static const char *under(char at[128], const char *where, const char *key) {
    snprintf(at, 128, "%.100s/%s", where, key);
    return at;
}

static bool check_threshold(const json_t *condition, const char *where, Error *err) {
    static const char *const bounds[] = {"at_most", "at_least", "above", "below"};
    int n = 0;
    for (int i = 0; i < 4; i++) {
        const json_t *bound = json_object_get(condition, bounds[i]);
        if (bound == NULL) continue;
        if (!json_is_number(bound)) return FAIL(err, where, "%s must be a number", bounds[i]);
        n++;
    }
    return n == 1 || FAIL(err, where, "must have one of at_most, at_least, above, below, has %d of them", n);
}

static bool check_condition(const json_t *condition, const char *where, bool has_b, Error *err) {
    static const char *const keys[] = {"measure", "field", "where", "along", "at_most", "at_least", "above", "below", NULL};
    if (!strict_keys(condition, where, keys, err) || !strict_texts(condition, where, (const char *const[]){"measure", "field", NULL}, err)) return false;
    const char         *name = json_string_value(json_object_get(condition, "measure")), *field = json_string_value(json_object_get(condition, "field"));
    const ClaimMeasure *m    = claim_measure_find(name);
    const ClaimField   *f    = claim_field_find(field);
    const json_t       *along = json_object_get(condition, "along"), *chosen = json_object_get(condition, "where");
    if (m == NULL) return FAIL(err, where, "no measure \"%.40s\"; known: %s", name, claim_measure_names());
    if (f == NULL) return FAIL(err, where, "no field \"%.40s\"; known: %s", field, claim_field_names());
    if (m->two_arms != has_b) return FAIL(err, where, m->two_arms ? "%s compares A with B, and there is no b" : "%s is of A alone, and there is a b", name);
    if (f->repeats == CLAIM_PROCESSES && strcmp(name, "ratio") != 0) return FAIL(err, where, "%s is a time, of which only a ratio says anything elsewhere", field);
    if (m->over != (json_string_value(along) != NULL)) return FAIL(err, where, m->over ? "%s needs \"along\", the pointer of a setting" : "%s has no use for \"along\"", name);
    return (chosen == NULL || claim_selection_check(chosen, where, err)) && check_threshold(condition, where, err);
}

static bool check_match(const json_t *match, const char *where, Error *err) {
    const json_t *one;
    json_t       *share;
    const char   *key;
    size_t        i;
    if (match == NULL) return true;
    if (!json_is_array(match)) return FAIL(err, where, "match must be a list");
    json_array_foreach(match, i, one) {
        if (json_is_string(one) && json_string_value(one)[0] == '/') continue;
        if (!json_is_object(one)) return FAIL(err, where, "match must list pointers, or {pointer: share by which they may differ}");
        json_object_foreach((json_t *)one, key, share)
            if (key[0] != '/' || !json_is_number(share) || json_number_value(share) < 0) return FAIL(err, where, "match: \"%.60s\" must be a pointer with a share >= 0", key);
    }
    return true;
}

static bool check_part(const json_t *part, const char *where, Error *err) {
    static const char *const keys[] = {"name", "a", "b", "match", "factors", "over", "at_least", "conditions", "made_by", NULL};
    const json_t *b = json_object_get(part, "b"), *conditions = json_object_get(part, "conditions"), *over = json_object_get(part, "over"), *condition;
    const json_t *least = json_object_get(part, "at_least");
    char          at[128];
    size_t        i;
    if (!strict_keys(part, where, keys, err)) return false;
    if (over != NULL && (!json_is_string(over) || (strcmp(json_string_value(over), "any") != 0 && strcmp(json_string_value(over), "all") != 0)))
        return FAIL(err, where, "over must be \"any\" or \"all\"");
    if (least != NULL && (!json_is_integer(least) || json_integer_value(least) < 1)) return FAIL(err, where, "at_least must be a number of pairs, 1 or more");
    if (!claim_selection_check(json_object_get(part, "a"), under(at, where, "a"), err)) return false;
    if (b != NULL && !claim_selection_check(b, under(at, where, "b"), err)) return false;
    if (!check_match(json_object_get(part, "match"), where, err) || !strict_list_of_texts(json_object_get(part, "factors"), under(at, where, "factors"), err)
        || !strict_list_of_texts(json_object_get(part, "made_by"), under(at, where, "made_by"), err))
        return false;
    if (json_array_size(conditions) == 0) return FAIL(err, where, "must have a list of conditions");
    json_array_foreach(conditions, i, condition) {
        snprintf(at, sizeof at, "%.90s/conditions/%zu", where, i);
        if (!check_condition(condition, at, b != NULL, err)) return false;
    }
    return true;
}

static bool check_claim(const json_t *claim, const char *where, Error *err) {
    static const char *const keys[] = {"id", "claim", "source", "statement", "threshold", "note", "untestable", "parts", NULL};
    const json_t *parts = json_object_get(claim, "parts"), *untestable = json_object_get(claim, "untestable"), *part;
    char          at[128];
    size_t        i;
    if (!strict_keys(claim, where, keys, err) || !strict_texts(claim, where, (const char *const[]){"id", "claim", "source", "statement", NULL}, err)) return false;
    if (untestable != NULL && (!json_is_string(untestable) || parts != NULL)) return FAIL(err, where, "untestable must be a text that says why, instead of parts");
    if (untestable == NULL && json_array_size(parts) == 0) return FAIL(err, where, "must have a list of parts, or say why it is untestable");
    if (untestable == NULL && json_string_value(json_object_get(claim, "threshold")) == NULL)
        return FAIL(err, where, "must have a text \"threshold\": where the threshold comes from");
    json_array_foreach(parts, i, part) {
        snprintf(at, sizeof at, "%.90s/parts/%zu", where, i);
        if (!check_part(part, at, err)) return false;
    }
    return true;
}

/* ---- selections that several claims share ---- */

/* {"like": NAME, ...}: what the selection of that name has, with what stands beside it. */
static bool expand(json_t *part, const char *key, const json_t *shared, const char *where, Error *err) {
    json_t *selection = json_object_get(part, key);
    json_t *like      = json_object_get(selection, "like");
    char    at[128];
    if (like == NULL) return true;
    const json_t *base = json_is_string(like) ? json_object_get(shared, json_string_value(like)) : NULL;
    if (!json_is_object(base)) return FAIL(err, under(at, where, key), "like must name one of /selections");
    json_t *whole = json_copy((json_t *)base);
    json_object_del(selection, "like");
    if (whole == NULL || json_object_update(whole, selection) != 0 || json_object_set_new(part, key, whole) != 0)
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a selection");
    return true;
}

static bool expand_all(json_t *claims, Error *err) {
    const json_t *shared = json_object_get(claims, "selections");
    json_t       *claim, *part, *condition;
    size_t        i, k, c;
    char          at[128];
    json_array_foreach(json_object_get(claims, "claims"), i, claim)
        json_array_foreach(json_object_get(claim, "parts"), k, part) {
            snprintf(at, sizeof at, "/claims/%zu/parts/%zu", i, k);
            if (!expand(part, "a", shared, at, err) || !expand(part, "b", shared, at, err)) return false;
            json_array_foreach(json_object_get(part, "conditions"), c, condition)
                if (!expand(condition, "where", shared, at, err)) return false;
        }
    return true;
}

bool claims_check(json_t *claims, Error *err) {
    const json_t *list = json_object_get(claims, "claims"), *claim, *other;
    size_t        i, k;
    char          at[128];
    if (!strict_keys(claims, "", (const char *const[]){"schema", "selections", "claims", NULL}, err)) return false;
    const char *schema = json_string_value(json_object_get(claims, "schema"));
    if (schema == NULL || strcmp(schema, CLAIMS_SCHEMA) != 0) return FAIL(err, "/schema", "must be \"" CLAIMS_SCHEMA "\"");
    if (json_array_size(list) == 0) return FAIL(err, "/claims", "must be a list of at least one claim");
    if (!expand_all(claims, err)) return false;
    json_array_foreach(list, i, claim) {
        snprintf(at, sizeof at, "/claims/%zu", i);
        if (!check_claim(claim, at, err)) return false;
        for (k = 0; k < i && (other = json_array_get(list, k)) != NULL; k++)
            if (json_equal(json_object_get(claim, "id"), json_object_get(other, "id"))) return FAIL(err, at, "has the id of claim %zu", k);
    }
    return true;
}

bool claims_load(json_t **out, const char *path, Error *err) {
    if (!json_load_file_checked(out, path, 0, err)) return false;
    if (claims_check(*out, err)) return true;
    json_decref(*out);
    *out = NULL;
    return error_in(err, path);
}
