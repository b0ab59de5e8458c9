/* What claims_judge found, for people: on a terminal, and as Markdown beside the tables. */
#include "harness/report/claims.h"

#include "engine/file.h"
#include "harness/report/claim_measures.h"
#include "harness/report/escape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_SHOWN = 6 };

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ---- figures ---- */

/* Ratios and trends of a percentage are no percentages; its values and differences are. */
static bool in_percent(const json_t *comparison) {
    const ClaimField *f = claim_field_find(text_of(comparison, "field"));
    return f != NULL && f->form == CLAIM_PERCENT && strcmp(text_of(comparison, "measure"), "ratio") != 0;
}

static void put_number(FILE *out, const json_t *c, double v) {
    if (in_percent(c)) fprintf(out, strcmp(text_of(c, "measure"), "value") == 0 ? "%.2f" : "%+.2f", 100 * v);
    else               fprintf(out, "%.4g", v);
}

/* "-0.52 [-0.90, -0.14] points (3 seeds, student_t95, p 0.012, after Holm over 4 0.03)" */
static void put_figures(FILE *out, const json_t *c) {
    const double value = number_of(c, "value"), low = number_of(c, "low"), high = number_of(c, "high"), p = number_of(c, "p"), corrected = number_of(c, "p_corrected");
    const long long n = (long long)json_integer_value(json_object_get(c, "units_count")), of = (long long)json_integer_value(json_object_get(c, "comparisons_count"));
    const ClaimField *f = claim_field_find(text_of(c, "field"));
    if (isfinite(value)) put_number(out, c, value);
    if (isfinite(low) && isfinite(high)) {
        fputs(" [", out);
        put_number(out, c, low);
        fputs(", ", out);
        put_number(out, c, high);
        fputs("]", out);
    }
    if (isfinite(value) && in_percent(c)) fputs(strcmp(text_of(c, "measure"), "value") == 0 ? " %" : " points", out);
    if (strcmp(text_of(c, "interval_method"), "exact") == 0) fputs(" (exact)", out);
    else if (isfinite(corrected)) {
        fprintf(out, " (%lld %s, %s, p %.2g", n, f != NULL && f->repeats == CLAIM_PROCESSES ? "processes" : "seeds", text_of(c, "interval_method"), p);
        if (of > 1) fprintf(out, ", after Holm over %lld %.2g", of, corrected);
        fputc(')', out);
    }
}

static void put_ids(FILE *out, const json_t *ids) {
    const json_t *id;
    size_t        i;
    json_array_foreach(ids, i, id) fprintf(out, "%s%s", i > 0 ? " " : "", json_is_string(id) ? json_string_value(id) : "?");
}

typedef void Escape(FILE *out, const char *text);

static void put_comparison(FILE *out, const json_t *c, Escape *escape) {
    const char *lacks = text_of(c, "lacks"), *context = text_of(c, "context");
    escape(out, text_of(c, "condition")[0] != '\0' ? text_of(c, "condition") : text_of(c, "field"));
    if (context[0] != '\0') {
        fputs(", ", out);
        escape(out, context);
    }
    fprintf(out, ": %s", text_of(c, "verdict"));
    if (json_is_number(json_object_get(c, "value"))) {
        fputs(": ", out);
        put_figures(out, c);
    }
    if (lacks[0] != '\0') {
        fputs("; ", out);
        escape(out, lacks);
    }
    if (json_object_get(c, "runs_a") == NULL) return;
    fputs("; runs ", out);
    put_ids(out, json_object_get(c, "runs_a"));
    if (json_array_size(json_object_get(c, "runs_b")) == 0) return;
    fputs(" | ", out);
    put_ids(out, json_object_get(c, "runs_b"));
}

/* ---- pairs: the telling ones first ---- */

static int rank_of(const json_t *pair, bool any) {
    const char *v = text_of(pair, "verdict");
    if (strcmp(v, "not counted") == 0) return 3;
    if (strcmp(v, "undecided") == 0) return 1;
    return (strcmp(v, "holds") == 0) == any ? 0 : 2;
}

static void put_pair(FILE *out, const json_t *pair, Escape *escape, const char *indent, const char *deeper) {
    const json_t *c;
    size_t        i;
    fputs(indent, out);
    escape(out, text_of(pair, "a"));
    if (json_is_string(json_object_get(pair, "b"))) {
        fputs(" against ", out);
        escape(out, text_of(pair, "b"));
    }
    fprintf(out, ": %s\n", text_of(pair, "verdict"));
    json_array_foreach(json_object_get(pair, "comparisons"), i, c) {
        fputs(deeper, out);
        put_comparison(out, c, escape);
        fputc('\n', out);
    }
}

