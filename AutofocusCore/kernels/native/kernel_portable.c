/* Plain C, for every processor: vectors of four floats that a compiler turns into whatever it has. */
#include "kernel.h"

#include "bfloat16.h"

#define LANES 4
#define MAX_VECTORS 2
#define ROWS_1 6
#define ROWS_2 4
#define ROWS_3 1
#define ROWS_4 1

typedef struct {
    float x[4];
} four;

#define vec four
#define FOUR(expression)                                  \
    four r;                                               \
    for (int i = 0; i < 4; i++) r.x[i] = (expression);    \
    return r;

AF_INLINE four vec_zero(void) { FOUR(0.0f) }
AF_INLINE four vec_set(float value) { FOUR(value) }
AF_INLINE four vec_load(const float *p) { FOUR(p[i]) }
AF_INLINE four vec_add(four a, four b) { FOUR(a.x[i] + b.x[i]) }
AF_INLINE four vec_mul(four a, four b) { FOUR(a.x[i] * b.x[i]) }
AF_INLINE four vec_max(four a, four b) { FOUR(a.x[i] > b.x[i] || a.x[i] != a.x[i] ? a.x[i] : b.x[i]) }
AF_INLINE four vec_fma(four a, four b, four c) { FOUR(a.x[i] * b.x[i] + c.x[i]) }
AF_INLINE four vec_where_positive(four y, four a) { FOUR(y.x[i] > 0.0f ? a.x[i] : 0.0f) }
AF_INLINE float vec_sum(four a) { return (a.x[0] + a.x[1]) + (a.x[2] + a.x[3]); }
AF_INLINE void vec_store(float *p, four a) { memcpy(p, a.x, sizeof a.x); }

#define load_floats vec_load
#define store_floats vec_store
AF_INLINE four load_some_floats(const float *p, int count) { FOUR(i < count ? p[i] : 0.0f) }
AF_INLINE four load_bfloat16(const uint16_t *p) { FOUR(bfloat16_to_float(p[i])) }
AF_INLINE four load_some_bfloat16(const uint16_t *p, int count) { FOUR(i < count ? bfloat16_to_float(p[i]) : 0.0f) }
AF_INLINE void store_bfloat16(uint16_t *p, four a) {
    for (int i = 0; i < 4; i++) p[i] = bfloat16_of(a.x[i]);
}

#define ISA portable
#include "both_elements.h"
