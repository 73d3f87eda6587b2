//! What an operator must hear of: validators and vantages that contradict each other, and falls.

use super::decision::{Decision, Route, Subject};
use super::evidence::Evidence;
use super::policy::is_same;
use super::rule::Rule;
use crate::vocab::{Alarm, DnsName, LookupFailure, Outcome};

/// Every contradiction in `evidence`, with the name that was asked for.
///
/// A server that is silent contradicts nobody.
#[must_use]
pub fn contradictions(evidence: &Evidence) -> Vec<(Alarm, DnsName)> {
    let disagreed = |outcome: &Outcome| *outcome == Outcome::Failed(LookupFailure::Disagreement);
    let validators = evidence
        .dns
        .iter()
        .filter(|asked| disagreed(&asked.answer.outcome))
        .map(|asked| (Alarm::Disagreement, asked.question.name.clone()));
    let vantages = evidence
        .vantages
        .iter()
        .filter(|seen| {
            let ours = evidence
                .answer(&seen.question)
                .map(|answer| &answer.outcome);
            let theirs = seen.views.iter().map(|view| &view.answer.outcome);
            ours.is_some_and(|ours| theirs.into_iter().any(|theirs| contradicts(ours, theirs)))
        })
        .map(|seen| (Alarm::Vantage, seen.question.name.clone()));
    validators.chain(vantages).collect()
}

/// What was safer before, where mail is delivered all the same: a host without the TLSA records that it had, or
/// a domain whose list or policy is gone and whose host proves itself otherwise (rule H-01). What is held
/// for a fall calls the operator by itself.
#[must_use]
pub fn fall(decision: &Decision) -> Option<&Subject> {
    let Route::Deliver(_) = decision.route else {
        return None;
    };
    let mut findings = decision.findings.iter();
    let found = findings.find(|finding| finding.rule == Rule::H01);
    found.map(|finding| &finding.subject)
}

fn contradicts(ours: &Outcome, theirs: &Outcome) -> bool {
    let is_said = |outcome: &Outcome| !matches!(outcome, Outcome::Failed(_));
    is_said(ours) && is_said(theirs) && !is_same(ours, theirs)
}
