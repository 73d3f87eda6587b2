//! The contract of [`Directory`].

use std::collections::BTreeMap;
use std::time::Duration;

use securemail_core::backend::Directory;
use securemail_core::vocab::{
    Account, AccountId, AccountKind, Address, Credential, Identity, NtaSettings, PhoneNumber,
    Profile, Tenant,
};

use super::{Harness, tenant};

/// Makes one test for each clause of the contract of `Directory`.
#[macro_export]
macro_rules! directory_conformance {
    ($harness:expr) => {
        $crate::conformance_clauses!($harness, directory:
            d1_put_is_found_and_replaced,
            d2_accounts_are_found_over_all_tenants,
            d3_a_number_is_found_under_every_spelling,
            d4_absence_is_none,
        );
    };
}

/// **D1** What `put_*` returned `Ok` for is found, also after a restart; a later `put` replaces.
pub async fn d1_put_is_found_and_replaced(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;
    let user = Identity::Username("anna@example.org".to_owned());
    for name in ["Old", "Acme"] {
        directory.put_tenant(&acme(name)).await.expect("put_tenant");
        let account = account("acme", name);
        directory
            .put_account(&user, &account)
            .await
            .expect("put_account");
    }
    put_phone(&*directory, "bob@example.net", "+31600000001").await;
    put_phone(&*directory, "bob@example.net", "+31600000002").await;
    let directory = harness.reopen(directory).await;
    let found = directory.tenant(&tenant("acme")).await.expect("tenant");
    assert_eq!(found, Some(acme("Acme")), "D1: tenant");
    let found = directory.account(&user).await.expect("account");
    assert_eq!(found, Some(account("acme", "Acme")), "D1: account");
    let found = phone(&*directory, "acme", "bob@example.net").await;
    assert_eq!(found.as_deref(), Some("+31600000002"), "D1: phone");
}

/// **D2** `account` finds by user name (case ignored) or certificate, over all tenants.
pub async fn d2_accounts_are_found_over_all_tenants(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;
    let user = |name: &str| Identity::Username(name.to_owned());
    let certificate = Identity::Certificate([5; 32]);
    for (identity, account) in [
        (user("Anna@Example.org"), account("acme", "anna")),
        (user("carl"), account("other", "carl")),
        (certificate.clone(), account("other", "gateway")),
    ] {
        directory
            .put_account(&identity, &account)
            .await
            .expect("put_account");
    }
    for (identity, wanted) in [
        (user("anna@example.ORG"), Some(account("acme", "anna"))),
        (user("CARL"), Some(account("other", "carl"))),
        (certificate, Some(account("other", "gateway"))),
        (Identity::Certificate([6; 32]), None),
    ] {
        let found = directory.account(&identity).await.expect("account");
        assert_eq!(found, wanted, "D2: {identity:?}");
    }
    // An identity that moves to another tenant has one owner.
    let moved = account("acme", "carl");
    directory
        .put_account(&user("Carl"), &moved)
        .await
        .expect("put_account");
    let found = directory.account(&user("carl")).await.expect("account");
    assert_eq!(found, Some(moved), "D2: moved");
}

/// **D3** A telephone number is found under every spelling of the address (case, plus-tag), and only
/// within its tenant.
pub async fn d3_a_number_is_found_under_every_spelling(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;
    put_phone(&*directory, "Bob+list@Example.net", "+31600000001").await;
    for spelling in ["bob@example.net", "BOB@EXAMPLE.NET", "bob+x@example.net"] {
        let found = phone(&*directory, "acme", spelling).await;
        assert_eq!(found.as_deref(), Some("+31600000001"), "D3: {spelling}");
    }
    let found = phone(&*directory, "other", "bob@example.net").await;
    assert_eq!(found, None, "D3: another tenant");
    let found = phone(&*directory, "acme", "bo@example.net").await;
    assert_eq!(found, None, "D3: another mailbox");
}

/// **D4** What is not there is `Ok(None)`; an error never means absence.
pub async fn d4_absence_is_none(harness: &impl Harness<dyn Directory>) {
    let directory = harness.fresh().await;
    let found = directory.tenant(&tenant("acme")).await;
    assert!(matches!(found, Ok(None)), "D4: {found:?}");
    let found = directory
        .account(&Identity::Username("nobody".to_owned()))
        .await;
    assert!(matches!(found, Ok(None)), "D4: {found:?}");
    let address = "bob@example.net".parse().expect("an address");
    let found = directory.phone(&tenant("acme"), &address).await;
    assert!(matches!(found, Ok(None)), "D4: {found:?}");
}

fn acme(name: &str) -> Tenant {
    Tenant {
        id: tenant("acme"),
        display_name: name.to_owned(),
        domains: vec!["example.org".parse().expect("a name")],
        profile: Profile::Standard,
        domain_profiles: BTreeMap::from([(
            "example.net".parse().expect("a name"),
            Profile::Strict,
        )]),
        languages: vec!["nl".to_owned()],
        lists: vec!["all@example.org".parse().expect("an address")],
        forget_link: false,
        nta7516: Some(NtaSettings::default()),
        subject_tags: false,
        retention: Duration::from_secs(30 * 86_400),
        grace: Duration::from_secs(7 * 86_400),
    }
}

fn account(owner: &str, name: &str) -> Account {
    Account {
        id: AccountId::new(name),
        tenant: tenant(owner),
        kind: AccountKind::Sender,
        credential: Credential::Secret([1; 32]),
        domains: vec!["example.org".parse().expect("a name")],
    }
}

async fn put_phone(directory: &dyn Directory, address: &str, number: &str) {
    let address: Address = address.parse().expect("an address");
    let number: PhoneNumber = number.parse().expect("a number");
    let put = directory
        .put_phone(&tenant("acme"), &address, &number)
        .await;
    put.expect("put_phone");
}

async fn phone(directory: &dyn Directory, owner: &str, address: &str) -> Option<String> {
    let address: Address = address.parse().expect("an address");
    let found = directory.phone(&tenant(owner), &address).await;
    found
        .expect("phone")
        .map(|number| number.expose().to_owned())
}
