/* Units that are pairs of bfloat16, for processors that multiply pairs and sum in float32 (AVX-512 BF16).
 * Included by layer.h.
 *
 * A blended row is made in segments of 32, 16 or 8 channels. In a segment of 32 and of 16, channels stand in the order
 * in which the interleaving of two rows leaves them: the lower four of every eight first, then the upper four. The
 * packed weight has the same order, so nothing is ever sorted.
 */

/* Keeps a compiler from loading a vector twice, once for each instruction that takes it: loads are what is scarce. */
#if defined(__GNUC__)
#define LOADED_ONCE(x) __asm__("" : "+v"(x))
#else
#define LOADED_ONCE(x)
#endif

/* How a row of channels is cut: parts of 32, at most one of 16, parts of 8; the last may be partial. */
typedef struct {
    int n32, n16, n8, partial;
    __mmask32 last; /* the channels that are there in the last part */
} FN(parts);

/* No part but the last has a gap, so the units of a row follow one another. */
static FN(parts) FN(cut)(int channels) {
    FN(parts) p = {channels / 32, 0, 0, 0, 0xffffffffu};
    int rest = channels % 32, kind = 32;
    if (rest > 28) {
        p.n32++;
    } else {
        if (rest > 12) p.n16 = 1, kind = 16, rest -= 16;
        if (rest > 0) p.n8 = (rest + 7) / 8, kind = 8, rest = (rest - 1) % 8 + 1;
        else if (rest < 0) rest += 16;
    }
    if (rest > 0 && rest < kind) p.partial = 1, p.last = (1u << rest) - 1;
    return p;
}

/* Elements of a row from p on; the last part of a row must not be read beyond its end. */
AF_INLINE __m512i FN(load32)(const element *p, const int partial, __mmask32 mask) {
    return partial ? _mm512_maskz_loadu_epi16(mask, p) : _mm512_loadu_si512(p);
}
AF_INLINE __m256i FN(load16)(const element *p, const int partial, __mmask32 mask) {
    return partial ? _mm256_maskz_loadu_epi16((__mmask16)mask, p) : _mm256_loadu_si256((const __m256i *)p);
}
AF_INLINE __m128i FN(load8)(const element *p, const int partial, __mmask32 mask) {
    return partial ? _mm_maskz_loadu_epi16((__mmask8)mask, p) : _mm_loadu_si128((const __m128i *)p);
}

