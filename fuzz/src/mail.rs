//! Headers, parts, bodies, bounces, signed return paths.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use futures_util::FutureExt as _;
use securemail_core::dkim::BodyDigest;
use securemail_core::mail::{
    Field, HeaderView, Protocol, Trace, Wishes, check_submission, has_utf8_below,
    is_permanent_failure, read_report_mail, verp,
};
use securemail_core::secret::Key32;
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Credential, DnsName, Envelope, MemoryContent,
    Profile, QueueId, ReversePath, Tenant, TenantId, UnixTime, VaultId,
};

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);

/// Fields are all of the header and nothing else, whose lines end as they must; the wishes in it are read or refused.
pub(crate) fn header(octets: &[u8]) {
    let Ok(view) = HeaderView::parse(Bytes::copy_from_slice(octets)) else {
        return;
    };
    let fields: Vec<u8> = view.fields().flat_map(octets_of).collect();
    assert!(octets.starts_with(view.octets()) && fields == **view.octets());
    let text = String::from_utf8_lossy(&fields).replace("\r\n", "");
    assert!(!text.contains(['\r', '\n', '\0']), "a line ends otherwise");
    for field in view.fields() {
        let name = field.name().as_bytes();
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        assert!(!name.contains(&b':'));
    }
    for name in ["From", "To", "Cc", "Bcc", "Sender", "Resent-To"] {
        drop(view.mailboxes(name));
    }
    drop((view.message_id(), view.received_count()));
    drop(Wishes::read(&view));
}

fn octets_of(field: Field<'_>) -> Vec<u8> {
    field.raw().to_vec()
}

/// A report that failed, or not; and the octets as the status in a report of the right form: then one group of fields has
/// both an action that failed and a status that is permanent.
pub(crate) fn bounce(octets: &[u8]) {
    let failed = is_permanent_failure(octets);
    assert!(!failed || octets.contains(&b'5'), "nothing is permanent");
    let status = String::from_utf8_lossy(octets).replace("--", "__");
    let report = format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\n\r\nhello\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n--b--\r\n"
    );
    let lower = status.to_ascii_lowercase();
    let says_both =
        lower.contains("action") && lower.contains("failed") && lower.contains("status");
    assert!(
        !is_permanent_failure(report.as_bytes()) || says_both,
        "{status}"
    );
}

/// Nobody makes up a signed return path; one that we made says its notice, in small letters and large ones, and no other
/// once a sign of it is changed: the first octet says which, the second what stands there instead.
pub(crate) fn verp(octets: &[u8]) {
    let key = Key32::from_bytes([7; 32]);
    let text = std::str::from_utf8(octets).unwrap_or_default();
    if let Ok(address) = text.parse::<Address>() {
        assert!(verp::check(&key, &address).is_none());
    }
    let Some(([at, sign], id)) = octets.split_first_chunk::<2>() else {
        return;
    };
    let (Some(id), Ok(host)) = (id.first_chunk(), DnsName::parse("relay.test")) else {
        return;
    };
    let id = VaultId::from_bytes(*id);
    let Ok(path) = verp::make(&key, id, &host) else {
        return assert!(octets.is_empty(), "it cannot be made");
    };
    let (written, sign) = (path.to_string(), char::from(*sign).to_string());
    assert_eq!(verp::check(&key, &path), Some(id));
    let loud = written.to_ascii_uppercase().parse::<Address>();
    assert!(loud.is_ok_and(|loud| verp::check(&key, &loud) == Some(id)));
    let at = usize::from(*at) % written.len();
    let mut changed = written.clone();
    changed.replace_range(at..=at, &sign);
    if let Ok(changed) = changed.parse::<Address>()
        && !changed.to_string().eq_ignore_ascii_case(&written)
    {
        assert_eq!(verp::check(&key, &changed), None, "{changed}");
    }
}

/// Letters in the headers of parts are found where there are any, and only there.
pub(crate) fn parts(octets: &[u8]) {
    let octets = Bytes::copy_from_slice(octets);
    let Ok(view) = HeaderView::parse(octets.clone()) else {
        return;
    };
    let content = MemoryContent::new(octets.clone());
    // What lies in memory is there at once.
    let found = has_utf8_below(&view, &content).now_or_never();
    assert!(found.is_some_and(|found| found.is_ok_and(|found| !found || !octets.is_ascii())));
}

/// What is left of a header without the wishes in its subject is a header, and holds none.
pub(crate) fn tags(octets: &[u8]) {
    let Ok(view) = HeaderView::parse(Bytes::copy_from_slice(octets)) else {
        return;
    };
    let Ok(to) = "a@b.test".parse::<Address>() else {
        return;
    };
    let to = std::slice::from_ref(&to);
    if let Ok((rest, _)) = Wishes::take_tags(&view, to) {
        assert_eq!(rest.fields().count(), view.fields().count());
        assert!(HeaderView::parse(rest.octets().clone()).is_ok());
        // Within an encoded word, also one with a charset that is none, nothing is written as it reads.
        let subject = rest
            .get("Subject")
            .map(|field| field.text().to_ascii_lowercase())
            .filter(|text| !text.contains("=?"));
        for tag in [
            "[secure]",
            "[registered]",
            "[direct]",
            "[sms:",
            "[keep:",
            "[language:",
        ] {
            assert!(
                subject.as_ref().is_none_or(|text| !text.contains(tag)),
                "{subject:?}"
            );
        }
        let again = Wishes::take_tags(&rest, to);
        assert!(again.is_ok_and(|(again, _)| again.octets() == rest.octets()));
    }
}

