//! The bodies of the fuzz targets: plain functions of bytes, so that stable tests replay what was
//! found. `cargo xtask fuzz --help`.
//!
//! **What is promised** (`src/docs`, README): a segment *file* is not trusted. Whatever it holds, to
//! open, check, recover and use it ends with a result or an error. **What is not**: a process that
//! writes nonsense into a segment *while* others use it. So all damage here is done before a file is
//! opened, by nobody who has it open.

pub mod acts;
pub mod calls;
pub mod derive;
pub mod file;
pub mod frames;
pub mod image;
pub mod mutation;
pub mod mutator;
pub mod names;
pub mod record;
pub mod sharers;
pub mod shelf;
pub mod sparse;
pub mod targets;
pub mod tool;