/* One blended row. rows: two for each of `pairs` pairs of rates; weights: a pair of attention values for each. */
AF_INLINE void FN(blend_row)(const int pairs, const FN(parts) p, const element *const *rows, const uint32_t *weights,
                             element *out) {
    int c = 0;
    for (int i = 0; i < p.n32; i++, c += 32) {
        const int partial = p.partial && i == p.n32 - 1 && !p.n16 && !p.n8;
        __m512 low = _mm512_setzero_ps(), high = low;
        for (int k = 0; k < pairs; k++) {
            __m512i a = FN(load32)(rows[2 * k] + c, partial, p.last);
            __m512i b = FN(load32)(rows[2 * k + 1] + c, partial, p.last);
            LOADED_ONCE(a);
            LOADED_ONCE(b);
            const __m512bh w = (__m512bh)_mm512_set1_epi32((int)weights[k]);
            low = _mm512_dpbf16_ps(low, (__m512bh)_mm512_unpacklo_epi16(a, b), w);
            high = _mm512_dpbf16_ps(high, (__m512bh)_mm512_unpackhi_epi16(a, b), w);
        }
        _mm512_storeu_si512(out + c, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    if (p.n16) {
        const int partial = p.partial && !p.n8;
        __m256 low = _mm256_setzero_ps(), high = low;
        for (int k = 0; k < pairs; k++) {
            __m256i a = FN(load16)(rows[2 * k] + c, partial, p.last);
            __m256i b = FN(load16)(rows[2 * k + 1] + c, partial, p.last);
            LOADED_ONCE(a);
            LOADED_ONCE(b);
            const __m256bh w = (__m256bh)_mm256_set1_epi32((int)weights[k]);
            low = _mm256_dpbf16_ps(low, (__m256bh)_mm256_unpacklo_epi16(a, b), w);
            high = _mm256_dpbf16_ps(high, (__m256bh)_mm256_unpackhi_epi16(a, b), w);
        }
        _mm256_storeu_si256((__m256i *)(out + c), (__m256i)_mm256_cvtne2ps_pbh(high, low));
        c += 16;
    }
    for (int i = 0; i < p.n8; i++, c += 8) {
        const int partial = p.partial && i == p.n8 - 1;
        __m128 low = _mm_setzero_ps(), high = low;
        for (int k = 0; k < pairs; k++) {
            const __m128i a = FN(load8)(rows[2 * k] + c, partial, p.last);
            const __m128i b = FN(load8)(rows[2 * k + 1] + c, partial, p.last);
            const __m128bh w = (__m128bh)_mm_set1_epi32((int)weights[k]);
            low = _mm_dpbf16_ps(low, (__m128bh)_mm_unpacklo_epi16(a, b), w);
            high = _mm_dpbf16_ps(high, (__m128bh)_mm_unpackhi_epi16(a, b), w);
        }
        _mm_storeu_si128((__m128i *)(out + c), (__m128i)_mm_cvtne2ps_pbh(high, low));
    }
}

/* A row as it is: for a layer without attention. */
AF_INLINE void FN(copy_row)(const element *row, int channels, element *out) {
    int c = 0;
    for (; c + 32 <= channels; c += 32) _mm512_storeu_si512(out + c, _mm512_loadu_si512(row + c));
    if (c < channels) _mm512_storeu_si512(out + c, FN(load32)(row + c, 1, (1u << (channels - c)) - 1));
}

/* The neighbours of a block of voxels at one tap: rate by rate the addresses of their rows, and the rows' numbers, 0 for
 * a neighbour that is not there. */
typedef struct {
    const element *rows[AF_MAX_RATES + 1][MOST_VOXELS];
    int32_t numbers[AF_MAX_RATES + 1][MOST_VOXELS];
} FN(neighbours);

/* Sixteen voxels at a time; a run along a line, which most are, is read from the table in one go. rows: their addresses
 * from voxel v on; numbers: theirs, or NULL. */
AF_INLINE void FN(find_sixteen)(const int32_t *places, int v, int count, const int32_t *table, __m512i stride,
                                __m512i features, __m512i empty, void *rows, int32_t *numbers) {
    const __mmask16 there = count - v < 16 ? (__mmask16)((1u << (count - v)) - 1) : (__mmask16)0xffff;
    const __m512i at = _mm512_maskz_loadu_epi32(there, places + v);
    const int run = there == 0xffff && places[v + 15] - places[v] == 15;
    __m512i row = run ? _mm512_loadu_si512(table + places[v])
                      : _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), there, at, table, 4);
    const __mmask16 missing = _mm512_movepi32_mask(row);
    row = _mm512_max_epi32(row, _mm512_setzero_si512());
    const __m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(row));
    const __m512i high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(row, 1));
    const __m512i a = _mm512_add_epi64(features, _mm512_mul_epu32(low, stride));
    const __m512i b = _mm512_add_epi64(features, _mm512_mul_epu32(high, stride));
    _mm512_storeu_si512((char *)rows + 8 * v, _mm512_mask_mov_epi64(a, (__mmask8)missing, empty));
    _mm512_storeu_si512((char *)rows + 8 * (v + 8), _mm512_mask_mov_epi64(b, (__mmask8)(missing >> 8), empty));
    if (numbers) _mm512_storeu_si512(numbers + v, row);
}

AF_INLINE void FN(find_neighbours)(const af_layer *layer, int64_t first, int count, int tap, const int rates,
                                   const int numbers, FN(neighbours) * found) {
    const int32_t *places = layer->places + first;
    const __m512i stride = _mm512_set1_epi64(layer->feature_stride * (int64_t)sizeof(element));
    const __m512i features = _mm512_set1_epi64((int64_t)(intptr_t)layer->features);
    const __m512i empty = _mm512_set1_epi64((int64_t)(intptr_t)layer->empty);
    for (int v = 0; v < count; v += 16) {
        for (int k = 0; k < rates; k++)
            FN(find_sixteen)(places, v, count, layer->table + layer->steps[tap * rates + k], stride, features, empty,
                             found->rows[k], numbers ? found->numbers[k] : NULL);
        for (int i = 0; rates % 2 && i < 16; i++) { /* the pair of the last rate */
            found->rows[rates][v + i] = (const element *)layer->empty;
            found->numbers[rates][v + i] = 0;
        }
    }
}

