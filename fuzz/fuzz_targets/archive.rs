#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blt_fuzz::decode(blt_core::Modality::Archive, bytes));
