//! How many texts with codes may be sent to a number, and for a tenant.

use std::time::Duration;

use super::log::Happened;
use super::{PickupError, PickupService};
use crate::backend::{Budget, Spent};
use crate::limits::{CODES_PER_NUMBER_DAY, CODES_PER_NUMBER_HOUR, CODES_PER_TENANT_DAY};
use crate::pickup::Facts;
use crate::vocab::{PhoneNumber, UnixTime};

/// How many codes are sent, besides those for one message. Whoever gets hold of an account, or of many
/// links, can make somebody pay for texts no further than this.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CodeBudgets {
    /// To one number, for one tenant, in an hour.
    pub per_number_hour: u32,
    /// To one number, for one tenant, in a day.
    pub per_number_day: u32,
    /// For one tenant in a day.
    pub per_tenant_day: u32,
}

impl Default for CodeBudgets {
    fn default() -> Self {
        Self {
            per_number_hour: CODES_PER_NUMBER_HOUR,
            per_number_day: CODES_PER_NUMBER_DAY,
            per_tenant_day: CODES_PER_TENANT_DAY,
        }
    }
}

impl PickupService {
    /// The budgets that a text to `phone` is taken from.
    pub(super) fn budgets(&self, phone: &PhoneNumber) -> [Budget; 3] {
        let CodeBudgets {
            per_number_hour,
            per_number_day,
            per_tenant_day,
        } = self.parts.settings.budgets;
        let number = phone.expose().as_bytes();
        let budget = |label: &str, data: &[u8], most, window| Budget {
            of: self.records.hash(label, data),
            most,
            window,
        };
        [
            budget("codes/number/hour", number, per_number_hour, HOUR),
            budget("codes/number/day", number, per_number_day, DAY),
            budget("codes/tenant/day", b"", per_tenant_day, DAY),
        ]
    }

    /// Takes a text from all budgets; `Some` says until when there is none. The operator and the tenant
    /// hear of it once in a window: it is a breaker, and somebody should look at why it opened.
    pub(super) async fn spend_code(
        &self,
        facts: &Facts,
        budgets: &[Budget],
        now: UnixTime,
    ) -> Result<Option<UnixTime>, PickupError> {
        let spent = self.parts.pickups.spend(&facts.tenant, budgets, now);
        let (until, first) = match spent.await? {
            Spent::Granted => return Ok(None),
            Spent::Refused { until, first } => (until, first),
        };
        if first {
            tracing::error!(
                tenant = %facts.tenant,
                vault = %facts.id,
                "no more codes are sent now: as many texts as the limits allow went to this number, or \
                 for this tenant"
            );
            self.log(facts, vec![Happened::CodeFailed(WHY)], now)
                .await?;
        }
        Ok(Some(until))
    }

    /// The carrier did not take it.
    pub(super) async fn give_code_back(&self, facts: &Facts, budgets: &[Budget]) {
        let given = self.parts.pickups.give_back(&facts.tenant, budgets).await;
        if let Err(error) = given {
            tracing::warn!(vault = %facts.id, %error, "a code that was not sent stays counted");
        }
    }
}

const WHY: &str = "as many texts as the limits allow went to this number, or for this tenant";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
