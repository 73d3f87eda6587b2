//! The retrieval portal, the sender's form, callbacks, and the place for reports about TLS.
//!
//! [`portal_router`] gives an axum router over a
//! [`PickupService`](securemail_core::drive::pickup::PickupService). It needs no JavaScript, loads
//! nothing from elsewhere, and a GET or HEAD of it changes nothing.
//!
//! The router wants to know who asks: serve it with
//! `into_make_service_with_connect_info::<SocketAddr>()`, or put
//! `axum::extract::ConnectInfo<SocketAddr>` into the extensions of every request.

pub mod client;
mod message;
mod portal;
pub mod sanitise;
mod stream;
pub mod theme;
mod tls_reports;
pub mod words;

#[doc(hidden)]
pub use message::attachments;
#[doc(hidden)]
pub use portal::number_of;
pub use portal::{
    CallbackAnswer, CarrierCallbacks, PortalError, PortalParts, PortalSettings, portal_router,
};
#[doc(hidden)]
pub use stream::range_of;
pub use tls_reports::tls_report_router;
