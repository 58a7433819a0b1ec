//! What the rest of the process asks of every connection: a visitor is sent to each shard, sees its
//! connections one after the other, and comes back.

use std::ops::ControlFlow;

use tokio::sync::oneshot;

use super::Peer;
use crate::hub::Hub;
use crate::state::Now;

/// Looks at connections, or asks something of them.
pub trait Visitor: Send + 'static {
    /// One connection; `Break` ends the visit to this shard.
    fn visit(&mut self, peer: &Peer, now: Now) -> ControlFlow<()>;
}

/// A visitor on its way; [`Errand::finish`] brings it back.
pub trait Errand: Send {
    /// See [`Visitor::visit`].
    fn visit(&mut self, peer: &Peer, now: Now) -> ControlFlow<()>;
    /// All connections of the shard have been seen.
    fn finish(self: Box<Self>);
}

/// What a shard is asked to do between two publications.
pub type Errands = Box<dyn Errand>;

struct Sent<V> {
    visitor: V,
    back: oneshot::Sender<V>,
}

impl<V: Visitor> Errand for Sent<V> {
    fn visit(&mut self, peer: &Peer, now: Now) -> ControlFlow<()> {
        self.visitor.visit(peer, now)
    }

    fn finish(self: Box<Self>) {
        // Whoever asked may have gone.
        let _ = self.back.send(self.visitor);
    }
}

/// Sends a visitor to every shard and waits for all of them. It sees a connection behind what was
/// published to it before. A shard that has ended gives none back.
pub async fn visit_all<V: Visitor>(hub: &Hub<Errands>, mut visitor: impl FnMut() -> V) -> Vec<V> {
    let mut returning = Vec::new();
    hub.send(|| {
        let (back, returns) = oneshot::channel();
        returning.push(returns);
        Box::new(Sent { visitor: visitor(), back })
    });
    let mut visitors = Vec::with_capacity(returning.len());
    for returns in returning {
        visitors.extend(returns.await.ok());
    }
    visitors
}
