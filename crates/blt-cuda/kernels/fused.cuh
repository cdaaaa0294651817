// What the tensor-core products do with their results before they leave the registers.
//
// The results of a warp's 16 rows lie as mma.sync and wgmma leave them: of each 8 columns a thread holds columns
// 2 * (lane % 4) and the next one, in rows lane / 4 (numbers 0 and 1) and lane / 4 + 8 (numbers 2 and 3).
//
// RMSNorm is split: its weights are folded into the next matrix, the row's factor is applied to that matrix' result. The sum
// of squares behind the factor is gathered where the residual stream is written, in parts, so that it is the same each time.

struct Product {
    // Whole tiles of rows, columns of the result, depth; the last two in elements.
    int m_tiles, n, k;
    // The rows' sums of squares in parts, to scale by 1 / rms; on Hopper a multiple of 4. Null to leave the rows as they are.
    const float* parts;
    int n_parts;
    float n_columns, eps;
    // Queries and keys: angles[m, half], and which columns are turned; columns below `n_queries` are also scaled.
    const float2* angles;
    int half, n_rotated, n_queries;
    float query_scale;
    // Residual stream, added to and replaced; where the parts of the new sums of squares go.
    Element* residual;
    float* new_parts;
    int n_new_parts;
    // Logits in float32, [m, n_logits].
    float* logits;
    int n_logits;
};

enum Epilogue { QKV, SWIGLU, RESIDUAL, LOGITS };

__device__ __forceinline__ float row_scale(const Product& p, i64 row) {
    return p.parts ? rsqrtf(sum_of_parts(p.parts, p.n_parts, row) / p.n_columns + p.eps) : 1.f;
}

// A pair of queries, keys or values. `width` is that of a head, in pairs `half`.
__device__ __forceinline__ u32 finish_qkv(const Product& p, float x, float y, float scale, i64 row, int column) {
    x *= scale, y *= scale;
    if (column < p.n_rotated) {
        const float2 angle = __ldg(p.angles + row * p.half + column / 2 % p.half);
        const float turned = x * angle.x - y * angle.y;
        y = x * angle.y + y * angle.x, x = turned;
        if (column < p.n_queries) x *= p.query_scale, y *= p.query_scale;
    }
    return pack(x, y);
}

// silu(gate) * up.
__device__ __forceinline__ float finish_swiglu(float gate, float up, float scale) {
    gate *= scale, up *= scale;
    return __fdividef(gate, 1.f + __expf(-gate)) * up;
}

__device__ __forceinline__ void store_logits(const Product& p, float x, float y, float scale, i64 row, int column) {
    if (column < p.n_logits) *(float2*)(p.logits + row * p.n_logits + column) = make_float2(x * scale, y * scale);
}

__device__ __forceinline__ float sum_of_quad(float x) {
    x += __shfl_xor_sync(FULL_WARP, x, 1);
    return x + __shfl_xor_sync(FULL_WARP, x, 2);
}

__device__ __forceinline__ float max_of_quad(float x) {
    x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 1));
    return fmaxf(x, __shfl_xor_sync(FULL_WARP, x, 2));
}

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ u32 shared_address(const void* pointer) { return (u32)__cvta_generic_to_shared(pointer); }

// One thread's part of the softmax of 16 queries over the keys so far; scores are exponents of 2.
struct Softmax {
    float largest[2], total[2];

    __device__ __forceinline__ void start() {
        largest[0] = largest[1] = -1e30f;
        total[0] = total[1] = 0.f;
    }

    // Scores of 8 * N more keys become weights; what was summed before is to be multiplied with `corrections`.
    template <int N>
    __device__ __forceinline__ void weigh(float (&scores)[4 * N], float (&corrections)[2]) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float above = largest[half];
#pragma unroll
            for (int n = 0; n < N; n++) above = fmaxf(above, fmaxf(scores[4 * n + 2 * half], scores[4 * n + 2 * half + 1]));
            above = max_of_quad(above);
            corrections[half] = exp2_fast(largest[half] - above);
            largest[half] = above;
            float sum = 0.f;
#pragma unroll
            for (int n = 0; n < N; n++) {
#pragma unroll
                for (int i = 4 * n + 2 * half; i < 4 * n + 2 * half + 2; i++) {
                    scores[i] = exp2_fast(scores[i] - above);
                    sum += scores[i];
                }
            }
            total[half] = total[half] * corrections[half] + sum;
        }
    }

    // Applies the corrections to sums of 8 * W columns, if any row of the warp has one.
    template <int W>
    __device__ __forceinline__ void scale(float (&sums)[4 * W], const float (&corrections)[2]) const {
        if (__all_sync(FULL_WARP, corrections[0] == 1.f && corrections[1] == 1.f)) return;
#pragma unroll
        for (int i = 0; i < 4 * W; i++) sums[i] *= corrections[i / 2 % 2];
    }

    // What the sums are to be multiplied with at the end.
    __device__ __forceinline__ float factor(int half) const { return 1.f / sum_of_quad(total[half]); }
};

// Scores of keys that a query does not see become minus infinity. The thread's rows are `row` and `row + 8`.
template <int N>
__device__ __forceinline__ void mask(float (&scores)[4 * N], int first_key, int row, int from_low, int from_high) {
    const int column = first_key + 2 * (threadIdx.x & 3);
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int key = column + 8 * n + (i & 1);
            const bool is_seen = i < 2 ? key >= from_low && key <= row : key >= from_high && key <= row + 8;
            if (!is_seen) scores[4 * n + i] = -INFINITY;
        }
    }
}
