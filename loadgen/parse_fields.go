package loadgen

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk/batch"
)

func setValue(p *parsing, s *Settings, n ast.Node) error {
	if scalar, ok := n.(ast.ScalarNode); ok {
		v, err := Bytes(scalar.GetToken().Value)
		if err != nil || v < 1 || v > 64<<20 {
			return errNotAllowed
		}
		s.Value.Size, s.Value.Min, s.Value.Max = int(v), 0, 0
		return nil
	}
	v := Value{Compressibility: s.Value.Compressibility}
	p.mapping(n, func(key string, n ast.Node) bool { return take(p, valueFields, &v, key, n) }, names(valueFields), nil, nil, nil)
	switch {
	case v.Size == 0 && v.File == "" && (v.Min == 0 || v.Max < v.Min):
		return fmt.Errorf("needs size, or min and a max that is not below it, or file")
	case v.Size > 0 && v.Max > 0, v.File != "" && v.Size+v.Max+v.Digits > 0:
		return fmt.Errorf("size, min with max, and file exclude each other, and file excludes digits")
	case v.Digits > 0 && v.Digits > max(v.Size, v.Min)-stampSize:
		return fmt.Errorf("needs %d bytes of each value beside the digits", stampSize)
	}
	s.Value = v
	return nil
}

func setKey(p *parsing, s *Settings, n ast.Node) error {
	k := Key{Kind: KeyUniform, Size: 16, Count: 100_000, Skew: 1.1}
	if scalar, ok := n.(ast.ScalarNode); ok {
		k.Kind = scalar.GetToken().Value
		if !slices.Contains([]string{KeyNone, KeyUniform, KeyZipf}, k.Kind) {
			return errNotAllowed
		}
	} else {
		p.mapping(n, func(key string, n ast.Node) bool { return take(p, keyFields, &k, key, n) }, names(keyFields), nil, nil, nil)
	}
	s.Key = k
	return nil
}

func setAcks(_ *parsing, s *Settings, n ast.Node) error {
	acks, ok := map[string]int16{"0": 0, "1": 1, "all": -1, "-1": -1}[n.GetToken().Value]
	if !ok {
		return errNotAllowed
	}
	s.Acks = acks
	if acks != -1 {
		s.Idempotent = false // as Kafka's producers do
	}
	return nil
}

func setCodec(_ *parsing, s *Settings, n ast.Node) error {
	codec, err := batch.ParseCodec(n.GetToken().Value)
	if err != nil {
		return errNotAllowed
	}
	s.Codec = codec
	return nil
}

func setRate(_ *parsing, s *Settings, n ast.Node) error {
	if n.GetToken().Value == "max" {
		s.Rate = 0
		return nil
	}
	rate, err := Quantity(n.GetToken().Value)
	if err != nil || rate < 0.01 || rate > 1e9 {
		return errNotAllowed
	}
	s.Rate = rate
	return nil
}

func setRamp(p *parsing, s *Settings, n ast.Node) error {
	var r Ramp
	p.mapping(n, func(key string, n ast.Node) bool { return take(p, rampFields, &r, key, n) }, names(rampFields), nil, nil, nil)
	if r.Over <= 0 {
		return fmt.Errorf("needs over, a time as 10s")
	}
	s.Ramp = r
	return nil
}

func setBytes(_ *parsing, s *Settings, n ast.Node) error {
	v, err := Bytes(n.GetToken().Value)
	if err != nil || v < 1 {
		return errNotAllowed
	}
	s.Bytes = v
	return nil
}

func setConfig(p *parsing, w *Workload, n ast.Node) error {
	w.Config = map[string]string{}
	p.mapping(n, func(key string, n ast.Node) bool {
		w.Config[key] = n.GetToken().Value
		return true
	}, nil, nil, nil, nil)
	return nil
}

func setObjectives(p *parsing, w *Workload, n ast.Node) error {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return errNotAllowed
	}
	for _, one := range list.Values {
		o, err := ParseObjective(one.GetToken().Value)
		if err != nil {
			p.fail(one, "slo: %v", err)
			continue
		}
		w.Objectives = append(w.Objectives, o)
	}
	return nil
}

// Objective is a promise about one phase: a percentile of its primary latency below a
// time, or a rate above a number.
type Objective struct {
	Expression string
	phase      string
	metric     string
	limit      float64 // microseconds, or records per second
}

var objectivePattern = regexp.MustCompile(`^(.+):\s*(p50|p90|p99|p99\.9|p99\.99|max|rate)\s*([<>])\s*(\S+)$`)

