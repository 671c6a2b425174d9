//! From those who serve to the one who has the index: what they have seen, and questions.
//!
//! In: names. Out: why each stands for no Service, and kinds to watch. The one decision: the index is
//! not shared. Who keeps it answers between two changes, beside the thread that answers scrapes.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::kubernetes::ObjectKind;
use crate::mapping::Label;
use crate::resolve::{Settings, Switch};
use crate::source::needs;

/// Tells and asks. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Asking {
    questions: mpsc::Sender<Question>,
    /// What all names so far have needed; `None` where all is watched anyway.
    needs: Option<watch::Sender<BTreeSet<ObjectKind>>>,
    is_combined: bool,
}

/// What is told and asked, for the one who answers.
#[derive(Debug)]
pub struct Questions {
    questions: mpsc::Receiver<Question>,
    needs: Option<watch::Receiver<BTreeSet<ObjectKind>>>,
}

/// One question.
#[derive(Debug)]
pub(super) struct Question {
    /// The names of Kong services.
    pub(super) names: Vec<String>,
    /// Dropped where there is no answer.
    pub(super) answer: oneshot::Sender<Vec<Vec<String>>>,
}

/// Something told or asked.
#[derive(Debug)]
pub(super) enum Word {
    Question(Question),
    /// These kinds are needed.
    Needs(BTreeSet<ObjectKind>),
}

/// Who asks, and who answers.
pub fn asking(kinds: needs::Kinds, settings: &Settings) -> (Asking, Questions) {
    let (sender, receiver) = mpsc::channel(1);
    let needs = (kinds == needs::Kinds::Needed).then(|| watch::channel(BTreeSet::new()));
    let (told, heard) = needs.unzip();
    let is_combined = settings.combined == Switch::On;
    let asking = Asking { questions: sender, needs: told, is_combined };
    (asking, Questions { questions: receiver, needs: heard })
}

impl Asking {
    /// Kong has printed these names.
    pub fn saw<'a>(&self, names: impl Iterator<Item = (Label, &'a str)>) {
        let Some(needs) = &self.needs else { return };
        let mut kinds = BTreeSet::new();
        // Requests that no route wanted have an empty name.
        for (label, name) in names.filter(|(_, name)| !name.is_empty()) {
            kinds.append(&mut needs::of(label, name, self.is_combined));
        }
        needs.send_if_modified(|known| {
            let before = known.len();
            known.append(&mut kinds);
            known.len() > before
        });
    }

    /// For each of these names of Kong services, why it stands for no Service, in sentences; none
    /// where it does. `None` where that is not known yet, or not in time.
    pub async fn reasons(&self, names: Vec<String>) -> Option<Vec<Vec<String>>> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.questions.send(Question { names, answer }).await.ok()?;
            answered.await.ok()
        };
        timeout(PATIENCE, asking).await.ok()?
    }
}

impl Questions {
    /// The next thing told or asked; never where nobody can any more. Nothing is lost where the
    /// future is dropped.
    pub(super) async fn next(&mut self) -> Word {
        let Self { questions, needs } = self;
        let needed = async {
            if let Some(needs) = needs
                && needs.changed().await.is_ok()
            {
                return needs.borrow().clone();
            }
            pending().await
        };
        let question = async {
            match questions.recv().await {
                Some(question) => question,
                None => pending().await,
            }
        };
        tokio::select! {
            kinds = needed => Word::Needs(kinds),
            question = question => Word::Question(question),
        }
    }

    /// What has been needed so far.
    pub(super) fn needs(&self) -> BTreeSet<ObjectKind> {
        self.needs.as_ref().map(|needs| needs.borrow().clone()).unwrap_or_default()
    }
}

/// Whoever asks is a person who waits.
const PATIENCE: Duration = Duration::from_secs(5);
