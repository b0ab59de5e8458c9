/* Reading and writing a teacher's sparse labels (sparse_labels.h). */
#include "harness/data/sparse_labels.h"

#include "engine/digest.h"
#include "engine/file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = FIELD_TEXT_MAX + 128, RANKS_MAX = 4096 };

static size_t record_bytes(int K) { return 4 + 4 * (size_t)K; }

/* ---- numbers ---- */

uint16_t sparse_half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)  return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);                     /* 65520 and above round to infinity */
    if (magnitude < 0x38800000)                                                        /* below 2^-14: multiples of 2^-24 */
        return (uint16_t)(sign | (uint32_t)nearbyintf(fabsf(x) * 0x1p24f));
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
}

float sparse_float_of(uint16_t half) {
    const int   exponent = half >> 10 & 31, fraction = half & 1023;
    const float size = exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                     : exponent == 0 ? ldexpf((float)fraction, -24) : ldexpf((float)(1024 + fraction), exponent - 25);
    return half & 0x8000 ? -size : size;
}

static uint16_t read_16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }
static void write_16(uint8_t *at, uint16_t x) {
    at[0] = (uint8_t)x;
    at[1] = (uint8_t)(x >> 8);
}

/* ---- packages ---- */

static int by_key(const void *a, const void *b) {
    const SparseEntry *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->classes < y->classes ? -1 : x->classes > y->classes;
}

/* seen (n_classes): the last record that had a class */
static bool check_record(const SparseEntry *e, int K, int n_classes, int64_t line, int64_t *seen, Error *err) {
    double sum = 0;
    float  last = INFINITY;
    for (int k = 0; k < K; k++) {
        const int   c = (int16_t)read_16(e->classes + 2 * k);
        const float p = sparse_float_of(read_16(e->probabilities + 2 * k));
        if (c < 0 || c >= n_classes) return FAIL(err, "", "record %" PRId64 " has class %d, must be in [0, %d]", line, c, n_classes - 1);
        if (seen[c] == line) return FAIL(err, "", "record %" PRId64 " has class %d twice", line, c);
        seen[c] = line;
        if (!(p >= 0 && p <= 1)) return FAIL(err, "", "record %" PRId64 " has a probability of %g, must be in [0, 1]", line, (double)p);
        if (p > last) return FAIL(err, "", "record %" PRId64 " is not sorted: %g after %g", line, (double)p, (double)last);
        last = p;
        sum += (double)p;
    }
    /* each is rounded by at most 2^-11 of itself */
    return sum <= 1.001 || FAIL(err, "", "record %" PRId64 " has probabilities that sum to %g", line, sum);
}

int64_t sparse_parse(const char *keys, size_t n_keys, const uint8_t *values, size_t n_values, int K, int n_classes, SparseEntry **entry, Error *err) {
    const size_t each = record_bytes(K), n = n_values / each;
    size_t       at = 0;
    int64_t      line = 0;
    *entry = NULL;
    if (n_values % each != 0) {
        FAIL(err, "", "%zu bytes are no whole number of records of %zu, which top %d has", n_values, each, K);
        return -1;
    }
    SparseEntry *list = malloc((n + 1) * sizeof *list);
    int64_t     *seen = calloc((size_t)n_classes + 1, sizeof *seen);
    if (list == NULL || seen == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu records", n);
        goto failed;
    }
    while (at < n_keys) {
        const char  *text = keys + at, *newline = memchr(text, '\n', n_keys - at);
        const size_t length = newline != NULL ? (size_t)(newline - text) : n_keys - at;
        int64_t      key = 0;
        at += length + (newline != NULL);
        line++;
        bool digits = length >= 1 && length <= 18;
        for (size_t i = 0; digits && i < length; i++) {
            digits = text[i] >= '0' && text[i] <= '9';
            key    = 10 * key + (text[i] - '0');
        }
        if (!digits) {
            FAIL(err, "", "line %" PRId64 " of the keys is no number of an image", line);
            goto failed;
        }
        if ((size_t)line > n) {
            FAIL(err, "", "more keys than the %zu records", n);
            goto failed;
        }
        const uint8_t *record = values + (size_t)(line - 1) * each;
        SparseEntry    e = {.key = key, .classes = record + 4, .probabilities = record + 4 + 2 * (size_t)K};
        e.seed = (int32_t)((uint32_t)read_16(record) | (uint32_t)read_16(record + 2) << 16);
        if (!check_record(&e, K, n_classes, line, seen, err)) goto failed;
        list[line - 1] = e;
    }
    if ((size_t)line != n) {
        FAIL(err, "", "%" PRId64 " keys for %zu records", line, n);
        goto failed;
    }
    *entry = list;
    free(seen);
    return line;
failed:
    free(seen);
    free(list);
    return -1;
}

