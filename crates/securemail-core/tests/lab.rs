//! DKIM signatures, verified by dkimpy with keys that come out of real DNS.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use securemail_core::backend::{Clock, DkimSigner, SigningKeys};
use securemail_core::dkim::{LocalDkimKey, LocalKeys, SignOptions, sign};
use securemail_core::secret::SecretText;
use securemail_core::vocab::{DnsName, MemoryContent};
use securemail_testkit::lab::{Lab, WallClock};

const MESSAGE: &str = "From: Clinic <clinic@sender.test>\r\nTo: somebody@dane.test\r\n\
    Subject:  A result   with\r\n  a folded subject \r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\
    Message-ID: <1@sender.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n\
    First line \t with space \r\n\r\n.dot\r\nLast line\r\n\r\n\r\n";

#[tokio::test]
async fn dkimpy_verifies_rsa_and_ed25519() {
    let lab = Lab::here().unwrap();
    let signed = signed(&lab, MESSAGE).await;
    assert_eq!(lab.dkimpy(&signed).unwrap(), [true, true]);
}

#[tokio::test]
async fn dkimpy_refuses_what_was_changed_after_signing() {
    let lab = Lab::here().unwrap();
    let signed = String::from_utf8(signed(&lab, MESSAGE).await).unwrap();
    let changed = [
        signed.replace("Last line", "Last lime"),
        signed.replace("Subject:  A result", "Subject: B result"),
        signed.replace("\r\nDate:", "\r\nFrom: other@sender.test\r\nDate:"),
    ];
    for changed in changed {
        assert_ne!(changed, signed);
        assert_eq!(lab.dkimpy(changed.as_bytes()).unwrap(), [false, false]);
    }
}

#[tokio::test]
async fn dkimpy_verifies_a_message_of_ten_megabytes() {
    let lab = Lab::here().unwrap();
    let body = "0123456789 the same line again and again, of seventy-six octets in all ..\r\n";
    let message = format!("{MESSAGE}{}", body.repeat(10 * 1024 * 1024 / body.len()));
    let signed = signed(&lab, &message).await;
    assert_eq!(lab.dkimpy(&signed).unwrap(), [true, true]);
}

async fn signed(lab: &Lab, message: &str) -> Vec<u8> {
    let content = MemoryContent::new(Bytes::from(message.to_owned()));
    let now = WallClock.now(); // verifiers check t= and x= against it
    let signers = signers(lab).await;
    let fields = sign(&content, &signers, now, SignOptions::default())
        .await
        .unwrap();
    [&fields[..], message.as_bytes()].concat()
}

async fn signers(lab: &Lab) -> Vec<Arc<dyn DkimSigner>> {
    let domain: DnsName = "sender.test".parse().unwrap();
    let keys = ["lab-rsa", "lab-ed"].map(|selector| {
        let pem = fs::read_to_string(lab.dkim_key(selector).unwrap()).unwrap();
        LocalDkimKey::from_pem(domain.clone(), selector, &SecretText::new(&pem)).unwrap()
    });
    LocalKeys::new(keys).signers(&domain).await.unwrap()
}
