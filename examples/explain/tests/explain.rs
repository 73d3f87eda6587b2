//! What an integrator is told, over DNS from a script.

use std::sync::Arc;

use explain::explain;
use securemail_core::drive::Inquirer;
use securemail_core::route::Explanation;
use securemail_core::vocab::{DnsName, Profile};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::scripted::ScriptedDns;
use securemail_testkit::sim::ManualClock;

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

async fn explained(domain: &str) -> Explanation {
    let dns = ScriptedDns::default();
    dns.dane(&name("signed.example"), &name("mx.signed.example"));
    dns.unsigned(&name("plain.example"), &name("mx.host.example"));
    let dns = Arc::new(dns);
    let inquirer = Inquirer {
        resolver: dns.clone(),
        fetcher: dns,
        memory: Arc::new(MemoryDomainMemory::default()),
        clock: Arc::new(ManualClock::default()),
        port: 25,
    };
    explain(&inquirer, &name(domain), Profile::DaneOnly)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_proved_way_is_told_with_its_host_and_the_answers_behind_it() {
    let explanation = explained("signed.example").await;
    assert!(
        explanation
            .sentence
            .contains("directly to mx.signed.example")
    );
    assert_eq!(explanation.host, Some(name("mx.signed.example")));
    let asked = explanation.asked.join("\n");
    assert!(
        asked.contains("MX signed.example -> 10 mx.signed.example (signed"),
        "{asked}"
    );
    assert!(
        asked.contains("TLSA _25._tcp.mx.signed.example -> 3 1 1 0707"),
        "{asked}"
    );
    assert!(explanation.publish.is_empty() && explanation.advice.is_empty());
}

#[tokio::test]
async fn where_there_is_no_way_its_owner_reads_what_to_publish() {
    let explanation = explained("plain.example").await;
    assert!(explanation.host.is_none() && !explanation.advice.is_empty());
    let publish = explanation.publish.join("\n");
    for line in [
        "_mta-sts.plain.example. IN TXT \"v=STSv1; id=",
        "https://mta-sts.plain.example/.well-known/mta-sts.txt",
        "\nmx: mx.host.example",
    ] {
        assert!(publish.contains(line), "{publish}");
    }
}
