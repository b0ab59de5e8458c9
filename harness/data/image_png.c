/* PNG through libpng's low-level interface, the only file that includes png.h. See image.h for what is promised.
 * Chunks that cannot change a pixel of ours (text, colour profiles, gamma, transparency) are skipped unread. */
#include "harness/data/image.h"

#ifdef HAVE_PNG

#include "engine/file.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct Decoder {
    const uint8_t *bytes;
    size_t         n_bytes, position;
    Error         *err;
    int            n_warnings;
    png_structp    png;
    png_infop      info;
    png_bytepp     rows;
    uint8_t       *wide;                  /* 16-bit grey before clipping */
} Decoder;

static void stop(png_structp png, png_const_charp text) {
    Decoder *d = png_get_error_ptr(png);
    FAIL_STATUS(d->err, EXIT_IO, "", "cannot decode PNG: %s", text);
    png_longjmp(png, 1);
}

static void warn(png_structp png, png_const_charp text) {
    Decoder *d = png_get_error_ptr(png);
    (void)text;
    d->n_warnings++;
}

static void read_bytes(png_structp png, png_bytep to, size_t n) {
    Decoder *d = png_get_io_ptr(png);
    if (n > d->n_bytes - d->position) png_error(png, "the file ends before the picture does");
    memcpy(to, d->bytes + d->position, n);
    d->position += n;
}

static void set_limits(png_structp png) {
    static const png_byte skipped[] = "iCCP\0tEXt\0zTXt\0iTXt\0sPLT\0hIST\0gAMA\0cHRM\0sRGB\0bKGD\0pHYs\0tIME\0oFFs\0pCAL\0"
                                      "sCAL\0sBIT\0tRNS";
    png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
    png_set_chunk_cache_max(png, 64);
    png_set_chunk_malloc_max(png, 1 << 20);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skipped, sizeof skipped / 5);
}

static int orientation_of(png_structp png, png_infop info) {
    png_uint_32 n    = 0;
    png_bytep   exif = NULL;
    return png_get_eXIf_1(png, info, &n, &exif) != 0 ? image_exif_orientation(exif, n) : 1;
}

/* Everything that libpng may leave by longjmp; what is allocated hangs on d and image, which the caller frees. */
static bool run(Decoder *d, Image *image, bool header_only) {
    png_structp png = d->png;
    set_limits(png);
    png_set_read_fn(png, d, read_bytes);
    png_read_info(png, d->info);
    const png_uint_32 width = png_get_image_width(png, d->info), height = png_get_image_height(png, d->info);
    const int  bits = png_get_bit_depth(png, d->info), colour = png_get_color_type(png, d->info);
    const bool grey = (colour & PNG_COLOR_MASK_COLOR) == 0, wide = bits == 16 && colour == PNG_COLOR_TYPE_GRAY;
    if (!image_size_allowed(width, height, d->n_bytes, d->err)) return false;
    image->width       = (int)width;
    image->height      = (int)height;
    image->channels    = grey ? 1 : 3;
    image->orientation = orientation_of(png, d->info);
    if (header_only) return true;

    const int orientation = image->orientation;
    if (!image_create(image, (int)width, (int)height, grey ? 1 : 3, d->err)) return false;
    image->orientation = orientation;
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (colour == PNG_COLOR_TYPE_GRAY && bits < 8) png_set_expand_gray_1_2_4_to_8(png);
    if (bits == 16 && !wide) png_set_strip_16(png);
    if (colour & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, d->info);

    const size_t stride = (size_t)width * (wide ? 2 : (size_t)image->channels);
    CHECK(png_get_rowbytes(png, d->info) == stride, "PNG rows of %zu bytes, expected %zu",
          png_get_rowbytes(png, d->info), stride);
    d->rows = calloc(height, sizeof *d->rows);
    if (wide) d->wide = malloc(stride * height);
    if (d->rows == NULL || (wide && d->wide == NULL))
        return FAIL_STATUS(d->err, EXIT_MACHINE, "", "cannot allocate %zu bytes for a PNG", stride * height);
    for (size_t y = 0; y < height; y++) d->rows[y] = (wide ? d->wide : image->owner) + y * stride;
    png_read_image(png, d->rows);
    png_read_end(png, NULL);
    if (wide)                              /* Pillow clips 16-bit grey, it does not scale it */
        for (size_t i = 0; i < (size_t)width * height; i++) image->owner[i] = d->wide[2*i] != 0 ? 255 : d->wide[2*i + 1];
    return true;
}

