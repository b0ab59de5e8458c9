/* All runs of the page: their table, what lowers their worth, how and on what each was made. */
#include "harness/report/html.h"

#include "harness/report/escape.h"
#include "harness/report/figure.h"

#include <math.h>
#include <string.h>

static const char *text_at(const json_t *run, const char *pointer, const char *otherwise) {
    const char *text = json_string_value(report_at(run, pointer));
    return text != NULL ? text : otherwise;
}

/* -- the table -- */

static void put_grid_cell(Page *p, const Grid *g, int i, int k) {
    FILE            *out = p->out;
    const ReportRow *row = &p->report->row[i];
    if (g->column[k] == -1) {
        fputs("<th scope=\"row\">", out);
        html_model(out, p->report, row->model_index, g->text[i*g->n + k]);
        fputs("</th>", out);
    } else if (g->column[k] == -2) {
        fputs("<td>", out);
        html_run_link(out, p->report, row);
        fputs("</td>", out);
    } else if (strcmp(report_columns[g->column[k]].key, "verdict") == 0) {
        fputs("<td>", out);
        html_badge(out, row->verdict);
        fputs("</td>", out);
    } else {
        const json_t *value = report_cell(row, &report_columns[g->column[k]]);
        fputs(grid_is_text(g, k) ? "<td" : "<td class=\"n\"", out);
        if (json_is_number(value)) fprintf(out, " data-v=\"%.17g\"", json_number_value(value));
        if (value == NULL) html_print(out, " title=\"%s\"", report_reason(row, &report_columns[g->column[k]]));
        html_print(out, ">%s</td>", g->text[i*g->n + k]);
    }
}

bool html_table(Page *p, Error *err) {
    FILE *out = p->out;
    Grid  g;
    if (!grid_make(&g, p->report, err)) return false;
    fputs("<section id=\"table\"><h2>All runs</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All runs\"><table class=\"sortable runs\">"
          "<caption>A run a row, in the order of their paths; struck through: INVALID, left out of figures and choices.</caption><thead><tr>", out);
    for (int k = 0; k < g.n; k++) html_print(out, grid_is_text(&g, k) ? "<th scope=\"col\">%s</th>" : "<th scope=\"col\" class=\"n\">%s</th>", grid_heading(&g, k));
    fputs("</tr></thead><tbody>\n", out);
    for (int i = 0; i < g.n_rows; i++) {
        html_print(out, "<tr data-run=\"%s\" class=\"%s\">", report_run_id(p->report->row[i].run), p->report->row[i].verdict);
        for (int k = 0; k < g.n; k++) put_grid_cell(p, &g, i, k);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n<ul class=\"notes\">\n", out);
    grid_notes(out, p->report, &g, escape_html, "<li>", "</li>\n");
    fputs("</ul>\n</section>\n", out);
    grid_free(&g);
    return true;
}

/* -- warnings -- */

/* Whether an earlier run has the same warning, whatever its detail. */
static bool was_told(const Report *r, int i, const char *code) {
    for (int k = 0; k < i; k++) {
        const json_t *list = report_at(r->row[k].run, "/warnings"), *w;
        size_t        j;
        json_array_foreach(list, j, w)
            if (strcmp(text_at(w, "/code", ""), code) == 0) return true;
    }
    return false;
}

static void put_warned_runs(Page *p, int first, const char *code) {
    const Report *r = p->report;
    int           n = 0;
    for (int i = first; i < r->n_rows; i++) {
        const json_t *list = report_at(r->row[i].run, "/warnings"), *w;
        size_t        j;
        json_array_foreach(list, j, w) {
            if (strcmp(text_at(w, "/code", ""), code) != 0) continue;
            if (n++ > 0) fputs(", ", p->out);
            html_run_link(p->out, r, &r->row[i]);
            if (text_at(w, "/detail", "")[0] != '\0') html_print(p->out, " (%s)", text_at(w, "/detail", ""));
        }
    }
}

void html_warnings(Page *p) {
    const Report *r   = p->report;
    FILE         *out = p->out;
    int           n   = 0;
    fputs("<section id=\"warnings\"><h2>What lowers the worth of runs</h2>\n", out);
    for (int i = 0; i < r->n_rows; i++) {
        const json_t *list = report_at(r->row[i].run, "/warnings"), *w;
        size_t        j;
        json_array_foreach(list, j, w) {
            const char *code = text_at(w, "/code", "");
            if (was_told(r, i, code)) continue;
            if (n++ == 0)
                fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Warnings\"><table class=\"stack\"><caption>Every warning, with the verdict it gives.</caption><thead><tr>"
                      "<th scope=\"col\">warning</th><th scope=\"col\">gives</th><th scope=\"col\">what is wrong</th><th scope=\"col\">what to do</th><th scope=\"col\">runs</th></tr></thead><tbody>\n", out);
            html_print(out, "<tr><th scope=\"row\"><code>%s</code></th><td data-label=\"gives\">", code);
            if (strcmp(text_at(w, "/lowers_to", "?"), "VALID") == 0) fputs("a note", out);
            else                                                     html_badge(out, text_at(w, "/lowers_to", "?"));
            html_print(out, "</td><td data-label=\"wrong\">%s</td><td data-label=\"to do\">%s</td><td data-label=\"runs\">", text_at(w, "/text", ""), text_at(w, "/advice", ""));
            put_warned_runs(p, i, code);
            fputs("</td></tr>\n", out);
        }
    }
    fputs(n > 0 ? "</tbody></table></div>\n" : "<p>Nothing: no run has a warning.</p>\n", out);
    fputs("</section>\n", out);
}

