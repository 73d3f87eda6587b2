//! Sender mail goes to the tenant's own host where one is named, and to the engine where that fails.

mod flow_world;

use flow_world::{DAY, HOME, HOUR, MINUTE, SECRET, World, message, name, refuses, tenant, text};
use securemail_core::backend::{
    Login, RecipientOutcome, ReturnHost, ReturnOutcome, SessionOutcome, TlsStart,
};
use securemail_core::route::{Authentication, Authority, PeerFailure};
use securemail_core::secret::SecretText;
use securemail_core::vocab::{DnsName, LookupFailure, Outcome, RecordKind, Security, Tlsa};
use securemail_testkit::scripted::{HostScript, reply};

const OWN: &str = "smarthost.gemeente.example";
const EVA: &str = "eva@proved.example";

/// A relay whose only message is refused, so that its sender must be told; its tenant has named a host.
async fn world() -> World {
    let world = World::new().await;
    let says_no = HostScript {
        answers_at_dot: true,
        ..HostScript::says(refuses())
    };
    // It answers late, so that the refusal is told by a mail and not in the session.
    let late = says_no.after(std::time::Duration::ZERO, 25 * flow_world::SECOND);
    world.proved("proved.example", "mx.proved.example", late);
    world.return_hosts.inner().put(&tenant().id, own_host());
    let address = "10.1.2.3".parse().unwrap();
    world.dns.put(
        &name(OWN),
        RecordKind::A,
        Outcome::Addresses(vec![address]),
        Security::Insecure,
    );
    world
}

fn own_host() -> ReturnHost {
    ReturnHost {
        host: name(OWN),
        port: 587,
        start: TlsStart::StartTls,
        login: Some(Login::new("relay", SecretText::new("a password")).unwrap()),
    }
}

fn takes() -> ReturnOutcome {
    ReturnOutcome::Answered(RecipientOutcome::HandedOver(reply(250, "ok")))
}

async fn bounce(world: &World) {
    assert_eq!(world.submit(message(&[EVA])).await.code(), 250);
    world.idle().await;
    world.work().await;
}

/// Mails home by the engine, proved or not.
fn by_engine(world: &World) -> usize {
    world.mails_home().len() + world.transport.notices().len()
}

#[tokio::test]
async fn the_whole_mail_goes_to_the_host_that_the_tenant_named_and_nowhere_else() {
    let world = world().await;
    world.transport.return_host(&name(OWN), takes());
    bounce(&world).await;
    let tried = world.transport.returns();
    assert_eq!((tried.len(), by_engine(&world)), (1, 0));
    let attempt = &tried[0];
    assert_eq!(attempt.recipient.to_string(), "jan@gemeente.example");
    let mail = text(attempt.mail.octets());
    assert!(
        mail.contains("Action: failed") && mail.contains(EVA),
        "{mail}"
    );
    assert!(
        mail.contains("DKIM-Signature:") && !mail.contains(SECRET),
        "{mail}"
    );
    assert_eq!(attempt.login.as_ref().unwrap().username(), "relay");
    let hop = &attempt.hop;
    assert_eq!(hop.authority, Authority::Operator);
    assert_eq!(
        (hop.port, hop.addresses.len()),
        (587, 1),
        "a private address will do"
    );
    assert_eq!(hop.authenticate, Authentication::Pkix { name: name(OWN) });
    world.work_after(DAY).await;
    assert_eq!((world.transport.returns().len(), by_engine(&world)), (1, 0));
}

#[tokio::test]
async fn signed_tlsa_records_of_the_host_must_match() {
    let world = world().await;
    world.dns.sign(&name(OWN));
    let found = Outcome::Addresses(vec!["10.1.2.3".parse().unwrap()]);
    world
        .dns
        .put(&name(OWN), RecordKind::A, found, Security::Secure);
    let record = Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data: vec![9; 32],
    };
    let records = Outcome::Tlsa(vec![record.clone()]);
    let at = name(&format!("_587._tcp.{OWN}"));
    world
        .dns
        .put(&at, RecordKind::Tlsa, records, Security::Secure);
    world.transport.return_host(&name(OWN), takes());
    bounce(&world).await;
    let tried = world.transport.returns();
    let Authentication::Dane { records, names } = &tried[0].hop.authenticate else {
        panic!("{:?}", tried[0].hop);
    };
    assert_eq!((records, names), (&vec![record], &vec![name(OWN)]));
}

