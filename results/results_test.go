package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/engine/fuzz"
)

// sample is a valid result with plausible figures around the given rate and latency.
func sample(t testing.TB, system string, run int, rate, micros float64) *Result {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(run), uint64(len(system))))
	h := NewHistogram()
	for range 5000 {
		if err := h.RecordValue(Clamp(int64(micros * 1e3 * (0.5 + random.ExpFloat64())))); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Summarize(h)
	if err != nil {
		t.Fatal(err)
	}
	cpu, memory := 1/rate*1e6, int64(50<<20)
	one := func(name, kind, mode string) Phase {
		p := Phase{
			Name: name, Kind: kind, Mode: mode, Seconds: 5, WarmupSeconds: 1, Sent: 5000, Acked: 5000, Received: 5000, Errors: map[string]int64{}, Bytes: 500000,
			Rate: rate, Megabytes: rate / 1e4, Valid: true, Latency: map[string]Latency{Service: l, Response: l, E2E: l, Fetch: l},
			CPU: CPU{ClientSeconds: 1, BrokerSeconds: &cpu, BrokerPerGigabyte: &cpu, ClientPerGigabyte: 0.1}, Memory: Memory{BrokerPeak: &memory},
		}
		if mode == Fixed {
			p.IntendedRate = rate
		}
		for i := range 6 {
			p.Series = append(p.Series, Point{T: float64(i + 1), Warmup: i == 0, Rate: rate * (0.9 + 0.2*random.Float64()), P50: l.P50, P99: l.P99, Max: l.Max})
		}
		return p
	}
	r := &Result{
		Schema: Version, Suite: "peers", System: system, Run: run, Started: time.Date(2026, 11, 21, 3, 0, run, 0, time.UTC),
		Labels: map[string]string{"flush": "os", "record": "100", "batch": "16384", "partitions": "1"}, Workload: map[string]any{"name": "peers", "file": "name: peers"},
		Driver: Driver{"own", "go1.26", "127.0.0.1:9092"}, Environment: Environment{CPU: "test", Cores: 2, Go: "go1.26", Memory: 1 << 34}, Valid: true,
		Phases: []Phase{one("produce", Produce, Max), one("consume", Consume, Max), one("steady", EndToEnd, Fixed)},
	}
	r.Identify()
	return r
}

