//! `install enter`: takes on the user and the limits of a service, and becomes it.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use cutover_formats::exit::Exit;
use cutover_formats::node_toml::Limits;
use cutover_repository::child;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{
    Gid, Pid, Resource, Rlimit, Signal, Uid, getppid, getrlimit, set_parent_process_death_signal,
    setrlimit, umask,
};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::program::{Program, Who};
use crate::not_started::NotStarted;

/// Becomes the program that standard input tells of; returns only where that failed, which it has
/// told standard input's other end by then.
pub(crate) fn enter() -> io::Result<()> {
    // Closed by a successful `exec`, so that the other end can tell.
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut program = Vec::new();
    socket.read_to_end(&mut program)?;
    let program: Program = serde_json::from_slice(&program)?;
    let minder = socket_peercred(&socket)?.pid;
    let failed = become_it(&program, minder);
    socket.write_all(&serde_json::to_vec(&failed)?)
}

fn become_it(program: &Program, minder: Pid) -> NotStarted {
    let [name, arguments @ ..] = &program.command[..] else {
        return NotStarted::of_release("its command is empty");
    };
    if let Err(error) = take_on(program, minder) {
        // The user and the limits are the node's.
        let exit = match Exit::of_io(&error) {
            Exit::Unexpected => Exit::Usage,
            exit => exit,
        };
        return NotStarted::of_node(exit, error);
    }
    let error = child::command(name)
        .args(arguments)
        .envs(program.who.iter().flat_map(|who| &who.env))
        .envs(&program.env)
        .current_dir(&program.folder)
        .stdin(Stdio::null())
        .exec();
    let why = format!("{name}: {error}");
    // Too many files or processes, no memory, a disk that fails: the program itself may be good.
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidInput => NotStarted::of_release(why),
        _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            NotStarted::of_release(why)
        }
        _ => NotStarted::of_node(Exit::of_io(&error), why),
    }
}

/// This process has one thread, so what is said of threads here holds for all of it.
fn take_on(program: &Program, minder: Pid) -> io::Result<()> {
    limit(&program.limits)?;
    if let Some(mask) = program.umask {
        umask(Mode::from_raw_mode(mask));
    }
    if let Some(who) = &program.who {
        change(who)
            .map_err(|error| io::Error::new(error.kind(), format!("user {}: {error}", who.uid)))?;
    }
    // After the change of user, which takes it back. A minder that is killed takes its service along.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match getppid() == Some(minder) {
        true => Ok(()),
        false => Err(io::Error::other("its minder has ended")),
    }
}

fn change(who: &Who) -> io::Result<()> {
    let groups: Vec<Gid> = who.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (gid, uid) = (Gid::from_raw(who.gid), Uid::from_raw(who.uid));
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(set_no_new_privs(true)?)
}

fn limit(limits: &Limits) -> io::Result<()> {
    let memory = limits.memory.map(cutover_formats::size::Size::bytes);
    for (name, resource, wanted) in [
        ("nofile", Resource::Nofile, limits.nofile),
        ("nproc", Resource::Nproc, limits.nproc),
        ("memory", Resource::As, memory),
    ] {
        let Some(wanted) = wanted else { continue };
        let both = Rlimit { current: Some(wanted), maximum: Some(wanted) };
        setrlimit(resource, both).map_err(|error| {
            let most = getrlimit(resource).maximum;
            let most = most.map_or_else(String::new, |most| format!("; the gate may use {most}"));
            io::Error::new(
                io::Error::from(error).kind(),
                format!("node.toml's limits: {name} = {wanted}: {error}{most}"),
            )
        })?;
    }
    Ok(())
}
