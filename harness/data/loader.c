/* Batches made ahead by threads of their own, in the order asked for (loader.h). */
#include "harness/data/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_AHEAD = 2, MAX_THREADS = 256, MAX_CLAIM = 16 };
static const int64_t DEFAULT_CACHE_BYTES = (int64_t)256 << 20;

/* No machine has it: asked for by a typing error, and refused before an allocator that overcommits agrees. */
static const size_t MAX_BATCH_BYTES = (size_t)1 << 40;

/* One batch being made or read. Slot b % n_slots holds batch b. */
typedef struct Slot {
    float   *images;
    int32_t *labels;
    int64_t *ids;
    int      n_images, n_left;            /* n_left: not made yet */
    int64_t  failed_at;                   /* position in the batch of the earliest failure; -1: none */
    Error    error;
} Slot;

typedef enum Cached { CACHE_EMPTY, CACHE_FILLING, CACHE_FULL } Cached;

struct Loader {
    const Dataset *data;
    LoaderOptions  options;
    size_t         image_bytes;           /* H*W*C */
    float          table[3 * 256];
    uint8_t       *cache;                 /* (n_images, image_bytes) or NULL */
    int32_t       *cache_label;
    _Atomic(uint8_t) *cache_state;        /* Cached */
    Slot          *slots;
    int            n_slots;
    uint8_t       *own_pixels;            /* the caller's workspace, image_bytes */
    LoaderBatch    batch;                 /* what the caller holds */

    /* the epoch; written only while no thread works */
    int64_t       *order, order_room, n_order, n_batches, epoch;        /* order: entries */

    /* under lock */
    pthread_mutex_t lock;
    pthread_cond_t  work, made, idle;
    int64_t         next_image;           /* first position not claimed */
    int64_t         next_batch;           /* the one loader_next gives */
    int64_t         n_released;           /* batches the caller is done with */
    int             n_busy;
    bool            cancelled, stopping;

    pthread_t      *threads;
    uint8_t       **workspace;            /* per thread, image_bytes */
    int             n_threads;            /* running */
};

void loader_table(const float mean[], const float sd[], int channels, float table[]) {
    for (int c = 0; c < channels; c++)
        for (int v = 0; v < 256; v++) table[c * 256 + v] = ((float)v / 255.0f - mean[c]) / sd[c];
}

void loader_normalise(const uint8_t *pixels, int height, int width, int channels, const float table[], float *image) {
    const size_t n = (size_t)height * (size_t)width;
    for (int c = 0; c < channels; c++) {
        const float *of   = table + c * 256;
        float       *to   = image + (size_t)c * n;
        const uint8_t *from = pixels + c;
        for (size_t i = 0; i < n; i++) to[i] = of[from[i * (size_t)channels]];
    }
}

/* ---- one image ---- */

/* Pixels and label of an image, from the cache when it is there; the first thread to come by fills it. */
static bool fetch(Loader *l, int64_t id, uint8_t *pixels, int *label, Error *err) {
    if (l->cache == NULL) return dataset_read(l->data, id, pixels, label, err);
    uint8_t *cached = l->cache + (size_t)id * l->image_bytes;
    if (atomic_load_explicit(&l->cache_state[id], memory_order_acquire) == CACHE_FULL) {
        memcpy(pixels, cached, l->image_bytes);
        *label = l->cache_label[id];
        return true;
    }
    if (!dataset_read(l->data, id, pixels, label, err)) return false;
    uint8_t empty = CACHE_EMPTY;
    if (atomic_compare_exchange_strong(&l->cache_state[id], &empty, (uint8_t)CACHE_FILLING)) {
        memcpy(cached, pixels, l->image_bytes);
        l->cache_label[id] = *label;
        atomic_store_explicit(&l->cache_state[id], (uint8_t)CACHE_FULL, memory_order_release);
    }
    return true;
}

/* Pixels and label of a part of the decoded image. */
static bool fetch_crop(Loader *l, int64_t id, uint8_t *pixels, int *label, Error *err) {
    Image   image;
    CropBox box;
    if (!dataset_view(l->data, order_image(id), &image, label, err)) return false;
    l->options.crop(l->options.transform_self, image.height, image.width, id, l->epoch, &box);
    const bool ok = resize_crop(&image, &box, l->data->height, l->data->width, pixels, err);
    image_free(&image);
    return ok;
}

