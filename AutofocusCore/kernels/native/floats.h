/* Units that are floats: each element becomes a float when it is read. Included by layer.h. */

/* Blended inputs of one tap for a block of voxels, `stride` units apart. */
static void FN(blend)(const af_layer *layer, int64_t first, int count, int tap, uint32_t *block, ptrdiff_t stride) {
    const int rates = layer->rates, channels = layer->channels;
    const int32_t *steps = layer->steps + tap * rates;
    const element *attention = (const element *)layer->attention;
    const FN(reader) reader = FN(reader_of)(layer);
    for (int v = 0; v < count; v++) {
        const int32_t *at = layer->table + layer->places[first + v];
        float *out = (float *)block + v * stride;
        const element *rows[AF_MAX_RATES];
        float weights[AF_MAX_RATES];
        for (int k = 0; k < rates; k++) {
            const int32_t row = at[steps[k]];
            rows[k] = FN(read)(reader, row);
            if (!attention) weights[k] = 1.0f;
            else if (!layer->neighbours_attention) weights[k] = element_to_float(attention[(first + v) * rates + k]);
            else weights[k] = row < 0 ? 0.0f : element_to_float(attention[(int64_t)row * rates + k]);
        }
        int c = 0;
        for (; c + LANES <= channels; c += LANES) {
            vec s = vec_mul(vec_set(weights[0]), elements_load(rows[0] + c));
            for (int k = 1; k < rates; k++) s = vec_fma(vec_set(weights[k]), elements_load(rows[k] + c), s);
            vec_store(out + c, s);
        }
        if (c < channels) {
            const int some = channels - c;
            vec s = vec_mul(vec_set(weights[0]), elements_load_some(rows[0] + c, some));
            for (int k = 1; k < rates; k++) s = vec_fma(vec_set(weights[k]), elements_load_some(rows[k] + c, some), s);
            vec_store(out + c, s);
        }
    }
}

/* Whether rows can be multiplied where they lie. */
static int FN(direct)(const af_layer *layer) {
    (void)layer;
    return sizeof(element) == sizeof(float);
}

/* Where the neighbours' rows of a block lie at one tap of a layer with one rate. */
static void FN(find_rows)(const af_layer *layer, int64_t first, int count, int tap, const uint32_t **rows) {
    const FN(reader) reader = FN(reader_of)(layer);
    const int32_t *table = layer->table + layer->steps[tap];
    for (int v = 0; v < count; v++) rows[v] = (const uint32_t *)FN(read)(reader, table[layer->places[first + v]]);
}

/* (27, channels, outputs) floats as (27, channels, columns). */
static void FN(pack)(const float *weight, int32_t channels, int32_t outputs, int32_t blended, uint32_t *packed) {
    const int columns = FN(weight_columns)(outputs);
    (void)blended;
    memset(packed, 0, sizeof(uint32_t) * FN(packed_units)(channels, outputs));
    for (ptrdiff_t i = 0; i < (ptrdiff_t)AF_TAPS * channels; i++)
        memcpy(packed + i * columns, weight + i * outputs, sizeof(float) * outputs);
}

static void FN(weight_order)(int32_t channels, int32_t blended, int32_t *rows) {
    (void)blended;
    for (int32_t c = 0; c < channels; c++) rows[c] = c;
}

/* The output's gradient of a block as floats, `stride` apart; what stands beyond the outputs is zero. */
static void FN(gradient_rows)(const af_layer *layer, int64_t first, int count, uint32_t *block, ptrdiff_t stride) {
    const int outputs = layer->outputs;
    for (int v = 0; v < count; v++) {
        const element *row = (const element *)layer->gradient + (first + v) * layer->gradient_stride;
        float *out = (float *)block + v * stride;
        int o = 0;
        for (; o + LANES <= outputs; o += LANES) vec_store(out + o, elements_load(row + o));
        if (o < outputs) vec_store(out + o, elements_load_some(row + o, outputs - o));
    }
}

/* The same for the weight's gradient; returns the number of units in which the voxels stand. */
static int FN(gradient_by_voxel)(const af_layer *layer, int64_t first, int count, uint32_t *block, int columns) {
    FN(gradient_rows)(layer, first, count, block, columns);
    return count;
}

/* Blended inputs with the voxels as depth: as they are. */
static const uint32_t *FN(blended_by_voxel)(int channels, int depth, const uint32_t *const *rows, const uint32_t *block,
                                            ptrdiff_t stride, uint32_t *turned, ptrdiff_t *between) {
    (void)channels, (void)depth, (void)rows, (void)turned;
    *between = stride;
    return block;
}

/* Lanes of a sum that is added up at the end. */
#define DOT_LANES LANES

AF_INLINE float FN(total)(const float *dot) { return vec_sum(vec_load(dot)); }

/* dots[v][k] += features of the neighbour at rate k times the gradient of the blended input. */
static void FN(dot)(const af_layer *layer, int64_t first, int count, int tap, const float *sums, float *dots) {
    const int rates = layer->rates, channels = layer->channels, columns = FN(weight_columns)(channels);
    const int32_t *steps = layer->steps + tap * rates;
    const FN(reader) reader = FN(reader_of)(layer);
    for (int v = 0; v < count; v++) {
        const int32_t *at = layer->table + layer->places[first + v];
        const float *g = sums + (ptrdiff_t)v * columns;
        for (int k = 0; k < rates; k++) {
            const int32_t index = at[steps[k]];
            if (index < 0) continue;
            const element *row = FN(read)(reader, index);
            float *dot = dots + ((ptrdiff_t)v * rates + k) * LANES;
            vec s = vec_load(dot);
            int c = 0;
            for (; c + LANES <= channels; c += LANES) s = vec_fma(elements_load(row + c), vec_load(g + c), s);
            if (c < channels) s = vec_fma(elements_load_some(row + c, channels - c), vec_load(g + c), s);
            vec_store(dot, s);
        }
    }
}

/* For a group of taps from `tap` on: blended inputs into block, and the share of the attention's gradient added to
 * dots, where the gradients of the blended inputs are given in sums, tap after tap. Either may be NULL. */
static void FN(blend_and_dot)(const af_layer *layer, int64_t first, int count, int tap, uint32_t *block,
                              ptrdiff_t stride, const float *sums, ptrdiff_t tap_sums, float *dots) {
    for (int t = 0; t < TAP_GROUP; t++) {
        if (block) FN(blend)(layer, first, count, tap + t, block + t * FN(units)(layer->channels), stride);
        if (sums) FN(dot)(layer, first, count, tap + t, sums + t * tap_sums, dots);
    }
}
