//! What an X.509 certificate says of itself, as far as people want to know it. Nothing is verified
//! here; the TLS stack does that.
//!
//! The reader goes over the bytes once and keeps nothing of what it does not know, so that a
//! server's certificate, however odd, costs no more than its length. A whole crate for the format
//! would weigh a quarter of a megabyte.

use std::net::IpAddr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// `subjectAltName`.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// The parts of a name that are told, in that order.
const TOLD: [(&[u8], &str); 3] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
];
const BY_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const BY_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The first second at which it is valid, since 1970.
    pub from: i64,
    /// The last second.
    pub until: i64,
    /// Whose it is: `CN=shop.example.com, O=Shop`.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// Whether it was issued by whom it is for.
    pub by_itself: bool,
    /// The DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// The hash in its signature, by which a connection can be bound to it; none for those
    /// signatures that have no such hash.
    pub hash: Option<Hash>,
}

/// A hash of RFC 5929: MD5 and SHA-1 are taken for SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Reads a certificate; nothing if it is none.
pub fn read(der: &[u8]) -> Option<Certificate> {
    let mut whole = Der(Der(der).one(SEQUENCE)?);
    let mut body = Der(whole.one(SEQUENCE)?);
    let signed = Der(whole.one(SEQUENCE)?).one(OBJECT)?;
    body.one(VERSION);
    body.one(INTEGER)?;
    body.one(SEQUENCE)?;
    let issuer = body.one(SEQUENCE)?;
    let mut validity = Der(body.one(SEQUENCE)?);
    let subject = body.one(SEQUENCE)?;
    body.one(SEQUENCE)?;
    let mut names = Vec::new();
    while let Some((tag, content)) = body.next() {
        if tag == EXTENSIONS {
            names = alternative_names(content).unwrap_or_default();
        }
    }
    Some(Certificate {
        from: time(validity.next()?)?,
        until: time(validity.next()?)?,
        subject: name(subject),
        issuer: name(issuer),
        by_itself: issuer == subject,
        names,
        hash: hash(signed),
    })
}

/// Elements of DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            short @ 0..=0x7f => (usize::from(*short), rest),
            // How many bytes the length has. Four are more than any certificate needs.
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The next element's content if it has that tag; else nothing, and it is still the next.
    fn one(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = Self(self.0);
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            self.0 = ahead.0;
            content
        })
    }
}

fn time((tag, content): (u8, &[u8])) -> Option<i64> {
    let digits = content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |at: usize| {
        let pair = digits.get(at..at + 2)?;
        Some(i16::from(pair[0] - b'0') * 10 + i16::from(pair[1] - b'0'))
    };
    let (year, at) = match (tag, digits.len()) {
        // RFC 5280: from 1950 to 2049.
        (UTC_TIME, 12) => (two(0)? + if two(0)? < 50 { 2000 } else { 1900 }, 2),
        (GENERALIZED_TIME, 14) => (two(0)? * 100 + two(2)?, 4),
        _ => return None,
    };
    let part = |n: usize| i8::try_from(two(at + 2 * n)?).ok();
    let time = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0);
    let time = TimeZone::UTC.to_timestamp(time.ok()?).ok()?;
    Some(time.as_second())
}

