//! What is posted to `/tls-reports`, and what is answered.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use securemail_core::backend::DomainMemory;
use securemail_core::drive::TlsInbox;
use securemail_core::limits::TLS_REPORT_POST_OCTETS_MAX;
use securemail_core::tlsrpt::{UtcDay, compress};
use securemail_testkit::memory::MemoryDomainMemory;
use securemail_testkit::outage::{Fault, Outage};
use securemail_testkit::sim::ManualClock;
use securemail_web::tls_report_router;
use tower::ServiceExt as _;

const EXAMPLE: &str = include_str!("../../../vectors/tlsrpt/rfc8460-appendix-b.json");
const GZIP: &str = "application/tlsrpt+gzip";
const JSON: &str = "application/tlsrpt+json";

struct World {
    memory: Arc<Outage<MemoryDomainMemory>>,
    router: Router,
}

fn world() -> World {
    let memory = Arc::new(Outage::new(Arc::new(MemoryDomainMemory::default())));
    let domain = "company-y.example".parse().unwrap();
    // The day after the one that the example is about.
    let day: UtcDay = "2016-04-02".parse().unwrap();
    let clock = Arc::new(ManualClock::at(day.begins()));
    let inbox = TlsInbox::new(memory.clone(), clock, vec![domain]);
    World {
        memory,
        router: tls_report_router(Arc::new(inbox)),
    }
}

impl World {
    async fn post(&self, kind: &str, body: impl Into<Body>) -> StatusCode {
        self.ask(Method::POST, kind, body.into()).await
    }

    async fn ask(&self, method: Method, kind: &str, body: Body) -> StatusCode {
        let request = Request::builder()
            .method(method)
            .uri("/tls-reports")
            .header(header::CONTENT_TYPE, kind)
            .body(body)
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap().status()
    }

    async fn kept(&self) -> usize {
        let domain = "company-y.example".parse().unwrap();
        let kept = self.memory.inner().received_reports(&domain, 10).await;
        kept.unwrap().len()
    }
}

#[tokio::test]
async fn a_report_is_taken_as_json_and_as_gzip() {
    let world = world();
    assert_eq!(world.post(JSON, EXAMPLE).await, StatusCode::CREATED);
    let other = EXAMPLE.replace("5065427c-", "other-");
    let gzip = compress(other.as_bytes());
    assert_eq!(world.post(GZIP, gzip).await, StatusCode::CREATED);
    assert_eq!(world.kept().await, 2);
}

#[tokio::test]
async fn what_is_no_report_of_ours_is_refused() {
    let world = world();
    let others = EXAMPLE.replace("company-y", "company-z");
    for (kind, body, wanted) in [
        (
            "text/plain",
            EXAMPLE.to_owned(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (JSON, "{}".to_owned(), StatusCode::BAD_REQUEST),
        (GZIP, "\u{1f}\u{8b}".to_owned(), StatusCode::BAD_REQUEST),
        (JSON, others, StatusCode::NOT_FOUND),
        (
            JSON,
            " ".repeat(TLS_REPORT_POST_OCTETS_MAX + 1),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        assert_eq!(world.post(kind, body).await, wanted);
    }
    let get = world.ask(Method::GET, JSON, Body::empty()).await;
    assert_eq!(get, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.kept().await, 0);
}

#[tokio::test]
async fn a_store_that_is_full_asks_to_come_again() {
    let world = world();
    world.memory.fail("keep_received", Fault::Full);
    let answer = world.post(JSON, EXAMPLE).await;
    assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE);
    world.memory.up();
    assert_eq!(world.post(JSON, EXAMPLE).await, StatusCode::CREATED);
}
