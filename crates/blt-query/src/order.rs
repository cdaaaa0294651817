//! Rows of an answer are in one order. Polars leaves that of groups, joins and ties open unless a plan asks for it, and SQL has no
//! words to ask.

use std::sync::Arc;

use polars::prelude::*;

/// Asks for it wherever `plan` can: groups and distinct rows come as they are first met, rows of a join as their left and right
/// sides have them, and what sorts as equal stays as it was.
pub(crate) fn keep(plan: &mut DslPlan) {
    while let DslPlan::IR { dsl, .. } = plan {
        // What was only resolved already, to know its columns.
        *plan = DslPlan::clone(dsl);
    }
    match plan {
        DslPlan::GroupBy { maintain_order, .. } => *maintain_order = true,
        DslPlan::Distinct { options, .. } => options.maintain_order = true,
        DslPlan::Sort { sort_options, .. } => sort_options.maintain_order = true,
        DslPlan::Join { options, .. } => Arc::make_mut(options).args.maintain_order = MaintainOrderJoin::LeftRight,
        DslPlan::Union { args, .. } => args.maintain_order = true,
        _ => {}
    }
    match plan {
        DslPlan::Filter { input, .. }
        | DslPlan::Cache { input, .. }
        | DslPlan::Select { input, .. }
        | DslPlan::GroupBy { input, .. }
        | DslPlan::HStack { input, .. }
        | DslPlan::MatchToSchema { input, .. }
        | DslPlan::Distinct { input, .. }
        | DslPlan::Sort { input, .. }
        | DslPlan::Slice { input, .. }
        | DslPlan::MapFunction { input, .. }
        | DslPlan::Sink { input, .. } => keep(Arc::make_mut(input)),
        DslPlan::Join { input_left: left, input_right: right, .. }
        | DslPlan::Gather { input: left, idxs: right, .. } => {
            keep(Arc::make_mut(left));
            keep(Arc::make_mut(right));
        }
        DslPlan::Union { inputs, .. } | DslPlan::HConcat { inputs, .. } => inputs.iter_mut().for_each(keep),
        DslPlan::ExtContext { input, contexts } => {
            keep(Arc::make_mut(input));
            contexts.iter_mut().for_each(keep);
        }
        _ => {}
    }
}
