//! The whole relay among real servers: what may arrive arrives, and nothing else leaves.

#[path = "lab/browser.rs"]
mod browser;
#[path = "lab/check.rs"]
mod check;
#[path = "lab/content.rs"]
mod content;
#[path = "lab/deliver.rs"]
mod deliver;
#[path = "lab/doctor.rs"]
mod doctor;
#[path = "lab/held.rs"]
mod held;
#[path = "lab/others.rs"]
mod others;
#[path = "lab/portal.rs"]
mod portal;
#[path = "lab/proxy.rs"]
mod proxy;
#[path = "lab/relay.rs"]
mod relay;
#[path = "lab/requiretls.rs"]
mod requiretls;
#[path = "lab/tls.rs"]
mod tls;
#[path = "lab/tls_reports.rs"]
mod tls_reports;
#[path = "common/visitor.rs"]
#[expect(dead_code, reason = "here only pages are looked at")]
mod visitor;
