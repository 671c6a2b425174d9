//! Whether the API server knows all of its kinds.
//!
//! In: a client. Out: the moment when it is ready. The one decision: one that has just started may not
//! serve yet what CRDs define, and a cluster without routes is one in which everything may be
//! annotated; so nothing is read before.

use hyper::{Request, StatusCode};
use kube::Client;
use kube::client::Body;
use tokio::time::sleep;

use super::{ANSWER, HOLD_MAX, pauses};
use crate::cluster::trouble::within;
use crate::telemetry::Chain;

/// Waits until the API server says that it is ready.
pub(super) async fn until_ready(client: &Client) {
    let mut pauses = pauses();
    loop {
        let asking = async {
            let request = Request::get("/readyz").body(Body::empty());
            client.send(request.map_err(kube::Error::HttpError)?).await
        };
        match within(ANSWER, asking).await {
            Ok(answer) if answer.status() == StatusCode::OK => return,
            // Whoever may not ask has to do without.
            Ok(answer) if [401, 403, 404].contains(&answer.status().as_u16()) => {
                let status = answer.status().as_u16();
                tracing::warn!(status, "cannot ask whether the API server is ready, going on");
                return;
            }
            Ok(answer) => {
                tracing::info!(
                    status = answer.status().as_u16(),
                    "the API server is not ready yet"
                );
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "no API server yet"),
        }
        sleep(pauses.next().unwrap_or(HOLD_MAX)).await;
    }
}
