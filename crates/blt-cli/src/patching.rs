//! Where patches start: the arguments, and the encoding that they ask for.

use blt_checkpoint::ModelConfig;
use blt_ingest::{Encoding, Mode, ProminencePool, Thresholds};
use blt_patcher::{Patcher, Rule};
use clap::{Args, ValueEnum};

use crate::failure::Failure;

/// A threshold as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ThresholdArg {
    /// In nats, for everything.
    Nats(f32),
    /// What the model's calibration says for patches of this mean size.
    Auto { size: f32 },
}

impl std::str::FromStr for ThresholdArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |text: &str| text.parse::<f32>().map_err(|_| "it is neither a number nor `auto[:SIZE]`".to_owned());
        match text.strip_prefix("auto") {
            Some("") => Ok(Self::Auto { size: DEFAULT_PATCH_SIZE }),
            Some(size) => Ok(Self::Auto { size: number(size.strip_prefix(':').unwrap_or(text))? }),
            None => number(text).map(Self::Nats),
        }
    }
}

/// Mean patch of `--threshold auto`, in bytes: what the model's own threshold gives on English.
const DEFAULT_PATCH_SIZE: f32 = 4.5;

/// Where patches start.
#[derive(Debug, Args)]
pub(crate) struct PatchingArgs {
    /// Where a patch starts
    #[arg(long, value_enum, default_value = "global", help_heading = "Patching")]
    pub(crate) rule: RuleArg,
    /// Threshold in nats, or `auto[:SIZE]` for patches of SIZE bytes on average by the model's calibration: one threshold
    /// each for text, code, pixels, samples and other bytes [default: the model's own; SIZE 4.5]
    #[arg(long, short = 'r', value_name = "NATS", allow_negative_numbers = true, help_heading = "Patching")]
    pub(crate) threshold: Option<ThresholdArg>,
    /// Least rise in nats, for `global+monotonic`
    #[arg(long, value_name = "NATS", allow_negative_numbers = true, help_heading = "Patching")]
    pub(crate) threshold_add: Option<f32>,
    /// Bytes of a patch, for `static` and on average for `top-k`
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Patching")]
    pub(crate) patch_size: Option<u32>,
    /// Cut patches longer than this
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Patching")]
    pub(crate) max_patch_length: Option<u32>,
    /// Read long inputs with one window across, or anew every `max_seqlen` tokens as the original does
    #[arg(long, value_enum, default_value = "continuous", help_heading = "Patching")]
    pub(crate) mode: ModeArg,
    /// How the norms of a patch's bytes become its prominence
    #[arg(long, value_enum, default_value = "max", help_heading = "Patching")]
    pub(crate) prominence_pool: PoolArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuleArg {
    /// Where the entropy exceeds the threshold
    Global,
    /// Where the entropy rises by more than the threshold
    Monotonic,
    /// Where it exceeds the threshold and rises by more than `--threshold-add`
    #[value(name = "global+monotonic")]
    GlobalMonotonic,
    /// At the largest entropies
    TopK,
    /// After words
    Space,
    /// Every `--patch-size` bytes
    Static,
    /// Everywhere
    Byte,
    /// At the tokens of `--tokenizer`
    #[cfg(feature = "tokenizers")]
    Bpe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// The exact window across all of the input
    Continuous,
    /// Anew every `max_seqlen` tokens
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PoolArg {
    /// The largest
    Max,
    /// Their mean
    Mean,
    /// The norm of the patch's embedding
    NormOfMean,
}

impl PatchingArgs {
    /// The encoding asked for. Options that the rule does not use are refused.
    pub(crate) fn encoding(&self, config: &ModelConfig) -> Result<Encoding, Failure> {
        let (threshold, thresholds) = match self.threshold {
            None => (config.patching.threshold, None),
            Some(ThresholdArg::Nats(threshold)) => (threshold, None),
            Some(ThresholdArg::Auto { size }) => (config.patching.threshold, Some(thresholds_for(config, size)?)),
        };
        let patch_size = || {
            let size = self.patch_size.map(|size| size as usize);
            size.ok_or_else(|| Failure::usage(format!("the rule `{}` needs `--patch-size`", self.rule_name())))
        };
        let rule = match self.rule {
            RuleArg::Global => Rule::Global { threshold },
            RuleArg::Monotonic => Rule::Monotonic { threshold },
            RuleArg::GlobalMonotonic => {
                let threshold_add = self.threshold_add;
                let missing = || Failure::usage("the rule `global+monotonic` needs `--threshold-add`");
                Rule::GlobalMonotonic { threshold, threshold_add: threshold_add.ok_or_else(missing)? }
            }
            RuleArg::TopK => Rule::TopK { patch_size: patch_size()? },
            RuleArg::Space => Rule::Space,
            RuleArg::Static => Rule::Static { patch_size: patch_size()? },
            RuleArg::Byte => Rule::Byte,
            #[cfg(feature = "tokenizers")]
            RuleArg::Bpe => Rule::Bpe,
        };
        let has_threshold = matches!(rule, Rule::Global { .. } | Rule::Monotonic { .. } | Rule::GlobalMonotonic { .. });
        let refuse = |option: &str| Err(Failure::usage(format!("the rule `{}` does not use `{option}`", rule.name())));
        if self.threshold.is_some() && !has_threshold {
            return refuse("--threshold");
        }
        if thresholds.is_some() && !matches!(rule, Rule::Global { .. }) {
            return Err(Failure::usage(
                "`--threshold auto` is for the rule `global`: the model is calibrated for it alone",
            ));
        }
        if self.threshold_add.is_some() && !matches!(rule, Rule::GlobalMonotonic { .. }) {
            return refuse("--threshold-add");
        }
        if self.patch_size.is_some() && !matches!(rule, Rule::TopK { .. } | Rule::Static { .. }) {
            return refuse("--patch-size");
        }
        if !threshold.is_finite() || self.threshold_add.is_some_and(|threshold| !threshold.is_finite()) {
            return Err(Failure::usage("a threshold must be a finite number"));
        }
        let max_patch_length = self.max_patch_length.map(|length| length as usize);
        Ok(Encoding {
            patcher: Patcher { rule, max_patch_length },
            thresholds,
            mode: match self.mode {
                ModeArg::Continuous => Mode::Continuous,
                ModeArg::Chunked => Mode::Chunked,
            },
            prominence: match self.prominence_pool {
                PoolArg::Max => ProminencePool::Max,
                PoolArg::Mean => ProminencePool::Mean,
                PoolArg::NormOfMean => ProminencePool::NormOfMean,
            },
        })
    }

    fn rule_name(&self) -> String {
        self.rule.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The calibrated thresholds for patches of `size` bytes on average.
fn thresholds_for(config: &ModelConfig, size: f32) -> Result<Thresholds, Failure> {
    let known = &config.patching;
    let of = |kind: &str| {
        known.threshold_for(kind, size).ok_or_else(|| {
            let sizes = known.thresholds.get(kind).map(Vec::as_slice).unwrap_or_default();
            match sizes {
                [(least, _), .., (most, _)] => Failure::usage(format!(
                    "the model's thresholds for {kind} are for patches of {least} to {most} bytes, not {size}"
                )),
                _ => Failure::usage(format!("the model has no calibrated thresholds for {kind}"))
                    .hint(Some("pass `--threshold NATS`")),
            }
        })
    };
    Ok(Thresholds {
        size,
        text: of("text")?,
        code: of("code")?,
        image: of("image")?,
        audio: of("audio")?,
        binary: of("binary")?,
    })
}

/// The threshold of a rule in nats, where it has one.
pub(crate) fn threshold_of(rule: &Rule) -> Option<f32> {
    match *rule {
        Rule::Global { threshold } | Rule::Monotonic { threshold } | Rule::GlobalMonotonic { threshold, .. } => {
            Some(threshold)
        }
        _ => None,
    }
}
