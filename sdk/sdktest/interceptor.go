package sdktest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/millrace/millrace/plugins/wasm" // so that modules can be compared with
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// Subject is an interceptor to be tested.
type Subject struct {
	// New makes one, as the function that a plugin registers.
	New func(c sdk.Config) (sdk.Interceptor, error)
	// Config is its settings.
	Config map[string]string
	// Module is the file of the same plugin as a WASM module. "": there is none.
	Module string
	// Limits are settings of the plugin "wasm" for it, such as memory.max.
	Limits map[string]string
	// Allocations is how often one call may allocate. Zero: 64.
	Allocations float64
	// Unstable is set by a plugin whose answer depends on the time.
	Unstable bool
}

// maxPlain is how large the records of a golden batch can be.
const maxPlain = 64 << 20

// Interceptor holds an interceptor to the contract of its kind.
func Interceptor(t *testing.T, s Subject) {
	t.Helper()
	t.Run("batches", func(t *testing.T) { checkBatches(t, s) })
	t.Run("client", func(t *testing.T) { checkClient(t, s, s.native) })
	t.Run("settings", func(t *testing.T) { checkSettings(t, s) })
	if !raceEnabled {
		t.Run("allocations", func(t *testing.T) { checkAllocations(t, s) })
	}
	if s.Module != "" {
		kept, err := s.module(nil) // what is compiled once serves all that follows
		if err != nil {
			t.Fatalf("load the module: %v", err)
		}
		defer closed(kept)
		t.Run("module", func(t *testing.T) { checkModule(t, s) })
		t.Run("module in a client", func(t *testing.T) {
			checkClient(t, s, func() (sdk.Interceptor, error) { return s.module(patient) })
		})
		t.Run("limits", func(t *testing.T) { checkLimits(t, s) })
		t.Run("cut off", func(t *testing.T) { loaded(t, s, cutOff) })
		t.Run("less memory", func(t *testing.T) { checkMemory(t, s) })
		t.Run("changed answers", func(t *testing.T) { loaded(t, s, lies) })
	}
}

// native makes the plugin as it is compiled in.
func (s *Subject) native() (sdk.Interceptor, error) {
	c := sdk.NewConfig(s.Config)
	made, err := s.New(c)
	return made, errors.Join(err, c.Err())
}

// module makes the plugin as a WASM module.
func (s *Subject) module(more map[string]string) (sdk.Interceptor, error) {
	values, err := moduleSettings(s.Module, s.Config, s.Limits, more)
	if err != nil {
		return nil, err
	}
	return sdk.Interceptors.New("wasm", sdk.NewConfig(values))
}

// moduleSettings are those of a module: what it reads itself, and its limits.
func moduleSettings(module string, own, limits, more map[string]string) (map[string]string, error) {
	file, err := os.ReadFile(module)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(file)
	values := map[string]string{"path": module, "sha256": hex.EncodeToString(sum[:])}
	for key, value := range own {
		values["config."+key] = value
	}
	maps.Copy(values, limits)
	maps.Copy(values, more)
	return values, nil
}

func closed(i any) {
	if c, ok := i.(io.Closer); ok {
		_ = c.Close()
	}
}

// call shows a batch to an interceptor and writes down what became of it. A panic is an error.
func call(i sdk.Interceptor, b *sdk.Batch, fetch bool) (answer string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("it panics: %v", cause)
		}
	}()
	var before []sdk.View
	for _, v := range b.All() {
		before = append(before, *v)
	}
	f := i.OnProduce
	if fetch {
		f = i.OnFetch
	}
	var rejected *sdk.Rejection
	switch err := f(b); {
	case errors.As(err, &rejected):
		return "rejected: " + rejected.Reason, nil
	case err != nil:
		return "", err
	}
	return describe(b, before), nil
}

// describe is what became of each record, as text. One that was set to what it was, was not
// changed.
func describe(b *sdk.Batch, before []sdk.View) string {
	var out strings.Builder
	for i, e := range b.Edits() {
		switch e.Fate {
		case sdk.Kept:
		case sdk.Edited:
			if was, is := record(&before[i]), record(&e.View); is != was {
				fmt.Fprintf(&out, "%d edited %s\n", i, is)
			}
		case sdk.Dropped:
			fmt.Fprintf(&out, "%d dropped\n", i)
		case sdk.Routed:
			fmt.Fprintf(&out, "%d routed %s\n", i, e.Topic)
		case sdk.Failed:
			fmt.Fprintf(&out, "%d failed %s\n", i, e.Reason)
		}
	}
	return out.String()
}

func record(v *sdk.View) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s", quote(v.Key), quote(v.Value))
	for _, h := range v.Headers {
		fmt.Fprintf(&out, " %q=%s", h.Key, quote(h.Value))
	}
	return out.String()
}

func quote(p []byte) string {
	if p == nil {
		return "null"
	}
	return fmt.Sprintf("%q", p)
}

// open shows the records of g.
func open(g Golden) (*sdk.Batch, []byte, error) {
	section := []byte(g.Batch[batch.HeaderSize:])
	if codec := g.Batch.Codec(); codec != batch.None {
		var err error
		if section, err = batch.Decompress(nil, codec, section, maxPlain); err != nil {
			return nil, nil, err
		}
	}
	section = bytes.Clone(section)
	b := &sdk.Batch{Topic: "orders", Partition: 1, ClientID: "sdktest"}
	return b, section, b.Open(g.Batch, section)
}

