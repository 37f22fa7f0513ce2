//! The proof that no smaller way out exists. In a large tree it may take long, so it is looked for on a thread of its own,
//! until somebody asks something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use bespoke_model::{Budget, Tree};

use super::Message;
use crate::app::Event;
use crate::app::doc::Question;

/// A proof that is looked for.
pub(super) struct Search {
    question: Question,
    stop: Arc<AtomicBool>,
}

impl Search {
    /// Begins to look.
    pub(super) fn start(tree: &'static Tree, question: Question, send: Sender<Message>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, asked) = (stop.clone(), question.clone());
        std::thread::spawn(move || {
            let Question { decisions, before, changes, .. } = &asked;
            let budget = Budget::until(&stopped);
            let answer = tree.preview_within(decisions, before, changes, None, &budget);
            if let (Err(refusal), false) = (answer, stopped.load(Ordering::Relaxed)) {
                let _ = send.send(Message::App(Event::Proven(Box::new(asked), Box::new(refusal))));
            }
        });
        Search { question, stop }
    }

    /// Whether it looks for the answer to a question.
    pub(super) fn is_about(&self, question: &Question) -> bool {
        self.question.is(question)
    }
}

impl Drop for Search {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
