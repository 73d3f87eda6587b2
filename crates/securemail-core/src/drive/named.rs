//! Finds out what the peer of a host must prove that the operator named.

use futures_util::future::join_all;

use super::Inquirer;
use crate::route::{Hop, NamedFault, NamedHost, NamedStep};
use crate::vocab::DnsName;

impl Inquirer {
    /// What the peer of a host must prove that the operator named.
    ///
    /// # Errors
    /// Where the DNS does not let that be said now.
    pub async fn named(&self, host: &DnsName, port: u16) -> Result<Hop, NamedFault> {
        let mut named = NamedHost::new(host.clone(), port);
        loop {
            match named.poll() {
                NamedStep::Done(hop) => return hop,
                NamedStep::Ask(questions) => {
                    let asked = questions.into_iter().map(|question| async {
                        let answer = self.resolver.resolve(&question).await;
                        (question, answer)
                    });
                    for (question, answer) in join_all(asked).await {
                        named.handle(question, answer);
                    }
                }
            }
        }
    }
}
