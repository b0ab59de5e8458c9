/* A Comparison for people and as JSON (compare.h). */
#include "harness/report/compare.h"

#include "harness/report/escape.h"
#include "harness/report/report.h"

#include <math.h>
#include <string.h>

static const char *text_at(const json_t *run, const char *pointer) {
    const char *text = json_string_value(report_at(run, pointer));
    return text != NULL ? text : "";
}

static const char *model_of(const json_t *run) {
    const char *preset = text_at(run, "/model/preset");
    return preset[0] != '\0' ? preset : text_at(run, "/model/name");
}

/* "vit_small_patch16_224, batch 16, 2 threads" */
static void cell_text(const ComparePair *p, char text[256]) {
    const json_t *run = p->a->run;
    const double  batch = report_number(run, "/metrics/batch_size_count"), threads = report_number(run, "/experiment/threads_requested_count");
    snprintf(text, 256, "%.120s%s%.120s", model_of(run), strcmp(model_of(run), model_of(p->b->run)) != 0 ? " -> " : "",
             strcmp(model_of(run), model_of(p->b->run)) != 0 ? model_of(p->b->run) : "");
    if (isfinite(batch)) snprintf(text + strlen(text), 256 - strlen(text), " b%.0f", batch);
    if (isfinite(threads)) snprintf(text + strlen(text), 256 - strlen(text), " t%.0f", threads);
    if (strcmp(text_at(run, "/metrics/latency_of"), "train_step") == 0) snprintf(text + strlen(text), 256 - strlen(text), " train");
}

/* Numbers without noise, told when they differ. */
static const struct { const char *name, *where; } exact[] = {
    {"parameters", "/model/params_count"},
    {"macs", "/model/counts/macs"},
    {"macs_executed", "/model/counts/macs_executed"},
    {"flops_all", "/model/counts/flops_all"},
    {"peak_activation_bytes", "/metrics/peak_activation_bytes"},
    {"packed_weights_bytes", "/metrics/packed_weights_bytes"},
    {"top1_ratio", "/accuracy/top1_ratio"},
};

static const char *words_for(Judgement j) {
    switch (j) {
    case JUDGED_FASTER: return "faster";
    case JUDGED_SLOWER: return "slower";
    case JUDGED_EQUIVALENT: return "equivalent";
    case JUDGED_UNCERTAIN_LARGE: return "large but uncertain";
    case JUDGED_UNCERTAIN: return "uncertain";
    default: return "too few processes";
    }
}

static const char *words_of(const ComparePair *p) { return !p->timed ? "not timed" : p->barred != NULL ? p->barred : words_for(p->judgement); }

/* Told where the clock moved, or decided the verdict. */
static void print_at_clock(const ComparePair *p, FILE *out) {
    if (!p->has_clock || p->barred != NULL) return;
    const bool agrees = (p->t.low > 1) == (p->at_clock.low > 1) && (p->t.high < 1) == (p->at_clock.high < 1);
    if (agrees && fabs(p->clock_ratio - 1) < 0.01) return;
    fprintf(out, "    the clock: a fixed loop took %+.2f %% in B; times in units of it: %+.2f %% [%+.2f, %+.2f]\n", 100 * (p->clock_ratio - 1), 100 * (p->at_clock.ratio - 1),
            100 * (p->at_clock.low - 1), 100 * (p->at_clock.high - 1));
}

/* The verdict above stays; whether it hangs on outliers is for the reader to know. */
static void print_without_outliers(const ComparePair *p, FILE *out) {
    if (!p->timed || p->barred != NULL || p->judgement_without == p->judgement) return;
    fprintf(out, "    without outliers (%d samples, %d processes) it would be: %s, %+.2f %% [%+.2f, %+.2f]; the verdict counts them\n", p->left_out.n_samples,
            p->left_out.n_processes, words_for(p->judgement_without), 100 * (p->without.ratio - 1), 100 * (p->without.low - 1), 100 * (p->without.high - 1));
}