void sparse_expand(const SparseEntry *e, int K, int n_classes, float *row) {
    double sum = 0;
    for (int k = 0; k < K; k++) sum += (double)sparse_float_of(read_16(e->probabilities + 2 * k));
    const double rest = K < n_classes && sum < 1 ? (1 - sum) / (n_classes - K) : 0, all = sum + rest * (n_classes - K);
    /* rounded sums above 1, and all classes stored: brought to 1 */
    const double factor = all > 0 ? 1 / all : 0;
    for (int c = 0; c < n_classes; c++) row[c] = (float)(all > 0 ? rest * factor : 1.0 / n_classes);
    for (int k = 0; all > 0 && k < K; k++)
        row[read_16(e->classes + 2 * k)] = (float)(factor * (double)sparse_float_of(read_16(e->probabilities + 2 * k)));
}

/* ---- writing ---- */

struct SparseWriter {
    FileWriter *keys, *values;
    uint8_t    *record;
    int        *order;                             /* (K) classes, likeliest first */
    int         K;
};

bool sparse_writer_open(SparseWriter **out, const char *dir, int K, int64_t epoch, Error *err) {
    char          path[PATH_BYTES], file[PATH_BYTES + 32];
    SparseWriter *w = calloc(1, sizeof *w);
    CHECK(K >= 1 && K <= SPARSE_CLASSES_MAX, "top %d classes", K);
    if (w == NULL || (w->record = malloc(record_bytes(K))) == NULL || (w->order = malloc((size_t)K * sizeof *w->order)) == NULL) {
        sparse_writer_close(w);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to write labels");
    }
    w->K = K;
    if (snprintf(path, sizeof path, "%s/logits_top%d_epoch%" PRId64, dir, K, epoch) >= (int)sizeof path) {
        sparse_writer_close(w);
        return FAIL(err, "", "%.40s...: too long a name of a directory", dir);
    }
    bool ok = file_make_dirs(path, err);
    snprintf(file, sizeof file, "%s/rank0-keys.txt", path);
    ok = ok && file_writer_open(&w->keys, file, err);
    snprintf(file, sizeof file, "%s/rank0-values.bin", path);
    ok = ok && file_writer_open(&w->values, file, err);
    if (!ok) {
        sparse_writer_close(w);
        return false;
    }
    *out = w;
    return true;
}

bool sparse_writer_add(SparseWriter *w, int64_t key, int32_t seed, const double *probability, int n_classes, Error *err) {
    char line[32];
    CHECK(n_classes >= w->K && n_classes <= SPARSE_CLASSES_MAX, "top %d of %d classes", w->K, n_classes);
    int n = 0;                                     /* insertion into a list of K: few classes, or few of them large */
    for (int c = 0; c < n_classes; c++) {
        int at = n;
        if (n == w->K && !(probability[c] > probability[w->order[n - 1]])) continue;
        if (n < w->K) n++;
        else          at = n - 1;
        for (; at > 0 && probability[c] > probability[w->order[at - 1]]; at--) w->order[at] = w->order[at - 1];
        w->order[at] = c;
    }
    write_16(w->record, (uint16_t)(uint32_t)seed);
    write_16(w->record + 2, (uint16_t)((uint32_t)seed >> 16));
    for (int k = 0; k < w->K; k++) {
        write_16(w->record + 4 + 2 * k, (uint16_t)w->order[k]);
        write_16(w->record + 4 + 2 * (w->K + k), sparse_half_of((float)probability[w->order[k]]));
    }
    const int length = snprintf(line, sizeof line, "%" PRId64 "\n", key);
    return file_writer_append(w->keys, line, (size_t)length, err) && file_writer_append(w->values, w->record, record_bytes(w->K), err);
}

bool sparse_writer_commit(SparseWriter *w, Error *err) { return file_writer_commit(w->values, err) && file_writer_commit(w->keys, err); }

void sparse_writer_close(SparseWriter *w) {
    if (w == NULL) return;
    file_writer_close(w->keys);
    file_writer_close(w->values);
    free(w->record);
    free(w->order);
    free(w);
}

/* ---- reading ---- */

