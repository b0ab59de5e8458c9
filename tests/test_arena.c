/* The arena: alignment, growth over chunks, rewinding, its account of bytes, memory that runs out, and (in the build with
 * AddressSanitizer) that memory handed back may not be touched. */
#include "engine/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/dies.h"
#include "tests/failing.h"

static Arena *new_arena(size_t first_bytes) {
    Arena *a   = NULL;
    Error  err = {0};
    assert_true(arena_create(&a, first_bytes, &err));
    return a;
}

static void blocks_are_aligned_and_do_not_overlap(void **state) {
    (void)state;
    Arena *a = new_arena(1000);
    enum { N = 300 };
    unsigned char *block[N];
    for (int i = 0; i < N; i++) {                             /* 1 .. 6 KB: many chunks */
        const size_t bytes = (size_t)(i * i) % 6000 + 1;
        block[i] = arena_alloc(a, bytes);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % 64, 0);
        memset(block[i], i % 251, bytes);
    }
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < (size_t)(i * i) % 6000 + 1; k++)
            if (block[i][k] != i % 251) fail_msg("byte %zu of block %d", k, i);
    arena_destroy(a);
}

static void no_bytes_give_a_valid_pointer_of_their_own(void **state) {
    (void)state;
    Arena *a = new_arena(0);
    void  *p = arena_alloc(a, 0), *q = arena_alloc(a, 0);
    assert_non_null(p);
    assert_non_null(q);
    assert_ptr_not_equal(p, q);
    arena_destroy(a);
}

