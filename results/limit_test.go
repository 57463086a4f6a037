package results

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file; then read the diff")

func TestBound(t *testing.T) {
	for text, want := range map[string]Bound{
		"≤ 1/5":    {"≤ 1/5", false, 0.2},
		"≥ 0.8":    {"≥ 0.8", true, 0.8},
		"≤ 50 ms":  {"≤ 50 ms", false, 0.05},
		"≤ 64 MiB": {"≤ 64 MiB", false, 64 << 20},
	} {
		var b Bound
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s is %+v, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "1/5", "< 1/5", "≤ a", "≤ 1/b", "≤ 1/0", "≤ 5 miles", "≤ 5 ms more"} {
		var b Bound
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for a bound", text)
		}
	}
}

func bound(t *testing.T, text string) (b Bound) {
	t.Helper()
	if text != "" {
		if err := b.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// limitRun is a run of row 1 with the given throughput, and a start time.
func limitRun(t *testing.T, side string, run int, megabytes float64) *Result {
	t.Helper()
	r := sample(t, side, run, 1000, 200)
	r.Suite, r.Labels = LimitSuite(1), map[string]string{RowLabel: "1", SideLabel: side}
	r.Environment.Git = "aaaaaaaaaaaa"
	r.Phases = r.Phases[:1]
	r.Phases[0].Megabytes = megabytes
	r.Figures = []Measured{{"start", Seconds, megabytes / 1000}, {"disk", Seconds, 0.0001}}
	r.Identify()
	return r
}

func limitRuns(t *testing.T, side string, megabytes ...float64) (all []*Result) {
	t.Helper()
	for i, v := range megabytes {
		all = append(all, limitRun(t, side, i+1, v))
	}
	return all
}

func TestVerdicts(t *testing.T) {
	kafka := []float64{100, 101, 99, 100, 100}
	for name, test := range map[string]struct {
		ours    []float64
		against bool
		must    string
		goal    string
		change  func([]*Result)
		want    Verdict
		why     string
	}{
		"goal met":             {[]float64{410, 420, 430, 415, 425}, true, "≥ 2", "≥ 4", nil, GoalMet, ""},
		"met":                  {[]float64{310, 320, 330, 315, 325}, true, "≥ 2", "≥ 4", nil, Met, ""},
		"met, goal undecided":  {[]float64{310, 320, 430, 415, 425}, true, "≥ 2", "≥ 4", nil, Met, ""},
		"not met":              {[]float64{110, 120, 130, 115, 125}, true, "≥ 2", "≥ 4", nil, NotMet, ""},
		"unresolved":           {[]float64{190, 195, 205, 210, 215}, true, "≥ 2", "≥ 4", nil, Unresolved, "includes the bound"},
		"too few":              {[]float64{410, 420, 430, 415}, true, "≥ 2", "≥ 4", nil, Unresolved, "4 of 5 valid runs"},
		"at most, goal met":    {[]float64{10, 11, 12, 10, 11}, true, "≤ 1/5", "≤ 1/8", nil, GoalMet, ""},
		"at most, met":         {[]float64{15, 16, 17, 15, 16}, true, "≤ 1/5", "≤ 1/8", nil, Met, ""},
		"at most, not met":     {[]float64{25, 26, 27, 25, 26}, true, "≤ 1/5", "≤ 1/8", nil, NotMet, ""},
		"a value, goal met":    {[]float64{10, 11, 12, 10, 11}, false, "≤ 50 ms", "≤ 20 ms", nil, GoalMet, ""},
		"a value, met":         {[]float64{30, 31, 32, 30, 31}, false, "≤ 50 ms", "≤ 20 ms", nil, Met, ""},
		"a value, not met":     {[]float64{60, 61, 62, 60, 61}, false, "≤ 50 ms", "≤ 20 ms", nil, NotMet, ""},
		"a value, unresolved":  {[]float64{45, 48, 49, 55, 58}, false, "≤ 50 ms", "≤ 20 ms", nil, Unresolved, "includes the bound"},
		"for information":      {[]float64{10}, false, "", "", nil, Information, ""},
		"missing":              {nil, false, "≤ 50 ms", "≤ 20 ms", nil, NotMeasured, ""},
		"one side is missing":  {nil, true, "≥ 2", "≥ 4", nil, NotMeasured, ""},
		"quick runs":           {[]float64{10, 11, 12, 10, 11}, false, "≤ 50 ms", "≤ 20 ms", func(all []*Result) { all[0].Labels[QuickLabel] = "true" }, Unresolved, "4 of 5 valid runs"},
		"quick runs alone":     {[]float64{10}, false, "≤ 50 ms", "≤ 20 ms", func(all []*Result) { all[0].Labels[QuickLabel] = "true" }, QuickRun, ""},
		"runs of older builds": {[]float64{10, 11, 12, 10, 11}, false, "≤ 50 ms", "≤ 20 ms", func(all []*Result) { all[0].Environment.Git = "bbbbbbbbbbbb" }, Unresolved, "4 of 5 valid runs"},
		"INVALID ones": {[]float64{410, 420, 430, 415, 425}, true, "≥ 2", "≥ 4", func(all []*Result) {
			all[2].Phases[0].Valid, all[2].Phases[0].InvalidReason = false, "late"
		}, Unresolved, "4 of 5 valid runs"},
	} {
		t.Run(name, func(t *testing.T) {
			all := limitRuns(t, "millrace", test.ours...)
			c := Check{What: "x", Side: "millrace", Must: bound(t, test.must), Goal: bound(t, test.goal), Figure: "start"}
			if test.against {
				c.Against, c.Phase, c.Figure = "kafka", "produce", "throughput"
				all = append(all, limitRuns(t, "kafka", kafka...)...)
			}
			if test.change != nil {
				test.change(all)
			}
			o := Limit{Row: 1, Checks: []Check{c}}.Judge(all)[0]
			if o.Verdict != test.want || !strings.Contains(o.Why, test.why) {
				t.Errorf("%s (%s), want %s (%s): %v in %v", o.Verdict, o.Why, test.want, test.why, o.Value, o.Spread)
			}
		})
	}
}

// A figure of the same run is taken off run by run, and may leave less than nothing.
func TestMinus(t *testing.T) {
	all := limitRuns(t, "millrace", 0.05, 0.3, 0.4)
	c := Check{Side: "millrace", Figure: "start", Minus: "disk"}
	o := Limit{Row: 1, Checks: []Check{c}}.Judge(all)[0]
	for i, want := range []float64{-50e-6, 200e-6, 300e-6} {
		if math.Abs(o.Ours[i]-want) > 1e-12 {
			t.Errorf("run %d leaves %v, want %v", i, o.Ours[i], want)
		}
	}
	if o.measured() != "200 µs [−50 µs–300 µs]" {
		t.Errorf("it reads %s", o.measured())
	}
	all[1].Labels[VolumeLabel] = "10 GB"
	if o := (Limit{Row: 1, Checks: []Check{c}}).Judge(all)[0]; o.measured() != "200 µs [−50 µs–300 µs], with 10 GB instead" {
		t.Errorf("with another volume it reads %s", o.measured())
	}
	c.Minus = "moon"
	if o := (Limit{Row: 1, Checks: []Check{c}}).Judge(all)[0]; o.Verdict != NotMeasured {
		t.Errorf("without what is to be taken off it is %s", o.Verdict)
	}
}

func TestQuarters(t *testing.T) {
	series := func(rates ...float64) (s []Point) {
		for i, r := range rates {
			s = append(s, Point{T: float64(i + 1), Megabytes: r})
		}
		return s
	}
	for name, test := range map[string]struct {
		series []Point
		want   [4]float64
	}{
		"even":                   {series(100, 100, 100, 100), [4]float64{100, 100, 100, 100}},
		"slower":                 {series(100, 100, 50, 50, 50, 50), [4]float64{100, 100, 50, 50}},
		"quarters within points": {series(200, 200), [4]float64{200, 200, 200, 200}},
		"a standstill":           {series(100, 100, 100, 0, 0, 0, 100), [4]float64{100, 100, 100, 25}},
		"after a warm-up":        {append([]Point{{T: 1, Warmup: true, Megabytes: 7}}, Point{T: 2, Megabytes: 80}, Point{T: 3, Megabytes: 40}, Point{T: 4, Megabytes: 40}), [4]float64{80, 80, 40, 40}},
	} {
		p := Phase{Series: test.series}
		got, ok := p.Quarters()
		for i := range got {
			if !ok || math.Abs(got[i]-test.want[i]) > 1e-9 {
				t.Errorf("%s: %v, want %v", name, got, test.want)
				break
			}
		}
	}
	for _, p := range []Phase{{}, {Series: series(0, 0)}} {
		if got, ok := p.Quarters(); ok {
			t.Errorf("nothing has the quarters %v", got)
		}
	}
}

func TestAround(t *testing.T) {
	if i := Around([]float64{1, 2, 3, 4, 100}); i.Low != 1 || i.High != 100 {
		t.Errorf("five values far apart: %v", i)
	}
	if i := Around([]float64{7}); i.Low != 7 || i.High != 7 {
		t.Errorf("one value: %v", i)
	}
}

// limitsOf is a small table and its runs: every kind of line there is.
func limitsOf(t *testing.T) ([]Limit, []*Result) {
	all := append(limitRuns(t, "millrace", 410, 420, 430, 415, 425), limitRuns(t, "kafka", 100, 101, 99, 100, 100)...)
	for i, r := range all {
		r.Started = r.Started.Add(time.Duration(i) * time.Minute)
		r.Identify()
	}
	late := limitRun(t, "kafka", 6, 5)
	late.Valid, late.InvalidReason = false, "produce: late"
	late.Phases[0].Valid, late.Phases[0].InvalidReason = false, "the load generator was late"
	old := limitRun(t, "millrace", 7, 5)
	old.Environment.Git, old.Started = "bbbbbbbbbbbb", old.Started.Add(-time.Hour)
	old.Identify()
	all = append(all, late, old)
	slices.SortStableFunc(all, func(a, b *Result) int { return a.Started.Compare(b.Started) })
	rate := Check{What: "16 connections", Side: "millrace", Against: "kafka", Phase: "produce", Figure: "throughput", Must: bound(t, "≥ 2"), Goal: bound(t, "≥ 4")}
	start := Check{What: "start", Side: "millrace", Figure: "start", Must: bound(t, "≤ 50 ms"), Goal: bound(t, "≤ 20 ms")}
	bare := Check{What: "for information", Side: "millrace", Figure: "disk"}
	other := Check{What: "memory in row 1", Row: 1, Side: "millrace", Phase: "produce", Figure: "broker memory", Must: bound(t, "≤ 256 MiB"), Goal: bound(t, "≤ 96 MiB")}
	return []Limit{
		{Row: 1, What: "rate", Checks: []Check{rate, start, bare}, Now: "The kernel's copy.\n"},
		{Row: 2, What: "nothing", Checks: []Check{start}},
		{Row: 14, What: "memory", Checks: []Check{other}, Now: "Nothing."},
	}, all
}

func TestLimitsSection(t *testing.T) {
	limits, all := limitsOf(t)
	var out bytes.Buffer
	if err := Benchmarks(&out, all, limits); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "limits.md")
	if *rewrite {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("it reads\n%s\nwant (go test ./results -run LimitsSection -rewrite)\n%s", out.String(), want)
	}
}

// What is measured for the one half of BENCHMARKS.md changes nothing in the other.
func TestLimitsAndPeersKeepApart(t *testing.T) {
	limits, limited := limitsOf(t)
	compared := append(runs(t, "kafka", 5, 1000, 200, 0.1), runs(t, "millrace", 5, 2000, 50, 0.1)...)
	page := func(all []*Result) (peers, table string) {
		var out bytes.Buffer
		if err := Benchmarks(&out, all, limits); err != nil {
			t.Fatal(err)
		}
		peers, table, ok := strings.Cut(out.String(), "\n## Limits\n")
		if !ok {
			t.Fatalf("there is no section of limits:\n%s", out.String())
		}
		return peers, table
	}
	both := slices.Concat(compared, limited)
	peersAlone, nothing := page(compared)
	_, tableAlone := page(limited)
	peers, table := page(both)
	if peers != peersAlone {
		t.Error("the comparison with Kafka changed")
	}
	if table != tableAlone {
		t.Error("the table of limits changed")
	}
	if strings.Count(nothing, string(NotMeasured)) != 5 || strings.Contains(nothing, "MB/s") {
		t.Errorf("without runs of its own the table is\n%s", nothing)
	}
}