typedef struct Package { void *keys, *values; } Package;

struct SparseLabels {
    char         dir[FIELD_TEXT_MAX];
    int          K, n_classes;
    int32_t      seed;
    bool         same_every_epoch;
    int64_t      epoch;                            /* read; -1: none yet */
    Package      package[RANKS_MAX];
    int          n_packages;
    SparseEntry *entry;                            /* sorted by key */
    int64_t      n_entries;
};

static void forget_epoch(SparseLabels *l) {
    for (int r = 0; r < l->n_packages; r++) {
        free(l->package[r].keys);
        free(l->package[r].values);
    }
    free(l->entry);
    l->entry      = NULL;
    l->n_entries  = 0;
    l->n_packages = 0;
    l->epoch      = -1;
}

void sparse_labels_close(SparseLabels *l) {
    if (l == NULL) return;
    forget_epoch(l);
    free(l);
}

/* K of the directories there are; they must agree. */
static bool find_top(SparseLabels *l, Error *err) {
    DIR *d = opendir(l->dir);
    if (d == NULL) return FAIL_STATUS(err, file_exit_status(errno), "/train/sparse_labels", "%.300s: cannot open: %s", l->dir, strerror(errno));
    bool ok = true;
    for (const struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        int K, used = 0;
        if (sscanf(e->d_name, "logits_top%d_epoch%n", &K, &used) != 1 || used == 0) continue;
        if (l->K != 0 && l->K != K) ok = FAIL(err, "/train/sparse_labels", "%.300s holds labels of top %d and of top %d", l->dir, l->K, K);
        l->K = K;
    }
    closedir(d);
    if (ok && (l->K < 1 || l->K > l->n_classes))
        ok = l->K == 0 ? FAIL(err, "/train/sparse_labels", "%.300s holds no directory logits_top{K}_epoch{e}; `morbench labels` writes them", l->dir)
                       : FAIL(err, "/train/sparse_labels", "%.300s holds the top %d of more classes than the %d of the model", l->dir, l->K, l->n_classes);
    return ok;
}

static bool exists(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f != NULL) fclose(f);
    return f != NULL;
}

static bool read_rank(SparseLabels *l, const char *path, int rank, Error *err) {
    char         file[PATH_BYTES + 48];
    Package     *p = &l->package[l->n_packages];
    size_t       n_keys, n_values;
    SparseEntry *more = NULL;
    *p = (Package){0};
    snprintf(file, sizeof file, "%s/rank%d-keys.txt", path, rank);
    l->n_packages++;
    if (!file_read_all(file, SIZE_MAX, &p->keys, &n_keys, err)) return false;
    snprintf(file, sizeof file, "%s/rank%d-values.bin", path, rank);
    if (!file_read_all(file, SIZE_MAX, &p->values, &n_values, err)) return false;
    const int64_t n = sparse_parse(p->keys, n_keys, p->values, n_values, l->K, l->n_classes, &more, err);
    if (n < 0) return error_in(err, file);
    SparseEntry *all = realloc(l->entry, (size_t)(l->n_entries + n + 1) * sizeof *all);
    if (all != NULL) {
        memcpy(all + l->n_entries, more, (size_t)n * sizeof *more);
        l->entry      = all;
        l->n_entries += n;
    }
    free(more);
    return all != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %" PRId64 " records", l->n_entries + n);
}

static bool read_epoch(SparseLabels *l, int64_t epoch, Error *err) {
    char path[PATH_BYTES], file[PATH_BYTES + 48];
    forget_epoch(l);
    snprintf(path, sizeof path, "%s/logits_top%d_epoch%" PRId64, l->dir, l->K, epoch);
    for (int rank = 0; rank < RANKS_MAX; rank++) {
        snprintf(file, sizeof file, "%s/rank%d-keys.txt", path, rank);
        if (!exists(file)) break;
        if (!read_rank(l, path, rank, err)) return false;
    }
    if (l->n_packages == 0) return FAIL(err, "/train/sparse_labels", "%.380s/rank0-keys.txt is missing: no labels of epoch %" PRId64, path, epoch);
    qsort(l->entry, (size_t)l->n_entries, sizeof *l->entry, by_key);
    l->epoch = epoch;
    return true;
}

