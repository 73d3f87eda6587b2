//! Installs the programs that the lab is made of, once, and says by name what cannot be had.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::failure::Failure;
use crate::steps::{command, output_of, root, run};

/// A program that proves that its Debian package is there.
const PROGRAMS: [(&str, &str); 19] = [
    ("chromedriver", "chromium-driver"),
    ("chromium", "chromium"),
    ("dig", "bind9-dnsutils"),
    ("faketime", "faketime"),
    ("ip", "iproute2"),
    ("ldns-signzone", "ldnsutils"),
    ("mta-sts-daemon", "postfix-mta-sts-resolver"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("nsd", "nsd"),
    ("openssl", "openssl"),
    ("postfix", "postfix"),
    ("strace", "strace"),
    ("swaks", "swaks"),
    ("testssl", "testssl.sh"),
    ("unbound", "unbound"),
    ("unshare", "util-linux"),
    ("python3", "python3"),
];

/// What has no program of its own: a file that proves the package is there.
const FILES: [(&str, &str); 6] = [
    (
        "/usr/lib/python3/dist-packages/aiosmtpd/__init__.py",
        "python3-aiosmtpd",
    ),
    (
        "/usr/lib/python3/dist-packages/dkim/__init__.py",
        "python3-dkim",
    ),
    (
        "/usr/lib/python3/dist-packages/dns/__init__.py",
        "python3-dnspython",
    ),
    (
        "/usr/lib/python3/dist-packages/nacl/__init__.py",
        "python3-nacl",
    ),
    ("/usr/share/doc/python3-venv", "python3-venv"),
    ("/usr/share/perl5/IO/Socket/SSL.pm", "libio-socket-ssl-perl"),
];

/// Mail servers that Debian would not install beside Postfix lie below it, unpacked.
pub(crate) const UNPACKED: &str = "/var/lib/securemail-lab";

/// Of these packages, which belong to one program each: the program, and the libraries that both need.
const TO_UNPACK: &str = "exim4-base exim4-daemon-light opensmtpd";
const UNPACKED_PROGRAMS: [&str; 2] = ["usr/sbin/exim4", "usr/sbin/smtpd"];
const UNPACKED_NEED: &str = "libdb5.3 libevent-2.1-7 libgnutls-dane0 libidn12 libnsl2 libpcre2-8-0";
/// Programs in Python that Debian does not have, each pinned and in a folder of its own: together their wishes
/// contradict each other.
const PYTHON: [(&str, &str); 2] = [("parsedmarc", "11.1.0"), ("sslyze", "6.3.1")];
/// A mail server and a client that speak REQUIRETLS, which nothing in Debian does. Later versions want a later
/// Node than Debian has. What they need is pinned by themselves.
const NODE: [&str; 2] = ["smtp-server@3.18.5", "nodemailer@8.0.10"];

/// Waits for who installs something else at this moment.
const APT: &str = "apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=5";
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_secs(20);

/// Installs what is missing and proves that all of it is there.
pub(crate) fn install() -> Result<(), Failure> {
    install_toolchain()?;
    let missing = missing_packages();
    if !missing.is_empty() {
        install_packages(&missing)?;
    }
    if !is_unpacked() {
        unpack()?;
    }
    let still = missing_packages();
    if !still.is_empty() {
        return Err(Failure::new(format!("cannot be had: {}", still.join(", "))));
    }
    for (name, version) in PYTHON {
        install_python(name, version)?;
    }
    install_node()
}

/// Where each program in Python is installed.
pub(crate) fn python_folders() -> Result<Vec<(&'static str, PathBuf)>, Failure> {
    let home = output_of(command("sh", &["-c", "printf %s \"$HOME\""]))?;
    let folder = Path::new(&home).join(".cache/securemail/python");
    let of = |(name, version)| (name, folder.join(format!("{name}-{version}")));
    Ok(PYTHON.into_iter().map(of).collect())
}

/// Where the packages for Node are installed.
pub(crate) fn node_folder() -> Result<PathBuf, Failure> {
    let home = output_of(command("sh", &["-c", "printf %s \"$HOME\""]))?;
    let folder = Path::new(&home).join(".cache/securemail/node");
    Ok(folder.join(NODE.join("+")))
}

/// No script of a package runs.
fn install_node() -> Result<(), Failure> {
    let folder = node_folder()?;
    let done = folder.join("installed");
    if done.exists() {
        return Ok(());
    }
    println!("installing {}", NODE.join(", "));
    std::fs::create_dir_all(&folder).map_err(Failure::doing("a folder for Node's packages"))?;
    let folder = folder.display().to_string();
    let quiet = ["--no-audit", "--no-fund", "--no-save", "--ignore-scripts"];
    let install = ["install", "--loglevel=error", "--prefix", &folder];
    patiently(|| run(command("npm", &[&install[..], &quiet, &NODE].concat())))?;
    std::fs::write(done, "").map_err(Failure::doing("noting that they are installed"))
}

fn install_python(name: &str, version: &str) -> Result<(), Failure> {
    let folders = python_folders()?;
    let folder = folders.iter().find(|(other, _)| *other == name);
    let Some((_, folder)) = folder else {
        return Err(Failure::new(format!("{name} has no folder")));
    };
    let versions = root().join(format!("xtask/python/{name}.txt"));
    let pinned = std::fs::read_to_string(&versions).map_err(Failure::doing(name))?;
    let done = folder.join("installed");
    if std::fs::read_to_string(&done).is_ok_and(|with| with == pinned) {
        return Ok(());
    }
    let folder = folder.display().to_string();
    println!("installing {name} {version}");
    run(command(
        "/usr/bin/python3",
        &["-m", "venv", "--clear", &folder],
    ))?;
    let pip = format!("{folder}/bin/pip");
    let wanted = format!("{name}=={version}");
    let versions = versions.display().to_string();
    let quiet = ["install", "--quiet", "--disable-pip-version-check"];
    let install = [&quiet[..], &["--constraint", &versions, &wanted]].concat();
    patiently(|| run(command(&pip, &install)))?;
    std::fs::write(done, pinned).map_err(Failure::doing("noting that it is installed"))
}

/// A minimal Rust has neither rustfmt nor clippy.
fn install_toolchain() -> Result<(), Failure> {
    for (part, package) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if output_of(command("cargo", &[part, "--version"])).is_err() {
            run(command("rustup", &["component", "add", package]))?;
        }
    }
    Ok(())
}

