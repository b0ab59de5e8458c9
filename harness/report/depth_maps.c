/* Depth maps over images as PNG (depth_maps.h). */
#include "harness/report/depth_maps.h"

#include "engine/file.h"
#include "harness/data/canvas.h"
#include "harness/measure/depth_relation.h"
#include "harness/options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 8, PANEL_SIDE = 224, TILE_SIDE = 112, SWATCH = 18, LEGEND_WIDTH = 90, LINE = 2 * CANVAS_TEXT_HEIGHT };

bool depth_maps_parse(const char *text, int64_t n_images, int64_t **list, int *n, Error *err) {
    *n    = 0;
    *list = calloc(DEPTH_MAPS_MAX, sizeof **list);
    if (*list == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    for (const char *at = text; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
        char word[32];
        int  index;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, ","), at);
        if (*n == DEPTH_MAPS_MAX) return FAIL(err, "--images", "names more than %d images", DEPTH_MAPS_MAX);
        if (!option_count("images", word, 0, (int)(n_images > INT_MAX ? INT_MAX : n_images - 1), &index, err)) return false;
        (*list)[(*n)++] = index;
    }
    return true;
}

/* Of the pixel's own lightness a third stays visible below the colour. */
static Colour laid_over(Colour c, int grey) {
    return (Colour){(uint8_t)((2 * c.r + grey) / 3), (uint8_t)((2 * c.g + grey) / 3), (uint8_t)((2 * c.b + grey) / 3)};
}

static double share_of(int depth, int max_depth) { return max_depth > 0 ? (double)depth / max_depth : 0; }

