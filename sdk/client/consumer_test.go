package client_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// protocols runs a test for both group protocols.
func protocols(t *testing.T, test func(a *arena, group ...string)) {
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			a := enterArena(t)
			test(a, "group.protocol", protocol, "group.id", a.unique("g"))
		})
	}
}

func TestConsumerReadsAllThatARecordHas(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(1)
	stamp := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	a.must(a.plain.ProduceSync(a.ctx,
		&kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte("value"), Timestamp: stamp, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: nil}}},
		&kgo.Record{Topic: topic, Timestamp: stamp},
	).FirstErr())
	c := a.consumer()
	a.must(c.Assign(at(topic, 0)))
	records := a.read(c, 2)
	r := records[0]
	if r.Topic != topic || r.Partition != 0 || r.Offset != 0 || !r.Timestamp.Equal(stamp) || r.LogAppend || r.Key != "key" || r.Value != "value" || r.KeySize != 3 || r.ValueSize != 5 {
		t.Errorf("the record is %+v", r)
	}
	if len(r.Headers) != 2 || r.Headers[0].Key != "h" || string(r.Headers[0].Value) != "1" || r.Headers[1].Value != nil {
		t.Errorf("its headers are %+v", r.Headers)
	}
	if r := records[1]; r.Offset != 1 || r.Key != "" || r.KeySize != -1 || r.ValueSize != -1 {
		t.Errorf("the record without key and value is %+v", r)
	}
}

func TestConsumerSubscribesAndKeepsTheOrderOfPartitions(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		one, two := a.topic(3), a.topic(2)
		for p := range int32(3) {
			a.produce(one, p, numbers(0, 50)...)
		}
		a.produce(two, 1, numbers(0, 50)...)
		c := a.consumer(append(group, "max.poll.records", "7")...)
		a.must(c.Subscribe([]string{one, two}, nil))
		next := map[sdk.TopicPartition]int64{}
		for count := 0; count < 200; {
			records := a.poll(c, 100*time.Millisecond)
			if len(records) > 7 {
				a.Fatalf("Poll returned %d records, max.poll.records is 7", len(records))
			}
			for _, r := range records {
				tp := at(r.Topic, r.Partition)
				if r.Offset != next[tp] || r.Value != fmt.Sprint(r.Offset) {
					a.Fatalf("%v: %q at offset %d, want offset %d", tp, r.Value, r.Offset, next[tp])
				}
				next[tp]++
			}
			count += len(records)
		}
		all, err := c.Assignment()
		if err != nil || len(all) != 5 {
			a.Errorf("the assignment is %v, %v", all, err)
		}
		for tp, want := range next {
			if got, err := c.Position(a.ctx, tp); err != nil || got != want {
				a.Errorf("the position in %v is %d, %v, want %d", tp, got, err, want)
			}
		}
		if topics, err := c.Subscription(); err != nil || len(topics) != 2 {
			a.Errorf("the subscription is %q, %v", topics, err)
		}
		m, err := c.GroupMetadata()
		if err != nil || m.Member == "" || m.Generation < 1 {
			a.Errorf("the group metadata is %+v, %v", m, err)
		}
	})
}

func TestConsumerResets(t *testing.T) {
	for _, how := range []string{"subscribed", "assigned"} {
		for name, test := range map[string]struct {
			reset string
			want  string // of what is read, once 3 more records were produced
		}{
			"earliest": {"earliest", "0 1 2 10 11 12"},
			"latest":   {"latest", "10 11 12"},
			"duration": {"by_duration:PT1H", "2 10 11 12"},
			"newest":   {"by_duration:PT0.001S", "10 11 12"},
		} {
			t.Run(how+"/"+name, func(t *testing.T) {
				t.Parallel()
				a := enterArena(t)
				topic := a.topic(1)
				now := time.Now()
				for i, ago := range []time.Duration{3 * time.Hour, 2 * time.Hour, time.Minute} {
					a.must(a.plain.ProduceSync(a.ctx, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint(i)), Timestamp: now.Add(-ago)}).FirstErr())
				}
				c := a.consumer("group.id", a.unique("g"), "auto.offset.reset", test.reset)
				if how == "assigned" {
					a.must(c.Assign(at(topic, 0)))
				} else {
					a.must(c.Subscribe([]string{topic}, nil))
				}
				for {
					a.poll(c, 20*time.Millisecond)
					all, err := c.Assignment()
					a.must(err)
					if len(all) == 1 {
						break
					}
				}
				first, err := c.Position(a.ctx, at(topic, 0))
				a.must(err)
				a.produce(topic, 0, "10", "11", "12")
				a.must(c.Seek(at(topic, 0), min(first, map[string]int64{"earliest": 0, "latest": 3, "duration": 2, "newest": 3}[name])))
				a.expect(c, strings.Fields(test.want)...)
			})
		}
		t.Run(how+"/none", func(t *testing.T) {
			t.Parallel()
			a := enterArena(t)
			topic := a.topic(1)
			a.produce(topic, 0, "0", "1")
			c := a.consumer("group.id", a.unique("g"), "auto.offset.reset", "none")
			if how == "assigned" {
				a.must(c.Assign(at(topic, 0)))
			} else {
				a.must(c.Subscribe([]string{topic}, nil))
			}
			for range 2 { // it says so until somebody seeks
				var err error
				for err == nil && a.ctx.Err() == nil {
					_, err = c.Poll(a.ctx, 100*time.Millisecond)
				}
				if !errors.Is(err, client.ErrNoOffset) || !strings.Contains(err.Error(), topic+"-0") {
					t.Fatalf("Poll says %v, want %v", err, client.ErrNoOffset)
				}
			}
			a.must(c.Seek(at(topic, 0), 1))
			a.expect(c, "1")
		})
	}
}

