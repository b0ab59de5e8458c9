/* Whole files in and out, see file.h. Nothing here knows what the bytes mean. */
#include "engine/file.h"

#include "engine/checked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most 2 GiB less a page per call; smaller pieces also keep an interrupt from waiting long. */
enum { MAX_BYTES_PER_CALL = 1 << 28, MAX_NAME_TRIES = 16 };

struct FileWriter {
    char *path;            /* as given, for messages */
    char *base;            /* last component of the file to be made */
    char  temporary[32];
    int   directory_fd, fd;
    bool  temporary_exists, failed;
};

/* errno and a few words as an Error that names the path */
#define FAIL_ERRNO(err, path, what) \
    (FAIL_STATUS((err), file_exit_status(errno), "", "%s: %s", (what), strerror(errno)), error_in((err), (path)))
#define FAIL_PATH(err, status, path, ...) (FAIL_STATUS((err), (status), "", __VA_ARGS__), error_in((err), (path)))

int file_exit_status(int error_number) {
    switch (error_number) {
    case ENOENT: case ENOTDIR: case EISDIR: case ELOOP: case ENAMETOOLONG: case EACCES: case EPERM: case EROFS:
    case EINVAL: case ENXIO: case ENODEV: case EEXIST:
        return EXIT_BAD_INPUT;
    case ENOMEM: case EMFILE: case ENFILE: case EFBIG:
        return EXIT_MACHINE;
    case ENOSPC: case EDQUOT:
        return EXIT_DISK_FULL;
    default:
        return EXIT_IO;
    }
}

/* ---- reading ---- */

bool file_open_read(int *fd, uint64_t *size_bytes, const char *path, Error *err) {
    struct stat info;
    /* O_NONBLOCK: opening a FIFO that nobody writes would wait for ever; regular files ignore it */
    const int opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (opened < 0) return FAIL_ERRNO(err, path, "cannot open");
    if (fstat(opened, &info) != 0) {
        FAIL_ERRNO(err, path, "cannot ask for its size");
        close(opened);
        return false;
    }
    if (!S_ISREG(info.st_mode) || info.st_size < 0) {
        close(opened);
        return FAIL_PATH(err, EXIT_BAD_INPUT, path, "must be a regular file, is %s",
                         S_ISDIR(info.st_mode) ? "a directory" : "a device, pipe or socket");
    }
    *fd         = opened;
    *size_bytes = (uint64_t)info.st_size;
    return true;
}

/* Up to n bytes: fewer only at the end of the file. False with errno set when a read fails. */
static bool read_up_to(int fd, void *bytes, size_t n, size_t *n_read) {
    size_t done = 0;
    while (done < n) {
        const size_t  left = n - done;
        const ssize_t got  = read(fd, (char *)bytes + done, left < MAX_BYTES_PER_CALL ? left : MAX_BYTES_PER_CALL);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        if (got == 0) break;
        done += (size_t)got;
    }
    *n_read = done;
    return true;
}

bool file_read_exactly(int fd, void *bytes, size_t n, const char *path, Error *err) {
    size_t n_read = 0;
    if (!read_up_to(fd, bytes, n, &n_read)) return FAIL_PATH(err, EXIT_IO, path, "cannot read: %s", strerror(errno));
    if (n_read != n)
        return FAIL_PATH(err, EXIT_IO, path, "shrank while it was read: %zu bytes are missing", n - n_read);
    return true;
}

bool file_read_end(int fd, const char *path, Error *err) {
    char   more;
    size_t n_read = 0;
    if (!read_up_to(fd, &more, 1, &n_read)) return FAIL_PATH(err, EXIT_IO, path, "cannot read: %s", strerror(errno));
    if (n_read != 0) return FAIL_PATH(err, EXIT_IO, path, "grew while it was read");
    return true;
}

