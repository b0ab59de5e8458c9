/* MoR-ViT as properties over random configurations: sparse equals a dense masked oracle, what runs is what the closed form says,
 * selections are nested and of exact size, images do not depend on their batch, tied weights are one tensor; and the bit for bit
 * equalities with the plain ViT, initialisation from one, losses of routers, and refusals by name. */
#include "tests/mor_oracle.h"

#include "models/mor_route.h"

#include "baselines/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST_IMAGES = 5 };
static const int64_t ids[MOST_IMAGES] = {11, 12, 13, 14, 15};

static uint64_t dice_state = 7;
static int dice(int sides) {
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (int)((dice_state >> 33) % (uint64_t)sides);
}

static Model *try_model(const char *settings, Error *err) {
    Model *m = NULL;
    *err = (Error){0};
    assert_true(model_new(&m, &model_mor_vit, err));
    if (!fields_set_from_text(model_mor_vit.fields, m->self, settings, "/model", err) || !model_build(m, err)) {
        model_destroy(m);
        return NULL;
    }
    return m;
}

/* Weights of a size at which every term shows: N(0, 0.3), norm gains around one. */
static void randomise(Model *m, int seed) {
    const RngStream stream = rng_stream((uint64_t)seed, "test");
    for (int i = 0; i < params_count(m->params); i++) {
        Param *p = params_at(m->params, i);
        /* routers smaller: with the identity as gate the stream would grow without bound over six recursions */
        const double  size = strncmp(p->name, "router", 6) == 0 ? 0.03 : 0.3;
        for (int64_t k = 0; k < tensor_count(p->tensor); k++)
            p->tensor->data[k] = (Real)((p->init == INIT_ONE ? 1 : 0) + size * rng_normal(stream, (RngKey){.layer = i, .channel = k}));
    }
    params_touch(m->params);
}

static Model *model_of(const char *settings) {
    Error  err;
    Model *m = try_model(settings, &err);
    if (m == NULL) fail_msg("%s: %s %s", settings, err.field, err.message);
    randomise(m, 5);
    return m;
}

static Tape *tape_on(const Backend *backend) {
    Tape *tape = NULL;
    Error err  = {0};
    assert_true(tape_create(&tape, backend, &err));
    return tape;
}

static Real *random_images(const MorVit *m, int B) {
    const int64_t   n = (int64_t)B * m->in_chans * m->img_size * m->img_size;
    const RngStream stream = rng_stream(3, "images");
    Real           *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (Real)rng_normal(stream, (RngKey){.channel = i});
    return x;
}

static void run(Model *model, Tape *tape, TapeStep step, bool recording, Real *images, int B, int first, const int32_t *depth, ModelOutput *y) {
    const MorVit *m = model->self;
    const int64_t dim[] = {B, m->in_chans, m->img_size, m->img_size};
    profile_clear(tape_profile(tape));
    tape_begin(tape, recording, step);
    Tensor *x = tensor_from(tape, 4, dim, images + (int64_t)first * m->in_chans * m->img_size * m->img_size, false);
    model->kind->forward(model->self, tape, &(ModelInput){.images = x, .image_id = ids + first, .given = &(RouteGiven){.depth = depth}}, y);
    assert_false(tape_failed(tape));
}

/* ---- random configurations ---- */

#ifndef REAL_DOUBLE

typedef struct Choice { const char *key; int n; const char *word[8]; int tally[8]; } Choice;
static Choice choice[] = {
    {"sharing", 5, {"cycle", "middle_cycle", "sequence", "middle_sequence", "none"}, {0}},
    {"router", 6, {"none", "expert", "token", "layer", "random", "random_gated"}, {0}},
    {"kv", 4, {"active", "share", "update", "all"}, {0}},
    {"combine", 4, {"delta", "paper", "replace", "soft"}, {0}},
    {"capacity", 4, {"linear", "flat", "q55", "list"}, {0}},
    {"router_net", 4, {"linear", "mlp2", "mlp3", "spatial"}, {0}},
    {"router_placement", 2, {"per_recursion", "once"}, {0}},
    {"select", 3, {"topk", "threshold", "batchk"}, {0}},
    {"activation", 3, {"sigmoid", "tanh", "none"}, {0}},
    {"pool", 2, {"token", "mean"}, {0}},
    {"cls", 2, {"always", "routed"}, {0}},
    {"tail_tokens", 3, {"all", "active", "cls"}, {0}},
    {"loop_conditioning", 5, {"none", "step_embed", "norm", "scale", "lora"}, {0}},
    {"blocks_per_recursion", 3, {"1", "2", "3"}, {0}},
    {"recursions", 6, {"1", "2", "3", "4", "5", "6"}, {0}},
};
enum { N_CHOICES = sizeof choice / sizeof *choice };

static void list_text(char *text, size_t size, int R) {
    double c = dice(2) ? 1 : 0.6 + 0.1 * dice(4);
    int    n = snprintf(text, size, "[");
    for (int r = 0; r < R; r++, c *= 0.5 + 0.1 * dice(6)) n += snprintf(text + n, size - (size_t)n, "%s%.3f", r > 0 ? "," : "", c);
    snprintf(text + n, size - (size_t)n, "]");
}

/* A valid configuration; most draws contradict themselves and are drawn again. The value in hand of one key is kept, so that
 * rare values come up too. */
static Model *draw(int fixed_key, int fixed_value, char *settings, size_t size) {
    for (int attempt = 0; attempt < 20000; attempt++) {
        int  value[N_CHOICES];
        char list[80];
        for (int i = 0; i < N_CHOICES; i++) value[i] = i == fixed_key ? fixed_value : dice(choice[i].n);
        const char *router = choice[1].word[value[1]];
        for (int i = 5; i <= 6 && (strcmp(router, "none") == 0 || strcmp(router, "random") == 0); i++)
            if (i != fixed_key) value[i] = 0;                /* what a router without a net must have */
        list_text(list, sizeof list, value[14] + 1);
        const int patch = 1 + dice(2), side = 2 + dice(7);
        int n = snprintf(settings, size, "img_size=%d patch_size=%d in_chans=%d embed_dim=%d num_heads=%d mlp_ratio=2 num_classes=%d alpha=%s threshold=0.5 lora_rank=2 temperature=%s",
                         patch * side, patch, 1 + dice(2), dice(2) ? 8 : 12, 1 + dice(2), 3 + dice(4), dice(2) ? "1" : "0.4", dice(2) ? "1" : "1.5");
        for (int i = 0; i < N_CHOICES; i++)
            n += snprintf(settings + n, size - (size_t)n, " %s=%s", choice[i].key, strcmp(choice[i].word[value[i]], "list") == 0 ? list : choice[i].word[value[i]]);
        Error  err;
        Model *m = try_model(settings, &err);
        if (m == NULL) continue;
        for (int i = 0; i < N_CHOICES; i++) choice[i].tally[value[i]]++;
        return m;
    }
    fail_msg("no valid configuration with %s=%s", choice[fixed_key].key, choice[fixed_key].word[fixed_value]);
    return NULL;
}

