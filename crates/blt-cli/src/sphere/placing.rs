//! From arguments to the options of a placement. What has no effect with the other options is refused.

use blt_corpus::{EdgeOptions, Exports, PlaceOptions, PlacedFile, ProminencePool, RootsOptions};
use blt_sphere::{
    ChartKind, ChartSource, Classic, Draw, Ebm, Ensemble, FillOptions, Flow, LabelWeights, Lasing, Lateral, Levels,
    Method, MinRadius, Osmotic, PartitionRule, RadialOptions, RadialOrder, ScaleProfile, SeedScript, ShellSpacing,
    Temperature, Thrml, TreeOptions, Zone, ZoneOptions, ZoneTarget,
};

use super::args::{
    ChartArg, CompatArg, EnsembleArg, ExportArg, FilePoolArg, FillArgs, ForcesArg, LevelsArg, MethodArg, OrAuto,
    OrderArg, PartitionArg, RootsArgs, ScaleArg, SpacingArg, TargetZoneArg,
};
use crate::failure::Failure;

impl FillArgs {
    /// The options asked for.
    pub(crate) fn options(&self) -> Result<PlaceOptions, Failure> {
        self.refuse_unused()?;
        let scale = self.scale.unwrap_or(ScaleArg::Dev).profile();
        let (ebm, edges) = self.forces(&scale);
        let chart = match &self.chart_from {
            None => ChartSource::Fit {
                kind: self.chart.map_or(ChartKind::Pca, ChartArg::kind),
                equalize: !self.no_equalize,
            },
            Some(path) => {
                let chart = PlacedFile::open(path).and_then(|file| file.chart());
                let unusable = |error: blt_corpus::ReadError| {
                    let hint = error.hint();
                    Failure::new("cannot use the chart of `--chart-from`", error).hint(hint)
                };
                ChartSource::Stored(chart.map_err(unusable)?)
            }
        };
        let fill = FillOptions {
            method: self.method()?,
            radial: RadialOptions {
                order: match self.radial_order {
                    OrderArg::Core => RadialOrder::CoreFirst,
                    OrderArg::Rim => RadialOrder::RimFirst,
                },
                r_min: match self.min_radius {
                    None => MinRadius::Fixed(scale.r_min),
                    Some(OrAuto::Auto) => MinRadius::Auto,
                    Some(OrAuto::Number(radius)) => MinRadius::Fixed(radius),
                },
                r_max: self.max_radius.unwrap_or(scale.r_max),
                exponent: self.volume_exponent.unwrap_or(3.0),
                n_shells: self.shells,
                spacing: match self.shell_spacing {
                    None | Some(SpacingArg::Volume) => ShellSpacing::EqualVolume,
                    Some(SpacingArg::Width) => ShellSpacing::EqualWidth,
                },
            },
            lasing: self.lasing.map(|rate| Lasing { rate, ..Lasing::default() }),
            chart,
            zones: ZoneOptions {
                pole_angle: self.zone_angle.to_radians(),
                translucency: self.translucency,
                target: self.target_zone.map_or(ZoneTarget::Auto, TargetZoneArg::target),
            },
            ebm,
            seed: self.seed,
        };
        Ok(PlaceOptions { fill, edges })
    }

    fn moves(&self) -> bool {
        self.ebm || self.method == MethodArg::Ebm
    }

