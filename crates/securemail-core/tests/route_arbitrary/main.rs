//! What must hold of a decision on any evidence, also on such as no driver would gather.

mod attacks;
mod evidence;
mod forged;
mod found;
mod invariants;
mod oracle;
mod partners;
mod pki;
mod texts;
