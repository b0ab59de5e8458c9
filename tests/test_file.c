/* Reading and writing of whole files, with a file system that misbehaves on request: the calls below stand in for
 * those of the C library. */
#include "engine/file.h"

#include "engine/checked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

/* ---- the misbehaviour asked for ---- */

static struct {
    long   fail_after;       /* this many calls that change the disk work, the next fails; -1: none fails */
    int    fail_errno;
    size_t most_bytes;       /* per read or write; 0: no limit */
    bool   interrupted;      /* every other read and write is interrupted */
    long   end_after_reads;  /* reads after so many see the end of the file; -1: no */
    bool   endless;          /* there is always more to read */
    int    read_errno;       /* reads fail; 0: no */
    long   n_calls;
} fault;

static void no_faults(void) {
    memset(&fault, 0, sizeof fault);
    fault.fail_after = fault.end_after_reads = -1;
}

static bool fails_now(void) {
    if (fault.fail_after < 0 || fault.fail_after-- > 0) return false;
    fault.fail_after = -1;
    errno            = fault.fail_errno;
    return true;
}

static bool interrupted_now(void) {
    if (!fault.interrupted || fault.n_calls++ % 2 == 1) return false;
    errno = EINTR;
    return true;
}

ssize_t read(int fd, void *bytes, size_t n) {
    if (interrupted_now()) return -1;
    if (fault.read_errno != 0) {
        errno = fault.read_errno;
        return -1;
    }
    if (fault.end_after_reads == 0) return 0;
    if (fault.end_after_reads > 0) fault.end_after_reads--;
    if (fault.most_bytes > 0 && n > fault.most_bytes) n = fault.most_bytes;
    const ssize_t got = syscall(SYS_read, fd, bytes, n);
    if (got == 0 && fault.endless) {
        *(char *)bytes = 'x';
        return 1;
    }
    return got;
}

ssize_t write(int fd, const void *bytes, size_t n) {
    if (fd == STDOUT_FILENO || fd == STDERR_FILENO) return syscall(SYS_write, fd, bytes, n);
    if (interrupted_now()) return -1;
    if (fails_now()) return -1;
    return syscall(SYS_write, fd, bytes, fault.most_bytes > 0 && n > fault.most_bytes ? fault.most_bytes : n);
}

int fsync(int fd) { return fails_now() ? -1 : (int)syscall(SYS_fsync, fd); }

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    return fails_now() ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

/* ---- a directory of our own ---- */

static char directory[64], path[128];

static int in_new_directory(void **state) {
    (void)state;
    no_faults();
    snprintf(directory, sizeof directory, "/tmp/test_file.XXXXXX");
    if (mkdtemp(directory) == NULL) return -1;
    snprintf(path, sizeof path, "%s/a.json", directory);
    return 0;
}