static bool make_image(Loader *l, int64_t position, uint8_t *pixels, Error *err) {
    const LoaderOptions *o = &l->options;
    const Dataset *d     = l->data;
    const int      h     = d->height, w = d->width, c = d->channels;
    const int64_t  B     = o->batch_size, id = l->order[position], i = position % B;
    Slot          *s     = &l->slots[position / B % l->n_slots];
    float         *image = s->images + (size_t)i * l->image_bytes;
    int            label;
    if (!(o->crop != NULL ? fetch_crop(l, id, pixels, &label, err) : fetch(l, order_image(id), pixels, &label, err))) return false;
    if (o->transform != NULL) o->transform(o->transform_self, pixels, h, w, c, id, l->epoch);
    /* until the image is written its floats are working memory, four times what is asked for */
    if (o->distort != NULL) o->distort(o->transform_self, pixels, (uint8_t *)image, h, w, c, id, l->epoch);
    loader_normalise(pixels, h, w, c, l->table, image);
    if (o->finish != NULL) o->finish(o->transform_self, image, c, h, w, id, l->epoch);
    s->labels[i] = label;
    s->ids[i]    = id;
    return true;
}

/* ---- threads ---- */

static void slot_prepare(Loader *l, int64_t batch) {
    const int64_t B = l->options.batch_size, rest = l->n_order - batch * B;
    Slot *s = &l->slots[batch % l->n_slots];
    s->n_images = s->n_left = (int)(rest < B ? rest : B);
    s->failed_at = -1;
}

/* Claims up to MAX_CLAIM images of one batch; waits for a free slot. False: the thread is to end. Under lock. */
static bool claim(Loader *l, int64_t *from, int64_t *end) {
    const int64_t B = l->options.batch_size;
    for (;;) {
        if (l->stopping) return false;
        const int64_t batch = l->next_image / B;
        if (!l->cancelled && batch < l->n_batches && batch < l->n_released + l->n_slots) break;
        pthread_cond_wait(&l->work, &l->lock);
    }
    const int64_t batch = l->next_image / B;
    if (l->next_image % B == 0) slot_prepare(l, batch);
    const int64_t batch_end = batch * B + l->slots[batch % l->n_slots].n_images;
    int64_t n = B / (4 * l->n_threads) + 1;            /* small enough that all threads share a batch */
    if (n > MAX_CLAIM) n = MAX_CLAIM;
    *from = l->next_image;
    *end  = *from + n < batch_end ? *from + n : batch_end;
    l->next_image = *end == l->n_order ? l->n_batches * B : *end;
    return true;
}

static void remember_failure(Slot *s, int64_t i, const Error *error) {
    if (s->failed_at >= 0 && s->failed_at <= i) return;
    s->failed_at = i;
    s->error     = *error;
}

typedef struct Worker { Loader *l; uint8_t *pixels; } Worker;