/* -- runs -- */

static void put_fact(FILE *out, const char *key, const char *value) {
    if (value[0] != '\0') html_print(out, "<div><dt>%s</dt><dd>%s</dd></div>", key, value);
}

static void put_run(Page *p, int i) {
    const ReportRow *row = &p->report->row[i];
    const json_t    *run = row->run;
    FILE            *out = p->out;
    html_print(out, "<li id=\"r%d\"><h3><code>%s</code> %s, %s ", i, report_run_id(run), text_at(run, "/kind", "?"), row->model);
    html_badge(out, row->verdict);
    fputs("</h3><dl class=\"facts\">", out);
    fputs("<div><dt>command</dt><dd>", out);
    html_command(out, report_at(run, "/provenance/command_line"));
    fputs("</dd></div>", out);
    put_fact(out, "file", row->path);
    put_fact(out, "status", strcmp(text_at(run, "/status", ""), "ok") != 0 ? text_at(run, "/status", "unknown") : "");
    put_fact(out, "error", text_at(run, "/error/message", ""));
    put_fact(out, "started", text_at(run, "/provenance/started_utc", ""));
    put_fact(out, "program", text_at(run, "/provenance/version", ""));
    put_fact(out, "commit", text_at(run, "/provenance/commit", ""));
    put_fact(out, "weights", text_at(run, "/model/weights_sha256", "random"));
    put_fact(out, "data", text_at(run, "/data/digest", ""));
    put_fact(out, "machine", text_at(run, "/env_id", ""));
    fputs("</dl></li>\n", out);
}

void html_runs(Page *p) {
    fputs("<section id=\"runs\"><h2>How each run was made</h2>\n<ol class=\"runs\">\n", p->out);
    for (int i = 0; i < p->report->n_rows; i++) put_run(p, i);
    fputs("</ol>\n</section>\n", p->out);
}

/* -- machines -- */

static void put_machine(Page *p, const json_t *run) {
    static const struct { const char *heading, *pointer; Form form; } fact[] = {
        {"CPU", "/env/cpu_model", TEXT}, {"CPUs", "/env/cpus_allowed_count", COUNT}, {"memory", "/env/memory_total_bytes", BYTES},
        {"hypervisor", "/env/hypervisor", TEXT}, {"kernel", "/env/kernel_release", TEXT}, {"BLAS", "/env/blas_core", TEXT},
        {"compiler", "/env/compiler", TEXT}, {"flags", "/env/build_flags", TEXT}};
    html_print(p->out, "<tr><th scope=\"row\"><code>%s</code></th>", text_at(run, "/env_id", "unknown"));
    for (size_t k = 0; k < sizeof fact / sizeof *fact; k++) {
        html_print(p->out, "<td data-label=\"%s\">", fact[k].heading);
        if (fact[k].form == TEXT) html_print(p->out, "%s", text_at(run, fact[k].pointer, "unknown"));
        else                      html_number(p->out, fact[k].form, report_number(run, fact[k].pointer));
        fputs("</td>", p->out);
    }
    fputs("</tr>\n", p->out);
}

void html_machines(Page *p) {
    const Report *r = p->report;
    fputs("<section id=\"machines\"><h2>Machines</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Machines\"><table class=\"stack\">"
          "<caption>A machine with a build of the program a row.</caption><thead><tr><th scope=\"col\">machine</th><th scope=\"col\">CPU</th><th scope=\"col\">CPUs</th><th scope=\"col\">memory</th>"
          "<th scope=\"col\">hypervisor</th><th scope=\"col\">kernel</th><th scope=\"col\">BLAS</th><th scope=\"col\">compiler</th><th scope=\"col\">flags</th></tr></thead><tbody>\n", p->out);
    for (int i = 0; i < r->n_rows; i++) {
        bool told = false;
        for (int k = 0; k < i && !told; k++) told = figure_same(&r->row[k], &r->row[i], "/env_id");
        if (!told) put_machine(p, r->row[i].run);
    }
    fputs("</tbody></table></div>\n</section>\n", p->out);
}