/// A report about TLS that is attached comes out as it was; a mail without that type has none. The first line is the
/// author, the rest the report.
pub(crate) fn report_mail(octets: &[u8]) {
    let names_type = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets).to_ascii_lowercase();
        text.contains("multipart/report") || text.contains("multipart") && text.contains("report")
    };
    if let Ok(mail) = read_report_mail(octets) {
        assert!(names_type(octets) && mail.report.len() <= octets.len());
    }
    let mut parts = octets.splitn(2, |octet| *octet == b'\n');
    let author = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let report = parts.next().unwrap_or_default();
    let hex: String = report
        .iter()
        .map(|octet| format!("={octet:02X}=\r\n"))
        .collect();
    let mail = format!(
        "From: {}\r\nTLS-Report-Domain: a.test\r\nTLS-Report-Submitter: b.test\r\n\
         Content-Type: multipart/report; report-type=tlsrpt; boundary=b\r\n\r\n--b\r\n\
         Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{hex}\r\n--b--\r\n",
        author.replace(['\r', '\n'], " ")
    );
    let Ok(mail) = read_report_mail(mail.as_bytes()) else {
        return;
    };
    assert_eq!(mail.report, report);
    // Comments and quoted words may have addresses of others (RFC 5322, sections 3.2.2 and 3.2.4).
    if author.contains(['(', '"']) {
        return;
    }
    for (domain, _) in author.match_indices('@') {
        let domain = author.get(domain + 1..).unwrap_or_default();
        if let Ok(name) = DnsName::parse(domain.trim_end_matches('>')) {
            assert!(!name.as_str().contains('.') || mail.speaks_for_author(&name));
        }
    }
    assert!(!DnsName::parse("test").is_ok_and(|name| mail.speaks_for_author(&name)));
}

/// A message that may be handed in has one author of the account's domain and names its recipient, and leaves without
/// fields that speak to us, as a header that reads the same.
pub(crate) fn submission(octets: &[u8]) {
    let Some((envelope, account, tenant)) = sender() else {
        return;
    };
    let Ok(view) = HeaderView::parse(Bytes::copy_from_slice(octets)) else {
        return;
    };
    if check_submission(&view, &envelope, &account, &tenant).is_err() {
        return;
    }
    let names = |wanted: &str| view.fields().filter(|field| field.is(wanted)).count();
    assert!(names("From") == 1 && names("Bcc") == 0 && names("Resent-Bcc") == 0);
    let from = view.mailboxes("From");
    assert!(from.unreadable == 0 && !from.addresses.is_empty());
    assert!(
        from.addresses
            .iter()
            .all(|one| account.domains.contains(one.domain()))
    );
    let text = String::from_utf8_lossy(view.octets()).to_ascii_lowercase();
    assert!(text.contains("b.test"), "the recipient is hidden");
    let Some(by) = account.domains.first() else {
        return;
    };
    let trace = Trace {
        by,
        queue: QueueId::from_bytes([1; 16]),
        received: NOW,
        helo: &envelope.helo,
        with: Protocol::Esmtpsa,
        tls: None,
        recipients: &envelope.recipients,
        possible_duplicate: false,
    };
    let Ok(leaves) = HeaderView::parse(trace.header(&view)) else {
        return assert!(octets.is_empty(), "what leaves is no header");
    };
    for name in ["From", "To", "Cc", "Subject", "Message-ID", "Date"] {
        let values = |view: &HeaderView| view.all(name).map(octets_of).collect::<Vec<_>>();
        assert!(values(&leaves).starts_with(&values(&view)), "{name}");
    }
    assert!(leaves.fields().all(|field| {
        !field
            .name()
            .to_ascii_lowercase()
            .starts_with("x-securemail-")
    }));
}

fn sender() -> Option<(Envelope, Account, Tenant)> {
    let tenant: TenantId = "gemeente".parse().ok()?;
    let id = AccountId::new("jan");
    let domain = DnsName::parse("a.test").ok()?;
    let day = std::time::Duration::from_secs(86_400);
    let envelope = Envelope {
        tenant: tenant.clone(),
        account: id.clone(),
        reverse_path: ReversePath::Mailbox("jan@a.test".parse().ok()?),
        recipients: vec!["eva@b.test".parse().ok()?],
        helo: "client.a.test".to_owned(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let account = Account {
        id,
        tenant: tenant.clone(),
        kind: AccountKind::Sender,
        credential: Credential::Certificate([0; 32]),
        domains: vec![domain.clone()],
    };
    let tenant = Tenant {
        id: tenant,
        display_name: "Gemeente".to_owned(),
        domains: vec![domain],
        profile: Profile::Standard,
        domain_profiles: std::collections::BTreeMap::new(),
        languages: vec!["nl".to_owned()],
        lists: Vec::new(),
        forget_link: false,
        nta7516: None,
        subject_tags: false,
        retention: day * 30,
        grace: day * 7,
    };
    Some((envelope, account, tenant))
}

/// The digest of a body is the same however its octets are cut.
pub(crate) fn body(octets: &[u8]) {
    assert_eq!(digest(octets, octets.len().max(1)), digest(octets, 1));
}

fn digest(octets: &[u8], step: usize) -> Option<[u8; 32]> {
    let mut digest = BodyDigest::new();
    for piece in octets.chunks(step) {
        digest.update(piece).ok()?;
    }
    digest.finish().ok()
}
