package limits

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// The test binary started with "serve" is a stand-in for millrace that serves from kfake.
// The real one is measured by the tests of cmd/command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		serve(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

func serve(arguments []string) {
	for _, argument := range arguments {
		address, ok := strings.CutPrefix(argument, "listeners=PLAINTEXT://")
		if !ok {
			continue
		}
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			panic(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			panic(err)
		}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number))
		if err != nil {
			panic(err)
		}
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		<-end
		cluster.Close()
	}
}

// Every row file parses, measures what its checks read, and has the bounds that were set.
func TestRows(t *testing.T) {
	rows, err := Rows()
	if err != nil {
		t.Fatal(err)
	}
	want := map[int][]string{ // must, goal of every check that has a bound
		1:  slices.Repeat([]string{"≤ 1/5, ≤ 1/8"}, 4),
		2:  slices.Repeat([]string{"≤ 1/2, ≤ 1/3"}, 8),
		3:  {"≤ 1/4, ≤ 1/6", "≤ 1, ≤ 0.7"},
		4:  {"≥ 2, ≥ 4", "≥ 2, ≥ 4"},
		5:  {"≥ 0.8, ≥ 0.95", "≥ 0.8, ≥ 0.95"},
		6:  {"≥ 0.7, ≥ 0.9"},
		7:  {"≤ 0.15 ms, ≤ 0.08 ms"},
		8:  {"≤ 1/2, ≤ 1/4", "≤ 1/3, ≤ 1/8", "≤ 1/2, ≤ 1/4", "≤ 1/3, ≤ 1/8"},
		9:  {"≥ 0.8, ≥ 0.95"},
		10: {"≤ 50 ms, ≤ 20 ms", "≤ 200 ms, ≤ 50 ms", "≤ 1 s, ≤ 300 ms"},
		11: {"≤ 5 s, ≤ 2 s", "≤ 1 s, ≤ 0.3 s", "≤ 1 s, ≤ 0.3 s", "≤ 150 MiB, ≤ 80 MiB", "≤ 150 MiB, ≤ 80 MiB", "≤ 150 MiB, ≤ 80 MiB"},
		12: {"≤ 64 MiB, ≤ 24 MiB"},
		13: {"≤ 128 MiB, ≤ 32 MiB"},
		14: {"≤ 256 MiB, ≤ 96 MiB", "≤ 256 MiB, ≤ 96 MiB", "≤ 256 MiB, ≤ 96 MiB", "≤ 256 MiB, ≤ 96 MiB", "≤ 1 ms, –"},
		15: {"≥ 2, –", "≤ 1/2, –", "≤ 1/2, –", "≤ 1/2, –", "≤ 1/2, –"},
		16: {"≥ 2, –", "≤ 1/2, –", "≤ 1/2, –", "≤ 1/2, –"},
		17: {"≤ 1/2, –", "≤ 1/2, –", "≤ 1/2, –"},
		18: {"≤ 1/2, –", "≤ 1/2, –"},
		19: {"≤ 1/2, –", "≤ 1/2, –"},
		20: {"≤ 1/2, ≤ 1/4", "≤ 1/2, ≤ 1/4", "≥ 1, –", "≥ 1, –"},
		21: {"≤ 1/2, ≤ 1/4", "≤ 1/2, ≤ 1/4", "≥ 1, –", "≥ 1, –"},
		22: {"≥ 1, ≥ 2", "≤ 1/2, ≤ 1/4", "≤ 1, ≤ 1/2"},
		23: {"≤ 1.1, –", "≥ 0.9, –", "≤ 1.1, –", "≥ 0.9, –"},
		24: {"≤ 2, –", "≤ 2, –"},
		25: {"≤ 2, –"},
		26: {"≤ 2, –"},
		27: {"≤ 1.06, –", "≤ 1.06, –"},
	}
	if len(rows) != len(want) {
		t.Errorf("there are %d rows, want %d", len(rows), len(want))
	}
	for _, r := range rows {
		t.Run(r.file, func(t *testing.T) {
			if !strings.HasPrefix(r.file, fmt.Sprintf("%02d-", r.Number)) {
				t.Errorf("it is row %d", r.Number)
			}
			var got []string
			for _, c := range r.Checks {
				if c.Must.Set() {
					got = append(got, fmt.Sprintf("%s, %s", c.Must, c.Goal))
				}
			}
			if !slices.Equal(got, want[r.Number]) {
				t.Errorf("its bounds are %q, want %q", got, want[r.Number])
			}
			if strings.TrimSpace(r.Limit) == "" {
				t.Error("it does not say what limits it now")
			}
			for _, s := range r.Sides {
				full, err := r.work(s, false, 0)
				if err != nil {
					t.Fatal(err)
				}
				small, err := r.work(s, true, 0)
				if err != nil {
					t.Fatal(err)
				}
				if volume(small) > 1e9 {
					t.Errorf("a quick run of %s writes %d bytes", s.Name, volume(small))
				}
				if full != nil && volume(full) > 100e6 && volume(small) >= volume(full) {
					t.Errorf("a quick run of %s writes as much as another", s.Name)
				}
			}
		})
	}
}

