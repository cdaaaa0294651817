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

// out[m, heads * width] = softmax attention of row i over rows first_visible[i] to i. A block takes 32 rows of a head
// (blockIdx.y), each of its 8 warps 4 of them; keys and values go by in tiles of 32, a key a lane, then a column a lane.
// Tiles start at multiples of 32 rows, so that a row's result does not depend on the block that it falls into.
extern "C" __global__ void __launch_bounds__(256) attention(const float* qkv, int stride, int n_heads, int n_kv_heads, int width, float scale,
                                                            const int* first_visible, float* out, int m) {
    extern __shared__ float memory[];
    const int pitch = width + 1, warp = threadIdx.x >> 5, lane = threadIdx.x & 31, head = blockIdx.y, row0 = blockIdx.x * 32;
    float *keys = memory, *values = keys + 32 * pitch, *queries = values + 32 * pitch;
    const float* q = qkv + head * width;
    const float* k = qkv + (n_heads + head / (n_heads / n_kv_heads)) * width;
    const float* v = k + n_kv_heads * width;
    for (int i = threadIdx.x; i < 32 * width; i += 256) queries[i] = q[(i64)(row0 + i / width) * stride + i % width] * scale;
    const int row = row0 + warp * 4;
    float largest[4], total[4] = {}, sums[4][8] = {};
    int first[4];
#pragma unroll
    for (int r = 0; r < 4; r++) largest[r] = -1e30f, first[r] = first_visible[row + r];
    for (int tile = first_visible[row0] & ~31; tile < row0 + 32; tile += 32) {
        __syncthreads();
        for (int i = threadIdx.x; i < 32 * width; i += 256) {
            const i64 at = (i64)(tile + i / width) * stride + i % width;
            keys[i / width * pitch + i % width] = k[at];
            values[i / width * pitch + i % width] = v[at];
        }
        __syncthreads();
        float weights[4] = {};
        for (int c = 0; c < width; c++) {
            const float key = keys[lane * pitch + c];
#pragma unroll
            for (int r = 0; r < 4; r++) weights[r] = fmaf(queries[(warp * 4 + r) * width + c], key, weights[r]);
        }
#pragma unroll
        for (int r = 0; r < 4; r++) {
            const bool is_seen = tile + lane >= first[r] && tile + lane <= row + r;
            const float score = is_seen ? weights[r] : -INFINITY, above = fmaxf(largest[r], max_of_warp(score));
            const float correction = expf(largest[r] - above);
            weights[r] = expf(score - above);
            largest[r] = above;
            total[r] = total[r] * correction + sum_of_warp(weights[r]);
#pragma unroll
            for (int i = 0; i < 8; i++) sums[r][i] *= correction;
        }
        for (int j = 0; j < 32; j++) {
            float weight[4];
#pragma unroll
            for (int r = 0; r < 4; r++) weight[r] = __shfl_sync(FULL_WARP, weights[r], j);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                if (lane + 32 * i < width) {
                    const float value = values[j * pitch + lane + 32 * i];
#pragma unroll
                    for (int r = 0; r < 4; r++) sums[r][i] = fmaf(weight[r], value, sums[r][i]);
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int c = lane + 32 * i;
            if (c < width) out[((i64)(row + r) * n_heads + head) * width + c] = sums[r][i] / total[r];
        }
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
