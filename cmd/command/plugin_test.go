package command

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/plugins/wasm/abi"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
)

// newBroker is a command line with a Millrace of its own, and the folder of its data.
func newBroker(t *testing.T, more ...string) (*tools, string) {
	t.Helper()
	folder := t.TempDir()
	settings, err := config.Parse("", "", append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + folder, "admin.listener=", "log.flush.mode=os"}, more...))
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.Start(engine.Options{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return &tools{t, b.Addresses()[0], b.AdminAddress()}, folder
}

// moduleFile is a module whose on_produce is code, and whose memory has a list of edits at 64.
func moduleFile(t *testing.T, code []byte, list ...uint32) string {
	t.Helper()
	text := binary.LittleEndian.AppendUint32(nil, abi.EditsMagic)
	for _, n := range list {
		text = binary.LittleEndian.AppendUint32(text, n)
	}
	m := Module{Memory: Limits{Min: 8}, Data: []Data{{At: 64, Bytes: text}}, Functions: []Function{
		{Export: abi.Marker},
		{Export: abi.Alloc, Params: "i", Results: "i", Code: I32(1 << 16)},
		{Export: abi.OnProduce, Params: "i", Results: "I", Code: code},
	}}
	path := filepath.Join(t.TempDir(), "guest.wasm")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// says runs a line and looks for a text in what it prints.
func (s *tools) says(want string, code int, input, line string, more ...string) {
	s.t.Helper()
	out, errs, got := s.run(input, line, more...)
	if got != code || !strings.Contains(out+errs, want) {
		s.t.Errorf("millrace %s %q ended with %d and said\n%s%s\nwant %q", line, more, got, out, errs, want)
	}
}

func TestAModuleIsLoadedReloadedAndUnloaded(t *testing.T) {
	s, folder := newBroker(t)
	first := moduleFile(t, I64(64<<32|16), 1, 0, abi.Drop) // drops the first record of each batch
	second := moduleFile(t, I64(0))
	s.expect("Created topic orders.\n", "", "topics create orders")
	s.says("Loaded plugin cut: cut-", 0, "", "plugin load cut", first, "--topic", "orders", "--set", "memory.max=1048576", "--on-error", "skip")
	if files, err := os.ReadDir(filepath.Join(folder, "plugins")); err != nil || len(files) != 1 {
		t.Errorf("plugin.dir has %v: %v", files, err)
	}
	s.says("orders", 0, "", "plugin list")
	s.says("skip", 0, "", "plugin list")
	s.says("what plugins did", 1, "", "plugin list --admin 127.0.0.1:1")
	s.expect("", "one\ntwo\n", "produce orders -X linger.ms=200")
	s.expect("two\n", "", "consume orders -B -n 1")
	s.says("Loaded plugin cut: cut-", 0, "", "plugin reload cut", second)
	s.says("memory.max=1048576", 0, "", "configs describe broker --default")
	s.expect("", "three\n", "produce orders")
	s.expect("two\nthree\n", "", "consume orders -B -n 2")
	s.says("orders", 1, "", "plugin unload cut") // a topic uses it
	s.says("interceptors.produce=", 0, "", "plugin unload cut --topic orders")
	s.says("Unloaded plugin cut.", 0, "", "plugin unload cut")
	s.says("there is no plugin cut", 1, "", "plugin unload cut")
	s.says("there is no WebAssembly plugin cut to reload", 1, "", "plugin reload cut", first)
	if out, _, _ := s.run("", "configs describe broker --default"); strings.Contains(out, "plugin.cut") {
		t.Errorf("settings of the plugin are left: %s", out)
	}
}

func TestTheListTellsTheFuel(t *testing.T) {
	s, _ := newBroker(t, "admin.listener=127.0.0.1:0")
	s.expect("Created topic orders.\n", "", "topics create orders")
	s.says("Loaded plugin pass", 0, "", "plugin load pass", moduleFile(t, I64(0)), "--topic", "orders")
	s.expect("", "one\ntwo\n", "produce orders -X linger.ms=200")
	out, _, _ := s.run("", "plugin list --admin "+s.admin)
	var records, faults, over, fuel int
	_, cells, _ := strings.Cut(out[strings.LastIndex(out, "orders"):], "\t")
	if _, err := fmt.Sscan(cells, &records, &faults, &over, &fuel); err != nil || records != 2 || faults != 0 || over != 0 || fuel < 1 || fuel > 1000 {
		t.Errorf("2 records, no fault and some fuel are listed as\n%s%v", out, err)
	}
}

// A guest that burns a sixteenth of a second or so in each call, and that no breaker switches off, is
// called once: what it took is far beyond the millisecond that it may fail for in each second.
func TestAGuestThatFailsIsCalledWithinItsBudget(t *testing.T) {
	s, _ := newBroker(t, "admin.listener=127.0.0.1:0")
	s.expect("Created topic orders.\n", "", "topics create orders --partitions 1")
	s.says("Loaded plugin loop", 0, "", "plugin load loop", moduleFile(t, Seq(Loop(Br(0)), I64(0))), "--topic", "orders",
		"--set", "breaker.faults=0", "--set", "fault.budget.ms=1", "--set", "fuel=268435456")
	c, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.DefaultProduceTopic("orders"), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := range 20 {
		if err := c.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); !errors.Is(err, kerr.PolicyViolation) {
			t.Fatalf("batch %d: %v, want it refused", n, err)
		}
	}
	out, _, _ := s.run("", "plugin list --admin "+s.admin)
	var records, faults, over int
	_, cells, _ := strings.Cut(out[strings.LastIndex(out, "orders"):], "\t")
	if _, err := fmt.Sscan(cells, &records, &faults, &over); err != nil || faults != 1 || over != 19 {
		t.Errorf("one fault and 19 batches over budget are listed as\n%s%v", out, err)
	}
}

// A topic from which a plugin is taken must not get it back from the cluster's own list, and a
// secret that nobody tells must not be taken for an empty one.
func TestATopicWithoutAListOfItsOwn(t *testing.T) {
	s, _ := newBroker(t)
	drops := moduleFile(t, I64(64<<32|16), 1, 0, abi.Drop)
	s.says("Created topic orders.", 0, "", "topics create orders")
	s.says("Loaded plugin cut", 0, "", "plugin load cut", drops, "--config", "api.secret=x")
	s.says("", 0, "", "configs alter broker --set interceptors=cut")
	s.says("Topic orders: interceptors.produce=\n", 0, "", "plugin unload cut --topic orders")
	s.says("", 0, "one\n", "produce orders")
	s.says("one\n", 0, "", "consume orders -B -n 1")
	s.says("--config api.secret=", 1, "", "plugin reload cut", drops)
	s.says("Loaded plugin cut", 0, "", "plugin reload cut", drops, "--config", "api.secret=y")
}

func TestAModuleInRustMasksWhatIsStored(t *testing.T) {
	s, _ := newBroker(t)
	s.expect("Created topic orders.\n", "", "topics create orders")
	s.says("forbids that (fail_closed)", 1, "", "plugin load mask ../../plugins/wasm/testdata/mask.wasm --on-error skip")
	s.says("Loaded plugin mask", 0, "", "plugin load mask ../../plugins/wasm/testdata/mask.wasm --topic orders")
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		s.expect("", "card 4111111111111111\nnothing\n", "produce orders -X linger.ms=200 -z "+codec)
	}
	s.expect(strings.Repeat("card ************1111\nnothing\n", 5), "", "consume orders -B -n 10")
	s.says("Loaded plugin stamp", 0, "", "plugin load stamp ../../plugins/wasm/testdata/stamp.wasm --config value=here --topic orders --fetch")
	s.says("origin:here", 0, "", "consume orders -B -n 1 --print headers")
	s.says("value is missing", 1, "", "plugin load stamp ../../plugins/wasm/testdata/stamp.wasm")
}

