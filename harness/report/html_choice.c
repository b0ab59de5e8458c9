/* Which model should I use, and why: what choice.h found, as the first screen of the page. */
#include "harness/report/html.h"

#include "harness/report/choice.h"
#include "harness/report/escape.h"
#include "harness/report/figure.h"

#include <math.h>
#include <string.h>

/* What counts as nearly as accurate in the cards: the reader who wants another trade finds it in the table below them. */
static const double near_best = 0.01;

/* -- who is named -- */

/* Cheapest of those within near_best of the most accurate; all count where no accuracy is known. -1: none. */
static int cheapest_near_best(const Choice *c, Cost cost) {
    int found = -1;
    for (int i = 0; i < c->n; i++) {
        const Candidate *x = &c->candidate[i];
        if (!isfinite(x->cost[cost]) || (c->data != NULL && !(x->top1 >= c->candidate[0].top1 - near_best - 1e-12))) continue;
        if (found < 0 || x->cost[cost] < c->candidate[found].cost[cost]) found = i;
    }
    return found;
}

typedef struct Card { int candidate; bool best, near[N_COSTS], least[N_COSTS]; } Card;

static void name(Card card[], int *n, int candidate, const Card *role) {
    int k = 0;
    if (candidate < 0) return;
    while (k < *n && card[k].candidate != candidate) k++;
    if (k == *n) card[(*n)++] = (Card){.candidate = candidate};
    card[k].best = card[k].best || role->best;
    for (int i = 0; i < N_COSTS; i++) {
        card[k].near[i]  = card[k].near[i] || role->near[i];
        card[k].least[i] = card[k].least[i] || role->least[i];
    }
}

enum { MAX_CARDS = 1 + 2*N_COSTS };

static int find_cards(Card card[MAX_CARDS], const Choice *c) {
    int n = 0;
    if (c->data != NULL) name(card, &n, 0, &(Card){.best = true});
    for (int k = 0; k < N_COSTS; k++) {
        Card near = {.candidate = 0}, least = {.candidate = 0};
        const int near_one = cheapest_near_best(c, (Cost)k);
        near.near[k] = least.least[k] = true;
        if (near_one != 0 || c->data == NULL) name(card, &n, near_one, &near);     /* that the best is near the best says nothing */
        name(card, &n, c->least[k], &least);
    }
    return n;
}

/* -- sentences -- */

static const char *const superlative[N_COSTS] = {[COST_LATENCY] = "fastest", [COST_MACS] = "fewest MACs", [COST_PARAMS] = "fewest parameters"};

static void put_roles(FILE *out, const Choice *c, const Card *card) {
    const char *between = "";
    bool        near    = false;
    if (card->best) { fputs("most accurate", out); between = ", "; }
    for (int k = 0; k < N_COSTS; k++)
        if (card->least[k]) { fprintf(out, "%s%s", between, superlative[k]); between = ", "; }
    for (int k = 0; k < N_COSTS; k++)
        if (card->near[k] && !card->least[k]) {
            fprintf(out, "%s%s", near ? ", " : between[0] != '\0' ? "; " : "", superlative[k]);
            near = true;
        }
    if (near && c->data != NULL) fprintf(out, " within %g point of the best", 100*near_best);
}

static const struct { const char *noun, *less; } words[N_COSTS] = {
    [COST_LATENCY] = {"time", "less"}, [COST_MACS] = {"MACs", "fewer"}, [COST_PARAMS] = {"parameters", "fewer"}};

/* ", 18 % less time", ", 5.7 times the MACs" */
static void put_change(FILE *out, Cost cost, double a, double b) {
    const double ratio = a/b;
    if (a == b)          fprintf(out, ", the same %s", words[cost].noun);
    else if (ratio >= 2) fprintf(out, ", %.1f times the %s", ratio, words[cost].noun);
    else                 fprintf(out, ", %.*f %% %s %s", fabs(ratio - 1) < 0.095 ? 1 : 0, 100*fabs(ratio - 1), ratio < 1 ? words[cost].less : "more", words[cost].noun);
}

/* Of two timings that are compared the verdict that is not VALID, if one is. */
static void put_doubted(FILE *out, const ReportRow *a, const ReportRow *b) {
    const ReportRow *row = strcmp(a->verdict, "VALID") != 0 ? a : b;
    if (strcmp(row->verdict, "VALID") == 0) return;
    fputc(' ', out);
    html_badge(out, row->verdict);
}

