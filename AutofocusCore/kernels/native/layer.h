/* The functions of a layer for one instruction set and one type of element: included by each kernel_*.c, once for each.
 *
 * What it takes besides the definitions that microkernel.h asks for: FN(name), the name with a suffix; element; TABLE,
 * the name of the table of functions; element_to_float(element); PAIRS, where a unit is a pair of bfloat16, else units are floats; and
 * elements_load(element*), elements_load_some(element*, count) and elements_store(element*, vec): LANES elements as
 * floats and back; and vec_where_positive(y, x): x where y is positive, else zero.
 */

#include <stdlib.h>
#include <string.h>

#include "microkernel.h"

#ifdef HALVES
#define GRAIN (LANES / 2)
#else
#define GRAIN LANES
#endif

/* Voxels of a block: enough to use each weight often while its tap's weights lie in the first-level cache. */
#ifndef BLOCK
#define BLOCK 40
#endif
/* Taps that are blended before they are multiplied: the three along a line, which share most of their rows. */
#ifndef TAP_GROUP
#define TAP_GROUP 3
#endif
/* Taps that are multiplied at a time where rows are read where they lie. */
#ifndef DIRECT_TAPS
#define DIRECT_TAPS 9
#endif
/* Voxels of a block of the gradients, even. */
#ifndef GRADIENT_BLOCK
#define GRADIENT_BLOCK 120
#endif
#define GRADIENT_ROWS (GRADIENT_BLOCK + SLACK)
/* Voxels of the larger block, and what a vector may touch beyond them. */
#define MOST_VOXELS ((GRADIENT_BLOCK > BLOCK ? GRADIENT_BLOCK : BLOCK) + SLACK)
/* Rows beyond a block that a tile may touch, and units beyond a row that a vector may touch. */
#define SLACK 16

