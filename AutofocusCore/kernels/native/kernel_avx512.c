/* AVX-512 (F, BW, DQ, VL): floats, and bfloat16 that become floats when they are read. */
#include "kernel.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include "vectors_avx512.h"

#define load_floats _mm512_loadu_ps
#define load_some_floats(p, count) _mm512_maskz_loadu_ps((__mmask16)((1u << (count)) - 1), p)
#define store_floats _mm512_storeu_ps

AF_INLINE __m512 load_bfloat16(const uint16_t *p) { return widen(_mm256_loadu_si256((const __m256i *)p)); }

AF_INLINE __m512 load_some_bfloat16(const uint16_t *p, int count) {
    return widen(_mm256_maskz_loadu_epi16((__mmask16)((1u << count) - 1), p));
}

AF_INLINE void store_bfloat16(uint16_t *p, __m512 x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __m512i kept = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
    const __mmask16 no_number = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(no_number, rounded, kept)));
}

#define half_packed __m256
#define half_packed_load(p) _mm256_loadu_ps((const float *)(p))
#define half_of _mm512_castps512_ps256
#define half_mac(s, w, b) _mm256_fmadd_ps(w, b, s)

#define ISA avx512
#include "both_elements.h"

const int af_avx512_built = 1;
#else
const af_functions af_avx512_float32, af_avx512_bfloat16;
const int af_avx512_built = 0;
#endif