// A committed offset may be gone from the log, or not be in it yet.
func TestConsumerOffsetsOutOfRange(t *testing.T) {
	for name, test := range map[string]struct {
		committed int
		reset     string
		want      string
	}{
		"gone/earliest":   {2, "earliest", "5 6 7"},
		"gone/latest":     {2, "latest", "later"},
		"gone/none":       {2, "none", ""},
		"not yet/latest":  {100, "latest", "later"},
		"not yet/none":    {100, "none", ""},
		"gone/a duration": {2, "by_duration:PT1H", "5 6 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := enterArena(t)
			topic, group := a.topic(1), a.unique("g")
			a.produce(topic, 0, numbers(0, 8)...)
			_, err := a.kadm.DeleteRecords(a.ctx, kadm.Offsets{topic: {0: {Topic: topic, At: 5}}})
			a.must(err)
			c := a.consumer("group.id", group, "auto.offset.reset", test.reset)
			a.must(c.Assign(at(topic, 0)))
			a.must(c.CommitSync(a.ctx, offsets(at(topic, 0), test.committed)))
			a.must(c.Unsubscribe(a.ctx))
			a.must(c.Subscribe([]string{topic}, nil))
			if test.want == "" {
				var err error
				for err == nil {
					_, err = c.Poll(a.ctx, 100*time.Millisecond)
				}
				if !errors.Is(err, client.ErrNoOffset) || !errors.Is(err, kerr.OffsetOutOfRange) {
					t.Fatalf("Poll says %v", err)
				}
				a.must(c.SeekToBeginning(a.ctx))
				a.expect(c, "5", "6", "7")
				return
			}
			if test.want == "later" {
				for {
					a.poll(c, 50*time.Millisecond)
					if at, err := c.Position(a.ctx, at(topic, 0)); err == nil && at == 8 {
						break
					} else if err != nil && !errors.Is(err, client.ErrNotAssigned) {
						t.Fatal(err)
					}
				}
				a.produce(topic, 0, "later")
			}
			a.expect(c, strings.Fields(test.want)...)
		})
	}
}

func TestConsumerGoesOnAtWhatWasCommitted(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(1)
		a.produce(topic, 0, numbers(0, 10)...)
		c := a.consumer(group...)
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, numbers(0, 10)...)
		a.must(c.CommitSync(a.ctx, map[sdk.TopicPartition]sdk.OffsetAndMetadata{at(topic, 0): {Offset: 4, LeaderEpoch: -1, Metadata: "note"}}))
		got, err := c.Committed(a.ctx, at(topic, 0))
		if err != nil || got[at(topic, 0)].Offset != 4 || got[at(topic, 0)].Metadata != "note" {
			a.Errorf("committed is %+v, %v", got, err)
		}
		a.must(c.Close(a.ctx)) // nothing more is committed without enable.auto.commit
		c = a.consumer(group...)
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, numbers(4, 6)...)
		a.must(c.CommitSync(a.ctx, nil)) // the positions
		a.must(c.Close(a.ctx))
		if got := a.committed(group[3], at(topic, 0)); got != 10 {
			a.Errorf("offset %d is committed, want 10: one more than that of the last record", got)
		}
		if err := c.CommitSync(a.ctx, nil); !errors.Is(err, client.ErrClosed) {
			a.Errorf("a consumer that was closed commits: %v", err)
		}
	})
}

func TestConsumerCommitAsync(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(1)
		a.produce(topic, 0, numbers(0, 10)...)
		c := a.consumer(group...)
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, numbers(0, 10)...)
		var told []int64
		for o := 1; o <= 5; o++ {
			a.must(c.CommitAsync(offsets(at(topic, 0), o), func(committed map[sdk.TopicPartition]sdk.OffsetAndMetadata, err error) {
				if err != nil {
					a.Error(err)
				}
				told = append(told, committed[at(topic, 0)].Offset) // no lock: it is called by Poll
				if _, err := c.Position(a.ctx, at(topic, 0)); err != nil {
					a.Errorf("a callback may not use the consumer: %v", err)
				}
			}))
		}
		if len(told) != 0 {
			a.Errorf("callbacks were called by another goroutine")
		}
		a.until(c, "the callbacks of five commits", func() bool { return len(told) == 5 })
		if !slices.Equal(told, []int64{1, 2, 3, 4, 5}) {
			a.Errorf("callbacks told of %v", told)
		}
		a.must(c.CommitAsync(offsets(at(topic, 0), 7), func(map[sdk.TopicPartition]sdk.OffsetAndMetadata, error) { told = append(told, 7) }))
		a.must(c.CommitSync(a.ctx, offsets(at(topic, 0), 8)))
		if len(told) != 6 {
			a.Errorf("CommitSync returned before the callback of the CommitAsync before it was called")
		}
		a.must(c.CommitAsync(nil, nil))
		a.must(c.Close(a.ctx))
		if got := a.committed(group[3], at(topic, 0)); got != 10 {
			a.Errorf("offset %d is committed, want 10", got)
		}
	})
}