AF_INLINE void FN(blend_rows)(const af_layer *layer, int64_t first, int count, int tap, element *block,
                              ptrdiff_t stride, const FN(parts) p, const int rates, const int neighbours) {
    FN(neighbours) found;
    const element *attention = (const element *)layer->attention, *own = attention + first * rates;
    const int pairs = (rates + 1) / 2;
    FN(find_neighbours)(layer, first, count, tap, rates, neighbours, &found);
    for (int v = 0; v < count; v++, own += rates) {
        const element *rows[AF_MAX_RATES + 1] = {NULL};
        uint32_t weights[(AF_MAX_RATES + 1) / 2];
        for (int k = 0; k < pairs; k++) {
            const int single = 2 * k + 1 == rates;
            rows[2 * k] = found.rows[2 * k][v];
            rows[2 * k + 1] = found.rows[2 * k + 1][v];
            if (neighbours) { /* of a neighbour that is not there, any: its row is zero */
                const uint32_t a0 = attention[(int64_t)found.numbers[2 * k][v] * rates + 2 * k];
                const uint32_t a1 = single ? 0 : attention[(int64_t)found.numbers[2 * k + 1][v] * rates + 2 * k + 1];
                weights[k] = a0 | a1 << 16;
            } else {
                weights[k] = own[2 * k] | (single ? 0u : (uint32_t)own[2 * k + 1] << 16);
            }
        }
        FN(blend_row)(pairs, p, rows, weights, block + v * stride);
    }
}

/* Blended inputs of one tap for a block of voxels, `stride` units apart. The cases are those of the paper's networks. */
static void FN(blend)(const af_layer *layer, int64_t first, int count, int tap, uint32_t *units, ptrdiff_t stride) {
    element *block = (element *)units;
    const FN(parts) p = FN(cut)(layer->channels);
    stride *= 2;
    if (!layer->attention) {
        FN(neighbours) found;
        const int channels = layer->channels;
        FN(find_neighbours)(layer, first, count, tap, 1, 0, &found);
        for (int v = 0; v < count; v++) FN(copy_row)(found.rows[0][v], channels, block + v * stride);
        return;
    }
#define BLEND(parts, rates)                                                                                           \
    do {                                                                                                              \
        if (layer->neighbours_attention) FN(blend_rows)(layer, first, count, tap, block, stride, parts, rates, 1);    \
        else FN(blend_rows)(layer, first, count, tap, block, stride, parts, rates, 0);                                \
        return;                                                                                                       \
    } while (0)
#define CASE(c, n32, n16, n8, partial)                                \
    if (layer->channels == c) {                                       \
        const FN(parts) known = {n32, n16, n8, partial, p.last};      \
        BLEND(known, 4);                                              \
    }
    if (layer->rates == 4) {
        CASE(30, 1, 0, 0, 1)
        CASE(40, 1, 0, 1, 0)
        CASE(50, 1, 1, 1, 1)
    }
    if (layer->rates == 2) BLEND(p, 2);
    if (layer->rates == 3) BLEND(p, 3);
    if (layer->rates == 4) BLEND(p, 4);
    BLEND(p, layer->rates);
#undef CASE
#undef BLEND
}

/* Whether rows can be multiplied where they lie: pairs of channels begin at whole units. */
static int FN(direct)(const af_layer *layer) { return layer->channels % 2 == 0 && layer->feature_stride % 2 == 0; }

/* Where the neighbours' rows of a block lie at one tap of a layer with one rate; up to 15 more are set. */
static void FN(find_rows)(const af_layer *layer, int64_t first, int count, int tap, const uint32_t **rows) {
    const __m512i stride = _mm512_set1_epi64(layer->feature_stride * (int64_t)sizeof(element));
    const __m512i features = _mm512_set1_epi64((int64_t)(intptr_t)layer->features);
    const __m512i empty = _mm512_set1_epi64((int64_t)(intptr_t)layer->empty);
    const int32_t *places = layer->places + first, *table = layer->table + layer->steps[tap];
    for (int v = 0; v < count; v += 16) FN(find_sixteen)(places, v, count, table, stride, features, empty, rows, NULL);
}