bool sparse_labels_open(SparseLabels **out, const TrainSettings *s, const LoaderOptions *o, int n_classes, Error *err) {
    *out = NULL;
    if (s->sparse_labels[0] == '\0') return true;
    if (s->augment.mixup > 0 || s->augment.cutmix > 0)
        return FAIL(err, "/train/sparse_labels", "needs mixup and cutmix to be 0: they blend labels of their own");
    if (n_classes > SPARSE_CLASSES_MAX) return FAIL(err, "/train/sparse_labels", "holds at most %d classes, the model has %d", SPARSE_CLASSES_MAX, n_classes);
    SparseLabels *l = calloc(1, sizeof *l);
    if (l == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for labels");
    l->n_classes        = n_classes;
    l->seed             = s->seed;
    l->epoch            = -1;
    l->same_every_epoch = o->crop == NULL && o->transform == NULL && o->distort == NULL && o->finish == NULL;
    snprintf(l->dir, sizeof l->dir, "%s", s->sparse_labels);
    if (!find_top(l, err)) {
        sparse_labels_close(l);
        return false;
    }
    *out = l;
    return true;
}

static const SparseEntry *entry_of(const SparseLabels *l, int64_t key) {
    int64_t low = 0, high = l->n_entries;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (l->entry[middle].key < key) low = middle + 1;
        else                            high = middle;
    }
    return low < l->n_entries && l->entry[low].key == key ? &l->entry[low] : NULL;
}

bool sparse_labels_batch(SparseLabels *l, int64_t epoch, const int64_t ids[], int n, float *soft, Error *err) {
    if (l->same_every_epoch) epoch = 0;
    if (epoch != l->epoch && !read_epoch(l, epoch, err)) return false;
    for (int b = 0; b < n; b++) {
        const SparseEntry *e = entry_of(l, ids[b]);
        if (e == NULL) return FAIL(err, "/train/sparse_labels", "%.300s has no label of image %" PRId64 " in epoch %" PRId64, l->dir, ids[b], epoch);
        if (!l->same_every_epoch && e->seed != l->seed)
            return FAIL(err, "/train/seed", "must be %d, which the labels of %.300s were made with, got %d", e->seed, l->dir, l->seed);
        sparse_expand(e, l->K, l->n_classes, soft + (int64_t)b * l->n_classes);
    }
    return true;
}

/* ---- identity ---- */

static int is_epoch(const struct dirent *e) {
    int       K, used = 0;
    long long epoch;
    return sscanf(e->d_name, "logits_top%d_epoch%lld%n", &K, &epoch, &used) == 2 && e->d_name[used] == '\0';
}

/* The files of one package to sum; *there: there is such a package. */
static bool add_rank(Sha256 *sum, const char *dir, const char *epoch, int rank, bool *there, Error *err) {
    static const char *const parts[] = {"keys.txt", "values.bin"};
    char file[PATH_BYTES + 320], digest[SHA256_TEXT_SIZE], line[512];
    for (int i = 0; i < 2; i++) {
        if (snprintf(file, sizeof file, "%s/%s/rank%d-%s", dir, epoch, rank, parts[i]) >= (int)sizeof file) return FAIL(err, "/train/sparse_labels", "%.200s...: too long a path", dir);
        if (i == 0 && !(*there = exists(file))) return true;
        if (!digest_sha256_file(file, digest, err)) return false;
        const int n = snprintf(line, sizeof line, "%.255s/rank%d-%s %s\n", epoch, rank, parts[i], digest);
        sha256_add(sum, line, (size_t)n);
    }
    return true;
}

bool sparse_labels_digest(const char *dir, char sha256[SHA256_TEXT_SIZE], Error *err) {
    struct dirent **epoch = NULL;
    Sha256         *sum   = NULL;
    const int       n     = scandir(dir, &epoch, is_epoch, alphasort);
    if (n < 0) return FAIL_STATUS(err, file_exit_status(errno), "/train/sparse_labels", "%.300s: cannot open: %s", dir, strerror(errno));
    bool ok = n > 0 || FAIL(err, "/train/sparse_labels", "%.300s holds no directory logits_top{K}_epoch{e}; `morbench labels` writes them", dir);
    ok = ok && sha256_create(&sum, err);
    for (int i = 0; ok && i < n; i++) {
        bool there = true;
        for (int rank = 0; ok && there && rank < RANKS_MAX; rank++) ok = add_rank(sum, dir, epoch[i]->d_name, rank, &there, err);
    }
    ok = ok && sha256_finish(sum, sha256, err);
    sha256_destroy(sum);
    for (int i = 0; i < n; i++) free(epoch[i]);
    free(epoch);
    return ok;
}
