package traffic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Side is what happens beside the producers: topics are created, written to and deleted, and offsets committed. Its
// fields belong to the goroutine of Run until ended is closed.
type Side struct {
	Address string
	Group   string // whose offsets are committed
	Topic   string // of which partition 0's
	// Every is how many commits lie between two topics. Zero: 20.
	Every int
	// Keep is how many topics may be there before the oldest is deleted. Zero: none is deleted.
	Keep int
	// Topics, Deletions and Commits count what was acknowledged, in all rounds.
	Topics, Deletions, Commits int

	ended  chan struct{}
	acked  int64        // the last offset whose commit was acknowledged
	asked  int64        // the last offset whose commit was sent
	made   []*sideTopic // creation was acknowledged, deletion was not
	gone   []string     // deletion was acknowledged
	doomed map[string]bool
}

// A sideTopic is a topic of one partition.
type sideTopic struct {
	name    string
	offsets []int64 // acknowledged, of records 0, 1, …
}

// Doomed reports whether a topic's deletion was ever asked for. Not while Run works.
func (s *Side) Doomed(topic string) bool { return s.doomed[topic] }

// Run works until a call fails, which the crash sees to, or ctx ends.
func (s *Side) Run(ctx context.Context, round int) error {
	s.ended = make(chan struct{})
	k, err := kgo.NewClient(kgo.SeedBrokers(s.Address), kgo.RetryTimeout(time.Second), kgo.MetadataMinAge(20*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableIdempotentWrite()) // else a call that waits for a dead broker could not be given up
	if err != nil {
		return err
	}
	if s.doomed == nil {
		s.doomed = map[string]bool{}
	}
	go func() {
		defer close(s.ended)
		defer k.Close()
		for n := 0; ctx.Err() == nil; n++ {
			call, cancel := context.WithTimeout(ctx, time.Second)
			err := s.one(call, k, round, n)
			cancel()
			if err != nil {
				return
			}
		}
	}()
	return nil
}

func (s *Side) one(ctx context.Context, k *kgo.Client, round, n int) error {
	admin := kadm.NewClient(k)
	if n%cmp.Or(s.Every, 20) == 0 {
		if err := s.topic(ctx, k, fmt.Sprintf("side-%d-%d", round, n)); err != nil {
			return err
		}
		if s.Keep > 0 && len(s.made) > s.Keep {
			if err := s.remove(ctx, admin); err != nil {
				return err
			}
		}
	}
	var offsets kadm.Offsets
	s.asked++
	offsets.Add(kadm.Offset{Topic: s.Topic, Partition: 0, At: s.asked, LeaderEpoch: -1})
	if err := admin.CommitAllOffsets(ctx, s.Group, offsets); err != nil {
		return err
	}
	s.acked = s.asked
	s.Commits++
	return nil
}

// topic creates a topic and writes to it.
func (s *Side) topic(ctx context.Context, k *kgo.Client, name string) error {
	if _, err := kadm.NewClient(k).CreateTopic(ctx, 1, 1, nil, name); err != nil {
		return err
	}
	t := &sideTopic{name: name}
	s.made = append(s.made, t)
	s.Topics++
	for i := range 2 {
		r, err := k.ProduceSync(ctx, &kgo.Record{Topic: name, Value: fmt.Appendf(nil, "side %d %s", i, name)}).First()
		if err != nil {
			return err
		}
		t.offsets = append(t.offsets, r.Offset)
	}
	return nil
}

// remove deletes the oldest topic. One whose deletion was not acknowledged may be there or not.
func (s *Side) remove(ctx context.Context, admin *kadm.Client) error {
	name := s.made[0].name
	s.made = s.made[1:]
	s.doomed[name] = true
	if _, err := admin.DeleteTopic(ctx, name); err != nil {
		return err
	}
	s.gone = append(s.gone, name)
	s.Deletions++
	return nil
}

// Wait returns when Run's work is over.
func (s *Side) Wait() { <-s.ended }

// Check compares what was acknowledged with what the broker knows after its restart.
func (s *Side) Check(ctx context.Context) error {
	<-s.ended
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	k, err := kgo.NewClient(kgo.SeedBrokers(s.Address)) // a new one: what a client heard before the crash it may keep
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	listed, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var wrong []error
	book, from := ledger.New(), Offsets{}
	for _, t := range s.made {
		if listed[t.name].Err != nil || len(listed[t.name].Partitions) != 1 {
			wrong = append(wrong, fmt.Errorf("topic %s was created and is gone (%v)", t.name, listed[t.name].Err))
			continue
		}
		from[t.name] = map[int32]int64{}
		for i, offset := range t.offsets {
			book.Acked(ledger.Stream{Producer: "side", Topic: t.name}, int64(i), offset)
		}
	}
	for _, name := range s.gone {
		if listed.Has(name) {
			wrong = append(wrong, fmt.Errorf("topic %s was deleted and is back", name))
		}
	}
	if len(from) > 0 {
		wrong = append(wrong, ReadBack(ctx, s.Address, from, book), book.Judge().Err())
	}
	return errors.Join(append(wrong, s.checkOffset(ctx, admin))...)
}

func (s *Side) checkOffset(ctx context.Context, admin *kadm.Client) error {
	if s.Commits == 0 {
		return nil
	}
	fetched, err := admin.FetchOffsets(ctx, s.Group)
	if err != nil {
		return fmt.Errorf("fetch offsets: %w", err)
	}
	if o, _ := fetched.Lookup(s.Topic, 0); o.Err != nil || o.At < s.acked || o.At > s.asked {
		return fmt.Errorf("committed offset is %d (%v), acknowledged was %d", o.At, o.Err, s.acked)
	}
	return nil
}
