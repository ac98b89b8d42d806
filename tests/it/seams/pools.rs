//! What every pool promises, asked of every kind in its table, on real proxies.

use cutover::config::kinds::Block;
use cutover::model::pool::Place;
use cutover::model::slot::Slot;
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::routers::RouterError;
use cutover::routers::pool::{InFlight, KINDS, Pool, Tools, Turn, build};
use serde_json::Value;

use crate::world::crew::{Crew, Front, NAMES};
use crate::world::patience::{at_once, connect};

/// The pool of a crew, built from its config; another one each time, as two runs would have.
fn pool(crew: &Crew) -> Box<dyn Pool> {
    let config = std::fs::read_to_string(crew.path("cutover.yml")).unwrap();
    let of = |key: &str| -> Value {
        let line = config
            .lines()
            .find_map(|line| line.trim().strip_prefix(key));
        serde_json::from_str(line.unwrap()).unwrap()
    };
    let block: Block = serde_json::from_value(of("router: ")).unwrap();
    let members = of("members: ");
    let member = |name: &str| Slot {
        name: name.to_owned(),
        url: members[name]["url"].as_str().unwrap().parse().unwrap(),
    };
    let tools = Tools {
        hosts: cutover::platform::host::Hosts::default(),
        http: Http::default(),
        members: NAMES.map(member).into(),
        directory: crew.path(""),
        vault: Vault::default(),
    };
    build(&block, &tools).unwrap()
}

fn turn(members: &[usize], come_in: bool) -> Turn {
    Turn {
        members: members.to_vec(),
        come_in,
    }
}

/// Every kind, set up with all members in.
fn crews() -> Vec<(&'static str, Crew)> {
    vec![
        ("haproxy", Crew::open(Front::HaProxy)),
        ("nginx", Crew::open(Front::Nginx)),
    ]
}

#[test]
fn every_kind_has_a_crew() {
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(kinds, ["haproxy", "nginx"], "give the new kind a crew");
}

#[tokio::test]
async fn members_go_out_and_come_in() {
    for (kind, crew) in crews() {
        let pool = pool(&crew);
        let first = pool.read().await.unwrap();
        assert_eq!(first.places, [Place::In, Place::In, Place::In], "{kind}");
        pool.prepare().await.unwrap();
        assert_eq!(
            pool.read().await.unwrap(),
            first,
            "{kind}: nothing was prepared away"
        );

        let out = turn(&[0, 2], false);
        assert!(
            matches!(pool.confirm(&out).await, Err(RouterError::NotTaken(_))),
            "{kind}"
        );
        pool.apply(&first, &out).await.unwrap();
        pool.confirm(&out).await.unwrap();
        let second = pool.read().await.unwrap();
        assert_eq!(second.places, [Place::Out, Place::In, Place::Out], "{kind}");
        assert_ne!(second.revision, first.revision, "{kind}");
        assert_eq!(crew.in_rotation(), ["web2"], "{kind}");
        // Nothing new comes there.
        let had = crew.had();
        let load = crate::world::load::Load::on(crew.front(), 2);
        at_once("users ask", || load.sent() >= 500).await;
        let (_, failed) = load.stop();
        assert_eq!(failed, 0, "{kind}");
        let now = crew.had();
        assert_eq!(
            (now[0], now[2]),
            (had[0], had[2]),
            "{kind}: {had:?} {now:?}"
        );
        assert!(now[1] > had[1], "{kind}");

        // Again is no change.
        pool.apply(&second, &out).await.unwrap();
        assert_eq!(pool.read().await.unwrap(), second, "{kind}");

        let back = turn(&[0, 2], true);
        pool.apply(&second, &back).await.unwrap();
        pool.confirm(&back).await.unwrap();
        assert_eq!(crew.in_rotation(), NAMES, "{kind}");
    }
}