// A topic that is not there, or that refuses the plugin, leaves nothing half done unsaid.
func TestAPluginOfTopicsThatAreNotThere(t *testing.T) {
	s, folder := newBroker(t)
	file := moduleFile(t, I64(0))
	s.expect("Created topic orders.\n", "", "topics create orders")
	s.says("topic nowhere is not there: `millrace topics create nowhere` makes it. Nothing was changed", 1, "", "plugin load cut", file, "--topic", "orders", "--topic", "nowhere")
	if out, _, _ := s.run("", "configs describe broker --default"); strings.Contains(out, "plugin.cut") {
		t.Errorf("the plugin is loaded: %s", out)
	}
	if files, _ := os.ReadDir(filepath.Join(folder, "plugins")); len(files) != 0 {
		t.Errorf("plugin.dir has %v", files)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "*.wasm")); len(files) != 0 {
		t.Errorf("beside plugin.dir there are %v", files)
	}
	s.says("Loaded plugin cut", 0, "", "plugin load cut", file, "--topic", "orders")
	s.says("Nothing was changed", 1, "", "plugin reload cut", file, "--topic", "nowhere")
	s.says("No setting was changed. The module lies in "+filepath.Join(folder, "plugins"), 1, "", "plugin load cut", file, "--topic", "orders", "--set", "breaker.faults=many")
}

