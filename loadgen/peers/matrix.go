package peers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// Flush modes: when a broker acknowledges.
const (
	Commit = "commit" // after an fsync that covers the batch
	System = "os"     // when the batch is in the page cache
)

// Cell is one combination that both systems are measured in.
type Cell struct {
	Flush      string
	Record     int // bytes of a record value
	Batch      int // bytes
	Partitions int
}

// Labels are what tells the runs of this cell from others, in results and BENCHMARKS.md.
func (c Cell) Labels() map[string]string {
	return map[string]string{
		"flush": c.Flush, "record": strconv.Itoa(c.Record), "batch": strconv.Itoa(c.Batch), "partitions": strconv.Itoa(c.Partitions),
	}
}

func (c Cell) String() string {
	return fmt.Sprintf("flush=%s,record=%d,batch=%dKiB,partitions=%d", c.Flush, c.Record, c.Batch>>10, c.Partitions)
}

// Cells is the whole matrix.
func Cells() []Cell {
	var all []Cell
	for _, flush := range []string{Commit, System} {
		for _, record := range []int{100, 1024} {
			for _, batch := range []int{16 << 10, 64 << 10} {
				for _, partitions := range []int{1, 6} {
					all = append(all, Cell{flush, record, batch, partitions})
				}
			}
		}
	}
	return all
}

