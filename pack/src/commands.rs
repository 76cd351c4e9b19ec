//! The commands, one file each: `Args`, what may be typed, and `run`.

pub(crate) mod channels;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod promote;
pub(crate) mod refresh;
pub(crate) mod release;
pub(crate) mod repo;
pub(crate) mod withdraw;