const goodRow = `row: 1
what: something
sides:
  - {name: a, broker: millrace}
  - {name: b, broker: kafka}
checks:
  - {what: speed, side: a, against: b, phase: p, figure: throughput, must: ≥ 2, goal: ≥ 4}
`

const goodWorkload = "---\nname: w\nphases:\n  - {name: p, do: produce, duration: 1s}\n"

func TestWhatIsWrongWithARow(t *testing.T) {
	if r, err := Parse("good.yaml", []byte(goodRow+goodWorkload)); err != nil {
		t.Fatalf("the row that the others are made from: %v", err)
	} else if err := crossed([]Row{*r}); err != nil {
		t.Fatalf("the row that the others are made from: %v", err)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"an unknown key":           {"what: something", "why: something", "why"},
		"no number":                {"row: 1", "row: 0", "row is missing"},
		"an unknown broker":        {"broker: kafka", "broker: rabbit", `broker is "rabbit"`},
		"two sides of a name":      {"name: b", "name: a", "there twice"},
		"settings for Kafka":       {"broker: kafka", "broker: kafka, settings: {a: b}", "one Kafka serves all rows"},
		"an end without a start":   {"{name: a, broker: millrace}", "{name: a, broker: millrace, end: stop}", "end is for probe start"},
		"an unknown end":           {"{name: a, broker: millrace}", "{name: a, broker: millrace, end: burn}", `end is "burn"`},
		"an unknown probe":         {"row: 1", "row: 1\nprobe: moon", `no probe "moon"`},
		"an unknown figure":        {"figure: throughput", "figure: charm", `no figure "charm"`},
		"a bound without a sign":   {"must: ≥ 2", "must: 2", "a bound is"},
		"a goal and no must":       {"must: ≥ 2, ", "", "a goal and no must"},
		"a workload with an error": {"duration: 1s", "duration: long", "good.yaml:11: duration"},
		"no workload":              {goodWorkload, "", "needs a probe, or a workload"},
		"a bad override":           {"{name: a, broker: millrace}", "{name: a, broker: millrace, set: [bach=1]}", `unknown key "bach"`},
		"a side that is not there": {"side: a", "side: c", `no side "c"`},
		"against nobody":           {"against: b", "against: c", `no side "c"`},
		"a phase that is not run":  {"phase: p", "phase: q", `no phase "q"`},
		"a figure of the run":      {"phase: p, figure: throughput", "figure: first answer", `no figure "first answer"`},
		"less a figure":            {"figure: throughput", "figure: throughput, minus: charm", `no figure "charm"`},
		"a row that is not there":  {"side: a", "row: 7, side: a", "there is no row 7"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodRow+goodWorkload, test.old, test.new, 1)
			if text == goodRow+goodWorkload {
				t.Fatal("nothing was changed")
			}
			r, err := Parse("good.yaml", []byte(text))
			if err == nil {
				err = crossed([]Row{*r})
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one that says %q", err, test.want)
			}
		})
	}
	r, err := Parse("good.yaml", []byte(goodRow+goodWorkload))
	if err != nil {
		t.Fatal(err)
	}
	if err := crossed([]Row{*r, *r}); err == nil || !strings.Contains(err.Error(), "there twice") {
		t.Errorf("a number that two rows have: %v", err)
	}
}

