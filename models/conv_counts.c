/* Closed-form cost of a convolution with its batch norm folded: no op runs here (conv_parts.h). */
#include "models/conv_parts.h"

void conv_bn_count(ModelCounts *c, MapShape *map, ConvForm form, int stride, int64_t C, int64_t O, bool gelu) {
    *map = map_after(*map, stride);
    const int64_t outputs = map->B * map->height * map->width * O;
    c->macs                += outputs * (form == CONV_POINT ? C : form == CONV_FULL ? 9 * C : 9);
    c->activations         += outputs;
    c->batch_norm_elements += outputs;
    c->elementwise         += outputs * (gelu ? 2 : 1);          /* folded bias, GELU */
}
