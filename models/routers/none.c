/* No router: every token takes every recursion, ungated. The plain recursive ViT that routing is compared with. */
#include "models/mor_route.h"

#include <string.h>

static void choose(MorRun *run, Tensor *h, int s, MorRoute *route) {
    (void)h; (void)s;
    uint8_t *mark = tape_alloc(run->tape, (size_t)run->all->n + 1);
    if (mark == NULL) return;
    memset(mark, 1, (size_t)run->all->n);
    route_keep(run, route, mark);
}

const Router router_none = {.name = "none", .paper = "fixed depth", .choose = choose};
