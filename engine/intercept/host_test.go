package intercept

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/metrics"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// jealous fails when two call it at the same time, or when it is closed.
type jealous struct {
	sdk.Nop
	busy, closed atomic.Bool
	last         map[int32]int64
}

var (
	overlaps, late, disorder atomic.Int64
	made, closed             atomic.Int64
)

func (j *jealous) OnProduce(b *sdk.Batch) error {
	if j.busy.Swap(true) {
		overlaps.Add(1)
	}
	if j.closed.Load() {
		late.Add(1)
	}
	if offset := b.Header.BaseOffset(); offset != j.last[b.Partition] && j.last[b.Partition] != 0 {
		disorder.Add(1)
	} else {
		j.last[b.Partition] = offset + 1
	}
	j.busy.Store(false)
	return nil
}

func (j *jealous) Close() error {
	if j.closed.Swap(true) {
		return errors.New("closed twice")
	}
	closed.Add(1)
	return nil
}

// told is the folder that a plugin with files was told.
var told atomic.Value

func init() {
	for _, kind := range []string{"wasm", "json-schema", "audit-log", "folded"} {
		sdk.Interceptors.Register(kind, func(c sdk.Config) (sdk.Interceptor, error) {
			told.Store(c.String("dir", "none"))
			return sdk.Nop{}, nil
		})
	}
	sdk.Interceptors.Register("jealous", func(c sdk.Config) (sdk.Interceptor, error) {
		c.Int("version", 0)
		if c.Bool("panic", false) {
			panic("as told")
		}
		made.Add(1)
		return &jealous{last: map[int32]int64{}}, nil
	})
}

func newHost() *Host {
	return NewHost(Options{Places: 3, Clock: time.Now, Metrics: metrics.New(metrics.Options{}), Log: slog.New(slog.DiscardHandler)})
}

// plan asks until the plugins are made, as the API does.
func plan(h *Host, w Wanted) (*Set, error) {
	for {
		set, err := h.Plan(w, nil)
		pending, ok := errors.AsType[*Pending](err)
		if !ok {
			return set, err
		}
		made := make(chan struct{})
		pending.Wait(func() { close(made) })
		<-made
	}
}

func want(names string, texts ...string) Wanted {
	w := Wanted{Texts: map[string]string{}}
	if names != "" {
		w.Names = strings.Split(names, ",")
	}
	for i := 0; i < len(texts); i += 2 {
		w.Texts[texts[i]] = texts[i+1]
	}
	return w
}

// Workers run batches of several partitions while plugins are changed: no instance has two
// callers, none is called once it is closed, and all are closed in the end.
func TestOneInstanceServesOneWorker(t *testing.T) {
	h := newHost()
	made.Store(0)
	closed.Store(0)
	h.Use(want("jealous"))
	var filter atomic.Pointer[Filter]
	filter.Store(h.Filter("t", []string{"jealous"}, false))
	var workers sync.WaitGroup
	var stop atomic.Bool
	for partition := range int32(7) {
		workers.Go(func() {
			var builder batch.Builder
			for offset := int64(1); !stop.Load(); offset++ {
				builder.Reset()
				builder.Append(1, nil, []byte("v"), nil)
				b, err := builder.Finish(batch.BatchOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, BaseOffset: offset})
				if err != nil {
					t.Error(err)
				}
				place := filter.Load().Enter(partition)
				if _, err := place.Run(filter.Load(), &chain.Input{Topic: "t", Partition: partition, Batch: b}); err != nil {
					t.Error(err)
				}
				place.Leave()
			}
		})
	}
	for version := range 200 {
		h.Use(want("jealous", "plugin.jealous.config.version", string(rune('0'+version%10))))
		filter.Store(h.Filter("t", []string{"jealous"}, false))
		h.Retire()
	}
	stop.Store(true)
	workers.Wait()
	h.Close()
	if overlaps.Load() != 0 || late.Load() != 0 || disorder.Load() != 0 {
		t.Errorf("%d calls overlapped, %d came after the end, %d out of order", overlaps.Load(), late.Load(), disorder.Load())
	}
	if made.Load() != closed.Load() || made.Load() < 300 {
		t.Errorf("%d instances were made, %d closed", made.Load(), closed.Load())
	}
}

func TestWhatCannotBeMadeIsNewsOnce(t *testing.T) {
	h := newHost()
	defer h.Close()
	h.Use(want("jealous"))
	for name, test := range map[string]struct {
		wanted Wanted
		fail   string
	}{
		"unknown":        {want("jealous,other"), `there is no interceptor "other"`},
		"panics":         {want("jealous", "plugin.jealous.panic", "true"), "panic: as told"},
		"misspelt":       {want("jealous", "plugin.jealous.on.eror", "skip"), `unknown setting "on.eror"`},
		"wrong breaker":  {want("jealous", "plugin.jealous.breaker.window.ms", "soon"), "is not a time"},
		"too many fault": {want("jealous", "plugin.jealous.breaker.faults", "1000000"), "at most 10000"},
		"fine":           {want("jealous,j2", "plugin.j2.type", "jealous"), ""},
		"for nobody":     {want("jealous", "plugin.gone.type", "other"), ""},
	} {
		_, err := plan(h, test.wanted)
		if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
			t.Errorf("%s: %v, want %q", name, err, test.fail)
		}
	}
	h.Use(want("jealous,other")) // as a start would
	if f := h.Filter("t", []string{"other"}, false); f.closed == nil {
		t.Error("a topic without its plugin is open")
	}
	if _, err := plan(h, want("jealous,other", "plugin.jealous.config.version", "7")); err != nil {
		t.Errorf("what is broken already keeps another from being changed: %v", err)
	}
	if _, err := plan(h, want("jealous,other", "plugin.other.type", "another")); err == nil {
		t.Error("what is broken in another way is no news")
	}
}