/* Unique numbers by formula: blocks 4 D^2 + 2 D F + 9 D + F, patch embedding, class token and positions, norm, head, router, loops. */
static int64_t elements_by_formula(const MorVit *m) {
    const int64_t D = m->embed_dim, F = m->mlp_width, K = m->blocks_per_recursion, R = m->recursions, C = m->num_classes;
    const int64_t block = 4 * D * D + 2 * D * F + 9 * D + F, U = (m->sharing == SHARING_NONE ? K * R : K) + (m->middle ? 2 : 0);
    int64_t n = U * block + (int64_t)m->in_chans * m->patch_size * m->patch_size * D + D + (m->T + 1) * D + 2 * D + D * C + C;
    if (m->router->learned) {
        const int64_t out = m->router_placement == PLACEMENT_PER_RECURSION ? 1 : m->router->by_layer ? m->n_layers : R;
        const int64_t nets = m->router_placement == PLACEMENT_PER_RECURSION ? R : 1;
        n += nets * (m->router_net == NET_LINEAR ? D * out : m->router_net == NET_SPATIAL ? 9 * D + D * out
                     : m->router_net == NET_MLP2 ? 2 * D * D + 2 * D * out : 6 * D * D + 2 * D * out);
    }
    switch (m->loop_conditioning) {
    case LOOP_STEP_EMBED: return n + R * D;
    case LOOP_NORM:       return n + R * K * 4 * D;
    case LOOP_SCALE:      return n + R * K * 2 * D;
    case LOOP_LORA:       return n + R * K * m->lora_rank * (4 * D + 2 * D + (D + F) + (F + D));
    default:              return n;
    }
}

static void check_weights(const Model *model) {
    for (int i = 0; i < params_count(model->params); i++)
        for (int k = 0; k < i; k++) assert_ptr_not_equal(params_at(model->params, i)->tensor, params_at(model->params, k)->tensor);
    const MorVit *m = model->self;
    const int64_t D = m->embed_dim, F = m->mlp_width, shared = m->blocks_per_recursion * m->recursions - m->n_stack;
    assert_int_equal(params_elements(model->params), elements_by_formula(m));
    assert_int_equal(params_elements_unrolled(model->params), elements_by_formula(m) + shared * (4 * D * D + 2 * D * F + 9 * D + F));
}

/* Depths: within range, and active rows never more than before; sizes of selections exact. */
static void check_selections(const MorVit *m, const ModelOutput *y, int B) {
    int histogram[64] = {0}, sum = 0;
    for (int b = 0; b < B; b++)
        for (int s = 0; s < m->n_steps; s++) {
            int active = 0;
            for (int i = 0; i < m->T; i++) active += y->depth[b * m->T + i] > s;
            assert_int_equal(active, y->active[b * m->n_steps + s]);              /* nested: taking step s means having taken all before */
            if (s > 0) assert_true(active <= y->active[b * m->n_steps + s - 1]);
            if (m->router->capacities && m->select == SELECT_TOPK) {
                const int n = m->n_patches + (m->cls == CLS_ROUTED);
                const int k = (int)floor(schedule_value(&m->capacity, m->recursions, s) * n + 1e-9);
                assert_int_equal(active, (k < 1 ? 1 : k) + (m->cls == CLS_ALWAYS));
            }
        }
    for (int s = 0; m->router->capacities && m->select == SELECT_BATCHK && m->cls == CLS_ALWAYS && s < m->n_steps; s++) {
        const int k = (int)floor(schedule_value(&m->capacity, m->recursions, s) * m->n_patches + 1e-9);
        int       active = 0;
        for (int b = 0; b < B; b++) active += y->active[b * m->n_steps + s] - 1;
        assert_int_equal(active, B * (k < 1 ? 1 : k));
    }
    for (int i = 0; i < B * m->T; i++) {
        assert_true(y->depth[i] >= 0 && y->depth[i] <= m->n_steps);
        histogram[y->depth[i]]++;
        if (i % m->T == 0 && m->cls == CLS_ALWAYS) assert_int_equal(y->depth[i], m->n_steps);
    }
    for (int d = 0; d < 64; d++) sum += histogram[d];
    assert_int_equal(sum, B * m->T);
}

/* By the oracle's scores no chosen token lies below one that was not, up to a gap of 1e-5. */
static void check_scores(const Oracle *o, int r) {
    const MorVit *m = o->m;
    double lowest = INFINITY, highest = -INFINITY;
    for (int i = m->cls == CLS_ALWAYS ? 1 : 0; i < o->T; i++) {
        if (o->depth[i] > r)       lowest  = fmin(lowest, o->score[r][i]);
        else if (o->depth[i] == r) highest = fmax(highest, o->score[r][i]);
    }
    if (m->select == SELECT_TOPK) assert_true(lowest >= highest - 1e-5);
    if (m->select == SELECT_THRESHOLD && m->cls == CLS_ALWAYS && schedule_value(&m->capacity, m->recursions, r) < 1) {
        if (lowest < INFINITY)   assert_true(oracle_act(m, lowest) >= m->threshold - 1e-5);
        if (highest > -INFINITY) assert_true(oracle_act(m, highest) <= m->threshold + 1e-5);
    }
}

static void check_token_depths(const Oracle *o) {
    const int n = o->m->n_steps;
    for (int i = 1; i < o->T; i++)
        for (int j = 0; j < n; j++) assert_true(o->once[i][o->depth[i] - 1] >= o->once[i][j] - 1e-5);
}

static void check_counts(const Model *model, const Tape *tape, const ModelOutput *y, int B, const char *settings) {
    const MorVit *m = model->self;
    int64_t macs = 0, elementwise = 0, router = 0;
    for (int b = 0; b < B; b++) {
        RouteCounts route = {.n_steps = m->n_steps};
        ModelCounts c;
        memcpy(route.active, y->active + b * m->n_steps, (size_t)m->n_steps * sizeof(int));
        model->kind->count(m, &route, &c);
        macs += c.macs;
        elementwise += c.elementwise;
        router += c.macs_router;
    }
    const Profile    *p     = tape_profile((Tape *)(uintptr_t)tape);
    const ProfileWork whole = profile_total(p, 0, 0);
    if (whole.macs != macs || whole.elementwise != elementwise)
        fail_msg("ran %lld MACs and %lld element operations, by the closed form %lld and %lld: %s", (long long)whole.macs, (long long)whole.elementwise,
                 (long long)macs, (long long)elementwise, settings);
    int64_t in_scopes = 0;
    for (int s = 0; s < p->n_scopes; s++)
        if (strcmp(p->scope[s].name, "router") == 0) in_scopes += p->scope[s].forward.macs;
    assert_int_equal(in_scopes, router);
}

#endif