AF_INLINE int64_t FN(round_up)(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

AF_INLINE int FN(units)(int channels) {
#ifdef PAIRS
    return (channels + 1) / 2;
#else
    return channels;
#endif
}

/* Units from one row of the packed weight, or of a block's sums, to the next. */
static int32_t FN(weight_columns)(int32_t outputs) { return (int32_t)FN(round_up)(outputs, LANES); }

static int64_t FN(packed_units)(int32_t channels, int32_t outputs) {
    return (int64_t)AF_TAPS * FN(units)(channels) * FN(weight_columns)(outputs) + SLACK;
}

/* Width of the tiles into which the columns are cut, as equal as can be. */
static int FN(tile_width)(int outputs) {
    int columns = (int)FN(round_up)(outputs, GRAIN), tiles = (columns + MAX_VECTORS * LANES - 1) / (MAX_VECTORS * LANES);
    return (int)FN(round_up)((columns + tiles - 1) / tiles, GRAIN);
}

static int FN(rows_of)(int width) { return FN(tile_rows)[(width + LANES - 1) / LANES]; }

/* Memory for one call, its parts aligned to cache lines. */
typedef struct {
    char *memory, *next;
} FN(arena);

static int FN(arena_open)(FN(arena) *arena, size_t bytes) {
    arena->memory = malloc(bytes + 64 * 16);
    arena->next = (char *)(((uintptr_t)arena->memory + 63) & ~(uintptr_t)63);
    return arena->memory == NULL;
}

static void *FN(arena_take)(FN(arena) *arena, size_t bytes) {
    void *part = arena->next;
    arena->next += (bytes + 63) & ~(size_t)63;
    return part;
}

/* Where the features' rows are, copied out of the layer so that a compiler keeps it in registers. */
typedef struct {
    const char *features;
    int64_t stride, to_empty; /* in bytes; to_empty: from the features to the row of zeros */
} FN(reader);

AF_INLINE FN(reader) FN(reader_of)(const af_layer *layer) {
    FN(reader) reader = {layer->features, layer->feature_stride * (int64_t)sizeof(element), 0};
    reader.to_empty = (int64_t)((intptr_t)layer->empty - (intptr_t)layer->features);
    return reader;
}

/* A row, or the row of zeros for a negative number; without a branch, which at the mask's border nobody can predict. */
AF_INLINE const element *FN(read)(const FN(reader) reader, int32_t row) {
    const int64_t missing = (int64_t)row >> 63;
    return (const element *)(reader.features + ((row * reader.stride & ~missing) | (reader.to_empty & missing)));
}

#ifdef PAIRS
#include "pairs.h"
#else
#include "floats.h"
#endif

/* sums (count, columns) (+)= block (count, depth) times weight (depth, columns), tile by tile. */
static void FN(multiply)(int outputs, int count, const uint32_t *block, ptrdiff_t stride, ptrdiff_t depth,
                         const uint32_t *weight, float *sums, int fresh) {
    const int columns = FN(weight_columns)(outputs), widest = FN(tile_width)(outputs);
    const int all = (int)FN(round_up)(outputs, GRAIN);
    for (int column = 0; column < all; column += widest) {
        const int width = all - column < widest ? all - column : widest, rows = FN(rows_of)(width);
        for (int m = 0; m < count; m += rows)
            FN(tile_by_rows)(width, block + m * stride, stride, depth, weight + column, columns,
                             sums + (ptrdiff_t)m * columns + column, columns, fresh);
    }
}

/* The same for rows that lie anywhere: of several taps, one set of `by_lap` addresses after the other. */
static void FN(multiply_scattered)(int outputs, int count, const uint32_t *const *rows, ptrdiff_t by_lap, int laps,
                                   ptrdiff_t depth, const uint32_t *weight, float *sums, int fresh) {
    const int columns = FN(weight_columns)(outputs), widest = FN(tile_width)(outputs);
    const int all = (int)FN(round_up)(outputs, GRAIN);
    for (int column = 0; column < all; column += widest) {
        const int width = all - column < widest ? all - column : widest, tile = FN(rows_of)(width);
        for (int m = 0; m < count; m += tile)
            FN(tile_scattered)(width, rows + m, by_lap, laps, depth, weight + column, columns,
                               sums + (ptrdiff_t)m * columns + column, columns, fresh);
    }
}

/* Biases, residual and ReLU, and a block's rows into the output. */
static void FN(finish)(const af_layer *layer, int64_t first, int count, const float *sums, const float *bias,
                       const float *first_bias) {
    const int outputs = layer->outputs, columns = FN(weight_columns)(outputs);
    for (int v = 0; v < count; v++) {
        element *out = (element *)layer->out + (first + v) * layer->out_stride;
        const element *residual =
            layer->residual ? (const element *)layer->residual + (first + v) * layer->residual_stride : NULL;
        const float to_first =
            layer->first_bias ? element_to_float(((const element *)layer->attention)[(first + v) * layer->rates]) : 0.0f;
        for (int o = 0; o < outputs; o += LANES) {
            const int some = outputs - o < LANES ? outputs - o : LANES;
            vec s = vec_add(vec_load(sums + (ptrdiff_t)v * columns + o), vec_load(bias + o));
            if (layer->first_bias) s = vec_fma(vec_set(to_first), vec_load(first_bias + o), s);
            if (residual)
                s = vec_add(s, some == LANES ? elements_load(residual + o) : elements_load_some(residual + o, some));
            if (layer->relu) s = vec_max(vec_zero(), s); /* in this order what is no number stays none */
            if (some == LANES) {
                elements_store(out + o, s);
            } else {
                element tail[LANES];
                elements_store(tail, s);
                memcpy(out + o, tail, some * sizeof(element));
            }
        }
    }
}

static int FN(product)(const af_layer *layer, int64_t first, int64_t last) {
    const int units = FN(units)(layer->channels), columns = FN(weight_columns)(layer->outputs);
    const ptrdiff_t stride = FN(round_up)(TAP_GROUP * units + SLACK, 2);
    const int direct = !layer->attention && FN(direct)(layer);
    const uint32_t *rows[DIRECT_TAPS * (BLOCK + SLACK)];
    FN(arena) arena;
    if (FN(arena_open)(&arena, sizeof(float) * ((BLOCK + SLACK) * (stride + columns) + 2 * columns))) return 1;
    uint32_t *block = FN(arena_take)(&arena, sizeof(uint32_t) * (BLOCK + SLACK) * stride);
    float *sums = FN(arena_take)(&arena, sizeof(float) * (BLOCK + SLACK) * columns);
    float *bias = FN(arena_take)(&arena, sizeof(float) * columns);
    memset(block, 0, sizeof(uint32_t) * (BLOCK + SLACK) * stride);
    float *first_bias = FN(arena_take)(&arena, sizeof(float) * columns);
    memset(bias, 0, sizeof(float) * columns);
    memset(first_bias, 0, sizeof(float) * columns);
    if (layer->first_bias) memcpy(first_bias, layer->first_bias, sizeof(float) * layer->outputs);
    if (layer->bias) memcpy(bias, layer->bias, sizeof(float) * layer->outputs);
    for (int64_t start = first; start < last; start += BLOCK) {
        const int count = last - start < BLOCK ? (int)(last - start) : BLOCK;
        for (int tap = 0; direct && tap < AF_TAPS; tap += DIRECT_TAPS) {
            for (int t = 0; t < DIRECT_TAPS; t++) FN(find_rows)(layer, start, count, tap + t, rows + t * (BLOCK + SLACK));
            for (int t = 0; t < DIRECT_TAPS; t++)
                for (int i = count; i < BLOCK + SLACK; i++) rows[t * (BLOCK + SLACK) + i] = layer->empty;
            FN(multiply_scattered)(layer->outputs, count, rows, BLOCK + SLACK, DIRECT_TAPS, units,
                                   layer->weight + (ptrdiff_t)tap * units * columns, sums, tap == 0);
        }
        for (int tap = 0; !direct && tap < AF_TAPS; tap += TAP_GROUP) {
            for (int t = 0; t < TAP_GROUP; t++) FN(blend)(layer, start, count, tap + t, block + t * units, stride);
            FN(multiply)(layer->outputs, count, block, stride, TAP_GROUP * units,
                         layer->weight + (ptrdiff_t)tap * units * columns, sums, tap == 0);
        }
        FN(finish)(layer, start, count, sums, bias, first_bias);
    }
    free(arena.memory);
    return 0;
}

/* Rows of one tap of the weight's gradient: the channels, and what the last tile reaches beyond them. */
static int32_t FN(weight_rows)(int32_t channels, int32_t outputs) {
    (void)outputs;
    return (int32_t)FN(round_up)(channels, 32) + SLACK;
}

/* Adds a block's share of the weight's gradient for one tap: blended inputs, turned, times the output's gradient. */
static void FN(add_weight_gradient)(const af_layer *layer, int depth, const uint32_t *const *rows,
                                    const uint32_t *block, ptrdiff_t stride, uint32_t *turned, const uint32_t *gradient,
                                    float *sum) {
    const int outputs = layer->outputs, channels = layer->channels, columns = FN(weight_columns)(outputs);
    const int widest = FN(tile_width)(outputs), all = (int)FN(round_up)(outputs, GRAIN);
    ptrdiff_t between = FN(weight_rows)(channels, outputs);
    const uint32_t *by_voxel = FN(blended_by_voxel)(channels, depth, rows, block, stride, turned, &between);
    for (int column = 0; column < all; column += widest) {
        const int width = all - column < widest ? all - column : widest, tile = FN(rows_of)(width);
        for (int c = 0; c < channels; c += tile)
            FN(tile_by_columns)(width, by_voxel + c, between, depth, gradient + column, columns,
                                sum + (ptrdiff_t)c * columns + column, columns);
    }
}

static int FN(gradients)(const af_layer *layer, int64_t first, int64_t last, float *sum, float *of_attention) {
    const int units = FN(units)(layer->channels), out_units = FN(units)(layer->outputs), rates = layer->rates;
    const int columns = FN(weight_columns)(layer->outputs), in_columns = FN(weight_columns)(layer->channels);
    const ptrdiff_t stride = FN(round_up)(TAP_GROUP * units + SLACK, 2), out_stride = out_units + SLACK;
    const ptrdiff_t across = FN(weight_rows)(layer->channels, layer->outputs), tap_sums = (ptrdiff_t)GRADIENT_ROWS * in_columns;
#ifdef PAIRS
    const int direct = sum && !of_attention && !layer->attention && FN(direct)(layer);
#else
    const int direct = 0; /* a block's rows are read by columns, which must have equal distances */
#endif
    const uint32_t *rows[GRADIENT_ROWS];
    FN(arena) arena;
    if (FN(arena_open)(&arena, sizeof(float) * GRADIENT_ROWS *
                                   (stride + across + columns + out_stride + TAP_GROUP * in_columns + rates * DOT_LANES)))
        return 1;
    uint32_t *block = FN(arena_take)(&arena, sizeof(uint32_t) * GRADIENT_ROWS * stride);
    uint32_t *turned = FN(arena_take)(&arena, sizeof(uint32_t) * GRADIENT_ROWS * across);
    uint32_t *by_voxel = FN(arena_take)(&arena, sizeof(uint32_t) * GRADIENT_ROWS * columns);
    uint32_t *by_row = FN(arena_take)(&arena, sizeof(uint32_t) * GRADIENT_ROWS * out_stride);
    float *sums = FN(arena_take)(&arena, sizeof(float) * TAP_GROUP * tap_sums);
    float *dots = FN(arena_take)(&arena, sizeof(float) * GRADIENT_ROWS * rates * DOT_LANES);
    memset(arena.memory, 0, arena.next - arena.memory); /* what lies beyond rows and columns must be numbers, and zero */
    for (int64_t start = first; start < last; start += GRADIENT_BLOCK) {
        const int count = last - start < GRADIENT_BLOCK ? (int)(last - start) : GRADIENT_BLOCK;
        int depth = 0;
        if (sum) depth = FN(gradient_by_voxel)(layer, start, count, by_voxel, columns);
        for (int tap = 0; direct && tap < AF_TAPS; tap++) {
            FN(find_rows)(layer, start, count, tap, rows);
            if (count % 2) rows[count] = layer->empty;
            FN(add_weight_gradient)(layer, depth, rows, NULL, 0, turned, by_voxel, sum + tap * across * columns);
        }
        if (direct) continue;
        if (count < GRADIENT_BLOCK) memset(block, 0, sizeof(uint32_t) * GRADIENT_ROWS * stride);
        if (of_attention) FN(gradient_rows)(layer, start, count, by_row, out_stride);
        memset(dots, 0, sizeof(float) * GRADIENT_ROWS * rates * DOT_LANES);
        for (int tap = 0; tap < AF_TAPS; tap += TAP_GROUP) {
            for (int t = 0; of_attention && t < TAP_GROUP; t++)
                FN(multiply)(layer->channels, count, by_row, out_stride, out_units,
                             layer->weight + (ptrdiff_t)(tap + t) * out_units * in_columns, sums + t * tap_sums, 1);
            FN(blend_and_dot)(layer, start, count, tap, sum ? block : NULL, stride, of_attention ? sums : NULL, tap_sums, dots);
            for (int t = 0; sum && t < TAP_GROUP; t++)
                FN(add_weight_gradient)(layer, depth, NULL, block + t * units, stride, turned, by_voxel,
                                        sum + (tap + t) * across * columns);
        }
        for (int i = 0; of_attention && i < count * rates; i++)
            of_attention[start * rates + i] = FN(total)(dots + (ptrdiff_t)i * DOT_LANES);
    }
    free(arena.memory);
    return 0;
}

#include "passes.h"

const af_functions TABLE = {
    FN(packed_units), FN(pack), FN(product), FN(weight_columns), FN(weight_rows), FN(weight_order), FN(gradients),
    FN(sums), FN(apply), FN(attend), FN(attend_gradients),
};

#undef GRAIN
