"""NRRD's names of voxel types, and the numpy type of each, without byte order."""

from __future__ import annotations

SYNONYMS = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "f4": ("float",),
    "f8": ("double",),
}
TYPES = {word: kind for kind, words in SYNONYMS.items() for word in words}
TYPES |= dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8")
TYPES |= dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8")
TYPES |= {"signed long long int": "i8", "unsigned long": "u8"}