/* A frame without variables of its own that a longjmp could spoil. */
static bool run_guarded(Decoder *d, Image *image, bool header_only) {
    return setjmp(png_jmpbuf(d->png)) == 0 && run(d, image, header_only);
}

bool image_decode_png(Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only, Error *err) {
    Decoder d = {.bytes = bytes, .n_bytes = n_bytes, .err = err};
    bool    ok = false;
    *image = (Image){.orientation = 1};
    d.png  = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, stop, warn);
    d.info = d.png != NULL ? png_create_info_struct(d.png) : NULL;
    if (d.info == NULL) FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a PNG decoder");
    else ok = run_guarded(&d, image, header_only);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    free(d.rows);
    free(d.wide);
    if (!ok) image_free(image);
    else image->n_warnings = d.n_warnings;
    return ok;
}

/* ---- writing ---- */

typedef struct Encoder {
    FileWriter *file;
    Error      *err;
} Encoder;

static void stop_writing(png_structp png, png_const_charp text) {
    Encoder *e = png_get_error_ptr(png);
    if (e->err->message[0] == '\0') FAIL_STATUS(e->err, EXIT_MACHINE, "", "cannot encode PNG: %s", text);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp text) { (void)png; (void)text; }

static void write_bytes(png_structp png, png_bytep bytes, size_t n) {
    Encoder *e = png_get_io_ptr(png);
    if (!file_writer_append(e->file, bytes, n, e->err)) png_error(png, "");
}

static void flush(png_structp png) { (void)png; }

/* Everything that libpng may leave by longjmp. */
static void encode(Encoder *e, png_structp png, png_infop info, const Image *image) {
    const size_t stride = (size_t)image->width * (size_t)image->channels;
    png_set_write_fn(png, e, write_bytes, flush);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, image->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (size_t y = 0; y < (size_t)image->height; y++) png_write_row(png, image->pixels + y * stride);
    png_write_end(png, NULL);
}

static bool encode_guarded(Encoder *e, png_structp png, png_infop info, const Image *image) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    encode(e, png, info, image);
    return true;
}

bool image_can_write(Error *err) {
    (void)err;
    return true;
}

bool image_write_png(const Image *image, const char *path, Error *err) {
    Encoder e  = {.err = err};
    bool    ok = false;
    err->message[0] = '\0';                    /* tells stop whether the writer has said what is wrong */
    if (!file_writer_open(&e.file, path, err)) return false;
    png_structp png  = png_create_write_struct(PNG_LIBPNG_VER_STRING, &e, stop_writing, ignore_warning);
    png_infop   info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a PNG encoder");
    else ok = encode_guarded(&e, png, info, image) && file_writer_commit(e.file, err);
    png_destroy_write_struct(&png, &info);
    file_writer_close(e.file);
    return ok || error_in(err, path);
}

#else

bool image_decode_png(Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only, Error *err) {
    (void)bytes; (void)n_bytes; (void)header_only;
    *image = (Image){.orientation = 1};
    return FAIL_STATUS(err, EXIT_MACHINE, "", "a PNG file, but this program was built without libpng");
}

bool image_can_write(Error *err) { return FAIL_STATUS(err, EXIT_MACHINE, "", "this program was built without libpng, it writes no pictures"); }

bool image_write_png(const Image *image, const char *path, Error *err) {
    (void)image;
    image_can_write(err);
    return error_in(err, path);
}

#endif
