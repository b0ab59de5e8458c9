/* Whole files in and out: read with their size known beforehand, written so that a reader sees the old file or the
 * whole new one, whatever happens in between.
 *
 * Statuses of the errors: EXIT_BAD_INPUT when the path is at fault (missing, not permitted, not a regular file, too
 * big), EXIT_IO when the device is (EIO, ENOSPC, a file that changes while it is read), EXIT_MACHINE when memory,
 * descriptors or a process limit are. Every error carries the path.
 *
 * Ownership
 *   file_read_all      *bytes is the caller's; free()
 *   file_writer_open   the caller; file_writer_close, also after an error and after a commit */
#ifndef ENGINE_FILE_H
#define ENGINE_FILE_H

#include "engine/error.h"

#include <stddef.h>
#include <stdint.h>

/* Unfinished files are called this and 16 hexadecimal digits; one that is left over was lost to a crash. */
#define FILE_TEMPORARY_PREFIX ".tmp-"

/* The whole file, which must be regular and hold at most max_bytes (SIZE_MAX: any number). One zero byte, not
 * counted in *n, follows the contents. */
bool file_read_all(const char *path, size_t max_bytes, void **bytes, size_t *n, Error *err);

/* The same in steps, for formats that judge a file by its beginning before reading the rest: open a regular file and
 * take its size from the descriptor, read exactly n bytes, make sure that nothing follows, and close() the
 * descriptor. `path` is for the messages. */
bool file_open_read(int *fd, uint64_t *size_bytes, const char *path, Error *err);
bool file_read_exactly(int fd, void *bytes, size_t n, const char *path, Error *err);
bool file_read_end(int fd, const char *path, Error *err);

/* Writes to a temporary name in the same directory; commit makes it `path`. Where `path` is a symbolic link, the file
 * it points at is replaced. What is there already must be a regular file. Permissions are 0666 less the umask. */
typedef struct FileWriter FileWriter;
bool file_writer_open(FileWriter **out, const char *path, Error *err);
bool file_writer_append(FileWriter *w, const void *bytes, size_t n, Error *err);

/* fsync, rename, fsync of the directory. After an error of the last step the new file is in place, but may not
 * survive a power cut. */
bool file_writer_commit(FileWriter *w, Error *err);

/* Gives everything back; a file not committed is abandoned, its temporary removed. NULL is fine. */
void file_writer_close(FileWriter *w);

/* Open, append, commit and close in one. */
bool file_write_durable(const char *path, const void *bytes, size_t n, Error *err);

/* The directory and all above it that are missing. One that is there already is fine. */
bool file_make_dirs(const char *path, Error *err);
/* The same, and files can be made in it as far as can be told: asked before long work whose results go there. */
bool file_make_output_dir(const char *path, Error *err);

/* Removes what killed processes left half written in dir; nobody may be writing there. */
void file_remove_temporaries(const char *dir);

/* A directory and all in it; links are not followed. False: something stayed. */
bool file_remove_tree(const char *path);

/* The exit status that a failed system call asks for, for FAIL_STATUS. */
int file_exit_status(int error_number);

#endif