static double worst_of(const Real *a, const double *e, int n) {
    double worst = 0;
    for (int i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - e[i]) / fmax(1, fabs(e[i]));
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

#ifndef REAL_DOUBLE
/* One configuration through every property; the worst deviation from the oracle. */
static double try_configuration(Model *model, Tape *tape, const char *settings) {
    const MorVit *m = model->self;
    const int     B = 1 + dice(MOST_IMAGES), C = m->num_classes;
    Real         *images = random_images(m, B);
    int32_t       depth[MOST_IMAGES * ORACLE_T];
    Real          logits[MOST_IMAGES * 8];
    ModelOutput   y;
    static Oracle o;
    double        worst = 0;
    check_weights(model);
    run(model, tape, (TapeStep){0}, dice(4) == 0, images, B, 0, NULL, &y);
    check_selections(m, &y, B);
    check_counts(model, tape, &y, B, settings);
    memcpy(depth, y.depth, (size_t)(B * m->T) * sizeof *depth);
    memcpy(logits, y.logits->data, (size_t)(B * C) * sizeof *logits);
    for (int b = 0; b < B; b++) {
        oracle_run(&o, model, images + (int64_t)b * m->in_chans * m->img_size * m->img_size, depth + b * m->T);
        worst = fmax(worst, worst_of(logits + b * C, o.logits, C));
        for (int r = 0; m->router == &router_expert && r < m->recursions; r++) check_scores(&o, r);
        if ((m->router == &router_token && m->combine != COMBINE_RULE_SOFT) || m->router == &router_layer) check_token_depths(&o);
    }
    for (int b = 0; b < B; b++) {                                  /* batch invariance, selections forced */
        run(model, tape, (TapeStep){0}, false, images, 1, b, depth + b * m->T, &y);
        assert_memory_equal(y.depth, depth + b * m->T, (size_t)m->T * sizeof *depth);
        for (int c = 0; c < C; c++) {
            const double alone = (double)y.logits->data[c], together = (double)logits[b * C + c];
            if (!(fabs(alone - together) <= 1e-5 * fmax(1, fabs(together)))) fail_msg("image %d alone gives %g, in a batch %g: %s", b, alone, together, settings);
        }
    }
    free(images);
    return worst;
}

static void properties_hold_for_a_thousand_configurations(void **state) {
    (void)state;
    char   settings[1000];
    int    n = 0;
    double worst = 0;
    Tape  *tape[] = {tape_on(&backend_reference), tape_on(backend_default()), tape_on(backend_find("packed"))};
    for (int round = 0; round < 22; round++)
        for (int key = 0; key < N_CHOICES; key++)
            for (int value = round % choice[key].n, once = 1; once; once = 0, n++) {
                Model       *m   = draw(key, value, settings, sizeof settings);
                randomise(m, n);
                const double off = try_configuration(m, tape[n % 3], settings);
                if (!(off <= 1e-5)) fail_msg("sparse is off by %g from the dense oracle: %s", off, settings);
                worst = fmax(worst, off);
                model_destroy(m);
            }
    for (int key = 0; key < N_CHOICES; key++)                      /* what came up too rarely */
        for (int value = 0; value < choice[key].n; value++)
            for (; choice[key].tally[value] < 50 || (key + 1 == N_CHOICES && value + 1 == choice[key].n && n < 1000); n++) {
                Model *m = draw(key, value, settings, sizeof settings);
                randomise(m, n);
                const double off = try_configuration(m, tape[n % 3], settings);
                if (!(off <= 1e-5)) fail_msg("sparse is off by %g from the dense oracle: %s", off, settings);
                worst = fmax(worst, off);
                model_destroy(m);
            }
    printf("           %d configurations, off by %.1e at most\n", n, worst);
    for (int key = 0; key < N_CHOICES; key++) {
        printf("           %-21s", choice[key].key);
        for (int value = 0; value < choice[key].n; value++) {
            printf(" %s %d", choice[key].word[value], choice[key].tally[value]);
            assert_true(choice[key].tally[value] >= 50);
        }
        printf("\n");
    }
    assert_true(n >= 1000);
    for (int i = 0; i < 3; i++) tape_destroy(tape[i]);
}

#endif

/* ---- checkers are shown something wrong ---- */

/* A router that scores all tokens instead of its candidates, and says nothing of it. */
static void wasteful_choice(MorRun *run, Tensor *h, int r, MorRoute *route) {
    scope_open(run->tape, "router", -1);
    op_row_scores(run->tape, h, run->m->net[r].w[0], run->all->index, run->all->n);
    scope_close_many(run->tape, NULL, 0);
    router_expert.choose(run, h, r, route);
}

static void rows_computed_for_nothing_are_counted_and_noticed(void **state) {
    (void)state;
    Tape       *tape = tape_on(&backend_reference);
    Model      *model = model_of("img_size=8 patch_size=2 in_chans=1 embed_dim=8 num_heads=2 mlp_ratio=2 num_classes=3 recursions=3 capacity=linear");
    MorVit     *m = model->self;
    Router      wasteful = router_expert;
    Real       *images = random_images(m, 2);
    ModelOutput y;
    wasteful.choose = wasteful_choice;
    for (int waste = 0; waste < 2; waste++) {
        int64_t sum = 0, least = INT64_MAX, most = 0;
        if (waste) m->router = &wasteful;
        run(model, tape, (TapeStep){0}, false, images, 2, 0, NULL, &y);
        model_count_images(model, &y, 2, false, &sum, &least, &most);
        assert_int_equal(profile_total(tape_profile(tape), 0, 0).macs - sum, waste ? 3 * 2 * m->T * m->embed_dim : 0);
    }
    free(images);
    model_destroy(model);
    tape_destroy(tape);
}

static void an_oracle_with_other_depths_disagrees(void **state) {
    (void)state;
    Tape       *tape = tape_on(&backend_reference);
    Model      *model = model_of("img_size=8 patch_size=2 in_chans=1 embed_dim=8 num_heads=2 mlp_ratio=2 num_classes=3 recursions=3 capacity=linear kv=all");
    MorVit     *m = model->self;
    Real       *images = random_images(m, 1);
    ModelOutput y;
    int32_t     depth[ORACLE_T];
    static Oracle o;
    run(model, tape, (TapeStep){0}, false, images, 1, 0, NULL, &y);
    memcpy(depth, y.depth, (size_t)m->T * sizeof *depth);
    oracle_run(&o, model, images, depth);
    assert_true(worst_of(y.logits->data, o.logits, 3) <= 1e-5);
    for (int i = 1; i < m->T; i++) depth[i] = 4 - depth[i];
    oracle_run(&o, model, images, depth);
    assert_true(worst_of(y.logits->data, o.logits, 3) > 100 * 1e-5);        /* the limit of the comparison above */
    free(images);
    model_destroy(model);
    tape_destroy(tape);
}

/* ---- bit for bit ---- */

/* The plain ViT with the MoR-ViT's weights in every unrolled layer. */
static Model *unrolled(const Model *mor) {
    MorVit *m = mor->self;
    Model  *vit = NULL;
    Error   err = {0};
    char    settings[300];
    snprintf(settings, sizeof settings, "img_size=%d patch_size=%d in_chans=%d embed_dim=%d num_heads=%d mlp_ratio=2 num_classes=%d depth=%d", m->img_size,
             m->patch_size, m->in_chans, m->embed_dim, m->num_heads, m->num_classes, m->n_layers);
    assert_true(model_new(&vit, &model_vit, &err) && fields_set_from_text(model_vit.fields, vit->self, settings, "", &err) && model_build(vit, &err));
    for (int i = 0; i < params_count(vit->params); i++) {
        Param *p = params_at(vit->params, i);
        int    l, at = 0;
        char   name[PARAM_NAME_MAX];
        snprintf(name, sizeof name, "%s", p->name);
        if (sscanf(p->name, "blocks.%d.%n", &l, &at) == 1) {
            OracleBlock b;
            oracle_block_name(m, l, &b);
            snprintf(name, sizeof name, "%s%s", b.prefix, p->name + at);
        }
        const Param *from = params_find(mor->params, name);
        assert_non_null(from);
        memcpy(p->tensor->data, from->tensor->data, (size_t)tensor_count(p->tensor) * sizeof(Real));
    }
    params_touch(vit->params);
    return vit;
}

static void assert_is_its_unrolled_vit(const char *settings) {
    Model  *model = model_of(settings), *vit = unrolled(model);
    MorVit *m = model->self;
    Real   *images = random_images(m, 3);
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tape       *tape = tape_on(backend), *other = tape_on(backend);
        ModelOutput y, z;
        run(model, tape, (TapeStep){0}, false, images, 3, 0, NULL, &y);
        tape_begin(other, false, (TapeStep){0});
        Tensor *x = tensor_from(other, 4, (int64_t[]){3, m->in_chans, m->img_size, m->img_size}, images, false);
        vit->kind->forward(vit->self, other, &(ModelInput){.images = x, .image_id = ids}, &z);
        assert_memory_equal(y.logits->data, z.logits->data, (size_t)tensor_count(y.logits) * sizeof(Real));
        tape_destroy(tape);
        tape_destroy(other);
    }
    free(images);
    model_destroy(vit);
    model_destroy(model);
}