static void *work(void *argument) {
    Worker   worker = *(Worker *)argument;
    Loader  *l      = worker.l;
    int64_t  from, end;
    free(argument);
    pthread_mutex_lock(&l->lock);
    while (claim(l, &from, &end)) {
        const int64_t B = l->options.batch_size;
        Slot   *s         = &l->slots[from / B % l->n_slots];
        Error   error     = {0};
        int64_t failed_at = -1;
        l->n_busy++;
        pthread_mutex_unlock(&l->lock);
        for (int64_t p = from; p < end && failed_at < 0; p++)
            if (!make_image(l, p, worker.pixels, &error)) failed_at = p % B;
        pthread_mutex_lock(&l->lock);
        l->n_busy--;
        if (failed_at >= 0) remember_failure(s, failed_at, &error);
        s->n_left -= (int)(end - from);
        if (s->n_left == 0) pthread_cond_signal(&l->made);
        if (l->n_busy == 0) pthread_cond_signal(&l->idle);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Gives up the epoch; on return no thread touches order or slots. */
static void quiesce(Loader *l) {
    pthread_mutex_lock(&l->lock);
    l->cancelled = true;
    while (l->n_busy > 0) pthread_cond_wait(&l->idle, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

static bool start_threads(Loader *l, int n, Error *err) {
    sigset_t all, before;
    bool     ok = true;
    l->threads   = calloc((size_t)n, sizeof *l->threads);
    l->workspace = calloc((size_t)n, sizeof *l->workspace);
    if (l->threads == NULL || l->workspace == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %d threads", n);
    sigfillset(&all);                      /* signals belong to the caller's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&l->lock);          /* n_threads is read by those that run already */
    for (int i = 0; ok && i < n; i++) {
        Worker *worker  = malloc(sizeof *worker);
        l->workspace[i] = malloc(l->image_bytes);
        if (worker == NULL || l->workspace[i] == NULL) {
            ok = FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes for a loader thread", l->image_bytes);
        } else {
            *worker = (Worker){l, l->workspace[i]};
            const int status = pthread_create(&l->threads[i], NULL, work, worker);
            if (status != 0)
                ok = FAIL_STATUS(err, EXIT_MACHINE, "", "cannot start loader thread %d: %s", i + 1, strerror(status));
        }
        if (ok) l->n_threads++;
        else free(worker);
    }
    pthread_mutex_unlock(&l->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

/* ---- the interface ---- */

static bool allocate_slots(Loader *l, Error *err) {
    const size_t B = (size_t)l->options.batch_size;
    size_t       n_floats;
    l->slots      = calloc((size_t)l->n_slots, sizeof *l->slots);
    l->own_pixels = malloc(l->image_bytes);
    bool ok = l->slots != NULL && l->own_pixels != NULL && !__builtin_mul_overflow(B, l->image_bytes, &n_floats) &&
              n_floats <= MAX_BATCH_BYTES / sizeof(float);
    for (int i = 0; ok && i < l->n_slots; i++) {
        Slot *s = &l->slots[i];
        const size_t bytes = n_floats * sizeof(float);
        s->images = aligned_alloc(64, (bytes + 63) / 64 * 64);
        s->labels = calloc(B, sizeof *s->labels);
        s->ids    = calloc(B, sizeof *s->ids);
        ok = s->images != NULL && s->labels != NULL && s->ids != NULL;
    }
    return ok ? true : FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %d batches of %zu images of %zu bytes", l->n_slots, B,
                                   l->image_bytes * sizeof(float));
}

/* Keeping decoded pixels is a convenience: without memory for it the loader decodes every time. */
static void allocate_cache(Loader *l) {
    const int64_t limit = l->options.cache_bytes == 0 ? DEFAULT_CACHE_BYTES : l->options.cache_bytes;
    const int64_t n     = l->data->n_images;
    const bool    plain = l->data->in_memory && l->data->preprocess.geometry == GEOMETRY_NATIVE;
    if (plain || l->options.crop != NULL || limit < 0 || n > limit / (int64_t)l->image_bytes) return;
    l->cache       = malloc((size_t)n * l->image_bytes);
    l->cache_label = malloc((size_t)n * sizeof *l->cache_label);
    l->cache_state = calloc((size_t)n, sizeof *l->cache_state);
    if (l->cache == NULL || l->cache_label == NULL || l->cache_state == NULL) {
        free(l->cache);
        l->cache = NULL;
    }
}

bool loader_create(Loader **out, const Dataset *d, const LoaderOptions *options, Error *err) {
    *out = NULL;
    if (options->batch_size < 1) return FAIL(err, "/train/batch_size", "must be at least 1, got %d", options->batch_size);
    if (options->n_threads < 0 || options->n_threads > MAX_THREADS)
        return FAIL(err, "/data/threads", "must be in [0, %d], got %d", MAX_THREADS, options->n_threads);
    if (options->n_ahead < 0 || options->n_ahead > 1024)
        return FAIL(err, "/data/ahead", "must be in [0, 1024], got %d", options->n_ahead);
    Loader *l = calloc(1, sizeof *l);
    if (l == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", sizeof *l);
    l->data        = d;
    l->options     = *options;
    l->image_bytes = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
    l->cancelled   = true;
    /* the batch in the caller's hands takes a slot of its own */
    l->n_slots = options->n_threads == 0 ? 1 : (options->n_ahead > 0 ? options->n_ahead : DEFAULT_AHEAD) + 1;
    loader_table(d->mean, d->sd, d->channels, l->table);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->made, NULL);
    pthread_cond_init(&l->idle, NULL);
    allocate_cache(l);
    if (!allocate_slots(l, err) || (options->n_threads > 0 && !start_threads(l, options->n_threads, err))) {
        loader_destroy(l);
        return false;
    }
    *out = l;
    return true;
}

void loader_destroy(Loader *l) {
    if (l == NULL) return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n_threads; i++) pthread_join(l->threads[i], NULL);
    for (int i = 0; l->workspace != NULL && i < l->options.n_threads; i++) free(l->workspace[i]);
    for (int i = 0; l->slots != NULL && i < l->n_slots; i++) {
        free(l->slots[i].images);
        free(l->slots[i].labels);
        free(l->slots[i].ids);
    }
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->made);
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->lock);
    free(l->threads);
    free(l->workspace);
    free(l->slots);
    free(l->own_pixels);
    free(l->order);
    free(l->cache);
    free(l->cache_label);
    free(l->cache_state);
    free(l);
}

bool loader_start(Loader *l, const int64_t order[], int64_t n, int64_t epoch, Error *err) {
    const int64_t B = l->options.batch_size;
    CHECK(n >= 0, "an epoch of %lld images", (long long)n);
    for (int64_t i = 0; i < n; i++)
        CHECK(order[i] >= 0 && order_image(order[i]) < l->data->n_images, "order[%lld] is %lld of %lld images", (long long)i,
              (long long)order_image(order[i]), (long long)l->data->n_images);
    quiesce(l);
    l->n_batches = l->next_batch = 0;
    if (n > l->order_room) {
        free(l->order);
        l->order_room = 0;
        l->order      = malloc((size_t)n * sizeof *l->order);
        if (l->order == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate the order of %lld images", (long long)n);
        l->order_room = n;
    }
    if (n > 0) memcpy(l->order, order, (size_t)n * sizeof *order);
    pthread_mutex_lock(&l->lock);
    l->n_batches  = l->options.drop_last ? n / B : n / B + (n % B != 0);
    l->n_order    = l->options.drop_last ? l->n_batches * B : n;
    l->epoch      = epoch;
    l->next_image = 0;
    l->n_released = 0;
    l->cancelled  = false;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return true;
}

/* Without threads: the whole batch, here and now. */
static void make_batch(Loader *l) {
    Slot *s = &l->slots[0];
    Error error = {0};
    slot_prepare(l, l->next_batch);
    for (int i = 0; i < s->n_images && s->failed_at < 0; i++)
        if (!make_image(l, l->next_batch * l->options.batch_size + i, l->own_pixels, &error)) remember_failure(s, i, &error);
}

static void wait_for_batch(Loader *l) {
    pthread_mutex_lock(&l->lock);
    if (l->n_released < l->next_batch) {   /* the batch the caller held is free again */
        l->n_released = l->next_batch;
        pthread_cond_broadcast(&l->work);
    }
    /* a slot is prepared when its first image is claimed; before that it still shows the batch it held */
    const Slot *s = &l->slots[l->next_batch % l->n_slots];
    while (l->next_image <= l->next_batch * l->options.batch_size || s->n_left > 0) pthread_cond_wait(&l->made, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

bool loader_next(Loader *l, const LoaderBatch **batch, Error *err) {
    *batch = NULL;
    if (l->next_batch >= l->n_batches) return true;
    if (l->n_threads == 0) make_batch(l);
    else wait_for_batch(l);
    const Slot *s = &l->slots[l->next_batch % l->n_slots];
    if (s->failed_at >= 0) {
        if (err != NULL) *err = s->error;
        quiesce(l);
        l->n_batches = 0;
        return false;
    }
    l->batch = (LoaderBatch){.n_images = s->n_images, .index = l->next_batch, .images = s->images, .labels = s->labels,
                             .ids = s->ids};
    l->next_batch++;
    *batch = &l->batch;
    return true;
}

int64_t loader_n_batches(const Loader *l) { return l->n_batches; }
