/* A folder of photographs, as ImageNet is usually unpacked: DIR/<class>/NAME.jpg|jpeg|png (letters of either case), or the same
 * below DIR/train and DIR/test (or val), chosen by split. Classes are the folders in byte order of their names, images
 * those of a class in byte order. A folder of photographs without class folders is unlabelled: no classes, labels -1.
 *
 * Never guessed around: a class folder without images, folders inside class folders, photographs beside class folders, a split that
 * is missing while another is there, splits whose classes differ. Hidden files and files of other types are passed over. */
#include "engine/file.h"
#include "harness/data/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static const size_t MAX_FILE_BYTES = (size_t)128 << 20;

typedef struct Names {
    char **name;
    size_t n, room;
} Names;

typedef struct Folder {
    Names    classes, images;         /* images: "class/file", or "file" when unlabelled */
    int32_t *label;                   /* of each image */
    size_t   label_room;
    uint64_t *stamp;                  /* of each file when the folder was opened: inode, size, times */
    _Atomic(bool) *damaged;           /* each file: read past damage */
    uint64_t *hash;                   /* of each file's bytes; known once the digest was made, NULL before */
} Folder;

static void names_free(Names *names) {
    for (size_t i = 0; i < names->n; i++) free(names->name[i]);
    free(names->name);
    *names = (Names){0};
}

