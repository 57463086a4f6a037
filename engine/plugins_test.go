package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// obedient does with each record what its value says.
type obedient struct{ route string }

func (o obedient) OnProduce(b *sdk.Batch) error {
	for i, v := range b.All() {
		deed, _, _ := strings.Cut(string(v.Value), " ")
		switch deed {
		case "drop":
			b.Drop(i)
		case "edit":
			b.SetValue(i, bytes.ToUpper(v.Value))
		case "bad":
			b.Fail(i, "it says so itself")
		case "route":
			b.Route(i, o.route)
		case "reject":
			return sdk.Reject("not on a Sunday")
		case "panic":
			panic("as asked")
		}
	}
	return nil
}

func (o obedient) OnFetch(b *sdk.Batch) error { return o.OnProduce(b) }

// absent makes the plugin "absent" be one that is not there; tried counts how often it was looked for.
var (
	absent atomic.Bool
	tried  atomic.Int64
)

// open counts the instances that were made and not closed.
var open atomic.Int64

type counted struct{ obedient }

func (counted) Close() error {
	open.Add(-1)
	return nil
}

func (counted) FailClosed() bool { return true }

// tallied counts what the plugin "tallying" was shown.
var tallied atomic.Int64

type tallying struct{ obedient }

func (o tallying) OnProduce(b *sdk.Batch) error {
	tallied.Add(1)
	return o.obedient.OnProduce(b)
}

func init() {
	sdk.Interceptors.Register("tallying", func(sdk.Config) (sdk.Interceptor, error) { return tallying{}, nil })
	sdk.Interceptors.Register("obedient", func(c sdk.Config) (sdk.Interceptor, error) {
		return obedient{c.String("route", "")}, nil
	})
	sdk.Interceptors.Register("absent", func(sdk.Config) (sdk.Interceptor, error) {
		tried.Add(1)
		if absent.Load() {
			return nil, errors.New("it is not here today")
		}
		return obedient{}, nil
	})
	sdk.Interceptors.Register("counted", func(c sdk.Config) (sdk.Interceptor, error) {
		if c.Bool("fail", false) {
			return nil, errors.New("told to fail")
		}
		open.Add(1)
		return counted{}, nil
	})
}

// altered changes settings, all of which must be taken.
func (p *peer) altered(kind kmsg.ConfigResourceType, name string, changes ...string) {
	p.t.Helper()
	if code, why := p.alterWhy(kind, name, changes...); code != 0 {
		p.t.Fatalf("alter %v: %s: %s", changes, errorName(code), why)
	}
}

// alterWhy changes settings and tells with which error, and why.
func (p *peer) alterWhy(kind kmsg.ConfigResourceType, name string, changes ...string) (int16, string) {
	p.t.Helper()
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, change := range changes {
		r.Configs = append(r.Configs, alteration(change))
	}
	q.Resources = append(q.Resources, r)
	a := ask[*kmsg.IncrementalAlterConfigsResponse](p, 1, q)
	why := ""
	if m := a.Resources[0].ErrorMessage; m != nil {
		why = *m
	}
	return a.Resources[0].ErrorCode, why
}

// stored reads a partition from its beginning: offset and value of every record.
func (p *peer) stored(s subject, partition int32) (all []string) {
	p.t.Helper()
	r := p.fetch(12, from(s, partition, 0))
	want(p.t, "fetch "+s.name, r.ErrorCode, nil)
	for rest := r.RecordBatches; len(rest) > 0; {
		n, err := batch.Peek(rest)
		if err != nil {
			p.t.Fatal(err)
		}
		b := batch.Batch(rest[:n])
		if err := b.Check(); err != nil {
			p.t.Fatal(err)
		}
		records, err := b.Records(nil, 1<<20)
		if err != nil {
			p.t.Fatal(err)
		}
		for records.Next() {
			all = append(all, fmt.Sprintf("%d %s", b.BaseOffset()+int64(records.Record().OffsetDelta), records.Record().Value))
		}
		rest = rest[n:]
	}
	return all
}

func (p *peer) holds(s subject, want ...string) {
	p.t.Helper()
	if got := p.stored(s, 0); strings.Join(got, ", ") != strings.Join(want, ", ") {
		p.t.Fatalf("topic %s holds %q, want %q", s.name, got, want)
	}
}

// why is what a producer is told beside the code.
func why(r kmsg.ProduceResponseTopicPartition) string {
	if r.ErrorMessage == nil {
		return ""
	}
	return *r.ErrorMessage
}

