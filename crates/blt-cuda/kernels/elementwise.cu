// What is done to each row, or each number, alone. One warp a row where nothing else is said.

// A piece of a document in the step: first rows for the keys and values kept from before, then one row a token.
struct Segment {
    // Keys and values kept: [layers, window - 1, kv_width].
    Element* kept;
    // Its first row, how many rows are kept ones, and how many rows there are.
    int row, n_kept, n_rows;
};

__device__ __forceinline__ i64 row_of_warp() { return ((i64)blockIdx.x * blockDim.x + threadIdx.x) >> 5; }

// x[m, d] = table[token]; with the parts of the rows' sums of squares, if asked for.
extern "C" __global__ void embed(const u16* tokens, const Element* table, Element* x, float* parts, int n_parts, int d, int m) {
    const i64 row = row_of_warp();
    const int lane = threadIdx.x & 31;
    if (row >= m) return;
    const Element* from = table + (i64)tokens[row] * d;
    float sum = 0.f;
    for (int c = lane; c < d; c += 32) {
        const float value = widen(from[c]);
        x[row * d + c] = from[c];
        sum += value * value;
    }
    if (parts) {
        sum = sum_of_warp(sum);
        for (int i = lane; i < n_parts; i += 32) parts[row * n_parts + i] = i ? 0.f : sum;
    }
}

// angles[m, half] = (cos, sin) of the position's angles: from the table where it reaches, else computed in float64.
extern "C" __global__ void fill_angles(const i64* positions, const float2* table, i64 n_table, const double* frequencies,
                                       float2* angles, int half, int m) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (i64)m * half) return;
    const i64 position = positions[at / half];
    const int i = at % half;
    if (position < n_table) {
        angles[at] = table[position * half + i];
    } else {
        double sine, cosine;
        sincos((double)position * frequencies[i], &sine, &cosine);
        angles[at] = make_float2((float)cosine, (float)sine);
    }
}

// Entropy in nats of softmax(logits[m, 0..n]); rows are `stride` apart.
extern "C" __global__ void entropy(const float* logits, int stride, int n, float* out, int m) {
    const i64 row = row_of_warp();
    const int lane = threadIdx.x & 31;
    if (row >= m) return;
    const float* scores = logits + row * stride;
    float largest = -INFINITY;
    for (int i = lane; i < n; i += 32) largest = fmaxf(largest, scores[i]);
    largest = max_of_warp(largest);
    float total = 0.f, weighted = 0.f;
    for (int i = lane; i < n; i += 32) {
        const float score = scores[i] - largest, weight = expf(score);
        total += weight;
        weighted += weight > 0.f ? weight * score : 0.f;
    }
    total = sum_of_warp(total);
    weighted = sum_of_warp(weighted);
    // What is no number stays none.
    const float nats = logf(total) - weighted / total;
    if (lane == 0) out[row] = nats < 0.f ? 0.f : nats;
}

// L2 norms of the rows of x[m, d].
extern "C" __global__ void norms(const Element* x, int d, float* out, int m) {
    const i64 row = row_of_warp();
    const int lane = threadIdx.x & 31;
    if (row >= m) return;
    float sum = 0.f;
    for (int c = lane; c < d; c += 32) {
        const float value = widen(x[row * d + c]);
        sum += value * value;
    }
    sum = sum_of_warp(sum);
    if (lane == 0) out[row] = sqrtf(sum);
}

// Rows of a segment that are kept ones get their keys and values: blockIdx.y is the segment.
extern "C" __global__ void restore_kept(const Segment* segments, Element* qkv, int stride, int kv_at, int kv_width, i64 layer_at) {
    const Segment segment = segments[blockIdx.y];
    const int row = blockIdx.x;
    if (row >= segment.n_kept) return;
    const Element* from = segment.kept + layer_at + (i64)row * kv_width;
    Element* to = qkv + (i64)(segment.row + row) * stride + kv_at;
    for (int c = threadIdx.x; c < kv_width; c += blockDim.x) to[c] = from[c];
}

// The last rows of a segment, at most `window - 1`, are kept for its next piece.
extern "C" __global__ void save_kept(const Segment* segments, const Element* qkv, int stride, int kv_at, int kv_width, i64 layer_at,
                                     int window) {
    const Segment segment = segments[blockIdx.y];
    const int n = min(window - 1, segment.n_rows), row = blockIdx.x;
    if (row >= n || !segment.kept) return;
    const Element* from = qkv + (i64)(segment.row + segment.n_rows - n + row) * stride + kv_at;
    Element* to = segment.kept + layer_at + (i64)row * kv_width;
    for (int c = threadIdx.x; c < kv_width; c += blockDim.x) to[c] = from[c];
}

// out[n, width] = the first `width` columns of x[n, stride] in float32.
extern "C" __global__ void widen_rows(const Element* x, int stride, int width, float* out, i64 n) {
    const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < n * width) out[at] = widen(x[at / width * stride + at % width]);
}

// sums[i, width] of the rows ends[i - 1] to ends[i] of x[., stride], the first from row 0. One block a range.
extern "C" __global__ void sum_ranges(const Element* x, int stride, int width, const u32* ends, double* sums) {
    const u32 first = blockIdx.x ? ends[blockIdx.x - 1] : 0, end = ends[blockIdx.x];
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        double sum = 0.0;
        for (u32 row = first; row < end; row++) sum += (double)widen(x[(i64)row * stride + c]);
        sums[(i64)blockIdx.x * width + c] = sum;
    }
}
