/* The register-blocked product: a few rows of units times a few vectors of columns, summed in registers.
 *
 * What an instruction set defines before it includes this file: LANES, vec, packed, MAX_VECTORS, and
 * vec_zero() vec_load(float*) vec_store(float*, vec) packed_load(uint32_t*) packed_spread(uint32_t*)
 * mac(vec, packed, packed); with HALVES also the same for vectors of half the lanes: half, half_packed,
 * half_zero half_load half_store half_packed_load half_of half_mac.
 */

#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)

/* sum[m][column] (+)= sum over k of a[m * by_row + k * by_depth] * w[k * w_stride + column].
 * With `scattered`, the rows lie anywhere: a[m * by_row + k] stands at scattered[lap * by_lap + m][k], and the sum goes
 * over `laps` such sets of rows, whose weights follow one another.
 * rows, full and with_half are constants where this is inlined, so that all conditions on them vanish. */
AF_INLINE void FN(tile_body)(const int rows, const int full, const int with_half, const uint32_t *a, ptrdiff_t by_row,
                             ptrdiff_t by_depth, ptrdiff_t depth, const uint32_t *w, ptrdiff_t w_stride, float *sum,
                             ptrdiff_t sum_stride, int fresh, const uint32_t *const *scattered, ptrdiff_t by_lap,
                             int laps) {
#define DECLARE(m) vec s##m##_0, s##m##_1, s##m##_2, s##m##_3;
    EACH_ROW(DECLARE)
#undef DECLARE
#ifdef HALVES
#define DECLARE(m) half h##m;
    EACH_ROW(DECLARE)
#undef DECLARE
#endif
#define CLEAR(m) s##m##_0 = s##m##_1 = s##m##_2 = s##m##_3 = vec_zero();
    EACH_ROW(CLEAR)
#undef CLEAR
#ifdef HALVES
#define CLEAR(m) h##m = half_zero();
    EACH_ROW(CLEAR)
#undef CLEAR
#endif
    if (!fresh) {
#define LOAD(m)                                                                     \
    if (m < rows) {                                                                 \
        if (full > 0) s##m##_0 = vec_load(sum + m * sum_stride);                    \
        if (full > 1) s##m##_1 = vec_load(sum + m * sum_stride + LANES);            \
        if (full > 2) s##m##_2 = vec_load(sum + m * sum_stride + 2 * LANES);        \
        if (full > 3) s##m##_3 = vec_load(sum + m * sum_stride + 3 * LANES);        \
    }
        EACH_ROW(LOAD)
#undef LOAD
#ifdef HALVES
#define LOAD(m) \
    if (m < rows && with_half) h##m = half_load(sum + m * sum_stride + full * LANES);
        EACH_ROW(LOAD)
#undef LOAD
#endif
    }
    for (int lap = 0; lap < laps; lap++) {
#define DECLARE(m) const uint32_t *const a##m = m >= rows ? NULL : scattered ? scattered[lap * by_lap + m] : a + m * by_row;
    EACH_ROW(DECLARE)
#undef DECLARE
    for (ptrdiff_t k = 0, at = 0; k < depth; k++, at += by_depth) {
        packed w0, w1, w2, w3;
        w0 = w1 = w2 = w3 = packed_load(w);
        if (full > 1) w1 = packed_load(w + LANES);
        if (full > 2) w2 = packed_load(w + 2 * LANES);
        if (full > 3) w3 = packed_load(w + 3 * LANES);
#ifdef HALVES
        half_packed wh = half_packed_load(with_half ? w + full * LANES : w);
#define MULTIPLY_HALF(m) \
    if (with_half) h##m = half_mac(h##m, wh, half_of(b));
#else
#define MULTIPLY_HALF(m)
#endif
#define MULTIPLY(m)                                          \
    if (m < rows) {                                          \
        packed b = packed_spread(a##m + at);                 \
        if (full > 0) s##m##_0 = mac(s##m##_0, w0, b);       \
        if (full > 1) s##m##_1 = mac(s##m##_1, w1, b);       \
        if (full > 2) s##m##_2 = mac(s##m##_2, w2, b);       \
        if (full > 3) s##m##_3 = mac(s##m##_3, w3, b);       \
        MULTIPLY_HALF(m)                                     \
    }
        EACH_ROW(MULTIPLY)
#undef MULTIPLY
#undef MULTIPLY_HALF
        w += w_stride;
    }
    }
#define STORE(m)                                                              \
    if (m < rows) {                                                           \
        if (full > 0) vec_store(sum + m * sum_stride, s##m##_0);              \
        if (full > 1) vec_store(sum + m * sum_stride + LANES, s##m##_1);      \
        if (full > 2) vec_store(sum + m * sum_stride + 2 * LANES, s##m##_2);  \
        if (full > 3) vec_store(sum + m * sum_stride + 3 * LANES, s##m##_3);  \
    }
    EACH_ROW(STORE)
#undef STORE
#ifdef HALVES
#define STORE(m) \
    if (m < rows && with_half) half_store(sum + m * sum_stride + full * LANES, h##m);
    EACH_ROW(STORE)
#undef STORE
#endif
    (void)with_half;
}

#undef EACH_ROW

/* Rows of a tile by its number of vectors, a half counted as one: what the registers hold. */
static const int FN(tile_rows)[5] = {1, ROWS_1, ROWS_2, ROWS_3, ROWS_4};

/* One tile of rows and `width` columns, a multiple of the lanes (or of half of them). */
#define TILE_CASE(rows, full, with_half)                                                                           \
    FN(tile_body)(rows, full, with_half, a, by_row, by_depth, depth, w, w_stride, sum, sum_stride, fresh,          \
                  scattered, by_lap, laps);                                                                        \
    return;
#define TILE_SWITCH                                       \
    switch (width / (LANES / 2)) {                        \
        case 2: TILE_CASE(ROWS_1, 1, 0)                   \
        case 4: TILE_CASE(ROWS_2, 2, 0)                   \
        TILE_CASES_WIDE                                   \
        TILE_CASES_HALF                                   \
    }
#if MAX_VECTORS > 2
#define TILE_CASES_WIDE                                   \
        case 6: TILE_CASE(ROWS_3, 3, 0)                   \
        case 8: TILE_CASE(ROWS_4, 4, 0)
#else
#define TILE_CASES_WIDE
#endif
#ifdef HALVES
#define TILE_CASES_HALF                                   \
        case 1: TILE_CASE(ROWS_1, 0, 1)                   \
        case 3: TILE_CASE(ROWS_2, 1, 1)                   \
        case 5: TILE_CASE(ROWS_3, 2, 1)                   \
        case 7: TILE_CASE(ROWS_4, 3, 1)
#else
#define TILE_CASES_HALF
#endif

/* Neighbouring units of a row lie side by side: blended inputs, output gradients. */
static void FN(tile_by_rows)(int width, const uint32_t *a, ptrdiff_t by_row, ptrdiff_t depth, const uint32_t *w,
                             ptrdiff_t w_stride, float *sum, ptrdiff_t sum_stride, int fresh) {
    const ptrdiff_t by_depth = 1, by_lap = 0;
    const uint32_t *const *const scattered = NULL;
    const int laps = 1;
    TILE_SWITCH
}

/* The rows lie anywhere in memory, those of several taps one set after the other. */
static void FN(tile_scattered)(int width, const uint32_t *const *scattered, ptrdiff_t by_lap, int laps, ptrdiff_t depth,
                               const uint32_t *w, ptrdiff_t w_stride, float *sum, ptrdiff_t sum_stride, int fresh) {
    const uint32_t *const a = NULL;
    const ptrdiff_t by_row = 0, by_depth = 1;
    TILE_SWITCH
}

/* Neighbouring rows lie side by side: channels of the weight's gradient, summed over voxels. */
static void FN(tile_by_columns)(int width, const uint32_t *a, ptrdiff_t by_depth, ptrdiff_t depth, const uint32_t *w,
                                ptrdiff_t w_stride, float *sum, ptrdiff_t sum_stride) {
    const ptrdiff_t by_row = 1, by_lap = 0;
    const uint32_t *const *const scattered = NULL;
    const int fresh = 0, laps = 1;
    TILE_SWITCH
}

#undef TILE_CASE
#undef TILE_SWITCH
#undef TILE_CASES_WIDE
#undef TILE_CASES_HALF