/// A command that runs as root: as it is, or by sudo.
pub(crate) fn as_root(program: &str) -> Command {
    let is_root = output_of(command("id", &["-u"])).is_ok_and(|id| id.trim() == "0");
    if is_root {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", "--preserve-env", program]);
    sudo
}

fn missing_packages() -> Vec<&'static str> {
    let programs = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_installed(program));
    let files = FILES.iter().filter(|(file, _)| !Path::new(file).exists());
    programs.chain(files).map(|(_, package)| *package).collect()
}

fn is_installed(program: &str) -> bool {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

fn install_packages(packages: &[&str]) -> Result<(), Failure> {
    println!("missing: {}", packages.join(", "));
    // No service may start by being installed: the lab starts its own, in its own namespace.
    let no_services = "test -e /usr/sbin/policy-rc.d || \
        { printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; }";
    let no_configuration = "echo postfix postfix/main_mailer_type select 'No configuration' \
        | debconf-set-selections";
    for script in [no_services, no_configuration] {
        run(root_shell(script))?;
    }
    let all = packages.join(" ");
    let install = format!(
        "set -e; export DEBIAN_FRONTEND=noninteractive; {APT} update; \
         {APT} install -y --no-install-recommends {all}"
    );
    patiently(|| run(root_shell(&install)))
}

/// Once more, and once again: a mirror changes while it is read, and somebody else may install something just now.
#[expect(
    clippy::disallowed_methods,
    reason = "this tool has no runtime, and others need real time"
)]
fn patiently(mut attempt: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(failure) => println!("{failure}; once more in {PAUSE:?}"),
        }
        std::thread::sleep(PAUSE);
    }
    attempt()
}

fn is_unpacked() -> bool {
    UNPACKED_PROGRAMS
        .iter()
        .all(|program| Path::new(UNPACKED).join(program).exists())
}

/// Their packages conflict with Postfix's, their files do not. OpenSMTPD looks for its parts where Debian
/// would have put them, and both want users of their own.
fn unpack() -> Result<(), Failure> {
    let unpack = format!(
        "set -e; export DEBIAN_FRONTEND=noninteractive; {APT} update; \
         {APT} install -y --no-install-recommends {UNPACKED_NEED}; \
         mkdir -p {UNPACKED} /usr/libexec; cd {UNPACKED}; {APT} download {TO_UNPACK}; \
         for package in *.deb; do dpkg-deb -x $package .; done; rm -f *.deb; \
         ln -sfn {UNPACKED}/usr/libexec/opensmtpd /usr/libexec/opensmtpd; \
         for user in Debian-exim opensmtpd opensmtpq; do \
           id $user >/dev/null 2>&1 || useradd -r -s /usr/sbin/nologin -d /nonexistent $user; \
         done"
    );
    patiently(|| run(root_shell(&unpack)))?;
    if is_unpacked() {
        return Ok(());
    }
    Err(Failure::new(format!("cannot be had: {TO_UNPACK}")))
}

fn root_shell(script: &str) -> Command {
    let mut shell = as_root("sh");
    shell.args(["-c", script]);
    shell
}
