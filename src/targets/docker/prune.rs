//! What is not needed any longer: containers that stand aside, and the images that were pulled for
//! them. What a slot uses stays, and so does what is not ours. It never fails a deployment.

use super::seen::Row;
use super::stock::Stock;
use super::wanted::PULLED;

/// Removes all but the newest containers of the slot that stand aside.
pub(super) async fn prune(stock: &Stock<'_>, keep: usize, say: &(dyn Fn(String) + Send + Sync)) {
    let failed = stock.ours(&stock.beside("failed"));
    // The slot's own container is one of those that are kept.
    let old = stock.aside().skip(keep.saturating_sub(1));
    let old: Vec<&Row> = failed.into_iter().chain(old).collect();
    for (nth, row) in old.iter().enumerate() {
        let gone = &old[..nth];
        discard_beside(stock, row, gone, say).await;
    }
}

/// Removes one container, and its image if that was pulled for us and nobody uses it.
pub(super) async fn discard(stock: &Stock<'_>, row: &Row, say: &(dyn Fn(String) + Send + Sync)) {
    discard_beside(stock, row, &[], say).await;
}

async fn discard_beside(
    stock: &Stock<'_>,
    row: &Row,
    gone: &[&Row],
    say: &(dyn Fn(String) + Send + Sync),
) {
    if let Err(failed) = stock.remove(&row.id).await {
        say(failed.to_string());
        return;
    }
    say(format!("removed the container {}", row.name()));
    let Some(image) = row.label(PULLED) else {
        return;
    };
    let used = stock.all.iter().any(|other| {
        let is_gone = other.id == row.id || gone.iter().any(|one| one.id == other.id);
        other.image_id == row.image_id && !is_gone
    });
    if used {
        return;
    }
    // Without force: the engine keeps what any container uses, or what has another name, too.
    match stock
        .engine
        .delete(&format!("/images/{}", row.image_id))
        .await
    {
        Ok(true) => say(format!("removed the image {image}")),
        Ok(false) => {}
        Err(no) => say(format!("the image {image} is kept: {no}")),
    }
}
