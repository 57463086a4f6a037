//! What stands between a plugin and the host. [`plugin!`](crate::plugin) and its like use it.

use crate::batch::{Batch, FAULT, REJECT};
use crate::{Error, Interceptor, Settings};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;

#[cfg(target_arch = "wasm32")]
mod host {
    #[link(wasm_import_module = "env")]
    extern "C" {
        pub fn log(level: u32, text: *const u8, size: usize);
    }
}

pub(crate) fn log(level: u32, text: &[u8]) {
    #[cfg(target_arch = "wasm32")]
    // SAFETY: the host reads so many bytes and keeps none.
    unsafe {
        host::log(level, text.as_ptr(), text.len())
    }
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, text);
}

/// A plugin, its input and its output.
pub struct Guest<T>(UnsafeCell<State<T>>);

struct State<T> {
    plugin: Option<T>,
    input: Vec<u8>,
    output: Vec<u8>,
    table: Vec<u8>, // of fields, for a host that has none
}

// SAFETY: the host calls an instance from one thread at a time, and never from within a call.
unsafe impl<T> Sync for Guest<T> {}

impl<T> Guest<T> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Guest<T> {
        Guest(UnsafeCell::new(State {
            plugin: None,
            input: Vec::new(),
            output: Vec::new(),
            table: Vec::new(),
        }))
    }

    #[allow(clippy::mut_from_ref)]
    fn state(&self) -> &mut State<T> {
        // SAFETY: see above; no reference outlives the call of the host that it was made in.
        unsafe { &mut *self.0.get() }
    }

    /// Room for input.
    pub fn alloc_in(&self, size: u32) -> u32 {
        let input = &mut self.state().input;
        input.clear();
        input.resize(size as usize, 0);
        input.as_ptr() as usize as u32
    }

    /// Makes the plugin from the settings in the input.
    pub fn configure(&self, size: u32, make: fn(&Settings) -> Result<T, String>) -> u64 {
        let state = self.state();
        let made = match Settings::decode(&state.input[..size as usize]) {
            Some(settings) => make(&settings),
            None => Err(String::from("the settings are no text")),
        };
        match made {
            Ok(plugin) => {
                state.plugin = Some(plugin);
                0
            }
            Err(why) => {
                state.output = why.into_bytes();
                state.output.truncate(1024);
                packed(&state.output, state.output.len())
            }
        }
    }

    /// Has the plugin answer a number to the input.
    pub fn number(&self, size: u32, f: fn(&mut T, &[u8]) -> u64) -> u64 {
        let state = self.state();
        let Some(plugin) = state.plugin.as_mut() else {
            panic!("the plugin was not configured");
        };
        f(plugin, &state.input[..size as usize])
    }

    /// Has the plugin write an answer to the input.
    pub fn answer(&self, size: u32, f: fn(&mut T, &[u8], &mut Vec<u8>)) -> u64 {
        let state = self.state();
        let Some(plugin) = state.plugin.as_mut() else {
            panic!("the plugin was not configured");
        };
        state.output.clear();
        f(plugin, &state.input[..size as usize], &mut state.output);
        packed(&state.output, state.output.len())
    }
}

impl<T: Interceptor> Guest<T> {
    /// Shows the plugin the batch in the input.
    pub fn call(&self, size: u32, f: fn(&mut T, &mut Batch) -> Result<(), Error>) -> u64 {
        let state = self.state();
        let Some(plugin) = state.plugin.as_mut() else {
            return 0;
        };
        let input = &mut state.input[..size as usize];
        let Some(mut batch) = Batch::open(input, &mut state.output, &mut state.table) else {
            panic!("the input is no batch of this version");
        };
        let size = match f(plugin, &mut batch) {
            Ok(()) => batch.finish(),
            Err(Error::Reject(why)) => batch.finish_with(REJECT, &why),
            Err(Error::Fault(why)) => batch.finish_with(FAULT, &why),
        };
        if size == 0 {
            return 0;
        }
        packed(&state.output, size)
    }
}

fn packed(p: &[u8], size: usize) -> u64 {
    u64::from(p.as_ptr() as usize as u32) << 32 | size as u64
}

/// What modules of all kinds export.
#[doc(hidden)]
#[macro_export]
macro_rules! guest {
    ($plugin:ty, $kind:ident) => {
        static MILLRACE_GUEST: $crate::abi::Guest<$plugin> = $crate::abi::Guest::new();

        #[no_mangle]
        pub extern "C" fn millrace_plugin_abi_v1() {}

        #[no_mangle]
        pub extern "C" fn millrace_alloc_in(size: u32) -> u32 {
            MILLRACE_GUEST.alloc_in(size)
        }

        #[no_mangle]
        pub extern "C" fn millrace_configure(size: u32) -> u64 {
            MILLRACE_GUEST.configure(size, <$plugin as $crate::$kind>::configure)
        }
    };
}

