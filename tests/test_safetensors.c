/* The safetensors reader refuses every kind of malformed file, says why, and reads back what the writer wrote. */
#include "tests/safetensors_invariants.h"

#include "engine/file.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

/* ---- files made by hand ---- */

/* Header length N, header[n_header], n_data bytes of data; the caller frees. */
static uint8_t *make_file(uint64_t N, const char *header, size_t n_header, size_t n_data, size_t *n) {
    *n             = 8 + n_header + n_data;
    uint8_t *bytes = calloc(*n, 1);
    assert_non_null(bytes);
    memcpy(bytes, &N, 8);
    memcpy(bytes + 8, header, n_header);
    return bytes;
}

static void assert_refused_bytes(const uint8_t *bytes, size_t n, const char *field, const char *says) {
    SafeFile *file = NULL;
    Error     err  = {0};
    assert_false(safetensors_parse(&file, bytes, n, &err));
    assert_null(file);
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_string_equal(err.field, field);
    if (strstr(err.message, says) == NULL) fail_msg("'%s' does not say '%s'", err.message, says);
}

static void assert_refused(const char *header, size_t n_data, const char *field, const char *says) {
    size_t   n;
    uint8_t *bytes = make_file(strlen(header), header, strlen(header), n_data, &n);
    assert_refused_bytes(bytes, n, field, says);
    free(bytes);
}

static void assert_accepted(const char *header, size_t n_data, int n_entries) {
    size_t    n;
    SafeFile *file  = NULL;
    Error     err   = {0};
    uint8_t  *bytes = make_file(strlen(header), header, strlen(header), n_data, &n);
    if (!safetensors_parse(&file, bytes, n, &err)) fail_msg("refused: %s: %s", err.field, err.message);
    assert_int_equal(safetensors_count(file), n_entries);
    assert_null(broken_invariant(file, bytes, n));
    safetensors_close(file);
    free(bytes);
}

/* One tensor "a" with the given parts. */
#define ENTRY(dtype, shape, offsets) "{\"a\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

/* ---- the checklist: one way to be malformed each ---- */

static void file_shorter_than_its_header_is_refused_whatever_the_sum_wraps_to(void **state) {
    (void)state;
    size_t   n;
    uint8_t *bytes = make_file(2, "{}", 2, 0, &n);
    for (size_t shorter = 0; shorter < n; shorter++) {
        uint8_t *cut = malloc(shorter);
        if (shorter > 0) memcpy(cut, bytes, shorter);
        assert_refused_bytes(cut, shorter, "", shorter < 8 ? "needs at least 8" : "only");
        free(cut);
    }
    free(bytes);
    const uint64_t wraps[] = {UINT64_MAX, UINT64_MAX - 7, UINT64_MAX - 5, (uint64_t)1 << 63, (uint64_t)1 << 32};
    for (size_t i = 0; i < sizeof wraps / sizeof *wraps; i++) {
        bytes = make_file(wraps[i], "{}", 2, 0, &n);
        assert_refused_bytes(bytes, n, "", "at most 16777216");
        free(bytes);
    }
}

static void header_is_at_most_16_mib(void **state) {
    (void)state;
    const size_t cap    = SAFE_MAX_HEADER_BYTES;
    char        *header = malloc(cap + 1);
    size_t       n;
    SafeFile    *file = NULL;
    Error        err  = {0};
    assert_non_null(header);
    memset(header, ' ', cap + 1);
    memcpy(header, "{}", 2);
    uint8_t *bytes = make_file(cap + 1, header, cap + 1, 0, &n);
    assert_refused_bytes(bytes, n, "", "at most 16777216");
    free(bytes);
    bytes = make_file(cap, header, cap, 0, &n);
    assert_true(safetensors_parse(&file, bytes, n, &err));
    safetensors_close(file);
    free(bytes);
    free(header);
}

