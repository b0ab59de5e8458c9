/* Errors as plain data, printable whatever a file put into them (error.h). */
#include "engine/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Outside text may hold terminal escapes: everything below blank, and DEL, becomes a question mark. */
static void make_printable(char *s) {
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
}

bool error_fail(Error *err, const char *file, int line, int exit_status, const char *field, const char *format, ...) {
    if (err == NULL) return false;
    Error   new = {.file = file, .line = line, .exit_status = exit_status == EXIT_DISK_FULL ? EXIT_IO : exit_status, .disk_full = exit_status == EXIT_DISK_FULL};   /* the arguments may be the old error's own texts */
    va_list args;
    va_start(args, format);
    vsnprintf(new.message, sizeof new.message, format, args);
    va_end(args);
    snprintf(new.field, sizeof new.field, "%s", field);
    make_printable(new.message);
    make_printable(new.field);
    *err = new;
    return false;
}

bool error_in(Error *err, const char *input) {
    if (err != NULL && err->input[0] == '\0') {
        snprintf(err->input, sizeof err->input, "%s", input);
        make_printable(err->input);
    }
    return false;
}

void error_text(const Error *err, char *text, int size) {
    char where[32] = "";
    if (err->input_line > 0) snprintf(where, sizeof where, ":%d", err->input_line);
    snprintf(text, (size_t)size, "%s%s%s%s%s%s", err->input, where, err->input[0] != '\0' ? ": " : "",
             err->field, err->field[0] != '\0' ? ": " : "", err->message);
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
    va_list args;
    fprintf(stderr, "morbench: internal error: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n  (%s:%d: %s)\n", file, line, condition);
    abort();
}
