/* Draws by address from Philox 4x64-10 (Salmon et al. 2011); Box-Muller, Lemire, Fisher-Yates on top (rng.h). */
#include "engine/rng.h"

#include "engine/error.h"

#include <Random123/philox.h>
#include <math.h>
#include <string.h>

/* FNV-1a, 64 bits: the name only has to separate a dozen streams. */
static uint64_t name_hash(const char *name) {
    uint64_t h = 14695981039346656037u;
    for (; *name != '\0'; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h;
}

RngStream rng_stream(uint64_t seed, const char *name) { return (RngStream){{seed, name_hash(name)}}; }

static philox4x64_ctr_t block(RngStream s, RngKey k, uint64_t retry) {
    const philox4x64_ctr_t counter = {{(uint64_t)k.step, (uint64_t)k.image,
                                       (uint64_t)(uint32_t)k.layer << 32 | (uint32_t)k.patch,
                                       (uint64_t)k.channel ^ retry << 56}};
    const philox4x64_key_t key     = {{s.key[0], s.key[1]}};
    return philox4x64(counter, key);
}

uint64_t rng_bits(RngStream s, RngKey k) { return block(s, k, 0).v[0]; }

static double unit(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }

double rng_uniform(RngStream s, RngKey k) { return unit(rng_bits(s, k)); }

double rng_gumbel(RngStream s, RngKey k) {
    const double u = rng_uniform(s, k);
    return -log(-log(u > 0x1p-53 ? u : 0x1p-53));
}

double rng_normal(RngStream s, RngKey k) {
    const philox4x64_ctr_t b = block(s, k, 0);
    return sqrt(-2 * log(1 - unit(b.v[0]))) * cos(2 * 3.14159265358979323846 * unit(b.v[1]));
}

void rng_normals(RngStream s, RngKey k, double out[4]) {
    const philox4x64_ctr_t b = block(s, k, 0);
    for (int i = 0; i < 4; i += 2) {
        const double radius = sqrt(-2 * log(1 - unit(b.v[i]))), angle = 2 * 3.14159265358979323846 * unit(b.v[i + 1]);
        out[i]     = radius * cos(angle);
        out[i + 1] = radius * sin(angle);
    }
}

int64_t rng_below(RngStream s, RngKey k, int64_t n) {
    CHECK(n >= 1, "rng_below: n is %lld", (long long)n);
    const uint64_t range = (uint64_t)n, reject_below = (0 - range) % range;
    for (uint64_t retry = 0;; retry++) {
        const unsigned __int128 product = (unsigned __int128)block(s, k, retry & 255).v[retry >> 8 & 3] * range;
        if ((uint64_t)product >= reject_below || retry == 1023) return (int64_t)(product >> 64);
    }
}

void rng_permutation(RngStream s, int64_t epoch, int64_t n, int64_t *index) {
    for (int64_t i = 0; i < n; i++) index[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = rng_below(s, (RngKey){.step = epoch, .channel = i}, i + 1);
        const int64_t swap = index[i];
        index[i] = index[j];
        index[j] = swap;
    }
}
