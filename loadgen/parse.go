package loadgen

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/millrace/millrace/results"
)

// field is one key of a workload file: what is allowed, in words for the error message,
// and how a value is taken. T is what the key belongs to.
type field[T any] struct {
	name    string
	allowed string
	set     func(p *parsing, t *T, node ast.Node) error
}

// parsing is one file being read. Errors are collected, so that one run names them all.
type parsing struct {
	file  string
	found []error
}

// errNotAllowed makes the error name what is allowed instead.
var errNotAllowed = errors.New("not allowed")

func (p *parsing) fail(node ast.Node, format string, args ...any) {
	p.found = append(p.found, fmt.Errorf("%s:%d: %s", p.file, node.GetToken().Position.Line, fmt.Sprintf(format, args...)))
}

// ReadWorkload reads and checks a workload file.
func ReadWorkload(path string) (*Workload, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read workload: %w", err)
	}
	return ParseWorkload(filepath.Base(path), text)
}

// ParseWorkload reads a workload. Its errors name line, key and what is allowed there.
func ParseWorkload(file string, text []byte) (*Workload, error) {
	p := &parsing{file: file}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	w := &workloadDraft{Workload: Workload{Topic: "bench", Topics: 1, Partitions: 1, Replication: 1}, Settings: DefaultSettings()}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, fmt.Errorf("%s: needs one YAML document", file)
	}
	p.mapping(tree.Docs[0].Body, func(key string, node ast.Node) bool {
		return take(p, workloadFields, &w.Workload, key, node) || take(p, settingFields, &w.Settings, key, node)
	}, names(workloadFields), names(settingFields), []string{"phases"}, func(key string, node ast.Node) {
		if key == "phases" {
			w.phases = node
		}
	})
	w.readPhases(p)
	w.check(p)
	if err := errors.Join(p.found...); err != nil {
		return nil, err
	}
	w.source = map[string]any{"name": w.Name, "file": string(text)}
	return &w.Workload, nil
}

// workloadDraft is a workload whose phases are read last, for they inherit its settings.
type workloadDraft struct {
	Workload
	Settings Settings
	phases   ast.Node
}

func (w *workloadDraft) readPhases(p *parsing) {
	list, ok := w.phases.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		p.found = append(p.found, fmt.Errorf("%s: phases: needs a list of at least one phase", p.file))
		return
	}
	for _, node := range list.Values {
		phase := Phase{Settings: w.Settings, line: node.GetToken().Position.Line}
		p.mapping(node, func(key string, node ast.Node) bool {
			return take(p, phaseFields, &phase, key, node) || take(p, settingFields, &phase.Settings, key, node)
		}, names(phaseFields), names(settingFields), nil, nil)
		w.Phases = append(w.Phases, phase)
	}
}

// mapping walks the keys of a node; every key must be taken by set or be one of the
// special ones, which go to other.
func (p *parsing) mapping(node ast.Node, set func(key string, node ast.Node) bool, known, inherited, special []string, other func(string, ast.Node)) {
	var pairs []*ast.MappingValueNode
	switch node := node.(type) {
	case *ast.MappingNode:
		pairs = node.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{node}
	default:
		p.fail(node, "needs key: value lines")
		return
	}
	for _, pair := range pairs {
		key := pair.Key.GetToken().Value
		switch {
		case slices.Contains(special, key):
			other(key, pair.Value)
		case !set(key, pair.Value):
			all := slices.Concat(known, inherited, special)
			p.fail(pair.Key, "unknown key %q%s; allowed are %s", key, nearest(key, all), strings.Join(all, ", "))
		}
	}
}

// take gives the node to the field of that name and reports whether there is one.
func take[T any](p *parsing, fields []field[T], t *T, key string, node ast.Node) bool {
	for _, f := range fields {
		if f.name != key {
			continue
		}
		if err := f.set(p, t, node); errors.Is(err, errNotAllowed) {
			p.fail(node, "%s: %q is not allowed; allowed is %s", key, node.GetToken().Value, f.allowed)
		} else if err != nil {
			p.fail(node, "%s: %v", key, err)
		}
		return true
	}
	return false
}

func names[T any](fields []field[T]) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.name)
	}
	return all
}

// nearest suggests the known key that was probably meant.
func nearest(key string, known []string) string {
	best, least := "", 3
	for _, name := range known {
		if d := distance(key, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (meant %q?)", best)
}

// distance is how many letters must be added, dropped or changed between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			before, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, before+cost)
		}
	}
	return row[len(b)]
}

// The fields, declared once each: the parser, its error messages and
// `millrace bench keys` read them.

