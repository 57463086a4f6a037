package dedupe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// stand is a deduper with a clock of the test's.
type stand struct {
	*deduper
	at time.Time
}

func newStand(t *testing.T, settings map[string]string) *stand {
	t.Helper()
	one, err := sdk.Interceptors.New("dedupe", sdk.NewConfig(settings))
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{one.(*deduper), time.Unix(1000, 0)}
	s.now = func() time.Time { return s.at }
	return s
}

// send is which of the records, key=value each, are left of a batch.
func (s *stand) send(t *testing.T, partition int32, sequence int32, records ...string) string {
	t.Helper()
	var builder batch.Builder
	for _, r := range records {
		key, value, _ := strings.Cut(r, "=")
		k := []byte(key)
		if key == "" {
			k = nil
		}
		builder.Append(1, k, []byte(value), []batch.Header{{Key: "id", Value: []byte(value)}})
	}
	b, err := builder.Finish(batch.BatchOptions{ProducerID: 7, BaseSequence: sequence})
	if err != nil {
		t.Fatal(err)
	}
	out, err := chain.New(time.Now).Run([]chain.Plugin{{Interceptor: s.deduper}}, &chain.Input{Topic: "t", Partition: partition, Batch: b})
	if err != nil {
		t.Fatal(err)
	}
	left, err := out.Batch.Records(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for left.Next() {
		got = append(got, fmt.Sprintf("%s=%s", left.Record().Key, left.Record().Value))
	}
	return strings.Join(got, " ")
}

func (s *stand) want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("what is left is %q, want %q", got, want)
	}
}

func TestAKeyComesOnceInAWindow(t *testing.T) {
	s := newStand(t, map[string]string{"window": "1m"})
	s.want(t, s.send(t, 0, 0, "a=1", "b=2", "a=3", "=4"), "a=1 b=2 =4")
	s.at = s.at.Add(30 * time.Second)
	s.want(t, s.send(t, 0, 4, "a=5", "c=6", "=7"), "c=6 =7")
	s.want(t, s.send(t, 1, 0, "a=8"), "a=8") // another partition
	s.at = s.at.Add(30 * time.Second)
	s.want(t, s.send(t, 0, 7, "a=9", "c=10"), "a=9")
}

func TestWhatIsSentAgainPasses(t *testing.T) {
	s := newStand(t, nil)
	s.want(t, s.send(t, 0, 0, "a=1", "a=2"), "a=1")
	s.want(t, s.send(t, 0, 0, "a=1", "a=2"), "a=1") // the same batch: its answer was lost
	s.want(t, s.send(t, 0, 2, "a=1"), "")
}

func TestProducersWithoutSequencesAreRefused(t *testing.T) {
	s := newStand(t, nil)
	var builder batch.Builder
	builder.Append(1, []byte("a"), nil, nil)
	b, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.New(time.Now).Run([]chain.Plugin{{Name: "dedupe", Interceptor: s.deduper}}, &chain.Input{Topic: "t", Batch: b})
	if err == nil || !strings.Contains(err.Error(), "enable.idempotence") {
		t.Errorf("got %v", err)
	}
}

// What an aborted transaction has sent is sent again, and must not be taken for seen.
func TestTransactionsAreRefused(t *testing.T) {
	s := newStand(t, nil)
	var builder batch.Builder
	builder.Append(1, []byte("a"), []byte("1"), nil)
	b, err := builder.Finish(batch.BatchOptions{ProducerID: 7, Transactional: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = chain.New(time.Now).Run([]chain.Plugin{{Name: "dedupe", Interceptor: s.deduper}}, &chain.Input{Topic: "t", Batch: b})
	if err == nil || !strings.Contains(err.Error(), "transaction") {
		t.Errorf("got %v", err)
	}
	s.want(t, s.send(t, 0, 0, "a=1"), "a=1")
}

func TestOtherThingsTellRecordsApart(t *testing.T) {
	s := newStand(t, map[string]string{"by": "value"})
	s.want(t, s.send(t, 0, 0, "a=1", "b=1", "a=2"), "a=1 a=2")
	s = newStand(t, map[string]string{"by": "header:id"})
	s.want(t, s.send(t, 0, 0, "a=1", "b=1", "a=2"), "a=1 a=2")
	s = newStand(t, map[string]string{"by": "header:other"})
	s.want(t, s.send(t, 0, 0, "a=1", "b=1"), "a=1 b=1")
}

func TestMemoryIsBounded(t *testing.T) {
	s := newStand(t, map[string]string{"max.keys": "100"})
	for i := range int32(1000) {
		s.want(t, s.send(t, 0, i, fmt.Sprintf("k%d=x", i)), fmt.Sprintf("k%d=x", i))
		if len(s.seen) != s.count || s.count > 100 || len(s.ring) > 100 {
			t.Fatalf("%d keys, %d in a ring of %d", len(s.seen), s.count, len(s.ring))
		}
	}
	s.want(t, s.send(t, 0, 1000, "k950=x", "k10=x"), "k10=x")
}

func TestSettingsThatCannotBe(t *testing.T) {
	for want, settings := range map[string]map[string]string{
		"at least 1":  {"max.keys": "0"},
		"longer than": {"window": "0"},
		"use key":     {"by": "header:"},
	} {
		if _, err := sdk.Interceptors.New("dedupe", sdk.NewConfig(settings)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", settings, err, want)
		}
	}
}
