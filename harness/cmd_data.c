/* morbench data list [--json] [--digest] [DIR...]: which data sets are on this machine, and whether they are whole.
 * morbench data fetch NAME [--from URL] [--to DIR]: gets one, by scripts/fetch_data.sh; never part of a measurement. */
#include "engine/file.h"
#include "engine/json.h"
#include "harness/commands.h"
#include "harness/data/dataset.h"
#include "harness/installed.h"
#include "harness/options.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- list ---- */

static const char *const split_names[2] = {"train", "test"};

typedef struct SplitFound {
    bool    located, opened;
    int64_t n_images, source_bytes;
    char    path[DATASET_PATH_BYTES], digest[SHA256_TEXT_SIZE], reason[1024];
} SplitFound;

typedef struct Found {
    const DatasetKind *kind;
    char        name[256];
    const char *state;                 /* "present", "missing", "broken" */
    int         n_classes, height, width, channels;
    bool        synthetic;
    SplitFound  split[2];
} Found;

static void look_at_split(Found *f, int i, const char *name_or_dir, bool with_digest) {
    SplitFound *s   = &f->split[i];
    Dataset    *d   = NULL;
    Error       err = {0};
    const DatasetOptions options = {.name_or_dir = name_or_dir, .split = split_names[i]};
    s->located = f->kind->probe[0] == NULL || dataset_locate(f->kind, NULL, split_names[i], s->path, &err);
    if (s->located && dataset_open(&d, &options, &err) && (!with_digest || dataset_digest(d, s->digest, &err))) {
        s->opened       = true;
        s->n_images     = d->n_images_split;
        s->source_bytes = d->source_bytes;
        snprintf(s->path, sizeof s->path, "%s", d->path);
        snprintf(f->name, sizeof f->name, "%s", d->name);
        f->n_classes = d->n_classes;
        f->height    = d->height;
        f->width     = d->width;
        f->channels  = d->channels;
        f->synthetic = d->synthetic;
    } else {
        error_text(&err, s->reason, sizeof s->reason);
    }
    dataset_close(d);
}

static void look_at(Found *f, const DatasetKind *kind, const char *name_or_dir, bool with_digest) {
    memset(f, 0, sizeof *f);
    f->kind = kind;
    snprintf(f->name, sizeof f->name, "%s", name_or_dir);
    for (int i = 0; i < 2; i++) look_at_split(f, i, name_or_dir, with_digest);
    const SplitFound *a = &f->split[0], *b = &f->split[1];
    f->state = !a->located && !b->located ? "missing" : a->opened && b->opened ? "present" : "broken";
}

/* A set whose bytes are known by heart and are others here is not that set. */
static bool digest_differs(const Found *f, int i) {
    const char *known = f->kind->known_digest[i];
    return known != NULL && f->split[i].digest[0] != '\0' && strcmp(known, f->split[i].digest) != 0;
}

static void print_found(const Found *f) {
    const SplitFound *a = &f->split[0], *b = &f->split[1];
    const SplitFound *bad = a->opened ? b : a;
    if (!a->opened || !b->opened) {
        printf("%-14s %-8s %s\n", f->name, f->state, bad->reason);
    } else {
        printf("%-14s %-8s %lld train, %lld test, %d classes, %dx%dx%d, %.1f MB  %s\n", f->name, f->state, (long long)a->n_images,
               (long long)b->n_images, f->n_classes, f->height, f->width, f->channels,
               (double)(a->source_bytes + b->source_bytes) / 1e6, a->path[0] != '\0' ? a->path : f->kind->title);
    }
    for (int i = 0; i < 2; i++)
        if (f->split[i].digest[0] != '\0')
            printf("%-14s %-8s sha256 %s%s\n", "", split_names[i], f->split[i].digest,
                   digest_differs(f, i) ? "  NOT the known one" : f->kind->known_digest[i] != NULL ? "  as known" : "");
}

static void put_split(JsonSink *item, const Found *f, int i, bool with_digest) {
    const SplitFound *s = &f->split[i];
    JsonSink split;
    json_put_object(item, split_names[i], &split);
    if (!s->opened) {
        json_put_text(&split, "reason", s->reason);
        return;
    }
    json_put_text(&split, "path", s->path);
    json_put_count(&split, "images_count", s->n_images);
    json_put_count(&split, "source_bytes", s->source_bytes);
    if (with_digest) {
        json_put_text(&split, "sha256", s->digest);
        if (f->kind->known_digest[i] != NULL) json_put_bool(&split, "sha256_as_known", !digest_differs(f, i));
    } else {
        json_put_missing(&split, "sha256", "not_requested");
    }
}

