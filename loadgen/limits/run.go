package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// Options say which rows are measured and how thoroughly.
type Options struct {
	Rows     []int // Empty: all
	Repeats  int
	Quick    bool          // small volumes: shows that it works, counts for no verdict
	Volumes  map[int]int64 // bytes of record values instead of those of the row's file, by row
	Warmup   int64         // bytes that Kafka takes before anything counts
	Out      string        // folder of results
	Work     string        // folder for the brokers; deleted by the caller
	Kafka    peers.KafkaOptions
	Millrace peers.MillraceOptions
	Progress func(Step)             // called before each run; may be nil
	Second   func(loadgen.Progress) // called once a second; may be nil
	Finished func(*results.Result)  // called after each run; may be nil
	Failed   func(row int, err error)
	Taking   func(held, free int64) // see loadgen.NewMemory; may be nil
}

// Step is one run that is about to begin.
type Step struct {
	Done, All int
	Row       int
	Side      string
	Repeat    int
	Left      time.Duration // estimated; zero before the first run has ended
}

// bench is the state of one measurement.
type bench struct {
	Options
	kafka  *peers.Broker // nil: not needed now
	began  time.Time
	done   int
	all    int
	topics int
	paths  []string
	memory *loadgen.Memory
}

// Run measures the rows, one after the other; within a row all sides in turn, and all of
// it again for every repeat. It returns the paths of the results.
func Run(ctx context.Context, o Options) (paths []string, err error) {
	rows, err := Rows()
	if err != nil {
		return nil, err
	}
	chosen, err := plan(rows, o.Rows)
	if err != nil {
		return nil, err
	}
	b := &bench{Options: o, began: time.Now(), memory: loadgen.NewMemory(o.Taking)}
	defer func() { err = errors.Join(err, b.stopKafka(), b.memory.Close()) }()
	for _, p := range chosen {
		b.all += len(p.sides) * o.Repeats
	}
	var failed []error
	for _, p := range chosen {
		before := b.done
		if err := b.row(ctx, p); err != nil {
			err = fmt.Errorf("row %d: %w", p.Number, err)
			if ctx.Err() != nil {
				return b.paths, err
			}
			failed = append(failed, err)
			if b.Failed != nil {
				b.Failed(p.Number, err)
			}
		}
		b.done = before + len(p.sides)*o.Repeats
	}
	return b.paths, errors.Join(failed...)
}

func (b *bench) row(ctx context.Context, p planned) (err error) {
	if b.Quick {
		p.Row = p.small()
	}
	if !p.needsKafka() {
		if err := b.stopKafka(); err != nil {
			return err
		}
	}
	if err := b.fits(p); err != nil {
		return err
	}
	dir := filepath.Join(b.Work, fmt.Sprintf("row-%02d", p.Number))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder for the brokers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	brokers := map[string]*peers.Broker{}
	if p.Probe == "" {
		defer func() {
			for _, broker := range brokers {
				if broker != b.kafka {
					err = errors.Join(err, broker.Stop())
				}
			}
		}()
		for i, s := range p.sides {
			if brokers[s.Name], err = b.broker(ctx, s, filepath.Join(dir, strconv.Itoa(i))); err != nil {
				delete(brokers, s.Name)
				return err
			}
		}
	}
	for repeat := 1; repeat <= b.Repeats; repeat++ {
		for _, s := range p.sides {
			b.progress(p, s, repeat)
			t := &trial{bench: b, row: p.Row, side: s, broker: brokers[s.Name], dir: filepath.Join(dir, "probe"), began: time.Now()}
			if err := b.once(ctx, t, repeat); err != nil {
				return fmt.Errorf("%s, repeat %d: %w", s.Name, repeat, err)
			}
			b.done++
		}
	}
	return nil
}

