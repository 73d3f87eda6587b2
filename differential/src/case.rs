//! One made-up recipient domain: every property that a decision depends on, drawn from a seed.

use std::fmt;

use sha2::{Digest, Sha256};

/// How far the answers of a zone can be proved.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Zone {
    /// Signed.
    Secure,
    /// Its parent proves that it is not signed.
    Insecure,
    /// Its signatures are wrong.
    Bogus,
}

/// What the domain says of its mail servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mx {
    /// One host.
    One,
    /// No MX record; the domain has an address.
    Implicit,
    /// A null MX (RFC 7505).
    Null,
    /// A null MX beside a host, which RFC 7505 forbids.
    NullAndHost,
    /// Hosts of different preference.
    Several,
    /// Hosts of one preference.
    Equal,
    /// One host that does not exist.
    Missing,
    /// The domain is an alias of a name in this zone, which has the MX record.
    Aliased(Zone),
    /// The domain does not exist.
    Absent,
}

/// Whether a host's name is an alias.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alias {
    /// It is not.
    None,
    /// Of a name in this zone.
    To(Zone),
    /// Of an alias in the first zone of a name in the second.
    Twice(Zone, Zone),
}

/// Of which certificate a TLSA record speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Of {
    /// The leaf.
    Leaf,
    /// What signed the leaf; a leaf that signed itself.
    Issuer,
    /// The end of the chain.
    Root,
    /// A certificate that is nowhere else.
    Other,
}

/// One TLSA record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    /// Certificate usage.
    pub(crate) usage: u8,
    /// Selector.
    pub(crate) selector: u8,
    /// Matching type.
    pub(crate) matching: u8,
    /// The association.
    pub(crate) of: Of,
    /// So many octets of the association data, if not all.
    pub(crate) cut: Option<usize>,
}

/// Where the records of an alias stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// At the name that the MX record has.
    Initial,
    /// At the name at which the addresses stand.
    Final,
    /// At both.
    Both,
    /// Wrong ones at the last name, these at the first.
    InitialAndWrongAtFinal,
}

/// Who signed a leaf.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Issuer {
    /// A root that both sides trust, by its intermediate.
    Trusted,
    /// A root that nobody knows, by its intermediate.
    Private,
    /// Itself.
    Itself,
}

/// What stands between leaf and root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Between {
    /// A good intermediate, which is shown.
    Shown,
    /// A good intermediate, which is not shown.
    Hidden,
    /// One that has expired.
    Expired,
    /// Nothing.
    Nothing,
}

/// When a leaf is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Validity {
    /// Now.
    Now,
    /// It was, years ago.
    Past,
    /// It will be.
    Future,
}

/// Which name a leaf bears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Named {
    /// The host as the MX record has it.
    Host,
    /// The name at which the addresses stand.
    Final,
    /// The recipient domain.
    Domain,
    /// Another name.
    Other,
    /// `*` in place of the host's first label.
    Wildcard,
    /// `*` in place of a label too few.
    DeepWildcard,
    /// The host's name, but only as common name.
    CommonName,
}

/// What else is odd about a leaf.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Nothing.
    Server,
    /// It is a certificate authority.
    Authority,
    /// It is for clients only.
    Client,
}

/// What a host answers to STARTTLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Chain {
    /// Who signed the leaf.
    pub(crate) issuer: Issuer,
    /// What stands between.
    pub(crate) between: Between,
    /// The root is shown.
    pub(crate) root_shown: bool,
    /// When the leaf is valid.
    pub(crate) validity: Validity,
    /// Its name.
    pub(crate) named: Named,
    /// Its kind.
    pub(crate) kind: Kind,
}

/// One mail server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Host {
    /// Where its name stands.
    pub(crate) zone: Zone,
    /// Whether that is an alias.
    pub(crate) alias: Alias,
    /// Its TLSA records.
    pub(crate) tlsa: Vec<Record>,
    /// Where they stand.
    pub(crate) place: Place,
    /// They stand behind an alias of their own, in this zone.
    pub(crate) tlsa_alias: Option<Zone>,
    /// What it shows; nothing where it has no STARTTLS.
    pub(crate) chain: Option<Chain>,
}

/// The MTA-STS policy of the domain (RFC 8461).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sts {
    /// None.
    None,
    /// Mode enforce, and whether it names the hosts.
    Enforce(bool),
    /// Mode testing, and whether it names the hosts.
    Testing(bool),
}

/// One domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Case {
    /// Its number; with the seed it gives all the rest.
    pub(crate) id: u64,
    /// Where its name stands.
    pub(crate) zone: Zone,
    /// Its mail servers, in words of the DNS.
    pub(crate) mx: Mx,
    /// Its hosts, the most preferred first.
    pub(crate) hosts: Vec<Host>,
    /// Its policy.
    pub(crate) sts: Sts,
}

