// The model in float32, kernel by kernel as the formulas read. The fast paths are compared with this one.

// h[m, d] = x / rms(x) * gamma.
extern "C" __global__ void rms_norm(const float* x, const float* gamma, float* h, int d, float n_columns, float eps, int m) {
    const i64 row = row_of_warp();
    const int lane = threadIdx.x & 31;
    if (row >= m) return;
    float sum = 0.f;
    for (int c = lane; c < d; c += 32) sum += x[row * d + c] * x[row * d + c];
    const float scale = rsqrtf(sum_of_warp(sum) / n_columns + eps);
    for (int c = lane; c < d; c += 32) h[row * d + c] = x[row * d + c] * scale * gamma[c];
}

// c[m, n] = a[m, k] * w[n, k]^T, or c += that. Whole tiles of rows are computed; k is a multiple of 8.
extern "C" __global__ void __launch_bounds__(256) gemm(const float* a, const float* w, float* c, int n, int k, int accumulate) {
    __shared__ float as[2][8][128 + 4], ws[2][8][128 + 4];
    const int tid = threadIdx.x, column0 = blockIdx.x * 128;
    const i64 row0 = (i64)blockIdx.y * 128;
    const int load_row = tid >> 1, load_k = (tid & 1) * 4;
    const float* a_from = a + (row0 + load_row) * k + load_k;
    const bool has_column = column0 + load_row < n;
    const float* w_from = w + (i64)(has_column ? column0 + load_row : 0) * k + load_k;
    const float4 zero = make_float4(0.f, 0.f, 0.f, 0.f);
    const int ty = tid / 16 * 4, tx = tid % 16 * 4;
    float sums[8][8] = {};
    float4 next_a = *(const float4*)a_from, next_w = has_column ? *(const float4*)w_from : zero;
    for (int k0 = 0, buffer = 0; k0 < k; k0 += 8, buffer ^= 1) {
        float* to_a = &as[buffer][load_k][load_row];
        float* to_w = &ws[buffer][load_k][load_row];
        to_a[0] = next_a.x, to_a[132] = next_a.y, to_a[264] = next_a.z, to_a[396] = next_a.w;
        to_w[0] = next_w.x, to_w[132] = next_w.y, to_w[264] = next_w.z, to_w[396] = next_w.w;
        __syncthreads();
        if (k0 + 8 < k) {
            next_a = *(const float4*)(a_from + k0 + 8);
            next_w = has_column ? *(const float4*)(w_from + k0 + 8) : zero;
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float4 a0 = *(const float4*)&as[buffer][i][ty], a1 = *(const float4*)&as[buffer][i][ty + 64];
            const float4 w0 = *(const float4*)&ws[buffer][i][tx], w1 = *(const float4*)&ws[buffer][i][tx + 64];
            const float left[8] = {a0.x, a0.y, a0.z, a0.w, a1.x, a1.y, a1.z, a1.w};
            const float right[8] = {w0.x, w0.y, w0.z, w0.w, w1.x, w1.y, w1.z, w1.w};
#pragma unroll
            for (int y = 0; y < 8; y++)
#pragma unroll
                for (int x = 0; x < 8; x++) sums[y][x] = fmaf(left[y], right[x], sums[y][x]);
        }
    }
#pragma unroll
    for (int y = 0; y < 8; y++) {
        float* to = c + (row0 + ty + y % 4 + y / 4 * 64) * n + column0;
#pragma unroll
        for (int x = 0; x < 8; x++) {
            const int column = tx + x % 4 + x / 4 * 64;
            if (column0 + column < n) to[column] = accumulate ? to[column] + sums[y][x] : sums[y][x];
        }
    }
}

// Turns each pair of the first `n_rotated` columns of qkv by its row's angle.
extern "C" __global__ void rotate(float* qkv, int stride, int n_rotated, const float2* angles, int half, int m) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    const int n_pairs = n_rotated / 2;
    if (at >= (i64)m * n_pairs) return;
    const i64 row = at / n_pairs;
    const int pair = at % n_pairs;
    float2* x = (float2*)(qkv + row * stride) + pair;
    const float2 angle = angles[row * half + pair % half], value = *x;
    *x = make_float2(value.x * angle.x - value.y * angle.y, value.x * angle.y + value.y * angle.x);
}

// out[m, heads * width] = softmax attention of row i over rows first_visible[i] to i. One warp a row and head (blockIdx.y).
extern "C" __global__ void attention(const float* qkv, int stride, int n_heads, int n_kv_heads, int width, float scale,
                                     const int* first_visible, float* out, int m) {
    const i64 row = row_of_warp();
    const int lane = threadIdx.x & 31, head = blockIdx.y;
    if (row >= m) return;
    const float* q = qkv + row * stride + head * width;
    const float* keys = qkv + (n_heads + head / (n_heads / n_kv_heads)) * width;
    const float* values = keys + n_kv_heads * width;
    float largest = -INFINITY, total = 0.f;
    float sums[8] = {};
    for (i64 first = first_visible[row]; first <= row; first += 32) {
        const i64 key = first + lane;
        float score = -INFINITY;
        if (key <= row) {
            score = 0.f;
            for (int c = 0; c < width; c++) score = fmaf(q[c], keys[key * stride + c], score);
            score *= scale;
        }
        const float above = fmaxf(largest, max_of_warp(score));
        const float correction = expf(largest - above), weight = expf(score - above);
        largest = above;
        total = total * correction + sum_of_warp(weight);
#pragma unroll
        for (int i = 0; i < 8; i++) sums[i] *= correction;
        const int n = min((i64)32, row - first + 1);
        for (int j = 0; j < n; j++) {
            const float w = __shfl_sync(FULL_WARP, weight, j);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const int c = lane + 32 * i;
                if (c < width) sums[i] = fmaf(w, values[(first + j) * stride + c], sums[i]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int c = lane + 32 * i;
        if (c < width) out[(row * n_heads + head) * width + c] = sums[i] / total;
    }
}

// h[m, f] = silu(gate) * up, where gu[m, 2 f] holds gates, then ups.
extern "C" __global__ void swiglu(const float* gu, float* h, int f, int m) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (i64)m * f) return;
    const i64 row = at / f;
    const int c = at % f;
    const float gate = gu[row * 2 * f + c], up = gu[row * 2 * f + f + c];
    h[at] = gate / (1.f + expf(-gate)) * up;
}
