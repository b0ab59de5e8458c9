/* Working memory of kernels: reuse, alignment, counting, threads that end, and memory that runs out. */
#include "engine/scratch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void a_slot_grows_and_is_reused_without_growth(void **state) {
    (void)state;
    float *small = scratch_floats(SCRATCH_BLOCK, 0);
    assert_non_null(small);
    assert_int_equal((uintptr_t)small % 64, 0);
    float *large = scratch_floats(SCRATCH_BLOCK, 100000);
    memset(large, 1, 100000 * sizeof *large);
    const int64_t bytes = scratch_bytes();
    assert_true(bytes >= 400000);
    assert_ptr_equal(scratch_floats(SCRATCH_BLOCK, 5), large);
    assert_int_equal(scratch_bytes(), bytes);
    assert_ptr_not_equal(scratch_floats(SCRATCH_ROWS, 5), large);
}

static void *use_scratch(void *bytes_inside) {
    scratch_floats(SCRATCH_BLOCK, 1000000);
    *(int64_t *)bytes_inside = scratch_bytes();
    return NULL;
}

static void a_thread_that_ends_frees_its_memory(void **state) {
    (void)state;
    const int64_t before = scratch_bytes();
    int64_t       inside = 0;
    pthread_t     thread;
    assert_int_equal(pthread_create(&thread, NULL, use_scratch, &inside), 0);
    pthread_join(thread, NULL);
    assert_true(inside >= before + 4000000);
    assert_int_equal(scratch_bytes(), before);
}

static void memory_that_runs_out_is_remembered_and_survived(void **state) {
    (void)state;
    assert_false(scratch_failed());
    assert_null(scratch_floats(SCRATCH_PARTIAL, SIZE_MAX / 16));
    assert_true(scratch_failed());
    scratch_clear();
    assert_false(scratch_failed());
    assert_null(scratch_floats(SCRATCH_PARTIAL, SIZE_MAX));
    assert_true(scratch_failed());
    scratch_clear();
    assert_non_null(scratch_floats(SCRATCH_PARTIAL, 10));
    scratch_fail();
    assert_true(scratch_failed());
    scratch_clear();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_grows_and_is_reused_without_growth),
        cmocka_unit_test(a_thread_that_ends_frees_its_memory),
        cmocka_unit_test(memory_that_runs_out_is_remembered_and_survived),
    };
    return cmocka_run_group_tests_name("scratch", tests, NULL, NULL);
}