#define SIZES "img_size=12 patch_size=2 in_chans=2 embed_dim=16 num_heads=2 mlp_ratio=2 num_classes=5 "

static void capacity_one_and_replace_is_the_unrolled_tied_vit_bit_for_bit(void **state) {
    (void)state;
    assert_is_its_unrolled_vit(SIZES "sharing=cycle blocks_per_recursion=2 recursions=3 router=expert capacity=flat combine=replace");
    assert_is_its_unrolled_vit(SIZES "sharing=middle_cycle blocks_per_recursion=2 recursions=2 router=expert router_net=mlp2 capacity=flat combine=replace");
    assert_is_its_unrolled_vit(SIZES "sharing=none blocks_per_recursion=1 recursions=4 router=random capacity=flat combine=replace");
    assert_is_its_unrolled_vit(SIZES "sharing=middle_sequence blocks_per_recursion=2 recursions=3 router=none");
}

static void one_recursion_without_a_router_is_the_k_layer_vit_bit_for_bit(void **state) {
    (void)state;
    assert_is_its_unrolled_vit(SIZES "sharing=cycle blocks_per_recursion=1 recursions=1 router=none");
    assert_is_its_unrolled_vit(SIZES "sharing=cycle blocks_per_recursion=3 recursions=1 router=none");
}

/* ---- patches have no order of their own ---- */

static void permuted_patches_with_their_positions_give_permuted_depths(void **state) {
    (void)state;
    static const char *const kinds[] = {"capacity=linear", "capacity=linear kv=share", "capacity=[0.9,0.5,0.2] kv=all router_net=mlp2", "router=token", "router=layer"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char settings[300];
        snprintf(settings, sizeof settings, "img_size=6 patch_size=2 in_chans=1 embed_dim=16 num_heads=2 mlp_ratio=2 num_classes=5 %s", kinds[i]);
        Model      *model = model_of(settings);
        MorVit     *m = model->self;
        Tape       *tape = tape_on(backend_default());
        Real       *images = random_images(m, 1), moved[36], logits[5], *pos = m->pos_embed->data, kept[10 * 16];
        int32_t     depth[10];
        ModelOutput y;
        run(model, tape, (TapeStep){0}, false, images, 1, 0, NULL, &y);
        memcpy(depth, y.depth, sizeof depth);
        memcpy(logits, y.logits->data, sizeof logits);
        memcpy(kept, pos, sizeof kept);
        for (int p = 0; p < 9; p++) {                              /* patch p goes to place (p + 4) mod 9 */
            const int q = (p + 4) % 9;
            memcpy(pos + (1 + q) * 16, kept + (1 + p) * 16, 16 * sizeof(Real));
            for (int k = 0; k < 4; k++) moved[(q / 3 * 2 + k / 2) * 6 + q % 3 * 2 + k % 2] = images[(p / 3 * 2 + k / 2) * 6 + p % 3 * 2 + k % 2];
        }
        run(model, tape, (TapeStep){0}, false, moved, 1, 0, NULL, &y);
        for (int p = 0; p < 9; p++) assert_int_equal(y.depth[1 + (p + 4) % 9], depth[1 + p]);
        for (int c = 0; c < 5; c++) assert_true(fabs((double)(y.logits->data[c] - logits[c])) <= 1e-5 * fmax(1, fabs((double)logits[c])));
        free(images);
        tape_destroy(tape);
        model_destroy(model);
    }
}

/* ---- training ---- */

/* dloss/dw_r = 1/n sum over the n candidates of (sigmoid(s) - chosen) h: no other token has a part in it. For the last router that is
 * all there is, since later selections are none. Backwards from the auxiliary loss alone: nothing else brings a gradient. */
static void the_auxiliary_loss_leaves_tokens_alone_that_are_no_candidates(void **state) {
    (void)state;
    static const char *const kinds[] = {SIZES "recursions=3 capacity=linear aux_weight=1", SIZES "recursions=3 capacity=linear aux_weight=1 combine=replace kv=update"};
    for (int kind = 0; kind < 2; kind++) {
        Model      *model = model_of(kinds[kind]);
        MorVit     *m = model->self;
        Tape       *tape = tape_on(&backend_reference);
        Real       *images = random_images(m, 1);
        Error       err = {0};
        ModelOutput y;
        static Oracle o;
        int32_t     depth[ORACLE_T];
        double      expected[ORACLE_D] = {0}, size = 0;
        int         n = 0;
        assert_true(params_want_grads(model->params, &err));
        params_zero_grads(model->params);
        run(model, tape, (TapeStep){.training = true}, true, images, 1, 0, NULL, &y);
        assert_int_equal(y.n_loss_parts, 1);
        assert_string_equal(y.loss_part[0].name, "aux_bce");
        memcpy(depth, y.depth, (size_t)m->T * sizeof *depth);
        oracle_run(&o, model, images, depth);
        for (int i = 1; i < m->T; i++) n += depth[i] >= 2;
        for (int i = 1; i < m->T; i++)
            for (int d = 0; depth[i] >= 2 && d < m->embed_dim; d++)
                expected[d] += (1 / (1 + exp(-o.score[2][i])) - (depth[i] > 2)) * o.before[2][i][d] / n;
        tape_backward(tape, y.auxiliary_loss);
        params_settle_grads(model->params);
        for (int c = 0; c < m->num_classes; c++) assert_true(m->head_b->grad[c] == 0);        /* nothing reaches the head */
        for (int d = 0; d < m->embed_dim; d++) size = fmax(size, fabs(expected[d]));
        assert_true(size > 0.01);
        for (int d = 0; d < m->embed_dim; d++) assert_true(fabs((double)m->net[2].w[0]->grad[d] - expected[d]) <= 1e-5 * size);
        free(images);
        tape_destroy(tape);
        model_destroy(model);
    }
}

