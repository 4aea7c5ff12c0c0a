/* Passes over rows that belong to no single voxel's neighbourhood: BatchNorm with its ReLU and residual, and the softmax
 * of attention. Included by layer.h, once for each instruction set and type of element. */

/* Rows whose sums stay in floats before they are added to doubles. */
#define PASS_ROWS 64

AF_INLINE vec FN(some_elements)(const element *p, int count) {
    return count == LANES ? elements_load(p) : elements_load_some(p, count);
}

AF_INLINE void FN(store_elements)(element *p, vec x, int count) {
    if (count == LANES) {
        elements_store(p, x);
    } else {
        element tail[LANES];
        elements_store(tail, x);
        memcpy(p, tail, count * sizeof(element));
    }
}

AF_INLINE vec FN(some_floats)(const float *p, int count) {
    float some[LANES] = {0};
    if (count == LANES) return vec_load(p);
    memcpy(some, p, count * sizeof(float));
    return vec_load(some);
}

/* The output's gradient of one row from channel c on, zero where the ReLU was. */
AF_INLINE vec FN(gradient_at)(const af_rows *rows, int64_t v, int c, int count) {
    vec g = FN(some_elements)((const element *)rows->gradient + v * rows->gradient_stride + c, count);
    if (rows->y) g = vec_where_positive(FN(some_elements)((const element *)rows->y + v * rows->y_stride + c, count), g);
    return g;
}

/* Adds to sum, two values for each channel: without a gradient the sums of x - shift and of its square, with one those of
 * the gradient and of the gradient times (x - shift). */
static void FN(sums)(const af_rows *rows, int64_t first, int64_t last, double *sum) {
    const int channels = rows->channels;
    for (int64_t start = first; start < last; start += PASS_ROWS) {
        const int64_t stop = last - start < PASS_ROWS ? last : start + PASS_ROWS;
        for (int c = 0; c < channels; c += LANES) {
            const int count = channels - c < LANES ? channels - c : LANES;
            const vec shift = vec_mul(vec_set(-1.0f), FN(some_floats)(rows->shift + c, count));
            vec one = vec_zero(), two = vec_zero();
            float some[2][LANES];
            for (int64_t v = start; v < stop; v++) {
                const vec x = vec_add(FN(some_elements)((const element *)rows->x + v * rows->x_stride + c, count), shift);
                const vec g = rows->gradient ? FN(gradient_at)(rows, v, c, count) : x;
                one = vec_add(one, g);
                two = vec_fma(g, x, two);
            }
            vec_store(some[0], one);
            vec_store(some[1], two);
            for (int i = 0; i < count; i++) sum[c + i] += some[0][i], sum[channels + c + i] += some[1][i];
        }
    }
}

/* Without a gradient: out = x * scale + shift + residual, then ReLU. With one: out = gradient * scale + x * slope + shift,
 * and the gradient alone, which is the residual's, into out_residual. */
static void FN(apply)(const af_rows *rows, int64_t first, int64_t last) {
    const int channels = rows->channels;
    for (int64_t start = first; start < last; start += PASS_ROWS) {
        const int64_t stop = last - start < PASS_ROWS ? last : start + PASS_ROWS;
        for (int c = 0; c < channels; c += LANES) {
            const int count = channels - c < LANES ? channels - c : LANES;
            const vec scale = FN(some_floats)(rows->scale + c, count), shift = FN(some_floats)(rows->shift + c, count);
            const vec slope = rows->slope ? FN(some_floats)(rows->slope + c, count) : vec_zero();
            for (int64_t v = start; v < stop; v++) {
                const vec x = FN(some_elements)((const element *)rows->x + v * rows->x_stride + c, count);
                vec out;
                if (rows->gradient) {
                    const vec g = FN(gradient_at)(rows, v, c, count);
                    if (rows->out_residual)
                        FN(store_elements)((element *)rows->out_residual + v * rows->out_residual_stride + c, g, count);
                    out = vec_fma(g, scale, vec_fma(x, slope, shift));
                } else {
                    out = vec_fma(x, scale, shift);
                    if (rows->residual)
                        out = vec_add(out, FN(some_elements)((const element *)rows->residual + v * rows->residual_stride + c,
                                                             count));
                    if (rows->relu) out = vec_max(vec_zero(), out);
                }
                FN(store_elements)((element *)rows->out + v * rows->out_stride + c, out, count);
            }
        }
    }
}