func TestResultSurvivesItsFile(t *testing.T) {
	dir := t.TempDir()
	r := sample(t, "Apache Kafka", 3, 1000, 200)
	path, err := Write(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	if want := "2026-11-21T030003-peers-apache-kafka-3.json"; filepath.Base(path) != want {
		t.Errorf("the file is %s, want %s", filepath.Base(path), want)
	}
	if _, err := Write(dir, r); err == nil {
		t.Error("a result was replaced")
	}
	all, err := ReadAll(dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d results, %v", len(all), err)
	}
	was, _ := json.Marshal(r)
	is, _ := json.Marshal(all[0])
	if !bytes.Equal(was, is) {
		t.Errorf("it came back as\n%.300s\nwas\n%.300s", is, was)
	}
	h, err := all[0].Phases[0].Latency[Service].Histogram()
	if err != nil || h.TotalCount() != 5000 {
		t.Errorf("the histogram came back with %v", err)
	}
}

// Every rule of the schema must reject something.
func TestValidateRejects(t *testing.T) {
	good, err := json.Marshal(sample(t, "x", 1, 1000, 200))
	if err != nil {
		t.Fatal(err)
	}
	if err := Validate(good); err != nil {
		t.Fatalf("the result that the others are made from: %v", err)
	}
	for name, test := range map[string]struct {
		change func(r, phase map[string]any)
		want   string
	}{
		"another version":    {func(r, _ map[string]any) { r["schema"] = 2 }, "schema: is 2, allowed is 1"},
		"a missing field":    {func(r, _ map[string]any) { delete(r, "suite") }, `"suite" is missing`},
		"an unknown field":   {func(r, _ map[string]any) { r["speed"] = 1 }, `"speed" is not a known field`},
		"text for a number":  {func(_, p map[string]any) { p["sent"] = "many" }, "phases[0].sent: is \"many\", allowed is integer"},
		"half a record":      {func(_, p map[string]any) { p["acked"] = 1.5 }, "phases[0].acked"},
		"less than nothing":  {func(_, p map[string]any) { p["bytes"] = -1 }, "the least allowed is 0"},
		"an unknown kind":    {func(_, p map[string]any) { p["kind"] = "think" }, "phases[0].kind"},
		"an unknown latency": {func(_, p map[string]any) { p["latency_us"].(map[string]any)["guess"] = 1 }, `"guess" is not a known field`},
		"no phases":          {func(r, _ map[string]any) { r["phases"] = []any{} }, "neither phases nor figures"},
		"no figures":         {func(r, _ map[string]any) { r["figures"] = []any{} }, "figures: has 0 elements"},
		"a figure without a known unit": {func(r, _ map[string]any) {
			r["figures"] = []any{map[string]any{"name": "start", "unit": "days", "value": 1}}
		}, "figures[0].unit"},
		"a figure twice": {func(r, _ map[string]any) {
			one := map[string]any{"name": "start", "unit": "s", "value": 1}
			r["figures"] = []any{one, one}
		}, `two figures are named "start"`},
		"a wrong id":                        {func(r, _ map[string]any) { r["id"] = "run" }, "does not match"},
		"an empty name":                     {func(_, p map[string]any) { p["name"] = "" }, "is empty"},
		"labels of numbers":                 {func(r, _ map[string]any) { r["labels"] = map[string]any{"batch": 1} }, "labels.batch"},
		"more acked than sent":              {func(_, p map[string]any) { p["acked"] = 6000 }, "6000 records were acked and only 5000 sent"},
		"invalid without why":               {func(r, _ map[string]any) { r["valid"] = false }, "invalid_reason"},
		"a valid run with an invalid phase": {func(_, p map[string]any) { p["valid"], p["invalid_reason"] = false, "late" }, "is invalid and the run is not"},
		"percentiles that fall":             {func(_, p map[string]any) { p["latency_us"].(map[string]any)["service"].(map[string]any)["p50"] = 1e9 }, "percentiles of service fall"},
		"a histogram of others":             {func(_, p map[string]any) { p["latency_us"].(map[string]any)["service"].(map[string]any)["count"] = 7 }, "counts 7 values"},
		"a broken histogram": {func(_, p map[string]any) {
			p["latency_us"].(map[string]any)["service"].(map[string]any)["hdr"] = "HISTxxxx"
		}, "latency service"},
		"a rate without rate": {func(_, p map[string]any) { p["mode"] = "rate" }, "no intended_rate"},
	} {
		t.Run(name, func(t *testing.T) {
			var r map[string]any
			if err := json.Unmarshal(good, &r); err != nil {
				t.Fatal(err)
			}
			test.change(r, r["phases"].([]any)[0].(map[string]any))
			bad, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := Validate(bad); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one that says %q", err, test.want)
			}
		})
	}
	if err := Validate([]byte("{")); err == nil {
		t.Error("half an object was accepted")
	}
	if _, err := compile([]byte(`{"maximum": 3}`)); err == nil {
		t.Error("a keyword that is not checked was accepted in the schema")
	}
}

