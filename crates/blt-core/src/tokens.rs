//! Bytes as token ids.
//!
//! Source: the byte tokenizer of the Byte Latent Transformer (arXiv 2412.09871): four special ids, then the 256 bytes.

/// Id of a token of the entropy model: below 4 a special token, else a byte plus [`BYTE_OFFSET`].
pub type TokenId = u16;

/// Begin-of-entropy token, unused by the entropy model's inputs but part of its vocabulary.
pub const BOE_ID: TokenId = 0;
/// Begin of sequence: the token every document starts with.
pub const BOS_ID: TokenId = 1;
/// End of sequence: closes a document; nothing after it sees what came before.
pub const EOS_ID: TokenId = 2;
/// Delimiter that marks the end of a byte-pair token in the `bpe` patching rule.
pub const BPE_ID: TokenId = 3;
/// Added to a byte to make its token id.
pub const BYTE_OFFSET: TokenId = 4;
/// Number of token ids: four special ones and 256 bytes.
pub const VOCAB_SIZE: usize = 260;

/// The byte a token stands for, `None` for special tokens and ids outside the vocabulary.
pub fn byte_of_token(token: TokenId) -> Option<u8> {
    token.checked_sub(BYTE_OFFSET).and_then(|byte| u8::try_from(byte).ok())
}

/// Turns bytes into token ids and back. Any byte string is valid input; nothing is normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BltTokenizer {
    /// Whether [`encode_bytes`](Self::encode_bytes) starts with [`BOS_ID`].
    pub add_bos: bool,
    /// Whether [`encode_bytes`](Self::encode_bytes) ends with [`EOS_ID`].
    pub add_eos: bool,
}

impl Default for BltTokenizer {
    /// BOS in front and no EOS: how a document is fed to the entropy model.
    fn default() -> Self {
        Self { add_bos: true, add_eos: false }
    }
}

impl BltTokenizer {
    /// The token ids of `bytes`: `bytes.len()` ids, plus one each for BOS and EOS where asked for.
    pub fn encode_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let mut tokens = Vec::with_capacity(bytes.len() + 2);
        if self.add_bos {
            tokens.push(BOS_ID);
        }
        tokens.extend(bytes.iter().map(|&byte| TokenId::from(byte) + BYTE_OFFSET));
        if self.add_eos {
            tokens.push(EOS_ID);
        }
        tokens
    }

    /// The bytes that `tokens` stand for; special tokens stand for none.
    pub fn decode_bytes(tokens: &[TokenId]) -> Vec<u8> {
        tokens.iter().filter_map(|&token| byte_of_token(token)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_round_trip() {
        let bytes: Vec<u8> = (0..=255).collect();
        let tokenizer = BltTokenizer { add_bos: true, add_eos: true };
        let tokens = tokenizer.encode_bytes(&bytes);
        assert_eq!(tokens.first(), Some(&BOS_ID));
        assert_eq!(tokens.last(), Some(&EOS_ID));
        assert!(tokens.iter().all(|&token| usize::from(token) < VOCAB_SIZE));
        assert_eq!(BltTokenizer::decode_bytes(&tokens), bytes);
    }

    #[test]
    fn ids_outside_the_vocabulary_are_no_bytes() {
        assert_eq!(byte_of_token(BPE_ID), None);
        assert_eq!(byte_of_token(BYTE_OFFSET), Some(0));
        assert_eq!(byte_of_token(259), Some(255));
        assert_eq!(byte_of_token(260), None);
    }
}
