package tune

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/pprof/profile"

	"github.com/millrace/millrace/cmd/serve"
	"github.com/millrace/millrace/cmd/tuning"
	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk"
)

// The test binary is the broker, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		c := serve.Command()
		c.SetArgs(os.Args[2:])
		if err := c.ExecuteContext(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// found runs the command on a workload with a mistake in it, until the change that mends it is
// kept. A machine that is busy with other things, as with the tests of other packages, may leave
// that unresolved, which is right: so this is for a step of CI of its own, and has five tries;
// any other answer is wrong.
func found(t *testing.T, want tuning.Change, workload string, args ...string) (e *evidence) {
	t.Helper()
	if os.Getenv("MILLRACE_MEASURE") == "" || raceEnabled {
		t.Skip("measures brokers for some seconds, which needs a machine for itself (make tune)")
	}
	for range 5 {
		e = tuned(t, workload, args...)
		if len(e.Trials) != 1 || e.Trials[0].Change != want {
			t.Fatalf("tried %+v, want %s", e.Trials, want)
		}
		if e.Trials[0].Verdict != tuning.Unresolved {
			break
		}
	}
	if v := e.Trials[0].Verdict; v != tuning.Kept {
		t.Fatalf("%s is %s, want it kept", want, v)
	}
	return e
}

// tuned runs the command and returns its evidence.
func tuned(t *testing.T, workload string, args ...string) *evidence {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "planted.yaml")
	if err := os.WriteFile(file, []byte(workload), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := Command()
	c.SetArgs(append([]string{"--workload", file, "--out", filepath.Join(dir, "out"), "--broker-setting", "log.flush.mode=os", "--changes", "1"}, args...))
	c.SetOut(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out", "evidence.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e evidence
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile(filepath.Join(dir, "out", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	linesUp(t, string(report))
	return &e
}

const planted = `name: planted
topic: planted
partitions: 2
value: 100
producers: 1
phases: [{name: p, do: produce, rate: max, warmup: 100ms, duration: 500ms}]
`

func TestTinyBatchesAreFound(t *testing.T) {
	e := found(t, tuning.Change{Kind: tuning.Workload, Key: "batch", From: "250", To: "65536"}, planted+"batch: 250\n")
	if e.End.Workload["batch"] != "65536" {
		t.Errorf("in the end there is %+v", e.End)
	}
}

// dawdler is an interceptor that thinks too long about each batch.
type dawdler struct {
	sdk.Nop
	thought uint32
}

// OnProduce changes nothing.
func (d *dawdler) OnProduce(b *sdk.Batch) error {
	for range 100 {
		d.thought = crc32.Update(d.thought, crc32.IEEETable, b.Section())
	}
	return nil
}

func init() {
	sdk.Interceptors.Register("dawdler", func(sdk.Config) (sdk.Interceptor, error) { return new(dawdler), nil })
}

func TestASlowPluginIsFound(t *testing.T) {
	e := found(t, tuning.Change{Kind: tuning.Setting, Key: "interceptors", From: "dawdler", To: ""},
		planted+"batch: 16KiB\n", "--broker-setting", "plugins=dawdler", "--broker-setting", "interceptors=dawdler")
	if part := tuning.Part(e.Observations[0].CPU.Labels[tuning.ByPlugin], "dawdler"); part < 0.2 {
		t.Errorf("the first look has %.0f %% for the plugin", 100*part)
	}
	if e.End.Settings["interceptors"] != "" {
		t.Errorf("in the end there is %+v", e.End)
	}
}

// hoarder is an interceptor that is quick, leaves garbage behind, and has much that the
// collector must look through each time.
type hoarder struct {
	sdk.Nop
	index []*[4]*byte
	last  []byte
}

// OnProduce keeps a copy of the last batch.
func (h *hoarder) OnProduce(b *sdk.Batch) error {
	h.last = bytes.Clone(b.Section())
	return nil
}

func init() {
	sdk.Interceptors.Register("hoarder", func(sdk.Config) (sdk.Interceptor, error) {
		h := &hoarder{index: make([]*[4]*byte, 1<<19)}
		for i := range h.index {
			h.index[i] = new([4]*byte)
		}
		return h, nil
	})
}

// There is garbage, as there is in any broker with plugins, and the collector runs for each little of it.
func TestAnEagerCollectorIsFound(t *testing.T) {
	e := found(t, tuning.Change{Kind: tuning.Setting, Key: "gc.percent", From: "2", To: "200"},
		planted+"batch: 16KiB\n", "--broker-setting", "plugins=hoarder", "--broker-setting", "interceptors=hoarder", "--broker-setting", "gc.percent=2", "--repeats", "7")
	if look := e.Observations; len(look) != 2 || tuning.Part(look[1].CPU.Classes, tuning.GC) >= tuning.Part(look[0].CPU.Classes, tuning.GC) {
		t.Error("the second look does not show less of the collector than the first")
	}
}

// linesUp asks that the rows of each table are as wide as its head.
func linesUp(t *testing.T, text string) {
	t.Helper()
	width := 0
	for line := range strings.SplitSeq(text, "\n") {
		n := utf8.RuneCountInString(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			width = 0
		case width == 0:
			width = n
		case n != width:
			t.Errorf("a row is %d characters wide and its table %d:\n%s", n, width, line)
		}
	}
}

func TestAReportLinesUp(t *testing.T) {
	e := evidence{
		Workload: "w.yaml", Goal: tuning.GoalCPU, Repeats: 5,
		Observations: []*tuning.Observation{{
			CPU: tuning.Ranking{Classes: []tuning.Share{{Name: "gc", Part: 0.5}, {Name: "network", Part: 0.05}}, Labels: map[string][]tuning.Share{
				"api": {{Name: "Produce", Part: 1}}, "plugin": {{Name: tuning.Unlabelled, Part: 1}},
			}},
			PluginMillis: map[string]float64{"mask": 0.25}, RequestBytes: 200,
		}},
		Trials: []tuning.Trial{
			{Proposal: tuning.Proposal{Rule: "eager-gc", Why: "the collector runs often", Change: tuning.Change{Kind: tuning.Setting, Key: "gc.percent", From: "5", To: "200"}},
				Verdict: tuning.Kept, Reason: "better: all of it", Rows: []tuning.Row{{Phase: "p", Metric: "broker CPU", Unit: "s/GB", Without: []float64{2, 2.1, 1.9}, With: []float64{1, 1, 1}, Ratio: 0.5, Low: 0.4, High: 0.6, Verdict: "better"}}},
			{Proposal: tuning.Proposal{Rule: "tiny-batches", Why: "they are tiny", Change: tuning.Change{Kind: tuning.Workload, Key: "batch", From: "200", To: "65536"}}, Verdict: tuning.Unresolved, Reason: "who knows"},
		},
	}
	report := e.report()
	linesUp(t, report)
	for _, want := range []string{"1 of 2 changes were kept: setting gc.percent: 5 → 200.", "gc.percent=200", "| p     | broker CPU, s/GB |", "Plugin mask: 0.25 ms", "| Produce | 100.0 % |"} {
		if !strings.Contains(report, want) {
			t.Errorf("%q is not in the report:\n%s", want, report)
		}
	}
	if strings.Contains(report, tuning.Unlabelled) {
		t.Error("a table says that nothing has a plugin")
	}
	if p := e.properties(); !strings.Contains(p, "# was: 5\ngc.percent=200\n") || strings.Contains(p, "batch") {
		t.Errorf("the settings to change are:\n%s", p)
	}
}

// Whether a plugin can be done without is for people: what says so must not take effect by
// being copied into server.properties.
func TestAPluginIsNotTakenOutByTheFile(t *testing.T) {
	e := &evidence{Workload: "w", Goal: tuning.GoalCPU, Trials: []tuning.Trial{{
		Proposal: tuning.Proposal{Rule: "slow-plugin", Why: "plugin mask takes 60 %", Loses: "what plugin mask does", Change: tuning.Change{Kind: tuning.Setting, Key: "interceptors", From: "mask,stamp", To: "stamp"}},
		Verdict:  tuning.Kept,
	}}}
	for line := range strings.Lines(e.properties()) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
			t.Errorf("%q takes effect", text)
		}
	}
	for _, text := range []string{e.properties(), e.report()} {
		if !strings.Contains(text, "Nobody does") || !strings.Contains(text, "mask,stamp → stamp") {
			t.Errorf("it does not say what is lost:\n%s", text)
		}
	}
}

func TestSettingsThatAreOurOwnAreLeftOut(t *testing.T) {
	o := options{override: []string{"listeners=PLAINTEXT://127.0.0.1:1", "log.dirs=/elsewhere", "num.io.threads=3"}}
	got, err := o.brokerSettings()
	if err != nil || len(got) != 1 || got["num.io.threads"] != "3" {
		t.Errorf("the settings are %v (%v)", got, err)
	}
}

// Modules of plugins lie beside the data of the broker that is tuned; those that are measured have folders of their own.
func TestFilesOfPluginsAreFound(t *testing.T) {
	for given, want := range map[string]string{"log.dirs=/data/a,/data/b": "/data/a/plugins", "plugin.dir=/modules": "/modules"} {
		o := options{override: []string{"plugins=mask", given}}
		if got, err := o.brokerSettings(); err != nil || got["plugin.dir"] != want {
			t.Errorf("%s: plugin.dir is %q (%v), want %s", given, got["plugin.dir"], err, want)
		}
	}
}

func TestTheEnvironmentIsTheSides(t *testing.T) {
	t.Setenv("GOGC", "7")
	if env := environment(map[string]string{"GOGC": "100"}); !slices.Contains(env, "GOGC=100") || slices.Contains(env, "GOGC=7") {
		t.Error("the environment of this process wins")
	}
	if env := environment(nil); slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "GOGC=") }) {
		t.Error("what was taken away is there")
	}
	o := options{env: []string{"GOGC=50"}}
	if b, err := o.begin(); err != nil || b.Environment["GOGC"] != "50" {
		t.Errorf("it begins with %v (%v)", b.Environment, err)
	}
	o.env = []string{"PATH=x"}
	if _, err := o.begin(); err == nil {
		t.Error("any variable is taken")
	}
}

