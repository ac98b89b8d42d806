//! What a server's refusal means, by its code, with what to do about it.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::Options;
use crate::platform::tls;
use crate::probes::reach::Trouble;

/// It starts up, shuts down, or is not consistent yet.
pub(super) const STARTING: &str = "57P03";

/// The stage before the first query.
pub(super) const LOGIN: &str = "login";

/// An error in words.
pub(super) fn of(failed: &Error, stage: &str, options: &Options) -> Trouble {
    if let Some(db) = failed.as_db_error() {
        return refused(db, options);
    }
    let Some(cause) = failed.source() else {
        return Trouble::silent(format!("{stage}: {failed}"));
    };
    if let Some(said) = tls::failure(cause) {
        return Trouble::silent(format!("TLS: {said}"));
    }
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        if io.kind() == std::io::ErrorKind::UnexpectedEof {
            return Trouble::silent(format!("{stage}: it closed the connection"));
        }
        // What the system does not say comes from what was read.
        if io.raw_os_error().is_none() && stage == LOGIN {
            return Trouble::wrong("what answers there is not PostgreSQL");
        }
        return Trouble::io(stage, io);
    }
    match cause.to_string().as_str() {
        "server does not support TLS" => Trouble::wrong("the server does not offer TLS")
            .wanted("TLS, as `tls` says; on the server it is `ssl = on`"),
        "password missing" => {
            Trouble::wrong("the server wants a password, and none is given").wanted("a `password`")
        }
        said => Trouble::wrong(format!("{stage}: {said}")),
    }
}

fn refused(db: &DbError, options: &Options) -> Trouble {
    let user = options.user.as_deref().unwrap_or_default();
    let database = options.database();
    let code = db.code();
    let words = if *code == SqlState::INVALID_PASSWORD {
        format!("the password of {user} is wrong, or there is no such role")
    } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        // Also a role that is not there or must not log in, and a host without an entry in pg_hba.conf.
        format!("{user} is not let in")
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        format!("there is no database {database}")
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        "it has no connection left to give".to_owned()
    } else if code.code() == STARTING {
        "it rejects connections".to_owned()
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        format!("{user} may not do that")
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        "it takes no writes".to_owned()
    } else if *code == SqlState::QUERY_CANCELED {
        "the server cancelled the query".to_owned()
    } else if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CRASH_SHUTDOWN {
        "it is shutting down".to_owned()
    } else {
        "it refused".to_owned()
    };
    let trouble = Trouble::wrong(format!("{words}: {} ({})", db.message(), code.code()));
    // The sentence is translated on some servers; the words in it that count are not always there.
    if db.message().contains("no encryption") {
        return trouble.wanted("an entry in pg_hba.conf for a connection without TLS, or TLS");
    }
    trouble
}
