package loadgen

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/results"
)

func TestShippedWorkloadsAreValid(t *testing.T) {
	names := ShippedWorkloads()
	if len(names) == 0 {
		t.Fatal("no workload is shipped")
	}
	for _, name := range names {
		w, err := FindWorkload(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if w.Name != name {
			t.Errorf("workload %s calls itself %s", name, w.Name)
		}
	}
}

func TestParseWorkload(t *testing.T) {
	w, err := ParseWorkload("w.yaml", []byte(`
name: w
topic: orders
partitions: 6
config: {segment.bytes: 1048576}
batch: 32KiB
value: {min: 50, max: 200}
producers: 3
phases:
  - name: one
    do: produce
    rate: 1.5M
    key: zipf
  - {name: two, do: consume, duration: 3s, producers: 1}
slo: ["one: p99.9 < 5ms", "one: rate > 1M"]
`))
	if err != nil {
		t.Fatal(err)
	}
	one, two := w.Phases[0], w.Phases[1]
	if one.Rate != 1.5e6 || one.Batch != 32<<10 || one.Producers != 3 || one.Key.Kind != KeyZipf || one.Value.Max != 200 {
		t.Errorf("phase one is %+v", one)
	}
	if two.Do != results.Consume || two.Duration != 3*time.Second || two.Producers != 1 || two.Key.Kind != KeyNone {
		t.Errorf("phase two is %+v", two)
	}
	if w.Config["segment.bytes"] != "1048576" || len(w.Objectives) != 2 {
		t.Errorf("config %v, objectives %v", w.Config, w.Objectives)
	}
}

func TestParseWorkloadNamesLineAndWhatIsAllowed(t *testing.T) {
	const good = "name: w\nphases:\n  - {name: p, do: produce}\n"
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"misspelt key":         {"name: w\nproducer: 3\nphases: [{name: p, do: produce}]", []string{`w.yaml:2: unknown key "producer" (meant "producers"?)`, "request_batches"}},
		"key of a phase":       {"name: w\nphases:\n  - name: p\n    do: produce\n    partitions: 3", []string{`w.yaml:5: unknown key "partitions"`}},
		"wrong word":           {"name: w\nacks: 2\nphases: [{name: p, do: produce}]", []string{`w.yaml:2: acks: "2" is not allowed; allowed is 0, 1 or all`}},
		"wrong number":         {"name: w\nproducers: many\nphases: [{name: p, do: produce}]", []string{`w.yaml:2: producers: "many"`, "1 to 10000"}},
		"wrong size":           {"name: w\n\nbatch: 16 KB\nphases: [{name: p, do: produce}]", []string{`w.yaml:3: batch: "16 KB" is not allowed`, "16KiB"}},
		"wrong time":           {"name: w\nwarmup: 10\nphases: [{name: p, do: produce}]", []string{`w.yaml:2: warmup: "10" is not allowed; allowed is a time as 2s`}},
		"wrong rate":           {"name: w\nrate: fast\nphases: [{name: p, do: produce}]", []string{`w.yaml:2: rate: "fast"`, "or max"}},
		"wrong codec":          {"name: w\ncodec: brotli\nphases: [{name: p, do: produce}]", []string{`"brotli"`, "none, gzip, snappy, lz4 or zstd"}},
		"two faults at once":   {"name: w\nacks: x\ncodec: y\nphases: [{name: p, do: produce}]", []string{"w.yaml:2", "w.yaml:3"}},
		"no phases":            {"name: w\n", []string{"phases: needs a list"}},
		"phase without do":     {"name: w\nphases:\n  - name: p", []string{"w.yaml:3", "do is missing; allowed is produce, consume or end-to-end"}},
		"same name twice":      {good + "  - {name: p, do: consume}\n", []string{`w.yaml:4: two phases are named "p"`}},
		"end-to-end at max":    {"name: w\nphases: [{name: p, do: end-to-end}]", []string{"end-to-end needs a rate"}},
		"lingering batches":    {"name: w\nlinger: 5ms\nphases: [{name: p, do: produce}]", []string{"linger needs arrival: record"}},
		"too many in flight":   {"name: w\nin_flight: 6\nphases: [{name: p, do: produce}]", []string{"in_flight up to 5"}},
		"values over batch":    {"name: w\nvalue: 1MiB\nphases: [{name: p, do: produce}]", []string{"cannot hold a value"}},
		"promise of no phase":  {good + "slo: ['q: p99 < 1ms']", []string{`there is no phase "q"`}},
		"promise without unit": {good + "slo: ['p: p99 < 1']", []string{"w.yaml:4", `"1" is not a time`}},
		"value without size":   {"name: w\nvalue: {compressibility: 0.5}\nphases: [{name: p, do: produce}]", []string{"needs size, or min and a max"}},
		"not YAML":             {"name: [", []string{"w.yaml"}},
		"empty":                {"", []string{"w.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseWorkload("w.yaml", []byte(test.text))
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
	if _, err := ParseWorkload("w.yaml", []byte(good)); err != nil {
		t.Errorf("the workload that the others are made from: %v", err)
	}
}

func FuzzParseWorkload(f *testing.F) {
	for _, name := range ShippedWorkloads() {
		text, err := shipped.ReadFile("workloads/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	fuzz.Run(f, func(t *testing.T, text []byte) {
		w, err := ParseWorkload("w.yaml", text)
		if err == nil && len(w.Phases) == 0 {
			t.Fatal("a workload without phases was accepted")
		}
	})
}

func TestBytesAndQuantity(t *testing.T) {
	for text, want := range map[string]int64{"100": 100, "16KiB": 16384, "1.5MiB": 3 << 19, "1GB": 1e9, "500kB": 500000, "0": 0} {
		if got, err := Bytes(text); err != nil || got != want {
			t.Errorf("Bytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "KiB", "1e300GiB", "NaN", "16 XB"} {
		if got, err := Bytes(text); err == nil {
			t.Errorf("Bytes(%q) = %d, want an error", text, got)
		}
	}
	if got, err := Quantity("2.5k"); err != nil || got != 2500 {
		t.Errorf("Quantity(2.5k) = %v, %v", got, err)
	}
}