// A row that reads others' runs has their sides measured, and no more of them.
func TestPlan(t *testing.T) {
	rows, err := Rows()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		rows []int
		want string
	}{
		"memory alone":            {[]int{14}, "1 millrace 6 partitions; 2 millrace 6 partitions; 4 millrace 1 partition, millrace 6 partitions"},
		"memory and a row of its": {[]int{14, 1}, "1 millrace 1 partition, kafka 1 partition, millrace 6 partitions, kafka 6 partitions; 2 millrace 6 partitions; 4 millrace 1 partition, millrace 6 partitions"},
		"Kafka comes first":       {[]int{7, 8}, "8 millrace, kafka; 7 millrace"},
		"twice the same":          {[]int{7, 7}, "7 millrace"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := plan(rows, test.rows)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range all {
				var sides []string
				for _, s := range p.sides {
					sides = append(sides, s.Name)
				}
				got = append(got, fmt.Sprintf("%d %s", p.Number, strings.Join(sides, ", ")))
			}
			if strings.Join(got, "; ") != test.want {
				t.Errorf("got %s, want %s", strings.Join(got, "; "), test.want)
			}
		})
	}
	if all, err := plan(rows, nil); err != nil || len(all) != len(rows)-1 {
		t.Errorf("all rows are %d to run (%v); row 14 only reads", len(all), err)
	}
	if _, err := plan(rows, []int{99}); err == nil || !strings.Contains(err.Error(), "rows are 1 to 27") {
		t.Errorf("a row that is not there: %v", err)
	}
	if needed, err := NeedKafka([]int{7, 12, 14}); err != nil || needed {
		t.Errorf("Kafka is needed for rows without it: %v, %v", needed, err)
	}
	if needed, err := NeedKafka([]int{20}); err != nil || !needed {
		t.Errorf("the row of Kafka's producer does without its jars: %v, %v", needed, err)
	}
	if needed, err := NeedKafka(nil); err != nil || !needed {
		t.Errorf("Kafka is not needed for all rows: %v, %v", needed, err)
	}
}

func TestVolumeAndSide(t *testing.T) {
	rows, err := Rows()
	if err != nil {
		t.Fatal(err)
	}
	start := rows[9]
	for name, test := range map[string]struct {
		side   string
		quick  bool
		volume int64
		want   int64
	}{
		"as written":               {"killed", false, 0, 20e9},
		"quick":                    {"killed", true, 0, 300e6},
		"asked for":                {"killed", false, 7e9, 7e9},
		"quick and asked for":      {"killed", true, 5e6, 5e6},
		"the side has its own say": {"1000 partitions", false, 7e9, 64e6},
	} {
		side, ok := start.side(test.side)
		if !ok {
			t.Fatalf("no side %s", test.side)
		}
		if w, err := start.work(side, test.quick, test.volume); err != nil || volume(w) != test.want {
			t.Errorf("%s: %d bytes, want %d (%v)", name, volume(w), test.want, err)
		}
	}
}

func options(t *testing.T, rows ...int) Options {
	t.Helper()
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	return Options{Rows: rows, Repeats: 2, Quick: true, Out: filepath.Join(dir, "results"), Work: work}
}