/* The channel at each place of a blended row, -1 where there is none; there are as many places as units times two. */
static void FN(order)(int channels, int blended, int32_t *channel) {
    const int places = 2 * FN(units)(channels);
    const FN(parts) p = FN(cut)(channels);
    for (int i = 0; i < places; i++) {
        const int kind = i < 32 * p.n32 ? 32 : i < 32 * p.n32 + 16 * p.n16 ? 16 : 8, half = kind / 2;
        const int begin = kind == 32 ? i / 32 * 32 : kind == 16 ? 32 * p.n32 : i / 8 * 8, j = i - begin;
        const int c = blended ? begin + j % half / 4 * 8 + j / half * 4 + j % 4 : i;
        channel[i] = c < channels ? c : -1;
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
            const __m512i x = _mm512_cvtepu16_epi32(FN(load16)(a + o, 1, mask));
            const __m512i y = b ? _mm512_cvtepu16_epi32(FN(load16)(b + o, 1, mask)) : _mm512_setzero_si512();
            _mm512_storeu_si512(block + (ptrdiff_t)p * columns + o, _mm512_or_si512(x, _mm512_slli_epi32(y, 16)));
        }
    }
    return depth;
}

/* Rows of two voxels as pairs: interleaved again in parts, so their order changes once more. rows: where they lie, and
 * no element beyond them is read, or NULL for those of a block. */
AF_INLINE void FN(turn)(const FN(parts) parts, int depth, const uint32_t *const *rows, const uint32_t *block,
                        ptrdiff_t stride, uint32_t *turned, ptrdiff_t between) {
    for (int v = 0; v < depth; v++) {
        const element *a = (const element *)(rows ? rows[2 * v] : block + 2 * v * stride);
        const element *b = (const element *)(rows ? rows[2 * v + 1] : block + (2 * v + 1) * stride);
        uint32_t *out = turned + v * between;
        int c = 0;
        for (int i = 0; i < parts.n32; i++, c += 32) {
            const int partial = rows && parts.partial && i == parts.n32 - 1 && !parts.n16 && !parts.n8;
            const __m512i x = FN(load32)(a + c, partial, parts.last), y = FN(load32)(b + c, partial, parts.last);
            _mm512_storeu_si512(out + c, _mm512_unpacklo_epi16(x, y));
            _mm512_storeu_si512(out + c + 16, _mm512_unpackhi_epi16(x, y));
        }
        if (parts.n16) {
            const int partial = rows && parts.partial && !parts.n8;
            const __m256i x = FN(load16)(a + c, partial, parts.last), y = FN(load16)(b + c, partial, parts.last);
            _mm256_storeu_si256((__m256i *)(out + c), _mm256_unpacklo_epi16(x, y));
            _mm256_storeu_si256((__m256i *)(out + c + 8), _mm256_unpackhi_epi16(x, y));
            c += 16;
        }
        for (int i = 0; i < parts.n8; i++, c += 8) {
            const int partial = rows && parts.partial && i == parts.n8 - 1;
            const __m128i x = FN(load8)(a + c, partial, parts.last), y = FN(load8)(b + c, partial, parts.last);
            _mm_storeu_si128((__m128i *)(out + c), _mm_unpacklo_epi16(x, y));
            _mm_storeu_si128((__m128i *)(out + c + 4), _mm_unpackhi_epi16(x, y));
        }
    }
}

