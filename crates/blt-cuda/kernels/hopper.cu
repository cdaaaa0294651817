// Products and attention on Hopper (compute capability 9.0a): wgmma fed by the bulk tensor copy engine (TMA).
//
// Shared memory holds tiles of 64 columns, 128 bytes a row, in TMA's 128-byte swizzle: the 16 bytes `c` of row `r` lie at
// r * 128 + ((c ^ (r % 8)) << 4). Every tile starts at a multiple of 1024 bytes.

struct __align__(64) TensorMap {
    u8 bytes[128];
};

#ifdef ELEMENT_BF16
#define WGMMA_TYPES "f32.bf16.bf16"
#else
#define WGMMA_TYPES "f32.f16.f16"
#endif

__device__ __forceinline__ void init_barrier(u32 barrier, u32 count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count));
}

__device__ __forceinline__ void expect_bytes(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ __forceinline__ void arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives at the barrier at the same place in thread block `rank` of the cluster.
__device__ __forceinline__ void arrive_at(u32 barrier, u32 rank) {
    asm volatile(
        "{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1; mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(barrier),
        "r"(rank)
        : "memory");
}

__device__ __forceinline__ void wait_barrier(u32 barrier, u32 parity) {
    asm volatile(
        "{ .reg .pred done;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again; }" ::"r"(barrier),
        "r"(parity)
        : "memory");
}

__device__ __forceinline__ void copy_in(u32 to, const TensorMap& map, u32 barrier, int x, int y) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
                 "l"(&map), "r"(barrier), "r"(x), "r"(y)
                 : "memory");
}

// To the same place, and the same barrier, in both thread blocks of the cluster.
__device__ __forceinline__ void copy_in_both(u32 to, const TensorMap& map, u32 barrier, int x, int y) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to),
        "l"(&map), "r"(barrier), "r"(x), "r"(y), "h"((u16)3)
        : "memory");
}

__device__ __forceinline__ void copy_out(const TensorMap& map, u32 from, int x, int y) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&map), "r"(from), "r"(x), "r"(y) : "memory");
}

template <int N>
__device__ __forceinline__ void wait_copies_out_read() { asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory"); }

__device__ __forceinline__ void fence_for_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void sync_group(int barrier, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory"); }

__device__ __forceinline__ void sync_cluster() {
    asm volatile("barrier.cluster.arrive;\nbarrier.cluster.wait;" ::: "memory");
}

// The kernel behind this one in the stream may take multiprocessors that become free; what it reads of this one's results it
// reads after its own `wait_for_kernel_before`.
__device__ __forceinline__ void let_next_kernel_start() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
__device__ __forceinline__ void wait_for_kernel_before() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// Descriptor of a swizzled tile: groups of 8 rows are 1024 bytes apart.
__device__ __forceinline__ u64 describe(u32 address) { return ((u64)1 << 62) | ((u64)64 << 32) | ((u64)1 << 16) | (address >> 4 & 0x3fff); }

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N>
__device__ __forceinline__ void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

// d[64, 256] = a * b^T, or += if `accumulate`: 16 columns of both tiles.
__device__ __forceinline__ void wgmma(float (&d)[128], u64 a, u64 b, int accumulate) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16." WGMMA_TYPES " {"
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
        "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"
        "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"
        "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,"
        "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}, "
        "%128, %129, p, 1, 1, 0, 0; }"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]),
          "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]),
          "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]),
          "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]),
          "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95]),
          "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99]), "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103]),
          "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107]), "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111]),
          "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115]), "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119]),
          "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123]), "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])
        : "l"(a), "l"(b), "r"(accumulate));
}

// The same for d[64, 192].
__device__ __forceinline__ void wgmma(float (&d)[96], u64 a, u64 b, int accumulate) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %98, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n192k16." WGMMA_TYPES " {"
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
        "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,"
        "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,"
        "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"
        "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95}, "
        "%96, %97, p, 1, 1, 0, 0; }"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]),
          "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]),
          "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]),
          "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]),
          "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63]),
          "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67]), "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71]),
          "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75]), "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79]),
          "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83]), "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87]),
          "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91]), "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
        : "l"(a), "l"(b), "r"(accumulate));
}

// The same for d[64, 64].
__device__ __forceinline__ void wgmma(float (&d)[32], u64 a, u64 b, int accumulate) {
    asm volatile(
        "{ .reg .pred p; setp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16." WGMMA_TYPES " {"
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
        "%32, %33, p, 1, 1, 0, 0; }"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "l"(a), "l"(b), "r"(accumulate));
}

