/* Correlation of token depth with edges and with distance from the centre, image by image (depth_relation.h). */
#include "harness/measure/depth_relation.h"

#include "harness/measure/correlation.h"
#include "harness/measure/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BY_GRADIENT, BY_DISTANCE, N_BY, SPEARMAN = 0, PEARSON, N_HOW };

static const char *const by_name[N_BY] = {"gradient", "centre_distance"}, *const how_name[N_HOW] = {"spearman", "pearson"};

struct DepthRelation {
    int      side, n_patches;            /* 0 before the first image whose tokens have depths of their own */
    int32_t *grey;                       /* (height,width) luminance, in thousandths of a step of 8-bit pixels for colours */
    double  *depth, *by[N_BY];           /* (n_patches) of the image in hand */
    double  *depth_rank, *by_rank[N_BY];
    int     *order;
    double  *found[N_BY][N_HOW];         /* (n[by]) of each image in which both vary */
    size_t   n[N_BY], capacity;
};

bool depth_relation_create(DepthRelation **out, Error *err) {
    *out = calloc(1, sizeof **out);
    return *out != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the depths of tokens");
}

void depth_relation_destroy(DepthRelation *r) {
    if (r == NULL) return;
    free(r->grey);
    free(r->depth);
    free(r->depth_rank);
    free(r->order);
    for (int i = 0; i < N_BY; i++) {
        free(r->by[i]);
        free(r->by_rank[i]);
        for (int k = 0; k < N_HOW; k++) free(r->found[i][k]);
    }
    free(r);
}

int depth_grid_side(int n_patches) {
    int side = 0;
    while (side * side < n_patches) side++;
    return side * side == n_patches ? side : 0;
}