/* A candidate against the most accurate one: what it gives up, what it saves. "1.00 points less accurate, 20 % less time" */
static void put_against_best(const Page *p, const Choice *c, const Candidate *x) {
    const Candidate *best = &c->candidate[0];
    FILE            *out  = p->out;
    const double     points = 100*(best->top1 - x->top1);
    fprintf(out, "%.2f points less accurate%s", points, choice_accuracies_overlap(x, best) ? " (the intervals overlap)" : "");
    for (int k = 0; k < N_COSTS; k++) {
        if (!(x->cost[k] > 0) || !(best->cost[k] > 0)) continue;
        if (k == COST_LATENCY && choice_costs_overlap(x, best, COST_LATENCY)) fputs(", times not told apart", out);
        else put_change(out, (Cost)k, x->cost[k], best->cost[k]);
        if (k == COST_LATENCY) put_doubted(out, x->timing, best->timing);
    }
}

/* "yes, where MACs or parameters count: " */
static void put_where(FILE *out, const Candidate *x, const Candidate *best) {
    int n_less = 0, n = 0;
    for (int k = 0; k < N_COSTS; k++) n_less += x->cost[k] < best->cost[k];
    for (int k = 0; k < N_COSTS; k++) {
        if (!(x->cost[k] < best->cost[k])) continue;
        fprintf(out, "%s%s", n == 0 ? "yes, where " : n + 1 == n_less ? " or " : ", ", words[k].noun);
        n++;
    }
    if (n == 0) fputs("perhaps, not everything is known: ", out);
    else        fputs(n == 1 && x->cost[COST_LATENCY] < best->cost[COST_LATENCY] ? " counts: " : " count: ", out);
}

static void put_why(const Page *p, const Choice *c, int i) {
    const Candidate *x = &c->candidate[i];
    if (c->data == NULL) {
        const char *between = "";
        for (int k = 0; k < N_COSTS; k++)
            if (c->least[k] == i) { fprintf(p->out, "%s%s", between, superlative[k]); between = ", "; }
        if (between[0] == '\0') fputs("its accuracy would have to speak for it", p->out);
        return;
    }
    if (!x->efficient) {
        const Candidate *by = &c->candidate[x->beaten_by];
        html_print(p->out, "no reason to: %s is at least as accurate and costs no more", by->label);
        if (choice_accuracies_overlap(x, by)) fputs(" (accuracies not told apart)", p->out);
    } else if (i == 0) {
        fputs("yes, where accuracy counts most", p->out);
    } else {
        put_where(p->out, x, &c->candidate[0]);
        put_against_best(p, c, x);
    }
}

/* -- the answer, in a sentence -- */

static void put_name(const Page *p, const Candidate *x) {
    fputs("<b>", p->out);
    html_model(p->out, p->report, x->model, x->label);
    fputs("</b>", p->out);
}

/* Who to take where cost counts: near the best, by time where there is any, else by work. -1: nobody else costs less of that. */
static int cheap_one(const Choice *c, Cost *cost) {
    for (int k = 0; k < N_COSTS; k++) {
        const int i = cheapest_near_best(c, (Cost)k);
        *cost = (Cost)k;
        if (i > 0 && c->candidate[i].efficient) return i;
        if (i == 0) return -1;
    }
    return -1;
}

/* ", not told apart from b, c" */
static void put_equally_fast(const Page *p, const Choice *c, int fastest) {
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        if (i == fastest || !choice_costs_overlap(&c->candidate[fastest], &c->candidate[i], COST_LATENCY)) continue;
        fputs(n++ == 0 ? ", not told apart from " : ", ", p->out);
        put_name(p, &c->candidate[i]);
    }
}

static void put_answer(const Page *p, const Choice *c) {
    Cost      cost  = COST_MACS;
    const int cheap = c->data != NULL ? cheap_one(c, &cost) : -1;
    fputs("<p class=\"answer\">", p->out);
    if (c->data == NULL) {
        fputs("<b>These runs cannot say which to use:</b> no accuracy of these weights is known. Of what was measured, ", p->out);
        const int fastest = c->least[COST_LATENCY];
        put_name(p, &c->candidate[fastest]);
        fputs(" is the fastest", p->out);
        put_equally_fast(p, c, fastest);
        fputc('.', p->out);
    } else if (cheap < 0) {
        put_name(p, &c->candidate[0]);
        if (c->n == 1) fputs(", the only one measured.", p->out);
        else fprintf(p->out, ": the most accurate, and nothing within %g point of it needs %s %s.", 100*near_best, words[cost].less, words[cost].noun);
    } else {
        put_name(p, &c->candidate[0]);
        fputs(" if accuracy counts most. ", p->out);
        put_name(p, &c->candidate[cheap]);
        fputs(" if cost counts: ", p->out);
        put_against_best(p, c, &c->candidate[cheap]);
        fputc('.', p->out);
    }
    fputs("</p>\n", p->out);
}