static void put_pairs(FILE *out, const json_t *part, size_t most, Escape *escape, const char *indent, const char *deeper) {
    const bool    any   = strcmp(text_of(part, "over"), "any") == 0;
    const json_t *pairs = json_object_get(part, "pairs"), *pair, *c;
    size_t        i, shown = 0;
    json_array_foreach(json_object_get(part, "over_pairs"), i, c) {
        fputs(indent, out);
        put_comparison(out, c, escape);
        fputc('\n', out);
    }
    if (json_array_size(json_object_get(part, "over_pairs")) > 0) return;
    for (int rank = 0; rank < 4; rank++)
        json_array_foreach(pairs, i, pair)
            if (rank_of(pair, any) == rank && shown < most) {
                put_pair(out, pair, escape, indent, deeper);
                shown++;
            }
    if (shown < json_array_size(pairs)) fprintf(out, "%sand %zu pairs more, in claims.json\n", indent, json_array_size(pairs) - shown);
}

static void put_missing(FILE *out, const json_t *part, Escape *escape, const char *indent) {
    const json_t *text;
    size_t        i;
    json_array_foreach(json_object_get(part, "missing"), i, text) {
        fprintf(out, "%smissing: ", indent);
        escape(out, json_string_value(text));
        fputc('\n', out);
    }
    json_array_foreach(json_object_get(part, "commands"), i, text) {
        fprintf(out, "%s%s", indent, i == 0 ? "makes it: " : "and: ");
        escape(out, json_string_value(text));
        fputc('\n', out);
    }
}

/* ---- whole ---- */

static void put_summary(FILE *out, const json_t *claims) {
    const json_t *claim;
    size_t        i, n[4] = {0};
    static const char *const names[] = {"holds", "fails", "undecided", "not testable"};
    json_array_foreach(claims, i, claim)
        for (int k = 0; k < 4; k++) n[k] += strcmp(text_of(claim, "verdict"), names[k]) == 0;
    fprintf(out, "%zu claims: %zu hold, %zu fail, %zu are undecided, %zu not testable\n", json_array_size(claims), n[0], n[1], n[2], n[3]);
}

static bool tells(const json_t *c, const char *verdict) { return strcmp(text_of(c, "verdict"), verdict) == 0 && isfinite(number_of(c, "value")); }

/* The comparisons among which a part's verdict rests on those of that verdict: of the first pair that has it; NULL: there are none. */
static const json_t *telling_of(const json_t *part) {
    const char   *verdict = text_of(part, "verdict");
    const json_t *pairs = json_object_get(part, "pairs"), *over = json_object_get(part, "over_pairs"), *pair, *c;
    size_t        i, k;
    json_array_foreach(over, k, c) if (tells(c, verdict)) return over;
    json_array_foreach(pairs, i, pair)
        if (strcmp(text_of(pair, "verdict"), verdict) == 0)
            json_array_foreach(json_object_get(pair, "comparisons"), k, c) if (tells(c, verdict)) return json_object_get(pair, "comparisons");
    return NULL;
}

/* "ratio of macs >= 2.5: 2.813 (exact), ratio of latency >= 2.5 (batch 1, ...): 2.79 [...] ...": where it holds, all that have to; else the
 * first that does not. */
static void put_telling(FILE *out, const json_t *list, const char *verdict) {
    const bool    all = strcmp(verdict, "holds") == 0;
    const char   *between = "";
    const json_t *c;
    size_t        i;
    json_array_foreach(list, i, c) {
        if (!tells(c, verdict)) continue;
        fputs(between, out);
        escape_markdown(out, text_of(c, "condition"));
        if (all && json_array_size(list) > 1 && text_of(c, "context")[0] != '\0') {
            fputs(", ", out);
            escape_markdown(out, text_of(c, "context"));
        }
        fputs(": ", out);
        put_figures(out, c);
        if (!all) return;
        between = "; ";
    }
}

/* "at equal MACs fails: difference of top1 > 0: -2.70 [-5.06, -0.33] points ...", a part each */
static void put_figures_of(FILE *out, const json_t *claim) {
    const json_t *part, *parts = json_object_get(claim, "parts");
    const char   *between = "";
    size_t        i;
    json_array_foreach(parts, i, part) {
        const json_t *list = telling_of(part);
        if (list == NULL) continue;
        fputs(between, out);
        if (json_array_size(parts) > 1) {
            escape_markdown(out, text_of(part, "name"));
            fprintf(out, " %s: ", text_of(part, "verdict"));
        }
        put_telling(out, list, text_of(part, "verdict"));
        between = "; ";
    }
}

