package tuning

import (
	"testing"

	"github.com/google/pprof/profile"
)

func TestAStackHasAClass(t *testing.T) {
	for name, test := range map[string]struct {
		frames []string
		label  map[string][]string
		want   string
	}{
		"a plugin, whatever it does":    {[]string{"runtime.memmove", "runtime.mallocgc", "mask.OnProduce"}, map[string][]string{"plugin": {"mask"}}, Plugin},
		"marking":                       {[]string{"runtime.scanobject", "runtime.gcDrain", "runtime.gcBgMarkWorker.func2"}, nil, GC},
		"helping to mark":               {[]string{"runtime.memclrNoHeapPointers", "runtime.gcAssistAlloc", "runtime.mallocgc", "x.f"}, nil, GC},
		"a codec that copies":           {[]string{"runtime.memmove", "github.com/klauspost/compress/zstd.(*Decoder).DecodeAll"}, nil, Codec},
		"a checksum":                    {[]string{"hash/crc32.castagnoliSSE42Triple", "sdk/batch.Check"}, nil, Checksum},
		"taking memory":                 {[]string{"runtime.nextFreeFast", "runtime.mallocgc", "x.f"}, nil, Allocate},
		"writing to a file":             {[]string{"internal/runtime/syscall.Syscall6", "golang.org/x/sys/unix.Pwritev", "github.com/millrace/millrace/diskio.(*osFile).Writev"}, nil, Disk},
		"sending":                       {[]string{"internal/runtime/syscall.Syscall6", "golang.org/x/sys/unix.Sendmsg", "github.com/millrace/millrace/netpoll.(*Conn).send"}, nil, Network},
		"waiting for sockets":           {[]string{"internal/runtime/syscall.Syscall6", "golang.org/x/sys/unix.EpollWait", "github.com/millrace/millrace/netpoll.(*Loop).poll"}, nil, Scheduler},
		"looking for a goroutine":       {[]string{"runtime.futex", "runtime.notesleep", "runtime.findRunnable", "runtime.schedule"}, nil, Scheduler},
		"copying":                       {[]string{"runtime.memmove", "x.f"}, nil, Copy},
		"a mutex":                       {[]string{"sync.(*Mutex).lockSlow", "x.f"}, nil, Lock},
		"the program":                   {[]string{"github.com/millrace/millrace/engine/api.verify", "x.f"}, nil, Code},
		"nothing is known":              {nil, nil, Code},
		"of a codec by name, elsewhere": {[]string{"example.org/decompress.f"}, nil, Code},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Class(&profile.Sample{Label: test.label}, test.frames); got != test.want {
				t.Errorf("%q is %s, want %s", test.frames, got, test.want)
			}
		})
	}
}

func TestARankingAddsUp(t *testing.T) {
	f := &profile.Function{ID: 1, Name: "x.f"}
	at := &profile.Location{ID: 1, Line: []profile.Line{{Function: f}}}
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}, Sample: []*profile.Sample{
		{Value: []int64{3, 30}, Location: []*profile.Location{at}, Label: map[string][]string{"api": {"Produce"}, "topic": {"a"}}},
		{Value: []int64{1, 10}, Location: []*profile.Location{at}, Label: map[string][]string{"api": {"Produce"}, "topic": {"b"}}},
		{Value: []int64{6, 60}, Location: []*profile.Location{at}},
	}}
	r := Rank(p)
	if r.Total != 100 || r.Unit != "nanoseconds" || len(r.Functions) != 1 || r.Functions[0].Part != 1 {
		t.Errorf("the whole is %+v", r)
	}
	if got := caller([]string{"runtime.chanrecv1", "sync.(*Cond).Wait", "x.f", "y.g"}); got != "x.f" {
		t.Errorf("%s waits, want x.f", got)
	}
	if a := r.Labels[ByAPI]; len(a) != 2 || a[0].Name != Unlabelled || a[1] != (Share{"Produce", 40, 0.4}) {
		t.Errorf("by API it is %+v", a)
	}
	if a := r.Labels[ByTopic]; len(a) != 3 || Part(a, "a") != 0.3 || Part(a, "c") != 0 {
		t.Errorf("by topic it is %+v", a)
	}
	if r := Rank(nil); r.Total != 0 || Part(r.Classes, GC) != 0 {
		t.Errorf("of nothing it is %+v", r)
	}
}
