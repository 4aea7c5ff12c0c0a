/* Units that are pairs of bfloat16, for processors that multiply pairs and sum in float32 (AVX-512 BF16).
 * Included by layer.h.
 *
 * A blended row is made in segments of 32, 16 or 8 channels. In a segment of 32 and of 16, channels stand in the order
 * in which the interleaving of two rows leaves them: the lower four of every eight first, then the upper four. The
 * packed weight has the same order, so nothing is ever sorted.
 */

typedef struct {
    int count;
    struct {
        int channel, kind; /* kind: 32, 16 or 8 channels */
        __mmask32 mask;    /* the channels that are there */
    } part[8];
} FN(segments);

/* Segments of a row: as many of 32 as fit (a last one may lack up to 3), then 16, then 8. No gap in the units. */
static FN(segments) FN(cut)(int channels, int offset) {
    FN(segments) s = {0};
    while (channels > 0 && s.count < 8) {
        const int kind = channels > 28 ? 32 : channels > 12 ? 16 : 8, some = channels < kind ? channels : kind;
        s.part[s.count].channel = offset;
        s.part[s.count].kind = kind;
        s.part[s.count].mask = some == 32 ? 0xffffffffu : (1u << some) - 1;
        s.count++;
        offset += kind;
        channels -= some;
    }
    return s;
}

/* Channels that one round of segments covers. */
#define SEGMENTS_CHANNELS 128

AF_INLINE __m512i FN(load32)(const element *p, __mmask32 mask) { return _mm512_maskz_loadu_epi16(mask, p); }
AF_INLINE __m256i FN(load16)(const element *p, __mmask32 mask) { return _mm256_maskz_loadu_epi16((__mmask16)mask, p); }
AF_INLINE __m128i FN(load8)(const element *p, __mmask32 mask) { return _mm_maskz_loadu_epi16((__mmask8)mask, p); }

/* One segment of a blended row. rows: two for each of `pairs` pairs of rates. */
AF_INLINE void FN(blend_segment)(const int pairs, int kind, int channel, __mmask32 mask, const element *const *rows,
                                 const uint32_t *weights, element *out) {
    if (kind == 32) {
        __m512 low = _mm512_setzero_ps(), high = low;
        for (int p = 0; p < pairs; p++) {
            const __m512i a = FN(load32)(rows[2 * p] + channel, mask), b = FN(load32)(rows[2 * p + 1] + channel, mask);
            const __m512bh w = (__m512bh)_mm512_set1_epi32((int)weights[p]);
            low = _mm512_dpbf16_ps(low, (__m512bh)_mm512_unpacklo_epi16(a, b), w);
            high = _mm512_dpbf16_ps(high, (__m512bh)_mm512_unpackhi_epi16(a, b), w);
        }
        _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    } else if (kind == 16) {
        __m256 low = _mm256_setzero_ps(), high = low;
        for (int p = 0; p < pairs; p++) {
            const __m256i a = FN(load16)(rows[2 * p] + channel, mask), b = FN(load16)(rows[2 * p + 1] + channel, mask);
            const __m256bh w = (__m256bh)_mm256_set1_epi32((int)weights[p]);
            low = _mm256_dpbf16_ps(low, (__m256bh)_mm256_unpacklo_epi16(a, b), w);
            high = _mm256_dpbf16_ps(high, (__m256bh)_mm256_unpackhi_epi16(a, b), w);
        }
        _mm256_storeu_si256((__m256i *)out, (__m256i)_mm256_cvtne2ps_pbh(high, low));
    } else {
        __m128 low = _mm_setzero_ps(), high = low;
        for (int p = 0; p < pairs; p++) {
            const __m128i a = FN(load8)(rows[2 * p] + channel, mask), b = FN(load8)(rows[2 * p + 1] + channel, mask);
            const __m128bh w = (__m128bh)_mm_set1_epi32((int)weights[p]);
            low = _mm_dpbf16_ps(low, (__m128bh)_mm_unpacklo_epi16(a, b), w);
            high = _mm_dpbf16_ps(high, (__m128bh)_mm_unpackhi_epi16(a, b), w);
        }
        _mm_storeu_si128((__m128i *)out, (__m128i)_mm_cvtne2ps_pbh(high, low));
    }
}

/* A row as it is: for a layer without attention. */
AF_INLINE void FN(copy_row)(const element *row, int channels, element *out) {
    int c = 0;
    for (; c + 32 <= channels; c += 32) _mm512_storeu_si512(out + c, _mm512_loadu_si512(row + c));
    if (c < channels) _mm512_storeu_si512(out + c, FN(load32)(row + c, (1u << (channels - c)) - 1));
}

