/* The training curve of a result, how its images are divided, and which were damaged (result.h). */
#include "harness/result.h"

#include <math.h>

static void put_real(JsonSink *s, const char *key, double value, bool measured) {
    if (measured && isfinite(value)) json_put_number(s, key, value);
    else                             json_put_missing(s, key, measured ? "non_finite" : "not_requested");
}

static void put_count(JsonSink *s, const char *key, int64_t value) {
    if (value >= 0) json_put_count(s, key, value);
    else            json_put_missing(s, key, "not_requested");
}

void result_add_point(Result *r, const ResultPoint *p) {
    JsonSink point, parts;
    json_put_object(result_block(r, "curves"), NULL, &point);
    json_put_count(&point, "epoch", p->epoch);
    json_put_count(&point, "step", p->step);
    json_put_number(&point, "train_loss", p->train_loss);
    put_real(&point, "train_top1_ratio", p->train_top1_ratio, isfinite(p->train_top1_ratio));
    put_real(&point, "test_loss", p->test_loss, p->tested && !p->held_out);
    put_real(&point, "test_top1_ratio", p->test_top1_ratio, p->tested && !p->held_out);
    if (p->held_out) {
        put_real(&point, "held_out_loss", p->test_loss, p->tested);
        put_real(&point, "held_out_top1_ratio", p->test_top1_ratio, p->tested);
    }
    json_put_number(&point, "learning_rate", p->learning_rate);
    put_real(&point, "grad_norm", p->grad_norm, isfinite(p->grad_norm));
    put_real(&point, "images_per_s", p->images_per_s, isfinite(p->images_per_s));
    json_put_count(&point, "elapsed_ns", (int64_t)p->elapsed_ns);
    put_count(&point, "train_macs_count", p->macs_count);
    put_count(&point, "peak_activation_bytes", p->peak_bytes);
    if (p->n_parts > 0) json_put_object(&point, "train_loss_parts", &parts);
    for (int i = 0; i < p->n_parts; i++) json_put_number(&parts, p->part_name[i], p->part_value[i]);
    if (!isfinite(p->train_loss)) result_warn_detail(r, WARN_loss_not_finite, "epoch %lld", (long long)p->epoch);
}

void result_set_division(Result *r, const Dataset *held_out, int64_t test_shared, int64_t held_out_shared) {
    JsonSink *s = result_block(r, "data");
    if (held_out != NULL) {
        json_put_count(s, "held_out_images_count", held_out->n_images);
        put_count(s, "held_out_shared_images_count", held_out_shared);
        if (held_out_shared > 0) result_warn_detail(r, WARN_images_shared, "%lld of those held out", (long long)held_out_shared);
    }
    put_count(s, "test_shared_images_count", test_shared);
    if (test_shared <= 0) return;
    const int64_t n = json_integer_value(json_object_get(json_object_get(s->at, "test"), "images_count"));
    result_warn_detail(r, 100 * test_shared > n ? WARN_test_trained_on : WARN_images_shared, "%lld of %lld test images", (long long)test_shared,
                       (long long)n);
}

void result_warn_damaged(Result *r, const Dataset *d) {
    char          first[DATASET_PATH_BYTES];
    const int64_t n = dataset_damaged(d, first);
    if (n > 0) result_warn_detail(r, WARN_images_damaged, "%lld of %s %s, such as %.200s", (long long)n, d->name, d->split, first);
}
