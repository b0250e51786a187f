//! A source kept current: its questions are asked, its answers learned.
//!
//! Between the watches, which know how to ask, and a [`Source`], which knows what to ask. Answers come in bursts, so that questions
//! are settled once for each burst, and only when it can have changed what must be asked: [`Follower::next`] says that there is
//! something to take up, never how often.
//!
//! An error changes nothing that is known. It is told once for each question that has it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    rc::{Rc, Weak},
    task::{Poll, Waker},
    time::Instant,
};

use crate::{
    About, Error, Event, Question, Watch, Watches,
    known::News,
    source::{Assembled, NotYet, Source},
};

/// Keeps one source current for as long as it is there.
pub struct Follower(Rc<Inner>);

struct Inner {
    watches: Watches,
    source: RefCell<Source>,
    asked: RefCell<BTreeMap<Rc<Question>, Watch>>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// When the first of the answers came that were not told of.
    learned: Option<Instant>,
    /// The same of those that were told of.
    told: Option<Instant>,
    /// Whether what must be asked may be something else now.
    asks: bool,
    /// Questions that nothing was heard of yet, neither an answer nor trouble.
    awaited: BTreeSet<Rc<Question>>,
    /// Questions in trouble, and what the trouble is.
    troubles: BTreeMap<Rc<Question>, String>,
    /// Questions whose last answer is not understood, and why: however well the next ones come, as long as they are the same.
    riddles: BTreeMap<Rc<Question>, String>,
    /// What happened since it was last told.
    notices: Vec<Notice>,
    /// Questions whose answers another answer made old.
    old: BTreeSet<Question>,
    waker: Option<Waker>,
}

