//go:build race

package wasm

// RaceEnabled: compiling is ten times slower.
const RaceEnabled = true