func FuzzValidate(f *testing.F) {
	good, err := json.Marshal(sample(f, "x", 1, 1000, 200))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"schema":1,"phases":[{}]}`))
	f.Add([]byte(`{"schema":1,"figures":[{"name":"a","unit":"s","value":1}]}`))
	fuzz.Run(f, func(t *testing.T, data []byte) {
		if Validate(data) != nil {
			return
		}
		var r Result
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("valid, and cannot be read: %v", err)
		}
		if err := Report(new(bytes.Buffer), []*Result{&r}); err != nil {
			t.Fatalf("valid, and has no report: %v", err)
		}
	})
}

func runs(t *testing.T, system string, n int, rate, micros, noise float64) []*Result {
	random := rand.New(rand.NewPCG(9, uint64(len(system))))
	var all []*Result
	for i := range n {
		f := 1 + noise*(random.Float64()-0.5)
		all = append(all, sample(t, system, i, rate*f, micros/f))
	}
	return all
}

func TestCompare(t *testing.T) {
	for name, test := range map[string]struct {
		a, b                []*Result
		throughput, latency Verdict
	}{
		"twice as fast":             {runs(t, "a", 5, 1000, 200, 0.1), runs(t, "bb", 5, 2000, 100, 0.1), Better, Better},
		"half as fast":              {runs(t, "a", 6, 1000, 200, 0.1), runs(t, "bb", 5, 500, 400, 0.1), Worse, Worse},
		"five percent in noise":     {runs(t, "a", 5, 1000, 200, 0.5), runs(t, "bb", 5, 1050, 195, 0.5), Unresolved, Unresolved},
		"too few runs":              {runs(t, "a", 4, 1000, 200, 0.1), runs(t, "bb", 4, 2000, 100, 0.1), Unresolved, Unresolved},
		"the same runs":             {runs(t, "a", 5, 1000, 200, 0.2), runs(t, "a", 5, 1000, 200, 0.2), Unresolved, Unresolved},
		"faster but slower answers": {runs(t, "a", 5, 1000, 200, 0.1), runs(t, "bb", 5, 2000, 400, 0.1), Better, Worse},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]Row{}
			for _, row := range Compare(test.a, test.b).Rows {
				got[row.Phase+" "+row.Metric.Name] = row
			}
			if row := got["produce throughput"]; row.Verdict != test.throughput {
				t.Errorf("throughput is %s (%s): %.2f, %v, p = %.3f", row.Verdict, row.Why, row.Ratio, row.Spread, row.P)
			}
			if row := got["steady p99"]; row.Verdict != test.latency {
				t.Errorf("p99 is %s (%s): %.2f, %v, p = %.3f", row.Verdict, row.Why, row.Ratio, row.Spread, row.P)
			}
		})
	}
}

func TestCompareLeavesInvalidRunsOut(t *testing.T) {
	a, b := runs(t, "a", 6, 1000, 200, 0.1), runs(t, "bb", 5, 1000, 200, 0.1)
	a[0].Phases[0].Valid, a[0].Phases[0].InvalidReason, a[0].Phases[0].Rate = false, "late", 1e9
	c := Compare(a, b)
	if c.InvalidA != 1 || len(c.Rows[0].A) != 5 {
		t.Errorf("%d phases were left out, %d runs compared", c.InvalidA, len(c.Rows[0].A))
	}
	var out bytes.Buffer
	if err := c.Write(&out); err != nil || !strings.Contains(out.String(), "INVALID: 1 phases of A") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// The table of an .hgrm file, read as HdrHistogram's plotter reads it, says what the
// histogram says.
func TestPercentileFile(t *testing.T) {
	h := NewHistogram()
	for i := range int64(10000) {
		if err := h.RecordValue((i + 1) * 1000); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := WritePercentiles(&out, h); err != nil {
		t.Fatal(err)
	}
	lines, last := 0, int64(0)
	for line := range strings.Lines(out.String()) {
		var value, percentile float64
		var count int64
		if n, _ := fmt.Sscan(line, &value, &percentile, &count); n != 3 {
			continue
		}
		lines++
		last = count
		if want := float64(h.ValueAtPercentile(percentile*100)) / 1e6; percentile > 0 && (value < want*0.99 || value > want*1.01) {
			t.Errorf("at %v it says %v ms, the histogram %v", percentile, value, want)
		}
	}
	if lines < 20 || last != 10000 {
		t.Errorf("%d lines, the last counts %d", lines, last)
	}
}

func TestIntervalLogCanBeReadBack(t *testing.T) {
	var out bytes.Buffer
	start := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	log, err := NewIntervalLog(&out, start, "[test]")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		h := NewHistogram()
		if err := h.RecordValues(int64(i+1)*1e6, int64(i+1)); err != nil {
			t.Fatal(err)
		}
		if err := log.Write(h, "response", start.Add(time.Duration(i)*time.Second), start.Add(time.Duration(i+1)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	in := hdrhistogram.NewHistogramLogReader(&out)
	for i := range 3 {
		h, err := in.NextIntervalHistogram()
		if err != nil || h == nil {
			t.Fatalf("interval %d: %v", i, err)
		}
		if h.TotalCount() != int64(i+1) || h.Tag() != "response" {
			t.Errorf("interval %d has %d values, tag %q", i, h.TotalCount(), h.Tag())
		}
	}
}

func TestReportIsSelfContained(t *testing.T) {
	for name, all := range map[string][]*Result{"one": runs(t, "a", 1, 1000, 200, 0.1), "many": append(runs(t, "a", 3, 1000, 200, 0.1), runs(t, "bb", 3, 900, 300, 0.1)...)} {
		t.Run(name, func(t *testing.T) {
			all[0].Workload["file"] = "</script><script>alert(1)</script>"
			var out bytes.Buffer
			if err := Report(&out, all); err != nil {
				t.Fatal(err)
			}
			page := out.String()
			for _, want := range []string{"<svg", "class=\"line s0\"", "p99.9", all[0].ID} {
				if !strings.Contains(page, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			for _, bad := range []string{"http://", "https://", "<script>alert", "NaN", "ZgotmplZ"} {
				if strings.Contains(page, bad) {
					t.Errorf("the page contains %q", bad)
				}
			}
			if path := os.Getenv("REPORT_DIR"); path != "" {
				if err := os.WriteFile(filepath.Join(path, name+".html"), out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A run without phases has a page with its figures.
func TestReportOfFigures(t *testing.T) {
	r := sample(t, "a", 1, 1000, 200)
	r.Phases, r.Figures = []Phase{}, []Measured{{"first answer", Seconds, 0.0105}, {"memory", SizeBytes, 50 << 20}}
	var out bytes.Buffer
	if err := Report(&out, []*Result{r}); err != nil || !strings.Contains(out.String(), "10.5 ms") || !strings.Contains(out.String(), "50.0 MiB") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := Report(&out, []*Result{r, sample(t, "a", 2, 1000, 200)}); err != nil {
		t.Error(err)
	}
	if _, err := Write(t.TempDir(), r); err != nil {
		t.Error(err)
	}
}

// A run in which nothing was measured is INVALID, and still has a page that says so.
func TestReportOfNothing(t *testing.T) {
	r := sample(t, "a", 1, 1000, 200)
	r.Valid, r.InvalidReason = false, "produce: nothing was measured"
	for i := range r.Phases {
		p := &r.Phases[i]
		p.Latency, p.Valid, p.InvalidReason = nil, false, "nothing was measured"
		for j := range p.Series {
			p.Series[j] = Point{T: float64(j)}
		}
	}
	for _, all := range [][]*Result{{r}, {r, r}} {
		var out bytes.Buffer
		if err := Report(&out, all); err != nil || !strings.Contains(out.String(), "INVALID") {
			t.Errorf("%v", err)
		}
	}
}

func TestAxesOfOddValues(t *testing.T) {
	for name, a := range map[string]axis{
		"no latencies": latencyAxis(math.Inf(1), 0), "one latency": latencyAxis(1000, 1000), "large latencies": latencyAxis(1, 1e30),
		"no rate": linearAxis(0, "", shortFigure), "huge rate": linearAxis(1e300, "", shortFigure), "no time": timeAxis(0), "one value": percentileAxis(1), "many values": percentileAxis(1e18),
	} {
		if len(a.Ticks) < 2 || len(a.Ticks) > 40 || a.High <= a.Low {
			t.Errorf("%s: the axis goes from %v to %v with %d ticks", name, a.Low, a.High, len(a.Ticks))
		}
	}
}

func TestBenchmarks(t *testing.T) {
	all := append(runs(t, "kafka", 5, 1000, 200, 0.1), runs(t, "millrace", 5, 2000, 50, 0.1)...)
	bad := sample(t, "millrace", 9, 5e6, 1)
	bad.Valid, bad.InvalidReason = false, "steady: late"
	bad.Phases[2].Valid, bad.Phases[2].InvalidReason = false, "the load generator was late"
	all = append(all, bad)
	var out bytes.Buffer
	if err := Benchmarks(&out, all, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| 100 B × 16 KiB × 1 |", "**", "(1 INVALID)", "the load generator was late", "## Acknowledged from the page cache", "### Consume"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it lacks %q:\n%s", want, out.String())
		}
	}
	if err := Benchmarks(&out, nil, nil); err == nil {
		t.Error("a document was made from nothing")
	}
}

// TestBenchmarksAreOfOneBuild: what an earlier build did, better or worse, is not mixed into a cell.
func TestBenchmarksAreOfOneBuild(t *testing.T) {
	all := append(runs(t, "kafka", 5, 1000, 200, 0.1), runs(t, "millrace", 5, 2000, 50, 0.1)...)
	for _, r := range all {
		r.Environment.Git = "0123456789abcdef"
	}
	before := append(runs(t, "kafka", 5, 77000, 200, 0), runs(t, "millrace", 6, 66000, 50, 0)...)
	for _, r := range before {
		r.Environment.Git, r.Started = "fedcba9876543210", r.Started.AddDate(0, 0, -1)
	}
	var out, alone bytes.Buffer
	if err := errors.Join(Benchmarks(&out, append(before, all...), nil), Benchmarks(&alone, all, nil)); err != nil {
		t.Fatal(err)
	}
	const note = "\nNot in the tables: 11 runs of an earlier build than the cell's last.\n"
	if got := strings.Replace(out.String(), note, "", 1); got != alone.String() || got == out.String() || strings.Contains(got, "fedcba") {
		t.Errorf("with an earlier build's runs:\n%s\nwithout:\n%s", out.String(), alone.String())
	}
}

// What brokers were told is the same wherever it was measured.
func TestMeasuredResultsNameNoFolders(t *testing.T) {
	all, err := ReadAll(".")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d results: %v", len(all), err)
	}
	for _, r := range all {
		for key, value := range r.Environment.Config {
			if filepath.IsAbs(value) {
				t.Errorf("%s says %s=%s", r.ID, key, value)
			}
		}
	}
}
