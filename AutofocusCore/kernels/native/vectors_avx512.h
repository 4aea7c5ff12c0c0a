/* Vectors of 16 floats and of 8: AVX-512 with F, BW, DQ and VL. */
#include <immintrin.h>

#include "bfloat16.h"

#define LANES 16
#define MAX_VECTORS 4
#define ROWS_1 10
#define ROWS_2 10
#define ROWS_3 8
#define ROWS_4 5

#define vec __m512
#define vec_zero _mm512_setzero_ps
#define vec_load _mm512_loadu_ps
#define vec_store _mm512_storeu_ps
#define vec_set _mm512_set1_ps
#define vec_add _mm512_add_ps
#define vec_mul _mm512_mul_ps
#define vec_max _mm512_max_ps
#define vec_fma _mm512_fmadd_ps
#define vec_sum _mm512_reduce_add_ps
#define vec_where_positive(y, x) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y, vec_zero(), _CMP_GT_OQ), x)

#define HALVES
#define half __m256
#define half_zero _mm256_setzero_ps
#define half_load _mm256_loadu_ps
#define half_store _mm256_storeu_ps

AF_INLINE __m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
