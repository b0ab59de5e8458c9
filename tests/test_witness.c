/* What two runs said of the same images, held against each other. */
#include "harness/measure/witness.h"

#include "models/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 10 };

static void logits_of(Real *logits, int image, double change) {
    for (int c = 0; c < CLASSES; c++) logits[c] = (Real)(3 * sin(1.3 * c + 0.7 * image) + (c == 4 ? change : 0));
}

/* Images first .. end-1, class 4 raised by a change in one of them. */
static json_t *told(int first, int end, int changed, double change) {
    Witness  w = {0};
    JsonSink root;
    json_t  *tree = NULL;
    Error    err  = {0};
    for (int i = first; i < end; i++) {
        Real logits[CLASSES];
        logits_of(logits, i, i == changed ? change : 0);
        witness_add(&w, i, logits, CLASSES);
    }
    json_sink_begin(&root);
    witness_put(&w, &root);
    assert_true(json_sink_finish(&root, &tree, &err));
    json_t *witness = json_incref(json_object_get(tree, "witness"));
    json_decref(tree);
    return witness;
}

static WitnessAgreement held_against(json_t *a, json_t *b) {
    const WitnessAgreement r = witness_compare(a, b);
    json_decref(a);
    json_decref(b);
    return r;
}

static void equal_answers_agree_on_the_images_that_both_have(void **state) {
    (void)state;
    WitnessAgreement r = held_against(told(0, 64, -1, 0), told(0, 64, -1, 0));
    assert_true(r.n_compared == 64 && r.n_differ == 0 && r.largest == 0);
    r = held_against(told(0, 4, -1, 0), told(2, 40, -1, 0));
    assert_true(r.n_compared == 2 && r.n_differ == 0);
    r = held_against(told(0, 4, -1, 0), told(4, 8, -1, 0));
    assert_int_equal(r.n_compared, 0);
}

static void rounding_is_let_pass_and_other_work_is_not(void **state) {
    (void)state;
    WitnessAgreement r = held_against(told(0, 8, -1, 0), told(0, 8, 3, 1e-5));
    assert_true(r.n_compared == 8 && r.n_differ == 0 && r.largest > 0);
    r = held_against(told(0, 8, -1, 0), told(0, 8, 3, 5));
    assert_true(r.n_compared == 8 && r.n_differ == 1 && r.largest > WITNESS_TOLERANCE);
    r = held_against(told(0, 8, 3, NAN), told(0, 8, -1, 0));
    assert_true(r.n_differ == 1 && isinf(r.largest));
}

static void classes_that_change_places_are_seen_unless_they_are_equal(void **state) {
    (void)state;
    for (int equal = 0; equal < 2; equal++) {
        json_t *w[2];
        for (int turn = 0; turn < 2; turn++) {
            Witness  one = {0};
            JsonSink root;
            json_t  *tree = NULL;
            Error    err  = {0};
            Real     logits[3] = {0, (Real)(turn == 0 ? 2 : equal ? 1.9999 : 1), (Real)(turn == 1 ? 2 : equal ? 1.9999 : 1)};
            witness_add(&one, 0, logits, 3);
            json_sink_begin(&root);
            witness_put(&one, &root);
            assert_true(json_sink_finish(&root, &tree, &err));
            w[turn] = json_incref(json_object_get(tree, "witness"));
            json_decref(tree);
        }
        /* the same numbers, another class */
        assert_int_equal(held_against(w[0], w[1]).n_differ, !equal);
    }
}

static void the_first_answer_counts_and_later_images_are_left_out(void **state) {
    (void)state;
    Witness w = {0};
    Real    logits[CLASSES];
    for (int image = -1; image < 200; image++) {
        logits_of(logits, image, 0);
        witness_add(&w, image, logits, CLASSES);
    }
    const Witness before = w;
    logits_of(logits, 5, 5);
    witness_add(&w, 5, logits, CLASSES);
    assert_memory_equal(&w, &before, sizeof w);
}

static void what_is_no_witness_has_no_image(void **state) {
    (void)state;
    json_t *none = told(0, 0, -1, 0), *some = told(0, 4, -1, 0), *torn = json_pack("{s:[i,s], s:[f]}", "image_index", 0, "x", "best_logit", 1.0);
    assert_null(none);
    assert_int_equal(witness_compare(NULL, some).n_compared, 0);
    assert_int_equal(witness_compare(some, NULL).n_compared, 0);
    const WitnessAgreement r = witness_compare(torn, some);
    assert_true(r.n_compared == 1 && r.n_differ == 1);                    /* an image without its numbers is no agreement */
    json_t *endless = told(0, 64, -1, 0);
    for (int i = 0; i < 1000; i++) json_array_append_new(json_object_get(endless, "image_index"), json_integer(i));
    assert_int_equal(witness_compare(endless, endless).n_compared, WITNESS_IMAGES);
    json_decref(endless);
    json_decref(some);
    json_decref(torn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_answers_agree_on_the_images_that_both_have),
        cmocka_unit_test(rounding_is_let_pass_and_other_work_is_not),
        cmocka_unit_test(classes_that_change_places_are_seen_unless_they_are_equal),
        cmocka_unit_test(the_first_answer_counts_and_later_images_are_left_out),
        cmocka_unit_test(what_is_no_witness_has_no_image),
    };
    return cmocka_run_group_tests_name("witness", tests, NULL, NULL);
}
