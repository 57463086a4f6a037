package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/millrace/millrace/plugins/wasm/fuel"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

const (
	wasiModule = "wasi_snapshot_preview1"
	logModule  = "env"
	logName    = "log"

	// hostCall is what a call of the host costs; each byte that it handles costs one more.
	hostCall = 1024
	// startCalls is how often a start section, which no fuel can be taken from, may call the host.
	startCalls = 1000

	maxLine   = 1 << 10 // bytes of a line of the log
	maxLines  = 20      // lines of one module in a second
	maxRandom = 4 << 10
	// randomByte is what a byte of them costs: with the memory that it takes, more than an instruction.
	randomByte = 8
	maxVector  = 16 // buffers of one fd_write
)

// What WASI calls errors.
const (
	wasiBadFile = 8
	wasiInvalid = 28
	wasiNone    = 52 // no such function
)

// errHost is what a guest that misuses the host traps with.
var errHost = errors.New("the guest called the host too often, or with what it may not")

// wasiNames are the functions of WASI that a guest may name. Those without a body of ours
// answer that they do not exist: no files, no sockets, no environment.
var wasiNames = strings.Fields(`args_get args_sizes_get clock_res_get clock_time_get environ_get environ_sizes_get
	fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get
	fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read fd_readdir
	fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory path_filestat_get path_filestat_set_times path_link
	path_open path_readlink path_remove_directory path_rename path_symlink path_unlink_file poll_oneoff proc_exit
	proc_raise random_get sched_yield sock_accept sock_recv sock_send sock_shutdown`)

func allowed(from, name string) bool {
	return from == logModule && name == logName || from == wasiModule && slices.Contains(wasiNames, name)
}

// hostFunction is a function of ours. It reads its parameters from stack and writes its
// result there.
type hostFunction struct {
	params, results string
	run             func(i *instance, mod api.Module, stack []uint64)
}

var hostFunctions = map[string]hostFunction{
	logModule + "." + logName:             {"iii", "", (*instance).log},
	wasiModule + ".args_sizes_get":        {"ii", "i", (*instance).nothing},
	wasiModule + ".args_get":              {"ii", "i", func(*instance, api.Module, []uint64) {}},
	wasiModule + ".environ_sizes_get":     {"ii", "i", (*instance).nothing},
	wasiModule + ".environ_get":           {"ii", "i", func(*instance, api.Module, []uint64) {}},
	wasiModule + ".clock_time_get":        {"iIi", "i", (*instance).clock},
	wasiModule + ".random_get":            {"ii", "i", (*instance).random},
	wasiModule + ".fd_write":              {"iiii", "i", (*instance).write},
	wasiModule + ".poll_oneoff":           {"iiii", "i", (*instance).poll},
	wasiModule + ".sched_yield":           {"", "i", func(*instance, api.Module, []uint64) {}},
	wasiModule + ".proc_exit":             {"i", "", exit},
	wasiModule + ".fd_prestat_get":        {"ii", "i", badFile},
	wasiModule + ".fd_fdstat_get":         {"ii", "i", badFile},
	wasiModule + ".fd_fdstat_set_flags":   {"ii", "i", badFile},
	wasiModule + ".fd_filestat_get":       {"ii", "i", badFile},
	wasiModule + ".fd_close":              {"i", "i", badFile},
	wasiModule + ".fd_prestat_dir_name":   {"iii", "i", badFile},
	wasiModule + ".fd_read":               {"iiii", "i", badFile},
	wasiModule + ".fd_fdstat_set_rights":  {"iII", "i", badFile},
	wasiModule + ".fd_filestat_set_times": {"iIIi", "i", badFile},
}

// provide makes the host's modules, with just what a guest imports.
func provide(ctx context.Context, runtime wazero.Runtime, imports []api.FunctionDefinition) error {
	builders := make(map[string]wazero.HostModuleBuilder)
	for _, i := range imports {
		from, name, _ := i.Import()
		f, ours := hostFunctions[from+"."+name]
		if !ours {
			if !slices.Equal(i.ResultTypes(), i32) {
				return fmt.Errorf("%w: its import %s.%s has the wrong type", fuel.ErrRefused, from, name)
			}
			f.run = missing
		} else if !slices.Equal(i.ParamTypes(), types(f.params)) || !slices.Equal(i.ResultTypes(), types(f.results)) {
			return fmt.Errorf("%w: its import %s.%s has the wrong type", fuel.ErrRefused, from, name)
		}
		if builders[from] == nil {
			builders[from] = runtime.NewHostModuleBuilder(from)
		}
		builders[from].NewFunctionBuilder().WithGoModuleFunction(called(f.run, len(i.ResultTypes()) > 0), i.ParamTypes(), i.ResultTypes()).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

func types(letters string) []api.ValueType {
	t := make([]api.ValueType, 0, len(letters))
	for _, letter := range letters {
		t = append(t, map[rune]api.ValueType{'i': api.ValueTypeI32, 'I': api.ValueTypeI64}[letter])
	}
	return t
}

// called takes the price of a call off the fuel of whoever calls. What answers a number
// answers 0, which is success, unless it says otherwise.
func called(run func(*instance, api.Module, []uint64), answers bool) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		i, ok := ctx.Value(instanceKey{}).(*instance)
		if !ok {
			panic(errHost)
		}
		i.pay(hostCall)
		i.answered = false
		run(i, mod, stack)
		if answers && !i.answered {
			stack[0] = 0
		}
	}
}