/* -- cards -- */

/* from: the run the value is of; where it is not VALID, its verdict stands beside the value. */
static void put_value(FILE *out, const char *key, const ReportRow *from, Form form, double v, double low, double high) {
    if (!isfinite(v)) return;
    fprintf(out, "<div><dt>%s</dt><dd>", key);
    html_number(out, form, v);
    html_interval(out, form, v, low, high);
    if (from != NULL && strcmp(from->verdict, "VALID") != 0) {
        fputc(' ', out);
        html_badge(out, from->verdict);
    }
    fputs("</dd></div>", out);
}

static void put_card(const Page *p, const Choice *c, const Card *card) {
    const Candidate *x   = &c->candidate[card->candidate];
    FILE            *out = p->out;
    html_print(out, "<div class=\"card\" data-run=\"%s\"><h3>", report_run_id((x->accuracy != NULL ? x->accuracy : x->timing != NULL ? x->timing : c->condition)->run));
    put_roles(out, c, card);
    fputs("</h3><p class=\"who\">", out);
    html_model(out, p->report, x->model, x->label);
    fputs("</p><dl>", out);
    put_value(out, "top-1", x->accuracy, PERCENT, x->top1, x->top1_low, x->top1_high);
    put_value(out, "latency", x->timing, TIME, x->cost[COST_LATENCY], x->cost_low[COST_LATENCY], x->cost_high[COST_LATENCY]);
    put_value(out, "MACs", NULL, SCALED, x->cost[COST_MACS], NAN, NAN);
    put_value(out, "parameters", NULL, SCALED, x->cost[COST_PARAMS], NAN, NAN);
    fputs("</dl></div>\n", out);
}

/* -- the table -- */

static void open_cell(const Page *p, const char *heading, double sort, const ReportRow *row) {
    html_print(p->out, "<td data-label=\"%s\"", heading);
    if (isfinite(sort)) fprintf(p->out, " data-v=\"%.17g\"", sort);
    if (row != NULL) html_print(p->out, " data-run=\"%s\"", report_run_id(row->run));
    fputc('>', p->out);
}

static void put_cell(const Page *p, const char *heading, Form form, double v, double low, double high, const ReportRow *row) {
    open_cell(p, heading, v, row);
    html_number(p->out, form, v);
    html_interval(p->out, form, v, low, high);
    if (isfinite(v) && row != NULL) {
        fputs(" <span class=\"from\">", p->out);
        html_run_link(p->out, p->report, row);
        fputs("</span>", p->out);
    }
    fputs("</td>", p->out);
}

static void put_accuracy(const Page *p, const Candidate *x) {
    open_cell(p, "top-1", x->top1, x->accuracy);
    html_number(p->out, PERCENT, x->top1);
    html_interval(p->out, PERCENT, x->top1, x->top1_low, x->top1_high);
    fputs(" <span class=\"from\">", p->out);
    for (int k = 0; k < x->n_seeds; k++) {
        if (k > 0) fputs(", ", p->out);
        html_run_link(p->out, p->report, x->seed[k]);
    }
    if (x->n_seeds > 1) fprintf(p->out, " (mean of %d seeds)", x->n_seeds);
    fputs("</span></td>", p->out);
}

