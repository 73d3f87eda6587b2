//! From hickory's records to ours, bounded by core's table of limits.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable as _;
use securemail_core::limits::{
    ADDRESS_RECORDS_MAX, CAA_RECORDS_MAX, MX_RECORDS_MAX, NS_RECORDS_MAX, TLSA_RECORDS_MAX,
    TXT_OCTETS_MAX, TXT_RECORDS_MAX,
};
use securemail_core::vocab::{
    Caa, DnsName, LookupFailure, Mx, MxTarget, Outcome, RecordKind, Tlsa,
};

/// The type as hickory names it.
pub(crate) const fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Caa => RecordType::CAA,
        RecordKind::Cname => RecordType::CNAME,
        RecordKind::Mx => RecordType::MX,
        RecordKind::Ns => RecordType::NS,
        RecordKind::Tlsa => RecordType::TLSA,
        RecordKind::Txt => RecordType::TXT,
    }
}

/// The name as hickory writes it: absolute, so that no search domain is ever added.
pub(crate) fn absolute(name: &DnsName) -> Option<Name> {
    let mut name = Name::from_ascii(name.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The content of a set of records of one kind; never empty.
pub(crate) fn outcome(kind: RecordKind, records: &[&Record]) -> Outcome {
    let data = records.iter().map(|record| &record.data);
    match kind {
        RecordKind::A | RecordKind::Aaaa => {
            Outcome::Addresses(data.filter_map(address).take(ADDRESS_RECORDS_MAX).collect())
        }
        RecordKind::Caa => Outcome::Caa(data.filter_map(caa).take(CAA_RECORDS_MAX).collect()),
        RecordKind::Cname => alias(records),
        RecordKind::Mx => Outcome::Mx(mail_exchangers(data)),
        RecordKind::Ns => {
            Outcome::NameServers(data.filter_map(name_server).take(NS_RECORDS_MAX).collect())
        }
        RecordKind::Tlsa if records.len() > TLSA_RECORDS_MAX => {
            Outcome::Failed(LookupFailure::Malformed)
        }
        RecordKind::Tlsa => Outcome::Tlsa(data.filter_map(tlsa).collect()),
        RecordKind::Txt => Outcome::Txt(data.filter_map(text).take(TXT_RECORDS_MAX).collect()),
    }
}

/// A name has one alias at most (RFC 2181, section 10.1).
fn alias(records: &[&Record]) -> Outcome {
    let [record] = records else {
        return Outcome::Failed(LookupFailure::Malformed);
    };
    let target = match &record.data {
        RData::CNAME(target) => DnsName::parse(&target.0.to_ascii()).ok(),
        _ => None,
    };
    target.map_or(Outcome::Failed(LookupFailure::Malformed), Outcome::Alias)
}

/// Where a DNAME record at `owner` moves `name` (RFC 6672, section 2.2). hickory leaves its data unread.
pub(crate) fn moved(name: &Name, owner: &Name, data: &RData) -> Option<Name> {
    let RData::Unknown { rdata, .. } = data else {
        return None;
    };
    let target = Name::from_bytes(&rdata.anything).ok()?;
    let kept = name.num_labels().checked_sub(owner.num_labels())?;
    let prefix = Name::from_labels(name.iter().take(kept.into())).ok()?;
    prefix.append_domain(&target).ok()
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

/// Tags have no case (RFC 8659, section 4.1).
fn caa(data: &RData) -> Option<Caa> {
    let RData::CAA(caa) = data else {
        return None;
    };
    Some(Caa {
        is_critical: caa.issuer_critical,
        tag: caa.tag.to_ascii_lowercase(),
        value: String::from_utf8_lossy(&caa.value).into_owned(),
    })
}

fn name_server(data: &RData) -> Option<DnsName> {
    match data {
        RData::NS(server) => DnsName::parse(&server.0.to_ascii()).ok(),
        _ => None,
    }
}

fn mail_exchangers<'a>(data: impl Iterator<Item = &'a RData>) -> Vec<Mx> {
    let mut exchangers: Vec<Mx> = data
        .filter_map(|data| match data {
            RData::MX(mx) => Some(Mx {
                preference: mx.preference,
                target: mx_target(&mx.exchange),
            }),
            _ => None,
        })
        .collect();
    if exchangers.len() > MX_RECORDS_MAX {
        // The best ones; sorting is stable, so those of one preference stay as they came.
        exchangers.sort_by_key(|mx| mx.preference);
        exchangers.truncate(MX_RECORDS_MAX);
    }
    exchangers
}

fn mx_target(exchange: &Name) -> MxTarget {
    if exchange.is_root() {
        return MxTarget::Null;
    }
    let text = exchange.to_ascii();
    let bare = text.trim_end_matches('.');
    match DnsName::parse(&text) {
        // An address written as a name is no host (RFC 7672, section 2.2).
        Ok(_) if bare.parse::<Ipv4Addr>().is_ok() => MxTarget::Invalid(bare.to_owned()),
        Ok(name) => MxTarget::Host(name),
        Err(_) => MxTarget::Invalid(bare.to_owned()),
    }
}

fn tlsa(data: &RData) -> Option<Tlsa> {
    let RData::TLSA(tlsa) = data else {
        return None;
    };
    Some(Tlsa {
        usage: tlsa.cert_usage.into(),
        selector: tlsa.selector.into(),
        matching: tlsa.matching.into(),
        data: tlsa.cert_data.clone(),
    })
}

/// The strings of one record, joined without spaces (RFC 8461, section 3.1). A longer text than we look at is left out.
fn text(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else {
        return None;
    };
    let octets = txt.txt_data.concat();
    (octets.len() <= TXT_OCTETS_MAX).then(|| String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{CAA, CNAME, MX, NS, TXT};

    use super::*;

    fn record(data: RData) -> Record {
        Record::from_rdata(Name::from_ascii("a.test.").unwrap(), 60, data)
    }

    fn target(exchange: &str) -> MxTarget {
        mx_target(&Name::from_ascii(exchange).unwrap())
    }

    #[test]
    fn an_exchange_that_is_no_host_is_kept_as_such() {
        assert_eq!(target("."), MxTarget::Null);
        assert_eq!(target("192.0.2.1."), MxTarget::Invalid("192.0.2.1".into()));
        assert_eq!(
            target("MX.Shop.test."),
            MxTarget::Host(DnsName::parse("mx.shop.test").unwrap())
        );
        let odd = Name::from_labels([b"a b".as_slice(), b"test"]).unwrap();
        assert!(matches!(mx_target(&odd), MxTarget::Invalid(_)));
    }

    #[test]
    fn two_aliases_at_one_name_are_malformed() {
        let name = |text| RData::CNAME(CNAME(Name::from_ascii(text).unwrap()));
        let (one, two) = (record(name("b.test.")), record(name("c.test.")));
        assert_eq!(
            outcome(RecordKind::Cname, &[&one, &two]),
            Outcome::Failed(LookupFailure::Malformed)
        );
    }

    #[test]
    fn the_best_exchangers_survive_a_flood() {
        let flood: Vec<Record> = (0..300_u16)
            .rev()
            .map(|n| record(RData::MX(MX::new(n, Name::from_ascii("mx.test.").unwrap()))))
            .collect();
        let flood: Vec<&Record> = flood.iter().collect();
        let Outcome::Mx(kept) = outcome(RecordKind::Mx, &flood) else {
            panic!("no exchangers");
        };
        assert_eq!(kept.len(), MX_RECORDS_MAX);
        assert_eq!(kept[0].preference, 0);
    }

    #[test]
    fn a_property_of_caa_is_read_whole_and_its_tag_has_no_case() {
        let issue = CAA::new_issue(true, Some(Name::from_ascii("ca.test").unwrap()), vec![]);
        let mut mail = issue.clone();
        mail.issuer_critical = false;
        mail.tag = "IssueMail".to_owned();
        mail.value = b";".to_vec();
        let (issue, mail) = (record(RData::CAA(issue)), record(RData::CAA(mail)));
        let property = |is_critical, tag: &str, value: &str| Caa {
            is_critical,
            tag: tag.to_owned(),
            value: value.to_owned(),
        };
        let expected = vec![
            property(true, "issue", "ca.test"),
            property(false, "issuemail", ";"),
        ];
        let found = outcome(RecordKind::Caa, &[&issue, &mail]);
        assert_eq!(found, Outcome::Caa(expected));
    }

    #[test]
    fn no_more_name_servers_are_read_than_the_limit() {
        let server = |n: usize| RData::NS(NS(Name::from_ascii(format!("ns{n}.test.")).unwrap()));
        let flood: Vec<Record> = (0..100).map(|n| record(server(n))).collect();
        let flood: Vec<&Record> = flood.iter().collect();
        let Outcome::NameServers(kept) = outcome(RecordKind::Ns, &flood) else {
            panic!("no name servers");
        };
        assert_eq!(kept.len(), NS_RECORDS_MAX);
        assert_eq!(kept[0].as_str(), "ns0.test");
    }

    #[test]
    fn p_06_strings_of_one_text_are_joined() {
        let split = record(RData::TXT(TXT::new(vec![
            "v=STSv1;".into(),
            " id=1;".into(),
        ])));
        assert_eq!(
            outcome(RecordKind::Txt, &[&split]),
            Outcome::Txt(vec!["v=STSv1; id=1;".into()])
        );
    }

    #[test]
    fn p_06_strings_of_two_texts_are_not_joined() {
        let text = |text: &str| record(RData::TXT(TXT::new(vec![text.into()])));
        let (one, other) = (text("v=STSv1;"), text(" id=1;"));
        assert_eq!(
            outcome(RecordKind::Txt, &[&one, &other]),
            Outcome::Txt(vec!["v=STSv1;".into(), " id=1;".into()])
        );
    }

    #[test]
    fn a_long_text_is_left_out() {
        let long = record(RData::TXT(TXT::new(vec!["x".repeat(255); 20])));
        let short = record(RData::TXT(TXT::new(vec!["short".into()])));
        assert_eq!(
            outcome(RecordKind::Txt, &[&long, &short]),
            Outcome::Txt(vec!["short".into()])
        );
    }
}
