package mortal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Connect runs Kafka Connect with its connectors for files: file, topic, file.
func Connect(s *report.Suite) error {
	return perform(s, 2*time.Minute, func(s *stage) []check {
		workers := joint(s.distributed)
		return []check{
			{"connect-standalone", s.standalone},
			{"connect-distributed", func(ctx context.Context) error { return look(ctx, workers, (*pipe).sunk) }},
			{"connect-exactly-once", func(ctx context.Context) error { return look(ctx, workers, (*pipe).carried) }},
			{"connect-topics", func(ctx context.Context) error { return look(ctx, workers, (*pipe).kept) }},
			{"connect-broker", s.bereft},
			{"connect-acls", s.ruledConnect},
		}
	}, "log.cleaner.backoff.ms=500")
}

// A pipe carries the lines of one file to another, by way of a topic.
type pipe struct {
	*stage
	name             string
	from, topic, to  string
	source, sink     string // the connectors' names
	turns, lines     int
	sourced, drained map[string]string // the connectors' configurations
}

func (s *stage) pipe(name string, turns int) (*pipe, error) {
	p := &pipe{stage: s, name: name, topic: name, from: filepath.Join(s.dir, name+"-from.txt"), to: filepath.Join(s.dir, name+"-to.txt"), turns: turns, lines: 50}
	p.source, p.sink = name+"-source", name+"-sink"
	p.sourced = map[string]string{"connector.class": "FileStreamSource", "tasks.max": "1", "file": p.from, "topic": p.topic}
	p.drained = map[string]string{"connector.class": "FileStreamSink", "tasks.max": "1", "file": p.to, "topics": p.topic}
	for _, file := range []string{p.from, p.to} {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return nil, fmt.Errorf("make the files of %s: %w", name, err)
		}
	}
	return p, nil
}

// flow appends lines to the one file, and counts how many different ones are in the other.
func (p *pipe) flow() flow {
	give := func(_ context.Context, n int) error {
		f, err := os.OpenFile(p.from, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(strings.Join(p.text(n*p.lines, p.lines), "\n") + "\n")
		return errors.Join(err, f.Close())
	}
	seen := func() int {
		different := map[string]bool{}
		for _, line := range p.read() {
			different[line] = true
		}
		return len(different)
	}
	return flow{turns: p.turns, perTurn: p.lines, ahead: 2, give: give, seen: seen, topics: []string{p.topic}}
}

// text is count lines from the first on.
func (p *pipe) text(first, count int) (all []string) {
	for i := first; i < first+count; i++ {
		all = append(all, fmt.Sprintf("line %d of %s", i, p.name))
	}
	return all
}

// read is what the file at the end has, but for a line that is being written.
func (p *pipe) read() []string {
	text, err := os.ReadFile(p.to)
	if err != nil {
		return nil // nothing yet
	}
	all := strings.Split(string(text), "\n")
	return all[:len(all)-1]
}

// sunk judges the file at the end. A sink that is killed writes again what it wrote after its last commit, and so it goes
// with a source in standalone mode: Kafka promises each line at least once.
func (p *pipe) sunk(context.Context) error {
	return rewound(p.read(), p.text(0, p.turns*p.lines), 2)
}

// carried judges the topic, which an exactly-once source fills.
func (p *pipe) carried(ctx context.Context) error {
	got, err := p.committed(ctx, p.topic)
	if err != nil {
		return err
	}
	return rewound(values(got), p.text(0, p.turns*p.lines), 0)
}

// standalone is a worker by itself, whose source offsets are in a file. It is killed, and started again.
func (s *stage) standalone(ctx context.Context) error {
	p, err := s.pipe("standalone", 20)
	if err != nil {
		return err
	}
	if err := s.topics(ctx, 1, p.topic); err != nil {
		return err
	}
	var files []string
	for name, of := range map[string]map[string]string{"source": p.sourced, "sink": p.drained} {
		text := "name=" + name + "\n"
		for key, value := range of {
			text += key + "=" + value + "\n"
		}
		file := filepath.Join(s.dir, "standalone-"+name+".properties")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return fmt.Errorf("configure the %s: %w", name, err)
		}
		files = append(files, file)
	}
	w, err := s.worker("standalone", "org.apache.kafka.connect.cli.ConnectStandalone",
		[]string{"offset.storage.file.filename=" + filepath.Join(s.dir, "standalone.offsets"), "consumer.session.timeout.ms=6000"}, files...)
	if err != nil {
		return err
	}
	if err := w.start(); err != nil {
		return err
	}
	defer w.end()
	if err := s.play(ctx, p.flow(), []*program{w.program}, []blow{{0.4, func(context.Context) error { return w.restart() }}}); err != nil {
		return err
	}
	return errors.Join(p.sunk(ctx), w.program.running.Stop())
}