/* The exponential function of a number that is not positive: 2^n times a polynomial. What is no number stays none. */
AF_INLINE float FN(exponential)(float x) {
    x = x < -87.0f ? -87.0f : x;
    const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounded: no digit after the point is left */
    const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const uint32_t bits = (uint32_t)((x == x ? (int32_t)n : 0) + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* Floats from one row of a small matrix to the next are a multiple of this, for every instruction set. */
#define MATRIX_LANES 16
#define SCORE_COLUMNS (AF_MAX_RATES + MATRIX_LANES)

/* Attention over the rates from the hidden features x: softmax(x times weight plus shift). The weight has a row of
 * floats for each channel. The same in the elements' type into out, unless that is NULL. */
static void FN(attend)(const af_rows *rows, int64_t first, int64_t last) {
    const int channels = rows->channels, rates = rows->rates, columns = (int)FN(round_up)(rates, LANES);
    const ptrdiff_t between = (ptrdiff_t)FN(round_up)(rates, MATRIX_LANES);
    float scores[SCORE_COLUMNS];
    for (int64_t v = first; v < last; v++) {
        const element *x = (const element *)rows->x + v * rows->x_stride;
        for (int k = 0; k < columns; k += LANES) {
            vec s = vec_load(rows->shift + k), t = vec_zero();
            int c = 0;
            for (; c + 2 <= channels; c += 2) {
                s = vec_fma(vec_set(element_to_float(x[c])), vec_load(rows->weight + c * between + k), s);
                t = vec_fma(vec_set(element_to_float(x[c + 1])), vec_load(rows->weight + (c + 1) * between + k), t);
            }
            if (c < channels)
                s = vec_fma(vec_set(element_to_float(x[c])), vec_load(rows->weight + c * between + k), s);
            vec_store(scores + k, vec_add(s, t));
        }
        float most = scores[0], total = 0.0f;
        for (int k = 1; k < rates; k++) most = scores[k] > most ? scores[k] : most;
        for (int k = 0; k < columns; k++) scores[k] = FN(exponential)(scores[k] - most);
        for (int k = 0; k < rates; k++) total += scores[k];
        const vec share = vec_set(1.0f / total);
        for (int k = 0; k < columns; k += LANES) vec_store(scores + k, vec_mul(share, vec_load(scores + k)));
        memcpy(rows->attention + v * rates, scores, rates * sizeof(float));
        if (rows->out) {
            element rounded[SCORE_COLUMNS];
            for (int k = 0; k < columns; k += LANES) elements_store(rounded + k, vec_load(scores + k));
            memcpy((element *)rows->out + v * rates, rounded, rates * sizeof(element));
        }
    }
}

/* Backward: from of_attention the gradient of the hidden features before their ReLU, into out, and that of weight and
 * shift, added to sum: `rates` rows of `channels` and one value more. Here the weight has a row for each rate. Returns 1 for lack of memory. */
static int FN(attend_gradients)(const af_rows *rows, int64_t first, int64_t last, double *sum) {
    const int channels = rows->channels, rates = rows->rates, columns = (int)FN(round_up)(channels, MATRIX_LANES);
    float *sums = malloc(sizeof(float) * rates * (columns + LANES));
    if (!sums) return 1;
    for (int64_t start = first; start < last; start += PASS_ROWS) {
        const int64_t stop = last - start < PASS_ROWS ? last : start + PASS_ROWS;
        memset(sums, 0, sizeof(float) * rates * (columns + LANES));
        for (int64_t v = start; v < stop; v++) {
            const float *a = rows->attention + v * rates, *of_a = rows->of_attention + v * rates;
            float of_score[AF_MAX_RATES], mean = 0.0f;
            for (int k = 0; k < rates; k++) mean += a[k] * of_a[k];
            for (int k = 0; k < rates; k++) {
                of_score[k] = a[k] * (of_a[k] - mean);
                sums[rates * columns + k] += of_score[k];
            }
            for (int c = 0; c < channels; c += LANES) {
                const int count = channels - c < LANES ? channels - c : LANES;
                const vec x = FN(some_elements)((const element *)rows->x + v * rows->x_stride + c, count);
                vec g = vec_zero();
                for (int k = 0; k < rates; k++) {
                    float *at = sums + (ptrdiff_t)k * columns + c;
                    const vec of = vec_set(of_score[k]);
                    g = vec_fma(of, vec_load(rows->weight + (ptrdiff_t)k * columns + c), g);
                    vec_store(at, vec_fma(of, x, vec_load(at)));
                }
                FN(store_elements)((element *)rows->out + v * rows->out_stride + c, vec_where_positive(x, g), count);
            }
        }
        for (int k = 0; k < rates; k++) {
            for (int c = 0; c < channels; c++) sum[(ptrdiff_t)k * (channels + 1) + c] += sums[(ptrdiff_t)k * columns + c];
            sum[(ptrdiff_t)k * (channels + 1) + channels] += sums[rates * columns + k];
        }
    }
    free(sums);
    return 0;
}

#undef PASS_ROWS
#undef SCORE_COLUMNS
#undef MATRIX_LANES
