/* What went wrong in the world (a file, a key, memory, a counter), as plain data on the caller's stack.
 *
 * Two kinds of wrong, never a third:
 *   the world's        a function returns false and fills its last argument, an Error (FAIL);
 *   the programmer's   CHECK prints both sides and aborts.
 * Only main() prints an Error and chooses the exit status. */
#ifndef ENGINE_ERROR_H
#define ENGINE_ERROR_H

#include <stdbool.h>

/* Exit statuses of the program; an Error carries the one it asks for. */
enum {
    EXIT_OK          = 0,
    EXIT_BAD_INPUT   = 1,   /* bad usage or file */
    EXIT_MACHINE     = 2,   /* the machine cannot: no memory, no such kernel */
    EXIT_REGRESSION  = 3,   /* a confident regression (compare) */
    EXIT_CELLS       = 4,   /* finished, but some cells failed or are invalid */
    EXIT_IO          = 5,   /* I/O error or corruption */
    EXIT_DISK_FULL   = 6,   /* EXIT_IO since no room is left; only from a process to one of ours that started it */
    EXIT_INTERRUPTED = 130, /* SIGINT, state saved */
    EXIT_TERMINATED  = 143  /* SIGTERM, state saved */
};

typedef struct Error {
    char        message[512];   /* "must be in [1, 64], got 0" */
    char        field[128];     /* "/model/num_heads": a JSON pointer or tensor name; "" when no field is at fault */
    char        input[256];     /* "experiments/03_routers.json"; "" when no file is at fault */
    int         input_line;     /* 0 when unknown */
    int         exit_status;    /* one of the above; EXIT_BAD_INPUT unless said otherwise */
    bool        disk_full;      /* it was EXIT_DISK_FULL, which is EXIT_IO to all others: the next write will end alike */
    const char *file;           /* where in our source it was noticed */
    int         line;
} Error;

/* Fills *err and returns false, so that `return FAIL(...)` reads well. Control characters become question marks. */
#define FAIL(err, field, ...)            error_fail((err), __FILE__, __LINE__, EXIT_BAD_INPUT, (field), __VA_ARGS__)
#define FAIL_STATUS(err, status, field, ...) error_fail((err), __FILE__, __LINE__, (status), (field), __VA_ARGS__)
bool error_fail(Error *err, const char *file, int line, int exit_status, const char *field, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Names the input file at fault unless an inner call already did. Returns false. */
bool error_in(Error *err, const char *input);

/* "input: field: message" on one line, into text[size]. */
void error_text(const Error *err, char *text, int size);

/* A precondition of the program itself: prints the message with file and line and aborts. Never for outside data. */
#define CHECK(condition, ...) \
    do { if (!(condition)) check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); } while (0)
_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