/* What is frozen brings no gradient; those of the rest stay what they are: blocks that write over the stream put it back all the same. */
static void frozen_parts_leave_the_gradients_of_the_others_alone(void **state) {
    (void)state;
    static const char *const kinds[] = {SIZES "recursions=3 capacity=linear combine=replace", SIZES "recursions=3 capacity=linear kv=share",
                                        SIZES "recursions=3 capacity=linear kv=update combine=paper", SIZES "recursions=3 capacity=[0.9,0.5,0.2] kv=all combine=replace"};
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        Model *model = model_of(kinds[kind]);
        Tape  *tape = tape_on(&backend_reference);
        Real  *images = random_images(model->self, 2), kept[3][ORACLE_D];
        Error  err = {0};
        const MorVit *m = model->self;
        assert_true(params_want_grads(model->params, &err));
        for (int frozen = 0; frozen < 2; frozen++) {
            ModelOutput y;
            for (int i = 0; i < params_count(model->params); i++) {
                Param *p = params_at(model->params, i);
                p->tensor->needs_grad = frozen == 0 || strncmp(p->name, "routers.", 8) == 0;
            }
            params_zero_grads(model->params);
            run(model, tape, (TapeStep){.training = true}, true, images, 2, 0, NULL, &y);
            tape_backward(tape, op_add(tape, op_cross_entropy(tape, y.logits, (int32_t[]){0, 1}, NULL, 0), y.auxiliary_loss));
            assert_false(tape_failed(tape));
            for (int r = 0; r < 3; r++)
                for (int d = 0; d < m->embed_dim; d++) {
                    const Real g = m->net[r].w[0]->grad[d];
                    if (frozen == 0) kept[r][d] = g;
                    else             assert_true(fabs((double)(g - kept[r][d])) <= 1e-5 * (1e-3 + fabs((double)kept[r][d])));
                }
        }
        free(images);
        tape_destroy(tape);
        model_destroy(model);
    }
}

static void the_loss_free_bias_moves_against_the_load(void **state) {
    (void)state;
    Model      *model = model_of(SIZES "recursions=3 router=token balance=lossfree");
    MorVit     *m = model->self;
    Tape       *tape = tape_on(&backend_reference);
    Real       *images = random_images(m, 4);
    ModelOutput y;
    m->router_bias->data[0] = m->router_bias->data[1] = m->router_bias->data[2] = 0;
    run(model, tape, (TapeStep){.training = true}, true, images, 4, 0, NULL, &y);
    int load[3] = {0};
    for (int i = 0; i < 4 * m->T; i++)
        if (i % m->T != 0) load[y.depth[i] - 1]++;
    model->kind->after_step(m);
    for (int j = 0; j < 3; j++) {
        const double lacks = 4.0 * m->n_patches / 3 - load[j];
        assert_true(fabs((double)m->router_bias->data[j] - (lacks > 0 ? 1e-3 : lacks < 0 ? -1e-3 : 0)) < 1e-9);
    }
    assert_int_equal(params_find(model->params, "router.bias")->role, PARAM_BUFFER);
    free(images);
    tape_destroy(tape);
    model_destroy(model);
}

static void capacities_fall_from_one_while_they_warm_up(void **state) {
    (void)state;
    Model      *model = model_of(SIZES "recursions=2 capacity=[1,0.25] capacity_warmup=0.5");
    MorVit     *m = model->self;
    Tape       *tape = tape_on(&backend_reference);
    Real       *images = random_images(m, 1);
    ModelOutput y;
    const int   N = m->n_patches, at[] = {0, 25, 50, 99};
    for (int i = 0; i < 4; i++) {
        const double c = at[i] >= 50 ? 0.25 : 0.25 + 0.75 * 0.5 * (1 + cos(M_PI * at[i] / 50));
        run(model, tape, (TapeStep){.step = at[i], .n_steps = 100, .training = true}, true, images, 1, 0, NULL, &y);
        assert_int_equal(y.active[1], 1 + (int)floor(c * N + 1e-9));
    }
    run(model, tape, (TapeStep){.step = 0, .n_steps = 100}, false, images, 1, 0, NULL, &y);
    assert_int_equal(y.active[1], 1 + N / 4);
    free(images);
    tape_destroy(tape);
    model_destroy(model);
}

/* A router's choices are discrete: the same step draws the same tokens, another step others; packed order and batch change nothing. */
static void random_choices_are_addressed_by_step_image_and_patch(void **state) {
    (void)state;
    Model      *model = model_of(SIZES "recursions=3 router=random capacity=linear");
    MorVit     *m = model->self;
    Tape       *tape = tape_on(&backend_reference);
    Real       *images = random_images(m, 3);
    ModelOutput y;
    int32_t     depth[3 * ORACLE_T];
    run(model, tape, (TapeStep){.seed = 1, .step = 4}, false, images, 3, 0, NULL, &y);
    memcpy(depth, y.depth, (size_t)(3 * m->T) * sizeof *depth);
    run(model, tape, (TapeStep){.seed = 1, .step = 4}, false, images, 1, 1, NULL, &y);
    assert_memory_equal(y.depth, depth + m->T, (size_t)m->T * sizeof *depth);
    run(model, tape, (TapeStep){.seed = 1, .step = 5}, false, images, 1, 1, NULL, &y);
    assert_true(memcmp(y.depth, depth + m->T, (size_t)m->T * sizeof *depth) != 0);
    free(images);
    tape_destroy(tape);
    model_destroy(model);
}

