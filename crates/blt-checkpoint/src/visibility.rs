//! What a token sees of those before it.

use crate::config::ModelConfig;

/// Follows a row token by token and says which positions each of them sees: from one position, by the window and, where
/// documents are kept apart, the last EOS, up to itself. An EOS is the last of its document.
/// Source: `create_causal_mask` and `tokens_to_seqlen` of the original.
#[derive(Debug, Clone)]
pub struct Visibility {
    window: u64,
    /// Id that ends a document, where documents are kept apart.
    document_end: Option<u16>,
    position: u64,
    /// Where the current document began: one past the last EOS.
    document_start: u64,
}

impl Visibility {
    /// Of a model, at position 0.
    pub fn new(config: &ModelConfig) -> Self {
        let document_end = config.separates_documents().then_some(config.eos_id);
        Self { window: config.window() as u64, document_end, position: 0, document_start: 0 }
    }

    /// Position of the next token.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads `tokens`; for each of them the first position it sees.
    pub fn read(&mut self, tokens: &[u16]) -> Vec<u64> {
        let mut visible = Vec::with_capacity(tokens.len());
        for &token in tokens {
            self.position += 1;
            visible.push(self.position.saturating_sub(self.window).max(self.document_start));
            if Some(token) == self.document_end {
                self.document_start = self.position;
            }
        }
        visible
    }

    /// Goes back to position 0, with nothing before it.
    pub fn restart(&mut self) {
        (self.position, self.document_start) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visibility(scope: &str) -> Visibility {
        let json = format!(
            r#"{{"args": {{"dim": 8, "n_layers": 1, "n_heads": 1, "max_seqlen": 64, "sliding_window": 3, "attn_bias_type": "{scope}"}}}}"#
        );
        Visibility::new(&ModelConfig::from_json(&json, "test").expect("it is a configuration"))
    }

    #[test]
    fn the_window_and_the_end_of_a_document_hide_what_lies_before() {
        let tokens = [1, 9, 9, 9, 2, 9, 9, 9, 9];
        assert_eq!(visibility("local_block_causal").read(&tokens), [0, 0, 0, 1, 2, 5, 5, 5, 6]);
        assert_eq!(visibility("local_causal").read(&tokens), [0, 0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(visibility("block_causal").read(&tokens), [0, 0, 0, 0, 0, 5, 5, 5, 5]);
    }

    #[test]
    fn pieces_read_as_the_whole() {
        let tokens = [1, 2, 9, 9, 9, 2, 2, 9];
        let whole = visibility("local_block_causal").read(&tokens);
        let mut pieces = visibility("local_block_causal");
        let read: Vec<u64> = tokens.chunks(3).flat_map(|piece| pieces.read(piece)).collect();
        assert_eq!((read, pieces.position()), (whole.clone(), 8));
        pieces.restart();
        assert_eq!(pieces.read(&tokens), whole);
    }
}
