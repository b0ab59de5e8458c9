/* Decoded images and the choice of decoder by content (image.h). */
#include "harness/data/image.h"

#include <stdlib.h>
#include <string.h>

bool image_create(Image *image, int width, int height, int channels, Error *err) {
    const size_t n = (size_t)width * (size_t)height * (size_t)channels;
    *image = (Image){.width = width, .height = height, .channels = channels, .orientation = 1};
    image->owner  = malloc(n > 0 ? n : 1);
    image->pixels = image->owner;
    if (image->owner == NULL)
        return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes for an image of %dx%d", n, width, height);
    return true;
}

void image_free(Image *image) {
    if (image == NULL) return;
    free(image->owner);
    *image = (Image){0};
}

static bool is_jpeg(const uint8_t *b, size_t n) { return n >= 3 && b[0] == 0xff && b[1] == 0xd8 && b[2] == 0xff; }
static bool is_png (const uint8_t *b, size_t n) { return n >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0; }

static bool decode(Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only, Error *err) {
    *image = (Image){.orientation = 1};
    if (is_jpeg(bytes, n_bytes)) return image_decode_jpeg(image, bytes, n_bytes, header_only, err);
    if (is_png(bytes, n_bytes))  return image_decode_png (image, bytes, n_bytes, header_only, err);
    return FAIL(err, "", "neither a JPEG nor a PNG file (%zu bytes)", n_bytes);
}

bool image_decode(Image *image, const uint8_t *bytes, size_t n_bytes, Error *err) {
    return decode(image, bytes, n_bytes, false, err);
}

bool image_read_header(Image *image, const uint8_t *bytes, size_t n_bytes, Error *err) {
    return decode(image, bytes, n_bytes, true, err);
}

/* Both formats pack at most about 1032 (deflate) or 341 (JPEG, one bit a block, chroma halved twice) pixels into a byte;
 * 1-bit PNGs eight times as many. What declares more cannot be complete, and needs no memory to be refused. */
bool image_size_allowed(int64_t width, int64_t height, size_t n_bytes, Error *err) {
    if (width < 1 || height < 1)
        return FAIL(err, "", "an image of %lldx%lld has no pixels", (long long)width, (long long)height);
    if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE || width > IMAGE_MAX_PIXELS / height)
        return FAIL(err, "", "an image of %lldx%lld is larger than allowed (%d pixels, side %d)", (long long)width,
                    (long long)height, IMAGE_MAX_PIXELS, IMAGE_MAX_SIDE);
    if ((uint64_t)(width * height) / 8448 > n_bytes)
        return FAIL(err, "", "declares %lldx%lld pixels in %zu bytes, which cannot be", (long long)width, (long long)height,
                    n_bytes);
    return true;
}

bool image_to_rgb(Image *image, Error *err) {
    if (image->channels == 3) return true;
    Image rgb;
    if (!image_create(&rgb, image->width, image->height, 3, err)) return false;
    const size_t n = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < n; i++)
        rgb.owner[3*i] = rgb.owner[3*i + 1] = rgb.owner[3*i + 2] = image->pixels[i];
    rgb.orientation = image->orientation;
    rgb.n_warnings  = image->n_warnings;
    image_free(image);
    *image = rgb;
    return true;
}

bool image_apply_orientation(Image *image, Error *err) {
    const int o = image->orientation;
    if (o < 2 || o > 8) return true;
    const bool swapped = o >= 5;                      /* rows become columns */
    const int  w = image->width, h = image->height, c = image->channels;
    Image turned;
    if (!image_create(&turned, swapped ? h : w, swapped ? w : h, c, err)) return false;
    for (int y = 0; y < turned.height; y++)
        for (int x = 0; x < turned.width; x++) {
            int from_x = swapped ? y : x, from_y = swapped ? x : y;
            if (o == 2 || o == 3 || o == 7 || o == 8) from_x = w - 1 - from_x;
            if (o == 3 || o == 4 || o == 6 || o == 7) from_y = h - 1 - from_y;
            memcpy(turned.owner + ((size_t)y * (size_t)turned.width + (size_t)x) * (size_t)c,
                   image->pixels + ((size_t)from_y * (size_t)w + (size_t)from_x) * (size_t)c, (size_t)c);
        }
    turned.n_warnings = image->n_warnings;
    image_free(image);
    *image = turned;
    return true;
}

static uint32_t tiff_uint(const uint8_t *p, int n, bool little) {
    uint32_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[little ? n - 1 - i : i];
    return v;
}

int image_exif_orientation(const uint8_t *tiff, size_t n_bytes) {
    enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ENTRY_BYTES = 12 };
    if (n_bytes < 8) return 1;
    const bool little = tiff[0] == 'I' && tiff[1] == 'I';
    if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return 1;
    if (tiff_uint(tiff + 2, 2, little) != 42) return 1;
    const size_t ifd = tiff_uint(tiff + 4, 4, little);
    if (ifd > n_bytes - 2) return 1;
    const size_t n_entries = tiff_uint(tiff + ifd, 2, little);
    if (n_entries * ENTRY_BYTES > n_bytes - 2 - ifd) return 1;
    for (size_t i = 0; i < n_entries; i++) {
        const uint8_t *entry = tiff + ifd + 2 + i * ENTRY_BYTES;
        if (tiff_uint(entry, 2, little) != TAG_ORIENTATION) continue;
        if (tiff_uint(entry + 2, 2, little) != TYPE_SHORT) return 1;
        const uint32_t value = tiff_uint(entry + 8, 2, little);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