// answer is the result of a host function that is not 0.
func (i *instance) answer(stack []uint64, result uint64) {
	stack[0], i.answered = result, true
}

// pay takes units off the fuel.
func (i *instance) pay(units int64) {
	if i.fuel == nil {
		if i.startCalls++; i.startCalls > startCalls {
			panic(errHost)
		}
		return
	}
	left := int64(i.fuel.Get()) - units
	i.fuel.Set(uint64(left))
	if left < 0 {
		panic(errHost)
	}
}

func missing(i *instance, _ api.Module, stack []uint64) { i.answer(stack, wasiNone) }
func badFile(i *instance, _ api.Module, stack []uint64) { i.answer(stack, wasiBadFile) }

func exit(_ *instance, _ api.Module, stack []uint64) { panic(sys.NewExitError(uint32(stack[0]))) }

// put writes a number to the memory of the guest.
func (i *instance) put(mod api.Module, at uint64, number []byte) bool {
	memory := mod.Memory()
	return memory != nil && memory.Write(uint32(at), number)
}

// nothing says that there are no arguments, and no variables.
func (i *instance) nothing(mod api.Module, stack []uint64) {
	if !i.put(mod, stack[0], make([]byte, 4)) || !i.put(mod, stack[1], make([]byte, 4)) {
		i.answer(stack, wasiInvalid)
	}
}

// clock is a clock that moves by a microsecond with each look.
func (i *instance) clock(mod api.Module, stack []uint64) {
	i.now += uint64(time.Microsecond)
	if !i.put(mod, stack[2], binary.LittleEndian.AppendUint64(nil, i.now)) {
		i.answer(stack, wasiInvalid)
	}
}

// random gives the same numbers to each instance (splitmix64).
func (i *instance) random(mod api.Module, stack []uint64) {
	n := uint32(stack[1])
	if n > maxRandom {
		i.answer(stack, wasiInvalid)
		return
	}
	i.pay(int64(n) * randomByte)
	numbers := make([]byte, 0, n+8)
	for len(numbers) < int(n) {
		i.seed += 0x9e3779b97f4a7c15
		z := i.seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		numbers = binary.LittleEndian.AppendUint64(numbers, z^z>>31)
	}
	if !i.put(mod, stack[0], numbers[:n]) {
		i.answer(stack, wasiInvalid)
	}
}

// poll is how a Go program sleeps: the time has passed at once.
func (i *instance) poll(mod api.Module, stack []uint64) {
	i.now += uint64(time.Millisecond)
	if !i.put(mod, stack[3], make([]byte, 4)) {
		i.answer(stack, wasiInvalid)
	}
}

// write is standard output and standard error, which go to the log.
func (i *instance) write(mod api.Module, stack []uint64) {
	file, vectors, count, written := uint32(stack[0]), uint32(stack[1]), uint32(stack[2]), stack[3]
	memory := mod.Memory()
	if file != 1 && file != 2 || count > maxVector || memory == nil {
		i.answer(stack, wasiBadFile)
		return
	}
	var text []byte
	var total uint32
	for n := range count {
		at, ok := memory.ReadUint32Le(vectors + 8*n)
		size, ok2 := memory.ReadUint32Le(vectors + 8*n + 4)
		part, ok3 := memory.Read(at, min(size, maxLine))
		if !ok || !ok2 || !ok3 {
			i.answer(stack, wasiInvalid)
			return
		}
		text = append(text, part...)
		total += size
	}
	i.pay(int64(len(text)))
	i.line(slog.LevelWarn, text)
	if !i.put(mod, written, binary.LittleEndian.AppendUint32(nil, total)) {
		i.answer(stack, wasiInvalid)
	}
}

// log is env.log(level, pointer, length): levels are 0 debug, 1 info, 2 warning, 3 error.
func (i *instance) log(mod api.Module, stack []uint64) {
	level, at, size := uint32(stack[0]), uint32(stack[1]), min(uint32(stack[2]), maxLine)
	i.pay(int64(size))
	memory := mod.Memory()
	if memory == nil {
		return
	}
	if text, ok := memory.Read(at, size); ok {
		i.line(slog.LevelDebug+slog.Level(4*min(level, 3)), text)
	}
}

// line logs a line, if there were not too many in this second.
func (i *instance) line(level slog.Level, text []byte) {
	more, silenced := i.lines.take(time.Now().Unix())
	if silenced > 0 {
		slog.Warn("a plugin logged too much", "plugin", i.name, "lines left out", silenced)
	}
	if !more {
		return
	}
	clean := strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(string(text[:min(len(text), maxLine)]), "?")))
	if clean != "" {
		slog.Log(context.Background(), level, clean, "plugin", i.name)
	}
}

func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// lines counts the lines that all instances of a module log. Any goroutine.
type lines struct{ second, taken atomic.Int64 }

// take reports whether there may be one more in this second, and how many were left out when
// another second has begun.
func (l *lines) take(second int64) (more bool, silenced int64) {
	if before := l.second.Load(); before != second && l.second.CompareAndSwap(before, second) {
		silenced = max(0, l.taken.Swap(0)-maxLines)
	}
	return l.taken.Add(1) <= maxLines, silenced
}
