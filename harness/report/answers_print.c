/* What experiments found (answers.h) as text, Markdown, LaTeX, CSV, JSON and part of the page. */
#include "harness/report/answers.h"

#include "harness/report/escape.h"
#include "harness/report/html.h"
#include "harness/report/report_grid.h"
#include "harness/report/sheet.h"

#include <math.h>
#include <string.h>

/* -- one experiment as a table -- */

enum { NAME, PARAMS, MACS, TOP1, DIFFERENCE, N_FIXED };

static const double certain_p = 0.05;

static const char *const headings[N_FIXED] = {"configuration", "parameters", "MACs", "top-1 %", "from base"};

static bool fills(const Answer *a, int column) {
    for (int i = 0; i < a->n_lines; i++) {
        const AnswerLine *l = &a->line[i];
        if (column >= N_FIXED) {
            if (l->timed[column - N_FIXED] != NULL) return true;
            continue;
        }
        const double      v[N_FIXED] = {0, l->params, l->macs, l->top1, l->difference};
        if (isfinite(v[column])) return true;
    }
    return false;
}

/* Percent; signed: a difference, in points. */
static void put_percent(FILE *out, bool is_signed, double v, double low, double high) {
    if (!isfinite(v)) return;
    fprintf(out, is_signed ? "%+.2f" : "%.2f", 100*v);
    if (isfinite(low) && isfinite(high)) fprintf(out, is_signed ? " [%+.2f, %+.2f]" : " [%.2f, %.2f]", 100*low, 100*high);
}

static void put_time(FILE *out, const ReportRow *row) {
    const double v = report_number(row->run, "/metrics/latency_ns"), low = report_number(row->run, "/metrics/latency_low_ns"),
                 high = report_number(row->run, "/metrics/latency_high_ns");
    if (!isfinite(v)) return;
    grid_print_number(out, TIME, v);
    if (isfinite(low) && isfinite(high)) {
        fputc(' ', out);
        grid_print_interval(out, TIME, v, low, high);
    }
    if (row->speed_only) fputs(" †", out);
    if (strcmp(row->verdict, "SMOKE") == 0) fputs(" (smoke)", out);
    else if (row->noisy) fputs(" (noisy)", out);
}

static void put_timing(FILE *out, const AnswerTiming *t) {
    fprintf(out, "%s batch %d, %d thread%s", t->train_step ? "training step," : "time,", t->batch, t->threads, t->threads == 1 ? "" : "s");
}

static void put_cell(FILE *out, const AnswerLine *l, int column) {
    switch (column) {
    case NAME:   fputs(l->name, out); break;
    case PARAMS: if (isfinite(l->params)) grid_print_number(out, SCALED, l->params); break;
    case MACS:   if (isfinite(l->macs)) grid_print_number(out, SCALED, l->macs); break;
    case TOP1:
        put_percent(out, false, l->top1, l->top1_low, l->top1_high);
        if (l->n_runs > 0) fprintf(out, ", %d seed%s", l->n_runs, l->n_runs == 1 ? "" : "s");
        break;
    case DIFFERENCE:
        if (l->same) fputs("the same", out);
        else put_percent(out, true, l->difference, l->difference_low, l->difference_high);
        if (l->p_corrected < certain_p) fputs(" *", out);
        if (l->n_pairs == 1) fputs(", 1 seed", out);
        else if (l->n_pairs > 0 && l->n_pairs < l->n_runs) fprintf(out, ", %d seeds", l->n_pairs);
        if (l->base < 0 && l->n_runs > 0) fputs("base", out);
        break;
    default: if (l->timed[column - N_FIXED] != NULL) put_time(out, l->timed[column - N_FIXED]);
    }
}

/* Columns that no line fills are left out. */
static bool make_sheet(Sheet *s, const Answer *a) {
    int n = 0, at = 0;
    *s = (Sheet){0};
    if (a->n_rows == 0) return false;
    for (int c = 0; c < N_FIXED + a->n_timings; c++) n += fills(a, c);
    if (!sheet_begin(s, n, a->n_rows)) return false;
    for (int c = 0; c < N_FIXED + a->n_timings; c++) {
        if (!fills(a, c)) continue;
        for (int i = -1; i < a->n_lines; i++) {
            if (i >= 0 && a->line[i].row < 0) continue;
            FILE *f = sheet_cell(s, i >= 0 ? a->line[i].row : -1, at);
            if (f == NULL) return false;
            if (i >= 0)            put_cell(f, &a->line[i], c);
            else if (c >= N_FIXED) put_timing(f, &a->timing[c - N_FIXED]);
            else                   fputs(headings[c], f);
            fclose(f);
        }
        at++;
    }
    return sheet_end(s);
}

