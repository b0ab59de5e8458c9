/* Reading of safetensors files, see safetensors.h. Every size in here comes from outside until proved otherwise:
 * sums and products go through checked.h. */
#include "engine/safetensors.h"

#include "engine/checked.h"
#include "engine/file.h"
#include "engine/json.h"

#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are used as they lie in the file");

enum { PREFIX_BYTES = 8, SHOWN_SIZE = 96 };

struct SafeFile {
    uint8_t          *owned;    /* the file's bytes when we read them, else NULL */
    const uint8_t    *bytes;
    size_t            n_bytes;
    json_t           *header;   /* holds the names that entries point to */
    SafeEntry        *entry;    /* n_entries, by place in the data */
    const SafeEntry **by_name;  /* n_entries */
    int               n_entries;
};

static const struct {
    const char *name;
    size_t      bytes;
} dtypes[] = {
#define DTYPE(name, bytes) {#name, bytes},
    SAFE_DTYPES(DTYPE)
#undef DTYPE
};

const char *safe_dtype_name(SafeDtype dtype)  { return dtypes[dtype].name; }
size_t      safe_dtype_bytes(SafeDtype dtype) { return dtypes[dtype].bytes; }

void safetensors_escape(const char *name, char *text, size_t size) {
    CHECK(size >= 8, "no room to escape a name in %zu bytes", size);
    size_t n = 0;
    for (const char *s = name; *s != '\0'; s++) {
        const unsigned char c     = (unsigned char)*s;
        const bool          plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        if (n + (plain ? 1 : 4) > size - 4) { /* keeps room for the dots and the zero */
            memcpy(text + n, "...", 3);
            n += 3;
            break;
        }
        if (plain) text[n++] = *s;
        else       n += (size_t)snprintf(text + n, 5, "\\x%02x", c);
    }
    text[n] = '\0';
}

/* A value of the header as a short text for a message. */
static void show_value(const json_t *value, char text[SHOWN_SIZE]) {
    char *whole = value == NULL ? NULL : json_canonical_text(value);
    if (whole == NULL) snprintf(text, SHOWN_SIZE, "nothing");
    else if (json_is_string(value)) safetensors_escape(json_string_value(value), text, SHOWN_SIZE);
    else safetensors_escape(whole, text, SHOWN_SIZE);
    free(whole);
}

/* ---- one entry of the header ---- */

/* `field` is the tensor's name, escaped, in all of these. */
static bool read_dtype(SafeEntry *e, const json_t *value, const char *field, Error *err) {
    char        shown[SHOWN_SIZE], known[96] = "";
    const char *given = json_string_value(value);
    for (int i = 0; i < N_SAFE_DTYPES; i++) {
        if (given != NULL && strcmp(given, dtypes[i].name) == 0) {
            e->dtype = (SafeDtype)i;
            return true;
        }
        const size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i == 0 ? "" : " ", dtypes[i].name);
    }
    show_value(value, shown);
    return FAIL(err, field, "dtype must be one of %s, is %s", known, shown);
}

