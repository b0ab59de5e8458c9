/* Random draws: the published answers of Philox 4x64-10, an independent second implementation of it, addresses that do not
 * meet, and distributions. All draws are fixed by their addresses, so a test here passes always or never; its limits are
 * five standard deviations (a wrong generator has one chance in 2 million to slip through each). */
#include "engine/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/dies.h"

typedef struct Words { uint64_t v[4]; } Words;

/* Salmon et al. 2011, section 3.3 and table 2, from the formulas. */
static Words philox(Words counter, const uint64_t start_key[2]) {
    uint64_t key[2] = {start_key[0], start_key[1]};
    for (int round = 0; round < 10; round++) {
        const unsigned __int128 a = (unsigned __int128)0xD2E7470EE14C6C93u * counter.v[0];
        const unsigned __int128 b = (unsigned __int128)0xCA5A826395121157u * counter.v[2];
        counter = (Words){{(uint64_t)(b >> 64) ^ counter.v[1] ^ key[0], (uint64_t)b,
                           (uint64_t)(a >> 64) ^ counter.v[3] ^ key[1], (uint64_t)a}};
        key[0] += 0x9E3779B97F4A7C15u;        /* golden ratio */
        key[1] += 0xBB67AE8584CAA73Bu;        /* sqrt(3) - 1 */
    }
    return counter;
}

/* The known answers that come with Random123, philox4x64 of 10 rounds: counter, key, answer. */
static const struct { Words counter; uint64_t key[2]; Words answer; } known[] = {
    {{{0, 0, 0, 0}}, {0, 0}, {{0x16554d9eca36314cu, 0xdb20fe9d672d0fdcu, 0xd7e772cee186176bu, 0x7e68b68aec7ba23bu}}},
    {{{~0ull, ~0ull, ~0ull, ~0ull}}, {~0ull, ~0ull},
     {{0x87b092c3013fe90bu, 0x438c3c67be8d0224u, 0x9cc7d7c69cd777b6u, 0xa09caebf594f0ba0u}}},
    {{{0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u, 0x082efa98ec4e6c89u}},
     {0x452821e638d01377u, 0xbe5466cf34e90c6cu},
     {{0xa528f45403e61d95u, 0x38c72dbd566e9788u, 0xa5a1610e72fd18b5u, 0x57bd43b5e52b7fe6u}}},
};

static void the_second_implementation_gives_the_known_answers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const Words words = philox(known[i].counter, known[i].key);
        assert_memory_equal(&words, &known[i].answer, sizeof words);
    }
}

static RngKey address_of(Words counter) {
    return (RngKey){.step = (int64_t)counter.v[0], .image = (int64_t)counter.v[1], .layer = (int32_t)(uint32_t)(counter.v[2] >> 32),
                    .patch = (int32_t)(uint32_t)counter.v[2], .channel = (int64_t)counter.v[3]};
}

static void bits_are_the_first_word_of_the_known_answers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const RngStream stream = {{known[i].key[0], known[i].key[1]}};
        assert_true(rng_bits(stream, address_of(known[i].counter)) == known[i].answer.v[0]);
    }
}

static double unit(uint64_t bits) { return (double)(bits >> 11) / 9007199254740992.0; }

static void draws_are_made_of_the_words_as_documented(void **state) {
    (void)state;
    const RngStream stream = rng_stream(99, "test");
    for (int i = 0; i < 200; i++) {
        const RngKey address = {.step = i, .image = 7 * i, .layer = i - 3, .patch = i - 1, .channel = 1000 - i};
        const Words  counter = {{(uint64_t)i, (uint64_t)(7 * i), (uint64_t)(uint32_t)(i - 3) << 32 | (uint32_t)(i - 1), (uint64_t)(1000 - i)}};
        const Words  w       = philox(counter, stream.key);
        assert_true(rng_bits(stream, address) == w.v[0]);
        assert_true(rng_uniform(stream, address) == unit(w.v[0]));
        double normal[4];
        rng_normals(stream, address, normal);
        for (int k = 0; k < 4; k++) {
            const double radius = sqrt(-2 * log(1 - unit(w.v[k / 2 * 2]))), angle = 2 * M_PI * unit(w.v[k / 2 * 2 + 1]);
            /* the same formula, compiled another time: no more than the last bits of log, sin and cos (a few 1e-16 of 9) */
            assert_true(fabs(normal[k] - radius * (k % 2 == 0 ? cos(angle) : sin(angle))) <= 1e-14);
        }
        assert_true(rng_normal(stream, address) == normal[0]);
    }
}