// once is one run of one side of a row: it leaves a result.
func (b *bench) once(ctx context.Context, t *trial, repeat int) error {
	var r *results.Result
	var err error
	if t.row.Probe != "" {
		r, err = t.probe(ctx)
	} else {
		r, err = t.load(ctx)
	}
	if err != nil {
		return err
	}
	r.Suite, r.System, r.Run = results.LimitSuite(t.row.Number), t.side.Name, repeat
	r.Labels = map[string]string{results.RowLabel: strconv.Itoa(t.row.Number), results.SideLabel: t.side.Name}
	if b.Quick {
		r.Labels[results.QuickLabel] = "true"
	}
	if v := b.Volumes[t.row.Number]; v > 0 {
		r.Labels[results.VolumeLabel] = fmt.Sprintf("%g GB", float64(v)/1e9)
	}
	r.Identify()
	path, err := results.Write(b.Out, r)
	if err != nil {
		return err
	}
	b.paths = append(b.paths, path)
	if b.Finished != nil {
		b.Finished(r)
	}
	return nil
}

// broker starts the broker of a side, or Kafka, of which there is one for all rows.
func (b *bench) broker(ctx context.Context, s Side, dir string) (*peers.Broker, error) {
	if s.Broker != kafka {
		return b.start(ctx, s, dir)
	}
	if b.kafka != nil {
		return b.kafka, nil
	}
	o := b.Kafka
	o.Dir, o.Settings = filepath.Join(b.Work, kafka), map[string]string{deleteSoon: "0"}
	broker, err := peers.StartKafka(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := broker.Warm(ctx, loadgen.DriverOwn, b.Warmup); err != nil {
		return nil, errors.Join(err, broker.Stop())
	}
	b.kafka = broker
	return broker, nil
}

// deleteSoon makes both systems remove the files of a deleted topic at once, so that the
// disk holds one run at a time.
const deleteSoon = "log.segment.delete.delay.ms"

// start starts a Millrace with the settings of a side.
func (b *bench) start(ctx context.Context, s Side, dir string) (*peers.Broker, error) {
	o := b.Millrace
	o.Dir, o.Settings = dir, map[string]string{deleteSoon: "0"}
	for key, value := range s.Settings {
		value, err := placed(value, dir)
		if err != nil {
			return nil, err
		}
		o.Settings[key] = value
	}
	return peers.StartMillrace(ctx, o)
}

func (b *bench) stopKafka() error {
	if b.kafka == nil {
		return nil
	}
	broker := b.kafka
	b.kafka = nil
	return errors.Join(broker.Stop(), os.RemoveAll(broker.Dir))
}

// spare is how much of the disk a row leaves alone: journals, indexes, others.
const spare = 1 << 30

// fits refuses a row that would fill the disk.
func (b *bench) fits(p planned) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(b.Work, &disk); err != nil {
		return fmt.Errorf("read the free space of %s: %w", b.Work, err)
	}
	free := int64(disk.Bavail) * disk.Bsize
	for _, s := range p.sides {
		w, err := p.work(s, b.Quick, b.Volumes[p.Number])
		if err != nil {
			return err
		}
		if need := volume(w); need > 0 && need+need/10+spare > free {
			return fmt.Errorf("%s writes %.1f GB and needs %.1f GB free on the disk of %s, which has %.1f: choose another folder with --work, or a smaller --volume %d=…",
				s.Name, float64(need)/1e9, float64(need+need/10+spare)/1e9, b.Work, float64(free)/1e9, p.Number)
		}
	}
	return nil
}

// volume is how many bytes of record values a workload may write.
func volume(w *loadgen.Workload) (total int64) {
	if w == nil {
		return 0
	}
	for _, p := range w.Phases {
		if p.Do == results.Produce {
			total += p.Bytes
		}
	}
	return total
}

func (b *bench) progress(p planned, s Side, repeat int) {
	if b.Progress == nil {
		return
	}
	step := Step{Done: b.done, All: b.all, Row: p.Number, Side: s.Name, Repeat: repeat}
	if b.done > 0 {
		step.Left = time.Since(b.began) / time.Duration(b.done) * time.Duration(b.all-b.done)
	}
	b.Progress(step)
}

func (b *bench) nextTopic() string {
	b.topics++
	return fmt.Sprintf("limits-%d", b.topics)
}