// A row is measured as often as asked, in turn, and leaves results and no broker's folder.
func TestRun(t *testing.T) {
	o := options(t, 7, 12)
	var steps []string
	o.Progress = func(s Step) {
		steps = append(steps, fmt.Sprintf("%d/%d %d %s %d", s.Done, s.All, s.Row, s.Side, s.Repeat))
	}
	paths, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"0/4 7 millrace 1", "1/4 7 millrace 2", "2/4 12 millrace 1", "3/4 12 millrace 2"}; !slices.Equal(steps, want) {
		t.Errorf("measured %q, want %q", steps, want)
	}
	all, err := results.ReadAll(o.Out)
	if err != nil || len(all) != 4 || len(paths) != 4 {
		t.Fatalf("%d results, %d paths: %v", len(all), len(paths), err)
	}
	for _, r := range all {
		if r.Labels[results.QuickLabel] == "" || r.Labels[results.SideLabel] != "millrace" {
			t.Errorf("%s has the labels %v", r.ID, r.Labels)
		}
		for _, name := range diskFigures {
			if m, ok := r.Figure(name); r.Suite == results.LimitSuite(7) && (!ok || m.Value <= 0) {
				t.Errorf("%s: %s is %v", r.ID, name, m)
			}
		}
		if m, ok := r.Figure(memoryBefore); r.Suite == results.LimitSuite(12) && (!ok || m.Value < 1<<20) {
			t.Errorf("%s: the baseline is %v", r.ID, m)
		}
	}
	limits, err := Limits()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range limits {
		for _, outcome := range l.Judge(all) {
			if measured := l.Row == 7 || l.Row == 12; measured == (outcome.Verdict == results.NotMeasured) {
				t.Errorf("row %d, %s: %s", l.Row, outcome.What, outcome.Verdict)
			}
		}
	}
	if left, err := os.ReadDir(o.Work); err != nil || len(left) > 0 {
		t.Errorf("%d folders are left: %v", len(left), err)
	}
}

// A row that fails is told, and the others are measured.
func TestAFailedRowDoesNotEndTheRun(t *testing.T) {
	o := options(t, 9, 7)
	o.Repeats, o.Volumes = 1, map[int]int64{9: 1e17}
	failed := 0
	o.Failed = func(row int, _ error) { failed = row }
	paths, err := Run(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "needs 110000001.1 GB free") || !strings.Contains(err.Error(), "--volume 9=") {
		t.Errorf("the error is %v", err)
	}
	if failed != 9 || len(paths) != 1 {
		t.Errorf("row %d failed, %d results", failed, len(paths))
	}
}

func TestQuiet(t *testing.T) {
	for name, test := range map[string]struct {
		seen []loadgen.Usage
		want bool
	}{
		"idle":              {[]loadgen.Usage{{CPU: time.Second, Resident: 50 << 20}, {CPU: time.Second + 10*time.Millisecond, Resident: 50 << 20}}, true},
		"busy":              {[]loadgen.Usage{{CPU: time.Second}, {CPU: 2 * time.Second}}, false},
		"growing":           {[]loadgen.Usage{{Resident: 50 << 20}, {Resident: 60 << 20}}, false},
		"up and down again": {[]loadgen.Usage{{Resident: 50 << 20}, {Resident: 60 << 20}, {Resident: 50 << 20}}, false},
	} {
		if got := quiet(test.seen); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOnlyTheWordOfTheBrokerIsThatAPluginWasCutOff(t *testing.T) {
	for _, test := range []struct {
		answered error
		wanted   bool
	}{{fmt.Errorf("as it comes: %w", kerr.PolicyViolation), true}, {nil, false}, {kerr.InvalidRecord, false}, {context.DeadlineExceeded, false}, {kerr.NotLeaderForPartition, false}} {
		if err := cutOff(test.answered); (err == nil) != test.wanted {
			t.Errorf("%v: %v", test.answered, err)
		}
	}
}

// A result has the settings of its side, not the folder that the modules were in.
func TestResultsDoNotSayWhereModulesWere(t *testing.T) {
	dir := t.TempDir()
	side := map[string]string{"plugin.dir": modulesFolder, "plugins": "cards"}
	told := maps.Clone(side)
	for key, value := range side {
		var err error
		if told[key], err = placed(value, dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(told["plugin.dir"], "mask.wasm")); err != nil {
		t.Fatal(err)
	}
	before := maps.Clone(told)
	if got := unplaced(told, dir); !maps.Equal(got, side) || !maps.Equal(told, before) {
		t.Errorf("a result says %v, the broker is told %v", got, told)
	}
}
