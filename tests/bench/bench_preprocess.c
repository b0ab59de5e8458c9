/* Speed of photographs on their way to a network: JPEG in memory -> decoded, resized and cropped as a preset says, one thread.
 *
 *   bench_preprocess DIR [PRESET [SIDE [seconds]]]         images/s of this program alone; default deit, 224, 5 seconds
 *   bench_preprocess --serve DIR PRESET SIDE               answers "block W N": wall and CPU times of N passes over all files after W
 *   bench_preprocess --pixels DIR PRESET SIDE              the pixels of all files, (SIDE,SIDE,3) each, to standard output
 *
 * DIR holds .jpg, .jpeg or .JPEG files, which are read beforehand; --serve is for scripts/peers/compare_pillow.py. */
#include "engine/clock.h"
#include "engine/file.h"
#include "harness/data/preprocess.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MAX_FILES = 4096 };

typedef struct Photos {
    char       *name[MAX_FILES];
    void       *bytes[MAX_FILES];
    size_t      n_bytes[MAX_FILES];
    int         n;
    Preprocess  preprocess;
    uint8_t    *pixels;
} Photos;

static void give_up(const Error *err) {
    char text[1024];
    error_text(err, text, sizeof text);
    fprintf(stderr, "bench_preprocess: %s\n", text);
    exit(err->exit_status != 0 ? err->exit_status : EXIT_BAD_INPUT);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void read_photos(Photos *p, const char *dir) {
    Error err = {0};
    DIR  *d   = opendir(dir);
    if (d == NULL) {
        fprintf(stderr, "bench_preprocess: cannot open folder %s\n", dir);
        exit(EXIT_BAD_INPUT);
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL && p->n < MAX_FILES;) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot != NULL && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0)) p->name[p->n++] = strdup(e->d_name);
    }
    closedir(d);
    qsort(p->name, (size_t)p->n, sizeof p->name[0], by_name);
    for (int i = 0; i < p->n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, p->name[i]);
        if (!file_read_all(path, SIZE_MAX, &p->bytes[i], &p->n_bytes[i], &err)) give_up(&err);
    }
    if (p->n == 0) {
        fprintf(stderr, "bench_preprocess: no .jpg or .jpeg files in %s\n", dir);
        exit(EXIT_BAD_INPUT);
    }
}

static void make(Photos *p, int i) {
    Image image = {0};
    Error err   = {0};
    if (!image_decode(&image, p->bytes[i], p->n_bytes[i], &err) || !image_to_rgb(&image, &err) || !preprocess_apply(&p->preprocess, &image, p->pixels, &err)) {
        error_in(&err, p->name[i]);
        give_up(&err);
    }
    image_free(&image);
}

static uint64_t cpu_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Wall time of one pass over all files; *cpu_ns gets the processor's. */
static uint64_t pass_ns(Photos *p, uint64_t *cpu_ns) {
    const uint64_t from = clock_now_ns(), cpu_from = cpu_now_ns();
    for (int i = 0; i < p->n; i++) make(p, i);
    *cpu_ns = cpu_now_ns() - cpu_from;
    return clock_now_ns() - from;
}

static void serve(Photos *p) {
    enum { MAX_PASSES = 1024 };
    static uint64_t cpu_ns[MAX_PASSES];
    int n_warmup, n;
    printf("{\"program\": \"morbench\", \"images\": %d, \"preprocess\": \"%s\", \"side\": %d}\n", p->n, p->preprocess.name, p->preprocess.crop_side);
    fflush(stdout);
    while (scanf(" block %d %d", &n_warmup, &n) == 2 && n <= MAX_PASSES) {
        for (int i = 0; i < n_warmup; i++) pass_ns(p, &cpu_ns[0]);
        printf("{\"ns\": [");
        for (int i = 0; i < n; i++) printf("%s%llu", i > 0 ? ", " : "", (unsigned long long)pass_ns(p, &cpu_ns[i]));
        printf("], \"cpu_ns\": [");
        for (int i = 0; i < n; i++) printf("%s%llu", i > 0 ? ", " : "", (unsigned long long)cpu_ns[i]);
        printf("]}\n");
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    static Photos p;
    Error         err  = {0};
    const char   *mode = argc > 1 && strncmp(argv[1], "--", 2) == 0 ? argv[1] : "";
    char **const  rest = argv + (mode[0] != '\0');
    const int     n    = argc - (mode[0] != '\0');
    if (n < 2) {
        fprintf(stderr, "usage: bench_preprocess [--serve | --pixels] DIR [PRESET [SIDE [SECONDS]]]\n");
        return EXIT_BAD_INPUT;
    }
    if (!preprocess_find(&p.preprocess, n > 2 ? rest[2] : "deit", n > 3 ? atoi(rest[3]) : 224, &err)) give_up(&err);
    p.pixels = malloc((size_t)p.preprocess.crop_side * (size_t)p.preprocess.crop_side * 3);
    read_photos(&p, rest[1]);
    if (strcmp(mode, "--serve") == 0) {
        serve(&p);
    } else if (strcmp(mode, "--pixels") == 0) {
        for (int i = 0; i < p.n; i++) {
            make(&p, i);
            fwrite(p.pixels, 1, (size_t)p.preprocess.crop_side * (size_t)p.preprocess.crop_side * 3, stdout);
        }
    } else {
        const double   seconds = n > 4 ? atof(rest[4]) : 5;
        const uint64_t from    = clock_now_ns();
        uint64_t       best    = UINT64_MAX, cpu_ns;
        pass_ns(&p, &cpu_ns);
        while ((double)(clock_now_ns() - from) < 1e9 * seconds) {
            const uint64_t ns = pass_ns(&p, &cpu_ns);
            if (ns < best) best = ns;
        }
        printf("%d photographs, %s at %d, one thread: %.1f images/s in the fastest pass\n", p.n, p.preprocess.name, p.preprocess.crop_side, 1e9 * p.n / (double)best);
    }
    for (int i = 0; i < p.n; i++) {
        free(p.bytes[i]);
        free(p.name[i]);
    }
    free(p.pixels);
    return 0;
}