static bool read_shape(SafeEntry *e, uint64_t *bytes, const json_t *value, const char *field, Error *err) {
    char     shown[SHOWN_SIZE];
    uint64_t n_values = 1;
    show_value(value, shown);
    if (!json_is_array(value) || json_array_size(value) > SAFE_MAX_RANK)
        return FAIL(err, field, "shape must be an array of at most %d integers, is %s", SAFE_MAX_RANK, shown);
    e->n_dims = (int)json_array_size(value);
    for (int i = 0; i < e->n_dims; i++) {
        const json_t *dim = json_array_get(value, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return FAIL(err, field, "shape must hold integers >= 0, is %s", shown);
        e->dim[i] = (int64_t)json_integer_value(dim);
        if (!checked_mul(n_values, (uint64_t)e->dim[i], &n_values))
            return FAIL(err, field, "shape %s has more values than can be counted", shown);
    }
    if (!checked_mul(n_values, dtypes[e->dtype].bytes, bytes) || n_values > INT64_MAX)
        return FAIL(err, field, "shape %s has more bytes than can be counted", shown);
    e->n_values = (int64_t)n_values;
    return true;
}

static bool read_offsets(uint64_t *begin, uint64_t *end, const json_t *value, const char *field, Error *err) {
    char          shown[SHOWN_SIZE];
    const json_t *first = json_array_get(value, 0), *second = json_array_get(value, 1);
    if (json_array_size(value) == 2 && json_is_integer(first) && json_is_integer(second) &&
        json_integer_value(first) >= 0 && json_integer_value(first) <= json_integer_value(second)) {
        *begin = (uint64_t)json_integer_value(first);
        *end   = (uint64_t)json_integer_value(second);
        return true;
    }
    show_value(value, shown);
    return FAIL(err, field, "data_offsets must be two integers with 0 <= begin <= end, is %s", shown);
}

/* Everything about one tensor that can be judged without the others. */
static bool read_entry(SafeEntry *e, const char *name, const json_t *value, size_t data_bytes, Error *err) {
    char        field[128], shown[SHOWN_SIZE];
    const char *key;
    json_t     *member;
    uint64_t    begin = 0, end = 0, bytes = 0;
    safetensors_escape(name, field, sizeof field);
    if (strlen(name) > SAFE_MAX_NAME_BYTES)
        return FAIL(err, field, "the name has %zu bytes, at most %d are allowed", strlen(name), SAFE_MAX_NAME_BYTES);
    if (!json_is_object(value)) {
        show_value(value, shown);
        return FAIL(err, field, "must be an object of dtype, shape and data_offsets, is %s", shown);
    }
    json_object_foreach((json_t *)value, key, member) {
        if (strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 && strcmp(key, "data_offsets") != 0) {
            safetensors_escape(key, shown, sizeof shown);
            return FAIL(err, field, "unknown key \"%s\"; known: dtype shape data_offsets", shown);
        }
    }
    if (!read_dtype(e, json_object_get(value, "dtype"), field, err)) return false;
    if (!read_shape(e, &bytes, json_object_get(value, "shape"), field, err)) return false;
    if (!read_offsets(&begin, &end, json_object_get(value, "data_offsets"), field, err)) return false;
    if (end > data_bytes)
        return FAIL(err, field, "data_offsets end at %" PRIu64 ", but there are %zu bytes of data", end, data_bytes);
    if (end - begin != bytes)
        return FAIL(err, field, "data_offsets span %" PRIu64 " bytes, dtype and shape need %" PRIu64, end - begin, bytes);
    e->name  = name;
    e->begin = (size_t)begin; /* both <= data_bytes, which is a size_t */
    e->bytes = (size_t)bytes;
    return true;
}

/* ---- the header ---- */

/* No sum: 8 + N may wrap. */
static bool read_header_bytes(const uint8_t *prefix, uint64_t file_bytes, uint64_t *header_bytes, Error *err) {
    uint64_t N = 0;
    if (file_bytes < PREFIX_BYTES)
        return FAIL(err, "", "not a safetensors file: has %" PRIu64 " bytes, needs at least 8", file_bytes);
    for (int i = PREFIX_BYTES - 1; i >= 0; i--) N = N << 8 | prefix[i];
    if (N > SAFE_MAX_HEADER_BYTES)
        return FAIL(err, "", "not a safetensors file: header of %" PRIu64 " bytes, at most %d are allowed", N,
                    SAFE_MAX_HEADER_BYTES);
    if (N > file_bytes - PREFIX_BYTES)
        return FAIL(err, "", "header of %" PRIu64 " bytes, but only %" PRIu64 " follow", N, file_bytes - PREFIX_BYTES);
    *header_bytes = N;
    return true;
}

static bool read_header_json(json_t **out, const char *header, size_t n, Error *err) {
    Error wrong = {0};
    if (n == 0 || header[0] != '{') return FAIL(err, "", "header must begin with '{'");
    while (n > 1 && header[n - 1] == ' ') n--;
    if (header[n - 1] != '}') return FAIL(err, "", "header must end with '}' and spaces");
    if (json_load_bytes(out, header, n, &wrong)) return true;
    char shown[SHOWN_SIZE * 2]; /* the parser quotes what it read */
    safetensors_escape(wrong.message, shown, sizeof shown);
    return FAIL_STATUS(err, wrong.exit_status, "", "header: %s", shown);
}

static bool check_metadata(const json_t *metadata, Error *err) {
    const char *key;
    json_t     *value;
    if (metadata == NULL) return true;
    if (!json_is_object(metadata)) return FAIL(err, "__metadata__", "must be an object of texts");
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value)) {
            char shown[SHOWN_SIZE];
            safetensors_escape(key, shown, sizeof shown);
            return FAIL(err, "__metadata__", "\"%s\" must be a text", shown);
        }
    }
    return true;
}

/* Tensors of no elements share their place with the next: they come first, and among themselves by name. */
static int compare_place(const void *a, const void *b) {
    const SafeEntry *p = a, *q = b;
    if (p->begin != q->begin) return p->begin < q->begin ? -1 : 1;
    if (p->bytes != q->bytes) return p->bytes < q->bytes ? -1 : 1;
    return strcmp(p->name, q->name);
}

static int compare_name(const void *a, const void *b) {
    return strcmp((*(const SafeEntry *const *)a)->name, (*(const SafeEntry *const *)b)->name);
}

