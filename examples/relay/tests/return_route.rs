//! Mail to a tenant's own people goes by the host that the tenant named, logged in, or waits for it.

mod common;

use std::fs;
use std::time::Duration;

use common::world::{World, arrival, contains};
use common::{ANNA, Place, eventually, message};
use securemail_testkit::sink::Conduct;

const PASSWORD: &str = "a-password-of-the-relay";

/// `mx.sender.test` takes mail only from who logs in, which a message to the domain's MX does not.
fn name_return_route(place: &mut Place, world: &World) {
    let file = place.folder().join("return.password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let text = format!(
        "host = \"mx.sender.test\"\nport = {}\nusername = \"relay\"\npassword_file = \"{}\"",
        world.port,
        file.display()
    );
    let route: toml::Table = text.parse().unwrap();
    let tenants = place.settings["tenant"].as_array_mut().unwrap();
    let tenant = tenants[0].as_table_mut().unwrap();
    tenant.insert("return_route".to_owned(), route.into());
}

/// A message of which one recipient is refused: its sender is told by a DSN.
async fn bounce(relay: &common::Running) {
    let mail = message(
        "dsn",
        "eva@proved.test>, <no@slow.test",
        "Uw dossier",
        "Persoonlijk.",
    );
    let submitter = relay.submitter();
    let to = ["eva@proved.test", "no@slow.test"];
    let reply = submitter.submit(&to, &mail).await.unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dsn_goes_to_the_return_route_and_logs_in() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    name_return_route(&mut place, &world);
    world
        .slow
        .behave(Conduct::ReplyAtRcpt("550 5.1.1 nobody".to_owned()));
    world.sender.demand_login("relay", PASSWORD);
    let relay = place.start();
    bounce(&relay).await;
    let told = arrival(&world.sender, |mail| mail.to == [ANNA]).await;
    assert!(told.tls && told.from.is_empty());
    assert!(contains(&told.data, "no@slow.test") && contains(&told.data, "Action: failed"));
    assert!(!contains(&told.data, "Persoonlijk") && !contains(&told.data, "dossier"));
    assert!(!relay.log().contains(PASSWORD));
    assert!(relay.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_is_said_and_nothing_leaves() {
    let world = World::start().await;
    let mut place = Place::new(&world);
    name_return_route(&mut place, &world);
    world
        .slow
        .behave(Conduct::ReplyAtRcpt("550 5.1.1 nobody".to_owned()));
    world.sender.demand_login("relay", "another password");
    let relay = place.start();
    bounce(&relay).await;
    eventually("a word about the login", || {
        let log = relay.log();
        log.contains("the return route does not take our login")
            .then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.sender.messages(), []);
    assert!(!relay.log().contains(PASSWORD) && !relay.log().contains(ANNA));
    world.sender.demand_login("relay", PASSWORD);
    arrival(&world.sender, |mail| mail.to == [ANNA]).await;
    assert!(relay.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_route_that_does_not_fit_is_explained() {
    let world = World::start().await;
    let cases: [(&str, &str, &str); 6] = [
        ("host", "\"relay.test\"", "this is the relay itself"),
        ("tls", "\"none\"", "starttls"),
        ("password", "\"clear\"", "did you mean `password_file`"),
        ("port", "0", "1 to 65535"),
        ("username", "\"\"", "1 to 255 octets"),
        (
            "password_file",
            "\"/nonexistent/password\"",
            "/nonexistent/password",
        ),
    ];
    for (key, value, words) in cases {
        let mut place = Place::new(&world);
        name_return_route(&mut place, &world);
        let value = format!("v = {value}").parse::<toml::Table>().unwrap();
        let tenants = place.settings["tenant"].as_array_mut().unwrap();
        let route = tenants[0]["return_route"].as_table_mut().unwrap();
        route.insert(key.to_owned(), value["v"].clone());
        let said = place.relay(&["config", "check", "--config", "{}"]);
        assert_eq!(said.code, Some(2), "{key}: {said:?}");
        assert!(said.err.contains(words), "{key}: {}", said.err);
    }
    let mut place = Place::new(&world);
    name_return_route(&mut place, &world);
    let said = place.relay(&["config", "check", "--config", "{}"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}