bool file_read_all(const char *path, size_t max_bytes, void **bytes, size_t *n, Error *err) {
    bool     ok     = false;
    int      fd     = -1;
    uint64_t size   = 0, to_reserve;
    size_t   length = 0;
    char    *buffer = NULL;
    if (!file_open_read(&fd, &size, path, err)) return false;
    if (size > max_bytes) {
        FAIL_PATH(err, EXIT_BAD_INPUT, path, "has %" PRIu64 " bytes, at most %zu are allowed", size, max_bytes);
        goto done;
    }
    if (!checked_add(size, 1, &to_reserve) || !checked_size(to_reserve, &length) || (buffer = malloc(length)) == NULL) {
        FAIL_PATH(err, EXIT_MACHINE, path, "no memory for its %" PRIu64 " bytes", size);
        goto done;
    }
    length = (size_t)size;
    if (!file_read_exactly(fd, buffer, length, path, err)) goto done;
    if (!file_read_end(fd, path, err)) goto done;
    buffer[length] = '\0';
    *bytes = buffer;
    *n     = length;
    buffer = NULL;
    ok     = true;
done:
    close(fd);
    free(buffer);
    return ok;
}

/* ---- writing ---- */

/* Splits the file that `path` stands for into an open directory and a name in it. */
static bool find_directory(FileWriter *w, Error *err) {
    struct stat info;
    bool        ok       = false;
    char       *directory = NULL;
    char       *target   = realpath(w->path, NULL); /* follows links, so that they stay links */
    if (target == NULL && errno != ENOENT) {
        FAIL_ERRNO(err, w->path, "cannot write there");
        goto done;
    }
    if (target == NULL && (target = strdup(w->path)) == NULL) {
        FAIL_ERRNO(err, w->path, "cannot write there");
        goto done;
    }
    const char  *slash  = strrchr(target, '/');
    const char  *base   = slash == NULL ? target : slash + 1;
    const size_t length = slash == NULL ? 0 : (size_t)(slash - target);
    if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        FAIL_PATH(err, EXIT_BAD_INPUT, w->path, "must name a file, not a directory");
        goto done;
    }
    directory = slash == NULL ? strdup(".") : slash == target ? strdup("/") : strndup(target, length);
    w->base   = strdup(base);
    if (directory == NULL || w->base == NULL) {
        FAIL_PATH(err, EXIT_MACHINE, w->path, "out of memory");
        goto done;
    }
    w->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->directory_fd < 0) {
        FAIL_ERRNO(err, w->path, "cannot open its directory");
        goto done;
    }
    /* a rename would put a file in the place of /dev/null */
    if (fstatat(w->directory_fd, w->base, &info, 0) == 0 && !S_ISREG(info.st_mode)) {
        FAIL_PATH(err, EXIT_BAD_INPUT, w->path, "exists and is not a regular file");
        goto done;
    }
    ok = true;
done:
    free(target);
    free(directory);
    return ok;
}

static bool open_temporary(FileWriter *w, Error *err) {
    for (int i = 0; i < MAX_NAME_TRIES; i++) {
        uint64_t draw;
        if (getrandom(&draw, sizeof draw, 0) != (ssize_t)sizeof draw) return FAIL_ERRNO(err, w->path, "no random name");
        snprintf(w->temporary, sizeof w->temporary, FILE_TEMPORARY_PREFIX "%016" PRIx64, draw);
        w->fd = openat(w->directory_fd, w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) {
            w->temporary_exists = true;
            return true;
        }
        if (errno != EEXIST) break;
    }
    return FAIL_ERRNO(err, w->path, "cannot create a file beside it");
}

bool file_writer_open(FileWriter **out, const char *path, Error *err) {
    FileWriter *w = calloc(1, sizeof *w);
    if (w == NULL) return FAIL_PATH(err, EXIT_MACHINE, path, "out of memory");
    w->fd = w->directory_fd = -1;
    w->path = strdup(path);
    if (w->path == NULL) {
        FAIL_PATH(err, EXIT_MACHINE, path, "out of memory");
    } else if (find_directory(w, err) && open_temporary(w, err)) {
        *out = w;
        return true;
    }
    file_writer_close(w);
    return false;
}

