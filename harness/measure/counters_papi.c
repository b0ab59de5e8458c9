/* Events of PAPI, presets and native ones, and our own counts as software-defined events (counter_set.h).
 *
 * An event set belongs to one component and one thread, so each thread holds one set for each component its events come from.
 * Where hardware events do not fit together, the set of that component is made anew as a multiplexed one, whose counts PAPI
 * scales and we label. */
#include "harness/measure/counter_set.h"
#include "harness/measure/counters.h"
#include "harness/sysfile.h"

#ifdef HAVE_PAPI

#include <papi.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_SDE
#include <sde_lib.h>

static _Thread_local long long published_macs, published_tokens, published_depth;

/* PAPI_read calls these on the thread that reads. */
static long long read_macs(void *p)   { (void)p; return published_macs; }
static long long read_tokens(void *p) { (void)p; return published_tokens; }
static long long read_depth(void *p)  { (void)p; return published_depth; }

static bool published;

bool counters_publish(void) {
    if (published) return true;
    papi_handle_t library = papi_sde_init("morbench");
    published = library != NULL && papi_sde_register_counter_cb(library, "macs", PAPI_SDE_RO | PAPI_SDE_INSTANT, PAPI_SDE_long_long, read_macs, NULL) == SDE_OK
             && papi_sde_register_counter_cb(library, "tokens", PAPI_SDE_RO | PAPI_SDE_INSTANT, PAPI_SDE_long_long, read_tokens, NULL) == SDE_OK
             && papi_sde_register_counter_cb(library, "depth", PAPI_SDE_RO | PAPI_SDE_INSTANT, PAPI_SDE_long_long, read_depth, NULL) == SDE_OK;
    return published;
}

void counters_published_add(int64_t macs, int64_t tokens, int64_t depth) {
    published_macs   += macs;
    published_tokens += tokens;
    published_depth  += depth;
}
#endif

enum { MAX_EVENTS = 48, MAX_SETS = 4 };

typedef struct PapiSet {
    int  set, component, n;
    bool multiplexed;
    int  code[MAX_EVENTS];
} PapiSet;

typedef struct PapiThread {
    int         n, n_sets;
    PapiSet     set[MAX_SETS];
    int         of_set[MAX_EVENTS], place[MAX_EVENTS];       /* where event i is counted */
    const char *reason[MAX_EVENTS];
} PapiThread;

static void drop(PapiSet *s) {
    if (s->set == PAPI_NULL) return;
    long long unused[MAX_EVENTS];
    int       state = 0;
    if (PAPI_state(s->set, &state) == PAPI_OK && (state & PAPI_RUNNING)) PAPI_stop(s->set, unused);
    PAPI_cleanup_eventset(s->set);
    PAPI_destroy_eventset(&s->set);
    s->set = PAPI_NULL;
}

static int make(PapiSet *s) {
    s->set = PAPI_NULL;
    int code = PAPI_create_eventset(&s->set);
    if (code == PAPI_OK) code = PAPI_assign_eventset_component(s->set, s->component);
    if (code == PAPI_OK && s->multiplexed) code = PAPI_set_multiplex(s->set);
    for (int i = 0; code == PAPI_OK && i < s->n; i++) code = PAPI_add_event(s->set, s->code[i]);
    return code;
}

