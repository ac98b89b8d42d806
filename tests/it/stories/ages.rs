//! How old a secret may be, as far as GitHub says when it was set.

use insta::assert_snapshot;

use super::gates::{ago, asks, guarded};
use super::preflight::told;
use crate::world::github::Github;
use crate::world::shop::{Ran, Shop};

/// Days ago, as GitHub writes it.
fn days(number: i64) -> String {
    ago(number * 24 * 60)
}

/// Dates differ from day to day.
fn undated(shop: &Shop, ran: &Ran) -> String {
    let date = regex_lite::Regex::new(r"\d{4}-\d\d-\d\d").unwrap();
    date.replace_all(&told(shop, ran), "[date]").into_owned()
}

const PRESENT: [(&str, &str); 2] = [("DB_PASSWORD", "tell-nobody"), ("API_KEY", "tell-nobody")];

#[tokio::test]
async fn a_secret_that_is_too_old_is_4() {
    let shop = guarded(
        "secrets: [{ name: DB_PASSWORD, max-age: 90d }, { name: API_KEY, stored-as: SHOP_API_KEY, max-age: 90d }]",
    );
    let github = Github::start().await;
    github.lists_secrets();
    github.secret("environment", "DB_PASSWORD", &days(120));
    github.secret("repository", "DB_PASSWORD", &days(1));
    for nth in 0..130 {
        github.secret("organization", &format!("OTHER_{nth}"), &days(1));
    }
    github.secret("organization", "SHOP_API_KEY", &days(91));
    let ran = asks(&shop, &github, "preflight", &PRESENT).await;
    assert_snapshot!(undated(&shop, &ran), @r"
      secrets    age of DB_PASSWORD: 120 days, set on [date] as DB_PASSWORD of the environment; wanted at most 90 days; next: make a new one where it is used, then `gh secret set DB_PASSWORD --env production`, then take the old one away
      secrets    age of API_KEY: 91 days, set on [date] as SHOP_API_KEY of the organization; wanted at most 90 days; next: make a new one where it is used, then `gh secret set SHOP_API_KEY --org ORGANIZATION`, then take the old one away
      preflight  12 of 14 checks passed   [time]
    failed: 2 checks say no: age of DB_PASSWORD, age of API_KEY
      measured   age of DB_PASSWORD: 120 days, set on [date] as DB_PASSWORD of the environment
      wanted     at most 90 days
      traffic    100 % on blue, says the router
      next       make a new one where it is used, then `gh secret set DB_PASSWORD --env production`, then take the old one away
    ");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (4, "preflight-secrets")
    );
    assert!(!ran.log.contains("tell-nobody"));

    let github = Github::start().await;
    github.lists_secrets();
    github.secret("repository", "DB_PASSWORD", &days(89));
    github.secret("repository", "SHOP_API_KEY", &days(0));
    let ran = asks(&shop, &github, "preflight", &PRESENT).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
}

/// The workflow's own token may never list secrets: that is said, and is a no where the config
/// says so.
#[tokio::test]
async fn an_age_that_cannot_be_told_is_said() {
    let shop = guarded("secrets: [{ name: DB_PASSWORD, max-age: 90d }]");
    let github = Github::start().await;
    let ran = asks(&shop, &github, "preflight", &PRESENT).await;
    assert_snapshot!(told(&shop, &ran), @r"
    skipped    age of DB_PASSWORD: nobody can tell: the secrets of the environment cannot be listed: could not list the secrets of the environment: GitHub answered 403 Resource not accessible by integration; a workflow's own token never can; `token` takes one of a GitHub App or of a person, with `secrets: read` and `environments: read`
    preflight  11 checks passed, 1 skipped   [time]
    passed     v2 may go out: 11 checks passed, 1 skipped
    ");
    assert_eq!(ran.code, 0);
    // What the environment has hides what the repository has, and it cannot be seen.
    github.secret("repository", "DB_PASSWORD", &days(1));
    let ran = asks(&shop, &github, "preflight", &PRESENT).await;
    assert!(
        ran.log
            .contains("the secrets of the environment cannot be listed"),
        "{}",
        ran.log
    );
    shop.configure("max-age: 90d", "max-age: 90d, if-unknown: fail");
    let ran = asks(&shop, &github, "preflight", &PRESENT).await;
    assert_eq!(ran.code, 4, "{}", ran.log);
    let github = Github::start().await;
    github.lists_secrets();
    let ran = asks(&shop, &github, "preflight", &PRESENT).await;
    assert_snapshot!(told(&shop, &ran).lines().next().unwrap(), @r"  secrets    age of DB_PASSWORD: nobody can tell: GitHub has no secret DB_PASSWORD for this environment, its repository or its organization; wanted at most 90 days; next: let it be seen, or say `if-unknown: skip`");
    assert_eq!(ran.code, 4);
}
