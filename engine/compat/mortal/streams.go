package mortal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Streams runs Kafka Streams: its own example as it is, and java/Streams.java, which is killed.
func Streams(s *report.Suite) error {
	return perform(s, 90*time.Second, func(s *stage) []check {
		killed := joint(func(ctx context.Context) (*application, error) {
			return s.application(ctx, "killed", (*application).ownDeaths)
		})
		struck := joint(func(ctx context.Context) (*application, error) {
			return s.application(ctx, "struck", (*application).brokerDeaths)
		})
		return []check{
			{"streams-example", s.wordCountDemo},
			{"streams-count", func(ctx context.Context) error { return look(ctx, killed, (*application).counted) }},
			{"streams-join", func(ctx context.Context) error { return look(ctx, killed, (*application).joined) }},
			{"streams-pairs", func(ctx context.Context) error { return look(ctx, killed, (*application).paired) }},
			{"streams-topics", func(ctx context.Context) error { return look(ctx, killed, (*application).internal) }},
			{"streams-broker", func(ctx context.Context) error {
				return look(ctx, struck, func(a *application, ctx context.Context) error {
					return errors.Join(a.counted(ctx), a.joined(ctx), a.paired(ctx))
				})
			}},
			{"streams-acls", s.ruledStreams},
		}
	})
}

// look plays a run, if nobody has, and looks at one side of its outcome.
func look[T any](ctx context.Context, run func(context.Context) (T, error), side func(T, context.Context) error) error {
	outcome, err := run(ctx)
	if err != nil {
		return err
	}
	return side(outcome, ctx)
}

// Every turn has lines of three words, orders of customers, and halves of pairs.
const (
	turns     = 60
	lines     = 10
	words     = 3
	orders    = 10
	pairs     = 5
	customers = 20
)

// line is the text of one line; some words are frequent and some are not.
func line(i int) string { return fmt.Sprintf("often%d seldom%d rare%d", i%5, i%37, i%211) }

// An application is one run of java/Streams.java.
type application struct {
	*stage
	name    string
	program *program
}

// streams makes the program; each setting is key=value.
func (s *stage) streams(name, prefix, folder string, settings ...string) *program {
	return s.java(name, "Streams", append(append([]string{s.address(), prefix, folder}, s.proof("")...), settings...)...)
}

// application plays a run to its good end.
func (s *stage) application(ctx context.Context, name string, deaths func(*application) []blow, settings ...string) (*application, error) {
	a := &application{stage: s, name: name}
	a.program = s.streams(name, name, a.folder(), settings...)
	outputs := []string{name + "-counts", name + "-enriched", name + "-pairs"}
	inputs := []string{name + "-lines", name + "-customers", name + "-orders", name + "-left", name + "-right"}
	if err := s.topics(ctx, 2, append(inputs, outputs...)...); err != nil {
		return nil, err
	}
	if err := a.hire(ctx); err != nil {
		return nil, err
	}
	w, err := s.watch(ctx, outputs...)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := a.program.start(); err != nil {
		return nil, err
	}
	defer a.program.end()
	give, done, err := s.gives(a.turn)
	if err != nil {
		return nil, err
	}
	defer done()
	f := flow{turns: turns, perTurn: lines*words + orders + pairs, ahead: 6, give: give, seen: w.count, topics: outputs}
	if err := s.play(ctx, f, []*program{a.program}, deaths(a)); err != nil {
		return nil, err
	}
	return a, a.program.running.Stop()
}

// folder is where the program keeps its state.
func (a *application) folder() string { return filepath.Join(a.dir, a.name) }

// ownDeaths kills the program, once on the same machine, as it were, and once to come back on another, without state.
func (a *application) ownDeaths() []blow {
	return []blow{
		{0.2, func(context.Context) error { return a.program.restart() }},
		{0.6, func(context.Context) error {
			a.program.running.Kill()
			if err := os.RemoveAll(a.folder()); err != nil {
				return fmt.Errorf("take the program's state away: %w", err)
			}
			return a.program.start()
		}},
	}
}

// brokerDeaths kills the broker; the program has to live through it.
func (a *application) brokerDeaths() []blow {
	return []blow{{0.2, a.broker.Restart}, {0.6, a.broker.Restart}}
}

// hire writes the customers, who are there before there are orders.
func (a *application) hire(ctx context.Context) error {
	k, err := a.dial()
	if err != nil {
		return err
	}
	defer k.Close()
	var records []*kgo.Record
	for i := range customers {
		records = append(records, &kgo.Record{Topic: a.name + "-customers", Key: fmt.Appendf(nil, "c%d", i), Value: fmt.Appendf(nil, "name%d", i),
			Timestamp: time.Now().Add(-time.Minute)})
	}
	if err := k.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write the customers: %w", err)
	}
	return nil
}

func (a *application) turn(n int) (records []*kgo.Record) {
	add := func(topic, key, value string) {
		records = append(records, &kgo.Record{Topic: a.name + "-" + topic, Key: []byte(key), Value: []byte(value)})
	}
	for i := n * lines; i < (n+1)*lines; i++ {
		add("lines", fmt.Sprint(i), line(i))
	}
	for i := n * orders; i < (n+1)*orders; i++ {
		add("orders", fmt.Sprint(i), fmt.Sprintf("c%d", i%customers))
	}
	for i := n * pairs; i < (n+1)*pairs; i++ {
		add("left", fmt.Sprintf("k%d", i), fmt.Sprintf("left%d", i))
		add("right", fmt.Sprint(i), fmt.Sprintf("k%d", i))
	}
	return records
}