/* The event into the set of its component, or why not. */
static const char *add(PapiThread *t, int i, const char *name) {
    int code  = 0;
    int error = name[0] != '\0' ? PAPI_event_name_to_code(name, &code) : PAPI_ENOEVNT;
    if (error != PAPI_OK) return counters_reason_of_papi(error);
    const int component = PAPI_get_event_component(code);
    if (component < 0) return counters_reason_of_papi(component);
    int k = 0;
    while (k < t->n_sets && t->set[k].component != component) k++;
    if (k == MAX_SETS) return sysfile_not_supported;
    PapiSet *s = &t->set[k];
    if (k == t->n_sets) {
        *s = (PapiSet){.set = PAPI_NULL, .component = component};
        error = make(s);
        if (error != PAPI_OK) {
            drop(s);
            return counters_reason_of_papi(error);
        }
        t->n_sets++;
    }
    error = PAPI_add_event(s->set, code);
    if ((error == PAPI_ECNFLCT || error == PAPI_ECOUNT) && !s->multiplexed) {  /* they do not fit together: in turns, then */
        PapiSet shared = *s;
        shared.multiplexed      = true;
        shared.code[shared.n++] = code;
        error = make(&shared);
        if (error == PAPI_OK) {
            drop(s);
            *s = shared;
            s->n--;
        } else {
            drop(&shared);
        }
    }
    if (error != PAPI_OK) return counters_reason_of_papi(error);
    t->of_set[i]   = k;
    t->place[i]    = s->n;
    s->code[s->n++] = code;
    return NULL;
}

static void *papi_open(void *self, const CounterEvent *const event[], int n) {
    (void)self;
    PapiThread *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    CHECK(n <= MAX_EVENTS, "%d events", n);
    t->n = n;
    PAPI_register_thread();
    for (int i = 0; i < n; i++) t->reason[i] = add(t, i, event[i]->papi);
    for (int k = 0; k < t->n_sets; k++) {
        const int error = t->set[k].n > 0 ? PAPI_start(t->set[k].set) : PAPI_OK;
        for (int i = 0; error != PAPI_OK && i < n; i++)
            if (t->reason[i] == NULL && t->of_set[i] == k) t->reason[i] = counters_reason_of_papi(error);
    }
    return t;
}

static void papi_read(void *thread, CounterReading reading[]) {
    PapiThread *t = thread;
    long long   value[MAX_SETS][MAX_EVENTS] = {{0}};
    int         error[MAX_SETS] = {0};
    for (int k = 0; k < t->n_sets; k++) error[k] = t->set[k].n > 0 ? PAPI_read(t->set[k].set, value[k]) : PAPI_OK;
    for (int i = 0; i < t->n; i++) {
        reading[i] = (CounterReading){.reason = t->reason[i]};
        if (t->reason[i] != NULL) continue;
        const int k = t->of_set[i];
        if (error[k] != PAPI_OK) reading[i].reason = t->reason[i] = counters_reason_of_papi(error[k]);
        else if (value[k][t->place[i]] < 0) reading[i].reason = sysfile_not_supported;   /* a software event nobody registered reads -1 */
        else reading[i].count = (uint64_t)value[k][t->place[i]];
        reading[i].shared = t->set[k].multiplexed;
    }
}

static void papi_close(void *thread) {
    PapiThread *t = thread;
    for (int k = 0; k < t->n_sets; k++) drop(&t->set[k]);
    free(t);
}

static const CounterProvider papi = {.name = "papi", .open = papi_open, .read = papi_read, .close = papi_close};

const CounterProvider *counter_provider_papi(void) {
    static int state;                                        /* 0 not tried, 1 ready, -1 does not start */
    if (state == 0) {
        const int version = PAPI_library_init((int)PAPI_VER_CURRENT);
        state = version == (int)PAPI_VER_CURRENT && PAPI_thread_init(pthread_self) == PAPI_OK ? 1 : -1;
        if (state == 1) PAPI_multiplex_init();               /* should it fail, sets that need it will say so */
    }
    return state == 1 ? &papi : NULL;
}

/* A CPU newer than the library has counters but no presets: the kernel's general names are then the better ones. */
bool counter_papi_has_hardware(void) { return counter_provider_papi() != NULL && PAPI_num_cmp_hwctrs(0) > 0 && PAPI_query_event((int)PAPI_TOT_INS) == PAPI_OK; }

#else
const CounterProvider *counter_provider_papi(void) { return NULL; }
bool counter_papi_has_hardware(void) { return false; }
#endif

#if !defined(HAVE_PAPI) || !defined(HAVE_SDE)
bool counters_publish(void) { return false; }
void counters_published_add(int64_t macs, int64_t tokens, int64_t depth) { (void)macs, (void)tokens, (void)depth; }
#endif