static void every_part_of_an_address_matters(void **state) {
    (void)state;
    const RngStream stream = rng_stream(1, "router");
    const RngKey    at     = {3, 4, 5, 6, 7};
    RngKey other[12];
    for (int i = 0; i < 12; i++) other[i] = at;
    other[0].step++;     other[1].image++;   other[2].layer++;    other[3].patch++;   other[4].channel++;
    other[5].step = -3;  other[6].image = -4; other[7].layer = -5; other[8].patch = -1; other[9].channel = -7;
    other[10].layer = at.patch; other[10].patch = at.layer;
    other[11].step = at.image;  other[11].image = at.step;
    for (int i = 0; i < 12; i++) {
        assert_true(rng_bits(stream, at) != rng_bits(stream, other[i]));
        for (int j = 0; j < i; j++) assert_true(rng_bits(stream, other[i]) != rng_bits(stream, other[j]));
    }
    assert_true(rng_bits(stream, at) == rng_bits(stream, (RngKey){3, 4, 5, 6, 7}));
}

static void streams_and_seeds_differ(void **state) {
    (void)state;
    static const char *const names[] = {"init", "shuffle", "augment", "router", "dropout", "droppath", "split", ""};
    enum { N = sizeof names / sizeof *names };
    uint64_t first[2 * N];
    for (int i = 0; i < 2 * N; i++) first[i] = rng_bits(rng_stream((uint64_t)(i / N), names[i % N]), (RngKey){0});
    for (int i = 0; i < 2 * N; i++)
        for (int j = 0; j < i; j++) assert_true(first[i] != first[j]);
    assert_true(rng_bits(rng_stream(0, "init"), (RngKey){0}) == first[0]);
    char again[] = "init";                                    /* by its text, not by its address */
    assert_true(rng_bits(rng_stream(0, again), (RngKey){0}) == first[0]);
}

static double standardized_sum(const double *x, int n, double mean, double sd) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] - mean;
    return sum / (sd * sqrt(n));
}

static double correlation(const double *x, const double *y, int n, double mean, double variance) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (x[i] - mean) * (y[i] - mean);
    return sum / (variance * sqrt(n));                        /* N(0,1) when independent */
}

enum { N_DRAWS = 65536, N_BINS = 256 };

/* Uniforms along one coordinate: mean, second moment, chi-square of 256 bins, and no correlation with the next one. */
static void check_uniform(const double *u) {
    static double square[N_DRAWS];
    int bin[N_BINS] = {0};
    for (int i = 0; i < N_DRAWS; i++) {
        assert_true(u[i] >= 0 && u[i] < 1);
        square[i] = u[i] * u[i];
        bin[(int)(u[i] * N_BINS)]++;
    }
    double chi = 0;
    for (int b = 0; b < N_BINS; b++) chi += pow(bin[b] - N_DRAWS / (double)N_BINS, 2) / (N_DRAWS / (double)N_BINS);
    assert_true(fabs(standardized_sum(u, N_DRAWS, 0.5, sqrt(1.0 / 12))) < 5);
    assert_true(fabs(standardized_sum(square, N_DRAWS, 1.0 / 3, sqrt(4.0 / 45))) < 5);
    assert_true(fabs(chi - (N_BINS - 1)) < 5 * sqrt(2.0 * (N_BINS - 1)));
    assert_true(fabs(correlation(u, u + 1, N_DRAWS - 1, 0.5, 1.0 / 12)) < 5);
    assert_true(fabs(correlation(u, u + 2, N_DRAWS - 2, 0.5, 1.0 / 12)) < 5);
}

static void uniforms_are_uniform_and_independent_along_every_coordinate(void **state) {
    (void)state;
    static double u[5][N_DRAWS];
    const RngStream stream = rng_stream(2024, "augment");
    for (int i = 0; i < N_DRAWS; i++) {
        u[0][i] = rng_uniform(stream, (RngKey){.step = i});
        u[1][i] = rng_uniform(stream, (RngKey){.image = i});
        u[2][i] = rng_uniform(stream, (RngKey){.layer = i});
        u[3][i] = rng_uniform(stream, (RngKey){.patch = i - 1});
        u[4][i] = rng_uniform(stream, (RngKey){.channel = i});
    }
    for (int c = 0; c < 5; c++) {
        check_uniform(u[c]);
        for (int other = 0; other < c; other++)               /* the first of all coordinates are one and the same draw */
            assert_true(fabs(correlation(u[c] + 2, u[other] + 2, N_DRAWS - 2, 0.5, 1.0 / 12)) < 5);
    }
}

