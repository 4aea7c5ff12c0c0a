/* NEON of 64-bit ARM: floats, and bfloat16 that become floats when they are read. */
#include "kernel.h"

#if defined(__aarch64__) || defined(_M_ARM64)

#include <arm_neon.h>

#include "bfloat16.h"

#define LANES 4
#define MAX_VECTORS 4
#define ROWS_1 10
#define ROWS_2 10
#define ROWS_3 8
#define ROWS_4 6

#define vec float32x4_t
#define vec_zero() vdupq_n_f32(0.0f)
#define vec_load vld1q_f32
#define vec_store vst1q_f32
#define vec_set vdupq_n_f32
#define vec_add vaddq_f32
#define vec_mul vmulq_f32
#define vec_max vmaxq_f32
#define vec_fma(a, b, c) vfmaq_f32(c, a, b)
#define vec_sum vaddvq_f32
#define vec_where_positive(y, x) \
    vreinterpretq_f32_u32(vandq_u32(vcgtq_f32(y, vec_zero()), vreinterpretq_u32_f32(x)))

#define load_floats vld1q_f32
#define store_floats vst1q_f32

AF_INLINE float32x4_t load_some_floats(const float *p, int count) {
    float some[4] = {0};
    for (int i = 0; i < count; i++) some[i] = p[i];
    return vld1q_f32(some);
}

AF_INLINE float32x4_t load_bfloat16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

AF_INLINE float32x4_t load_some_bfloat16(const uint16_t *p, int count) {
    uint16_t some[4] = {0};
    for (int i = 0; i < count; i++) some[i] = p[i];
    return load_bfloat16(some);
}

AF_INLINE void store_bfloat16(uint16_t *p, float32x4_t x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x), upper = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
    const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff))), 16);
    const uint32x4_t kept = vorrq_u32(upper, vdupq_n_u32(0x40));
    vst1_u16(p, vmovn_u32(vbslq_u32(vceqq_f32(x, x), rounded, kept)));
}

#define ISA neon
#include "both_elements.h"

const int af_neon_built = 1;
#else
const af_functions af_neon_float32, af_neon_bfloat16;
const int af_neon_built = 0;
#endif