/* -- what stands around it -- */

static void put_title(FILE *out, const Answer *a, Escape *escape) {
    escape(out, a->name);
    if (a->size[0] != '\0') {
        fputs(", size ", out);
        escape(out, a->size);
    }
}

static void put_line(FILE *out, const char *start, Escape *escape, const char *text, const char *end) {
    if (text[0] == '\0') return;
    fputs(start, out);
    escape(out, text);
    fputs(end, out);
}

/* The lines that are in no table, by their names. */
static void put_unknown(FILE *out, const Answer *a, Escape *escape, const char *start, const char *end) {
    const char *before = start;
    if (a->n_rows == a->n_lines) return;
    for (int i = 0; i < a->n_lines; i++) {
        if (a->line[i].row >= 0) continue;
        fputs(before, out);
        if (before == start) escape(out, "Without a run that counts: ");
        escape(out, a->line[i].name);
        before = "; ";
    }
    escape(out, ".");
    fputs(end, out);
}

static void put_notes(FILE *out, const Answer *a, Escape *escape, const char *start, const char *end) {
    bool several = false, single = false, speed_only = false, differ = fills(a, DIFFERENCE);
    for (int i = 0; i < a->n_lines; i++) {
        several = several || a->line[i].n_runs > 1;
        single  = single || a->line[i].n_runs == 1;
        for (int k = 0; k < a->n_timings; k++) speed_only = speed_only || (a->line[i].timed[k] != NULL && a->line[i].timed[k]->speed_only);
    }
    if (several) put_line(out, start, escape, "Accuracy of several seeds: their mean, in brackets Student's 95 % interval over seeds.", end);
    if (single) put_line(out, start, escape, "Accuracy of one seed: in brackets the 95 % interval over the choice of images (Wilson), which says nothing of other seeds.", end);
    char text[240];
    if (differ) {
        put_line(out, start, escape, "From base: points of top-1 more than the base, seed by seed; in brackets Student's 95 % interval, each for itself. "
                                     "The base is the first line of the cell, where a cell has one line the first of all, of an evaluation its training.", end);
        snprintf(text, sizeof text, "* differs from its base also after Holm's correction over the table's %d differences (p < %g).", a->n_differences, certain_p);
        if (a->n_differences > 0) put_line(out, start, escape, text, end);
    }
    bool any_timed = false;
    for (int k = 0; k < a->n_timings; k++) any_timed = any_timed || fills(a, N_FIXED + k);
    if (any_timed) put_line(out, start, escape, "Times: of one batch, median, in brackets 95 % intervals over processes.", end);
    if (speed_only) put_line(out, start, escape, "† speed only: no accuracy of the same weights on the same data is known.", end);
    bool no_base = false;
    for (int i = 0; i < a->n_lines; i++) no_base = no_base || (a->line[i].base >= 0 && a->line[i].n_runs > 0 && a->line[a->line[i].base].n_runs == 0);
    if (no_base) put_line(out, start, escape, "A base has no run: there are no differences from it.", end);
    if (a->n_double > 0) {
        snprintf(text, sizeof text, "%d rows name a run, a seed or a timing that their line has already; they are left out.", a->n_double);
        put_line(out, start, escape, text, end);
    }
    if (a->n_missing > 0) {
        snprintf(text, sizeof text, "%d of %d cells are missing or INVALID and in no line.", a->n_missing, a->n_cells);
        put_line(out, start, escape, text, end);
    }
    put_unknown(out, a, escape, start, end);
}

void answers_print(const Report *r, FILE *out) {
    for (int i = 0; i < r->n_answers; i++) {
        const Answer *a = &r->answer[i];
        Sheet         s;
        if (make_sheet(&s, a)) {
            fputc('\n', out);
            put_title(out, a, escape_terminal);
            put_line(out, "\n", escape_terminal, a->question, "");
            put_line(out, "\n", escape_terminal, a->caption, "");
            fputs("\n\n", out);
            sheet_print(&s, out);
            fputc('\n', out);
            put_notes(out, a, escape_terminal, "", "\n");
        }
        sheet_free(&s);
    }
}

