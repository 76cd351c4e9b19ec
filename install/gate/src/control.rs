//! The gate's end of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use cutover_node::disk;
use rustix::process::Pid;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::identity::Identity;
use super::protocol::{Call, Fault, Hello, LONGEST_CALL, Outcome, Reply, WORKING_EVERY};
use super::succession::{self, Estate};
use super::supervisor::Supervisor;
use super::tasks;
use super::view::Wish;

/// Calls of one client that may lie before the gate unread.
const AHEAD: usize = 4;

/// Connections that the system keeps until they are accepted.
pub(super) const BACKLOG: i32 = 128;

/// Binds the socket, in place of one that another gate has or a killed gate left. The caller holds
/// the gate's lock.
pub(super) fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    // Bound under another name, so that nobody meets it before its mode is set, and none is missing
    // for a moment.
    let new = path.with_extension("sock.new");
    disk::remove_file(&new)?;
    let listener = std::os::unix::net::UnixListener::bind(&new)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

/// Serves installers for ever.
pub(super) async fn serve(listener: UnixListener, supervisor: Rc<Supervisor>) {
    loop {
        match listener.accept().await {
            // It finds its connection closed, and the gate that has taken over on the next.
            Ok(_) if supervisor.has_handed_over() => return,
            Ok((stream, _)) => {
                let conversation = converse(stream, supervisor.clone());
                tasks::spawn("a conversation with an installer", conversation);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(WORKING_EVERY).await;
            }
        }
    }
}

/// One installer, from its first call to its last.
async fn converse(stream: UnixStream, supervisor: Rc<Supervisor>) {
    let peer = peer(&stream);
    let (reader, mut writer) = stream.into_split();
    let (send, mut calls) = mpsc::channel(AHEAD);
    let reading = tasks::spawn("what listens to an installer", read(reader, send));
    let mut holds = Holds::Unknown;
    while let Some(asked) = calls.recv().await {
        let outcome = match &asked {
            Ok(call) => tokio::select! {
                outcome = answer(&supervisor, call, &mut writer, (holds, &peer)) => outcome,
                // Waiting for a newcomer's health is the one call that can be left without a trace.
                () = gone(&reading), if *call == Call::WaitHealthy => break,
            },
            Err(unknown) => Err(unknown.fault()),
        };
        holds = holds.after(asked.as_ref().ok(), &outcome);
        let reply = outcome.map_or_else(Reply::Failed, Reply::Done);
        let written = match &reply {
            Reply::Done(Outcome::Estate { .. }) => {
                hand_over(&mut writer, &reply, &supervisor.estate).await
            }
            reply => write(&mut writer, reply).await,
        };
        if written.is_err() {
            break;
        }
    }
    reading.abort();
    match holds {
        Holds::Lease if supervisor.has_handed_over() => supervisor.succession.notify_one(),
        Holds::Lease => supervisor.reconcile().await,
        Holds::Unknown | Holds::Nothing => {}
    }
}

/// The process at the other end; none where it is one of another machine or container.
fn peer(stream: &UnixStream) -> Option<Identity> {
    let pid = stream.peer_cred().ok()?.pid()?;
    Identity::of(Pid::from_raw(pid)?).ok()
}

/// What a connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// Nothing: it has not said which version it speaks.
    Unknown,
    Nothing,
    Lease,
}

impl Holds {
    fn after(self, call: Option<&Call>, outcome: &Result<Outcome, Fault>) -> Self {
        match (call, outcome) {
            (Some(Call::Begin { .. } | Call::HandOver { .. }), Ok(_)) => Self::Lease,
            (Some(Call::Finish), Ok(_)) => Self::Nothing,
            (Some(Call::Hello(_)), Ok(_)) if self == Self::Unknown => Self::Nothing,
            _ => self,
        }
    }
}

