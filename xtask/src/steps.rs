//! Runs named steps one after the other, counts tests in what they print, and sums up at the end.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The steps that ran so far. A failed step does not stop the others: one run tells all.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
    counts: Counts,
}

#[derive(Debug)]
struct Done {
    name: String,
    took: Duration,
    failure: Option<Failure>,
}

/// Tests, as the runners print them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Steps {
    /// Runs one step and remembers how it ended. Says whether it went well.
    pub(crate) fn run(
        &mut self,
        name: &str,
        step: impl FnOnce(&mut Counts) -> Result<(), Failure>,
    ) -> bool {
        println!("\n=== {name}");
        let began = Instant::now();
        let failure = step(&mut self.counts).err();
        if let Some(failure) = &failure {
            println!("--- {name}: {failure}");
        }
        let fine = failure.is_none();
        self.done.push(Done {
            name: name.to_owned(),
            took: began.elapsed(),
            failure,
        });
        fine
    }

    /// Prints minutes for each step and the sums, and fails where any step failed.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        println!("\n=== summary");
        for done in &self.done {
            let mark = if done.failure.is_some() {
                "FAILED"
            } else {
                "ok"
            };
            println!(
                "{:>6.1} min  {mark:<6}  {}",
                done.took.as_secs_f64() / 60.0,
                done.name
            );
        }
        let Counts {
            passed,
            failed,
            ignored,
        } = self.counts;
        println!("{passed} passed, {failed} failed, {ignored} ignored");
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|d| d.failure.is_some())
            .map(|d| d.name.as_str())
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(Failure::new(failed.join(", ")))
    }
}

/// A command, run in the root of the workspace.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a command with its output on the terminal.
pub(crate) fn run(mut command: Command) -> Result<(), Failure> {
    let shown = show(&command);
    println!("$ {shown}");
    let status = command.status().map_err(Failure::doing(&shown))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{shown}` ended with {status}")))
}

/// Runs a command, shows what it prints, and counts the tests that it reports.
pub(crate) fn run_counted(mut command: Command, counts: &mut Counts) -> Result<(), Failure> {
    let shown = show(&command);
    println!("$ {shown}");
    let (reader, writer) = std::io::pipe().map_err(Failure::doing(&shown))?;
    let errors = writer.try_clone().map_err(Failure::doing(&shown))?;
    let mut child = command
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .map_err(Failure::doing(&shown))?;
    drop(command); // it holds the write ends, and the reader waits for the last one
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(Failure::doing(&shown))?;
        let line = String::from_utf8_lossy(&line);
        counts.read(&line);
        println!("{line}");
    }
    let status = child.wait().map_err(Failure::doing(&shown))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{shown}` ended with {status}")))
}

/// What a command prints on standard output.
pub(crate) fn output_of(mut command: Command) -> Result<String, Failure> {
    let shown = show(&command);
    let output = command.output().map_err(Failure::doing(&shown))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "`{shown}` ended with {}\n{said}",
        output.status
    )))
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

impl Counts {
    /// Adds what a line of cargo test or of cargo nextest says.
    fn read(&mut self, line: &str) {
        let line = line.trim();
        let is_sum = line.starts_with("test result:")
            || (line.starts_with("Summary [") && line.contains(" run: "));
        if !is_sum {
            return;
        }
        self.passed += number_before(line, " passed");
        self.failed += number_before(line, " failed") + number_before(line, " timed out");
        self.ignored += number_before(line, " ignored") + number_before(line, " skipped");
    }
}

/// The number that stands directly before `word`, or 0.
fn number_before(line: &str, word: &str) -> u64 {
    let Some(before) = line.split(word).next().filter(|_| line.contains(word)) else {
        return 0;
    };
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn counted(line: &str) -> (u64, u64, u64) {
        let mut counts = Counts::default();
        counts.read(line);
        (counts.passed, counts.failed, counts.ignored)
    }

    #[test]
    fn sums_of_both_runners_are_read() {
        let libtest = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered";
        assert_eq!(counted(libtest), (12, 3, 1));
        let nextest =
            "     Summary [   1.2s] 14 tests run: 10 passed (1 slow), 4 failed, 2 skipped";
        assert_eq!(counted(nextest), (10, 4, 2));
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(counted("I once saw 7 passed cars"), (0, 0, 0));
    }
}