static int within(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

void depth_gradients(const int32_t *grey, int height, int width, int side, double *mean) {
    const int n = side * side;
    for (int i = 0; i < n; i++) mean[i] = 0;
    for (int y = 0; y < height; y++) {
        const int32_t *above = grey + (size_t)within(y - 1, height) * (size_t)width, *here = grey + (size_t)y * (size_t)width,
                      *below = grey + (size_t)within(y + 1, height) * (size_t)width;
        for (int x = 0; x < width; x++) {
            const int     l = within(x - 1, width), r = within(x + 1, width);
            const int32_t across = above[r] + 2 * here[r] + below[r] - above[l] - 2 * here[l] - below[l];
            const int32_t down   = below[l] + 2 * below[x] + below[r] - above[l] - 2 * above[x] - above[r];
            mean[y * side / height * side + x * side / width] += sqrt((double)across * across + (double)down * down);
        }
    }
    for (int i = 0; i < n; i++) {                          /* pixels of a cell: those whose product above gives its row and column */
        const int row = i / side, column = i % side;
        const int rows    = ((row + 1) * height + side - 1) / side - (row * height + side - 1) / side;
        const int columns = ((column + 1) * width + side - 1) / side - (column * width + side - 1) / side;
        mean[i] = rows * columns > 0 ? (float)(mean[i] / (rows * columns)) : 0;
    }
}

/* Distances are those of cell centres from the middle of the grid, in cells. */
static bool prepare(DepthRelation *r, const Dataset *d, int n_patches, int side, Error *err) {
    const size_t n = (size_t)n_patches;
    r->grey       = malloc((size_t)d->height * (size_t)d->width * sizeof *r->grey);
    r->depth      = malloc(n * sizeof *r->depth);
    r->depth_rank = malloc(n * sizeof *r->depth_rank);
    r->order      = malloc(n * sizeof *r->order);
    bool ok = r->grey != NULL && r->depth != NULL && r->depth_rank != NULL && r->order != NULL;
    for (int i = 0; i < N_BY; i++) {
        r->by[i]      = malloc(n * sizeof *r->by[i]);
        r->by_rank[i] = malloc(n * sizeof *r->by_rank[i]);
        ok = ok && r->by[i] != NULL && r->by_rank[i] != NULL;
    }
    if (!ok) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the depths of %d patches", n_patches);
    for (int i = 0; i < n_patches; i++) {
        const double down = i / side - 0.5 * (side - 1), across = i % side - 0.5 * (side - 1);
        r->by[BY_DISTANCE][i] = sqrt(down * down + across * across);
    }
    correlation_ranks(r->by[BY_DISTANCE], n_patches, r->order, r->by_rank[BY_DISTANCE]);
    r->n_patches = n_patches;
    r->side      = side;
    return true;
}

static bool grow(DepthRelation *r, size_t more, Error *err) {
    const size_t most = r->n[BY_GRADIENT] > r->n[BY_DISTANCE] ? r->n[BY_GRADIENT] : r->n[BY_DISTANCE];
    if (most + more <= r->capacity) return true;
    const size_t capacity = 2 * (most + more) + 1024;
    for (int i = 0; i < N_BY; i++)
        for (int k = 0; k < N_HOW; k++) {
            double *grown = realloc(r->found[i][k], capacity * sizeof *grown);
            if (grown == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the correlations of %zu images", capacity);
            r->found[i][k] = grown;
        }
    r->capacity = capacity;
    return true;
}

/* Back from normalised values to the pixels they came from. */
static void luminance(const Dataset *d, const float *image, int32_t *grey) {
    static const int32_t share[3] = {299, 587, 114};
    const size_t         n = (size_t)d->height * (size_t)d->width;
    memset(grey, 0, n * sizeof *grey);
    for (int c = 0; c < d->channels; c++)
        for (size_t i = 0; i < n; i++)
            grey[i] += (d->channels == 3 ? share[c] : 1) * (int32_t)lround(((double)image[(size_t)c * n + i] * d->sd[c] + d->mean[c]) * 255);
}

static void add_image(DepthRelation *r, const Dataset *d, const float *image) {
    luminance(d, image, r->grey);
    depth_gradients(r->grey, d->height, d->width, r->side, r->by[BY_GRADIENT]);
    correlation_ranks(r->by[BY_GRADIENT], r->n_patches, r->order, r->by_rank[BY_GRADIENT]);
    correlation_ranks(r->depth, r->n_patches, r->order, r->depth_rank);
    for (int i = 0; i < N_BY; i++) {
        const double rho = correlation_pearson(r->depth_rank, r->by_rank[i], r->n_patches);
        if (isnan(rho)) continue;
        r->found[i][SPEARMAN][r->n[i]] = rho;
        r->found[i][PEARSON][r->n[i]]  = correlation_pearson(r->depth, r->by[i], r->n_patches);
        r->n[i]++;
    }
}

bool depth_relation_add(DepthRelation *r, const Dataset *d, const ModelOutput *y, const float *images, int64_t B, Error *err) {
    const int n_patches = y->n_tokens - y->n_prefix, side = depth_grid_side(n_patches);
    if (y->depth == NULL || side == 0) return true;        /* all alike, or not laid out over the image */
    if (r->n_patches == 0 && !prepare(r, d, n_patches, side, err)) return false;
    CHECK(n_patches == r->n_patches, "depths of %d patches after those of %d", n_patches, r->n_patches);
    if (!grow(r, (size_t)B, err)) return false;
    for (int64_t b = 0; b < B; b++) {
        for (int i = 0; i < n_patches; i++) r->depth[i] = y->depth[b * y->n_tokens + y->n_prefix + i];
        add_image(r, d, images + b * d->channels * d->height * d->width);
    }
    return true;
}

static void put(JsonSink *into, const char *by, const char *how, const char *end, double value) {
    char key[64];
    snprintf(key, sizeof key, "%s_%s%s", by, how, end);
    if (isnan(value)) json_put_missing(into, key, "not_supported");
    else              json_put_number(into, key, value);
}

bool depth_relation_put(const DepthRelation *r, JsonSink *into, Error *err) {
    for (int i = 0; i < N_BY; i++) {
        char key[64];
        for (int k = 0; k < N_HOW; k++) {
            Stats s = {.median = NAN, .median_low = NAN, .median_high = NAN};
            if (r->n[i] > 0 && !stats_summarise(&s, r->found[i][k], r->n[i], err)) return false;
            put(into, by_name[i], how_name[k], "", s.median);
            put(into, by_name[i], how_name[k], "_low", s.median_low);
            put(into, by_name[i], how_name[k], "_high", s.median_high);
        }
        snprintf(key, sizeof key, "%s_images_count", by_name[i]);
        json_put_count(into, key, (int64_t)r->n[i]);
    }
    json_put_text(into, "correlation_interval_method", STATS_INTERVAL_METHOD);
    json_put_text(into, "correlation_interval_level", "image");
    return true;
}

bool depth_relation_print(const DepthRelation *r, Error *err) {
    static const char *const title[N_BY] = {"depth and gradient", "depth and distance"};
    for (int i = 0; i < N_BY; i++) {
        Stats s;
        if (r->n[i] == 0) continue;
        if (!stats_summarise(&s, r->found[i][SPEARMAN], r->n[i], err)) return false;
        printf("%-22s Spearman %+.3f [%+.3f, %+.3f], median over %zu images\n", title[i], s.median, s.median_low, s.median_high, s.n);
    }
    return true;
}