/* Where the draws are given, gates and their losses but the BCE are those of expert, bit for bit; without, the choice is random's. */
static void gated_random_differs_from_expert_in_the_choice_alone(void **state) {
    (void)state;
    static const char *const kinds[] = {"", "combine=paper alpha=0.1 activation=tanh temperature=2", "router_net=spatial router_detach=true", "router_net=mlp2 cls=routed", "router_net=mlp3 router_placement=once kv=share",
                                        "z_weight=0.1"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char settings[3][400];
        for (int k = 0; k < 3; k++)
            snprintf(settings[k], sizeof settings[k], SIZES "recursions=3 capacity=linear router=%s %s", k == 0 ? "random_gated" : k == 1 ? "expert" : "random",
                     k < 2 ? kinds[i] : strstr(kinds[i], "cls=routed") != NULL ? "cls=routed" : "");
        Model      *gated = model_of(settings[0]), *expert = model_of(settings[1]), *plain = model_of(settings[2]);
        MorVit     *m = gated->self;
        Tape       *tape = tape_on(&backend_reference);
        Real       *images = random_images(m, 3), logits[3 * 5];
        int32_t     depth[3 * ORACLE_T];
        const TapeStep step = {.seed = 1, .step = 4, .training = true};
        ModelOutput y;
        assert_int_equal(params_elements(gated->params), params_elements(expert->params));
        run(gated, tape, step, true, images, 3, 0, NULL, &y);
        memcpy(depth, y.depth, (size_t)(3 * m->T) * sizeof *depth);
        memcpy(logits, y.logits->data, sizeof logits);
        assert_int_equal(y.n_loss_parts, m->z_weight > 0);
        const double         z_loss = m->z_weight > 0 ? y.loss_part[0].value->data[0] : 0;
        const ProfileWork    work = profile_total(tape_profile(tape), 0, 0);
        run(plain, tape, step, false, images, 3, 0, NULL, &y);
        assert_memory_equal(y.depth, depth, (size_t)(3 * m->T) * sizeof *depth);
        run(expert, tape, step, true, images, 3, 0, NULL, &y);
        assert_true(memcmp(y.depth, depth, (size_t)(3 * m->T) * sizeof *depth) != 0);
        run(expert, tape, step, true, images, 3, 0, depth, &y);
        assert_memory_equal(y.logits->data, logits, sizeof logits);
        assert_string_equal(y.loss_part[0].name, "aux_bce");
        if (m->z_weight > 0) assert_true(y.loss_part[1].value->data[0] == (Real)z_loss);
        assert_int_equal(profile_total(tape_profile(tape), 0, 0).macs, work.macs);
        free(images);
        tape_destroy(tape);
        model_destroy(gated);
        model_destroy(expert);
        model_destroy(plain);
    }
}

/* ---- central differences through the whole model, selections forced (REAL=double) ---- */

#ifdef REAL_DOUBLE
static const int32_t labels[MOST_IMAGES] = {0, 1, 2, 0, 1};

static double loss_at(Model *model, Tape *tape, Real *images, int B, const int32_t *depth, Tensor **loss) {
    ModelOutput y;
    run(model, tape, (TapeStep){.training = true}, true, images, B, 0, depth, &y);
    Tensor *sum = op_cross_entropy(tape, y.logits, labels, NULL, 0.1);
    for (int i = 0; i < y.n_logits_deep; i++) sum = op_add(tape, sum, op_scale(tape, op_cross_entropy(tape, y.logits_deep[i], labels, NULL, 0.1), 0.3));
    if (y.auxiliary_loss != NULL) sum = op_add(tape, sum, y.auxiliary_loss);
    if (loss != NULL) *loss = sum;
    return sum->data[0];
}

static double worst_gradient(const char *settings) {
    Model  *model = model_of(settings);
    MorVit *m = model->self;
    Tape   *tape = tape_on(&backend_reference);
    Error   err = {0};
    Real   *images = random_images(m, 2);
    int32_t depth[2 * ORACLE_T];
    Tensor *loss;
    ModelOutput y;
    run(model, tape, (TapeStep){.training = true}, false, images, 2, 0, NULL, &y);
    memcpy(depth, y.depth, (size_t)(2 * m->T) * sizeof *depth);
    assert_true(params_want_grads(model->params, &err));
    params_zero_grads(model->params);
    loss_at(model, tape, images, 2, depth, &loss);
    tape_backward(tape, loss);
    params_settle_grads(model->params);
    double worst = 0;
    for (int i = 0; i < params_count(model->params); i++) {
        Param *p = params_at(model->params, i);
        if (p->role == PARAM_BUFFER) continue;
        for (int trial = 0; trial < 3; trial++) {
            const int64_t k = dice((int)tensor_count(p->tensor));
            const double  at = p->tensor->data[k], h = 1e-5;
            double        side[2];
            for (int s = 0; s < 2; s++) {
                p->tensor->data[k] = s == 0 ? at - h : at + h;
                side[s] = loss_at(model, tape, images, 2, depth, NULL);
            }
            p->tensor->data[k] = at;
            const double difference = (side[1] - side[0]) / (2 * h), error = fabs(p->tensor->grad[k] - difference) / fmax(1, fabs(difference));
            if (!(error <= 1e-6)) fail_msg("%s: %s[%lld] is %.9g, by differences %.9g", settings, p->name, (long long)k, p->tensor->grad[k], difference);
            worst = fmax(worst, error);
        }
    }
    free(images);
    tape_destroy(tape);
    model_destroy(model);
    return worst;
}

/* The layer router's straight-through gradient is none of a function; the golden cases hold it. */
static void gradients_match_central_differences_through_shared_blocks_routers_and_gates(void **state) {
    (void)state;
    static const char *const kinds[] = {
        "sharing=cycle blocks_per_recursion=2 recursions=3 capacity=linear", "recursions=3 capacity=linear combine=paper alpha=0.3",
        "recursions=3 capacity=linear kv=share router_net=mlp2", "recursions=3 capacity=linear kv=update", "recursions=3 capacity=[0.9,0.5,0.2] kv=all router_net=spatial",
        "sharing=none blocks_per_recursion=2 recursions=2 capacity=linear kv=all", "sharing=cycle blocks_per_recursion=2 recursions=2 capacity=linear kv=all loop_conditioning=lora lora_rank=2",
        "recursions=3 capacity=linear loop_conditioning=norm", "recursions=3 capacity=linear loop_conditioning=scale activation=tanh", "recursions=3 capacity=linear loop_conditioning=step_embed kv=update",
        "recursions=3 capacity=linear router_placement=once router_net=mlp3", "recursions=3 capacity=linear pool=mean tail_tokens=active", "recursions=3 capacity=linear tail_tokens=cls activation=none",
        "recursions=3 capacity=linear tail_tokens=active kv=all", "recursions=3 capacity=linear cls=routed z_weight=0.1", "recursions=3 capacity=linear deep_supervision=0.3", "recursions=3 router=token", "recursions=3 router=token combine=soft", "recursions=3 router=token kv=all combine=paper",
        "recursions=3 router=token kv=share balance=target temperature=1.5", "recursions=3 router=token combine=replace balance=hinge_var", "recursions=3 router=random capacity=linear alpha=0.5",
        "recursions=3 router=random_gated capacity=linear z_weight=0.1", "recursions=3 router=random_gated capacity=linear combine=paper alpha=0.3 router_net=mlp2 router_placement=once kv=share",
        "recursions=3 router=none sharing=middle_sequence blocks_per_recursion=2"};
    double worst = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char settings[400];
        snprintf(settings, sizeof settings, "img_size=6 patch_size=2 in_chans=1 embed_dim=8 num_heads=2 mlp_ratio=2 num_classes=3 %s", kinds[i]);
        worst = fmax(worst, worst_gradient(settings));
    }
    printf("           %d kinds of model, worst error %.1e\n", (int)(sizeof kinds / sizeof *kinds), worst);
}
#endif

