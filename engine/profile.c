/* Calls, MACs, bytes and time by scope and op kind: a tree in the order first seen (profile.h). */
#include "engine/profile.h"

#include <stdio.h>
#include <string.h>

void profile_clear(Profile *p) {
    if (p->n_scopes == 0) {
        p->scope[0] = (ProfileScope){.name = "", .index = -1, .parent = -1, .first_child = -1, .next_sibling = -1, .last_child = -1};
        p->n_scopes = 1;
    }
    for (int i = 0; i < p->n_scopes; i++)
        p->scope[i].forward = p->scope[i].backward = (ProfileWork){0};
    for (int i = 0; i < p->n_kinds; i++)
        p->kind[i].forward = p->kind[i].backward = (ProfileWork){0};
}

int profile_scope(Profile *p, int parent, const char *name, int index) {
    for (int i = p->scope[parent].first_child; i >= 0; i = p->scope[i].next_sibling)
        if (p->scope[i].index == index && (p->scope[i].name == name || strcmp(p->scope[i].name, name) == 0)) return i;
    if (p->n_scopes == PROFILE_MAX_SCOPES) return parent;
    const int     s    = p->n_scopes++;
    ProfileScope *into = &p->scope[parent];
    p->scope[s] = (ProfileScope){.name = name, .index = index, .parent = parent, .first_child = -1, .next_sibling = -1, .last_child = -1};
    if (into->last_child >= 0) p->scope[into->last_child].next_sibling = s;
    else                       into->first_child = s;
    into->last_child = s;
    return s;
}

ProfileKind *profile_kind(Profile *p, const char *name) {
    for (int i = 0; i < p->n_kinds; i++)
        if (p->kind[i].name == name || strcmp(p->kind[i].name, name) == 0) return &p->kind[i];
    if (p->n_kinds == PROFILE_MAX_KINDS) return &p->kind[PROFILE_MAX_KINDS - 1];
    p->kind[p->n_kinds] = (ProfileKind){.name = name};
    return &p->kind[p->n_kinds++];
}

static void work_add(ProfileWork *sum, const ProfileWork *w) {
    sum->calls       += w->calls;
    sum->macs        += w->macs;
    sum->elementwise += w->elementwise;
    sum->bytes       += w->bytes;
    sum->elapsed_ns  += w->elapsed_ns;
}

ProfileWork profile_total(const Profile *p, int scope, int backward) {
    ProfileWork sum = backward ? p->scope[scope].backward : p->scope[scope].forward;
    for (int i = p->scope[scope].first_child; i >= 0; i = p->scope[i].next_sibling) {
        const ProfileWork child = profile_total(p, i, backward);
        work_add(&sum, &child);
    }
    return sum;
}

void profile_path(const Profile *p, int scope, char *text, int size) {
    if (size <= 0) return;
    text[0] = '\0';
    if (scope <= 0) return;
    profile_path(p, p->scope[scope].parent, text, size);
    const int n = (int)strlen(text);
    const ProfileScope *s = &p->scope[scope];
    if (s->index >= 0) snprintf(text + n, (size_t)(size - n), "%s%s.%d", n > 0 ? "." : "", s->name, s->index);
    else               snprintf(text + n, (size_t)(size - n), "%s%s", n > 0 ? "." : "", s->name);
}
