/* Which instruction sets were built in and which of them this processor has; and the functions that Python calls. */
#include <string.h>

#include "kernel.h"

#if defined(__x86_64__) || defined(_M_X64)
#define X86 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#else
#define X86 0
#endif

extern const int af_avx2_built, af_avx512_built, af_avx512bf16_built, af_neon_built;

/* Best first; the order of the numbers by which the functions below are called. */
typedef struct {
    const char *name;
    const af_functions *float32, *bfloat16;
} af_set;

static const af_set SETS[] = {
    {"avx512-bf16", &af_avx512_float32, &af_avx512bf16_bfloat16},
    {"avx512", &af_avx512_float32, &af_avx512_bfloat16},
    {"avx2", &af_avx2_float32, &af_avx2_bfloat16},
    {"neon", &af_neon_float32, &af_neon_bfloat16},
    {"portable", &af_portable_float32, &af_portable_bfloat16},
};

#if X86
/* Registers a, b, c, d of a leaf of CPUID, zeros where the processor has no such leaf. */
static void cpuid(uint32_t leaf, uint32_t part, uint32_t r[4]) {
#if defined(_MSC_VER)
    int most[4], found[4] = {0};
    __cpuid(most, 0);
    if ((uint32_t)most[0] >= leaf) __cpuidex(found, (int)leaf, (int)part);
    for (int i = 0; i < 4; i++) r[i] = (uint32_t)found[i];
#else
    if (!__get_cpuid_count(leaf, part, &r[0], &r[1], &r[2], &r[3])) r[0] = r[1] = r[2] = r[3] = 0;
#endif
}

/* The registers that the operating system keeps for a process: bits 1, 2 for AVX; 5, 6, 7 too for AVX-512. */
static uint64_t kept_registers(void) {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
#endif
}

static int bit(uint32_t value, int place) { return value >> place & 1; }

static int processor_has(const char *name) {
    uint32_t one[4], seven[4], more[4];
    cpuid(1, 0, one);
    cpuid(7, 0, seven);
    cpuid(7, 1, more);
    if (!strcmp(name, "portable")) return 1;
    if (!bit(one[2], 27)) return 0; /* OSXSAVE */
    const uint64_t kept = kept_registers();
    const int avx2 = (kept & 6) == 6 && bit(one[2], 12) && bit(one[2], 28) && bit(seven[1], 5);
    const int avx512 = avx2 && (kept & 0xe6) == 0xe6 && bit(seven[1], 16) && bit(seven[1], 17) && bit(seven[1], 30) &&
                       bit(seven[1], 31); /* F, DQ, BW, VL */
    if (!strcmp(name, "avx2")) return avx2;
    if (!strcmp(name, "avx512")) return avx512;
    if (!strcmp(name, "avx512-bf16")) return avx512 && bit(more[0], 5);
    return 0;
}
#else
static int processor_has(const char *name) { return !strcmp(name, "neon") || !strcmp(name, "portable"); }
#endif

static int built(const char *name) {
    if (!strcmp(name, "avx512-bf16")) return af_avx512bf16_built && af_avx512_built;
    if (!strcmp(name, "avx512")) return af_avx512_built;
    if (!strcmp(name, "avx2")) return af_avx2_built;
    if (!strcmp(name, "neon")) return af_neon_built;
    return 1;
}

AF_EXPORT int32_t af_abi(void) { return AF_ABI; }

AF_EXPORT int32_t af_sets(void) { return (int32_t)(sizeof SETS / sizeof SETS[0]); }

AF_EXPORT const char *af_name(int32_t set) { return SETS[set].name; }

AF_EXPORT int32_t af_usable(int32_t set) { return built(SETS[set].name) && processor_has(SETS[set].name); }

static const af_functions *functions(int32_t set, int32_t bfloat16) {
    return bfloat16 ? SETS[set].bfloat16 : SETS[set].float32;
}

AF_EXPORT int64_t af_packed_units(int32_t set, int32_t bfloat16, int32_t channels, int32_t outputs) {
    return functions(set, bfloat16)->packed_units(channels, outputs);
}

AF_EXPORT void af_pack(int32_t set, int32_t bfloat16, const float *weight, int32_t channels, int32_t outputs,
                       int32_t blended, uint32_t *packed) {
    functions(set, bfloat16)->pack(weight, channels, outputs, blended, packed);
}

AF_EXPORT int32_t af_product(int32_t set, int32_t bfloat16, const af_layer *layer, int64_t first, int64_t last) {
    return functions(set, bfloat16)->product(layer, first, last);
}

AF_EXPORT int32_t af_weight_columns(int32_t set, int32_t bfloat16, int32_t outputs) {
    return functions(set, bfloat16)->weight_columns(outputs);
}

AF_EXPORT int32_t af_weight_rows(int32_t set, int32_t bfloat16, int32_t channels, int32_t outputs) {
    return functions(set, bfloat16)->weight_rows(channels, outputs);
}

AF_EXPORT void af_weight_order(int32_t set, int32_t bfloat16, int32_t channels, int32_t blended, int32_t *rows) {
    functions(set, bfloat16)->weight_order(channels, blended, rows);
}

AF_EXPORT int32_t af_gradients(int32_t set, int32_t bfloat16, const af_layer *layer, int64_t first, int64_t last,
                               float *sum, float *of_attention) {
    return functions(set, bfloat16)->gradients(layer, first, last, sum, of_attention);
}

AF_EXPORT int32_t af_sums(int32_t set, int32_t bfloat16, const af_rows *rows, int64_t first, int64_t last, double *sum) {
    functions(set, bfloat16)->sums(rows, first, last, sum);
    return 0;
}

AF_EXPORT int32_t af_apply(int32_t set, int32_t bfloat16, const af_rows *rows, int64_t first, int64_t last) {
    functions(set, bfloat16)->apply(rows, first, last);
    return 0;
}

AF_EXPORT int32_t af_attend(int32_t set, int32_t bfloat16, const af_rows *rows, int64_t first, int64_t last) {
    functions(set, bfloat16)->attend(rows, first, last);
    return 0;
}

AF_EXPORT int32_t af_attend_gradients(int32_t set, int32_t bfloat16, const af_rows *rows, int64_t first, int64_t last,
                                      double *sum) {
    return functions(set, bfloat16)->attend_gradients(rows, first, last, sum);
}