// The default of log.dirs is relative to where the broker was started, which is not where
// somebody types.
func TestTheFolderOfABrokerThatWasStartedElsewhere(t *testing.T) {
	file, where := moduleFile(t, I64(0)), t.TempDir()
	t.Chdir(where)
	s, _ := newBroker(t, "log.dirs=./data of mine")
	t.Chdir(t.TempDir())
	// The broker is in this process and has moved with it, so it does not find what it is to load.
	_, errs, _ := s.run("", "plugin load cut", file)
	if files, err := os.ReadDir(filepath.Join(where, "data of mine", "plugins")); err != nil || len(files) != 1 {
		t.Errorf("plugin.dir has %v, %v: %s", files, err, errs)
	}
}

// So may a plugin.dir of the operator's own be, and nobody may take it for one where somebody types.
func TestARelativeFolderOfPlugins(t *testing.T) {
	for name, test := range map[string]struct{ data, says string }{
		"data beside it":   {"./data", ""},
		"data far from it": {"", "modules below the folder in which the broker was started"},
	} {
		t.Run(name, func(t *testing.T) {
			file, where, here := moduleFile(t, I64(0)), t.TempDir(), t.TempDir()
			if err := os.Mkdir(filepath.Join(where, "modules"), 0o755); err != nil {
				t.Fatal(err)
			}
			settings := []string{"plugin.dir=modules"}
			if test.data != "" {
				settings = append(settings, "log.dirs="+test.data)
			}
			t.Chdir(where)
			s, _ := newBroker(t, settings...)
			t.Chdir(here)
			// The broker is in this process and has moved with it, so it does not find what it is to load.
			_, errs, code := s.run("", "plugin load cut", file)
			if code == 0 || !strings.Contains(errs, test.says) {
				t.Errorf("loading says %q", errs)
			}
			files, err := os.ReadDir(filepath.Join(where, "modules"))
			if err != nil || (len(files) == 1) != (test.says == "") {
				t.Errorf("plugin.dir has %v, %v", files, err)
			}
			if files, _ := os.ReadDir(here); len(files) != 0 {
				t.Errorf("where somebody types there is %v", files)
			}
			if _, errs, _ = s.run("", "plugin load cut", "guest.wasm", "--copied", "--sha256", strings.Repeat("0", 64)); strings.Contains(errs, "does not tell") {
				t.Errorf("what was copied is not loaded: %s", errs)
			}
		})
	}
}

func TestAReloadUnderLoadDropsNothing(t *testing.T) {
	s, _ := newBroker(t)
	s.expect("Created topic orders.\n", "", "topics create orders --partitions 3")
	modules := []string{
		moduleFile(t, Seq(GlobalGet(0), Op(0x1a), I64(0))), // a global that is not there: refused, and the one before serves on
		moduleFile(t, I64(0)),
		moduleFile(t, Seq(Op(0x01), I64(0))),
	}
	s.says("Loaded plugin", 0, "", "plugin load same", modules[1], "--topic", "orders")
	c, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.DefaultProduceTopic("orders"), kgo.RecordRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	sent := 0
	go func() {
		for ctx.Err() == nil {
			if err := c.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
				ended <- err
				return
			}
			sent++
		}
		ended <- nil
	}()
	for n := range 12 {
		code, want := 0, "Loaded plugin same"
		if n%3 == 0 {
			code, want = 1, "names global 0 of 0"
		}
		s.says(want, code, "", "plugin reload same", modules[n%3])
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a request was dropped: %v", err)
	}
	out, _, _ := s.run("", "topics offsets orders")
	stored := 0
	for line := range strings.Lines(out) {
		var partition, offset int
		if _, err := fmt.Sscanf(line, "orders:%d:%d", &partition, &offset); err != nil {
			t.Fatal(err)
		}
		stored += offset
	}
	if stored != sent || sent < 12 {
		t.Errorf("%d records are stored of %d", stored, sent)
	}
	t.Logf("%d requests beside 12 reloads", sent)
}

