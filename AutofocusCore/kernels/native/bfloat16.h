/* One bfloat16 at a time: the upper half of a float, rounded to the nearest, ties to even. */
#ifndef AUTOFOCUS_BFLOAT16_H
#define AUTOFOCUS_BFLOAT16_H

#include <string.h>

#include "kernel.h"

AF_INLINE float bfloat16_to_float(uint16_t value) {
    const uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

AF_INLINE uint16_t bfloat16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40); /* "not a number" stays it */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
