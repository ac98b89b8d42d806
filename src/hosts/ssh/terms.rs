//! What is agreed with a server before anything else: ciphers, kinds of keys, how silence is taken.

use std::borrow::Cow;
use std::time::Duration;

use russh::client::Config;
use russh::keys::Algorithm;
use russh::{Preferred, cipher};

/// After so much silence the host is asked whether it is there still; after three of them without
/// an answer the connection is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// After so much time in which nothing can be sent the connection is lost. What is asked for above
/// is not looked at then, and its answers count as something.
const STUCK: Duration = Duration::from_secs(60);

/// The ciphers, the fastest first: processors have AES built in.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// Whether two keys are of one kind.
pub(super) fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    match (one, other) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (one, other) => one == other,
    }
}

/// What is offered to a server that must have a key of one of these kinds.
pub(super) fn config(kinds: &[Algorithm]) -> Config {
    Config {
        keepalive_interval: Some(SILENCE),
        keepalive_max: 3,
        inactivity_timeout: Some(STUCK),
        preferred: Preferred {
            key: Cow::Owned(kinds.to_vec()),
            cipher: Cow::Borrowed(CIPHERS),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}
