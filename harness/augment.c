#include "harness/augment.h"

#include "engine/rng.h"

#include <string.h>

enum { DRAW_FLIP, DRAW_TOP, DRAW_LEFT };

static void flip(uint8_t *hwc, int h, int w, int c) {
    for (int y = 0; y < h; y++) {
        uint8_t *row = hwc + (int64_t)y * w * c;
        for (int x = 0; x < w / 2; x++)
            for (int k = 0; k < c; k++) {
                const uint8_t left = row[x * c + k];
                row[x * c + k]           = row[(w - 1 - x) * c + k];
                row[(w - 1 - x) * c + k] = left;
            }
    }
}

/* Moves the image by (-dy,-dx); what enters is zero. Rows go in the order that never overwrites one still to be read. */
static void shift(uint8_t *hwc, int h, int w, int c, int dy, int dx) {
    const int64_t pitch = (int64_t)w * c;
    for (int i = 0; i < h; i++) {
        const int y = dy >= 0 ? i : h - 1 - i, from = y + dy;
        uint8_t  *row = hwc + y * pitch;
        if (from < 0 || from >= h) {
            memset(row, 0, (size_t)pitch);
            continue;
        }
        const uint8_t *source = hwc + from * pitch;
        const int      kept   = w - (dx >= 0 ? dx : -dx);
        if (kept <= 0) memset(row, 0, (size_t)pitch);
        else if (dx >= 0) {
            memmove(row, source + (int64_t)dx * c, (size_t)kept * (size_t)c);
            memset(row + (int64_t)kept * c, 0, (size_t)dx * (size_t)c);
        } else {
            memmove(row - (int64_t)dx * c, source, (size_t)kept * (size_t)c);
            memset(row, 0, (size_t)-dx * (size_t)c);
        }
    }
}

void augment_image(void *self, uint8_t *hwc, int h, int w, int c, int64_t image_id, int64_t epoch) {
    const Augment  *a      = self;
    const RngStream stream = rng_stream(a->seed, "augment");
    const RngKey    key    = {.step = epoch, .image = image_id};
    if (a->crop_padding > 0) {
        RngKey top = key, left = key;
        top.channel  = DRAW_TOP;
        left.channel = DRAW_LEFT;
        const int n = 2 * a->crop_padding + 1;
        shift(hwc, h, w, c, (int)rng_below(stream, top, n) - a->crop_padding, (int)rng_below(stream, left, n) - a->crop_padding);
    }
    if (a->flip && (rng_bits(stream, key) & 1) != 0) flip(hwc, h, w, c);
}
