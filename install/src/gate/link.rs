//! A connection to the service, worked on by the task that waits for its answer.
//!
//! Were each connection a task of its own, it and the client's task would wake each other several
//! times a request. So a client's task does what there is to do on the connection whenever it looks
//! whether its answer has come, and a connection that nobody waits for rests. Only where a request's
//! body is not at its end when the answer begins, the connection is a task from there on: a client that
//! does not read must not hold up what it sends.

mod bell;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use self::bell::Bell;
use super::inbound::Inbound;
use super::joined::Joined;

/// A connection to the service.
pub(super) struct Link {
    sender: SendRequest<Inbound>,
    hands: Hands,
    bell: Arc<Bell>,
    /// Rings the bell.
    waker: Waker,
}

/// Who does the work.
enum Hands {
    /// Whoever waits for an answer.
    Waiting(Work),
    /// A task, until it is taken back.
    Task(Rc<RefCell<Work>>, AbortHandle),
}

/// What is to do on a connection; nothing more once the connection has ended.
struct Work(Option<Pin<Box<dyn Future<Output = ()>>>>);

impl Work {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.0 else { return Poll::Ready(()) };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Link {
    /// Speaks HTTP over `stream`.
    pub(super) async fn over<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(Joined(stream));
        let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
        let work = Box::pin(async move {
            // What goes wrong here is told to the request that it happens to.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the service ended");
            }
        });
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        Ok(Self { sender, hands: Hands::Waiting(Work(Some(work))), bell, waker })
    }

    /// Sends a request and waits for the head of its answer. A request of which not a byte was
    /// written comes back with the error.
    pub(super) async fn ask(
        &mut self,
        request: Request<Inbound>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Inbound>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| self.poll(cx, |cx| answer.as_mut().poll(cx))).await
    }

    /// Works on the connection, and looks for what is `wanted` from it.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        wanted: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Hands::Waiting(work) = &mut self.hands else { return wanted(cx) };
        self.bell.mute();
        let inner = &mut Context::from_waker(&self.waker);
        // Where the connection ends, `wanted` has its end.
        let _ = work.poll(inner);
        let polled = wanted(inner);
        if polled.is_pending() {
            self.bell.call(cx.waker());
        }
        polled
    }

    /// The connection without any work left to do, if it takes another request.
    pub(super) fn rest(mut self) -> Option<Self> {
        if !self.sender.is_ready()
            && let Hands::Waiting(work) = &mut self.hands
        {
            let _ = work.poll(&mut Context::from_waker(&self.waker));
        }
        // A task still has to send the rest of a request: it does, and then closes.
        if !self.sender.is_ready() {
            return None;
        }
        if let Hands::Task(work, task) = &self.hands {
            let work = Work(work.borrow_mut().0.take());
            task.abort();
            self.hands = Hands::Waiting(work);
        }
        Some(self)
    }

    /// Has a task do the work from now on, until the connection rests.
    pub(super) fn hand_to_a_task(&mut self) {
        let Hands::Waiting(work) = &mut self.hands else { return };
        let work = Rc::new(RefCell::new(Work(work.0.take())));
        let shared = work.clone();
        let task = tokio::task::spawn_local(poll_fn(move |cx| shared.borrow_mut().poll(cx)));
        self.hands = Hands::Task(work, task.abort_handle());
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
