//! Texts of MTA-STS with what each of them means, read by a person and not by the engine.

/// What a policy says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Meaning {
    pub(crate) mode: Mode,
    pub(crate) hosts: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Enforce,
    Testing,
    None,
}

const fn meaning(mode: Mode, hosts: &'static [&'static str]) -> Option<Meaning> {
    Some(Meaning { mode, hosts })
}

/// Bodies of policies; those that are none mean nothing (RFC 8461, section 3.2).
pub(crate) const POLICIES: [(&str, Option<Meaning>); 12] = [
    (
        "version: STSv1\nmode: enforce\nmx: mx1.example.org\nmax_age: 86400\n",
        meaning(Mode::Enforce, &["mx1.example.org"]),
    ),
    (
        "version: STSv1\r\nmode: enforce\r\nmx: *.example.org\r\nmx: mx.host.example\r\nmax_age: 604800\r\n",
        meaning(Mode::Enforce, &["*.example.org", "mx.host.example"]),
    ),
    (
        "version: STSv1\nmode: enforce\nmx: mx.host.example\nmax_age: 0\n",
        meaning(Mode::Enforce, &["mx.host.example"]),
    ),
    (
        "version: STSv1\nmode: enforce\nmx: other.example\nmax_age: 86400\n",
        meaning(Mode::Enforce, &["other.example"]),
    ),
    (
        "version: STSv1\nmode: enforce\nmx: *.org\nmx: *.host.example\nmax_age: 86400",
        meaning(Mode::Enforce, &["*.org", "*.host.example"]),
    ),
    (
        "version: STSv1\nmode: testing\nmx: *.host.example\nmax_age: 86400\n",
        meaning(Mode::Testing, &["*.host.example"]),
    ),
    (
        "version: STSv1\nmode: testing\nmx: other.example\nmax_age: 86400\n",
        meaning(Mode::Testing, &["other.example"]),
    ),
    (
        "version: STSv1\nmode: none\nmax_age: 86400\n",
        meaning(Mode::None, &[]),
    ),
    ("version: STSv1\nmode: enforce\nmax_age: 86400\n", None),
    (
        "version: STSv2\nmode: none\nmx: mx1.example.org\nmax_age: 86400\n",
        None,
    ),
    ("<html>Welcome</html>", None),
    ("", None),
];

/// TXT records at `_mta-sts`, with the id that they announce (RFC 8461, section 3.1).
pub(crate) const ANNOUNCEMENTS: [(&[&str], Option<&str>); 8] = [
    (&["v=STSv1; id=0;"], Some("0")),
    (&["v=STSv1; id=1"], Some("1")),
    (&["v=STSv1; id=2;"], Some("2")),
    (&["v=spf1 -all", "v=STSv1; id=2"], Some("2")),
    (&["v=STSv1; id=1", "v=STSv1; id=2"], None),
    (&["v=STSv1; id="], None),
    (&["v=STSv2; id=1"], None),
    (&["v=spf1 -all"], None),
];

impl Meaning {
    /// Whether it names a host; a star stands for one whole label (RFC 8461, section 4.1).
    pub(crate) fn names(&self, host: &str) -> bool {
        self.hosts
            .iter()
            .any(|pattern| match pattern.strip_prefix('*') {
                Some(below) => host
                    .strip_suffix(below)
                    .is_some_and(|label| !label.is_empty() && !label.contains('.')),
                None => *pattern == host,
            })
    }
}

/// What the body of a policy means.
pub(crate) fn read_policy(body: &str) -> Option<Meaning> {
    let (_, meaning) = POLICIES.iter().find(|(text, _)| *text == body)?;
    *meaning
}

/// Which id records announce.
pub(crate) fn read_announcement(records: &[String]) -> Option<&'static str> {
    let (_, id) = ANNOUNCEMENTS
        .iter()
        .find(|(texts, _)| texts.iter().eq(records.iter()))?;
    *id
}
