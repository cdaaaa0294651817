//! The compiled kernels and which of them a card gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::driver::{Device, Kernel, Module};
use crate::engine::FloatType;
use crate::error::CudaError;
use crate::layout::Layout;

/// Shared memory of a product on Ampere: four stages of two tiles of 128 x 32.
pub(crate) const AMPERE_SHARED: usize = 4 * 16384;
/// Widths of the tiles that a product on Hopper may be cut into, by what is done with its result.
pub(crate) fn hopper_widths(epilogue: &str) -> &'static [usize] {
    match epilogue {
        "swiglu" => &[256],
        "logits" => &[192],
        _ => &[256, 192],
    }
}

/// Shared memory of a product on Hopper: four stages of 128 rows and a tile's columns, and what is on its way out; 1024 to
/// begin at a multiple.
pub(crate) const HOPPER_SHARED: usize = 4 * 49152 + 2 * 16384 + 1024;
/// Of attention on Hopper: queries, and five stages of keys and values.
pub(crate) const HOPPER_ATTENTION_SHARED: usize = 16384 + 5 * 16384 + 1024;

/// Of attention in float32, for heads of width `head`: 32 keys, values and queries.
pub(crate) fn plain_attention_shared(head: usize) -> usize {
    4 * 32 * (2 * (head + 1) + head)
}

/// Of attention on Ampere, for heads of width `head`: two stages of keys and values.
pub(crate) fn ampere_attention_shared(head: usize) -> usize {
    2 * 2 * 64 * head * 2
}

/// Which kernels compute the products and attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// As the formulas read, in float32.
    Plain,
    /// mma.sync.
    Ampere,
    /// wgmma and bulk copies.
    Hopper,
}

impl Path {
    /// The fastest on `device`, if it computes in `float` at all.
    pub(crate) fn best(device: &Device, float: FloatType) -> Option<Self> {
        match (float, device.capability) {
            (FloatType::F32, (7.., _)) => Some(Self::Plain),
            (FloatType::F32, _) => None,
            // The wgmma kernels are for this architecture alone.
            (_, (9, 0)) => Some(Self::Hopper),
            (_, (8.., _)) => Some(Self::Ampere),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ampere => "mma.sync",
            Self::Hopper => "wgmma",
        }
    }
}

/// PTX of a number type: what every path uses, and what is for Hopper.
fn ptx(float: FloatType) -> (&'static str, Option<&'static str>) {
    match float {
        FloatType::F32 => (include_str!("../ptx/float32.ptx"), None),
        FloatType::Bf16 => (include_str!("../ptx/ampere_bf16.ptx"), Some(include_str!("../ptx/hopper_bf16.ptx"))),
        FloatType::F16 => (include_str!("../ptx/ampere_f16.ptx"), Some(include_str!("../ptx/hopper_f16.ptx"))),
    }
}

/// Kernels on a card, by name.
pub(crate) struct Program {
    kernels: BTreeMap<&'static str, Kernel>,
    /// What the kernels are part of.
    _modules: Vec<Module>,
}

impl Program {
    pub(crate) fn load(device: &Arc<Device>, path: Path, float: FloatType, layout: &Layout) -> Result<Self, CudaError> {
        let (common, hopper) = ptx(float);
        let every =
            ["embed", "fill_angles", "entropy", "norms", "restore_kept", "save_kept", "widen_rows", "sum_ranges"];
        let mut modules = vec![Module::load(device, common)?];
        let mut kernels = BTreeMap::new();
        for name in every {
            kernels.insert(name, modules[0].kernel(name, 0)?);
        }
        let own: Vec<(&'static str, usize)> = match path {
            Path::Plain => {
                let mut own = ["rms_norm", "gemm", "rotate", "swiglu"].map(|name| (name, 0)).to_vec();
                own.push(("attention", plain_attention_shared(layout.head)));
                own
            }
            Path::Ampere => {
                let attention = if layout.head == 64 { "ampere_attention_64" } else { "ampere_attention_128" };
                let products = ["ampere_qkv", "ampere_swiglu", "ampere_residual", "ampere_logits"];
                let mut own = products.map(|name| (name, AMPERE_SHARED)).to_vec();
                own.push((attention, ampere_attention_shared(layout.head)));
                own
            }
            Path::Hopper => {
                modules.push(Module::load(device, hopper.unwrap_or(common))?);
                let products = [
                    "hopper_qkv_192",
                    "hopper_qkv_256",
                    "hopper_swiglu_256",
                    "hopper_residual_192",
                    "hopper_residual_256",
                    "hopper_logits_192",
                ];
                let mut own = products.map(|name| (name, HOPPER_SHARED)).to_vec();
                own.push(("hopper_attention", HOPPER_ATTENTION_SHARED));
                own
            }
        };
        for (name, shared) in own {
            let kernel = modules[modules.len() - 1].kernel(name, shared)?;
            kernels.insert(name, kernel);
        }
        Ok(Self { kernels, _modules: modules })
    }

    pub(crate) fn kernel(&self, name: &str) -> Kernel {
        self.kernels[name]
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    /// The PTX is made by `kernels/compile.py`, which writes down what it was made from.
    #[test]
    fn the_ptx_is_that_of_the_sources() {
        let common = [include_str!("../kernels/common.cuh"), include_str!("../kernels/elementwise.cu")];
        let fused = include_str!("../kernels/fused.cuh");
        let plain = [common[0], common[1], include_str!("../kernels/float32.cu")];
        let ampere = [common[0], common[1], fused, include_str!("../kernels/ampere.cu")];
        let hopper = [common[0], fused, include_str!("../kernels/hopper.cu")];
        let modules: [(&str, &[&str]); 5] = [
            (include_str!("../ptx/float32.ptx"), &plain),
            (include_str!("../ptx/ampere_bf16.ptx"), &ampere),
            (include_str!("../ptx/ampere_f16.ptx"), &ampere),
            (include_str!("../ptx/hopper_bf16.ptx"), &hopper),
            (include_str!("../ptx/hopper_f16.ptx"), &hopper),
        ];
        for (ptx, sources) in modules {
            let digest: String = Sha256::digest(sources.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect();
            let head = ptx.lines().next().unwrap_or_default();
            assert_eq!(head, format!("// sha256 of the sources: {digest}"), "run `kernels/compile.py` again");
        }
    }
}
