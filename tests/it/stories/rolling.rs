//! Rollouts over members: promoted, taken back, stopped, and gone on with, on a real HAProxy and a
//! real nginx, under load.

use insta::assert_snapshot;

use crate::world::crew::{Crew, Front, NAMES};
use crate::world::load::Manner;

use super::rolling_load::under_load;

#[test]
fn a_good_release_goes_over_all_members_of_haproxy() {
    let crew = Crew::open(Front::HaProxy);
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · rolling
      members    v1 on web1, web2 and web3   [time]
      way back   v1 on 3 members, ./deploy.sh can put it there again   [time]
      out        web1    2 of 3 stay in   [time]
      drained    web1: nothing in flight   [time]
    | web1: web1 has v2
      deploy     web1 <- v2      ./deploy.sh ended with 0   [time]
      serves     web1 says v2   [time]
      smoke      1 of 1 on web1   [time]
      in         web1    3 of 3 in rotation, shop/web1 up   [time]
      proved     v2 came through the public URL, by answer [n]   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      out        web2    2 of 3 stay in   [time]
      drained    web2: nothing in flight   [time]
    | web2: web2 has v2
      deploy     web2 <- v2      ./deploy.sh ended with 0   [time]
      serves     web2 says v2   [time]
      smoke      1 of 1 on web2   [time]
      in         web2    3 of 3 in rotation, shop/web2 up   [time]
      proved     v2 came through the public URL, by answer [n]   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      out        web3    2 of 3 stay in   [time]
      drained    web3: nothing in flight   [time]
    | web3: web3 has v2
      deploy     web3 <- v2      ./deploy.sh ended with 0   [time]
      serves     web3 says v2   [time]
      smoke      1 of 1 on web3   [time]
      in         web3    3 of 3 in rotation, shop/web3 up   [time]
      proved     5 of 5 answers say v2   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      promoted   v2 on 3 members; 0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
    for (name, value) in [
        ("decision", "promoted"),
        ("slot", "members"),
        ("weight", "100"),
        ("version", "v2"),
        ("served-version", "v2"),
        ("requests-failed", "0"),
    ] {
        assert_eq!(ran.output(name), value, "{name}");
    }
    let again = crew.cutover("rollout --version=v2");
    assert_eq!(again.output("decision"), "skipped", "{}", again.log);
}