func TestModulesThatAreNotLoaded(t *testing.T) {
	s, folder := newBroker(t)
	file := moduleFile(t, I64(0))
	none := filepath.Join(t.TempDir(), "none.wasm")
	if err := os.WriteFile(none, []byte("no module"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../escaped", "a,b", "a.b", "a b", ""} {
		s.says("is no name for a plugin", 1, "", "plugin load", name, file)
	}
	s.says("no WebAssembly module", 1, "", "plugin load bad", none)
	s.says("not the one that sha256 pins", 1, "", "plugin load bad", file, "--sha256", strings.Repeat("0", 64))
	s.says("--copied needs --sha256", 1, "", "plugin load bad guest.wasm --copied")
	s.says("read the module", 1, "", "plugin load bad guest.wasm --copied --sha256 "+strings.Repeat("0", 64)) // it is not there
	s.says("does not lie in", 1, "", "configs alter broker --set plugins=bad --set plugin.bad.type=wasm --set plugin.bad.path="+file)
	s.says("does not lie in", 1, "", "configs alter broker --set plugins=bad --set plugin.bad.type=wasm --set plugin.bad.dir=/ --set plugin.bad.path="+file)
	s.says("", 0, "", "plugin list")
	if files, _ := os.ReadDir(filepath.Join(folder, "plugins")); len(files) != 0 {
		t.Errorf("plugin.dir has %v", files)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "*.wasm")); len(files) != 0 {
		t.Errorf("beside plugin.dir there are %v", files)
	}
}

// A broker with guests that do their worst: its other topics must not notice much more than
// they do of one that does no harm.
func TestOthersAreServedWhileAGuestDoesItsWorst(t *testing.T) {
	s, _ := newBroker(t)
	s.expect("Created topic calm.\n", "", "topics create calm --partitions 1")
	calm, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.DefaultProduceTopic("calm"), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	defer calm.Close()
	harmless, refused := beside(t, s.address, calm, "harmless", I64(0))
	if refused != 0 {
		t.Fatalf("a guest that does no harm: %d batches were refused", refused)
	}
	for name, code := range map[string][]byte{ // "-on": the breaker does not switch it off
		"loop":     Seq(Loop(Br(0)), I64(0)),
		"memory":   Seq(Loop(I32(1), Op(0x40, 0, 0x1a), Br(0)), I64(0)),
		"recurses": Seq(I32(0), Call(2)),
		"traps":    Op(0x00),
		"lies":     I64(-1),
		"forges":   I64(1<<48 | 1<<20),
		"loop-on":  Seq(Loop(Br(0)), I64(0)),
	} {
		t.Run(name, func(t *testing.T) {
			var is time.Duration
			// Twice, and what a machine that others use adds to anything; they may have come since
			// the guest that does no harm was measured, so it is measured again before that counts.
			for try := 1; try == 1 || is > 2*harmless+50*time.Millisecond; try++ {
				if try > 4 {
					t.Fatalf("p99 of another topic was %v and is %v", harmless, is)
				}
				if try > 1 {
					harmless, _ = beside(t, s.address, calm, fmt.Sprint("harmless-", name, "-", try), I64(0))
				}
				is, refused = beside(t, s.address, calm, fmt.Sprint(try, "-", name), code)
				t.Logf("p99 %v beside a guest that does no harm, %v beside %d batches that were refused", harmless, is, refused)
				if refused == 0 {
					t.Error("no batch was refused")
				}
			}
		})
	}
	s.says("calm", 0, "", "topics list")
}

// beside is the best of three 99th percentiles of calm, while another topic has a module as its
// interceptor and a producer that never rests, and how many of its batches were refused.
func beside(t *testing.T, address string, calm *kgo.Client, name string, code []byte) (time.Duration, int) {
	t.Helper()
	s := &tools{t: t, address: address}
	s.expect("Created topic "+name+".\n", "", "topics create "+name)
	faults := "10"
	if strings.HasSuffix(name, "-on") {
		faults = "0"
	}
	s.says("Loaded plugin", 0, "", "plugin load "+name, moduleFile(t, code), "--topic", name, "--set", "breaker.faults="+faults)
	busy, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(name), kgo.ProducerLinger(0), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		refused := 0
		for ctx.Err() == nil {
			if busy.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr() != nil && ctx.Err() == nil {
				refused++
			}
		}
		ended <- refused
	}()
	var all []time.Duration
	for range 3 {
		all = append(all, slowest(t, calm))
	}
	cancel()
	refused := <-ended
	s.says("", 0, "", "plugin unload "+name+" --topic "+name)
	s.says("Unloaded", 0, "", "plugin unload "+name)
	return slices.Min(all), refused
}

