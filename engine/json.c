/* JSON in and out, see json.h. Texts are written here and not by jansson, for numbers that people can read, arrays
 * of samples on one line, and a canonical form whose bytes no library version changes. */
#include "engine/json.h"

#include "engine/file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* ---- UTF-8 ---- */

/* Bytes of the character at s, 0 when there is none by RFC 3629 (shortest form, no surrogates, up to U+10FFFF).
 * Reads no further than the first byte that does not fit, hence never beyond a terminating zero. */
static int utf8_length(const unsigned char *s) {
    if (s[0] < 0x80) return 1;
    const int n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
    unsigned  low = 0x80, high = 0xbf; /* of the second byte */
    if (s[0] == 0xe0) low  = 0xa0;
    if (s[0] == 0xed) high = 0x9f;
    if (s[0] == 0xf0) low  = 0x90;
    if (s[0] == 0xf4) high = 0x8f;
    for (int i = 1; i < n; i++, low = 0x80, high = 0xbf)
        if (s[i] < low || s[i] > high) return 0;
    return n;
}

bool json_is_utf8(const char *text) {
    for (const unsigned char *s = (const unsigned char *)text; *s != 0;) {
        const int n = utf8_length(s);
        if (n == 0) return false;
        s += n;
    }
    return true;
}

/* A copy in which each byte that belongs to no character is U+FFFD; NULL: no memory. */
static char *utf8_repaired(const char *text) {
    const size_t room = 3*strlen(text) + 1;
    char        *copy = malloc(room), *to = copy;
    if (copy == NULL) return NULL;
    for (const unsigned char *s = (const unsigned char *)text; *s != 0;) {
        const int n = utf8_length(s);
        memcpy(to, n == 0 ? replacement : (const char *)s, n == 0 ? 3 : (size_t)n);
        to += n == 0 ? 3 : n;
        s  += n == 0 ? 1 : n;
    }
    *to = '\0';
    return copy;
}

/* ---- reading ---- */

/* Depth and number of values, from the brackets and commas outside strings: a bound on what the parser will spend,
 * known before it spends it. */
static bool check_limits(const char *s, size_t n, Error *err) {
    int  depth = 0, line = 1;
    long n_values  = 1;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        const char c = s[i];
        if (c == '\n') line++;
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '[' || c == '{') depth++;
        if (c == ']' || c == '}') depth--;
        if (c == '[' || c == '{' || c == ',') n_values++;
        if (depth > JSON_MAX_DEPTH || n_values > JSON_MAX_VALUES) {
            if (depth > JSON_MAX_DEPTH) FAIL(err, "", "nested deeper than %d levels", JSON_MAX_DEPTH);
            else                        FAIL(err, "", "has more than %d values", JSON_MAX_VALUES);
            if (err != NULL) err->input_line = line;
            return false;
        }
    }
    return true;
}

bool json_load_bytes(json_t **out, const void *bytes, size_t n, Error *err) {
    json_error_t wrong;
    if (n > INT_MAX) return FAIL(err, "", "has %zu bytes, at most %d are allowed", n, INT_MAX); /* lines are ints */
    if (!check_limits(bytes, n, err)) return false;
    json_t *value = json_loadb(n > 0 ? bytes : "", n, JSON_REJECT_DUPLICATES, &wrong);
    if (value == NULL) {
        /* Out of memory, jansson mostly says nothing; for a text it speaks of a wrong token, and we must believe it. */
        if (wrong.text[0] == '\0' || json_error_code(&wrong) == json_error_out_of_memory)
            return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to parse %zu bytes of JSON", n);
        FAIL(err, "", "not valid JSON: %s (column %d)", wrong.text, wrong.column);
        if (err != NULL) err->input_line = wrong.line;
        return false;
    }
    *out = value;
    return true;
}

bool json_load_file_checked(json_t **out, const char *path, size_t max_bytes, Error *err) {
    void  *bytes = NULL;
    size_t n     = 0;
    if (!file_read_all(path, max_bytes == 0 ? JSON_MAX_BYTES : max_bytes, &bytes, &n, err)) return false;
    const bool ok = json_load_bytes(out, bytes, n, err) || error_in(err, path);
    free(bytes);
    return ok;
}

/* ---- text ---- */

typedef struct Text {
    char  *bytes;
    size_t n, room;
    bool   failed, canonical;
} Text;

static void add_bytes(Text *t, const char *bytes, size_t n) {
    if (t->failed) return;
    if (t->room - t->n < n + 1) {
        const size_t room  = 2*(t->room + n) + 64;
        char        *grown = realloc(t->bytes, room);
        if (grown == NULL) {
            t->failed = true;
            return;
        }
        t->bytes = grown;
        t->room  = room;
    }
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
    t->bytes[t->n] = '\0';
}

