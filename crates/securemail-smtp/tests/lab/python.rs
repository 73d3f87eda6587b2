//! Python's smtplib, a client of another make, submits with SMTPUTF8, by BDAT and with REQUIRETLS.

use std::process::Command;

use crate::submission::{PASSWORD, server};

/// One session: an address in UTF-8 with the parameter and without, then a message in chunks.
const SCRIPT: &str = r#"
import smtplib, ssl, sys
port, password = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
message = "From: clinic@sender.test\r\nSubject: caf\u00e9\r\n\r\n..\r\n.\r\nx\r\n".encode()
me = "clinic@sender.test"
with smtplib.SMTP("127.0.0.1", int(port), local_hostname="client.sender.test") as smtp:
    assert not smtp.has_extn("requiretls")
    smtp.starttls(context=context)
    smtp.login("clinic", password)
    for keyword in ["smtputf8", "chunking", "requiretls", "8bitmime"]:
        assert smtp.has_extn(keyword), (keyword, smtp.esmtp_features)
    assert not smtp.has_extn("binarymime")
    smtp.sendmail(me, ["j\u00f6rg@b\u00fccher.test"], message, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    smtp.mail(me)
    smtp.command_encoding = "utf-8"
    code, said = smtp.rcpt("j\u00f6rg@b\u00fccher.test")
    assert code == 553 and b"5.6.7" in said, (code, said)
    smtp.rset()
    smtp.mail(me, ["REQUIRETLS"])
    smtp.rcpt("b@pkix.test")
    for at in range(0, len(message), 10):
        chunk = message[at:at + 10]
        last = b" LAST" if at + 10 >= len(message) else b""
        smtp.send(b"BDAT %d%s\r\n" % (len(chunk), last) + chunk)
        code, said = smtp.getreply()
        assert code == 250, (code, said)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn python_submits_an_address_in_utf8_and_a_message_in_chunks() {
    let server = server().await;
    let port = server.starttls.port().to_string();
    let run = move || {
        Command::new("python3")
            .args(["-c", SCRIPT, &port, PASSWORD])
            .output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let kept = server.kept.0.lock().unwrap();
    let message = "From: clinic@sender.test\r\nSubject: caf\u{e9}\r\n\r\n..\r\n.\r\nx\r\n";
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].0, ["j\u{f6}rg@xn--bcher-kva.test"]);
    assert_eq!(kept[1].0, ["b@pkix.test"]);
    for (_, octets) in kept.iter() {
        assert_eq!(String::from_utf8_lossy(octets), message);
    }
}