// slowest is the 99th percentile of three hundred requests, one after the other.
func slowest(t *testing.T, c *kgo.Client) time.Duration {
	t.Helper()
	var took []time.Duration
	for n := range 300 {
		begin := time.Now()
		if err := c.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(n))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// However many change lists of plugins at a time, none of them undoes what another did.
func TestWhoLoadsAtATimeLosesNothing(t *testing.T) {
	s, _ := newBroker(t)
	s.expect("Created topic orders.\n", "", "topics create orders --partitions 1")
	file := moduleFile(t, I64(0))
	const each = 6
	together := func(lines ...string) {
		t.Helper()
		var all sync.WaitGroup
		for n := range each {
			for _, line := range lines {
				all.Go(func() {
					var out, errs bytes.Buffer
					args := append([]string{"millrace"}, strings.Fields(strings.ReplaceAll(line, "#", strconv.Itoa(n)))...)
					if code := Run(t.Context(), args, session.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
						t.Errorf("%v ended with %d: %s", args, code, errs.String())
					}
				})
			}
		}
		all.Wait()
	}
	t.Setenv(serverVariable, s.address)
	together("plugin load old# " + file + " --topic orders")
	together("plugin load new# "+file+" --topic orders", "plugin unload old# --topic orders")
	loaded, used := s.lists(t)
	if len(loaded) != 2*each || len(used) != each || slices.ContainsFunc(used, func(name string) bool { return !strings.HasPrefix(name, "new") }) {
		t.Errorf("of %d plugins %v are loaded, and the topic uses %v", 2*each, loaded, used)
	}
	together("plugin unload old#", "plugin unload new# --topic orders", "plugin load late# "+file)
	if loaded, used = s.lists(t); len(loaded) != 2*each || len(used) != 0 {
		t.Errorf("of %d plugins %v are loaded, and the topic uses %v", 2*each, loaded, used)
	}
	// Nothing of its own is left of the topic's list: it has what the cluster's gets.
	s.says("", 0, "", "configs alter broker --set interceptors=new0")
	if _, used = s.lists(t); !slices.Equal(used, []string{"new0"}) {
		t.Errorf("the topic uses %v, and the cluster new0", used)
	}
}

// lists are the plugins that are loaded, and those of topic orders, as the broker tells them.
func (s *tools) lists(t *testing.T) (loaded, used []string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(s.address))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	admin := kadm.NewClient(c)
	brokers, err := admin.DescribeBrokerConfigs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	topics, err := admin.DescribeTopicConfigs(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	of := func(all kadm.ResourceConfigs, setting string) []string {
		for _, resource := range all {
			for _, one := range resource.Configs {
				if one.Key == setting && one.Value != nil && *one.Value != "" {
					return strings.Split(*one.Value, ",")
				}
			}
		}
		return nil
	}
	return of(brokers, "plugins"), of(topics, "interceptors.produce")
}

// A plugin that is not called is listed with why, and when it is tried again; the doctor finds it too.
func TestTheListTellsWhatIsNotCalled(t *testing.T) {
	s, _ := newBroker(t, "admin.listener=127.0.0.1:0", "plugins=gone", "plugin.gone.type=wasm", "plugin.gone.path=gone.wasm")
	s.expect("Created topic orders.\n", "", "topics create orders --partitions 1")
	trap := moduleFile(t, Op(0x00))
	s.says("Loaded plugin trap", 0, "", "plugin load trap", trap, "--topic", "orders", "--set", "breaker.faults=1", "--on-error", "skip")
	s.says("Loaded plugin dear", 0, "", "plugin load dear", moduleFile(t, Seq(Loop(Br(0)), I64(0))), "--topic", "orders", "--set", "fuel=1073741824", "--set", "breaker.faults=0", "--set", "fault.budget.ms=1", "--on-error", "skip")
	s.says("Loaded plugin fine", 0, "", "plugin load fine", moduleFile(t, I64(0)), "--topic", "orders")
	states := func() map[string]string {
		out, _, _ := s.run("", "plugin list --admin "+s.admin)
		found := map[string]string{}
		for line := range strings.Lines(out) {
			if cells := strings.Split(line, "\t"); len(cells) > 2 {
				found[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[10])
			}
		}
		return found
	}
	s.says("", 0, "one\n", "produce orders")
	if got := states(); got["gone"] != "broken" || got["trap"] != "off" || got["dear"] != "over budget" || got["fine"] != "ok" {
		t.Errorf("they are listed as %v", got)
	}
	for _, want := range []string{"Plugin gone could not be made, and its topics take no records: plugin gone: ", "Plugin trap is switched off, for it failed too often", "It is called again in ", "Plugin dear is not called"} {
		s.says(want, 0, "", "plugin list --admin "+s.admin)
	}
	s.says("BAD      plugin gone", 1, "", "doctor --admin "+s.admin)
	s.says("warning  plugin trap", 1, "", "doctor --admin "+s.admin)
	if got := states()["gone"]; got != "broken" {
		t.Errorf("it is listed as %q", got)
	}
	s.says("Loaded plugin gone", 0, "", "plugin load gone", trap)
	if got := states()["gone"]; got != "ok" {
		t.Errorf("it was loaded again, and is listed as %q", got)
	}
}
