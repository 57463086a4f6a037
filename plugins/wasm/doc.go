// Package wasm runs plugins that are WebAssembly modules, as the plugin "wasm" of its kind:
// interceptors, and in clients partitioners, serializers, deserializers, assignors and interceptors
// of single records.
//
//	file ─▶ sha256 ─▶ fuel.Rewrite ─▶ compiled, shared ─┬▶ instance of a worker ◀─ records
//	                                                    ├▶ one warm spare
//	                                                    └▶ pool of a client ◀─ calls of any goroutine
//
// An interceptor gets the records of a batch, at most 64 KiB of them at a time, and answers a list
// of edits (package abi draws both byte by byte). It is native code that nobody can interrupt,
// so everything it may take is counted beforehand: instructions (package fuel), memory,
// stack, bytes of input and output, lines in the log.
//
// What must stay true: nothing that a guest says is believed. Pointers, lengths, counts and
// numbers of records are checked before they are used, a list of edits counts as a whole or
// not at all, and a guest that has trapped is never called again: its memory may be
// anything. Another instance takes its place.
//
// Limits are settings of the plugin (see New). What a guest can reach: its own memory,
// env.log, and of WASI only what a Go program needs to start: a clock that stands still
// between looks, and random numbers that are the same in each instance.
package wasm
