/* Small files of /proc and /sys below a root (sysfile.h). */
#include "harness/sysfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char sysfile_not_supported[] = "not_supported";
const char sysfile_no_permission[] = "no_permission";
const char sysfile_not_requested[] = "not_requested";

const char *sysfile_read(const char *root, const char *path, char *text, size_t size) {
    char full[PATH_MAX];
    text[0] = '\0';
    const int length = snprintf(full, sizeof full, "%s%s%s", root, path[0] == '/' ? "" : "/", path);
    if (length < 0 || (size_t)length >= sizeof full) return sysfile_not_supported;
    const int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not blocked by a pipe that lies in the way */
    if (fd < 0) return errno == EACCES || errno == EPERM ? sysfile_no_permission : sysfile_not_supported;
    size_t  n      = 0;
    ssize_t got    = 0;
    bool    denied = false;
    while (n < size - 1) { /* such files arrive in pieces */
        got = read(fd, text + n, size - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        n += (size_t)got;
    }
    if (got < 0) {
        denied = errno == EACCES || errno == EPERM;
        n      = 0;
    }
    close(fd);
    text[n] = '\0';
    n       = strlen(text); /* device-tree texts end in a zero */
    while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
    text[n] = '\0';
    for (size_t i = 0; i < n; i++) /* other bytes than ASCII would have to be valid UTF-8 to be written as JSON */
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t') || (unsigned char)text[i] >= 0x7f) text[i] = '?';
    if (denied) return sysfile_no_permission;
    return n > 0 ? NULL : sysfile_not_supported;
}

bool sysfile_parse_count(const char *text, int64_t *value) {
    char *end;
    errno                 = 0;
    const long long count = strtoll(text, &end, 10);
    if (end == text || errno != 0) return false;
    while (isspace((unsigned char)*end)) end++;
    if (*end != '\0') return false;
    *value = count;
    return true;
}

const char *sysfile_read_count(const char *root, const char *path, int64_t scale, int64_t *value) {
    char        text[64];
    int64_t     count;
    const char *reason = sysfile_read(root, path, text, sizeof text);
    if (reason != NULL) return reason;
    if (!sysfile_parse_count(text, &count) || __builtin_mul_overflow(count, scale, value)) return sysfile_not_supported;
    return NULL;
}

const char *sysfile_after(const char *text, const char *start) {
    const size_t length = strlen(start);
    for (const char *line = text; line != NULL;) {
        if (strncmp(line, start, length) == 0) return line + length;
        line = strchr(line, '\n');
        if (line != NULL) line++;
    }
    return NULL;
}

bool sysfile_line(const char *text, const char *key, char *value, size_t size) {
    for (const char *p = sysfile_after(text, key); p != NULL; p = sysfile_after(p, key)) {
        p += strspn(p, " \t");
        if (*p != ':') { /* a longer key: on to the next line */
            p += strcspn(p, "\n");
            if (*p == '\n') p++;
            continue;
        }
        p++;
        p += strspn(p, " \t");
        size_t n = strcspn(p, "\n");
        while (n > 0 && isspace((unsigned char)p[n - 1])) n--;
        if (n >= size) n = size - 1;
        memcpy(value, p, n);
        value[n] = '\0';
        return true;
    }
    return false;
}

static bool next_cpu(const char **list, int *cpu) {
    enum { MAX_CPU = 1 << 20 };
    if (!isdigit((unsigned char)**list)) return false;
    char *end;
    errno          = 0;
    const long one = strtol(*list, &end, 10);
    if (errno != 0 || one >= MAX_CPU) return false;
    *list = end;
    *cpu  = (int)one;
    return true;
}

bool sysfile_next_range(const char **list, int *first, int *last) {
    const char *p = *list;
    if (!next_cpu(&p, first)) return false;
    *last = *first;
    if (*p == '-') {
        p++;
        if (!next_cpu(&p, last) || *last < *first) return false;
    }
    if (*p == ',') {
        p++;
        if (*p == '\0') return false;
    } else if (*p != '\0') {
        return false;
    }
    *list = p;
    return true;
}

int sysfile_list_count(const char *list) {
    int count = 0, first, last;
    while (sysfile_next_range(&list, &first, &last)) {
        if (__builtin_add_overflow(count, last - first + 1, &count)) return -1;
    }
    return *list == '\0' && count > 0 ? count : -1;
}