impl Zone {
    /// Its name.
    #[must_use]
    pub(crate) const fn apex(self) -> &'static str {
        match self {
            Self::Secure => "diff.test",
            Self::Insecure => "open.diff.test",
            Self::Bogus => "bad.diff.test",
        }
    }
}

impl Mx {
    /// How many hosts stand in the records.
    const fn hosts(self) -> usize {
        match self {
            Self::Several => 3,
            Self::Equal => 2,
            Self::Absent | Self::Missing | Self::Null => 0,
            Self::Aliased(_) | Self::Implicit | Self::NullAndHost | Self::One => 1,
        }
    }
}

impl Case {
    /// Draws it.
    #[must_use]
    pub(crate) fn draw(seed: u64, id: u64) -> Self {
        let mut draw = Draw::new(seed, id);
        let zone = draw.zone(70);
        let mx = if draw.percent(45) {
            Mx::One
        } else {
            match draw.below(11) {
                0 => Mx::Implicit,
                1 => Mx::Null,
                2 => Mx::NullAndHost,
                3 | 4 => Mx::Several,
                5 | 6 => Mx::Equal,
                7 => Mx::Missing,
                8 | 9 => Mx::Aliased(draw.zone(50)),
                _ => Mx::Absent,
            }
        };
        let hosts = (0..mx.hosts())
            .map(|_| Host::draw(&mut draw, mx, zone))
            .collect();
        let sts = match draw.below(20) {
            0 | 1 => Sts::Enforce(true),
            2 => Sts::Enforce(false),
            3 => Sts::Testing(true),
            4 => Sts::Testing(false),
            _ => Sts::None,
        };
        Self {
            id,
            zone,
            mx,
            hosts,
            sts,
        }
    }

    /// The recipient domain.
    #[must_use]
    pub(crate) fn domain(&self) -> String {
        format!("d{}.{}", self.id, self.zone.apex())
    }

    /// The name at which the MX records stand.
    #[must_use]
    pub(crate) fn expanded(&self) -> String {
        match self.mx {
            Mx::Aliased(zone) => format!("e{}.{}", self.id, zone.apex()),
            _ => self.domain(),
        }
    }

    /// The name of a host in the MX record.
    #[must_use]
    pub(crate) fn host_name(&self, index: usize) -> String {
        let zone = self.hosts.get(index).map_or(self.zone, |host| host.zone);
        match self.mx {
            Mx::Implicit => self.domain(),
            _ => format!("h{}x{index}.{}", self.id, zone.apex()),
        }
    }

    /// The name at which the addresses of a host stand.
    #[must_use]
    pub(crate) fn final_name(&self, index: usize) -> String {
        let alias = self.hosts.get(index).map_or(Alias::None, |host| host.alias);
        match alias {
            Alias::None => self.host_name(index),
            Alias::To(zone) | Alias::Twice(_, zone) => {
                format!("t{}x{index}.{}", self.id, zone.apex())
            }
        }
    }

    /// The preference of a host.
    #[must_use]
    pub(crate) const fn preference(&self, index: usize) -> usize {
        match self.mx {
            Mx::Equal => 10,
            _ => 10 + index,
        }
    }
}

impl Host {
    fn draw(draw: &mut Draw, mx: Mx, domain: Zone) -> Self {
        let zone = if mx == Mx::Implicit {
            domain
        } else {
            draw.zone(75)
        };
        let alias = match draw.below(10) {
            _ if mx == Mx::Implicit => Alias::None,
            0 | 1 => Alias::To(draw.zone(50)),
            2 => Alias::Twice(draw.zone(60), draw.zone(60)),
            _ => Alias::None,
        };
        let chain = Chain::draw(draw);
        let tlsa = records(draw, chain);
        let place = match draw.below(8) {
            0 | 1 => Place::Initial,
            2..=4 => Place::Final,
            5 => Place::InitialAndWrongAtFinal,
            _ => Place::Both,
        };
        let tlsa_alias = draw.percent(12).then(|| draw.zone(50));
        let chain = (!draw.percent(6)).then_some(chain);
        Self {
            zone,
            alias,
            tlsa,
            place,
            tlsa_alias,
            chain,
        }
    }
}

impl Chain {
    /// A leaf that signed itself, with nothing odd about it.
    pub(crate) const ORDINARY: Self = Self {
        issuer: Issuer::Itself,
        between: Between::Nothing,
        root_shown: false,
        validity: Validity::Now,
        named: Named::Host,
        kind: Kind::Server,
    };

