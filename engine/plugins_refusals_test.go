package engine

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refusalLimit is the setting under test.
const refusalLimit = "interceptors.refusals.per.second"

// told produces one batch, and answers for how long the connection is to be left alone.
func (p *peer) told(version int16, s subject, code *kerr.Error, batches []byte) time.Duration {
	p.t.Helper()
	a := ask[*kmsg.ProduceResponse](p, version, produceRequest(version, s, 0, -1, batches))
	want(p.t, "produce", a.Topics[0].Partitions[0].ErrorCode, code)
	return throttled(a)
}

func throttled(a *kmsg.ProduceResponse) time.Duration {
	return time.Duration(a.ThrottleMillis) * time.Millisecond
}

// exhaust has p refused until it is to leave the connection alone, and answers for how long.
func (p *peer) exhaust(version int16, s subject) time.Duration {
	p.t.Helper()
	for range 1000 {
		if wait := p.told(version, s, kerr.InvalidRecord, records("reject")); wait > 0 {
			return wait
		}
	}
	p.t.Fatal("refused a thousand times, and never told to wait")
	return 0
}

// However fast somebody asks who does not do as told, plugins refuse no more of it than the limit says,
// whether they refuse on purpose, call records bad, fail, or are switched off.
func TestWhoIsRefusedAsFastAsItAsksIsHeldUp(t *testing.T) {
	onlyOurs(t)
	const limit, count = 50, 80
	b := start(t, t.TempDir(), fmt.Sprintf("%s=%d", refusalLimit, limit), "plugins=obedient", "plugin.obedient.breaker.faults=2")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.produce", "obedient")
	times, all := 0, time.Duration(0)
	for _, test := range []struct {
		value string
		code  *kerr.Error
	}{{"reject", kerr.InvalidRecord}, {"bad", kerr.InvalidRecord}, {"panic", kerr.PolicyViolation}} {
		one, before := p.another(), times
		begin := time.Now()
		for range count {
			if wait := one.told(9, s, test.code, records(test.value)); wait > 0 {
				times++
				all += wait
			}
		}
		one.alive() // which waits for the last pause
		took := time.Since(begin)
		if most := limit + 1 + int(math.Ceil(took.Seconds()*limit)); count > most {
			t.Errorf("%s: refused %d times in %v, want at most %d", test.value, count, took, most)
		}
		if times == before && took < time.Second/2 { // in which it is more than may be, on any machine
			t.Errorf("%s: refused %d times in %v, and never told to wait", test.value, count, took)
		}
	}
	families, err := b.metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch got := f.GetMetric()[0].GetCounter().GetValue(); f.GetName() {
		case "millrace_refusals_throttled_total":
			if int(got) != times {
				t.Errorf("%v throttled requests are counted, want %d", got, times)
			}
		case "millrace_refusals_throttled_seconds_total":
			if math.Abs(got-all.Seconds()) > 0.001 {
				t.Errorf("%v seconds are counted, want %v", got, all)
			}
		}
	}
}

// Who is held up is answered at once and not read from; others are, and a connection that goes away
// meanwhile leaves nothing behind.
func TestWhoIsHeldUpHoldsUpNobodyElse(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, refusalLimit+"=1", "plugins=obedient")
	s, plain := p.topic(1, "interceptors.produce", "obedient"), p.topic(1)
	begin := time.Now()
	wait := p.exhaust(9, s)
	p.send(0, kmsg.NewPtrApiVersionsRequest())
	held := p.last
	for range 5 {
		other := p.another()
		if got := other.told(9, s, kerr.InvalidRecord, records("reject")); got != 0 {
			t.Errorf("another connection, refused once, is told to wait for %v", got)
		}
		if got := other.told(9, s, nil, records("keep")); got != 0 {
			t.Errorf("another connection is told to wait for %v", got)
		}
		if got := other.told(9, plain, nil, records("keep")); got != 0 {
			t.Errorf("another connection is told to wait for %v in another topic", got)
		}
		if time.Since(begin) < wait {
			other.exhaust(9, s)
		}
		other.conn.Close()
	}
	expect[*kmsg.ApiVersionsResponse](p, 0, kmsg.NewPtrApiVersionsRequest(), held)
	if took := time.Since(begin); took < wait {
		t.Errorf("served again after %v, told to wait for %v", took, wait)
	}
}

// Requests that came before and within a pause are served after it, each once and in order.
func TestWhatCameBeforeAPauseIsServedAfterIt(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, refusalLimit+"=4", "plugins=obedient")
	s, plain := p.topic(1, "interceptors.produce", "obedient"), p.topic(1)
	var raw []byte
	var asked []*kmsg.ProduceRequest
	begin, first := time.Now(), p.last+1
	for n := range 12 {
		q := produceRequest(9, s, 0, -1, records("reject"))
		if n%3 == 2 {
			q = produceRequest(9, plain, 0, -1, records(fmt.Sprint(n)))
		}
		asked = append(asked, q)
		raw = append(raw, p.request(9, q)...)
	}
	p.write(raw)
	told := time.Duration(0)
	for i, q := range asked {
		a := expect[*kmsg.ProduceResponse](p, 9, q, first+int32(i))
		told += throttled(a)
		if i%3 == 2 {
			want(t, "what is stored", a.Topics[0].Partitions[0].ErrorCode, nil)
		} else {
			want(t, "what is refused", a.Topics[0].Partitions[0].ErrorCode, kerr.InvalidRecord)
		}
	}
	p.holds(s)
	p.holds(plain, "0 2", "1 5", "2 8", "3 11")
	if took := time.Since(begin); told == 0 || took < told {
		t.Errorf("eight refusals took %v, %v of it waiting", took, told)
	}
}