fn name(sets: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut sets = Der(sets);
    while let Some(set) = sets.one(SET) {
        let mut set = Der(set);
        while let Some(pair) = set.one(SEQUENCE) {
            let mut pair = Der(pair);
            if let (Some(kind), Some(value)) = (pair.one(OBJECT), pair.next()) {
                parts.push((kind, text(value)));
            }
        }
    }
    let told = TOLD.iter().flat_map(|(kind, word)| {
        let found = parts.iter().filter(move |(one, _)| one == kind);
        found.map(move |(_, value)| format!("{word}={value}"))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return "nobody that has a name".to_owned();
    }
    told.join(", ")
}

fn text((tag, content): (u8, &[u8])) -> String {
    if tag == BMP_STRING {
        let units = content.chunks_exact(2);
        let units = units.map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
        return char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
    }
    String::from_utf8_lossy(content).into_owned()
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut extensions = Der(Der(extensions).one(SEQUENCE)?);
    while let Some(extension) = extensions.one(SEQUENCE) {
        let mut extension = Der(extension);
        let kind = extension.one(OBJECT)?;
        extension.one(BOOLEAN);
        let value = extension.one(OCTETS)?;
        if kind == ALTERNATIVE_NAMES {
            let mut names = Der(Der(value).one(SEQUENCE)?);
            return Some(
                std::iter::from_fn(|| names.next())
                    .filter_map(alternative)
                    .collect(),
            );
        }
    }
    None
}

fn alternative((tag, content): (u8, &[u8])) -> Option<String> {
    match tag {
        DNS_NAME => Some(String::from_utf8_lossy(content).into_owned()),
        IP_ADDRESS => {
            let four = <[u8; 4]>::try_from(content).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(content).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn hash(signed: &[u8]) -> Option<Hash> {
    match (signed.strip_prefix(BY_RSA), signed.strip_prefix(BY_ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(Hash::Sha256),
        (Some([12]), _) | (_, Some([3, 3])) => Some(Hash::Sha384),
        (Some([13]), _) | (_, Some([3, 4])) => Some(Hash::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    /// `openssl req -x509` with O, OU and CN, two DNS names and two addresses, from 2049-12-31 for
    /// two days, so that each form of a time is there.
    const PEM: &str = "\
-----BEGIN CERTIFICATE-----
MIIB1DCCAXqgAwIBAgIUX8/Nnnrr5XkIsopdOrXWEkiJRm8wCgYIKoZIzj0EAwMw
MjESMBAGA1UEAwwJc2hvcC50ZXN0MQ4wDAYDVQQKDAVTaMO2cDEMMAoGA1UECwwD
V2ViMCAXDTQ5MTIzMTIzMDAwMFoYDzIwNTAwMTAyMjMwMDAwWjAyMRIwEAYDVQQD
DAlzaG9wLnRlc3QxDjAMBgNVBAoMBVNow7ZwMQwwCgYDVQQLDANXZWIwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAAScxKhC6YHTlyi1sgbBsYf3ibE8aX2FXqmgojaG
Np2a0pSlDfCHK4gGc6I0MS6vStJaJLdwmA5Om/guLoYfV+Rso2wwajA7BgNVHREE
NDAygglzaG9wLnRlc3SCDXd3dy5zaG9wLnRlc3SHBH8AAAGHEAAAAAAAAAAAAAAA
AAAAAAEwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUFiJXYzzD2vvstL3BxBBFVPRq
PT8wCgYIKoZIzj0EAwMDSAAwRQIgejDsI4oZEzTVagM8c8uOqevj6iYMr08MatYp
QS0RrJMCIQCpDfGI6/9BvZJvNIFe9f9ZUgX+ch9Kzn+u/mvO4yo/7g==
-----END CERTIFICATE-----
";

    fn der() -> Vec<u8> {
        CertificateDer::from_pem_slice(PEM.as_bytes())
            .unwrap()
            .to_vec()
    }

    #[test]
    fn a_certificate_says_whose_it_is_and_until_when() {
        let said = read(&der()).unwrap();
        assert_eq!(said.subject, "CN=shop.test, O=Shöp, OU=Web");
        assert!(said.by_itself && said.issuer == said.subject);
        assert_eq!(
            said.names,
            ["shop.test", "www.shop.test", "127.0.0.1", "::1"]
        );
        // 2049-12-31 23:00:00 and 2050-01-02 23:00:00.
        assert_eq!((said.from, said.until), (2_524_604_400, 2_524_777_200));
        assert_eq!(said.hash, Some(Hash::Sha384));
    }

    #[test]
    fn half_a_certificate_is_none() {
        let whole = der();
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_is_in_it_the_reader_ends(at in 0_usize..2000, byte: u8, other: Vec<u8>) {
            let mut changed = der();
            let at = at % changed.len();
            changed[at] = byte;
            let _ = (read(&changed), read(&other));
        }
    }
}