void answers_write_md(const Report *r, FILE *out) {
    bool any = false;
    for (int i = 0; i < r->n_answers; i++) {
        const Answer *a = &r->answer[i];
        Sheet         s;
        if (make_sheet(&s, a)) {
            any = true;
            fputs("## ", out);
            put_title(out, a, escape_markdown);
            put_line(out, "\n\nAsked: ", escape_markdown, a->question, "");
            put_line(out, "\n\nNote: ", escape_markdown, a->caption, "");
            fputs("\n\n", out);
            sheet_write_md(&s, out);
            fputc('\n', out);
            put_notes(out, a, escape_markdown, "- ", "\n");
            fputc('\n', out);
        }
        sheet_free(&s);
    }
    if (any) fputs("## All runs\n\n", out);
}

/* The runs of a line as a comment above it. */
static void put_runs(FILE *out, void *self, int row) {
    const AnswerLine *l = ((const Answer *)self)->line;
    while (l->row != row) l++;
    if (l->n_runs > 0) fputs("% runs", out);
    for (int i = 0; i < l->n_runs; i++) fprintf(out, " %s", report_run_id(l->run[i]->run));
    if (l->n_runs > 0) fputc('\n', out);
}

void answers_write_tex(const Report *r, FILE *out) {
    for (int i = 0; i < r->n_answers; i++) {
        const Answer *a = &r->answer[i];
        Sheet         s;
        if (make_sheet(&s, a)) {
            put_title(out, a, escape_latex);
            put_line(out, ": ", escape_latex, a->question, "");
            put_line(out, " \\emph{", escape_latex, a->caption, "}");
            fputs("\n\n", out);
            sheet_write_tex(&s, out, put_runs, (void *)a);
            fputs("\n\\begin{small}\n", out);
            put_notes(out, a, escape_latex, "", "\\\\\n");
            fputs("\\end{small}\n\n", out);
        }
        sheet_free(&s);
    }
}

void answers_write_html(const Report *r, FILE *out) {
    if (r->n_answers == 0) return;
    fputs("<section id=\"answers\"><h2>What was asked</h2>\n", out);
    for (int i = 0; i < r->n_answers; i++) {
        const Answer *a = &r->answer[i];
        Sheet         s;
        if (make_sheet(&s, a)) {
            fputs("<h3>", out);
            put_title(out, a, escape_html);
            put_line(out, ": ", escape_html, a->question, "");
            fputs("</h3>\n", out);
            html_print(out, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\"><table class=\"answers\"><caption>A configuration a row. %s</caption>", a->name, a->caption);
            sheet_write_html(&s, out);
            fputs("</table></div>\n<ul class=\"notes\">\n", out);
            put_notes(out, a, escape_html, "<li>", "</li>\n");
            fputs("</ul>\n", out);
        }
        sheet_free(&s);
    }
    fputs("</section>\n", out);
}

/* -- for programs -- */

static const char *pass_of(const AnswerTiming *t) { return t->train_step ? "train_step" : "forward"; }

static void csv_number(FILE *out, const Answer *a, const AnswerLine *l, const char *what, double v, double low, double high, int n, const char *base, double p) {
    if (!isfinite(v)) return;
    escape_csv(out, a->name);
    fputc(',', out);
    escape_csv(out, a->size);
    fputc(',', out);
    escape_csv(out, l->name);
    fprintf(out, ",%s,%.17g,", what, v);
    if (isfinite(low)) fprintf(out, "%.17g", low);
    fputc(',', out);
    if (isfinite(high)) fprintf(out, "%.17g", high);
    fprintf(out, ",%d,", n);
    escape_csv(out, base);
    fputc(',', out);
    if (isfinite(p)) fprintf(out, "%.17g", p);
    fputc('\n', out);
}