    fn method(&self) -> Result<Method, Failure> {
        let number = |default: f64| match self.temperature {
            None => Ok(default),
            Some(OrAuto::Number(temperature)) => Ok(temperature),
            Some(OrAuto::Auto) => {
                Err(Failure::usage("`--temperature auto` is for `--method entropy` only").hint(Some("give a number")))
            }
        };
        if let Some(CompatArg::SeedV07) = self.compat {
            return Ok(Method::SeedV07(match self.method {
                MethodArg::Osmotic => SeedScript::Osmotic,
                MethodArg::Thrml => SeedScript::Thrml,
                MethodArg::Entropy => SeedScript::Entropy { temperature: number(1e-5)? },
                MethodArg::Classic | MethodArg::Ebm => {
                    return Err(Failure::usage("`--compat seed-v0.7` has no such method")
                        .hint(Some("use `--method osmotic`, `thrml` or `entropy`")));
                }
            }));
        }
        Ok(match self.method {
            MethodArg::Osmotic | MethodArg::Ebm => Method::Osmotic(if self.dynamic {
                Osmotic::Dynamic(Flow { lateral: self.lateral.then(Lateral::default), ..Flow::default() })
            } else {
                Osmotic::Exact
            }),
            MethodArg::Thrml => {
                let defaults = Thrml::default();
                Method::Thrml(Thrml {
                    levels: self.levels.map_or(defaults.levels, |levels| match levels {
                        LevelsArg::Seed => Levels::Seed,
                        LevelsArg::Radii => Levels::Radii,
                    }),
                    ensemble: self.ensemble.map_or(defaults.ensemble, |ensemble| match ensemble {
                        EnsembleArg::Free => Ensemble::Free,
                        EnsembleArg::Canonical => Ensemble::Canonical,
                    }),
                    temperature: number(defaults.temperature)?,
                    draw: if self.deterministic_map { Draw::Likeliest } else { Draw::Random },
                })
            }
            MethodArg::Entropy => Method::Entropy {
                temperature: match self.temperature {
                    Some(OrAuto::Auto) => Temperature::Auto { kappa: self.kappa.unwrap_or(1.0) },
                    _ => Temperature::Nats(number(1.0)?),
                },
            },
            MethodArg::Classic => {
                let defaults = Classic::default();
                Method::Classic(Classic {
                    temperature: number(defaults.temperature)?,
                    budget: self.budget.unwrap_or(defaults.budget),
                    cap: self.cap,
                    dry_fraction: self.dry_fraction.unwrap_or(defaults.dry_fraction),
                })
            }
        })
    }

    fn forces(&self, scale: &ScaleProfile) -> (Option<Ebm>, EdgeOptions) {
        if !self.moves() {
            return (None, EdgeOptions::default());
        }
        let (mut ebm, weights) = match self.forces.unwrap_or(ForcesArg::Balanced) {
            ForcesArg::Balanced => (Ebm::default(), LabelWeights::default()),
            ForcesArg::Code => Ebm::code(),
            ForcesArg::Text => Ebm::text(),
        };
        ebm = ebm.scaled(scale);
        ebm.n_steps = self.steps.unwrap_or(ebm.n_steps);
        if let [first, last] = *self.annealing {
            (ebm.first_temperature, ebm.last_temperature) = (first, last);
        }
        ebm.metropolis = self.metropolis;
        let defaults = EdgeOptions::default();
        let n_neighbours = self.neighbours.unwrap_or(defaults.n_neighbours);
        (Some(ebm), EdgeOptions { weights, n_neighbours, ..defaults })
    }