// ParseObjective reads "<phase>: p99 < 5ms" or "<phase>: rate > 50000".
func ParseObjective(text string) (Objective, error) {
	m := objectivePattern.FindStringSubmatch(text)
	if m == nil || (m[2] == "rate") != (m[3] == ">") {
		return Objective{}, fmt.Errorf("%q is not a promise: use \"<phase>: p99 < 5ms\" or \"<phase>: rate > 50000\"", text)
	}
	o := Objective{Expression: text, phase: strings.TrimSpace(m[1]), metric: m[2]}
	if o.metric == "rate" {
		rate, err := Quantity(m[4])
		o.limit = rate
		return o, err
	}
	limit, err := time.ParseDuration(m[4])
	if err != nil {
		return o, fmt.Errorf("%q: %q is not a time as 5ms", text, m[4])
	}
	o.limit = float64(limit) / 1e3
	return o, nil
}

// judge says whether the run kept the promise.
func (o Objective) judge(r *results.Result) results.Objective {
	out := results.Objective{Expression: o.Expression}
	p := r.Phase(o.phase)
	if p == nil {
		out.Detail = "the phase was not run"
		return out
	}
	if o.metric == "rate" {
		out.OK, out.Detail = p.Rate > o.limit, strconv.FormatFloat(p.Rate, 'f', 0, 64)
		return out
	}
	l, ok := p.Latency[p.Primary()]
	if !ok {
		out.Detail = "the phase has no latencies"
		return out
	}
	got := map[string]float64{"p50": l.P50, "p90": l.P90, "p99": l.P99, "p99.9": l.P999, "p99.99": l.P9999, "max": l.Max}[o.metric]
	out.OK, out.Detail = got < o.limit, fmt.Sprintf("%.3f ms", got/1e3)
	return out
}

// check reports what single keys cannot show.
func (w *workloadDraft) check(p *parsing) {
	phases := map[string]bool{}
	for i := range w.Phases {
		phase := &w.Phases[i]
		if phases[phase.Name] {
			p.found = append(p.found, fmt.Errorf("%s:%d: two phases are named %q", p.file, phase.line, phase.Name))
		}
		phases[phase.Name] = true
		for _, complaint := range phase.complaints(int(w.Partitions)) {
			p.found = append(p.found, fmt.Errorf("%s:%d: phase %q: %s", p.file, phase.line, phase.Name, complaint))
		}
	}
	if w.Name == "" {
		p.found = append(p.found, fmt.Errorf("%s: name is missing", p.file))
	}
	for _, o := range w.Objectives {
		if !phases[o.phase] {
			p.found = append(p.found, fmt.Errorf("%s: slo %q: there is no phase %q", p.file, o.Expression, o.phase))
		}
	}
}

// complaints lists settings that do not go together.
func (p *Phase) complaints(partitions int) []string {
	var all []string
	rule := func(broken bool, text string, args ...any) {
		if broken {
			all = append(all, fmt.Sprintf(text, args...))
		}
	}
	produces := p.Do == results.Produce || p.Do == results.EndToEnd
	smallest := max(p.Value.Size, p.Value.Min)
	rule(p.Name == "", "name is missing")
	rule(p.Do == "", "do is missing; allowed is produce, consume or end-to-end")
	rule(p.Duration <= 0, "duration must be above 0")
	rule(p.Idempotent && p.Acks != -1, "idempotent needs acks: all")
	rule(p.Idempotent && p.InFlight > 5, "idempotent allows in_flight up to 5, as brokers remember 5 batches")
	rule(produces && p.Batch < smallest, "a batch of %d bytes cannot hold a value of %d", p.Batch, smallest)
	rule(p.RequestBatches > partitions, "request_batches is %d and there are %d partitions; a request has one batch for each at most", p.RequestBatches, partitions)
	rule(p.RequestBatches > 1 && p.Key.Kind != KeyNone, "request_batches above 1 needs key: none")
	rule(p.Arrival == ArriveRecord && p.Encode != EncodeEach, "arrival: record needs encode: each, as batches differ in size")
	rule(p.Arrival == ArriveRecord && p.Rate == 0, "arrival: record needs a rate")
	rule(p.Arrival == ArriveRecord && p.RequestBatches > 1, "arrival: record needs request_batches: 1")
	rule(p.Arrival == ArriveBatch && p.Linger > 0, "linger needs arrival: record")
	rule(p.Warm && p.Bytes == 0, "warm_memory needs bytes, to know how much")
	rule(p.Ramp.Over > 0 && p.Rate == 0, "ramp needs a rate")
	rule(p.Do == results.EndToEnd && p.Rate == 0, "end-to-end needs a rate")
	rule(p.Do == results.EndToEnd && (p.File() || smallest < stampSize), "end-to-end needs values of at least %d bytes that may be overwritten", stampSize)
	rule(p.Do == results.EndToEnd && p.Codec != batch.None && p.Encode != EncodeEach, "end-to-end with a codec needs encode: each, as compressed batches cannot be stamped")
	rule(p.Do == results.EndToEnd && p.Acks == 0, "end-to-end needs acks: 1 or all")
	return all
}

// File reports whether values come from a file.
func (p *Phase) File() bool { return p.Value.File != "" }