static void print_pair(const Comparison *c, const ComparePair *p, FILE *out) {
    char cell[256];
    cell_text(p, cell);
    escape_terminal_field(out, cell, 43);
    fputc(' ', out);
    if (p->timed) {
        fprintf(out, "%11.3f %11.3f  %+7.2f %%", p->a_value / 1e6, p->b_value / 1e6, 100 * (p->t.ratio - 1));
        if (isfinite(p->t.low)) fprintf(out, " [%+7.2f, %+7.2f]", 100 * (p->t.low - 1), 100 * (p->t.high - 1));
        else                    fprintf(out, " [%7s, %7s]", "-", "-");
        fprintf(out, "  %5.2f", p->t.slower_share);
        if (p->barred == NULL) fprintf(out, "  %8.2g", p->p);
        else                   fprintf(out, "  %8s", "-");
        fprintf(out, "  %zu/%zu%s", p->t.n_first, p->t.n_second, p->t.paired ? " paired" : "");
    }
    fprintf(out, "  %s%s%s\n", words_of(p), p->timed && !p->same_env ? " (different machines)" : "", p->regressed ? "  REGRESSION" : "");
    if (isfinite(c->options.gate) && p->not_gated != NULL && p->timed) fprintf(out, "    not counted by the gate: %s\n", p->not_gated);
    print_at_clock(p, out);
    print_without_outliers(p, out);
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        const double a = report_number(p->a->run, exact[i].where), b = report_number(p->b->run, exact[i].where);
        if (isfinite(a) && isfinite(b) && a != b) fprintf(out, "    %s: %.17g -> %.17g\n", exact[i].name, a, b);
    }
}

static void print_alone(const Comparison *c, int side, FILE *out) {
    for (int i = 0; i < c->n_runs[side]; i++)
        if (c->run[side][i].partner < 0) {
            fprintf(out, "only in %s: ", side == 0 ? "A" : "B");
            escape_terminal(out, c->run[side][i].path);
            fputc('\n', out);
        }
}

void compare_print(const Comparison *c, FILE *out) {
    fputs("A: ", out);
    escape_terminal(out, c->name[0]);
    fputs("\nB: ", out);
    escape_terminal(out, c->name[1]);
    fputs("\n\n", out);
    if (c->different_machines) fputs("different machines, or builds of the program: what follows compares those too\n", out);
    if (c->n_differences == 0) fputs("machine, build and code: no differences\n", out);
    for (int i = 0; i < c->n_differences; i++) {
        fputs("  ", out);
        escape_terminal_field(out, c->difference[i].field, 34);
        fputc(' ', out);
        escape_terminal(out, c->difference[i].a);
        fputs("  ->  ", out);
        escape_terminal(out, c->difference[i].b);
        fputc('\n', out);
    }
    if (c->n_more > 0) fprintf(out, "  and %d more\n", c->n_more);
    fprintf(out, "\n%-44s%11s %11s  %9s %18s  %5s  %8s  processes  verdict\n", c->options.metric == COMPARE_LATENCY ? "cell (latency)" : "cell (end to end)", "A ms", "B ms", "B - A",
            "95 % interval", "P", "p (Holm)");
    for (int i = 0; i < c->n_pairs; i++) print_pair(c, &c->pair[i], out);
    print_alone(c, 0, out);
    print_alone(c, 1, out);
    fprintf(out, "\n%d comparisons judged, p corrected for all of them; equivalent: interval within %.3g %%; P: how often a process of B is slower than one of A\n", c->n_judged,
            100 * c->options.margin);
    if (isfinite(c->options.gate))
        fprintf(out, "gate %.3g %%: %d of %d cells counted, %d regressed\n", 100 * c->options.gate, c->n_gated, c->n_pairs, c->n_regressed);
}

static void put_number(JsonSink *to, const char *key, double value, const char *reason) {
    if (isfinite(value)) json_put_number(to, key, value);
    else                 json_put_missing(to, key, reason);
}

static void put_side(JsonSink *to, const char *key, const ComparePair *p, const CompareRun *r, double value) {
    JsonSink side;
    json_put_object(to, key, &side);
    json_put_text(&side, "path", r->path);
    json_put_text(&side, "id", text_at(r->run, "/id"));
    json_put_text(&side, "env_id", text_at(r->run, "/env_id"));
    json_put_text(&side, "verdict", text_at(r->run, "/validity/verdict"));
    put_number(&side, "median_ns", p->timed ? value : NAN, "not_requested");
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) put_number(&side, exact[i].name, report_number(r->run, exact[i].where), "not_requested");
}

static void put_without_outliers(JsonSink *pair, const ComparePair *p) {
    JsonSink to;
    const bool judged = p->timed && p->barred == NULL;
    json_put_object(pair, "without_outliers", &to);
    json_put_count(&to, "samples_left_out_count", p->left_out.n_samples);
    json_put_count(&to, "processes_left_out_count", p->left_out.n_processes);
    put_number(&to, "relative_difference", p->timed ? p->without.ratio - 1 : NAN, "not_supported");
    put_number(&to, "relative_difference_low", p->timed ? p->without.low - 1 : NAN, "not_supported");
    put_number(&to, "relative_difference_high", p->timed ? p->without.high - 1 : NAN, "not_supported");
    put_number(&to, "p_holm", judged ? p->without_p : NAN, "not_requested");
    json_put_text(&to, "judgement", !p->timed ? "not_timed" : p->barred != NULL ? "barred" : judgement_name(p->judgement_without));
}

