//! What a run of libFuzzer came to, read from what it prints.

use std::fmt;
use std::process::ExitStatus;

/// One target's run.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Outcome {
    /// Octets that were tried.
    executions: u64,
    /// Edges that the seeds reach, and those that were reached in the end.
    edges: Option<(u64, u64)>,
    /// The file with the octets that broke something.
    found: Option<String>,
    /// How libFuzzer ended.
    status: Option<ExitStatus>,
}

impl Outcome {
    /// Reads one line.
    pub(crate) fn note(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or(0);
        } else if let Some((_, file)) = line.split_once("Test unit written to ") {
            self.found = Some(file.to_owned());
        } else if let Some(edges) = edges(line) {
            // What comes before INITED counts seeds that are being read.
            let first = self.edges.filter(|_| !line.contains("INITED"));
            self.edges = Some((first.map_or(edges, |(first, _)| first), edges));
        }
    }

    /// Keeps how libFuzzer ended.
    pub(crate) const fn end(&mut self, status: ExitStatus) {
        self.status = Some(status);
    }

    /// Whether it ended as it should: it ran, nothing was found, and it says so itself.
    pub(crate) fn is_fine(&self) -> bool {
        let ended_well = self.status.is_some_and(|status| status.success());
        self.found.is_none() && self.executions > 0 && self.edges.is_some() && ended_well
    }
}

/// `#2048 NEW cov: 312 ft: 500 …`
fn edges(line: &str) -> Option<u64> {
    let (_, rest) = line
        .split_once(" cov: ")
        .filter(|_| line.starts_with('#'))?;
    rest.split(' ').next()?.parse().ok()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.edges.unwrap_or_default();
        write!(
            f,
            "{:>10} executions, {first:>6} -> {last:>6} edges",
            self.executions
        )?;
        match (&self.found, self.status) {
            (Some(file), _) => write!(f, ", FOUND {file}"),
            (None, _) if self.is_fine() => Ok(()),
            // `exit status: 1`, or `signal: 9 (SIGKILL)`.
            (None, Some(status)) if !status.success() => write!(f, ", ENDED BY {status}"),
            (None, _) => write!(f, ", DID NOT RUN"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    /// `status` as wait(2) has it: a signal, or an exit code times 256.
    fn ended(lines: &str, status: i32) -> Outcome {
        let mut outcome = Outcome::default();
        lines.lines().for_each(|line| outcome.note(line));
        outcome.end(ExitStatus::from_raw(status));
        outcome
    }

    fn of(lines: &str) -> Outcome {
        ended(lines, 0)
    }

    #[test]
    fn edges_are_those_of_the_seeds_and_those_of_the_end() {
        let said = "#2\tpulse  cov: 7 ft: 8 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #7\tINITED cov: 100 ft: 120 corp: 3/9b exec/s: 0 rss: 30Mb\n\
            #90\tNEW    cov: 130 ft: 150 corp: 4/9b lim: 4 exec/s: 0 rss: 30Mb\n\
            #1000\tDONE   cov: 131 ft: 150 corp: 4/9b lim: 4 exec/s: 500 rss: 30Mb\n\
            stat::number_of_executed_units: 1000\n";
        let outcome = of(said);
        assert_eq!(outcome.edges, Some((100, 131)));
        assert_eq!(outcome.executions, 1000);
        assert!(outcome.is_fine());
    }

    #[test]
    fn what_was_found_and_what_did_not_run_is_not_fine() {
        let found = "#7\tINITED cov: 1 ft: 1\nartifact_prefix='x/'; Test unit written to x/crash-1\n\
            stat::number_of_executed_units: 5\n";
        let outcome = of(found);
        assert_eq!(outcome.found.as_deref(), Some("x/crash-1"));
        assert!(!outcome.is_fine() && outcome.to_string().contains("FOUND x/crash-1"));
        let nothing = of("FUZZ_TARGET names no target");
        assert!(!nothing.is_fine() && nothing.to_string().contains("DID NOT RUN"));
        let blind = of("stat::number_of_executed_units: 5");
        assert!(!blind.is_fine(), "no edge was counted");
    }

    #[test]
    fn what_did_not_end_by_itself_is_not_fine_however_much_it_ran() {
        let ran = "#7\tINITED cov: 1 ft: 1\nstat::number_of_executed_units: 5\n";
        assert!(ended(ran, 0).is_fine());
        for (lines, status, said) in [
            (ran, 9, "signal: 9"),
            ("#7\tINITED cov: 1 ft: 1\n", 11, "signal: 11"),
            (ran, 77 << 8, "exit status: 77"),
        ] {
            let outcome = ended(lines, status);
            assert!(!outcome.is_fine());
            assert!(outcome.to_string().contains(said), "{outcome}");
        }
    }
}