func TestAGuidedBuildMustBeBetterSomewhereAndWorseNowhere(t *testing.T) {
	for name, test := range map[string]struct {
		verdicts []tuning.Verdict
		want     bool
	}{
		"better in one":        {[]tuning.Verdict{tuning.Kept, tuning.Unresolved}, true},
		"better and worse":     {[]tuning.Verdict{tuning.Kept, tuning.Dropped}, false},
		"nobody can tell":      {[]tuning.Verdict{tuning.Unresolved, tuning.Unresolved}, false},
		"nothing was measured": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := worthwhile(test.verdicts); got != test.want {
				t.Errorf("worth it: %v, want %v", got, test.want)
			}
		})
	}
}

// profiled is a file with a profile of 5 ns.
func profiled(t *testing.T, path string) {
	t.Helper()
	f := &profile.Function{ID: 1, Name: "x.f"}
	at := &profile.Location{ID: 1, Line: []profile.Line{{Function: f}}}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}, PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1,
		Function: []*profile.Function{f}, Location: []*profile.Location{at}, Sample: []*profile.Sample{{Value: []int64{5}, Location: []*profile.Location{at}}},
	}
	var data bytes.Buffer
	if err := p.Write(&data); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Profiles that the time before has left in the folder can be named, though it is emptied.