func (a *application) counted(ctx context.Context) error {
	want := map[string]int{}
	for i := range turns * lines {
		for _, word := range strings.Fields(line(i)) {
			want[word]++
		}
	}
	got, err := a.committed(ctx, a.name+"-counts")
	if err != nil {
		return err
	}
	return counted(got, want)
}

func (a *application) joined(ctx context.Context) error {
	var want []string
	for i := range turns * orders {
		want = append(want, fmt.Sprintf("%d name%d", i, i%customers))
	}
	return a.wrote(ctx, "enriched", want)
}

func (a *application) paired(ctx context.Context) error {
	var want []string
	for i := range turns * pairs {
		want = append(want, fmt.Sprintf("left%d %d", i, i))
	}
	return a.wrote(ctx, "pairs", want)
}

// wrote looks whether a topic has these values, each once.
func (a *application) wrote(ctx context.Context, topic string, want []string) error {
	got, err := a.committed(ctx, a.name+"-"+topic)
	if err != nil {
		return err
	}
	if err := exactly(values(got), want); err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	return nil
}

// internalTopics are what Streams makes for the topology, with the settings that it gives them.
const internalTopics = `counts-changelog cleanup.policy=compact message.timestamp.type=CreateTime retention.ms=604800000
customers-changelog cleanup.policy=compact message.timestamp.type=CreateTime retention.ms=604800000
hourly-changelog cleanup.policy=compact,delete message.timestamp.type=CreateTime retention.ms=90000000
orders-repartition cleanup.policy=delete message.timestamp.type=CreateTime retention.ms=-1
pairs-other-join-store-changelog cleanup.policy=delete message.timestamp.type=CreateTime retention.ms=93600000
pairs-right-repartition cleanup.policy=delete message.timestamp.type=CreateTime retention.ms=-1
pairs-this-join-store-changelog cleanup.policy=delete message.timestamp.type=CreateTime retention.ms=93600000
words-repartition cleanup.policy=delete message.timestamp.type=CreateTime retention.ms=-1`

// internal looks at the topics that Streams made, and whether it deletes from its repartition topics what it is done with.
func (a *application) internal(ctx context.Context) error {
	admin, err := a.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	listed, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var names, settings []string
	for _, name := range listed.Names() {
		if strings.HasPrefix(name, a.name+"-") && (strings.HasSuffix(name, "-changelog") || strings.HasSuffix(name, "-repartition")) {
			names = append(names, name)
		}
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("describe the settings: %w", err)
	}
	for _, d := range described {
		var of []string
		for _, c := range d.Configs {
			if slices.Contains([]string{"cleanup.policy", "retention.ms", "message.timestamp.type"}, c.Key) {
				of = append(of, c.Key+"="+c.MaybeValue())
			}
		}
		slices.Sort(of)
		settings = append(settings, strings.TrimPrefix(d.Name, a.name+"-")+" "+strings.Join(of, " "))
	}
	slices.Sort(settings)
	if got := strings.Join(settings, "\n"); got != internalTopics {
		return fmt.Errorf("the internal topics are\n%s\nwant\n%s", got, internalTopics)
	}
	starts, err := admin.ListStartOffsets(ctx, a.name+"-words-repartition")
	if err != nil {
		return fmt.Errorf("list the repartition topic's start: %w", err)
	}
	for _, o := range starts.Offsets()[a.name+"-words-repartition"] {
		if o.At > 0 {
			return nil
		}
	}
	return errors.New("nothing was deleted from the repartition topic")
}

// wordCountDemo is Kafka's own example with its own settings, defaults all.
func (s *stage) wordCountDemo(ctx context.Context) error {
	const input, output = "streams-plaintext-input", "streams-wordcount-output"
	if err := s.topics(ctx, 2, input, output); err != nil {
		return err
	}
	settings := filepath.Join(s.dir, "example.properties")
	text := fmt.Sprintf("bootstrap.servers=%s\nstate.dir=%s\n", s.broker.Address, filepath.Join(s.dir, "example"))
	if err := os.WriteFile(settings, []byte(text), 0o644); err != nil {
		return fmt.Errorf("configure the example: %w", err)
	}
	w, err := s.watch(ctx, output)
	if err != nil {
		return err
	}
	defer w.close()
	p := s.java("example", "org.apache.kafka.streams.examples.wordcount.WordCountDemo", settings)
	if err := p.start(); err != nil {
		return err
	}
	defer p.end()
	const turns = 10
	want := map[string]int{}
	give, done, err := s.gives(func(n int) (records []*kgo.Record) {
		for i := n * lines; i < (n+1)*lines; i++ {
			records = append(records, &kgo.Record{Topic: input, Value: []byte(line(i))})
			for word := range strings.FieldsSeq(line(i)) {
				want[word]++
			}
		}
		return records
	})
	if err != nil {
		return err
	}
	defer done()
	f := flow{turns: turns, perTurn: lines * words, ahead: 6, give: give, seen: w.count, topics: []string{output}}
	if err := s.play(ctx, f, []*program{p}, nil); err != nil {
		return err
	}
	got, err := s.committed(ctx, output)
	if err != nil {
		return err
	}
	for _, records := range got {
		for _, r := range records {
			if len(r.Value) != 8 {
				return fmt.Errorf("the count of %s has %d bytes, want 8", r.Key, len(r.Value))
			}
			r.Value = fmt.Append(nil, binary.BigEndian.Uint64(r.Value))
		}
	}
	return counted(got, want)
}
