//! Prints how mail to a domain would go, and why.

use std::error::Error;
use std::io::Write as _;

use explain::{explain, inquirer};
use securemail_core::vocab::{DnsName, Profile};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(domain)) = (arguments.next(), arguments.next()) else {
        return Err("usage: explain RESOLVER:PORT DOMAIN".into());
    };
    let inquirer = inquirer(server.parse()?)?;
    let explanation = explain(&inquirer, &DnsName::parse(&domain)?, Profile::Strict).await?;
    write!(std::io::stdout(), "{explanation}")?;
    Ok(())
}
