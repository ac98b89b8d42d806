//! What is asked of all nodes at once, where one that says nothing must not keep the others.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};

use super::kept::{Kept, of_node};
use crate::model::split::Split;
use crate::platform::text::duration;
use crate::routers::{Change, Reading, Router, RouterError};

/// How long a write may go on when the others have ended theirs: until then users meet two answers.
const AFTER_THE_OTHERS: Duration = Duration::from_secs(3);

/// How long a node may say nothing on the way back when the others have answered: a cancelled run
/// has seconds.
const ON_THE_WAY_BACK: Duration = Duration::from_millis(1500);

/// The same for one that was silent when it was last asked: it may have come to itself.
const ONCE_MORE: Duration = Duration::from_millis(300);

/// Whether a node went where it was to go.
type Gone = Result<(), RouterError>;

/// One router of several.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) router: Box<dyn Router>,
    /// Whether it said nothing when it was last asked.
    silent: AtomicBool,
    /// Whether nobody has waited for the end of a write: it may have its effect at any time, until
    /// another one is answered.
    in_doubt: AtomicBool,
}

impl Node {
    pub(super) const fn new(name: String, router: Box<dyn Router>) -> Self {
        Self {
            name,
            router,
            silent: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
        }
    }

    /// Whether a write may still have its effect.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// What it is taken to have said where it has said nothing for so long.
    fn is_silent(&self, limit: Duration) -> RouterError {
        self.silent.store(true, Ordering::Relaxed);
        let limit = duration(limit);
        RouterError::OutOfReach(format!("no answer within {limit} after the other nodes"))
    }

    /// The same of a write: nobody waits for it any more.
    fn is_given_up(&self, limit: Duration) -> RouterError {
        self.in_doubt.store(true, Ordering::Relaxed);
        RouterError::Lost(self.is_silent(limit).to_string())
    }

    fn answered<T>(&self, answer: &Result<T, RouterError>) {
        if answer.as_ref().err().is_none_or(|it| !is_silence(it)) {
            self.silent.store(false, Ordering::Relaxed);
        }
    }

    fn limit(&self) -> Duration {
        match self.silent.load(Ordering::Relaxed) {
            true => ONCE_MORE,
            false => ON_THE_WAY_BACK,
        }
    }

    /// Goes where a change leads. Whether it did is looked up where its answer was lost.
    async fn shift(&self, change: Change) -> Gone {
        match self.router.apply(&change).await {
            Err(RouterError::Lost(said)) => match self.router.read().await {
                Ok(now) if now.split == change.to => Ok(()),
                _ => Err(RouterError::Lost(said)),
            },
            other => other,
        }
    }

