//! A session with a query or two in it, on a connection that this program opened itself.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::secure::Secure;
use super::words;
use super::{Mode, Postgres};
use crate::platform::tls::{self, Trust};
use crate::probes::reach::{self, Progress, Trouble};
use crate::probes::trust;

/// How long it may take to cancel a query that took too long.
pub(super) const CANCEL: Duration = Duration::from_millis(500);

/// How long the end of a session may take.
const PARTING: Duration = Duration::from_millis(200);

/// Whether it takes no writes: a standby, or a default of the server, the database or the role.
const WRITES: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')";

/// Logs in, asks, and returns what was answered.
pub(super) async fn ask(
    probe: &Postgres,
    user: &str,
    progress: &Progress,
) -> Result<String, Trouble> {
    let options = &probe.options;
    let deadline = Instant::now() + options.timeout.get();
    let tls = secure(probe).await?;
    let stream = tokio::time::timeout_at(deadline, reach::connect(&options.address, progress));
    let stream = stream.await.map_err(|_| progress.silence())??;
    progress.at(words::LOGIN);
    let mut config = Config::new();
    config
        .user(user)
        .dbname(options.database())
        .application_name("cutover")
        .ssl_mode(match options.mode() {
            Mode::Off => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::Verify => SslMode::Require,
        });
    if let Some(password) = &options.password {
        config.password(password.expose());
    }
    let login = tokio::time::timeout_at(deadline, config.connect_raw(stream, tls));
    let (client, mut connection) = login
        .await
        .map_err(|_| progress.silence())?
        .map_err(|failed| words::of(&failed, words::LOGIN, options))?;
    progress.at("query");
    let asked = async {
        tokio::select! {
            biased;
            // The connection knows why it ended; the client only that it did.
            ended = &mut connection => Err(match ended {
                Err(failed) => words::of(&failed, "query", options),
                Ok(()) => Trouble::silent("query: the server closed the connection"),
            }),
            said = questions(probe, &client) => said,
        }
    };
    if let Ok(said) = tokio::time::timeout_at(deadline, asked).await {
        // Says goodbye, so that the server's log has no complaint.
        drop(client);
        let _ = tokio::time::timeout(PARTING, connection).await;
        return said;
    }
    let cancelled = tokio::time::timeout(CANCEL, cancel(probe, &client)).await;
    let how = match cancelled {
        Ok(Ok(())) => "it was cancelled",
        _ => "it could not be cancelled",
    };
    Err(
        Trouble::silent(format!("query: no answer, {how}")).wanted(format!(
            "`{}` within {}",
            options.query(),
            options.timeout
        )),
    )
}

async fn questions(probe: &Postgres, client: &Client) -> Result<String, Trouble> {
    let options = &probe.options;
    let failed = |failed: tokio_postgres::Error| words::of(&failed, "query", options);
    if options.writable {
        let answer = client.simple_query(WRITES).await.map_err(failed)?;
        let standby = value(&answer, 0).flatten();
        let read_only = value(&answer, 1).flatten();
        if standby.as_deref() == Some("t") {
            return Err(Trouble::wrong("it is a standby and takes no writes")
                .wanted("a server that takes writes"));
        }
        if read_only.as_deref() == Some("on") {
            return Err(Trouble::wrong("its transactions are read-only")
                .wanted("a server that takes writes"));
        }
    }
    let query = options.query();
    let answer = client.simple_query(query).await.map_err(failed)?;
    let found = value(&answer, 0);
    let shown = |found: &Option<Option<String>>| match found {
        Some(Some(text)) => format!("`{query}` gave {text}"),
        Some(None) => format!("`{query}` gave NULL"),
        None => format!("`{query}` gave no row"),
    };
    let Some(expected) = options.expected() else {
        return Ok(shown(&found));
    };
    let text = found
        .as_ref()
        .map(|value| value.as_deref().unwrap_or("NULL"));
    if text == Some(&expected) {
        return Ok(shown(&found));
    }
    Err(Trouble::wrong(shown(&found)).wanted(expected))
}

/// A column of the first row: nothing without a row, nothing in it for NULL.
fn value(answer: &[SimpleQueryMessage], column: usize) -> Option<Option<String>> {
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    match row.try_get(column) {
        Ok(value) => Some(value.map(ToOwned::to_owned)),
        Err(_) => None,
    }
}

async fn cancel(probe: &Postgres, client: &Client) -> Result<(), Trouble> {
    let address = &probe.options.address;
    let stream = reach::connect(address, &Progress::default()).await?;
    let tls = secure(probe).await?;
    let token = client.cancel_token();
    let cancelled = token.cancel_query_raw(stream, tls).await;
    cancelled.map_err(|failed| Trouble::silent(failed.to_string()))
}

/// How a connection to the server is secured.
async fn secure(probe: &Postgres) -> Result<Secure, Trouble> {
    let trust = match probe.options.mode() {
        Mode::Verify => trust::with(probe.ca.as_deref()).await?,
        Mode::Off | Mode::Prefer | Mode::Require => Trust::Anybody,
    };
    Ok(Secure {
        host: probe.options.address.host().to_owned(),
        config: tls::client(&trust).map_err(Trouble::here)?,
    })
}