/// Ends when the client has gone away.
async fn gone(reading: &tokio::task::JoinHandle<()>) {
    while !reading.is_finished() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A call of another version of the protocol.
#[derive(Debug, Deserialize)]
struct UnknownCall {
    call: String,
}

impl UnknownCall {
    fn fault(&self) -> Fault {
        let (call, program) = (&self.call, env!("CARGO_PKG_VERSION"));
        Fault::OutOfTurn(format!("this gate of Cutover {program} does not know `{call}`"))
    }
}

async fn read(reader: OwnedReadHalf, calls: mpsc::Sender<Result<Call, UnknownCall>>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut capped = (&mut reader).take(LONGEST_CALL);
        match capped.read_until(b'\n', &mut line).await {
            Ok(_) if line.last() == Some(&b'\n') => {}
            _ => return,
        }
        let call = serde_json::from_slice(&line).map(Ok);
        match call.or_else(|_| serde_json::from_slice(&line).map(Err)) {
            Ok(call) => {
                if calls.send(call).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a control connection said something unknown");
                return;
            }
        }
    }
}

/// Does what is asked, saying every second that it is at it.
async fn answer(
    supervisor: &Rc<Supervisor>,
    call: &Call,
    writer: &mut OwnedWriteHalf,
    caller: (Holds, &Option<Identity>),
) -> Result<Outcome, Fault> {
    let doing = perform(supervisor, call, caller);
    let mut doing = std::pin::pin!(doing);
    let mut ticks = interval(WORKING_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        tokio::select! {
            outcome = &mut doing => return outcome,
            // A client that went away does not stop what it asked for; it is noticed afterwards.
            _ = ticks.tick() => drop(write(writer, &Reply::Working).await),
        }
    }
}

async fn perform(
    supervisor: &Rc<Supervisor>,
    call: &Call,
    (holds, peer): (Holds, &Option<Identity>),
) -> Result<Outcome, Fault> {
    if holds == Holds::Unknown && !matches!(call, Call::Hello(_) | Call::HandOver { .. }) {
        let program = env!("CARGO_PKG_VERSION");
        return Err(Fault::OutOfTurn(format!(
            "it is of Cutover {program}, and wants to hear a version first: use its `install`"
        )));
    }
    if call.needs_lease() && holds != Holds::Lease {
        return Err(Fault::OutOfTurn("this needs `begin` first".to_owned()));
    }
    if supervisor.ends() && !call.only_asks() {
        return Err(Fault::OutOfTurn("it is ending".to_owned()));
    }
    if supervisor.has_handed_over() && !call.only_asks() {
        return Err(Fault::OutOfTurn("another gate has taken over".to_owned()));
    }
    match call {
        Call::Hello(_) => return Ok(Outcome::Hello(Hello::mine())),
        Call::Status => return Ok(Outcome::Status(Box::new(supervisor.status()))),
        Call::Begin { .. } if holds == Holds::Lease => {}
        Call::Begin { pid } => supervisor.begin(*pid, peer.clone()).await?,
        Call::Announce { seconds } => supervisor.announce(*seconds),
        Call::Hold => supervisor.wish(Wish::Hold),
        Call::Backoff => supervisor.wish(Wish::Backoff),
        Call::Open => supervisor.open().await?,
        Call::Start { version } => supervisor.start(version).await?,
        Call::WaitHealthy => return supervisor.wait_healthy().await.map(seconds),
        Call::StopRunning => return Ok(seconds(supervisor.stop_running().await)),
        Call::Promote => supervisor.promote().await?,
        Call::Retire => return Ok(seconds(supervisor.retire().await)),
        Call::Abandon => supervisor.abandon().await,
        Call::Finish => return Ok(Outcome::Figures(supervisor.finish().await)),
        Call::HandOver { pid } => return supervisor.offer(*pid, peer.clone()).await,
        Call::TakenOver => supervisor.hand_over(),
        Call::MaintenanceOn(maintenance) => supervisor.maintain(Some(maintenance.clone()))?,
        Call::MaintenanceOff => supervisor.maintain(None)?,
    }
    Ok(Outcome::Nothing)
}

fn seconds(duration: std::time::Duration) -> Outcome {
    Outcome::Seconds(duration.as_secs_f64())
}

async fn hand_over(writer: &mut OwnedWriteHalf, reply: &Reply, estate: &Estate) -> io::Result<()> {
    succession::send(writer, &line(reply)?, estate).await
}

fn line(reply: &Reply) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    Ok(line)
}

async fn write(writer: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let line = line(reply)?;
    tokio::time::timeout(WORKING_EVERY, writer.write_all(&line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
