//! The client's session: what a server may say, and what may come of it.

use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use rustls::pki_types::CertificateDer;
use securemail_core::backend::{RecipientOutcome, SessionOutcome};
use securemail_core::route::{
    Authentication, Authority, Hop, PeerFailure, Trust, authenticate, public_key,
};
use securemail_core::vocab::{
    Address, Demands, DnsName, MemoryContent, RequireTls, ReversePath, Tlsa, UnixTime,
};
use securemail_smtp::proto::client::{Connected, Handshaking, Proved};
use securemail_smtp::proto::reply::{ReplyParser, WireReply};
use securemail_smtp::proto::transaction::{EightBit, Mail, Phase, Spelling, Transaction};
use securemail_testkit::ca::{Issued, TestCa};

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
const CONTENT: &[u8] = b"Subject: x\r\n\r\ncontent\r\n";

/// Replies of a server, from the greeting to the end. Content is sent only where the proof was and the server said so, and
/// is handed over only by a 250 behind the end of data.
pub(crate) fn client(octets: &[u8]) {
    let mut replies = replies(octets).into_iter();
    let mut next = || replies.next();
    let Some(greeting) = next() else {
        return;
    };
    let Ok(greeted) = Connected::new().handle_greeting(&greeting) else {
        return assert_ne!(greeting.code(), 220);
    };
    assert_eq!(greeting.code(), 220);
    let Some(Ok(clear)) = next().map(|reply| greeted.handle_ehlo(&reply)) else {
        return;
    };
    let Some(reply) = next() else {
        return;
    };
    let handshaking = match clear.handle_starttls(&reply, 0) {
        Ok(handshaking) => handshaking,
        Err(outcome) => {
            assert!(matches!(outcome, SessionOutcome::NoStartTls(_)));
            return assert_ne!(reply.code(), 220);
        }
    };
    assert_eq!(reply.code(), 220);
    let proved = prove(handshaking);
    assert!(proved.is_some(), "the right certificate proves nothing");
    let Some(transaction) = proved.and_then(|proved| begin(proved, &mut next)) else {
        return;
    };
    run(transaction, &mut next);
}

fn replies(octets: &[u8]) -> Vec<WireReply> {
    let (mut parser, mut buffer, mut found) =
        (ReplyParser::default(), BytesMut::from(octets), Vec::new());
    while let Ok(Some(reply)) = parser.next_reply(&mut buffer) {
        found.push(reply);
    }
    found
}

/// TLS with the host that TLSA records name.
fn prove(handshaking: Handshaking) -> Option<Proved> {
    let peer = PEER.as_ref()?;
    let hop = peer.hop()?;
    let chain = [CertificateDer::from(peer.issued.leaf_der.clone())];
    let proof = authenticate(&hop, &chain, NOW, &TRUST).ok()?;
    handshaking.prove(proof, &hop, &peer.issued.leaf_der).ok()
}

/// What the server says in TLS decides whether a message begins.
fn begin(proved: Proved, next: &mut impl FnMut() -> Option<WireReply>) -> Option<Transaction> {
    let ready = proved.handle_ehlo(&next()?).ok()?;
    let recipients: Vec<Address> = ["a@b.test", "c@b.test"]
        .iter()
        .filter_map(|one| one.parse().ok())
        .collect();
    let content = MemoryContent::new(CONTENT.into());
    let mail = Mail {
        reverse_path: &ReversePath::Null,
        recipients: &recipients,
        demands: Demands {
            smtp_utf8: false,
            require_tls: RequireTls::No,
        },
        content: Arc::new(content),
        eight_bit: EightBit::Absent,
        first: CONTENT.first().copied(),
    };
    ready.mail(mail).ok()
}

/// Sends group after group, then the content, then its end.
fn run(mut transaction: Transaction, next: &mut impl FnMut() -> Option<WireReply>) {
    let mut accepted = 0;
    while transaction.phase() == Phase::Commands {
        let mut out = BytesMut::new();
        let wanted = transaction.next_group(&mut out);
        assert!(wanted > 0, "it waits for nothing");
        let text = String::from_utf8_lossy(&out).into_owned();
        assert!(
            !text.contains("content"),
            "content before the server wants it"
        );
        for line in text.lines().take(wanted) {
            let Some(reply) = next() else {
                return assert_not_handed(transaction);
            };
            let is_recipient = line.starts_with("RCPT");
            accepted += usize::from(is_recipient && (200..300).contains(&reply.code()));
            transaction.handle_reply(&reply);
        }
    }
    if transaction.phase() != Phase::Content {
        return assert_not_handed(transaction);
    }
    assert!(accepted > 0, "content for nobody");
    if matches!(transaction.spelling(), Spelling::Chunks { .. })
        && let Some(reply) = next()
    {
        transaction.handle_chunk(&reply);
        assert!(reply.code() == 250 || transaction.phase() != Phase::Content);
        if transaction.phase() != Phase::Content {
            return assert_not_handed(transaction);
        }
    }
    transaction.dot_leaves();
    let Some(reply) = next() else {
        return assert_not_handed(transaction);
    };
    transaction.handle_final(&reply);
    let handed = count_handed(transaction);
    // In a group a server may say yes to a recipient and then close; it has none then.
    assert!(handed == 0 || reply.code() == 250 && handed <= accepted);
    assert!(handed > 0 || reply.code() != 250);
}