func TestConsumerCommitsByItselfWhatThePollBeforeReturned(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(1)
		a.produce(topic, 0, numbers(0, 10)...)
		c := a.consumer(append(group, "enable.auto.commit", "true", "auto.commit.interval.ms", "0", "max.poll.records", "4")...)
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, numbers(0, 4)...)
		if got := a.committed(group[3], at(topic, 0)); got > 0 {
			a.Errorf("offset %d was committed before the records were processed", got)
		}
		a.expect(c, numbers(4, 4)...)
		for a.committed(group[3], at(topic, 0)) != 4 {
			if a.ctx.Err() != nil {
				a.Fatalf("offset %d is committed, want 4: what the first Poll returned", a.committed(group[3], at(topic, 0)))
			}
		}
		a.must(c.Close(a.ctx))
		if got := a.committed(group[3], at(topic, 0)); got != 8 {
			a.Errorf("offset %d is committed by Close, want 8", got)
		}
	})
	t.Run("assigned", func(t *testing.T) {
		t.Parallel()
		a := enterArena(t)
		topic, group := a.topic(2), a.unique("g")
		a.produce(topic, 0, numbers(0, 10)...)
		c := a.consumer("group.id", group, "enable.auto.commit", "true", "auto.commit.interval.ms", "600000")
		a.must(c.Assign(at(topic, 0)))
		a.expect(c, numbers(0, 10)...)
		a.must(c.Assign(at(topic, 1))) // gives the other one up
		a.poll(c, 50*time.Millisecond)
		a.must(c.Close(a.ctx))
		if got := a.committed(group, at(topic, 0)); got != 10 {
			t.Errorf("offset %d is committed, want 10", got)
		}
	})
}

func TestConsumerSeeks(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(2)
		base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		for i := range 10 {
			a.must(a.plain.ProduceSync(a.ctx, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint(i)), Timestamp: base.Add(time.Duration(i) * time.Second)}).FirstErr())
		}
		c := a.consumer(group...)
		a.must(c.Subscribe([]string{topic}, client.RebalanceFuncs{Assigned: func(_ context.Context, partitions []sdk.TopicPartition) error {
			return c.Seek(at(topic, 0), 3) // before anything is returned
		}}))
		a.expect(c, numbers(3, 7)...)
		a.must(c.Seek(at(topic, 0), 8))
		a.expect(c, "8", "9")
		a.must(c.SeekToBeginning(a.ctx, at(topic, 0)))
		a.expect(c, numbers(0, 10)...)
		a.must(c.SeekToTime(a.ctx, base.Add(5500*time.Millisecond), at(topic, 0)))
		a.expect(c, numbers(6, 4)...)
		for _, early := range []time.Time{{}, time.UnixMilli(-1)} { // that is no place of another kind
			a.must(c.SeekToTime(a.ctx, early, at(topic, 0)))
			a.expect(c, numbers(0, 10)...)
		}
		a.must(c.Seek(at(topic, 0), 2))
		a.must(c.SeekToEnd(a.ctx))
		if p, err := c.Position(a.ctx, at(topic, 0)); err != nil || p != 10 {
			a.Errorf("the position at the end is %d, %v", p, err)
		}
		a.none(c, "the position is the end")
		for i := range 20 { // many, without a Poll between, and with
			a.must(c.Seek(at(topic, 0), int64(i%10)))
			if i%3 == 0 {
				if r := a.poll(c, 5*time.Second); r[0].Offset != int64(i%10) {
					a.Fatalf("after a seek to %d offset %d came", i%10, r[0].Offset)
				}
			}
		}
		if err := c.Seek(at("other", 0), 1); !errors.Is(err, client.ErrNotAssigned) {
			a.Errorf("seeking where nothing is assigned: %v", err)
		}
		if err := c.Seek(at(topic, 0), -1); err == nil {
			a.Error("seeking to offset -1 is no error")
		}
	})
}

func TestConsumerLooksUpOffsets(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(2)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 4 {
		a.must(a.plain.ProduceSync(a.ctx, &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: base.Add(time.Duration(i) * time.Second)}).FirstErr())
	}
	c := a.consumer()
	times, err := c.OffsetsForTimes(a.ctx, map[sdk.TopicPartition]time.Time{at(topic, 0): base.Add(1500 * time.Millisecond), at(topic, 1): base})
	if err != nil || len(times) != 1 || times[at(topic, 0)].Offset != 2 || !times[at(topic, 0)].Timestamp.Equal(base.Add(2*time.Second)) {
		t.Errorf("offsets for times are %v, %v", times, err)
	}
	begin, err := c.BeginningOffsets(a.ctx, at(topic, 0), at(topic, 1))
	if err != nil || begin[at(topic, 0)] != 0 || len(begin) != 2 {
		t.Errorf("beginning offsets are %v, %v", begin, err)
	}
	end, err := c.EndOffsets(a.ctx, at(topic, 0), at(topic, 1))
	if err != nil || end[at(topic, 0)] != 4 || end[at(topic, 1)] != 0 {
		t.Errorf("end offsets are %v, %v", end, err)
	}
	if _, err := c.Committed(a.ctx, at(topic, 0)); err == nil || !strings.Contains(err.Error(), "group.id") {
		t.Errorf("committed without a group: %v", err)
	}
}

