//go:build wasip1

// Command goconsumer is the consumer interceptor of testdata/kinds as a WebAssembly module.
package main

import (
	"github.com/millrace/millrace/plugins/wasm/guest"

	_ "github.com/millrace/millrace/plugins/wasm/testdata/kinds"
)

func init() { guest.Serve("consumer-interceptor", "sieve") }

func main() {}

//go:wasmexport millrace_on_consume
func onConsume(n uint32) uint64 { return guest.Call("millrace_on_consume", n) }

//go:wasmexport millrace_on_commit
func onCommit(n uint32) uint64 { return guest.Call("millrace_on_commit", n) }
