/* Depths of tokens over a data set: loads, positions, dead positions in blocks of 500 images (depth_record.h). */
#include "harness/measure/depth_record.h"

#include "engine/safetensors.h"
#include "harness/measure/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEAD_BLOCK = 500, MOST_DEPTH = 512, MOST_KEPT = 255 };

struct DepthRecord {
    int      n_tokens, n_prefix, max_depth;
    int64_t  n_images;
    int64_t  load[MOST_DEPTH + 1];       /* patches by depth */
    int64_t *sum, *deepest, *block;      /* (n_tokens) sum of depths; images that reached the last step; those of the block in hand */
    double  *mean;                       /* (n_tokens) */
    int64_t  n_in_block, n_blocks, dead; /* dead positions over whole blocks */
    double   image_mean, image_m2;       /* Welford, of the mean depth of an image */
    double  *image_depth;                /* (n_images) mean depth of its patches */
    bool     keeps;
    uint8_t *kept;                       /* (n_images, n_tokens) */
    int64_t  capacity;                   /* images, of both */
};

bool depth_record_create(DepthRecord **out, Error *err) {
    *out = calloc(1, sizeof **out);
    return *out != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the depths of tokens");
}

void depth_record_destroy(DepthRecord *r) {
    if (r == NULL) return;
    free(r->sum);
    free(r->deepest);
    free(r->block);
    free(r->mean);
    free(r->image_depth);
    free(r->kept);
    free(r);
}

void depth_record_keep(DepthRecord *r) { r->keeps = true; }

static bool prepare(DepthRecord *r, const ModelOutput *y, Error *err) {
    const size_t n = (size_t)y->n_tokens;
    CHECK(y->max_depth <= MOST_DEPTH, "a depth of %d", y->max_depth);
    if (r->keeps && y->max_depth > MOST_KEPT) return FAIL(err, "", "depths of images are kept up to %d, this model's go up to %d", MOST_KEPT, y->max_depth);
    r->n_tokens  = y->n_tokens;
    r->max_depth = y->max_depth;
    r->n_prefix  = y->n_prefix;
    r->sum       = calloc(n, sizeof *r->sum);
    r->deepest   = calloc(n, sizeof *r->deepest);
    r->block     = calloc(n, sizeof *r->block);
    r->mean      = calloc(n, sizeof *r->mean);
    return (r->sum != NULL && r->deepest != NULL && r->block != NULL && r->mean != NULL)
        || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the depths of %d tokens", y->n_tokens);
}

static int dead_positions(const DepthRecord *r) {
    int dead = 0;
    for (int i = r->n_prefix; i < r->n_tokens; i++) dead += r->block[i] == 0;
    return dead;
}

static bool room_for_image(DepthRecord *r, Error *err) {
    if (r->n_images < r->capacity) return true;
    const int64_t capacity = r->capacity > 0 ? 2 * r->capacity : 1024;
    double       *depths   = realloc(r->image_depth, (size_t)capacity * sizeof *depths);
    if (depths != NULL) r->image_depth = depths;
    uint8_t *kept = r->keeps ? realloc(r->kept, (size_t)capacity * (size_t)r->n_tokens) : NULL;
    if (kept != NULL) r->kept = kept;
    if (depths == NULL || (r->keeps && kept == NULL)) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the depths of %lld images", (long long)capacity);
    r->capacity = capacity;
    return true;
}

bool depth_record_add(DepthRecord *r, const ModelOutput *y, int64_t B, Error *err) {
    if (r->n_tokens == 0 && !prepare(r, y, err)) return false;
    CHECK(y->n_tokens == r->n_tokens && y->max_depth == r->max_depth, "depths of %d tokens after those of %d", y->n_tokens, r->n_tokens);
    for (int64_t b = 0; b < B; b++) {
        double  depth = 0;            /* summed as ever: results of earlier versions keep their spread to the last bit */
        int64_t total = 0;
        if (!room_for_image(r, err)) return false;
        for (int i = 0; i < r->n_tokens; i++) {
            const int32_t d = y->depth != NULL ? y->depth[b * r->n_tokens + i] : y->max_depth;
            CHECK(d >= 0 && d <= r->max_depth, "a token has depth %d of %d", d, r->max_depth);
            r->sum[i] += d;
            r->deepest[i] += d == r->max_depth;
            r->block[i] += d == r->max_depth;
            if (i >= r->n_prefix) r->load[d]++;
            if (i >= r->n_prefix) total += d;
            if (i >= r->n_prefix) depth += (double)d / (r->n_tokens - r->n_prefix);
            if (r->keeps) r->kept[r->n_images * r->n_tokens + i] = (uint8_t)d;
        }
        r->image_depth[r->n_images++] = (double)total / (r->n_tokens - r->n_prefix);
        const double off = depth - r->image_mean;
        r->image_mean += off / (double)r->n_images;
        r->image_m2   += off * (depth - r->image_mean);
        if (++r->n_in_block == DEAD_BLOCK) {
            r->dead += dead_positions(r);
            r->n_blocks++;
            r->n_in_block = 0;
            memset(r->block, 0, (size_t)r->n_tokens * sizeof *r->block);
        }
    }
    return true;
}