func TestInterceptorsChangeWhatIsStored(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient")
	for _, cleanup := range []string{"delete", "compact"} {
		for _, stored := range []string{"producer", "uncompressed", "zstd"} {
			s := p.topic(1, "interceptors.produce", "obedient", "compression.type", stored, "cleanup.policy", cleanup)
			next := int64(0)
			var want []string
			for codec := range batch.Zstd + 1 {
				o := batch.NoProducer()
				o.Codec, o.ProducerID, o.ProducerEpoch, o.BaseSequence = codec, 7, 0, int32(next)
				r := p.produce(9, s, 0, recordsAt(time.Now().UnixMilli(), o, "drop 1", "keep 2", "edit 3", "drop 4"))
				if r.ErrorCode != 0 || r.BaseOffset != next {
					t.Fatalf("%s: %s %s, offset %d, want %d", codec, errorName(r.ErrorCode), why(r), r.BaseOffset, next)
				}
				want = append(want, fmt.Sprintf("%d keep 2", next+1), fmt.Sprintf("%d EDIT 3", next+2))
				next += 4
			}
			p.holds(s, want...)
			if r := p.fetch(12, from(s, 0, 0)); r.HighWatermark != next {
				t.Errorf("high watermark %d, want %d", r.HighWatermark, next)
			}
		}
	}
}

func TestWhatIsSentAgainIsStoredOnce(t *testing.T) {
	onlyOurs(t)
	folder := t.TempDir()
	b := start(t, folder, "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.produce", "obedient")
	first := sequencedValues(0, "drop a", "keep b", "drop c")
	second := sequencedValues(3, "drop d", "drop e")
	for range 2 {
		for _, test := range []struct {
			batch []byte
			base  int64
		}{{first, 0}, {second, 3}} {
			if r := p.produce(9, s, 0, bytes.Clone(test.batch)); r.ErrorCode != 0 || r.BaseOffset != test.base {
				t.Fatalf("%s, offset %d, want %d", errorName(r.ErrorCode), r.BaseOffset, test.base)
			}
		}
	}
	r := p.produce(9, s, 0, sequencedValues(5, "keep f"))
	want(t, "the next sequence", r.ErrorCode, nil)
	r = p.produce(9, s, 0, sequencedValues(7, "keep g"))
	want(t, "a sequence too far", r.ErrorCode, kerr.OutOfOrderSequenceNumber)
	p.holds(s, "1 keep b", "5 keep f")
}

// A batch whose answer was lost is stored: whatever interceptors say by now, its producer hears
// that, and nothing of it goes anywhere a second time. On several disks partitions are asked on
// their shards, on one most often by the event loop.
func TestInterceptorsDoNotSeeWhatIsStored(t *testing.T) {
	onlyOurs(t)
	for name, disks := range map[string]int{"one disk": 1, "two disks": 2} {
		t.Run(name, func(t *testing.T) { seenOnce(t, disks) })
	}
}

func seenOnce(t *testing.T, disks int) {
	var folders []string
	for range disks {
		folders = append(folders, t.TempDir())
	}
	settings := []string{"plugins=guard", "plugin.guard.type=obedient", "plugin.guard.on.error=dlq", "plugin.guard.dlq.topic=dead"}
	b, err := begin(strings.Join(folders, ","), settings...)
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b.Addresses()[0])
	dead, s := p.topicNamed("dead", 1), p.topic(1, "interceptors.produce", "guard")
	first, second := sequencedValues(0, "keep 0", "bad 1"), sequencedValues(2, "reject 2")
	want(t, "the first", p.produce(9, s, 0, bytes.Clone(first)).ErrorCode, nil)
	p.altered(aTopic, s.name, "interceptors.produce=")
	want(t, "the second, which nobody looks at", p.produce(9, s, 0, bytes.Clone(second)).ErrorCode, nil)
	p.altered(aTopic, s.name, "interceptors.produce=guard")
	again := func(when string) {
		t.Helper()
		for _, test := range []struct {
			batch []byte
			base  int64
		}{{first, 0}, {second, 2}} {
			if r := p.produce(9, s, 0, bytes.Clone(test.batch)); r.ErrorCode != 0 || r.BaseOffset != test.base {
				t.Errorf("%s: %s %s, offset %d, want %d", when, errorName(r.ErrorCode), why(r), r.BaseOffset, test.base)
			}
		}
		p.holds(s, "0 keep 0", "2 reject 2")
		p.holds(dead, "0 bad 1")
		want(t, when+", a batch that only begins like one", p.produce(9, s, 0, sequencedValues(2, "reject 2", "x")).ErrorCode, kerr.InvalidRecord)
		want(t, when+", the next", p.produce(9, s, 0, sequencedValues(3, "reject 3")).ErrorCode, kerr.InvalidRecord)
	}
	again("sent again")
	stop(t, b)
	b, err = begin(strings.Join(folders, ","), settings...)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	p = dial(t, b.Addresses()[0])
	again("after a restart")
}

