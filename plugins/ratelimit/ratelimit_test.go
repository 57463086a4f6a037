package ratelimit

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

type stand struct {
	*limiter
	at time.Time
}

func newStand(t *testing.T, settings map[string]string) *stand {
	t.Helper()
	one, err := sdk.Interceptors.New("rate-limit", sdk.NewConfig(settings))
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{one.(*limiter), time.Unix(1000, 0)}
	s.now = func() time.Time { return s.at }
	return s
}

func (s *stand) send(t *testing.T, partition int32, records int) error {
	t.Helper()
	var builder batch.Builder
	for range records {
		builder.Append(1, nil, make([]byte, 90), nil) // 100 bytes each
	}
	whole, err := builder.Finish(batch.NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	b := sdk.Batch{Topic: "t", Partition: partition}
	if err := b.Open(whole, whole[batch.HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	return s.OnProduce(&b)
}

func TestWhatComesTooFastIsRefused(t *testing.T) {
	for name, settings := range map[string]map[string]string{
		"records": {"records.per.second": "10"},
		"bytes":   {"bytes.per.second": "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, settings)
			for _, step := range []struct {
				after     time.Duration
				partition int32
				records   int
				fine      bool
			}{
				{0, 0, 9, true}, {0, 0, 2, false}, {0, 1, 9, true}, // each partition for itself
				{100 * time.Millisecond, 0, 1, true}, {0, 0, 2, false},
				{time.Hour, 0, 9, true}, {0, 0, 9, false}, // no more than a burst gathers
				{time.Hour, 0, 30, true}, {time.Second, 0, 5, false}, {2500 * time.Millisecond, 0, 5, true}, // larger than a burst
			} {
				s.at = s.at.Add(step.after)
				if err := s.send(t, step.partition, step.records); (err == nil) != step.fine {
					t.Errorf("%+v: %v", step, err)
				} else if err != nil && !strings.Contains(err.Error(), "a second") {
					t.Errorf("the reason is %v", err)
				}
			}
		})
	}
}

func TestQuietPartitionsAreForgotten(t *testing.T) {
	s := newStand(t, map[string]string{"records.per.second": "10"})
	for i := range int32(3 * mostBuckets) {
		s.at = s.at.Add(time.Second)
		if err := s.send(t, i, 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.buckets) > mostBuckets {
		t.Errorf("%d partitions are remembered", len(s.buckets))
	}
}

func TestALimitIsNeeded(t *testing.T) {
	for _, rates := range [][2]string{{"0", "0"}, {"-1", "10"}, {"NaN", "0"}, {"10", "nan"}, {"Inf", "0"}} {
		settings := map[string]string{"records.per.second": rates[0], "bytes.per.second": rates[1]}
		if _, err := sdk.Interceptors.New("rate-limit", sdk.NewConfig(settings)); err == nil {
			t.Errorf("a limiter of %q was made", rates)
		}
	}
}
