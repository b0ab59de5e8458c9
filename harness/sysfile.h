/* Small text files of the kernel (/proc, /sys), read below a root, so that a test or a report from elsewhere hands in
 * a copied tree. What cannot be read is not an error but a reason, from the closed list of the results: a machine
 * without a file is a machine all the same. */
#ifndef HARNESS_SYSFILE_H
#define HARNESS_SYSFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reasons; NULL means there is none: the value is known. Compared by address or by text. */
extern const char sysfile_not_supported[]; /* "not_supported": no such file, or not in a form we know */
extern const char sysfile_no_permission[]; /* "no_permission" */
extern const char sysfile_not_requested[]; /* "not_requested": nothing is set */

/* The first size-1 bytes of root/path, without white space at the end, control characters but newline and tab made '?'.
 * Returns NULL or a reason; text is then "". An empty file is not supported. */
const char *sysfile_read(const char *root, const char *path, char *text, size_t size);

/* A decimal integer alone in a file, times scale. */
const char *sysfile_read_count(const char *root, const char *path, int64_t scale, int64_t *value);

/* A decimal integer with nothing but white space behind it. */
bool sysfile_parse_count(const char *text, int64_t *value);

/* What follows `start` on the first line that begins with it; NULL if none does. */
const char *sysfile_after(const char *text, const char *start);

/* The value of the first "key : value" line, without white space around it, cut to size-1 bytes. False: no such line. */
bool sysfile_line(const char *text, const char *key, char *value, size_t size);

/* The first range of a CPU list ("0-3,8") is its front; the next call finds the next. False: at the end, or malformed
 * (then *list points at what could not be read, else at the terminating zero). */
bool sysfile_next_range(const char **list, int *first, int *last);

/* How many CPUs a list names; -1 if malformed or empty. */
int sysfile_list_count(const char *list);

#endif
