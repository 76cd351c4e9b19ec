//! Whose files a program lets decide what it does: the one rule for keys, tokens, secrets, roots, links
//! and downloads.
//!
//! Threat: on a machine with several users, whoever can change a file that we act on acts with our
//! rights. Trusted are root, the user who runs the program, and, where root runs it through `sudo`, the
//! user who called that. What anybody but root says in `SUDO_UID` counts for nothing.

use rustix::process::geteuid;

/// The users whose files count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedUsers(Vec<u32>);

/// Who beside the owner may write to a file that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Nobody.
    OwnerOnly,
    /// The file's group, which the owner chose.
    Group,
}

/// Why a file does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It belongs to this user.
    Owner(u32),
    /// Others can write to it; its permission bits.
    Writable(u32),
}

impl TrustedUsers {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of(geteuid().as_raw(), std::env::var("SUDO_UID").ok().as_deref())
    }

    fn of(me: u32, sudo: Option<&str>) -> Self {
        let caller = sudo.filter(|_| me == 0).and_then(|uid| uid.parse().ok());
        Self([Some(0), Some(me), caller].into_iter().flatten().collect())
    }

    /// These and one more, where there is one.
    #[must_use]
    pub fn and(mut self, user: Option<u32>) -> Self {
        self.0.extend(user);
        self
    }

    /// Whether `user` is one of them.
    #[must_use]
    pub fn include(&self, user: u32) -> bool {
        self.0.contains(&user)
    }

    /// What is wrong with a file of `owner` that has the permission bits of `mode`.
    #[must_use]
    pub fn objection(&self, owner: u32, mode: u32, writers: Writers) -> Option<Objection> {
        let others = match writers {
            Writers::OwnerOnly => 0o022,
            Writers::Group => 0o002,
        };
        if !self.include(owner) {
            return Some(Objection::Owner(owner));
        }
        (mode & others != 0).then_some(Objection::Writable(mode & 0o7777))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_me_and_who_called_sudo() {
        for (owner, me, sudo, expected) in [
            (0, 1000, None, true),
            (1000, 1000, None, true),
            (1001, 1000, None, false),
            (1001, 1000, Some("1001"), false),
            (1000, 0, None, false),
            (1000, 0, Some("1000"), true),
            (1000, 0, Some("nobody"), false),
        ] {
            assert_eq!(
                TrustedUsers::of(me, sudo).include(owner),
                expected,
                "{owner} {me} {sudo:?}"
            );
        }
        let and = |user| TrustedUsers::of(0, None).and(user);
        assert!(and(Some(33)).include(33) && !and(None).include(33));
    }

    #[test]
    fn what_others_may_write() {
        let users = TrustedUsers::of(1000, None);
        let objection = |owner, mode, writers| users.objection(owner, mode, writers);
        assert_eq!(objection(1000, 0o100_644, Writers::OwnerOnly), None);
        assert_eq!(objection(0, 0o40775, Writers::Group), None);
        let writable = Some(Objection::Writable(0o775));
        assert_eq!(objection(0, 0o40775, Writers::OwnerOnly), writable);
        assert_eq!(objection(0, 0o41777, Writers::Group), Some(Objection::Writable(0o1777)));
        assert_eq!(objection(33, 0o40700, Writers::Group), Some(Objection::Owner(33)));
    }
}