/* ---- initialisation ---- */

static void a_trained_vit_gives_its_layers_by_rule(void **state) {
    (void)state;
    static const struct { const char *rule; int layer[2]; } rules[] = {{"stepwise", {1, 6}}, {"lower", {1, 2}}, {"upper", {5, 6}}};
    Model *vit = NULL;
    Error  err = {0};
    assert_true(model_new(&vit, &model_vit, &err) && fields_set_from_text(model_vit.fields, vit->self, SIZES "depth=8", "", &err) && model_build(vit, &err));
    randomise(vit, 9);
    for (int i = 0; i < 3; i++) {
        Model *model = model_of(SIZES "sharing=middle_cycle blocks_per_recursion=2 recursions=3 router=none");
        assert_true(model->kind->init_from(model->self, vit, rules[i].rule, &err));
        for (int k = 0; k < 2; k++) {
            char from[64], to[64];
            snprintf(from, sizeof from, "blocks.%d.mlp.fc1.weight", rules[i].layer[k]);
            snprintf(to, sizeof to, "stack.%d.mlp.fc1.weight", k);
            const Tensor *a = params_find(vit->params, from)->tensor, *b = params_find(model->params, to)->tensor;
            assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * sizeof(Real));
        }
        const Tensor *first = params_find(vit->params, "blocks.0.attn.qkv.weight")->tensor, *last = params_find(vit->params, "blocks.7.attn.qkv.weight")->tensor;
        assert_memory_equal(first->data, params_find(model->params, "first.attn.qkv.weight")->tensor->data, (size_t)tensor_count(first) * sizeof(Real));
        assert_memory_equal(last->data, params_find(model->params, "last.attn.qkv.weight")->tensor->data, (size_t)tensor_count(last) * sizeof(Real));
        model_destroy(model);
    }
    Model *model = model_of(SIZES "sharing=middle_cycle blocks_per_recursion=2 recursions=3 router=none");
    assert_true(model->kind->init_from(model->self, vit, "average", &err));
    double mean = 0;
    for (int l = 1; l <= 5; l += 2) {                              /* block 0 stands for unrolled layers 1, 3, 5 */
        char name[64];
        snprintf(name, sizeof name, "blocks.%d.attn.proj.weight", l);
        mean += (double)params_find(vit->params, name)->tensor->data[7] / 3;
    }
    assert_true(fabs(mean - (double)params_find(model->params, "stack.0.attn.proj.weight")->tensor->data[7]) < 1e-6);
    Real drawn[16];
    memcpy(drawn, params_find(model->params, "stack.1.mlp.fc2.weight")->tensor->data, sizeof drawn);
    assert_true(model->kind->init_from(model->self, vit, "random", &err));
    assert_memory_equal(drawn, params_find(model->params, "stack.1.mlp.fc2.weight")->tensor->data, sizeof drawn);
    assert_true(params_find(model->params, "norm.bias")->tensor->data[3] == params_find(vit->params, "norm.bias")->tensor->data[3]);
    assert_false(model->kind->init_from(model->self, vit, "stepwize", &err));
    assert_non_null(strstr(err.message, "known: stepwise, average"));
    model_destroy(model);
    model_destroy(vit);
}

/* ---- refusals ---- */

static void a_model_tells_what_its_depths_count_and_what_decides_them(void **state) {
    (void)state;
    static const struct { const char *settings, *unit; bool routed, decides_depth, batch_dependent; } of[] = {
        {"router=none", "recursions", false, false, false}, {"capacity=linear", "recursions", true, false, false},
        {"router=random_gated capacity=linear select=batchk", "recursions", true, false, true}, {"capacity=linear select=threshold", "recursions", true, true, false},
        {"router=token", "recursions", true, true, false}, {"router=token combine=soft", "recursions", true, false, false}, {"router=layer", "layers", true, true, false}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        Model            *m = model_of(of[i].settings);
        const ModelTraits t = model_traits(m);
        assert_string_equal(t.depth_unit, of[i].unit);
        if (t.routed != of[i].routed || t.decides_depth != of[i].decides_depth || t.batch_dependent != of[i].batch_dependent) fail_msg("%s", of[i].settings);
        model_destroy(m);
    }
}

/* The answer to an image by itself and among others: the same, but where the batch is selected from as a whole. */
static void only_batchk_lets_an_answer_hang_on_the_batch(void **state) {
    (void)state;
    for (int batchk = 0; batchk < 2; batchk++) {
        Model        *m = model_of(batchk ? SIZES "recursions=3 capacity=linear select=batchk" : SIZES "recursions=3 capacity=linear");
        const MorVit *v = m->self;
        Tape         *tape = tape_on(&backend_reference);
        Real         *images = random_images(v, 5);
        int32_t       depth[5 * ORACLE_T];
        int           other = 0;
        ModelOutput   y;
        run(m, tape, (TapeStep){0}, false, images, 5, 0, NULL, &y);
        memcpy(depth, y.depth, (size_t)(5 * v->T) * sizeof *depth);
        for (int b = 0; b < 5; b++) {
            run(m, tape, (TapeStep){0}, false, images, 1, b, NULL, &y);
            other += memcmp(y.depth, depth + b * v->T, (size_t)v->T * sizeof *depth) != 0;
        }
        assert_int_equal(other > 0, batchk);
        assert_int_equal(model_traits(m).batch_dependent, batchk);
        free(images);
        tape_destroy(tape);
        model_destroy(m);
    }
}

/* Where no threshold is given it is that of a score of 0, in every activation. */
static void a_threshold_lies_where_a_score_is_nothing(void **state) {
    (void)state;
    static const struct { const char *settings; double threshold; } of[] = {
        {"capacity=linear select=threshold", 0.5}, {"capacity=linear select=threshold activation=tanh", 0}, {"capacity=linear select=threshold activation=none", 0},
        {"capacity=linear select=threshold activation=tanh threshold=0.4", 0.4}, {"capacity=linear activation=tanh", 0.5}, {"router=none", 0.5}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        Model *m = model_of(of[i].settings);
        assert_true(((const MorVit *)m->self)->threshold == of[i].threshold);
        model_destroy(m);
    }
}