static void put_found(JsonSink *list, const Found *f, bool with_digest) {
    JsonSink item;
    json_put_object(list, NULL, &item);
    json_put_text(&item, "name", f->name);
    json_put_text(&item, "kind", f->kind->name);
    json_put_text(&item, "title", f->kind->title);
    json_put_text(&item, "state", f->state);
    json_put_bool(&item, "synthetic", f->synthetic);
    if (f->split[0].opened || f->split[1].opened) {
        json_put_count(&item, "classes_count", f->n_classes);
        json_put_count(&item, "height", f->height);
        json_put_count(&item, "width", f->width);
        json_put_count(&item, "channels", f->channels);
    }
    for (int i = 0; i < 2; i++) put_split(&item, f, i, with_digest);
}

typedef void (*TakeFound)(void *self, const Found *f);

/* Every kind that has files or needs none, then the folders named. */
static bool walk(int n_dirs, char **dirs, bool with_digest, TakeFound take, void *self, Error *err) {
    Found *f = malloc(sizeof *f);
    if (f == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu bytes", sizeof *f);
    for (int i = 0; dataset_kinds[i] != NULL; i++) {
        if (dataset_kinds[i]->needs_path) continue;
        look_at(f, dataset_kinds[i], dataset_kinds[i]->name, with_digest);
        take(self, f);
    }
    for (int i = 0; i < n_dirs; i++) {
        look_at(f, &dataset_kind_image_folder, dirs[i], with_digest);
        take(self, f);
    }
    free(f);
    return true;
}

static void take_text(void *self, const Found *f) {
    (void)self;
    print_found(f);
}

typedef struct JsonList { JsonSink sink; bool with_digest; } JsonList;

static void take_json(void *self, const Found *f) {
    JsonList *list = self;
    put_found(&list->sink, f, list->with_digest);
}

static bool list_json(int n_dirs, char **dirs, bool with_digest, Error *err) {
    JsonSink root;
    JsonList list = {.with_digest = with_digest};
    json_t  *tree = NULL;
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.datasets/1");
    json_put_array(&root, "datasets", &list.sink);
    bool ok = walk(n_dirs, dirs, with_digest, take_json, &list, err);
    ok = json_sink_finish(&root, &tree, ok ? err : NULL) && ok;
    ok = ok && json_print(tree, err);
    json_decref(tree);
    return ok;
}

static int run_list(int argc, char **argv, Error *err) {
    bool json = false, with_digest = false;
    const Option options[] = {
        {.name = "json", .help = "print JSON", .flag = &json},
        {.name = "digest", .help = "read every file and print the SHA-256 of each split", .flag = &with_digest},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"data list", "[DIR...]",
        "Says which data sets are present, missing or broken. Image folders are looked at when named.", options, 0, INT_MAX}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    const bool ok = json ? list_json(argc - first, argv + first, with_digest, err)
                         : walk(argc - first, argv + first, with_digest, take_text, NULL, err);
    return ok ? EXIT_OK : err->exit_status;
}

/* ---- fetch ---- */

/* The scripts lie in $MORBENCH_SCRIPTS, or with the program. */
static bool find_script(char path[PATH_MAX], const char *name, Error *err) {
    char        below[64];
    const char *chosen = getenv("MORBENCH_SCRIPTS");
    if (chosen != NULL && chosen[0] != '\0') {
        if (snprintf(path, PATH_MAX, "%s/%s", chosen, name) < PATH_MAX && access(path, R_OK) == 0) return true;
        return FAIL(err, "MORBENCH_SCRIPTS", "no %s in %s", name, chosen);
    }
    snprintf(below, sizeof below, "scripts/%s", name);
    return installed_find(path, below) || FAIL(err, "", "cannot find scripts/%s near the program; set MORBENCH_SCRIPTS to its folder", name);
}

/* Runs sh SCRIPT NAME DIR CHECKSUMS [URL] with what it prints going to stderr, since stdout is for answers. */
static bool run_script(char *const arguments[], Error *err) {
    posix_spawn_file_actions_t actions;
    pid_t child;
    int   status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    const int failure = posix_spawn(&child, "/bin/sh", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot run /bin/sh: %s", strerror(failure));
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot wait for /bin/sh: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFSIGNALED(status))
        return FAIL_STATUS(err, 128 + WTERMSIG(status), "", "fetching was ended by signal %d; nothing was put in place", WTERMSIG(status));
    const int code = WEXITSTATUS(status);
    const bool known = code == EXIT_BAD_INPUT || code == EXIT_MACHINE || code == EXIT_INTERRUPTED || code == EXIT_TERMINATED;
    return FAIL_STATUS(err, known ? code : EXIT_IO, "", "the data set was not fetched; the line above says why");
}

/* list: gets {split, images_count, sha256} of each; NULL: they are printed. */
static bool check_fetched(const char *name, const char *dir, JsonSink *list, Error *err) {
    for (int i = 0; i < 2; i++) {
        Dataset *d = NULL;
        const DatasetOptions options = {.name_or_dir = name, .root = dir, .split = split_names[i]};
        if (!dataset_open(&d, &options, err)) return false;
        if (list == NULL) printf("%s %s: %lld images, sha256 %s\n", d->name, d->split, (long long)d->n_images, d->digest);
        else {
            JsonSink split;
            json_put_object(list, NULL, &split);
            json_put_text(&split, "split", d->split);
            json_put_count(&split, "images_count", d->n_images);
            json_put_text(&split, "sha256", d->digest);
        }
        dataset_close(d);
    }
    return true;
}

static bool fetched_json(const char *name, const char *dir, Error *err) {
    JsonSink root, splits;
    json_t  *tree = NULL;
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.fetched/1");
    json_put_text(&root, "name", name);
    json_put_text(&root, "path", dir);
    json_put_array(&root, "splits", &splits);
    bool ok = check_fetched(name, dir, &splits, err);
    ok = json_sink_finish(&root, &tree, ok ? err : NULL) && ok && json_print(tree, err);
    json_decref(tree);
    return ok;
}

static int run_fetch(int argc, char **argv, Error *err) {
    bool        json = false;
    const char *from = NULL, *to = NULL;
    char        script[PATH_MAX], checksums[PATH_MAX], dir[DATASET_PATH_BYTES];
    const Option options[] = {
        {.name = "from", .value = "URL", .help = "folder on the web that holds the set's archives, instead of the original's",
         .text = &from},
        {.name = "to", .value = "DIR", .help = "put the set at DIR/NAME (default: $MORBENCH_DATA, or ~/.cache/morbench)", .text = &to},
        {.name = "json", .help = "say what was fetched as JSON", .flag = &json},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"data fetch", "NAME",
        "Downloads a data set, checks it against scripts/data_checksums.txt, unpacks it and reads it once.", options, 1, 1}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    const char        *name = argv[first];
    const DatasetKind *kind = dataset_find(name);
    if (kind == NULL || kind->probe[0] == NULL)
        return FAIL(err, name, "cannot be fetched; `morbench data list` names the sets, of which those with files can"), EXIT_BAD_INPUT;
    if (to != NULL ? snprintf(dir, sizeof dir, "%s/%s", to, name) >= (int)sizeof dir : !dataset_fetch_dir(name, dir, err)) {
        if (to != NULL) FAIL(err, "to", "path too long");
        return EXIT_BAD_INPUT;
    }
    if (!find_script(script, "fetch_data.sh", err) || !find_script(checksums, "data_checksums.txt", err)) return err->exit_status;
    fflush(NULL);
    char *const arguments[] = {(char[]){"sh"}, script, (char *)(uintptr_t)name, dir, checksums, (char *)(uintptr_t)from, NULL};
    if (!run_script(arguments, err)) return err->exit_status;
    if (json) return fetched_json(name, dir, err) ? EXIT_OK : err->exit_status;
    if (!check_fetched(name, dir, NULL, err)) return err->exit_status;
    printf("%s is at %s\n", name, dir);
    return EXIT_OK;
}

int cmd_data(int argc, char **argv, Error *err) {
    static const Option none[] = {OPTIONS_END};
    if (argc >= 2 && strcmp(argv[1], "list") == 0)  return run_list(argc - 1, argv + 1, err);
    if (argc >= 2 && strcmp(argv[1], "fetch") == 0) return run_fetch(argc - 1, argv + 1, err);
    const int first = options_parse(argc, argv, &(Usage){"data", "list [DIR...] | fetch NAME",
        "`data list` says which data sets are here, `data fetch` gets one; each has its own --help.", none, 1, INT_MAX}, err);
    if (first == 0) return EXIT_OK;
    if (first > 0) FAIL(err, argv[first], "must be list or fetch");
    return EXIT_BAD_INPUT;
}