static void add(Text *t, const char *s) { add_bytes(t, s, strlen(s)); }

static void add_line(Text *t, int depth) {
    if (t->canonical) return;
    add(t, "\n");
    for (int i = 0; i < depth; i++) add(t, "  ");
}

static void add_string(Text *t, const char *s, size_t n) {
    add(t, "\"");
    for (size_t from = 0; from < n;) {
        size_t plain = from;
        while (plain < n && (unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\') plain++;
        add_bytes(t, s + from, plain - from);
        if (plain < n) {
            char escape[8];
            if (s[plain] == '"' || s[plain] == '\\') snprintf(escape, sizeof escape, "\\%c", s[plain]);
            else if (s[plain] == '\n')               snprintf(escape, sizeof escape, "\\n");
            else if (s[plain] == '\t')               snprintf(escape, sizeof escape, "\\t");
            else snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)s[plain]);
            add(t, escape);
            plain++;
        }
        from = plain;
    }
    add(t, "\"");
}

/* A user's locale may write 3,14: its sign for the point, which may be several bytes, becomes '.'. */
static void use_point(char *number) {
    const char  *sign  = localeconv()->decimal_point;
    const size_t n     = strlen(sign);
    char        *found = n == 0 || strcmp(sign, ".") == 0 ? NULL : strstr(number, sign);
    if (found == NULL) return;
    *found = '.';
    memmove(found + 1, found + n, strlen(found + n) + 1);
}

static void add_real(Text *t, double value) {
    char number[64];
    int  digits = t->canonical ? 17 : 15;
    do snprintf(number, sizeof number, "%.*g", digits, value);
    while (digits++ < 17 && strtod(number, NULL) != value);
    use_point(number);
    add(t, number);
    if (!t->canonical && strpbrk(number, ".e") == NULL) add(t, ".0");
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_value(Text *t, const json_t *value, int depth);

static void add_object(Text *t, const json_t *object, int depth) {
    const size_t n    = json_object_size(object);
    const char **keys = calloc(n + 1, sizeof *keys);
    const char  *key;
    json_t      *member;
    size_t       i = 0;
    if (keys == NULL) {
        t->failed = true;
        return;
    }
    json_object_foreach((json_t *)object, key, member) keys[i++] = key;
    if (t->canonical) qsort(keys, n, sizeof *keys, compare_keys);
    add(t, "{");
    for (i = 0; i < n; i++) {
        if (i > 0) add(t, ",");
        add_line(t, depth + 1);
        add_string(t, keys[i], strlen(keys[i]));
        add(t, t->canonical ? ":" : ": ");
        add_value(t, json_object_get(object, keys[i]), depth + 1);
    }
    if (n > 0) add_line(t, depth);
    add(t, "}");
    free(keys);
}

static void add_array(Text *t, const json_t *array, int depth) {
    const size_t n        = json_array_size(array);
    bool         one_line = true;
    for (size_t i = 0; i < n; i++) {
        const json_t *element = json_array_get(array, i);
        if (json_is_array(element) || json_is_object(element)) one_line = false;
    }
    add(t, "[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) add(t, one_line && !t->canonical ? ", " : ",");
        if (!one_line) add_line(t, depth + 1);
        add_value(t, json_array_get(array, i), depth + 1);
    }
    if (!one_line) add_line(t, depth);
    add(t, "]");
}

static void add_value(Text *t, const json_t *value, int depth) {
    char number[32];
    switch (json_typeof(value)) {
    case JSON_OBJECT: add_object(t, value, depth); break;
    case JSON_ARRAY:  add_array(t, value, depth); break;
    case JSON_STRING: add_string(t, json_string_value(value), json_string_length(value)); break;
    case JSON_REAL:   add_real(t, json_real_value(value)); break;
    case JSON_TRUE:   add(t, "true"); break;
    case JSON_FALSE:  add(t, "false"); break;
    case JSON_NULL:   add(t, "null"); break;
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" PRId64, (int64_t)json_integer_value(value));
        add(t, number);
        break;
    }
}

static char *finished(Text *t) {
    if (!t->failed) return t->bytes;
    free(t->bytes);
    return NULL;
}

char *json_to_text(const json_t *value) {
    Text t = {0};
    add_value(&t, value, 0);
    add(&t, "\n");
    return finished(&t);
}

char *json_canonical_text(const json_t *value) {
    Text t = {.canonical = true};
    add_value(&t, value, 0);
    return finished(&t);
}

static bool deeper_than(const json_t *value, int levels) {
    const char *key;
    json_t     *member;
    size_t      i;
    if (!json_is_object(value) && !json_is_array(value)) return false;
    if (levels == 0) return true;
    json_object_foreach((json_t *)value, key, member) if (deeper_than(member, levels - 1)) return true;
    json_array_foreach(value, i, member) if (deeper_than(member, levels - 1)) return true;
    return false;
}

bool json_save_file(const json_t *value, const char *path, Error *err) {
    if (deeper_than(value, JSON_MAX_DEPTH)) {
        FAIL(err, "", "not written: nested deeper than %d levels", JSON_MAX_DEPTH);
        return error_in(err, path);
    }
    char *text = json_to_text(value);
    if (text == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "not written: out of memory");
        return error_in(err, path);
    }
    const bool ok = file_write_durable(path, text, strlen(text), err);
    free(text);
    return ok;
}

