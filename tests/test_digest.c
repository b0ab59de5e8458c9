/* SHA-256 against the examples of FIPS 180-2, XXH64 against its published values. */
#include "engine/digest.h"

#include "engine/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the above */
#include <cmocka.h>

static const char abc_sum[]   = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty_sum[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void sha256_agrees_with_the_published_examples(void **state) {
    (void)state;
    char  text[SHA256_TEXT_SIZE];
    Error err = {0};
    assert_true(digest_sha256("abc", 3, text, &err));
    assert_string_equal(text, abc_sum);
    assert_true(digest_sha256(NULL, 0, text, &err));
    assert_string_equal(text, empty_sum);
    const char *longer = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_true(digest_sha256(longer, strlen(longer), text, &err));
    assert_string_equal(text, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void sha256_in_pieces_is_that_of_the_whole(void **state) {
    (void)state;
    char          whole[SHA256_TEXT_SIZE], pieces[SHA256_TEXT_SIZE];
    unsigned char bytes[300];
    Error         err = {0};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 7);
    assert_true(digest_sha256(bytes, sizeof bytes, whole, &err));
    for (size_t cut = 0; cut <= sizeof bytes; cut += 30) {
        Sha256 *sum = NULL;
        assert_true(sha256_create(&sum, &err));
        sha256_add(sum, bytes, cut);
        sha256_add(sum, bytes + cut, sizeof bytes - cut);
        assert_true(sha256_finish(sum, pieces, &err));
        sha256_destroy(sum);
        assert_string_equal(pieces, whole);
    }
    bytes[299] ^= 1;
    assert_true(digest_sha256(bytes, sizeof bytes, pieces, &err));
    assert_string_not_equal(pieces, whole);
}

static void sha256_of_a_file_longer_than_one_piece_is_that_of_its_bytes(void **state) {
    (void)state;
    const size_t n = (1 << 20) + 12345; /* the file is read in pieces of 1 MiB */
    char         path[64], of_bytes[SHA256_TEXT_SIZE], of_file[SHA256_TEXT_SIZE];
    char        *bytes = malloc(n);
    Error        err   = {0};
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) bytes[i] = (char)(i % 251);
    snprintf(path, sizeof path, "/tmp/test_digest.%d", (int)getpid());
    assert_true(file_write_durable(path, bytes, n, &err));
    assert_true(digest_sha256(bytes, n, of_bytes, &err));
    assert_true(digest_sha256_file(path, of_file, &err));
    unlink(path);
    free(bytes);
    assert_string_equal(of_file, of_bytes);
}

static void digest_of_a_missing_file_is_an_error_that_names_it(void **state) {
    (void)state;
    char  text[SHA256_TEXT_SIZE];
    Error err = {0};
    assert_false(digest_sha256_file("/nonexistent/file", text, &err));
    assert_string_equal(err.input, "/nonexistent/file");
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    assert_false(digest_sha256_file("/tmp", text, &err));
    assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
}

static void xxh64_agrees_with_the_published_values(void **state) {
    (void)state;
    assert_true(digest_xxh64(NULL, 0) == 0xef46db3751d8e999u);
    assert_true(digest_xxh64("abc", 3) == 0x44bc2cf5ad770999u);
    assert_true(digest_xxh64("abd", 3) != digest_xxh64("abc", 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_agrees_with_the_published_examples),
        cmocka_unit_test(sha256_in_pieces_is_that_of_the_whole),
        cmocka_unit_test(sha256_of_a_file_longer_than_one_piece_is_that_of_its_bytes),
        cmocka_unit_test(digest_of_a_missing_file_is_an_error_that_names_it),
        cmocka_unit_test(xxh64_agrees_with_the_published_values),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
