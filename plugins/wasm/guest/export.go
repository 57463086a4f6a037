//go:build wasip1

package guest

import "unsafe"

// served is the guest of this module: an instance of a module is one guest.
var served = New("")

// Serve says which interceptor the module is. For init.
func Serve(name string) { served.name = name }

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

//go:wasmexport millrace_on_produce
func onProduce(n uint32) uint64 { return packed(served.OnProduce(n)) }

//go:wasmexport millrace_on_fetch
func onFetch(n uint32) uint64 { return packed(served.OnFetch(n)) }