/* null: arms of one bench, or processes that did not follow the clock. */
static void put_at_clock(JsonSink *pair, const ComparePair *p) {
    JsonSink to;
    if (!p->has_clock) {
        json_put(pair, "at_equal_clock", json_null());
        return;
    }
    json_put_object(pair, "at_equal_clock", &to);
    put_number(&to, "fixed_loop_difference", p->clock_ratio - 1, "not_supported");
    put_number(&to, "relative_difference", p->at_clock.ratio - 1, "not_supported");
    put_number(&to, "relative_difference_low", p->at_clock.low - 1, "not_supported");
    put_number(&to, "relative_difference_high", p->at_clock.high - 1, "not_supported");
    put_number(&to, "p", p->at_clock.p, "not_supported");
}

static void put_pair(JsonSink *list, const Comparison *c, const ComparePair *p) {
    JsonSink entry;
    char     cell[256];
    cell_text(p, cell);
    json_put_object(list, NULL, &entry);
    json_put_text(&entry, "cell", cell);
    json_put_text(&entry, "cell_id", p->a->cell);
    put_side(&entry, "a", p, p->a, p->a_value);
    put_side(&entry, "b", p, p->b, p->b_value);
    json_put_bool(&entry, "different_machines", !p->same_env);
    json_put_bool(&entry, "paired", p->timed && p->t.paired);
    json_put_count(&entry, "processes_a_count", p->timed ? (int64_t)p->t.n_first : 0);
    json_put_count(&entry, "processes_b_count", p->timed ? (int64_t)p->t.n_second : 0);
    put_number(&entry, "relative_difference", p->timed ? p->t.ratio - 1 : NAN, "not_requested");
    put_number(&entry, "relative_difference_low", p->timed ? p->t.low - 1 : NAN, "not_supported");
    put_number(&entry, "relative_difference_high", p->timed ? p->t.high - 1 : NAN, "not_supported");
    put_number(&entry, "slower_share_ratio", p->timed ? p->t.slower_share : NAN, "not_requested");
    put_number(&entry, "p", p->timed ? p->t.p : NAN, "not_requested");
    put_number(&entry, "p_holm", p->timed && p->barred == NULL ? p->p : NAN, "not_requested");
    json_put_text(&entry, "judgement", !p->timed ? "not_timed" : p->barred != NULL ? "barred" : judgement_name(p->judgement));
    put_at_clock(&entry, p);
    put_without_outliers(&entry, p);
    if (isfinite(c->options.gate)) {
        json_put_bool(&entry, "gated", p->not_gated == NULL);
        if (p->not_gated != NULL) json_put_text(&entry, "not_gated_since", p->not_gated);
        json_put_bool(&entry, "regressed", p->regressed);
    }
}

bool compare_to_json(const Comparison *c, json_t **out, Error *err) {
    JsonSink root, list, entry;
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.compare/1");
    json_put_text(&root, "a", c->name[0]);
    json_put_text(&root, "b", c->name[1]);
    json_put_text(&root, "metric", c->options.metric == COMPARE_LATENCY ? "latency_ns" : "end_to_end_latency_ns");
    json_put_text(&root, "interval_method", "hodges_lehmann_rank95");
    json_put_text(&root, "level", "process");
    json_put_number(&root, "margin_ratio", c->options.margin);
    put_number(&root, "gate_ratio", c->options.gate, "not_requested");
    json_put_bool(&root, "different_machines", c->different_machines);
    json_put_array(&root, "differences", &list);
    for (int i = 0; i < c->n_differences; i++) {
        json_put_object(&list, NULL, &entry);
        json_put_text(&entry, "field", c->difference[i].field);
        json_put_text(&entry, "a", c->difference[i].a);
        json_put_text(&entry, "b", c->difference[i].b);
    }
    json_put_count(&root, "differences_left_out_count", c->n_more);
    json_put_array(&root, "pairs", &list);
    for (int i = 0; i < c->n_pairs; i++) put_pair(&list, c, &c->pair[i]);
    for (int side = 0; side < 2; side++) {
        json_put_array(&root, side == 0 ? "only_in_a" : "only_in_b", &list);
        for (int i = 0; i < c->n_runs[side]; i++)
            if (c->run[side][i].partner < 0) json_put_text(&list, NULL, c->run[side][i].path);
    }
    json_put_count(&root, "judged_count", c->n_judged);
    json_put_count(&root, "gated_count", c->n_gated);
    json_put_count(&root, "regressed_count", c->n_regressed);
    return json_sink_finish(&root, out, err);
}
