//! The machine with fake hospitals, without sockets, clocks or a disk.

mod cohort;
mod hospital;
mod restart;
mod runs;
mod table;
mod waiting;