static void streams_are_independent(void **state) {
    (void)state;
    static double u[2][N_DRAWS];
    const RngStream a = rng_stream(1, "router"), b = rng_stream(1, "dropout"), next_seed = rng_stream(2, "router");
    for (int i = 0; i < N_DRAWS; i++) {
        u[0][i] = rng_uniform(a, (RngKey){.image = i});
        u[1][i] = rng_uniform(b, (RngKey){.image = i});
    }
    assert_true(fabs(correlation(u[0], u[1], N_DRAWS, 0.5, 1.0 / 12)) < 5);
    for (int i = 0; i < N_DRAWS; i++) u[1][i] = rng_uniform(next_seed, (RngKey){.image = i});
    assert_true(fabs(correlation(u[0], u[1], N_DRAWS, 0.5, 1.0 / 12)) < 5);
}

static void the_check_of_uniformity_notices_a_counter(void **state) {
    (void)state;
    static double u[N_DRAWS];
    for (int i = 0; i < N_DRAWS; i++) u[i] = (i + 0.5) / N_DRAWS;        /* perfectly spread, not at all random */
    assert_true(fabs(standardized_sum(u, N_DRAWS, 0.5, sqrt(1.0 / 12))) < 5);
    assert_true(fabs(correlation(u, u + 1, N_DRAWS - 1, 0.5, 1.0 / 12)) > 5);
}

static void normals_have_the_moments_and_tails_of_the_normal_distribution(void **state) {
    (void)state;
    static double x[N_DRAWS], power[N_DRAWS];
    const RngStream stream = rng_stream(5, "init");
    for (int i = 0; i < N_DRAWS / 4; i++) rng_normals(stream, (RngKey){.channel = i}, x + 4 * i);
    /* E x^k = 0, 1, 0, 3 with variances 1, 2, 15, 96 */
    const double mean[] = {0, 1, 0, 3}, variance[] = {1, 2, 15, 96};
    for (int k = 1; k <= 4; k++) {
        for (int i = 0; i < N_DRAWS; i++) power[i] = pow(x[i], k);
        assert_true(fabs(standardized_sum(power, N_DRAWS, mean[k - 1], sqrt(variance[k - 1]))) < 5);
    }
    for (double limit = 0.5; limit <= 3; limit += 0.5) {
        const double p = erfc(limit / sqrt(2));
        int beyond = 0;
        for (int i = 0; i < N_DRAWS; i++) beyond += fabs(x[i]) > limit;
        assert_true(fabs(beyond - N_DRAWS * p) < 5 * sqrt(N_DRAWS * p * (1 - p)));
    }
    for (int lag = 1; lag <= 4; lag++) assert_true(fabs(correlation(x, x + lag, N_DRAWS - lag, 0, 1)) < 5);
    for (int i = 0; i < N_DRAWS; i++) power[i] = x[i] * x[i];             /* sine and cosine share a radius, and yet */
    assert_true(fabs(correlation(power, power + 1, N_DRAWS - 1, 1, 2)) < 5);
}

/* P(x <= t) = exp(-exp(-t)); mean 0.5772, variance pi^2/6; none below the -log(53 log 2) of the least draw. */
static void gumbels_have_their_distribution_and_an_end(void **state) {
    (void)state;
    static double x[N_DRAWS];
    const RngStream stream = rng_stream(5, "router");
    for (int i = 0; i < N_DRAWS; i++) {
        const RngKey key = {.channel = i};
        const double u = rng_uniform(stream, key);
        x[i] = rng_gumbel(stream, key);
        assert_true(u < 0x1p-53 || x[i] == -log(-log(u)));
        assert_true(isfinite(x[i]) && x[i] >= -log(53 * log(2)) - 1e-12);
    }
    assert_true(fabs(standardized_sum(x, N_DRAWS, 0.57721566490153286, acos(-1) / sqrt(6))) < 5);
    for (double limit = -1.5; limit <= 4; limit += 0.5) {
        const double p = exp(-exp(-limit));
        int below = 0;
        for (int i = 0; i < N_DRAWS; i++) below += x[i] <= limit;
        assert_true(fabs(below - N_DRAWS * p) < 5 * sqrt(N_DRAWS * p * (1 - p)));
    }
}

static void whole_numbers_below_n_are_equally_likely(void **state) {
    (void)state;
    const RngStream stream = rng_stream(3, "shuffle");
    for (int n = 1; n <= 37; n += 4) {
        int count[37] = {0};
        const int n_draws = 2000 * n;
        for (int i = 0; i < n_draws; i++) {
            const int64_t j = rng_below(stream, (RngKey){.step = n, .channel = i}, n);
            assert_true(j >= 0 && j < n);
            count[j]++;
        }
        double chi = 0;
        for (int j = 0; j < n; j++) chi += pow(count[j] - 2000, 2) / 2000;
        assert_true(fabs(chi - (n - 1)) <= 5 * sqrt(2.0 * n));
    }
}

/* n = 3 2^61: of 8 successive numbers of 64 bits, floor(x n / 2^64) takes 3 to a multiple of 3, 3 to the next, 2 to the one
 * after. Only retries even that out. */
