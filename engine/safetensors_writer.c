/* Writing of safetensors files, see safetensors.h: the header is collected as JSON while tensors are added, the data
 * goes from the caller's memory straight to the file. */
#include "engine/safetensors.h"

#include "engine/checked.h"
#include "engine/file.h"
#include "engine/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 8, HEADER_STEP = 8, WIDEST_ELEMENT = 8 };

typedef struct Item {
    char       *name;
    const void *data;
    size_t      bytes, element_bytes;
} Item;

struct SafeWriter {
    json_t *header;  /* what the file will hold; data_offsets are put in by save */
    Item   *item;
    size_t  n_items, room;
};

bool safe_writer_create(SafeWriter **out, Error *err) {
    SafeWriter *w = calloc(1, sizeof *w);
    if (w == NULL || (w->header = json_object()) == NULL) {
        safe_writer_destroy(w);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to collect tensors");
    }
    *out = w;
    return true;
}

void safe_writer_destroy(SafeWriter *w) {
    if (w == NULL) return;
    for (size_t i = 0; i < w->n_items; i++) free(w->item[i].name);
    free(w->item);
    json_decref(w->header);
    free(w);
}

static bool check_name(const SafeWriter *w, const char *name, const char *field, Error *err) {
    if (strcmp(name, "__metadata__") == 0) return FAIL(err, field, "no tensor can have this name");
    if (strlen(name) > SAFE_MAX_NAME_BYTES)
        return FAIL(err, field, "the name has %zu bytes, at most %d are allowed", strlen(name), SAFE_MAX_NAME_BYTES);
    if (!json_is_utf8(name)) return FAIL(err, field, "the name must be UTF-8");
    if (json_object_get(w->header, name) != NULL) return FAIL(err, field, "a tensor of this name was added before");
    return true;
}

/* Room for one more item. */
static bool grow(SafeWriter *w) {
    if (w->n_items < w->room) return true;
    const size_t room  = 2*w->room + 16;
    Item        *grown = realloc(w->item, room * sizeof *grown);
    if (grown == NULL) return false;
    w->item = grown;
    w->room = room;
    return true;
}

bool safe_writer_add(SafeWriter *w, const char *name, SafeDtype dtype, int n_dims, const int64_t dim[],
                     const void *data, Error *err) {
    char     field[128];
    JsonSink header = {.at = w->header}, entry, shape;
    uint64_t bytes = safe_dtype_bytes(dtype);
    CHECK(n_dims >= 0 && n_dims <= SAFE_MAX_RANK, "%s has rank %d", name, n_dims);
    safetensors_escape(name, field, sizeof field);
    if (!check_name(w, name, field, err)) return false;
    for (int i = 0; i < n_dims; i++) {
        CHECK(dim[i] >= 0, "%s: dimension %d is %" PRId64, name, i, dim[i]);
        CHECK(checked_mul(bytes, (uint64_t)dim[i], &bytes), "%s: its size wraps", name);
    }
    char *copy = strdup(name);
    if (copy == NULL || !grow(w)) {
        free(copy);
        return FAIL_STATUS(err, EXIT_MACHINE, field, "no memory to add it");
    }
    w->item[w->n_items++] =
        (Item){.name = copy, .data = data, .bytes = (size_t)bytes, .element_bytes = safe_dtype_bytes(dtype)};
    json_put_object(&header, name, &entry);
    json_put_text(&entry, "dtype", safe_dtype_name(dtype));
    json_put_array(&entry, "shape", &shape);
    for (int i = 0; i < n_dims; i++) json_put_count(&shape, NULL, dim[i]);
    return !header.failed || FAIL_STATUS(err, EXIT_MACHINE, field, "no memory to add it");
}

bool safe_writer_metadata(SafeWriter *w, const char *key, const char *text, Error *err) {
    JsonSink header = {.at = w->header}, metadata = {.at = json_object_get(w->header, "__metadata__")};
    if (metadata.at == NULL) json_put_object(&header, "__metadata__", &metadata);
    json_put_text(&metadata, key, text);
    return !metadata.failed || FAIL_STATUS(err, EXIT_MACHINE, "__metadata__", "no memory to add a text");
}

/* The items in the order of their data: by falling width of the element, then as added. */
#define FOR_ITEMS_IN_PLACE(w, it)                                                                  \
    for (size_t width_ = WIDEST_ELEMENT; width_ > 0; width_ /= 2)                                  \
        for (const Item *it = (w)->item; it != NULL && it < (w)->item + (w)->n_items; it++)        \
            if (it->element_bytes == width_)

/* The header with offsets, padded so that the data begins at a multiple of 8. */
static bool make_header(SafeWriter *w, char **out, size_t *n, Error *err) {
    uint64_t begin = 0, end, padded;
    bool     failed = false;
    FOR_ITEMS_IN_PLACE(w, it) {
        JsonSink entry = {.at = json_object_get(w->header, it->name)}, offsets;
        if (!checked_add(begin, it->bytes, &end) || end > INT64_MAX)
            return FAIL(err, "", "the tensors have more bytes than a file can");
        json_put_array(&entry, "data_offsets", &offsets);
        json_put_count(&offsets, NULL, (int64_t)begin);
        json_put_count(&offsets, NULL, (int64_t)end);
        failed = failed || entry.failed;
        begin  = end;
    }
    char        *text   = failed ? NULL : json_canonical_text(w->header);
    const size_t length = text == NULL ? 0 : strlen(text);
    char        *header = NULL;
    if (text == NULL || !checked_round_up(length, HEADER_STEP, &padded) || (header = malloc((size_t)padded)) == NULL) {
        free(text);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the header");
    }
    memcpy(header, text, length);
    memset(header + length, ' ', (size_t)padded - length);
    free(text);
    if (padded > SAFE_MAX_HEADER_BYTES) {
        free(header);
        return FAIL(err, "", "the header would have %" PRIu64 " bytes, at most %d are allowed", padded,
                    SAFE_MAX_HEADER_BYTES);
    }
    *out = header;
    *n   = (size_t)padded;
    return true;
}

/* To the file and into the digest, when one is wanted. */
static bool append(FileWriter *file, Sha256 *sum, const void *bytes, size_t n, Error *err) {
    if (sum != NULL) sha256_add(sum, bytes, n);
    return file_writer_append(file, bytes, n, err);
}

bool safe_writer_save(SafeWriter *w, const char *path, char sha256[SHA256_TEXT_SIZE], Error *err) {
    bool        ok       = false;
    char       *header   = NULL;
    size_t      n_header = 0;
    uint8_t     prefix[PREFIX_BYTES];
    Sha256     *sum  = NULL;
    FileWriter *file = NULL;
    if (!make_header(w, &header, &n_header, err)) goto done;
    if (sha256 != NULL && !sha256_create(&sum, err)) goto done;
    for (int i = 0; i < PREFIX_BYTES; i++) prefix[i] = (uint8_t)((uint64_t)n_header >> 8*i);
    if (!file_writer_open(&file, path, err)) goto done;
    if (!append(file, sum, prefix, sizeof prefix, err)) goto done;
    if (!append(file, sum, header, n_header, err)) goto done;
    FOR_ITEMS_IN_PLACE(w, it) {
        if (!append(file, sum, it->data, it->bytes, err)) goto done;
    }
    if (sum != NULL && !sha256_finish(sum, sha256, err)) goto done;
    if (!file_writer_commit(file, err)) goto done;
    ok = true;
done:
    if (!ok) error_in(err, path);
    file_writer_close(file);
    sha256_destroy(sum);
    free(header);
    return ok;
}
