/* Tensors in a file by name: 8 bytes header length N (little-endian), N bytes of JSON, then the data.
 *
 *     {"__metadata__": {"key": "text"}, "blocks.0.norm1.weight": {"dtype":"F32","shape":[192],"data_offsets":[0,768]}}
 *
 * A file is untrusted. Accepted is only what leaves no doubt: N at most 16 MiB; an object of UTF-8 with no key twice,
 * padded by spaces alone; each entry exactly dtype, shape and data_offsets; known dtypes; rank at most 8; sizes that
 * agree and cannot wrap; data that covers the rest of the file without overlap, hole or tail. Tensors of rank 0 and
 * of no elements are fine. Whatever else is wrong is EXIT_BAD_INPUT and names file, tensor, what was given and what
 * is allowed; a failing device or a file that changes while it is read is EXIT_IO. Values may be non-finite here: see
 * safetensors_first_nonfinite.
 *
 * Ownership
 *   safetensors_open     reads the file into memory of its own; safetensors_close frees that and all entries
 *   safetensors_parse    the bytes stay the caller's and must live as long as the SafeFile
 *   safe_writer_add      copies the name; the data stays the caller's and must live until the last save
 * Nothing is mapped: a file that somebody truncates would kill us. Data is not aligned: use memcpy or
 * safetensors_to_float. */
#ifndef ENGINE_SAFETENSORS_H
#define ENGINE_SAFETENSORS_H

#include "engine/digest.h"
#include "engine/error.h"

#include <stddef.h>
#include <stdint.h>

enum { SAFE_MAX_RANK = 8, SAFE_MAX_NAME_BYTES = 512, SAFE_MAX_HEADER_BYTES = 16 << 20 };

/*          name  bytes */
#define SAFE_DTYPES(DTYPE) \
    DTYPE(F64,  8)     \
    DTYPE(F32,  4)     \
    DTYPE(F16,  2)     \
    DTYPE(BF16, 2)     \
    DTYPE(I64,  8)     \
    DTYPE(I32,  4)     \
    DTYPE(I16,  2)     \
    DTYPE(I8,   1)     \
    DTYPE(U64,  8)     \
    DTYPE(U32,  4)     \
    DTYPE(U16,  2)     \
    DTYPE(U8,   1)     \
    DTYPE(BOOL, 1)

typedef enum SafeDtype {
#define DTYPE(name, bytes) SAFE_##name,
    SAFE_DTYPES(DTYPE)
#undef DTYPE
    N_SAFE_DTYPES
} SafeDtype;

const char *safe_dtype_name(SafeDtype dtype);
size_t      safe_dtype_bytes(SafeDtype dtype);

typedef struct SafeEntry {
    const char *name;               /* UTF-8, at most SAFE_MAX_NAME_BYTES; escape before printing (safetensors_escape) */
    SafeDtype   dtype;
    int         n_dims;             /* 0: one value */
    int64_t     dim[SAFE_MAX_RANK]; /* row-major, last fastest; each >= 0 */
    int64_t     n_values;
    size_t      begin, bytes;       /* place among the data, length */
    const void *data;               /* little-endian, not aligned */
} SafeEntry;

typedef struct SafeFile SafeFile;

bool safetensors_open (SafeFile **out, const char *path, Error *err);
bool safetensors_parse(SafeFile **out, const void *bytes, size_t n, Error *err);
void safetensors_close(SafeFile *file); /* NULL is fine */

/* Entries in the order of their data, 0 <= i < count; by name, NULL when there is none. */
int              safetensors_count(const SafeFile *file);
const SafeEntry *safetensors_entry(const SafeFile *file, int i);
const SafeEntry *safetensors_find (const SafeFile *file, const char *name);

/* A text of __metadata__, NULL when there is none. */
const char *safetensors_metadata(const SafeFile *file, const char *key);

/* SHA-256 of the whole file, taken over the very bytes that the entries point into. */
bool safetensors_sha256(const SafeFile *file, char text[SHA256_TEXT_SIZE], Error *err);

/* All n_values as float or double: exact for F16, BF16, F32 and F64 to double; F64 to float rounds to nearest, and a
 * finite value beyond the floats is an error. Integers and BOOL are an error. NaN and infinities pass. */
bool safetensors_to_float (const SafeEntry *entry, float *out, Error *err);
bool safetensors_to_double(const SafeEntry *entry, double *out, Error *err);

/* Index of the first NaN or infinity, -1 when all are finite (or the values are integers). */
int64_t safetensors_first_nonfinite(const SafeEntry *entry);

/* "F32 (3,192)" */
enum { SAFE_SHAPE_TEXT_SIZE = 8 + 2 + SAFE_MAX_RANK * 21 };
void safetensors_shape_text(const SafeEntry *entry, char text[SAFE_SHAPE_TEXT_SIZE]);

/* A name from a file as printable ASCII: other bytes, quotes and backslashes become \xNN; what does not fit into
 * text[size] (size >= 8) ends in "...". */
void safetensors_escape(const char *name, char *text, size_t size);

/* ---- writing ---- */

typedef struct SafeWriter SafeWriter;

bool safe_writer_create(SafeWriter **out, Error *err);
void safe_writer_destroy(SafeWriter *w); /* NULL is fine */

/* dim[n_dims], each >= 0; data holds their product of values, little-endian. A name that is taken, not UTF-8, too long
 * or "__metadata__" is an error; the rest are preconditions. */
bool safe_writer_add(SafeWriter *w, const char *name, SafeDtype dtype, int n_dims, const int64_t dim[],
                     const void *data, Error *err);
bool safe_writer_metadata(SafeWriter *w, const char *key, const char *text, Error *err);

/* Writes durably. Data is laid out in the order of addition, wide types first so that every tensor is aligned to its
 * element; the same additions make the same bytes. sha256 may be NULL, else it receives the digest of the file. */
bool safe_writer_save(SafeWriter *w, const char *path, char sha256[SHA256_TEXT_SIZE], Error *err);

#endif
