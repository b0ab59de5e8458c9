/* Moves what fsck found aside, under the path it had, and writes down what it was (fsck.h). */
#include "harness/fsck.h"

#include "engine/clock.h"
#include "engine/file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static bool move_one(const char *dir, const char *aside, const char *path, Error *err) {
    char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];
    if (snprintf(from, sizeof from, "%s/%s", dir, path) >= (int)sizeof from || snprintf(to, sizeof to, "%s/%s/%s", dir, aside, path) >= (int)sizeof to)
        return FAIL(err, "", "the path is too long to move the file aside"), error_in(err, path);
    snprintf(folder, sizeof folder, "%s", to);
    *strrchr(folder, '/') = '\0';
    if (!file_make_dirs(folder, err)) return false;
    if (rename(from, to) == 0) return true;
    FAIL_STATUS(err, file_exit_status(errno), "", "cannot be moved aside: %s", strerror(errno));
    return error_in(err, from);
}

void fsck_put(const Fsck *f, const char *dir, JsonSink *into) {
    JsonSink list, one;
    json_put_text(into, "schema", "morbench.fsck/1");
    json_put_text(into, "directory", dir);
    json_put_count(into, "results_count", f->n_results);
    json_put_count(into, "checkpoints_count", f->n_checkpoints);
    json_put_count(into, "in_use_count", f->n_busy);
    if (f->aside[0] != '\0') json_put_text(into, "moved_to", f->aside);
    else                     json_put(into, "moved_to", json_null());
    json_put_array(into, "findings", &list);
    for (int i = 0; i < f->n; i++) {
        json_put_object(&list, NULL, &one);
        json_put_text(&one, "kind", fsck_kind_name(f->finding[i].kind));
        json_put_text(&one, "path", f->finding[i].path);
        json_put_text(&one, "why", f->finding[i].why);
        json_put_bool(&one, "moved", f->finding[i].moved);
    }
}

static bool save_findings(const Fsck *f, const char *dir, Error *err) {
    char     path[PATH_MAX];
    JsonSink root;
    json_t  *tree = NULL;
    json_sink_begin(&root);
    fsck_put(f, dir, &root);
    if (!json_sink_finish(&root, &tree, err)) return false;
    bool ok = snprintf(path, sizeof path, "%s/%s/fsck.json", dir, f->aside) < (int)sizeof path || FAIL(err, "", "the path is too long");
    ok = ok && json_save_file(tree, path, err);
    json_decref(tree);
    return ok;
}

bool fsck_move_aside(Fsck *f, const char *dir, Error *err) {
    char utc[CLOCK_UTC_SIZE];
    int  n = snprintf(f->aside, sizeof f->aside, ".fsck-");
    if (f->n == 0) return f->aside[0] = '\0', true;
    clock_utc_text(utc);
    for (const char *c = utc; *c != '\0' && n < (int)sizeof f->aside - 1; c++)
        if (strchr("-:.", *c) == NULL) f->aside[n++] = *c;
    f->aside[n] = '\0';
    bool ok = true, any = false;
    for (int i = 0; ok && i < f->n; i++) any |= ok = f->finding[i].moved = move_one(dir, f->aside, f->finding[i].path, err);
    if (!any) return f->aside[0] = '\0', ok;
    return save_findings(f, dir, ok ? err : &(Error){0}) && ok;           /* the first error is the one to tell */
}