func TestAPluginThatStaysTheSameIsNotMadeAgain(t *testing.T) {
	h := newHost()
	defer h.Close()
	h.Use(want("jealous"))
	before := h.current.plugins["jealous"]
	h.Use(want("jealous,second", "plugin.second.type", "jealous"))
	if h.current.plugins["jealous"] != before {
		t.Error("a plugin was made again, though only another one came")
	}
	set, err := h.Plan(want("jealous"), nil)
	if err != nil || set.plugins["jealous"] != before {
		t.Errorf("the plan has another one, %v", err)
	}
	h.Use(want("jealous"))
	if h.current.plugins["jealous"] != before {
		t.Error("what was planned is not what is used")
	}
}

// What was planned and came to nothing is closed in the end, and until then is not made again.
func TestAPlanIsMadeOnce(t *testing.T) {
	h := newHost()
	made.Store(0)
	closed.Store(0)
	for version := range 3 * mostReady {
		w := want("jealous", "plugin.jealous.config.version", strconv.Itoa(version))
		before := made.Load()
		for range 3 {
			if _, err := plan(h, w); err != nil {
				t.Fatal(err)
			}
		}
		if made.Load() != before+3 {
			t.Fatalf("a plan asked for three times made %d instances, want one for each of three places", made.Load()-before)
		}
	}
	if left := made.Load() - closed.Load(); left > 3*(mostReady+1) {
		t.Errorf("%d instances are kept for nobody", left)
	}
	last := want("jealous", "plugin.jealous.config.version", strconv.Itoa(3*mostReady-1))
	before := made.Load()
	if h.Use(last); made.Load() != before {
		t.Error("what was planned is made again when it is taken into use")
	}
	h.Close()
	if made.Load() != closed.Load() {
		t.Errorf("%d instances were made, %d closed", made.Load(), closed.Load())
	}
}

// Whoever may change settings must not choose where on the broker's disks a plugin reads or
// writes: plugins with files are told the folder, whatever the settings say. Others may have a
// setting of that name.
func TestPluginsWithFilesAreToldWhereTheyLie(t *testing.T) {
	h := NewHost(Options{Places: 1, Dir: "/plugins", Clock: time.Now, Metrics: metrics.New(metrics.Options{}), Log: slog.New(slog.DiscardHandler)})
	defer h.Close()
	for kind, folder := range map[string]string{"wasm": "/plugins", "json-schema": "/plugins", "audit-log": "/plugins", "folded": "/"} {
		told.Store("")
		h.Use(want("p", "plugin.p.type", kind, "plugin.p.dir", "/"))
		if failed := h.current.plugins["p"].failed; failed != nil || told.Load() != folder {
			t.Errorf("%s is told %q, want %q (%v)", kind, told.Load(), folder, failed)
		}
	}
}

func TestPartitionsKeepTheirPlace(t *testing.T) {
	h := newHost()
	defer h.Close()
	h.Use(want("jealous"))
	first := h.Filter("t", []string{"jealous"}, false)
	h.Use(want("jealous", "plugin.jealous.config.version", "1"))
	second := h.Filter("t", []string{"jealous"}, true)
	seen := map[*Place]bool{}
	for partition := range int32(6) {
		a := first.Enter(partition)
		a.Leave()
		b := second.Enter(partition)
		b.Leave()
		if a != b {
			t.Errorf("partition %d has another place after a change", partition)
		}
		seen[a] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d of 3 places are used", len(seen))
	}
}

// Fetch interceptors cost the way from mapped memory to the socket, and the log says of which topics.
func TestFetchInterceptorsAreSaidToCopy(t *testing.T) {
	var log bytes.Buffer
	h := NewHost(Options{Places: 1, Clock: time.Now, Metrics: metrics.New(metrics.Options{}), Log: slog.New(slog.NewTextHandler(&log, nil))})
	h.Use(want("jealous"))
	if h.Filter("written", []string{"jealous"}, false); strings.Contains(log.String(), "topic=written") {
		t.Errorf("of produce interceptors it says\n%s", &log)
	}
	h.Filter("read", []string{"jealous"}, true)
	if want := `msg="fetch interceptors: records of this topic are copied, not sent from mapped memory" topic=read interceptors=[jealous]`; strings.Count(log.String(), want) != 1 {
		t.Errorf("of fetch interceptors it says\n%s", &log)
	}
}
