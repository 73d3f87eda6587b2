//! Every target runs over its corpus, and over mutations of it that are the same in each run.

use std::fs;
use std::panic::{catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use fuzz_targets::{Target, targets};

/// Mutations of each seed.
const MUTATIONS: usize = 300;
/// Octets of a mutated seed.
const OCTETS_MAX: usize = 8192;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(!seeds.is_empty(), "{target} has no seed");
    seeds
}

/// Octets that mean something to some parser.
const TELLING: &[u8] = b"\0\r\n.\"<>@:;=,-_* \xff\x800\x30";

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(octets.len() + 1);
        match random.below(7) {
            0 => octets.truncate(at),
            1 => octets.insert(at, TELLING[random.below(TELLING.len())]),
            2 if at < octets.len() => octets[at] = u8::try_from(random.below(256)).unwrap(),
            3 if at < octets.len() => drop(octets.remove(at)),
            4 => {
                let other = &seeds[random.below(seeds.len())];
                octets.truncate(at);
                octets.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            5 => {
                let part = octets[at..].to_vec();
                octets.extend_from_slice(&part);
            }
            _ => {
                let octet = TELLING[random.below(TELLING.len())];
                let many = vec![octet; random.below(300)];
                octets.splice(at..at, many);
            }
        }
        octets.truncate(OCTETS_MAX);
    }
    octets
}

/// Panics, also those of other threads, which a store or a server turns into errors.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Whether a target finds nothing in these octets.
fn bears(target: Target, octets: &[u8]) -> bool {
    let before = PANICS.load(Ordering::SeqCst);
    let returned = catch_unwind(|| target(octets)).is_ok();
    returned && PANICS.load(Ordering::SeqCst) == before
}

/// The first octets that a target does not bear.
fn breaks(name: &str, target: Target) -> Option<String> {
    let seeds = corpus(name);
    let mut random = Random(name.bytes().map(u64::from).sum());
    let mutated = (0..MUTATIONS * seeds.len()).map(|_| mutate(&mut random, &seeds));
    let mut all = std::iter::once(Vec::new())
        .chain(seeds.clone())
        .chain(mutated);
    let found = all.find(|octets| !bears(target, octets))?;
    Some(format!("{name}: b\"{}\"", found.escape_ascii()))
}

#[test]
fn every_target_bears_its_corpus_and_its_mutations() {
    let hook = take_hook();
    set_hook(Box::new(move |what| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        hook(what);
    }));
    let broken: Vec<String> = targets()
        .filter_map(|(name, target)| breaks(name, target))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_corpus_has_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(targets().any(|(target, _)| target == name), "{name}");
    }
}
