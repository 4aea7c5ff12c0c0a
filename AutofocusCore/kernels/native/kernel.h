/* The native operator of the ROI domain: a plain C interface, without Python or PyTorch.
 *
 * Letters: N active voxels, K dilation rates, C input channels, O output channels, t one of 27 taps.
 * A *row* holds the channels of one active voxel; an *element* is a float or a bfloat16 (its upper 16 bits).
 * A *unit* is what a multiplication takes at a time, 32 bits: a float, or a pair of bfloat16 on processors that multiply
 * such pairs.
 */
#ifndef AUTOFOCUS_KERNEL_H
#define AUTOFOCUS_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* Raised whenever the structure below or the meaning of a function changes; the caller refuses any other. */
#define AF_ABI 3

#define AF_TAPS 27
#define AF_MAX_RATES 16

#if defined(_WIN32)
#define AF_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define AF_EXPORT __attribute__((visibility("default")))
#else
#define AF_EXPORT
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define AF_INLINE static __forceinline
#else
#define AF_INLINE static inline __attribute__((always_inline))
#endif

/* One layer. Strides are in elements. All functions read it; none changes it. A part of the voxels is computed by moving
 * the pointers to what belongs to the voxels computed (places, attention, residual, out); a part of the features may be
 * there, by moving their pointer to where the row 0 would be. */
typedef struct {
    const void *features;     /* (N, C) elements */
    int64_t feature_stride;
    const void *attention;    /* (N, K) elements without gaps, or NULL for K = 1 */
    const int32_t *table;     /* row of the voxel at a place, or -1 */
    const int32_t *places;    /* (N,) place of each voxel */
    const int32_t *steps;     /* (27, K) from a place to the neighbour's */
    const void *empty;        /* a row of zeros, for neighbours that are not there */
    const uint32_t *weight;   /* as the function pack makes it */
    const float *bias;        /* (O,) or NULL */
    const float *first_bias;  /* (O,), added times the attention to the first rate, or NULL */
    const void *residual;     /* (N, O) elements to add, or NULL */
    int64_t residual_stride;
    void *out;                /* (N, O) elements */
    int64_t out_stride;
    const void *gradient;     /* (N, O) elements: of the output, for the gradients of weight and attention */
    int64_t gradient_stride;
    int32_t rates;            /* K */
    int32_t channels;         /* C */
    int32_t outputs;          /* O */
    int32_t neighbours_attention; /* 1: each neighbour is weighted with its own attention, as the input's gradient asks */
    int32_t relu;             /* 1: negative results become zero */
} af_layer;

/* A pass over rows, one after the other; passes.h says what each function reads. Strides are in elements. */
typedef struct {
    const void *x;            /* (N, C) elements */
    int64_t x_stride;
    const void *y;            /* (N, C) elements: results whose ReLU lets a gradient through or not, or NULL */
    int64_t y_stride;
    const void *gradient;     /* (N, C) elements: of the result, or NULL */
    int64_t gradient_stride;
    const void *residual;     /* (N, C) elements, or NULL */
    int64_t residual_stride;
    void *out;                /* (N, C) elements */
    int64_t out_stride;
    void *out_residual;       /* (N, C) elements, or NULL */
    int64_t out_residual_stride;
    const float *scale;       /* (C,) */
    const float *slope;       /* (C,) or NULL */
    const float *shift;       /* (C,) */
    const float *weight;      /* of the attention's scores */
    float *attention;         /* (N, K) without gaps */
    const float *of_attention; /* (N, K): its gradient */
    int32_t channels;         /* C */
    int32_t rates;            /* K */
    int32_t relu;             /* 1: negative results become zero */
} af_rows;

/* What one instruction set offers for one type of element. Functions over voxels do those from first up to last, and
 * return 0, or 1 for lack of memory. */
typedef struct {
    /* Units of the packed weight of a layer. */
    int64_t (*packed_units)(int32_t channels, int32_t outputs);
    /* (27, channels, outputs) floats, as the microkernels read them. blended: for a layer with attention. */
    void (*pack)(const float *weight, int32_t channels, int32_t outputs, int32_t blended, uint32_t *packed);
    /* The layer's output; also its input's gradient, as a layer with the mirrored, transposed weight. */
    int (*product)(const af_layer *layer, int64_t first, int64_t last);
    /* Columns of a row of the weight's gradient, padded; there are 27 times weight_rows rows. */
    int32_t (*weight_columns)(int32_t outputs);
    int32_t (*weight_rows)(int32_t channels, int32_t outputs);
    /* The row in which the gradient of each channel's weights stands. */
    void (*weight_order)(int32_t channels, int32_t blended, int32_t *rows);
    /* Gradients of the weight, added to a private sum, and of the attention, (N, K) floats; either may be NULL. For the
     * attention's the layer's weight is packed transposed, as (27, outputs, channels), and plain. */
    int (*gradients)(const af_layer *layer, int64_t first, int64_t last, float *sum, float *of_attention);
    /* Passes over rows: statistics, BatchNorm with ReLU and residual, and the softmax of attention, see passes.h. */
    void (*sums)(const af_rows *rows, int64_t first, int64_t last, double *sum);
    void (*apply)(const af_rows *rows, int64_t first, int64_t last);
    void (*attend)(const af_rows *rows, int64_t first, int64_t last);
    int (*attend_gradients)(const af_rows *rows, int64_t first, int64_t last, double *sum);
} af_functions;

extern const af_functions af_portable_float32, af_portable_bfloat16;
extern const af_functions af_avx2_float32, af_avx2_bfloat16;
extern const af_functions af_avx512_float32, af_avx512_bfloat16;
extern const af_functions af_avx512bf16_bfloat16;
extern const af_functions af_neon_float32, af_neon_bfloat16;

#endif