static void header_is_one_object_of_utf8_and_spaces(void **state) {
    (void)state;
    assert_accepted("{}", 0, 0);
    assert_accepted("{}      ", 0, 0);
    assert_refused("", 0, "", "begin with '{'");
    assert_refused(" {}", 0, "", "begin with '{'");
    assert_refused("[]", 0, "", "begin with '{'");
    assert_refused("\xef\xbb\xbf{}", 0, "", "begin with '{'");
    assert_refused("{}\n", 0, "", "end with '}'");
    assert_refused("{", 0, "", "end with '}'");
    assert_refused("{} {}", 0, "", "header: ");
    assert_refused("{} x }", 0, "", "header: ");
    assert_refused("{\"\xff\":1}", 0, "", "header: ");
    assert_refused("{\"a\":\"\xed\xa0\x80\"}", 0, "", "header: ");
    size_t   n;
    uint8_t *bytes = make_file(3, "{}", 3, 0, &n); /* a zero behind the object */
    assert_refused_bytes(bytes, n, "", "end with '}'");
    free(bytes);
}

static void name_given_twice_is_refused(void **state) {
    (void)state;
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "", "duplicate");
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "", "duplicate");
}

static void metadata_other_than_texts_is_refused(void **state) {
    (void)state;
    assert_accepted("{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"}}", 0, 0);
    assert_accepted("{\"__metadata__\":{}}", 0, 0);
    assert_refused("{\"__metadata__\":{\"x\":1}}", 0, "__metadata__", "\"x\" must be a text");
    assert_refused("{\"__metadata__\":{\"x\":null}}", 0, "__metadata__", "must be a text");
    assert_refused("{\"__metadata__\":{\"x\":{}}}", 0, "__metadata__", "must be a text");
    assert_refused("{\"__metadata__\":[]}", 0, "__metadata__", "object");
    assert_refused("{\"__metadata__\":\"x\"}", 0, "__metadata__", "object");
}