#[tokio::test]
async fn where_the_dns_cannot_be_believed_nobody_is_connected_to() {
    let world = world().await;
    world.dns.sign(&name(OWN));
    let address = "10.1.2.3".parse().unwrap();
    let found = Outcome::Addresses(vec![address]);
    world
        .dns
        .put(&name(OWN), RecordKind::A, found, Security::Secure);
    let at = name(&format!("_587._tcp.{OWN}"));
    world.dns.fail(&at, RecordKind::Tlsa, LookupFailure::Bogus);
    world.transport.return_host(&name(OWN), takes());
    bounce(&world).await;
    assert_eq!(
        (world.transport.returns().len(), by_engine(&world)),
        (0, 0),
        "it waits"
    );
    world.dns.remove(&at, RecordKind::Tlsa);
    world.work_after(HOUR).await;
    assert_eq!((world.transport.returns().len(), by_engine(&world)), (1, 0));
}

#[tokio::test]
async fn a_host_that_is_down_or_is_not_who_it_should_be_is_waited_for_and_then_the_engine_is_asked()
{
    let wrong = PeerFailure::Name;
    for outcome in [
        ReturnOutcome::Unanswered(SessionOutcome::Unreachable("refused".to_owned())),
        ReturnOutcome::Unanswered(SessionOutcome::NotAuthenticated(wrong)),
        ReturnOutcome::Answered(RecipientOutcome::Deferred(reply(451, "later"))),
        ReturnOutcome::NotLetIn(Some(reply(535, "no"))),
    ] {
        let world = world().await;
        world.transport.return_host(&name(OWN), outcome.clone());
        bounce(&world).await;
        for _ in 0..6 {
            world.work_after(31 * MINUTE).await;
        }
        assert!(
            world.transport.returns().len() >= 4,
            "{outcome:?}: tried again and again"
        );
        assert_eq!(by_engine(&world), 0, "{outcome:?}: not yet");
        world.work_after(HOUR).await;
        world.work_after(31 * MINUTE).await;
        assert_eq!(by_engine(&world), 1, "{outcome:?}: after four hours");
    }
}

#[tokio::test]
async fn a_host_that_comes_back_gets_what_waited() {
    let world = world().await;
    bounce(&world).await;
    assert_eq!(world.transport.returns().len(), 1, "it does not answer");
    world.transport.return_host(&name(OWN), takes());
    world.work_after(HOUR).await;
    assert_eq!((world.transport.returns().len(), by_engine(&world)), (2, 0));
    world.work_after(DAY).await;
    assert_eq!((world.transport.returns().len(), by_engine(&world)), (2, 0));
}

#[tokio::test]
async fn a_host_that_refuses_for_good_loses_no_mail() {
    let world = world().await;
    let refused = ReturnOutcome::Answered(refuses());
    world.transport.return_host(&name(OWN), refused);
    bounce(&world).await;
    assert_eq!((world.transport.returns().len(), by_engine(&world)), (1, 1));
}

#[tokio::test]
async fn where_neither_way_is_proved_only_something_needs_you_is_said() {
    let world = world().await;
    let host: DnsName = name(HOME);
    let failed = SessionOutcome::NotAuthenticated(PeerFailure::Untrusted);
    world
        .dns
        .remove(&name("_25._tcp.mx.gemeente.example"), RecordKind::Tlsa);
    world.dns.unsigned(&name("gemeente.example"), &host);
    world
        .transport
        .host(&host, HostScript::ends(failed.clone()));
    world.transport.notice_host(&host, HostScript::takes());
    world
        .transport
        .return_host(&name(OWN), ReturnOutcome::Unanswered(failed));
    bounce(&world).await;
    for _ in 0..10 {
        world.work_after(31 * MINUTE).await;
    }
    let told = world.transport.notices();
    assert_eq!(told.len(), 1);
    let mail = text(told[0].mail.octets());
    assert!(
        !mail.contains(EVA) && !mail.contains("Action: failed"),
        "{mail}"
    );
}

/// P11: not knowing the tenant's host is not the tenant's having none.
#[tokio::test]
async fn while_the_host_of_the_tenant_cannot_be_told_the_mail_waits() {
    let world = world().await;
    world.transport.return_host(&name(OWN), takes());
    world.return_hosts.down();
    bounce(&world).await;
    assert_eq!((world.transport.returns().len(), by_engine(&world)), (0, 0));
    world.return_hosts.up();
    world.work_after(DAY).await;
    assert_eq!((world.transport.returns().len(), by_engine(&world)), (1, 0));
}