    /// Options that would have no effect are refused.
    fn refuse_unused(&self) -> Result<(), Failure> {
        let method = self.method;
        let compat = self.compat.is_some();
        let osmotic = matches!(method, MethodArg::Osmotic | MethodArg::Ebm);
        let (thrml, classic, entropy) =
            (method == MethodArg::Thrml, method == MethodArg::Classic, method == MethodArg::Entropy);
        let auto = self.temperature == Some(OrAuto::Auto);
        let still = !self.moves();
        // Of the ball, the original's formulas use the core but for `thrml`, and the rim for `entropy` alone.
        let (uses_core, uses_rim) = (!(compat && thrml), !compat || entropy);
        // A scale is radii, and for forces steps of a size and temperatures.
        let is_scaled = self.min_radius.is_none() && uses_core || self.max_radius.is_none() && uses_rim || !still;
        for (is_unused, option, reason) in [
            (self.temperature.is_some() && (osmotic || (compat && thrml)), "--temperature", "this `--method`"),
            (
                self.kappa.is_some() && !(entropy && auto),
                "--kappa",
                "anything but `--method entropy --temperature auto`",
            ),
            (self.budget.is_some() && !classic, "--budget", "any method but `classic`"),
            (self.cap.is_some() && !classic, "--cap", "any method but `classic`"),
            (self.dry_fraction.is_some() && !classic, "--dry-fraction", "any method but `classic`"),
            (self.ensemble.is_some() && (!thrml || compat), "--ensemble", "any method but `thrml`"),
            (self.levels.is_some() && (!thrml || compat), "--levels", "any method but `thrml`"),
            (self.deterministic_map && (!thrml || compat), "--deterministic-map", "any method but `thrml`"),
            (self.dynamic && (!osmotic || compat), "--dynamic", "any method but `osmotic`"),
            (
                self.radial_order == OrderArg::Rim && compat,
                "--radial-order",
                "`--compat`, by which prominence goes to the rim",
            ),
            (self.min_radius.is_some() && !uses_core, "--min-radius", "`--compat` and this `--method`"),
            (self.max_radius.is_some() && !uses_rim, "--max-radius", "`--compat` and this `--method`"),
            (self.volume_exponent.is_some() && compat, "--volume-exponent", "`--compat`"),
            (self.shell_spacing.is_some() && compat, "--shell-spacing", "`--compat`, whose shells have one width"),
            (
                self.scale.is_some() && !is_scaled,
                "--scale",
                if compat { "`--compat` and these options" } else { "`--min-radius` and `--max-radius`" },
            ),
            (self.forces.is_some() && still, "--forces", "anything but `--ebm`"),
            (self.steps.is_some() && still, "--steps", "anything but `--ebm`"),
            (!self.annealing.is_empty() && still, "--annealing", "anything but `--ebm`"),
            (self.metropolis && still, "--metropolis", "anything but `--ebm`"),
            (self.neighbours.is_some() && still, "--neighbours", "anything but `--ebm`"),
            (
                self.translucency != 0.0 && self.target_zone == Some(TargetZoneArg::Natural),
                "--translucency",
                "`--target-zone natural`",
            ),
        ] {
            if is_unused {
                return Err(Failure::usage(format!("`{option}` has no effect with {reason}")));
            }
        }
        if !matches!(self.annealing.len(), 0 | 2) {
            return Err(Failure::usage("`--annealing` takes two temperatures, like `0.01,0.0001`"));
        }
        Ok(())
    }
}

impl ScaleArg {
    fn profile(self) -> ScaleProfile {
        ScaleProfile::ALL[self as usize]
    }
}

impl ChartArg {
    fn kind(self) -> ChartKind {
        match self {
            Self::Pca => ChartKind::Pca,
            Self::Random => ChartKind::Random,
            Self::Axes => ChartKind::Axes,
        }
    }
}

impl TargetZoneArg {
    pub(super) fn target(self) -> ZoneTarget {
        match self {
            Self::Auto => ZoneTarget::Auto,
            Self::Instruction => ZoneTarget::All(Zone::Instruction),
            Self::Content => ZoneTarget::All(Zone::Content),
            Self::Qa => ZoneTarget::All(Zone::Qa),
            Self::Natural => ZoneTarget::Natural,
        }
    }
}

impl FilePoolArg {
    pub(super) fn pool(self) -> ProminencePool {
        match self {
            Self::Max => ProminencePool::Max,
            Self::Mean => ProminencePool::Mean,
            Self::L2OfMean => ProminencePool::L2OfMean,
        }
    }
}

impl RootsArgs {
    pub(super) fn options(&self) -> RootsOptions {
        let partition = match self.partition {
            PartitionArg::Caps => PartitionRule::Caps,
            PartitionArg::Maxcut => PartitionRule::MaxCut,
            PartitionArg::Axis => PartitionRule::Axis,
            PartitionArg::Hybrid => PartitionRule::Hybrid,
        };
        RootsOptions {
            tree: TreeOptions { partition, leaf_size: self.leaf_size },
            n_partitions: self.partitions as usize,
            min_partition: self.min_partition,
        }
    }
}

/// The forms asked for; one has to hold embeddings where a later stage reads them.
pub(super) fn exports(args: &[ExportArg]) -> Exports {
    Exports {
        npz: args.contains(&ExportArg::Npz),
        safetensors: args.contains(&ExportArg::Safetensors),
        json: args.contains(&ExportArg::Json),
    }
}
