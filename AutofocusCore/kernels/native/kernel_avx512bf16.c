/* AVX-512 with BF16: products of pairs of bfloat16, summed in float32. */
#include "kernel.h"

#if defined(__AVX512BF16__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)

#include "vectors_avx512.h"

#define PAIRS
#define packed __m512bh
#define packed_load(p) ((__m512bh)_mm512_loadu_si512(p))
#define packed_spread(p) ((__m512bh)_mm512_set1_epi32(*(const int *)(p)))
#define mac(s, w, b) _mm512_dpbf16_ps(s, w, b)
#define half_packed __m256bh
#define half_packed_load(p) ((__m256bh)_mm256_loadu_si256((const __m256i *)(p)))
#define half_of(x) ((__m256bh)_mm512_castsi512_si256((__m512i)(x)))
#define half_mac(s, w, b) _mm256_dpbf16_ps(s, w, b)

#define element uint16_t
#define element_to_float bfloat16_to_float
#define elements_load(p) widen(_mm256_loadu_si256((const __m256i *)(p)))
#define elements_load_some(p, count) widen(_mm256_maskz_loadu_epi16((__mmask16)((1u << (count)) - 1), p))
#define elements_store(p, x) _mm256_storeu_si256((__m256i *)(p), (__m256i)_mm512_cvtneps_pbh(x))

#define FN(name) name##_avx512bf16
#define TABLE af_avx512bf16_bfloat16
#include "layer.h"

const int af_avx512bf16_built = 1;
#else
const af_functions af_avx512bf16_bfloat16;
const int af_avx512bf16_built = 0;
#endif