// One request has what is stored and what is new, and each goes its own way.
func TestARequestHasOldAndNew(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient")
	s := p.topic(2, "interceptors.produce", "obedient")
	old := sequencedValues(0, "edit a")
	want(t, "the first time", p.produce(9, s, 0, bytes.Clone(old)).ErrorCode, nil)
	q := produceRequest(9, s, 0, -1, bytes.Clone(old))
	other := kmsg.NewProduceRequestTopicPartition()
	other.Partition, other.Records = 1, sequencedValues(0, "edit b")
	q.Topics[0].Partitions = append(q.Topics[0].Partitions, other)
	for _, r := range ask[*kmsg.ProduceResponse](p, 9, q).Topics[0].Partitions {
		if r.ErrorCode != 0 || r.BaseOffset != 0 {
			t.Errorf("partition %d: %s, offset %d", r.Partition, errorName(r.ErrorCode), r.BaseOffset)
		}
	}
	p.holds(s, "0 EDIT A")
	if got := p.stored(s, 1); len(got) != 1 || got[0] != "0 EDIT B" {
		t.Errorf("the other partition holds %q", got)
	}
}

// Records that are dropped leave their transaction as it is, and what is sent again within it is
// stored once.
func TestATransactionThroughInterceptors(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient")
	s := p.topic(1, "interceptors.produce", "obedient")
	x := p.transactor("thinned")
	for i, commit := range []bool{true, false, true} {
		sent, bases := x.batch(0, "drop", fmt.Sprint("edit ", i)), map[int64]bool{}
		for range 2 {
			q := produceRequest(12, s, 0, -1, bytes.Clone(sent))
			q.TransactionID = &x.id
			r := repeated(p, 12, q, func(a *kmsg.ProduceResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode }).Topics[0].Partitions[0]
			want(t, "produce", r.ErrorCode, nil)
			bases[r.BaseOffset] = true
		}
		if len(bases) != 1 {
			t.Errorf("the batch and its repetition are at %v", bases)
		}
		want(t, "end", x.end(5, commit), nil)
	}
	p.stable(s, 0)
	if got, _ := p.committedOnly(12, s, 0); strings.Join(got, ", ") != "EDIT 0, EDIT 2" {
		t.Errorf("committed are %q", got)
	}
}

// A batch of a transaction that comes without a transactional id is refused before anybody looks
// into it, also where interceptors or a worker would; what comes with it is stored.
func TestATransactionWithoutAnIDIsRefusedBeforeItIsUnpacked(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient")
	x := p.transactor("nameless")
	for name, settings := range map[string][]string{
		"interceptors":       {"interceptors.produce", "obedient"},
		"another codec":      {"compression.type", "zstd"},
		"keys are looked at": {"cleanup.policy", "compact"},
	} {
		t.Run(name, func(t *testing.T) {
			s := p.topic(2, settings...)
			o := batch.NoProducer()
			o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional, o.Codec = x.producer, x.epoch, 0, true, batch.Gzip
			q := produceRequest(9, s, 0, -1, recordsAt(time.Now().UnixMilli(), o, strings.Repeat("lost ", 100_000)))
			q.Topics[0].Partitions = append(q.Topics[0].Partitions, produceRequest(9, s, 1, -1, records("keep")).Topics[0].Partitions...)
			a := ask[*kmsg.ProduceResponse](p, 9, q).Topics[0].Partitions
			want(t, "without an id", a[0].ErrorCode, kerr.TransactionalIDAuthorizationFailed)
			want(t, "beside it", a[1].ErrorCode, nil)
			if got := p.stored(s, 1); len(got) != 1 || len(p.stored(s, 0)) != 0 {
				t.Errorf("beside it is stored %q", got)
			}
		})
	}
}

