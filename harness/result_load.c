/* Reads run.json and judges it: shape, identity, digest. result.h has the interface. */
#include "harness/result.h"

#include "engine/digest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool result_digest(const json_t *run, char digest[SHA256_TEXT_SIZE], Error *err) {
    json_t *bare = json_copy((json_t *)run); /* shallow */
    if (bare == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory for a digest");
    json_object_del(bare, "digest");
    char      *text = json_canonical_text(bare);
    const bool ok   = text != NULL ? digest_sha256(text, strlen(text), digest, err)
                                   : FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory for a digest");
    free(text);
    json_decref(bare);
    return ok;
}

static bool is_hex(const char *text, size_t n) {
    return text != NULL && strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

static bool is_one_of(const char *text, const char *const words[], size_t n) {
    for (size_t i = 0; text != NULL && i < n; i++)
        if (strcmp(text, words[i]) == 0) return true;
    return false;
}
#define IS_ONE_OF(text, ...) \
    is_one_of(text, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static const char *text_at(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

/* A number, or null with a reason. */
static bool check_number(const json_t *object, const char *block, const char *key, Error *err) {
    const json_t *value = json_object_get(object, key);
    char          path[128], reason_key[128];
    snprintf(path, sizeof path, "/%s/%s", block, key);
    snprintf(reason_key, sizeof reason_key, "%s_reason", key);
    if (value == NULL) return FAIL(err, path, "missing");
    if (json_is_null(value)) return text_at(object, reason_key) != NULL || FAIL(err, path, "null without a reason");
    return json_is_number(value) || json_is_array(value) || FAIL(err, path, "must be a number or null");
}

bool result_check(const json_t *run, Error *err) {
    static const char *const objects[] = {"validity", "experiment", "model", "data", "env", "provenance", "metrics",
                                          "samples", "counters", "depth_histogram", "accuracy", "profile"};
    char field[64];
    const char *schema = text_at(run, "schema");
    if (schema == NULL || strcmp(schema, RESULT_SCHEMA) != 0)
        return FAIL(err, "/schema", "must be \"%s\", got \"%.60s\"", RESULT_SCHEMA, schema != NULL ? schema : "");
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        snprintf(field, sizeof field, "/%s", objects[i]);
        if (!json_is_object(json_object_get(run, objects[i]))) return FAIL(err, field, "must be an object");
    }
    if (!json_is_array(json_object_get(run, "curves"))) return FAIL(err, "/curves", "must be an array");
    if (!json_is_array(json_object_get(run, "warnings"))) return FAIL(err, "/warnings", "must be an array");
    const json_t *processes = json_object_get(run, "processes"), *roofline = json_object_get(run, "roofline");   /* came later */
    if (processes != NULL && !json_is_array(processes)) return FAIL(err, "/processes", "must be an array");
    if (roofline != NULL && !json_is_object(roofline)) return FAIL(err, "/roofline", "must be an object");
    if (!is_hex(text_at(run, "id"), 16)) return FAIL(err, "/id", "must be 16 hexadecimal digits");
    if (text_at(run, "env_id") == NULL || (*text_at(run, "env_id") != '\0' && !is_hex(text_at(run, "env_id"), 16)))
        return FAIL(err, "/env_id", "must be 16 hexadecimal digits");
    if (!IS_ONE_OF(text_at(run, "kind"), "train", "eval", "bench")) return FAIL(err, "/kind", "must be train, eval or bench");
    if (!IS_ONE_OF(text_at(run, "status"), "ok", "failed", "interrupted", "invalid", "oom", "timeout"))
        return FAIL(err, "/status", "must be ok, failed, interrupted, invalid, oom or timeout");
    const json_t *validity = json_object_get(run, "validity");
    if (!IS_ONE_OF(text_at(validity, "verdict"), "VALID", "NOISY", "SPEED_ONLY", "SMOKE", "INVALID"))
        return FAIL(err, "/validity/verdict", "must be VALID, NOISY, SPEED_ONLY, SMOKE or INVALID");
    if (!json_is_array(json_object_get(validity, "reasons"))) return FAIL(err, "/validity/reasons", "must be an array");
    if (text_at(json_object_get(run, "provenance"), "started_utc") == NULL)
        return FAIL(err, "/provenance/started_utc", "must be a text");
#define KEY(block, key, help) if (!check_number(json_object_get(run, #block), #block, #key, err)) return false;
#define KEY_LATER(block, key, help) \
    if (json_object_get(json_object_get(run, #block), #key) != NULL && !check_number(json_object_get(run, #block), #block, #key, err)) return false;
#include "harness/result_keys.def"
#undef KEY
#undef KEY_LATER
    char digest[SHA256_TEXT_SIZE];
    if (!is_hex(text_at(run, "digest"), 64)) return FAIL(err, "/digest", "must be 64 hexadecimal digits");
    if (!result_digest(run, digest, err)) return false;
    if (strcmp(digest, text_at(run, "digest")) != 0)
        return FAIL_STATUS(err, EXIT_IO, "/digest", "the contents were changed or damaged: they have digest %.16s..., not %.16s...",
                           digest, text_at(run, "digest"));
    return true;
}

bool result_load(json_t **out, const char *path, Error *err) {
    json_t *run = NULL;
    if (!json_load_file_checked(&run, path, 0, err)) return false;
    if (!result_check(run, err)) {
        json_decref(run);
        return error_in(err, path);
    }
    *out = run;
    return true;
}
