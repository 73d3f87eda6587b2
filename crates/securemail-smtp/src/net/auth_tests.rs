//! What a login costs, counted in computations of Argon2.

use std::net::Ipv4Addr;

use securemail_core::vocab::{AccountId, AccountKind, DnsName};
use securemail_testkit::memory::MemoryDirectory;
use securemail_testkit::sim::SeededEntropy;

use super::*;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The hash of `right`.
const RIGHT: &str = "$argon2id$v=19$m=19456,t=2,p=1$YSBzYWx0IGZvciB0ZXN0cw$\
                     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Notes the parameters of each hash that is computed, instead of computing it.
#[derive(Debug, Default)]
struct Work(Mutex<Vec<String>>);

impl Work {
    fn verify(&self, hash: &str, password: &SecretText) -> bool {
        let Ok(parsed) = PasswordHash::new(hash) else {
            return false;
        };
        let what = format!("{} {}", parsed.algorithm, parsed.params);
        lock(&self.0).push(what);
        hash == RIGHT && password.expose() == "right"
    }

    /// What was computed since the last call.
    fn done(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.0))
    }
}

struct World {
    work: Arc<Work>,
    directory: Arc<MemoryDirectory>,
    authenticator: Arc<Authenticator>,
}

impl World {
    async fn new() -> Self {
        let work = Arc::new(Work::default());
        let directory = Arc::new(MemoryDirectory::default());
        let counting = Arc::clone(&work);
        let authenticator = Authenticator::with_verify(
            directory.clone(),
            &SeededEntropy::new(3),
            Arc::new(move |hash, password| counting.verify(hash, password)),
        )
        .unwrap();
        let world = Self {
            work,
            directory,
            authenticator: Arc::new(authenticator),
        };
        world
            .put("person", Credential::Argon2id(RIGHT.into()))
            .await;
        let secret = Credential::Secret(Sha256::digest("right").into());
        world.put("connector", secret).await;
        let certificate = Credential::Certificate([1; 32]);
        world.put("machine", certificate).await;
        world
    }

    async fn put(&self, name: &str, credential: Credential) {
        let account = Account {
            id: AccountId::new(name),
            tenant: "tenant".parse().unwrap(),
            kind: AccountKind::Sender,
            credential,
            domains: vec![DnsName::parse("clinic.test").unwrap()],
        };
        let identity = Identity::Username(name.to_owned());
        self.directory
            .put_account(&identity, &account)
            .await
            .unwrap();
    }

    async fn login(&self, name: &str, password: &str) -> LoginOutcome {
        login(&self.authenticator, name, password).await
    }
}

async fn login(authenticator: &Authenticator, name: &str, password: &str) -> LoginOutcome {
    let credentials = Credentials {
        username: name.to_owned(),
        password: SecretText::new(password.to_owned()),
    };
    authenticator
        .check(credentials, CLIENT, UnixTime::from_secs(1_000))
        .await
}

#[tokio::test]
async fn a_failure_costs_one_argon2_for_unknown_names_and_every_kind_of_credential() {
    let world = World::new().await;
    for name in ["person", "connector", "machine", "nobody"] {
        let outcome = world.login(name, "wrong").await;
        assert!(matches!(outcome, LoginOutcome::Denied), "{name}");
        // Also with the same parameters: one that is cheaper would tell the names apart.
        assert_eq!(world.work.done(), ["argon2id m=19456,t=2,p=1"], "{name}");
    }
}

#[tokio::test]
async fn a_secret_that_is_right_costs_none() {
    let world = World::new().await;
    let outcome = world.login("connector", "right").await;
    assert!(matches!(outcome, LoginOutcome::Granted(_)));
    assert_eq!(world.work.done(), [""; 0]);
}

#[tokio::test]
async fn a_password_that_was_right_costs_none_until_it_changes() {
    let world = World::new().await;
    for computed in [1, 0] {
        let outcome = world.login("person", "right").await;
        assert!(matches!(outcome, LoginOutcome::Granted(_)));
        assert_eq!(world.work.done().len(), computed);
    }
    world
        .put("person", Credential::Argon2id(NOBODY.to_owned()))
        .await;
    let outcome = world.login("person", "right").await;
    assert!(matches!(outcome, LoginOutcome::Denied));
    assert_eq!(world.work.done().len(), 1);
}

#[tokio::test]
async fn guesses_at_once_are_not_more_than_guesses_one_by_one() {
    let world = World::new().await;
    let guesses: Vec<_> = (0..50)
        .map(|number| {
            let authenticator = Arc::clone(&world.authenticator);
            let guess = format!("guess {number}");
            tokio::spawn(async move { login(&authenticator, "person", &guess).await })
        })
        .collect();
    let mut throttled = 0;
    for guess in guesses {
        let outcome = guess.await.unwrap();
        throttled += usize::from(matches!(outcome, LoginOutcome::Throttled));
    }
    assert_eq!(world.work.done().len(), 10);
    assert_eq!(throttled, 40);
}

#[tokio::test]
async fn logins_that_are_right_are_as_many_at_once_as_they_like() {
    let world = World::new().await;
    let logins: Vec<_> = (0..50)
        .map(|number| {
            let authenticator = Arc::clone(&world.authenticator);
            let name = ["person", "connector"][number % 2];
            tokio::spawn(async move { login(&authenticator, name, "right").await })
        })
        .collect();
    for login in logins {
        assert!(matches!(login.await.unwrap(), LoginOutcome::Granted(_)));
    }
}
