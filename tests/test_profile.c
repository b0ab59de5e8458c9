/* The profile: a tree of scopes and a table of op kinds, their sums, and their names as text. */
#include "engine/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Profile *new_profile(void) {
    Profile *p = calloc(1, sizeof *p);
    assert_non_null(p);
    profile_clear(p);
    return p;
}

static void a_scope_is_found_again_by_parent_name_and_index(void **state) {
    (void)state;
    Profile *p = new_profile();
    char     elsewhere[] = "blocks";                          /* the same name at another address */
    const int block0 = profile_scope(p, 0, "blocks", 0), block1 = profile_scope(p, 0, "blocks", 1);
    const int attn0  = profile_scope(p, block0, "attn", -1), attn1 = profile_scope(p, block1, "attn", -1);
    assert_int_equal(p->n_scopes, 5);
    assert_int_equal(profile_scope(p, 0, elsewhere, 1), block1);
    assert_int_equal(profile_scope(p, block0, "attn", -1), attn0);
    assert_int_equal(profile_scope(p, block1, "attn", -1), attn1);
    assert_int_not_equal(attn0, attn1);
    assert_int_not_equal(profile_scope(p, 0, "blocks", -1), block0);
    assert_int_equal(p->n_scopes, 6);
    free(p);
}

static void children_keep_the_order_in_which_they_came(void **state) {
    (void)state;
    Profile    *p      = new_profile();
    const char *name[] = {"patch_embed", "blocks", "head"};
    for (int i = 0; i < 3; i++) profile_scope(p, 0, name[i], -1);
    int n = 0;
    for (int i = p->scope[0].first_child; i >= 0; i = p->scope[i].next_sibling, n++) {
        assert_string_equal(p->scope[i].name, name[n]);
        assert_int_equal(p->scope[i].parent, 0);
    }
    assert_int_equal(n, 3);
    free(p);
}

static void a_total_is_its_own_and_all_below(void **state) {
    (void)state;
    Profile  *p    = new_profile();
    const int a    = profile_scope(p, 0, "a", -1), b = profile_scope(p, 0, "b", -1), c = profile_scope(p, a, "c", 3);
    const int at[] = {0, a, b, c};
    for (int i = 0; i < 4; i++) {
        const int64_t x = (int64_t)1 << (10 * i);             /* a digit of its own each, to see what was added */
        p->scope[at[i]].forward  = (ProfileWork){.calls = x, .macs = 2 * x, .elementwise = 3 * x, .bytes = 4 * x, .elapsed_ns = 5 * (uint64_t)x};
        p->scope[at[i]].backward = (ProfileWork){.calls = 7 * x};
    }
    const ProfileWork whole = profile_total(p, 0, 0), branch = profile_total(p, a, 0);
    const int64_t     all   = 1 + (1 << 10) + (1 << 20) + (1 << 30), two = (1 << 10) + (1 << 30);
    assert_int_equal(whole.calls, all);
    assert_int_equal(whole.macs, 2 * all);
    assert_int_equal(whole.elementwise, 3 * all);
    assert_int_equal(whole.bytes, 4 * all);
    assert_int_equal(whole.elapsed_ns, 5 * all);
    assert_int_equal(branch.calls, two);
    assert_int_equal(profile_total(p, b, 0).calls, 1 << 20);
    assert_int_equal(profile_total(p, 0, 1).calls, 7 * all);
    assert_int_equal(profile_total(p, 0, 1).macs, 0);
    free(p);
}

static void a_path_joins_names_and_indices_with_dots(void **state) {
    (void)state;
    Profile  *p     = new_profile();
    const int block = profile_scope(p, 0, "blocks", 3), attn = profile_scope(p, block, "attn", -1), step = profile_scope(p, attn, "step", 0);
    char      text[64];
    profile_path(p, 0, text, sizeof text);
    assert_string_equal(text, "");
    profile_path(p, block, text, sizeof text);
    assert_string_equal(text, "blocks.3");
    profile_path(p, attn, text, sizeof text);
    assert_string_equal(text, "blocks.3.attn");
    profile_path(p, step, text, sizeof text);
    assert_string_equal(text, "blocks.3.attn.step.0");
    free(p);
}

