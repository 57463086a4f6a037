package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/millrace/millrace/plugins/mask" // the one that is compiled in
	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/millrace/millrace/plugins/wasm/testdata/mask"
	"github.com/millrace/millrace/sdk"
	"github.com/tetratelabs/wazero"
)

// rust is a module that was built of guest/rust/examples; CI sees that it still is.
func rust(t testing.TB, name string) []byte {
	t.Helper()
	module, err := os.ReadFile("testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// goGuest is the module of a program in testdata.
func goGuest(program string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "millrace-guest-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", file, "./testdata/"+program)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(file)
}

var goMask = sync.OnceValues(func() ([]byte, error) { return goGuest("goguest") })

func fromGo(t testing.TB) []byte {
	t.Helper()
	module, err := goMask()
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func TestExamplesInRust(t *testing.T) {
	filter := mustLoad(t, rust(t, "filter"), map[string]string{"config.prefix": "de", "config.topic": "elsewhere", "config.max": "5"})
	b := records(t, "one", "debug")
	if err := filter.OnProduce(b); err != nil || text(b) != "0 k=one" || b.Edits()[1].Topic != "elsewhere" {
		t.Errorf("the filter made %q: %v", text(b), err)
	}
	var rejected *sdk.Rejection
	if err := filter.OnProduce(records(t, "one", "longer")); !errors.As(err, &rejected) || rejected.Reason != "record 1 has 6 bytes" {
		t.Errorf("a large record gave %v", err)
	}
	if _, err := load(t, rust(t, "filter"), map[string]string{"config.maximum": "5"}); err == nil || !strings.Contains(err.Error(), "unknown setting maximum") {
		t.Errorf("a misspelt setting gave %v", err)
	}
	stamp := mustLoad(t, rust(t, "stamp"), map[string]string{"config.value": "here"})
	b = records(t, "one")
	if err := stamp.OnFetch(b); err != nil || text(b) != "0 k=one origin:here" {
		t.Errorf("the stamp made %q: %v", text(b), err)
	}
	if !mustLoad(t, rust(t, "mask"), nil).FailClosed() {
		t.Error("the mask does not fail closed")
	}
}

// The mask in Rust looks at bytes in steps: what is mostly digits shows whether it steps over any.
func TestTheMaskInRustFindsWhatTheNativeOneDoes(t *testing.T) {
	native, err := mask.New(sdk.Config{})
	if err != nil {
		t.Fatal(err)
	}
	module, random := mustLoad(t, rust(t, "mask"), nil), rand.New(rand.NewPCG(16, 1))
	for range 20 {
		values := make([]string, 100)
		for i := range values {
			value := []byte(strings.Repeat("7", random.IntN(150)))
			for range random.IntN(12) * len(value) / 60 {
				value[random.IntN(len(value))] = "x\xb7/:"[random.IntN(4)]
			}
			values[i] = string(value)
		}
		want, got := records(t, values...), records(t, values...)
		if err := errors.Join(native.OnProduce(want), module.OnProduce(got)); err != nil || text(got) != text(want) {
			t.Fatalf("%v: of %q it makes %q, want %q", err, values, text(got), text(want))
		}
	}
}

// raw runs a module without the plugin around it: input in, list of edits out.
func raw(t *testing.T, module []byte, input []byte) []byte {
	t.Helper()
	host := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCoreFeatures(fuel.Features))
	defer func() { _ = host.Close(context.Background()) }()
	compiled, err := host.CompileModule(t.Context(), module)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{now: epoch, lines: new(lines)}
	ctx := context.WithValue(t.Context(), instanceKey{}, i)
	i.startCalls = -1 << 30
	if err := provide(ctx, host, compiled.ImportedFunctions()); err != nil {
		t.Fatal(err)
	}
	mod, err := host.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	if g := mod.ExportedGlobal(fuel.FuelExport); g != nil {
		g.(interface{ Set(uint64) }).Set(1 << 40)
	}
	call := func(name string, arguments ...uint64) uint64 {
		f := mod.ExportedFunction(name)
		if f == nil {
			return 0
		}
		results, err := f.Call(ctx, arguments...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(results) == 0 {
			return 0
		}
		return results[0]
	}
	call(abi.Initialize)
	at := uint32(call(abi.Alloc, uint64(len(input))))
	if call(abi.Configure, 0) != 0 || !mod.Memory().Write(at, input) {
		t.Fatal("the guest does not start")
	}
	packed := call(abi.OnProduce, uint64(len(input)))
	list, ok := mod.Memory().Read(uint32(packed>>32), uint32(packed))
	if !ok {
		t.Fatal("the answer lies outside of memory")
	}
	return bytes.Clone(list)
}

func TestGuestsAnswerTheSameWithFuel(t *testing.T) {
	modules := map[string][]byte{"Rust": rust(t, "mask")}
	if !RaceEnabled {
		modules["Go"] = fromGo(t)
	}
	for name, module := range modules {
		t.Run(name, func(t *testing.T) {
			counting, err := fuel.Rewrite(t.Context(), module, fuel.Options{MemoryPages: 256, Start: 1 << 40, Allowed: allowed})
			if err != nil {
				t.Fatal(err)
			}
			b := cards(t)
			shown := whole(b)
			input := make([]byte, shown.size(b))
			shown.encode(input, b)
			want, got := raw(t, module, input), raw(t, counting, input)
			if !bytes.Equal(got, want) || binary.LittleEndian.Uint32(want[4:]) != 15 {
				t.Errorf("%d bytes became %d, %d edits", len(want), len(got), binary.LittleEndian.Uint32(want[4:]))
			}
		})
	}
}

// cards are 149 records of 100 bytes, of which every tenth has the number of a card.
func cards(t testing.TB) *sdk.Batch {
	t.Helper()
	values := make([]string, 149)
	for i := range values {
		values[i] = strings.Repeat("abcdefghi ", 10)
		if i%10 == 0 {
			values[i] = strings.Repeat("abcdefghi ", 4) + "4111111111111111" + strings.Repeat("x", 44)
		}
	}
	return records(t, values...)
}

// allCards are as many records of a hundred random bytes, each with a number in the middle, as row
// 24 of the table of limits has them.
func allCards(t testing.TB) *sdk.Batch {
	t.Helper()
	random := rand.New(rand.NewPCG(24, 1))
	values := make([]string, 149)
	for i := range values {
		value := make([]byte, 100)
		for j := range value {
			if value[j] = byte(random.Uint32()); j >= 42 && j < 58 {
				value[j] = '0' + byte(random.IntN(10))
			}
		}
		values[i] = string(value)
	}
	return records(t, values...)
}

// The same mask, in nanoseconds for each record of a batch of 16 KiB.
func BenchmarkMask(b *testing.B) {
	for name, plugin := range map[string]func(b *testing.B) sdk.Interceptor{
		"none": func(*testing.B) sdk.Interceptor { return nil },
		"native": func(b *testing.B) sdk.Interceptor {
			native, err := sdk.Interceptors.New("mask", sdk.NewConfig(map[string]string{"digits": "16"}))
			if err != nil {
				b.Fatal(err)
			}
			return native
		},
		"Rust": func(b *testing.B) sdk.Interceptor { return mustLoad(b, rust(b, "mask"), nil) },
		"Go":   func(b *testing.B) sdk.Interceptor { return mustLoad(b, fromGo(b), nil) },
	} {
		b.Run(name, func(b *testing.B) {
			made := plugin(b)
			b.Run("all", func(b *testing.B) { benchmarkMask(b, made, allCards(b)) })
			b.Run("tenth", func(b *testing.B) { benchmarkMask(b, made, cards(b)) })
		})
	}
}

func benchmarkMask(b *testing.B, plugin sdk.Interceptor, in *sdk.Batch) {
	whole, section := append([]byte(nil), in.Header...), in.Section()
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var spent time.Duration
	for b.Loop() {
		if err := in.Open(whole, section); err != nil {
			b.Fatal(err)
		}
		if plugin == nil {
			continue
		}
		begin := time.Now()
		if err := plugin.OnProduce(in); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(begin)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/149, "ns/record")
}