void claims_print(const json_t *judged, FILE *out) {
    const json_t *claims = json_object_get(judged, "claims"), *claim, *part;
    size_t        i, k;
    json_array_foreach(claims, i, claim) {
        fprintf(out, "%-4s %-12s ", text_of(claim, "id"), text_of(claim, "verdict"));
        escape_terminal(out, text_of(claim, "claim"));
        fputs("  (", out);
        escape_terminal(out, text_of(claim, "source"));
        fputs(")\n       ", out);
        escape_terminal(out, text_of(claim, text_of(claim, "untestable")[0] != '\0' ? "untestable" : "statement"));
        fputc('\n', out);
        json_array_foreach(json_object_get(claim, "parts"), k, part) {
            if (text_of(part, "name")[0] != '\0') {
                fprintf(out, "       %s: ", text_of(part, "verdict"));
                escape_terminal(out, text_of(part, "name"));
                fputc('\n', out);
            }
            put_pairs(out, part, PAIRS_SHOWN, escape_terminal, "         ", "           ");
            put_missing(out, part, escape_terminal, "         ");
        }
    }
    fputc('\n', out);
    put_summary(out, claims);
}

void claims_write_md(const json_t *judged, FILE *out) {
    const json_t *claims = json_object_get(judged, "claims"), *claim, *part;
    size_t        i, k;
    fputs("| | claim | source | statement | threshold | verdict | decided by |\n|---|---|---|---|---|---|---|\n", out);
    json_array_foreach(claims, i, claim) {
        static const char *const columns[] = {"id", "claim", "source", "statement", "threshold"};
        for (int c = 0; c < 5; c++) {
            fputs("| ", out);
            escape_markdown(out, text_of(claim, columns[c]));
            fputc(' ', out);
        }
        fprintf(out, "| **%s** | ", text_of(claim, "verdict"));
        put_figures_of(out, claim);
        fputs(" |\n", out);
    }
    fputc('\n', out);
    put_summary(out, claims);
    json_array_foreach(claims, i, claim) {
        fprintf(out, "\n### %s: %s\n\n", text_of(claim, "id"), text_of(claim, "verdict"));
        for (int c = 0; c < 2; c++) {
            const char *text = text_of(claim, c == 0 ? "untestable" : "note");
            if (text[0] == '\0') continue;
            escape_markdown(out, text);
            fputs("\n\n", out);
        }
        json_array_foreach(json_object_get(claim, "parts"), k, part) {
            fprintf(out, "- %s", text_of(part, "verdict"));
            if (text_of(part, "name")[0] != '\0') fputs(": ", out);
            escape_markdown(out, text_of(part, "name"));
            fputc('\n', out);
            put_pairs(out, part, SIZE_MAX, escape_markdown, "  - ", "    - ");
            put_missing(out, part, escape_markdown, "  - ");
        }
    }
}

static bool save_md(const json_t *judged, const char *path, Error *err) {
    char  *text = NULL;
    size_t n    = 0;
    FILE  *f    = open_memstream(&text, &n);
    bool   ok   = f != NULL;
    if (ok) claims_write_md(judged, f);
    ok = (ok && fclose(f) == 0) || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for claims.md");
    ok = ok && file_write_durable(path, text, n, err);
    free(text);
    return ok;
}

bool report_claims(const Report *report, const char *dir, const char *claims_path, bool json, Error *err) {
    json_t *claims = NULL, *judged = NULL;
    char    path[4400];
    bool    ok = claims_load(&claims, claims_path, err) && claims_judge(&judged, claims, report, err);
    snprintf(path, sizeof path, "%.4300s/claims.json", dir);
    ok = ok && json_save_file(judged, path, err);
    snprintf(path, sizeof path, "%.4300s/claims.md", dir);
    ok = ok && save_md(judged, path, err);
    if (ok && json) {
        char *text = json_to_text(judged);
        ok = text != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to print the claims");
        ok = ok && (fputs(text, stdout) >= 0 || FAIL_STATUS(err, EXIT_IO, "", "cannot write to standard output"));
        free(text);
    } else if (ok) {
        claims_print(judged, stdout);
    }
    json_decref(claims);
    json_decref(judged);
    return ok;
}
