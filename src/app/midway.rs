//! News while a run is at work: what people have to hear before it ends.
//!
//! They are told beside what goes on. It is never held up for them, and does not wait for them
//! when it is done first.

use std::future::Future;
use std::pin::pin;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::cast::Audience;
use crate::model::news::News;

use super::session::Session;

impl Session {
    /// Does `work`, and tells people meanwhile whatever comes in.
    pub(super) async fn telling_midway<T>(
        &self,
        mut inbox: UnboundedReceiver<News>,
        audience: &Audience,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let mut telling = pin!(async {
            let teller = self.teller(audience);
            while let Some(news) = inbox.recv().await {
                teller.tell(&news).await;
            }
        });
        let mut all_told = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = &mut telling, if !all_told => all_told = true,
            }
        }
    }
}