impl State {
    /// Notes what an answer brought.
    fn note(&mut self, news: News, now: Instant) {
        if news != News::None {
            self.learned.get_or_insert(now);
            self.asks |= news == News::Questions || !self.old.is_empty();
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A question has no current answer: its path, and why. The last one stays in force.
    Lost(String, String),
    /// All questions have current answers again.
    Back,
}

/// More notices than this say nothing new: a datacenter with thousands of services that is gone.
const MAX_NOTICES: usize = 8;

impl Follower {
    /// Asks what the source wants to know.
    #[must_use]
    pub fn new(source: Source, watches: Watches) -> Self {
        let inner = Rc::new(Inner {
            watches,
            source: RefCell::new(source),
            asked: RefCell::default(),
            state: RefCell::default(),
        });
        inner.settle();
        Self(inner)
    }

    /// Waits until something was learned, lost or found again; says what besides learning happened.
    pub async fn next(&self) -> Vec<Notice> {
        poll_fn(|context| {
            let mut state = self.0.state.borrow_mut();
            if state.learned.is_some() || !state.notices.is_empty() {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        let mut state = self.0.state.borrow_mut();
        let learned = state.learned.take();
        state.told = state.told.or(learned);
        if std::mem::take(&mut state.asks) {
            drop(state);
            self.0.settle();
            state = self.0.state.borrow_mut();
        }
        std::mem::take(&mut state.notices)
    }

    /// Whether something was heard of every question, be it trouble: what is known then is no smaller part than what will be.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.0.state.borrow().awaited.is_empty()
    }

    /// What the source comes to now.
    ///
    /// # Errors
    /// What is missing, or why it cannot run.
    pub fn assembled(&self) -> Result<Assembled, NotYet> {
        self.0.source.borrow_mut().assembled()
    }

    /// When the first of the answers came that were told of and not taken up; now they are.
    #[must_use]
    pub fn take_up(&self) -> Option<Instant> {
        self.0.state.borrow_mut().told.take()
    }

    /// Calls `with` with the source as it is.
    pub fn with_source<T>(&self, with: impl FnOnce(&Source) -> T) -> T {
        with(&self.0.source.borrow())
    }

    /// Takes an answer that was come by in another way.
    pub(crate) fn offer(&self, question: &Question, body: &[u8]) {
        let about = About::default();
        self.0
            .hear(&Rc::new(question.clone()), &Event::Answer(&about, body));
    }

    /// How many questions have no current answer.
    #[must_use]
    pub fn troubles(&self) -> usize {
        self.0.state.borrow().troubles.len()
    }

    /// Calls `with` with each question and its trouble, if it has one.
    pub fn questions(&self, mut with: impl FnMut(&Question, Option<&str>)) {
        let state = self.0.state.borrow();
        for question in self.0.asked.borrow().keys() {
            let trouble = state.troubles.get(question);
            with(question, trouble.map(String::as_str));
        }
    }
}

impl Inner {
    /// Asks what is wanted now, and no longer what is not.
    fn settle(self: &Rc<Self>) {
        self.source.borrow_mut().forget();
        let wanted = self.source.borrow().wanted();
        let old = std::mem::take(&mut self.state.borrow_mut().old);
        self.asked
            .borrow_mut()
            .retain(|question, _| wanted.binary_search(question).is_ok());
        let asked = &self.asked;
        self.state
            .borrow_mut()
            .awaited
            .retain(|question| asked.borrow().contains_key(question));
        for question in wanted {
            if let Some(watch) = self.asked.borrow().get(&question) {
                if old.contains(&question) {
                    watch.refresh();
                }
                continue;
            }
            let question = Rc::new(question);
            let watch = self.ask(&question);
            let awaited = Rc::clone(&question);
            self.state.borrow_mut().awaited.insert(awaited);
            self.asked.borrow_mut().insert(question, watch);
        }
        // Those that came in order fill the tree's nodes by half.
        let asked = self.asked.take();
        self.asked.replace(asked.into_iter().collect());
        let mut state = self.state.borrow_mut();
        let State {
            troubles,
            riddles,
            notices,
            ..
        } = &mut *state;
        let before = troubles.len();
        troubles.retain(|question, _| self.asked.borrow().contains_key(question));
        riddles.retain(|question, _| self.asked.borrow().contains_key(question));
        if before > 0 && troubles.is_empty() {
            notices.push(Notice::Back);
        }
    }

    fn ask(self: &Rc<Self>, question: &Rc<Question>) -> Watch {
        let inner: Weak<Self> = Rc::downgrade(self);
        let asked = Rc::clone(question);
        self.watches.watch(question, move |event| {
            if let Some(inner) = inner.upgrade() {
                inner.hear(&asked, &event);
            }
        })
    }

    fn hear(&self, question: &Rc<Question>, event: &Event<'_>) {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        state.awaited.remove(question);
        let trouble = match event {
            Event::Answer(about, body) => {
                let mut source = self.source.borrow_mut();
                match source.learn(question, body, about.index) {
                    Ok(news) => {
                        state.riddles.remove(question);
                        if news != News::None {
                            state.old.extend(source.stale_after(question));
                        }
                        state.note(news, now);
                        drop(source);
                        self.doubt(question)
                    }
                    Err(error) => {
                        let why = Error::NotUnderstood(error).to_string();
                        state.riddles.insert(Rc::clone(question), why.clone());
                        Some(why)
                    }
                }
            }
            Event::Failed(error) if question.is_unknown(error) => {
                let news = self.source.borrow_mut().learn(question, b"[]", None);
                state.note(news.unwrap_or(News::None), now);
                None
            }
            Event::Failed(error) => Some(question.trouble(error)),
            Event::Recovered => {
                let riddle = state.riddles.get(question).cloned();
                riddle.or_else(|| self.doubt(question))
            }
        };
        match trouble {
            None => {
                let was = state.troubles.remove(question).is_some();
                if was && state.troubles.is_empty() {
                    state.notices.push(Notice::Back);
                }
            }
            Some(why) => {
                let known = state.troubles.insert(Rc::clone(question), why.clone());
                if known.as_ref() != Some(&why) && state.notices.len() < MAX_NOTICES {
                    state.notices.push(Notice::Lost(question.path(), why));
                }
            }
        }
        if (state.learned.is_some() || !state.notices.is_empty())
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
    }

    /// What the token seems to lack for an answer that was taken all the same; then it is soon asked for again.
    fn doubt(&self, question: &Question) -> Option<String> {
        let rules = self.source.borrow().doubt(question)?;
        if let Some(watch) = self.asked.borrow().get(question) {
            watch.doubt();
        }
        Some(Error::Filtered(rules.to_owned()).to_string())
    }
}
