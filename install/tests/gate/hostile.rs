//! Clients that mean harm, or behave as if they did. Others are served meanwhile.

mod crowd;
mod patience;
mod smuggling;
