//! What HAProxy has counted for each slot, from `show stat`.
//!
//! It counts answers by their class, and apart from them what had no answer. Of times it has only
//! averages of the last 1,024 requests, by which no two releases can be compared; so latency is
//! not counted here. Its counters begin anew with every reload.

use async_trait::async_trait;

use super::cli::Cli;
use super::table::Table;
use crate::model::arms::{Counters, Stand};
use crate::model::slot::Side;
use crate::routers::{Counting, InFlight, RouterError, Tally};

/// The row of a table that is the whole backend.
const WHOLE: &str = "BACKEND";

/// The columns of answers that were an end: 1xx is the beginning of another.
const ANSWERS: [&str; 5] = ["hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];

/// What of HAProxy is a slot.
pub(super) enum Rows<'a> {
    /// The backend of each slot.
    Backends(&'a [String; 2]),
    /// Two servers of one backend.
    Servers(&'a str, &'a [String; 2]),
}

/// The counters of two backends, or of two servers.
struct Counted<'a> {
    cli: &'a Cli,
    rows: Rows<'a>,
}

/// Who counts by these rows.
pub(super) fn counted<'a>(cli: &'a Cli, rows: Rows<'a>) -> Counting<'a> {
    Counting::By(Box::new(Counted { cli, rows }))
}

/// The sessions that a slot has now, which with `mode http` are requests, and those that wait for it.
/// A backend's sessions have those in its queue among them.
pub(super) async fn in_flight(cli: &Cli, rows: &Rows<'_>, slot: Side) -> InFlight {
    let of_slot = |both: &[String; 2]| match slot {
        Side::First => both[0].clone(),
        Side::Second => both[1].clone(),
    };
    let (command, row, name, columns): (_, _, _, &[&str]) = match rows {
        Rows::Backends(backends) => {
            let name = of_slot(backends);
            let command = format!("show stat {name} 2 -1");
            (command, WHOLE.to_owned(), name, &["scur"])
        }
        Rows::Servers(backend, servers) => {
            let row = of_slot(servers);
            let name = format!("{backend}/{row}");
            let command = format!("show stat {backend} 4 -1");
            (command, row, name, &["scur", "qcur"])
        }
    };
    let asked = cli.ask([&command]).await;
    let sum = asked.and_then(|[table]| {
        let table = Table(table);
        let numbers = columns.iter().map(|it| column_of(&table, &row, it, &name));
        numbers.sum::<Result<f64, RouterError>>()
    });
    match sum {
        Ok(sum) => InFlight::of(sum),
        Err(failed) => InFlight::Unknown(failed.to_string()),
    }
}

#[async_trait]
impl Tally for Counted<'_> {
    fn told(&self) -> String {
        format!(
            "HAProxy at {}, which counts requests and errors and no latency",
            self.cli.address
        )
    }

    async fn stand(&self) -> Result<Stand, RouterError> {
        let [first, second] = match &self.rows {
            Rows::Backends(backends) => {
                let asked = backends.each_ref().map(|it| format!("show stat {it} 2 -1"));
                let tables = self.cli.ask([&asked[0], &asked[1]]).await?;
                let [first, second] = tables.map(Table);
                [
                    of_backend(&first, &backends[0])?,
                    of_backend(&second, &backends[1])?,
                ]
            }
            Rows::Servers(backend, servers) => {
                let [table] = self.cli.ask([&format!("show stat {backend} 4 -1")]).await?;
                let table = Table(table);
                let of = |server: &str| of_server(&table, server, backend);
                [of(&servers[0])?, of(&servers[1])?]
            }
        };
        Ok(Stand {
            at: jiff::Timestamp::now().as_millisecond(),
            first,
            second,
        })
    }
}

/// Of a backend, whose answers include those that HAProxy gives itself: 502, 503, 504. What was
/// cut off in the middle of a good answer has failed, too.
fn of_backend(table: &Table, backend: &str) -> Result<Counters, RouterError> {
    let number = |column: &str| column_of(table, WHOLE, column, backend);
    Ok(Counters {
        requests: sum(number)?,
        errors: number("hrsp_5xx")? + number("srv_abrt")?,
        ..Counters::default()
    })
}

/// Of a server, whose answers are its own: where it could not be reached or gave no whole answer
/// is counted apart.
fn of_server(table: &Table, server: &str, backend: &str) -> Result<Counters, RouterError> {
    let name = format!("{backend}/{server}");
    let number = |column: &str| column_of(table, server, column, &name);
    // Of those without a whole answer, the ones that were cut off are among the answers.
    let (unreached, ill, cut) = (number("econ")?, number("eresp")?, number("srv_abrt")?);
    Ok(Counters {
        requests: sum(number)? + unreached + (ill - cut).max(0.0),
        errors: number("hrsp_5xx")? + unreached + ill,
        ..Counters::default()
    })
}

fn sum(number: impl Fn(&str) -> Result<f64, RouterError>) -> Result<f64, RouterError> {
    ANSWERS.into_iter().map(number).sum()
}

fn column_of(table: &Table, row: &str, column: &str, name: &str) -> Result<f64, RouterError> {
    let refused = |said: String| Err(RouterError::Refused(said));
    if table.of(row, "svname").is_none() {
        return refused(format!(
            "HAProxy has no {name} to count for; with a map, `backends` names the backend of each slot"
        ));
    }
    match table.number(row, column) {
        Some(number) => Ok(number),
        None => refused(format!(
            "{name} has no {column} in `show stat`; answers are counted with `mode http`"
        )),
    }
}
