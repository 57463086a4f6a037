package wasm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// key is what makes two compiled modules the same.
type key struct {
	sum   [sha256.Size]byte
	pages uint32
	start int64
}

// module is a compiled file. All who use the file share it, in a runtime of its own, so that
// nothing is left of it when the last of them has gone.
type module struct {
	key      key
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	fields   bool // it wants to be told where fields are
	users    int  // and those who wait for it
	lines    lines

	done   chan struct{} // closed once it is compiled, or
	failed error         // cannot be
}

// shelf has the modules that are in use or being compiled. Compiling takes up to some seconds, which
// nobody should do twice, nor wait for who wants another module or gives one back; workers come and go
// at any time, on any goroutine.
var shelf struct {
	sync.Mutex //nolint:forbidigo // a registry for the whole process, used when plugins are loaded and closed and never by a call, nor while anything is compiled
	modules    map[key]*module
}

// take finds or makes the compiled module of a file, which must be of that kind.
//
// Ownership: of the caller, until give.
func take(ctx context.Context, s *settings, wanted kind) (*module, error) {
	file, err := s.file()
	if err != nil {
		return nil, err
	}
	k := key{sha256.Sum256(file), s.pages(), s.starting}
	if s.sum != nil && !slices.Equal(s.sum, k.sum[:]) {
		return nil, fmt.Errorf("%s has the SHA-256 %s and not the one that sha256 pins: put back the file, or pin the new one", s.path, hex.EncodeToString(k.sum[:]))
	}
	m, first := reach(k)
	if first {
		m.compile(ctx, file, s.rewriting())
	}
	<-m.done
	switch {
	case m.failed != nil:
		err = fmt.Errorf("load %s: %w", s.path, m.failed)
	case !m.is(wanted):
		err = fmt.Errorf("load %s: %w: it does not export %s", s.path, fuel.ErrRefused, strings.Join(wanted.needs, " or "))
	default:
		return m, nil
	}
	return nil, errors.Join(err, m.give(ctx))
}

// reach takes a module from the shelf. Who is the first compiles it.
func reach(k key) (m *module, first bool) {
	shelf.Lock()
	defer shelf.Unlock()
	if shelf.modules == nil {
		shelf.modules = make(map[key]*module)
	}
	if m = shelf.modules[k]; m == nil {
		m, first = &module{key: k, done: make(chan struct{})}, true
		shelf.modules[k] = m
	}
	m.users++
	return m, first
}

// give gives the module back.
func (m *module) give(ctx context.Context) error {
	shelf.Lock()
	m.users--
	last := m.users == 0
	if last {
		delete(shelf.modules, m.key)
	}
	shelf.Unlock()
	if !last || m.runtime == nil {
		return nil
	}
	return m.runtime.Close(ctx)
}

// compile compiles the module. Whoever waits for it goes on, whatever becomes of it.
func (m *module) compile(ctx context.Context, file []byte, o fuel.Options) {
	defer close(m.done)
	defer func() {
		if cause := recover(); cause != nil {
			m.failed = fmt.Errorf("its compiler has panicked: %v", cause)
		}
	}()
	m.failed = m.translate(ctx, file, o)
}

// translate rewrites and compiles the module, and gives it the functions that it imports. Whoever gives it back last
// closes what there is by then.
func (m *module) translate(ctx context.Context, file []byte, o fuel.Options) error {
	counting, err := fuel.Rewrite(ctx, file, o)
	if err != nil {
		return err
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(fuel.Features).WithDebugInfoEnabled(false))
	if m.compiled, err = m.runtime.CompileModule(ctx, counting); err != nil {
		return err
	}
	m.fields = m.compiled.ExportedFunctions()[abi.Fields] != nil
	if err := checkExports(m.compiled); err != nil {
		return err
	}
	return provide(ctx, m.runtime, m.compiled.ImportedFunctions())
}

var (
	i32 = []api.ValueType{api.ValueTypeI32}
	i64 = []api.ValueType{api.ValueTypeI64}
)

// exports are the functions that the host calls.
var exports = []struct {
	name            string
	params, results []api.ValueType
	needed          bool
}{
	{abi.Alloc, i32, i32, true},
	{abi.Configure, i32, i64, false},
	{abi.OnProduce, i32, i64, false},
	{abi.OnFetch, i32, i64, false},
	{abi.Initialize, nil, nil, false},
	{abi.Partition, i32, i64, false},
	{abi.OnNewBatch, i32, i64, false},
	{abi.Serialize, i32, i64, false},
	{abi.Deserialize, i32, i64, false},
	{abi.Assignor, i32, i64, false},
	{abi.Assign, i32, i64, false},
	{abi.UserData, i32, i64, false},
	{abi.OnSend, i32, i64, false},
	{abi.OnAck, i32, i64, false},
	{abi.OnConsume, i32, i64, false},
	{abi.OnCommit, i32, i64, false},
}

// kind is a kind of plugin that modules can be.
type kind struct {
	name  string
	needs []string // one of these at least
}

// The kinds. A module may be of several.
var (
	interceptors  = kind{"interceptor", []string{abi.OnProduce, abi.OnFetch}}
	partitioners  = kind{"partitioner", []string{abi.Partition}}
	serializers   = kind{"serializer", []string{abi.Serialize}}
	deserializers = kind{"deserializer", []string{abi.Deserialize}}
	assignors     = kind{"assignor", []string{abi.Assign}}
	sending       = kind{"producer-interceptor", []string{abi.OnSend}}
	consuming     = kind{"consumer-interceptor", []string{abi.OnConsume}}
	kinds         = []kind{interceptors, partitioners, serializers, deserializers, assignors, sending, consuming}
	whatever      = kind{"", []string{abi.Alloc}} // which all have
)

// of reports whether a module with those exports is of the kind.
func (k kind) of(functions map[string]api.FunctionDefinition) bool {
	return slices.ContainsFunc(k.needs, func(name string) bool { return functions[name] != nil })
}

func (m *module) is(k kind) bool { return k.of(m.compiled.ExportedFunctions()) }

// checkExports looks whether the module is a plugin, of this version of the ABI.
func checkExports(c wazero.CompiledModule) error {
	functions := c.ExportedFunctions()
	if functions[abi.Marker] == nil {
		return fmt.Errorf("%w: it does not export %s: it is no plugin, or one for another version", fuel.ErrRefused, abi.Marker)
	}
	if c.ExportedMemories()["memory"] == nil {
		return fmt.Errorf("%w: it does not export its memory as memory", fuel.ErrRefused)
	}
	for _, want := range exports {
		f := functions[want.name]
		switch {
		case f == nil && want.needed:
			return fmt.Errorf("%w: it does not export %s", fuel.ErrRefused, want.name)
		case f != nil && (!slices.Equal(f.ParamTypes(), want.params) || !slices.Equal(f.ResultTypes(), want.results)):
			return fmt.Errorf("%w: its %s has the wrong parameters or results", fuel.ErrRefused, want.name)
		}
	}
	for _, k := range kinds {
		if k.of(functions) {
			return nil
		}
	}
	return fmt.Errorf("%w: it exports nothing that a plugin does, such as %s, %s, %s, %s, %s, %s or %s", fuel.ErrRefused, abi.OnProduce, abi.Partition, abi.Serialize, abi.Deserialize, abi.Assign, abi.OnSend, abi.OnConsume)
}
