//! Real parts that stand around a node: load balancers, front ends, etcd. Each is started in a
//! scratch folder on free loopback ports, and ended by its guard.

pub mod apache;
pub mod authority;
pub mod etcd;
pub mod haproxy;
pub mod nginx;