    /// Goes back to what it said, or to where the others were if it did not agree then.
    pub(super) async fn back(&self, saved: Option<&Reading>, to: Split) -> Gone {
        let Some(saved) = saved else { return Ok(()) };
        if saved.split == to {
            self.router.restore(saved).await?;
        } else {
            let change = Change {
                from: self.router.read().await?,
                to,
                reason: "way back".to_owned(),
            };
            self.router.apply(&change).await?;
        }
        self.in_doubt.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether a node said nothing.
pub(super) const fn is_silence(failed: &RouterError) -> bool {
    matches!(failed, RouterError::OutOfReach(_) | RouterError::Lost(_))
}

/// What each node answers on a way back, in their order. Once one has answered, those that say
/// nothing for a while are out of reach.
pub(super) async fn soon<'n, T, F>(
    nodes: &'n [Node],
    ask: impl Fn(&'n Node) -> F,
) -> Vec<(&'n Node, Result<T, RouterError>)>
where
    F: Future<Output = Result<T, RouterError>> + Send + 'n,
    T: Send + 'n,
{
    let mut answers: Vec<Option<Result<T, RouterError>>> = nodes.iter().map(|_| None).collect();
    let one = |(at, node)| {
        let asked = ask(node);
        async move { (at, asked.await) }
    };
    let mut asked: FuturesUnordered<_> = nodes.iter().enumerate().map(one).collect();
    let mut last = None;
    loop {
        // Those that were silent before have less time, where nobody else is waited for.
        let left = nodes.iter().zip(&answers).filter(|(_, it)| it.is_none());
        let limit = left.map(|(node, _)| node.limit()).max();
        let limit = limit.unwrap_or(ONCE_MORE);
        tokio::select! {
            biased;
            next = asked.next() => {
                let Some((at, answer)) = next else { break };
                if answer.as_ref().err().is_none_or(|it| !is_silence(it)) {
                    last = Some(Instant::now());
                }
                if let Some(place) = answers.get_mut(at) {
                    *place = Some(answer);
                }
            }
            () = reached(last.map(|last| last + limit)) => break,
        }
    }
    let told = nodes.iter().zip(answers).map(|(node, answer)| {
        let answer = answer.unwrap_or_else(|| Err(node.is_silent(node.limit())));
        node.answered(&answer);
        (node, answer)
    });
    told.collect()
}

/// How a change went at a node.
pub(super) struct Course<'n> {
    pub(super) node: &'n Node,
    pub(super) there: Option<Gone>,
    pub(super) back: Option<Gone>,
    goes_back: bool,
}

impl Course<'_> {
    fn has_failed(&self) -> bool {
        matches!(self.there, Some(Err(_)))
    }

    /// Whether the change may be in force there.
    const fn may_have_it(&self) -> bool {
        matches!(self.there, Some(Ok(()) | Err(RouterError::Lost(_))))
    }
}

/// Changes all nodes at once. As soon as one fails, or says nothing for a while after the others,
/// those that have taken the change go back, each when its own write has ended.
pub(super) async fn change<'n>(nodes: &'n [Node], kept: &Kept, to: &Change) -> Vec<Course<'n>> {
    let begun = |node| Course {
        node,
        there: None,
        back: None,
        goes_back: false,
    };
    let mut courses: Vec<Course<'n>> = nodes.iter().map(begun).collect();
    let write = |(at, node): (usize, &'n Node)| {
        let own = of_node(kept, &node.name, to);
        async move { (at, node.shift(own).await) }
    };
    let mut there: FuturesUnordered<_> = nodes.iter().enumerate().map(write).collect();
    let mut back: FuturesUnordered<BoxFuture<'_, (usize, Gone)>> = FuturesUnordered::new();
    let mut limit = None;
    loop {
        let under_way = !there.is_empty() || !back.is_empty();
        tokio::select! {
            biased;
            Some((at, answer)) = there.next() => {
                if let Some(course) = courses.get_mut(at) {
                    course.there = Some(answer);
                    // Nobody meets two answers before.
                    if course.may_have_it() {
                        limit = Some(Instant::now() + AFTER_THE_OTHERS);
                    }
                }
            }
            Some((at, answer)) = back.next() => {
                if let Some(course) = courses.get_mut(at) {
                    course.back = Some(answer);
                    limit = Some(Instant::now() + AFTER_THE_OTHERS);
                }
            }
            () = reached(limit), if under_way => {
                there.clear();
                back.clear();
                for course in &mut courses {
                    let node = course.node;
                    let given_up = || Err(node.is_given_up(AFTER_THE_OTHERS));
                    if course.goes_back {
                        course.back.get_or_insert_with(given_up);
                    } else {
                        course.there.get_or_insert_with(given_up);
                    }
                }
                limit = Some(Instant::now() + AFTER_THE_OTHERS);
            }
            else => return courses,
        }
        if !courses.iter().any(Course::has_failed) {
            continue;
        }
        for (at, course) in courses.iter_mut().enumerate() {
            if course.may_have_it() && !course.goes_back {
                course.goes_back = true;
                let (node, saved) = (course.node, kept.get(&course.node.name));
                let gone = once_more(node, node.back(saved, to.from.split));
                back.push(Box::pin(async move { (at, gone.await) }));
            }
        }
    }
}

/// A node whose write was given up may have come to itself; it is not waited for again.
async fn once_more(node: &Node, back: impl Future<Output = Gone>) -> Gone {
    if !node.is_in_doubt() {
        return back.await;
    }
    let answer = timeout(ONCE_MORE, back).await;
    let answer = answer.unwrap_or_else(|_| Err(node.is_given_up(ONCE_MORE)));
    node.answered(&answer);
    answer
}

/// When that time has come; never where there is none.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