    fn draw(draw: &mut Draw) -> Self {
        let issuer = match draw.below(5) {
            0 | 1 => Issuer::Trusted,
            2 | 3 => Issuer::Private,
            _ => Issuer::Itself,
        };
        let between = match draw.below(10) {
            0..=4 => Between::Shown,
            5 => Between::Hidden,
            6 => Between::Expired,
            _ => Between::Nothing,
        };
        let validity = match draw.below(10) {
            0 | 1 => Validity::Past,
            2 => Validity::Future,
            _ => Validity::Now,
        };
        let named = match draw.below(16) {
            0 => Named::Final,
            1 => Named::Domain,
            2 | 3 => Named::Other,
            4 => Named::Wildcard,
            5 => Named::DeepWildcard,
            6 => Named::CommonName,
            _ => Named::Host,
        };
        let kind = match draw.below(16) {
            0 => Kind::Authority,
            1 => Kind::Client,
            _ => Kind::Server,
        };
        Self {
            issuer,
            between,
            root_shown: draw.percent(50),
            validity,
            named,
            kind,
        }
    }
}

/// The TLSA records of one host: none, one, one with a fault, or several.
fn records(draw: &mut Draw, chain: Chain) -> Vec<Record> {
    let ee = |selector, matching, of| Record {
        usage: 3,
        selector,
        matching,
        of,
        cut: None,
    };
    let selector = draw.byte(2);
    match draw.below(20) {
        0 | 1 => Vec::new(),
        2..=5 => vec![ee(selector, draw.byte(3), Of::Leaf)],
        6 => vec![ee(selector, 1 + draw.byte(2), Of::Other)],
        7..=10 => vec![anchor(draw, chain, selector)],
        11 => vec![Record {
            usage: draw.byte(2),
            ..ee(selector, draw.byte(3), Of::Leaf)
        }],
        12 => vec![strange(draw, selector)],
        13 => vec![Record {
            cut: [0, 1, 2, 3, 31, 63].get(draw.below(6)).copied(),
            ..ee(selector, draw.byte(3), Of::Leaf)
        }],
        // A rollover: the next key, the present one (RFC 7671, section 8.1).
        14 => vec![ee(1, 1, Of::Other), ee(1, 1, Of::Leaf)],
        // Digest agility (RFC 7671, section 9), the right one weak or strong.
        15 => vec![ee(selector, 2, Of::Other), ee(selector, 1, Of::Leaf)],
        16 => vec![ee(selector, 1, Of::Other), ee(selector, 2, Of::Leaf)],
        // The stronger digest is malformed, so it does not count.
        17 => vec![
            Record {
                cut: Some(32),
                ..ee(selector, 2, Of::Leaf)
            },
            ee(selector, 1, Of::Leaf),
        ],
        18 => vec![ee(1, 1, Of::Other), anchor(draw, chain, selector)],
        _ => {
            let mut all: Vec<Record> = (0..6).map(|_| ee(1, 1, Of::Other)).collect();
            all.push(strange(draw, selector));
            all.push(anchor(draw, chain, 1 - selector));
            all
        }
    }
}

fn anchor(draw: &mut Draw, chain: Chain, selector: u8) -> Record {
    let of = match draw.below(8) {
        0 => Of::Leaf,
        1 => Of::Other,
        2..=4 => Of::Root,
        _ => Of::Issuer,
    };
    // A root without an intermediate is what signed the leaf.
    let of = match (of, chain.between) {
        (Of::Issuer, Between::Nothing) => Of::Root,
        (of, _) => of,
    };
    Record {
        usage: 2,
        selector,
        matching: draw.byte(3),
        of,
        cut: None,
    }
}

/// Parameters that nobody has defined (RFC 6698, section 4.1).
fn strange(draw: &mut Draw, selector: u8) -> Record {
    let (usage, selector, matching) = match draw.below(5) {
        0 => (4, selector, 1),
        1 => (255, selector, 1),
        2 => (3, 2, 1),
        3 => (3, selector, 3),
        _ => (3, selector, 255),
    };
    Record {
        usage,
        selector,
        matching,
        of: Of::Leaf,
        cut: None,
    }
}

/// Numbers that look random and depend on seed and case alone.
struct Draw {
    seed: u64,
    id: u64,
    count: u64,
}

impl Draw {
    const fn new(seed: u64, id: u64) -> Self {
        Self { seed, id, count: 0 }
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        let mut hash = Sha256::new();
        for number in [self.seed, self.id, self.count] {
            hash.update(number.to_be_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        digest
            .iter()
            .take(8)
            .fold(0, |number, octet| (number << 8) | u64::from(*octet))
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    fn byte(&mut self, limit: u8) -> u8 {
        u8::try_from(self.next() % u64::from(limit)).unwrap_or_default()
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn zone(&mut self, secure_percent: usize) -> Zone {
        match (self.percent(secure_percent), self.below(4)) {
            (true, _) => Zone::Secure,
            (false, 0) => Zone::Bogus,
            (false, _) => Zone::Insecure,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mx {:?} sts {:?}", self.domain(), self.mx, self.sts)?;
        for (index, host) in self.hosts.iter().enumerate() {
            write!(f, "\n    {} {:?}", self.host_name(index), host)?;
        }
        Ok(())
    }
}
