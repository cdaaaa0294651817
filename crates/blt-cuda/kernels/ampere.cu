// Products and attention on the tensor cores of every card since compute capability 8.0, by mma.sync.

#ifdef ELEMENT_BF16
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif

__device__ __forceinline__ void mma(float* d, const u32* a, u32 b0, u32 b1) {
    asm volatile(MMA " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void load_matrices(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

__device__ __forceinline__ void load_matrices_transposed(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

__device__ __forceinline__ void copy_async(u32 to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from));
}

__device__ __forceinline__ void close_copies() { asm volatile("cp.async.commit_group;"); }

template <int N>
__device__ __forceinline__ void wait_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(N)); }

// Rows of 32 elements, 64 bytes: place of the 16 bytes `chunk` of `row`, so that 8 rows fall into different banks.
__device__ __forceinline__ u32 place64(int row, int chunk) { return row * 64 + ((chunk ^ (row >> 1 & 3)) << 4); }

const int STAGES = 4;

// A tile of 128 x 128 results, 8 warps of 64 x 32. `w` has whole tiles of columns.
template <Epilogue EPILOGUE>
__device__ __forceinline__ void product(const Element* a, const Element* w, Element* out, int out_stride, const Product& p) {
    extern __shared__ __align__(128) u8 memory[];
    const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31;
    const i64 row0 = (i64)blockIdx.y * 128;
    const int column0 = blockIdx.x * 128, warp_row = warp / 4 * 64, warp_column = warp % 4 * 32;
    const u32 base = shared_address(memory);
    auto load = [&](int step) {
        if (step * 32 < p.k) {
            const u32 stage = base + step % STAGES * 16384;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int row = tid / 4 + i * 64, chunk = tid % 4;
                copy_async(stage + place64(row, chunk), a + (row0 + row) * p.k + step * 32 + chunk * 8);
                copy_async(stage + 8192 + place64(row, chunk), w + (i64)(column0 + row) * p.k + step * 32 + chunk * 8);
            }
        }
        close_copies();
    };
    float sums[4][16] = {};
#pragma unroll
    for (int step = 0; step < STAGES - 1; step++) load(step);
    for (int step = 0; step * 32 < p.k; step++) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        load(step + STAGES - 1);
        const u32 stage = base + step % STAGES * 16384;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 left[4][4], right[2][4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                load_matrices(left[i], stage + place64(warp_row + i * 16 + (lane & 15), half * 2 + (lane >> 4)));
#pragma unroll
            for (int i = 0; i < 2; i++)
                load_matrices(right[i], stage + 8192 + place64(warp_column + i * 16 + (lane >> 4) * 8 + (lane & 7), half * 2 + (lane >> 3 & 1)));
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) mma(&sums[i][4 * j], left[i], right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const i64 row = row0 + warp_row + i * 16 + half * 8 + lane / 4;
            const float scale = row_scale(p, row);
            float squares = 0.f;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float x = sums[i][4 * j + 2 * half], y = sums[i][4 * j + 2 * half + 1];
                const int column = column0 + warp_column + j * 8 + lane % 4 * 2;
                if (EPILOGUE == QKV && column < p.n) {
                    *(u32*)(out + row * out_stride + column) = finish_qkv(p, x, y, scale, row, column);
                }
                if (EPILOGUE == SWIGLU && j % 2 == 0 && column < p.n) {
                    const float u = sums[i][4 * j + 4 + 2 * half], v = sums[i][4 * j + 5 + 2 * half];
                    const int to = (column0 + warp_column) / 2 + j / 2 * 8 + lane % 4 * 2;
                    *(u32*)(out + row * out_stride + to) = pack(finish_swiglu(x, y, scale), finish_swiglu(u, v, scale));
                }
                if (EPILOGUE == RESIDUAL && column < p.n) {
                    u32* at = (u32*)(p.residual + row * p.n + column);
                    const float2 before = unpack(*at);
                    const u32 packed = pack(before.x + x, before.y + y);
                    const float2 after = unpack(packed);
                    *at = packed;
                    squares += after.x * after.x + after.y * after.y;
                }
                if (EPILOGUE == LOGITS) store_logits(p, x, y, scale, row, column);
            }
            if (EPILOGUE == RESIDUAL) {
                squares = sum_of_quad(squares);
                const int part = (column0 + warp_column) / 32;
                if (lane % 4 == 0 && part < p.n_new_parts) p.new_parts[row * p.n_new_parts + part] = squares;
            }
        }
    }
}

#define PRODUCT(name, EPILOGUE)                                                                                             \
    extern "C" __global__ void __launch_bounds__(256)                                                                      \
        name(const Element* a, const Element* w, Element* out, int out_stride, Product p) {                                 \
        product<EPILOGUE>(a, w, out, out_stride, p);                                                                        \
    }
PRODUCT(ampere_qkv, QKV)
PRODUCT(ampere_swiglu, SWIGLU)
PRODUCT(ampere_residual, RESIDUAL)
PRODUCT(ampere_logits, LOGITS)

