//go:build wasip1

package guest

import (
	"unsafe"

	"github.com/millrace/millrace/plugins/wasm/abi"
)

// served is the guest of this module: an instance of a module is one guest.
var served = New("interceptor", "")

// Serve says which plugin the module is. For init.
func Serve(kind, name string) { served.kind, served.name = kind, name }

// FailsClosed says that the module exports millrace_fail_closed. For init.
func FailsClosed() { served.FailsClosed() }

// Call has the plugin do what an export of that name is for, with the first n bytes of the
// input.
func Call(export string, n uint32) uint64 {
	if export == abi.Partition {
		return served.Partition(n)
	}
	return packed(served.Answer(export, n))
}

func packed(p []byte) uint64 {
	if len(p) == 0 {
		return 0
	}
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))<<32 | uint64(len(p))
}

//go:wasmexport millrace_plugin_abi_v1
func marker() {}

//go:wasmexport millrace_alloc_in
func alloc(n uint32) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(served.Alloc(n)))))
}

//go:wasmexport millrace_configure
func configure(n uint32) uint64 { return packed(served.Configure(n)) }
