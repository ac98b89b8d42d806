//! Which permission of a token a path of the API needs.

/// The permission that a path needs, where GitHub does not name it.
pub(super) fn permission_for(path: &str, writes: bool) -> String {
    let rooms: Vec<&str> = path.split(['/', '?']).skip(4).collect();
    let name = match rooms.as_slice() {
        ["deployments", ..] => "deployments",
        ["actions", ..] => "actions",
        ["check-runs", ..] | ["commits", _, "check-runs", ..] => "checks",
        ["commits", _, "status", ..] => "statuses",
        ["environments", _, "secrets", ..] => "environments",
        ["environments", ..] if writes => "administration",
        ["environments", ..] => "actions",
        ["issues", ..] => "issues",
        _ => "contents",
    };
    format!("{name}: {}", if writes { "write" } else { "read" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_permission() {
        for (below, writes, wanted) in [
            ("deployments?per_page=30", false, "deployments: read"),
            ("deployments/7/statuses", true, "deployments: write"),
            ("actions/runs/7/approvals", false, "actions: read"),
            ("check-runs/7", false, "checks: read"),
            ("commits/c0ffee/check-runs?page=2", false, "checks: read"),
            ("commits/c0ffee/status?page=2", false, "statuses: read"),
            ("environments/production", false, "actions: read"),
            ("environments/production", true, "administration: write"),
            (
                "environments/production/secrets",
                false,
                "environments: read",
            ),
            ("issues?state=open", false, "issues: read"),
            ("branches/main", false, "contents: read"),
            ("git/refs", true, "contents: write"),
        ] {
            let path = format!("/repos/shop/storefront/{below}");
            assert_eq!(permission_for(&path, writes), wanted);
        }
    }
}
