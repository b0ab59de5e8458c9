/* What a model said of a few images, and whether two runs said the same (witness.h). */
#include "harness/measure/witness.h"

#include <math.h>

void witness_add(Witness *w, int64_t image, const Real *logits, int n_classes) {
    if (image < 0 || image >= WITNESS_IMAGES || w->seen[image]) return;
    int    best = 0;
    double sum  = 0, second = -INFINITY;
    for (int c = 1; c < n_classes; c++)
        if (logits[c] > logits[best]) best = c;
    for (int c = 0; c < n_classes; c++) {
        sum += exp((double)logits[c] - (double)logits[best]);
        if (c != best) second = fmax(second, (double)logits[c]);
    }
    w->seen[image]        = true;
    w->best[image]        = best;
    w->logit[image]       = (double)logits[best];
    w->gap[image]         = n_classes > 1 ? (double)logits[best] - second : 0;
    w->log_sum_exp[image] = (double)logits[best] + log(sum);
}

static void put_numbers(const Witness *w, JsonSink *into, const char *key, const double x[WITNESS_IMAGES]) {
    JsonSink list;
    json_put_array(into, key, &list);
    for (int i = 0; i < WITNESS_IMAGES; i++)
        if (w->seen[i]) json_put_number(&list, NULL, x[i]);
}

void witness_put(const Witness *w, JsonSink *into) {
    JsonSink witness, image, class;
    bool     any = false;
    for (int i = 0; i < WITNESS_IMAGES; i++) any = any || w->seen[i];
    if (!any) return;
    json_put_object(into, "witness", &witness);
    json_put_array(&witness, "image_index", &image);
    json_put_array(&witness, "best_class_index", &class);
    for (int i = 0; i < WITNESS_IMAGES; i++) {
        if (!w->seen[i]) continue;
        json_put_count(&image, NULL, i);
        json_put_count(&class, NULL, w->best[i]);
    }
    put_numbers(w, &witness, "best_logit", w->logit);
    put_numbers(w, &witness, "best_gap", w->gap);
    put_numbers(w, &witness, "log_sum_exp_nats", w->log_sum_exp);
}

static double item(const json_t *witness, const char *key, size_t i) {
    const json_t *value = json_array_get(json_object_get(witness, key), i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* How many images it speaks of; a file that was made up to speak of more is not listened to for longer. */
static size_t images_of(const json_t *witness) {
    const size_t n = json_array_size(json_object_get(witness, "image_index"));
    return n < WITNESS_IMAGES ? n : WITNESS_IMAGES;
}

/* Where the witness has that image; false: nowhere. */
static bool place_of(const json_t *witness, double image, size_t *place) {
    const size_t n = images_of(witness);
    for (*place = 0; *place < n; (*place)++)
        if (item(witness, "image_index", *place) == image) return true;
    return false;
}

static double apart(double x, double y) { return fabs(x - y) / fmax(1, fmax(fabs(x), fabs(y))); }

/* Two classes that are nearly equal may change places, no others. */
static bool same_class(const json_t *a, size_t i, const json_t *b, size_t k) {
    const double size = fmax(1, fabs(item(a, "best_logit", i)));
    return item(a, "best_class_index", i) == item(b, "best_class_index", k) || item(a, "best_gap", i) <= 2 * WITNESS_TOLERANCE * size;
}

WitnessAgreement witness_compare(const json_t *a, const json_t *b) {
    WitnessAgreement r = {0};
    const size_t     n = images_of(a);
    for (size_t i = 0, k; i < n; i++) {
        const double image = item(a, "image_index", i);
        if (!isfinite(image) || !place_of(b, image, &k)) continue;
        const double of_best = apart(item(a, "best_logit", i), item(b, "best_logit", k));
        const double of_all  = apart(item(a, "log_sum_exp_nats", i), item(b, "log_sum_exp_nats", k));
        const double worst   = isfinite(of_best + of_all) ? fmax(of_best, of_all) : INFINITY;
        r.n_compared++;
        r.n_differ += worst > WITNESS_TOLERANCE || !same_class(a, i, b, k);
        r.largest = fmax(r.largest, worst);
    }
    return r;
}
