/* What to doubt of a choice: verdicts, what was not measured, and what intervals leave open. */
#include "harness/report/html.h"

#include "harness/report/figure.h"

#include <string.h>

/* Labels of the candidates for which test holds, after start; nothing when there are none. */
static void put_those(const Page *p, const Choice *c, const char *start, bool (*test)(const Candidate *x)) {
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        if (!test(&c->candidate[i])) continue;
        fputs(n++ == 0 ? "<li>" : ", ", p->out);
        if (n == 1) fputs(start, p->out);
        html_print(p->out, "%s", c->candidate[i].label);
    }
    if (n > 0) fputs(".</li>\n", p->out);
}

static bool is_untimed(const Candidate *x) { return x->timing == NULL; }

static void put_verdict_doubt(const Page *p, const Choice *c, const char *verdict, const char *meaning) {
    int n = 0, n_timed = 0;
    for (int i = 0; i < c->n; i++) {
        n_timed += c->candidate[i].timing != NULL;
        n += c->candidate[i].timing != NULL && strcmp(c->candidate[i].timing->verdict, verdict) == 0;
    }
    if (n == 0) return;
    fputs("<li>", p->out);
    html_badge(p->out, verdict);
    if (n == n_timed) html_print(p->out, " All times: %s</li>\n", meaning);
    else              html_print(p->out, " %d of %d times: %s</li>\n", n, n_timed, meaning);
}

static void put_invalid(const Page *p) {
    int n = 0;
    for (int i = 0; i < p->report->n_rows; i++) {
        if (figure_valid(&p->report->row[i])) continue;
        if (n++ == 0) {
            fputs("<li>", p->out);
            html_badge(p->out, "INVALID");
            fputs(" and left out, <a href=\"#table\">reasons below</a>: ", p->out);
        } else fputs(", ", p->out);
        html_run_link(p->out, p->report, &p->report->row[i]);
        html_print(p->out, " (%s)", p->report->row[i].model);
    }
    if (n > 0) fputs(".</li>\n", p->out);
}

void html_doubts(const Page *p, const Choice *c) {
    FILE *out   = p->out;
    int   n_near = 0;
    fputs("<h3>What to doubt</h3><ul class=\"doubts\">\n", out);
    put_verdict_doubt(p, c, "SMOKE", "measured to show that it works, too briefly to choose by.");
    put_verdict_doubt(p, c, "NOISY", "something disturbed the machine; the reasons are below.");
    put_verdict_doubt(p, c, "SPEED_ONLY", "no accuracy of these weights is known, so being fast may mean being useless.");
    if (c->condition == NULL) fputs("<li>Nothing here was timed: MACs are counted work, not time.</li>\n", out);
    else put_those(p, c, "Not timed in this condition: ", is_untimed);
    for (int i = 1; i < c->n && c->data != NULL; i++) n_near += choice_accuracies_overlap(&c->candidate[0], &c->candidate[i]);
    if (n_near > 0)
        html_print(out, c->n == 2 ? "<li>Which is the more accurate is not certain: their 95 %% intervals overlap.</li>\n"
                                  : "<li>Not certain to be less accurate than the first, since 95 %% intervals overlap: %d of %d others.</li>\n", n_near, c->n - 1);
    put_invalid(p);
    int n_single = 0;
    for (int i = 0; i < c->n; i++) n_single += c->candidate[i].n_seeds == 1;
    if (n_single > 0)
        html_print(out, n_single == c->n ? "<li>Every model was trained once: its interval is over the choice of images, and another seed may move it by as much again.</li>\n"
                                         : "<li>%d of %d models were trained once: their intervals are over the choice of images, and another seed may move them by as much again. "
                                           "Of the others accuracies are means, with Student's intervals over seeds.</li>\n", n_single, c->n);
    fputs("</ul>\n", out);
}