bool file_writer_append(FileWriter *w, const void *bytes, size_t n, Error *err) {
    CHECK(w->fd >= 0, "append to %s after its commit", w->path);
    size_t done = 0;
    while (done < n) {
        const size_t  left = n - done;
        const ssize_t put  = write(w->fd, (const char *)bytes + done, left < MAX_BYTES_PER_CALL ? left : MAX_BYTES_PER_CALL);
        if (put < 0 && errno == EINTR) continue;
        if (put == 0) errno = EIO;
        if (put <= 0) {
            w->failed = true;
            return FAIL_ERRNO(err, w->path, "cannot write");
        }
        done += (size_t)put;
    }
    return true;
}

/* fsync that an interrupt does not spoil */
static bool synced(int fd) {
    int result;
    do result = fsync(fd); while (result != 0 && errno == EINTR);
    return result == 0;
}

bool file_writer_commit(FileWriter *w, Error *err) {
    CHECK(w->fd >= 0, "second commit of %s", w->path);
    if (w->failed) return FAIL_PATH(err, EXIT_IO, w->path, "not saved: an earlier write failed");
    if (!synced(w->fd)) {
        w->failed = true;
        return FAIL_PATH(err, EXIT_IO, w->path, "cannot bring it to disk: %s", strerror(errno));
    }
    const int closed = close(w->fd);
    w->fd = -1;
    if (closed != 0 && errno != EINTR) return FAIL_ERRNO(err, w->path, "cannot close");
    if (renameat(w->directory_fd, w->temporary, w->directory_fd, w->base) != 0)
        return FAIL_ERRNO(err, w->path, "cannot give it its name");
    w->temporary_exists = false;
    /* EINVAL: a file system that has no such thing as a synced directory */
    if (!synced(w->directory_fd) && errno != EINVAL)
        return FAIL_PATH(err, EXIT_IO, w->path, "cannot bring its directory to disk: %s", strerror(errno));
    return true;
}

void file_writer_close(FileWriter *w) {
    if (w == NULL) return;
    if (w->fd >= 0) close(w->fd);
    if (w->temporary_exists) unlinkat(w->directory_fd, w->temporary, 0);
    if (w->directory_fd >= 0) close(w->directory_fd);
    free(w->base);
    free(w->path);
    free(w);
}

bool file_write_durable(const char *path, const void *bytes, size_t n, Error *err) {
    FileWriter *w  = NULL;
    const bool  ok = file_writer_open(&w, path, err) && file_writer_append(w, bytes, n, err) && file_writer_commit(w, err);
    file_writer_close(w);
    return ok;
}

/* ---- directories ---- */

static bool make_dir(const char *path, Error *err) {
    struct stat info;
    if (mkdir(path, 0777) == 0) return true;
    if (errno != EEXIST) return FAIL_ERRNO(err, path, "cannot make the directory");
    if (stat(path, &info) != 0) return FAIL_ERRNO(err, path, "cannot make the directory");
    if (!S_ISDIR(info.st_mode)) return FAIL_PATH(err, EXIT_BAD_INPUT, path, "is in the way: not a directory");
    return true;
}

bool file_make_dirs(const char *path, Error *err) {
    bool ok = true;
    if (*path == '\0') return FAIL_PATH(err, EXIT_BAD_INPUT, path, "an empty path names no directory");
    char *upto = strdup(path);
    if (upto == NULL) return FAIL_PATH(err, EXIT_MACHINE, path, "out of memory");
    for (char *slash = strchr(upto + 1, '/'); ok && slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        ok     = make_dir(upto, err);
        *slash = '/';
    }
    ok = ok && make_dir(upto, err);
    free(upto);
    return ok;
}

void file_remove_temporaries(const char *dir) {
    DIR *d = opendir(dir);
    if (d == NULL) return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, FILE_TEMPORARY_PREFIX, strlen(FILE_TEMPORARY_PREFIX)) == 0) (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

bool file_make_output_dir(const char *path, Error *err) {
    if (!file_make_dirs(path, err)) return false;
    if (access(path, W_OK | X_OK) == 0) return true;
    return FAIL_PATH(err, file_exit_status(errno), path, "cannot write in it: %s", strerror(errno));
}

/* ---- removing ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

bool file_remove_tree(const char *path) { return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0; }