fn count_handed(transaction: Transaction) -> usize {
    let outcomes = transaction.into_outcomes();
    assert_eq!(outcomes.len(), 2);
    let handed = |one: &&RecipientOutcome| matches!(one, RecipientOutcome::HandedOver(_));
    outcomes.iter().filter(handed).count()
}

fn assert_not_handed(transaction: Transaction) {
    assert_eq!(count_handed(transaction), 0, "handed over without an end");
}

/// A chain that somebody shows: the first three octets change the leaf of the right one, the rest is shown behind it, and by
/// itself. Only the right key is the peer that TLSA records name, and only the right certificate the one of a root.
pub(crate) fn chain(octets: &[u8]) {
    let Some(peer) = &*PEER else {
        return assert!(octets.is_empty(), "there is no peer");
    };
    let Some((change, shown)) = octets.split_first_chunk::<3>() else {
        return;
    };
    let [high, low, with] = *change;
    let mut leaf = peer.issued.leaf_der.clone();
    let at = usize::from(u16::from_be_bytes([high, low])) % leaf.len().max(1);
    if let Some(octet) = leaf.get_mut(at) {
        *octet ^= with;
    }
    let is_right = with == 0;
    let has_key = |leaf: &[u8]| {
        public_key(leaf).is_some_and(|key| Some(key) == public_key(&peer.issued.leaf_der))
    };
    let certificates = [leaf.clone(), shown.to_vec()].map(CertificateDer::from);
    let foreign = [shown.to_vec(), leaf.clone()].map(CertificateDer::from);
    for (chain, has_key, is_right) in [
        (&certificates, has_key(&leaf), is_right),
        (&foreign, has_key(shown), shown == peer.issued.leaf_der),
    ] {
        let Some(hop) = peer.hop() else {
            return;
        };
        let proved = authenticate(&hop, chain, NOW, &TRUST);
        assert_eq!(proved.is_ok(), has_key);
        let pkix = Hop {
            authenticate: Authentication::Pkix {
                name: hop.host.clone(),
            },
            ..hop
        };
        let proved = authenticate(&pkix, chain, NOW, &peer.trust);
        assert_eq!(proved.is_ok(), is_right);
        let nobody = authenticate(&pkix, chain, NOW, &TRUST);
        assert!(nobody.is_err(), "a root that nobody trusts");
    }
    let none = peer
        .hop()
        .map(|hop| authenticate(&hop, &[], NOW, &TRUST).err());
    assert!(matches!(none, Some(Some(PeerFailure::NoCertificate))));
}

/// A host with its certificate.
struct Peer {
    issued: Issued,
    trust: Trust,
}

static PEER: LazyLock<Option<Peer>> = LazyLock::new(|| {
    let ca = TestCa::new().ok()?;
    let issued = ca.issue(&["mx.b.test"]).ok()?;
    let root = ca.root_der();
    let anchor = webpki::anchor_from_trusted_cert(&root).ok()?.to_owned();
    let trust = Trust {
        roots: vec![anchor],
        algorithms: TRUST.algorithms,
    };
    Some(Peer { issued, trust })
});

/// No root.
static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Trust {
        roots: Vec::new(),
        algorithms: provider.signature_verification_algorithms.all,
    }
});

impl Peer {
    fn hop(&self) -> Option<Hop> {
        let host = DnsName::parse("mx.b.test").ok()?;
        let record = Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: self.issued.spki_sha256.to_vec(),
        };
        Some(Hop {
            domain: DnsName::parse("b.test").ok()?,
            host: host.clone(),
            addresses: Vec::new(),
            port: 25,
            sni: host.clone(),
            authenticate: Authentication::Dane {
                records: vec![record],
                names: vec![host],
            },
            authority: Authority::Dnssec,
            must_name_domain: false,
        })
    }
}
