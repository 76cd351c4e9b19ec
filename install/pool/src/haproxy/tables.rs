//! What HAProxy's tables say of one server. Columns are found by their names, because every version
//! adds some.

use cutover_formats::node_toml::BackendServer;

/// How an operator has set a server, whatever its checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admin {
    /// It takes traffic.
    Ready,
    /// It takes no new clients.
    Drain,
    /// It takes nothing and is not checked.
    Maint,
}

/// `SRV_ADMF_FMAINT` and `SRV_ADMF_FDRAIN` of HAProxy's `server-t.h`: set by a command or the
/// configuration. What a server inherits from one that it tracks is not its own.
const FORCED_MAINT: u32 = 0x01;
const FORCED_DRAIN: u32 = 0x08;

impl Admin {
    /// The word for it in `set server … state`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }

    /// What has this name; what has another never was ready.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "ready" => Self::Ready,
            "drain" => Self::Drain,
            _ => Self::Maint,
        }
    }
}

/// What a server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Requests that it answers or that wait for it.
    pub(super) under_way: u64,
    /// `UP`, `DOWN`, `DRAIN`, `MAINT`, `no check`, `UP 1/3` and the like.
    pub(super) status: String,
}

/// How a server is set, from the answer to `show servers state`: a line with the format's number,
/// one with the columns' names after a `#`, and one for each server, all split by spaces.
pub(super) fn admin(answer: &str, server: &BackendServer) -> Option<Admin> {
    let table = answer.split_once('\n')?.1;
    let cell = |name| cell(table, ' ', ["be_name", "srv_name"], server, name);
    let flags: u32 = cell("srv_admin_state")?.parse().ok()?;
    Some(match flags {
        flags if flags & FORCED_MAINT != 0 => Admin::Maint,
        flags if flags & FORCED_DRAIN != 0 => Admin::Drain,
        _ => Admin::Ready,
    })
}

/// What a server does, from the answer to `show stat`, which is CSV. The columns that are read
/// stand before any that could be quoted.
pub(super) fn traffic(answer: &str, server: &BackendServer) -> Option<Traffic> {
    let cell = |name| cell(answer, ',', ["pxname", "svname"], server, name);
    let count = |name| cell(name)?.parse::<u64>().ok();
    // Without a `maxconn` there is no queue, but always a count of it.
    let under_way = count("scur")?.checked_add(count("qcur")?)?;
    Some(Traffic { under_way, status: cell("status")?.to_owned() })
}

/// The cell of `column` in the row of `server`, whose names stand in the columns `names`.
fn cell<'a>(
    table: &'a str,
    separator: char,
    names: [&str; 2],
    server: &BackendServer,
    column: &str,
) -> Option<&'a str> {
    let (header, rows) = table.split_once('\n')?;
    let header: Vec<&str> = header.strip_prefix("# ")?.trim_end().split(separator).collect();
    let at = |name: &str| header.iter().position(|column| *column == name);
    let (backend_at, server_at, wanted) = (at(names[0])?, at(names[1])?, at(column)?);
    rows.lines().find_map(|row| {
        let cells: Vec<&str> = row.split(separator).collect();
        let is_it = cells.get(backend_at) == Some(&server.backend.as_str())
            && cells.get(server_at) == Some(&server.server.as_str());
        if is_it { cells.get(wanted).copied() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state \
        srv_admin_state srv_uweight\n2 be 1 s1 127.0.0.1 0 8 1\n2 be 2 s2 127.0.0.1 2 0 1\n\
        2 be 3 s3 127.0.0.1 0 5 1\n2 be 4 s4 127.0.0.1 0 2 1\n2 be 5 s5 - 0 x 1\n\n";
    const STATS: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,\
        econ,eresp,wretr,wredis,status,weight,\nbe,s1,2,0,3,0,,0,0,0,,0,,0,0,0,0,DRAIN,1,\n\
        be,s2,0,0,0,0,,0,0,0,,0,,0,0,0,0,no check,1,\nbe,BACKEND,0,0,9,0,1,0,0,0,,0,,0,0,0,0,UP,1\n\n";

    fn server(name: &str) -> BackendServer {
        name.parse().unwrap()
    }

    #[test]
    fn how_servers_are_set() {
        for (name, expected) in [
            ("be/s1", Some(Admin::Drain)),
            ("be/s2", Some(Admin::Ready)),
            ("be/s3", Some(Admin::Maint)),
            ("be/s4", Some(Admin::Ready)),
            ("be/s5", None),
            ("be/s6", None),
            ("other/s1", None),
        ] {
            assert_eq!(admin(STATES, &server(name)), expected, "{name}");
        }
        for nonsense in ["", "\n", "Can't find backend.\n\n", "1\n# be_name\nbe\n"] {
            assert_eq!(admin(nonsense, &server("be/s1")), None, "{nonsense}");
        }
    }

    #[test]
    fn what_servers_do() {
        let s1 = Traffic { under_way: 5, status: "DRAIN".to_owned() };
        assert_eq!(traffic(STATS, &server("be/s1")), Some(s1));
        let s2 = Traffic { under_way: 0, status: "no check".to_owned() };
        assert_eq!(traffic(STATS, &server("be/s2")), Some(s2));
        assert_eq!(traffic(STATS, &server("be/s3")), None);
        assert_eq!(traffic("Unknown command.\n", &server("be/s1")), None);
    }
}
