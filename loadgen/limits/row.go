package limits

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

//go:embed rows/*.yaml
var files embed.FS

// Row is one row file.
type Row struct {
	Number      int             `yaml:"row"`
	What        string          `yaml:"what"`
	Sides       []Side          `yaml:"sides"`
	Probe       string          `yaml:"probe"`       // Empty: the workload is measured as it is
	Disk        string          `yaml:"disk"`        // size of the writes by which the disk is measured beside the workload
	Pauses      bool            `yaml:"pauses"`      // how long the garbage collector stops a broker of ours is read as well
	Connections int             `yaml:"connections"` // for the probes that open them
	Partitions  int             `yaml:"partitions"`  // for the probes that create them
	Members     int             `yaml:"members"`     // of a group
	Time        time.Duration   `yaml:"time"`        // of what a probe does for a while
	Records     int64           `yaml:"records"`     // to compact, each with one of so many keys and a value of so many bytes
	Keys        int64           `yaml:"keys"`
	Size        int             `yaml:"size"`
	Quick       Quick           `yaml:"quick"`
	Checks      []results.Check `yaml:"checks"`
	Limit       string          `yaml:"limit"` // what limits it now

	file     string
	text     string // the whole file
	workload []byte // the second document; empty: none
}

// Side is a broker that a row is measured on.
type Side struct {
	Name     string            `yaml:"name"`
	Broker   string            `yaml:"broker"` // millrace or kafka
	Client   string            `yaml:"client"` // of probe producer: native, kgo or java
	Settings map[string]string `yaml:"settings"`
	Set      []string          `yaml:"set"`    // key=value of the workload
	Fill     bool              `yaml:"fill"`   // run the workload once the partitions are there, for probe partitions
	Beside   string            `yaml:"beside"` // what is done to the broker during the workload: reload, endless or produce
	End      string            `yaml:"end"`    // of the broker's first life, for probe start: stop or kill. Empty: it has one life
}

// Quick is what a small run changes.
type Quick struct {
	Set         []string `yaml:"set"`
	Connections int      `yaml:"connections"`
	Partitions  int      `yaml:"partitions"`
	Members     int      `yaml:"members"`

	Time    time.Duration `yaml:"time"`
	Records int64         `yaml:"records"`
	Keys    int64         `yaml:"keys"`
}

// Brokers that a side may name.
const (
	millrace = "millrace"
	kafka    = "kafka"
)