// d[64, 64] += a * b: `a` in registers, `b` 16 rows of a tile.
__device__ __forceinline__ void wgmma_transposed(float (&d)[32], const u32 (&a)[4], u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16." WGMMA_TYPES " {"
        "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
        "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
        "{%32,%33,%34,%35}, %36, 1, 1, 1, 1;"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
          "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
          "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]),
          "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

// Four 8 x 8 matrices of 16-bit pairs to shared memory.
__device__ __forceinline__ void store_matrices(u32 address, u32 a, u32 b, u32 c, u32 d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(address), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

// ---- Products

const int STAGES = 4;
// Parts of a row's sum of squares that are loaded ahead: those of a model 768 wide.
const int PARTS_AHEAD = 12;

// Bytes of shared memory of a stage: 128 rows of `a` and N of `w`, 64 columns of each.
template <int N>
__device__ constexpr u32 stage_bytes() { return 16384 + N * 128; }

// Of what a warpgroup sends out at once: two tiles of 64 x 64.
const u32 STAGING_BYTES = 16384;

// out = a * w^T and its epilogue, over tiles of 128 x N results. The two blocks of a cluster have the same columns, of which each
// brings half for both. Two warpgroups compute 64 rows each, one thread of the third keeps the copies going.
template <Epilogue EPILOGUE, int N>
__device__ __forceinline__ void product(const TensorMap& a, const TensorMap& w, const TensorMap& out, const Product& p) {
    const u32 STAGE = stage_bytes<N>();
    extern __shared__ __align__(1024) u8 memory[];
    __shared__ __align__(8) u64 barriers[2 * STAGES];
    const u32 base = (shared_address(memory) + 1023) & ~1023u, full = shared_address(barriers), empty = full + 8 * STAGES;
    u32 rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    const int group = threadIdx.x / 128, tid = threadIdx.x % 128;
    const int n_tiles = (p.n + N - 1) / N, n_steps = (p.k + 63) / 64, n_jobs = p.m_tiles / 2 * n_tiles;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            init_barrier(full + 8 * i, 1);
            init_barrier(empty + 8 * i, 16);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    sync_cluster();
    let_next_kernel_start();
    wait_for_kernel_before();
    if (group == 2) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 56;");
        if (tid == 0) {
            u32 turn = 0;
            for (int job = blockIdx.x / 2; job < n_jobs; job += gridDim.x / 2) {
                const int row = (job / n_tiles * 2 + rank) * 128, column = job % n_tiles * N;
                for (int step = 0; step < n_steps; step++, turn++) {
                    const u32 slot = turn % STAGES, stage = base + slot * STAGE, barrier = full + 8 * slot;
                    wait_barrier(empty + 8 * slot, (turn / STAGES & 1) ^ 1);
                    expect_bytes(barrier, STAGE);
                    copy_in(stage, a, barrier, step * 64, row);
                    copy_in_both(stage + 16384 + rank * N * 64, w, barrier, step * 64, column + rank * N / 2);
                }
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
        const int warp = tid / 32, lane = tid % 32;
        const u32 staging = base + STAGES * STAGE + group * STAGING_BYTES;
        u32 turn = 0;
        for (int job = blockIdx.x / 2; job < n_jobs; job += gridDim.x / 2) {
            const int row0 = (job / n_tiles * 2 + rank) * 128 + group * 64, column0 = job % n_tiles * N;
            const i64 row = row0 + warp * 16 + lane / 4;
            // What the epilogue needs comes while the products are computed, as far as there are registers for it.
            float4 parts[2][PARTS_AHEAD / 4];
            if (EPILOGUE != RESIDUAL) {
#pragma unroll
                for (int i = 0; i < PARTS_AHEAD / 4; i++) {
                    const bool is_there = 4 * i < p.n_parts;
#pragma unroll
                    for (int half = 0; half < 2; half++)
                        parts[half][i] = is_there ? ((const float4*)(p.parts + (row + 8 * half) * p.n_parts))[i] : make_float4(0.f, 0.f, 0.f, 0.f);
                }
            }
            float2 angles[EPILOGUE == QKV ? 16 : 1];
            if (EPILOGUE == QKV && column0 < p.n_rotated) {
#pragma unroll
                for (int i = 0; i < 16; i++) angles[i] = p.angles[(row + i % 2 * 8) * 32 + i / 2 * 4 + lane % 4];
            }
            u32 before[2][32];
            auto load_before = [&](int round) {
#pragma unroll
                for (int i = 0; i < 32; i++) {
                    const int at = column0 + round * 128 + i / 2 * 8 + lane % 4 * 2;
                    before[round][i] = at < p.n && round * 128 + i / 2 * 8 < N ? *(const u32*)(p.residual + (row + i % 2 * 8) * p.n + at) : 0;
                }
            };
            if (EPILOGUE == RESIDUAL) load_before(0);
            float sums[N / 2];
            for (int step = 0; step < n_steps; step++, turn++) {
                const u32 slot = turn % STAGES, stage = base + slot * STAGE;
                wait_barrier(full + 8 * slot, turn / STAGES & 1);
                wgmma_fence();
#pragma unroll
                for (int i = 0; i < 4; i++)
                    wgmma(sums, describe(stage + group * 8192 + i * 32), describe(stage + 16384 + i * 32), step > 0 || i > 0);
                wgmma_commit();
                wgmma_wait<1>();
                // The step before is done: its stage may be filled again, for which both blocks must be asked.
                if (step > 0 && lane < 2) arrive_at(empty + 8 * ((turn - 1) % STAGES), lane);
            }
            wgmma_wait<0>();
            if (lane < 2) arrive_at(empty + 8 * ((turn - 1) % STAGES), lane);
            if (EPILOGUE == RESIDUAL) load_before(1);
            float scales[2];
            if (EPILOGUE != RESIDUAL) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float sum = 0.f;
#pragma unroll
                    for (int i = 0; i < PARTS_AHEAD / 4; i++) sum += parts[half][i].x + parts[half][i].y + parts[half][i].z + parts[half][i].w;
                    for (int i = PARTS_AHEAD; i < p.n_parts; i++) sum += p.parts[(row + 8 * half) * p.n_parts + i];
                    scales[half] = rsqrtf(sum / p.n_columns + p.eps);
                }
            }
            if (EPILOGUE == LOGITS) {
#pragma unroll
                for (int j = 0; j < N / 4; j++)
                    store_logits(p, sums[2 * j], sums[2 * j + 1], scales[j % 2], row + j % 2 * 8, column0 + j / 2 * 8 + lane % 4 * 2);
                continue;
            }
            const int n_chunks = EPILOGUE == SWIGLU ? N / 128 : N / 64;
#pragma unroll
            for (int round = 0; round < (n_chunks + 1) / 2; round++) {
                u32 packed[2][16];
                const int n = min(2, n_chunks - 2 * round);
#pragma unroll
                for (int i = 0; i < 16 * n; i++) {
                    const int chunk = 2 * round + i / 16, j = i % 16 / 2, half = i % 2;
                    u32& to = packed[i / 16][i % 16];
                    if (EPILOGUE == SWIGLU) {
                        const float* s = &sums[4 * (16 * chunk + 2 * j) + 2 * half];
                        to = pack(finish_swiglu(s[0], s[1], scales[half]), finish_swiglu(s[4], s[5], scales[half]));
                        continue;
                    }
                    const float* s = &sums[4 * (8 * chunk + j) + 2 * half];
                    if (EPILOGUE == QKV) {
                        const int column = column0 + chunk * 64;
                        const float scale = column < p.n_queries ? scales[half] * p.query_scale : scales[half];
                        const float x = s[0] * scale, y = s[1] * scale;
                        const float2 angle = column < p.n_rotated ? angles[i % 16] : make_float2(1.f, 0.f);
                        to = pack(x * angle.x - y * angle.y, x * angle.y + y * angle.x);
                    } else {
                        const float2 x = unpack(before[round][i]);
                        to = pack(x.x + s[0], x.y + s[1]);
                    }
                }
                if (EPILOGUE == RESIDUAL) {
#pragma unroll
                    for (int i = 0; i < 2 * n; i++) {
                        float sum = 0.f;
#pragma unroll
                        for (int j = 0; j < 8; j++) {
                            const float2 x = unpack(packed[i / 2][2 * j + i % 2]);
                            sum += x.x * x.x + x.y * x.y;
                        }
                        sum = sum_of_quad(sum);
                        const int part = column0 / 64 + 2 * round + i / 2;
                        if (lane % 4 == 0 && part < p.n_new_parts) p.new_parts[(row + i % 2 * 8) * p.n_new_parts + part] = sum;
                    }
                }
                if (tid == 0) wait_copies_out_read<0>();
                sync_group(1 + group, 128);
#pragma unroll
                for (int i = 0; i < 4 * n; i++) {
                    const int to_row = warp * 16 + (lane >> 3 & 1) * 8 + (lane & 7), to_chunk = 2 * (i % 4) + (lane >> 4);
                    const u32* from = &packed[i / 4][i % 4 * 4];
                    store_matrices(staging + i / 4 * 8192 + to_row * 128 + ((to_chunk ^ (to_row & 7)) << 4), from[0], from[1], from[2], from[3]);
                }
                fence_for_copies();
                sync_group(1 + group, 128);
                if (tid == 0) {
                    const int column = (EPILOGUE == SWIGLU ? column0 / 2 : column0) + round * 128;
                    for (int i = 0; i < n; i++) copy_out(out, staging + i * 8192, column + i * 64, row0);
                    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
                }
            }
        }
        if (tid == 0) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
    }
    __syncwarp();
    sync_cluster();
}

#define PRODUCT(name, EPILOGUE, N)                                                                                          \
    extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)                                        \
        name(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap w, const __grid_constant__ TensorMap out, const Product p) { \
        product<EPILOGUE, N>(a, w, out, p);                                                                                 \
    }
// Wider tiles read less from shared memory; narrower ones fill the last round of multiprocessors better.
PRODUCT(hopper_qkv_192, QKV, 192)
PRODUCT(hopper_qkv_256, QKV, 256)
PRODUCT(hopper_swiglu_256, SWIGLU, 256)
PRODUCT(hopper_residual_192, RESIDUAL, 192)
PRODUCT(hopper_residual_256, RESIDUAL, 256)
PRODUCT(hopper_logits_192, LOGITS, 192)

// ---- Attention

const int KEY_STAGES = 5;
const u32 KEY_STAGE_BYTES = 16384;

// Attention of 128 rows of one head (blockIdx.x) of width 64 over the rows they see: two warpgroups of 64 rows, tiles of 64
// keys, a ring of tiles that the first thread fills. Queries come scaled. `qkv` is read and `out` written in boxes of 64 x 64.
// Two blocks share a multiprocessor: four warpgroups keep its tensor cores and its exponentials busy at once. In each, the
// next tile's scores and this tile's weighted values are computed while this tile's, then the next one's, softmax goes on.
// Tiles start at multiples of 64 rows, so that a row's result does not depend on the block that it falls into.
extern "C" __global__ void __launch_bounds__(256, 2)
    hopper_attention(const __grid_constant__ TensorMap qkv, const __grid_constant__ TensorMap out, int n_heads, int n_kv_heads,
                     const int* first_visible, int m) {
    extern __shared__ __align__(1024) u8 memory[];
    __shared__ __align__(8) u64 barriers[1 + 2 * KEY_STAGES];
    const u32 base = (shared_address(memory) + 1023) & ~1023u, ring = base + 16384;
    const u32 queries_in = shared_address(barriers), full = queries_in + 8, empty = full + 8 * KEY_STAGES;
    const int head = blockIdx.x, row0 = blockIdx.y * 128;
    let_next_kernel_start();
    wait_for_kernel_before();
    const int from = first_visible[row0] & ~63, n_tiles = (row0 + 128 - from) / 64;
    auto load = [&](int tile) {
        const int key_column = (n_heads + head / (n_heads / n_kv_heads)) * 64, value_column = key_column + n_kv_heads * 64;
        const u32 slot = tile % KEY_STAGES, stage = ring + slot * KEY_STAGE_BYTES;
        expect_bytes(full + 8 * slot, KEY_STAGE_BYTES);
        copy_in(stage, qkv, full + 8 * slot, key_column, from + tile * 64);
        copy_in(stage + 8192, qkv, full + 8 * slot, value_column, from + tile * 64);
    };
    if (threadIdx.x == 0) {
        init_barrier(queries_in, 1);
        for (int i = 0; i < KEY_STAGES; i++) {
            init_barrier(full + 8 * i, 1);
            init_barrier(empty + 8 * i, 8);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        expect_bytes(queries_in, 16384);
        copy_in(base, qkv, queries_in, head * 64, row0);
        copy_in(base + 8192, qkv, queries_in, head * 64, row0 + 64);
        for (int tile = 0; tile < min(KEY_STAGES, n_tiles); tile++) load(tile);
    }
    __syncthreads();
    const int group = threadIdx.x / 128, tid = threadIdx.x % 128, warp = tid / 32, lane = tid % 32;
    const int group_row = row0 + group * 64, row = group_row + warp * 16 + lane / 4;
    const u32 queries = base + group * 8192;
    const int from_low = first_visible[row], from_high = first_visible[row + 8];
    // No row of the warpgroup sees a tile before `first`, or behind `last`; all see all of a tile from `all_from` on but the last.
    const int first = (first_visible[group_row] - from) / 64, last = (group_row - from) / 64;
    const int all_from = first_visible[group_row + 63];
    Softmax softmax;
    softmax.start();
    float sums[32] = {};
    u32 weights[4][4];
    auto wait_tile = [&](int tile) { wait_barrier(full + 8 * (tile % KEY_STAGES), tile / KEY_STAGES & 1); };
    auto release = [&](int tile) {
        if (lane == 0) arrive(empty + 8 * (tile % KEY_STAGES));
    };
    auto score = [&](float (&scores)[32], int tile) {
        const u32 stage = ring + tile % KEY_STAGES * KEY_STAGE_BYTES;
#pragma unroll
        for (int i = 0; i < 4; i++) wgmma(scores, describe(queries + i * 32), describe(stage + i * 32), i > 0);
        wgmma_commit();
    };
    auto add_values = [&](int tile) {
        const u32 values = ring + tile % KEY_STAGES * KEY_STAGE_BYTES + 8192;
#pragma unroll
        for (int i = 0; i < 4; i++) wgmma_transposed(sums, weights[i], describe(values + i * 2048));
        wgmma_commit();
    };
    auto weigh = [&](float (&scores)[32], float (&corrections)[2], int tile) {
        const int first_key = from + tile * 64;
        if (first_key < all_from || tile == last) mask<8>(scores, first_key, row, from_low, from_high);
        softmax.weigh<8>(scores, corrections);
    };
    auto pack_weights = [&](const float (&scores)[32]) {
#pragma unroll
        for (int i = 0; i < 16; i++) weights[i / 4][i % 4] = pack(scores[2 * i], scores[2 * i + 1]);
    };
    wait_barrier(queries_in, 0);
    for (int tile = 0; tile < first; tile++) {
        wait_tile(tile);
        release(tile);
    }
    {
        float scores[32], corrections[2];
        wait_tile(first);
        wgmma_fence();
        score(scores, first);
        wgmma_wait<0>();
        weigh(scores, corrections, first);
        pack_weights(scores);
    }
    for (int tile = first + 1; tile <= last; tile++) {
        // Two tiles back both warpgroups are done, or nearly: its place takes a new one.
        if (threadIdx.x == 0 && tile >= 2 && tile - 2 + KEY_STAGES < n_tiles) {
            wait_barrier(empty + 8 * ((tile - 2) % KEY_STAGES), (tile - 2) / KEY_STAGES & 1);
            load(tile - 2 + KEY_STAGES);
        }
        __syncwarp();
        float scores[32], corrections[2];
        wait_tile(tile);
        wgmma_fence();
        score(scores, tile);
        add_values(tile - 1);
        wgmma_wait<1>();
        weigh(scores, corrections, tile);
        wgmma_wait<0>();
        release(tile - 1);
        softmax.scale<8>(sums, corrections);
        pack_weights(scores);
    }
    wgmma_fence();
    add_values(last);
    wgmma_wait<0>();
    const float factors[2] = {softmax.factor(0), softmax.factor(1)};
    // The queries have been read: their place takes the result.
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int to_row = warp * 16 + (lane >> 3 & 1) * 8 + (lane & 7), to_chunk = 2 * i + (lane >> 4);
        store_matrices(queries + to_row * 128 + ((to_chunk ^ (to_row & 7)) << 4),
                       pack(sums[8 * i] * factors[0], sums[8 * i + 1] * factors[0]), pack(sums[8 * i + 2] * factors[1], sums[8 * i + 3] * factors[1]),
                       pack(sums[8 * i + 4] * factors[0], sums[8 * i + 5] * factors[0]), pack(sums[8 * i + 6] * factors[1], sums[8 * i + 7] * factors[1]));
    }
    fence_for_copies();
    sync_group(1 + group, 128);
    if (tid == 0) {
        copy_out(out, queries, head * 64, group_row);
        asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;" ::: "memory");
    }
}
