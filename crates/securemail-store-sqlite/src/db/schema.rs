//! The tables. Each entry brings the schema one version on; entries are never changed, only added.
//!
//! Every primary key begins with the tenant, so that the same shape can be spread over many nodes;
//! what is known of recipient domains belongs to no tenant.

/// Spool, pickups, directory, events, domain memory.
pub(super) const STORE: &[&str] = &[
    "
CREATE TABLE items (
    tenant        TEXT    NOT NULL,
    queue         BLOB    NOT NULL,
    class         INTEGER NOT NULL,
    sealed_header BLOB    NOT NULL,
    PRIMARY KEY (tenant, queue)
) STRICT;

-- Small content stands here, large content in a file.
CREATE TABLE contents (
    tenant TEXT    NOT NULL,
    queue  BLOB    NOT NULL,
    size   INTEGER NOT NULL,
    octets BLOB,
    file   TEXT,
    PRIMARY KEY (tenant, queue),
    FOREIGN KEY (tenant, queue) REFERENCES items (tenant, queue) ON DELETE CASCADE
) STRICT;

CREATE TABLE deliveries (
    tenant       TEXT    NOT NULL,
    queue        BLOB    NOT NULL,
    recipient    INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    since        INTEGER NOT NULL,  -- when it was intended or committed
    leased       INTEGER,           -- until when; stays when it runs out, goes when it is settled
    due          INTEGER,           -- when it is tried; while it is leased, when the lease ends
    woken        INTEGER,           -- what wake() asked for while it was leased
    ended        INTEGER,
    resubmission BLOB,
    sealed_state BLOB    NOT NULL,
    PRIMARY KEY (tenant, queue, recipient)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_ended ON deliveries (ended) WHERE ended IS NOT NULL;
CREATE INDEX deliveries_intended ON deliveries (leased) WHERE state = 1;
CREATE INDEX deliveries_resubmission ON deliveries (tenant, resubmission, since)
    WHERE resubmission IS NOT NULL;

CREATE TABLE logs (
    tenant TEXT    NOT NULL PRIMARY KEY,
    size   INTEGER NOT NULL,
    chain  BLOB    NOT NULL
) STRICT;
CREATE TABLE events (
    tenant   TEXT    NOT NULL,
    position INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    queue    BLOB    NOT NULL,
    chained  BLOB    NOT NULL,
    personal BLOB,
    chain    BLOB    NOT NULL,
    PRIMARY KEY (tenant, position)
) STRICT;
CREATE INDEX events_queue ON events (tenant, queue, position);
CREATE INDEX events_personal ON events (tenant, time) WHERE personal IS NOT NULL;
CREATE TABLE event_index (
    tenant   TEXT    NOT NULL,
    hash     BLOB    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (tenant, hash, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE pickups (
    tenant       TEXT    NOT NULL,
    id           BLOB    NOT NULL,
    version      INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    sealed_state BLOB    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX pickups_due ON pickups (due);
CREATE INDEX pickups_id ON pickups (id);
CREATE TABLE blocks (
    tenant TEXT    NOT NULL,
    prefix BLOB    NOT NULL,  -- keyed hash
    until  INTEGER NOT NULL,
    PRIMARY KEY (tenant, prefix)
) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_until ON blocks (until);

CREATE TABLE tenants (
    tenant TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE accounts (
    tenant   TEXT NOT NULL,
    identity BLOB NOT NULL UNIQUE,  -- keyed hash; one identity belongs to one tenant
    sealed   BLOB NOT NULL,
    PRIMARY KEY (tenant, identity)
) STRICT;
CREATE TABLE phones (
    tenant    TEXT NOT NULL,
    recipient BLOB NOT NULL,  -- keyed hash
    sealed    BLOB NOT NULL,
    PRIMARY KEY (tenant, recipient)
) STRICT;

CREATE TABLE domains (
    domain  TEXT NOT NULL PRIMARY KEY,
    history TEXT NOT NULL
) STRICT;
CREATE TABLE policies (
    domain TEXT NOT NULL PRIMARY KEY,
    policy TEXT NOT NULL
) STRICT;
",
    "
CREATE INDEX deliveries_queued ON deliveries (since) WHERE state = 2;
",
    "
CREATE TABLE budgets (
    tenant  TEXT    NOT NULL,
    budget  BLOB    NOT NULL,  -- keyed hash
    until   INTEGER NOT NULL,  -- when the window ends
    spent   INTEGER NOT NULL,
    refused INTEGER NOT NULL,  -- whether somebody was refused in it
    PRIMARY KEY (tenant, budget)
) STRICT, WITHOUT ROWID;
CREATE INDEX budgets_until ON budgets (until);
",
    "
-- Domains whose policy is looked at in the background.
CREATE TABLE watched (
    domain TEXT    NOT NULL PRIMARY KEY,
    due    INTEGER NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX watched_due ON watched (due);
CREATE INDEX watched_until ON watched (until);
",
    "
-- Counts of sessions for reports about TLS. A row of a day stays when its report is done: the day is over.
CREATE TABLE tls_days (
    domain    TEXT    NOT NULL,
    day       INTEGER NOT NULL,
    first_due INTEGER NOT NULL,
    due       INTEGER,           -- NULL: done
    tries     INTEGER NOT NULL,
    fence     INTEGER NOT NULL,
    PRIMARY KEY (domain, day)
) STRICT;
CREATE INDEX tls_days_due ON tls_days (due) WHERE due IS NOT NULL;
CREATE INDEX tls_days_day ON tls_days (day);
CREATE TABLE tls_sessions (
    domain  TEXT    NOT NULL,
    day     INTEGER NOT NULL,
    session TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (domain, day, session)
) STRICT, WITHOUT ROWID;
CREATE TABLE tls_received (
    domain TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    day    INTEGER NOT NULL,
    report TEXT    NOT NULL,
    PRIMARY KEY (domain, key)
) STRICT;
CREATE INDEX tls_received_day ON tls_received (domain, day);
",
    "
-- A final dot may have left, and nobody said how that ended. Of older leases nobody knows.
ALTER TABLE deliveries ADD COLUMN dot INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET dot = 1 WHERE state = 2 AND leased IS NOT NULL;
",
    "
-- The first delivery of its submission, where attempts were lost.
ALTER TABLE deliveries ADD COLUMN first_queue BLOB;
ALTER TABLE deliveries ADD COLUMN first_recipient INTEGER;
-- Which process leased it. Leases of queued deliveries are found apart from those that wait.
ALTER TABLE deliveries ADD COLUMN holder INTEGER;
CREATE INDEX deliveries_leased ON deliveries (leased) WHERE state = 2 AND leased IS NOT NULL;
",
    "
-- Those that somebody signed have room of their own; octets are of the report alone.
ALTER TABLE tls_received ADD COLUMN signed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tls_received ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
UPDATE tls_received SET octets = length(report);
",
    "
-- Mail of ours (class above 1) is found apart from messages, however many of those are due.
ALTER TABLE deliveries ADD COLUMN own INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET own = 1
    WHERE (tenant, queue) IN (SELECT tenant, queue FROM items WHERE class > 1);
CREATE INDEX deliveries_due_own ON deliveries (due) WHERE own = 1 AND due IS NOT NULL;
",
];

/// Wrapped keys. A row is never deleted and never moved: erasing overwrites the key in its place with
/// zeros and leaves the row as the tombstone, so that no copy stays behind in another page.
pub(super) const KEYS: &[&str] = &["
CREATE TABLE keys (
    tenant  TEXT    NOT NULL,
    purpose INTEGER NOT NULL,
    id      BLOB    NOT NULL,
    erased  INTEGER NOT NULL,
    wrapped BLOB    NOT NULL,
    PRIMARY KEY (tenant, purpose, id)
) STRICT;
"];