/// Makes a module of an interceptor. `plugin!(Mask)`, or `plugin!(Mask, fail_closed)` for one
/// that records must never get past unseen.
#[macro_export]
macro_rules! plugin {
    ($plugin:ty) => {
        $crate::guest!($plugin, Interceptor);

        #[no_mangle]
        pub extern "C" fn millrace_fields() {}

        #[no_mangle]
        pub extern "C" fn millrace_on_produce(size: u32) -> u64 {
            MILLRACE_GUEST.call(size, <$plugin as $crate::Interceptor>::on_produce)
        }

        #[no_mangle]
        pub extern "C" fn millrace_on_fetch(size: u32) -> u64 {
            MILLRACE_GUEST.call(size, <$plugin as $crate::Interceptor>::on_fetch)
        }
    };
    ($plugin:ty, fail_closed) => {
        $crate::plugin!($plugin);

        #[no_mangle]
        pub extern "C" fn millrace_fail_closed() {}
    };
}

/// Makes a module of a [`Partitioner`](crate::Partitioner).
#[macro_export]
macro_rules! partitioner {
    ($plugin:ty) => {
        $crate::guest!($plugin, Partitioner);

        #[no_mangle]
        pub extern "C" fn millrace_leader_racks() {}

        #[no_mangle]
        pub extern "C" fn millrace_partition(size: u32) -> u64 {
            MILLRACE_GUEST.number(size, $crate::client::partition::<$plugin>)
        }

        #[no_mangle]
        pub extern "C" fn millrace_on_new_batch(size: u32) -> u64 {
            MILLRACE_GUEST.number(size, $crate::client::on_new_batch::<$plugin>)
        }
    };
}

/// Makes a module of a [`Serializer`](crate::Serializer).
#[macro_export]
macro_rules! serializer {
    ($plugin:ty) => {
        $crate::guest!($plugin, Serializer);

        #[no_mangle]
        pub extern "C" fn millrace_serialize(size: u32) -> u64 {
            MILLRACE_GUEST.answer(size, $crate::client::serialize::<$plugin>)
        }

        #[no_mangle]
        pub extern "C" fn millrace_deserialize(size: u32) -> u64 {
            MILLRACE_GUEST.answer(size, $crate::client::deserialize::<$plugin>)
        }
    };
}

/// Makes a module of an [`Assignor`](crate::Assignor).
#[macro_export]
macro_rules! assignor {
    ($plugin:ty) => {
        $crate::guest!($plugin, Assignor);

        #[no_mangle]
        pub extern "C" fn millrace_assignor(size: u32) -> u64 {
            MILLRACE_GUEST.answer(size, $crate::client::introduce::<$plugin>)
        }

        #[no_mangle]
        pub extern "C" fn millrace_assign(size: u32) -> u64 {
            MILLRACE_GUEST.answer(size, $crate::client::assign::<$plugin>)
        }

        #[no_mangle]
        pub extern "C" fn millrace_user_data(size: u32) -> u64 {
            MILLRACE_GUEST.answer(size, $crate::client::user_data::<$plugin>)
        }
    };
}

/// Makes a module of a [`ProducerInterceptor`](crate::ProducerInterceptor).
#[macro_export]
macro_rules! producer_interceptor {
    ($plugin:ty) => {
        $crate::guest!($plugin, ProducerInterceptor);

        #[no_mangle]
        pub extern "C" fn millrace_on_send(size: u32) -> u64 {
            MILLRACE_GUEST.answer(size, $crate::record::on_send::<$plugin>)
        }

        #[no_mangle]
        pub extern "C" fn millrace_on_ack(size: u32) -> u64 {
            MILLRACE_GUEST.number(size, $crate::record::on_ack::<$plugin>)
        }
    };
}

/// Makes a module of a [`ConsumerInterceptor`](crate::ConsumerInterceptor).
#[macro_export]
macro_rules! consumer_interceptor {
    ($plugin:ty) => {
        $crate::guest!($plugin, ConsumerInterceptor);

        #[no_mangle]
        pub extern "C" fn millrace_on_consume(size: u32) -> u64 {
            MILLRACE_GUEST.answer(size, $crate::record::on_consume::<$plugin>)
        }

        #[no_mangle]
        pub extern "C" fn millrace_on_commit(size: u32) -> u64 {
            MILLRACE_GUEST.number(size, $crate::record::on_commit::<$plugin>)
        }
    };
}