func TestConsumerPausesAndResumes(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(2)
		a.produce(topic, 0, numbers(0, 5)...)
		c := a.consumer(group...)
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, numbers(0, 5)...)
		a.must(c.Pause(at(topic, 0)))
		a.produce(topic, 0, "paused")
		a.produce(topic, 1, "other")
		a.expect(c, "other")
		a.none(c, "the partition is paused")
		if p, err := c.Paused(); err != nil || len(p) != 1 || p[0] != at(topic, 0) {
			a.Errorf("paused is %v, %v", p, err)
		}
		a.must(c.Seek(at(topic, 0), 4)) // a paused partition may be sought in
		a.none(c, "the partition is paused")
		a.must(c.Resume(at(topic, 0)))
		a.expect(c, "4", "paused")
		if err := c.Pause(at("other", 0)); !errors.Is(err, client.ErrNotAssigned) {
			a.Errorf("pausing what is not assigned: %v", err)
		}
	})
}

func TestConsumerReadsCommittedRecordsOnly(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(1)
	transactional, err := kgo.NewClient(kgo.SeedBrokers(a.address), kgo.TransactionalID(a.unique("x")), kgo.DefaultProduceTopic(topic))
	a.must(err)
	defer transactional.Close()
	send := func(values ...string) {
		a.must(transactional.BeginTransaction())
		for _, v := range values {
			a.must(transactional.ProduceSync(a.ctx, kgo.StringRecord(v)).FirstErr())
		}
	}
	send("a", "b")
	a.must(transactional.EndTransaction(a.ctx, kgo.TryCommit))
	send("no", "no")
	a.must(transactional.EndTransaction(a.ctx, kgo.TryAbort))
	a.produce(topic, 0, "c")
	send("open") // offset 7: a b C no no A c

	c := a.consumer("isolation.level", "read_committed", "group.id", a.unique("g"))
	a.must(c.Assign(at(topic, 0)))
	a.expect(c, "a", "b", "c")
	a.none(c, "the transaction is open")
	end, err := c.EndOffsets(a.ctx, at(topic, 0))
	if err != nil || end[at(topic, 0)] != 7 {
		t.Errorf("the end for readers of committed records is %v, %v, want 7", end, err)
	}
	if p, err := c.Position(a.ctx, at(topic, 0)); err != nil || p != 7 {
		t.Errorf("the position is %d, %v, want 7", p, err)
	}
	a.must(transactional.EndTransaction(a.ctx, kgo.TryCommit))
	a.expect(c, "open")
	a.until(c, "the position behind the last marker", func() bool { p, _ := c.Position(a.ctx, at(topic, 0)); return p == 9 })

	all := a.consumer()
	a.must(all.Assign(at(topic, 0)))
	a.expect(all, "a", "b", "no", "no", "c", "open")
}

func TestConsumerAssignsByHand(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(3)
	for p := range int32(3) {
		a.produce(topic, p, fmt.Sprint(p))
	}
	c := a.consumer()
	if _, err := c.Poll(a.ctx, 0); !errors.Is(err, client.ErrNotSubscribed) {
		t.Errorf("Poll without a subscription: %v", err)
	}
	a.must(c.Assign(at(topic, 0), at(topic, 1)))
	if got := a.read(c, 2); len(got) != 2 {
		t.Fatal(got)
	}
	a.must(c.Assign(at(topic, 1), at(topic, 2)))
	a.expect(c, "2") // 1 goes on where it was
	a.produce(topic, 0, "not any more")
	a.produce(topic, 1, "still")
	a.expect(c, "still")
	if err := c.Subscribe([]string{topic}, nil); err == nil || !strings.Contains(err.Error(), "group.id") {
		t.Errorf("subscribing without a group: %v", err)
	}
	a.must(c.Unsubscribe(a.ctx))
	if all, err := c.Assignment(); err != nil || len(all) != 0 {
		t.Errorf("after Unsubscribe %v is assigned, %v", all, err)
	}
	if err := c.CommitSync(a.ctx, nil); err == nil {
		t.Error("committing without a group is no error")
	}
	if err := c.Assign(at("", 0)); err == nil {
		t.Error("a topic without a name is assigned")
	}
	g := a.consumer("group.id", a.unique("g"))
	a.must(g.Assign(at(topic, 0)))
	if err := g.Subscribe([]string{topic}, nil); err == nil || !strings.Contains(err.Error(), "unsubscribe first") {
		t.Errorf("subscribing after assigning: %v", err)
	}
}