DepthSummary depth_record_summary(const DepthRecord *r) {
    DepthSummary  s = {.image_depth_sd = r->n_images > 1 ? sqrt(r->image_m2 / (double)(r->n_images - 1)) : NAN};
    const double  n_positions = r->n_tokens - r->n_prefix;
    double        total = 0, most = 0;
    int           always = 0, never = 0;
    for (int d = 1; d <= r->max_depth; d++) {
        total += (double)r->load[d];
        most   = fmax(most, (double)r->load[d]);
    }
    for (int d = 1; d <= r->max_depth; d++)
        if (r->load[d] > 0) s.entropy_nats -= (double)r->load[d] / total * log((double)r->load[d] / total);
    s.max_violation_ratio = total > 0 ? most * r->max_depth / total - 1 : NAN;
    for (int i = r->n_prefix; i < r->n_tokens; i++) {
        always += r->deepest[i] == r->n_images;
        never  += r->deepest[i] == 0;
    }
    s.always_ratio = n_positions > 0 ? always / n_positions : NAN;
    s.never_ratio  = n_positions > 0 ? never / n_positions : NAN;
    s.dead_ratio   = n_positions <= 0 ? NAN : r->n_blocks > 0 ? (double)r->dead / (double)r->n_blocks / n_positions : dead_positions(r) / n_positions;
    return s;
}

const double *depth_record_positions(DepthRecord *r, int *n_tokens) {
    for (int i = 0; i < r->n_tokens; i++) r->mean[i] = (double)r->sum[i] / (double)r->n_images;
    *n_tokens = r->n_tokens;
    return r->mean;
}

int64_t depth_record_images(const DepthRecord *r) { return r->n_images; }

double depth_record_image_depth(const DepthRecord *r, int64_t i) { return r->image_depth[i]; }

const uint8_t *depth_record_patches(const DepthRecord *r, int64_t i, int *n_patches, int *max_depth) {
    CHECK(r->kept != NULL && i >= 0 && i < r->n_images, "depths of image %lld of %lld", (long long)i, (long long)r->n_images);
    *n_patches = r->n_tokens - r->n_prefix;
    *max_depth = r->max_depth;
    return r->kept + i * r->n_tokens + r->n_prefix;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Least, quartiles and most of the images' mean depths. */
static bool put_quartiles(const DepthRecord *r, JsonSink *into, Error *err) {
    JsonSink     list;
    const size_t n = (size_t)r->n_images;
    double      *sorted = malloc(n * sizeof *sorted + 1);
    if (sorted == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the depths of %zu images", n);
    if (n > 0) memcpy(sorted, r->image_depth, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, ascending);
    json_put_array(into, "image_mean_depth_quartiles_count", &list);
    for (int q = 0; n > 0 && q <= 4; q++) json_put_number(&list, NULL, stats_quantile(sorted, n, 0.25 * q));
    free(sorted);
    return true;
}

bool depth_record_put(DepthRecord *r, JsonSink *into, Error *err) {
    const DepthSummary s = depth_record_summary(r);
    JsonSink           list;
    int                n;
    const double      *mean = depth_record_positions(r, &n);
    json_put_number(into, "entropy_nats", s.entropy_nats);
    json_put_number(into, "max_violation_ratio", s.max_violation_ratio);
    json_put_number(into, "dead_positions_ratio", s.dead_ratio);
    json_put_number(into, "always_chosen_positions_ratio", s.always_ratio);
    json_put_number(into, "never_chosen_positions_ratio", s.never_ratio);
    json_put_number(into, "image_mean_depth_sd_count", s.image_depth_sd);
    json_put_array(into, "position_mean_depth_count", &list);
    for (int i = 0; i < n; i++) json_put_number(&list, NULL, mean[i]);
    return put_quartiles(r, into, err);
}

/* (images, max_depth + 1): how many tokens of each image had which depth. */
static int32_t *histograms(const DepthRecord *r) {
    const int64_t n_depths = r->max_depth + 1;
    int32_t      *count    = calloc((size_t)(r->n_images * n_depths) + 1, sizeof *count);
    for (int64_t i = 0; count != NULL && i < r->n_images * r->n_tokens; i++) count[i / r->n_tokens * n_depths + r->kept[i]]++;
    return count;
}

bool depth_record_save(const DepthRecord *r, const char *path, Error *err) {
    SafeWriter *w     = NULL;
    bool        ok    = r->kept != NULL || FAIL(err, "", "the depths of images were not kept");
    int32_t    *count = ok ? histograms(r) : NULL;
    if (ok && count == NULL) ok = FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the histograms of %lld images", (long long)r->n_images);
    ok = ok && safe_writer_create(&w, err) && safe_writer_add(w, "depth", SAFE_U8, 2, (int64_t[]){r->n_images, r->n_tokens}, r->kept, err)
      && safe_writer_add(w, "histogram", SAFE_I32, 2, (int64_t[]){r->n_images, r->max_depth + 1}, count, err) && safe_writer_save(w, path, NULL, err);
    safe_writer_destroy(w);
    free(count);
    return ok || error_in(err, path);
}
