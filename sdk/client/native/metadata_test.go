package native

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// idleSender is a sender that nobody runs, and what it asks control.
func idleSender() (*sender, chan job) {
	o := Options{Log: slog.New(slog.DiscardHandler), MetadataMaxAge: time.Hour, BufferBytes: 1 << 20, BatchBytes: 1 << 10,
		RetryBackoff: func(tries int) time.Duration { return time.Duration(tries) * 100 * time.Millisecond }}
	p := &Producer{options: o, began: time.Now(), memory: NewMemory(o.BufferBytes), ended: make(chan struct{})}
	p.publish(map[string]*Topic{})
	p.ready.wake = make(chan struct{}, 1)
	p.sender = newSender(p)
	jobs := make(chan job, 4)
	p.sender.control = jobs
	return p.sender, jobs
}

func want(s *sender, topic string) {
	(&wanting{topic: topic, done: make(chan struct{})}).happen(s)
}

// A topic that is wanted while others are being asked for does not wait for the next try.
func TestAnotherTopicIsAskedForAtOnce(t *testing.T) {
	s, jobs := idleSender()
	want(s, "a")
	s.ask(s.p.now())
	want(s, "b")
	<-jobs
	(&described{topics: []topicAt{{name: "a", leaders: []int32{-1}}}}).happen(s)
	now := s.p.now()
	s.ask(now)
	select {
	case j := <-jobs:
		if !slices.Contains(j.topics, "b") {
			t.Errorf("asked is for %v", j.topics)
		}
	default:
		t.Errorf("b is asked for %d ms later", (s.metadataAt()-now)/1e6)
	}
}

// A topic that was deleted is looked for less and less often.
func TestAMissingTopicIsAskedForLessOften(t *testing.T) {
	s, jobs := idleSender()
	want(s, "a")
	s.ask(s.p.now())
	<-jobs
	(&described{topics: []topicAt{{name: "a", leaders: []int32{-1}}}}).happen(s)
	gone := &described{topics: []topicAt{{name: "a", err: kerr.UnknownTopicOrPartition}}}
	for round := range int64(3) {
		gone.happen(s)
		if wait := (s.metadataAt() - s.metadata.at) / 1e6; wait != 100*(round+2) {
			t.Errorf("after %d rounds it waits %d ms", round+2, wait)
		}
	}
	s.metadata.missing = 3
	(&described{topics: []topicAt{{name: "a", leaders: []int32{}}}}).happen(s)
	if s.metadata.missing != 0 {
		t.Error("what is there counts as missing")
	}
}

// Who sends to partitions that are not there does not make the next question wait longer for the
// others, whose leaders may have moved.
func TestWhoWantsMorePartitionsSlowsNobodyDown(t *testing.T) {
	s, jobs := idleSender()
	want(s, "a")
	s.ask(s.p.now())
	for round := range 4 {
		<-jobs
		(&wanting{topic: "a", least: 9, done: make(chan struct{})}).happen(s) // while the question is under way
		(&described{topics: []topicAt{{name: "a", leaders: []int32{0}}}}).happen(s)
		if wait := (s.metadataAt() - s.metadata.at) / 1e6; wait != 100 || len(s.wanted) != 1 {
			t.Errorf("after %d answers it waits %d ms for %d", round+1, wait, len(s.wanted))
		}
		s.metadata.at = -1e9
		if s.ask(s.p.now()); !s.metadata.asked {
			t.Fatal("whoever came while a question was under way waits for an answer that nobody asks for")
		}
	}
}

// max.block.ms is for metadata and memory together.
func TestWhatMetadataTookIsNotThereForMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := idleSender()
		left := make(chan time.Duration)
		go func() {
			_, rest, err := s.p.Topic(context.Background(), "a", time.Second)
			if err != nil {
				t.Error(err)
			}
			left <- rest
		}()
		w := (<-s.events).(*wanting)
		<-time.After(300 * time.Millisecond)
		s.p.publish(map[string]*Topic{"a": {Name: "a"}})
		close(w.done)
		if rest := <-left; rest != 700*time.Millisecond {
			t.Errorf("of a second %v is left after 300 ms", rest)
		}
		if _, rest, err := s.p.Topic(context.Background(), "a", time.Second); rest != time.Second || err != nil {
			t.Errorf("of a second %v is left when nobody had to wait, %v", rest, err)
		}
	})
}

// The topic that is found without its name being hashed is forgotten when there is a newer one.
func TestTheRecentTopicIsTheNewest(t *testing.T) {
	s, _ := idleSender()
	for n := range int32(3) {
		s.p.publish(map[string]*Topic{"a": {Name: "a", Partitions: n}})
		for range 2 {
			if got, _, err := s.p.Topic(context.Background(), "a", time.Second); err != nil || got.Partitions != n {
				t.Fatalf("it has %d partitions, want %d, %v", got.Partitions, n, err)
			}
		}
	}
}

// A batch that others filled while one waits for memory is sent, not left to linger.
func TestABatchThatFillsWhileSomebodyWaitsIsHandedOver(t *testing.T) {
	s, _ := idleSender()
	p := s.p
	if !p.memory.TryTake(1 << 20) {
		t.Fatal("there is no memory to begin with")
	}
	part := &partition{topic: "t", id: -1, epoch: -1}
	rolled := make(chan error)
	go func() {
		part.mu.Lock()
		rolled <- p.roll(context.Background(), part, 500, time.Minute)
	}()
	for !p.memory.Blocked() {
		runtime.Gosched()
	}
	part.mu.Lock()
	part.open = filled(part, 3)
	part.open.capacity = part.open.builder.Len() + 10
	part.mu.Unlock()
	p.memory.Give(1 << 20)
	if err := <-rolled; err != nil {
		t.Fatal(err)
	}
	if len(part.sealed) != 1 || !slices.Contains(p.ready.take(nil), part) {
		t.Error("the sender does not know of the batch that is full")
	}
}

// Who is refused while the lock is held gets the error, and no memory.
func TestRollOfAProducerThatTakesNothing(t *testing.T) {
	s, _ := idleSender()
	part := &partition{topic: "t"}
	s.p.refuse(ErrClosed)
	part.mu.Lock()
	if err := s.p.roll(context.Background(), part, 10, time.Second); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if !part.mu.TryLock() {
		t.Error("the partition stays locked")
	}
	if !s.p.memory.TryTake(1 << 20) {
		t.Error("memory was taken")
	}
}

// While nobody answers the log says why, once and in one line, and seldom.
func TestAnOutageIsLoggedOnceAndSeldom(t *testing.T) {
	s, _ := idleSender()
	var log bytes.Buffer
	s.o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c := &control{o: &Options{Servers: []string{"a:1"}, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("dial a:1: connection refused")
	}}}
	for range 9 {
		c.describe(t.Context(), []string{"t"}).happen(s)
	}
	if n := strings.Count(log.String(), "\n"); n != 4 { // tries 1, 2, 4 and 8
		t.Errorf("nine tries are %d lines:\n%s", n, &log)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Count(line, "connection refused") != 1 || strings.Contains(line, `\n`) {
			t.Errorf("logged %s", line)
		}
	}
	c.known = []string{"b:2"}
	c.o.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
		return nil, errors.New("dial " + address)
	}
	if said := c.describe(t.Context(), nil).err.Error(); said != "connect to a broker: dial b:2; connect to a broker: dial a:1" &&
		said != "connect to a broker: dial a:1; connect to a broker: dial b:2" {
		t.Errorf("two brokers that cannot be reached: %s", said)
	}
}
