//! Budgets within windows of time, counted in one transaction for all processes.

use rusqlite::{Connection, OptionalExtension, params};
use securemail_core::StoreError;
use securemail_core::backend::{Budget, Spent};
use securemail_core::vocab::{TenantId, UnixTime};

use crate::db::{Class, DbResult, Writer, millis, moment};

pub(crate) async fn spend(
    writer: &Writer,
    tenant: &TenantId,
    budgets: &[Budget],
    now: UnixTime,
) -> Result<Spent, StoreError> {
    let (tenant, budgets) = (tenant.clone(), budgets.to_vec());
    writer
        .call(Class::Settle, move |db| {
            // A window that is over says nothing any more.
            db.prepare_cached("DELETE FROM budgets WHERE until <= ?1")?
                .execute([millis(now)])?;
            let tenant = tenant.as_str();
            if let Some(refused) = refuse(db, tenant, &budgets, now)? {
                return Ok(refused);
            }
            let sql = "INSERT INTO budgets VALUES (?1, ?2, ?3, 1, 0)
                       ON CONFLICT DO UPDATE SET spent = spent + 1";
            for budget in &budgets {
                let until = millis(now.plus(budget.window));
                db.prepare_cached(sql)?
                    .execute(params![tenant, budget.of.as_bytes(), until])?;
            }
            Ok(Spent::Granted)
        })
        .await
}

/// The refusal, where one of the budgets is spent; all that are spent are marked.
fn refuse(
    db: &Connection,
    tenant: &str,
    budgets: &[Budget],
    now: UnixTime,
) -> DbResult<Option<Spent>> {
    let mut until = None;
    let mut first = false;
    for budget in budgets {
        let found: Option<(i64, i64, bool)> = db
            .prepare_cached(
                "SELECT until, spent, refused FROM budgets WHERE tenant = ?1 AND budget = ?2",
            )?
            .query_row(params![tenant, budget.of.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let (end, spent, refused) =
            found.unwrap_or_else(|| (millis(now.plus(budget.window)), 0, false));
        if spent < i64::from(budget.most) {
            continue;
        }
        until = until.max(Some(end));
        first |= !refused;
        db.prepare_cached("UPDATE budgets SET refused = 1 WHERE tenant = ?1 AND budget = ?2")?
            .execute(params![tenant, budget.of.as_bytes()])?;
    }
    let Some(until) = until else { return Ok(None) };
    let until = moment(until)?;
    Ok(Some(Spent::Refused { until, first }))
}

pub(crate) async fn give_back(
    writer: &Writer,
    tenant: &TenantId,
    budgets: &[Budget],
) -> Result<(), StoreError> {
    let (tenant, budgets) = (tenant.clone(), budgets.to_vec());
    writer
        .call(Class::Settle, move |db| {
            let sql = "UPDATE budgets SET spent = spent - 1
                       WHERE tenant = ?1 AND budget = ?2 AND spent > 0";
            for budget in &budgets {
                db.prepare_cached(sql)?
                    .execute(params![tenant.as_str(), budget.of.as_bytes()])?;
            }
            Ok(())
        })
        .await
}
