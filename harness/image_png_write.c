/* RGB or grey pixels to a PNG file through libpng, durably: a reader sees the old file or the whole new one. See image.h. */
#include "harness/image.h"

#ifdef HAVE_PNG

#include "engine/file.h"

#include <setjmp.h>
#include <stdlib.h>

#include <png.h>

typedef struct Encoder {
    FileWriter *file;
    Error      *err;
} Encoder;

static void stop(png_structp png, png_const_charp text) {
    Encoder *e = png_get_error_ptr(png);
    if (e->err->message[0] == '\0') FAIL_STATUS(e->err, EXIT_MACHINE, "", "cannot encode PNG: %s", text);
    png_longjmp(png, 1);
}

static void warn(png_structp png, png_const_charp text) { (void)png; (void)text; }

static void write_bytes(png_structp png, png_bytep bytes, size_t n) {
    Encoder *e = png_get_io_ptr(png);
    if (!file_writer_append(e->file, bytes, n, e->err)) png_error(png, "");
}

static void flush(png_structp png) { (void)png; }

/* Everything that libpng may leave by longjmp. */
static void run(Encoder *e, png_structp png, png_infop info, const Image *image) {
    const size_t stride = (size_t)image->width * (size_t)image->channels;
    png_set_write_fn(png, e, write_bytes, flush);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, image->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (size_t y = 0; y < (size_t)image->height; y++) png_write_row(png, image->pixels + y * stride);
    png_write_end(png, NULL);
}

static bool run_guarded(Encoder *e, png_structp png, png_infop info, const Image *image) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    run(e, png, info, image);
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
    png_structp png  = png_create_write_struct(PNG_LIBPNG_VER_STRING, &e, stop, warn);
    png_infop   info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a PNG encoder");
    else ok = run_guarded(&e, png, info, image) && file_writer_commit(e.file, err);
    png_destroy_write_struct(&png, &info);
    file_writer_close(e.file);
    return ok || error_in(err, path);
}

#else

bool image_can_write(Error *err) { return FAIL_STATUS(err, EXIT_MACHINE, "", "this program was built without libpng, it writes no pictures"); }

bool image_write_png(const Image *image, const char *path, Error *err) {
    (void)image;
    image_can_write(err);
    return error_in(err, path);
}

#endif
