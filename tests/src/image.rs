//! A disk in a file: a file system of its own, mounted by loop, that can be filled, taken away from
//! under running programs, and made to lose what was not written yet. All of it needs root.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{Run, wait_until};

/// What is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With a journal, and no blocks kept back for root.
    Ext4,
    /// The one whose power can be cut.
    Xfs,
}

/// What a power cut does to what the file system has not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The log is flushed: names are there, contents that were not synced are not.
    LogFlushed,
    /// Nothing is flushed: names that were not synced are not there either.
    NothingFlushed,
}

impl Cut {
    /// The flag of `FS_IOC_SHUTDOWN`.
    fn flag(self) -> u32 {
        match self {
            Self::LogFlushed => 1,
            Self::NothingFlushed => 2,
        }
    }
}

/// A mounted image; unmounted when it goes.
#[derive(Debug)]
pub struct Image {
    file: PathBuf,
    mount: PathBuf,
    kind: Kind,
}

impl Image {
    /// Makes and mounts one of `megabytes` in `folder`.
    ///
    /// # Panics
    /// Where that is not possible here; it takes root, loop devices, and the file system's tools.
    #[must_use]
    pub fn new(folder: &Path, kind: Kind, megabytes: u64) -> Self {
        let image = Self { file: folder.join("image"), mount: folder.join("disk"), kind };
        let file = File::create(&image.file).expect("a scratch file");
        file.set_len(megabytes << 20).expect("a sparse file");
        let mut make = match kind {
            Kind::Ext4 => Command::new("mkfs.ext4"),
            Kind::Xfs => Command::new("mkfs.xfs"),
        };
        match kind {
            Kind::Ext4 => make.args(["-q", "-F", "-m", "0", "-O", "has_journal"]),
            Kind::Xfs => make.args(["-q", "-f"]),
        };
        let _ = Run::of(make.arg(&image.file)).ok();
        std::fs::create_dir(&image.mount).expect("a folder to mount on");
        image.mount();
        image
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Takes all but about `leave` bytes of what is free. [`Image::empty`] gives them back.
    ///
    /// # Panics
    /// Where it cannot be filled.
    pub fn fill(&self, leave: u64) {
        // What was removed is free when that is written, and not before.
        self.sync();
        let free = rustix::fs::statvfs(&self.mount).expect("it is mounted");
        let free = free.f_bavail * free.f_frsize;
        let folder = self.filling();
        std::fs::create_dir(&folder).expect("it is writable");
        let file = File::create(folder.join("most")).expect("it is writable");
        let mode = rustix::fs::FallocateFlags::empty();
        // The file system needs some of it to say where the rest is.
        let mut wanted = free.saturating_sub(leave).max(1);
        while rustix::fs::fallocate(&file, mode, 0, wanted).is_err() {
            wanted = wanted.checked_sub(64 << 10).expect("some space is there");
        }
        if leave == 0 {
            // What was set aside for writing one comes free when that is written. A new file needs less
            // than one in many pieces, which may want a block to list them in.
            (0..).take_while(|nth| self.takes_more(&folder.join(nth.to_string()))).for_each(drop);
        }
    }

    /// Writes a new file until no more of it finds room, and whether any of it did.
    fn takes_more(&self, path: &Path) -> bool {
        let Ok(mut file) = File::create(path) else { return false };
        let mut some = false;
        while file.write(&[0; 4096]).is_ok_and(|wrote| wrote > 0) {
            some = true;
        }
        self.sync();
        some
    }

    /// Gives back what [`Image::fill`] took.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn empty(&self) {
        std::fs::remove_dir_all(self.filling()).expect("it was filled");
    }

    /// The file system finds itself broken: from now on everything that writes fails.
    pub fn abort(&self) {
        assert_eq!(self.kind, Kind::Ext4, "only ext4 can be told to");
        let mut mount = Command::new("mount");
        let _ = Run::of(mount.args(["-o", "remount,abort"]).arg(&self.mount)).ok();
    }

    /// The power is gone, for this disk. Programs that use it get errors from now on.
    ///
    /// # Panics
    /// Where the file system cannot do that.
    pub fn cut(&self, cut: Cut) {
        assert_eq!(self.kind, Kind::Xfs, "only XFS can be shut down");
        // FS_IOC_SHUTDOWN, by a language that needs no unsafe block for it.
        let script = "import fcntl, os, struct, sys\n\
                      folder = os.open(sys.argv[1], os.O_RDONLY)\n\
                      fcntl.ioctl(folder, 0x8004587d, struct.pack('I', int(sys.argv[2])))";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(&self.mount).arg(cut.flag().to_string());
        let _ = Run::of(&mut python).ok();
    }

    /// Kills what uses it, as the power does that is gone, and waits for its end.
    ///
    /// # Panics
    /// Where something does not end.
    pub fn end_users(&self) {
        wait_until("nobody uses the disk", || {
            let users = self.users();
            for user in &users {
                // One that is gone by itself needs no signal.
                let kill = Command::new("kill").args(["-s", "KILL", user]).output();
                kill.expect("there is a shell's kill");
            }
            users.is_empty()
        });
    }

    /// Processes that have a file there open, or were told of one. This one has none.
    fn users(&self) -> Vec<String> {
        let mount = self.mount.as_os_str().as_encoded_bytes();
        let names = |bytes: &[u8]| bytes.windows(mount.len()).any(|window| window == mount);
        let uses = |process: &Path| {
            let told = std::fs::read(process.join("cmdline")).is_ok_and(|line| names(&line));
            let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
            let folder = process.join("cwd");
            told || open.map(|file| file.path()).chain([folder]).any(|link| {
                std::fs::read_link(link).is_ok_and(|file| file.starts_with(&self.mount))
            })
        };
        let processes = std::fs::read_dir("/proc").expect("it is mounted").flatten();
        let number = |process: std::fs::DirEntry| {
            let name = process.file_name().into_string().ok()?;
            let all = name.bytes().all(|byte| byte.is_ascii_digit());
            let own = name == std::process::id().to_string();
            (all && !own && uses(&process.path())).then_some(name)
        };
        processes.filter_map(number).collect()
    }

    /// Unmounts and mounts again, as after a restart. Nobody may use it.
    pub fn again(&self) {
        let _ = Run::of(Command::new("umount").arg(&self.mount)).ok();
        self.mount();
    }

    /// Everything so far is on the disk.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn sync(&self) {
        let folder = File::open(&self.mount).expect("it is mounted");
        rustix::fs::syncfs(folder).expect("the disk is there");
    }

    fn mount(&self) {
        let mut mount = Command::new("mount");
        let run = Run::of(mount.args(["-o", "loop"]).arg(&self.file).arg(&self.mount));
        assert_eq!(run.status, 0, "a loop mount is not possible here, and needed: {run}");
    }

    fn filling(&self) -> PathBuf {
        self.mount.join("filling")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Whatever still uses it loses it when it ends.
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount).status();
    }
}