// Only keeps the cells that match every term: "flush=os,record=100". Empty keeps all.
func Only(cells []Cell, terms string) ([]Cell, error) {
	var kept []Cell
	for _, c := range cells {
		match := true
		for term := range strings.SplitSeq(terms, ",") {
			if term == "" {
				continue
			}
			if !strings.Contains(","+c.String()+",", ","+term+",") {
				match = false
			}
		}
		if match {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("no cell matches %q; cells are like %s", terms, cells[0])
	}
	return kept, nil
}

// MatrixOptions say what is measured and how thoroughly.
type MatrixOptions struct {
	Cells    []Cell
	Repeats  int
	Duration time.Duration // of the full-speed produce phase, at most
	Steady   time.Duration // of the phase at a fixed rate
	Volume   int64         // bytes of record values that it writes, at most
	Warmup   int64         // bytes that every broker takes before anything counts
	Driver   string
	Out      string // folder of results
	Work     string // folder for the brokers; deleted by the caller
	Kafka    KafkaOptions
	Millrace MillraceOptions
	Progress func(Step)             // called before each run; may be nil
	Finished func(*results.Result)  // called after each run; may be nil
	Taking   func(held, free int64) // see loadgen.NewMemory; may be nil
}

// Step is one run that is about to begin.
type Step struct {
	Done, All int
	System    string
	Cell      Cell
	Repeat    int
	Left      time.Duration // estimated; zero before the first run has ended
}

// matrix is the state of one measurement.
type matrix struct {
	MatrixOptions
	kafka    *Broker
	millrace map[string]*Broker // by flush mode
	began    time.Time
	done     int
	topics   int
	memory   *loadgen.Memory
}

// RunMatrix measures Millrace and Apache Kafka side by side: every cell on both, one after
// the other, then the next cell; and all of it again for every repeat. All brokers are up
// the whole time, idle but for the one that is measured. Paths of the results are returned.
func RunMatrix(ctx context.Context, o MatrixOptions) (paths []string, err error) {
	m := &matrix{MatrixOptions: o, millrace: map[string]*Broker{}, memory: loadgen.NewMemory(o.Taking)}
	defer func() { err = errors.Join(err, m.stop(), m.memory.Close()) }()
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	if err := m.warm(ctx); err != nil {
		return nil, err
	}
	m.began = time.Now()
	return m.repeats(ctx)
}

// repeats measures every cell on both systems, as often as asked.
func (m *matrix) repeats(ctx context.Context) (paths []string, err error) {
	for repeat := 1; repeat <= m.Repeats; repeat++ {
		for _, cell := range m.Cells {
			for _, b := range []*Broker{m.millrace[cell.Flush], m.kafka} {
				path, err := m.measure(ctx, b, cell, repeat)
				if err != nil {
					return paths, fmt.Errorf("measure %s, %s: %w", b.Name, cell, err)
				}
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

// deleteSoon makes both systems remove the files of a deleted topic at once, so that the
// disk holds one run at a time.
const deleteSoon = "log.segment.delete.delay.ms"

func (m *matrix) start(ctx context.Context) (err error) {
	kafka := m.Kafka
	kafka.Dir = filepath.Join(m.Work, "kafka")
	kafka.Settings = map[string]string{deleteSoon: "0"}
	if m.kafka, err = StartKafka(ctx, kafka); err != nil {
		return err
	}
	for _, cell := range m.Cells {
		if m.millrace[cell.Flush] != nil {
			continue
		}
		millrace := m.Millrace
		millrace.Dir = filepath.Join(m.Work, "millrace-"+cell.Flush)
		millrace.Settings = map[string]string{deleteSoon: "0", "log.flush.mode": cell.Flush}
		if m.millrace[cell.Flush], err = StartMillrace(ctx, millrace); err != nil {
			return err
		}
	}
	return nil
}

func (m *matrix) stop() error {
	var errs []error
	if m.kafka != nil {
		errs = append(errs, m.kafka.Stop())
	}
	for _, b := range m.millrace {
		errs = append(errs, b.Stop())
	}
	return errors.Join(errs...)
}

// warm gives every broker the same work before anything counts. A JVM needs some GB until
// its code is compiled: cold it costs several times what it costs warm.
func (m *matrix) warm(ctx context.Context) error {
	brokers := []*Broker{m.kafka}
	for _, b := range m.millrace {
		brokers = append(brokers, b)
	}
	for _, b := range brokers {
		if err := b.Warm(ctx, m.Driver, m.Warmup); err != nil {
			return err
		}
	}
	return nil
}

// Warm gives the broker so many bytes to take and to serve.
func (b *Broker) Warm(ctx context.Context, driver string, volume int64) error {
	for i, batch := range []int{16 << 10, 64 << 10} {
		w, err := loadgen.ParseWorkload("warm.yaml", fmt.Appendf(nil, warmText, i, batch, volume/2))
		if err == nil {
			_, err = b.Run(ctx, loadgen.Options{Workload: w, Driver: driver})
		}
		if err != nil {
			return fmt.Errorf("warm up %s: %w", b.Name, err)
		}
	}
	return nil
}

const warmText = `
name: warm
topic: warm-%d
partitions: 6
batch: %d
producers: 2
consumers: 2
phases:
  - {name: produce, do: produce, rate: max, bytes: %d, duration: 30s}
  - {name: consume, do: consume, loop: false, duration: 10s}
  - {name: follow, do: end-to-end, rate: 20k, duration: 1s}
`

// cellText is the workload of a cell. The first phase opens connections, files and code
// paths of the new topic. Throughput and its cost are measured at full speed, on a bounded
// volume that fits warm memory; latencies at a rate that both systems carry.
const cellText = `
name: peers
topic: %s
partitions: %d
value: %d
batch: %d
producers: 2
consumers: %d
acks: all
idempotent: true
config: {%s}
phases:
  - {name: settle, do: produce, discard: true, rate: max, bytes: 20MB, duration: 1s}
  - {name: produce, do: produce, rate: max, bytes: %d, duration: %s, warm_memory: true}
  - {name: consume, do: consume, warmup: 300ms, duration: 2s}
  - {name: steady, do: end-to-end, rate: %d, warmup: 500ms, duration: %s}
`

// steadyBytes is the rate of the steady phase, in bytes of record values a second. Kafka
// syncs the log and its indexes for every batch: with small batches that ends below 10 MB/s.
var steadyBytes = map[string]int{Commit: 4_000_000, System: 20_000_000}

func (m *matrix) measure(ctx context.Context, b *Broker, cell Cell, repeat int) (path string, err error) {
	m.progress(b, cell, repeat)
	config := "retention.ms: -1"
	if b == m.kafka && cell.Flush == Commit {
		config = "flush.messages: 1"
	}
	text := fmt.Sprintf(cellText, m.nextTopic(), cell.Partitions, cell.Record, cell.Batch, min(2, cell.Partitions), config, m.Volume, m.Duration, steadyBytes[cell.Flush]/cell.Record, m.Steady)
	r, err := m.run(ctx, b, text, loadgen.Options{Suite: "peers", System: b.Name, Run: repeat, Labels: cell.Labels()})
	if err != nil {
		return "", err
	}
	m.done++
	if m.Finished != nil {
		m.Finished(r)
	}
	return results.Write(m.Out, r)
}

func (m *matrix) run(ctx context.Context, b *Broker, text string, o loadgen.Options) (*results.Result, error) {
	w, err := loadgen.ParseWorkload("peers.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	o.Workload, o.Driver, o.Memory = w, m.Driver, m.memory
	return b.Run(ctx, o)
}

func (m *matrix) nextTopic() string {
	m.topics++
	return fmt.Sprintf("peers-%d", m.topics)
}

func (m *matrix) progress(b *Broker, cell Cell, repeat int) {
	if m.Progress == nil {
		return
	}
	all := m.Repeats * len(m.Cells) * 2
	s := Step{Done: m.done, All: all, System: b.Name, Cell: cell, Repeat: repeat}
	if m.done > 0 {
		s.Left = time.Since(m.began) / time.Duration(m.done) * time.Duration(all-m.done)
	}
	m.Progress(s)
}