// A worker that waits for the memory of a batch holds none meanwhile, also not what it took while
// it did not know how much that is.
func TestWhoWaitsForMemoryHoldsNone(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient", "decompression.buffer.bytes=4194304")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.produce", "obedient")
	const lent = 5 << 19 // what is left is enough for the records as they come, and for no more
	if err := b.memory.Borrow(lent); err != nil {
		t.Fatal(err)
	}
	q := produceRequest(9, s, 0, -1, rawSnappy(strings.Repeat("x", 1<<20)))
	p.send(9, q)
	soon(t, "somebody waits who holds nothing", func() bool {
		if b.memory.Eager().Borrow(1) == nil {
			b.memory.Return(1)
			return false // there are no others as long as somebody waits
		}
		return b.memory.Used() == lent
	})
	b.memory.Return(lent)
	want(t, "with memory", expect[*kmsg.ProduceResponse](p, 9, q, p.last).Topics[0].Partitions[0].ErrorCode, nil)
}

// A batch for which there is no memory, behind one of its request that holds some, is shown to
// nobody: it is to be sent again, and would be seen twice.
func TestABatchWithoutMemoryIsNotShown(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=tallying", "decompression.buffer.bytes=4194304")
	p := dial(t, b.Addresses()[0])
	s := p.topic(2, "interceptors.produce", "tallying")
	const size = 600_000
	if err := b.memory.Borrow(4<<20 - 3*size/2); err != nil {
		t.Fatal(err)
	}
	defer b.memory.Return(4<<20 - 3*size/2)
	q := produceRequest(9, s, 0, -1, records("edit"))
	q.Topics[0].Partitions = append(q.Topics[0].Partitions, produceRequest(9, s, 1, -1, records("edit "+strings.Repeat("x", size))).Topics[0].Partitions...)
	before := tallied.Load()
	a := ask[*kmsg.ProduceResponse](p, 9, q).Topics[0].Partitions
	want(t, "with memory", a[0].ErrorCode, nil)
	want(t, "without", a[1].ErrorCode, kerr.RequestTimedOut)
	if n := tallied.Load() - before; n != 1 {
		t.Errorf("%d batches were shown, want the one that was stored", n)
	}
}

func sequencedValues(sequence int32, values ...string) []byte {
	o := batch.NoProducer()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence = 7, 0, sequence
	return recordsAt(time.Now().UnixMilli(), o, values...)
}

func TestBatchesWithoutRecordsSurviveARestart(t *testing.T) {
	onlyOurs(t)
	folder := t.TempDir()
	b, err := begin(folder, "plugins=obedient")
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.produce", "obedient")
	for _, values := range [][]string{{"drop 0", "drop 1"}, {"keep 2"}, {"drop 3"}} {
		want(t, "produce", p.produce(9, s, 0, records(values...)).ErrorCode, nil)
	}
	stop(t, b)
	p = dial(t, start(t, folder, "plugins=obedient").Addresses()[0])
	p.holds(s, "2 keep 2")
	if r := p.produce(9, s, 0, records("keep 4")); r.BaseOffset != 4 {
		t.Errorf("the next offset is %d, want 4", r.BaseOffset)
	}
}

func TestAProducerHearsWhyItIsRefused(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient")
	s := p.topic(1, "interceptors.produce", "obedient", "max.message.bytes", "300")
	for value, test := range map[string]struct {
		refused *kerr.Error
		why     string
	}{
		"reject": {kerr.InvalidRecord, "plugin obedient: not on a Sunday"},
		"bad":    {kerr.InvalidRecord, "plugin obedient: record 1: it says so itself"},
		"panic":  {kerr.PolicyViolation, "plugin obedient: panic: as asked"},
	} {
		for codec := range batch.Zstd + 1 {
			o := batch.NoProducer()
			o.Codec = codec
			r := p.produce(9, s, 0, recordsAt(time.Now().UnixMilli(), o, "keep", value))
			if want(t, value, r.ErrorCode, test.refused); why(r) != test.why && !strings.Contains(why(r), "switched off") {
				t.Errorf("%s: told %q, want %q", value, why(r), test.why)
			}
		}
	}
	p.holds(s)
}