/* No overlap, no hole, no tail. */
static bool check_cover(const SafeFile *f, size_t data_bytes, Error *err) {
    char   field[128];
    size_t covered = 0;
    for (int i = 0; i < f->n_entries; i++) {
        const SafeEntry *e = &f->entry[i];
        if (e->begin != covered) {
            safetensors_escape(e->name, field, sizeof field);
            return FAIL(err, field, "data begins at %zu, but what lies before it ends at %zu: %s", e->begin, covered,
                        e->begin < covered ? "they overlap" : "there is a hole");
        }
        covered += e->bytes; /* read_entry: at most data_bytes */
    }
    if (covered != data_bytes)
        return FAIL(err, "", "tensors end at byte %zu of the data, which has %zu", covered, data_bytes);
    return true;
}

/* Fills all of f but the data pointers, from the header alone. */
static bool read_header(SafeFile *f, const uint8_t *header, size_t header_bytes, size_t data_bytes, Error *err) {
    const char *name;
    json_t     *value;
    if (!read_header_json(&f->header, (const char *)header, header_bytes, err)) return false;
    if (!check_metadata(json_object_get(f->header, "__metadata__"), err)) return false;
    const size_t n = json_object_size(f->header); /* below JSON_MAX_VALUES */
    f->entry   = calloc(n + 1, sizeof *f->entry);
    f->by_name = calloc(n + 1, sizeof *f->by_name);
    if (f->entry == NULL || f->by_name == NULL)
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu tensors", n);
    json_object_foreach(f->header, name, value) {
        if (strcmp(name, "__metadata__") == 0) continue;
        if (!read_entry(&f->entry[f->n_entries], name, value, data_bytes, err)) return false;
        f->n_entries++;
    }
    qsort(f->entry, (size_t)f->n_entries, sizeof *f->entry, compare_place);
    for (int i = 0; i < f->n_entries; i++) f->by_name[i] = &f->entry[i];
    qsort(f->by_name, (size_t)f->n_entries, sizeof *f->by_name, compare_name);
    return check_cover(f, data_bytes, err);
}

/* The entries' data, once the file lies at f->bytes. */
static void place_data(SafeFile *f, size_t n_before) {
    for (int i = 0; i < f->n_entries; i++) f->entry[i].data = f->bytes + n_before + f->entry[i].begin;
}

bool safetensors_parse(SafeFile **out, const void *bytes, size_t n, Error *err) {
    uint64_t  header_bytes = 0;
    SafeFile *f = calloc(1, sizeof *f);
    if (f == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    f->bytes   = bytes;
    f->n_bytes = n;
    if (read_header_bytes(bytes, n, &header_bytes, err)) {
        const size_t n_before = PREFIX_BYTES + (size_t)header_bytes; /* <= n */
        if (read_header(f, f->bytes + PREFIX_BYTES, (size_t)header_bytes, n - n_before, err)) {
            place_data(f, n_before);
            *out = f;
            return true;
        }
    }
    safetensors_close(f);
    return false;
}

/* The header is judged before room for the data is made: a hostile file of any size is refused at once. */
bool safetensors_open(SafeFile **out, const char *path, Error *err) {
    bool      ok = false;
    int       fd = -1;
    uint64_t  file_bytes = 0, header_bytes = 0;
    uint8_t   prefix[PREFIX_BYTES] = {0}, *grown;
    SafeFile *f = NULL;
    if (!file_open_read(&fd, &file_bytes, path, err)) return false;
    if (!file_read_exactly(fd, prefix, file_bytes < PREFIX_BYTES ? (size_t)file_bytes : PREFIX_BYTES, path, err)) goto done;
    if (!read_header_bytes(prefix, file_bytes, &header_bytes, err)) goto done;
    const size_t n_header = (size_t)header_bytes, n_before = PREFIX_BYTES + n_header; /* <= file_bytes */
    if ((f = calloc(1, sizeof *f)) == NULL || !checked_size(file_bytes, &f->n_bytes) ||
        (f->owned = malloc(n_before)) == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for its header of %zu bytes", n_header);
        goto done;
    }
    memcpy(f->owned, prefix, PREFIX_BYTES);
    if (!file_read_exactly(fd, f->owned + PREFIX_BYTES, n_header, path, err)) goto done;
    if (!read_header(f, f->owned + PREFIX_BYTES, n_header, f->n_bytes - n_before, err)) goto done;
    if ((grown = realloc(f->owned, f->n_bytes)) == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for its %" PRIu64 " bytes", file_bytes);
        goto done;
    }
    f->bytes = f->owned = grown;
    if (!file_read_exactly(fd, f->owned + n_before, f->n_bytes - n_before, path, err)) goto done;
    if (!file_read_end(fd, path, err)) goto done;
    place_data(f, n_before);
    *out = f;
    f    = NULL;
    ok   = true;
done:
    if (!ok) error_in(err, path);
    close(fd);
    safetensors_close(f);
    return ok;
}

void safetensors_close(SafeFile *f) {
    if (f == NULL) return;
    json_decref(f->header);
    free(f->entry);
    free(f->by_name);
    free(f->owned);
    free(f);
}

/* ---- questions ---- */

int safetensors_count(const SafeFile *f) { return f->n_entries; }

const SafeEntry *safetensors_entry(const SafeFile *f, int i) {
    CHECK(i >= 0 && i < f->n_entries, "entry %d of %d", i, f->n_entries);
    return &f->entry[i];
}

const SafeEntry *safetensors_find(const SafeFile *f, const char *name) {
    int low = 0, high = f->n_entries;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        const int order  = strcmp(name, f->by_name[middle]->name);
        if (order == 0) return f->by_name[middle];
        if (order < 0) high = middle;
        else           low  = middle + 1;
    }
    return NULL;
}