static void zeroed_memory_is_zero_after_use(void **state) {
    (void)state;
    Arena *a = new_arena(4096);
    const ArenaMark mark = arena_mark(a);
    memset(arena_alloc(a, 1000), 7, 1000);
    arena_rewind(a, mark);
    const unsigned char *p = arena_zeroed(a, 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(p[i], 0);
    arena_destroy(a);
}

static void a_rewind_hands_the_same_memory_out_again(void **state) {
    (void)state;
    Arena *a = new_arena(2048);
    int   *kept = arena_alloc(a, sizeof *kept);
    *kept = 42;
    const ArenaMark mark = arena_mark(a);
    void *first[20];
    for (int i = 0; i < 20; i++) first[i] = arena_alloc(a, 700);
    arena_rewind(a, mark);
    for (int i = 0; i < 20; i++) assert_ptr_equal(arena_alloc(a, 700), first[i]);
    assert_int_equal(*kept, 42);
    arena_destroy(a);
}

static void a_steady_step_asks_the_system_for_nothing(void **state) {
    (void)state;
    Arena *a = new_arena(1024);
    const ArenaMark start = arena_mark(a);
    for (int step = 0; step < 5; step++) {
        fail_request(1000000, ONCE);                          /* only counts */
        for (int i = 0; i < 50; i++) arena_alloc(a, (size_t)(100 + 37 * i));
        const long asked = fail_never();
        assert_true(step == 0 ? asked > 0 : asked == 0);
        arena_rewind(a, start);
    }
    arena_destroy(a);
}

static void bytes_and_peak_are_counted_and_the_peak_can_be_reset(void **state) {
    (void)state;
    Arena *a = new_arena(4096);
    assert_int_equal(arena_bytes(a), 0);
    arena_alloc(a, 100);
    const size_t one = arena_bytes(a);
    assert_true(one >= 128 && one % 64 == 0);                 /* 100 rounded up to 64, and the gap of a sanitizer */
    const ArenaMark mark = arena_mark(a);
    for (int i = 0; i < 99; i++) arena_alloc(a, 100);         /* over chunks: only blocks count, not what chunks leave over */
    assert_int_equal(arena_bytes(a), 100 * one);
    assert_int_equal(arena_peak_bytes(a), 100 * one);
    arena_rewind(a, mark);
    assert_int_equal(arena_bytes(a), one);
    assert_int_equal(arena_peak_bytes(a), 100 * one);
    arena_alloc(a, 100);
    assert_int_equal(arena_peak_bytes(a), 100 * one);
    arena_reset_peak(a);
    assert_int_equal(arena_peak_bytes(a), 2 * one);
    arena_destroy(a);
}

static void what_lies_after_a_mark_is_known_over_chunks(void **state) {
    (void)state;
    Arena *a = new_arena(1024);
    enum { N = 40 };
    char     *block[N];
    ArenaMark mark[N];                                        /* mark[i] is set before block[i] */
    for (int i = 0; i < N; i++) {
        mark[i]  = arena_mark(a);
        block[i] = arena_alloc(a, 500);
    }
    for (int m = 0; m < N; m++)
        for (int i = 0; i < N; i++) {
            assert_int_equal(arena_is_after(a, mark[m], block[i]), i >= m);
            assert_int_equal(arena_is_after(a, mark[m], block[i] + 499), i >= m);
            assert_int_equal(arena_is_before(a, block[m], block[i]), m < i);
        }
    assert_false(arena_is_after(a, mark[0], &a));             /* memory of nobody */
    assert_false(arena_is_after(a, arena_mark(a), block[N - 1]));
    arena_rewind(a, mark[7]);
    assert_false(arena_is_after(a, mark[0], block[7]));       /* handed back */
    assert_true(arena_is_after(a, mark[0], block[6]));
    arena_destroy(a);
}

/* What a scope does with what survives it: hand back, then put the survivors' copies at the front, in the arena's order. */
static void survivors_can_be_moved_down_over_chunks(void **state) {
    (void)state;
    Arena *a = new_arena(1024);
    enum { N = 60, KEPT = 12 };
    unsigned char *block[N];
    arena_alloc(a, 300);
    const ArenaMark mark = arena_mark(a);
    for (int i = 0; i < N; i++) {
        block[i] = arena_alloc(a, (size_t)(200 + 10 * i));
        memset(block[i], i, (size_t)(200 + 10 * i));
    }
    arena_rewind_keeping(a, mark);
    unsigned char *moved[KEPT];
    for (int k = 0; k < KEPT; k++) {
        const int i = 5 * k + 3;
        moved[k] = arena_alloc(a, (size_t)(200 + 10 * i));
        assert_false(arena_is_before(a, block[i], moved[k])); /* never past where it lay */
        memmove(moved[k], block[i], (size_t)(200 + 10 * i));
    }
    arena_poison_rest(a, mark);
    for (int k = 0; k < KEPT; k++)
        for (int byte = 0; byte < 200 + 10 * (5 * k + 3); byte++) assert_int_equal(moved[k][byte], 5 * k + 3);
    arena_destroy(a);
}

static void a_request_beyond_the_address_space_fails_and_leaves_the_arena_usable(void **state) {
    (void)state;
    Arena *a = new_arena(1024);
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_null(arena_alloc(a, SIZE_MAX / 4 + 1));
    assert_null(arena_zeroed(a, SIZE_MAX - 63));
    const size_t before = arena_bytes(a);
    assert_non_null(arena_alloc(a, 10));
    assert_true(arena_bytes(a) > before);
    arena_destroy(a);
}

static void creation_survives_every_failed_request(void **state) {
    (void)state;
    for (long nth = 0;; nth++) {
        Arena *a   = NULL;
        Error  err = {0};
        fail_request(nth, ONCE);
        const bool ok = arena_create(&a, 4096, &err);
        const long asked = fail_never();
        assert_int_equal(ok, asked <= nth);
        if (ok) {
            arena_destroy(a);
            assert_int_equal(nth, 2);                         /* the struct and the first chunk */
            return;
        }
        assert_null(a);
        assert_string_equal(err.message, "cannot reserve 4096 bytes");
        assert_int_equal(err.exit_status, EXIT_MACHINE);
    }
}

static void a_chunk_that_cannot_double_is_made_just_large_enough(void **state) {
    (void)state;
    Arena *a = new_arena(1 << 20);
    fail_request(0, ONCE);                                    /* the doubled chunk */
    unsigned char *p = arena_alloc(a, (1 << 20) + 1);
    assert_int_equal(fail_never(), 2);
    assert_non_null(p);
    memset(p, 1, (1 << 20) + 1);
    const size_t bytes = arena_bytes(a);
    fail_request(0, LASTING);
    assert_null(arena_alloc(a, 1 << 22));
    assert_null(arena_zeroed(a, 1 << 22));
    fail_never();
    assert_int_equal(arena_bytes(a), bytes);                  /* a failure is not counted */
    assert_non_null(arena_alloc(a, 1 << 22));                 /* memory came back */
    arena_destroy(a);
}

static void rewind_to_a_mark_ahead(void *unused) {
    (void)unused;
    Arena *a = NULL;
    Error  err;
    if (!arena_create(&a, 1024, &err)) return;
    const ArenaMark start = arena_mark(a);
    arena_alloc(a, 10);
    const ArenaMark ahead = arena_mark(a);
    arena_rewind(a, start);
    arena_rewind(a, ahead);
}

static void order_of_foreign_memory(void *here) {
    Arena *a = NULL;
    Error  err;
    if (arena_create(&a, 1024, &err)) arena_is_before(a, arena_alloc(a, 1), here);
}

static void impossible_requests_stop_the_program(void **state) {
    (void)state;
    int here = 0;
    assert_check_fails(rewind_to_a_mark_ahead, NULL, "the mark is ahead of the arena");
    assert_check_fails(order_of_foreign_memory, &here, "not memory of this arena");
}

static void destroying_nothing_is_fine(void **state) {
    (void)state;
    arena_destroy(NULL);
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

typedef enum Misuse { AFTER_REWIND, PAST_THE_END, BEFORE_THE_START, AFTER_SURVIVORS, N_MISUSES } Misuse;

static void misuse(void *which) {
    Arena *a = NULL;
    Error  err;
    if (!arena_create(&a, 4096, &err)) return;
    const ArenaMark mark = arena_mark(a);
    volatile char *p = arena_alloc(a, 128), *q = arena_alloc(a, 100);
    q[99] = p[127] = 1;                                       /* the last bytes are ours */
    switch (*(Misuse *)which) {
    case AFTER_REWIND:     arena_rewind(a, mark); p[0] = 2; break;
    case PAST_THE_END:     q[100] = 2; break;
    case BEFORE_THE_START: q[-1] = 2; break;
    case AFTER_SURVIVORS:
        arena_rewind_keeping(a, mark);
        if (arena_alloc(a, 100) != p) return;
        q[5] = 3;                                             /* still readable for the one who moves it */
        arena_poison_rest(a, mark);
        p[5] = 3;
        q[5] = 3;                                             /* now gone */
        break;
    default: break;
    }
}

static void use_of_what_is_not_ours_is_reported(void **state) {
    (void)state;
    for (Misuse which = 0; which < N_MISUSES; which++) {
        const Death death = death_of(misuse, &which);
        if (strstr(death.text, "use-after-poison") == NULL) fail_msg("misuse %d ended with %d/%d: %s", (int)which, death.signal, death.status, death.text);
        assert_int_not_equal(death.status, 77);
    }
    Misuse none = N_MISUSES;
    assert_int_equal(death_of(misuse, &none).status, 77);     /* and right use is not */
}

static void memory_beyond_the_blocks_is_poisoned_in_every_chunk(void **state) {
    (void)state;
    Arena *a = new_arena(1024);
    const ArenaMark mark = arena_mark(a);
    char *block[20];
    for (int i = 0; i < 20; i++) block[i] = arena_alloc(a, 600);
    for (int i = 0; i < 20; i++) assert_null(__asan_region_is_poisoned(block[i], 600));
    arena_rewind(a, mark);
    for (int i = 0; i < 20; i++) assert_ptr_equal(__asan_region_is_poisoned(block[i], 600), block[i]);
    arena_destroy(a);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_do_not_overlap),
        cmocka_unit_test(no_bytes_give_a_valid_pointer_of_their_own),
        cmocka_unit_test(zeroed_memory_is_zero_after_use),
        cmocka_unit_test(a_rewind_hands_the_same_memory_out_again),
        cmocka_unit_test(a_steady_step_asks_the_system_for_nothing),
        cmocka_unit_test(bytes_and_peak_are_counted_and_the_peak_can_be_reset),
        cmocka_unit_test(what_lies_after_a_mark_is_known_over_chunks),
        cmocka_unit_test(survivors_can_be_moved_down_over_chunks),
        cmocka_unit_test(a_request_beyond_the_address_space_fails_and_leaves_the_arena_usable),
        cmocka_unit_test(creation_survives_every_failed_request),
        cmocka_unit_test(a_chunk_that_cannot_double_is_made_just_large_enough),
        cmocka_unit_test(impossible_requests_stop_the_program),
        cmocka_unit_test(destroying_nothing_is_fine),
#ifdef __SANITIZE_ADDRESS__
        cmocka_unit_test(use_of_what_is_not_ours_is_reported),
        cmocka_unit_test(memory_beyond_the_blocks_is_poisoned_in_every_chunk),
#endif
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