static void a_path_is_cut_to_the_room_there_is(void **state) {
    (void)state;
    Profile  *p     = new_profile();
    const int block = profile_scope(p, 0, "blocks", 3), attn = profile_scope(p, block, "attn", -1);
    char      text[16];
    for (int size = 1; size <= 14; size++) {
        memset(text, '#', sizeof text);
        profile_path(p, attn, text, size);
        assert_int_equal(strlen(text), size - 1);
        assert_memory_equal(text, "blocks.3.attn", (size_t)size - 1);
        assert_int_equal(text[size], '#');
    }
    text[0] = '#';
    profile_path(p, attn, text, 0);
    assert_int_equal(text[0], '#');
    free(p);
}

static void clearing_empties_the_counts_and_keeps_the_names(void **state) {
    (void)state;
    Profile  *p = new_profile();
    const int a = profile_scope(p, 0, "a", -1);
    p->scope[a].forward.macs = p->scope[a].backward.macs = profile_kind(p, "gelu")->forward.calls = 5;
    profile_clear(p);
    assert_int_equal(p->n_scopes, 2);
    assert_int_equal(profile_scope(p, 0, "a", -1), a);
    assert_int_equal(profile_total(p, 0, 0).macs + profile_total(p, 0, 1).macs, 0);
    assert_int_equal(p->n_kinds, 1);
    assert_int_equal(profile_kind(p, "gelu")->forward.calls, 0);
    free(p);
}

static void a_kind_is_found_again_by_its_name(void **state) {
    (void)state;
    Profile     *p = new_profile();
    char         elsewhere[] = "linear";
    ProfileKind *linear = profile_kind(p, "linear"), *gelu = profile_kind(p, "gelu");
    assert_ptr_not_equal(linear, gelu);
    assert_ptr_equal(profile_kind(p, elsewhere), linear);
    assert_int_equal(p->n_kinds, 2);
    free(p);
}

/* No sum is lost when there are too many names: the parent's count takes it. */
static void work_of_a_scope_too_many_goes_to_its_parent(void **state) {
    (void)state;
    Profile  *p      = new_profile();
    const int parent = profile_scope(p, 0, "parent", -1);
    for (int i = 0; p->n_scopes < PROFILE_MAX_SCOPES; i++) assert_true(profile_scope(p, 0, "blocks", i) > 0);
    assert_int_equal(profile_scope(p, parent, "new", -1), parent);
    assert_int_equal(p->n_scopes, PROFILE_MAX_SCOPES);
    assert_int_equal(profile_scope(p, 0, "parent", -1), parent);
    free(p);
}

static void kinds_too_many_share_the_last_entry(void **state) {
    (void)state;
    Profile *p = new_profile();
    char     name[PROFILE_MAX_KINDS + 2][16];
    for (int i = 0; i < PROFILE_MAX_KINDS + 2; i++) {
        snprintf(name[i], sizeof name[i], "op%d", i);
        const ProfileKind *k = profile_kind(p, name[i]);
        assert_ptr_equal(k, &p->kind[i < PROFILE_MAX_KINDS ? i : PROFILE_MAX_KINDS - 1]);
    }
    assert_int_equal(p->n_kinds, PROFILE_MAX_KINDS);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_is_found_again_by_parent_name_and_index),
        cmocka_unit_test(children_keep_the_order_in_which_they_came),
        cmocka_unit_test(a_total_is_its_own_and_all_below),
        cmocka_unit_test(a_path_joins_names_and_indices_with_dots),
        cmocka_unit_test(a_path_is_cut_to_the_room_there_is),
        cmocka_unit_test(clearing_empties_the_counts_and_keeps_the_names),
        cmocka_unit_test(a_kind_is_found_again_by_its_name),
        cmocka_unit_test(work_of_a_scope_too_many_goes_to_its_parent),
        cmocka_unit_test(kinds_too_many_share_the_last_entry),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
