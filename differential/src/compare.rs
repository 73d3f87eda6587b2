//! Asks everybody about every domain, and counts.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use securemail_core::vocab::Profile;

use crate::case::{Case, Mx, Zone};
use crate::explained;
use crate::postfix::{Delivery, Level};
use crate::report::{Against, Difference, Report};
use crate::verdict::{Proof, Verdict};
use crate::world::{World, tlsa};
use crate::zones::Placed;
use crate::{Options, Trouble, openssl, policy_host};

/// Domains at once; the machine has few cores and every one is several processes.
const AT_ONCE: usize = 6;

/// What was said of one domain by us.
struct Ours {
    basic: (Verdict, String),
    dane_only: (Verdict, String),
}

/// Compares everything.
///
/// # Errors
/// Where somebody could not be asked.
pub(crate) async fn everything(world: &World, options: &Options) -> Result<Report, Trouble> {
    let domains: Vec<String> = world.cases.iter().map(Case::domain).collect();
    let delivered = world.postfix.deliver(&domains).await?;
    let cases = world.cases.iter().zip(&world.placed);
    let reports: Vec<Report> = stream::iter(cases)
        .map(|(case, placed)| one(world, options, case, placed, &delivered))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut report = Report::new(options.seed);
    for part in reports {
        report.add(part);
    }
    Ok(report)
}

async fn one(
    world: &World,
    options: &Options,
    case: &Case,
    placed: &[Placed],
    delivered: &BTreeMap<(Level, String), Delivery>,
) -> Result<Report, Trouble> {
    let mut report = Report::new(options.seed);
    let domain = case.domain();
    let ours = Ours {
        basic: world.ours.decide(&domain, Profile::Basic).await?,
        dane_only: world.ours.decide(&domain, Profile::DaneOnly).await?,
    };
    let silent = Delivery {
        verdict: Verdict::Held,
        words: explained::SILENT.to_owned(),
    };
    let said = |level: Level| delivered.get(&(level, domain.clone())).unwrap_or(&silent);
    let mut judge = |against: Against, ours: &(Verdict, String), theirs: &Delivery| {
        let difference = Difference {
            case: case.clone(),
            against,
            ours: ours.0.clone(),
            our_words: ours.1.clone(),
            theirs: theirs.verdict.clone(),
            their_words: theirs.words.clone(),
        };
        if options.talkative {
            report.tell(&difference);
        }
        let spoke = theirs.words != explained::SILENT;
        if spoke && is_same(case, against, &ours.0, &theirs.verdict) {
            report.same(against);
        } else if let Some(rule) = explained::by(&difference) {
            report.explained(rule);
        } else {
            report.unexplained(difference);
        }
    };
    judge(Against::DaneOnly, &ours.dane_only, said(Level::DaneOnly));
    // With several hosts Postfix takes the first at these levels, proved or not.
    if case.hosts.len() < 2 {
        judge(Against::Dane, &ours.basic, said(Level::Dane));
        let fingered = world.postfix.finger(&domain).await?;
        judge(Against::Finger, &ours.basic, &fingered);
    }
    if !has_dane(case) {
        judge(Against::Verify, &ours.basic, said(Level::Verify));
    }
    // Where there is no host to hand over to, nobody needs to know the policy.
    if !matches!(case.mx, Mx::Aliased(Zone::Bogus) | Mx::Null) {
        let (ours, theirs) = policies(world, case).await?;
        judge(Against::Policy, &ours, &theirs);
    }
    for (index, (host, placed)) in case.hosts.iter().zip(placed).enumerate() {
        if host.chain.is_none() || host.tlsa.is_empty() {
            continue;
        }
        let name = case.host_name(index);
        let records = tlsa(host, placed);
        let ours = world.ours.matches(&name, &records, &placed.shown.chain)?;
        let theirs = openssl::opinion(placed.address, &name, &records).await?;
        let theirs = Delivery {
            verdict: of_match(theirs.matched),
            words: theirs.words,
        };
        let ours = (of_match(ours), String::new());
        judge(Against::OpenSsl(index), &ours, &theirs);
    }
    Ok(report)
}

/// Which hosts the domain's policy names, by us and by postfix-mta-sts-resolver.
async fn policies(world: &World, case: &Case) -> Result<((Verdict, String), Delivery), Trouble> {
    let domain = case.domain();
    let mut hosts: Vec<String> = (0..case.hosts.len())
        .map(|index| case.host_name(index))
        .collect();
    hosts.push(policy_host::OTHER.to_owned());
    let verdict = |named: Option<Vec<String>>| match named {
        Some(named) => Verdict::Direct(named.join(" "), Proof::Nothing),
        None => Verdict::NotProved,
    };
    let ours = world.ours.policy_names(&domain, &hosts).await?;
    let said = world.socketmap.opinion(&domain).await?;
    let theirs = said.patterns.map(|patterns| {
        hosts.retain(|host| patterns.contains(host));
        hosts
    });
    let theirs = Delivery {
        verdict: verdict(theirs),
        words: said.words,
    };
    Ok(((verdict(ours), String::new()), theirs))
}

fn of_match(matched: Option<bool>) -> Verdict {
    match matched {
        Some(true) => Verdict::Direct(String::new(), Proof::Dane),
        Some(false) => Verdict::Held,
        None => Verdict::NotProved,
    }
}

/// A host of it has a TLSA record, so that DANE can play a part.
fn has_dane(case: &Case) -> bool {
    case.hosts.iter().any(|host| !host.tlsa.is_empty())
}

fn is_same(case: &Case, against: Against, ours: &Verdict, theirs: &Verdict) -> bool {
    match against {
        // Whether, and to whom: waiting, or the vault, is the same "not now" to Postfix.
        Against::DaneOnly | Against::Finger | Against::Verify => match (ours, theirs) {
            (Verdict::Direct(ours, _), Verdict::Direct(theirs, _)) => {
                ours == theirs || case.mx == Mx::Equal
            }
            (Verdict::Held | Verdict::NotProved, Verdict::Held | Verdict::NotProved) => true,
            (Verdict::Refused, Verdict::Refused) => true,
            (_, _) => false,
        },
        // Whether DANE is demanded, and met.
        Against::Dane => match (ours, theirs) {
            (Verdict::Direct(_, ours), Verdict::Direct(_, theirs)) => {
                (*ours == Proof::Dane) == (*theirs == Proof::Dane)
            }
            (Verdict::NotProved, Verdict::Direct(_, Proof::Nothing)) => true,
            (ours, theirs) => ours == theirs,
        },
        Against::OpenSsl(_) | Against::Policy => ours == theirs,
    }
}
