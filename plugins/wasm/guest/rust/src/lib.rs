//! Write a plugin for Millrace in Rust. An interceptor runs inside the broker as a WebAssembly
//! module that can reach nothing but its own memory, and sees a batch of records at a time. A
//! [`Partitioner`], [`Serializer`], [`Assignor`], [`ProducerInterceptor`] or [`ConsumerInterceptor`]
//! runs inside clients in the same way.
//!
//! ```
//! use millrace_plugin::{plugin, Batch, Error, Interceptor, Settings};
//!
//! struct DropEmpty;
//!
//! impl Interceptor for DropEmpty {
//!     fn configure(_: &Settings) -> Result<Self, String> {
//!         Ok(DropEmpty)
//!     }
//!     fn on_produce(&mut self, batch: &mut Batch) -> Result<(), Error> {
//!         for record in batch.records() {
//!             if record.value.is_none() {
//!                 batch.drop_record(record.index);
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! plugin!(DropEmpty);
//! # fn main() {}
//! ```
//!
//! Build it with `cargo build --release --target wasm32-unknown-unknown`, as a `cdylib`.
//!
//! Edits are made in the order of the records, one for each record at most. What is not
//! edited stays as it is, and costs nothing.
#![no_std]

extern crate alloc;

pub mod abi;
mod batch;
pub mod client;
pub mod record;
mod settings;
pub mod testing;

pub use batch::{Batch, Change, Headers, Record, Records};
pub use client::{
    Assignor, HeaderList, Member, Partition, Partitioner, Placement, Serializer, Value,
};
pub use record::{Ack, ClientRecord, Committed, ConsumerInterceptor, ProducerInterceptor};
pub use settings::Settings;

use alloc::string::String;

/// What a plugin does. All methods are called by one thread at a time.
pub trait Interceptor: Sized {
    /// Makes the plugin from the settings `plugin.<name>.config.*`. The text of an error
    /// reaches whoever loads the plugin.
    fn configure(settings: &Settings) -> Result<Self, String>;

    /// Sees a batch before it is stored.
    fn on_produce(&mut self, _batch: &mut Batch) -> Result<(), Error> {
        Ok(())
    }

    /// Sees a batch before it is sent to a reader.
    fn on_fetch(&mut self, _batch: &mut Batch) -> Result<(), Error> {
        Ok(())
    }
}

/// Why a whole batch does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The producer is told that the batch is refused, and why.
    Reject(String),
    /// The plugin cannot do its work: the error policy of the plugin decides.
    Fault(String),
}

/// How serious a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

/// Writes a line to the log of the broker, which takes a few each second.
pub fn log(level: Level, text: &str) {
    abi::log(level as u32, text.as_bytes());
}