func TestConsumerChangesItsSubscription(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		one, two, three := a.topic(1), a.topic(1), a.topic(1)
		a.produce(one, 0, "one")
		a.produce(two, 0, "two")
		a.produce(three, 0, "three")
		var said []string
		listener := client.RebalanceFuncs{
			Assigned: func(_ context.Context, p []sdk.TopicPartition) error {
				said = append(said, fmt.Sprint("+", len(p)))
				return nil
			},
			Revoked: func(_ context.Context, p []sdk.TopicPartition) error {
				said = append(said, fmt.Sprint("-", len(p)))
				return nil
			},
		}
		c := a.consumer(append(group, "enable.auto.commit", "true", "partition.assignment.strategy", "cooperative-sticky")...)
		a.must(c.Subscribe([]string{one}, listener))
		a.expect(c, "one")
		a.must(c.Subscribe([]string{one, two}, listener))
		a.expect(c, "two")
		a.must(c.Subscribe([]string{three}, listener))
		a.expect(c, "three")
		a.until(c, "only the third topic", func() bool { all, _ := c.Assignment(); return len(all) == 1 && all[0].Topic == three })
		if got := a.committed(group[3], at(one, 0)); got != 1 {
			a.Errorf("offset %d of a topic that was given up is committed, want 1", got)
		}
		a.must(c.SubscribePattern(regexp.MustCompile("^("+one+"|"+two+")$"), listener))
		a.until(c, "the two that the pattern means", func() bool { all, _ := c.Assignment(); return len(all) == 2 })
		a.must(c.Unsubscribe(a.ctx))
		if len(said) < 4 || said[0] != "+1" {
			a.Errorf("the listener heard %q", said)
		}
	})
}

func TestConsumerFollowsAPattern(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		prefix := a.unique("p")
		a.create(prefix+"-a", 1)
		a.create("other-"+prefix, 1)
		a.produce(prefix+"-a", 0, "a")
		a.produce("other-"+prefix, 0, "other")
		c := a.consumer(append(group, "metadata.max.age.ms", "100")...)
		a.must(c.SubscribePattern(regexp.MustCompile("^("+prefix+"-.*|__.*)$"), nil))
		a.expect(c, "a")
		a.must(c.CommitSync(a.ctx, nil)) // a rebalance begins at what is committed
		a.create(prefix+"-b", 1)
		a.produce(prefix+"-b", 0, "b")
		a.expect(c, "b")
		if topics, err := c.Subscription(); err != nil || !slices.Equal(topics, []string{prefix + "-a", prefix + "-b"}) {
			a.Errorf("the pattern means %q, %v; internal topics are left out", topics, err)
		}
	})
}

func TestConsumerCreatesTopics(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	yes, no := a.unique("yes"), a.unique("no")
	c := a.consumer("group.id", a.unique("g"))
	a.must(c.Subscribe([]string{yes}, nil))
	a.until(c, "a new topic", func() bool { all, _ := c.Assignment(); return len(all) > 0 })
	c = a.consumer("group.id", a.unique("g"), "allow.auto.create.topics", "false")
	a.must(c.Subscribe([]string{no}, nil))
	a.none(c, "the topic is not there")
	m, err := a.kadm.ListTopics(a.ctx)
	if err != nil || !m.Has(yes) || m.Has(no) {
		t.Errorf("topics are %v, %v", m.Names(), err)
	}
}

func TestConsumerOneGoroutineAtATime(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(1)
	c := a.consumer("group.id", a.unique("g"))
	begun, polled := make(chan struct{}), make(chan error)
	a.must(c.Subscribe([]string{topic}, client.RebalanceFuncs{Assigned: func(ctx context.Context, _ []sdk.TopicPartition) error {
		if _, err := c.Poll(ctx, 0); err == nil {
			t.Error("a listener may call Poll")
		}
		if err := c.Close(ctx); err == nil {
			t.Error("a listener may call Close")
		}
		close(begun)
		return nil
	}}))
	go func() {
		_, err := c.Poll(a.ctx, time.Minute)
		polled <- err
	}()
	<-begun
	var err error
	for err == nil && a.ctx.Err() == nil { // the listener may still be in its turn
		err = c.Pause(at(topic, 0))
	}
	if !errors.Is(err, client.ErrConcurrentUse) {
		t.Errorf("another goroutine is told %v", err)
	}
	for name, err := range map[string]error{"Poll": func() error { _, err := c.Poll(a.ctx, 0); return err }(), "Close": c.Close(a.ctx), "Subscribe": c.Subscribe([]string{"x"}, nil)} {
		if !errors.Is(err, client.ErrConcurrentUse) {
			t.Errorf("%s of another goroutine: %v", name, err)
		}
	}
	c.Wakeup()
	if err := <-polled; !errors.Is(err, client.ErrWakeup) {
		t.Errorf("Poll ended with %v, want %v", err, client.ErrWakeup)
	}
	a.produce(topic, 0, "after")
	a.must(c.Resume(at(topic, 0)))
	a.expect(c, "after")
}