#[tokio::test]
async fn who_was_overtaken_is_told_and_changes_nothing() {
    for (kind, crew) in crews() {
        let (one, other) = (pool(&crew), pool(&crew));
        let seen = one.read().await.unwrap();
        other.apply(&seen, &turn(&[1], false)).await.unwrap();
        let late = one.apply(&seen, &turn(&[2], false)).await;
        assert!(
            matches!(late, Err(RouterError::Conflict { .. })),
            "{kind}: {late:?}"
        );
        assert_eq!(crew.in_rotation(), ["web1", "web3"], "{kind}");
    }
}

#[tokio::test]
async fn what_is_in_flight_is_counted_or_said_to_be_unknown() {
    for (kind, crew) in crews() {
        let pool = pool(&crew);
        match pool.in_flight(&[0, 1, 2]).await.unwrap() {
            InFlight::Untold(why) => assert!(kind == "nginx" && why.contains("nginx"), "{why}"),
            InFlight::Known(none) => {
                assert_eq!(none, 0, "{kind}");
                let front = crew.front();
                let before: u64 = crew.had().iter().sum();
                let asked = std::thread::spawn(move || {
                    use std::io::{Read as _, Write as _};
                    let mut stream = connect(("127.0.0.1", front)).unwrap();
                    stream
                        .write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        .unwrap();
                    let _ = stream.read_to_string(&mut String::new());
                });
                let asks = || crew.had().iter().sum::<u64>() > before;
                at_once("somebody asks", asks).await;
                assert_eq!(
                    pool.in_flight(&[0, 1, 2]).await.unwrap(),
                    InFlight::Known(1),
                    "{kind}"
                );
                asked.join().unwrap();
            }
        }
    }
}

/// Either order to HAProxy would end a maintenance that somebody has begun.
#[tokio::test]
async fn a_maintenance_is_ended_by_nobody_else() {
    let crew = Crew::open(Front::HaProxy);
    let pool = pool(&crew);
    crew.haproxy().cli("set server shop/web2 state maint");
    let seen = pool.read().await.unwrap();
    for come_in in [true, false] {
        let refused = pool.apply(&seen, &turn(&[0, 1], come_in)).await;
        assert!(
            matches!(refused, Err(RouterError::Refused(_))),
            "{refused:?}"
        );
        assert_eq!(pool.read().await.unwrap(), seen, "nothing was changed");
    }
}

/// A run that is killed in the middle of a write leaves parts of its router that do not agree.
#[tokio::test]
async fn what_a_killed_run_has_written_half_is_made_whole() {
    let crew = Crew::open(Front::Nginx);
    let nginx = pool(&crew);
    crew.test_by("grep -q ' down;' $LIVE && touch hangs && exec sleep 60");
    let other = pool(&crew);
    let seen = nginx.read().await.unwrap();
    let out = turn(&[1], false);
    tokio::select! {
        _ = other.apply(&seen, &out) => panic!("it hangs"),
        () = at_once("it hangs", || crew.path("hangs").exists()) => {}
    }
    let half = nginx.read().await;
    assert!(matches!(half, Err(RouterError::Drifted { .. })), "{half:?}");
    nginx.reconcile().await.unwrap();
    let now = nginx.read().await.unwrap();
    assert_eq!(now.places, [Place::In, Place::Out, Place::In]);
    // Again is no change.
    nginx.reconcile().await.unwrap();
    assert_eq!(nginx.read().await.unwrap(), now);

    let crew = Crew::open(Front::HaProxy);
    let haproxy = pool(&crew);
    crew.haproxy().cli("set server shop/web2 state drain");
    haproxy.reconcile().await.unwrap();
    crew.haproxy().reload();
    assert_eq!(crew.in_rotation(), ["web1", "web3"]);
}

#[tokio::test]
async fn a_reload_of_haproxy_leaves_out_who_is_out() {
    let crew = Crew::open(Front::HaProxy);
    let pool = pool(&crew);
    let seen = pool.read().await.unwrap();
    pool.apply(&seen, &turn(&[1], false)).await.unwrap();
    crew.haproxy().reload();
    let now = pool.read().await.unwrap();
    assert_eq!(now.places[1], Place::Out);
    assert_eq!(crew.in_rotation(), ["web1", "web3"]);
}