AF_INLINE void FN(blend_pairs)(const af_layer *layer, int64_t first, int count, int tap, element *block,
                               ptrdiff_t stride, const int rates, const int neighbours) {
    const int32_t *steps = layer->steps + tap * rates;
    const element *attention = (const element *)layer->attention;
    const int pairs = (rates + 1) / 2;
    for (int from = 0; from < layer->channels; from += SEGMENTS_CHANNELS) {
        const int some = layer->channels - from < SEGMENTS_CHANNELS ? layer->channels - from : SEGMENTS_CHANNELS;
        const FN(segments) s = FN(cut)(some, from);
        for (int v = 0; v < count; v++) {
            const int32_t *at = layer->table + layer->places[first + v];
            const element *own = attention + (first + v) * rates;
            const element *rows[AF_MAX_RATES + 1];
            uint32_t weights[(AF_MAX_RATES + 1) / 2];
            for (int p = 0; p < pairs; p++) {
                const int single = 2 * p + 1 == rates;
                const int32_t r0 = at[steps[2 * p]], r1 = single ? -1 : at[steps[2 * p + 1]];
                rows[2 * p] = FN(row)(layer, r0);
                rows[2 * p + 1] = FN(row)(layer, r1);
                if (neighbours) {
                    const uint32_t a0 = attention[(int64_t)(r0 < 0 ? 0 : r0) * rates + 2 * p];
                    const uint32_t a1 = single ? 0 : attention[(int64_t)(r1 < 0 ? 0 : r1) * rates + 2 * p + 1];
                    weights[p] = a0 | a1 << 16;
                } else {
                    weights[p] = own[2 * p] | (single ? 0u : (uint32_t)own[2 * p + 1] << 16);
                }
            }
            for (int i = 0; i < s.count; i++)
                FN(blend_segment)(pairs, s.part[i].kind, s.part[i].channel, s.part[i].mask, rows, weights,
                                  block + v * stride + s.part[i].channel);
        }
    }
}

static void FN(blend)(const af_layer *layer, int64_t first, int count, int tap, uint32_t *units, ptrdiff_t stride) {
    element *block = (element *)units;
    stride *= 2;
    if (!layer->attention) {
        for (int v = 0; v < count; v++) {
            const int32_t *at = layer->table + layer->places[first + v];
            FN(copy_row)(FN(row)(layer, at[layer->steps[tap]]), layer->channels, block + v * stride);
        }
    } else if (layer->rates == 4) {
        if (layer->neighbours_attention) FN(blend_pairs)(layer, first, count, tap, block, stride, 4, 1);
        else FN(blend_pairs)(layer, first, count, tap, block, stride, 4, 0);
    } else {
        if (layer->neighbours_attention) FN(blend_pairs)(layer, first, count, tap, block, stride, layer->rates, 1);
        else FN(blend_pairs)(layer, first, count, tap, block, stride, layer->rates, 0);
    }
}

/* The channel at each place of a blended row, -1 where there is none; there are as many places as units times two. */
static void FN(order)(int channels, int blended, int32_t *channel) {
    const int places = 2 * FN(units)(channels);
    for (int i = 0; i < places; i++) channel[i] = i < channels ? i : -1;
    for (int from = 0; blended && from < channels; from += SEGMENTS_CHANNELS) {
        const FN(segments) s =
            FN(cut)(channels - from < SEGMENTS_CHANNELS ? channels - from : SEGMENTS_CHANNELS, from);
        for (int p = 0; p < s.count; p++) {
            const int half = s.part[p].kind / 2, begin = s.part[p].channel;
            for (int i = 0; i < s.part[p].kind && begin + i < places; i++) {
                const int c = begin + i % half / 4 * 8 + i / half * 4 + i % 4;
                channel[begin + i] = c < channels ? c : -1;
            }
        }
    }
}


/* (27, channels, outputs) floats as (27, units, columns) pairs of two channels. */
static void FN(pack)(const float *weight, int32_t channels, int32_t outputs, int32_t blended, uint32_t *packed) {
    const int units = FN(units)(channels), columns = FN(weight_columns)(outputs);
    int32_t *channel = malloc(sizeof(int32_t) * 2 * units);
    memset(packed, 0, sizeof(uint32_t) * FN(packed_units)(channels, outputs));
    if (!channel) return;
    FN(order)(channels, blended, channel);
    for (int t = 0; t < AF_TAPS; t++)
        for (int i = 0; i < 2 * units; i++) {
            if (channel[i] < 0) continue;
            const float *row = weight + ((ptrdiff_t)t * channels + channel[i]) * outputs;
            uint32_t *out = packed + ((ptrdiff_t)t * units + i / 2) * columns;
            for (int o = 0; o < outputs; o++) out[o] |= (uint32_t)bfloat16_of(row[o]) << (i % 2 * 16);
        }
    free(channel);
}

/* The output's gradient of a block as pairs of outputs, `stride` units apart. */
static void FN(gradient_rows)(const af_layer *layer, int64_t first, int count, uint32_t *block, ptrdiff_t stride) {
    for (int v = 0; v < count; v++)
        FN(copy_row)((const element *)layer->gradient + (first + v) * layer->gradient_stride, layer->outputs,
                     (element *)(block + v * stride));
}