static const uint32_t *FN(blended_by_voxel)(int channels, int depth, const uint32_t *const *rows, const uint32_t *block,
                                            ptrdiff_t stride, uint32_t *turned, ptrdiff_t *between) {
    const FN(parts) parts = FN(cut)(channels);
    if (rows) FN(turn)(parts, depth, rows, NULL, 0, turned, *between);
    else FN(turn)(parts, depth, NULL, block, stride, turned, *between);
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

/* Sums are complete after every group of taps. */
#define DOT_LANES 1

AF_INLINE float FN(total)(const float *dot) { return *dot; }

/* Four vectors' sums. */
AF_INLINE __m128 FN(sums_of_four)(const __m512 *wide, const __m256 *narrow) {
    __m256 s[4];
    for (int i = 0; i < 4; i++)
        s[i] = _mm256_add_ps(_mm256_add_ps(_mm512_castps512_ps256(wide[i]), _mm512_extractf32x8_ps(wide[i], 1)), narrow[i]);
    const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

/* What blend_and_dot does, for constant parts, rates and choice of work. */
AF_INLINE void FN(blend_and_dot_rows)(const af_layer *layer, int64_t first, int count, int tap, element *block,
                                      ptrdiff_t stride, const float *sums, ptrdiff_t tap_sums, float *dots,
                                      const FN(parts) p, const int rates, const int blend) {
    FN(neighbours) found[TAP_GROUP];
    for (int t = 0; t < TAP_GROUP; t++) FN(find_neighbours)(layer, first, count, tap + t, rates, 0, &found[t]);
    const element *own = (const element *)layer->attention + first * rates;
    const int pairs = (rates + 1) / 2, columns = FN(weight_columns)(layer->channels), units = FN(units)(layer->channels);
    for (int v = 0; v < count; v++, own += rates) {
        __m512 wide[AF_MAX_RATES + 1];
        __m256 narrow[AF_MAX_RATES + 1];
        uint32_t weights[(AF_MAX_RATES + 1) / 2];
        for (int k = 0; k < 2 * pairs; k++) wide[k] = _mm512_setzero_ps(), narrow[k] = _mm256_setzero_ps();
        for (int k = 0; k < pairs; k++) weights[k] = own[2 * k] | (2 * k + 1 == rates ? 0u : (uint32_t)own[2 * k + 1] << 16);
        for (int t = 0; t < TAP_GROUP; t++) {
            const float *g = sums + t * tap_sums + (ptrdiff_t)v * columns;
            element *out = block + v * stride + 2 * t * units;
            const element *rows[AF_MAX_RATES + 1];
            int c = 0;
            for (int k = 0; k < 2 * pairs; k++) rows[k] = found[t].rows[k][v];
            for (int i = 0; i < p.n32; i++, c += 32) {
                const int partial = p.partial && i == p.n32 - 1 && !p.n16 && !p.n8;
                const __m512bh d = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(g + c + 16), _mm512_loadu_ps(g + c));
                __m512 low = _mm512_setzero_ps(), high = low;
                for (int k = 0; k < pairs; k++) {
                    __m512i a = FN(load32)(rows[2 * k] + c, partial, p.last);
                    __m512i b = FN(load32)(rows[2 * k + 1] + c, partial, p.last);
                    const __m512bh w = (__m512bh)_mm512_set1_epi32((int)weights[k]);
                    LOADED_ONCE(a);
                    LOADED_ONCE(b);
                    wide[2 * k] = _mm512_dpbf16_ps(wide[2 * k], (__m512bh)a, d);
                    wide[2 * k + 1] = _mm512_dpbf16_ps(wide[2 * k + 1], (__m512bh)b, d);
                    if (!blend) continue;
                    low = _mm512_dpbf16_ps(low, (__m512bh)_mm512_unpacklo_epi16(a, b), w);
                    high = _mm512_dpbf16_ps(high, (__m512bh)_mm512_unpackhi_epi16(a, b), w);
                }
                if (blend) _mm512_storeu_si512(out + c, (__m512i)_mm512_cvtne2ps_pbh(high, low));
            }
            if (p.n16) {
                const int partial = p.partial && !p.n8;
                const __m256bh d = _mm512_cvtneps_pbh(_mm512_loadu_ps(g + c));
                __m256 low = _mm256_setzero_ps(), high = low;
                for (int k = 0; k < pairs; k++) {
                    __m256i a = FN(load16)(rows[2 * k] + c, partial, p.last);
                    __m256i b = FN(load16)(rows[2 * k + 1] + c, partial, p.last);
                    const __m256bh w = (__m256bh)_mm256_set1_epi32((int)weights[k]);
                    LOADED_ONCE(a);
                    LOADED_ONCE(b);
                    narrow[2 * k] = _mm256_dpbf16_ps(narrow[2 * k], (__m256bh)a, d);
                    narrow[2 * k + 1] = _mm256_dpbf16_ps(narrow[2 * k + 1], (__m256bh)b, d);
                    if (!blend) continue;
                    low = _mm256_dpbf16_ps(low, (__m256bh)_mm256_unpacklo_epi16(a, b), w);
                    high = _mm256_dpbf16_ps(high, (__m256bh)_mm256_unpackhi_epi16(a, b), w);
                }
                if (blend) _mm256_storeu_si256((__m256i *)(out + c), (__m256i)_mm256_cvtne2ps_pbh(high, low));
                c += 16;
            }
            for (int i = 0; i < p.n8; i++, c += 8) {
                const int partial = p.partial && i == p.n8 - 1;
                const __m128bh d = _mm256_cvtneps_pbh(_mm256_loadu_ps(g + c));
                __m128 low = _mm_setzero_ps(), high = low;
                for (int k = 0; k < pairs; k++) {
                    __m128i a = FN(load8)(rows[2 * k] + c, partial, p.last);
                    __m128i b = FN(load8)(rows[2 * k + 1] + c, partial, p.last);
                    const __m128bh w = (__m128bh)_mm_set1_epi32((int)weights[k]);
                    LOADED_ONCE(a);
                    LOADED_ONCE(b);
                    const __m256bh da = (__m256bh)_mm256_zextsi128_si256(a), db = (__m256bh)_mm256_zextsi128_si256(b);
                    const __m256bh dd = (__m256bh)_mm256_zextsi128_si256((__m128i)d);
                    narrow[2 * k] = _mm256_dpbf16_ps(narrow[2 * k], da, dd);
                    narrow[2 * k + 1] = _mm256_dpbf16_ps(narrow[2 * k + 1], db, dd);
                    if (!blend) continue;
                    low = _mm_dpbf16_ps(low, (__m128bh)_mm_unpacklo_epi16(a, b), w);
                    high = _mm_dpbf16_ps(high, (__m128bh)_mm_unpackhi_epi16(a, b), w);
                }
                if (blend) _mm_storeu_si128((__m128i *)(out + c), (__m128i)_mm_cvtne2ps_pbh(high, low));
            }
        }
        float *dot = dots + (ptrdiff_t)v * rates;
        if (rates == 4) {
            _mm_storeu_ps(dot, _mm_add_ps(_mm_loadu_ps(dot), FN(sums_of_four)(wide, narrow)));
        } else {
            for (int k = 0; k < rates; k++)
                dot[k] += _mm512_reduce_add_ps(_mm512_add_ps(wide[k], _mm512_zextps256_ps512(narrow[k])));
        }
    }
}

/* For a group of taps from `tap` on: blended inputs into block, and the share of the attention's gradient added to
 * dots, where the gradients of the blended inputs are given in sums, tap after tap. Either may be NULL. */
static void FN(blend_and_dot)(const af_layer *layer, int64_t first, int count, int tap, uint32_t *units,
                              ptrdiff_t stride, const float *sums, ptrdiff_t tap_sums, float *dots) {
    const FN(parts) p = FN(cut)(layer->channels);
    element *block = (element *)units;
    if (!sums) {
        for (int t = 0; t < TAP_GROUP; t++)
            FN(blend)(layer, first, count, tap + t, units + t * FN(units)(layer->channels), stride);
        return;
    }
#define BOTH(parts, rates)                                                                                             \
    do {                                                                                                               \
        if (units)                                                                                                     \
            FN(blend_and_dot_rows)(layer, first, count, tap, block, 2 * stride, sums, tap_sums, dots, parts, rates, 1); \
        else                                                                                                           \
            FN(blend_and_dot_rows)(layer, first, count, tap, block, 2 * stride, sums, tap_sums, dots, parts, rates, 0); \
        return;                                                                                                        \
    } while (0)
#define CASE(c, n32, n16, n8, partial)                                \
    if (layer->channels == c) {                                       \
        const FN(parts) known = {n32, n16, n8, partial, p.last};      \
        BOTH(known, 4);                                               \
    }
    if (layer->rates == 4) {
        CASE(30, 1, 0, 0, 1)
        CASE(40, 1, 0, 1, 0)
        CASE(50, 1, 1, 1, 1)
    }
    if (layer->rates == 2) BOTH(p, 2);
    if (layer->rates == 3) BOTH(p, 3);
    if (layer->rates == 4) BOTH(p, 4);
    BOTH(p, layer->rates);
#undef CASE
#undef BOTH
}
