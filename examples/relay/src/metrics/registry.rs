//! Counts, and writes what it counted in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Numbers of one name.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// The name of the label, and all values that it can have.
    pub label: Option<(&'static str, &'static [&'static str])>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What this process counted. One for each relay: nothing is global.
#[derive(Debug, Default)]
pub struct Registry {
    counts: Mutex<BTreeMap<Series, u64>>,
    times: Mutex<BTreeMap<Series, Times>>,
}

/// A name, and the value of its label, or nothing.
type Series = (&'static str, &'static str);

/// Lengths of time: how many were within each bound, how many in all, and their sum.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    within: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Registry {
    pub fn count(&self, name: &'static str, label: &'static str) {
        let mut counts = lock(&self.counts);
        let count = counts.entry((name, label)).or_default();
        *count = count.saturating_add(1);
    }

    pub fn time(&self, name: &'static str, label: &'static str, took: Duration) {
        let mut times = lock(&self.times);
        let times = times.entry((name, label)).or_default();
        let seconds = took.as_secs_f64();
        for (within, bound) in times.within.iter_mut().zip(BOUNDS) {
            if seconds <= bound {
                *within = within.saturating_add(1);
            }
        }
        times.count = times.count.saturating_add(1);
        times.seconds += seconds;
    }

    /// All `families` in the text format, version 0.0.4. A gauge that is not among `gauges` could not be
    /// read, and is left out.
    pub fn text(&self, families: &[Family], gauges: &BTreeMap<&'static str, f64>) -> String {
        let mut text = String::new();
        for family in families {
            let written = match family.kind {
                Kind::Counter => self.write_counts(&mut text, family),
                Kind::Histogram => self.write_times(&mut text, family),
                Kind::Gauge => match gauges.get(family.name) {
                    Some(value) => write_gauge(&mut text, family, *value),
                    None => Ok(()),
                },
            };
            // A String takes everything.
            debug_assert!(written.is_ok());
        }
        text
    }

    fn write_counts(&self, text: &mut String, family: &Family) -> std::fmt::Result {
        head(text, family, "counter")?;
        let counts = lock(&self.counts);
        for value in values(family) {
            let count = counts.get(&(family.name, value)).copied().unwrap_or(0);
            writeln!(text, "{}{} {count}", family.name, labels(family, value, ""))?;
        }
        Ok(())
    }

    fn write_times(&self, text: &mut String, family: &Family) -> std::fmt::Result {
        head(text, family, "histogram")?;
        let times = lock(&self.times);
        let name = family.name;
        for value in values(family) {
            let Times {
                within,
                count,
                seconds,
            } = times.get(&(name, value)).copied().unwrap_or_default();
            for (bound, within) in BOUNDS.into_iter().zip(within) {
                let labels = labels(family, value, &format!("le=\"{bound}\""));
                writeln!(text, "{name}_bucket{labels} {within}")?;
            }
            let all = labels(family, value, "le=\"+Inf\"");
            writeln!(text, "{name}_bucket{all} {count}")?;
            let labels = labels(family, value, "");
            writeln!(text, "{name}_sum{labels} {seconds}")?;
            writeln!(text, "{name}_count{labels} {count}")?;
        }
        Ok(())
    }
}

fn write_gauge(text: &mut String, family: &Family, value: f64) -> std::fmt::Result {
    head(text, family, "gauge")?;
    writeln!(text, "{} {value}", family.name)
}

fn head(text: &mut String, family: &Family, kind: &str) -> std::fmt::Result {
    writeln!(text, "# HELP {} {}", family.name, family.help)?;
    writeln!(text, "# TYPE {} {kind}", family.name)
}

/// Every value of the label, seen or not: a number that is absent cannot be told from one that is zero.
fn values(family: &Family) -> impl Iterator<Item = &'static str> {
    let values = family.label.map_or(&[""][..], |(_, values)| values);
    values.iter().copied()
}

fn labels(family: &Family, value: &str, more: &str) -> String {
    let own = family.label.map(|(name, _)| format!("{name}=\"{value}\""));
    let parts: Vec<&str> = own
        .as_deref()
        .into_iter()
        .chain((!more.is_empty()).then_some(more))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", parts.join(","))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bounds in seconds: a session, the sender's patience, then the clocks of the policy.
const BOUNDS: [f64; 13] = [
    0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [Family; 3] = [
        Family {
            name: "a_total",
            kind: Kind::Counter,
            help: "A.",
            label: Some(("kind", &["x", "y"])),
        },
        Family {
            name: "b_seconds",
            kind: Kind::Histogram,
            help: "B.",
            label: None,
        },
        Family {
            name: "c",
            kind: Kind::Gauge,
            help: "C.",
            label: None,
        },
    ];

    #[test]
    fn what_was_counted_is_written_and_what_was_not_is_zero() {
        let registry = Registry::default();
        registry.count("a_total", "y");
        registry.count("a_total", "y");
        registry.time("b_seconds", "", Duration::from_millis(700));
        let text = registry.text(&FAMILIES, &BTreeMap::from([("c", 1.5)]));
        let lines: Vec<&str> = text.lines().collect();
        for line in [
            "# TYPE a_total counter",
            "a_total{kind=\"x\"} 0",
            "a_total{kind=\"y\"} 2",
            "b_seconds_bucket{le=\"0.5\"} 0",
            "b_seconds_bucket{le=\"1\"} 1",
            "b_seconds_bucket{le=\"+Inf\"} 1",
            "b_seconds_sum 0.7",
            "b_seconds_count 1",
            "# HELP c C.",
            "c 1.5",
        ] {
            assert!(lines.contains(&line), "`{line}` is missing:\n{text}");
        }
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn a_gauge_that_could_not_be_read_is_left_out() {
        let text = Registry::default().text(&FAMILIES, &BTreeMap::new());
        assert!(!text.contains("# TYPE c "), "{text}");
    }
}
