//! `lab.json`: what a test needs to know of the lab.

use serde_json::{Map, Value, json};

use super::files::Folder;
use super::peers::{OTHERS, Peer};
use super::resolver::{RESOLVER, VANTAGE};
use super::zones::SELECTORS;
use crate::components::{node_folder, python_folders};
use crate::failure::Failure;

/// Writes it and gives its path.
pub(super) fn write(folder: &Folder, peers: &[Peer]) -> Result<String, Failure> {
    let others = OTHERS.iter().map(|other| (other.name, other.address));
    let peers: Vec<Value> = peers
        .iter()
        .map(|peer| (peer.name, peer.address))
        .chain(others)
        .map(|(name, address)| json!({ "name": name, "address": address }))
        .collect();
    let keys: Vec<Value> = SELECTORS
        .iter()
        .map(|(selector, algorithm)| {
            let key = folder.text(&format!("dkim/{algorithm}.pem"));
            json!({ "selector": selector, "algorithm": algorithm, "key": key })
        })
        .collect();
    let programs: Map<String, Value> = python_folders()?
        .into_iter()
        .map(|(name, folder)| (name.to_owned(), json!(folder.join("bin").join(name))))
        .collect();
    let lab = json!({
        "folder": folder.text(""),
        "resolver": format!("{RESOLVER}:53"),
        "vantage": { "server": format!("{VANTAGE}:853"), "name": "vantage.test" },
        "pids": { "resolver": folder.text("resolver.pid"), "vantage": folder.text("vantage.pid") },
        "trust_anchor": folder.text("root.key"),
        "ca_file": folder.text("certificates/ca.pem"),
        "certificates": folder.text("certificates"),
        "mail": folder.text("postfix/mail"),
        "reports": folder.text("reports"),
        "mail_log": folder.text("postfix/postfix.log"),
        "logs": {
            "exim": folder.text("exim/main.log"),
            "nodemailer": folder.text("nodemailer/receiver.log"),
        },
        "node_modules": node_folder()?.join("node_modules"),
        "sender": { "domain": "sender.test", "dkim": keys },
        "differential_key": folder.read("zones/differential.key")?.trim(),
        "python": "/usr/bin/python3",
        "programs": programs,
        "peers": peers,
    });
    folder.write("lab.json", &format!("{lab:#}\n"))?;
    Ok(folder.text("lab.json"))
}