static void unknown_dtype_is_refused_and_the_known_ones_are_listed(void **state) {
    (void)state;
    assert_accepted(ENTRY("\"U8\"", "[1]", "[0,1]"), 1, 1);
    assert_refused(ENTRY("\"F8_E4M3\"", "[1]", "[0,1]"), 1, "a", "one of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL");
    assert_refused(ENTRY("\"F8_E4M3\"", "[1]", "[0,1]"), 1, "a", "is F8_E4M3");
    assert_refused(ENTRY("\"f32\"", "[1]", "[0,4]"), 4, "a", "is f32");
    assert_refused(ENTRY("\"\"", "[1]", "[0,4]"), 4, "a", "dtype");
    assert_refused(ENTRY("4", "[1]", "[0,4]"), 4, "a", "is 4");
    assert_refused("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "a", "dtype must be one of");
}

static void every_known_dtype_is_accepted_with_its_size(void **state) {
    (void)state;
#define DTYPE(name, size)                                                                \
    assert_accepted(ENTRY("\"" #name "\"", "[1]", "[0," #size "]"), size, 1);            \
    assert_int_equal(safe_dtype_bytes(SAFE_##name), size);                               \
    assert_string_equal(safe_dtype_name(SAFE_##name), #name);                            \
    assert_refused(ENTRY("\"" #name "\"", "[1]", "[0,3]"), 3, "a", "dtype and shape need");
    SAFE_DTYPES(DTYPE)
#undef DTYPE
}

static void shape_other_than_counts_that_fit_is_refused(void **state) {
    (void)state;
    assert_refused(ENTRY("\"U8\"", "[-1]", "[0,1]"), 1, "a", "integers >= 0");
    assert_refused(ENTRY("\"U8\"", "[1.0]", "[0,1]"), 1, "a", "integers >= 0");
    assert_refused(ENTRY("\"U8\"", "[\"1\"]", "[0,1]"), 1, "a", "integers >= 0");
    assert_refused(ENTRY("\"U8\"", "[[1]]", "[0,1]"), 1, "a", "integers >= 0");
    assert_refused(ENTRY("\"U8\"", "1", "[0,1]"), 1, "a", "shape must be an array");
    assert_refused(ENTRY("\"U8\"", "{}", "[0,1]"), 1, "a", "shape must be an array");
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "a", "shape must be an array");
    assert_accepted(ENTRY("\"U8\"", "[1,1,1,1,1,1,1,1]", "[0,1]"), 1, 1);
    assert_refused(ENTRY("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "a", "at most 8");
    /* products that come out as 0 and as 4 modulo 2^64 */
    assert_refused(ENTRY("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "a", "can be counted");
    assert_refused(ENTRY("\"F32\"", "[4611686018427387904]", "[0,0]"), 0, "a", "more bytes than can be counted");
    assert_refused(ENTRY("\"F32\"", "[4611686018427387905]", "[0,4]"), 4, "a", "more bytes than can be counted");
    assert_refused(ENTRY("\"U8\"", "[9223372036854775807,2]", "[0,1]"), 1, "a", "more bytes than can be counted");
    assert_refused(ENTRY("\"U8\"", "[18446744073709551617]", "[0,1]"), 1, "", "header: ");
}

static void offsets_other_than_an_ordered_pair_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"[0]", "[0,1,1]", "[]", "[-1,0]", "[1,0]", "[0,-1]", "[0.0,1]", "[0,\"1\"]", "0", "{}",
                                        "null", "[-9223372036854775808,-9223372036854775807]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char header[160];
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":%s}}", wrong[i]);
        assert_refused(header, 1, "a", "two integers with 0 <= begin <= end");
    }
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "a", "data_offsets");
    assert_refused(ENTRY("\"U8\"", "[2]", "[0,2]"), 1, "a", "there are 1 bytes");
    assert_refused(ENTRY("\"U8\"", "[1]", "[9223372036854775806,9223372036854775807]"), 1, "a", "there are 1 bytes");
}

static void span_other_than_shape_times_element_is_refused(void **state) {
    (void)state;
    assert_refused(ENTRY("\"F32\"", "[2]", "[0,4]"), 4, "a", "span 4 bytes, dtype and shape need 8");
    assert_refused(ENTRY("\"F32\"", "[1]", "[0,8]"), 8, "a", "span 8 bytes, dtype and shape need 4");
    assert_refused(ENTRY("\"F32\"", "[0]", "[0,4]"), 4, "a", "need 0");
    assert_refused(ENTRY("\"F32\"", "[]", "[0,0]"), 0, "a", "need 4");
}

#define TWO(first, second)                                                  \
    "{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" second "},"  \
    "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" first "}}"

static void overlap_hole_or_tail_in_the_data_is_refused(void **state) {
    (void)state;
    assert_accepted(TWO("[0,4]", "[4,8]"), 8, 2);
    assert_accepted(TWO("[4,8]", "[0,4]"), 8, 2); /* the header need not be in order */
    assert_refused(TWO("[0,4]", "[3,7]"), 7, "b", "overlap");
    assert_refused(TWO("[0,4]", "[0,4]"), 4, "b", "overlap");
    assert_refused(TWO("[0,4]", "[5,9]"), 9, "b", "hole");
    assert_refused(TWO("[1,5]", "[5,9]"), 9, "a", "hole");
    assert_refused(TWO("[0,4]", "[4,8]"), 9, "", "end at byte 8 of the data, which has 9");
    assert_refused("{}", 1, "", "end at byte 0 of the data, which has 1");
}

static void empty_and_rank_0_tensors_are_accepted(void **state) {
    (void)state;
    assert_accepted(ENTRY("\"F32\"", "[]", "[0,4]"), 4, 1);
    assert_accepted(ENTRY("\"F32\"", "[0]", "[0,0]"), 0, 1);
    assert_accepted(ENTRY("\"F32\"", "[3,0,2]", "[0,0]"), 0, 1);
    /* empty ones before, between and after others, which share their offsets */
    assert_accepted("{\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
                    "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                    "\"y\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]},"
                    "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]},"
                    "\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[3,3]}}", 3, 5);
    assert_refused("{\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]},"
                   "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, "z", "overlap");
}

static void name_is_at_most_512_bytes_and_escaped_when_printed(void **state) {
    (void)state;
    char name[514], header[700];
    for (size_t n = 512; n <= 513; n++) {
        memset(name, 'n', n);
        name[n] = '\0';
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", name);
        if (n == 512) {
            assert_accepted(header, 1, 1);
            continue;
        }
        memset(name, 'n', 124); /* what fits into the field of an Error */
        strcpy(name + 124, "...");
        assert_refused(header, 1, name, "has 513 bytes, at most 512");
    }
    assert_refused("{\"\\u001b[2J\xc3\xa4\\\"\":{\"dtype\":\"U8\"}}", 0, "\\x1b[2J\\xc3\\xa4\\x22", "shape");
    assert_refused("{\"a\":{\"dtype\":\"\\n\\u001b]0;\"}}", 0, "a", "is \\x0a\\x1b]0;");
    assert_refused("{\"a\":{\"d\\u0007\":1}}", 0, "a", "unknown key \"d\\x07\"");
}

static void entry_other_than_the_three_keys_is_refused(void **state) {
    (void)state;
    assert_refused("{\"a\":1}", 0, "a", "must be an object");
    assert_refused("{\"a\":[]}", 0, "a", "must be an object");
    assert_refused("{\"a\":{}}", 0, "a", "dtype");
    assert_refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"stride\":1}}", 1, "a", "stride");
}

static void only_regular_files_are_read_and_the_error_names_the_file(void **state) {
    (void)state;
    static const char *const wrong[] = {"/dev/zero", "/tmp", "/nonexistent/a"};
    for (size_t i = 0; i < 3; i++) {
        SafeFile *file = NULL;
        Error     err  = {0};
        assert_false(safetensors_open(&file, wrong[i], &err));
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
        assert_string_equal(err.input, wrong[i]);
    }
}

static void first_value_that_is_not_finite_is_found_in_every_float_type(void **state) {
    (void)state;
    const double   f64[3]  = {DBL_MAX, 5e-324, (double)INFINITY};
    const float    f32[3]  = {FLT_MAX, -(float)NAN, (float)INFINITY};
    const uint16_t f16[3]  = {0x7bff, 0x0001, 0xfc00};
    const uint16_t bf16[3] = {0x7f80, 0x0001, 0x7fff};
    const struct { SafeDtype dtype; const void *data; int64_t first; } known[] = {
        {SAFE_F64, f64, 2}, {SAFE_F32, f32, 1}, {SAFE_F16, f16, 2}, {SAFE_BF16, bf16, 0},
        {SAFE_U16, bf16, -1}, {SAFE_I32, f32, -1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const SafeEntry e = {.name = "a", .dtype = known[i].dtype, .n_dims = 1, .dim = {3}, .n_values = 3,
                             .data = known[i].data, .bytes = 3 * safe_dtype_bytes(known[i].dtype)};
        assert_int_equal(safetensors_first_nonfinite(&e), known[i].first);
        assert_null(broken_values(&e));
    }
    const SafeEntry finite = {.name = "a", .dtype = SAFE_F64, .n_values = 2, .data = f64, .bytes = 16};
    assert_int_equal(safetensors_first_nonfinite(&finite), -1);
}

/* ---- values ---- */

/* Value of a small float by its definition: sign, exponent of `bias`, fraction of `n_fraction` bits. */
static double value_of(unsigned bits, int n_fraction, int n_exponent, int bias) {
    const unsigned fraction = bits & ((1u << n_fraction) - 1), exponent = bits >> n_fraction & ((1u << n_exponent) - 1);
    const double   sign     = bits >> (n_fraction + n_exponent) ? -1 : 1;
    if (exponent == (1u << n_exponent) - 1) return fraction == 0 ? sign * (double)INFINITY : (double)NAN;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - n_fraction);
    return sign * ldexp(fraction + (1u << n_fraction), (int)exponent - bias - n_fraction);
}

static void all_halves_and_bfloats_convert_exactly(void **state) {
    (void)state;
    enum { N = 1 << 16 };
    uint16_t *bits   = malloc(N * sizeof *bits);
    float    *narrow = malloc(N * sizeof *narrow);
    double   *wide   = malloc(N * sizeof *wide);
    Error     err    = {0};
    assert_true(bits != NULL && narrow != NULL && wide != NULL);
    for (int i = 0; i < N; i++) bits[i] = (uint16_t)i;
    for (int kind = 0; kind < 2; kind++) {
        const SafeEntry e = {.name = "a", .dtype = kind == 0 ? SAFE_F16 : SAFE_BF16, .n_dims = 1, .dim = {N},
                             .n_values = N, .data = bits, .bytes = 2*N};
        assert_true(safetensors_to_float(&e, narrow, &err));
        assert_true(safetensors_to_double(&e, wide, &err));
        for (unsigned i = 0; i < N; i++) {
            const double right = kind == 0 ? value_of(i, 10, 5, 15) : value_of(i, 7, 8, 127);
            if (isnan(right)) assert_true(isnan(narrow[i]) && isnan(wide[i]));
            else assert_true((double)narrow[i] == right && wide[i] == right && !signbit(narrow[i]) == !signbit(right));
        }
    }
    free(bits);
    free(narrow);
    free(wide);
}

static void double_beyond_float_is_an_error_and_not_an_infinity(void **state) {
    (void)state;
    double    values[3] = {1, 0.1, -1e39};
    float     out[3];
    double    wide[3];
    Error     err = {0};
    SafeEntry e   = {.name = "w", .dtype = SAFE_F64, .n_dims = 1, .dim = {3}, .n_values = 3, .data = values, .bytes = 24};
    assert_false(safetensors_to_float(&e, out, &err));
    assert_string_equal(err.field, "w");
    assert_non_null(strstr(err.message, "index 2"));
    assert_true(safetensors_to_double(&e, wide, &err));
    assert_true(wide[2] == -1e39);
    values[2] = -(double)INFINITY; /* said as it is */
    assert_true(safetensors_to_float(&e, out, &err));
    assert_true(out[1] == 0.1f && isinf(out[2]));
}

static void integers_do_not_convert(void **state) {
    (void)state;
    const int64_t value = 1;
    Error         err   = {0};
    float         out[1];
    double        wide[1];
    for (int i = SAFE_I64; i < N_SAFE_DTYPES; i++) {
        const SafeEntry e = {.name = "ids", .dtype = (SafeDtype)i, .n_values = 1, .data = &value,
                             .bytes = safe_dtype_bytes((SafeDtype)i)};
        assert_false(safetensors_to_float(&e, out, &err));
        assert_false(safetensors_to_double(&e, wide, &err));
        assert_string_equal(err.field, "ids");
        assert_non_null(strstr(err.message, safe_dtype_name((SafeDtype)i)));
    }
}

static void shape_is_told_in_words(void **state) {
    (void)state;
    char      text[SAFE_SHAPE_TEXT_SIZE];
    SafeEntry e = {.dtype = SAFE_BF16, .n_dims = 2, .dim = {3, 192}};
    safetensors_shape_text(&e, text);
    assert_string_equal(text, "BF16 (3,192)");
    e.n_dims = 8;
    for (int i = 0; i < 8; i++) e.dim[i] = INT64_MAX; /* the longest there can be */
    safetensors_shape_text(&e, text);
    assert_int_equal(strlen(text), 6 + 8*19 + 7 + 1);
}

/* ---- round trip ---- */

static char path[64];

static int choose_path(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/test_safetensors.%d", (int)getpid());
    return 0;
}

static int remove_path(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

static const float    weight[2][3] = {{1, -2, 3.5f}, {0, 1e-40f, FLT_MAX}};
static const double   scale        = 0.1;
static const int32_t  depth[2]     = {-1, INT32_MAX};
static const uint16_t halves[3]    = {0x3c00, 0xc000, 0x0001};

/* Narrow types first, so that laying out wide ones first is seen. */
static SafeWriter *filled_writer(void) {
    SafeWriter *w   = NULL;
    Error       err = {0};
    assert_true(safe_writer_create(&w, &err));
    assert_true(safe_writer_add(w, "halves", SAFE_F16, 1, (int64_t[]){3}, halves, &err));
    assert_true(safe_writer_add(w, "w.\xc3\xa4", SAFE_F32, 2, (int64_t[]){2, 3}, weight, &err));
    assert_true(safe_writer_add(w, "none", SAFE_F32, 3, (int64_t[]){2, 0, 3}, NULL, &err));
    assert_true(safe_writer_add(w, "depth", SAFE_I32, 1, (int64_t[]){2}, depth, &err));
    assert_true(safe_writer_add(w, "scale", SAFE_F64, 0, NULL, &scale, &err));
    assert_true(safe_writer_metadata(w, "format", "pt", &err));
    assert_true(safe_writer_metadata(w, "made by", "a\"b", &err));
    return w;
}

static void what_was_written_is_read_back_bit_for_bit(void **state) {
    (void)state;
    char        written[SHA256_TEXT_SIZE], read[SHA256_TEXT_SIZE], on_disk[SHA256_TEXT_SIZE];
    SafeWriter *w    = filled_writer();
    SafeFile   *file = NULL;
    Error       err  = {0};
    assert_true(safe_writer_save(w, path, written, &err));
    assert_true(safetensors_open(&file, path, &err));
    assert_int_equal(safetensors_count(file), 5);
    const SafeEntry *e = safetensors_find(file, "w.\xc3\xa4");
    assert_non_null(e);
    assert_int_equal(e->dtype, SAFE_F32);
    assert_int_equal(e->n_dims, 2);
    assert_int_equal(e->dim[0], 2);
    assert_int_equal(e->dim[1], 3);
    assert_int_equal(e->n_values, 6);
    assert_memory_equal(e->data, weight, sizeof weight);
    assert_memory_equal(safetensors_find(file, "depth")->data, depth, sizeof depth);
    assert_memory_equal(safetensors_find(file, "halves")->data, halves, sizeof halves);
    assert_memory_equal(safetensors_find(file, "scale")->data, &scale, sizeof scale);
    assert_int_equal(safetensors_find(file, "scale")->n_dims, 0);
    assert_int_equal(safetensors_find(file, "none")->n_values, 0);
    assert_null(safetensors_find(file, "absent"));
    assert_null(safetensors_find(file, "__metadata__"));
    assert_string_equal(safetensors_metadata(file, "format"), "pt");
    assert_string_equal(safetensors_metadata(file, "made by"), "a\"b");
    assert_null(safetensors_metadata(file, "absent"));
    /* wide first, else as added; hence each is aligned in the file */
    assert_string_equal(safetensors_entry(file, 0)->name, "scale");
    assert_string_equal(safetensors_entry(file, 4)->name, "halves");
    assert_true(safetensors_sha256(file, read, &err));
    assert_true(digest_sha256_file(path, on_disk, &err));
    assert_string_equal(read, written);
    assert_string_equal(on_disk, written);
    safetensors_close(file);
    assert_true(safe_writer_save(w, path, read, &err)); /* again: the same bytes */
    assert_string_equal(read, written);
    safe_writer_destroy(w);
}

static void data_begins_at_a_multiple_of_8(void **state) {
    (void)state;
    char name[10] = "";
    for (int i = 0; i < 9; i++) { /* every remainder of the header's length */
        SafeWriter *w     = NULL;
        void       *bytes = NULL;
        size_t      n     = 0;
        uint64_t    N;
        Error       err = {0};
        name[i]         = 'n';
        assert_true(safe_writer_create(&w, &err));
        assert_true(safe_writer_add(w, name, SAFE_F64, 0, NULL, &scale, &err));
        assert_true(safe_writer_save(w, path, NULL, &err));
        safe_writer_destroy(w);
        assert_true(file_read_all(path, 1000, &bytes, &n, &err));
        memcpy(&N, bytes, 8);
        assert_int_equal(N % 8, 0);
        assert_int_equal(n, 8 + N + 8);
        free(bytes);
    }
}

static void name_that_a_file_cannot_hold_is_not_added(void **state) {
    (void)state;
    char        longest[514];
    SafeWriter *w   = filled_writer();
    Error       err = {0};
    memset(longest, 'n', 513);
    longest[513] = '\0';
    assert_false(safe_writer_add(w, longest, SAFE_F64, 0, NULL, &scale, &err));
    assert_true(safe_writer_add(w, longest + 1, SAFE_F64, 0, NULL, &scale, &err));
    assert_false(safe_writer_add(w, "scale", SAFE_F64, 0, NULL, &scale, &err));
    assert_non_null(strstr(err.message, "added before"));
    assert_false(safe_writer_add(w, "__metadata__", SAFE_F64, 0, NULL, &scale, &err));
    assert_false(safe_writer_add(w, "\xff", SAFE_F64, 0, NULL, &scale, &err));
    assert_string_equal(err.field, "\\xff");
    safe_writer_destroy(w);
}

static void file_without_tensors_is_written_and_read(void **state) {
    (void)state;
    SafeWriter *w    = NULL;
    SafeFile   *file = NULL;
    Error       err  = {0};
    assert_true(safe_writer_create(&w, &err));
    assert_true(safe_writer_save(w, path, NULL, &err));
    assert_true(safetensors_open(&file, path, &err));
    assert_int_equal(safetensors_count(file), 0);
    safetensors_close(file);
    safe_writer_destroy(w);
    safe_writer_destroy(NULL);
    safetensors_close(NULL);
}

static void save_that_fails_names_the_file(void **state) {
    (void)state;
    SafeWriter *w   = filled_writer();
    Error       err = {0};
    assert_false(safe_writer_save(w, "/nonexistent/w.safetensors", NULL, &err));
    assert_string_equal(err.input, "/nonexistent/w.safetensors");
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    safe_writer_destroy(w);
}

static void huge_sparse_file_is_refused_by_its_header(void **state) {
    (void)state;
    size_t    n;
    SafeFile *file  = NULL;
    Error     err   = {0};
    uint8_t  *bytes = make_file(2, "{}", 2, 0, &n);
    assert_true(file_write_durable(path, bytes, n, &err));
    free(bytes);
    if (truncate(path, (off_t)1 << 36) != 0) skip(); /* 64 GiB that nobody reads */
    assert_false(safetensors_open(&file, path, &err));
    assert_string_equal(err.input, path);
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT); /* and not for want of 64 GiB of memory */
    assert_null(file);
}

/* ---- any bytes ---- */

static void checker_of_invariants_notices_what_is_wrong(void **state) {
    (void)state;
    size_t    n;
    SafeFile *file   = NULL;
    Error     err    = {0};
    const char header[] = ENTRY("\"U8\"", "[4]", "[0,4]");
    uint8_t  *bytes  = make_file(strlen(header), header, strlen(header), 4, &n);
    assert_true(safetensors_parse(&file, bytes, n, &err));
    assert_null(broken_invariant(file, bytes, n));
    assert_non_null(broken_invariant(file, bytes, n - 1)); /* the tensor reaches beyond the file */
    assert_string_equal(broken_invariant(file, bytes + 1, n), "the header lies in the file");
    SafeEntry *e = (SafeEntry *)safetensors_entry(file, 0);
    e->dim[0]    = 3;
    assert_string_equal(broken_invariant(file, bytes, n), "the shape tells the number of values");
    e->dim[0] = 4;
    e->data   = bytes;
    assert_string_equal(broken_invariant(file, bytes, n), "each tensor begins where the one before ends");
    safetensors_close(file);
    free(bytes);
}

static uint64_t random_bits(uint64_t *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state;
}

/* A byte of the header changes to one that JSON knows, or any byte to any, or a piece is cut or doubled. */
static size_t mutate(uint8_t *bytes, size_t n, size_t room, uint64_t *random) {
    static const char words[] = "0123456789-[]{},:\"eE. abFU";
    const int         changes = 1 + (int)(random_bits(random) % 3);
    for (int i = 0; i < changes && n > 0; i++) {
        const size_t at = random_bits(random) % n, length = 1 + random_bits(random) % 8;
        switch (random_bits(random) % 8) {
        case 0: bytes[at] = (uint8_t)random_bits(random); break;
        case 1: n = at; break;
        case 2:
            if (at + length > n) break;
            memmove(bytes + at, bytes + at + length, n - at - length);
            n -= length;
            break;
        case 3:
            if (n + length > room || at + length > n) break;
            memmove(bytes + at + length, bytes + at, n - at);
            n += length;
            break;
        case 4: bytes[random_bits(random) % 8 % n] ^= (uint8_t)(1u << random_bits(random) % 8); break;
        default: bytes[at] = (uint8_t)words[random_bits(random) % (sizeof words - 1)];
        }
    }
    return n;
}

static void mutated_file_is_refused_or_sound(void **state) {
    (void)state;
    enum { N_MUTANTS = 20000, ROOM = 1024 };
    SafeWriter *w      = filled_writer();
    void       *whole  = NULL;
    size_t      n      = 0;
    Error       err    = {0};
    uint64_t    random = 88172645463325252u;
    int         n_accepted = 0;
    assert_true(safe_writer_save(w, path, NULL, &err));
    safe_writer_destroy(w);
    assert_true(file_read_all(path, ROOM / 2, &whole, &n, &err));
    for (int i = 0; i < N_MUTANTS; i++) {
        uint8_t   mutant[ROOM];
        SafeFile *file = NULL;
        memcpy(mutant, whole, n);
        const size_t n_mutant = mutate(mutant, n, ROOM, &random);
        uint8_t     *exact    = malloc(n_mutant); /* so that the sanitizer sees a read beyond the end */
        if (n_mutant > 0) memcpy(exact, mutant, n_mutant);
        memset(&err, 0, sizeof err);
        if (safetensors_parse(&file, exact, n_mutant, &err)) {
            const char *broken = broken_invariant(file, exact, n_mutant);
            if (broken != NULL) fail_msg("mutant %d: %s", i, broken);
            n_accepted++;
        } else {
            assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
            assert_true(err.message[0] != '\0');
        }
        safetensors_close(file);
        free(exact);
    }
    free(whole);
    /* both outcomes are common, else the mutations test little */
    assert_true(n_accepted > N_MUTANTS / 100 && n_accepted < N_MUTANTS / 2);
}

int main(void) {
#define WITH_PATH(test) cmocka_unit_test_setup_teardown(test, choose_path, remove_path)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_shorter_than_its_header_is_refused_whatever_the_sum_wraps_to),
        cmocka_unit_test(header_is_at_most_16_mib),
        cmocka_unit_test(header_is_one_object_of_utf8_and_spaces),
        cmocka_unit_test(name_given_twice_is_refused),
        cmocka_unit_test(metadata_other_than_texts_is_refused),
        cmocka_unit_test(unknown_dtype_is_refused_and_the_known_ones_are_listed),
        cmocka_unit_test(every_known_dtype_is_accepted_with_its_size),
        cmocka_unit_test(shape_other_than_counts_that_fit_is_refused),
        cmocka_unit_test(offsets_other_than_an_ordered_pair_are_refused),
        cmocka_unit_test(span_other_than_shape_times_element_is_refused),
        cmocka_unit_test(overlap_hole_or_tail_in_the_data_is_refused),
        cmocka_unit_test(empty_and_rank_0_tensors_are_accepted),
        cmocka_unit_test(name_is_at_most_512_bytes_and_escaped_when_printed),
        cmocka_unit_test(entry_other_than_the_three_keys_is_refused),
        cmocka_unit_test(only_regular_files_are_read_and_the_error_names_the_file),
        cmocka_unit_test(first_value_that_is_not_finite_is_found_in_every_float_type),
        cmocka_unit_test(all_halves_and_bfloats_convert_exactly),
        cmocka_unit_test(double_beyond_float_is_an_error_and_not_an_infinity),
        cmocka_unit_test(integers_do_not_convert),
        cmocka_unit_test(shape_is_told_in_words),
        WITH_PATH(what_was_written_is_read_back_bit_for_bit),
        WITH_PATH(data_begins_at_a_multiple_of_8),
        WITH_PATH(name_that_a_file_cannot_hold_is_not_added),
        WITH_PATH(file_without_tensors_is_written_and_read),
        WITH_PATH(save_that_fails_names_the_file),
        WITH_PATH(huge_sparse_file_is_refused_by_its_header),
        cmocka_unit_test(checker_of_invariants_notices_what_is_wrong),
        WITH_PATH(mutated_file_is_refused_or_sound),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
