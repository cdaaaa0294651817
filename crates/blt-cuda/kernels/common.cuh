// What all kernels share: types, and the number type of activations.
//
// ELEMENT_F32, ELEMENT_BF16 or ELEMENT_F16 says which. Letters in comments: m rows of a step, d model width, f feed-forward
// width, all of them as the buffers have them, filled up with zeros.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define FULL_WARP 0xffffffffu
#define INFINITY __int_as_float(0x7f800000)

#ifdef ELEMENT_F32
typedef float Element;
__device__ __forceinline__ float widen(Element x) { return x; }
__device__ __forceinline__ Element narrow(float x) { return x; }
#else
typedef u16 Element;
#ifdef ELEMENT_BF16
__device__ __forceinline__ float widen(Element x) { return __int_as_float((u32)x << 16); }
// Two numbers, the first in the low half.
__device__ __forceinline__ u32 pack(float low, float high) {
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}
__device__ __forceinline__ float2 unpack(u32 both) {
    return make_float2(__int_as_float(both << 16), __int_as_float(both & 0xffff0000u));
}
#else
__device__ __forceinline__ float widen(Element x) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x));
    return wide;
}
__device__ __forceinline__ u32 pack(float low, float high) {
    u32 both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}
__device__ __forceinline__ float2 unpack(u32 both) {
    return make_float2(widen((u16)both), widen((u16)(both >> 16)));
}
#endif
__device__ __forceinline__ Element narrow(float x) { return (Element)pack(x, 0.f); }
#endif

__device__ __forceinline__ float sum_of_warp(float x) {
#pragma unroll
    for (int step = 16; step; step >>= 1) x += __shfl_xor_sync(FULL_WARP, x, step);
    return x;
}

__device__ __forceinline__ float max_of_warp(float x) {
#pragma unroll
    for (int step = 16; step; step >>= 1) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, step));
    return x;
}

// Sums of squares of a row come in parts, one for each group of columns that one thread block wrote.
__device__ __forceinline__ float sum_of_parts(const float* parts, int n_parts, i64 row) {
    float sum = 0.f;
    for (int i = 0; i < n_parts; i++) sum += parts[row * n_parts + i];
    return sum;
}
