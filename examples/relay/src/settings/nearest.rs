//! Which name somebody meant.

/// The candidate that differs least from `name`, if it is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((j, cb), above) in b.iter().enumerate().zip(row.windows(2)) {
            let [diagonal, up] = above else { continue };
            let left = next.get(j).copied().unwrap_or(usize::MAX - 1);
            next.push(
                (diagonal + usize::from(ca != *cb))
                    .min(up + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant() {
        let names = ["hostname", "data_dir", "profile"];
        assert_eq!(nearest("hostnme", names.into_iter()), Some("hostname"));
        assert_eq!(nearest("profil", names.into_iter()), Some("profile"));
        assert_eq!(nearest("zzzzzzzzzzzz", names.into_iter()), None);
    }
}