static int grey_of(const Image *image, int row, int column) {
    const uint8_t *p = image->pixels + ((size_t)row * (size_t)image->width + (size_t)column) * (size_t)image->channels;
    return image->channels == 3 ? (299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000 : p[0];
}

void depth_map_draw(Image *canvas, int x, int y, const Image *image, const uint8_t *depth, int side, int max_depth, int scale) {
    for (int row = 0; row < image->height; row++)
        for (int column = 0; column < image->width; column++) {
            const int    d = depth[row * side / image->height * side + column * side / image->width];
            const Colour c = canvas_scale(share_of(d, max_depth));
            canvas_fill(canvas, (Place){x + column * scale, y + row * scale, scale, scale}, laid_over(c, grey_of(image, row, column)));
        }
}

/* A swatch a depth, the deepest on top, each from dark to light pixels below the colour; of many depths not every one. */
static void draw_legend(Image *canvas, int x, int y, int height, int max_depth) {
    const int most = (height - LINE) / SWATCH - 1, step = most > 0 ? max_depth / most + 1 : max_depth + 1;
    canvas_text(canvas, x, y, 2, "depth");
    y += LINE;
    for (int d = max_depth; d >= 0; d -= step, y += SWATCH) {
        char text[16];
        for (int i = 0; i < 3 * SWATCH; i++)
            canvas_fill(canvas, (Place){x + i, y, 1, SWATCH - 2}, laid_over(canvas_scale(share_of(d, max_depth)), 255 * i / (3 * SWATCH - 1)));
        snprintf(text, sizeof text, "%d", d);
        canvas_text(canvas, x + 3 * SWATCH + 4, y + 1, 2, text);
    }
}

static bool read_image(const Dataset *d, int64_t i, Image *image, int *label, Error *err) {
    if (!image_create(image, d->width, d->height, d->channels, err)) return false;
    if (dataset_read(d, i, image->owner, label, err)) return true;
    image_free(image);
    return false;
}

static int scale_to(int side, int wanted) { return side >= wanted ? 1 : (wanted + side - 1) / side; }

static bool write_one(const Dataset *d, const DepthRecord *depths, const char *dir, int64_t i, Error *err) {
    char  path[PATH_MAX], text[80];
    Image image, canvas;
    int   n_patches, max_depth, label = -1;
    const uint8_t *depth = depth_record_patches(depths, i, &n_patches, &max_depth);
    if (!read_image(d, i, &image, &label, err)) return false;
    const int scale = scale_to(d->width, PANEL_SIDE), width = d->width * scale, height = d->height * scale;
    if (!canvas_create(&canvas, 2 * width + LEGEND_WIDTH + 4 * GAP, height + LINE + 2 * GAP, err)) {
        image_free(&image);
        return false;
    }
    int n = snprintf(text, sizeof text, "image %lld", (long long)i);
    if (label >= 0) n += snprintf(text + n, sizeof text - (size_t)n, ", class %d", label);
    snprintf(text + n, sizeof text - (size_t)n, ", mean depth %.3f", depth_record_image_depth(depths, i));
    canvas_text(&canvas, GAP, GAP, 2, text);
    canvas_image(&canvas, GAP, GAP + LINE, &image, scale);
    depth_map_draw(&canvas, 2 * GAP + width, GAP + LINE, &image, depth, depth_grid_side(n_patches), max_depth, scale);
    draw_legend(&canvas, 3 * GAP + 2 * width, GAP + LINE, height, max_depth);
    bool ok = snprintf(path, sizeof path, "%s/image-%lld.png", dir, (long long)i) < (int)sizeof path || FAIL(err, "--depth-maps", "the path is too long");
    ok = ok && image_write_png(&canvas, path, err);
    image_free(&canvas);
    image_free(&image);
    return ok;
}

void depth_maps_extremes(const DepthRecord *depths, bool deepest, int64_t *index, int n) {
    const int64_t n_images = depth_record_images(depths);
    int           kept     = 0;
    for (int64_t i = 0; i < n_images; i++) {               /* sorted by insertion: n is small */
        const double mine = depth_record_image_depth(depths, i);
        int          at   = kept;
        while (at > 0) {
            const double other = depth_record_image_depth(depths, index[at - 1]);
            if (deepest ? other >= mine : other <= mine) break;
            at--;
        }
        if (at == n) continue;
        if (kept < n) kept++;
        memmove(index + at + 1, index + at, (size_t)(kept - at - 1) * sizeof *index);
        index[at] = i;
    }
}

/* A row of images above their maps, with number and mean depth. */
static bool draw_row(Image *canvas, int y, const Dataset *d, const DepthRecord *depths, const int64_t *index, int n, int scale, Error *err) {
    const int width = d->width * scale, height = d->height * scale;
    for (int i = 0; i < n; i++) {
        Image image;
        char  text[40];
        int   n_patches, max_depth, label;
        const int      x     = GAP + i * (width + GAP);
        const uint8_t *depth = depth_record_patches(depths, index[i], &n_patches, &max_depth);
        if (!read_image(d, index[i], &image, &label, err)) return false;
        canvas_image(canvas, x, y, &image, scale);
        depth_map_draw(canvas, x, y + height + GAP / 2, &image, depth, depth_grid_side(n_patches), max_depth, scale);
        snprintf(text, sizeof text, "%lld = %.3f", (long long)index[i], depth_record_image_depth(depths, index[i]));
        canvas_text(canvas, x, y + 2 * height + GAP, 1, text);
        image_free(&image);
    }
    return true;
}

static bool write_extremes(const Dataset *d, const DepthRecord *depths, const char *dir, Error *err) {
    char    path[PATH_MAX];
    Image   canvas;
    int64_t index[DEPTH_EXTREMES];
    int     n_patches, max_depth;
    const int n     = depth_record_images(depths) < DEPTH_EXTREMES ? (int)depth_record_images(depths) : DEPTH_EXTREMES;
    const int scale = scale_to(d->width, TILE_SIDE), row = LINE + 2 * d->height * scale + GAP + 2 * CANVAS_TEXT_HEIGHT;
    depth_record_patches(depths, 0, &n_patches, &max_depth);
    if (snprintf(path, sizeof path, "%s/extremes.png", dir) >= (int)sizeof path) return FAIL(err, "--depth-maps", "the path is too long");
    if (!canvas_create(&canvas, GAP + n * (d->width * scale + GAP) + LEGEND_WIDTH + GAP, 2 * row + 2 * GAP, err)) return false;
    bool ok = true;
    for (int deepest = 1; deepest >= 0; deepest--) {
        const int y = GAP + (deepest ? 0 : row);
        char      text[80];
        depth_maps_extremes(depths, deepest, index, n);
        snprintf(text, sizeof text, "%s of %lld images, number = mean depth", deepest ? "deepest" : "shallowest", (long long)depth_record_images(depths));
        canvas_text(&canvas, GAP, y, 2, text);
        ok = ok && draw_row(&canvas, y + LINE, d, depths, index, n, scale, err);
    }
    draw_legend(&canvas, GAP + n * (d->width * scale + GAP), GAP + LINE, 2 * row - LINE, max_depth);
    ok = ok && image_write_png(&canvas, path, err);
    image_free(&canvas);
    return ok;
}

bool depth_maps_write(const Dataset *d, const DepthRecord *depths, const char *dir, const int64_t *images, int n, Error *err) {
    int n_patches, max_depth;
    if (depth_record_images(depths) == 0) return FAIL(err, "--depth-maps", "there are no images");
    depth_record_patches(depths, 0, &n_patches, &max_depth);
    if (depth_grid_side(n_patches) == 0) return FAIL(err, "--depth-maps", "the model's %d tokens do not lie on a square over the image", n_patches);
    bool ok = file_make_dirs(dir, err);
    for (int i = 0; ok && i < n; i++) ok = write_one(d, depths, dir, images[i], err);
    return ok && write_extremes(d, depths, dir, err);
}
