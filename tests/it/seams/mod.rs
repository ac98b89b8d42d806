//! One contract suite a seam, for every kind in its table.

mod routers_haproxy;
mod routers_haproxy_faults;
mod routers_haproxy_live;
mod routers_http;
