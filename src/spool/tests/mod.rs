//! The spool as a whole: one file per promise group.

mod damage;
mod disk;
mod erasing;
mod faults;
mod full_disk;
mod lifecycle;
mod model;
mod quarantining;
mod support;
