/* JSON in and out; the one place where jansson enters.
 *
 * Reading is strict: a regular file, at most 16 MiB, 2^20 values and 64 levels deep, no key twice, nothing after the
 * end. The limits bound what a hostile file can cost (under 200 MB and 2 s).
 *
 * Writing goes through a JsonSink, which cannot lose a key unnoticed: jansson answers a non-finite number and a
 * failed allocation alike with NULL, and the key is then missing. A sink writes null and a reason for the first
 * and remembers the second until json_sink_finish, so that callers need not ask after each of hundreds of keys:
 *
 *     JsonSink run, metrics;
 *     json_sink_begin(&run);
 *     json_put_text(&run, "schema", "morbench.run/1");
 *     json_put_object(&run, "metrics", &metrics);
 *     json_put_number(&metrics, "latency_ns", ns);
 *     json_put_missing(&metrics, "energy_joules", "not_supported");
 *     ok = json_sink_finish(&run, &tree, err) && json_save_file(tree, path, err);
 *
 * Ownership
 *   json_load_...      *out is the caller's; json_decref
 *   json_to_text, json_canonical_text   the caller; free()
 *   json_sink_begin    the sink owns its tree until json_sink_finish (always call it; out may be NULL) */
#ifndef ENGINE_JSON_H
#define ENGINE_JSON_H

#include "engine/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_MAX_BYTES = 16 << 20, JSON_MAX_VALUES = 1 << 20, JSON_MAX_DEPTH = 64 };

/* max_bytes 0 stands for JSON_MAX_BYTES. Errors name file and line. The root is an object or an array. */
bool json_load_file_checked(json_t **out, const char *path, size_t max_bytes, Error *err);
bool json_load_bytes(json_t **out, const void *bytes, size_t n, Error *err);

/* Two spaces a level, keys in the order they were put, an array of scalars on one line, real numbers with the fewest
 * of 15 to 17 digits that read back equal and always with a point or exponent, a newline at the end. NULL: no memory. */
char *json_to_text(const json_t *value);

/* The same text on standard output, flushed. */
bool json_print(const json_t *value, Error *err);

/* The same text, durably. A tree deeper than JSON_MAX_DEPTH, which nobody could read again, is an error. */
bool json_save_file(const json_t *value, const char *path, Error *err);

/* For digests: no spaces, keys in the order of their bytes, reals as %.17g, so that 1 and 1.0 are alike. NULL: no
 * memory. */
char *json_canonical_text(const json_t *value);

/* Whether a zero-terminated text is UTF-8, which JSON demands. */
bool json_is_utf8(const char *text);

/* An object or array being filled. A child reports its failures to its parents and must not outlive them. To add to
 * a tree that is there already: JsonSink sink = {.at = object}. */
typedef struct JsonSink {
    json_t          *at;      /* NULL once it could not be made: what is put then is dropped, and remembered as failed */
    struct JsonSink *parent;  /* NULL for the root */
    bool             failed;  /* some put into this or one below failed */
} JsonSink;

bool json_sink_begin(JsonSink *root);
bool json_sink_finish(JsonSink *root, json_t **out, Error *err);

/* Each returns false, and leaves the sink failed, when memory runs out. In an array the key is NULL; in an object a
 * second put of a key replaces the first. Invalid UTF-8 in keys and texts becomes U+FFFD. */
bool json_put_object (JsonSink *sink, const char *key, JsonSink *child);
bool json_put_array  (JsonSink *sink, const char *key, JsonSink *child);
bool json_put_text   (JsonSink *sink, const char *key, const char *text);
bool json_put_count  (JsonSink *sink, const char *key, int64_t count);
bool json_put_bool   (JsonSink *sink, const char *key, bool value);

/* A number that is not finite becomes null with "<key>_reason": "non_finite" (in an array: null alone). */
bool json_put_number (JsonSink *sink, const char *key, double value);

/* null and "<key>_reason": one of not_supported, no_permission, multiplexed, not_requested, non_finite, overflow. */
bool json_put_missing(JsonSink *sink, const char *key, const char *reason);

/* Any value; takes the reference. NULL counts as a failed allocation. */
bool json_put        (JsonSink *sink, const char *key, json_t *value);

#endif
