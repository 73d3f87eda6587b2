//! Who may send, and where recipients get their codes.

use std::fmt;

use async_trait::async_trait;

use crate::StoreError;
use crate::vocab::{Account, Address, Identity, PhoneNumber, Tenant, TenantId};

/// Knows tenants, accounts and telephone numbers.
///
/// # Contract
/// - **D1** What `put_*` returned `Ok` for is found, also after a restart; a later `put` replaces.
/// - **D2** `account` finds by user name (case ignored) or certificate, over all tenants.
/// - **D3** A telephone number is found under every spelling of the address (case, plus-tag), and only
///   within its tenant.
/// - **D4** What is not there is `Ok(None)`; an error never means absence.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync + 'static {
    /// The tenant.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError>;

    /// The account that shows itself as `identity`. Its credential is not checked here.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn account(&self, identity: &Identity) -> Result<Option<Account>, StoreError>;

    /// The number to which codes for `recipient` go.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
    ) -> Result<Option<PhoneNumber>, StoreError>;

    /// Adds or replaces a tenant.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_tenant(&self, tenant: &Tenant) -> Result<(), StoreError>;

    /// Adds or replaces an account under its user name or certificate.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_account(&self, identity: &Identity, account: &Account) -> Result<(), StoreError>;

    /// Adds or replaces a number.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn put_phone(
        &self,
        tenant: &TenantId,
        recipient: &Address,
        number: &PhoneNumber,
    ) -> Result<(), StoreError>;
}
