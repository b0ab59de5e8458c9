/* A machine's fingerprint as JSON, and the digest of the part that stays. */
#include "harness/machine.h"

#include "engine/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The digested text: "key=value" lines in the order of machine.def, an unknown value empty, then the lists. */

static void add_line(Sha256 *sum, const char *group, const char *key, const char *value) {
    char      line[1024];
    const int n = snprintf(line, sizeof line, "%s%s=%s\n", group, key, value);
    sha256_add(sum, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void add_TEXT(Sha256 *sum, const char *key, const FactText *fact) {
    add_line(sum, "", key, fact->reason == NULL ? fact->value : "");
}

static void add_COUNT(Sha256 *sum, const char *key, const FactCount *fact) {
    char value[32] = "";
    if (fact->reason == NULL) snprintf(value, sizeof value, "%" PRId64, fact->value);
    add_line(sum, "", key, value);
}

static void add_NUMBER(Sha256 *sum, const char *key, const FactNumber *fact) {
    char value[40] = "";
    if (fact->reason == NULL) snprintf(value, sizeof value, "%.17g", fact->value);
    add_line(sum, "", key, value);
}

bool machine_env_id(const Machine *m, char id[MACHINE_ENV_ID_SIZE], Error *err) {
    Sha256 *sum;
    char    text[SHA256_TEXT_SIZE];
    if (!sha256_create(&sum, err)) return false;
#define PART_ID(form, key)   add_##form(sum, #key, &m->key);
#define PART_NOTE(form, key)
#define FACT(form, part, key, where) PART_##part(form, key)
#include "harness/machine.def"
#define SIMD(name, word) if (m->simd[SIMD_##name]) add_line(sum, "simd.", #name, "yes");
#include "harness/simd_flags.def"
    for (int i = 0; i < m->n_caches; i++) {
        char value[64];
        snprintf(value, sizeof value, "%d %s %" PRId64 " %d", m->cache[i].level, m->cache[i].type, m->cache[i].size_bytes, m->cache[i].shared_by_count);
        add_line(sum, "cache", "", value);
    }
    for (int i = 0; i < m->n_mitigations; i++) add_line(sum, "mitigation.", m->mitigation[i].name, m->mitigation[i].value);
    for (int i = 0; i < m->n_environment; i++) add_line(sum, "environment.", m->environment[i].name, m->environment[i].value);
    const bool ok = sha256_finish(sum, text, err);
    if (ok) snprintf(id, MACHINE_ENV_ID_SIZE, "%.16s", text);
    sha256_destroy(sum);
    return ok;
}

static void put_TEXT(JsonSink *sink, const char *key, const FactText *fact) {
    if (fact->reason == NULL)
        json_put_text(sink, key, fact->value);
    else
        json_put_missing(sink, key, fact->reason);
}

static void put_COUNT(JsonSink *sink, const char *key, const FactCount *fact) {
    if (fact->reason == NULL)
        json_put_count(sink, key, fact->value);
    else
        json_put_missing(sink, key, fact->reason);
}

static void put_NUMBER(JsonSink *sink, const char *key, const FactNumber *fact) {
    if (fact->reason == NULL)
        json_put_number(sink, key, fact->value);
    else
        json_put_missing(sink, key, fact->reason);
}

static void put_named(JsonSink *sink, const char *key, const NamedText *texts, int n) {
    JsonSink object;
    json_put_object(sink, key, &object);
    for (int i = 0; i < n; i++) json_put_text(&object, texts[i].name, texts[i].value);
}

static void put_load(JsonSink *sink, const MachineLoad *l) {
    JsonSink load;
    json_put_object(sink, "load", &load);
    put_NUMBER(&load, "load_1min", &l->load_1min);
    put_NUMBER(&load, "load_5min", &l->load_5min);
    put_NUMBER(&load, "load_15min", &l->load_15min);
    put_NUMBER(&load, "cpu_waiting_ratio", &l->cpu_waiting_ratio);
    put_NUMBER(&load, "memory_waiting_ratio", &l->memory_waiting_ratio);
    put_NUMBER(&load, "io_waiting_ratio", &l->io_waiting_ratio);
    put_COUNT(&load, "cpu_ticks_count", &l->cpu_ticks_count);
    put_COUNT(&load, "steal_ticks_count", &l->steal_ticks_count);
}

bool machine_to_json(const Machine *m, json_t **out, Error *err) {
    char env_id[MACHINE_ENV_ID_SIZE];
    if (!machine_env_id(m, env_id, err)) return false;
    JsonSink root, list, item;
    json_sink_begin(&root);
    json_put_text(&root, "env_id", env_id);
#define FACT(form, part, key, where) put_##form(&root, #key, &m->key);
#include "harness/machine.def"
    if (m->simd_reason == NULL) {
        json_put_array(&root, "simd", &list);
#define SIMD(name, word) if (m->simd[SIMD_##name]) json_put_text(&list, NULL, #name);
#include "harness/simd_flags.def"
    } else {
        json_put_missing(&root, "simd", m->simd_reason);
    }
    json_put_array(&root, "caches", &list);
    for (int i = 0; i < m->n_caches; i++) {
        json_put_object(&list, NULL, &item);
        json_put_count(&item, "level", m->cache[i].level);
        json_put_text(&item, "type", m->cache[i].type);
        json_put_count(&item, "size_bytes", m->cache[i].size_bytes);
        json_put_count(&item, "shared_by_count", m->cache[i].shared_by_count);
    }
    put_named(&root, "mitigations", m->mitigation, m->n_mitigations);
    put_named(&root, "environment", m->environment, m->n_environment);
    json_put_count(&root, "environment_left_out_count", m->n_environment_left_out);
    put_load(&root, &m->load);
    return json_sink_finish(&root, out, err);
}