// internal are the settings for the topics in which a group of workers keeps what it knows: small segments that are
// compacted at once.
func internal(group string) (settings []string) {
	for _, of := range []string{"config", "offset", "status"} {
		settings = append(settings, of+".storage.topic="+group+"-"+of, of+".storage.replication.factor=1", of+".storage.segment.ms=50", of+".storage.min.cleanable.dirty.ratio=0.01")
	}
	return append(settings, "offset.storage.partitions=2", "status.storage.partitions=2")
}

// A crew is two distributed workers that carry a pipe.
type crew struct {
	*pipe
	workers  []*worker
	programs []*program
}

// hire starts a crew, which has a group of its own, and gives it the pipe's connectors, with the promise of exactly once
// for the source. It is to be dismissed, also after an error.
func (p *pipe) hire(ctx context.Context, group string) (*crew, error) {
	c := &crew{pipe: p}
	p.sourced["exactly.once.support"] = "required"
	p.drained["consumer.override.isolation.level"] = "read_committed"
	if err := p.topics(ctx, 1, p.topic); err != nil {
		return c, err
	}
	settings := append(internal(group), "group.id="+group, "exactly.once.source.support=enabled", "scheduled.rebalance.max.delay.ms=0",
		"session.timeout.ms=6000", "heartbeat.interval.ms=500", "consumer.session.timeout.ms=6000")
	for i := range 2 {
		w, err := p.worker(fmt.Sprintf("%s-%d", group, i), "org.apache.kafka.connect.cli.ConnectDistributed", settings)
		if err != nil {
			return c, err
		}
		if err := w.start(); err != nil {
			return c, err
		}
		c.workers, c.programs = append(c.workers, w), append(c.programs, w.program)
	}
	for name, of := range map[string]map[string]string{p.source: p.sourced, p.sink: p.drained} {
		body := map[string]any{"name": name, "config": of}
		err := until(ctx, "create connector "+name, c.programs, func() error {
			return c.workers[0].ask(ctx, http.MethodPost, "/connectors", body, nil)
		})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// dismiss is for a deferred call: it leaves no process behind.
func (c *crew) dismiss() {
	for _, w := range c.workers {
		w.end()
	}
}

// stop asks the workers for a clean end.
func (c *crew) stop() (failures error) {
	for _, w := range c.workers {
		failures = errors.Join(failures, w.program.running.Stop())
	}
	return failures
}

// distributed is two workers, each of which is killed when it runs a task that matters, and started again.
func (s *stage) distributed(ctx context.Context) (*pipe, error) {
	p, err := s.pipe("distributed", 20)
	if err != nil {
		return nil, err
	}
	c, err := p.hire(ctx, "connect")
	defer c.dismiss()
	if err != nil {
		return nil, err
	}
	blows := []blow{
		{0.25, func(ctx context.Context) error { return c.strike(ctx, p.source) }},
		// What takes over now reads the internal topics as compaction has left them.
		{0.6, func(ctx context.Context) error {
			if err := until(ctx, "before the second death", c.programs, func() error { return p.compacted(ctx) }); err != nil {
				return err
			}
			return c.strike(ctx, p.sink)
		}},
	}
	if err := s.play(ctx, p.flow(), c.programs, blows); err != nil {
		return nil, err
	}
	return p, errors.Join(c.position(ctx), c.stop())
}

// bereft is two workers whose broker is killed twice. The source has promised each line once. Of the sink a death may
// have the last lines written again, for each time that its task, or its consumer, goes on from the last commit.
func (s *stage) bereft(ctx context.Context) error {
	p, err := s.pipe("bereft", 20)
	if err != nil {
		return err
	}
	c, err := p.hire(ctx, "bereft")
	defer c.dismiss()
	if err != nil {
		return err
	}
	if err := s.play(ctx, p.flow(), c.programs, []blow{{0.25, s.broker.Restart}, {0.6, s.broker.Restart}}); err != nil {
		return err
	}
	return errors.Join(c.position(ctx), p.carried(ctx), rewound(p.read(), p.text(0, p.turns*p.lines), 4), c.stop())
}

// strike kills the worker that runs a connector's task.
func (c *crew) strike(ctx context.Context, connector string) error {
	var victim *worker
	err := until(ctx, "find who runs "+connector, c.programs, func() (err error) {
		for _, w := range c.workers {
			if victim, err = w.running(ctx, connector, c.workers...); err == nil {
				return nil
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return victim.restart()
}

// position asks the REST interface how far the source is: to the end of its file.
func (c *crew) position(ctx context.Context) error {
	info, err := os.Stat(c.from)
	if err != nil {
		return fmt.Errorf("the source file: %w", err)
	}
	return until(ctx, "the source's offset", c.programs, func() error {
		var reply struct {
			Offsets []struct {
				Offset struct {
					Position int64 `json:"position"`
				} `json:"offset"`
			} `json:"offsets"`
		}
		if err := c.workers[0].ask(ctx, http.MethodGet, "/connectors/"+c.source+"/offsets", nil, &reply); err != nil {
			return err
		}
		if len(reply.Offsets) != 1 || reply.Offsets[0].Offset.Position != info.Size() {
			return fmt.Errorf("it is %+v, want %d", reply.Offsets, info.Size())
		}
		return nil
	})
}

// compacted looks whether the topic of source offsets has lost some of its records.
func (p *pipe) compacted(ctx context.Context) error {
	got, err := p.all(ctx, "connect-offset")
	if err != nil {
		return err
	}
	for _, records := range got {
		if len(records) > 0 && records[len(records)-1].Offset >= int64(len(records)) {
			return nil
		}
	}
	return errors.New("connect-offset is not compacted")
}

// kept looks whether the internal topics are compacted, and have the newest of everything.
func (p *pipe) kept(ctx context.Context) error {
	a, err := p.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	described, err := a.DescribeTopicConfigs(ctx, "connect-config", "connect-offset", "connect-status")
	if err != nil {
		return fmt.Errorf("describe the internal topics: %w", err)
	}
	for _, d := range described {
		for _, c := range d.Configs {
			if c.Key == "cleanup.policy" && c.MaybeValue() != "compact" {
				return fmt.Errorf("cleanup.policy of %s is %s, want compact", d.Name, c.MaybeValue())
			}
		}
	}
	newest := map[string]map[string]string{}
	for _, d := range described {
		got, err := p.committed(ctx, d.Name)
		if err != nil {
			return err
		}
		newest[d.Name] = latest(got)
	}
	info, err := os.Stat(p.from)
	if err != nil {
		return fmt.Errorf("the source file: %w", err)
	}
	source := fmt.Sprintf(`[%q,{"filename":%q}]`, p.source, p.from)
	return errors.Join(p.compacted(ctx),
		has(newest, "connect-config", "connector-"+p.source, p.from), has(newest, "connect-config", "connector-"+p.sink, p.to),
		has(newest, "connect-config", "task-"+p.source+"-0", p.from), has(newest, "connect-config", "task-"+p.sink+"-0", p.to),
		has(newest, "connect-offset", source, fmt.Sprintf(`{"position":%d}`, info.Size())),
		has(newest, "connect-status", "status-task-"+p.source+"-0", `"state":`), has(newest, "connect-status", "status-connector-"+p.sink, `"state":`))
}

// latest is the last value of each key.
func latest(partitions map[int32][]*kgo.Record) map[string]string {
	newest := map[string]string{}
	for _, records := range partitions {
		for _, r := range records {
			newest[string(r.Key)] = string(r.Value)
		}
	}
	return newest
}

// has looks for part of the newest value of a key, which is JSON.
func has(newest map[string]map[string]string, topic, key, part string) error {
	value := newest[topic][key]
	if !json.Valid([]byte(value)) || !strings.Contains(value, part) {
		return fmt.Errorf("%s: the newest value of %s is %q, which lacks %s", topic, key, value, part)
	}
	return nil
}