static void whole_numbers_below_a_huge_n_are_unbiased(void **state) {
    (void)state;
    const int64_t   n      = (int64_t)3 << 61;                /* 2^64 / n = 8/3 */
    const RngStream stream = rng_stream(4, "shuffle");
    int residue[3] = {0};
    const int n_draws = 30000;
    for (int i = 0; i < n_draws; i++) {
        const int64_t j = rng_below(stream, (RngKey){.channel = i}, n);
        assert_true(j >= 0 && j < n);
        residue[j % 3]++;
    }
    const double sd = sqrt(n_draws * 2.0 / 9);
    for (int r = 0; r < 3; r++) assert_true(fabs(residue[r] - n_draws / 3.0) < 5 * sd);

    /* without retries it is noticed */
    int biased[3] = {0};
    for (int i = 0; i < n_draws; i++)
        biased[(int64_t)((unsigned __int128)rng_bits(stream, (RngKey){.channel = i}) * (uint64_t)n >> 64) % 3]++;
    assert_true(fabs(biased[0] - n_draws / 3.0) > 5 * sd || fabs(biased[1] - n_draws / 3.0) > 5 * sd || fabs(biased[2] - n_draws / 3.0) > 5 * sd);
}

static void below_nothing(void *n) { rng_below(rng_stream(1, "x"), (RngKey){0}, *(int64_t *)n); }

static void below_nothing_stops_the_program(void **state) {
    (void)state;
    int64_t n = 0;
    assert_check_fails(below_nothing, &n, "n is 0");
    n = -5;
    assert_check_fails(below_nothing, &n, "n is -5");
}

static void a_permutation_has_every_index_once(void **state) {
    (void)state;
    const RngStream stream = rng_stream(1, "shuffle");
    for (int n = 0; n <= 300; n += 7) {
        int64_t index[301];
        char    seen[301] = {0};
        index[n] = -99;
        rng_permutation(stream, n, n, index);
        for (int i = 0; i < n; i++) {
            assert_true(index[i] >= 0 && index[i] < n && !seen[index[i]]);
            seen[index[i]] = 1;
        }
        assert_int_equal(index[n], -99);
    }
}

static void permutations_of_four_are_equally_likely(void **state) {
    (void)state;
    const RngStream stream = rng_stream(8, "shuffle");
    int count[256] = {0}, n_kinds = 0;
    enum { DRAWS = 24 * 1000 };
    for (int epoch = 0; epoch < DRAWS; epoch++) {
        int64_t p[4];
        rng_permutation(stream, epoch, 4, p);
        count[p[0] << 6 | p[1] << 4 | p[2] << 2 | p[3]]++;
    }
    double chi = 0;
    for (int i = 0; i < 256; i++)
        if (count[i] > 0) {
            n_kinds++;
            chi += pow(count[i] - 1000, 2) / 1000;
        }
    assert_int_equal(n_kinds, 24);
    assert_true(fabs(chi - 23) < 5 * sqrt(46));
}

static void an_epoch_always_has_the_same_permutation_and_the_next_another(void **state) {
    (void)state;
    int64_t a[100], b[100], c[100], d[100];
    rng_permutation(rng_stream(1, "shuffle"), 3, 100, a);
    rng_permutation(rng_stream(1, "shuffle"), 3, 100, b);
    rng_permutation(rng_stream(1, "shuffle"), 4, 100, c);
    rng_permutation(rng_stream(2, "shuffle"), 3, 100, d);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    assert_memory_not_equal(a, d, sizeof a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_implementation_gives_the_known_answers),
        cmocka_unit_test(bits_are_the_first_word_of_the_known_answers),
        cmocka_unit_test(draws_are_made_of_the_words_as_documented),
        cmocka_unit_test(every_part_of_an_address_matters),
        cmocka_unit_test(streams_and_seeds_differ),
        cmocka_unit_test(uniforms_are_uniform_and_independent_along_every_coordinate),
        cmocka_unit_test(streams_are_independent),
        cmocka_unit_test(the_check_of_uniformity_notices_a_counter),
        cmocka_unit_test(gumbels_have_their_distribution_and_an_end),
        cmocka_unit_test(normals_have_the_moments_and_tails_of_the_normal_distribution),
        cmocka_unit_test(whole_numbers_below_n_are_equally_likely),
        cmocka_unit_test(whole_numbers_below_a_huge_n_are_unbiased),
        cmocka_unit_test(below_nothing_stops_the_program),
        cmocka_unit_test(a_permutation_has_every_index_once),
        cmocka_unit_test(permutations_of_four_are_equally_likely),
        cmocka_unit_test(an_epoch_always_has_the_same_permutation_and_the_next_another),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
