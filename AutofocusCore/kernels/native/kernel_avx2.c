/* AVX2 with FMA: floats, and bfloat16 that become floats when they are read. */
#include "kernel.h"

#if defined(__AVX2__) && (defined(__FMA__) || defined(_MSC_VER))

#include <immintrin.h>

#include "bfloat16.h"

#define LANES 8
#define MAX_VECTORS 2
#define ROWS_1 10
#define ROWS_2 6
#define ROWS_3 1
#define ROWS_4 1

#define vec __m256
#define vec_zero _mm256_setzero_ps
#define vec_load _mm256_loadu_ps
#define vec_store _mm256_storeu_ps
#define vec_set _mm256_set1_ps
#define vec_add _mm256_add_ps
#define vec_mul _mm256_mul_ps
#define vec_max _mm256_max_ps
#define vec_fma _mm256_fmadd_ps
#define vec_where_positive(y, x) _mm256_and_ps(_mm256_cmp_ps(y, vec_zero(), _CMP_GT_OQ), x)

AF_INLINE float vec_sum(__m256 x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#define load_floats _mm256_loadu_ps
#define store_floats _mm256_storeu_ps

static const int32_t in_front[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

AF_INLINE __m256 load_some_floats(const float *p, int count) {
    return _mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i *)(in_front + 8 - count)));
}

AF_INLINE __m256 load_bfloat16(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}

AF_INLINE __m256 load_some_bfloat16(const uint16_t *p, int count) {
    uint16_t some[8] = {0};
    for (int i = 0; i < count; i++) some[i] = p[i];
    return load_bfloat16(some);
}

AF_INLINE void store_bfloat16(uint16_t *p, __m256 x) {
    const __m256i bits = _mm256_castps_si256(x), upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    const __m256i kept = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i no_number = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i all = _mm256_blendv_epi8(rounded, kept, no_number);
    _mm_storeu_si128((__m128i *)p, _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
}

#define ISA avx2
#include "both_elements.h"

const int af_avx2_built = 1;
#else
const af_functions af_avx2_float32, af_avx2_bfloat16;
const int af_avx2_built = 0;
#endif