#[test]
fn a_good_release_goes_over_all_members_of_nginx() {
    let crew = Crew::open(Front::Nginx);
    crew.configure("drain: 5s", "drain: 300ms");
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · rolling
      members    v1 on web1, web2 and web3   [time]
      way back   v1 on 3 members, ./deploy.sh can put it there again   [time]
      out        web1    2 of 3 stay in   [time]
      drained    web1 for 300 ms: nginx does not say what a server still has   [time]
    | web1: web1 has v2
      deploy     web1 <- v2      ./deploy.sh ended with 0   [time]
      serves     web1 says v2   [time]
      smoke      1 of 1 on web1   [time]
      in         web1    3 of 3 in rotation, 5 of 5 new connections answered generation [generation]   [time]
      proved     v2 came through the public URL, by answer [n]   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      out        web2    2 of 3 stay in   [time]
      drained    web2 for 300 ms: nginx does not say what a server still has   [time]
    | web2: web2 has v2
      deploy     web2 <- v2      ./deploy.sh ended with 0   [time]
      serves     web2 says v2   [time]
      smoke      1 of 1 on web2   [time]
      in         web2    3 of 3 in rotation, 5 of 5 new connections answered generation [generation]   [time]
      proved     v2 came through the public URL, by answer [n]   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      out        web3    2 of 3 stay in   [time]
      drained    web3 for 300 ms: nginx does not say what a server still has   [time]
    | web3: web3 has v2
      deploy     web3 <- v2      ./deploy.sh ended with 0   [time]
      serves     web3 says v2   [time]
      smoke      1 of 1 on web3   [time]
      in         web3    3 of 3 in rotation, 5 of 5 new connections answered generation [generation]   [time]
      proved     5 of 5 answers say v2   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      promoted   v2 on 3 members; 0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// What is seen under traffic only: the first batch is taken back, nobody else gets the release.
#[test]
fn a_release_that_is_bad_under_traffic_is_taken_back() {
    let crew = Crew::open(Front::HaProxy);
    let ran = crew.cutover("rollout --version=worse");
    assert_snapshot!(crew.told(&ran.log), @r"
    cutover · rollout · production · storefront worse · rolling
      members    v1 on web1, web2 and web3   [time]
      way back   v1 on 3 members, ./deploy.sh can put it there again   [time]
      out        web1    2 of 3 stay in   [time]
      drained    web1: nothing in flight   [time]
    | web1: web1 has worse
      deploy     web1 <- worse      ./deploy.sh ended with 0   [time]
      serves     web1 says worse   [time]
      smoke      1 of 1 on web1   [time]
      in         web1    3 of 3 in rotation, shop/web1 up   [time]
      proved     worse came through the public URL, by answer [n]   [time]
      watch      errors [many] % ([n] of [n] requests)   [time]
      notice     the way back goes over web1
      out        web1    2 of 3 stay in   [time]
      drained    web1: nothing in flight   [time]
    | web1: web1 has v1
      deploy     web1 <- v1      ./deploy.sh ended with 0   [time]
      serves     web1 says v1   [time]
      smoke      1 of 1 on web1   [time]
      in         web1    3 of 3 in rotation, shop/web1 up   [time]
      back       all members are as they were   [time]
    rolled back: the release passed its limits under traffic
      measured   errors [many] % ([n] of [n] requests)
      wanted     errors at most 5 %
      traffic    v1 on web1, web2 and web3, say the router and the members
      next       look at the log of the members that were changed
    ");
    assert_eq!(ran.code, 20);
    assert_eq!(ran.output("decision"), "rolled-back");
    assert_eq!(crew.releases(), ["v1"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// The second member gets something else than the first: both are taken back, unnoticed.
#[test]
fn a_bad_second_batch_takes_the_first_one_back_too() {
    let crew = Crew::open(Front::HaProxy);
    let script = crew.path("deploy.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    let odd = text.replace(
        "printf '%s\\n' \"$VERSION\"",
        "printf '%s\\n' \"$([ $MEMBER$VERSION = web2v2 ] && echo broken || echo $VERSION)\"",
    );
    assert_ne!(text, odd);
    std::fs::write(&script, odd).unwrap();
    let (ran, sent, failed, why) = under_load(&crew, Manner::KeepAlive, "rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · rolling
      members    v1 on web1, web2 and web3   [time]
      way back   v1 on 3 members, ./deploy.sh can put it there again   [time]
      out        web1    2 of 3 stay in   [time]
      drained    web1: nothing in flight   [time]
    | web1: web1 has v2
      deploy     web1 <- v2      ./deploy.sh ended with 0   [time]
      serves     web1 says v2   [time]
      smoke      1 of 1 on web1   [time]
      in         web1    3 of 3 in rotation, shop/web1 up   [time]
      proved     v2 came through the public URL, by answer [n]   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      out        web2    2 of 3 stay in   [time]
      drained    web2: nothing in flight   [time]
    | web2: web2 has v2
      deploy     web2 <- v2      ./deploy.sh ended with 0   [time]
      serves     web2: broken   [time]
      notice     the way back goes over web2 and web1
      out        web2 already   [time]
    | web2: web2 has v1
      deploy     web2 <- v1      ./deploy.sh ended with 0   [time]
      serves     web2 says v1   [time]
      smoke      1 of 1 on web2   [time]
      in         web2    3 of 3 in rotation, shop/web2 up   [time]
      out        web1    2 of 3 stay in   [time]
      drained    web1: nothing in flight   [time]
    | web1: web1 has v1
      deploy     web1 <- v1      ./deploy.sh ended with 0   [time]
      serves     web1 says v1   [time]
      smoke      1 of 1 on web1   [time]
      in         web1    3 of 3 in rotation, shop/web1 up   [time]
      back       all members are as they were   [time]
    rolled back: web2 serves another release than the one deployed
      measured   web2: broken
      wanted     v2 in the text of /release, within 3 s
      traffic    v1 on web1, web2 and web3, say the router and the members
      next       look at the log of web2; did the deployment put this version there and start it?
    ");
    assert_eq!(ran.code, 20);
    assert_eq!(crew.releases(), ["v1"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
    assert_eq!(failed, 0, "of {sent}: {why}");
}

/// Nothing is taken back, what is bad stays out, and the next run goes on.
#[test]
fn who_stops_goes_on_where_it_stopped() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("pause: 1s", "on-failure: stop, pause: 1s");
    let script = crew.path("deploy.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(
        &script,
        text.replace("set -e", "set -e\n[ $MEMBER = web2 ] && VERSION=broken"),
    )
    .unwrap();
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · rolling
      members    v1 on web1, web2 and web3   [time]
      way back   none: where a batch fails, the rollout stops there   [time]
      out        web1    2 of 3 stay in   [time]
      drained    web1: nothing in flight   [time]
    | web1: web1 has v2
      deploy     web1 <- v2      ./deploy.sh ended with 0   [time]
      serves     web1 says v2   [time]
      smoke      1 of 1 on web1   [time]
      in         web1    3 of 3 in rotation, shop/web1 up   [time]
      proved     v2 came through the public URL, by answer [n]   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      out        web2    2 of 3 stay in   [time]
      drained    web2: nothing in flight   [time]
    | web2: web2 has broken
      deploy     web2 <- v2      ./deploy.sh ended with 0   [time]
      serves     web2: broken   [time]
      warning    web2 stays out of rotation: it serves broken
      back       web1 and web2 not taken back; web2 stays out of rotation: it serves broken   [time]
    held: web2 serves another release than the one deployed
      measured   web2: broken
      wanted     v2 in the text of /release, within 3 s
      traffic    v2 on web1; broken on web2 (out); v1 on web3, say the router and the members
      next       go on by `cutover rollout --environment production --version v2`, which passes over members that have it; back by `cutover rollout --environment production --version v1`; look at the log of web2; did the deployment put this version there and start it?
    ");
    assert_eq!(ran.code, 30);
    assert_eq!(ran.output("decision"), "held");
    assert_eq!(crew.releases(), ["v2", "broken", "v1"]);
    assert_eq!(crew.in_rotation(), ["web1", "web3"]);

    std::fs::write(&script, text).unwrap();
    let ran = crew.cutover("rollout --version=v2");
    assert_snapshot!(crew.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · rolling
      members    v2 on web1; broken on web2 (out); v1 on web3   [time]
      warning    web2 gets no traffic (out): the rollout begins with it, and puts it in
      warning    the members serve different releases (broken, v1); each would get its own again
      way back   none: where a batch fails, the rollout stops there   [time]
      out        web2 already   [time]
    | web2: web2 has v2
      deploy     web2 <- v2      ./deploy.sh ended with 0   [time]
      serves     web2 says v2   [time]
      smoke      1 of 1 on web2   [time]
      in         web2    3 of 3 in rotation, shop/web2 up   [time]
      proved     v2 came through the public URL, by answer [n]   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      out        web3    2 of 3 stay in   [time]
      drained    web3: nothing in flight   [time]
    | web3: web3 has v2
      deploy     web3 <- v2      ./deploy.sh ended with 0   [time]
      serves     web3 says v2   [time]
      smoke      1 of 1 on web3   [time]
      in         web3    3 of 3 in rotation, shop/web3 up   [time]
      proved     5 of 5 answers say v2   [time]
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      promoted   v2 on 3 members; 0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// A deployment that leaves a member dead: it gets what it had, and comes back.
#[test]
fn a_member_that_does_not_come_up_is_taken_back() {
    let crew = Crew::open(Front::HaProxy);
    for (release, reason) in [
        ("lost", "deploy-failed"),
        ("mute", "deploy-failed"),
        ("refused", "deploy-failed"),
    ] {
        let (ran, sent, failed, why) = under_load(
            &crew,
            Manner::KeepAlive,
            &format!("rollout --version={release}"),
        );
        assert_eq!(ran.code, 20, "{release}: {}", ran.log);
        assert_eq!(ran.output("reason-code"), reason, "{}", ran.log);
        assert_eq!(crew.releases(), ["v1"; 3], "{}", ran.log);
        assert_eq!(crew.in_rotation(), NAMES, "{}", ran.log);
        assert_eq!(failed, 0, "{release}: of {sent}: {why}");
    }
}

/// With `stop`, a deployment that changed nothing leaves a member that is as good as before.
#[test]
fn a_member_that_still_serves_the_old_release_is_put_in_again() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("pause: 1s", "on-failure: stop, pause: 1s");
    let ran = crew.cutover("rollout --version=refused");
    assert_eq!(
        (ran.code, ran.output("decision")),
        (20, "rolled-back"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), NAMES);
    let ran = crew.cutover("rollout --version=lost");
    assert_eq!(
        (ran.code, ran.output("decision")),
        (30, "held"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("web1 stays out of rotation"),
        "{}",
        ran.log
    );
    assert_eq!(crew.in_rotation(), ["web2", "web3"]);
    assert!(crew.is_down("web1"));
}

/// Nothing is live yet: nobody has to stay in, and nobody is watched who has nothing yet.
#[test]
fn a_first_deployment_brings_all_members_up() {
    let crew = Crew::open(Front::HaProxy);
    for name in NAMES {
        std::fs::write(crew.path(name).join("down"), "").unwrap();
    }
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(ran.log.contains("none: nothing is live yet"), "{}", ran.log);
    assert_eq!(crew.releases(), ["v2"; 3]);
}

/// Two of four at a time, both ways.
#[test]
fn a_batch_of_several_goes_and_comes_together() {
    let crew = Crew::of(Front::HaProxy, 4);
    crew.configure("kind: rolling,", "kind: rolling, batch: 50%,");
    let (ran, sent, failed, why) = under_load(&crew, Manner::KeepAlive, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    for wanted in [
        "  out        web1 and web2    2 of 4 stay in",
        "  deploy     web1 and web2 <- v2      ./deploy.sh ended with 0",
        "  serves     web3 says v2, web4 says v2",
        "  in         web3 and web4    4 of 4 in rotation, shop/web3, shop/web4 up",
        "| web4: web4 has v2",
    ] {
        assert!(ran.log.contains(wanted), "{wanted} is not in\n{}", ran.log);
    }
    assert_eq!(failed, 0, "of {sent}: {why}");
    assert_eq!(crew.releases(), ["v2"; 4]);

    let script = crew.path("deploy.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    let odd = text.replace("set -e", "set -e\n[ $MEMBER$VERSION = web4v3 ] && exit 6");
    std::fs::write(&script, odd).unwrap();
    let (ran, sent, failed, why) = under_load(&crew, Manner::KeepAlive, "rollout --version=v3");
    assert_eq!(ran.code, 20, "{}", ran.log);
    let way = "the way back goes over web4, web3, web2 and web1";
    assert!(ran.log.contains(way), "{}", ran.log);
    assert_eq!(failed, 0, "of {sent}: {why}");
    assert_eq!(crew.releases(), ["v2"; 4]);
    assert_eq!(crew.in_rotation(), ["web1", "web2", "web3", "web4"]);
}
