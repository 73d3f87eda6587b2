//! Rules that no compiler checks: layers, crate edges, licences, witnesses, lengths, words.

mod clauses;
mod crates;
mod golden;
mod layers;
mod licence;
mod promises;
mod removals;
mod rules;
mod source;
mod text;
mod witness;

use crate::attacks::Removal;
use crate::failure::Failure;
use source::Source;

/// Runs every rule and prints every breach.
pub(crate) fn run() -> Result<(), Failure> {
    let sources = Source::tracked()?;
    let mut breaches = Vec::new();
    breaches.extend(layers::check(&sources));
    breaches.extend(witness::check(&sources));
    breaches.extend(text::check(&sources));
    breaches.extend(golden::check(&sources));
    breaches.extend(promises::check(&sources));
    breaches.extend(removals::check(&sources, &Removal::all()?));
    breaches.extend(rules::check(&sources));
    breaches.extend(clauses::check(&sources));
    breaches.extend(crates::check()?);
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("tidy found {count} breaches"))),
    }
}
