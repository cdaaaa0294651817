//! A Hugging Face Hub on the loopback interface, for tests: small, without the network, and failing as it is told to.
//!
//! One port is the hub, another stands for the storage behind it, to which large files are redirected. The Python clients take it
//! for a hub, too: `cargo run -p blt-hub-stub -- DIR` serves `DIR/{models,datasets}/OWNER/NAME[@REVISION]/...`, and
//! `HF_ENDPOINT` with the address it prints leads them there.
//!
//! ```
//! use blt_hub_stub::{Kind, Stub, World};
//!
//! let mut world = World::default();
//! world.add(Kind::Models, "owner/name", "main", [("config.json", b"{}".as_slice())]);
//! let stub = Stub::start(world)?;
//! assert!(stub.endpoint().starts_with("http://127.0.0.1:"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What it leaves out: uploads, the storage protocol Xet (no file has an `xetHash`), encryption.

mod fault;
mod message;
mod routes;
mod server;
mod world;

pub use fault::{Fault, Port, What};
pub use server::{Seen, Stub};
pub use world::{Access, Kind, World};
