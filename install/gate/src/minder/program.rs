//! What a minder starts, and with which rights: handed to [`enter`](super::enter()), a step between
//! `fork` and `exec` that is a program of its own, so that nothing unsafe is needed for it.

use std::collections::BTreeMap;
use std::io::{self, PipeWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;

use cutover_formats::node_toml::Limits;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::not_started::NotStarted;
use crate::notify;
use crate::own_program::sent_to;

/// A program to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Variables on top of the gate's own.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it runs.
    pub(crate) folder: PathBuf,
    /// Whom it runs as, where that is another than the gate.
    pub(crate) who: Option<Who>,
    /// What it may use.
    pub(crate) limits: Limits,
    /// Permissions that its files do not get.
    pub(crate) umask: Option<u32>,
}

/// A user with groups, as numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// The user.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// All groups.
    pub(crate) groups: Vec<u32>,
    /// `HOME`, `USER` and `LOGNAME`.
    pub(crate) env: BTreeMap<String, String>,
}

impl Who {
    /// Looks `user` up, where one is named; `None` where the gate's own user is meant.
    pub(crate) fn look_up(user: Option<&str>, group: Option<&str>) -> io::Result<Option<Self>> {
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        let me = Uid::effective();
        let found = match user {
            Some(name) => User::from_name(name)?.ok_or_else(|| unknown("user", name))?,
            None => User::from_uid(me)?.ok_or_else(|| unknown("user", &me.to_string()))?,
        };
        let gid = match group {
            Some(name) => Group::from_name(name)?.ok_or_else(|| unknown("group", name))?.gid,
            None => found.gid,
        };
        if found.uid == me && gid == Gid::effective() {
            return Ok(None);
        }
        if !me.is_root() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "node.toml has it run as {}, and only a gate that root runs may do so",
                    found.name
                ),
            ));
        }
        let name = std::ffi::CString::new(found.name.clone())?;
        let groups = getgrouplist(&name, gid)?.into_iter().map(Gid::as_raw).collect();
        let env = [
            ("HOME", found.dir.display().to_string()),
            ("USER", found.name.clone()),
            ("LOGNAME", found.name),
        ];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Some(Self { uid: found.uid.as_raw(), gid: gid.as_raw(), groups, env }))
    }
}

fn unknown(what: &str, name: &str) -> io::Error {
    let text = format!("node.toml has it run as {what} {name}, who does not exist here");
    io::Error::new(io::ErrorKind::NotFound, text)
}

impl Program {
    /// Starts it in a group of its own; ends when the program itself runs, or why it does not.
    pub(super) fn start(&self, output: Option<PipeWriter>) -> Result<Pid, NotStarted> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let mut command = sent_to("enter")?;
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"CUTOVER_") || notify::is_ours(&name) {
                command.env_remove(name);
            }
        }
        let output = match output {
            Some(writer) => OwnedFd::from(writer),
            None => std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?,
        };
        command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let child = command.spawn()?;
        drop(command);
        ours.write_all(&serde_json::to_vec(self).map_err(io::Error::from)?)?;
        ours.shutdown(Shutdown::Write)?;
        let mut failed = String::new();
        ours.read_to_string(&mut failed)?;
        match failed.is_empty() {
            true => Ok(Pid::from_child(&child)),
            false => Err(serde_json::from_str(&failed).map_err(io::Error::from)?),
        }
    }
}
