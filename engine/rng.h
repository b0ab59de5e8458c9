/* Random draws with an address: a counter-based generator (Philox 4x64-10, Salmon et al. 2011), so that a draw depends
 * on what it is for and never on when, in which order or on which thread it happens.
 * Streams in use: init:<tensor>, shuffle, augment, augment.crop, augment.randaugment, augment.erasing, augment.mix, dropout,
 * droppath, router, bench. */
#ifndef ENGINE_RNG_H
#define ENGINE_RNG_H

#include <stdint.h>

typedef struct RngStream { uint64_t key[2]; } RngStream;    /* seed, and a hash of the stream's name */

typedef struct RngKey {
    int64_t step, image;      /* training step (or epoch); identity of the image in its data set */
    int32_t layer, patch;     /* layer or recursion; original patch index, -1 for the class token */
    int64_t channel;          /* channel, class or element */
} RngKey;

RngStream rng_stream(uint64_t seed, const char *name);
uint64_t  rng_bits   (RngStream s, RngKey k);
double    rng_uniform(RngStream s, RngKey k);               /* [0,1), 53 bits */
double    rng_normal (RngStream s, RngKey k);               /* N(0,1), Box-Muller on one draw's two halves */
void      rng_normals(RngStream s, RngKey k, double out[4]); /* four from one draw */
double    rng_gumbel (RngStream s, RngKey k);               /* -log(-log u), finite: u = 0 counts as 2^-53, the least draw above it */
int64_t   rng_below  (RngStream s, RngKey k, int64_t n);    /* uniform in [0,n), n >= 1; exact (Lemire with retries) */

/* index[0..n-1] becomes a permutation of 0..n-1, the one of (stream, epoch). */
void rng_permutation(RngStream s, int64_t epoch, int64_t n, int64_t *index);

#endif
