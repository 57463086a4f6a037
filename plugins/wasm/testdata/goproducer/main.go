//go:build wasip1

// Command goproducer is the producer interceptor of testdata/kinds as a WebAssembly module.
package main

import (
	"github.com/millrace/millrace/plugins/wasm/guest"

	_ "github.com/millrace/millrace/plugins/wasm/testdata/kinds"
)

func init() { guest.Serve("producer-interceptor", "origin") }

func main() {}

//go:wasmexport millrace_on_send
func onSend(n uint32) uint64 { return guest.Call("millrace_on_send", n) }

//go:wasmexport millrace_on_ack
func onAck(n uint32) uint64 { return guest.Call("millrace_on_ack", n) }