void answers_write_csv(const Report *r, FILE *out) {
    fputs("experiment,size,line,what,value,low,high,runs,base,p_corrected\n", out);
    for (int i = 0; i < r->n_answers; i++)
        for (int k = 0; k < r->answer[i].n_lines; k++) {
            const Answer     *a = &r->answer[i];
            const AnswerLine *l = &a->line[k];
            csv_number(out, a, l, "params_count", l->params, NAN, NAN, l->n_runs, "", NAN);
            csv_number(out, a, l, "macs", l->macs, NAN, NAN, l->n_runs, "", NAN);
            csv_number(out, a, l, "top1_ratio", l->top1, l->top1_low, l->top1_high, l->n_runs, "", NAN);
            csv_number(out, a, l, "top1_difference", l->difference, l->difference_low, l->difference_high, l->n_pairs, l->base >= 0 ? a->line[l->base].name : "", l->p_corrected);
            for (int t = 0; t < a->n_timings; t++) {
                char what[64];
                if (l->timed[t] == NULL) continue;
                snprintf(what, sizeof what, "latency_ns_%s_b%d_t%d", pass_of(&a->timing[t]), a->timing[t].batch, a->timing[t].threads);
                csv_number(out, a, l, what, report_number(l->timed[t]->run, "/metrics/latency_ns"), report_number(l->timed[t]->run, "/metrics/latency_low_ns"),
                           report_number(l->timed[t]->run, "/metrics/latency_high_ns"), 1, "", NAN);
            }
        }
}

static void put_number(JsonSink *sink, const char *key, double v) {
    if (isfinite(v)) json_put_number(sink, key, v);
    else             json_put(sink, key, json_null());
}

static void put_json_line(JsonSink *list, const Answer *a, const AnswerLine *l) {
    JsonSink line, runs, timings, timing;
    json_put_object(list, NULL, &line);
    json_put_text(&line, "name", l->name);
    json_put(&line, "factors", json_incref(l->factors));
    json_put_array(&line, "runs", &runs);
    for (int i = 0; i < l->n_runs; i++) json_put_text(&runs, NULL, report_run_id(l->run[i]->run));
    json_put_count(&line, "asked_count", l->n_asked);
    put_number(&line, "params_count", l->params);
    put_number(&line, "macs", l->macs);
    put_number(&line, "top1_ratio", l->top1);
    put_number(&line, "top1_low_ratio", l->top1_low);
    put_number(&line, "top1_high_ratio", l->top1_high);
    json_put_count(&line, "pairs_count", l->n_pairs);
    json_put_text(&line, "base", l->base >= 0 ? a->line[l->base].name : "");
    json_put(&line, "predicts_the_same", json_boolean(l->same));
    put_number(&line, "top1_difference", l->difference);
    put_number(&line, "top1_difference_low", l->difference_low);
    put_number(&line, "top1_difference_high", l->difference_high);
    put_number(&line, "top1_difference_p", l->p);
    put_number(&line, "top1_difference_p_corrected", l->p_corrected);
    json_put_array(&line, "timings", &timings);
    for (int t = 0; t < a->n_timings; t++) {
        if (l->timed[t] == NULL) continue;
        json_put_object(&timings, NULL, &timing);
        json_put_count(&timing, "batch", a->timing[t].batch);
        json_put_count(&timing, "threads", a->timing[t].threads);
        json_put_text(&timing, "pass", pass_of(&a->timing[t]));
        json_put_text(&timing, "run", report_run_id(l->timed[t]->run));
        json_put_text(&timing, "verdict", l->timed[t]->verdict);
        put_number(&timing, "latency_ns", report_number(l->timed[t]->run, "/metrics/latency_ns"));
        put_number(&timing, "latency_low_ns", report_number(l->timed[t]->run, "/metrics/latency_low_ns"));
        put_number(&timing, "latency_high_ns", report_number(l->timed[t]->run, "/metrics/latency_high_ns"));
    }
}

void answers_put_json(const Report *r, JsonSink *list) {
    for (int i = 0; i < r->n_answers; i++) {
        const Answer *a = &r->answer[i];
        JsonSink      one, lines;
        json_put_object(list, NULL, &one);
        json_put_text(&one, "experiment", a->name);
        json_put_text(&one, "size", a->size);
        json_put_text(&one, "question", a->question);
        json_put_text(&one, "caption", a->caption);
        json_put_count(&one, "missing_count", a->n_missing);
        json_put_count(&one, "double_count", a->n_double);
        json_put_array(&one, "lines", &lines);
        for (int k = 0; k < a->n_lines; k++) put_json_line(&lines, a, &a->line[k]);
    }
}
