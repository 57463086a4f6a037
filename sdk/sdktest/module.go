package sdktest

import (
	"errors"
	"time"

	"github.com/millrace/millrace/plugins/wasm"
)

// checkModule compares what the module answers with what the native plugin does.
func checkModule(t T, s Subject) {
	native, err := s.native()
	if err != nil {
		t.Fatalf("make the plugin: %v", err)
		return
	}
	defer closed(native)
	// The largest batch must be answered on a slow machine too.
	module, err := s.module(patient)
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(module)
	for _, g := range Goldens() {
		for _, fetch := range []bool{false, true} {
			want := answers(t, native, g, fetch)
			if got := answers(t, module, g, fetch); got != want && !s.Unstable {
				t.Errorf("%s: the module answers\n%.400s\nand the native plugin\n%.400s", g.Name, got, want)
			}
		}
	}
}

// checkLimits takes away what the module needs. It must be cut off, the batch must stay as
// it was, and the next instance must work.
func checkLimits(t T, s Subject) {
	if starved, err := s.module(map[string]string{"memory.max": "65536"}); err == nil {
		t.Errorf("the module starts with 64 KiB of memory, which it cannot")
		closed(starved)
	}
	hungry, err := s.module(map[string]string{"fuel": "1000", "fuel.per.kib": "0"})
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(hungry)
	g := Golden{"many", build(shapes()["many"], noProducer)}
	for n := range 3 {
		b, _, err := open(g)
		if err != nil {
			t.Fatalf("%v", err)
			return
		}
		begin := time.Now()
		if _, err := call(hungry, b, false); !errors.Is(err, wasm.ErrFuel) {
			t.Errorf("call %d of the module without fuel gave %v", n, err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("call %d of the module without fuel took %v", n, took)
		}
		if b.Changed() {
			t.Errorf("call %d of the module without fuel has changed the batch", n)
		}
	}
}