// A request of which plugins refuse a part says so once, and the rest of it is stored.
func TestARequestThatIsRefusedInPartCounts(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, refusalLimit+"=2", "plugins=obedient")
	s := p.topic(3, "interceptors.produce", "obedient")
	for n := range 3 {
		q := produceRequest(9, s, 0, -1, records("keep"))
		for i := range int32(2) {
			other := kmsg.NewProduceRequestTopicPartition()
			other.Partition, other.Records = i+1, records("reject")
			q.Topics[0].Partitions = append(q.Topics[0].Partitions, other)
		}
		a := ask[*kmsg.ProduceResponse](p, 9, q)
		want(t, "what passes", a.Topics[0].Partitions[0].ErrorCode, nil)
		want(t, "what does not", a.Topics[0].Partitions[1].ErrorCode, kerr.InvalidRecord)
		if n < 2 && throttled(a) > 0 {
			t.Errorf("request %d: told to wait for %v", n+1, throttled(a))
		}
	}
	p.holds(s, "0 keep", "1 keep", "2 keep")
}

// Only what plugins refuse counts, and of a connection that they refuse rarely nothing is held up.
func TestWhoIsRefusedRarelyOrByOthersIsNotHeldUp(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, "plugins=obedient") // with the default
	s, plain := p.topic(1, "interceptors.produce", "obedient", "max.message.bytes", "300"), p.topic(1)
	harmed := records("keep")
	harmed[len(harmed)-1] ^= 1
	long := records(fmt.Sprintf("%400d", 1))
	for n := range 300 {
		told := p.told(9, plain, nil, records("keep"))
		told += p.told(9, s, nil, records("keep"))
		told += p.told(9, s, kerr.CorruptMessage, harmed)
		told += p.told(9, s, kerr.MessageTooLarge, long)
		told += p.told(9, subject{name: "nowhere"}, kerr.UnknownTopicOrPartition, records("keep"))
		if n%5 == 0 {
			told += p.told(9, s, kerr.InvalidRecord, records("reject"))
		}
		if told > 0 {
			t.Fatalf("round %d: told to wait for %v", n, told)
		}
	}
}

// All versions that Produce has say for how long; the limit can be changed and taken away while the
// broker runs.
func TestEveryVersionSaysForHowLong(t *testing.T) {
	onlyOurs(t)
	p := dialed(t, refusalLimit+"=1", "plugins=obedient")
	s := p.topic(1, "interceptors.produce", "obedient")
	for version := int16(3); version <= 13; version++ {
		one := p.another()
		if wait := one.told(version, s, kerr.InvalidRecord, records("reject")); wait != 0 {
			t.Errorf("version %d: told to wait for %v after one refusal", version, wait)
		}
		if wait := one.exhaust(version, s); wait > time.Second {
			t.Errorf("version %d: told to wait for %v", version, wait)
		}
	}
	p.altered(aBroker, "", refusalLimit+"=0")
	for range 100 {
		if wait := p.told(9, s, kerr.InvalidRecord, records("reject")); wait != 0 {
			t.Fatalf("told to wait for %v without a limit", wait)
		}
	}
	p.altered(aBroker, "", refusalLimit+"=1")
	p.exhaust(9, s)
}

// A broker that stops does not wait for pauses, nor serve what came within them.
func TestABrokerStopsWhileAConnectionIsHeldUp(t *testing.T) {
	onlyOurs(t)
	b, err := begin(t.TempDir(), refusalLimit+"=1", "plugins=obedient")
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.produce", "obedient")
	begun := time.Now()
	wait := p.exhaust(9, s)
	p.send(9, produceRequest(9, s, 0, -1, records("keep")))
	stop(t, b)
	body, err := p.receive()
	if took := time.Since(begun); err == nil && took < wait {
		t.Errorf("answered with %x after %v, told to wait for %v", body, took, wait)
	}
}

// waits hears for how long a client of franz-go was told to wait.
type waits struct{ longest, before atomic.Int64 }

func (w *waits) OnBrokerThrottle(_ kgo.BrokerMetadata, told time.Duration, after bool) {
	if w.longest.Store(max(w.longest.Load(), int64(told))); !after {
		w.before.Add(1)
	}
}

// A client of Kafka's protocol does as it is told by itself.
func TestAClientWaitsAsItIsTold(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), refusalLimit+"=1", "plugins=obedient")
	s := dial(t, b.Addresses()[0]).topic(1, "interceptors.produce", "obedient")
	heard := new(waits)
	c := client(t, b, kgo.DefaultProduceTopic(s.name), kgo.WithHooks(heard), kgo.ProducerLinger(0))
	ctx, begun := limited(t), time.Now()
	for range 3 {
		if err := c.ProduceSync(ctx, kgo.StringRecord("reject")).FirstErr(); !errors.Is(err, kerr.InvalidRecord) {
			t.Fatalf("a record that is rejected: %v", err)
		}
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("three refusals took %v", took)
	}
	if told := time.Duration(heard.longest.Load()); told <= 0 || told > time.Second || heard.before.Load() > 0 {
		t.Errorf("told to wait for %v; %d times for what was waited for already", told, heard.before.Load())
	}
	if err := c.ProduceSync(ctx, kgo.StringRecord("keep")).FirstErr(); err != nil {
		t.Errorf("a record that passes, later: %v", err)
	}
}
