// Package plugin is what `millrace plugin` does: it begins projects, builds brokers with
// plugins in them, makes WebAssembly modules of plugins, and loads those into brokers that
// run.
//
//	new      a project that builds and tests, from template/
//	build    a generated main ─▶ go build ─▶ a broker with plugins compiled in
//	wasm     the same package ─▶ go build or cargo ─▶ a module
//	verify   what a module is, and whether a broker would take it
//	load …   a file in plugin.dir, and the settings of the broker that name it
package plugin
