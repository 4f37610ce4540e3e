//! The machine with fake hospitals, without sockets, clocks or a disk.

mod anew;
mod cohort;
mod ended_by_operator;
mod following;
mod hospital;
mod late;
mod left_out;
mod null_steps;
mod restart;
mod runs;
mod set_up;
mod stragglers;
mod table;
mod waiting;