bool json_print(const json_t *value, Error *err) {
    char *text = json_to_text(value);
    if (text == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory for JSON");
    const bool ok = fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    free(text);
    return ok || FAIL_STATUS(err, EXIT_IO, "", "cannot write to standard output: %s", strerror(errno));
}

/* ---- sinks ---- */

static bool sink_failed(JsonSink *sink) {
    for (; sink != NULL; sink = sink->parent) sink->failed = true;
    return false;
}

bool json_sink_begin(JsonSink *root) {
    *root = (JsonSink){.at = json_object()};
    return root->at != NULL || sink_failed(root);
}

bool json_sink_finish(JsonSink *root, json_t **out, Error *err) {
    CHECK(root->parent == NULL, "only the root of a document can be finished");
    const bool ok = !root->failed;
    if (ok && out != NULL) *out = root->at;
    else                   json_decref(root->at);
    *root = (JsonSink){0};
    return ok || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory while a JSON document was made");
}

bool json_put(JsonSink *sink, const char *key, json_t *value) {
    if (sink->at == NULL || value == NULL) {
        json_decref(value);
        return sink_failed(sink);
    }
    CHECK(json_is_object(sink->at) == (key != NULL), "an object's members have keys, an array's have none");
    if (key == NULL) return json_array_append_new(sink->at, value) == 0 || sink_failed(sink);
    char *valid = utf8_repaired(key);
    if (valid == NULL) {
        json_decref(value);
        return sink_failed(sink);
    }
    const bool ok = json_object_set_new_nocheck(sink->at, valid, value) == 0;
    free(valid);
    return ok || sink_failed(sink);
}

static bool put_child(JsonSink *sink, const char *key, JsonSink *child, json_t *value) {
    *child = (JsonSink){.parent = sink};
    if (!json_put(sink, key, value)) {
        child->failed = true;
        return false;
    }
    child->at = value; /* lives as long as the parent, which now holds the reference */
    return true;
}

bool json_put_object(JsonSink *sink, const char *key, JsonSink *child) {
    return put_child(sink, key, child, json_object());
}

bool json_put_array(JsonSink *sink, const char *key, JsonSink *child) {
    return put_child(sink, key, child, json_array());
}

bool json_put_text(JsonSink *sink, const char *key, const char *text) {
    char      *valid = utf8_repaired(text);
    const bool ok    = json_put(sink, key, valid == NULL ? NULL : json_string_nocheck(valid));
    free(valid);
    return ok;
}

bool json_put_count(JsonSink *sink, const char *key, int64_t count) {
    return json_put(sink, key, json_integer(count));
}

bool json_put_bool(JsonSink *sink, const char *key, bool value) {
    return json_put(sink, key, json_boolean(value));
}

bool json_put_number(JsonSink *sink, const char *key, double value) {
    if (isfinite(value)) return json_put(sink, key, json_real(value));
    return key == NULL ? json_put(sink, NULL, json_null()) : json_put_missing(sink, key, "non_finite");
}

bool json_put_missing(JsonSink *sink, const char *key, const char *reason) {
    static const char *const reasons[] = {"not_supported", "no_permission", "multiplexed",
                                          "not_requested", "non_finite",    "overflow"};
    bool known = false;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) known = known || strcmp(reason, reasons[i]) == 0;
    CHECK(known, "'%s' is no reason for a missing %s", reason, key);
    const size_t room       = strlen(key) + sizeof "_reason";
    char        *reason_key = malloc(room);
    if (reason_key == NULL) return sink_failed(sink);
    snprintf(reason_key, room, "%s_reason", key);
    const bool ok = json_put(sink, key, json_null()) && json_put_text(sink, reason_key, reason);
    free(reason_key);
    return ok;
}