// Attention of 64 rows of one head (blockIdx.x) over the rows they see: 4 warps of 16 rows, tiles of 64 keys. Queries come
// scaled. Tiles start at multiples of 64 rows, so that a row's result does not depend on the block that it falls into.
template <int WIDTH>
__device__ __forceinline__ void attend(const Element* qkv, int stride, int n_heads, int n_kv_heads, const int* first_visible,
                                       Element* out, int m) {
    extern __shared__ __align__(128) u8 memory[];
    const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31, head = blockIdx.x, row0 = blockIdx.y * 64;
    const int kv_head = head / (n_heads / n_kv_heads), row_bytes = WIDTH * 2;
    const Element* keys = qkv + (n_heads + kv_head) * WIDTH;
    const Element* values = keys + n_kv_heads * WIDTH;
    const u32 base = shared_address(memory);
    // Rows of WIDTH elements: place of the 16 bytes `chunk` of `row`.
    auto place = [&](int row, int chunk) { return (u32)(row * row_bytes + ((chunk ^ (row & 7)) << 4)); };
    const int from = first_visible[row0] & ~63, n_tiles = (row0 + 64 - from) / 64;
    auto load = [&](int tile) {
        if (tile < n_tiles) {
            const u32 stage = base + tile % 2 * 128 * row_bytes;
#pragma unroll
            for (int i = 0; i < WIDTH / 16; i++) {
                const int at = tid + i * 128, row = at / (WIDTH / 8), chunk = at % (WIDTH / 8);
                const i64 key = from + tile * 64 + row;
                copy_async(stage + place(row, chunk), keys + key * stride + chunk * 8);
                copy_async(stage + 64 * row_bytes + place(row, chunk), values + key * stride + chunk * 8);
            }
        }
        close_copies();
    };
    load(0);
    const int row = row0 + warp * 16 + lane / 4;
    u32 queries[WIDTH / 16][4];
#pragma unroll
    for (int k = 0; k < WIDTH / 16; k++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const Element* at = qkv + (i64)(row + (i & 1) * 8) * stride + head * WIDTH + k * 16 + (i >> 1) * 8 + lane % 4 * 2;
            queries[k][i] = *(const u32*)at;
        }
    }
    const int from_low = first_visible[row], from_high = first_visible[row + 8];
    const int first_of_warp = first_visible[row0 + warp * 16], last_of_warp = first_visible[row0 + warp * 16 + 15];
    Softmax softmax;
    softmax.start();
    float sums[WIDTH / 2] = {};
    for (int tile = 0; tile < n_tiles; tile++) {
        load(tile + 1);
        wait_copies<1>();
        __syncthreads();
        const int first_key = from + tile * 64, first_row = row0 + warp * 16;
        if (first_key + 63 >= first_of_warp && first_key <= first_row + 15) {
            const u32 stage = base + tile % 2 * 128 * row_bytes;
            float scores[32] = {};
#pragma unroll
            for (int k = 0; k < WIDTH / 16; k++) {
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    u32 right[4];
                    load_matrices(right, stage + place(n * 16 + (lane >> 4) * 8 + (lane & 7), k * 2 + (lane >> 3 & 1)));
                    mma(&scores[8 * n], queries[k], right[0], right[1]);
                    mma(&scores[8 * n + 4], queries[k], right[2], right[3]);
                }
            }
            if (first_key < last_of_warp || first_key + 63 > first_row) mask<8>(scores, first_key, row, from_low, from_high);
            float corrections[2];
            softmax.weigh<8>(scores, corrections);
            softmax.scale<WIDTH / 8>(sums, corrections);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const u32 left[4] = {pack(scores[8 * k], scores[8 * k + 1]), pack(scores[8 * k + 2], scores[8 * k + 3]),
                                     pack(scores[8 * k + 4], scores[8 * k + 5]), pack(scores[8 * k + 6], scores[8 * k + 7])};
#pragma unroll
                for (int n = 0; n < WIDTH / 16; n++) {
                    u32 right[4];
                    load_matrices_transposed(right, stage + 64 * row_bytes + place(k * 16 + (lane & 15), n * 2 + (lane >> 4)));
                    mma(&sums[8 * n], left, right[0], right[1]);
                    mma(&sums[8 * n + 4], left, right[2], right[3]);
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float factor = softmax.factor(half);
        Element* to = out + (i64)(row + half * 8) * n_heads * WIDTH + head * WIDTH + lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) *(u32*)(to + n * 8) = pack(sums[4 * n + 2 * half] * factor, sums[4 * n + 2 * half + 1] * factor);
    }
}

#define ATTENTION(name, WIDTH)                                                                                              \
    extern "C" __global__ void __launch_bounds__(128)                                                                      \
        name(const Element* qkv, int stride, int n_heads, int n_kv_heads, const int* first_visible, Element* out, int m) {  \
        attend<WIDTH>(qkv, stride, n_heads, n_kv_heads, first_visible, out, m);                                             \
    }
ATTENTION(ampere_attention_64, 64)
ATTENTION(ampere_attention_128, 128)
