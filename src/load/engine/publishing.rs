//! Publications: made when they are due by the first process, on a connection of its own or through
//! the API.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::link::{Connector, End, Link, Opened};
use super::super::{ApiPublisher, Publishing, Scenario, Share, Work};
use super::crew::Crew;
use super::member::{BackOff, NORMAL_CLOSURE, reason_of};
use super::moment::Moment;

/// The way out for publications.
pub enum Outlet {
    /// A connection that does nothing else.
    Connection {
        connector: Box<Connector>,
        /// While it is open.
        link: RefCell<Option<Rc<Link>>>,
    },
    /// Requests, many at a time.
    Api(Rc<ApiPublisher>),
}

impl Outlet {
    /// `None` if this process does not publish.
    pub async fn new(scenario: &Scenario, share: Share) -> Result<Option<Self>, String> {
        let Work::FanOut { publishing, rate: _ } = &scenario.work else { return Ok(None) };
        if share.process != 0 {
            return Ok(None);
        }
        Ok(Some(match publishing {
            Publishing::Connection { url } => Self::Connection {
                connector: Box::new(
                    Connector::new(scenario, url.as_ref().unwrap_or(&scenario.url)).await?,
                ),
                link: RefCell::default(),
            },
            Publishing::Api { url, to, key } => {
                let kind = scenario.payload.kind;
                Self::Api(Rc::new(ApiPublisher::new(url, to, key.as_ref(), kind)?))
            }
        }))
    }

    /// Whether it needs a connection of its own.
    pub fn connects(&self) -> bool {
        matches!(self, Self::Connection { .. })
    }

    /// Whether publications are under way of which it is not known whether they were made.
    pub fn is_unsure(&self) -> bool {
        match self {
            Self::Connection { .. } => false,
            Self::Api(publisher) => publisher.under_way() > 0,
        }
    }
}

/// The life of the publishing connection: as that of the others, but in no figure of theirs. What it
/// receives is not counted; what goes wrong with it is, and says that it was this one.
pub async fn live(crew: Rc<Crew>) {
    let Some(Outlet::Connection { connector, link }) = &crew.outlet else { return };
    // Behind those of all connections, so that a URL with `{n}` names one more.
    let number = crew.scenario.connections;
    let count_error = |reason: &str| {
        let reason = format!("publishing connection: {reason}");
        crew.tally.borrow_mut().report.count_error(&reason);
    };
    let mut back_off = BackOff::default();
    let mut is_first = true;
    while !crew.is_over() {
        let opened = crew.not_long_after_the_end(connector.open(number)).await;
        match &opened {
            Some(Ok(opened)) => *link.borrow_mut() = Some(Rc::clone(&opened.link)),
            Some(Err(error)) => count_error(&error.reason),
            None => {}
        }
        if is_first {
            crew.tried();
            is_first = false;
        }
        if let Some(Ok(opened)) = opened {
            let since = Moment::now();
            let end = stay(&crew, opened).await;
            *link.borrow_mut() = None;
            if let Some(reason) = reason_of(end) {
                count_error(&reason);
            }
            back_off.lived(Moment::now().since(since));
        }
        let wait = back_off.next(&mut crew.random.borrow_mut());
        crew.pause_until(Moment::now().after(wait)).await;
    }
    // Stopped before its first try.
    if is_first {
        crew.tried();
    }
}

async fn stay(crew: &Crew, opened: Opened) -> End {
    if crew.is_closing() {
        opened.link.close(NORMAL_CLOSURE);
    }
    opened.link.run(|_| {}).await
}

impl Crew {
    /// Makes the publication with this number, of those that are due.
    pub fn publish(self: &Rc<Self>, number: u64, due: Moment) {
        let Some(outlet) = &self.outlet else { return };
        let marker = self.deliveries.mark(number, due);
        let mut scratch = self.scratch.borrow_mut();
        self.payloads.write_publication(number, &marker, &mut scratch);
        let was_sent = match outlet {
            Outlet::Connection { connector: _, link } => {
                let link = link.borrow();
                let sent = link.as_ref().map(|link| link.send(self.payloads.opcode(), &scratch));
                let was_sent = matches!(sent, Some(Ok(_)));
                if was_sent {
                    self.tally.borrow_mut().sent(due, scratch.len());
                }
                was_sent
            }
            Outlet::Api(publisher) => self.request(publisher, due, &scratch),
        };
        if was_sent {
            self.deliveries.published(&marker, self.payloads.marked());
        } else {
            self.tally.borrow_mut().unsent(due);
        }
    }

    /// Begins a request to the API, if there is room; it counts as sent when the API has taken it.
    fn request(self: &Rc<Self>, publisher: &Rc<ApiPublisher>, due: Moment, payload: &[u8]) -> bool {
        let Some(room) = publisher.room() else { return false };
        let (crew, publisher) = (Rc::clone(self), Rc::clone(publisher));
        let payload = payload.to_vec();
        tokio::task::spawn_local(async move {
            let bytes = payload.len();
            let outcome = crew.not_long_after_the_end(publisher.publish(room, payload)).await;
            let mut tally = crew.tally.borrow_mut();
            match outcome {
                Some(Ok(())) => tally.sent(due, bytes),
                Some(Err(reason)) => tally.report.count_error(&reason),
                None => tally.report.count_error("publish: timed out"),
            }
        });
        true
    }

    /// Ends the way out.
    pub fn close_outlet(&self) {
        match &self.outlet {
            None | Some(Outlet::Api(_)) => {}
            Some(Outlet::Connection { connector: _, link }) => {
                if let Some(link) = link.borrow().as_ref() {
                    link.close(NORMAL_CLOSURE);
                }
            }
        }
    }
}
