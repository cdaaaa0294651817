//! Which instructions there are, and which are best.

use std::fmt;
use std::str::FromStr;

/// Instructions that the kernels are written for, the slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Whatever the compiler makes for every processor of this architecture.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors: the subsets F, BW, DQ and VL.
    Avx512,
    /// 512-bit vectors with products of bfloat16 pairs, and of bytes (VNNI).
    Avx512Bf16,
    /// Tiles of bfloat16, and of bytes.
    AmxBf16,
}

impl InstructionSet {
    /// Every set, the slowest first.
    pub const ALL: [InstructionSet; 5] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::AmxBf16];

    /// The name used in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::AmxBf16 => "amx-bf16",
        }
    }

    /// Whether it multiplies bfloat16 numbers faster than float32 numbers.
    pub fn has_bf16(self) -> bool {
        matches!(self, Self::Avx512Bf16 | Self::AmxBf16)
    }

    /// Whether it is faster here than the sets before it. Intel's processors multiply bfloat16 pairs in vectors no faster
    /// than float32 numbers (measured on a Xeon of the fifth generation); AMD's do, and tiles do.
    pub fn is_fast(self) -> bool {
        self != Self::Avx512Bf16 || !is_intel()
    }

    /// Why it cannot be used here, or that it can.
    ///
    /// # Errors
    ///
    /// The reason, a phrase for people.
    pub fn check(self) -> Result<(), &'static str> {
        if self == Self::Portable {
            return Ok(());
        }
        self.check_x86()
    }

    /// Whether it can be used here.
    pub fn is_available(self) -> bool {
        self.check().is_ok()
    }

    #[cfg(target_arch = "x86_64")]
    fn check_x86(self) -> Result<(), &'static str> {
        let has = |has: bool| if has { Ok(()) } else { Err("the processor does not have it") };
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        let avx512_bf16 = avx512 && is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni");
        match self {
            Self::Portable => Ok(()),
            Self::Avx2 => has(avx2),
            Self::Avx512 => has(avx512),
            Self::Avx512Bf16 => has(avx512_bf16),
            Self::AmxBf16 => has(avx512_bf16 && has_amx()).and_then(|()| permitted()),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn check_x86(self) -> Result<(), &'static str> {
        Err("another architecture has it")
    }
}

/// Whether CPUID leaf 0 names Intel.
#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

/// CPUID leaf 7: bits 22, 24 and 25 of EDX are AMX-BF16, AMX-TILE and AMX-INT8.
#[cfg(target_arch = "x86_64")]
fn has_amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const ALL: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & ALL == ALL
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn permitted() -> Result<(), &'static str> {
    if super::amx::is_permitted() { Ok(()) } else { Err("the operating system refuses it") }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn permitted() -> Result<(), &'static str> {
    Err("it is used on Linux only")
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for InstructionSet {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|set| set.name() == name);
        known.ok_or_else(|| format!("no instruction set is named `{name}`"))
    }
}
