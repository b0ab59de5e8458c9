/* JPEG through libjpeg, the only file that includes jpeglib.h. See image.h for what is promised. */
#include "harness/data/image.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* One scan over the largest image allowed takes about half a second: scans times pixels bound the time a file can take. */
static const int64_t MAX_SCANNED_PIXELS = (int64_t)1 << 29;

typedef struct Decoder {
    struct jpeg_error_mgr         errors;     /* first: libjpeg hands back a pointer to it */
    struct jpeg_progress_mgr      progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf                       failed;
    Error                        *err;
    int                           n_warnings;
} Decoder;

static _Noreturn void stop(j_common_ptr common) {
    Decoder *d = (Decoder *)common->err;
    char     text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    const int code   = common->err->msg_code;
    const bool too_big = code == JERR_NO_BACKING_STORE || code == JERR_IMAGE_TOO_BIG;
    const int status = code == JERR_OUT_OF_MEMORY ? EXIT_MACHINE : too_big ? EXIT_BAD_INPUT : EXIT_IO;
    FAIL_STATUS(d->err, status, "", "cannot decode JPEG: %s",
                code == JERR_NO_BACKING_STORE ? "progressive image too large" : text);
    longjmp(d->failed, 1);
}

/* libjpeg invents an end when the bytes run out; only a missing end marker after the last row may be invented. */
static void message(j_common_ptr common, int level) {
    Decoder *d = (Decoder *)common->err;
    if (level >= 0) return;
    if (common->err->msg_code == JWRN_JPEG_EOF && d->jpeg.output_scanline < d->jpeg.output_height) {
        FAIL_STATUS(d->err, EXIT_IO, "", "truncated JPEG: the file ends before the picture does");
        longjmp(d->failed, 1);
    }
    d->n_warnings++;
}

static void limit_scans(j_common_ptr common) {
    Decoder      *d     = (Decoder *)common->err;
    const int     scans = d->jpeg.input_scan_number;
    const int64_t work  = (int64_t)scans * d->jpeg.image_width * d->jpeg.image_height;
    if (scans > IMAGE_MAX_SCANS || (scans > 1 && work > MAX_SCANNED_PIXELS)) {
        FAIL(d->err, "", "JPEG of %ux%u in more than %d scans: refused", d->jpeg.image_width, d->jpeg.image_height,
             scans - 1);
        longjmp(d->failed, 1);
    }
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg) {
    static const uint8_t exif[6] = {'E', 'x', 'i', 'f', 0, 0};
    for (const struct jpeg_marker_struct *m = jpeg->marker_list; m != NULL; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= sizeof exif && memcmp(m->data, exif, sizeof exif) == 0)
            return image_exif_orientation(m->data + sizeof exif, m->data_length - sizeof exif);
    return 1;
}

/* a*b/255, rounded, for bytes */
static int multiply_255(int a, int b) {
    const int t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

/* One row of CMYK as Adobe stores it, inverted (255 is no ink), to RGB. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, int width) {
    for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++) {
            const int light = cmyk[4*x + 3], ink = 255 - cmyk[4*x + c], v = light - multiply_255(ink, light);
            rgb[3*x + c] = (uint8_t)(v < 0 ? 0 : v);
        }
}

/* Everything that libjpeg may leave by longjmp; what it allocates hangs on d and image, which the caller frees. */
static bool run(Decoder *d, Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &d->progress;
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_mem_src(jpeg, bytes, n_bytes);
    jpeg_read_header(jpeg, TRUE);
    const int n = jpeg->num_components;
    if (n != 1 && n != 3 && n != 4)
        return FAIL(d->err, "", "JPEG of %d components; 1, 3 or 4 can be read", n);
    if (!image_size_allowed(jpeg->image_width, jpeg->image_height, n_bytes, d->err)) return false;
    image->width       = (int)jpeg->image_width;
    image->height      = (int)jpeg->image_height;
    image->channels    = n == 1 ? 1 : 3;
    image->orientation = orientation_of(jpeg);
    if (header_only) return true;

    const int orientation = image->orientation;
    if (!image_create(image, image->width, image->height, image->channels, d->err)) return false;
    image->orientation = orientation;
    const size_t stride = (size_t)image->width * (size_t)image->channels;
    jpeg->mem->max_memory_to_use = (long)(IMAGE_MAX_BYTES - stride * (size_t)image->height);
    jpeg->out_color_space        = n == 1 ? JCS_GRAYSCALE : n == 3 ? JCS_RGB : JCS_CMYK;
    jpeg->dct_method             = JDCT_ISLOW;
    jpeg->do_fancy_upsampling    = TRUE;
    jpeg_start_decompress(jpeg);
    JSAMPARRAY cmyk = n == 4 ? jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, jpeg->output_width * 4, 1) : NULL;
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *to  = image->owner + (size_t)jpeg->output_scanline * stride;
        JSAMPROW row = cmyk != NULL ? cmyk[0] : to;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (cmyk != NULL) cmyk_to_rgb(cmyk[0], to, image->width);
    }
    return true;
}

/* A frame without variables of its own that a longjmp could spoil. */
static bool run_guarded(Decoder *d, Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only) {
    return setjmp(d->failed) == 0 && run(d, image, bytes, n_bytes, header_only);
}

bool image_decode_jpeg(Image *image, const uint8_t *bytes, size_t n_bytes, bool header_only, Error *err) {
    Decoder d;
    memset(&d, 0, sizeof d);
    *image = (Image){.orientation = 1};
    d.err                       = err;
    d.jpeg.err                  = jpeg_std_error(&d.errors);
    d.errors.error_exit         = stop;
    d.errors.emit_message       = message;
    d.progress.progress_monitor = limit_scans;
    const bool ok = run_guarded(&d, image, bytes, n_bytes, header_only);
    jpeg_destroy_decompress(&d.jpeg);
    if (!ok) image_free(image);
    else image->n_warnings = d.n_warnings;
    return ok;
}