func TestConsumerWakesUpTheNextCall(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(1)
	a.produce(topic, 0, "0")
	c := a.consumer("group.id", a.unique("g"))
	a.must(c.Assign(at(topic, 0)))
	c.Wakeup()
	if _, err := c.Poll(a.ctx, time.Minute); !errors.Is(err, client.ErrWakeup) {
		t.Errorf("Poll after Wakeup: %v", err)
	}
	a.expect(c, "0") // once is enough
	c.Wakeup()
	if _, err := c.Position(a.ctx, at(topic, 0)); err != nil {
		t.Errorf("a call that does not wait: %v", err)
	}
	if err := c.CommitSync(a.ctx, nil); !errors.Is(err, client.ErrWakeup) {
		t.Errorf("CommitSync after Wakeup: %v", err)
	}
	a.must(c.CommitSync(a.ctx, nil))
	ended, cancel := context.WithCancel(a.ctx)
	cancel()
	if _, err := c.Poll(ended, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("Poll with a context that has ended: %v", err)
	}
	c.Wakeup()
	a.must(c.Close(a.ctx))
}

func TestConsumerKeepsItsPlaceAtARecordThatItCannotRead(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(2)
		number := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
		for _, v := range [][]byte{number(0), number(1), []byte("oops"), number(3)} {
			a.must(a.plain.ProduceSync(a.ctx, &kgo.Record{Topic: topic, Key: []byte("key"), Value: v, Headers: []kgo.RecordHeader{{Key: "h"}}}).FirstErr())
		}
		config := a.config(group...)
		c, err := client.NewConsumer(config, client.ConsumerOptions[string, int64]{})
		a.must(err)
		a.Cleanup(func() {
			if err := c.Close(context.Background()); err != nil {
				a.Error(err)
			}
		})
		a.must(c.Subscribe([]string{topic}, nil))
		var got []int64
		read := func() (failed *client.DeserializationError) {
			for a.ctx.Err() == nil {
				records, err := c.Poll(a.ctx, 100*time.Millisecond)
				for _, r := range records {
					got = append(got, r.Value)
				}
				if errors.As(err, &failed) {
					return failed
				}
				a.must(err)
				if len(records) > 0 {
					return nil
				}
			}
			a.Fatal("nothing came")
			return nil
		}
		if failed := read(); failed != nil || !slices.Equal(got, []int64{0, 1}) {
			a.Fatalf("read %v, %v: what comes before the record that cannot be read is returned first", got, failed)
		}
		for range 2 {
			failed := read()
			if failed == nil || failed.Topic != topic || failed.Partition != 0 || failed.Offset != 2 || failed.InKey || string(failed.Value) != "oops" || string(failed.Key) != "key" || len(failed.Headers) != 1 {
				a.Fatalf("Poll says %+v", failed)
			}
			if p, err := c.Position(a.ctx, at(topic, 0)); err != nil || p != 2 {
				a.Fatalf("the position is %d, %v, want 2", p, err)
			}
		}
		a.must(a.plain.ProduceSync(a.ctx, &kgo.Record{Topic: topic, Partition: 1, Value: number(7)}).FirstErr())
		for got[len(got)-1] != 7 { // another partition is not held up
			_ = read() // the record that cannot be read is still there
		}
		a.must(c.Seek(at(topic, 0), 3))
		for got[len(got)-1] != 3 {
			_ = read() // the record that cannot be read is still there
		}
		a.must(c.CommitSync(a.ctx, nil))
		if o := a.committed(group[3], at(topic, 0)); o != 4 {
			a.Errorf("offset %d is committed, want 4", o)
		}
	})
}

type shouting struct{ committed, closed *[]string }

func (shouting) OnConsume(records []*sdk.Record) ([]*sdk.Record, error) {
	var kept []*sdk.Record
	for _, r := range records {
		if r.Value == "drop" {
			continue
		}
		r.Value = strings.ToUpper(r.Value.(string))
		kept = append(kept, r)
	}
	return kept, nil
}

func (u shouting) OnCommit(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) {
	for tp, o := range offsets {
		*u.committed = append(*u.committed, fmt.Sprint(tp.Partition, ":", o.Offset))
	}
}

func (u shouting) Close() error { *u.closed = append(*u.closed, "closed"); return nil }

type broken struct{}

func (broken) OnConsume([]*sdk.Record) ([]*sdk.Record, error) {
	return nil, errors.New("it does not work")
}
func (broken) OnCommit(map[sdk.TopicPartition]sdk.OffsetAndMetadata) {}

type wrongType struct{ broken }

func (wrongType) OnConsume(records []*sdk.Record) ([]*sdk.Record, error) {
	records[0] = &sdk.Record{Value: 7}
	return records, nil
}

// rude panics, changes what it may not, and answers nothing for a record.
type rude struct{}

func (rude) OnConsume(records []*sdk.Record) ([]*sdk.Record, error) {
	records[0].Headers[0].Key = "gone"
	if len(records) > 1 {
		return []*sdk.Record{records[0], nil}, nil
	}
	panic("it cannot")
}

func (rude) OnCommit(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) {
	clear(offsets)
	panic("it cannot")
}

func init() {
	sdk.ConsumerInterceptors.Register("broken-for-tests", func(sdk.Config) (sdk.ConsumerInterceptor, error) { return broken{}, nil })
}