const char *safetensors_metadata(const SafeFile *f, const char *key) {
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

bool safetensors_sha256(const SafeFile *f, char text[SHA256_TEXT_SIZE], Error *err) {
    return digest_sha256(f->bytes, f->n_bytes, text, err);
}

void safetensors_shape_text(const SafeEntry *e, char text[SAFE_SHAPE_TEXT_SIZE]) {
    size_t n = (size_t)snprintf(text, SAFE_SHAPE_TEXT_SIZE, "%s (", dtypes[e->dtype].name);
    for (int i = 0; i < e->n_dims; i++)
        n += (size_t)snprintf(text + n, SAFE_SHAPE_TEXT_SIZE - n, "%s%" PRId64, i == 0 ? "" : ",", e->dim[i]);
    snprintf(text + n, SAFE_SHAPE_TEXT_SIZE - n, ")");
}

/* ---- values ---- */

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. Every one is a float exactly. */
static float float_of_half(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0)  return copysignf((float)fraction * 0x1p-24f, float_of_bits(sign));
    return float_of_bits(sign | (exponent + (127 - 15)) << 23 | fraction << 13);
}

/* Value i of a tensor of F16, BF16 or F32. */
static float narrow_value(const SafeEntry *e, int64_t i) {
    const uint8_t *at = (const uint8_t *)e->data + (size_t)i * dtypes[e->dtype].bytes;
    uint16_t       half;
    float          value;
    if (e->dtype == SAFE_F32) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&half, at, sizeof half);
    return e->dtype == SAFE_F16 ? float_of_half(half) : float_of_bits((uint32_t)half << 16);
}

static double f64_value(const SafeEntry *e, int64_t i) {
    double value;
    memcpy(&value, (const uint8_t *)e->data + (size_t)i * sizeof value, sizeof value);
    return value;
}

static bool is_float(SafeDtype dtype) {
    return dtype == SAFE_F64 || dtype == SAFE_F32 || dtype == SAFE_F16 || dtype == SAFE_BF16;
}

static bool check_float(const SafeEntry *e, Error *err) {
    char field[128];
    if (is_float(e->dtype)) return true;
    safetensors_escape(e->name, field, sizeof field);
    return FAIL(err, field, "dtype must be one of F64 F32 F16 BF16, is %s", dtypes[e->dtype].name);
}

bool safetensors_to_float(const SafeEntry *e, float *out, Error *err) {
    if (!check_float(e, err)) return false;
    if (e->dtype == SAFE_F32) {
        if (e->bytes > 0) memcpy(out, e->data, e->bytes);
        return true;
    }
    for (int64_t i = 0; i < e->n_values; i++) {
        if (e->dtype != SAFE_F64) {
            out[i] = narrow_value(e, i);
            continue;
        }
        const double value = f64_value(e, i);
        if (isfinite(value) && fabs(value) > (double)FLT_MAX) {
            char field[128];
            safetensors_escape(e->name, field, sizeof field);
            return FAIL(err, field, "value %g at index %" PRId64 " is beyond float", value, i);
        }
        out[i] = (float)value;
    }
    return true;
}

bool safetensors_to_double(const SafeEntry *e, double *out, Error *err) {
    if (!check_float(e, err)) return false;
    for (int64_t i = 0; i < e->n_values; i++) out[i] = e->dtype == SAFE_F64 ? f64_value(e, i) : (double)narrow_value(e, i);
    return true;
}

int64_t safetensors_first_nonfinite(const SafeEntry *e) {
    if (!is_float(e->dtype)) return -1;
    for (int64_t i = 0; i < e->n_values; i++)
        if (!isfinite(e->dtype == SAFE_F64 ? f64_value(e, i) : (double)narrow_value(e, i))) return i;
    return -1;
}