// answers is what an interceptor makes of a golden batch, on produce or fetch.
func answers(t T, i sdk.Interceptor, g Golden, fetch bool) string {
	t.Helper()
	b, section, err := open(g)
	if err != nil {
		t.Fatalf("%s: %v", g.Name, err)
		return ""
	}
	before := bytes.Clone(section)
	answer, err := call(i, b, fetch)
	if err != nil {
		t.Errorf("%s: %v", g.Name, err)
	}
	if !bytes.Equal(section, before) {
		t.Errorf("%s: it writes to records, which are the host's: use Set… with bytes of Alloc", g.Name)
	}
	for n, e := range b.Edits() {
		if e.Fate == sdk.Routed && (e.Topic == "" || e.Topic == b.Topic) {
			t.Errorf("%s: it routes record %d to %q", g.Name, n, e.Topic)
		}
		if e.Fate == sdk.Failed && e.Reason == "" {
			t.Errorf("%s: it fails record %d without a reason", g.Name, n)
		}
	}
	return answer
}

// checkBatches shows all batches to two plugins, which must answer the same.
func checkBatches(t T, s Subject) {
	one, err := s.native()
	if err != nil {
		t.Fatalf("make the plugin: %v", err)
		return
	}
	two, err := s.native()
	if err != nil {
		t.Fatalf("make the plugin again: %v", err)
		return
	}
	for _, g := range Goldens() {
		for _, fetch := range []bool{false, true} {
			first, second := answers(t, one, g, fetch), answers(t, two, g, fetch)
			if first != second && !s.Unstable {
				t.Errorf("%s: two plugins with the same settings that saw the same batches answer\n%.400s\nand\n%.400s", g.Name, first, second)
			}
		}
	}
	three, err := s.native()
	if err != nil {
		t.Fatalf("make the plugin a third time: %v", err)
		return
	}
	runner := chain.New(time.Now)
	for _, g := range Goldens() {
		for _, fetch := range []bool{false, true} {
			checkChain(t, runner, three, g, fetch)
		}
	}
	for _, i := range []sdk.Interceptor{one, two, three} {
		if c, ok := i.(io.Closer); ok {
			if err := c.Close(); err != nil {
				t.Errorf("close the plugin: %v", err)
			}
		}
	}
}

// checkChain has a host run the plugin, and looks at the batch that comes out: it must be
// one, with what is the host's as it was, and records in order.
func checkChain(t T, runner *chain.Runner, i sdk.Interceptor, g Golden, fetch bool) {
	t.Helper()
	in := chain.Input{Topic: "orders", Partition: 1, ClientID: "sdktest", Batch: bytes.Clone(g.Batch), Fetch: fetch}
	out, err := runner.Run([]chain.Plugin{{Name: "subject", Interceptor: i}}, &in)
	var refused *chain.Refusal
	switch {
	case errors.As(err, &refused) && (refused.Cause == chain.Rejected || refused.Cause == chain.Bad):
		return
	case err != nil:
		t.Errorf("%s: a host refuses it: %v", g.Name, err)
		return
	}
	b := out.Batch
	if err := b.Check(); err != nil {
		t.Errorf("%s: what comes out is no batch: %v", g.Name, err)
		return
	}
	if b.ProducerID() != g.Batch.ProducerID() || b.BaseSequence() != g.Batch.BaseSequence() || b.LastOffsetDelta() != g.Batch.LastOffsetDelta() || b.Transactional() != g.Batch.Transactional() {
		t.Errorf("%s: what is the host's has changed", g.Name)
	}
	last := int32(-1)
	records, err := b.Records(nil, maxPlain)
	for err == nil && records.Next() {
		delta := records.Record().OffsetDelta
		if delta <= last {
			t.Errorf("%s: record %d comes behind record %d", g.Name, delta, last)
			return
		}
		last = delta
	}
	if err := errors.Join(err, records.Err()); err != nil {
		t.Errorf("%s: the records that come out: %v", g.Name, err)
	}
}

// checkSettings gives the plugin a setting that it cannot know.
func checkSettings(t T, s Subject) {
	values := maps.Clone(s.Config)
	if values == nil {
		values = make(map[string]string)
	}
	values["no.such.setting.of.any.plugin"] = "1"
	c := sdk.NewConfig(values)
	made, err := s.New(c)
	if errors.Join(err, c.Err()) == nil {
		t.Errorf("it asks for all settings, whatever their names: a misspelt one is not found")
	}
	if err == nil {
		closed(made)
	}
}

func checkAllocations(t T, s Subject) {
	made, err := s.native()
	if err != nil {
		t.Fatalf("make the plugin: %v", err)
		return
	}
	defer closed(made)
	g := Golden{"many", build(shapes()["many"], batch.NoProducer())}
	b, section, err := open(g)
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	checkBudget(t, "calling it twice with 149 records", s.Allocations, func() {
		if err := b.Open(g.Batch, section); err != nil {
			t.Errorf("%v", err)
		}
		_, _ = made.OnProduce(b), made.OnFetch(b)
	})
}
