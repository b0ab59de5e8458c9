/* What a pass did, by named scope and by op kind: calls, MACs, bytes, nanoseconds. Plain data, readable by anyone.
 *
 * Scopes form a tree, in the order first seen; entry 0 is the whole. MACs are those handed to the backend (executed),
 * own to the scope: a parent's total is its own plus its children's (profile_total). */
#ifndef ENGINE_PROFILE_H
#define ENGINE_PROFILE_H

#include <stdint.h>

enum { PROFILE_MAX_SCOPES = 4096, PROFILE_MAX_KINDS = 64 };

typedef struct ProfileWork {
    int64_t  calls;              /* ops run */
    int64_t  macs, elementwise, bytes;
    uint64_t elapsed_ns;
} ProfileWork;

typedef struct ProfileScope {
    const char *name;            /* borrowed, static */
    int         index;           /* -1: none */
    int         parent, first_child, next_sibling, last_child;   /* -1: none */
    ProfileWork forward, backward;
} ProfileScope;

typedef struct ProfileKind {
    const char *name;
    ProfileWork forward, backward;
} ProfileKind;

typedef struct Profile {
    int          n_scopes, n_kinds;
    ProfileScope scope[PROFILE_MAX_SCOPES];
    ProfileKind  kind[PROFILE_MAX_KINDS];
} Profile;

void        profile_clear(Profile *p);                                    /* counts to zero, scopes kept */
int         profile_scope(Profile *p, int parent, const char *name, int index);   /* found or added; the parent when full */
ProfileKind *profile_kind(Profile *p, const char *name);
ProfileWork profile_total(const Profile *p, int scope, int backward);     /* with children */
/* "blocks.3.attn" into text[size] */
void        profile_path(const Profile *p, int scope, char *text, int size);

#endif
