//! HAProxy's tables as text, read by the names of their columns. Pure.

/// An answer to `show stat BACKEND 4 -1`: a line of names, then a line a server (4) or one for
/// the whole backend (2).
pub(super) struct Table(pub(super) String);

impl Table {
    fn column(&self, name: &str) -> Option<usize> {
        let head = self.0.lines().next()?.trim_start_matches("# ");
        head.split(',').position(|one| one == name)
    }

    fn rows(&self) -> impl Iterator<Item = (&str, &str)> {
        let rows = self.0.lines().skip(1);
        rows.filter_map(|row| Some((row.split(',').nth(1)?, row)))
    }

    /// What a column says of a server.
    pub(super) fn of(&self, server: &str, column: &str) -> Option<&str> {
        let (_, row) = self.rows().find(|(name, _)| *name == server)?;
        row.split(',').nth(self.column(column)?)
    }

    /// A number that a column has for a server, or for `BACKEND`; `None` where it is left empty.
    pub(super) fn number(&self, server: &str, column: &str) -> Option<f64> {
        self.of(server, column)?.parse().ok()
    }

    /// A server that gets traffic and is neither of the two.
    pub(super) fn third(&self, two: &[String; 2]) -> Option<(&str, &str)> {
        self.rows()
            .filter(|(name, _)| !two.iter().any(|one| one == name))
            .map(|(name, _)| (name, self.of(name, "weight").unwrap_or_default()))
            .find(|(name, weight)| *weight != "0" && self.of(name, "bck") == Some("0"))
    }
}

/// The weight of a server in the text of a server-state file.
pub(super) fn saved_weight(text: &str, backend: &str, server: &str) -> Option<u16> {
    saved(text, backend, server, "srv_uweight")?.parse().ok()
}

/// What a column says of a server in the text of a server-state file, whose second line names the
/// columns.
pub(super) fn saved<'a>(
    text: &'a str,
    backend: &str,
    server: &str,
    column: &str,
) -> Option<&'a str> {
    let head = text.lines().find_map(|line| line.strip_prefix("# "))?;
    let at = |name: &str| head.split(' ').position(|one| one == name);
    let (be, srv, wanted) = (at("be_name")?, at("srv_name")?, at(column)?);
    let rows = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut ours =
        rows.filter(|row| row.get(be) == Some(&backend) && row.get(srv) == Some(&server));
    ours.next()?.get(wanted).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_state_file_is_read_by_its_column_names() {
        let text = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n\
            5 be 1 blue 127.0.0.1 2 0 75 100\n6 other 2 green 127.0.0.1 2 0 7 0\n5 be 2 green 127.0.0.1 2 0 25 0\n";
        assert_eq!(saved_weight(text, "be", "blue"), Some(75));
        assert_eq!(saved_weight(text, "be", "green"), Some(25));
        assert_eq!(saved_weight(text, "be", "red"), None);
        assert_eq!(saved_weight("", "be", "blue"), None);
    }

    #[test]
    fn a_third_server_is_seen_unless_it_is_a_backup_or_has_no_weight() {
        let table = |rows: &str| Table(format!("# pxname,svname,status,weight,bck,\n{rows}"));
        let two = ["blue".to_owned(), "green".to_owned()];
        let ours = "be,blue,UP,100,0,\nbe,green,DRAIN,0,0,\n";
        let quiet = table(&format!("{ours}be,sorry,UP,1,1,\nbe,old,UP,0,0,\n"));
        assert_eq!(quiet.third(&two), None);
        assert_eq!(quiet.of("green", "status"), Some("DRAIN"));
        let loud = table(&format!("{ours}be,red,UP,7,0,\n"));
        assert_eq!(loud.third(&two), Some(("red", "7")));
    }
}
