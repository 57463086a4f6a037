// Package built holds modules for tests and measurements.
package built

import _ "embed"

// Mask is guest/rust/examples/mask.rs, as `make guests` builds it.
//
//go:embed mask.wasm
var Mask []byte

// Endless is a guest that loops for ever in on_produce.
//
//go:embed endless.wasm
var Endless []byte
