/* The functions of a layer for one instruction set and one type of element: included by each kernel_*.c, once for each.
 *
 * What it takes besides the definitions that microkernel.h asks for: FN(name), the name with a suffix; element; TABLE,
 * the name of the table of functions; element_to_float(element); PAIRS, where a unit is a pair of bfloat16, else units are floats; and
 * elements_load(element*), elements_load_some(element*, count) and elements_store(element*, vec): LANES elements as
 * floats and back.
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
#define BLOCK 60
#endif
/* Taps that are blended before they are multiplied: the three along a line, which share most of their rows. */
#ifndef TAP_GROUP
#define TAP_GROUP 3
#endif
/* Voxels of a block of the weight's gradient, even. */
#ifndef GRADIENT_BLOCK
#define GRADIENT_BLOCK 128
#endif
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

AF_INLINE const element *FN(row)(const af_layer *layer, int32_t row) {
    return row < 0 ? (const element *)layer->empty : (const element *)layer->features + row * layer->feature_stride;
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
            if (layer->relu) s = vec_max(s, vec_zero());
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
        for (int tap = 0; tap < AF_TAPS; tap += TAP_GROUP) {
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

static int FN(weight_gradient)(const af_layer *layer, int64_t first, int64_t last, float *sum) {
    const int outputs = layer->outputs, channels = layer->channels, columns = FN(weight_columns)(outputs);
    const int widest = FN(tile_width)(outputs), all = (int)FN(round_up)(outputs, GRAIN);
    const ptrdiff_t stride = FN(units)(channels) + SLACK, across = FN(weight_rows)(channels, outputs);
    FN(arena) arena;
    if (FN(arena_open)(&arena, sizeof(float) * GRADIENT_BLOCK * (stride + across + columns))) return 1;
    uint32_t *block = FN(arena_take)(&arena, sizeof(uint32_t) * GRADIENT_BLOCK * stride);
    uint32_t *turned = FN(arena_take)(&arena, sizeof(uint32_t) * GRADIENT_BLOCK * across);
    uint32_t *gradient = FN(arena_take)(&arena, sizeof(uint32_t) * GRADIENT_BLOCK * columns);
    memset(turned, 0, sizeof(uint32_t) * GRADIENT_BLOCK * across);
    for (int64_t start = first; start < last; start += GRADIENT_BLOCK) {
        const int count = last - start < GRADIENT_BLOCK ? (int)(last - start) : GRADIENT_BLOCK;
        const int depth = FN(gradient_by_voxel)(layer, start, count, gradient, columns);
        if (count < GRADIENT_BLOCK) memset(block, 0, sizeof(uint32_t) * GRADIENT_BLOCK * stride);
        for (int tap = 0; tap < AF_TAPS; tap++) {
            ptrdiff_t between = across;
            FN(blend)(layer, start, count, tap, block, stride);
            const uint32_t *by_voxel = FN(blended_by_voxel)(channels, depth, block, stride, turned, &between);
            for (int column = 0; column < all; column += widest) {
                const int width = all - column < widest ? all - column : widest, rows = FN(rows_of)(width);
                for (int c = 0; c < channels; c += rows)
                    FN(tile_by_columns)(width, by_voxel + c, between, depth, gradient + column, columns,
                                        sum + (tap * across + c) * columns + column, columns);
            }
        }
    }
    free(arena.memory);
    return 0;
}

static int FN(attention_gradient)(const af_layer *layer, int64_t first, int64_t last, float *out) {
    const int units = FN(units)(layer->outputs), rates = layer->rates, channels = layer->channels;
    const int columns = FN(weight_columns)(channels);
    const ptrdiff_t stride = units + SLACK;
    FN(arena) arena;
    if (FN(arena_open)(&arena, sizeof(float) * ((BLOCK + SLACK) * (stride + 2 * columns) + BLOCK * rates * LANES)))
        return 1;
    uint32_t *gradient = FN(arena_take)(&arena, sizeof(uint32_t) * (BLOCK + SLACK) * stride);
    float *sums = FN(arena_take)(&arena, sizeof(float) * (BLOCK + SLACK) * columns);
    uint32_t *rows = FN(arena_take)(&arena, sizeof(uint32_t) * (BLOCK + SLACK) * columns);
    float *dots = FN(arena_take)(&arena, sizeof(float) * BLOCK * rates * LANES);
    memset(gradient, 0, sizeof(uint32_t) * (BLOCK + SLACK) * stride);
    memset(sums, 0, sizeof(float) * (BLOCK + SLACK) * columns); /* zeros beyond the last tile, too */
    memset(rows, 0, sizeof(uint32_t) * (BLOCK + SLACK) * columns);
    for (int64_t start = first; start < last; start += BLOCK) {
        const int count = last - start < BLOCK ? (int)(last - start) : BLOCK;
        FN(gradient_rows)(layer, start, count, gradient, stride);
        memset(dots, 0, sizeof(float) * BLOCK * rates * LANES);
        for (int tap = 0; tap < AF_TAPS; tap++) {
            FN(multiply)(channels, count, gradient, stride, units, layer->weight + (ptrdiff_t)tap * units * columns, sums, 1);
            FN(dot)(layer, start, count, tap, sums, columns, rows, dots);
        }
        for (int i = 0; i < count * rates; i++) out[start * rates + i] = vec_sum(vec_load(dots + (ptrdiff_t)i * LANES));
    }
    free(arena.memory);
    return 0;
}

const af_functions TABLE = {
    FN(packed_units), FN(pack),         FN(product),         FN(weight_columns),
    FN(weight_rows),  FN(weight_order), FN(weight_gradient), FN(attention_gradient),
};

#undef GRAIN
