//! The vault of one's own, held to every clause of the contract.

use std::sync::Arc;

use async_trait::async_trait;
use custom_vault::FolderVault;
use securemail_core::backend::Vault;
use securemail_testkit::conformance::Harness;
use tempfile::TempDir;

struct Folder(TempDir);

#[async_trait]
impl Harness<dyn Vault> for Folder {
    async fn fresh(&self) -> Arc<dyn Vault> {
        Arc::new(FolderVault(self.0.path().to_path_buf()))
    }

    async fn reopen(&self, old: Arc<dyn Vault>) -> Arc<dyn Vault> {
        drop(old);
        self.fresh().await
    }
}

securemail_testkit::vault_conformance!(Folder(TempDir::new().unwrap()));
