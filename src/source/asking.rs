//! Questions of those who serve to the one who has the index.
//!
//! In: names. Out: why each stands for no Service. The one decision: the index is not shared. Who
//! keeps it answers between two changes, beside the thread that answers scrapes.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Asks. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Asking(mpsc::Sender<Question>);

/// What is asked, for the one who answers.
#[derive(Debug)]
pub struct Questions(mpsc::Receiver<Question>);

/// One question.
#[derive(Debug)]
pub(super) struct Question {
    /// The names of Kong services.
    pub(super) names: Vec<String>,
    /// Dropped where there is no answer.
    pub(super) answer: oneshot::Sender<Vec<Vec<String>>>,
}

/// Who asks, and who answers.
pub fn asking() -> (Asking, Questions) {
    let (sender, receiver) = mpsc::channel(1);
    (Asking(sender), Questions(receiver))
}

impl Asking {
    /// For each of these names of Kong services, why it stands for no Service, in sentences; none
    /// where it does. `None` where that is not known yet, or not in time.
    pub async fn reasons(&self, names: Vec<String>) -> Option<Vec<Vec<String>>> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.0.send(Question { names, answer }).await.ok()?;
            answered.await.ok()
        };
        timeout(PATIENCE, asking).await.ok()?
    }
}

impl Questions {
    /// The next one; never where nobody can ask any more.
    pub(super) async fn next(&mut self) -> Question {
        match self.0.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

/// Whoever asks is a person who waits.
const PATIENCE: Duration = Duration::from_secs(5);