func TestAPluginThatFailsTooOftenIsSwitchedOff(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient", "plugin.obedient.breaker.faults=3", "plugin.obedient.breaker.cooldown.ms=3600000")
	s := p.topic(1, "interceptors.produce", "obedient")
	for range 3 {
		want(t, "a fault", p.produce(9, s, 0, records("panic")).ErrorCode, kerr.PolicyViolation)
	}
	r := p.produce(9, s, 0, records("keep"))
	if want(t, "switched off", r.ErrorCode, kerr.PolicyViolation); !strings.Contains(why(r), "switched off") {
		t.Errorf("told %q", why(r))
	}
	p.altered(aBroker, "", "plugin.obedient.on.error=skip") // a reload begins anew
	want(t, "after a reload", p.produce(9, s, 0, records("panic")).ErrorCode, nil)
	p.holds(s, "0 panic")
}

func TestDeadLettersAndRoutedRecordsAreStoredElsewhere(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	s := p.topic(2)
	dead, aside := p.topic(1, "compression.type", "lz4"), p.topic(2)
	p.altered(aBroker, "", "plugins=guard", "plugin.guard.type=obedient", "plugin.guard.on.error=dlq", "plugin.guard.dlq.topic="+dead.name, "plugin.guard.config.route="+aside.name)
	p.altered(aTopic, s.name, "interceptors.produce=guard")
	want(t, "produce", p.produce(9, s, 1, records("keep 0", "bad 1", "route 2", "bad 3")).ErrorCode, nil)
	if got := fmt.Sprint(p.stored(s, 1), p.stored(dead, 0), p.stored(aside, 1)); got != "[0 keep 0] [0 bad 1 1 bad 3] [0 route 2]" {
		t.Errorf("stored are %s", got)
	}
	c := kgo.SeedBrokers(p.conn.RemoteAddr().String())
	reader, err := kgo.NewClient(c, kgo.ConsumeTopics(dead.name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	fetches := reader.PollFetches(limited(t))
	headers := map[string]string{}
	for _, h := range fetches.Records()[0].Headers {
		headers[h.Key] = string(h.Value)
	}
	for key, want := range map[string]string{
		"millrace.plugin": "guard", "millrace.error": "it says so itself", "millrace.source.topic": s.name, "millrace.source.partition": "1", "millrace.source.client": "test",
	} {
		if headers[key] != want {
			t.Errorf("header %s is %q, want %q", key, headers[key], want)
		}
	}
	r := p.produce(9, s, 0, records("panic"))
	if want(t, "a fault under dlq", r.ErrorCode, nil); len(p.stored(dead, 0)) != 3 || len(p.stored(s, 0)) != 0 {
		t.Errorf("dead letters %q, topic %q", p.stored(dead, 0), p.stored(s, 0))
	}
	x := p.transactor("mover")
	for _, value := range []string{"bad", "route", "panic"} {
		if code := x.send(11, s, 0, value); code == 0 {
			t.Errorf("%s: a record left its transaction", value)
		}
	}
}

func TestABatchWhoseDeadLettersHaveNoPlaceIsNotStored(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=guard,router", "plugin.guard.type=obedient", "plugin.guard.on.error=dlq", "plugin.guard.dlq.topic=nowhere",
		"plugin.router.type=obedient", "plugin.router.config.route=nowhere")
	s := p.topic(1, "interceptors.produce", "guard")
	routed := p.topic(1, "interceptors.produce", "router")
	for name, test := range map[string]struct {
		s     subject
		value string
	}{"dead letter": {s, "bad"}, "routed": {routed, "route"}} {
		r := p.produce(9, test.s, 0, records("keep", test.value))
		if want(t, name, r.ErrorCode, kerr.RequestTimedOut); !strings.Contains(why(r), "nowhere") {
			t.Errorf("told %q", why(r))
		}
		p.holds(test.s)
	}
	nowhere := p.topicNamed("nowhere", 1)
	want(t, "once there is a topic", p.produce(9, s, 0, records("keep", "bad")).ErrorCode, nil)
	p.holds(nowhere, "0 bad")
	p.holds(s, "0 keep")
}

// A dead-letter topic that was deleted keeps nobody from changing other plugins, nor from unloading this one.
func TestADeadLetterTopicThatIsGoneKeepsNobodyFromChanges(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	dead, s := p.topic(1), p.topic(1)
	p.altered(aBroker, "", "plugins=guard,good", "plugin.good.type=obedient", "plugin.guard.type=obedient", "plugin.guard.on.error=dlq", "plugin.guard.dlq.topic="+dead.name)
	p.altered(aTopic, s.name, "interceptors.produce=good")
	p.deleteTopic(dead)
	p.altered(aBroker, "", "plugin.good.breaker.faults=3")
	p.altered(aBroker, "", "plugins=guard,good,third", "plugin.third.type=obedient")
	if code, why := p.alterWhy(aBroker, "", "plugin.guard.dlq.topic=nowhere"); code != kerr.InvalidConfig.Code || !strings.Contains(why, "there is no such topic") {
		t.Errorf("another topic that is not there: %s %q", errorName(code), why)
	}
	p.altered(aBroker, "", "plugins=good")
	want(t, "produce", p.produce(9, s, 0, records("drop", "keep")).ErrorCode, nil)
	p.holds(s, "1 keep")
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	s := p.topic(1)
	p.altered(aBroker, "", "plugins=good", "plugin.good.type=obedient", "plugin.good.config.route=other")
	p.altered(aTopic, s.name, "interceptors.produce=good")
	for name, test := range map[string]struct {
		kind    kmsg.ConfigResourceType
		changes []string
		why     string
	}{
		"unknown type":        {aBroker, []string{"plugins=good,new", "plugin.new.type=nonsense"}, `there is no interceptor "nonsense"`},
		"unknown name":        {aBroker, []string{"plugins=good,nonsense"}, `there is no interceptor "nonsense"`},
		"a budget too large":  {aBroker, []string{"plugin.good.call.budget.ms=1001"}, "use 0 to 1000 ms of each second"},
		"unknown setting":     {aBroker, []string{"plugin.good.config.rout=x"}, `unknown setting "config.rout"`},
		"misspelt policy":     {aBroker, []string{"plugin.good.on.error=ignore"}, "use fail, skip or dlq"},
		"no dead letters":     {aBroker, []string{"plugin.good.on.error=dlq"}, "needs dlq.topic"},
		"nowhere to bury":     {aBroker, []string{"plugin.good.on.error=dlq", "plugin.good.dlq.topic=nowhere"}, "there is no such topic"},
		"fails to start":      {aBroker, []string{"plugins=good,new", "plugin.new.type=counted", "plugin.new.fail=true"}, "told to fail"},
		"a guard skipped":     {aBroker, []string{"plugins=good,new", "plugin.new.type=counted", "plugin.new.on.error=skip"}, "fail_closed"},
		"still in use":        {aBroker, []string{"plugins="}, "there is no plugin good"},
		"gone, still in use":  {aBroker, []string{"-plugins"}, "topic " + s.name},
		"broker default":      {aBroker, []string{"interceptors=bad"}, "there is no plugin bad"},
		"topic, unknown":      {aTopic, []string{"interceptors.produce=bad"}, "there is no plugin bad"},
		"topic, fetch":        {aTopic, []string{"interceptors.fetch=good,bad"}, "there is no plugin bad"},
		"topic, twice":        {aTopic, []string{"interceptors.fetch=good,good"}, "named twice"},
		"a name with a colon": {aTopic, []string{"interceptors.fetch=a:b"}, "consists of letters"},
	} {
		t.Run(name, func(t *testing.T) {
			resource := ""
			if test.kind == aTopic {
				resource = s.name
			}
			code, why := p.at(t).alterWhy(test.kind, resource, test.changes...)
			if code != kerr.InvalidConfig.Code && code != kerr.InvalidRequest.Code || !strings.Contains(why, test.why) {
				t.Errorf("%s: %q, want %q", errorName(code), why, test.why)
			}
			if r := p.produce(9, s, 0, records("drop")); r.ErrorCode != 0 {
				t.Errorf("the plugin before is gone: %s", errorName(r.ErrorCode))
			}
		})
	}
	p.at(t).holds(s)
	q := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "new", 1, 1
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = "interceptors.produce", kmsg.StringPtr("bad")
	topic.Configs = append(topic.Configs, c)
	q.Topics = append(q.Topics, topic)
	want(t, "create a topic with a plugin that is not there", ask[*kmsg.CreateTopicsResponse](p, 7, q).Topics[0].ErrorCode, kerr.InvalidConfig)
	dlq := p.topic(1)
	p.altered(aBroker, "", "plugin.good.on.error=dlq", "plugin.good.dlq.topic="+dlq.name)
	if code, why := p.alterWhy(aTopic, s.name, "interceptors.fetch=good"); code != kerr.InvalidConfig.Code || !strings.Contains(why, "on fetch") {
		t.Errorf("dlq on fetch: %s %q", errorName(code), why)
	}
}

func TestPluginsOutliveARestartAndAreNotPassedByWhenTheyAreGone(t *testing.T) {
	onlyOurs(t)
	folder, b := begun(t)
	p := dial(t, b.Addresses()[0])
	s, other := p.topic(1), p.topic(1)
	p.altered(aBroker, "", "plugins=absent", "plugin.absent.breaker.faults=5")
	p.altered(aTopic, s.name, "interceptors.produce=absent")
	want(t, "before", p.produce(9, s, 0, records("drop 0", "keep 1")).ErrorCode, nil)
	if shown := p.configs(aBroker, b.NodeID())["plugin.absent.breaker.faults"]; shown.Value == nil || *shown.Value != "5" {
		t.Errorf("a setting of a plugin is shown as %+v", shown)
	}
	stop(t, b)
	absent.Store(true)
	defer absent.Store(false)
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	p = dial(t, b.Addresses()[0])
	r := p.produce(9, s, 0, records("keep 2"))
	if want(t, "without the plugin", r.ErrorCode, kerr.PolicyViolation); !strings.Contains(why(r), "not here today") {
		t.Errorf("told %q", why(r))
	}
	want(t, "another topic", p.produce(9, other, 0, records("drop 0")).ErrorCode, nil)
	p.holds(s, "1 keep 1")
	p.altered(aBroker, "", "message.max.bytes=2000000") // what is broken already keeps nobody from other changes
	if code, why := p.alterWhy(aBroker, "", "plugins=absent"); code != kerr.InvalidConfig.Code || !strings.Contains(why, "not here today") {
		t.Errorf("set again, still without it: %s %q", errorName(code), why)
	}
	want(t, "still without it", p.produce(9, s, 0, records("keep 2")).ErrorCode, kerr.PolicyViolation)
	stop(t, b)
	absent.Store(false)
	p = dial(t, start(t, folder).Addresses()[0])
	want(t, "with the plugin again", p.produce(9, s, 0, records("drop 2", "keep 3")).ErrorCode, nil)
	p.holds(s, "1 keep 1", "3 keep 3")
}

// What was missing when a broker started and is there again is taken into use when it is loaded again, though no
// setting is another then.
func TestAPluginThatIsThereAgainIsLoaded(t *testing.T) {
	onlyOurs(t)
	folder, b := begun(t)
	p := dial(t, b.Addresses()[0])
	s := p.topic(1)
	p.altered(aBroker, "", "plugins=absent,good", "plugin.good.type=obedient")
	p.altered(aTopic, s.name, "interceptors.produce=absent,good")
	stop(t, b)
	absent.Store(true)
	defer absent.Store(false)
	p = dial(t, start(t, folder).Addresses()[0])
	want(t, "without the plugin", p.produce(9, s, 0, records("keep 0")).ErrorCode, kerr.PolicyViolation)
	absent.Store(false)
	want(t, "before anybody says so", p.produce(9, s, 0, records("keep 0")).ErrorCode, kerr.PolicyViolation)
	p.altered(aBroker, "", "plugins=absent,good")
	want(t, "once it was loaded again", p.produce(9, s, 0, records("drop 0", "keep 1")).ErrorCode, nil)
	p.holds(s, "1 keep 1")
}

func TestTheBrokersDefaultIsForTopicsWithoutTheirOwn(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	plain, own := p.topic(1), p.topic(1)
	p.altered(aBroker, "", "plugins=obedient,second", "plugin.second.type=obedient", "interceptors=obedient")
	p.altered(aTopic, own.name, "interceptors.produce=")
	later := p.topic(1)
	for s, left := range map[subject]string{plain: "[]", own: "[0 drop]", later: "[]"} {
		want(t, "produce", p.produce(9, s, 0, records("drop")).ErrorCode, nil)
		if got := fmt.Sprint(p.stored(s, 0)); got != left {
			t.Errorf("%s holds %s, want %s", s.name, got, left)
		}
	}
}

func TestFetchInterceptorsChangeWhatIsSent(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient,lenient", "plugin.lenient.type=obedient", "plugin.lenient.on.error=skip")
	s := p.topic(1)
	for codec := range batch.Zstd + 1 {
		o := batch.NoProducer()
		o.Codec = codec
		want(t, "produce", p.produce(9, s, 0, recordsAt(time.Now().UnixMilli(), o, "drop", "keep", "edit")).ErrorCode, nil)
	}
	plain := p.stored(s, 0)
	p.altered(aTopic, s.name, "interceptors.fetch=obedient")
	var left []string
	for i := range int(batch.Zstd) + 1 {
		left = append(left, fmt.Sprintf("%d keep", 3*i+1), fmt.Sprintf("%d EDIT", 3*i+2))
	}
	p.holds(s, left...)
	want(t, "produce", p.produce(9, s, 0, records("bad")).ErrorCode, nil)
	p.holds(s, left...)
	r := p.fetch(12, from(s, 0, 15))
	if want(t, "a record that is bad", r.ErrorCode, kerr.UnknownServerError); len(r.RecordBatches) != 0 || r.HighWatermark != 16 {
		t.Errorf("%d bytes, high watermark %d", len(r.RecordBatches), r.HighWatermark)
	}
	p.altered(aTopic, s.name, "interceptors.fetch=lenient")
	p.holds(s, append(left, "15 bad")...)
	p.altered(aTopic, s.name, "-interceptors.fetch")
	p.holds(s, append(plain, "15 bad")...)
}

func TestTransactionsGoThroughInterceptors(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.produce", "obedient", "interceptors.fetch", "obedient")
	c := client(t, b, kgo.TransactionalID("x"), kgo.DefaultProduceTopic(s.name))
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, deed := range []string{"drop", "keep", "edit"} {
			if err := c.ProduceSync(limited(t), kgo.StringRecord(fmt.Sprintf("%s %d", deed, i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.EndTransaction(limited(t), commit); err != nil {
			t.Fatal(err)
		}
	}
	got := consume(t, client(t, b, kgo.ConsumeTopics(s.name), kgo.FetchIsolationLevel(kgo.ReadCommitted())), 4)
	if text := strings.Join(got, ", "); text != "EDIT 0, EDIT 2, keep 0, keep 2" {
		t.Errorf("what was committed is %s", text)
	}
}

// Interceptors come and go while a producer sends: nothing is lost, doubled or out of order.
func TestInterceptorsComeAndGoUnderLoad(t *testing.T) {
	onlyOurs(t)
	open.Store(0)
	b := start(t, t.TempDir())
	p := dial(t, b.Addresses()[0])
	s := p.topic(2)
	c := client(t, b, kgo.DefaultProduceTopic(s.name), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	const records = 20_000
	var failed atomic.Int64
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range records {
			r := &kgo.Record{Value: fmt.Appendf(nil, "edit %08d", i), Partition: int32(i % 2)}
			c.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Add(1)
				}
			})
			if i%100 == 0 {
				if err := c.Flush(limited(t)); err != nil {
					t.Error(err)
				}
			}
		}
		if err := c.Flush(limited(t)); err != nil {
			t.Error(err)
		}
	}()
	for round := 0; ; round++ {
		select {
		case <-sent:
		default:
			p.altered(aBroker, "", "plugins=counted", fmt.Sprintf("plugin.counted.breaker.faults=%d", 5+round%7))
			p.altered(aTopic, s.name, "interceptors.produce=counted")
			p.altered(aTopic, s.name, "-interceptors.produce")
			p.altered(aBroker, "", "-plugins")
			continue
		}
		if round < 3 {
			t.Errorf("only %d rounds", round)
		}
		break
	}
	if n := failed.Load(); n != 0 {
		t.Fatalf("%d records failed", n)
	}
	reader := client(t, b, kgo.ConsumeTopics(s.name))
	next := [2]int{0, 1}
	for count := 0; count < records; {
		fetches := reader.PollFetches(limited(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d records: %v", count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			count++
			if want := fmt.Sprintf("edit %08d", next[r.Partition]); !strings.EqualFold(string(r.Value), want) {
				t.Fatalf("partition %d has %q, want %q", r.Partition, r.Value, want)
			}
			next[r.Partition] += 2
		})
	}
	b.plugins.Settle()
	if n := open.Load(); n != 0 {
		t.Errorf("%d instances were not closed", n)
	}
}

func TestPluginsAreCounted(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient", "admin.listener=127.0.0.1:0")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.produce", "obedient")
	p.produce(9, s, 0, records("drop", "keep", "edit"))
	p.produce(9, s, 0, records("panic"))
	families, err := b.metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "plugin" && l.GetValue() == "obedient" {
					got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	for name, want := range map[string]float64{
		"records_in_total": 4, "records_out_total": 2, "records_edited_total": 1, "records_dropped_total": 1, "faults_total": 1, "seconds": 2, "off": 0,
	} {
		if n, ok := got["millrace_plugin_"+name]; !ok || n != want {
			t.Errorf("millrace_plugin_%s is %v, want %v", name, n, want)
		}
	}
}