// Rows reads all row files that come with the program, in order.
func Rows() ([]Row, error) {
	entries, err := files.ReadDir("rows")
	if err != nil {
		return nil, fmt.Errorf("list the rows: %w", err)
	}
	var all []Row
	for _, e := range entries {
		text, err := files.ReadFile(path.Join("rows", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the rows: %w", err)
		}
		row, err := Parse(e.Name(), text)
		if err != nil {
			return nil, err
		}
		all = append(all, *row)
	}
	slices.SortFunc(all, func(a, b Row) int { return a.Number - b.Number })
	return all, crossed(all)
}

// Limits are the bounds of all rows, for BENCHMARKS.md.
func Limits() ([]results.Limit, error) {
	rows, err := Rows()
	if err != nil {
		return nil, err
	}
	var all []results.Limit
	for _, r := range rows {
		all = append(all, results.Limit{Row: r.Number, What: r.What, Checks: r.Checks, Now: r.Limit})
	}
	return all, nil
}

// Parse reads one row file and checks all that can be known without the other rows.
func Parse(file string, text []byte) (*Row, error) {
	head, workload, _ := bytes.Cut(text, []byte("\n---\n"))
	row := &Row{file: file, text: string(text)}
	if err := yaml.UnmarshalWithOptions(head, row, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("read row %s: %w", file, err)
	}
	if len(workload) > 0 {
		// Lines are counted from the beginning of the file in errors.
		row.workload = append(bytes.Repeat([]byte("\n"), bytes.Count(head, []byte("\n"))+2), workload...)
	}
	if err := errors.Join(row.complaints()...); err != nil {
		return nil, fmt.Errorf("read row %s: %w", file, err)
	}
	return row, nil
}

// complaints lists what is wrong with the row.
func (r *Row) complaints() []error {
	var all []error
	rule := func(broken bool, text string, args ...any) {
		if broken {
			all = append(all, fmt.Errorf(text, args...))
		}
	}
	_, known := probes[r.Probe]
	rule(r.Number < 1, "row is missing")
	rule(r.What == "", "what is missing")
	rule(len(r.Checks) == 0, "checks are missing")
	rule(r.Probe != "" && !known, "there is no probe %q", r.Probe)
	rule(r.Probe == probeTransactions && (r.Time <= 0 || r.Partitions < 1), "probe %s needs time and partitions", probeTransactions)
	rule(r.Probe == probeCold && (r.Time <= 0 || len(r.workload) == 0), "probe %s needs time, and a workload that fills the topic", probeCold)
	rule(r.Probe == probeGroup && len(r.workload) == 0, "probe %s needs a workload that fills the topic", probeGroup)
	rule(r.Probe == probeCompaction && (r.Records < 1 || r.Keys < 1 || r.Size < 0), "probe %s needs records and keys", probeCompaction)
	rule(r.Probe == probeProducer && (r.Time <= 0 || r.Partitions < 1 || r.Size < 1), "probe %s needs time, partitions and size", probeProducer)
	rule(r.Probe == probeRebalance && r.Members < 2, "probe %s needs two members or more", probeRebalance)
	rule(r.Probe == "" && len(r.Sides) > 0 && len(r.workload) == 0, "needs a probe, or a workload behind ---")
	rule(r.Pauses && r.Probe != "", "pauses are read beside a workload, not by probe %s", r.Probe)
	rule(len(r.Sides) == 0 && len(r.workload) > 0, "has a workload and no sides to run it on")
	if r.Disk != "" {
		_, err := loadgen.Bytes(r.Disk)
		rule(err != nil, "disk: %v", err)
	}
	seen := map[string]bool{}
	for _, s := range r.Sides {
		rule(s.Name == "" || seen[s.Name], "the name %q of a side is missing or there twice", s.Name)
		rule(s.Broker != millrace && s.Broker != kafka, "side %s: broker is %q, allowed are %s and %s", s.Name, s.Broker, millrace, kafka)
		rule((r.Probe == probeProducer) != slices.Contains([]string{clientNative, clientKgo, clientJava}, s.Client),
			"side %s: client is %q; probe %s needs %s, %s or %s, and nothing else has one", s.Name, s.Client, probeProducer, clientNative, clientKgo, clientJava)
		rule(s.Broker == kafka && len(s.Settings) > 0, "side %s: one Kafka serves all rows and has its defaults: give the topic a config", s.Name)
		rule(!slices.Contains([]string{"", endStop, endKill}, s.End), "side %s: end is %q, allowed are %s and %s", s.Name, s.End, endStop, endKill)
		rule(!slices.Contains([]string{"", besideReload, besideEndless, besideProduce}, s.Beside) || s.Beside != "" && r.Probe != "",
			"side %s: beside is %q, allowed are %s, %s and %s, beside a workload", s.Name, s.Beside, besideReload, besideEndless, besideProduce)
		rule(s.End != "" && r.Probe != probeStart, "side %s: end is for probe %s", s.Name, probeStart)
		rule(s.Fill && (r.Probe != probePartitions || len(r.workload) == 0), "side %s: fill is for probe %s, and needs a workload", s.Name, probePartitions)
		rule(s.End != "" && len(r.workload) == 0, "side %s: end needs a workload", s.Name)
		seen[s.Name] = true
		for _, quick := range []bool{false, true} {
			_, err := r.work(s, quick, 0)
			rule(err != nil, "side %s: %w", s.Name, err)
		}
	}
	for _, c := range r.Checks {
		rule(c.What == "", "a check has no what")
		rule(c.Phase == "" && c.Figure == "", "check %q names no figure", c.What)
		rule(c.Phase != "" && !results.PhaseFigure(c.Figure), "check %q: a phase has no figure %q", c.What, c.Figure)
		rule(c.Goal.Set() && !c.Must.Set(), "check %q has a goal and no must", c.What)
	}
	return all
}

// crossed checks that every side, phase and figure which a check reads is measured.
func crossed(rows []Row) error {
	byNumber := map[int]*Row{}
	var all []error
	for i := range rows {
		if byNumber[rows[i].Number] != nil {
			all = append(all, fmt.Errorf("row %d is there twice", rows[i].Number))
		}
		byNumber[rows[i].Number] = &rows[i]
	}
	for i := range rows {
		for _, c := range rows[i].Checks {
			from := &rows[i]
			if c.Row != 0 {
				from = byNumber[c.Row]
			}
			if err := from.has(c); err != nil {
				all = append(all, fmt.Errorf("row %d, check %q: %w", rows[i].Number, c.What, err))
			}
		}
	}
	return errors.Join(all...)
}

// has reports whether runs of the row can have what the check reads.
func (r *Row) has(c results.Check) error {
	if r == nil {
		return fmt.Errorf("there is no row %d", c.Row)
	}
	for _, name := range []string{c.Side, c.Against} {
		if _, ok := r.side(name); !ok && (name != "" || name == c.Side) {
			return fmt.Errorf("row %d has no side %q", r.Number, name)
		}
	}
	figures := pluginFigures
	if r.Pauses {
		figures = append([]string{longestPause}, figures...)
	}
	if r.Disk != "" {
		figures = append(slices.Clone(diskFigures), figures...)
	}
	if r.Probe != "" {
		figures = probes[r.Probe].figures
	}
	if c.Minus != "" && !slices.Contains(figures, c.Minus) {
		return fmt.Errorf("row %d has no figure %q", r.Number, c.Minus)
	}
	if c.Phase == "" {
		if !slices.Contains(figures, c.Figure) {
			return fmt.Errorf("row %d has no figure %q, but %s", r.Number, c.Figure, strings.Join(figures, ", "))
		}
		return nil
	}
	side, _ := r.side(c.Side)
	w, err := r.work(side, false, 0)
	if err != nil {
		return err
	}
	if w == nil || !slices.ContainsFunc(w.Phases, func(p loadgen.Phase) bool { return p.Name == c.Phase && !p.Discard }) {
		return fmt.Errorf("row %d has no phase %q", r.Number, c.Phase)
	}
	return nil
}

func (r *Row) side(name string) (Side, bool) {
	i := slices.IndexFunc(r.Sides, func(s Side) bool { return s.Name == name })
	if i < 0 {
		return Side{}, false
	}
	return r.Sides[i], true
}

// work is the workload for one side: as written, then as a quick run has it, then with
// the volume that was asked for, then as the side has it. Nil: the row has none.
func (r *Row) work(s Side, quick bool, volume int64) (*loadgen.Workload, error) {
	if len(r.workload) == 0 {
		return nil, nil
	}
	w, err := loadgen.ParseWorkload(r.file, r.workload)
	if err != nil {
		return nil, err
	}
	var set []string
	if quick {
		set = append(set, r.Quick.Set...)
	}
	if volume > 0 {
		set = append(set, fmt.Sprintf("bytes=%d", volume))
	}
	return w, w.OverrideAll(append(set, s.Set...))
}

// small is the row as a quick run has it.
func (r Row) small() Row {
	if r.Quick.Connections > 0 {
		r.Connections = r.Quick.Connections
	}
	if r.Quick.Partitions > 0 {
		r.Partitions = r.Quick.Partitions
	}
	if r.Quick.Members > 0 {
		r.Members = r.Quick.Members
	}
	if r.Quick.Time > 0 {
		r.Time = r.Quick.Time
	}
	if r.Quick.Records > 0 {
		r.Records, r.Keys = r.Quick.Records, r.Quick.Keys
	}
	return r
}