/* The output's gradient as pairs of two voxels; returns the number of pairs. */
static int FN(gradient_by_voxel)(const af_layer *layer, int64_t first, int count, uint32_t *block, int columns) {
    const int outputs = layer->outputs, depth = (count + 1) / 2;
    const element *gradient = (const element *)layer->gradient + first * layer->gradient_stride;
    for (int p = 0; p < depth; p++) {
        const element *a = gradient + 2 * p * layer->gradient_stride;
        const element *b = 2 * p + 1 < count ? a + layer->gradient_stride : NULL;
        for (int o = 0; o < outputs; o += 16) {
            const __mmask32 mask = outputs - o < 16 ? (1u << (outputs - o)) - 1 : 0xffffu;
            const __m512i x = _mm512_cvtepu16_epi32(FN(load16)(a + o, mask));
            const __m512i y = b ? _mm512_cvtepu16_epi32(FN(load16)(b + o, mask)) : _mm512_setzero_si512();
            _mm512_storeu_si512(block + (ptrdiff_t)p * columns + o, _mm512_or_si512(x, _mm512_slli_epi32(y, 16)));
        }
    }
    return depth;
}

/* Blended inputs as pairs of two voxels: interleaved again in segments, so their order changes once more. */
static const uint32_t *FN(blended_by_voxel)(int channels, int depth, const uint32_t *block, ptrdiff_t stride,
                                            uint32_t *turned, ptrdiff_t *between) {
    for (int from = 0; from < channels; from += SEGMENTS_CHANNELS) {
        const int some = channels - from < SEGMENTS_CHANNELS ? channels - from : SEGMENTS_CHANNELS;
        const FN(segments) s = FN(cut)(some, from);
        for (int p = 0; p < depth; p++) {
            const element *a = (const element *)(block + 2 * p * stride), *b = a + 2 * stride;
            for (int i = 0; i < s.count; i++) {
                const int c = s.part[i].channel;
                uint32_t *out = turned + p * *between + c;
                if (s.part[i].kind == 32) {
                    const __m512i x = _mm512_loadu_si512(a + c), y = _mm512_loadu_si512(b + c);
                    _mm512_storeu_si512(out, _mm512_unpacklo_epi16(x, y));
                    _mm512_storeu_si512(out + 16, _mm512_unpackhi_epi16(x, y));
                } else if (s.part[i].kind == 16) {
                    const __m256i x = _mm256_loadu_si256((const __m256i *)(a + c));
                    const __m256i y = _mm256_loadu_si256((const __m256i *)(b + c));
                    _mm256_storeu_si256((__m256i *)out, _mm256_unpacklo_epi16(x, y));
                    _mm256_storeu_si256((__m256i *)(out + 8), _mm256_unpackhi_epi16(x, y));
                } else {
                    const __m128i x = _mm_loadu_si128((const __m128i *)(a + c));
                    const __m128i y = _mm_loadu_si128((const __m128i *)(b + c));
                    _mm_storeu_si128((__m128i *)out, _mm_unpacklo_epi16(x, y));
                    _mm_storeu_si128((__m128i *)(out + 4), _mm_unpackhi_epi16(x, y));
                }
            }
        }
    }
    return turned;
}

/* The row of the weight's gradient in which each channel stands: both interleavings. */
static void FN(weight_order)(int32_t channels, int32_t blended, int32_t *rows) {
    const int places = 2 * FN(units)(channels);
    int32_t *channel = malloc(sizeof(int32_t) * 2 * places), *turned = channel + places;
    if (!channel) return;
    FN(order)(channels, blended, channel);
    FN(order)(channels, 1, turned); /* the place of the blended row that stands in each turned row */
    for (int i = 0; i < places; i++)
        if (turned[i] >= 0 && channel[turned[i]] >= 0) rows[channel[turned[i]]] = i;
    free(channel);
}

static void FN(dot)(const af_layer *layer, int64_t first, int count, int tap, const float *sums, int columns,
                    uint32_t *scratch, float *dots) {
    const int rates = layer->rates, channels = layer->channels;
    const int32_t *steps = layer->steps + tap * rates;
    for (int v = 0; v < count; v++) {
        const int32_t *at = layer->table + layer->places[first + v];
        const float *g = sums + (ptrdiff_t)v * columns;
        element *rounded = (element *)scratch;
        for (int c = 0; c < channels; c += LANES) elements_store(rounded + c, vec_load(g + c));
        for (int k = 0; k < rates; k++) {
            const element *row = FN(row)(layer, at[steps[k]]);
            float *dot = dots + ((ptrdiff_t)v * rates + k) * LANES;
            vec s = vec_load(dot);
            for (int c = 0; c < channels; c += 32) {
                const __mmask32 mask = channels - c < 32 ? (1u << (channels - c)) - 1 : 0xffffffffu;
                s = _mm512_dpbf16_ps(s, (__m512bh)FN(load32)(row + c, mask), (__m512bh)_mm512_loadu_si512(rounded + c));
            }
            vec_store(dot, s);
        }
    }
}
