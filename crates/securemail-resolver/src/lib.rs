//! DNSSEC-validated DNS, a second validator, vantages, and MTA-STS policies over HTTPS.