static void put_row(const Page *p, const Choice *c, int i) {
    const Candidate *x   = &c->candidate[i];
    FILE            *out = p->out;
    const ReportRow *row = x->accuracy != NULL ? x->accuracy : x->timing;
    fprintf(out, "<tr class=\"%s\"><th scope=\"row\">", c->data == NULL || x->efficient ? "on" : "off");
    html_model(out, p->report, x->model, x->label);
    fputs("</th>", out);
    if (c->data != NULL) put_accuracy(p, x);
    if (c->condition != NULL) put_cell(p, "latency", TIME, x->cost[COST_LATENCY], x->cost_low[COST_LATENCY], x->cost_high[COST_LATENCY], x->timing);
    if (c->bulk != NULL) {
        const json_t *run = x->bulk != NULL ? x->bulk->run : NULL;
        put_cell(p, "images/s", RATE, report_number(run, "/metrics/images_per_s"), report_number(run, "/metrics/images_low_per_s"),
                 report_number(run, "/metrics/images_high_per_s"), x->bulk);
    }
    put_cell(p, "MACs", SCALED, x->cost[COST_MACS], NAN, NAN, NULL);
    put_cell(p, "parameters", SCALED, x->cost[COST_PARAMS], NAN, NAN, NULL);
    open_cell(p, "verdict", NAN, row);
    if (x->accuracy != NULL) html_badge(out, x->accuracy->verdict);
    if (x->timing != NULL && (x->accuracy == NULL || strcmp(x->timing->verdict, x->accuracy->verdict) != 0)) {
        if (x->accuracy != NULL) fputs(" times ", out);
        html_badge(out, x->timing->verdict);
    }
    fputs("</td>", out);
    open_cell(p, c->data != NULL ? "use it?" : "what speaks for it", NAN, NULL);
    put_why(p, c, i);
    fputs("</td></tr>\n", out);
}

static void put_table(const Page *p, const Choice *c) {
    FILE *out = p->out;
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Models to choose from\"><table class=\"stack sortable\"><caption>", out);
    fputs(c->data != NULL ? "Every model, the most accurate first; pale: beaten by another in everything known. MACs are of one image." : "Every model that was timed, the fastest first. MACs are of one image.", out);
    fputs("</caption><thead><tr><th scope=\"col\">model</th>", out);
    if (c->data != NULL) fputs("<th scope=\"col\">top-1</th>", out);
    if (c->condition != NULL) fprintf(out, "<th scope=\"col\">latency, batch %.0f</th>", report_number(c->condition->run, "/metrics/batch_size_count"));
    if (c->bulk != NULL) fprintf(out, "<th scope=\"col\">images/s, batch %.0f</th>", report_number(c->bulk->run, "/metrics/batch_size_count"));
    fprintf(out, "<th scope=\"col\">MACs</th><th scope=\"col\">parameters</th><th scope=\"col\">verdict</th><th scope=\"col\">%s</th></tr></thead><tbody>\n",
            c->data != NULL ? "use it?" : "what speaks for it");
    for (int i = 0; i < c->n; i++) put_row(p, c, i);
    fputs("</tbody></table></div>\n", out);
}

/* -- all of it -- */

static void put_condition(const Page *p, const Choice *c) {
    FILE *out = p->out;
    fputs("<p class=\"on\">", out);
    if (c->data != NULL) {
        html_print(out, "Accuracy on <b>%s</b>", figure_text_at(c->data, "/data/name", "unnamed data"));
        fprintf(out, ", %.0f images. ", c->images_count);
    }
    if (c->condition != NULL) {
        const double threads = report_number(c->condition->run, "/metrics/threads_effective_count");
        fprintf(out, "Times of batch %.0f", report_number(c->condition->run, "/metrics/batch_size_count"));
        if (isfinite(threads)) fprintf(out, ", %.0f thread%s", threads, threads == 1 ? "" : "s");
        html_print(out, ", on %s", figure_text_at(c->condition, "/env/cpu_model", "an unknown CPU"));
        html_print(out, " (<a href=\"#machines\">machine %s</a>).", figure_text_at(c->condition, "/env_id", "unknown"));
    }
    fputs("</p>\n", out);
}

static void put_choice(const Page *p, const Choice *c, bool first) {
    Card      card[MAX_CARDS];
    const int n = find_cards(card, c);
    if (!first) {
        if (c->data != NULL) html_print(p->out, "<h2>And on %s?</h2>\n", figure_text_at(c->data, "/data/name", "unnamed data"));
        else                 fputs("<h2>Models without a known accuracy</h2>\n", p->out);
    }
    put_answer(p, c);
    put_condition(p, c);
    fputs("<div class=\"cards\">\n", p->out);
    for (int i = 0; i < n; i++) put_card(p, c, &card[i]);
    fputs("</div>\n", p->out);
    put_table(p, c);
    html_doubts(p, c);
}

bool html_choices(Page *p, Error *err) {
    Choices all;
    if (!choices_make(&all, p->report, err)) return false;
    fputs("<section id=\"choice\"><h2>Which model should I use?</h2>\n", p->out);
    if (all.n == 0) fputs("<p class=\"answer\">Nothing here can say: no valid run has an accuracy or a time.</p>\n", p->out);
    for (int i = 0; i < all.n; i++) put_choice(p, &all.choice[i], i == 0);
    fputs("</section>\n", p->out);
    choices_free(&all);
    return true;
}
