//! Plain types, parsed once at the edge.

mod address;
mod alarm;
mod content;
mod demands;
mod dns;
mod envelope;
mod id;
mod language;
mod name;
mod nta7516;
mod phone;
mod reply;
mod shown;
mod time;

pub use address::{Address, AddressError, ReversePath};
pub use alarm::{Alarm, AlarmError};
pub use content::{Concat, Content, ContentError, MemoryContent, SealedContent, Tail, sha256};
pub use demands::{Demands, RequireTls};
pub use dns::{
    Answer, Caa, LookupFailure, Mx, MxTarget, Outcome, Question, RecordKind, Security, Tlsa,
};
pub use envelope::{Account, AccountKind, Credential, Envelope, Identity, Profile, Tenant};
pub use id::{AccountId, DeliveryKey, IdError, KeyedHash, QueueId, TenantId, VaultId, VaultKey};
pub use language::{Language, UnknownLanguage};
pub use name::{DnsName, NameError};
pub use nta7516::NtaSettings;
pub use phone::{PhoneError, PhoneNumber};
pub use reply::{EnhancedStatus, Reply};
pub use shown::is_hidden;
pub use time::{Civil, UnixTime};
