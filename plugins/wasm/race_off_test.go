//go:build !race

package wasm

const RaceEnabled = false
