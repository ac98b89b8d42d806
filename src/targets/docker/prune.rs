//! What is not needed any longer: containers that stand aside, and the images that were pulled for
//! them. What a slot uses stays, and so does what is not ours. It never fails a deployment.

use std::time::Duration;

use super::pull::{Brought, told};
use super::seen::Row;
use super::stock::Stock;
use super::wanted::PULLED;

/// How long the end of a deployment is kept waiting for an image that is not needed.
const A_MOMENT: Duration = Duration::from_secs(5);

/// Removes all but the newest containers of the slot that stand aside.
pub(super) async fn prune(stock: &Stock<'_>, keep: usize, say: &(dyn Fn(String) + Send + Sync)) {
    let failed = stock.ours(&stock.beside("failed"));
    // The slot's own container is one of those that are kept.
    let old = stock.aside().skip(keep.saturating_sub(1));
    let old: Vec<&Row> = failed.into_iter().chain(old).collect();
    for (nth, row) in old.iter().enumerate() {
        if let Err(failed) = stock.remove(&row.id).await {
            say(failed.to_string());
            continue;
        }
        say(format!("removed the container {}", row.name()));
        forget(stock, row, &old[..nth], say).await;
    }
}

/// Removes the images of what had to go at once, for its name was needed.
pub(super) async fn tidy(stock: &Stock<'_>, say: &(dyn Fn(String) + Send + Sync)) {
    let names = [
        stock.beside("failed"),
        stock.beside("next"),
        stock.name.to_owned(),
    ];
    let removing = async {
        let mut gone = Vec::new();
        for row in names.iter().filter_map(|name| stock.ours(name)) {
            if let Ok(None) = stock.inspect(&row.id).await {
                forget(stock, row, &gone, say).await;
                gone.push(row);
            }
        }
    };
    if tokio::time::timeout(A_MOMENT, removing).await.is_err() {
        say(
            "an image of an earlier container is perhaps kept: the engine takes its time"
                .to_owned(),
        );
    }
}

/// Removes an image that was just pulled, where no container could be made of it: nothing would
/// ever tell that it is ours.
pub(super) async fn unneeded(
    stock: &Stock<'_>,
    image: &Brought,
    say: &(dyn Fn(String) + Send + Sync),
) {
    let name = told(&image.named);
    let removing = remove_image(stock, &image.id, &name, say);
    if tokio::time::timeout(A_MOMENT, removing).await.is_err() {
        say(format!(
            "the image {name} is perhaps kept: the engine takes its time"
        ));
    }
}

/// Removes the image of a container that is gone, if that was pulled for us and nobody uses it.
async fn forget(stock: &Stock<'_>, row: &Row, gone: &[&Row], say: &(dyn Fn(String) + Send + Sync)) {
    let Some(image) = row.label(PULLED) else {
        return;
    };
    let used = stock.all.iter().any(|other| {
        let is_gone = other.id == row.id || gone.iter().any(|one| one.id == other.id);
        other.image_id == row.image_id && !is_gone
    });
    if !used {
        remove_image(stock, &row.image_id, image, say).await;
    }
}

async fn remove_image(
    stock: &Stock<'_>,
    id: &str,
    name: &str,
    say: &(dyn Fn(String) + Send + Sync),
) {
    // Without force: the engine keeps what any container uses, or what has another name, too.
    match stock.engine.delete(&format!("/images/{id}")).await {
        Ok(true) => say(format!("removed the image {name}")),
        Ok(false) => {}
        Err(no) => say(format!("the image {name} is kept: {no}")),
    }
}
