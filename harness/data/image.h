/* Photographs from outside: 8-bit pixels, row by row, channels interleaved (H,W,C), C = 1 (grey) or 3 (RGB).
 *
 * Decoded as Pillow's Image.open(...).convert('RGB') does, since published accuracies were measured that way: JPEG with
 * the accurate integer DCT and smooth chroma upsampling; CMYK taken as Adobe's inverted kind; of 16-bit PNG colours the
 * high byte, but 16-bit grey clipped at 255; transparency dropped without blending; no colour management.
 *
 * Files are not trusted. An image has at most IMAGE_MAX_PIXELS; a decoder's working memory and pixels together stay
 * below IMAGE_MAX_BYTES; progressive scans are capped. Errors: EXIT_BAD_INPUT for a file that is no such image or goes
 * beyond the caps, EXIT_IO for a damaged or truncated one, EXIT_MACHINE when memory runs out.
 *
 * Ownership: image_decode, image_create give pixels to the caller: image_free. An image that borrows its pixels has
 * owner NULL; image_free leaves those alone. */
#ifndef HARNESS_IMAGE_H
#define HARNESS_IMAGE_H

#include "engine/error.h"
#include <stddef.h>
#include <stdint.h>

enum { IMAGE_MAX_SIDE = 65535, IMAGE_MAX_PIXELS = 1 << 26, IMAGE_MAX_BYTES = 256 << 20, IMAGE_MAX_SCANS = 100 };

typedef struct Image {
    int            width, height, channels;
    const uint8_t *pixels;        /* (height,width,channels) */
    uint8_t       *owner;         /* what image_free frees; NULL when borrowed */
    int            orientation;   /* EXIF 1..8, 1 when the file says nothing; not applied by image_decode */
    int            n_warnings;    /* damage the decoder could read past, as Pillow does */
} Image;

/* Pixels uninitialised, writable through owner. */
bool image_create(Image *image, int width, int height, int channels, Error *err);
void image_free(Image *image);

/* JPEG or PNG, told apart by their first bytes. channels is 1 for grey files, else 3. */
bool image_decode(Image *image, const uint8_t *bytes, size_t n_bytes, Error *err);

/* Size and channels from the header alone; pixels stay NULL. */
bool image_read_header(Image *image, const uint8_t *bytes, size_t n_bytes, Error *err);

/* Grey becomes three equal channels, in place of *image. Nothing happens to RGB. */
bool image_to_rgb(Image *image, Error *err);

/* Turns the pixels the way EXIF orientation says (Pillow's ImageOps.exif_transpose), in place of *image. */
bool image_apply_orientation(Image *image, Error *err);

/* The two decoders; header_only stops before the pixels. Without libpng at build time image_decode_png says so. */
bool image_decode_jpeg(Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only, Error *err);
bool image_decode_png (Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only, Error *err);

/* Writes pixels (1 or 3 channels) as PNG, durably. Without libpng at build time both fail and say so; the first is for asking before
 * long work. */
bool image_can_write(Error *err);
bool image_write_png(const Image *image, const char *path, Error *err);

/* Checks a declared size against the caps before anything is allocated; n_bytes is the size of the whole file. */
bool image_size_allowed(int64_t width, int64_t height, size_t n_bytes, Error *err);

/* Orientation 1..8 from a TIFF block as EXIF stores it ("II*\0..." or "MM\0*..."); 1 when there is none. */
int image_exif_orientation(const uint8_t *tiff, size_t n_bytes);

#endif