/* What a run says of its settings builds the same model again: values that were filled in are accepted, whatever the router. */
static void settings_as_they_were_filled_in_are_accepted(void **state) {
    (void)state;
    static const char *const kinds[] = {"router=none", "router=random capacity=linear", "router=random_gated capacity=linear", "router=token", "router=layer", "capacity=linear"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        Error         err;
        Model        *m = try_model(kinds[i], &err);
        const MorVit *v = m != NULL ? m->self : NULL;
        char          again[500];
        assert_non_null(v);
        int n = snprintf(again, sizeof again, "%s", kinds[i]);
        static const char *const keys[] = {"router_net", "router_placement", "kv", "balance"};
        for (size_t k = 0; k < 4; k++) {
            const Field *f = field_find(model_mor_vit.fields, keys[k]);
            n += snprintf(again + n, sizeof again - (size_t)n, " %s=%s", keys[k], f->words[(int)field_number(f, v)]);
        }
        snprintf(again + n, sizeof again - (size_t)n, " z_weight=%g threshold=%g", v->z_weight, v->threshold);
        Model *same = try_model(again, &err);
        if (same == NULL) fail_msg("%s: %s %s", again, err.field, err.message);
        model_destroy(same);
        model_destroy(m);
    }
}

static void impossible_settings_are_refused_by_name(void **state) {
    (void)state;
    static const struct { const char *settings, *field, *says; } cases[] = {
        {"recursions=2 capacity=[0.9,0.5] kv=share", "/model/capacity/0", "must be 1 with kv share"},
        {"recursions=2 capacity=[0.9,0.5] kv=update", "/model/capacity/0", "must be 1 with kv update"},
        {"sharing=sequence recursions=2 capacity=linear", "/model/router", "must be none with sharing sequence"},
        {"sharing=middle_sequence router=token", "/model/router", "must be none with sharing middle_sequence"},
        {"recursions=3 capacity=[1,0.5,0.6]", "/model/capacity/2", "must not exceed the capacity before it"},
        {"recursions=3 capacity=[1,0.5]", "/model/capacity", "one entry for each of the 3 recursions, got 2"},
        {"recursions=3", "/model/capacity", "must be given for router expert"},
        {"recursions=2 capacity=[1,1.4]", "/model/capacity/1", "must be in"},
        {"capacity=linear combine=soft", "/model/combine", "soft is for router token"},
        {"router=layer combine=paper", "/model/combine", "must be delta or replace for router layer"},
        {"router=token alpha=0.5", "/model/alpha", "must be 1 for router token"},
        {"router=random capacity=linear activation=tanh", "/model/activation", "must be sigmoid for router random"},
        {"router=none temperature=2", "/model/temperature", "must be 1 for router none"},
        {"router=token combine=soft balance=lossfree", "/model/balance", "where tokens stop"},
        {"router=layer kv=active", "/model/kv", "must be all for router layer"},
        {"router=token select=threshold", "/model/select", "must be topk for router token"},
        {"router=random capacity=linear select=threshold", "/model/select", "whose scores mean nothing"},
        {"router=random_gated capacity=linear select=threshold", "/model/select", "for router random_gated, whose scores mean nothing"},
        {"router=random_gated capacity=linear combine=replace", "/model/combine", "without its gate is router random"},
        {"router=none cls=routed", "/model/cls", "must be always"},
        {"router=random capacity=linear router_net=mlp3", "/model/router_net", "must be linear for router random, which has no net; got mlp3"},
        {"router=none router_placement=once", "/model/router_placement", "must be per_recursion for router none, which has no net"},
        {"router=none router_detach=true", "/model/router_detach", "must be 0 for router none"},
        {"router=random capacity=linear z_weight=0.001", "/model/z_weight", "must be 0 for router random, which has no logits; got 0.001"},
        {"router=token capacity_warmup=0.1", "/model/capacity_warmup", "must be 0 for router token, which has no capacities"},
        {"router=layer capacity_warmup=0.1", "/model/capacity_warmup", "must be 0 for router layer"},
        {"router=none capacity_warmup=0.1", "/model/capacity_warmup", "must be 0 for router none"},
        {"router=layer deep_supervision=0.1", "/model/deep_supervision", "must be 0 for router layer, where no recursion comes before the last"},
        {"recursions=1 capacity=linear deep_supervision=0.1", "/model/deep_supervision", "must be 0 for router expert"},
        {"capacity=linear router_net=spatial cls=routed", "/model/router_net", "must not be spatial with cls routed"},
        {"router=token router_placement=per_recursion", "/model/router_placement", "must be once"},
        {"sharing=cycle capacity=linear tail_tokens=cls", "/model/tail_tokens", "without middle sharing"},
        {"capacity=linear tail_tokens=cls pool=mean", "/model/tail_tokens", "which reads the patches"},
        {"capacity=linear balance=switch", "/model/balance", "must be none for router expert"},
        {"router=layer balance=lossfree", "/model/balance", "lossfree is for router token"},
        {"router=layer loop_conditioning=step_embed", "/model/loop_conditioning", "must not be step_embed"},
        {"capacity=linear pool=mean deep_supervision=0.1", "/model/deep_supervision", "must be 0 with pool mean"},
        {"capacity=linear router_placement=once z_weight=0.1", "/model/z_weight", "must be 0"},
        {"recursions=32 blocks_per_recursion=16 capacity=linear", "/model/recursions", "must be at most 62"},
        {"capacity=lineer", "/model/capacity", "linear"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error  err;
        Model *m = try_model(cases[i].settings, &err);
        if (m != NULL) fail_msg("%s was accepted", cases[i].settings);
        if (strcmp(err.field, cases[i].field) != 0 || strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: said %s: %s", cases[i].settings, err.field, err.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef REAL_DOUBLE
        cmocka_unit_test(gradients_match_central_differences_through_shared_blocks_routers_and_gates),
#else
        cmocka_unit_test(properties_hold_for_a_thousand_configurations),
#endif
        cmocka_unit_test(rows_computed_for_nothing_are_counted_and_noticed),
        cmocka_unit_test(an_oracle_with_other_depths_disagrees),
        cmocka_unit_test(capacity_one_and_replace_is_the_unrolled_tied_vit_bit_for_bit),
        cmocka_unit_test(one_recursion_without_a_router_is_the_k_layer_vit_bit_for_bit),
        cmocka_unit_test(permuted_patches_with_their_positions_give_permuted_depths),
        cmocka_unit_test(the_auxiliary_loss_leaves_tokens_alone_that_are_no_candidates),
        cmocka_unit_test(frozen_parts_leave_the_gradients_of_the_others_alone),
        cmocka_unit_test(the_loss_free_bias_moves_against_the_load),
        cmocka_unit_test(capacities_fall_from_one_while_they_warm_up),
        cmocka_unit_test(random_choices_are_addressed_by_step_image_and_patch),
        cmocka_unit_test(gated_random_differs_from_expert_in_the_choice_alone),
        cmocka_unit_test(a_trained_vit_gives_its_layers_by_rule),
        cmocka_unit_test(a_model_tells_what_its_depths_count_and_what_decides_them),
        cmocka_unit_test(only_batchk_lets_an_answer_hang_on_the_batch),
        cmocka_unit_test(a_threshold_lies_where_a_score_is_nothing),
        cmocka_unit_test(settings_as_they_were_filled_in_are_accepted),
        cmocka_unit_test(impossible_settings_are_refused_by_name),
    };
    return cmocka_run_group_tests_name("mor_vit", tests, NULL, NULL);
}