func TestConsumerInterceptors(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(1)
	a.produce(topic, 0, "a", "drop", "b")
	var committed, closed []string
	var log strings.Builder
	c := a.consumerWith(client.ConsumerOptions[string, string]{
		Interceptors: []sdk.ConsumerInterceptor{wrongType{}, shouting{&committed, &closed}},
		Log:          slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, "group.id", a.unique("g"), "interceptor.classes", "broken-for-tests", "max.poll.records", "10")
	a.must(c.Assign(at(topic, 0)))
	a.expect(c, "A", "B")
	a.must(c.CommitSync(a.ctx, nil))
	a.must(c.CommitAsync(nil, nil))
	a.must(c.Close(a.ctx))
	if fmt.Sprint(committed) != "[0:3 0:3]" || len(closed) != 1 {
		t.Errorf("an interceptor heard of %v, and was closed %d times", committed, len(closed))
	}
	if !strings.Contains(log.String(), "it does not work") || !strings.Contains(log.String(), "its value is a int, not a string") {
		t.Errorf("what interceptors do wrong is not logged: %s", &log)
	}
}

// What an interceptor does wrong is undone, whatever it is, and the program goes on.
func TestConsumerInterceptorsCannotTakeItDown(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(1)
	for range 2 {
		r := &kgo.Record{Topic: topic, Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}
		a.must(a.plain.ProduceSync(a.ctx, r).FirstErr())
	}
	group := a.unique("g")
	c := a.consumerWith(client.ConsumerOptions[string, string]{
		Interceptors: []sdk.ConsumerInterceptor{rude{}}, Log: slog.New(slog.DiscardHandler),
	}, "group.id", group, "max.poll.records", "10")
	a.must(c.Assign(at(topic, 0)))
	for got := 0; got < 2; {
		records, err := c.Poll(a.ctx, time.Second)
		a.must(err)
		for _, r := range records {
			if len(r.Headers) != 1 || r.Headers[0].Key != "h" {
				t.Errorf("the headers are %v", r.Headers)
			}
		}
		got += len(records)
	}
	a.must(c.CommitSync(a.ctx, nil))
	if o := a.committed(group, at(topic, 0)); o != 2 {
		t.Errorf("offset %d is committed, want 2", o)
	}
	if n := c.InterceptorFaults(); n < 2 {
		t.Errorf("%d faults were counted", n)
	}
	a.must(c.Close(a.ctx))
}

func TestConsumerWhatListenersSayPollSays(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(1)
		a.produce(topic, 0, "0")
		c := a.consumer(group...)
		wrong := errors.New("the listener cannot")
		a.must(c.Subscribe([]string{topic}, client.RebalanceFuncs{Assigned: func(context.Context, []sdk.TopicPartition) error { return wrong }}))
		var err error
		for err == nil {
			_, err = c.Poll(a.ctx, 100*time.Millisecond)
		}
		if !errors.Is(err, wrong) || !strings.Contains(err.Error(), "partitions assigned") {
			a.Fatalf("Poll says %v", err)
		}
		a.expect(c, "0") // the rebalance went on
		held := client.RebalanceFuncs{Revoked: func(context.Context, []sdk.TopicPartition) error { return wrong }}
		assigned := func() bool {
			partitions, err := c.Assignment()
			a.must(err)
			return len(partitions) == 1
		}
		for _, leave := range []func(context.Context) error{c.Unsubscribe, c.Close} {
			a.must(c.Unsubscribe(a.ctx))
			a.must(c.Subscribe([]string{topic}, held))
			a.until(c, "an assignment", assigned)
			if err := leave(a.ctx); !errors.Is(err, wrong) || !strings.Contains(err.Error(), "partitions revoked") {
				a.Errorf("leaving says %v", err)
			}
		}
	})
}

