//! Headers, parts, bodies, bounces, signed return paths.

use bytes::Bytes;
use futures_util::FutureExt as _;
use securemail_core::dkim::BodyDigest;
use securemail_core::mail::{HeaderView, Wishes, has_utf8_below, is_permanent_failure, verp};
use securemail_core::secret::Key32;
use securemail_core::vocab::{Address, MemoryContent};

/// Every field lies within the header, and the wishes in it are read or refused.
pub(crate) fn header(octets: &[u8]) {
    let Ok(view) = HeaderView::parse(Bytes::copy_from_slice(octets)) else {
        return;
    };
    assert!(view.octets().len() <= octets.len());
    for name in ["From", "To", "Cc", "Bcc", "Sender", "Resent-To"] {
        drop(view.mailboxes(name));
    }
    drop((view.message_id(), view.received_count()));
    drop(Wishes::read(&view));
}

/// A report that failed, or not.
pub(crate) fn bounce(octets: &[u8]) {
    let failed = is_permanent_failure(octets);
    assert!(!failed || !octets.is_empty(), "nothing is no report");
}

/// Nobody makes up a signed return path.
pub(crate) fn verp(octets: &[u8]) {
    let text = std::str::from_utf8(octets).unwrap_or_default();
    if let Ok(address) = text.parse::<Address>() {
        assert!(verp::check(&Key32::from_bytes([7; 32]), &address).is_none());
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
        let again = Wishes::take_tags(&rest, to);
        assert!(again.is_ok_and(|(again, _)| again.octets() == rest.octets()));
    }
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
