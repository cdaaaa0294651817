//! What the blt crates agree on: token ids, byte ranges, documents and their views, and the two traits that
//! connect them: [`Decoder`] (bytes to views) and [`EntropyEngine`] (tokens to signals).
//!
//! ```
//! use blt_core::BltTokenizer;
//!
//! let tokens = BltTokenizer::default().encode_bytes(b"hi");
//! assert_eq!(tokens, [1, 104 + 4, 105 + 4]); // BOS, then every byte plus four
//! assert_eq!(BltTokenizer::decode_bytes(&tokens), b"hi");
//! ```
//!
//! It knows no file format, no tensor type and no framework, and does no input or output of its own.

mod chain;
mod document;
mod engine;
mod limits;
mod patch;
mod range;
mod regions;
mod tokens;

pub use chain::error_chain;
pub use document::{
    DecodeError, Decoder, Document, Embedded, Hint, Modality, Origin, Rect, SourceReader, Unit, View, ViewData, Views,
    read_whole,
};
pub use engine::{
    EngineError, EngineInfo, EntropyEngine, RowOutput, Session, Signals, StateSums, Want, check_tokens, coherence,
};
pub use limits::Limits;
pub use patch::Patch;
pub use range::ByteRange;
pub use regions::{Region, Tiling};
pub use tokens::{BOE_ID, BOS_ID, BPE_ID, BYTE_OFFSET, BltTokenizer, EOS_ID, TokenId, VOCAB_SIZE, byte_of_token};