func TestProfilesForABuildAreAddedUp(t *testing.T) {
	dir := t.TempDir()
	runs, merged := filepath.Join(dir, "runs"), filepath.Join(dir, "default.pgo")
	if err := os.Mkdir(runs, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		profiled(t, filepath.Join(runs, fmt.Sprintf("cpu-%d.pb.gz", i)))
	}
	tools := t.TempDir() // with a compiler that makes nothing
	if err := os.WriteFile(filepath.Join(tools, "go"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools)
	g := guided{workload: "compare", source: dir, out: dir, modes: []string{"os"}, repeats: results.MinRepeats, goal: tuning.GoalCPU}
	for name, test := range map[string]struct {
		change func(g *guided)
		want   string
	}{
		"no such profiles": {func(g *guided) { g.profiles = []string{filepath.Join(runs, "cpu-*"), filepath.Join(runs, "none-*")} }, "none-*"},
		"no such workload": {func(g *guided) { g.workload = filepath.Join(dir, "none.yaml") }, "none.yaml"},
		"a pattern":        {func(g *guided) { g.profiles = []string{"["} }, "syntax error"},
	} {
		wrong := g
		test.change(&wrong)
		if err := wrong.run(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	g.profiles = []string{filepath.Join(runs, "cpu-*.pb.gz")}
	if err := g.run(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "plain") {
		t.Errorf("a program that was not made gave %v", err)
	}
	data, err := os.ReadFile(merged)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := profile.ParseData(data); err != nil || len(p.Sample) != 1 || p.Sample[0].Value[0] != 10 {
		t.Errorf("two profiles of 5 make %v (%v)", p, err)
	}
}

func TestTooFewRunsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"--repeats", "4"}, {"pgo", "--repeats", "3"}, {"--goal", "fame"}} {
		c := Command()
		c.SetArgs(args)
		c.SilenceErrors, c.SilenceUsage = true, true
		if err := c.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
	if results.MinRepeats < 5 {
		t.Error("five runs of each side is the least that tells")
	}
}

// What was measured when the command is ended counts, and that it was ended is an error.
func TestATrialThatWasMeasuredIsKeptWhenItEnds(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		ctx     context.Context
		failure error
		trials  int
		ends    bool
	}{
		"measured":              {t.Context(), nil, 1, false},
		"measured, and ended":   {ended, nil, 1, true},
		"the broker fails":      {t.Context(), errNoPhase, 1, false},
		"ended in the midst":    {ended, errNoPhase, 0, true},
		"ended, and no mistake": {ended, context.Canceled, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			tuner := tuning.New(tuning.Options{Changes: 1}, tuning.Configuration{})
			tuner.Observe(&tuning.Observation{RequestBytes: 300, Batch: 300, CPU: tuning.Ranking{Classes: []tuning.Share{{Name: "network", Part: 0.6}, {Name: "scheduler", Part: 0.3}}}})
			if _, ok := tuner.Next(); !ok {
				t.Fatal("nothing is proposed")
			}
			trial, _, err := tried(test.ctx, tuner, results.Comparison{}, test.failure)
			if len(tuner.Trials) != test.trials || (trial != nil) != (test.trials > 0) || errors.Is(err, context.Canceled) != test.ends || (err != nil) != test.ends {
				t.Errorf("%d trials, %v", len(tuner.Trials), err)
			}
		})
	}
}

