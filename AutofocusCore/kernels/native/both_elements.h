/* The layer's functions for float and for bfloat16 elements, both with floats as units: for an instruction set that has
 * defined its vectors of floats, and load_floats, load_some_floats, store_floats, load_bfloat16, load_some_bfloat16 and
 * store_bfloat16. ISA is its name. */
#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)

#define packed vec
#define packed_load(p) vec_load((const float *)(p))
#define packed_spread(p) vec_set(*(const float *)(p))
#define mac(s, w, b) vec_fma(w, b, s)

#define element float
#define element_to_float(x) (x)
#define elements_load load_floats
#define elements_load_some load_some_floats
#define elements_store store_floats
#define FN(name) JOIN(name, ISA, float32)
#define TABLE JOIN(af, ISA, float32)
#include "layer.h"
#undef element
#undef element_to_float
#undef elements_load
#undef elements_load_some
#undef elements_store
#undef FN
#undef TABLE

#define element uint16_t
#define element_to_float bfloat16_to_float
#define elements_load load_bfloat16
#define elements_load_some load_some_bfloat16
#define elements_store store_bfloat16
#define FN(name) JOIN(name, ISA, bfloat16)
#define TABLE JOIN(af, ISA, bfloat16)
#include "layer.h"
