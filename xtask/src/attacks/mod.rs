//! Takes each defence of `docs/attacks.md` away, one at a time, and demands that the tests of its row fail.

mod notation;
mod removal;
mod scratch;
mod trial;

use std::time::{Duration, Instant};

use crate::failure::Failure;
pub(crate) use removal::Removal;
use scratch::Scratch;
use trial::{Built, Ended, Program};

/// With every defence in place no test takes longer, on a busy machine either.
const TEST_TAKES_MAX: Duration = Duration::from_secs(300);

/// Removals by what became of them.
#[derive(Debug, Default)]
struct Tally {
    noticed: usize,
    unnoticed: usize,
    broken: usize,
}

/// `cargo xtask attacks [WORD ..]`: all removals, or those that a word means.
pub(crate) fn run(words: &[&str]) -> Result<(), Failure> {
    let mut removals = Removal::all()?;
    let is_meant = |removal: &Removal| words.iter().any(|word| removal.is_meant_by(word));
    removals.retain(|removal| words.is_empty() || is_meant(removal));
    if removals.is_empty() {
        let words = words.join("`, `");
        return Err(Failure::new(format!("no removal is meant by `{words}`")));
    }
    let scratch = Scratch::open()?;
    let mut tally = Tally::default();
    for group in removals.chunk_by(|a, b| a.package == b.package && a.target == b.target) {
        // Without a defence many a test waits for what never comes.
        let limit = all_pass(&scratch, group)? * 5 + Duration::from_secs(20);
        for removal in group {
            tally.add(removal, tried(&scratch, removal, limit)?);
        }
    }
    tally.finish()
}

/// With every defence in place each test passes; else its failing would show nothing. How long the longest took.
fn all_pass(scratch: &Scratch, group: &[Removal]) -> Result<Duration, Failure> {
    let mut longest = Duration::ZERO;
    let Some(first) = group.first() else {
        return Ok(longest);
    };
    println!("=== {} {}", first.package, first.target);
    let program = match trial::build(scratch, &first.package, &first.target)? {
        Built::Program(program) => program,
        Built::Refused(said) => return Err(Failure::new(said)),
    };
    let mut tests: Vec<&str> = group
        .iter()
        .flat_map(|r| &r.tests)
        .map(String::as_str)
        .collect();
    tests.sort_unstable();
    tests.dedup();
    for test in tests {
        let began = Instant::now();
        if program.run(test, TEST_TAKES_MAX)? != Ended::Passed {
            let words = format!("`{test}` fails although every defence is in place");
            return Err(Failure::new(words));
        }
        longest = longest.max(began.elapsed());
    }
    Ok(longest)
}

/// Tries one removal and puts the defence back, whatever happens. Nothing: it does not compile.
fn tried(
    scratch: &Scratch,
    removal: &Removal,
    limit: Duration,
) -> Result<Option<Vec<(String, Ended)>>, Failure> {
    let text = scratch.apply(removal)?;
    let ended = match trial::build(scratch, &removal.package, &removal.target) {
        Ok(Built::Program(program)) => run_each(&program, removal, limit).map(Some),
        Ok(Built::Refused(said)) => {
            println!("{said}");
            Ok(None)
        }
        Err(failure) => Err(failure),
    };
    scratch.restore(removal, &text)?;
    ended
}

fn run_each(
    program: &Program,
    removal: &Removal,
    limit: Duration,
) -> Result<Vec<(String, Ended)>, Failure> {
    let tests = removal.tests.iter();
    tests
        .map(|test| Ok((test.clone(), program.run(test, limit)?)))
        .collect()
}

impl Tally {
    fn add(&mut self, removal: &Removal, ended: Option<Vec<(String, Ended)>>) {
        let Removal {
            row, gone, file, ..
        } = removal;
        let Some(ended) = ended else {
            self.broken += 1;
            println!("BROKEN     {row}: {gone} ({file}): does not compile");
            return;
        };
        let passed = ended.iter().filter(|(_, ended)| *ended == Ended::Passed);
        let passed: Vec<&str> = passed.map(|(test, _)| test.as_str()).collect();
        if passed.is_empty() {
            self.noticed += 1;
            println!("noticed    {row}: {gone}");
            return;
        }
        self.unnoticed += 1;
        let passed = passed.join("`, `");
        println!("UNNOTICED  {row}: {gone} ({file}): `{passed}` passes all the same");
    }

    fn finish(self) -> Result<(), Failure> {
        let Self {
            noticed,
            unnoticed,
            broken,
        } = self;
        let all = noticed + unnoticed + broken;
        let broken = match broken {
            0 => String::new(),
            count => format!(", {count} that do not compile"),
        };
        println!("{all} removals: {noticed} noticed, {unnoticed} unnoticed{broken}");
        if noticed == all {
            return Ok(());
        }
        Err(Failure::new("a defence can be lost and no test tells"))
    }
}