// Brokers that took less time than can be measured have no ratio, which JSON cannot say: what else was found is.
func TestEvidenceWithoutARatioIsWritten(t *testing.T) {
	tuner := tuning.New(tuning.Options{}, tuning.Configuration{})
	tuner.Observe(&tuning.Observation{RequestBytes: 300, Batch: 300, CPU: tuning.Ranking{Classes: []tuning.Share{{Name: "network", Part: 0.9}}}})
	var sides [2][]*results.Result
	none := 0.0
	for i := range sides {
		for range results.MinRepeats {
			phase := results.Phase{Name: "produce", Mode: results.Max, Valid: true, Rate: float64(1000 * (i + 1))}
			phase.CPU.BrokerPerGigabyte = &none
			sides[i] = append(sides[i], &results.Result{Phases: []results.Phase{phase}})
		}
	}
	trial, _ := tuner.Measured(results.Compare(sides[0], sides[1]))
	if len(trial.Rows) != 1 || trial.Rows[0].Metric != "throughput" {
		t.Errorf("the rows are %+v, want that of the throughput alone", trial.Rows)
	}
	folder := t.TempDir()
	found := evidence{Trials: tuner.Trials}
	if err := found.write(folder, func(string, ...any) {}); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "evidence.json")); err != nil || !strings.Contains(string(text), "throughput") {
		t.Errorf("the evidence is %q, %v", text, err)
	}
}
