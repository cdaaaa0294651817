//! Executables for byte models. The view is the file itself; its units are headers, sections, the symbols in them, and what
//! lies between and behind, by name. Addresses of the file are turned into offsets; nothing is executed or disassembled.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits};
//! use blt_modalities_binary::BinaryDecoder;
//!
//! // A WebAssembly module with one custom section, `name`, of two more bytes.
//! let module = b"\0asm\x01\0\0\0\x00\x07\x04nameOK";
//! let hint = Hint { format: "wasm", ..Hint::default() };
//! let document = BinaryDecoder::default().decode(&mut std::io::Cursor::new(module), &hint, &Limits::default())?;
//! let labels: Vec<&str> = document.views[0].units.iter().map(|unit| &*unit.label).collect();
//! assert_eq!(labels, ["header", "section"]);
//! assert_eq!(document.views[0].units[1].name.as_deref(), Some("custom name"));
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! Formats: ELF, PE, COFF, Mach-O (for one or several architectures), `ar` with what its members are, WebAssembly. A file
//! that says it is one of them and is not is an error; a part that reaches beyond the file is a problem and cut there.

mod ar;
mod elf;
mod mach_o;
mod pe;
mod regions;
mod wasm;

use blt_core::{
    ByteRange, DecodeError, Decoder, Document, Hint, Limits, Modality, Region, SourceReader, Tiling, View, read_whole,
};
use serde::{Deserialize, Serialize};

/// Makes documents of executables, libraries and object files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BinaryDecoder {}

impl Decoder for BinaryDecoder {
    fn modality(&self) -> Modality {
        Modality::Binary
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let media_type = if hint.media_type.is_empty() { "application/octet-stream" } else { hint.media_type };
        let bytes = read_whole(source, limits)?;
        let mut view = View::raw(Modality::Binary, media_type);
        let mut tiling = Tiling::default();
        if let Some(regions) = regions_of(&bytes) {
            let regions = regions.map_err(|reason| DecodeError::Content { modality: Modality::Binary, reason })?;
            tiling.add(regions, ByteRange::new(0, bytes.len() as u64), None, limits)?;
        }
        view.units = tiling.units;
        Ok(Document { problems: tiling.problems, ..Document::new(Modality::Binary, media_type, vec![view]) })
    }
}

/// The regions of a file by its first bytes; `None` when it is of no known format.
fn regions_of(bytes: &[u8]) -> Option<Result<Vec<Region>, String>> {
    Some(match bytes {
        [0x7F, b'E', b'L', b'F', ..] => elf::regions(bytes),
        [b'M', b'Z', ..] => pe::regions(bytes),
        [0xFE, 0xED, 0xFA, 0xCE | 0xCF, ..] | [0xCE | 0xCF, 0xFA, 0xED, 0xFE, ..] => mach_o::regions(bytes),
        [0xCA, 0xFE, 0xBA, 0xBE, ..] => mach_o::fat_regions(bytes),
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => ar::regions(bytes),
        [0, b'a', b's', b'm', ..] => wasm::regions(bytes),
        // The machines that COFF objects are made for: i386, x86-64, ARM, ARM64.
        [0x4C, 0x01, ..] | [0x64, 0x86, ..] | [0xC4, 0x01, ..] | [0x64, 0xAA, ..] => pe::object_regions(bytes),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Result<Document, DecodeError> {
        BinaryDecoder::default().decode(&mut Cursor::new(bytes), &Hint::default(), &Limits::default())
    }

    /// This test program itself: whatever the platform's format is, with thousands of symbols.
    fn own_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_real_program_has_named_sections_and_functions() {
        let bytes = own_program();
        let document = decode(&bytes).unwrap();
        let view = &document.views[0];
        assert_eq!(view.check_units(bytes.len() as u64), Ok(()));
        assert_eq!(document.problems, Vec::<String>::new());
        let text = view
            .units
            .iter()
            .position(|unit| unit.label == "section" && matches!(unit.name.as_deref(), Some(".text" | "__text")));
        let functions = view.units.iter().filter(|unit| unit.parent == text && unit.name.is_some()).count();
        assert!(functions > 100, "{functions} functions");
    }

    #[test]
    fn a_section_beyond_the_end_is_cut_and_told() {
        let mut bytes = own_program();
        if !bytes.starts_with(b"\x7FELF\x02\x01") {
            return; // the offsets below are those of 64-bit little-endian ELF
        }
        let table = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap()) as usize;
        // The size of section 1.
        bytes[table + 64 + 0x20..table + 64 + 0x28].copy_from_slice(&(1u64 << 60).to_le_bytes());
        let document = decode(&bytes).unwrap();
        assert_eq!(document.views[0].check_units(bytes.len() as u64), Ok(()));
        assert!(document.problems.iter().any(|problem| problem.contains("beyond the end")), "{:?}", document.problems);
    }

    proptest! {
        #[test]
        fn damaged_headers_are_errors_or_tile(
            changes in prop::collection::vec((0usize..4096, any::<u8>()), 0..40),
            cut in 0usize..20_000,
        ) {
            let mut bytes = own_program();
            bytes.truncate(cut);
            for (at, byte) in changes {
                if at >= 8 && at < bytes.len() {
                    bytes[at] = byte;
                }
            }
            if let Ok(document) = decode(&bytes) {
                prop_assert_eq!(document.views[0].check_units(bytes.len() as u64), Ok(()));
            }
        }

        #[test]
        fn noise_behind_a_signature_is_harmless(
            which in 0usize..8,
            noise in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let signatures: [&[u8]; 8] = [
                b"\x7FELF\x02\x01\x01", b"MZ", b"\xFE\xED\xFA\xCF", b"\xCF\xFA\xED\xFE", b"\xCA\xFE\xBA\xBE\0\0\0\x02",
                b"!<arch>\n", b"\0asm\x01\0\0\0", b"\x64\x86",
            ];
            let bytes = [signatures[which], &noise].concat();
            if let Ok(document) = decode(&bytes) {
                prop_assert_eq!(document.views[0].check_units(bytes.len() as u64), Ok(()));
            }
        }
    }
}