var workloadFields = []field[Workload]{
	{"name", "a name", text(func(w *Workload) *string { return &w.Name })},
	{"topic", "a topic name", text(func(w *Workload) *string { return &w.Topic })},
	{"topics", "1 to 10000", whole(func(w *Workload) *int { return &w.Topics }, 1, 10000)},
	{"partitions", "1 to 100000", func(_ *parsing, w *Workload, n ast.Node) error {
		v, err := number(n, 1, 100000)
		w.Partitions = int32(v)
		return err
	}},
	{"replication", "1 to 100", func(_ *parsing, w *Workload, n ast.Node) error {
		v, err := number(n, 1, 100)
		w.Replication = int16(v)
		return err
	}},
	{"config", "topic settings as key: value", setConfig},
	{"slo", `promises as "<phase>: p99 < 5ms" or "<phase>: rate > 50000"`, setObjectives},
}

var phaseFields = []field[Phase]{
	{"name", "a name", text(func(p *Phase) *string { return &p.Name })},
	{"do", "produce, consume or end-to-end", word(func(p *Phase) *string { return &p.Do }, results.Produce, results.Consume, results.EndToEnd)},
	{"discard", "true or false", truth(func(p *Phase) *bool { return &p.Discard })},
}

var settingFields = []field[Settings]{
	{"value", "bytes, or size, min and max, compressibility, file", setValue},
	{"key", "none, uniform, zipf, or kind, size, count, skew", setKey},
	{"producers", "1 to 10000", whole(func(s *Settings) *int { return &s.Producers }, 1, 10000)},
	{"consumers", "1 to 10000", whole(func(s *Settings) *int { return &s.Consumers }, 1, 10000)},
	{"threads", "1 to 64", whole(func(s *Settings) *int { return &s.Threads }, 1, 64)},
	{"acks", "0, 1 or all", setAcks},
	{"idempotent", "true or false", truth(func(s *Settings) *bool { return &s.Idempotent })},
	{"codec", "none, gzip, snappy, lz4 or zstd", setCodec},
	{"batch", "bytes as 16384, 16KiB or 1MiB, from 128 to 64MiB", size(func(s *Settings) *int { return &s.Batch }, 128, 64<<20)},
	{"request_batches", "1 to 1000", whole(func(s *Settings) *int { return &s.RequestBatches }, 1, 1000)},
	{"in_flight", "1 to 1000", whole(func(s *Settings) *int { return &s.InFlight }, 1, 1000)},
	{"encode", "prepared or each", word(func(s *Settings) *string { return &s.Encode }, EncodePrepared, EncodeEach)},
	{"arrival", "batch or record", word(func(s *Settings) *string { return &s.Arrival }, ArriveBatch, ArriveRecord)},
	{"spacing", "uniform or poisson", word(func(s *Settings) *string { return &s.Spacing }, SpaceUniform, SpacePoisson)},
	{"linger", "a time as 5ms", span(func(s *Settings) *time.Duration { return &s.Linger })},
	{"rate", "records per second as 50000, 50k or 1M, or max", setRate},
	{"ramp", "from (records per second) and over (a time)", setRamp},
	{"warmup", "a time as 2s", span(func(s *Settings) *time.Duration { return &s.Warmup })},
	{"duration", "a time as 10s", span(func(s *Settings) *time.Duration { return &s.Duration })},
	{"bytes", "bytes as 500MB or 1GiB, of record values", setBytes},
	{"warm_memory", "true or false", truth(func(s *Settings) *bool { return &s.Warm })},
	{"min_bytes", "bytes, from 0 to 1GiB", size(func(s *Settings) *int { return &s.MinBytes }, 0, 1<<30)},
	{"max_wait", "a time as 500ms", span(func(s *Settings) *time.Duration { return &s.MaxWait })},
	{"fetch_bytes", "bytes, from 1 to 200MiB", size(func(s *Settings) *int { return &s.FetchBytes }, 1, 200<<20)},
	{"partition_bytes", "bytes, from 1 to 200MiB", size(func(s *Settings) *int { return &s.PartitionBytes }, 1, 200<<20)},
	{"session", "true or false", truth(func(s *Settings) *bool { return &s.Session })},
	{"decode", "headers, crc or records", word(func(s *Settings) *string { return &s.Decode }, DecodeHeaders, DecodeCRC, DecodeRecords)},
	{"loop", "true or false", truth(func(s *Settings) *bool { return &s.Loop })},
	{"group", "the name of a consumer group (driver kgo)", text(func(s *Settings) *string { return &s.Group })},
}

var valueFields = []field[Value]{
	{"size", "bytes, from 1 to 64MiB", size(func(v *Value) *int { return &v.Size }, 1, 64<<20)},
	{"min", "bytes, from 1 to 64MiB", size(func(v *Value) *int { return &v.Min }, 1, 64<<20)},
	{"max", "bytes, from 1 to 64MiB", size(func(v *Value) *int { return &v.Max }, 1, 64<<20)},
	{"compressibility", "0 to 1", fraction(func(v *Value) *float64 { return &v.Compressibility }, 0, 1)},
	{"digits", "0 to 1024: a run of them in each value", whole(func(v *Value) *int { return &v.Digits }, 0, 1024)},
	{"file", "a path", text(func(v *Value) *string { return &v.File })},
}

