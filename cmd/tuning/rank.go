package tuning

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Classes of work, by what the innermost telling function is.
const (
	Plugin    = "plugin"
	GC        = "gc"
	Allocate  = "allocate"
	Codec     = "codec"
	Checksum  = "checksum"
	Network   = "network"   // system calls on sockets
	Disk      = "disk"      // system calls on files
	Copy      = "copy"      // moving and clearing memory
	Lock      = "lock"      // mutexes of the program and of the runtime
	Scheduler = "scheduler" // of goroutines
	Code      = "code"      // all else: the program itself
)

// Keys of labels that a broker's profiles have.
const (
	ByAPI    = "api"
	ByTopic  = "topic"
	ByPlugin = "plugin"
)

// Share is a part of a profile.
type Share struct {
	Name  string  `json:"name"`
	Value int64   `json:"value"` // in the unit of the ranking
	Part  float64 `json:"part"`  // of the whole, 0 to 1
}

// Ranking is what a profile's cost consists of, each list with the largest first.
type Ranking struct {
	Type      string             `json:"type"` // of the samples
	Unit      string             `json:"unit"`
	Total     int64              `json:"total"`
	Classes   []Share            `json:"classes"`
	Functions []Share            `json:"functions"` // to themselves
	Callers   []Share            `json:"callers"`   // the innermost that is not of the runtime, which waits for others
	Labels    map[string][]Share `json:"labels"`    // by key
}

// Part is the share of a name in a list, 0 when it has none.
func Part(list []Share, name string) float64 {
	for _, s := range list {
		if s.Name == name {
			return s.Part
		}
	}
	return 0
}

// Unlabelled is the name of what has no label of a key.
const Unlabelled = "(none)"

// Rank takes a profile apart by its last sample type.
func Rank(p *profile.Profile) Ranking {
	r := Ranking{Labels: map[string][]Share{}}
	if p == nil || len(p.SampleType) == 0 {
		return r
	}
	last := len(p.SampleType) - 1
	r.Type, r.Unit = p.SampleType[last].Type, p.SampleType[last].Unit
	classes, functions, callers := map[string]int64{}, map[string]int64{}, map[string]int64{}
	labels := map[string]map[string]int64{ByAPI: {}, ByTopic: {}, ByPlugin: {}}
	for _, s := range p.Sample {
		value := s.Value[last]
		r.Total += value
		frames := stack(s)
		classes[Class(s, frames)] += value
		if len(frames) > 0 {
			functions[frames[0]] += value
			callers[caller(frames)] += value
		}
		for key, sums := range labels {
			name := Unlabelled
			if given := s.Label[key]; len(given) > 0 {
				name = given[0]
			}
			sums[name] += value
		}
	}
	r.Classes, r.Functions, r.Callers = shares(classes, r.Total), shares(functions, r.Total), shares(callers, r.Total)
	for key, sums := range labels {
		r.Labels[key] = shares(sums, r.Total)
	}
	return r
}

func shares(sums map[string]int64, total int64) []Share {
	all := make([]Share, 0, len(sums))
	for name, value := range sums {
		s := Share{Name: name, Value: value}
		if total != 0 {
			s.Part = float64(value) / float64(total)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Share) int { return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name)) })
	return all
}

// stack is the functions of a sample, the innermost first, inlined ones told apart.
func stack(s *profile.Sample) (frames []string) {
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function != nil {
				frames = append(frames, line.Function.Name)
			}
		}
	}
	return frames
}

// caller is the innermost function that is the program's, or a library's.
func caller(frames []string) string {
	for _, f := range frames {
		if !begins(f, []string{"runtime.", "sync.", "internal/", "syscall."}) {
			return f
		}
	}
	return frames[0]
}

// class is one row of the table by which stacks are told apart. The first that fits counts.
type class struct {
	name string
	// inner: the innermost frame begins with one of these, if there are any.
	inner []string
	// any: some frame begins with one of these, if there are any.
	any []string
}

var classes = []class{
	{GC, nil, []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.gcStart", "runtime.gcDrain", "runtime.bgsweep", "runtime.bgscavenge",
		"runtime.gcMarkDone", "runtime.gcMarkTermination", "runtime.sweepone", "runtime.gcWriteBarrier", "runtime.wbBufFlush", "runtime.markroot"}},
	{Codec, nil, []string{"github.com/klauspost/compress/", "github.com/pierrec/lz4", "compress/"}},
	{Checksum, []string{"hash/crc32."}, nil},
	{Allocate, nil, []string{"runtime.mallocgc", "runtime.newobject", "runtime.growslice", "runtime.makeslice"}},
	{Lock, []string{"sync.(*Mutex)", "sync.(*RWMutex)", "internal/sync.(*Mutex)", "runtime.lock2", "runtime.unlock2", "runtime.procyield"}, nil},
	{Scheduler, nil, []string{"runtime.schedule", "runtime.findRunnable", "runtime.mcall", "runtime.park_m", "runtime.notewakeup", "runtime.notetsleep", "runtime.wakep",
		"runtime.ready", "runtime.sysmon", "runtime.goexit0", "runtime.exitsyscall", "runtime.entersyscall", "runtime.gopreempt_m", "runtime.futex",
		"github.com/millrace/millrace/netpoll.(*Loop).ring", "golang.org/x/sys/unix.EpollWait"}},
	{Disk, systemCalls, []string{"github.com/millrace/millrace/diskio.", "os.(*File)"}},
	{Network, systemCalls, nil},
	{Copy, []string{"runtime.memmove", "runtime.memclrNoHeapPointers", "runtime.typedmemmove"}, nil},
}

var systemCalls = []string{"internal/runtime/syscall", "runtime/internal/syscall", "syscall.", "golang.org/x/sys/unix."}

// Class says what kind of work a sample is.
func Class(s *profile.Sample, frames []string) string {
	if len(s.Label[ByPlugin]) > 0 {
		return Plugin
	}
	for _, c := range classes {
		if c.fits(frames) {
			return c.name
		}
	}
	return Code
}

func (c *class) fits(frames []string) bool {
	if len(c.inner) > 0 && (len(frames) == 0 || !begins(frames[0], c.inner)) {
		return false
	}
	return len(c.any) == 0 || slices.ContainsFunc(frames, func(f string) bool { return begins(f, c.any) })
}

func begins(name string, with []string) bool {
	return slices.ContainsFunc(with, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