func TestConsumerSettings(t *testing.T) {
	for name, test := range map[string]struct{ key, value, want string }{
		"reset":       {"auto.offset.reset", "soon", "earliest, latest, none or by_duration"},
		"duration":    {"auto.offset.reset", "by_duration:1h", "is not a duration such as P1DT2H30M"},
		"heartbeat":   {"heartbeat.interval.ms", "45000", "must be less than session.timeout.ms"},
		"assignor":    {"partition.assignment.strategy", "mine", `there is no assignor "mine"`},
		"twice":       {"partition.assignment.strategy", "range,org.apache.kafka.clients.consumer.RangeAssignor", "range is there twice"},
		"deserialize": {"value.deserializer", "int64", `there is no deserializer of string "int64"`},
		"interceptor": {"interceptor.classes", "mine", `there is no consumer interceptor "mine"`},
		"internal":    {"exclude.internal.topics", "false", "a pattern never matches internal topics here"},
		"records":     {"max.poll.records", "0", "max.poll.records"},
		"nobody":      {"enable.auto.commit", "true", "enable.auto.commit=true needs a group.id"},
		"level":       {"isolation.level", "serializable", "read_uncommitted, read_committed"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := client.NewConsumer(client.Config{"bootstrap.servers": "127.0.0.1:1", "session.timeout.ms": "45000", test.key: test.value}, client.ConsumerOptions[string, string]{})
			if err == nil {
				_ = c.Close(context.Background()) // it is only there by mistake
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %s", err, test.want)
			}
		})
	}
	for want, config := range map[string]client.Config{ // as Kafka's consumer says it
		"heartbeat.interval.ms, session.timeout.ms cannot be set when group.protocol=CONSUMER": {"group.protocol": "consumer", "session.timeout.ms": "1", "heartbeat.interval.ms": "2"},
		"partition.assignment.strategy cannot be set when group.protocol=CONSUMER":             {"group.protocol": "Consumer", "partition.assignment.strategy": "range"},
		"group.remote.assignor cannot be set when group.protocol=CLASSIC":                      {"group.remote.assignor": "range"},
	} {
		if _, err := client.NewConsumer(config.With("bootstrap.servers", "127.0.0.1:1"), client.ConsumerOptions[string, string]{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
	_, err := client.NewConsumer(client.Config{"bootstrap.servers": "127.0.0.1:1"}, client.ConsumerOptions[string, struct{ A int }]{})
	if err == nil || !strings.Contains(err.Error(), "value.deserializer is missing") {
		t.Errorf("a type that nobody can read: %v", err)
	}
	c, err := client.NewConsumer(client.Config{"bootstrap.servers": "127.0.0.1:1", "key.deserializer": "org.apache.kafka.common.serialization.LongDeserializer"}, client.ConsumerOptions[int64, []byte]{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// counted counts lines that contain a text.
type counted struct {
	io.Writer
	text string
	n    atomic.Int64
}

func (c *counted) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(c.text)) && c.n.Add(1) > 20 {
		return len(line), nil
	}
	return c.Writer.Write(line)
}

// A topic that is deleted costs a line, not a processor; one of the same name is read from its
// beginning.
func TestConsumerOfATopicThatIsMadeAgain(t *testing.T) {
	test := func(a *arena, manual bool, group ...string) {
		topic, other := a.topic(2), a.topic(1)
		a.produce(topic, 0, numbers(0, 10)...)
		said := &counted{Writer: writerOf(a.T), text: "is not there"}
		c := a.consumerWith(client.ConsumerOptions[string, string]{Log: slog.New(slog.NewTextHandler(said, nil))},
			append(group, "allow.auto.create.topics", "false", "retry.backoff.max.ms", "100")...)
		if manual {
			a.must(c.Assign(at(topic, 0), at(topic, 1), at(other, 0)))
		} else {
			a.must(c.Subscribe([]string{topic, other}, nil))
		}
		a.read(c, 10)
		if _, err := a.kadm.DeleteTopics(a.ctx, topic); err != nil {
			a.Fatal(err)
		}
		if !a.elsewhere { // Kafka answers within a fetch session what franz-go keeps to itself, until the topic is made again
			a.until(c, "the loss of the topic", func() bool { return said.n.Load() > 0 })
		}
		a.none(c, "the topic is gone")
		a.produce(other, 0, "other")
		a.expect(c, "other")
		if len(group) > 0 && a.elsewhere { // who does not know yet would commit what is gone
			a.must(c.CommitSync(a.ctx, offsets(at(other, 0), 1)))
		} else if len(group) > 0 {
			a.must(c.CommitSync(a.ctx, nil))
		}
		a.create(topic, 2)
		a.plain.PurgeTopicsFromProducing(topic) // which keeps to the topic that it knew
		a.produce(topic, 0, numbers(100, 15)...)
		a.expect(c, numbers(100, 15)...)
		if len(group) > 0 {
			a.must(c.CommitSync(a.ctx, nil))
			if got := a.committed(group[len(group)-1], at(topic, 0)); got != 15 {
				a.Errorf("committed is %d, want 15", got)
			}
		}
		if n := said.n.Load(); n > 4 {
			a.Errorf("the log has %d lines of it", n)
		}
	}
	protocols(t, func(a *arena, group ...string) { test(a, false, group...) })
	t.Run("by hand", func(t *testing.T) { test(enterArena(t), true) })
	t.Run("by hand with a group", func(t *testing.T) {
		a := enterArena(t)
		test(a, true, "group.id", a.unique("g"))
	})
}

// A program that knows that the topic was made again, and where it wants to go on, is obeyed.
func TestASeekOutlivesATopicThatIsMadeAgain(t *testing.T) {
	a := enterArena(t)
	topic := a.topic(1)
	said := &counted{Writer: writerOf(t), text: "is not there"}
	c := a.consumerWith(client.ConsumerOptions[string, string]{Log: slog.New(slog.NewTextHandler(said, nil))},
		"auto.offset.reset", "latest", "allow.auto.create.topics", "false", "retry.backoff.max.ms", "2000")
	a.must(c.Assign(at(topic, 0)))
	a.none(c, "nothing is there")
	if _, err := a.kadm.DeleteTopics(a.ctx, topic); err != nil {
		t.Fatal(err)
	}
	a.until(c, "the loss of the topic", func() bool { return said.n.Load() > 0 })
	a.create(topic, 1)
	a.plain.PurgeTopicsFromProducing(topic)
	a.produce(topic, 0, numbers(0, 5)...)
	a.must(c.Seek(at(topic, 0), 0))
	a.expect(c, numbers(0, 5)...)
}