var keyFields = []field[Key]{
	{"kind", "none, uniform or zipf", word(func(k *Key) *string { return &k.Kind }, KeyNone, KeyUniform, KeyZipf)},
	{"size", "bytes, from 1 to 1KiB", size(func(k *Key) *int { return &k.Size }, 1, 1<<10)},
	{"count", "1 to 1000000000", whole(func(k *Key) *int { return &k.Count }, 1, 1e9)},
	{"skew", "above 1, to 10", fraction(func(k *Key) *float64 { return &k.Skew }, 1.0001, 10)},
}

var rampFields = []field[Ramp]{
	{"from", "records per second", func(_ *parsing, r *Ramp, n ast.Node) (err error) {
		r.From, err = Quantity(n.GetToken().Value)
		return err
	}},
	{"over", "a time as 10s", span(func(r *Ramp) *time.Duration { return &r.Over })},
}

// KeyDoc is one key that a workload file may have.
type KeyDoc struct{ Name, Allowed string }

// Keys lists every key of a workload file and what is allowed for it.
func Keys() []KeyDoc {
	all := append(docs("", workloadFields), KeyDoc{"phases", "a list of phases, each with its own settings"})
	all = append(all, docs("phases[].", phaseFields)...)
	all = append(all, docs("", settingFields)...)
	all = append(all, docs("value.", valueFields)...)
	all = append(all, docs("key.", keyFields)...)
	return append(all, docs("ramp.", rampFields)...)
}

func docs[T any](prefix string, fields []field[T]) []KeyDoc {
	var all []KeyDoc
	for _, f := range fields {
		all = append(all, KeyDoc{prefix + f.name, f.allowed})
	}
	return all
}

// Setters for the common kinds of values.

type setter[T any] = func(*parsing, *T, ast.Node) error

func text[T any](at func(*T) *string) setter[T] {
	return func(_ *parsing, t *T, n ast.Node) error {
		*at(t) = n.GetToken().Value
		if *at(t) == "" {
			return errNotAllowed
		}
		return nil
	}
}

func word[T any](at func(*T) *string, allowed ...string) setter[T] {
	return func(_ *parsing, t *T, n ast.Node) error {
		*at(t) = n.GetToken().Value
		if !slices.Contains(allowed, *at(t)) {
			return errNotAllowed
		}
		return nil
	}
}

func truth[T any](at func(*T) *bool) setter[T] {
	return func(_ *parsing, t *T, n ast.Node) error {
		v, ok := n.(*ast.BoolNode)
		if !ok {
			return errNotAllowed
		}
		*at(t) = v.Value
		return nil
	}
}

func whole[T any](at func(*T) *int, low, high int) setter[T] {
	return func(_ *parsing, t *T, n ast.Node) error {
		v, err := number(n, low, high)
		*at(t) = v
		return err
	}
}

func number(n ast.Node, low, high int) (int, error) {
	v, err := strconv.Atoi(n.GetToken().Value)
	if err != nil || v < low || v > high {
		return low, errNotAllowed
	}
	return v, nil
}

func fraction[T any](at func(*T) *float64, low, high float64) setter[T] {
	return func(_ *parsing, t *T, n ast.Node) error {
		v, err := strconv.ParseFloat(n.GetToken().Value, 64)
		if err != nil || v < low || v > high || math.IsNaN(v) {
			return errNotAllowed
		}
		*at(t) = v
		return nil
	}
}

func span[T any](at func(*T) *time.Duration) setter[T] {
	return func(_ *parsing, t *T, n ast.Node) error {
		v, err := time.ParseDuration(n.GetToken().Value)
		if err != nil || v < 0 || v > 24*time.Hour {
			return errNotAllowed
		}
		*at(t) = v
		return nil
	}
}

func size[T any](at func(*T) *int, low, high int64) setter[T] {
	return func(_ *parsing, t *T, n ast.Node) error {
		v, err := Bytes(n.GetToken().Value)
		if err != nil || v < low || v > high {
			return errNotAllowed
		}
		*at(t) = int(v)
		return nil
	}
}

// Bytes reads a size: 4096, 16KiB, 1MiB, 1GiB, or decimal 500kB, 500MB, 1GB.
func Bytes(text string) (int64, error) {
	units := []struct {
		name  string
		bytes int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}
	for _, unit := range units {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(v >= 0 && v*float64(unit.bytes) < math.MaxInt64/2) {
			break
		}
		return int64(v * float64(unit.bytes)), nil
	}
	return 0, fmt.Errorf("%q is not a size: use bytes as 4096, 16KiB, 1MiB or 1GB: %w", text, errNotAllowed)
}

// Quantity reads a number of records: 50000, 50k, 1.5M.
func Quantity(text string) (float64, error) {
	factor := 1.0
	digits := text
	for suffix, f := range map[string]float64{"k": 1e3, "M": 1e6} {
		if cut, ok := strings.CutSuffix(text, suffix); ok {
			digits, factor = cut, f
		}
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, fmt.Errorf("%q is not a rate: use records per second as 50000, 50k or 1M: %w", text, errNotAllowed)
	}
	return v * factor, nil
}