static bool names_add(Names *names, const char *folder, const char *name, Error *err) {
    if (names->n == names->room) {
        const size_t room   = names->room == 0 ? 64 : names->room * 2;
        char       **larger = realloc(names->name, room * sizeof *larger);
        if (larger == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu file names", room);
        names->name = larger;
        names->room = room;
    }
    const size_t n_folder = strlen(folder), n_name = strlen(name);
    char *copy = malloc(n_folder + n_name + 2);
    if (copy == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate a file name");
    memcpy(copy, folder, n_folder);
    if (n_folder > 0) copy[n_folder] = '/';
    memcpy(copy + n_folder + (n_folder > 0), name, n_name + 1);
    names->name[names->n++] = copy;
    return true;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void names_sort(Names *names, size_t from) {
    if (names->n - from > 1) qsort(names->name + from, names->n - from, sizeof *names->name, by_bytes);
}

static bool is_image_name(const char *name) {
    static const char *const endings[] = {"jpg", "jpeg", "png"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0) return true;
    return false;
}

static bool path_join(char path[DATASET_PATH_BYTES], const char *a, const char *b, Error *err) {
    if (snprintf(path, DATASET_PATH_BYTES, "%s/%s", a, b) >= DATASET_PATH_BYTES)
        return FAIL(err, "", "path of more than %d bytes", DATASET_PATH_BYTES - 1);
    return true;
}

static bool is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Folders and image files of `dir`, each sorted and appended; images get the prefix "folder/". Either list may be NULL. */
static bool list(const char *dir, const char *folder, Names *folders, Names *images, Error *err) {
    bool         ok         = false;
    const size_t first_image = images != NULL ? images->n : 0;
    DIR         *stream     = opendir(dir);
    if (stream == NULL) {
        FAIL_STATUS(err, file_exit_status(errno), "", "cannot open folder: %s", strerror(errno));
        return error_in(err, dir);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            if (errno == 0) break;
            FAIL_STATUS(err, file_exit_status(errno), "", "cannot read folder: %s", strerror(errno));
            goto done;
        }
        if (entry->d_name[0] == '.') continue;
        bool folder_here = entry->d_type == DT_DIR;
        if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN) {
            char path[DATASET_PATH_BYTES];
            if (!path_join(path, dir, entry->d_name, err)) goto done;
            folder_here = is_directory(path);
        }
        if (folder_here) {
            if (folders != NULL && !names_add(folders, "", entry->d_name, err)) goto done;
        } else if (images != NULL && is_image_name(entry->d_name)) {
            if (!names_add(images, folder, entry->d_name, err)) goto done;
        }
    }
    if (folders != NULL) names_sort(folders, 0);
    if (images != NULL) names_sort(images, first_image);
    ok = true;
done:
    closedir(stream);
    return ok ? true : error_in(err, dir);
}

/* DIR, or its subfolder for the split; other[0] is '\0' or the other split's folder. */
static bool choose_base(char base[DATASET_PATH_BYTES], char other[DATASET_PATH_BYTES], const char *dir, const char *split,
                        Error *err) {
    char train[DATASET_PATH_BYTES], test[DATASET_PATH_BYTES];
    if (!path_join(train, dir, "train", err) || !path_join(test, dir, "test", err)) return false;
    if (!is_directory(test) && !path_join(test, dir, "val", err)) return false;
    const bool has_train = is_directory(train), has_test = is_directory(test), wants_train = strcmp(split, "train") == 0;
    other[0] = '\0';
    if (!has_train && !has_test) {
        snprintf(base, DATASET_PATH_BYTES, "%s", dir);
        return true;
    }
    if (wants_train ? !has_train : !has_test) {
        FAIL(err, "", "holds %s but no %s, so there is no split %s", has_train ? "train" : "test or val",
             wants_train ? "train" : "test or val", split);
        return error_in(err, dir);
    }
    snprintf(base, DATASET_PATH_BYTES, "%s", wants_train ? train : test);
    if (has_train && has_test) snprintf(other, DATASET_PATH_BYTES, "%s", wants_train ? test : train);
    return true;
}

/* Labels are positions in the sorted names, so splits whose names differ would be graded wrongly. */
static bool same_classes(const Folder *f, const char *base, const char *other, Error *err) {
    Names classes = {0};
    bool  ok      = list(other, "", &classes, NULL, err);
    for (size_t i = 0; ok && i < (classes.n > f->classes.n ? classes.n : f->classes.n); i++) {
        const char *a = i < f->classes.n ? f->classes.name[i] : NULL, *b = i < classes.n ? classes.name[i] : NULL;
        if (a != NULL && b != NULL && strcmp(a, b) == 0) continue;
        ok = FAIL(err, "", "classes differ from those of %s: class %zu is '%s' here and '%s' there", other, i,
                  a != NULL ? a : "(none)", b != NULL ? b : "(none)");
        error_in(err, base);
    }
    names_free(&classes);
    return ok;
}

static bool label_images(Folder *f, int32_t label, Error *err) {
    if (f->images.n > f->label_room) {
        const size_t room   = f->images.n * 2;
        int32_t     *larger = realloc(f->label, room * sizeof *larger);
        if (larger == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu labels", room);
        for (size_t i = f->label_room; i < room; i++) larger[i] = -2;        /* not labelled yet */
        f->label      = larger;
        f->label_room = room;
    }
    for (size_t i = f->images.n; i > 0 && f->label[i - 1] == -2; i--) f->label[i - 1] = label;
    return true;
}

static bool scan(Folder *f, const char *base, Error *err) {
    if (!list(base, "", &f->classes, &f->images, err)) return false;
    if (f->classes.n == 0 && f->images.n == 0) {
        FAIL(err, "", "no class folders and no .jpg, .jpeg or .png files here");
        return error_in(err, base);
    }
    if (f->classes.n > 0 && f->images.n > 0) {
        FAIL(err, "", "holds class folders and photographs beside them, such as %s", f->images.name[0]);
        return error_in(err, base);
    }
    if (f->classes.n == 0) return label_images(f, -1, err);
    for (size_t i = 0; i < f->classes.n; i++) {
        char         dir[DATASET_PATH_BYTES];
        const size_t before = f->images.n;
        Names        inner  = {0};
        bool ok = path_join(dir, base, f->classes.name[i], err) && list(dir, f->classes.name[i], &inner, &f->images, err);
        if (ok && inner.n > 0) {
            ok = FAIL(err, "", "a folder inside a class folder: %s", inner.name[0]);
            error_in(err, dir);
        } else if (ok && f->images.n == before) {
            ok = FAIL(err, "", "a class folder without .jpg, .jpeg or .png files");
            error_in(err, dir);
        }
        names_free(&inner);
        if (!ok || !label_images(f, (int32_t)i, err)) return false;
    }
    return true;
}

static void set_name(Dataset *d, const char *dir) {
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    size_t from = n;
    while (from > 0 && dir[from - 1] != '/') from--;
    snprintf(d->name, sizeof d->name, "%.*s", (int)(n - from > 200 ? 200 : n - from), dir + from);
}

static uint64_t stamp_of(const struct stat *st) {
    const int64_t parts[] = {(int64_t)st->st_dev, (int64_t)st->st_ino, st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                             st->st_ctim.tv_sec, st->st_ctim.tv_nsec};
    return digest_xxh64(parts, sizeof parts);
}

/* A run's numbers are those of the files its digest covers: what is written or replaced later is noticed when it is read. */
static bool stamp_images(Dataset *d, Folder *f, Error *err) {
    f->stamp = malloc((f->images.n + 1) * sizeof *f->stamp);
    f->damaged = calloc(f->images.n + 1, sizeof *f->damaged);
    if (f->stamp == NULL || f->damaged == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu file stamps", f->images.n);
    for (size_t i = 0; i < f->images.n; i++) {
        char        path[DATASET_PATH_BYTES];
        struct stat st;
        if (!path_join(path, d->path, f->images.name[i], err)) return false;
        f->stamp[i] = stat(path, &st) == 0 ? stamp_of(&st) : 0;      /* what cannot be read says so when it is */
    }
    return true;
}

/* The file as it is now. */
static bool read_now(const Dataset *d, int64_t index, void **bytes, size_t *n, char path[DATASET_PATH_BYTES], Error *err) {
    const Folder *f = d->state;
    return path_join(path, d->path, f->images.name[index], err) && file_read_all(path, MAX_FILE_BYTES, bytes, n, err);
}

/* The file as it was when the folder was opened. */
static bool load(const Dataset *d, int64_t index, void **bytes, size_t *n, char path[DATASET_PATH_BYTES], Error *err) {
    const Folder *f = d->state;
    struct stat   st;
    if (!read_now(d, index, bytes, n, path, err)) return false;
    /* after reading, so that a write in between shows as well */
    if (stat(path, &st) == 0 && stamp_of(&st) == f->stamp[index]) return true;
    free(*bytes);
    *bytes = NULL;
    FAIL_STATUS(err, EXIT_IO, "", "was changed or replaced while the run was going on; keep the data still and run again");
    return error_in(err, path);
}

static bool first_size(Dataset *d, Error *err) {
    char   path[DATASET_PATH_BYTES];
    void  *bytes = NULL;
    size_t n;
    Image  header = {0};
    if (!load(d, 0, &bytes, &n, path, err)) return false;
    const bool ok = image_read_header(&header, bytes, n, err);
    d->width  = header.width;
    d->height = header.height;
    free(bytes);
    return ok ? true : error_in(err, path);
}

static bool open_split(Dataset *d, const DatasetOptions *o, const char *arguments, Error *err) {
    static const float MEAN[3] = {0.485f, 0.456f, 0.406f}, SD[3] = {0.229f, 0.224f, 0.225f};
    char other[DATASET_PATH_BYTES];
    (void)arguments;
    if (strlen(o->name_or_dir) > DATASET_PATH_BYTES / 2) return FAIL(err, "/data/dir", "path too long");
    set_name(d, o->name_or_dir);
    if (!choose_base(d->path, other, o->name_or_dir, d->split, err)) return false;
    Folder *f = calloc(1, sizeof *f);
    d->state = f;                        /* dataset_close frees it, whatever happens below */
    if (f == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", sizeof *f);
    if (!scan(f, d->path, err) || !stamp_images(d, f, err)) return false;
    if (other[0] != '\0' && !same_classes(f, d->path, other, err)) return false;
    d->n_images    = (int64_t)f->images.n;
    d->n_classes   = (int)f->classes.n;
    d->class_names = (const char *const *)f->classes.name;
    d->channels    = 3;
    memcpy(d->mean, MEAN, sizeof MEAN);
    memcpy(d->sd, SD, sizeof SD);
    return first_size(d, err);
}

static bool view(const Dataset *d, int64_t index, Image *image, int *label, Error *err) {
    const Folder *f = d->state;
    char   path[DATASET_PATH_BYTES];
    void  *bytes = NULL;
    size_t n;
    *image = (Image){0};
    if (!load(d, index, &bytes, &n, path, err)) return false;
    const bool ok = image_decode(image, bytes, n, err) && image_to_rgb(image, err);
    free(bytes);
    if (!ok) {
        image_free(image);
        return error_in(err, path);
    }
    *label = f->label[index];
    if (image->n_warnings > 0) f->damaged[index] = true;      /* by several threads at once */
    return true;
}

static int label_of(const Dataset *d, int64_t index) {
    const Folder *f = d->state;
    return f->label[index];
}

static int64_t damaged(const Dataset *d, const char **first) {
    const Folder *f = d->state;
    int64_t       n = 0;
    for (size_t i = f->images.n; i > 0; i--)
        if (f->damaged[i - 1]) {
            *first = f->images.name[i - 1];
            n++;
        }
    return n;
}

static bool digest(const Dataset *d, char hex[SHA256_TEXT_SIZE], Error *err) {
    Folder   *f    = d->state;
    Sha256   *sum  = NULL;
    uint64_t *hash = malloc((f->images.n + 1) * sizeof *hash);
    bool      ok   = (hash != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu hashes", f->images.n)) && sha256_create(&sum, err);
    for (size_t i = 0; ok && i < f->images.n; i++) {
        char   path[DATASET_PATH_BYTES];
        void  *bytes = NULL;
        size_t n;
        if (!(ok = read_now(d, (int64_t)i, &bytes, &n, path, err))) break;
        uint8_t size[8];
        for (int k = 0; k < 8; k++) size[k] = (uint8_t)((uint64_t)n >> (8*k));
        sha256_add(sum, f->images.name[i], strlen(f->images.name[i]) + 1);
        sha256_add(sum, size, sizeof size);
        sha256_add(sum, bytes, n);
        hash[i] = digest_xxh64(bytes, n);
        free(bytes);
    }
    ok = ok && sha256_finish(sum, hex, err);
    sha256_destroy(sum);
    if (ok && f->hash == NULL) {                     /* the files are read once for both */
        f->hash = hash;
        hash    = NULL;
    }
    free(hash);
    return ok;
}

static bool hash_file(const Dataset *d, int64_t index, uint64_t *hash, Error *err) {
    const Folder *f = d->state;
    char   path[DATASET_PATH_BYTES];
    void  *bytes = NULL;
    size_t n;
    if (f->hash != NULL) {
        *hash = f->hash[index];
        return true;
    }
    if (!load(d, index, &bytes, &n, path, err)) return false;
    *hash = digest_xxh64(bytes, n);
    free(bytes);
    return true;
}

static void close_split(Dataset *d) {
    Folder *f = d->state;
    if (f == NULL) return;
    names_free(&f->classes);
    names_free(&f->images);
    free(f->label);
    free(f->stamp);
    free(f->damaged);
    free(f->hash);
    free(f);
    d->state = NULL;
}

const DatasetKind dataset_kind_image_folder = {
    .name = "image_folder", .title = "a folder of photographs, one subfolder a class",
    .open = open_split, .view = view, .label = label_of, .digest = digest, .close = close_split, .hash = hash_file, .damaged = damaged, .needs_path = true,
};