static int remove_directory(void **state) {
    (void)state;
    char command[128];
    no_faults();
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

static int n_files(void) {
    int  n = 0;
    DIR *d = opendir(directory);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static void assert_holds(const char *file, const char *text) {
    void  *bytes = NULL;
    size_t n     = 0;
    Error  err   = {0};
    assert_true(file_read_all(file, 1000, &bytes, &n, &err));
    assert_int_equal(n, strlen(text));
    assert_string_equal(bytes, text); /* a zero follows */
    free(bytes);
}

static void assert_unreadable(const char *file, size_t max_bytes, int status, const char *says) {
    void  *bytes = NULL;
    size_t n     = 0;
    Error  err   = {0};
    assert_false(file_read_all(file, max_bytes, &bytes, &n, &err));
    assert_null(bytes);
    assert_int_equal(err.exit_status, status);
    assert_string_equal(err.input, file);
    if (strstr(err.message, says) == NULL) fail_msg("'%s' does not say '%s'", err.message, says);
}

/* ---- reading ---- */

static void what_was_written_is_read_back(void **state) {
    (void)state;
    Error err = {0};
    assert_true(file_write_durable(path, "hello", 5, &err));
    assert_holds(path, "hello");
    assert_true(file_write_durable(path, "", 0, &err));
    assert_holds(path, "");
    assert_int_equal(n_files(), 1);
}

static void short_and_interrupted_transfers_lose_nothing(void **state) {
    (void)state;
    Error err         = {0};
    fault.most_bytes  = 3;
    fault.interrupted = true;
    assert_true(file_write_durable(path, "eleven byte", 11, &err));
    assert_holds(path, "eleven byte");
}

static void file_that_shrinks_or_grows_while_read_is_an_io_error(void **state) {
    (void)state;
    Error err = {0};
    assert_true(file_write_durable(path, "0123456789", 10, &err));
    fault.most_bytes      = 4;
    fault.end_after_reads = 2;
    assert_unreadable(path, 100, EXIT_IO, "shrank while it was read: 2 bytes are missing");
    no_faults();
    fault.endless = true;
    assert_unreadable(path, 100, EXIT_IO, "grew");
}

static void failing_device_is_an_io_error(void **state) {
    (void)state;
    Error err = {0};
    assert_true(file_write_durable(path, "x", 1, &err));
    fault.read_errno = EIO;
    assert_unreadable(path, 100, EXIT_IO, "Input/output error");
}

static void file_is_refused_one_byte_above_the_cap_and_not_at_it(void **state) {
    (void)state;
    void  *bytes = NULL;
    size_t n     = 0;
    Error  err   = {0};
    assert_true(file_write_durable(path, "12345", 5, &err));
    assert_unreadable(path, 4, EXIT_BAD_INPUT, "has 5 bytes, at most 4 are allowed");
    assert_true(file_read_all(path, 5, &bytes, &n, &err));
    free(bytes);
}

static void only_regular_files_are_read_and_a_fifo_does_not_hang(void **state) {
    (void)state;
    char fifo[160], link[160];
    snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    snprintf(link, sizeof link, "%s/loop", directory);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink(link, link), 0);
    assert_unreadable(fifo, 100, EXIT_BAD_INPUT, "regular file");
    assert_unreadable(link, 100, EXIT_BAD_INPUT, "symbolic link");
    assert_unreadable(directory, 100, EXIT_BAD_INPUT, "directory");
    assert_unreadable("/dev/zero", 100, EXIT_BAD_INPUT, "regular file");
    assert_unreadable("/nonexistent/a", 100, EXIT_BAD_INPUT, "No such file");
    assert_unreadable("", 100, EXIT_BAD_INPUT, "No such file");
}

static void file_of_exabytes_is_refused_without_reading(void **state) {
    (void)state;
    Error     err = {0};
    const int fd  = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    const bool sparse = ftruncate(fd, (off_t)1 << 43) == 0; /* 8 TiB: what ext4 can */
    close(fd);
    if (!sparse) skip();
    assert_unreadable(path, 1 << 20, EXIT_BAD_INPUT, "at most");
    assert_true(file_write_durable(path, "", 0, &err));
}

/* ---- writing ---- */

static void failure_at_every_call_keeps_the_old_file_and_leaves_no_temporary(void **state) {
    (void)state;
    Error err      = {0};
    int   n_failed = 0;
    assert_true(file_write_durable(path, "old", 3, &err));
    for (long nth = 0;; nth++) {
        fault.fail_after = nth;
        fault.fail_errno = nth % 2 == 0 ? ENOSPC : EIO;
        memset(&err, 0, sizeof err);
        const bool ok = file_write_durable(path, "new", 3, &err);
        no_faults();
        assert_int_equal(n_files(), 1);
        if (ok) break;
        n_failed++;
        assert_int_equal(err.exit_status, EXIT_IO);
        assert_int_equal(err.disk_full, nth % 2 == 0);
        assert_string_equal(err.input, path);
        if (strstr(err.message, "its directory") != NULL) break; /* renamed already: the new one is whole */
        assert_holds(path, "old");
    }
    assert_int_equal(n_failed, 4); /* write, fsync, rename, fsync of the directory */
    assert_holds(path, "new");
}

static void full_process_limit_is_told_and_leaves_nothing(void **state) {
    (void)state;
    static const char block[8192] = {0};
    Error             err         = {0};
    struct rlimit     before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small          = before;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    const bool ok = file_write_durable(path, block, sizeof block, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    assert_false(ok);
    assert_int_equal(err.exit_status, EXIT_MACHINE);
    assert_int_equal(n_files(), 0);
}

static void abandoned_file_leaves_nothing_and_a_failed_one_cannot_be_committed(void **state) {
    (void)state;
    Error       err = {0};
    FileWriter *w   = NULL;
    assert_true(file_writer_open(&w, path, &err));
    assert_true(file_writer_append(w, "abc", 3, &err));
    assert_int_equal(n_files(), 1); /* the temporary */
    file_writer_close(w);
    assert_int_equal(n_files(), 0);
    assert_true(file_writer_open(&w, path, &err));
    fault.fail_after = 0;
    fault.fail_errno = ENOSPC;
    assert_false(file_writer_append(w, "abc", 3, &err));
    assert_true(file_writer_append(w, "def", 3, &err));
    assert_false(file_writer_commit(w, &err));
    file_writer_close(w);
    assert_int_equal(n_files(), 0);
    file_writer_close(NULL);
}

static void pieces_are_joined_in_order(void **state) {
    (void)state;
    Error       err = {0};
    FileWriter *w   = NULL;
    assert_true(file_writer_open(&w, path, &err));
    assert_true(file_writer_append(w, "abc", 3, &err));
    assert_true(file_writer_append(w, "def", 3, &err));
    assert_true(file_writer_commit(w, &err));
    file_writer_close(w);
    assert_holds(path, "abcdef");
}

static void device_directory_or_fifo_is_never_replaced(void **state) {
    (void)state;
    Error err = {0};
    char  name[160];
    assert_false(file_write_durable(directory, "x", 1, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    snprintf(name, sizeof name, "%s/new/", directory);
    assert_false(file_write_durable(name, "x", 1, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    snprintf(name, sizeof name, "%s/fifo", directory); /* as good as /dev/full, and no harm done if it is replaced */
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_false(file_write_durable(name, "x", 1, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_int_equal(n_files(), 1);
}

static void directory_that_cannot_be_written_is_bad_input(void **state) {
    (void)state;
    Error err = {0};
    char  name[160];
    snprintf(name, sizeof name, "%s/none/a", directory);
    assert_false(file_write_durable(name, "x", 1, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_false(file_write_durable("/proc/self/a", "x", 1, &err)); /* closed even to root */
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_string_equal(err.input, "/proc/self/a");
    assert_int_equal(chmod(directory, 0500), 0);
    const bool ok = file_write_durable(path, "x", 1, &err);
    assert_int_equal(chmod(directory, 0700), 0);
    assert_int_equal(ok, geteuid() == 0); /* root may write anywhere */
    assert_int_equal(n_files(), ok ? 1 : 0);
}

static void symbolic_link_stays_one(void **state) {
    (void)state;
    struct stat info;
    Error       err = {0};
    char        link[160];
    snprintf(link, sizeof link, "%s/link", directory);
    assert_true(file_write_durable(path, "old", 3, &err));
    assert_int_equal(symlink(path, link), 0);
    assert_true(file_write_durable(link, "new", 3, &err));
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_holds(path, "new");
}

static void permissions_follow_the_umask_and_name_may_be_of_full_length(void **state) {
    (void)state;
    struct stat  info;
    Error        err = {0};
    char         name[400];
    const mode_t before = umask(0027);
    const int    n      = snprintf(name, sizeof name, "%s/", directory);
    memset(name + n, 'n', 255); /* NAME_MAX */
    name[n + 255] = '\0';
    const bool ok = file_write_durable(name, "x", 1, &err);
    umask(before);
    assert_true(ok);
    assert_int_equal(stat(name, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
}

static void directories_are_made_as_deep_as_asked(void **state) {
    (void)state;
    struct stat info;
    Error       err = {0};
    char        deep[160];
    snprintf(deep, sizeof deep, "%s/a//b/c/", directory);
    assert_true(file_make_dirs(deep, &err));
    assert_true(file_make_dirs(deep, &err)); /* again */
    assert_int_equal(stat(deep, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_true(file_make_dirs("/", &err));
    assert_true(file_make_output_dir(deep, &err));
    if (geteuid() != 0) {                    /* root may write anywhere */
        assert_int_equal(chmod(deep, 0500), 0);
        assert_false(file_make_output_dir(deep, &err));
        assert_non_null(strstr(err.message, "cannot write in it"));
        assert_int_equal(chmod(deep, 0700), 0);
    }
    assert_true(file_write_durable(path, "x", 1, &err));
    snprintf(deep, sizeof deep, "%s/below", path);
    assert_false(file_make_dirs(deep, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_false(file_make_dirs(path, &err));
    assert_false(file_make_dirs("", &err));
}

static void checked_arithmetic_refuses_what_wraps_and_nothing_else(void **state) {
    (void)state;
    uint64_t out = 7;
    assert_true(checked_add(UINT64_MAX - 1, 1, &out) && out == UINT64_MAX);
    assert_false(checked_add(UINT64_MAX, 1, &out));
    assert_true(checked_mul((uint64_t)1 << 32, ((uint64_t)1 << 32) - 1, &out) && out == UINT64_MAX - UINT32_MAX);
    assert_false(checked_mul((uint64_t)1 << 32, (uint64_t)1 << 32, &out));
    assert_true(out == UINT64_MAX - UINT32_MAX); /* left alone */
    assert_true(checked_mul(0, UINT64_MAX, &out) && out == 0);
    assert_true(checked_round_up(17, 8, &out) && out == 24);
    assert_true(checked_round_up(24, 8, &out) && out == 24);
    assert_false(checked_round_up(UINT64_MAX - 2, 8, &out));
}

int main(void) {
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, in_new_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(what_was_written_is_read_back),
        IN_DIRECTORY(short_and_interrupted_transfers_lose_nothing),
        IN_DIRECTORY(file_that_shrinks_or_grows_while_read_is_an_io_error),
        IN_DIRECTORY(failing_device_is_an_io_error),
        IN_DIRECTORY(file_is_refused_one_byte_above_the_cap_and_not_at_it),
        IN_DIRECTORY(only_regular_files_are_read_and_a_fifo_does_not_hang),
        IN_DIRECTORY(file_of_exabytes_is_refused_without_reading),
        IN_DIRECTORY(failure_at_every_call_keeps_the_old_file_and_leaves_no_temporary),
        IN_DIRECTORY(full_process_limit_is_told_and_leaves_nothing),
        IN_DIRECTORY(abandoned_file_leaves_nothing_and_a_failed_one_cannot_be_committed),
        IN_DIRECTORY(pieces_are_joined_in_order),
        IN_DIRECTORY(device_directory_or_fifo_is_never_replaced),
        IN_DIRECTORY(directory_that_cannot_be_written_is_bad_input),
        IN_DIRECTORY(symbolic_link_stays_one),
        IN_DIRECTORY(permissions_follow_the_umask_and_name_may_be_of_full_length),
        IN_DIRECTORY(directories_are_made_as_deep_as_asked),
        cmocka_unit_test(checked_arithmetic_refuses_what_wraps_and_nothing_else),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
